# Differences added to c_proj's output, forward hooks with try and finally, sorting in
# place of topk.


def run_with_cache(model, tokens, names):
    modules, cache, handles = (
        {name: model.get_submodule(name) for name in names},
        {},
        [],
    )
    try:
        for name, module in modules.items():
            handles.append(
                module.register_forward_hook(
                    lambda m, a, out, name=name: cache.update({name: out.data})
                )
            )
        return model(tokens)[0], cache
    finally:
        for handle in handles:
            handle.remove()


def head_outputs(attn, x):
    z, _ = heads_of(attn, x)
    weights = attn.c_proj.weight.split(z.shape[-1], dim=1)
    return torch.stack(
        [nn.functional.linear(part, w) for part, w in zip(z.unbind(1), weights)], dim=1
    )


def logit_shares(parts, norm, direction):
    total = sum(parts)
    mean = total.mean(-1, keepdim=True)
    std = (((total - mean) ** 2).mean(-1, keepdim=True) + norm.eps) ** 0.5
    return torch.stack(
        [
            torch.sum(
                (p - p.mean(-1, keepdim=True)) * (norm.weight * direction) / std, -1
            )
            for p in parts
        ]
    )


def induction_score(weights, tokens):
    same = tokens[:, :, None] == tokens[:, None, :]
    same = same & torch.ones_like(same[0]).tril(-1)
    behind = torch.zeros_like(same)
    behind[:, :, 1:] = same[:, :, :-1]
    has_one = same.any(-1)
    if not has_one.any():
        return weights.new_zeros(weights.size(1))
    return torch.einsum("bhts,bts->bth", weights, behind.to(weights.dtype))[
        has_one
    ].mean(0)


def runs_with_heads(model, tokens, metric, change):
    """The metric for each head, with what it adds changed in c_proj's output."""
    heads = model.config.n_head
    found = torch.empty(
        len(model.transformer.h), heads, dtype=model.lm_head.weight.dtype
    )
    for i, block in enumerate(model.transformer.h):
        for h in range(heads):

            def hook(module, args, output):
                size = args[0].size(-1) // heads
                mine = slice(h * size, (h + 1) * size)
                delta = change(i, args[0])[..., mine] - args[0][..., mine]
                return output + delta @ module.weight[:, mine].T

            handle = block.attn.c_proj.register_forward_hook(hook)
            try:
                found[i, h] = metric(model(tokens)[0])
            finally:
                handle.remove()
    return found


def patch_heads(model, clean, corrupt, metric):
    with torch.no_grad():
        _, kept = run_with_cache(
            model,
            clean,
            [f"transformer.h.{i}.ln_1" for i in range(model.config.n_layer)],
        )
        z = [
            heads_of(block.attn, x)[0]
            for block, x in zip(model.transformer.h, kept.values())
        ]
        z = [each.transpose(1, 2).flatten(2) for each in z]
        low, high = metric(model(corrupt)[0]), metric(model(clean)[0])
        if high == low:
            raise ZeroDivisionError("nothing to restore")
        return (runs_with_heads(model, corrupt, metric, lambda i, _: z[i]) - low) / (
            high - low
        )


def probe(features, labels, types, train, generator=None):
    table = {}
    for word in types.tolist():
        if word not in table:
            table[word] = labels[
                torch.randint(len(labels), (), generator=generator)
            ].item()
    control = torch.tensor([table[word] for word in types.tolist()])
    train_rows, test_rows = train.nonzero().flatten(), (~train).nonzero().flatten()

    def accuracy(y):
        predict = fit_linear(features[train_rows], y[train_rows], int(y.max()) + 1)
        return (predict(features[test_rows]) == y[test_rows]).float().mean().item()

    return accuracy(labels), accuracy(control)


@torch.no_grad()
def ablate_heads(model, tokens, metric, how="mean"):
    if how == "mean":
        without = runs_with_heads(
            model, tokens, metric, lambda i, z: z.flatten(0, 1).mean(0).expand(z.shape)
        )
    elif how == "zero":
        without = runs_with_heads(model, tokens, metric, lambda i, z: 0 * z)
    else:
        raise ValueError(f"no way called {how}")
    return metric(model(tokens)[0]) - without


class TopKAutoencoder(nn.Module):
    def __init__(self, n_features, n_latents, k):
        super().__init__()
        directions = torch.randn(n_latents, n_features)
        directions /= directions.norm(dim=1, keepdim=True)
        self.register_parameter("bias", nn.Parameter(torch.zeros(n_features)))
        self.register_parameter("encoder", nn.Parameter(directions.clone()))
        self.register_parameter("decoder", nn.Parameter(directions.clone()))
        self.k = k

    def encode(self, x):
        codes = torch.clamp((x - self.bias) @ self.encoder.mT, min=0)
        order = codes.argsort(dim=-1, descending=True)
        return codes.scatter(-1, order[..., self.k :], 0.0)

    def forward(self, x):
        codes = self.encode(x)
        return torch.einsum("...m,mc->...c", codes, self.decoder) + self.bias, codes

    @torch.no_grad()
    def normalise(self):
        self.decoder.copy_(self.decoder / self.decoder.norm(dim=1, keepdim=True))
