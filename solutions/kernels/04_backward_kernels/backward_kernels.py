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
    dtype = lse_ptr.dtype.element_ty  # what is computed in
    top = tl.full((), -float("inf"), dtype)
    total = tl.full((), 0.0, dtype)
    for start in range(0, V, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logits = tl.load(
            logits_ptr + row * V + at, mask=at < V, other=-float("inf")
        ).to(dtype)
        now = tl.maximum(top, tl.max(logits))
        base = tl.where(now == -float("inf"), 0.0, now)  # nothing but −inf so far
        total = total * tl.exp(top - base) + tl.sum(tl.exp(logits - base))
        top = now
    lse = top + tl.log(total)
    target = tl.load(targets_ptr + row)
    of_target = tl.load(logits_ptr + row * V + target, mask=target >= 0, other=0.0).to(
        dtype
    )
    tl.store(loss_ptr + row, tl.where(target >= 0, lse - of_target, 0.0))
    tl.store(lse_ptr + row, lse)


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
    R, V = logits.shape
    loss, lse = logits.new_empty(
        2, R, dtype=torch.promote_types(logits.dtype, torch.float32)
    ).unbind()
    _cross_entropy_kernel[(R,)](logits, targets, loss, lse, V, BLOCK=block)
    return loss, lse


@triton.jit
def _cross_entropy_backward_kernel(
    logits_ptr, targets_ptr, lse_ptr, dloss_ptr, out_ptr, V, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(targets_ptr + row)
    lse = tl.load(lse_ptr + row)
    dloss = tl.load(dloss_ptr + row)
    for start in range(0, V, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logits = tl.load(logits_ptr + row * V + at, mask=at < V).to(lse.dtype)
        gradient = (tl.exp(logits - lse) - tl.where(at == target, 1.0, 0.0)) * dloss
        # 0 · NaN, from a row of −inf, would be NaN
        gradient = tl.where(target >= 0, gradient, 0.0)
        tl.store(
            out_ptr + row * V + at, gradient.to(out_ptr.dtype.element_ty), mask=at < V
        )


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
    R, V = logits.shape
    out = torch.empty_like(logits)
    _cross_entropy_backward_kernel[(R,)](
        logits, targets, lse, dloss, out, V, BLOCK=block
    )
    return out


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
        loss, lse = cross_entropy_forward(logits, targets)
        ctx.save_for_backward(logits, targets, lse)
        return loss

    @staticmethod
    def backward(ctx, dloss: Tensor) -> tuple[Tensor, None]:
        """Compute the gradient of the logits, and None for the targets."""
        logits, targets, lse = ctx.saved_tensors
        return cross_entropy_backward(logits, targets, lse, dloss.contiguous()), None


@triton.jit
def _rms_norm_backward_kernel(
    dy_ptr, x_ptr, weight_ptr, rstd_ptr, dx_ptr, lines_ptr, M, N,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, SUMS: tl.constexpr,
):  # fmt: skip
    at = tl.arange(0, BLOCK)
    weight = tl.load(weight_ptr + at, mask=at < N, other=0.0).to(tl.float32)
    line = tl.zeros((BLOCK,), tl.float32)
    for place in range(ROWS):
        row = tl.program_id(0) * ROWS + place
        inside = (at < N) & (row < M)
        dy = tl.load(dy_ptr + row * N + at, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * N + at, mask=inside, other=0.0).to(tl.float32)
        rstd = tl.load(rstd_ptr + row, mask=row < M, other=0.0)
        normed, g = x * rstd, dy * weight
        dx = rstd * (g - normed * (tl.sum(g * normed) / N))
        tl.store(dx_ptr + row * N + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        line += dy * normed
    if SUMS:
        tl.store(lines_ptr + tl.program_id(0) * N + at, line, mask=at < N)


def _rms_norm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, rows: int, sums: bool
) -> tuple[Tensor, Tensor | None]:
    """dx, and the gradient of the weight unless its sums are not asked for."""
    M, N = x.shape
    dx, lines = (
        torch.empty_like(x),
        x.new_empty(triton.cdiv(M, rows), N, dtype=torch.float32),
    )
    _rms_norm_backward_kernel[(len(lines),)](
        dy,
        x,
        weight,
        rstd,
        dx,
        lines,
        M,
        N,
        ROWS=rows,
        BLOCK=triton.next_power_of_2(N),
        SUMS=sums,
    )
    return dx, lines.sum(0).to(weight.dtype) if sums else None


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
    dx, dweight = _rms_norm_backward(dy, x, weight, rstd, rows, sums=True)
    assert dweight is not None
    return dx, dweight


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
        y, rstd = rms_norm(x, weight)
        ctx.save_for_backward(x, weight, rstd)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the gradients of x and weight."""
        x, weight, rstd = ctx.saved_tensors
        return _rms_norm_backward(
            dy.contiguous(), x, weight, rstd, rows=4, sums=ctx.needs_input_grad[1]
        )


@triton.jit
def _swiglu_backward_kernel(
    gate_ptr, up_ptr, dout_ptr, dgate_ptr, dup_ptr, n, BLOCK: tl.constexpr
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + at, mask=at < n).to(tl.float32)
    up = tl.load(up_ptr + at, mask=at < n).to(tl.float32)
    dout = tl.load(dout_ptr + at, mask=at < n).to(tl.float32)
    share = tl.sigmoid(gate)
    dgate = dout * up * share * (1 + gate * (1 - share))
    tl.store(dgate_ptr + at, dgate.to(dgate_ptr.dtype.element_ty), mask=at < n)
    tl.store(
        dup_ptr + at, (dout * gate * share).to(dup_ptr.dtype.element_ty), mask=at < n
    )


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

    @torch.library.custom_op("katas::swiglu", mutates_args=())
    def op(gate: Tensor, up: Tensor) -> Tensor:
        return swiglu(gate.contiguous(), up.contiguous())

    @op.register_fake
    def fake(gate: Tensor, up: Tensor) -> Tensor:
        return torch.empty_like(gate, memory_format=torch.contiguous_format)

    def keep(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        gate, up, dout = (x.contiguous() for x in (*ctx.saved_tensors, dout))
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
    share = (targets != -100) / (targets != -100).sum()
    loss, dx, dweight = x.new_zeros(()), torch.empty_like(x), torch.zeros_like(weight)
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
