"""The rungs of the ladder: what each one changes, what it needs, and one training step
with it.
"""

import copy
import shutil
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.bench.gpt.losses import LossWithGradients
from tests.bench.gpt.updates import Update

# modes of torch.compile that use CUDA graphs
WITH_GRAPHS = ("reduce-overhead", "max-autotune")
CHUNK = 8192  # rows of logits at a time


@dataclass(frozen=True)
class Rung:
    """One way to take the same training step, with all that it uses."""

    name: str = ""
    precision: str = "highest"  # of float32 products
    dtype: torch.dtype | None = None  # of autocast
    mode: str | None = None  # of torch.compile; None: not compiled
    flash: bool = False
    attention: SDPBackend | None = None  # None: PyTorch chooses the kernel
    pad_multiple: int | None = None
    # "chunked": kata 30's. "gradients": computed in the forward pass, too
    loss: str = "whole"
    # "fused": one kernel per group. "compiled": with clipping, in one function
    update: str = "AdamW"
    # weights and activations in dtype, with float32 copies for the update
    half_weights: bool = False
    waits: bool = True  # loss.item() in every step, on a batch that is there already
    batch: int = 0  # rows; 0: those of the first rung


# What each rung changes. One that is not faster is not carried on to the next.
LADDER: dict[str, dict[str, Any]] = {
    "fp32": {},
    "TF32": {"precision": "high"},
    "bf16": {"dtype": torch.bfloat16},
    "compile": {"mode": "default"},
    "flash": {"flash": True},
    "padded vocabulary": {"pad_multiple": 128},
    "fused AdamW": {"update": "fused"},
    "no waiting": {"waits": False},
    "nanoGPT": {},
    "cuDNN attention": {"attention": SDPBackend.CUDNN_ATTENTION},
    "compiled update": {"update": "compiled"},
    "bf16 weights": {
        "update": "compiled",
        "dtype": torch.bfloat16,
        "half_weights": True,
    },
    "chunked loss": {"loss": "chunked"},
    "loss with gradients": {"loss": "gradients"},
    "CUDA graphs": {"mode": "reduce-overhead"},
    "larger batch": {},
    "max-autotune": {"mode": "max-autotune-no-cudagraphs"},
}


def lacking(name: str, device: torch.device) -> str | None:
    """Say why this device has no such rung; None if it has."""
    gpu = device.type == "cuda"
    if (
        name
        in ("TF32", "cuDNN attention", "CUDA graphs", "larger batch", "max-autotune")
        and not gpu
    ):
        return "needs a CUDA GPU"
    if name == "TF32" and torch.cuda.get_device_capability() < (8, 0):
        return "this GPU is older than TF32"
    if name in ("bf16", "bf16 weights", "nanoGPT") and gpu:
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            return "this GPU has no bfloat16"
    if name == "cuDNN attention" and attention_chosen(device) == "CUDNN_ATTENTION":
        return "PyTorch chooses it here by itself"
    return None


def compiler_lacks(device: torch.device) -> str | None:
    """Say why torch.compile cannot work here; None if it might."""
    gpu = device.type == "cuda"
    if gpu and find_spec("triton") is None:
        return "Triton is not installed"
    if not any(
        map(shutil.which, ("gcc", "clang", "cc") if gpu else ("g++", "clang++"))
    ):
        return "there is no compiler"
    return None


def attention_chosen(device: torch.device) -> str:
    """The kernel that F.scaled_dot_product_attention takes for GPT-2's heads."""
    q = torch.empty(
        1, 12, 1024, 64, dtype=torch.bfloat16, device=device, requires_grad=True
    )
    return SDPBackend(torch._fused_sdp_choice(q, q, q, None, 0.0, True)).name


def added(rung: Rung, name: str) -> dict[str, Any]:
    """The changes that a rung of the ladder makes to the one before."""
    if name == "max-autotune" and rung.mode == "reduce-overhead":
        return {"mode": "max-autotune"}  # includes CUDA graphs
    if name == "fused AdamW" and rung.update == "compiled":
        return {}
    return LADDER[name]


class Net(nn.Module):
    """A GPT with its loss in one, so that torch.compile sees both. The logits
    stay inside.
    """

    def __init__(self, kata: ModuleType, model: nn.Module, vocab_size: int, rung: Rung):
        super().__init__()
        self.kata, self.model, self.vocab_size, self.rung = (
            kata,
            model,
            vocab_size,
            rung,
        )

    def forward(self, x: Tensor, y: Tensor) -> tuple[None, Tensor]:
        hidden, weight = self.hidden(x), self.model.lm_head.weight
        if self.rung.loss == "chunked":
            return None, self.kata.chunked_cross_entropy(
                hidden, weight, y, CHUNK, self.vocab_size
            )
        if self.rung.loss == "gradients":
            dtype = self.rung.dtype or weight.dtype
            rows = hidden.flatten(0, 1).to(dtype)
            return None, LossWithGradients.apply(
                rows, weight.to(dtype), y.flatten(), self.vocab_size, CHUNK
            )
        logits = self.model.lm_head(hidden)
        if self.vocab_size < logits.size(-1):
            logits = self.kata.mask_padded_logits(logits, self.vocab_size)
        return None, F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())

    def hidden(self, x: Tensor) -> Tensor:
        """The output layer's input."""
        parts = self.model.transformer
        h = parts.wte(x) + parts.wpe(torch.arange(x.size(1), device=x.device))
        for block in parts.h:
            h = block(h)
        return parts.ln_f(h)


def training(
    kata: ModuleType,
    model: nn.Module,
    rung: Rung,
    fetch: Callable[[], tuple[Tensor, Tensor]],
    lr: float,
    compiled: Callable[[Any, str], Any],
    micro_batches: int = 1,
) -> Callable[[], Tensor | float]:
    """A training step of this rung on a copy of the model. It returns its loss, as a
    tensor where nobody waits for it.

    fetch gives the next batch; `compiled` is torch.compile with a mode. Each update
    takes so many micro-batches.
    """
    net = (
        kata.pad_vocab(model, rung.pad_multiple)
        if rung.pad_multiple
        else copy.deepcopy(model)
    )
    for block in net.transformer.h:
        block.attn.flash = rung.flash
    if rung.half_weights:
        net = net.to(rung.dtype)
    net = Net(kata, net.train(), model.config.vocab_size, rung)
    called = compiled(net, rung.mode) if rung.mode else net
    batch = fetch()
    if rung.update == "compiled":
        update = Update(
            list(net.parameters()), lr, lambda function: compiled(function, "default")
        )
    else:
        optimizer = kata.make_optimizer(net, lr, fused=rung.update == "fused")

    def micro_step() -> Tensor:
        nonlocal batch
        if rung.mode in WITH_GRAPHS:
            torch.compiler.cudagraph_mark_step_begin()
        with (
            torch.autocast(batch[0].device.type, rung.dtype)
            if rung.dtype
            else nullcontext()
        ):
            loss = called(*batch)[1] / micro_batches
        if not rung.waits:
            batch = fetch()
        loss.backward()
        return loss.detach().clone()  # a CUDA graph's next run overwrites its outputs

    def step() -> Tensor | float:
        if rung.waits and rung.update != "compiled" and micro_batches == 1:
            if rung.mode in WITH_GRAPHS:
                torch.compiler.cudagraph_mark_step_begin()
            return kata.amp_step(called, optimizer, *batch, rung.dtype)
        loss = sum(micro_step() for _ in range(micro_batches))
        if rung.update == "compiled":
            update()
        else:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss.item() if rung.waits else loss

    return step


def settings(kata: ModuleType, rung: Rung) -> ExitStack:
    """Set the precision of float32 products and the attention's kernel, while a rung
    compiles and runs.
    """
    stack = ExitStack()
    stack.enter_context(kata.matmul_precision(rung.precision))
    if rung.attention:
        stack.enter_context(sdpa_kernel([rung.attention]))
    return stack
