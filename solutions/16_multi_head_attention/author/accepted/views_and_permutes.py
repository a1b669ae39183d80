"""The textbook's `view`, `permute` and `contiguous`; the layer with one stacked
projection for self-attention.
"""

import torch.nn.functional as F


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    if x.ndim != 3 or num_heads < 1 or x.shape[2] % num_heads != 0:
        raise ValueError(f"cannot split {list(x.shape)} into {num_heads} heads")
    B, T, C = x.shape
    return (
        x.contiguous()
        .view(B, T, num_heads, C // num_heads)
        .permute(0, 2, 1, 3)
        .contiguous()
    )


def merge_heads(x: Tensor) -> Tensor:
    if x.ndim != 4:
        raise ValueError(f"cannot merge {list(x.shape)}")
    B, H, T, D = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, H * D)


class MultiHeadAttention(MultiHeadAttention):
    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        if query.shape[-1] != self.d_model:
            raise ValueError(f"{query.shape[-1]} != {self.d_model}")
        if key is None and value is None:
            layers = (self.W_q, self.W_k, self.W_v)
            bias = (
                None
                if self.W_q.bias is None
                else torch.cat([layer.bias for layer in layers])
            )
            stacked = F.linear(
                query, torch.cat([layer.weight for layer in layers]), bias
            )
            q, k, v = (split_heads(x, self.num_heads) for x in stacked.chunk(3, dim=-1))
        else:
            key = key if key is not None else query
            value = value if value is not None else key
            q = split_heads(self.W_q(query), self.num_heads)
            k = split_heads(self.W_k(key), self.num_heads)
            v = split_heads(self.W_v(value), self.num_heads)
        scores = torch.matmul(q, k.transpose(2, 3)) / self.d_k**0.5
        allowed = prepare_mask(mask, key_padding_mask, tuple(scores.shape))
        if allowed is not None:
            scores = torch.where(allowed, scores, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        if allowed is not None:
            weights = weights * allowed
        output = self.W_o(merge_heads(torch.matmul(self.dropout(weights), v)))
        return (output, weights) if need_weights else output
