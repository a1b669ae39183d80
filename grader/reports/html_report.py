"""Renders one student's report, or that of a class, as a single HTML page: no scripts, no external files."""

from collections import Counter, defaultdict
from html import escape
from statistics import median

from grader.reports import words
from grader.results import ClassReport, ExerciseResult, KataResult, Report, number, title

STYLE = """
:root{color-scheme:light dark;
 --line:#d0d7de;--soft:#f6f8fa;--dim:#59636e;--good:#1a7f37;--bad:#b42318;--ink:#1f2328;--paper:#fff}
@media(prefers-color-scheme:dark){:root{
 --line:#3d444d;--soft:#151b23;--dim:#9198a1;--good:#3fb950;--bad:#ff7b72;--ink:#e6edf3;--paper:#0d1117}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
 margin:0 auto;max-width:1200px;padding:1.5rem 1rem}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.15rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.25rem 0 1rem}
.dim{color:var(--dim)}
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
details,.row{border-bottom:1px solid var(--line);padding:.3rem 0}
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
LEGEND = "points per kata: – not started, ! the code ended its process, ? not graded"
HARDEST, MOST_COMMON, SLOWEST = 10, 10, 10  # rows shown


def render(report: Report) -> str:
    """One student's page: the totals, and what is open in each exercise."""
    sections = [_kata(kata, report.weighted) for kata in report.katas]
    state = f" · {escape(words.gap(report))}" if report.not_graded else ""
    heading = words.totals(report)
    head = f"<h1>{heading}</h1><p class='dim'>{escape(report.code)} · {report.started}{state}</p>"
    return _page(heading, head + _bar(report.score, report.max_score) + "".join(sections))


def render_class(report: ClassReport) -> str:
    """The page of a class: points per student and kata, hardest exercises, most common failures, slowest katas."""
    students = report.students
    weighted = any(one.weighted for one in students.values())
    most = max((one.max_score for one in students.values()), default=0)
    middle = median([one.score for one in students.values() if not one.not_graded] or [0])
    typical = f"{number(middle)} of {number(most)}"
    lost = sum(one.not_graded for one in students.values())
    state = "" if report.complete else f" · incomplete: {lost} students were not graded"
    heading = f"{len(students)} students"
    head = (
        f"<h1>{heading}</h1><p class='dim'>{report.started} · graded in {report.seconds:.0f} s{state}<br>"
        f"median {f'score {typical}' if weighted else f'{typical} points'}</p>"
    )
    parts = [_matrix(students, weighted), _hardest(students), _common(students), _slowest(students)]
    return _page(heading, head + "".join(parts))


def _kata(kata: KataResult, weighted: bool) -> str:
    note = f"<p class='dim'>{escape(kata.message)}</p>" if kata.message else ""
    state = f"<span class='{kata.status.replace(' ', '')}'>{kata.status}</span>"
    rows = "".join(_exercise(kata.kata, exercise, weighted) for exercise in kata.exercises)
    sums = f"{words.points(kata)}/{kata.max_points} points · {words.stars(kata)}/{kata.max_points} stars"
    if weighted:
        sums += f" · score {words.score(kata)}/{number(kata.max_score)}"
    return f"<h2>{escape(kata.kata)} · {sums} · {state}</h2>{note}{rows}"


def _exercise(kata: str, exercise: ExerciseResult, weighted: bool) -> str:
    """One line. Below it stands the first failure, with where to read on; open edges are folded."""
    kind = "stretch" if exercise.stretch else "core"
    score = f" <span class='dim'>{words.score(exercise)}/{number(exercise.worth)}</span>" if weighted else ""
    state = (
        f"<span class='dim'>{kind}</span> <span class='{_colour(exercise)}'>{escape(words.verdict(exercise))}</span>"
    )
    points = f"{words.points(exercise)}/1"
    line = f"{points} {words.star(exercise)} <code>{escape(exercise.name)}</code> {state}{score}"
    failures = [exercise.first_failure] if exercise.first_failure else list(exercise.open_edges)
    if not failures or exercise.not_written:
        return f"<div class='row'>{line}</div>"
    if exercise.not_graded:
        text = words.details(exercise)
    else:
        text = "\n\n".join(f"{title(f.name)}\n\n{words.with_printed(f.message, f.printed)}" for f in failures)
    read_on = "" if exercise.not_graded else _read_on(kata, exercise)
    unfolded = "" if exercise.works and not exercise.not_graded else " open"
    return f"<details{unfolded}><summary>{line}</summary><pre>{escape(text)}</pre>{read_on}</details>"


def _read_on(kata: str, exercise: ExerciseResult) -> str:
    """Where the lesson is, and the command for a hint."""
    lesson, hint = escape(f"katas/{kata}/README.md"), escape(f"kata hint {_number(kata)} {exercise.name}")
    return f"<p>lesson <code>{lesson}</code> · hint <code>{hint}</code></p>"


def _colour(exercise: ExerciseResult) -> str:
    """The CSS class of an exercise's verdict."""
    if exercise.not_graded:
        return "notgraded"
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


def _matrix(students: dict[str, Report], weighted: bool) -> str:
    katas = list(dict.fromkeys(kata.kata for report in students.values() for kata in report.katas))
    heads = "".join(f"<th scope='col' class='cell' title='{escape(k)}'>{escape(_short(k))}</th>" for k in katas)
    rows = []
    for student, report in students.items():
        by_name = {kata.kata: kata for kata in report.katas}
        cells = "".join(_cell(by_name.get(name)) for name in katas)
        sums = [str(report.points), str(report.stars), *([number(report.score)] if weighted else [])]
        if report.not_graded:
            sums = [words.UNKNOWN] * len(sums)
        amounts = "".join(f"<td class='n'>{amount}</td>" for amount in sums)
        rows.append(f"<tr><th scope='row' class='who'>{escape(student)}</th>{amounts}{cells}</tr>")
    titles = ["points", "stars", *(["score"] if weighted else [])]
    sum_heads = "".join(f"<th scope='col' class='n'>{name}</th>" for name in titles)
    all_heads = f"<th scope='col' class='corner'>student</th>{sum_heads}{heads}"
    return f"<h2>Points</h2>{_table(LEGEND, all_heads, ''.join(rows))}"


def _cell(kata: KataResult | None) -> str:
    if kata is None or kata.not_graded:
        why = f"{kata.kata}: {kata.why_not_graded}" if kata else "not graded"
        return f"<td class='cell notgraded' title='{escape(why)}'>{words.UNKNOWN}</td>"
    share = kata.points / kata.max_points if kata.max_points else 0
    shade = "notstarted" if kata.status == "not started" else f"shade{int(share * (SHADES - 1))}"
    text = {"error": f"{kata.points}!", "not started": "–"}.get(kata.status, str(kata.points))
    name = escape(f"{kata.kata}: {kata.points} of {kata.max_points} points, {kata.stars} stars, {kata.status}")
    return f"<td class='cell {shade}' title='{name}'>{text}</td>"


def _number(kata: str) -> str:
    """What a command calls the kata: "16", "papers/13", "appendix_a"."""
    track, slash, name = kata.rpartition("/")
    first, *rest = name.split("_")
    return track + slash + (first if first.isdigit() else "_".join([first, *rest[:1]]))


def _short(kata: str) -> str:
    """The head of the kata's column: "16", "papers/13", "A"."""
    return _number(kata).removeprefix("appendix_").upper() if kata.startswith("appendix_") else _number(kata)


def _hardest(students: dict[str, Report]) -> str:
    begun: Counter[tuple[str, str]] = Counter()
    working: Counter[tuple[str, str]] = Counter()
    for kata, exercise in _exercises(students):
        if not exercise.not_written and not exercise.not_graded:
            begun[kata.kata, exercise.name] += 1
            working[kata.kata, exercise.name] += exercise.works
    hardest = sorted(begun, key=lambda name: (working[name] / begun[name], -begun[name]))[:HARDEST]
    rows = "".join(
        f"<tr><th scope='row'>{escape(kata)} · <code>{escape(name)}</code></th>"
        f"<td class='n'>{working[kata, name]} of {begun[kata, name]}</td>"
        f"<td>{_bar(working[kata, name], begun[kata, name])}</td></tr>"
        for kata, name in hardest
    )
    heads = _heads("exercise", "works", "share")
    return f"<h2>Hardest exercises</h2>{_table('students whose code works, of those who started it', heads, rows)}"


def _common(students: dict[str, Report]) -> str:
    count: Counter[tuple[str, str, str]] = Counter()
    example: dict[tuple[str, str, str], str] = {}
    for kata, exercise in _exercises(students):
        failure = exercise.first_failure
        if failure and not exercise.not_written and not exercise.not_graded:
            name = (kata.kata, exercise.name, title(failure.name))
            count[name] += 1
            example.setdefault(name, failure.message)
    rows = "".join(
        f"<details><summary>{times} × {escape(kata)} · <code>{escape(name)}</code> · {escape(spec)}</summary>"
        f"<pre>{escape(example[kata, name, spec])}</pre></details>"
        for (kata, name, spec), times in count.most_common(MOST_COMMON)
    )
    return f"<h2>Most common failures</h2>{rows or '<p>none</p>'}"


def _slowest(students: dict[str, Report]) -> str:
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in students.values():
        for kata in report.katas:
            seconds[kata.kata] += kata.seconds
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:SLOWEST]
    rows = "".join(f"<tr><th scope='row'>{escape(kata)}</th><td class='n'>{s:.1f} s</td></tr>" for kata, s in slowest)
    about = "seconds of all students together; identical code ran once and counts for each"
    return f"<h2>Time</h2>{_table(about, _heads('kata', 'time'), rows)}"


def _exercises(students: dict[str, Report]) -> list[tuple[KataResult, ExerciseResult]]:
    return [(kata, exercise) for report in students.values() for kata in report.katas for exercise in kata.exercises]
