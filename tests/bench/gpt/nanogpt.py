"""nanoGPT's training step, written again from its published recipe, to be measured
beside ours.

What is its own: the exact GELU, no biases, a vocabulary of 50,304 without a mask,
logits that leave the compiled model, clipping and fused AdamW outside of what is
compiled, the next batch fetched before backward, a loss read every tenth step. Names of
the weights are GPT-2's, so that it starts from the same weights as the rungs.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_INTERVAL = 10  # steps between two readings of the loss


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = (
            part.view(rows, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(rows, length, width))


class Mlp(nn.Module):
    def __init__(self, width: int, bias: bool):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool):
        super().__init__()
        self.ln_1, self.ln_2 = (
            nn.LayerNorm(width, bias=bias),
            nn.LayerNorm(width, bias=bias),
        )
        self.attn, self.mlp = Attention(width, heads, bias), Mlp(width, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGpt(nn.Module):
    """The model, with the sizes of a kata's GPTConfig. It returns (logits, loss)."""

    def __init__(self, config):
        super().__init__()
        width, bias = config.n_embd, config.bias
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, width),
                "wpe": nn.Embedding(config.block_size, width),
                "h": nn.ModuleList(
                    Block(width, config.n_head, bias) for _ in range(config.n_layer)
                ),
                "ln_f": nn.LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(idx.size(1), device=idx.device)
        x = self.transformer.wte(idx) + self.transformer.wpe(positions)
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        return logits, F.cross_entropy(
            logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
        )


def training(
    padded: nn.Module,
    fetch: Callable[[], tuple[Tensor, Tensor]],
    lr: float,
    compiled: Callable[[nn.Module], nn.Module],
    micro_batches: int = 1,
) -> Callable[[], Tensor]:
    """One step of nanoGPT from the weights of a GPT whose vocabulary is padded. The
    step returns its loss.
    """
    device = padded.lm_head.weight.device
    model = NanoGpt(padded.config).to(device)
    model.load_state_dict(padded.state_dict())
    params = list(model.parameters())
    groups = [
        {"params": [p for p in params if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=lr, betas=(0.9, 0.95), fused=device.type == "cuda"
    )
    called, batch, n_steps = compiled(model), fetch(), 0

    def step() -> Tensor:
        nonlocal batch, n_steps
        total = torch.zeros((), device=device)
        for _ in range(micro_batches):
            with torch.autocast(device.type, torch.bfloat16):
                loss = called(*batch)[1] / micro_batches
            batch = fetch()
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        n_steps += 1
        if n_steps % LOG_INTERVAL == 0:
            total.item()
        return total

    return step
