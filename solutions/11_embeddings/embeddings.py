"""Text as ids, ids as rows of a learned table, and sequences of different lengths in
one batch.

Sizes: V rows of the table (one per token), D features per row, B sequences, T steps,
"*" any further dimensions. Masks are boolean, and True means real (not padding).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-case words at whitespace: "The  Cat" becomes
    ["the", "cat"]. (Given.)
    """
    return text.lower().split()


class Vocabulary:
    """A numbering of words, to turn texts into ids and back. `tokenize` cuts a text
    into words.
    """

    tokenize = staticmethod(tokenize)

    def __init__(
        self, texts: Iterable[str], min_freq: int = 1, max_size: int | None = None
    ):
        """Collect the words of some texts.

        Args:
            texts: the texts.
            min_freq: leave out words that occur fewer times than this, in all
                texts together.
            max_size: the largest number of tokens, "<pad>" and "<unk>" included. None
                means any number.
        Attributes:
            tokens: a list of str: "<pad>", "<unk>", then the words by falling count,
                equal counts alphabetically.
            ids: a dict from each token to its index in `tokens`.
            pad_id, unk_id: 0 and 1, the ids of "<pad>" (padding) and "<unk>" (any word
                that is not listed).

        For the texts "a dog saw a cat" and "a cat", `tokens` is ["<pad>", "<unk>", "a",
        "cat", "dog", "saw"].

        Edge cases ★
            `texts` may be a generator, or empty. "<pad>" and "<unk>" inside a text get
            no second entry. A `min_freq` below 1 or a `max_size` below 2 is an error.
        """
        if min_freq < 1:
            raise ValueError(f"min_freq = {min_freq} is below 1")
        if max_size is not None and max_size < 2:
            raise ValueError(
                f"max_size = {max_size} leaves no room for the two special tokens"
            )
        special = ["<pad>", "<unk>"]
        counts = Counter(word for text in texts for word in self.tokenize(text))
        words = [
            word
            for word, count in counts.items()
            if count >= min_freq and word not in special
        ]
        words.sort(key=lambda word: (-counts[word], word))
        self.tokens = (special + words)[:max_size]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.pad_id, self.unk_id = 0, 1

    def __len__(self) -> int:
        """The number of tokens. (Given.)"""
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        """Tell if a token is listed. (Given.)"""
        return token in self.ids

    def encode(self, text: str) -> Tensor:
        """Turn a text into the ids of its words.

        Returns:
            (T,) int64, one id per word. A word that is not listed gets `unk_id`.

        Edge cases ★
            "" gives int64 ids of shape (0,).
        """
        return torch.tensor(
            [self.ids.get(word, self.unk_id) for word in self.tokenize(text)],
            dtype=torch.int64,
        )

    def decode(self, ids: Tensor) -> str:
        """Turn (T,) ids into a text: the tokens joined by single spaces, without the
        pad ids.

        Edge cases ★
            No ids give "". An id outside 0 … len − 1 is an error, also −1, which is the
            last entry of a Python list.
        """
        numbers = ids.tolist()
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"id {number} is outside 0 … {len(self) - 1}")
        return " ".join(
            self.tokens[number] for number in numbers if number != self.pad_id
        )


def pad_batch(
    sequences: Sequence[Tensor], padding_value: float = 0, max_len: int | None = None
) -> tuple[Tensor, Tensor]:
    """Put sequences of different lengths into one tensor, padded on the right, and say
    which items are real.

    Args:
        sequences: B tensors (T_i, *) that differ in their first size only.
        padding_value: the value of the padding.
        max_len: cut every sequence to its first `max_len` items. None cuts nothing.
    Returns:
        The pair (padded, mask). `padded` is (B, T, *) in the dtype of the sequences. T
        is the length of the longest one after cutting, so `max_len` never makes T
        larger. `mask` (B, T) is bool, True = real.
        [5, 6, 7] and [8] become [[5, 6, 7], [8, 0, 0]] and [[True, True, True], [True,
        False, False]].

    The mask comes from the lengths: an item that equals `padding_value` is real, too.
    Gradients flow back to the sequences.

    Edge cases ★
        A sequence may be empty. Every dtype is kept: float64, int32, bool. The
        sequences are not written to, and the batch shares no memory with them. No
        sequences or a `max_len` below 1 are an error.
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
    """A table with one learned row per id. Looking up an id gives its row.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: D, the size of a row.
        padding_idx: a row for the padding, which starts at zero and gets no gradient.
            None means no such row.
    Attributes:
        num_embeddings, embedding_dim, padding_idx: the arguments.
        weight: (V, D), the only parameter. It starts standard normal, apart from
            row `padding_idx`.

    `forward(ids)` turns int64 ids of any shape, such as (B, T), into (*ids.shape, D):
    the current rows of `weight`.

    - The gradients of an id that occurs several times add up in its row.
    - The state_dict is that of `nn.Embedding`: each can load the other's.
    - Write it without `nn.Embedding`, `nn.EmbeddingBag` and their functions in
      `torch.nn.functional`.

    Edge cases ★
        ids may be int32, 0-d or empty, and are not written to. Rows have the dtype of
        `weight`. Float or bool ids are an error. So is an id outside 0 … V − 1,
        negative ones included; the message names the id and V. So is a `padding_idx`
        outside 0 … V − 1.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ):
        super().__init__()
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(
                f"padding_idx = {padding_idx} is outside 0 … {num_embeddings - 1}"
            )
        self.num_embeddings, self.embedding_dim, self.padding_idx = (
            num_embeddings,
            embedding_dim,
            padding_idx,
        )
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            nn.init.zeros_(self.weight[padding_idx])

    def forward(self, ids: Tensor) -> Tensor:
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"ids must be int64 or int32, not {ids.dtype}")
        outside = ids[(ids < 0) | (ids >= self.num_embeddings)]
        if outside.numel() > 0:
            raise IndexError(
                f"id {outside[0].item()} is outside the table: num_embeddings = "
                f"{self.num_embeddings}"
            )
        rows = self.weight[ids]
        if self.padding_idx is None:
            return rows
        return torch.where((ids == self.padding_idx).unsqueeze(-1), rows.detach(), rows)


def one_hot_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """Look up rows the expensive way: each id as a vector of zeros with a single 1,
    times the table.

    Args:
        ids: int64 of any shape, each in 0 … V − 1.
        weight: (V, D).
    Returns:
        (*ids.shape, D): the same rows as `weight[ids]`, with the same gradient
        for `weight`.

    With V = 4, id 2 is the one-hot row [0, 0, 1, 0]. Do not index `weight`
    (by brackets, `index_select`, `gather`, `F.embedding` and the like): only
    multiply it.

    Edge cases ★
        ids may be 0-d or empty. The result has the dtype of `weight`, such as float64
        or bfloat16.
    """
    return F.one_hot(ids, weight.shape[0]).to(weight.dtype) @ weight


def embed_texts(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    embedding: nn.Module,
    max_len: int | None = None,
) -> dict[str, Tensor]:
    """Turn texts into vectors: encode, pad, look up, and average the vectors of
    each text.

    Args:
        texts: B texts.
        vocabulary: turns each into ids. Its `pad_id` is the padding.
        embedding: any module that maps ids (B, T) to vectors (B, T, D), such
            as `nn.Embedding`.
        max_len: cut every text to its first `max_len` tokens.
    Returns:
        A dict with `ids` (B, T) and `mask` (B, T), as from `pad_batch`; `vectors`
        (B, T, D), the output of the module, padding included; `mean` (B, D), the mean
        of the vectors of each text's real tokens.

    Padding does not count in the mean, even where its vector is not zero. An unknown
    word is a real token. Gradients flow from `vectors` and `mean` to the module.

    Edge cases ★
        A text without tokens has mean zero. "<pad>" inside a text is one of its tokens.
        `mean` has the dtype of `vectors`, such as bfloat16. No texts or a `max_len`
        below 1 are an error.
    """
    ids, mask = pad_batch(
        [vocabulary.encode(text) for text in texts], vocabulary.pad_id, max_len
    )
    vectors = embedding(ids)
    total = vectors.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return {"ids": ids, "mask": mask, "vectors": vectors, "mean": total / count}


class PackedBatch:
    """A padded batch without its padding: the real steps only, time step after
    time step.

    Attributes, which are also the arguments in this order:
        data: (N, *), the N = Σ lengths real steps: step 0 of all sequences, then step 1
            of those still running, and so on. Within a step the longest sequence
            comes first.
        batch_sizes: (longest,) int64 on the CPU: how many sequences are still running
        at each step.
        sorted_indices: (B,) int64: the index in the batch of the longest sequence, of
        the second longest, and so on. total_length: T of the padded batch, an int.

    Two sequences [a b] and [c d e] become data [c a d b e], batch_sizes [2, 2, 1] and
    sorted_indices [1, 0]. That is the layout of PyTorch's `PackedSequence`. Write it
    without that class, `pack_padded_sequence` and `pad_packed_sequence`. `__init__`
    is given.
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
        """Leave the padding out.

        Args:
            padded: (B, T, *).
            lengths: (B,) int64, the number of real steps per sequence, each 1 … T, in
                any order.
        Returns:
            The packed batch. Sequences of equal length keep their order. Gradients flow
            back to `padded`.

        Edge cases ★
            `padded` may be non-contiguous and of any dtype; nothing is written to.
            `lengths` of another shape or with a value outside 1 … T are an error that
            says "lengths".
        """
        batch, steps = padded.shape[:2]
        if lengths.shape != (batch,):
            raise ValueError(
                f"lengths has shape {tuple(lengths.shape)}, expected ({batch},)"
            )
        if ((lengths < 1) | (lengths > steps)).any():
            raise ValueError(f"lengths {lengths.tolist()} should all be in 1 … {steps}")
        sorted_indices = lengths.argsort(descending=True, stable=True)
        running = (
            torch.arange(steps, device=lengths.device)[:, None]
            < lengths[sorted_indices]
        )
        data = padded[sorted_indices].transpose(0, 1)[running]
        batch_sizes = running.sum(dim=1)[: lengths.max()].cpu()
        return cls(data, batch_sizes, sorted_indices, steps)

    def unpack(self, padding_value: float = 0) -> tuple[Tensor, Tensor]:
        """Put the padding back: the inverse of `pack`.

        Args:
            padding_value: the value of the padding.
        Returns:
            The pair (padded, lengths) in the original order of the batch: (B, T, *)
            with T = `total_length`, and (B,) int64. Gradients flow back to `data`.

        Edge cases ★
            The dtype is that of `data`. The packed batch is not written to.
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
    vocab_size: int,
    embedding_dim: int,
    num_tokens: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Compute the bytes of two ways to feed words to a model: one-hot vectors, or ids
    and a table.

    Args:
        vocab_size, embedding_dim: V and D, the size of the table.
        num_tokens: N, the number of words.
        dtype: of the one-hot vectors, the table and the output. Ids are always int64.
    Returns:
        A dict of plain numbers:

        - `one_hot_bytes`: the input as N one-hot vectors of V entries.
        - `id_bytes`: the input as N ids.
        - `table_bytes`: the (V, D) table.
        - `output_bytes`: N vectors of D features.
        - `input_ratio`: `one_hot_bytes` / `id_bytes`.

    Only compute, allocate nothing: the answer for ten million words must come at once.

    Edge cases ★
        Without tokens `input_ratio` is 0.0.
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
    """Project vectors onto the plane in which they spread most, for a figure.

    Args:
        vectors: (V, D).
    Returns:
        (V, 2) coordinates without a graph (`requires_grad` is False): the vectors minus
        their mean, along the first two principal axes. These are the eigenvectors of
        the covariance matrix with the largest eigenvalue (column 0) and the second
        largest (column 1). The sign of each column is free.

    Edge cases ★
        `vectors` is not written to. An input that is not 2-D, or with V or D below 2,
        is an error.
    """
    if vectors.ndim != 2 or min(vectors.shape) < 2:
        raise ValueError(
            f"vectors of shape {tuple(vectors.shape)} should be (V, D) with V and D "
            "at least 2"
        )
    centred = vectors.detach() - vectors.detach().mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh
    return centred @ axes[:2].mT
