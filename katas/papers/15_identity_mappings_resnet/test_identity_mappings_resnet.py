"""Specs of kata papers/15: direct paths in NumPy, residual units with four kinds of
shortcut, nets of 100 layers.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grader.datasets import digits
from grader.specs import check, training

B, D, L = 5, 4, 3  # samples, features, units
SCALES = np.array([2.0, 0.5, 3.0, -0.1, 0.7])


class TestShortcutGainNumpy:
    def test_each_entry_is_the_product_of_all_later_scales(self, kata):
        """The signal that enters unit l passes the shortcuts of unit l and of all later
        units: entry l is the product of scales[l:].
        """
        expected = np.array([-0.21, -0.105, -0.21, -0.07, 0.7])
        unlike = {
            "a product from the wrong end": np.cumprod(SCALES),
            "the unit's own scale is left out": np.append(expected[1:], 1.0),
            "the last unit comes first": expected[::-1],
            "sums, not products": np.cumsum(SCALES[::-1])[::-1],
            "products of the first scales, turned around": np.cumprod(SCALES)[::-1],
        }
        check.close(
            kata.shortcut_gain_numpy(SCALES),
            expected,
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    def test_a_half_ten_times_is_a_thousandth(self, kata):
        """This is why a harmless factor is not harmless: from the first unit it counts
        ten times, from the last unit once.
        """
        gain = kata.shortcut_gain_numpy(np.full(10, 0.5))
        check.close(gain, 0.5 ** np.arange(10.0, 0.0, -1.0), rtol=1e-4, atol=1e-9)

    def test_identities_hand_on_everything_and_a_zero_stops_all(self, kata):
        """With factors of 1 every state reaches the output whole. A single factor of 0
        stops all states before it.
        """
        check.close(kata.shortcut_gain_numpy(np.ones(7)), np.ones(7))
        scales = np.array([1.0, 2.0, 0.0, 4.0, 0.5])
        check.close(
            kata.shortcut_gain_numpy(scales), np.array([0.0, 0.0, 0.0, 2.0, 0.5])
        )

    def test_it_is_the_gradient_of_a_chain_of_shortcuts(self, kata):
        """A factor of the signal is also a factor of the gradient on the way back."""
        signal = torch.tensor(3.0, requires_grad=True)
        states = [signal]
        for scale in SCALES:
            states.append(states[-1] * float(scale))
        gradients = torch.autograd.grad(states[-1], states[:-1])
        check.close(
            kata.shortcut_gain_numpy(SCALES),
            torch.stack(gradients).numpy(),
            rtol=1e-4,
            atol=1e-5,
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64."""
        scales = np.linspace(0.3, 1.7, 9)
        logs = np.log(scales)
        expected = np.exp([logs[unit:].sum() for unit in range(9)])
        check.close(kata.shortcut_gain_numpy(scales), expected, rtol=1e-9, atol=1e-9)


def summands(seed=0):
    """A state x_0 and three branches."""
    draws = np.random.default_rng(seed)
    return draws.normal(size=(B, D)), [draws.normal(size=(B, D)) for _ in range(L)]


@pytest.mark.stretch
class TestResidualSumNumpy:
    def test_each_state_is_the_one_before_plus_a_branch(self, kata):
        """There are L + 1 states, and x itself is the first. The last one is x plus
        all branches.
        """
        x, (a, b, c) = summands()
        expected = [x, x + a, x + a + b, x + a + b + c]
        unlike = {
            "x_0 is not listed": expected[1:],
            "the last state alone": expected[-1],
            "x_0 and the branches, not their sums": [x, a, b, c],
            "each branch is added to x_0 alone": [x, x + a, x + b, x + c],
            "sums of branches without x_0": [x, a, a + b, a + b + c],
            "one array that is written to again and again": [expected[-1]] * 4,
        }
        check.close(
            kata.residual_sum_numpy(x.copy(), [a, b, c]),
            expected,
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    def test_two_states_differ_by_the_branches_between_them(self, kata):
        """Equation (4) of the paper: a deep state is any earlier state plus a sum.
        Nothing is multiplied.
        """
        x, branches = summands(1)
        states = kata.residual_sum_numpy(x.copy(), branches)
        for first in range(L):
            between = np.sum(branches[first:], axis=0)
            check.close(
                states[L] - states[first],
                between,
                rtol=1e-4,
                atol=1e-5,
                what=f"x_{L} − x_{first}",
            )

    def test_equals_the_states_of_units_in_torch(self, kata):
        """The same states as in a stack of layers with identity shortcuts, from the
        branches that were recorded in it.
        """
        x, _ = summands(2)
        state = torch.from_numpy(x)
        states, branches = [x], []
        for _ in range(L):
            branches.append(torch.tanh(state @ torch.randn(D, D, dtype=torch.float64)))
            state = state + branches[-1]
            states.append(state.numpy())
        got = kata.residual_sum_numpy(x.copy(), [branch.numpy() for branch in branches])
        check.close(got, states, rtol=1e-4, atol=1e-5)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64."""
        x, branches = summands(3)
        got = kata.residual_sum_numpy(x.copy(), branches)
        check.close(
            got[-1], sum(branches, x), rtol=1e-9, atol=1e-9, what="the last state"
        )

    @pytest.mark.edge
    def test_the_inputs_are_not_written_to(self, kata):
        """The caller still needs x and the branches. `x += …` would change x."""
        x, branches = summands()
        given = [x.copy(), *(branch.copy() for branch in branches)]
        kata.residual_sum_numpy(x, branches)
        check.equal([x, *branches], given, what="x and the branches after the call")


def lively(module):
    """The module with random weights and statistics, in eval mode, and all of them by
    name in float64.
    """
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape) / value.shape[1] ** 0.5)
            elif value.is_floating_point():
                positive = name.endswith(("weight", "running_var"))
                value.copy_(
                    torch.rand(value.shape) + 0.5
                    if positive
                    else torch.randn(value.shape) / 2
                )
    return module.eval(), {
        name: value.detach().double() for name, value in module.state_dict().items()
    }


def silent(module):
    """The module with every fc2 at zero: no branch says anything."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("fc2.weight"):
                parameter.zero_()
    return module


def normalised(w, name, x):
    """Batch norm in eval mode, by hand."""
    mean, var, weight, bias = (
        w[f"{name}.{part}"]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def pre_branch(w, x):
    """Norm, relu, layer, twice."""
    for number in (1, 2):
        x = normalised(w, f"norm{number}", x).relu() @ w[f"fc{number}.weight"].T
    return x


def post_branch(w, x):
    """Layer, norm, relu, layer, norm."""
    hidden = normalised(w, "norm1", x @ w["fc1.weight"].T).relu()
    return normalised(w, "norm2", hidden @ w["fc2.weight"].T)


class TestResidualUnitInit:
    def test_two_norms_and_two_layers_without_bias(self, kata):
        """fc1 and fc2 have no bias, norm1 and norm2 are two modules with parameters of
        their own. Only the order in which they are called differs between "pre"
        and "post".
        """
        expected = {"fc1.weight": (D, D), "fc2.weight": (D, D)}
        expected |= {
            f"norm{i}.{part}": (D,) for i in (1, 2) for part in ("weight", "bias")
        }
        for order in ("pre", "post"):
            unit = kata.ResidualUnit(D, order)
            got = {
                name: tuple(parameter.shape)
                for name, parameter in unit.named_parameters()
            }
            more = [name for name in got if name not in expected]
            check.that(
                not more,
                f"a unit of order {order!r} has parameters that it should not have: "
                f"{', '.join(more)}",
            )
            shared = (
                isinstance(unit.norm2, nn.Module)
                and "norm1.weight" in got
                and "norm2.weight" not in got
            )
            check.that(
                not shared,
                "norm2 has no parameters of its own",
                like="one norm in both places",
            )
            check.equal(
                got, expected, what=f"the parameters of a unit of order {order!r}"
            )
            kinds = [type(norm).__name__ for norm in (unit.norm1, unit.norm2)]
            check.equal(kinds, ["BatchNorm1d"] * 2, what="the norms")

    def test_a_gate_only_where_it_is_asked_for(self, kata):
        """A gate has a weight and a bias. With any other shortcut `gate` is None, so
        that the shortcut has no parameters to learn.
        """
        for shortcut in ("identity", "scale", "dropout"):
            gate = kata.ResidualUnit(D, shortcut=shortcut).gate
            check.that(
                gate is None,
                f"gate is {check.describe(gate)} with shortcut {shortcut!r}, expected "
                "None",
            )
        gate = kata.ResidualUnit(D, shortcut="gate").gate
        got = {
            name: tuple(parameter.shape) for name, parameter in gate.named_parameters()
        }
        check.equal(
            got, {"weight": (D, D), "bias": (D,)}, what="the parameters of gate"
        )

    def test_the_gate_starts_at_weight_0_and_bias_minus_1(self, kata):
        """sigmoid(−1) is 0.27, so the gated shortcut begins with 0.73 of the signal.
        With a bias of 0 only half of the signal would be left.
        """
        gate = kata.ResidualUnit(D, shortcut="gate").gate
        check.close(gate.weight, torch.zeros(D, D), what="gate.weight")
        check.close(gate.bias, torch.full((D,), -1.0), what="gate.bias")

    def test_the_arguments_are_kept(self, kata):
        """`branch`, `skip` and `forward` read them. A plain `ResidualUnit(width)` is
        the paper's proposal: "pre", with an identity.
        """
        names = ("order", "shortcut", "scale", "p")
        plain, other = (
            kata.ResidualUnit(D),
            kata.ResidualUnit(D, "post", "dropout", 0.3, 0.2),
        )
        check.equal(
            [getattr(plain, name) for name in names],
            ["pre", "identity", 0.5, 0.5],
            what=f"the defaults {names}",
        )
        check.equal(
            [getattr(other, name) for name in names],
            ["post", "dropout", 0.3, 0.2],
            what=f"{names}",
        )

    @pytest.mark.edge
    def test_an_unknown_order_or_shortcut_is_refused(self, kata):
        """A typo would otherwise become one of the known cases without a word."""
        with check.raises(ValueError, "middle"):
            kata.ResidualUnit(D, "middle")
        with check.raises(ValueError, "highway"):
            kata.ResidualUnit(D, shortcut="highway")


class TestResidualUnitBranch:
    def test_pre_has_norm_and_relu_before_each_layer(self, kata):
        """The branch reads x through norm1 and relu, and ends with a bare layer. So it
        can add and take away.
        """
        unit, w = lively(kata.ResidualUnit(D))
        x = torch.randn(B, D)
        expected = pre_branch(w, x.double())
        first = normalised(w, "norm1", x.double()).relu() @ w["fc1.weight"].T

        def tail(hidden):
            return (
                normalised(w, "norm2", hidden @ w["fc1.weight"].T).relu()
                @ w["fc2.weight"].T
            )

        unlike = {
            "the order of 'post'": post_branch(w, x.double()),
            "norm2 is left out": first.relu() @ w["fc2.weight"].T,
            "the second relu is left out": normalised(w, "norm2", first)
            @ w["fc2.weight"].T,
            "the first relu is left out": tail(normalised(w, "norm1", x.double())),
            "relu, then norm1": tail(normalised(w, "norm1", x.double().relu())),
            "a relu at the end": expected.relu(),
            "x is added already": expected + x,
        }
        check.close(unit.branch(x), expected, unlike=unlike)

    def test_a_gate_leaves_the_branch_alone(self, kata):
        """Shortcut-only gating: the gate's factor is on the shortcut, and the branch is
        as without a gate.
        """
        unit, w = lively(kata.ResidualUnit(4 * D, shortcut="gate"))
        # with D features, relu may leave nothing of the branch
        x = torch.randn(B, 4 * D)
        gate, branch = (
            torch.sigmoid(x.double() @ w["gate.weight"].T + w["gate.bias"]),
            pre_branch(w, x.double()),
        )
        check.close(
            unit.branch(x),
            branch,
            unlike={"the branch is gated, too": gate * branch},
            what="the branch",
        )

    def test_post_has_norm_after_each_layer(self, kata):
        """The order of the first residual nets. The branch ends with norm2: the relu
        that follows belongs to the sum, in `forward`.
        """
        unit, w = lively(kata.ResidualUnit(D, "post"))
        x = torch.randn(B, D)
        expected = post_branch(w, x.double())
        unlike = {
            "the order of 'pre'": pre_branch(w, x.double()),
            "a relu at the end": expected.relu(),
            "x is added already": expected + x,
        }
        check.close(unit.branch(x), expected, unlike=unlike)

    def test_gradients_flow_through_the_branch(self, kata):
        """Both orders hand the gradient back to x through both layers."""
        for order, oracle in (("pre", pre_branch), ("post", post_branch)):
            unit, w = lively(kata.ResidualUnit(D, order))
            check.gradients(
                unit.branch,
                lambda x, oracle=oracle, w=w: oracle(w, x.double()),
                torch.randn(B, D),
            )

    def test_the_shortcut_still_finds_x_as_it_was(self, kata):
        """Branch and shortcut read the same tensor. A relu that writes to x in place
        would spoil the shortcut.
        """
        for order in ("pre", "post"):
            x = torch.randn(B, D)
            with check.unchanged(x=x), torch.no_grad():
                kata.ResidualUnit(D, order).branch(x)


class TestResidualUnitSkip:
    def test_the_identity_hands_on_x(self, kata):
        """The clean shortcut: no norm, no relu, no factor, in both orders."""
        x = torch.randn(B, D)
        for order in ("pre", "post"):
            unit, w = lively(kata.ResidualUnit(D, order))
            unlike = {
                "a relu on the shortcut": x.relu(),
                "norm1 of x": normalised(w, "norm1", x.double()),
            }
            check.close(unit.skip(x), x, unlike=unlike)

    def test_scale_multiplies_by_the_factor(self, kata):
        """`scale` is the unit's own attribute: 0.5 is only the default."""
        x = torch.randn(B, D)
        unlike = {"half of x": x / 2, "x itself": x, "1 − scale times x": 0.7 * x}
        check.close(
            kata.ResidualUnit(D, shortcut="scale", scale=0.3).skip(x),
            0.3 * x,
            unlike=unlike,
        )

    def test_a_fresh_gate_lets_three_quarters_through(self, kata):
        """1 − sigmoid(−1) = 0.731. The gate's own value, 0.269, is for the branch in
        the paper; the shortcut has its complement.
        """
        x = torch.randn(B, D)
        unlike = {
            "the gate is not complemented: sigmoid(gate(x)) · x": 0.268941 * x,
            "x itself": x,
        }
        check.close(
            kata.ResidualUnit(D, shortcut="gate").skip(x),
            0.731059 * x,
            rtol=1e-3,
            unlike=unlike,
        )

    def test_the_gate_depends_on_x(self, kata):
        """Each feature of each sample has its own factor between 0 and 1. The gradient
        flows through the factor, too.
        """
        unit, w = lively(kata.ResidualUnit(D, shortcut="gate"))

        def expected(x):
            x = x.double()
            return x / (1 + torch.exp(x @ w["gate.weight"].T + w["gate.bias"]))

        x = torch.randn(B, D)
        unlike = {
            "the gate is not complemented: sigmoid(gate(x)) · x": x.double()
            - expected(x)
        }
        check.close(unit.skip(x), expected(x), unlike=unlike)
        check.gradients(unit.skip, expected, x)

    def test_dropout_drops_a_share_of_x_in_train_mode(self, kata):
        """An element is 0 with probability p, and x / (1 − p) otherwise, so that its
        mean stays x.
        """
        x = torch.rand(200, 30) + 1
        got = kata.ResidualUnit(30, shortcut="dropout", p=0.2).train().skip(x)
        share = (got == 0).float().mean().item()
        like = "p is the share that is kept" if 0.75 < share < 0.85 else ""
        check.that(
            0.15 < share < 0.25,
            f"{share:.0%} of the elements are 0, expected about 20 % with p = 0.2",
            like=like,
        )
        check.close(
            got, torch.where(got == 0, 0.0, x / 0.8), what="the elements that are kept"
        )

    def test_dropout_is_off_in_eval_mode(self, kata):
        """Whoever evaluates a net wants the same answer twice."""
        x = torch.randn(B, D)
        got = kata.ResidualUnit(D, shortcut="dropout").eval().skip(x)
        dropped = got == 0
        unlike = (
            {"dropout in eval mode, too": torch.where(dropped, 0.0, 2 * x)}
            if dropped.any()
            else {}
        )
        check.close(got, x, unlike=unlike)


class TestResidualUnitForward:
    def test_pre_is_the_sum_and_nothing_more(self, kata):
        """Shortcut plus branch, and no relu after the sum: the next unit's shortcut
        gets the sum itself.
        """
        for shortcut, factor in (("identity", 1.0), ("scale", 0.3)):
            unit, w = lively(kata.ResidualUnit(D, shortcut=shortcut, scale=0.3))
            x = torch.randn(B, D)
            branch = pre_branch(w, x.double())
            expected = factor * x + branch
            unlike = {
                "a relu after the sum": expected.relu(),
                "the shortcut is missing": branch,
                "x is added, not skip(x)": x + branch,
                "the shortcut is normalised, too": factor
                * normalised(w, "norm1", x.double())
                + branch,
                "the factor is on the branch": x + 0.3 * branch,
                "the factor is on the whole sum": 0.3 * (x + branch),
            }
            check.close(
                unit(x),
                expected,
                unlike=unlike,
                what=f"the output with shortcut {shortcut!r}",
            )

    def test_a_gated_unit_is_the_sum_and_nothing_more(self, kata):
        """The gate's complement is on the shortcut, as `skip` has it. Nothing is on
        the branch.
        """
        unit, w = lively(kata.ResidualUnit(4 * D, shortcut="gate"))
        # with D features, relu may leave nothing of the branch
        x = torch.randn(B, 4 * D)
        gate, branch = (
            torch.sigmoid(x.double() @ w["gate.weight"].T + w["gate.bias"]),
            pre_branch(w, x.double()),
        )
        unlike = {
            "the branch is gated, too": (1 - gate) * x + gate * branch,
            "the shortcut is not gated": x + branch,
        }
        check.close(unit(x), (1 - gate) * x + branch, unlike=unlike)

    def test_post_has_a_relu_after_the_sum(self, kata):
        """The first residual nets put a relu on the sum, and so on the way from unit
        to unit.
        """
        unit, w = lively(kata.ResidualUnit(D, "post"))
        x = torch.randn(B, D)
        branch = post_branch(w, x.double())
        unlike = {
            "no relu after the sum": x + branch,
            "the relu is before the sum": x + branch.relu(),
        }
        check.close(unit(x), (x + branch).relu(), unlike=unlike)

    def test_a_silent_branch_leaves_the_shortcut(self, kata):
        """With fc2 = 0 the branch is zero, in train mode, too. Then "pre" is exactly
        the identity, or the factor. "post" is relu(x), which is an identity for
        positive x only.
        """
        x = torch.randn(B, D)
        cases = {"identity": x, "scale": 0.3 * x}
        for shortcut, expected in cases.items():
            unit = silent(kata.ResidualUnit(D, shortcut=shortcut, scale=0.3))
            unlike = {
                "a relu after the sum": expected.relu(),
                "nothing is left": 0 * x,
                "x itself": x,
            }
            check.close(
                unit(x),
                expected,
                unlike=unlike,
                what=f"the output of 'pre' with shortcut {shortcut!r}",
            )
        unlike = {"no relu after the sum": x}
        check.close(
            silent(kata.ResidualUnit(D, "post"))(x),
            x.relu(),
            unlike=unlike,
            what="the output of 'post'",
        )

    def test_the_direct_path_multiplies_the_scales(self, kata):
        """Six units in a row with fc2 = 0: the gradient at the input of unit l is
        scale^(6 − l), and exactly 1 for identities. Nothing but the shortcuts is on
        this path.
        """
        for shortcut, factor in (("identity", 1.0), ("scale", 0.3)):
            states = [torch.randn(B, D, requires_grad=True)]
            for _ in range(6):
                unit = silent(kata.ResidualUnit(D, shortcut=shortcut, scale=0.3))
                states.append(unit(states[-1]))
            gradients = torch.autograd.grad(states[-1].sum(), states[:-1])
            got = torch.stack([gradient.mean() for gradient in gradients])
            expected = factor ** torch.arange(6, 0, -1)
            check.close(
                got,
                expected,
                rtol=1e-3,
                atol=1e-9,
                what=f"mean gradient per unit with shortcut {shortcut!r}",
            )

    @pytest.mark.edge
    def test_the_input_is_not_written_to(self, kata):
        """An identity shortcut hands on x itself. `out += …` on it would write into the
        caller's tensor.
        """
        for order in ("pre", "post"):
            x = torch.randn(B, D)
            with check.unchanged(x=x), torch.no_grad():
                kata.ResidualUnit(D, order)(x)

    @pytest.mark.edge
    def test_a_float64_unit_computes_in_float64(self, kata):
        """Nothing in the unit goes through float32."""
        unit, w = lively(kata.ResidualUnit(D, shortcut="scale", scale=0.3).double())
        x = torch.randn(B, D, dtype=torch.float64)
        check.close(unit(x), 0.3 * x + pre_branch(w, x))


def small_net(kata, **options):
    """A net of three units for samples of 2 × 3 features, five of these, and
    their labels.
    """
    net = kata.DeepNet(L, D, in_features=6, num_classes=7, **options)
    return net, torch.randn(B, 2, 3), torch.arange(B)


class TestDeepNet:
    def test_a_stem_units_and_a_head(self, kata):
        """The stem brings a sample to the width D, the head brings D features to the
        classes. Both are linear layers with a bias.
        """
        net, _, _ = small_net(kata)
        got = {
            name: tuple(parameter.shape)
            for name, parameter in net.named_parameters()
            if "." in name
        }
        got = {
            name: shape
            for name, shape in got.items()
            if name.startswith(("stem", "head"))
        }
        expected = {
            "stem.weight": (D, 6),
            "stem.bias": (D,),
            "head.weight": (7, D),
            "head.bias": (7,),
        }
        check.equal(got, expected, what="the parameters of stem and head")
        check.equal(len(net.units), L, what=f"the number of units for depth {L}")

    def test_every_unit_has_the_order_and_the_shortcut(self, kata):
        """Width, order and shortcut go to all units. Each unit has weights of
        its own.
        """
        for order, shortcut in (("pre", "scale"), ("post", "gate")):
            net, _, _ = small_net(kata, order=order, shortcut=shortcut)
            own = all(isinstance(unit, kata.ResidualUnit) for unit in net.units)
            check.that(
                own,
                f"the units are {type(net.units[0]).__name__}, expected ResidualUnit",
            )
            got = [
                (unit.order, unit.shortcut, unit.fc1.in_features) for unit in net.units
            ]
            check.equal(
                got,
                [(order, shortcut, D)] * L,
                what="order, shortcut and width of the units",
            )
            check.that(
                len({id(unit) for unit in net.units}) == L,
                "the same unit stands in several places",
            )

    def test_pre_has_a_final_norm_and_post_has_none(self, kata):
        """A pre unit ends with a bare sum. Nothing normalises x_L, so the net does it
        before the head. A post unit has its norm and its relu inside.
        """
        net, _, _ = small_net(kata)
        kinds = [type(module).__name__ for module in net.final.children()]
        unlike = {"no final norm": [], "the norm alone, without ReLU": ["BatchNorm1d"]}
        check.equal(
            kinds,
            ["BatchNorm1d", "ReLU"],
            unlike=unlike,
            what="the parts of final in a 'pre' net",
        )
        post, _, _ = small_net(kata, order="post")
        check.equal(type(post.final).__name__, "Identity", what="final in a 'post' net")

    def test_logits_come_through_all_parts(self, kata):
        """Flatten, stem, units, final, head, in this order."""
        for order in ("pre", "post"):
            net, x, _ = small_net(kata, order=order)
            net, w = lively(net)

            def logits(
                after_stem=lambda state: state,
                final=order == "pre",
                w=w,
                order=order,
                x=x,
            ):
                state = after_stem(
                    x.flatten(1).double() @ w["stem.weight"].T + w["stem.bias"]
                )
                for place in range(L):
                    part = {
                        name.removeprefix(f"units.{place}."): value
                        for name, value in w.items()
                    }
                    total = state + (pre_branch if order == "pre" else post_branch)(
                        part, state
                    )
                    state = total if order == "pre" else total.relu()
                state = normalised(w, "final.0", state).relu() if final else state
                return state @ w["head.weight"].T + w["head.bias"]

            unlike = {
                "final is left out": logits(final=False),
                "a relu after the stem": logits(torch.relu),
            }
            check.close(net(x), logits(), rtol=1e-3, atol=1e-4, unlike=unlike)

    def test_states_go_from_the_stem_to_the_last_unit(self, kata):
        """With return_states=True there are L + 1 of them beside the logits. x_0 is the
        stem's output. x_L is what the last unit returns: `final` comes after it.
        """
        net, x, _ = small_net(kata)
        net, _ = lively(net)
        logits, states = net(x, return_states=True)
        check.equal(
            len(states),
            L + 1,
            what="the number of states",
            unlike={"the stem's output is not listed": L},
        )
        check.close(states[0], net.stem(x.flatten(1)), what="x_0")
        for place, unit in enumerate(net.units):
            right = unit(states[place])
            unlike = (
                {"`final` has been applied": net.final(right)} if place == L - 1 else {}
            )
            check.close(states[place + 1], right, unlike=unlike, what=f"x_{place + 1}")
        unlike = {
            "final is left out, or the states hold what comes after it": net.head(
                states[-1]
            )
        }
        check.close(
            logits,
            net.head(net.final(states[-1])),
            unlike=unlike,
            what="logits of head(final(x_L))",
        )
        check.close(net(x), logits, what="logits without return_states")

    def test_a_pre_net_only_adds_branches(self, kata):
        """With clean shortcuts x_L − x_l is the sum of the branches in between, for
        every l. In a post net the relus cut into this sum.
        """
        for order in ("pre", "post"):
            net, x, _ = small_net(kata, order=order)
            net, _ = lively(net)
            _, states = net(x, return_states=True)
            branches = [
                unit.branch(state)
                for unit, state in zip(net.units, states, strict=False)
            ]
            for first in range(L):
                got, expected = states[L] - states[first], sum(branches[first:])
                if order == "pre":
                    check.close(
                        got, expected, rtol=1e-3, atol=1e-4, what=f"x_{L} − x_{first}"
                    )
            adds = torch.allclose(
                states[L] - states[0], sum(branches), rtol=1e-3, atol=1e-4
            )
            check.that(
                adds == (order == "pre"),
                f"in a {order!r} net x_L − x_0 is{'' if adds else ' not'} the plain "
                "sum",
            )

    def test_the_states_are_part_of_the_graph(self, kata):
        """The loss must be differentiable with respect to each state, or no gradient
        profile can be measured.
        """
        net, x, y = small_net(kata)
        logits, states = net(x, return_states=True)
        check.that(
            all(state.requires_grad for state in states),
            "a state needs no gradient: it was detached",
        )
        gradients = torch.autograd.grad(
            F.cross_entropy(logits, y), states, allow_unused=True
        )
        unused = [place for place, gradient in enumerate(gradients) if gradient is None]
        check.equal(unused, [], what="the states that the logits do not depend on")


def profile_by_hand(net, x, y, reduction="mean"):
    """The gradients at the states x_0 … x_L, unit by unit."""
    net = copy.deepcopy(net)
    gradients = []
    for first in range(L + 1):
        state = net.stem(x.flatten(1))
        for unit in net.units[:first]:
            state = unit(state)
        state = state.detach().requires_grad_()
        out = state
        for unit in net.units[first:]:
            out = unit(out)
        loss = F.cross_entropy(net.head(net.final(out)), y, reduction=reduction)
        gradients.append(torch.autograd.grad(loss, state)[0].double())
    return gradients


def weight_profile(net, x, y):
    """Norms of the gradients of the weights of the stem and of each fc1."""
    net = copy.deepcopy(net)
    weights = [net.stem.weight, *(unit.fc1.weight for unit in net.units)]
    return torch.stack(
        [
            gradient.norm()
            for gradient in torch.autograd.grad(F.cross_entropy(net(x), y), weights)
        ]
    )


@pytest.mark.stretch
class TestGradientProfile:
    def test_one_norm_per_state_first_state_first(self, kata):
        """L + 1 numbers: what is left of the gradient at each state, from the stem's
        output to the last unit's.
        """
        net, x, y = small_net(kata)
        gradients = profile_by_hand(net, x, y)
        expected = torch.stack([gradient.pow(2).sum().sqrt() for gradient in gradients])
        unlike = {
            "the last state comes first": expected.flip(0),
            "norms for the sum of the losses": B * expected,
            "squared norms": expected**2,
            "means of the absolute values": torch.stack(
                [gradient.abs().mean() for gradient in gradients]
            ),
            "the mean norm of a sample": torch.stack(
                [gradient.norm(dim=1).mean() for gradient in gradients]
            ),
            "gradients of the weights, not of the states": weight_profile(net, x, y),
        }
        check.close(
            kata.gradient_profile(net, x, y),
            expected,
            rtol=1e-3,
            atol=1e-6,
            unlike=unlike,
        )

    def test_the_mode_stays_what_it_is(self, kata):
        """Batch norm hands gradients on differently in train and eval mode. Each mode
        has its own profile, and the call changes neither mode nor profile.
        """
        net, x, y = small_net(kata)
        net, _ = lively(net)
        for mode in (False, True, False):
            net.train(mode)
            other = torch.stack(
                [
                    gradient.norm()
                    for gradient in profile_by_hand(net.train(not mode), x, y)
                ]
            )
            expected = torch.stack(
                [gradient.norm() for gradient in profile_by_hand(net.train(mode), x, y)]
            )
            got = kata.gradient_profile(net, x, y)
            unlike = {f"measured with training = {not mode}": other}
            check.close(
                got,
                expected,
                rtol=1e-3,
                atol=1e-6,
                unlike=unlike,
                what=f"the profile with training = {mode}",
            )
            check.that(
                net.training == mode,
                f"`training` was {mode} before the call, and is {net.training}",
            )

    def test_with_quiet_branches_the_direct_path_is_what_is_left(self, kata):
        """If the branches say next to nothing, identities hand the gradient on whole,
        and the profile is flat. Factors of a half leave 2^−(L − l) of it.
        """
        for shortcut, factor in (("identity", 1.0), ("scale", 0.5)):
            net, x, y = small_net(kata, shortcut=shortcut)
            with torch.no_grad():
                for unit in net.units:
                    unit.fc2.weight.mul_(1e-4)
            profile = kata.gradient_profile(net, x, y)
            expected = profile[-1] * factor ** torch.arange(L, -1, -1)
            check.close(
                profile,
                expected,
                rtol=0.1,
                what=f"the profile with shortcut {shortcut!r}",
            )

    @pytest.mark.edge
    def test_no_gradient_is_left(self, kata):
        """A measurement leaves no trace: gradients that it left would be added to those
        of the first step. Old ones do not disturb it, and they stay.
        """
        net, x, y = small_net(kata)
        expected = torch.stack(
            [gradient.norm() for gradient in profile_by_hand(net, x, y)]
        )
        kata.gradient_profile(net, x, y)
        for name, parameter in net.named_parameters():
            check.that(
                parameter.grad is None,
                f"{name}.grad is there after the call, and was None before",
            )
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        got = kata.gradient_profile(net, x, y)
        check.close(
            got,
            expected,
            rtol=1e-3,
            atol=1e-6,
            what="the profile of a net with old gradients",
        )
        for name, parameter in net.named_parameters():
            check.equal(
                parameter.grad,
                torch.ones_like(parameter),
                what=f"{name}.grad, which was all ones before",
            )

    @pytest.mark.edge
    def test_the_result_is_detached(self, kata):
        """Numbers for a plot need no graph, and a graph would keep the activations of
        all units in memory.
        """
        check.that(
            not kata.gradient_profile(*small_net(kata)).requires_grad,
            "the profile requires a gradient",
        )


class Reader(nn.Module):
    """A linear classifier whose inputs are row numbers: it notes which rows it reads,
    and in which mode.
    """

    def __init__(self, rows=40, features=6, classes=4):
        super().__init__()
        self.register_buffer("inputs", torch.randn(rows, features))
        self.linear = nn.Linear(features, classes)
        self.read, self.modes = [], []

    def forward(self, x):
        rows = x[:, 0].long()
        self.read.append(rows)
        self.modes.append(self.training)
        return self.linear(self.inputs[rows])


NUMBERS, LABELS = torch.arange(40.0)[:, None], torch.arange(40) % 4


@functools.cache
def losses_of(kata, order, shortcut):
    """The training losses of 50 units in 30 steps of 96 digits, at a learning rate
    of 0.1.
    """
    rows = torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:1200]
    x, y = (part[rows] for part in digits())
    torch.manual_seed(0)
    model = kata.DeepNet(50, order=order, shortcut=shortcut)
    generator = torch.Generator().manual_seed(0)
    return kata.train_deep(model, x, y, steps=30, batch=96, lr=0.1, generator=generator)


class TestTrainDeep(training.Contract):
    """SGD with momentum, on random batches."""

    model, optimizer, settings = Reader, torch.optim.SGD, {"momentum": 0.9}
    lr, default_lr, steps = 0.2, 0.02, 4
    slips = {
        "no momentum": {"settings": {"momentum": 0.0}},
        "Adam": {"optimizer": torch.optim.Adam},
    }

    def train(self, kata, model, **options):
        return kata.train_deep(model, NUMBERS, LABELS, batch=8, **options)

    def loss(self, model, rows):
        return F.cross_entropy(model(NUMBERS[rows]), LABELS[rows])

    def test_each_step_reads_a_new_batch(self, kata):
        """A step draws `batch` rows at random, of all of them."""
        model = Reader()
        kata.train_deep(model, NUMBERS, LABELS, steps=100, batch=8)
        check.equal(
            [len(rows) for rows in model.read],
            100 * [8],
            what="rows per pass through the model",
        )
        check.that(
            not torch.equal(*model.read[:2]),
            "steps 0 and 1 read the same rows: draw new ones per step",
        )
        read = sorted({int(row) for rows in model.read for row in rows})
        check.equal(
            read,
            [*range(40)],
            what="rows read in 100 steps",
            unlike={"the first `batch` rows": [*range(8)]},
        )

    def test_the_defaults(self, kata):
        """100 steps of 64 rows with a learning rate of 0.02."""
        model, large = Reader(), Reader(rows=70)
        fresh = copy.deepcopy(model)
        losses = self.train(kata, model)
        check.equal(len(losses), 100, what="the number of losses")
        expected, _ = self.by_hand(fresh, model.read[:10], lr=0.02)
        check.close(losses[:10], expected, rtol=1e-3, what="the first losses")
        kata.train_deep(
            large, torch.arange(70.0)[:, None], torch.arange(70) % 4, steps=1
        )
        check.equal(len(large.read[0]), 64, what="rows of the first step")

    @pytest.mark.timeout(60)
    def test_a_hundred_layers_train_with_clean_shortcuts(self, kata):
        """50 pre units with identity shortcuts learn the digits in 30 steps."""
        last = sum(losses_of(kata, "pre", "identity")[-10:]) / 10
        check.that(
            last < 1.0,
            f"the training loss is {last:.2f} at the end, expected less than 1.0",
        )

    @pytest.mark.timeout(60)
    def test_pre_is_ahead_of_post(self, kata):
        """Post puts a relu on the way from unit to unit. On the same batches its loss
        is higher from step 15 on.
        """
        pre, post = (
            sum(losses_of(kata, order, "identity")[15:]) / 15
            for order in ("pre", "post")
        )
        check.that(
            pre < post,
            f"the mean loss is {pre:.2f} for pre and {post:.2f} for post; expected "
            "less for pre",
        )

    @pytest.mark.timeout(60)
    def test_halved_shortcuts_do_not_train(self, kata):
        """The key result: the same net with a factor of 0.5 on each shortcut stays near
        uniform guessing, ln 10 = 2.30. The factor of the direct path is 0.5^50.
        """
        last = sum(losses_of(kata, "pre", "scale")[-10:]) / 10
        check.that(
            last > 1.3,
            f"the training loss is {last:.2f} at the end, expected more than 1.3: is "
            "x scaled at all?",
        )
