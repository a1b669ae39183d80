"""What the judge knows of the worker's tensors and objects, and the worker of the
judge's: both by handles.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from grader.lock.values import MOST_KEPT
from grader.lock.wire import Malformed


class Lost(Exception):
    """The worker has ended, or has sent what no worker sends."""


class Known:
    """The handles of one spec. Calling it has the worker do something: what comes back
    is made of what is known here.

    Args:
        own: names that the code itself defines.
        operators: names of classes whose objects may be used with operators.
    """

    takes_writes: bool  # the code may write to what is writable
    # one of the code's modules is being called, which changes no parameter
    calls_module = False

    def __init__(self, own: Iterable[str], operators: Iterable[str]):
        self.own, self.operators = frozenset(own), frozenset(operators)

    def __call__(self, operation: str, /, *arguments: Any, **options: Any) -> Any:
        """Have the worker do something, and return what comes of it or raise what
        it raises.

        Raises:
            Lost: the worker does not answer any more, or not as a worker would.
        """
        raise NotImplementedError

    def clear(self, *, takes_writes: bool) -> None:
        """Forget all handles."""
        self.takes_writes = takes_writes
        self.tensors: dict[int, torch.Tensor] = {}
        self.handles: dict[int, int] = {}  # of tensors, by id()
        # handle → what the worker has last seen of the tensor
        self.sent: dict[int, Any] = {}
        # handles of our parameters, and of what is part of our models and optimizers
        self.writable: set[int] = set()
        # handles of the worker's tensors that are views of ours
        self.views: set[int] = set()
        # handles of what the worker has seen of leaves that require a gradient
        self.leaves: dict[int, None] = {}
        self.objects: dict[int, Any] = {}
        self.nets: dict[int, nn.Module] = {}  # those of the objects that are one
        # of those objects that the worker has told once, by name
        self.methods: dict[tuple[int, str], Any] = {}
        self.classes: dict[int, type] = {}
        # of our callbacks, generators and objects sent by value, by id()
        self.numbers: dict[int, int] = {}
        self.callbacks: dict[int, Any] = {}
        self.by_value: dict[int, Any] = {}
        self.generator_states: dict[int, bytes] = {}
        self.busy: set[int] = set()
        self.kept: list[Any] = []  # ids must not be used again
        self.room = MOST_KEPT
        self.count = 0

    def handle(self, tensor: torch.Tensor) -> int:
        """The handle of a tensor of ours or the worker's."""
        if id(tensor) not in self.handles:
            self.count += 1
            self.keep(self.count, tensor)
        return self.handles[id(tensor)]

    def number(self, value: Any) -> int:
        """The number of an object of ours."""
        if id(value) not in self.numbers:
            self.kept.append(value)
            self.numbers[id(value)] = len(self.numbers)
        return self.numbers[id(value)]

    def keep(self, handle: int, tensor: torch.Tensor) -> None:
        """Know this tensor by this handle.

        Raises:
            Malformed: no spec needs as many as there are then.
        """
        self.room -= 0 if tensor.is_meta else tensor.numel() * tensor.itemsize
        if self.room < 0:
            raise Malformed(f"more than {MOST_KEPT >> 20} MB of tensors")
        self.tensors[handle] = tensor
        self.handles[id(tensor)] = handle
        self.kept.append(tensor)

    def is_guarded(self, handle: int) -> bool:
        """True if the worker may not write to this tensor: its memory is ours, or a
        forward pass is under way.
        """
        if self.calls_module and isinstance(self.tensors.get(handle), nn.Parameter):
            return True
        ours = handle >= 0 or handle in self.views
        return ours and not (self.takes_writes and handle in self.writable)
