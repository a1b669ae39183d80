"""Wrong solutions of papers/23 that its specs must catch."""

import sys

from grader.course.mistakes import Equivalent, Mistake

POWERS = "x.unsqueeze(-1) ** powers @ self.coefficients"
BITS = """n / 2 * math.log2(2 * math.pi * v)
        + total / (2 * v * math.log(2))
        - n * math.log2(precision)"""
NATS = "nats = 0.5 * np.log(2 * np.pi * v) + residuals**2 / (2 * v) - np.log(precision)"
OF_LOG_0 = (
    "expected a positive input" if sys.version_info >= (3, 14) else "math domain error"
)
VARIANCE = "v = max(total / n, precision**2)"
MODEL = "integer_code_length(k) + k / 2 * math.log2(num_points)"
RANGE = (
    "table = [two_part_code(x, y, degree, precision) for degree in range(max_degree + "
    "1)]"
)
CHOICE = 'min(range(max_degree + 1), key=lambda degree: table[degree]["total"])'

MISTAKES = [
    Mistake(
        "powers from 1",
        was=POWERS,
        now="x.unsqueeze(-1) ** (powers + 1) @ self.coefficients",
        caught_by="test_adds_up_powers_from_zero_on",
        says="looks like powers from 1 on",
    ),
    Mistake(
        "degree coefficients",
        was="torch.zeros(degree + 1, dtype=torch.float64)",
        now="torch.zeros(degree, dtype=torch.float64)",
        caught_by="test_has_one_coefficient_per_power_and_starts_at_zero",
        says="(3,)  expected (4,)",
    ),
    Mistake(
        "coefficients in float32",
        was="torch.zeros(degree + 1, dtype=torch.float64)",
        now="torch.zeros(degree + 1)",
        caught_by="test_has_one_coefficient_per_power_and_starts_at_zero",
        says="float32  expected float64",
    ),
    Mistake(
        "plain gradient steps",
        was="return [optimizer.step(evaluate).item() for _ in range(steps)]",
        now="""optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return [optimizer.step(evaluate).item() for _ in range(steps)]""",
        caught_by="test_reaches_the_least_squares_error",
        says="not within 1e-6",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_reaches_the_least_squares_error",
        says="the smallest possible one 0.07242053: not within 1e-6",
    ),
    Mistake(
        "loss after the step",
        was="return [optimizer.step(evaluate).item() for _ in range(steps)]",
        now=(
            "return [(optimizer.step(evaluate), evaluate())[1].item() for _ in "
            "range(steps)]"
        ),
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the loss after the update",
    ),
    Mistake(
        "nats, not bits",
        was=BITS,
        now="(" + BITS + ") * math.log(2)",
        caught_by="TestGaussianCodeLength::test_six_residuals_by_the_formula",
        says="looks like nats, not bits",
    ),
    Mistake(
        "precision term with the wrong sign",
        was=BITS,
        now=BITS.replace("- n", "+ n"),
        caught_by="test_half_the_spacing_costs_a_bit_per_residual",
        says="looks like a finer grid costs less",
    ),
    Mistake(
        "no normaliser",
        was=BITS,
        now="total / (2 * v * math.log(2)) - n * math.log2(precision)",
        caught_by="TestGaussianCodeLength::test_six_residuals_by_the_formula",
        says="looks like no log2(2πv)",
    ),
    Mistake(
        "a variance of 1",
        was=VARIANCE,
        now="v = 1.0",
        caught_by="TestGaussianCodeLength::test_six_residuals_by_the_formula",
        says="looks like a variance of 1",
    ),
    Mistake(
        "torch's variance, with n − 1",
        was=VARIANCE,
        now="v = max(total / (n - 1), precision**2)",
        caught_by="TestGaussianCodeLength::test_six_residuals_by_the_formula",
        says="looks like the variance with n − 1",
    ),
    Mistake(
        "NumPy: the exponent's nats added to bits",
        was=NATS + "\n    return float(nats.sum() / np.log(2))",
        now=(
            "bits = 0.5 * np.log2(2 * np.pi * v) + residuals**2 / (2 * v) - "
            "np.log2(precision)\n    return float(bits.sum())"
        ),
        caught_by="TestGaussianCodeLengthNumpy::test_six_residuals_by_the_formula",
        says="looks like Σr² / 2v in nats, the rest in bits",
    ),
    Mistake(
        "full log2 n per coefficient",
        was=MODEL,
        now="integer_code_length(k) + k * math.log2(num_points)",
        caught_by="test_each_coefficient_takes_half_of_log_n",
        says="looks like a whole log2(n) per coefficient",
    ),
    Mistake(
        "degree in place of degree + 1",
        was="k = degree + 1\n    return",
        now="k = max(degree, 1)\n    return",
        caught_by="test_each_coefficient_takes_half_of_log_n",
        says="looks like the degree in place of degree + 1",
    ),
    Mistake(
        "the bits of y",
        was="    train_polynomial(model, x, y)\n",
        now="",
        caught_by="test_the_data_part_is_what_the_trained_model_leaves_over",
        says="looks like the bits of y: the model is not trained",
    ),
    Mistake(
        "the precision is not passed on",
        was="gaussian_code_length(y - model(x), precision)",
        now="gaussian_code_length(y - model(x))",
        caught_by="test_the_precision_belongs_to_the_data",
        says="looks like a precision that the data's code did not get",
    ),
    Mistake(
        "range(max_degree)",
        was=RANGE + "\n    return " + CHOICE,
        now=RANGE.replace(" + 1", "") + "\n    return " + CHOICE.replace(" + 1", ""),
        caught_by="test_the_table_has_all_degrees_up_to_the_largest",
        says="max_degree=3 gives 3 entries",
    ),
    Mistake(
        "selection by the data part",
        was=CHOICE,
        now=CHOICE.replace("total", "data"),
        caught_by="test_chooses_the_smallest_total",
        says="looks like the smallest data part",
    ),
    Mistake(
        "criteria with the sum of squares",
        was="residuals.square().mean().item()",
        now="residuals.square().sum().item()",
        caught_by="test_four_residuals_by_hand",
        says="looks like the sum of r² in place of the mean",
    ),
    # edges
    Mistake(
        "no floor under the variance",
        was=VARIANCE,
        now="v = total / n",
        caught_by="TestGaussianCodeLength::test_a_perfect_fit_has_finitely_many_bits",
        says=f"raised ValueError: {OF_LOG_0}",
        edge=True,
    ),
    Mistake(
        "the larger degree on a tie",
        was="return min(range(max_degree + 1),",
        now="return min(reversed(range(max_degree + 1)),",
        caught_by="test_the_smaller_degree_on_a_tie",
        says="looks like the largest of the degrees with this total",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was='model.parameters(), max_iter=20, line_search_fn="strong_wolfe"',
        now='model.parameters(), max_iter=21, line_search_fn="strong_wolfe"',
        reason="30 steps come to the least squares either way",
        textbook=True,
    ),
    Equivalent(
        was='model.parameters(), max_iter=20, line_search_fn="strong_wolfe"',
        now='model.parameters(), max_iter=19, line_search_fn="strong_wolfe"',
        reason="30 steps come to the least squares either way",
        textbook=True,
    ),
]
