"""Looking inside a GPT: outputs of its parts, what each head writes, what it causes,
and what a probe can know.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

CausalSelfAttention = prerequisite("25_causal_self_attention").CausalSelfAttention
LayerCache = prerequisite("25_causal_self_attention").LayerCache
manual_attention = prerequisite("25_causal_self_attention").manual_attention
GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig

# logits → one number, as a tensor without dimensions
Metric = Callable[[Tensor], Tensor]


def heads_of(attn: CausalSelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the heads of a layer gather from its input x, (B, T, C). Given: nothing to
    write here.
    """
    cache = LayerCache()
    attn.forward(x, cache)  # not attn(x, cache): hooks on attn are left alone
    q = (
        attn.c_attn(x)
        .chunk(3, dim=-1)[0]
        .unflatten(-1, (cache.k.size(1), -1))
        .transpose(1, 2)
    )
    return manual_attention(q, cache.k, cache.v, return_weights=True)


def fit_linear(
    x: Tensor, y: Tensor, classes: int, ridge: float = 1e-2
) -> Callable[[Tensor], Tensor]:
    """Fit a linear classifier to features x, (N, C), and ids y, (N,). Given: nothing to
    write here.
    """

    def with_one(x: Tensor) -> Tensor:
        return torch.cat(
            [x.double(), torch.ones(len(x), 1, dtype=torch.float64)], dim=1
        )

    a, targets = with_one(x), torch.nn.functional.one_hot(y, classes).double()
    solution = torch.linalg.solve(
        a.T @ a + ridge * torch.eye(a.size(1), dtype=a.dtype), a.T @ targets
    )
    return lambda x: (with_one(x) @ solution).argmax(dim=1)


def run_with_cache(
    model: nn.Module, tokens: Tensor, names: Iterable[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a model, and keep what some of its modules return on the way."""
    cache, handles = {}, []
    for name in names:

        def keep(module, args, output, name=name):
            cache[name] = output.detach()

        handles.append(model.get_submodule(name).register_forward_hook(keep))
    logits, _ = model(tokens)
    for handle in handles:
        handle.remove()
    return logits, cache


def head_outputs(attn: CausalSelfAttention, x: Tensor) -> Tensor:
    """Take a layer of attention apart: what each of its heads adds to the stream."""
    z, _ = heads_of(attn, x)
    D = z.size(-1)
    parts = [
        z[:, h] @ attn.c_proj.weight[:, h * D : (h + 1) * D].T for h in range(z.size(1))
    ]
    return torch.stack(parts, dim=1)


def logit_shares(
    parts: Sequence[Tensor], norm: nn.LayerNorm, direction: Tensor
) -> Tensor:
    """Share a logit out among the parts that the stream is a sum of."""
    std = torch.sqrt(sum(parts).var(-1, unbiased=False, keepdim=True) + norm.eps)
    shares = []
    for part in parts:
        normed = (part - part.mean(-1, keepdim=True)) / std * norm.weight
        shares.append((normed * direction).sum(-1))
    return torch.stack(shares)


def induction_score(weights: Tensor, tokens: Tensor) -> Tensor:
    """Measure how much each head attends to what came after earlier occurrences of the
    token that it is at.
    """
    sums = []
    for b in range(tokens.size(0)):
        for t in range(tokens.size(1)):
            earlier = [j for j in range(t) if tokens[b, j] == tokens[b, t]]
            if earlier:
                sums.append(sum(weights[b, :, t, j + 1] for j in earlier))
    return torch.stack(sums).mean(0)


@torch.no_grad()
def patch_heads(model: GPT, clean: Tensor, corrupt: Tensor, metric: Metric) -> Tensor:
    """Measure how much of a metric each head restores, if its z comes from
    another run.
    """
    H, D = model.config.n_head, model.config.n_embd // model.config.n_head
    kept = {}

    def keep(module, args):
        kept[module] = args[0]

    handles = [
        block.attn.c_proj.register_forward_pre_hook(keep)
        for block in model.transformer.h
    ]
    best = metric(model(clean)[0])
    for handle in handles:
        handle.remove()
    worst = metric(model(corrupt)[0])

    restored = torch.zeros(len(model.transformer.h), H)
    for layer, block in enumerate(model.transformer.h):
        for head in range(H):

            def patch(module, args):
                z = args[0].clone()
                z[..., head * D : (head + 1) * D] = kept[module][
                    ..., head * D : (head + 1) * D
                ]
                return z

            handle = block.attn.c_proj.register_forward_pre_hook(patch)
            restored[layer, head] = (metric(model(corrupt)[0]) - worst) / (best - worst)
            handle.remove()
    return restored


def probe(
    features: Tensor,
    labels: Tensor,
    types: Tensor,
    train: Tensor,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Ask features for labels by a linear classifier, and for labels that mean nothing
    as a control.
    """
    classes = int(labels.max()) + 1
    predict = fit_linear(features[train], labels[train], classes)
    accuracy = (predict(features[~train]) == labels[~train]).float().mean().item()

    label_of_type = labels[
        torch.randint(len(labels), (int(types.max()) + 1,), generator=generator)
    ]
    random_labels = label_of_type[types]
    predict = fit_linear(features[train], random_labels[train], classes)
    control = (predict(features[~train]) == random_labels[~train]).float().mean().item()
    return accuracy, control


@torch.no_grad()
def ablate_heads(
    model: GPT, tokens: Tensor, metric: Metric, how: str = "mean"
) -> Tensor:
    """Measure what a metric loses without each head."""
    H, D = model.config.n_head, model.config.n_embd // model.config.n_head
    whole = metric(model(tokens)[0])
    lost = torch.zeros(len(model.transformer.h), H)
    for layer, block in enumerate(model.transformer.h):
        for head in range(H):

            def cut(module, args):
                z = args[0].clone()
                mine = z[..., head * D : (head + 1) * D]
                mine[...] = mine.mean((0, 1)) if how == "mean" else 0
                return z

            handle = block.attn.c_proj.register_forward_pre_hook(cut)
            lost[layer, head] = whole - metric(model(tokens)[0])
            handle.remove()
    return lost


class TopKAutoencoder(nn.Module):
    """Write each row of C features as a sum of at most k of M directions."""

    def __init__(self, n_features: int, n_latents: int, k: int) -> None:
        super().__init__()
        rows = torch.randn(n_latents, n_features)
        rows = rows / rows.norm(dim=1, keepdim=True)
        self.k = k
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.encoder = nn.Parameter(rows)
        self.decoder = nn.Parameter(rows.clone())

    def encode(self, x: Tensor) -> Tensor:
        """Give the codes of x."""
        codes = torch.relu((x - self.bias) @ self.encoder.T)
        values, indices = codes.topk(self.k)
        return torch.zeros_like(codes).scatter(-1, indices, values)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the reconstruction of x, and its codes."""
        codes = self.encode(x)
        return codes @ self.decoder + self.bias, codes

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring the decoder's rows to length 1."""
        self.decoder /= self.decoder.norm(dim=1, keepdim=True)
