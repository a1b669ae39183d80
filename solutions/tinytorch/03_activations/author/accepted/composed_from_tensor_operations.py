"""Different: relu as a product with a mask, sigmoid and tanh made of Tensor operations,
so nothing is announced here.
"""
# leaves open: test_special_values, test_extreme_values_without_warnings


def relu(x):
    return x * Tensor((x.data > 0).astype(x.dtype))


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def tanh(x):
    return 2 * sigmoid(2 * x) - 1
