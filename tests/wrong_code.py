"""Wrong codes as texts that a person can read and compare, a file per set:

    == 01 memory_by_dtype
    def memory_by_dtype(shape, dtypes):
        return {dtype: math.prod(shape) * dtype.itemsize for dtype in dtypes}
    ? sizes added, not multiplied
    -math.prod(shape)
    +sum(shape)
    >the sizes added, not multiplied

The code is right, and each slip replaces one part of it. Where there is no code, the
textbook solution is meant.
A part that ends with a line break has an empty last line. Above the first `==` stands
where the set is from.
"""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WrongCode:
    """The code, or the textbook solution, with `was`, which occurs in it exactly once,
    replaced by `now`.

    `says` are the words of the exercise's first failure that tell a beginner what to
    change, where they are known.
    """

    kata: str
    exercise: str
    slip: str
    was: str
    now: str
    code: str
    says: str

    def planted(self, text: str) -> str:
        """The code, or `text` where there is none, with the slip in it."""
        code = self.code or text
        if (times := code.count(self.was)) != 1:
            raise ValueError(
                f"{self.kata} {self.exercise}: {self.was!r} is {times} times in the "
                "code"
            )
        return code.replace(self.was, self.now)


def read(path: Path) -> list[WrongCode]:
    """The wrong codes of the file, in its order."""
    found = []
    for exercise in _cut(path.read_text(encoding="utf-8"), "== ")[1:]:
        head, *slips = _cut(exercise, "? ")
        title, code = head.split("\n", 1)
        kata, name = title.split()
        for slip in slips:
            told, *lines = slip.split("\n")
            was, now, says = (
                "\n".join(line[1:] for line in lines if line[:1] == sign)
                for sign in "-+>"
            )
            found.append(
                WrongCode(kata, name, told, was, now, code and f"\n{code}", says)
            )
    return found


def _cut(text: str, sign: str) -> list[str]:
    return re.split(f"^{re.escape(sign)}", text, flags=re.MULTILINE)
