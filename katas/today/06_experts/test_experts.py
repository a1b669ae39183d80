"""Specs of today/06: a router, a loss that balances it, tokens sorted by expert and
back, capacity, the whole layer.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

NEAR = {"rtol": 1e-5, "atol": 1e-6}


def chosen_by(logits, k):
    """The k experts with the largest scores, token by token."""
    rows = [
        sorted(range(len(row)), key=lambda e, row=row: -row[e])[:k]
        for row in logits.tolist()
    ]
    return torch.tensor(rows)


def router_weights(logits, k, renormalise):
    """Weights by exponentials, token by token, in float64."""
    rows = []
    for row, best in zip(logits.tolist(), chosen_by(logits, k).tolist(), strict=True):
        total = sum(
            math.exp(row[e]) for e in (best if renormalise else range(len(row)))
        )
        rows.append([math.exp(row[e]) / total for e in best])
    return torch.tensor(rows, dtype=torch.float64)


class TestRouteTopk:
    def test_the_best_come_first(self, kata):
        """Token 0 prefers expert 3, then 1. The numbers are indices into the E experts,
        as longs.
        """
        logits = torch.tensor(
            [[0.1, 1.0, -2.0, 2.0], [3.0, -1.0, 0.5, 0.0], [-1.0, -3.0, -0.5, -2.0]]
        )
        weights, experts = kata.route_topk(logits, 2)
        check.shape(weights, (3, 2), what="weights")
        wrong = {"the experts with the smallest scores": chosen_by(-logits, 2)}
        check.equal(
            experts,
            torch.tensor([[3, 1], [0, 2], [2, 0]]),
            unlike=wrong,
            what="experts",
        )

    @pytest.mark.parametrize(
        "renormalise", [True, False], ids=["renormalised", "as they are"]
    )
    def test_weights_are_probabilities(self, kata, renormalise):
        """Softmax over all experts, then the k largest. Divided by their sum, they are
        a softmax over the k scores alone. Without that they sum to less than 1.
        """
        logits = torch.randn(6, 5, dtype=torch.float64)
        got, _ = kata.route_topk(logits, 3, renormalise)
        over_all, over_k = (
            router_weights(logits, 3, False),
            router_weights(logits, 3, True),
        )
        scores = logits.topk(3).values
        wrong = {
            "the scores themselves, without a softmax": scores
            / (scores.sum(-1, keepdim=True) if renormalise else 1),
            "divided by their sum": over_k,
            "not divided by their sum": over_all,
            "a softmax over tokens": logits.softmax(0).gather(1, chosen_by(logits, 3)),
            "a softmax of the probabilities": over_all.softmax(-1),
        }
        del wrong["divided by their sum" if renormalise else "not divided by their sum"]
        check.close(
            got,
            over_k if renormalise else over_all,
            **NEAR,
            unlike=wrong,
            what="weights",
        )

    def test_one_expert_keeps_its_probability(self, kata):
        """With k = 1 and without renormalising, the weight is the probability of the
        chosen one among all. So the router gets a gradient from what the layer returns.
        """
        logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
        got, experts = kata.route_topk(logits, 1, renormalise=False)
        alone = (
            "all weights are 1.0 and the router's gradient is 0: the softmax was "
            "taken over the chosen one alone"
        )
        check.that(not bool((got == 1).all()), alone)
        probs = logits.detach().softmax(-1)
        check.close(
            got.detach(), probs.max(-1, keepdim=True).values, **NEAR, what="weights"
        )
        (gradient,) = torch.autograd.grad(got.sum(), logits)
        best = probs.max(-1, keepdim=True).values
        expected = best * (torch.eye(5, dtype=torch.float64)[probs.argmax(-1)] - probs)
        check.close(
            gradient,
            expected,
            **NEAR,
            what="the gradient of the weights' sum for the logits",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("k", [0, 6])
    def test_k_is_from_1_to_e(self, kata, k):
        """A token needs an expert, and there are five. All five are fine. The message
        says both numbers.
        """
        kata.route_topk(torch.randn(3, 5), 5)
        with check.raises(ValueError, k, 5):
            kata.route_topk(torch.randn(3, 5), k)


@pytest.mark.stretch
class TestBalanceLoss:
    def test_uniform_is_1_and_one_expert_is_e(self, kata):
        """Four experts with equal probabilities and two tokens each: 1. All eight to
        expert 2 with probability 1: 4.
        """
        even = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])[:, None]
        got = kata.balance_loss(torch.full((8, 4), 0.25), even)
        wrong = {
            "without the factor E": 0.25,
            "a sum over tokens in place of a share or a mean": 8.0,
            "a coefficient inside": 0.01,
        }
        wrong = {name: torch.tensor(value) for name, value in wrong.items()}
        check.close(
            got,
            torch.tensor(1.0),
            **NEAR,
            unlike=wrong,
            what="the loss of eight tokens, spread evenly",
        )
        probs = torch.zeros(8, 4)
        probs[:, 2] = 1
        got = kata.balance_loss(probs, torch.full((8, 1), 2))
        check.close(
            got,
            torch.tensor(4.0),
            **NEAR,
            what="the loss of eight tokens on one of 4 experts",
        )

    def test_share_times_mean_probability(self, kata):
        """Every choice counts alike, the second ones too. An expert that nobody chose
        still has a share, 0.
        """
        probs, experts = (
            torch.randn(7, 5, dtype=torch.float64).softmax(-1),
            torch.randint(4, (7, 3)),
        )
        mean = probs.mean(0)

        def loss(shares):
            return 5 * sum(f * p for f, p in zip(shares, mean.tolist(), strict=True))

        counted = [sum(row.count(e) for row in experts.tolist()) for e in range(5)]
        first = [experts[:, 0].tolist().count(e) for e in range(5)]
        wrong = {
            "the first choices alone": loss([n / 7 for n in first]),
            "divided by N, not by N·k": loss([n / 7 for n in counted]),
            "the mean probability in place of the share": loss(mean.tolist()),
        }
        wrong = {
            name: torch.tensor(value, dtype=torch.float64)
            for name, value in wrong.items()
        }
        expected = torch.tensor(loss([n / 21 for n in counted]), dtype=torch.float64)
        check.close(kata.balance_loss(probs, experts), expected, **NEAR, unlike=wrong)

    def test_gradient_flows_through_the_probabilities(self, kata):
        """A share is counted, so it has no gradient. That of each probability of expert
        i is E·f_i / N, so popular experts become less probable.
        """
        probs = torch.randn(6, 4, dtype=torch.float64).softmax(-1).requires_grad_()
        experts = torch.tensor([[0, 1], [0, 2], [0, 1], [3, 0], [0, 1], [1, 0]])
        loss = kata.balance_loss(probs, experts)
        check.that(
            loss.requires_grad,
            "the loss has no gradient: P is the mean of `probs`, not of a detached "
            "copy",
        )
        (got,) = torch.autograd.grad(loss, probs)
        shares = torch.tensor([6.0, 4.0, 1.0, 1.0], dtype=torch.float64) / 12
        expected = (4 * shares / 6).expand(6, 4)
        wrong = {
            "that of P²: f comes from `probs`": (
                2 * 4 * probs.detach().mean(0) / 6
            ).expand(6, 4)
        }
        check.close(got, expected, **NEAR, unlike=wrong, what="the gradient for probs")


@st.composite
def choices(draw):
    """The seed of tokens, and N·k choices among E experts, some of which nobody
    may choose.
    """
    n_experts = draw(st.integers(1, 5))
    count, k = draw(st.integers(1, 6)), draw(st.integers(1, n_experts))
    rows = [draw(st.permutations(range(n_experts)))[:k] for _ in range(count)]
    return draw(st.integers(0, 9)), torch.tensor(rows), n_experts


class TestDispatch:
    def test_rows_are_sorted_by_expert(self, kata):
        """Expert 0 was chosen by token 0 as its second choice (flat index 1) and by
        token 2 as its first (4). Their rows come first, then those of expert 1, and so
        on. Expert 3 has none, and counts 0.
        """
        x = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
        experts = torch.tensor([[2, 0], [4, 1], [0, 4]])
        rows, order, counts = kata.dispatch(x, experts, 5)
        short = (
            "{} counts for 5 experts: an expert after the last chosen one, or in "
            "between, counts 0"
        )
        if isinstance(counts, torch.Tensor) and counts.ndim == 1 and len(counts) != 5:
            check.that(False, short.format(len(counts)))
        check.equal(counts, torch.tensor([2, 1, 1, 0, 2]), what="counts")
        wrong = {
            "the tokens, not the choices: a flat index is t·k + c": torch.tensor(
                [0, 2, 1, 0, 1, 2]
            ),
            "the place of each choice among the rows, the inverse": torch.tensor(
                [3, 0, 4, 2, 1, 5]
            ),
        }
        check.equal(order, torch.tensor([1, 4, 3, 0, 2, 5]), unlike=wrong, what="order")
        tokens = [0, 2, 1, 0, 1, 2]
        check.equal(rows, x[tokens], what="rows")

    def test_experts_at_the_end_count_0(self, kata):
        """Four experts, of which the last two have no token. The number of counts does
        not depend on the choices.
        """
        _, _, counts = kata.dispatch(
            torch.randn(5, 3), torch.tensor([[0], [1], [0], [0], [1]]), 4
        )
        length = f"4 experts, {len(counts)} counts: those without tokens count 0"
        check.that(
            len(counts) == 4,
            length,
            like="counts up to the last chosen expert: minlength is missing",
        )
        check.equal(counts, torch.tensor([3, 2, 0, 0]), what="counts")

    def test_tokens_of_an_expert_stay_in_order(self, kata):
        """200 tokens and 3 experts: a sort that is not stable mixes equal numbers up.
        Then two runs differ, and the tokens of one expert no longer come in the order
        of the text.
        """
        experts = torch.randint(3, (200, 1))
        rows, order, _ = kata.dispatch(torch.arange(200.0)[:, None], experts, 3)
        expected = [t for e in range(3) for t in range(200) if int(experts[t, 0]) == e]
        unstable = (
            "the choices of one expert are not in the order of their flat indices: "
            "sort with stable=True"
        )
        if (
            sorted(order.tolist()) == list(range(200))
            and experts.flatten()[order].diff().min() >= 0
        ):
            check.that(order.tolist() == expected, unstable)
        check.equal(order, torch.tensor(expected), what="order")
        check.equal(rows, torch.tensor(expected).float()[:, None], what="rows")

    @given(case=choices())
    def test_each_expert_finds_its_tokens_in_one_slice(self, kata, case):
        """For any choices: the slice of expert e holds the tokens that chose e, and
        no other.
        """
        seed, experts, n_experts = case
        x = torch.randn(len(experts), 3, generator=torch.Generator().manual_seed(seed))
        rows, _, counts = kata.dispatch(x, experts, n_experts)
        expected = [
            x[t]
            for e in range(n_experts)
            for t, row in enumerate(experts.tolist())
            if e in row
        ]
        check.equal(
            rows, torch.stack(expected), what=f"rows for the experts {experts.tolist()}"
        )
        check.equal(
            counts,
            torch.tensor([int((experts == e).sum()) for e in range(n_experts)]),
            what="counts",
        )

    def test_gradients_of_all_copies_come_together(self, kata):
        """A token has k rows, and its gradient is their sum."""
        x = torch.randn(3, 2, requires_grad=True)
        rows, order, _ = kata.dispatch(x, torch.tensor([[2, 0], [1, 2], [0, 1]]), 3)
        upstream = torch.randn(6, 2)
        (got,) = torch.autograd.grad(rows, x, upstream)
        expected = torch.stack(
            [
                sum(upstream[i] for i in range(6) if int(order[i]) // 2 == t)
                for t in range(3)
            ]
        )
        check.close(got, expected, **NEAR, what="the gradient for x")

    @pytest.mark.edge
    def test_an_expert_that_does_not_exist(self, kata):
        """Expert 3 of 3: its rows would belong to nobody. The message names it."""
        with check.raises(ValueError, 3):
            kata.dispatch(torch.randn(2, 4), torch.tensor([[0], [3]]), 3)


class TestCombine:
    def test_sum_of_weight_times_row(self, kata):
        """Three tokens with two choices each. The rows lie in another order than
        the weights.
        """
        rows, weights = torch.randn(6, 4), torch.rand(3, 2)
        order = torch.tensor([1, 4, 3, 0, 2, 5])
        got = kata.combine(rows, order, weights)
        factors = weights.flatten()

        def added(factor, token=lambda i: i // 2):
            out = torch.zeros(3, 4, dtype=torch.float64)
            for place, i in enumerate(order.tolist()):
                out[token(i)] += factor(place, i) * rows[place].double()
            return out

        last = torch.zeros(3, 4, dtype=torch.float64)
        for place, i in enumerate(order.tolist()):
            last[i // 2] = factors[i] * rows[place].double()
        wrong = {
            "a token with two choices kept one of them": last,
            "weights in their own order, rows in the sorted one": added(
                lambda place, i: factors[place]
            ),
            "without weights": added(lambda place, i: 1.0),
            "the token is the flat index modulo N, not index // k": added(
                lambda p, i: factors[i], lambda i: i % 3
            ),
            "the mean over a token's choices": added(lambda place, i: factors[i] / 2),
        }
        check.close(got, added(lambda place, i: factors[i]), **NEAR, unlike=wrong)

    def test_gradients(self, kata):
        """A row gets its weight times what flows back to its token. A weight gets the
        product of both, summed over the features: this is how the router learns.
        """
        rows, weights = (
            torch.randn(6, 4, requires_grad=True),
            torch.rand(2, 3, requires_grad=True),
        )
        order, upstream = torch.tensor([3, 1, 4, 0, 5, 2]), torch.randn(2, 4)
        out = kata.combine(rows, order, weights)
        check.that(
            out.requires_grad,
            "the result has no gradient: does it come from rows and weights?",
        )
        got = torch.autograd.grad(out, [rows, weights], upstream, allow_unused=True)
        check.that(
            got[1] is not None,
            "the weights get no gradient, so the router cannot learn",
        )
        token = order // 3
        by_rows = weights.detach().flatten()[order][:, None] * upstream[token]
        by_weights = torch.zeros(6)
        by_weights[order] = (rows.detach() * upstream[token]).sum(-1)
        check.close(got[0], by_rows, **NEAR, what="the gradient for rows")
        check.close(
            got[1], by_weights.view(2, 3), **NEAR, what="the gradient for weights"
        )

    @given(case=choices())
    def test_undoes_dispatch(self, kata, case):
        """Sorted, not computed at all, and brought back with weights 1/k: every token
        is itself again.
        """
        seed, experts, n_experts = case
        x = torch.randn(len(experts), 3, generator=torch.Generator().manual_seed(seed))
        rows, order, _ = kata.dispatch(x, experts, n_experts)
        got = kata.combine(rows, order, torch.full(experts.shape, 1 / experts.size(1)))
        check.close(got, x, **NEAR, what=f"the tokens back from {experts.tolist()}")

    @pytest.mark.edge
    def test_dtype_of_the_rows(self, kata):
        """Under autocast an expert gives bfloat16, and a softmax float32. What goes on
        is of the expert's kind.
        """
        rows, order, weights = (
            torch.randn(4, 3).bfloat16(),
            torch.tensor([2, 0, 3, 1]),
            torch.rand(2, 2),
        )
        got = kata.combine(rows, order, weights)
        check.dtype(got, torch.bfloat16)
        expected = (
            rows.float()[order.argsort()].view(2, 2, 3) * weights[:, :, None]
        ).sum(1)
        check.close(got.float(), expected, rtol=0.05, atol=0.05)


def kept_by_hand(experts, capacity, by_token=False):
    """Serve first choices, then second ones, each in the order of tokens; or, wrongly,
    token by token.
    """
    places = [(t, c) for c in range(experts.size(1)) for t in range(len(experts))]
    kept, room = torch.zeros(experts.shape, dtype=torch.bool), {}
    for t, c in sorted(places) if by_token else places:
        e = int(experts[t, c])
        room[e] = room.get(e, capacity) - 1
        kept[t, c] = room[e] >= 0
    return kept


@st.composite
def crowds(draw):
    """Choices and a factor for which no rounding of a quotient decides: E is a power
    of 2.
    """
    n_experts = draw(st.sampled_from([1, 2, 4]))
    count, k = draw(st.integers(1, 9)), draw(st.integers(1, n_experts))
    rows = [draw(st.permutations(range(n_experts)))[:k] for _ in range(count)]
    return (
        torch.tensor(rows),
        n_experts,
        draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.25, 1.5])),
    )


@pytest.mark.stretch
class TestDropOverCapacity:
    def test_five_tokens_and_two_experts(self, kata):
        """One choice each, room for ⌈5/2⌉ = 3. The fourth token that wants expert 0
        comes too late.
        """
        experts = torch.tensor([[0], [0], [0], [0], [1]])
        got = kata.drop_over_capacity(experts, 2, 1.0)
        check.dtype(got, torch.bool)
        wrong = {
            "room for N/E rounded down": kept_by_hand(experts, 2),
            "True where a choice is dropped": ~kept_by_hand(experts, 3),
            "the last tokens served first": kept_by_hand(experts.flip(0), 3).flip(0),
        }
        check.equal(
            got, torch.tensor([[True], [True], [True], [False], [True]]), unlike=wrong
        )

    def test_second_choices_go_first(self, kata):
        """Six tokens with two choices of four experts, room for 3. Expert 1 is the
        first choice of tokens 3 to 5: these are served before the second choices of
        tokens 0 to 2, although those come earlier in the text.
        """
        experts = torch.tensor([[0, 1], [2, 1], [0, 1], [1, 3], [1, 0], [1, 2]])
        wrong = {
            "served token by token, second choices before the next token's first": (
                kept_by_hand(experts, 3, True)
            ),
            "a capacity of N/E: every token makes k choices": kept_by_hand(experts, 2),
        }
        expected = kept_by_hand(experts, 3)
        check.equal(kata.drop_over_capacity(experts, 4, 1.0), expected, unlike=wrong)

    @given(case=crowds())
    def test_nobody_over_capacity(self, kata, case):
        """For any choices and factor: each expert keeps the first of those who ask, as
        many as it has room for, and at least one.
        """
        experts, n_experts, factor = case
        capacity = max(1, math.ceil(factor * experts.numel() / n_experts))
        got = kata.drop_over_capacity(experts, n_experts, factor)
        what = f"what is kept of {experts.tolist()}, E = {n_experts}, factor {factor}"
        wrong = (
            {}
            if factor * experts.numel() / n_experts >= 1
            else {"room for none": torch.zeros_like(got)}
        )
        check.equal(got, kept_by_hand(experts, capacity), unlike=wrong, what=what)

    def test_a_factor_of_e_drops_nothing(self, kata):
        """If all choices fall on one expert, it has room for E times its share:
        for all.
        """
        got = kata.drop_over_capacity(torch.full((7, 1), 2), 3, 3.0)
        check.that(
            bool(got.all()),
            f"{int((~got).sum())} of 7 choices are dropped, though the expert has "
            "room for 7",
        )


SIZES = {"n_embd": 5, "n_hidden": 7, "n_experts": 4}


class TestMoEInit:
    def test_names_and_shapes(self, kata):
        """A router of E rows without a bias, and E nets of two layers. A state dict has
        these names.
        """
        moe = kata.MoE(**SIZES, k=2)
        expected = {"router.weight": (4, 5)}
        for e in range(4):
            expected |= {f"experts.{e}.0.weight": (7, 5), f"experts.{e}.0.bias": (7,)}
            expected |= {f"experts.{e}.2.weight": (5, 7), f"experts.{e}.2.bias": (5,)}
        found = {name: tuple(value.shape) for name, value in moe.state_dict().items()}
        check.equal(sorted(found), sorted(expected), what="names in the state dict")
        check.equal(found, expected, what="shapes in the state dict")

    def test_each_expert_is_two_layers_with_relu(self, kata):
        """Each is C → n_hidden → ReLU → C, and can be called by itself."""
        moe, x = kata.MoE(**SIZES, k=1), torch.randn(3, 5)
        state = {name: value.detach() for name, value in moe.state_dict().items()}
        for e in range(4):
            got = moe.experts[e](x).detach()
            check.close(
                got,
                expert_by_hand(state, e, x.double()),
                **NEAR,
                what=f"expert {e} of three tokens",
            )

    def test_experts_begin_apart(self, kata):
        """E copies of one net would get the same gradients. Each is drawn for itself,
        and shares nothing.
        """
        moe = kata.MoE(**SIZES, k=1)
        state = moe.state_dict()
        one = len({id(expert) for expert in moe.experts}) == 1
        check.that(
            not one,
            "moe.experts holds one net four times",
            like="one expert, E times in the list",
        )
        for e in range(1, 4):
            same = torch.equal(
                state[f"experts.{e}.0.weight"], state["experts.0.0.weight"]
            )
            check.that(
                not same,
                f"experts 0 and {e} begin with the same weights: draw each for itself",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("k", [0, 5])
    def test_k_is_from_1_to_e(self, kata, k):
        """The mistake is noticed when the layer is built, not in the first batch. The
        message says both numbers.
        """
        with check.raises(ValueError, k, 4):
            kata.MoE(**SIZES, k=k)


def expert_by_hand(state, e, x):
    """One expert in float64."""
    w1, b1, w2, b2 = (
        state[f"experts.{e}.{name}"].double()
        for name in ("0.weight", "0.bias", "2.weight", "2.bias")
    )
    return (x @ w1.mT + b1).clamp(min=0) @ w2.mT + b2


def layer_by_hand(state, x, k, weigh="right", kept=None):
    """The layer token by token. `weigh`: "right" renormalises for k > 1 only; others
    are known slips.
    """
    flat = x.flatten(0, 1)
    logits = flat @ state["router.weight"].double().mT
    probs, out = logits.softmax(-1), []
    for t in range(len(flat)):
        best = probs[t].topk(len(probs[t]) if weigh == "dense" else k).indices.tolist()
        total = sum(probs[t, e] for e in best)
        y = torch.zeros_like(flat[t])
        for c, e in enumerate(best):
            w = {
                "ones": 1.0,
                "always": probs[t, e] / total,
                "never": probs[t, e],
                "dense": probs[t, e],
            }.get(weigh, probs[t, e] / total if k > 1 else probs[t, e])
            if kept is None or kept[t, c]:
                y = y + w * expert_by_hand(state, e, flat[t])
        out.append(y)
    return torch.stack(out).view(x.shape), probs


def a_layer(kata, k, capacity_factor=None):
    """A layer in float64 whose router has clear preferences."""
    moe = kata.MoE(**SIZES, k=k, capacity_factor=capacity_factor).double()
    with torch.no_grad():
        moe.router.weight.copy_(torch.randn(4, 5, dtype=torch.float64))
    return moe


def state_of(moe):
    return {name: value.detach().clone() for name, value in moe.state_dict().items()}


class TestMoEForward:
    @pytest.mark.parametrize("k", [1, 2, 4], ids=["k=1", "k=2", "k=E"])
    def test_equals_a_loop_over_tokens(self, kata, k):
        """Each token gets the weighted results of its k experts. k = E is the mixture
        of all.
        """
        moe, x = a_layer(kata, k), torch.randn(2, 6, 5, dtype=torch.float64)
        y, probs = moe(x)
        state = state_of(moe)
        expected, all_probs = layer_by_hand(state, x, k)
        check.shape(y, (2, 6, 5), what="y")
        wrong = {
            "all weights 1": layer_by_hand(state, x, k, "ones")[0],
            "weights of 1 for k = 1: renormalise only for k > 1": layer_by_hand(
                state, x, k, "always"
            )[0],
            "never renormalised": layer_by_hand(state, x, k, "never")[0],
            "every expert, not only the k chosen ones": layer_by_hand(
                state, x, k, "dense"
            )[0],
        }
        wrong = {
            name: value
            for name, value in wrong.items()
            if not torch.allclose(value, expected)
        }
        if k == 1:
            del wrong["all weights 1"]
        check.close(y, expected, **NEAR, unlike=wrong, what="y")
        check.close(
            probs, all_probs, **NEAR, what="probs, the softmax over all experts"
        )

    @pytest.mark.parametrize("k", [1, 2])
    def test_gradients_reach_experts_and_router(self, kata, k):
        """The router learns from the task through the weights. With k = 1 it does so
        because the weight is not renormalised to 1.
        """
        moe, x = (
            a_layer(kata, k),
            torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True),
        )
        upstream = torch.randn(2, 6, 5, dtype=torch.float64)
        names = ["router.weight", "experts.0.0.weight", "experts.3.2.bias"]
        parameters = dict(moe.named_parameters())
        y, probs = moe(x)
        check.that(
            probs.requires_grad,
            "probs has no gradient, so `balance_loss` of it could not move the router",
        )
        got = torch.autograd.grad(
            y, [x, *(parameters[n] for n in names)], upstream, allow_unused=True
        )
        state = {name: value.requires_grad_() for name, value in state_of(moe).items()}
        y, _ = layer_by_hand(state, x, k)
        expected = torch.autograd.grad(
            y, [x, *(state[n] for n in names)], upstream, allow_unused=True
        )
        nothing = got[1] is None or bool((got[1].abs() < 1e-12).all())
        check.that(
            not nothing, "the router's gradient is 0: it learns nothing from the task"
        )
        for name, mine, right in zip(["x", *names], got, expected, strict=True):
            if right is not None:
                mine = torch.zeros_like(right) if mine is None else mine
                check.close(
                    mine, right, **NEAR, what=f"the gradient for {name}, k = {k}"
                )

    def test_an_expert_computes_its_own_tokens_only(self, kata):
        """That is the point of it: E experts, and the work of k. Calling every expert
        with all tokens and masking afterwards has the right numbers, and E / k times
        the work.
        """
        moe, x = a_layer(kata, 2), torch.randn(3, 10, 5, dtype=torch.float64)
        rows = [[] for _ in range(4)]
        for e, expert in enumerate(moe.experts):
            expert.register_forward_pre_hook(
                lambda _, given, e=e: rows[e].append(given[0].numel() // 5)
            )
        moe(x)
        best = (x.flatten(0, 1) @ moe.router.weight.detach().mT).topk(2).indices
        for e in range(4):
            own = int((best == e).sum())
            check.that(
                len(rows[e]) <= 1,
                f"expert {e} was called {len(rows[e])} times, expected once",
            )
            got = sum(rows[e])
            check.that(
                got == own,
                f"expert {e} was called with {got} tokens, {own} are its own",
            )

    def test_no_token_depends_on_another(self, kata):
        """Without a capacity, tokens meet in a batch by chance. In another order each
        has the same result.
        """
        moe, x = a_layer(kata, 2), torch.randn(2, 6, 5, dtype=torch.float64)
        order = torch.randperm(12)
        moved = x.flatten(0, 1)[order].view(2, 6, 5)
        y, probs = moe(x)
        other, other_probs = moe(moved)
        check.close(
            other.flatten(0, 1),
            y.flatten(0, 1)[order],
            **NEAR,
            what="y of the tokens in another order",
        )
        check.close(
            other_probs,
            probs[order],
            **NEAR,
            what="probs of the tokens in another order",
        )

    def test_dropped_choices_add_nothing(self, kata):
        """Room for half a share: many choices are dropped. The weights of the others
        stay, so that a token may lose a part of its result, or all of it. In a block
        the residual carries it on.
        """
        moe, x = (
            a_layer(kata, 2, capacity_factor=0.5),
            torch.randn(2, 6, 5, dtype=torch.float64),
        )
        state = state_of(moe)
        best = (x.flatten(0, 1) @ state["router.weight"].mT).topk(2).indices
        kept = kept_by_hand(best, 3)
        expected, probs = layer_by_hand(state, x, 2, kept=kept)
        weights = probs.gather(1, best)
        weights = weights / weights.sum(-1, keepdim=True) * kept
        again = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
        parts = torch.stack([torch.stack([expert_by_hand(state, int(e), row)
                                          for e in es])
                             for row, es in zip(x.flatten(0, 1), best,
                                                strict=True)])  # fmt: skip
        wrong = {
            "nothing was dropped": layer_by_hand(state, x, 2)[0],
            "the weights that are left were renormalised": (parts * again[..., None])
            .sum(1)
            .view(x.shape),
        }
        check.close(
            moe(x)[0],
            expected,
            **NEAR,
            unlike=wrong,
            what="y with a capacity_factor of 0.5",
        )

    @pytest.mark.edge
    def test_an_expert_without_tokens_is_not_called(self, kata):
        """Its parameters then have no gradient at all, so that an optimizer does not
        touch them.
        """
        moe, x = a_layer(kata, 1), torch.randn(2, 3, 5, dtype=torch.float64)
        with torch.no_grad():
            moe.router.weight.copy_(torch.zeros(4, 5, dtype=torch.float64))
            moe.router.weight[2] = x.sum((0, 1))
            x = x.sum((0, 1)).expand(2, 3, 5)
        calls = []
        for e, expert in enumerate(moe.experts):
            expert.register_forward_pre_hook(lambda _, given, e=e: calls.append(e))
        y, _ = moe(x)
        check.equal(
            calls, [2], what="experts that were called, when all tokens chose expert 2"
        )
        y.sum().backward()
        check.that(
            moe.experts[0][0].weight.grad is None,
            "expert 0 has no token, and yet a gradient",
        )
