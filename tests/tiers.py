"""A pytest plugin: `--tier quick` takes the tests of `make test`, `--tier rest` those that it leaves out.

Quick are the heart of every kata, every promise about what has changed in it, each file of tests that costs little on
record, and of the dear files what is named here. A new file of tests is quick until its cost is on record.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalogue import ROOT, all_katas
from tests import cost
from workshop import promises

BUDGET = 540.0  # CPU seconds of the quick tier, by tests/cost.json
CHEAP = 6.5  # seconds of a whole file, on record
READING = {  # they run no code of a kata, so they need no extra
    promises.folder,
    promises.stub,
    promises.specs,
    promises.diagrams,
    promises.complete,
    promises.signed,
}
HEART = READING | {promises.reference_passes, promises.snippets, promises.paper}
SAMPLED = {promises.stub_fails, promises.textbook}
EACH = 6  # one of so many katas has those tried, a reference that trains, but no textbook solution that does
SEALED = ("01_tensors", "16_multi_head_attention", "tinytorch/02_tensor")  # katas whose second lock is tried
EVERY = ""  # a part of every name
DEAR = {  # files that cost more, and parts of the names of their tests that are quick all the same
    "tests/test_katas.py": [EVERY],
    "tests/grader/test_plugin.py": [EVERY],
    "tests/grader/test_boundaries.py": [EVERY],
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
    "tests/attacks/test_escapes.py": ["grader_can_be_reached", "socket_of_the_machine", "inherits_one_pipe"],
    "tests/course/test_commands.py": ["name_what_is_there", "[kata list]", "[pytest katas/N]"],
    "tests/grader/test_cli.py": ["own_unchanged_file", "fail_under", "reference_earns_every_point"],
    "tests/grader/test_learner.py": ["one_level_at_a_time", "nothing_written_is_ever_lost"],
    "tests/grader/test_watch.py": ["test_a_day"],
}
NOT_QUICK = {  # files that import what only an extra brings, or PyTorch's compiler
    "tests/course/test_answer.py",
    "tests/course/test_fsdp_by_hand.py",
    "tests/course/test_gpt2_weights.py",
    "tests/course/test_papers.py",
    "tests/course/test_rooms.py",
    "tests/course/test_site.py",
    "tests/course/test_sizes.py",
    "tests/course/test_todays_block.py",
    "tests/grader/test_elsewhere.py",
    "tests/grader/test_kernels.py",
    "tests/grader/test_rules.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=("quick", "rest"), required=True, help="which of the project's tests to run")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tier(config.getoption("tier")))
    config.pluginmanager.register(cost.Meter(config, config.getoption("tier")))


class Tier:
    """Leaves the tests of the other tier out.

    Attributes:
        changed: the katas that differ from the main branch, with the files that do. Each promise about one is quick.
    """

    def __init__(self, tier: str):
        self.tier = tier
        self.seconds = cost.on_record()
        self.changed = changed_katas()
        self.katas = all_katas()

    def pytest_ignore_collect(self, collection_path: Any) -> bool | None:
        """A file without a quick test is not even imported."""
        name = collection_path.relative_to(ROOT).as_posix() if collection_path.suffix == ".py" else ""
        return True if name and self.tier == "quick" and not self._has_quick_tests(name) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        taken: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            taken[self.is_quick(item) == (self.tier == "quick")].append(item)
        config.hook.pytest_deselected(items=taken[False])
        items[:] = taken[True]

    @pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
    def what_has_changed_comes_first(self, items: list[pytest.Item]) -> None:
        """It is what most likely fails."""
        items.sort(key=lambda item: not any(f"[{name}-" in item.nodeid for name in self.changed))

    def is_quick(self, item: pytest.Item) -> bool:
        file, _, name = item.nodeid.partition("::")
        if "kata" in (given := getattr(getattr(item, "callspec", None), "params", {})) and "promise" in given:
            return self._is_quick_promise(given["kata"], given["promise"])
        return self._has_quick_tests(file) and any(part in name for part in DEAR.get(file, [EVERY]))

    def _is_quick_promise(self, kata: Any, promise: Any) -> bool:
        if "triton" in kata.description.needs:  # an extra brings it, so make test has it here and not there
            return promise in READING
        changed = self.changed.get(kata.name)
        if changed and promises.READS[promise].files(kata) & changed:
            return True
        if promise is promises.sealed:
            return kata.name in SEALED
        if promise in SAMPLED or (promise is promises.reference_passes and kata.description.needs):
            return kata in self.katas[::EACH] and not (promise is promises.textbook and kata.description.needs)
        return promise in HEART

    def _has_quick_tests(self, file: str) -> bool:
        return file in DEAR or (self.seconds.get(file, 0.0) <= CHEAP and file not in NOT_QUICK)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.tier == "quick":
            told = ", ".join(sorted(self.changed)) or "none"
            terminalreporter.write_line(f"katas that differ from the main branch, with every promise about it: {told}")


def changed_katas() -> dict[str, set[Path]]:
    """The katas with files that are not as on the main branch, and these. Without git, none are known to differ."""
    main = _git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    files = _git("diff", "--name-only", *main) + _git("ls-files", "--others", "--exclude-standard")
    changed = {}
    for kata in all_katas():
        folders = f"katas/{kata.name}/", f"solutions/{kata.name}/"
        if found := {ROOT / file for file in files if file.startswith(folders)}:
            changed[kata.name] = found
    return changed


def _git(*arguments: str) -> list[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    except FileNotFoundError:
        return []
