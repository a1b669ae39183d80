"""The model and the optimizers of `train_gpt2.py --recipe speedrun`: what has replaced GPT-2's parts, at equal size.

Rotary positions, normalised queries and keys, ReLU², projections that start at zero, a head of its own, attention
within a document and a window, and Muon. Norms and rotation are those of the kata today/01; the schedule, and what
Muon moves and how far, are those of today/02.

Sizes: B rows of T tokens, C = n_embd features, H heads with D = C / H features each, V = vocab_size.
"""

from collections.abc import Callable
from typing import Any

import muon_of_many
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

RATES = {"max_lr": 3e-3, "min_lr": 0.0}  # of embedding, head and norms, for every preset
MUON_RATE = 0.02 / RATES["max_lr"]  # times as high for the hidden matrices
DECAY = 0.4  # the last share of the steps, in which the rates fall
BASE = 10_000.0  # of the frequencies of rotary positions


class Attention(nn.Module):
    """Attention with normalised queries and keys, which are turned by their positions."""

    def __init__(self, today: Any, config: Any):
        super().__init__()
        c, d = config.n_embd, config.n_embd // config.n_head
        self.n_head, self.qk_norm, self.rope_half = config.n_head, today.qk_norm, today.rope_half
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(c, c, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = today.RMSNorm(d), today.RMSNorm(d)
        self.register_buffer("inv_freq", BASE ** (-torch.arange(0, d, 2) / d), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | BlockMask) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = self.qk_norm(q, k, self.q_norm.weight, self.k_norm.weight)
        positions = torch.arange(x.size(1), device=x.device)
        q, k = (self.rope_half(part, positions, self.inv_freq).to(v.dtype) for part in (q, k))
        return self.o_proj(attend(q, k, v, mask).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer: attention, then an MLP with ReLU², each normalised first and added."""

    def __init__(self, today: Any, config: Any):
        super().__init__()
        c = config.n_embd
        self.norm_1, self.attn = today.RMSNorm(c), Attention(today, config)
        self.norm_2, self.up, self.down = today.RMSNorm(c), nn.Linear(c, 4 * c, False), nn.Linear(4 * c, c, False)

    def forward(self, x: Tensor, mask: Tensor | BlockMask) -> Tensor:
        x = x + self.attn(self.norm_1(x), mask)
        return x + self.down(relu_squared(self.up(self.norm_2(x))))


class SpeedrunGPT(nn.Module):
    """Token ids (B, T) → (logits (B, T, V), None), as kata 26's GPT answers without targets.

    Attributes:
        end_of_text: the id between two documents.
        flex: if compiled code uses FlexAttention. Elsewhere the same masks go to PyTorch's usual attention.
    """

    def __init__(self, today: Any, config: Any, end_of_text: int):
        super().__init__()
        self.config, self.end_of_text, self.flex = config, end_of_text, False
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(today, config) for _ in range(config.n_layer))
        self.norm = today.RMSNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down.weight", "lm_head.weight")):
                nn.init.zeros_(parameter)  # every block begins as the identity, and every token is equally likely
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, idx: Tensor) -> tuple[Tensor, None]:
        documents = (idx == self.end_of_text).cumsum(dim=1)
        flex = self.flex and torch.compiler.is_compiling()
        near, far = (mask_of(documents, self.config.block_size // part, flex) for part in (2, 1))
        x = self.embedding(idx)
        for block in self.blocks[:-1]:
            x = block(x, near)
        return self.lm_head(self.norm(self.blocks[-1](x, far))), None

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; with non_embedding without those that take part in no product of matrices."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return count - self.embedding.weight.numel() if non_embedding else count


def relu_squared(x: Tensor) -> Tensor:
    return F.relu(x).square()


def mask_of(documents: Tensor, window: int, flex: bool) -> Tensor | BlockMask:
    """Let a token read itself and earlier ones: of its document, at most `window` in all.

    Args:
        documents: (B, T), the number of each token's document.
        flex: the mask for FlexAttention, which skips blocks of 128 × 128 that it excludes. Else (B, 1, T, T), bool.
    """
    rows, length = documents.shape

    def allows(row: Tensor, head: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query - key < window) & (documents[row, query] == documents[row, key])

    if flex:
        return create_block_mask(allows, rows, None, length, length, device=documents.device)
    places = torch.arange(length, device=documents.device)
    return allows(torch.arange(rows, device=documents.device)[:, None, None, None], None, places[:, None], places)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | BlockMask) -> Tensor:
    """Average v (B, H, T, D) by softmax(q kᵀ / √D) where the mask allows it."""
    if isinstance(mask, Tensor):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return flex_attention(q, k, v, block_mask=mask)


def flex_works(device: torch.device, head_size: int) -> bool:
    """Tell if FlexAttention compiles here, forward and backward, by trying."""

    def attended(x: Tensor, documents: Tensor) -> Tensor:
        return attend(x, x, x, mask_of(documents, 64, flex=True))

    x = torch.randn(2, 2, 128, head_size, device=device, requires_grad=True)
    try:
        torch.compile(attended)(x, torch.zeros(2, 128, dtype=torch.long, device=device)).sum().backward()
    except Exception:  # by device and version there are many reasons
        return False
    return True


class Optimizers:
    """Muon for the hidden matrices and AdamW for the rest, called like one optimizer.

    A group's "times" says how many times the rate of the step is its own.
    """

    def __init__(self, today: Any, model: nn.Module, lr: float, dtype: torch.dtype | None, compiles: bool):
        hidden, rest = today.split_parameters(model)
        fused = next(model.parameters()).is_cuda
        self.each = [
            muon_of_many.Muon(today, [{"params": hidden, "times": MUON_RATE}], dtype, compiles),
            torch.optim.AdamW([{"params": rest, "times": 1.0}], lr, (0.9, 0.95), weight_decay=0.0, fused=fused),
        ]

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
        return {type(optimizer).__name__: optimizer.state_dict() for optimizer in self.each}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer in self.each:
            optimizer.load_state_dict(state[type(optimizer).__name__])


def schedule(today: Any, preset: Any) -> Callable[[int], float]:
    """The rate of a step: up, flat, and down in a straight line."""
    decay = max(1, int(DECAY * preset.steps))
    warmup = min(preset.warmup_steps, preset.steps - decay)
    return lambda step: today.wsd_lr(step, preset.max_lr, warmup, decay, preset.steps, preset.min_lr)
