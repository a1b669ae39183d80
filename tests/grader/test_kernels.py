"""The bench for kernels: a fence, counts, races, poison, limits, and the names in
Triton that it depends on.
"""

import contextlib
import importlib.metadata
import importlib.util
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from grader import kernels
from grader.cli.app import that_runs
from grader.course import kata_modules
from grader.course.catalogue import ROOT, all_katas, find
from grader.errors import KataError
from grader.kernels import tl, triton
from grader.results import NO_TRITON
from grader.specs import check, device
from tests.bench import kernels_on_gpu
from tests.grader import test_causes

said = test_causes.said  # the fixture


@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def unmasked_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at), mask=at < n)


@triton.jit
def first_block_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at))


@triton.jit
def shifting_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0)
    tl.store(x_ptr + at + 1, tl.load(x_ptr + at))


@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(
        out_ptr,
        tl.sum(tl.load(x_ptr + at, mask=(at < n) & (tl.program_id(0) < 9), other=0.0)),
    )


def launched(kernel, x, out, block=64, **options):
    with kernels.watched(**options) as seen:
        kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), BLOCK=block)
    return seen


def test_the_names_in_triton_are_there():
    """Where a new Triton has others, this test names them before a learner's kernel
    runs without a fence.
    """
    interpreter = importlib.import_module("triton.runtime.interpreter")
    for owner, name, _ in kernels.HOOKS:
        place = getattr(interpreter, owner) if owner else interpreter
        assert inspect.unwrap(getattr(place, name)) is not getattr(place, name), (
            f"{owner}.{name} has no hook"
        )
    assert isinstance(tl.sum, interpreter.InterpretedFunction)


@pytest.mark.parametrize("in_rows", [True, False])
def test_products_in_mxfp4_run_with_each_triton(in_rows):
    """3.7, which comes with PyTorch 2.13, has none of its own, and 3.8 takes the scale
    NaN for infinity.
    """
    interpreter = importlib.import_module("triton.runtime.interpreter")
    codes = np.random.default_rng(0).integers(0, 16, (4, 64)).astype(np.uint8)
    packed = (
        codes[:, ::2] | codes[:, 1::2] << 4
        if in_rows
        else codes[::2] | codes[1::2] << 4
    )
    exponent, half, sign = codes >> 1 & 3, (codes & 1) / 2, np.where(codes & 8, -1, 1)
    numbers = sign * np.where(exponent, (1 + half) * 2.0 ** (exponent - 1.0), half)
    scale = np.array([[127, 128], [0, 60], [255, 127], [126, 135]], np.uint8)
    powers = np.where(scale == 255, np.nan, 2.0 ** (scale - 127.0)).repeat(32, 1)
    left, right, scales = (
        interpreter.TensorHandle(one, tl.uint8) for one in (packed, packed.T, scale)
    )
    added = interpreter.TensorHandle(np.ones((4, 4), np.float32), tl.float32)
    e2m1 = interpreter._ir.ScaleDotElemTypeTY.E2M1
    given = left, scales, e2m1, right, None, e2m1, False, in_rows, in_rows, added
    found = interpreter.interpreter_builder.create_dot_scaled(*given).data
    np.testing.assert_allclose(found, numbers * powers @ numbers.T + 1, rtol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
def test_each_number_is_counted(backwards):
    x = torch.arange(100.0)[::1]
    out = torch.empty(100)
    seen = launched(copy_kernel, x, out, backwards=backwards)
    assert torch.equal(out, x)
    assert seen.loads(x).tolist() == seen.stores(out).tolist() == [1] * 100
    assert (seen.loads(x[90:]).sum(), seen.stores(x).sum()) == (10, 0)
    assert (seen.total("load"), seen.bytes("store"), seen.programs, seen.launches) == (
        100,
        400,
        2,
        1,
    )


@pytest.mark.parametrize(
    ("kernel", "x", "says"),
    [
        (
            unmasked_kernel,
            torch.zeros(100),
            r"load outside of x_ptr in program \(1, 0, 0\): element 100, of 100 \(28 ",
        ),
        (
            copy_kernel,
            torch.zeros(100)[::2],
            r"element 1 of its memory, where shape \(50,\) with strides \(2,\) has a",
        ),
        (
            first_block_kernel,
            torch.zeros(128),
            r"program \(1, 0, 0\) stores element 0 of out_ptr, which another",
        ),
        (
            shifting_kernel,
            torch.zeros(128),
            r"program \(1, 0, 0\) loads element 1 of x_ptr, which another",
        ),
    ],
)
def test_faults_name_tensor_program_and_element(kernel, x, says):
    with pytest.raises(kernels.KernelFault, match=says):
        launched(kernel, x, torch.zeros(x.numel()))


@triton.jit
def crowded_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(
        out_ptr + at // 8, tl.load(x_ptr + at, mask=at < n, other=0.0), mask=at < n
    )


@triton.jit
def peeking_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.atomic_add(out_ptr, 1.0)
    tl.store(x_ptr + tl.program_id(0), tl.load(out_ptr) + tl.sum(at))


@triton.jit
def hasty_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, WAITS: tl.constexpr = False):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)
    if WAITS:
        tl.debug_barrier()
    tl.store(x_ptr + at, tl.load(out_ptr + n - 1 - at, mask=at < n), mask=at < n)


@pytest.mark.parametrize(
    ("kernel", "x", "says"),
    [
        (
            crowded_kernel,
            torch.arange(60.0),
            "two lanes store different numbers to one element",
        ),
        (
            peeking_kernel,
            torch.zeros(100),
            "changes element 0 of out_ptr, which another program read",
        ),
        (
            hasty_kernel,
            torch.arange(60.0),
            "loads element 59 of out_ptr, which another of its lanes",
        ),
    ],
)
def test_what_lanes_and_atomics_do_to_each_other(kernel, x, says):
    with pytest.raises(kernels.KernelFault, match=says):
        launched(kernel, x, torch.zeros(x.numel()))


def test_equal_numbers_at_one_element_and_a_barrier_are_no_fault():
    launched(crowded_kernel, torch.ones(60), torch.zeros(60))
    x = torch.arange(60.0)
    with kernels.watched():
        hasty_kernel[(1,)](x, torch.zeros(60), 60, BLOCK=64, WAITS=True)
    assert torch.equal(x, torch.arange(60.0).flip(0))


def test_a_fault_that_is_caught_is_one_all_the_same():
    with (
        pytest.raises(kernels.KernelFault, match="outside of x_ptr"),
        kernels.watched(),
    ):
        with contextlib.suppress(kernels.KernelFault):
            unmasked_kernel[(2,)](torch.zeros(100), torch.zeros(100), 100, BLOCK=64)


def test_a_result_that_no_kernel_stores():
    def copied(x):
        out = torch.empty_like(x)
        copy_kernel[(2,)](x, out, 100, BLOCK=64)
        return out

    x = torch.arange(100.0)
    check.kernels_compute(lambda: copied(x), x)
    with pytest.raises(check.Mismatch, match="computed outside"):
        check.kernels_compute(lambda: copied(x).copy_(x), x)


def test_atomics_are_no_race():
    x, out = torch.arange(100.0), torch.zeros(1)
    seen = launched(sum_kernel, x, out)
    assert out.item() == 4950
    assert seen.atomics(out).item() == 2


def test_what_a_gpu_leaves_undefined_is_no_number():
    @triton.jit
    def total_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
        at = tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n)
        tl.store(out_ptr, tl.sum(x))
        tl.store(out_ptr + 1, tl.max(x))

    @triton.jit
    def rows_kernel(rows_ptr, out_ptr, n, BLOCK: tl.constexpr):
        at = tl.arange(0, BLOCK)
        tl.store(
            out_ptr, tl.sum((tl.load(rows_ptr + at, mask=at < n) == 0).to(tl.int32))
        )

    x = torch.arange(50.0)
    with kernels.watched():
        out, zeros = torch.empty(3), torch.zeros(1, dtype=torch.int32)
        total_kernel[(1,)](x, out, 50, BLOCK=64)
        rows_kernel[(1,)](torch.ones(50, dtype=torch.int32), zeros, 50, BLOCK=64)
    assert zeros.item(), "masked lanes of integers"
    assert not out.isfinite().any(), "masked lanes, and memory that nobody wrote"


def test_too_many_programs_and_a_call_without_a_grid():
    x = torch.zeros(5000)
    with pytest.raises(
        kernels.KernelFault,
        match="5000 programs on a grid of .5000, 1, 1., 4096 are allowed",
    ):
        launched(copy_kernel, x, x.clone(), block=1)
    with pytest.raises(kernels.KernelFault, match="more lanes"):
        launched(copy_kernel, x, x.clone(), max_lanes=9999)
    with pytest.raises(kernels.KernelFault, match=r"copy_kernel\[\(programs,\)\]"):
        copy_kernel(x, x, 5000, BLOCK=64)


def test_an_error_in_a_kernel_arrives_as_it_was_raised():
    with pytest.raises(ValueError, match="power of 2"):
        launched(copy_kernel, torch.zeros(60), torch.zeros(60), block=60)


def test_a_triton_that_the_compiler_imported_first_is_imported_again():
    code = (
        "import torch, triton; from grader.kernels import tl; "
        "print(type(tl.sum).__name__)"
    )
    done = run_python(code)
    assert done == "InterpretedFunction"


def test_what_is_prepared_waits_until_it_is_asked_for():
    """Workers are forked from a process that has prepared it: none of them imports
    anything, and other katas see none of it. The compiler of PyTorch may import its
    own meanwhile.
    """
    code = """
import os, sys
os.environ.pop("TRITON_INTERPRET", None)
from grader import kernels
kernels.prepare()
print("triton" in sys.modules, os.environ.get("TRITON_INTERPRET"))
import triton
before = {id(module) for module in sys.modules.values()}
tl = kernels.tl
with kernels._compiling():
    kernels._compiler()
print(
    all(id(module) in before for module in sys.modules.values()),
    tl is sys.modules["triton.language"],
)
print(type(kernels.triton.jit(lambda x: x)).__name__)
"""
    assert run_python(code).split() == [
        "False",
        "None",
        "True",
        "True",
        "InterpretedFunction",
    ]


def test_without_triton_the_message_says_what_installs_it():
    code = "import sys; sys.modules['triton'] = None\nfrom grader import kernels\n"
    code += "try: kernels.tl\nexcept ImportError as error: print(error)"
    assert run_python(code) == NO_TRITON


def test_commands_that_run_a_kata_say_that_triton_is_missing(monkeypatch, kata_here):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert kata_here("grade", "kernels").stdout.startswith(
        "kernels/01–07: not run without Triton: pip install "
    )
    assert kata_here("grade", "kernels/01", "kernels/03").stdout.startswith(
        "kernels/01, kernels/03: not run without "
    )
    assert kata_here("grade", "--code", "nowhere").stdout == ""
    assert that_runs(find("01")) == find("01")
    with pytest.raises(KataError, match="kernels/01: not run without Triton"):
        that_runs(find("kernels/01"))


def test_an_old_triton_is_named_where_its_interpreter_is_needed(monkeypatch):
    for version in ("3.10.0", "3.7.0rc1", "4", "main"):
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name, version=version: version
        )
        assert find("kernels/01").description.lack == ""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.6.0+git")
    assert find("kernels/01").description.lack.startswith(
        "not run, Triton 3.6.0+git is too old: 3.7"
    )
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert find("kernels/01").description.lack == ""


def test_where_a_device_is_asked_for_every_spec_is_one_for_a_gpu():
    """Without a device they are skipped; what they do on one is what the others do, on
    tensors that are moved there.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "katas/kernels/01",
        "--code",
        "solutions",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0"},
    )
    assert done.returncode == 0, done.stdout
    assert (
        torch.cuda.is_available()
        or done.stdout.count("not run: gpu: no CUDA device here") == 7
    )


def test_pytest_ends_without_what_tritons_library_says_of_leaks():
    """The specs of 31 import a part of PyTorch that imports Triton."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        "katas/31_distributed_training",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_device_there_is_nothing_to_measure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="a CUDA device is needed"):
        kernels_on_gpu.main()
    names = {(number, name) for number, name, *_ in kernels_on_gpu.ROWS}
    assert names <= {
        (kata.number, one.name) for kata in all_katas() for one in kata.exercises
    }


def test_tensors_are_moved_to_the_device_for_each_call():
    class Module:
        """A kata's."""

        @staticmethod
        def places(x, *rest, options):
            return [
                str(x.device),
                str(rest[0][0].device),
                str(options["y"].device),
                str(torch.empty(2).device),
            ]

        @staticmethod
        def same(x):
            return x

        @staticmethod
        def made():
            return lambda x: str(x.device)

        class Function:
            """A class that is not called itself."""

            @staticmethod
            def apply(x):
                return str(x.device), torch.zeros(2)

    found = device.OnDevice(Module, "meta").places(
        torch.ones(1), (torch.ones(1),), options={"y": torch.ones(1)}
    )
    assert found == ["meta"] * 4
    assert device.OnDevice(Module, "meta").places.device == "meta"
    nothing = torch.empty(2, device="meta")  # which has no numbers to move
    assert device.OnDevice(Module, "cpu").same(nothing) is nothing
    assert device.OnDevice(Module, "meta").made()(torch.ones(1)) == "meta"
    place, zeros = device.OnDevice(Module, "cpu").Function.apply(torch.ones(1))
    assert (place, zeros.tolist()) == ("cpu", [0, 0])


def test_on_a_device_a_spec_ends_where_it_counts(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with (
        kernels.watched() as seen,
        pytest.raises(pytest.skip.Exception, match="counted by the interpreter alone"),
    ):
        check.compiles(seen)
    assert kernels.run_on_a_device()


def test_tolerances_of_a_device_are_added(monkeypatch):
    monkeypatch.setitem(check.least, torch.float32, 1e-4)
    check.close(torch.tensor(1.0), torch.tensor(1.0 + 9e-5), rtol=1e-6, atol=0.0)
    with pytest.raises(check.Mismatch):
        check.close(torch.tensor(1.0), torch.tensor(1.0 + 3e-4), rtol=1e-6, atol=0.0)


LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _power(x, SCALED: tl.constexpr):
    return tl.exp2(x * LOG2_E) if SCALED else x


@triton.jit
def powers_kernel(x_ptr, out_ptr, n, DTYPE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    powers = _power(tl.load(x_ptr + at, mask=at < n, other=0.0), True).to(DTYPE)
    tl.store(out_ptr + at, powers + tl.sum(powers), mask=at < n)


@triton.jit
def counting_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    total = 0
    for start in range(0, n, BLOCK):
        total += tl.sum(tl.load(x_ptr + start + tl.arange(0, BLOCK)))
    tl.store(out_ptr, total)


@triton.jit
def listing_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    found = []
    for place in range(2):
        found.append(tl.load(x_ptr + place))
    tl.store(out_ptr, found[0] + found[1])


@triton.jit
def breaking_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        if tl.load(x_ptr + start) > 0.5:
            break
    tl.store(out_ptr, start)


@triton.jit
def squaring_kernel(x_ptr, out_ptr, n, DTYPE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + at).to(DTYPE)
    tl.store(out_ptr + at, tl.dot(x, x))


def compiled(kernel, n=256, **constants):
    x = torch.linspace(0, 1, n)
    with kernels.watched() as seen:
        kernel[(1,)](x, torch.empty(n), n, BLOCK=16, **constants)
    check.compiles(seen)
    return seen


def test_what_a_kernel_names_is_compiled_with_it(tmp_path, monkeypatch):
    seen = compiled(powers_kernel, DTYPE=tl.float16)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    (powers,) = kernels.compiled(seen, whole=True)
    assert powers.name == "powers_kernel" and "f16" in powers.code
    assert list(tmp_path.rglob("*.cubin"))
    compiled(powers_kernel, DTYPE=tl.float32)  # the interpreter goes on


def test_each_configuration_is_compiled_once(tmp_path, monkeypatch):
    """A launch's constants and stages are a configuration. What it takes of a GPU is
    known without one.
    """
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kata = kata_modules.load(find("kernels/07"), ROOT / "solutions", {})
    x, w, out = (
        torch.ones(32, 64).half(),
        torch.ones(64, 32).half(),
        torch.empty(32, 32),
    )
    with kernels.watched() as seen:
        for bm, stages in ((16, 2), (32, 2), (32, 4), (16, 2)):
            kata.product(kata.Config(bm, 16, 32, stages), x, w, out)
    found = kernels.compiled(seen, capability=90, whole=True)
    assert [one.name for one in found] == ["product_kernel"] * 3
    assert 0 < found[0].shared < found[1].shared <= 2 * (32 + 16) * 32 * 2
    # stages are none of the intermediate language's
    assert len({one.code for one in found}) == 2


@pytest.mark.parametrize("capability", [80, 90, 100])
def test_kernels_are_compiled_for_three_generations_of_gpus(
    capability, tmp_path, monkeypatch
):
    """kernels/07 has scans of pairs, loops whose bounds are loaded, and tiles that
    are decoded.
    """
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kata = kata_modules.load(find("kernels/07"), ROOT / "solutions", {})
    x, offsets = torch.ones(20, 16), torch.tensor([0, 3, 20], dtype=torch.int32)
    codes, scale = (
        torch.ones(3, 16, dtype=torch.uint8),
        torch.ones(3, 1, dtype=torch.uint8),
    )
    with kernels.watched() as seen:
        kata.row_cumsum(x)
        kata.prefix_sum(x.flatten())
        kata.linear_recurrence(x, x)
        kata.segmented_sum(x, offsets)
        kata.linear_attention(*x.expand(3, 1, 1, 20, 16), x[None, None, :, 0].clone())
        kata.places_by_expert(offsets, 21)
        kata.grouped_matmul(x, torch.ones(2, 5, 16), offsets)
        kata.matmul_mxfp4(codes, scale, codes, scale)
    found = kernels.compiled(seen, capability=capability, whole=True)
    assert len({one.name for one in found}) == 10


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        (
            counting_kernel,
            (
                r"refuses counting_kernel: Loop-carried variable total has .* \(in "
                r"`for start in range\(0, n"
            ),
        ),
        (listing_kernel, r"no attribute append \(in `found.append\(tl.load"),
        (
            breaking_kernel,
            r"refuses breaking_kernel: unsupported AST node type: Break \(in `break`\)",
        ),
    ],
)
def test_what_only_the_interpreter_takes_is_refused(kernel, says):
    with pytest.raises(kernels.KernelFault, match=says):
        compiled(kernel)


def test_products_in_tf32_are_said():
    compiled(squaring_kernel, DTYPE=tl.float16)
    with pytest.raises(
        check.Mismatch, match="squaring_kernel: a GPU multiplies in TF32"
    ):
        compiled(squaring_kernel, DTYPE=tl.float32)


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


KERNEL = """
from grader.kernels import tl, triton


@triton.jit
def k(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at))


def f(x):
    out = torch.empty_like(x)
    k[(1,)](x, out, x.numel(), BLOCK=2)
    return out
"""


# From 3.12 on Python itself names it, where an object has few names: see
# test_a_typo_is_told_once.
TYPO = (
    "tl.load(x_ptr + at)",
    "tl.maximun(at, at)",
    "`tl.maximun` is not there, and `maximum` is",
)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            "tl.arange(0, BLOCK)",
            "tl.arange(0, n)",
            "tl.arange takes what is known before the kernel runs",
        ),
        (
            "tl.arange(0, BLOCK)",
            "tl.arange(0, 6)",
            "tl.arange makes a power of two of numbers",
        ),
        ("tl.arange", "torch.arange", "a tensor of torch is in a kernel"),
        (
            "tl.load(x_ptr + at)",
            "torch.exp(tl.load(x_ptr + at))",
            "a function of torch is called in a kernel",
        ),
        *([TYPO] if sys.version_info < (3, 12) else []),
        (
            "tl.load(x_ptr + at)",
            "x_ptr[at]",
            "`x_ptr` is an address: tl.load(x_ptr + …) reads there",
        ),
        (
            "tl.store(out_ptr + at, tl.load(x_ptr + at))",
            "out_ptr[at] = at",
            "tl.store(out_ptr + …, …) writes there",
        ),
        ("(1,)", "1", "a grid is a tuple, also of one number: `k[(1,)](…)`"),
    ],
)
def test_first_habits_in_a_kernel_are_named(said, right, wrong, words):
    assert words in said(KERNEL.replace(right, wrong, 1), "kata.f(x)")
