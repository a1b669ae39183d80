"""Specs of kata papers/17: the KL term in PyTorch and NumPy, a sample with gradients,
the VAE, its loss, training, and the line between two codes.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from grader.specs import check, training

B, P, H, Z = 5, 12, 7, 3  # images, pixels, hidden units, latent numbers


def codes(dtype=torch.float32):
    """Random means (B, Z), and log variances from -6 to 4."""
    return torch.randn(B, Z, dtype=dtype), torch.rand(B, Z, dtype=dtype) * 10 - 6


def kl_oracle(mu, logvar):
    """The KL per row in float64, by PyTorch's own distributions."""
    code = Normal(mu.double(), logvar.double().exp().sqrt())
    return kl_divergence(
        code, Normal(torch.zeros(()).double(), torch.ones(()).double())
    ).sum(dim=1)


def kl_slips(mu, logvar):
    """By name, what some slips lead to."""
    mu, logvar = mu.double(), logvar.double()
    right = kl_oracle(mu, logvar)
    return {
        "without the factor 1/2": 2 * right,
        "the mean over the last dimension, not the sum": right / mu.shape[1],
        "the sign flipped": -right,
        "the sign of logvar flipped": 0.5
        * (mu**2 + logvar.exp() + logvar - 1).sum(dim=1),
        "logvar read as the logarithm of the standard deviation": kl_oracle(
            mu, 2 * logvar
        ),
        "exp is missing: logvar is the logarithm of the variance": 0.5
        * (mu**2 - 1).sum(dim=1),
        "without the 1": right + mu.shape[1] / 2,
        "mu not squared": right - 0.5 * (mu**2 - mu).sum(dim=1),
        "summed over the batch as well": right.sum(),
        "summed over the batch, not over the latent numbers": 0.5
        * (mu**2 + logvar.exp() - logvar - 1).sum(dim=0),
    }


class TestGaussianKl:
    def test_known_values(self, kata):
        """N(0, 1) itself is 0 away. A mean of 2 costs 2. A variance of 4, or
        logvar = ln 4, costs (4 − ln 4 − 1) / 2. There is one number per row.
        """
        mu = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
        logvar = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, math.log(4)]])
        expected = torch.tensor([0.0, 2.0, (3 - math.log(4)) / 2])
        check.close(kata.gaussian_kl(mu, logvar), expected, unlike=kl_slips(mu, logvar))

    def test_is_the_mean_of_log_q_minus_log_p(self, kata):
        """This is what a KL is: draw codes z from q = N(mu, exp(logvar)), and average
        log q(z) − log p(z), p being N(0, I). With 100,000 draws the closed form and
        this average agree within 3 %.
        """
        mu, logvar = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[-2.0, 1.0, 0.3]])
        code = Normal(mu, (logvar / 2).exp())
        z = code.sample((100_000,))
        expected = (
            (code.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(dim=-1).mean(dim=0)
        )
        check.close(
            kata.gaussian_kl(mu, logvar),
            expected,
            rtol=0.03,
            unlike=kl_slips(mu, logvar),
        )

    def test_values_and_gradients_agree_with_the_definition(self, kata):
        """Narrow and wide codes, logvar from −6 to 4. The gradient is what pulls codes
        towards N(0, I).
        """
        mu, logvar = codes()
        check.close(
            kata.gaussian_kl(mu, logvar),
            kl_oracle(mu, logvar),
            unlike=kl_slips(mu, logvar),
        )
        check.gradients(kata.gaussian_kl, kl_oracle, mu, logvar)

    def test_is_written_without_torch_distributions(self, kata):
        """The closed form is short. Write it from mu and logvar."""
        names = (
            "kl_divergence",
            "kl.kl_divergence",
            "Normal",
            "normal.Normal",
            "MultivariateNormal",
        )
        with check.forbidden(kata, *(f"torch.distributions.{name}" for name in names)):
            kata.gaussian_kl(*codes())

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """Right to nine digits, where float32 has seven."""
        mu, logvar = codes(torch.float64)
        got = kata.gaussian_kl(mu, logvar)
        check.dtype(got, torch.float64)
        check.close(got, kl_oracle(mu, logvar), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_neither_input_is_written_to(self, kata):
        """`mu` and `logvar` are needed once more, for the sample."""
        mu, logvar = codes()
        with check.unchanged(mu=mu, logvar=logvar):
            kata.gaussian_kl(mu, logvar)


@pytest.mark.stretch
class TestGaussianKlNumpy:
    def test_known_values(self, kata):
        """As in PyTorch: 0 for N(0, 1), 2 for a mean of 2, and (4 − ln 4 − 1) / 2 for a
        variance of 4.
        """
        mu = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
        logvar = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, math.log(4)]])
        slips = kl_slips(torch.from_numpy(mu), torch.from_numpy(logvar))
        unlike = {name: wrong.numpy() for name, wrong in slips.items()}
        got = kata.gaussian_kl_numpy(mu, logvar)
        check.close(
            got,
            np.array([0.0, 2.0, (3 - math.log(4)) / 2]),
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    def test_agrees_with_the_definition(self, kata):
        """One number per row, summed over the latent numbers."""
        mu, logvar = codes(torch.float64)
        unlike = {name: wrong.numpy() for name, wrong in kl_slips(mu, logvar).items()}
        got = kata.gaussian_kl_numpy(mu.numpy(), logvar.numpy())
        check.close(
            got, kl_oracle(mu, logvar).numpy(), rtol=1e-4, atol=1e-5, unlike=unlike
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        mu, logvar = codes(torch.float64)
        got = kata.gaussian_kl_numpy(mu.numpy(), logvar.numpy())
        check.close(got, kl_oracle(mu, logvar).numpy(), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_neither_input_is_written_to(self, kata):
        """`-=` on an input would change the caller's array."""
        arrays = [part.numpy() for part in codes(torch.float64)]
        before = [array.copy() for array in arrays]
        kata.gaussian_kl_numpy(*arrays)
        for name, array, old in zip(("mu", "logvar"), arrays, before, strict=True):
            check.equal(array, old, what=f"{name} after the call")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class TestReparameterize:
    def test_samples_have_the_right_mean_and_spread(self, kata):
        """5000 samples per element: their mean is mu, and their standard deviation is
        exp(logvar / 2). logvar is the logarithm of the variance, so exp(logvar) would
        be the square of that.
        """
        mu, std = torch.tensor([-2.0, 0.0, 3.0]), torch.tensor([0.5, 1.5, 3.0])
        samples = kata.reparameterize(
            mu.expand(5000, 3), (2 * std.log()).expand(5000, 3)
        )
        check.shape(samples, (5000, 3))
        unlike = {
            "exp(logvar), which is the variance": std**2,
            "logvar itself": (2 * std.log()).abs(),
            "noise that is uniform, as from rand, not normal": std / math.sqrt(12),
            "the same for all, as if logvar were not used": torch.ones(3),
        }
        check.close(
            samples.std(dim=0),
            std,
            rtol=0.06,
            unlike=unlike,
            what="the standard deviation of 5000 samples",
        )
        check.close(
            samples.mean(dim=0), mu, rtol=0, atol=0.24, what="the mean of 5000 samples"
        )

    def test_each_element_has_noise_of_its_own(self, kata):
        """One noise for a whole row would move all latent numbers of an image together.
        One for the whole batch would move all images alike.
        """
        distinct = len(
            kata.reparameterize(torch.zeros(B, Z), torch.zeros(B, Z)).unique()
        )
        check.that(distinct == B * Z, f"the {B * Z} elements share {distinct} noises")

    def test_every_call_draws_anew(self, kata):
        """A code that is drawn only once is a fixed point, not a distribution."""
        mu, logvar = codes()
        first, second = kata.reparameterize(mu, logvar), kata.reparameterize(mu, logvar)
        check.that(
            not torch.equal(first, second), "two calls return the very same sample"
        )

    def test_gradients_reach_mu_and_logvar(self, kata):
        """The noise is a constant. So the sample moves with mu at slope 1, and with
        logvar at slope noise · exp(logvar / 2) / 2, which is (sample − mu) / 2.
        """
        mu, logvar = (part.requires_grad_() for part in codes())
        sample = kata.reparameterize(mu, logvar)
        check.that(
            sample.requires_grad,
            "the sample has no autograd graph: the encoder can learn nothing from it",
        )
        to_mu, to_logvar = torch.autograd.grad(
            sample.sum(), (mu, logvar), allow_unused=True
        )
        for name, slope in (("mu", to_mu), ("logvar", to_logvar)):
            check.that(slope is not None, f"no gradient reaches {name}")
        unlike = {
            "0, as from torch.normal, which passes no gradient on": torch.zeros(B, Z)
        }
        check.close(to_mu, torch.ones(B, Z), unlike=unlike, what="d sample / d mu")
        expected = (sample - mu).detach() / 2
        check.close(
            to_logvar,
            expected,
            unlike={"without the 1/2": 2 * expected},
            what="d sample / d logvar",
        )

    def test_the_generator_decides_the_sample(self, kata):
        """Generators of one seed give the same sample, whatever the state of the
        global one.
        """
        mu, logvar = codes()
        first = kata.reparameterize(mu, logvar, seeded(3))
        torch.randn(1)
        check.close(
            kata.reparameterize(mu, logvar, seeded(3)),
            first,
            what="the sample with a generator of that seed",
        )
        other = kata.reparameterize(mu, logvar, seeded(4))
        check.that(
            not torch.equal(other, first),
            "a generator of another seed gives the very same sample",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
    def test_the_sample_has_the_dtype_of_mu(self, kata, dtype):
        """The noise is made in the dtype of `mu`: float32 noise would make a bfloat16
        model compute in float32.
        """
        check.dtype(kata.reparameterize(*codes(dtype)), dtype)

    @pytest.mark.edge
    def test_the_global_generator_is_left_alone(self, kata):
        """Whoever hands over a generator wants the other draws of the program to stay
        as they are.
        """
        before = torch.get_rng_state()
        kata.reparameterize(torch.zeros(B, Z), torch.zeros(B, Z), seeded(3))
        check.that(
            torch.equal(torch.get_rng_state(), before),
            "the state of the global generator has changed",
        )


def encoded(model, x):
    """mu and logvar from the parameters of a VAE, in float64."""
    weight, bias = (parameter.double() for parameter in model.encoder.parameters())
    hidden = F.linear(x.double(), weight, bias).relu()
    heads = model.to_mu, model.to_logvar
    return tuple(
        F.linear(hidden, head.weight.double(), head.bias.double()) for head in heads
    )


def decoded(model, z):
    """The logits from the parameters of a VAE, in float64."""
    weight, bias, last_weight, last_bias = (
        parameter.double() for parameter in model.decoder.parameters()
    )
    return F.linear(F.linear(z.double(), weight, bias).relu(), last_weight, last_bias)


def codes_read(model, x):
    """The codes that the decoder gets in `model(x)`: the input of its first layer."""
    seen = []
    first = next(
        part for part in model.decoder.modules() if isinstance(part, nn.Linear)
    )
    handle = first.register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0].detach().clone())
    )
    model(x)
    handle.remove()
    check.that(len(seen) == 1, f"forward decodes {len(seen)} times, expected once")
    return seen[0]


class TestVAE:
    def test_its_parameters_are_five_layers(self, kata):
        """encoder P → H, to_mu and to_logvar H → Z each, decoder Z → H → P."""
        model = kata.VAE(P, H, Z)
        parts = {
            "encoder": ((H, P),),
            "to_mu": ((Z, H),),
            "to_logvar": ((Z, H),),
            "decoder": ((H, Z), (P, H)),
        }
        for name, shapes in parts.items():
            check.that(hasattr(model, name), f"the model has no attribute {name}")
            expected = [size for shape in shapes for size in (shape, shape[:1])]
            got = [
                tuple(parameter.shape)
                for parameter in getattr(model, name).parameters()
            ]
            check.equal(got, expected, what=f"shapes of the parameters of {name}")
        count = len(list(model.parameters()))
        check.that(
            count == 10,
            f"the model has {count} parameters, expected five weights and five biases",
        )

    def test_encode_returns_mean_and_log_variance(self, kata):
        """Both heads read the same hidden layer, after its relu. Both may be negative:
        logvar is a logarithm.
        """
        model, x = kata.VAE(P, H, Z), torch.rand(B, P)
        with torch.no_grad():
            mu, logvar = encoded(model, x)
            unlike = {
                "logvar first": (logvar, mu),
                "the variance, not its logarithm": (mu, logvar.exp()),
                "a relu of logvar": (mu, logvar.relu()),
            }
            check.close(model.encode(x), (mu, logvar), unlike=unlike, what="encode(x)")

    def test_decode_returns_logits(self, kata):
        """The loss takes logits, so there is no sigmoid at the end, and values may
        be negative.
        """
        model, z = kata.VAE(P, H, Z), torch.randn(B, Z)
        with torch.no_grad():
            logits = decoded(model, z)
            unlike = {
                "a sigmoid of the logits": logits.sigmoid(),
                "a relu of the logits": logits.relu(),
            }
            check.close(model.decode(z), logits, unlike=unlike, what="decode(z)")

    def test_eval_mode_decodes_the_mean(self, kata):
        """Without noise the answer is the same each time: the logits of the mean, with
        the mean and logvar.
        """
        model, x = kata.VAE(P, H, Z).eval(), torch.rand(B, P)
        with torch.no_grad():
            mu, logvar = encoded(model, x)
            again = torch.allclose(codes_read(model, x), codes_read(model, x))
            check.that(
                again,
                "two calls in eval mode decode two codes",
                like="samples in eval mode as well",
            )
            check.close(
                codes_read(model, x), mu, what="the codes that are decoded in eval mode"
            )
            check.close(
                model(x),
                (decoded(model, mu), mu, logvar),
                what="the result in eval mode",
            )

    def test_training_mode_decodes_a_sample(self, kata):
        """5000 copies of one image have one mean and one logvar, and 5000 codes: a
        sample for each.
        """
        model, x = kata.VAE(P, H, Z), torch.rand(1, P).expand(5000, -1)
        with torch.no_grad():
            model.to_logvar.bias.copy_(torch.tensor([-2.0, 0.5, 2.0]))
            mu, logvar = (part[0] for part in encoded(model, x))
            torch.manual_seed(4)
            z = codes_read(model, x)
            check.shape(z, (5000, Z), what="the codes that are decoded")
            torch.manual_seed(4)
            unlike = {"the sample, not its mean": z}
            check.close(
                model(x)[1],
                mu.expand(5000, Z),
                unlike=unlike,
                what="mu in training mode",
            )
            std = (logvar / 2).exp()
            unlike = {"0: the mean is decoded": torch.zeros(Z), "the variance": std**2}
            check.close(
                z.std(dim=0),
                std,
                rtol=0.06,
                unlike=unlike,
                what="the standard deviation of 5000 codes",
            )
            check.close(
                (z.mean(dim=0) - mu) / std,
                torch.zeros(Z),
                atol=0.08,
                what="(mean of codes − mu) / std",
            )

    def test_the_generator_decides_the_codes(self, kata):
        """forward hands its generator on: with one seed the logits are the same."""
        model, x = kata.VAE(P, H, Z), torch.rand(B, P)
        with torch.no_grad():
            first, again, other = (model(x, seeded(seed))[0] for seed in (3, 3, 4))
        check.close(
            again, first, what="the logits with a second generator of the same seed"
        )
        check.that(
            not torch.equal(other, first),
            "a generator of another seed gives the very same logits",
        )

    def test_logits_teach_all_parts(self, kata):
        """The sample is a function of mu and logvar, so the reconstruction alone trains
        the encoder and both heads.
        """
        model = kata.VAE(P, 32, Z)
        logits, *_ = model(torch.rand(B, P))
        check.that(
            logits.requires_grad,
            "the logits have no autograd graph: nothing can be learned",
        )
        names, parameters = zip(*model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(
            (logits * torch.randn(B, P)).sum(), parameters, allow_unused=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            check.that(
                gradient is not None and bool(gradient.any()),
                f"no gradient reaches {name}",
            )

    @pytest.mark.edge
    def test_eval_mode_draws_no_random_number(self, kata):
        """A sample that is drawn and not used still moves the generator."""
        model, generator = kata.VAE(P, H, Z).eval(), seeded(3)
        before = generator.get_state()
        model(torch.rand(B, P), generator)
        check.that(
            torch.equal(generator.get_state(), before),
            "the generator has moved on in eval mode",
        )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """`model.double()` is enough: nothing on the way is made in float32."""
        model, x = (
            kata.VAE(P, H, Z).double().eval(),
            torch.rand(B, P, dtype=torch.float64),
        )
        with torch.no_grad():
            check.dtype(
                model.train()(x)[0], torch.float64, what="logits in training mode"
            )
            mu, logvar = encoded(model, x)
            check.close(
                model.eval()(x), (decoded(model, mu), mu, logvar), rtol=0, atol=1e-9
            )


def costs(logits, x, mu, logvar):
    """The cost of every pixel (B, ...) in float64, by the definition: −x log
    p − (1 − x) log(1 − p).
    """
    chance = logits.double().sigmoid()
    return -x.double() * chance.log() - (1 - x.double()) * (1 - chance).log()


def elbo_oracle(logits, x, mu, logvar, beta=1.0):
    """loss, reconstruction and kl in float64."""
    reconstruction = costs(logits, x, mu, logvar).flatten(1).sum(dim=1).mean()
    kl = kl_oracle(mu, logvar).mean()
    return reconstruction + beta * kl, reconstruction, kl


def elbo_case(images=B, *shape):
    """logits and pixels of `shape`, and codes."""
    shape = shape or (P,)
    return (
        torch.randn(images, *shape),
        torch.rand(images, *shape),
        torch.randn(images, Z),
        torch.randn(images, Z),
    )


def assembled(reconstruction, kl, beta):
    return reconstruction + beta * kl, reconstruction, kl


class TestNegativeElbo:
    def test_an_image_that_is_guessed(self, kata):
        """Logits of 0 are chances of 1/2, so each of 12 pixels costs ln 2, whatever it
        is. Codes at N(0, I) cost 0, so the loss is 12 ln 2 for any number of images.
        """
        code = torch.zeros(B, Z)
        x, cost = torch.rand(B, P), torch.tensor(P * math.log(2))
        halves = torch.full((B, P), 0.5)
        unlike = {
            "the mean over the pixels": torch.tensor(math.log(2)),
            "summed over the batch": B * cost,
            "the sigmoid applied twice": F.binary_cross_entropy_with_logits(
                halves, x, reduction="sum"
            )
            / B,
            "the squared error": (halves - x).square().sum() / B,
        }
        got = kata.negative_elbo(torch.zeros(B, P), x, code, code)
        check.that(
            isinstance(got, tuple) and len(got) == 3,
            f"expected three values, not {check.describe(got)}",
        )
        for name, value, right in zip(
            ("loss", "reconstruction", "kl"), got, (cost, cost, 0 * cost), strict=True
        ):
            check.close(value, right, unlike=unlike, what=name)

    def test_pixels_and_codes_by_the_definition(self, kata):
        """reconstruction is −x log p − (1 − x) log(1 − p), p the sigmoid of the logits,
        summed over pixels. kl is `gaussian_kl`. Both are averaged over the batch, and
        kl is returned without beta.
        """
        case, beta = elbo_case(), 2.5
        loss, reconstruction, kl = elbo_oracle(*case, beta)
        probabilities = (
            F.binary_cross_entropy_with_logits(
                case[0].sigmoid(), case[1], reduction="sum"
            )
            / B
        )
        unlike = {
            "the mean over the pixels": assembled(reconstruction / P, kl, beta),
            "summed over the batch": (B * loss, B * reconstruction, B * kl),
            "kl summed over the batch": assembled(reconstruction, B * kl, beta),
            "kl already multiplied by beta": (loss, reconstruction, beta * kl),
            "beta not used": assembled(reconstruction, kl, 1),
            "beta on the reconstruction": (
                beta * reconstruction + kl,
                reconstruction,
                kl,
            ),
            "the sigmoid applied twice": assembled(probabilities, kl, beta),
            "the squared error": assembled(
                (case[0].sigmoid() - case[1]).square().sum() / B, kl, beta
            ),
            "kl subtracted": assembled(reconstruction, kl, -beta),
        }
        check.close(
            kata.negative_elbo(*case, beta),
            (loss, reconstruction, kl),
            unlike=unlike,
            what="negative_elbo",
        )

    def test_two_copies_of_a_batch_cost_the_same(self, kata):
        """The values are those of a mean image, so they do not depend on the size of
        the batch: three images, or six that are two copies of them.
        """
        case = elbo_case(3)
        once = kata.negative_elbo(*case)
        twice = kata.negative_elbo(*(torch.cat([part, part]) for part in case))
        doubled = {
            "twice as much, as for a sum over the batch": tuple(
                2 * value for value in once
            )
        }
        check.close(
            tuple(twice), tuple(once), unlike=doubled, what="values for six images"
        )

    def test_beta_weighs_the_kl_and_is_1_by_default(self, kata):
        """With beta = 0 only pixels count, as in a plain autoencoder. By default both
        count alike.
        """
        case = elbo_case()
        _, reconstruction, kl = elbo_oracle(*case)
        check.close(
            kata.negative_elbo(*case, 0.0)[0],
            reconstruction,
            what="the loss with beta = 0",
        )
        check.close(
            kata.negative_elbo(*case)[0],
            reconstruction + kl,
            what="the loss without beta given",
        )

    def test_gradients_go_to_logits_and_codes(self, kata):
        """The decoder learns through the logits, the encoder through mu and logvar
        as well.
        """
        logits, x, mu, logvar = elbo_case()
        check.gradients(
            lambda logits, mu, logvar: kata.negative_elbo(logits, x, mu, logvar, 2.5)[
                0
            ],
            lambda logits, mu, logvar: elbo_oracle(logits, x, mu, logvar, 2.5)[0],
            logits,
            mu,
            logvar,
        )

    @pytest.mark.edge
    def test_images_may_have_any_shape(self, kata):
        """A convolutional decoder returns (B, 1, 8, 8). All but the first dimension
        are pixels.
        """
        case = elbo_case(B, 1, 8, 8)
        expected, rows = elbo_oracle(*case), costs(*case).sum(dim=-1)
        unlike = {
            "the mean over the rows of all images": assembled(
                rows.mean(), expected[2], 1.0
            )
        }
        check.close(
            kata.negative_elbo(*case), expected, unlike=unlike, what="negative_elbo"
        )

    @pytest.mark.edge
    def test_large_logits_are_finite(self, kata):
        """The sigmoid of −200 rounds to 0, and log 0 is infinite. The cross-entropy
        from logits is not: a pixel of 1 with a logit of −200 costs 200.
        """
        logits = torch.tensor([[200.0, -200.0]])
        code = torch.zeros(1, Z)
        got = kata.negative_elbo(logits, torch.tensor([[0.0, 1.0]]), code, code)
        check.close(got[1], torch.tensor(400.0), what="reconstruction")


class Witness(nn.Module):
    """Stands in for a VAE with one layer on each side. It keeps the images and the
    noise of each call.
    """

    def __init__(self):
        super().__init__()
        self.to_mu, self.decoder = nn.Linear(P, Z), nn.Linear(Z, P)
        self.read, self.modes = [], []

    def forward(self, x, generator=None):
        noise = torch.randn(len(x), Z, generator=generator)
        self.read.append((x.detach().clone(), noise))
        self.modes.append(self.training)
        return self.answer(x, noise)

    def answer(self, x, noise):
        """logits, mu and logvar."""
        mu = self.to_mu(x)
        return self.decoder(mu + noise), mu, -mu


def judged(model, batch, beta):
    """loss, reconstruction and kl of a Witness."""
    x, noise = batch
    logits, mu, logvar = model.answer(x, noise)
    return elbo_oracle(logits, x, mu, logvar, beta)


IMAGES = torch.rand(20, P, generator=torch.Generator().manual_seed(0))


def blob(row, column):
    """One image (64,) with a blob at a place."""
    places = torch.arange(8)
    return torch.exp(
        -((places[:, None] - row) ** 2 + (places - column) ** 2) / (2 * 1.2**2)
    ).flatten()


@functools.cache
def trained(kata, beta, steps):
    """A VAE after training on 1000 blobs: the model, and its reconstruction and kl on
    new blobs in eval mode.
    """
    torch.manual_seed(1)
    model, generator = kata.VAE(64, 64, 2), seeded(1)
    images, _ = kata.make_blobs(1000, generator=generator)
    kata.train_vae(model, images, steps=steps, lr=0.01, beta=beta, generator=generator)
    model.eval()
    images, _ = kata.make_blobs(1000, generator=generator)
    with torch.no_grad():
        logits, mu, logvar = model(images)
        _, reconstruction, kl = elbo_oracle(logits, images, mu, logvar)
    return model, reconstruction.item(), kl.item()


class TestTrainVae(training.Contract):
    """Steps of Adam, here with beta = 2.5. The model draws its noise with the
    generator, too.
    """

    model, default_lr = Witness, 3e-3
    slips = {"beta = 1": {"beta": 1.0}, "training without the kl": {"beta": 0.0}}

    def train(self, kata, model, **options):
        return kata.train_vae(model, IMAGES, batch_size=4, beta=2.5, **options)["loss"]

    def loss(self, model, batch, beta=2.5):
        return judged(model, batch, beta)[0]

    def test_every_step_draws_a_batch_of_images(self, kata):
        """batch_size images per step, with replacement: from three images a batch of
        eight can be drawn. All of them come up, and the batches differ.
        """
        model, images = Witness(), torch.rand(3, P)
        kata.train_vae(model, images, steps=6, batch_size=8)
        check.that(
            len(model.read) == 6,
            f"the model was called {len(model.read)} times in 6 steps",
        )
        numbers = []
        for x, _ in model.read:
            check.shape(x, (8, P), what="images that the model was called with")
            same = (x[:, None] == images).all(dim=2)
            check.that(
                bool(same.any(dim=1).all()),
                "the model was called with an image that is not in `images`",
            )
            numbers.append(same.int().argmax(dim=1).tolist())
        counts = [sum(batch.count(number) for batch in numbers) for number in range(3)]
        check.that(
            min(counts) > 0, f"in 48 draws the three images came up {counts} times"
        )
        check.that(
            any(batch != numbers[0] for batch in numbers),
            "all batches are the same: draw a new one per step",
        )

    def test_history_holds_all_three_values_per_step(self, kata):
        """Keys loss, reconstruction and kl, each with one float per step. These are the
        values of `negative_elbo` before the update: the first ones are those of the
        untrained model.
        """
        model = Witness()
        fresh = copy.deepcopy(model)
        history = kata.train_vae(
            model, IMAGES, steps=2, batch_size=4, lr=0.05, beta=2.5
        )
        batch, names = model.read[0], ("loss", "reconstruction", "kl")
        with torch.no_grad():
            expected, later, unweighted = (
                [value.item() for value in judged(one, batch, beta)]
                for one, beta in ((fresh, 2.5), (model, 2.5), (fresh, 1.0))
            )
        check.that(
            isinstance(history, dict), f"expected a dict, not {check.describe(history)}"
        )
        check.that(
            set(history) == set(names),
            f"expected the keys {', '.join(names)}, not {', '.join(history)}",
        )
        for name, right, late, plain in zip(
            names, expected, later, unweighted, strict=True
        ):
            values = history[name]
            check.that(
                len(values) == 2,
                f"history[{name!r}] has {len(values)} values for 2 steps",
            )
            check.that(
                all(type(v) is float for v in values),
                f"history[{name!r}] should hold floats: {values}",
            )
            unlike = {
                "the value after the updates": late,
                "the value with beta = 1": plain,
                "the loss": expected[0],
            }
            check.close(
                values[0], right, rtol=1e-4, unlike=unlike, what=f"history[{name!r}][0]"
            )

    @pytest.mark.timeout(60)
    def test_two_latent_numbers_are_enough_for_blobs(self, kata):
        """The key result: after 300 steps new blobs cost less than 16.5 nats. The mean
        image costs 21.5, and no decoder can go below 14.0. The codes carry more than
        one nat of it.
        """
        _, reconstruction, kl = trained(kata, 1.0, 300)
        check.that(
            reconstruction < 16.5,
            f"new blobs cost {reconstruction:.1f} nats, expected < 16.5",
        )
        check.that(kl > 1, f"the kl of new blobs is {kl:.2f} nats, expected > 1")

    @pytest.mark.timeout(60)
    def test_a_large_beta_empties_the_codes(self, kata):
        """Posterior collapse: if each nat in the code costs 30, the cheapest code says
        nothing. Every image has the code N(0, I), and every reconstruction is the
        mean image.
        """
        _, _, kl = trained(kata, 30.0, 150)
        check.that(
            kl < 0.2,
            f"with beta = 30 the kl of new blobs is {kl:.2f} nats, expected < 0.2",
        )


class Probe(nn.Module):
    """Stands in for a trained VAE: both maps are curved, and its codes are wide."""

    def __init__(self):
        super().__init__()
        self.to_code = nn.Parameter(torch.randn(P, Z))
        self.to_pixels = nn.Parameter(torch.randn(Z, P))

    def encode(self, x):
        mu = 2 * (x @ self.to_code).tanh()
        return mu, torch.zeros_like(mu)

    def decode(self, z):
        return 3 * (z @ self.to_pixels).sin()

    def forward(self, x, generator=None):
        mu, logvar = self.encode(x)
        z = mu + torch.randn(mu.shape, generator=generator) if self.training else mu
        return self.decode(z), mu, logvar


def line(model, start, end, num_points):
    """The images between two images, code by code, the right ones first; then by what
    some slips lead to.
    """
    shares = [i / (num_points - 1) for i in range(num_points)]
    with torch.no_grad():
        first, last = (model.encode(image)[0] for image in (start, end))
        logits = torch.stack(
            [model.decode(first * (1 - share) + last * share) for share in shares]
        )
        ends = [model.decode(code).sigmoid() for code in (first, last)]
        mixed = [model.encode(start * (1 - share) + end * share)[0] for share in shares]
        without_end = [
            first + (last - first) * i / num_points for i in range(num_points)
        ]
        inside = [
            first + (last - first) * i / (num_points + 1)
            for i in range(1, num_points + 1)
        ]
        return {
            "right": logits.sigmoid(),
            "logits, without a sigmoid": logits,
            "a mixture of the two images, pixel by pixel": torch.stack(
                [start * (1 - share) + end * share for share in shares]
            ),
            "a mixture of the two decoded images": torch.stack(
                [ends[0] * (1 - share) + ends[1] * share for share in shares]
            ),
            "mixed images, encoded and decoded": torch.stack(
                [model.decode(code).sigmoid() for code in mixed]
            ),
            "from end to start": logits.sigmoid().flip(0),
            "the end left out": torch.stack(
                [model.decode(code).sigmoid() for code in without_end]
            ),
            "both ends left out": torch.stack(
                [model.decode(code).sigmoid() for code in inside]
            ),
        }


@pytest.mark.stretch
class TestInterpolate:
    def test_two_calls_agree_in_training_mode(self, kata):
        """The ends are means, so nothing is drawn, even if the model is still in
        training mode.
        """
        model, (start, end) = Probe().train(), torch.rand(2, P)
        first, second = (kata.interpolate(model, start, end, 4) for _ in range(2))
        says = "two calls with the same images have two results"
        check.that(
            torch.allclose(first, second),
            says,
            like="a line between samples, not between means",
        )

    def test_both_ends_are_the_decoded_means(self, kata):
        """The first image is decode(mu of start), the last is decode(mu of end), each
        as an image in [0, 1].
        """
        model, (start, end) = Probe(), torch.rand(2, P)
        unlike = line(model, start, end, 2)
        del (
            unlike["a mixture of the two decoded images"],
            unlike["mixed images, encoded and decoded"],
        )
        check.close(
            kata.interpolate(model, start, end, 2), unlike.pop("right"), unlike=unlike
        )

    def test_points_are_evenly_spaced_between_the_codes(self, kata):
        """The line is drawn in latent space, not between images: a mixture of two
        images shows both of them, faded.
        """
        model, (start, end) = Probe(), torch.rand(2, P)
        unlike = line(model, start, end, 5)
        check.close(
            kata.interpolate(model, start, end, 5), unlike.pop("right"), unlike=unlike
        )

    @pytest.mark.timeout(60)
    def test_a_blob_moves_from_one_place_to_the_other(self, kata):
        """The key result: between a blob at (2, 2) and one at (5, 5) there is one blob
        that moves. The sum of its coordinates grows with every image, by more than 4
        in all.
        """
        model = trained(kata, 1.0, 300)[0]
        images = kata.interpolate(model, blob(2, 2), blob(5, 5), 7)
        sums = kata.centre_of_mass(images.detach()).sum(dim=1)
        shown = ", ".join(f"{value:.1f}" for value in sums)
        check.that(
            bool((sums.diff() > 0).all()),
            f"row + column of the blob does not grow at every step: {shown}",
        )
        check.that(
            sums[-1] - sums[0] > 4,
            f"row + column of the blob grows by too little, expected > 4: {shown}",
        )

    @pytest.mark.edge
    def test_no_graph_is_built(self, kata):
        """Images to look at need no gradients. The mode of the model stays as
        it was.
        """
        model, (start, end) = Probe().train(), torch.rand(2, P)
        got = kata.interpolate(model, start, end, 3)
        check.that(not got.requires_grad, "the images hold an autograd graph")
        check.that(
            model.training,
            "the model was in training mode before the call, and is in eval mode now",
        )

    @pytest.mark.edge
    def test_one_point_is_an_error(self, kata):
        """A line has two ends. One point would have to leave one of them out."""
        with check.raises(ValueError):
            kata.interpolate(Probe(), torch.rand(P), torch.rand(P), 1)
