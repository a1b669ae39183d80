# RoPE by complex numbers, RMSNorm by the length of the row, groups by a dimension of
# their own, an einsum MLP.


def rms_norm(x, weight=None, eps=1e-5):
    wide = x if x.dtype == torch.float64 else x.float()
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    normed = (wide / (length**2 / x.size(-1) + eps) ** 0.5).to(x.dtype)
    return normed * weight if weight is not None else normed


def rope_half(x, positions, inv_freq, scale=1.0):
    if x.size(-1) % 2 == 1:
        raise ValueError(f"{x.size(-1)} features")
    angles = torch.einsum(
        "...t,d->...td", positions.to(torch.float64), inv_freq.to(torch.float64)
    )
    if positions.ndim == 2:
        angles = angles.unsqueeze(1)
    turn = torch.polar(torch.full_like(angles, scale), angles)
    half = x.size(-1) // 2
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double()) * turn
    return torch.cat((pairs.real, pairs.imag), -1).to(x.dtype)


def yarn_frequencies(
    head_dim, base, factor, original_len, beta_fast=32.0, beta_slow=1.0
):
    def place(turns):
        return (head_dim * math.log(original_len / (turns * 2 * math.pi))) / (
            2 * math.log(base)
        )

    inv_freq = 1.0 / (base ** (torch.arange(0, head_dim, 2).float() / head_dim))
    low, high = (
        max(math.floor(place(beta_fast)), 0),
        min(math.ceil(place(beta_slow)), head_dim - 1),
    )
    high = high + 0.001 if low == high else high
    keep = 1 - torch.clamp(
        (torch.arange(head_dim // 2).float() - low) / (high - low), 0, 1
    )
    return inv_freq / factor * (
        1 - keep
    ) + inv_freq * keep, 1.0 if factor <= 1 else 0.1 * math.log(factor) + 1.0


def swiglu(x, w_gate, w_up, w_down):
    gate, up = (torch.einsum("...c,mc->...m", x, w) for w in (w_gate, w_up))
    return torch.einsum("...m,cm->...c", gate * torch.sigmoid(gate) * up, w_down)


def gqa_attention(q, k, v, mask=None):
    if q.shape[1] % k.shape[1] != 0:
        raise RuntimeError(f"{q.shape[1]} and {k.shape[1]} heads")
    grouped = q.unflatten(1, (k.size(1), -1))  # (B, H_kv, H / H_kv, T_q, D)
    scores = torch.einsum("bgrqd,bgkd->bgrqk", grouped, k) * q.size(-1) ** -0.5
    t_q, t_k = scores.shape[-2:]
    if mask is None:
        later = (
            torch.arange(t_k, device=q.device)
            > torch.arange(t_k - t_q, t_k, device=q.device)[:, None]
        )
    else:
        later = ~mask.expand(q.size(0), q.size(1), t_q, t_k).unflatten(
            1, (k.size(1), -1)
        )
    weights = torch.softmax(scores.masked_fill(later, float("-inf")), -1)
    return torch.einsum("bgrqk,bgkd->bgrqd", weights, v).flatten(1, 2)
