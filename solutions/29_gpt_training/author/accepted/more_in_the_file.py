"""A checkpoint with more keys, written through an open file, its config spelled out
field by field; read in one go and checked by building what is expected.
"""

import dataclasses


def save_checkpoint(path, model, optimizer, step, loader=None):
    fields = {
        field.name: getattr(model.config, field.name)
        for field in dataclasses.fields(model.config)
    }
    state = {
        "rng": torch.random.get_rng_state(),
        "config": fields,
        "step": int(step),
        "torch": str(torch.__version__),
    }
    state["loader"] = loader.state_dict() if loader else None
    state["cuda_rng"] = (
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    )
    state.update(model=model.state_dict(), optimizer=optimizer.state_dict(), format=1)
    with open(path, "wb") as file:
        torch.save(state, file)


def load_checkpoint(path, model, optimizer=None, loader=None):
    with open(path, "rb") as file:
        state = torch.load(file, weights_only=True)
    if GPTConfig(**state["config"]) != model.config:
        raise ValueError("this is a checkpoint of another model")
    if loader and not state["loader"]:
        raise ValueError("this checkpoint knows nothing of a loader")
    torch.random.set_rng_state(state["rng"])
    if state["cuda_rng"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    for part, name in ((model, "model"), (optimizer, "optimizer"), (loader, "loader")):
        if part is not None:
            part.load_state_dict(state[name])
    return state["step"]
