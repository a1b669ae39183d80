"""Proxies of the code under test, which is in the worker: its module, its classes,
objects and modules.
"""

import functools
import types
from abc import ABCMeta
from typing import Any

from torch import nn

from grader.lock.known import Known


class RemoteBase:
    """An object of the code under test, which is in the worker.

    Calling its class makes it there; this initialises an object of a spec's class that
    derives from one of the code's.
    """

    def __init__(self, /, *arguments: Any, **options: Any):
        remote = type(self)._remote  # type: ignore[attr-defined]
        kind = next(c for c in type(self).__mro__ if "_handle" in vars(c))
        theirs = remote("call", kind, *arguments, **options)
        if isinstance(self, nn.Module):
            nn.Module.__init__(self)
            for name in (
                "_parameters",
                "_buffers",
                "_modules",
                "_non_persistent_buffers_set",
                "_told",
                "training",
            ):
                vars(self)[name] = vars(theirs)[name]
        vars(self)["_handle"] = vars(theirs)["_handle"]
        remote.objects[vars(self)["_handle"]] = self
        if isinstance(self, nn.Module):
            remote.nets[vars(self)["_handle"]] = self

    def _special(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        return type(self)._remote("special", self, name, *arguments, **options)  # type: ignore[attr-defined]

    def _attribute(self, name: str) -> Any:
        """What the worker's object has by this name. A method is asked for once; its
        later calls say its name.
        """
        remote, place = type(self)._remote, (vars(self)["_handle"], name)  # type: ignore[attr-defined]
        if place not in remote.methods:
            found = remote("getattr", self, name)
            if not (
                isinstance(found, types.FunctionType) and vars(found).get("_is_method")
            ):
                return found
            method = functools.partial(self._special, name)
            remote.methods[place] = functools.wraps(found)(
                lambda *given, **options: method(*given, **options)
            )
        return remote.methods[place]

    def __repr__(self) -> str:
        return str(type(self)._remote("repr", self))  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: Any) -> Any:
        return type(self)._remote("deepcopy", self)  # type: ignore[attr-defined]


class RemoteNnModule(RemoteBase):
    def forward(self, /, *arguments: Any, **options: Any) -> Any:
        """Ask the worker, where this module has the parameters that it has here
        (see `torch.func.functional_call`).
        """
        other = {}
        for path, module in nn.Module.named_modules(self):  # type: ignore[arg-type]
            told = vars(module).get("_told", {})
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None and name in told and told[name] is not tensor:
                    other[f"{path}.{name}" if path else name] = tensor
        remote = type(self)._remote  # type: ignore[attr-defined]
        before, remote.calls_module = remote.calls_module, True
        try:
            if other:
                return remote("functional", self, other, arguments, options)
            return self._special("__call__", *arguments, **options)
        finally:
            remote.calls_module = before

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)  # type: ignore[arg-type]
        except AttributeError:
            if name.startswith("__") or "_handle" not in vars(self):
                raise
            return self._attribute(name)

    def __setattr__(self, name: str, value: Any) -> None:
        nn.Module.__setattr__(self, name, value)  # type: ignore[arg-type]
        if name in vars(self).get("_told", {}):
            vars(self)["_told"][name] = value
        if "_handle" in vars(self) and name != "training" and not name.startswith("_"):
            type(self)._remote("setattr", self, name, value)  # type: ignore[attr-defined]


class RemoteObject(RemoteBase):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_handle" not in vars(self):
            raise AttributeError(name)
        return self._attribute(name)

    def __setattr__(self, name: str, value: Any) -> None:
        remote = type(self)._remote  # type: ignore[attr-defined]
        remote.methods.pop((vars(self)["_handle"], name), None)
        remote("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        remote = type(self)._remote  # type: ignore[attr-defined]
        remote.methods.pop((vars(self)["_handle"], name), None)
        remote("delattr", self, name)

    def __eq__(self, other: object) -> Any:
        """Only an object of the same code may be equal. Of a plain value, the code
        could say what it likes.
        """
        return self is other or (
            hasattr(type(other), "_remote") and self._special("__eq__", other)
        )

    def __hash__(self) -> int:
        return hash(type(self)._remote("hash", self))  # type: ignore[attr-defined]


class RemoteClass(ABCMeta):
    """The class of classes that are in the worker: their objects are made and their own
    attributes asked there.
    """

    def __call__(cls, /, *arguments: Any, **options: Any) -> Any:
        # a spec's own class, which derives from one of the worker's
        if "_handle" not in vars(cls):
            return super().__call__(*arguments, **options)
        return vars(cls)["_remote"]("call", cls, *arguments, **options)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return vars(cls)["_remote"]("getattr", cls, name)


def _specials(names: str) -> frozenset[str]:
    return frozenset(f"__{name}__" for name in names.split())


CONTAINERS = _specials(
    "call len iter next getitem setitem delitem enter exit ne reversed"
)
# Only of classes that a kata.toml names: another object could say it is equal to
# anything, or next to it.
OPERATORS = _specials(
    "contains neg add radd sub rsub mul rmul truediv rtruediv floordiv matmul rmatmul "
    "pow rpow"
)


def forwarded(name: str) -> Any:
    """A method that asks the worker: `__len__` and the like, which Python looks up in
    the class.
    """

    def special(self: RemoteBase, /, *arguments: Any, **options: Any) -> Any:
        if name == "__exit__":
            arguments = (*arguments[:2], None)  # a traceback stays here
        if name == "__ne__":
            return not self == arguments[0]
        answer = self._special(name, *arguments, **options)
        # what the block has found is the spec's, and stands
        return None if name == "__exit__" else answer

    special.__name__ = name
    return special


class RemoteModule(types.ModuleType):
    """A module in the worker as specs see it: the one under test, or by its name one
    that this builds on.
    """

    def __init__(self, remote: Known, name: str = ""):
        super().__init__(name or "kata")
        vars(self).update(_remote=remote, _place=name, _known=set(), __file__="")

    def forget(self) -> None:
        """Ask for everything anew."""
        for name in self._known:
            vars(self).pop(name, None)
        self._known.clear()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest_")):  # pytest asks a package for its plugins
            raise AttributeError(name)
        value = self._remote("get", self._place, name)
        if (
            name in self._remote.own
            and isinstance(value, type)
            and not hasattr(value, "_handle")
        ):
            raise AttributeError(
                f"{name} is {value.__module__}.{value.__name__}, not the code's own "
                "class"
            )
        self._known.add(name)
        return vars(self).setdefault(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        self._known.add(name)
        vars(self)[name] = value
        self._remote("set", self._place, name, value)

    def __delattr__(self, name: str) -> None:
        vars(self).pop(name, None)
        self._remote("unset", self._place, name)

    def __dir__(self) -> list[str]:
        return [str(name) for name in self._remote("names", self._place)]
