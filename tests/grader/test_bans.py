"""Ready-made code is refused in every disguise that needs no forging, and all other
code goes on working.
"""

import functools
import importlib
import sys
from typing import Any

import numpy as np
import pytest
import torch

from grader.specs import check

X = torch.arange(6.0).reshape(2, 3)
FINISHED = (
    "torch.nn.functional.softmax",
    "torch.nn.functional.gelu",
    "torch.nn.functional.unfold",
    "torch.Tensor.relu",
    "torch.diag",
    "torch.nn.LayerNorm",
    "torch.nn.MultiheadAttention",
    "torch.optim.Adam",
    "torch.nn.utils.clip_grad_norm_",
    "numpy.einsum",
    "numpy.dot",
)
SPELLINGS = """
    module.softmax(X, -1)
    held[0](X, -1)
    default()
    nn.functional.softmax(X, -1)
    nn.Softmax(-1)(X)
    functools.partial(held[0], X)(-1)
    getattr(nn.functional, "soft" + "max")(X, -1)
    sys.modules["torch.nn.functional"].softmax(X, -1)
    importlib.import_module("torch.nn.functional").softmax(X, -1)
    torch.softmax(X, -1)
    X.softmax(-1)
    Tensor.softmax(X, -1)
    torch.special.softmax(X, -1)
    torch._C._VariableFunctions.softmax(X, -1)
    torch.ops.aten.softmax(X, -1)
    torch.ops.aten.softmax.int(X, -1)
    torch.ops.aten._softmax.default(X, -1, False)
    torch._C._nn.gelu(X)
    torch.ops.aten.gelu(X)
    nn.GELU()(X)
    torch._C._nn.im2col(X[None, None], [2, 2], [1, 1], [0, 0], [1, 1])
    nn.Unfold(2)(X[None, None])
    X.relu()
    X.relu_()
    torch.relu(X)
    nn.functional.relu(X)
    held[1](X)
    torch.diag(X)
    torch.diag(torch.from_numpy(X.numpy()))
    torch.from_numpy(np.diag(X.numpy()))
    nn.LayerNorm(3)
    Own(3)
    Borrowed()(X)
    built(X)
    built.forward(X)
    held[2](built, X)
    nn.LayerNorm.__call__(built, X)
    nn.LayerNorm.forward(built, X)
    getattr(nn, "Multi" + "headAttention")(4, 2)
    importlib.import_module("torch.nn.modules.activation").MultiheadAttention(4, 2)
    torch.optim.Adam([X])
    type("Adam", (torch.optim.Adam,), {})([X])
    vars(sys.modules["torch.optim"])["Adam"]([X])
    torch.optim.Adam.step.__wrapped__(None)
    torch.nn.utils.clip_grad_norm_([X], 1.0)
    torch.nn.utils.clip_grad.clip_grad_norm_([X], 1.0)
    held[4]([X], 1.0)
    np.einsum("ij->j", A)
    held[3]("ij->j", A)
    module.einsum("ij->j", A)
    held[5]("ij->j", A)
    torch.einsum("ij->j", X)
    torch.from_numpy(A).T.dot(X)
    module.dot(A, A.T)
    np.dot(A, A.T)
    np._core.multiarray.dot(A, A.T)
    torch.dot(X[0], X[1])
"""
RIGHT = """
    torch.exp(X) / torch.exp(X).sum(-1, keepdim=True)
    X.unfold(0, 2, 1)
    torch.log_softmax(X, -1)
    X.log_softmax(-1)
    torch.logsumexp(X, -1)
    X.clamp(min=0)
    torch.diagonal(X)
    torch.tanh(X)
    torch.optim.SGD([X], 0.1)
    nn.Linear(3, 2)(X)
    nn.BatchNorm1d(3)(X)
    type("Own", (nn.Module,), {"forward": lambda self, x: x + 1})()(X)
    A @ A.T
    X @ X.T
    np.matmul(A, A.T)
    np.tensordot(A, A.T, 1)
    torch.from_numpy(X.numpy())
    X.tolist()
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What a learner's module has bound when it was imported."""
    module = type(torch)("learner")
    module.softmax, module.einsum, module.dot = (
        torch.nn.functional.softmax,
        np.einsum,
        np.dot,
    )
    own = type("Own", (torch.nn.LayerNorm,), {})
    parts = dict.fromkeys(("normalized_shape", "weight", "bias"), None) | {
        "normalized_shape": (3,),
        "eps": 1e-5,
    }
    borrowed = type(
        "Borrowed", (torch.nn.Module,), parts | {"forward": torch.nn.LayerNorm.forward}
    )
    held = [
        torch.nn.functional.softmax,
        torch.Tensor.relu,
        torch.nn.LayerNorm.forward,
        np.einsum,
    ]
    held += [torch.nn.utils.clip_grad_norm_.__wrapped__, np.einsum.__wrapped__]

    def default(function=torch.nn.functional.softmax):
        return function(X, -1)

    names = {
        "module": module,
        "Own": own,
        "Borrowed": borrowed,
        "built": own(3),
        "held": held,
        "default": default,
    }
    libraries = {
        "torch": torch,
        "nn": torch.nn,
        "np": np,
        "Tensor": torch.Tensor,
        "sys": sys,
    }
    return (
        names
        | libraries
        | {
            "functools": functools,
            "importlib": importlib,
            "X": X.clone(),
            "A": X.numpy(),
        }
    )


@pytest.mark.parametrize("disguise", lines(SPELLINGS))
def test_a_disguise_is_refused(names, disguise):
    with check.forbidden(names["module"], *FINISHED):
        with pytest.raises(
            check.Forbidden, match=r"to be written without (torch|numpy)\."
        ):
            eval(disguise, names)


@pytest.mark.parametrize("line", lines(RIGHT))
def test_other_code_works(names, line):
    with check.forbidden(names["module"], *FINISHED):
        eval(line, names)


def test_everything_is_as_before_behind_the_block(names):
    step = torch.optim.Adam.step.__code__
    for _ in range(2):
        with check.forbidden(names["module"], *FINISHED):
            assert torch.optim.Adam.step.__code__ is not step
    assert torch.optim.Adam.step.__code__ is step
    assert isinstance(vars(torch.nn.LayerNorm)["forward"], type(lambda: 0))
    for line in lines(SPELLINGS)[:8]:
        assert eval(line, names).shape == X.shape
    assert names["Own"](3)(X).shape == names["built"](X).shape == X.shape
    assert names["module"].dot is np.dot is np._core.multiarray.dot


def test_the_refusal_names_what_is_forbidden(names):
    with check.forbidden(names["module"], "torch.nn.functional.softmax"):
        with pytest.raises(
            check.Forbidden,
            match=(
                r"^this exercise is to be written without "
                r"torch\.nn\.functional\.softmax$"
            ),
        ):
            torch.ops.aten.softmax(X, -1)
