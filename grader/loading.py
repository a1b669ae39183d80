"""An implementation as a module: the file of one kata, run under a name of its own, with the earlier katas it builds on."""

import errno
import io
import os
import stat
import sys
import tokenize
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from grader import catalogue
from grader.catalogue import Kata

MAX_BYTES = 1_000_000

Sources = Mapping[str, Path]  # kata name → the code folder (laid out like katas/) to take that kata from

# Of the modules being loaded, innermost last: their tree, the sources, and the code folder for katas that those do not name.
_context: list[tuple[Path, Sources, Path]] = []


class LoadFailure(Exception):
    """The file could not become a module. The message is one line: which file, where in it, what."""


def read_source(path: Path, within: Path | None = None) -> str:
    """The text of a code file: a regular file, not a link, of at most 1 MB, in the encoding that Python would use.

    Args:
        within: a folder that links on the way to the file must not lead out of.
    Raises:
        LoadFailure: it is anything else, or missing.
    """
    if within and not path.parent.resolve().is_relative_to(within.resolve()):
        raise LoadFailure(f"{path.name}: its folder is a symbolic link: hand in the file itself")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        reason = {
            errno.ENOENT: f"not found in {path.parent}",
            errno.ELOOP: "is a symbolic link: hand in the file itself",
            errno.ENXIO: "is not a regular file",
        }.get(error.errno, error.strerror)
        raise LoadFailure(f"{path.name}: {reason}") from None
    info = os.fstat(descriptor)
    refusal = ""
    if stat.S_ISDIR(info.st_mode):
        refusal = "is a folder, not a file"
    elif not stat.S_ISREG(info.st_mode):
        refusal = "is not a regular file"
    elif info.st_size > MAX_BYTES:
        refusal = f"{info.st_size / 1e6:.0f} MB is too large, the limit is 1 MB"
    if refusal:
        os.close(descriptor)
        raise LoadFailure(f"{path.name}: {refusal}")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_BYTES)
    return decoded(path.name, data)


def decoded(name: str, data: bytes) -> str:
    """The text of a code file, in the encoding that Python would use.

    Raises:
        LoadFailure: it is too large, or no text.
    """
    if len(data) > MAX_BYTES:
        raise LoadFailure(f"{name}: {len(data) / 1e6:.0f} MB is too large, the limit is 1 MB")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        raise LoadFailure(f"{name}: is not text in UTF-8") from None
    if "\0" in text:
        raise LoadFailure(f"{name}: is not text, it holds NUL characters")
    return text


def load(kata: Kata, code: Path, sources: Sources | None = None) -> ModuleType:
    """Run the kata's file from a code folder and return the module, named `kata_16_multi_head_attention`.

    Args:
        code: a folder laid out like `katas/`.
        sources: the folder to take each earlier kata from; those not named come from `code`.
    Raises:
        LoadFailure: the file is missing or unreadable, or running it raised. What it raised is the `__cause__`.
    """
    with _building_on(kata.root, sources or {}, code):
        return _run(kata, code / kata.file, "kata_")


def prerequisite(name: str) -> ModuleType:
    """The module of an earlier kata, for the line at the top of a stub that takes a name over from it.

    It is the learner's own code where the specs of its core exercises pass, and the reference where they do not.

    Args:
        name: the kata's folder below katas/, in full: "16_multi_head_attention".
    """
    if not _context:
        from grader import standin

        here = catalogue.kata_at(Path(sys._getframe(1).f_globals.get("__file__", "")).resolve())
        root = here.root if here else catalogue.ROOT
        choice = standin.choose(Kata(root, name), root / "katas", itself=True)
        with _building_on(root, choice.sources, root / "katas"):
            return prerequisite(name)
    root, sources, rest = _context[-1]
    kata = Kata(root, name)
    path = sources.get(name, rest) / kata.file
    known = sys.modules.get(_module_name("prerequisite_", kata))
    return known if known and known.__file__ == str(path) else _run(kata, path, "prerequisite_")


def _run(kata: Kata, path: Path, prefix: str) -> ModuleType:
    source = read_source(path)
    module = ModuleType(_module_name(prefix, kata))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except LoadFailure:
        raise
    except BaseException as error:
        raise LoadFailure(f"{path.name}{_where(error, path)}") from error
    return module


def _module_name(prefix: str, kata: Kata) -> str:
    return prefix + kata.name.replace("/", "_")


@contextmanager
def _building_on(root: Path, sources: Sources, rest: Path) -> Iterator[None]:
    _context.append((root, sources, rest))
    try:
        yield
    finally:
        _context.pop()


def _where(error: BaseException, path: Path) -> str:
    """":12: SyntaxError: '(' was never closed" — the line of this file at which importing it failed, and why."""
    reason = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}: {type(error).__name__}: {error.msg}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f":{lines[-1]}: {reason} (while the file was imported)" if lines else f": {reason}"
