"""Makes ready-made functions and classes of torch and NumPy raise while code under test
runs, under whatever name.
"""

import dis
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

# where NumPy's functions have their names
NUMPYS = (np, np.linalg, importlib.import_module("numpy._core.multiarray"))
PACKAGES = {"torch": torch, "numpy": np}
# torch.special.softmax calls itself special_softmax
VARIANTS = ("native_", "special_", "linalg_")


class Forbidden(Exception):
    """The code called a function that the exercise asks to write by hand."""


@contextmanager
def forbidden(module: Any, *names: str) -> Iterator[None]:
    """Make dotted names of torch or numpy ("torch.nn.functional.softmax") raise inside
    the block, however the code came by them: under another name, out of a container, as
    the base of another class, as a method of that class.

    The same operation is refused as a tensor's method, in `torch.ops.aten` and as
    NumPy's function of that name. A name of numpy stands for torch's function, too.
    """
    operations: dict[str, str] = {}  # bare name → the name that forbids it
    with ExitStack() as stack:
        for name in names:
            owner, attribute = _place(name)
            original = getattr(owner, attribute)
            if isinstance(original, type):
                for method in vars(original).values():
                    _refuse_code(stack, getattr(method, "__func__", method), name)
                continue
            operations |= dict.fromkeys(_operations(original, attribute), name)
            for place in dict.fromkeys(
                [owner, *(NUMPYS if name.startswith("torch.") else (torch, *NUMPYS))]
            ):
                if callable(
                    function := getattr(place, attribute, None)
                ) and not isinstance(function, type):
                    _refuse_code(stack, function, name)
                    _refuse_name(stack, module, place, attribute, name)
        stack.enter_context(_Refusing(operations))
        yield


def _place(name: str) -> tuple[Any, str]:
    """The object that holds the last part of a dotted name, and that part."""
    package, *path, attribute = name.split(".")
    owner: Any = PACKAGES[package]
    for part in path:
        owner = getattr(owner, part)
    return owner, attribute


def _refuse_code(stack: ExitStack, function: Any, name: str) -> None:
    """Replace the code of a Python function and of those that it wraps: whoever holds
    the function has it refused.
    """
    while function is not None:
        if isinstance(function, FunctionType):
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = _refusal(name, function.__code__)
        function = getattr(function, "__wrapped__", None)


def _refuse_name(
    stack: ExitStack, module: Any, owner: Any, attribute: str, name: str
) -> None:
    """Replace a function, Python's or not, where its owner and the code under test
    name it.
    """
    original, refuse = getattr(owner, attribute), _refusing(name)
    stack.enter_context(mock.patch.object(owner, attribute, refuse))
    for key in [key for key, value in vars(module).items() if value is original]:
        stack.enter_context(mock.patch.dict(vars(module), {key: refuse}))


def _operations(function: Any, attribute: str) -> set[str]:
    """The bare names of torch's own operations that do what this function does.

    A function that is written in Python calls the operation of its name, or one of
    those that are made for layers.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return {_bare(attribute)}
    return {
        _bare(part)
        for part in _attributes(code)
        if part == attribute or hasattr(torch._C._nn, part)
    }


@functools.cache
def _attributes(code: CodeType) -> set[str]:
    return {
        part.argval
        for part in dis.get_instructions(code)
        if part.opname in ("LOAD_ATTR", "LOAD_METHOD")
    }


def _bare(name: str) -> str:
    """An operation's name without what marks a variant: "_softmax.out" and "softmax_"
    are softmax.
    """
    bare = name.partition(".")[0].strip("_")
    for prefix in VARIANTS:
        bare = bare.removeprefix(prefix)
    return bare


def _refuse(*arguments: object, **options: object) -> NoReturn:
    # here, because the code runs among another function's global names
    from grader.specs.bans import Forbidden

    raise Forbidden("this exercise is to be written without NAME")


def _refusal(name: str, instead_of: CodeType) -> CodeType:
    """The code of `_refuse` for this name, with the free variables of the code whose
    place it takes.
    """
    texts = tuple(
        part.replace("NAME", name) if isinstance(part, str) else part
        for part in _refuse.__code__.co_consts
    )
    return _refuse.__code__.replace(co_consts=texts, co_freevars=instead_of.co_freevars)


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise Forbidden(f"this exercise is to be written without {name}")

    return refuse


class _Refusing(TorchFunctionMode):
    """Refuses torch's operations by their bare names: they may be called by another
    name, or from a list.
    """

    def __init__(self, operations: Mapping[str, str]):
        super().__init__()
        self.operations = operations

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        for bare in (
            _operations(func, getattr(func, "__name__", "")) & self.operations.keys()
        ):
            _refusing(self.operations[bare])()
        return func(*args, **(kwargs or {}))
