"""Multi-token prediction, as a book prints it: one trunk, several heads, drafts that
the first head checks.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_transition_matrix(
    vocab_size: int,
    concentration: float = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a Markov chain: (V, V), row i holds the chances of each token to follow
    token i.

    Each row is the softmax of `concentration` times standard normals. The larger it is,
    the surer the next token.
    """
    return (
        concentration * torch.randn(vocab_size, vocab_size, generator=generator)
    ).softmax(dim=1)


def sample_sequences(
    transition: Tensor,
    num: int,
    length: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw sequences of the chain: (num, length) int64. The first token is uniform."""
    tokens = torch.randint(len(transition), (num, 1), generator=generator)
    for _ in range(length - 1):
        following = torch.multinomial(transition[tokens[:, -1]], 1, generator=generator)
        tokens = torch.cat([tokens, following], dim=1)
    return tokens


def greedy_generate(
    model: "MultiTokenModel", prompt: Tensor, num_new: int
) -> tuple[Tensor, int]:
    """Append the first head's arg max, `num_new` times: the pair (tokens (1,
    T + num_new), number of model calls).
    """
    tokens = prompt
    with torch.no_grad():
        for _ in range(num_new):
            best = model(tokens)[:, -1:, 0].argmax(dim=-1)
            tokens = torch.cat([tokens, best], dim=1)
    return tokens, num_new


class MultiTokenModel(nn.Module):
    def __init__(self, vocab_size: int, hidden_size: int, num_heads: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.num_heads = num_heads
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.trunk = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.heads = nn.ModuleList(
            [nn.Linear(hidden_size, vocab_size) for _ in range(num_heads)]
        )

    def hidden(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.trunk(self.embedding(tokens))
        return outputs

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.hidden(tokens)
        return torch.stack([head(hidden) for head in self.heads], dim=2)


def multi_token_loss(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    losses = []
    for k in range(logits.size(2)):
        predicted = logits[:, : -(k + 1), k]
        losses.append(
            F.cross_entropy(predicted.flatten(0, 1), tokens[:, k + 1 :].flatten())
        )
    per_head = torch.stack(losses)
    return per_head.sum(), per_head


def multi_token_loss_numpy(logits: np.ndarray, tokens: np.ndarray) -> float:
    logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    total = 0.0
    for k in range(logits.shape[2]):
        targets = tokens[:, k + 1 :, None]
        total -= np.take_along_axis(logp[:, : -(k + 1), k], targets, axis=-1).mean()
    return total


def bayes_losses(transition: Tensor, tokens: Tensor, num_heads: int) -> Tensor:
    transition = transition.double()
    power = transition
    losses = []
    for k in range(num_heads):
        losses.append(-power[tokens[:, : -(k + 1)], tokens[:, k + 1 :]].log().mean())
        power = power @ transition
    return torch.stack(losses)


def backward_head_by_head(model: MultiTokenModel, tokens: Tensor) -> float:
    hidden = model.hidden(tokens)
    detached = hidden.detach().requires_grad_()
    total = 0.0
    for k, head in enumerate(model.heads):
        logits = head(detached[:, : -(k + 1)])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, k + 1 :].flatten())
        loss.backward()
        total += loss.item()
    hidden.backward(detached.grad)
    return total


def train_multi_token(
    model: MultiTokenModel,
    transition: Tensor,
    *,
    steps: int,
    batch_size: int = 32,
    length: int = 24,
    lr: float = 1e-2,
    generator: torch.Generator | None = None,
) -> list[list[float]]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    history = []
    for _ in range(steps):
        tokens = sample_sequences(transition, batch_size, length, generator)
        total, per_head = multi_token_loss(model(tokens), tokens)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(per_head.tolist())
    return history


def speculative_generate(
    model: MultiTokenModel, prompt: Tensor, num_new: int
) -> tuple[Tensor, int]:
    text, draft, calls = prompt, prompt[:, :0], 0
    length = prompt.size(1) + num_new
    while text.size(1) < length:
        last = text.size(1) - 1
        text = torch.cat([text, draft], dim=1)
        best = model(text).argmax(dim=-1)  # (1, T, num_heads)
        calls += 1
        while last + 1 < text.size(1) and text[0, last + 1] == best[0, last, 0]:
            last += 1
        text = torch.cat([text[:, : last + 1], best[:, last, :1]], dim=1)
        draft = best[:, last, 1:]
    return text[:, :length], calls


def compare_heads(
    transition: Tensor,
    head_counts: Sequence[int],
    *,
    steps: int,
    hidden_size: int = 32,
    seed: int = 0,
) -> dict[int, list[float]]:
    curves = {}
    for num_heads in head_counts:
        torch.manual_seed(seed)
        model = MultiTokenModel(len(transition), hidden_size, num_heads)
        generator = torch.Generator().manual_seed(seed)
        history = train_multi_token(model, transition, steps=steps, generator=generator)
        curves[num_heads] = [losses[0] for losses in history]
    return curves
