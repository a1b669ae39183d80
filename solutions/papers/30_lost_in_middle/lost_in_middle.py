"""Lost in the middle: a reader whose attention learns where the relevant document
usually is, and two cures.

After Liu et al., "Lost in the Middle: How Language Models Use Long Contexts" (2023).
Sizes: B questions, N documents per question, K numbers per key and per query, V
possible values, D projected features.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
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
    """Compute attention over documents from content and position, in NumPy.

    Args:
        query, keys: (B, d) and (B, N, d).
        position_bias: (N,), the same for all questions.
    Returns:
        (B, N): the softmax over a question's N documents of

            query · key_j / √d + position_bias_j

    With d = 4, a query that is orthogonal to all keys, and the bias [ln 3, 0], the
    weights are [0.75, 0.25].

    Edge cases ★
        float64 precision. Scores in the thousands give finite weights.
    """
    scores = (
        np.einsum("bd,bnd->bn", query, keys) / np.sqrt(query.shape[1]) + position_bias
    )
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


class Reader(nn.Module):
    """Answer a question by attention over documents: the weight of a document is a vote
    for its value.
    """

    def __init__(self, num_documents: int, key_size: int, num_values: int, dim: int):
        """Build two projections and a bias per position.

        Args:
            num_documents, key_size, num_values, dim: N, K, V and D.
        Attributes:
            query_projection, key_projection: nn.Linear from K to D, without bias.
            position_bias: a parameter (N,), zeros at the start.
            num_documents, key_size, num_values: the arguments. They tell others what to
                ask this reader.
        """
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
        """Weigh the documents by content and by position.

        Args:
            query, keys: (B, K) and (B, N, K).
            correction: (N,), a preference for positions that is to be taken out. None
                changes nothing.
        Returns:
            (B, N): the softmax over the N documents of

                query_projection(query) · key_projection(key_j) / √D + position_bias_j
                − correction_j

        With position_bias [2, 0] and the correction [2, 0], content alone decides.

        Edge cases ★
            A float64 model computes in float64.
        """
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
        """Turn attention weights into log-probabilities of the values.

        Args:
            query, keys, correction: as for `attention`.
            values: (B, N) int64, from 0 to V − 1.
        Returns:
            (B, V): the log of the summed attention on the documents with each value.

        - Probabilities below 1e-9 are raised to 1e-9 before the log.

        Weights [0.5, 0.2, 0.3] on the values [2, 0, 2] are the probabilities
        [0.2, 1e-9, 0.8] for V = 3.

        Edge cases ★
            A float64 model gives float64 log-probabilities.
        """
        weights = self.attention(query, keys, correction)
        one_hot = F.one_hot(values, self.num_values).to(weights)
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
    """Train a reader on questions from `make_examples` that it sees only once.

    Args:
        model: called as model(query, keys, values); returns log-probabilities. Its
            attributes num_documents, key_size and num_values say what to draw.
        steps: updates by Adam with learning rate `lr` on all parameters.
        prior: (N,), where relevant documents are; None for uniform positions.
        noise, batch_size, generator: for `make_examples`.
    Returns:
        One float per step, the loss before its update: the mean negative log-likelihood
        of the answers.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
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
    """Find the order that puts relevant documents at both ends.

    Args:
        relevance: (B, N), no two equal in a row.
    Returns:
        (B, N) int64: row b lists the numbers of the documents in their new order. The
        most relevant is at position 0, the second at N − 1, the third at 1, the fourth
        at N − 2, and so on: the least relevant is in the middle.

    Relevances [10, 50, 30, 20, 40] become [1, 2, 0, 3, 4], which reads 50, 30, 10,
    20, 40.

    Edge cases ★
        N = 1 gives [[0]] per row. `relevance` is not written to.
    """
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
    """Measure accuracy when the relevant document is at position 0, …, N − 1
    (figure 1).

    Args:
        model: called as model(query, keys, values, correction), with attributes as a
            `Reader` has.
        examples_per_position, noise, generator: for `make_examples`.
        reorder: show keys and values in the `edge_order` of the raw dot
            products query · key.
        correction: handed on to the model.
    Returns:
        (N,): entry p is the share of right answers to questions whose relevant document
        was drawn at position p. If it is moved then, the entry is still p.

    Edge cases ★
        `model.training` does not change. The result has no graph.
    """
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
    """Measure which positions a model prefers, through `model.attention` alone.

    Args:
        model: has attention(query, keys), num_documents and key_size. Its parameters
            stay unread.
        num_examples: how many pairs of query (K,) and keys (N, K) to average over, all
            independent standard normal:
            no document is relevant.
        generator: the source of the draws.
    Returns:
        (N,): the mean over examples of the log attention at each position, minus the
        mean over positions.

    A reader with position_bias [3, 0, 0] and random projections has about [2, −1, −1].

    Edge cases ★
        `model.training` does not change. The result has no graph.
    """
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
    """Measure the depth of the U for several numbers of documents.

    Args:
        lengths: values of N.
        steps: updates per reader.
        noise: of the questions in training and in measuring.
        generator: the source of all questions.
    Returns:
        {N: depth} in the given order: the mean accuracy of positions 0 and N − 1, minus
        that of position N // 2.

    - Each N has its own `Reader(N, 8, 5, 16)`, trained by `train_reader` with
      `position_prior(N)`.
    - All else are defaults of `train_reader` and `accuracy_by_position`.

    Accuracies [0.9, 0.6, 0.5, 0.6, 0.8] have the depth 0.35.
    """
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
