"""A pytest plugin: `--tier quick` takes the tests of `make test`, `--tier rest` those
that it leaves out.

Quick are the heart of every kata, every promise and file of tests about katas that
reads what has changed, each file of tests that costs little on record, and of the dear
files what is named here. A new file of tests is quick until its cost is on record.

python -m tests.tiers  what has changed; exit code 1 if it may break more than the quick
                       tests try
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.errors import KataError
from grader.execution.reads import Reads
from tests import cost
from workshop import promises
from workshop.promises import Promise

BUDGET = 540.0  # CPU seconds of the quick tier, by tests/cost.json
CHEAP = 6.5  # seconds of a whole file, on record
READING = {  # they run no code of a kata, so they need no extra
    promises.folder,
    promises.stub,
    promises.specs,
    promises.diagrams,
    promises.complete,
}
HEART = READING | {promises.reference_passes, promises.snippets, promises.paper}
SAMPLED = {promises.stub_fails, promises.textbook}
TOLD = 5  # files that differ, at the end of a run
# one of so many katas has those tried, a reference that trains, but no textbook
# solution that does
EACH = 6
# katas whose second lock is tried
SEALED = ("01_tensors", "16_multi_head_attention", "tinytorch/02_tensor")
EVERY = ""  # a part of every name
# files that cost more, and parts of the names of their tests that are quick all
# the same
DEAR = {
    "tests/test_katas.py": [EVERY],
    "tests/grader/test_plugin.py": [EVERY],
    "tests/grader/test_boundaries.py": [EVERY],
    "tests/grader/test_practice.py": [EVERY],
    "tests/course/test_packages.py": [EVERY],
    "tests/attacks/test_forgeries.py": [EVERY],
    "tests/attacks/test_second_lock.py": [EVERY],
    "tests/attacks/test_attacks.py": [
        "[reads the reference]",
        "[lists the folder of solutions]",
        "[asks the network]",
        "[writes beside the specs]",
        "[loops when called]",
        "[takes all memory by a tensor]",
        "[prints without end]",
    ],
    "tests/attacks/test_left_behind.py": ["test_the_filter_denies"],
    "tests/attacks/test_escapes.py": [
        "grader_can_be_reached",
        "socket_of_the_machine",
        "inherits_one_pipe",
    ],
    "tests/course/test_commands.py": [
        "name_what_is_there",
        "[kata list]",
        "[pytest katas/N]",
    ],
    "tests/course/test_mutants.py": [
        "operator",
        "left_alone",
        "TestCommand",
        "TestRecords",
        "TestStopAtFailure",
    ],
    "tests/course/test_reads.py": [
        "a_promise_reads",
        "a_run_reads",
        "changes_its_key",
        "an_edit_has",
    ],
    "tests/grader/test_cli.py": [
        "own_unchanged_file",
        "fail_under",
        "reference_earns_every_point",
    ],
    "tests/grader/test_learner.py": [
        "one_level_at_a_time",
        "nothing_written_is_ever_lost",
    ],
    "tests/grader/test_watch.py": ["test_a_day"],
}
# of these files, what only an extra brings: without it they are not quick, whatever
# has changed
NEEDS = {
    "tests/course/test_answer.py": "transformers",
    "tests/course/test_gpt2_weights.py": "transformers",
    "tests/course/test_sizes.py": "triton",
    "tests/course/test_todays_block.py": "transformers",
    "tests/grader/test_cluster.py": "distributed",
    "tests/grader/test_elsewhere.py": "psutil",
    "tests/grader/test_kernels.py": "triton",
    "tests/grader/test_tutor.py": "mcp",
}
NOT_QUICK = {  # files that import what only an extra brings, or PyTorch's compiler
    *NEEDS,
    "tests/course/test_fsdp_by_hand.py",
    "tests/course/test_papers.py",
    "tests/course/test_rooms.py",
    "tests/course/test_site.py",
    "tests/grader/test_rules.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier",
        choices=("quick", "rest"),
        required=True,
        help="which of the project's tests to run",
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.pluginmanager.register(Tier(config.getoption("tier")))
    except KataError as error:  # a kata.toml says what cannot be
        raise pytest.UsageError(f"{error}") from None
    config.pluginmanager.register(cost.Meter(config, config.getoption("tier")))


OF_A_KATA = Reads(
    ("katas/{kata}/**/*", "solutions/{kata}/**/*", promises.TRACK),
    (*promises.EARLIER, promises.STUB),
)
# what such a file asks of one kata, a promise or a quick test asks, too
EVERY_KATA: list[str] = []
# files with tests that are not quick, and the katas that these read: a change of one
# makes them quick
READS = {
    "tests/attacks/test_archives.py": ["01"],
    "tests/attacks/test_attacks.py": [],
    "tests/attacks/test_escapes.py": ["01", "09", "31"],
    "tests/attacks/test_left_behind.py": ["09"],
    "tests/course/test_answer.py": ["23", "today/01", "today/03"],
    "tests/course/test_bench_gpt.py": ["30"],
    "tests/course/test_capstone.py": ["33"],
    "tests/course/test_commands.py": EVERY_KATA,
    "tests/course/test_fsdp_by_hand.py": ["today/08"],
    "tests/course/test_gpt2_weights.py": ["28"],
    "tests/course/test_installed.py": EVERY_KATA,
    "tests/course/test_kept.py": [],
    "tests/course/test_ladder.py": ["33", "today/01", "today/02"],
    "tests/course/test_mutants.py": [],
    "tests/course/test_new.py": [],
    "tests/course/test_papers.py": EVERY_KATA,
    "tests/course/test_processors.py": ["00", "tinytorch/03", "papers/03"],
    "tests/course/test_promises.py": [],
    "tests/course/test_reads.py": EVERY_KATA,
    "tests/course/test_rooms.py": [],
    "tests/course/test_site.py": EVERY_KATA,
    "tests/course/test_sizes.py": ["kernels/05"],
    "tests/course/test_todays_block.py": ["today/01"],
    "tests/course/test_train_gpt2.py": ["33", "today/01", "today/02"],
    "tests/grader/test_cli.py": ["00", "01", "10", "14", "15", "16", "22"],
    "tests/grader/test_cluster.py": ["00"],
    "tests/grader/test_cold_start.py": [],
    "tests/grader/test_command_line.py": [],
    "tests/grader/test_editors.py": EVERY_KATA,
    "tests/grader/test_elsewhere.py": ["01", "16"],
    "tests/grader/test_export.py": EVERY_KATA,
    "tests/grader/test_faults.py": ["15"],
    "tests/grader/test_hidden_specs.py": [],
    "tests/grader/test_kernels.py": ["01", "31", "kernels/01", "kernels/07"],
    "tests/grader/test_learner.py": ["00", "01", "16", "today/05"],
    "tests/grader/test_notebooks.py": EVERY_KATA,
    "tests/grader/test_rules.py": ["00", "01", "14", "15", "16", "tinytorch/01"],
    "tests/grader/test_setup.py": [],
    "tests/grader/test_slips.py": EVERY_KATA,
    "tests/grader/test_submissions.py": ["00", "01", "02", "03", "20", "tinytorch/06"],
    "tests/grader/test_term.py": ["01", "02", "03"],
    "tests/grader/test_tutor.py": ["15"],
    "tests/grader/test_watch.py": ["01", "02"],
}


class Tier:
    """Leaves the tests of the other tier out.

    Attributes:
        changed: the files that are not as on the main branch. What reads one is quick.
        left: files of tests that read one, and need what is not installed.
    """

    def __init__(self, tier: str):
        self.tier = tier
        self.seconds = cost.on_record()
        self.changed, self.compared = difference()
        self.katas = all_katas()
        read = (
            {file: map(find, names) for file, names in READS.items()}
            if self.changed
            else {}
        )
        about = {
            file
            for file, katas in read.items()
            if any(OF_A_KATA.files(kata) & self.changed for kata in katas)
        }
        # The quick tests may have been without what is installed for the rest, which
        # runs these in any case.
        needing = about & NEEDS.keys()
        self.left = {
            file
            for file in needing
            if tier == "rest" or not importlib.util.find_spec(NEEDS[file])
        }
        self.about_a_change = about - self.left

    def pytest_ignore_collect(self, collection_path: Any) -> bool | None:
        """A file without a quick test is not even imported."""
        name = (
            collection_path.relative_to(ROOT).as_posix()
            if collection_path.suffix == ".py"
            else ""
        )
        return (
            True
            if name and self.tier == "quick" and not self._has_quick_tests(name)
            else None
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        taken: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            taken[self.is_quick(item) == (self.tier == "quick")].append(item)
        config.hook.pytest_deselected(items=taken[False])
        items[:] = taken[True]

    @pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
    def what_has_changed_comes_first(self, items: list[pytest.Item]) -> None:
        """It is what most likely fails."""
        items.sort(key=lambda item: not self._reads_a_change(item))

    def is_quick(self, item: pytest.Item) -> bool:
        if self._reads_a_change(item):
            return True
        if promise := _promise(item):
            return self._is_quick_promise(*promise)
        file, _, name = item.nodeid.partition("::")
        return self._has_quick_tests(file) and any(
            part in name for part in DEAR.get(file, [EVERY])
        )

    def _reads_a_change(self, item: pytest.Item) -> bool:
        if not self.changed:
            return False
        if promise := _promise(item):
            kata, made = promise
            return self._can_run(kata, made) and bool(
                promises.READS[made].files(kata) & self.changed
            )
        return item.nodeid.partition("::")[0] in self.about_a_change

    def _can_run(self, kata: Kata, promise: Promise) -> bool:
        is_here = self.tier == "quick" and not kata.description.lack
        return promise in READING or "triton" not in kata.description.needs or is_here

    def _is_quick_promise(self, kata: Kata, promise: Promise) -> bool:
        # an extra brings it, so make test has it here and not there
        if "triton" in kata.description.needs:
            return promise in READING
        if promise is promises.sealed:
            return kata.name in SEALED
        if promise in SAMPLED or (
            promise is promises.reference_passes and kata.description.needs
        ):
            return kata in self.katas[::EACH] and not (
                promise is promises.textbook and kata.description.needs
            )
        return promise in HEART

    def _has_quick_tests(self, file: str) -> bool:
        is_cheap = self.seconds.get(file, 0.0) <= CHEAP and file not in NOT_QUICK
        return file in DEAR or is_cheap or file in self.about_a_change

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.tier == "quick":
            terminalreporter.write_line(told(self.changed, self.compared))
            for file in sorted(self.left):
                terminalreporter.write_line(
                    f"left to make test-rest, which installs {NEEDS[file]}: {file}"
                )


def _promise(item: pytest.Item) -> tuple[Kata, Promise] | None:
    """The kata and the promise that this test tries, if it is one of those."""
    given = getattr(getattr(item, "callspec", None), "params", {})
    return (
        (given["kata"], given["promise"])
        if given.keys() >= {"kata", "promise"}
        else None
    )


def difference() -> tuple[set[Path], str]:
    """The files that are not as on the main branch, and what they were compared with.

    For a file that is gone, all that lie where it was: what reads them may miss it.
    """
    base, compared = _base()
    if not base:
        return set(), compared
    names = _git("diff", "--name-only", "--no-renames", "-z", base) + _git(
        "ls-files", "-z", "-o", "--exclude-standard"
    )
    changed = set[Path]()
    for path in (ROOT / name for name in names):
        there = next(one for one in (path, *path.parents) if one.exists())
        changed.update([path] if there == path else there.iterdir())
    return changed, compared


def _base() -> tuple[str, str]:
    """The commit to compare with, if there is one, and its name for people."""
    [head] = _git("rev-parse", "HEAD") or [""]
    [main] = _git("merge-base", "HEAD", "origin/main") or [""]
    if not head:
        return "", "nothing: this is no git repository with a commit"
    if not main:
        return head, "HEAD alone: no origin/main, or not enough of its history, is here"
    return (
        main,
        "HEAD, which is on origin/main"
        if main == head
        else f"origin/main at {main[:8]}",
    )


def _git(*arguments: str) -> list[str]:
    """What git prints, by line or, with -z, by name; nothing where it fails or is
    not there.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True
        )
    except FileNotFoundError:
        return []
    return (
        []
        if done.returncode
        else done.stdout.rstrip("\0\n").split("\0")
        if done.stdout
        else []
    )


def told(changed: set[Path], compared: str) -> str:
    names = sorted(path.relative_to(ROOT).as_posix() for path in changed)
    listed = ", ".join(names[:TOLD]) + (
        f" and {len(names) - TOLD} more" if names[TOLD:] else ""
    )
    return (
        f"compared with {compared}; differs, and what reads it is quick: "
        f"{listed or 'nothing'}"
    )


def main() -> int:
    changed, compared = difference()
    print(told(changed, compared))
    if changed and all(
        is_content(path.relative_to(ROOT).as_posix()) for path in changed
    ):
        return 0
    print(
        "more than katas and pages differs, or nothing is known to: the rest must "
        "run, too"
    )
    return 1


def is_content(name: str) -> bool:
    """Whether a change of this file can break only what reads it: a kata's, a
    reference, a page.
    """
    return name.startswith(("katas/", "solutions/", "docs/")) or (
        "/" not in name and name.endswith(".md")
    )


if __name__ == "__main__":
    sys.exit(main())
