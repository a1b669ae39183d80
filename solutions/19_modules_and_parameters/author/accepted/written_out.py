"""Initial values drawn by hand with in-place tensor methods; loading by name; a chain
by `reduce`.
"""


def init_weights(model, *, embedding_std=0.02, generator=None):
    @torch.no_grad()
    def start(module):
        match module:
            case nn.Linear():
                outputs, inputs = module.weight.shape
                limit = (6 / (inputs + outputs)) ** 0.5
                module.weight.uniform_(-limit, limit, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            case nn.Embedding():
                drawn = (
                    torch.randn(module.weight.shape, generator=generator)
                    * embedding_std
                )
                if module.padding_idx is not None:
                    drawn[module.padding_idx] = 0.0
                module.weight.copy_(drawn)
            case nn.LayerNorm():
                module.reset_parameters()

    for module in model.modules():
        start(module)
    return model


def load_matching(model, state):
    tensors = dict(model.state_dict(keep_vars=True))
    loaded, missing, mismatched = [], [], []
    for name, tensor in tensors.items():
        if name not in state:
            missing.append(name)
        elif state[name].size() == tensor.size():
            tensor.data.copy_(state[name].data)
            loaded.append(name)
        else:
            mismatched.append(name)
    return LoadReport(
        loaded,
        missing,
        [name for name in state.keys() if name not in tensors],
        mismatched,
    )


class SimpleSequential(nn.Module):
    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            items = args[0].items()
        else:
            items = zip(map(str, range(len(args))), args)
        for name, module in items:
            if module is None:
                raise TypeError("NoneType is not a Module")
            self.add_module(name, module)

    def forward(self, x):
        from functools import reduce

        return reduce(lambda value, module: module(value), self._modules.values(), x)

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        yield from self._modules.values()

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.__class__(OrderedDict(list(self._modules.items())[index]))
        return list(self._modules.values())[index]
