"""Specs of kata papers/13: attention, schedule and loss, the two layers, the whole
model, decoding, and training.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from grader.specs import check, training

PAD, BOS, EOS = 0, 1, 2
B, S, T, V = 3, 6, 5, 11  # rows, source symbols, target symbols, vocabulary
# features, heads, hidden features of the feed-forward nets, layers
D, H, D_FF, LAYERS = 12, 3, 20, 2

# of the source
REAL = torch.tensor(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool
)
CAUSAL = torch.ones(T, T, dtype=torch.bool).tril()

ATTENTION = [
    f"{layer}.{part}"
    for layer in ("W_q", "W_k", "W_v", "W_o")
    for part in ("weight", "bias")
]
FEED_FORWARD = {
    "ff.0.weight": [D_FF, D],
    "ff.0.bias": [D_FF],
    "ff.2.weight": [D, D_FF],
    "ff.2.bias": [D],
}


def expected_shapes(attentions, norms):
    """The parameters of a layer with these attentions and norms: their shapes
    by name.
    """
    shapes = {
        f"{a}.{name}": [D, D] if name.endswith("weight") else [D]
        for a in attentions
        for name in ATTENTION
    }
    return (
        shapes
        | FEED_FORWARD
        | {f"{norm}.{part}": [D] for norm in norms for part in ("weight", "bias")}
    )


def shapes_of(module):
    return {
        name: list(parameter.shape) for name, parameter in module.named_parameters()
    }


def lively(module):
    """The module with every parameter random: a new norm multiplies by 1 and adds 0,
    which would hide mistakes.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4)
    return module


def judge_of(layer, kind, norm_first=False):
    """PyTorch's own layer in float64, with the weights of an EncoderLayer or
    a DecoderLayer.
    """
    judge = kind(D, H, D_FF, dropout=0.0, batch_first=True, norm_first=norm_first)
    copied = {}
    for theirs, mine in {
        "self_attn": "self_attn",
        "multihead_attn": "cross_attn",
    }.items():
        if hasattr(layer, mine):
            attention = getattr(layer, mine)
            projections = (attention.W_q, attention.W_k, attention.W_v)
            copied[f"{theirs}.in_proj_weight"] = torch.cat(
                [one.weight for one in projections]
            )
            copied[f"{theirs}.in_proj_bias"] = torch.cat(
                [one.bias for one in projections]
            )
            copied[f"{theirs}.out_proj.weight"] = attention.W_o.weight
            copied[f"{theirs}.out_proj.bias"] = attention.W_o.bias
    names = {"linear1": layer.ff[0], "linear2": layer.ff[2]}
    names |= {
        name: getattr(layer, name)
        for name in ("norm1", "norm2", "norm3")
        if hasattr(layer, name)
    }
    for name, source in names.items():
        copied |= {f"{name}.weight": source.weight, f"{name}.bias": source.bias}
    judge.load_state_dict(copied)
    return judge.double()


def encoder_judge(layer, **options):
    return judge_of(layer, nn.TransformerEncoderLayer, **options)


def decoder_judge(layer, **options):
    return judge_of(layer, nn.TransformerDecoderLayer, **options)


def mixed(attention, query, source, allowed=None):
    """PyTorch's attention without the rest of the layer. allowed: bool (Tq, Tk)."""
    return attention(
        query,
        source,
        source,
        attn_mask=None if allowed is None else ~allowed,
        need_weights=False,
    )[0]


@pytest.mark.stretch
class TestAttentionNumpy:
    def arguments(self):
        draws = np.random.default_rng(0)
        return tuple(
            draws.normal(size=shape)
            for shape in ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7))
        )

    def test_averages_values_by_the_softmax_of_scaled_scores(self, kata):
        """Each query's weights are the softmax of its scores, divided by √D. With
        larger scores the softmax would put almost all weight on one key. PyTorch's
        scaled_dot_product_attention is the judge.
        """
        Q, K, Value = self.arguments()
        q, k, v = map(torch.tensor, (Q, K, Value))

        def both(divisor, dim=-1):
            weights = (torch.einsum("bhqd,bhkd->bhqk", q, k) / divisor).softmax(dim=dim)
            return (weights @ v).numpy(), weights.numpy()

        expected = (
            F.scaled_dot_product_attention(q, k, v).numpy(),
            both(math.sqrt(5))[1],
        )
        wrong = {
            "scores that are not divided by √D": both(1),
            "scores divided by D": both(5),
            "scores divided by √Tk": both(math.sqrt(6)),
            "a softmax over the queries, not over the keys": both(math.sqrt(5), dim=-2),
        }
        got = kata.attention_numpy(Q, K, Value)
        check.equal(len(got), 2, what="the number of results: output and weights")
        for name, mine, right, part in zip(
            ("output", "weights"), got, expected, (0, 1), strict=True
        ):
            unlike = {slip: pair[part] for slip, pair in wrong.items()}
            check.close(mine, right, rtol=1e-4, atol=1e-5, unlike=unlike, what=name)

    def test_true_means_may_attend(self, kata):
        """Where the mask is False the weight is 0, and the others of the row still sum
        to 1. The mask is broadcast: one row of keys here serves all heads and queries.
        """
        Q, K, Value = self.arguments()
        mask = REAL[:2, None, None, :]
        q, k, v = map(torch.tensor, (Q, K, Value))
        expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).numpy()
        zeroed = (q @ k.mT / math.sqrt(5)).softmax(dim=-1) * mask
        inverted = F.scaled_dot_product_attention(
            q[1:], k[1:], v[1:], attn_mask=~mask[1:]
        ).numpy()
        nothing = np.zeros_like(inverted)
        unlike = {
            "the mask is inverted": np.concatenate([nothing, inverted]),
            "the mask is inverted, so that the first source has no keys": (
                np.concatenate([nothing + np.nan, inverted])
            ),
            "the mask is ignored": F.scaled_dot_product_attention(q, k, v).numpy(),
            "weights set to 0 after the softmax": (zeroed @ v).numpy(),
            "scores set to 0 in place of −∞": (
                ((q @ k.mT / math.sqrt(5)) * mask).softmax(dim=-1) @ v
            ).numpy(),
        }
        output, weights = kata.attention_numpy(Q, K, Value, mask.numpy())
        check.close(
            output, expected, rtol=1e-4, atol=1e-5, unlike=unlike, what="output"
        )
        check.close(
            weights.sum(axis=-1), np.ones((2, 3, 4)), what="the sums of weights"
        )

    def test_works_without_leading_dimensions(self, kata):
        """One sequence, one head: Q, K and V are matrices."""
        Q, K, Value = (x[0, 0] for x in self.arguments())
        expected = F.scaled_dot_product_attention(
            *(torch.tensor(x)[None] for x in (Q, K, Value))
        )[0].numpy()
        check.close(
            kata.attention_numpy(Q, K, Value)[0],
            expected,
            rtol=1e-4,
            atol=1e-5,
            what="output",
        )

    @pytest.mark.edge
    def test_a_query_without_keys_gets_zeros(self, kata):
        """A softmax over nothing is 0/0. The weights of such a query are zeros, and so
        is its output.
        """
        Q, K, Value = self.arguments()
        mask = np.ones((4, 6), dtype=bool)
        mask[2] = False
        output, weights = kata.attention_numpy(Q, K, Value, mask)
        check.equal(
            weights[:, :, 2],
            np.zeros((2, 3, 6)),
            what="weights of the query without keys",
        )
        check.equal(
            output[:, :, 2],
            np.zeros((2, 3, 7)),
            what="output of the query without keys",
        )
        check.close(
            output[:, :, :2],
            kata.attention_numpy(Q, K, Value)[0][:, :, :2],
            what="output of the others",
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the output agrees with PyTorch's in float64
        to 1e-9.
        """
        Q, K, Value = self.arguments()
        expected = F.scaled_dot_product_attention(
            *map(torch.tensor, (Q, K, Value))
        ).numpy()
        check.close(
            kata.attention_numpy(Q, K, Value)[0],
            expected,
            rtol=0,
            atol=1e-9,
            what="output",
        )


class TestNoamLr:
    def test_the_rate_rises_in_a_line(self, kata):
        """Up to step `warmup`, step k has k times the rate of step 1. Adam knows little
        about the gradients' size at first, so its first steps are small.
        """
        rates = [kata.noam_lr(step, 16, 8) for step in range(1, 9)]
        unlike = {
            "the larger of the two terms, or no warm-up": [
                0.25 * max(k**-0.5, k * 8**-1.5) for k in range(1, 9)
            ],
            "warmup^(−0.5) in place of warmup^(−1.5)": [
                0.25 * min(k**-0.5, k * 8**-0.5) for k in range(1, 9)
            ],
        }
        check.close(
            rates,
            [k / 8 * 0.25 * 8**-0.5 for k in range(1, 9)],
            unlike=unlike,
            what="the rates of steps 1 to 8",
        )

    def test_then_falls_as_one_over_the_root(self, kata):
        """After the warm-up, four times as many steps have half the rate, whatever
        `warmup` was. With d_model = 16 the rate of step 100 is 0.25 / 10.
        """
        for warmup in (5, 50):
            rates = [kata.noam_lr(step, 16, warmup) for step in (100, 400, 1600)]
            check.close(
                rates,
                [0.025, 0.0125, 0.00625],
                what=f"the rates of steps 100, 400, 1600, warmup {warmup}",
            )

    @given(case=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 64)))
    def test_the_peak_is_at_warmup(self, kata, case):
        """No step has a higher rate than step `warmup`, where both terms are equal:
        (d_model · warmup)^(−0.5). A wider model trains with smaller steps.
        """
        step, warmup, d_model = case
        peak = (d_model * warmup) ** -0.5
        said = f"step {step}, warmup {warmup}, d_model {d_model}"
        check.close(
            kata.noam_lr(warmup, d_model, warmup),
            peak,
            what=f"the rate at the peak: {said}",
        )
        check.that(
            kata.noam_lr(step, d_model, warmup) <= peak * 1.000001,
            f"{said}: the rate is above the peak's",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("step", [0, -1])
    def test_a_step_below_1_is_an_error(self, kata, step):
        """Step 0 has no rate: 0^(−0.5) is infinite. Schedules that count from 0
        should notice.
        """
        with check.raises(ValueError):
            kata.noam_lr(step, 16, 8)


class TestLabelSmoothedLoss:
    def smoothed(self, logits, target, eps, share):
        """The mean loss in float64 when the right symbol gets 1 − eps and every symbol
        `share` of eps besides.
        """
        logp = logits.double().log_softmax(dim=-1)
        right = F.one_hot(target, V).double()
        return -(((1 - eps) * right + eps * share(right)) * logp).sum(dim=-1).mean()

    def test_a_share_of_the_target_goes_to_every_symbol(self, kata):
        """The right symbol has the probability 1 − eps + eps/V, each other one eps/V:
        the model is not asked to be certain. PyTorch's F.cross_entropy with
        label_smoothing is the judge.
        """
        logits, target = torch.randn(B, T, V), torch.randint(V, (B, T))
        unlike = {
            "eps shared by the V − 1 wrong symbols": self.smoothed(
                logits, target, 0.3, lambda r: (1 - r) / (V - 1)
            ),
            "no smoothing": F.cross_entropy(logits.mT.double(), target),
            "the sum over positions": F.cross_entropy(
                logits.mT.double(), target, label_smoothing=0.3, reduction="sum"
            ),
            "the sum over V of log p, not its mean": self.smoothed(
                logits, target, 0.3, torch.ones_like
            ),
        }
        plain, spread = (
            F.cross_entropy(logits.mT.double(), target),
            -logits.double().log_softmax(dim=-1).mean(),
        )
        unlike["the right symbol counts with 1, not with 1 − eps"] = (
            plain + 0.3 * spread
        )
        expected = F.cross_entropy(logits.mT.double(), target, label_smoothing=0.3)
        check.close(
            kata.label_smoothed_loss(logits, target, eps=0.3), expected, unlike=unlike
        )

    def test_padding_does_not_count(self, kata):
        """Positions with the target pad_id are left out of the sum and of the number it
        is divided by. Otherwise the loss would fall with every padded place.
        """
        for pad_id in (4, 0):
            logits, target = torch.randn(B, T, V), torch.randint(1, V, (B, T))
            target[1, 3:], target[2, 2:] = pad_id, pad_id
            per_place = F.cross_entropy(
                logits.mT.double(), target, label_smoothing=0.1, reduction="none"
            )
            kept = target != pad_id
            counted = "padding counts" if pad_id else "padding counts if pad_id is 0"
            unlike = {
                counted: per_place.mean(),
                "divided by the number of all positions": per_place[kept].sum()
                / target.numel(),
                "a mean per row, then over rows": torch.stack(
                    [r[k].mean() for r, k in zip(per_place, kept)]
                ).mean(),
            }
            got = kata.label_smoothed_loss(logits, target, pad_id=pad_id)
            check.close(
                got,
                per_place[kept].mean(),
                unlike=unlike,
                what=f"the loss with pad_id = {pad_id}",
            )

    def test_without_smoothing_it_is_cross_entropy(self, kata):
        """With eps = 0 only the right symbol's log probability is left. The logits may
        have any leading dimensions: here none but one, and then three.
        """
        for shape in ((7,), (2, 3, 4)):
            logits, target = torch.randn(*shape, V), torch.randint(V, shape)
            expected = F.cross_entropy(logits.double().flatten(0, -2), target.flatten())
            check.close(
                kata.label_smoothed_loss(logits, target, eps=0.0),
                expected,
                what=f"the loss for {shape}",
            )

    def test_gradients_are_those_of_the_judge(self, kata):
        """The logits' gradient, by F.cross_entropy in float64. Padded places
        have none.
        """
        target = torch.randint(1, V, (B, T))
        target[1, 3:] = PAD

        def judge(logits):
            return F.cross_entropy(
                logits.mT, target, label_smoothing=0.2, ignore_index=PAD
            )

        check.gradients(
            lambda x: kata.label_smoothed_loss(x, target, 0.2, PAD),
            judge,
            torch.randn(B, T, V),
        )

    def test_is_written_without_cross_entropy(self, kata):
        """F.cross_entropy has the same smoothing built in: the formula is
        the exercise.
        """
        with check.forbidden(kata, "torch.nn.functional.cross_entropy"):
            kata.label_smoothed_loss(
                torch.randn(T, V), torch.randint(V, (T,)), pad_id=PAD
            )


class TestEncoderLayer:
    def test_has_these_parameters_and_no_more(self, kata):
        """One attention, a feed-forward net of two linear layers, two norms."""
        layer = kata.EncoderLayer(D, H, D_FF)
        check.equal(
            shapes_of(layer),
            expected_shapes(["self_attn"], ["norm1", "norm2"]),
            what="the shapes",
        )

    def test_each_sublayer_is_added_then_normalised(self, kata):
        """Post-norm: the norm is that of the sum of a sublayer's input and output.
        PyTorch's TransformerEncoderLayer with the same weights is the judge.
        """
        layer = lively(kata.EncoderLayer(D, H, D_FF))
        judge, x = encoder_judge(layer), torch.randn(B, S, D)
        with torch.no_grad():
            alone = judge.norm1(mixed(judge.self_attn, x.double(), x.double()))
            y = judge.norm1(x + mixed(judge.self_attn, x.double(), x.double()))

            def fed(z):
                return judge.linear2(judge.linear1(z).relu())

            inside = x + alone
            unlike = {
                "the norms come first (pre-norm)": encoder_judge(
                    layer, norm_first=True
                )(x.double()),
                "the norm of the sublayer only: its input is not added": judge.norm2(
                    fed(alone)
                ),
                "each input added to the norm of its sublayer": inside
                + judge.norm2(fed(inside)),
                "norm1 is used twice": judge.norm1(y + fed(y)),
                "the input of ff is not added": judge.norm2(fed(y)),
                "no ReLU in the feed-forward net": judge.norm2(
                    y + judge.linear2(judge.linear1(y))
                ),
            }
            check.close(layer(x), judge(x.double()), unlike=unlike)

    def test_masked_symbols_are_not_attended_to(self, kata):
        """With src_mask (B, 1, 1, S) the symbols at False have no influence on
        the others.
        """
        layer = lively(kata.EncoderLayer(D, H, D_FF))
        judge, x = encoder_judge(layer), torch.randn(B, S, D)
        with torch.no_grad():
            expected = judge(x.double(), src_key_padding_mask=~REAL)
            unlike = {"the mask is ignored": judge(x.double())}
            check.close(layer(x, REAL[:, None, None, :]), expected, unlike=unlike)

    def test_what_a_sublayer_adds_is_dropped(self, kata):
        """Section 5.4: dropout acts on each sublayer's output, before the addition.
        With a probability of 1 nothing is added, so only the two norms are left. In
        eval mode there is no dropout.
        """
        layer, x = (
            lively(kata.EncoderLayer(D, H, D_FF, dropout=1.0)),
            torch.randn(B, S, D),
        )
        with torch.no_grad():
            judge = encoder_judge(layer)
            expected, nothing = (
                judge.norm2(judge.norm1(x.double())),
                torch.zeros(B, S, D).double(),
            )
            unlike = {
                "no dropout": judge(x.double()),
                (
                    "dropout after norm1, not before the sum, or the input of ff is "
                    "not added"
                ): judge.norm2(nothing),
                "dropout after each norm, not before the sums": nothing,
            }
            check.close(
                layer(x),
                expected,
                unlike=unlike,
                what="the result in training mode, all dropped",
            )
            check.close(
                layer.eval()(x), judge(x.double()), what="the result in eval mode"
            )


class TestDecoderLayer:
    def test_has_these_parameters_and_no_more(self, kata):
        """Two attentions, a feed-forward net of two linear layers, three norms."""
        expected = expected_shapes(
            ["self_attn", "cross_attn"], ["norm1", "norm2", "norm3"]
        )
        check.equal(
            shapes_of(kata.DecoderLayer(D, H, D_FF)), expected, what="the shapes"
        )

    def test_three_sublayers_each_added_then_normalised(self, kata):
        """Masked self-attention, attention to the memory, feed-forward, in this order.
        PyTorch's TransformerDecoderLayer with the same weights is the judge.
        """
        layer = lively(kata.DecoderLayer(D, H, D_FF))
        judge, y, memory = (
            decoder_judge(layer),
            torch.randn(B, T, D),
            torch.randn(B, S, D),
        )
        with torch.no_grad():
            own = judge.norm1(
                y + mixed(judge.self_attn, y.double(), y.double(), CAUSAL)
            )
            crossed = judge.norm2(own + mixed(judge.multihead_attn, own, own))

            def fed(z):
                return judge.norm3(z + judge.linear2(judge.linear1(z).relu()))

            source = memory.double()
            first = judge.norm1(y + mixed(judge.multihead_attn, y.double(), source))
            second = judge.norm2(first + mixed(judge.self_attn, first, first, CAUSAL))
            unlike = {
                "the memory is attended to first": fed(second),
                "self_attn is used twice": fed(
                    judge.norm2(own + mixed(judge.self_attn, own, source))
                ),
                "the norms come first (pre-norm)": decoder_judge(
                    layer, norm_first=True
                )(y.double(), memory.double(), tgt_mask=~CAUSAL),
                "cross-attention takes keys and values from y": fed(crossed),
                "self-attention without tgt_mask": judge(y.double(), memory.double()),
                "no attention to the memory": fed(own),
            }
            expected = judge(y.double(), memory.double(), tgt_mask=~CAUSAL)
            check.close(layer(y, memory, CAUSAL), expected, unlike=unlike)

    def test_each_attention_has_its_own_mask(self, kata):
        """tgt_mask belongs to self-attention, src_mask to the attention to the memory:
        without it the decoder reads padding.
        """
        layer = lively(kata.DecoderLayer(D, H, D_FF))
        judge, y, memory = (
            decoder_judge(layer),
            torch.randn(B, T, D),
            torch.randn(B, S, D),
        )
        with torch.no_grad():
            masks = {"tgt_mask": ~CAUSAL, "memory_key_padding_mask": ~REAL}
            expected = judge(y.double(), memory.double(), **masks)
            unlike = {
                "src_mask is ignored": judge(
                    y.double(), memory.double(), tgt_mask=~CAUSAL
                ),
                "tgt_mask is ignored": judge(
                    y.double(), memory.double(), memory_key_padding_mask=~REAL
                ),
            }
            check.close(
                layer(y, memory, CAUSAL, REAL[:, None, None, :]),
                expected,
                unlike=unlike,
            )

    def test_what_a_sublayer_adds_is_dropped(self, kata):
        """With a dropout probability of 1 nothing is added, so only the three norms
        are left.
        """
        layer = lively(kata.DecoderLayer(D, H, D_FF, dropout=1.0))
        y, memory = torch.randn(B, T, D), torch.randn(B, S, D)
        with torch.no_grad():
            judge = decoder_judge(layer)
            expected = judge.norm3(judge.norm2(judge.norm1(y.double())))
            unlike = {"no dropout": judge(y.double(), memory.double())}
            check.close(
                layer(y, memory),
                expected,
                unlike=unlike,
                what="the result in training mode, all dropped",
            )


SOURCE = torch.tensor([[3, 7, 9, 4, 10, 8], [5, 5, 6, 3, 0, 0], [8, 4, 0, 0, 0, 0]])
TARGET = torch.tensor([[1, 8, 10, 4, 9], [1, 3, 6, 5, 5], [1, 4, 8, 0, 0]])


def small(kata, **options):
    """A Transformer with random parameters."""
    sizes = {
        "d_model": D,
        "num_heads": H,
        "num_layers": LAYERS,
        "d_ff": D_FF,
        "max_len": 16,
    }
    return lively(kata.Transformer(V, **(sizes | options)))


def positions(length):
    """Section 3.5, feature by feature, in float64."""
    rates = [10000 ** (-(feature // 2 * 2) / D) for feature in range(D)]
    waves = [(math.sin, math.cos)[feature % 2] for feature in range(D)]
    rows = [
        [wave(place * rate) for wave, rate in zip(waves, rates, strict=True)]
        for place in range(length)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def inputs(model, ids, scale=D**0.5, place=1.0):
    """The input of the first layer. The options are slips."""
    return model.embed.weight.double()[ids] * scale + positions(ids.size(1)) * place


def memory_by_judge(model, src, mask=True, **slips):
    """The memory, from PyTorch's layers in float64."""
    x = inputs(model, src, **slips)
    for layer in model.encoder:
        x = encoder_judge(layer)(x, src_key_padding_mask=(src == PAD) if mask else None)
    return x


def logits_by_judge(
    model, tgt, memory, src, causal=True, hide=True, cross=True, **slips
):
    """The logits, from PyTorch's layers in float64."""
    y = inputs(model, tgt, **slips)
    future = torch.ones(tgt.size(1), tgt.size(1), dtype=torch.bool).triu(1)
    masks = {
        "tgt_mask": future if causal else None,
        "tgt_key_padding_mask": (tgt == PAD) if hide else None,
        "memory_key_padding_mask": (src == PAD) if cross else None,
    }
    for layer in model.decoder:
        y = decoder_judge(layer)(y, memory.double(), **masks)
    return y @ model.embed.weight.double().T


class TestTransformerInit:
    def test_has_one_embedding_and_layers_on_both_sides(self, kata):
        """The one matrix of shape (V, D) serves source, target and output. A separate
        output layer or a position embedding would be parameters that the paper's model
        does not have.
        """
        model = kata.Transformer(V, D, H, LAYERS, D_FF)
        expected = {"embed.weight": [V, D]}
        sides = {"encoder": (["self_attn"], ["norm1", "norm2"])}
        sides["decoder"] = (["self_attn", "cross_attn"], ["norm1", "norm2", "norm3"])
        for side, parts in sides.items():
            for layer in range(LAYERS):
                expected |= {
                    f"{side}.{layer}.{name}": s
                    for name, s in expected_shapes(*parts).items()
                }
        got = shapes_of(model)
        for side in sides:
            shared = len(getattr(model, side)) == LAYERS and not any(
                name.startswith(f"{side}.1.") for name in got
            )
            said = f"{side}[1] has no parameters of its own"
            check.that(not shared, said, like=f"one layer of the {side} in all places")
        check.equal(got, expected, what="the shapes")

    def test_the_embedding_starts_with_the_right_spread(self, kata):
        """With a standard deviation of D^(−0.5), an embedding times √D is about as
        large as the sinusoids. PyTorch's own start values have 1, and the logits would
        be √D times too large.
        """
        spread = kata.Transformer(500, d_model=64).embed.weight.std().item()
        said = (
            f"the embedding's standard deviation is {spread:.3f}: with D = 64 it "
            "should be 64^(−0.5) = 0.125"
        )
        check.that(abs(spread - 0.125) < 0.005, said)

    def test_every_layer_has_the_sizes_and_the_dropout(self, kata):
        """num_heads and dropout go to every layer; the model's own `drop` has the
        same probability.
        """
        model = kata.Transformer(V, D, H, LAYERS, D_FF, dropout=0.3)
        for side in ("encoder", "decoder"):
            for number, layer in enumerate(getattr(model, side)):
                for name, part in layer.named_children():
                    if name.endswith("attn"):
                        check.equal(
                            part.num_heads, H, what=f"{side}[{number}].{name}.num_heads"
                        )
                check.equal(layer.drop.p, 0.3, what=f"{side}[{number}].drop.p")
        check.equal(model.drop.p, 0.3, what="drop.p of the model")


class TestTransformerEncode:
    def test_the_mask_is_true_at_symbols(self, kata):
        """src_mask (B, 1, 1, S) is ready to be broadcast over heads and queries. What
        padding is, `pad_id` says.
        """
        for pad_id in (PAD, 5):
            _, mask = small(kata, pad_id=pad_id).encode(SOURCE)
            unlike = (
                {"compared with PAD, not with pad_id": (SOURCE != PAD)[:, None, None]}
                if pad_id != PAD
                else {}
            )
            expected = (SOURCE != pad_id).reshape(B, 1, 1, S)
            check.equal(
                mask, expected, unlike=unlike, what=f"src_mask with pad_id {pad_id}"
            )

    def test_returns_the_last_layers_output_as_memory(self, kata):
        """The layers read scaled embeddings plus positions, one after the other.
        PyTorch's layers with the same weights are the judge.
        """
        model = small(kata)
        with torch.no_grad():
            memory, _ = model.encode(SOURCE)
            unlike = {
                "embeddings that are not scaled by √D": memory_by_judge(
                    model, SOURCE, scale=1.0
                ),
                "positions that are scaled by √D, too": memory_by_judge(
                    model, SOURCE, place=math.sqrt(D)
                ),
                "no positions": memory_by_judge(model, SOURCE, place=0.0),
                "no mask: padding is attended to": memory_by_judge(
                    model, SOURCE, mask=False
                ),
            }
            check.close(
                memory, memory_by_judge(model, SOURCE), unlike=unlike, what="memory"
            )

    def test_padding_changes_nothing(self, kata):
        """A batch is padded to its longest row. The same row in a batch of longer ones
        has the same memory.
        """
        model = small(kata)
        longer = F.pad(SOURCE, (0, 3), value=PAD)
        with torch.no_grad():
            check.close(
                model.encode(longer)[0][:, :S][REAL],
                model.encode(SOURCE)[0][REAL],
                what="memory of symbols",
            )

    def test_positions_matter(self, kata):
        """Attention itself knows no order. Only the sinusoids tell "a b" from "b a":
        without them, two exchanged symbols would just exchange their rows of
        the memory.
        """
        model = small(kata)
        with torch.no_grad():
            memory, _ = model.encode(torch.tensor([[3, 7, 9, 4]]))
            other, _ = model.encode(torch.tensor([[7, 3, 9, 4]]))
        same = torch.allclose(other[:, [1, 0, 2, 3]], memory, atol=1e-4)
        check.that(
            not same,
            "exchanging two symbols of the source only exchanges two rows of the "
            "memory",
        )

    def test_inputs_are_dropped_in_training(self, kata):
        """Section 5.4: dropout acts on the sums of embeddings and positions, too. With
        a probability of 1 all symbols are read as zeros, and all rows of the memory
        are alike.
        """
        memory, _ = small(kata, dropout=1.0).encode(SOURCE)
        check.close(
            memory,
            memory[:1, :1].expand(B, S, D),
            what="memory with all inputs dropped",
        )


class TestTransformerDecode:
    def test_logits_are_those_of_pytorchs_layers(self, kata):
        """The target's symbols are read as the source's are, and each place attends to
        itself and what is before it. The last layer's output times the embedding,
        transposed, gives the logits.
        """
        model, memory = small(kata), torch.randn(B, S, D)
        arguments = model, TARGET, memory, SOURCE
        with torch.no_grad():
            got = model.decode(TARGET, memory, (SOURCE != PAD)[:, None, None, :])
            unlike = {
                "no causal mask: the future is read": logits_by_judge(
                    *arguments, causal=False
                ),
                "probabilities: there is a softmax": logits_by_judge(
                    *arguments
                ).softmax(dim=-1),
                "no mask on the source's padding": logits_by_judge(
                    *arguments, cross=False
                ),
                "padding in the target is attended to": logits_by_judge(
                    *arguments, hide=False
                ),
                "embeddings that are not scaled by √D": logits_by_judge(
                    *arguments, scale=1.0
                ),
                "positions that are scaled by √D, too": logits_by_judge(
                    *arguments, place=math.sqrt(D)
                ),
                "no positions": logits_by_judge(*arguments, place=0.0),
            }
            check.close(got, logits_by_judge(*arguments), unlike=unlike, what="logits")

    @given(place=st.integers(1, T - 1))
    def test_the_future_changes_nothing(self, kata, place):
        """The logits at place t depend on the symbols up to t. In training the whole
        target is there, and a model that sees the next symbol learns to copy it.
        """
        model, memory = small(kata), torch.randn(1, S, D)
        mask = torch.ones(1, 1, 1, S, dtype=torch.bool)
        tgt = torch.tensor([[1, 8, 10, 4, 9]])
        other = torch.cat([tgt[:, :place], torch.full((1, T - place), 6)], dim=1)
        with torch.no_grad():
            got, expected = (
                model.decode(other, memory, mask)[:, :place],
                model.decode(tgt, memory, mask)[:, :place],
            )
        check.close(
            got,
            expected,
            what=f"the logits before place {place}, after a change from there on",
        )

    def test_padding_in_the_target_is_not_attended_to(self, kata):
        """A PAD amid a target is passed over: whatever stands for padding in the
        embedding, the other places' logits stay. Every place has BOS to attend to, so
        none is NaN.
        """
        model, memory = small(kata, pad_id=6), torch.randn(1, S, D)
        mask = torch.ones(1, 1, 1, S, dtype=torch.bool)
        tgt = torch.tensor([[1, 8, 6, 4, 6]])
        logits = []
        with torch.no_grad():
            for _ in range(2):
                y = model.decode(tgt, memory, mask)
                check.finite(y, what="logits")
                logits.append(y[0, [0, 1, 3]][:, [0, 3, 4, 5, 7]])
                model.embed.weight[6] += 1.0
        check.close(
            logits[1],
            logits[0],
            what=(
                "the logits of places 0, 1 and 3, with another embedding of the padding"
            ),
        )

    def test_inputs_are_dropped_in_training(self, kata):
        """With a dropout probability of 1 all symbols of the target are read as zeros,
        and all places have the same logits.
        """
        logits = small(kata, dropout=1.0).decode(
            TARGET, torch.randn(B, S, D), (SOURCE != PAD)[:, None, None, :]
        )
        check.close(
            logits,
            logits[:1, :1].expand(B, T, V),
            what="logits with all inputs dropped",
        )


class TestTransformerForward:
    def test_encodes_then_decodes(self, kata):
        """The decoder attends to what the encoder made of the source, padding
        left out.
        """
        model = small(kata)
        with torch.no_grad():
            expected = logits_by_judge(
                model, TARGET, memory_by_judge(model, SOURCE), SOURCE
            )
            raw = logits_by_judge(model, TARGET, inputs(model, SOURCE), SOURCE)
            memory = memory_by_judge(model, SOURCE)
            unlike = {
                "the encoder is passed over": raw,
                "the decoder gets no src_mask": logits_by_judge(
                    model, TARGET, memory, SOURCE, cross=False
                ),
                "source and target are exchanged": logits_by_judge(
                    model, SOURCE, memory_by_judge(model, TARGET), TARGET
                ),
                "the source is decoded, not the target": logits_by_judge(
                    model, SOURCE, memory, SOURCE
                ),
            }
            check.close(model(SOURCE, TARGET), expected, unlike=unlike, what="logits")

    def test_padding_in_the_source_changes_nothing(self, kata):
        """With a mask in the encoder and in cross-attention, a longer padding gives the
        same logits.
        """
        model = small(kata)
        with torch.no_grad():
            got, expected = (
                model(F.pad(SOURCE, (0, 4), value=PAD), TARGET),
                model(SOURCE, TARGET),
            )
        check.close(got, expected, what="logits, with four more places of padding")

    def test_every_parameter_gets_a_gradient(self, kata):
        """A loss on the logits reaches all layers of both sides and the embedding."""
        model = small(kata)
        (model(SOURCE, TARGET) * torch.randn(B, T, V)).sum().backward()
        missing = [
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is None
        ]
        check.that(not missing, f"these get no gradient: {', '.join(missing)}")


class Script(nn.Module):
    """A model that writes what it is given: row b of `lines`. It notes its mode and the
    calls of encode.
    """

    def __init__(self, lines):
        super().__init__()
        self.lines, self.encoded, self.modes, self.graphs = (
            torch.tensor(lines),
            0,
            [],
            [],
        )
        self.weight = nn.Parameter(torch.ones(()))

    def encode(self, src):
        self.encoded += 1
        self.modes.append(self.training)
        return src[..., None] * self.weight, (src != PAD)[:, None, None, :]

    def decode(self, tgt, memory, src_mask):
        self.modes.append(self.training)
        logits = F.one_hot(self.lines[:, : tgt.size(1)], V) * self.weight
        self.graphs.append(logits.requires_grad)
        return logits

    def forward(self, src, tgt):
        return self.decode(tgt, *self.encode(src))


class Reader(Script):
    """A model whose next symbol depends on all that it has read: source, target, and
    the order of both. It never writes PAD or EOS.
    """

    def __init__(self):
        super().__init__([[PAD]])
        self.register_buffer("table", torch.randn(V, V))

    def decode(self, tgt, memory, src_mask):
        self.modes.append(self.training)
        state = (
            (memory[..., 0] * torch.arange(memory.size(1)).cos())
            .sum(dim=1, keepdim=True)
            .sin()
        )
        logits = []
        for column in self.table[tgt].unbind(dim=1):
            state = torch.tanh(column * 2 - 1.5 * state.flip(-1))
            logits.append(state @ self.table * 3)
        never = torch.zeros(V).index_fill(0, torch.tensor([PAD, EOS]), -1e4)
        return torch.stack(logits, dim=1) + never


def by_hand(model, src, length, start=BOS, place=-1):
    """Greedy decoding row by row; the options are slips."""
    rows = []
    with torch.no_grad():
        for row in src:
            written = [start]
            for _ in range(length):
                logits = model(row[None], torch.tensor([written]))[0]
                written.append(int(logits[min(place, len(logits) - 1)].argmax()))
            rows.append(written[1:])
    return torch.tensor(rows)


class TestGreedyDecode:
    def test_each_symbol_is_the_argmax_given_those_before(self, kata):
        """Start from BOS, take the argmax of the last place's logits, append it, and so
        on. The result holds the max_len new symbols only.
        """
        model = Reader()
        expected = by_hand(model, SOURCE, 7)
        unlike = {
            "BOS is part of the result": torch.cat(
                [torch.full((B, 1), BOS), expected], dim=1
            )[:, :7],
            "PAD in place of BOS at the start": by_hand(model, SOURCE, 7, start=PAD),
            "the logits of the first place, not of the last": by_hand(
                model, SOURCE, 7, place=0
            ),
        }
        check.equal(kata.greedy_decode(model, SOURCE, 7), expected, unlike=unlike)

    def test_after_eos_there_is_only_padding(self, kata):
        """EOS itself belongs to the result. What a model writes after it means nothing.
        Rows end at different places, and one does not end at all.
        """
        lines = [[5, EOS, 6, 7, EOS], [3, 4, 5, 6, 7], [EOS, 9, 9, 9, 9]]
        expected = torch.tensor([[5, EOS, 0, 0, 0], [3, 4, 5, 6, 7], [EOS, 0, 0, 0, 0]])
        unlike = {
            "rows go on after EOS": torch.tensor(lines),
            "EOS is replaced by PAD": expected.masked_fill(expected == EOS, PAD),
            "EOS again and again": torch.tensor(
                [[5, 2, 2, 2, 2], [3, 4, 5, 6, 7], [2, 2, 2, 2, 2]]
            ),
        }
        check.equal(
            kata.greedy_decode(Script(lines), SOURCE, 5), expected, unlike=unlike
        )

    def test_there_are_always_max_len_columns(self, kata):
        """Also if all rows have ended before: then the rest is padding."""
        got = kata.greedy_decode(Script([[4, EOS, 3, 3, 3, 3]] * B), SOURCE, 6)
        unlike = {
            "it stops as soon as all rows have ended": torch.tensor([[4, EOS]] * B)
        }
        check.equal(got, torch.tensor([[4, EOS, 0, 0, 0, 0]] * B), unlike=unlike)

    def test_the_model_decodes_in_eval_mode(self, kata):
        """With dropout on, the same source would be decoded differently each time."""
        model = Script([[4, 5, EOS]] * B).train()
        kata.greedy_decode(model, SOURCE, 3)
        check.that(
            not any(model.modes),
            "the model was called in training mode: dropout would be on",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False])
    def test_the_model_is_left_as_it_was(self, kata, training):
        """Decoding is no training: the mode and `.grad` stay, and no graph is built."""
        model = Script([[4, 5, EOS]] * B).train(training)
        model.weight.grad = torch.tensor(3.0)
        with check.unchanged(weight=model.weight):
            kata.greedy_decode(model, SOURCE, 3)
        check.equal(model.training, training, what="model.training afterwards")
        check.that(
            not any(model.graphs), "the logits have a graph, which is of no use here"
        )

    @pytest.mark.edge
    def test_the_source_is_encoded_once(self, kata):
        """The memory does not depend on the target. Encoding it for each symbol makes
        decoding max_len times as expensive as it is.
        """
        model = Script([[4, 5, 6, 7, EOS]] * B)
        kata.greedy_decode(model, SOURCE, 5)
        check.equal(
            model.encoded, 1, what="the number of calls of encode for 5 symbols"
        )


class Small(nn.Module):
    """A model that is called as a Transformer is: the mean of the source and the symbol
    before predict the next one. It notes what it reads.
    """

    def __init__(self, vocab_size=8, d_model=9):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.read, self.modes = [], []

    def forward(self, src, tgt):
        self.read.append((src, tgt))
        self.modes.append(self.training)
        return (
            self.embed(src).mean(dim=1, keepdim=True) + self.embed(tgt)
        ) @ self.embed.weight.T


SIZES = {"batch": 4, "min_len": 2, "max_len": 5, "vocab_size": 8}


def generator():
    return torch.Generator().manual_seed(7)


class Noam(torch.optim.Adam):
    """Adam whose step k has the rate lr · 9^−0.5 · min(k^−0.5, k · 3^−1.5)."""

    k = 0

    def step(self):
        self.k += 1
        [group] = self.param_groups
        rate, group["lr"] = (
            group["lr"],
            group["lr"] * 9**-0.5 * min(self.k**-0.5, self.k * 3**-1.5),
        )
        super().step()
        group["lr"] = rate


class Ahead(Noam):
    """The rates of the steps that follow."""

    k = 1


class Behind(Noam):
    """The rates of the steps before; the first step has Adam's own."""

    k = -1

    def step(self):
        if self.k >= 0:
            return super().step()
        self.k += 1
        [group] = self.param_groups
        rate, group["lr"] = group["lr"], 1e-3
        torch.optim.Adam.step(self)
        group["lr"] = rate


@functools.cache
def learned(kata):
    """A Transformer of the default sizes after 230 steps on three or four symbols, and
    the losses.
    """
    torch.manual_seed(0)
    model = kata.Transformer(10)
    sizes = {"batch": 48, "min_len": 3, "max_len": 4}
    return model, kata.train_reverse(
        model, steps=230, **sizes, generator=torch.Generator().manual_seed(0)
    )


class TestTrainReverse(training.Contract):
    """Adam at the rates of the schedule. The model reads tgt_in, from BOS on, and is
    scored on tgt_out, one symbol further. The loss is smoothed, and does not
    count padding.
    """

    model, optimizer, settings, lr = (
        Small,
        Noam,
        {"betas": (0.9, 0.98), "eps": 1e-9},
        0.4,
    )
    slips = {
        "the default rates": {"lr": 0.5},
        "lr_scale is left out": {"lr": 1.0},
        "the schedule is one step ahead": {"optimizer": Ahead, "settings": settings},
        "each rate is set after its step": {"optimizer": Behind, "settings": settings},
        "Adam's default betas": {"settings": {"betas": (0.9, 0.999)}},
    }

    def train(self, kata, model, lr=0.4, **options):
        return kata.train_reverse(model, warmup=3, lr_scale=lr, **SIZES, **options)

    def loss(self, model, batch, eps=0.1, ignore=PAD, fed="in", scored="out"):
        rows = [
            [symbol for symbol in row if symbol != PAD][::-1]
            for row in batch[0].tolist()
        ]
        targets = {
            "in": torch.tensor([[BOS, *row] + [PAD] * (5 - len(row)) for row in rows]),
            "out": torch.tensor([[*row, EOS] + [PAD] * (5 - len(row)) for row in rows]),
        }
        logits = model(batch[0], targets[fed]).mT
        return F.cross_entropy(
            logits, targets[scored], label_smoothing=eps, ignore_index=ignore
        )

    def wrong_losses(self, model, batch):
        return {
            "the model reads tgt_out, which it is scored on": self.loss(
                model, batch, fed="out"
            ),
            "the model is scored on tgt_in, which it has read": self.loss(
                model, batch, scored="in"
            ),
            "no smoothing": self.loss(model, batch, eps=0.0),
            "padding counts": self.loss(model, batch, ignore=-100),
        }

    def test_each_step_reads_a_fresh_batch(self, kata):
        """Each batch is drawn through the generator, with the sizes asked for."""
        model, draws = Small(), generator()
        kata.train_reverse(model, steps=5, generator=generator(), **SIZES)
        for step, (src, _) in enumerate(model.read):
            expected = kata.reverse_batch(*SIZES.values(), draws)[0]
            check.equal(src, expected, what=f"the source that step {step} reads")

    def test_targets_are_smoothed_as_asked_for(self, kata):
        """The eps of the loss is 0.1 unless said otherwise. Here it is 0.3."""
        model = Small()
        fresh = copy.deepcopy(model)
        losses = self.train(kata, model, steps=2, eps=0.3, generator=generator())
        unlike = {
            "eps = 0.1 in place of the eps asked for": self.by_hand(fresh, model.read)[
                0
            ]
        }
        expected, _ = self.by_hand(fresh, model.read, eps=0.3)
        check.close(
            losses, expected, rtol=1e-3, unlike=unlike, what="the losses with eps = 0.3"
        )

    def test_the_rate_follows_the_schedule(self, kata):
        """Step k has the rate lr_scale · noam_lr(k, D, warmup), with k from 1: a
        schedule counted from 0 makes a first step of nothing. Read off the optimizer at
        every step.
        """
        groups = []
        hook = register_optimizer_step_pre_hook(
            lambda optimizer, *_: groups.append(dict(optimizer.param_groups[0]))
        )
        try:
            kata.train_reverse(
                Small(), steps=8, generator=generator(), warmup=3, lr_scale=0.4, **SIZES
            )
        finally:
            hook.remove()

        def rates(first, scale=0.4, d_model=9, warmup=3):
            steps = range(first, first + 8)
            return [
                scale * d_model**-0.5 * min(max(k, 1e-9) ** -0.5, k * warmup**-1.5)
                for k in steps
            ]

        unlike = {
            "steps counted from 0": rates(0),
            "the schedule is one step ahead": rates(2),
            "lr_scale is left out": rates(1, scale=1.0),
            "the rates of d_model = 32, not of this model's width": rates(
                1, d_model=32
            ),
            "the rates of warmup = 60": rates(1, warmup=60),
        }
        check.close(
            [group["lr"] for group in groups],
            rates(1),
            unlike=unlike,
            what="the rates of steps 1 to 8",
        )
        found = [(tuple(group["betas"]), group["eps"]) for group in groups[:1]]
        check.equal(found, [((0.9, 0.98), 1e-9)], what="betas and eps of Adam")

    @pytest.mark.timeout(120)
    def test_learns_to_reverse(self, kata):
        """The paper's recipe in small. Smoothed targets leave a floor of 0.500, the
        entropy of the targets themselves: the last 20 losses come near it. Of 200 new
        sequences more than 160 are reversed without a mistake.
        """
        model, losses = learned(kata)
        end = sum(losses[-20:]) / 20
        check.that(
            losses[0] > 2,
            f"the first loss is {losses[0]:.3f}: a fresh model should be above ln 10 "
            "= 2.3",
        )
        check.that(
            end < 0.65,
            f"the last 20 losses have a mean of {end:.3f}: it should be below 0.65",
        )
        src, _, right = kata.reverse_batch(
            200, 3, 4, 10, torch.Generator().manual_seed(1)
        )
        exact = int((kata.greedy_decode(model, src, 5) == right).all(dim=1).sum())
        check.that(
            exact > 160, f"{exact} of 200 new sequences are reversed without a mistake"
        )
