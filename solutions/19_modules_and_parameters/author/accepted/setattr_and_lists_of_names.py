"""The containers with `setattr` or `register_module`, and a list of names or a count of
their own.
"""


class SimpleSequential(nn.Module):
    def __init__(self, *args):
        super().__init__()
        pairs = [(str(i), module) for i, module in enumerate(args)]
        if len(pairs) == 1 and isinstance(args[0], OrderedDict):
            pairs = list(args[0].items())
        self.names = []
        for name, module in pairs:
            if not isinstance(module, nn.Module):
                raise TypeError(f"cannot chain {type(module)}")
            setattr(self, name, module)
            self.names.append(name)

    def forward(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        for name in self.names:
            yield getattr(self, name)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(
                OrderedDict((name, getattr(self, name)) for name in self.names[index])
            )
        return getattr(self, self.names[index])


class SimpleModuleList(nn.Module):
    def __init__(self, modules=None):
        super().__init__()
        self.size = 0
        if modules is not None:
            for module in modules:
                self.append(module)

    def append(self, module):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{type(module).__name__} cannot be put into a list of modules"
            )
        self.register_module(str(self.size), module)
        self.size += 1
        return self

    def __len__(self):
        return self.size

    def __iter__(self):
        return (getattr(self, str(i)) for i in range(self.size))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return SimpleModuleList(self[i] for i in range(*index.indices(self.size)))
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return getattr(self, str(index % self.size))


class SimpleModuleDict(nn.Module):
    def __init__(self, modules=None):
        super().__init__()
        self.names = []
        for name in modules or []:
            self[name] = modules[name]

    def __getitem__(self, key):
        if key not in self.names:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key, module):
        if not isinstance(module, nn.Module):
            raise TypeError(type(module).__name__)
        setattr(self, key, module)
        if key not in self.names:
            self.names.append(key)

    def __contains__(self, key):
        return key in self.names

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(self.names)

    def keys(self):
        return list(self.names)

    def values(self):
        return [self[name] for name in self.names]

    def items(self):
        return [(name, self[name]) for name in self.names]
