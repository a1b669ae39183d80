"""Specs of 18 · Positional encoding."""

import functools
import math
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from grader.specs import check

B, T, C, H, D = 2, 5, 6, 3, 4


def angle(position, pair, width, base=10000.0):
    return position / base ** (2 * pair / width)


def table(rows, width, base=10000.0):
    """The sinusoidal table, number by number in float64."""
    waves = (math.sin, math.cos)
    values = [
        [waves[c % 2](angle(p, c // 2, width, base)) for c in range(width)]
        for p in range(rows)
    ]
    return torch.tensor(values, dtype=torch.float64)


def far_row():
    """Row 4999 of the table with six columns."""
    waves = [wave(angle(4999, i, 6)) for i in range(3) for wave in (math.sin, math.cos)]
    return torch.tensor(waves, dtype=torch.float64)


def turned(x, positions, base=10000.0, sign=1):
    """RoPE as a plain loop over positions and pairs, in float64."""
    result = x.double().clone()
    for t, p in enumerate(positions):
        for i in range(x.size(-1) // 2):
            a, b = x[..., t, 2 * i].double(), x[..., t, 2 * i + 1].double()
            turn = sign * angle(p, i, x.size(-1), base)
            result[..., t, 2 * i] = a * math.cos(turn) - b * math.sin(turn)
            result[..., t, 2 * i + 1] = a * math.sin(turn) + b * math.cos(turn)
    return result


def plain_block(kata, width=8):
    return kata.TransformerEncoder(1, width, 2, dropout=0.0, norm_first=True)


class TestPermutationGap:
    def test_is_the_largest_difference(self, kata):
        """Adding 0, 1, 2, … to the positions makes the two results differ by p[t] − t.
        Moving everything one place on and the last to the front gives 1, 1, 1, 1 and
        −4: the largest in size is 4, a plain float.
        """
        numbers = torch.arange(T).reshape(T, 1) * 1.0
        x, order = torch.randn(B, T, C), torch.tensor([1, 2, 3, 4, 0])
        got = kata.permutation_gap(lambda x: x + numbers, x, order)
        wrong = {
            "only the input permuted, not the result": (x - x[:, order])
            .abs()
            .max()
            .item()
        }
        wrong |= {
            "the largest without its sign taken off": 1.0,
            "the mean": 1.6,
            "x permuted back and forth": 0.0,
        }
        check.close(got, 4.0, rtol=1e-5, unlike=wrong)
        check.that(
            type(got) is float,
            f"the result is of type {type(got).__name__}, expected float",
        )

    @given(numbers=st.permutations(range(T)))
    def test_is_zero_for_a_block_without_positions(self, kata, numbers):
        """A linear layer treats each position alone, and attention adds up over a set:
        move the tokens, and the outputs move along. Undoing a permutation is in general
        not the same as doing it.
        """
        torch.manual_seed(0)
        permutation = torch.tensor(numbers)
        for name, layer in (
            ("linear layer", nn.Linear(8, 7)),
            ("block", plain_block(kata)),
        ):
            got = kata.permutation_gap(layer, torch.randn(B, T, 8), permutation)
            check.that(
                abs(got) < 1e-4,
                f"the gap of a {name} is {got:.3g} for {numbers}, expected about 0",
            )

    def test_is_large_for_a_block_with_positions(self, kata):
        """Once something else is added at every position, the same tokens in another
        order are another input.
        """
        block, places = plain_block(kata), torch.randn(T, 8)
        got = kata.permutation_gap(
            lambda x: block(x + places),
            torch.randn(B, T, 8),
            torch.tensor([2, 0, 1, 4, 3]),
        )
        check.that(got > 0.1, f"the gap is {got:.3g}, expected more than 0.1")

    def test_leaves_no_graph(self, kata):
        """Nothing is going to be learned from a measurement, so it is made
        without recording.
        """
        recording = []

        def spy(x):
            recording.append(torch.is_grad_enabled())
            return x * 2

        kata.permutation_gap(
            spy, torch.randn(B, T, C, requires_grad=True), torch.arange(T)
        )
        check.that(not any(recording), "fn is run with gradients enabled")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "numbers",
        [[0, 1, 2], [0, 1, 1, 3, 4], [0, 1, 2, 3, -1]],
        ids=["short", "twice", "negative"],
    )
    def test_refuses_what_is_no_permutation(self, kata, numbers):
        """Each position exactly once. Indexing takes repeats, negative numbers and
        fewer positions without an error.
        """
        with check.raises(ValueError):
            kata.permutation_gap(
                nn.Identity(), torch.randn(B, T, C), torch.tensor(numbers)
            )


class TestSinusoidalEncoding:
    def test_two_columns_are_sine_and_cosine_of_the_position(self, kata):
        """With d_model=2 there is one angle, the position itself: first its sine, then
        its cosine.
        """
        p = torch.arange(5, dtype=torch.float64)
        wrong = {
            "cosine first": torch.stack([p.cos(), p.sin()], 1),
            "cosine in both columns": torch.stack([p.cos(), p.cos()], 1),
            "sine in both columns": torch.stack([p.sin(), p.sin()], 1),
            "positions from 1": table(6, 2)[1:],
        }
        check.close(
            kata.sinusoidal_encoding(5, 2),
            torch.stack([p.sin(), p.cos()], 1),
            atol=2e-5,
            unlike=wrong,
        )

    def test_equals_the_formula(self, kata):
        """Columns 2i and 2i + 1 share the angle pos / base^(2i / d_model): sine in the
        even one, cosine in the odd.
        """
        right = table(9, 6)
        sines = torch.tensor(
            [[math.sin(p / 10000 ** (i / 6)) for i in (0, 1, 2)] for p in range(9)]
        )
        cosines = torch.tensor(
            [[math.cos(p / 10000 ** (i / 6)) for i in (0, 1, 2)] for p in range(9)]
        )
        every = [
            [(math.sin, math.cos)[c % 2](p / 10000 ** (c / 6)) for c in range(6)]
            for p in range(9)
        ]
        wrong = {
            "the exponent is i / d_model in place of 2i / d_model": torch.stack(
                [sines, cosines], 2
            ).flatten(1),
            "all sines, then all cosines": torch.cat(
                [right[:, 0::2], right[:, 1::2]], 1
            ),
            "every column has an angle of its own": torch.tensor(every),
            "cosines in the even columns": right.reshape(9, 3, 2).flip(2).flatten(1),
        }
        check.close(kata.sinusoidal_encoding(9, 6), right, atol=2e-5, unlike=wrong)

    def test_the_base_may_be_another(self, kata):
        """base = 100 makes the slow waves faster."""
        wrong = {"base 10000 whatever is asked for": table(8, 6)}
        check.close(
            kata.sinusoidal_encoding(8, 6, 100.0),
            table(8, 6, 100.0),
            atol=2e-5,
            unlike=wrong,
        )

    def test_far_positions_are_right(self, kata):
        """At position 4999 to 2e-3: each angle is computed from its own position, not
        added up from step to step.
        """
        got = kata.sinusoidal_encoding(5000, 6)[-1]
        check.close(got, far_row(), rtol=0, atol=2e-3, what="row 4999")

    @given(
        shift=st.integers(1, 12),
        pairs=st.integers(1, 4),
        base=st.sampled_from([10000.0, 100.0]),
    )
    def test_a_shift_is_a_rotation(self, kata, shift, pairs, base):
        """Row p + k is row p with every pair turned by an angle that depends on k
        alone: that is why sine and cosine of one angle are neighbours.
        """
        rows = kata.sinusoidal_encoding(20, 2 * pairs, base)
        for pair in range(pairs):
            turn = angle(shift, pair, 2 * pairs, base)
            s, c = rows[:-shift, 2 * pair], rows[:-shift, 2 * pair + 1]
            across, along = math.sin(turn), math.cos(turn)
            expected = torch.stack([s * along + c * across, c * along - s * across], 1)
            got = rows[shift:, 2 * pair : 2 * pair + 2]
            check.close(
                got, expected, atol=5e-5, what=f"pair {pair}, {shift} positions on"
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("width", [7, 1])
    def test_an_odd_width_ends_in_a_sine(self, kata, width):
        """An odd d_model has one sine more than cosines; its exponents are still
        over d_model.
        """
        check.close(kata.sinusoidal_encoding(9, width), table(9, width), atol=2e-5)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float64, torch.float16], ids=["float64", "float16"]
    )
    def test_has_the_dtype_asked_for(self, kata, dtype):
        """dtype is that of the result. In float16 there is no position 4999: compute
        the angles before rounding.
        """
        got = kata.sinusoidal_encoding(5000, 6, dtype=dtype)
        check.dtype(got, dtype)
        check.close(got[-1], far_row(), rtol=0, atol=2e-3, what="row 4999")

    @pytest.mark.edge
    @pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (4, -2)])
    def test_refuses_an_empty_table(self, kata, sizes):
        """A table without rows or columns is a mistake of the caller."""
        with check.raises(ValueError):
            kata.sinusoidal_encoding(*sizes)


class TestSinusoidalPositionalEncoding:
    def test_adds_the_table(self, kata):
        """Every sequence gets row 0 at its first position, row 1 at its second, and
        so on.
        """
        x = torch.randn(B, T, C)
        got = kata.SinusoidalPositionalEncoding(C, 9)(x.clone())
        first = table(B, C).reshape(B, 1, C)
        wrong = {
            "rows by batch element in place of by position": x + first,
            "nothing is added": x,
            "x and the table side by side": torch.cat(
                [x, table(T, C).expand(B, T, C)], -1
            ),
        }
        check.close(got, x + table(T, C), atol=3e-5, unlike=wrong)

    def test_pe_is_the_table_as_a_buffer(self, kata):
        """A buffer follows the module, and the optimizer does not see it. A parameter
        would be trained, and decayed towards zero. The first dimension, of size 1, is
        the batch.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9)
        names = [name for name, _ in module.named_parameters()]
        check.that(not names, f"there should be no parameters, there are {names}")
        check.that(
            "pe" in dict(module.named_buffers()), "pe is not a registered buffer"
        )
        check.close(module.pe, table(9, C).unsqueeze(0), atol=2e-5, what="pe")

    def test_the_defaults(self, kata):
        """5000 positions, no dropout, added."""
        module = kata.SinusoidalPositionalEncoding(4)
        check.shape(module.pe, (1, 5000, 4), what="pe")
        x = torch.randn(B, T, 4)
        check.close(
            module.train()(x.clone()),
            x + table(T, 4),
            atol=3e-5,
            what="the result in training mode",
        )

    def test_offset_continues_the_table(self, kata):
        """With an offset of 4 the first position of x is position 4 of the table."""
        module = kata.SinusoidalPositionalEncoding(C, 9)
        x = torch.randn(B, T, C)
        wrong = {
            "the offset is ignored": x + table(T, C),
            "one row too early": x + table(9, C)[3:8],
        }
        check.close(module(x.clone(), 4), x + table(9, C)[4:], atol=3e-5, unlike=wrong)

    def test_concat_puts_the_columns_behind_x(self, kata):
        """In "concat" the features stay as they are and the d_model columns follow. x
        may have any width; with a width of d_model the columns are still appended,
        not added.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9, mode="concat")
        rows = table(9, C)[2:7].expand(B, T, C)
        for width in (4, C):
            x = torch.randn(B, T, width)
            wrong = {"positions first": torch.cat([rows, x], -1)}
            check.close(
                module(x, offset=2),
                torch.cat([x.double(), rows], -1),
                atol=3e-5,
                unlike=wrong,
            )

    @given(cut=st.integers(1, T - 1), mode=st.sampled_from(["add", "concat"]))
    def test_two_pieces_are_like_one(self, kata, cut, mode):
        """A sequence given in two pieces gets the same positions as in one piece, if
        the second starts where the first ended.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9, mode=mode)
        x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(0))
        pieces = torch.cat([module(x[:, :cut]), module(x[:, cut:], offset=cut)], dim=1)
        check.close(
            pieces,
            module(x),
            what=f"the pieces before and from position {cut}, put together",
        )

    @pytest.mark.parametrize("mode", ["add", "concat"])
    def test_dropout_is_on_the_result(self, kata, mode):
        """Dropout takes from the sum, not from the table alone: what it leaves is twice
        as large with p = 1/2, and what it drops is 0.
        """
        module = kata.SinusoidalPositionalEncoding(C, 40, dropout=0.5, mode=mode)
        x = torch.full((B, 40, C), 3.0)
        full = module.eval()(x.clone())
        check.close(
            full[..., :C],
            x + table(40, C) if mode == "add" else x,
            atol=3e-5,
            what="the result in eval mode",
        )
        got = module.train()(x.clone())
        dropped = got == 0
        share = dropped[..., :C].double().mean().item()
        check.that(
            0.3 < share < 0.7,
            f"{share:.2f} of the values with features in them are 0, expected about a "
            "half",
        )
        check.close(
            got[~dropped],
            2 * full[~dropped],
            what="the values that are left, twice those of eval mode",
        )
        columns = dropped[..., C:].double().mean().item() if mode == "concat" else share
        check.that(
            0.3 < columns < 0.8,
            f"{columns:.2f} of the position columns are 0, expected about a half",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("mode", ["add", "concat"])
    def test_keeps_the_dtype_of_x(self, kata, mode):
        """The table is float32, and adding it must not turn half precision
        into float32.
        """
        x = torch.randn(B, T, C).half()
        got = kata.SinusoidalPositionalEncoding(C, 9, mode=mode)(x.clone())
        check.dtype(got, torch.float16)
        check.close(
            got[..., -C:], table(T, C) + (x if mode == "add" else x * 0), atol=1e-2
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("mode", ["add", "concat"])
    def test_leaves_x_and_the_table_alone(self, kata, mode):
        """`x += pe` writes into the caller's tensor, and writing to the table changes
        every later call.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9, mode=mode)
        x = torch.randn(T, B, C).transpose(0, 1)
        with check.unchanged(x=x, pe=module.pe):
            first = module(x)
        check.equal(module(x), first, what="the result of a second call")

    @pytest.mark.edge
    def test_the_table_moves_with_the_module(self, kata):
        """`.to()` reaches buffers; a tensor kept as a plain attribute stays behind.
        (The "meta" device stands in for a GPU.)
        """
        module = kata.SinusoidalPositionalEncoding(C, 9)
        check.dtype(module.pe, torch.float32, what="pe")
        check.dtype(
            module.to(torch.float64).pe,
            torch.float64,
            what="pe after .to(torch.float64)",
        )
        module.to("meta")
        check.that(
            module.pe.device.type == "meta",
            f"after .to('meta') pe is on {module.pe.device}",
        )
        got = module(torch.randn(B, T, C, device="meta"), offset=1)
        check.that(got.device.type == "meta", f"the result is on {got.device}")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The module on the GPU gives for x on the GPU what it gives on the CPU,
        and there.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9).cuda()
        x = torch.randn(B, T, C).cuda()
        got = module(x)
        check.that(
            got.device == x.device, f"the result is on {got.device}, x on {x.device}"
        )
        check.close(got, x.cpu() + table(T, C), atol=1e-4)

    @pytest.mark.edge
    @pytest.mark.parametrize("mode", ["add", "concat"])
    @pytest.mark.parametrize("offset", [5, 8, -1])
    def test_refuses_to_leave_the_table(self, kata, mode, offset):
        """A slice past the end is silently shorter, and a single row would even be
        added to every position. Nine rows hold five positions from offset 0 to 4.
        """
        module = kata.SinusoidalPositionalEncoding(C, 9, mode=mode)
        with check.raises(ValueError):
            module(torch.zeros(B, T, C), offset=offset)

    @pytest.mark.edge
    @pytest.mark.parametrize("width", [1, C + 1])
    def test_refuses_another_width_when_adding(self, kata, width):
        """One feature would broadcast: the sum has a shape, and it is not that of x."""
        module = kata.SinusoidalPositionalEncoding(C, 9)
        with check.raises(ValueError):
            module(torch.zeros(B, T, width))

    @pytest.mark.edge
    def test_refuses_an_unknown_mode(self, kata):
        """There are two modes; a mistyped name should be noticed when the module
        is made.
        """
        with check.raises(ValueError):
            kata.SinusoidalPositionalEncoding(C, 9, mode="sum")


class TestLearnedPositionalEmbedding:
    def test_adds_the_rows(self, kata):
        """Row t of the table is added at position t, to every sequence alike."""
        module = kata.LearnedPositionalEmbedding(9, C)
        x = torch.randn(B, T, C)
        weight = module.embedding.weight.detach()
        wrong = {
            "nothing is added": x,
            "rows by batch element": x + weight[:B].reshape(B, 1, C),
        }
        check.close(module(x.clone()), x + weight[:T], atol=1e-6, rtol=0, unlike=wrong)

    def test_the_table_is_the_only_parameter(self, kata):
        """One weight, (max_len, d_model), that the optimizer can reach."""
        module = kata.LearnedPositionalEmbedding(9, C)
        check.that(
            isinstance(module.embedding, nn.Embedding),
            f"embedding is a {type(module.embedding).__name__}",
        )
        sizes = {
            name: tuple(parameter.shape)
            for name, parameter in module.named_parameters()
        }
        wanted = {"embedding.weight": (9, C)}
        check.that(sizes == wanted, f"the parameters are {sizes}, expected {wanted}")

    def test_starts_small_and_normal(self, kata):
        """Normal with standard deviation 0.02. nn.Embedding by itself starts at 1,
        which would drown the tokens.
        """
        weight = kata.LearnedPositionalEmbedding(64, 64).embedding.weight.detach()
        std, mean, most = (
            weight.std().item(),
            weight.mean().item(),
            weight.abs().max().item(),
        )
        check.that(
            0.017 < std < 0.023, f"the standard deviation is {std:.4f}, expected 0.02"
        )
        check.that(abs(mean) < 0.003, f"the mean is {mean:.4f}, expected 0")
        check.that(
            most > 0.05,
            f"the largest of 4096 values is {most:.4f}: not a normal distribution",
        )

    def test_offset_continues_the_table(self, kata):
        """The second piece of a sequence starts where the first ended."""
        module = kata.LearnedPositionalEmbedding(9, C)
        x = torch.randn(B, T, C)
        weight = module.embedding.weight.detach()
        wrong = {"the offset is ignored": x + weight[:T]}
        check.close(
            module(x.clone(), 4), x + weight[4:], atol=1e-6, rtol=0, unlike=wrong
        )
        check.close(
            module(x.clone(), offset=1),
            x + weight[1:6],
            atol=1e-6,
            rtol=0,
            what="the result for offset=1",
        )

    def test_only_the_rows_used_get_gradients(self, kata):
        """Row p learns from position p only, once from each sequence. Rows beyond the
        longest training sequence stay as they were drawn.
        """
        module = kata.LearnedPositionalEmbedding(9, C)
        probe = torch.randn(B, T, C)
        (module(torch.randn(B, T, C), offset=2) * probe).sum().backward()
        expected = torch.zeros(9, C)
        expected[2:7] = probe[0] + probe[1]
        check.that(
            module.embedding.weight.grad is not None,
            "no gradient reaches embedding.weight",
        )
        check.close(
            module.embedding.weight.grad,
            expected,
            what="the gradient of embedding.weight",
        )

    @pytest.mark.edge
    def test_leaves_x_alone(self, kata):
        """The sum is a new tensor, also for a view that is not contiguous."""
        x = torch.randn(T, B, C).transpose(0, 1)
        module = kata.LearnedPositionalEmbedding(9, C)
        with torch.no_grad(), check.unchanged(x=x):
            got = module(x)
        check.close(got, x + module.embedding.weight.detach()[:T], atol=1e-6, rtol=0)

    @pytest.mark.edge
    def test_follows_its_dtype(self, kata):
        """A module moved to another dtype gives results in it."""
        module = kata.LearnedPositionalEmbedding(9, C).bfloat16()
        check.dtype(module(torch.randn(B, T, C, dtype=torch.bfloat16)), torch.bfloat16)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Position numbers are made on the device of x."""
        module = kata.LearnedPositionalEmbedding(9, C).cuda()
        x = torch.randn(B, T, C).cuda()
        got = module(x)
        check.that(
            got.device == x.device, f"the result is on {got.device}, x on {x.device}"
        )
        check.close(
            got, x.cpu() + module.embedding.weight.detach().cpu()[:T], atol=1e-4
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("offset", [5, -1])
    def test_refuses_to_leave_the_table(self, kata, offset):
        """There is no row for a position beyond the table, and none before its start.
        Nine rows hold five positions from offset 0 to 4.
        """
        module = kata.LearnedPositionalEmbedding(9, C)
        with check.raises(ValueError):
            module(torch.zeros(B, T, C), offset=offset)

    @pytest.mark.edge
    @pytest.mark.parametrize("width", [1, C + 1])
    def test_refuses_another_width(self, kata, width):
        """One feature would broadcast to d_model without an error."""
        module = kata.LearnedPositionalEmbedding(9, C)
        with check.raises(ValueError):
            module(torch.zeros(B, T, width))


@st.composite
def rows_at_positions(draw):
    """Leading sizes of x, the positions of its rows, and how many pairs a row has."""
    leading = draw(st.lists(st.integers(1, 3), max_size=3))
    positions = draw(st.lists(st.integers(0, 200), min_size=1, max_size=5))
    return leading, positions, draw(st.integers(1, 3))


@pytest.mark.stretch
class TestApplyRope:
    def test_turns_a_pair_by_its_position(self, kata):
        """With D=2 the angle is the position: (1, 0) at position p becomes (cos p,
        sin p).
        """
        x = torch.tensor([[1.0, 0.0]] * 4)
        p = torch.arange(4, dtype=torch.float64)
        right = torch.stack([p.cos(), p.sin()], 1)
        wrong = {
            "turned the other way": right * torch.tensor([1.0, -1.0]),
            "not turned": x,
            "sin and cos exchanged": right.flip(1),
            "added to x, not turned": torch.stack([1 + p.sin(), p.cos()], 1),
            "positions counted from 1": torch.stack([(p + 1).cos(), (p + 1).sin()], 1),
            "the first number written over before the second is made": torch.stack(
                [p.cos(), p.cos() * p.sin()], 1
            ),
        }
        check.close(kata.apply_rope(x.clone()), right, atol=2e-5, unlike=wrong)

    @pytest.mark.parametrize("base", [50.0, None], ids=["base 50", "default base"])
    def test_equals_a_loop_over_pairs(self, kata, base):
        """Neighbours (x[2i], x[2i + 1]) form a pair, and pair i turns by
        p / base^(2i / D).
        """
        x = torch.randn(B, H, T, 6)
        width = {"base": base} if base else {}
        used = base or 10000.0
        order = [0, 3, 1, 4, 2, 5]
        halves = turned(x[..., order], range(T), used)
        wrong = {
            "pairs of x[i] and x[i + D/2]": halves[..., [0, 2, 4, 1, 3, 5]],
            "x[i] and x[i + D/2] turned, and put side by side": halves,
            "first and second numbers of all pairs in two halves": turned(
                x, range(T), used
            )[..., [0, 2, 4, 1, 3, 5]],
            "turned the other way": turned(x, range(T), used, sign=-1),
            "base 10000 whatever is asked for": turned(x, range(T)),
            "positions counted along dimension 1": turned(
                x.transpose(1, 2), range(H), used
            ).transpose(1, 2),
            "positions counted from 1": turned(x, range(1, T + 1), used),
            "exponent i / D": turned(x, range(T), used**0.5),
            "exponent 4i / D": turned(x, range(T), used**2),
            "times base^(2i / D), not divided by it": turned(x, range(T), 1 / used),
            "no minus in a·cos − b·sin": torch.where(
                torch.arange(6) % 2 == 0,
                turned(x, range(T), used, sign=-1),
                turned(x, range(T), used),
            ),
        }
        check.close(
            kata.apply_rope(x.clone(), **width),
            turned(x, range(T), used),
            atol=3e-5,
            unlike=wrong,
        )

    @given(case=rows_at_positions())
    def test_any_positions_and_leading_dimensions(self, kata, case):
        """Positions run along the last dimension but one, whatever comes before. They
        come in any order and repeat: a batch may go on where a cache ends, or hold two
        pieces of text.
        """
        leading, positions, pairs = case
        x = torch.randn(
            *leading,
            len(positions),
            2 * pairs,
            generator=torch.Generator().manual_seed(0),
        )
        wrong = {
            "positions 0 … T − 1 whatever is asked for": turned(
                x, range(len(positions))
            )
        }
        got = kata.apply_rope(x.clone(), torch.tensor(positions))
        check.close(
            got,
            turned(x, positions),
            atol=1e-4,
            unlike=wrong,
            what=f"{tuple(x.shape)} at {positions}",
        )

    @given(i=st.integers(0, 20), j=st.integers(0, 20), shift=st.integers(1, 100))
    def test_scores_depend_on_the_distance_only(self, kata, i, j, shift):
        """The score of a query at 3 with a key at 1 is that at 103 and 101: both turn
        by the same amount more.
        """
        q, k = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))

        def score(i, j):
            return (
                (
                    kata.apply_rope(q, torch.tensor([i]))
                    * kata.apply_rope(k, torch.tensor([j]))
                )
                .sum()
                .item()
            )

        what = f"the score at ({i + shift}, {j + shift}), compared with ({i}, {j})"
        check.close(
            score(i + shift, j + shift), score(i, j), atol=2e-3, rtol=0, what=what
        )
        check.that(
            abs(score(i, j) - score(i, j + 1)) > 1e-5,
            f"the scores at ({i}, {j}) and ({i}, {j + 1}) are the same",
        )

    def test_gradient_of_the_squared_length_is_twice_x(self, kata):
        """A rotation changes the direction of a pair and not its length. So Σ y² = Σ
        x², and its gradient is 2x: it must arrive through both members of a pair.
        """
        x = torch.randn(B, H, T, D, requires_grad=True)
        y = kata.apply_rope(x)
        lengths, expected = (
            z.detach().unflatten(-1, (-1, 2)).norm(dim=-1) for z in (y, x)
        )
        check.close(lengths, expected, what="the lengths of the pairs")
        check.that(y.requires_grad, "the result carries no graph")
        y.square().sum().backward()
        check.close(x.grad, 2 * x.detach(), atol=1e-4, what="gradient of x")

    @pytest.mark.edge
    def test_leaves_x_alone_also_as_a_view(self, kata):
        """Turning in place would use a feature that has been changed for its neighbour.
        A transposed view works too.
        """
        x = torch.randn(B, T, H, D).transpose(1, 2)
        with check.unchanged(x=x):
            got = kata.apply_rope(x)
        check.close(got, turned(x, range(T)), atol=3e-5)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype, within",
        [
            (torch.float64, 2e-3),
            (torch.float32, 2e-3),
            (torch.float16, 2e-2),
            (torch.bfloat16, 5e-2),
        ],
        ids=["float64", "float32", "float16", "bfloat16"],
    )
    def test_far_positions_are_right(self, kata, dtype, within):
        """Two bytes have no room for 2999: float16 rounds it to 3000, bfloat16 to 2992.
        So angles belong in float32. The result goes back to the dtype of x.
        """
        x = torch.rand(B, 3, 8).mul(2).sub(1).to(dtype)
        places = [2999, 3000, 2051]
        got = kata.apply_rope(x, torch.tensor(places))
        check.dtype(got, dtype)
        name = str(dtype).removeprefix("torch.")
        check.close(
            got,
            turned(x, places),
            rtol=0,
            atol=within,
            what=f"the result for x in {name}",
        )

    @pytest.mark.edge
    def test_works_where_x_is(self, kata):
        """Angles are made on the device of x. (The "meta" device stands in for
        a GPU.)
        """
        got = kata.apply_rope(torch.randn(B, T, D, device="meta"))
        check.that(got.device.type == "meta", f"the result is on {got.device}")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Angles are made on the device of x."""
        x = torch.randn(B, H, T, D).cuda()
        got = kata.apply_rope(x)
        check.that(
            got.device == x.device, f"the result is on {got.device}, x on {x.device}"
        )
        check.close(got, turned(x.cpu(), range(T)), atol=1e-4)

    @pytest.mark.edge
    @pytest.mark.parametrize("width", [5, 1])
    def test_refuses_an_odd_width(self, kata, width):
        """One feature would be left without a partner."""
        with check.raises(ValueError):
            kata.apply_rope(torch.randn(B, T, width))

    @pytest.mark.edge
    @pytest.mark.parametrize("size", [(T + 1,), (1,), (1, T)], ids=str)
    def test_refuses_positions_of_another_shape(self, kata, size):
        """One position per row; a single one would broadcast to all."""
        with check.raises(ValueError):
            kata.apply_rope(torch.randn(B, T, D), torch.zeros(size, dtype=torch.int64))


SLOPES = {  # as exponents of 1/2
    1: [8],
    2: [4, 8],
    3: [4, 8, 2],
    4: [2, 4, 6, 8],
    6: [2, 4, 6, 8, 1, 3],
    8: [1, 2, 3, 4, 5, 6, 7, 8],
    12: [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5],
    15: [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
    16: [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8],
}


def slopes(num_heads):
    return 0.5 ** torch.tensor(SLOPES[num_heads], dtype=torch.float64)


@pytest.mark.stretch
class TestAlibiSlopes:
    def test_powers_of_two(self, kata):
        """From 2^(−8/H) down to 2^(−8) in equal factors: h runs from 1 to H. The slopes
        are float32.
        """
        for num_heads in (4, 8, 16, 1):
            h = torch.arange(num_heads)
            wrong = {
                "h runs from 0": 2.0 ** (-8 * h / num_heads),
                "the last head first": slopes(num_heads).flip(0),
            }
            got = kata.alibi_slopes(num_heads)
            check.close(
                got,
                slopes(num_heads),
                unlike=wrong,
                what=f"the slopes of {num_heads} heads",
            )
            check.dtype(got, torch.float32)

    def test_other_numbers_of_heads(self, kata):
        """The slopes of the power of two below, then every other slope of the power
        above, from its first.
        """
        for num_heads in (6, 3, 12, 15):
            power = 2 ** (num_heads.bit_length() - 1)
            double = 2.0 ** (-4 * torch.arange(1, 2 * power + 1) / power)
            direct = 2.0 ** (-8 * torch.arange(1, num_heads + 1) / num_heads)
            below = slopes(num_heads)[:power]
            wrong = {
                "2^(−8h/H), as for a power of two": direct,
                "the first slopes of the power above": double[:num_heads],
                "the first slopes of the power above, after those below": torch.cat(
                    [below, double]
                )[:num_heads],
                "the 2nd, 4th … slope of the power above": torch.cat(
                    [below, double[1::2].double()]
                )[:num_heads],
            }
            got = kata.alibi_slopes(num_heads)
            check.close(
                got,
                slopes(num_heads),
                unlike=wrong,
                what=f"the slopes of {num_heads} heads",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("num_heads", [0, -3])
    def test_refuses_less_than_one_head(self, kata, num_heads):
        """There is nothing to give a slope to."""
        with check.raises(ValueError):
            kata.alibi_slopes(num_heads)


def penalties(num_heads, queries, keys):
    bias = torch.zeros(num_heads, queries, keys, dtype=torch.float64)
    for h, slope in enumerate(slopes(num_heads)):
        for t in range(queries):
            for s in range(keys):
                bias[h, t, s] = -slope * abs(keys - queries + t - s)
    return bias


@pytest.mark.stretch
class TestAlibiBias:
    def test_is_minus_slope_times_distance(self, kata):
        """Each key loses slope · |i − j| of its score, so near keys win."""
        i = torch.arange(T)
        right = penalties(4, T, T)
        signed = -slopes(4).reshape(4, 1, 1) * (i[:, None] - i)
        wrong = {
            "a bonus in place of a penalty": -right,
            "without the absolute value": signed,
            "without the absolute value, mirrored": -signed,
            "the distance squared": -slopes(4).reshape(4, 1, 1) * (i[:, None] - i) ** 2,
            "one slope for all heads": right[:1].expand(4, T, T),
        }
        check.close(kata.alibi_bias(4, T), right, unlike=wrong)

    def test_short_queries_are_the_last_positions(self, kata):
        """While text is generated, the keys are all there and only the newest tokens
        ask: query t is at position S − T + t.
        """
        wrong = {"queries at the first positions": penalties(2, T, T)[:, :2]}
        check.close(kata.alibi_bias(2, 2, T), penalties(2, 2, T), unlike=wrong)

    @given(
        num_heads=st.sampled_from(list(SLOPES)),
        queries=st.integers(1, 4),
        more=st.integers(0, 3),
    )
    def test_any_heads_queries_and_keys(self, kata, num_heads, queries, more):
        """One matrix (T, S) per head, in float32 like ordinary scores; also where the
        number of heads is not a power of two.
        """
        got = kata.alibi_bias(num_heads, queries, queries + more)
        check.close(
            got,
            penalties(num_heads, queries, queries + more),
            what=f"H={num_heads}, T={queries}, S=T+{more}",
        )
        check.dtype(got, torch.float32)

    @pytest.mark.edge
    def test_refuses_more_queries_than_keys(self, kata):
        """The queries are among the keys, so there cannot be more of them."""
        with check.raises(ValueError):
            kata.alibi_bias(2, T, T - 1)

    @pytest.mark.edge
    def test_is_on_the_device_asked_for(self, kata):
        """A bias on the CPU cannot be added to scores on a GPU. The meta device takes
        the place of a GPU.
        """
        got, default = kata.alibi_bias(2, 2, T, device="meta"), kata.alibi_bias(2, T)
        check.that(
            got.device.type == "meta", f"device='meta': the bias is on {got.device}"
        )
        check.that(
            default.device.type == "cpu",
            f"without a device the bias is on {default.device}, not on the CPU",
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_is_made_on_the_gpu(self, kata):
        """On the GPU, ready to be added to scores there."""
        bias = kata.alibi_bias(4, 2, T, device="cuda")
        check.close(torch.zeros(4, 2, T, device="cuda") + bias, penalties(4, 2, T))


class Probe(nn.Module):
    """Takes the place of OrderClassifier: one weight, right in eval mode unless the
    first token is 7, and a record of its calls.
    """

    made: list["Probe"] = []

    def __init__(
        self, vocab_size, kind, max_len, d_model=32, num_heads=4, num_layers=2
    ):
        super().__init__()
        self.vocab_size, self.kind, self.max_len = vocab_size, kind, max_len
        # kinds differ in how much they draw
        self.drawn = torch.rand(len(kind))[0].item()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.calls: list[dict] = []
        Probe.made.append(self)

    def logits(self, ids):
        side = (ids == 1).int().argmax(1) < (ids == 2).int().argmax(1)
        sign = torch.where(side, 1.0, -1.0)
        if not self.training:
            sign = torch.where(ids[:, 0] == 7, -sign, sign)
        return torch.stack(
            [torch.zeros(len(ids)), self.weight.abs() * sign], dim=1
        ), side.long()

    def forward(self, ids):
        logits, labels = self.logits(ids)
        loss = nn.functional.cross_entropy(logits, labels)
        grad = (
            torch.autograd.grad(loss, self.weight, retain_graph=True)[0].item()
            if loss.requires_grad
            else None
        )
        call = {
            "ids": ids.clone(),
            "training": self.training,
            "graph": torch.is_grad_enabled(),
        }
        self.calls.append(call | {"loss": loss.item(), "grad": grad})
        return logits


def watched(kata, *args, **settings):
    """The result of comparing, and the probes that took the place of
    the classifiers.
    """
    Probe.made = []
    with mock.patch.object(kata, "OrderClassifier", Probe):
        return kata.compare_position_encodings(*args, **settings), list(Probe.made)


class TestComparePositionEncodings:
    def test_builds_one_classifier_per_kind(self, kata):
        """OrderClassifier(12, kind, max_len), right after torch.manual_seed(seed), so
        that kinds differ in positions, not in luck. The table must be long enough for
        the longer of the two lengths.
        """
        for length, test_length, longest in ((6, 9, 9), (6, 4, 6), (6, None, 6)):
            _, probes = watched(kata, ("none", "learned"), length, 1, 5, test_length)
            built = [(probe.vocab_size, probe.kind, probe.max_len) for probe in probes]
            wanted = [(12, "none", longest), (12, "learned", longest)]
            check.that(
                built == wanted,
                f"for lengths {length} and {test_length} built {built}, expected "
                f"{wanted}",
            )
        torch.manual_seed(5)
        first = torch.rand(1).item()
        check.close(
            [probe.drawn for probe in probes],
            [first, first],
            what="the first random number of each model",
        )

    def test_losses_are_taken_before_the_update(self, kata):
        """A dict per kind, in the order asked for. Entry s of its losses is the
        cross-entropy of batch s on the model as it was when it saw that batch: floats,
        one per step.
        """
        result, probes = watched(kata, ("learned", "none"), 6, 4)
        check.that(
            list(result) == ["learned", "none"],
            f"the kinds are {list(result)}, expected learned, none",
        )
        for probe, (kind, found) in zip(probes, result.items(), strict=True):
            wanted = ["accuracy", "losses", "test_length_accuracy"]
            check.that(
                sorted(found) == wanted,
                f"the keys of {kind} are {sorted(found)}, expected {wanted}",
            )
            seen = [call["loss"] for call in probe.calls[:4]]
            kinds = {type(loss).__name__ for loss in found["losses"]}
            check.that(
                kinds == {"float"}, f"the losses are of type {kinds}, expected float"
            )
            check.close(found["losses"], seen, rtol=1e-5, what="losses")
            check.that(
                seen[3] < seen[0],
                f"the loss went from {seen[0]:.4f} to {seen[3]:.4f}: nothing is "
                "learned",
            )

    def test_every_step_gets_a_fresh_batch_of_64(self, kata):
        """steps batches of 64 sequences of `length`, whatever the test length is, and
        none of them twice.
        """
        result, [probe] = watched(kata, ["none"], 6, 3, test_length=9)
        batches = [call["ids"] for call in probe.calls[:3]]
        steps = len(result["none"]["losses"])
        check.that(
            steps == 3, f"there are {steps} losses, expected one for each of 3 steps"
        )
        for batch in batches:
            check.shape(batch, (64, 6), what="the ids of a step")
        check.that(
            not torch.equal(batches[0], batches[1]),
            "the second step sees the batch of the first again",
        )
        check.that(
            int(batches[0].max()) == 11,
            f"the largest token is {int(batches[0].max())}, expected 11",
        )

    def test_every_kind_sees_the_same_sequences(self, kata):
        """A generator that goes on from kind to kind would give each of them different
        data for training and for measuring, and the comparison would be partly luck.
        Another seed gives other batches.
        """
        seen = []
        for seed in (3, 4):
            torch.rand(3)
            _, (one, two) = watched(kata, ("none", "learned"), 6, 2, seed, 9)
            first, second = (
                [call["ids"] for call in probe.calls] for probe in (one, two)
            )
            check.equal(
                second, first, what="the ids of the second kind, batch by batch"
            )
            seen.append(first)
        _, [probe] = watched(kata, ["none"], 6, 1, 3)
        check.equal(
            probe.calls[0]["ids"],
            seen[0][0],
            what="the first batch of a second run with the same seed",
        )
        check.that(
            not torch.equal(seen[1][0], seen[0][0]),
            "another seed gives the same batches",
        )

    def test_adamw_gets_the_gradient_of_one_batch(self, kata):
        """AdamW with lr=3e-3 on the model's parameters. A gradient left over from the
        step before would be added.
        """
        found = []

        def look(optimizer, *_):
            [parameter] = optimizer.param_groups[0]["params"]
            settings = optimizer.param_groups[0]
            found.append(
                (
                    type(optimizer).__name__,
                    settings["lr"],
                    settings["weight_decay"],
                    parameter.grad.item(),
                )
            )

        handle = register_optimizer_step_pre_hook(look)
        try:
            _, probes = watched(kata, ("none", "learned"), 6, 3)
        finally:
            handle.remove()
        wanted = [("AdamW", 3e-3, 0.01)] * 6
        used = [each[:3] for each in found]
        check.that(
            used == wanted,
            f"(optimizer, lr, weight decay) of the six updates: {used}, expected "
            f"{wanted}",
        )
        fresh = [call["grad"] for probe in probes for call in probe.calls[:3]]
        check.close(
            [each[3] for each in found],
            fresh,
            rtol=1e-4,
            what="the gradient at each update",
        )

    def test_measures_500_fresh_sequences_of_each_length(self, kata):
        """Accuracy is about sequences the model was not trained on: from another seed,
        and of both lengths. Without a test_length both are `length`.
        """
        _, [probe] = watched(kata, ["none"], 6, 1, 3, 9)
        measured = [call["ids"] for call in probe.calls[1:]]
        counts = {
            length: sum(len(ids) for ids in measured if ids.size(1) == length)
            for length in (6, 9)
        }
        check.that(
            counts == {6: 500, 9: 500},
            f"sequences measured by their length: {counts}, expected 500 of each",
        )
        ids = torch.cat([ids for ids in measured if ids.size(1) == 6])
        check.that(
            int(ids.max()) == 11,
            f"the largest token measured is {int(ids.max())}, expected 11",
        )
        for size in (64, 500):
            again = kata.make_order_task(size, 6, 12, torch.Generator().manual_seed(3))[
                0
            ]
            same = torch.equal(ids[:size], again)
            check.that(
                not same,
                "the sequences measured come from the seed of the training batches",
            )
        _, [probe] = watched(kata, ["none"], 6, 1)
        lengths = {call["ids"].size(1) for call in probe.calls[1:]}
        check.that(
            lengths == {6},
            f"without a test_length the lengths measured are {lengths}, expected 6 "
            "only",
        )

    def test_accuracy_is_the_share_that_is_right(self, kata):
        """A share between 0 and 1 for each length. The model used here is right in eval
        mode unless the first token is 7.
        """
        result, [probe] = watched(kata, ["none"], 6, 1, 3, 9)
        measured = [call["ids"] for call in probe.calls[1:]]
        right = {}
        for length in (6, 9):
            ids = torch.cat([ids for ids in measured if ids.size(1) == length])
            right[length] = 1 - sum(row[0] == 7 for row in ids.tolist()) / len(ids)
        got = result["none"]
        wrong = {
            "the model in training mode": 1.0,
            "the wrong answers": 1 - right[6],
            "a percentage": 100 * right[6],
        }
        check.close(got["accuracy"], right[6], rtol=1e-5, unlike=wrong, what="accuracy")
        other = {"the accuracy at the training length": right[6]}
        check.close(
            got["test_length_accuracy"],
            right[9],
            rtol=1e-5,
            unlike=other,
            what="test_length_accuracy",
        )
        kinds = {
            type(got[name]).__name__ for name in ("accuracy", "test_length_accuracy")
        }
        check.that(
            kinds == {"float"}, f"the accuracies are of type {kinds}, expected float"
        )

    def test_measures_in_eval_mode_without_a_graph(self, kata):
        """Every step trains in training mode; afterwards nothing is recorded and
        nothing dropped.
        """
        _, [probe] = watched(kata, ["none"], 6, 2)
        modes = [call["training"] for call in probe.calls]
        check.that(
            modes[:2] == [True, True], f"the training flag in the steps is {modes[:2]}"
        )
        check.that(
            len(modes) > 2 and not any(modes[2:]),
            f"the training flag when measuring is {modes[2:]}",
        )
        recorded = [call["graph"] for call in probe.calls[2:]]
        check.that(not any(recorded), "the accuracy is measured with gradients enabled")

    def test_the_defaults(self, kata):
        """Three kinds, length 10, 150 steps, seed 0."""
        result, probes = watched(kata, steps=1)
        check.that(
            list(result) == ["none", "sinusoidal", "learned"],
            f"the kinds are {list(result)}",
        )
        steps = len(watched(kata, ["none"])[0]["none"]["losses"])
        check.that(steps == 150, f"the number of losses is {steps}, expected 150")
        length = probes[0].calls[0]["ids"].size(1)
        check.that(length == 10, f"the length is {length}, expected 10")
        _, [probe] = watched(kata, ["none"], steps=1, seed=0)
        check.equal(
            probes[0].calls[0]["ids"],
            probe.calls[0]["ids"],
            what="the first batch, compared with seed=0",
        )

    @pytest.mark.timeout(60)
    def test_order_needs_positions(self, kata):
        """Length 2, one layer, 60 steps. Without positions "1 before 2" and "2 before
        1" are the same set, and no training helps: about 0.5. Either table of positions
        brings it to at least 0.85.
        """
        with mock.patch.object(
            kata,
            "OrderClassifier",
            functools.partial(kata.OrderClassifier, num_layers=1),
        ):
            result = kata.compare_position_encodings(length=2, steps=60)
        accuracy = {kind: found["accuracy"] for kind, found in result.items()}
        check.that(
            accuracy["none"] <= 0.6,
            f"without positions accuracy is {accuracy['none']:.2f}, about 0.5 is due",
        )
        for kind in ("sinusoidal", "learned"):
            check.that(
                accuracy[kind] >= 0.85,
                f"the accuracy of {kind} is {accuracy[kind]:.2f}, at least 0.85 is due",
            )

    @pytest.mark.edge
    def test_no_steps_only_measure(self, kata):
        """With steps=0 there are no losses, and the accuracies are those of the
        untrained model.
        """
        result, [probe] = watched(kata, ["none"], 6, 0)
        check.equal(result["none"]["losses"], [], what="losses")
        check.that(
            not any(call["training"] for call in probe.calls),
            "the model is run in training mode",
        )

    @pytest.mark.edge
    def test_refuses_an_unknown_kind_before_training(self, kata):
        """A mistyped name should be noticed before the other kinds have been trained
        for a minute.
        """
        Probe.made = []
        with (
            mock.patch.object(kata, "OrderClassifier", Probe),
            check.raises(ValueError),
        ):
            kata.compare_position_encodings(("none", "spiral"), 6, 1)
        check.that(
            not any(probe.calls for probe in Probe.made),
            "a model was trained before the kinds were checked",
        )
