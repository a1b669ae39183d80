"""Splitting by `chunk` and `stack`, merging by `unbind` and `cat`, errors by hand and
in another order.
"""


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    if num_heads < 1:
        raise ValueError(f"num_heads = {num_heads}")
    if x.dim() != 3:
        raise ValueError("split_heads takes (B, T, C)")
    if x.size(2) % num_heads:
        raise ValueError(f"{x.size(2)} % {num_heads} != 0")
    return torch.stack(torch.chunk(x, num_heads, dim=2), dim=1)


def merge_heads(x: Tensor) -> Tensor:
    if x.dim() != 4:
        raise ValueError("merge_heads takes (B, H, T, D)")
    return torch.cat(x.unbind(dim=1), dim=2)
