"""The words and signs in which every report speaks of exercises, stars and totals."""

from grader.results import NOT_WRITTEN, ExerciseResult, KataResult, Report, SpecResult, number

STAR, NO_STAR = "\N{BLACK STAR}", "\N{WHITE STAR}"
UNKNOWN = "?"  # in place of points and stars that are not graded


def counted(number: int, noun: str) -> str:
    """ "1 student", "2 students"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def star(exercise: ExerciseResult) -> str:
    """A filled star if the exercise holds at the edges, otherwise an empty one; ? if that is not known."""
    if exercise.not_graded:
        return UNKNOWN
    return STAR if exercise.holds else NO_STAR


def points(result: ExerciseResult | KataResult) -> str:
    """The points, or a question mark if they are not graded."""
    return UNKNOWN if result.not_graded else str(result.points)


def stars(kata: KataResult) -> str:
    """The number of stars, or a question mark if they are not graded."""
    return UNKNOWN if kata.not_graded else str(kata.stars)


def score(result: ExerciseResult | KataResult) -> str:
    """The score, or a question mark if it is not graded."""
    return UNKNOWN if result.not_graded else number(result.score)


def gap(report: Report) -> str:
    """The report's gap: "interrupted: the rest was not graded", or the katas that are not graded and why."""
    if not report.complete:
        return "interrupted: the rest was not graded"
    return "; ".join(f"{kata.kata} was not graded: {kata.why_not_graded}" for kata in report.katas if kata.not_graded)


def verdict(exercise: ExerciseResult) -> str:
    """ "works", "works · 2 edges open", "3 of 5 specs pass", "not written yet"; and why specs were not run.

    Of an exercise with hidden specs it ends with " · 1 of 2 hidden specs pass".
    """
    line = exercise.first_failure.message.partition("\n")[0] if exercise.first_failure else ""
    unwritten = line and exercise.not_written and not line.startswith(exercise.name)
    if exercise.not_graded or not (unwritten or line.startswith("waits for ")):
        return _counted(exercise, exercise.note)
    return " · ".join([line, *_rest(exercise)])


def tally(exercise: ExerciseResult) -> str:
    """The verdict without a word that the code under test could have chosen."""
    return _counted(exercise, note="")


def _counted(exercise: ExerciseResult, note: str) -> str:
    if exercise.not_graded:
        return "not graded"
    ran = [spec for spec in exercise.ideas if spec.status != "skipped" and not spec.hidden]
    passed = sum(spec.status == "passed" for spec in ran)
    sums = f"{passed} of {len(ran)} specs pass" if ran else "not run"
    error = "error, " if any(spec.status == "error" for spec in exercise.ideas) else ""
    written = NOT_WRITTEN if ran and exercise.not_written else f"{error}{sums}"
    return " · ".join([_working(exercise, note) if exercise.works else written, *_rest(exercise)])


def details(exercise: ExerciseResult) -> str:
    """The first failure. If the exercise works, its open edges; empty if there is nothing to say."""
    lost = next((spec for spec in exercise.specs if spec.status == "not graded"), None)
    if lost:
        return f"not graded: {lost.message}"
    failure = exercise.first_failure
    if failure:
        return failed(failure)
    return f"open edges: {open_edges(exercise)}" if exercise.named_edges else ""


def failed(spec: SpecResult) -> str:
    """A failure's text, below the spec's name."""
    return f"{spec.title}\n\n{with_printed(spec.message, spec.printed)}"


def feedback(exercise: ExerciseResult) -> str:
    """The details for a student, and how many hidden specs pass."""
    sums = "" if exercise.not_graded else hidden(exercise)
    return "\n\n".join(filter(None, [details(exercise), sums]))


def hidden(exercise: ExerciseResult) -> str:
    """ "1 of 2 hidden specs pass"; empty if it has none."""
    statuses = [spec.status for spec in exercise.hidden]
    skipped = f", {statuses.count('skipped')} not run" if "skipped" in statuses else ""
    return f"{statuses.count('passed')} of {len(statuses)} hidden specs pass{skipped}" if statuses else ""


def with_printed(message: str, printed: str) -> str:
    """A failure's message, and below it what the spec's call printed."""
    if not printed:
        return message
    return f"{message}\n\nprinted    " + ("\n" + " " * 11).join(printed.splitlines())


def open_edges(exercise: ExerciseResult) -> str:
    """The open edges by name: "works on a view, heads must divide the features"."""
    return ", ".join(spec.title for spec in exercise.named_edges)


def star_line(exercise: ExerciseResult) -> str:
    """The star of an exercise that works: "★", or "★ open: 1 (works on a view)"."""
    if not exercise.open_edges:
        return STAR
    return f"{STAR} open: {len(exercise.open_edges)} ({open_edges(exercise)})"


def totals(report: Report) -> str:
    """ "23 of 35 points · 12 of 35 stars", the score if a course's rules give one, and whether points are sealed.

    "sealed but for 4" says that four of the exercises that work could not be. If something is not graded, this comes
    first: "not graded, so far 3 of 12 points".
    """
    so_far = "not graded, so far " if report.not_graded else ""
    weighted = f" · score {number(report.score)} of {number(report.max_score)}" if report.weighted else ""
    if penalty := next((e.penalty for kata in report.katas for e in kata.exercises if e.penalty), 0.0):
        weighted += f" · late: {number(100 * penalty)} % less"
    sealed = " · sealed" if report.sealed else ""
    if not_sealed := sum(e.sealed == "unsealed" for kata in report.katas for e in kata.exercises):
        sealed += f" but for {not_sealed}"
    sums = f"{report.points} of {report.max_points} points · {report.stars} of {report.max_points} stars"
    return f"{so_far}{sums}{weighted}{sealed}"


def _working(exercise: ExerciseResult, note: str) -> str:
    skipped = [spec.message for spec in exercise.specs if spec.status == "skipped" and not spec.hidden]
    words = "works" + (f", {note}" if note else "")
    if skipped:
        words += f", {len(skipped)} not run ({skipped[0]})"
    if exercise.sealed == "unsealed":
        words += " · not sealed"
    return words


def _rest(exercise: ExerciseResult) -> list[str]:
    """The end of a verdict: the open edges of an exercise that works, and its hidden specs."""
    edges = sum(not spec.hidden for spec in exercise.open_edges) if exercise.works else 0
    parts = [f"{counted(edges, 'edge')} open"] if edges else []
    return [*parts, hidden(exercise)] if exercise.hidden else parts
