"""nn.Module from the inside: what it registers, containers by hand, initialising, freezing, tracing, loading."""

import math
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShapeRecord(NamedTuple):
    """One call of one leaf module, as `trace_shapes` saw it. Given: nothing to write here."""

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class LoadReport(NamedTuple):
    """What `load_matching` did with each name. Given: nothing to write here."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]


def describe_state(module: nn.Module) -> dict[str, list[str]]:
    """Sort everything that a module has registered by what becomes of it.

    Args:
        module: any module; its children and theirs belong to it.
    Returns:
        Four lists of dotted names ("0.weight"):
            "trainable": parameters with `requires_grad`, which an optimizer may change;
            "frozen": parameters without;
            "buffers": tensors that are saved in the state_dict and not learned;
            "transient": buffers registered with `persistent=False`, which are not even saved.
        For `nn.Linear(3, 2)`: trainable ["weight", "bias"], the others []. All four keys are always there.

    Each list is in the order of registration: that of `named_parameters()` and `named_buffers()`. A tensor that has two
    names (tied weights, a module used twice) is listed once, under the first. A parameter that is None, and a tensor
    that is a plain attribute, appear nowhere.
    """
    saved = module.state_dict()
    parameters = list(module.named_parameters())
    buffers = [name for name, _ in module.named_buffers()]
    return {
        "trainable": [name for name, parameter in parameters if parameter.requires_grad],
        "frozen": [name for name, parameter in parameters if not parameter.requires_grad],
        "buffers": [name for name in buffers if name in saved],
        "transient": [name for name in buffers if name not in saved],
    }


class StandardizedLinear(nn.Module):
    """A linear layer that standardizes its input with the statistics of everything it has seen in training.

    Args:
        in_features, out_features: the widths of the input and the output.
        bias: False = `self.bias` is None, and the state_dict has no such key.
        eps: added to the variance before the root.
        generator: where weight and bias are drawn from; None = the global one. With it the global one does not move.

    Parameters: `weight` (out_features, in_features) and `bias` (out_features,), each uniform within ±1 / √in_features.
    Buffers, all saved: `mean` (in_features,), at first 0; `var` (in_features,), at first 1; `count` (), int64, at
    first 0. Plain attributes: `in_features`, `out_features`, `eps`. Nothing else is in the state_dict.

    forward(x): (..., in_features) → (..., out_features), any leading dimensions; every leading position is one row.
        In training mode the buffers take in x first: afterwards `count` is the number of all rows seen so far, `mean`
        their mean and `var` their population variance (divided by their number, not by one less). After the rows
        [1.], [3.] and then, in a second call, [8.]: count 3, mean 4, var (9 + 1 + 16) / 3. In eval mode they stay.
        Then, with the buffers as they are now, (x − mean) / √(var + eps) @ weightᵀ + bias.

    The statistics are constants to autograd: no gradient flows through them, and they never require one. They follow
    `.double()` and `.to(device)`, and the output has the dtype and device of x and the layer. After `load_state_dict`
    in another layer, training goes on with just the same statistics. A batch without rows changes nothing. x is not
    written to. Written without `nn.Linear`; `F.linear` is fine.

    Raises:
        ValueError: in forward, the last dimension of x is not in_features; the message names its size, and no buffer
            has changed.
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
        weight = torch.empty(out_features, in_features).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound, generator=generator))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("var", torch.ones(in_features))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.in_features:
            raise ValueError(f"x has {x.shape[-1]} features, this layer takes {self.in_features}")
        if self.training and x.numel():
            self._take_in(x.detach().reshape(-1, self.in_features))
        standardized = (x - self.mean) / torch.sqrt(self.var + self.eps)
        return F.linear(standardized, self.weight, self.bias)

    def _take_in(self, rows: Tensor) -> None:
        """Chan's update: the statistics of two groups of rows from those of each, and how far apart their means are."""
        self.count += len(rows)
        share = len(rows) / int(self.count)
        shift = rows.mean(dim=0) - self.mean
        spread = rows.var(dim=0, correction=0)
        self.var.copy_((1 - share) * self.var + share * spread + share * (1 - share) * shift.square())
        self.mean += share * shift


class SimpleSequential(nn.Module):
    """A chain of modules: each gets what the one before it returned. Like `nn.Sequential`, and written without it.

    Args:
        args: modules, which are named "0", "1", …; or one OrderedDict, whose keys are the names.

    forward(x): x through all modules in order; without any, x itself.
    len(seq) counts the modules, and iterating gives them in order. seq[i] is the i-th, negative i count from the end.
    seq[i:j] is a SimpleSequential of the same module objects (not copies). A named module is also an attribute:
    `seq.fc1`. The names in `state_dict()` are those of nn.Sequential, so that each loads what the other saved.
    `eval()`, `double()` and `parameters()` reach every module. An object that is passed twice runs twice, and is
    counted twice.

    Raises:
        TypeError: on creation, something is not an nn.Module (None, say, or an OrderedDict that is not alone); the
            message holds the name of its type: "NoneType".
        IndexError: an int index is out of range.
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
    """A list whose modules are registered. Like `nn.ModuleList`, and written without it (and without nn.Sequential).

    Args:
        modules: any iterable of modules, a generator too; None = an empty list.

    append(module) adds one at the end and returns the list itself. len, iteration and indices are those of a Python
    list: negative ints count from the end, and a slice gives a SimpleModuleList of the same module objects. The modules
    are registered as "0", "1", …, so that `parameters()`, `state_dict()`, `eval()` and `double()` reach them. The same
    object may be in it twice; it then has two names and two places. There is no forward.

    Raises:
        TypeError: on creation or in append, something is not an nn.Module; the message holds the name of its type.
        IndexError: an int index is out of range.
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
    """A dict whose modules are registered. Like `nn.ModuleDict`, and written without it.

    Args:
        modules: names and modules, in order; None = an empty dict.

    d[key], d[key] = module, key in d, len(d), iteration (over the keys), keys(), values() and items() are those of a
    Python dict, in the order of insertion: to replace a module leaves it in its place. Each module is registered under
    its key, so that `parameters()`, `state_dict()`, `eval()` and `double()` reach it. There is no forward. Keys are
    non-empty strings without dots that are no attribute of a module already.

    Raises:
        TypeError: on creation or on assignment, something is not an nn.Module; the message holds the name of its type.
        KeyError: d[key] for a key that is not there.
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
    model: nn.Module, *, embedding_std: float = 0.02, generator: torch.Generator | None = None
) -> nn.Module:
    """Give the layers of a model new starting values, each kind by its own rule.

    Args:
        model: any module, itself included: a lone `nn.Linear` is initialised too.
        embedding_std: standard deviation of the embeddings.
        generator: where every draw comes from; None = the global one. With it the global one does not move, and the
            same seed gives the same values.
    Returns:
        `model` itself.

    | layer | weight | bias |
    |---|---|---|
    | nn.Linear, and classes made from it | uniform within ±√(6 / (in + out)), "Xavier" | 0, if it has one |
    | nn.Embedding | normal(0, embedding_std), the row `padding_idx`, if set, 0 | |
    | nn.LayerNorm | 1, if it has one | 0, if it has one |

    Every other module stays as it is. Values are written into the tensors that are there: the same Parameter objects as
    before, with the same `requires_grad`, still leaves. `nn.Module.apply` walks through the model.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    equation 16; the 0.02 is that of GPT-2 and BERT.
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


def set_trainable(model: nn.Module, trainable: bool, prefixes: Sequence[str] | None = None) -> list[str]:
    """Freeze or thaw the parameters of a model, or of named parts of it.

    Args:
        trainable: the new `requires_grad`.
        prefixes: names of parts ("encoder", "encoder.layer1") or of single parameters ("head.bias"). A prefix covers
            the parameter of that very name and all whose names begin with it and a dot: "layer1" covers
            "layer1.weight" and not "layer10.weight". None = all parameters; an empty list covers none.
    Returns:
        The names of the parameters covered, in the order of `named_parameters()`, each once, also where two prefixes
        cover it. A shared parameter has only its first name there.

    Freezing also sets `.grad` to None, so that no optimizer step can use what is left of it; thawing leaves gradients
    alone. Parameters not covered, and the train/eval mode of every module, stay as they are.

    Raises:
        TypeError: `prefixes` is a str, which would be taken for a sequence of letters.
        ValueError: a prefix covers nothing; the message names it. On an error no parameter has been changed.
    """
    if isinstance(prefixes, str):
        raise TypeError(f"prefixes should be a list of names, not the text {prefixes!r}")
    parameters = dict(model.named_parameters())
    covered = list(parameters)
    if prefixes is not None:
        for prefix in prefixes:
            if not any(_covers(prefix, name) for name in parameters):
                raise ValueError(f"no parameter is called {prefix!r} or lies below it")
        covered = [name for name in parameters if any(_covers(prefix, name) for prefix in prefixes)]
    for name in covered:
        parameters[name].requires_grad = trainable
        if not trainable:
            parameters[name].grad = None
    return covered


def trace_shapes(model: nn.Module, *inputs) -> list[ShapeRecord]:
    """Run a model once and note the shapes that went into each of its layers and came out.

    Args:
        inputs: what the model is called with.
    Returns:
        One ShapeRecord for each call of a leaf (a module without children), in the order of the calls: a leaf that is
        called twice has two records, one that is never called has none. `name` is the leaf's name in
        `model.named_modules()`, so it is "" for a model that is a leaf itself. Shapes are plain tuples of ints, of the
        first tensor in the positional arguments and of the first in the output, whether these are tensors or hold them
        in tuples and lists, one inside another too: for an LSTM its input and its sequence of outputs.

    The model runs by way of hooks, in eval mode and without gradients. Afterwards, also if it raised, every module has
    the training flag that it had itself before (a model in training may have a part in eval mode), running statistics
    are unchanged, and no hook of ours is left, while those of others still are.

    Raises:
        RuntimeError: a leaf raised. The message holds the leaf's dotted name and the shape that went in, as "(5, 4)";
            the original error is its `__cause__`. What is raised outside of a leaf comes through as it is.
    """
    names = {module: name for name, module in model.named_modules() if not list(module.children())}
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
        raise RuntimeError(f"{name!r} failed on an input of shape {shape}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return records


def load_matching(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load what fits of a state_dict, and say what did not: the first step of fine-tuning.

    Args:
        state: tensors by name, as `state_dict()` of some other model gives them.
    Returns:
        LoadReport(loaded, missing, unexpected, mismatched), lists of names. Of the names in `model.state_dict()`, and
        in that order: loaded = in `state` with the same shape, missing = not in `state`, mismatched = there with
        another shape (and then not missing). unexpected = names in `state` that the model lacks, in the order of
        `state`.

    The values of what is loaded, parameters and buffers alike, are copied into the model's own tensors: the Parameter
    objects, `requires_grad`, dtype and device stay the model's, and no memory is shared with `state`, which is not
    written to. A shape that would only broadcast is mismatched. Everything that is not loaded keeps its values.
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
    """The shape of the first tensor in a tensor or a nesting of tuples and lists; None if there is none."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)):
        shapes = (_first_shape(item) for item in value)
        return next((shape for shape in shapes if shape is not None), None)
    return None
