"""Wrong solutions of 13 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

COUNTED = "norm.num_batches_tracked += 1"
CHANNEL_MEAN = "mean = x.mean(dims)"
CHANNEL_VAR = "var = x.var(dims, correction=0)\n        if"
DIMS = "dims = [dim for dim in range(x.ndim) if dim != 1]"
CHOICE = "if norm.training or norm.running_mean is None:"
OUTPUT = "output = (x - mean.view(per_channel)) / torch.sqrt(var + norm.eps).view(per_channel)"
AFFINE = "output = output * norm.weight.view(per_channel) + norm.bias.view(per_channel)"
SHARE = "m = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum"
MOVE_MEAN = "norm.running_mean.lerp_(mean, m)"
MOVE_VAR = "norm.running_var.lerp_(unbiased_var, m)"
PASS_ON = "_update_running(norm, mean.detach(), var.detach() * count / (count - 1))"
MEAN_BUFFER = 'norm.register_buffer("running_mean", torch.zeros(num_features) if track_running_stats else None)'
FORWARD_1D = """            raise ValueError(f"x should be (N, C) or (N, C, L), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)"""
FORWARD_2D = """            raise ValueError(f"x should be (N, C, H, W), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)"""

WIDE = "wide = x.to(torch.promote_types(x.dtype, torch.float32))"
ROW_DIMS = "dims = tuple(range(-len(self.normalized_shape), 0))"
ROW_MEAN = "mean = wide.mean(dims, keepdim=True)"
ROW_VAR = "var = wide.var(dims, correction=0, keepdim=True)"
ROW_OUTPUT = "output = (wide - mean) / torch.sqrt(var + self.eps)"
FITS = "if x.shape[-len(dims) :] != self.normalized_shape:"

AT_WORK = "at_work = copy.deepcopy(norm).eval()(x)"
LEARNING = "learning = copy.deepcopy(norm).train()(x)"
GAP = f"""    with torch.no_grad():
        {AT_WORK}
        {LEARNING}
    return (learning - at_work).abs().max().item()"""

CUT = "batches = x[: count * size].reshape(count, size, channels)"
STATISTICS = "var, mean = torch.var_mean(batches, dim=1, correction=0, keepdim=True)"
NORMALISED = "normalised = (batches - mean) / torch.sqrt(var + 1e-5)"
SPREAD = '"mean_spread": mean.std(dim=0, correction=0).mean().item(),'
LEFT = '"output_std": normalised.std(dim=(0, 1), correction=0).mean().item(),'

SEEDED = "torch.manual_seed(seed)\n    layers"
SGD = "optimizer = torch.optim.SGD(model.parameters(), lr=lr)"
NORM_LAYER = """        if norm is not None:
            layers.append(norm(hidden_dim))
        layers.append(nn.ReLU())"""

MISTAKES = [
    # normalization_groups
    Mistake(
        "batch groups one for each row",
        was="grouped = (1, shape[1])",
        now="grouped = shape[:1]",
        caught_by="test_batch_norm_groups_by_channel",
    ),
    Mistake(
        "layer groups along dim 1",
        was="grouped = shape[: len(shape) - normalized_dims]",
        now="grouped = (1,) * (len(shape) - normalized_dims) + shape[-normalized_dims:]",
        caught_by="test_layer_norm_groups_by_token",
    ),
    Mistake(
        "batch groups for each position, too",
        was="grouped = (1, shape[1])",
        now="grouped = (1,) + shape[1:]",
        caught_by="test_batch_groups_take_in_positions_and_pixels",
    ),
    Mistake(
        "layer groups one for each example",
        was="grouped = shape[: len(shape) - normalized_dims]",
        now="grouped = shape[:1]",
        caught_by="test_layer_groups_are_the_leading_indices",
    ),
    Mistake(
        "normalized_dims ignored",
        was="grouped = shape[: len(shape) - normalized_dims]",
        now="grouped = shape[:-1]",
        caught_by="test_normalized_dims_says_how_many_last_dims_share",
    ),
    Mistake(
        "normalized_dims counted as leading dims",
        was="grouped = shape[: len(shape) - normalized_dims]",
        now="grouped = shape[:normalized_dims]",
        caught_by="test_normalized_dims_says_how_many_last_dims_share",
    ),
    Mistake(
        "instance norm taken for batch norm",
        was="grouped = shape[:2]",
        now="grouped = (1, shape[1])",
        caught_by="test_instance_norm_groups_by_example_and_channel",
    ),
    Mistake(
        "ids as floats",
        was="ids = torch.arange(math.prod(grouped))",
        now="ids = torch.arange(float(math.prod(grouped)))",
        caught_by="test_batch_norm_groups_by_channel",
    ),
    Mistake(
        "normalized_dims checked for every kind",
        was="    shape = tuple(shape)\n",
        now="    shape = tuple(shape)\n    if not 1 <= normalized_dims <= len(shape):\n        raise ValueError\n",
        caught_by="test_normalized_dims_concerns_layer_norm_only",
    ),
    Mistake(
        "only tuples understood",
        was="    shape = tuple(shape)\n",
        now="",
        caught_by="test_the_shape_may_be_any_sequence",
    ),
    Mistake(
        "unknown kinds grouped like layer norm",
        was='elif kind == "layer":',
        now='elif kind != "batch":',
        caught_by="test_unknown_kinds_are_refused",
        edge=True,
    ),
    Mistake(
        "instance norm of two dims",
        was="_require_dims(shape, 3)",
        now="_require_dims(shape, 2)",
        caught_by="test_too_few_dims_are_refused",
        edge=True,
    ),
    Mistake(
        "normalized_dims 0 allowed",
        was="if not 1 <= normalized_dims <= len(shape):",
        now="if not 0 <= normalized_dims <= len(shape):",
        caught_by="test_normalized_dims_must_exist",
        edge=True,
    ),
    Mistake(
        "all dims at once refused",
        was="if not 1 <= normalized_dims <= len(shape):",
        now="if not 1 <= normalized_dims < len(shape):",
        caught_by="test_normalized_dims_says_how_many_last_dims_share",
    ),
    # BatchNorm1d
    Mistake(
        "unbiased output variance",
        was=CHANNEL_VAR,
        now=CHANNEL_VAR.replace(", correction=0", ""),
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "biased running variance",
        was=PASS_ON,
        now="_update_running(norm, mean.detach(), var.detach())",
        caught_by="test_running_statistics_follow_the_batches",
    ),
    Mistake(
        "momentum swapped",
        was=MOVE_MEAN,
        now="norm.running_mean.lerp_(mean, 1 - m)",
        caught_by="test_running_statistics_follow_the_batches",
    ),
    Mistake(
        "momentum swapped for the variance alone",
        was=MOVE_VAR,
        now="norm.running_var.lerp_(unbiased_var, 1 - m)",
        caught_by="test_running_statistics_follow_the_batches",
    ),
    Mistake(
        "batch statistics in eval",
        was=CHOICE,
        now="if True:",
        caught_by="test_in_eval_a_row_does_not_depend_on_its_batch",
    ),
    Mistake(
        "running statistics move in eval",
        was="    else:\n        mean, var = norm.running_mean, norm.running_var",
        now="    else:\n        mean, var = norm.running_mean.clone(), norm.running_var.clone()\n"
        "        _update_running(norm, x.transpose(0, 1).flatten(1).mean(1).detach(), var)",
        caught_by="test_eval_keeps_the_running_statistics",
    ),
    Mistake(
        "running statistics in training",
        was="    per_channel = (-1,)",
        now="    if norm.running_mean is not None:\n        mean, var = norm.running_mean, norm.running_var\n"
        "    per_channel = (-1,)",
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "per-sample statistics",
        was=CHANNEL_MEAN,
        now="mean = x.mean(dim=1)",
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "one variance for all channels",
        was=CHANNEL_VAR,
        now="var = x.var(correction=0).expand(norm.num_features)\n        if",
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "only dim 0 for (N, C, L)",
        was=f"{CHANNEL_MEAN}\n        {CHANNEL_VAR}",
        now="mean = x.mean(0)\n        var = x.var(0, correction=0)\n"
        "        if x.ndim == 3:\n            return (x - mean) / torch.sqrt(var + norm.eps)\n        if",
        caught_by="test_channels_of_sequences_share_their_positions",
    ),
    Mistake(
        "the variance is a mean of variances over the positions",
        was=CHANNEL_VAR,
        now="var = x.var(0, correction=0).reshape(norm.num_features, -1).mean(1)\n        if",
        caught_by="test_channels_of_sequences_share_their_positions",
    ),
    Mistake(
        "eps outside the root",
        was=OUTPUT,
        now=OUTPUT.replace("torch.sqrt(var + norm.eps)", "(torch.sqrt(var) + norm.eps)"),
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "divided by the variance",
        was=OUTPUT,
        now=OUTPUT.replace("torch.sqrt(var + norm.eps)", "(var + norm.eps)"),
        caught_by="TestBatchNorm1d::test_training_normalises_each_channel_over_the_batch",
    ),
    Mistake(
        "scale and shift broadcast on the last dim",
        was=AFFINE,
        now="output = output * norm.weight + norm.bias",
        caught_by="test_scale_and_shift_belong_to_channels",
    ),
    Mistake(
        "shift before the scale",
        was=AFFINE,
        now="output = (output + norm.bias.view(per_channel)) * norm.weight.view(per_channel)",
        caught_by="test_scale_and_shift_belong_to_channels",
    ),
    Mistake(
        "scale and shift in training only",
        was="    if norm.weight is not None:",
        now="    if norm.weight is not None and norm.training:",
        caught_by="TestBatchNorm1d::test_eval_uses_the_running_statistics",
    ),
    Mistake(
        "mean detached in the output",
        was=OUTPUT,
        now=OUTPUT.replace("mean.view", "mean.detach().view"),
        caught_by="TestBatchNorm1d::test_training_output_and_gradients_equal_pytorchs",
    ),
    Mistake(
        "variance detached in the output",
        was=OUTPUT,
        now=OUTPUT.replace("sqrt(var +", "sqrt(var.detach() +"),
        caught_by="TestBatchNorm1d::test_training_output_and_gradients_equal_pytorchs",
    ),
    Mistake(
        "running buffers as plain tensors",
        was=MEAN_BUFFER,
        now="norm.running_mean = torch.zeros(num_features) if track_running_stats else None",
        caught_by="TestBatchNorm1d::test_starts_as_pytorch_does",
    ),
    Mistake(
        "running buffers that are not saved",
        was=MEAN_BUFFER,
        now=MEAN_BUFFER[:-1] + ", persistent=False)",
        caught_by="TestBatchNorm1d::test_starts_as_pytorch_does",
    ),
    Mistake(
        "running variance starts at zero",
        was='"running_var", torch.ones(',
        now='"running_var", torch.zeros(',
        caught_by="TestBatchNorm1d::test_starts_as_pytorch_does",
    ),
    Mistake(
        "weight as a buffer",
        was="norm.weight = nn.Parameter(torch.ones(num_features)) if affine else None",
        now='norm.register_buffer("weight", torch.ones(num_features) if affine else None)',
        caught_by="TestBatchNorm1d::test_starts_as_pytorch_does",
    ),
    Mistake(
        "graph kept in the buffers",
        was=PASS_ON,
        now=PASS_ON.replace(".detach()", ""),
        caught_by="test_buffers_carry_no_graph",
    ),
    Mistake(
        "momentum or 0.1",
        was=SHARE,
        now="m = norm.momentum or 0.1",
        caught_by="test_a_momentum_of_zero_moves_nothing",
    ),
    Mistake(
        "zero taken for no momentum",
        was=SHARE,
        now="m = norm.momentum or 1 / norm.num_batches_tracked.item()",
        caught_by="test_a_momentum_of_zero_moves_nothing",
    ),
    Mistake(
        "no momentum taken for a tenth",
        was=SHARE,
        now="m = 0.1 if norm.momentum is None else norm.momentum",
        caught_by="test_no_momentum_is_the_plain_mean",
    ),
    Mistake(
        "the batch is counted after it was used",
        was=SHARE,
        now=SHARE.replace("norm.num_batches_tracked.item()", "max(norm.num_batches_tracked.item() - 1, 1)"),
        caught_by="test_no_momentum_is_the_plain_mean",
    ),
    Mistake(
        "batches not counted",
        was=COUNTED,
        now="norm.num_batches_tracked.fill_(1)",
        caught_by="test_batches_are_counted",
    ),
    Mistake(
        "batches counted without momentum only",
        was=COUNTED,
        now=f"if norm.momentum is None:\n        {COUNTED}",
        caught_by="test_batches_are_counted",
    ),
    Mistake(
        "running statistics in spite of track_running_stats=False",
        was='norm.register_buffer("running_var", torch.ones(num_features) if track_running_stats else None)',
        now='norm.register_buffer("running_var", torch.ones(num_features))',
        caught_by="test_without_running_statistics_both_modes_use_the_batch",
    ),
    Mistake(
        "without running statistics eval mode does nothing",
        was=CHOICE,
        now="if norm.running_mean is None and not norm.training:\n        return x\n    " + CHOICE,
        caught_by="test_without_running_statistics_both_modes_use_the_batch",
    ),
    Mistake(
        "a bias in spite of affine=False",
        was="norm.bias = nn.Parameter(torch.zeros(num_features)) if affine else None",
        now="norm.bias = nn.Parameter(torch.zeros(num_features))",
        caught_by="test_without_affine_there_is_nothing_to_learn",
    ),
    Mistake(
        "centred in place",
        was=OUTPUT,
        now="x -= mean.view(per_channel)\n    output = x / torch.sqrt(var + norm.eps).view(per_channel)",
        caught_by="TestBatchNorm1d::test_input_may_be_non_contiguous_and_is_not_written_to",
    ),
    Mistake(
        "view of a non-contiguous input",
        was="    per_channel = (-1,)",
        now="    x = x.view(x.numel()).view(x.shape)\n    per_channel = (-1,)",
        caught_by="TestBatchNorm1d::test_input_may_be_non_contiguous_and_is_not_written_to",
    ),
    Mistake(
        "everything in float32",
        was="    if x.shape[1] != norm.num_features:",
        now="    x = x.float()\n    if x.shape[1] != norm.num_features:",
        caught_by="test_a_float64_layer_stays_float64",
    ),
    Mistake(
        "single values give NaN",
        was="if count < 2:",
        now="if count < 0:",
        caught_by="TestBatchNorm1d::test_one_value_a_channel_is_refused_in_training",
        edge=True,
    ),
    Mistake(
        "one row refused, however many positions it has",
        was="if count < 2:",
        now="if len(x) < 2:",
        caught_by="test_two_values_a_channel_are_enough",
    ),
    Mistake(
        "single values refused in eval, too",
        was="    if norm.training or",
        now="    if x.numel() // norm.num_features < 2:\n        raise ValueError(tuple(x.shape))\n"
        "    if norm.training or",
        caught_by="test_one_row_is_fine_in_eval",
    ),
    Mistake(
        "other numbers of channels broadcast",
        was="if x.shape[1] != norm.num_features:",
        now="if x.shape[1] not in (1, norm.num_features):",
        caught_by="TestBatchNorm1d::test_wrong_shapes_are_refused",
        edge=True,
    ),
    Mistake(
        "images taken by BatchNorm1d",
        was="if x.ndim not in (2, 3):",
        now="if x.ndim < 2:",
        caught_by="TestBatchNorm1d::test_wrong_shapes_are_refused",
        edge=True,
    ),
    Mistake(
        "shapes checked in training only",
        was="if x.shape[1] != norm.num_features:",
        now="if norm.training and x.shape[1] != norm.num_features:",
        caught_by="TestBatchNorm1d::test_wrong_shapes_are_refused",
        edge=True,
    ),
    Mistake(
        "counted before the input is checked",
        was="        count = x.numel() // norm.num_features\n",
        now="        count = x.numel() // norm.num_features\n"
        "        if norm.running_mean is not None:\n            norm.num_batches_tracked += 1\n"
        "            norm.num_batches_tracked -= int(count > 1)\n",
        caught_by="test_a_refused_input_leaves_the_buffers_alone",
        edge=True,
    ),
    Mistake(
        "PyTorch's function does the work",
        was=FORWARD_1D,
        now=FORWARD_1D.replace(
            "return _batch_norm(self, x)",
            "_batch_norm(self, x)\n"
            "        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)",
        ),
        caught_by="TestBatchNorm1d::test_written_without_the_finished_layers",
    ),
    # BatchNorm2d
    Mistake(
        "instance norm for images",
        was=FORWARD_2D,
        now=FORWARD_2D.replace(
            "return _batch_norm(self, x)", "return torch.stack([_batch_norm(self, image[None])[0] for image in x])"
        ),
        caught_by="test_training_normalises_each_channel_over_all_pixels",
    ),
    Mistake(
        "images with channels last cut wrongly into rows",
        was=FORWARD_2D,
        now=FORWARD_2D.replace(
            "_batch_norm(self, x)", "_batch_norm(self, x.reshape(-1, x.shape[1], 1, 1)).reshape(x.shape)"
        ),
        caught_by="test_training_normalises_each_channel_over_all_pixels",
    ),
    Mistake(
        "running variance of images with N − 1",
        was=DIMS + "\n        count = x.numel() // norm.num_features",
        now=DIMS + "\n        count = len(x)",
        caught_by="TestBatchNorm2d::test_running_statistics_equal_pytorchs",
    ),
    Mistake(
        "sequences taken by BatchNorm2d",
        was="if x.ndim != 4:",
        now="if x.ndim < 2:",
        caught_by="TestBatchNorm2d::test_wrong_shapes_are_refused",
        edge=True,
    ),
    # LayerNorm
    Mistake(
        "layer norm over dim 0",
        was=ROW_DIMS,
        now=ROW_DIMS + "\n        if x.shape[-len(dims) :] == self.normalized_shape:\n            dims = (0,)",
        caught_by="test_each_token_is_normalised_over_its_features",
    ),
    Mistake(
        "layer norm over all dims",
        was=f"{ROW_MEAN}\n        {ROW_VAR}",
        now="mean = wide.mean()\n        var = wide.var(correction=0)",
        caught_by="test_each_token_is_normalised_over_its_features",
    ),
    Mistake(
        "layer norm over everything but the batch",
        was=f"{ROW_MEAN}\n        {ROW_VAR}",
        now="dims = tuple(range(min(1, x.ndim - 1), x.ndim))\n        " + f"{ROW_MEAN}\n        {ROW_VAR}",
        caught_by="test_a_token_does_not_depend_on_the_others",
    ),
    Mistake(
        "layer norm over the last dim only",
        was=f"{ROW_MEAN}\n        {ROW_VAR}",
        now=f"{ROW_MEAN}\n        {ROW_VAR}".replace("(dims, ", "(-1, "),
        caught_by="test_a_tuple_joins_several_dims",
    ),
    Mistake(
        "unbiased layer norm",
        was=ROW_VAR,
        now=ROW_VAR.replace("correction=0, ", ""),
        caught_by="test_each_token_is_normalised_over_its_features",
    ),
    Mistake(
        "eps outside the root of layer norm",
        was=ROW_OUTPUT,
        now=ROW_OUTPUT.replace("torch.sqrt(var + self.eps)", "(torch.sqrt(var) + self.eps)"),
        caught_by="test_each_token_is_normalised_over_its_features",
    ),
    Mistake(
        "a root with an infinite slope",
        was=ROW_OUTPUT,
        now=ROW_OUTPUT.replace("torch.sqrt(var + self.eps)", "torch.sqrt(var).square().add(self.eps).sqrt()"),
        caught_by="test_equal_features_give_the_bias",
    ),
    Mistake(
        "the mean of squares minus the square of the mean",
        was=ROW_VAR,
        now="var = (wide * wide).mean(dims, keepdim=True) - mean * mean",
        caught_by="test_rows_far_from_zero_keep_their_spread",
    ),
    Mistake(
        "statistics in float16",
        was=WIDE,
        now="wide = x",
        caught_by="test_half_precision_rows_of_a_thousand_do_not_overflow",
    ),
    Mistake(
        "float16 goes in, float32 comes out",
        was="return output.to(x.dtype)",
        now="return output",
        caught_by="test_half_precision_rows_of_a_thousand_do_not_overflow",
    ),
    Mistake(
        "result in the dtype of the weight",
        was="return output.to(x.dtype)",
        now="return output.to(x.dtype if self.weight is None else self.weight.dtype)",
        caught_by="test_half_precision_rows_of_a_thousand_do_not_overflow",
    ),
    Mistake(
        "float64 computed in float32",
        was=WIDE,
        now="wide = x.float()",
        caught_by="test_float64_stays_float64",
    ),
    Mistake(
        "normalized_shape as a list",
        was="else tuple(normalized_shape)",
        now="else list(normalized_shape)",
        caught_by="TestLayerNorm::test_starts_as_pytorch_does",
    ),
    Mistake(
        "a bias in spite of bias=False",
        was="has_bias = elementwise_affine and bias",
        now="has_bias = elementwise_affine",
        caught_by="test_weight_and_bias_can_be_switched_off",
    ),
    Mistake(
        "a bias without a weight",
        was="has_bias = elementwise_affine and bias",
        now="has_bias = bias",
        caught_by="test_weight_and_bias_can_be_switched_off",
    ),
    Mistake(
        "weight of one number",
        was="self.weight = nn.Parameter(torch.ones(self.normalized_shape))",
        now="self.weight = nn.Parameter(torch.ones(1))",
        caught_by="TestLayerNorm::test_starts_as_pytorch_does",
    ),
    Mistake(
        "bias left out of the output",
        was="output = output + self.bias",
        now="pass",
        caught_by="TestLayerNorm::test_output_and_gradients_equal_pytorchs",
    ),
    Mistake(
        "layer norm does nothing in eval",
        was=WIDE,
        now="if not self.training:\n            return x\n        " + WIDE,
        caught_by="test_the_mode_makes_no_difference",
    ),
    Mistake(
        "layer norm remembers its first mean",
        was=ROW_MEAN,
        now=ROW_MEAN + "\n        mean = self.__dict__.setdefault('first', mean) * (1.0 if self.training else 0.5)",
        caught_by="test_the_mode_makes_no_difference",
    ),
    Mistake(
        "layer norm cuts the graph through its variance",
        was=ROW_VAR,
        now=ROW_VAR.replace("wide.var", "wide.detach().var"),
        caught_by="TestLayerNorm::test_output_and_gradients_equal_pytorchs",
    ),
    Mistake(
        "rows centred in place",
        was=ROW_OUTPUT,
        now="wide -= mean\n        output = wide / torch.sqrt(var + self.eps)",
        caught_by="TestLayerNorm::test_input_may_be_non_contiguous_and_is_not_written_to",
    ),
    Mistake(
        "only the number of elements is checked",
        was=FITS,
        now="if x[(0,) * (x.ndim - len(dims))].numel() != math.prod(self.normalized_shape):",
        caught_by="TestLayerNorm::test_wrong_shapes_are_refused",
        edge=True,
    ),
    Mistake(
        "a last dim of one is broadcast",
        was=FITS,
        now="if x.shape[-1] not in (1, self.normalized_shape[-1]):",
        caught_by="TestLayerNorm::test_wrong_shapes_are_refused",
        edge=True,
    ),
    Mistake(
        "PyTorch's layer norm does the work",
        was="return output.to(x.dtype)",
        now="return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)",
        caught_by="TestLayerNorm::test_written_without_the_finished_layers",
    ),
    # train_eval_gap
    Mistake(
        "the same mode twice",
        was=LEARNING,
        now="learning = copy.deepcopy(norm).eval()(x)",
        caught_by="test_batch_norm_has_a_gap",
    ),
    Mistake(
        "the mode the layer happens to be in",
        was=LEARNING,
        now="learning = copy.deepcopy(norm)(x)",
        caught_by="test_batch_norm_has_a_gap",
    ),
    Mistake(
        "eval after the running statistics moved",
        was=f"{AT_WORK}\n        {LEARNING}",
        now="twin = copy.deepcopy(norm)\n        learning = twin.train()(x)\n        at_work = twin.eval()(x)",
        caught_by="test_batch_norm_has_a_gap",
    ),
    Mistake(
        "mean of the differences",
        was="(learning - at_work).abs().max()",
        now="(learning - at_work).abs().mean()",
        caught_by="test_batch_norm_has_a_gap",
    ),
    Mistake(
        "a tensor instead of a float",
        was="(learning - at_work).abs().max().item()",
        now="(learning - at_work).abs().max()",
        caught_by="test_batch_norm_has_a_gap",
    ),
    Mistake(
        "difference without its absolute value",
        was="(learning - at_work).abs().max()",
        now="(learning - at_work).max()",
        caught_by="test_the_gap_has_no_sign",
    ),
    Mistake(
        "running statistics moved",
        was=GAP,
        now="""    before = norm.training
    try:
        with torch.no_grad():
            at_work = norm.eval()(x)
            learning = norm.train()(x)
    finally:
        norm.train(before)
    return (learning - at_work).abs().max().item()""",
        caught_by="test_running_statistics_stay",
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
    ),
    Mistake(
        "running statistics of the outermost layer put back, not those of its parts",
        was=GAP,
        now="""    modes = {part: part.training for part in norm.modules()}
    state = {name: value.clone() for name, value in norm.named_buffers(recurse=False)}
    try:
        with torch.no_grad():
            at_work = norm.eval()(x)
            learning = norm.train()(x)
    finally:
        for name, value in norm.named_buffers(recurse=False):
            value.copy_(state[name])
        for part, mode in modes.items():
            part.training = mode
    return (learning - at_work).abs().max().item()""",
        caught_by="test_running_statistics_of_parts_stay",
    ),
    Mistake(
        "the outer mode given to every part",
        was=GAP,
        now="""    before, state = norm.training, copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        at_work = norm.eval()(x)
        learning = norm.train()(x)
    norm.train(before)
    norm.load_state_dict(state)
    return (learning - at_work).abs().max().item()""",
        caught_by="test_the_mode_of_every_part_stays",
    ),
    Mistake(
        "mode lost after an error",
        was=GAP,
        now="""    before, state = {part: part.training for part in norm.modules()}, copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        at_work = norm.eval()(x)
        learning = norm.train()(x)
    for part, mode in before.items():
        part.training = mode
    norm.load_state_dict(state)
    return (learning - at_work).abs().max().item()""",
        caught_by="test_an_error_leaves_the_layer_as_it_was",
    ),
    Mistake(
        "gradients cleared",
        was=GAP,
        now=f"    norm.zero_grad()\n{GAP}",
        caught_by="test_no_gradient_is_left",
    ),
    # batch_size_effect
    Mistake(
        "unbiased deviation of the outputs",
        was=LEFT,
        now=LEFT.replace(", correction=0", ""),
        caught_by="test_matches_batch_by_batch",
    ),
    Mistake(
        "unbiased deviation of the means: NaN for one batch",
        was=SPREAD,
        now=SPREAD.replace(", correction=0", ""),
        caught_by="test_one_batch_of_all_rows",
    ),
    Mistake(
        "unbiased variance in each batch: NaN for b = 1",
        was=STATISTICS,
        now=STATISTICS.replace("correction=0", "correction=1"),
        caught_by="test_batches_of_one_lose_everything",
    ),
    Mistake(
        "rows dealt out to the batches in turn",
        was=CUT,
        now="batches = x[: count * size].reshape(size, count, channels).transpose(0, 1)",
        caught_by="test_rows_stay_together_in_order",
    ),
    Mistake(
        "reshape that mixes columns",
        was=CUT,
        now="batches = x[: count * size].T.reshape(count, size, channels)",
        caught_by="test_rows_stay_together_in_order",
    ),
    Mistake(
        "the last rows kept instead of the first",
        was=CUT,
        now="batches = x[rows - count * size :].reshape(count, size, channels)",
        caught_by="test_an_incomplete_batch_is_dropped",
    ),
    Mistake(
        "number of batches rounded up",
        was='"num_batches": count,',
        now='"num_batches": -(-rows // size),',
        caught_by="test_an_incomplete_batch_is_dropped",
    ),
    Mistake(
        "one deviation over all channels",
        was=LEFT,
        now='"output_std": normalised.std(correction=0).item(),',
        caught_by="test_output_std_is_that_of_all_rows_in_each_channel",
    ),
    Mistake(
        "deviation of each batch, averaged",
        was=LEFT,
        now='"output_std": normalised.std(dim=1, correction=0).mean().item(),',
        caught_by="test_output_std_is_that_of_all_rows_in_each_channel",
    ),
    Mistake(
        "spread over all batches and channels",
        was=SPREAD,
        now='"mean_spread": mean.std(correction=0).item(),',
        caught_by="test_rows_stay_together_in_order",
    ),
    Mistake(
        "no eps",
        was=NORMALISED,
        now=NORMALISED.replace(" + 1e-5", " + 1e-12"),
        caught_by="test_eps_counts_where_there_is_little_spread",
    ),
    Mistake(
        "tensors instead of numbers",
        was=LEFT,
        now=LEFT.replace(".item()", ""),
        caught_by="test_results_are_plain_numbers_in_the_order_asked",
    ),
    Mistake(
        "sizes sorted",
        was="for size in batch_sizes}",
        now="for size in sorted(batch_sizes)}",
        caught_by="test_results_are_plain_numbers_in_the_order_asked",
    ),
    Mistake(
        "sizes above N allowed",
        was="if not 1 <= size <= rows:",
        now="if size < 1:",
        caught_by="test_batch_sizes_must_fit",
        edge=True,
    ),
    # compare_training
    Mistake(
        "keys in another order",
        was='norms = {"none": None, "batch": BatchNorm1d, "layer": LayerNorm}',
        now='norms = {"none": None, "layer": LayerNorm, "batch": BatchNorm1d}',
        caught_by="test_one_curve_for_each_kind_of_network",
    ),
    Mistake(
        "losses with their graphs",
        was="losses.append(loss.item())",
        now="losses.append(loss)",
        caught_by="test_one_curve_for_each_kind_of_network",
    ),
    Mistake(
        "one hidden layer too few",
        was="for _ in range(depth):",
        now="for _ in range(depth - 1):",
        caught_by="test_networks_have_the_width_and_depth_asked_for",
    ),
    Mistake(
        "norm layers not used",
        was="layers.append(norm(hidden_dim))",
        now="norm(hidden_dim)",
        caught_by="test_ten_layers_learn_only_with_a_norm",
    ),
    Mistake(
        "the norm behind the ReLU",
        was=NORM_LAYER,
        now="""        layers.append(nn.ReLU())
        if norm is not None:
            layers.append(norm(hidden_dim))""",
        caught_by="test_the_norm_stands_between_linear_layer_and_relu",
    ),
    Mistake(
        "trained in eval mode",
        was="loss = F.cross_entropy(model(x), y)",
        now="loss = F.cross_entropy(model.eval()(x), y)",
        caught_by="test_the_norm_stands_between_linear_layer_and_relu",
    ),
    Mistake(
        "seed set once",
        was=SEEDED,
        now="torch.manual_seed(seed) if norm is None else None\n    layers",
        caught_by="test_the_linear_layers_start_equal",
    ),
    Mistake(
        "seed not used",
        was=SEEDED,
        now="torch.manual_seed(0)\n    layers",
        caught_by="test_the_same_seed_gives_the_same_curve",
    ),
    Mistake(
        "no seed",
        was=SEEDED,
        now="layers",
        caught_by="test_the_same_seed_gives_the_same_curve",
    ),
    Mistake(
        "momentum",
        was=SGD,
        now=SGD.replace("lr=lr", "lr=lr, momentum=0.9"),
        caught_by="test_every_step_is_one_of_plain_sgd",
    ),
    Mistake(
        "Adam",
        was=SGD,
        now=SGD.replace("SGD", "Adam"),
        caught_by="test_every_step_is_one_of_plain_sgd",
    ),
    Mistake(
        "gradients never cleared",
        was="optimizer.zero_grad()",
        now="pass",
        caught_by="test_every_step_is_one_of_plain_sgd",
    ),
    Mistake(
        "loss after the update",
        was="        losses.append(loss.item())\n        optimizer.zero_grad()\n"
        "        loss.backward()\n        optimizer.step()",
        now="        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n"
        "        losses.append(F.cross_entropy(model(x), y).item())",
        caught_by="test_losses_are_taken_before_their_update",
    ),
    Mistake(
        "loss summed over the rows",
        was="loss = F.cross_entropy(model(x), y)",
        now='loss = F.cross_entropy(model(x), y, reduction="sum")',
        caught_by="test_losses_are_taken_before_their_update",
    ),
    Mistake(
        "a class too many",
        was="int(y.max()) + 1",
        now="int(y.max()) + 2",
        caught_by="test_networks_have_the_width_and_depth_asked_for",
    ),
    Mistake(
        "always a float32 network",
        was="int(y.max()) + 1)).to(x)",
        now="int(y.max()) + 1)).to(x.device)\n    x = x.float()",
        caught_by="test_x_and_its_dtype_stay",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was=WIDE,
        now=WIDE.replace("torch.float32", "torch.float64"),
        reason="more exact than asked, and the result is cast back to x's dtype all the same",
    ),
    Equivalent(
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        reason="in train_eval_gap, where only a float comes back and nothing is differentiated",
    ),
    Equivalent(
        was="count = x.numel() // norm.num_features",
        now="count = x.numel() / norm.num_features",
        reason="the division leaves no remainder, because dim 1 has num_features channels",
    ),
    Equivalent(
        was=SHARE,
        now=SHARE.replace(".item()", ""),
        reason="a tensor of one number does the same as a share",
    ),
]
