"""The worker of the second lock: it holds the code under test and does what the judge
asks. It knows no specs.

The judge sends pickles in frames, which this process trusts. The answers are JSON and
blobs (see `encoding`, `wire`).
"""

import copy
import importlib
import io
import os
import pickle
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from grader.isolation import state
from grader.lock import encoding, loader, probes, values, wire

LONGEST_TEXT = 20_000
MISSING = object()


class Worker:
    """One worker: its pipe to the judge, the module under test, and what judge and
    worker know by handles.
    """

    def __init__(self, pipe: int, load: Callable[[], ModuleType]):
        self.pipe, self.reader, self.load = pipe, wire.Reader(pipe), load
        self.process = os.getpid()
        self.module: ModuleType | None = None
        # what names of modules meant before the judge set them
        self.originals: dict[tuple[str, str], Any] = {}
        self.own: set[str] = set()  # names of the kata's classes
        self.forget()

    def forget(self) -> None:
        """Forget what the judge knew by handles or set, and what the code changed of
        PyTorch's state: a spec begins.
        """
        state.reset(0)
        for (place, name), value in self.originals.items():
            if value is MISSING:
                vars(self.module_at(place)).pop(name, None)
            else:
                setattr(self.module_at(place), name, value)
        self.originals.clear()
        self.table = encoding.Table(self.own)
        self.generators: dict[int, torch.Generator] = {}
        self.callbacks: dict[int, JudgesObject] = {}
        # handles of the tensors that the present call got, and how they were
        self.given: dict[int, Any] = {}
        # numbers of the objects sent by value in this message
        self.used: set[int] = set()

    def serve(self) -> Any:
        """Answer requests until the judge ends, or until it answers one of ours."""
        while True:
            try:
                head, body = self.reader.frame(), self.reader.frame()
            except EOFError:
                os._exit(0)
            try:
                updates, involved, surroundings = pickle.loads(head)
                self.take(updates)
                self.enter(surroundings)
                message = Unpickler(io.BytesIO(body), self).load()
            except Exception as error:
                # the message holds something that this process cannot have
                self.fail(error)
                continue
            match message:
                case "return", value:
                    self.watch(involved)
                    return value
                case "raise", error:
                    raise error
                case "do", operation, arguments, options:
                    self.answer(operation, arguments, options, involved)

    def ask(
        self,
        number: int,
        what: str,
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        """Have the judge do something with an object of its own. A process that the
        code has started cannot: the judge's answers would reach one that has not asked.
        """
        if os.getpid() != self.process:
            raise RuntimeError(
                "an object of the specs is used in another process than the code's"
            )
        encode = encoding.Encoder(self.table, JudgesObject)
        tree = {
            "callback": number,
            "what": what,
            "arguments": [encode(value) for value in arguments],
            "options": {name: encode(value) for name, value in options.items()},
            "torch": [one if type(one) is bool else str(one) for one in state.modes()],
            "modes": self.modes(),
        }
        wire.send(self.pipe, tree, encode.blobs)
        return self.serve()

    def answer(
        self, operation: str, arguments: Any, options: Any, involved: list[int]
    ) -> None:
        if operation == "probe":
            return self.probe(*arguments)
        outer, self.given = self.given, {}
        self.watch(involved)
        given = self.given
        try:
            value = self.do(operation, *arguments, **options)
            tensors = {handle: self.table.tensors[handle] for handle in given}
            encode = encoding.Encoder(self.table, JudgesObject, tensors)
            tree = {
                "value": encode(value),
                "changed": [
                    self.change(encode, handle, before)
                    for handle, before in given.items()
                ],
                "objects": [
                    [number, self.attributes(encode, number)]
                    for number in sorted(self.used)
                ],
                "modes": self.modes(),
            }
            self.used.clear()
            wire.send(self.pipe, tree, encode.blobs)
        except BaseException as error:
            self.fail(error)
        finally:
            self.given = outer

    def probe(self, text: str, exercise: str, seed: int) -> None:
        """Run the exercise's probe, and send the plain values that it returns."""
        encode = values.Encoder()
        try:
            assert self.module
            value = encode(probes.run(text, exercise, self.module, seed))
            wire.send(self.pipe, {"value": value}, encode.blobs)
        except BaseException as error:
            self.fail(error)

    def modes(self) -> list[Any]:
        """Whether each module that the judge knows is in training mode."""
        return [
            [handle, module.training] for handle, module in self.table.modules.items()
        ]

    def watch(self, involved: list[int]) -> None:
        """Remember how these tensors are, to tell the judge what the call that is under
        way does to them.
        """
        for handle in involved:
            if handle in self.table.tensors:
                self.given.setdefault(handle, _snapshot(self.table.tensors[handle]))

    def do(self, operation: str, /, *arguments: Any, **options: Any) -> Any:
        if operation == "load":
            [names] = arguments
            self.own.update(names)
            self.module = self.load()
            return None
        if operation == "forget":
            return self.forget()
        if operation == "get":
            return getattr(self.module_at(arguments[0]), arguments[1])
        if operation in ("set", "unset"):
            place, name, *value = arguments
            self.originals.setdefault(
                (place, name), vars(self.module_at(place)).get(name, MISSING)
            )
            return (
                setattr(self.module_at(place), name, *value)
                if value
                else delattr(self.module_at(place), name)
            )
        if operation == "names":
            return list(vars(self.module_at(arguments[0])))
        if operation == "backward":
            return self.backward(*arguments)
        return OPERATIONS[operation](*arguments, **options)

    def module_at(self, name: str) -> ModuleType | None:
        """The module under test, or another one of its package."""
        return importlib.import_module(name) if name else self.module

    def backward(
        self, outs: list[int], ins: list[int], gradients: list[torch.Tensor | None]
    ) -> list[Any]:
        """Gradients of earlier outputs with respect to tensors that the judge gave,
        None where there is none.

        Those that are results of earlier calls are taken as given: the judge asks about
        these calls by itself.
        """
        sources = [self.table.tensors[handle] for handle in ins]
        pairs = [
            (self.table.tensors[handle], g)
            for handle, g in zip(outs, gradients, strict=True)
            if g is not None
        ]
        pairs = [(out, g) for out, g in pairs if out.requires_grad]
        wanted = [source for source in sources if source.requires_grad]
        if not pairs or not wanted:
            return [None] * len(ins)
        outputs, seeds = zip(*pairs, strict=True)
        held: dict[int, torch.Tensor] = {}
        hooks = [
            source.register_hook(_holding(held, i))
            for i, source in enumerate(wanted)
            if not source.is_leaf
        ]
        found = list(
            torch.autograd.grad(
                outputs, wanted, seeds, allow_unused=True, retain_graph=True
            )
        )
        for hook in hooks:
            hook.remove()
        answer = iter([held.get(i, gradient) for i, gradient in enumerate(found)])
        return [next(answer) if source.requires_grad else None for source in sources]

    def fail(self, error: BaseException) -> None:
        encode = encoding.Encoder(self.table, JudgesObject)
        plain = (str, int, float, bool, type(None))
        try:
            text = str(error)[:LONGEST_TEXT]
        except BaseException:
            text = ""
        tree = {
            "error": encode.ancestry(type(error)),
            "arguments": [
                encode(a if isinstance(a, plain) else repr(a)[:LONGEST_TEXT])
                for a in error.args
            ],
            "message": text,
            "attributes": {
                k: encode(v) for k, v in vars(error).items() if isinstance(v, plain)
            },
        }
        wire.send(self.pipe, tree, encode.blobs)

    def take(self, updates: list[Any]) -> None:
        """Bring our copies of the judge's tensors up to date."""
        for (
            handle,
            dtype,
            shape,
            stride,
            data,
            requires_grad,
            is_leaf,
            is_parameter,
            gradient,
        ) in updates:
            tensors = self.table.tensors
            if data is None:
                new = torch.empty(shape, dtype=wire.DTYPES[dtype], device="meta")
            else:
                new = wire.tensor(data, dtype, shape, stride)
            old = tensors.get(handle)
            if old is None:
                if is_parameter:
                    new = nn.Parameter(new, requires_grad=requires_grad)
                elif requires_grad:
                    new.requires_grad_()
                    with torch.enable_grad():
                        # the code may write to a result, not to a leaf
                        result = new if is_leaf else new.clone()
                    new = result if result.stride() == new.stride() else new
                self.table.keep(handle, new)
                old = new
            elif old.is_leaf or handle >= 0:
                if old.shape == new.shape and old.dtype == new.dtype:
                    old.data.copy_(new)
                else:
                    old.data = new
                if old.is_leaf and old.dtype.is_floating_point:
                    old.requires_grad_(requires_grad)
            if old.is_leaf and data is not None:
                old.grad = (
                    None if gradient is None else wire.tensor(gradient, dtype, shape)
                )

    def enter(self, surroundings: Any) -> None:
        """Take over the judge's random state, where it has changed, and its modes."""
        seeded, python, numpy, of_torch, of_modules = surroundings
        if seeded is not None:
            torch.default_generator.set_state(
                torch.frombuffer(bytearray(seeded), dtype=torch.uint8)
            )
        if python is not None:
            random.setstate(python)
        if numpy is not None:
            np.random.set_state(numpy)
        state.enter(of_torch)
        for handle, training in of_modules:
            self.table.modules[handle].training = training

    def change(
        self, encode: encoding.Encoder, handle: int, before: tuple[Any, ...] | None
    ) -> list[Any] | None:
        """The call's change of a tensor that it got; None if there is none."""
        tensor = self.table.tensors[handle]
        if before is None or before == _snapshot(tensor):
            return None
        gradient = tensor.grad if tensor.is_leaf else None
        return [
            handle,
            encode.blob(wire.raw(tensor)),
            str(tensor.dtype),
            list(tensor.shape),
            None if gradient is None else encode.blob(wire.raw(gradient)),
            bool(tensor.requires_grad),
        ]

    def attributes(self, encode: encoding.Encoder, number: int) -> list[Any]:
        """The simple attributes of an object that was sent by value."""
        found = vars(self.table.by_value[number]).items()
        return [
            [name, encode(value)]
            for name, value in found
            if not name.startswith("_") and _is_simple(value)
        ]


class JudgesObject:
    """Stands for an object that stays with the judge: what is done to it is
    done there.
    """

    def __init__(self, worker: Worker, number: int):
        vars(self).update(_worker=worker, _number=number)

    def _do(self, what: str, *arguments: Any, **options: Any) -> Any:
        return self._worker.ask(self._number, what, arguments, options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._do("call", *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._do("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._do("setattr", name, value)


def _forwarded(name: str) -> Any:
    return lambda self, *arguments: self._do(name, *arguments)


JUDGES = {
    name: _forwarded(name)
    for name in ("len", "getitem", "iter", "next", "enter", "exit")
}


def judges_object(worker: Worker, number: int, names: tuple[str, ...]) -> JudgesObject:
    """A stand-in with those special methods that the judge's object has."""
    kind = type(
        "JudgesObject", (JudgesObject,), {f"__{name}__": JUDGES[name] for name in names}
    )
    return kind(worker, number)


class Unpickler(pickle.Unpickler):
    """Puts our own objects in the places of the judge's handles."""

    def __init__(self, file: io.BytesIO, worker: Worker):
        super().__init__(file)
        self.worker = worker

    def persistent_load(self, place: Any) -> Any:
        worker, table = self.worker, self.worker.table
        match place:
            case "T", handle:
                return table.tensors[handle]
            case "O", handle:
                return table.objects[handle]
            case "K", name:
                return worker.module_at(name)
            case "J", number, names:
                if number not in worker.callbacks:
                    worker.callbacks[number] = judges_object(worker, number, names)
                return worker.callbacks[number]
            case "G", number, state:
                generator = worker.generators.setdefault(number, torch.Generator())
                if state is not None:
                    generator.set_state(
                        torch.frombuffer(bytearray(state), dtype=torch.uint8)
                    )
                return generator
            case "B", number, data:
                if data:
                    kind, attributes = Unpickler(io.BytesIO(data), worker).load()
                    if number not in table.by_value:
                        table.by_value[number] = kind.__new__(kind)
                        table.numbers[id(table.by_value[number])] = number
                    if hasattr(kind, "__setstate__"):
                        table.by_value[number].__setstate__(attributes)
                    else:
                        vars(table.by_value[number]).update(attributes)
                worker.used.add(number)
                return table.by_value[number]
        raise pickle.UnpicklingError(f"unknown place {place!r}")


def _snapshot(tensor: torch.Tensor) -> tuple[Any, ...] | None:
    """A tensor's state that a call may change; None for a tensor without data."""
    if tensor.device.type == "meta":
        return None
    gradient = tensor.grad if tensor.is_leaf else None
    told = None if gradient is None else wire.raw(gradient)
    return (
        wire.raw(tensor),
        told,
        tensor.requires_grad,
        tensor.dtype,
        tuple(tensor.shape),
    )


def _is_simple(value: Any, depth: int = 0) -> bool:
    """Tell if a value can go to the judge as it is."""
    kinds = (bool, int, float, str, torch.Tensor, nn.Parameter, torch.Size, torch.dtype)
    if value is None or type(value) in kinds:
        return True
    if depth > 4:
        return False
    if type(value) in (list, tuple, set):
        return all(_is_simple(part, depth + 1) for part in value)
    return isinstance(value, dict) and all(
        _is_simple(part, depth + 1) for pair in value.items() for part in pair
    )


def _holding(
    held: dict[int, torch.Tensor], place: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A hook that keeps a tensor's gradient and lets nothing of it through."""

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        held[place] = gradient
        return torch.zeros_like(gradient)

    return hook


def _functional(
    module: nn.Module, tensors: dict[str, torch.Tensor], arguments: Any, options: Any
) -> Any:
    """Call a module with other tensors in the places of these parameters
    and buffers.
    """
    return torch.func.functional_call(module, tensors, arguments, options)


def _repeated(
    times: int, function: Callable[..., Any], /, *arguments: Any
) -> list[Any]:
    return [function(*arguments) for _ in range(times)]


def _special(value: Any, name: str, /, *arguments: Any, **options: Any) -> Any:
    return getattr(value, name)(*arguments, **options)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, /, *arguments, **options: function(*arguments, **options),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "repeated": _repeated,
    "special": _special,
    "functional": _functional,
    "hash": hash,
    "repr": repr,
    "deepcopy": copy.deepcopy,
}


def main(
    pipe: int, name: str, scratch: Path, katas: Sequence[str], *, with_kernels: bool
) -> None:
    """Serve the judge at the other end of the pipe until it ends.

    Args:
        name: the kata.
        scratch: where its file is, with those of the katas that it builds on.
        katas: this one and those that it builds on.
        with_kernels: its file may import `grader.kernels`.
    """
    sys.dont_write_bytecode = True
    sys.modules[probes.__name__] = probes  # what the texts of probes import
    Worker(
        pipe, lambda: loader.load(name, scratch, katas, with_kernels=with_kernels)
    ).serve()
