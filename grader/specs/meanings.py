"""Say what an error of PyTorch means at the line that raised it: facts of its message
and of the line, no guess.
"""

import ast
import difflib
import math
import re
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from grader.specs import check, reading
from grader.specs.reading import Scope

Speak = Callable[[re.Match, ast.AST, Scope], str]
Layer = TypeVar("Layer", bound=nn.Module)

DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
REDUCTIONS = set("mean sum std var amax amin norm logsumexp prod".split())
DTYPES = {
    "bool": "bool", "byte": "uint8", "char": "int8", "short": "int16", "int": "int32",
    "long": "int64",
    "half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64",
}  # fmt: skip
# between what is found in a message and what is found in the code of the line
AT = r"[^\0]*\0.*"
MODULES = ("_parameters", "_buffers", "_modules")  # where a module keeps its attributes
NUMPYS = {  # what torch and its tensors call it
    "array": "torch.tensor", "astype": ".to(dtype)", "copy": ".clone()", "expand_dims":
        "unsqueeze", "fill": "fill_",
    "pad": "torch.nn.functional.pad", "permutation": "torch.randperm", "power": "pow",
    "rand": "torch.rand",
    "randint": "torch.randint", "randn": "torch.randn",
}  # fmt: skip
IMPORTS = {
    "F": "import torch.nn.functional as F", "math": "import math", "nn":
        "from torch import nn",
    "np": "import numpy as np", "torch": "import torch",
}  # fmt: skip

ARRAYS = {  # what NumPy has for a method of tensors
    "clamp": "np.clip", "clone": ".copy()", "exp": "np.exp", "log": "np.log",
    "masked_fill": "np.where",
    "permute": ".transpose", "softmax": "np.exp over its sum", "unsqueeze":
        "np.expand_dims", "view": ".reshape",
}  # fmt: skip


def meaning(error: BaseException, node: ast.AST, scope: Scope) -> str:
    """What the error says of this line; empty if it is none of those that are known."""
    for pattern, speak in (*SENTENCES.items(), *MEANINGS):
        if found := re.search(
            pattern, f"{error}\0{ast.unparse(node)}" if r"\0" in pattern else str(error)
        ):
            words = (
                speak.format(*found.groups())
                if isinstance(speak, str)
                else speak(found, node, scope)
            )
            if words:
                return words
    # by Python, from 3.12 on
    is_told = "Did you mean" in "".join(traceback.format_exception_only(error))
    return "" if is_told else _typo(str(error), node, scope)


def _typo(said: str, node: ast.AST, scope: Scope) -> str:
    """The nearest name that there is: of a variable, or in the object or module that
    lacks an attribute.
    """
    if found := re.search(r"^name '(\w+)' is not defined", said):
        if (
            reading.value(ast.Attribute(ast.Name("self"), found[1]), scope)
            is not reading.MISSING
        ):
            return f"`{found[1]}` is no name here: `self.{found[1]}` is"
        near = _nearest(found[1], scope)
        return f"`{found[1]}` is no name here, and `{near}` is" if near else ""
    found = re.search(r"has no attribute '(\w+)'$", said)
    for part in [
        one
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and found and one.attr == found[1]
    ]:
        held = reading.value(part.value, scope)
        owner = (
            torch.Tensor
            if held is reading.MISSING and said.startswith("'Tensor'")
            else held
        )
        # __name__ is near __ne__, and not meant
        is_odd = owner is reading.MISSING or part.attr.startswith("__")
        near = "" if is_odd else _nearest(part.attr, _names(owner))
        # a Tensor of the code's own lacks what torch's has
        if near not in ("", part.attr):
            return f"{_written(part)} is not there, and `{near}` is"
    return ""


def _names(owner: object) -> Iterable[str]:
    """The attributes that there are, without running a `__dir__` of the code
    under test.
    """
    registries = (
        [vars(owner).get(name) or {} for name in MODULES]
        if isinstance(owner, nn.Module)
        else []
    )
    return {
        *(dir(owner) if isinstance(owner, type) else object.__dir__(owner)),
        *(one for r in registries for one in r),
    }


def _nearest(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, [*names], n=1, cutoff=0.75)), "")


def _mean(found: re.Match, node: ast.AST, scope: Scope) -> str:
    name = _written(_operand("mean", node, scope))
    return (
        f"{name} holds {_dtype(found[1])}, and a mean is taken of floating-point "
        "numbers"
    )


def _leaf(found: re.Match, node: ast.AST, scope: Scope) -> str:
    return (
        f"{_written(_changed(node))} requires grad and was not computed from others (a "
        "leaf), so it may not be changed in place while autograd records"
    )


def _modified(found: re.Match, node: ast.AST, scope: Scope) -> str:
    shape = tuple(int(size) for size in found[1].split(",") if size.strip())
    maker = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found[2]).lower() if found[2] else ""
    known = f", to autograd a result of {maker}," if maker else ""
    return (
        f"backward needs a tensor of shape {shape}{known} as it was, and it has been "
        "changed in place since: "
        "`x += y` and methods that end in _ write into a tensor, `x = x + y` makes a "
        "new one"
    )


def _linear(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """Which linear layer it is: one that the line calls, or one in a container that
    it calls.
    """
    features, *sizes = (int(size) for size in found.groups())
    layers = [
        (f"{name}.{inner}".removesuffix("."), one)
        for name, held in _layers(nn.Module, node, scope)
        for inner, one in held.named_modules()
        if isinstance(one, nn.Linear) and [one.in_features, one.out_features] == sizes
    ]
    if len(layers) != 1:
        return ""
    return (
        f"`{layers[0][0]}` takes {sizes[0]} features in the last dimension, and its "
        f"input has {features}"
    )


def _unequal(found: re.Match, node: ast.AST, scope: Scope) -> str:
    a, b, place = found.groups()
    aligned = (
        f"shapes are aligned at their last dimensions, and at dimension {place} of "
        "the result the sizes"
    )
    sizes = f"{aligned} are {a} and {b}: "
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=turned, attr="T") if (
                len(check.shape_of(reading.value(turned, scope)) or ()) > 2
            ):
                return (
                    f"{_written(part)} turns all dimensions around: .mT swaps the "
                    "last two alone"
                )
            case ast.BinOp(
                left=whole,
                right=ast.Call(
                    func=ast.Attribute(value=reduced, attr=name),
                    args=args,
                    keywords=keywords,
                ) as part,
            ) if name in REDUCTIONS and ast.unparse(whole) == ast.unparse(reduced):
                named = {one.arg for one in keywords}
                if "keepdim" not in named and (
                    named & {"dim", "axis"} or any(map(_is_whole, args))
                ):
                    return (
                        f"{sizes}{_written(part)} drops its dimension, and "
                        "keepdim=True keeps it with size 1"
                    )
    return f"{sizes}they must be equal, or one of them 1"


def _is_whole(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant | ast.UnaryOp) and isinstance(
        ast.literal_eval(node), int
    )


def _two_dtypes(found: re.Match, node: ast.AST, scope: Scope) -> str:
    a, b = _dtype(found[1]), _dtype(found[2])
    match [pair for part in ast.walk(node) for pair in _factors(part, scope)]:
        case [(left, right)]:
            return (
                f"a product takes tensors of one dtype: {_written(left)} is {a} and "
                f"{_written(right)} {b}"
            )
    return f"a product takes tensors of one dtype, and these are {a} and {b}"


def _factors(node: ast.AST, scope: Scope) -> list[tuple[ast.expr, ast.expr]]:
    """What a product multiplies: the sides of @, or a linear layer's input and
    the layer.
    """
    match node:
        case ast.BinOp(left=left, right=right, op=ast.MatMult()):
            return [(left, right)]
        case ast.Call(func=layer, args=[given]) if isinstance(
            reading.value(layer, scope), nn.Linear
        ):
            return [(given, layer)]
    return []


def _devices(found: re.Match, node: ast.AST, scope: Scope) -> str:
    parts = {
        ast.unparse(part): part
        for part in ast.walk(node)
        if isinstance(part, (ast.Name, ast.Attribute))
    }
    held = {name: reading.value(part, scope) for name, part in parts.items()}
    held = {
        name: next(one.parameters(), None) if isinstance(one, nn.Module) else one
        for name, one in held.items()
    }
    places = {
        name: str(one.device)
        for name, one in held.items()
        if isinstance(one, torch.Tensor)
    }
    named = (
        ", ".join(f"`{name}` on {place}" for name, place in places.items())
        if len({*places.values()}) > 1
        else ""
    )
    return f"two devices meet here{': ' if named else ''}{named}"


def _whole(found: re.Match, node: ast.AST, scope: Scope) -> str:
    what = "targets are class" if found[1] else "ids are whole"
    return (
        f"{what} numbers, of dtype int64, and these hold {_dtype(found[1] or found[2])}"
    )


def _index(found: re.Match, node: ast.AST, scope: Scope) -> str:
    # the message's dimension is counted wrongly where a tensor is the index
    size = int(found[1])
    return f"along a dimension of size {size}, " + (
        f"indices are 0 to {size - 1}" if size else "there is no index"
    )


def _embedding(found: re.Match, node: ast.AST, scope: Scope) -> str:
    layers = _layers(nn.Embedding, node, scope)
    if len(layers) != 1:
        return "an id is below 0, or not below the number of rows"
    [(name, layer)] = layers
    return (
        f"`{name}` has {layer.num_embeddings} rows, so ids are 0 to "
        f"{layer.num_embeddings - 1}"
    )


def _dimension(found: re.Match, node: ast.AST, scope: Scope) -> str:
    first, last, given = (group.replace("-", "−") for group in found.groups())
    return (
        f"dimensions count from 0, here to {last}, or from the end, here from −1 to "
        f"{first}: {given} is none of them"
    )


def _places(found: re.Match, node: ast.AST, scope: Scope) -> str:
    sizes, numbers = (
        [int(size) for size in found[1].split(",") if size.strip()],
        int(found[2]),
    )
    places = math.prod(size for size in sizes if size != -1)
    if -1 in sizes:
        return (
            f"{numbers} numbers cannot be shared out in parts of {places}: no size "
            "for −1 fits"
        )
    return f"({found[1]}) has {places} places, and there are {numbers} numbers"


def _start(found: re.Match, node: ast.AST, scope: Scope) -> str:
    operand = _operand("backward", node, scope)
    shape = (
        check.shape_of(reading.value(operand, scope)) if operand is not None else None
    )
    given = f", and {_written(operand)} has shape {shape}" if shape is not None else ""
    return f"backward starts from one number{given}"


def _tuple(found: re.Match, node: ast.AST, scope: Scope) -> str:
    parts = {
        ast.unparse(one): reading.value(one, scope)
        for one in ast.walk(node)
        if isinstance(one, ast.Name)
    }
    held = [
        f"`{name}` is a tuple of {len(one)}"
        for name, one in parts.items()
        if type(one) is tuple
    ]
    return f"{held[0] if len(held) == 1 else 'this is a tuple'}, not a tensor or number"


def _pairs(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """What is taken apart as if it were one item, and is a list of such items."""
    for part in ast.walk(node):
        match part:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=made):
                held, fits = (
                    reading.value(made, scope),
                    lambda one: type(one) is tuple and len(one) == len(names),
                )
                if type(held) is list and all(map(fits, held)):
                    name = ast.unparse(made)
                    return (
                        f"`{name}` is a list of such items: zip(*{name}) puts the "
                        "first of each together"
                    )
    return ""


def _attribute(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """Whose attribute it is: an object whose class never sets it, or a value of another
    kind than the line expects.
    """
    for part in ast.walk(node):
        if not isinstance(part, ast.Attribute) or part.attr != found[2]:
            continue
        held = reading.value(part.value, scope)
        if isinstance(part.value, ast.Name) and part.value.id in ("self", "ctx"):
            near = _nearest(found[2], _names(held))
            return f"{_written(part)} is read here, and not set" + (
                f"; `{near}` is" if near else ""
            )
        if isinstance(held, (str, int, float, dict)):
            return (
                f"{_written(part.value)} is {check.describe(held)}, which has no "
                f"`{found[2]}`"
            )
        if held is reading.MISSING and found[1] == "dict":
            return (
                f"{_written(part.value)} is a dict, which has no `{found[2]}`: [ ] "
                "picks one of its values"
            )
    return ""


def _numpys(found: re.Match, node: ast.AST, scope: Scope) -> str:
    is_torchs = "torch" in scope or "F" in scope  # TinyTorch has a Tensor, too
    return (
        f"`{found[1]}` is a name of NumPy: in PyTorch it is {NUMPYS[found[1]]}"
        if is_torchs
        else ""
    )


def _import(found: re.Match, node: ast.AST, scope: Scope) -> str:
    if f"{found[1]}." not in ast.unparse(node):
        return ""  # a variable, such as F features
    if found[1] in ("torch", "F", "nn") and "np" in scope and "torch" not in scope:
        return "this track is written in NumPy"
    if found[1] == "np" and "torch" in scope:
        return (
            "NumPy is not imported in this file: torch has functions for tensors itself"
        )
    return f"`{IMPORTS[found[1]]}` is missing at the head of the file"


def _functional(found: re.Match, node: ast.AST, scope: Scope) -> str:
    # TinyTorch has a Tensor, too
    is_there = callable(vars(F).get(found[1])) and ("torch" in scope or "F" in scope)
    return f"it is in torch.nn.functional: F.{found[1]}" if is_there else ""


def _float(found: re.Match, node: ast.AST, scope: Scope) -> str:
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call | ast.Subscript)]
    given = [
        part
        for one in calls
        for part in (one.args if isinstance(one, ast.Call) else [one.slice])
    ]
    parts = {ast.unparse(one): one for part in given for one in ast.walk(part)}
    is_divided = {
        text: isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div)
        for text, one in parts.items()
    }
    made = [
        text
        for text, one in parts.items()
        if is_divided[text] or type(reading.value(one, scope)) is float
    ]
    if not made and found[0].startswith("reshape"):
        return ""  # its message says nothing of a float
    what = f"`{made[0]}`" if len(made) == 1 else "one of these"
    return f"whole numbers are asked for, and {what} is a float: / always makes one"


def _called(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """What is called, and is none of the things that can be."""
    called = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    held = [
        one for one in called if type(reading.value(one, scope)).__name__ == found[1]
    ] or called
    is_told = len(held) == 1 and isinstance(held[0], ast.Name | ast.Attribute)
    return (
        (
            f"{_written(held[0])} is a plain {found[1]}, and brackets call a function "
            "or method"
        )
        if is_told
        else ""
    )


def _iterated(found: re.Match, node: ast.AST, scope: Scope) -> str:
    kind = "None" if found[1] == "NoneType" else found[1]
    return (
        f"`__iter__` returned {kind}: it returns an iterator, or is a generator with "
        "`yield`"
    )


def _grid(found: re.Match, node: ast.AST, scope: Scope) -> str:
    for part in [one for one in ast.walk(node) if isinstance(one, ast.Call)]:
        if not isinstance(part.func, ast.Subscript) or isinstance(
            part.func.slice, ast.Tuple
        ):
            continue
        if _is_tritons(reading.value(part.func.value, scope)):
            kernel, number = ast.unparse(part.func.value), ast.unparse(part.func.slice)
            return f"a grid is a tuple, also of one number: `{kernel}[({number},)](…)`"
    return ""


def _address(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """A pointer of a kernel that is indexed."""
    for part in [one for one in ast.walk(node) if isinstance(one, ast.Subscript)]:
        held = reading.value(part.value, scope)
        if _is_tritons(held) and held.dtype.is_ptr():
            name = ast.unparse(part.value)
            way = (
                "tl.store({} + …, …) writes"
                if isinstance(part.ctx, ast.Store)
                else "tl.load({} + …) reads"
            )
            return f"`{name}` is an address: {way.format(name)} there"
    return ""


def _is_tritons(held: object) -> bool:
    return type(held).__module__.startswith(("triton.", "grader.kernels"))


def _ends(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """What stands at the end of a slice and is no whole number."""
    for part in [one for one in ast.walk(node) if isinstance(one, ast.Slice)]:
        for end in (part.lower, part.upper, part.step):
            held = reading.value(end, scope) if end is not None else None
            if (
                held is not None
                and held is not reading.MISSING
                and not hasattr(held, "__index__")
            ):
                return (
                    f"the ends of a slice are whole numbers, and {_written(end)} is "
                    f"{check.describe(held)}"
                )
    return ""


def _turned(found: re.Match, node: ast.AST, scope: Scope) -> str:
    for part in [
        one
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and one.attr == "T"
    ]:
        if len(check.shape_of(reading.value(part.value, scope)) or ()) > 2:
            return (
                f"{_written(part)} turns all dimensions around: swapaxes(-1, -2) "
                "swaps the last two alone"
            )
    return ""


def _given_none(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """The one argument of the line's calls that is None and is not written so."""
    given = [
        one
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        for one in call.args
    ]
    empty = {
        _written(one)
        for one in given
        if not isinstance(one, ast.Constant) and reading.value(one, scope) is None
    }
    return f"{empty.pop()} is None here" if len(empty) == 1 else ""


def _local(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """Why a name has no value: it is the module's, too, or its line was not reached."""
    name, outer = found[1], reading.value(ast.Name(found[1]), scope)
    if outer is reading.MISSING:
        return (
            f"`{name}` has no value here: none was assigned on the way, or `del` or "
            "the end of an `except` took it"
        )
    return (
        f"the function assigns `{name}`, which makes that a name of its own, without "
        "a value here"
    )


def _items(found: re.Match, node: ast.AST, scope: Scope) -> str:
    for part in [one for one in ast.walk(node) if isinstance(one, ast.Subscript)]:
        held = reading.value(part.value, scope)
        if isinstance(held, list):
            many = f"indices are 0 to {len(held) - 1}" if held else "there is no index"
            return (
                f"{_written(part.value)} has {len(held)} "
                f"item{'s' * (len(held) != 1)}, so {many}"
            )
    return ""


def _zero(found: re.Match, node: ast.AST, scope: Scope) -> str:
    divisors = [
        one.right
        for one in ast.walk(node)
        if isinstance(one, ast.BinOp) and isinstance(one.op, DIVISIONS)
    ]
    # of `%` it may be what a text holds
    divisors = [one for one in divisors if not isinstance(one, ast.Constant)]
    if len(divisors) != 1:
        return ""
    held = reading.value(divisors[0], scope)
    is_zero = held is reading.MISSING or (isinstance(held, (int, float)) and held == 0)
    return f"{_written(divisors[0])} is 0 here" if is_zero else ""


def _none(found: re.Match, node: ast.AST, scope: Scope) -> str:
    """What is None at the line, if it is one thing."""
    parts = {
        ast.unparse(one): one
        for one in ast.walk(node)
        if isinstance(one, (ast.Name, ast.Attribute))
    }
    gradients = [
        one
        for one in parts.values()
        if isinstance(one, ast.Attribute) and one.attr == "grad"
    ]
    if any(reading.value(one.value, scope) is not reading.MISSING for one in gradients):
        name, held = _written(gradients[0]), reading.value(gradients[0].value, scope)
        if "zero_" in found.string:
            return (
                f"{name} is None here, as before the first backward and after an "
                "optimizer's zero_grad()"
            )
        if isinstance(held, torch.Tensor) and held.is_leaf and held.requires_grad:
            return (
                f"{name} is None: no backward has reached it since it was last set to "
                "None"
            )
        return (
            f"{name} is None: backward fills .grad of tensors that require grad and "
            "were not computed "
            "from others; .clone() or arithmetic makes one that is computed"
        )
    empty = [name for name, one in parts.items() if reading.value(one, scope) is None]
    return f"`{empty[0]}` is None here" if len(empty) == 1 else ""


def _keys(found: re.Match, node: ast.AST, scope: Scope) -> str:
    missing, unknown = (
        ", ".join(re.findall(r'"([^"]+)"', line[1])[:3])
        if (line := re.search(rf"{kind} key\(s\) in state_dict: (.*)", found.string))
        else ""
        for kind in ("Missing", "Unexpected")
    )
    if missing and unknown:
        ours, theirs = missing.partition(",")[0], unknown.partition(",")[0]
        return (
            f"names differ: the first that is missing is {ours}, the first unknown "
            f"{theirs}"
        )
    return (
        f"the state lacks {missing}"
        if missing
        else unknown and f"the module has no {unknown}"
    )


def _kept_dtype(found: re.Match, node: ast.AST, scope: Scope) -> str:
    result, kept = _dtype(found[1]), _dtype(found[2])
    return (
        f"an operation in place keeps its tensor's dtype, {kept}, and the result is "
        f"{result}"
    )


def _operand(name: str, node: ast.AST, scope: Scope) -> ast.expr | None:
    """What the line's one call of this name works on: `x` of `x.mean()` and of
    `torch.mean(x)`.
    """
    calls = [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr == name
    ]
    match calls:
        case [ast.Call(func=ast.Attribute(value=owner), args=given)]:
            return (
                next(iter(given), None)
                if isinstance(reading.value(owner, scope), ModuleType)
                else owner
            )
    return None


def _changed(node: ast.AST) -> ast.expr | None:
    """The one tensor that the line writes into."""
    written = []
    for part in ast.walk(node):
        match part:
            case ast.AugAssign(target=ast.Subscript(value=target) | target):
                written.append(target)
            case ast.Assign(targets=[ast.Subscript(value=target)]):
                written.append(target)
            case ast.Call(func=ast.Attribute(value=target, attr=name)) if re.search(
                r"[^_]_$", name
            ):
                written.append(target)
    return written[0] if len(written) == 1 else None


def _written(operand: ast.expr | None) -> str:
    return f"`{ast.unparse(operand)}`" if operand is not None else "the tensor"


def _layers(kind: type[Layer], node: ast.AST, scope: Scope) -> list[tuple[str, Layer]]:
    """The layers of this kind that the line calls, with how they are written."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return [
        (ast.unparse(one), held)
        for one in calls
        if isinstance(held := reading.value(one, scope), kind)
    ]


def _dtype(name: str) -> str:
    return DTYPES.get(name.split()[0].lower(), name)


# The first pattern that is found speaks: a sentence with its groups. What follows AT or
# \0 is of the line's code.
SENTENCES = {
    r"Boolean value of Tensor[^\0]*\0((?:\w+\.)*[A-Z]\w*Loss)\((?!\w+=|.*\)\().+, "
    r".*\)$":
        "{0} is a class: `{0}()` makes the loss, which takes the tensors",
    r"must be (?:an )?(?:int|float|tuple of ints)(?: or "
    r"None)?,[^\0]*\bTensor[^\0]*\0((?:\w+\.)*[A-Z]\w+)\((?!\w+=)":
        "{0} is a class: `{0}(…)` takes settings, and what it makes takes tensors",
    rf"grad can be implicitly created only for scalar outputs{AT}\bgrad\(":
        "gradients start from one number, or from many with a weight for each, "
        "grad_outputs",
    r"only one element tensors can be "
    rf"converted{AT}?\bmath\.(exp|log\d*p?|sqrt|sin|cos|tanh?|floor|ceil|erf)\(":
        "math.{0} takes one number: `.{0}()`, a tensor's own, takes each element",
    r"^(sqrt|exp|log|log2|sin|cos|tanh|floor|ceil|erf)\(\): argument 'input' .* must "
    r"be Tensor, not (?:int|float)":
        "torch.{0} takes a tensor, and this is a plain number, which math.{0} takes",
    r"log_softmax\w*\" not implemented for 'Long'\0.*\bcross_entropy\(":
        "scores are floating-point numbers, and these hold int64: cross_entropy takes "
        "the scores first, then targets",
    rf"^[\w.<>]+\(\) (?:missing \d|takes ){AT}?\b(\w+)\(args, kwargs\)":
        "`{0}(args, kwargs)` hands on two arguments, and `{0}(*args, **kwargs)` what "
        "is in them",
    r"inLengthPerRank\[myRank\] == outLengthPerRank\[myRank\]":
        "what a rank sends to itself it receives: of its own rows, as many are "
        "awaited as sent",
    r"^Both operands must be same dtype\. Got (\w+) and (\w+)":
        "tl.dot takes two tiles of one dtype, and these are {0} and {1}",
    r"^output with shape \[([\d, ]*)\] doesn't match the broadcast shape \[([\d, ]*)\]":
        "what is written into keeps its shape, ({0}), and this would make it ({1})",
    r"Expected idx >= 0 && idx < num_embeddings but|^Expected i < index_size|^Index "
    r"\d+ of input takes value":
        "an id is below 0, or not below the number of rows",
    r"\bddof\b":
        "NumPy's `ddof` is `correction` in PyTorch, so `ddof=0` is `correction=0`",
    r"missing \d+ required positional arguments?: \"(\w+)\"": "`{0}` has no default",
    r"^(?:max|min)(?:imum)?\(\).*(?:got \((?:Tensor, )?float\)|must be Tensor, not "
    r"(?:int|float))":
        "torch.max compares two tensors, and one here is a number, as .clamp(min=…) "
        "and .clamp(max=…) take",
    r"^randint.*(?:must be tuple of ints, not int|got \(int, int, (?:int|generator)\b)":
        "randint takes (high, size) or (low, high, size), and the size is a tuple",
    rf"values to unpack{AT}\bfor \(?\w+, \w+\)? in \(?([\w.]+), ([\w.]+)\)?[:\]]":
        "the loop goes through `{0}` and `{1}` one after the other, and through "
        "zip({0}, {1}) in pairs",
    rf"values to unpack{AT}\bzip\(([^*(),]+)\)":
        "zip sees one list, `{0}`, and so makes tuples of one item each",
    rf"values to unpack{AT}\.split\((\d+), (?:dim=)?-?\d+\)":
        "split({0}) makes parts of size {0}, as many as there are",
    r"not enough values to unpack \(expected (\d+), got (\d+)\)[^\0]*\0[\w, ]+ = "
    r"[\w.]+\.chunk\((\d+)[^()]*\)$":
        "chunk({2}) made {1} parts for {0} names",
    r"^iteration over a 0-d tensor\0.*, .* = .*\.(max|min|median)\(\)$":
        "{0}() gives one number, and {0}(dim=…) values and indices",
    r"^list is not a Module subclass\0(?:[\w.]+ = )?(?:\w+\.)*Sequential\(([\w.]+)\)$":
        "nn.Sequential takes its layers one by one, and `{0}` is a list, which `*{0}` "
        "hands on one by one",
    r"^torch\.finfo\(\) requires a floating point":
        "finfo tells of a floating-point dtype, and this is none",
    r"^Strings must be encoded before hashing":
        'a digest is taken of bytes: a file opened with "rb" gives them, and a text '
        'its .encode()',
    rf"^expected 'f' to be string, path{AT}\.save\((.+), ([^ ]+)\)$":
        "torch.save takes what is saved, and then the file: `{1}` is neither a path "
        "nor a file",
    r"argument 'dtype' .*must be torch\.dtype, not "
    r"type\0.*dtype=np\.((?:u?int|float)(?:16|32|64))\b":
        "`np.{0}` is NumPy's dtype, and `torch.{0}` is PyTorch's",
    r"^slice indices must be integers[^\0]*\0.*\.(startswith|endswith)\(('[^']*'), "
    r"('[^']*')\)":
        "several texts are one tuple: .{0}(({1}, {2}))",
    r"expanded size of the tensor \(-1\) isn't allowed in a leading":
        "expand got more sizes than there are dimensions, and −1 stands only for one "
        "that is there",
    r"^expand\(.*number of sizes provided \((\d+)\) .* dimensions in the tensor "
    r"\((\d+)\)":
        "expand takes a size for each of the {1} dimensions, −1 to keep it, and got "
        "{0}",
    r"^\w+\.(\w+)\(\) takes 0 positional arguments but 1 was "
    r"given\0(?:.*\.\1\(\)|(?!.*\1))":
        "`def {0}()` takes nothing, and a method is given its object (`self`) or its "
        "class",
    r"^'str' object cannot be interpreted as an integer\0.*\bbytes\(":
        "a text is no number: going through a text gives characters, and through its "
        "`.encode()` bytes",
    r"for \+: '\w+Path' and 'str'":
        "a path takes no `+`, and `/` comes before `+`",
    r"Module \[(Module(?:List|Dict))\] is missing":
        "nn.{0} only holds its layers: it calls none of them",
    r"^(?:LSTM|GRU|RNN)Cell: Expected h\w+(?:\[\d\])? to be 1D or 2D, got 3D":
        "the state of a cell has no dimension of layers, which that of nn.LSTM and "
        "its like has in front",
    r"^_(sum|mean|a?max|a?min|var|std|prod|any|all)\(\) got an unexpected .* "
    r"'(?:keep)?dim'[^\0]*\0(?!.*\b_\1)":
        "this is a NumPy array: dim= is axis=, and keepdim= is keepdims=",
    r"^axes don't match array":
        "NumPy's transpose takes all dimensions: swapaxes(-1, -2) swaps the last two",
    r"^'(None|float)(?:Type)?' object cannot be interpreted as an integer\0len\(\w+\)$":
        "`__len__` returned {0}, and a length is a whole number",
    r"^save_for_backward can only save variables, but argument \d+ is of type (\w+)":
        "ctx.save_for_backward takes tensors alone, and one of its arguments is a "
        "{0}: `ctx.name = …` keeps that",
    r"inhomogeneous shape":
        "one array is asked of items that differ in shape",
    r"stack expects each tensor to be equal size.*got \[([\d, ]*)\] at entry \d+ and "
    r"\[([\d, ]*)\] at entry (\d+)":
        "stack takes tensors of one shape: the first is ({0}), and number {2}, "
        "counted from 0, is ({1})",
    r"expects? (?:ed )?a non-empty (?:list of Tensors|TensorList)|expected a "
    r"non-empty list":
        "the list of tensors is empty",
    r"zero-dimensional tensor \(at position \d+\) cannot be concatenated":
        "cat joins along a dimension that tensors have, and a single number has none; "
        "stack joins along a new one",
    r"Expected input batch_size \((\d+)\) to match target batch_size \((\d+)\)":
        "one target for each row of scores is asked for, and there are {0} rows and "
        "{1} targets",
    r"view size is not compatible with input tensor's size and stride":
        "view moves no number, and transpose, permute, expand and slices change how "
        "they lie in memory",
    r"cannot assign '[\w.]+' as parameter '(\w+)'":
        "`{0}` is a parameter of the module: nn.Parameter(…) makes another, copy_ "
        "under torch.no_grad() writes into it",
}  # fmt: skip
# Then these: a sentence, too, or what a function makes of the groups.
MEANINGS: list[tuple[str, str | Speak]] = [
    (r"^'(tuple|int|str|list|dict|float|bool)' object is not callable", _called),
    (
        r"^'([<>]=?)' not supported between instances of 'Tensor' and",
        lambda found, node, scope: (
            ""
            if "torch" in scope
            else (
                f"a Tensor of this track has no `{found[1]}`, and its numbers, in "
                "`.data`, have"
            )
        ),
    ),
    (r"mean\(\): could not infer output dtype.*Got: (\w+)", _mean),
    (
        (
            r"(?:Boolean|truth) value of (?:a |an )?(?:[Tt]ensor|array) with more "
            r"than one (?:value|element) is ambiguous"
        ),
        "one yes or no is asked of many elements: `&`, `|` and `~` work on each "
        "(`and`, `or` and `not` do not), "
        "where chooses for each, .all() and .any() make one answer of them",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "there is no graph to go back through: nothing in it requires grad, or the way "
        "is cut, as by .detach(), .item(), torch.tensor(…), NumPy or torch.no_grad()",
    ),
    (
        (
            r"differentiated Tensors? (?:at index \d+ )?appears to not have been used "
            r"in the graph"
        ),
        "no graph leads from the result to one of these tensors",
    ),
    (r"leaf Variable that requires grad is being used in an in-place operation", _leaf),
    (
        (
            r"modified by an inplace operation: \[\S+ \[([\d, ]*)\]\](?:, which is "
            r"output \d+ of (\w+?)(?:Backward\d*)?,)?"
        ),
        _modified,
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x(\d+)\)",
        _linear,
    ),
    (
        r"expected input\[([\d, ]+)\] to have (\d+) channels, but got (\d+) channels",
        "channels stand right before the length, or before height and width: "
        "the layer takes {1}, and ({0}) has {2} there",
    ),
    (
        (
            r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at "
            r"non-singleton dimension (\d+)"
        ),
        _unequal,
    ),
    (r"same dtype, but got:? (\w+(?: int)?) (?:!=|and) (\w+(?: int)?)", _two_dtypes),
    (
        (
            r"is not on the expected device|[Ee]xpected all tensors to be on the same "
            r"device"
        ),
        _devices,
    ),
    (
        (
            r"target dtype to be Long or Byte, but got (\w+)|Long, Int; but got "
            r"torch\.(?:cuda\.)?(\w+)Tensor"
        ),
        _whole,
    ),
    (
        r"tensors used as indices must be long|one_hot is only applicable to index "
        r"tensor"
        r"|dtype int32\W+(?:or )?int64 for index",
        "an index is of dtype int64, and a mask of bool: this is neither",
    ),
    (
        r"index -?\d+ is out of bounds for (?:dimension|axis) \d+ with size (\d+)",
        _index,
    ),
    (
        r"Target (-?\d+) is out of bounds",
        (
            "a target is {0}, and classes go from 0 to one less than the size of "
            "dimension 1 of the logits"
        ),
    ),
    (r"^index out of range in self", _embedding),
    (
        (
            r"Dimension out of range \(expected to be in range of \[(-\d+), (\d+)\], "
            r"but got (-?\d+)\)"
        ),
        _dimension,
    ),
    (r"shape '\[([-\d, ]*)\]' is invalid for input of size (\d+)", _places),
    (
        (
            r"must match except in dimension (\d+)\. Expected size (\d+) but got size "
            r"(\d+) for tensor number (\d+)"
        ),
        (
            "tensors joined along dimension {0} agree in all others: one has {1} "
            "where tensor {3}, counted from 0, has {2}"
        ),
    ),
    (r"grad can be implicitly created only for scalar outputs", _start),
    (r"Error\(s\) in loading state_dict", _keys),
    (
        r"(?:torch\.return_types\.|^tuple indices must be integers or slices, not "
        rf"tuple{AT}\.)"
        r"(max|min|sort|topk|median|mode|kthvalue|cummax|cummin)\b",
        "{0} along a dimension returns two tensors: .values and .indices",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        (
            "the tensor belongs to a graph, which NumPy does not know; .detach() "
            "gives the numbers without one"
        ),
    ),
    (
        r"^reshape\(\) takes 1 positional argument but|^view\(\) received .* got "
        r"\((?:int, )*float\b"
        r"|but got float\"?$|\(got float\)$|must be tuple of ints, not float$|'float' "
        r"object cannot be interpreted as",
        _float,
    ),
    (
        (
            r"failed to unpack the object at pos \d+ with error .*but got "
            r"(?:tuple|torch\.Size|list)"
        ),
        (
            "a whole tuple stands among the sizes: `*` in front of it hands on what "
            "is in it"
        ),
    ),
    (
        r"^tuple indices must be .* not tuple|^'tuple' object has no attribute|between "
        r"instances of .*'tuple'"
        r"|type\(s\) for .*'tuple'",
        _tuple,
    ),
    (
        r"can only concatenate (tuple|list) \(not \"([\w.]+)\"\)",
        "`+` joins a {0} to another {0}, and this is one of type {1}",
    ),
    (
        (
            r"^(?:'Tensor' object|'Parameter' object|module 'torch[\w.]*') has no "
            r"attribute '("
        )
        + "|".join(NUMPYS)
        + ")'$",
        _numpys,
    ),
    (
        r"^(?:'(?:Tensor|Parameter)' object|module 'torch') has no attribute '(\w+)'$",
        _functional,
    ),
    (rf"^name '({'|'.join(IMPORTS)})' is not defined", _import),
    (r"too many values to unpack", _pairs),
    (r"^slice indices must be integers", _ends),
    (r"^matmul: Input operand \d has a mismatch in its core dimension", _turned),
    (
        r"received an invalid combination of arguments - got \([^)]*\bNoneType\b",
        _given_none,
    ),
    (
        (
            r"^transpose\(\) (?:takes [23] positional arguments but [3-9]|received .* "
            r"- got \(int, int, int)"
        ),
        "transpose swaps two dimensions: permute takes a whole order of them",
    ),
    (
        r"^'torch\.Size' object is not callable",
        "a shape is a tuple, not a method: [ ] picks from it",
    ),
    (r"[Mm]eta tensor", "a tensor on the device meta has a shape and no numbers"),
    (r"^iter\(\) returned non-iterator of type '(\w+)'", _iterated),
    (
        r"ReduceOp\) -> None\s+Invoked with: .*, '(\w+)'$",
        "op is a dist.ReduceOp, such as dist.ReduceOp.SUM, and '{0}' is a text",
    ),
    # Kernels.
    (r"^object of type 'int' has no len", _grid),
    (
        r"only 0-dimensional arrays can be converted|^'int' object is not iterable",
        _address,
    ),
    (
        r"^arange's arguments must be of type tl\.constexpr",
        (
            "tl.arange takes what is known before the kernel runs: plain numbers, and "
            "arguments that are `tl.constexpr`"
        ),
    ),
    (
        r"^arange's range must be a power of 2",
        (
            "tl.arange makes a power of two of numbers; a mask leaves out those that "
            "are too many"
        ),
    ),
    (
        r"^'torch\.dtype' object has no attribute 'is_ptr'"
        # before Triton 3.9
        r"|^'builtin_function_or_method' object has no attribute 'scalar'",
        "a tensor of torch is in a kernel, which computes with those of tl",
    ),
    (
        r"must be Tensor, not tensor$",
        "a function of torch is called in a kernel, which computes with those of tl",
    ),
    (
        r"^'list' object has no attribute '(\w+)'",
        lambda found, *_: (
            f"a tensor has `{found[1]}`, and a list does not"
            if hasattr(torch.Tensor, found[1])
            else ""
        ),
    ),
    (r"^'bool' object has no attribute", "this is one plain bool, not a tensor"),
    (
        r"^'(?:float|int)' object has no attribute '(\w+)'",
        (
            "a plain number of Python has no `{0}`; .item(), float(), len() and the "
            "sum of an empty list give such a one"
        ),
    ),
    (
        r"^'numpy\.(?:ndarray|\w*(?:float|int)\d+)' object has no attribute '(\w+)'",
        lambda found, *_: (
            f"this is NumPy's, which has {ARRAYS[found[1]]}"
            if found[1] in ARRAYS
            else ""
        ),
    ),
    (r"^'(?!NoneType)(\w+)' object has no attribute '(\w+)'", _attribute),
    (r"^cannot access local variable '(\w+)'", _local),
    (r"^list index out of range", _items),
    (
        (
            r"probability tensor contains either `inf`, `nan` or element < 0|invalid "
            r"multinomial distribution"
        ),
        "draws are from weights: finite, none below 0, not all 0",
    ),
    (r"selected index k out of range", "k goes from 0 to the size of the dimension"),
    (
        (
            r"only supports boolean masks|expected BoolTensor for mask|expected "
            r"condition to be a boolean tensor"
        ),
        "a mask is of dtype bool, as a comparison makes it",
    ),
    (
        (
            r"expanded size of the tensor \((\d+)\) must match the existing size "
            r"\((\d+)\) .* dimension (\d+)"
        ),
        (
            "{0} places are to be filled at dimension {2}, and there are {1}: only a "
            "size of 1 is repeated"
        ),
    ),
    (
        (
            r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d, but got "
            r"input of size: \[([\d, ]*)\]"
        ),
        (
            "a convolution takes (batch, channels, height, width) or one such image, "
            "and its input is ({0})"
        ),
    ),
    (
        (
            r"shape of the mask \[([\d, ]*)\] at index \d+ does not match the shape "
            r"of the indexed tensor \[([\d, ]*)\]"
        ),
        "a mask has the sizes of those dimensions that it picks from: ({0}) in ({1})",
    ),
    (
        r"multi-target not supported",
        (
            "targets are one class number for each row of scores, so they have a "
            "dimension less than the scores"
        ),
    ),
    (r"0-d tensor$", "a tensor of one number has no dimension to go along"),
    (
        r"^'(?:Tensor|Parameter)' object is not callable",
        (
            "brackets call a function, and this is a tensor: [ ] picks from it, * "
            "multiplies"
        ),
    ),
    (r"^(?:float |integer )?(?:division|modulo) by zero", _zero),
    (r"'NoneType'", _none),
    (
        r"^maximum recursion depth exceeded",
        (
            "functions that call themselves, or each other, lie inside each other "
            "deeper than Python goes"
        ),
    ),
    (r"result type (\w+) can't be cast to the desired output type (\w+)", _kept_dtype),
    (
        (
            r"[Oo]nly Tensors of floating point (?:and complex )?dtype can require "
            r"gradients"
        ),
        (
            "gradients are taken of floating-point numbers, and a tensor made of [1, "
            "2] or [True] holds none"
        ),
    ),
]
