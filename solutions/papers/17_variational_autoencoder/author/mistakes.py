"""Wrong solutions of papers/17 that its specs must catch."""

from grader.course.mistakes import Mistake

KL = "return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=-1)"
NOISE = (
    "noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, "
    "device=mu.device)"
)
SAMPLE = "return mu + noise * (0.5 * logvar).exp()"
HEADS = "return self.to_mu(hidden), self.to_logvar(hidden)"
CODE = "z = reparameterize(mu, logvar, generator) if self.training else mu"
PIXELS = """F.binary_cross_entropy_with_logits(
        logits, x, reduction="sum"
    ) / len(x)"""
VALUES = "return reconstruction + beta * kl, reconstruction, kl"
BATCH = "batch = images[torch.randint(len(images), (batch_size,), generator=generator)]"
CALL = "logits, mu, logvar = model(batch, generator)"
LINE = "return model.decode((1 - share) * first + share * last).sigmoid()"

MISTAKES = [
    Mistake(
        "mean over the latent numbers",
        was=KL,
        now=KL.replace(".sum(", ".mean("),
        caught_by="TestGaussianKl::test_known_values",
        says="looks like the mean over the last dimension, not the sum",
    ),
    Mistake(
        "the factor 1/2 forgotten",
        was=KL,
        now=KL.replace("0.5 * ", ""),
        caught_by="TestGaussianKl::test_known_values",
        says="looks like without the factor 1/2",
    ),
    Mistake(
        "logvar read as log std",
        was=KL,
        now=(
            "return (0.5 * (mu.square() + (2 * logvar).exp() - 1) - logvar).sum(dim=-1)"
        ),
        caught_by="test_is_the_mean_of_log_q_minus_log_p",
        says="looks like logvar read as the logarithm of the standard deviation",
    ),
    Mistake(
        "NumPy: the squares written over mu",
        was="(mu**2 + np.exp(logvar) - logvar - 1)",
        now="(np.square(mu, out=mu) + np.exp(logvar) - logvar - 1)",
        caught_by="TestGaussianKlNumpy::test_neither_input_is_written_to",
        says="mu after the call",
        edge=True,
    ),
    Mistake(
        "variance for the standard deviation",
        was=SAMPLE,
        now="return mu + noise * logvar.exp()",
        caught_by="test_samples_have_the_right_mean_and_spread",
        says="looks like exp(logvar), which is the variance",
    ),
    Mistake(
        "torch.normal with mu and std",
        was=f"{NOISE}\n    {SAMPLE}",
        now="return torch.normal(mu, (0.5 * logvar).exp(), generator=generator)",
        caught_by="test_gradients_reach_mu_and_logvar",
        says="looks like 0, as from torch.normal",
    ),
    Mistake(
        "one noise per row",
        was="torch.randn(mu.shape, generator",
        now="torch.randn(mu.shape[:-1] + (1,), generator",
        caught_by="test_each_element_has_noise_of_its_own",
        says="the 15 elements share 5 noises",
    ),
    Mistake(
        "the generator not used",
        was=NOISE,
        now="noise = torch.randn_like(mu)",
        caught_by="TestReparameterize::test_the_generator_decides_the_sample",
        says="the sample with a generator of that seed",
    ),
    Mistake(
        "heads exchanged",
        was=HEADS,
        now="return self.to_logvar(hidden), self.to_mu(hidden)",
        caught_by="test_encode_returns_mean_and_log_variance",
        says="looks like logvar first",
    ),
    Mistake(
        "a sigmoid in the decoder",
        was="return self.decoder(z)",
        now="return self.decoder(z).sigmoid()",
        caught_by="test_decode_returns_logits",
        says="looks like a sigmoid of the logits",
    ),
    Mistake(
        "samples in eval mode as well",
        was=CODE,
        now="z = reparameterize(mu, logvar, generator)",
        caught_by="test_eval_mode_decodes_the_mean",
        says="looks like samples in eval mode as well",
    ),
    Mistake(
        "the mean in training mode, too",
        was=CODE,
        now="z = mu",
        caught_by="test_training_mode_decodes_a_sample",
        says="looks like 0: the mean is decoded",
    ),
    Mistake(
        "mean over the pixels",
        was=PIXELS,
        now="F.binary_cross_entropy_with_logits(logits, x)",
        caught_by="test_pixels_and_codes_by_the_definition",
        says="looks like the mean over the pixels",
    ),
    Mistake(
        "sum over the batch",
        was=PIXELS,
        now=PIXELS.removesuffix(" / len(x)"),
        caught_by="test_an_image_that_is_guessed",
        says="looks like summed over the batch",
    ),
    Mistake(
        "kl returned times beta",
        was=VALUES,
        now="return reconstruction + beta * kl, reconstruction, beta * kl",
        caught_by="test_pixels_and_codes_by_the_definition",
        says="looks like kl already multiplied by beta",
    ),
    Mistake(
        "beta not handed on",
        was="negative_elbo(logits, batch, mu, logvar, beta)",
        now="negative_elbo(logits, batch, mu, logvar)",
        caught_by="TestTrainVae::test_every_step_is_that_of_the_optimizer",
        says="looks like beta = 1",
    ),
    Mistake(
        "the generator not handed to the model",
        was=CALL,
        now="logits, mu, logvar = model(batch)",
        caught_by="test_the_generator_alone_draws",
        says="losses with a second generator of the same seed",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainVae::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "the first images, batch after batch",
        was=BATCH,
        now="batch = images[:batch_size]",
        caught_by="test_every_step_draws_a_batch_of_images",
        says="images that the model was called with",
    ),
    Mistake(
        "images mixed instead of codes",
        was=LINE,
        now="return (1 - share) * start + share * end",
        caught_by="test_points_are_evenly_spaced_between_the_codes",
        says="looks like a mixture of the two images, pixel by pixel",
    ),
    Mistake(
        "the ends are samples",
        was="(first, last), _ = model.encode(torch.stack([start, end]))",
        now="first, last = reparameterize(*model.encode(torch.stack([start, end])))",
        caught_by="test_two_calls_agree_in_training_mode",
        says="looks like a line between samples, not between means",
    ),
    # edges
    Mistake(
        "log of the sigmoid",
        was=PIXELS,
        now=(
            "-(x * logits.sigmoid().log() + (1 - x) * "
            "(-logits).sigmoid().log()).sum() / len(x)"
        ),
        caught_by="test_large_logits_are_finite",
        says="got inf, expected 400",
        edge=True,
    ),
    Mistake(
        "pixels of a row only",
        was=PIXELS,
        now=(
            "F.binary_cross_entropy_with_logits(logits, x, "
            'reduction="none").sum(dim=-1).mean()'
        ),
        caught_by="test_images_may_have_any_shape",
        says="looks like the mean over the rows of all images",
        edge=True,
    ),
    Mistake(
        "a graph under the images",
        was="    with torch.no_grad():\n        (first, last)",
        now="    if True:\n        (first, last)",
        caught_by="test_no_graph_is_built",
        says="the images hold an autograd graph",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n    history",
        now="    history",
        caught_by="TestTrainVae::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]
