"""Warms up a process that workers are forked from, so that they inherit what PyTorch imports at its first uses.

Nothing here may start a thread or touch CUDA. Either would break the processes forked later.
"""

import importlib
import re

import torch

# What is imported for about a second at its first use, if the files of a kata mention it.
COMPILER = re.compile(r"torch\.compile|_dynamo|utils\.checkpoint")
META = re.compile("meta\\b")


def first_uses() -> None:
    """Run operations whose first call in a process imports modules or builds tables."""
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad():
        torch.softmax(layer(x), dim=-1)
        torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])
        torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)(x[None])
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            (x.to(dtype) @ x.to(dtype).mT).softmax(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x)


def uses_of(text: str) -> None:
    """Import what the files of a kata with this text will have imported."""
    if COMPILER.search(text):
        importlib.import_module("torch._dynamo")
    if META.search(text):
        torch.zeros(2, device="meta") + 1
