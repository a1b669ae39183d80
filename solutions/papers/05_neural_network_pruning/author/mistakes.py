"""Wrong solutions of papers/05 that its specs must catch."""

from grader.course.mistakes import Mistake

NUMPY_ORDER = "mask[\n        np.argsort(np.abs(weight)"
MASK = 'self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))'
PRODUCT = "return F.linear(x, self.weight * self.mask, self.bias)"
DEEP = """        x = self.layers[0](x.flatten(1))
        for layer in self.layers[1:]:
            x = layer(F.relu(x))
        return x"""
SCORES = """scores = [
        layer.weight.abs().masked_fill(~layer.mask, -1.0) for layer in model.layers
    ]"""
KEEP = "keep = _largest(torch.cat([score.flatten() for score in scores]), sparsity)"
COPY = "parameter.copy_(init_state[name])"
REWIND = f"""        for name, parameter in model.named_parameters():
            {COPY}"""
SHUFFLE = """        order = torch.randperm(layer.mask.numel(), generator=generator).to(
            layer.mask.device
        )
        layer.mask.copy_(layer.mask.flatten()[order].view_as(layer.mask))"""
NATS = """nats = (
        math.log(prior_std)
        - log_var / 2
        + ((variance + mean.square()) / prior_std**2 - 1) / 2
    )"""
DRAW = "weight = weight + (self.log_var / 2).exp() * torch.randn_like(weight)"
ERRORS = 'errors = F.cross_entropy(model(x), y, reduction="sum") / math.log(2)'
MESSAGE = """bits = errors + price * sum(
            kl_bits(layer.weight, layer.log_var, prior_std) for layer in layers
        )"""
BITS = """bits += (kept + layer.bias.numel()) * bits_per_weight + math.log2(
            math.comb(n, kept)
        )"""

MISTAKES = [
    # kl_bits
    Mistake(
        "nats for bits",
        was="return nats.sum() / math.log(2)",
        now="return nats.sum()",
        caught_by="TestKlBits::test_one_weight_by_hand",
        says="looks like nats",
    ),
    Mistake(
        "the divergence the other way round",
        was=NATS,
        now=(
            "nats = log_var / 2 - math.log(prior_std) + ((prior_std**2 + "
            "mean.square()) / variance - 1) / 2"
        ),
        caught_by="TestKlBits::test_one_weight_by_hand",
        says="looks like the divergence from posterior to prior",
    ),
    Mistake(
        "the mean over the weights",
        was="return nats.sum() / math.log(2)",
        now="return nats.mean() / math.log(2)",
        caught_by="TestKlBits::test_weights_are_added_up",
        says="looks like the mean over the weights",
    ),
    # NoisyLinear
    Mistake(
        "the variance as standard deviation",
        was=DRAW,
        now=DRAW.replace("(self.log_var / 2)", "self.log_var"),
        caught_by="TestNoisyLinear::test_each_weight_has_its_own_noise",
        says="looks like exp(log_var), the variance",
    ),
    Mistake(
        "a sample that carries no gradient to the weight",
        was=DRAW,
        now=(
            "weight = torch.distributions.Normal(weight, (self.log_var / "
            "2).exp()).sample()"
        ),
        caught_by="TestNoisyLinear::test_gradients_go_through_the_draw",
        says="no gradient reaches weight",
    ),
    Mistake(
        "one noise for all weights",
        was="torch.randn_like(weight)",
        now="torch.randn(())",
        caught_by="TestNoisyLinear::test_each_weight_has_its_own_noise",
        says="looks like one noise for several weights",
    ),
    # train_noisy
    Mistake(
        "the mean error of an image",
        was=ERRORS,
        now="errors = F.cross_entropy(model(x), y) / math.log(2)",
        caught_by="TestTrainNoisy::test_errors_and_weights_are_paid_in_bits",
        says="looks like the mean error of an image",
    ),
    Mistake(
        "the price left out",
        was=MESSAGE,
        now=MESSAGE.replace("price * ", ""),
        caught_by="TestTrainNoisy::test_errors_and_weights_are_paid_in_bits",
        says="looks like the price 1",
    ),
    Mistake(
        "the weights' bits without a graph",
        was=MESSAGE,
        now="with torch.no_grad():\n"
        "            weights = sum(kl_bits(layer.weight, layer.log_var, prior_std) for "
        "layer in layers)\n"
        "        bits = errors + price * weights",
        caught_by="TestTrainNoisy::test_every_step_is_that_of_adam",
        says="looks like weights for free",
    ),
    # prune_mask_numpy
    Mistake(
        "sorted by value, on arrays",
        was=NUMPY_ORDER,
        now="mask[np.argsort(weight",
        caught_by="TestPruneMaskNumpy::test_the_smallest_are_removed",
        says="looks like pruned by value, not by size",
    ),
    # magnitude_mask
    Mistake(
        "the smallest are kept",
        was="return mask.reshape(scores.shape)",
        now="return ~mask.reshape(scores.shape)",
        caught_by="TestMagnitudeMask::test_the_smallest_are_removed",
        says="looks like inverted: the smallest are kept",
    ),
    Mistake(
        "a quantile as threshold",
        was="""mask[
        scores.detach().flatten().argsort(stable=True)[: round(sparsity * len(mask))]
    ] = False""",
        now="mask = scores.detach().flatten() > scores.detach().quantile(sparsity)",
        caught_by="TestMagnitudeMask::test_the_right_number_is_removed",
        says="looks like a quantile as threshold",
    ),
    Mistake(
        "a threshold that drops all ties",
        was="""mask[
        scores.detach().flatten().argsort(stable=True)[: round(sparsity * len(mask))]
    ] = False""",
        now="""mask = (
        scores.detach().flatten()
        > scores.detach().flatten().sort().values[: round(sparsity * len(mask))].max()
    )""",
        caught_by="TestMagnitudeMask::test_of_equal_weights_the_first_go",
        says="at 100 of 200 places",
        edge=True,
    ),
    # MaskedLinear
    Mistake(
        "mask is no buffer",
        was=MASK,
        now="self.mask = torch.ones_like(self.weight, dtype=torch.bool)",
        caught_by="TestMaskedLinear::test_the_mask_is_saved_and_not_trained",
        says="looks like a plain attribute",
    ),
    Mistake(
        "the stored weight multiplied in forward",
        was=PRODUCT,
        now=(
            "self.weight.data.mul_(self.mask)\n"
            "        return F.linear(x, self.weight, self.bias)"
        ),
        caught_by="TestMaskedLinear::test_the_stored_weight_keeps_its_values",
        says="of weight after a call",
    ),
    # MaskedMLP
    Mistake(
        "a ReLU after the last layer",
        was=DEEP,
        now="""        x = x.flatten(1)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x""",
        caught_by="TestMaskedMLP::test_relu_between_the_layers",
        says="looks like a ReLU after the last layer",
    ),
    # global_prune
    Mistake(
        "a threshold per layer",
        was=KEEP,
        now=(
            "keep = torch.cat([_largest(score, sparsity).flatten() for score in "
            "scores])"
        ),
        caught_by="TestGlobalPrune::test_one_threshold_for_all_layers",
        says="looks like a threshold per layer",
    ),
    Mistake(
        "pruned weights compete with their stored values",
        was=SCORES,
        now="scores = [layer.weight.abs() for layer in model.layers]",
        caught_by="TestGlobalPrune::test_pruned_weights_never_come_back",
        says="of masks",
    ),
    Mistake(
        "the sparsity of the remaining weights",
        was=KEEP,
        now="""flat = torch.cat([score.flatten() for score in scores])
    gone = (flat < 0).float().mean().item()
    keep = _largest(flat, gone + sparsity * (1 - gone))""",
        caught_by="TestGlobalPrune::test_a_second_pruning_counts_the_first",
        says="looks like 0.8 of the weights that were left",
    ),
    Mistake(
        "kept weights of 0 taken for pruned ones",
        was=SCORES,
        now="scores = [layer.weight.abs() * layer.mask for layer in model.layers]",
        caught_by="TestGlobalPrune::test_kept_weights_of_zero_go_next",
        says="got 16",
        edge=True,
    ),
    # rewind
    Mistake(
        "the whole state loaded",
        was=REWIND,
        now="        model.load_state_dict(init_state)",
        caught_by="TestRewind::test_the_wiring_stays",
        says="looks like the masks of init_state, all True",
    ),
    # randomize_masks
    Mistake(
        "masks drawn with a probability",
        was=SHUFFLE,
        now="""        share = layer.mask.float().mean()
        layer.mask.copy_(torch.rand(layer.mask.shape, generator=generator) < share)""",
        caught_by="TestRandomizeMasks::test_each_layer_keeps_its_count",
        says="of kept weights per layer",
    ),
    # train_classifier
    Mistake(
        "gradients not cleared",
        was="        optimizer.zero_grad()\n        loss.backward()",
        now="        loss.backward()",
        caught_by="TestTrainClassifier::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    # description_length
    Mistake(
        "the number of choices as a float",
        was=BITS,
        now=BITS.replace(
            "math.comb(n, kept)", "math.prod((n - i) / (i + 1) for i in range(kept))"
        ),
        caught_by="TestDescriptionLength::test_large_layers_do_not_overflow",
        says="got inf",
    ),
    Mistake(
        "one choice over all layers together",
        was=f"""        {BITS}
    return bits""",
        now="""        bits += (kept + layer.bias.numel()) * bits_per_weight
    masks = torch.cat([layer.mask.flatten() for layer in model.layers])
    return bits + math.log2(math.comb(len(masks), int(masks.sum())))""",
        caught_by="TestDescriptionLength::test_each_layer_has_its_own_choice",
        says="looks like one choice over all layers together",
    ),
]
