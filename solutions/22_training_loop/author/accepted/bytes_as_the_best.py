"""Early stopping that keeps the best state as bytes and turns "max" into "min" by its
sign; fit with its own loop.
"""

import io


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0, mode="min"):
        if mode not in {"min", "max"}:
            raise ValueError(mode)
        if not patience >= 1:
            raise ValueError(patience)
        self.patience, self.min_delta, self.sign = (
            patience,
            min_delta,
            1 if mode == "min" else -1,
        )
        self.best = self.best_epoch = self.bytes = None
        self.bad_epochs, self.calls = 0, -1

    def step(self, value, model):
        self.calls += 1
        if value == value and (
            self.best is None
            or self.sign * value < self.sign * self.best - self.min_delta
        ):
            self.best, self.best_epoch, self.bad_epochs = float(value), self.calls, 0
            buffer = io.BytesIO()
            torch.save(model.state_dict(), buffer)
            self.bytes = buffer.getvalue()
            return False
        self.bad_epochs += 1
        return self.bad_epochs >= self.patience

    def restore(self, model):
        if self.bytes is None:
            raise RuntimeError("nothing kept")
        model.load_state_dict(torch.load(io.BytesIO(self.bytes), weights_only=True))


def fit(
    model,
    train_loader,
    val_loader,
    loss_fn,
    optimizer,
    *,
    epochs,
    early_stopping=None,
    scheduler=None,
    max_grad_norm=None,
    device="cpu",
):
    history, stop = [], False
    while len(history) < epochs and not stop:
        row = dict(epoch=len(history), lr=optimizer.param_groups[0]["lr"])
        row["train_loss"] = train_one_epoch(
            model,
            train_loader,
            loss_fn,
            optimizer,
            device=device,
            max_grad_norm=max_grad_norm,
            scheduler=None,
        )
        if scheduler is not None:
            scheduler.step()
        row |= {
            f"val_{key}": value
            for key, value in evaluate(
                model, val_loader, loss_fn, device=device
            ).items()
        }
        history.append(row)
        stop = bool(early_stopping) and early_stopping.step(row["val_loss"], model)
    if early_stopping is not None:
        try:
            early_stopping.restore(model)
        except RuntimeError:
            pass
    return history
