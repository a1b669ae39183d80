"""Text as ids, ids as rows of a learned table, and sequences of different lengths in
one batch.

Sizes: V rows of the table (one for each token), D features of a row, B sequences, T
steps, "*" any further dimensions. Masks are boolean, and True means "is real"
(not padding).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-case words at the blanks: "The  Cat" becomes
    ["the", "cat"]. (Given.)
    """
    return text.lower().split()


class Vocabulary:
    """Words to ids and back."""

    tokenize = staticmethod(tokenize)

    def __init__(
        self, texts: Iterable[str], min_freq: int = 1, max_size: int | None = None
    ):
        counts = Counter(word for text in texts for word in self.tokenize(text))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        words = [word for word in words if counts[word] >= min_freq]
        self.tokens = ["<pad>", "<unk>", *words][:max_size]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.pad_id, self.unk_id = 0, 1

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.ids

    def encode(self, text: str) -> Tensor:
        """The ids of a text's words."""
        return torch.tensor(
            [self.ids.get(word, self.unk_id) for word in self.tokenize(text)],
            dtype=torch.int64,
        )

    def decode(self, ids: Tensor) -> str:
        """The tokens of some ids, without the padding."""
        return " ".join(self.tokens[i] for i in ids.tolist() if i != self.pad_id)


def pad_batch(
    sequences: Sequence[Tensor], padding_value: float = 0, max_len: int | None = None
) -> tuple[Tensor, Tensor]:
    """One tensor, filled up on the right, and a mask from the lengths."""
    sequences = [sequence[:max_len] for sequence in sequences]
    padded = pad_sequence(sequences, batch_first=True, padding_value=padding_value)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask


class Embedding(nn.Module):
    """A table with one learned row for each id."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.weight[ids]
        if self.padding_idx is not None:
            is_padding = (ids == self.padding_idx).unsqueeze(-1)
            rows = torch.where(is_padding, rows.detach(), rows)
        return rows


def one_hot_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """The lookup as a matrix product."""
    return F.one_hot(ids, len(weight)).to(weight.dtype) @ weight


def embed_texts(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    embedding: nn.Module,
    max_len: int | None = None,
) -> dict[str, Tensor]:
    """Encode, pad, look up, and average what is real."""
    ids, mask = pad_batch(
        [vocabulary.encode(text) for text in texts], vocabulary.pad_id, max_len
    )
    vectors = embedding(ids)
    total = (vectors * mask.unsqueeze(-1)).sum(dim=1)
    mean = total / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return {"ids": ids, "mask": mask, "vectors": vectors, "mean": mean}


class PackedBatch:
    """A padded batch without its padding: time step after time step, the longest
    sequence first.
    """

    def __init__(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor,
        total_length: int,
    ):
        self.data = data
        self.batch_sizes = batch_sizes
        self.sorted_indices = sorted_indices
        self.total_length = total_length

    @classmethod
    def pack(cls, padded: Tensor, lengths: Tensor) -> "PackedBatch":
        """Leave the padding out."""
        sorted_indices = lengths.argsort(descending=True, stable=True)
        ordered = padded[sorted_indices]
        batch_sizes = torch.tensor(
            [(lengths > t).sum().item() for t in range(lengths.max())]
        )
        data = torch.cat(
            [ordered[:size, t] for t, size in enumerate(batch_sizes.tolist())]
        )
        return cls(data, batch_sizes, sorted_indices, padded.shape[1])

    def unpack(self, padding_value: float = 0) -> tuple[Tensor, Tensor]:
        """Put the padding back."""
        batch_size = len(self.sorted_indices)
        padded = self.data.new_full(
            (batch_size, self.total_length, *self.data.shape[1:]), padding_value
        )
        lengths = torch.zeros(batch_size, dtype=torch.int64)
        steps = self.data.split(self.batch_sizes.tolist())
        for t, step in enumerate(steps):
            running = self.sorted_indices[: len(step)]
            padded[running, t] = step
            lengths[running] += 1
        return padded, lengths


def memory_comparison(
    vocab_size: int,
    embedding_dim: int,
    num_tokens: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Bytes of one-hot vectors, ids and table."""
    one_hot_bytes = num_tokens * vocab_size * dtype.itemsize
    id_bytes = num_tokens * torch.int64.itemsize
    return {
        "one_hot_bytes": one_hot_bytes,
        "id_bytes": id_bytes,
        "table_bytes": vocab_size * embedding_dim * dtype.itemsize,
        "output_bytes": num_tokens * embedding_dim * dtype.itemsize,
        "input_ratio": one_hot_bytes / id_bytes,
    }


def project_2d(vectors: Tensor) -> Tensor:
    """The plane of the largest spread."""
    centred = vectors.detach() - vectors.detach().mean(dim=0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T
