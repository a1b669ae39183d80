"""nn.Module from the inside: what it registers, containers by hand, initialising,
freezing, tracing, loading.
"""

import math
from collections import OrderedDict
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShapeRecord(NamedTuple):
    """One call of one leaf module, as `trace_shapes` saw it. Given: nothing to
    write here.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class LoadReport(NamedTuple):
    """A report of what `load_matching` did with each name. Given: nothing to
    write here.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]


def describe_state(module: nn.Module) -> dict[str, list[str]]:
    """Sort everything that a module has registered by what becomes of it."""
    saved = module.state_dict()
    state = {"trainable": [], "frozen": [], "buffers": [], "transient": []}
    for name, parameter in module.named_parameters():
        state["trainable" if parameter.requires_grad else "frozen"].append(name)
    for name, _ in module.named_buffers():
        state["buffers" if name in saved else "transient"].append(name)
    return state


class StandardizedLinear(nn.Module):
    """A linear layer that standardizes its input with the statistics of everything it
    has seen in training.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        eps: float = 1e-5,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.eps = eps
        bound = 1 / math.sqrt(in_features)
        weight = torch.empty(out_features, in_features).uniform_(
            -bound, bound, generator=generator
        )
        self.weight = nn.Parameter(weight)
        if bias:
            self.bias = nn.Parameter(
                torch.empty(out_features).uniform_(-bound, bound, generator=generator)
            )
        else:
            self.register_parameter("bias", None)
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("var", torch.ones(in_features))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._update(x.detach().reshape(-1, self.in_features))
        x = (x - self.mean) / torch.sqrt(self.var + self.eps)
        return F.linear(x, self.weight, self.bias)

    def _update(self, rows: Tensor) -> None:
        self.count += len(rows)
        share = len(rows) / self.count
        difference = rows.mean(dim=0) - self.mean
        var = rows.var(dim=0, correction=0)
        self.var = (
            (1 - share) * self.var + share * var + share * (1 - share) * difference**2
        )
        self.mean = self.mean + share * difference


class SimpleSequential(nn.Module):
    """A chain of modules: each gets what the one before it returned. Like
    `nn.Sequential`, and written without it.
    """

    def __init__(self, *args: nn.Module | OrderedDict[str, nn.Module]):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return SimpleSequential(OrderedDict(list(self._modules.items())[index]))
        return list(self)[index]


class SimpleModuleList(nn.Module):
    """A list whose modules are registered. Like `nn.ModuleList`, and written without it
    (and without nn.Sequential).
    """

    def __init__(self, modules: Iterable[nn.Module] | None = None):
        super().__init__()
        for module in modules or []:
            self.append(module)

    def append(self, module: nn.Module) -> "SimpleModuleList":
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return SimpleModuleList(list(self)[index])
        return list(self)[index]


class SimpleModuleDict(nn.Module):
    """A dict whose modules are registered. Like `nn.ModuleDict`, and written
    without it.
    """

    def __init__(self, modules: Mapping[str, nn.Module] | None = None):
        super().__init__()
        for key, module in (modules or {}).items():
            self[key] = module

    def __getitem__(self, key: str) -> nn.Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self.add_module(key, module)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def keys(self) -> KeysView[str]:
        return self._modules.keys()

    def values(self) -> ValuesView[nn.Module]:
        return self._modules.values()

    def items(self) -> ItemsView[str, nn.Module]:
        return self._modules.items()


def init_weights(
    model: nn.Module,
    *,
    embedding_std: float = 0.02,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Give the layers of a model new starting values, each kind by its own rule."""

    def init(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std, generator=generator)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.LayerNorm):
            if module.weight is not None:
                nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    return model.apply(init)


def set_trainable(
    model: nn.Module, trainable: bool, prefixes: Sequence[str] | None = None
) -> list[str]:
    """Freeze or thaw the parameters of a model, or of named parts of it."""
    names = []
    for name, parameter in model.named_parameters():
        if prefixes is None or any(
            name == prefix or name.startswith(prefix + ".") for prefix in prefixes
        ):
            parameter.requires_grad = trainable
            if not trainable:
                parameter.grad = None
            names.append(name)
    return names


def _first_tensor(value):
    """The first tensor in a value, which may be a tensor or nested tuples and lists."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (tuple, list)):
        for part in value:
            found = _first_tensor(part)
            if found is not None:
                return found
    return None


def trace_shapes(model: nn.Module, *inputs) -> list[ShapeRecord]:
    """Run a model once and note the shapes that went into each of its layers and
    came out.
    """
    records, handles = [], []

    def add_hook(name, module):
        def hook(module, args, output):
            records.append(
                ShapeRecord(
                    name,
                    tuple(_first_tensor(args).shape),
                    tuple(_first_tensor(output).shape),
                )
            )

        handles.append(module.register_forward_hook(hook))

    for name, module in model.named_modules():
        if not list(module.children()):
            add_hook(name, module)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        model(*inputs)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return records


def load_matching(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load what fits of a state_dict, and say what did not: the first step
    of fine-tuning.
    """
    own = model.state_dict()
    loaded, missing, mismatched = [], [], []
    for name, tensor in own.items():
        if name not in state:
            missing.append(name)
        elif state[name].shape != tensor.shape:
            mismatched.append(name)
        else:
            tensor.copy_(state[name])
            loaded.append(name)
    unexpected = [name for name in state if name not in own]
    return LoadReport(loaded, missing, unexpected, mismatched)
