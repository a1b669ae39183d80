"""A flat checkpoint with prefixed keys, tensors for NumPy's state, written through
tempfile and an open file.
"""

import contextlib
import tempfile


def save_checkpoint(
    path,
    model,
    optimizer,
    *,
    scheduler=None,
    scaler=None,
    generators=None,
    step=0,
    extra=None,
):
    state = np.random.get_state(legacy=False)
    numpy_keys = torch.from_numpy(state["state"]["key"].astype("int64"))
    numpy_rest = [state["state"]["pos"], state["has_gauss"], state["gauss"]]
    version, words, pending = random.getstate()
    file = {
        "step": step,
        "extra": {} if extra is None else extra,
        "part/model": model.state_dict(),
        "part/optimizer": optimizer.state_dict(),
        "random/torch": torch.random.get_rng_state(),
        "random/python": [version, torch.tensor(words), pending],
        "random/numpy": [numpy_keys, *numpy_rest],
    }
    for name, part in (("scheduler", scheduler), ("scaler", scaler)):
        if part is not None:
            file[f"part/{name}"] = part.state_dict()
    for name in generators or ():
        file[f"generator/{name}"] = generators[name].get_state()
    if torch.cuda.is_available():
        file["random/cuda"] = torch.cuda.get_rng_state_all()
    path = os.path.abspath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            torch.save(file, out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def load_checkpoint(
    path,
    model,
    optimizer,
    *,
    scheduler=None,
    scaler=None,
    generators=None,
    map_location="cpu",
):
    with open(path, "rb") as source:
        file = torch.load(source, map_location=map_location, weights_only=True)
    parts = {"part/model": model, "part/optimizer": optimizer}
    if scheduler is not None:
        parts["part/scheduler"] = scheduler
    if scaler is not None:
        parts["part/scaler"] = scaler
    own = {f"generator/{name}": g for name, g in (generators or {}).items()}
    for key in [*parts, *own]:
        if key not in file:
            raise ValueError(f"no {key.split('/', 1)[1]} in this checkpoint")
    for key, part in parts.items():
        part.load_state_dict(file[key])
    for key, g in own.items():
        g.set_state(file[key].cpu())
    torch.random.set_rng_state(file["random/torch"].cpu())
    version, words, pending = file["random/python"]
    random.setstate((version, tuple(words.tolist()), pending))
    keys, position, has_gauss, gauss = file["random/numpy"]
    np.random.set_state(
        ("MT19937", keys.cpu().numpy().astype("uint32"), position, has_gauss, gauss)
    )
    if "random/cuda" in file and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in file["random/cuda"]])
    return {key: file[key] for key in ("step", "extra")}
