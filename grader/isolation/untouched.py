"""Tells what has changed, while code was graded, of files that it may not change:
modes, owners, attributes, contents.

New files do not count, neither do times of folders and times of access: the grader
itself writes beside what it reads.
"""

import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grader import printable
from grader.isolation import namespaces, sandbox

MOST_NAMED = 3
PLACES_OF_PYTHON = ("stdlib", "platstdlib", "purelib", "platlib")
# what Python writes, and another Python's packages
NOT_IN_THEM = ("__pycache__", "site-packages", "dist-packages")


@dataclass(frozen=True)
class Facts:
    """What a file is: `rights` are mode and owners, `attributes` the extended ones,
    `state` is that of its contents.
    """

    rights: tuple[int, int, int]
    attributes: tuple[tuple[str, bytes], ...]
    state: tuple[int, int]


Known = dict[str, Facts]  # by path


@dataclass(frozen=True)
class Changes:
    """The files that are not as they were: in mode, owner or attributes, and in times
    or contents alone.
    """

    rights: tuple[str, ...]
    contents: tuple[str, ...]


def known(submissions: Iterable[Path]) -> Known:
    """The submissions and the grader as they are now, and Python's packages where no
    namespaces keep them so.
    """
    places = {*map(str, submissions), str(sandbox.GRADER)}
    if not namespaces.are_allowed():
        places.update(sysconfig.get_path(name) for name in PLACES_OF_PYTHON)
    return {path: facts for place in sorted(places) for path, facts in _below(place)}


def changes(before: Known) -> Changes:
    """What has changed since. A file that is gone has other contents."""
    rights, contents = [], []
    for path, old in before.items():
        now = _facts(path)
        if now is not None and (now.rights, now.attributes) != (
            old.rights,
            old.attributes,
        ):
            rights.append(path)
        elif now is None or now.state != old.state:
            contents.append(path)
    return Changes(tuple(rights), tuple(contents))


def lines(found: Changes) -> list[str]:
    """A line for each kind of change."""
    told = []
    if found.rights:
        told.append(
            "CHANGED while graded, in mode, owner or attributes: "
            f"{_named(found.rights)}: trust no result here"
        )
    if found.contents:
        told.append(
            "changed while graded, in times or contents, perhaps by an editor: "
            f"{_named(found.contents)}"
        )
    return told


def _named(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(map(printable.line, paths[:MOST_NAMED])) + more


def _below(place: str) -> Iterator[tuple[str, Facts]]:
    """A file, or a folder with everything in it, as far as it can be read."""
    waiting = [place]
    while waiting:
        path = waiting.pop()
        facts = _facts(path)
        if facts is None:
            continue
        yield path, facts
        if stat.S_ISDIR(facts.rights[0]):
            with suppress(OSError), os.scandir(path) as entries:
                waiting += [
                    entry.path for entry in entries if entry.name not in NOT_IN_THEM
                ]


def _facts(path: str) -> Facts | None:
    with suppress(OSError):
        found = os.lstat(path)
        state = (
            (0, 0)
            if stat.S_ISDIR(found.st_mode)
            else (found.st_mtime_ns, found.st_size)
        )
        return Facts(
            (found.st_mode, found.st_uid, found.st_gid), _attributes(path), state
        )
    return None


def _attributes(path: str) -> tuple[tuple[str, bytes], ...]:
    if sys.platform != "linux":
        return ()
    with suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return tuple(
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(names)
        )
    return ()
