"""Wrong solutions of 05 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

WALK = """    waiting = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        name = type(node).__name__
        if name == "AccumulateGrad":
            leaves.append(node.variable)
        else:
            name = name.rstrip("0123456789").removesuffix("Backward")
            ops[name] = ops.get(name, 0) + 1
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
"""
RECURSION = """
    def visit(node):
        name = type(node).__name__
        if name == "AccumulateGrad":
            leaves.append(node.variable)
        else:
            name = name.rstrip("0123456789").removesuffix("Backward")
            ops[name] = ops.get(name, 0) + 1
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                visit(parent)

    visit(output.grad_fn)
"""

MISTAKES = [
    # finite_difference_gradient
    Mistake(
        "forward difference",
        was="""(
            _number(f(above.reshape(x.shape))) - _number(f(below.reshape(x.shape)))
        ) / (2 * eps)""",
        now=(
            "(_number(f(above.reshape(x.shape))) - "
            "_number(f(point.reshape(x.shape)))) / eps"
        ),
        caught_by="test_differences_are_central",
        says="looks like a forward difference, (f(x + eps) - f(x)) / eps",
    ),
    Mistake(
        "divided by eps, not 2 · eps",
        was="below.reshape(x.shape)))\n        ) / (2 * eps)",
        now="below.reshape(x.shape)))) / eps",
        caught_by="test_differences_are_central",
        says="looks like a difference over 2 · eps divided by eps",
    ),
    Mistake(
        "all elements moved at once",
        was="        above[i] += eps\n        below[i] -= eps\n",
        now="        above += eps\n        below -= eps\n",
        caught_by="test_only_one_element_moves_at_a_time",
        says="looks like all elements moved at once",
    ),
    Mistake(
        "the result has x's own dtype",
        was="point = x.detach().double().flatten()",
        now="point = x.detach().flatten()",
        caught_by="test_precise_for_a_float32_x",
        says="dtype float32 expected float64",
    ),
    # partial_derivatives
    Mistake(
        "the caller's tensors switched on",
        was="variables = [x.detach().requires_grad_() for x in inputs]",
        now="variables = [x.requires_grad_() for x in inputs]",
        caught_by="test_the_inputs_stay_as_they_were",
        says="looks like requires_grad is set on the caller's own plain",
    ),
    Mistake(
        "an unused input is an error",
        was="grad(value, variables, materialize_grads=True)",
        now="grad(value, variables)",
        caught_by="test_an_unused_input_gets_zeros",
        says=(
            "The differentiated Tensor at index 1 appears to not have been used in "
            "the graph"
        ),
    ),
    Mistake(
        "backward() adds into parameters inside f",
        was="    return torch.autograd.grad(value, variables, materialize_grads=True)",
        now="    value.backward()\n"
        "    return tuple(torch.zeros_like(v) if v.grad is None else v.grad for v in "
        "variables)",
        caught_by="test_parameters_inside_f_stay_as_they_were",
        says=(
            "weight.grad was changed: backward through the caller's own tensor leaves "
            "a gradient there"
        ),
        edge=True,
    ),
    Mistake(
        "no enable_grad",
        was="    with torch.enable_grad():\n        variables = [x",
        now="    if True:\n        variables = [x",
        caught_by="TestPartialDerivatives::test_works_inside_no_grad",
        says="looks like nothing was recorded while f ran",
        edge=True,
    ),
    # gradient_history
    Mistake(
        "the same .grad tensor appended every time",
        was="history.append(w.grad.clone())",
        now="history.append(w.grad)",
        caught_by="test_without_zeroing_gradients_add_up",
        says="looks like the same .grad tensor every time, in its last state",
    ),
    Mistake(
        "zeroed once before the loop",
        was="        if zero_between:\n            w.grad = None\n",
        now="",
        caught_by="test_zeroing_gives_each_gradient_alone",
        says="looks like the running sum",
    ),
    Mistake(
        "`.grad` is None: perhaps a clone without detach, which is no leaf",
        was="w = weight.detach().clone().requires_grad_()",
        now="w = weight.clone().requires_grad_()",
        caught_by="test_the_weight_may_require_grad_itself",
        says="AttributeError: 'NoneType' object has no attribute 'clone'",
    ),
    Mistake(
        "arguments of loss_fn swapped",
        was="loss_fn(w, x).backward()",
        now="loss_fn(x, w).backward()",
        caught_by="test_zeroing_gives_each_gradient_alone",
        says="looks like loss_fn called with its arguments swapped",
    ),
    # frozen_target_loss
    Mistake(
        "nothing detached",
        was="target = (reward + gamma * next_value).detach()",
        now="target = reward + gamma * next_value",
        caught_by="test_gradient_does_not_flow_through_the_target",
        says="looks like the gradient through prediction and target",
    ),
    Mistake(
        "value_fn(state) is not tracked",
        was="""        next_value = value_fn(next_state)
    target = (reward + gamma * next_value).detach()
    return (value_fn(state) - target)""",
        now="""        next_value = value_fn(next_state)
        value = value_fn(state)
    target = (reward + gamma * next_value).detach()
    return (value - target)""",
        caught_by="test_gradient_does_not_flow_through_the_target",
        says="the loss carries no graph: value_fn(state) must be tracked",
    ),
    Mistake(
        "detach whatever how says",
        was=""""no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
    }""",
        now='"no_grad": nullcontext, "inference_mode": nullcontext}',
        caught_by="test_the_target_is_computed_in_the_mode_asked_for",
        says="looks like detached, whatever `how` says",
    ),
    Mistake(
        "only the next value detached",
        was="target = (reward + gamma * next_value).detach()",
        now="target = reward + gamma * next_value.detach()",
        caught_by="test_no_gradient_reaches_the_reward",
        says="a gradient reaches the reward, with how='detach'",
        edge=True,
    ),
    # describe_graph
    Mistake(
        "a node counted once for each way to it",
        was="if parent is not None and parent not in seen:",
        now="if parent is not None:",
        caught_by="test_operations_and_leaves",
        says="looks like the shared node counted once per way to it",
    ),
    Mistake(
        "None among the parents not expected",
        was="if parent is not None and parent not in seen:",
        now="if parent not in seen:",
        caught_by="test_tensors_without_grad_are_not_listed",
        says="AttributeError: 'NoneType' object has no attribute 'next_functions'",
    ),
    Mistake(
        "recursion",
        was=WALK,
        now=RECURSION,
        caught_by="test_a_long_chain",
        says="RecursionError: maximum recursion depth exceeded",
        edge=True,
    ),
    # jacobian
    Mistake(
        "f called for each row",
        was="""            (rows[i],) = torch.autograd.grad(
                y, variable""",
        now="            with torch.enable_grad():\n                y = f(variable)\n"
        "            (rows[i],) = torch.autograd.grad(y, variable",
        caught_by="test_f_is_called_once",
        says="f was called 5 times",
    ),
    Mistake(
        "graph freed after the first row",
        was=" retain_graph=True,",
        now="",
        caught_by="test_values_are_taken_at_x",
        says="Trying to backward through the graph a second time",
    ),
    Mistake(
        "rows not brought into the shape of y",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows",
        caught_by="test_y_may_have_several_dimensions",
        says="looks like the right numbers in another shape",
    ),
    # inplace_is_safe
    Mistake(
        "a leaf changed in place",
        was="h = x.detach().requires_grad_().clone()",
        now="h = x.detach().clone().requires_grad_()",
        caught_by="test_operations_that_save_their_output",
        says=(
            "a leaf Variable that requires grad is being used in an in-place operation"
        ),
    ),
    # LeakyReLUFunction
    Mistake(
        "no None for slope",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, grad, ctx.slope * grad)",
        caught_by="test_gradient_is_one_or_the_slope",
        says="returned an incorrect number of gradients (expected 2, got 1)",
    ),
    Mistake(
        "the sign read from the output",
        was="""        positive = x > 0
        ctx.save_for_backward(positive)
        ctx.slope = slope
        return torch.where(positive, x, slope * x)
""",
        now="""        positive = x > 0
        y = torch.where(positive, x, slope * x)
        ctx.save_for_backward(y > 0)
        ctx.slope = slope
        return y
""",
        caught_by="test_slopes_of_zero_and_below",
        says="looks like the sign was read from the output",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="point = x.detach().double().flatten()",
        now="point = x.double().flatten()",
        reason="f is then recorded, and its value taken out by item() all the same",
    ),
    Equivalent(
        was="point = x.detach().double().flatten()",
        now="point = x.clone().double().flatten()",
        reason="f is then recorded, and its value taken out by item() all the same",
    ),
    Equivalent(
        was="gradient = torch.zeros_like(point)",
        now="gradient = torch.ones_like(point)",
        reason="every entry is written",
    ),
    Equivalent(
        was="variables = [x.detach().requires_grad_() for x in inputs]",
        now="variables = [x.clone().requires_grad_() for x in inputs]",
        reason="autograd.grad stops at the tensors it is asked about, leaves or not",
    ),
    Equivalent(
        was="variable = x.detach().requires_grad_()",
        now="variable = x.clone().requires_grad_()",
        reason="autograd.grad stops at the tensors it is asked about, leaves or not",
    ),
    Equivalent(
        was="changed.add_(1)",
        now="changed.add_(2)",
        reason="autograd counts the writes, whatever is written",
    ),
    Equivalent(
        was="changed.add_(1)",
        now="changed.add_(0)",
        reason="autograd counts the writes, whatever is written",
    ),
    Equivalent(
        was="y.sum().backward()",
        now="y.mean().backward()",
        reason="only whether the backward pass raises counts, not its gradients",
    ),
    Equivalent(
        was=(
            "torch.autograd.grad(entry, x, retain_graph=True, "
            "materialize_grads=True)[0]"
        ),
        now=(
            "torch.autograd.grad(entry, x, retain_graph=True, "
            "materialize_grads=True)[-1]"
        ),
        reason="one input has one gradient",
        textbook=True,
    ),
    Equivalent(
        was='(y if target == "output" else h).add_(1)',
        now='(y if target == "output" else h).add_(2)',
        reason="any write is a change",
        textbook=True,
    ),
    Equivalent(
        was='(y if target == "output" else h).add_(1)',
        now='(y if target == "output" else h).add_(0)',
        reason="autograd counts writes, whatever they add",
        textbook=True,
    ),
    Equivalent(
        was="return torch.where(x > 0, x, slope * x)",
        now="return torch.where(x >= 0, x, slope * x)",
        reason="slope · 0 is 0",
        textbook=True,
    ),
]
