"""Retrieval-augmented generation: find documents, read each, and sum over which of them
holds the answer.

After Lewis et al., "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks"
(2020). Sizes: B questions, N documents, K of them retrieved, T tokens per answer,
V = num_values. Documents are numbered z = 0 … K − 1 in the order in which they
were retrieved.
"""

import numpy as np  # stub: keep
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_knowledge_base(  # stub: keep
    num_docs: int,
    num_keys: int,
    num_values: int,
    answer_length: int = 2,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw documents: keys (N,), all different, below num_keys, and values (N,
    answer_length) below num_values.

    Document n says: "the answer to the question about keys[n] is values[n]". Both are
    int64, and N = num_docs.
    """
    keys = torch.randperm(num_keys, generator=generator)[:num_docs]
    values = torch.randint(num_values, (num_docs, answer_length), generator=generator)
    return keys, values


class ClosedBook(nn.Module):
    """The baseline: it answers from its weights. Questions (B,) give logits (B,
    answer_length, num_values).
    """

    def __init__(self, num_keys: int, num_values: int, answer_length: int, dim: int):
        super().__init__()
        self.shape = (answer_length, num_values)
        self.layers = nn.Sequential(
            nn.Embedding(num_keys, dim),
            nn.ReLU(),
            nn.Linear(dim, answer_length * num_values),
        )

    def forward(self, queries: Tensor) -> Tensor:
        return self.layers(queries).unflatten(-1, self.shape)


def train_closed_book(  # stub: keep
    model: nn.Module,
    keys: Tensor,
    values: Tensor,
    *,
    steps: int,
    lr: float = 0.02,
) -> list[float]:
    """Teach a ClosedBook all answers of one knowledge base, and return the loss before
    each step of Adam.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(keys).flatten(0, 1), values.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def rag_sequence_log_likelihood(doc_logits: Tensor, token_log_probs: Tensor) -> Tensor:
    """Compute the log-probability of an answer whose document is unknown: RAG-Sequence,
    section 2.1.

    Args:
        doc_logits: (B, K) scores. Their softmax over the K documents is p(z).
        token_log_probs: (B, K, T), log p(y_t | z) for the tokens y_0 … y_{T−1} of
            the answer.
    Returns:
        (B,): log Σ_z p(z) Π_t p(y_t | z).

    With p(z) = ½ and ½, and token probabilities [0.2, 0.5] and [0.4, 0.1]:
    log(½ · 0.1 + ½ · 0.04) = log 0.07.

    Edge cases ★
        The computation stays in log space: log-probabilities of −1000 give a
        finite result.
    """
    of_answer = token_log_probs.sum(dim=2)  # (B, K)
    return torch.logsumexp(doc_logits.log_softmax(dim=1) + of_answer, dim=1)


def rag_sequence_log_likelihood_numpy(
    doc_logits: np.ndarray, token_log_probs: np.ndarray
) -> np.ndarray:
    """Compute the log-probability of an answer whose document is unknown, in NumPy.

    Args:
        doc_logits: (B, K) float64.
        token_log_probs: (B, K, T) float64.
    Returns:
        (B,): log Σ_z p(z) Π_t p(y_t | z), as in `rag_sequence_log_likelihood`.

    Edge cases ★
        Log space and float64 precision: log-probabilities of −1000 give a
        finite result.
    """
    doc_log_probs = doc_logits - np.logaddexp.reduce(doc_logits, axis=1, keepdims=True)
    return np.logaddexp.reduce(doc_log_probs + token_log_probs.sum(axis=2), axis=1)


def rag_token_log_likelihood(doc_logits: Tensor, token_log_probs: Tensor) -> Tensor:
    """Compute the log-probability of an answer whose every token may come from another
    document: RAG-Token.

    Args:
        doc_logits: (B, K) scores. Their softmax over the K documents is p(z).
        token_log_probs: (B, K, T), log p(y_t | z) for the tokens y_0 … y_{T−1} of
            the answer.
    Returns:
        (B,): log Π_t Σ_z p(z) p(y_t | z).

    With p(z) = ½ and ½, and token probabilities [0.2, 0.5] and [0.4, 0.1]:
    log(0.3 · 0.3) = log 0.09.

    Edge cases ★
        The computation stays in log space: log-probabilities of −1000 give a
        finite result.
    """
    joint = doc_logits.log_softmax(dim=1)[:, :, None] + token_log_probs  # (B, K, T)
    return torch.logsumexp(joint, dim=1).sum(dim=1)


class RAG(nn.Module):
    """A retriever with two encoders, and a generator that reads what was retrieved."""

    def __init__(self, num_keys: int, num_values: int, dim: int):
        """Build both encoders and the generator.

        Args:
            num_keys: the number of different questions, and of different keys.
            num_values: V, the number of different value tokens.
            dim: the size of all embeddings.
        Attributes:
            num_values: V.
            query_encoder, document_encoder: nn.Embedding(num_keys, dim) each, normal
                with standard deviation 0.1.
            value_embedding: nn.Embedding(V, dim), as PyTorch initialises it.
            generator: an nn.Sequential of Linear (dim to dim), ReLU, Linear (dim to V).
        """
        super().__init__()
        self.num_values = num_values
        self.query_encoder = nn.Embedding(num_keys, dim)
        self.document_encoder = nn.Embedding(num_keys, dim)
        for encoder in (self.query_encoder, self.document_encoder):
            nn.init.normal_(encoder.weight, std=0.1)
        self.value_embedding = nn.Embedding(num_values, dim)
        self.generator = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_values)
        )

    def retrieve(
        self, queries: Tensor, keys: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Find the documents that fit each question best.

        Args:
            queries: (B,) int64 questions.
            keys: (N,) int64, the key of each document.
            top_k: K, from 1 to N.
        Returns:
            The pair (scores, indices), both (B, K), best first. The score of document n
            is the dot product of query_encoder(query) and document_encoder(keys[n]);
            its index is n, the place in `keys`.

        - Gradients flow through the scores into both encoders.

        Edge cases ★
            A `top_k` below 1 or above N is a ValueError.
        """
        if not 1 <= top_k <= len(keys):
            raise ValueError(
                f"top_k is {top_k}, expected 1 to {len(keys)}, the number of documents"
            )
        scores = self.query_encoder(queries) @ self.document_encoder(keys).T
        best = scores.topk(top_k, dim=1)
        return best.values, best.indices

    def generate_log_probs(self, values: Tensor) -> Tensor:
        """Predict an answer token from each value token that is read.

        Args:
            values: (..., T) int64, the value tokens of documents.
        Returns:
            (..., T, V): the log-softmax over V of generator(value_embedding(token)).
            Each token is read by itself.
        """
        return self.generator(self.value_embedding(values)).log_softmax(dim=-1)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Retrieve K documents per question, and read the values of each.

        Args:
            queries: (B,) int64 questions.
            keys, values: (N,) and (N, T) int64, the documents.
            top_k: K.
        Returns:
            The pair (doc_logits (B, K), log_probs (B, K, T, V)): the scores of the
            retrieved documents, best first, and the generator's log-probabilities for
            the values of the same documents, in the same order.
        """
        doc_logits, indices = self.retrieve(queries, keys, top_k)
        return doc_logits, self.generate_log_probs(values[indices])


def train_rag(
    model: nn.Module,
    *,
    steps: int,
    num_docs: int,
    num_keys: int,
    top_k: int,
    answer_length: int = 2,
    batch_size: int = 32,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train retriever and generator together, from questions and right answers only
    (section 2.4).

    Args:
        model: called like a RAG; has `num_values`.
        steps: updates by Adam with learning rate `lr` on all parameters.
        num_docs, num_keys, answer_length: for `make_knowledge_base`.
        top_k: documents to retrieve.
        batch_size: questions per step.
        generator: the source of all draws.
    Returns:
        One float per step, the loss before its update: −mean
        `rag_sequence_log_likelihood` of the right answers.

    - Each step draws a fresh knowledge base, and questions from its keys,
      with replacement.
    - Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        keys, values = make_knowledge_base(
            num_docs, num_keys, model.num_values, answer_length, generator
        )
        asked = torch.randint(num_docs, (batch_size,), generator=generator)
        doc_logits, log_probs = model(keys[asked], keys, values, top_k)
        # (B, K, T): every document is asked for the same answer
        right = values[asked][:, None].expand(-1, top_k, -1)
        token_log_probs = log_probs.gather(3, right[..., None]).squeeze(3)
        loss = -rag_sequence_log_likelihood(doc_logits, token_log_probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def answer(
    model: nn.Module, queries: Tensor, keys: Tensor, values: Tensor, top_k: int
) -> Tensor:
    """Answer each question with the most probable token per position, whichever
    document it comes from.

    Args:
        model: called like a RAG.
        queries: (B,) int64 questions.
        keys, values: (N,) and (N, T) int64, the documents.
        top_k: documents to retrieve.
    Returns:
        (B, T) int64: at each position the token with the largest Σ_z p(z) p(token | z),
        where p(z) is the softmax of doc_logits. Two documents of weight 0.3 that agree
        outvote one of 0.4.

    Edge cases ★
        No graph is built, and `model.training` is as before.
    """
    doc_logits, log_probs = model(queries, keys, values, top_k)
    joint = doc_logits.log_softmax(dim=1)[:, :, None, None] + log_probs
    return torch.logsumexp(joint, dim=1).argmax(dim=-1)
