"""Runs the snippets of a lesson: `kata snippets 16` writes what they print below
each statement.
"""

import ast
import contextlib
import io
import linecache
import math
import re
import traceback

import torch

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.lesson_code import BLOCK, misplaced_folds, statements, without_output
from grader.errors import NotPossible
from workshop import bites

# its decimals, and its power of ten
NUMBER = re.compile(r"-?\d+(?:\.(\d*))?(?:e([+-]?\d+))?")
# by how much a number may differ, in relation to itself and to the largest one
# beside it
FAIRLY, BESIDE = 1e-4, 1e-6
ROUNDED = 3  # decimals from which on the last one may have been rounded the other way
FEWEST, MOST, LONGEST = 3, 6, 21  # snippets in a lesson, and lines of code in one
TELLING = 2  # operations in an expression that says how an exercise is done
FOLD = (
    "a folded answer stands directly below its snippet, in the form of "
    "docs/authoring.md"
)
CUSTOMARY = ("super().__init__()",)  # in every module


def run(page: str, namespace: dict[str, object]) -> list[tuple[int, str, str]]:
    """Run all snippets in one namespace. The line of each statement, what the lesson
    says it prints, and what it does.

    What a statement raises is what it prints: its traceback's last line.
    """
    found = []
    namespace["__name__"] = "__main__"
    torch.manual_seed(0)
    for statement in statements(page):
        said = io.StringIO()
        place = f"snippet, line {statement.line}"
        lines = statement.text.splitlines(keepends=True)
        linecache.cache[place] = 0, None, lines, place  # where Triton reads a kernel
        with contextlib.redirect_stdout(said):
            try:
                exec(compile(statement.text, place, "exec"), namespace)
            except Exception as error:
                said.write("raised " + traceback.format_exception_only(error)[-1])
        printed = "\n".join(
            line.rstrip() for line in said.getvalue().rstrip("\n").splitlines()
        )
        found.append((statement.line, statement.output, printed))
    return found


def wrong_outputs(page: str) -> list[str]:
    """The statements that print something else than the lesson says, to four digits,
    and claims that are untrue.
    """
    namespace: dict[str, object] = {}
    return [
        (
            f"README.md:{line}: prints {printed!r}, and not {output!r}: kata snippets "
            "writes what it prints"
        )
        for line, output, printed in run(page, namespace)
        if not alike(output, printed)
    ] + [f"README.md:{line}: {said}" for line, said in bites.untrue(page, namespace)]


def sizes(page: str) -> list[str]:
    """The faults in the number of snippets and in their lengths."""
    snippets = [without_output(block[1]).splitlines() for block in BLOCK.finditer(page)]
    problems = (
        []
        if FEWEST <= len(snippets) <= MOST
        else [f"{len(snippets)} snippets, {FEWEST} to {MOST} are wanted"]
    )
    return problems + [
        f"the snippet {s[0]!r} has {len(s)} lines of code"
        for s in snippets
        if len(s) > LONGEST
    ]


def given_away(page: str, textbook: str, stub: str = "") -> list[str]:
    """The expressions of snippets that solve an exercise, as the textbook solution does
    but for names of variables.

    What the stub shows is no secret.
    """
    solutions = {_shape(node) for node in _answers(ast.parse(textbook))}
    solutions -= {_shape(node) for node in _answers(ast.parse(stub))}
    code = "\n".join(without_output(block[1]) for block in BLOCK.finditer(page))
    return [
        f"a snippet gives away `{ast.unparse(n)}`"
        for n in _answers(ast.parse(code))
        if _shape(n) in solutions
    ]


def with_outputs(page: str, found: list[tuple[int, str, str]]) -> str:
    """The page with what each statement printed in this run written below it."""
    lines = page.splitlines()
    for (_, _, printed), statement in reversed(
        list(zip(found, statements(page), strict=True))
    ):
        shown = [(statement.prefix + text).rstrip() for text in printed.splitlines()]
        lines[statement.output_at - 1 : statement.output_end - 1] = shown
    return "\n".join(lines) + "\n"


def alike(expected: str, printed: str) -> bool:
    """True if the words are the same and the numbers nearly, in whatever form, as
    another processor may print them.

    Integers are the same. Any other number differs by one in the last of three or more
    decimals, or by little.
    """
    lines = expected.splitlines(), printed.splitlines()
    # a tensor in another form has fewer columns, or more
    if len(lines[0]) != len(lines[1]):
        return _alike_together(expected, printed)
    return all(map(_alike_together, *lines))


def _alike_together(*texts: str) -> bool:
    words = ["".join(NUMBER.sub("0", text).split()) for text in texts]
    numbers = [list(NUMBER.finditer(text)) for text in texts]
    if words[0] != words[1]:
        return False
    pairs = list(zip(*numbers, strict=True))
    largest = max(
        (abs(float(one[0])) for one in numbers[0] if not _is_integer(one)), default=0.0
    )
    return all(_near(one, other, BESIDE * largest) for one, other in pairs)


def _near(one: re.Match[str], other: re.Match[str], noise: float) -> bool:
    if _is_integer(one) and _is_integer(other):
        return one[0] == other[0]
    allowed = max(noise, _last_place(one), _last_place(other))
    return math.isclose(float(one[0]), float(other[0]), rel_tol=FAIRLY, abs_tol=allowed)


def _is_integer(number: re.Match[str]) -> bool:
    return number[1] is None and number[2] is None


def _last_place(number: re.Match[str]) -> float:
    """The value of one in the last decimal, and a trifle for the rounding of
    the difference.
    """
    decimals = len(number[1] or "")
    return (
        1.001 * 10.0 ** (int(number[2] or 0) - decimals) if decimals >= ROUNDED else 0.0
    )


def _answers(tree: ast.AST) -> list[ast.expr]:
    """The expressions that are returned, assigned or evaluated and say how something
    is done.
    """
    values = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Return, ast.Assign, ast.AugAssign, ast.Expr))
        and node.value is not None
    ]
    values += [
        argument
        for value in values
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "print"
        for argument in value.args
    ]
    operations = (ast.Call, ast.BinOp, ast.Compare, ast.Subscript)
    return [
        value
        for value in values
        if sum(isinstance(node, operations) for node in ast.walk(value)) >= TELLING
        and ast.unparse(value) not in CUSTOMARY
    ]


def _shape(node: ast.expr) -> str:
    """The expression with every variable called the same."""
    copy = ast.parse(ast.unparse(node), mode="eval")
    for part in ast.walk(copy):
        if isinstance(part, ast.Name) and part.id not in (
            "torch",
            "F",
            "nn",
            "np",
            "math",
            "print",
        ):
            part.id = "_"
    return ast.unparse(copy)


def problems(kata: Kata) -> list[str]:
    """The faults in the snippets of this kata's lesson."""
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    textbook = kata.textbook
    solution = textbook.read_text(encoding="utf-8") if textbook.is_file() else ""
    try:
        given = given_away(page, solution, stubs.stub_of(kata) or "")
        folds = [f"README.md:{line}: {FOLD}" for line in misplaced_folds(page)]
        return [f"README.md: {said}" for said in given] + folds + wrong_outputs(page)
    except SyntaxError as error:
        return [f"README.md: a snippet does not parse: {error.msg}: {error.text}"]


def write(kata: Kata) -> list[str]:
    """Write what the lesson's snippets print below them. Returns what is wrong with
    them then.

    Raises:
        NotPossible: a snippet raises, and the lesson does not show that. Nothing
            is written.
    """
    readme = kata.folder / "README.md"
    page = readme.read_text(encoding="utf-8")
    found = run(page, {})
    raised = [
        (line, said)
        for line, shown, said in found
        if "raised " in said and "raised " not in shown
    ]
    if raised:
        line, said = raised[0]
        raise NotPossible(
            f"katas/{kata.name}/README.md:{line}: the snippet {said}; nothing was "
            "written"
        )
    readme.write_text(with_outputs(page, found), encoding="utf-8")
    return problems(kata)
