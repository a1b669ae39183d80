"""Text as ids, ids as rows of a learned table, and sequences of different lengths in
one batch.

Sizes: V rows of the table (one per token), D features per row, B sequences, T steps,
"*" any further dimensions. Masks are boolean, and True means real (not padding).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


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
        raise NotImplementedError

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
        raise NotImplementedError

    def decode(self, ids: Tensor) -> str:
        """Turn (T,) ids into a text: the tokens joined by single spaces, without the
        pad ids.

        Edge cases ★
            No ids give "". An id outside 0 … len − 1 is an error, also −1, which is the
            last entry of a Python list.
        """
        raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

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
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
