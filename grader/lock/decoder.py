"""Makes the worker's answers into values of the judge. What a worker does not send
is Malformed.
"""

import collections
import dataclasses
import inspect
import re
import sys
from typing import Any

import torch
from torch import nn

from grader.isolation.state import Modes
from grader.lock import values, wire
from grader.lock.known import Known, Lost
from grader.lock.mirrors import (
    CONTAINERS,
    OPERATORS,
    RemoteClass,
    RemoteNnModule,
    RemoteObject,
    forwarded,
)
from grader.lock.wire import Malformed, Tag

# where told classes are
CLASSES = re.compile(
    r"builtins|collections|torch(\.(nn|optim|autograd|utils\.data)\..+)?"
)

MODULE = "torch.nn.modules.module.Module"

MOST_HANDLE = 1 << 48  # up to that, no two numbers have one hash but -1 and -2


class Back(torch.autograd.Function):
    """The graph of one call, which stays in the worker: its backward asks there."""

    @staticmethod
    def forward(
        ctx: Any,
        remote: Known,
        outs: list[int],
        ins: list[int],
        values: list[Any],
        *inputs: Any,
    ) -> Any:
        ctx.remote, ctx.outs, ctx.ins = remote, outs, ins
        ctx.mark_non_differentiable(
            *[v for v in values if not (v.dtype.is_floating_point or v.is_complex())]
        )
        return tuple(value.clone() for value in values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        found = ctx.remote("backward", ctx.outs, ctx.ins, list(gradients))
        if not isinstance(found, list) or len(found) != len(ctx.ins):
            raise Lost("the worker: not as many gradients as inputs")
        return None, None, None, None, *found


class Decoder(values.Decoder):
    """Decodes one message. Anything that a worker does not send is Malformed."""

    def __init__(self, remote: Known, blobs: list[bytes], used: list[int]):
        super().__init__(blobs)
        self.remote, self.used = remote, used
        # outputs whose graph is in the worker
        self.pending: list[tuple[int, torch.Tensor]] = []

    def __call__(self, tree: Any) -> Any:
        with values.strict():
            return self.connected(self.value(tree))

    def answer(self, tree: dict[str, Any]) -> Any:
        with values.strict():
            self.take_changes(tree)
            return self.connected(self.value(tree["value"]))

    def take_changes(self, tree: dict[str, Any]) -> None:
        remote = self.remote
        for change in tree["changed"]:
            if change is None:
                continue
            handle, blob, dtype, shape, gradient, requires_grad = change
            if remote.is_guarded(handle):
                # its own copy is not what we have any more
                remote.sent.pop(handle, None)
                continue
            tensor = remote.tensors[handle]
            if handle not in self.used or tensor.device.type == "meta":
                raise Malformed("a change of what was not sent")
            new = wire.tensor(self.blobs[blob], dtype, shape)
            if tensor.shape == new.shape and tensor.dtype == new.dtype:
                if wire.raw(tensor) != self.blobs[blob]:
                    target = (
                        tensor.data
                        if tensor.is_leaf and tensor.requires_grad
                        else tensor
                    )
                    with torch.no_grad():
                        target.copy_(new)
            else:
                tensor.data = new
            if tensor.is_leaf:
                if tensor.dtype.is_floating_point:
                    tensor.requires_grad_(bool(requires_grad))
                self.take_gradient(tensor, gradient, dtype, shape)
            remote.sent.pop(handle, None)
        for number, attributes in tree["objects"]:
            if number in remote.by_value and remote.takes_writes:
                for name, part in attributes:
                    _set_attribute(remote.by_value[number], str(name), self.value(part))
        self.take_training(tree)

    def modes(self, tree: dict[str, Any]) -> Modes:
        """The modes that the code is in. Its modules' are taken over."""
        with values.strict():
            self.take_training(tree)
            return wire.modes(tree["torch"])

    def take_training(self, tree: dict[str, Any]) -> None:
        """Let the mirrors of the code's modules be in training mode where those are."""
        for handle, training in tree["modes"]:
            if handle in self.remote.nets:
                self.remote.nets[handle].training = bool(training)

    def take_gradient(
        self, tensor: torch.Tensor, blob: int | None, dtype: str, shape: list[int]
    ) -> None:
        """Let the tensor have this gradient, in the memory of the one that it has, if
        there is one.
        """
        new = None if blob is None else wire.tensor(self.blobs[blob], dtype, shape)
        if (
            new is not None
            and tensor.grad is not None
            and tensor.grad.shape == new.shape
        ):
            tensor.grad.copy_(new)
        else:
            tensor.grad = new

    def connected(self, value: Any) -> Any:
        """The value, with its outputs joined to the inputs of the call by the graph
        that the worker keeps.
        """
        if not self.pending:
            return value
        remote, outs = self.remote, [handle for handle, _ in self.pending]
        given = dict.fromkeys([*self.used, *remote.leaves])
        ins = [
            handle
            for handle in given
            if handle not in outs and remote.tensors[handle].requires_grad
        ]
        if not ins:
            return value
        joined = Back.apply(
            remote,
            outs,
            ins,
            [t for _, t in self.pending],
            *[remote.tensors[h] for h in ins],
        )
        table = {
            id(old): new for (_, old), new in zip(self.pending, joined, strict=True)
        }
        for (handle, old), new in zip(self.pending, joined, strict=True):
            remote.kept.append(old)
            remote.keep(handle, new)
        self.pending = []
        return _swapped(value, table)

    def other(self, tree: Any) -> Any:
        match tree[0]:
            case Tag.OF_JUDGE:
                return self.remote.callbacks[tree[1]]
            case Tag.SENT:
                return self.remote.by_value[tree[1]]
            case Tag.LIBRARY_CLASS:
                return _library_class(tree[1], tree[2])
            case Tag.CLASS:
                return self.class_of(tree[1], tree[2], tree[3])
            case Tag.NAMED_TUPLE:
                return self.named_tuple(tree)
            case Tag.FUNCTION:
                return self.function(tree)
            case Tag.MODULE:
                return self.module(tree)
            case Tag.OBJECT:
                return self.mirror(tree)
        return super().other(tree)

    def tensor(self, told: dict[str, Any]) -> torch.Tensor:
        remote, handle = self.remote, _handle(told["handle"])
        known = remote.tensors.get(handle) if told["known"] else None
        if known is not None and known.device.type == "meta":
            return known
        if told["data"] is None:
            shape = wire.counts(told["shape"])
            made = torch.empty(shape, dtype=wire.DTYPES[told["dtype"]], device="meta")
            remote.keep(handle, made)
            return made
        data = self.blobs[told["data"]]
        new = wire.tensor(
            data,
            told["dtype"],
            told["shape"],
            None if known is not None else told["stride"],
        )
        gradient = (
            wire.tensor(self.blobs[told["gradient"]], told["dtype"], told["shape"])
            if "gradient" in told
            else None
        )
        if known is not None:
            same = (
                known.dtype == new.dtype
                and known.shape == new.shape
                and wire.raw(known) == data
            )
            if remote.is_guarded(handle):
                return known if same else new
            if not same and known.shape == new.shape and known.dtype == new.dtype:
                known.data.copy_(new)
            elif not same:
                known.data = new
            if known.is_leaf:
                known.grad = gradient
            return known
        # the judge counts its tensors upwards, the worker its own downwards
        if handle >= 0:
            raise Malformed("a tensor that was never sent")
        made = self.as_view(told, new) if "view" in told and not told["grad"] else new
        if told["parameter"]:
            # what is compared with it would be anything
            if made.dtype.is_floating_point and not made.isfinite().all():
                raise Malformed("a new parameter that is not finite")
            made = nn.Parameter(made, requires_grad=bool(told["grad"]))
        elif told["grad"] and told["leaf"]:
            made.requires_grad_()
        if gradient is not None:
            made.grad = gradient
        remote.keep(handle, made)
        if told["parameter"] or (told["grad"] and told["leaf"]):
            told_gradient = None if gradient is None else wire.raw(gradient)
            if made.requires_grad:
                remote.leaves[handle] = None
            remote.sent[handle] = (
                wire.raw(made),
                told_gradient,
                made.requires_grad,
                made.dtype,
                tuple(made.shape),
            )
        if told["grad"] and not told["leaf"]:
            self.pending.append((handle, made))
        return made

    def as_view(self, told: dict[str, Any], new: torch.Tensor) -> torch.Tensor:
        """The same numbers as a view of the tensor that the worker says it is a view
        of, if that is true.
        """
        handle, offset = told["view"]
        base = self.remote.tensors.get(handle)
        if (
            base is None
            or base.dtype != new.dtype
            or not isinstance(told["stride"], list)
        ):
            return new
        try:
            view = base.detach().as_strided(new.shape, told["stride"], offset)
        except RuntimeError:
            return new
        if wire.raw(view) != wire.raw(new):
            return new
        if handle >= 0 or handle in self.remote.views:
            self.remote.views.add(int(told["handle"]))
        return view

    def class_of(self, ancestry: Any, signature: Any = None, doc: Any = None) -> type:
        remote, (handle, name, names, special, fields) = self.remote, ancestry
        if _handle(handle) in remote.classes:
            return remote.classes[handle]
        bases: tuple[type, ...] = (RemoteObject,)
        if MODULE in names:
            is_layer = names[0].startswith("torch.nn.modules.") and names[0] != MODULE
            bases = (RemoteNnModule, _layer(names[0]) if is_layer else nn.Module)
        elif "torch.utils.data.dataset.Dataset" in names:
            iterable = "torch.utils.data.dataset.IterableDataset" in names
            bases = (
                RemoteObject,
                torch.utils.data.IterableDataset
                if iterable
                else torch.utils.data.Dataset,
            )
        if "builtins.BaseException" in names:
            bases = (values.exception(names),)
        space: dict[str, Any] = {
            "__module__": "remote",
            "__doc__": doc if isinstance(doc, str) else None,
            "_handle": handle,
        }
        made: type
        if bases[0] is RemoteObject or bases[0] is RemoteNnModule:
            is_named = any(one.rpartition(".")[2] in remote.operators for one in names)
            known = CONTAINERS | OPERATORS if is_named else CONTAINERS
            space |= {one: forwarded(one) for one in special if one in known}
            made = RemoteClass(str(name), bases, space | {"_remote": remote})
        else:
            made = type(str(name), bases, space)
        if fields:
            names = [(str(one), object) for one in fields]
            like: Any = dataclasses.make_dataclass(str(name), names)
            made.__dataclass_fields__ = like.__dataclass_fields__  # type: ignore
        if signature:
            made.__signature__ = self.signature(signature)  # type: ignore[attr-defined]
        remote.classes[handle] = made
        return made

    def signature(self, told: Any) -> inspect.Signature:
        kinds = [inspect._ParameterKind(kind) for _, kind, _, _ in told]
        empty = inspect.Parameter.empty
        return inspect.Signature(
            [
                inspect.Parameter(
                    str(name), kind, default=self.value(default) if has else empty
                )
                for (name, _, has, default), kind in zip(told, kinds, strict=True)
            ]
        )

    def named_tuple(self, tree: Any) -> Any:
        _, (handle, name, *_), fields, parts = tree
        if _handle(handle) not in self.remote.classes:
            self.remote.classes[handle] = collections.namedtuple(str(name), fields)
        return self.remote.classes[handle](*map(self.value, parts))

    def function(self, tree: Any) -> Any:
        remote, (_, handle, name, signature, doc, is_method) = self.remote, tree
        if _handle(handle) not in remote.objects:

            def call(*arguments: Any, **options: Any) -> Any:
                return remote("call", call, *arguments, **options)

            call.__name__ = call.__qualname__ = str(name)
            call.__doc__ = doc if isinstance(doc, str) else None
            call.__module__ = "remote"
            call._handle, call._is_method = handle, is_method is True  # type: ignore[attr-defined]
            if signature:
                call.__signature__ = self.signature(signature)  # type: ignore[attr-defined]
            remote.objects[handle] = call
        return remote.objects[handle]

    def module(self, tree: Any) -> nn.Module:
        _, handle, ancestry, training, parameters, buffers, modules = tree
        remote = self.remote
        made = remote.objects.get(_handle(handle))
        if made is None:
            kind: Any = self.class_of(ancestry)
            if not issubclass(kind, nn.Module):
                raise Malformed("a module whose class is none's")
            made = kind.__new__(kind)
            nn.Module.__init__(made)
            remote.objects[handle] = remote.nets[handle] = made
        inner = vars(made)
        inner.update(_handle=handle, training=bool(training))
        for place in (
            "_parameters",
            "_buffers",
            "_modules",
            "_non_persistent_buffers_set",
        ):
            inner[place].clear()
        inner["_parameters"].update(
            {str(name): self.value(part) for name, part in parameters}
        )
        inner["_buffers"].update(
            {str(name): self.value(part) for name, part, _ in buffers}
        )
        inner["_non_persistent_buffers_set"].update(
            str(name) for name, _, persistent in buffers if not persistent
        )
        inner["_modules"].update(
            {str(name): self.value(part) for name, part in modules}
        )
        parts = (
            ("_parameters", torch.Tensor),
            ("_buffers", torch.Tensor),
            ("_modules", nn.Module),
        )
        if any(
            not isinstance(v, kind | None)
            for place, kind in parts
            for v in inner[place].values()
        ):
            raise Malformed("a part of a module that is none")
        # what the worker has in these places
        inner["_told"] = {**inner["_parameters"], **inner["_buffers"]}
        return made

    def mirror(self, tree: Any) -> Any:
        _, handle, ancestry = tree
        if _handle(handle) not in self.remote.objects:
            kind: Any = self.class_of(ancestry)
            made = kind.__new__(kind)
            vars(made)["_handle"] = handle
            self.remote.objects[handle] = made
        return self.remote.objects[handle]

    def error(self, tree: dict[str, Any]) -> BaseException:
        """The exception that the code raised, as one of Python's own or of a class that
        derives from one.
        """
        with values.strict():
            ancestry = tree["error"]
            names = ancestry[2]
            kind = values.exception(names)
            if not names[0].startswith("builtins."):
                kind = (
                    self.class_of(ancestry)
                    if names[0].partition(".")[0] not in sys.modules
                    else kind
                )
            try:
                error = kind(*[self.value(part) for part in tree["arguments"]])
            except Exception:
                error = RuntimeError(str(tree["message"]))
            for name, part in tree["attributes"].items():
                if not name.startswith("__"):
                    setattr(error, name, self.value(part))
            return error


def _handle(told: Any) -> int:
    """A handle that a worker has given out: it counts them."""
    if type(told) is not int or abs(told) >= MOST_HANDLE:
        raise Malformed(f"handle {told!s:.40}")
    return told


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    """Take over an attribute of an object that was sent by value, in place where others
    may hold it.
    """
    if name.startswith("_") or not _is_plain(value):
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


def _is_plain(value: Any) -> bool:
    """Tell if this is data: nothing of it can be called, and nothing of it is in
    the worker.
    """
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    return value is None or isinstance(
        value, bool | int | float | str | torch.Tensor | torch.dtype
    )


def _library_class(module: str, name: str) -> type:
    if not CLASSES.fullmatch(module) or module not in sys.modules:
        raise Malformed(f"a class of {module!s:.40}")
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    # not one it imports
    if not isinstance(found, type) or (found.__module__, found.__qualname__) != (
        module,
        name,
    ):
        raise Malformed(f"{name!s:.40} is no class of {module}")
    return found


def _layer(name: str) -> type:
    """The class of one of PyTorch's layers, for `isinstance`: what a layer computes,
    the worker is asked.
    """
    found = _library_class(*name.rsplit(".", 1))
    if not issubclass(found, nn.Module):
        raise Malformed(f"{name!s:.40} is no layer")
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
