"""Wrong solutions of papers/22 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

DESIGN = "design = torch.stack([torch.ones_like(log_n), log_n], dim=1)"
POLYFIT = "np.polyfit(np.log(sizes), np.log(losses), 1)"
FITTED = "return *fit_power_law(sizes, [loss - c for loss in losses]), c"
ERROR = """return sum(
            math.log(loss / (a * n**-alpha + c)) ** 2
            for n, loss in zip(sizes, losses, strict=True)
        )"""
PREDICTION = "return self.linear(x[:, : self.linear.in_features]).squeeze(-1)"
SCHEDULE = "lambda step: 1 - step / steps\n    )"
TESTED = """    with torch.no_grad():
        x, y = make_power_law_data(4000, num_features, exponent, generator)
        return F.mse_loss(model(x), y).item()
"""
SPLIT = """(compute / 6) ** (
        beta / (alpha + beta)
    )"""
REPEAT = """    for _ in range(repeats):
        model = FeatureModel(size)
        x, y = make_power_law_data(num_samples, num_features, exponent, generator)
"""
FRESH = """\
            x, y = make_power_law_data(4000, num_features, exponent, generator)
            losses"""

MISTAKES = [
    Mistake(
        "the slope with its sign",
        was="return math.exp(intercept), -slope",
        now="return math.exp(intercept), slope",
        caught_by="TestFitPowerLaw::test_an_exact_law_is_found_again",
        says="looks like the slope with its own sign, which is −alpha",
    ),
    Mistake(
        "log a",
        was="return math.exp(intercept), -slope",
        now="return intercept, -slope",
        caught_by="TestFitPowerLaw::test_an_exact_law_is_found_again",
        says="looks like log a",
    ),
    Mistake(
        "sizes without a logarithm",
        was=DESIGN,
        now="design = torch.stack([torch.ones_like(log_n), log_n.exp()], dim=1)",
        caught_by=(
            "TestFitPowerLaw::test_other_points_are_fitted_by_least_squares_in_logs"
        ),
        says="looks like a line through (n, log loss): the sizes have no logarithm",
    ),
    Mistake(
        "a line through the first and the last point",
        was="torch.linalg.lstsq(design, log_loss).solution",
        now="torch.linalg.solve(design[[0, -1]], log_loss[[0, -1]])",
        caught_by=(
            "TestFitPowerLaw::test_other_points_are_fitted_by_least_squares_in_logs"
        ),
        says="looks like a line through the first and the last point",
    ),
    Mistake(
        "alpha made positive",
        was="return math.exp(intercept), -slope",
        now="return math.exp(intercept), abs(slope)",
        caught_by="TestFitPowerLaw::test_any_law_is_found_from_sizes_in_any_order",
        says="looks like alpha with its sign changed",
    ),
    Mistake(
        "NumPy: arguments of polyfit swapped",
        was=POLYFIT,
        now="np.polyfit(np.log(losses), np.log(sizes), 1)",
        caught_by=(
            "TestFitPowerLawNumpy::"
            "test_other_points_are_fitted_by_least_squares_in_logs"
        ),
        says="looks like sizes and losses exchanged",
    ),
    Mistake(
        "c subtracted after the fit",
        was=FITTED,
        now="return *fit_power_law(sizes, losses), c",
        caught_by="test_a_law_above_a_floor_is_found_again",
        says="looks like a fit without a floor",
    ),
    Mistake(
        "the last loss for the smallest one",
        was="lowest = min(losses)",
        now="lowest = losses[-1]",
        caught_by="test_the_grid_reaches_up_to_the_smallest_loss",
        says=(
            "raised ValueError: a power law needs sizes and losses above 0, not [-0.017"
        ),
    ),
    Mistake(
        "errors in what is left above c",
        was=ERROR,
        now=(
            "return sum(math.log((loss - c) / (a * n**-alpha)) ** 2 for n, loss in "
            "zip(sizes, losses, strict=True))"
        ),
        caught_by="test_the_best_floor_has_the_smallest_error_in_log_loss",
        says="the best c of the grid has",
    ),
    Mistake(
        "predictions (B, 1)",
        was=PREDICTION,
        now="return self.linear(x[:, : self.linear.in_features])",
        caught_by="test_predicts_one_number_per_sample",
        says="(5, 1)  expected (5,)",
    ),
    Mistake(
        "weights as nn.Linear draws them",
        was="    nn.init.zeros_(model.linear.weight)\n",
        now="",
        caught_by="test_zero_weights_have_the_loss_of_saying_nothing",
        says="of the loss for lr=0, with weights of zero got 2.3",
    ),
    Mistake(
        "a constant learning rate",
        was=SCHEDULE,
        now="lambda step: 1.0)",
        caught_by="test_four_steps_of_sgd_by_hand",
        says="looks like a constant learning rate",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_four_steps_of_sgd_by_hand",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "every prediction against every target",
        was="loss = F.mse_loss(model(x), y)",
        now="loss = (model(x)[:, None] - y).square().mean()",
        caught_by="test_four_steps_of_sgd_by_hand",
        says="looks like every prediction compared with every target",
    ),
    Mistake(
        "the training loss",
        was=TESTED,
        now=TESTED.replace("return F.mse_loss(model(x), y)", "return loss"),
        caught_by="test_zero_weights_have_the_loss_of_saying_nothing",
        says="looks like a loss on training samples",
    ),
    Mistake(
        "one batch for all steps",
        was=(
            "    for _ in range(steps):\n"
            "        x, y = make_power_law_data(batch_size, num_features, exponent, "
            "generator)\n"
        ),
        now=(
            "    x, y = make_power_law_data(batch_size, num_features, exponent, "
            "generator)\n    for _ in range(steps):\n"
        ),
        caught_by="test_each_step_draws_a_fresh_batch",
        says="one batch for all steps",
    ),
    Mistake(
        "alpha and beta exchanged",
        was=SPLIT,
        now="(compute / 6) ** (alpha / (alpha + beta))",
        caught_by="test_is_where_a_search_finds_the_smallest_loss",
        says="looks like alpha and beta exchanged in the exponent of the budget",
    ),
    Mistake(
        "without the factor 6",
        was=SPLIT + "\n    return n, compute / (6 * n)",
        now="compute ** (beta / (alpha + beta))\n    return n, compute / n",
        caught_by="test_equal_laws_share_equally",
        says="looks like a budget of N · D, without the factor 6",
    ),
    Mistake(
        "one draw for all repeats",
        was=REPEAT,
        now="""\
    drawn = make_power_law_data(num_samples, num_features, exponent, generator)
    for _ in range(repeats):
        model = FeatureModel(size)
        x, y = drawn
""",
        caught_by="test_averages_over_repeats_with_new_samples",
        says="one draw for all repeats",
    ),
    Mistake(
        "the loss on the training samples",
        was=FRESH,
        now=(
            "            make_power_law_data(4000, num_features, exponent, "
            "generator)\n            losses"
        ),
        caught_by="test_is_the_test_error_of_the_least_squares_weights",
        says="looks like the loss on the samples that it has learned",
    ),
    Mistake(
        "the generator not passed on",
        was=(
            "x, y = make_power_law_data(num_samples, num_features, exponent, generator)"
        ),
        now="x, y = make_power_law_data(num_samples, num_features, exponent)",
        caught_by="TestDataLimitedLoss::test_options_and_generator_reach_the_data",
        says="a draw that is not from the generator",
    ),
    # edges
    Mistake(
        "a zero loss gives NaN",
        was="if not (tensor > 0).all():",
        now="if (tensor < 0).any():",
        caught_by="TestFitPowerLaw::test_a_value_that_is_not_positive_is_an_error",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    Mistake(
        "float32",
        was="torch.as_tensor(values, dtype=torch.float64)",
        now="torch.as_tensor(values, dtype=torch.float32)",
        caught_by="TestFitPowerLaw::test_has_the_precision_of_float64",
        says="looks like float32, with seven digits",
        edge=True,
    ),
    Mistake(
        "fewer samples than features",
        was="if num_samples < size:",
        now="if num_samples < 1:",
        caught_by="test_fewer_samples_than_features_are_an_error",
        says="raised nothing",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if error < best_error:",
        now="if error <= best_error:",
        reason="of equal errors either floor is best",
        textbook=True,
    ),
    Equivalent(
        was='optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)',
        now='optimizer.param_groups[-1]["lr"] = lr * (1 - step / steps)',
        reason="one group",
        textbook=True,
    ),
]
