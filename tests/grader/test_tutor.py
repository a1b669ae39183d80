"""`kata tutor`: its tools help, and none quotes a line of a solution. Of every kata
with `ALL_KATAS=1`, nightly.
"""

import ast
import asyncio
import io
import itertools
import json
import os
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from grader.course import hint_file
from grader.course.catalogue import ROOT, Kata, all_katas, find, with_prerequisites
from grader.errors import KataError
from grader.learner import workspace
from grader.tutor.server import INSTRUCTIONS
from grader.tutor.tools import Tutor
from tests.conftest import KATA
from workshop import variants

LEAST = 6  # tokens of a line that could only come from a solution
TOKEN = re.compile(r"\d+\.\d+|\w+|[^\w\s]")
# first line, which PyTorch's error asks for
EVERY_MODULES = (" super ( ) . __init__ ( ) ", " super ( ) . __init__ ( ")
LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
KATAS = all_katas() if os.environ.get("ALL_KATAS") else [find("15")]


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tutor") / "room"
    workspace.start(folder, None, print)
    return folder


def normal(text: str) -> str:
    return f" {' '.join(TOKEN.findall(text))} "


def lines_of(text: str) -> Iterator[str]:
    """The lines of code, without docstrings and comments, that are long enough."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings.update(
                range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
            )
    found = defaultdict[int, list[str]](list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT and token.start[0] not in docstrings:
            found[token.start[0]] += TOKEN.findall(token.string)
    yield from (f" {' '.join(line)} " for line in found.values() if len(line) >= LEAST)


def solution_lines(kata: Kata) -> set[str]:
    """The lines of every solution of a kata and of those that it builds on."""
    files = [
        file
        for one in with_prerequisites([kata])
        for file in (one.reference, one.textbook, *one.accepted)
    ]
    return {
        line
        for file in files
        if file.is_file()
        for line in lines_of(file.read_text(encoding="utf-8"))
    }


def mistaken(kata: Kata) -> str:
    """The reference with every mistake that finds its place."""
    text = kata.reference.read_text(encoding="utf-8")
    for one in variants.mistakes(kata):
        if text.count(one.was) == 1:
            text = text.replace(one.was, one.now)
    return text


def quoting(stub: str, kata: Kata) -> str:
    """The stub with functions that print the lines of solutions, and one after the
    other raise and return them.
    """
    lines = [
        line
        for one in with_prerequisites([kata])
        for line in one.reference.read_text("utf-8").splitlines()
    ]
    long = "\n".join(
        line
        for line in lines
        if len(re.findall(r"\w+", line)) >= 5 and line not in stub
    )
    hidden = f"\n\nLINES = bytes.fromhex('{long.encode().hex()}').decode()\n"
    start, *rest = stub.split("raise NotImplementedError")
    ways = itertools.cycle(
        ("print(LINES); raise ValueError(LINES)", "print(LINES); return LINES")
    )
    return start + "".join(next(ways) + part for part in rest) + hidden


def answers(kata: Kata, version: str) -> Iterator[tuple[str, str]]:
    """Every tool's answer about every exercise."""
    tutor = Tutor(kata.root)
    calls = [(tutor.lesson, ()), (tutor.verdict, ())]
    for one in kata.exercises:
        calls += [(tutor.exercise, (one.name,)), (tutor.failure, (one.name,))]
        if version == "stub":
            calls += [(tutor.hint, (one.name,))] * (
                len(hint_file.of(kata, one.name)) + 1
            )
        else:
            calls.append((tutor.trace, (one.name,)))
    for tool, given in calls:
        try:
            yield f"{tool.__name__} {' '.join(given)}", tool(kata.number, *given)
        except KataError as error:
            yield f"{tool.__name__} {' '.join(given)}", str(error)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.name)
def test_no_answer_holds_a_line_of_a_solution(kata, room):
    """But for those that the learner's own file, the stub and the lesson hold."""
    own = Kata(room, kata.name)
    stub, lines = own.code.read_text(encoding="utf-8"), solution_lines(kata)
    assert lines
    lesson = "\n".join(
        (own.folder / name).read_text(encoding="utf-8")
        for name in ("README.md", "lesson.py")
    )
    texts = {
        "stub": stub,
        "blank": stub.replace("raise NotImplementedError", "return None"),
        "mistaken": mistaken(kata),
        "textbook": kata.textbook.read_text(encoding="utf-8"),
        "quoting": quoting(stub, kata),
    }
    leaks = []
    for version, text in texts.items():
        own.code.write_text(text, encoding="utf-8")
        known = normal(f"{text}\n{stub}\n{lesson}")
        secret = {
            line for line in lines if line not in known and line not in EVERY_MODULES
        }
        for call, answer in answers(own, version):
            leaks += [
                f"{version}: {call}:{line}" for line in secret if line in normal(answer)
            ]
    own.code.write_text(stub, encoding="utf-8")
    assert leaks == []


def configured(room: Path) -> StdioServerParameters:
    """How docs/tutor.md has each client start the server, in this room."""
    page = (ROOT / "docs/tutor.md").read_text(encoding="utf-8")
    blocks = map(
        json.loads, re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    )
    one, other = [
        (block.get("mcpServers") or block["servers"])["katas"] for block in blocks
    ]
    assert other == {"type": "stdio", **one}
    [option, line] = one["args"]
    line = line.replace("/home/me/my-katas", str(room)).replace(
        "/home/me/kata-env/bin/kata", KATA
    )
    return StdioServerParameters(command=one["command"], args=[option, line])


def test_an_assistant_gets_hints_in_order_and_no_word_of_a_solution(room):
    kata = Kata(room, find("15").name)
    hints = hint_file.of(kata, "causal_mask")
    (room / ".kata/hints.json").unlink(missing_ok=True)  # of the test before

    async def session() -> list[str]:
        found = []
        async with Client(stdio_client(configured(room))) as client:
            found.append(
                ", ".join(tool.name for tool in (await client.list_tools()).tools)
            )
            found.append(
                (await client.read_resource("kata://instructions")).contents[0].text
            )
            for tool, given in [
                *[("hint", {"kata": "15", "exercise": "causal_mask"})]
                * (len(hints) + 1),
                ("verdict", {"kata": "15"}),
                ("glossary", {"term": "causal mask"}),
                ("lesson", {"kata": "99"}),
            ]:
                answer = await client.call_tool(tool, given)
                found.append(
                    f"{'error: ' * bool(answer.is_error)}{answer.content[0].text}"
                )
        return found

    tools, instructions, *answers = asyncio.run(session())
    assert tools == "lesson, exercise, verdict, failure, hint, trace, glossary"
    assert instructions == INSTRUCTIONS
    for number, (answer, text) in enumerate(zip(answers, hints), 1):
        assert answer == f"causal_mask, hint {number} of {len(hints)}: {text}"
    spent, verdict, term, lost = answers[len(hints) :]
    assert (
        spent.startswith(f"causal_mask: all {len(hints)} hints were given")
        and "solution" not in spent
    )
    assert json.loads((room / ".kata/hints.json").read_text()) == {
        f"{kata.name} causal_mask": len(hints)
    }
    assert verdict.endswith("not started") and term.startswith("**causal mask**")
    assert lost.startswith("error: ") and "99" in lost
