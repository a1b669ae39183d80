# Different: a zip of .npy members in memory, written by write_bytes and renamed; loops
# of its own in the trainer, which evaluates by itself; step decay by a loop.
import io
import zipfile

from tinytorch.advanced_optimizers import accuracy, fused_cross_entropy


def optimizer_state(optimizer):
    state = {"lr": np.full((), optimizer.lr)}
    for name, values in vars(optimizer).items():
        if name in ("velocity", "m", "v"):
            state.update(
                {f"{name}.{i}": np.copy(array) for i, array in enumerate(values)}
            )
    if "steps" in vars(optimizer):
        state["steps"] = np.array(list(optimizer.steps), dtype=np.int64)
    return state


def load_optimizer_state(optimizer, state):
    own = optimizer_state(optimizer)
    if set(own) != set(state):
        raise KeyError(sorted(set(own) ^ set(state)))
    for name, array in state.items():
        if own[name].shape != array.shape:
            raise ValueError(name)
    for name, array in state.items():
        base, _, i = name.partition(".")
        if i:
            getattr(optimizer, base)[int(i)] = array.copy()
    optimizer.lr = state["lr"].item()
    if "steps" in state:
        optimizer.steps = [int(n) for n in state["steps"]]


def save_checkpoint(path, model, optimizer=None, *, meta=None):
    text, buffer, path = (
        json.dumps({} if meta is None else meta),
        io.BytesIO(),
        Path(path),
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("meta.json", text)
        groups = {
            "model": model_state(model),
            "optimizer": {} if optimizer is None else optimizer_state(optimizer),
        }
        for group, arrays in groups.items():
            for name, array in arrays.items():
                with archive.open(f"{group}/{name}", "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    temporary = path.parent / (path.name + "~")
    try:
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path, model, optimizer=None):
    groups = {"model": {}, "optimizer": {}}
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read("meta.json"))
        for entry in archive.namelist():
            group, slash, name = entry.partition("/")
            if slash:
                groups[group][name] = np.lib.format.read_array(
                    io.BytesIO(archive.read(entry)), allow_pickle=False
                )
    load_model_state(model, groups["model"])
    if optimizer is not None:
        load_optimizer_state(optimizer, groups["optimizer"])
    return meta


def step_decay(epoch, base_lr, *, step_size, gamma=0.1):
    for _ in range(epoch // step_size):
        base_lr *= gamma
    return base_lr


class Trainer(Trainer):
    def fit(self, train_loader, epochs, *, val_loader=None):
        if self.early_stopping and val_loader is None:
            raise ValueError("no val_loader")
        history, lowest = {"train_loss": [], "train_accuracy": [], "lr": []}, None
        if val_loader is not None:
            history |= {"val_loss": [], "val_accuracy": []}
        base = self.optimizer.lr if self.scheduler is None else self.scheduler.base_lr
        for epoch in range(epochs):
            if self.schedule:
                self.optimizer.lr = self.schedule(epoch, base)
            history["lr"].append(self.optimizer.lr)
            self.model.train()
            loss_mean, accuracy_mean = RunningMean(), RunningMean()
            for x, y in train_loader:
                logits = self.model(x)
                loss = fused_cross_entropy(logits, y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                loss_mean.update(loss.item(), len(y))
                accuracy_mean.update(accuracy(logits, y), len(y))
            history["train_loss"].append(loss_mean.value)
            history["train_accuracy"].append(accuracy_mean.value)
            watched = loss_mean.value
            if val_loader is not None:
                found = self.evaluate(val_loader)
                history["val_loss"].append(found["loss"])
                history["val_accuracy"].append(found["accuracy"])
                watched = found["loss"]
            if self.checkpoint_path and (lowest is None or watched < lowest):
                save_checkpoint(
                    self.checkpoint_path,
                    self.model,
                    self.optimizer,
                    meta={"epoch": epoch, "loss": watched},
                )
            lowest = watched if lowest is None else min(lowest, watched)
            if self.early_stopping and self.early_stopping.step(
                watched, model=self.model
            ):
                break
        if self.early_stopping:
            load_model_state(self.model, self.early_stopping.best_state)
        return history
