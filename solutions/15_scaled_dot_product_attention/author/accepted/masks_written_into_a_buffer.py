# Different: an inverted triu, a mask filled row by row, and `all` over the stacked
# broadcast masks.


def causal_mask(query_len, key_len=None, device=None):
    if key_len is None:
        key_len = query_len
    past = key_len - query_len
    if past < 0:
        raise ValueError(f"cannot place {query_len} queries among {key_len} keys")
    future = torch.triu(
        torch.ones((query_len, key_len), device=device), diagonal=past + 1
    )
    return future == 0


def padding_mask(lengths, max_len):
    if not bool(((0 <= lengths) & (lengths <= max_len)).all()):
        raise ValueError(f"{lengths} for max_len {max_len}")
    mask = torch.zeros(
        len(lengths), 1, max_len, dtype=torch.bool, device=lengths.device
    )
    for row, length in zip(mask, lengths, strict=True):
        row[..., :length] = True
    return mask


def combine_masks(*masks):
    for mask in masks:
        if mask is not None and mask.dtype != torch.bool:
            raise TypeError(type(mask))
    left = [mask for mask in masks if mask is not None]
    return torch.stack(torch.broadcast_tensors(*left)).all(dim=0) if left else None
