"""Specs of kernels/03 · Tiled matrix multiplication."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from grader import kernels
from grader.specs import check


def matrices(M, K, N):
    return torch.randn(M, K), torch.randn(K, N)


def product(a, b):
    """The product in float64."""
    return torch.einsum("mk,kn->mn", a.double(), b.double())


def loaded(seen, tensor, times, name):
    """Check that each element of a tensor was loaded so many times, and not a copy
    of it.
    """
    counts = seen.loads(tensor)
    check.that(
        bool(counts.any()),
        f"no element of {name} itself is loaded: was it copied before?",
    )
    check.that(
        bool((counts == times).all()),
        f"an element of {name} is loaded {int(counts.max())} times, not {times}",
    )


def touching(seen, tensor, who):
    """For each element of a contiguous tensor, the number of the program that touched
    it: "readers" or "writers".
    """
    place = (tensor.untyped_storage().data_ptr(), tensor.element_size())
    launches = [launch for launch in seen.launched if place in launch.memories]
    check.that(bool(launches), "no kernel touches it: is a copy used?")
    return torch.from_numpy(
        getattr(launches[0], who)[launches[0].memories[place]]
    ).view(tensor.shape)


@st.composite
def sizes_and_blocks(draw):
    return [draw(st.integers(1, 34)) for _ in range(3)], tuple(
        draw(st.sampled_from([16, 32])) for _ in range(3)
    )


class TestMatmul:
    def test_one_tile(self, kata):
        """16 rows, 16 columns and a K of 16: one program, one turn of the loop."""
        a, b = matrices(16, 16, 16)
        wrong = {
            "a times the transpose of b": product(a, b.T),
            "the transpose of a times b": product(a.T, b),
        }
        with kernels.watched():
            out = kata.matmul(a, b)
        check.close(out, product(a, b), unlike=wrong | {"number by number": a * b})

    def test_a_sum_over_blocks_of_k(self, kata):
        """K = 48 takes three turns. Each adds its product to what is there."""
        a, b = matrices(16, 48, 16)
        wrong = {
            "the last block of K alone": product(a[:, 32:], b[32:]),
            "the first block of K alone": product(a[:, :16], b[:16]),
            "the first block of K three times": 3 * product(a[:, :16], b[:16]),
        }
        with kernels.watched():
            out = kata.matmul(a, b)
        check.close(out, product(a, b), unlike=wrong)

    def test_sizes_that_are_no_multiple_of_the_block(self, kata):
        """Tiles reach beyond M, N and K. What is beyond is masked: rows and columns are
        not there, and in the sum over K it counts as 0.
        """
        for M, K, N in ((33, 47, 20), (1, 5, 3)):
            a, b = matrices(M, K, N)
            wrong = {
                "the rest of K left out": product(
                    a[:, : K // 16 * 16], b[: K // 16 * 16]
                )
            }
            with kernels.watched(backwards=True):
                out = kata.matmul(a, b)
            check.close(out, product(a, b), unlike=wrong)

    def test_views_are_read_through_their_strides(self, kata):
        """Element (i, j) is i · stride(0) + j · stride(1) elements behind the first, in
        a as in b. Nothing is copied before.
        """
        for a, b in (
            (torch.randn(20, 33).T, torch.randn(9, 20).T),
            (torch.randn(35, 50)[::2, 9:29], torch.randn(60, 9)[::3]),
        ):
            with kernels.watched() as seen:
                out = kata.matmul(a, b)
            packed = (
                torch.as_strided(view, view.shape, (view.shape[1], 1))
                for view in (a, b)
            )
            check.close(
                out,
                product(a, b),
                unlike={"views taken for contiguous": product(*packed)},
            )
            for name, view in (("a", a), ("b", b)):
                check.that(
                    bool(seen.loads(view).any()),
                    f"no element of {name} itself is loaded: was it copied before?",
                )

    def test_tiles_decide_how_often_a_number_is_loaded(self, kata):
        """3 · 2 programs: each number of a is loaded once per column of tiles, each of
        b once per row of tiles.
        """
        a, b = matrices(48, 47, 32)
        with kernels.watched() as seen:
            out = kata.matmul(a, b)
        check.close(out, product(a, b))
        check.moved(
            seen, loads=48 * 47 * 2 + 47 * 32 * 3, stores=48 * 32, programs=6, a=a, b=b
        )
        check.kernels_compute(lambda: kata.matmul(a, b), out)

    def test_blocks_are_obeyed(self, kata):
        """BM rows, BN columns, and BK numbers of K at a time. A larger tile loads less,
        and must fit the registers: all of K at once would not.
        """
        a, b = matrices(32, 80, 64)
        for BM, BN, BK in ((16, 32, 16), (32, 16, 64)):
            with kernels.watched() as seen:
                out = kata.matmul(a, b, block=(BM, BN, BK))
            check.close(out, product(a, b))
            programs = 32 // BM * 64 // BN
            check.moved(
                seen,
                loads=32 * 80 * 64 // BN + 80 * 64 * 32 // BM,
                stores=32 * 64,
                programs=programs,
            )
        a, b = matrices(16, 130, 16)
        with kernels.watched(max_lanes=9 * 2 * 16 * 16 + 16 * 16):
            kata.matmul(a, b)

    @settings(max_examples=10)
    @given(case=sizes_and_blocks())
    def test_any_sizes_and_any_blocks(self, kata, case):
        """Which tiles the work is cut into changes nothing."""
        (M, K, N), block = case
        a, b = matrices(M, K, N)
        with kernels.watched():
            out = kata.matmul(a, b, block=block)
        check.close(out, product(a, b))

    @pytest.mark.edge
    def test_nothing_to_multiply(self, kata):
        """Without rows there is no tile. Without K, each sum is 0."""
        for M, K, N in ((0, 5, 3), (4, 0, 3), (4, 5, 0)):
            check.close(kata.matmul(*matrices(M, K, N)), torch.zeros(M, N))

    @pytest.mark.edge
    def test_sizes_that_do_not_fit_are_an_error(self, kata):
        """A kernel knows no shapes: the function that launches it has to look. The
        message names both.
        """
        with check.raises(ValueError, 21, 19):
            kata.matmul(torch.zeros(4, 21), torch.zeros(19, 4))

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """Triton's compiler takes the kernel. By default a GPU rounds what tl.dot
        multiplies to TF32, with 3 digits.
        """
        a, b = matrices(16, 48, 16)
        with kernels.watched() as seen:
            kata.matmul(a, b)
        check.compiles(seen)


class TestMatmulHalf:
    def test_the_result_is_half(self, kata):
        """Products of halves, in tiles that reach beyond the matrices, and a result of
        the same dtype.
        """
        a, b = (x.half() for x in matrices(33, 47, 20))
        with kernels.watched():
            out = kata.matmul_half(a, b)
        check.dtype(out, torch.float16)
        check.close(out, product(a, b))

    def test_the_sum_is_kept_in_float32(self, kata):
        """2,048, and 319 times 0.05. Beyond 2,048 float16 has only even numbers: a sum
        of 16 such numbers, 0.8, is rounded away each time it is added.
        """
        a = torch.full((16, 320), 0.05).half()
        a[:, 0] = 2048
        b, kept = torch.ones(320, 16).half(), torch.zeros(16, 16).half()
        for k in range(0, 320, 16):
            kept = (kept.double() + product(a[:, k : k + 16], b[k : k + 16])).half()
        with kernels.watched():
            out = kata.matmul_half(a, b)
        check.close(
            out, product(a, b), unlike={"the sum rounded to float16 at each step": kept}
        )

    def test_two_bytes_per_number(self, kata):
        """Halves are loaded and halves are stored: half the traffic is what they are
        for. A copy in float32, made before or rounded after, gives that away. Here a
        and b are transposed matrices.
        """
        a, b = torch.randn(20, 48).half().T, torch.randn(64, 20).half().T
        with kernels.watched() as seen:
            out = kata.matmul_half(a, b, block=(16, 32, 64))
        check.close(out, product(a, b))
        check.moved(
            seen, loads=48 * 20 * 2 + 20 * 64 * 3, stores=48 * 64, programs=6, a=a, b=b
        )
        check.kernels_compute(lambda: kata.matmul_half(a, b), out)
        for kind, done in (("load", "loaded"), ("store", "stored")):
            bytes_of_halves = 2 * seen.total(kind)
            check.that(
                seen.bytes(kind) == bytes_of_halves,
                f"{seen.bytes(kind)} bytes were {done}, not {bytes_of_halves}",
            )


class TestLinear:
    def test_without_a_bias(self, kata):
        """Row n of the weight holds the factors of output n, as in `nn.Linear`: the
        product is with its transpose.
        """
        x, weight = torch.randn(33, 47), torch.randn(20, 47)
        with kernels.watched():
            out = kata.linear(x, weight)
        check.close(out, F.linear(x.double(), weight.double()))

    def test_the_bias_is_added_once(self, kata):
        """K = 47 takes three turns of the loop, and the bias belongs to none
        of them.
        """
        x, weight, bias = torch.randn(33, 47), torch.randn(20, 47), torch.randn(20)
        plain = F.linear(x.double(), weight.double())
        wrong = {
            "the bias is missing": plain,
            "the bias added in each turn": plain + 3 * bias,
        }
        with kernels.watched():
            out = kata.linear(x, weight, bias)
        check.close(out, plain + bias, unlike=wrong)

    def test_silu_of_the_whole_sum(self, kata):
        """silu is not linear: it is applied once, after all of K and the bias."""
        x, weight, bias = torch.randn(33, 47), torch.randn(20, 47), torch.randn(20)
        whole = F.linear(x.double(), weight.double())
        parts = [
            F.linear(i.double(), w.double())
            for i, w in zip(x.split(16, 1), weight.split(16, 1))
        ]
        wrong = {
            "silu is missing": whole + bias,
            "silu before the bias": F.silu(whole) + bias,
            "silu of each turn's part": sum(map(F.silu, parts)) + bias,
            "the sigmoid alone": (whole + bias).sigmoid(),
        }
        with kernels.watched():
            out = kata.linear(x, weight, bias, activation="silu")
        check.close(out, F.silu(whole + bias), unlike=wrong)
        check.close(
            kata.linear(x, weight, activation="silu"),
            F.silu(whole),
            unlike={"silu is missing": whole},
        )

    def test_one_launch_reads_the_weight_itself(self, kata):
        """Bias and activation cost one load per output and row of tiles. A transposed
        copy of the weight, a sum that is stored and loaded again, cost more than
        they do.
        """
        x, weight, bias = torch.randn(48, 47), torch.randn(32, 47), torch.randn(32)
        with kernels.watched() as seen:
            out = kata.linear(x, weight, bias, activation="silu")
        check.close(out, F.silu(F.linear(x.double(), weight.double(), bias.double())))
        check.that(seen.launches == 1, f"{seen.launches} launches, one is enough")
        loaded(seen, weight, 3, "the weight")
        check.moved(
            seen, loads=48 * 47 * 2 + 47 * 32 * 3 + 32 * 3, stores=48 * 32, programs=6
        )
        check.kernels_compute(
            lambda: kata.linear(x, weight, bias, activation="silu"), out
        )

    def test_blocks_and_views(self, kata):
        """x and the weight may be views, and the weight itself is read. A tile is BM
        rows by BN columns.
        """
        x, weight, bias = (
            torch.randn(48, 32).T,
            torch.randn(64, 60)[:, 9:57],
            torch.randn(64),
        )
        with kernels.watched() as seen:
            out = kata.linear(x, weight, bias, block=(16, 32, 64))
        check.close(out, F.linear(x.double(), weight.double(), bias.double()))
        check.moved(
            seen,
            loads=32 * 48 * 2 + 48 * 64 * 2 + 64 * 2,
            stores=32 * 64,
            programs=4,
            weight=weight,
        )

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """The sum, the bias and silu are computed in float32, and rounded once."""
        x, weight, bias = (
            torch.randn(20, 40).half(),
            torch.randn(9, 40).half(),
            torch.randn(9).half(),
        )
        out = kata.linear(x, weight, bias, activation="silu")
        check.dtype(out, torch.float16)
        exact = F.silu(F.linear(x.double(), weight.double(), bias.double()))
        check.close(out, exact, rtol=1e-3, atol=1e-5)

    @pytest.mark.edge
    def test_an_unknown_activation_is_an_error(self, kata):
        """The message names it."""
        with check.raises(ValueError, "relu"):
            kata.linear(torch.zeros(4, 5), torch.zeros(3, 5), activation="relu")


def in_groups(num_m, num_n, group):
    """All tiles in order: group by group, in each column by column."""
    groups = [range(num_m)[top : top + group] for top in range(0, num_m, group)]
    return [(row, column) for rows in groups for column in range(num_n) for row in rows]


def found_order(kata, num_m, num_n, group):
    return [
        tuple(kata.grouped_order(pid, num_m, num_n, group))
        for pid in range(num_m * num_n)
    ]


@st.composite
def orders(draw):
    return draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 4))


class TestGroupedOrder:
    def test_groups_of_one_row(self, kata):
        """They are gone through from left to right: row by row."""
        by_rows = in_groups(3, 4, 1)
        wrong = {
            "column by column": in_groups(3, 4, 3),
            "(column, row) for (row, column)": [t[::-1] for t in by_rows],
        }
        check.equal(found_order(kata, 3, 4, 1), by_rows, unlike=wrong)

    def test_columns_of_a_group(self, kata):
        """Two rows of tiles are gone through together, column by column, then the
        next two.
        """
        expected = in_groups(4, 3, 2)
        wrong = {
            "row by row": in_groups(4, 3, 1),
            "groups of columns": [(column, row) for row, column in in_groups(3, 4, 2)],
        }
        check.equal(found_order(kata, 4, 3, 2), expected, unlike=wrong)

    def test_the_last_group_may_be_lower(self, kata):
        """5 rows in groups of 3: the last group has 2, and its columns are 2
        tiles high.
        """
        expected = in_groups(5, 3, 3)
        wrong = {
            "as if the last group were as high": [
                (p // 9 * 3 + p % 3, p % 9 // 3) for p in range(15)
            ],
            "the last group's columns begin at the wrong row": [
                *expected[:9],
                *((7 - r, c) for r, c in expected[9:]),
            ],
        }
        check.equal(found_order(kata, 5, 3, 3), expected, unlike=wrong)

    @given(case=orders())
    def test_each_tile_once(self, kata, case):
        """For any number of tiles, each is some program's, and none is
        two programs'.
        """
        num_m, num_n, group = case
        found = found_order(kata, *case)
        twice = next((tile for tile in found if found.count(tile) > 1), None)
        check.that(
            twice is None,
            f"{num_m} × {num_n} tiles in groups of {group}: tile {twice} is computed "
            "twice",
        )
        check.equal(found, in_groups(*case))


@pytest.mark.stretch
class TestMatmulGrouped:
    def test_sizes_that_are_no_multiple_of_the_block(self, kata):
        """5 × 2 tiles in groups of 4: the last group has one row."""
        a, b = matrices(70, 20, 30)
        with kernels.watched(backwards=True):
            out = kata.matmul_grouped(a, b)
        check.close(out, product(a, b))

    def test_programs_take_tiles_in_the_grouped_order(self, kata):
        """Program p computes tile grouped_order(p, …): neighbours in time share rows of
        a and columns of b.
        """
        a, b = matrices(80, 32, 64)
        for group in (2, 3):
            with kernels.watched() as seen:
                out = kata.matmul_grouped(a, b, group=group)
            check.close(out, product(a, b))
            who = touching(seen, out, "writers")[::16, ::16]
            expected = torch.zeros(5, 4, dtype=torch.int64)
            for program, tile in enumerate(in_groups(5, 4, group)):
                expected[tile] = program
            by_rows = torch.arange(20).view(5, 4)
            what = "the program that stores each tile"
            check.equal(who, expected, unlike={"row by row": by_rows}, what=what)

    def test_the_order_moves_no_more(self, kata):
        """What is loaded is what `matmul` loads, from a and b themselves. What changes
        is what a cache still holds.
        """
        a, b = torch.randn(20, 64).T, torch.randn(20, 32)
        with kernels.watched() as seen:
            out = kata.matmul_grouped(a, b, block=(32, 16, 64), group=2)
        check.close(out, product(a, b))
        check.moved(seen, loads=64 * 20 * 2 + 20 * 32 * 2, stores=64 * 32, programs=4)
        loaded(seen, b, 2, "b")
        check.kernels_compute(lambda: kata.matmul_grouped(a, b), out)


@pytest.mark.stretch
class TestSplitK:
    def test_parts_are_added(self, kata):
        """Whatever K is split into: 108 is 7 steps of 16, the last of them with 12
        numbers. A number that two parts count, or none, changes the sum.
        """
        a, b = matrices(17, 108, 9)
        for splits in (1, 3, 4, 7):
            with kernels.watched():
                out = kata.split_k(a, b, splits=splits)
            check.close(out, product(a, b), rtol=1e-3, atol=1e-4)

    def test_any_order_of_programs(self, kata):
        """No part may be the one that others wait for: on a GPU any may be first. The
        last digits depend on the order, as those of floating sums do.
        """
        a, b = matrices(16, 64, 20)
        for backwards in (False, True):
            with kernels.watched(backwards=backwards):
                out = kata.split_k(a, b)
            check.close(out, product(a, b), rtol=1e-3, atol=1e-4)

    def test_k_is_shared(self, kata):
        """Each program sums over a part: 160 is 10 steps of 16, three at most for each
        of 4 programs, and one for each of 10. Together they load what one
        program would.
        """
        a, b = matrices(16, 160, 16)
        for splits, most in ((4, 48), (10, 16)):
            with kernels.watched() as seen:
                out = kata.split_k(a, b, splits=splits, block=(16, 32, 16))
            check.close(out, product(a, b), rtol=1e-3, atol=1e-4)
            loaded(seen, a, 1, "a")
            loaded(seen, b, 1, "b")
            shares = touching(seen, a, "readers")[0].unique(return_counts=True)[1]
            said = f"the programs of a tile sum over {shares.tolist()} numbers of K"
            right = len(shares) == splits and int(shares.max()) <= most
            check.that(
                right, f"{said}: {splits} programs with at most {most} each share 160"
            )
        check.kernels_compute(lambda: kata.split_k(a, b, splits=4), out)

    def test_blocks_are_obeyed(self, kata):
        """Every tile of BM rows and BN columns has its own programs. a and b may be
        views, as in `matmul`.
        """
        a, b = torch.randn(40, 32).T, torch.randn(64, 40).T
        with kernels.watched() as seen:
            out = kata.split_k(a, b, splits=2, block=(16, 64, 32))
        check.close(out, product(a, b), rtol=1e-3, atol=1e-4)
        loaded(seen, a, 1, "a")
        loaded(seen, b, 2, "b")

    @pytest.mark.edge
    def test_more_splits_than_steps(self, kata):
        """K = 20 is two steps. Programs without one add nothing."""
        a, b = matrices(16, 20, 16)
        with kernels.watched():
            out = kata.split_k(a, b, splits=5)
        check.close(out, product(a, b), rtol=1e-3, atol=1e-4)
