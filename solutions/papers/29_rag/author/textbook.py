"""Retrieval-augmented generation: the retrieved document is a hidden variable, and its
probability is summed over.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_knowledge_base(
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


def train_closed_book(
    model: nn.Module, keys: Tensor, values: Tensor, *, steps: int, lr: float = 0.02
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
    """log Σ_z p(z) Π_t p(y_t | z)."""
    answer_probs = token_log_probs.sum(dim=2).exp()
    return (doc_logits.softmax(dim=1) * answer_probs).sum(dim=1).log()


def rag_sequence_log_likelihood_numpy(
    doc_logits: np.ndarray, token_log_probs: np.ndarray
) -> np.ndarray:
    """The same on arrays."""
    doc_probs = np.exp(doc_logits) / np.exp(doc_logits).sum(axis=1, keepdims=True)
    answer_probs = np.exp(token_log_probs.sum(axis=2))
    return np.log((doc_probs * answer_probs).sum(axis=1))


def rag_token_log_likelihood(doc_logits: Tensor, token_log_probs: Tensor) -> Tensor:
    """log Π_t Σ_z p(z) p(y_t | z)."""
    doc_probs = doc_logits.softmax(dim=1)
    token_probs = (doc_probs[:, :, None] * token_log_probs.exp()).sum(dim=1)
    return token_probs.log().sum(dim=1)


class RAG(nn.Module):
    """A retriever with two encoders, and a generator that reads the
    retrieved values.
    """

    def __init__(self, num_keys: int, num_values: int, dim: int):
        super().__init__()
        self.num_values = num_values
        self.query_encoder = nn.Embedding(num_keys, dim)
        self.document_encoder = nn.Embedding(num_keys, dim)
        nn.init.normal_(self.query_encoder.weight, std=0.1)
        nn.init.normal_(self.document_encoder.weight, std=0.1)
        self.value_embedding = nn.Embedding(num_values, dim)
        self.generator = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_values)
        )

    def retrieve(
        self, queries: Tensor, keys: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """The top_k documents by dot product."""
        scores = self.query_encoder(queries) @ self.document_encoder(keys).T
        return scores.topk(top_k, dim=1)

    def generate_log_probs(self, values: Tensor) -> Tensor:
        """The generator's log-probabilities after reading each value token."""
        return self.generator(self.value_embedding(values)).log_softmax(dim=-1)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Scores of the retrieved documents, and the generator's log-probabilities
        for each.
        """
        scores, indices = self.retrieve(queries, keys, top_k)
        return scores, self.generate_log_probs(values[indices])


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
    """A fresh knowledge base per step; the loss knows answers only."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        keys, values = make_knowledge_base(
            num_docs, num_keys, model.num_values, answer_length, generator
        )
        asked = torch.randint(num_docs, (batch_size,), generator=generator)
        doc_logits, log_probs = model(keys[asked], keys, values, top_k)
        answers = values[asked][:, None, :, None].expand(-1, top_k, -1, 1)
        token_log_probs = log_probs.gather(3, answers)[..., 0]
        loss = -rag_sequence_log_likelihood(doc_logits, token_log_probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def answer(
    model: nn.Module, queries: Tensor, keys: Tensor, values: Tensor, top_k: int
) -> Tensor:
    """Per position, the token with the largest marginal probability."""
    doc_logits, log_probs = model(queries, keys, values, top_k)
    marginal = (doc_logits.softmax(dim=1)[:, :, None, None] * log_probs.exp()).sum(
        dim=1
    )
    return marginal.argmax(dim=-1)
