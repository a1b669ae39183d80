"""The Transformer of 2017 at toy size: post-norm layers, two kinds of attention,
warm-up, label smoothing, decoding.

After Vaswani et al., "Attention Is All You Need" (2017). Sizes: B rows, S source and T
target symbols, D = d_model features, V symbols in the vocabulary. Masks are bool:
True = may attend.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# padding, begin and end of a sequence; symbols proper are 3, 4, …, V − 1
PAD, BOS, EOS = 0, 1, 2


def reverse_batch(
    batch: int,
    min_len: int,
    max_len: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random sequences and their reversals: src (B, max_len), tgt_in and tgt_out
    (B, max_len + 1), all int64.

    With max_len = 4, the sequence 5 8 3 has src [5 8 3 PAD], tgt_in [BOS 3 8 5 PAD] and
    tgt_out [3 8 5 EOS PAD].
    """
    lengths = torch.randint(min_len, max_len + 1, (batch, 1), generator=generator)
    symbols = torch.randint(EOS + 1, vocab_size, (batch, max_len), generator=generator)
    places = torch.arange(max_len)
    src = symbols.where(places < lengths, PAD)
    # where each symbol of the reversal comes from; negative after its end
    back = lengths - 1 - places
    reverse = src.gather(1, back.clamp(min=0)).where(back >= 0, PAD)
    tgt_in = torch.cat([torch.full((batch, 1), BOS), reverse], dim=1)
    tgt_out = torch.cat([reverse, torch.full((batch, 1), PAD)], dim=1).scatter(
        1, lengths, EOS
    )
    return src, tgt_in, tgt_out


def sinusoids(length: int, d_model: int) -> Tensor:
    """Section 3.5: (length, d_model), sines in the even features, cosines in the odd
    ones; d_model is even.
    """
    rates = 10000 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class MultiHeadAttention(nn.Module):
    """Section 3.2.2. `weights` (B, H, Tq, Tk) holds the last call's attention weights,
    without their graph.
    """

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (
            nn.Linear(d_model, d_model) for _ in range(4)
        )

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Queries (B, Tq, D), keys and values (B, Tk, D), mask broadcastable to
        (B, H, Tq, Tk) → (B, Tq, D).
        """
        projected = (self.W_q(q), self.W_k(k), self.W_v(v))
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected
        )
        scores = q @ k.mT / math.sqrt(q.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(dim=-1)
        self.weights = weights.detach()
        return self.W_o((weights @ v).transpose(1, 2).flatten(-2))


def attention_numpy(
    Q: np.ndarray, K: np.ndarray, V: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Equation 1 in NumPy: softmax(Q Kᵀ / √D) V, over the last two dimensions.

    Args:
        Q, K, V: (…, Tq, D), (…, Tk, D), (…, Tk, Dv).
        mask: bool, broadcastable to (…, Tq, Tk). True = may attend.
    Returns:
        The pair (output (…, Tq, Dv), weights (…, Tq, Tk)). Each row of weights sums
        to 1.

    Edge cases ★
        A query that may attend to nothing has zeros as weights and as output. Results
        have float64 precision.
    """
    raise NotImplementedError


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    """Compute the learning rate of equation 3: d_model^(−0.5) · min(step^(−0.5),
    step · warmup^(−1.5)).

    Args:
        step: counted from 1.
        d_model: the model's width.
        warmup: the step at which the rate is highest.
    Returns:
        The rate. It rises in a line up to step `warmup`, then falls as 1/√step. With
        d_model = 4 and warmup = 4 it is 0.0625, 0.125, 0.1875, 0.25, 0.2236, …

    Edge cases ★
        A step below 1 is an error.
    """
    raise NotImplementedError


def label_smoothed_loss(
    logits: Tensor, target: Tensor, eps: float = 0.1, pad_id: int | None = None
) -> Tensor:
    """Compute cross-entropy against smoothed targets (section 5.4).

    Args:
        logits: (…, V).
        target: (…) int64.
        eps: the share of the target distribution that is spread equally over all V
            symbols, the right one included.
        pad_id: positions with this target do not count, neither in the sum nor in the
            number it is divided by.
    Returns:
        (), the mean over positions of −(1 − eps) · log p(target) − eps · (mean over all
        V of log p).

    Write it without `F.cross_entropy` and `nn.CrossEntropyLoss`.
    """
    raise NotImplementedError


class EncoderLayer(nn.Module):
    """Let source symbols look at one another, then process each on its own: the left
    half of figure 1.

    `forward(x, src_mask=None)` takes x (B, S, D) and returns (B, S, D). Each sublayer
    is wrapped in a residual connection, then a norm (post-norm):

        x = norm1(x + drop(self_attn(x, x, x, src_mask)))
        x = norm2(x + drop(ff(x)))

    Args:
        d_model, num_heads, d_ff, dropout: the sizes, and the probability of dropout.
    Attributes:
        self_attn: MultiHeadAttention.
        ff: nn.Sequential of Linear(D, d_ff), ReLU, Linear(d_ff, D).
        norm1, norm2: nn.LayerNorm(D).
        drop: nn.Dropout.
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.0):
        raise NotImplementedError

    def forward(self, x: Tensor, src_mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class DecoderLayer(nn.Module):
    """Let target symbols look at one another, then at the source: the right half of
    figure 1.

    `forward(y, memory, tgt_mask=None, src_mask=None)` takes y (B, T, D) and memory
    (B, S, D), the encoder's output, and returns (B, T, D). Three sublayers, each
    wrapped as in `EncoderLayer`, with norm1, norm2, norm3 in turn:

    - self_attn, from y to y under tgt_mask;
    - cross_attn, with queries from y, keys and values from memory, under src_mask;
    - ff.

    Args:
        d_model, num_heads, d_ff, dropout: as for `EncoderLayer`.
    Attributes:
        self_attn, cross_attn: MultiHeadAttention.
        ff, drop: as in `EncoderLayer`.
        norm1, norm2, norm3: nn.LayerNorm(D).
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.0):
        raise NotImplementedError

    def forward(
        self,
        y: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        src_mask: Tensor | None = None,
    ) -> Tensor:
        raise NotImplementedError


class Transformer(nn.Module):
    """The whole model of figure 1. Source and target share one vocabulary and
    one embedding.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 32,
        num_heads: int = 4,
        num_layers: int = 1,
        d_ff: int = 64,
        dropout: float = 0.0,
        max_len: int = 64,
        pad_id: int = PAD,
    ):
        """Build the parts.

        Args:
            num_layers: the layers of the encoder, and those of the decoder.
            d_model, num_heads, d_ff, dropout: passed on to every layer.
            max_len: the longest source or target that will be read.
            pad_id: the symbol that nobody may attend to.
        Attributes:
            embed: nn.Embedding(V, D), drawn from a normal distribution with mean 0 and
                standard deviation D^(−0.5).
            encoder, decoder: nn.ModuleList of EncoderLayer, of DecoderLayer.
            drop: nn.Dropout(dropout), for the inputs of both.

        There are no other parameters. The output layer is the embedding again
        (section 3.4).
        """
        raise NotImplementedError

    def encode(self, src: Tensor) -> tuple[Tensor, Tensor]:
        """Read the source.

        Args:
            src: (B, S) int64.
        Returns:
            The pair (memory (B, S, D), src_mask (B, 1, 1, S)). src_mask is True where
            src is not pad_id.

        The first layer reads drop(embed(src) · √D + sinusoids), each layer the one
        before, all with src_mask.
        """
        raise NotImplementedError

    def decode(self, tgt: Tensor, memory: Tensor, src_mask: Tensor) -> Tensor:
        """Predict the next symbol at every place of the target.

        Args:
            tgt: (B, T) int64, from BOS on.
            memory, src_mask: from `encode`.
        Returns:
            (B, T, V), the logits y @ embed.weight.T, with y from the last layer.

        - The first layer reads drop(embed(tgt) · √D + sinusoids).
        - In self-attention, place t may attend to the places up to and including t that
          do not hold pad_id.
        """
        raise NotImplementedError

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Encode the source, then decode: src (B, S) and tgt
        (B, T) → logits (B, T, V).
        """
        raise NotImplementedError


def greedy_decode(model: Transformer, src: Tensor, max_len: int) -> Tensor:
    """Write the target symbol by symbol, each time the most probable one, in eval mode.

    Args:
        src: (B, S) int64.
        max_len: the number of symbols per row.
    Returns:
        (B, max_len) int64, without BOS. After its EOS a row holds only PAD:
        [7 4 EOS PAD PAD].

    - The first target is BOS. Each new symbol is the argmax of the last place's logits,
      and is appended to the target.

    Edge cases ★
        `training` is restored afterwards, and parameters and `.grad` stay as they are.
        No graph is built. The source is encoded once per call, not once per symbol.
    """
    raise NotImplementedError


def train_reverse(
    model: Transformer,
    *,
    steps: int = 400,
    batch: int = 64,
    min_len: int = 3,
    max_len: int = 6,
    vocab_size: int = 10,
    warmup: int = 60,
    lr_scale: float = 0.5,
    eps: float = 0.1,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to write sequences backwards, by the recipe of section 5.

    Args:
        model: trained in place. Its width D is `model.embed.embedding_dim`.
        steps: the number of updates, one fresh batch of `reverse_batch` each.
        batch, min_len, max_len, vocab_size, generator: passed on to `reverse_batch`.
        eps: that of `label_smoothed_loss`; targets that are PAD do not count.
    Returns:
        The loss of each step before its update, as floats.

    - Adam with betas (0.9, 0.98) and eps 1e-9.
    - Step k = 1, 2, … has the rate lr_scale · noam_lr(k, D, warmup).
    - The model reads tgt_in and is scored on tgt_out.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError
