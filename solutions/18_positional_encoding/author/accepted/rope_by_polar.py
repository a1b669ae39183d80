"""RoPE as a complex multiplication; slopes by recursion; the bias by broadcasting a
difference of position vectors.
"""


def apply_rope(x, positions=None, base=10000.0):
    T, D = x.size(-2), x.size(-1)
    if D % 2:
        raise ValueError("odd")
    if positions is None:
        positions = torch.arange(T)
    if positions.dim() != 1 or len(positions) != T:
        raise ValueError("positions")
    inverse = 1.0 / base ** (torch.arange(0, D, 2).float() / D)
    angles = torch.outer(positions.float(), inverse).to(x.device)
    turn = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], D // 2, 2))
    return torch.view_as_real(pairs * turn).reshape(x.shape).to(x.dtype)


def alibi_slopes(num_heads):
    if num_heads < 1:
        raise ValueError("num_heads")

    def slopes(n):
        if n & (n - 1) == 0:
            start = 2.0 ** (-8.0 / n)
            return [start ** (i + 1) for i in range(n)]
        below = 1 << (n.bit_length() - 1)
        return slopes(below) + slopes(2 * below)[0::2][: n - below]

    return torch.tensor(slopes(num_heads), dtype=torch.float32)


def alibi_bias(num_heads, query_len, key_len=None, device=None):
    if key_len is None:
        key_len = query_len
    if query_len > key_len:
        raise ValueError("too many queries")
    i = torch.arange(query_len).float() + (key_len - query_len)
    distance = torch.cdist(
        i.view(-1, 1), torch.arange(key_len).float().view(-1, 1), p=1
    )
    return torch.einsum("h,ts->hts", alibi_slopes(num_heads), -distance).to(device)
