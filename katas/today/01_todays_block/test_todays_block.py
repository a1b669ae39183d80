"""Specs of today/01 · Today's block."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from grader.specs import check

B, T, C, H, H_KV, D, M, V, L = 2, 5, 24, 4, 2, 6, 20, 19, 2

EXACT = {"rtol": 2e-5, "atol": 2e-5}


# The oracles: float64, row by row, pair by pair, head by head.


def normed(x, weight=1.0, eps=1e-5):
    """RMSNorm of rows of any length."""
    rows = [
        row / math.sqrt(sum(v * v for v in row.tolist()) / row.numel() + eps)
        for row in x.double().reshape(-1, x.size(-1))
    ]
    return torch.stack(rows).reshape(x.shape) * weight


def frequencies(width=D, base=10000.0):
    return torch.tensor(
        [base ** (-2 * i / width) for i in range(width // 2)], dtype=torch.float64
    )


def turned(x, positions, inv_freq, scale=1.0, sign=1, pairs=None):
    """RoPE by a rotation matrix for each position; `pairs` lists which two features
    turn together.
    """
    half = x.size(-1) // 2
    pairs = pairs or [(i, i + half) for i in range(half)]
    rows = positions if positions.dim() == 2 else positions.expand(x.size(0), -1)
    out = torch.zeros_like(x, dtype=torch.float64)
    for b in range(x.size(0)):
        for t in range(x.size(2)):
            for (i, j), freq in zip(pairs, inv_freq.tolist(), strict=True):
                angle = sign * rows[b, t].item() * freq
                rotation = torch.tensor(
                    [
                        [math.cos(angle), -math.sin(angle)],
                        [math.sin(angle), math.cos(angle)],
                    ]
                )
                out[b, :, t, [i, j]] = (
                    x[b, :, t, [i, j]].double() @ rotation.double().T * scale
                )
    return out


def neighbours(x, positions, inv_freq):
    """The layout of 18: features 2i and 2i + 1 turn together."""
    return turned(
        x,
        positions,
        inv_freq,
        pairs=[(2 * i, 2 * i + 1) for i in range(x.size(-1) // 2)],
    )


def yarned(width, base, factor, length, fast=32.0, slow=1.0, how="index", most=None):
    """YaRN's frequencies, pair by pair. `how`: the ramp runs over the index, or as in
    one of the known slips.
    """

    def place(turns):
        return width * math.log(length / (2 * math.pi * turns)) / (2 * math.log(base))

    low, high = (
        max(math.floor(place(fast)), 0),
        min(math.ceil(place(slow)), width - 1 if most is None else most),
    )
    found = []
    for i in range(width // 2):
        theta = base ** (-2 * i / width)
        at = 2 * i if how == "features" else i
        share = min(max((at - low) / (high - low), 0.0), 1.0)
        if how == "turns":  # the paper's own ramp
            share = 1 - min(
                max((length * theta / (2 * math.pi) - slow) / (fast - slow), 0.0), 1.0
            )
        if how == "upside down":
            share = 1 - share
        found.append(theta * (1 - share) + theta / factor * share)
    return torch.tensor(found, dtype=torch.float64)


def gated(x, w_gate, w_up, w_down):
    x, w_gate, w_up, w_down = (
        x.double(),
        w_gate.double(),
        w_up.double(),
        w_down.double(),
    )
    gate = torch.einsum("...c,mc->...m", x, w_gate)
    return torch.einsum(
        "...m,cm->...c",
        gate * gate.sigmoid() * torch.einsum("...c,mc->...m", x, w_up),
        w_down,
    )


def shared(h, heads, key_heads):
    """The key head of query head h: neighbours share."""
    return h // (heads // key_heads)


def attended(q, k, v, sees=None, reads=shared, root=None):
    """Grouped attention, query by query. `sees(b, i)`: indices of the keys that query i
    may attend to.
    """
    q, k, v = q.double(), k.double(), v.double()
    (rows, heads, t_q, width), t_k = q.shape, k.size(2)
    sees = sees or (lambda b, i: list(range(i + t_k - t_q + 1)))
    out = torch.zeros(rows, heads, t_q, v.size(-1), dtype=torch.float64)
    for b in range(rows):
        for h in range(heads):
            head = reads(h, heads, k.size(1))
            for i in range(t_q):
                keys = sees(b, i)
                scores = k[b, head, keys] @ q[b, h, i] / (root or math.sqrt(width))
                out[b, h, i] = scores.softmax(0) @ v[b, head, keys]
    return out


def cut(x, heads):
    """(B, T, heads · D) as heads, by slices."""
    return torch.stack(x.split(x.size(-1) // heads, dim=-1), dim=1)


def block_by_hand(
    w,
    x,
    positions,
    inv_freq,
    heads=H,
    key_heads=H_KV,
    scale=1.0,
    eps=1e-5,
    sees=None,
    slip="",
):
    """One block on float64 weights. `slip` names a known mistake to make."""
    h = normed(x, w["input_layernorm.weight"], eps)
    q, k, v = (h @ w[f"self_attn.{name}_proj.weight"].T for name in "qkv")
    if slip == "heads cut by view alone, without a transpose":
        q, k, v = (
            y.reshape(x.size(0), n, x.size(1), -1)
            for y, n in ((q, heads), (k, key_heads), (v, key_heads))
        )
    else:
        q, k, v = cut(q, heads), cut(k, key_heads), cut(v, key_heads)
    if slip == "turned before the norm":
        q, k = (
            turned(q, positions, inv_freq, scale),
            turned(k, positions, inv_freq, scale),
        )
    if "self_attn.q_norm.weight" in w and slip != "no qk_norm":
        q, k = (
            normed(q, w["self_attn.q_norm.weight"], eps),
            normed(k, w["self_attn.k_norm.weight"], eps),
        )
    if slip not in ("turned before the norm", "not turned"):
        q, k = (
            turned(q, positions, inv_freq, scale),
            turned(k, positions, inv_freq, scale),
        )
    if slip == "v turned":
        v = turned(v, positions, inv_freq, scale)
    y = (
        torch.cat(list(attended(q, k, v, sees).unbind(1)), dim=-1)
        @ w["self_attn.o_proj.weight"].T
    )
    once = {"no first residual": y, "added to the normalised x": h + y}.get(
        slip, x.double() + y
    )
    read = x.double() if slip == "the MLP reads the block's input" else once
    norm = (
        "input_layernorm" if slip == "one norm for both" else "post_attention_layernorm"
    )
    gate, up = ("up", "gate") if slip == "gate and up swapped" else ("gate", "up")
    h = read if slip == "no second norm" else normed(read, w[f"{norm}.weight"], eps)
    return once + gated(
        h, *(w[f"mlp.{name}_proj.weight"] for name in (gate, up, "down"))
    )


def weights_of(module):
    return {
        name: tensor.detach().double().clone()
        for name, tensor in module.state_dict().items()
    }


def small(kata, **changes):
    sizes = {
        "vocab_size": V,
        "n_layer": L,
        "n_head": H,
        "n_kv_head": H_KV,
        "n_embd": C,
        "n_hidden": M,
    }
    return kata.DecoderConfig(**(sizes | changes))


def stirred_block(kata, **changes):
    """A block with random parameters: norms that multiply by 1 hide mistakes."""
    block = kata.Block(small(kata, **changes))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0.0, 0.4)
    return block


@st.composite
def scaled_rows(draw):
    """A row of numbers, some of them 0, and a factor."""
    row = draw(
        st.lists(st.sampled_from([-3.0, -0.5, 0.0, 1.0, 2.0]), min_size=2, max_size=6)
    )
    row[0] = 1.5  # RMS 0 has no direction
    return torch.tensor(row, dtype=torch.float64), draw(
        st.sampled_from([1e-3, 0.1, 3.0, 500.0])
    )


class TestRmsNorm:
    def test_the_mean_square_of_each_row_becomes_1(self, kata):
        """x / √(mean(x²)), row by row over the last dimension. No mean is subtracted: a
        row [1, 1, 1] stays as it is, where layer norm makes it 0.
        """
        x = torch.randn(B, T, 7) + 1
        centred = x.double() - x.double().mean(-1, keepdim=True)
        wrong = {
            "the mean was subtracted: RMSNorm keeps it": normed(centred),
            "divided by the standard deviation, which subtracts the mean": x
            / centred.square().mean(-1, keepdim=True).sqrt(),
            "divided by the length of the row: √ of the sum, not of the mean": x
            / x.norm(dim=-1, keepdim=True),
            "the mean over all of x, not over each row": x / x.square().mean().sqrt(),
            "divided by the mean square, without its root": x
            / x.square().mean(-1, keepdim=True),
            "the mean over the positions": x / x.square().mean(1, keepdim=True).sqrt(),
        }
        check.close(kata.rms_norm(x), normed(x), unlike=wrong)

    def test_the_weight_is_multiplied_at_the_end(self, kata):
        """One number per feature scales the normalised row. Before the norm, the
        division would take part of it off.
        """
        x, weight = torch.randn(B, T, 7), torch.randn(7)
        wrong = {
            "without the weight": normed(x),
            "multiplied before the norm": normed(x * weight),
            "1 + weight": normed(x, 1 + weight),
        }
        check.close(kata.rms_norm(x, weight), normed(x, weight), unlike=wrong)

    def test_eps_belongs_under_the_root(self, kata):
        """With small values the mean square is less than eps: about 0.001 for those of
        size 0.03. The root of the sum tells where eps was added.
        """
        numbers = torch.randn(B, 7)
        for size, eps in ((0.03, 0.1), (1e-3, 1e-5), (1e-3, 1e-3)):
            x = size * numbers
            rms = x.double().square().mean(-1, keepdim=True).sqrt()
            wrong = {
                "eps outside the root": x / (rms + eps),
                "eps added to 1 / root": x * (1 / rms + eps),
                "eps is not used": x / rms,
                "1e-5 whatever eps is": normed(x),
                "the square of eps": x / (rms.square() + eps**2).sqrt(),
            }
            check.close(
                kata.rms_norm(x, eps=eps),
                normed(x, eps=eps),
                unlike=wrong,
                what=f"with eps={eps}",
            )

    @given(case=scaled_rows())
    def test_the_scale_of_a_row_does_not_matter(self, kata, case):
        """Without eps, a row and any positive multiple of it have the same norm."""
        row, factor = case
        check.close(
            kata.rms_norm(factor * row, eps=0.0),
            normed(row, eps=0.0),
            what=f"rms_norm({factor} · x)",
        )

    def test_gradient(self, kata):
        """The root mean square depends on x, so it takes part in the gradient. Do not
        detach it.
        """
        check.gradients(
            kata.rms_norm,
            lambda x, w: F.rms_norm(x.double(), (7,), w.double(), 1e-5),
            torch.randn(B, 3, 7),
            torch.randn(7),
        )

    def test_is_written_by_hand(self, kata):
        """The exercise is the formula. F.rms_norm and nn.RMSNorm would be the
        whole answer.
        """
        with check.forbidden(kata, "torch.nn.functional.rms_norm", "torch.nn.RMSNorm"):
            check.shape(kata.rms_norm(torch.randn(B, 7)), (B, 7))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_precision_is_computed_in_float32(self, kata, dtype):
        """The square of 300 overflows float16. The normalised row is cast back before
        the weight is multiplied.
        """
        x, weight = (300 * torch.randn(B, 7)).to(dtype), torch.randn(7).to(dtype)
        got = kata.rms_norm(x, weight)
        check.dtype(got, dtype)
        check.equal(got, F.rms_norm(x.float(), (7,), eps=1e-5).to(dtype) * weight)

    @pytest.mark.edge
    def test_the_input_is_left_alone(self, kata):
        """The residual path still needs x. A non-contiguous view is an input like
        any other.
        """
        x = torch.randn(7, 3).mT
        with check.unchanged(x=x):
            check.close(kata.rms_norm(x), normed(x))


class TestQkNorm:
    def test_each_head_is_normalised_by_itself(self, kata):
        """The mean is over the D features of one head at one position. A norm over all
        heads together would let one loud head silence the others.
        """
        q, k = (
            torch.randn(B, H, T, D)
            * torch.tensor([1.0, 5.0, 0.2, 3.0]).view(1, H, 1, 1),
            torch.randn(B, H_KV, T, D),
        )
        w_q, w_k = torch.randn(D), torch.randn(D)

        def together(x, w):
            flat = normed(x.transpose(1, 2).flatten(2), eps=1e-6)
            return flat.unflatten(-1, (-1, D)).transpose(1, 2) * w

        got = kata.qk_norm(q, k, w_q, w_k)
        check.that(
            isinstance(got, (tuple, list)) and len(got) == 2,
            f"expected (q, k), got {check.describe(got)}",
        )
        for name, mine, x, w, other in (
            ("q", got[0], q, w_q, w_k),
            ("k", got[1], k, w_k, w_q),
        ):
            wrong = {
                "one norm over all heads of a position": together(x, w),
                "the other weight": normed(x, other, 1e-6),
                "without its weight": normed(x, eps=1e-6),
            }
            check.close(mine, normed(x, w, 1e-6), unlike=wrong, what=name)

    def test_eps_is_handed_on(self, kata):
        """eps is 1e-6 unless given. Heads of size 0.001 show which one was used."""
        q, k = 1e-3 * torch.randn(B, H, T, D), 1e-3 * torch.randn(B, H_KV, T, D)
        ones = torch.ones(D)
        for options, eps in (({}, 1e-6), ({"eps": 1e-4}, 1e-4)):
            got = kata.qk_norm(q, k, ones, ones, **options)
            for name, mine, x in zip("qk", got, (q, k), strict=True):
                wrong = {"rms_norm's own default, 1e-5": normed(x)}
                check.close(
                    mine,
                    normed(x, eps=eps),
                    unlike=wrong,
                    what=f"{name} with {options or 'the default eps'}",
                )

    def test_no_score_can_outgrow_the_root_of_d(self, kata):
        """With weights of 1, queries and keys have the length √D. So q · k / √D is at
        most √D, however large they were.
        """
        q, k = 1e3 * torch.randn(3, H, T, D), 1e3 * torch.randn(3, H_KV, T, D)
        for name, x in zip(
            "qk", kata.qk_norm(q, k, torch.ones(D), torch.ones(D)), strict=True
        ):
            check.close(
                x.norm(dim=-1),
                torch.full(x.shape[:-1], math.sqrt(D)),
                what=f"lengths of {name}",
            )


@st.composite
def shifts(draw):
    """Where a query and a key are, and how far both are moved."""
    return draw(st.integers(0, 30)), draw(st.integers(0, 30)), draw(st.integers(0, 200))


class TestRopeHalf:
    def test_a_pair_is_half_a_head_apart(self, kata):
        """[1, 2, 3, 4] has the pairs (1, 3) and (2, 4). A quarter turn makes (1, 3)
        into (−3, 1), an angle of 0 leaves (2, 4).
        """
        x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
        got = kata.rope_half(x, torch.tensor([1]), torch.tensor([math.pi / 2, 0.0]))
        wrong = {
            "neighbouring pairs, the layout of 18": torch.tensor([-2.0, 1, 3, 4]).view(
                1, 1, 1, 4
            ),
            "turned the other way: the sign of sin": torch.tensor([3.0, 2, -1, 4]).view(
                1, 1, 1, 4
            ),
            (
                "feature 1 holds what belongs at D/2: stacked as neighbours, the "
                "layout of 18"
            ): torch.tensor([-3.0, 1, 2, 4]).view(1, 1, 1, 4),
        }
        check.close(got, torch.tensor([-3.0, 2, 1, 4]).view(1, 1, 1, 4), unlike=wrong)

    def test_equals_a_rotation_of_every_pair(self, kata):
        """Pair i of position p turns by p · inv_freq[i]: a cos − b sin to place i, b
        cos + a sin to place i + D/2.
        """
        x, positions, inv_freq = (
            torch.randn(B, 3, T, 8),
            torch.tensor([0, 3, 1, 7, 3]),
            torch.rand(4) + 0.1,
        )
        order = torch.arange(T)
        wrong = {
            "neighbouring pairs, the layout of 18": neighbours(x, positions, inv_freq),
            "turned the other way: the sign of sin": turned(
                x, positions, inv_freq, sign=-1
            ),
            "0 … T − 1 in place of the positions": turned(x, order, inv_freq),
            (
                "feature 1 holds what belongs at D/2: stacked as neighbours, the "
                "layout of 18"
            ): turned(x, positions, inv_freq)
            .unflatten(-1, (2, 4))
            .transpose(-1, -2)
            .flatten(-2),
        }
        check.close(
            kata.rope_half(x, positions, inv_freq),
            turned(x, positions, inv_freq),
            unlike=wrong,
        )

    def test_rows_may_have_positions_of_their_own(self, kata):
        """positions (B, T) give each row its own, for all heads. They need a dimension
        where x has its heads.
        """
        for rows, heads in ((B, 3), (2, 2)):
            x, inv_freq = torch.randn(rows, heads, T, 8), torch.rand(4) + 0.1
            positions = torch.tensor([[0, 1, 2, 3, 4], [6, 2, 9, 3, 1]])
            first = positions[0]
            wrong = {
                "row 0's positions for all rows": turned(x, first, inv_freq),
                "each head with the positions of one row": turned(
                    x.transpose(0, 1), positions, inv_freq
                ).transpose(0, 1)
                if rows == heads
                else turned(x, first, inv_freq),
            }
            got = kata.rope_half(x, positions, inv_freq)
            check.close(
                got,
                turned(x, positions, inv_freq),
                unlike=wrong,
                what=f"{rows} rows, {heads} heads",
            )

    def test_is_18s_rotation_after_a_permutation(self, kata):
        """Take the even features first, then the odd ones: halves then turn as
        neighbours did, in values and gradients. So a model trained with one layout is
        wrong with the other until its weights are permuted.
        """
        x, positions, inv_freq = (
            torch.randn(B, 3, T, 8),
            torch.arange(T) + 2,
            frequencies(8),
        )
        even_odd = [0, 2, 4, 6, 1, 3, 5, 7]
        check.gradients(
            lambda x: kata.rope_half(x[..., even_odd], positions, inv_freq.float()),
            lambda x: neighbours(x, positions, inv_freq)[..., even_odd],
            x,
        )
        got = kata.rope_half(x[..., even_odd], positions, inv_freq.float())
        check.close(got, neighbours(x, positions, inv_freq)[..., even_odd], **EXACT)

    @given(case=shifts())
    def test_scores_depend_on_the_distance_only(self, kata, case):
        """Move a query and a key by the same number of positions: their score stays.
        That is why rotations can encode positions.
        """
        at_q, at_k, shift = case
        q, k = (
            torch.arange(1.0, 9).double().view(1, 1, 1, 8),
            torch.linspace(-2, 1, 8).double().view(1, 1, 1, 8),
        )
        inv_freq = frequencies(8)
        near = turned(q, torch.tensor([at_q]), inv_freq) * turned(
            k, torch.tensor([at_k]), inv_freq
        )
        far = [
            kata.rope_half(x, torch.tensor([p + shift]), inv_freq)
            for x, p in ((q, at_q), (k, at_k))
        ]
        check.close(
            (far[0] * far[1]).sum(),
            near.sum(),
            rtol=1e-5,
            atol=1e-5,
            what=f"the score moved by {shift}",
        )

    def test_scale_multiplies_cos_and_sin(self, kata):
        """Without a scale, lengths stay. With scale 1.5 every turned vector is 1.5
        times as long.
        """
        x, positions, inv_freq = (
            torch.randn(B, 3, T, 8),
            torch.arange(T) + 1,
            torch.rand(4) + 0.1,
        )
        ordinary = turned(x, positions, inv_freq)
        a, b = (part.double() for part in x.chunk(2, dim=-1))
        angles = positions[:, None] * inv_freq.double()
        wrong = {
            "the scale is not used": ordinary,
            "the angles were scaled": turned(x, positions, 1.5 * inv_freq),
            "only cos is scaled": torch.cat(
                [
                    1.5 * a * angles.cos() - b * angles.sin(),
                    1.5 * b * angles.cos() + a * angles.sin(),
                ],
                dim=-1,
            ),
        }
        check.close(
            kata.rope_half(x, positions, inv_freq, 1.5), 1.5 * ordinary, unlike=wrong
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_angles_are_not_rounded_to_half_precision(self, kata, dtype):
        """bfloat16 has 8 bits: at position 3001 it counts in steps of 16. Angles need
        float32; the result has the dtype of x.
        """
        x, positions, inv_freq = (
            torch.randn(1, 2, 1, 8).to(dtype),
            torch.tensor([3001]),
            frequencies(8).to(dtype),
        )
        got = kata.rope_half(x, positions, inv_freq)
        check.dtype(got, dtype)
        check.close(got, turned(x, positions, inv_freq), rtol=2e-2, atol=2e-2)

    @pytest.mark.edge
    def test_an_odd_width_is_an_error(self, kata):
        """Seven features do not come in pairs. The message names the width."""
        with check.raises(ValueError, 7):
            kata.rope_half(torch.randn(1, 2, 3, 7), torch.arange(3), torch.rand(3))


@pytest.mark.stretch
class TestYarnFrequencies:
    @pytest.mark.parametrize(
        ("width", "base", "factor", "length"),
        [(16, 10000.0, 4.0, 64), (64, 5e5, 8.0, 2048), (16, 10.0, 4.0, 600)],
    )
    def test_equals_a_loop_over_pairs(self, kata, width, base, factor, length):
        """Pairs below `low` stay, pairs above `high` are divided by the factor, and in
        between a ramp over the pair's index mixes both.
        """
        case = (width, base, factor, length)
        wrong = {
            f"the ramp is {name}": yarned(*case, how=how)
            for name, how in (
                ("upside down", "upside down"),
                ("over features 2i, not over pairs i", "features"),
                (
                    (
                        "over the number of turns, as in the paper's text: its code "
                        "takes the index"
                    ),
                    "turns",
                ),
            )
        }
        if length == 600:
            wrong["high is at most D/2 − 1: the ramp is too steep"] = yarned(
                *case, most=width // 2 - 1
            )
        plain = frequencies(width, base)
        wrong |= {"all divided by the factor": plain / factor, "none divided": plain}
        check.close(kata.yarn_frequencies(*case)[0], yarned(*case), unlike=wrong)

    def test_fast_pairs_stay_and_slow_ones_are_divided(self, kata):
        """A pair that turns many times within the trained length has seen all its
        angles. One that turns less than once would meet new angles, so it is
        slowed down.
        """
        got = kata.yarn_frequencies(64, 10000.0, 4.0, 2048)[0]
        plain = frequencies(64)
        check.close(got[0], plain[0], what="the fastest pair")
        check.close(got[-1], plain[-1] / 4, what="the slowest pair")

    def test_the_betas_decide_which(self, kata):
        """beta_fast and beta_slow are numbers of turns. Other values move both ends of
        the ramp.
        """
        case = (32, 10000.0, 4.0, 512)
        wrong = {
            "the defaults 32 and 1": yarned(*case),
            "fast and slow swapped": yarned(*case, fast=2.0, slow=9.0),
        }
        check.close(
            kata.yarn_frequencies(*case, 9.0, 2.0)[0],
            yarned(*case, fast=9.0, slow=2.0),
            unlike=wrong,
        )

    def test_a_factor_of_1_changes_nothing(self, kata):
        """Frequencies and scale are the plain ones. For a shorter context, too, the
        scale is 1.
        """
        inv_freq, scale = kata.yarn_frequencies(16, 10000.0, 1.0, 64)
        check.close(inv_freq, frequencies(16), what="inv_freq")
        check.close(scale, 1.0, what="scale")
        wrong = {
            "0.1 · ln(factor) + 1, which is for factors above 1": 0.1 * math.log(0.5)
            + 1
        }
        check.close(
            kata.yarn_frequencies(16, 10000.0, 0.5, 64)[1],
            1.0,
            unlike=wrong,
            what="scale for factor 0.5",
        )

    def test_the_scale_grows_with_the_logarithm(self, kata):
        """0.1 · ln(factor) + 1: longer texts spread attention, and larger scores make
        it sharp again.
        """
        for factor in (2.0, 4.0, 16.0):
            scale = kata.yarn_frequencies(16, 10000.0, factor, 64)[1]
            wrong = {
                "the logarithm to the base 10": 0.1 * math.log10(factor) + 1,
                "without the 1": 0.1 * math.log(factor),
            }
            check.close(
                scale,
                0.1 * math.log(factor) + 1,
                unlike=wrong,
                what=f"scale for factor {factor}",
            )

    @pytest.mark.edge
    def test_a_ramp_without_length(self, kata):
        """In a very short context, low and high are both 0, and (i − low) / 0 would be
        NaN for i = 0.
        """
        theta = frequencies(16)
        expected = torch.cat([theta[:1], theta[1:] / 4])
        check.close(kata.yarn_frequencies(16, 10000.0, 4.0, 6)[0], expected)


class TestSwiglu:
    def test_a_gate_multiplies_the_values(self, kata):
        """silu of one projection times the other, then down. Gate and up have the same
        shape, and are not interchangeable.
        """
        x, w_gate, w_up, w_down = (
            torch.randn(B, T, 7),
            torch.randn(M, 7),
            torch.randn(M, 7),
            torch.randn(7, M),
        )
        g, u = x @ w_gate.T, x @ w_up.T
        wrong = {
            "silu on the up branch: gate and up swapped": gated(
                x, w_up, w_gate, w_down
            ),
            "the gate is not used": F.silu(u) @ w_down.T,
            "no activation": (g * u) @ w_down.T,
            "a sigmoid, not silu: GLU": (g.sigmoid() * u) @ w_down.T,
            "GELU: GEGLU": (F.gelu(g) * u) @ w_down.T,
            "gate and up added": (F.silu(g) + u) @ w_down.T,
            "silu after the product": F.silu(g * u) @ w_down.T,
        }
        check.close(
            kata.swiglu(x, w_gate, w_up, w_down),
            gated(x, w_gate, w_up, w_down),
            **EXACT,
            unlike=wrong,
        )

    def test_any_leading_dimensions(self, kata):
        """Each position is processed on its own: a single row, and a batch of heads,
        give the same numbers.
        """
        w = torch.randn(M, 7), torch.randn(M, 7), torch.randn(7, M)
        for shape in ((7,), (3, 7), (2, 3, 4, 7)):
            x = torch.randn(shape)
            check.close(
                kata.swiglu(x, *w), gated(x, *w), **EXACT, what=f"x of shape {shape}"
            )

    def test_gradient(self, kata):
        """The input and all three weights learn."""
        check.gradients(
            kata.swiglu,
            gated,
            torch.randn(3, 7),
            torch.randn(M, 7),
            torch.randn(M, 7),
            torch.randn(7, M),
        )


class TestGqaAttention:
    def test_neighbouring_query_heads_share_a_key_head(self, kata):
        """With H = 6 and H_kv = 2, query heads 0, 1, 2 read key head 0, and 3, 4, 5
        read key head 1.
        """
        q, k, v = (
            torch.randn(B, 6, T, D),
            torch.randn(B, 2, T, D),
            torch.randn(B, 2, T, D),
        )
        everything = attended(q, k, v, sees=lambda b, i: list(range(T)))
        wrong = {
            (
                "query head 1 reads key head 1: `repeat` deals heads out in turn, "
                "`repeat_interleave` in groups"
            ): attended(q, k, v, reads=lambda h, heads, key_heads: h % key_heads),
            "every query head reads key head 0": attended(q, k, v, reads=lambda *_: 0),
            "scores not divided by √D": attended(q, k, v, root=1.0),
            "scores divided by D": attended(q, k, v, root=D),
            "no causal mask": everything,
        }
        check.close(kata.gqa_attention(q, k, v), attended(q, k, v), unlike=wrong)

    @pytest.mark.parametrize("t_q", [1, 3])
    def test_fewer_queries_than_keys_are_the_newest(self, kata, t_q):
        """With a cache there are few queries and many keys. The newest token sees all 7
        keys; with is_causal=True, it would see the first one only.
        """
        q, k, v = (
            torch.randn(4, 6, t_q, 8),
            torch.randn(4, 2, 7, 8),
            torch.randn(4, 2, 7, 8),
        )
        wrong = {
            (
                "aligned at the top left: the first query sees one key of 7, as with "
                "is_causal=True"
            ): attended(q, k, v, sees=lambda b, i: list(range(i + 1))),
        }
        if t_q > 1:
            wrong["every query sees all keys"] = attended(
                q, k, v, sees=lambda b, i: list(range(7))
            )
        check.close(kata.gqa_attention(q, k, v), attended(q, k, v), unlike=wrong)

    @pytest.mark.parametrize(
        "key_heads", [1, 3], ids=["one key head", "one per query head"]
    )
    def test_the_extremes_are_multi_query_and_multi_head(self, kata, key_heads):
        """With one key head all query heads share it. With as many as query heads, it
        is 25's attention.
        """
        q, k, v = (
            torch.randn(B, 3, T, D),
            torch.randn(B, key_heads, T, D),
            torch.randn(B, key_heads, T, D),
        )
        check.close(kata.gqa_attention(q, k, v), attended(q, k, v))

    def test_a_mask_says_who_attends_to_whom(self, kata):
        """True = may attend. The mask takes the place of the causal one, so it may
        allow later keys. It broadcasts.
        """
        q, k, v = (
            torch.randn(B, 6, T, D),
            torch.randn(B, 2, 7, D),
            torch.randn(B, 2, 7, D),
        )
        for shape in ((T, 7), (B, 1, T, 7)):
            mask = torch.rand(shape) < 0.5
            # each query has a key, and lacks one
            mask[..., 0], mask[..., 1] = True, False
            full = mask.expand(B, 1, T, 7)

            def allowed(b, i, full=full):
                return full[b, 0, i].nonzero().flatten().tolist()

            wrong = {
                "the mask is inverted": attended(
                    q,
                    k,
                    v,
                    lambda b, i, f=full: (~f[b, 0, i]).nonzero().flatten().tolist(),
                ),
                "the mask is not used": attended(q, k, v),
                "the causal mask on top of the given one": attended(
                    q,
                    k,
                    v,
                    lambda b, i, f=full: (
                        f[b, 0, i, : i + 3].nonzero().flatten().tolist()
                    ),
                ),
            }
            got = kata.gqa_attention(q, k, v, mask)
            check.close(
                got,
                attended(q, k, v, allowed),
                unlike=wrong,
                what=f"with a mask {tuple(shape)}",
            )

    def test_gradient(self, kata):
        """A shared key head gets the gradients of all query heads that read it."""
        q, k, v = (
            torch.randn(B, 6, T, D),
            torch.randn(B, 2, T, D),
            torch.randn(B, 2, T, D),
        )
        check.gradients(kata.gqa_attention, attended, q, k, v)

    @pytest.mark.edge
    def test_heads_must_share_evenly(self, kata):
        """Five query heads cannot share two key heads. The message names both."""
        with check.raises(ValueError, 5, 2):
            kata.gqa_attention(
                torch.randn(B, 5, T, D),
                torch.randn(B, 2, T, D),
                torch.randn(B, 2, T, D),
            )


SHAPES = {
    "input_layernorm.weight": (C,),
    "self_attn.q_proj.weight": (C, C),
    "self_attn.k_proj.weight": (H_KV * D, C),
    "self_attn.v_proj.weight": (H_KV * D, C),
    "self_attn.o_proj.weight": (C, C),
    "post_attention_layernorm.weight": (C,),
    "mlp.gate_proj.weight": (M, C),
    "mlp.up_proj.weight": (M, C),
    "mlp.down_proj.weight": (C, M),
}


class TestBlockInit:
    @pytest.mark.parametrize("qk_norm", [False, True], ids=["plain", "qk_norm"])
    def test_names_are_llamas(self, kata, qk_norm):
        """Published weights are found by name, so each name counts. There are no
        biases, and q_norm and k_norm exist only with config.qk_norm.
        """
        expected = set(SHAPES) | (
            {"self_attn.q_norm.weight", "self_attn.k_norm.weight"} if qk_norm else set()
        )
        names = set(kata.Block(small(kata, qk_norm=qk_norm)).state_dict())
        missing, extra = sorted(expected - names), sorted(names - expected)
        check.that(
            not missing and not extra,
            f"missing are {missing or 'none'}, too many are {extra or 'none'}",
        )

    def test_shapes(self, kata):
        """Keys and values have H_kv heads, fewer than queries. nn.Linear holds a weight
        as (out, in).
        """
        state = kata.Block(small(kata, qk_norm=True)).state_dict()
        for name, shape in (
            SHAPES | {"self_attn.q_norm.weight": (D,), "self_attn.k_norm.weight": (D,)}
        ).items():
            check.that(name in state, f"the state dict has no {name}")
            check.shape(state[name], shape, what=name)

    def test_parts_are_found_by_name(self, kata):
        """Loading and later katas reach the parts as attributes. The projections
        are nn.Linear.
        """
        block = kata.Block(small(kata))
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            part = getattr(block.self_attn, name)
            check.that(
                isinstance(part, nn.Linear),
                f"self_attn.{name} is {type(part).__name__}, expected Linear",
            )
        for name in ("gate_proj", "up_proj", "down_proj"):
            part = getattr(block.mlp, name)
            check.that(
                isinstance(part, nn.Linear),
                f"mlp.{name} is {type(part).__name__}, expected Linear",
            )
        check.equal(block.config.n_kv_head, H_KV, what="config.n_kv_head")

    def test_norms_start_at_1(self, kata):
        """A new norm passes its rows on as they are normalised."""
        state = kata.Block(small(kata, qk_norm=True)).state_dict()
        for name in (name for name in state if "norm" in name):
            check.close(state[name], torch.ones(state[name].shape), what=name)

    @pytest.mark.edge
    def test_heads_may_have_a_size_of_their_own(self, kata):
        """Qwen 3's smallest model has C = 1024, and 16 heads of 128 features: q_proj
        makes 2048.
        """
        state = kata.Block(small(kata, qk_norm=True, head_dim=10)).state_dict()
        shapes = {
            "q_proj": (10 * H, C),
            "k_proj": (10 * H_KV, C),
            "v_proj": (10 * H_KV, C),
            "o_proj": (C, 10 * H),
        }
        for name, shape in (shapes | {"q_norm": (10,), "k_norm": (10,)}).items():
            check.shape(state[f"self_attn.{name}.weight"], shape, what=name)


class TestBlockForward:
    @pytest.mark.parametrize("qk_norm", [False, True], ids=["plain", "qk_norm"])
    def test_attention_then_mlp_each_added(self, kata, qk_norm):
        """Two sums: x + attention(norm(x)), then x + mlp(norm(x)). Queries and keys are
        normalised, if at all, and then turned. Values are neither.
        """
        block = stirred_block(kata, qk_norm=qk_norm)
        x, positions, inv_freq = (
            torch.randn(B, T, C),
            torch.arange(T) + 3,
            torch.tensor([1.0, 0.5, 0.2]),
        )
        w = weights_of(block)
        slips = [
            *(
                "v turned",
                "not turned",
                "no first residual",
                "the MLP reads the block's input",
                "gate and up swapped",
            ),
            *("one norm for both", "no second norm", "added to the normalised x"),
            "heads cut by view alone, without a transpose",
            *(("turned before the norm", "no qk_norm") if qk_norm else ()),
        ]
        wrong = {
            slip: block_by_hand(w, x, positions, inv_freq, slip=slip) for slip in slips
        }
        check.close(
            block(x, positions, inv_freq),
            block_by_hand(w, x, positions, inv_freq),
            **EXACT,
            unlike=wrong,
        )

    def test_every_argument_reaches_its_part(self, kata):
        """scale goes to both rotations, a mask to the attention, positions of each row
        to its row, and config.eps to every norm.
        """
        block = stirred_block(kata, qk_norm=True, eps=0.3)
        x, inv_freq, scale = torch.randn(B, T, C), torch.tensor([1.0, 0.5, 0.2]), 1.7
        positions = torch.tensor([[0, 1, 2, 3, 4], [5, 0, 2, 2, 9]])
        mask = torch.eye(T, dtype=torch.bool) | (torch.rand(T, T) < 0.4)
        mask[0, 4] = True  # a later key, which the causal mask hides

        def sees(b, i):
            return mask[i].nonzero().flatten().tolist()

        w = weights_of(block)
        all_given = {"scale": scale, "eps": 0.3, "sees": sees}
        expected = block_by_hand(w, x, positions, inv_freq, **all_given)
        wrong = {
            "scale was not handed on": block_by_hand(
                w, x, positions, inv_freq, **(all_given | {"scale": 1.0})
            ),
            "the mask was not handed on": block_by_hand(
                w, x, positions, inv_freq, **(all_given | {"sees": None})
            ),
            "the norms do not use config.eps": block_by_hand(
                w, x, positions, inv_freq, **(all_given | {"eps": 1e-5})
            ),
            "0 … T − 1 in place of the positions": block_by_hand(
                w, x, torch.arange(T), inv_freq, **all_given
            ),
        }
        check.close(
            block(x, positions, inv_freq, scale, mask), expected, **EXACT, unlike=wrong
        )

    def test_the_future_does_not_leak(self, kata):
        """Position t is computed from positions 0 … t. Changing the last one leaves all
        others as they were.
        """
        block = stirred_block(kata)
        x, inv_freq = torch.randn(B, T, C), torch.tensor([1.0, 0.5, 0.2])
        changed = torch.cat([x[:, :-1], x[:, -1:] + 1], dim=1)
        before, after = (
            block(y, torch.arange(T), inv_freq)[:, :-1] for y in (x, changed)
        )
        check.close(after, before, what="positions 0 … T − 2 after a change at T − 1")

    def test_gradients_reach_input_and_weights(self, kata):
        """Every parameter takes part, the two norms of queries and keys included."""
        block = stirred_block(kata, qk_norm=True)
        positions, inv_freq = torch.arange(T), torch.tensor([1.0, 0.5, 0.2])
        x = torch.randn(B, T, C)
        y = block(x, positions, inv_freq)
        check.that(y.requires_grad, "the result has no autograd graph")
        got = torch.autograd.grad(
            y.square().sum(), list(block.parameters()), allow_unused=True
        )
        names = [name for name, _ in block.named_parameters()]
        silent = [
            name for name, g in zip(names, got, strict=True) if g is None or not g.any()
        ]
        check.that(not silent, f"no gradient reaches {', '.join(silent)}")

    @pytest.mark.edge
    def test_heads_of_another_size(self, kata):
        """12 features per head where C / H is another number. o_proj brings the H·D
        features back to C.
        """
        block = stirred_block(kata, head_dim=12)
        x, positions, inv_freq = (
            torch.randn(B, T, C),
            torch.arange(T),
            frequencies(12).float(),
        )
        expected = block_by_hand(weights_of(block), x, positions, inv_freq)
        check.close(block(x, positions, inv_freq), expected, **EXACT)


HF = {
    "hidden_size": 36,
    "intermediate_size": M,
    "num_hidden_layers": L,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": V,
    "rms_norm_eps": 1e-4,
    "rope_theta": 500.0,
    "max_position_embeddings": 64,
    "hidden_act": "silu",
}


def llama_state(head=True):
    """A random Llama in the layout of its files, with norms away from 1."""
    shapes = {
        "input_layernorm.weight": (36,),
        "self_attn.q_proj.weight": (36, 36),
        "self_attn.k_proj.weight": (12, 36),
        "self_attn.v_proj.weight": (12, 36),
        "self_attn.o_proj.weight": (36, 36),
        "post_attention_layernorm.weight": (36,),
        "mlp.gate_proj.weight": (M, 36),
        "mlp.up_proj.weight": (M, 36),
        "mlp.down_proj.weight": (36, M),
    }
    state = {"model.embed_tokens.weight": torch.randn(V, 36)}
    for i in range(L):
        state |= {
            f"model.layers.{i}.{name}": 0.3 * torch.randn(shape)
            for name, shape in shapes.items()
        }
    state["model.norm.weight"] = torch.rand(36) + 0.5
    return state | ({"lm_head.weight": torch.randn(V, 36)} if head else {})


def logits_by_hand(state, idx, base=500.0, eps=1e-4, heads=6, key_heads=2, width=6):
    w = {name: tensor.double() for name, tensor in state.items()}
    x = w["model.embed_tokens.weight"][idx]
    for i in range(L):
        prefix = f"model.layers.{i}."
        block = {
            name.removeprefix(prefix): tensor
            for name, tensor in w.items()
            if name.startswith(prefix)
        }
        positions = torch.arange(idx.size(1))
        x = block_by_hand(
            block, x, positions, frequencies(width, base), heads, key_heads, eps=eps
        )
    return (
        normed(x, w["model.norm.weight"], eps)
        @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
    )


def some_ids():
    return torch.randint(V, (B, T))


LOGITS = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.stretch
class TestLoadLlama:
    def test_the_logits_are_the_models(self, kata):
        """Every number of the config and every tensor is in its place. A wrong base of
        the angles or a transposed q_proj runs without an error.
        """
        state, idx = llama_state(), some_ids()
        turned_q = {
            n: t.T if n.endswith(("q_proj.weight", "o_proj.weight")) else t
            for n, t in state.items()
        }
        wrong = {
            "rope_theta was not used: the angles have the base 10000": logits_by_hand(
                state, idx, base=10000.0
            ),
            "rms_norm_eps was not used": logits_by_hand(state, idx, eps=1e-5),
            "square weights transposed: Llama's are nn.Linear's layout already": (
                logits_by_hand(turned_q, idx)
            ),
        }
        check.close(
            kata.load_llama(HF, state)(idx),
            logits_by_hand(state, idx),
            **LOGITS,
            unlike=wrong,
            what="logits",
        )

    def test_the_base_of_the_angles(self, kata):
        """Newer files have it in rope_parameters, older ones as rope_theta. Without
        either it is 10000.
        """
        state, idx = llama_state(), some_ids()
        bare = {key: value for key, value in HF.items() if key != "rope_theta"}
        newer = bare | {"rope_parameters": {"rope_theta": 80.0, "rope_type": "default"}}
        for what, config, base in (
            ("rope_parameters", newer, 80.0),
            ("no base", bare, 10000.0),
        ):
            wrong = (
                {"the base 10000": logits_by_hand(state, idx)}
                if base != 10000.0
                else {}
            )
            got = kata.load_llama(config, state)(idx)
            check.close(
                got,
                logits_by_hand(state, idx, base=base),
                **LOGITS,
                unlike=wrong,
                what=f"logits with {what}",
            )

    def test_a_tied_model_needs_no_head(self, kata):
        """Its output layer is the token embedding: one Parameter, under two names."""
        idx, config = some_ids(), HF | {"tie_word_embeddings": True}
        for head in (False, True):
            state = llama_state(head=False)
            model = kata.load_llama(
                config,
                state
                | (
                    {"lm_head.weight": state["model.embed_tokens.weight"]}
                    if head
                    else {}
                ),
            )
            check.close(
                model(idx),
                logits_by_hand(state, idx),
                **LOGITS,
                what="logits of a tied model",
            )
            same = model.lm_head.weight is model.model.embed_tokens.weight
            check.that(
                same, "lm_head.weight and embed_tokens.weight are two Parameters"
            )

    def test_frequencies_in_the_file_are_no_parameters(self, kata):
        """Older files hold rotary_emb.inv_freq. The model computes its own."""
        state, idx = llama_state(), some_ids()
        older = state | {
            f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(3)
            for i in range(L)
        }
        check.close(
            kata.load_llama(HF, older)(idx),
            logits_by_hand(state, idx),
            **LOGITS,
            what="logits",
        )

    def test_a_missing_tensor_is_named(self, kata):
        """It would keep its random start. An untied model without its head is such
        a case.
        """
        for name in (
            "model.layers.1.mlp.up_proj.weight",
            "model.norm.weight",
            "lm_head.weight",
        ):
            state = llama_state()
            del state[name]
            with check.raises(ValueError, name):
                kata.load_llama(HF, state)

    def test_an_unexpected_tensor_is_named(self, kata):
        """A bias or a third layer means that the model computes something else."""
        for name in (
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.2.input_layernorm.weight",
        ):
            with check.raises(ValueError, name):
                kata.load_llama(HF, llama_state() | {name: torch.randn(36)})

    def test_a_wrong_shape_is_named(self, kata):
        """With num_key_value_heads 3 in the config, k_proj should have 18 rows, and the
        file has 12.
        """
        with check.raises(ValueError, "self_attn.k_proj.weight"):
            kata.load_llama(HF | {"num_key_value_heads": 3}, llama_state())

    @pytest.mark.edge
    @pytest.mark.parametrize("width", [6, 10], ids=["C / H", "head_dim"])
    def test_qwen_3_is_loaded(self, kata, width):
        """Its blocks normalise queries and keys, and its heads have head_dim features,
        not C / H.
        """
        state, idx = llama_state(), some_ids()
        for i in range(L):
            shapes = {
                "q_proj": (6 * width, 36),
                "k_proj": (2 * width, 36),
                "v_proj": (2 * width, 36),
            }
            shapes |= {
                "o_proj": (36, 6 * width),
                "q_norm": (width,),
                "k_norm": (width,),
            }
            attention = {
                f"{name}.weight": 0.3 * torch.randn(shape)
                for name, shape in shapes.items()
            }
            state |= {
                f"model.layers.{i}.self_attn.{name}": tensor
                for name, tensor in attention.items()
            }
        got = kata.load_llama(HF | ({"head_dim": width} if width != 6 else {}), state)(
            idx
        )
        check.close(
            got, logits_by_hand(state, idx, width=width), **LOGITS, what="logits"
        )

    @pytest.mark.edge
    def test_rotations_of_a_part_are_refused(self, kata):
        """A model that turns half of each head's features would load, and
        write nonsense.
        """
        for place in (
            {"partial_rotary_factor": 0.5},
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
        ):
            with check.raises(ValueError, "partial_rotary_factor"):
                kata.load_llama(HF | place, llama_state())

    @pytest.mark.edge
    def test_a_tied_model_without_an_embedding(self, kata):
        """Neither of the two names is there. The message says what is missing."""
        state = llama_state(head=False)
        del state["model.embed_tokens.weight"]
        with check.raises(ValueError, "model.embed_tokens.weight"):
            kata.load_llama(HF | {"tie_word_embeddings": True}, state)

    @pytest.mark.edge
    def test_nothing_is_shared_with_the_file(self, kata):
        """Training the model must not change the tensors that it came from, nor
        may loading.
        """
        for tied in (False, True):
            state = llama_state(head=not tied)
            names = set(state)
            model = kata.load_llama(HF | {"tie_word_embeddings": tied}, state)
            check.equal(
                sorted(state), sorted(names), what="names in the state after the call"
            )
            for name, parameter in model.named_parameters():
                check.independent(parameter.detach(), state[name], what=name)

    @pytest.mark.edge
    @pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
    def test_other_rotations_are_refused(self, kata, key):
        """A model with stretched rotations would load, and be wrong on longer text. The
        message names the type.
        """
        with check.raises(ValueError, "llama3"):
            kata.load_llama(
                HF | {key: {"rope_type": "llama3", "factor": 8.0}}, llama_state()
            )
