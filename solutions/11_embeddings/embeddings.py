"""Text as ids, ids as rows of a learned table, and sequences of different lengths in one batch.

Sizes: V rows of the table (one for each token), D features of a row, B sequences, T steps, "*" any further dimensions.
Masks are boolean, and True means "is real" (not padding).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-case words at the blanks: "The  Cat" becomes ["the", "cat"]. (Given.)"""
    return text.lower().split()


class Vocabulary:
    """Number the words of some texts, and turn texts into ids and back.

    Args:
        texts: any iterable of texts, a generator too; `tokenize` cuts each of them into words.
        min_freq: words that occur fewer times than this, in all texts together, are left out.
        max_size: how many tokens there may be at most, the two special ones included; None for any number.
    Attributes:
        tokens: a list of str: "<pad>", "<unk>", then the words by falling count, equal counts alphabetically.
        ids: a dict from each token to its place in `tokens`.
        pad_id, unk_id: 0 and 1, the ids of "<pad>" (fills up short sequences) and "<unk>" (any word not listed).

    For the texts "a dog saw a cat" and "a cat", `tokens` is ["<pad>", "<unk>", "a", "cat", "dog", "saw"].
    `len(vocabulary)` is the number of tokens, and `"cat" in vocabulary` says whether a token is listed.

    The words "<pad>" and "<unk>" may stand in a text: they get no second entry, and no token is listed twice.

    Raises:
        ValueError: `min_freq` is below 1, or `max_size` below 2.
    """

    tokenize = staticmethod(tokenize)

    def __init__(self, texts: Iterable[str], min_freq: int = 1, max_size: int | None = None):
        if min_freq < 1:
            raise ValueError(f"min_freq = {min_freq} is below 1")
        if max_size is not None and max_size < 2:
            raise ValueError(f"max_size = {max_size} leaves no room for the two special tokens")
        special = ["<pad>", "<unk>"]
        counts = Counter(word for text in texts for word in self.tokenize(text))
        words = [word for word, count in counts.items() if count >= min_freq and word not in special]
        words.sort(key=lambda word: (-counts[word], word))
        self.tokens = (special + words)[:max_size]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.pad_id, self.unk_id = 0, 1

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.ids

    def encode(self, text: str) -> Tensor:
        """The ids of a text's words, (T,) int64. A word that is not listed gets `unk_id`; "" gives shape (0,)."""
        return torch.tensor([self.ids.get(word, self.unk_id) for word in self.tokenize(text)], dtype=torch.int64)

    def decode(self, ids: Tensor) -> str:
        """The tokens of (T,) ids, joined by single blanks, with the pad ids left out.

        Raises:
            IndexError: an id lies outside 0 … len − 1. That includes −1, which a Python list would take for its end.
        """
        numbers = ids.tolist()
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"id {number} is outside 0 … {len(self) - 1}")
        return " ".join(self.tokens[number] for number in numbers if number != self.pad_id)


def pad_batch(
    sequences: Sequence[Tensor], padding_value: float = 0, max_len: int | None = None
) -> tuple[Tensor, Tensor]:
    """Put sequences of different lengths into one tensor, filled up on the right, and say what is real.

    Args:
        sequences: tensors (T_i, *) of one dtype that differ in their first size only; T_i may be 0.
        padding_value: what fills up the short ones.
        max_len: cut every sequence to its first `max_len` items; None cuts nothing.
    Returns:
        The pair (padded, mask). `padded` (B, T, *) is a new tensor of the sequences' dtype, where T is the length of
        the longest sequence after cutting: `max_len` never makes T larger. `mask` (B, T) is bool, True = real.

    [5, 6, 7] and [8] become padded [[5, 6, 7], [8, 0, 0]] and mask [[True, True, True], [True, False, False]].

    The mask comes from the lengths: an item that happens to equal `padding_value` is as real as any other. Gradients
    flow back to the sequences, which are not changed.

    Raises:
        ValueError: there are no sequences, or `max_len` is below 1.
    """
    if len(sequences) == 0:
        raise ValueError("there are no sequences to pad")
    if max_len is not None and max_len < 1:
        raise ValueError(f"max_len = {max_len} is below 1")
    pieces = [sequence[:max_len] for sequence in sequences]
    padded = pad_sequence(pieces, batch_first=True, padding_value=padding_value)
    lengths = torch.tensor([len(piece) for piece in pieces], device=padded.device)
    steps = torch.arange(padded.shape[1], device=padded.device)
    return padded, steps < lengths[:, None]


class Embedding(nn.Module):
    """A table with one learned row for each id; looking up ids gives their rows.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: D, the size of a row.
        padding_idx: a row that starts at zero and is never trained, for the padding; None for none.
    Attributes:
        num_embeddings, embedding_dim, padding_idx: the arguments.
        weight: (V, D), the only parameter. It starts standard normal, except that row `padding_idx` starts at zero.

    `forward(ids)` takes int64 or int32 ids of any shape, 0-d and empty ones too, and returns (*ids.shape, D): for each
    id the row of `weight` as it is at the moment, in the dtype of `weight`. That holds for row `padding_idx` as well:
    if someone has written other values there, those come out. `ids` is not changed.

    An id that occurs several times adds up its gradients in its row. Row `padding_idx` never gets a gradient: after
    `backward`, that row of `weight.grad` is zero.

    The state_dict is that of `nn.Embedding`: each can load the other's. `nn.Embedding`, `nn.EmbeddingBag`,
    `F.embedding` and the functions behind them are not used here.

    Raises:
        ValueError: `padding_idx` lies outside 0 … V − 1.
        TypeError: in `forward`, ids are float or bool.
        IndexError: in `forward`, an id lies outside 0 … V − 1, negative ones included; the message names the id and V.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None):
        super().__init__()
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx = {padding_idx} is outside 0 … {num_embeddings - 1}")
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            nn.init.zeros_(self.weight[padding_idx])

    def forward(self, ids: Tensor) -> Tensor:
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"ids must be int64 or int32, not {ids.dtype}")
        outside = ids[(ids < 0) | (ids >= self.num_embeddings)]
        if outside.numel() > 0:
            raise IndexError(f"id {outside[0].item()} is outside the table: num_embeddings = {self.num_embeddings}")
        rows = self.weight[ids]
        if self.padding_idx is None:
            return rows
        return torch.where((ids == self.padding_idx).unsqueeze(-1), rows.detach(), rows)


def one_hot_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """Look rows up the expensive way: each id as a vector of zeros with a single 1, times the table.

    Args:
        ids: int64, of any shape, 0-d and empty ones too; each in 0 … V − 1.
        weight: (V, D), any floating dtype.
    Returns:
        (*ids.shape, D) in weight's dtype: the same rows as `weight[ids]`, and the same gradient for `weight`.

    With V = 4, id 2 is the one-hot row [0, 0, 1, 0]. The product is the only thing that reads `weight`: it is not
    indexed (by square brackets, `index_select`, `gather`, `F.embedding` and the like).
    """
    return F.one_hot(ids, weight.shape[0]).to(weight.dtype) @ weight


def embed_texts(
    texts: Sequence[str], vocabulary: Vocabulary, embedding: nn.Module, max_len: int | None = None
) -> dict[str, Tensor]:
    """From texts to vectors: encode, pad, look up, and average each text's vectors.

    Args:
        texts: B texts.
        vocabulary: turns each into ids; its `pad_id` fills up the short ones.
        embedding: any module that maps int64 ids (B, T) to vectors (B, T, D), `nn.Embedding` for one.
        max_len: cut every text to its first `max_len` tokens, as in `pad_batch`.
    Returns:
        A dict with
        - `ids` (B, T) int64 and `mask` (B, T) bool, True = a real token (unknown words are real), from `pad_batch`;
        - `vectors` (B, T, D): what the module makes of `ids`, padding included;
        - `mean` (B, D): the mean of each text's vectors over its real tokens, in the dtype of `vectors`.

    The vectors at padded places do not count in the mean, also where they are not zero. A text without tokens has mean
    zero, and so have all of them if none has any (T = 0). Gradients flow from `vectors` and `mean` to the module.

    Raises:
        ValueError: there are no texts, or `max_len` is below 1.
    """
    ids, mask = pad_batch([vocabulary.encode(text) for text in texts], vocabulary.pad_id, max_len)
    vectors = embedding(ids)
    total = vectors.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return {"ids": ids, "mask": mask, "vectors": vectors, "mean": total / count}


class PackedBatch:
    """A padded batch without its padding: the real steps only, time step after time step.

    Args and attributes, in this order:
        data: (N, *), the N = Σ lengths real steps: step 0 of all sequences, then step 1 of those still running, and so
            on; within a step the longest sequence comes first.
        batch_sizes: (longest,) int64 on the CPU: how many sequences are still running at each step.
        sorted_indices: (B,) int64: the place in the batch of the longest sequence, of the second longest, and so on.
        total_length: T of the padded batch, an int.

    Two sequences [a b] and [c d e] become data [c a d b e], batch_sizes [2, 2, 1] and sorted_indices [1, 0]. That is
    the layout of PyTorch's `PackedSequence`, which this exercise does without, as it does without
    `pack_padded_sequence` and `pad_packed_sequence`. Gradients flow through `pack` and through `unpack`.
    """

    def __init__(self, data: Tensor, batch_sizes: Tensor, sorted_indices: Tensor, total_length: int):
        self.data = data
        self.batch_sizes = batch_sizes
        self.sorted_indices = sorted_indices
        self.total_length = total_length

    @classmethod
    def pack(cls, padded: Tensor, lengths: Tensor) -> "PackedBatch":
        """Leave the padding out.

        Args:
            padded: (B, T, *), of any dtype.
            lengths: (B,) int64, how many steps of each sequence are real, each 1 … T. They come in any order.
        Returns:
            The packed batch. Sequences of equal length keep their order: the earlier one in the batch comes first.

        Neither argument is changed.

        Raises:
            ValueError: `lengths` is not (B,), or one of them is not in 1 … T; the message says "lengths".
        """
        batch, steps = padded.shape[:2]
        if lengths.shape != (batch,):
            raise ValueError(f"lengths has shape {tuple(lengths.shape)}, expected ({batch},)")
        if ((lengths < 1) | (lengths > steps)).any():
            raise ValueError(f"lengths {lengths.tolist()} should all be in 1 … {steps}")
        sorted_indices = lengths.argsort(descending=True, stable=True)
        running = torch.arange(steps, device=lengths.device)[:, None] < lengths[sorted_indices]
        data = padded[sorted_indices].transpose(0, 1)[running]
        batch_sizes = running.sum(dim=1)[: lengths.max()].cpu()
        return cls(data, batch_sizes, sorted_indices, steps)

    def unpack(self, padding_value: float = 0) -> tuple[Tensor, Tensor]:
        """Put the padding back: the inverse of `pack`.

        Args:
            padding_value: what stands behind the end of each sequence.
        Returns:
            The pair (padded, lengths), both in the original order of the batch: (B, T, *) with T = `total_length`, in
            the dtype of `data` and with its further dimensions, and (B,) int64.

        The packed batch stays as it was.
        """
        batch, rest = len(self.sorted_indices), self.data.shape[1:]
        padded = self.data.new_full((batch, self.total_length, *rest), padding_value)
        lengths = torch.zeros_like(self.sorted_indices)
        for step, items in enumerate(self.data.split(self.batch_sizes.tolist())):
            running = self.sorted_indices[: len(items)]
            padded[running, step] = items
            lengths[running] += 1
        return padded, lengths


def memory_comparison(
    vocab_size: int, embedding_dim: int, num_tokens: int, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """How many bytes the two ways of feeding words to a model take: one-hot vectors, or ids and a table.

    Args:
        vocab_size, embedding_dim: V and D, the size of the table.
        num_tokens: N, how many words are fed in.
        dtype: of the one-hot vectors, the table and the output. Ids always are int64.
    Returns:
        A dict of plain numbers:
        - `one_hot_bytes`: the input as N one-hot vectors of V entries, each as large as an element of `dtype`;
        - `id_bytes`: the input as N ids;
        - `table_bytes`: the (V, D) table, which both ways need;
        - `output_bytes`: the N vectors of D features;
        - `input_ratio`: `one_hot_bytes` / `id_bytes`; 0.0 for no tokens.

    Everything is computed: no memory of that size is asked for, so that ten million words are no problem.
    """
    size = dtype.itemsize
    one_hot_bytes = num_tokens * vocab_size * size
    id_bytes = num_tokens * torch.int64.itemsize
    return {
        "one_hot_bytes": one_hot_bytes,
        "id_bytes": id_bytes,
        "table_bytes": vocab_size * embedding_dim * size,
        "output_bytes": num_tokens * embedding_dim * size,
        "input_ratio": one_hot_bytes / id_bytes if num_tokens else 0.0,
    }


def project_2d(vectors: Tensor) -> Tensor:
    """Flatten vectors onto the plane in which they spread most, for a picture.

    Args:
        vectors: (V, D) float32 or float64, V and D at least 2, with or without `requires_grad`.
    Returns:
        (V, 2) coordinates, without a graph (`requires_grad` is False): the vectors minus their mean, along the first
        two principal axes. These are the eigenvectors of the covariance matrix with the largest eigenvalue (column 0)
        and the second largest (column 1). The sign of each column is free.

    Raises:
        ValueError: `vectors` is not 2-D, or V or D is below 2.
    """
    if vectors.ndim != 2 or min(vectors.shape) < 2:
        raise ValueError(f"vectors of shape {tuple(vectors.shape)} should be (V, D) with V and D at least 2")
    centred = vectors.detach() - vectors.detach().mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh
    return centred @ axes[:2].mT
