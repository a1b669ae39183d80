"""The table of docs/security.md, both columns of Linux: one job tries what each row
says, and there is no other row.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT
from grader.isolation import landlock, namespaces
from grader.isolation.rights import PLAIN, WITH_PROCESSES

pytestmark = pytest.mark.skipif(
    landlock.version() == 0, reason="the column is that of a Linux with Landlock"
)

# What the job may do, and may not, by the first words of the row.
TRIES = {
    "reads": (
        ["open(os.__file__)", "os.listdir('/proc/self/fd')", "open('/proc/self/maps')"],
        [
            "open(victim)",
            "open('/etc/passwd')",
            "os.listdir(os.path.dirname(victim))",
            "open('/proc/meminfo')",
            *(
                f"open('/proc/self/{name}', 'rb')"
                for name in ("pagemap", "smaps", "stat", "statm", "status")
            ),
            "open(f'/proc/self/task/{os.getpid()}/schedstat')",
        ],
    ),
    "writes": (
        ["open('own', 'w')"],
        ["open(victim, 'a')", "open(os.__file__, 'r+')", "open(f'{victim}.new', 'w')"],
    ),
    "new processes": (
        [],
        [
            "os.fork() or os._exit(0)",
            "os.posix_spawn('/bin/true', ['true'], {})",
            "called('ptrace', 16, parent, 0, 0)",
            "called('unshare', 0x10000000)",
            "called('syscall', 425, 1, bytes(120))",
        ],
    ),
    "modes": (
        [],
        [
            "called('chmod', b'own', 0o777)",
            "called('chown', b'own', os.getuid(), -1)",
            "called('utimes', b'own', 0)",
            "os.setxattr('own', 'user.k', b'x')",
            "called('inotify_init1', 0)",
            "os.mkfifo('fifo')",
        ],
    ),
    "locks of files": (
        [],
        [
            "fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX)",
            "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 1036, bytes(8))",
        ],
    ),
    "pages of files": (
        [],
        [
            "resource.getrusage(resource.RUSAGE_SELF)",
            "called('sysinfo', bytes(112))",
        ],
    ),
    "shared memory, queues": (
        [],
        [
            "called('shmctl', 0, 14, bytes(4096))",
            "called('semctl', 0, 0, 19, bytes(4096))",
            "called('msgctl', 0, 12, bytes(4096))",
            "os.close(os.memfd_create('x'))",
        ],
    ),
    "root's user id": (
        [
            "os.getuid() != 0 or not apart or 1 / 0",
            "os.stat('own').st_uid == os.getuid() or 1 / 0",
        ],
        [],
    ),
    "root's capabilities": (
        ["held('effective') == 0 or 1 / 0", "held('permitted') == 0 or 1 / 0"],
        [],
    ),
    "sockets": (
        [
            (
                "[s.setsockopt(1, 7, 1 << 24) or s.getsockopt(1, 7) < 1 << 20 or 1 / "
                "0 for s in socket.socketpair()]"
            )
        ],
        ["called('vmsplice', os.pipe()[1], 0, 0, 0)"],
    ),
    "network": ([], ["socket.socket()", "socket.socket(socket.AF_UNIX)"]),
    "memory": (
        [
            f"resource.getrlimit(resource.RLIMIT_CPU)[1] == {PLAIN.computing} or 1 / 0",
            f"os.posix_fallocate(os.open('own', os.O_RDWR), 0, {PLAIN.file_size})",
        ],
        [
            f"mmap.mmap(-1, {PLAIN.memory + (64 << 20)})",
            f"os.posix_fallocate(os.open('own', os.O_RDWR), 0, {PLAIN.file_size + 1})",
            f"[os.open('own', os.O_RDONLY) for _ in range({PLAIN.open_files})]",
        ],
    ),
    "signals": ([], ["os.kill(parent, 0)"]),
    "limits and priorities": (
        [],
        [
            "resource.prlimit(parent, resource.RLIMIT_NOFILE)",
            "os.setpriority(os.PRIO_PROCESS, parent, 5)",
        ],
    ),
}
OWNS_PYTHON = os.stat(os.__file__).st_uid == os.getuid()
# what the system allows to the owner of a file alone
OF_ITS_OWNER = ("open(os.__file__, 'r+')", "1036")
FREE = (
    "reads",
    "writes",
    "modes",
    "locks of files",
    "pages of files",
    "shared memory, queues",
    "network",
    "memory",
)
FULL = PLAIN.scratch_bytes // PLAIN.file_size
FILLS = (
    f"[os.posix_fallocate(os.open(f'f{{n}}', 66), 0, {PLAIN.file_size}) for n in "
    f"range({FULL})]"
)
MANY = f"[os.close(os.open(f'n{{n}}', 66)) for n in range({PLAIN.scratch_files})]"
THREADS = (
    "[threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in "
    f"range({PLAIN.tasks})]"
)
# What the grader sees to from outside, and the files whose tests try it.
OUTSIDE = {
    "time": "tests/grader/test_time_limits.py",
    "threads and processes": "tests/attacks/test_left_behind.py",
    "files in the scratch folder": "tests/attacks/test_left_behind.py",
    "environment": "tests/attacks/reading.py",
}
JOB = """
import ctypes, fcntl, json, mmap, os, resource, socket, sys, threading
from pathlib import Path
from grader.isolation import sandbox

scratch, victim, parent, apart = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "apart"
libc, tries = ctypes.CDLL(None, use_errno=True), json.load(sys.stdin)

def called(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def held(name):
    sets = (ctypes.c_uint32 * 6)()  # for each half of 32 bits: effective, permitted, inheritable
    called("capget", (ctypes.c_uint32 * 2)(0x20080522, 0), sets)
    return any(sets["effective permitted".split().index(name) :: 3])

os.chdir(scratch)
if sys.argv[4] != "free":
    sandbox.enter(Path(scratch), None, frozenset(), apart=apart)
for one in tries:
    try:
        eval(one)
        print("allowed", one, flush=True)
    except (OSError, MemoryError, RuntimeError):
        print("refused", one, flush=True)
os._exit(0)  # threads that end while Python does would need a file
"""


def rows() -> dict[str, str]:
    """The rows of the page's table: what they are about, and the column of a Linux
    with Landlock.
    """
    table = (
        (ROOT / "docs/security.md")
        .read_text()
        .split("| reads |", 1)[1]
        .split("\n\n")[0]
    )
    cells = [line.strip("| ").split(" | ") for line in f"| reads |{table}".splitlines()]
    return {about: linux for about, linux, *_ in cells}


def told(tries: list[str], place: str, *prefix: str) -> list[str]:
    """What a job answers to these tries, in a process that is let into namespaces
    or not.
    """
    # the folders above pytest's own are closed to other users
    with tempfile.TemporaryDirectory() as name:
        folder, scratch, victim = (
            Path(name, part) for part in ("", "scratch", "victim")
        )
        scratch.mkdir()
        victim.write_text("x")
        for path in (folder, scratch, victim):
            path.chmod(0o777)
        command = [
            *prefix,
            sys.executable,
            "-B",
            "-c",
            JOB,
            *map(str, (scratch, victim, os.getpid(), place)),
        ]
        ended = subprocess.run(
            command, input=json.dumps(tries), cwd=ROOT, capture_output=True, text=True
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_each_row_of_the_page_is_tried():
    about = list(rows())
    for words in [*TRIES, *OUTSIDE]:
        assert sum(row.startswith(words) for row in about) == 1, (
            f"no row of the page, or two: {words}"
        )
    untried = [row for row in about if not row.startswith((*TRIES, *OUTSIDE))]
    assert not untried, f"nothing tries these rows of docs/security.md: {untried}"
    assert all((ROOT / file).is_file() for file in OUTSIDE.values())


def test_limits_on_the_page_are_those_of_the_code():
    sizes = (
        f"{PLAIN.memory >> 30} GiB, {PLAIN.file_size >> 20} MB, {PLAIN.open_files}, "
        f"{PLAIN.computing // 60} min"
    )
    assert rows()["memory, file size, open files, computing"] == sizes
    assert rows()["time"].endswith(f"; {PLAIN.kata_seconds / 60:.0f} min for a kata")
    processes = (
        f"{PLAIN.tasks}, in 09, 31, today/08 and today/10 {WITH_PROCESSES.tasks}:"
    )
    assert rows()["threads and processes"].startswith(processes)
    assert (
        rows()["sockets"].startswith(f"{PLAIN.most_sockets}, ")
        and WITH_PROCESSES.most_sockets == PLAIN.most_sockets
    )
    kept = (
        f"{PLAIN.scratch_bytes >> 20} MB, {PLAIN.scratch_files:,} files; on the disk "
        f"{PLAIN.scratch_depth} folders"
    )
    assert rows()["files in the scratch folder"].startswith(kept)


def test_the_page_has_the_numbers_that_the_sandbox_holds():
    numbers = {
        about: re.findall(r"\d+(?:,\d+)*", linux) for about, linux in rows().items()
    }
    [memory] = [found for about, found in numbers.items() if about.startswith("memory")]
    [disk] = [found for about, found in numbers.items() if about.startswith("files in")]
    held = [
        PLAIN.memory >> 30,
        PLAIN.file_size >> 20,
        PLAIN.open_files,
        PLAIN.computing // 60,
    ]
    assert memory == [f"{number}" for number in held]
    processes = [f"{PLAIN.tasks}", "09", "31", "08", "10", f"{WITH_PROCESSES.tasks}"]
    assert numbers["threads and processes"] == processes
    assert disk == [
        f"{PLAIN.scratch_bytes >> 20}",
        f"{PLAIN.scratch_files:,}",
        f"{PLAIN.scratch_depth}",
    ]
    assert numbers["time"] == [f"{PLAIN.kata_seconds / 60:.0f}"]


SETPRIV = shutil.which("setpriv")
USER = (SETPRIV, "--reuid=65534", "--regid=65534", "--clear-groups")
TEMPORARY = Path(tempfile.gettempdir())
REACHED = all(
    folder.stat().st_mode & stat.S_IXOTH
    for path in (ROOT, TEMPORARY)
    for folder in (path, *path.parents)
)
AS = {"as it is": ()} | (
    {"as another user": USER} if os.getuid() == 0 and SETPRIV and REACHED else {}
)


def test_without_a_sandbox_each_of_these_steps_goes_well():
    """Otherwise a refusal would say nothing of the sandbox. What would hit the tests
    themselves is left out.
    """
    tries = [one for words in FREE for pair in [TRIES[words]] for one in pair[1]]
    tries = [
        one
        for one in tries
        if OWNS_PYTHON or not any(words in one for words in OF_ITS_OWNER)
    ]
    tries = ["open('own', 'w')", *tries]
    assert told(tries, "free") == [f"allowed {one}" for one in tries]


@pytest.mark.parametrize("prefix", AS.values(), ids=AS.keys())
@pytest.mark.parametrize("place", ["apart", "without namespaces", "older Linux"])
def test_the_job_may_do_what_the_page_says_and_nothing_else(place, prefix):
    if place == "apart" and not namespaces.are_allowed():
        pytest.skip("this machine allows no namespaces")
    # first, the file that later ones change
    rows = [("writes", TRIES["writes"]), *TRIES.items()]
    expected = [
        (
            "allowed"
            if place == "older Linux" and about in ("reads", "writes")
            else verdict,
            one,
        )
        for about, pair in rows
        for verdict, tries in zip(("allowed", "refused"), pair, strict=True)
        for one in tries
        if not (
            place == "older Linux"
            and (prefix or not OWNS_PYTHON)
            and one in OF_ITS_OWNER
        )
    ]
    # without namespaces, the grader looks at the folder and at the threads
    if place == "apart":
        expected += [("refused", FILLS), ("refused", MANY), ("refused", THREADS)]
    if place == "older Linux":
        prefix = (
            sys.executable,
            "-B",
            "-m",
            "tests.attacks.refusing",
            "landlock_create_ruleset",
            *prefix,
        )
    answers = told([one for _, one in expected], place, *prefix)
    assert answers == [f"{verdict} {one}" for verdict, one in expected]
