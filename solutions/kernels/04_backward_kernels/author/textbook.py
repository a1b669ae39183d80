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


@triton.jit
def _cross_entropy_kernel(
    logits_ptr, targets_ptr, loss_ptr, lse_ptr, V, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, V, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logits = tl.load(logits_ptr + row * V + at, mask=at < V, other=-float("inf"))
        now = tl.maximum(top, tl.max(logits))
        total = total * tl.exp(top - now) + tl.sum(tl.exp(logits - now))
        top = now
    lse = top + tl.log(total)
    target = tl.load(targets_ptr + row)
    of_target = tl.load(logits_ptr + row * V + target, mask=target >= 0)
    tl.store(loss_ptr + row, tl.where(target >= 0, lse - of_target, 0.0))
    tl.store(lse_ptr + row, lse)


def cross_entropy_forward(
    logits: Tensor, targets: Tensor, block: int = 32
) -> tuple[Tensor, Tensor]:
    """Compute each row's cross-entropy in one pass over its logits, and keep one number
    per row for the gradient.
    """
    R, V = logits.shape
    loss, lse = torch.empty(R), torch.empty(R)
    _cross_entropy_kernel[(R,)](logits, targets, loss, lse, V, BLOCK=block)
    return loss, lse


@triton.jit
def _cross_entropy_backward_kernel(
    logits_ptr, targets_ptr, lse_ptr, dloss_ptr, out_ptr, V, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(targets_ptr + row)
    lse = tl.load(lse_ptr + row)
    scale = tl.where(target >= 0, tl.load(dloss_ptr + row), 0.0)
    for start in range(0, V, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logits = tl.load(logits_ptr + row * V + at, mask=at < V)
        gradient = (tl.exp(logits - lse) - tl.where(at == target, 1.0, 0.0)) * scale
        tl.store(out_ptr + row * V + at, gradient, mask=at < V)


def cross_entropy_backward(
    logits: Tensor, targets: Tensor, lse: Tensor, dloss: Tensor, block: int = 32
) -> Tensor:
    """Compute the gradient of the logits in one pass, one program per row. No softmax
    is stored.
    """
    R, V = logits.shape
    out = torch.empty_like(logits)
    _cross_entropy_backward_kernel[(R,)](
        logits, targets, lse, dloss, out, V, BLOCK=block
    )
    return out


class CrossEntropy(torch.autograd.Function):
    """The loss of each row, with a gradient, of the two functions above:
    `CrossEntropy.apply(logits, targets)`.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        loss, lse = cross_entropy_forward(logits, targets)
        ctx.save_for_backward(logits, targets, lse)
        return loss

    @staticmethod
    def backward(ctx, dloss: Tensor) -> tuple[Tensor, None]:
        logits, targets, lse = ctx.saved_tensors
        return cross_entropy_backward(logits, targets, lse, dloss), None


@triton.jit
def _rms_norm_backward_kernel(
    dy_ptr,
    x_ptr,
    weight_ptr,
    rstd_ptr,
    dx_ptr,
    lines_ptr,
    M,
    N,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.arange(0, BLOCK)
    weight = tl.load(weight_ptr + at, mask=at < N, other=0.0)
    line = tl.zeros((BLOCK,), tl.float32)
    for place in range(ROWS):
        row = tl.program_id(0) * ROWS + place
        inside = (at < N) & (row < M)
        dy = tl.load(dy_ptr + row * N + at, mask=inside, other=0.0)
        x = tl.load(x_ptr + row * N + at, mask=inside, other=0.0)
        rstd = tl.load(rstd_ptr + row, mask=row < M, other=0.0)
        normed, g = x * rstd, dy * weight
        dx = rstd * (g - normed * (tl.sum(g * normed) / N))
        tl.store(dx_ptr + row * N + at, dx, mask=inside)
        line += dy * normed
    tl.store(lines_ptr + tl.program_id(0) * N + at, line, mask=at < N)


def rms_norm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, rows: int = 4
) -> tuple[Tensor, Tensor]:
    """Compute both gradients of `rms_norm` in one launch. A program takes
    `rows` rows.
    """
    M, N = x.shape
    dx, lines = torch.empty_like(x), x.new_empty(triton.cdiv(M, rows), N)
    _rms_norm_backward_kernel[(len(lines),)](
        dy, x, weight, rstd, dx, lines, M, N, ROWS=rows, BLOCK=triton.next_power_of_2(N)
    )
    return dx, lines.sum(0)


class RMSNorm(torch.autograd.Function):
    """`rms_norm` of kernels/02 with a gradient: `RMSNorm.apply(x, weight)`."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        y, rstd = rms_norm(x, weight)
        ctx.save_for_backward(x, weight, rstd)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
        return rms_norm_backward(dy, *ctx.saved_tensors)


@triton.jit
def _swiglu_backward_kernel(
    gate_ptr, up_ptr, dout_ptr, dgate_ptr, dup_ptr, n, BLOCK: tl.constexpr
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + at, mask=at < n)
    up = tl.load(up_ptr + at, mask=at < n)
    dout = tl.load(dout_ptr + at, mask=at < n)
    share = tl.sigmoid(gate)
    tl.store(dgate_ptr + at, dout * up * share * (1 + gate * (1 - share)), mask=at < n)
    tl.store(dup_ptr + at, dout * gate * share, mask=at < n)


def register_swiglu() -> Callable[[Tensor, Tensor], Tensor]:
    """Register `swiglu` of kernels/01 as an operation that PyTorch knows, with
    a gradient.
    """

    @torch.library.custom_op("katas::swiglu", mutates_args=())
    def op(gate: Tensor, up: Tensor) -> Tensor:
        return swiglu(gate, up)

    @op.register_fake
    def fake(gate: Tensor, up: Tensor) -> Tensor:
        return torch.empty_like(gate)

    def keep(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def backward(ctx, dout):
        gate, up = ctx.saved_tensors
        dgate, dup, n = torch.empty_like(gate), torch.empty_like(up), gate.numel()
        _swiglu_backward_kernel[(triton.cdiv(n, 128),)](
            gate, up, dout, dgate, dup, n, BLOCK=128
        )
        return dgate, dup

    op.register_autograd(backward, setup_context=keep)
    return op


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, chunk: int = 16
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the mean cross-entropy of x weightᵀ and both gradients, with the logits
    of `chunk` rows in memory.
    """
    share = (targets != -100) / (targets != -100).sum()
    loss, dx, dweight = torch.zeros(()), torch.empty_like(x), torch.zeros_like(weight)
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        logits = x[rows] @ weight.T
        losses, lse = cross_entropy_forward(logits, targets[rows])
        loss += losses @ share[rows]
        _cross_entropy_backward_kernel[(len(logits),)](
            logits, targets[rows], lse, share[rows], logits, len(weight), BLOCK=32
        )
        dx[rows] = logits @ weight
        dweight += logits.T @ x[rows]
    return loss, dx, dweight
