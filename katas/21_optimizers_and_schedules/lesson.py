"""Kata 21 in code: four optimizers in one valley, two kinds of decay, three schedules,
clipping, growing batches.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)


# 1. A long narrow valley: 40 times as steep across (y) as along (x). Its lowest point
#    is (2, 1).
LOWEST, START, STEPS = (2.0, 1.0), (-2.5, 2.0), 50


def valley(x, y):
    return 0.5 * (x - LOWEST[0]) ** 2 + 20 * (y - LOWEST[1]) ** 2


def descend(make, **options):
    """The points on an optimizer's way, the start first."""
    point = nn.Parameter(torch.tensor(START))
    optimizer = make([point], **options)
    path = [point.detach().clone()]
    for _ in range(STEPS):
        optimizer.zero_grad()
        valley(*point).backward()
        optimizer.step()
        path.append(point.detach().clone())
    return torch.stack(path)


paths = {
    "SGD": descend(kata.SGD, lr=0.04),
    "SGD, momentum 0.9": descend(kata.SGD, lr=0.01, momentum=0.9),
    "Adam": descend(kata.Adam, lr=0.15),
    "AdamW, decay 0.5": descend(kata.AdamW, lr=0.15, weight_decay=0.5),
}
print(f"1. From {START} towards the lowest point {LOWEST} in {STEPS} steps")
print(
    f"   {'':<20} {'x':>6} {'y':>6} {'height':>8}   furthest x   first step along x, y"
)
for name, path in paths.items():
    (x, y), (dx, dy) = path[-1].tolist(), (path[1] - path[0]).tolist()
    furthest = path[:, 0].max().item()
    print(
        f"   {name:<20} {x:6.2f} {y:6.2f} {valley(x, y):8.4f} {furthest:12.2f}   "
        f"{dx:+8.3f} {dy:+8.3f}"
    )

# 2. Decay. Two weights of 1 get gradients of alternating sign that cancel out: large
#    ones and small ones. Only the decay is left to move them. Adam divides it by the
#    size of the gradient; AdamW does not.
print("\n2. Two weights of 1 after 200 steps of lr 0.01 and weight decay 0.1")
for name, make in (("Adam", kata.Adam), ("AdamW", kata.AdamW)):
    weights = nn.Parameter(torch.ones(2))
    optimizer = make([weights], lr=0.01, weight_decay=0.1)
    for step in range(200):
        weights.grad = torch.tensor([10.0, 0.1]) * (1 if step % 2 else -1)
        optimizer.step()
    large, small = weights.tolist()
    print(
        f"   {name:<6} with gradients of ±10: {large:.3f}, with gradients of ±0.1: "
        f"{small:.3f}"
    )

# 3. Bias correction: m and v start at 0, so without it the first estimates are too
#    small, v far more than m.
print("\n3. After one step with g = 2")
beta1, beta2 = 0.9, 0.999
m, v = (1 - beta1) * 2.0, (1 - beta2) * 2.0**2
print(
    f"   m = {m:.3f}, √v = {v**0.5:.4f}: a step of {m / v**0.5:.2f} · lr without "
    "correction"
)
print(
    f"   m̂ = {m / (1 - beta1):.3f}, √v̂ = {(v / (1 - beta2)) ** 0.5:.4f}: a step of 1 "
    "· lr with it"
)

# 4. Schedules. The optimizer reads group["lr"] in every step, so a schedule only has to
#    write it.
curve = {"max_lr": 0.1, "min_lr": 0.01, "warmup_steps": 10, "max_steps": 80}
rates = {
    "constant": [0.1] * 100,
    "warm-up + cosine": [kata.warmup_cosine(step, **curve) for step in range(100)],
}
optimizer = kata.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
stepped = stretch(kata.StepLR, optimizer, 30, 0.4)
if stepped is not None:
    rates["StepLR(30, 0.4)"] = []
    for _ in range(100):
        rates["StepLR(30, 0.4)"].append(optimizer.param_groups[0]["lr"])
        stepped.step()
print("\n4. Learning rates")
steps = (0, 9, 10, 45, 80, 99)
print(f"   {'step':<18}" + "".join(f"{step:>8}" for step in steps))
for name, line in rates.items():
    print(f"   {name:<18}" + "".join(f"{line[step]:8.4f}" for step in steps))

# 5. PyTorch's schedules write group["lr"], too. LambdaLR multiplies the base rate by a
#    function of the step; without warm-up, ours is CosineAnnealingLR.
plain = {"max_lr": 1.0, "min_lr": 0.1, "warmup_steps": 0, "max_steps": 20}
ours, theirs = (
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0) for _ in range(2)
)
schedules = (
    torch.optim.lr_scheduler.LambdaLR(
        ours, lambda step: kata.warmup_cosine(step, **plain)
    ),
    torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=20, eta_min=0.1),
)
largest = 0.0
for _ in range(20):
    largest = max(
        largest, abs(ours.param_groups[0]["lr"] - theirs.param_groups[0]["lr"])
    )
    for optimizer, schedule in zip((ours, theirs), schedules, strict=True):
        optimizer.step()
        schedule.step()
print(f"\n5. Largest difference from CosineAnnealingLR in 20 steps: {largest:.1e}")

# 6. Clipping. By norm, all gradients shrink by one factor and the direction stays. By
#    value, the direction turns.
print("\n6. Two gradients, [3, 0] and [4]")


def pair():
    params = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    params[0].grad, params[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    return params


def shown(params):
    return " and ".join(str([round(g, 3) for g in p.grad.tolist()]) for p in params)


params = pair()
norm = kata.clip_grad_norm(params, 2.0)
print(f"   clip_grad_norm to 2 returns {norm:.1f} and leaves {shown(params)}")
print(f"   once more it returns {kata.clip_grad_norm(params, 2.0):.1f}")
params = pair()
kata.clip_grad_value(params, 2.0)
print(f"   clip_grad_value to 2 leaves {shown(params)}")

# 7. Which parameters of a small transformer decay.
transformer = nn.TransformerEncoder(
    nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), num_layers=2
)
model = nn.ModuleDict(
    {
        "words": nn.Embedding(100, 32),
        "body": transformer,
        "head": nn.Linear(32, 100, bias=False),
    }
)
model["head"].weight = model["words"].weight
print("\n7. Groups of a small transformer with tied embeddings")
groups = stretch(kata.decay_groups, model, 0.1)
for group in groups or []:
    count = sum(p.numel() for p in group["params"])
    print(
        f"   weight decay {group['weight_decay']}: {len(group['params']):2} "
        f"parameters with {count:6,} numbers"
    )
if groups:
    first = kata.AdamW(groups, lr=1e-3).param_groups[0]
    print(
        f"   the first group in AdamW: lr {first['lr']}, betas {first['betas']}, "
        f"decay {first['weight_decay']}"
    )

# 8. A batch size that grows with the tokens seen, in multiples of 8; the end need not
#    be one.
print(
    "\n8. Batch size over tokens, from 12 to 60 in 1,000,000 tokens, in multiples of 8"
)
for tokens in (0, 100_000, 250_000, 500_000, 999_999, 1_000_000):
    size = stretch(
        kata.batch_size_schedule,
        tokens,
        start=12,
        end=60,
        ramp_tokens=1_000_000,
        multiple_of=8,
    )
    if size is None:
        break
    print(f"   {tokens:>9,} tokens: {size}")

# 9. The figure. Left: plain SGD jumps from side to side where it is steep and creeps
#    where it is flat; momentum shoots past the lowest point and turns back; Adam starts
#    with equal steps along x and y. Right: the schedules of step 4.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
x, y = torch.meshgrid(
    torch.linspace(-3.1, 3.7, 150), torch.linspace(-0.2, 2.4, 150), indexing="xy"
)
heights = valley(x, y)
above.contour(
    x, y, heights, levels=[0.1, 0.5, 1.5, 4, 8, 14, 22], colors="0.8", linewidths=1
)
marks = ["o", "s", "^", "D"]
for (name, path), colour, mark in zip(paths.items(), COLOURS, marks, strict=False):
    above.plot(
        path[:, 0],
        path[:, 1],
        color=colour,
        marker=mark,
        markersize=3,
        linewidth=1.1,
        label=name,
    )
above.plot(
    *LOWEST,
    marker="*",
    color="black",
    markersize=12,
    linestyle="none",
    label="lowest point",
)
above.set(
    xlabel="x: flat",
    ylabel="y: steep",
    title=f"{STEPS} steps in a narrow valley",
    ylim=(-0.2, 2.4),
)
above.legend(loc="upper right")
for (name, line), style in zip(rates.items(), ("--", "-", "-."), strict=False):
    below.plot(
        line,
        linestyle=style,
        label=name,
        drawstyle="steps-post" if "Step" in name else "default",
    )
below.set(xlabel="step", ylabel="learning rate", title="Schedules", ylim=(0, 0.125))
below.legend(loc="upper right", ncols=1)
save_figure(figure, __file__)
