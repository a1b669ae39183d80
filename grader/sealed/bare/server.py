"""The server that workers of the second lock are forked from. It has PyTorch and the sandbox, and no specs.

It reads requests from a socket, each a line of JSON with the two ends of a worker's pipe attached, and answers with the
worker's process id. It ends when the socket does.
"""

import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the runner
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import torch  # noqa: E402  (reads the environment when it is imported)
import worker  # noqa: E402

from grader.isolation import processes, sandbox  # noqa: E402
from grader.isolation.limits import Limits  # noqa: E402

LONGEST_REQUEST = 10_000


def serve(requests: socket.socket) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 2)
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            become_worker(json.loads(data), descriptors, requests)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.sendall(f"{pid}\n".encode())


def become_worker(request: dict[str, object], descriptors: list[int], requests: socket.socket) -> None:
    """Confine this process, forget the sandbox's code, and serve the judge until it ends."""
    requests.close()
    processes.die_with_parent()
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    scratch = Path(str(request["scratch"]))
    os.chdir(scratch)
    os.environ.clear()
    os.environ.update({str(k): str(v) for k, v in dict(request["environment"]).items()}, HOME=str(scratch), TMPDIR=str(scratch))
    needs = frozenset(map(str, request["needs"]))
    sandbox.enter(scratch, None, needs, Limits())
    for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
        del sys.modules[name]
    worker.main(descriptors[0], descriptors[1], str(request["kata"]), str(scratch))


if __name__ == "__main__":
    torch.set_num_threads(1)
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    layer(x).sum().backward()
    torch.softmax(x, dim=-1)
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
