"""The operations per second that a GPU could do, by its data sheet; and how a batch
gets there.
"""

import re

from torch import Tensor, device

# In bfloat16 (T4, V100: float16) with sums in float32, without sparsity.
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


def sent(tensor: Tensor, to: device) -> Tensor:
    """Copy to the device. From pinned memory a GPU fetches by itself, and this process
    goes on.
    """
    return (tensor.pin_memory() if to.type == "cuda" else tensor).to(
        to, non_blocking=True
    )


def peak(device_name: str) -> float | None:
    """The peak by the data sheet; None for a device that is not in the list."""
    words = set(re.findall(r"\w+", device_name))
    if words & {"Laptop", "Ti", "SUPER", "MIG"}:  # other chips, or parts of one
        return None
    return next(
        (flops for name, flops in PEAKS.items() if words.issuperset(name.split())), None
    )
