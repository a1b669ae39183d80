"""Module 08 in code: one update, evaluation, accumulation, XOR learned from five
starts, and training memory.
"""

import time

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)
# the ones that this module builds on
Tensor, Linear, Sequential = kata.Tensor, kata.Linear, kata.Sequential
x, y = Tensor(kata.XOR_X), Tensor(kata.XOR_Y)


def network(seed: int, hidden: int = 8) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        [Linear(2, hidden, rng=rng), kata.Tanh(), Linear(hidden, 1, rng=rng)]
    )


def timed(seed: int) -> tuple[dict, float]:
    started = time.perf_counter()
    found = kata.train_xor(np.random.default_rng(seed), epochs=600)
    return found, time.perf_counter() - started


# 1. One step: the loss that it returns is the one before the update, so the second step
#    shows what the first one did.
heading("1. Three steps on XOR")
model = network(0)
optimizer = kata.SGD(model.parameters(), lr=0.1)
for step in range(3):
    loss = kata.train_step(model, kata.mse_loss, optimizer, x, y)
    size = np.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
    print(f"   step {step}: loss {loss:.4f}, length of the gradient {size:.4f}")

# 2. Evaluation. The last batch of an epoch is often shorter; a mean of batch means
#    gives its samples more weight.
heading("2. The mean over samples, and the mean of batch means")
data = [(x[:3], y[:3]), (x[3:], y[3:])]
means = [kata.evaluate(model, kata.mse_loss, [batch]) for batch in data]
print(f"   losses of a batch of 3 and a batch of 1: {means[0]:.4f} and {means[1]:.4f}")
print(
    f"   mean of both: {np.mean(means):.4f}, mean per sample: "
    f"{kata.evaluate(model, kata.mse_loss, data):.4f}"
)
with kata.evaluating(model):
    print(
        "   inside the block: training",
        model.training,
        "and a graph",
        model(x).node is not None,
    )
print(
    "   after the block:  training",
    model.training,
    "and a graph",
    model(x).node is not None,
)

# 3. Accumulation. Four batches of one point each, one update: the gradient is that of
#    all four points at once.
heading("3. Four small batches or a large one")
gradients = []
for batches in ([(x[i : i + 1], y[i : i + 1]) for i in range(4)], [(x, y)]):
    model = network(0)
    loss = kata.train_group(
        model, kata.mse_loss, kata.SGD(model.parameters(), lr=0.1), batches
    )
    gradients.append(np.concatenate([p.grad.reshape(-1) for p in model.parameters()]))
    print(
        f"   {len(batches)} batches: loss {loss:.6f}, length of the gradient "
        f"{np.linalg.norm(gradients[-1]):.6f}"
    )
print(
    "   largest difference between the gradients: "
    f"{np.abs(gradients[0] - gradients[1]).max():.0e}"
)

# 4. Milestone 2. A network without a hidden layer cannot do better than 1/4, the mean
#    squared error of "one half".
heading("4. Milestone 2: XOR, every 100th epoch")
starts = [timed(seed) for seed in range(5)]
result, _ = starts[0]
straight = Sequential([Linear(2, 1, rng=np.random.default_rng(0))])
curve = kata.train(
    straight, kata.mse_loss, kata.SGD(straight.parameters(), lr=0.1), [(x, y)], 301
)["train_loss"]
print("   epoch   Linear–Tanh–Linear   Linear alone")
for epoch in range(0, 600, 100):
    beside = f"{curve[epoch]:12.6f}" if epoch < len(curve) else ""
    print(f"   {epoch:5}   {result['losses'][epoch]:18.2e}   {beside}")
print(
    "   predictions:",
    np.round(result["model"](x).data[:, 0], 4).tolist(),
    "for the targets",
    y.data[:, 0].tolist(),
)

# 5. Is that luck? Five starts of 600 epochs, and the time that each of them takes.
heading("5. Five starts, 600 epochs each")
print("   seed   seconds       loss   accuracy   loss below 0.01 from epoch")
for seed, (found, seconds) in enumerate(starts):
    epoch = int(np.argmax(np.array(found["losses"]) < 0.01))
    print(
        f"   {seed:4}   {seconds:7.2f}   {found['loss']:8.0e}   "
        f"{found['accuracy']:8.0%}   {epoch}"
    )

# 6. Where training memory goes: the first two parts depend on the model, activations on
#    the batch.
heading("6. Training memory of 64-64-64 with tanh")
rng = np.random.default_rng(0)
model = Sequential([Linear(64, 64, rng=rng), kata.Tanh(), Linear(64, 64, rng=rng)])
for n in (32, 1024):
    memory = stretch(
        kata.training_memory, model, Tensor(np.ones((n, 64), dtype=np.float32))
    )
    if memory is None:
        break
    print(
        f"   batch of {n:4}:",
        ", ".join(f"{name} {size:,}" for name, size in memory.items()),
    )
scaling = stretch(kata.batch_scaling, [128, 256, 512])
if scaling is not None:
    for n, kept in zip(scaling["sizes"], scaling["values"], strict=True):
        print(
            f"   forward with graph, batch of {n}: {kept:,} bytes kept; three layers' "
            f"outputs are {3 * n * 64 * 4:,}"
        )
    print(f"   measured exponent: {scaling['exponent']:.2f}, predicted 1")
    print(
        "   The rest is the product before each bias: this framework keeps every "
        "operation's output."
    )

# 7. The same start and the same loop in PyTorch.
heading("7. PyTorch does it so")
try:
    import torch
    from torch import nn
except ImportError:
    print("   (torch is not importable: this comparison is left out)")
else:
    mine, theirs = (
        network(0),
        nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)),
    )
    with torch.no_grad():
        for p, parameter in zip(mine.parameters(), theirs.parameters(), strict=True):
            parameter.copy_(torch.from_numpy(p.data))
    losses = kata.train(
        mine, kata.mse_loss, kata.SGD(mine.parameters(), lr=0.1), [(x, y)], 200
    )["train_loss"]
    optimizer, differences = torch.optim.SGD(theirs.parameters(), lr=0.1), []
    for loss in losses:
        optimizer.zero_grad()
        output = nn.functional.mse_loss(
            theirs(torch.from_numpy(x.data)), torch.from_numpy(y.data)
        )
        output.backward()
        optimizer.step()
        differences.append(abs(output.item() - loss))
    print(
        "   largest difference of 200 losses from the same start: "
        f"{max(differences):.0e}"
    )
    pytorch_source(
        "torch.nn.modules.module", "Module.train", start="if not isinstance", lines=6
    )


# 8. The figure: losses for three learning rates, and what the trained network says
#    between the four points.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    for lr, colour in zip(
        (0.02, 0.1, 0.5), (COLOURS[5], COLOURS[0], COLOURS[1]), strict=True
    ):
        with np.errstate(all="ignore"):
            losses = np.array(
                kata.train_xor(np.random.default_rng(0), lr=lr, epochs=300)["losses"]
            )
        above.plot(
            np.where(losses < 1e4, losses, np.nan), color=colour, label=f"lr {lr}"
        )
    above.axhline(0.25, color=COLOURS[6], linestyle="--", linewidth=1)
    above.text(300, 0.27, "no better than a line", ha="right", va="bottom")
    above.set_yscale("log")
    above.set(
        title="The rate decides",
        xlabel="epoch",
        ylabel="mean squared error",
        ylim=(1e-5, 1e3),
    )
    above.legend()
    grid = np.linspace(-0.25, 1.25, 61, dtype=np.float32)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    with kata.evaluating(result["model"]):
        surface = result["model"](Tensor(points)).data.reshape(61, 61)
    drawn = below.contourf(
        grid, grid, surface, levels=np.linspace(-0.75, 1.5, 10), extend="both"
    )
    below.contour(grid, grid, surface, levels=[0.5], colors="white")
    for (x1, x2), target in zip(kata.XOR_X, kata.XOR_Y[:, 0], strict=True):
        below.plot(
            x1,
            x2,
            "o" if target else "s",
            color="white",
            markeredgecolor="black",
            markersize=9,
        )
    figure.colorbar(drawn, ax=below, label="output")
    below.set(
        title="Learned: 1 (○) between two lines",
        xlabel="x1",
        ylabel="x2",
        aspect="equal",
    )
    return figure


save_figure(draw(), __file__)
