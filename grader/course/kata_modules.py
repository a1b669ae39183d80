"""Load a kata's code as a module, together with the earlier katas that it builds on."""

import difflib
import errno
import io
import os
import stat
import sys
import tokenize
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from grader.course import packages, statements, syntax
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.statements import Failed
from grader.errors import LoadFailure, Unreadable
from grader.failure import Failure, Kind

# code beside a kata's file that is no learner's
GIVEN = ("lesson.py", "__init__.py", "conftest.py")
MAX_BYTES = 1_000_000  # of one code file
NUL = "is not text: it contains NUL characters"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

# kata name → the code folder, laid out like katas/, to load the kata from
Sources = Mapping[str, Path]


@dataclass
class Choice:
    """The code that was chosen for the earlier katas."""

    sources: dict[str, Path] = field(default_factory=dict)  # kata name → code folder
    # for the person: which code was chosen, and why
    notes: list[str] = field(default_factory=list)


# A stack with one entry per kata that is being loaded: root of the tree, sources, and
# the folder for all other katas.
_context: list[tuple[Path, Sources, Path]] = []
# the katas whose files are being run, each for the one before it
_running: list[Kata] = []
_left_out: dict[ModuleType, list[Failed]] = {}


def read_source(path: Path, within: Path | None = None) -> str:
    """Read a code file in the encoding that Python would use.

    Args:
        within: the folder that the file must be in after symbolic links are resolved.
    Raises:
        LoadFailure: the file is missing, a link, not a regular file, larger than 1 MB
            or not text.
    """
    try:
        return decoded(read_bytes(path, within, MAX_BYTES))
    except LoadFailure as failure:
        raise type(failure)(f"{path.name}: {failure}", failure.failure.kind) from None


def read_bytes(path: Path, within: Path | None, most: int) -> bytes:
    """Read a file of at most so many bytes.

    Args:
        within: the folder that the file must be in after symbolic links are resolved.
    Raises:
        LoadFailure: the file, which the message does not name, is missing, a link, not
            a regular file, or larger.
        Unreadable: the system does not let this process read the file.
    """
    if within and not path.parent.resolve().is_relative_to(within.resolve()):
        raise LoadFailure("its folder is a symbolic link: hand in the file itself")
    try:
        descriptor = os.open(
            path,
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0),
        )
    except OSError as error:
        reasons = {
            errno.ENOENT: f"not found in {path.parent}{_instead(path)}",
            errno.ELOOP: "is a symbolic link: hand in the file itself",
            errno.ENXIO: "is not a regular file",
        }
        reason, is_absent = reasons.get(error.errno or 0), error.errno == errno.ENOENT
        refused = LoadFailure if reason else Unreadable
        kind: Kind = "not handed in" if is_absent else "unreadable"
        raise refused(reason or str(error.strerror), kind) from None
    if refusal := _refusal(os.fstat(descriptor), most):
        os.close(descriptor)
        raise LoadFailure(refusal)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def refuse_link(code: Path) -> None:
    """Refuse a code folder that is a link to somewhere else: in a student's checkout it
    could lead to the solutions.

    Raises:
        LoadFailure: the folder is a symbolic link that leaves the folder that it is in.
    """
    if code.is_symlink() and not code.resolve().is_relative_to(code.parent.resolve()):
        raise LoadFailure(
            f"{code}: is a link that leads out of {code.parent}: give the folder itself"
        )


def decoded(data: bytes) -> str:
    """Decode the bytes of a code file in the encoding that Python would use.

    Raises:
        LoadFailure: the file is larger than 1 MB, or not text.
    """
    if len(data) > MAX_BYTES:
        raise LoadFailure(_too_large(len(data), MAX_BYTES))
    if b"\0" in data:
        with suppress(UnicodeError):
            data.decode()
            raise LoadFailure(NUL)  # here: Python 3.14 takes NUL for a wrong encoding
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if encoding == "punycode":
            raise LookupError("it takes minutes to decode")
        text = data.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError):
        # Python looks up encodings such as rot13, which give no text
        raise LoadFailure("is not UTF-8 text") from None
    if "\0" in text:
        raise LoadFailure(NUL)
    return text


def converted(data: bytes) -> tuple[str, str]:
    """Decode a text, and name its encoding if Python would refuse it: UTF-16 with its
    mark, or else Latin-1.

    Raises:
        LoadFailure: the bytes are no text, or more than 1 MB.
    """
    try:
        return decoded(data), ""
    except LoadFailure:
        if len(data) > MAX_BYTES:
            raise
        encoding = "UTF-16" if data.startswith(UTF_16) else "Latin-1"
        declared = b"coding" in b"".join(io.BytesIO(data).readlines()[:2])
        text = data.decode(encoding, "replace")
        if "\0" in text or "\N{REPLACEMENT CHARACTER}" in text or declared:
            raise
    return text.removeprefix("\ufeff"), encoding


def load(
    kata: Kata, code: Path, sources: Sources | None = None, text: str | None = None
) -> ModuleType:
    """Run the kata's file from a code folder and return the module, named
    `kata_16_multi_head_attention`.

    Args:
        code: a folder laid out like `katas/`.
        sources: the folder per earlier kata. Katas that it does not name are loaded
            from `code`.
        text: runs instead of the file's own. A module of the file that is in
            `sys.modules` stays there.
    Raises:
        LoadFailure: the file is missing or unreadable, or raised an exception, which
            becomes the `__cause__`.
    """
    before = sys.modules.get(_module_name("kata_", kata))
    with building_on(kata.root, sources or {}, code):
        _begin(kata)
        path = code / kata.file
        module = (
            _run(kata, path, "kata_")
            if text is None
            else _executed(kata, text, path, "kata_")
        )
        packages.remember(kata, module)
    if before and text is not None:
        sys.modules[before.__name__] = before
    return module


def left_out(module: ModuleType) -> list[Failed]:
    """The statements of this module that failed."""
    return _left_out.get(module, [])


def prerequisite(name: str) -> ModuleType:
    """Load an earlier kata for the kata that is being loaded (see `is_under_way`)."""
    root, sources, rest = _context[-1]
    kata = Kata(root, name)
    if _running and kata.name >= _running[-1].name and packages.module_name(kata):
        raise LoadFailure(
            f"{_running[-1].file.name}: imports {packages.module_name(kata)}, a later "
            "module",
            "import failed",
        )
    path = sources.get(name, rest) / kata.file
    known = sys.modules.get(
        packages.module_name(kata) or _module_name("prerequisite_", kata)
    )
    return (
        known
        if known and known.__file__ == str(path)
        else _run(kata, path, "prerequisite_")
    )


def is_under_way() -> bool:
    """True while a kata is being loaded. The code for its earlier katas has then
    been chosen.
    """
    return bool(_context)


@contextmanager
def building_on(root: Path, sources: Sources, rest: Path) -> Iterator[None]:
    """Inside the block, `prerequisite` loads a kata from `sources`, or from the folder
    `rest` if it is not in there.
    """
    _context.append((root, sources, rest))
    try:
        yield
    finally:
        _context.pop()


def _begin(kata: Kata) -> None:
    """Import what the kata builds on, if its track is a package: specs may import more
    of it than the kata itself.
    """
    packages.begin(kata)
    if packages.module_name(kata):
        for earlier in with_prerequisites([kata])[:-1]:
            prerequisite(earlier.name)


def _instead(path: Path) -> str:
    """What to say of the code beside a code file that is not there; empty if there
    is none.
    """
    others = [
        one.name
        for one in path.parent.glob("*.py")
        if one.name not in GIVEN and not one.match("test_*")
    ]
    near = difflib.get_close_matches(path.name, others, n=1, cutoff=0.0)
    return f" (there is {near[0]}: renamed?)" if near and path.suffix == ".py" else ""


def _refusal(info: os.stat_result, most: int) -> str:
    """The reason why a file cannot be read; empty if it can."""
    if stat.S_ISDIR(info.st_mode):
        return "is a folder, not a file"
    if not stat.S_ISREG(info.st_mode):
        return "is not a regular file"
    return _too_large(info.st_size, most) if info.st_size > most else ""


def _too_large(size: int, most: int) -> str:
    """The reason not to read a file. Its size is told where rounding does not turn it
    into the limit.
    """
    amount = f"{size / 1e6:.0f} MB " if size >= 2 * most else ""
    return f"{amount}is too large, the limit is {most / 1e6:.0f} MB"


def _run(kata: Kata, path: Path, prefix: str) -> ModuleType:
    code = path.parents[len(kata.file.parts) - 1]
    return _executed(kata, read_source(path, within=code), path, prefix)


def _executed(kata: Kata, source: str, path: Path, prefix: str) -> ModuleType:
    module = ModuleType(_module_name(prefix, kata))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    packages.register(kata, module)
    _running.append(kata)
    try:
        with packages.nothing_else_changes(kata, path):
            failed = statements.run(source, str(path), vars(module))
    except LoadFailure:
        raise
    except BaseException as error:
        raise LoadFailure(_why(error, path, source)) from error
    finally:
        _running.pop()
    if failed:
        _left_out[module] = failed
    return module


def _why(error: BaseException, path: Path, source: str) -> Failure:
    """What keeps the file from being run: it is no Python, its time was up, or running
    it raised an error.
    """
    is_its_own = isinstance(error, SyntaxError) and error.filename == str(path)
    if unparsed := error if is_its_own else syntax.error_in(source):
        return syntax.unparsed(path.name, source, unparsed)
    kind: Kind = "import timed out" if statements.time_limit(error) else "import failed"
    reason = traceback.format_exception_only(error)[-1].strip()
    # a time limit of the grader, SystemExit, KeyboardInterrupt
    if not isinstance(error, Exception):
        reason = ": ".join(filter(None, [type(error).__name__, str(error)]))
    lines = [
        f.lineno or 0
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename == str(path)
    ]
    at = lines[-1] if lines else 0
    line = (
        f"{path.name}:{at}: {reason} (while the file was imported)"
        if at
        else f"{path.name}: {reason}"
    )
    return Failure(kind, line, file=path.name, at=at, error=type(error).__name__)


def _module_name(prefix: str, kata: Kata) -> str:
    return prefix + kata.name.replace("/", "_")
