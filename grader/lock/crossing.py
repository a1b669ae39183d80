"""Decides what of the specs' values crosses to the worker by value, and what stays with
the judge as a callback.
"""

import dis
import functools
import sys
import types
from typing import Any
from unittest import mock

import torch
from torch import nn

# What a worker may import.
LIBRARIES = {
    "torch",
    "numpy",
    "pandas",
    "PIL",
    "cloudpickle",
    *sys.stdlib_module_names,
} - {"unittest"}
# what a mock keeps of its calls, which is not the code's
RECORDS = frozenset(dir(mock.Mock()))
# how the code may use an object that stays here
SPECIAL = ("len", "getitem", "iter", "next", "enter", "exit")
ITERATORS = (
    "list_iterator",
    "tuple_iterator",
    "zip",
    "map",
    "filter",
    "enumerate",
    "generator",
)


def is_callback(value: Any) -> bool:
    """Tell if this object stays here: a function or an iterator of the specs, or an
    object that they watch.
    """
    if isinstance(value, types.FunctionType):
        return not _is_of_a_library(value) and not _is_pure(value)
    if isinstance(value, types.MethodType | types.BuiltinMethodType):
        owner = value.__self__
        return (
            _is_of_specs(type(owner))
            or hasattr(type(owner), "_remote")
            or isinstance(owner, list | dict | set)
        )
    if type(value).__name__ in ITERATORS:
        return True
    if isinstance(value, type):
        return False
    return type(value).__module__ == "unittest.mock" or (
        _is_of_specs(type(value)) and not goes_by_value(value)
    )


def _is_pure(function: types.FunctionType) -> bool:
    """True if a function of the specs uses only libraries and plain numbers, so that it
    may go by value.
    """
    plain = (
        types.ModuleType
        | types.BuiltinFunctionType
        | type
        | int
        | float
        | str
        | bool
        | torch.dtype
    )
    used = [
        function.__globals__[name]
        for name in _globals(function.__code__)
        if name in function.__globals__
    ]
    return not function.__closure__ and all(
        isinstance(value, plain | types.FunctionType)
        and not hasattr(value, "_remote")
        and _is_of_a_library(value)
        for value in used
    )


@functools.cache
def _globals(code: types.CodeType) -> set[str]:
    """The names that a function looks up outside itself. Attributes of the same name do
    not count.
    """
    inner = [
        constant for constant in code.co_consts if isinstance(constant, types.CodeType)
    ]
    looked_up = {
        part.argval
        for part in dis.get_instructions(code)
        if part.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return looked_up.union(*map(_globals, inner))


def _is_of_a_library(value: Any) -> bool:
    """Tell if the worker may know a value: it is not the grader's, pytest's or the
    specs' own.
    """
    name = (
        value.__name__
        if isinstance(value, types.ModuleType)
        else getattr(type(value), "__module__", "")
    )
    if isinstance(value, types.FunctionType | type):
        name = value.__module__ or ""
    return str(name).partition(".")[0] in LIBRARIES


def goes_by_value(value: Any) -> bool:
    kinds = (
        nn.Module,
        torch.optim.Optimizer,
        torch.optim.lr_scheduler.LRScheduler,
        torch.utils.data.Dataset,
    )
    return isinstance(value, kinds)


def _is_of_specs(kind: type) -> bool:
    return kind.__module__.startswith("katas.") or "<locals>" in kind.__qualname__


def done(owner: Any, what: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Use an object of the specs as the worker asks, but only in the ways
    listed here.
    """
    match what:
        case "call":
            return owner(*arguments, **options)
        case "getattr" if (
            not str(arguments[0]).startswith("_") and arguments[0] not in RECORDS
        ):
            return getattr(owner, arguments[0])
        case "len":
            return len(owner)
        case "getitem":
            return owner[arguments[0]]
        case "iter":
            return iter(owner)
        case "next":
            return next(owner)
        case "enter":
            return owner.__enter__()
        case "exit":
            return owner.__exit__(None, None, None)
    raise AttributeError(str(what))
