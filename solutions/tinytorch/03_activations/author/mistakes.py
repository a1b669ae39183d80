"""Wrong solutions of tinytorch/03 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

RELU = 'record(Tensor(np.maximum(x.data, 0)), "relu", (x,))'
SIGMOID = """    e = np.exp(-np.abs(x.data))  # at most 1, so nothing overflows
    return record(
        Tensor(np.where(x.data >= 0, 1 / (1 + e), e / (1 + e))), "sigmoid", (x,)
    )"""
TANH = 'record(Tensor(np.tanh(x.data)), "tanh", (x,))'
PADDED = "(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes"
WITH_ONES = "    with_ones = np.hstack([X, np.ones((len(X), 1))])\n"
SOLUTION = '"weight": solution[:-1],\n        "bias": float(solution[-1]),'

MISTAKES = [
    # relu
    Mistake(
        "the caller's array is overwritten",
        was=f"    return {RELU}",
        now=(
            "    x.data[x.data < 0] = 0\n"
            '    return record(Tensor(x.data), "relu", (x,))'
        ),
        caught_by="TestRelu::test_x_is_not_written_to",
        says="looks like the caller's own array is overwritten",
    ),
    Mistake(
        "the result is not announced",
        was=RELU,
        now="Tensor(np.maximum(x.data, 0))",
        caught_by="TestRelu::test_it_announces_itself",
        says="relu(x) is not connected to x: it is not announced",
    ),
    Mistake(
        "announced with the array in place of the Tensor",
        was=RELU,
        now=RELU.replace("(x,)", "(Tensor(x.data),)"),
        caught_by="TestRelu::test_it_announces_itself",
        says='"relu" has to be announced with (x,)',
    ),
    Mistake(
        "an array comes back, not a Tensor",
        was=RELU,
        now="np.maximum(x.data, 0)",
        caught_by="test_negative_elements_become_zero",
        says="expected a Tensor",
    ),
    Mistake(
        "-inf times 0 is NaN",
        was="np.maximum(x.data, 0)",
        now="x.data * (x.data > 0)",
        caught_by="test_special_values",
        says="looks like x times 0 or 1",
        edge=True,
    ),
    # sigmoid
    Mistake(
        "the naive formula",
        was=SIGMOID,
        now='    return record(Tensor(1 / (1 + np.exp(-x.data))), "sigmoid", (x,))',
        caught_by="TestSigmoid::test_extreme_values_without_warnings",
        says="NumPy warned: overflow",
        edge=True,
    ),
    Mistake(
        "x clipped to ±10",
        was=SIGMOID,
        now=(
            "    return record(Tensor(1 / (1 + np.exp(-np.clip(x.data, -10, 10)))), "
            '"sigmoid", (x,))'
        ),
        caught_by="test_accurate_from_minus_40_to_40",
        says="looks like x clipped to ±10",
    ),
    Mistake(
        "e to the power of x",
        was=SIGMOID,
        now='    return record(Tensor(1 / (1 + np.exp(x.data))), "sigmoid", (x,))',
        caught_by="TestSigmoid::test_values",
        says="looks like 1 / (1 + eˣ): the sign of x is missing",
    ),
    Mistake(
        "always float32",
        was="    e = np.exp(-np.abs(x.data))  #",
        now="    e = np.exp(-np.abs(x.data.astype(np.float32)))  #",
        caught_by="test_accurate_from_minus_40_to_40",
        says="looks like computed in float32, whatever x is",
    ),
    Mistake(
        "always float64",
        was="Tensor(np.where(x.data >= 0, 1 / (1 + e), e / (1 + e)))",
        now="Tensor(np.where(x.data >= 0, 1 / (1 + e), e / (1 + e)), dtype=np.float64)",
        caught_by="TestSigmoid::test_shape_and_dtype_stay",
        says="float32 came out as float64",
    ),
    # tanh
    Mistake(
        "announced under another name",
        was=TANH,
        now=TANH.replace('"tanh"', '"Tanh"'),
        caught_by="TestTanh::test_it_announces_itself",
        says='announced as "Tanh", which no gradient rule is for',
    ),
    # broadcast_shape
    Mistake(
        "shapes of different lengths not aligned right",
        was=PADDED,
        now="tuple(shape) + (1,) * (ndim - len(shape)) for shape in shapes",
        caught_by="test_two_shapes_aligned_right",
        says="raised ValueError: these shapes do not broadcast: (4, 1), (3,)",
    ),
    Mistake(
        "only the first and the last size of a column",
        was="different = set(sizes) - {1}",
        now="different = {sizes[0], sizes[-1]} - {1}",
        caught_by="test_three_shapes_at_once",
        says="looks like the first and the last shape alone",
    ),
    Mistake(
        "the largest size, without a look at the others",
        was="        if len(different) > 1:\n",
        now="        if False:\n",
        caught_by="test_sizes_that_do_not_fit_are_an_error",
        says="looks like no look at sizes that differ and are not 1",
    ),
    Mistake(
        "the larger of 0 and 1",
        was="result.append(different.pop() if different else 1)",
        now="result.append(max(sizes))",
        caught_by="test_a_size_of_zero_beside_one",
        says="looks like the larger of 0 and 1",
        edge=True,
    ),
    # broadcast_cost
    Mistake(
        "inputs counted in the common shape",
        was="sum(int(np.prod(s)) for s in shapes)",
        now="sum(int(np.prod(shape)) for s in shapes)",
        caught_by="test_a_column_plus_a_row",
        says="looks like the inputs counted in the common shape",
    ),
    # best_linear_fit
    Mistake(
        "no intercept",
        was=WITH_ONES,
        now="    with_ones = np.hstack([X, np.zeros((len(X), 1))])\n",
        caught_by="test_xor_gets_a_half_everywhere",
        says="looks like no bias: a plane through the origin",
    ),
    Mistake(
        "perhaps a column of targets against a row of predictions",
        was="np.asarray(y, dtype=np.float64).reshape(-1)",
        now="np.asarray(y, dtype=np.float64)",
        caught_by="test_xor_gets_a_half_everywhere",
        says="raised TypeError: only 0-dimensional arrays",
    ),
    Mistake(
        "the sum of the squares",
        was="((predictions - y) ** 2).mean()",
        now="((predictions - y) ** 2).sum()",
        caught_by="test_xor_gets_a_half_everywhere",
        says="looks like the sum of the squares, not their mean",
    ),
    Mistake(
        "the answer for XOR, always",
        was=SOLUTION,
        now='"weight": np.zeros(2), "bias": 0.5,',
        caught_by="test_and_can_be_separated",
        says="looks like the flat line of XOR",
    ),
    # xor_contradiction
    Mistake(
        "a score of 0 is a yes",
        was="(score > 0) !=",
        now="(score >= 0) !=",
        caught_by="test_a_score_of_zero_is_a_no",
        says="looks like a score of 0 taken for a yes",
    ),
    Mistake(
        "w1 and w2 exchanged",
        was="w1 * i + w2 * j + b for",
        now="w1 * j + w2 * i + b for",
        caught_by="test_scores_by_hand",
        says="looks like w1 and w2 are exchanged",
    ),
    # collapse_linear
    Mistake(
        "W1 @ W2",
        was="return W2 @ W1,",
        now="return W1 @ W2,",
        caught_by="test_the_order_of_the_matrices",
        says="looks like W1 @ W2",
    ),
    Mistake(
        "b1 + b2",
        was="W2 @ b1 + b2\n",
        now="b1 + b2\n",
        caught_by="test_two_lines",
        says="looks like b1 + b2: b1 has to go through W2",
    ),
    # xor_by_hand
    Mistake(
        "or",
        was="W2 = np.array([[1, -2]]",
        now="W2 = np.array([[1, -1]]",
        caught_by="test_the_network_is_exactly_xor",
        says="looks like or",
    ),
]

EQUIVALENT: list[Equivalent] = []
