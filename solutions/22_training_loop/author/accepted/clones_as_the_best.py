"""Early stopping that keeps clones and copies them back by hand; errors told apart with
regular expressions.
"""

import re


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0, mode="min"):
        if patience < 1 or mode not in ("min", "max"):
            raise ValueError("patience or mode")
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best, self.best_epoch, self.bad_epochs, self.epoch, self.kept = (
            None,
            None,
            0,
            0,
            None,
        )

    def step(self, value, model):
        better = not math.isnan(value)
        if better and self.best is not None:
            better = (
                value < self.best - self.min_delta
                if self.mode == "min"
                else value > self.best + self.min_delta
            )
        if better:
            self.best, self.best_epoch = value, self.epoch
            self.kept = {
                key: tensor.detach().clone()
                for key, tensor in model.state_dict().items()
            }
        self.bad_epochs = 0 if better else self.bad_epochs + 1
        self.epoch += 1
        return not self.bad_epochs < self.patience

    @torch.no_grad()
    def restore(self, model):
        if self.kept is None:
            raise RuntimeError("no best state")
        for key, tensor in model.state_dict().items():
            tensor.copy_(self.kept[key])


def classify_error(error):
    if type(error).__name__ == "OutOfMemoryError":
        return "out_of_memory"
    if isinstance(error, LookupError):
        return "unknown"
    patterns = (
        (r"device", "device_mismatch"),
        (r"in-?place", "inplace_modification"),
        (r"scalar outputs", "non_scalar_backward"),
        (r"second time", "second_backward"),
        (r"require grad", "no_gradient"),
        (r"dtype|scalar types?", "dtype_mismatch"),
        (r"shapes?\b|\bsizes?\b|batch_size|match", "shape_mismatch"),
    )
    return next(
        (kind for pattern, kind in patterns if re.search(pattern, str(error))),
        "unknown",
    )
