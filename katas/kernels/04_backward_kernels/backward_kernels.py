"""Backward kernels: autograd cannot see into a kernel, so whoever writes the forward
pass writes the gradient, too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from grader.kernels import tl, triton
from grader.loading import prerequisite

swiglu = prerequisite("kernels/01_first_kernels").swiglu
rms_norm = prerequisite("kernels/02_reductions").rms_norm


@triton.jit
def sigmoid_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, tl.sigmoid(x), mask=at < n)


@triton.jit
def sigmoid_backward_kernel(dy_ptr, y_ptr, dx_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    dy = tl.load(dy_ptr + at, mask=at < n)
    y = tl.load(y_ptr + at, mask=at < n)
    tl.store(dx_ptr + at, dy * y * (1 - y), mask=at < n)


class Sigmoid(torch.autograd.Function):
    """1 / (1 + exp(−x)) with its gradient: the worked example. `Sigmoid.apply(x)` calls
    forward, and backward later.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        sigmoid_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
        # the gradient is made of the result alone: x need not be kept
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        dx = torch.empty_like(y)
        # the gradient of a sum is a single number with strides of 0
        dy = dy.contiguous()
        sigmoid_backward_kernel[(triton.cdiv(y.numel(), 64),)](
            dy, y, dx, y.numel(), BLOCK=64
        )
        return dx


def cross_entropy_forward(
    logits: Tensor, targets: Tensor, block: int = 32
) -> tuple[Tensor, Tensor]:
    """Compute each row's cross-entropy in one pass over its logits, and keep one number
    per row for the gradient.

    The loss is lse − logits[target], where lse = log Σ exp(logits) of the row. A
    program takes one row, `block` columns at a time, with a running maximum and total
    as in `logsumexp` of kernels/02.

    Args:
        logits: (R, V), contiguous float32.
        targets: (R,) int64: a column per row, or −100 for a row that is ignored.
        block: columns per turn of the loop, a power of two.
    Returns:
        loss and lse, both (R,). An ignored row has the loss 0. Each logit is loaded
        once, that of the target once more.

    Edge cases ★
        float16 and bfloat16 are computed in float32, float64 in float64; loss and lse
        have that dtype. Logits may be −inf, a whole block of them as well.
        A GPU's compiler takes the kernel: what a loop changes keeps its type, so that a
        sum begins with 0.0, not 0.
    """
    raise NotImplementedError


def cross_entropy_backward(
    logits: Tensor, targets: Tensor, lse: Tensor, dloss: Tensor, block: int = 32
) -> Tensor:
    """Compute the gradient of the logits in one pass, one program per row. No softmax
    is stored.

    The gradient is (softmax − one-hot) · dloss, and exp(logits − lse) is the softmax:
    no maximum and no sum are needed again.

    Args:
        logits, targets, block: as in `cross_entropy_forward`.
        lse: (R,), what the forward pass kept.
        dloss: (R,), contiguous: the gradient of each row's loss.
    Returns:
        (R, V). An ignored row has zeros. A logit is loaded once, and its gradient
        stored once. A row's target, lse and dloss are loaded once, too.

    Edge cases ★
        float16 and bfloat16 are computed in float32; the gradient has the dtype of
        the logits.
    """
    raise NotImplementedError


class CrossEntropy(torch.autograd.Function):
    """The loss of each row, with a gradient, of the two functions above:
    `CrossEntropy.apply(logits, targets)`.

    `ctx.save_for_backward` keeps what `cross_entropy_backward` needs, and nothing else
    of the size of the logits.
    Each call has a `ctx` of its own.

    Edge cases ★
        The gradient that arrives may be an expanded number, as that of `.sum()` and
        `.mean()` is. With float64 logits, `torch.autograd.gradcheck` agrees.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each row, and keep what the gradient needs.

        Returns:
            loss, (R,).
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx, dloss: Tensor) -> tuple[Tensor, None]:
        """Compute the gradient of the logits, and None for the targets."""
        raise NotImplementedError


def rms_norm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, rows: int = 4
) -> tuple[Tensor, Tensor]:
    """Compute both gradients of `rms_norm` in one launch. A program takes `rows` rows.

    With x̂ = x · rstd and g = dy · weight, dx = rstd · (g − x̂ · mean(g · x̂)), where the
    mean is that of a row. dweight is Σ dy · x̂ over all rows, which programs share: each
    adds its own rows up in registers. It stores that line in a scratch tensor, whose
    lines are summed afterwards, or adds it by atomics.

    Args:
        dy, x: (M, N), contiguous float32, of rows that fit a block; dy is the gradient
            of y.
        weight: (N,).
        rstd: (M,), what `rms_norm` returned.
        rows: rows per program, a power of two. 13 rows in groups of 4 make 4 lines.
    Returns:
        dx (M, N) and dweight (N,). dy and x are loaded once, the weight once
        per program.

    Edge cases ★
        float16 and bfloat16 are computed and summed in float32. dx has x's dtype,
        dweight the weight's.
    """
    raise NotImplementedError


class RMSNorm(torch.autograd.Function):
    """`rms_norm` of kernels/02 with a gradient: `RMSNorm.apply(x, weight)`.

    x, weight and rstd are kept; x̂ is made again.

    Edge cases ★
        The gradient that arrives may be an expanded number. For a weight that needs no
        gradient (`ctx.needs_input_grad`), no sums are stored.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        """Normalise each row of x, (M, N), and keep what the gradients need.

        Returns:
            y, (M, N).
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the gradients of x and weight."""
        raise NotImplementedError


def register_swiglu() -> Callable[[Tensor, Tensor], Tensor]:
    """Register `swiglu` of kernels/01 as an operation that PyTorch knows, with
    a gradient.

    `torch.library.custom_op("katas::swiglu", mutates_args=())` makes an operation of a
    function whose arguments and result are annotated as `Tensor`. It gets two more
    functions. `register_fake` takes one that returns an empty tensor like the result,
    for when only its shape is needed. `register_autograd` takes one whose launch loads
    three numbers per element and stores dup = dout · silu(gate) and
    dgate = dout · up · s · (1 + gate · (1 − s)), where s = sigmoid(gate).

    Returns:
        the operation: op(gate, up), for contiguous tensors of one shape.
        `torch.library.opcheck` finds no fault.

    Edge cases ★
        gate and up may be views, such as the halves of one product, and the gradient
        that arrives an expanded number. The fake's result has the strides of
        the kernel's.
    """
    raise NotImplementedError


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, chunk: int = 16
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the mean cross-entropy of x weightᵀ and both gradients, with the logits
    of `chunk` rows in memory.

    Each chunk is finished before the next: logits by `@`, their losses by a kernel, and
    their gradient by a kernel that writes it over them. From that come the chunk's rows
    of dx, and its part of dweight.

    Args:
        x: (R, D), the last hidden states.
        weight: (V, D), the output layer's.
        targets: (R,) int64. The mean is that of the rows which are not −100.
        chunk: rows at a time. The last chunk may be shorter.
    Returns:
        loss (a single number), dx (R, D), dweight (V, D). Each chunk has one (chunk, V)
        tensor, never two.
    """
    raise NotImplementedError
