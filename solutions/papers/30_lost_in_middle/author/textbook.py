"""Lost in the middle: a reader whose attention learns where the relevant document
usually is, and two cures.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def position_prior(num_documents: int, sharpness: float = 3.0) -> Tensor:
    """Return how often the relevant document is at each position: (N,), most often at
    both ends.
    """
    return (sharpness * torch.linspace(-1, 1, num_documents) ** 2).softmax(dim=0)


def make_examples(
    num_examples: int,
    num_documents: int,
    key_size: int = 8,
    num_values: int = 5,
    noise: float = 1.0,
    positions: Tensor | None = None,
    prior: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Draw B questions: query (B, K), keys (B, N, K), values (B, N), positions (B,) and
    answers (B,).

    Per question one document is relevant, at `positions`. If that is None, positions
    are drawn from `prior`, or uniformly if that is None, too. The query is the relevant
    document's key plus normal noise of size `noise`, and the answer is its value.
    """
    keys = torch.randn(num_examples, num_documents, key_size, generator=generator)
    values = torch.randint(
        num_values, (num_examples, num_documents), generator=generator
    )
    if positions is None:
        prior = torch.ones(num_documents) if prior is None else prior
        positions = torch.multinomial(
            prior, num_examples, replacement=True, generator=generator
        )
    rows = torch.arange(num_examples)
    query = keys[rows, positions] + noise * torch.randn(
        num_examples, key_size, generator=generator
    )
    return query, keys, values, positions, values[rows, positions]


def attention_weights_numpy(
    query: np.ndarray, keys: np.ndarray, position_bias: np.ndarray
) -> np.ndarray:
    """Softmax of scaled dot products plus a bias per position."""
    scores = (
        np.einsum("bd,bnd->bn", query, keys) / np.sqrt(query.shape[1]) + position_bias
    )
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


class Reader(nn.Module):
    """Attention over documents, by content and by position."""

    def __init__(self, num_documents: int, key_size: int, num_values: int, dim: int):
        super().__init__()
        self.num_documents = num_documents
        self.key_size = key_size
        self.num_values = num_values
        self.query_projection = nn.Linear(key_size, dim, bias=False)
        self.key_projection = nn.Linear(key_size, dim, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(num_documents))

    def attention(
        self, query: Tensor, keys: Tensor, correction: Tensor | None = None
    ) -> Tensor:
        q, k = self.query_projection(query), self.key_projection(keys)
        scores = (
            torch.einsum("bd,bnd->bn", q, k) / q.shape[-1] ** 0.5 + self.position_bias
        )
        if correction is not None:
            scores = scores - correction
        return scores.softmax(dim=-1)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        correction: Tensor | None = None,
    ) -> Tensor:
        weights = self.attention(query, keys, correction)
        one_hot = F.one_hot(values, self.num_values).float()
        probabilities = torch.einsum("bn,bnv->bv", weights, one_hot)
        return probabilities.clamp(min=1e-9).log()


def train_reader(
    model: nn.Module,
    *,
    steps: int,
    prior: Tensor | None,
    noise: float = 1.0,
    batch_size: int = 64,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Adam on fresh questions, whose relevant documents are where the prior says."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        query, keys, values, _, answers = make_examples(
            batch_size,
            model.num_documents,
            model.key_size,
            model.num_values,
            noise,
            prior=prior,
            generator=generator,
        )
        loss = F.nll_loss(model(query, keys, values), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def edge_order(relevance: Tensor) -> Tensor:
    """Best first, second best last, and so on inwards."""
    ranked = relevance.argsort(dim=1, descending=True)
    return torch.cat([ranked[:, ::2], ranked[:, 1::2].flip(1)], dim=1)


@torch.no_grad()
def accuracy_by_position(
    model: nn.Module,
    *,
    examples_per_position: int = 500,
    noise: float = 1.0,
    reorder: bool = False,
    correction: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ask about each position in turn."""
    shares = []
    for position in range(model.num_documents):
        positions = torch.full((examples_per_position,), position)
        query, keys, values, _, answers = make_examples(
            examples_per_position,
            model.num_documents,
            model.key_size,
            model.num_values,
            noise,
            positions,
            generator=generator,
        )
        if reorder:
            order = edge_order(torch.einsum("bk,bnk->bn", query, keys))
            values = values.gather(1, order)
            keys = keys.gather(1, order[:, :, None].expand_as(keys))
        predictions = model(query, keys, values, correction).argmax(dim=1)
        shares.append((predictions == answers).float().mean())
    return torch.stack(shares)


@torch.no_grad()
def measure_position_bias(
    model: nn.Module,
    *,
    num_examples: int = 500,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The attention that is left when nothing is relevant."""
    query = torch.randn(num_examples, model.key_size, generator=generator)
    keys = torch.randn(
        num_examples, model.num_documents, model.key_size, generator=generator
    )
    bias = model.attention(query, keys).log().mean(dim=0)
    return bias - bias.mean()


def length_sweep(
    lengths: Sequence[int],
    *,
    steps: int = 400,
    noise: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[int, float]:
    """The depth of the U for each number of documents."""
    depths = {}
    for n in lengths:
        model = Reader(n, 8, 5, 16)
        train_reader(
            model,
            steps=steps,
            prior=position_prior(n),
            noise=noise,
            generator=generator,
        )
        accuracy = accuracy_by_position(model, noise=noise, generator=generator)
        depths[n] = ((accuracy[0] + accuracy[-1]) / 2 - accuracy[n // 2]).item()
    return depths
