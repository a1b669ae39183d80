"""A transformer encoder from its parts: feed-forward net, block, stack, classifier, and
the place of the norm.
"""

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

MultiHeadAttention = prerequisite("16_multi_head_attention").MultiHeadAttention

# The token ids of the marker task. CLS is kept free for a summary token; the classifier
# here averages instead.
PAD, CLS, MARK_A, MARK_B, FIRST_FILLER = 0, 1, 2, 3, 4


def make_marker_task(
    num_sequences: int,
    max_len: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make sequences to classify by whether exactly one of two marks occurs. Given:
    nothing to write here.

    Args:
        num_sequences: N.
        max_len: L, at least 4.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: source of every draw; None = the global one.
    Returns:
        (ids, key mask, labels). ids (N, L) int64: fillers, MARK_A and MARK_B with
        probability ½ each, in the first half; then PAD to the right of a random length
        of L // 2 … L. The key mask (N, L) is True on real tokens.
        labels (N,) int64: 1 if exactly one of the two marks occurs, else 0.
    """
    lengths = torch.randint(
        max_len // 2, max_len + 1, (num_sequences,), generator=generator
    )
    real = torch.arange(max_len) < lengths.unsqueeze(1)
    ids = torch.randint(
        FIRST_FILLER, vocab_size, (num_sequences, max_len), generator=generator
    )
    present = torch.rand(num_sequences, 2, generator=generator) < 0.5
    places = torch.rand(num_sequences, max_len // 2, generator=generator).argsort(dim=1)
    for column, mark in enumerate((MARK_A, MARK_B)):
        rows = present[:, column].nonzero().squeeze(1)
        ids[rows, places[rows, column]] = mark
    return ids.masked_fill(~real, PAD), real, (present[:, 0] != present[:, 1]).long()


class FeedForward(nn.Module):
    """Widen, apply the activation, narrow back: the part of a block that treats each
    position alone.

    Args:
        d_model: C, the width of input and output.
        d_ff: the hidden width; None = 4 · d_model.
        dropout: probability of dropping a hidden value in training mode.
        activation: "relu", or "gelu" in its exact form, x·Φ(x).

    `fc1` (C → d_ff) and `fc2` (d_ff → C) are `nn.Linear` with bias. There are no
    other parameters.
    forward(x): (..., C) → (..., C), fc2(dropout(activation(fc1(x)))). Dropout acts in
    this one place.

    Edge cases ★
        Any other activation is an error on creation. `x` may be non-contiguous and is
        not written to. The result has the dtype and device of `x`.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class TransformerEncoderBlock(nn.Module):
    """Self-attention, then a feed-forward net, each with a residual connection and a
    layer norm.

    Written without `nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and
    `nn.Transformer`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int | None = None,
        dropout: float = 0.1,
        norm_first: bool = False,
        activation: str = "relu",
    ):
        """Build the parts of the block. They hold all its parameters: 16 tensors.

        Args:
            d_model: C, the width of the input and of both norms.
            num_heads: heads of the attention.
            d_ff, activation: of the feed-forward net.
            dropout: one probability for the attention weights, inside the feed-forward
                net, and for `dropout`.
            norm_first: pre-norm if True, post-norm if False; kept as an attribute.

        Attributes: `attention` (MultiHeadAttention), `ff` (FeedForward), `norm1`,
        `norm2` (`nn.LayerNorm`), `dropout` (`nn.Dropout`), `norm_first`.
        """
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Apply both sublayers, with drop = `dropout` and attn = self-attention under
        both masks.

            post-norm (norm_first=False)          pre-norm (norm_first=True)
            x = norm1(x + drop(attn(x)))          x = x + drop(attn(norm1(x)))
            x = norm2(x + drop(ff(x)))            x = x + drop(ff(norm2(x)))

        Args:
            x: (B, T, C). Query, key and value are the same tensor: x, or norm1(x).
            mask: bool, True = may attend, (T, T) or (B, T, T); None = no restriction.
            key_padding_mask: (B, T) bool, True = real token. Both masks may be given.
        Returns:
            (B, T, C). Nothing is dropped in eval mode; dropout=1.0 in training gives
            norm2(norm1(x)) or x itself.

        Edge cases ★
            `x` may be non-contiguous and is not written to. The result has the dtype
            and device of `x`.
        """
        raise NotImplementedError


class TransformerEncoder(nn.Module):
    """A stack of encoder blocks.

    Args:
        num_layers: N, how many blocks.
        d_model, num_heads, d_ff, dropout, norm_first, activation: of every block.

    `blocks` is an `nn.ModuleList` of N `TransformerEncoderBlock`s, each with parameters
    of its own. `norm` is `nn.LayerNorm(d_model)` if norm_first (nothing has normalised
    the last sum), else `nn.Identity()`.
    forward(x, mask, key_padding_mask, return_all): x (B, T, C) → blocks in order, each
    with both masks → `norm` → (B, T, C). With return_all=True: (output, states), the
    list of the N + 1 tensors [x, after block 1, …, after block N], in the graph of the
    output; the last one is taken before `norm`.
    Written without `nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and
    `nn.Transformer`.

    Edge cases ★
        num_layers below 1 is an error. A second encoder can load the state_dict and
        computes the same. `x` is not written to.
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        d_ff: int | None = None,
        dropout: float = 0.1,
        norm_first: bool = False,
        activation: str = "relu",
    ):
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        return_all: bool = False,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        raise NotImplementedError


class SequenceClassifier(nn.Module):
    """Embed, encode, average the real tokens, classify.

    Args:
        vocab_size: how many token ids there are.
        num_classes: how many scores a sequence gets.
        d_model, num_heads, num_layers, d_ff, dropout, norm_first: of the encoder, which
            uses relu.

    Attributes: `embedding` (`nn.Embedding`), `encoder` (`TransformerEncoder`), `head`
    (`nn.Linear`). There are no other parameters.
    forward(ids, key_padding_mask): ids (B, T) int64 → logits (B, num_classes), `head`
    of the mean of the encoder's output over the real tokens. key_padding_mask (B, T)
    bool, True = real, anywhere in the row; None = all are real, whatever their id.
    Padding never changes the logits: a padded sequence gets the logits that it
    gets alone.

    Edge cases ★
        A sequence without a real token gets `head.bias`, and all gradients stay finite.
        Another model can load the state_dict. The arguments are not written to.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        d_model: int = 32,
        num_heads: int = 4,
        num_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
        norm_first: bool = True,
    ):
        raise NotImplementedError

    def forward(self, ids: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError


def train_classifier(
    model: nn.Module,
    ids: Tensor,
    labels: Tensor,
    key_padding_mask: Tensor | None = None,
    steps: int = 100,
    batch_size: int = 64,
    lr: float = 3e-3,
    generator: torch.Generator | None = None,
) -> dict[str, object]:
    """Train a classifier on random batches and measure its accuracy.

    Args:
        model: called as model(ids, key_padding_mask); gives logits (B, num_classes).
        ids: (N, T) int64.
        labels: (N,) int64.
        key_padding_mask: (N, T) bool, True = real token, or None.
        steps, batch_size: updates, and rows per batch, drawn with replacement.
        lr: learning rate of one `torch.optim.AdamW`; its other arguments keep
            their defaults.
        generator: source of the rows; None = the global one.
    Returns:
        "losses": list of float, the cross-entropy of each batch before its update.
        "accuracy": float, the share of all N rows classified right after training, in
        eval mode and without a graph.

    Each step, in training mode: draw rows, compute the loss from their ids, mask and
    labels, clip the total gradient norm to 1.0, update.

    Edge cases ★
        steps=0 only measures. Gradients left in .grad by the caller do not count.
        Afterwards model.training is as before, also after an error.
    """
    raise NotImplementedError


def compare_norm_placement(
    x: Tensor,
    num_layers: int = 16,
    num_heads: int = 2,
    gain: float = 2.0,
    seed: int = 0,
) -> dict[str, dict[str, list[float]]]:
    """Measure the size of values and gradients through a deep stack, post-norm
    and pre-norm.

    Args:
        x: (B, T, C) float32, the input of both stacks.
        num_layers, num_heads: N blocks in each stack, and the heads of each block.
        gain: factor for the four weights named below; it makes the blocks change more.
        seed: of the weights and of the probe.
    Returns:
        {"post": {"rms": […], "grad_norm": […]}, "pre": the same}, lists of N + 1
        floats, index 0 = the input.

    - Per placement: `torch.manual_seed(seed)`, then a `TransformerEncoder` with dropout
      0, default d_ff and activation. In every block, multiply the weights (not the
      biases) of `attention.W_v`, `attention.W_o`, `ff.fc1`, `ff.fc2`.
    - "rms": root mean square of each state that return_all gives.
    - "grad_norm": L2 norm of the gradient of Σ(output · probe) with respect to each
      state. The probe is `torch.randn(x.shape,
      generator=torch.Generator().manual_seed(seed))`, the same for both.

    Edge cases ★
        `x`, its requires_grad and its grad are left alone.
    """
    raise NotImplementedError
