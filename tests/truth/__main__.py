"""References beside other people's code, `make truth`: PyTorch on its own tests'
samples, transformers, peft, trl.

The table goes to docs/truth.md, whose changes show what is refused anew. The exit code
is 1 if something differs.
"""

import sys

from grader.course.catalogue import ROOT
from tests.truth import with_libraries, with_ranks, with_torch
from tests.truth.comparing import Row

PAGE = ROOT / "docs" / "truth.md"
HEAD = """# Beside other people's code

The references on the samples of PyTorch's own tests, and beside transformers, peft and
trl: values, and gradients where there are any. `make truth` writes this page, [nightly,
too](../CONTRIBUTING.md#check). "Refused" are samples that ask for what an exercise does
not have.

| ours | theirs | agree | apart by at most | differ | refused |
| --- | --- | --- | --- | --- | --- |
"""


def line(row: Row) -> str:
    refused = ", ".join(
        f"{count} × {said}" for said, count in row.refused.most_common()
    )
    return (
        f"| {row.ours} | {row.theirs} | {row.agree} | {row.largest:.0e} | "
        f"{len(row.wrong)} | {refused or '0'} |"
    )


def main() -> int:
    rows = []
    for row in (*with_torch.rows(), *with_ranks.rows(), *with_libraries.rows()):
        rows.append(row)
        print(line(row), *row.wrong[:3], sep="\n    ", flush=True)
    agree, refused, wrong = (
        sum(counts)
        for counts in zip(
            *((r.agree, r.refused.total(), len(r.wrong)) for r in rows), strict=True
        )
    )
    total = f"| all | | {agree} | | {wrong} | {refused} |"
    print(total)
    PAGE.write_text(
        HEAD + "\n".join([*map(line, rows), total]) + "\n", encoding="utf-8"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
