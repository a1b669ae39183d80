"""Renders one student's report, or that of a class, as a single HTML page: no scripts, no external files."""

import io
import re
from html import escape
from statistics import median

from grader.reports import statistics, students_view, unconfirmed, words
from grader.reports.statistics import Exercise
from grader.results import ClassReport, ExerciseResult, KataResult, Report, number

STYLE = """
:root{color-scheme:light dark;
 --line:#d0d7de;--soft:#f6f8fa;--dim:#59636e;--good:#1a7f37;--bad:#b42318;--open:#8250df;--ink:#1f2328;--paper:#fff}
@media(prefers-color-scheme:dark){:root{
 --line:#3d444d;--soft:#151b23;--dim:#9198a1;--good:#3fb950;--bad:#ff7b72;--open:#bc8cff;--ink:#e6edf3;--paper:#0d1117}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
 margin:0 auto;max-width:1200px;padding:1.5rem 1rem}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.15rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.25rem 0 1rem}
.dim{color:var(--dim)}
.notes{white-space:pre-line}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
caption{text-align:left;color:var(--dim);padding:.3rem 0}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top;font-weight:inherit}
thead th{font-weight:bold}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.corner,.who{position:sticky;left:0;background:var(--paper)}
.who{min-width:6rem;max-width:14rem;overflow-wrap:anywhere}
.cell{text-align:center;font-variant-numeric:tabular-nums;min-width:3rem}
.passed{color:var(--good)}
.failed,.error{color:var(--bad)}
.notstarted,.notgraded{color:var(--dim)}
.unconfirmed{color:var(--open)}
details,.row{border-bottom:1px solid var(--line);padding:.3rem 0}
td details{border:0;padding:0}
td.long{min-width:14rem}
summary{cursor:pointer;overflow-wrap:anywhere}
summary:focus-visible,.wide:focus-visible{outline:2px solid var(--good)}
pre{color:var(--ink);background:var(--soft);border:1px solid var(--line);border-radius:6px;
 padding:.75rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
code{overflow-wrap:anywhere}
.bar{background:var(--soft);border:1px solid var(--line);border-radius:6px;
 height:.8rem;min-width:6rem;overflow:hidden}
.bar i{display:block;border-top:.8rem solid var(--good)}
.shade0{color:#1f2328;background:#f4a582}
.shade1{color:#1f2328;background:#fddbc7}
.shade2{color:#1f2328;background:#f7f7f7}
.shade3{color:#1f2328;background:#d1e5f0}
.shade4{color:#1f2328;background:#92c5de}
"""
SHADES = 5  # from no points to all points, distinguishable with every kind of colour vision
# What stands in the cell of a kata beside its points, or instead of them.
SIGNS = {
    "not graded": "?",
    "not recognised": "??",
    "not handed in": "none",
    "does not parse": "0 ¶",
    "untouched": "–",
    "crashed": "!",
}
LEGEND = (
    "points per kata; – untouched, none: not handed in, ¶ does not parse, ! crashed, ? not graded, ?? not recognised, "
    "2? two so far, others unconfirmed"
)
MISTAKES = 3  # shown of each exercise
PLACE = re.compile(r"^(\w+\.py):([1-9]\d{0,6})\b", re.MULTILINE)  # what starts a line of a failure's message
AROUND, LONGEST_LINE = 2, 300  # lines shown before and after that one, and characters of each


def render(report: Report) -> str:
    """One student's page: the totals, and what is open in each exercise."""
    report = students_view.of(report)
    sections = [_kata(kata, report) for kata in report.katas]
    state = f" · {escape(words.gap(report))}" if report.not_graded else ""
    heading = words.totals(report)
    head = f"<h1>{heading}</h1><p class='dim'>{escape(report.code)} · {report.started}{state}</p>"
    return _page(heading, head + _bar(report.score, report.max_score) + "".join(sections))


def render_class(report: ClassReport) -> str:
    """The page of a class: points per student and kata, its exercises, identical submissions, the time spent."""
    students = report.students
    weighted = any(one.weighted for one in students.values())
    most = max((one.max_score for one in students.values()), default=0)
    middle = median([one.score for one in students.values() if not one.pending] or [0])
    typical = f"{number(middle)} of {number(most)}"
    lost = sum(one.not_graded for one in students.values())
    state = "" if report.complete else f" · incomplete, {words.counted(lost, 'student')} not graded"
    if report.unconfirmed:
        state += f" · {words.counted(len(report.unconfirmed), 'student')} with unconfirmed points"
    heading = words.counted(len(students), "student")
    head = (
        f"<h1>{heading}</h1><p class='dim'>{report.started} · graded in {report.seconds:.0f} s{state}<br>"
        f"median {f'score {typical}' if weighted else f'{typical} points'}</p>"
    )
    parts = [_unconfirmed(report), _overrides(report), _matrix(students, weighted)]
    parts += [_exercises(report), _identical(report), _time(report)]
    return _page(heading, head + "".join(parts))


def _kata(kata: KataResult, report: Report) -> str:
    note = f"<p class='dim notes'>{escape(kata.message)}</p>" if kata.message else ""
    state = f"<span class='{kata.status.replace(' ', '')}'>{kata.status}</span>"
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
    if not failures or exercise.not_written:
        return f"<div class='row'>{line}</div>"
    if exercise.pending:
        text = words.details(exercise)
    else:
        text = "\n\n".join(map(words.failed, failures))
    place = _place(kata, failures[0].message, report.files)
    read_on = "" if exercise.not_graded else _read_on(kata, exercise)
    unfolded = " open" if exercise.not_graded or exercise.first_failure else ""
    return f"<details{unfolded}><summary>{line}</summary><pre>{escape(text)}</pre>{place}{read_on}</details>"


def _place(kata: str, message: str, files: dict[str, str]) -> str:
    """The line of the submitted file that a message names, between the lines around it; empty if it names none."""
    for name, number_ in PLACE.findall(message):
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
    lesson, hint = escape(f"katas/{kata}/README.md"), escape(f"kata hint {_number(kata)} {exercise.name}")
    return f"<p>lesson <code>{lesson}</code> · hint <code>{hint}</code></p>"


def _colour(exercise: ExerciseResult) -> str:
    """The CSS class of an exercise's verdict."""
    if exercise.pending:
        return "unconfirmed" if exercise.unconfirmed else "notgraded"
    if exercise.works:
        return "passed"
    return "notstarted" if exercise.not_written else "failed"


def _page(heading: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>torch katas: {escape(heading)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _bar(points: float, most: float) -> str:
    share = f"{100 * points / most if most else 0:.0f}%"
    return f"<div class='bar' role='img' aria-label='{share}'><i style='width:{share}'></i></div>"


def _table(about: str, heads: str, rows: str) -> str:
    """A table under its caption, which scrolls sideways where it is wide, with the keyboard too."""
    table = f"<table><caption>{about}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class='wide' role='region' aria-label='{about}' tabindex='0'>{table}</div>"


def _heads(*names: str) -> str:
    """Column heads, of which all but the first stand above numbers."""
    first, *others = names
    return f"<th scope='col'>{first}</th>" + "".join(f"<th scope='col' class='n'>{name}</th>" for name in others)


def _unconfirmed(report: ClassReport) -> str:
    """What each lock saw of the points that a teacher has to decide; empty if there are none."""
    rows = "".join(
        f"<tr><th scope='row' class='who'>{escape(student)}</th>"
        f"<td>{escape(kata.kata)} · <code>{escape(exercise.name)}</code></td>"
        f"<td>{escape(unconfirmed.first_lock(exercise))}</td><td class='long'>{_second_lock(exercise)}</td></tr>"
        for student, found in report.unconfirmed.items()
        for kata, exercise in found
    )
    if not rows:
        return ""
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("student", "exercise", "first lock", "second lock"))
    about = "only the first lock confirms these points: look at the code, and settle each with an override"
    return f"<h2>Unconfirmed</h2>{_table(about, heads, rows)}"


def _second_lock(exercise: ExerciseResult) -> str:
    line, text = escape(unconfirmed.second_lock(exercise)), escape(unconfirmed.message(exercise))
    return f"<details><summary>{line}</summary><pre>{text}</pre></details>" if text else line


def _overrides(report: ClassReport) -> str:
    """What a teacher has decided, with the reason; empty if there is nothing."""
    rows = "".join(
        f"<tr><th scope='row' class='who'>{escape(student)}</th>"
        f"<td>{escape(kata.kata)} · <code>{escape(exercise.name)}</code></td>"
        f"<td class='n'>{exercise.points}</td><td class='long'>{escape(exercise.override.reason)}</td></tr>"
        for student, one in report.students.items()
        for kata in one.katas
        for exercise in kata.exercises
        if exercise.override
    )
    if not rows:
        return ""
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("student", "exercise", "points", "reason"))
    return f"<h2>Overrides</h2>{_table('points that a teacher has decided', heads, rows)}"


def _matrix(students: dict[str, Report], weighted: bool) -> str:
    katas = list(dict.fromkeys(kata.kata for report in students.values() for kata in report.katas))
    heads = "".join(f"<th scope='col' class='cell' title='{escape(k)}'>{escape(_short(k))}</th>" for k in katas)
    rows = []
    for student, report in students.items():
        by_name = {kata.kata: kata for kata in report.katas}
        cells = "".join(_cell(by_name.get(name)) for name in katas)
        sums = [str(report.points), str(report.stars), *([number(report.score)] if weighted else [])]
        if report.pending:
            sums = [words.UNKNOWN] * len(sums)
        amounts = "".join(f"<td class='n'>{amount}</td>" for amount in sums)
        rows.append(f"<tr><th scope='row' class='who'>{escape(student)}</th>{amounts}{cells}</tr>")
    titles = ["points", "stars", *(["score"] if weighted else [])]
    sum_heads = "".join(f"<th scope='col' class='n'>{name}</th>" for name in titles)
    all_heads = f"<th scope='col' class='corner'>student</th>{sum_heads}{heads}"
    return f"<h2>Points</h2>{_table(LEGEND, all_heads, ''.join(rows))}"


def _cell(kata: KataResult | None) -> str:
    state = kata.state if kata else "not graded"
    if kata is None or kata.not_graded:
        why = f"{kata.kata}: {kata.why_not_graded}" if kata else "not graded"
        return f"<td class='cell notgraded' title='{escape(why)}'>{SIGNS[state]}</td>"
    if state == "unconfirmed":
        names = escape(f"{kata.kata}: unconfirmed: {', '.join(one.name for one in kata.unconfirmed)}")
        return f"<td class='cell unconfirmed' title='{names}'>{kata.points}?</td>"
    share = kata.points / kata.max_points if kata.max_points else 0
    shade = "notstarted" if state in statistics.ABSENT else f"shade{int(share * (SHADES - 1))}"
    text = f"{kata.points}!" if state == "crashed" else SIGNS.get(state, str(kata.points))
    name = escape(f"{kata.kata}: {kata.points} of {kata.max_points} points, {kata.stars} stars, {state}")
    return f"<td class='cell {shade}' title='{name}'>{text}</td>"


def _number(kata: str) -> str:
    """The kata's name in commands: "16", "papers/13", "appendix_a"."""
    track, slash, name = kata.rpartition("/")
    first, *rest = name.split("_")
    return track + slash + (first if first.isdigit() else "_".join([first, *rest[:1]]))


def _short(kata: str) -> str:
    """The head of the kata's column: "16", "papers/13", "A"."""
    return _number(kata).removeprefix("appendix_").upper() if kata.startswith("appendix_") else _number(kata)


def _exercises(report: ClassReport) -> str:
    """One row per exercise. The spec that fails most often unfolds to what it asks for."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(one.kata)} · <code>{escape(one.name)}</code></th>"
        f"<td class='n'>{one.works} of {one.handed_in}</td><td>{_bar(one.works, one.handed_in)}</td>"
        f"<td class='long'>{_most_failed(one)}</td><td class='long'>{_mistakes(one)}</td>"
        f"<td>{escape(_seal(one))}</td></tr>"
        for one in statistics.exercises(report)
    )
    names = ("exercise", "works", "share", "spec that fails most", "looks like", "points")
    heads = "".join(f"<th scope='col'>{name}</th>" for name in names)
    about = "students whose code works, of those who handed the kata in; how many fail a spec first, and how"
    return f"<h2>Exercises, the hardest first</h2>{_table(about, heads, rows)}"


def _most_failed(one: Exercise) -> str:
    if not one.failed:
        return ""
    [(name, times)] = one.failed.most_common(1)
    line, sentence = f"{times} × {escape(name)}", escape(one.sentences[name])
    return f"<details><summary>{line}</summary>{sentence}</details>" if sentence else line


def _mistakes(one: Exercise) -> str:
    return "<br>".join(f"{times} × {escape(mistake)}" for mistake, times in one.mistakes.most_common(MISTAKES))


def _seal(one: Exercise) -> str:
    """ "sealed, but for 2 of 9 specs": of the kinds of point that students have, the most frequent one."""
    return next((seal for seal, _ in one.seals.most_common(1)), "")


def _identical(report: ClassReport) -> str:
    """The groups of students whose file of a kata has the same text."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(kata)}</th><td class='n'>{len(students)}</td>"
        f"<td class='long'>{escape(', '.join(students))}</td></tr>"
        for kata, students in statistics.identical(report)
    )
    if not rows:
        return "<h2>Identical submissions</h2><p>none</p>"
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("kata", "students", "who"))
    return f"<h2>Identical submissions</h2>{_table('the same text, of a kata that was begun', heads, rows)}"


def _time(report: ClassReport) -> str:
    spent = statistics.seconds(report)
    rows = "".join(
        f"<tr><th scope='row'>{escape(kata)}</th><td class='n'>{number(took / 60)} min</td></tr>"
        for kata, took in spent.items()
    )
    about = f"{number(sum(spent.values()) / 60)} min of computing; identical code ran once and counts once"
    return f"<h2>Time</h2>{_table(about, _heads('kata', 'time'), rows)}"
