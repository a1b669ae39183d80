"""Code that hangs, explodes, crashes, leaks into later runs, or plays with
the output.
"""

from tests.attacks import Attack

LOOP = "while True: pass"
STOPPED = "def double(x):\n    {}\ntotal = double\nDoubler = lambda: double"


def called(body: str) -> str:
    return STOPPED.format(body.replace("\n", "\n    "))


HANGING = [
    Attack("loops when imported", LOOP),
    Attack("loops when called", called(LOOP)),
    Attack("loops in C and holds the lock", called("return sum(range(10**12))")),
    Attack("sleeps", called("import time\ntime.sleep(600)")),
    Attack(
        "ignores every signal",
        (
            "import signal\nfor s in range(1, 65):\n"
            "    try: signal.signal(s, signal.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\n"
        )
        + LOOP,
    ),
    Attack(
        "switches the alarm off",
        called("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\n" + LOOP),
    ),
    Attack(
        "catches everything and goes on",
        called(
            "while True:\n    try:\n        while True: pass\n"
            "    except BaseException: pass"
        ),
    ),
    Attack(
        "waits for a lock that nobody holds",
        called(
            "import threading\nthreading.Lock().acquire()\nl = threading.Lock()\n"
            "l.acquire()\nl.acquire()"
        ),
    ),
    Attack(
        "leaves a thread that never ends",
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "its points",
    ),
    Attack(
        "sleeps at the end of the process",
        "import atexit, time\natexit.register(time.sleep, 600)",
        "its points",
    ),
    Attack(
        "loops when it is deleted",
        "class D:\n    def __del__(self):\n        while True: pass\nd = D()",
        "its points",
    ),
    Attack("reads from standard input", called("return input()")),
    Attack(
        "matches a regular expression for ever",
        called("import re\nreturn re.match('(a+)+b', 'a' * 60)"),
    ),
    Attack(
        "a repr that never ends",
        "class R:\n    def __repr__(self):\n        while True: pass\n"
        "def double(x): return R()\ntotal = double\nDoubler = lambda: double",
    ),
]
BOMBS = [
    Attack(
        "takes all memory", called("return [bytearray(10**8) for _ in range(10**4)]")
    ),
    Attack("takes all memory by a tensor", called("return torch.ones(10**12)")),
    Attack("forks without end", "import os\nwhile True: os.fork()"),
    Attack(
        "starts processes without end",
        "import multiprocessing\n"
        "while True: multiprocessing.Process(target=print).start()",
    ),
    Attack(
        "starts programs without end",
        "import subprocess\nwhile True: subprocess.Popen(['sleep', '600'])",
    ),
    Attack(
        "starts threads without end",
        called(
            "import threading, time\n"
            "while True: threading.Thread(target=time.sleep, args=(60,), "
            "daemon=True).start()"
        ),
    ),
    Attack(
        "opens files without end",
        called("files = []\nwhile True: files.append(open('/dev/null'))"),
    ),
    Attack(
        "writes a file without end",
        called("f = open('big', 'wb')\nwhile True: f.write(b'x' * 10**6)"),
    ),
    Attack("prints without end", called("while True: print('x' * 10**6)")),
    Attack("recurses without end", called("return double(x)")),
    Attack(
        "recurses in C",
        called("a = []\nfor _ in range(10**6): a = [a]\nreturn repr(a)"),
    ),
    Attack(
        "a pickle of great depth",
        called(
            "import pickle\na = []\nfor _ in range(10**6): a = [a]\n"
            "return pickle.dumps(a)"
        ),
    ),
    Attack("a number with a billion digits", called("return 10 ** 10 ** 9")),
    Attack(
        "a huge tensor on meta",
        "def double(x): return torch.empty(10**6, 10**9, device='meta')\n"
        "total = lambda x, dim=0: double(x)\nDoubler = lambda: double",
    ),
    Attack(
        "a huge expanded tensor",
        "def double(x): return torch.zeros(1).expand(10**10)\n"
        "total = lambda x, dim=0: double(x)\nDoubler = lambda: double",
    ),
    Attack("a message of a hundred megabytes", called("raise ValueError('x' * 10**8)")),
    Attack(
        "folders inside each other without end",
        "import os\nhere = os.getcwd()\nfor _ in range(1500):\n    os.mkdir('d')\n"
        "    os.chdir('d')\nos.chdir(here)\n"
        "import time\ntime.sleep(3)",
    ),
    Attack(
        "a message to the grader of great depth",
        "import os, stat, struct\nfor fd in range(3, 256):\n    try:\n"
        "        if stat.S_ISFIFO(os.fstat(fd).st_mode):\n"
        "            os.write(fd, struct.pack('!i', 50_000) + b'[' * 50_000)\n"
        "    except OSError: pass",
    ),
    Attack("a source of a hundred thousand lines", "x = 0\n" * 60_000, "its points"),
    Attack("nested brackets that break the parser", "x = " + "(" * 5000 + ")" * 5000),
]
CRASHES = [
    Attack(
        "kills itself",
        called("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    ),
    Attack("segmentation fault", called("import os\nos.kill(os.getpid(), 11)")),
    Attack("aborts", called("import os\nos.abort()")),
    Attack("kills its process group", called("import os\nos.killpg(0, 9)")),
    Attack("kills its parent", "import os\nos.kill(os.getppid(), 9)"),
    Attack("kills everything it may", "import os\nos.kill(-1, 9)"),
    Attack(
        "a stack overflow",
        called("import sys\nsys.setrecursionlimit(10**9)\nreturn double(x)"),
    ),
    Attack(
        "writes through a bad pointer",
        called("return torch.as_strided(x, (10**9,), (1,)).fill_(1)"),
    ),
    Attack(
        "corrupts a storage", called("x.untyped_storage().resize_(0)\nreturn x * 2")
    ),
]
LEAKS = [
    Attack("the default dtype", "torch.set_default_dtype(torch.float64)", "its points"),
    Attack("the grad mode", "torch.set_grad_enabled(False)", "its points"),
    Attack("the default device", "torch.set_default_device('meta')", "its points"),
    Attack(
        "the seed",
        "torch.manual_seed(1)\nimport random, numpy\nrandom.seed(1)\n"
        "numpy.random.seed(1)",
        "its points",
    ),
    Attack("the number of threads", "torch.set_num_threads(2)", "its points"),
    Attack(
        "deterministic algorithms",
        "torch.use_deterministic_algorithms(True)",
        "its points",
    ),
    Attack(
        "anomaly detection", "torch.autograd.set_detect_anomaly(True)", "its points"
    ),
    Attack(
        "the working folder",
        "import os\nos.mkdir('deep')\nos.chdir('deep')",
        "its points",
    ),
    Attack(
        "the locale",
        "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
        "its points",
    ),
    Attack(
        "the environment",
        "import os\nos.environ['PYTHONPATH'] = '/'\n"
        "os.environ['OMP_NUM_THREADS'] = '64'",
        "its points",
    ),
    Attack("the search path", "import sys\nsys.path.clear()", "its points"),
    Attack("the file mask", "import os\nos.umask(0o777)", "its points"),
    Attack(
        "the warnings", "import warnings\nwarnings.simplefilter('error')", "its points"
    ),
    Attack(
        "the recursion limit", "import sys\nsys.setrecursionlimit(200)", "its points"
    ),
    Attack(
        "the excepthook", "import sys\nsys.excepthook = lambda *a: None", "its points"
    ),
]
OUTPUT = [
    Attack(
        "commands for GitHub Actions",
        called(
            "print('::set-output name=result::passed')\n"
            "raise ValueError('::error::x\\n::set-output name=result::e30=')"
        ),
    ),
    Attack(
        "colours and a cleared screen",
        called("raise ValueError('\\x1b[2J\\x1b[31m all passed')"),
    ),
    Attack("HTML", called("raise ValueError('</pre><script>alert(1)</script>')")),
    Attack("NUL characters", called("raise ValueError('a\\x00b')")),
    Attack("a line without end", called("raise ValueError('x' * 10**6)")),
    Attack("half a surrogate pair", called("raise ValueError('\\ud800')")),
    Attack(
        "bytes that are not UTF-8",
        called(
            "import sys\nsys.stdout.buffer.write(b'\\xff' * 100)\nraise ValueError('x')"
        ),
    ),
    Attack(
        "a message that is not text",
        called("class E(Exception):\n    def __str__(self): return 3\nraise E"),
    ),
    Attack(
        "a message whose making raises",
        called(
            "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E"
        ),
    ),
    Attack(
        "closed standard output",
        "import sys\nsys.stdout.close()\nsys.stderr.close()",
        "its points",
    ),
]
ATTACKS = HANGING + BOMBS + CRASHES + LEAKS + OUTPUT
