"""Comparisons for specs. A failure says what was expected, what was returned, where
they differ and the likely bug.
"""

import difflib
import errno
import inspect
import itertools
import math
import numbers
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from grader import kernels
from grader.specs import likeness, tensor_picture
from grader.specs.bans import Forbidden as Forbidden
from grader.specs.bans import forbidden as forbidden

# (rtol, atol) per dtype of the result: above the rounding of a few chained operations,
# far below any wrong formula.
TOLERANCES = {
    torch.float64: (1e-7, 1e-9),
    torch.float32: (1e-4, 1e-5),
    torch.float16: (4e-3, 2e-3),
    torch.bfloat16: (3e-2, 1e-2),
    torch.complex128: (1e-7, 1e-9),
    torch.complex64: (1e-4, 1e-5),
}

least: dict[torch.dtype, float] = {}  # what both are at least, where a device computes

Rows = list[tuple[str, str]]
# (rtol, atol); None takes the value from TOLERANCES
Tolerance = tuple[float | None, float | None]

# what a failure named for each suspect's own answer, where that is tried
tried: dict[str, list[str]] | None = None

# errors that are never the library's answer
SLIPS = (NameError, AttributeError, ImportError, SyntaxError)
# in Triton's intermediate language
TF32 = re.compile(r"tt\.dot .*inputPrecision = tf32.* : tensor<[\dx]+xf32>")
FEW = 8  # items or characters of which all are told
BAD_CALL = re.compile(
    r"^[\w.<>]+\(\) (missing|takes|got an unexpected|got multiple|got some positional)"
)


class Mismatch(AssertionError):
    """The finding of a spec, as labelled rows: ("shape", "(2, 5)  expected (5, 2)")."""

    def __init__(
        self, rows: Rows, picture: str = "", sides: tuple[Any, Any] | None = None
    ):
        # what was returned, and what was expected
        self.rows, self.picture, self.sides = rows, picture, sides
        super().__init__()

    def __str__(self) -> str:
        return "\n".join(f"{label:<10} {text}" for label, text in self.rows)

    def add(self, rows: Rows) -> None:
        self.rows = [*self.rows, *rows]


class NotFinite(Mismatch):
    """An expected value is NaN or infinite, and the spec does not say that this
    is meant.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                (
                    "wrong",
                    (
                        "what is expected is not finite: something that it is made of "
                        "gave NaN or infinity"
                    ),
                )
            ]
        )


def equal(
    got: Any,
    expected: Any,
    *,
    unlike: Mapping[str, Any] | None = None,
    what: str = "",
    finite: bool = True,
) -> None:
    """Check that `got` has exactly the shape, dtype and values of `expected`. NaN
    equals NaN.

    Args:
        expected: a tensor, an array, a number, or any nesting of dicts, lists and
            tuples of these.
        unlike: known wrong answers by name. The failure names the one that explains
            every difference. `...`, and a key that it lacks, may be anything.
        what: a name for `got`, if it is not the result itself ("gradient of x").
        finite: False where NaN or infinity is meant. Else they come from what the spec
            made `expected` of.
    """
    _judge(got, expected, what, None, unlike or {}, dtype=True, finite=finite)


def close(
    got: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    unlike: Mapping[str, Any] | None = None,
    what: str = "",
    finite: bool = True,
) -> None:
    """Check values like `equal`, but within rounding and for any dtype. Specs usually
    compute `expected` in float64.

    Default tolerances are those of the less precise dtype (see TOLERANCES).
    """
    _judge(got, expected, what, (rtol, atol), unlike or {}, dtype=False, finite=finite)


def entries(
    got: Any,
    expected: Mapping[Any, Any],
    *,
    unlike: Mapping[str, Any] | None = None,
    what: str = "",
) -> None:
    """Check that `got` is a dict that has these entries, compared like `equal`. It may
    have others.
    """
    _require(isinstance(got, Mapping), got, f"a dict with keys {list(expected)}", what)
    if any(key not in got for key in expected):
        raise Mismatch([*_of(what), *key_rows(got, list(expected), complete=False)])
    equal({key: got[key] for key in expected}, expected, unlike=unlike, what=what)


def key_rows(
    got: Mapping[Any, Any], expected: Sequence[Any], *, complete: bool = True
) -> Rows:
    """Say which keys a dict lacks, and which it has beside them if the expected ones
    are complete.
    """
    missing = [key for key in expected if key not in got]
    surplus = [key for key in got if key not in expected]
    rows = [
        ("keys", _listed(got)),
        ("expected", _listed(expected) + ("" if complete else ", and others")),
    ]
    if len(got) > FEW and (missing or surplus) and complete:
        rows = [("keys", f"{len(got)} of them, expected {len(expected)}")]
    if missing:
        rows.append(("missing", _listed(missing)))
    if surplus and complete:
        rows.append(("more", _listed(surplus)))
    for key in [key for key in missing if isinstance(key, str)]:
        if near := difflib.get_close_matches(
            key, [one for one in surplus if isinstance(one, str)], n=1
        ):
            rows.append(("looks like", f"the key {key!r} is written {near[0]!r}"))
            break
    return rows


def shape(got: Any, expected: Sequence[int], *, what: str = "") -> None:
    """Check that `got` is a tensor of this shape."""
    _is_tensor(got, what, f"a tensor of shape {tuple(expected)}")
    if tuple(got.shape) != tuple(expected):
        rows = [("shape", f"{tuple(got.shape)}  expected {tuple(expected)}")]
        how = likeness.regrouped(tuple(got.shape), tuple(expected))
        raise Mismatch([*_of(what), *rows, *([("means", how)] if how else [])])


def dtype(got: Any, expected: torch.dtype, *, what: str = "") -> None:
    """Check that `got` is a tensor of this dtype."""
    _is_tensor(got, what, f"a tensor of {_short(expected)}")
    if got.dtype != expected:
        held, how = (
            _short(got.dtype),
            f"dtype={expected} where it is made, or .to({expected}), changes that",
        )
        raise Mismatch(
            [
                *_of(what),
                ("dtype", f"{held}  expected {_short(expected)}"),
                ("means", how),
            ]
        )


def finite(got: Any, *, what: str = "") -> None:
    """Check that `got` is a tensor without NaN or infinity."""
    _is_tensor(got, what, "a tensor of finite numbers")
    bad = ~torch.isfinite(got)
    if bad.any():
        first = _first(bad)
        rows = [
            (
                "not finite",
                (
                    f"{int(bad.sum())} of {got.numel()} values, first at {first}: "
                    f"{got[tuple(first)].item()}"
                ),
            )
        ]
        raise Mismatch([*_of(what), *rows])


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor or an array; None for all else."""
    if isinstance(value, (Tensor, np.ndarray)):
        return tuple(value.shape)
    return (
        tuple(value.data.shape)
        if not isinstance(value, type) and _is_tiny(value)
        else None
    )


def data(got: Any, *, what: str = "") -> np.ndarray:
    """Check that `got` is a TinyTorch tensor, and return its array."""
    _require(_is_tiny(got), got, "a Tensor", what)
    array: np.ndarray = got.data
    return array


def that(condition: bool, message: str, *, like: str = "") -> None:
    """Check a condition. The message says what was expected and what was returned.

    Args:
        like: the one bug that breaks the condition, by name.
    """
    if not condition:
        raise Mismatch([("wrong", message), *([("looks like", like)] if like else [])])


def moved(
    seen: Any, *, loads: int, stores: int, programs: int, **tensors: Tensor
) -> None:
    """Check what kernels did inside `grader.kernels.watched`: programs that ran, and
    numbers that crossed memory.

    Each of `tensors` is loaded itself, not a copy of it.
    """
    that(seen.programs == programs, f"{seen.programs} programs ran, not {programs}")
    for name, tensor in tensors.items():
        that(
            bool(seen.loads(tensor).any()),
            f"no element of {name} itself is loaded: was it copied before?",
        )
    for kind, done, needed in (("load", "loaded", loads), ("store", "stored", stores)):
        found = f"{seen.total(kind)} numbers were {done}"
        that(seen.total(kind) <= needed, f"{found}, {needed} are enough")
        that(
            seen.total(kind) == needed,
            f"{found}, not {needed}: is a part computed outside of the kernel?",
        )


def kernels_compute(call: Callable[[], Any], result: Any) -> None:
    """Check that a result is stored by kernels: without their stores the call gives
    another one.
    """
    try:
        with kernels.watched(muted=True):
            close(call(), result)
    except Exception:  # whatever becomes of memory that nobody filled
        return
    raise Mismatch(
        [
            (
                "wrong",
                (
                    "the result is right where no kernel stores anything: it is "
                    "computed outside of them"
                ),
            )
        ]
    )


def compiles(seen: Any) -> None:
    """Check that a GPU's compiler takes the kernels that ran inside
    `grader.kernels.watched`, with all digits.

    A kernel that was launched in several configurations is compiled in each.
    """
    for kernel in kernels.compiled(seen):
        rounded = (
            "a GPU multiplies in TF32, of 3 digits, unless tl.dot is given "
            "input_precision='ieee'"
        )
        that(not TF32.search(kernel.code), f"{kernel.name}: {rounded}")


@contextmanager
def raises(error: type[Exception], *mentions: Any, like: str = "") -> Iterator[None]:
    """The block raises `error`, or whatever else the library raises that notices
    the problem.

    A missing name, attribute or module is another error. The message mentions each of
    `mentions`, compared as text without case. An exercise that is not written, or that
    cannot be called this way, is reported as that.

    Args:
        like: the one bug by which nothing is raised, by name.
    """
    try:
        yield
    except Exception as caught:
        if not isinstance(caught, error) and isinstance(caught, SLIPS):
            raise
        if isinstance(caught, (NotImplementedError, Mismatch)) or BAD_CALL.match(
            str(caught)
        ):
            raise
        missing = [
            str(m) for m in mentions if str(m).lower() not in str(caught).lower()
        ]
        if missing:
            said = f"{type(caught).__name__}: {caught}"
            raise Mismatch(
                [
                    ("raised", said),
                    ("wrong", f"the message should mention {', '.join(missing)}"),
                ]
            ) from caught
    else:
        wanted = f"an error, such as {error.__name__}{_mentioning(mentions)}"
        raise Mismatch(
            [
                ("raised", "nothing"),
                ("expected", wanted),
                *([("looks like", like)] if like else []),
            ]
        )


@contextmanager
def unchanged(**tensors: Tensor) -> Iterator[None]:
    """Check that the block does not change the values, `requires_grad` or `grad` of the
    named tensors.
    """
    before = {
        name: (t.detach().clone(), t.requires_grad, _grad_of(t))
        for name, t in tensors.items()
    }
    yield
    for name, tensor in tensors.items():
        values, flag, grad = before[name]
        if not _same(tensor.detach(), values):
            written = {
                f"an operation in place on the caller's own {name}": tensor.detach()
            }
            equal(
                tensor.detach(),
                values,
                unlike=written,
                what=f"{name} after the call, which must not write to it",
            )
        if tensor.requires_grad != flag:
            turned = (
                f"{name}.requires_grad was {flag} and is now {tensor.requires_grad}"
            )
            own = (
                f"{turned}: work on a leaf of your own, "
                f"{name}.detach().requires_grad_()"
            )
            raise Mismatch(
                [
                    ("wrong", own),
                    ("looks like", f"requires_grad is set on the caller's own {name}"),
                ]
            )
        now = _grad_of(tensor)
        same = now is grad or (
            now is not None and grad is not None and _same(now, grad)
        )
        that(
            same,
            f"{name}.grad was changed: backward through the caller's own tensor "
            "leaves a gradient there",
        )


def modes(**switches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The options to build something with: none, so that its defaults hold, and then
    each of these values by itself.

    For what must hold whichever way the code takes:
    `for options in check.modes(nesterov=[False]):`.
    """
    yield {}
    for name, values in switches.items():
        yield from ({name: value} for value in values)


def repeated(times: int, call: Callable[..., Any], /, *arguments: Any) -> list[Any]:
    """Call so many times, and return all that came of it, in order. From another
    process, all is asked for at once.
    """
    return [call(*arguments) for _ in range(times)]


def independent(result: Tensor, of: Tensor, *, what: str = "the result") -> None:
    """Check that the two tensors share no memory, so that a write to one does not
    change the other.
    """
    that(
        not _overlap(result, of),
        f"{what} shares memory with the input: a later write to one would change the "
        "other",
    )


def view_of(result: Any, of: Tensor, *, what: str = "the result") -> None:
    """Check that the result shares memory with `of`, so that no data was copied."""
    _is_tensor(result, what, "a tensor")
    if not _overlap(result, of):
        wrong = (
            f"{what} is a copy: it should be a view that shares memory with the input"
        )
        how = "an operation that copies: slices, view, transpose and unsqueeze do not"
        raise Mismatch([("wrong", wrong), ("looks like", how)])


@contextmanager
def folders_on_disks_of_their_own() -> Iterator[None]:
    """Simulate one disk per folder: inside the block, renaming a file into another
    folder fails with EXDEV.
    """

    def alone(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **options: Any) -> None:
            if not Path(source).resolve().is_relative_to(Path(target).resolve().parent):
                raise OSError(
                    errno.EXDEV,
                    os.strerror(errno.EXDEV),
                    str(source),
                    None,
                    str(target),
                )
            return rename(source, target, **options)

        return renamed

    with (
        mock.patch.object(os, "rename", alone(os.rename)),
        mock.patch.object(os, "replace", alone(os.replace)),
    ):
        yield


def gradients(
    got: Callable[..., Tensor],
    expected: Callable[..., Tensor],
    *inputs: Tensor,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Check that both functions give the inputs the same gradients, for a fixed random
    weighting of the outputs.
    """
    ours, theirs = (
        [x.detach().clone().requires_grad_() for x in inputs] for _ in range(2)
    )
    output, oracle = got(*ours), expected(*theirs)
    shape(output, oracle.shape)
    that(
        output.requires_grad,
        "the result has no autograd graph: no gradient can reach the inputs",
    )
    probe = torch.randn(
        oracle.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64
    )
    (output * probe.to(output.dtype)).sum().backward()
    (oracle * probe.to(oracle.dtype)).sum().backward()
    for position, (mine, right) in enumerate(zip(ours, theirs, strict=True)):
        label = (
            f"gradient of input {position}"
            if len(inputs) > 1
            else "gradient of the input"
        )
        that(
            mine.grad is not None,
            f"{label} is None: the result is detached from the input",
        )
        reference = right.grad if right.grad is not None else torch.zeros_like(right)
        close(mine.grad, reference, rtol=rtol, atol=atol, what=label)


# Private helpers.


def _judge(
    got: Any,
    expected: Any,
    what: str,
    tolerance: Tolerance | None,
    unlike: Mapping[str, Any],
    *,
    dtype: bool,
    finite: bool,
) -> None:
    """Compare, and name the known wrong answers that explain every difference: all of
    them, as any may be the cause.
    """
    if finite and not _is_finite(expected):
        raise NotFinite
    if tried is not None:
        for name, wrong in unlike.items():
            tried.setdefault(name, []).extend(
                _named(unlike, _answer(wrong, expected), expected, tolerance)[:1]
            )
    try:
        _compare(got, expected, what, tolerance, dtype=dtype)
    except Mismatch as found:
        if alike := _named(unlike, got, expected, tolerance):
            rows = [row for row in found.rows if row[0] != "looks like"]
            raise Mismatch(
                [*rows, ("looks like", ", or ".join(alike))],
                found.picture,
                (got, expected),
            ) from None
        found.sides = got, expected
        raise  # from where it was found, by which Hypothesis tells failures apart


def _is_finite(expected: Any) -> bool:
    if isinstance(expected, Mapping):
        return all(map(_is_finite, expected.values()))
    if isinstance(expected, (list, tuple)):
        return all(map(_is_finite, expected))
    if isinstance(expected, Tensor):
        return bool(expected.isfinite().all())
    return not isinstance(expected, (np.ndarray, np.floating, float, complex)) or bool(
        np.isfinite(expected).all()
    )


def _named(
    unlike: Mapping[str, Any], got: Any, expected: Any, tolerance: Tolerance | None
) -> list[str]:
    return [
        name
        for name, wrong in unlike.items()
        if _explains(wrong, got, expected, tolerance)
    ]


def _answer(wrong: Any, expected: Any) -> Any:
    """A whole answer that is wrong in this way, and right where the known wrong answer
    says nothing.
    """
    if wrong is ...:
        return expected
    if isinstance(wrong, Mapping) and isinstance(expected, Mapping):
        return {
            key: _answer(wrong.get(key, ...), expected.get(key))
            for key in {**expected, **wrong}
        }
    if type(wrong) is type(expected) is tuple and len(wrong) <= len(expected):
        return tuple(
            itertools.starmap(
                _answer, itertools.zip_longest(wrong, expected, fillvalue=...)
            )
        )
    if type(wrong) is type(expected) is list and len(wrong) == len(expected):
        return list(map(_answer, wrong, expected))
    return wrong


def _explains(wrong: Any, got: Any, expected: Any, tolerance: Tolerance | None) -> bool:
    """Tell if `got` has a part of this wrong answer, and no other that is wrong but
    where the answer says nothing.
    """
    parts = set(_parts(wrong, got, expected, tolerance))
    return True in parts and False not in parts


def _parts(
    wrong: Any, got: Any, expected: Any, tolerance: Tolerance | None
) -> Iterator[bool | None]:
    """Of each part: None if it is right or `wrong` leaves it open, else if it is that
    of `wrong`.
    """
    if all(isinstance(side, Mapping) for side in (wrong, got, expected)):
        for key in {**wrong, **got}:
            yield from _parts(
                wrong.get(key, ...), got.get(key), expected.get(key), tolerance
            )
    elif _alike_in_kind(wrong, got, expected):
        for part in itertools.zip_longest(wrong, got, expected, fillvalue=...):
            yield from _parts(*part, tolerance)
    elif wrong is ... or _agrees(got, expected, tolerance):
        yield None
    else:
        yield _near(got, wrong, tolerance)


def _alike_in_kind(wrong: Any, got: Any, expected: Any) -> bool:
    kinds = {type(side) for side in (wrong, got, expected)}
    if kinds != {list} and kinds != {tuple}:
        return False
    return len(got) == len(expected) and (
        len(wrong) == len(got) or (kinds == {tuple} and len(wrong) < len(got))
    )


def _near(got: Any, wrong: Any, tolerance: Tolerance | None) -> bool:
    if all(
        isinstance(side, numbers.Real) and not isinstance(side, bool)
        for side in (got, wrong)
    ):
        both_nan = math.isnan(got) and math.isnan(wrong)
        return (
            both_nan
            or got == wrong
            or math.isclose(got, wrong, rel_tol=1e-4, abs_tol=1e-9)
        )
    return _agrees(got, wrong, tolerance)


def _agrees(got: Any, other: Any, tolerance: Tolerance | None) -> bool:
    try:
        # without a picture of where they differ, which takes most of the time
        if isinstance(other, Tensor):
            _is_tensor(got, "", "")
            return got.shape == other.shape and bool(
                _agree(got, other, tolerance).all()
            )
        _compare(got, other, "", tolerance, dtype=False)
    except Mismatch:
        return False
    return True


def _compare(
    got: Any, expected: Any, what: str, tolerance: Tolerance | None, *, dtype: bool
) -> None:
    if isinstance(expected, Mapping):
        _require(
            isinstance(got, Mapping), got, f"a dict with keys {list(expected)}", what
        )
        if set(got) != set(expected):
            raise Mismatch([*_of(what), *key_rows(got, list(expected))])
        for key in expected:
            _compare(
                got[key], expected[key], f"{what}[{key!r}]", tolerance, dtype=dtype
            )
    elif isinstance(expected, (list, tuple)):
        kind = "list" if isinstance(expected, list) else "tuple"
        single = (
            kind == "tuple"
            and len(expected) > 1
            and not isinstance(got, (tuple, list, type(None)))
        )
        hint = (
            f": `return` {len(expected)} results, with a comma between them"
            if single and not what
            else ""
        )
        _require(
            isinstance(got, type(expected)),
            got,
            f"a {kind} of {len(expected)}{hint}",
            what,
        )
        if len(got) != len(expected):
            raise Mismatch([*_of(what), *_length_rows(got, expected, kind)])
        for i, item in enumerate(expected):
            _compare(got[i], item, f"{what}[{i}]", tolerance, dtype=dtype)
    elif isinstance(expected, np.ndarray):
        _require(
            isinstance(got, np.ndarray),
            got,
            f"a NumPy array of shape {expected.shape}",
            what,
        )
        same = got.dtype == expected.dtype if dtype else got.dtype.kind in "biufc"
        _require(same, str(got.dtype), expected.dtype, what, label="dtype")
        _compare_tensors(
            torch.tensor(got.copy()),
            torch.tensor(expected.copy()),
            what,
            tolerance,
            dtype=False,
        )
    elif isinstance(expected, Tensor):
        _is_tensor(got, what, f"a tensor of shape {tuple(expected.shape)}")
        _compare_tensors(got, expected, what, tolerance, dtype=dtype)
    elif isinstance(expected, numbers.Number) and not isinstance(expected, bool):
        _compare_numbers(got, expected, what, tolerance)
    elif isinstance(expected, str) and isinstance(got, str):
        _compare_texts(got, expected, what)
    else:
        plain, wanted = (
            bool(side) if isinstance(side, np.bool) else side
            for side in (got, expected)
        )
        _require(
            type(plain) is type(wanted) and plain == wanted,
            got,
            shortened(repr(wanted)),
            what,
            label="got",
        )


def _length_rows(got: Sequence[Any], expected: Sequence[Any], kind: str) -> Rows:
    """Both, or only what is missing and what is more where names or numbers are too
    many to be told whole.
    """
    mine, right = describe(got), describe(expected)
    plain = all(isinstance(one, (str, int)) for one in (*got, *expected))
    if not plain or (mine, right) == (repr(got), repr(expected)):
        return [(kind, mine), ("expected", f"{len(expected)} of them: {right}")]
    counts = Counter(got), Counter(expected)
    differing = [
        ("missing", (counts[1] - counts[0]).elements()),
        ("more", (counts[0] - counts[1]).elements()),
    ]
    told = [(label, ", ".join(map(repr, [*items][:FEW]))) for label, items in differing]
    return [
        (kind, f"{len(got)} of them, expected {len(expected)}"),
        *[row for row in told if row[1]],
    ]


def _compare_texts(got: str, expected: str, what: str) -> None:
    """Of long texts, what stands around the first character that differs."""
    if got == expected:
        return
    first = len(os.path.commonprefix([got, expected]))
    rows = [("got", describe(got)), ("expected", shortened(repr(expected)))]
    if first > FEW:
        around = slice(first - FEW, first + 3 * FEW)
        rows = [
            ("differs", f"from character {first} on"),
            ("got", f"… {got[around]!r}"),
            ("expected", f"… {expected[around]!r}"),
        ]
    raise Mismatch([*_of(what), *rows])


def _compare_tensors(
    got: Tensor,
    expected: Tensor,
    what: str,
    tolerance: Tolerance | None,
    *,
    dtype: bool,
) -> None:
    rows = _of(what)
    if got.shape != expected.shape:
        raise Mismatch(
            [*rows, ("shape", f"{tuple(got.shape)}  expected {tuple(expected.shape)}")]
        )
    if dtype and got.dtype != expected.dtype:
        raise Mismatch(
            [
                *rows,
                ("dtype", f"{_short(got.dtype)}  expected {_short(expected.dtype)}"),
            ]
        )
    wrong = ~_agree(got, expected, tolerance)
    if wrong.any():
        rows.append(("differs", _difference(got, expected, wrong)))
        picture = tensor_picture.drawn(got, expected, _first(wrong))
        raise Mismatch(rows, picture)


def _compare_numbers(
    got: Any, expected: Any, what: str, tolerance: Tolerance | None
) -> None:
    plain = isinstance(got, numbers.Number) and not isinstance(got, bool)
    _require(plain, got, f"the number {_number(expected)}", what)
    if tolerance is None:
        same = got == expected or (got != got and expected != expected)
        _require(
            not isinstance(expected, int) or isinstance(got, int),
            got,
            f"the int {expected}",
            what,
        )
    else:
        rtol, atol = (
            (1e-6 if tolerance[0] is None else tolerance[0]),
            (1e-9 if tolerance[1] is None else tolerance[1]),
        )
        same = got == expected or (got != got and expected != expected)
        same = same or (
            math.isfinite(abs(got))
            and abs(got - expected) <= atol + rtol * abs(expected)
        )
    if not same:
        mine, right = _told_apart(got, expected)
        raise Mismatch([*_of(what), ("got", mine), ("expected", right)])


def _agree(got: Tensor, expected: Tensor, tolerance: Tolerance | None) -> Tensor:
    """True where the two tensors have the same value. Without a tolerance the values
    must be equal.
    """
    got, expected = got.detach().cpu(), expected.detach().cpu()
    if tolerance is None:
        common = torch.promote_types(got.dtype, expected.dtype)
        a, b = got.to(common), expected.to(common)
        return (a == b) | ((a != a) & (b != b))
    rtol, atol = _tolerance(got.dtype, expected.dtype, tolerance)
    wide = (
        torch.complex128 if got.is_complex() or expected.is_complex() else torch.float64
    )
    return torch.isclose(
        got.to(wide), expected.to(wide), rtol=rtol, atol=atol, equal_nan=True
    )


def _tolerance(
    got: torch.dtype, expected: torch.dtype, asked: Tolerance
) -> tuple[float, float]:
    rtol, atol = max(
        TOLERANCES.get(got, (0.0, 0.0)), TOLERANCES.get(expected, (0.0, 0.0))
    )
    rtol, atol = (
        (rtol if asked[0] is None else asked[0]),
        (atol if asked[1] is None else asked[1]),
    )
    return max(rtol, least.get(got, 0.0)), max(atol, least.get(got, 0.0))


def _difference(got: Tensor, expected: Tensor, wrong: Tensor) -> str:
    """ "at 112 of 120 places, first at [0, 0, 1, 0]: got 4, expected 12; largest
    difference 9 at [1, 2]".
    """
    first = _first(wrong)
    count = int(wrong.sum())
    mine, right = _told_apart(got[tuple(first)].item(), expected[tuple(first)].item())
    pair = f"got {mine}, expected {right}"
    if got.ndim == 0:
        return pair
    text = f"at {count} of {got.numel()} places, first at {first}: {pair}"
    if (
        count > 1
        and got.dtype != torch.bool
        and not (got.is_complex() or expected.is_complex())
    ):
        gap = (got.detach().cpu().double() - expected.detach().cpu().double()).abs()
        if torch.isnan(gap).any():
            text += (
                f"; {int(torch.isnan(got).sum())} values are NaN"
                if torch.isnan(got).any()
                else ""
            )
        else:
            largest = gap.max()
            text += (
                f"; largest difference {_number(largest.item())} at "
                f"{_first(gap == largest)}"
            )
    return text


def _require(
    condition: bool, got: Any, expected: Any, what: str, label: str = "got"
) -> None:
    if not condition:
        raise Mismatch(
            [
                *_of(what),
                (label, describe(got)),
                ("expected", str(expected)),
                *_unfinished(got),
            ]
        )


def _unfinished(got: Any) -> Rows:
    """The likely slip, if a function itself was returned instead of what it returns."""
    if not inspect.isroutine(got) or got.__name__ == "<lambda>":
        return []
    return [
        (
            "looks like",
            f"`{got.__name__}` without its brackets: `{got.__name__}()` calls it",
        )
    ]


def _is_tensor(got: Any, what: str, wanted: str) -> None:
    _require(isinstance(got, Tensor), got, wanted, what)
    # a subclass could override comparison
    own = type(got).__module__.startswith("kata_")
    _require(not own, type(got).__name__, f"{wanted}, of PyTorch's own class", what)


def describe(value: Any) -> str:
    """Describe a value in a few words: "float32 tensor (2, 5, 12)", "tuple of
    2", "'relu'".
    """
    if isinstance(value, Tensor):
        return f"{_short(value.dtype)} tensor {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} NumPy array {value.shape}"
    if _is_tiny(value):
        return f"{value.data.dtype} {type(value).__name__} {value.data.shape}"
    if isinstance(value, torch.dtype):
        return _short(value)
    if isinstance(value, (list, tuple)) and (
        len(value) > FEW or any(shape_of(one) is not None for one in value)
    ):
        return (
            f"{type(value).__name__} of {len(value)}: "
            f"{', '.join(map(describe, value[:4]))}"
        )
    if is_table(value):
        return (
            f"DataFrame {value.shape} with the columns "
            f"{', '.join(map(str, value.columns[:6]))}"
        )
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '')} itself"
    if type(value).__repr__ is object.__repr__:
        return f"{type(value).__name__} object"
    try:
        text = repr(value)
    except Exception as error:  # from __repr__ of a class that the learner wrote
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return shortened(" ".join(text.split()))


def is_table(value: Any) -> bool:
    """Tell if this is a DataFrame. pandas is not imported for it."""
    return isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ()))


def shortened(text: str, most: int = 100) -> str:
    """The text, without its middle if it is longer."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]} … {text[-end:]}"


def _is_tiny(value: Any) -> bool:
    """Tell if this is a tensor of TinyTorch, whose `data` is an array.
    (An array's `data` is its memory.)
    """
    return not isinstance(value, (np.ndarray, Tensor)) and isinstance(
        getattr(value, "data", None), np.ndarray
    )


def _of(what: str) -> Rows:
    return [("of", what.lstrip(".").removesuffix(" at "))] if what else []


def _first(mask: Tensor) -> list[int]:
    return mask.nonzero()[0].tolist()


def _number(value: Any, digits: int = 6) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return str(value)


def _told_apart(got: Any, expected: Any) -> tuple[str, str]:
    """The two numbers with six digits, or with as many as tell them apart."""
    pairs = [
        (_number(got, digits), _number(expected, digits)) for digits in range(6, 18)
    ]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _listed(keys: Iterable[Any]) -> str:
    return ", ".join(map(describe, keys)) or "none"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _mentioning(mentions: Sequence[Any]) -> str:
    return f" that mentions {', '.join(map(str, mentions))}" if mentions else ""


def _grad_of(tensor: Tensor) -> Tensor | None:
    return (
        tensor.grad.detach().clone()
        if tensor.is_leaf and tensor.grad is not None
        else None
    )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(_agree(a, b, None).all())


def _overlap(a: Tensor, b: Tensor) -> bool:
    return (
        a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
        and a.untyped_storage().nbytes() > 0
    )
