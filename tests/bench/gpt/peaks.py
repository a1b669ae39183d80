"""A device's name, and the operations per second that it reaches."""

import re
from pathlib import Path
from types import ModuleType

import torch

PRODUCTS = 20  # in a row: a clock around each alone would also time how it is asked for


def reachable(kata: ModuleType, device: torch.device) -> float:
    """The operations per second of the fastest large product: in bfloat16, on a CPU
    also in float32.
    """
    sizes, dtypes = (
        ((4096, 8192), (torch.bfloat16,))
        if device.type == "cuda"
        else ((512,), (torch.float32, torch.bfloat16))
    )
    best = 0.0
    for n in sizes:
        for dtype in dtypes:
            a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
            times = PRODUCTS if device.type == "cuda" else 1

            def products(a=a, b=b, times=times):
                for _ in range(times):
                    a @ b

            best = max(best, times * 2 * n**3 / min(kata.time_steps(products, 5, 2)))
    return best


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    found = (
        re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        if cpuinfo.exists()
        else None
    )
    return f"{found[1] if found else 'CPU'}, threads: {torch.get_num_threads()}"
