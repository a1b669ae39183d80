"""The words and signs in which every report speaks of exercises, stars and totals."""

from grader.results import NOT_WRITTEN, ExerciseResult, Report, number, title

STAR, NO_STAR = "\N{BLACK STAR}", "\N{WHITE STAR}"


def counted(number: int, noun: str) -> str:
    """ "1 student", "2 students"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def star(exercise: ExerciseResult) -> str:
    """A filled star if the exercise holds at the edges, otherwise an empty one."""
    return STAR if exercise.holds else NO_STAR


def verdict(exercise: ExerciseResult) -> str:
    """ "works", "works · 2 edges open", "3 of 5 specs pass", "not written yet"; and why specs were not run."""
    if exercise.works:
        return _working(exercise)
    line = exercise.first_failure.message.partition("\n")[0] if exercise.first_failure else ""
    if line.startswith("waits for "):
        return line
    if line and exercise.not_written:
        return NOT_WRITTEN if line.startswith(exercise.name) else line
    ran = [spec for spec in exercise.ideas if spec.status != "skipped"]
    passed = sum(spec.status == "passed" for spec in ran)
    counted = f"{passed} of {len(ran)} specs pass" if ran else "not run"
    return f"error, {counted}" if any(spec.status == "error" for spec in ran) else counted


def details(exercise: ExerciseResult) -> str:
    """The first failure. If the exercise works, its open edges; empty if there is nothing to say."""
    failure = exercise.first_failure
    if failure:
        return f"{title(failure.name)}\n\n{with_printed(failure.message, failure.printed)}"
    return f"open edges: {open_edges(exercise)}" if exercise.open_edges else ""


def with_printed(message: str, printed: str) -> str:
    """A failure's message, and below it what the spec's call printed."""
    if not printed:
        return message
    return f"{message}\n\nprinted    " + ("\n" + " " * 11).join(printed.splitlines())


def open_edges(exercise: ExerciseResult) -> str:
    """The open edges by name: "works on a view, heads must divide the features"."""
    return ", ".join(title(spec.name) for spec in exercise.open_edges)


def star_line(exercise: ExerciseResult) -> str:
    """The star of an exercise that works: "★", or "★ open: 1 (works on a view)"."""
    if not exercise.open_edges:
        return STAR
    return f"{STAR} open: {len(exercise.open_edges)} ({open_edges(exercise)})"


def totals(report: Report) -> str:
    """ "23 of 35 points · 12 of 35 stars", the score if a course's rules give one, and whether points are sealed."""
    score = f" · score {number(report.score)} of {number(report.max_score)}" if report.weighted else ""
    sealed = " · sealed" if report.sealed else ""
    return f"{report.points} of {report.max_points} points · {report.stars} of {report.max_points} stars{score}{sealed}"


def _working(exercise: ExerciseResult) -> str:
    skipped = [spec.message for spec in exercise.specs if spec.status == "skipped"]
    edges = len(exercise.open_edges)
    words = "works" + (f", {exercise.note}" if exercise.note else "")
    if skipped:
        words += f", {len(skipped)} not run ({skipped[0]})"
    if exercise.sealed == "unsealed":
        words += " · not sealed"
    return words + (f" · {edges} edge{'s' if edges > 1 else ''} open" if edges else "")
