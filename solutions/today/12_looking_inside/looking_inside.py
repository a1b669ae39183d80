"""Looking inside a GPT: outputs of its parts, what each head writes, what it causes,
and what a probe can know.

Sizes: B rows of T tokens, C features, L layers of H heads, D = C / H, V words. The
residual stream, (B, T, C), is what every block reads and adds to. z, (B, H, T, D), is
what heads gather before `c_proj`. Models are 26's GPT in eval mode: model(tokens)[0]
are its logits, (B, T, V).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

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

    Returns z (B, H, T, D), and the attention weights (B, H, T, T).
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

    Returns a function from features, (N, C), to predicted ids, (N,). It is least
    squares to one-hot ids, with a bias.
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
    """Run a model, and keep what some of its modules return on the way.

    Args:
        model: a GPT, or another model whose call returns (logits, loss).
        tokens: (B, T).
        names: of modules, as `model.get_submodule` knows them. Each returns one tensor.
    Returns:
        (logits, cache): the logits with their graph; under each name what that module
        returned, detached.
        With names ["transformer.h.0"], cache["transformer.h.0"] is the stream (B, T, C)
        after the first block.

    Afterwards none of its hooks is left.

    Edge cases ★
        None is left when the model raises, nor when a name is unknown.
    """
    cache: dict[str, Tensor] = {}

    def keep_as(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: tuple, output: Tensor) -> None:
            cache[name] = output.detach()

        return keep

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(
                _removed(model.get_submodule(name).register_forward_hook(keep_as(name)))
            )
        logits = model(tokens)[0]
    return logits, cache


def head_outputs(attn: CausalSelfAttention, x: Tensor) -> Tensor:
    """Take a layer of attention apart: what each of its heads adds to the stream.

    Args:
        attn: 25's layer.
        x: (B, T, C), the layer's input.
    Returns:
        (B, H, T, C). Summed over heads, and with c_proj's bias, they are attn(x).

    `c_proj` gets the z of all heads side by side, so head h meets columns h·D to
    (h + 1)·D − 1 of `c_proj.weight`. The bias belongs to no head.

    Edge cases ★
        A layer without biases works too.
    """
    z, _ = heads_of(attn, x)
    columns = attn.c_proj.weight.unflatten(1, (z.size(1), -1))  # (C, H, D)
    return torch.einsum("bhtd,chd->bhtc", z, columns)


def logit_shares(
    parts: Sequence[Tensor], norm: nn.LayerNorm, direction: Tensor
) -> Tensor:
    """Share a logit out among the parts that the stream is a sum of.

    Args:
        parts: P tensors (…, C). Their sum is the input of `norm`.
        norm: the last one, `ln_f`.
        direction: (C,), or one per row, (…, C). For the logit of a word it is that row
            of `lm_head.weight`; for the logit of one word minus that of another, the
            difference of two rows.
    Returns:
        (P, …): each part less its own mean over C, divided by a standard deviation,
        times norm.weight, dotted with direction.

    - The standard deviation is that of the *sum*, one per row, as norm has it:
      √(variance + norm.eps), the variance divided by C.
    - norm.bias belongs to no part. All shares and norm.bias · direction add up to
      norm(sum) · direction.
    """
    total = sum(parts[1:], start=parts[0])
    std = (total.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    stacked = torch.stack([*parts])
    centred = stacked - stacked.mean(dim=-1, keepdim=True)
    return (centred / std * norm.weight * direction).sum(dim=-1)


def induction_score(weights: Tensor, tokens: Tensor) -> Tensor:
    """Measure how much each head attends to what came after earlier occurrences of the
    token that it is at.

    Args:
        weights: (B, H, T, T) of attention; weights[b, h, t] are those of the query
            at t.
        tokens: (B, T).
    Returns:
        (H,). From t, the weight at j + 1 is added up over all j < t with tokens[b, j] =
        tokens[b, t]. The score is the mean of these sums over all (b, t) that have such
        a j, of all rows together.

    In "a b c a", the query at 3 should look at 1, behind the earlier a. In "a a", j + 1
    is 1, the query itself: it counts.

    Edge cases ★
        If no token occurs twice in its row, all scores are 0, not NaN.
    """
    # (B, T, T): [b, t, j]
    earlier = (tokens.unsqueeze(2) == tokens.unsqueeze(1)).tril(-1)
    found = (weights[..., 1:] * earlier[:, None, :, :-1]).sum(dim=-1)  # (B, H, T)
    return found.sum(dim=(0, 2)) / earlier.any(dim=-1).sum().clamp(min=1)


def patch_heads(model: GPT, clean: Tensor, corrupt: Tensor, metric: Metric) -> Tensor:
    """Measure how much of a metric each head restores, if its z comes from another run.

    Args:
        model: a GPT in eval mode.
        clean, corrupt: (B, T) tokens.
        metric: logits (B, T, V) → one number.
    Returns:
        (L, H) without a graph: (m − m_corrupt) / (m_clean − m_corrupt). m is the metric
        of a run on corrupt in which the z of this one head, at all positions, is that
        of the run on clean.

    1 means that all is restored, 0 that nothing is; less and more are possible. Only
    one head is exchanged at a time. Afterwards none of its hooks is left.

    Edge cases ★
        None is left either when metric raises. Runs whose metrics are equal are
        an error.
    """
    with torch.no_grad():
        inputs: list[Tensor] = []
        with ExitStack() as hooks:
            for block in model.transformer.h:
                keep = block.attn.c_proj.register_forward_pre_hook(
                    lambda module, args: inputs.append(args[0])
                )
                hooks.enter_context(_removed(keep))
            best = metric(model(clean)[0])
        worst = metric(model(corrupt)[0])
        if best == worst:
            raise ValueError(
                f"the metric is {float(best):.6g} for clean and for corrupt: there is "
                "nothing to restore"
            )
        found = _one_head_at_a_time(
            model, corrupt, metric, lambda layer, z: inputs[layer]
        )
        return (found - worst) / (best - worst)


def probe(
    features: Tensor,
    labels: Tensor,
    types: Tensor,
    train: Tensor,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Ask features for labels by a linear classifier, and for labels that mean nothing
    as a control.

    Args:
        features: (N, C).
        labels: (N,) ids from 0 on.
        types: (N,) ids from 0 on: which word a row is of. Words occur in training and
            outside it.
        train: (N,) bool, the rows that a classifier is fitted to.
        generator: of the control's labels.
    Returns:
        (accuracy, control), floats: the share of rows *outside* train that is
        predicted right.

        - accuracy: `fit_linear` on the rows in train, and their labels.
        - control: each type draws one label, that of a random row of `labels`, and all
          rows of the type get it. A second classifier is fitted to these labels in
          train, and judged by these labels outside.

    Edge cases ★
        Ids of types may have gaps, with no row of a type.
    """
    drawn = torch.randint(len(labels), (int(types.max()) + 1,), generator=generator)

    def right(labels: Tensor) -> float:
        predict = fit_linear(features[train], labels[train], int(labels.max()) + 1)
        return (predict(features[~train]) == labels[~train]).double().mean().item()

    return right(labels), right(labels[drawn][types])


def ablate_heads(
    model: GPT, tokens: Tensor, metric: Metric, how: str = "mean"
) -> Tensor:
    """Measure what a metric loses without each head.

    Args:
        model: a GPT in eval mode.
        tokens: (B, T).
        metric: logits (B, T, V) → one number.
        how: what a head's z becomes, "zero" or "mean". The mean is that of its z over
            batch and positions: D numbers, the same everywhere.
    Returns:
        (L, H) without a graph: the metric of the whole model minus that without this
        one head.

    Afterwards none of its hooks is left.

    Edge cases ★
        None is left either when metric raises. Another `how` is an error that names it.
    """
    ways: dict[str, Callable[[int, Tensor], Tensor]] = {
        "zero": lambda layer, z: torch.zeros_like(z),
        "mean": lambda layer, z: z.mean(dim=(0, 1)).expand_as(z),
    }
    if how not in ways:
        raise ValueError(f"how is {how!r}, not 'zero' or 'mean'")
    with torch.no_grad():
        return metric(model(tokens)[0]) - _one_head_at_a_time(
            model, tokens, metric, ways[how]
        )


class TopKAutoencoder(nn.Module):
    """Write each row of C features as a sum of at most k of M directions.

    Args:
        n_features: C.
        n_latents: M.
        k: how many codes of a row may be above 0.
    Attributes:
        bias: (C,), zeros at the start.
        encoder, decoder: (M, C). At the start they are equal, random, with rows of
            length 1; two parameters.

    - `encode(x)`: (…, C) → codes (…, M), relu((x − bias) encoderᵀ), of which all but
      the k largest of each row are 0.
    - `forward(x)`: (reconstruction, codes), where the reconstruction (…, C) is
      codes decoder + bias.
    - `normalise()`: brings the decoder's rows to length 1, in place: an optimizer goes
      on with the same Parameter.

    Edge cases ★
        With k ≥ M all codes stay. Of equal codes no more than k are kept.
    """

    def __init__(self, n_features: int, n_latents: int, k: int) -> None:
        super().__init__()
        rows = nn.functional.normalize(torch.randn(n_latents, n_features), dim=1)
        self.k = k
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.encoder = nn.Parameter(rows)
        self.decoder = nn.Parameter(rows.clone())

    def encode(self, x: Tensor) -> Tensor:
        """Give the codes of x."""
        codes = ((x - self.bias) @ self.encoder.T).relu()
        largest = codes.topk(min(self.k, codes.size(-1)), dim=-1)
        return torch.zeros_like(codes).scatter(-1, largest.indices, largest.values)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the reconstruction of x, and its codes."""
        codes = self.encode(x)
        return codes @ self.decoder + self.bias, codes

    def normalise(self) -> None:
        """Bring the decoder's rows to length 1."""
        with torch.no_grad():
            self.decoder.copy_(nn.functional.normalize(self.decoder, dim=1))


@contextmanager
def _removed(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Remove a hook at the end, whatever happens until then."""
    try:
        yield
    finally:
        handle.remove()


def _one_head_at_a_time(
    model: GPT, tokens: Tensor, metric: Metric, instead: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """The metric of runs in which one head's part of c_proj's input is taken from
    instead(layer, input).
    """
    heads, found = model.config.n_head, []
    for layer, block in enumerate(model.transformer.h):
        for head in range(heads):

            def exchange(
                module: nn.Module, args: tuple, layer: int = layer, head: int = head
            ) -> Tensor:
                z, other = (
                    whole.chunk(heads, dim=-1)
                    for whole in (args[0], instead(layer, args[0]))
                )
                return torch.cat([*z[:head], other[head], *z[head + 1 :]], dim=-1)

            with _removed(block.attn.c_proj.register_forward_pre_hook(exchange)):
                found.append(metric(model(tokens)[0]))
    return torch.stack(found).view(-1, heads)
