"""The promises of every kata, as functions from a kata to the list of its broken
promises, each a sentence.
"""

import ast
import contextlib
import itertools
import json
import os
import re
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from grader.course import (
    catalogue,
    cells,
    handouts,
    hint_file,
    notebooks,
    packages,
    pages,
    papers,
    stubs,
)
from grader.course.catalogue import ROOT, Kata
from grader.course.handouts import SEALED
from grader.course.mistakes import Mistake
from grader.errors import KataError
from grader.execution.reads import LISTS, REFERENCE, RUN, SPECS, TOML, TRACK, Reads
from grader.execution.result_cache import ResultCache
from grader.failure import table
from grader.isolation import linux
from grader.lock import lists
from grader.protocol import RunOptions, TrySuspects
from grader.results import DONE, SpecResult
from grader.workers.jobs import Job
from workshop import bites, demands, guards, points, seals, speed, variants
from workshop import diagrams as lesson_diagrams
from workshop import snippets as lesson_snippets
from workshop.key_results import path as recipe

FIGURE, NEXT = "figure.png", "\n## Next\n"
# pixels of a figure: letters of 10 points then have 7.5 on a phone that is 360 wide
WIDEST = 1000
SECTIONS = [
    "Objectives",
    "Concept",
    "Walkthrough",
    "Key takeaways",
    "Exercises",
    "Next",
]
# CPU seconds of a kata's specs. Triton's interpreter takes as long as training does.
BUDGET, BUDGET_WITH_TRAINING, BUDGET_OF_PAPERS = 1.0, 6.0, 8.0
HEADROOM = 5.0  # how far above its budget a kata may be measured beside other work
USUAL = 0.025  # seconds of `speed.loop` where the budgets were set
FEWEST_MISTAKES, MOST_MISTAKES, FEWEST_ACCEPTED = 10, 25, 2
LOWEST = (3, 11)  # Python's version that code of the course must do with
# the part by which kata.toml's minutes may differ from those estimated
MINUTES_OFF = 0.15
# in an exercise's docstrings, and in their part before the edges
MOST_WORDS, MOST_WORDS_OF_IDEA = 250, 150
CACHE = ResultCache(ROOT)  # what has not changed since the last run is not run again


def folder(kata: Kata) -> list[str]:
    """What grading needs is there, kata.toml names what the reference holds, and the
    lesson's links lead somewhere.
    """
    page = kata.folder / "README.md"
    if missing := _missing(
        kata, [kata.folder / "kata.toml", page, kata.specs, kata.reference, kata.code]
    ):
        return missing
    links = [
        link
        for link in _links(page)
        if link != FIGURE and not (kata.folder / link).exists()
    ]
    dead = [
        f"{_at(kata, page, f']({link}')}: links to {link}, which is not there"
        for link in links
    ]
    try:
        return _description(kata) + dead
    except KataError as error:
        return [str(error)]


def stub(kata: Kata) -> list[str]:
    """The stub is what the generator makes of the reference, byte for byte."""
    if kata.code.read_text(encoding="utf-8") == stubs.stub_of(kata):
        return []
    return [
        f"katas/{kata.file}: stale: make stubs makes it anew from solutions/{kata.file}"
    ]


def specs(kata: Kata) -> list[str]:
    """Each exercise has its class in order, each spec a docstring and a comparison, and
    code is reached only through the fixture.
    """
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"), feature_version=LOWEST)
    classes = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
    }
    named = [exercise.spec_class for exercise in kata.exercises]
    problems, file = [], _at(kata, kata.specs)
    if list(classes) != named:
        problems.append(
            f"{file}: has the classes {', '.join(classes)}; kata.toml has "
            f"{', '.join(named)}"
        )
    for exercise in kata.exercises:
        spec_class = classes.get(exercise.spec_class)
        marked = spec_class and "pytest.mark.stretch" in map(
            ast.unparse, spec_class.decorator_list
        )
        if spec_class and marked != exercise.stretch:
            place = f"{file}:{spec_class.lineno}: {exercise.spec_class}"
            problems.append(
                f"{place}: stretch in kata.toml or by its mark, and not in the other"
            )
    problems += [
        f"{file}:{line}: {said}" for line, said in demands.problems(kata, tree)
    ]
    problems += [
        f"{file}:{line}: {name} compares nothing" for line, name in demands.hollow(tree)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            problems.append(
                f"{file}:{node.lineno}: a bare assert; check.that says what was "
                "expected"
            )
        if isinstance(
            node, (ast.Import, ast.ImportFrom)
        ) and kata.module in ast.unparse(node):
            problems.append(
                f"{file}:{node.lineno}: imports the implementation; the fixture kata "
                "is the way to it"
            )
        if (
            isinstance(node, ast.FunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ):
            problems.append(
                f"{file}:{node.lineno}: {node.name} has no docstring to explain "
                "itself with"
            )
        if isinstance(node, ast.FunctionDef) and re.search(
            r"mark\.timeout(?s:.*)\bunlike\b", ast.unparse(node)
        ):
            problems.append(
                f"{file}:{node.lineno}: {node.name} takes long, and must not name "
                "suspects"
            )
    return problems


def stub_fails(kata: Kata) -> list[str]:
    """The stub fails every spec, for being unwritten and nothing else."""
    [result] = variants.results(
        [variants.job(kata, kata.code.read_text(encoding="utf-8"))], CACHE
    ).values()
    passed = [spec for spec in variants.specs(result) if spec.status == "passed"]
    problems = [f"{_spec(kata, spec)}: the stub passes {spec.name}" for spec in passed]
    wrong = [spec for spec in variants.failing(result) if spec.kind != "unwritten"]
    first = {spec.headline: spec for spec in reversed(wrong)}  # a cause is said once
    return problems + [
        f"{_spec(kata, spec)}: on the stub {spec.name} says: {said}"
        for said, spec in first.items()
    ]


def reference_passes(kata: Kata) -> list[str]:
    """The reference passes every spec within the time budget, backwards: the order may
    not matter.

    An answer that is wrong like one of a spec's suspects is named after it.
    """
    options = RunOptions(backwards=True, spec_seconds=60)
    reference = kata.reference.read_text(encoding="utf-8")
    job = variants.job(kata, reference, replace(options, also=TrySuspects()))
    result = variants.results([job], CACHE)[job]
    if failing := variants.failing(result):
        first, others = (
            failing[0],
            f" ({len(failing) - 1} more fail)" if failing[1:] else "",
        )
        return [
            (
                f"{_spec(kata, first)}: the reference fails backwards "
                f"{first.name}{others}: {_briefly(first)}"
            )
        ]
    problems = _misnamed(kata, variants.specs(result))
    cpu, budget = result.cpu_seconds, _budget(kata)
    # for its suspects, or beside other work, perhaps, and kept since: measured anew
    if cpu > HEADROOM * budget:
        before, alone = speed.loop(), variants.job(kata, reference, options)
        cpu = min(cpu, variants.results([alone])[alone].cpu_seconds)
        cpu /= max(1.0, before / USUAL, speed.loop() / USUAL)
    if cpu > HEADROOM * budget:
        problems.append(
            f"{_at(kata, kata.specs)}: the specs take {cpu:.1f} s of CPU time, the "
            f"budget is {budget:g} s"
        )
    return problems


def textbook(kata: Kata) -> list[str]:
    """The textbook solution, on those of the earlier katas, earns every point, whatever
    its open edges leave behind, and from another seed than a learner's: the seed may
    not matter.

    What trains and is sealed is left to the promise `sealed`, which asks it about the
    textbook solution, too.
    """
    if not kata.textbook.is_file():  # then `complete` says so
        return []
    text = kata.textbook.read_text(encoding="utf-8")
    # with all their parameters
    sealed = {name.rpartition("::")[2] for name in lists.read(kata).specs}
    trained = {
        node.name
        for node in ast.walk(ast.parse(kata.specs.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and "mark.timeout" in " ".join(map(ast.unparse, node.decorator_list))
    }
    chosen = [
        RunOptions(short=True, seed=20),
        *(RunOptions(only=(name,)) for name in sorted(trained - sealed)),
    ]
    jobs = [variants.job(kata, text, options, textbooks=True) for options in chosen]
    return [
        said
        for job in jobs
        for said in _points_lost(
            job, kata.textbook, "the textbook solution, from seed 20,"
        )
    ]


def unguarded(kata: Kata) -> list[str]:
    """The reference without its guards earns every point, but for the exercises whose
    guard is the idea.

    What trains is left out: a guard that raises ends the reference's training, and one
    that does not changes nothing.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    text = guards.stripped(reference)
    right, found = variants.statements(reference), variants.statements(text)
    changed = {name for name in right if found.get(name) != right[name]}
    only = variants.exercises_with(kata, reference, changed)
    job = variants.job(kata, text, RunOptions(only=only, ideas=True, short=True))
    guarded = kata.description.guarded
    return (
        _points_lost(job, kata.reference, "the reference without guards", guarded)
        if changed
        else []
    )


def mistakes(kata: Kata) -> list[str]:
    """Every mistake is caught by the spec it names, which tells the learner what
    `says` promises.

    It is run alone, or beside mistakes that neither change what it comes to, nor come
    to what it changes.
    """
    return uncaught(kata, variants.mistakes(kata))


def uncaught(kata: Kata, known: Iterable[Mistake]) -> list[str]:
    """What is wrong with how these mistakes are caught."""
    reference = kata.reference.read_text(encoding="utf-8")
    problems, asked = [], {}
    for mistake in known:
        found = reference.count(mistake.was)
        if found != 1:
            problems.append(
                f"{_mistake(kata, mistake)}: its `was` is {found} times in the "
                "reference, and must be once"
            )
        else:
            asked[mistake] = (
                variants.written(reference, mistake),
                variants.read(kata, reference, mistake),
            )
    rounds = {}
    for together in variants.apart(asked):
        text = reference
        for place, mistake in sorted(
            {reference.index(one.was): one for one in together}.items(), reverse=True
        ):
            text = text[:place] + mistake.now + text[place + len(mistake.was) :]
        options = RunOptions(only=tuple(mistake.caught_by for mistake in together))
        rounds[variants.job(kata, text, options)] = together
    for job, result in variants.results(rounds, CACHE).items():
        for mistake in rounds[job]:
            specs = [
                spec
                for spec in variants.specs(result)
                if mistake.caught_by in variants.names(spec.name)
            ]
            problems += _caught(kata, mistake, specs)
    return problems


def accepted(kata: Kata) -> list[str]:
    """Every accepted solution earns every point, and every star but those that it says
    it leaves open.

    Judged are the exercises that it redefines and those that use them; the others are
    the reference's. Solutions that define nothing in common share a round, but for one
    that leaves a star open.
    """
    reference, jobs = kata.reference.read_text(encoding="utf-8"), {}
    left_open = {path: _left_open(path) for path in kata.accepted}
    alone = [[path] for path, stars in left_open.items() if stars]
    bound = {
        path: variants.bound(path.read_text(encoding="utf-8"))
        for path, stars in left_open.items()
        if not stars
    }
    for paths in alone + variants.apart(
        {path: (names, names) for path, names in bound.items()}
    ):
        source = "\n\n".join(path.read_text(encoding="utf-8") for path in paths)
        options = RunOptions(only=variants.touched(kata, reference, source))
        jobs[tuple(paths)] = variants.job(kata, f"{reference}\n\n{source}", options)
    results = variants.results(jobs.values(), CACHE)
    problems = []
    for judged, job in jobs.items():
        files = ", ".join(_at(kata, path) for path in judged)
        for spec in variants.failing(results[job]):
            if not (
                spec.edge
                and spec.name.partition("[")[0].rpartition("::")[2]
                in left_open[judged[0]]
            ):
                problems.append(
                    f"{files}: rejected by {spec.name}: {spec.message.strip()}"
                )
    return problems


def _left_open(path: Path) -> set[str]:
    """The edge specs that an accepted solution says it leaves open."""
    said = re.findall(
        r"^# leaves open: .*(?:\n# .*)*", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return set(re.findall(r"test_\w+", " ".join(said)))


def lesson(kata: Kata) -> list[str]:
    """The lesson runs to its end, prints, and draws its figure: cell by cell in the
    kata's notebook, followed by the reference's code. Put together from the cells, that
    code is the reference's again.
    """
    if not (kata.folder / "lesson.py").is_file():  # then `complete` says so
        return []
    text = kata.reference.read_text(encoding="utf-8")
    notebook = notebooks.assembled(notebooks.after_the_page(kata, text))
    steps = [cell for cell in notebooks.code(notebook) if cell.startswith("# lesson ")]
    given = (kata.folder / "lesson.py").read_text(encoding="utf-8")
    problems, file = [], _at(kata, kata.folder / "lesson.py")
    if "\n".join(step.partition("\n")[2] for step in steps).split() != given.split():
        problems.append(f"{file}: the notebook's lesson is not the same")
    own = [cell for cell in notebooks.code(notebook) if not cells.NOT_CODE.match(cell)]
    with tempfile.TemporaryDirectory() as scratch:
        figure = Path(scratch) / "figure.png"
        said, trouble = in_fork(lambda: _run_cells(kata, [*steps, *own], figure))
        if trouble:
            return [
                *problems,
                f"{file}: in the notebook it ended in {_ending(trouble)}",
            ]
        if len(said.splitlines()) <= 5:
            problems.append(f"{file}: prints next to nothing")
        problems += (
            _figure(kata, figure) if figure.is_file() else [f"{file}: draws no figure"]
        )
    joined = cells.join(own, kata.owners, notebooks.stub(kata))
    reference = _at(kata, kata.reference)
    return problems + [
        f"{reference}: {said}"
        for said in [*joined.notes, *_lost(text, joined.text, kata)]
    ]


def snippets(kata: Kata) -> list[str]:
    """The lesson's snippets print what is written below them, and none gives an
    exercise away.
    """
    said, trouble = in_fork(lambda: print(json.dumps(lesson_snippets.problems(kata))))
    found = (
        [f"README.md: the snippets ended in {_ending(trouble)}"]
        if trouble
        else json.loads(said)
    )
    return [f"katas/{kata.name}/{problem}" for problem in found]


def diagrams(kata: Kata) -> list[str]:
    """Each diagram is what its source says, and the lesson shows it with its structure
    in words.
    """
    return [
        f"katas/{kata.name}/{problem}" for problem in lesson_diagrams.problems(kata)
    ]


def complete(kata: Kata) -> list[str]:
    """A whole lesson with hints and figure is there, ten mistakes and two other right
    solutions, and a place on the path.
    """
    hints, figure = kata.folder / "hints.md", kata.folder / FIGURE
    wanted = [
        kata.folder / "lesson.py",
        hints,
        figure,
        variants.mistakes_file(kata),
        kata.textbook,
    ]
    problems = _missing(kata, wanted)
    stays = (
        "no learner gets it: name it in kata.toml, files = [...], or move it to "
        f"{kata.author.name}/"
    )
    problems += [
        f"{path.relative_to(kata.root).as_posix()}: {stays}"
        for path in handouts.others(kata)
    ]
    problems += [
        (
            f"{_at(kata, path)}: more than {WIDEST} pixels wide, too small to read on "
            "a phone: draw it anew"
        )
        for path in sorted(kata.folder.glob("*.png"))
        if _width(path) > WIDEST
    ]
    problems += _lesson_text(kata) + _on_the_path(kata) + _amounts(kata)
    page = _at(kata, kata.folder / "README.md")
    problems += [f"{page}:{line}: {said}" for line, said in bites.problems(kata)]
    problems += _hints(kata) if hints.is_file() else []
    return problems + (_figure(kata, figure) if figure.is_file() else [])


def sealed(kata: Kata) -> list[str]:
    """The specs that judge from another process pass on the textbook solution there,
    and refuse mistakes.
    """
    if not kata.textbook.is_file():  # then `complete` says so
        return []
    file, command = _at(kata, kata.author / SEALED), f"make seals KATA={kata.number}"
    return [
        f"{file}: {said} ({command} lists them anew)"
        for said in seals.checked(kata, thoroughly=False)
    ]


def paper(kata: Kata) -> list[str]:
    """A paper's notebook is there, current and made of cells that parse, and its
    results have a recipe.
    """
    if kata.description.paper is None:
        return [
            (
                f"{_at(kata, kata.folder / 'kata.toml')}: has no [paper]: papers/03 "
                "shows what it holds"
            )
        ]
    found = papers.sections((kata.folder / "lesson.py").read_text(encoding="utf-8"))
    file = _at(kata, kata.folder / "lesson.py")
    problems = (
        []
        if found == papers.SECTIONS
        else [f"{file}: has the steps {found}, not {papers.SECTIONS}"]
    )
    try:
        problems += [
            f"{_at(kata, path)}: stale: make stubs" for path in papers.stale([kata])
        ]
    except KataError as error:
        problems.append(f"{file}: {error}")
    for cell in notebooks.code(papers.build(kata)):
        try:
            ast.parse(cell)
        except SyntaxError as error:
            problems.append(
                f"{file}: the notebook has a cell that does not parse: {error.msg}: "
                f"{error.text}"
            )
    if "### Notebook tasks\n" not in (kata.folder / "README.md").read_text(
        encoding="utf-8"
    ):
        problems.append(
            f"{_at(kata, kata.folder / 'README.md')}: has no '### Notebook tasks'"
        )
    return problems + _missing(kata, [recipe(kata)])


Promise = Callable[[Kata], list[str]]  # what breaks it, a sentence each
STUB, PAGE, LESSON = "katas/{file}", "katas/{kata}/README.md", "katas/{kata}/lesson.py"
AUTHOR = "solutions/{kata}/author/"
MISTAKES, TEXTBOOK, ACCEPTED = (
    f"{AUTHOR}mistakes.py",
    f"{AUTHOR}textbook.py",
    f"{AUTHOR}accepted/*.py",
)
EARLIER = (TOML, REFERENCE)

# What each promise reads. One that has held is not tried again until something of
# this changes.
READS: dict[Promise, Reads] = {
    folder: Reads(
        (TOML, PAGE, SPECS, REFERENCE, STUB),
        (TOML,),
        lambda kata: [*_linked(kata), *_ideas(kata)],
    ),
    stub: Reads((TOML, REFERENCE, STUB)),
    specs: Reads((TOML, SPECS, REFERENCE)),
    stub_fails: Reads((*RUN, STUB), EARLIER),
    reference_passes: Reads(RUN, EARLIER),
    textbook: Reads((*RUN, *LISTS, TEXTBOOK), (*EARLIER, TEXTBOOK)),
    unguarded: Reads(RUN, EARLIER),
    mistakes: Reads((*RUN, MISTAKES), EARLIER),
    accepted: Reads((*RUN, ACCEPTED), EARLIER),
    lesson: Reads((TOML, LESSON, STUB, REFERENCE, TRACK), (*EARLIER, STUB)),
    # TRACK: a package's modules
    snippets: Reads((TOML, PAGE, TEXTBOOK, REFERENCE, TRACK), (*EARLIER, STUB)),
    diagrams: Reads((PAGE, "katas/{kata}/*.diagram", "katas/{kata}/*.svg")),
    complete: Reads(
        ("katas/{kata}/*", REFERENCE, MISTAKES, TEXTBOOK, ACCEPTED),
        (TOML,),
        lambda kata: _around(kata),
    ),
    sealed: Reads((*RUN, *LISTS, TEXTBOOK, MISTAKES, ACCEPTED), EARLIER),
    paper: Reads(
        (
            TOML,
            PAGE,
            LESSON,
            STUB,
            REFERENCE,
            TEXTBOOK,
            "katas/{kata}/*.ipynb",
            "tests/results/{kata}.py",
        ),
        EARLIER,
    ),
}
# of those with `finished = true`; papers keep `paper`, too
FINISHED = [complete, sealed]
# of every kata
PROMISES = [promise for promise in READS if promise not in (*FINISHED, paper)]
# Say nothing where it fails its specs.
ON_THE_REFERENCE = [textbook, unguarded, mistakes, accepted, lesson, sealed]


def in_fork(work: Callable[[], None]) -> tuple[str, str]:
    """Run `work` in a forked process; what it printed, and the traceback it ended in,
    if it did.
    """
    linux.only()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        tempfile.TemporaryFile("w+", encoding="utf-8") as trouble,
    ):
        pid = os.fork()
        if pid == 0:
            try:
                with contextlib.redirect_stdout(said):
                    work()
            except BaseException:
                trouble.write(traceback.format_exc())
            said.flush()
            trouble.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        said.seek(0), trouble.seek(0)
        return said.read(), trouble.read()


def _ending(trouble: str) -> str:
    """The last line of a traceback, and the last cell in it: "ZeroDivisionError:
    division by zero (cell 3, line 4)".
    """
    cells_in_it = re.findall(r"(cell \d+)\", (line \d+)", trouble)
    place = f" ({', '.join(cells_in_it[-1])})" if cells_in_it else ""
    return trouble.strip().splitlines()[-1] + place


def _run_cells(kata: Kata, code: list[str], figure: Path) -> None:
    """Run the cells one after the other in a main module of their own, as a kernel
    does, but on one core.
    """
    torch.set_num_threads(1)  # another test runs on the other
    main = types.ModuleType("__main__")
    main.__file__ = str(kata.folder / "lesson.py")
    sys.modules["__main__"] = main
    sys.argv[:] = [main.__file__, str(figure)]
    for number, cell in enumerate(code, start=1):
        exec(compile(cell, f"{kata.name}, cell {number}", "exec"), vars(main))


def _lesson_text(kata: Kata) -> list[str]:
    text = (kata.folder / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    page = kata.folder / "README.md"
    file = _at(kata, page)
    problems = (
        []
        if headings == SECTIONS
        else [f"{file}: the sections are {headings}, and must be {SECTIONS}"]
    )
    if pages.lesson(kata) != text:
        problems.append(f"{file}: head or exercise table is stale: make stubs")
    problems += [] if FIGURE in _links(page) else [f"{file}: does not show {FIGURE}"]
    unnamed = [e.name for e in kata.exercises if e.name not in text]
    problems += [f"{file}: does not mention {name}" for name in unnamed]
    return problems + [f"{file}: {said}" for said in lesson_snippets.sizes(text)]


def _links(page: Path) -> list[str]:
    """The paths of a page that its links lead to."""
    found = re.findall(
        r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")
    )
    return [link for link in found if "://" not in link]


def _linked(kata: Kata) -> list[Path]:
    """What the lesson links to."""
    page = kata.folder / "README.md"
    return [kata.folder / link for link in _links(page)] if page.is_file() else []


def _ideas(kata: Kata) -> list[Path]:
    """The descriptions of the katas whose ideas it builds on."""
    return [
        Kata(kata.root, name).folder / "kata.toml" for name in kata.description.ideas_of
    ]


def _around(kata: Kata) -> list[Path]:
    """What ties it to other katas: the lessons before and after it, the glossary, and
    what its pitfalls stand on.
    """
    path = _path(kata)
    place = path.index(kata) if kata in path else len(path)
    pages = [one.folder / "README.md" for one in path[max(place - 1, 0) : place + 2]]
    return [
        *pages,
        kata.root / "katas" / "GLOSSARY.md",
        *_ideas(kata),
        *bites.elsewhere(kata),
    ]


def _path(kata: Kata) -> list[Kata]:
    """The finished katas of the path, and this one; of a track, none."""
    if "/" in kata.name:
        return []
    known = [one for one in catalogue.all_katas(kata.root) if "/" not in one.name]
    return [one for one in known if one == kata or one.description.finished]


def _on_the_path(kata: Kata) -> list[str]:
    """The lesson before leads to this one, this one to the next, the last back to the
    overview; a term leads here.
    """
    path, problems = _path(kata), []
    if not path:
        return []
    for one, following in itertools.zip_longest(path, path[1:]):
        page, target = (
            one.folder / "README.md",
            f"../{following.name}/README.md" if following else "../../README.md",
        )
        if (
            kata in (one, following)
            and f"]({target})"
            not in page.read_text(encoding="utf-8").partition(NEXT)[2]
        ):
            problems.append(
                f"{_at(kata, page, NEXT.strip())}: what is next must link to {target}"
            )
    glossary = kata.root / "katas" / "GLOSSARY.md"
    if glossary.is_file() and f"]({kata.name}/README.md)" not in glossary.read_text(
        encoding="utf-8"
    ):
        problems.append(
            f"{_at(kata, glossary)}: no term leads to {kata.name}/README.md: add one "
            "that it teaches"
        )
    return problems


def _hints(kata: Kata) -> list[str]:
    found, names = (
        hint_file.sections(kata),
        [exercise.name for exercise in kata.exercises],
    )
    page = kata.folder / "hints.md"
    problems = (
        []
        if list(found) == names
        else [f"{_at(kata, page)}: has {list(found)}; the exercises are {names}"]
    )
    return problems + [
        (
            f"{_at(kata, page, f'## {name}')}: {name} has {len(items)} hints, 1 to 3 "
            "are wanted"
        )
        for name, items in found.items()
        if len(items) not in (1, 2, 3)
    ]


def _width(picture: Path) -> int:
    with Image.open(picture) as image:
        return image.width


def _figure(kata: Kata, path: Path) -> list[str]:
    """Find what is wrong with the figure that lesson.py has drawn at this path."""
    file = _at(kata, kata.folder / "lesson.py")
    with Image.open(path) as image:
        width, height = image.size
        colours = image.convert("RGB").resize((64, 64)).getcolors(64 * 64)
    wide = 800 <= width <= WIDEST
    problems = (
        []
        if wide and height >= 300
        else [f"{file}: the figure has {width} × {height} pixels"]
    )
    return (
        problems
        if colours is None or len(colours) > 5
        else [*problems, f"{file}: the figure is empty"]
    )


def _amounts(kata: Kata) -> list[str]:
    problems, file = [], _at(kata, variants.mistakes_file(kata))
    mistakes, solutions = variants.mistakes(kata), len(kata.accepted)
    if not FEWEST_MISTAKES <= len(mistakes) <= MOST_MISTAKES:
        problems.append(
            f"{file}: {len(mistakes)} mistakes, {FEWEST_MISTAKES} to {MOST_MISTAKES} "
            "are wanted"
        )
    edges = sum(mistake.edge for mistake in mistakes)
    if edges > len(mistakes) / 4:
        problems.append(
            f"{file}: {edges} of {len(mistakes)} mistakes are edges, at most a "
            "quarter may be"
        )
    if solutions < FEWEST_ACCEPTED:
        file = _at(kata, kata.author / "accepted")
        problems.append(
            f"{file}: {solutions} accepted solutions, {FEWEST_ACCEPTED} or more are "
            "wanted"
        )
    reference = kata.reference.read_text(encoding="utf-8")
    problems += [
        f"{_at(kata, path)}: redefines no exercise of the reference, nor what one uses"
        for path in kata.accepted
        if not variants.touched(kata, reference, path.read_text(encoding="utf-8"))
    ]
    if kata.textbook.is_file():
        said, found = (
            (kata.description.minutes_core, kata.description.minutes_all),
            points.minutes(kata),
        )
        if any(
            abs(a - b) > max(5, MINUTES_OFF * b)
            for a, b in zip(said, found, strict=True)
        ):
            file = _at(kata, kata.folder / "kata.toml", "minutes")
            problems.append(
                f"{file}: says {said} minutes for core and all, reading and writing "
                f"come to {found}"
            )
    for name, (idea, edge_cases) in points.words(kata).items():
        if idea > MOST_WORDS_OF_IDEA:
            problems.append(
                f"{_definition(kata, kata.reference, name)}: {name}: {idea} words "
                f"before '{points.EDGES}', at most "
                f"{MOST_WORDS_OF_IDEA}: shorten the example and the rules, or make "
                "methods of a class exercises of their own"
            )
        if idea + edge_cases > MOST_WORDS:
            problems.append(
                f"{_definition(kata, kata.reference, name)}: {name}: "
                f"{idea + edge_cases} words of docstring, at most {MOST_WORDS}"
            )
    return problems


def _misnamed(kata: Kata, specs: list[SpecResult]) -> list[str]:
    """The suspects that no case of their spec names when it gets their own answer."""
    found: dict[str, dict[str, list[str]]] = {}
    lines = {}
    for spec in specs:
        name = spec.name.partition("[")[0]
        lines[name] = _spec(kata, spec)
        for suspect, named in spec.tried.items():
            found.setdefault(name, {}).setdefault(suspect, []).extend(named)
    problems = []
    for name, tried in found.items():
        for suspect, named in tried.items():
            if suspect not in named:
                taken = f"taken for '{named[0]}'" if named else "the right answer"
                place = f"{lines[name]}: {name}: '{suspect}'"
                problems.append(
                    f"{place} is always {taken}: use inputs that tell them apart, or "
                    "take the suspect out"
                )
    return problems


def _points_lost(
    job: Job, path: Path, whose: str, but: Container[str] = ()
) -> list[str]:
    """The exercises that do not work on this code, without help from the reference."""
    lost = [
        exercise
        for exercise in variants.results([job], CACHE)[job].exercises
        if not exercise.so_far.point or exercise.note
    ]
    problems = []
    for exercise in lost:
        if exercise.name not in but:
            failure = exercise.first_failure
            said = (
                f"{failure.name}: {failure.message.strip()}"
                if failure
                else exercise.note
            )
            place = _definition(job.kata, path, exercise.name)
            problems.append(
                f"{place}: {whose} does not earn the point of {exercise.name}: {said}"
            )
    return problems


def _caught(kata: Kata, mistake: Mistake, specs: list[SpecResult]) -> list[str]:
    """The faults in how this mistake is caught, by the results of the spec that
    it names.
    """
    name = _mistake(kata, mistake)
    if not specs or "::test_" not in specs[0].name:
        return [f"{name}: there is no spec {mistake.caught_by}"]
    failing = [spec for spec in specs if spec.status not in DONE]
    if not failing:
        return [
            (
                f"{name} is not caught by {mistake.caught_by}: this spec must be "
                "stricter, or another one be named"
            )
        ]
    problems = [] if mistake.says else [f"{name}: `says` is empty"]
    if failing[0].edge != mistake.edge:
        problems.append(
            f"{name}: {mistake.caught_by} is "
            f"{'an edge' if failing[0].edge else 'no edge'}"
        )
    rows = " ".join(_own_rows(failing[0]).split())
    if " ".join(mistake.says.split()) not in rows:
        problems.append(
            f"{name}: '{mistake.says}' is not in what this failure alone says: "
            f"{rows[:300]}"
        )
    return problems


def _own_rows(spec: SpecResult) -> str:
    """What a failure alone says: no docstring, call or place, which every failure of
    the spec shows.
    """
    found = spec.failure
    return table(found.without("given").told) if found and found.rows else spec.message


def _lost(reference: str, joined: str, kata: Kata) -> list[str]:
    """The definitions of the reference that the joined cells need, and lack or
    have otherwise.
    """
    right, found = variants.statements(reference), variants.statements(joined)
    problems = [
        f"in the notebook {name} is not the reference's"
        for name in found
        if found[name] != right.get(name)
    ]
    used = {
        node.id for node in ast.walk(ast.parse(joined)) if isinstance(node, ast.Name)
    }
    wanted = (used & set(right)) | {exercise.owner for exercise in kata.exercises}
    return problems + [
        f"in the notebook {name} is missing" for name in sorted(wanted - set(found))
    ]


def _description(kata: Kata) -> list[str]:
    """kata.toml names what the reference holds: its exercises, in order, and the katas
    that it builds on.
    """
    tree = ast.parse(kata.reference.read_text(encoding="utf-8"), feature_version=LOWEST)
    taken = _taken_from(kata, tree)
    problems, file, reference = (
        [],
        _at(kata, kata.folder / "kata.toml"),
        _at(kata, kata.reference),
    )
    if taken != set(kata.description.builds_on):
        problems.append(
            f"{file}: builds on {kata.description.builds_on}, the code takes names "
            f"from {sorted(taken)}"
        )
    ideas = [Kata(kata.root, name) for name in kata.description.ideas_of]
    problems += [
        f"{file}: ideas of {earlier.name}, which is no kata"
        for earlier in ideas
        if not earlier.folder.is_dir()
    ]
    defined = list(cells.definitions(tree))
    names = [exercise.name for exercise in kata.exercises]
    problems += [
        f"{file}: guarded: {name} is no exercise"
        for name in kata.description.guarded
        if name not in names
    ]
    problems += [
        f"{reference}: {name}: no such name in the reference"
        for name in names
        if name not in defined
    ]
    found = [name for name in defined if name in names]
    is_in_order = found == [name for name in names if name in found]
    return (
        problems
        if is_in_order
        else [
            *problems,
            f"{reference}: the order is {', '.join(found)}, not kata.toml's",
        ]
    )


def _taken_from(kata: Kata, tree: ast.Module) -> set[str]:
    """The katas that the reference takes names from, in a package at its top. Specs may
    import more of a package.
    """
    called = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "prerequisite"
    ]
    taken = {ast.literal_eval(node.args[0]) for node in called}
    katas = {
        packages.module_name(other): other.name
        for other in catalogue.all_katas(kata.root)
    }
    for node in [
        *tree.body,
        *ast.walk(ast.parse(kata.specs.read_text(encoding="utf-8"))),
    ]:
        if isinstance(node, ast.ImportFrom) and node.module in katas:
            taken.add(katas[node.module])
    return taken


def _budget(kata: Kata) -> float:
    if kata.name.startswith("papers/"):
        return BUDGET_OF_PAPERS
    return (
        BUDGET_WITH_TRAINING
        if kata.description.needs & {"training", "triton"}
        else BUDGET
    )


def _missing(kata: Kata, wanted: Iterable[Path]) -> list[str]:
    return [
        f"{_at(kata, path)}: missing: docs/authoring.md says what it holds"
        for path in wanted
        if not path.is_file()
    ]


def _at(kata: Kata, path: Path, text: str = "") -> str:
    """ "katas/16_multi_head_attention/hints.md:12": the file, and the first line with
    this text if there is one.
    """
    before, found, _ = (
        path.read_text(encoding="utf-8").partition(text) if text else ("", "", "")
    )
    line = before.count("\n") + 1
    return path.relative_to(kata.root).as_posix() + (f":{line}" if found else "")


def _definition(kata: Kata, path: Path, name: str) -> str:
    """The same for the definition of this exercise."""
    node = cells.definitions(ast.parse(path.read_text(encoding="utf-8"))).get(name)
    return _at(kata, path) + (f":{node.lineno}" if node else "")


def _briefly(spec: SpecResult, longest: int = 200) -> str:
    """What a failure found, in one line: without the spec's docstring and the places
    that follow.
    """
    line = " ".join(
        (
            table(spec.failure.told)
            if spec.failure and spec.failure.rows
            else spec.message
        ).split()
    )
    return line if len(line) <= longest else f"{line[:longest]} …"


def _spec(kata: Kata, spec: SpecResult) -> str:
    return _at(kata, kata.specs) + (f":{spec.line}" if spec.line else "")


def _mistake(kata: Kata, mistake: Mistake) -> str:
    return (
        f"{_at(kata, variants.mistakes_file(kata), mistake.name)}: mistake "
        f"'{mistake.name}'"
    )
