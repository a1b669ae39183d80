"""A transformer encoder from its parts: feed-forward net, block, stack, classifier, and
the place of the norm.
"""

import torch
import torch.nn.functional as F
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
    """Sequences to classify by whether exactly one of two marks occurs. Given: nothing
    to write here.

    Args:
        num_sequences: N.
        max_len: L, at least 4.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: where every draw comes from; None = the global one.
    Returns:
        (ids, key mask, labels). ids (N, L) int64: fillers, perhaps MARK_A, perhaps
        MARK_B (each a fair coin, somewhere in the first half), then PAD to the right of
        a random length of L // 2 … L. The key mask (N, L) is True on real tokens.
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
    """Widen, bend, narrow: each position alone."""

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
    ):
        super().__init__()
        if d_ff is None:
            d_ff = 4 * d_model
        self.fc1 = nn.Linear(d_model, d_ff)
        self.fc2 = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)
        self.activation = {"relu": nn.ReLU(), "gelu": nn.GELU()}[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.dropout(self.activation(self.fc1(x))))


class TransformerEncoderBlock(nn.Module):
    """Self-attention, then a feed-forward net, each with a residual connection and a
    layer norm.
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
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, dropout)
        self.ff = FeedForward(d_model, d_ff, dropout, activation)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def attend(
        self, x: Tensor, mask: Tensor | None, key_padding_mask: Tensor | None
    ) -> Tensor:
        return self.attention(x, mask=mask, key_padding_mask=key_padding_mask)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        if self.norm_first:
            x = x + self.dropout(self.attend(self.norm1(x), mask, key_padding_mask))
            x = x + self.dropout(self.ff(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.attend(x, mask, key_padding_mask)))
            x = self.norm2(x + self.dropout(self.ff(x)))
        return x


class TransformerEncoder(nn.Module):
    """A stack of encoder blocks."""

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
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerEncoderBlock(
                d_model, num_heads, d_ff, dropout, norm_first, activation
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        return_all: bool = False,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        states = [x]
        for block in self.blocks:
            x = block(x, mask, key_padding_mask)
            states.append(x)
        output = self.norm(x)
        return (output, states) if return_all else output


class SequenceClassifier(nn.Module):
    """Embed, encode, average the real tokens, classify."""

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
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.encoder = TransformerEncoder(
            num_layers, d_model, num_heads, d_ff, dropout, norm_first
        )
        self.head = nn.Linear(d_model, num_classes)

    def forward(self, ids: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        h = self.encoder(self.embedding(ids), key_padding_mask=key_padding_mask)
        if key_padding_mask is None:
            return self.head(h.mean(dim=1))
        real = key_padding_mask.unsqueeze(-1)
        mean = (h * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        return self.head(mean)


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
    """AdamW, clipped gradients, random batches, accuracy."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(ids), (batch_size,), generator=generator)
        mask = None if key_padding_mask is None else key_padding_mask[rows]
        loss = F.cross_entropy(model(ids[rows], mask), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        predictions = model(ids, key_padding_mask).argmax(dim=-1)
    return {"losses": losses, "accuracy": (predictions == labels).float().mean().item()}


def compare_norm_placement(
    x: Tensor,
    num_layers: int = 16,
    num_heads: int = 2,
    gain: float = 2.0,
    seed: int = 0,
) -> dict[str, dict[str, list[float]]]:
    """Values and gradients through a deep stack, post-norm and pre-norm."""
    probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    results = {}
    for placement, norm_first in {"post": False, "pre": True}.items():
        torch.manual_seed(seed)
        encoder = TransformerEncoder(
            num_layers, x.shape[-1], num_heads, dropout=0.0, norm_first=norm_first
        )
        with torch.no_grad():
            for block in encoder.blocks:
                for layer in (
                    block.attention.W_v,
                    block.attention.W_o,
                    block.ff.fc1,
                    block.ff.fc2,
                ):
                    layer.weight *= gain
        output, states = encoder(x.detach().clone().requires_grad_(), return_all=True)
        gradients = torch.autograd.grad((output * probe).sum(), states)
        results[placement] = {
            "rms": [state.square().mean().sqrt().item() for state in states],
            "grad_norm": [gradient.norm().item() for gradient in gradients],
        }
    return results
