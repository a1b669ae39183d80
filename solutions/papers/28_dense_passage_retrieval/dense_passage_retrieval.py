"""Dense passage retrieval: two encoders trained so that a question finds its passage by
a dot product.

After Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering"
(2020). Sizes: Q questions of L words, P passages, B question-passage pairs in a batch,
d numbers per vector. A word is an id; the id 0 is padding.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
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
    """Draw question i from different words of passages[gold[i]]: (Q,
    question_length) int64.

    With `paraphrase` each word is replaced by its synonym, the word whose id is greater
    by vocab_size.
    """
    places = torch.rand(len(gold), passages.shape[1], generator=generator).argsort(
        dim=1
    )[:, :question_length]
    words = passages[gold].gather(1, places)
    return words + vocab_size if paraphrase else words


class DualEncoder(nn.Module):
    """Put questions and passages into one vector space, each with an encoder of its own
    (section 3.1).

    Args:
        num_tokens: number of ids, the padding 0 included.
        dim: d.
    Attributes:
        question_encoder, passage_encoder: two separate
            `nn.EmbeddingBag(num_tokens, dim)` that take the mean over words and leave
            out the padding 0.

    `encode_questions(ids)` and `encode_passages(ids)` map ids (B, L) to vectors (B, d).
    `forward(questions, passages)` returns all dot products (Q, P): row i has the scores
    of question i for every passage.

    - Vectors are means as they are, without normalisation.

    Edge cases ★
        A text of padding only is the vector 0.
    """

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
    """Score each question against all passages of the batch: the loss of equation (2).

    Args:
        q, p: (B, d). p[i] is the right passage for q[i], all others are wrong.
        hard: (M, d), further wrong passages for all questions.
    Returns:
        The mean over i of the cross-entropy of row i of [q pᵀ | q hardᵀ], whose right
        column is i.

    q = [[0]] and p = [[1]] have a loss of 0. With hard = [[2]] it is ln 2: both
    score 0.

    Edge cases ★
        Scores in the thousands give no NaN or infinity. float64 vectors give a
        float64 loss.
    """
    candidates = p if hard is None else torch.cat([p, hard])
    return F.cross_entropy(q @ candidates.T, torch.arange(len(q)))


def in_batch_loss_numpy(q: np.ndarray, p: np.ndarray) -> float:
    """Compute the in-batch loss in NumPy, without hard negatives.

    Args:
        q, p: (B, d) float64. p[i] is the right passage for q[i].
    Returns:
        The mean over i of log Σ_j exp(q_i · p_j) − q_i · p_i.

    q = [[0], [0]] and p = [[1], [2]] give ln 2: all scores are 0.

    Edge cases ★
        float64 precision. Scores in the thousands give no NaN, infinity or warning.
    """
    scores = q @ p.T
    scores = scores - scores.max(axis=1, keepdims=True)
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -float(np.diag(log_shares).mean())


def search(
    query_vectors: Tensor, passage_vectors: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Find the k passages with the largest dot products, for each question.

    Args:
        query_vectors: (Q, d).
        passage_vectors: (P, d), encoded once for all questions.
        k: from 1 to P.
    Returns:
        scores (Q, k), best first, and indices (Q, k) int64 of the passages that
        have them.

    The query [1] and the passages [[3], [5], [4]] with k = 2: scores [[5, 4]] and
    indices [[1, 2]].

    Edge cases ★
        A k that is not from 1 to P is a ValueError.
    """
    if not 1 <= k <= len(passage_vectors):
        raise ValueError(
            f"k is {k}, and there are {len(passage_vectors)} passages: k must be from "
            "1 to their number"
        )
    scores, indices = (query_vectors @ passage_vectors.T).topk(k)
    return scores, indices


def recall_at_k(
    scores: Tensor, gold: Tensor, ks: Sequence[int] = (1, 5, 20)
) -> dict[int, float]:
    """Measure the share of questions whose gold passage is among the k best.

    Args:
        scores: (Q, P).
        gold: (Q,) int64, the index of the right passage per question.
        ks: the values of k.
    Returns:
        Per k, the share of questions with rank ≤ k, a float.

    - The rank is the number of passages that score at least as much as the gold one,
      itself included. So equal scores count against it.

    Scores [[1, 3, 2]] with gold [2]: rank 2, so {1: 0.0, 5: 1.0, 20: 1.0}.

    Edge cases ★
        A k above P counts all passages, as in the example.
    """
    ranks = (scores >= scores.gather(1, gold[:, None])).sum(dim=1)
    return {k: (ranks <= k).double().mean().item() for k in ks}


def bm25_scores(
    questions: Tensor, passages: Tensor, k1: float = 1.5, b: float = 0.75
) -> Tensor:
    """Score passages by the words that they share with a question.

    Args:
        questions: (Q, L) ids. A word that is there twice counts twice.
        passages: (P, T) ids. The padding 0 is no word, and not part of a length.
        k1, b: how slowly repeats saturate; how much the length matters.
    Returns:
        (Q, P): the sum over the question's words of idf · tf · (k1 + 1) / (tf +
        k1 · (1 − b + b · len / mean len)).

    tf is how often the passage has the word, len the passage's number of words. With
    the word in n of P passages, idf = log((P − n + 0.5) / (n + 0.5) + 1).

    Edge cases ★
        k1 = 0 gives no NaN: a word counts its idf if it is there, else 0.
    """
    num_words = 1 + int(max(questions.max(), passages.max()))
    # (Q, words): how often, without padding
    asked = F.one_hot(questions, num_words).sum(dim=1)[:, 1:].float()
    tf = F.one_hot(passages, num_words).sum(dim=1)[:, 1:].float()  # (P, words)
    n = (tf > 0).sum(dim=0)
    idf = torch.log((len(passages) - n + 0.5) / (n + 0.5) + 1)
    lengths = tf.sum(dim=1, keepdim=True)
    weights = tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
    return asked @ (idf * torch.where(tf > 0, weights, 0)).T


def train_retriever(
    model: nn.Module,
    *,
    steps: int,
    vocab_size: int = 60,
    batch_size: int = 32,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a `DualEncoder` on passages that it sees only once, each with one
    paraphrased question.

    Args:
        model: with `encode_questions` and `encode_passages`.
        steps: updates by Adam with learning rate `lr` on all parameters.
        vocab_size: of `make_corpus` and `make_questions`, whose other sizes are
            the defaults.
        batch_size: fresh passages per step. Question i belongs to passage i.
        generator: the source of passages and questions.
    Returns:
        One float per step, the in-batch loss before its update.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    gold = torch.arange(batch_size)
    model.train()
    losses = []
    for _ in range(steps):
        passages = make_corpus(batch_size, vocab_size, generator=generator)
        questions = make_questions(passages, gold, vocab_size, generator=generator)
        loss = in_batch_loss(
            model.encode_questions(questions), model.encode_passages(passages)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def mean_reciprocal_rank(scores: Tensor, gold: Tensor) -> float:
    """Measure how far up the gold passages are: the mean over questions of 1 / rank.

    Args:
        scores: (Q, P).
        gold: (Q,) int64, the index of the right passage per question.
    Returns:
        A float, 1.0 if every gold passage is first.

    - The rank is that of `recall_at_k`: it starts at 1, and equal scores count
      against it.

    Ranks of 1 and 4 give (1 + 0.25) / 2 = 0.625. Where all scores are equal, each rank
    is P.

    Edge cases ★
        float64 precision.
    """
    ranks = (scores >= scores.gather(1, gold[:, None])).sum(dim=1)
    return (1 / ranks.double()).mean().item()
