"""Specs of kernels/06 · Paged attention and quantised weights."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import kernels
from grader.specs import check

S, D = 4, 16  # tokens per block, features per head


def some_zeros(*shape):
    return torch.dropout(torch.randn(shape), 0.1, train=True)


def paged(lengths, H=6, H_kv=2, order=None, scale=1.0, unused=1e4):
    """Queries, and keys and values laid out in blocks of a pool; places without a token
    hold `unused`.

    Args:
        order: the pool's blocks as the rows take them; by default from the last one on,
            and two stay unused.
    """
    counts = [-(-n // S) for n in lengths]
    order = order or range(sum(counts) + 1, 1, -1)
    # as wide as a row may become
    table = torch.full((len(lengths), max(counts) + 4), -1)
    pools = torch.full((2, max(order) + 1, S, H_kv, D), unused)
    taken = iter(order)
    for row, (length, count) in enumerate(zip(lengths, counts)):
        for place in range(count):
            block = table[row, place] = next(taken)
            pools[:, block, : length - place * S] = some_zeros(
                2, min(S, length - place * S), H_kv, D
            )
    q = scale * some_zeros(len(lengths), H, D)
    return q, *(pool.clone() for pool in pools), table, torch.tensor(lengths)


def attended(q, k_pool, v_pool, table, lengths, heads=None, beyond=0):
    """Attention row by row and head by head in float64, over keys gathered into
    one tensor.

    Args:
        heads: the key head of each query head; by default groups of neighbours.
        beyond: how many places after the last token are taken for tokens.
    """
    heads = heads or [h // (q.size(1) // k_pool.size(2)) for h in range(q.size(1))]
    out = torch.zeros(q.shape, dtype=torch.float64)
    for row, length in enumerate(lengths.tolist()):
        blocks = table[row, : -(-length // S)]
        k, v = (
            pool[blocks].flatten(0, 1)[: length + beyond].double()
            for pool in (k_pool, v_pool)
        )
        for h, head in enumerate(heads):
            out[row, h] = (k[:, head] @ q[row, h].double() / math.sqrt(D)).softmax(
                0
            ) @ v[:, head]
    return out


def unscaled(q, k_pool, v_pool, table, lengths):
    """A running softmax that scales the sum down when the largest score grows, and not
    the mixture.
    """
    out = torch.zeros(q.shape, dtype=torch.float64)
    for row, h in itertools.product(range(len(q)), range(q.size(1))):
        top = torch.tensor(-math.inf)
        total = mixed = 0.0
        for block in table[row, : -(-int(lengths[row]) // S)]:
            scores = k_pool[block, :, h].double() @ q[row, h].double() / math.sqrt(D)
            now = scores.max().maximum(top)
            total = total * (top - now).exp() + (scores - now).exp().sum()
            mixed, top = (
                mixed + (scores - now).exp() @ v_pool[block, :, h].double(),
                now,
            )
        out[row, h] = mixed / total
    return out


def needed(q, k_pool, table, lengths):
    """Loads that are enough: queries, keys and values of tokens, entries of the table,
    and lengths.
    """
    tokens, blocks = int(lengths.sum()), int((table >= 0).sum())
    return q.numel() + k_pool.size(2) * (tokens * 2 * D + blocks + len(q))


@st.composite
def requests(draw):
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=2))
    blocks = sum(-(-n // S) for n in lengths)
    return (
        lengths,
        draw(st.permutations(range(blocks + 2)))[:blocks],
        draw(st.sampled_from([(3, 1), (2, 2)])),
    )


class TestPagedAttention:
    def test_a_block_of_the_table(self, kata):
        """One full block per row. The table says where it lies; blocks of other
        requests lie before it.
        """
        q, k, v, table, lengths = case = paged([4, 4], H=2)
        first = torch.arange(2)[:, None]
        wrong = {
            "scores not divided by √D": attended(4 * q, k, v, table, lengths),
            "scores divided by D": attended(q / 4, k, v, table, lengths),
            "the table's entry not looked up": attended(q, k, v, first, lengths),
        }
        with kernels.watched():
            out = kata.paged_attention(*case)
        check.close(out, attended(*case), unlike=wrong)

    def test_several_blocks(self, kata):
        """The running softmax of 05, from block to block: what came before is scaled
        down when the largest score grows.
        """
        q, k, v, table, lengths = case = paged(
            [12, 8], H=2, scale=3.0, order=[70, 3, 66, 0, 9]
        )
        last = table[torch.arange(2), lengths // S - 1][:, None]
        wrong = {
            "the last block alone": attended(q, k, v, last, torch.tensor([4, 4])),
            "the mixture so far not scaled down": unscaled(*case),
        }
        check.close(kata.paged_attention(*case), attended(*case), unlike=wrong)

    def test_places_beyond_the_length(self, kata):
        """The last block of a row is seldom full. What its other places hold is not
        the row's.
        """
        for lengths in ([1, 7], [5, 10]):
            q, k, v, table, ends = case = paged(lengths, H=2, unused=1.5)
            emptied = (pool.where(pool != 1.5, 0.0) for pool in (k, v))
            wrong = {
                "places without a token have the score 0": attended(
                    q, *emptied, table, ends, beyond=S
                ),
                "one token too many": attended(q, k, v, table, ends, beyond=1),
                "the whole last block": attended(q, k, v, table, ends, beyond=S),
            }
            check.close(kata.paged_attention(*case), attended(*case), unlike=wrong)

    def test_query_heads_share_key_heads(self, kata):
        """Six query heads on two key heads: heads 0 to 2 read key head 0, heads 3 to 5
        key head 1.
        """
        case = paged([4, 6])
        q, *pools, table, lengths = case
        turned = [pool.view(-1, 2, S, D).transpose(1, 2) for pool in pools]
        wrong = {
            "key head h % H_kv": attended(*case, heads=[0, 1, 0, 1, 0, 1]),
            "a pool read as (H_kv, block_size)": attended(q, *turned, table, lengths),
        }
        with kernels.watched(backwards=True):
            out = kata.paged_attention(*case)
        check.close(out, attended(*case), unlike=wrong)

    def test_large_scores(self, kata):
        """exp(89) is beyond float32, and exp(−110) is 0: measure from the largest score
        so far, which begins at −∞.
        """
        for shift, block in ((0, 0), (-400, 1)):
            q, k, v, table, lengths = paged([9, 12], H=2)
            q[..., 0], k[..., 0] = 40, shift / 10  # adds shift to every score: √D is 4
            k[table[:, block], :, :, 0] += 10  # and 100 to those of a block
            out = kata.paged_attention(q, k, v, table, lengths)
            check.finite(out)
            check.close(out, attended(q, k, v, table, lengths), rtol=1e-4, atol=1e-4)

    def test_each_key_is_loaded_once(self, kata):
        """Of 1, 5 and 12 tokens: 3 · 6 · 16 numbers of q, 18 · 2 · 16 keys and as many
        values, 6 entries of the table and 3 lengths for each of 2 key heads. They come
        from the pools themselves: gathered before, each would be moved three times.
        """
        q, k, v, table, lengths = case = paged([1, 5, 12])
        with kernels.watched() as seen:
            out = kata.paged_attention(*case)
        check.close(out, attended(*case))
        pools = {"k_pool": k, "v_pool": v, "block_table": table}
        check.moved(
            seen,
            loads=needed(q, k, table, lengths),
            stores=q.numel(),
            programs=3 * 2,
            **pools,
        )
        check.kernels_compute(lambda: kata.paged_attention(*case), out)

    @settings(max_examples=6)
    @given(case=requests())
    def test_any_lengths_in_any_blocks(self, kata, case):
        """Any lengths, in blocks that lie anywhere in the pool."""
        lengths, order, (H, H_kv) = case
        inputs = paged(lengths, H, H_kv, order)
        check.close(kata.paged_attention(*inputs), attended(*inputs))

    @pytest.mark.edge
    def test_a_row_without_tokens(self, kata):
        """A server pads its batch with such rows. 0 / 0 is NaN. A row whose scores are
        near −20,000 has tokens: what is masked has −∞, and not −10,000.
        """
        q, k, v, table, lengths = case = paged([0, 6, 5])
        q[2], k[table[2, :2], :, :, 0] = 0, -400
        q[2, :, 0] = 200
        check.close(kata.paged_attention(*case), attended(*case))

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """Scores and mixture are summed in float32."""
        q, k, v, table, lengths = paged([6, 9], unused=0.0)
        halves = [x.half() for x in (q, k, v)]
        out = kata.paged_attention(*halves, table, lengths)
        check.dtype(out, torch.float16)
        check.close(
            out.double(), attended(*halves, table, lengths), rtol=1e-3, atol=2e-4
        )


def busiest(seen, pool):
    """The most numbers of a pool that one program loaded, where each is loaded by one
    program at most.
    """
    loaded = [0]
    for launch in seen.launched:
        for memory, readers in launch.readers.items():
            if memory.tensor.data_ptr() == pool.data_ptr():
                loaded += [
                    int((readers == program).sum())
                    for program in range(launch.programs)
                ]
    return max(loaded)


@pytest.mark.stretch
class TestPagedAttentionSplit:
    def test_any_number_of_splits(self, kata):
        """Rows of 1 and 5 blocks. A program without a block has seen no key: its lse is
        −∞, and what it stores is not NaN.
        """
        q, k, v, table, lengths = case = paged(
            [3, 20], H=3, H_kv=1, order=[70, 3, 66, 0, 9, 1]
        )
        for splits in (1, 2, 3, 5):
            with kernels.watched(backwards=True):
                out = kata.paged_attention_split(*case, splits=splits)
            share = -(-5 // splits)
            # tokens of all programs
            again = [n for first in range(0, 5, share) for n in range(S * first, 20)]
            keys, values = (
                pool[table[1, :5]].flatten(0, 1)[again, 0].double() for pool in (k, v)
            )
            wrong = attended(*case)
            wrong[1] = (q[1].double() @ keys.T / math.sqrt(D)).softmax(-1) @ values
            unlike = (
                {"each program goes on to the end of the row": wrong}
                if splits > 1
                else {}
            )
            check.close(out, attended(*case), unlike=unlike)

    def test_the_work_is_shared(self, kata):
        """Of 5 blocks, 3 programs take 2, 2 and 1. All together they load each key and
        value once.
        """
        q, k, v, table, lengths = case = paged([19, 9])
        with kernels.watched() as seen:
            out = kata.paged_attention_split(*case, splits=3)
        check.close(out, attended(*case))
        check.that(seen.programs == 12, f"{seen.programs} programs ran, not 2 · 2 · 3")
        for name, pool in (("key", k), ("value", v)):
            loads = seen.loads(pool)
            check.that(
                int(loads.max()) == 1,
                f"a {name} was loaded {int(loads.max())} times, not once",
            )
            check.that(
                int(loads.sum()) == 28 * 2 * D,
                f"{int(loads.sum())} {name}s were loaded, not 28 · 2 · {D}",
            )
        blocks = -(-busiest(seen, k) // (S * D))
        check.that(
            blocks <= 2,
            f"one program loads {blocks} blocks of a row of 5, not 2",
            like="all blocks in one program" * (blocks == 5),
        )
        stored = seen.total("store")
        check.that(
            stored <= 3 * 2 * 6 * (D + 1),
            f"{stored} numbers were stored, 3 · 2 · 6 · {D + 1} are enough",
        )
        check.kernels_compute(lambda: kata.paged_attention_split(*case, splits=3), out)


def rounded(w, levels=127, dim=1):
    """Codes of rows, and their scales, in float64."""
    scale = w.double().abs().amax(dim, keepdim=True) / levels
    scale = scale.masked_fill(scale == 0, 1.0)
    return (w / scale).round(), scale.squeeze(dim)


class TestQuantiseRows:
    def test_a_scale_per_row(self, kata):
        """The largest number of a row gets the code 127 or −127, in small rows and in
        large ones.
        """
        w = torch.randn(3, 64) * torch.tensor([[0.1], [1.0], [9.0]])
        w[:, 0] = -w.abs().amax(1) * 1.2
        codes, scale = rounded(w)
        wrong = {
            "one scale for all rows": (
                (w / w.abs().max() * 127).round(),
                w.abs().max().expand(3) / 127,
            ),
            "divided by 128": rounded(w, 128),
            "the largest number, not the largest |w|": (..., w.amax(1) / 127),
            "rounded towards zero": ((w / scale.float()[:, None]).trunc(), scale),
            "rounded down": ((w / scale.float()[:, None]).floor(), scale),
        }
        with kernels.watched():
            found = kata.quantise_rows(w)
        check.dtype(found[0], torch.int8, what="the codes")
        check.close((found[0].double(), found[1]), rounded(w), unlike=wrong)

    def test_a_row_of_zeros(self, kata):
        """Its scale is 1: 0 / 0 is NaN, and no integer. A row of tiny numbers has a
        tiny scale.
        """
        w = torch.tensor([[0.0, 0.0, 0.0], [0.5, -2.0, 1.0], [3e-7, 1e-7, -4e-7]])
        codes, scale = kata.quantise_rows(w)
        check.close((codes.double(), scale), rounded(w))

    def test_each_weight_is_loaded_once(self, kata):
        """A row of 33 fits a block of 64, as in 02: maximum and codes come from the
        same load. A row may be wide.
        """
        for K in (33, 1100):
            w, _, _ = near_integers(5, K)
            with kernels.watched(backwards=True) as seen:
                found = kata.quantise_rows(w)
            check.close((found[0].double(), found[1]), rounded(w))
            check.moved(seen, loads=5 * K, stores=5 * K + 5, programs=5, w=w)
        check.kernels_compute(lambda: kata.quantise_rows(w), found)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """In float16, w / scale has 11 bits: a code near 127 may be off by one."""
        w = torch.randn(4, 60).half()
        codes, scale = kata.quantise_rows(w)
        check.dtype(scale, torch.float32)
        error = (
            codes.double() * scale.double()[:, None] - w.double()
        ).abs() / scale.double()[:, None]
        check.that(
            float(error.max()) < 0.501,
            f"a weight is off by {float(error.max()):.3f} of its scale, not by half",
        )


def integers(*shape, most=127):
    return torch.randint(-most, most + 1, shape)


def product(x, codes, scale):
    """x times codes · scale, whose scales are one per row or one per group of a row."""
    groups = codes.unflatten(1, (scale[0].numel(), -1)).double()
    return x.double() @ (groups * scale.view(len(codes), -1, 1).double()).flatten(1).T


def loaded_once(seen, weights, what="integer"):
    """Each integer of a weight is loaded once, by a kernel."""
    loads = seen.loads(weights)
    most, least = int(loads.max()), int(loads.min())
    check.that(
        least > 0, f"not every {what} is loaded by a kernel: is it made a float before?"
    )
    check.that(most == 1, f"a weight's {what} was loaded {most} times, not once")


def only_the_result_is_stored(seen, out):
    stored = seen.total("store")
    check.that(
        stored == out.numel(),
        f"{stored} numbers were stored, not {out.numel()}: the result alone",
    )


class TestMatmulInt8:
    def test_one_tile(self, kata):
        """16 rows and 16 outputs. An output's scale multiplies its sum."""
        x, w, scale = torch.randn(16, 32), integers(16, 32), torch.rand(16) + 0.5
        wrong = {
            "not scaled": product(x, w, torch.ones(16)),
            "divided by the scale": product(x, w, 1 / scale),
            "scaled by rows of x": product(x, w, torch.ones(16)) * scale[:, None],
        }
        check.close(
            kata.matmul_int8(x, w.to(torch.int8), scale),
            product(x, w, scale),
            atol=1e-3,
            unlike=wrong,
        )

    def test_any_size(self, kata):
        """Tiles at the edges are cut off: 17 rows, 67 outputs, 72 inputs."""
        x, w, scale = (
            torch.randn(17, 72).round(),
            integers(67, 72),
            torch.randn(67).round(),
        )
        with kernels.watched(backwards=True):
            out = kata.matmul_int8(x, w.to(torch.int8), scale)
        check.close(out, product(x, w, scale), atol=1e-3)

    def test_integers_are_loaded_once(self, kata):
        """With 16 rows of x, a byte per weight crosses the memory. Floats of the weight
        would be four.
        """
        x, w, scale = (
            torch.randn(16, 64),
            integers(24, 64).to(torch.int8),
            torch.rand(24) + 0.5,
        )
        with kernels.watched() as seen:
            out = kata.matmul_int8(x, w, scale)
        check.close(out, product(x, w, scale), atol=1e-3)
        loaded_once(seen, w)
        only_the_result_is_stored(seen, out)
        check.kernels_compute(lambda: kata.matmul_int8(x, w, scale), out)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """The sum of 64 products with integers is kept in float32."""
        x, w, scale = torch.randn(3, 64).half(), integers(16, 64), torch.rand(16) / 100
        out = kata.matmul_int8(x, w.to(torch.int8), scale)
        check.dtype(out, torch.float16)
        check.close(out.double(), product(x, w, scale), rtol=1.02 * 2**-11, atol=1e-5)

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """Triton's compiler takes the kernel. By default a GPU rounds what tl.dot
        multiplies to TF32, with 3 digits.
        """
        with kernels.watched() as seen:
            kata.matmul_int8(
                torch.randn(5, 64), integers(24, 64).to(torch.int8), torch.rand(24)
            )
        check.compiles(seen)


def packed(codes):
    """Two's complement, two codes per byte, the even ones low."""
    nibbles = (codes & 15).to(torch.uint8)
    return nibbles[:, ::2] | nibbles[:, 1::2] << 4


class TestMatmulInt4:
    def test_all_sixteen_codes(self, kata):
        """Codes 8 to 15 stand for −8 to −1. The low four bits of a byte come first."""
        x, scale = torch.randn(16, 16), torch.rand(16, 1) + 0.5
        codes = torch.stack([torch.randperm(16) - 8 for _ in range(16)])
        swapped = codes.unflatten(1, (8, 2)).flip(2).flatten(1)
        wrong = {
            "the two halves of a byte exchanged": product(x, swapped, scale),
            "codes from 0 to 15": product(x, codes & 15, scale),
            "low halves first, then high halves": product(
                x, torch.cat([codes[:, ::2], codes[:, 1::2]], 1), scale
            ),
            "not scaled": product(x, codes, torch.ones(16, 1)),
        }
        check.close(
            kata.matmul_int4(x, packed(codes), scale, 16),
            product(x, codes, scale),
            atol=1e-3,
            unlike=wrong,
        )

    def test_a_scale_per_group(self, kata):
        """Elements 0 to group_size − 1 of a row have its first scale, the next ones
        its second.
        """
        for size in (16, 32):
            x, codes, scale = (
                torch.randn(3, 64),
                integers(16, 64, most=7),
                torch.rand(16, 64 // size) + 0.5,
            )
            wrong = {
                "the first scale for all": product(x, codes, scale[:, :1]),
                "scales of the group before": product(x, codes, scale.roll(1, 1)),
                "groups over rows": product(x, codes, scale.T.reshape(scale.shape)),
            }
            out = kata.matmul_int4(x, packed(codes), scale, size)
            check.close(out, product(x, codes, scale), atol=1e-3, unlike=wrong)

    def test_any_size(self, kata):
        """17 rows, 67 outputs, 96 inputs."""
        x, codes, scale = (
            torch.randn(17, 96).round(),
            integers(67, 96, most=7),
            torch.randn(67, 3).round(),
        )
        with kernels.watched(backwards=True):
            out = kata.matmul_int4(x, packed(codes), scale, 32)
        check.close(out, product(x, codes, scale), atol=1e-3)

    def test_bytes_are_loaded_once(self, kata):
        """With 16 rows of x, half a byte per weight crosses the memory. Codes that are
        stored before would be one.
        """
        x, codes, scale = (
            torch.randn(16, 64),
            integers(24, 64, most=7),
            torch.rand(24, 4) + 0.5,
        )
        halves = packed(codes)
        with kernels.watched() as seen:
            out = kata.matmul_int4(x, halves, scale, 16)
        check.close(out, product(x, codes, scale), atol=1e-3)
        loaded_once(seen, halves, "byte")
        only_the_result_is_stored(seen, out)
        check.kernels_compute(lambda: kata.matmul_int4(x, halves, scale, 16), out)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """The sum of 64 products with integers is kept in float32."""
        x, codes, scale = (
            torch.randn(3, 64).half(),
            integers(16, 64, most=7),
            torch.rand(16, 2) + 0.5,
        )
        out = kata.matmul_int4(x, packed(codes), scale, 32)
        check.dtype(out, torch.float16)
        check.close(
            out.double(), product(x, codes, scale), rtol=1.02 * 2**-11, atol=1e-5
        )


def near_integers(M, K):
    """Numbers whose codes are beyond doubt, their codes, and their scales: 127 in each
    row, zeros, no halves.
    """
    # products with whole numbers are exact
    codes, scale = integers(M, K), 2.0 ** torch.randint(-1, 2, (M,))
    codes[:, 0] = 127
    parts = torch.randint(-1, 2, (M, K)) / 4
    parts[:, 0] = 0
    parts[codes.abs() % 127 == 0] = 0
    return (codes + parts) * scale[:, None], codes, scale


@pytest.mark.stretch
class TestMatmulW8a8:
    def test_x_is_rounded_too(self, kata):
        """x gives way to its codes. The sum is multiplied by two scales, that of x's
        row and that of the output.
        """
        x, codes, x_scale = near_integers(17, 50)
        w, scale = integers(67, 50), torch.randn(67).round() / 100
        w8, sums = w.to(torch.int8), codes.double() @ w.double().T
        right = sums * x_scale[:, None] * scale
        wrong = {
            "x not rounded": product(x, w, scale),
            "x's scale left out": sums * scale,
            "the weight's scale left out": sums * x_scale[:, None],
        }
        with kernels.watched(backwards=True):
            out = kata.matmul_w8a8(x, w8, scale)
        check.close(out, right, unlike=wrong)
        with kernels.watched(backwards=True) as seen:
            out = kata.matmul_w8a8(x[:16], w8, scale)
        check.close(out, right[:16])
        loaded_once(seen, w8)
        check.kernels_compute(lambda: kata.matmul_w8a8(x[:16], w8, scale), out)

    def test_sums_of_integers_are_exact(self, kata):
        """1,100 products of 127 · 127 are beyond 2²⁴, where float32 no longer has odd
        numbers. Here as many follow with the other sign, and what is left is small.
        """
        x, w = torch.full((3, 2208), 127.0), torch.full((16, 2208), 127)
        w[:, 1104:] = -127
        w[::2, 5] = w[1::2, 70] = 126
        with kernels.watched():
            out = kata.matmul_w8a8(x, w.to(torch.int8), torch.ones(16))
        unlike = {
            "sums kept in float32, whose whole numbers end at 2²⁴": torch.full(
                (3, 16), -128.0
            )
        }
        check.close(out, torch.full((3, 16), -127.0), unlike=unlike)
