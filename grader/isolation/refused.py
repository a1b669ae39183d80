"""What the sandbox refuses, in the words of docs/security.md, for the bare errors that
code gets there.
"""

import re

from grader.isolation import limits
from grader.isolation.rights import Rights

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# by PyTorch and by NumPy, for more memory than there is
ASKED = re.compile(rf"allocate ([\d.]+) ({'|'.join(UNITS)})")

_allowed: Rights | None = None  # to this process, if it is in a sandbox
_free = 0  # bytes of memory that the machine had before


def by(allowed: Rights) -> None:
    """Note that this process enters a sandbox of these rights."""
    global _allowed, _free
    _allowed, _free = allowed, limits.free_memory()


def told(error: BaseException, number: str) -> str:
    """What the grader refuses to the code of this kata, if the error comes of that;
    empty if it does not.
    """
    said = f"{type(error).__name__}: {error}"
    reasons = _reasons(_allowed) if _allowed else {}
    why = next(
        (why for pattern, why in reasons.items() if re.search(pattern, said)), ""
    )
    if (
        _allowed
        and (asked := ASKED.search(said))
        and float(asked[1]) * 1024 ** UNITS.index(asked[2]) < _free
    ):
        why = f"no more than {_allowed.memory >> 30} GiB of memory"
    command = "pytest -s" if why == "no input" else "pytest"
    return f"the grader allows {why}; `{command} katas/{number}` does" if why else ""


def _reasons(allowed: Rights) -> dict[str, str]:
    """What is refused, by a pattern in the error's text."""
    programs = "no programs" if allowed.processes else "no new processes or programs"
    network = (
        "no network but the loopback address" if allowed.loopback else "no network"
    )
    found = {
        r"\[Errno 1\] Operation not permitted": (
            f"{programs}, {network}, and not every system call"
        ),
        r"unexpected pos \d+ vs \d+|\[Errno 27\]": (
            f"no file larger than {allowed.file_size >> 20} MB"
        ),
        r"EOFError: EOF when reading a line": "no input",
    }
    if not allowed.processes:
        # A semaphore has no path. Memory that multiprocessing or PyTorch shares has one
        # that nobody chose.
        nowhere = (
            r"\[Errno 2\] No such file or directory($|: '/psm_)|unable to open shared "
            r"memory object"
        )
        found[nowhere] = "no new processes, and no memory or semaphores that they share"
    return found
