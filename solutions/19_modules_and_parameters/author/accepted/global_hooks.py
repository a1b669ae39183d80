"""Tracing by PyTorch's global module hooks in inference mode; loading by
load_state_dict; freezing in two passes.
"""


def trace_shapes(model, *inputs):
    from torch.nn.modules.module import (
        register_module_forward_hook,
        register_module_forward_pre_hook,
    )

    def tensor_in(value):
        while not isinstance(value, Tensor):
            value = next(
                item for item in value if isinstance(item, (Tensor, tuple, list))
            )
        return value

    leaves = {
        id(m): name
        for name, m in model.named_modules()
        if next(m.children(), None) is None
    }
    flags = [(m, m.training) for m in model.modules()]
    records, open_calls = [], []

    def pre(module, args):
        if id(module) in leaves:
            open_calls.append((leaves[id(module)], tuple(tensor_in(args).shape)))

    def post(module, args, output):
        if id(module) in leaves:
            name, shape = open_calls.pop()
            records.append(ShapeRecord(name, shape, tuple(tensor_in(output).shape)))

    model.eval()
    first, second = (
        register_module_forward_pre_hook(pre),
        register_module_forward_hook(post),
    )
    try:
        with torch.inference_mode():
            model(*inputs)
    except Exception as error:
        if open_calls:
            raise RuntimeError(
                "layer {} could not take {}".format(*open_calls[-1])
            ) from error
        raise
    finally:
        first.remove()
        second.remove()
        for module, flag in flags:
            module.training = flag
    return records


def load_matching(model, state):
    mine = model.state_dict()
    loaded = [
        name for name in mine if name in state and state[name].shape == mine[name].shape
    ]
    model.load_state_dict({name: state[name].detach() for name in loaded}, strict=False)
    return LoadReport(
        loaded=loaded,
        missing=[name for name in mine if name not in state],
        unexpected=[name for name in state if name not in mine],
        mismatched=[name for name in mine if name in state and name not in loaded],
    )


def set_trainable(model, trainable, prefixes=None):
    if isinstance(prefixes, str):
        raise TypeError("prefixes")
    chosen = {}
    for prefix in [""] if prefixes is None else prefixes:
        parts = prefix.split(".") if prefixes is not None else []
        found = {
            n: p
            for n, p in model.named_parameters()
            if n.split(".")[: len(parts)] == parts
        }
        if not found and prefixes is not None:
            raise ValueError(f"{prefix} covers nothing")
        chosen |= found
    for parameter in chosen.values():
        parameter.requires_grad_(trainable)
        parameter.grad = parameter.grad if trainable else None
    return [name for name, _ in model.named_parameters() if name in chosen]
