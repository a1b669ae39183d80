"""Specs of today/12: outputs of modules, a layer as a sum of heads, shares of a logit,
induction, patches, a probe and its control, ablation, and a sparse autoencoder. They
compare with a GPT written out in float64, and train nothing.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from grader.specs import check

B, T, V = 5, 7, 11  # rows, tokens, words
SIZES = {"n_layer": 2, "n_head": 3, "n_embd": 12}


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def a_model(kata, **changes):
    """A GPT in float64 with large random weights, in eval mode, and these weights
    by name.
    """
    sizes = {"block_size": 9, "vocab_size": V, "dropout": 0.3} | SIZES | changes
    model = kata.GPT(kata.GPTConfig(**sizes)).double().eval()
    weights = {
        name: 0.4 * drawn(*parameter.shape)
        for name, parameter in sorted(model.named_parameters())
    }
    for name in weights:
        if ".ln_" in name and name.endswith("weight"):
            weights[name] = weights[name] + 1
    # lm_head.weight is wte.weight under another name
    model.load_state_dict(weights, strict=False)
    return model, weights


def some_tokens(rows=B):
    return torch.randint(V, (rows, T))


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def normed(w, name, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[
        f"{name}.weight"
    ] + w.get(f"{name}.bias", 0)


def attended(w, name, x, heads):
    """What the heads of a layer gather from x: z (B, H, T, D)."""
    q, k, v = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in linear(w, f"{name}.c_attn", x).chunk(3, -1)
    )
    later = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
    return (q @ k.mT / math.sqrt(q.size(-1))).masked_fill(later, -math.inf).softmax(
        -1
    ) @ v


def written_out(w, tokens, exchange=None, layers=2, heads=3):
    """26's GPT: its logits, and by name what goes into modules and comes out.
    `exchange(layer, z)` may change z.
    """
    seen = {}
    x = (
        w["transformer.wte.weight"][tokens]
        + w["transformer.wpe.weight"][: tokens.size(1)]
    )
    for layer in range(layers):
        block = f"transformer.h.{layer}"
        seen[f"into {block}"] = x
        y = seen[f"into {block}.attn"] = normed(w, f"{block}.ln_1", x)
        z = seen[f"z of {layer}"] = attended(w, f"{block}.attn", y, heads)
        z = z if exchange is None else exchange(layer, z)
        seen[f"{block}.attn"] = linear(
            w, f"{block}.attn.c_proj", z.transpose(1, 2).flatten(2)
        )
        x = x + seen[f"{block}.attn"]
        seen[f"{block}.mlp.c_fc"] = linear(
            w, f"{block}.mlp.c_fc", normed(w, f"{block}.ln_2", x)
        )
        hidden = F.gelu(seen[f"{block}.mlp.c_fc"], approximate="tanh")
        x = seen[block] = x + linear(w, f"{block}.mlp.c_proj", hidden)
    seen["into transformer.ln_f"] = x
    x = seen["transformer.ln_f"] = normed(w, "transformer.ln_f", x)
    seen["lm_head"] = x @ w["transformer.wte.weight"].T
    return seen["lm_head"], seen


def hooks_on(model):
    """How many hooks there are on all modules of the model."""
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )


class TestRunWithCache:
    def test_what_each_module_returns(self, kata):
        """Three modules of two layers: a block, a layer of attention, the last norm.
        Under each name is what that module returned. A hook made in a loop sees the
        loop's variables as they are when it runs, not when it was made: then all
        entries are under the last name.
        """
        names = ["transformer.h.0", "transformer.h.1.attn", "transformer.ln_f"]
        model, w = a_model(kata)
        tokens = some_tokens()
        logits, seen = written_out(w, tokens)
        got, cache = kata.run_with_cache(model, tokens, names)
        check.close(got, logits, what="logits")
        check.that(
            set(cache) != {names[-1]},
            f"the cache has the key {names[-1]!r} alone",
            like="hooks that all use the last name of the loop",
        )
        wrong = {
            "the last module's output under every name": dict.fromkeys(
                names, seen["transformer.ln_f"]
            ),
            "what goes into the modules, not what comes out": {
                name: seen[f"into {name}"] for name in names
            },
        }
        check.close(
            cache, {name: seen[name] for name in names}, unlike=wrong, what="cache"
        )

    def test_any_module(self, kata):
        """Modules inside modules have names, too, and not all outputs have
        C features.
        """
        names = [
            "lm_head",
            "transformer.h.1.mlp.c_fc",
            "transformer.h.1",
            "transformer.h.0.attn",
        ]
        model, w = a_model(kata, bias=False)
        tokens = some_tokens(rows=2)
        _, seen = written_out(w, tokens)
        _, cache = kata.run_with_cache(model, tokens, names)
        check.close(cache, {name: seen[name] for name in names}, what="cache")

    def test_entries_have_no_graph_and_logits_do(self, kata):
        """What is kept is looked at, not trained: with its graph, each entry would keep
        the whole run in memory. The logits may still be part of a loss.
        """
        model, _ = a_model(kata)
        logits, cache = kata.run_with_cache(model, some_tokens(), ["transformer.h.0"])
        check.that(
            logits.requires_grad,
            "the logits have no graph",
            like="torch.no_grad() around the whole run",
        )
        check.that(
            not cache["transformer.h.0"].requires_grad,
            "an entry of the cache has a graph: it requires a gradient",
            like="kept without detach()",
        )

    def test_no_hook_is_left(self, kata):
        """A hook that stays runs in each later call, and overwrites what was kept."""
        model, w = a_model(kata)
        first, second = some_tokens(), some_tokens()
        _, cache = kata.run_with_cache(
            model, first, ["transformer.h.0", "transformer.h.1"]
        )
        left = hooks_on(model)
        check.that(
            left == 0,
            f"{left} hooks are left on the model",
            like="handles without remove()",
        )
        model(second)
        _, seen = written_out(w, first)
        check.close(
            cache["transformer.h.1"],
            seen["transformer.h.1"],
            what="an entry after another run of the model",
        )

    @pytest.mark.edge
    def test_no_hook_is_left_after_an_error(self, kata):
        """The model has no word 11, and no ninth block. Who catches the error goes on
        with a model without hooks.
        """
        model, _ = a_model(kata)
        with check.raises(IndexError):
            kata.run_with_cache(
                model, torch.full((2, 3), V), ["transformer.h.0", "lm_head"]
            )
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left after an error of the model",
        )
        with check.raises(AttributeError):
            kata.run_with_cache(
                model, some_tokens(), ["transformer.h.0", "transformer.h.9"]
            )
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left after an unknown name",
        )


def a_layer(kata, heads=3, features=12, bias=True):
    """25's layer in float64 with large random weights, in eval mode, and these weights
    by name.
    """
    config = kata.GPTConfig(
        block_size=9, n_head=heads, n_embd=features, dropout=0.3, bias=bias
    )
    layer = kata.CausalSelfAttention(config).double().eval()
    weights = {
        name: 0.5 * drawn(*parameter.shape)
        for name, parameter in sorted(layer.named_parameters())
    }
    layer.load_state_dict(weights)
    return layer, {f"attn.{name}": value for name, value in weights.items()}


def heads_apart(w, x, heads):
    """What each head adds, in a loop over heads: z times the head's columns
    of c_proj.
    """
    z = attended(w, "attn", x, heads)
    columns = w["attn.c_proj.weight"].split(z.size(-1), dim=1)
    return torch.stack([z[:, h] @ columns[h].T for h in range(heads)], dim=1)


class TestHeadOutputs:
    def test_each_head_has_its_columns(self, kata):
        """c_proj multiplies all heads' features, side by side, with its weight (C, C).
        The features of head h meet columns h·D to (h + 1)·D − 1, and no others.
        """
        layer, w = a_layer(kata)
        x = drawn(B, T, 12)
        z, weight, bias = (
            attended(w, "attn", x, 3),
            w["attn.c_proj.weight"],
            w["attn.c_proj.bias"],
        )
        expected = heads_apart(w, x, 3)
        got = kata.head_outputs(layer, x)
        check.shape(got, (B, 3, T, 12))
        wrong = {
            "rows of c_proj.weight, not columns": torch.stack(
                [z[:, h] @ weight[4 * h : 4 * h + 4] for h in range(3)], dim=1
            ),
            "the bias in every head": expected + bias,
            "the bias shared out among the heads": expected + bias / 3,
            "every third column for a head, not four neighbours": torch.stack(
                [z[:, h] @ weight[:, h::3].T for h in range(3)], dim=1
            ),
        }
        check.close(got, expected, unlike=wrong)

    @pytest.mark.parametrize(
        "heads", [1, 2, 5], ids=["one head", "two heads", "five heads"]
    )
    def test_the_sum_is_the_layer(self, kata, heads):
        """Nothing is lost, and nothing is counted twice: all heads and c_proj's bias,
        once, are the layer's output.
        """
        layer, w = a_layer(kata, heads, 3 * heads)
        x = drawn(B, T, 3 * heads)
        bias = w["attn.c_proj.bias"]
        expected = (
            linear(
                w,
                "attn.c_proj",
                attended(w, "attn", x, heads).transpose(1, 2).flatten(2),
            )
            - bias
        )
        got = kata.head_outputs(layer, x)
        check.shape(got, (B, heads, T, 3 * heads))
        wrong = {
            "the bias in every head": expected + heads * bias,
            "the bias in one head": expected + bias,
        }
        if heads == 1:
            del wrong["the bias in one head"]
        check.close(got.sum(1), expected, unlike=wrong, what="the sum over heads")

    @pytest.mark.edge
    def test_a_layer_without_biases(self, kata):
        """With bias=False, c_proj.bias is None."""
        layer, w = a_layer(kata, 2, 6, bias=False)
        x = drawn(B, T, 6)
        check.close(kata.head_outputs(layer, x), heads_apart(w, x, 2))


def a_norm(features=12, eps=0.3):
    """A layer norm with random weight and bias, and an eps that shows."""
    norm = nn.LayerNorm(features, eps=eps, dtype=torch.float64)
    norm.load_state_dict({"weight": 1 + 0.5 * drawn(features), "bias": drawn(features)})
    return norm.requires_grad_(False)


def stds(x, eps, divisor=0):
    """The standard deviation of each row, with the variance divided by C − divisor."""
    return (
        (x - x.mean(-1, keepdim=True)).square().sum(-1) / (x.size(-1) - divisor) + eps
    ).sqrt()


def shares_by_hand(parts, norm, direction, std=None):
    """The mean is taken off the direction, which gives the same as taking it off
    each part.
    """
    scaled = norm.weight * direction
    scaled = scaled - scaled.mean(-1, keepdim=True)
    std = stds(sum(parts), norm.eps) if std is None else std
    return torch.stack([(part * scaled).sum(-1) / std for part in parts])


class TestLogitShares:
    def test_a_share_per_part(self, kata):
        """Four parts of a stream. The norm divides their sum by one number per row, so
        each part is divided by that number, too. A part's own deviation would make
        small parts as large as large ones.
        """
        parts = [
            size * drawn(B, T, 12) + size * mean
            for size, mean in ((1, 2), (0.2, -1), (2, 0.5), (0.5, 3))
        ]
        norm, direction = a_norm(), drawn(12)
        total = sum(parts)
        expected = shares_by_hand(parts, norm, direction)
        plain = nn.LayerNorm(12, eps=0.3, dtype=torch.float64)
        own = [shares_by_hand([part], norm, direction)[0] for part in parts]
        wrong = {
            "each part divided by its own standard deviation": torch.stack(own),
            "the means of the parts left in": torch.stack(
                [
                    (part * norm.weight * direction).sum(-1) / stds(total, 0.3)
                    for part in parts
                ]
            ),
            "the sum's mean taken from each part": torch.stack(
                [
                    ((part - total.mean(-1, True)) * norm.weight * direction).sum(-1)
                    / stds(total, 0.3)
                    for part in parts
                ]
            ),
            "a variance divided by C − 1": shares_by_hand(
                parts, norm, direction, stds(total, 0.3, 1)
            ),
            "norm.bias in each share": expected + norm.bias @ direction,
            "without norm.eps": shares_by_hand(parts, norm, direction, stds(total, 0)),
            "norm.eps added after the root": shares_by_hand(
                parts, norm, direction, stds(total, 0) + 0.3
            ),
            "the sum's mean left in its variance": shares_by_hand(
                parts, norm, direction, (total.square().mean(-1) + 0.3).sqrt()
            ),
            "without norm.weight": shares_by_hand(parts, plain, direction),
            "not divided by a standard deviation": shares_by_hand(
                parts, norm, direction, 1
            ),
            "one standard deviation for all rows": shares_by_hand(
                parts, norm, direction, (total.var(unbiased=False) + 0.3).sqrt()
            ),
        }
        got = kata.logit_shares(parts, norm, direction)
        check.shape(got, (4, B, T))
        check.close(got, expected, unlike=wrong)

    def test_shares_and_the_bias_add_up(self, kata):
        """What the norm makes of the sum, dotted with the direction, is all shares and
        the bias's part, once.
        """
        parts = [drawn(B, 10) for _ in range(6)]
        norm, direction = a_norm(10), drawn(10)
        bias = norm.bias @ direction
        expected = (
            F.layer_norm(sum(parts), (10,), norm.weight, norm.bias, norm.eps)
            @ direction
            - bias
        )
        got = kata.logit_shares(parts, norm, direction).sum(0)
        wrong = {
            "norm.bias in each share": expected + 6 * bias,
            "norm.bias shared out": expected + bias,
        }
        check.close(got, expected, unlike=wrong, what="the sum of all shares")

    def test_a_direction_per_row(self, kata):
        """Each row may ask for a word of its own. One part alone is the
        whole stream.
        """
        parts, norm, direction = (
            [drawn(B, T, 12) for _ in range(3)],
            a_norm(),
            drawn(B, T, 12),
        )
        first = {
            "the first row's direction for all": shares_by_hand(
                parts, norm, direction[:1, :1]
            )
        }
        got = kata.logit_shares(parts, norm, direction)
        check.close(got, shares_by_hand(parts, norm, direction), unlike=first)
        got = kata.logit_shares(parts[:1], norm, direction)
        check.close(
            got,
            shares_by_hand(parts[:1], norm, direction),
            what="the share of the only part",
        )


def causal_weights(rows, heads, tokens):
    """Random weights of attention; each row sums to 1, and nobody looks ahead."""
    later = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    return drawn(rows, heads, tokens, tokens).masked_fill(later, -math.inf).softmax(-1)


def score_by_hand(weights, tokens, place=1, take=sum, everywhere=False):
    """The mean over all (b, t) of what is found `place` after the earlier occurrences,
    in loops.
    """
    found = []
    for b, row in enumerate(tokens.tolist()):
        for t, token in enumerate(row):
            earlier = [
                weights[b, :, t, j + place]
                for j in range(t)
                if row[j] == token and j + place >= 0
            ]
            if earlier or everywhere:
                found.append(
                    take(earlier)
                    if earlier
                    else torch.zeros(weights.size(1), dtype=weights.dtype)
                )
    return sum(found) / max(len(found), 1)


def mean_of(found):
    return sum(found) / len(found)


@st.composite
def texts_and_weights(draw):
    """Tokens with few words, so that some occur again, and weights of one to
    three heads.
    """
    tokens = draw(
        st.lists(
            st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=3
        )
    )
    torch.manual_seed(draw(st.integers(0, 999)))
    return torch.tensor(tokens), causal_weights(len(tokens), draw(st.integers(1, 3)), 6)


class TestInductionScore:
    def test_behind_the_earlier_one(self, kata):
        """In "a b c a" the last token has occurred before, at 0. What came after it
        then is at 1, so the weight that the query at 3 gives to 1 is the score.
        """
        tokens = torch.tensor([[6, 2, 9, 6]])
        weights = causal_weights(1, 3, 4)
        wrong = {
            "the weight on the earlier occurrence itself": weights[0, :, 3, 0],
            "the mean over all queries, also those without an earlier occurrence": (
                weights[0, :, 3, 1] / 4
            ),
        }
        check.close(
            kata.induction_score(weights, tokens), weights[0, :, 3, 1], unlike=wrong
        )

    def test_all_rows_and_occurrences(self, kata):
        """In the first row 3 occurs three times, so its last query has two earlier
        ones: their weights are added up. The second row has "5 5", where the place
        behind the earlier 5 is the query itself. The mean is over the four queries of
        both rows together.
        """
        tokens = torch.tensor(
            [[3, 1, 3, 0, 1, 3], [5, 5, 0, 4, 1, 2], [1, 2, 3, 4, 5, 0]]
        )
        weights = causal_weights(3, 4, 6)
        rows = [score_by_hand(weights[b : b + 1], tokens[b : b + 1]) for b in range(2)]
        not_itself = score_by_hand(weights.tril(-1), tokens)
        expected = score_by_hand(weights, tokens)
        wrong = {
            "the weight on the earlier occurrence itself": score_by_hand(
                weights, tokens, 0
            ),
            "the weight one place before the earlier occurrence": score_by_hand(
                weights, tokens, -1
            ),
            "the mean over all queries, also those without an earlier occurrence": (
                score_by_hand(weights, tokens, everywhere=True)
            ),
            "the mean of each row, then the mean of the rows": (rows[0] + rows[1]) / 2,
            "the mean over earlier occurrences, not their sum": score_by_hand(
                weights, tokens, take=mean_of
            ),
            "only the last of several occurrences": score_by_hand(
                weights, tokens, take=lambda found: found[-1]
            ),
            "only the first of several occurrences": score_by_hand(
                weights, tokens, take=lambda found: found[0]
            ),
            "the query itself left out": not_itself,
            "divided by the number of earlier occurrences, not of queries": expected
            * 4
            / 5,
            "divided by the number of rows, not of queries": expected * 4 / 3,
            "rows not told apart: the first row's tokens for all": score_by_hand(
                weights, tokens[:1].expand(3, -1)
            ),
        }
        got = kata.induction_score(weights, tokens)
        check.shape(got, (4,))
        check.close(got, expected, unlike=wrong)

    @given(case=texts_and_weights())
    def test_by_loops(self, kata, case):
        """Any text in which something occurs twice."""
        tokens, weights = case
        if any(len(set(row)) < 6 for row in tokens.tolist()):
            check.close(
                kata.induction_score(weights, tokens), score_by_hand(weights, tokens)
            )

    @pytest.mark.edge
    def test_nothing_occurs_twice(self, kata):
        """There is no query to take a mean over. The score is 0, not NaN."""
        tokens = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
        check.close(
            kata.induction_score(causal_weights(2, 3, 4), tokens),
            torch.zeros(3, dtype=torch.float64),
        )


def a_metric(rows=B):
    """A metric that looks at all positions and words: their sum, with
    random weights.
    """
    coefficients = drawn(rows, T, V)
    return lambda logits: (logits * coefficients).sum()


def fails_in(call):
    """A metric that fails in this call; others give different numbers."""
    calls = itertools.count(1)

    def metric(logits):
        if (number := next(calls)) == call:
            raise ValueError("the metric failed")
        return logits[0, number % T, 3]

    return metric


def one_head(layer, head, new):
    """An exchange for `written_out`: this head's z becomes new(layer, head, z
    of it).
    """

    def exchange(at, z):
        if at != layer:
            return z
        return torch.stack(
            [new(at, h, z[:, h]) if h == head else z[:, h] for h in range(z.size(1))],
            dim=1,
        )

    return exchange


def in_each(w, tokens, metric, new, layers=2, heads=3):
    """(L, H): the metric of runs in which one head's z is exchanged."""
    return torch.stack(
        [
            torch.stack(
                [
                    metric(
                        written_out(
                            w, tokens, one_head(layer, head, new), layers, heads
                        )[0]
                    )
                    for head in range(heads)
                ]
            )
            for layer in range(layers)
        ]
    )


def piled_up(w, tokens, metric, new, layers=2, heads=3):
    """(L, H): as `in_each`, but what was exchanged stays exchanged for the heads
    after it.
    """
    found = []
    for last in range(layers * heads):

        def exchange(at, z, last=last):
            parts = [
                new(at, h, z[:, h]) if at * heads + h <= last else z[:, h]
                for h in range(heads)
            ]
            return torch.stack(parts, dim=1)

        found.append(metric(written_out(w, tokens, exchange, layers, heads)[0]))
    return torch.stack(found).view(layers, heads)


def layers_at_once(w, tokens, metric, new, layers=2, heads=3):
    """(L, H): as `in_each`, but all heads of the layer are exchanged."""

    def whole(layer):
        def exchange(at, z):
            return (
                torch.stack([new(at, h, z[:, h]) for h in range(heads)], dim=1)
                if at == layer
                else z
            )

        return exchange

    found = [
        metric(written_out(w, tokens, whole(layer), layers, heads)[0])
        for layer in range(layers)
    ]
    return torch.stack(found).unsqueeze(1).expand(-1, heads)


class TestPatchHeads:
    @pytest.mark.parametrize(
        "layers, heads", [(2, 3), (1, 4)], ids=["two layers", "one layer"]
    )
    def test_one_head_from_the_clean_run(self, kata, layers, heads):
        """The run is on corrupt, and one head's z, at all positions, comes from the run
        on clean. What comes after it is computed anew. Then the next head's turn comes,
        and all others are corrupt's own again.
        """
        model, w = a_model(kata, n_layer=layers, n_head=heads)
        clean, corrupt, total = some_tokens(), some_tokens(), a_metric()
        clean_logits, of_clean = written_out(w, clean, None, layers, heads)
        corrupt_logits, of_corrupt = written_out(w, corrupt, None, layers, heads)
        between = 0.4 * total(clean_logits) + 0.6 * total(corrupt_logits)

        def metric(logits):
            """Above 0 for one of the runs, below 0 for the other."""
            return total(logits) - between

        best, worst = metric(clean_logits), metric(corrupt_logits)

        def from_clean(layer, head, z):
            return of_clean[f"z of {layer}"][:, head]

        def from_corrupt(layer, head, z):
            return of_corrupt[f"z of {layer}"][:, head]

        def last_position(layer, head, z):
            return torch.cat([z[:, :-1], from_clean(layer, head, z)[:, -1:]], dim=1)

        sizes = layers, heads
        runs = in_each(w, corrupt, metric, from_clean, *sizes)
        into_clean = in_each(w, clean, metric, from_corrupt, *sizes)
        wrong = {
            "corrupt's z patched into the run on clean": (into_clean - worst)
            / (best - worst),
            "what the clean run loses by corrupt's z": (best - into_clean)
            / (best - worst),
            "1 − share: what is missing, not what is restored": (best - runs)
            / (best - worst),
            "the metric's change, not divided": runs - worst,
            "divided by m_clean, not by the difference": (runs - worst) / best,
            "the whole layer patched at once": (
                layers_at_once(w, corrupt, metric, from_clean, *sizes) - worst
            )
            / (best - worst),
            "patches of earlier heads still there: they pile up": (
                piled_up(w, corrupt, metric, from_clean, *sizes) - worst
            )
            / (best - worst),
            "patched at the last position alone": (
                in_each(w, corrupt, metric, last_position, *sizes) - worst
            )
            / (best - worst),
            "each head patched with its own z: was the clean run's overwritten?": (
                torch.zeros(layers, heads)
            ),
        }
        got = kata.patch_heads(model, clean, corrupt, metric)
        check.shape(got, (layers, heads))
        check.close(
            got, (runs - worst) / (best - worst), rtol=1e-3, atol=1e-4, unlike=wrong
        )

    def test_a_head_that_carries_all(self, kata):
        """Here all but one head write zeros, and so do the MLPs. The texts differ in
        their first token, and the metric reads the last position. Whatever it sees of
        the difference came through that head: patched, it restores all.
        """
        model, w = a_model(kata)
        for name in w:
            if "c_proj" in name:
                w[name] = torch.zeros_like(w[name])
        weight = "transformer.h.1.attn.c_proj.weight"
        w[weight][:, 4:8] = 0.4 * drawn(12, 4)
        model.load_state_dict(w, strict=False)
        clean = some_tokens()
        corrupt = torch.cat([(clean[:, :1] + 1) % V, clean[:, 1:]], dim=1)
        expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        wrong = {
            "the whole layer patched at once": torch.tensor([[0.0] * 3, [1.0] * 3]),
            "patches of earlier heads still there: they pile up": torch.tensor(
                [[0.0] * 3, [0.0, 1.0, 1.0]]
            ),
            "clean and corrupt exchanged, or 1 − share": 1 - expected,
            "heads and layers exchanged": expected.T,
        }
        got = kata.patch_heads(
            model,
            clean,
            corrupt,
            lambda logits: logits[:, -1, 3].sum() - logits[:, -1, 8].sum(),
        )
        check.close(got, expected, atol=1e-5, unlike=wrong)

    def test_no_hook_and_no_graph_is_left(self, kata):
        """Afterwards the model is as it was, and the result is numbers: nobody trains
        by it.
        """
        model, w = a_model(kata)
        clean, corrupt = some_tokens(), some_tokens()
        got = kata.patch_heads(model, clean, corrupt, a_metric())
        check.that(
            not got.requires_grad,
            "the result has a graph",
            like="no torch.no_grad() around the runs",
        )
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left",
            like="handles without remove()",
        )
        check.close(
            model(clean)[0],
            written_out(w, clean)[0],
            what="the logits of the model afterwards",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("call", [1, 2, 5])
    def test_no_hook_is_left_after_an_error(self, kata, call):
        """The metric fails in its first, second or fifth call."""
        model, _ = a_model(kata)
        with check.raises(ValueError):
            kata.patch_heads(model, some_tokens(), some_tokens(), fails_in(call))
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left after an error in call {call} of metric",
        )

    @pytest.mark.edge
    def test_nothing_to_restore(self, kata):
        """Two equal runs have no difference to divide by."""
        model, _ = a_model(kata)
        tokens = some_tokens()
        with check.raises(ValueError, like="0 / 0, which is NaN"):
            kata.patch_heads(model, tokens, tokens.clone(), a_metric())
        check.that(hooks_on(model) == 0, f"{hooks_on(model)} hooks are left")


def accuracy_by_hand(features, labels, train, judged=None):
    """Least squares to one-hot labels, by an augmented system: the share of rows that
    is predicted right.
    """
    x = torch.cat(
        [features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1
    )
    padded = torch.cat([x[train], 0.1 * torch.eye(x.size(1), dtype=torch.float64)])
    targets = F.one_hot(labels[train], int(labels.max()) + 1).double()
    targets = torch.cat(
        [targets, torch.zeros(x.size(1), targets.size(1), dtype=torch.float64)]
    )
    right = (x @ torch.linalg.lstsq(padded, targets).solution).argmax(1) == labels
    return right[~train if judged is None else judged].double().mean().item()


def words(rows=600, types=30, classes=4):
    """Random types and labels, and a mask of training rows: three of five."""
    return (
        torch.randint(types, (rows,)),
        torch.randint(classes, (rows,)),
        torch.rand(rows) < 0.6,
    )


class TestProbe:
    def test_accuracy_on_rows_outside_training(self, kata):
        """Features that know a little of the labels. The classifier has seen the rows
        in train: what it gets right there says nothing.
        """
        types, labels, train = words(rows=200, classes=5)
        features = F.one_hot(labels, 5) + torch.randn(200, 5)
        features = torch.cat([features, torch.randn(200, 30)], dim=1)
        everything = torch.ones(200, dtype=torch.bool)
        wrong = {
            "judged on the rows in train": accuracy_by_hand(
                features, labels, train, train
            ),
            "judged on all rows": accuracy_by_hand(features, labels, train, everything),
            "fitted outside train, judged in it": accuracy_by_hand(
                features, labels, ~train
            ),
            "fitted to all rows": accuracy_by_hand(
                features, labels, everything, ~train
            ),
        }
        got = kata.probe(features, labels, types, train)
        check.that(
            isinstance(got, tuple) and len(got) == 2,
            f"expected (accuracy, control), got {check.describe(got)}",
        )
        check.close(
            got[0],
            accuracy_by_hand(features, labels, train),
            unlike=wrong,
            what="accuracy",
        )

    def test_the_control_is_about_types(self, kata):
        """Features that tell each word, and labels that are noise. The labels cannot be
        found. The control's can: each word has one label there, in training and
        outside, and a probe that knows words has learnt it by heart.
        """
        types, labels, train = words()
        accuracy, control = kata.probe(
            F.one_hot(types, 30).float(), labels, types, train
        )
        check.that(
            accuracy < 0.45,
            f"accuracy is {accuracy:.2f} for labels that are noise, expected about "
            "0.25",
        )
        check.that(
            control > 0.98,
            f"control is {control:.2f}, expected 1: the features tell all words",
            like=(
                "a random label per row, not per type, or judged by other labels than "
                "it was fitted to"
            ),
        )

    def test_labels_without_words(self, kata):
        """Features that are the labels, nearly. Accuracy is 1. The control's labels
        have nothing to do with them.
        """
        types, labels, train = words()
        accuracy, control = kata.probe(
            F.one_hot(labels, 4) + 0.1 * torch.randn(600, 4), labels, types, train
        )
        check.that(
            accuracy > 0.98,
            f"accuracy is {accuracy:.2f}, expected 1: the features are the labels",
        )
        check.that(
            control < 0.6,
            f"control is {control:.2f}: it predicts the labels themselves, expected "
            "below 0.6",
        )

    def test_features_that_know_nothing(self, kata):
        """With 300 random features for 360 rows in train, a classifier gets nearly all
        of them right, and outside no more than guesses do.
        """
        types, labels, train = words()
        accuracy, control = kata.probe(torch.randn(600, 300), labels, types, train)
        for name, found in (("accuracy", accuracy), ("control", control)):
            check.that(
                found < 0.5,
                f"{name} is {found:.2f} for random features",
                like="judged on rows that it was fitted to",
            )

    def test_control_labels_are_as_frequent_as_labels(self, kata):
        """Nine of ten labels are 2. Always saying 2 is right nine times of ten, also
        for the control. Labels drawn evenly from all classes would make the control
        look worse than the labels for no reason.
        """
        types = torch.randint(400, (1200,))
        labels = torch.where(torch.rand(1200) < 0.9, 2, torch.randint(4, (1200,)))
        _, control = kata.probe(
            torch.randn(1200, 3), labels, types, torch.rand(1200) < 0.5
        )
        check.that(
            control > 0.7,
            f"control is {control:.2f}, expected about 0.9",
            like="labels drawn evenly from the classes, not from the rows of `labels`",
        )

    def test_the_generator_draws_the_control(self, kata):
        """Two generators with one seed give the same control, and others
        another one.
        """
        types, labels, train = words(rows=150, types=12)
        features = torch.randn(150, 8)
        found = [
            kata.probe(
                features, labels, types, train, torch.Generator().manual_seed(seed)
            )[1]
            for seed in (7, 7, 1, 2, 3, 4)
        ]
        check.close(
            found[1], found[0], what="control of a second generator with the same seed"
        )
        check.that(
            len(set(found)) > 1,
            "the control is the same for five seeds: is it drawn at all?",
        )

    @pytest.mark.edge
    def test_types_with_gaps(self, kata):
        """Words 3, 50 and 1000 occur, and none between them."""
        types = torch.tensor([3, 50, 1000])[torch.randint(3, (90,))]
        labels, train = torch.randint(4, (90,)), torch.rand(90) < 0.6
        features = (types.unsqueeze(1) == torch.tensor([3, 50, 1000])).float()
        _, control = kata.probe(features, labels, types, train)
        check.that(
            control > 0.98,
            f"control is {control:.2f}, expected 1: the features tell all words",
        )


@pytest.mark.stretch
class TestAblateHeads:
    def test_without_each_head(self, kata):
        """The whole model's metric minus the one without the head's z: 0 if the head
        does nothing. The mean is taken over rows and positions, so that no position
        knows what it said before.
        """
        model, w = a_model(kata)
        tokens, metric = some_tokens(), a_metric()
        logits, seen = written_out(w, tokens)
        whole = metric(logits)

        def zero(layer, head, z):
            return torch.zeros_like(z)

        def mean(layer, head, z):
            return z.mean((0, 1)).expand_as(z)

        def per_position(layer, head, z):
            return z.mean(0).expand_as(z)

        def per_row(layer, head, z):
            return z.mean(1, keepdim=True).expand_as(z)

        def one_number(layer, head, z):
            return z.mean().expand_as(z)

        expected = {
            name: whole - in_each(w, tokens, metric, new)
            for name, new in (("zero", zero), ("mean", mean))
        }
        general = {
            "without minus whole, not whole minus without": {
                name: -found for name, found in expected.items()
            },
            "all heads of the layer at once": {
                name: whole - layers_at_once(w, tokens, metric, new)
                for name, new in (("zero", zero), ("mean", mean))
            },
            "heads cut before are still cut: they pile up": {
                name: whole - piled_up(w, tokens, metric, new)
                for name, new in (("zero", zero), ("mean", mean))
            },
            "the metric without the head, and not what is lost": {
                name: whole - found for name, found in expected.items()
            },
        }
        of_mean = {
            "zeros, whatever `how` says": expected["zero"],
            "the mean over rows alone, one for each position": whole
            - in_each(w, tokens, metric, per_position),
            "the mean over positions alone, one for each row": whole
            - in_each(w, tokens, metric, per_row),
            "one mean for all features of the head": whole
            - in_each(w, tokens, metric, one_number),
            "nothing is exchanged": torch.zeros(2, 3),
        }
        of_zero = {"the mean, whatever `how` says": expected["mean"]}
        for name, own in (("zero", of_zero), ("mean", of_mean)):
            got = kata.ablate_heads(model, tokens, metric, name)
            check.shape(got, (2, 3))
            wrong = own | {slip: found[name] for slip, found in general.items()}
            check.close(
                got,
                expected[name],
                rtol=1e-3,
                atol=1e-3,
                unlike=wrong,
                what=f"{name} ablation",
            )

    def test_the_mean_is_the_default(self, kata):
        """Three layers of two heads, one row: what is asked for without `how`."""
        model, w = a_model(kata, n_layer=3, n_head=2)
        tokens, metric = some_tokens(1), a_metric(1)
        whole = metric(written_out(w, tokens, None, 3, 2)[0])
        expected, zero = (
            whole - in_each(w, tokens, metric, new, 3, 2)
            for new in (
                lambda layer, head, z: z.mean((0, 1)).expand_as(z),
                lambda layer, head, z: torch.zeros_like(z),
            )
        )
        got = kata.ablate_heads(model, tokens, metric)
        check.close(
            got, expected, rtol=1e-3, atol=1e-3, unlike={"zeros by default": zero}
        )

    def test_no_hook_and_no_graph_is_left(self, kata):
        """Afterwards the model is as it was, and the result is numbers."""
        model, w = a_model(kata)
        tokens = some_tokens()
        got = kata.ablate_heads(model, tokens, a_metric())
        check.that(
            not got.requires_grad,
            "the result has a graph",
            like="no torch.no_grad() around the runs",
        )
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left",
            like="handles without remove()",
        )
        check.close(
            model(tokens)[0],
            written_out(w, tokens)[0],
            what="the logits of the model afterwards",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("call", [1, 2, 5])
    def test_no_hook_is_left_after_an_error(self, kata, call):
        """The metric fails in its first, second or fifth call."""
        model, _ = a_model(kata)
        with check.raises(ValueError):
            kata.ablate_heads(model, some_tokens(), fails_in(call))
        check.that(
            hooks_on(model) == 0,
            f"{hooks_on(model)} hooks are left after an error in call {call} of metric",
        )

    @pytest.mark.edge
    def test_another_way_is_an_error(self, kata):
        """There is no "median". The message names it."""
        model, _ = a_model(kata)
        with check.raises(ValueError, "median"):
            kata.ablate_heads(model, some_tokens(), a_metric(), "median")


def an_autoencoder(kata, features=5, latents=9, k=3):
    """An autoencoder with random parameters, in float64, and these by name. encoder and
    decoder differ.
    """
    model = kata.TopKAutoencoder(features, latents, k).double()
    shapes = {
        "bias": (features,),
        "encoder": (latents, features),
        "decoder": (latents, features),
    }
    weights = {name: drawn(*shape) for name, shape in shapes.items()}
    model.load_state_dict(weights)
    return model, weights


def codes_by_hand(w, x, k=3, relu=True, bias=True, weight="encoder"):
    """Codes by sorting each row, in loops."""
    scores = (x - w["bias"] if bias else x) @ w[weight].T
    codes = scores.clamp(min=0) if relu else scores.abs()
    rows = []
    for row in codes.flatten(0, -2):
        largest = sorted(range(len(row)), key=lambda i: -row[i])[:k]
        rows.append(
            torch.stack(
                [
                    row[i] if i in largest else torch.zeros_like(row[i])
                    for i in range(len(row))
                ]
            )
        )
    return torch.stack(rows).view(codes.shape)


@pytest.mark.stretch
class TestTopKAutoencoder:
    def test_the_start(self, kata):
        """Directions of length 1, and an encoder that begins as the decoder does: a
        direction reads what it writes.
        """
        torch.manual_seed(3)
        model = kata.TopKAutoencoder(5, 9, 3)
        state = model.state_dict()
        check.equal(
            sorted(state),
            ["bias", "decoder", "encoder"],
            what="names in the state dict",
        )
        for name in ("encoder", "decoder"):
            check.shape(state[name], (9, 5), what=name)
        check.close(state["bias"], torch.zeros(5), what="bias")
        check.close(state["encoder"], state["decoder"], what="encoder")
        wrong = {
            "columns of length 1, not rows": state["decoder"].new_full(
                (9,), (5 / 9) ** 0.5
            )
        }
        check.close(
            state["decoder"].norm(dim=1),
            torch.ones(9),
            unlike=wrong,
            what="lengths of decoder's rows",
        )
        check.that(
            model.encoder is not model.decoder,
            "encoder and decoder are one parameter",
            like="one tensor for both",
        )
        other = kata.TopKAutoencoder(5, 9, 3).state_dict()["decoder"]
        check.that(
            not bool((other == state["decoder"]).all()),
            "two autoencoders have the same directions",
        )

    def test_codes(self, kata):
        """At most three codes per row, the largest ones. What is negative before relu
        is 0, and never among them.
        """
        model, w = an_autoencoder(kata)
        x = drawn(7, 5)
        scores = ((x - w["bias"]) @ w["encoder"].T).relu()
        by_size = (x - w["bias"]) @ w["encoder"].T
        cut = by_size.abs().topk(3).values[:, -1:]
        in_batch = torch.zeros(63, dtype=torch.float64).scatter(
            0, scores.flatten().topk(21).indices, scores.flatten().topk(21).values
        )
        wrong = {
            "the bias not taken off": codes_by_hand(w, x, bias=False),
            "the size of codes, not relu": codes_by_hand(w, x, relu=False),
            "encoded by the decoder": codes_by_hand(w, x, weight="decoder"),
            "all codes kept": scores,
            "the largest of the whole batch, not of each row": in_batch.view(7, 9),
            "the three largest by size, negative ones too": torch.where(
                by_size.abs() >= cut, by_size, 0.0
            ),
            "the largest by size chosen before relu": torch.where(
                by_size.abs() >= cut, scores, 0.0
            ),
            "one code too few": codes_by_hand(w, x, k=2),
            "1 for each code that is kept": (codes_by_hand(w, x) > 0).double(),
        }
        check.close(model.encode(x), codes_by_hand(w, x), unlike=wrong, what="codes")

    def test_reconstruction(self, kata):
        """Codes times directions, and the bias that was taken off comes back. Also
        for (B, T, C).
        """
        model, w = an_autoencoder(kata, 4, 6, 2)
        x = drawn(2, 3, 4)
        codes = codes_by_hand(w, x, k=2)
        expected = codes @ w["decoder"] + w["bias"]
        wrong = {
            "the bias not added": expected - w["bias"],
            "decoded by the encoder": codes @ w["encoder"] + w["bias"],
        }
        got = model(x)
        check.that(
            isinstance(got, tuple) and len(got) == 2,
            f"expected (reconstruction, codes): {check.describe(got)}",
        )
        check.close(got[0], expected, unlike=wrong, what="reconstruction")
        check.close(got[1], codes, what="codes")

    def test_gradients(self, kata):
        """Codes that are kept have a gradient, so all three parameters learn."""
        model, w = an_autoencoder(kata)
        x = drawn(7, 5)
        leaves = {name: value.clone().requires_grad_() for name, value in w.items()}
        kept = codes_by_hand(w, x) > 0
        expected_codes = ((x - leaves["bias"]) @ leaves["encoder"].T) * kept
        names = ["bias", "encoder", "decoder"]
        loss = (expected_codes @ leaves["decoder"] + leaves["bias"] - x).square().sum()
        expected = torch.autograd.grad(loss, [leaves[name] for name in names])
        loss = (model(x)[0] - x).square().sum()
        got = torch.autograd.grad(
            loss, [getattr(model, name) for name in names], allow_unused=True
        )
        for name, mine, right in zip(names, got, expected, strict=True):
            check.that(mine is not None, f"{name} gets no gradient")
            check.close(mine, right, what=f"the gradient of {name}")

    def test_normalise(self, kata):
        """Without it a direction could grow and its codes shrink. Only the decoder
        changes, in place: an optimizer still holds the same Parameter.
        """
        model, w = an_autoencoder(kata)
        decoder = model.decoder
        model.normalise()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        lengths = torch.stack([row / row.square().sum().sqrt() for row in w["decoder"]])
        wrong = {
            "columns brought to length 1, not rows": w["decoder"]
            / w["decoder"].norm(dim=0),
            "the whole matrix brought to length 1": w["decoder"] / w["decoder"].norm(),
        }
        check.close(state["decoder"], lengths, unlike=wrong, what="decoder")
        check.close(state["encoder"], w["encoder"], what="encoder")
        check.that(
            model.decoder is decoder,
            "decoder is another Parameter now",
            like="a new nn.Parameter",
        )
        check.that(model.decoder.requires_grad, "decoder requires no gradient any more")

    @pytest.mark.edge
    def test_all_codes_may_stay(self, kata):
        """Of six codes, the eight largest are all."""
        model, w = an_autoencoder(kata, 4, 6, 8)
        x = drawn(3, 4)
        check.close(model.encode(x), codes_by_hand(w, x, k=6), what="codes")

    @pytest.mark.edge
    def test_equal_codes(self, kata):
        """Four directions are the same, and two of their codes are kept."""
        model, w = an_autoencoder(kata, 4, 6, 2)
        x = drawn(3, 4)
        w["encoder"][:] = (x - w["bias"])[0]
        model.load_state_dict(w)
        kept = (model.encode(x[:1]) > 0).sum().item()
        check.that(
            kept == 2,
            f"{kept} codes are above 0, expected 2",
            like="all that reach the smallest of the k kept",
        )
