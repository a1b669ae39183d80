"""Different: relu by np.clip, sigmoid through tanh(x/2), shapes from the back with
zip_longest, biases as columns.
"""

import itertools


def relu(x):
    return record(Tensor(x.data.clip(0, None)), "relu", (x,))


def sigmoid(x):
    half = x.data * np.array(0.5, x.dtype)
    return record(Tensor((1 + np.tanh(half)) * np.array(0.5, x.dtype)), "sigmoid", (x,))


def broadcast_shape(*shapes):
    sizes = []
    for column in itertools.zip_longest(
        *(tuple(shape)[::-1] for shape in shapes), fillvalue=1
    ):
        size = 1
        for other in column:
            if 1 not in (size, other) and size != other:
                raise ValueError(f"no common shape for {list(shapes)}")
            if size == 1:
                size = other
        sizes.insert(0, size)
    return tuple(sizes)


def xor_contradiction(w1, w2, b):
    table = np.array([w1, w2]) @ XOR_X.astype(float).T + b
    points = [(0, 0), (0, 1), (1, 0), (1, 1)]
    flags = (table > 0) != (XOR_Y.ravel() == 1)
    return {
        "wrong": [point for point, flag in zip(points, flags) if flag],
        "scores": dict(zip(points, table)),
        "same_sum": table[0] + table[3],
        "different_sum": table[1] + table[2],
    }


def collapse_linear(W1, b1, W2, b2):
    both = np.einsum("oh,hi->oi", W2, np.column_stack([W1, b1]))
    return both[:, :-1], both[:, -1] + b2


def xor_by_hand():
    W1 = np.float32([[1, -1], [-1, 1]])  # one unit for 10, one for 01
    return (
        W1,
        np.zeros(2, np.float32),
        np.ones((1, 2), np.float32),
        np.zeros(1, np.float32),
    )


def predict_activation_bytes(shape, itemsize=4, *, hidden_layers=1):
    return hidden_layers * np.empty(shape, dtype=f"V{itemsize}").nbytes


def broadcast_scaling(sizes):
    values = []
    from tinytorch.setup import profile_memory, scaling_exponent

    for n in sizes:
        a, b = Tensor(np.zeros((n, 1), np.float32)), Tensor(np.zeros(n, np.float32))
        values.append(profile_memory(lambda a=a, b=b: a + b).peak_bytes)
    return {
        "sizes": list(sizes),
        "values": values,
        "exponent": scaling_exponent(sizes, values),
    }
