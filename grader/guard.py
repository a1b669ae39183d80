"""Notices when code under test changes what judges it or looks into it. One process holds both, so this is a fence, not a wall:
what cannot be caught stands in the table of the README."""

import builtins
import contextlib
import functools
import hashlib
import importlib
import json
import math
import operator
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType, ModuleType

import numpy as np
import pytest
import torch

# What judges: modules, and classes within them, none of whose functions may be another one after the code has run.
JUDGES = [
    builtins, contextlib, functools, hashlib, json, math, operator, os, signal, sys, time, np, np.testing, pytest, torch, torch.Tensor,
    torch.autograd, torch.linalg, torch.nn.functional, torch.nn.Module, torch.testing, torch._C._TensorBase, object.__class__,
]  # fmt: skip
NAMED_JUDGES = (
    "unittest.mock", "_pytest.outcomes", "_pytest.python", "_pytest.runner", "_pytest.fixtures", "pluggy._hooks",
    "pluggy._callers", "pluggy._manager", "pytest_timeout", "hypothesis", "hypothesis.core", "multiprocessing.connection",
)  # fmt: skip
# What is a program's own to set, and what torch itself changes: an alias that follows the default dtype, and methods that torch.compile wraps at its first use.
MAY_CHANGE = {("sys", "excepthook"), ("sys", "displayhook"), ("torch", "Storage"), ("Module", "__init__"), ("Module", "__setstate__"), ("Module", "__call__"), ("Module", "_wrapped_call_impl")}
# Ways to look into the specs or to rewrite them, by their audit events.
LOOKING = {
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._getframe", "sys._getframemodulename", "sys._current_frames",
    "sys._current_exceptions", "sys.setprofile", "sys.settrace", "sys.addaudithook", "ctypes.dlopen", "ctypes.dlsym", "ctypes.cdata",
    "ctypes.cdata/buffer", "ctypes.call_function", "ctypes.string_at", "ctypes.PyObj_FromPtr", "object.__setattr__", "code.__new__",
}  # fmt: skip
# Library code that only passes on what its caller asks for.
TRANSPARENT = ("/inspect.py", "/traceback.py", "/ctypes/__init__.py")


class Guard:
    """Stands from the moment it is made: code under test that looks into the specs gets a PermissionError, and `changed` says what
    of the judges is no longer what it was."""

    def __init__(self, scratch: Path):
        self.scratch = str(scratch)
        modules = [module for name, module in sys.modules.items() if name in NAMED_JUDGES or name.startswith("grader.")]
        classes = [c for module in modules for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
        self.before = [(judge, _functions(judge)) for judge in dict.fromkeys([*JUDGES, *modules, *classes])]
        self.asking = False
        sys.addaudithook(self._hear)

    @property
    def changed(self) -> str:
        """The first function of a judge that was replaced or removed; empty if all are what they were."""
        for judge, functions in self.before:
            now = vars(judge)
            changed = [name for name, function in functions.items() if now.get(name) is not function]
            if isinstance(judge, type):  # a new name may hide one of a base class
                changed += [name for name in now.keys() - functions.keys() if any(name in vars(base) for base in judge.__mro__[1:])]
            for name in changed:
                if (judge.__name__, name) not in MAY_CHANGE:
                    return f"{judge.__name__}.{name}"
        return ""

    def _hear(self, event: str, arguments: tuple) -> None:
        if event in LOOKING and not self.asking:
            self.asking = True  # asking for a frame is such an event itself
            try:
                if self._is_the_codes_own(sys._getframe(1), event, arguments):
                    raise PermissionError(f"{event} is not open to code under test")
            finally:
                self.asking = False

    def _is_the_codes_own(self, frame: FrameType | None, event: str, arguments: tuple) -> bool:
        """Whether the code under test asked, itself or through code that only passes it on."""
        if event == "object.__setattr__" and arguments[1] not in ("__code__", "__class__", "__defaults__", "__kwdefaults__"):
            return False
        if event == "object.__setattr__" and getattr(arguments[0], "__module__", "").startswith(("kata_", "prerequisite_")):
            return False
        while frame and frame.f_code.co_filename.endswith(TRANSPARENT):
            frame = frame.f_back
        return bool(frame) and (frame.f_code.co_filename.startswith(self.scratch) or frame.f_code.co_filename in ("<string>", "<stdin>", ""))


def _functions(judge: ModuleType | type) -> dict[str, object]:
    if isinstance(judge, type):
        return dict(vars(judge))
    return {name: value for name, value in vars(judge).items() if callable(value) or isinstance(value, ModuleType)}


def import_judges() -> None:
    """Have the judges imported before a guard stands."""
    for name in NAMED_JUDGES:
        importlib.import_module(name)
