"""Specs of kata papers/24: a weighted sum, the value of one world and of all, the
mixture, and a policy that learns.
"""

import copy
import functools
import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

VALUES, LENGTHS = [0.5, 1.0, 0.25], [1, 3, 2]
SUM = 0.4375  # 0.25 + 0.125 + 0.0625
SLIPS = {
    "the values added up without weights": 1.75,
    "weights 2^+length": 10.0,
    "weights e^-length": sum(
        v * math.exp(-n) for v, n in zip(VALUES, LENGTHS, strict=True)
    ),
    "weights 1/length": 0.5 + 1 / 3 + 0.125,
    "a mean: divided by the sum of the weights": 0.5,
    "a mean: divided by the number of values": SUM / 3,
    "0: an integer power cannot be a fraction": 0.0,
}


class TestComplexityWeightedSum:
    def test_each_bit_of_length_halves_the_weight(self, kata):
        """0.5 · 1/2 + 1 · 1/8 + 0.25 · 1/4. One more bit of description leaves half of
        the weight.
        """
        got = kata.complexity_weighted_sum(
            torch.tensor(VALUES), torch.tensor(LENGTHS, dtype=torch.float32)
        )
        unlike = {name: torch.tensor(wrong) for name, wrong in SLIPS.items()}
        check.close(got, torch.tensor(SUM), unlike=unlike)

    def test_lengths_may_be_integers(self, kata):
        """Lengths are counted, so they often come as int64. The weights are fractions
        all the same.
        """
        got = kata.complexity_weighted_sum(torch.tensor(VALUES), torch.tensor(LENGTHS))
        unlike = {name: torch.tensor(wrong) for name, wrong in SLIPS.items()}
        check.close(got, torch.tensor(SUM), unlike=unlike)

    def test_the_weights_of_all_patterns_stay_below_one(self, kata):
        """There are 2^n patterns of length n, with a weight of 2^-2n each: together
        2^-n. Over n = 1 to 4 that is 1/2 + 1/4 + 1/8 + 1/16. The rest to 1 belongs to
        longer patterns, so the sum is not divided by anything.
        """
        patterns = [p for n in range(1, 5) for p in product((0, 1), repeat=n)]
        lengths = torch.tensor([2 * len(pattern) for pattern in patterns])
        got = kata.complexity_weighted_sum(torch.ones(len(patterns)), lengths)
        check.close(
            got,
            torch.tensor(0.9375),
            unlike={"weights that were made to add up to 1": torch.tensor(1.0)},
        )

    def test_the_gradient_of_a_value_is_its_weight(self, kata):
        """The sum is linear: it tells what a little more reward in each world would
        be worth.
        """
        values = torch.tensor([-0.5, 1.0, 0.25], requires_grad=True)
        got = kata.complexity_weighted_sum(values, torch.tensor(LENGTHS))
        check.that(got.requires_grad, "the result has no autograd graph")
        got.backward()
        check.close(
            values.grad, torch.tensor([0.5, 0.125, 0.25]), what="gradient of values"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
    def test_has_the_dtype_of_the_values(self, kata, dtype):
        """The weights are powers of two, exact in any dtype, so nothing forces another
        one on the result.
        """
        for lengths in (
            torch.tensor(LENGTHS),
            torch.tensor(LENGTHS, dtype=torch.float64),
        ):
            got = kata.complexity_weighted_sum(
                torch.tensor(VALUES, dtype=dtype), lengths
            )
            check.equal(got, torch.tensor(SUM, dtype=dtype))


@pytest.mark.stretch
class TestComplexityWeightedSumNumpy:
    def test_each_bit_of_length_halves_the_weight(self, kata):
        """0.5 · 1/2 + 1 · 1/8 + 0.25 · 1/4, as in PyTorch."""
        got = kata.complexity_weighted_sum_numpy(
            np.array(VALUES), np.array(LENGTHS, dtype=float)
        )
        check.close(float(got), SUM, unlike=SLIPS)

    def test_lengths_may_be_integers(self, kata):
        """NumPy refuses integers to negative integer powers, so the base has to be
        a float.
        """
        got = kata.complexity_weighted_sum_numpy(np.array(VALUES), np.array(LENGTHS))
        check.close(float(got), SUM, unlike=SLIPS)

    def test_agrees_with_pytorch(self, kata):
        """Both are one scalar product, of the values and the weights."""
        values, lengths = (
            torch.rand(50, dtype=torch.float64),
            torch.randint(1, 20, (50,)),
        )
        expected = torch.dot(
            values, torch.ldexp(torch.ones(50, dtype=torch.float64), -lengths)
        ).item()
        got = kata.complexity_weighted_sum_numpy(values.numpy(), lengths.numpy())
        check.close(float(got), expected, rtol=1e-5)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """The values are float64, and stay so."""
        values, lengths = np.random.default_rng(0).random(50), np.arange(50) % 9
        expected = math.fsum(
            value / 2**n
            for value, n in zip(values.tolist(), lengths.tolist(), strict=True)
        )
        check.close(
            float(kata.complexity_weighted_sum_numpy(values, lengths)),
            expected,
            rtol=0,
            atol=1e-9,
        )


def wavering(history):
    """A policy whose chance depends on the first bit and on the last two."""
    return (1 + sum(history[-2:]) + (2 * history[0] if history else 0)) / 6


def right_chances(policy, pattern, horizon):
    """The policy's probability of the right bit, step by step."""
    bits = [pattern[t % len(pattern)] for t in range(horizon)]
    ones = [policy(bits[:t]) for t in range(horizon)]
    return [one if bit else 1 - one for one, bit in zip(ones, bits, strict=True)]


@st.composite
def worlds(draw):
    """A pattern, and a number of steps."""
    pattern = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
    return tuple(pattern), draw(st.integers(1, 9))


class TestEnvironmentValue:
    def test_a_coin_has_a_half_and_knowledge_has_one(self, kata):
        """A coin is right in half of the steps of every world. A policy that acts this
        very pattern is always right.
        """
        pattern = (0, 1, 1)
        check.close(
            kata.environment_value(lambda history: 0.5, pattern, 7),
            0.5,
            what="the value of a coin",
        )
        got = kata.environment_value(
            lambda history: float(pattern[len(history) % 3]), pattern, 7
        )
        unlike = {
            "the sum over the steps": 7.0,
            "the current bit in the history, one bit ahead": 2 / 7,
            "the probability of a 1, whatever the bit": 4 / 7,
            "a history that stays empty": 3 / 7,
        }
        check.close(
            got, 1.0, unlike=unlike, what="the value of a policy that knows the world"
        )

    def test_it_is_the_mean_probability_of_the_right_bit(self, kata):
        """A policy that always returns 0.8 gives 0.8 to a 1, and 0.2 to a 0. With
        pattern (1, 0, 0) and five steps the right bits are 1, 0, 0, 1, 0:
        (0.8 + 0.2 + 0.2 + 0.8 + 0.2) / 5.
        """
        unlike = {
            "the more probable act instead of its probability": 0.4,
            "the mean probability of acting 1": 0.8,
            "the mean probability of the wrong bit": 0.56,
            "the sum over the steps": 2.2,
        }
        check.close(
            kata.environment_value(lambda history: 0.8, (1, 0, 0), 5),
            0.44,
            unlike=unlike,
        )

    def test_the_policy_sees_earlier_bits_only(self, kata):
        """At step t the history holds the t bits before, oldest first. With the bit of
        step t in it, repeating the last bit would always be right.
        """
        seen = []

        def probe(history):
            seen.append(list(history))
            return 0.5

        kata.environment_value(probe, (0, 1, 1), 5)
        bits = [0, 1, 1, 0, 1]
        unlike = {
            "the current bit included": [bits[: t + 1] for t in range(5)],
            "the newest bit first": [bits[:t][::-1] for t in range(5)],
            "the last bit only": [bits[:t][-1:] for t in range(5)],
        }
        check.equal(
            seen,
            [bits[:t] for t in range(5)],
            unlike=unlike,
            what="the histories that the policy got",
        )

    def test_the_pattern_repeats_past_its_end(self, kata):
        """The world (1, 0) is 1, 0, 1, 0, 1, … for ever. Repeating the last bit is
        wrong at every step but the first, where it is a coin: 0.5 / 8.
        """
        got = kata.environment_value(
            lambda history: float(history[-1]) if history else 0.5, (1, 0), 8
        )
        unlike = {
            "the last bit of the pattern going on for ever": 6.5 / 8,
            "the length of the pattern": 0.5 / 2,
        }
        check.close(got, 0.5 / 8, unlike=unlike)

    @given(case=worlds())
    def test_any_world_and_any_number_of_steps(self, kata, case):
        """The steps need not be a multiple of the pattern's length; they may even end
        before the pattern does.
        """
        chances = right_chances(wavering, *case)
        check.close(
            kata.environment_value(wavering, *case), sum(chances) / len(chances)
        )

    @pytest.mark.edge
    def test_the_policy_may_alter_its_history(self, kata):
        """A policy that takes its list apart does so to a list of its own. Here it
        would see one bit at most.
        """

        def clearing(history):
            chance = wavering(history)
            history.clear()
            return chance

        expected = sum(right_chances(wavering, (1, 1, 0), 8)) / 8
        last_only = (
            sum(right_chances(lambda history: wavering(history[-1:]), (1, 1, 0), 8)) / 8
        )
        unlike = {
            "the same list in every step, which the policy has cleared": last_only
        }
        check.close(
            kata.environment_value(clearing, (1, 1, 0), 8), expected, unlike=unlike
        )


def repeating(history):
    """The last bit; a coin at the start."""
    return float(history[-1]) if history else 0.5


def totals(policy, max_length, horizon, weight):
    """The values of all patterns, weighted by a function of their length."""
    patterns = [p for n in range(1, max_length + 1) for p in product((0, 1), repeat=n)]
    return sum(
        weight(len(p)) * sum(right_chances(policy, p, horizon)) / horizon
        for p in patterns
    )


def misweighted(policy, max_length, horizon):
    """By name, what some slips lead to."""
    call = functools.partial(totals, policy, max_length, horizon)
    return {
        "weights 2^-n instead of 2^-2n": call(lambda n: 2.0**-n),
        "weights that were made to add up to 1": call(lambda n: 4.0**-n)
        / (1 - 2.0**-max_length),
        "the mean over all patterns, without weights": call(lambda n: 1)
        / (2 ** (max_length + 1) - 2),
        "the sum over all patterns, without weights": call(lambda n: 1),
        "only the patterns of length max_length": call(
            lambda n: 4.0**-n * (n == max_length)
        ),
        "the longest patterns left out": call(lambda n: 4.0**-n * (n < max_length)),
    }


def misweighted_coin():
    """The same for 0.5 in every world, where all weights that add up to 1 come
    to one.
    """
    slips = misweighted(lambda history: 0.5, 5, 20)
    slips["weights that add up to 1"] = slips.pop(
        "weights that were made to add up to 1"
    )
    del slips["the mean over all patterns, without weights"]
    return slips


class TestUniversalIntelligence:
    def test_two_lengths_by_hand(self, kata):
        """Repeating the last bit for four steps has 3.5/4 in the worlds 0 and 1 (4 bits
        of weight: 1/4 each) and in 00 and 11 (1/16 each), but 0.5/4 in 01 and 10 (1/16
        each). Together 0.4375 + 0.109375 + 0.015625.
        """
        got = kata.universal_intelligence(repeating, 2, 4)
        check.close(got, 0.5625, rtol=1e-5, unlike=misweighted(repeating, 2, 4))

    def test_a_coin_has_half_of_all_weight(self, kata):
        """Its value is 0.5 in every world, and the weights up to length 5 add up to
        31/32. Acting 1 for ever is no better: each world where it is right has a mirror
        image of the same weight where it is wrong.
        """
        for name, chance in (("a coin", 0.5), ("acting 1 for ever", 1.0)):
            got = kata.universal_intelligence(
                lambda history, chance=chance: chance, 5, 20
            )
            check.close(
                got,
                0.484375,
                rtol=1e-5,
                unlike=misweighted_coin(),
                what=f"the total of {name}",
            )

    def test_a_specialist_is_no_better_than_a_coin(self, kata):
        """A policy that acts 0, 1, 1, 0, 1 over and over, whatever it sees, has value 1
        in that world. Still its total is that of a coin. Intelligence is asked for in
        all worlds.
        """
        pattern = (0, 1, 1, 0, 1)

        def specialist(history):
            return float(pattern[len(history) % 5])

        got = kata.universal_intelligence(specialist, 5, 20)
        check.close(
            got,
            0.484375,
            rtol=1e-5,
            unlike=misweighted_coin() | {"the best value": 1.0},
        )

    def test_repeating_the_last_bit_beats_a_coin(self, kata):
        """In the worlds 0 and 1 it is nearly always right, and these two have half of
        all weight: 0.721875 in all, for 20 steps.
        """
        got = kata.universal_intelligence(repeating, 5, 20)
        check.close(got, 0.721875, rtol=1e-5, unlike=misweighted(repeating, 5, 20))

    @given(case=st.tuples(st.integers(1, 4), st.integers(1, 7)))
    def test_any_length_and_any_horizon(self, kata, case):
        """The value in every world, times 2^-2n, for each n up to max_length."""
        got = kata.universal_intelligence(wavering, *case)
        check.close(
            got,
            totals(wavering, *case, lambda n: 4.0**-n),
            rtol=1e-5,
            unlike=misweighted(wavering, *case),
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Values are Python's floats, which are float64. A float32 tensor would lose
        half of their digits.
        """
        check.close(
            kata.universal_intelligence(repeating, 5, 20), 0.721875, rtol=0, atol=1e-9
        )


def fitting(history, max_length, fits=None):
    """(weight exponent n, next bit) of each pattern that fits the history."""
    patterns = [p for n in range(1, max_length + 1) for p in product((0, 1), repeat=n)]
    fits = fits or (lambda past: past == list(history))
    found = []
    for pattern in patterns:
        played = (pattern * (len(history) + 1))[: len(history) + 1]
        if fits(list(played[:-1])):
            found.append((len(pattern), played[-1]))
    return found


def share(found, weight):
    """The weighted share of those that go on with 1."""
    return sum(weight(n) * bit for n, bit in found) / sum(weight(n) for n, _ in found)


def mixed(history, max_length):
    """The mixture's probability, and by name what some slips lead to."""
    found = fitting(history, max_length)
    expected = share(found, lambda n: 4.0**-n)
    last = fitting(history, max_length, lambda past: past[-1:] == list(history[-1:]))
    anything = fitting(history, max_length, lambda past: True)
    unlike = {
        "all patterns that fit counted the same": share(found, lambda n: 1),
        "weights 2^-n instead of 2^-2n": share(found, lambda n: 2.0**-n),
        "the probability of a 0": 1 - expected,
        "patterns that match only the last bit": share(last, lambda n: 4.0**-n),
        "patterns that need not fit, or only the longest that do": share(
            anything, lambda n: 4.0**-n
        ),
        "a weight that is not divided by that of all that fit": sum(
            4.0**-n * bit for n, bit in found
        ),
        "the last bit that was seen instead of the next one": float(history[-1])
        if history
        else expected,
    }
    return expected, {
        name: value
        for name, value in unlike.items()
        if not math.isclose(value, expected)
    }


@st.composite
def pasts(draw):
    """The first bits of a world, and a max_length that explains them."""
    pattern = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
    steps = draw(st.integers(0, 9))
    return [pattern[t % len(pattern)] for t in range(steps)], draw(
        st.integers(len(pattern), 5)
    )


class TestMixtureProbability:
    def test_nothing_seen_is_a_coin(self, kata):
        """Every pattern fits an empty history, and each has a mirror image with the
        same weight.
        """
        unlike = {"not divided by the weights of all that fit": 0.4375}
        check.close(kata.mixture_probability([], 3), 0.5, unlike=unlike)

    def test_simple_patterns_count_more(self, kata):
        """After 0, 0, 0 with max_length = 4, the patterns 0, 00, 000, 0000 and 0001
        fit. Only the last one goes on with 1, and it is one of the longest: 1 part of
        64 + 16 + 4 + 1 + 1.
        """
        expected, unlike = mixed([0, 0, 0], 4)
        check.close(kata.mixture_probability([0, 0, 0], 4), 1 / 86, unlike=unlike)
        check.close(expected, 1 / 86)

    def test_the_whole_history_has_to_fit(self, kata):
        """After 0, 1, 0, 1 the next bit is probably 0: 01 explains it, and so do 0101
        and 01010. 01011 goes on with 1 and has the weight of 1 part in 70. Patterns
        that only end alike explain nothing.
        """
        _, unlike = mixed([0, 1, 0, 1], 5)
        check.close(kata.mixture_probability([0, 1, 0, 1], 5), 1 / 70, unlike=unlike)

    def test_the_history_may_be_longer_than_any_pattern(self, kata):
        """Eleven bits of the world 011: patterns repeat, so 011 goes on with 1."""
        check.close(kata.mixture_probability([0, 1, 1] * 3 + [0, 1], 4), 1.0)

    @given(case=pasts())
    def test_any_past_that_can_be_explained(self, kata, case):
        """The weight of what fits and goes on with 1, divided by the weight of all
        that fits.
        """
        expected, unlike = mixed(*case)
        check.close(kata.mixture_probability(*case), expected, unlike=unlike)

    def test_the_mixture_scores_best(self, kata):
        """The key result: acting on this prediction has 0.9205 of at most
        31/32 = 0.9688, more than repeating (0.7219) and a coin (0.4844). It is wrong
        only as long as simpler patterns explain the same past.
        """
        found = [
            kata.universal_intelligence(policy, 5, 20)
            for policy in (
                kata.random_policy,
                kata.repeat_policy,
                kata.solomonoff_policy(5),
            )
        ]
        check.close(
            found,
            [0.484375, 0.721875, 0.9205078125],
            rtol=1e-5,
            what="totals of coin, repeating and mixture",
        )

    @pytest.mark.edge
    def test_what_cannot_be_explained_is_a_coin(self, kata):
        """No pattern of length 2 or less begins with 0, 0, 1. The weights that fit add
        up to 0, and 0/0 is no prediction.
        """
        check.close(kata.mixture_probability([0, 0, 1], 2), 0.5)


B, T, H = 4, 7, 5  # worlds, steps, hidden units


def logits_by_hand(w, bits, begin=1):
    """The logits of a RecurrentPolicy from its parameters by name, in float64, step
    by step.

    begin: 1 if step t reads bit t − 1 (zeros at first), 0 if it reads bit t.
    """
    one_hot = F.one_hot(bits, 2).double()
    seen = torch.cat(
        [torch.zeros(len(bits), 1, 2, dtype=torch.float64), one_hot], dim=1
    )
    if not begin:
        seen = one_hot
    h = torch.zeros(len(bits), w["gru.weight_hh_l0"].shape[1], dtype=torch.float64)
    logits = []
    for t in range(bits.shape[1]):
        ours = F.linear(seen[:, t], w["gru.weight_ih_l0"], w["gru.bias_ih_l0"]).chunk(
            3, dim=1
        )
        theirs = F.linear(h, w["gru.weight_hh_l0"], w["gru.bias_hh_l0"]).chunk(3, dim=1)
        reset, keep = (
            torch.sigmoid(ours[0] + theirs[0]),
            torch.sigmoid(ours[1] + theirs[1]),
        )
        h = (1 - keep) * torch.tanh(ours[2] + reset * theirs[2]) + keep * h
        logits.append(F.linear(h, w["output.weight"], w["output.bias"])[:, 0])
    return torch.stack(logits, dim=1)


@pytest.mark.stretch
class TestRecurrentPolicy:
    def test_has_a_gru_and_one_logit(self, kata):
        """The GRU reads one-hot bits, two numbers per step. There is nothing to learn
        beside it and the output.
        """
        shapes = {
            name: tuple(parameter.shape)
            for name, parameter in kata.RecurrentPolicy(H).named_parameters()
        }
        expected = {
            "gru.weight_ih_l0": (3 * H, 2),
            "gru.weight_hh_l0": (3 * H, H),
            "gru.bias_ih_l0": (3 * H,),
            "gru.bias_hh_l0": (3 * H,),
            "output.weight": (1, H),
            "output.bias": (1,),
        }
        check.equal(shapes, expected, what="shapes of the parameters")

    def test_gives_one_logit_per_step(self, kata):
        """The shape is that of the bits, so that rewards can be taken place by place.
        (B, T, 1) would spread to (B, T, T) there.
        """
        check.shape(kata.RecurrentPolicy(H)(torch.randint(2, (B, T))), (B, T))

    def test_the_past_alone_decides(self, kata):
        """A changed bit t may change the logits after t, and no others. A policy that
        sees the bit it is asked for needs no intelligence.
        """
        model, bits = kata.RecurrentPolicy(H), torch.randint(2, (B, T))
        before = model(bits)
        for t in (0, 3, T - 1):
            other = bits.clone()
            other[:, t] = 1 - other[:, t]
            after = model(other)
            early, now = (
                torch.allclose(after[:, part], before[:, part])
                for part in (slice(t), slice(t, t + 1))
            )
            says = f"logit {t} is another one with another bit {t}"
            check.that(
                now or not early,
                says,
                like="a policy that reads the bit it is asked for",
            )
            check.close(
                after[:, : t + 1],
                before[:, : t + 1],
                what=f"logits 0 to {t}, with another bit {t}",
            )
            moved = not torch.allclose(after[:, t + 1 :], before[:, t + 1 :], atol=1e-5)
            check.that(
                t == T - 1 or moved, f"bit {t} has no effect on the logits after it"
            )

    def test_logits_are_those_of_a_gru_on_shifted_bits(self, kata):
        """Step 0 reads zeros, step t the one-hot bit t − 1: [1, 0] for 0 and [0, 1]
        for 1. The output layer makes one logit of each state, without a sigmoid.
        """
        model, bits = kata.RecurrentPolicy(H), torch.randint(2, (B, T))
        w = {
            name: parameter.detach().double()
            for name, parameter in model.named_parameters()
        }
        expected = logits_by_hand(w, bits)
        unlike = {
            "an input that is not shifted": logits_by_hand(w, bits, begin=0),
            "0 and 1 exchanged in the one-hot input": logits_by_hand(w, 1 - bits),
            "probabilities instead of logits": expected.sigmoid(),
        }
        check.close(model(bits).detach(), expected, unlike=unlike)

    def test_gradients_reach_every_parameter(self, kata):
        """All of it learns from the reward."""
        model = kata.RecurrentPolicy(H)
        model(torch.randint(2, (B, T))).sum().backward()
        for name, parameter in model.named_parameters():
            some = parameter.grad is not None and parameter.grad.abs().max() > 0
            check.that(some, f"no gradient reaches {name}")

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """The one-hot input has the dtype of the weights."""
        model, bits = kata.RecurrentPolicy(H).double(), torch.randint(2, (B, T))
        got = model(bits).detach()
        check.dtype(got, torch.float64)
        check.close(
            got,
            logits_by_hand(dict(model.named_parameters()), bits).detach(),
            rtol=0,
            atol=1e-9,
        )


class Witness(nn.Module):
    """Logits from three numbers per step: a one and the two bits before, all times 40.
    It keeps what it reads.

    Its first gradient is longer than 1, and the next ones are shorter: some are
    clipped, others stay as they are.
    """

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.02, 0.08, -0.01]))
        self.read, self.modes = [], []

    def forward(self, bits):
        self.read.append(bits.detach().clone())
        self.modes.append(self.training)
        signs = F.pad(2.0 * bits - 1, (2, 0))
        return (
            40
            * torch.stack(
                [torch.ones_like(signs[:, 2:]), signs[:, 1:-1], signs[:, :-2]], dim=2
            )
            @ self.weight
        )


@functools.cache
def learned(kata):
    """The rewards of 100 steps with 32 hidden units, and the total of what
    was learned.
    """
    torch.manual_seed(0)
    model = kata.RecurrentPolicy(32)
    generator = torch.Generator().manual_seed(0)
    rewards = kata.train_policy(
        model, steps=100, max_length=5, horizon=20, generator=generator
    )
    return rewards, kata.universal_intelligence(kata.as_policy(model), 5, 20)


@pytest.mark.stretch
class TestTrainPolicy(training.Contract):
    """Steps of Adam up the reward, on clipped gradients: the probability of the right
    bit, averaged over worlds and steps.
    """

    model, settings, max_norm, results = Witness, {"maximize": True}, 1.0, "rewards"
    lr, default_lr, steps = 0.02, 1e-2, 6
    slips = {"reward minimised": {"settings": {"maximize": False}}}

    def train(self, kata, model, **options):
        return kata.train_policy(
            model, max_length=3, horizon=8, batch_size=16, **options
        )

    def batches(self, model, steps):
        return torch.cat(model.read).chunk(steps)

    def loss(self, model, bits):
        return torch.sigmoid((2 * bits - 1) * model(bits)).mean()

    def wrong_losses(self, model, bits):
        reward = self.loss(model, bits)
        return {
            "the loss, which is minus the reward": -reward,
            "the probability of the wrong bit": 1 - reward,
            "the sum over the steps": 8 * reward,
        }

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """The first reward is that of the model as it came: the probability of the
        right bit, averaged over all worlds and steps, before the update.
        """
        super().test_the_first_loss_is_that_of_the_fresh_model(kata)

    def test_each_step_plays_fresh_worlds(self, kata):
        """Three steps read three batches of `batch_size` worlds, `horizon`
        bits each.
        """
        model = Witness()
        kata.train_policy(model, steps=3, max_length=5, horizon=8, batch_size=6)
        count = sum(len(bits) for bits in model.read)
        check.that(
            count == 18,
            f"the model read {count} worlds in 3 steps with batch_size=6, expected 18",
        )
        for bits in self.batches(model, 3):
            check.shape(bits, (6, 8), what="bits that the model was called with")
        first, second, _ = self.batches(model, 3)
        check.that(
            not torch.equal(first, second),
            "steps 0 and 1 read the same worlds: draw new ones per step",
        )

    def test_the_worlds_have_the_given_length(self, kata):
        """With max_length = 1 there are two worlds, all 0 and all 1."""
        model = Witness()
        kata.train_policy(model, steps=2, max_length=1, horizon=6, batch_size=8)
        bits = torch.cat(model.read)
        check.equal(bits, bits[:, :1].expand(-1, 6), what="worlds of one repeated bit")

    @pytest.mark.timeout(60)
    def test_rewards_rise(self, kata):
        """An untrained network is a coin, near 0.5. After 100 steps it is right in more
        than three of four.
        """
        rewards, _ = learned(kata)
        first, last = rewards[0], sum(rewards[-20:]) / 20
        said = (
            f"the reward is {first:.3f} at first and {last:.3f} in the last 20 steps: "
            "expected 0.5 ± 0.1 and > 0.75"
        )
        check.that(abs(first - 0.5) < 0.1 and last > 0.75, said)

    @pytest.mark.timeout(60)
    def test_the_learned_policy_is_between_repeating_and_the_mixture(self, kata):
        """The key result: repeating the last bit has 0.7219, the mixture 0.9205. What
        the network learns from reward is worth more than 0.77. No policy has more than
        the mixture.
        """
        _, total = learned(kata)
        check.that(
            0.77 < total < 0.9205,
            f"the learned policy has {total:.4f}, expected 0.77 to 0.92",
        )
