"""Specs of kernels/05 · FlashAttention."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from grader import kernels
from grader.specs import check


def inputs(*shape, count=3):
    return [torch.randn(shape) for _ in range(count)]


def attended(q, k, v, causal=False):
    """Attention and its log-sum-exp in float64, with all scores in memory."""
    T = q.size(2)
    scores = q.double() @ k.double().mT / math.sqrt(q.size(3))
    if causal:
        scores = scores.masked_fill(torch.ones(T, k.size(2)).triu(1) == 1, -math.inf)
    return scores.softmax(-1) @ v.double(), scores.logsumexp(-1)


def mixed(outs, lses):
    """Parts with the weights exp(lse_s) / Σ exp(lse_s)."""
    return torch.einsum("s...,s...d->...d", lses.double().softmax(0), outs.double())


def by_tiles(q, k, v, fade_total=True, fade_mixed=True):
    """Attention over tiles of 16 keys, in which a slip may be asked for."""
    scores = q.double() @ k.double().mT / math.sqrt(q.size(3))
    top, total, mixed = torch.tensor(-math.inf), 0.0, 0.0
    for part, values in zip(scores.split(16, -1), v.double().split(16, -2)):
        now = part.amax(-1, keepdim=True).maximum(top)
        fade, weights = (top - now).exp(), (part - now).exp()
        total = total * (fade if fade_total else 1) + weights.sum(-1, keepdim=True)
        mixed = mixed * (fade if fade_mixed else 1) + weights @ values
        top = now
    return mixed / total, (top + total.log()).squeeze(-1)


def gradients(q, k, v, dout, causal):
    """dq, dk and dv in float64, by autograd."""
    leaves = [x.double().requires_grad_() for x in (q, k, v)]
    return torch.autograd.grad(attended(*leaves, causal)[0], leaves, dout.double())


def kept(q, k, v, dout, causal):
    """The log-sum-exp, and Σ out · dout: what the backward kernels are given."""
    out, lse = attended(q, k, v, causal)
    return lse.float(), (out * dout).sum(-1).float()


def kept_at_most(tensors, most):
    largest = max(
        (x.numel() for x in tensors if isinstance(x, torch.Tensor)), default=0
    )
    check.that(largest <= most, f"a tensor of {largest} numbers is kept: q has {most}")


def visited(T, block_q, block_k):
    """The pairs of tiles, each a range, in which a query sees a key that does not come
    after it.
    """
    queries, keys = (
        [range(i, min(i + size, T)) for i in range(0, T, size)]
        for size in (block_q, block_k)
    )
    return [
        (rows, columns)
        for rows in queries
        for columns in keys
        if rows[-1] >= columns[0]
    ]


@st.composite
def cases(draw):
    return (
        draw(st.integers(1, 40)),
        draw(st.booleans()),
        draw(st.sampled_from([16, 32])),
    )


class TestCausalTiles:
    def test_up_to_the_diagonal(self, kata):
        """With as many queries as keys per tile, tile i needs the tiles 0 to i: its own
        is the last one.
        """
        wrong = {
            "the diagonal's tile left out": [0, 1, 2, 3],
            "no tile left out": [4, 4, 4, 4],
        }
        check.equal(
            [kata.causal_tiles(i, 16, 16, 64) for i in range(4)],
            [1, 2, 3, 4],
            unlike=wrong,
        )

    def test_tiles_of_unlike_size(self, kata):
        """What counts is the last query of tile i, and in which tile of keys the key of
        that number lies.
        """
        for block_q, block_k in ((16, 8), (16, 32), (32, 16)):
            queries = torch.arange(96).split(block_q)
            found = [
                kata.causal_tiles(i, block_q, block_k, 96) for i in range(len(queries))
            ]
            wrong = {"as if both sizes were one": list(range(1, len(queries) + 1))}
            check.equal(
                found, [int(rows[-1]) // block_k + 1 for rows in queries], unlike=wrong
            )

    def test_nothing_after_the_end(self, kata):
        """The last tile of queries may be cut off: keys from T on are not there."""
        found = [kata.causal_tiles(T // 32, 32, 16, T) for T in (33, 40, 65)]
        check.equal(found, [3, 3, 5], unlike={"the last tile not cut off": [4, 4, 6]})


class TestFlashForward:
    def test_one_tile(self, kata):
        """With 16 keys there is nothing to go over: scores, softmax, mixture, and the
        log of the softmax's sum.
        """
        q, k, v = inputs(1, 1, 16, 16)
        expected = attended(q, k, v)
        scores = q @ k.mT / 4
        wrong = {
            "scores not divided by √D": attended(4 * q, k, v),
            "scores divided by D": attended(q / 4, k, v),
            "lse without the largest score": (..., (expected[1] - scores.amax(-1))),
            "lse in base 2": (..., expected[1] / math.log(2)),
        }
        check.close(kata.flash_forward(q, k, v), expected, unlike=wrong)

    def test_several_tiles(self, kata):
        """Sums of earlier tiles were measured from another largest score. When that
        grows from old to new, both the total and the mixture are multiplied
        by exp(old − new).
        """
        q, k, v = inputs(1, 2, 48, 16)
        k = k * torch.linspace(1, 3, 48)[:, None]
        wrong = {
            "total not scaled down": by_tiles(q, k, v, fade_total=False),
            "mixture not scaled down": by_tiles(q, k, v, fade_mixed=False),
            "neither scaled down": by_tiles(
                q, k, v, fade_total=False, fade_mixed=False
            ),
            "the last tile of keys alone": attended(q, k[:, :, 32:], v[:, :, 32:]),
        }
        check.close(kata.flash_forward(q, k, v), attended(q, k, v), unlike=wrong)

    def test_any_length(self, kata):
        """The last tile has keys from T on. They are not there: −∞ is their score,
        not 0.
        """
        for T in (1, 17, 50):
            q, k, v = inputs(1, 1, T, 16)
            with kernels.watched():
                found = kata.flash_forward(q, k, v)
            more = -T % 16
            padded = attended(q, F.pad(k, (0, 0, 0, more)), F.pad(v, (0, 0, 0, more)))
            check.close(
                found,
                attended(q, k, v),
                unlike={"keys from T on have the score 0": padded},
            )

    def test_no_query_looks_ahead(self, kata):
        """Key j counts for query i if j ≤ i: query 0 sees itself. Tiles on the diagonal
        need the mask, element by element. Every head of every sample has programs of
        its own.
        """
        q, k, v = inputs(2, 3, 18, 32)
        with kernels.watched(backwards=True):
            found = kata.flash_forward(q, k, v, causal=True)
        check.close(
            found,
            attended(q, k, v, True),
            unlike={"keys of the future counted": attended(q, k, v)},
        )

    def test_large_scores(self, kata):
        """exp(89) is beyond float32, and exp(−110) is 0. Measured from the largest
        score, no exponential is above 1, and one of them is 1.
        """
        q, k, v = inputs(1, 1, 33, 16)
        q, k = 6 * q, 6 * k * torch.linspace(0.2, 2, 33)[:, None]
        for causal, shift in ((False, 0), (True, 0), (False, -400)):
            q[..., 0], k[..., 0] = 40, shift / 10  # adds shift to every score: √D is 4
            out, lse = kata.flash_forward(q, k, v, causal=causal)
            check.finite(out)
            check.close((out, lse), attended(q, k, v, causal), rtol=1e-4, atol=1e-4)

    def test_no_score_reaches_memory(self, kata):
        """What is stored is the result: D + 1 numbers per query. The queries are loaded
        once, the keys and values once per tile of queries. 34 queries are three tiles,
        and so are 48.
        """
        for T in (34, 48):
            q, k, v = inputs(1, 1, T, 16)
            with kernels.watched() as seen:
                found = kata.flash_forward(q, k, v)
            check.close(found, attended(q, k, v))
            check.moved(
                seen,
                loads=T * 16 + 2 * 16 * T * 3,
                stores=T * 17,
                programs=3,
                q=q,
                k=k,
                v=v,
            )
        check.kernels_compute(lambda: kata.flash_forward(q, k, v), found)

    def test_tiles_of_the_future_are_not_loaded(self, kata):
        """Four tiles of queries need 1, 2, 3 and 4 tiles of keys: 5,472 loads, where
        7,200 load everything.
        """
        q, k, v = inputs(1, 1, 50, 16)
        with kernels.watched() as seen:
            found = kata.flash_forward(q, k, v, causal=True)
        check.close(found, attended(q, k, v, True))
        keys = sum(len(columns) for _, columns in visited(50, 16, 16))
        check.moved(seen, loads=50 * 16 + 2 * 16 * keys, stores=50 * 17, programs=4)

    @pytest.mark.parametrize("T", [64, 65])
    def test_blocks_are_obeyed(self, kata, T):
        """One program per block_q queries and head. It holds block_k keys at a time:
        all T at once would not fit.
        """
        q, k, v = inputs(1, 2, T, 16)
        tiles, keys = -(-T // 32), -(-T // 16) * 16
        with kernels.watched(
            max_lanes=2 * tiles * (2 * 32 * 17 + 2 * 16 * keys)
        ) as seen:
            found = kata.flash_forward(q, k, v, block_q=32, block_k=16)
        check.close(found, attended(q, k, v))
        check.moved(
            seen,
            loads=2 * (T * 16 + 2 * 16 * T * tiles),
            stores=2 * T * 17,
            programs=2 * tiles,
        )

    @settings(max_examples=8)
    @given(case=cases())
    def test_any_length_and_any_blocks(self, kata, case):
        """Which tiles the work is cut into changes nothing."""
        T, causal, block = case
        q, k, v = inputs(1, 1, T, 16)
        found = kata.flash_forward(
            q, k, v, causal=causal, block_q=block, block_k=48 - block
        )
        check.close(found, attended(q, k, v, causal))

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """Products of float16 are summed in float32. The result has q's dtype, and lse
        is float32.
        """
        q, k, v = (x.half() for x in inputs(1, 1, 40, 16))
        out, lse = kata.flash_forward(q, k, v)
        check.dtype(out, torch.float16)
        check.dtype(lse, torch.float32)
        check.close((out, lse), attended(q, k, v), rtol=4e-3, atol=2e-3)

    @pytest.mark.edge
    def test_the_mixture_is_kept_in_float32(self, kata):
        """All keys count alike. One value is 2,048, and 79 are 0.05: beyond 2,048
        float16 has only even numbers, and a tile's 0.8 would be rounded away.
        """
        q, k, v = (
            torch.zeros(1, 1, 80, 16).half(),
            torch.ones(1, 1, 80, 16).half(),
            torch.full((1, 1, 80, 16), 0.05),
        )
        v[:, :, 0] = 2048
        out, _ = kata.flash_forward(q, k, v.half(), block_q=64)
        check.close(out, attended(q, k, v.half())[0], rtol=6e-4)

    @pytest.mark.edge
    def test_far_below_zero(self, kata):
        """Scores near −20,000 are no masked ones: what is not seen has −∞, and
        not −10,000.
        """
        q, k, v = inputs(1, 1, 18, 16)
        q[..., 0], k[..., 0] = 200, -400
        for causal in (False, True):
            check.close(
                kata.flash_forward(q, k, v, causal=causal),
                attended(q, k, v, causal),
                rtol=1e-2,
                atol=1e-2,
            )

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """Triton's compiler takes the kernel. By default a GPU rounds what tl.dot
        multiplies to TF32, with 3 digits.
        """
        q, k, v = inputs(1, 1, 20, 16)
        with kernels.watched() as seen:
            kata.flash_forward(q, k, v, causal=True)
        check.compiles(seen)


class TestFlashDecodeMerge:
    def test_parts_of_the_keys(self, kata):
        """A part whose keys score high has a large sum of exponentials, and counts
        that much.
        """
        q, k, v = inputs(2, 3, 7, 8)
        for cuts in ([7], [2, 5], [1, 2, 1, 2, 1]):
            parts = [
                attended(q, a, b) for a, b in zip(k.split(cuts, 2), v.split(cuts, 2))
            ]
            outs, lses = (torch.stack(side).float() for side in zip(*parts))
            shares = torch.tensor(cuts).view(-1, 1, 1, 1, 1) / 7
            wrong = {
                "the mean of the parts": outs.mean(0),
                "weighed by numbers of keys": (shares * outs).sum(0),
            }
            check.close(
                kata.flash_decode_merge(outs, lses),
                attended(q, k, v)[0],
                unlike=wrong if cuts[1:] else None,
            )

    def test_large_scores(self, kata):
        """exp(lse) is beyond float32. Only differences of lse are needed."""
        outs, lses = (
            torch.randn(3, 4, 5),
            torch.tensor([200.0, 199.0, -300.0])[:, None].expand(3, 4),
        )
        check.close(kata.flash_decode_merge(outs, lses), mixed(outs, lses))

    def test_a_part_without_keys(self, kata):
        """exp(−∞) is 0: its weight."""
        outs, lses = torch.randn(3, 4, 5), torch.randn(3, 4)
        lses[1] = -math.inf
        check.close(kata.flash_decode_merge(outs, lses), mixed(outs, lses))

    @pytest.mark.edge
    def test_a_query_without_keys_in_any_part(self, kata):
        """−∞ minus −∞ is NaN. The query has nothing to mix: zeros."""
        outs, lses = torch.randn(2, 3, 4), torch.full((2, 3), -math.inf)
        lses[0, 1] = 0.5
        expected = torch.stack([torch.zeros(4), outs[0, 1], torch.zeros(4)])
        check.close(kata.flash_decode_merge(outs, lses), expected)


@pytest.mark.stretch
class TestFlashDelta:
    def test_the_sum_over_features(self, kata):
        """Σ out · dout, one number per query."""
        out, dout = inputs(2, 3, 32, 16, count=2)
        expected = torch.einsum("bhtd,bhtd->bht", out.double(), dout.double())
        check.close(
            kata.flash_delta(out, dout), expected, unlike={"the mean": expected / 16}
        )

    def test_each_number_is_loaded_once(self, kata):
        """2 · T · D loads and T stores per head, by a kernel."""
        out, dout = inputs(1, 2, 17, 32, count=2)
        with kernels.watched() as seen:
            delta = kata.flash_delta(out, dout)
        check.close(delta, (out.double() * dout.double()).sum(-1))
        check.moved(
            seen,
            loads=2 * 34 * 32,
            stores=34,
            programs=seen.programs,
            out=out,
            dout=dout,
        )
        check.kernels_compute(lambda: kata.flash_delta(out, dout), delta)


@pytest.mark.stretch
class TestFlashDkdv:
    def test_one_tile(self, kata):
        """p and ds are (queries, keys), so a gradient of keys is a product with
        their transpose.
        """
        q, k, v, dout = inputs(1, 1, 16, 16, count=4)
        lse, delta = kept(q, k, v, dout, False)
        _, dk, dv = gradients(q, k, v, dout, False)
        without = (
            gradients(q, k, v, dout, False)[1]
            + (
                torch.einsum(
                    "bhqk,bhq,bhqd->bhkd", (q @ k.mT / 4).softmax(-1), delta, q
                )
                / 4
            ).double()
        )
        wrong = {
            "dk not divided by √D": (4 * dk, ...),
            "delta not subtracted": (without, ...),
        }
        check.close(
            kata.flash_dkdv(q, k, v, dout, lse, delta, False), (dk, dv), unlike=wrong
        )

    def test_sums_over_all_tiles_of_queries(self, kata):
        """Every query adds to the gradient of every key, tile by tile, also where T is
        no multiple of the block.
        """
        q, k, v, dout = inputs(2, 3, 18, 16, count=4)
        with kernels.watched(backwards=True):
            found = kata.flash_dkdv(q, k, v, dout, *kept(q, k, v, dout, False), False)
        check.close(found, gradients(q, k, v, dout, False)[1:])

    def test_causal(self, kata):
        """A query of the past does not see the key: its p is 0, however large
        exp(score − lse) is. The first queries that do are those of the diagonal's tile.
        """
        for T, block_q, block_k in ((64, 16, 16), (50, 32, 16), (50, 16, 32)):
            q, k, v, dout = inputs(1, 1, T, 16, count=4)
            with kernels.watched() as seen:
                lse, delta = kept(q, k, v, dout, True)
                found = kata.flash_dkdv(
                    q, k, v, dout, lse, delta, True, block_q=block_q, block_k=block_k
                )
            check.close(found, gradients(q, k, v, dout, True)[1:])
            queries = sum(len(rows) for rows, _ in visited(T, block_q, block_k))
            loads = 2 * T * 16 + queries * (2 * 16 + 2)
            # a loop that starts at the tile's first key itself loads less
            if block_q > block_k:
                loads = min(loads, seen.total("load"))
            check.moved(
                seen,
                loads=loads,
                stores=2 * T * 16,
                programs=-(-T // block_k),
                q=q,
                k=k,
                v=v,
                dout=dout,
            )
        check.kernels_compute(
            lambda: kata.flash_dkdv(q, k, v, dout, lse, delta, True), found
        )


@pytest.mark.stretch
class TestFlashDq:
    def test_equals_the_gradient(self, kata):
        """ds k, divided by √D once more: the scores were."""
        q, k, v, dout = inputs(2, 3, 18, 16, count=4)
        q, k = q - 2, k + 2  # scores, and with them lse, below 0
        right = gradients(q, k, v, dout, False)[0]
        with kernels.watched(backwards=True):
            found = kata.flash_dq(q, k, v, dout, *kept(q, k, v, dout, False), False)
        check.close(found, right, unlike={"not divided by √D": 4 * right})

    def test_causal(self, kata):
        """The loop ends where that of `flash_forward` does, and the diagonal's tile
        needs the same mask.
        """
        for T, block_q, block_k in ((64, 32, 16), (50, 16, 32)):
            q, k, v, dout = inputs(1, 1, T, 16, count=4)
            with kernels.watched() as seen:
                lse, delta = kept(q, k, v, dout, True)
                found = kata.flash_dq(
                    q, k, v, dout, lse, delta, True, block_q=block_q, block_k=block_k
                )
            check.close(found, gradients(q, k, v, dout, True)[0])
            keys = sum(len(columns) for _, columns in visited(T, block_q, block_k))
            loads = T * (2 * 16 + 2) + keys * 2 * 16
            check.moved(
                seen,
                loads=loads,
                stores=T * 16,
                programs=-(-T // block_q),
                q=q,
                k=k,
                v=v,
                dout=dout,
            )
        check.kernels_compute(
            lambda: kata.flash_dq(q, k, v, dout, lse, delta, True), found
        )


@pytest.mark.stretch
class TestFlashAttention:
    def test_value_and_gradients(self, kata):
        """Those of PyTorch's own attention, causal and not. Two calls before a backward
        keep what is theirs.
        """
        for order, shape in (((True, False), (2, 3, 7, 16)), ((True,), (1, 1, 32, 16))):
            check.gradients(
                lambda q, k, v: torch.stack(
                    [kata.FlashAttention.apply(q, k, v, causal) for causal in order]
                ),
                lambda q, k, v: torch.stack(
                    [
                        F.scaled_dot_product_attention(q, k, v, is_causal=causal)
                        for causal in order
                    ]
                ),
                *inputs(*shape),
            )

    def test_nothing_of_size_t_times_t_is_kept(self, kata):
        """Between forward and backward stay q, k, v, out and lse. p is made again, tile
        by tile.
        """
        q, k, v = (x.requires_grad_() for x in inputs(1, 1, 40, 16))
        with kernels.watched() as seen:
            out = kata.FlashAttention.apply(q, k, v, True)
        check.that(seen.programs > 0, "no kernel ran in forward")
        kept_at_most([*out.grad_fn.saved_tensors, *vars(out.grad_fn).values()], 40 * 16)
        with kernels.watched() as seen:
            (out * torch.randn(1, 1, 40, 16)).sum().backward()
        most = 40 * (3 * 16 + 1)
        check.that(
            seen.total("store") <= most,
            f"{seen.total('store')} numbers were stored, {most} are enough",
        )
        check.that(seen.programs > 0, "no kernel ran in backward")

    @pytest.mark.edge
    def test_heads_split_from_features(self, kata):
        """Their strides are those of the features. A kernel that counts from the
        pointer reads other numbers.
        """
        check.gradients(
            lambda q, k, v: kata.FlashAttention.apply(
                *(x.transpose(1, 2) for x in (q, k, v)), True
            ),
            lambda q, k, v: attended(*(x.transpose(1, 2) for x in (q, k, v)), True)[0],
            *inputs(1, 18, 2, 16),
        )

    @pytest.mark.edge
    def test_the_gradient_of_a_sum(self, kata):
        """It is a single 1, expanded: all strides are 0, and there is one number
        in memory.
        """
        q, k, v = (x.requires_grad_() for x in inputs(1, 1, 18, 16))
        kata.FlashAttention.apply(q, k, v, False).sum().backward()
        check.close(
            (q.grad, k.grad, v.grad),
            gradients(q, k, v, torch.ones(1, 1, 18, 16), False),
        )
