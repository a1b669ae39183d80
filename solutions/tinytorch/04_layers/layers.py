"""Layers: parameters and a forward function. Milestone 1: a network that
computes XOR.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import XOR_X, ReLU, xor_by_hand  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
from tinytorch.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module learns. Its class is what sets it apart: modules collect
    Parameters, no plain Tensors.

    Args:
        data: whatever Tensor takes: a number, list, array or tensor. An array is
            shared, not copied.
        requires_grad: True unless said otherwise.

    Parameter([0.5, 2.0]) is a float32 Tensor of shape (2,) with `requires_grad` True.
    """

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data, requires_grad=requires_grad)


class Module:
    """The base of every layer and every network: attributes that may hold Parameters
    and Modules, and a `forward`.

    Subclasses write `__init__` and `forward`. They need not call `super().__init__()`.
    """

    training = True  # of every module, until `train` or `eval` sets one of its own

    def forward(self, *inputs: Any) -> Any:
        """Compute the output. Every layer writes its own. Given."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Any:
        """Make a module callable like a function: module(x) is module.forward(x).

        Args:
            inputs: any number of inputs, passed on as they are.
        Returns:
            What `forward` of the module's own class returns.
        """
        return self.forward(*inputs)

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """List the Parameters of this module and of all modules inside it, with
        their names.

        Returns:
            (name, parameter) pairs in the order in which the attributes were set. A
            name is the path with dots: "weight", "head.bias", "layers.0.weight".

        - Look at the attributes of the object, at the items of lists and tuples, and
          inside Modules.
        - A plain Tensor is no parameter. Neither is None.

        Edge cases ★
            A Parameter that is found twice, because two modules share it, is listed
            once, under its first name.
        """
        found: dict[int, tuple[str, Parameter]] = {}
        for name, value in _leaves("", self):
            if isinstance(value, Parameter):
                found.setdefault(id(value), (name, value))
        return list(found.values())

    def parameters(self) -> list[Parameter]:
        """List the Parameters without their names. Given."""
        return [parameter for _, parameter in self.named_parameters()]

    def modules(self) -> list["Module"]:
        """List this module and all modules inside it.

        Returns:
            This module first, then those in its attributes and everything inside those,
            in any order. Look into lists and tuples, too. Functions, and activations
            such as ReLU(), are no Modules.

        Edge cases ★
            A module that is found twice is listed once.
        """
        return list(
            dict.fromkeys(
                value for _, value in _leaves("", self) if isinstance(value, Module)
            )
        )

    def train(self, mode: bool = True) -> "Module":
        """Set `training` of this module and of all modules inside it, and of no other.

        Args:
            mode: True for training, False for evaluation.
        Returns:
            This module itself, so that `net = Net().train()` works.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Switch to evaluation. Given."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set `grad` of every Parameter to None, also of those in inner modules.

        None, not zeros: the next backward pass allocates the array again.
        """
        for parameter in self.parameters():
            parameter.grad = None


class Linear(Module):
    """A layer in which every output is a weighted sum of all inputs: y = x Wᵀ + b."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ):
        """Draw the parameters.

        Args:
            in_features: the number of inputs.
            out_features: the number of outputs.
            bias: False leaves the bias out: `self.bias` is None.
            rng: the source of all draws. None means the framework's
                generator, `get_rng()`.

        `weight` (out_features, in_features) and `bias` (out_features,) are float32
        Parameters. All their entries are uniform between −1/√in_features and
        1/√in_features: Linear(4, 3) has a (3, 4) weight within ±0.5.

        Edge cases ★
            A size below 1 is an error.
        """
        if in_features < 1 or out_features < 1:
            raise ValueError(
                f"sizes must be at least 1, got {in_features} and {out_features}"
            )
        rng, bound = get_rng(rng), in_features**-0.5

        def drawn(*shape: int) -> Parameter:
            return Parameter(rng.uniform(-bound, bound, shape).astype(np.float32))

        self.weight = drawn(out_features, in_features)
        self.bias = drawn(out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last dimension of x.

        Args:
            x: (..., in_features), with at least one dimension before the last.
        Returns:
            (..., out_features): x Wᵀ + b, or x Wᵀ without a bias.

        Compute with Tensors, not with their `.data`: each operation announces itself,
        which is how module 05 will find the gradients of weight, bias and x.

        Edge cases ★
            One sample alone, (in_features,), gives (out_features,). Another last size
            is an error that names both.
        """
        out_features, in_features = self.weight.shape
        if x.ndim == 0 or x.shape[-1] != in_features:
            raise ValueError(
                f"the last size of x must be {in_features}, x has shape {x.shape}"
            )
        if x.ndim == 1:
            return self.forward(x.reshape(1, -1)).reshape(out_features)
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


class Sequential(Module):
    """Layers applied one after the other: Sequential([f, g])(x) is g(f(x)).

    Args:
        layers: any iterable of callables with one argument: Modules, activations,
            plain functions.

    - `self.layers` is a list of its own, so that "layers.0.weight" is the first
      layer's weight.
    - `len(net)`, `net[i]` and `for layer in net` work as on that list.

    Edge cases ★
        Without layers, the output is the input. A layer that cannot be called is an
        error, at once.
    """

    def __init__(self, layers: Iterable[Callable[[Any], Any]]):
        self.layers = list(layers)
        for layer in self.layers:
            if not callable(layer):
                raise TypeError(f"a layer must be callable, not {layer!r}")

    def forward(self, x: Any) -> Any:
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
    """Set numbers to 0 at random while training, so that no unit of the next layer can
    rely on a single one.

    Args:
        p: the probability with which each number becomes 0.
        rng: the source of all draws. None means the framework's generator, `get_rng()`.

    - In training, each call draws anew which numbers become 0. The others are divided
      by 1 - p, which keeps the mean: Dropout(0.5) turns [3, 3, 3, 3] into
      [6, 0, 0, 6], say.
    - In evaluation, x comes out as it went in.

    Compute with Tensors, as in Linear: what was dropped gets no gradient.

    Edge cases ★
        A p below 0, or not below 1, is an error. The dtype of x stays.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        if not 0 <= p < 1:
            raise ValueError(f"p must be at least 0 and below 1, got {p}")
        self.p, self.rng = p, get_rng(rng)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = self.rng.random(x.shape) >= self.p
        return x * Tensor((kept / (1 - self.p)).astype(x.dtype))


def matmul_loops(a: Tensor, b: Tensor) -> tuple[Tensor, int]:
    """Multiply two matrices by three Python loops and count the work.

    Args:
        a: (n, k).
        b: (k, m).
    Returns:
        The product, (n, m), and the number of multiply-adds: one per a[i, s] · b[s, j]
        that was added to a sum.
        (2, 3) times (3, 4) takes 24.

    `@`, `dot`, `matmul` and `einsum` may not be called.

    Edge cases ★
        The dtype is NumPy's for the two: ints stay ints. Inner sizes that differ are
        an error.
    """
    (n, k), (inner, m) = a.shape, b.shape
    if k != inner:
        raise ValueError(f"cannot multiply matrices of shapes {a.shape} and {b.shape}")
    product, count = np.zeros((n, m), dtype=np.result_type(a.dtype, b.dtype)), 0
    for i in range(n):
        for j in range(m):
            for step in range(k):
                product[i, j] += a.data[i, step] * b.data[step, j]
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
    """Predict what a Linear costs, without building it.

    Args:
        in_features, out_features, bias: as for Linear.
        batch: the number of rows of x, (batch, in_features).
        itemsize: bytes per number.
    Returns:
        Four ints: "parameters", the numbers in weight and bias; "parameter_bytes";
        "multiply_adds", those of the matrix product x Wᵀ; "output_bytes", of the output
        (batch, out_features).
    """
    parameters = in_features * out_features + (out_features if bias else 0)
    return {
        "parameters": parameters,
        "parameter_bytes": parameters * itemsize,
        "multiply_adds": batch * in_features * out_features,
        "output_bytes": batch * out_features * itemsize,
    }


def layer_report(model: Sequential, x: Tensor) -> list[dict[str, Any]]:
    """Run x through a model and describe each layer.

    Args:
        model: Modules, activations and functions.
        x: the input of the first layer.
    Returns:
        One dict per layer, in order: "index" from 0; "name", that of the layer's class
        ("Linear", "function"); "output_shape"; "parameters", how many numbers it
        learns, 0 for what is no Module; "parameter_bytes"; "output_bytes".
    """
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
    """Measure how memory, and count how work, grows with the width n of a Linear(n, n).

    Args:
        widths: the sizes n.
    Returns:
        "memory": what `measure_scaling` returns for the bytes that a new
        Linear(n, n) retains;
        "flops": a dict of "sizes", the widths, and "values", the n³ multiply-adds on a
        batch of n rows.
    """
    memory = measure_scaling(
        lambda n: lambda: Linear(n, n), widths, kind="retained_bytes"
    )
    return {
        "memory": memory,
        "flops": {"sizes": list(widths), "values": [n**3 for n in widths]},
    }


def run_xor_inference(
    rng: np.random.Generator | None = None,
) -> tuple[Sequential, Tensor]:
    """Milestone 1: build a network for XOR, untrained, and run it.

    Args:
        rng: the source of all draws. None means the framework's generator.
    Returns:
        The network Linear(2, 4), ReLU, Linear(4, 1) as a Sequential, and its output
        (4, 1) on the four points XOR_X.
    """
    rng = get_rng(rng)
    net = Sequential([Linear(2, 4, rng=rng), ReLU(), Linear(4, 1, rng=rng)])
    return net, net(Tensor(XOR_X))


def load_xor_by_hand(net: Sequential) -> Sequential:
    """Copy the weights of `xor_by_hand()` into the network, which then computes XOR
    exactly, without training.

    Args:
        net: Linear(2, 4), ReLU, Linear(4, 1), as `run_xor_inference` builds it.
    Returns:
        The same network, with the same Parameters of the same shapes and new numbers
        in them.

    `xor_by_hand` has H hidden units, 2 to 4. They become the first H units of the
    network; everything that goes into the others and comes out of them is 0.
    """
    W1, b1, W2, b2 = xor_by_hand()
    hidden, first, second = len(b1), net[0], net[2]
    for parameter in net.parameters():
        parameter.data[...] = 0
    first.weight.data[:hidden] = W1
    first.bias.data[:hidden] = b1
    second.weight.data[:, :hidden] = W2
    second.bias.data[...] = b2
    return net


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A module and everything inside of it, with dotted names."""
    if isinstance(value, (Module, Parameter)):
        yield name, value
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Module):
        inside = vars(value).items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    for part, item in inside:
        yield from _leaves(f"{name}.{part}" if name else str(part), item)
