# Different: attributes are sorted into a registry as they are set, as PyTorch does; one
# flat list of children; Linear multiplies the other way round; Sequential is a
# functools.reduce.
import functools


class Module:
    training = True

    def __setattr__(self, name, value):
        registry = self.__dict__.setdefault("_registry", {})
        if isinstance(value, (Parameter, Module, list, tuple)):
            registry[name] = value
        else:
            registry.pop(name, None)
        object.__setattr__(self, name, value)

    def forward(self, *inputs):
        raise NotImplementedError(type(self).__name__)

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    def _inside(self):
        todo = list(self.__dict__.get("_registry", {}).items())
        while todo:
            name, value = todo.pop(0)
            if isinstance(value, (list, tuple)):
                todo = [(f"{name}.{i}", item) for i, item in enumerate(value)] + todo
            else:
                yield name, value

    def named_parameters(self):
        pairs, seen = [], set()
        for name, value in self._inside():
            if isinstance(value, Parameter):
                new = [(name, value)]
            elif isinstance(value, Module):
                new = [(f"{name}.{rest}", p) for rest, p in value.named_parameters()]
            else:
                new = []
            for pair in new:
                if id(pair[1]) not in seen:
                    seen.add(id(pair[1]))
                    pairs.append(pair)
        return pairs

    def parameters(self):
        return [p for _, p in self.named_parameters()]

    def modules(self):
        queue = [self]
        for module in queue:  # grows while it is read: breadth first
            for _, value in module._inside():
                if isinstance(value, Module) and all(
                    value is not other for other in queue
                ):
                    queue.append(value)
        return queue

    def train(self, mode=True):
        self.training = mode
        for module in self.modules()[1:]:
            module.train(mode)
        return self

    def eval(self):
        return self.train(mode=False)

    def zero_grad(self):
        for _, p in self.named_parameters():
            p.grad = None


class Linear(Module):
    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        if min(in_features, out_features) < 1:
            raise ValueError("a layer needs inputs and outputs")
        rng = get_rng(rng)
        scale = in_features**0.5
        self.bias = None
        if bias:
            self.bias = Parameter(
                ((2 * rng.random(out_features) - 1) / scale).astype("float32")
            )
        self.weight = Parameter(
            ((2 * rng.random((out_features, in_features)) - 1) / scale).astype(
                "float32"
            )
        )

    def forward(self, x):
        if x.shape[-1:] != self.weight.shape[1:]:
            raise ValueError(
                f"{x.shape[-1]} features for a layer of {self.weight.shape[1]}"
            )
        if x.ndim == 1:
            return self(x.reshape(1, x.size))[0]
        y = (self.weight @ x.transpose(-2, -1)).transpose(-2, -1)
        return y if self.bias is None else self.bias + y


class Sequential(Module):
    def __init__(self, layers):
        self.layers = [*layers]
        if not all(map(callable, self.layers)):
            raise TypeError("every layer must be callable")

    def forward(self, x):
        return functools.reduce(lambda value, layer: layer(value), self.layers, x)

    def __len__(self):
        return self.layers.__len__()

    def __getitem__(self, index):
        return self.layers[index]

    def __iter__(self):
        yield from self.layers


class Dropout(Module):
    def __init__(self, p=0.5, *, rng=None):
        if p < 0 or p >= 1:
            raise ValueError(p)
        self.keep, self.draw = 1 - p, get_rng(rng).random

    def forward(self, x):
        if self.training:
            mask = np.where(
                self.draw(x.shape) < self.keep, np.float32(1 / self.keep), np.float32(0)
            )
            return Tensor(mask.astype(x.dtype)) * x
        return x * 1
