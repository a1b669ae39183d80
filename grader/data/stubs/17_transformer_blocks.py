"""A transformer encoder from its parts: feed-forward net, block, stack, classifier, and the place of the norm."""

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

MultiHeadAttention = prerequisite("16_multi_head_attention").MultiHeadAttention

# The token ids of the marker task. CLS is kept free for a summary token; the classifier here averages instead.
PAD, CLS, MARK_A, MARK_B, FIRST_FILLER = 0, 1, 2, 3, 4


def make_marker_task(
    num_sequences: int, max_len: int, vocab_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences to classify by whether exactly one of two marks occurs. Given: nothing to write here.

    Args:
        num_sequences: N.
        max_len: L, at least 4.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: where every draw comes from; None = the global one.
    Returns:
        (ids, key mask, labels). ids (N, L) int64: fillers, perhaps MARK_A, perhaps MARK_B (each a fair coin, somewhere
        in the first half), then PAD to the right of a random length of L // 2 … L. The key mask (N, L) is True on real
        tokens. labels (N,) int64: 1 if exactly one of the two marks occurs, else 0.
    """
    lengths = torch.randint(max_len // 2, max_len + 1, (num_sequences,), generator=generator)
    real = torch.arange(max_len) < lengths.unsqueeze(1)
    ids = torch.randint(FIRST_FILLER, vocab_size, (num_sequences, max_len), generator=generator)
    present = torch.rand(num_sequences, 2, generator=generator) < 0.5
    places = torch.rand(num_sequences, max_len // 2, generator=generator).argsort(dim=1)
    for column, mark in enumerate((MARK_A, MARK_B)):
        rows = present[:, column].nonzero().squeeze(1)
        ids[rows, places[rows, column]] = mark
    return ids.masked_fill(~real, PAD), real, (present[:, 0] != present[:, 1]).long()


class FeedForward(nn.Module):
    """The part of a block that works on each position alone: widen, bend, narrow.

    Args:
        d_model: C, the width of the input and of the output.
        d_ff: the width in between; None = 4 · d_model.
        dropout: probability of dropping a hidden value in training mode.
        activation: "relu" or "gelu" (the exact form, x·Φ(x), not the tanh approximation).

    `fc1` (C → d_ff) and `fc2` (d_ff → C) are `nn.Linear` with bias and hold all the parameters there are.
    forward(x): (..., C) → (..., C), any leading dims: fc2(dropout(activation(fc1(x)))). Every position is treated the
    same and on its own. Dropout acts in this one place, and only in training mode. The result has the dtype of the
    module and of x; x is not written to.

    Raises:
        ValueError: on creation, if activation is anything else; the message contains the word "activation".

    Source: "Attention Is All You Need", section 3.3 (with ReLU); GELU as in GPT and BERT.
    """

    def __init__(self, d_model: int, d_ff: int | None = None, dropout: float = 0.0, activation: str = "relu"):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class TransformerEncoderBlock(nn.Module):
    """Self-attention, then a feed-forward net, each with a residual connection and a layer norm.

    Args:
        d_model: C.
        num_heads: heads of the attention.
        d_ff: hidden width of the feed-forward net; None = 4 · d_model.
        dropout: the one probability used for the attention weights, inside the feed-forward net, and on the result of
            each of the two sublayers before it is added.
        norm_first: where the norms sit, see below.
        activation: of the feed-forward net, "relu" or "gelu".

    Attributes: `attention` (MultiHeadAttention), `ff` (FeedForward), `norm1`, `norm2` (`nn.LayerNorm(d_model)`),
    `dropout` (`nn.Dropout`), `norm_first` (bool). The first four hold all the parameters there are.

    forward(x, mask, key_padding_mask): x (B, T, C) → (B, T, C), with drop = `dropout`, attn = self-attention of its one
    argument (query, key and value are the same tensor) under both masks:

        norm_first=False ("post-norm")        norm_first=True ("pre-norm")
        x = norm1(x + drop(attn(x)))          x = x + drop(attn(norm1(x)))
        x = norm2(x + drop(ff(x)))            x = x + drop(ff(norm2(x)))

    So dropout=1.0 in training mode gives norm2(norm1(x)) or x itself; in eval mode nothing is dropped.
    mask: bool, True = may attend, any shape that MultiHeadAttention takes, such as (T, T), or (B, T, T) for one per
    batch element. key_padding_mask: (B, T) bool, True = real token. Both may be given, as keywords or in this order;
    None = no restriction. The result has the dtype and device of x; x is not written to.

    Written without `nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and `nn.Transformer`.
    Source: "Attention Is All You Need", section 3.1 (post-norm); "On Layer Normalization in the Transformer
    Architecture", figure 1 (both).
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
        raise NotImplementedError

    def forward(self, x: Tensor, mask: Tensor | None = None, key_padding_mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class TransformerEncoder(nn.Module):
    """A stack of encoder blocks.

    Args:
        num_layers: N, how many blocks.
        d_model, num_heads, d_ff, dropout, norm_first, activation: of every block.

    `blocks` is an `nn.ModuleList` of N `TransformerEncoderBlock`s, each with parameters of its own. `norm` is an
    `nn.LayerNorm(d_model)` if norm_first (the sum that leaves the last block has not been normalised), else
    `nn.Identity()` (it has).

    forward(x, mask, key_padding_mask, return_all): x (B, T, C) goes through the blocks in order, both masks to every
    block, then through `norm` → (B, T, C). With return_all=True the result is (output, states), where states is the
    list of the N + 1 tensors [x, after block 1, …, after block N], the last one before `norm`. x is not written to.

    Raises:
        ValueError: on creation, if num_layers is below 1.

    Written without `nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and `nn.Transformer`.
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
    """Token ids in, one row of class scores per sequence out.

    Args:
        vocab_size: how many token ids there are.
        num_classes: how many scores a sequence gets.
        d_model, num_heads, num_layers, d_ff, dropout, norm_first: of the encoder; the rest of it as by default.

    Attributes: `embedding` (`nn.Embedding(vocab_size, d_model)`), `encoder` (`TransformerEncoder`), `head`
    (`nn.Linear(d_model, num_classes)`). They hold all the parameters there are.

    forward(ids, key_padding_mask): ids (B, T) int64 → logits (B, num_classes): the embedded tokens go through the
    encoder; the mean of its output over the real tokens of each sequence goes through `head`. key_padding_mask (B, T)
    bool, True = real token, the real ones anywhere in the row; None = all are real, whatever their id.
    Padding never changes the logits: a padded sequence gets those that it gets alone, without the padding, whatever
    ids stand in the padding. A sequence without any real token gets `head.bias`, and gradients stay finite.

    Written without `nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and `nn.Transformer`.
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
    """Train a classifier on random batches and say how well it then does.

    Args:
        model: called as model(ids, key_padding_mask), as `SequenceClassifier` is; gives logits (B, num_classes).
        ids: (N, T) int64.
        labels: (N,) int64.
        key_padding_mask: (N, T) bool, True = real token, or None.
        steps: how many updates; with 0 the model is only measured.
        batch_size: rows a batch; may be more than N, for rows are drawn with replacement.
        lr: learning rate of `torch.optim.AdamW`, whose other settings keep their defaults.
        generator: where the rows of the batches are drawn from; None = the global one.
    Returns:
        "losses": a list with the cross-entropy of each step's batch as a float, taken before that step's update.
        "accuracy": the share (0 … 1, a float) of all N rows that the trained model gets right, in eval mode and
        without a graph.

    Each step draws batch_size rows, runs the model in training mode on them (ids, mask and labels of the same rows),
    scales the gradients of this batch to a total norm of 1.0 if it is larger, and updates. One optimizer serves all
    steps. model.training is afterwards what it was before, also when something raises.
    """
    raise NotImplementedError


def compare_norm_placement(
    x: Tensor, num_layers: int = 16, num_heads: int = 2, gain: float = 2.0, seed: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Follow the size of the values and of the gradients through a deep stack, post-norm and pre-norm.

    Args:
        x: (B, T, C) float32, the input of both stacks.
        num_layers: N.
        num_heads: heads of every block.
        gain: what the four weights named below are multiplied by, so that the blocks do something.
        seed: of the weights and of the probe.
    Returns:
        {"post": {"rms": […], "grad_norm": […]}, "pre": the same}, lists of N + 1 floats, index 0 = the input.

    For each placement: `torch.manual_seed(seed)`, then a `TransformerEncoder` with dropout 0 and the default d_ff and
    activation; in every block the weights (not the biases) of `attention.W_v`, `attention.W_o`, `ff.fc1` and `ff.fc2`
    are multiplied by gain; then x runs through. "rms" is the root mean square of each of the N + 1 states that
    return_all gives. "grad_norm" is the L2 norm of the gradient of Σ(output · probe) with respect to each of them,
    where the probe is `torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))`, the same for both.
    x, its requires_grad and its grad are left alone.

    Source: "On Layer Normalization in the Transformer Architecture", section 3, which compares gradients at the start.
    """
    raise NotImplementedError
