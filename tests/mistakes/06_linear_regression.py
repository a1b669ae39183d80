"""Wrong solutions of 06 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
DRAW_X = "X = low + (high - low) * torch.rand(n, 1, generator=generator)"
DRAW_Y = "y = slope * X + intercept + noise * torch.randn(n, 1, generator=generator)"
REFUSE = """    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must have the same shape")
"""
SQUARES = "return (pred - target).square().mean()"
MANUAL_LOSS = "loss = (X @ w + b - y).square().mean()"
MANUAL_STEP = """        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = b.grad = None
        losses.append(loss.item())
    return w.detach(), b.detach(), losses"""
LINEAR = "self.linear = nn.Linear(in_features, out_features)"
FORWARD = "return self.linear(x)"
EPOCH = """        loss = loss_fn(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())"""
SOLVE = """    columns = torch.cat([X, torch.ones_like(X[:, :1])], dim=1).double()
    solution = torch.linalg.lstsq(columns, y.double(), driver="gelsd").solution.to(X.dtype)
"""
X_UNITS = "standard_X, x_mean, x_std = _standardized(X)"
Y_UNITS = "standard_y, y_mean, y_std = _standardized(y)"
UNITS_FIT = "w, b, _ = fit_manual(standard_X, standard_y, lr, epochs)"
CONSTANT = "constant = (columns == columns[0]).all(dim=0)"
UNITS = "((columns - mean) / std).masked_fill(constant, 0.0)"
W_BACK = "w = w * y_std / x_std.unsqueeze(1)"
B_BACK = "return w, y_mean + b * y_std - x_mean @ w"
RACE = """    start = make_model()
    curves = {}
    for name, make_optimizer in optimizers.items():
        model = copy.deepcopy(start)
"""

MISTAKES = [
    # make_line_data
    Mistake(
        "points as vectors (n,)",
        was="    return X, y\n",
        now="    return X.squeeze(1), y.squeeze(1)\n",
        caught_by="test_x_and_y_are_columns",
    ),
    Mistake(
        "slope and intercept exchanged",
        was=DRAW_Y,
        now=DRAW_Y.replace("slope * X + intercept", "intercept * X + slope"),
        caught_by="test_without_noise_all_points_lie_on_the_line",
    ),
    Mistake(
        "x between 0 and the width of the range",
        was=DRAW_X,
        now=DRAW_X.replace("low + (", "("),
        caught_by="test_x_lies_in_x_range_and_uses_it",
    ),
    Mistake(
        "x from low to low + high",
        was=DRAW_X,
        now=DRAW_X.replace("(high - low)", "high"),
        caught_by="test_x_lies_in_x_range_and_uses_it",
    ),
    Mistake(
        "x normal, cut off at the ends of the range",
        was=DRAW_X,
        now="X = ((low + high) / 2 + (high - low) / 4 * torch.randn(n, 1, generator=generator)).clamp(low, high)",
        caught_by="test_x_lies_in_x_range_and_uses_it",
    ),
    Mistake(
        "x on a grid",
        was=DRAW_X,
        now="X = torch.linspace(low, high, n).unsqueeze(1)",
        caught_by="test_two_calls_give_different_points",
    ),
    Mistake(
        "default range from 0 to 1",
        was="x_range: tuple[float, float] = (-1.0, 1.0)",
        now="x_range: tuple[float, float] = (0.0, 1.0)",
        caught_by="test_x_lies_between_minus_one_and_one_unless_told",
    ),
    Mistake(
        "uniform noise",
        was="noise * torch.randn(",
        now="noise * torch.rand(",
        caught_by="test_noise_has_the_asked_spread",
    ),
    Mistake(
        "uniform noise of the right spread",
        was="noise * torch.randn(n, 1, generator=generator)",
        now="noise * 12**0.5 * (torch.rand(n, 1, generator=generator) - 0.5)",
        caught_by="test_noise_has_the_asked_spread",
    ),
    Mistake(
        "noise taken for a variance",
        was="+ noise * torch.randn(",
        now="+ noise**0.5 * torch.randn(",
        caught_by="test_noise_has_the_asked_spread",
    ),
    Mistake(
        "noise added to x after y was computed",
        was=DRAW_Y,
        now="y = slope * X + intercept\n    X = X + noise * torch.randn(n, 1, generator=generator)",
        caught_by="test_noise_has_no_relation_to_x",
    ),
    Mistake(
        "noise proportional to x",
        was="+ noise * torch.randn(",
        now="+ noise * 3**0.5 * X * torch.randn(",
        caught_by="test_noise_has_no_relation_to_x",
    ),
    Mistake(
        "one noise for all points",
        was="noise * torch.randn(n, 1, generator=generator)",
        now="noise * torch.randn(1, generator=generator)",
        caught_by="test_each_point_has_noise_of_its_own",
    ),
    Mistake(
        "a seed set inside",
        was="    low, high = x_range\n",
        now="    torch.manual_seed(0)\n    low, high = x_range\n",
        caught_by="test_two_calls_give_different_points",
    ),
    Mistake(
        "the generator ignored",
        was="    low, high = x_range\n",
        now="    low, high = x_range\n    generator = None\n",
        caught_by="test_the_same_generator_state_gives_the_same_points",
    ),
    Mistake(
        "the global generator seeded from the one given",
        was="    low, high = x_range\n",
        now="    low, high = x_range\n    if generator is not None:\n"
        "        torch.manual_seed(generator.initial_seed())\n"
        "        generator = None\n",
        caught_by="test_a_call_with_a_generator_leaves_the_global_one_alone",
    ),
    Mistake(
        "noise from the global generator",
        was=DRAW_Y,
        now=DRAW_Y.replace("(n, 1, generator=generator)", "(n, 1)"),
        caught_by="test_the_same_generator_state_gives_the_same_points",
    ),
    Mistake(
        "points in float64",
        was="    return X, y\n",
        now="    return X.double(), y.double()\n",
        caught_by="test_points_are_float32",
    ),
    Mistake(
        "no points allowed",
        was="if n < 1 or noise < 0:",
        now="if n < 0 or noise < 0:",
        caught_by="test_there_is_at_least_one_point",
    ),
    Mistake(
        "negative noise allowed",
        was="if n < 1 or noise < 0:",
        now="if n < 1:",
        caught_by="test_noise_is_not_negative",
    ),
    # mse_loss
    Mistake(
        "sum of squares",
        was=SQUARES,
        now=SQUARES.replace("mean", "sum"),
        caught_by="test_mean_of_the_squared_differences",
    ),
    Mistake(
        "mean of absolute differences",
        was=SQUARES,
        now=SQUARES.replace("square", "abs"),
        caught_by="test_mean_of_the_squared_differences",
    ),
    Mistake("root of the mean", was=SQUARES, now=SQUARES + ".sqrt()", caught_by="test_mean_of_the_squared_differences"),
    Mistake(
        "sum divided by the rows",
        was=SQUARES,
        now="return (pred - target).square().sum() / len(pred)",
        caught_by="test_the_mean_is_over_all_elements",
    ),
    Mistake(
        "the loss as a new tensor without a graph",
        was=SQUARES,
        now="return torch.tensor((pred - target).square().mean().item(), dtype=pred.dtype)",
        caught_by="test_gradients_reach_both",
    ),
    Mistake(
        "targets cut off",
        was=SQUARES,
        now=SQUARES.replace("target)", "target.detach())"),
        caught_by="test_gradients_reach_both",
    ),
    Mistake(
        "loss in float32",
        was=SQUARES,
        now=SQUARES.replace("target)", "target).float()"),
        caught_by="test_keeps_float64_and_writes_to_nothing",
    ),
    Mistake(
        "differences written into pred",
        was=SQUARES,
        now="return (pred.detach().sub_(target) if not pred.requires_grad else pred - target).square().mean()",
        caught_by="test_keeps_float64_and_writes_to_nothing",
    ),
    Mistake(
        "F.mse_loss",
        was=SQUARES,
        now="return F.mse_loss(pred, target)",
        caught_by="TestMseLoss::test_is_written_without_the_ready_made_one",
    ),
    Mistake("shapes not compared", was=REFUSE, now="", caught_by="test_refuses_a_column_with_a_row"),
    Mistake(
        "only the number of dimensions compared",
        was="if pred.shape != target.shape:",
        now="if pred.ndim != target.ndim:",
        caught_by="test_refuses_every_other_shape",
    ),
    Mistake(
        "only the number of elements compared",
        was="if pred.shape != target.shape:",
        now="if pred.numel() != target.numel():",
        caught_by="test_refuses_a_column_with_a_row",
    ),
    Mistake(
        "only one of the shapes named",
        was='f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must have the same shape"',
        now='f"target must have the shape {tuple(pred.shape)} of pred"',
        caught_by="test_the_error_names_both_shapes",
    ),
    Mistake(
        "an assert in place of a ValueError",
        was=REFUSE,
        now="    assert pred.shape == target.shape, (pred.shape, target.shape)\n",
        caught_by="test_refuses_a_column_with_a_row",
    ),
    # fit_manual
    Mistake(
        "sum of the squares, N times the step",
        was=MANUAL_LOSS,
        now=MANUAL_LOSS.replace("mean", "sum"),
        caught_by="test_one_step_by_hand",
    ),
    Mistake(
        "gradients not zeroed",
        was="        w.grad = b.grad = None\n",
        now="",
        caught_by="test_equals_a_descent_written_out",
    ),
    Mistake(
        "only the gradient of w zeroed",
        was="        w.grad = b.grad = None\n",
        now="        w.grad = None\n",
        caught_by="test_equals_a_descent_written_out",
    ),
    Mistake(
        "w becomes a result under tracking",
        was="""        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = b.grad = None
""",
        now="        w = w - lr * w.grad\n        b = b - lr * b.grad\n",
        caught_by="test_equals_a_descent_written_out",
    ),
    Mistake(
        "w moved before the gradient of b is computed",
        was="        loss.backward()\n        with torch.no_grad():\n            w -= lr * w.grad\n",
        now="        loss.backward()\n        with torch.no_grad():\n            w -= lr * w.grad\n"
        "            b.grad = 2 * (X @ w + b - y).mean(dim=0)\n",
        caught_by="test_one_step_by_hand",
    ),
    Mistake("uphill", was="w -= lr * w.grad", now="w += lr * w.grad", caught_by="test_one_step_by_hand"),
    Mistake("b not moved", was="            b -= lr * b.grad\n", now="", caught_by="test_one_step_by_hand"),
    Mistake(
        "y squeezed, differences (N, N)",
        was=MANUAL_LOSS,
        now="loss = ((X @ w + b).squeeze(1) - y).square().mean()",
        caught_by="test_one_step_by_hand",
    ),
    Mistake(
        "random start",
        was="w = torch.zeros(X.shape[1], 1,",
        now="w = torch.randn(X.shape[1], 1,",
        caught_by="test_no_epochs_leave_zeros",
    ),
    Mistake(
        "b starts at one",
        was="b = torch.zeros(1,",
        now="b = torch.ones(1,",
        caught_by="test_no_epochs_leave_zeros",
    ),
    Mistake(
        "loss recorded after the update",
        was="        w.grad = b.grad = None\n        losses.append(loss.item())\n",
        now="        w.grad = b.grad = None\n        losses.append((X @ w + b - y).square().mean().item())\n",
        caught_by="TestFitManual::test_losses_are_measured_before_each_update",
    ),
    Mistake(
        "losses as tensors",
        was="        w.grad = b.grad = None\n        losses.append(loss.item())\n",
        now="        w.grad = b.grad = None\n        losses.append(loss)\n",
        caught_by="TestFitManual::test_losses_are_python_floats",
    ),
    Mistake(
        "one epoch too many",
        was="    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)\n    losses = []\n    for _ in range(epochs):",
        now="    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)\n    losses = []\n"
        "    for _ in range(epochs + 1):",
        caught_by="TestFitManual::test_shapes",
    ),
    Mistake(
        "w returned as it is",
        was="return w.detach(), b.detach(), losses",
        now="return w, b.detach(), losses",
        caught_by="TestFitManual::test_the_result_carries_no_graph",
    ),
    Mistake(
        "b returned as it is",
        was="return w.detach(), b.detach(), losses",
        now="return w.detach(), b, losses",
        caught_by="TestFitManual::test_the_result_carries_no_graph",
    ),
    Mistake(
        "float32 throughout",
        was="    w = torch.zeros(X.shape[1], 1, dtype=X.dtype, requires_grad=True)\n"
        "    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)\n",
        now="    X, y = X.float(), y.float()\n    w = torch.zeros(X.shape[1], 1, requires_grad=True)\n"
        "    b = torch.zeros(1, requires_grad=True)\n",
        caught_by="test_float64_stays_float64",
    ),
    Mistake(
        "fitted and returned in float64",
        was="    w = torch.zeros(X.shape[1], 1, dtype=X.dtype",
        now="    X, y = X.double(), y.double()\n    w = torch.zeros(X.shape[1], 1, dtype=X.dtype",
        caught_by="test_float32_stays_float32",
    ),
    Mistake(
        "X read in memory order",
        was="    w = torch.zeros(X.shape[1], 1, dtype=X.dtype",
        now="    X = X.as_strided(X.shape, (X.shape[1], 1))\n    w = torch.zeros(X.shape[1], 1, dtype=X.dtype",
        caught_by="TestFitManual::test_works_on_a_transposed_view",
    ),
    Mistake(
        "through the ready-made loss",
        was=MANUAL_LOSS,
        now="loss = F.mse_loss(X @ w + b, y)",
        caught_by="test_is_written_without_nn_and_optim",
    ),
    # LinearRegression
    Mistake(
        "no bias",
        was=LINEAR,
        now=LINEAR.replace("out_features)", "out_features, bias=False)"),
        caught_by="test_state_keys_and_shapes",
    ),
    Mistake(
        "in and out exchanged",
        was=LINEAR,
        now=LINEAR.replace("in_features, out_features", "out_features, in_features"),
        caught_by="test_one_output_a_row",
    ),
    Mistake(
        "bare parameters under other names",
        was=f"        {LINEAR}\n",
        now="        self.w = nn.Parameter(torch.randn(out_features, in_features))\n"
        "        self.b = nn.Parameter(torch.zeros(out_features))\n"
        "        self.linear = lambda x: x @ self.w.T + self.b\n",
        caught_by="test_state_keys_and_shapes",
    ),
    Mistake(
        "a ReLU behind the line",
        was=FORWARD,
        now="return self.linear(x).relu()",
        caught_by="test_predicts_with_its_own_weights",
    ),
    Mistake(
        "output squeezed",
        was=FORWARD,
        now="return self.linear(x).squeeze(-1)",
        caught_by="test_a_line_unless_told",
    ),
    Mistake(
        "prediction detached",
        was=FORWARD,
        now="return self.linear(x).detach()",
        caught_by="test_gradients_reach_weight_and_bias",
    ),
    Mistake(
        "always float32",
        was=FORWARD,
        now="return self.linear(x).float()",
        caught_by="test_follows_a_change_of_dtype",
    ),
    Mistake(
        "a second layer that is not used",
        was=LINEAR,
        now=f"{LINEAR}\n        self.activation = nn.ReLU()",
        caught_by="test_linear_is_the_only_submodule",
    ),
    # train
    Mistake(
        "zero_grad between backward and step",
        was=EPOCH,
        now=EPOCH.replace("        optimizer.zero_grad()\n", "").replace("step", "zero_grad()\n        optimizer.step"),
        caught_by="TestTrain::test_equals_a_descent_written_out",
    ),
    Mistake(
        "gradients not cleared",
        was=EPOCH,
        now=EPOCH.replace("        optimizer.zero_grad()\n", ""),
        caught_by="TestTrain::test_equals_a_descent_written_out",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=EPOCH,
        now=EPOCH.replace("        optimizer.zero_grad()\n", "") + "\n        optimizer.zero_grad()",
        caught_by="test_gradients_from_before_have_no_influence",
    ),
    Mistake(
        "gradients cleared once, before the loop",
        was="    model.train()\n    losses = []\n",
        now="    model.train()\n    optimizer.zero_grad()\n    optimizer.zero_grad = lambda: None\n    losses = []\n",
        caught_by="TestTrain::test_equals_a_descent_written_out",
    ),
    Mistake(
        "no step",
        was="        optimizer.step()\n",
        now="",
        caught_by="TestTrain::test_equals_a_descent_written_out",
    ),
    Mistake(
        "SGD of its own",
        was="    model.train()\n    losses = []\n",
        now="    model.train()\n    lr = optimizer.param_groups[0]['lr']\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr)\n    losses = []\n",
        caught_by="test_the_optimizer_given_takes_the_steps",
    ),
    Mistake(
        "steps by hand over all parameters",
        was="        optimizer.step()\n",
        now="        with torch.no_grad():\n            for p in model.parameters():\n"
        "                p -= optimizer.param_groups[0]['lr'] * p.grad\n",
        caught_by="test_the_optimizer_given_takes_the_steps",
    ),
    Mistake(
        "trained on a copy of the model",
        was="    model.train()\n    losses = []\n",
        now="    model.train()\n    model = copy.deepcopy(model)\n    losses = []\n",
        caught_by="TestTrain::test_equals_a_descent_written_out",
    ),
    Mistake(
        "train mode forgotten",
        was="    model.train()\n",
        now="",
        caught_by="test_a_model_in_eval_mode_is_trained_in_train_mode",
    ),
    Mistake(
        "eval mode from the second epoch on",
        was=EPOCH,
        now=EPOCH + "\n        model.eval()",
        caught_by="test_a_model_in_eval_mode_is_trained_in_train_mode",
    ),
    Mistake(
        "MSE hard-coded",
        was="loss = loss_fn(model(X), y)",
        now="loss = F.mse_loss(model(X), y)",
        caught_by="test_loss_fn_is_used",
    ),
    Mistake(
        "arguments of loss_fn exchanged",
        was="loss_fn(model(X), y)",
        now="loss_fn(y, model(X))",
        caught_by="test_loss_fn_gets_the_prediction_first",
    ),
    Mistake(
        "L1 by default",
        was="loss_fn = F.mse_loss",
        now="loss_fn = F.l1_loss",
        caught_by="TestTrain::test_losses_are_measured_before_each_update",
    ),
    Mistake(
        "loss measured after the step",
        was=EPOCH,
        now=EPOCH.replace("append(loss.item())", "append(loss_fn(model(X), y).item())"),
        caught_by="TestTrain::test_losses_are_measured_before_each_update",
    ),
    Mistake(
        "loss measured in a forward pass of its own",
        was=EPOCH,
        now="        losses.append(loss_fn(model(X), y).item())\n"
        + EPOCH.replace("\n        losses.append(loss.item())", ""),
        caught_by="test_one_forward_pass_an_epoch",
    ),
    Mistake(
        "losses as tensors in train",
        was=EPOCH,
        now=EPOCH.replace("loss.item()", "loss.detach()"),
        caught_by="TestTrain::test_losses_are_python_floats",
    ),
    Mistake(
        "only the last loss returned",
        was=f"{EPOCH}\n    return losses",
        now=f"{EPOCH}\n    return losses[-1:]",
        caught_by="test_one_loss_an_epoch",
    ),
    Mistake(
        "at least one epoch",
        was=f"    for _ in range(epochs):\n{EPOCH}",
        now=f"    for _ in range(max(epochs, 1)):\n{EPOCH}",
        caught_by="TestTrain::test_no_epochs_move_nothing",
    ),
    # fit_least_squares
    Mistake(
        "no intercept",
        was="    return solution[:-1], solution[-1]",
        now="    solution = torch.linalg.pinv(X) @ y\n    return solution, torch.zeros(y.shape[1], dtype=X.dtype)",
        caught_by="test_finds_the_plane_that_points_lie_on",
    ),
    Mistake(
        "inverse of XᵀX in float32",
        was=SOLVE,
        now="    A = torch.cat([X, torch.ones_like(X[:, :1])], dim=1)\n"
        "    solution = torch.linalg.inv(A.T @ A) @ A.T @ y\n",
        caught_by="test_a_feature_near_1000_still_gives_its_slope",
    ),
    Mistake(
        "inverse of XᵀX in float64",
        was=SOLVE,
        now="    A = torch.cat([X, torch.ones_like(X[:, :1])], dim=1).double()\n"
        "    solution = (torch.linalg.inv(A.T @ A) @ A.T @ y.double()).to(X.dtype)\n",
        caught_by="test_a_column_that_adds_nothing_is_no_error",
    ),
    Mistake(
        "driver for full rank only",
        was='driver="gelsd"',
        now='driver="gels"',
        caught_by="test_a_column_that_adds_nothing_is_no_error",
    ),
    Mistake(
        "least squares in float32",
        was="dim=1).double()\n    solution = torch.linalg.lstsq(columns, y.double(),",
        now="dim=1).float()\n    solution = torch.linalg.lstsq(columns, y.float(),",
        caught_by="test_the_residual_is_orthogonal_to_the_columns",
    ),
    Mistake(
        "result left in float64",
        was=".solution.to(X.dtype)",
        now=".solution",
        caught_by="TestFitLeastSquares::test_the_result_has_the_dtype_of_x",
    ),
    Mistake(
        "intercept taken from the first row",
        was="return solution[:-1], solution[-1]",
        now="return solution[1:], solution[0]",
        caught_by="test_finds_the_plane_that_points_lie_on",
    ),
    Mistake(
        "intercept is the mean of y",
        was="return solution[:-1], solution[-1]",
        now="return solution[:-1], y.mean(dim=0)",
        caught_by="test_no_other_fit_is_better",
    ),
    Mistake(
        "a ridge that bends the result",
        was=SOLVE,
        now="    A = torch.cat([X, torch.ones_like(X[:, :1])], dim=1).double()\n"
        "    ridge = 1e-3 * torch.eye(A.shape[1], dtype=A.dtype)\n"
        "    solution = torch.linalg.solve(A.T @ A + ridge, A.T @ y.double()).to(X.dtype)\n",
        caught_by="test_the_residual_is_orthogonal_to_the_columns",
    ),
    Mistake(
        "X centred in place",
        was=SOLVE,
        now="    X -= X.mean(dim=0)\n" + SOLVE,
        caught_by="TestFitLeastSquares::test_the_data_are_not_changed",
    ),
    # fit_standardized
    Mistake(
        "not standardized",
        was=UNITS_FIT,
        now="w, b, _ = fit_manual(X, y, lr, epochs)\n    return w, b",
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "left in standard units",
        was=f"    {W_BACK}\n    {B_BACK}",
        now="    return w, b",
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "w / sx without sy",
        was=W_BACK,
        now=W_BACK.replace(" * y_std", ""),
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "b not mapped back to 0 cm",
        was=B_BACK,
        now="return w, y_mean + b * y_std",
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "b without the mean of y",
        was=B_BACK,
        now="return w, b * y_std - x_mean @ w",
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "multiplied by sx",
        was=W_BACK,
        now=W_BACK.replace("/ x_std", "* x_std"),
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "divided by the variance",
        was=UNITS,
        now=UNITS.replace("/ std", "/ std**2"),
        caught_by="test_one_feature_is_mapped_back",
    ),
    Mistake(
        "one mean and spread for all columns",
        was=X_UNITS,
        now="x_mean, x_std = X.mean().expand(X.shape[1]), X.std().expand(X.shape[1])\n"
        "    standard_X = (X - x_mean) / x_std",
        caught_by="test_predictions_match_least_squares_on_heights_and_ages",
    ),
    Mistake(
        "mean and spread of rows",
        was=UNITS_FIT,
        now="standard_X = (X - X.mean(dim=1, keepdim=True)) / X.std(dim=1, keepdim=True)\n    " + UNITS_FIT,
        caught_by="test_predictions_match_least_squares_on_heights_and_ages",
    ),
    Mistake(
        "constant where the first entry is the largest",
        was=CONSTANT,
        now=CONSTANT.replace("==", "<="),
        caught_by="test_a_column_that_varies_counts_in_any_order",
    ),
    Mistake(
        "constant where the first and last entry are the same",
        was=CONSTANT,
        now="constant = columns[-1] == columns[0]",
        caught_by="test_a_column_that_varies_counts_in_any_order",
    ),
    Mistake(
        "divided by 0",
        was=CONSTANT,
        now="constant = torch.zeros(columns.shape[1], dtype=torch.bool)",
        caught_by="test_a_constant_column_has_weight_zero",
    ),
    Mistake(
        "NaN in the weights replaced, the intercept left",
        was=B_BACK,
        now="return w.nan_to_num(), (y_mean - (X.mean(dim=0) / X.std(dim=0)) @ (w * x_std.unsqueeze(1)))",
        caught_by="test_a_constant_column_has_weight_zero",
    ),
    Mistake(
        "spread compared with 0",
        was=CONSTANT,
        now="constant = columns.std(dim=0) == 0",
        caught_by="test_a_constant_column_whose_mean_is_rounded_has_weight_zero",
    ),
    Mistake(
        "a little added to the spread",
        was=f"    {CONSTANT}\n    mean, std = columns.mean(dim=0), columns.std(dim=0).masked_fill(constant, 1.0)",
        now="    constant = torch.zeros(columns.shape[1], dtype=torch.bool)\n"
        "    mean, std = columns.mean(dim=0), columns.std(dim=0) + 1e-8",
        caught_by="test_a_constant_column_whose_mean_is_rounded_has_weight_zero",
    ),
    Mistake(
        "a constant y divided by 0",
        was=Y_UNITS,
        now="y_mean, y_std = y.mean(dim=0), y.std(dim=0)\n    standard_y = (y - y_mean) / y_std",
        caught_by="test_a_constant_y_is_predicted",
    ),
    Mistake(
        "epochs ignored",
        was=UNITS_FIT,
        now=UNITS_FIT.replace("epochs", "300"),
        caught_by="test_lr_and_epochs_are_used",
    ),
    Mistake("lr ignored", was=UNITS_FIT, now=UNITS_FIT.replace("lr", "0.1"), caught_by="test_lr_and_epochs_are_used"),
    Mistake(
        "the exact fit, no descent",
        was=f"    {UNITS_FIT}\n",
        now="    return fit_least_squares(X, y)\n",
        caught_by="test_lr_and_epochs_are_used",
    ),
    Mistake(
        "too few epochs by default",
        was="lr: float = 0.1, epochs: int = 300",
        now="lr: float = 0.1, epochs: int = 5",
        caught_by="test_predictions_match_least_squares_on_heights_and_ages",
    ),
    Mistake(
        "ten times as many epochs by default",
        was="lr: float = 0.1, epochs: int = 300",
        now="lr: float = 0.1, epochs: int = 3000",
        caught_by="test_lr_is_one_tenth_and_epochs_are_300_unless_given",
    ),
    Mistake(
        "a graph left on the result",
        was=B_BACK,
        now="w.requires_grad_()\n    " + B_BACK,
        caught_by="TestFitStandardized::test_the_result_carries_no_graph",
    ),
    Mistake(
        "result in float64",
        was=B_BACK,
        now=B_BACK.replace("return w,", "return w.double(),"),
        caught_by="TestFitStandardized::test_the_result_has_the_dtype_of_x",
    ),
    Mistake(
        "standardized in place",
        was=UNITS_FIT,
        now="X.copy_(standard_X)\n    " + UNITS_FIT,
        caught_by="TestFitStandardized::test_the_data_are_not_changed",
    ),
    Mistake(
        "y standardized in place",
        was=UNITS_FIT,
        now="y.copy_(standard_y)\n    " + UNITS_FIT,
        caught_by="TestFitStandardized::test_the_data_are_not_changed",
    ),
    # compare_optimizers
    Mistake(
        "a new model for each optimizer",
        was=RACE,
        now=RACE.replace("copy.deepcopy(start)", "make_model()"),
        caught_by="test_all_start_with_the_same_loss",
    ),
    Mistake(
        "one model trained on and on",
        was=RACE,
        now=RACE.replace("copy.deepcopy(start)", "start"),
        caught_by="test_the_same_optimizer_twice_has_the_same_curve",
    ),
    Mistake(
        "weights saved without a copy",
        was=RACE,
        now="    model = make_model()\n    start = model.state_dict()\n    curves = {}\n"
        "    for name, make_optimizer in optimizers.items():\n        model.load_state_dict(start)\n",
        caught_by="test_all_start_with_the_same_loss",
    ),
    Mistake(
        "a seed before each model in place of a copy",
        was=RACE,
        now=RACE.replace("model = copy.deepcopy(start)", "torch.manual_seed(0)\n        model = make_model()"),
        caught_by="test_all_start_with_the_same_loss",
    ),
    Mistake(
        "all with the last optimizer",
        was="make_optimizer(model.parameters())",
        now="list(optimizers.values())[-1](model.parameters())",
        caught_by="test_each_curve_is_that_of_its_optimizer",
    ),
    Mistake(
        "optimizer built on another copy",
        was="make_optimizer(model.parameters())",
        now="make_optimizer(start.parameters())",
        caught_by="test_each_curve_is_that_of_its_optimizer",
    ),
    Mistake(
        "one epoch less",
        was="make_optimizer(model.parameters()), epochs)",
        now="make_optimizer(model.parameters()), epochs - 1)",
        caught_by="test_one_curve_a_name_in_order",
    ),
    Mistake(
        "names sorted",
        was="in optimizers.items():",
        now="in sorted(optimizers.items(), key=lambda pair: pair[0]):",
        caught_by="test_one_curve_a_name_in_order",
    ),
    Mistake(
        "a list of curves",
        was="    return curves",
        now="    return list(curves.values())",
        caught_by="test_one_curve_a_name_in_order",
    ),
    Mistake(
        "last losses only",
        was="curves[name] = train(model, X, y, make_optimizer(model.parameters()), epochs)",
        now="curves[name] = train(model, X, y, make_optimizer(model.parameters()), epochs)[-1:]",
        caught_by="test_one_curve_a_name_in_order",
    ),
]

SIGN = "y = slope * X + intercept + noise * torch.randn(n, 1, generator=generator)"
SPREAD = "mean, std = columns.mean(dim=0), columns.std(dim=0).masked_fill(constant, 1.0)"

EQUIVALENT = [
    Equivalent(was=SIGN, now=SIGN.replace("+ noise", "- noise"), reason="normal noise is symmetric"),
    Equivalent(
        was=SPREAD,
        now=SPREAD.replace("1.0", "2.0"),
        reason="whatever a constant column is divided by, it is 0 afterwards and its weight stays 0",
    ),
    Equivalent(
        was=CONSTANT,
        now=CONSTANT.replace("[0]", "[1]"),
        reason="all entries equal the first exactly if all equal the second",
    ),
    Equivalent(
        was=CONSTANT,
        now=CONSTANT.replace("[0]", "[-1]"),
        reason="all entries equal the first exactly if all equal the last",
    ),
    *(
        Equivalent(was=B_BACK, now=now, reason="on centred data the descent from zero leaves b at 0, rounding apart")
        for now in (
            "return w, y_mean - x_mean @ w",
            "return w, y_mean + b - x_mean @ w",
            "return w, y_mean - b * y_std - x_mean @ w",
            "return w, y_mean + b / y_std - x_mean @ w",
        )
    ),
]
