"""`python -m tests.bench.inspected [KATA…]`: what the tasks for inspect-ai score right
code, no code and forgeries.

It needs the extra `inspect` and no model: each answer is given to inspect-ai's mock
model. The exit code is 1 if one scores what it should not.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inspect_ai import eval as run
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from grader.course.catalogue import Kata, find
from tests.attacks.forgeries import FORGERIES
from workshop import inspect_tasks
from workshop.inspect_tasks import Asked

KATAS = ("01", "13", "16", "tinytorch/08", "today/01")
MOST_ACCEPTED = 10


@dataclass(frozen=True)
class Answer:
    """What a model might answer, and the score that it should get: of 0, every exercise
    that a forgery is about.
    """

    kind: str
    name: str
    code: str
    score: float


def answers(kata: Kata) -> Iterator[Answer]:
    """Answers to the task of a kata: right ones, nothing, and forgeries."""
    reference, stub = kata.reference.read_text(), kata.code.read_text()
    yield Answer("reference", "", reference, 1)
    yield Answer("stub", "", stub, 0)
    yield Answer("textbook", "", kata.textbook.read_text(), 1)
    for path in kata.accepted[:MOST_ACCEPTED]:
        yield Answer("accepted", path.stem, f"{reference}\n\n{path.read_text()}", 1)
    for one in FORGERIES:
        if find(one.kata) == kata:
            yield Answer("forgery", one.tries, f"{stub}\n{one.code}", 0)


def scored(folder: Path, task: str, answer: Answer) -> float:
    """The score of an answer.

    Raises:
        RuntimeError: inspect-ai came to no score.
    """
    output = ModelOutput.from_content(
        "mockllm/model", f"Here it is.\n\n```python\n{answer.code}\n```\n"
    )
    # otherwise it is counted, by a tokenizer that is downloaded
    output.usage = ModelUsage()
    model = get_model("mockllm/model", custom_outputs=[output])
    [log] = run(
        f"{folder}/tasks.py@{task}",
        model=model,
        display="none",
        log_dir=str(folder / "logs"),
    )
    if not log.samples or not log.samples[0].scores:
        raise RuntimeError(
            f"{task} {answer.kind} {answer.name}: "
            f"{log.error.message if log.error else log.status}"
        )
    value = log.samples[0].scores["both_locks"].value
    assert isinstance(value, float)
    return value


def main(queries: list[str]) -> int:
    """Print a row per kata and kind of answer."""
    asked = [Asked(find(query)) for query in queries]
    wrong = []
    print(
        "| task | answers | how many | score | seconds each |\n"
        "| --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inspect_tasks.for_inspect(folder, asked, None)
        for one in asked:
            kinds: dict[str, list[tuple[float, float]]] = {}
            for answer in answers(one.kata):
                began = time.monotonic()
                score = scored(folder, one.task, answer)
                kinds.setdefault(answer.kind, []).append(
                    (score, time.monotonic() - began)
                )
                if score != answer.score:
                    wrong.append(
                        f"{one.query} {answer.kind} {answer.name}: {score:.2f}, not "
                        f"{answer.score}"
                    )
            for kind, rows in kinds.items():
                scores, seconds = (
                    sorted({f"{score:.2f}" for score, _ in rows}),
                    sum(took for _, took in rows),
                )
                print(
                    f"| {one.query} | {kind} | {len(rows)} | {', '.join(scores)} | "
                    f"{seconds / len(rows):.1f} |",
                    flush=True,
                )
        for query, about in json.loads((folder / "tasks.json").read_text()).items():
            if about["unscored"]:
                print(f"{query}, no part of the score: {', '.join(about['unscored'])}")
    print(*wrong, sep="\n")
    return int(wrong != [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [*KATAS]))
