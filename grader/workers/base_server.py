"""The server that other servers are forked from. It has PyTorch and its first uses: no
specs, and no code of a kata.

Its command line names the socket that requests come on. Nothing here may start a thread
or touch CUDA. Either would break the processes forked later.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from typing import Any

assert sys.platform == "linux"
# Ctrl-C goes to the runner, which then ends the servers
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

gc.disable()  # until a worker begins: what is imported and collected stays
import torch  # noqa: E402

from grader.isolation import forking, processes, warm_up  # noqa: E402
from grader.specs import torch_private  # noqa: E402

STANDARD_ERROR = 2


def become_server(detail: dict[str, Any], descriptors: list[int]) -> None:
    """Become the server whose program the request names, on the socket that came
    with it.
    """
    processes.die_with_parent()
    gc.disable()
    os.environ.clear()
    os.environ.update(detail["environment"])
    [requests] = descriptors
    try:
        importlib.import_module(detail["program"]).main(
            socket.socket(fileno=requests), detail["given"]
        )
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch_private.import_compiler_late()  # or the meta device imports it, in both locks
    warm_up.first_uses()
    forking.serve(
        socket.socket(fileno=int(sys.argv[1])), become_server, kept=(STANDARD_ERROR,)
    )
