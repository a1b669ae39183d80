"""Wrong solutions of tinytorch/05 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

RECORD = "    if is_grad_enabled() and any(x.requires_grad for x in inputs):"
MATMUL = "    return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad"
RELEASE = """    if not retain_graph:
        for node in nodes:
            node.inputs, node.saved = (), {}
"""
RESTORE = """    try:
        yield
    finally:
        _enabled = before
"""
STORE = (
    "            x.grad = np.array(grad if x.grad is None else x.grad + grad, "
    "dtype=x.dtype)"
)
ADD = "part if before is None else before + part"
SUM_OUT = "    return grad.sum(axis=repeated).reshape(shape)"
LARGEST = (
    '    return (grad * largest / largest.sum(axis=node.saved["dim"], keepdims=True),)'
)
EXPANDED = """        grad, out = (
            np.expand_dims(grad, node.saved["dim"]),
            np.expand_dims(out, node.saved["dim"]),
        )"""
LOOP = """    for x in order:
        grad = grads.pop(id(x), None)
        if grad is None:  # every part was None
            continue
        if x.node is None:
            # a copy: the leaf's own
            x.grad = np.array(grad if x.grad is None else x.grad + grad, dtype=x.dtype)
            continue
        for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
            if source.requires_grad and part is not None:
                part, before = unbroadcast(part, source.shape), grads.get(id(source))
                grads[id(source)] = part if before is None else before + part
"""
WALK = """        x, done = stack.pop()
        if done:
            order.append(x)
        elif id(x) not in seen:
            seen.add(id(x))
            stack.append((x, True))
            stack += [
                (source, False)
                for source in (x.node.inputs if x.node else ())
                if source.requires_grad
            ]
    return order[::-1]"""

MISTAKES = [
    # record_node
    Mistake(
        "recorded only where every input requires a gradient",
        was=RECORD,
        now=RECORD.replace("any(", "all("),
        caught_by="test_one_input_that_requires_grad_is_enough",
        says="looks like all inputs have to require a gradient, not any",
    ),
    Mistake(
        "everything is recorded",
        was=RECORD,
        now="    if is_grad_enabled():",
        caught_by="test_constants_leave_no_node",
        says="out has a node, though no input requires a gradient",
    ),
    Mistake(
        "requires_grad is not passed on",
        was="        out.requires_grad = True\n",
        now="",
        caught_by="test_one_input_that_requires_grad_is_enough",
        says="out.requires_grad is False, expected True",
    ),
    # no_grad
    Mistake(
        "the flag is never restored",
        was=RESTORE,
        now="    yield\n",
        caught_by="test_recording_is_off_inside_and_on_again_behind",
        says="behind the block is_grad_enabled() is still False",
    ),
    Mistake(
        "the end of a block switches recording on",
        was="        _enabled = before\n",
        now="        _enabled = True\n",
        caught_by="test_blocks_can_be_nested",
        says="the end of the inner block switched recording on again",
    ),
    Mistake(
        "no finally",
        was=RESTORE,
        now="    yield\n    _enabled = before\n",
        caught_by="test_an_exception_leaves_recording_on",
        says="after an exception in the block is_grad_enabled() is False",
        edge=True,
    ),
    # unbroadcast
    Mistake(
        "stretched dimensions are dropped",
        was=SUM_OUT,
        now="    return grad.sum(axis=repeated)",
        caught_by="test_stretched_dimensions_keep_size_1",
        says="looks like the right numbers in another shape",
    ),
    Mistake(
        "the mean of what broadcasting repeated",
        was=SUM_OUT,
        now="    return grad.mean(axis=repeated).reshape(shape)",
        caught_by="test_added_dimensions_are_summed",
        says="looks like the mean, not the sum",
    ),
    # rules
    Mistake(
        "a quotient without the minus",
        was="    return grad / b, -grad * a / b**2",
        now="    return grad / b, grad * a / b**2",
        caught_by="test_a_quotient_falls_as_its_denominator_grows",
        says="looks like the right numbers with the sign flipped",
    ),
    Mistake(
        "a product's factors not exchanged",
        was="        return grad * b, grad * a",
        now="        return grad * a, grad * b",
        caught_by="test_products_exchange_the_factors",
        says="looks like grad times the input itself, not the other one",
    ),
    Mistake(
        "tanh's derivative of its input",
        was="    return (grad * (1 - out**2),)",
        now="    return (grad * (1 - x**2),)",
        caught_by="test_tanh_is_steepest_at_0",
        says="looks like 1 - x², with the input for the output",
    ),
    Mistake(
        "a power's gradient from its output",
        was="        return (grad * exponent * x ** (exponent - 1),)",
        now="        return (grad * exponent * out / x,)",
        caught_by="test_pow_has_a_gradient_at_0",
        says="looks like n · out / x, which is 0 / 0 at x = 0",
    ),
    Mistake(
        "the mean's rule forgets 1/n",
        was="np.broadcast_to(grad / (x.size / out.size), x.shape)",
        now="np.broadcast_to(grad, x.shape)",
        caught_by="test_a_mean_divides_by_what_was_averaged",
        says="looks like not divided: a sum's rule",
    ),
    Mistake(
        "the lost dimension is not put back",
        was=EXPANDED,
        now="        pass",
        caught_by="test_a_sum_gives_every_element_the_gradient",
        says="looks like spread along the wrong dimension",
    ),
    Mistake(
        "a maximum's gradient to the first of several",
        was=LARGEST,
        now=LARGEST.replace(
            "    return",
            '    largest &= np.cumsum(largest, axis=node.saved["dim"][0]) == 1\n'
            "    return",
        ),
        caught_by="test_equal_maxima_share_the_gradient",
        says="looks like the whole gradient to the first one",
        edge=True,
    ),
    Mistake(
        "repeated indices overwrite",
        was='    np.add.at(whole, node.saved["key"], grad)',
        now='    whole[node.saved["key"]] += grad',
        caught_by="test_an_element_taken_twice_gets_the_sum",
        says="looks like the last gradient of a repeated index, not their sum",
    ),
    Mistake(
        "a matrix product's transposes forgotten",
        was=MATMUL,
        now="    return grad @ b, a @ grad",
        caught_by="test_square_matrices",
        says="looks like b is not transposed, or a is not",
    ),
    Mistake(
        "perhaps .T, which reverses all dimensions of a batch",
        was=MATMUL,
        now="    return grad @ b.T, a.T @ grad",
        caught_by="test_batches_of_matrices",
        says="matmul: Input operand 1 has a mismatch in its core dimension",
    ),
    # backward
    Mistake(
        "a leaf's gradient is overwritten",
        was=STORE,
        now="            x.grad = np.array(grad, dtype=x.dtype)",
        caught_by="test_a_second_pass_adds_to_the_gradient",
        says="looks like the last pass alone",
    ),
    Mistake(
        "one way replaces the other",
        was=ADD,
        now="part",
        caught_by="test_several_ways_to_one_tensor_add_up",
        says="each way replaced the one before",
    ),
    Mistake(
        "order of discovery",
        was=WALK,
        now="""        x, _ = stack.pop(0)
        if id(x) not in seen:
            seen.add(id(x))
            order.append(x)
            inputs = x.node.inputs if x.node else ()
            stack += [(source, False) for source in inputs if source.requires_grad]
    return order""",
        caught_by="test_a_node_waits_for_all_its_consumers_and_is_visited_once",
        says="looks like h handed on its gradient before all had added their part",
    ),
    Mistake(
        "one visit per way",
        was=LOOP,
        now="""
    def visit(x: Tensor, grad: np.ndarray) -> None:
        if x.node is None:
            x.grad = np.array(grad if x.grad is None else x.grad + grad, dtype=x.dtype)
            return
        for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
            if source.requires_grad and part is not None:
                visit(source, unbroadcast(part, source.shape))

    visit(tensor, gradient)
""",
        caught_by="test_a_node_waits_for_all_its_consumers_and_is_visited_once",
        says="looks like one visit for each way",
    ),
    Mistake(
        "the graph is kept forever",
        was=RELEASE,
        now="",
        caught_by="test_the_graph_is_released",
        says="10 of 10 intermediate arrays are still in memory",
    ),
    Mistake(
        "a recursive walk",
        was=WALK,
        now="""        x, done = stack.pop()

        def visit(y: Tensor) -> None:
            if id(y) not in seen:
                seen.add(id(y))
                for source in y.node.inputs if y.node else ():
                    if source.requires_grad:
                        visit(source)
                order.append(y)

        visit(x)
    return order[::-1]""",
        caught_by="test_a_chain_of_5000_operations",
        says="raised RecursionError: maximum recursion depth exceeded",
        edge=True,
    ),
    # stretch
    Mistake(
        "every view is counted",
        was=(
            "            while isinstance(array.base, np.ndarray):\n"
            "                array = array.base\n"
        ),
        now="",
        caught_by="test_views_are_one_block",
        says="looks like each view counted",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="x, y = node.inputs[0].data, node.out",
        now="x, y = node.inputs[-1].data, node.out",
        reason="one input",
        textbook=True,
    ),
    Equivalent(
        was='x, y, dim = node.inputs[0].data, node.out, node.saved["dim"]',
        now='x, y, dim = node.inputs[-1].data, node.out, node.saved["dim"]',
        reason="one input",
        textbook=True,
    ),
    Equivalent(
        was="x = node.inputs[0].data",
        now="x = node.inputs[-1].data",
        reason="one input",
        textbook=True,
    ),
    Equivalent(
        was="if error > atol + rtol * abs(slope):",
        now="if error >= atol + rtol * abs(slope):",
        reason="an error is not the bound itself",
        textbook=True,
    ),
]
