# Different: masks from comparisons of positions, from a triu that is inverted, and from
# nested Python lists;
# combining by functools.reduce over broadcast tensors.
import functools


def causal_mask(query_len, key_len=None, device=None):
    key_len = query_len if key_len is None else key_len
    if query_len > key_len:
        raise ValueError(f"key_len {key_len} < query_len {query_len}")
    query = torch.arange(key_len - query_len, key_len, device=device).unsqueeze(1)
    return query >= torch.arange(key_len, device=device).unsqueeze(0)


def padding_mask(lengths, max_len):
    counts = lengths.tolist()
    if any(not 0 <= n <= max_len for n in counts):
        raise ValueError("length out of range")
    return torch.tensor(
        [[[j < n for j in range(max_len)]] for n in counts], device=lengths.device
    )


def combine_masks(*masks):
    present = [mask for mask in masks if mask is not None]
    if any(mask.dtype != torch.bool for mask in present):
        raise TypeError("masks must be bool")
    if not present:
        return None
    return functools.reduce(torch.logical_and, present)
