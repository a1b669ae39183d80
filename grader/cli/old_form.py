"""Takes `kata grade --submissions DIR`, the old form of `kata class DIR`, for one
release: 0.4 is without it.
"""

import shlex
import sys

from grader import printable
from grader.errors import KataError

OF_A_CLASS = (
    *(
        "--results",
        "--feedback",
        "--roster",
        "--unowned-are-nobody",
        "--overrides",
        "--accommodations",
    ),
    *("--canvas-column", "--intake", "--dask", "--student"),
)
OF_ONE = ("--code", "--fail-under")
WITHOUT_EFFECT = ("--all", "--fresh")  # on a class


def as_written_now(args: list[str]) -> list[str]:
    """The arguments of `kata grade`, or of `kata class` if they are about a class: then
    a line says so.

    Raises:
        KataError: an option does not go with a class, or only with one.
    """
    names = [word.partition("=")[0] for word in args]
    if "--submissions" not in names:
        if lost := [name for name in names if name in OF_A_CLASS]:
            raise KataError(
                f"{lost[0]} belongs to a class: write kata class DIR, not kata grade"
            )
        return args
    if lost := [name for name in names if name in OF_ONE]:
        raise KataError(f"{lost[0]} is for one submission, not for a class")
    now = ["class", *_folder_first(args[1:])]
    line = printable.line(shlex.join(["kata", *now]))
    print(f"kata grade --submissions is now kata class: write {line}", file=sys.stderr)
    return now


def _folder_first(args: list[str]) -> list[str]:
    folder, rest = "", []
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--submissions":
            folder = value if equals else next(words, "")
        elif name not in WITHOUT_EFFECT:
            rest.append(word)
    if not folder:
        raise KataError("--submissions takes a folder: write kata class DIR")
    return [folder, *rest]
