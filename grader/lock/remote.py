"""The judge's end of the pipe to a worker: each call on `kata` goes there and back.

Tensors travel by value. Autograd crosses by one `autograd.Function` a call, modules are
mirrored with their parameters, functions and iterators of the specs become callbacks.
What comes back is checked, and made of plain values only.
"""

import ctypes
import io
import pickle
import random
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import nn

from grader.isolation import state
from grader.lock import crossing, values, wire
from grader.lock.decoder import Decoder
from grader.lock.known import Known, Lost
from grader.lock.mirrors import RemoteModule
from grader.lock.wire import Malformed

NO_STATES: tuple[Any, ...] = (None, None, None)
# nothing takes their places
AS_THEY_ARE = frozenset({type(None), bool, int, float, str, bytes, tuple, list, dict})


class Remote(Known):
    """The judge's end of the pipe to one worker.

    Args:
        pipe: a file descriptor.
        own: names that the code itself defines: none of them may turn out to be a
            library's class.
        operators: names of classes whose objects may be used with operators.
    """

    def __init__(
        self, pipe: int, own: Iterable[str] = (), operators: Iterable[str] = ()
    ):
        super().__init__(own, operators)
        self.pipe, self.reader = pipe, wire.Reader(pipe)
        self.lost = False  # the worker has not answered, or not as a worker would
        self.modules = {"": RemoteModule(self)}
        self.begin()

    def begin(self, *, takes_writes: bool = True) -> None:
        """Forget all handles, because another spec begins.

        Args:
            takes_writes: the code may write to parameters, models and optimizers that
                it gets. Otherwise, and whatever else it gets, the judge keeps its
                values as it sent them.
        """
        self.clear(takes_writes=takes_writes)
        # which the worker resets: it gets them with what is asked first
        self.last = _generators()
        for module in self.modules.values():
            module.forget()
        if not self.lost:
            try:
                self("forget")
            except Exception:
                # an error is no answer to that: the code has put itself between
                self.lost = True
            self.last = NO_STATES

    def name(self, package: str, names: Iterable[str]) -> None:
        """Know these modules of a package by name: they are in the worker."""
        for name in (package, *(f"{package}.{name}" for name in names)):
            self.modules[name] = RemoteModule(self, name)
            if name != package:
                vars(self.modules[package])[name.partition(".")[2]] = self.modules[name]

    def serve(self) -> None:
        """Let specs and probes import the modules that are known by name."""
        sys.modules.update(
            {name: module for name, module in self.modules.items() if name}
        )

    def __call__(self, operation: str, /, *arguments: Any, **options: Any) -> Any:
        """Have the worker do something, and return what comes of it or raise what
        it raises.

        Raises:
            Lost: the worker does not answer any more, or not as a worker would.
        """
        message, used = self.pickled(("do", operation, arguments, options))
        used += self.leaves.keys() - used
        return self.asked(message, used, self.wait)

    def plain(self, operation: str, /, *arguments: Any) -> Any:
        """Have the worker do something, as by a call. What comes back is made of plain
        values, and meanwhile the worker may not ask for anything.
        """
        message, _ = self.pickled(("do", operation, arguments, {}))
        return self.asked(message, [], self.plain_answer)

    def asked(
        self,
        message: bytes,
        used: list[int],
        wait: Callable[[list[int]], tuple[str, Any]],
    ) -> Any:
        """Send a message, and return or raise what is waited for."""
        if self.lost:
            raise Lost("the code under test has ended")
        try:
            self.post(message, used)
            kind, answer = wait(used)
        except (EOFError, OSError, Malformed) as problem:
            self.lost = True
            raise Lost(f"the code under test does not answer: {problem}") from None
        except BaseException:  # the spec's time limit
            self.lost = True
            raise
        if kind == "error":
            raise answer
        return answer

    def repeated(self, times: int, call: Any, /, *arguments: Any) -> list[Any]:
        """Have the worker call so many times, if it alone is asked then."""
        if not self.is_theirs(call):
            return [call(*arguments) for _ in range(times)]
        found = self("repeated", times, call, *arguments)
        if type(found) is not list or len(found) != times:
            self.lost = True
            raise Lost("the worker: not as many results as calls")
        return found

    def is_theirs(self, call: Any) -> bool:
        """Tell if a call of this runs nothing here: it is a function, a method or an
        object of the code, and no net.
        """
        inner = vars(call if isinstance(call, types.FunctionType) else type(call))
        return "_handle" in inner and not isinstance(call, nn.Module)

    def post(self, message: bytes, used: list[int]) -> None:
        """Send a message, and before it what the worker must learn about the tensors in
        it and the state of things.
        """
        updates = [update for update in map(self.update, used) if update]
        wire.write(self.pipe, pickle.dumps((updates, used, self.state())), message)

    def wait(self, used: list[int]) -> tuple[str, Any]:
        """The answer, or the error that the code raised, after all that the worker
        asks meanwhile.
        """
        while True:
            tree, blobs = self.reader.receive()
            decode = Decoder(self, blobs, used)
            if "callback" in tree:
                # until the answer is sent, which brings them back
                with state.others(decode.modes(tree)):
                    message, sent = self.called_back(tree, decode)
                    self.post(message, sent)
                used += [handle for handle in sent if handle not in used]
            elif "error" in tree:
                return "error", decode.error(tree)
            else:
                return "value", decode.answer(tree)

    def plain_answer(self, used: list[int]) -> tuple[str, Any]:
        tree, blobs = self.reader.receive()
        decode = values.Decoder(blobs)
        if "error" in tree:
            return "error", decode.error(tree)
        return "value", decode(tree.get("value"))

    def called_back(
        self, tree: dict[str, Any], decode: "Decoder"
    ) -> tuple[bytes, list[int]]:
        if tree["callback"] not in self.callbacks:
            raise Malformed("no such callback")
        owner = self.callbacks[tree["callback"]]
        arguments = [decode(part) for part in tree["arguments"]]
        options = {str(name): decode(part) for name, part in tree["options"].items()}
        try:
            return self.pickled(
                ("return", crossing.done(owner, tree["what"], arguments, options))
            )
        except Malformed:
            raise
        except Exception as error:
            if type(error).__module__.startswith("grader."):  # which is not there
                error = RuntimeError(str(error))
            try:
                return self.pickled(("raise", error))
            except Exception:
                return self.pickled(("raise", RuntimeError(str(error))))

    def state(self) -> tuple[Any, ...]:
        """The random states, where they have changed since the worker last got them,
        and the modes.

        What the worker's generators come to never enters this process: they go on there
        by themselves.
        """
        before, self.last = self.last, _generators()
        in_torch, python, numpy = self.last
        return (
            None if in_torch == before[0] else in_torch,
            None if python == before[1] else random.getstate(),
            None if numpy == before[2] else np.random.get_state(),
            state.modes(),
            [(handle, module.training) for handle, module in self.nets.items()],
        )

    def update(self, handle: int) -> tuple[Any, ...] | None:
        """The state of a tensor to send to the worker; None if the worker has it."""
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
        if tensor.is_leaf and tensor.requires_grad:
            self.leaves[handle] = None
        else:
            self.leaves.pop(handle, None)
        layout = (str(tensor.dtype), list(tensor.shape), list(tensor.stride()))
        kind = (tensor.requires_grad, tensor.is_leaf, isinstance(tensor, nn.Parameter))
        return (handle, *layout, now[0], *kind, now[1])

    def pickled(self, message: Any) -> tuple[bytes, list[int]]:
        """The message for the worker, and the handles of the tensors in it."""
        file = io.BytesIO()
        pickler = Pickler(file, self)
        pickler.dump(message)
        return file.getvalue(), list(dict.fromkeys(pickler.used))


class Pickler(cloudpickle.Pickler):
    """Leaves out of a message what the worker has, or may not have: handles take
    their places.
    """

    def __init__(self, file: io.BytesIO, remote: Remote):
        super().__init__(file, protocol=4)
        self.remote = remote
        self.used: list[int] = []

    def persistent_id(self, value: Any) -> Any:
        if type(value) in AS_THEY_ARE:
            return None
        remote = self.remote
        if isinstance(value, torch.Tensor):
            handle = remote.handle(value)
            self.used.append(handle)
            if isinstance(value, nn.Parameter):
                remote.writable.add(handle)
            return "T", handle
        if isinstance(value, torch.Generator):
            return self.generator(value)
        if isinstance(value, RemoteModule):
            return "K", value._place
        if isinstance(value, type):
            return ("O", vars(value)["_handle"]) if "_handle" in vars(value) else None
        if self.is_mirror(value):
            if isinstance(value, nn.Module):
                self.used += [
                    remote.handle(part)
                    for part in [*value.parameters(), *value.buffers()]
                ]
            return "O", vars(value)["_handle"]
        if crossing.is_callback(value):
            number = remote.number(value)
            remote.callbacks[number] = value
            return (
                "J",
                number,
                tuple(
                    name
                    for name in crossing.SPECIAL
                    if hasattr(type(value), f"__{name}__")
                ),
            )
        if crossing.goes_by_value(value):
            return self.by_value(value)
        return None

    def is_mirror(self, value: Any) -> bool:
        """Tell if this stands for an object in the worker."""
        inner = getattr(value, "__dict__", None)
        return isinstance(inner, dict) and inner.get("_handle") in self.remote.objects

    def generator(self, value: torch.Generator) -> Any:
        state = value.get_state().numpy().tobytes()
        number = self.remote.number(value)
        known = self.remote.generator_states.get(number) == state
        self.remote.generator_states[number] = state
        return "G", number, None if known else state

    def by_value(self, value: Any) -> Any:
        remote, data = self.remote, b""
        number = remote.number(value)
        if number not in remote.busy:
            remote.busy.add(number)
            try:
                data, used = remote.pickled((type(value), value.__getstate__()))
            finally:
                remote.busy.discard(number)
            self.used += used
            if not isinstance(value, torch.utils.data.Dataset):
                remote.writable.update(used)
        remote.by_value[number] = value
        return "B", number, data


def _generators() -> tuple[Any, ...]:
    """How the generators of PyTorch, Python and NumPy are, to tell whether they have
    moved since.
    """
    python, numpy = random.random.__self__, np.random.rand.__self__  # type: ignore[attr-defined]
    return (
        torch.default_generator.get_state().numpy().tobytes(),
        (_memory(python), python.gauss_next),
        (_memory(numpy), _memory(np.random.get_bit_generator())),  # type: ignore[attr-defined]
    )


def _memory(thing: object) -> bytes:
    """What an object in C holds, but for its head. `getstate` makes Python's numbers of
    it, a hundred times as slow.
    """
    head = object.__basicsize__
    return ctypes.string_at(id(thing) + head, type(thing).__basicsize__ - head)
