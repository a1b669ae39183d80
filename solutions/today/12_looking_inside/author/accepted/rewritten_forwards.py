# Forwards that are exchanged for a while, one linear layer per head, means off the
# direction, inference mode.


@contextmanager
def other_forward(module, make):
    original = module.forward
    module.forward = make(original)
    try:
        yield
    finally:
        del module.forward


def run_with_cache(model, tokens, names):
    cache = {}

    def noting(name):
        def make(original):
            def forward(*args, **options):
                output = original(*args, **options)
                cache[name] = output.detach().clone()
                return output

            return forward

        return make

    with ExitStack() as stack:
        for name in names:
            stack.enter_context(other_forward(model.get_submodule(name), noting(name)))
        logits, _ = model(tokens)
    return logits, cache


def head_outputs(attn, x):
    z = heads_of(attn, x)[0]
    B, H, T, D = z.shape
    parts = []
    for h in range(H):
        alone = torch.zeros_like(z)
        alone[:, h] = z[:, h]
        parts.append(
            nn.functional.linear(
                alone.transpose(1, 2).reshape(B, T, H * D), attn.c_proj.weight
            )
        )
    return torch.stack(parts, 1)


def logit_shares(parts, norm, direction):
    parts = torch.stack(list(parts))
    total = parts.sum(0)
    scaled = norm.weight * direction
    scaled = scaled - scaled.mean(-1, keepdim=True)
    scale = torch.rsqrt(total.var(-1, correction=0) + norm.eps)
    return (parts * scaled).sum(-1) * scale


def induction_score(weights, tokens):
    total, count = torch.zeros(weights.shape[1], dtype=weights.dtype), 0
    for row, w in zip(tokens, weights):
        for t in range(1, len(row)):
            places = (row[:t] == row[t]).nonzero().flatten() + 1
            if len(places):
                total += w[:, t, places].sum(-1)
                count += 1
    return total / max(count, 1)


def with_z(attn, change):
    """While this holds, c_proj gets change(z), with z (B, T, H, D)."""

    def make(original):
        return lambda merged: original(change(merged))

    return other_forward(attn.c_proj, make)


def heads_view(merged, heads):
    return merged.reshape(*merged.shape[:-1], heads, -1)


@torch.inference_mode()
def patch_heads(model, clean, corrupt, metric):
    heads, kept = model.config.n_head, {}
    with ExitStack() as stack:
        for i, block in enumerate(model.transformer.h):

            def keep(merged, i=i):
                kept[i] = merged
                return merged

            stack.enter_context(with_z(block.attn, keep))
        best = metric(model(clean)[0])
    worst = metric(model(corrupt)[0])
    if not best - worst:
        raise ValueError("both runs have the same metric")
    rows = []
    for i, block in enumerate(model.transformer.h):
        row = []
        for h in range(heads):

            def patch(merged):
                z = heads_view(merged, heads).clone()
                z[:, :, h] = heads_view(kept[i], heads)[:, :, h]
                return z.reshape(merged.shape)

            with with_z(block.attn, patch):
                row.append((metric(model(corrupt)[0]) - worst) / (best - worst))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def probe(features, labels, types, train, generator=None):
    held_out = train.logical_not()
    _, of_row = types.unique(return_inverse=True)
    rows = torch.randint(
        0, labels.numel(), (int(of_row.max()) + 1,), generator=generator
    )
    found = []
    for wanted in (labels, labels[rows].index_select(0, of_row)):
        guess = fit_linear(features[train], wanted[train], int(labels.max()) + 1)(
            features[held_out]
        )
        found.append(float((guess == wanted[held_out]).sum()) / int(held_out.sum()))
    return tuple(found)


@torch.inference_mode()
def ablate_heads(model, tokens, metric, how="mean"):
    if how not in ("mean", "zero"):
        raise KeyError(how)
    whole, heads = metric(model(tokens)[0]), model.config.n_head
    lost = []
    for block in model.transformer.h:
        for h in range(heads):

            def cut(merged):
                z = heads_view(merged, heads).clone()
                z[:, :, h] = z[:, :, h].flatten(0, 1).mean(0) if how == "mean" else 0.0
                return z.flatten(2)

            with with_z(block.attn, cut):
                lost.append(whole - metric(model(tokens)[0]))
    return torch.stack(lost).reshape(-1, heads)


class TopKAutoencoder(nn.Module):
    def __init__(self, n_features, n_latents, k):
        super().__init__()
        self.k = min(k, n_latents)
        self.decoder = nn.Parameter(torch.randn(n_latents, n_features))
        self.normalise()
        self.encoder = nn.Parameter(self.decoder.detach().clone())
        self.bias = nn.Parameter(torch.zeros(n_features))

    def encode(self, x):
        scores = nn.functional.linear(x - self.bias, self.encoder)
        keep = torch.zeros_like(scores).scatter(-1, scores.topk(self.k, dim=-1)[1], 1.0)
        return torch.relu(scores) * keep

    def forward(self, x):
        codes = self.encode(x)
        return nn.functional.linear(codes, self.decoder.T, self.bias), codes

    def normalise(self):
        self.decoder.data.div_(self.decoder.data.norm(dim=-1, keepdim=True))
