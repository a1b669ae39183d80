"""today/09 as a textbook has it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Elements = tuple[Tensor, ...]


def recall_batch(
    rows: int,
    n_keys: int,
    n_values: int,
    distinct: int,
    times: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Texts that write pairs, and ask for the last value of each key."""
    keys = torch.rand(rows, n_keys, generator=generator).argsort(-1)[:, :distinct]
    which = (
        torch.rand(rows, distinct * times, generator=generator).argsort(-1) % distinct
    )
    values = torch.randint(n_values, which.shape, generator=generator)
    asked = torch.rand(rows, distinct, generator=generator).argsort(-1)
    is_key = which[:, :, None] == asked[:, None, :]
    last = distinct * times - 1 - is_key.flip(1).int().argmax(1)
    written = torch.stack([keys.gather(1, which), values], dim=-1)
    questions = torch.stack(
        [keys.gather(1, asked), torch.full_like(asked, n_values)], dim=-1
    )
    return torch.cat([written, questions], dim=1), values.gather(1, last)


def short_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Each feature over its last few tokens."""
    padded = F.pad(x.mT, (weight.size(1) - 1, 0))
    return F.conv1d(padded, weight[:, None], groups=x.size(2)).mT


def parallel_form(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """All tokens at once."""
    total = log_decay.cumsum(-1)
    gaps = total[..., :, None] - total[..., None, :]
    causal = torch.ones(gaps.shape[-2:], dtype=torch.bool).tril()
    return (q @ k.mT * gaps.masked_fill(~causal, float("-inf")).exp()) @ v


def recurrent_step(
    state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor]:
    """Fade, write, read."""
    state = log_decay.exp()[..., None, None] * state + k[..., :, None] * v[..., None, :]
    return (q[..., None, :] @ state).squeeze(-2), state


def chunked_form(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    chunk: int = 16,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A product inside each chunk, the state between them."""
    if state is None:
        state = torch.zeros(*k.shape[:2], k.size(-1), v.size(-1))
    outs = []
    for q, k, v, g in zip(*(x.split(chunk, dim=2) for x in (q, k, v, log_decay))):
        total = g.cumsum(-1)[..., None]
        end = total[..., -1:, :]
        outs.append(parallel_form(q, k, v, g) + total.exp() * (q @ state))
        state = end.exp() * state + ((end - total).exp() * k).mT @ v
    return torch.cat(outs, dim=2), state


def combine(left: Elements, right: Elements) -> Elements:
    """Left first, then right."""
    (a, b), (c, d) = left, right
    return c * a, c * b + d


def associative_scan(
    op: Callable[[Elements, Elements], Elements], elements: Elements
) -> Elements:
    """All prefixes, each round doubling how far they reach."""
    reach = 1
    while reach < len(elements[0]):
        joined = op(
            tuple(x[:-reach] for x in elements), tuple(x[reach:] for x in elements)
        )
        elements = tuple(torch.cat([x[:reach], y]) for x, y in zip(elements, joined))
        reach *= 2
    return elements


def delta_step(
    state: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor]:
    """Fade, look up, correct, read."""
    state = log_decay.exp()[..., None, None] * state
    held = (k[..., None, :] @ state).squeeze(-2)
    error = beta[..., None] * (v - held)
    state = state + k[..., :, None] * error[..., None, :]
    return (q[..., None, :] @ state).squeeze(-2), state


def delta_chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    chunk: int = 16,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The corrections of a chunk by one triangular system."""
    if state is None:
        state = torch.zeros(*k.shape[:2], k.size(-1), v.size(-1))
    outs = []
    for q, k, v, b, g in zip(
        *(x.split(chunk, dim=2) for x in (q, k, v, beta, log_decay))
    ):
        total = g.cumsum(-1)[..., None]
        earlier = torch.ones(g.size(-1), g.size(-1), dtype=torch.bool).tril(-1)
        fade = (total - total.mT).masked_fill(~earlier, float("-inf")).exp()
        system = torch.eye(g.size(-1)) + b[..., None] * (k @ k.mT) * fade
        wanted = b[..., None] * (v - total.exp() * (k @ state))
        u = torch.linalg.solve_triangular(system, wanted, upper=False)
        out, state = chunked_form(q, k, u, g, chunk, state)
        outs.append(out)
    return torch.cat(outs, dim=2), state


class GatedDeltaNet(nn.Module):
    """A layer around the gated delta rule."""

    def __init__(self, n_embd: int, n_head: int, width: int = 4):
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.conv = nn.Parameter(torch.randn(3 * n_embd, width) / width**0.5)
        self.beta = nn.Linear(n_embd, n_head)
        self.decay = nn.Linear(n_embd, n_head)
        nn.init.constant_(self.decay.bias, 4.0)
        self.norm = nn.RMSNorm(n_embd // n_head)
        self.gate = nn.Linear(n_embd, n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project, convolve, apply the rule, gate, project."""
        B, T, C = x.shape
        mixed = F.silu(short_convolution(self.qkv(x), self.conv))
        q, k, v = (
            part.view(B, T, self.n_head, -1).transpose(1, 2)
            for part in mixed.chunk(3, dim=-1)
        )
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        beta, log_decay = self.beta(x).sigmoid().mT, F.logsigmoid(self.decay(x)).mT
        out, _ = delta_chunked(q, k, v, beta, log_decay)
        out = self.norm(out).transpose(1, 2).reshape(B, T, C)
        return self.proj(out * F.silu(self.gate(x)))


def decoding_bytes(
    layers: str,
    T: int,
    n_head: int,
    n_kv_head: int,
    head_dim: int,
    window: int,
    itemsize: int = 2,
) -> int:
    """A state for L, a cache for W and A."""
    numbers = {
        "L": n_head * head_dim**2,
        "W": 2 * n_kv_head * head_dim * min(T, window),
        "A": 2 * n_kv_head * head_dim * T,
    }
    return itemsize * sum(numbers[layer] for layer in layers)
