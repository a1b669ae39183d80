# The recurrence wherever it can stand in for a product, an inverse for the solve,
# halves joined by recursion.


def parallel_form(q, k, v, log_decay):
    T = log_decay.shape[-1]
    # Segment sums without differences: column s adds up the decays behind s, and
    # nothing cancels.
    behind = torch.ones(T, T, dtype=torch.bool).tril(-1)
    spread = (
        log_decay[..., None]
        .expand(*log_decay.shape, T)
        .masked_fill(~behind, 0)
        .cumsum(-2)
    )
    mask = torch.ones(T, T, dtype=torch.bool).tril()
    decay = torch.exp(
        torch.where(mask, spread, torch.tensor(float("-inf"), dtype=spread.dtype))
    )
    return (torch.matmul(q, k.transpose(-1, -2)) * decay).matmul(v)


def recurrent_step(state, q, k, v, log_decay):
    state = (
        torch.exp(log_decay)[:, :, None, None] * state
        + k[:, :, :, None] @ v[:, :, None, :]
    )
    return torch.matmul(q.unsqueeze(2), state)[:, :, 0], state


def chunked_form(q, k, v, log_decay, chunk=16, state=None):
    if state is None:
        state = k.new_zeros(k.shape[0], k.shape[1], k.shape[3], v.shape[3])
    outs = []
    for start in range(0, q.shape[2], chunk):
        end = min(start + chunk, q.shape[2])
        decays = log_decay[:, :, start:end]
        before = decays.cumsum(-1).exp().unsqueeze(-1)
        after = (decays.flip(-1).cumsum(-1).flip(-1) - decays).exp().unsqueeze(-1)
        keys, values = k[:, :, start:end], v[:, :, start:end]
        outs.append(
            parallel_form(q[:, :, start:end], keys, values, decays)
            + (q[:, :, start:end] * before) @ state
        )
        state = state * before[:, :, -1:] + (keys * after).transpose(2, 3) @ values
    return torch.cat(outs, 2), state


def combine(left, right):
    return (left[0] * right[0], left[1] * right[0] + right[1])


def associative_scan(op, elements):
    """Pads to a power of two by repeating the last element, and doubles: what stands
    behind T is cut off.
    """
    length = len(elements[0])
    if length == 0:
        return elements
    size = 1 << (length - 1).bit_length()
    full = [
        torch.cat([x, x[-1:].expand(size - length, *x.shape[1:])]) for x in elements
    ]
    shift = 1
    while shift < size:
        moved = op(
            tuple(x[: size - shift] for x in full), tuple(x[shift:] for x in full)
        )
        full = [torch.cat((x[:shift], y), dim=0) for x, y in zip(full, moved)]
        shift = shift * 2
    return tuple(x[:length] for x in full)


def delta_step(state, q, k, v, beta, log_decay):
    faded = torch.exp(log_decay)[..., None, None] * state
    eye = torch.eye(k.shape[-1], dtype=k.dtype)
    erase = eye - beta[..., None, None] * k[..., :, None] * k[..., None, :]
    state = erase @ faded + (beta[..., None] * k)[..., :, None] * v[..., None, :]
    return torch.einsum("bhk,bhkv->bhv", q, state), state


def delta_chunked(q, k, v, beta, log_decay, chunk=16, state=None):
    B, H, T, K = k.shape
    if state is None:
        state = torch.zeros(B, H, K, v.shape[-1], dtype=k.dtype)
    out = []
    for q, k, v, beta, g in zip(
        *[x.split(chunk, 2) for x in (q, k, v, beta, log_decay)]
    ):
        n = g.shape[-1]
        total = g.cumsum(-1)
        strict = torch.ones(n, n, dtype=torch.bool).tril(-1)
        decay = torch.where(
            strict, total[..., :, None] - total[..., None, :], float("-inf")
        ).exp()
        attn = torch.einsum("bht,bhtk,bhsk->bhts", beta, k, k) * decay
        inverse = torch.linalg.inv(torch.eye(n, dtype=attn.dtype) + attn)
        values = inverse @ (v * beta[..., None])
        cleared = inverse @ (k * (beta * total.exp())[..., None])
        part, state = chunked_form(q, k, values - cleared @ state, g, chunk, state)
        out.append(part)
    return torch.cat(out, 2), state


class GatedDeltaNet(nn.Module):
    def __init__(self, n_embd, n_head, width=4):
        super().__init__()
        if n_embd % n_head != 0:
            raise ValueError(f"n_embd={n_embd}, n_head={n_head}")
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.conv = nn.Parameter(
            nn.Conv1d(3 * n_embd, 3 * n_embd, width, groups=3 * n_embd).weight.detach()[
                :, 0
            ]
        )
        self.beta = nn.Linear(n_embd, n_head)
        self.decay = nn.Linear(n_embd, n_head)
        with torch.no_grad():
            self.decay.bias.fill_(4.0)
        self.norm = nn.RMSNorm(n_embd // n_head, eps=1e-5)
        self.gate = nn.Linear(n_embd, n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        H = self.n_head
        qkv = F.silu(short_convolution(self.qkv(x), self.conv)).view(B, T, 3, H, C // H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q = q / q.norm(dim=-1, keepdim=True)
        k = k / k.norm(dim=-1, keepdim=True)
        beta = self.beta(x).sigmoid().transpose(1, 2)
        log_decay = self.decay(x).sigmoid().log().transpose(1, 2)
        o, _ = delta_chunked(q, k, v, beta, log_decay)
        o = self.norm(o.transpose(1, 2)) * F.silu(self.gate(x)).view(B, T, H, -1)
        return self.proj(o.reshape(B, T, C))


def decoding_bytes(layers, T, n_head, n_kv_head, head_dim, window, itemsize=2):
    if unknown := set(layers) - set("LAW"):
        raise KeyError(f"unknown layers: {unknown}")
    cache = 2 * n_kv_head * head_dim
    linear = layers.count("L") * n_head * head_dim * head_dim
    return itemsize * (
        linear + cache * (layers.count("A") * T + layers.count("W") * min(T, window))
    )
