"""Questions that the specs of tinytorch/02 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe

OPERATIONS = ("add", "slice", "transpose", "reshape", "insert_axis", "integer_index", "reshape_of_transpose", "copy")


@probe("predict_copy_bytes")
def _(kata, rng):
    shape = torch.randint(2, 9, (3,), generator=rng).tolist()
    return [kata.predict_copy_bytes(shape, 8, operation) for operation in OPERATIONS]


def tensors(kata, rng):
    """(3, 4) and (1, 4) numbers from 1 to 2, in float64."""
    return [kata.Tensor(1 + torch.rand(rows, 4, generator=rng).double().numpy()) for rows in (3, 1)]


@probe("Tensor.__add__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return (a + b).data


@probe("Tensor.__sub__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return (a - b).data


@probe("Tensor.__rsub__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return (3 - a).data


@probe("Tensor.__mul__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return (a * b).data


@probe("Tensor.__truediv__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return (a / b).data


@probe("Tensor.__rtruediv__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return (3 / a).data


@probe("Tensor.__pow__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return (a**3).data


@probe("Tensor.__matmul__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return (a @ kata.Tensor(b.data.reshape(4, 1))).data


@probe("Tensor.reshape")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return [a.reshape(2, 6).data, a.reshape((4, -1)).data]


@probe("Tensor.transpose")
def _(kata, rng):
    numbers = torch.rand(2, 3, 4, generator=rng).double().numpy()
    return [kata.Tensor(numbers).transpose(*dims).data for dims in ((0, 1), (0, 2), (1, 2))]
