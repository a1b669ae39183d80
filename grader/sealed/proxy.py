"""The judge's side: `kata` as a proxy, behind which every call goes to a worker and back.

Tensors travel by value. Autograd crosses by one `autograd.Function` per call, modules are mirrored with their parameters,
functions and iterators of the specs become callbacks. What comes back is checked, and made of plain values only.
"""

import builtins
import collections
import copy
import inspect
import io
import os
import pickle
import random
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from torch import nn

from grader.sealed.bare import wire
from grader.sealed.bare.wire import Malformed

ITERATORS = ("list_iterator", "tuple_iterator", "zip", "map", "filter", "enumerate", "generator")
DEEPEST = 200  # callbacks within callbacks


class Lost(Exception):
    """The worker has ended, or has sent what no worker sends."""


class Remote:
    """The judge's end of the pipe to one worker, and all that both know by handles."""

    def __init__(self, reading: int, writing: int):
        self.reading, self.writing = reading, writing
        self.tensors: dict[int, torch.Tensor] = {}
        self.handles: dict[int, int] = {}  # of tensors, by id()
        self.sent: dict[int, Any] = {}  # handle → what the worker has last seen of the tensor
        self.objects: dict[int, Any] = {}
        self.classes: dict[int, type] = {}
        self.callbacks: dict[int, Any] = {}
        self.by_value: dict[int, Any] = {}
        self.busy: set[int] = set()
        self.kept: list[Any] = []  # ids must not be used again
        self.count = 0
        self.last: tuple[Any, ...] = (None, None, None)
        self.generator_states: dict[int, bytes] = {}

    def __call__(self, operation: str, /, *arguments: Any, **options: Any) -> Any:
        """Have the worker do something, and return what comes of it or raise what it raises.

        Raises:
            Lost: the worker does not answer any more, or not as a worker would.
        """
        _, used = self.pickled((arguments, options))
        used += [h for h in self.sent if h not in set(used) and self.tensors[h].is_leaf and self.tensors[h].requires_grad]
        message, _ = self.pickled(("do", operation, arguments, options, used, self.state()))
        try:
            self.post(message, used)
            return self.wait(used)
        except (EOFError, BrokenPipeError, Malformed) as problem:
            raise Lost(f"the worker: {problem}") from None

    def post(self, message: bytes, used: list[int]) -> None:
        wire.write(self.writing, pickle.dumps([u for u in map(self.update, used) if u]))
        wire.write(self.writing, message)

    def wait(self, used: list[int]) -> Any:
        while True:
            tree, blobs = wire.receive(self.reading)
            decode = Decoder(self, blobs, used)
            if "callback" in tree:
                message, sent = self.called_back(tree, decode)
                self.post(message, sent)
            elif "error" in tree:
                raise decode.error(tree)
            else:
                return decode.answer(tree)

    def called_back(self, tree: dict[str, Any], decode: "Decoder") -> tuple[bytes, list[int]]:
        owner = self.callbacks.get(tree.get("callback"))
        if owner is None:
            raise Malformed("no such callback")
        arguments = [decode(part) for part in tree["arguments"]]
        options = {str(name): decode(part) for name, part in tree["options"].items()}
        try:
            with torch.set_grad_enabled(bool(tree["grad"])):
                return self.pickled(("return", _done(owner, tree["what"], arguments, options)))
        except Malformed:
            raise
        except Exception as error:
            try:
                return self.pickled(("raise", error))
            except Exception:
                return self.pickled(("raise", RuntimeError(str(error))))

    def state(self) -> tuple[Any, ...]:
        """The random states, where they have changed since the worker last got them, and the modes.

        What the worker's generators come to never enters this process: they go on there by themselves.
        """
        states = (torch.default_generator.get_state().numpy().tobytes(), random.getstate(), np.random.get_state())
        torch_state, python, numpy = states
        before, self.last = self.last, states
        same_numpy = before[2] is not None and numpy[2] == before[2][2] and (numpy[1] == before[2][1]).all()
        modes = [(handle, value.training) for handle, value in self.objects.items() if isinstance(value, nn.Module)]
        return (
            None if torch_state == before[0] else torch_state,
            None if python == before[1] else python,
            None if same_numpy else numpy,
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
            modes,
        )

    def handle(self, tensor: torch.Tensor) -> int:
        if id(tensor) not in self.handles:
            self.count += 1
            self.keep(self.count, tensor)
        return self.handles[id(tensor)]

    def keep(self, handle: int, tensor: torch.Tensor) -> None:
        self.tensors[handle] = tensor
        self.handles[id(tensor)] = handle
        self.kept.append(tensor)

    def update(self, handle: int) -> tuple[Any, ...] | None:
        """What the worker must learn about a tensor; None if it knows it as it is."""
        tensor = self.tensors[handle]
        if tensor.layout != torch.strided:
            raise TypeError("a sparse tensor does not cross")
        meta = tensor.device.type == "meta"
        gradient = tensor.grad if tensor.is_leaf else None
        now = (
            None if meta else wire.raw(tensor),
            None if gradient is None or meta else wire.raw(gradient),
            tensor.requires_grad,
            tensor.dtype,
            tuple(tensor.shape),
        )
        if self.sent.get(handle) == now:
            return None
        self.sent[handle] = now
        layout = (str(tensor.dtype), list(tensor.shape), list(tensor.stride()))
        return (handle, *layout, now[0], tensor.requires_grad, isinstance(tensor, nn.Parameter), now[1])

    def pickled(self, message: Any) -> tuple[bytes, list[int]]:
        """The message for the worker, and the handles of the tensors in it."""
        file = io.BytesIO()
        pickler = Pickler(file, self)
        pickler.dump(message)
        return file.getvalue(), list(dict.fromkeys(pickler.used))


class Pickler(cloudpickle.Pickler):
    """Leaves out of a message what the worker has, or may not have: handles take their places."""

    def __init__(self, file: io.BytesIO, remote: Remote):
        super().__init__(file, protocol=4)
        self.remote, self.used = remote, []

    def persistent_id(self, value: Any) -> Any:
        remote = self.remote
        if isinstance(value, torch.Tensor):
            handle = remote.handle(value)
            self.used.append(handle)
            return "T", handle
        if isinstance(value, torch.Generator):
            return self.generator(value)
        if isinstance(value, RemoteModule):
            return ("K",)
        if isinstance(value, type):
            return ("O", vars(value)["_handle"]) if "_handle" in vars(value) else None
        if hasattr(type(value), "_remote"):
            if isinstance(value, nn.Module):
                self.used += [remote.handle(part) for part in [*value.parameters(), *value.buffers()]]
            return "O", vars(value)["_handle"]
        if isinstance(value, types.FunctionType) and hasattr(value, "_handle"):
            return "O", value._handle
        if _is_callback(value):
            remote.callbacks[id(value)] = value
            remote.kept.append(value)
            return "J", id(value)
        if _goes_by_value(value):
            return self.by_value(value)
        return None

    def generator(self, value: torch.Generator) -> Any:
        state = value.get_state().numpy().tobytes()
        known = self.remote.generator_states.get(id(value)) == state
        self.remote.generator_states[id(value)] = state
        self.remote.kept.append(value)
        return "G", id(value), None if known else state

    def by_value(self, value: Any) -> Any:
        remote, data = self.remote, b""
        if id(value) not in remote.busy:
            remote.busy.add(id(value))
            try:
                data, used = remote.pickled((type(value), dict(vars(value))))
            finally:
                remote.busy.discard(id(value))
            self.used += used
        remote.by_value[id(value)] = value
        remote.kept.append(value)
        return "B", id(value), data


class Back(torch.autograd.Function):
    """The graph of one call, which stays in the worker: its backward asks there."""

    @staticmethod
    def forward(ctx: Any, remote: Remote, outs: list[int], ins: list[int], values: list[Any], *inputs: Any) -> Any:
        ctx.remote, ctx.outs, ctx.ins = remote, outs, ins
        ctx.mark_non_differentiable(*[v for v in values if not (v.dtype.is_floating_point or v.is_complex())])
        return tuple(value.clone() for value in values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        found = ctx.remote("backward", ctx.outs, ctx.ins, list(gradients))
        if not isinstance(found, list) or len(found) != len(ctx.ins):
            raise Lost("the worker: not as many gradients as inputs")
        return None, None, None, None, *found


class Decoder:
    """Decodes one message. Anything that a worker does not send is Malformed."""

    def __init__(self, remote: Remote, blobs: list[bytes], used: list[int]):
        self.remote, self.blobs, self.used = remote, blobs, used
        self.pending: list[tuple[int, torch.Tensor]] = []  # outputs whose graph is in the worker

    def __call__(self, tree: Any) -> Any:
        try:
            return self.connected(self.value(tree))
        except Malformed:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise Malformed(f"{type(error).__name__} in what it sent: {error}"[:200]) from None

    def answer(self, tree: dict[str, Any]) -> Any:
        try:
            self.take_changes(tree)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise Malformed(f"{type(error).__name__} in what it sent: {error}"[:200]) from None
        return self(tree["value"])

    def take_changes(self, tree: dict[str, Any]) -> None:
        remote = self.remote
        for change in tree["changed"]:
            if change is None:
                continue
            handle, blob, dtype, shape, gradient, requires_grad = change
            tensor = remote.tensors[handle]
            if handle not in self.used or tensor.device.type == "meta":
                raise Malformed("a change of what was not sent")
            new = wire.tensor(self.blobs[blob], dtype, shape)
            if tensor.shape == new.shape and tensor.dtype == new.dtype:
                if wire.raw(tensor) != self.blobs[blob]:
                    target = tensor.data if tensor.is_leaf and tensor.requires_grad else tensor
                    with torch.no_grad():
                        target.copy_(new)
            else:
                tensor.data = new
            if tensor.is_leaf:
                if tensor.dtype.is_floating_point:
                    tensor.requires_grad_(bool(requires_grad))
                tensor.grad = None if gradient is None else wire.tensor(self.blobs[gradient], dtype, shape)
            remote.sent.pop(handle, None)
        for number, attributes in tree["objects"]:
            if number in remote.by_value:
                for name, part in attributes:
                    _set_attribute(remote.by_value[number], str(name), self.value(part))
        for handle, training in tree["modes"]:
            if isinstance(remote.objects.get(handle), nn.Module):
                remote.objects[handle].training = bool(training)

    def connected(self, value: Any) -> Any:
        """The value, with its outputs joined to the inputs of the call by the graph that the worker keeps."""
        if not self.pending:
            return value
        remote, outs = self.remote, [handle for handle, _ in self.pending]
        ins = [
            handle
            for handle, tensor in remote.tensors.items()
            if tensor.requires_grad
            and handle not in outs
            and (handle in self.used or (tensor.is_leaf and handle in remote.sent))
        ]
        if not ins:
            return value
        joined = Back.apply(remote, outs, ins, [t for _, t in self.pending], *[remote.tensors[h] for h in ins])
        table = {id(old): new for (_, old), new in zip(self.pending, joined, strict=True)}
        for (handle, old), new in zip(self.pending, joined, strict=True):
            remote.kept.append(old)
            remote.keep(handle, new)
        self.pending = []
        return _swapped(value, table)

    def value(self, tree: Any) -> Any:
        tag = tree[0]
        match tag:
            case "v":
                if tree[1] is not None and type(tree[1]) not in (bool, str):
                    raise Malformed("v")
                return tree[1]
            case "i":
                return int(tree[1])
            case "f":
                return float.fromhex(tree[1])
            case "c":
                return complex(float.fromhex(tree[1]), float.fromhex(tree[2]))
            case "b":
                return self.blobs[tree[1]]
            case "S":
                return torch.Size(tree[1])
            case "T":
                return self.tensor(tree[1])
            case "N":
                return self.array(tree)
            case "n":
                return _numpy_dtype(tree[1]).type(self.value(tree[2]))
            case "L" | "U" | "E" | "F":
                return {"L": list, "U": tuple, "E": set, "F": frozenset}[tag](self.value(part) for part in tree[1])
            case "D":
                kind = OrderedDict if tree[2] == "OrderedDict" else dict
                return kind((self.value(key), self.value(part)) for key, part in tree[1])
            case "y":
                return wire.DTYPES[tree[1]]
            case "dev":
                return torch.device(tree[1])
            case "sl":
                return slice(*map(self.value, tree[1:]))
            case "...":
                return ...
            case "P":
                return Path(tree[1])
            case "J":
                return self.remote.callbacks[tree[1]]
            case "B":
                return self.remote.by_value[tree[1]]
            case "t":
                return _library_class(tree[1], tree[2])
            case "C":
                return self.class_of(tree[1], tree[2], tree[3])
            case "nt":
                return self.named_tuple(tree)
            case "fn":
                return self.function(tree)
            case "M":
                return self.module(tree)
            case "o":
                return self.other(tree)
        raise Malformed(f"no tag {tag!r:.20}")

    def tensor(self, told: dict[str, Any]) -> torch.Tensor:
        remote, handle = self.remote, int(told["handle"])
        known = remote.tensors.get(handle) if told["known"] else None
        if known is not None and known.device.type == "meta":
            return known
        if told["data"] is None:
            shape = wire.counts(told["shape"])
            made = torch.empty(shape, dtype=wire.DTYPES[told["dtype"]], device="meta")
            remote.keep(handle, made)
            return made
        data = self.blobs[told["data"]]
        new = wire.tensor(data, told["dtype"], told["shape"], None if known is not None else told["stride"])
        gradient = wire.tensor(self.blobs[told["gradient"]], told["dtype"], told["shape"]) if "gradient" in told else None
        if known is not None:
            if known.dtype == new.dtype and known.shape == new.shape:
                if wire.raw(known) != data:
                    known.data.copy_(new)
            else:
                known.data = new
            if known.is_leaf:
                known.grad = gradient
            return known
        if handle >= 0:
            raise Malformed("a tensor that was never sent")
        made = self.as_view(told, new) if "view" in told and not told["grad"] else new
        if told["parameter"]:
            made = nn.Parameter(made, requires_grad=bool(told["grad"]))
        elif told["grad"] and told["leaf"]:
            made.requires_grad_()
        if gradient is not None:
            made.grad = gradient
        remote.keep(handle, made)
        if told["parameter"] or (told["grad"] and told["leaf"]):
            told_gradient = None if gradient is None else wire.raw(gradient)
            remote.sent[handle] = (wire.raw(made), told_gradient, made.requires_grad, made.dtype, tuple(made.shape))
        if told["grad"] and not told["leaf"]:
            self.pending.append((handle, made))
        return made

    def as_view(self, told: dict[str, Any], new: torch.Tensor) -> torch.Tensor:
        """The same numbers as a view of the tensor that the worker says it is a view of, if that is true."""
        handle, offset = told["view"]
        base = self.remote.tensors.get(handle)
        if base is None or base.dtype != new.dtype or not isinstance(told["stride"], list):
            return new
        try:
            view = base.detach().as_strided(new.shape, told["stride"], offset)
        except RuntimeError:
            return new
        return view if wire.raw(view) == wire.raw(new) else new

    def array(self, tree: Any) -> np.ndarray:
        shape = wire.counts(tree[3])
        return np.frombuffer(self.blobs[tree[1]], dtype=_numpy_dtype(tree[2])).reshape(shape).copy()

    def class_of(self, ancestry: Any, signature: Any = None, doc: Any = None) -> type:
        remote, (handle, name, names) = self.remote, ancestry
        if handle in remote.classes:
            return remote.classes[handle]
        bases: tuple[type, ...] = (RemoteObject,)
        if "torch.nn.modules.module.Module" in names:
            bases = (RemoteNnModule, nn.Module)
        elif "torch.utils.data.dataset.Dataset" in names:
            bases = (RemoteObject, torch.utils.data.Dataset)
        if "builtins.BaseException" in names:
            bases = (_exception(names),)
        space = {"__module__": "remote", "__doc__": doc if isinstance(doc, str) else None, "_handle": handle}
        if bases[0] is RemoteObject or bases[0] is RemoteNnModule:
            space["_remote"] = remote
        made = type(str(name), bases, space)
        if signature:
            made.__signature__ = self.signature(signature)  # type: ignore[attr-defined]
        remote.classes[handle] = made
        return made

    def signature(self, told: Any) -> inspect.Signature:
        kinds = [inspect._ParameterKind(kind) for _, kind, _, _ in told]
        empty = inspect.Parameter.empty
        return inspect.Signature(
            [
                inspect.Parameter(str(name), kind, default=self.value(default) if has else empty)
                for (name, _, has, default), kind in zip(told, kinds, strict=True)
            ]
        )

    def named_tuple(self, tree: Any) -> Any:
        _, (handle, name, _), fields, parts = tree
        if handle not in self.remote.classes:
            self.remote.classes[handle] = collections.namedtuple(name, fields)  # type: ignore[misc]
        return self.remote.classes[handle](*map(self.value, parts))

    def function(self, tree: Any) -> Any:
        remote, (_, handle, name, signature, doc) = self.remote, tree
        if handle not in remote.objects:

            def call(*arguments: Any, **options: Any) -> Any:
                return remote("call", call, *arguments, **options)

            call.__name__ = call.__qualname__ = str(name)
            call.__doc__ = doc if isinstance(doc, str) else None
            call.__module__ = "remote"
            call._handle = handle  # type: ignore[attr-defined]
            if signature:
                call.__signature__ = self.signature(signature)  # type: ignore[attr-defined]
            remote.objects[handle] = call
        return remote.objects[handle]

    def module(self, tree: Any) -> nn.Module:
        _, handle, ancestry, of_torch, training, attributes, parameters, buffers, modules = tree
        remote = self.remote
        made = remote.objects.get(handle)
        if made is None:
            if of_torch:
                known = _library_class(*ancestry[2][0].rsplit(".", 1))
                if not issubclass(known, nn.Module):
                    raise Malformed("no module")
                space = {"_remote": remote, "__module__": known.__module__, "_handle": ancestry[0]}
                kind = type(known.__name__, (known,), space)
            else:
                kind = self.class_of(ancestry)
            made = kind.__new__(kind)
            nn.Module.__init__(made)
            remote.objects[handle] = made
        inner = vars(made)
        inner.update(_handle=handle, training=bool(training))
        inner.update({str(name): self.value(part) for name, part in attributes})
        for place in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            inner[place].clear()
        inner["_parameters"].update({str(name): self.value(part) for name, part in parameters})
        inner["_buffers"].update({str(name): self.value(part) for name, part, _ in buffers})
        inner["_non_persistent_buffers_set"].update(str(name) for name, _, persistent in buffers if not persistent)
        inner["_modules"].update({str(name): self.value(part) for name, part in modules})
        return made

    def other(self, tree: Any) -> Any:
        _, handle, ancestry = tree
        if handle not in self.remote.objects:
            kind = self.class_of(ancestry)
            made = kind.__new__(kind)
            vars(made)["_handle"] = handle
            self.remote.objects[handle] = made
        return self.remote.objects[handle]

    def error(self, tree: dict[str, Any]) -> BaseException:
        """The exception that the code raised, as one of Python's own or of a class that derives from one."""
        try:
            ancestry = tree["error"]
            names = ancestry[2]
            kind = _exception(names)
            if not names[0].startswith("builtins."):
                kind = self.class_of(ancestry) if names[0].partition(".")[0] not in sys.modules else kind
            try:
                error = kind(*[self.value(part) for part in tree["arguments"]])
            except Exception:
                error = RuntimeError(str(tree["message"]))
            for name, part in tree["attributes"].items():
                if not name.startswith("__"):
                    setattr(error, name, self.value(part))
            return error
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as problem:
            raise Malformed(f"{type(problem).__name__} in an error that it sent") from None


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
    """The module under test, as specs see it."""

    def __init__(self, remote: Remote):
        super().__init__("remote_kata")
        vars(self).update(_remote=remote, _known={}, __file__="remote")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._known:
            self._known[name] = self._remote("get", name)
        return self._known[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._known[name] = value
        self._remote("set", name, value)

    def __dir__(self) -> list[str]:
        return [str(name) for name in self._remote("names")]


def _done(owner: Any, what: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """What the worker asks of an object of the specs: nothing but how such objects are used."""
    match what:
        case "call":
            return owner(*arguments, **options)
        case "getattr" if not str(arguments[0]).startswith("_"):
            return getattr(owner, arguments[0])
        case "setattr" if not str(arguments[0]).startswith("_"):
            return setattr(owner, *arguments)
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


def _is_callback(value: Any) -> bool:
    """Whether this object stays here: a function or an iterator of the specs, or an object that they watch."""
    if isinstance(value, types.FunctionType):
        return not (value.__module__ or "").startswith(("torch", "numpy")) and not _is_pure(value)
    if isinstance(value, types.MethodType | types.BuiltinMethodType):
        owner = value.__self__
        return _is_of_specs(type(owner)) or hasattr(type(owner), "_remote") or isinstance(owner, list | dict | set)
    if type(value).__name__ in ITERATORS:
        return True
    if isinstance(value, type):
        return False
    return type(value).__module__ == "unittest.mock" or (_is_of_specs(type(value)) and not _goes_by_value(value))


def _is_pure(function: types.FunctionType) -> bool:
    """Whether a function of the specs needs nothing of them, but libraries and plain numbers: it may go by value."""
    plain = (types.ModuleType, types.BuiltinFunctionType, type, int, float, str, bool, torch.dtype)
    names = _names(function.__code__)
    used = [function.__globals__[name] for name in names if name in function.__globals__]
    return not function.__closure__ and all(
        isinstance(value, plain) and not hasattr(value, "_remote") and not _is_secret(value) for value in used
    )


def _names(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_secret(value: Any) -> bool:
    """Whether this is the grader's, pytest's or the specs' own, which a worker must not hold."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "") or ""
    return str(name).partition(".")[0] in ("grader", "katas", "pytest", "_pytest", "hypothesis", "unittest")


def _goes_by_value(value: Any) -> bool:
    kinds = (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.utils.data.Dataset)
    return isinstance(value, kinds)


def _is_of_specs(kind: type) -> bool:
    return kind.__module__.startswith("katas.") or "<locals>" in kind.__qualname__


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    """Take over an attribute of an object that was sent by value, in place where others may hold it."""
    if name.startswith("_"):
        return
    now = vars(owner).get(name)
    if isinstance(owner, torch.optim.Optimizer) and name == "param_groups":
        for group, new in zip(owner.param_groups, value, strict=True):
            group.update(new)
    elif isinstance(now, list) and isinstance(value, list):
        now[:] = value
    elif isinstance(now, dict) and isinstance(value, dict):
        now.clear()
        now.update(value)
    else:
        vars(owner)[name] = value


def _exception(names: list[str]) -> type[BaseException]:
    """The nearest of Python's own exceptions that the class derives from. What would end this process is none."""
    for name in names:
        module, _, own = name.rpartition(".")
        kind = getattr(builtins, own, None) if module == "builtins" else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return RuntimeError


def _library_class(module: str, name: str) -> type:
    if module.partition(".")[0] not in ("builtins", "collections", "torch") or module not in sys.modules:
        raise Malformed(f"a class of {module!s:.40}")
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise Malformed(f"{name!s:.40} is no class")
    return found


def _numpy_dtype(name: Any) -> np.dtype:
    found = np.dtype(str(name))
    if found.kind not in "fiubc":
        raise Malformed(f"dtype {name!s:.20}")
    return found


def _swapped(value: Any, table: dict[int, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return table.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_swapped(part, table) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_swapped(part, table) for part in value))
    if isinstance(value, dict):
        return type(value)((key, _swapped(part, table)) for key, part in value.items())
    return value


def pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """The judge's and the worker's ends, each (reading, writing)."""
    to_judge, to_worker = os.pipe(), os.pipe()
    return (to_judge[0], to_worker[1]), (to_worker[0], to_judge[1])


__all__ = ["Lost", "Remote", "RemoteModule", "copy", "pipes"]
