"""Specs of today/02 · Muon and schedules."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.specs import check

QUINTIC, CUBIC = (3.4445, -4.7750, 2.0315), (1.5, -0.5, 0.0)
EXACT = {"rtol": 1e-9, "atol": 1e-9}
NEAR = {"rtol": 1e-6, "atol": 1e-6}  # ‖g‖ + eps in place of max(‖g‖, eps) is as good


# The oracles: an SVD and a polynomial of one number, in float64.


def polynomial(values, steps=5, coefficients=QUINTIC):
    """What becomes of singular values."""
    a, b, c = coefficients
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return values


def orthogonalised(g, steps=5, coefficients=QUINTIC, norm=None):
    u, values, v = torch.linalg.svd(g.double(), full_matrices=False)
    start = values / (values.square().sum().sqrt() if norm is None else norm)
    return (u * polynomial(start, steps, coefficients)) @ v


def from_the_right(g):
    """The five steps with the factors swapped: X (bA + cA²)."""
    a, b, c = QUINTIC
    x = g / g.norm()
    for _ in range(5):
        square = x @ x.T
        x = a * x + x @ (b * square + c * square @ square)
    return x


def turned(size, seed):
    """A random orthogonal matrix."""
    normal = torch.randn(
        size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return torch.linalg.qr(normal)[0]


@st.composite
def spectra(draw):
    """Singular vectors, singular values of very different size, and the matrix that
    has them.
    """
    values = torch.tensor(
        draw(
            st.lists(
                st.sampled_from([1.0, 0.6, 0.2, 0.05, 0.005]), min_size=1, max_size=5
            )
        )
    )
    longer = len(values) + draw(st.integers(0, 3))
    u, v = (
        turned(len(values), draw(st.integers(0, 99))),
        turned(longer, draw(st.integers(0, 99)))[: len(values)],
    )
    factor = draw(st.sampled_from([1.0, 1e-3, 200.0]))
    u, v = (u, v) if draw(st.booleans()) else (v.mT, u.mT)  # wide or tall
    return u, v, factor * (u * values) @ v


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made inside."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.numbers = max(
            self.numbers,
            *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor)),
            0,
        )
        return out


class TestNewtonSchulz:
    @pytest.mark.parametrize(
        "shape", [(5, 8), (6, 5), (6, 6)], ids=["wide", "tall", "square"]
    )
    def test_equals_the_polynomial_of_the_singular_values(self, kata, shape):
        """Each step replaces every singular value s by a·s + b·s³ + c·s⁵, and leaves
        the singular vectors alone. An SVD shows what five steps come to.
        """
        g = torch.randn(shape, dtype=torch.float64)
        rows = g / g.norm(dim=1, keepdim=True)
        u, values, v = torch.linalg.svd(g, full_matrices=False)
        wrong = {
            "U Vᵀ itself, by an SVD: five steps do not arrive there": u @ v,
            "the coefficients 1.5 and −0.5 of the cubic iteration": orthogonalised(
                g, coefficients=CUBIC
            ),
            "each row divided by its own norm": orthogonalised(rows, norm=1.0),
            "divided by the largest singular value, not by the norm of all": (
                orthogonalised(g, norm=values[0])
            ),
            "divided by the norm, without any step": g / g.norm(),
            "not divided by the norm first": orthogonalised(g, norm=1.0),
            "one step too few": orthogonalised(g, 4),
            "one step too many": orthogonalised(g, 6),
        }
        wrong |= (
            {"X (bA + cA²): the factors are swapped": from_the_right(g)}
            if shape == (6, 6)
            else {}
        )
        check.close(kata.newton_schulz(g), orthogonalised(g), **NEAR, unlike=wrong)

    def test_large_numbers_are_normalised_first(self, kata):
        """The polynomial grows without limit above 1.3. Dividing by the norm brings
        every singular value below 1, so a matrix and 1000 times that matrix have the
        same result.
        """
        g = torch.randn(4, 7, dtype=torch.float64)
        for factor in (1000.0, 0.5):
            what = f"newton_schulz({factor:g} · g)"
            got = kata.newton_schulz(factor * g)
            if torch.is_tensor(got) and got.shape == g.shape:
                finite = bool(got.isfinite().all())
                check.that(
                    finite,
                    f"{what} is not finite: singular values above 1 diverge. Divide "
                    "by the norm first.",
                )
            check.close(got, orthogonalised(g), **NEAR, what=what)

    @given(case=spectra())
    def test_singular_vectors_stay_and_values_come_near_1(self, kata, case):
        """With g = U S Vᵀ, Uᵀ newton_schulz(g) V is diagonal. Where no singular value
        is below 0.002 · ‖g‖, it is between 0.68 and 1.21: not 1, but near enough for
        a step.
        """
        u, v, g = case
        got = u.mT @ kata.newton_schulz(g) @ v.mT
        check.close(
            got,
            torch.diag(got.diagonal()),
            rtol=0,
            atol=1e-8,
            what="Uᵀ newton_schulz(g) V off its diagonal",
        )
        low, high = got.diagonal().min().item(), got.diagonal().max().item()
        wrong = (
            f"singular values between {low:.3f} and {high:.3f}, expected all in 0.68 "
            "… 1.21"
        )
        check.that(0.68 <= low and high <= 1.21, wrong)

    def test_steps_are_counted(self, kata):
        """steps says how often X is replaced: 0 leaves g / ‖g‖."""
        g = torch.randn(3, 5, dtype=torch.float64)
        for steps in (0, 1, 3):
            wrong = {"five steps whatever `steps` is": orthogonalised(g)}
            got = kata.newton_schulz(g, steps)
            check.close(
                got,
                orthogonalised(g, steps),
                **NEAR,
                unlike=wrong,
                what=f"with steps={steps}",
            )

    def test_directions_without_gradient_stay_without(self, kata):
        """A singular value of 0 stays 0, so a gradient of rank 1 gives a step of
        rank 1.
        """
        column, row = (
            torch.randn(6, 1, dtype=torch.float64),
            torch.randn(1, 4, dtype=torch.float64),
        )
        unit = column @ row / (column.norm() * row.norm())
        check.close(kata.newton_schulz(column @ row), polynomial(1.0) * unit, **NEAR)

    def test_a_tall_matrix_is_transposed_first(self, kata):
        """X Xᵀ of a (40, 3) matrix has 1600 numbers, that of its transpose 9. The
        values are the same, the work is not.
        """
        with Largest() as largest:
            got = kata.newton_schulz(torch.randn(40, 3, dtype=torch.float64))
        check.shape(got, (40, 3))
        size = (
            f"a tensor of {largest.numbers} numbers was made on the way, expected at "
            "most the 120 of g"
        )
        check.that(
            largest.numbers <= 120,
            f"{size}: X Xᵀ is (40, 40) here, and (3, 3) after a transpose",
        )

    @pytest.mark.edge
    def test_zeros_give_zeros(self, kata):
        """A parameter whose gradient is zero everywhere must not become NaN."""
        check.equal(kata.newton_schulz(torch.zeros(3, 4)), torch.zeros(3, 4))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
    def test_the_dtype_is_kept(self, kata, dtype):
        """All is computed in the dtype of g. g itself, here a view, is not changed."""
        g = torch.randn(5, 3).to(dtype).mT
        with check.unchanged(g=g):
            got = kata.newton_schulz(g)
        check.dtype(got, dtype)
        tolerance = 0.2 if dtype == torch.bfloat16 else 1e-3
        check.close(got, orthogonalised(g), rtol=tolerance, atol=tolerance)

    @pytest.mark.edge
    def test_only_matrices(self, kata):
        """The kernels of a convolution are 4-D: which two dimensions are the matrix?
        The message names the shape.
        """
        with check.raises(ValueError, 7, 2):
            kata.newton_schulz(torch.randn(7, 2, 3, 3))


class TestShapeScale:
    def test_original_helps_tall_matrices(self, kata):
        """√max(1, O / I): 2 for (8, 2). A wide matrix keeps its step."""
        for shape, expected in (
            ((8, 2), 2.0),
            ((2, 8), 1.0),
            ((5, 5), 1.0),
            ((9, 4), 1.5),
        ):
            rows, columns = shape
            wrong = {
                "I / O, not O / I": math.sqrt(max(1, columns / rows)),
                "without the root": max(1, rows / columns),
                "O // I, without what is left over": math.sqrt(max(1, rows // columns)),
                "without the maximum: a wide matrix gets a smaller step": math.sqrt(
                    rows / columns
                ),
            }
            check.close(
                kata.shape_scale(shape),
                expected,
                unlike=wrong,
                what=f"shape_scale({shape})",
            )

    def test_match_rms_adamw_grows_with_the_longer_side(self, kata):
        """0.2 · √max(O, I), whichever side is longer. Then the step's root mean square
        is near AdamW's 0.2 to 0.4.
        """
        for shape, expected in (((4, 25), 1.0), ((25, 4), 1.0), ((9, 9), 0.6)):
            rows, columns = shape
            wrong = {
                "without the factor 0.2": math.sqrt(max(rows, columns)),
                "the mean of both sides": 0.2 * math.sqrt((rows + columns) / 2),
                "the shorter side": 0.2 * math.sqrt(min(rows, columns)),
                "mode is not used": math.sqrt(max(1, rows / columns)),
            }
            got = kata.shape_scale(shape, "match_rms_adamw")
            check.close(
                got,
                expected,
                unlike=wrong,
                what=f"shape_scale({shape}, 'match_rms_adamw')",
            )

    @pytest.mark.edge
    def test_other_modes_are_errors(self, kata):
        """A mistyped mode must not train with another one. The message names it."""
        with check.raises(ValueError, "match_rms"):
            kata.shape_scale((4, 4), "match_rms")


def names(model, parameters):
    """The first name of each parameter."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        known.get(id(parameter), "a tensor that is no parameter of the model")
        for parameter in parameters
    ]


def split(kata, model):
    """Both lists, by name."""
    got = kata.split_parameters(model)
    check.that(
        isinstance(got, (tuple, list)) and len(got) == 2,
        f"expected two lists, got {check.describe(got)}",
    )
    return [names(model, part) for part in got]


class Odd(nn.Module):
    """A model with parts that look like what they are not."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.table = nn.Parameter(torch.randn(5, 4))  # a matrix, and no nn.Linear
        self.conv = nn.Conv1d(4, 6, 3)
        self.first = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.frozen = nn.Linear(6, 6)
        self.frozen.requires_grad_(False)
        self.second = nn.Linear(4, 6, bias=False)
        self.second.weight = self.first.weight  # one parameter in two layers
        self.out = nn.Linear(4, 7)
        self.out.weight = self.words.weight  # tied
        self.lm_head = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 7, bias=False))


@pytest.mark.stretch
class TestSplitParameters:
    def test_a_gpts_hidden_matrices_go_to_muon(self, kata):
        """c_attn, c_proj and c_fc map features to features. Embeddings hold one vector
        per token: a row without a token has no gradient, and Muon would move it. Biases
        and norms are no matrices.
        """
        model = kata.GPT(
            kata.GPTConfig(block_size=6, vocab_size=11, n_layer=2, n_head=2, n_embd=8)
        )
        muon, adamw = split(kata, model)
        every = [name for name, _ in model.named_parameters()]
        hidden = [
            name
            for name in every
            if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        ]
        embeddings = [
            name for name in muon if "wte" in name or "wpe" in name or "lm_head" in name
        ]
        check.that(
            not embeddings,
            f"{' and '.join(embeddings)} went to Muon: a row without a gradient would "
            "be moved",
        )
        check.equal(muon, hidden, what="for Muon")
        check.equal(
            adamw, [name for name in every if name not in hidden], what="for AdamW"
        )

    def test_every_trainable_parameter_once(self, kata):
        """A parameter in no list would never learn, one in both lists twice. A weight
        that two layers share is one parameter.
        """
        muon, adamw = split(kata, Odd())
        trainable = {
            name
            for name, parameter in Odd().named_parameters()
            if parameter.requires_grad
        }
        both = muon + adamw
        lost, frozen = sorted(trainable - set(both)), sorted(set(both) - trainable)
        twice = sorted({name for name in both if both.count(name) > 1})
        check.that(not lost, f"in neither list: {', '.join(lost)}")
        check.that(not frozen, f"frozen, and yet in a list: {', '.join(frozen)}")
        check.that(not twice, f"listed twice: {', '.join(twice)}")

    def test_what_only_looks_like_a_hidden_matrix(self, kata):
        """Two dimensions do not make a hidden matrix: a table is looked up, a tied
        output layer is an embedding, and whatever is below lm_head is the output.
        """
        muon, adamw = split(kata, Odd())
        wrong = {
            name: why
            for name, why in (
                ("words.weight", "an embedding, and out.weight is the same parameter"),
                ("table", "no nn.Linear's weight"),
                ("conv.weight", "no nn.Linear's weight"),
                ("lm_head.0.weight", "below lm_head"),
                ("lm_head.1.weight", "below lm_head"),
                ("frozen.weight", "frozen"),
            )
            if name in muon
        }
        check.that(
            not wrong,
            "for Muon: " + "; ".join(f"{name} is {why}" for name, why in wrong.items()),
        )
        check.equal(muon, ["first.weight"], what="for Muon")
        others = ["first.bias", "norm.weight", "norm.bias", "out.bias"]
        others = ["table", "words.weight", "conv.weight", "conv.bias", *others]
        check.equal(
            adamw,
            [*others, "lm_head.0.weight", "lm_head.0.bias", "lm_head.1.weight"],
            what="for AdamW",
        )


SETTINGS = {
    "lr": 0.1,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 0.3,
    "ns_steps": 4,
    "mode": "original",
}


def parameter(*shape):
    return nn.Parameter(torch.randn(shape, dtype=torch.float64))


class TestMuonInit:
    def test_groups_hold_the_settings(self, kata):
        """step, schedules and checkpoints all look into param_groups, under the names
        of the arguments.
        """
        for given_settings in ({}, SETTINGS):
            p = parameter(3, 4)
            expected = {
                "lr": 0.02,
                "momentum": 0.95,
                "nesterov": True,
                "weight_decay": 0.0,
                "ns_steps": 5,
            }
            expected |= {"mode": "original"} | given_settings
            groups = kata.Muon([p], **given_settings).param_groups
            check.equal(len(groups), 1, what="number of groups")
            check.that(
                groups[0]["params"][0] is p,
                "param_groups[0]['params'] does not hold the parameter itself",
            )
            check.entries({key: groups[0].get(key) for key in expected}, expected)

    def test_a_group_may_have_its_own(self, kata):
        """Dicts are groups. What a dict names overrides the arguments, and the rest
        comes from them.
        """
        p, q = parameter(3, 4), parameter(4, 3)
        groups = kata.Muon(
            [{"params": [p], "lr": 0.5}, {"params": [q], "momentum": 0.1}], lr=0.2
        ).param_groups
        check.equal(
            [group["lr"] for group in groups], [0.5, 0.2], what="lr of both groups"
        )
        check.equal(
            [group["momentum"] for group in groups],
            [0.95, 0.1],
            what="momentum of both groups",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "shape", [(7,), (7, 2, 3, 3)], ids=["a bias", "a convolution"]
    )
    def test_only_matrices(self, kata, shape):
        """A bias given to Muon is a mistake in the split. The message names
        the shape.
        """
        with check.raises(ValueError, 7):
            kata.Muon([parameter(3, 4), parameter(*shape)])


def by_hand(start, grads, settings, slip=""):
    """Muon in float64. `slip` names a known mistake to make."""
    lr, momentum, decay = settings["lr"], settings["momentum"], settings["weight_decay"]
    p, buffer = start.clone(), torch.zeros_like(start)
    rows, columns = p.shape
    tall = {
        "original": math.sqrt(max(1.0, rows / columns)),
        "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
    }
    scale = 1.0 if slip == "the scale is not used" else tall[settings["mode"]]
    for g in grads:
        if slip == "the decay is part of the gradient, as in 21's SGD":
            g = g + decay * p
        if slip == "momentum after orthogonalising":
            buffer = momentum * buffer + orthogonalised(g, settings["ns_steps"])
            move = buffer
        else:
            buffer = g if slip == "no momentum" else momentum * buffer + g
            nesterov = settings["nesterov"] != (
                slip in ("nesterov is not used", "nesterov in any case")
            )
            move = orthogonalised(
                g + momentum * buffer if nesterov else buffer, settings["ns_steps"]
            )
        shrink = {
            "the decay was multiplied by the scale": lr * scale * decay,
            "lr is not in the decay": decay,
        }
        shrink |= {
            "no decay": 0.0,
            "the decay is part of the gradient, as in 21's SGD": 0.0,
        }
        p = p * (1 - shrink.get(slip, lr * decay)) - lr * scale * move
    return p


def trained(optimizer, p, grads):
    """The parameter after one step per gradient."""
    for g in grads:
        p.grad = g.clone()
        optimizer.step()
    return p.detach()


class TestMuonStep:
    def test_one_step_moves_every_direction_alike(self, kata):
        """The first step is lr times the orthogonalised gradient. A plain step of
        gradient descent would move the direction of the largest singular value most.
        """
        for shape in ((3, 4), (8, 2)):
            p, g = parameter(*shape), torch.randn(shape, dtype=torch.float64)
            start = p.detach().clone()
            settings = SETTINGS | {"weight_decay": 0.0, "momentum": 0.0, "ns_steps": 5}
            wrong = {
                "plain gradient descent": start - 0.1 * g,
                "up, not down": 2 * start - by_hand(start, [g], settings),
                "the scale is not used": by_hand(
                    start, [g], settings, "the scale is not used"
                ),
            }
            wrong = (
                wrong
                if shape == (8, 2)
                else {
                    key: wrong[key]
                    for key in ("plain gradient descent", "up, not down")
                }
            )
            got = trained(kata.Muon([p], **settings), p, [g])
            check.close(
                got,
                by_hand(start, [g], settings),
                **NEAR,
                unlike=wrong,
                what=f"a parameter {shape}",
            )

    @pytest.mark.parametrize("nesterov", [True, False], ids=["nesterov", "plain"])
    def test_five_steps_equal_a_loop(self, kata, nesterov):
        """Momentum comes first, then the polynomial. The decay uses lr, not lr times
        the scale.
        """
        p, grads = parameter(9, 4), list(torch.randn(5, 9, 4, dtype=torch.float64))
        start = p.detach().clone()
        for mode in ("original", "match_rms_adamw"):
            settings = SETTINGS | {"nesterov": nesterov, "mode": mode}
            slips = [
                *(
                    "momentum after orthogonalising",
                    "no momentum",
                    "no decay",
                    "lr is not in the decay",
                ),
                *(
                    "the decay was multiplied by the scale",
                    "the decay is part of the gradient, as in 21's SGD",
                ),
                *(
                    "the scale is not used",
                    "nesterov is not used" if nesterov else "nesterov in any case",
                ),
            ]
            wrong = {slip: by_hand(start, grads, settings, slip) for slip in slips}
            with torch.no_grad():
                p.copy_(start)
            got = trained(kata.Muon([p], **settings), p, grads)
            check.close(
                got,
                by_hand(start, grads, settings),
                **NEAR,
                unlike=wrong,
                what=f"after 5 steps, {mode}",
            )

    def test_five_steps_are_torchs_own(self, kata):
        """torch.optim.Muon takes averages where this Muon takes sums. The norm is
        divided out, so both move alike, but for its rounding: it iterates in bfloat16.
        """
        start, grads = torch.randn(6, 4), list(torch.randn(5, 6, 4))
        mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        expected = trained(
            torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1), theirs, grads
        )
        got = trained(kata.Muon([mine], weight_decay=0.1), mine, grads)
        check.close(got, expected, rtol=0, atol=2e-3)

    def test_settings_are_read_at_each_step(self, kata):
        """A schedule writes a new lr into the group before each step, and two groups
        may differ.
        """
        p, q, g = (
            parameter(4, 6),
            parameter(4, 6),
            torch.randn(4, 6, dtype=torch.float64),
        )
        starts = [p.detach().clone(), q.detach().clone()]
        plain = SETTINGS | {"momentum": 0.0, "weight_decay": 0.0}
        optimizer = kata.Muon([{"params": [p]}, {"params": [q], "lr": 0.7}], **plain)
        optimizer.param_groups[0]["lr"] = 0.3
        p.grad, q.grad = g.clone(), g.clone()
        optimizer.step()
        for got, start, lr, name in (
            (p, starts[0], 0.3, "group 0"),
            (q, starts[1], 0.7, "group 1"),
        ):
            wrong = {"the lr of the constructor": by_hand(start, [g], plain)}
            expected = by_hand(start, [g], plain | {"lr": lr})
            check.close(
                got.detach(),
                expected,
                **NEAR,
                unlike=wrong,
                what=f"the parameter of {name}",
            )

    def test_each_parameter_has_its_own_momentum(self, kata):
        """Two parameters of the same shape, moved by other gradients. A buffer that
        both share would mix them.
        """
        pair, grads = (
            [parameter(4, 6), parameter(4, 6)],
            torch.randn(3, 2, 4, 6, dtype=torch.float64),
        )
        starts = [p.detach().clone() for p in pair]
        optimizer = kata.Muon(pair, **SETTINGS)
        for both in grads:
            for p, g in zip(pair, both, strict=True):
                p.grad = g.clone()
            optimizer.step()
        for i, (p, start) in enumerate(zip(pair, starts, strict=True)):
            expected = by_hand(start, list(grads[:, i]), SETTINGS)
            check.close(
                p.detach(), expected, **NEAR, what=f"parameter {i} of 2 after 3 steps"
            )

    def test_the_buffer_is_not_the_gradient(self, kata):
        """zero_grad(set_to_none=False) fills .grad with zeros in place. A buffer that
        is the same tensor would lose the first step.
        """
        p, grads = parameter(4, 6), list(torch.randn(3, 4, 6, dtype=torch.float64))
        start = p.detach().clone()
        optimizer, p.grad = kata.Muon([p], **SETTINGS), torch.zeros_like(start)
        for g in grads:
            optimizer.zero_grad(set_to_none=False)
            p.grad.add_(g)
            optimizer.step()
        settings = SETTINGS
        wrong = {
            "the momentum was cleared with the gradient": by_hand(
                start, grads, settings, "no momentum"
            )
        }
        expected = by_hand(start, grads, settings)
        check.close(
            p.detach(),
            expected,
            **NEAR,
            unlike=wrong,
            what="after 3 steps, .grad filled in place",
        )

    def test_a_parameter_without_gradient_stays(self, kata):
        """It took no part in the loss, so it neither moves nor decays. The others are
        moved in place.
        """
        p, q = parameter(3, 4), parameter(3, 4)
        start, memory = q.detach().clone(), p.data_ptr()
        optimizer = kata.Muon([p, q], **SETTINGS)
        p.grad = torch.randn(3, 4, dtype=torch.float64)
        optimizer.step()
        check.equal(q.detach(), start, what="the parameter without a gradient")
        check.that(
            p.data_ptr() == memory,
            "the parameter has other memory now: write into it, as with sub_",
        )

    @pytest.mark.edge
    def test_gradients_are_left_alone(self, kata):
        """Whoever logs the gradients after a step wants to see what came from backward.
        With nesterov, momentum · B is added to a copy.
        """
        for options in check.modes(nesterov=[False], weight_decay=[0.1]):
            p, g = parameter(5, 3), torch.randn(5, 3, dtype=torch.float64)
            optimizer = kata.Muon([p], **options)
            for _ in range(2):
                p.grad = g.clone()
                optimizer.step()
                check.equal(p.grad, g, what=f".grad after a step with {options}")

    @pytest.mark.edge
    def test_a_run_resumes(self, kata):
        """Two steps, a checkpoint, and three steps of a new Muon are five steps."""
        p, grads = parameter(5, 3), list(torch.randn(5, 5, 3, dtype=torch.float64))
        start = p.detach().clone()
        first = kata.Muon([p], **SETTINGS)
        trained(first, p, grads[:2])
        q = nn.Parameter(p.detach().clone())
        second = kata.Muon([q])
        second.load_state_dict(first.state_dict())
        check.close(
            trained(second, q, grads[2:]), by_hand(start, grads, SETTINGS), **NEAR
        )


def wsd(step, max_lr, warmup, decay, last, min_lr=0.0, shape="linear"):
    """The schedule as a line through its corners."""
    u = np.interp(step, [last - decay, last], [0.0, 1.0])
    rise = np.interp(step, [-1, warmup - 1], [0.0, max_lr]) if warmup else max_lr
    return (
        float(rise)
        if u == 0
        else float(max_lr - (max_lr - min_lr) * (u if shape == "linear" else u**0.5))
    )


@st.composite
def flat_steps(draw):
    """A warm-up, a step on the flat part, a decay, and two lengths of the run."""
    warmup, flat, decay = (
        draw(st.integers(0, 20)),
        draw(st.integers(0, 300)),
        draw(st.integers(1, 50)),
    )
    return (
        warmup,
        warmup + flat,
        decay,
        [warmup + flat + decay + draw(st.integers(0, 500)) for _ in range(2)],
    )


class TestWsdLr:
    @pytest.mark.parametrize("shape", ["linear", "sqrt"])
    def test_up_flat_down(self, kata, shape):
        """Rises over 4 steps, stays at 0.8, and falls to 0.2 over the last 8 of
        30 steps.
        """
        steps = [0, 1, 3, 4, 12, 21, 22, 23, 26, 29, 30, 31, 90]
        got = [kata.wsd_lr(step, 0.8, 4, 8, 30, 0.2, shape) for step in steps]
        expected = [wsd(step, 0.8, 4, 8, 30, 0.2, shape) for step in steps]
        cosine = [
            0.2 + 0.3 * (1 + math.cos(math.pi * (step - 4) / 26))
            if 4 <= step < 30
            else value
            for step, value in zip(steps, expected, strict=True)
        ]
        ends = {
            "u counted from the end: the rate jumps down, then rises": [
                wsd(52 - step, 0.8, 0, 8, 30, 0.2, shape) if 22 < step < 30 else value
                for step, value in zip(steps, expected, strict=True)
            ],
            "a fall to 0, not to min_lr": [
                wsd(step, 0.8, 4, 8, 30, 0.0, shape) for step in steps
            ],
            "the other shape": [
                wsd(step, 0.8, 4, 8, 30, 0.2, {"linear": "sqrt"}.get(shape, "linear"))
                for step in steps
            ],
            "a cosine from the end of the warm-up, without a flat part": cosine,
            "a warm-up that starts at 0: step, not step + 1": [
                0.8 * step / 4 if step < 4 else value
                for step, value in zip(steps, expected, strict=True)
            ],
            "1 − u squared": [
                0.2 + 0.6 * (1 - (step - 22) / 8) ** 2 if 22 < step < 30 else value
                for step, value in zip(steps, expected, strict=True)
            ],
        }
        wrong = {
            name: torch.tensor(values, dtype=torch.float64)
            for name, values in ends.items()
        }
        what = f"the rates at steps {steps}"
        got, expected = (
            torch.tensor(values, dtype=torch.float64) for values in (got, expected)
        )
        check.close(got, expected, rtol=1e-9, atol=1e-12, unlike=wrong, what=what)

    @given(case=flat_steps())
    def test_the_flat_part_does_not_depend_on_the_length(self, kata, case):
        """One flat run serves for many lengths: branch off a decay wherever a model is
        wanted. The rate until then is the same.
        """
        warmup, step, decay, lasts = case
        for last in lasts:
            got = kata.wsd_lr(step, 0.5, warmup, decay, last)
            check.close(
                got,
                0.5,
                what=(
                    f"the rate at step {step} of {last}, warm-up {warmup}, decay "
                    f"{decay}"
                ),
            )

    def test_defaults_fall_to_zero_in_a_line(self, kata):
        """min_lr is 0 and the shape linear unless given. Halfway down the rate is half
        of max_lr.
        """
        for step, expected in ((80, 2.0), (90, 1.0), (95, 0.5), (100, 0.0), (140, 0.0)):
            got = kata.wsd_lr(step, 2.0, 10, 20, 100)
            check.close(
                got,
                expected,
                rtol=1e-9,
                atol=1e-12,
                what=f"the rate at step {step} of 100",
            )

    @pytest.mark.edge
    def test_warm_up_and_decay_must_fit(self, kata):
        """7 and 5 steps do not fit into 10: the rate would fall before it has risen."""
        with check.raises(ValueError, 7, 5, 10):
            kata.wsd_lr(3, 1.0, 7, 5, 10)

    @pytest.mark.edge
    def test_other_shapes_are_errors(self, kata):
        """A mistyped shape must not fall in a line. The message names it."""
        with check.raises(ValueError, "cosine"):
            kata.wsd_lr(3, 1.0, 2, 5, 10, shape="cosine")


def z_by_hand(logits, counts=None):
    """log Σ exp squared, position by position."""
    rows = logits.double().reshape(-1, logits.size(-1))
    squares = [
        math.log(sum(math.exp(value) for value in row.tolist())) ** 2 for row in rows
    ]
    kept = [
        value
        for i, value in enumerate(squares)
        if counts is None or counts.flatten()[i]
    ]
    return sum(kept) / len(kept)


@pytest.mark.stretch
class TestZLoss:
    def test_the_mean_of_the_squared_normaliser(self, kata):
        """coefficient · mean of (log Σ exp)². A softmax whose normaliser is 1
        costs nothing.
        """
        logits = torch.randn(2, 3, 7) + 1
        lse = logits.logsumexp(dim=-1)
        right = z_by_hand(logits)
        for coefficient in (1e-4, 0.5):
            wrong = {
                "without the square": coefficient * lse.mean(),
                "the square of the mean": coefficient * lse.mean().square(),
                "the sum over positions": coefficient * lse.square().sum(),
                "without the coefficient": lse.square().mean(),
                "over the positions, not over the vocabulary": coefficient
                * logits.logsumexp(1).square().mean(),
                "Σ exp without its logarithm": coefficient * lse.exp().square().mean(),
                "the mean of the squared logits": coefficient * logits.square().mean(),
            }
            got = kata.z_loss(logits, None, coefficient)
            expected = torch.tensor(coefficient * right)
            check.close(
                got, expected, unlike=wrong, what=f"with coefficient={coefficient}"
            )
        check.close(kata.z_loss(logits), torch.tensor(1e-4 * right))

    def test_ignored_positions_do_not_count(self, kata):
        """A target of −100 says that the cross-entropy leaves this position out. So
        does this loss, in the sum and in the count.
        """
        logits = torch.randn(2, 4, 7) + 1
        targets = torch.tensor([[3, -100, 0, 6], [-100, -100, 5, 1]])
        counts = targets != -100
        squares = logits.logsumexp(dim=-1).square()
        wrong = {
            "all positions count": squares.mean(),
            "divided by the number of all positions": squares[counts].sum() / 8,
            "the ignored positions alone": squares[~counts].mean(),
        }
        expected = torch.tensor(z_by_hand(logits, counts))
        check.close(kata.z_loss(logits, targets, 1.0), expected, unlike=wrong)

    def test_gradient(self, kata):
        """2 · coefficient · lse · softmax / count: large normalisers pull all logits
        down, likely ones most.
        """
        logits = (torch.randn(5, 7) + 1).requires_grad_()
        targets = torch.tensor([1, -100, 2, 6, -100])
        (got,) = torch.autograd.grad(kata.z_loss(logits, targets, 0.5), logits)
        row = logits.detach()
        expected = (
            2
            * 0.5
            * row.logsumexp(-1, keepdim=True)
            * row.softmax(-1)
            / 3
            * (targets != -100)[:, None]
        )
        check.close(got, expected, what="the gradient for the logits")

    def test_a_constant_added_to_the_logits_costs(self, kata):
        """The cross-entropy does not change when all logits grow by 5, so nothing in it
        stops them. Here lse becomes lse + 5.
        """
        logits, targets = torch.randn(6, 7), torch.arange(6)
        check.close(
            F.cross_entropy(logits + 5, targets),
            F.cross_entropy(logits, targets),
            what="the cross-entropy",
        )
        expected = (logits.logsumexp(-1) + 5).square().mean()
        wrong = {"computed after log_softmax, whose normaliser is 1": torch.zeros(())}
        got = kata.z_loss(logits + 5, targets, 1.0)
        check.close(got, expected, unlike=wrong, what="z_loss(logits + 5)")

    @pytest.mark.edge
    def test_large_logits_stay_finite(self, kata):
        """exp(10,000) is infinite. logsumexp takes the largest logit out first."""
        for size in (1e4, -1e4):
            logits = torch.full((2, 3), size, requires_grad=True)
            loss = kata.z_loss(logits, None, 1.0)
            check.close(
                loss, torch.tensor((size + math.log(3)) ** 2), rtol=1e-4, atol=0
            )
            check.finite(torch.autograd.grad(loss, logits)[0], what="the gradient")
