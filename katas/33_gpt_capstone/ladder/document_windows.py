"""Attention within a document and a window. FlexAttention skips blocks that the
mask excludes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import (
    BlockMask,
    create_block_mask,
    flex_attention,
)

from ladder.rung import Rung

RUNG = Rung(
    "document windows",
    record=12,
    date="2024-11-19",
    published="7.2 → 5.03 min, with rows of 65,536 tokens instead of 1,024",
    costs="a mask per batch; attention then costs less the longer the rows are",
)


def mask_of(documents: Tensor, window: int, flex: bool) -> Tensor | BlockMask:
    """Let a token read itself and earlier ones: of its document, at most `window`
    in all.

    Args:
        documents: (B, T), the number of each token's document.
        flex: the mask for FlexAttention, which skips blocks of 128 × 128 that it
            excludes. Else (B, 1, T, T), bool.
    """
    rows, length = documents.shape

    def allows(row: Tensor, head: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
        return (
            (key <= query)
            & (query - key < window)
            & (documents[row, query] == documents[row, key])
        )

    if flex:
        return create_block_mask(
            allows, rows, None, length, length, device=documents.device
        )
    places = torch.arange(length, device=documents.device)
    return allows(
        torch.arange(rows, device=documents.device)[:, None, None, None],
        None,
        places[:, None],
        places,
    )


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | BlockMask | None) -> Tensor:
    """Average v (B, H, T, D) by softmax(q kᵀ / √D) where the mask allows it. None: over
    all earlier tokens.
    """
    if isinstance(mask, BlockMask):
        return flex_attention(q, k, v, block_mask=mask)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None
    )


def flex_works(device: torch.device, head_size: int) -> bool:
    """Tell if FlexAttention compiles here, forward and backward, by trying."""

    def attended(x: Tensor, documents: Tensor) -> Tensor:
        return attend(x, x, x, mask_of(documents, 64, flex=True))

    x = torch.randn(2, 2, 128, head_size, device=device, requires_grad=True)
    try:
        torch.compile(attended)(
            x, torch.zeros(2, 128, dtype=torch.long, device=device)
        ).sum().backward()
    except Exception:  # by device and version there are many reasons
        return False
    return True
