"""Warms up a process that workers are forked from, so that they inherit what PyTorch
imports at its first uses.

Nothing here may start a thread or touch CUDA. Either would break the processes
forked later.
"""

import importlib
import os
import re
from pathlib import Path

import torch

from grader import kernels
from grader.isolation import state

# What is imported for about a second at its first use, if the files of a kata
# mention it.
COMPILER = re.compile(r"torch\.compile|_dynamo|utils\.checkpoint|custom_op")
LARGEST = 1_000_000  # bytes of a file that is looked at
META = re.compile("meta\\b")
# as an import names them: what takes long to import
LIBRARIES = {"PIL": "PIL.Image", "pandas": "pandas"}


def first_uses() -> None:
    """Run operations whose first call in a process imports modules or builds tables."""
    state.reset(0)  # NumPy imports its generators
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad():
        torch.softmax(layer(x), dim=-1)
        torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])
        torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)(x[None])
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            (x.to(dtype) @ x.to(dtype).mT).softmax(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x)


def uses_of(folder: Path) -> None:
    """Import what the files of the kata in this folder will have imported. One of them
    may be no text, or no file.
    """
    files = [
        path
        for path in folder.glob("*.py")
        if path.is_file() and path.stat().st_size <= LARGEST
    ]
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in files
        if os.access(path, os.R_OK)
    )
    for name, module in LIBRARIES.items():
        if re.search(rf"^ *(from|import) {name}\b", text, re.MULTILINE):
            importlib.import_module(module)
    if COMPILER.search(text):
        importlib.import_module("torch._dynamo")
    if "grader.kernels" in text:
        kernels.prepare()
    if META.search(text):
        torch.zeros(2, device="meta") + 1
