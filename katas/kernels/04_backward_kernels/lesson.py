"""Kata kernels/04 in code: what a loss keeps and moves, sums that programs share, and
logits a few rows at a time.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from grader.kernels import KernelFault, tl, triton, watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. The gradient of a loss. Each logit pushes by its share, the target's also pulls by
# 1: together they sum to 0.
print("1. One row of five logits, target 2")
logits, target = torch.tensor([[1.0, 3.0, 2.0, 0.0, -1.0]]), torch.tensor([2])
loss, lse = kata.cross_entropy_forward(logits, target)
gradient = kata.cross_entropy_backward(logits, target, lse, torch.ones(1))
print(f"   loss {loss.item():.4f}, lse {lse.item():.4f}")
print(
    f"   gradient {[round(g, 3) for g in gradient[0].tolist()]}, sum "
    f"{abs(gradient.sum().item()):.4f}"
)

# 2. What is moved by the loss of (9, 77) and its gradient. PyTorch's own way has four
# steps: log-softmax, a pick; a gradient of the pick, which is mostly zeros, and that of
# the log-softmax. Here as kernels, so that they are counted.
print("\n2. Numbers moved, per logit of (9, 77)")


@triton.jit
def log_softmax_kernel(x_ptr, out_ptr, N, BLOCK: tl.constexpr):
    at, columns = tl.program_id(0) * N + tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=columns < N, other=-float("inf"))
    x = x - tl.max(x)
    tl.store(out_ptr + at, x - tl.log(tl.sum(tl.exp(x))), mask=columns < N)


@triton.jit
def pick_kernel(x_ptr, targets_ptr, loss_ptr, N):
    row = tl.program_id(0)
    tl.store(loss_ptr + row, -tl.load(x_ptr + row * N + tl.load(targets_ptr + row)))


@triton.jit
def pick_backward_kernel(targets_ptr, dloss_ptr, out_ptr, N, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0), tl.arange(0, BLOCK)
    pull = tl.where(
        columns == tl.load(targets_ptr + row), -tl.load(dloss_ptr + row), 0.0
    )
    tl.store(out_ptr + row * N + columns, pull, mask=columns < N)


@triton.jit
def log_softmax_backward_kernel(up_ptr, logs_ptr, out_ptr, N, BLOCK: tl.constexpr):
    at, columns = tl.program_id(0) * N + tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    up = tl.load(up_ptr + at, mask=columns < N, other=0.0)
    logs = tl.load(logs_ptr + at, mask=columns < N, other=0.0)
    tl.store(out_ptr + at, up - tl.exp(logs) * tl.sum(up), mask=columns < N)


def four_steps(logits: Tensor, targets: Tensor, dloss: Tensor) -> Tensor:
    (R, V), BLOCK = logits.shape, triton.next_power_of_2(logits.size(1))
    logs, up, out = (torch.empty(R, V) for _ in range(3))
    log_softmax_kernel[(R,)](logits, logs, V, BLOCK=BLOCK)
    pick_kernel[(R,)](logs, targets, torch.empty(R), V)
    pick_backward_kernel[(R,)](targets, dloss, up, V, BLOCK=BLOCK)
    log_softmax_backward_kernel[(R,)](up, logs, out, V, BLOCK=BLOCK)
    return out


def two_kernels(logits: Tensor, targets: Tensor, dloss: Tensor) -> Tensor:
    _, lse = kata.cross_entropy_forward(logits, targets)
    return kata.cross_entropy_backward(logits, targets, lse, dloss)


R, V = 9, 77
logits, targets, dloss = torch.randn(R, V), torch.arange(R) * 7, torch.rand(R)
moved, results = {}, []
for name, way in {"four steps": four_steps, "two kernels": two_kernels}.items():
    with watched() as seen:
        results.append(way(logits, targets, dloss))
    moved[name] = seen.total("load") / (R * V), seen.total("store") / (R * V)
    print(
        f"   {name:<12} {moved[name][0]:.2f} loads + {moved[name][1]:.2f} stores, "
        f"{seen.launches} launches"
    )
print(f"   largest difference of the two: {(results[0] - results[1]).abs().max():.1e}")

# 3. A function with a gradient. gradcheck moves each input by a millionth,
# and compares.
print("\n3. Checked by PyTorch")
apply = kata.CrossEntropy.apply
value = apply(logits, targets)
print(
    "   off from F.cross_entropy by "
    f"{(value - F.cross_entropy(logits, targets, reduction='none')).abs().max():.0e}"
)
few = torch.randn(3, 9, dtype=torch.float64, requires_grad=True)
try:
    agrees = torch.autograd.gradcheck(
        lambda x: apply(x, targets[:3] % 9), (few,), raise_exception=False
    )
    print(f"   gradcheck in float64: {agrees}")
except RuntimeError as error:
    print(f"   gradcheck in float64: {error}")

# 4. A weight's gradient is a sum over all rows. If all programs store to one place,
# only one of them is kept.
print("\n4. The gradient of the weight of rms_norm, 13 rows of 33")


@triton.jit
def all_to_one_kernel(dy_ptr, dweight_ptr, N, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    dy = tl.load(dy_ptr + tl.program_id(0) * N + at, mask=at < N)
    tl.store(dweight_ptr + at, dy, mask=at < N)


dy, x, weight = torch.randn(13, 33), torch.randn(13, 33), torch.rand(33)
rstd = (x.square().mean(1) + 1e-5).rsqrt()
try:
    all_to_one_kernel[(13,)](dy, torch.zeros(33), 33, BLOCK=64)
except KernelFault as fault:
    print(f"   one place for all: {str(fault).partition(':')[0]}")
for rows in (1, 4, 16):
    with watched() as seen:
        dx, dweight = kata.rms_norm_backward(dy, x, weight, rstd, rows=rows)
    lines = seen.programs
    print(
        f"   rows={rows:<3} {lines:>2} programs, {seen.total('load'):>5} loads, "
        f"{seen.total('store'):>4} stores"
    )
print(
    "   off from the sum over rows by "
    f"{(dweight - (dy * x * rstd[:, None]).sum(0)).abs().max():.0e}"
)

# 5. Logits a few rows at a time.
print("\n5. The loss of 64 rows, 16 features, 211 columns")
hidden, output, targets = (
    torch.randn(64, 16),
    torch.randn(211, 16) / 4,
    torch.arange(64) * 3,
)
found = stretch(kata.linear_cross_entropy, hidden, output, targets)
if found is not None:
    leaves = [value.clone().requires_grad_() for value in (hidden, output)]
    F.cross_entropy(leaves[0] @ leaves[1].T, targets).backward()
    worst = max(
        (mine - leaf.grad).abs().max()
        for mine, leaf in zip(found[1:], leaves, strict=True)
    )
    print(f"   loss {found[0]:.4f}; gradients off by at most {worst:.0e}")
    print(f"   logits in memory: {16 * 211:,} of {64 * 211:,}")

# 6. The same for 4,096 tokens and the 50,257 columns of GPT-2, by multiplication.
print(
    "\n"
    "6. Gigabytes for logits and what has their size, 4,096 tokens, 50,257 columns, "
    "float32"
)
logits_size = 4096 * 50257 * 4 / 1e9
sizes = {
    "logits, log-softmax, gradient": 3 * logits_size,
    "logits, gradient": 2 * logits_size,
    "gradient over the logits": logits_size,
    "64 rows at a time": logits_size * 64 / 4096,
}
for name, size in sizes.items():
    print(f"   {name:<30} {size:.3f}")

# 7. The figure: what is moved, and what is in memory.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for place, (loads, stores) in enumerate(moved.values()):
    above.bar(
        place, loads, 0.6, color=COLOURS[0], label="loads" if place == 0 else None
    )
    above.bar(
        place,
        stores,
        0.6,
        bottom=loads,
        color=COLOURS[3],
        label="stores" if place == 0 else None,
    )
    above.text(place, loads + stores + 0.1, f"{loads + stores:.2f}", ha="center")
above.set(
    xticks=range(2), xticklabels=moved, ylabel="numbers moved, per logit", ylim=(0, 7.4)
)
above.set_title("Cross-entropy, forward and backward")
above.legend(loc="upper right")
below.barh(
    list(sizes),
    list(sizes.values()),
    0.6,
    color=[COLOURS[1], COLOURS[3], COLOURS[2], COLOURS[0]],
)
for place, size in enumerate(sizes.values()):
    below.text(
        size + 0.04,
        place,
        f"{size:.2f} GB" if size > 0.1 else f"{size * 1000:.0f} MB",
        va="center",
    )
below.invert_yaxis()
below.set(
    xlabel="gigabytes", xlim=(0, 2.95), title="In memory: 4,096 tokens, 50,257 columns"
)
save_figure(figure, __file__)
