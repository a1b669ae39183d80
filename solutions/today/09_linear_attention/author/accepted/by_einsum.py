# Einsum and loops, a state by sums over pairs, Blelloch's recursion, forward
# substitution, padding to full chunks.


def parallel_form(q, k, v, log_decay):
    T = q.shape[2]
    rows = [log_decay[..., 1 : t + 1].flip(-1).cumsum(-1).flip(-1) for t in range(T)]
    since = torch.stack([F.pad(row, (0, T - row.shape[-1])) for row in rows], dim=-2)
    weights = torch.tril(torch.exp(since))
    return torch.einsum("bhtk,bhsk,bhts,bhsv->bhtv", q, k, weights, v)


def recurrent_step(state, q, k, v, log_decay):
    faded = torch.einsum("bh,bhkv->bhkv", log_decay.exp(), state)
    state = faded + torch.einsum("bhk,bhv->bhkv", k, v)
    return torch.einsum("bhk,bhkv->bhv", q, state), state


def _padded(x, chunk):
    """T cut into full chunks, filled up with zeros: keys of 0 write nothing, and a
    log_decay of 0 fades nothing.
    """
    missing = -x.shape[2] % chunk
    x = torch.cat([x, x.new_zeros(*x.shape[:2], missing, *x.shape[3:])], dim=2)
    return x.reshape(*x.shape[:2], -1, chunk, *x.shape[3:])


def chunked_form(q, k, v, log_decay, chunk=16, state=None):
    T = q.shape[2]
    q, k, v, log_decay = (_padded(x, chunk) for x in (q, k, v, log_decay))
    if state is None:
        state = torch.zeros(*q.shape[:2], q.shape[-1], v.shape[-1], dtype=q.dtype)
    out = torch.zeros_like(v)
    for c in range(q.shape[2]):
        total = log_decay[:, :, c].cumsum(-1)
        inside = parallel_form(q[:, :, c], k[:, :, c], v[:, :, c], log_decay[:, :, c])
        out[:, :, c] = inside + torch.einsum(
            "bhtk,bhkv,bht->bhtv", q[:, :, c], state, total.exp()
        )
        behind = (total[..., -1:] - total).exp()
        written = torch.einsum("bhtk,bhtv,bht->bhkv", k[:, :, c], v[:, :, c], behind)
        state = state * total[..., -1].exp()[..., None, None] + written
    return out.flatten(2, 3)[:, :, :T], state


def combine(left, right):
    first_a, first_b = left
    then_a, then_b = right
    return first_a * then_a, torch.addcmul(then_b, then_a, first_b)


def associative_scan(op, elements):
    T = elements[0].shape[0]
    if T < 2:
        return elements
    pairs = op(
        tuple(x[0 : T - 1 : 2] for x in elements), tuple(x[1::2] for x in elements)
    )
    odd = associative_scan(op, tuple(pairs))
    out = tuple(torch.empty_like(x) for x in elements)
    for new, old, done in zip(out, elements, odd):
        new[1::2] = done
        new[0] = old[0]
    if T > 2:
        count = (T - 1) // 2
        even = op(tuple(x[:count] for x in odd), tuple(x[2::2] for x in elements))
        for new, done in zip(out, even):
            new[2::2] = done
    return out


def delta_step(state, q, k, v, beta, log_decay):
    state = state * torch.exp(log_decay).reshape(*log_decay.shape, 1, 1)
    held = (state * k[..., None]).sum(-2)
    state = state + k[..., None] * ((v - held) * beta[..., None])[..., None, :]
    return (state * q[..., None]).sum(-2), state


def delta_chunked(q, k, v, beta, log_decay, chunk=16, state=None):
    if state is None:
        state = torch.zeros(*q.shape[:2], q.shape[-1], v.shape[-1], dtype=q.dtype)
    outs = []
    for start in range(0, q.shape[2], chunk):
        here = slice(start, start + chunk)
        q_c, k_c, v_c, b_c, g_c = (
            q[:, :, here],
            k[:, :, here],
            v[:, :, here],
            beta[:, :, here],
            log_decay[:, :, here],
        )
        total, corrections = g_c.cumsum(-1), []
        for t in range(q_c.shape[2]):
            held = total[..., t, None].exp() * torch.einsum(
                "bhk,bhkv->bhv", k_c[:, :, t], state
            )
            for s, earlier in enumerate(corrections):
                near = (k_c[:, :, t] * k_c[:, :, s]).sum(-1) * (
                    total[..., t] - total[..., s]
                ).exp()
                held = held + near[..., None] * earlier
            corrections.append(b_c[:, :, t, None] * (v_c[:, :, t] - held))
        out, state = chunked_form(
            q_c, k_c, torch.stack(corrections, 2), g_c, chunk, state
        )
        outs.append(out)
    return torch.cat(outs, 2), state


class GatedDeltaNet(nn.Module):
    def __init__(self, n_embd, n_head, width=4):
        super().__init__()
        assert n_embd % n_head == 0, f"{n_embd} is not a multiple of {n_head}"
        self.heads, self.size = n_head, n_embd // n_head
        self.qkv = nn.Linear(n_embd, n_embd * 3, bias=False)
        self.gate = nn.Linear(n_embd, n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd, bias=False)
        self.beta, self.decay = nn.Linear(n_embd, n_head), nn.Linear(n_embd, n_head)
        self.decay.bias.data.fill_(4)
        self.conv = nn.Parameter(torch.empty(n_embd * 3, width))
        nn.init.uniform_(self.conv, -(width**-0.5), width**-0.5)
        self.norm = nn.RMSNorm(self.size, eps=1e-6)

    def _heads(self, x):
        return x.reshape(*x.shape[:2], self.heads, self.size).permute(0, 2, 1, 3)

    def forward(self, x):
        q, k, v = torch.split(
            nn.functional.silu(short_convolution(self.qkv(x), self.conv)),
            x.shape[-1],
            dim=-1,
        )
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        q = q * torch.rsqrt((q * q).sum(-1, keepdim=True) + 1e-6)
        k = k * torch.rsqrt((k * k).sum(-1, keepdim=True) + 1e-6)
        beta = torch.sigmoid(self.beta(x)).permute(0, 2, 1)
        log_decay = -nn.functional.softplus(-self.decay(x)).permute(0, 2, 1)
        out = delta_chunked(q, k, v, beta, log_decay)[0].permute(0, 2, 1, 3)
        return self.proj(
            self.norm(out).reshape(x.shape) * nn.functional.silu(self.gate(x))
        )


def decoding_bytes(layers, T, n_head, n_kv_head, head_dim, window, itemsize=2):
    total = 0
    for layer in layers:
        if layer == "L":
            total += n_head * head_dim * head_dim
        elif layer in "AW":
            total += 2 * n_kv_head * head_dim * (T if layer == "A" else min(window, T))
        else:
            raise ValueError(f"no layer is called {layer}")
    return total * itemsize
