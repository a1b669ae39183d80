"""`kata watch` in a pseudo-terminal: saves of every kind, keys, broken and hanging
code, narrow or no terminals.
"""

import fcntl
import io
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from grader.course.catalogue import ROOT, all_katas, find
from grader.execution.supervisor import Supervisor
from grader.learner import inputs, tasks
from grader.learner.inputs import Event
from grader.learner.screen import Screen
from grader.learner.watch import Session
from tests.conftest import SOUND

ONE = find("01")
RIGHT, STUB = ONE.reference.read_text(), (ONE.folder / ONE.file.name).read_text()
WRONG = RIGHT.replace("return torch.arange(n)", "return torch.arange(1, n + 1)")
assert WRONG != RIGHT, "the reference has changed: this mistake has to follow"
HANGING = RIGHT + "\n\ndef count_to(n):\n    while True:\n        pass\n"
SECONDS = 300


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout of its own with katas 01 and 02, so that nothing here writes to the
    real ones.
    """
    shutil.copytree(
        ROOT / "grader",
        tmp_path / "grader",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for number in ("01", "02"):
        for folder in (find(number).folder, find(number).reference.parent):
            shutil.copytree(
                folder,
                tmp_path / folder.relative_to(ROOT),
                ignore=shutil.ignore_patterns("__pycache__"),
            )
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def command(checkout: Path, *arguments: str) -> dict:
    run = "from grader.cli.main import main; main()"
    around = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES")
    }
    return {
        "args": [sys.executable, "-c", run, "watch", *arguments],
        "cwd": checkout,
        "env": around | {"PYTHONPATH": str(checkout), "TERM": "xterm"},
    }


class Terminal:
    """`kata watch` in a pseudo-terminal: what it has written so far, and what to
    wait for.
    """

    def __init__(self, checkout: Path, *arguments: str, columns: int = 100):
        self.master, slave = pty.openpty()
        self.resize(columns)
        self.before = termios.tcgetattr(slave)
        self.slave, self.said, self.seen = slave, "", 0
        self.process = subprocess.Popen(
            **command(checkout, *arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                came = os.read(self.master, 65536)
            except OSError:
                return
            self.said += came.decode(errors="replace").replace("\r\n", "\n")

    def waits_for(self, text: str) -> str:
        """The output since the last wait, up to and with this text."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.said)
            if text in found[self.seen :]:
                end = found.index(text, self.seen) + len(text)
                came, self.seen = found[self.seen : end], end
                return came
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in {found[self.seen :]!r}")

    def verdict(self, text: str) -> str:
        """Waits for the text and then for the line of keys that ends a verdict."""
        return self.waits_for(text) + self.waits_for("q quit")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int) -> None:
        fcntl.ioctl(
            self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0)
        )

    def ends(self) -> int:
        code = self.process.wait(SECONDS)
        assert termios.tcgetattr(self.slave) == self.before, (
            "the terminal is not as it was found"
        )
        return code


@pytest.fixture
def terminal(checkout):
    started: list[Terminal] = []

    def start(*arguments: str, **options) -> Terminal:
        started.append(Terminal(checkout, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        os.close(one.master), os.close(one.slave)


def save(checkout: Path, text: str, how: str = "write") -> None:
    path = checkout / "katas" / ONE.file
    if how == "write":
        path.write_text(text)
    if how == "rename":
        path.with_suffix(".swp").write_text(text)
        os.replace(path.with_suffix(".swp"), path)
    if how == "burst":
        for end in range(0, len(text), len(text) // 6):
            path.write_text(text[:end])
        path.write_text(text)


def test_a_day(terminal, checkout):
    """Save right and wrong, by rename and in bursts, half-typed, deleted; hints; the
    next kata and back.
    """
    screen = terminal("01")
    screen.verdict("count_to: not written yet")
    save(checkout, WRONG)
    assert "FAILED  count_to" in screen.verdict("kata hint 01 count_to")
    screen.press("h")
    screen.waits_for("count_to, hint 1 of ")
    screen.press("h")
    screen.waits_for("count_to, hint 2 of ")
    save(checkout, RIGHT + "\ndef (\n")
    assert "FAILED" not in screen.verdict("tensors.py:")
    save(checkout, WRONG, "rename")
    screen.verdict("FAILED  count_to")
    (checkout / "katas" / ONE.file).unlink()
    screen.verdict("tensors.py: not found in")
    save(checkout, RIGHT, "burst")
    said = screen.verdict("Every exercise of this kata works. Press N for 02 Reshaping")
    assert "✓ count_to works: " in said
    screen.press("N")
    screen.verdict("to_rows: not written yet")
    screen.press("N")
    screen.waits_for("This is the last kata of the path.")
    screen.press("P")
    screen.verdict("Every exercise of this kata works")
    screen.press("a")
    screen.verdict(f"{len(ONE.exercises)}/{len(ONE.exercises)}")
    screen.press("l")
    screen.waits_for("Objectives")
    screen.press("qr")
    screen.verdict("Every exercise of this kata works")
    screen.press("q")
    assert screen.ends() == 0


class NoInputs:
    """A learner who only saves."""

    sources = ()

    def follow(self, folder: Path) -> None:
        pass


@pytest.fixture
def session(tmp_path) -> Session:
    """With the sound tree, in this process: what it says is in its screen's console."""
    shutil.copytree(SOUND, tmp_path / "tree")
    katas = all_katas(tmp_path / "tree")
    console = Console(record=True, width=100, file=open(os.devnull, "w"))
    return Session(katas, katas[0], Screen(console, has_keys=False), NoInputs())


def test_open_edges_are_named_once_an_exercise_works(session):
    """In one line, after which the next exercise follows; again when the whole
    kata works.
    """
    one, console = session.katas[0], session.screen.console
    right = one.reference.read_text()
    open_edge = right.replace("x.dim() == 0", "False")
    layer = (
        "\n\nclass Doubler:\n    def __init__(self):\n"
        "        raise NotImplementedError\n"
    )

    def said_after(text: str) -> str:
        one.code.write_text(text)
        session._judge_and_show()
        return console.export_text()

    line = "✓ total works: 2 of 2 · ★ 1 guard (press g)\n"
    assert "double: not written yet" in said_after(one.code.read_text())
    said = said_after(open_edge + layer)
    assert (
        "2 of 3  1★ double  2● total  [3○ Doubler]\n" in said
        and "Doubler: not written yet" in said
    )
    assert (
        "The core of this kata works. Stretch exercises left: Doubler. Press N "
        "for 02 Reuse."
    ) in said
    assert line in said
    session._handle_key("g")
    assert (
        console.export_text()
        == "\ntotal · no dimension is an error: There is nothing to sum over.\n"
    )
    assert line not in said_after(open_edge + layer + "\n# one more save\n")
    said = said_after(open_edge)
    assert (
        "Every exercise of this kata works. Press N for 02 Reuse." in said
        and line in said
    )
    said = said_after(right)
    assert "3 of 3  1★ double  2★ total  3★ Doubler\n" in said and "open" not in said


def test_what_is_not_written_is_shown_with_its_place(session):
    """The docstring without its edge cases; a class's with its __init__'s; nothing once
    there is another failure.
    """
    [one, two], console = session.katas, session.screen.console
    console.width = 60
    code = '''def double(x):
    """Double x.

    Edge cases ★
        An empty x.
    """
    raise NotImplementedError


def total(x, dim=None):
    raise NotImplementedError


class Doubler:
    """Doubles what it is called with, which takes a line that is long enough to be
    broken at the margin of this very file.
    """

    def __init__(self):
        """Nothing to keep."""
        raise NotImplementedError
'''
    one.code.write_text(code)
    session._judge_and_show()
    said = console.export_text()
    assert (
        "double: not written yet\n\n  Double x.\n\n"
        "  write it at katas/01_sums/sums.py:7\n"
    ) in said
    session._handle_key("3")
    session._judge_and_show()
    said = " ".join(console.export_text().split())
    assert (
        "broken at the margin of this very file. Nothing to keep. write it at "
        "katas/01_sums/sums.py:21"
    ) in said
    one.code.write_text(code.replace("raise NotImplementedError", "return 5", 1))
    session.state.chosen = ""
    session._judge_and_show()
    said = console.export_text()
    assert "FAILED  double" in said and "write it at" not in said
    assert (
        tasks.asked(one, "no_such") == "" and tasks.asked(two, "quadruple.inner") == ""
    )


def test_keys_lead_from_exercise_to_exercise(session):
    """n and p, a number, c to compare, h for the exercise at hand; and what they say
    where there is nothing.
    """
    one, console = session.katas[0], session.screen.console
    (one.folder / "hints.md").write_text(
        "## double\n1. A.\n\n## total\n1. B.\n\n## Doubler\n1. C.\n"
    )

    def said_after(key: str) -> str:
        session._handle_key(key)
        if session.state.text is None:
            session._judge_and_show()
        return console.export_text()

    assert "[1○ double]  2○ total" in said_after("r")
    assert "Go to one by its number" in said_after("c")
    assert "This kata has the exercises 1 to 3." in said_after("p")
    assert "1○ double  [2○ total]" in said_after("n")
    assert "total, hint 1 of 1: B." in said_after("h")
    assert "[3○ Doubler]" in said_after("3")
    one.code.write_text(one.reference.read_text())
    assert "✓ Doubler works: " in said_after("r")
    said = said_after("2")
    assert "[" not in said.splitlines()[1] and "✓ total works: 2 of 2 · ★" in said
    assert "+++ the textbook solution" in said_after("c")
    assert "there is no hint about its edge cases" in said_after("h")
    assert "This is the first kata of the path." in said_after("P")
    assert "[1○ quadruple]" in said_after("N")


def test_the_top_of_a_verdict_taller_than_the_terminal_stays_in_sight():
    """Space shows all of it."""
    for lines, whole, shown in ((30, False, 15), (30, True, 30), (15, False, 15)):
        out = io.StringIO()
        screen = Screen(
            Console(file=out, force_terminal=True, width=50, height=16, no_color=True),
            has_keys=True,
        )
        with screen.verdict(whole=whole):
            screen.console.print("\n".join(f"line {number}" for number in range(lines)))
        said = re.sub(r"\x1b\[\d*m", "", out.getvalue()).splitlines()
        assert len(said) == shown and said[:14] == [
            f"line {number}" for number in range(14)
        ]
        assert (said[-1] == "… 16 more lines  space all of it  h hint  q quit") == (
            shown < lines
        )


def test_before_the_first_verdict_there_is_what_worked_last(session):
    one = session.katas[0]
    one.code.write_text(one.reference.read_text().replace("x.dim() == 0", "x.nothing"))
    session._judge_and_show()
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=40, no_color=True)
    again = Session(session.katas, one, Screen(console, has_keys=True), NoInputs())
    again.screen.running = lambda: out.write("then it runs")
    again._judge_and_show()
    before, _, after = re.sub(r"\x1b\[[\d;]*[mHJ]", "", out.getvalue()).partition(
        "then it runs"
    )
    assert (
        "2 of 3  1● double  [2○ total]  3● Doubler\n" in before
        and "write it at katas/01_sums/sums.py:" in before
    )
    assert (
        "2 of 3  1★ double  [2○ total]  3★ Doubler\n" in after
        and "FAILED  total" in after
    )


def test_a_number_may_have_two_digits(monkeypatch):
    kata = next(kata for kata in all_katas() if len(kata.exercises) > 12)
    session = Session([kata], kata, Screen(Console(), has_keys=False), NoInputs())
    now = [100.0]
    monkeypatch.setattr("grader.learner.watch.time.monotonic", lambda: now[0])
    assert [session._number_typed(digit) for digit in "120"] == [1, 12, 0]
    now[0] += 5
    assert session._number_typed("2") == 2


def test_what_a_save_breaks_elsewhere_is_said(session):
    """But of a file that cannot be imported, nothing more than that."""
    one, console = session.katas[0], session.screen.console
    right = (
        one.reference.read_text()
        + "\n\ndef total(x, dim=0):\n    raise NotImplementedError\n"
    )
    wrong = right.replace("return 2 * x", "return x")

    for text, verdict, rest in (
        (right, "total: not written yet", ""),
        (
            wrong,
            "total: not written yet",
            "No longer working: double. Press a to see why.",
        ),
        (wrong + "def (", "SyntaxError", ""),
        (right, "total: not written yet", ""),
    ):
        one.code.write_text(text)
        session._judge_and_show()
        assert verdict in console.export_text()
        session._look_at_the_rest()
        assert console.export_text().strip() == rest


def test_an_exercise_that_was_written_out_of_turn_is_named(terminal, checkout):
    screen = terminal("01")
    screen.verdict("count_to: not written yet")
    save(checkout, STUB + "\n\ndef filled(rows, cols, value):\n    return None\n")
    screen.waits_for("Not working either: filled. Press a to see why.")


def test_a_hanging_spec_is_stopped_by_the_next_save(session, monkeypatch):
    one, check = session.katas[0], Supervisor.check
    right = one.reference.read_text()

    def save_while_a_spec_runs(job: Supervisor) -> None:
        if job.phase == "spec":
            one.code.write_text(right)
        check(job)

    monkeypatch.setattr(Supervisor, "check", save_while_a_spec_runs)
    one.code.write_text(right.replace("return 2 * x", "while True: pass"))
    with inputs.opened_inputs() as session.inputs:
        session.inputs.follow(one.folder)
        assert not session._judge_and_show()


def test_a_hanging_spec_is_said_and_watching_goes_on_until_control_c(
    terminal, checkout
):
    """Here a spec may take one second instead of ten. Control-C leaves the terminal as
    it was.
    """
    protocol = checkout / "grader" / "protocol.py"
    ten = "spec_seconds: float = 10.0"
    assert protocol.read_text().count(ten) == 1
    protocol.write_text(protocol.read_text().replace(ten, "spec_seconds: float = 1.0"))
    screen = terminal("01")
    screen.verdict("count_to: not written yet")
    save(checkout, HANGING)
    screen.verdict("used 1 s")
    save(checkout, WRONG)
    screen.verdict("FAILED  count_to")
    screen.process.send_signal(signal.SIGINT)
    assert screen.ends() == 0
    assert "Traceback" not in screen.said


def test_sixty_columns_and_a_resize(terminal, checkout):
    save(checkout, WRONG)
    screen = terminal("01", columns=60)
    said = screen.verdict("FAILED  count_to")
    assert max(map(len, said.splitlines())) <= 60
    screen.resize(120)
    screen.process.send_signal(signal.SIGWINCH)
    screen.verdict("FAILED  count_to")
    screen.press("q")
    assert screen.ends() == 0


def test_not_a_terminal_at_all(checkout, tmp_path):
    """Into a file: verdicts without colours or keys, until it is told to end."""
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            **command(checkout, "01"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        for text, says in (
            (None, "count_to: not written yet"),
            (WRONG, "FAILED  count_to"),
        ):
            if text:
                save(checkout, text)
            deadline = time.monotonic() + SECONDS
            while says not in log.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert says in log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert "\x1b" not in log.read_text() and "q quit" not in log.read_text()


def test_without_a_kata_it_begins_where_the_learner_is(terminal, checkout):
    save(checkout, RIGHT)
    screen = terminal()
    screen.verdict("to_rows: not written yet")
    screen.press("q")
    assert screen.ends() == 0


SPECIAL_KEYS = """
    [A [B [C [D [H [F OA OD OH OP OQ OR OS [2~ [3~ [5~ [6~ [15~ [24~ [1;5C [1;2P [Z
    [[A [[E O2P O [13;2u [<0;10;20M [M!PN [200~ [I p n N 1
"""


def test_keys_that_mean_nothing_here_are_swallowed_whole():
    """Function keys, arrows, PageUp, the mouse, letters with Alt, whatever letter or
    digit is in what they send.
    """
    keyboard, keys = socket.socketpair()
    opened = inputs.Inputs(keys)

    def read() -> list[Event | str]:
        return list(opened.read(wait=True))

    for sent in SPECIAL_KEYS.split():
        keyboard.send(f"\x1b{sent}".encode())
        assert read() == [], sent
        keyboard.send(f"h\x1b{sent}n".encode() if sent != "O" else b"hn")
        assert read() == ["h", "n"], sent
    keyboard.send(b"\x1b[5")  # over a slow line
    threading.Timer(inputs.REST / 5, keyboard.send, [b"~p"]).start()
    assert read() == ["p"]
    keyboard.send(b"\x1b")
    assert read() == []
    keyboard.send(b"\x1b\x03")
    assert read() == [Event.QUIT]


class InterruptedAtItsEnd:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_counts_where_python_drops_it():
    """An exception in a destructor is printed and forgotten, also KeyboardInterrupt."""
    with inputs.opened_inputs() as opened:
        InterruptedAtItsEnd()
        assert list(opened.read(wait=True)) == [Event.QUIT]
        opened.resized()
        InterruptedAtItsEnd()
        opened.drop_interrupts()
        assert list(opened.read(wait=True)) == [Event.RESIZED]
