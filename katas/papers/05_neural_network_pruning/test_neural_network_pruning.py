"""Specs of kata papers/05: noisy weights and their price, masks, global pruning,
lottery tickets, training, bits.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from grader.datasets import digits
from grader.specs import check, training

SIZES = [6, 5, 4]  # a small net: 30 + 20 weights, 5 + 4 biases
N = 50  # its weights


# Weights, masks and nets


def distinct(*shape):
    """Weights of both signs between −1 and 1, no two of the same size."""
    count = math.prod(shape)
    sizes = (torch.randperm(count) + 1.0) / count
    signs = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    # by value, the largest one would go first
    signs[sizes.argmax()], signs[sizes.argmin()] = -1.0, 1.0
    return (sizes * signs).reshape(shape)


def kept_by_rank(sizes, count):
    """True where a size is not among the `count` smallest of a tensor, counted out in
    a loop.
    """
    flat = sizes.flatten().tolist()
    gone = sorted(range(len(flat)), key=lambda place: flat[place])[:count]
    return torch.tensor([place not in gone for place in range(len(flat))]).reshape(
        sizes.shape
    )


@st.composite
def shapes_and_sparsities(draw):
    """The shape of a weight, and a sparsity that removes some of it, but not all."""
    shape = draw(st.integers(2, 5)), draw(st.integers(2, 7))
    sparsity, count = draw(st.integers(1, 99)) / 100, shape[0] * shape[1]
    assume(
        0.51 < sparsity * count < count - 0.51
        and abs(sparsity * count % 1 - 0.5) > 0.01
    )
    return shape, sparsity


def small_net(kata, sizes=SIZES):
    """A net with biases near 0 and weights that all differ in size. Those of later
    layers are larger on the whole.
    """
    model = kata.MaskedMLP(list(sizes))
    with torch.no_grad():
        weights = distinct(sum(layer.weight.numel() for layer in model.layers))
        start = 0
        for number, layer in enumerate(model.layers):
            part = weights[start : start + layer.weight.numel()].view_as(layer.weight)
            layer.weight.copy_(part * 2.5**number)
            layer.bias.copy_(torch.linspace(1e-5, 1e-4, len(layer.bias)))
            start += layer.weight.numel()
    return model


def masks(model):
    """Copies of the masks, one per layer."""
    return [layer.mask.clone() for layer in model.layers]


def wire(model, share=0.5):
    """Masks drawn by the spec itself, with about this share kept."""
    for layer in model.layers:
        layer.mask.copy_(torch.rand(layer.mask.shape) < share)
        layer.mask.view(-1)[:2] = torch.tensor([True, False])  # at least one of each
    return model


def pruned(model):
    """The number of weights that the masks remove."""
    return sum(int((~mask).sum()) for mask in masks(model))


def values(model):
    """Copies of the parameters by name."""
    return {
        name: parameter.detach().clone() for name, parameter in model.named_parameters()
    }


# The key result


@functools.cache
def images():
    """The digits to train on and those to test with: x, y, x, y."""
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:1200]], y[order[:1200]], x[order[1200:]], y[order[1200:]]


def taught(kata, model, steps, generator):
    """The test accuracy after so many more steps, in a training loop of the
    spec's own.
    """
    x, y, test_x, test_y = images()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return kata.accuracy(model, test_x, test_y)


def noisy_weights(*shape):
    """Means and log variances that all differ."""
    count = math.prod(shape)
    mean, log_var = torch.linspace(-1.2, 0.9, count), torch.linspace(-7.0, -1.5, count)
    return mean[torch.randperm(count)].reshape(shape), log_var[
        torch.randperm(count)
    ].reshape(shape)


def normal_bits(mean, std, prior_std=0.3):
    """The divergence between prior and posterior in bits, one per weight, by
    torch.distributions.
    """
    posterior = torch.distributions.Normal(mean.double(), std.double())
    prior = torch.distributions.Normal(torch.zeros_like(mean).double(), prior_std)
    return torch.distributions.kl_divergence(posterior, prior) / math.log(2)


@st.composite
def posteriors(draw):
    """Means, log variances and a prior."""
    count = draw(st.integers(1, 5))
    numbers = [
        draw(st.lists(st.floats(low, 2), min_size=count, max_size=count))
        for low in (-2, -8)
    ]
    return (*(torch.tensor(values) for values in numbers), draw(st.floats(0.1, 2)))


def slips_of_price(n, mean, std, prior_std):
    """By name, what some slips in the formula make of n weights of this mean
    and std.
    """

    def bits(
        places=math.log2(prior_std / std),  # noqa: B008
        variance=std**2,
        square=prior_std**2,
        less=1.0,
    ):
        return torch.tensor(
            n * (places + ((variance + mean**2) / square - less) / (2 * math.log(2)))
        )

    return {
        "exp(log_var / 2), the std, for the variance": bits(variance=std),
        "log_var is not halved": bits(places=math.log2(prior_std / std**2)),
        "prior_std is not squared": bits(square=prior_std),
    }


class TestKlBits:
    def test_the_prior_itself_is_free(self, kata):
        """Weights about which the net has learned nothing have the prior as posterior.
        They carry no information, and cost no bits, however many there are.
        """
        prior_std = 0.5
        bits = kata.kl_bits(
            torch.zeros(3, 4), torch.full((3, 4), 2 * math.log(prior_std)), prior_std
        )
        unlike = slips_of_price(12, 0.0, prior_std, prior_std)
        unlike["the −1 is missing, or exp(log_var / 2), the std, for the variance"] = (
            unlike.pop(next(iter(unlike)))
        )
        check.close(bits, torch.tensor(0.0), atol=1e-4, unlike=unlike, what="bits")

    def test_one_weight_by_hand(self, kata):
        """Mean 0.8, std 0.1, prior 0.4: log2 4 = 2 bits for the precision, and
        (0.01 + 0.64) / 0.16 − 1 = 3.0625, over 2 ln 2, for the place: 2.209 bits.
        Together 4.209.
        """
        mean, log_var, prior_std = (
            torch.tensor([0.8]),
            torch.tensor([2 * math.log(0.1)]),
            0.4,
        )
        right = torch.tensor(2 + 3.0625 / (2 * math.log(2)))
        unlike = {
            "nats": right * math.log(2),
            "the divergence from posterior to prior": normal_bits(
                mean, torch.tensor(0.4), 0.1
            )
            .sum()
            .float(),
            "log_var taken for the logarithm of the std": normal_bits(
                mean, log_var.exp(), 0.4
            )
            .sum()
            .float(),
            "prior_std taken for a variance": normal_bits(
                mean, torch.tensor(0.1), math.sqrt(0.4)
            )
            .sum()
            .float(),
            "the means for free": normal_bits(torch.zeros(1), torch.tensor(0.1), 0.4)
            .sum()
            .float(),
            "the −1 is missing": right + 1 / (2 * math.log(2)),
        }
        unlike |= slips_of_price(1, 0.8, 0.1, prior_std)
        check.close(
            kata.kl_bits(mean, log_var, prior_std),
            right,
            rtol=1e-4,
            unlike=unlike,
            what="bits",
        )

    def test_weights_are_added_up(self, kata):
        """A message of many weights has the bits of each, one after the other: a sum,
        of shape ().
        """
        mean, log_var = noisy_weights(4, 5)
        each = normal_bits(mean, (log_var / 2).exp())
        unlike = {
            "the mean over the weights": each.mean().float(),
            "nats": each.sum().float() * math.log(2),
        }
        bits = kata.kl_bits(mean, log_var)
        check.shape(bits, (), what="bits")
        check.close(bits, each.sum().float(), rtol=1e-4, unlike=unlike, what="bits")

    def test_what_is_sent_less_what_comes_back(self, kata):
        """The argument of the paper. To send a drawn w takes −log2 P(w) bits. The
        receiver, who can run the same training, finds out which random bits chose w
        from Q: −log2 Q(w) of them come back. The mean over draws is the price.
        """
        mean, std = (
            torch.tensor(0.5, dtype=torch.float64),
            torch.tensor(0.2, dtype=torch.float64),
        )
        posterior = torch.distributions.Normal(mean, std)
        # all that can be drawn, on a fine grid
        w = mean + std * torch.linspace(-8, 8, 4001, dtype=torch.float64)
        sent = -torch.distributions.Normal(0.0, 0.3).log_prob(
            w.float()
        ).double() / math.log(2)
        back = -posterior.log_prob(w) / math.log(2)
        chances = posterior.log_prob(w).exp() * (w[1] - w[0])
        right = (chances * (sent - back)).sum()
        unlike = {"nothing comes back": (chances * sent).sum().float()}
        bits = kata.kl_bits(mean.float()[None], 2 * std.log().float()[None])
        check.close(bits, right.float(), rtol=1e-3, unlike=unlike, what="bits")

    @given(case=posteriors())
    def test_is_the_divergence_of_two_normals(self, kata, case):
        """The formula of the paper's equation 9 in bits, as torch.distributions has it
        in nats.
        """
        mean, log_var, prior_std = case
        right = normal_bits(mean, (log_var / 2).exp(), prior_std).sum().float()
        check.close(
            kata.kl_bits(mean, log_var, prior_std),
            right,
            rtol=1e-3,
            atol=1e-3,
            what="bits",
        )

    def test_a_step_downhill_makes_weights_cheaper(self, kata):
        """The price has a graph: large means are pulled to 0, precise weights
        become noisier.
        """
        mean, log_var = (value.requires_grad_() for value in noisy_weights(3, 2))
        bits = kata.kl_bits(mean, log_var)
        check.that(
            bits.requires_grad,
            "the bits have no autograd graph: nothing can be learned from the price",
        )
        bits.backward()
        check.close(
            mean.grad,
            mean.detach() / 0.09 / math.log(2),
            rtol=1e-3,
            what="gradient of mean",
        )
        slope = (log_var.detach().exp() / 0.09 - 1) / (2 * math.log(2))
        check.close(log_var.grad, slope, rtol=1e-3, what="gradient of log_var")

    @pytest.mark.edge
    def test_an_extremely_precise_weight_has_a_finite_price(self, kata):
        """Half the std, one bit more: std = exp(−100) is 144 bits below 0.3. As a
        float32, its square is 0.
        """
        bits = kata.kl_bits(torch.zeros(1), torch.tensor([-200.0]))
        right = (math.log(0.3) + 100 - 0.5) / math.log(2)
        check.close(bits, torch.tensor(right), rtol=1e-4, what="bits")

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """The bits have the dtype of the weights, and its precision."""
        mean, log_var = (value.double() for value in noisy_weights(2, 3))
        bits = kata.kl_bits(mean, log_var)
        check.dtype(bits, torch.float64, what="bits")
        check.close(
            bits,
            normal_bits(mean, (log_var / 2).exp()).sum(),
            rtol=1e-9,
            atol=0,
            what="bits",
        )


def noisy_layer(kata):
    """A layer whose means and variances all differ."""
    layer = kata.NoisyLinear(4, 3)
    mean, log_var = noisy_weights(3, 4)
    with torch.no_grad():
        layer.weight.copy_(mean)
        layer.log_var.copy_(log_var)
    return layer


def drawn_weights(layer):
    """The weights of one call, (out, in): what each input alone does to the outputs."""
    return (layer(torch.eye(4)) - layer.bias).T


class TestNoisyLinear:
    def test_has_a_mean_and_a_log_variance_per_weight(self, kata):
        """A linear layer with one parameter more. All three are trained: also how
        precise each weight has to be.
        """
        layer = kata.NoisyLinear(4, 3)
        check.that(
            isinstance(layer, nn.Linear), "NoisyLinear is not a subclass of nn.Linear"
        )
        shapes = {name: tuple(p.shape) for name, p in sorted(layer.named_parameters())}
        check.equal(
            shapes,
            {"bias": (3,), "log_var": (3, 4), "weight": (3, 4)},
            what="the parameters",
        )
        check.close(
            layer.log_var.detach(),
            torch.full((3, 4), -6.0),
            what="log_var at the start",
        )

    def test_in_eval_mode_the_means_compute(self, kata):
        """No noise once training is over: the best single guess for each weight is
        its mean.
        """
        layer, x, found = noisy_layer(kata), torch.randn(5, 4), {}
        for mode in (True, False):
            torch.manual_seed(0)
            found[mode] = layer.train(mode)(x)
        unlike = {
            "the noise of training mode": found[True],
            "the bias is left out": F.linear(x, layer.weight),
        }
        check.close(found[False], F.linear(x, layer.weight, layer.bias), unlike=unlike)
        check.equal(layer(x), layer(x), what="outputs of a second call")

    def test_each_weight_has_its_own_noise(self, kata):
        """Over 2000 calls, the draws of each weight have its mean and its standard
        deviation, exp(log_var / 2).
        """
        layer = noisy_layer(kata)
        with torch.no_grad():
            draws = torch.stack([drawn_weights(layer) for _ in range(2000)])
        mean, std = layer.weight.detach(), (layer.log_var.detach() / 2).exp()
        found = draws.std(dim=0) / std
        what = "standard deviation of the draws, as a multiple of exp(log_var / 2)"
        unlike = {
            "exp(log_var), the variance": std,
            "no noise": torch.zeros(3, 4),
            "draws from torch.rand, between 0 and 1": torch.full((3, 4), 12**-0.5),
        }
        check.close(found, torch.ones(3, 4), rtol=0, atol=0.1, unlike=unlike, what=what)
        check.close(
            (draws.mean(dim=0) - mean) / std,
            torch.zeros(3, 4),
            atol=0.1,
            what="mean of the noise, in stds",
        )
        noise = ((draws - mean) / std).flatten(1)
        shared = (noise.T @ noise / 2000).fill_diagonal_(0).abs().max().item()
        said = (
            f"the noise of two weights has a correlation of {shared:.2f}: each needs "
            "its own"
        )
        check.that(shared < 0.2, said, like="one noise for several weights")

    def test_all_rows_meet_one_draw(self, kata):
        """The draw is a set of weights that could be sent. Equal rows of x have equal
        outputs in one call, and other outputs in the next call.
        """
        layer, x = noisy_layer(kata), torch.ones(2, 3, 4)
        with torch.no_grad():
            first, second = layer(x), layer(x)
        equal = torch.allclose(
            first, first[:1, :1].expand(2, 3, 3), rtol=1e-4, atol=1e-5
        )
        check.that(
            equal,
            "equal rows have different outputs in one call",
            like="each row has noise of its own",
        )
        check.that(
            not torch.allclose(first, second),
            "two calls in training mode have the same outputs: no new draw",
        )

    def test_gradients_go_through_the_draw(self, kata):
        """w = mean + std · noise is a formula in mean and log_var, with the noise as a
        constant. dw/dmean is 1 and dw/dlog_var is std · noise / 2, which is
        (w − mean) / 2. A sampler hides that: `torch.normal` and `sample()` have
        no gradient.
        """
        layer, x = noisy_layer(kata), torch.randn(5, 4)
        x = torch.cat([torch.eye(4), x])
        out = layer(x)
        check.that(out.requires_grad, "the outputs have no autograd graph")
        out.sum().backward()
        for name in ("weight", "log_var"):
            check.that(
                getattr(layer, name).grad is not None, f"no gradient reaches {name}"
            )
        w = (out[:4] - layer.bias).detach().T
        every = x.sum(dim=0).expand(3, 4)
        check.close(layer.weight.grad, every, rtol=1e-3, what="gradient of weight")
        right = every * (w - layer.weight.detach()) / 2
        unlike = {
            "that of exp(log_var) · noise": 2 * right,
            "no gradient": torch.zeros(3, 4),
        }
        check.close(
            layer.log_var.grad,
            right,
            rtol=1e-3,
            atol=1e-4,
            unlike=unlike,
            what="gradient of log_var",
        )

    @pytest.mark.edge
    def test_a_float64_layer_computes_in_float64(self, kata):
        """`layer.double()` turns all parameters into float64, and the outputs with
        them, also in training mode.
        """
        layer, x = noisy_layer(kata).double(), torch.randn(5, 4).double()
        check.dtype(layer(x), torch.float64)
        check.dtype(layer.eval()(x), torch.float64)


def quiet_net(kata):
    """A noisy net whose noise is too small to be seen, so that steps can be repeated
    by hand.
    """
    model = kata.noisy_net([3, 5, 4])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "log_var" in name:
                parameter.copy_(-30 - torch.rand(parameter.shape))
    return model


@functools.cache
def wrong_labels():
    """1200 digits of whose labels 40 % are drawn anew, and which of the labels
    are wrong.
    """
    x, y, _, _ = images()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(10, (len(y),), generator=generator)
    given = torch.where(torch.rand(len(y), generator=generator) < 0.4, drawn, y)
    return x, given, given != y


class TestTrainNoisy:
    X, Y = (
        torch.linspace(0, 99, 90).sin().reshape(30, 3),
        torch.arange(30) ** 2 % 11 % 4,
    )

    def by_hand(
        self,
        fresh,
        *,
        steps,
        price=1.0,
        prior_std=0.3,
        lr=0.03,
        mean=False,
        biases=False,
        clear=True,
        layers=(1, 3),
    ):
        """The losses of a copy of the net and its parameters after some steps of Adam,
        layer by layer.
        """
        model, losses = copy.deepcopy(fresh), []
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        named = dict(model.named_parameters())
        for _ in range(steps):
            hidden = (self.X @ named["1.weight"].T + named["1.bias"]).relu()
            logits = hidden @ named["3.weight"].T + named["3.bias"]
            errors = -logits.log_softmax(dim=1)[torch.arange(30), self.Y] / math.log(2)
            loss = errors.mean() if mean else errors.sum()
            for number in layers:
                m, v = named[f"{number}.weight"], named[f"{number}.log_var"]
                nats = (
                    math.log(prior_std)
                    - v / 2
                    + (v.exp() + m**2) / (2 * prior_std**2)
                    - 0.5
                )
                loss = loss + price * nats.sum() / math.log(2)
                if biases:
                    loss = loss + price * named[f"{number}.bias"].square().sum() / (
                        2 * prior_std**2 * math.log(2)
                    )
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, values(model)

    def test_one_float_per_step(self, kata):
        """A Python float per step can be printed and plotted. A list of tensors would
        keep every step's graph.
        """
        losses = kata.train_noisy(quiet_net(kata), self.X, self.Y, steps=3)
        plain = isinstance(losses, list) and all(type(loss) is float for loss in losses)
        check.that(
            plain,
            f"train_noisy should return a list of floats, not {check.describe(losses)}",
        )
        unlike = {"appended after the loop, or returned inside it": 1}
        check.equal(len(losses), 3, unlike=unlike, what="the number of losses")

    def test_errors_and_weights_are_paid_in_bits(self, kata):
        """The message has two parts: 30 labels, each −log2 p long, and the weights.
        Both are sums of bits. Here the weights count half.
        """
        model = quiet_net(kata)
        fresh = copy.deepcopy(model)
        [right], _ = self.by_hand(fresh, steps=1, price=0.5, prior_std=0.7)
        [errors], _ = self.by_hand(fresh, steps=1, price=0.0)
        unlike = {
            "the mean error of an image": self.by_hand(
                fresh, steps=1, price=0.5, prior_std=0.7, mean=True
            )[0],
            "the price 1": self.by_hand(fresh, steps=1, prior_std=0.7)[0],
            "the prior_std 0.3": self.by_hand(fresh, steps=1, price=0.5)[0],
            "errors in nats": [right + errors * (math.log(2) - 1)],
            "weights for free": [errors],
            "the price before the errors": [0.5 * errors + 2 * (right - errors)],
            "the bits of the first layer alone": self.by_hand(
                fresh, steps=1, price=0.5, prior_std=0.7, layers=(1,)
            )[0],
            "biases with a price": self.by_hand(
                fresh, steps=1, price=0.5, prior_std=0.7, biases=True
            )[0],
        }
        losses = kata.train_noisy(
            model, self.X, self.Y, steps=1, price=0.5, prior_std=0.7
        )
        check.close(
            losses, [right], rtol=1e-4, unlike=unlike, what="the bits of one step"
        )

    def test_every_step_is_that_of_adam(self, kata):
        """Adam moves all parameters down the whole sum: means, log variances and
        biases. Each step uses its own gradients alone. The noise is too small to
        matter here.
        """
        model = quiet_net(kata)
        fresh = copy.deepcopy(model)
        losses = kata.train_noisy(model, self.X, self.Y, steps=6, lr=0.05)
        right, after = self.by_hand(fresh, steps=6, lr=0.05)
        slips = {
            "gradients that were not cleared": {"clear": False},
            "the default learning rate": {"lr": 0.03},
            "weights for free": {"price": 0.0},
            "the mean error of an image": {"mean": True},
        }
        unlike = {
            slip: self.by_hand(fresh, steps=6, **{"lr": 0.05} | options)
            for slip, options in slips.items()
        }
        moved, start = values(model), values(fresh)
        for name in after:
            wrong = {
                slip: found[name] - start[name] for slip, (_, found) in unlike.items()
            }
            what = f"how far {name} has moved in 6 steps of Adam"
            got, far = moved[name] - start[name], after[name] - start[name]
            check.close(got, far, rtol=1e-2, atol=1e-3, unlike=wrong, what=what)
        check.close(losses, right, rtol=1e-3, what="the losses")

    def test_the_defaults(self, kata):
        """400 steps of Adam with a learning rate of 0.03, a price of 1, and a prior
        with a std of 0.3.
        """
        model = quiet_net(kata)
        right, _ = self.by_hand(model, steps=6)
        losses = kata.train_noisy(model, self.X, self.Y)
        check.equal(len(losses), 400, what="the number of losses")
        check.close(losses[:6], right, rtol=1e-3, what="the first losses")

    @pytest.mark.timeout(60)
    def test_a_net_that_pays_for_its_weights_ignores_wrong_labels(self, kata):
        """The key result. A third of 1200 labels is wrong and follows no rule: to learn
        one takes more bits in the weights than it saves. Where weights are free, the
        same net learns most of the wrong labels by heart, and reads new digits worse.
        """
        (x, given, wrong), (_, _, test_x, test_y) = wrong_labels(), images()
        learned, right = {}, {}
        for price in (1.0, 0.0):
            torch.manual_seed(1)
            model = kata.noisy_net([64, 64, 10])
            kata.train_noisy(model, x, given, price=price)
            model.eval()
            learned[price] = kata.accuracy(model, x[wrong], given[wrong])
            right[price] = kata.accuracy(model, test_x, test_y)
        said = (
            "with a price the net answers {0:.3f} of the wrong labels as given, "
            "without one {1:.3f}"
        )
        shown = said.format(learned[1.0], learned[0.0])
        check.that(
            learned[1.0] < 0.15, f"{shown}: with a price it should be under 0.15"
        )
        check.that(learned[0.0] > 0.5, f"{shown}: without one it should be over 0.5")
        shown = (
            f"{right[1.0]:.3f} of the test digits right with a price, "
            f"{right[0.0]:.3f} without"
        )
        check.that(
            right[1.0] > right[0.0] + 0.05, f"{shown}: the price should be worth 0.05"
        )

    @pytest.mark.edge
    def test_the_mode_is_training_and_stays(self, kata):
        """In eval mode there is no noise, and precision would have no price to be
        weighed against.
        """
        model = kata.noisy_net([3, 5, 4]).eval()
        kata.train_noisy(model, self.X, self.Y, steps=2)
        check.that(model.training and model[1].training, "the net is left in eval mode")

    @pytest.mark.edge
    def test_old_gradients_have_no_effect(self, kata):
        """A gradient left from something else is cleared before the first step, too."""
        model = quiet_net(kata)
        fresh = copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 1e5)
        kata.train_noisy(model, self.X, self.Y, steps=1)
        _, after = self.by_hand(fresh, steps=1)
        for name, right in after.items():
            check.close(
                values(model)[name],
                right,
                rtol=1e-2,
                atol=1e-3,
                what=f"{name} after one step",
            )


@pytest.mark.stretch
class TestPruneMaskNumpy:
    def test_the_smallest_are_removed(self, kata):
        """True means kept. Small is what is near 0: a weight of −3 matters as much as
        one of 3.
        """
        weight = np.array([[0.1, -3.0, -0.2], [2.0, 0.4, -0.3]])
        kept = np.array([[False, True, False], [True, True, False]])
        unlike = {
            "pruned by value, not by size": np.array(
                [[True, False, False], [True, True, False]]
            ),
            "inverted: the smallest are kept": ~kept,
        }
        check.equal(kata.prune_mask_numpy(weight, 0.5), kept, unlike=unlike)

    @given(case=shapes_and_sparsities())
    def test_the_right_number_is_removed(self, kata, case):
        """round(sparsity · size) weights go, the smallest ones, in an array of
        any shape.
        """
        shape, sparsity = case
        weight = distinct(*shape).double()
        kept = kept_by_rank(weight.abs(), round(sparsity * weight.numel())).numpy()
        unlike = {
            "the number cut off, not rounded": kept_by_rank(
                weight.abs(), int(sparsity * weight.numel())
            ).numpy()
        }
        got = kata.prune_mask_numpy(weight.numpy(), sparsity)
        check.equal(got, kept, unlike=unlike, what=f"the mask for sparsity {sparsity}")

    def test_agrees_with_the_mask_of_tensors(self, kata):
        """`prune_mask_numpy` and `magnitude_mask` are one function in two libraries."""
        weight = distinct(3, 4, 5)
        mask = kata.prune_mask_numpy(weight.double().numpy(), 0.7)
        check.equal(mask, kata.magnitude_mask(weight, 0.7).numpy())

    @pytest.mark.edge
    def test_of_equal_weights_the_first_go(self, kata):
        """A threshold keeps or removes all equal weights together. Here half of eight
        equal ones have to go.
        """
        kept = np.array([[False] * 4, [True] * 4])
        check.equal(kata.prune_mask_numpy(np.array([[1.0, -1.0] * 2] * 2), 0.5), kept)

    @pytest.mark.edge
    def test_nothing_and_everything(self, kata):
        """Sparsity 0 keeps all weights, 1 removes all."""
        weight = distinct(2, 3).double().numpy()
        check.equal(
            kata.prune_mask_numpy(weight, 0.0),
            np.ones((2, 3), dtype=bool),
            what="the mask for sparsity 0",
        )
        check.equal(
            kata.prune_mask_numpy(weight, 1.0),
            np.zeros((2, 3), dtype=bool),
            what="the mask for sparsity 1",
        )

    @pytest.mark.edge
    def test_a_transposed_array_is_read_only(self, kata):
        """`weight` may be a view with another order in memory, and keeps its values."""
        base = distinct(3, 4).double()
        weight = base.numpy().T
        before = weight.copy()
        check.equal(
            kata.prune_mask_numpy(weight, 0.5), kept_by_rank(base.T.abs(), 6).numpy()
        )
        check.equal(weight, before, what="weight after the call")


class TestMagnitudeMask:
    def test_the_smallest_are_removed(self, kata):
        """True means kept. Small is what is near 0: a weight of −3 matters as much as
        one of 3.
        """
        weight = torch.tensor([[0.1, -3.0, -0.2], [2.0, 0.4, -0.3]])
        kept = torch.tensor([[False, True, False], [True, True, False]])
        unlike = {
            "pruned by value, not by size": torch.tensor(
                [[True, False, False], [True, True, False]]
            ),
            "inverted: the smallest are kept": ~kept,
        }
        check.equal(kata.magnitude_mask(weight, 0.5), kept, unlike=unlike)

    def test_one_ranking_for_the_whole_tensor(self, kata):
        """All weights compete, whatever their row. Here the whole first row is smaller
        than the second.
        """
        weight = torch.tensor([[0.1, -0.2, 0.3, -0.4], [-1.0, 2.0, -3.0, 4.0]])
        kept = torch.tensor([[False] * 4, [True] * 4])
        unlike = {
            "each row pruned on its own": torch.tensor(
                [[False, False, True, True]] * 2
            ),
            "sparsity taken for a share of the largest weight": weight.abs()
            > 0.5 * 4.0,
        }
        check.equal(kata.magnitude_mask(weight, 0.5), kept, unlike=unlike)

    @given(case=shapes_and_sparsities())
    def test_the_right_number_is_removed(self, kata, case):
        """round(sparsity · n) weights go, the smallest ones, in a tensor of
        any shape.
        """
        shape, sparsity = case
        weight = distinct(*shape)
        kept = kept_by_rank(weight.abs(), round(sparsity * weight.numel()))
        unlike = {
            "a quantile as threshold": weight.abs() > weight.abs().quantile(sparsity),
            "sparsity taken for the share to keep": kept_by_rank(
                weight.abs(), round((1 - sparsity) * weight.numel())
            ),
        }
        check.equal(
            kata.magnitude_mask(weight, sparsity),
            kept,
            unlike=unlike,
            what=f"the mask for sparsity {sparsity}",
        )

    def test_a_parameter_can_be_ranked(self, kata):
        """The weights of a net are parameters with a graph. The mask has three
        dimensions here, as they have.
        """
        weight = nn.Parameter(distinct(2, 3, 4))
        check.equal(
            kata.magnitude_mask(weight, 0.25), kept_by_rank(weight.detach().abs(), 6)
        )

    @pytest.mark.edge
    def test_of_equal_weights_the_first_go(self, kata):
        """A threshold keeps or removes all equal weights together. Here 100 of 200
        equal ones have to go.
        """
        kept = torch.arange(200).reshape(10, 20) >= 100
        check.equal(kata.magnitude_mask(torch.ones(10, 20), 0.5), kept)

    @pytest.mark.edge
    def test_nothing_and_everything(self, kata):
        """Sparsity 0 keeps all weights, 1 removes all. There is no 0th smallest value
        to serve as a threshold.
        """
        weight = distinct(3, 4)
        check.equal(
            kata.magnitude_mask(weight, 0.0),
            torch.ones(3, 4, dtype=torch.bool),
            what="the mask for 0",
        )
        check.equal(
            kata.magnitude_mask(weight, 1.0),
            torch.zeros(3, 4, dtype=torch.bool),
            what="the mask for 1",
        )

    @pytest.mark.edge
    def test_a_sparsity_beyond_its_range_is_an_error(self, kata):
        """A sparsity of 90 is a slip for 0.9: nobody wants to remove 90 times
        all weights.
        """
        for sparsity in (-0.1, 1.1, 90):
            with check.raises(ValueError):
                kata.magnitude_mask(torch.ones(4), sparsity)

    @pytest.mark.edge
    def test_a_transposed_weight_is_read_only(self, kata):
        """`weight` may be a view with another order in memory, and keeps its values."""
        weight = distinct(3, 4).T
        with check.unchanged(weight=weight):
            mask = kata.magnitude_mask(weight, 0.5)
        check.equal(mask, kept_by_rank(weight.abs(), 6))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_the_mask_is_where_the_weight_is(self, kata):
        """The mask of a weight on the GPU is on the GPU."""
        check.that(
            kata.magnitude_mask(torch.randn(3, 4).cuda(), 0.5).is_cuda,
            "weight is on the GPU, its mask is not",
        )


def masked_layer(kata):
    """A layer whose mask has taken half of the weights, and all of output 1, and inputs
    for it.
    """
    layer = kata.MaskedLinear(5, 3)
    mask = torch.arange(15).reshape(3, 5) % 2 == 0
    mask[1] = False
    layer.mask.copy_(mask)
    return layer, mask, torch.randn(4, 5)


class TestMaskedLinear:
    def test_a_fresh_layer_is_a_linear_one(self, kata):
        """The same parameters as nn.Linear, of which it is a subclass, and the same
        outputs: all weights are kept.
        """
        layer, x = kata.MaskedLinear(5, 3), torch.randn(4, 5)
        check.that(
            isinstance(layer, nn.Linear), "MaskedLinear is not a subclass of nn.Linear"
        )
        shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
        expected = {"weight": (3, 5), "bias": (3,)}
        unlike = {"the mask is a parameter": expected | {"mask": (3, 5)}}
        check.equal(shapes, expected, unlike=unlike, what="the parameters")
        check.equal(layer.mask, torch.ones(3, 5, dtype=torch.bool), what="mask")
        check.close(layer(x), F.linear(x, layer.weight, layer.bias))

    def test_a_masked_weight_has_no_effect(self, kata):
        """Where mask is False the product has a 0 in place of the weight. Biases are
        not masked: an output without weights is its bias.
        """
        layer, mask, x = masked_layer(kata)
        w, b = layer.weight.detach(), layer.bias.detach()
        expected = torch.stack(
            [
                (x * torch.where(row, kept, 0.0)).sum(dim=1)
                for row, kept in zip(mask, w, strict=True)
            ]
        )
        unlike = {
            "the mask is not used": x @ w.T + b,
            "the mask is inverted": x @ (w * ~mask).T + b,
            "the bias is left out": expected.T,
            "no bias where all weights are masked": expected.T + b * mask.any(dim=1),
        }
        check.close(layer(x), expected.T + b, unlike=unlike)

    def test_a_masked_weight_has_no_gradient(self, kata):
        """A weight without effect has a gradient of 0. The kept weights have theirs."""
        layer, mask, x = masked_layer(kata)
        layer(x).sum().backward()
        check.that(layer.weight.grad is not None, "no gradient reaches weight")
        every = x.sum(dim=0).expand(3, 5)
        unlike = {"the gradient without a mask": every}
        check.close(
            layer.weight.grad, every * mask, unlike=unlike, what="gradient of weight"
        )

    def test_the_stored_weight_keeps_its_values(self, kata):
        """The mask belongs to the product. A weight that is overwritten with 0 is lost:
        lifting the mask, or rewinding to the values before, would find nothing.
        """
        layer, _, x = masked_layer(kata)
        before = layer.weight.detach().clone()
        layer(x)
        check.equal(layer.weight.detach(), before, what="weight after a call")
        layer.mask.fill_(True)
        check.close(
            layer(x), F.linear(x, before, layer.bias), what="outputs without the mask"
        )

    def test_twenty_steps_of_adam_revive_nothing(self, kata):
        """Adam's momentum also moves weights whose gradient is 0, if they had one
        before the mask came. Such a weight must have no effect whatever its value. Here
        no output looks at feature 2 any more.
        """
        layer, x = kata.MaskedLinear(5, 3), torch.randn(8, 5)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
        for step in range(25):
            if step == 5:
                layer.mask[:, 2] = False
            optimizer.zero_grad()
            (layer(x) - 3.0).square().mean().backward()
            optimizer.step()
        other = x.clone()
        other[:, 2] = 100.0
        check.close(
            layer(other), layer(x), what="outputs for another value of feature 2"
        )

    def test_the_mask_is_saved_and_not_trained(self, kata):
        """A buffer is what is saved and is not trained. A plain attribute is lost in
        state_dict; a parameter would go to the optimizer.
        """
        layer, mask, _ = masked_layer(kata)
        names = sorted(layer.state_dict())
        is_plain = "mask" in vars(layer)
        check.that(
            "mask" in names,
            f"state_dict has {', '.join(names)}: no mask",
            like="a plain attribute" * is_plain,
        )
        check.that("mask" not in dict(layer.named_parameters()), "mask is a parameter")
        fresh = kata.MaskedLinear(5, 3)
        fresh.load_state_dict(layer.state_dict())
        check.equal(fresh.mask, mask, what="mask after load_state_dict")

    @pytest.mark.edge
    def test_a_float64_layer_computes_in_float64(self, kata):
        """`layer.double()` turns weight and bias into float64, and the outputs with
        them. The mask stays bool.
        """
        layer, mask, x = masked_layer(kata)
        layer, x = layer.double(), x.double()
        check.equal(layer.mask, mask, what="mask")
        got = layer(x)
        check.dtype(got, torch.float64)
        check.close(got, x @ torch.where(mask, layer.weight, 0.0).T + layer.bias)

    @pytest.mark.edge
    def test_a_copy_has_a_mask_of_its_own(self, kata):
        """Pruning a deep copy, or another layer, does not prune the original. Each
        entry can be set.
        """
        layer, mask, _ = masked_layer(kata)
        other, fresh = copy.deepcopy(layer), kata.MaskedLinear(5, 3)
        other.mask[0, 0] = False
        fresh.mask[1, 1] = False
        check.equal(layer.mask, mask, what="mask of the original")
        check.equal(
            int(fresh.mask.sum()),
            14,
            what="kept weights of another layer after one entry was set to False",
        )


class TestMaskedMLP:
    def test_the_layers_are_masked_ones(self, kata):
        """One layer from each size to the next, in a ModuleList: a plain list would
        hide their parameters.
        """
        model = kata.MaskedMLP([6, 5, 4, 3])
        check.that(
            isinstance(model.layers, nn.ModuleList),
            f"layers is {check.describe(model.layers)}",
        )
        check.that(
            all(isinstance(layer, kata.MaskedLinear) for layer in model.layers),
            "a layer is no MaskedLinear",
        )
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        expected = {}
        for number, (n, m) in enumerate([(6, 5), (5, 4), (4, 3)]):
            expected |= {
                f"layers.{number}.weight": (m, n),
                f"layers.{number}.bias": (m,),
            }
        check.equal(shapes, expected, what="the parameters")

    def test_relu_between_the_layers(self, kata):
        """Negative values between two layers become 0. The last layer's outputs are
        logits, which may be negative.
        """
        model, x = wire(kata.MaskedMLP([6, 8, 7, 4])), torch.randn(9, 6)
        steps, linear = x.double(), x.double()
        for number, layer in enumerate(model.layers):
            weight, bias = (
                torch.where(layer.mask, layer.weight.detach(), 0.0).double(),
                layer.bias.detach().double(),
            )
            steps = (steps.clamp(min=0.0) if number else steps) @ weight.T + bias
            linear = linear @ weight.T + bias
        unlike = {
            "a ReLU after the last layer": steps.clamp(min=0.0),
            "no ReLU": linear,
        }
        check.close(model(x), steps, unlike=unlike, what="logits")

    def test_images_are_flattened(self, kata):
        """From dimension 1 on: each image becomes one row, and the batch stays."""
        model, x = kata.MaskedMLP(SIZES), torch.randn(7, 1, 2, 3)
        got = model(x)
        check.shape(got, (7, 4), what="logits")
        check.close(got, model(x.reshape(7, 6)), what="logits")

    @pytest.mark.edge
    def test_two_sizes_make_one_layer(self, kata):
        """A single layer is first and last at once: no ReLU at all."""
        model, x = kata.MaskedMLP([6, 4]), torch.randn(7, 6)
        check.equal(len(model.layers), 1, what="the number of layers")
        check.close(model(x), F.linear(x, model.layers[0].weight, model.layers[0].bias))


def ranked(
    model,
    count,
    key=lambda model: [layer.weight.detach().abs() for layer in model.layers],
):
    """The masks that remove the `count` smallest sizes of all layers together."""
    sizes = key(model)
    kept = kept_by_rank(torch.cat([size.flatten() for size in sizes]), count)
    return [
        part.view_as(s)
        for part, s in zip(kept.split([s.numel() for s in sizes]), sizes, strict=True)
    ]


@st.composite
def rising(draw):
    """Some sparsities, each above the one before, that remove whole numbers of
    50 weights.
    """
    return [
        count / N
        for count in sorted(draw(st.sets(st.integers(1, 49), min_size=2, max_size=4)))
    ]


class TestGlobalPrune:
    def test_one_threshold_for_all_layers(self, kata):
        """The weights of all layers compete together. The first layer has the smaller
        ones here and loses more of them; with a threshold per layer both would lose
        60 %.
        """
        model = small_net(kata)
        expected = ranked(model, 30)
        each = [
            kept_by_rank(layer.weight.detach().abs(), round(0.6 * layer.weight.numel()))
            for layer in model.layers
        ]
        unlike = {
            "a threshold per layer": each,
            "pruned by value, not by size": ranked(
                model, 30, lambda m: [layer.weight.detach() for layer in m.layers]
            ),
        }
        kata.global_prune(model, 0.6)
        check.equal(masks(model), expected, unlike=unlike, what="masks")

    def test_biases_are_left_alone(self, kata):
        """Biases are neither ranked nor counted, though they are tiny here. 17 of 50
        weights go: round(0.333 · 50).
        """
        model = small_net(kata)
        kata.global_prune(model, 0.333)
        check.equal(
            pruned(model),
            17,
            unlike={"of the 59 parameters": 20, "biases took places": 8},
            what="pruned weights",
        )

    def test_the_share_reached_is_returned(self, kata):
        """17 of 50 weights are 0.34, though 0.333 was asked for."""
        share = kata.global_prune(small_net(kata), 0.333)
        check.that(
            type(share) is float,
            f"the share is {check.describe(share)}, it should be a float",
        )
        unlike = {"the share that was asked for": 0.333, "the share that is kept": 0.66}
        check.close(share, 0.34, rtol=1e-5, unlike=unlike, what="the share")

    def test_a_second_pruning_counts_the_first(self, kata):
        """0.5 and then 0.8 make 0.8 of all weights, 40 of 50. 0.8 of the remaining ones
        would be 45.
        """
        model = small_net(kata)
        kata.global_prune(model, 0.5)
        expected = ranked(model, 40)
        share = kata.global_prune(model, 0.8)
        check.equal(
            pruned(model),
            40,
            unlike={"0.8 of the weights that were left": 45},
            what="pruned weights",
        )
        check.close(
            share, 0.8, rtol=1e-5, unlike={"0.8 of the rest": 0.9}, what="the share"
        )
        check.equal(masks(model), expected, what="masks")

    def test_pruned_weights_never_come_back(self, kata):
        """The optimizer may have moved a pruned weight. Its value has no effect, so it
        does not compete any more: here all pruned weights are 100, and the next 15 are
        to be chosen among the other 25.
        """
        model = small_net(kata)
        kata.global_prune(model, 0.5)
        first, sizes = (
            masks(model),
            [layer.weight.detach().abs() for layer in model.layers],
        )
        alive = [
            size.masked_fill(~mask, 0.0)
            for size, mask in zip(sizes, first, strict=True)
        ]
        expected = ranked(model, 40, lambda _: alive)
        with torch.no_grad():
            for layer, mask in zip(model.layers, first, strict=True):
                layer.weight.masked_fill_(~mask, 100.0)
        kata.global_prune(model, 0.8)
        back = sum(
            int((now & ~then).sum())
            for now, then in zip(masks(model), first, strict=True)
        )
        check.that(
            back == 0,
            f"{back} pruned weights came back: stored values of pruned weights compete",
        )
        check.equal(masks(model), expected, what="masks")

    @given(sparsities=rising())
    def test_step_by_step_is_at_once(self, kata, sparsities):
        """While no training comes between, several steps lead to the same masks as one
        step to the last sparsity.
        """
        model = small_net(kata)
        expected = ranked(model, round(sparsities[-1] * N))
        for sparsity in sparsities:
            kata.global_prune(model, sparsity)
        check.equal(masks(model), expected, what="masks")

    def test_values_stay(self, kata):
        """Only the masks change. The weights keep their values, also the pruned ones,
        and so do the biases.
        """
        model = small_net(kata)
        before = values(model)
        kata.global_prune(model, 0.6)
        zeroed = {
            f"layers.{n}.weight": before[f"layers.{n}.weight"] * mask
            for n, mask in enumerate(masks(model))
        }
        unlike = {"pruned weights are written over with 0": before | zeroed}
        check.equal(values(model), before, unlike=unlike, what="parameters")

    @pytest.mark.edge
    def test_kept_weights_of_zero_go_next(self, kata):
        """A kept weight of exactly 0 and a pruned one look alike once weight and mask
        are multiplied. Ten weights are pruned here and count. Five more go: five of the
        six that are 0.
        """
        model = small_net(kata)
        # ten weights of the second layer, which are ranked last
        model.layers[1].mask[:2] = False
        with torch.no_grad():
            model.layers[0].weight[0] = 0.0  # six of the first layer
        share = kata.global_prune(model, 0.3)
        check.equal(pruned(model), 15, what="pruned weights")
        check.close(share, 0.3, rtol=1e-5, what="the share")
        check.equal(
            int(model.layers[0].mask[0].sum()), 1, what="weights of 0 that are kept"
        )

    @pytest.mark.edge
    def test_a_lower_sparsity_changes_nothing(self, kata):
        """60 % are pruned. Asking for 30 % afterwards, or for 0, brings
        nothing back.
        """
        model = small_net(kata)
        kata.global_prune(model, 0.6)
        before = masks(model)
        for sparsity in (0.3, 0.0):
            check.close(
                kata.global_prune(model, sparsity), 0.6, rtol=1e-5, what="the share"
            )
            check.equal(masks(model), before, what="masks")

    @pytest.mark.edge
    def test_everything_can_be_pruned(self, kata):
        """With sparsity 1 only the biases are left."""
        model = small_net(kata)
        check.close(kata.global_prune(model, 1.0), 1.0, rtol=1e-5, what="the share")
        check.equal(pruned(model), N, what="pruned weights")

    @pytest.mark.edge
    def test_a_sparsity_beyond_its_range_is_an_error(self, kata):
        """As in `magnitude_mask`."""
        for sparsity in (-0.1, 1.1):
            with check.raises(ValueError):
                kata.global_prune(small_net(kata), sparsity)


def moved_and_wired(kata):
    """A net whose parameters have moved and whose masks were drawn, and the state that
    it started from.
    """
    model = kata.MaskedMLP(SIZES)
    init_state = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape))
    return wire(model), init_state


@pytest.mark.stretch
class TestRewind:
    def test_start_values_come_back(self, kata):
        """All parameters have the values of init_state again: kept weights, pruned
        weights and biases.
        """
        model, init_state = moved_and_wired(kata)
        moved = values(model)
        kata.rewind(model, init_state)
        expected = {name: init_state[name] for name in moved}
        zeroed = {
            f"layers.{n}.weight": expected[f"layers.{n}.weight"] * mask
            for n, mask in enumerate(masks(model))
        }
        unlike = {
            "pruned weights are 0": expected | zeroed,
            "the weights alone, not the biases": {
                n: moved[n] if "bias" in n else expected[n] for n in moved
            },
        }
        check.equal(values(model), expected, unlike=unlike, what="parameters")

    def test_the_wiring_stays(self, kata):
        """The masks are the ticket. init_state has masks, too, all True: to load the
        whole state would unprune the net.
        """
        model, init_state = moved_and_wired(kata)
        before = masks(model)
        kata.rewind(model, init_state)
        unlike = {
            "the masks of init_state, all True": [
                torch.ones_like(mask) for mask in before
            ]
        }
        check.equal(masks(model), before, unlike=unlike, what="masks")

    def test_init_state_is_copied(self, kata):
        """Training goes on in place after a rewind. init_state must not move with the
        parameters: the next ticket needs it.
        """
        model, init_state = moved_and_wired(kata)
        right = copy.deepcopy(init_state)
        kata.rewind(model, init_state)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        check.equal(
            dict(init_state), dict(right), what="init_state after more training"
        )

    @pytest.mark.edge
    def test_an_optimizer_still_holds_the_parameters(self, kata):
        """New Parameter objects would be unknown to an optimizer that was
        built before.
        """
        model, init_state = moved_and_wired(kata)
        before = list(model.parameters())
        kata.rewind(model, init_state)
        same = all(a is b for a, b in zip(before, model.parameters(), strict=True))
        check.that(same, "the net has new parameter objects")
        check.that(
            all(p.requires_grad and p.is_leaf for p in model.parameters()),
            "a parameter is no trainable leaf",
        )

    @pytest.mark.edge
    def test_init_state_needs_no_masks(self, kata):
        """A dict of the parameters alone is enough."""
        model, init_state = moved_and_wired(kata)
        before, start = masks(model), {name: init_state[name] for name in values(model)}
        kata.rewind(model, start)
        check.equal(masks(model), before, what="masks")
        check.equal(values(model), start, what="parameters")


@pytest.mark.stretch
class TestRandomizeMasks:
    def test_each_layer_keeps_its_count(self, kata):
        """A fair comparison has as many weights in each layer. A draw over all layers
        together would move some from layer to layer.
        """
        model = kata.MaskedMLP([20, 30, 10])
        for layer, kept in zip(model.layers, (37, 211), strict=True):
            layer.mask.copy_(
                (torch.arange(layer.mask.numel()) < kept).view_as(layer.mask)
            )
        kata.randomize_masks(model)
        for number, (layer, shape) in enumerate(
            zip(model.layers, [(30, 20), (10, 30)], strict=True)
        ):
            check.shape(layer.mask, shape, what=f"mask of layer {number}")
            check.dtype(layer.mask, torch.bool, what=f"mask of layer {number}")
        check.equal(
            [int(layer.mask.sum()) for layer in model.layers],
            [37, 211],
            what="kept weights per layer",
        )

    def test_all_places_are_equally_likely(self, kata):
        """Two of six weights are kept, so each of the six in a third of the draws."""
        model, counts = kata.MaskedMLP([3, 2]), torch.zeros(2, 3)
        model.layers[0].mask.copy_(
            torch.tensor([[True, True, False], [False, False, False]])
        )
        for _ in range(300):
            kata.randomize_masks(model)
            counts += model.layers[0].mask
        shares = [round(share, 2) for share in (counts / 300).flatten().tolist()]
        fair = all(abs(share - 1 / 3) < 0.13 for share in shares)
        like = "only rows change places" if not counts[:, 2].any() else ""
        like = (
            "the mask stays as it was"
            if counts.flatten().tolist() == [300, 300, 0, 0, 0, 0]
            else like
        )
        said = (
            f"over 300 draws the six places are kept in shares of {shares}, all "
            "should be near 0.33"
        )
        check.that(fair, said, like=like)

    def test_layers_are_wired_independently(self, kata):
        """Two layers of the same shape and the same count get two different masks."""
        model = wire(kata.MaskedMLP([8, 8, 8]))
        model.layers[1].mask.copy_(model.layers[0].mask)
        kata.randomize_masks(model, torch.Generator().manual_seed(1))
        check.that(not torch.equal(*masks(model)), "both layers have the same mask")

    def test_parameters_stay(self, kata):
        """A random wiring starts from the very values from which the ticket starts."""
        model = wire(kata.MaskedMLP(SIZES))
        before = values(model)
        kata.randomize_masks(model)
        check.equal(values(model), before, what="parameters")

    def test_same_generator_same_masks(self, kata):
        """With generators of the same seed the masks are the same, whatever the state
        of the global one. A generator of another seed draws other ones.
        """
        model = wire(kata.MaskedMLP([20, 30, 10]))
        drawn = []
        for seed in (1, 1, 2):
            other = copy.deepcopy(model)
            kata.randomize_masks(other, torch.Generator().manual_seed(seed))
            drawn.append(masks(other))
        check.equal(
            drawn[1], drawn[0], what="masks of a second generator of the same seed"
        )
        differs = any(
            not torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True)
        )
        check.that(
            differs, "a generator of another seed draws the same masks: it is not used"
        )

    @pytest.mark.timeout(60)
    def test_the_ticket_beats_a_random_wiring(self, kata):
        """The key result of Frankle & Carbin: nine tenths of a trained net's weights
        are pruned step by step, the rest goes back to its start values and learns
        again. As many weights from the same start, wired at random, learn less in the
        same 50 steps.
        """
        ticket, generator = (
            kata.MaskedMLP([64, 64, 32, 10]),
            torch.Generator().manual_seed(1),
        )
        init_state = copy.deepcopy(ticket.state_dict())
        taught(kata, ticket, 100, generator)
        for sparsity in (0.5, 0.75, 0.85, 0.9):
            kata.global_prune(ticket, sparsity)
            taught(kata, ticket, 40, generator)
        kata.rewind(ticket, init_state)
        other = copy.deepcopy(ticket)
        kata.randomize_masks(other, generator)
        won, drawn = (taught(kata, model, 50, generator) for model in (ticket, other))
        check.that(
            won > 0.8,
            f"the ticket gets {won:.3f} of the test digits right, it should be more "
            "than 0.8",
        )
        said = f"the ticket gets {won:.3f} right, the random wiring {drawn:.3f}"
        check.that(won - drawn > 0.1, f"{said}: the ticket should be better by 0.1")

    @pytest.mark.edge
    def test_full_and_empty_masks_stay(self, kata):
        """With all weights kept, or none, there is only one wiring."""
        model = kata.MaskedMLP(SIZES)
        model.layers[1].mask.fill_(False)
        before = masks(model)
        kata.randomize_masks(model)
        check.equal(masks(model), before, what="masks")


class Noting(nn.Module):
    """A linear classifier that notes the inputs and the mode of each forward pass."""

    def __init__(self, features=3, classes=4):
        super().__init__()
        self.linear = nn.Linear(features, classes)
        self.read, self.modes = [], []

    def forward(self, x: Tensor) -> Tensor:
        self.read.append(x.detach().clone())
        self.modes.append(self.training)
        return self.linear(x)


# Samples whose feature 0 is their number, divided by 10, and labels that follow
# no order.
X = torch.cat(
    [torch.arange(80.0)[:, None] / 10, torch.linspace(0, 99, 160).sin().reshape(80, 2)],
    dim=1,
)
Y = torch.arange(80) ** 2 % 11 % 4


def places(batch):
    """The numbers of the samples of X in a batch."""
    return (batch[:, 0] * 10).round().long()


class TestTrainClassifier(training.Contract):
    """Adam on random batches."""

    model, default_lr = Noting, 0.005
    slips = {"AdamW": {"optimizer": torch.optim.AdamW}}

    def train(self, kata, model, **options):
        return kata.train_classifier(model, X[:40], Y[:40], batch=8, **options)

    def loss(self, model, x):
        return -model(x).log_softmax(dim=1)[torch.arange(len(x)), Y[places(x)]].mean()

    def wrong_losses(self, model, x):
        logits = model(x)
        return {
            "labels that were not drawn with the images": F.cross_entropy(
                logits, Y[: len(x)]
            ),
            "a softmax before the cross-entropy": F.cross_entropy(
                logits.softmax(dim=1), Y[places(x)]
            ),
        }

    def test_each_step_reads_a_random_batch(self, kata):
        """`batch` samples per step, other ones in the next step, and from anywhere in
        the data.
        """
        model = Noting()
        self.train(kata, model, steps=30)
        check.equal(
            {tuple(batch.shape) for batch in model.read},
            {(8, 3)},
            what="shapes of the batches",
        )
        check.that(
            not torch.equal(model.read[0], model.read[1]),
            "the first two batches are the same",
        )
        check.that(
            places(model.read[0]).tolist() != list(range(8)),
            "the first batch is the first 8 samples, in order",
        )
        read = len(set(torch.cat(model.read).T[0].tolist()))
        check.that(read > 30, f"30 batches of 8 contain {read} of the 40 samples")

    def test_the_defaults(self, kata):
        """200 steps of 64 images with a learning rate of 0.005."""
        model = Noting()
        fresh = copy.deepcopy(model)
        losses = kata.train_classifier(model, X, Y)
        check.equal(len(losses), 200, what="the number of losses")
        check.equal(tuple(model.read[0].shape), (64, 3), what="shape of a batch")
        expected, _ = self.by_hand(fresh, model.read[:10], lr=0.005)
        check.close(losses[9], expected[9], rtol=1e-3, what="loss of step 9")

    @pytest.mark.timeout(60)
    def test_pruning_hurts_and_training_heals(self, kata):
        """The key result: a net of 6464 weights learns the digits. Without nine tenths
        of its weights it fails; after 120 more steps the remaining tenth is 1 to 5
        points worse than all were.
        """
        model, (x, y, test_x, test_y) = kata.MaskedMLP([64, 64, 32, 10]), images()
        generator = torch.Generator().manual_seed(0)
        kata.train_classifier(model, x, y, steps=150, generator=generator)
        before = kata.accuracy(model, test_x, test_y)
        check.that(
            before > 0.9,
            f"after 150 steps {before:.3f} of the test digits are right, it should be "
            "over 0.9",
        )
        kata.global_prune(model, 0.9)
        at_once, wiring = kata.accuracy(model, test_x, test_y), masks(model)
        kata.train_classifier(model, x, y, steps=120, generator=generator)
        after = kata.accuracy(model, test_x, test_y)
        said = (
            f"{before:.3f} of the test digits right before pruning, {at_once:.3f} "
            f"after, {after:.3f} after training"
        )
        check.that(at_once < 0.75, f"{said}: pruning alone should bring it under 0.75")
        check.that(
            after > before - 0.06,
            f"{said}: training should bring it back to within 0.06",
        )
        check.equal(masks(model), wiring, what="masks after training")


def choices(n, kept):
    """log2 of the number of ways to choose `kept` of n things, as a sum."""
    return sum(math.log2((n - i) / (i + 1)) for i in range(kept))


def keep_first(model, *counts):
    """The model with only the first few weights of each layer kept."""
    for layer, count in zip(model.layers, counts, strict=True):
        layer.mask.copy_((torch.arange(layer.mask.numel()) < count).view_as(layer.mask))
    return model


class TestDescriptionLength:
    def test_a_whole_net_costs_its_parameters(self, kata):
        """Where nothing is pruned there is nothing to choose: 50 weights and 9 biases,
        32 bits each by default.
        """
        model = kata.MaskedMLP(SIZES)
        unlike = {
            "the biases are left out": 50 * 32,
            "one bit per weight for the mask": 59 * 32 + 50,
            "the pruned weights are sent, not the kept ones": 9 * 32,
        }
        bits = kata.description_length(model)
        check.close(bits, 59 * 32, rtol=1e-5, unlike=unlike, what="bits")
        check.close(
            kata.description_length(model, 8),
            59 * 8,
            rtol=1e-5,
            what="bits at 8 per weight",
        )

    def test_a_layer_by_hand(self, kata):
        """A layer (8, 6) with 5 of 48 weights kept, at 16 bits: (5 + 8) · 16 for the
        numbers, and log2 C(48, 5) = log2 1,712,304 = 20.7 to say which five.
        """
        model = keep_first(kata.MaskedMLP([6, 8]), 5)
        numbers = (5 + 8) * 16
        unlike = {
            "the choice is not counted": numbers,
            "the natural log": numbers + math.log(1_712_304),
            "log2 n per kept weight": numbers + 5 * math.log2(48),
            "one bit per weight for the mask": numbers + 48,
            "the pruned weights are sent": (43 + 8) * 16 + math.log2(1_712_304),
        }
        bits = kata.description_length(model, 16)
        check.close(
            bits, numbers + math.log2(1_712_304), rtol=1e-5, unlike=unlike, what="bits"
        )

    def test_each_layer_has_its_own_choice(self, kata):
        """The receiver learns for each layer which of its weights are kept. One choice
        over all layers together has more possibilities.
        """
        model = keep_first(kata.MaskedMLP(SIZES), 7, 13)
        numbers = (7 + 5 + 13 + 4) * 32
        unlike = {"one choice over all layers together": numbers + choices(50, 20)}
        expected = numbers + choices(30, 7) + choices(20, 13)
        check.close(
            kata.description_length(model),
            expected,
            rtol=1e-5,
            unlike=unlike,
            what="bits",
        )

    def test_large_layers_do_not_overflow(self, kata):
        """646 of 6464 weights: C(6464, 646) has 911 digits, too many for a float. The
        weights cost 23,696 bits.
        """
        model = keep_first(kata.MaskedMLP([101, 64]), 646)
        bits = kata.description_length(model)
        check.close(
            bits, 646 * 32 + 64 * 32 + choices(6464, 646), rtol=1e-5, what="bits"
        )

    def test_values_do_not_matter(self, kata):
        """A kept weight costs its bits whatever its value, also 0, and a pruned one
        costs none.
        """
        model = keep_first(kata.MaskedMLP(SIZES), 7, 13)
        before = kata.description_length(model)
        with torch.no_grad():
            model.layers[0].weight.zero_()
            model.layers[1].weight.fill_(100.0)
        check.close(
            kata.description_length(model), before, what="bits with other values"
        )

    @pytest.mark.edge
    def test_an_empty_layer_costs_its_biases(self, kata):
        """There is one way to keep nothing: log2 1 = 0."""
        model = keep_first(kata.MaskedMLP(SIZES), 0, 20)
        check.close(
            kata.description_length(model), (5 + 20 + 4) * 32, rtol=1e-5, what="bits"
        )

    @pytest.mark.edge
    def test_a_plain_float_comes_back(self, kata):
        """A Python float, neither a tensor nor an array, and not an int for a
        whole net.
        """
        bits = kata.description_length(kata.MaskedMLP(SIZES))
        check.that(
            type(bits) is float,
            f"the bits are {check.describe(bits)}, they should be a float",
        )
