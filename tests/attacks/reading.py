"""Answers from elsewhere: the reference, the specs' expected values, other submissions,
secrets, the network.
"""

from tests.attacks import Attack


def copied(path: str) -> str:
    """Runs the reference's text, if it can be read."""
    return f"import os, sys, glob\nexec(open({path}).read())"


REFERENCE = "os.environ.get('REFERENCE', '{reference}')"

ATTACKS = [
    Attack("reads the reference", copied("'{reference}'")),
    Attack(
        "reads the reference by a link",
        "import os\nos.symlink('{reference}', 'link.py')\nexec(open('link.py').read())",
    ),
    Attack(
        "reads the reference by a hard link",
        "import os\nos.link('{reference}', 'link.py')\nexec(open('link.py').read())",
    ),
    Attack(
        "reads the reference by /proc",
        "exec(open('/proc/self/root' + '{reference}').read())",
    ),
    Attack(
        "reads the reference with another program",
        "import subprocess\n"
        "exec(subprocess.check_output(['cat', '{reference}']).decode())",
    ),
    Attack(
        "reads the reference with os.open",
        "import os\nexec(os.read(os.open('{reference}', os.O_RDONLY), 10**6).decode())",
    ),
    Attack(
        "reads the reference with mmap",
        "import mmap\nf = open('{reference}', 'rb')\n"
        "exec(mmap.mmap(f.fileno(), 0, prot=1).read().decode())",
    ),
    Attack(
        "reads the reference with numpy",
        "import numpy\n"
        "exec(numpy.fromfile('{reference}', dtype='u1').tobytes().decode())",
    ),
    Attack(
        "reads the reference with torch",
        "import torch\n"
        "exec(bytes(torch.from_file('{reference}', size=200, "
        "dtype=torch.uint8).tolist()).decode())",
    ),
    Attack(
        "imports the reference",
        "import sys\nsys.path.insert(0, '{reference}'.rpartition('/')[0])\n"
        "import sums\ndouble, total, Doubler = sums.double, sums.total, sums.Doubler",
    ),
    Attack(
        "asks the grader for the reference",
        "from grader.course import catalogue\nfrom pathlib import Path\n"
        "exec(catalogue.Kata(Path('{root}'), '01_sums').reference.read_text())",
    ),
    Attack(
        "lists the folder of solutions",
        "import os\nos.listdir('{reference}'.rpartition('/')[0])\nraise SystemExit",
    ),
    Attack(
        "reads the parent's memory",
        "import os\nopen(f'/proc/{{os.getppid()}}/mem', 'rb').read(1)\n"
        "raise SystemExit",
    ),
    Attack(
        "reads the parent's environment",
        "import os\nopen(f'/proc/{{os.getppid()}}/environ').read()\nraise SystemExit",
    ),
    Attack(
        "reads its own memory map for the key",
        "raise SystemExit if not open('/proc/self/maps').read() else RuntimeError",
    ),
    Attack(
        "finds the oracle by the garbage collector",
        "import gc\ndef double(x):\n"
        "    return max((t for t in gc.get_objects() if isinstance(t, torch.Tensor) "
        "and t.shape == x.shape), key=lambda t: float(t.sum()))\ntotal = double",
    ),
    Attack(
        "finds who refers to its input",
        "import gc\ndef double(x): return gc.get_referrers(x)[0]",
    ),
    Attack(
        "walks the frames",
        "import sys\ndef double(x):\n    return sys._getframe(1).f_locals['x'] * 2",
    ),
    Attack(
        "walks the frames by inspect",
        "import inspect\ndef double(x):\n"
        "    return inspect.currentframe().f_back.f_locals['x'] * 2",
    ),
    Attack(
        "walks the stack by inspect",
        "import inspect\ndef double(x):\n"
        "    return inspect.stack()[1].frame.f_locals['x'] * 2",
    ),
    Attack(
        "walks all threads' frames",
        "import sys\ndef double(x):\n"
        "    return list(sys._current_frames().values())[0].f_back.f_locals['x'] * 2",
    ),
    Attack(
        "loads the C library",
        "import ctypes\nctypes.CDLL(None).getpid()\nraise SystemExit",
    ),
    Attack(
        "reads memory by ctypes",
        "import ctypes\nctypes.string_at(id(torch), 16)\nraise SystemExit",
    ),
    Attack(
        "reads the environment for tokens",
        "import os\n"
        "assert not [n for n in os.environ if 'TOKEN' in n or 'SECRET' in n], 'seen'",
        "its points",
    ),
    Attack("reads the password file", "open('/etc/passwd').read()\nraise SystemExit"),
    Attack("reads the home folder", "import os\nos.listdir('/root')\nraise SystemExit"),
    Attack("reads other submissions", "import os\nos.listdir('..')\nraise SystemExit"),
    Attack(
        "reads the temporary folder", "import os\nos.listdir('/tmp')\nraise SystemExit"
    ),
    Attack(
        "asks the network",
        "import socket\nsocket.create_connection(('127.0.0.1', 80), timeout=1)\n"
        "raise SystemExit",
    ),
    Attack(
        "asks a name server",
        "import socket\nsocket.getaddrinfo('example.org', 80)\nraise SystemExit",
    ),
    Attack(
        "opens a Unix socket",
        "import socket\nsocket.socket(socket.AF_UNIX)\nraise SystemExit",
    ),
    Attack(
        "fetches a page",
        "import urllib.request\n"
        "urllib.request.urlopen('http://127.0.0.1:80', timeout=1)\nraise SystemExit",
    ),
    Attack(
        "listens",
        "import socket\nsocket.create_server(('127.0.0.1', 0))\nraise SystemExit",
    ),
    Attack(
        "writes beside the specs", "open('{specs}', 'a').write('#')\nraise SystemExit"
    ),
    Attack(
        "writes to the grader",
        "import grader\nopen(grader.__file__, 'a').write('#')\nraise SystemExit",
    ),
    Attack(
        "removes the reference", "import os\nos.remove('{reference}')\nraise SystemExit"
    ),
    Attack(
        "renames the tree",
        "import os\nos.rename('{root}', '{root}x')\nraise SystemExit",
    ),
    Attack(
        "walks the frames of a traceback",
        "def double(x):\n    try: 1 / 0\n"
        "    except ZeroDivisionError as e: return "
        "e.__traceback__.tb_frame.f_back.f_locals['x'] * 2",
    ),
]
