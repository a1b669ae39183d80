"""Renders one student's report, or that of a class, as a single HTML page without external files."""

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
h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.25rem 0 1rem}
.dim{color:var(--dim)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th.corner,td.who{position:sticky;left:0;background:var(--paper)}
td.who{min-width:6rem;max-width:14rem;overflow-wrap:anywhere}
.cell{text-align:center;font-variant-numeric:tabular-nums;min-width:3rem;color:#1f2328}
.passed{color:var(--good)}
.failed,.error{color:var(--bad)}
.notstarted,.notgraded{color:var(--dim)}
details,.row{border-bottom:1px solid var(--line);padding:.3rem 0}
summary{cursor:pointer;overflow-wrap:anywhere}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;
 padding:.75rem;overflow-x:auto;font-size:.85rem}
.bar{background:var(--soft);border:1px solid var(--line);border-radius:6px;
 height:.8rem;min-width:6rem;overflow:hidden}
.bar i{display:block;height:100%;background:#0072b2}
"""
# Cell colours from no points to all points, distinguishable with every kind of colour vision.
SHADES = ("#f4a582", "#fddbc7", "#f7f7f7", "#d1e5f0", "#92c5de")
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
    state = "" if report.complete else " · interrupted, the rest was not graded"
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
    rows = "".join(_exercise(exercise, weighted) for exercise in kata.exercises)
    sums = f"{words.points(kata)}/{kata.max_points} points · {words.stars(kata)}/{kata.max_points} stars"
    if weighted:
        sums += f" · score {words.score(kata)}/{number(kata.max_score)}"
    return f"<h2>{escape(kata.kata)} · {sums} · {state}</h2>{note}{rows}"


def _exercise(exercise: ExerciseResult, weighted: bool) -> str:
    """One line, which unfolds to the first failure, or to the open edges."""
    kind = "stretch" if exercise.stretch else "core"
    score = f" <span class='dim'>{words.score(exercise)}/{number(exercise.worth)}</span>" if weighted else ""
    state = (
        f"<span class='dim'>{kind}</span> <span class='{_colour(exercise)}'>{escape(words.verdict(exercise))}</span>"
    )
    line = f"{words.star(exercise)} <code>{escape(exercise.name)}</code> {state}{score}"
    failures = [exercise.first_failure] if exercise.first_failure else list(exercise.open_edges)
    if not failures or exercise.not_written:
        return f"<div class='row'>{line}</div>"
    if exercise.not_graded:
        text = words.details(exercise)
    else:
        text = "\n\n".join(f"{title(f.name)}\n\n{words.with_printed(f.message, f.printed)}" for f in failures)
    return f"<details><summary>{line}</summary><pre>{escape(text)}</pre></details>"


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
        f"<title>torch katas: {escape(heading)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _bar(points: float, most: float) -> str:
    return f"<div class='bar'><i style='width:{100 * points / most if most else 0:.0f}%'></i></div>"


def _matrix(students: dict[str, Report], weighted: bool) -> str:
    katas = list(dict.fromkeys(kata.kata for report in students.values() for kata in report.katas))
    heads = "".join(f"<th class='cell' title='{escape(k)}'>{escape(_short(k))}</th>" for k in katas)
    rows = []
    for student, report in students.items():
        by_name = {kata.kata: kata for kata in report.katas}
        cells = "".join(_cell(by_name.get(name)) for name in katas)
        sums = [str(report.points), str(report.stars), *([number(report.score)] if weighted else [])]
        if report.not_graded:
            sums = [words.UNKNOWN] * len(sums)
        amounts = "".join(f"<td class='n'>{amount}</td>" for amount in sums)
        rows.append(f"<tr><td class='who'>{escape(student)}</td>{amounts}{cells}</tr>")
    titles = ["points", "stars", *(["score"] if weighted else [])]
    sum_heads = "".join(f"<th class='n'>{name}</th>" for name in titles)
    table = f"<table><tr><th class='corner'>student</th>{sum_heads}{heads}</tr>{''.join(rows)}</table>"
    return f"<h2>Points</h2><div class='wide'>{table}</div>"


def _cell(kata: KataResult | None) -> str:
    if kata is None or kata.not_graded:
        why = f"{kata.kata}: {kata.why_not_graded}" if kata else "not graded"
        return f"<td class='cell notgraded' title='{escape(why)}'>{words.UNKNOWN}</td>"
    share = kata.points / kata.max_points if kata.max_points else 0
    shade = SHADES[int(share * (len(SHADES) - 1))] if kata.status != "not started" else "transparent"
    text = {"error": f"{kata.points}!", "not started": "<span class='notstarted'>–</span>"}.get(
        kata.status, str(kata.points)
    )
    name = escape(f"{kata.kata}: {kata.points} of {kata.max_points} points, {kata.stars} stars, {kata.status}")
    return f"<td class='cell' style='background:{shade}' title='{name}'>{text}</td>"


def _short(kata: str) -> str:
    track, slash, name = kata.rpartition("/")
    parts = name.split("_")
    return f"{track}{slash}{parts[0] if parts[0].isdigit() else parts[1].upper()}"


def _hardest(students: dict[str, Report]) -> str:
    begun: Counter[tuple[str, str]] = Counter()
    working: Counter[tuple[str, str]] = Counter()
    for kata, exercise in _exercises(students):
        if not exercise.not_written and not exercise.not_graded:
            begun[kata.kata, exercise.name] += 1
            working[kata.kata, exercise.name] += exercise.works
    hardest = sorted(begun, key=lambda name: (working[name] / begun[name], -begun[name]))[:HARDEST]
    rows = "".join(
        f"<tr><td>{escape(kata)} · <code>{escape(name)}</code></td>"
        f"<td class='n'>{working[kata, name]} of {begun[kata, name]}</td>"
        f"<td>{_bar(working[kata, name], begun[kata, name])}</td></tr>"
        for kata, name in hardest
    )
    note = "<p class='dim'>students whose code works, of those who started the exercise</p>"
    return f"<h2>Hardest exercises</h2>{note}<div class='wide'><table>{rows}</table></div>"


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
    rows = "".join(f"<tr><td>{escape(kata)}</td><td class='n'>{s:.1f} s</td></tr>" for kata, s in slowest)
    note = "<p class='dim'>seconds of all students' results; identical code runs once</p>"
    return f"<h2>Time</h2>{note}<div class='wide'><table>{rows}</table></div>"


def _exercises(students: dict[str, Report]) -> list[tuple[KataResult, ExerciseResult]]:
    return [(kata, exercise) for report in students.values() for kata in report.katas for exercise in kata.exercises]
