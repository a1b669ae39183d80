"""Wrong solutions of 06 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
DRAW_Y = "y = slope * X + intercept + noise * torch.randn(n, 1, generator=generator)"
REFUSE = """    if pred.shape != target.shape:
        raise ValueError(
            f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must have the "
            "same shape"
        )
"""
MANUAL_LOSS = "loss = (X @ w + b - y).square().mean()"
MANUAL_STEP = """        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = b.grad = None
"""
EPOCH = """        loss = loss_fn(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())"""
SOLVE = """    columns = torch.cat([X, torch.ones_like(X[:, :1])], dim=1).double()
    solution = torch.linalg.lstsq(columns, y.double(), driver="gelsd").solution.to(
        X.dtype
    )
"""
CONSTANT = "constant = (columns == columns[0]).all(dim=0)"
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
        "uniform noise",
        was="noise * torch.randn(",
        now="noise * torch.rand(",
        caught_by="test_noise_is_normal_with_the_asked_spread",
        says="drawn by torch.rand",
    ),
    Mistake(
        "noise added to x after y was computed",
        was=DRAW_Y,
        now=(
            "y = slope * X + intercept\n"
            "    X = X + noise * torch.randn(n, 1, generator=generator)"
        ),
        caught_by="test_noise_has_no_relation_to_x",
        says="x and the noise have correlation",
    ),
    Mistake(
        "the same points in every call",
        was="    low, high = x_range\n",
        now="    torch.manual_seed(0)\n    low, high = x_range\n",
        caught_by="test_two_calls_give_different_points",
        says="two calls gave the same points, not random ones",
    ),
    Mistake(
        "torch's global generator used or seeded",
        was=DRAW_Y,
        now=DRAW_Y.replace("(n, 1, generator=generator)", "(n, 1)"),
        caught_by="test_a_generator_repeats_its_points",
        says="the global generator has moved on or been seeded",
    ),
    # mse_loss
    Mistake(
        "shapes not compared",
        was=REFUSE,
        now="",
        caught_by="test_refuses_shapes_that_differ",
        says="raised nothing expected an error, such as ValueError",
    ),
    # fit_manual
    Mistake(
        "w becomes a result under tracking",
        was=MANUAL_STEP,
        now="        w = w - lr * w.grad\n        b = b - lr * b.grad\n",
        caught_by="TestFitManual::test_shapes",
        says=(
            "looks like `w = w - lr * w.grad` (or the same with b): the new w is no "
            "leaf, so its .grad is None in the next step. Update in place, w -= …, "
            "under torch.no_grad()."
        ),
    ),
    Mistake(
        "w becomes a result under tracking, and its gradient is cleared",
        was=MANUAL_STEP,
        now=(
            "        w = w - lr * w.grad\n        w.grad.zero_()\n"
            "        b = b - lr * b.grad\n        b.grad.zero_()\n"
        ),
        caught_by="TestFitManual::test_shapes",
        says=(
            "looks like `w = w - lr * w.grad` (or the same with b): the new w is no "
            "leaf, so its .grad is None in the next step. Update in place, w -= …, "
            "under torch.no_grad()."
        ),
    ),
    Mistake(
        "a new w under no_grad",
        was=MANUAL_STEP,
        now=(
            "        with torch.no_grad():\n            w = w - lr * w.grad\n"
            "            b = b - lr * b.grad\n"
        ),
        caught_by="TestFitManual::test_shapes",
        says=(
            "looks like w and b without requires_grad=True, or replaced by a new w = "
            "w - … under no_grad, which has no requires_grad. Update in place, w -= …."
        ),
    ),
    Mistake(
        "gradients not cleared",
        was="        w.grad = b.grad = None\n",
        now="",
        caught_by="TestFitManual::test_equals_a_descent_written_out",
        says=(
            "looks like gradients that are not cleared: each step follows the sum of "
            "all so far"
        ),
    ),
    Mistake(
        "sum of the squares, N times the step",
        was=MANUAL_LOSS,
        now=MANUAL_LOSS.replace("mean", "sum"),
        caught_by="test_one_step_by_hand",
        says="looks like the sum of the squares, not their mean",
    ),
    Mistake(
        "y squeezed, differences (N, N)",
        was=MANUAL_LOSS,
        now="loss = ((X @ w + b).squeeze(1) - y).square().mean()",
        caught_by="test_one_step_by_hand",
        says="looks like y is (N,) somewhere: differences are (N, N)",
    ),
    Mistake(
        "w moved before the gradient of b is computed",
        was="            w -= lr * w.grad\n",
        now=(
            "            w -= lr * w.grad\n"
            "            b.grad = 2 * (X @ w + b - y).mean(dim=0)\n"
        ),
        caught_by="test_one_step_by_hand",
        says="looks like b moved by a gradient that the new w had changed",
    ),
    Mistake(
        "losses as tensors",
        was="        w.grad = b.grad = None\n        losses.append(loss.item())\n",
        now="        w.grad = b.grad = None\n        losses.append(loss)\n",
        caught_by="TestFitManual::test_shapes",
        says="looks like tensors kept: append loss.item()",
    ),
    Mistake(
        "float32 throughout",
        was="    w = torch.zeros(X.shape[1], 1, dtype=X.dtype, requires_grad=True)\n"
        "    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)\n",
        now=(
            "    w = torch.zeros(X.shape[1], 1, requires_grad=True)\n"
            "    b = torch.zeros(1, requires_grad=True)\n"
        ),
        caught_by="TestFitManual::test_the_result_has_the_dtype_of_x",
        says="expected m1 and m2 to have the same dtype, but got: double != float",
        edge=True,
    ),
    # LinearRegression
    Mistake(
        "parameters under other names",
        was="        self.linear = nn.Linear(in_features, out_features)\n",
        now="        self.w = nn.Parameter(torch.randn(out_features, in_features))\n"
        "        self.b = nn.Parameter(torch.zeros(out_features))\n"
        "        self.linear = lambda x: x @ self.w.T + self.b\n",
        caught_by="test_state_keys_and_shapes",
        says="missing 'linear.weight', 'linear.bias'",
    ),
    # train
    Mistake(
        "zero_grad between backward and step",
        was=EPOCH,
        now=EPOCH.replace("        optimizer.zero_grad()\n", "").replace(
            "step", "zero_grad()\n        optimizer.step"
        ),
        caught_by="TestTrain::test_equals_a_descent_written_out",
        says=(
            "looks like nothing was learned: no step, or zero_grad between backward "
            "and step"
        ),
    ),
    Mistake(
        "not in train mode",
        was="    model.train()\n",
        now="",
        caught_by="test_runs_in_train_mode_once_per_epoch",
        says="model.training was [False, False]",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=EPOCH,
        now=EPOCH.replace("        optimizer.zero_grad()\n", "")
        + "\n        optimizer.zero_grad()",
        caught_by="test_gradients_from_before_have_no_influence",
        says="looks like the first step used the gradients from before",
        edge=True,
    ),
    # fit_least_squares
    Mistake(
        "no intercept",
        was="    return solution[:-1], solution[-1]",
        now=(
            "    return torch.linalg.pinv(X) @ y, torch.zeros(y.shape[1], "
            "dtype=X.dtype)"
        ),
        caught_by="test_no_other_fit_is_better",
        says="looks like no intercept",
    ),
    Mistake(
        "inverse of XᵀX in float32",
        was=SOLVE,
        now="    A = torch.cat([X, torch.ones_like(X[:, :1])], dim=1)\n"
        "    solution = torch.linalg.inv(A.T @ A) @ A.T @ y\n",
        caught_by="test_a_feature_near_1000_still_gives_its_slope",
        says="looks like (XᵀX)⁻¹ in float32",
        edge=True,
    ),
    # fit_standardized
    Mistake(
        "w / sx without sy",
        was=W_BACK,
        now=W_BACK.replace(" * y_std", ""),
        caught_by="test_one_feature_is_mapped_back",
        says=(
            "looks like divided by the spread of X, not multiplied by that of y (N - 1)"
        ),
    ),
    Mistake(
        "b not mapped back to 0 cm",
        was=B_BACK,
        now="return w, y_mean + b * y_std",
        caught_by="test_one_feature_is_mapped_back",
        says=(
            "looks like the mean of y alone: the prediction at the mean of X, not at 0"
        ),
    ),
    Mistake(
        "a little added to the spread",
        was=(
            f"    {CONSTANT}\n"
            "    mean, std = columns.mean(dim=0), "
            "columns.std(dim=0).masked_fill(constant, 1.0)"
        ),
        now="    constant = torch.zeros(columns.shape[1], dtype=torch.bool)\n"
        "    mean, std = columns.mean(dim=0), columns.std(dim=0) + 1e-8",
        caught_by="test_a_constant_column_whose_mean_is_rounded_has_weight_zero",
        says="of w, where X is 170.1 everywhere",
        edge=True,
    ),
    # compare_optimizers
    Mistake(
        "one model trained on and on",
        was=RACE,
        now=RACE.replace("copy.deepcopy(start)", "start"),
        caught_by="test_the_same_optimizer_twice_has_the_same_curve",
        says="of the curve of the second of two like optimizers[0]",
    ),
    Mistake(
        "a new model for each optimizer",
        was=RACE,
        now=RACE.replace("copy.deepcopy(start)", "make_model()"),
        caught_by="test_all_start_with_the_same_loss",
        says="looks like a new model for each optimizer",
    ),
]

SIGN = "y = slope * X + intercept + noise * torch.randn(n, 1, generator=generator)"
SPREAD = (
    "mean, std = columns.mean(dim=0), columns.std(dim=0).masked_fill(constant, 1.0)"
)

EQUIVALENT = [
    Equivalent(
        was=SIGN,
        now=SIGN.replace("+ noise", "- noise"),
        reason="normal noise is symmetric",
    ),
    Equivalent(
        was=SPREAD,
        now=SPREAD.replace("1.0", "2.0"),
        reason=(
            "whatever a constant column is divided by, it is 0 afterwards and its "
            "weight stays 0"
        ),
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
        Equivalent(
            was=B_BACK,
            now=now,
            reason=(
                "on centred data the descent from zero leaves b at 0, rounding apart"
            ),
        )
        for now in (
            "return w, y_mean - x_mean @ w",
            "return w, y_mean + b - x_mean @ w",
            "return w, y_mean - b * y_std - x_mean @ w",
            "return w, y_mean + b / y_std - x_mean @ w",
        )
    ),
]
