"""Small changes of a kata's textbook solution, each with what it is in a learner's words.

They stand for the slips that no mistake of the kata records: its signatures hold what each looks like to the specs.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from workshop import mutation, operators
from workshop.mutation import Mutant
from workshop.operators import SYMBOLS, Edit, Source

# What an edit of `operators` is called there, and in a learner's words: others, where stub and lesson lack a name in
# them, since learners can read the record. What stands for none is not tried.
WORDS = [
    (r"dropped \.?(\w+)\(\)", r"without `\1`", "a call left out"),
    (r"dropped (?:dim|axis)=|dim -?\d → -?\d", "another dimension than the right one"),
    (r"dropped dim -?\d", "one of several dimensions left out"),
    (r"dropped (\w+)=", r"without `\1=`", "an argument left out"),
    (r"dropped \.(\w+)", r"without `.\1`", "an attribute left out"),
    (r"(\w+) → (\w+)", r"`\2` in place of `\1`", "another function or type than the right one"),
    (r"dropped bound .*", "a slice without one of its ends"),
    (r"in → not in|not in → in", "a condition or mask the wrong way round"),
    (r"[-+]=", "added where it is to be subtracted, or the other way round"),
    (r"[*/]=", "multiplied where it is to be divided, or the other way round"),
    (r"plain =", "assigned, where values add up"),
    (r"swapped product", "the factors of a product exchanged"),
    (r"no mask", "without the mask"),
    (r"flipped training", "training and evaluation exchanged"),
]
SIGN = "a term left out or with the wrong sign"
OPPOSITE = {
    ast.Add: ("-", SIGN),
    ast.Sub: ("+", SIGN),
    ast.Mult: ("/", "divided where it is to be multiplied"),
    ast.Div: ("*", "multiplied where it is to be divided"),
}
COMPARISONS = {ast.Lt: "< <= >=", ast.LtE: "<= < >", ast.Gt: "> >= <=", ast.GtE: ">= > <"}  # as is, one off, turned
EQUALITIES = {ast.Eq: "== !=", ast.NotEq: "!= =="}
ONE_OFF, TURNED = "a bound that is one off", "a condition or mask the wrong way round"
MOST = 24  # of an exercise, evenly from its first line to its last
REDUCES = {"sum", "mean", "amax", "amin", "std", "var", "norm", "argmax"}


def changes(kata: Kata) -> list[tuple[str, Exercise, str]]:
    """What each change is in words, the exercise that it is in, and the file's text with it."""
    page = kata.folder / "README.md"
    if not (kata.textbook.is_file() and page.is_file()):  # which other promises say
        return []
    source = Source(kata.textbook.read_text(encoding="utf-8"))
    stub = stubs.stub_of(kata) or ""
    public = {*re.findall(r"\w+", stub + page.read_text(encoding="utf-8"))}
    named = [(_words(edit.operator, public), edit) for edit in operators.edits(source)]
    named += [pair for node in ast.walk(source.tree) for pair in _more(source, node)]
    edits = [replace(edit, operator=words) for words, edit in named if words]
    mutants = [(one, {one.definition, _method(source, one)}) for one in mutation.generate(source, edits, stub)]
    found = []
    for exercise in kata.exercises:
        own = [mutant for mutant, names in mutants if exercise.name in names]
        found += [(mutant.operator, exercise, mutant.source) for mutant in own[:: 1 + len(own) // MOST]]
    return found


def _method(source: Source, mutant: Mutant) -> str:
    """The method that a mutant changes: "Tensor.sum"."""
    names = [
        f"{owner.name}.{node.name}"
        for owner in source.tree.body
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= (node.end_lineno or 0)
    ]
    return names[0] if names else ""


def _words(operator: str, public: set[str]) -> str:
    for pattern, words, *others in WORDS:
        if match := re.fullmatch(pattern, operator):
            return match.expand(words if public.issuperset(match.groups()) else others[0])
    return ""


def _more(source: Source, node: ast.AST) -> Iterator[tuple[str, Edit]]:
    """Edits that `operators` leaves to a general engine: another sign, a bound one off, a dimension kept."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPPOSITE:
            now, words = OPPOSITE[type(op)]
            yield words, _between(source, left, right, SYMBOLS[type(op)], now)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            was, near, turned = COMPARISONS[type(op)].split()
            yield ONE_OFF, _between(source, left, right, was, near)
            yield TURNED, _between(source, left, right, was, turned)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in EQUALITIES:
            yield TURNED, _between(source, left, right, *EQUALITIES[type(op)].split())
        case ast.UnaryOp(op=ast.Invert() | ast.Not(), operand=operand):
            yield TURNED, source.replaced("", node, source.operand(operand))
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "a sign flipped", source.replaced("", node, source.operand(operand))
        case ast.Call(func=ast.Name(id="range"), args=bounds):
            yield from _one_off(source, bounds[:2])
        case ast.Slice(lower=lower, upper=upper):
            yield from _one_off(source, filter(None, (lower, upper)))
        case ast.keyword(arg="keepdim" | "keepdims", value=ast.Constant(value=bool(value)) as given):
            yield "a dimension lost that is to stay", source.replaced("", given, str(not value))
        case ast.Call(func=ast.Attribute(attr=name), args=args, keywords=keywords) if name in REDUCES:
            if (args or keywords) and not {one.arg for one in keywords} & {"keepdim", "keepdims"}:
                yield (
                    "a dimension kept that is to go",
                    Edit("", source.end(node) - 1, source.end(node), ", keepdim=True)"),
                )


def _one_off(source: Source, bounds: Iterator[ast.expr] | list[ast.expr]) -> Iterator[tuple[str, Edit]]:
    for bound in bounds:
        for step in (" + 1", " - 1"):
            yield ONE_OFF, source.replaced("", bound, source.operand(bound) + step)


def _between(source: Source, left: ast.expr, right: ast.expr, was: str, now: str) -> Edit:
    """Replace the symbol between two operands."""
    start, end = source.end(left), source.start(right)
    return Edit("", start, end, source.text(start, end).replace(was, now, 1))
