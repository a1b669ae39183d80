"""Encode a worker's values: a tree of JSON, with handles for objects that stay here and
blobs for numbers.
"""

import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from grader.lock import values, wire
from grader.lock.wire import Tag


class Table:
    """The objects and tensors that the judge knows by a handle.

    Args:
        own: names of the kata's classes, whose objects never go by value.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        self.own = frozenset(own)
        self.objects: dict[int, Any] = {}
        self.modules: dict[int, nn.Module] = {}  # those of the objects that are one
        self.tensors: dict[int, torch.Tensor] = {}
        self.handles: dict[int, int] = {}  # by id()
        self.of_tensors: dict[int, int] = {}
        # the judge's number of an object sent by value → our copy
        self.by_value: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}  # id() of our copy → that number
        self.count = 0

    def handle(self, value: Any) -> int:
        if id(value) not in self.handles:
            self.count += 1
            # which also keeps its id() from being given to another object
            self.objects[self.count] = value
            if isinstance(value, nn.Module):
                self.modules[self.count] = value
            self.handles[id(value)] = self.count
        return self.handles[id(value)]

    def of_tensor(self, tensor: torch.Tensor) -> int:
        if id(tensor) not in self.of_tensors:
            self.count += 1
            self.keep(-self.count, tensor)
        return self.of_tensors[id(tensor)]

    def keep(self, handle: int, tensor: torch.Tensor) -> None:
        self.tensors[handle] = tensor
        self.of_tensors[id(tensor)] = handle


class Encoder(values.Encoder):
    """Encodes the values of one message. `given` are the tensors that the call got, for
    views of them.
    """

    def __init__(
        self,
        table: Table,
        callbacks: type,
        given: dict[int, torch.Tensor] | None = None,
    ):
        super().__init__()
        self.table, self.callbacks, self.given = table, callbacks, given or {}

    def __call__(self, value: Any) -> list[Any]:
        if isinstance(value, self.callbacks):
            return [Tag.OF_JUDGE, vars(value)["_number"]]
        if id(value) in self.table.numbers:
            return [Tag.SENT, self.table.numbers[id(value)]]
        return super().__call__(value)

    def other(self, value: Any) -> list[Any]:
        if isinstance(value, tuple) and type(value).__module__ == "torch.return_types":
            return [Tag.TUPLE, [self(part) for part in value]]
        is_own = type(value).__name__ in self.table.own
        is_container = isinstance(value, tuple(values.PARTS))
        if is_container and not is_own and not hasattr(value, "_fields"):
            return super().other(value)
        if isinstance(value, type):
            return self.class_of(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return [
                Tag.NAMED_TUPLE,
                self.ancestry(type(value)),
                list(value._fields),
                [self(part) for part in value],
            ]
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(
            value, types.FunctionType | types.MethodType | types.BuiltinFunctionType
        ):
            handle, name = self.table.handle(value), getattr(value, "__name__", "")
            return [
                Tag.FUNCTION,
                handle,
                name,
                self.signature(value),
                value.__doc__,
                isinstance(value, types.MethodType),
            ]
        return [Tag.OBJECT, self.table.handle(value), self.ancestry(type(value))]

    def tensor(self, tensor: torch.Tensor) -> list[Any]:
        known, meta = id(tensor) in self.table.of_tensors, tensor.device.type == "meta"
        told: dict[str, Any] = {
            "handle": self.table.of_tensor(tensor),
            "known": known,
            "data": None if meta else self.blob(wire.raw(tensor)),
            "dtype": str(tensor.dtype),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()) if tensor.layout == torch.strided else None,
            "grad": bool(tensor.requires_grad),
            "leaf": bool(tensor.is_leaf),
            "parameter": isinstance(tensor, nn.Parameter),
        }
        if tensor.is_leaf and tensor.grad is not None:
            told["gradient"] = self.blob(wire.raw(tensor.grad))
        if not meta and tensor.numel():
            place = tensor.untyped_storage().data_ptr()
            for handle, other in self.given.items():
                if (
                    other is not tensor
                    and other.numel()
                    and other.untyped_storage().data_ptr() == place
                ):
                    told["view"] = [handle, tensor.storage_offset()]
                    break
        return [Tag.TENSOR, told]

    def class_of(self, value: type) -> list[Any]:
        if value.__module__.partition(".")[0] in ("builtins", "collections", "torch"):
            return [Tag.LIBRARY_CLASS, value.__module__, value.__qualname__]
        return [Tag.CLASS, self.ancestry(value), self.signature(value), value.__doc__]

    def ancestry(self, value: type) -> list[Any]:
        """A class's handle and name, the names of its ancestors, its special methods
        and the fields of a dataclass.
        """
        without = nn.Module.__mro__ if issubclass(value, nn.Module) else (object,)
        own = [c for c in value.__mro__ if c not in without]
        special = [
            name
            for c in own
            for name in vars(c)
            if name.startswith("__") and callable(vars(c)[name])
        ]
        names = [f"{c.__module__}.{c.__qualname__}" for c in value.__mro__]
        return [
            self.table.handle(value),
            value.__name__,
            names,
            special,
            list(getattr(value, "__dataclass_fields__", ())),
        ]

    def signature(self, function: Callable[..., Any]) -> list[Any] | None:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (ValueError, TypeError):
            return None
        simple = (bool, int, float, str, type(None))
        return [
            [
                p.name,
                int(p.kind),
                p.default is not p.empty,
                self(p.default if isinstance(p.default, simple) else None),
            ]
            for p in parameters
        ]

    def module(self, module: nn.Module) -> list[Any]:
        kind = type(module)
        return [
            Tag.MODULE,
            self.table.handle(module),
            self.ancestry(kind),
            module.training,
            [[name, self(value)] for name, value in module._parameters.items()],
            [
                [name, self(v), name not in module._non_persistent_buffers_set]
                for name, v in module._buffers.items()
            ],
            [[name, self(value)] for name, value in module._modules.items()],
        ]
