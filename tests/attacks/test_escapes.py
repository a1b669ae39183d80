"""No way out of the sandbox: by sockets, by processes, by what root may do; in both
locks, and without namespaces.
"""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, find
from grader.execution import grading, reduced
from grader.isolation import landlock, namespaces, sandbox, users
from grader.lock import bare_server
from grader.protocol import RunOptions
from grader.workers import forkserver
from tests.attacks import escapes
from tests.attacks.refusing import refusing
from tests.attacks.test_second_lock import ONLY_BARE, RIGHT, failures, sealed
from tests.conftest import KATA

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
NO_NAMESPACES = "unshare"  # the system call without which there are none
NOTHING = "bpf"  # a system call that nothing here uses
allowed = pytest.mark.skipif(
    not namespaces.are_allowed(), reason="this machine allows no namespaces"
)


def placed(code: str, place: str) -> str:
    """The code, for both locks or for the second one alone."""
    return code if place == "beside the specs" else ONLY_BARE + _indented(code)


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def running(what: str) -> list[str]:
    """The process ids of the commands that end in these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += (
                [path.parent.name]
                if path.read_text().replace("\0", " ").strip().endswith(what)
                else []
            )
        except OSError:  # it has ended
            pass
    return found


@pytest.mark.parametrize(
    "refused", [NOTHING, NO_NAMESPACES], ids=["as it is", "without namespaces"]
)
def test_no_socket_of_the_grader_can_be_reached(refused, tmp_path_factory):
    """By a class of which each student hands in another attack."""
    kata, within = find("09"), tmp_path_factory.mktemp("t")
    for attack in escapes.ATTACKS:
        file = within / "class" / attack.name / kata.file
        file.parent.mkdir(parents=True)
        code = attack.code.format(within=within, reference=kata.reference)
        file.write_text(f"{kata.code.read_text()}\n{code}\n")
    command = [KATA, "class", within / "class", "09::split_sizes"]
    ended = refusing(
        refused,
        *command,
        "--report",
        f"json={within}/r.json",
        env=os.environ | {"TMPDIR": str(within)},
    )
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    students = json.loads((within / "r.json").read_text())["students"]
    assert {one["student"] for one in students} == {
        attack.name for attack in escapes.ATTACKS
    }
    for one in students:
        [graded] = one["report"]["katas"]
        assert graded["points"] == 0 and graded["status"] not in (
            "not handed in",
            "not graded",
        ), one
    assert not (within / "escaped").exists() and not running("sleep 601.09")
    assert (
        "09_data_splitting_loaders may reach sockets and processes" in ended.stdout
    ) == (refused == NO_NAMESPACES or not namespaces.are_allowed())


# Where programs listen, as far below a folder of the test's own.
PATHS = ("tmux-0/default", ".X11-unix/X0", "run/bus", "ssh/agent.1", "run/docker.sock")
ABSTRACT = ("/tmp/.X11-unix/X0", "/tmp/dbus-1")


@allowed
@pytest.mark.parametrize("place", ["beside the specs", "in the second lock"])
def test_no_socket_of_the_machine_can_be_reached(place, tmp_path_factory):
    """Listening sockets of the test's own, on paths and on abstract names."""
    folder = tmp_path_factory.mktemp("s")
    names = [str(folder / path) for path in PATHS] + [
        f"\0{folder}{name}" for name in ABSTRACT
    ]
    listening = []
    for name in names:
        if name[0] != "\0":
            Path(name).parent.mkdir(exist_ok=True)
        listening.append(socket.socket(socket.AF_UNIX))
        listening[-1].bind(name)
        listening[-1].listen()
    code = f"""
import os, socket
told = [*map(os.path.exists, ('/etc/passwd', '/tmp/.X11-unix', '/run'))]
for name in {[*names, f"/proc/{os.getpid()}/root{names[0]}"]!r}:
    try:
        socket.socket(socket.AF_UNIX).connect(name)
        told.append('reached')
    except OSError as error: told.append(error.errno)
def split_sizes(*_): raise LookupError(told)
"""
    kata = find("09")
    [result] = sealed(
        [kata],
        folder / "code",
        f"{kata.reference.read_text()}\n{placed(code, place)}",
        only=("TestSplitSizes",),
    )
    told = re.search(r"LookupError: \[(.*)\]", failures(result))
    assert told, failures(result)
    *others, by_proc = told[1].split(", ")
    assert others == ["False"] * 3 + [str(errno.ENOENT)] * len(PATHS) + [
        str(errno.ECONNREFUSED)
    ] * len(ABSTRACT)
    # of the second kind where no fresh /proc can be mounted
    assert by_proc in (str(errno.ENOENT), str(errno.EACCES))
    for one in listening:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.accept()


CAPABILITIES = """
import ctypes
libc, held = ctypes.CDLL(None), (ctypes.c_uint32 * 6)()
told = [libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held), sum(held)]  # effective, permitted, inheritable
told += [sum(libc.prctl(option, *given, one, 0, 0) > 0 for one in range(64)) for option, *given in ((47, 1), (23,))]
def {name}(*_): raise LookupError(told)
"""


@pytest.mark.parametrize("number", ["01", "09"])
@pytest.mark.parametrize("place", ["beside the specs", "in the second lock"])
def test_code_has_no_capabilities(number, place, tmp_path):
    kata = find(number)
    exercise = kata.exercises[0]
    code = placed(CAPABILITIES.format(name=exercise.name), place)
    [result] = sealed(
        [kata],
        tmp_path,
        f"{kata.reference.read_text()}\n{code}",
        only=(exercise.spec_class,),
    )
    bounding = (
        "0"
        if os.getuid() == 0 or namespaces.are_allowed() and number == "09"
        else r"\d+"
    )
    assert re.search(rf"LookupError: \[0, 0, 0, {bounding}\]", failures(result)), (
        failures(result)
    )


def test_root_reads_a_closed_checkout_with_one_capability(tmp_path):
    """As `sudo make grade` does in a home folder that is closed to others, for a job's
    own user, too. Reading is kept.
    """
    if os.getuid() != 0:
        return
    (tmp_path / "home/specs").mkdir(parents=True)
    os.chown(tmp_path / "home", 12345, 12345)
    (tmp_path / "home").chmod(0o700)
    code = f"""
import os
from pathlib import Path
from grader.isolation import capabilities, users
user = users.drawn()
users.become(user)
capabilities.drop([Path({str(tmp_path / "home/specs")!r})])
print(os.getresuid() == (user,) * 3 and os.getgroups() == [], [line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm', 'CapBnd'))])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == f"True {['0' * 15 + '4'] * 2 + ['0' * 16]}\n", ended.stderr


FILLS = """
import os
told = []
def full(what):
    for number in range(20_000):
        try: what(number)
        except OSError as error: return told.append((number // 10, error.errno))
def large(number):
    with open('large', 'ab' if number else 'wb') as file: os.posix_fallocate(file.fileno(), 0, 16 << 20)
    os.rename('large', f'large {number}')
full(large)
for name in [name for name in os.listdir('.') if name.startswith('large')]: os.remove(name)
full(lambda number: os.mkdir(f'{number}'))
def double(x): raise LookupError(told)
"""


@allowed
@pytest.mark.parametrize("place", ["beside the specs", "in the second lock"])
def test_the_system_itself_ends_what_a_folder_holds(sound, tmp_path, place):
    """The code's own, or the one that it shares with the judge: 16 files of 16 MB, or
    10,000 names. On a slow machine the runner sees that the folder is full before the
    code can tell what the system said.
    """
    [result] = sealed(sound[:1], tmp_path, f"{RIGHT}\n{placed(FILLS, place)}")
    said = failures(result)
    assert (
        f"LookupError: {[(1, errno.ENOSPC), (999, errno.ENOSPC)]}" in said
        or "the code fills its folder" in said
    ), said


IDS = """
import ctypes, os, socket, sys
from pathlib import Path
from grader.isolation import users
ours, theirs = socket.socketpair()
child = os.fork()
if child:
    ours.recv(1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}", name).write_text(sys.argv[1])
    ours.send(b"-")
    os.wait()
else:
    ctypes.CDLL(None).unshare(0x10000000)  # a user namespace, as a container has one
    theirs.send(b"-")
    theirs.recv(1)
    print(users.drawn())
"""


@allowed
@pytest.mark.skipif(os.getuid() != 0, reason="only root may map more than one id")
@pytest.mark.parametrize(
    ("mapped", "ids"),
    [
        ("0 0 1", [0]),
        ("0 0 65536", users.UNUSED[1]),
        ("0 0 4294967295", users.UNUSED[0]),
    ],
    ids=["one id", "a container's", "all"],
)
def test_an_id_is_drawn_from_those_that_exist(mapped, ids):
    """Where there is none but root's, a job keeps it."""
    ended = subprocess.run(
        [sys.executable, "-c", IDS, mapped], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) in ids


REPRIORITISES = """
import ctypes, os, platform, socket, struct
libc, x86 = ctypes.CDLL(None, use_errno=True), platform.machine() == 'x86_64'
def called(number, *given):
    if libc.syscall(ctypes.c_long(number), *given) < 0: raise OSError(ctypes.get_errno(), 'refused')
parent = os.getppid()
told = []
for what in (
    lambda: os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent) + 1),
    lambda: os.setpriority(os.PRIO_USER, 0, 1),
    lambda: called(314 if x86 else 274, parent, struct.pack('=IIQiIQQQ', 48, 3, 0, 0, 0, 0, 0, 0), 0),
    lambda: os.sched_setparam(parent, os.sched_param(0)),
    lambda: called(251 if x86 else 30, 1, parent, 3 << 13),
    lambda: socket.sethostname(os.uname().nodename),
    lambda: called(323 if x86 else 282, 1),
    lambda: called(272 if x86 else 97, 0x10000000),
):
    try: what(); told.append('done')
    except OSError as error: told.append(error.errno)
def double(x): raise LookupError(told)
"""


@pytest.mark.parametrize("place", ["beside the specs", "in the second lock"])
def test_the_grader_keeps_its_priority(sound, tmp_path, place):
    [result] = sealed(sound[:1], tmp_path, f"{RIGHT}\n{placed(REPRIORITISES, place)}")
    assert f"LookupError: {[1] * 8}" in failures(result)
    servers = forkserver.helpers() | {bare_server.prepare().process.pid}
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in servers} == {
        os.getpriority(os.PRIO_PROCESS, 0)
    }


def test_a_worker_of_the_second_lock_inherits_one_pipe(sound, tmp_path):
    looks = (
        "    import os, stat\n"
        "    modes = [os.fstat(int(fd)).st_mode for fd in "
        "os.listdir('/proc/self/fd')[:-1]]\n"
    )
    looks += (
        "    def double(x): raise LookupError(sum(stat.S_ISFIFO(m) or "
        "stat.S_ISSOCK(m) for m in modes))\n"
    )
    [result] = sealed(sound[:1], tmp_path, f"{RIGHT}\n{ONLY_BARE}{looks}")
    assert "LookupError: 1\n" in failures(result)


class TestReducedIsolation:
    def test_it_is_said_and_points_are_kept(self, tmp_path):
        """Both katas, of which one exercise will do, on the reference, where namespaces
        are refused.
        """
        command = [
            KATA,
            "grade",
            "09::split_sizes",
            "31::rank_slice",
            "--code",
            "solutions",
            "--report",
            f"json={tmp_path}/r.json",
        ]
        ended = refusing(NO_NAMESPACES, *command)
        assert ended.returncode == 0, ended.stderr
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["points"] == report["max_points"]
        assert (
            "09_data_splitting_loaders and 31_distributed_training may reach sockets"
            in ended.stdout
        )
        assert ended.stdout.count("no namespaces: see docs/security.md") == (
            landlock.version() > 0
        )

    def test_it_can_be_refused(self, tmp_path):
        command = [
            KATA,
            "grade",
            "01::count_to",
            "09::split_sizes",
            "--code",
            "solutions",
            "--require-isolation",
        ]
        ended = refusing(NO_NAMESPACES, *command, "--report", f"json={tmp_path}/r.json")
        assert (
            ended.returncode == 2
            and "09_data_splitting_loaders (isolation is reduced" in ended.stderr
        )
        states = {
            kata["kata"]: kata["status"]
            for kata in json.loads((tmp_path / "r.json").read_text())["katas"]
        }
        expected = "not graded" if landlock.version() == 0 else "passed"
        assert states == {
            "01_tensors": expected,
            "09_data_splitting_loaders": "not graded",
        }

    def test_a_machine_that_isolates_is_not_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sandbox, "gaps", list)
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: True)
        assert reduced.gaps([find("01"), find("09"), find("31")]) == []


class TestTheEnd:
    START = (
        "from grader.lock import bare_server\nfrom grader.workers import forkserver\n"
        "forkserver.prepare([]), bare_server.prepare()\n"
    )

    def test_servers_that_are_slow_to_end_are_not_waited_for(self):
        """On a busy machine. Stopped processes stand for such servers."""
        code = (
            f"{self.START}import os, signal\n"
            "pids = [forkserver._server.process.pid, "
            "bare_server._server.process.pid]\n"
        )
        code += "for pid in pids: os.kill(pid, signal.SIGSTOP)\nprint(*pids)\n"
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        )
        assert ended.stderr == "" and time.monotonic() - started < 300
        assert not [
            pid for pid in ended.stdout.split() if Path(f"/proc/{pid}/exe").exists()
        ]

    @pytest.mark.parametrize(
        "number",
        [signal.SIGINT, signal.SIGTERM, signal.SIGKILL],
        ids=lambda number: number.name,
    )
    def test_a_runner_that_is_interrupted_leaves_no_traceback(self, number, tmp_path):
        """While the servers start, and hold standard error open until they end."""
        code = self.START + (
            "import os, time\n"
            "print(forkserver._server.process.pid, "
            "bare_server._server.process.pid, flush=True)\n"
        )
        code += (
            f"time.sleep(0.3)\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n"
        )
        command = [
            sys.executable,
            "-c",
            (
                "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit())\n"
                f"try:\n{_indented(code)}except KeyboardInterrupt: pass"
            ),
        ]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.stderr == ""
        assert not [
            pid for pid in ended.stdout.split() if Path(f"/proc/{pid}/exe").exists()
        ]  # as one that is not reaped has none


def test_a_kata_that_is_done_leaves_no_process(tmp_path):
    """Its processes end with the first process of their namespace, or are found by
    the runner.
    """
    kata = find("09")
    code = (
        "\nimport os, time\nfor _ in range(3):\n    if os.fork() == 0:\n"
        "        os.setsid()\n        time.sleep(601)\n"
    )
    (tmp_path / kata.file).parent.mkdir(parents=True)
    (tmp_path / kata.file).write_text(kata.reference.read_text() + code)
    options = RunOptions(sealed=True, only=("TestSplitSizes",))
    list(grading.grade_folder([kata], tmp_path, options=options))
    for server in forkserver.helpers() | {bare_server.prepare().process.pid}:
        assert Path(f"/proc/{server}/task/{server}/children").read_text() == ""
