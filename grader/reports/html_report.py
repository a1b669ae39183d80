"""Renders one student's report as a single HTML page: no scripts, no external files."""

import io
import re
from html import escape

from grader.reports import page, students_view, words
from grader.results import NOT_HANDED_IN, ExerciseResult, KataResult, Report, number

PLACE = re.compile(r"^(\w+\.py):([1-9]\d{0,6})\b", re.MULTILINE)  # what starts where a failure is
AROUND, LONGEST_LINE = 2, 300  # lines shown before and after that one, and characters of each


def render(report: Report) -> str:
    """One student's page: the totals, the files that cannot be run, and what is open in each exercise."""
    report = students_view.of(report)
    sections = [_kata(kata, report) for kata in report.katas]
    state = f" · {escape(words.gap(report))}" if report.not_graded else ""
    heading = words.totals(report)
    timed = [(katas, " · ".join(filter(None, said))) for katas, *said in words.hand_ins(report)]
    handed_in = "".join(f"<br>{escape(katas)}: {escape(said)}" for katas, said in timed)
    head = f"<h1>{heading}</h1><p class='dim'>{escape(report.code)}{state}{handed_in}</p>"
    problems = "".join(
        _problem(kata, report) for kata in report.katas if kata.why_no_code and kata.state != NOT_HANDED_IN
    )
    bar = page.bar(report.score, report.max_score)
    return page.page(heading, head + bar + problems + "".join(sections))


def _problem(kata: KataResult, report: Report) -> str:
    """The reason why no spec of a kata was run, with the line of the code."""
    name = f"{escape(kata.kata)}: {kata.state}"
    place = _place(kata.kata, kata.why_no_code, report.files)
    return f"<div class='problem'><h2>{name}</h2><p>{escape(kata.why_no_code)}</p>{place}</div>"


def _kata(kata: KataResult, report: Report) -> str:
    note = f"<p class='dim notes'>{escape(kata.message)}</p>" if kata.message else ""
    state = f"<span class='{kata.status.replace(' ', '')}'>{words.state(kata)}</span>"
    rows = "".join(_exercise(kata.kata, exercise, report) for exercise in kata.exercises)
    sums = f"{words.points(kata)}/{kata.max_points} points · {words.stars(kata)}/{kata.max_points} stars"
    if report.weighted:
        sums += f" · score {words.score(kata)}/{number(kata.max_score)}"
    return f"<h2>{escape(kata.kata)} · {sums} · {state}</h2>{note}{rows}"


def _exercise(kata: str, exercise: ExerciseResult, report: Report) -> str:
    """One line. Below it stand the first failure, its place in the code and where to read on; open edges are folded."""
    kind = "stretch" if exercise.stretch else "core"
    worth = f" <span class='dim'>score {words.score(exercise)}/{number(exercise.worth)}</span>"
    score = worth if report.weighted else ""
    state = (
        f"<span class='dim'>{kind}</span> <span class='{_colour(exercise)}'>{escape(words.verdict(exercise))}</span>"
    )
    points = f"{words.points(exercise)}/1"
    line = f"{points} {words.star(exercise)} <code>{escape(exercise.name)}</code> {state}{score}"
    failures = [exercise.first_failure] if exercise.first_failure else list(exercise.named_edges)
    if not failures or exercise.not_written or exercise.file_state:
        return f"<div class='row'>{line}</div>"
    if exercise.pending:
        text = words.details(exercise)
    else:
        text = "\n\n".join(map(words.failed, failures))
    found = failures[0].failure
    place = _place(kata, (found.place or found.line) if found else "", report.files)
    read_on = "" if exercise.not_graded else _read_on(kata, exercise)
    unfolded = " open" if exercise.not_graded or exercise.first_failure else ""
    return f"<details{unfolded}><summary>{line}</summary><pre>{escape(text)}</pre>{place}{read_on}</details>"


def _place(kata: str, place: str, files: dict[str, str]) -> str:
    """The line of the submitted file that a failure is at, between the lines around it; empty if it names none."""
    for name, number_ in PLACE.findall(place):
        lines = io.StringIO(files.get(f"{kata}/{name}", ""), newline=None).readlines()
        at = int(number_)
        if at <= len(lines):
            shown = range(max(1, at - AROUND), min(len(lines), at + AROUND) + 1)
            rows = [f"{'→' if n == at else ' '} {n:>4}  {_printable(lines[n - 1])}".rstrip() for n in shown]
            return f"<p>line {at} of <code>{escape(name)}</code></p><pre>{escape(chr(10).join(rows))}</pre>"
    return ""


def _printable(line: str) -> str:
    shown = line.rstrip("\n")[:LONGEST_LINE].expandtabs()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


def _read_on(kata: str, exercise: ExerciseResult) -> str:
    """The lesson's path, and the command for a hint."""
    lesson, hint = escape(f"katas/{kata}/README.md"), escape(f"kata hint {words.kata_number(kata)} {exercise.name}")
    return f"<p>lesson <code>{lesson}</code> · hint <code>{hint}</code></p>"


def _colour(exercise: ExerciseResult) -> str:
    """The CSS class of an exercise's verdict."""
    if exercise.pending:
        return "unconfirmed" if exercise.unconfirmed else "notgraded"
    if exercise.works:
        return "passed"
    return "notstarted" if exercise.not_written else "failed"
