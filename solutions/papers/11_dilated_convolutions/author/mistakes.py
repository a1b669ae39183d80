"""Wrong solutions of papers/11 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

FORMULA = "return 1 + (kernel_size - 1) * sum(dilations)"
TAP = "y += weight * padded[tap * dilation : tap * dilation + len(x)]"
PAD = "return self.conv(F.pad(x, (self.reach_back, 0)))"
LAYERS = """CausalConv1d(channels, channels, kernel_size, dilation)
            for dilation in dilations"""
ADD = "h = h + F.relu(layer(h))"
EARLIEST = "return length - int(steps[0]) if len(steps) else 0"
UPDATE = (
    "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n"
)
START = """        for layer in self.layers:
            nn.init.dirac_(layer.weight)
"""
LAST = "return self.layers[-1](x)"

MISTAKES = [
    Mistake(
        "K taps added per layer, not K − 1",
        was=FORMULA,
        now="return 1 + kernel_size * sum(dilations)",
        caught_by="test_doubling_the_dilation_doubles_the_reach",
        says="looks like K times the dilation added per layer",
    ),
    Mistake(
        "the dilations taken to be 1, 2, 4, …",
        was=FORMULA,
        now="return 1 + (kernel_size - 1) * sum(2**i for i in range(len(dilations)))",
        caught_by="test_without_dilation_the_reach_grows_by_a_step_per_layer",
        says="looks like dilations 1, 2, 4, 8, 16 whatever is given",
    ),
    Mistake(
        "a dilation of 0 counted",
        was="if any(dilation < 1 for dilation in dilations):",
        now="if any(dilation < 0 for dilation in dilations):",
        caught_by="test_sizes_below_one_are_errors",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    Mistake(
        "NumPy: the kernel in reverse",
        was="for tap, weight in enumerate(w):",
        now="for tap, weight in enumerate(w[::-1]):",
        caught_by="test_each_tap_reads_its_own_step",
        says="looks like the first tap meets the present step",
    ),
    Mistake(
        "NumPy: np.roll wraps round",
        was=TAP,
        now="y += weight * np.roll(x, (len(w) - 1 - tap) * dilation)",
        caught_by="test_before_the_start_there_are_zeros",
        says="looks like the start sees the end",
    ),
    Mistake(
        "padding at both ends, nothing cut",
        was=PAD,
        now="return self.conv(F.pad(x, (self.reach_back, self.reach_back)))",
        caught_by="test_the_length_stays",
        says="looks like padded on both sides, and nothing cut off",
    ),
    Mistake(
        "padding at both ends, cut on the left",
        was=PAD,
        now=(
            "return self.conv(F.pad(x, (self.reach_back, self.reach_back)))[..., "
            "self.reach_back :]"
        ),
        caught_by="test_taps_lie_at_t_and_at_multiples_of_the_dilation_before",
        says="looks like the padding is at the end: it looks ahead",
    ),
    Mistake(
        "half of the padding at each end",
        was=PAD,
        now=(
            "return self.conv(F.pad(x, (self.reach_back - self.reach_back // 2, "
            "self.reach_back // 2)))"
        ),
        caught_by="test_taps_lie_at_t_and_at_multiples_of_the_dilation_before",
        says="looks like half of the padding at each end: it looks ahead",
    ),
    Mistake(
        "a slice that ends at −0",
        was=PAD,
        now=(
            "return self.conv(F.pad(x, (self.reach_back, self.reach_back)))[..., : "
            "-self.reach_back]"
        ),
        caught_by="test_one_tap_and_one_step_work",
        says="looks like a slice that ends at -0",
        edge=True,
    ),
    Mistake(
        "the dilation not handed on",
        was=LAYERS,
        now="CausalConv1d(channels, channels, kernel_size) for _ in dilations",
        caught_by="test_the_reach_is_that_of_the_formula",
        says="looks like no layer has a dilation",
    ),
    Mistake(
        "the dilations in reverse",
        was=LAYERS,
        now=(
            "CausalConv1d(channels, channels, kernel_size, dilation) for dilation in "
            "reversed(dilations)"
        ),
        caught_by="test_each_layer_adds_to_what_it_reads",
        says="looks like the dilations in reverse order",
    ),
    Mistake(
        "the relu after the sum",
        was=ADD,
        now="h = F.relu(h + layer(h))",
        caught_by="test_each_layer_adds_to_what_it_reads",
        says="looks like the relu after the sum",
    ),
    Mistake(
        "no shortcut",
        was=ADD,
        now="h = F.relu(layer(h))",
        caught_by="test_each_layer_adds_to_what_it_reads",
        says="looks like h is not added",
    ),
    Mistake(
        "a stem of kernel size 3",
        was="self.stem = nn.Conv1d(in_channels, channels, 1)",
        now="self.stem = nn.Conv1d(in_channels, channels, 3, padding=1)",
        caught_by="test_stem_layers_and_head",
        says="['stem.weight'][2] got 3 expected 1",
    ),
    Mistake(
        "steps with a gradient counted",
        was=EARLIEST,
        now="return len(steps)",
        caught_by="test_steps_between_the_taps_count",
        says="looks like the number of steps with a gradient",
    ),
    Mistake(
        "one output channel asked",
        was="model(x)[:, :, -1].sum()",
        now="model(x)[0, 0, -1]",
        caught_by="test_all_channels_count",
        says="looks like the first output channel only",
    ),
    Mistake(
        "gradients left on the parameters",
        was="(gradient,) = torch.autograd.grad(model(x)[:, :, -1].sum(), x)",
        now="model(x)[:, :, -1].sum().backward()\n    gradient = x.grad",
        caught_by="TestEmpiricalReceptiveField::test_the_model_is_left_as_it_was",
        says="a parameter has a .grad after the call",
        edge=True,
    ),
    Mistake(
        "steps without an answer counted as loss 0",
        was="loss = F.cross_entropy(model(x), y)",
        now='loss = F.cross_entropy(model(x), y, reduction="none").mean()',
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like steps without an answer are counted",
    ),
    Mistake(
        "gradients never cleared",
        was=UPDATE,
        now="        loss.backward()\n        optimizer.step()\n",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=UPDATE,
        now=(
            "        loss.backward()\n        optimizer.step()\n"
            "        optimizer.zero_grad()\n"
        ),
        caught_by="TestTrainLag::test_old_gradients_have_no_effect",
        says="looks like old gradients that were not cleared",
        edge=True,
    ),
    Mistake(
        "one batch for all steps",
        was="x, y = lag_batch(batch, length, lag, vocab, generator)",
        now="x, y = lag_batch(batch, length, lag, vocab, torch.Generator())",
        caught_by="test_each_step_reads_a_new_batch",
        says="steps 0 and 1 read the same sequences",
    ),
    Mistake(
        "the identity start in the first layer only",
        was=START,
        now=(
            "        nn.init.dirac_(self.layers[0].weight)\n"
            "        for layer in self.layers:\n"
        ),
        caught_by="test_every_layer_begins_as_the_identity",
        says="layers[1].weight at the start",
    ),
    Mistake(
        "padding 1 whatever the dilation",
        was="padding=dilation, dilation=dilation",
        now="padding=1, dilation=dilation",
        caught_by="test_begins_as_the_identity",
        says="padding=(1, 1), dilation=(4, 4))",
    ),
    Mistake(
        "a relu after the last layer, too",
        was=LAST,
        now="return F.relu(self.layers[-1](x))",
        caught_by="test_layers_have_their_dilations_and_a_relu_between_them",
        says="looks like a relu after the last layer",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="x = torch.randn(1, in_channels, length, requires_grad=True)",
        now="x = torch.randn(2, in_channels, length, requires_grad=True)",
        reason="the first row of two is read",
        textbook=True,
    ),
    Equivalent(
        was="seen = x.grad[0].abs().sum(dim=0).nonzero()",
        now="seen = x.grad[-1].abs().sum(dim=0).nonzero()",
        reason="a batch of one",
        textbook=True,
    ),
]
