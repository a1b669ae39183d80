"""Wrong solutions of tinytorch/07 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

STEP = "                p.data -= self.lr * p.grad\n"
PASSES = """            loss_fn().backward()
            report[name].append(param.grad.copy())
"""
START = "        param.grad = None\n        report[name] = []\n"

MISTAKES = [
    # Optimizer
    Mistake(
        "params is no list",
        was="        self.params = list(params)\n        for p in self.params:",
        now="        self.params = params\n        for p in ():",
        caught_by="test_keeps_parameters_and_learning_rate",
        says="expected a list",
    ),
    Mistake(
        "zero_grad fills the gradients with zeros",
        was="            p.grad = None\n\n\nclass SGD",
        now="            p.grad = np.zeros_like(p.data)\n\n\nclass SGD",
        caught_by="test_zero_grad_forgets_the_gradients",
        says="after zero_grad, expected None",
    ),
    Mistake(
        "zero_grad zeroes the data",
        was="            p.grad = None\n\n\nclass SGD",
        now=(
            "            p.grad = None\n            p.data = np.zeros_like(p.data)\n\n"
            "\nclass SGD"
        ),
        caught_by="test_zero_grad_forgets_the_gradients",
        says="looks like zeroed data",
    ),
    Mistake(
        "equal values taken for one parameter",
        was="len({id(p) for p in self.params})",
        now="len({p.data.tobytes() for p in self.params})",
        caught_by="test_a_parameter_twice_is_refused",
        says="raised ValueError: a parameter occurs twice",
        edge=True,
    ),
    # SGD
    Mistake(
        "uphill",
        was=STEP,
        now=STEP.replace("-=", "+="),
        caught_by="test_one_step_by_hand",
        says="looks like a step uphill",
    ),
    Mistake(
        "no learning rate",
        was=STEP,
        now=STEP.replace("self.lr * ", ""),
        caught_by="test_one_step_by_hand",
        says="looks like the gradient without the learning rate",
    ),
    Mistake(
        "lr applied to the parameter",
        was=STEP,
        now="                p.data = self.lr * (p.data - p.grad)\n",
        caught_by="test_one_step_by_hand",
        says="looks like lr applied to the parameter as well",
    ),
    Mistake(
        "no look at None",
        was="            if p.grad is not None:\n" + STEP,
        now="            p.data -= self.lr * p.grad\n",
        caught_by="test_a_parameter_without_gradient_is_skipped",
        says="unsupported operand type(s) for *: 'float' and 'NoneType'",
    ),
    Mistake(
        "a parameter without gradient ends the step",
        was="            if p.grad is not None:\n" + STEP,
        now=(
            "            if p.grad is None:\n                return\n"
            "            p.data -= self.lr * p.grad\n"
        ),
        caught_by="test_a_parameter_without_gradient_is_skipped",
        says="looks like a parameter without gradient ends the loop",
    ),
    Mistake(
        "step clears the gradients",
        was=STEP,
        now=STEP + "                p.grad = None\n",
        caught_by="test_gradients_keep_their_values",
        says="grad is None after step",
    ),
    Mistake(
        "the update by operations of Tensor",
        was=STEP,
        now="                p.data = (p - self.lr * Tensor(p.grad)).data\n",
        caught_by="test_a_step_is_not_recorded",
        says="compute with the arrays p.data and p.grad",
    ),
    Mistake(
        "a new parameter in the list",
        was="        for p in self.params:\n            if p.grad is not None:\n"
        + STEP,
        now=(
            "        self.params = [Parameter(p.data - self.lr * p.grad) for p in "
            "self.params]\n"
        ),
        caught_by="test_one_step_by_hand",
        says="looks like no step at all",
    ),
    Mistake(
        "float32 parameters become float64",
        was=STEP,
        now="                p.data = p.data - np.float64(self.lr) * p.grad\n",
        caught_by="test_float32_stays_float32",
        says="expected float32",
    ),
    Mistake(
        "a new array at each step",
        was=STEP,
        now="                p.data = p.data - self.lr * p.grad\n",
        caught_by="test_data_stays_the_same_array",
        says="step made a new array",
        edge=True,
    ),
    # descend_quadratic
    Mistake(
        "a point too few: the start or the end",
        was="    points = [x.data.copy()]\n",
        now="    points = []\n",
        caught_by="test_a_small_example_by_hand",
        says="looks like the start is not kept",
    ),
    Mistake(
        "the ½ is missing",
        was="        (0.5 * c * x * x).sum().backward()",
        now="        (c * x * x).sum().backward()",
        caught_by="test_each_step_multiplies_by_one_minus_lr_c",
        says="looks like a curvature of 2c",
    ),
    Mistake(
        "references to one array as points",
        was="        optimizer.step()\n        points.append(x.data.copy())",
        now=(
            "        optimizer.step()\n        points[0] = x.data\n"
            "        points.append(x.data)"
        ),
        caught_by="test_a_small_example_by_hand",
        says="looks like every point is the last one",
    ),
    Mistake(
        "zero_grad forgotten",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_a_small_example_by_hand",
        says="looks like gradients that add up from step to step",
    ),
    Mistake(
        "the caller's array becomes the parameter",
        was="Parameter(np.array(start, dtype=np.float64))",
        now="Parameter(np.asarray(start, dtype=np.float64))",
        caught_by="test_the_start_is_not_written_to",
        says="start after the call",
        edge=True,
    ),
    # max_stable_lr, lr_sweep
    Mistake(
        "2 over the smallest curvature",
        was="2 / max(curvatures)",
        now="2 / min(curvatures)",
        caught_by="test_two_over_the_largest_curvature",
        says="looks like 2 / the smallest curvature",
    ),
    Mistake(
        "NaN taken for slow",
        was="        if not last <= first:  # NaN is not",
        now="        if last > first:",
        caught_by="test_infinity_and_nan_diverge",
        says="looks like NaN compared as if it were a number",
        edge=True,
    ),
    Mistake(
        "1 % taken as 10 %",
        was="last < 0.01 * first",
        now="last < 0.1 * first",
        caught_by="test_one_percent_of_the_first_loss",
        says="looks like 10 %, not 1 %",
    ),
    # accumulation_report
    Mistake(
        "references instead of copies",
        was="param.grad.copy()",
        now="param.grad",
        caught_by="test_gradients_are_copies",
        says="looks like three times the same array",
    ),
    Mistake(
        "not cleared between the series",
        was=START,
        now="        report[name] = []\n",
        caught_by="test_the_kth_accumulated_gradient_is_k_times_the_zeroed_one",
        says="looks like not cleared between the two series",
    ),
    # update_cost
    Mistake(
        "data and gradients counted",
        was="sum(p.nbytes for p in params)",
        now="2 * sum(p.nbytes for p in params)",
        caught_by="test_counts_elements_and_bytes",
        says="looks like data and gradients",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="elif losses[-1] < 0.01 * losses[0]:",
        now="elif losses[-1] <= 0.01 * losses[0]:",
        reason="no loss is 1 % of the first to the last bit",
        textbook=True,
    ),
]
