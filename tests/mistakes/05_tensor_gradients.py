"""Wrong solutions of 05 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

MISTAKES = [
    # finite_difference_gradient
    Mistake(
        "forward difference",
        was="(_number(f(above.reshape(x.shape))) - _number(f(below.reshape(x.shape)))) / (2 * eps)",
        now="(_number(f(above.reshape(x.shape))) - _number(f(point.reshape(x.shape)))) / eps",
        caught_by="test_differences_are_central",
    ),
    Mistake(
        "backward difference",
        was="(_number(f(above.reshape(x.shape))) - _number(f(below.reshape(x.shape)))) / (2 * eps)",
        now="(_number(f(point.reshape(x.shape))) - _number(f(below.reshape(x.shape)))) / eps",
        caught_by="test_differences_are_central",
    ),
    Mistake(
        "divided by eps, not 2 · eps",
        was="below.reshape(x.shape)))) / (2 * eps)",
        now="below.reshape(x.shape)))) / eps",
        caught_by="test_slopes_match_calculus",
    ),
    Mistake(
        "divided by 2 and multiplied by eps",
        was="below.reshape(x.shape)))) / (2 * eps)",
        now="below.reshape(x.shape)))) / 2 * eps",
        caught_by="test_slopes_match_calculus",
    ),
    Mistake(
        "all elements moved at once",
        was="        above[i] += eps\n        below[i] -= eps\n",
        now="        above += eps\n        below -= eps\n",
        caught_by="test_only_one_element_moves_at_a_time",
    ),
    Mistake(
        "elements not moved back",
        was="    for i in range(point.numel()):\n        above, below = point.clone(), point.clone()\n",
        now="    above, below = point.clone(), point.clone()\n    for i in range(point.numel()):\n",
        caught_by="test_only_one_element_moves_at_a_time",
    ),
    Mistake(
        "computed in x's own dtype",
        was="point = x.detach().double().flatten()",
        now="point = x.detach().flatten()",
        caught_by="test_precise_whatever_the_dtype_of_x",
    ),
    Mistake(
        "computed in float32 throughout",
        was="point = x.detach().double().flatten()",
        now="point = x.detach().float().flatten()",
        caught_by="test_slopes_match_calculus",
    ),
    Mistake(
        "float64 work, result cast back to x's dtype",
        was="return gradient.reshape(x.shape)",
        now="return gradient.reshape(x.shape).to(x.dtype)",
        caught_by="test_precise_whatever_the_dtype_of_x",
    ),
    Mistake(
        "f called with x's own dtype",
        was="_number(f(above.reshape(x.shape))) - _number(f(below.reshape(x.shape)))",
        now="_number(f(above.reshape(x.shape).to(x.dtype))) - _number(f(below.reshape(x.shape).to(x.dtype)))",
        caught_by="test_f_is_called_with_float64_tensors_of_the_shape_of_x",
    ),
    Mistake(
        "f called with the flattened tensor",
        was="_number(f(above.reshape(x.shape))) - _number(f(below.reshape(x.shape)))",
        now="_number(f(above)) - _number(f(below))",
        caught_by="test_f_is_called_with_float64_tensors_of_the_shape_of_x",
    ),
    Mistake(
        "result left flat",
        was="return gradient.reshape(x.shape)",
        now="return gradient",
        caught_by="test_one_slope_for_every_element",
    ),
    Mistake(
        "elements moved in the caller's tensor",
        was="above, below = point.clone(), point.clone()",
        now="above, below = point, point.clone()",
        caught_by="test_x_is_not_changed",
    ),
    Mistake(
        "loop over rows instead of elements",
        was="for i in range(point.numel()):",
        now="for i in range(len(x)):",
        caught_by="test_slopes_match_calculus",
    ),
    Mistake(
        "loop over len(x), which a 0-dim tensor has not",
        was="for i in range(point.numel()):",
        now="for i in range(len(x) and point.numel()):",
        caught_by="test_works_on_a_single_number",
    ),
    Mistake(
        "view of a non-contiguous tensor",
        was="point = x.detach().double().flatten()",
        now="point = x.detach().double().view(-1)",
        caught_by="TestFiniteDifferenceGradient::test_works_on_a_transposed_view",
    ),
    Mistake(
        "elements walked in memory order",
        was="point = x.detach().double().flatten()",
        now="point = x.detach().double().clone().as_strided((x.numel(),), (1,))",
        caught_by="TestFiniteDifferenceGradient::test_works_on_a_transposed_view",
    ),
    Mistake(
        "default step 1e-3",
        was="x: Tensor, eps: float = 1e-6",
        now="x: Tensor, eps: float = 1e-3",
        caught_by="test_the_step_is_one_millionth_unless_given",
    ),
    Mistake(
        "the step given is ignored",
        was="    point = x.detach().double()",
        now="    eps = 1e-6\n    point = x.detach().double()",
        caught_by="test_differences_are_central",
    ),
    Mistake(
        "several values summed silently",
        was='    if value.numel() != 1:\n        raise ValueError(f"f must return one element, not a tensor of shape '
        '{tuple(value.shape)}")\n    return value.item()',
        now="    return value.sum().item()",
        caught_by="TestFiniteDifferenceGradient::test_more_or_less_than_one_element_is_an_error",
    ),
    Mistake(
        "the error that item() raises is left as it is",
        was='    if value.numel() != 1:\n        raise ValueError(f"f must return one element, not a tensor of shape '
        '{tuple(value.shape)}")\n    return value.item()',
        now="    return value.item()",
        caught_by="TestFiniteDifferenceGradient::test_more_or_less_than_one_element_is_an_error",
    ),
    Mistake(
        "no elements taken for one",
        was='    if value.numel() != 1:\n        raise ValueError(f"f must return one element, not a tensor of shape '
        '{tuple(value.shape)}")\n    return value.item()',
        now="    if value.numel() > 1:\n        raise ValueError\n    return float(value.sum())",
        caught_by="TestFiniteDifferenceGradient::test_more_or_less_than_one_element_is_an_error",
    ),
    Mistake(
        "only 0-dim values allowed",
        was='    if value.numel() != 1:\n        raise ValueError(f"f must return one element, not a tensor of shape '
        '{tuple(value.shape)}")\n    return value.item()',
        now="    if value.ndim:\n        raise ValueError\n    return value.item()",
        caught_by="TestFiniteDifferenceGradient::test_one_element_may_have_dimensions",
    ),
    Mistake(
        "the result hangs on f's graph",
        was="    return value.item()",
        now="    return value.reshape(())",
        caught_by="TestFiniteDifferenceGradient::test_the_result_does_not_require_grad",
    ),
    # partial_derivatives
    Mistake(
        "the caller's tensors switched on, backward, .grad",
        was="""        variables = [x.detach().requires_grad_() for x in inputs]
        value = f(*variables)
""",
        now="""        variables = [x.requires_grad_() for x in inputs]
        value = f(*variables)
""",
        caught_by="test_the_inputs_stay_as_they_were",
    ),
    Mistake(
        "backward() adds into parameters inside f",
        was="    return torch.autograd.grad(value, variables, materialize_grads=True)",
        now="    value.backward()\n"
        "    return tuple(torch.zeros_like(v) if v.grad is None else v.grad for v in variables)",
        caught_by="test_parameters_inside_f_stay_as_they_were",
    ),
    Mistake(
        "an unused input is an error",
        was="grad(value, variables, materialize_grads=True)",
        now="grad(value, variables)",
        caught_by="test_an_unused_input_gets_zeros",
    ),
    Mistake(
        "an unused input gets None",
        was="grad(value, variables, materialize_grads=True)",
        now="grad(value, variables, allow_unused=True)",
        caught_by="test_an_unused_input_gets_zeros",
    ),
    Mistake(
        "an unused input is left out",
        was="return torch.autograd.grad(value, variables, materialize_grads=True)",
        now="return tuple(g for g in torch.autograd.grad(value, variables, allow_unused=True) if g is not None)",
        caught_by="test_an_unused_input_gets_zeros",
    ),
    Mistake(
        "a constant f is an error",
        was="    if not value.requires_grad:\n        return tuple(torch.zeros_like(x) for x in inputs)\n",
        now="",
        caught_by="TestPartialDerivatives::test_a_constant_f_gives_zeros",
    ),
    Mistake(
        "zeros of a constant f are float32 numbers",
        was="return tuple(torch.zeros_like(x) for x in inputs)",
        now="return tuple(torch.zeros(x.shape) for x in inputs)",
        caught_by="test_every_gradient_has_the_dtype_of_its_input",
    ),
    Mistake(
        "zeros of a constant f have one element each",
        was="return tuple(torch.zeros_like(x) for x in inputs)",
        now="return tuple(x.new_zeros(()) for x in inputs)",
        caught_by="TestPartialDerivatives::test_a_constant_f_gives_zeros",
    ),
    Mistake(
        "a list instead of a tuple",
        was="return torch.autograd.grad(value, variables, materialize_grads=True)",
        now="return list(torch.autograd.grad(value, variables, materialize_grads=True))",
        caught_by="TestPartialDerivatives::test_one_gradient_per_input",
    ),
    Mistake(
        "gradients in reverse order",
        was="return torch.autograd.grad(value, variables, materialize_grads=True)",
        now="return torch.autograd.grad(value, variables, materialize_grads=True)[::-1]",
        caught_by="TestPartialDerivatives::test_one_gradient_per_input",
    ),
    Mistake(
        "one leaf for a tensor that is passed twice",
        was="variables = [x.detach().requires_grad_() for x in inputs]",
        now="leaves = {id(x): x.detach().requires_grad_() for x in inputs}\n"
        "        variables = [leaves[id(x)] for x in inputs]",
        caught_by="test_the_same_tensor_twice_is_two_variables",
    ),
    Mistake(
        "no enable_grad",
        was="    with torch.enable_grad():\n        variables = [x",
        now="    if True:\n        variables = [x",
        caught_by="TestPartialDerivatives::test_works_inside_no_grad",
    ),
    Mistake(
        "grad mode left switched on",
        was="    with torch.enable_grad():\n        variables = [x",
        now="    torch.set_grad_enabled(True)\n    if True:\n        variables = [x",
        caught_by="test_the_grad_mode_of_the_caller_holds_afterwards",
    ),
    Mistake(
        "grad mode switched off at the end",
        was="        value = f(*variables)\n",
        now="        value = f(*variables)\n    torch.set_grad_enabled(False)\n",
        caught_by="test_the_grad_mode_of_the_caller_holds_afterwards",
    ),
    Mistake(
        "copies that stay in the caller's graph, and backward()",
        was="""variables = [x.detach().requires_grad_() for x in inputs]
        value = f(*variables)
""",
        now="""variables = [x.clone().requires_grad_() for x in inputs]
        value = f(*variables)
    if value.numel() == 1 and value.requires_grad:
        [v.retain_grad() for v in variables]
        value.backward()
        return tuple(torch.zeros_like(v) if v.grad is None else v.grad for v in variables)
""",
        caught_by="test_an_input_may_be_a_result_itself",
    ),
    Mistake(
        "vector-valued f summed silently",
        was="""    if value.numel() != 1:
        raise ValueError(f"f must return one element, not a tensor of shape {tuple(value.shape)}")
    if not value""",
        now="    value = value.sum()\n    if not value",
        caught_by="TestPartialDerivatives::test_more_or_less_than_one_element_is_an_error",
    ),
    Mistake(
        "autograd's own RuntimeError for a vector",
        was="""    if value.numel() != 1:
        raise ValueError(f"f must return one element, not a tensor of shape {tuple(value.shape)}")
    if not value""",
        now="    if not value",
        caught_by="TestPartialDerivatives::test_more_or_less_than_one_element_is_an_error",
    ),
    Mistake(
        "a constant vector slips through",
        was="""    if value.numel() != 1:
        raise ValueError(f"f must return one element, not a tensor of shape {tuple(value.shape)}")
    if not value""",
        now="""    if value.numel() != 1 and value.requires_grad:
        raise ValueError(f"f must return one element, not a tensor of shape {tuple(value.shape)}")
    if not value""",
        caught_by="test_a_constant_vector_is_an_error_too",
    ),
    Mistake(
        "only 0-dim values have partials",
        was="""    if value.numel() != 1:
        raise ValueError(f"f must return one element, not a tensor of shape {tuple(value.shape)}")
    if not value""",
        now="    if value.ndim != 0:\n        raise ValueError\n    if not value",
        caught_by="TestPartialDerivatives::test_one_element_may_have_dimensions",
    ),
    Mistake(
        "create_graph: the gradients require grad",
        was="grad(value, variables, materialize_grads=True)",
        now="grad(value, variables, materialize_grads=True, create_graph=True)",
        caught_by="test_the_gradients_do_not_require_grad",
    ),
    Mistake(
        "all inputs cast to float32",
        was="variables = [x.detach().requires_grad_() for x in inputs]",
        now="variables = [x.detach().float().requires_grad_() for x in inputs]",
        caught_by="test_every_gradient_has_the_dtype_of_its_input",
    ),
    # gradient_history
    Mistake(
        "the same .grad tensor appended every time",
        was="history.append(w.grad.clone())",
        now="history.append(w.grad)",
        caught_by="test_without_zeroing_gradients_add_up",
    ),
    Mistake(
        "detach instead of clone for the snapshot",
        was="history.append(w.grad.clone())",
        now="history.append(w.grad.detach())",
        caught_by="test_snapshots_do_not_change_later",
    ),
    Mistake(
        "zeroed in place below a snapshot that is no copy",
        was="""            w.grad = None
        loss_fn(w, x).backward()
        history.append(w.grad.clone())""",
        now="""            w.grad = None if w.grad is None else w.grad.zero_()
        loss_fn(w, x).backward()
        history.append(w.grad)""",
        caught_by="test_zeroing_gives_each_gradient_alone",
    ),
    Mistake(
        "zeroed once before the loop",
        was="        if zero_between:\n            w.grad = None\n",
        now="",
        caught_by="test_zeroing_gives_each_gradient_alone",
    ),
    Mistake(
        "zeroed whatever the flag",
        was="        if zero_between:",
        now="        if True:",
        caught_by="test_without_zeroing_gradients_add_up",
    ),
    Mistake(
        "flag inverted",
        was="        if zero_between:",
        now="        if not zero_between:",
        caught_by="test_zeroing_gives_each_gradient_alone",
    ),
    Mistake(
        "zeroed between backward and snapshot",
        was="""        if zero_between:
            w.grad = None
        loss_fn(w, x).backward()
""",
        now="""        loss_fn(w, x).backward()
        if zero_between:
            w.grad = torch.zeros_like(w)
""",
        caught_by="test_zeroing_gives_each_gradient_alone",
    ),
    Mistake(
        "weight itself differentiated",
        was="w = weight.detach().clone().requires_grad_()",
        now="w = weight.requires_grad_()",
        caught_by="test_the_weight_stays_as_it_was",
    ),
    Mistake(
        "w shares the weight's memory",
        was="w = weight.detach().clone().requires_grad_()",
        now="w = weight.detach().requires_grad_()",
        caught_by="test_the_copy_is_private",
    ),
    Mistake(
        "deepcopy takes the old .grad along",
        was="w = weight.detach().clone().requires_grad_()",
        now="import copy\n    w = copy.deepcopy(weight).requires_grad_()",
        caught_by="test_an_old_gradient_neither_counts_nor_changes",
    ),
    Mistake(
        "clone without detach: .grad of a non-leaf",
        was="w = weight.detach().clone().requires_grad_()",
        now="w = weight.clone().requires_grad_()",
        caught_by="test_the_weight_may_require_grad_itself",
    ),
    Mistake(
        "clone without detach but retain_grad",
        was="w = weight.detach().clone().requires_grad_()",
        now="w = weight.clone().requires_grad_()\n    w.retain_grad()",
        caught_by="test_the_weight_stays_as_it_was",
    ),
    Mistake(
        "copied anew for each input",
        was="        if zero_between:\n            w.grad = None\n",
        now="        if zero_between:\n            w = weight.detach().clone().requires_grad_()\n",
        caught_by="test_the_copy_is_private",
    ),
    Mistake(
        "arguments of loss_fn swapped",
        was="loss_fn(w, x).backward()",
        now="loss_fn(x, w).backward()",
        caught_by="test_loss_fn_is_called_once_per_input_in_order",
    ),
    Mistake(
        "loss_fn called once more to look at the loss",
        was="        loss_fn(w, x).backward()\n",
        now="        loss_fn(w, x).item()\n        loss_fn(w, x).backward()\n",
        caught_by="test_loss_fn_is_called_once_per_input_in_order",
    ),
    Mistake(
        "inputs taken by index",
        was="    for x in inputs:\n",
        now="    for i in range(len(inputs)):\n        x = inputs[i]\n",
        caught_by="test_an_iterator_is_fine",
    ),
    Mistake(
        "inputs walked through twice",
        was="    history = []\n",
        now="    history = []\n    if not sum(1 for _ in inputs):\n        return []\n",
        caught_by="test_an_iterator_is_fine",
    ),
    Mistake(
        "stacked at the end, which nothing can be",
        was="    return history",
        now="    return list(torch.stack(history))",
        caught_by="test_no_input_gives_an_empty_list",
    ),
    Mistake(
        "a tensor instead of a list",
        was="    return history",
        now="    return torch.stack(history) if history else history",
        caught_by="TestGradientHistory::test_one_gradient_per_input",
    ),
    Mistake(
        "create_graph: snapshots hang on the graph",
        was="loss_fn(w, x).backward()",
        now="loss_fn(w, x).backward(create_graph=True)",
        caught_by="test_snapshots_do_not_require_grad",
    ),
    Mistake(
        "snapshots rounded to float32",
        was="history.append(w.grad.clone())",
        now="history.append(w.grad.float().clone())",
        caught_by="test_the_gradients_have_the_dtype_of_the_weight",
    ),
    # frozen_target_loss
    Mistake(
        "nothing detached",
        was="target = (reward + gamma * next_value).detach()",
        now="target = reward + gamma * next_value",
        caught_by="test_gradient_does_not_flow_through_the_target",
    ),
    Mistake(
        "only the next value detached",
        was="target = (reward + gamma * next_value).detach()",
        now="target = reward + gamma * next_value.detach()",
        caught_by="test_the_whole_target_is_a_constant",
    ),
    Mistake(
        "the prediction detached instead of the target",
        was="""    target = (reward + gamma * next_value).detach()
    return (value_fn(state) - target)""",
        now="""    target = reward + gamma * next_value
    return (value_fn(state).detach() - target)""",
        caught_by="test_gradient_does_not_flow_through_the_target",
    ),
    Mistake(
        "the mode around both calls",
        was="""        next_value = value_fn(next_state)
    target = (reward + gamma * next_value).detach()
    return (value_fn(state) - target)""",
        now="""        next_value = value_fn(next_state)
        value = value_fn(state)
    target = (reward + gamma * next_value).detach()
    return (value - target)""",
        caught_by="test_the_target_is_computed_in_the_mode_asked_for",
    ),
    Mistake(
        "detach whatever how says",
        was='"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}',
        now='"no_grad": nullcontext, "inference_mode": nullcontext}',
        caught_by="test_the_target_is_computed_in_the_mode_asked_for",
    ),
    Mistake(
        "no_grad for detach",
        was='{"detach": nullcontext,',
        now='{"detach": torch.no_grad,',
        caught_by="test_detach_is_the_usual_way",
    ),
    Mistake(
        "no_grad for inference_mode",
        was='"inference_mode": torch.inference_mode}',
        now='"inference_mode": torch.no_grad}',
        caught_by="test_the_target_is_computed_in_the_mode_asked_for",
    ),
    Mistake(
        "no_grad unless given",
        was='how: str = "detach"',
        now='how: str = "no_grad"',
        caught_by="test_detach_is_the_usual_way",
    ),
    Mistake(
        "another how falls back to detach",
        was="        raise ValueError(f\"how must be one of {', '.join(modes)}, not {how!r}\")\n",
        now='        how = "detach"\n',
        caught_by="test_another_how_is_an_error",
    ),
    Mistake(
        "another how is a KeyError",
        was="    if how not in modes:\n"
        "        raise ValueError(f\"how must be one of {', '.join(modes)}, not {how!r}\")\n",
        now="",
        caught_by="test_another_how_is_an_error",
    ),
    Mistake(
        "gamma 0.99 unless given",
        was="gamma: float = 0.9",
        now="gamma: float = 0.99",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "gamma fixed",
        was="(reward + gamma * next_value)",
        now="(reward + 0.9 * next_value)",
        caught_by="test_gamma_weighs_the_next_value",
    ),
    Mistake(
        "gamma weighs the reward too",
        was="(reward + gamma * next_value)",
        now="(gamma * (reward + next_value))",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "reward subtracted",
        was="(reward + gamma * next_value)",
        now="(gamma * next_value - reward)",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "states exchanged",
        was="        next_value = value_fn(next_state)",
        now="        next_value = value_fn(state)",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "sum for mean",
        was=".square().mean()",
        now=".square().sum()",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "absolute for squared",
        was=".square().mean()",
        now=".abs().mean()",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    Mistake(
        "one loss per row",
        was=".square().mean()",
        now=".square()",
        caught_by="test_mean_squared_distance_to_the_target",
    ),
    # describe_graph
    Mistake(
        "a node counted once for each way to it",
        was="if parent is not None and parent not in seen:",
        now="if parent is not None:",
        caught_by="test_operations_and_leaves",
    ),
    Mistake(
        "a long walk without memory",
        was="if parent is not None and parent not in seen:",
        now="if parent is not None:",
        caught_by="test_sixteen_doublings_are_sixteen_nodes",
    ),
    Mistake(
        "recursion",
        was="""    waiting = [output.grad_fn]
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
""",
        now="""
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
""",
        caught_by="test_a_long_chain",
    ),
    Mistake(
        "each output of a node counted",
        was="""        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
""",
        now="""        for parent, output_number in node.next_functions:
            if parent is not None and (parent, output_number) not in seen:
                seen.add((parent, output_number))
""",
        caught_by="test_a_node_with_two_outputs_counts_once",
    ),
    Mistake(
        "only the first parent followed",
        was="for parent, _ in node.next_functions:",
        now="for parent, _ in node.next_functions[:1]:",
        caught_by="test_leaves_are_the_tensors_themselves",
    ),
    Mistake(
        "None among the parents not expected",
        was="if parent is not None and parent not in seen:",
        now="if parent not in seen:",
        caught_by="test_tensors_without_grad_are_not_listed",
    ),
    Mistake(
        "leaf nodes counted as operations",
        was="            leaves.append(node.variable)\n        else:\n            name",
        now="            leaves.append(node.variable)\n        if True:\n            name",
        caught_by="test_operations_and_leaves",
    ),
    Mistake(
        "copies of the leaves",
        was="leaves.append(node.variable)",
        now="leaves.append(node.variable.detach())",
        caught_by="test_leaves_are_the_tensors_themselves",
    ),
    Mistake(
        "nodes for leaves",
        was="leaves.append(node.variable)",
        now="leaves.append(node)",
        caught_by="test_leaves_are_the_tensors_themselves",
    ),
    Mistake(
        "leaves looked for by value",
        was="leaves.append(node.variable)",
        now="leaves.extend([] if any(node.variable.shape == leaf.shape for leaf in leaves) else [node.variable])",
        caught_by="test_leaves_are_the_tensors_themselves",
    ),
    Mistake(
        "digits kept",
        was='name.rstrip("0123456789").removesuffix("Backward")',
        now='name.removesuffix("0").removesuffix("Backward")',
        caught_by="test_names_lose_only_their_ending",
    ),
    Mistake(
        "every digit dropped",
        was='name.rstrip("0123456789").removesuffix("Backward")',
        now='"".join(c for c in name if not c.isdigit()).removesuffix("Backward")',
        caught_by="test_names_lose_only_their_ending",
    ),
    Mistake(
        "ending kept",
        was='.removesuffix("Backward")',
        now="",
        caught_by="test_operations_and_leaves",
    ),
    Mistake(
        "every Backward dropped",
        was='name.rstrip("0123456789").removesuffix("Backward")',
        now='name.rstrip("0123456789").replace("Backward", "")',
        caught_by="test_custom_functions_have_their_own_names",
    ),
    Mistake(
        "ten characters cut off every name",
        was='name.rstrip("0123456789").removesuffix("Backward")',
        now="name[: -len('Backward0')]",
        caught_by="test_custom_functions_have_their_own_names",
    ),
    Mistake(
        "digits of the name dropped as well",
        was='name.rstrip("0123456789").removesuffix("Backward")',
        now='name.rstrip("0123456789").removesuffix("Backward").rstrip("0123456789")',
        caught_by="test_names_lose_only_their_ending",
    ),
    Mistake(
        "a leaf has no leaves",
        was='{"ops": {}, "leaves": [output] if output.requires_grad else []}',
        now='{"ops": {}, "leaves": []}',
        caught_by="test_a_leaf_is_its_own_graph",
    ),
    Mistake(
        "an untracked tensor is its own leaf",
        was='{"ops": {}, "leaves": [output] if output.requires_grad else []}',
        now='{"ops": {}, "leaves": [output]}',
        caught_by="test_an_untracked_tensor_has_no_graph",
    ),
    Mistake(
        "a tensor without grad_fn not expected",
        was="    if output.grad_fn is None:\n"
        '        return {"ops": {}, "leaves": [output] if output.requires_grad else []}\n',
        now="",
        caught_by="test_a_leaf_is_its_own_graph",
    ),
    # jacobian
    Mistake(
        "f called for each row",
        was="            (rows[i],) = torch.autograd.grad(y, variable",
        now="            with torch.enable_grad():\n                y = f(variable)\n"
        "            (rows[i],) = torch.autograd.grad(y, variable",
        caught_by="test_f_is_called_once",
    ),
    Mistake(
        "graph freed after the first row", was=" retain_graph=True,", now="", caught_by="test_values_are_taken_at_x"
    ),
    Mistake(
        "rows not brought into the shape of y",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows",
        caught_by="test_y_may_have_several_dimensions",
    ),
    Mistake(
        "shape of x before shape of y",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows.reshape(x.shape + y.shape)",
        caught_by="test_shape_of_y_then_shape_of_x",
    ),
    Mistake(
        "columns instead of rows",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows.reshape(y.numel(), -1).t().reshape(y.shape + x.shape)",
        caught_by="test_a_linear_map_is_its_own_jacobian",
    ),
    Mistake(
        "both sides flattened",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows.reshape(y.numel(), x.numel())",
        caught_by="test_shape_of_y_then_shape_of_x",
    ),
    Mistake(
        "f(x).sum() differentiated in every row",
        was="for i, unit in enumerate(units):",
        now="for i, unit in enumerate(torch.ones_like(units)):",
        caught_by="test_values_are_taken_at_x",
    ),
    Mistake(
        "a y without graph is an error",
        was="    if y.requires_grad:\n",
        now="    if True:\n",
        caught_by="TestJacobian::test_a_constant_f_gives_zeros",
    ),
    Mistake(
        "a y without x in its graph is an error",
        was="unit, retain_graph=True, materialize_grads=True)",
        now="unit, retain_graph=True)",
        caught_by="test_a_function_of_parameters_alone_gives_zeros",
    ),
    Mistake(
        "entries without slope left out",
        was="return rows.reshape(y.shape + x.shape)",
        now="return rows[rows.flatten(1).any(1)] if y.ndim == 1 and x.ndim else rows.reshape(y.shape + x.shape)",
        caught_by="test_constant_entries_give_zero_rows",
    ),
    Mistake(
        "no enable_grad for f",
        was="    with torch.enable_grad():\n        variable = x",
        now="    if True:\n        variable = x",
        caught_by="TestJacobian::test_works_inside_no_grad",
    ),
    Mistake(
        "x itself switched on",
        was="variable = x.detach().requires_grad_()",
        now="variable = x.requires_grad_()",
        caught_by="test_no_grad_changes_anywhere",
    ),
    Mistake(
        "backward() and .grad: parameters collect gradients",
        was="(rows[i],) = torch.autograd.grad(y, variable, unit, retain_graph=True, materialize_grads=True)",
        now="variable.grad = torch.zeros_like(variable)\n            y.backward(unit, retain_graph=True)\n"
        "            rows[i] = variable.grad",
        caught_by="test_no_grad_changes_anywhere",
    ),
    Mistake(
        "backward() without clearing .grad",
        was="(rows[i],) = torch.autograd.grad(y, variable, unit, retain_graph=True, materialize_grads=True)",
        now="y.backward(unit, retain_graph=True)\n"
        "            rows[i] = torch.zeros_like(variable) if variable.grad is None else variable.grad",
        caught_by="test_values_are_taken_at_x",
    ),
    Mistake(
        "create_graph keeps the result in the graph",
        was="unit, retain_graph=True, materialize_grads=True)",
        now="unit, create_graph=True, materialize_grads=True)",
        caught_by="TestJacobian::test_the_result_does_not_require_grad",
    ),
    Mistake(
        "float32 whatever x is",
        was="rows = x.new_zeros(y.numel(), *x.shape)",
        now="rows = torch.zeros(y.numel(), *x.shape)",
        caught_by="test_has_the_dtype_of_x",
    ),
    Mistake(
        "unit vectors on the CPU",
        was="torch.eye(y.numel(), device=y.device)",
        now="torch.eye(y.numel())",
        caught_by="test_stays_on_the_device_of_x",
    ),
    Mistake(
        "rows sized by len(y), which a 0-dim tensor has not",
        was="rows = x.new_zeros(y.numel(),",
        now="rows = x.new_zeros(len(y),",
        caught_by="test_y_may_be_a_single_number",
    ),
    Mistake(
        "torch.autograd.functional.jacobian",
        was="    with torch.enable_grad():\n        variable = x.detach().requires_grad_()\n        y = f(variable)\n",
        now="    return torch.autograd.functional.jacobian(f, x)\n",
        caught_by="TestJacobian::test_is_written_without_the_ready_made_ones",
    ),
    Mistake(
        "torch.func.jacrev",
        was="    with torch.enable_grad():\n        variable = x.detach().requires_grad_()\n        y = f(variable)\n",
        now="    return torch.func.jacrev(f)(x)\n",
        caught_by="TestJacobian::test_is_written_without_the_ready_made_ones",
    ),
    # inplace_is_safe
    Mistake(
        "every RuntimeError of the backward pass taken for unsafe",
        was='            if "modified by an inplace operation" not in str(error):\n                raise\n',
        now="",
        caught_by="test_another_error_of_the_backward_pass_comes_through",
    ),
    Mistake(
        "try around op",
        was="""        y = op(h)
        changed = y if target == "output" else h
        changed.add_(1)
        try:
            y.sum().backward()
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
            return False
""",
        now="""        try:
            y = op(h)
            changed = y if target == "output" else h
            changed.add_(1)
            y.sum().backward()
        except RuntimeError as error:
            return False
""",
        caught_by="test_an_error_of_op_comes_through",
    ),
    Mistake(
        "always the output",
        was='changed = y if target == "output" else h',
        now="changed = y",
        caught_by="test_operations_that_save_their_input",
    ),
    Mistake(
        "always the input",
        was='changed = y if target == "output" else h',
        now="changed = h",
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "targets exchanged",
        was='changed = y if target == "output" else h',
        now='changed = h if target == "output" else y',
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "input unless given",
        was='target: str = "output"',
        now='target: str = "input"',
        caught_by="test_the_output_is_changed_unless_told_otherwise",
    ),
    Mistake(
        "a leaf changed in place",
        was="h = x.detach().requires_grad_().clone()",
        now="h = x.detach().clone().requires_grad_()",
        caught_by="test_op_is_tried_on_a_tracked_copy",
    ),
    Mistake(
        "a view of x instead of a copy",
        was="h = x.detach().requires_grad_().clone()",
        now="h = x.detach().requires_grad_().view_as(x)",
        caught_by="TestInplaceIsSafe::test_operations_that_save_their_output",
    ),
    Mistake(
        "x itself switched on and copied",
        was="h = x.detach().requires_grad_().clone()",
        now="h = x.requires_grad_().clone()",
        caught_by="TestInplaceIsSafe::test_x_stays_as_it_was",
    ),
    Mistake(
        "not tracked at all",
        was="h = x.detach().requires_grad_().clone()",
        now="h = x.detach().clone()",
        caught_by="test_op_is_tried_on_a_tracked_copy",
    ),
    Mistake(
        "changed out of place",
        was="        changed.add_(1)\n",
        now="        changed = changed + 1\n",
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "changed through .data, past the version counter",
        was="changed.add_(1)",
        now="changed.data.add_(1)",
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "changed before op ran",
        was='        y = op(h)\n        changed = y if target == "output" else h\n        changed.add_(1)\n',
        now="        h.add_(1)\n        y = op(h)\n",
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "no enable_grad for the trial",
        was="    with torch.enable_grad():\n        h = x",
        now="    if True:\n        h = x",
        caught_by="TestInplaceIsSafe::test_works_inside_no_grad",
    ),
    Mistake(
        "answers exchanged",
        was="            return False\n    return True",
        now="            return True\n    return False",
        caught_by="test_operations_that_save_their_output",
    ),
    Mistake(
        "any other target taken for the input",
        was="""        raise ValueError(f"target must be 'output' or 'input', not {target!r}")""",
        now="""        pass""",
        caught_by="test_another_target_is_an_error",
    ),
    # LeakyReLUFunction
    Mistake(
        "sign read from the output",
        was="""        positive = x > 0
        ctx.save_for_backward(positive)
        ctx.slope = slope
        return torch.where(positive, x, slope * x)
""",
        now="""        y = torch.where(x > 0, x, slope * x)
        ctx.save_for_backward(y > 0)
        ctx.slope = slope
        return y
""",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "zero counts as positive",
        was="positive = x > 0",
        now="positive = x >= 0",
        caught_by="test_zero_counts_as_elsewhere",
    ),
    Mistake(
        "sides exchanged",
        was="positive = x > 0",
        now="positive = x < 0",
        caught_by="test_positive_values_stay_and_others_are_scaled",
    ),
    Mistake(
        "the larger of x and slope · x",
        was="return torch.where(positive, x, slope * x)",
        now="return torch.maximum(x, slope * x)",
        caught_by="test_positive_values_stay_and_others_are_scaled",
    ),
    Mistake(
        "plain ReLU forward",
        was="return torch.where(positive, x, slope * x)",
        now="return x * positive",
        caught_by="test_positive_values_stay_and_others_are_scaled",
    ),
    Mistake(
        "the constant slope elsewhere",
        was="return torch.where(positive, x, slope * x)",
        now="return torch.where(positive, x, slope)",
        caught_by="test_positive_values_stay_and_others_are_scaled",
    ),
    Mistake(
        "no None for slope",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, grad, ctx.slope * grad)",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "incoming gradient ignored",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, 1.0, ctx.slope).to(grad.dtype), None",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "gradient of a plain ReLU",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return grad * positive, None",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "gradient passes everywhere",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return grad, None",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "a gradient for slope as well",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, grad, ctx.slope * grad), grad.sum()",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "backward not differentiable",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, grad.detach(), ctx.slope * grad.detach()), None",
        caught_by="test_passes_gradgradcheck",
    ),
    Mistake(
        "backward marked once_differentiable",
        was="    @staticmethod\n    def backward(",
        now="    @staticmethod\n    @torch.autograd.function.once_differentiable\n    def backward(",
        caught_by="test_passes_gradgradcheck",
    ),
    Mistake(
        "backward scales the incoming gradient in place",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="grad[~positive] *= ctx.slope\n        return grad, None",
        caught_by="test_writes_neither_to_x_nor_to_the_incoming_gradient",
    ),
    Mistake(
        "forward scales x in place",
        was="return torch.where(positive, x, slope * x)",
        now="x[~positive] *= slope\n        return x",
        caught_by="test_writes_neither_to_x_nor_to_the_incoming_gradient",
    ),
    Mistake(
        "x kept as an attribute of ctx",
        was="""        (positive,) = ctx.saved_tensors
        return torch.where(positive,""",
        now="""        positive = ctx.x > 0
        return torch.where(positive,""",
        caught_by="test_gradient_is_one_or_the_slope",
    ),
    Mistake(
        "x past save_for_backward",
        was="""        ctx.slope = slope
        return torch.where(positive, x, slope * x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (positive,) = ctx.saved_tensors
""",
        now="""        ctx.slope, ctx.x = slope, x
        return torch.where(positive, x, slope * x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        positive = ctx.x > 0
""",
        caught_by="test_a_change_of_x_is_noticed_or_harmless",
    ),
    Mistake(
        "gradient rounded to float32",
        was="return torch.where(positive, grad, ctx.slope * grad), None",
        now="return torch.where(positive, grad, ctx.slope * grad).float(), None",
        caught_by="test_passes_gradgradcheck",
    ),
    Mistake(
        "slopes in a float32 tensor",
        was="return torch.where(positive, x, slope * x)",
        now="return torch.where(positive, torch.tensor(1.0), torch.tensor(slope)) * x",
        caught_by="TestLeakyReLUFunction::test_keeps_shape_and_dtype",
    ),
    Mistake(
        "values walked in memory order",
        was="return torch.where(positive, x, slope * x)",
        now="flat = x.view(-1)\n        return torch.where(flat > 0, flat, slope * flat).view(x.shape)",
        caught_by="TestLeakyReLUFunction::test_works_on_a_transposed_view",
    ),
    Mistake(
        "F.leaky_relu",
        was="return torch.where(positive, x, slope * x)",
        now="return torch.nn.functional.leaky_relu(x, slope)",
        caught_by="TestLeakyReLUFunction::test_is_written_without_the_ready_made_one",
    ),
    Mistake(
        "a plain function under the name apply",
        was="    @staticmethod\n    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:\n",
        now="    @staticmethod\n    def apply(x, slope):\n        return torch.where(x > 0, x, slope * x)\n\n"
        "    @staticmethod\n    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:\n",
        caught_by="test_is_one_node_of_the_graph",
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
]
