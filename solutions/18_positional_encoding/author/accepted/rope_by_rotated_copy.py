"""RoPE as x·cos plus a rotated copy times sin, with repeated angles; in half precision
cos and sin are rounded first.
"""


def apply_rope(x, positions=None, base=10000.0):
    *_, T, D = x.shape
    if D & 1:
        raise ValueError(f"D = {D}")
    if positions is None:
        positions = torch.arange(T, device=x.device)
    if tuple(positions.shape) != (T,):
        raise ValueError("positions")
    theta = torch.exp(-torch.log(torch.tensor(float(base))) * torch.arange(0, D, 2) / D)
    angles = (
        positions.to(x.device).float()[:, None] * theta.to(x.device)
    ).repeat_interleave(2, dim=-1)
    rotated = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    return x * angles.cos().to(x.dtype) + rotated * angles.sin().to(x.dtype)


def alibi_slopes(num_heads):
    if num_heads <= 0:
        raise ValueError(f"num_heads={num_heads}")
    power = 1
    while power * 2 <= num_heads:
        power *= 2
    first = torch.pow(2.0, -8.0 * torch.arange(1, power + 1) / power)
    second = torch.pow(2.0, -8.0 * torch.arange(1, 2 * power + 1) / (2 * power))[::2]
    return torch.cat([first, second])[:num_heads]


def alibi_bias(num_heads, query_len, key_len=None, device=None):
    key_len = key_len or query_len
    if key_len < query_len:
        raise ValueError("key_len")
    device = torch.device(device or "cpu")
    grid = torch.arange(key_len)[None, :] - torch.arange(key_len)[:, None]
    square = -grid.abs()[None].float() * alibi_slopes(num_heads)[:, None, None]
    return square[:, key_len - query_len :].to(device)
