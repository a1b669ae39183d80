# Different: a file of a JSON header and raw bytes, states by loops, Welford's running
# mean, early stopping by a sign, the cosine as sin², a trainer with its scheduler made
# in fit.
import tempfile


def model_state(model):
    state = {}
    for name, p in model.named_parameters():
        state[name] = np.array(p.data)
    return state


def load_model_state(model, state, *, strict=True):
    own = {name: p.data for name, p in model.named_parameters()}
    missing, unexpected = (
        sorted(own.keys() - state.keys()),
        sorted(state.keys() - own.keys()),
    )
    if strict and missing + unexpected:
        raise KeyError(f"{missing} are missing, {unexpected} are unexpected")
    for name in own.keys() & state.keys():
        if own[name].shape != np.shape(state[name]):
            raise ValueError(name)
    for name in own.keys() & state.keys():
        np.copyto(own[name], state[name], casting="same_kind")
    return {"missing": missing, "unexpected": unexpected}


def save_checkpoint(path, model, optimizer=None, *, meta=None):
    arrays = [["model", name, array] for name, array in model_state(model).items()]
    if optimizer is not None:
        arrays += [
            ["optimizer", name, array]
            for name, array in optimizer_state(optimizer).items()
        ]
    table = [[part, name, array.dtype.str, array.shape] for part, name, array in arrays]
    header = json.dumps({"arrays": table, "meta": meta or {}}).encode()
    descriptor, neighbour = tempfile.mkstemp(dir=Path(path).parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _, _, array in arrays:
                file.write(array.tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except Exception:
        os.remove(neighbour)
        raise


def load_checkpoint(path, model, optimizer=None):
    content = Path(path).read_bytes()
    at = 8 + int.from_bytes(content[:8], "little")
    header, parts = json.loads(content[8:at]), {"model": {}, "optimizer": {}}
    for part, name, dtype, shape in header["arrays"]:
        array = np.frombuffer(content, dtype, math.prod(shape), at).reshape(shape)
        parts[part][name] = array
        at += array.nbytes
    if optimizer is not None:
        if not parts["optimizer"]:
            raise KeyError("optimizer")
        load_optimizer_state(optimizer, parts["optimizer"])
    load_model_state(model, parts["model"])
    return header["meta"]


class EarlyStopping:
    def __init__(self, patience, *, min_delta=0.0, mode="min"):
        assert patience >= 1
        self.sign = {"min": 1, "max": -1}[mode]
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_epoch, self.best_state, self.bad_epochs = (
            math.nan,
            -1,
            None,
            0,
        )
        self.epochs = 0

    def step(self, value, model=None):
        worse = math.isnan(value) or self.sign * (value - self.best) >= -self.min_delta
        if worse:
            self.bad_epochs += 1
        else:
            self.best, self.best_epoch, self.bad_epochs = value, self.epochs, 0
            if model is not None:
                self.best_state = model_state(model)
        self.epochs += 1
        return not self.bad_epochs < self.patience


def cosine_decay(epoch, base_lr, *, total, min_lr=0.0, warmup=0):
    if epoch < warmup:
        return base_lr / warmup * (1 + epoch)
    left = max(total - epoch, 0) / (total - warmup)
    return min_lr + (base_lr - min_lr) * math.sin(math.pi / 2 * left) ** 2


class RunningMean:
    def __init__(self):
        self.reset()

    def reset(self):
        self.n, self.mean = 0, None

    def update(self, value, n=1):
        self.n += n
        self.mean = (
            value if self.mean is None else self.mean + (value - self.mean) * n / self.n
        )

    @property
    def value(self):
        if self.mean is None:
            raise ValueError("empty")
        return self.mean
