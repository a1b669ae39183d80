"""Specs of kernels/07 · Scans, groups and shared scales."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import kernels
from grader.specs import check


def most_of_one_program(seen, tensor, did="readers"):
    """The most numbers of a tensor that one program loaded, or stored ("writers"), in
    one launch.
    """
    touched = [0]
    for launch in seen.launched:
        for memory, programs in getattr(launch, did).items():
            if memory.tensor.data_ptr() == tensor.data_ptr():
                touched += [
                    int((programs == program).sum())
                    for program in range(launch.programs)
                ]
    return max(touched)


def loaded(seen, tensor, times, name):
    """Check that each number of a tensor was loaded so many times, and not a copy
    of it.
    """
    counts = seen.loads(tensor)
    most, least = int(counts.max()), int(counts.min())
    check.that(
        most > 0, f"no element of {name} itself is loaded: was it copied before?"
    )
    check.that(
        most <= times,
        f"an element of {name} is loaded {most} times, {times} are enough",
    )
    check.that(
        least == times, f"an element of {name} is loaded {least} times, not {times}"
    )


def only_the_result_is_stored(seen, out):
    stored = seen.total("store") + seen.total("atomic")
    check.that(
        stored == out.numel(),
        f"{stored} numbers were stored, not {out.numel()}: the result alone",
    )


def by_blocks(x, size, begin):
    """Prefix sums within blocks. `begin` says where each block begins, given the sums
    of all blocks.
    """
    parts = x.double().split(size)
    begins = begin(torch.stack([part.sum() for part in parts]))
    return torch.cat([part.cumsum(0) + start for part, start in zip(parts, begins)])


class TestPrefixSum:
    def test_one_block(self, kata):
        """Each number counts for its own sum and for all later ones."""
        for n in (64, 37):
            x = torch.randn(n).round()
            wrong = {
                "a number left out of its own sum": x.double().cumsum(0) - x,
                "summed from the end": x.flip(0).cumsum(0).flip(0),
            }
            check.close(kata.prefix_sum(x), x.double().cumsum(0), unlike=wrong)

    def test_blocks_go_on(self, kata):
        """Block 3 begins at the sum of the blocks 0, 1 and 2: the block sums have to be
        summed up, too.
        """
        x = torch.rand(256)
        wrong = {
            "each block begins at 0": by_blocks(x, 64, torch.zeros_like),
            "only the block before counted": by_blocks(
                x, 64, lambda sums: torch.cat([sums[:1] * 0, sums[:-1]])
            ),
            "a block's own sum counted twice": by_blocks(
                x, 64, lambda sums: sums.cumsum(0)
            ),
        }
        check.close(kata.prefix_sum(x), x.double().cumsum(0), unlike=wrong)

    def test_any_length_in_any_blocks(self, kata):
        """28 numbers in blocks of 4 have 7 block sums, which are more than a block."""
        for n, block in ((1, 64), (63, 64), (65, 64), (300, 128), (28, 4)):
            x = torch.randn(n)
            with kernels.watched(backwards=True):
                out = kata.prefix_sum(x, block=block)
            check.close(out, x.double().cumsum(0), atol=1e-4)

    def test_each_number_is_loaded_twice(self, kata):
        """Once for its block's sum, and once to go on from the blocks before it. A
        block that loads all blocks before it would load 2,292 numbers instead of 1,015.
        A single program that goes over them all would wait for itself.
        """
        x = torch.rand(500)
        with kernels.watched() as seen:
            out = kata.prefix_sum(x)
        check.close(out, x.double().cumsum(0))
        check.that(
            seen.total("atomic") == 0,
            "numbers were added by atomics, in an order that is open",
        )
        check.that(
            bool(seen.loads(x).any()),
            "no element of x itself is loaded: was it copied before?",
        )
        for kind, done, enough in (
            ("load", "loaded", 2 * 500 + 3 * 8),
            ("store", "stored", 500 + 2 * 8),
        ):
            check.that(
                seen.total(kind) <= enough,
                f"{seen.total(kind)} numbers were {done}, {enough} are enough",
            )
        most = most_of_one_program(seen, x)
        check.that(
            most <= 64, f"one program loads {most} numbers of x, not a block of 64"
        )
        with kernels.watched() as seen:
            kata.prefix_sum(x[:100], block=16)
        most = most_of_one_program(seen, x[:100])
        check.that(
            most <= 16, f"one program loads {most} numbers of x, not a block of 16"
        )
        check.kernels_compute(lambda: kata.prefix_sum(x), out)

    @settings(max_examples=5)
    @given(n=st.integers(1, 100), block=st.sampled_from([16, 32, 128]))
    def test_blocks_change_nothing(self, kata, n, block):
        """Any length, in any blocks."""
        x = torch.rand(n)
        check.close(kata.prefix_sum(x, block=block), x.double().cumsum(0))

    @pytest.mark.edge
    def test_integers(self, kata):
        """Float32 has no odd numbers above 2²⁴. Counts have to be exact."""
        x = torch.randint(1 << 18, (150,), dtype=torch.int32)
        check.equal(kata.prefix_sum(x), x.cumsum(0, dtype=torch.int32))

    @pytest.mark.edge
    def test_nothing_to_sum(self, kata):
        """No number, no block, no sum."""
        check.shape(kata.prefix_sum(torch.zeros(0)), (0,))


def recurred(a, b, h=None):
    """h_t = a_t h_{t−1} + b_t, one step after another, in float64."""
    h, found = torch.zeros(a.size(1), dtype=torch.float64) if h is None else h, []
    for factor, more in zip(a.double(), b.double()):
        h = factor * h + more
        found.append(h)
    return torch.stack(found)


def exchanged(a, b):
    """What comes of the maps if each new one is put before those that came earlier."""
    before = torch.cat([torch.ones(1, a.size(1)), a[:-1]]).double().cumprod(0)
    return (before * b.double()).cumsum(0)


def not_multiplied(a, b, size):
    """Blocks to which the last h of the block before is added, and not multiplied
    by a.
    """
    carry, found = 0.0, []
    for some_a, some_b in zip(a.split(size), b.split(size)):
        found.append(recurred(some_a, some_b) + carry)
        carry = found[-1][-1]
    return torch.cat(found)


class TestLinearRecurrence:
    def test_one_block(self, kata):
        """A step multiplies what is there, and then adds. The map of two steps is a · c
        and b · c + d: the later step multiplies the earlier one's b.
        """
        a, b = torch.rand(16, 13) + 0.3, torch.randn(16, 13)
        a[:, 5] *= -1
        a[7, 2] = 0  # what was before is gone
        wrong = {
            "the later step put before the earlier one": exchanged(a, b),
            "a of the step before": recurred(a.roll(1, 0), b),
            "b added before it is multiplied": recurred(a, a * b),
            "b summed, and a left out": b.double().cumsum(0),
        }
        check.close(
            kata.linear_recurrence(a, b), recurred(a, b), atol=1e-4, unlike=wrong
        )

    def test_blocks_hand_on(self, kata):
        """The last h of a block goes through the a of all later steps."""
        a, b = torch.rand(48, 16) * 0.4 + 0.7, torch.randn(48, 16)
        wrong = {
            "each block begins at 0": torch.cat(
                [recurred(*part) for part in zip(a.split(16), b.split(16))]
            ),
            "what a block hands on is added, not multiplied by a": not_multiplied(
                a, b, 16
            ),
        }
        check.close(
            kata.linear_recurrence(a, b), recurred(a, b), atol=1e-4, unlike=wrong
        )

    def test_any_size(self, kata):
        """21 steps and 13 columns are no multiple of a block. Columns know nothing of
        each other.
        """
        a, b = torch.rand(21, 13) * 0.4 + 0.7, torch.randn(21, 13)
        for block_t, block_n in ((8, 4), (32, 16)):
            with kernels.watched(backwards=True):
                out = kata.linear_recurrence(a, b, block_t=block_t, block_n=block_n)
            check.close(out, recurred(a, b), atol=1e-4)

    def test_each_number_is_loaded_once(self, kata):
        """2 · T · N loads and T · N stores. A program has block_n columns, and block_t
        steps at a time: all T at once would not fit its registers.
        """
        a, b = torch.rand(18, 17) * 0.4 + 0.7, torch.randn(18, 17)
        with kernels.watched() as seen:
            out = kata.linear_recurrence(a, b, block_t=4)
        check.close(out, recurred(a, b), atol=1e-4)
        check.moved(seen, loads=2 * 18 * 17, stores=18 * 17, programs=2, a=a, b=b)
        check.kernels_compute(lambda: kata.linear_recurrence(a, b, block_t=4), out)
        a, b = torch.rand(66, 8), torch.randn(66, 8)
        with kernels.watched(max_lanes=2 * 3 * 9 * 8 * 4) as seen:
            check.close(
                kata.linear_recurrence(a, b, block_t=8, block_n=4),
                recurred(a, b),
                atol=1e-4,
            )
        check.that(
            seen.programs == 2,
            f"{seen.programs} programs ran for 8 columns in blocks of 4, not 2",
        )

    @settings(max_examples=5)
    @given(T=st.integers(1, 20), N=st.integers(1, 9), block=st.sampled_from([4, 16]))
    def test_blocks_change_nothing(self, kata, T, N, block):
        """Any size, in any blocks."""
        a, b = torch.rand(T, N) * 0.4 + 0.7, torch.randn(T, N)
        out = kata.linear_recurrence(a, b, block_t=block, block_n=8)
        check.close(out, recurred(a, b), atol=1e-4)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """From 2,048 on float16 has only even numbers: forty steps that add 0.75 would
        change nothing. In column 2, two blocks add 1 each: 2,050 at the end, unless
        2,049 was rounded between the blocks.
        """
        a, b = torch.ones(41, 3).half(), torch.full((41, 3), 0.75).half()
        b[:, 2] = 0
        b[[1, 16], 2] = 1
        b[0] = 2048
        out = kata.linear_recurrence(a, b, block_n=4)
        check.dtype(out, torch.float16)
        check.close(out.double(), recurred(a, b), rtol=1e-3)
        check.equal(out[-1, 2].item(), 2050.0, what="the last number of column 2")

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """The interpreter takes any Python. Triton's compiler, tried here, wants loop
        variables to keep their type.
        """
        with kernels.watched() as seen:
            kata.linear_recurrence(
                torch.rand(10, 3), torch.randn(10, 3), block_t=8, block_n=4
            )
        check.compiles(seen)


def offsets_of(*lengths):
    return torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)


def summed(x, lengths, first=0):
    return torch.stack([rows[first:].sum(0) for rows in x.double().split(lengths)])


lists_of_lengths = st.lists(st.integers(0, 20), min_size=1, max_size=3)


@pytest.mark.stretch
class TestSegmentedSum:
    def test_groups_of_any_length(self, kata):
        """Group e has the rows offsets[e] to offsets[e + 1] − 1."""
        x, lengths = torch.randn(50, 40), [3, 27, 19, 1]
        wrong = {
            "the first row of a group left out": summed(x, lengths, first=1),
            "the first row of the next group counted": summed(x, lengths)
            + torch.cat([x[[3, 30, 49]], x[:1] * 0]),
            "the mean": summed(x, lengths) / torch.tensor(lengths)[:, None],
        }
        with kernels.watched():
            out = kata.segmented_sum(x, offsets_of(*lengths))
        check.close(out, summed(x, lengths), atol=1e-4, unlike=wrong)

    def test_groups_without_rows(self, kata):
        """Their sum is 0, wherever they are."""
        for lengths in ([0, 3, 0, 0, 30, 0], [32, 0, 16], [0]):
            x = torch.randn(sum(lengths), 64).round()
            with kernels.watched(backwards=True):
                out = kata.segmented_sum(x, offsets_of(*lengths))
            check.close(out, summed(x, lengths), atol=1e-4)

    def test_each_row_is_loaded_once(self, kata):
        """One program per group and 32 columns, which goes over the rows of its own
        group alone.
        """
        x, offsets = torch.randn(50, 96), offsets_of(3, 0, 27, 20)
        with kernels.watched() as seen:
            out = kata.segmented_sum(x, offsets)
        check.close(out, summed(x, [3, 0, 27, 20]), atol=1e-4)
        check.that(seen.programs == 4 * 3, f"{seen.programs} programs ran, not 4 · 3")
        check.that(
            bool(seen.loads(offsets).any()),
            "no kernel loads from the given offsets: were they read before?",
        )
        loaded(seen, x, 1, "x")
        only_the_result_is_stored(seen, out)
        check.kernels_compute(lambda: kata.segmented_sum(x, offsets), out)

    @settings(max_examples=5)
    @given(
        lengths=lists_of_lengths, N=st.integers(1, 20), block=st.sampled_from([8, 16])
    )
    def test_any_groups(self, kata, lengths, N, block):
        """Any lengths, in columns cut anywhere."""
        x = torch.randn(sum(lengths), N)
        check.close(
            kata.segmented_sum(x, offsets_of(*lengths), block_n=block),
            summed(x, lengths),
            atol=1e-4,
        )

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """From 2,048 on float16 has only even numbers: forty rows of 0.75 would
        change nothing.
        """
        x = torch.full((41, 3), 0.75).half()
        x[0] = 2048
        out = kata.segmented_sum(x, offsets_of(41))
        check.dtype(out, torch.float16)
        check.close(out.double(), summed(x, [41]), rtol=1e-3)


def tokens(B, H, T, K, V, most=0.3):
    """q, k, v, and a log_decay from −most to 0."""
    return (
        *torch.randn(2, B, H, T, K),
        torch.randn(B, H, T, V),
        -most * torch.rand(B, H, T),
    )


def attended(q, k, v, log_decay, first=0):
    """Σ_s exp(g_{s+1} + … + g_t) (q_t · k_s) v_s over s ≤ t − first, with all scores in
    memory, in float64.
    """
    total = log_decay.double().cumsum(-1)
    between = total[..., :, None] - total[..., None, :]
    between = between.masked_fill(
        torch.ones(between.shape[-2:]).tril(-first) == 0, float("-inf")
    )
    return (between.exp() * (q.double() @ k.double().mT)) @ v.double()


def by_chunks(
    q, k, v, log_decay, read_faded=True, keys_faded=True, state_faded=True, size=16
):
    """The same over chunks with a state between them, in which a slip may be
    asked for.
    """
    state, out = 0.0, []
    for part in zip(*(x.double().split(size, 2) for x in (q, k, v, log_decay))):
        queries, keys, values, fade = part
        total = fade.cumsum(-1)[..., None]
        whole = total[..., -1:, :]
        read = (
            (queries * total.exp() if read_faded else queries) @ state if out else 0.0
        )
        out.append(attended(*part) + read)
        state = state * whole.exp() if state_faded else state
        state = (
            state + ((whole - total).exp() * keys if keys_faded else keys).mT @ values
        )
    return torch.cat(out, 2)


class TestLinearAttention:
    def test_one_chunk(self, kata):
        """A token attends to itself and to those before it. Scores are as they are: no
        softmax, no scale.
        """
        q, k, v, g = tokens(2, 3, 16, 16, 32)
        q[0, 0] = k[0, 1] = 0
        wrong = {
            "the own token left out": attended(q, k, v, g, first=1),
            "scores divided by √K": attended(q / 4, k, v, g),
            "nothing faded": attended(q, k, v, 0 * g),
            "tokens of the future counted": attended(q, k, v, g, first=-16),
        }
        check.close(
            kata.linear_attention(q, k, v, g),
            attended(q, k, v, g),
            atol=1e-4,
            unlike=wrong,
        )

    def test_a_token_fades_what_was_before(self, kata):
        """What token s brings is faded by the tokens s + 1 to t, and not by
        s itself.
        """
        q, k, v, g = tokens(1, 2, 16, 32, 16, most=2.0)
        wrong = {
            "a token faded by its own decay": attended(q, k, g.exp()[..., None] * v, g),
            "faded by the tokens s to t − 1": attended(
                q / g.exp()[..., None], k * g.exp()[..., None], v, g
            ),
        }
        check.close(
            kata.linear_attention(q, k, v, g),
            attended(q, k, v, g),
            atol=1e-4,
            unlike=wrong,
        )

    def test_a_state_from_chunk_to_chunk(self, kata):
        """A query reads the state through the decay since its chunk began. Then the
        state fades by the whole chunk, and each key by what is left of it.
        """
        q, k, v, g = inputs = tokens(2, 3, 48, 16, 32, most=0.1)
        wrong = {
            "each chunk begins at 0": torch.cat(
                [attended(*part) for part in zip(*(x.split(16, 2) for x in inputs))], 2
            ),
            "the state read without the chunk's decay": by_chunks(
                *inputs, read_faded=False
            ),
            "keys not faded to the chunk's end": by_chunks(*inputs, keys_faded=False),
            "the state not faded": by_chunks(*inputs, state_faded=False),
        }
        check.close(
            kata.linear_attention(q, k, v, g),
            attended(q, k, v, g),
            rtol=1e-3,
            atol=1e-3,
            unlike=wrong,
        )

    def test_any_length_in_any_chunks(self, kata):
        """The last chunk has tokens from T on. They are not there."""
        for T, chunk in ((1, 16), (17, 16), (50, 32), (64, 64)):
            inputs = tokens(1, 2, T, 32, 16)
            with kernels.watched(backwards=True):
                out = kata.linear_attention(*inputs, chunk=chunk)
            check.close(out, attended(*inputs), rtol=1e-3, atol=1e-3)

    def test_strong_decay(self, kata):
        """At −20 per token, exp of a chunk's sum is 0, and exp of minus that sum is
        infinite: 0 · ∞ is NaN. Take the difference of the sums first.
        """
        q, k, v, g = tokens(1, 2, 40, 16, 16)
        for decay in (g - 20, torch.where(g < -0.15, g - 20, g)):
            out = kata.linear_attention(q, k, v, decay)
            check.finite(out)
            check.close(out, attended(q, k, v, decay), rtol=1e-3, atol=1e-3)

    def test_each_number_is_loaded_once(self, kata):
        """Two heads of 50 tokens with 16 + 16 + 32 + 1 numbers: 6,500 loads, and 3,200
        stores. All scores of a head in memory would be 2,500 more. A program has
        `chunk` tokens at a time: all T at once would not fit.
        """
        q, k, v, g = tokens(1, 2, 50, 16, 32)
        with kernels.watched() as seen:
            out = kata.linear_attention(q, k, v, g)
        check.close(out, attended(q, k, v, g), rtol=1e-3, atol=1e-3)
        check.moved(
            seen, loads=6500, stores=3200, programs=2, q=q, k=k, v=v, log_decay=g
        )
        check.kernels_compute(lambda: kata.linear_attention(q, k, v, g), out)
        inputs = tokens(1, 1, 130, 16, 16)
        with kernels.watched(max_lanes=9 * 16 * 65):
            check.close(
                kata.linear_attention(*inputs), attended(*inputs), rtol=1e-3, atol=1e-3
            )

    @settings(max_examples=5)
    @given(
        T=st.integers(1, 40),
        sizes=st.sampled_from([(16, 32), (32, 16)]),
        chunk=st.sampled_from([16, 32]),
    )
    def test_chunks_change_nothing(self, kata, T, sizes, chunk):
        """Any length, in any chunks."""
        inputs = tokens(1, 1, T, *sizes)
        check.close(
            kata.linear_attention(*inputs, chunk=chunk),
            attended(*inputs),
            rtol=1e-3,
            atol=1e-3,
        )

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """From 2,048 on float16 has only even numbers: what forty tokens add, 0.75
        each, would be rounded away. At place 2, two chunks add 1 each: 2,050 at the
        end, unless a state of 2,049 was rounded.
        """
        q, k, v = (
            torch.zeros(1, 1, 41, 16).half(),
            torch.zeros(1, 1, 41, 16).half(),
            torch.full((1, 1, 41, 16), 0.75),
        )
        q[..., 0], k[..., 0], v[..., 2], v[:, :, [1, 16], 2], v[:, :, 0] = (
            1,
            1,
            0,
            1,
            2048,
        )
        out = kata.linear_attention(q, k, v.half(), torch.zeros(1, 1, 41).half())
        check.dtype(out, torch.float16)
        check.close(out, attended(q, k, v, torch.zeros(1, 1, 41)), rtol=1e-3)
        check.equal(
            out[0, 0, -1, 2].item(), 2050.0, what="the last token's number at place 2"
        )

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """Triton's compiler takes the kernel. By default a GPU rounds what tl.dot
        multiplies to TF32, with 3 digits.
        """
        with kernels.watched() as seen:
            kata.linear_attention(*tokens(1, 1, 20, 16, 16))
        check.compiles(seen)


def sorted_places(experts, n_experts, counted=None):
    """Where each choice is in the stable order, and choices per expert."""
    order = experts.argsort(stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return places, torch.bincount(experts, minlength=n_experts)


def longs(found):
    return tuple(part.long() for part in found)


def choices(n, n_experts):
    return torch.randint(n_experts, (n,), dtype=torch.int32)


@pytest.mark.stretch
class TestPlacesByExpert:
    def test_one_block(self, kata):
        """Choices of expert 0 come first, then those of expert 1. Choices of one expert
        keep their order. Expert 3 has none.
        """
        experts = choices(32, 5)
        experts[experts == 3] = 4
        places, counts = sorted_places(experts, 5)
        begins = counts.cumsum(0) - counts
        wrong = {
            "places from 1 on": (places + 1, ...),
            "the order of the choices, not their places": (
                experts.argsort(stable=True),
                ...,
            ),
            "choices of one expert in reverse": (
                (2 * begins + counts - 1)[experts.long()] - places,
                ...,
            ),
            "only where an expert begins": (begins[experts.long()], ...),
        }
        check.equal(
            longs(kata.places_by_expert(experts, 5)), (places, counts), unlike=wrong
        )

    def test_several_blocks(self, kata):
        """All of expert 0 comes before all of expert 1: those of the last
        block, too.
        """
        experts = choices(96, 6)
        places, counts = sorted_places(experts, 6)
        alone = torch.cat(
            [
                sorted_places(part, 6)[0] + 32 * i
                for i, part in enumerate(experts.split(32))
            ]
        )
        wrong = {"each block sorted by itself": (alone, ...)}
        check.equal(
            longs(kata.places_by_expert(experts, 6)), (places, counts), unlike=wrong
        )

    def test_any_number_of_choices(self, kata):
        """The last block is cut off: lanes beyond choose nobody. Programs may run in
        any order, and places stay.
        """
        for n, n_experts, block in (
            (33, 4, 16),
            (5, 7, 32),
            (64, 1, 16),
            (100, 19, 64),
        ):
            experts = choices(n, n_experts)
            with kernels.watched(backwards=True):
                found = kata.places_by_expert(experts, n_experts, block=block)
            check.equal(longs(found), sorted_places(experts, n_experts))

    def test_each_choice_is_loaded_twice(self, kata):
        """Once to be counted, and once to be placed. To compare each choice with all
        others would be n² loads.
        """
        experts = choices(150, 5)
        with kernels.watched() as seen:
            found = kata.places_by_expert(experts, 5)
        check.equal(longs(found), sorted_places(experts, 5))
        check.that(
            seen.total("atomic") == 0,
            "numbers were changed by atomics, in an order that is open",
        )
        times = int(seen.loads(experts).max())
        check.that(
            0 < times <= 2,
            f"a choice is loaded {times} times by kernels, not once or twice",
        )
        most = most_of_one_program(seen, experts)
        check.that(most <= 32, f"one program loads {most} choices, not a block of 32")
        check.kernels_compute(lambda: kata.places_by_expert(experts, 5), found)

    @settings(max_examples=5)
    @given(
        n=st.integers(1, 60),
        n_experts=st.integers(1, 6),
        block=st.sampled_from([16, 32]),
    )
    def test_blocks_change_nothing(self, kata, n, n_experts, block):
        """Any number of choices and of experts, in any blocks."""
        experts = choices(n, n_experts)
        check.equal(
            longs(kata.places_by_expert(experts, n_experts, block=block)),
            sorted_places(experts, n_experts),
        )

    @pytest.mark.edge
    def test_results_are_int32(self, kata):
        """As the choices are: an index for a GPU has four bytes."""
        for found in kata.places_by_expert(choices(40, 3), 3):
            check.dtype(found, torch.int32)

    @pytest.mark.edge
    def test_no_choices(self, kata):
        """A batch may be empty. Each expert then has 0."""
        places, counts = kata.places_by_expert(choices(0, 3), 3)
        check.shape(places, (0,))
        check.equal(counts.long(), torch.zeros(3).long())


def grouped(x, w, lengths):
    """Each group's rows times its matrix transposed, in float64."""
    return torch.cat(
        [rows @ matrix.T for rows, matrix in zip(x.double().split(lengths), w.double())]
    )


def groups(lengths, N, K):
    return (
        torch.randn(sum(lengths), K),
        torch.randn(len(lengths), N, K),
        offsets_of(*lengths),
    )


class TestGroupedMatmul:
    def test_a_matrix_per_group(self, kata):
        """Two groups of one tile each: the first has w[0], the second w[1]."""
        x, w, offsets = groups([16, 16], 16, 16)
        x[3] = w[1, 5] = 0
        wrong = {
            "the first matrix for all groups": grouped(x, w[[0, 0]], [16, 16]),
            "the matrix of the other group": grouped(x, w[[1, 0]], [16, 16]),
            "w not transposed": grouped(x, w.mT, [16, 16]),
        }
        check.close(
            kata.grouped_matmul(x, w, offsets),
            grouped(x, w, [16, 16]),
            atol=1e-4,
            unlike=wrong,
        )

    def test_groups_of_any_length(self, kata):
        """A tile has rows of one group: the last tile of a group ends where the group
        does, though x goes on.
        """
        lengths = [17, 0, 20]
        x, w, offsets = groups(lengths, 21, 72)
        right = grouped(x, w, lengths)
        beyond = torch.cat([right[:16], (x[16:32] @ w[0].T).double(), right[32:]])
        with kernels.watched(backwards=True):
            out = kata.grouped_matmul(x, w, offsets, programs=1)
        check.close(
            out,
            right,
            atol=1e-4,
            unlike={"rows of the next group multiplied by this group's matrix": beyond},
        )

    def test_any_number_of_programs(self, kata):
        """There are 6 tiles, four in one group. Each of three programs takes two; of 7
        programs one finds none.
        """
        lengths = [17, 0, 5]
        x, w, offsets = groups(lengths, 32, 32)
        for programs in (3, 7):
            with kernels.watched() as seen:
                out = kata.grouped_matmul(x, w, offsets, programs=programs)
            check.close(out, grouped(x, w, lengths), atol=1e-4)
            check.that(
                seen.programs == programs,
                f"{seen.programs} programs ran, not {programs}",
            )
            check.that(
                bool(seen.loads(offsets).any()),
                "no kernel loads the given offsets: who counted the tiles?",
            )
        check.kernels_compute(
            lambda: kata.grouped_matmul(x, w, offsets, programs=1), out
        )

    def test_tiles_are_dealt_out(self, kata):
        """6 tiles of 256 numbers for four programs: none takes more than two, or the
        others wait for it.
        """
        lengths = [32, 0, 48, 16]
        x, w, offsets = groups(lengths, 16, 24)
        with kernels.watched() as seen:
            out = kata.grouped_matmul(x, w, offsets, programs=4)
        check.close(out, grouped(x, w, lengths), atol=1e-4)
        tiles = most_of_one_program(seen, out, "writers") / 256
        check.that(
            tiles <= 2,
            f"one program stores {tiles:.0f} tiles of 6, and there are four programs",
        )

    def test_what_is_moved(self, kata):
        """20 columns are two tiles of 16, so x is loaded twice; one of 32 loads it
        once. A group's matrix is loaded once per 16 rows of the group, or 32. Each
        result is stored once.
        """
        lengths = [17, 0, 36]
        x, w, offsets = groups(lengths, 20, 24)
        for block, columns, rows in (
            ((16, 16, 16), 2, (2, 0, 3)),
            ((32, 32, 16), 1, (1, 0, 2)),
        ):
            with kernels.watched() as seen:
                out = kata.grouped_matmul(x, w, offsets, programs=3, block=block)
            check.close(out, grouped(x, w, lengths), atol=1e-4)
            only_the_result_is_stored(seen, out)
            loaded(seen, x, columns, "x")
            for group, times in enumerate(rows):
                most = int(seen.loads(w[group]).max())
                check.that(
                    most == times,
                    f"w[{group}] is loaded {most} times, not {times}, with BM = "
                    f"{block[0]}",
                )

    @settings(max_examples=5)
    @given(
        lengths=lists_of_lengths, programs=st.integers(1, 6), size=st.integers(1, 20)
    )
    def test_any_groups(self, kata, lengths, programs, size):
        """Any lengths, any number of programs, tiles of any size."""
        x, w, offsets = groups(lengths, size, 21 - size)
        out = kata.grouped_matmul(x, w, offsets, programs=programs, block=(16, 32, 32))
        check.close(out, grouped(x, w, lengths), atol=1e-4)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """Sums are kept in float32. The result has x's dtype."""
        x, w, offsets = groups([3, 20], 19, 64)
        out = kata.grouped_matmul(x.half(), w.half(), offsets, programs=2)
        check.dtype(out, torch.float16)
        check.close(
            out.double(), grouped(x.half(), w.half(), [3, 20]), rtol=1e-3, atol=2e-3
        )

    @pytest.mark.edge
    def test_a_gpu_can_have_each_configuration(self, kata):
        """All sizes of tiles give the same, and Triton's compiler takes each. By
        default a GPU rounds what tl.dot multiplies to TF32, with 3 digits.
        """
        lengths = [17, 5]
        x, w, offsets = groups(lengths, 36, 20)
        with kernels.watched() as seen:
            for block in ((16, 16, 32), (32, 64, 16)):
                out = kata.grouped_matmul(x, w, offsets, programs=2, block=block)
                check.close(out, grouped(x, w, lengths), atol=1e-4)
        check.compiles(seen)


VALUES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
VALUES = torch.cat([VALUES, -VALUES])  # of the codes 0 to 15


def numbers(codes, scale, values=VALUES, bias=127):
    """What rows of bytes and scales stand for, in float64."""
    nibbles = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).long()
    return values[nibbles] * torch.exp2(scale.double() - bias).repeat_interleave(32, 1)


def mxfp4(rows, K):
    return torch.randint(256, (rows, K // 2), dtype=torch.uint8), torch.randint(
        125, 130, (rows, K // 32)
    ).byte()


@pytest.mark.stretch
class TestMatmulMxfp4:
    def test_all_sixteen_codes(self, kata):
        """Codes 1 and 9 stand for ½ and −½: with an exponent of 0 there is no
        leading 1. Above 7 the sign is minus.
        """
        x, w = (
            torch.stack([torch.randperm(256)[:16] for _ in range(16)]).byte()
            for _ in range(2)
        )
        ones = torch.full((16, 1), 127).byte()
        quarter, leading, positive = VALUES.clone(), VALUES.clone(), VALUES.abs()
        quarter[[1, 9]] /= 2
        leading[[0, 1]], leading[[8, 9]] = (
            torch.tensor([0.5, 0.75]).double(),
            torch.tensor([-0.5, -0.75]).double(),
        )
        right = numbers(w, ones).T
        wrong = {
            "½ taken for ¼": numbers(x, ones, quarter) @ numbers(w, ones, quarter).T,
            "a leading 1 where the exponent is 0": numbers(x, ones, leading)
            @ numbers(w, ones, leading).T,
            "no sign": numbers(x, ones, positive) @ numbers(w, ones, positive).T,
            "the two halves of a byte exchanged, of one operand": numbers(
                x << 4 | x >> 4, ones
            )
            @ right,
        }
        check.close(
            kata.matmul_mxfp4(x, ones, w, ones),
            numbers(x, ones) @ right,
            atol=1e-3,
            unlike=wrong,
        )

    def test_a_scale_per_32_numbers(self, kata):
        """A byte of 127 is the scale 1, and each step doubles it. The next 32 numbers
        of a row have the next scale.
        """
        (x, x_scale), (w, w_scale) = mxfp4(16, 96), mxfp4(16, 96)
        # a row that is 128 times as large, a block 16 times
        x_scale[0], w_scale[:, 1] = 134, 131
        right = numbers(x, x_scale), numbers(w, w_scale).T
        wrong = {
            "x not scaled": numbers(x, x_scale * 0 + 127) @ right[1],
            "w not scaled": right[0] @ numbers(w, w_scale * 0 + 127).T,
            "a bias of 128": numbers(x, x_scale, bias=128)
            @ numbers(w, w_scale, bias=128).T,
            "x's first scale for all of its row": numbers(
                x, x_scale[:, :1].expand(-1, 3)
            )
            @ right[1],
            "w's first scale for all of its row": right[0]
            @ numbers(w, w_scale[:, :1].expand(-1, 3)).T,
            "the first scale for all of a row": numbers(x, x_scale[:, :1].expand(-1, 3))
            @ numbers(w, w_scale[:, :1].expand(-1, 3)).T,
        }
        out = kata.matmul_mxfp4(x, x_scale, w, w_scale)
        check.close(out, right[0] @ right[1], atol=1e-2, unlike=wrong)
        x, x_scale, w, w_scale = (
            x[:1, :16],
            torch.zeros(1, 1).byte(),
            w[:1, :16],
            torch.full((1, 1), 240).byte(),
        )
        for one, other, what in (
            (x_scale, w_scale, "x_scale 0 and w_scale 240"),
            (w_scale, x_scale, "both exchanged"),
        ):
            out, right = (
                kata.matmul_mxfp4(x, one, w, other),
                numbers(x, one) @ numbers(w, other).T,
            )
            check.close(
                out,
                right,
                what=f"with {what}",
                unlike={"a byte of 0 taken for 0": right * 0},
            )

    def test_any_size(self, kata):
        """Tiles at the edges are cut off: 17 rows and 17 outputs. A row may have
        31 scales.
        """
        (x, x_scale), (w, w_scale) = mxfp4(17, 32), mxfp4(17, 32)
        with kernels.watched(backwards=True):
            out = kata.matmul_mxfp4(x, x_scale, w, w_scale)
        check.close(out, numbers(x, x_scale) @ numbers(w, w_scale).T, atol=1e-2)
        (x, x_scale), (w, w_scale) = mxfp4(3, 992), mxfp4(2, 992)
        out = kata.matmul_mxfp4(x, x_scale, w, w_scale)
        check.close(out, numbers(x, x_scale) @ numbers(w, w_scale).T, atol=1e-2)

    def test_bytes_are_loaded_once(self, kata):
        """With 16 rows and 16 outputs there is one tile: each byte crosses the memory
        once, and so does each scale. Numbers that were decoded before would be eight
        times as many bytes.
        """
        (x, x_scale), (w, w_scale) = mxfp4(16, 64), mxfp4(16, 64)
        with kernels.watched() as seen:
            out = kata.matmul_mxfp4(x, x_scale, w, w_scale)
        check.close(out, numbers(x, x_scale) @ numbers(w, w_scale).T, atol=1e-2)
        for name, tensor in {
            "x": x,
            "x_scale": x_scale,
            "w": w,
            "w_scale": w_scale,
        }.items():
            loaded(seen, tensor, 1, name)
        only_the_result_is_stored(seen, out)
        check.kernels_compute(lambda: kata.matmul_mxfp4(x, x_scale, w, w_scale), out)

    @pytest.mark.edge
    def test_a_scale_that_is_no_number(self, kata):
        """2¹²⁸ is beyond float32. The format keeps the byte 255 for NaN, which a broken
        block hands on to all its results.
        """
        (x, x_scale), (w, w_scale) = mxfp4(3, 64), mxfp4(5, 64)
        # numbers above 0, of which infinity would make infinity
        x, w = (codes & 0x77 | 0x11 for codes in (x, w))
        x_scale[1, 1] = 255
        expected = numbers(x, x_scale) @ numbers(w, w_scale).T
        expected[1] = float("nan")
        check.close(
            kata.matmul_mxfp4(x, x_scale, w, w_scale), expected, atol=1e-2, finite=False
        )


def sides(found):
    return [(c.bm, c.bn, c.bk) for c in found]


@pytest.mark.stretch
class TestCandidates:
    def test_the_least_traffic_comes_first(self, kata):
        """(100, 200) times (200, 60) in tiles of (64, 32): 100 · 200 numbers for each
        of 2 columns of tiles, and 200 · 60 for each of 2 rows of tiles. Taller tiles
        load the right operand less often, wider ones the left.
        """
        tiles = [
            (32, 16, 16),
            (16, 64, 32),
            (64, 32, 16),
            (128, 64, 32),
            (16, 16, 64),
            (32, 32, 16),
            (128, 16, 32),
        ]
        costs = {
            tile: 20_000 * -(-60 // tile[1]) + 12_000 * -(-100 // tile[0])
            for tile in tiles
        }
        turned = {
            tile: 20_000 * -(-100 // tile[0]) + 12_000 * -(-60 // tile[1])
            for tile in tiles
        }
        found = sides(
            kata.candidates([kata.Config(*tile) for tile in tiles], 100, 60, 200, 4)
        )
        right = sorted(tiles, key=lambda tile: costs[tile])
        wrong = {
            "the most traffic first": right[::-1],
            "rows and columns of tiles exchanged": sorted(
                tiles, key=lambda tile: turned[tile]
            ),
            "in the order in which they came": tiles,
        }
        check.equal(found, right, unlike=wrong)

    def test_tiles_in_flight_fit_shared_memory(self, kata):
        """With three stages, three pairs of tiles are there at once, and each number
        has `itemsize` bytes. A pair of (64 + 64) · 64 numbers has 32,768 bytes
        in float32.
        """
        tiles = [
            (64, 16, 9, 4),
            (64, 64, 3, 4),
            (64, 128, 8, 4),
            (256, 64, 3, 16),
            (64, 64, 4, 4),
        ]
        configs = [
            kata.Config(side, side, bk, stages, warps)
            for side, bk, stages, warps in tiles
        ]

        def found(itemsize, **limits):
            fitting = kata.candidates(configs, 512, 512, 512, itemsize, **limits)
            return sorted((c.bm, c.bk, c.stages, c.warps) for c in fitting)

        wrong = {
            "one stage counted": sorted(tiles[:3] + tiles[4:]),
            "numbers counted, not bytes": sorted(tiles[:2] + tiles[3:]),
            "the tile of one operand counted": sorted(tiles[:2] + tiles[4:]),
        }
        check.equal(found(4), sorted(tiles[:2]), unlike=wrong)
        check.equal(found(2), sorted(tiles[:2] + tiles[4:]))
        # exactly as much as there is
        check.equal(found(4, shared=98_304), sorted(tiles[:2]))
        check.equal(found(4, shared=98_303), sorted(tiles[:1]))

    def test_the_result_fits_the_registers(self, kata):
        """A warp's 32 threads hold 32 · 255 numbers. (256, 128) are 32,768, which is
        more than four warps hold. (128, 64) are 8,192, which is more than one
        warp holds.
        """
        configs = [kata.Config(256, 128, 16, warps=warps) for warps in (2, 4, 8)]
        configs.append(kata.Config(128, 64, 16, warps=2))
        found = sorted(c.warps for c in kata.candidates(configs, 512, 512, 512, 2))
        wrong = {
            "the registers of one warp or one thread counted": [],
            "the registers of four warps counted, whatever a configuration has": [2],
        }
        check.equal(found, [2, 8], unlike=wrong)
        check.equal(len(kata.candidates(configs, 512, 512, 512, 2, registers=256)), 3)

    def test_no_tile_is_larger_than_the_problem(self, kata):
        """20 columns are covered by a tile of 32; one of 64 would have 44 lanes for
        nothing. The same holds for rows, and for numbers of K. tl.dot wants 16 at
        least, so 16 is allowed for any size.
        """
        tiles = [
            (16, 16, 16),
            (32, 16, 16),
            (16, 32, 16),
            (16, 64, 16),
            (16, 16, 32),
            (64, 16, 16),
        ]
        found = sides(
            kata.candidates([kata.Config(*tile) for tile in tiles], 33, 20, 5, 4)
        )
        expected = [(16, 16, 16), (16, 32, 16), (32, 16, 16), (64, 16, 16)]
        wrong = {
            "sizes not rounded up": expected[:1] + expected[2:3],
            "a side along K of any length": sorted([*expected, (16, 16, 32)]),
            "no tile left out": sorted(tiles),
        }
        check.equal(sorted(found), expected, unlike=wrong)


def tuner(kata, costs, times=1):
    """A tuner that knows what each bm costs, and the list of what ran: `run` adds its
    bm to each argument.
    """
    ran = []

    def run(config, *outputs):
        ran.append(config.bm)
        for out in outputs:
            out += config.bm
        if costs[config.bm] is None:
            raise (RuntimeError if config.bm == 16 else ValueError)(
                "out of resource: shared memory"
            )

    def measure(call):
        for _ in range(times):
            call()
        return costs[ran[-1]]

    return kata.Tuner(run, [kata.Config(bm, 16, 16) for bm in costs], measure), ran


@pytest.mark.stretch
class TestTuner:
    def test_the_cheapest_runs(self, kata):
        """All are measured, the one with the lowest cost is returned, and runs
        once more.
        """
        for costs in (
            {16: 3.0, 32: 1.0, 64: 2.0},
            {16: 0.5, 32: 1.0},
            {16: 2.0, 32: 1.0, 64: 0.1},
        ):
            tune, ran = tuner(kata, costs)
            found = tune("a key", [])
            cheapest = min(costs, key=costs.get)
            check.equal(
                found.bm,
                cheapest,
                unlike={"the dearest chosen": max(costs, key=costs.get)},
            )
            check.that(
                sorted(ran) == sorted([*costs, cheapest]),
                f"{ran} ran: not each once, and {cheapest} once more",
            )
            check.that(
                ran[-1] == cheapest, f"{ran[-1]} runs at the end, not {cheapest}"
            )

    def test_once_per_key(self, kata):
        """Trials cost more than a run. What was found for a key stays, and another key
        may have another best.
        """
        costs = {16: 3.0, 32: 1.0, 64: 2.0}
        tune, ran = tuner(kata, costs)
        tune((512, 64), [])
        ran.clear()
        found = tune((512, 64), [])
        check.that(ran == [32], f"a second call with the same key runs {ran}, not [32]")
        check.equal(found.bm, 32)
        ran.clear()
        costs.update({16: 5.0, 32: 9.0, 64: 7.0})
        found = tune((512, 65), [])
        check.that(
            len(ran) == 4, f"another key has {len(ran)} runs, not three trials and one"
        )
        check.equal(found.bm, 16, unlike={"what was cheapest for the key before": 32})

    def test_outputs_are_put_back(self, kata):
        """A kernel that adds to its output would add in each trial, and `measure` may
        run it several times. The result is that of one run.
        """
        kernels.ends_on_a_device()  # to which outputs are copied
        tune, _ = tuner(kata, {16: 3.0, 32: 1.0, 64: 2.0}, times=3)
        given = torch.randn(5), torch.randn(4, 3)
        outputs = tuple(one.clone() for one in given)
        tune("a key", outputs, *outputs)
        wrong = {
            "outputs not put back": tuple(
                one + 3 * (16 + 32 + 64) + 32 for one in given
            ),
            "outputs set to 0": tuple(one * 0 + 32 for one in given),
            "the last run undone": given,
        }
        check.close(outputs, tuple(one + 32 for one in given), unlike=wrong)

    @pytest.mark.edge
    def test_a_configuration_that_cannot_run(self, kata):
        """A GPU refuses what needs more memory than there is. The others are
        still good.
        """
        kernels.ends_on_a_device()
        tune, ran = tuner(kata, {16: None, 32: 2.0, 64: 3.0, 128: None})
        out = torch.ones(3)
        check.equal(tune("a key", [out], out).bm, 32)
        check.close(out, torch.full((3,), 33.0))
        check.that(ran[-1] == 32, f"{ran[-1]} runs at the end, not 32")
