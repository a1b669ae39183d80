"""Powers of two, the target met in the loop, the gradient made in forward and scaled in
backward, tiles of rows whose lines a kernel sums, and one kernel for loss and gradient
of a chunk.
"""
# leaves open: test_other_precisions, test_gradcheck, test_half_precision,
# test_a_frozen_weight

LOG2_E = 1.4426950408889634
column_sum = prerequisite("kernels/02_reductions").column_sum


@triton.jit
def _loss(X, Y, LOSS, LSE, V, LOG2_E: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    X += row * V
    y = tl.load(Y + row)
    m, s, x_y = -1e30, 0.0, 0.0
    for i in range(0, tl.cdiv(V, BLOCK)):
        cols = i * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < V, other=float("-inf")).to(tl.float32)
        x_y += tl.sum(tl.where(cols == y, x, 0.0), axis=0)
        m_new = tl.maximum(m, tl.max(x, axis=0))
        s = s * tl.exp2((m - m_new) * LOG2_E) + tl.sum(
            tl.exp2((x - m_new) * LOG2_E), axis=0
        )
        m = m_new
    lse = m + tl.log2(s) / LOG2_E
    tl.store(LSE + row, lse)
    tl.store(LOSS + row, (lse - x_y) * (y != -100))


def cross_entropy_forward(logits, targets, block=32):
    n, V = logits.shape
    loss, lse = (
        logits.new_empty(n, dtype=torch.float32),
        logits.new_empty(n, dtype=torch.float32),
    )
    _loss[(n,)](logits, targets, loss, lse, V, LOG2_E, BLOCK=block)
    return loss, lse


@triton.jit
def _dlogits(X, Y, LSE, DLOSS, DX, V, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    X, DX = X + row * V, DX + row * V
    y, lse, dloss = tl.load(Y + row), tl.load(LSE + row), tl.load(DLOSS + row)
    if y == -100:
        dloss = 0.0
    for start in range(0, V, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < V, other=0.0)
        p = tl.exp(x.to(tl.float32) - lse)
        tl.store(DX + cols, tl.where(cols == y, p - 1, p) * dloss, mask=cols < V)


def cross_entropy_backward(logits, targets, lse, dloss, block=32):
    dlogits = torch.zeros_like(logits)
    _dlogits[(len(logits),)](
        logits, targets, lse, dloss, dlogits, logits.shape[1], block
    )
    return dlogits


class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        loss, lse = cross_entropy_forward(logits, targets)
        ctx.save_for_backward(
            cross_entropy_backward(logits, targets, lse, torch.ones_like(loss))
        )
        return loss

    @staticmethod
    def backward(ctx, dloss):
        (dlogits,) = ctx.saved_tensors
        return dlogits * dloss[:, None], None


@triton.jit
def _tile(DY, X, W, RSTD, DX, DW, M, N, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.arange(0, BLOCK)
    mask = (rows[:, None] < M) & (cols[None, :] < N)
    at = rows[:, None] * N + cols[None, :]
    dy, x = (
        tl.load(DY + at, mask=mask, other=0.0),
        tl.load(X + at, mask=mask, other=0.0),
    )
    w = tl.load(W + cols, mask=cols < N, other=0.0)
    rstd = tl.load(RSTD + rows, mask=rows < M, other=0.0)[:, None]
    g = dy * w[None, :]
    dot = tl.sum(g * x, axis=1)[:, None]
    tl.store(DX + at, rstd * g - x * rstd * rstd * rstd * dot / N, mask=mask)
    tl.store(
        DW + tl.program_id(0) * N + cols, tl.sum(dy * x * rstd, axis=0), mask=cols < N
    )


def rms_norm_backward(dy, x, weight, rstd, rows=4):
    M, N = x.shape
    lines = -(-M // rows)
    dx, dw = torch.empty_like(dy), torch.empty((lines, N))
    _tile[(lines,)](dy, x, weight, rstd, dx, dw, M, N, rows, triton.next_power_of_2(N))
    return dx, column_sum(dw)


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(x, weight):
        return rms_norm(x, weight)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, dy, _):
        return rms_norm_backward(dy.contiguous(), *ctx.saved_tensors)

    @classmethod
    def apply(cls, x, weight):
        return super().apply(x, weight)[0]


@triton.jit
def _both(X, Y, LOSS, V, share, BLOCK: tl.constexpr):
    row, y = tl.program_id(0), tl.load(Y + tl.program_id(0))
    X += row * V
    m, s = -float("inf"), 0.0
    for start in range(0, V, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < V, other=-float("inf"))
        m_new = tl.maximum(m, tl.max(x, axis=0))
        s = s * tl.exp(m - m_new) + tl.sum(tl.exp(x - m_new), axis=0)
        m = m_new
    lse = m + tl.log(s)
    used = y != -100
    x_y = tl.load(X + y, mask=used, other=0.0)
    tl.store(LOSS + row, tl.where(used, (lse - x_y) * share, 0.0))
    for start in range(0, V, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < V, other=0.0)
        tl.store(
            X + cols,
            tl.where(used, (tl.exp(x - lse) - (cols == y)) * share, 0.0),
            mask=cols < V,
        )


def linear_cross_entropy(x, weight, targets, chunk=16):
    share = 1 / int((targets != -100).sum())
    dx, dweight, losses = (
        torch.empty_like(x),
        torch.zeros_like(weight),
        torch.empty(len(x)),
    )
    for a, b, y, loss in zip(
        x.split(chunk), dx.split(chunk), targets.split(chunk), losses.split(chunk)
    ):
        logits = torch.nn.functional.linear(a, weight)
        _both[(len(a),)](logits, y, loss, len(weight), share, BLOCK=64)
        torch.mm(logits, weight, out=b)
        dweight.addmm_(logits.T, a)
    return losses.sum(), dx, dweight
