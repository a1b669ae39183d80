"""Wrong solutions of tinytorch/06 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SHIFTED = "    shifted = x.data - x.data.max(axis=dim, keepdims=True)\n"
RESULT = "    result = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))\n"
RULE = '(grad - np.exp(node.out) * grad.sum(axis=node.saved["dim"], keepdims=True),)'
PICKED = "-log_softmax(logits)[np.arange(len(numbers)), numbers].mean()"
INTEGERS = """    if numbers.dtype.kind not in "iu":\n"""
NORMS = "0.0 if p.grad is None else float(np.linalg.norm(p.grad))"

MISTAKES = [
    # mse_loss
    Mistake(
        "shapes that differ are broadcast",
        was="    if pred.shape != target.shape:\n",
        now="    if False:\n",
        caught_by="test_shapes_that_differ_are_refused",
        says="looks like shapes that differ are broadcast, not refused",
    ),
    Mistake(
        "always the mean",
        was='    if reduction == "mean":\n',
        now="    if True:\n",
        caught_by="test_each_reduction_with_its_gradient",
        says="looks like reduction='mean'",
    ),
    Mistake(
        "sum for mean",
        was="return squared.mean()",
        now="return squared.sum()",
        caught_by="test_the_mean_of_the_squares",
        says="looks like the sum, not the mean",
    ),
    Mistake(
        "cut off from the graph",
        was="squared = (pred - target) ** 2",
        now=(
            "squared = Tensor((pred.data - (target.data if isinstance(target, Tensor) "
            "else target)) ** 2)"
        ),
        caught_by="test_each_reduction_with_its_gradient",
        says="not connected to its input: no gradient can go back",
    ),
    # log_softmax
    Mistake(
        "the logarithm of softmax",
        was=RESULT,
        now=(
            "    e = np.exp(shifted)\n"
            "    result = np.log(e / e.sum(axis=dim, keepdims=True))\n"
        ),
        caught_by="TestLogSoftmax::test_large_logits",
        says="looks like the logarithm of a quotient that is 0",
    ),
    Mistake(
        "nothing subtracted",
        was=SHIFTED,
        now="    shifted = x.data\n",
        caught_by="TestLogSoftmax::test_large_logits",
        says="looks like the largest logit is not subtracted before exp",
    ),
    Mistake(
        "the largest logit of all rows",
        was=SHIFTED,
        now="    shifted = x.data - x.data.max()\n",
        caught_by="test_rows_of_different_levels",
        says="looks like the largest logit of both rows subtracted",
    ),
    Mistake(
        "always over dim 0",
        was=SHIFTED,
        now="    dim = 0\n" + SHIFTED,
        caught_by="TestLogSoftmax::test_a_small_example",
        says="looks like over the rows (dim 0), not along each row",
    ),
    Mistake(
        "a gradient as if the sum were constant",
        was=RULE,
        now="(grad,)",
        caught_by="TestLogSoftmax::test_any_dimension_with_its_gradient",
        says="looks like a sum that does not depend on the logits",
    ),
    Mistake(
        "the gradient for dim -1, whatever the dim",
        was=RULE,
        now=RULE.replace('node.saved["dim"]', "-1"),
        caught_by="TestLogSoftmax::test_any_dimension_with_its_gradient",
        says="the gradient of the input",
    ),
    # softmax
    Mistake(
        "the logarithm is left in",
        was="return log_softmax(x, dim).exp()",
        now="return log_softmax(x, dim)",
        caught_by="TestSoftmax::test_a_small_example",
        says="looks like the logarithm of softmax",
    ),
    Mistake(
        "exp first",
        was="return log_softmax(x, dim).exp()",
        now="return x.exp() / x.exp().sum(dim, keepdim=True)",
        caught_by="TestSoftmax::test_large_logits_and_rows_of_different_levels",
        says="looks like exp of the logits as they are: inf/inf and 0/0",
    ),
    # check_targets
    Mistake(
        "float targets pass",
        was=INTEGERS,
        now="    if False:\n",
        caught_by="test_targets_that_are_not_integers",
        says="raised nothing",
    ),
    Mistake(
        "only the length is compared",
        was="    if numbers.shape != logits.shape[:1]:\n",
        now="    if len(numbers) != len(logits.data):\n",
        caught_by="test_targets_of_another_shape",
        says="raised nothing",
    ),
    Mistake(
        "a Tensor comes back",
        was="    return numbers\n",
        now="    return targets if isinstance(targets, Tensor) else Tensor(targets)\n",
        caught_by="test_returns_the_numbers_as_an_array",
        says="a NumPy array of shape (3,)",
    ),
    # cross_entropy
    Mistake(
        "mean over rows and classes",
        was=PICKED,
        now=(
            "-log_softmax(logits)[np.arange(len(numbers)), numbers].sum() / logits.size"
        ),
        caught_by="TestCrossEntropy::test_a_small_example",
        says="looks like the mean over rows and classes",
    ),
    Mistake(
        "sum for mean",
        was=PICKED,
        now=PICKED.replace("mean", "sum"),
        caught_by="TestCrossEntropy::test_a_small_example",
        says="looks like the sum over the rows, not the mean",
    ),
    Mistake(
        "the logarithm of softmax's pick",
        was=PICKED,
        now="-softmax(logits)[np.arange(len(numbers)), numbers].log().mean()",
        caught_by="TestCrossEntropy::test_large_logits",
        says="looks like the logarithm of a probability that is 0",
    ),
    Mistake(
        "the targets are not checked",
        was="    numbers = check_targets(logits, targets)\n",
        now=(
            "    numbers = np.asarray(targets.data if isinstance(targets, Tensor) "
            "else targets)\n"
        ),
        caught_by="test_a_column_of_targets_is_refused",
        says="raised nothing",
    ),
    Mistake(
        "every target from every row",
        was=PICKED,
        now="-log_softmax(logits)[:, numbers].mean()",
        caught_by="TestCrossEntropy::test_value_and_gradient",
        says="looks like every row asked for every target",
    ),
    Mistake(
        "-1 is the last class",
        was="not (0 <= numbers.min() and numbers.max() < logits.shape[1])",
        now="not numbers.max() < logits.shape[1]",
        caught_by="test_a_class_that_does_not_exist",
        says="raised nothing",
        edge=True,
    ),
    # sigmoid_loss_gradients
    Mistake(
        "p(1 - p) does not cancel",
        was='"bce": p - target}',
        now='"bce": (p - target) * p * (1 - p)}',
        caught_by="test_at_zero",
        says="looks like multiplied by p(1 - p), which cancels",
    ),
    Mistake(
        "the sigmoid's slope is missing",
        was="2 * (p - target) * p * (1 - p)",
        now="2 * (p - target)",
        caught_by="test_at_zero",
        says="looks like the slope p(1 - p) of the sigmoid is missing",
    ),
    # gradient_magnitudes
    Mistake(
        "the largest element for the norm",
        was=NORMS,
        now="0.0 if p.grad is None else float(np.abs(p.grad).max())",
        caught_by="test_the_euclidean_norm",
        says="looks like the largest element",
    ),
    # predict_cross_entropy_bytes
    Mistake(
        "one loss per row",
        was='"loss": itemsize}',
        now='"loss": batch * itemsize}',
        caught_by="test_three_tables_and_a_number",
        says="looks like one loss per row",
    ),
]

EQUIVALENT: list[Equivalent] = []
