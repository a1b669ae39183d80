"""Triton for katas: kernels run on its interpreter, on the CPU, inside a fence, and
`watched` counts what they move.

`from grader.kernels import tl, triton` imports Triton, with the hooks below in its
interpreter. Every private name of Triton is in this file, written for Triton 3.7 to
3.9. This file itself needs no Triton.
"""

import atexit
import copy
import functools
import gc
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

# bytes of virtual addresses per tensor: a pointer knows its tensor, however it
# was computed
ROOM = 1 << 40
NOBODY, SEVERAL = -1, -2
# a code's number
E2M1 = np.array(
    [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32
)
# a byte's power of two
E8M0 = np.append(np.ldexp(np.float32(1), np.arange(-127, 128)), np.float32("nan"))
# before the names of modules that wait: Python clears these at its end
ASIDE, READY = "aside.", "ready."

_interpreter: Any = None  # triton.runtime.interpreter, once it is imported
_launch: "Launch | None" = None  # the one that runs
_np_dtypes: dict[str, np.dtype[Any]] = {}
_watching: list["Seen"] = []


class KernelFault(Exception):
    """A kernel did what a GPU does not forgive: touched memory outside of its tensors,
    or raced another program.
    """

    def __init__(self, said: str):
        super().__init__(said)
        for seen in _watching:
            seen.faults.append(self)


class Memory:
    """The elements of one storage: how often a kernel touched each, and which program
    of this launch did.
    """

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor  # keeps the storage, so that its address stays its own
        self.size = tensor.untyped_storage().nbytes() // tensor.element_size()
        self.counts = {
            kind: np.zeros(self.size, np.int64) for kind in ("load", "store", "atomic")
        }


@dataclass
class Room:
    """A tensor that a kernel was given, at an address of its own."""

    name: str
    tensor: torch.Tensor
    start: int
    memory: Memory
    # for each element of the storage, whether the tensor has it
    is_inside: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        inside = torch.zeros(self.memory.size, dtype=torch.bool)
        inside.as_strided(
            self.tensor.shape, self.tensor.stride(), self.tensor.storage_offset()
        ).fill_(True)
        self.is_inside = inside.numpy()


class Launch:
    """One launch of a kernel: what it was given, the program that runs, and who
    touched what.
    """

    def __init__(self, kernel: Any, given: dict[str, Any], options: dict[str, Any]):
        # options: how a GPU is to run it
        self.kernel, self.given, self.options = kernel, given, options
        self.names = {
            _key(value): name
            for name, value in given.items()
            if isinstance(value, torch.Tensor)
        }
        self.rooms: list[Room] = []
        self.memories: dict[tuple[int, int], Memory] = {}
        self.readers: dict[Memory, np.ndarray] = {}
        self.writers: dict[Memory, np.ndarray] = {}
        # by atomic operations; where there are some
        self.changers: dict[Memory, np.ndarray] = {}
        # which lane of its writer stored an element since the last barrier
        self.lanes: dict[Memory, np.ndarray] = {}
        self.grid, self.program, self.number, self.programs = (1, 1, 1), (0, 0, 0), 0, 0
        self.patched: set[int] = set()  # namespaces whose language runs here by now

    def room(self, tensor: torch.Tensor) -> Room:
        """The tensor's room. Views of one storage share its memory, and so do several
        arguments that are one tensor.
        """
        place = (tensor.untyped_storage().data_ptr(), tensor.element_size())
        memory = self.memories.setdefault(place, Memory(tensor))
        self.readers.setdefault(memory, np.full(memory.size, NOBODY))
        self.writers.setdefault(memory, np.full(memory.size, NOBODY))
        # alignment as in real memory
        start = ROOM * (len(self.rooms) + 1) + ROOM // 2 + tensor.data_ptr() % 16
        self.rooms.append(
            Room(self.names.get(_key(tensor), "a tensor"), tensor, start, memory)
        )
        return self.rooms[-1]

    def begin(self, program: tuple[int, int, int]) -> None:
        self.program = program
        self.number = int(np.ravel_multi_index(program, self.grid))
        self.programs += 1

    def touch(self, kind: str, addresses: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Check and count the lanes that the mask lets through.

        Returns:
            the real addresses; those of masked lanes are as they were.
        """
        for seen in _watching:
            seen.spend_lanes(addresses.size)
        real = addresses.astype(np.int64)
        rooms = np.where(mask, real // ROOM - 1, NOBODY)
        for number in np.unique(rooms[mask]):
            lanes = rooms == number
            if not 0 <= number < len(self.rooms):
                raise KernelFault(
                    f"{kind} from no tensor at all in program {self.program}: is the "
                    "pointer missing?"
                )
            room = self.rooms[number]
            offsets = (real[lanes] - room.start) // room.tensor.element_size()
            places = offsets + room.tensor.storage_offset()
            bad = (places < 0) | (places >= room.memory.size)
            bad[~bad] = ~room.is_inside[places[~bad]]
            if bad.any():
                raise KernelFault(self._outside(kind, room, offsets[bad], mask.size))
            self._race(kind, room, places)
            if kind != "atomic":
                self._hurry(kind, room, places, np.flatnonzero(lanes))
            np.add.at(room.memory.counts[kind], places, 1)
            real[lanes] += room.tensor.data_ptr() - room.start
        return real.astype(np.uint64)

    def _outside(self, kind: str, room: Room, offsets: np.ndarray, lanes: int) -> str:
        first, tensor = int(offsets[0]), room.tensor
        last = sum(
            (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride())
        )
        where = f"element {first}, of {tensor.numel()}"
        if not tensor.is_contiguous():
            where = (
                f"element {first} of its memory, where shape {tuple(tensor.shape)} "
                f"with strides {tensor.stride()} "
            )
            where += "has a gap" if 0 <= first <= last else f"ends at {last}"
        return (
            f"{kind} outside of {room.name} in program {self.program}: {where} "
            f"({len(offsets)} of {lanes} lanes): "
            "is the mask missing or too wide, or the address wrong?"
        )

    def _race(self, kind: str, room: Room, places: np.ndarray) -> None:
        """Refuse an element that one program changes and another one of the launch
        touches: on a GPU any may be first.

        Two atomic operations may meet at one.
        """
        for did, programs in (
            ("wrote", self.writers),
            ("changed", self.changers),
            ("read", self.readers),
        ):
            if (kind, did) in (
                ("load", "read"),
                ("atomic", "changed"),
            ) or room.memory not in programs:
                continue
            theirs = programs[room.memory][places]
            wrong = (theirs != NOBODY) & (theirs != self.number)
            if wrong.any():
                element = int(places[wrong][0]) - room.tensor.storage_offset()
                does = {"load": "loads", "store": "stores", "atomic": "changes"}[kind]
                raise KernelFault(
                    f"program {self.program} {does} element {element} of {room.name}, "
                    f"which another program {did} in "
                    "the same launch: on a GPU programs run in any order, and at once"
                )
        if kind == "store":
            self.writers[room.memory][places] = self.number
        else:
            programs = self.readers if kind == "load" else self.changers
            mine = programs.setdefault(room.memory, np.full(room.memory.size, NOBODY))
            others = (mine[places] != NOBODY) & (mine[places] != self.number)
            mine[places] = np.where(others, SEVERAL, self.number)

    def _hurry(
        self, kind: str, room: Room, places: np.ndarray, lanes: np.ndarray
    ) -> None:
        """Refuse to load what another lane of the same program stored, unless there was
        a barrier between.
        """
        if kind == "store":
            self.lanes.setdefault(room.memory, np.full(room.memory.size, NOBODY))[
                places
            ] = lanes
        elif room.memory in self.lanes:
            stored = self.lanes[room.memory][places]
            early = (
                (self.writers[room.memory][places] == self.number)
                & (stored != NOBODY)
                & (stored != lanes)
            )
            if early.any():
                element = int(places[early][0]) - room.tensor.storage_offset()
                raise KernelFault(
                    f"program {self.program} loads element {element} of {room.name}, "
                    "which another of its lanes "
                    "stored: on a GPU lanes run apart, until tl.debug_barrier()"
                )


class Seen:
    """What kernels did inside `watched`: numbers moved, launches and programs."""

    def __init__(self, max_programs: int, max_lanes: int, backwards: bool, muted: bool):
        self.max_programs, self.lanes_left, self.backwards, self.muted = (
            max_programs,
            max_lanes,
            backwards,
            muted,
        )
        self.launched: list[Launch] = []
        self.faults: list[KernelFault] = []

    def loads(self, tensor: torch.Tensor) -> torch.Tensor:
        """How often each element of a tensor was loaded, in the tensor's shape."""
        return self._counts("load", tensor)

    def stores(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._counts("store", tensor)

    def atomics(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._counts("atomic", tensor)

    def total(self, kind: str) -> int:
        """Numbers that were loaded ("load"), stored ("store") or changed at once
        ("atomic"), of all tensors.
        """
        return sum(int(memory.counts[kind].sum()) for memory in self._memories())

    def bytes(self, kind: str) -> int:
        return sum(
            int(m.counts[kind].sum()) * m.tensor.element_size()
            for m in self._memories()
        )

    @property
    def launches(self) -> int:
        return len(self.launched)

    @property
    def programs(self) -> int:
        return sum(launch.programs for launch in self.launched)

    def spend_lanes(self, lanes: int) -> None:
        self.lanes_left -= lanes
        if self.lanes_left < 0:
            raise KernelFault(
                "loads and stores of more lanes than this exercise needs: are the "
                "blocks too large?"
            )

    def _memories(self) -> list[Memory]:
        return [
            memory for launch in self.launched for memory in launch.memories.values()
        ]

    def _counts(self, kind: str, tensor: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(tensor.shape, dtype=torch.int64)
        for launch in self.launched:
            memory = launch.memories.get(
                (tensor.untyped_storage().data_ptr(), tensor.element_size())
            )
            if memory:
                counts = torch.from_numpy(memory.counts[kind])
                found += counts.as_strided(
                    tensor.shape, tensor.stride(), tensor.storage_offset()
                )
        return found


class Uncounted:
    """What stands in for `Seen` where kernels run on a device: a spec ends there, with
    what it checked before.
    """

    def __getattr__(self, name: str) -> Any:
        ends_on_a_device()


def ends_on_a_device() -> None:
    """End a spec on a device where it goes on to what is asked on the
    interpreter alone.
    """
    if run_on_a_device():
        importlib.import_module("pytest").skip(
            "gpu: what kernels move is counted by the interpreter alone"
        )


def run_on_a_device() -> bool:
    """Tell if kernels of this process are for a GPU: `TRITON_INTERPRET=0` says so."""
    return os.environ.get("TRITON_INTERPRET") == "0"


@contextmanager
def watched(
    max_programs: int = 4096,
    max_lanes: int = 20_000_000,
    backwards: bool = False,
    muted: bool = False,
) -> Iterator[Any]:
    """Count what kernels do inside the block, and fill the memory of `torch.empty`
    with NaN.

    Args:
        max_programs: of one launch. More are a KernelFault, before they take minutes.
        max_lanes: that all loads and stores may have.
        backwards: run each grid from its last program to its first. A right kernel
            gives the same result.
        muted: no kernel changes memory. What is right all the same was
            computed elsewhere.
    """
    seen = Seen(max_programs, max_lanes, backwards, muted)
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    # the public setter imports the compiler for seconds
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    _watching.append(seen)
    try:
        yield Uncounted() if run_on_a_device() else seen
        if seen.faults:  # the code may have caught it
            raise seen.faults[0]
    finally:
        _watching.remove(seen)
        torch._C._set_deterministic_algorithms(before[0], warn_only=before[1])


@dataclass(frozen=True)
class Compiled:
    """A kernel, compiled in one configuration."""

    name: str
    code: str  # in Triton's intermediate language
    # bytes of shared memory per program; 0 unless machine code was asked for
    shared: int


def compiled(
    seen: Seen, *, capability: int = 80, whole: bool = False
) -> list[Compiled]:
    """Compile the kernels that were launched for a GPU, which need not be here.

    Args:
        capability: the GPU's, such as 80 (A100), 90 (H100) or 100 (B200).
        whole: go on to machine code, by a program of NVIDIA's in Triton.
    Returns:
        each kernel once per configuration that was launched: types, constants, warps
        and stages. What the compiler refuses is a KernelFault.
    """
    launched, found, refused = seen.launched, {}, ""
    with _compiling():
        backends, compiler, jit = _compiler()
        native = importlib.import_module("triton._C.libtriton").ir
        backend = compiler.make_backend(backends.GPUTarget("cuda", capability, 32))
        for launch in launched:
            kernel = _compilable(launch.kernel, jit)
            given = {
                one.name: launch.given.get(one.name, one.default)
                for one in kernel.params
            }
            constants = {
                one.name: _anew(given[one.name], jit)
                for one in kernel.params
                if one.is_constexpr
            }
            types = {
                name: "constexpr" if name in constants else jit.mangle_type(given[name])
                for name in given
            }
            configuration = repr((id(launch.kernel), types, constants, launch.options))
            if configuration in found:
                continue
            # the default, of which it would warn
            chosen = {"enable_fp_fusion": True} | launch.options
            options = backend.parse_options(dict(chosen))
            tools = (
                backend.get_codegen_implementation(options),
                backend.get_module_map(),
            )
            source, context = (
                compiler.ASTSource(kernel, types, constants),
                native.context(),
            )
            native.load_dialects(context)
            backend.load_dialects(context)
            try:
                code = str(source.make_ir(backend.target, options, *tools, context))
                shared = (
                    compiler.compile(source, backend.target, chosen).metadata.shared
                    if whole
                    else 0
                )
            except compiler.CompilationError as error:
                refused = (
                    f"a GPU's compiler refuses {kernel.__name__}: "
                    f"{_reason(error, compiler.CompilationError)}"
                )
                break
            found[configuration] = Compiled(kernel.__name__, code, shared)
    if refused:
        raise KernelFault(refused)
    return list(found.values())


def _compiler() -> list[ModuleType]:
    return [
        importlib.import_module(f"triton.{name}")
        for name in ("backends.compiler", "compiler", "runtime.jit")
    ]


def _reason(error: Any, kind: type) -> str:
    """The innermost of a compiler's errors, one for each call in a kernel, with
    its line.
    """
    while isinstance(error.__cause__, kind):
        error = error.__cause__
    # a Python error's
    said = re.sub(
        r"^\w+\(['\"](.*)['\"]\)$", r"\1", error.error_message or str(error.__cause__)
    )
    return f"{said} (in `{error.src.splitlines()[error.node.lineno - 1].strip()}`)"


@contextmanager
def _compiling() -> Iterator[None]:
    """Have the Triton that compiles in the place of the one that interprets, inside
    the block.
    """
    interpreting = _take_away("")
    sys.modules.update(_take_away(ASIDE))
    os.environ["TRITON_INTERPRET"] = "0"
    try:
        yield
    finally:
        sys.modules.update(
            {ASIDE + name: module for name, module in _take_away("").items()}
        )
        sys.modules.update(interpreting)
        os.environ["TRITON_INTERPRET"] = "1"


def _take_away(before: str) -> dict[str, ModuleType]:
    """Triton's modules, no longer among the imported ones, but for its library of
    machine code: that is loaded once.
    """
    names = [
        name
        for name in sys.modules
        if name.startswith(before) and _is_triton(name.removeprefix(before))
    ]
    return {name.removeprefix(before): sys.modules.pop(name) for name in names}


def _is_triton(module: str) -> bool:
    return f"{module}.".startswith("triton.") and not module.startswith("triton._C")


def _compilable(kernel: Any, jit: Any) -> Any:
    """A learner's kernel for the compiler: what it names is of the Triton that was
    imported anew.
    """
    function = kernel.fn
    names = {
        name: _anew(value, jit)
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names
    }
    own = FunctionType(
        function.__code__,
        names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return jit.JITFunction(functools.update_wrapper(own, function))


def _anew(value: Any, jit: Any) -> Any:
    if isinstance(value, _interpreter.InterpretedFunction) and not _is_triton(
        value.fn.__module__
    ):
        return _compilable(value, jit)
    if isinstance(value, ModuleType):
        return importlib.import_module(value.__name__)
    known = value.fn if isinstance(value, _interpreter.InterpretedFunction) else value
    if _is_triton(getattr(known, "__module__", None) or "") and hasattr(
        known, "__name__"
    ):
        return getattr(importlib.import_module(known.__module__), known.__name__)
    if _is_triton(type(value).__module__):  # a constexpr, a dtype
        anew = copy.copy(value)
        anew.__class__ = getattr(
            importlib.import_module(type(value).__module__), type(value).__name__
        )
        return anew
    return value


def __getattr__(name: str) -> Any:
    """Import Triton when `tl` or `triton` is asked for."""
    if name not in ("tl", "triton"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _interpreter is None or f"{READY}triton" in sys.modules:
        _import_triton()
    return importlib.import_module({"tl": "triton.language", "triton": "triton"}[name])


def prepare() -> None:
    """Import Triton in both modes for processes that are forked later. There it is
    imported when it is asked for.
    """
    if _interpreter or run_on_a_device() or importlib.util.find_spec("triton") is None:
        return
    before, mode = _take_away(""), os.environ.get("TRITON_INTERPRET")
    with suppress(Exception):  # of an old Triton, which no kata runs with
        _import_triton()
        # its first call imports what takes long, and so does the next line's
        _interpreter._implicit_cvt(0)
        with _compiling():
            _compiler()[-1].mangle_type(0)
    sys.modules.update(
        {READY + name: module for name, module in _take_away("").items()} | before
    )
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ.update({"TRITON_INTERPRET": mode} if mode else {})


def _import_triton() -> None:
    """Import Triton in the mode that interprets kernels, and put the hooks in; where a
    device is asked for, without.

    The mode is read at Triton's import. PyTorch's compiler may have imported it in the
    other one: it is imported again.
    """
    global _interpreter
    if importlib.util.find_spec("triton") is None:
        # here: code under test may import this file, and no other of the grader
        from grader.results import NO_TRITON

        raise ImportError(NO_TRITON)
    if run_on_a_device():
        return
    if os.environ.get("TRITON_INTERPRET") != "1":
        _take_away("")
        os.environ["TRITON_INTERPRET"] = "1"
    sys.modules.update(_take_away(READY))
    if _interpreter:
        return
    _interpreter = importlib.import_module("triton.runtime.interpreter")
    # or Triton's library says at the end what was not collected
    atexit.register(gc.unfreeze)
    if not hasattr(_interpreter.InterpreterBuilder, "create_dot_scaled"):  # Triton 3.7
        _interpreter.InterpreterBuilder.create_dot_scaled = _refuse_format
    for owner, name, hook in HOOKS:
        place = getattr(_interpreter, owner) if owner else _interpreter
        setattr(place, name, _hooked(hook, getattr(place, name)))
    # without debug no overflow is told that this would find
    options = _interpreter.interpreter_builder.options
    _interpreter.interpreter_builder.options = replace(
        options, sanitize_overflow=options.debug
    )


def _hooked(
    hook: Callable[..., Any], original: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def run(*arguments: Any, **options: Any) -> Any:
        return hook(original, *arguments, **options)

    return run


def _patch_lang(original: Any, function: FunctionType) -> Any:
    """Make what this function knows of Triton's language run here. Triton does so anew
    at each call in a kernel.
    """
    assert _launch
    place = id(function.__globals__)
    if place in _launch.patched:
        return None
    _launch.patched.add(place)
    return original(function)


def _patch_builtin(original: Any, place: Any, builder: Any, scope: Any) -> None:
    """Make the functions of a module or class run here, whose names are known from the
    first time.
    """
    for name in _builtins(place):
        if _interpreter.tl.core.is_builtin(member := getattr(place, name)):
            _interpreter._patch_attr(place, name, member, builder, scope)


@functools.cache
def _builtins(place: Any) -> list[str]:
    return [
        name for name, _ in inspect.getmembers(place, _interpreter.tl.core.is_builtin)
    ]


def _np_dtype(original: Any, kind: Any) -> np.dtype[Any]:
    """NumPy's type for one of Triton's, which makes a table of all of them
    each time.
    """
    if kind.scalar.name not in _np_dtypes:
        _np_dtypes[kind.scalar.name] = original(kind)
    return _np_dtypes[kind.scalar.name]


def _scan_in_a_tree(original: Any, scan: Any, given: Any) -> list[Any]:
    """Scan as a GPU does, which joins what is joined: in turn, operators look right
    that are wrong there.
    """
    parts, kinds = [one.handle.data for one in given], [one.dtype for one in given]
    size, axis = parts[0].shape[scan.axis], scan.axis % parts[0].ndim
    place = np.arange(size).reshape(
        [-1 if one == axis else 1 for one in range(parts[0].ndim)]
    )
    shift = 1
    while shift < size:
        earlier = [
            scan.to_tensor(np.roll(part, shift, axis), kind)
            for part, kind in zip(parts, kinds)
        ]
        joined = scan.combine_fn.fn(
            *earlier, *(scan.to_tensor(part, kind) for part, kind in zip(parts, kinds))
        )
        joined = joined if isinstance(joined, tuple) else (joined,)
        parts = [
            np.where(place < shift, part, one.handle.data)
            for part, one in zip(parts, joined)
        ]
        shift *= 2
    return [scan.to_tensor(part, kind) for part, kind in zip(parts, kinds)]


class _Constant(str):
    """A text that is a constant of the compiler's, too: it has a value."""

    value = property(str)


def _name_formats(original: Any, language: Any, *given: Any) -> Any:
    """Take the names of formats for `tl.dot_scaled`: Triton 3.7 takes
    constants alone.
    """
    return original(
        language, *(_Constant(one) if isinstance(one, str) else one for one in given)
    )


def _refuse_format(builder: Any, *given: Any) -> None:
    raise KernelFault(
        "tl.dot_scaled of other formats than e2m1 runs on the CPU from Triton 3.8 on"
    )


def _dot_scaled(original: Any, builder: Any, *given: Any) -> Any:
    """Multiply matrices in MXFP4 and add a third one. Triton 3.7 cannot, and 3.8 takes
    the scale NaN for infinity.
    """
    (
        left,
        left_scale,
        left_format,
        right,
        right_scale,
        right_format,
        _,
        left_in_rows,
        right_in_columns,
        added,
    ) = given
    if {left_format, right_format} != {_interpreter._ir.ScaleDotElemTypeTY.E2M1}:
        return original(builder, *given)
    rows, columns = (
        _mxfp4(left.data, left_scale, left_in_rows),
        _mxfp4(right.data.mT, right_scale, right_in_columns),
    )
    return _interpreter.TensorHandle(
        rows @ columns.mT + added.data, _interpreter.tl.float32
    )


def _mxfp4(codes: np.ndarray, scale: Any, in_rows: bool) -> np.ndarray:
    """The numbers of a matrix in float32. A byte holds two, which follow each other in
    a row, or else in a column.
    """
    packed = codes if in_rows else codes.mT
    numbers = E2M1[
        np.stack([packed & 15, packed >> 4], -1).reshape(*packed.shape[:-1], -1)
    ]
    numbers = numbers if in_rows else numbers.mT
    if scale is None:
        return numbers
    return numbers * np.repeat(
        E8M0[scale.data], numbers.shape[-1] // scale.data.shape[-1], -1
    )


def _run_grid(original: Any, kernel: Any, *arguments: Any, **options: Any) -> None:
    """Run a kernel on its grid, and let its errors through as they were raised."""
    global _launch
    given = dict(zip(kernel.arg_names, arguments)) | options
    _launch = Launch(
        kernel,
        {name: given[name] for name in kernel.arg_names if name in given},
        {
            name: options[name]
            for name in ("num_stages", "num_warps")
            if name in options
        },
    )
    for seen in _watching:
        seen.launched.append(_launch)
    try:
        original(kernel, *arguments, **options)
    except _interpreter.InterpreterError as error:
        cause: BaseException = error
        while isinstance(cause, _interpreter.InterpreterError) and cause.__cause__:
            cause = cause.__cause__
        raise cause from None
    finally:
        _launch = None


def _call(original: Any, kernel: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function of Triton's language or of the learner, from a kernel."""
    if _launch is None:
        name = kernel.__name__
        raise KernelFault(
            f"{name} is called outside of a kernel. A launch has a grid: "
            f"{name}[(programs,)](…)"
        )
    return original(kernel, *arguments, **options)


def _give(original: Any, value: Any) -> Any:
    """Give an argument to a kernel, a tensor by the address of its room."""
    given = original(value)
    if isinstance(value, torch.Tensor) and _launch:
        given.handle.data = np.array([_launch.room(value).start], np.uint64)
    return given


def _set_grid(original: Any, builder: Any, *grid: int) -> None:
    programs = int(np.prod(grid))
    for seen in _watching:
        if programs > seen.max_programs:
            most = f"{seen.max_programs} are allowed: does each program take one tile?"
            raise KernelFault(f"{programs} programs on a grid of {grid}, {most}")
    if _launch:
        _launch.grid = (grid[0], grid[1], grid[2])
    original(builder, *grid)


def _set_program(original: Any, builder: Any, *program: int) -> None:
    if _launch:
        if any(seen.backwards for seen in _watching):
            program = tuple(
                size - 1 - place for size, place in zip(_launch.grid, program)
            )
        _launch.begin((program[0], program[1], program[2]))
    original(builder, *program)


def _load(
    original: Any,
    builder: Any,
    pointers: Any,
    mask: Any,
    other: Any,
    *rest: Any,
    **options: Any,
) -> Any:
    """Load, and poison masked lanes without `other`: on a GPU they hold anything, here
    they would hold zeros.

    A single number stays: Triton hands its `other=0.0` on as None.
    """
    pointers, mask = _translated("load", pointers, mask)
    loaded = original(builder, pointers, mask, other, *rest, **options)
    if other is None and loaded.data.size > 1 and not mask.data.all():
        loaded.data = np.where(mask.data, loaded.data, _poison(loaded)).astype(
            loaded.data.dtype
        )
    return loaded


def _store(
    original: Any,
    builder: Any,
    pointers: Any,
    value: Any,
    mask: Any,
    *rest: Any,
    **options: Any,
) -> Any:
    pointers, mask = _translated("store", pointers, mask)
    _refuse_disputed(
        pointers.data[mask.data],
        np.broadcast_to(value.data, mask.data.shape)[mask.data],
    )
    return original(builder, pointers, value, mask, *rest, **options)


def _refuse_disputed(addresses: np.ndarray, values: np.ndarray) -> None:
    """Refuse two lanes that store different numbers to one element."""
    if (addresses[1:] > addresses[:-1]).all():
        return
    order = addresses.argsort(kind="stable")
    addresses, values = addresses[order], values[order]
    if ((addresses[1:] == addresses[:-1]) & (values[1:] != values[:-1])).any():
        raise KernelFault(
            "two lanes store different numbers to one element: on a GPU either may stay"
        )


def _change(
    original: Any,
    builder: Any,
    how: Any,
    pointers: Any,
    value: Any,
    mask: Any,
    *rest: Any,
) -> Any:
    pointers, mask = _translated("atomic", pointers, mask)
    return original(builder, how, pointers, value, mask, *rest)


def _compare_and_swap(original: Any, builder: Any, pointers: Any, *rest: Any) -> Any:
    every = _interpreter.TensorHandle(
        np.ones(pointers.data.shape, bool), _interpreter.tl.int1
    )
    pointers, _ = _translated("atomic", pointers, every)
    return original(builder, pointers, *rest)


def _wait(original: Any, builder: Any) -> Any:
    if _launch:
        _launch.lanes.clear()
    return original(builder)


def _translated(kind: str, pointers: Any, mask: Any) -> tuple[Any, Any]:
    """Real addresses for virtual ones, after a check; and the mask as what it is, which
    `&` may have made integers.
    """
    assert _launch
    through = np.broadcast_to(mask.data, pointers.data.shape).astype(bool)
    real = _launch.touch(kind, pointers.data, through)
    if kind != "load" and any(seen.muted for seen in _watching):
        through = np.zeros_like(through)
    return replace(pointers, data=real), replace(mask, data=through)


def _poison(loaded: Any) -> Any:
    """Infinity and NaN in turn, because a maximum passes over NaN; of integers the
    largest and 0, a legal index.
    """
    kind = loaded.data.dtype
    if loaded.get_element_ty().name == "bf16":  # held as integers
        return np.resize([0x7F80, 0x7FC0], loaded.data.shape)
    if kind.kind == "f":
        return np.resize([np.inf, np.nan], loaded.data.shape)
    return (
        True
        if kind.kind == "b"
        else np.resize([np.iinfo(kind).max, 0], loaded.data.shape)
    )


# class or module, name, what stands in its place
HOOKS: list[tuple[str, str, Callable[..., Any]]] = [
    ("", "_implicit_cvt", _give),
    ("", "_patch_lang", _patch_lang),
    ("", "_patch_builtin", _patch_builtin),
    ("", "_get_np_dtype", _np_dtype),
    ("ScanOps", "generic_scan", _scan_in_a_tree),
    ("TritonSemantic", "dot_scaled", _name_formats),
    ("InterpreterBuilder", "create_dot_scaled", _dot_scaled),
    ("InterpretedFunction", "run", _run_grid),
    ("InterpretedFunction", "__call__", _call),
    ("InterpreterBuilder", "set_grid_dim", _set_grid),
    ("InterpreterBuilder", "set_grid_idx", _set_program),
    ("InterpreterBuilder", "create_masked_load", _load),
    ("InterpreterBuilder", "create_masked_store", _store),
    ("InterpreterBuilder", "create_atomic_rmw", _change),
    ("InterpreterBuilder", "create_atomic_cas", _compare_and_swap),
    ("InterpreterBuilder", "create_barrier", _wait),
]


def _key(tensor: torch.Tensor) -> Any:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
