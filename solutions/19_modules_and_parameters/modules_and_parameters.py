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
    """One call of one leaf module, recorded by `trace_shapes`. Given: nothing to
    write here.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class LoadReport(NamedTuple):
    """The names that `load_matching` sorts into four lists. Given: nothing to
    write here.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]


def describe_state(module: nn.Module) -> dict[str, list[str]]:
    """Sort all registered tensors of a module by whether they are learned and saved.

    Args:
        module: any module, with its children.
    Returns:
        Four lists of dotted names ("0.weight"), each in the order of registration:
            "trainable": parameters with `requires_grad`;
            "frozen": parameters without;
            "buffers": buffers that are in the state_dict;
            "transient": buffers registered with `persistent=False`.
        For `nn.Linear(3, 2)`: trainable ["weight", "bias"], the others [].

    A tensor with two names (tied weights, a module used twice) is listed once, under
    the first. A parameter that is None and a plain tensor attribute are not listed.
    """
    saved = module.state_dict()
    parameters = list(module.named_parameters())
    buffers = [name for name, _ in module.named_buffers()]
    return {
        "trainable": [
            name for name, parameter in parameters if parameter.requires_grad
        ],
        "frozen": [
            name for name, parameter in parameters if not parameter.requires_grad
        ],
        "buffers": [name for name in buffers if name in saved],
        "transient": [name for name in buffers if name not in saved],
    }


class StandardizedLinear(nn.Module):
    """A linear layer that standardizes its input with the statistics of all rows it has
    seen in training.

    Written without `nn.Linear`; `F.linear` is fine.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        eps: float = 1e-5,
        generator: torch.Generator | None = None,
    ):
        """Register two parameters and three buffers, all saved and moved with
        the layer.

        Args:
            in_features, out_features, eps: kept as plain attributes.
            bias: False = `self.bias` is None and not in the state_dict.
            generator: source of all draws; None = the global one. With it the global
                generator does not move.

        Parameters: `weight` (out_features, in_features) and `bias` (out_features,),
        uniform within ±1 / √in_features. Buffers: `mean` (in_features,), all 0; `var`
        (in_features,), all 1; `count` (), int64, 0.
        """
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
        """Update the statistics in training mode, then standardize and apply the
        linear map.

        Args:
            x: (..., in_features). Every leading position is one row.
        Returns:
            (..., out_features): (x − mean) / √(var + eps) @ weightᵀ + bias, with the
            updated buffers.

        - In training: `count` becomes the number of all rows so far, `mean` and `var`
          their mean and population variance. After the rows [1.], [3.] and, in a second
          call, [8.]: 3, 4 and (9 + 1 + 16) / 3. In eval mode the buffers stay.
        - Statistics are constants to autograd and carry no graph.
        - They follow `.double()`, and `load_state_dict` brings them back.

        Edge cases ★
            A single vector is one row, whose variance is 0. A batch without rows
            changes nothing. x may be non-contiguous and is not written to. Buffers
            follow the layer to another device. A last dimension other than in_features
            is an error that names its size, and no buffer has changed.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"x has {x.shape[-1]} features, this layer takes {self.in_features}"
            )
        if self.training and x.numel():
            self._take_in(x.detach().reshape(-1, self.in_features))
        standardized = (x - self.mean) / torch.sqrt(self.var + self.eps)
        return F.linear(standardized, self.weight, self.bias)

    def _take_in(self, rows: Tensor) -> None:
        """Pool old and new statistics by Chan's update, which needs the distance
        between the two means.
        """
        self.count += len(rows)
        share = len(rows) / int(self.count)
        shift = rows.mean(dim=0) - self.mean
        spread = rows.var(dim=0, correction=0)
        self.var.copy_(
            (1 - share) * self.var
            + share * spread
            + share * (1 - share) * shift.square()
        )
        self.mean += share * shift


class SimpleSequential(nn.Module):
    """A chain of modules: each gets the output of the one before it.

    Args:
        args: modules, which are named "0", "1", …; or one OrderedDict, whose keys are
            the names.

    forward(x): x through all modules in order. len, iteration and seq[i] are those of a
    Python list. A slice is a SimpleSequential of the same module objects. A named
    module is also an attribute: `seq.fc1`. The names in `state_dict()` are those of
    nn.Sequential. A module that is passed twice runs twice.
    Written without nn.Sequential, nn.ModuleList and nn.ModuleDict, neither as base
    class nor inside.

    Edge cases ★
        Without modules, forward returns x. Negative indices count from the end; an
        index out of range is an IndexError. Anything but an nn.Module is an error
        on creation.
    """

    def __init__(self, *args: nn.Module | OrderedDict[str, nn.Module]):
        super().__init__()
        named = {str(i): module for i, module in enumerate(args)}
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = args[0]
        for name, module in named.items():
            self.add_module(name, _checked(module))

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        chosen = list(self)[index]
        return SimpleSequential(*chosen) if isinstance(index, slice) else chosen


class SimpleModuleList(nn.Module):
    """A list whose modules are registered, as "0", "1", ….

    Args:
        modules: any iterable of modules, a generator too; None = an empty list.

    append(module) adds a module at the end and returns the list itself. len, iteration
    and modules[i] are those of a Python list; a slice is a SimpleModuleList of the same
    module objects. The same object may be in it twice.
    Written without nn.Sequential, nn.ModuleList and nn.ModuleDict, neither as base
    class nor inside.

    Edge cases ★
        Negative indices count from the end; an index out of range is an IndexError.
        Anything but an nn.Module is an error on creation and in append.
    """

    def __init__(self, modules: Iterable[nn.Module] | None = None):
        super().__init__()
        for module in modules or ():
            self.append(module)

    def append(self, module: nn.Module) -> "SimpleModuleList":
        self.add_module(str(len(self)), _checked(module))
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        chosen = list(self)[index]
        return SimpleModuleList(chosen) if isinstance(index, slice) else chosen


class SimpleModuleDict(nn.Module):
    """A dict whose modules are registered under their keys.

    Args:
        modules: names and modules, in order; None = an empty dict.

    d[key], d[key] = module, key in d, len(d), iteration over the keys, keys(), values()
    and items() are those of a Python dict, in the order of insertion; replacing a
    module keeps its position. The same object may have two keys. Written without
    nn.Sequential, nn.ModuleList and nn.ModuleDict, neither as base class nor inside.

    Edge cases ★
        A missing key is a KeyError, also "training" or another attribute. Anything but
        an nn.Module is an error on creation and on assignment.
    """

    def __init__(self, modules: Mapping[str, nn.Module] | None = None):
        super().__init__()
        for key, module in (modules or {}).items():
            self[key] = module

    def __getitem__(self, key: str) -> nn.Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self.add_module(key, _checked(module))

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
    """Give the layers of a model new starting values, with one rule per kind of layer.

    Args:
        model: any module, itself included: a lone `nn.Linear` is initialised too.
        embedding_std: standard deviation of the embeddings.
        generator: source of all draws; None = the global one. With it the global
            generator does not move.
    Returns:
        `model` itself.

    | layer | weight | bias, if there is one |
    |---|---|---|
    | nn.Linear | uniform within ±√(6 / (in + out)), "Xavier" | 0 |
    | nn.Embedding | normal(0, embedding_std) | |
    | nn.LayerNorm | 1 | 0 |

    Every other module stays as it is. Write into the existing tensors: the same
    Parameter objects, still leaves, with the same `requires_grad`.

    Edge cases ★
        Subclasses of nn.Linear count as Linear. The row `padding_idx` of an embedding,
        if set, is 0. A LayerNorm may lack its bias, or both.
    """

    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std, generator=generator)
            if module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx] = 0
        elif isinstance(module, nn.LayerNorm):
            if module.weight is not None:
                nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    return model.apply(initialise)


def set_trainable(
    model: nn.Module, trainable: bool, prefixes: Sequence[str] | None = None
) -> list[str]:
    """Freeze or thaw the parameters of a model, or of named parts of it.

    Args:
        trainable: the new `requires_grad`.
        prefixes: names of parts ("encoder.layer1") or parameters ("head.bias");
            None = all parameters.
    Returns:
        The names of the parameters covered, in the order of `named_parameters()`,
        each once.

    A prefix covers the parameter of that very name and all whose names begin with it
    and a dot: "layer1" covers "layer1.weight" and not "layer10.weight". Freezing also
    sets `.grad` of the parameters covered to None; thawing leaves gradients alone.
    Everything else stays, training flags too.

    Edge cases ★
        An empty list covers nothing. A str is an error, and so is a prefix that covers
        nothing: the message names it, and no parameter has been changed.
    """
    if isinstance(prefixes, str):
        raise TypeError(
            f"prefixes should be a list of names, not the text {prefixes!r}"
        )
    parameters = dict(model.named_parameters())
    covered = list(parameters)
    if prefixes is not None:
        for prefix in prefixes:
            if not any(_covers(prefix, name) for name in parameters):
                raise ValueError(f"no parameter is called {prefix!r} or lies below it")
        covered = [
            name
            for name in parameters
            if any(_covers(prefix, name) for prefix in prefixes)
        ]
    for name in covered:
        parameters[name].requires_grad = trainable
        if not trainable:
            parameters[name].grad = None
    return covered


def trace_shapes(model: nn.Module, *inputs) -> list[ShapeRecord]:
    """Run a model once and record the input and output shape of each of its layers.

    Args:
        inputs: the arguments for the model.
    Returns:
        One ShapeRecord per call of a leaf (a module without children), in the order of
        the calls: a leaf called twice has two records. `name` is its name in
        `model.named_modules()`, "" if the model is a leaf itself. Shapes are
        plain tuples.

    Use forward hooks. The model runs in eval mode without gradients; buffers stay
    unchanged. Afterwards none of your hooks is left, and all others still are.

    Edge cases ★
        With several inputs or outputs, the shape is that of the first tensor, also
        inside tuples and lists. Every module gets its own training flag back. Flags and
        hooks are cleaned up after an error, too. If a leaf raises, a RuntimeError is
        raised from the original; it names the leaf and its input shape, as "(5, 4)".
        Errors outside of leaves stay as they are.
    """
    names = {
        module: name
        for name, module in model.named_modules()
        if not list(module.children())
    }
    modes = {module: module.training for module in model.modules()}
    records = []
    running = None  # the leaf that has begun and not ended: its name and input shape

    def begin(leaf: nn.Module, arguments: tuple) -> None:
        nonlocal running
        running = names[leaf], _first_shape(arguments)

    def end(leaf: nn.Module, arguments: tuple, output: object) -> None:
        nonlocal running
        records.append(ShapeRecord(*running, _first_shape(output)))
        running = None

    handles = [leaf.register_forward_pre_hook(begin) for leaf in names]
    handles += [leaf.register_forward_hook(end) for leaf in names]
    try:
        with torch.no_grad():
            model.eval()(*inputs)
    except Exception as error:
        if running is None:
            raise
        name, shape = running
        raise RuntimeError(
            f"{name!r} failed on an input of shape {shape}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return records


def load_matching(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load the tensors of a state_dict that fit, and report the rest: the first step
    of fine-tuning.

    Args:
        state: tensors by name, as `state_dict()` of another model gives them.
    Returns:
        LoadReport(loaded, missing, unexpected, mismatched), lists of names. Names in
        `model.state_dict()`, in that order: loaded = in `state` with the same shape;
        missing = not in `state`; mismatched = in `state` with another shape.
        unexpected = names in `state` that the model lacks, in the order of `state`.

    Copy values, parameters and buffers alike, into the model's own tensors: the same
    Parameter objects with their `requires_grad`, and no memory shared with `state`.
    Everything else keeps its values.

    Edge cases ★
        The model's dtype and device stay. `state` is not changed. Buffers that are not
        saved are not missing.
    """
    own = model.state_dict()
    report = LoadReport([], [], [name for name in state if name not in own], [])
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in state:
                report.missing.append(name)
            elif state[name].shape != tensor.shape:
                report.mismatched.append(name)
            else:
                tensor.copy_(state[name])
                report.loaded.append(name)
    return report


def _checked(module: object) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise TypeError(f"{module!r} is a {type(module).__name__}, not an nn.Module")
    return module


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _first_shape(value: object) -> tuple[int, ...] | None:
    """The shape of the first tensor in a tensor or a nesting of tuples and lists; None
    if there is none.
    """
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)):
        shapes = (_first_shape(item) for item in value)
        return next((shape for shape in shapes if shape is not None), None)
    return None
