"""Dense passage retrieval: two encoders trained so that a question finds its passage by
a dot product.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_corpus(
    num_passages: int,
    vocab_size: int = 60,
    passage_length: int = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw passages: (num_passages, passage_length) int64, each of different words from
    1 to vocab_size.
    """
    order = torch.rand(num_passages, vocab_size, generator=generator).argsort(dim=1)
    return order[:, :passage_length] + 1


def make_questions(
    passages: Tensor,
    gold: Tensor,
    vocab_size: int = 60,
    question_length: int = 4,
    paraphrase: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw question i from words of passage gold[i]: (Q, question_length) int64.

    With paraphrase, each word is replaced by its synonym, whose id is greater
    by vocab_size.
    """
    places = torch.rand(len(gold), passages.shape[1], generator=generator).argsort(
        dim=1
    )[:, :question_length]
    words = passages[gold].gather(1, places)
    return words + vocab_size if paraphrase else words


class DualEncoder(nn.Module):
    def __init__(self, num_tokens: int, dim: int):
        super().__init__()
        self.question_encoder = nn.EmbeddingBag(
            num_tokens, dim, mode="mean", padding_idx=0
        )
        self.passage_encoder = nn.EmbeddingBag(
            num_tokens, dim, mode="mean", padding_idx=0
        )

    def encode_questions(self, ids: Tensor) -> Tensor:
        return self.question_encoder(ids)

    def encode_passages(self, ids: Tensor) -> Tensor:
        return self.passage_encoder(ids)

    def forward(self, questions: Tensor, passages: Tensor) -> Tensor:
        return self.encode_questions(questions) @ self.encode_passages(passages).T


def in_batch_loss(q: Tensor, p: Tensor, hard: Tensor | None = None) -> Tensor:
    candidates = p if hard is None else torch.cat([p, hard])
    return F.cross_entropy(q @ candidates.T, torch.arange(len(q)))


def in_batch_loss_numpy(q: np.ndarray, p: np.ndarray) -> float:
    scores = q @ p.T
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -np.diag(log_shares).mean()


def search(
    query_vectors: Tensor, passage_vectors: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    scores, indices = (query_vectors @ passage_vectors.T).topk(k)
    return scores, indices


def recall_at_k(
    scores: Tensor, gold: Tensor, ks: Sequence[int] = (1, 5, 20)
) -> dict[int, float]:
    ranks = (scores >= scores.gather(1, gold[:, None])).sum(dim=1)
    return {k: (ranks <= k).float().mean().item() for k in ks}


def bm25_scores(
    questions: Tensor, passages: Tensor, k1: float = 1.5, b: float = 0.75
) -> Tensor:
    num_words = 1 + int(max(questions.max(), passages.max()))
    # (Q, words): how often, without padding
    asked = F.one_hot(questions, num_words).sum(dim=1)[:, 1:].float()
    tf = F.one_hot(passages, num_words).sum(dim=1)[:, 1:].float()  # (P, words)
    n = (tf > 0).sum(dim=0)
    idf = torch.log((len(passages) - n + 0.5) / (n + 0.5) + 1)
    lengths = tf.sum(dim=1, keepdim=True)
    weights = tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
    return asked @ (idf * weights).T


def train_retriever(
    model: nn.Module,
    *,
    steps: int,
    vocab_size: int = 60,
    batch_size: int = 32,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        passages = make_corpus(batch_size, vocab_size, generator=generator)
        questions = make_questions(
            passages, torch.arange(batch_size), vocab_size, generator=generator
        )
        loss = in_batch_loss(
            model.encode_questions(questions), model.encode_passages(passages)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def mean_reciprocal_rank(scores: Tensor, gold: Tensor) -> float:
    ranks = (scores >= scores.gather(1, gold[:, None])).sum(dim=1)
    return (1 / ranks).mean().item()
