"""A device's name, and the operations per second that it could do: by its data sheet, and measured."""

import re
from pathlib import Path
from types import ModuleType

import torch

# Operations per second of bfloat16 (T4, V100: float16) with sums in float32, without sparsity, from the data sheets.
# The first name of which all words occur counts.
PEAKS = {
    "B200": 2250e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A30": 165e12,
    "L40S": 362e12,
    "L40": 181e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}
PRODUCTS = 20  # in a row: a clock around each alone would also time how it is asked for


def data_sheet(device_name: str) -> float | None:
    """The peak by the data sheet; None for a device that is not in the list."""
    words = set(re.findall(r"\w+", device_name))
    if words & {"Laptop", "Ti", "SUPER", "MIG"}:  # other chips, or parts of one
        return None
    return next((peak for name, peak in PEAKS.items() if words.issuperset(name.split())), None)


def reachable(kata: ModuleType, device: torch.device) -> float:
    """The operations per second of the fastest large product: in bfloat16, on a CPU also in float32."""
    sizes, dtypes = (
        ((4096, 8192), (torch.bfloat16,)) if device.type == "cuda" else ((1024,), (torch.float32, torch.bfloat16))
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
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return f"{found[1] if found else 'CPU'}, threads: {torch.get_num_threads()}"
