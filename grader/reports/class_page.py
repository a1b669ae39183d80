"""Renders the results of a class as a single HTML page, which is whole without scripts and loads no file."""

from html import escape
from statistics import median

from grader.failure import PYTHON
from grader.reports import chart, statistics, unconfirmed, words
from grader.reports.page import SCRIPT, head, heads, page, table, two_bars
from grader.reports.statistics import Exercise
from grader.results import ClassReport, ExerciseResult, KataResult, Report, number

SHADES = 5  # from no points to all points, distinguishable with every kind of colour vision
# What the cell of a kata shows beside its points, or instead of them, by state; and the legend's order.
SIGNS = {
    "not recognised": "??",
    "not graded": "?",
    "unconfirmed": "?",
    "not handed in": "none",
    "does not parse": "¶",
    "import fails": "×",
    "untouched": "–",
    "crashed": "!",
    "excused": "E",
}
MEANINGS = {"unconfirmed": "2? two so far, others unconfirmed"}
LOOK = ("not recognised", "not graded", "does not parse", "import fails")  # states that a person should look at
MISTAKES = 3  # shown of each exercise


def render(report: ClassReport) -> str:
    """The page: what a person has to look at, scores and points, exercises, code that is the same, the time spent."""
    everybody = words.counted(len(report.students), "student")
    heading = report.assignment or everybody
    parts = [_head(heading, everybody, report), _look(report), _unconfirmed(report), _overrides(report)]
    parts += [_distribution(report), _points(report), _exercises(report), _time(report)]
    return page(heading, "".join(parts), SCRIPT)


def _head(heading: str, everybody: str, report: ClassReport) -> str:
    students = report.students.values()
    weighted = any(one.weighted for one in students)
    most = max((one.max_score for one in students), default=0)
    scores = statistics.scores(report)
    typical = f"{number(median(scores or [0]))} of {number(most)}"
    lost = sum(one.not_graded for one in students)
    state = "" if report.complete else f" · incomplete, {words.counted(lost, 'student')} not graded"
    if report.unconfirmed:
        state += f" · {words.counted(len(report.unconfirmed), 'student')} with unconfirmed points"
    absent = sum(not statistics.handed_in(one) for one in students)
    count = f"{everybody} · " if heading != everybody else ""
    return (
        f"<h1>{escape(heading)}</h1><p class='dim'>{count}{report.started} · "
        f"graded in {report.seconds:.0f} s with {PYTHON}{state}"
        f"<br>median {f'score {typical}' if weighted else f'{typical} points'} · "
        f"{words.counted(len(scores), 'student')} with a score, {absent} handed in nothing</p>"
    )


def _who(student: str, report: ClassReport) -> str:
    """The head of a student's row, with a link to their own page if there is one."""
    name, link = escape(student), report.pages.get(student)
    shown = f"<a href='{escape(link)}'>{name}</a>" if link else name
    return f"<th scope='row' class='who'>{shown}</th>"


def _look(report: ClassReport) -> str:
    """The katas that are not graded or could not be run, and why; empty if there are none."""
    found = [
        (LOOK.index(state), student, state, why, katas)
        for student, one in report.students.items()
        for state in LOOK
        for why, katas in words.alike((kata for kata in one.katas if kata.state == state), _why).items()
    ]
    rows = "".join(
        f"<tr>{_who(student, report)}<td>{state}</td>"
        f"<td class='long'>{escape(', '.join(katas))}<br>{escape(why)}</td></tr>"
        for _, student, state, why, katas in sorted(found, key=lambda one: one[0])
    )
    if not rows:
        return ""
    about = "not graded, so without a score; or handed in and without points, since the file cannot be run"
    return f"<h2>To look at</h2>{table('look', about, heads('student', 'state', 'kata, and why'), rows)}"


def _why(kata: KataResult) -> str:
    return (kata.why_no_code or kata.why_not_graded).removeprefix(f"{kata.state}: ")


def _unconfirmed(report: ClassReport) -> str:
    """What each lock saw of the points that a teacher has to decide; empty if there are none."""
    rows = "".join(
        f"<tr>{_who(student, report)}<td>{escape(kata.kata)} · <code>{escape(exercise.name)}</code></td>"
        f"<td>{escape(unconfirmed.first_lock(exercise))}</td><td class='long'>{_second_lock(exercise)}</td></tr>"
        for student, found in report.unconfirmed.items()
        for kata, exercise in found
    )
    if not rows:
        return ""
    about = "only the first lock confirms these points: look at the code, and settle each with an override"
    names = heads("student", "exercise", "first lock", "second lock")
    return f"<h2>Unconfirmed</h2>{table('open', about, names, rows)}"


def _second_lock(exercise: ExerciseResult) -> str:
    line, text = escape(unconfirmed.second_lock(exercise)), escape(unconfirmed.message(exercise))
    return f"<details><summary>{line}</summary><pre>{text}</pre></details>" if text else line


def _overrides(report: ClassReport) -> str:
    """What a teacher has decided, with the reason; empty if there is nothing."""
    rows = "".join(
        f"<tr>{_who(student, report)}<td>{escape(kata.kata)} · <code>{escape(exercise.name)}</code></td>"
        f"<td class='n'>{exercise.points}</td><td class='long'>{escape(exercise.override.reason)}</td></tr>"
        for student, one in report.students.items()
        for kata in one.katas
        for exercise in kata.exercises
        if exercise.override
    )
    if not rows:
        return ""
    names = heads("student", "exercise", "points", "reason")
    return f"<h2>Overrides</h2>{table('overrides', 'points that a teacher has decided', names, rows)}"


def _distribution(report: ClassReport) -> str:
    bars = statistics.distribution(report)
    if not any(bar.students for bar in bars):
        return ""
    unit = "percent of the score, in tens" if bars[-1].label == "100" else "points"
    return f"<h2>Distribution</h2>{chart.render(bars, unit)}"


def _points(report: ClassReport) -> str:
    students = report.students
    katas: dict[str, int] = {}
    for kata in (kata for one in students.values() for kata in one.katas):
        katas[kata.kata] = max(kata.max_points, katas.get(kata.kata, 0))
    weighted = any(one.weighted for one in students.values())
    timed = any(kata.timing or kata.excused for one in students.values() for kata in one.katas)
    rows: list[str] = []
    states: set[str] = set()
    for student, one in students.items():
        by_name = {kata.kata: kata for kata in one.katas}
        states |= {_state(by_name.get(name)) for name in katas}
        sums = [str(one.points), str(one.stars), *([number(one.score)] if weighted else [])]
        unknown = SIGNS["excused"] if one.excused else words.UNKNOWN
        cells = [f"<td class='n'>{unknown if one.pending else amount}</td>" for amount in sums]
        cells += [_cell(by_name.get(name)) for name in katas]
        cells += [_lateness(one)] if timed else []
        rows.append(f"<tr>{_who(student, report)}{''.join(cells)}</tr>")
    sums = ["points", "stars", *(["score"] if weighted else [])]
    all_heads = heads("student", *sums, kind="n")
    for name, most in katas.items():
        all_heads += head(f"{escape(_short(name))}<small>of {most}</small>", "cell")
    all_heads += head("handed in") + head("late", "n") if timed else ""
    signs = [MEANINGS.get(state, f"{sign} {state}") for state, sign in SIGNS.items() if state in states]
    about = "; ".join(["points per kata", *signs])
    names = ", ".join(f"{_short(name)} {_title(name)}" for name in katas)
    return f"<h2>Points</h2><p class='dim'>{escape(names)}</p>{table('points', about, all_heads, ''.join(rows))}"


def _lateness(report: Report) -> str:
    """Two cells: when each version was handed in that counts, and which it is; what lateness costs."""
    versions = [tuple(map(escape, version)) for version in words.hand_ins(report)]
    lines = [f"{katas}: {said}<small>{which}</small>" for katas, said, which in versions]
    cost = max((kata.penalty for kata in report.katas), default=0)
    newest = words.newest(report)
    when = f"<td class='when' data-v='{words.moment(newest) if newest else ''}'>{''.join(lines)}</td>"
    return f"{when}<td class='n' data-v='{cost}'>{words.late(report)}</td>"


def _state(kata: KataResult | None) -> str:
    return kata.state if kata else "not graded"


def _cell(kata: KataResult | None) -> str:
    """The points of a kata, with a sign of its state. Cells are sorted by points: last what has none."""
    state = _state(kata)
    if kata is None or kata.not_graded or kata.excused:
        return f"<td class='cell notgraded' data-v=''>{SIGNS[state]}</td>"
    if state == "unconfirmed":
        return f"<td class='cell unconfirmed' data-v='{kata.points}'>{kata.points}?</td>"
    if state in statistics.ABSENT:
        return f"<td class='cell notstarted' data-v='-1'>{SIGNS[state]}</td>"
    shade = int(kata.points / kata.max_points * (SHADES - 1)) if kata.max_points else 0
    text = f"{kata.points} {SIGNS.get(state, '')}".rstrip()
    return f"<td class='cell shade{shade}' data-v='{kata.points}'>{text}</td>"


def _short(kata: str) -> str:
    """The head of the kata's column: "16", "papers/13", "A"."""
    short = words.kata_number(kata)
    return short.removeprefix("appendix_").upper() if kata.startswith("appendix_") else short


def _title(kata: str) -> str:
    """The rest of the kata's name, in words: "multi head attention"."""
    return kata.removeprefix(words.kata_number(kata)).replace("_", " ").strip()


def _exercises(report: ClassReport) -> str:
    """One row per exercise. The spec that fails most often unfolds to what it asks for."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(one.kata)} · <code>{escape(one.name)}</code></th>"
        f"<td class='share' data-v='{one.share if one.tried else ''}'>{_works(one)}"
        f"{two_bars(one.works, one.tried - one.works, one.students)}</td>"
        f"<td class='long'>{_most_failed(one)}</td><td class='long'>{_mistakes(one)}</td>"
        f"<td>{escape(_seal(one))}</td></tr>"
        for one in statistics.exercises(report)
    )
    names = heads("exercise", "works", "spec that fails most", "looks like", "points")
    about = "students whose code works, of those who wrote some that can be run; how many fail a spec first, and how"
    return f"<h2>Exercises, the hardest first</h2>{table('exercises', about, names, rows)}"


def _works(one: Exercise) -> str:
    tried = f"{one.works} of {one.tried} who tried" if one.tried else "nobody tried"
    return f"{tried}, of {one.students}"


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


def _time(report: ClassReport) -> str:
    spent = statistics.seconds(report)
    rows = "".join(
        f"<tr><th scope='row'>{escape(kata)}</th><td class='n' data-v='{took:.2f}'>{number(took / 60)} min</td></tr>"
        for kata, took in spent.items()
    )
    about = f"{number(sum(spent.values()) / 60)} min of computing; identical code ran once and counts once"
    return f"<h2>Time</h2>{table('time', about, heads('kata', 'time', kind='n'), rows)}"
