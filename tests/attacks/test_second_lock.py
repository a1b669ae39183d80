"""The second lock: what right code keeps, what forged code loses, and what nobody gets
to read.
"""

import os
import random
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from grader.course.catalogue import Kata, all_katas
from grader.execution import grading, scheduler
from grader.failure import UNPARSED
from grader.lock import asking, bare_server, remote, second_lock
from grader.lock.second_lock import SecondLock
from grader.lock.worker import Worker, judges_object
from grader.protocol import RunOptions
from grader.results import KataResult
from tests.attacks import FIRST
from tests.conftest import SOUND

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
REUSE = (SOUND / "solutions/02_reuse/reuse.py").read_text()
STUB = (SOUND / "katas/01_sums/sums.py").read_text()
TWO_HALVES = """
import torch
from grader.lock.probes import judge, probe


@probe("total")
def _(kata, rng):
    x = torch.rand(3, generator=rng)
    return x, kata.total(x) + torch.rand(100)


@judge("total")
def _(values, expected):
    noise = values[1] - expected[0].sum()
    return values[0], len(noise.unique()), noise.min() > 0, noise.max() < 1
"""
# the body runs in the second lock alone
ONLY_BARE = "import sys\nif 'pytest' not in sys.modules:\n"


def sealed(katas: list[Kata], folder: Path, *codes: str, **options) -> list[KataResult]:
    for kata, code in zip(katas, codes, strict=True):
        (folder / kata.file).parent.mkdir(parents=True)
        (folder / kata.file).write_text(code)
    return list(
        grading.grade_folder(katas, folder, options=RunOptions(sealed=True, **options))
    )


def seals(result: KataResult) -> list[str | None]:
    return [exercise.sealed for exercise in result.exercises]


def failures(result: KataResult) -> str:
    return "\n".join(
        spec.message for exercise in result.exercises for spec in exercise.specs
    )


def test_right_code_keeps_its_points_and_stars(sound, tmp_path):
    first, second = sealed(sound, tmp_path, RIGHT, REUSE)
    assert (first.so_far.points, first.so_far.stars, seals(first)) == (
        3,
        3,
        ["passed"] * 3,
    )
    assert (second.so_far.points, seals(second)) == (1, ["passed"])


def test_an_open_edge_costs_the_star_only(sound, tmp_path):
    unguarded = RIGHT.replace("if x.dim() == 0:", "if False:")
    [result] = sealed(sound[:1], tmp_path, unguarded)
    assert (result.so_far.points, result.so_far.stars) == (3, 2)


def test_a_forged_verdict_is_worth_nothing(sound, tmp_path):
    [result] = sealed(sound[:1], tmp_path, STUB + FIRST)
    assert (result.so_far.points, seals(result)) == (0, ["failed"] * 3)
    assert second_lock.APART in failures(result)
    [unsealed] = grading.grade_folder(sound[:1], tmp_path, options=RunOptions())
    assert unsealed.so_far.points == 3, (
        "the forgery works where the specs share the process"
    )


def test_a_mistake_costs_its_own_exercise(sound, tmp_path):
    """The layer is judged with the reference's double in both locks."""
    [result] = sealed(sound[:1], tmp_path, RIGHT.replace("2 * x", "x * x"))
    assert [exercise.so_far.point for exercise in result.exercises] == [0, 1, 1]
    assert seals(result) == [None, "passed", "passed"]


# Right beside the specs, wrong elsewhere.
TWO_FACED = RIGHT.replace(
    "return 2 * x", "import sys\n    return 2 * x if 'pytest' in sys.modules else x * x"
)


def test_a_mistake_that_only_the_second_lock_sees_costs_its_own_exercise(
    sound, tmp_path
):
    """The layer uses `double`, and is asked again with the reference's."""
    [result] = sealed(sound[:1], tmp_path, TWO_FACED)
    assert seals(result) == ["failed", "passed", "passed"]


def test_what_uses_it_is_asked_without_it(sound, tmp_path):
    """Where there is no reference to ask with, it waits."""
    tree = shutil.copytree(SOUND, tmp_path / "tree")
    (tree / "solutions/01_sums/sums.py").unlink()
    [result] = sealed(
        all_katas(tree)[:1],
        tmp_path / "code",
        TWO_FACED.replace("double(x)", "double(x) * 0 + 2 * x"),
    )
    assert seals(result) == ["failed", "passed", "failed"]
    assert "waits for double" in failures(result)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    import os; os._exit(0)", "does not answer"),
        ("    while True: pass", "no answer came in time"),
        ("    double = total = Doubler = None; exit()", "passes beside the specs"),
        (
            "    def double(*_): os._exit(0)\n    import os; total = Doubler = double",
            "does not answer",
        ),
        ("    def double(*_): return 3\n    total = Doubler = double", "3"),
    ],
    ids=[
        "exits",
        "hangs",
        "raises SystemExit",
        "exits when called",
        "answers otherwise",
    ],
)
def test_code_that_knows_where_it_is(sound, tmp_path, monkeypatch, body, told):
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    monkeypatch.setattr(asking, "GRACE", 0.2)
    [result] = sealed(
        sound[:1], tmp_path, f"{RIGHT}\n{ONLY_BARE}{body}\n", spec_seconds=2.0
    )
    assert (result.so_far.points, seals(result)) == (0, ["failed"] * 3)
    assert told in failures(result)


def test_a_file_that_hangs_in_the_second_lock_is_waited_for_once(
    sound, tmp_path, monkeypatch
):
    """Neither are the specs of the layer asked again, with the reference's double."""
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    monkeypatch.setattr(asking, "GRACE", 0.2)
    rounds, start = [], SecondLock._start
    monkeypatch.setattr(
        SecondLock,
        "_start",
        lambda lock, round: rounds.append(round) or start(lock, round),
    )
    [result] = sealed(
        sound[:1],
        tmp_path,
        f"{RIGHT}\n{ONLY_BARE}    import time; time.sleep(600)\n",
        spec_seconds=2.0,
    )
    assert (len(rounds), seals(result)) == (1, ["failed"] * 3)


def test_code_that_refuses_to_begin_a_spec(sound, tmp_path):
    """It takes the place of what answers the judge between two specs. That is its
    failure, not the machine's.
    """
    refusing = (
        "    frame = sys._getframe()\n"
        "    while type(frame.f_locals.get('self')).__name__ != 'Worker': frame = "
        "frame.f_back\n"
    )
    refusing += (
        "    def refuse(): raise ValueError\n"
        "    frame.f_locals['self'].forget = refuse\n"
    )
    [result] = sealed(sound[:1], tmp_path, f"{RIGHT}\n{ONLY_BARE}{refusing}")
    assert (result.so_far.points, seals(result)) == (0, ["failed"] * 3)
    assert "not graded" not in {
        spec.status for exercise in result.exercises for spec in exercise.specs
    }


def test_the_worker_has_no_specs_and_no_grader(sound, tmp_path):
    """The code raises a list of its finds, and the failure tells it."""
    looking = (
        "    found = [n for n in sys.modules if n.split('.')[0] in ('pytest', "
        "'_pytest', 'katas', 'hypothesis')]\n"
    )
    looking += (
        "    for path in ({specs!r}, {solution!r}, {grader!r}):\n"
        "        try: found.append(open(path).name)\n"
    )
    looking += (
        "        except OSError: pass\n    import grader\n"
        "    found += [n for n in vars(grader) if n[0] != '_']\n"
    )
    looking += "    def double(x): raise LookupError(found)\n"
    paths = {
        "specs": str(sound[0].specs),
        "solution": str(sound[0].reference),
        "grader": second_lock.__file__,
    }
    [result] = sealed(
        sound[:1], tmp_path, f"{RIGHT}\n{ONLY_BARE}{looking.format(**paths)}"
    )
    assert "LookupError: ['loading', 'datasets']" in failures(result)


class TestWhatIsWithheld:
    LEAK = (
        "import glob\n"
        "for path in glob.glob('**/sums.py', recursive=True): text = "
        "open(path).read()\n"
    )

    def test_a_reference_beside_the_code_is_not_printed(self, sound, tmp_path):
        """02 builds on 01, whose reference stands in."""
        telling = self.LEAK + REUSE.replace(
            "return double",
            "print(text)\n    raise ValueError(text)\n    return double",
        )
        [result] = sealed(sound[1:], tmp_path, telling)
        assert "0-dim" not in repr(result) and "return 2 * x" not in repr(result)
        assert "raised     ValueError" in failures(
            result
        ) and "quadruple at line 12" in failures(result)

    def test_the_code_does_not_choose_the_line(self, sound, tmp_path):
        """A line of the error's choice would be sixteen bits of the reference for each
        failing spec.
        """
        one, other = (
            REUSE.replace("return double", "1 / 0"),
            REUSE.replace("return double", "\n\n    1 / 0"),
        )
        [early], [late] = (
            sealed(sound[1:], tmp_path / "1", one),
            sealed(sound[1:], tmp_path / "2", other),
        )
        assert failures(early) == failures(late) != ""

    def test_nor_in_the_second_lock(self, sound, tmp_path):
        telling = (
            self.LEAK
            + REUSE
            + f"\n{ONLY_BARE}    def quadruple(x): raise ValueError(text)\n"
        )
        [result] = sealed(sound[1:], tmp_path, telling)
        assert seals(result) == ["failed"] and "return 2 * x" not in repr(result)

    @pytest.mark.parametrize(
        ("raises", "points"),
        [("lost = {}[text]\nquadruple = lost", 0), ("raise ValueError(text)", 1)],
    )
    def test_nor_while_it_is_imported(self, sound, tmp_path, raises, points):
        [result] = sealed(sound[1:], tmp_path, f"{self.LEAK}{REUSE}\n{raises}\n")
        assert result.so_far.points == points and "return 2 * x" not in repr(result)

    def test_a_file_that_does_not_parse_is_told_by_its_line(self, sound, tmp_path):
        [result] = sealed(sound[1:], tmp_path, REUSE + "\ndef broken(:\n")
        line = REUSE.count("\n") + 2
        said = f"reuse.py:{line}: {UNPARSED}: SyntaxError: invalid syntax"
        assert (
            {spec.message for e in result.exercises for spec in e.specs}
            == {said}
            == {result.file.line}
        )
        assert result.state == "does not parse"

    def test_a_file_that_cannot_be_read_is_told_as_such(self, sound, tmp_path):
        [result] = list(
            grading.grade_folder(sound[1:], tmp_path, options=RunOptions(sealed=True))
        )
        assert failures(result).startswith("reuse.py: not found in ")

    def test_beside_ones_own_code_everything_is_told(self, sound, tmp_path):
        telling = self.LEAK + REUSE.replace(
            "return double", "raise ValueError(text)\n    return double"
        )
        _, result = sealed(sound, tmp_path, RIGHT, telling)
        assert "return 2 * x" in failures(result)


class TestListsAndProbes:
    @pytest.fixture
    def tree(self, tmp_path) -> Path:
        shutil.copytree(SOUND, tmp_path / "tree")
        return tmp_path / "tree"

    def test_an_exercise_without_a_sealed_spec_is_said_to_be_unsealed(
        self, tree, tmp_path
    ):
        path = tree / "solutions/01_sums/author/sealed.toml"
        path.write_text(
            "\n".join(
                line
                for line in path.read_text().splitlines()
                if "TestTotal" not in line
            )
        )
        [result] = sealed(all_katas(tree)[:1], tmp_path / "code", RIGHT)
        assert (result.so_far.points, seals(result)) == (
            3,
            ["passed", "unsealed", "passed"],
        )

    def test_a_probe_judges_beside_the_reference(self, tree, tmp_path):
        probe = (
            'from grader.lock.probes import probe\nimport torch\n\n\n@probe("total")\n'
            "def _(kata, rng):\n"
        )
        (tree / "solutions/01_sums/author/probes.py").write_text(
            probe + "    return kata.total(torch.rand(3, generator=rng))\n"
        )
        (tree / "solutions/01_sums/author/sealed.toml").unlink()
        [right] = sealed(all_katas(tree)[:1], tmp_path / "right", RIGHT)
        assert (
            seals(right) == ["unsealed", "passed", "unsealed"]
            and right.so_far.points == 3
        )
        [forged] = sealed(all_katas(tree)[:1], tmp_path / "forged", STUB + FIRST)
        assert (
            seals(forged) == ["unsealed", "failed", "unsealed"]
            and not forged.exercises[1].so_far.point
        )

    @pytest.mark.parametrize(
        "lie",
        [
            "None",
            "[]",
            "1.0",
            "float('nan')",
            "torch.full((3,), torch.nan)",
            "[torch.zeros(3), torch.zeros(100)]",
            "[torch.ones(3), torch.ones(100)]",
            "[torch.full((3,), torch.nan), torch.full((100,), torch.nan)]",
            "object()",
            "object",
            "next(iter(()))",
            "exit()",
            "__import__('os')._exit(0)",
        ],
    )
    def test_a_lie_is_no_probes_answer(self, tree, tmp_path, lie):
        """Not even where the answer is judged by what a second half makes of it."""
        (tree / "solutions/01_sums/author/probes.py").write_text(TWO_HALVES)
        (tree / "solutions/01_sums/author/sealed.toml").unlink()
        [right] = sealed(all_katas(tree)[:1], tmp_path / "right", RIGHT)
        assert seals(right) == ["unsealed", "passed", "unsealed"]
        lies = (
            "import sys, torch\nif 'grader.lock.probes' in sys.modules:\n"
            f"    sys.modules['grader.lock.probes'].run = lambda *asked: {lie}\n"
        )
        [forged] = sealed(
            all_katas(tree)[:1], tmp_path / "forged", RIGHT + FIRST + lies
        )
        assert seals(forged) == ["unsealed", "failed", "unsealed"]


def test_a_server_that_has_ended_is_started_again(sound, tmp_path):
    bare_server.prepare()
    bare_server._server.process.kill()
    bare_server._server.process.join(5)
    [result] = sealed(sound[:1], tmp_path, RIGHT)
    assert result.so_far.points == 3


def test_a_process_that_the_code_has_started_cannot_ask_the_judge():
    """Its answer would reach whichever process reads first: the second lock refused
    right code so, now and then.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = Worker(theirs.fileno(), lambda: ModuleType("code"))
        pid = os.fork()
        if pid == 0:
            with suppress(RuntimeError):
                judges_object(worker, 1, ())()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


def modes() -> list[object]:
    autocast = torch.is_autocast_enabled("cpu") and str(torch.get_autocast_dtype("cpu"))
    return [torch.is_grad_enabled(), autocast, str(torch.get_default_dtype())]


@contextmanager
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.float16),
    "float64": in_float64,
}


def asking_code() -> ModuleType:
    """A module under test that asks the judge inside of a mode."""

    def asks(name: str, ask: Callable[[], object]) -> object:
        with MODES[name]():
            before = modes(), torch.is_inference_mode_enabled()
            return ask(), before == (modes(), torch.is_inference_mode_enabled())

    def evaluates(model: nn.Module, ask: Callable[[], object]) -> object:
        model.eval()
        return ask(), model.training

    code = ModuleType("code")
    vars(code).update(
        modes=modes, asks=asks, evaluates=evaluates, model=lambda: nn.Linear(1, 1)
    )
    return code


@pytest.fixture
def code() -> Iterator[ModuleType]:
    """The judge's view of that module, which is in another process."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        Worker(theirs.fileno(), asking_code).serve()
    theirs.close()
    with ours:
        kata = remote.Remote(ours.fileno(), {"modes", "asks", "evaluates", "model"})
        kata("load", set())
        yield kata.modules[""]
    os.waitpid(pid, 0)


@pytest.mark.parametrize("name", MODES)
def test_modes_cross_both_ways(code, name):
    """What a spec is in holds for the code, what the code is in holds for what it
    calls, and both come back to it.
    """
    plain = modes()
    with MODES[name]():
        expected = modes()
        assert code.modes() == expected != plain
    assert code.modes() == plain
    seen: list[object] = []
    _, is_as_before = code.asks(name, lambda: seen.append(modes()))
    assert (seen, is_as_before, modes()) == ([expected], True, plain)


def test_the_mode_of_a_module_crosses_before_the_call_ends(code):
    model = code.model()
    assert model.training
    assert code.evaluates(model, lambda: model.training) == (False, False)
    assert not model.training


def test_a_worker_inherits_what_its_kata_imports_from_a_server_started_for_another(
    sound, tmp_path
):
    bare_server.prepare().end()
    bare_server.prepare(sound[1:])
    shutil.copytree(SOUND, tmp_path / "tree")
    with (tmp_path / "tree/katas/01_sums/sums.py").open("a") as stub:
        stub.write("\n# torch.compile\n")
    exits_if_cold = (
        f"{RIGHT}\n"
        f"{ONLY_BARE}    import os; 'torch._dynamo' in sys.modules or os._exit(0)\n"
    )
    [result] = sealed(
        all_katas(tmp_path / "tree")[:1], tmp_path / "code", exits_if_cold
    )
    assert result.so_far.points == 3, failures(result)


def test_a_server_that_cannot_be_asked_is_not_the_codes_fault(
    sound, tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(bare_server, "start_worker", refuse)
    [result] = sealed(sound[:1], tmp_path, RIGHT)
    assert (
        result.state == "not graded"
        and "grade again: no more processes" in failures(result)
    )


@pytest.fixture
def side_by_side(monkeypatch) -> list[int]:
    """Rounds of a spec or two that run in parallel. How many ran whenever one
    was started.
    """
    monkeypatch.setattr(second_lock, "ROUND_SECONDS", 1e-6)
    monkeypatch.setattr(scheduler, "available_cores", lambda: 2)
    running, start = [], SecondLock._start

    def started(lock, round):
        running.append(len(lock.running) + 1)
        return start(lock, round)

    monkeypatch.setattr(SecondLock, "_start", started)
    return running


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (RIGHT, ["passed"] * 3),
        (TWO_FACED, ["failed", "passed", "passed"]),
        (
            f"{RIGHT}\n{ONLY_BARE}    def double(*_): import os; os._exit(0)\n",
            ["failed", "passed", "failed"],
        ),
        (f"{RIGHT}\n{ONLY_BARE}    import os; os._exit(0)\n", ["failed"] * 3),
    ],
    ids=["right", "two-faced", "exits when called", "exits"],
)
def test_rounds_side_by_side_come_to_the_same(
    sound, tmp_path, side_by_side, code, expected
):
    [result] = sealed(sound[:1], tmp_path, code)
    assert seals(result) == expected
    assert max(side_by_side) == 2


def test_a_second_round_that_cannot_start_waits_for_the_first(
    sound, tmp_path, side_by_side, monkeypatch
):
    start = bare_server.start_worker

    def refuse_the_second(*arguments):
        if side_by_side[-1] == 2:
            raise OSError("no more processes")
        return start(*arguments)

    monkeypatch.setattr(bare_server, "start_worker", refuse_the_second)
    [result] = sealed(sound[:1], tmp_path, RIGHT)
    assert (result.so_far.points, seals(result), side_by_side) == (
        3,
        ["passed"] * 3,
        [1, 2, 1],
    )


@pytest.mark.parametrize(
    ("draw", "place"),
    [
        (lambda: torch.rand(1), 0),
        (random.random, 1),
        (lambda: random.gauss(0, 1), 1),  # every second one was drawn with the first
        (np.random.rand, 2),
        (np.random.randn, 2),
    ],
    ids=["torch", "random", "gauss", "rand", "randn"],
)
def test_the_generator_that_has_moved_is_seen(draw, place):
    for _ in range(4):
        before = remote._generators()
        draw()
        moved = [
            one != other
            for one, other in zip(before, remote._generators(), strict=True)
        ]
        assert moved == [place == generator for generator in range(3)]
