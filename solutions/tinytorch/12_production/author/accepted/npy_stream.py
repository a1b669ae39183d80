# Different: .npy arrays one after the other in one stream, after a JSON line; a running
# mean as a mean of its own; early stopping that counts from the best epoch; the rate as
# a lookup; a CNN trained with the model drawn before the data.


def save_checkpoint(path, model, optimizer=None, *, meta=None):
    state = {("model", name): array for name, array in model_state(model).items()}
    if optimizer is not None:
        state |= {
            ("optimizer", name): array
            for name, array in optimizer_state(optimizer).items()
        }
    line = json.dumps([list(state), meta or {}])
    target = os.fspath(path)
    try:
        with open(target + ".new", "wb") as file:
            file.write(line.encode() + b"\n")
            for array in state.values():
                np.save(file, array, allow_pickle=False)
        os.rename(target + ".new", target)
    finally:
        if os.path.exists(target + ".new"):
            os.remove(target + ".new")


def load_checkpoint(path, model, optimizer=None):
    with open(path, "rb") as file:
        names, meta = json.loads(file.readline())
        arrays = {tuple(name): np.load(file) for name in names}
    state = {
        name: array for (part, name), array in arrays.items() if part == "optimizer"
    }
    if optimizer is not None and len(state) == 0:
        raise KeyError("optimizer")
    load_model_state(
        model,
        {name: array for (part, name), array in arrays.items() if part == "model"},
    )
    if optimizer is not None:
        load_optimizer_state(optimizer, state)
    return meta


class EarlyStopping:
    def __init__(self, patience, *, min_delta=0.0, mode="min"):
        if patience < 1:
            raise ValueError("patience")
        if mode not in ("min", "max"):
            raise ValueError("mode")
        self.patience, self.min_delta, self.better = (
            patience,
            min_delta,
            min if mode == "min" else max,
        )
        self.best, self.best_epoch, self.best_state, self.epoch = None, -1, None, -1

    @property
    def bad_epochs(self):
        return self.epoch - self.best_epoch

    def step(self, value, model=None):
        self.epoch += 1
        if value == value:
            first = self.best is None
            if first or (
                self.better(value, self.best) == value
                and abs(value - self.best) > self.min_delta
            ):
                self.best, self.best_epoch = value, self.epoch
                self.best_state = model and model_state(model)
        return self.epoch - self.best_epoch >= self.patience


class LRScheduler:
    def __init__(self, optimizer, schedule):
        base_lr, self.epoch = optimizer.lr, -1

        def step():
            self.epoch += 1
            optimizer.lr = schedule(self.epoch, base_lr)

        self.step = step
        step()


class RunningMean:
    def __init__(self):
        self.sums = np.zeros(2)

    def reset(self):
        self.sums[:] = 0

    def update(self, value, n=1):
        self.sums += [value * n, n]

    @property
    def value(self):
        if not self.sums[1]:
            raise ValueError("no values")
        return float(self.sums[0] / self.sums[1])


def predict_checkpoint_bytes(model, name=None):
    size = sum(array.nbytes for array in model_state(model).values())
    if name in (None, "sgd"):
        return size
    if name == "momentum":
        return size + size
    if name == "adam":
        return size + 2 * size
    raise KeyError(name)


def train_digits_cnn(rng=None, *, epochs=8, batch_size=32, lr=3e-3):
    rng = get_rng(rng)
    model = make_cnn(8, padding=1, rng=rng)
    train, test = digits_datasets(test_fraction=0.2, rng=rng)
    batches = DataLoader(train, batch_size, shuffle=True, rng=rng)
    rates = [cosine_decay(epoch, lr, total=epochs) for epoch in range(epochs + 1)]
    trainer = Trainer(
        model,
        Adam(model.parameters(), lr=lr),
        schedule=lambda epoch, base: rates[epoch],
    )
    history = trainer.fit(batches, epochs)
    result = {
        f"test_{name}": value
        for name, value in trainer.evaluate(DataLoader(test, 64)).items()
    }
    return result | {"model": model, "history": history}
