"""The model and the optimizers of `train_gpt2.py --recipe speedrun`: GPT-2's width and
depth, the rungs of ladder/.

Norms and rotation are those of the kata today/01; the schedule of the rate, and what
Muon moves and how far, are those of today/02.

Sizes: B rows of T tokens, C = n_embd features, H heads with D = C / H features
each, V = vocab_size.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from ladder import RUNGS, muon, polar_express, schedules, untied_head, zero_projections
from ladder.bigram import BigramHash
from ladder.document_windows import attend, mask_of
from ladder.qk_norm import QKNorm
from ladder.relu_squared import relu_squared
from ladder.softcap import softcap
from ladder.value_embeddings import ValueEmbeddings
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

# of embedding, head and norms, for every preset
RATES = {"max_lr": 3e-3, "min_lr": 0.0}
MUON_RATE = 0.02 / RATES["max_lr"]  # times as high for the hidden matrices
DECAY = 0.4  # the last share of the steps, in which the rates fall
BASE = 10_000.0  # of the frequencies of rotary positions
Mask = Tensor | BlockMask | None


class Attention(nn.Module):
    """Attention whose queries and keys are turned by their positions."""

    def __init__(self, today: Any, config: Any, rungs: Collection[str]):
        super().__init__()
        c, d = config.n_embd, config.n_embd // config.n_head
        self.n_head, self.rope_half = config.n_head, today.rope_half
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(c, c, bias=False) for _ in range(4)
        )
        self.qk_norm = QKNorm(today, d) if "qk_norm" in rungs else None
        self.register_buffer(
            "inv_freq", BASE ** (-torch.arange(0, d, 2) / d), persistent=False
        )

    def forward(self, x: Tensor, mask: Mask, values: Tensor | None) -> Tensor:
        v = self.v_proj(x)
        if values is not None:
            v = v + values.to(v.dtype)
        q, k, v = (
            part.unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for part in (self.q_proj(x), self.k_proj(x), v)
        )
        if self.qk_norm:
            q, k = self.qk_norm(q, k)
        positions = torch.arange(x.size(1), device=x.device)
        q, k = (
            self.rope_half(part, positions, self.inv_freq).to(v.dtype)
            for part in (q, k)
        )
        return self.o_proj(attend(q, k, v, mask).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer: attention, then an MLP, each normalised first and added."""

    def __init__(self, today: Any, config: Any, rungs: Collection[str]):
        super().__init__()
        c = config.n_embd
        self.activation = relu_squared if "relu_squared" in rungs else F.gelu
        self.norm_1, self.attn = today.RMSNorm(c), Attention(today, config, rungs)
        self.norm_2, self.up, self.down = (
            today.RMSNorm(c),
            nn.Linear(c, 4 * c, False),
            nn.Linear(4 * c, c, False),
        )

    def forward(self, x: Tensor, mask: Mask, values: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm_1(x), mask, values)
        return x + self.down(self.activation(self.up(self.norm_2(x))))


class SpeedrunGPT(nn.Module):
    """Token ids (B, T) → (logits (B, T, V), None), as kata 26's GPT answers
    without targets.

    Attributes:
        rungs: the parts of ladder/ that it has.
        end_of_text: the id between two documents.
        windows: how much of the context is read, in all layers but the last and in
            the last.
        flex: if compiled code uses FlexAttention. Elsewhere the same masks go to
            PyTorch's usual attention.
    """

    windows = schedules.WINDOWS[-1]
    flex = False

    def __init__(
        self, today: Any, config: Any, end_of_text: int, rungs: Collection[str] = RUNGS
    ):
        super().__init__()
        self.config, self.end_of_text, self.rungs = config, end_of_text, rungs
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList(
            Block(today, config, rungs) for _ in range(config.n_layer)
        )
        self.norm = today.RMSNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if "untied_head" not in rungs:
            untied_head.tie(self.lm_head, self.embedding)
        zero_projections.start(self, config.n_layer, "zero_projections" in rungs)
        self.bigram = BigramHash(config, end_of_text) if "bigram" in rungs else None
        self.deep = ValueEmbeddings(config) if "value_embeddings" in rungs else None

    def forward(self, idx: Tensor) -> tuple[Tensor, None]:
        near, far = (
            self.masks(idx) if "document_windows" in self.rungs else (None, None)
        )
        masks = [near] * (len(self.blocks) - 1) + [far]
        x = embedded = self.embedding(idx)
        pairs = self.bigram(idx) if self.bigram else x
        for layer, (block, mask) in enumerate(zip(self.blocks, masks, strict=True)):
            if self.deep:
                x = self.deep.mixed(layer, x, embedded)
            if self.bigram:
                x = x + self.bigram.scales[layer] * pairs
            x = block(x, mask, self.deep.values(layer, idx) if self.deep else None)
        logits = self.lm_head(self.norm(x))
        return softcap(logits) if "softcap" in self.rungs else logits, None

    def masks(self, idx: Tensor) -> list[Tensor | BlockMask]:
        documents = (idx == self.end_of_text).cumsum(dim=1)
        flex = self.flex and torch.compiler.is_compiling()
        return [
            mask_of(documents, int(self.config.block_size * share), flex)
            for share in self.windows
        ]

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; with non_embedding only those that take part in a
        product of matrices.
        """
        count = sum(parameter.numel() for parameter in self.parameters())
        tables = {
            part.weight for part in self.modules() if isinstance(part, nn.Embedding)
        } - {self.lm_head.weight}
        return (
            count - sum(table.numel() for table in tables) if non_embedding else count
        )


class Optimizers:
    """Muon for the hidden matrices and AdamW for the rest, called like one optimizer.
    Below the first rung all AdamW.

    A group's "times" says how many times the rate of the step is its own.
    """

    def __init__(
        self,
        today: Any,
        model: SpeedrunGPT,
        lr: float,
        dtype: torch.dtype | None,
        compiles: bool,
    ):
        hidden, rest = today.split_parameters(model)
        self.each: list[torch.optim.Optimizer] = []
        if "muon" in model.rungs:
            chosen = (
                polar_express.COEFFICIENTS
                if "polar_express" in model.rungs
                else muon.NEWTON_SCHULZ
            )
            self.each.append(
                muon.Muon(
                    today,
                    [{"params": hidden, "times": MUON_RATE}],
                    dtype,
                    compiles,
                    chosen,
                )
            )
        else:
            rest = [*hidden, *rest]
        fused = next(model.parameters()).is_cuda
        groups = [{"params": rest, "times": 1.0}]
        self.each.append(
            torch.optim.AdamW(groups, lr, (0.9, 0.95), weight_decay=0.0, fused=fused)
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.each for group in optimizer.param_groups]

    def step(self) -> None:
        for optimizer in self.each:
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self.each:
            optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {
            type(optimizer).__name__: optimizer.state_dict() for optimizer in self.each
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer in self.each:
            optimizer.load_state_dict(state[type(optimizer).__name__])


def schedule(today: Any, preset: Any, rungs: Collection[str]) -> Callable[[int], float]:
    """The rate of a step: up, flat, and down in a straight line; and higher where a
    step has more tokens.
    """
    decay = max(1, int(DECAY * preset.steps))
    warmup = min(preset.warmup_steps, preset.steps - decay)

    def rate(step: int) -> float:
        usual = today.wsd_lr(
            step, preset.max_lr, warmup, decay, preset.steps, preset.min_lr
        )
        return (
            usual * schedules.rate(schedules.stage_of(step, preset.steps))
            if "schedules" in rungs
            else usual
        )

    return rate
