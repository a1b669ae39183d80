"""What specs see of the code under test, which is in the worker: its module, its classes, objects and modules."""

import types
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from grader.sealed.remote import Remote


class RemoteBase:
    """An object of the code under test, which is in the worker. It is made by calling its class there."""

    def __init__(self, /, *arguments: Any, **options: Any):
        remote = type(self)._remote  # type: ignore[attr-defined]
        kind = next(c for c in type(self).__mro__ if "_handle" in vars(c))
        theirs = remote("call", kind, *arguments, **options)
        if isinstance(self, nn.Module):
            nn.Module.__init__(self)
            for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"):
                vars(self)[name] = vars(theirs)[name]
        vars(self)["_handle"] = vars(theirs)["_handle"]
        remote.objects[vars(self)["_handle"]] = self

    def _special(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        return type(self)._remote("special", self, name, *arguments, **options)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return str(type(self)._remote("repr", self))  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: Any) -> Any:
        return type(self)._remote("deepcopy", self)  # type: ignore[attr-defined]


class RemoteNnModule(RemoteBase):
    def forward(self, /, *arguments: Any, **options: Any) -> Any:
        return self._special("__call__", *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)  # type: ignore[arg-type]
        except AttributeError:
            if name.startswith("__") or "_handle" not in vars(self):
                raise
            return type(self)._remote("getattr", self, name)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        nn.Module.__setattr__(self, name, value)  # type: ignore[arg-type]
        if "_handle" in vars(self) and name != "training" and not name.startswith("_"):
            type(self)._remote("setattr", self, name, value)  # type: ignore[attr-defined]


class RemoteObject(RemoteBase):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_handle" not in vars(self):
            raise AttributeError(name)
        return type(self)._remote("getattr", self, name)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        type(self)._remote("setattr", self, name, value)  # type: ignore[attr-defined]

    def __delattr__(self, name: str) -> None:
        type(self)._remote("delattr", self, name)  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> Any:
        return self is other or type(self)._remote("special", self, "__eq__", other)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(type(self)._remote("hash", self))  # type: ignore[attr-defined]


def _forwarded(name: str) -> Any:
    def special(self: RemoteObject, /, *arguments: Any, **options: Any) -> Any:
        return self._special(name, *arguments, **options)

    special.__name__ = name
    return special


SPECIAL = (
    "call len iter next getitem setitem delitem contains enter exit bool float int index abs neg pos invert "
    "add radd sub rsub mul rmul truediv rtruediv floordiv matmul rmatmul pow rpow mod lt le gt ge ne and or"
)
for _name in SPECIAL.split():
    setattr(RemoteObject, f"__{_name}__", _forwarded(f"__{_name}__"))


class RemoteModule(types.ModuleType):
    """A module in the worker as specs see it: the one under test, or by its name one that this builds on."""

    def __init__(self, remote: "Remote", name: str = ""):
        super().__init__(name or "kata")
        vars(self).update(_remote=remote, _place=name, _known={}, __file__="")

    def forget(self) -> None:
        """Ask for everything anew."""
        self._known.clear()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._known:
            self._known[name] = self._remote("get", self._place, name)
        return self._known[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._known[name] = value
        self._remote("set", self._place, name, value)

    def __dir__(self) -> list[str]:
        return [str(name) for name in self._remote("names", self._place)]
