"""Wrong solutions of 13 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

CHANNEL_MEAN = "mean = x.mean(dims)"
CHANNEL_VAR = "var = x.var(dims, correction=0)\n        if"
CHOICE = "if norm.training or norm.running_mean is None:"
OUTPUT = (
    "output = (x - mean.view(per_channel)) / torch.sqrt(var + "
    "norm.eps).view(per_channel)"
)
AFFINE = "output = output * norm.weight.view(per_channel) + norm.bias.view(per_channel)"
SHARE = (
    "m = 1 / norm.num_batches_tracked.item() if norm.momentum is None else "
    "norm.momentum"
)
MOVE_MEAN = "norm.running_mean.lerp_(mean, m)"
PASS_ON = "_update_running(norm, mean.detach(), var.detach() * count / (count - 1))"
MEAN_BUFFER = """norm.register_buffer(
        "running_mean", torch.zeros(num_features) if track_running_stats else None
    )"""
FORWARD_2D = """\
            raise ValueError(f"x should be (N, C, H, W), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)"""

WIDE = "wide = x.to(torch.promote_types(x.dtype, torch.float32))"
ROW_MEAN = "mean = wide.mean(dims, keepdim=True)"
ROW_VAR = "var = wide.var(dims, correction=0, keepdim=True)"

AT_WORK = "at_work = copy.deepcopy(norm).eval()(x)"
LEARNING = "learning = copy.deepcopy(norm).train()(x)"
GAP = f"""    with torch.no_grad():
        {AT_WORK}
        {LEARNING}
    return (learning - at_work).abs().max().item()"""

LEFT = '"output_std": normalised.std(dim=(0, 1), correction=0).mean().item(),'


MISTAKES = [
    Mistake(
        "batch groups one for each row",
        was="grouped = (1, shape[1])",
        now="grouped = shape[:1]",
        caught_by="test_batch_norm_groups_by_channel",
        says="looks like one group for each row, which is layer norm",
    ),
    Mistake(
        "layer groups one for each example",
        was="grouped = shape[: len(shape) - normalized_dims]",
        now="grouped = shape[:1]",
        caught_by="test_layer_groups_are_the_leading_indices",
        says="looks like one group for each example",
    ),
    Mistake(
        "unknown kinds grouped like layer norm",
        was='elif kind == "layer":',
        now='elif kind != "batch":',
        caught_by="test_unknown_kinds_are_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "running statistics that are no buffers",
        was=MEAN_BUFFER,
        now=(
            "norm.running_mean = torch.zeros(num_features) if track_running_stats "
            "else None"
        ),
        caught_by="TestBatchNorm1dInit::test_starts_as_pytorch_does",
        says="missing 'running_mean'",
    ),
    Mistake(
        "unbiased output variance",
        was=CHANNEL_VAR,
        now=CHANNEL_VAR.replace(", correction=0", ""),
        caught_by="test_training_normalises_each_channel_over_the_batch",
        says="looks like the unbiased variance (n − 1)",
    ),
    Mistake(
        "eps outside the root",
        was=OUTPUT,
        now=OUTPUT.replace(
            "torch.sqrt(var + norm.eps)", "(torch.sqrt(var) + norm.eps)"
        ),
        caught_by="test_training_normalises_each_channel_over_the_batch",
        says="looks like eps outside the square root",
    ),
    Mistake(
        "running statistics in training",
        was="    per_channel = (-1,)",
        now=(
            "    if norm.running_mean is not None:\n"
            "        mean, var = norm.running_mean, norm.running_var\n"
            "    per_channel = (-1,)"
        ),
        caught_by="test_training_normalises_each_channel_over_the_batch",
        says="looks like the running statistics, in training mode, too",
    ),
    Mistake(
        "only dim 0 for (N, C, L)",
        was=f"{CHANNEL_MEAN}\n        {CHANNEL_VAR}",
        now=(
            "mean = x.mean(0)\n        var = x.var(0, correction=0)\n"
            "        if x.ndim == 3:\n"
            "            return (x - mean) / torch.sqrt(var + norm.eps)\n        if"
        ),
        caught_by="test_channels_of_sequences_share_their_positions",
        says="looks like a mean for each position: only dim 0 is shared",
    ),
    Mistake(
        "scale and shift broadcast on the last dim",
        was=AFFINE,
        now="output = output * norm.weight + norm.bias",
        caught_by="test_scale_and_shift_belong_to_channels",
        says="looks like weight and bias along the positions",
    ),
    Mistake(
        "variance detached in the output",
        was=OUTPUT,
        now=OUTPUT.replace("sqrt(var +", "sqrt(var.detach() +"),
        caught_by=(
            "TestBatchNorm1dForward::test_training_output_and_gradients_equal_pytorchs"
        ),
        says="of gradient of x",
    ),
    Mistake(
        "biased running variance",
        was=PASS_ON,
        now="_update_running(norm, mean.detach(), var.detach())",
        caught_by="test_running_statistics_follow_the_batches",
        says="looks like the biased variance: it is kept times n / (n − 1)",
    ),
    Mistake(
        "momentum swapped",
        was=MOVE_MEAN,
        now="norm.running_mean.lerp_(mean, 1 - m)",
        caught_by="test_running_statistics_follow_the_batches",
        says="looks like momentum on the wrong term",
    ),
    Mistake(
        "graph kept in the buffers",
        was=PASS_ON,
        now=PASS_ON.replace(".detach()", ""),
        caught_by="test_buffers_carry_no_graph",
        says="carries a graph",
    ),
    Mistake(
        "batch statistics in eval",
        was=CHOICE,
        now="if True:",
        caught_by="test_in_eval_a_row_does_not_depend_on_its_batch",
        says="one channel needs two values or more",
    ),
    Mistake(
        "running statistics move in eval",
        was="    else:\n        mean, var = norm.running_mean, norm.running_var",
        now=(
            "    else:\n"
            "        mean, var = norm.running_mean.clone(), norm.running_var.clone()\n"
            "        _update_running(norm, x.transpose(0, "
            "1).flatten(1).mean(1).detach(), var)"
        ),
        caught_by="test_eval_uses_and_keeps_the_running_statistics",
        says="buffers after a batch in eval mode['running_mean']",
    ),
    Mistake(
        "momentum or 0.1",
        was=SHARE,
        now="m = norm.momentum or 0.1",
        caught_by="test_a_momentum_of_zero_moves_nothing",
        says="looks like the default momentum",
        edge=True,
    ),
    Mistake(
        "instance norm for images",
        was=FORWARD_2D,
        now=FORWARD_2D.replace(
            "return _batch_norm(self, x)",
            "return torch.stack([_batch_norm(self, image[None])[0] for image in x])",
        ),
        caught_by="test_training_normalises_each_channel_over_all_pixels",
        says="looks like a mean for each example, which is instance norm",
    ),
    Mistake(
        "unbiased layer norm",
        was=ROW_VAR,
        now=ROW_VAR.replace("correction=0, ", ""),
        caught_by="test_each_token_is_normalised_over_its_features",
        says="looks like the unbiased variance (n − 1)",
    ),
    Mistake(
        "layer norm over everything but the batch",
        was=f"{ROW_MEAN}\n        {ROW_VAR}",
        now="dims = tuple(range(min(1, x.ndim - 1), x.ndim))\n        "
        + f"{ROW_MEAN}\n        {ROW_VAR}",
        caught_by="test_each_token_is_normalised_over_its_features",
        says="looks like statistics over tokens and features",
    ),
    Mistake(
        "layer norm over the last dim only",
        was=f"{ROW_MEAN}\n        {ROW_VAR}",
        now=f"{ROW_MEAN}\n        {ROW_VAR}".replace("(dims, ", "(-1, "),
        caught_by="test_a_tuple_joins_several_dims",
        says="looks like only the last dim is normalised",
    ),
    Mistake(
        "statistics in float16",
        was=WIDE,
        now="wide = x",
        caught_by="test_half_precision_rows_of_a_thousand_do_not_overflow",
        says="looks like a variance that overflowed to inf",
        edge=True,
    ),
    Mistake(
        "eval after the running statistics moved",
        was=f"{AT_WORK}\n        {LEARNING}",
        now=(
            "twin = copy.deepcopy(norm)\n        learning = twin.train()(x)\n"
            "        at_work = twin.eval()(x)"
        ),
        caught_by="test_batch_norm_has_a_gap",
        says=(
            "looks like the output in eval mode is that with the running statistics "
            "after a training pass"
        ),
    ),
    Mistake(
        "a state_dict that is no copy put back",
        was=GAP,
        now="""    before, state = norm.training, norm.state_dict()
    with torch.no_grad():
        at_work = norm.eval()(x)
        learning = norm.train()(x)
    norm.train(before)
    norm.load_state_dict(state)
    return (learning - at_work).abs().max().item()""",
        caught_by="test_running_statistics_stay",
        says="looks like the statistics after the training pass",
    ),
    Mistake(
        "mode lost after an error",
        was=GAP,
        now="""\
    before = {part: part.training for part in norm.modules()}
    state = copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        at_work = norm.eval()(x)
        learning = norm.train()(x)
    for part, mode in before.items():
        part.training = mode
    norm.load_state_dict(state)
    return (learning - at_work).abs().max().item()""",
        caught_by="test_an_error_leaves_the_layer_as_it_was",
        says="norm.training after the error got True expected False",
        edge=True,
    ),
    Mistake(
        "one deviation over all channels",
        was=LEFT,
        now='"output_std": normalised.std(correction=0).item(),',
        caught_by="test_output_std_is_that_of_all_rows_in_each_channel",
        says="looks like one deviation over all channels",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=WIDE,
        now=WIDE.replace("torch.float32", "torch.float64"),
        reason=(
            "more exact than asked, and the result is cast back to x's dtype all the "
            "same"
        ),
    ),
    Equivalent(
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        reason=(
            "in train_eval_gap, where only a float comes back and nothing is "
            "differentiated"
        ),
    ),
    Equivalent(
        was="count = x.numel() // norm.num_features",
        now="count = x.numel() / norm.num_features",
        reason=(
            "the division leaves no remainder, because dim 1 has num_features channels"
        ),
    ),
    Equivalent(
        was=SHARE,
        now=SHARE.replace(".item()", ""),
        reason="a tensor of one number does the same as a share",
    ),
    Equivalent(
        was="1 / self.num_batches_tracked.item()",
        now="2 / self.num_batches_tracked.item()",
        reason="a momentum of None is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="1 / self.num_batches_tracked.item()",
        now="0 / self.num_batches_tracked.item()",
        reason="a momentum of None is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was='"mean_spread": mean.squeeze(1).std(dim=0, correction=0).mean().item(),',
        now='"mean_spread": mean.squeeze(2).std(dim=0, correction=0).mean().item(),',
        reason="a dim of size 1 that stays changes no mean",
        textbook=True,
    ),
    Equivalent(
        was='"mean_spread": mean.squeeze(1).std(dim=0, correction=0).mean().item(),',
        now='"mean_spread": mean.squeeze(0).std(dim=0, correction=0).mean().item(),',
        reason="a dim of size 1 that stays changes no mean",
        textbook=True,
    ),
]
