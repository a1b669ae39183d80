"""Layers: parameters and a forward function. Milestone 1: a network that
computes XOR.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import XOR_X, ReLU, xor_by_hand
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module learns."""

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data, requires_grad=requires_grad)


class Module:
    """The base of every layer and every network."""

    training = True

    def forward(self, *inputs: Any) -> Any:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """All Parameters with their dotted names."""
        return _named_parameters_in(vars(self).items())

    def parameters(self) -> list[Parameter]:
        """All Parameters."""
        return [parameter for _, parameter in self.named_parameters()]

    def modules(self) -> list["Module"]:
        """This module and all inside it."""
        found = [self]
        for value in vars(self).values():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, Module):
                    found += item.modules()
        return found

    def train(self, mode: bool = True) -> "Module":
        """Set the mode of all."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Switch to evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None


def _named_parameters_in(
    items: Iterable[tuple[Any, Any]],
) -> list[tuple[str, Parameter]]:
    found = []
    for name, value in items:
        if isinstance(value, Parameter):
            found.append((str(name), value))
        elif isinstance(value, Module):
            found += [(f"{name}.{inner}", p) for inner, p in value.named_parameters()]
        elif isinstance(value, (list, tuple)):
            found += [
                (f"{name}.{inner}", p)
                for inner, p in _named_parameters_in(enumerate(value))
            ]
    return found


class Linear(Module):
    """y = x Wᵀ + b."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ):
        rng = get_rng(rng)
        bound = 1 / np.sqrt(in_features)
        self.weight = Parameter(
            rng.uniform(-bound, bound, (out_features, in_features)).astype(np.float32)
        )
        self.bias = (
            Parameter(rng.uniform(-bound, bound, out_features).astype(np.float32))
            if bias
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last dimension of x."""
        y = x @ self.weight.T
        if self.bias is not None:
            y = y + self.bias
        return y


class Sequential(Module):
    """Layers applied one after the other."""

    def __init__(self, layers: Iterable[Callable[[Any], Any]]):
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        """Apply all layers in order."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Callable[[Any], Any]:
        return self.layers[index]

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self.layers)


class Dropout(Module):
    """Numbers become 0 at random."""

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        self.p = p
        self.rng = get_rng(rng)

    def forward(self, x: Tensor) -> Tensor:
        """Apply a new mask."""
        if self.training:
            mask = self.rng.random(x.shape) > self.p
            return x * Tensor(mask / (1 - self.p))
        return x


def matmul_loops(a: Tensor, b: Tensor) -> tuple[Tensor, int]:
    """Multiply two matrices by three loops and count the multiply-adds."""
    n, k = a.shape
    m = b.shape[1]
    product = np.zeros((n, m), dtype=a.dtype)
    count = 0
    for i in range(n):
        for j in range(m):
            for s in range(k):
                product[i, j] += a.data[i, s] * b.data[s, j]
                count += 1
    return Tensor(product), count


def linear_cost(
    in_features: int,
    out_features: int,
    batch: int,
    *,
    bias: bool = True,
    itemsize: int = 4,
) -> dict[str, int]:
    """Predict what a Linear costs."""
    parameters = in_features * out_features
    if bias:
        parameters += out_features
    return {
        "parameters": parameters,
        "parameter_bytes": parameters * itemsize,
        "multiply_adds": batch * in_features * out_features,
        "output_bytes": batch * out_features * itemsize,
    }


def layer_report(model: Sequential, x: Tensor) -> list[dict[str, Any]]:
    """Describe each layer."""
    rows = []
    for index, layer in enumerate(model):
        x = layer(x)
        parameters = layer.parameters() if isinstance(layer, Module) else []
        rows.append(
            {
                "index": index,
                "name": type(layer).__name__,
                "output_shape": x.shape,
                "parameters": sum(p.size for p in parameters),
                "parameter_bytes": sum(p.nbytes for p in parameters),
                "output_bytes": x.nbytes,
            }
        )
    return rows


def layer_scaling(widths: Sequence[int]) -> dict[str, Any]:
    """Memory and work over the width."""
    return {
        "memory": measure_scaling(
            lambda n: lambda: Linear(n, n), widths, kind="retained_bytes"
        ),
        "flops": {"sizes": list(widths), "values": [n**3 for n in widths]},
    }


def run_xor_inference(
    rng: np.random.Generator | None = None,
) -> tuple[Sequential, Tensor]:
    """An untrained network for XOR, and its output."""
    net = Sequential([Linear(2, 4, rng=rng), ReLU(), Linear(4, 1, rng=rng)])
    return net, net(Tensor(XOR_X))


def load_xor_by_hand(net: Sequential) -> Sequential:
    """Copy the weights of `xor_by_hand()` into the network."""
    W1, b1, W2, b2 = xor_by_hand()
    hidden = len(b1)
    for parameter in net.parameters():
        parameter.data[...] = 0
    first, second = net[0], net[2]
    first.weight.data[:hidden] = W1
    first.bias.data[:hidden] = b1
    second.weight.data[:, :hidden] = W2
    second.bias.data[...] = b2
    return net
