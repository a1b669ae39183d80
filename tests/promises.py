"""What every kata promises, as functions from a kata to the list of its broken promises, each a sentence."""

import ast
import contextlib
import os
import re
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from grader import catalogue, hints, learner
from grader.catalogue import Kata
from tests import variants

SECTIONS = ["Objectives", "Concept", "Walkthrough", "Key takeaways", "Exercises", "Next"]
BUDGET, BUDGET_WITH_TRAINING, BUDGET_OF_PAPERS = 1.0, 6.0, 8.0  # CPU seconds of a kata's specs
HEADROOM = 3.0  # how far above its budget a kata may be measured, on a machine that does other things too
FEWEST_MISTAKES, FEWEST_ACCEPTED = 8, 2


def folder(kata: Kata) -> list[str]:
    """Everything that belongs to a kata is there, and what its texts point to exists."""
    wanted = [kata.folder / name for name in ("README.md", "lesson.py", "hints.md", "figure.png", f"{kata.module}.py")]
    wanted += [kata.specs, kata.reference, kata.root / "tests/mistakes" / f"{kata.name}.py"]
    missing = [f"{path.relative_to(kata.root)} is missing" for path in wanted if not path.is_file()]
    return missing or _lesson_text(kata) + _hints(kata) + _figure(kata.folder / "figure.png") + _amounts(kata)


def stub(kata: Kata) -> list[str]:
    """Stub and reference agree in every public name, signature and docstring; the stub gives no solution away, and is the one
    that `kata reset` puts back."""
    theirs, ours = _definitions(kata.folder / f"{kata.module}.py"), _definitions(kata.reference)
    public = [name for name in ours if not any(part.startswith("_") and part != "__init__" for part in name.split("."))]
    problems = [f"the stub lacks {name}" for name in public if name not in theirs]
    problems += [f"{name} is in the stub and not in the reference" for name in theirs if name not in ours]
    if kata.root == catalogue.ROOT and learner.stub_of(kata) != (kata.folder / kata.file.name).read_bytes():
        problems.append("the grader keeps another stub: make stubs")
    shared = [name for name in theirs if name in ours]
    if shared != sorted(shared, key=list(ours).index):
        problems.append("stub and reference hold their names in different orders")
    exercises = {exercise.name for exercise in catalogue.exercises(kata)}
    for name in shared:
        mine, right = theirs[name], ours[name]
        if _outline(mine) != _outline(right):
            problems.append(f"{name}: '{_outline(mine)}' in the stub, '{_outline(right)}' in the reference")
        if ast.get_docstring(mine) != ast.get_docstring(right):
            problems.append(f"{name}: the docstrings differ")
        if isinstance(mine, ast.FunctionDef):
            problems += _body(name, mine, right, name.split(".")[0] in exercises)
    return problems


def specs(kata: Kata) -> list[str]:
    """Each exercise has its class in order, each spec a docstring, and code is reached only through the fixture."""
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"))
    named = [exercise.name for exercise in catalogue.exercises(kata)]
    public = [n for n in _definitions(kata.reference) if "." not in n and not n.startswith("_")]
    problems = [f"{name}: no such name in the reference" for name in named if name not in public]
    if [name for name in public if name in named] != [name for name in named if name in public]:
        problems.append("the spec classes are not in the order of the exercises")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            problems.append(f"line {node.lineno}: a bare assert; check.that says what was expected")
        if isinstance(node, (ast.Import, ast.ImportFrom)) and kata.module in ast.unparse(node):
            problems.append(f"line {node.lineno}: imports the implementation")
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node):
            problems.append(f"{node.name} has no docstring to explain itself with")
    return problems


def stub_fails(kata: Kata) -> list[str]:
    """The stub fails every spec, for being unwritten and nothing else."""
    [result] = variants.results([variants.job(kata, (kata.folder / f"{kata.module}.py").read_text(encoding="utf-8"))]).values()
    problems = [f"the stub passes {spec.name}" for spec in variants.specs(result) if spec.status == "passed"]
    wrong = [spec for spec in variants.failing(result) if not spec.message.endswith("not written yet")]
    return problems + [f"on the stub {spec.name} says: {spec.message.splitlines()[0]}" for spec in wrong]


def reference_passes(kata: Kata) -> list[str]:
    """The reference passes every spec: forwards, backwards, from other seeds, and within the time budget."""
    text = kata.reference.read_text(encoding="utf-8")
    runs = {
        "": variants.job(kata, text),
        " backwards": variants.job(kata, text, backwards=True),
        " from seed 1": variants.job(kata, text, seed=1),
        " from seed 20": variants.job(kata, text, seed=20),
    }
    results = variants.results(runs.values())
    problems = []
    for how, job in runs.items():
        problems += [f"the reference fails{how} {s.name}: {s.message.strip()}" for s in variants.failing(results[job])]
    cpu = min(result.cpu_seconds for result in results.values())
    budget = _budget(kata)
    print(f"{kata.name}: {len(variants.specs(results[runs['']]))} specs, {cpu:.2f} s of CPU time, budget {budget:g} s")
    return problems + ([f"the specs take {cpu:.1f} s of CPU time, the budget is {budget:g} s"] if cpu > HEADROOM * budget else [])


def mistakes(kata: Kata) -> list[str]:
    """Every mistake applies to the reference and is caught by the spec it names, run alone."""
    text = kata.reference.read_text(encoding="utf-8")
    problems, jobs = [], {}
    for mistake in variants.mistakes(kata):
        found = text.count(mistake.was)
        if found != 1:
            problems.append(f"mistake '{mistake.name}': its `was` stands {found} times in the reference")
        else:
            jobs[mistake] = variants.job(kata, text.replace(mistake.was, mistake.now), only=mistake.caught_by, stop_at_failure=True)
    results = variants.results(jobs.values())
    for mistake, job in jobs.items():
        if not variants.specs(results[job]) or not results[job].exercises[0].specs[0].name.count("::test_"):
            problems.append(f"mistake '{mistake.name}': there is no spec {mistake.caught_by}")
        elif not variants.failing(results[job]):
            problems.append(f"mistake '{mistake.name}' is not caught by {mistake.caught_by}")
    return problems


def accepted(kata: Kata) -> list[str]:
    """Every accepted solution passes every spec."""
    text = kata.reference.read_text(encoding="utf-8")
    jobs = {path: variants.job(kata, f"{text}\n\n{path.read_text(encoding='utf-8')}") for path in variants.accepted(kata)}
    results = variants.results(jobs.values())
    return [
        f"{path.name} is rejected by {spec.name}: {spec.message.strip()}"
        for path, job in jobs.items()
        for spec in variants.failing(results[job])
    ]


def lesson(kata: Kata) -> list[str]:
    """lesson.py runs to its end, prints, and draws its figure."""
    with tempfile.TemporaryDirectory() as scratch:
        figure = Path(scratch) / "figure.png"
        said, trouble = in_fork(lambda: _run_lesson(kata, figure))
        if trouble:
            return [f"lesson.py ended in {trouble}"]
        problems = [] if len(said.splitlines()) > 5 else ["lesson.py prints next to nothing"]
        return problems + (_figure(figure) if figure.is_file() else ["lesson.py draws no figure"])


def in_fork(work: Callable[[], None]) -> tuple[str, str]:
    """Run `work` in a forked process; what it printed, and the traceback it ended in, if it did."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as trouble:
        pid = os.fork()
        if pid == 0:
            try:
                with contextlib.redirect_stdout(said):
                    work()
            except BaseException:
                trouble.write(traceback.format_exc())
            said.flush(), trouble.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        said.seek(0), trouble.seek(0)
        return said.read(), trouble.read()


def _run_lesson(kata: Kata, figure: Path) -> None:
    path = kata.folder / "lesson.py"
    sys.argv[:] = [str(path), str(figure)]
    runpy.run_path(str(path), run_name="__main__")


def _lesson_text(kata: Kata) -> list[str]:
    text = (kata.folder / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    problems = [] if headings == SECTIONS else [f"README.md has the sections {headings}, not {SECTIONS}"]
    if not re.match(r"# .+ · .+\n\n(easy|medium|hard) · \d+ minutes", text):
        problems.append('README.md begins with neither "# NUMBER · Title" nor "DIFFICULTY · N minutes"')
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    problems += [f"README.md links to {link}, which is not there" for link in links if not (kata.folder / link).exists()]
    problems += [] if "figure.png" in links else ["README.md does not show figure.png"]
    unnamed = [e.name for e in catalogue.exercises(kata) if e.name not in text]
    return problems + [f"README.md does not mention {name}" for name in unnamed]


def _hints(kata: Kata) -> list[str]:
    found, names = hints.sections(kata), [exercise.name for exercise in catalogue.exercises(kata)]
    problems = [] if list(found) == names else [f"hints.md has {list(found)}, the exercises are {names}"]
    return problems + [f"hints.md: {name} has {len(items)} hints, not 3" for name, items in found.items() if len(items) != 3]


def _figure(path: Path) -> list[str]:
    with Image.open(path) as image:
        width, height = image.size
        colours = image.convert("RGB").resize((64, 64)).getcolors(64 * 64)
    problems = [] if width >= 800 and height >= 300 else [f"the figure is only {width} × {height} pixels"]
    return problems if len(colours) > 5 else [*problems, "the figure is empty"]


def _amounts(kata: Kata) -> list[str]:
    problems = []
    if len(variants.mistakes(kata)) < FEWEST_MISTAKES:
        problems.append(f"only {len(variants.mistakes(kata))} mistakes, at least {FEWEST_MISTAKES} are wanted")
    if len(variants.accepted(kata)) < FEWEST_ACCEPTED:
        problems.append(f"only {len(variants.accepted(kata))} accepted solutions, at least {FEWEST_ACCEPTED} are wanted")
    return problems


def _definitions(path: Path) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Functions, classes and their methods by dotted name, in order."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef):
                    found[f"{node.name}.{inner.name}"] = inner
    return found


def _outline(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The signature with its decorators, as source."""
    decorators = "".join(f"@{ast.unparse(d)} " for d in node.decorator_list)
    if isinstance(node, ast.ClassDef):
        return f"{decorators}class {node.name}({', '.join(map(ast.unparse, node.bases))})"
    return f"{decorators}def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else None}"


def _body(name: str, mine: ast.FunctionDef, right: ast.FunctionDef, is_exercise: bool) -> list[str]:
    """A function of an exercise is `raise NotImplementedError` and no more; one that is given is the reference's."""
    code = [ast.unparse(s) for s in mine.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if is_exercise:
        return [] if code == ["raise NotImplementedError"] else [f"{name}: the stub gives away {code[0] if code else 'nothing'}"]
    return [] if ast.unparse(mine) == ast.unparse(right) else [f"{name} is given, but differs from the reference"]


def _budget(kata: Kata) -> float:
    if kata.name.startswith("papers/"):
        return BUDGET_OF_PAPERS
    return BUDGET_WITH_TRAINING if "timeout(60)" in kata.specs.read_text(encoding="utf-8") else BUDGET
