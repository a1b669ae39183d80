"""Detect code under test that tampers with the grader or inspects the specs.

Both run in one process, so a determined attacker can get past this guard. docs/security.md lists the known gaps.
"""

import builtins
import contextlib
import dataclasses
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
from typing import Any

import numpy as np
import pytest
import torch

# Judges: modules and classes that the verdict depends on. None of their functions may be replaced.
Judge = ModuleType | type
JUDGES: list[Judge] = [
    builtins,
    contextlib,
    dataclasses,
    functools,
    hashlib,
    json,
    math,
    operator,
    os,
    signal,
    sys,
    time,
    np,
    np.testing,
    pytest,
    torch,
    torch.Tensor,
    torch.autograd,
    torch.linalg,
    torch.nn.functional,
    torch.nn.Module,
    torch.testing,
    torch._C._TensorBase,
    type,
]
# More judges, by module name.
NAMED_JUDGES = (
    "unittest.mock",
    "_pytest.outcomes",
    "_pytest.python",
    "_pytest.runner",
    "_pytest.fixtures",
    "pluggy._hooks",
    "pluggy._callers",
    "pluggy._manager",
    "pytest_timeout",
    "hypothesis",
    "hypothesis.core",
    "multiprocessing.connection",
)
# Exceptions: hooks that a program may set, an alias that follows torch's default dtype, and what torch.compile wraps on
# first use.
MAY_CHANGE = {
    ("sys", "excepthook"),
    ("sys", "displayhook"),
    ("torch", "Storage"),
    ("torch", "manual_seed"),
    ("Module", "__init__"),
    ("Module", "__setstate__"),
    ("Module", "__call__"),
    ("Module", "_wrapped_call_impl"),
}
# Audit events of the ways to inspect or rewrite specs.
INSPECTING = {
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
    "sys._getframe",
    "sys._getframemodulename",
    "sys._current_frames",
    "sys._current_exceptions",
    "sys.setprofile",
    "sys.settrace",
    "sys.addaudithook",
    "ctypes.dlopen",
    "ctypes.dlsym",
    "ctypes.cdata",
    "ctypes.cdata/buffer",
    "ctypes.call_function",
    "ctypes.string_at",
    "ctypes.PyObj_FromPtr",
    "object.__setattr__",
    "code.__new__",
}
# Library code that acts on behalf of its caller.
TRANSPARENT = ("/inspect.py", "/traceback.py", "/ctypes/__init__.py")


@functools.cache
def judged() -> list[tuple[Judge, dict[str, object]]]:
    """Every judge with its functions as they are at the first call. The forkserver makes it, once for all workers."""
    for name in NAMED_JUDGES:
        importlib.import_module(name)
    modules = [module for name, module in sys.modules.items() if name in NAMED_JUDGES or name.startswith("grader.")]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    judges: dict[Judge, None] = dict.fromkeys([*JUDGES, *modules, *classes])
    return [(judge, _functions(judge)) for judge in judges]


class Guard:
    """A guard that is active from its construction on.

    Code under test that inspects the specs gets a PermissionError. `changed` names a judge that was tampered with.
    """

    def __init__(self, scratch: Path):
        self.scratch = str(scratch)
        self.before = judged()
        judged.cache_clear()  # or code under test could ask for this very list, and empty it
        self.asking = False
        sys.addaudithook(self._hear)

    @property
    def changed(self) -> str:
        """The name of the first function of a judge that was replaced, removed or hidden; empty if there is none."""
        for judge, functions in self.before:
            now = vars(judge)
            changed = [name for name, function in functions.items() if now.get(name) is not function]
            if isinstance(judge, type):  # a new attribute may hide that of a base class
                changed += [
                    name
                    for name in now.keys() - functions.keys()
                    if any(name in vars(base) for base in judge.__mro__[1:])
                ]
            for name in changed:
                if (judge.__name__, name) not in MAY_CHANGE:
                    return f"{judge.__name__}.{name}"
        return ""

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in INSPECTING and not self.asking:
            self.asking = True  # sys._getframe raises an audit event itself
            try:
                if self._is_the_codes_own(sys._getframe(1), event, arguments):
                    raise PermissionError(f"{event} is not allowed in code under test")
            finally:
                self.asking = False

    def _is_the_codes_own(self, frame: FrameType | None, event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether code under test raised the event, directly or through transparent library code."""
        if event == "object.__setattr__" and not _rewrites_foreign_code(*arguments[:2]):
            return False
        while frame and frame.f_code.co_filename.endswith(TRANSPARENT):
            frame = frame.f_back
        if frame is None:
            return False
        file = frame.f_code.co_filename
        return file.startswith(self.scratch) or file in ("<string>", "<stdin>", "")


def _rewrites_foreign_code(target: object, attribute: str) -> bool:
    """Whether setting the attribute changes what a function or class does, other than one of a kata's own."""
    own = str(getattr(target, "__module__", "")).startswith(("kata_", "prerequisite_"))
    return not own and attribute in ("__code__", "__class__", "__defaults__", "__kwdefaults__")


def _functions(judge: Judge) -> dict[str, object]:
    if isinstance(judge, type):
        return dict(vars(judge))
    return {name: value for name, value in vars(judge).items() if callable(value) or isinstance(value, ModuleType)}
