"""Finds for every spec of a point one small change of right code that it notices, and no other spec of that point.

`kata kills 16` finds them: recorded mistakes, then changes of what an exercise takes and returns, some only where a
fact or two hold that hold in no other spec (a size of 1, a keyword given), then mutants of the reference and of the
textbook solution. They are kept in `.kata/kills`, or what the fewest others notice; committed is only the list of specs
without a change of their own, `author/kills.toml`, by the reason that they stay for. A spec that later no longer
notices its change was hollowed out, and `kata promises` says so. What was found for the same files is not sought again.
"""

import ast
import itertools
import json
import re
import tomllib
from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from grader import files
from grader.authoring import mutants, surround, variants
from grader.authoring.reads import Reads
from grader.course import cells
from grader.course.catalogue import Kata
from grader.execution import scheduler
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers import forkserver
from grader.workers.jobs import Job

RAISED = "\nraised  "  # in the failure of code that raised an error
SPECIAL = ("__call__", "__iter__", "__len__", "__getitem__")  # of a class that is one exercise, beside public methods
TRIED = 3  # facts, or pairs of facts, of a spec alone
SLOW = 0.3  # seconds that a spec takes on right code
SOUGHT = 20.0  # seconds that a spec takes in all, after which no change of its own is sought, if it notices any
HANGS = 1.0  # seconds of CPU that a spec may take beyond five times its own on right code
IDEAS = RunOptions(ideas=True)
AUTHOR = "solutions/{kata}/author/"
READ = Reads(
    ("katas/{kata}/kata.toml", "katas/{kata}/**/test_*.py", "katas/{track}/*.py", "solutions/{file}")
    + (f"{AUTHOR}mistakes.py", f"{AUTHOR}textbook.py"),
    ("katas/{kata}/kata.toml", "solutions/{file}"),
)


@dataclass(frozen=True)
class Change:
    """A small change of right code: what it is, in a line, and the whole text."""

    said: str
    source: str


@dataclass
class Noticed:
    """What a spec notices: a change, if it can one that shows in a comparison, and that few others of the point notice.

    Attributes:
        beside: the others that notice this change.
        crashed: whether the code raised an error, which shows without any comparison.
        alone: whether no other notices this change, or one that raises.
        always: the others that notice every change that this spec notices.
    """

    change: Change
    beside: set[str]
    crashed: bool
    alone: bool
    always: set[str]


Inquiry = Generator[set[str], dict[str, bool], dict[str, bool]]


def report(katas: list[Kata]) -> int:
    """Find the changes of these katas. 1 if a spec has none of its own and no reason, or a reason is stale."""
    mutants.need_engine()
    forkserver.prepare(katas)
    code = 0
    for kata in katas:
        found, specs = _known(kata) or _found_and_kept(kata)
        for line in (lines := list(_unneeded(kata, found, specs))):
            print(line, flush=True)
        code = max(code, int(bool(lines)))
        alone, crashed = (sum(getattr(one, what) for one in found.values()) for what in ("alone", "crashed"))
        print(
            f"{kata.name}: of {len(specs)} specs of points {alone} alone notice some change, {len(found)} any, "
            f"{crashed} only by an error, {len(_listed(kata))} have a reason",
            flush=True,
        )
    return code


def _found_and_kept(kata: Kata) -> tuple[dict[str, Noticed], dict[str, int]]:
    key = READ.key(kata)
    found, specs = find(kata)
    for name in _passing(kata, {name: one.change for name, one in found.items()}):
        del found[name]  # it notices by chance, such as an address in memory
    _keep(kata, found, specs, key)
    return found, specs


def find(kata: Kata) -> tuple[dict[str, Noticed], dict[str, int]]:
    """What each spec of a point notices, and the lines of all of them that run on this machine."""
    right = _of(kata, kata.reference.read_text(encoding="utf-8"), IDEAS)
    passed = [spec for spec in variants.specs(right) if spec.status == "passed"]
    lines = {_bare(spec.name): spec.line for spec in passed}
    slow = {_bare(spec.name) for spec in passed if spec.seconds > SLOW}
    taken: dict[str, float] = defaultdict(float)  # seconds
    found = dict[str, Noticed]()
    changes = _changes(kata, set(lines))
    asked: dict[Job, tuple[Change, Inquiry]] = {}
    waiting: deque[Job] = deque()
    hanging = set[Change]()  # whose specs fail by the time that they take alone: these say nothing

    def job(change: Change, inquiry: Inquiry, specs: set[str]) -> Job:
        limit = HANGS + 5 * max(spec.seconds for spec in passed if _bare(spec.name) in specs)
        options = RunOptions(ideas=True, only=tuple(sorted(specs)), spec_seconds=limit)
        one = variants.job(kata, change.source, options)
        asked[one] = change, inquiry
        return one

    def next_job() -> Iterator[Job]:
        if waiting:
            yield waiting.popleft()
            return
        for change, groups in changes:
            sought = {name for name in lines if name not in found or taken[name] < SOUGHT}
            inquiry = _inquiry(groups, found, slow, sought)
            if specs := next(inquiry, None):
                yield job(change, inquiry, specs)
                return

    for done, result in scheduler.run(next_job):
        change, inquiry = asked.pop(done)
        raises = not change.said.endswith(surround.READY_MADE)  # that is forbidden by a check
        for spec in variants.specs(result):
            taken[_bare(spec.name)] += spec.seconds
        specs = [spec for spec in variants.specs(result) if spec.status in ("failed", "error")]
        if any(spec.seconds >= done.options.spec_seconds for spec in specs):
            hanging.add(change)
        try:
            more = inquiry.send({_bare(spec.name): raises and RAISED in spec.message for spec in specs})
            waiting.append(job(change, inquiry, more))
        except StopIteration as end:
            if change not in hanging:
                _note(found, change, end.value)
    return {name: found[name] for name in lines if name in found}, lines


def _inquiry(groups: Sequence[set[str]], found: Mapping[str, Noticed], slow: Set[str], sought: Set[str]) -> Inquiry:
    """The specs to show a change to, some after the others: first those for which a change of their own is sought.

    It is sent which of them notice it, and whether only by an error, and returns all of these. The specs of one group
    count as soon as one of them notices it: exercises of later groups are then graded with right code in its place.
    What two notice is nobody's own: slow ones that notice another change are not asked. Who alone notices it is asked
    once more.
    """
    noticed = dict[str, bool]()
    wanting = [
        {name for name in group & sought if name not in found or found[name].crashed or not found[name].alone}
        for group in groups
    ]
    for place, (group, first) in enumerate(zip(groups, wanting, strict=True)):
        late = slow & found.keys()
        yield from _shown(first, late, noticed)
        if noticed or any(wanting[place + 1 :]):
            yield from _shown(group - first, late, noticed)
        if noticed:
            break
    if len(noticed) == 1 and any(noticed.keys() <= names for names in wanting):
        noticed = yield {*noticed}  # it may have noticed by chance, such as an address in memory
    return noticed


def _shown(specs: set[str], late: set[str], noticed: dict[str, bool]) -> Generator[set[str], dict[str, bool], None]:
    """Ask these, the late ones last and only while fewer than two notice it; `noticed` is told who does."""
    if specs - late:
        noticed |= yield specs - late
    if specs & late and len(noticed) < 2:
        noticed |= yield specs & late


def _note(found: dict[str, Noticed], change: Change, failed: dict[str, bool]) -> None:
    """Note down who notices this change, and whether only by an error."""
    for name, crashed in failed.items():
        others = failed.keys() - {name}
        known = found.setdefault(name, Noticed(change, others, crashed, False, others))
        known.always = known.always & others
        known.alone = known.alone or not others
        if (crashed, len(others)) < (known.crashed, len(known.beside)):
            known.change, known.beside, known.crashed = change, others, crashed


def hollowed(kata: Kata) -> list[str]:
    """The specs that no longer notice the change that they, and hardly any other, noticed, each with its line."""
    kept = _kept(kata)
    if not kept or kept["specs"] == kata.specs.read_text(encoding="utf-8"):
        return []
    right = _of(kata, kata.reference.read_text(encoding="utf-8"), IDEAS)
    there = {_bare(spec.name): spec.line for spec in variants.specs(right)}
    kept_changes = {name: Change(**one["change"]) for name, one in kept["found"].items() if name in there}
    file = kata.specs.relative_to(kata.root).as_posix()
    return [
        f"{file}:{there[name]}: {name} no longer notices this change, as it did: {kept_changes[name].said}"
        for name in _passing(kata, kept_changes)
    ]


def _passing(kata: Kata, changes: dict[str, Change]) -> list[str]:
    """The specs that pass, run alone, on their change."""
    options = {name: RunOptions(ideas=True, only=(name,)) for name in changes}
    jobs = {variants.job(kata, change.source, options[name]): name for name, change in changes.items()}
    return [jobs[job] for job, result in variants.results(jobs).items() if not variants.failing(result)]


def _changes(kata: Kata, specs: set[str]) -> Iterator[tuple[Change, Sequence[set[str]]]]:
    """Changes of right code, and the specs that each may concern, in groups."""
    reference = kata.reference.read_text(encoding="utf-8")
    for mistake in variants.mistakes(kata):
        if reference.count(mistake.was) == 1:
            source = reference.replace(mistake.was, mistake.now)
            was, now = variants.statements(reference), variants.statements(source)
            changed = {name for name in was if now.get(name) != was[name]}
            yield Change(f"mistake '{mistake.name}'", source), _concerned(kata, specs, reference, changed)
    places = dict(_places(kata))
    for spec, facts in _facts_of_one(kata, places):
        own = places[spec.partition("::")[0]]
        for said in (surround.OFF, surround.WRITTEN):
            yield Change(f"{said} where {' and '.join(facts)}", reference + _around(own, said, facts)), [{spec}]
    ready_made = sorted(set(re.findall(r'"((?:torch|numpy)[.][\w.]+)"', kata.specs.read_text(encoding="utf-8"))))
    for spec_class, own in places.items():
        concerned = {name for name in specs if name.partition("::")[0] == spec_class}
        for place, said in itertools.product(own, surround.CHANGES):
            if said == surround.TOLD:
                continue
            forbidden = ready_made if said == surround.READY_MADE else ()
            yield Change(f"{place}: {said}", reference + _around([place], said, (), forbidden)), [concerned]
    known = set[tuple[str, str]]()
    for textbook in (False, True):
        text = kata.textbook.read_text(encoding="utf-8") if textbook else reference
        reached = {name: _concerned(kata, specs, text, {name}) for name in ["", *variants.statements(text)]}
        new = [one for one in mutants.generate(kata, textbook) if (one.was, one.now) not in known]
        known |= {(one.was, one.now) for one in new}  # lines that the textbook solution shares say nothing new
        for mutant in new:
            said = f"{'textbook, ' if textbook else ''}- {mutant.was}   + {mutant.now}"
            yield Change(said, mutant.source), reached[mutant.definition]


def _concerned(kata: Kata, specs: set[str], text: str, changed: set[str]) -> list[set[str]]:
    """The specs of the exercises that are one of these definitions, and of those that use one.

    All are of one group where another definition is changed, or what stands outside of any.
    """
    reached = variants.exercises_with(kata, text, changed)
    owned = {exercise.spec_class for exercise in kata.exercises if exercise.owner in changed}
    concerned = {name for name in specs if name.partition("::")[0] in reached or not changed - {""}}
    if changed - {exercise.owner for exercise in kata.exercises}:
        return [concerned]
    own = {name for name in concerned if name.partition("::")[0] in owned}
    return [own, concerned - own]


def _places(kata: Kata) -> Iterator[tuple[str, list[str]]]:
    """Each exercise's class of specs, and its functions or methods that others call."""
    defined = cells.definitions(ast.parse(kata.reference.read_text(encoding="utf-8")))
    names = {exercise.name for exercise in kata.exercises}
    for exercise in kata.exercises:
        own = [exercise.name]
        if isinstance(defined[exercise.name], ast.ClassDef):
            methods = [name for name in defined if name.startswith(f"{exercise.name}.") and name not in names]
            own = [name for name in methods if name.partition(".")[2][0] != "_" or name.endswith(SPECIAL)]
        yield exercise.spec_class, [name for name in own if not getattr(defined[name], "decorator_list", ())]


def _around(places: list[str], *asked: object) -> str:
    """Code behind a right solution that changes these functions or methods."""
    asked_for = ", ".join(map(repr, asked))
    lines = [f"{place} = _surround.around({place}, {asked_for})" for place in places]
    return "\n".join(["\n\nfrom grader.authoring import surround as _surround\n", *lines, ""])


def _facts_of_one(kata: Kata, places: dict[str, list[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Specs, each with facts that hold together in one of its calls, and in none of another spec of the exercise."""
    source = kata.reference.read_text(encoding="utf-8") + _around([*itertools.chain(*places.values())], surround.TOLD)
    for exercise in _of(kata, source, RunOptions(ideas=True, tries_suspects=True)).exercises:
        calls: dict[str, set[frozenset[str]]] = defaultdict(set)
        for spec in exercise.specs:
            told = [fact for fact in json.loads(spec.printed or "{}") if fact.startswith(surround.FACTS)]
            calls[_bare(spec.name)] |= {frozenset(fact.removeprefix(surround.FACTS).split("; ")) for fact in told}
        if any(spec.status == "failed" for spec in exercise.specs):  # what surrounds the code disturbs it
            continue
        for name, own in calls.items():
            others = set().union(*(calls[other] for other in calls if other != name))
            for size in (1, 2):
                together = sorted({facts for call in own for facts in itertools.combinations(sorted(call), size)})
                alone = [facts for facts in together if not any(call.issuperset(facts) for call in others)]
                yield from ((name, facts) for facts in alone[:TRIED])
                if alone:
                    break


def _of(kata: Kata, source: str, options: RunOptions) -> KataResult:
    [result] = variants.results([variants.job(kata, source, options)]).values()
    return result


def _bare(name: str) -> str:
    """A spec with all its parameters."""
    return name.partition("[")[0]


def _unneeded(kata: Kata, found: dict[str, Noticed], specs: dict[str, int]) -> Iterator[str]:
    """Specs that have neither a change of their own nor a reason, and reasons that are stale."""
    listed, path, file = _listed(kata), reasons(kata), kata.specs.relative_to(kata.root).as_posix()
    own = {name for name, one in found.items() if one.alone}
    for name, line in specs.items():
        if name not in own and name not in listed:
            seen = "it notices no change"
            if name in found:
                others = " and ".join(sorted(other.partition("::")[2] for other in found[name].always))
                seen = f"all that it notices, {others or 'others'} notice, too"
            yield f"{file}:{line}: {name}: {seen}: sharpen, merge or drop it, or give the reason in {path.name}"
    for name in listed:
        if name in own or name not in specs:
            yield f"{path.parent.name}/{path.name}: {name} needs no reason: it has a change of its own, or is not there"


def reasons(kata: Kata) -> Path:
    """The specs that stay without a change of their own, by their reason."""
    return kata.author / "kills.toml"


def _listed(kata: Kata) -> list[str]:
    path = reasons(kata)
    return [*itertools.chain(*tomllib.loads(path.read_text(encoding="utf-8")).values())] if path.is_file() else []


def store(kata: Kata) -> Path:
    """Where its changes are kept."""
    return kata.root / ".kata" / "kills" / f"{kata.name.replace('/', '-')}.json"


def _keep(kata: Kata, found: dict[str, Noticed], lines: dict[str, int], key: str) -> None:
    reference, specs = (path.read_text(encoding="utf-8") for path in (kata.reference, kata.specs))
    kept = {"reference": reference, "specs": specs, "key": key, "lines": lines}
    kept["found"] = {name: asdict(one) for name, one in found.items()}
    files.write(store(kata), json.dumps(kept, default=sorted))


def _known(kata: Kata) -> tuple[dict[str, Noticed], dict[str, int]] | None:
    """What was found for these very files, if it was."""
    kept, key = _kept(kata), READ.key(kata)
    if not key or kept.get("key") != key:
        return None
    found = {}
    for name, one in kept["found"].items():
        change, beside, always = Change(**one["change"]), set(one["beside"]), set(one["always"])
        found[name] = Noticed(change, beside, one["crashed"], one["alone"], always)
    return found, kept["lines"]


def _kept(kata: Kata) -> dict:
    """What `kata kills` found for this very reference; empty if it has not looked."""
    try:
        kept = json.loads(store(kata).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if kept.get("found") and kept["reference"] == kata.reference.read_text(encoding="utf-8") else {}
