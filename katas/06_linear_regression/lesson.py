"""The lesson of 06 in code: one line fitted by hand and by PyTorch's parts, the scale
of data, and two optimizers.

Run it from anywhere: `python katas/06_linear_regression/lesson.py`. It prints its steps
and draws the figure.
"""

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


# 1. The problem: a cyclist passes nine posts. From the hours and kilometres we want her
#    speed (the slope) and how far from home she was when the clock started (the
#    intercept). No line goes through all the points.
hours = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]).unsqueeze(1)
km = torch.tensor([3.9, 8.1, 11.2, 17.1, 19.8, 25.0, 27.3, 33.4, 35.1]).unsqueeze(1)
heading("1. Nine points: hours and kilometres")
print("hours", hours.flatten().tolist())
print("km   ", [round(value, 1) for value in km.flatten().tolist()])


# 2. One epoch in slow motion, from w = b = 0. Predict, measure, differentiate, step.
heading("2. One epoch, step by step")
w, b = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
prediction = hours @ w + b
loss = (prediction - km).square().mean()
loss.backward()
shapes = [tuple(tensor.shape) for tensor in (hours, w, b, prediction)]
print("predict        hours @ w + b: shapes {} @ {} + {} → {}".format(*shapes))
print(f"measure        mean squared error {loss.item():.2f}")
print(f"differentiate  dloss/dw {w.grad.item():.2f}   dloss/db {b.grad.item():.2f}")
print(f"step, lr 0.1   w {-0.1 * w.grad.item():.4f}   b {-0.1 * b.grad.item():.4f}")
one_w, one_b, one_loss = kata.fit_manual(hours, km, 0.1, 1)
print(
    f"fit_manual     w {one_w.item():.4f}   b {one_b.item():.4f}   loss "
    f"{one_loss[0]:.2f}"
)


# 3. The same line twice: by hand on two tensors, and with nn.Linear, a loss and SGD.
#    Both start at zero here, so that the numbers can be compared. fit_manual starts
#    again for each row; train continues where its last call ended.
heading("3. By hand and with nn.Linear: the weights after each tenth step, lr 0.1")
model = kata.LinearRegression()
torch.nn.init.zeros_(model.linear.weight)
torch.nn.init.zeros_(model.linear.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print(
    f"{'epoch':>5}   {'by hand: w':>12} {'b':>9}   {'nn.Linear: w':>12} {'b':>9}   "
    f"{'loss':>9}"
)
for epoch in range(0, 101, 10):
    w, b, _ = kata.fit_manual(hours, km, 0.1, epoch)
    weight, bias = model.linear.weight.item(), model.linear.bias.item()
    loss = (model(hours) - km).square().mean().item()
    print(
        f"{epoch:>5}   {w.item():>12.5f} {b.item():>9.5f}   {weight:>12.5f} "
        f"{bias:>9.5f}   {loss:>9.4f}"
    )
    kata.train(model, hours, km, optimizer, 10)
exact = stretch(kata.fit_least_squares, hours, km)
if exact is not None:
    print(
        f"exact   {exact[0].item():>12.5f} {exact[1].item():>9.5f}   (least squares, "
        "no steps)"
    )


# 4. The shape bug: km as (N,) against predictions (N, 1). The difference is (N, N),
#    every prediction is compared with every target, and the model learns a flat line at
#    the mean.
heading("4. A target of shape (N,)")
wrong = torch.nn.Linear(1, 1)
print(
    "predictions",
    tuple(wrong(hours).shape),
    "minus targets",
    tuple(km.squeeze(1).shape),
    end=" → ",
)
print("differences", tuple((wrong(hours) - km.squeeze(1)).shape))
kata.train(
    wrong,
    hours,
    km.squeeze(1),
    torch.optim.SGD(wrong.parameters(), lr=0.1),
    200,
    lambda prediction, target: (prediction - target).square().mean(),
)
print(
    f"learned: slope {wrong.weight.item():.3f}, intercept {wrong.bias.item():.3f}; "
    f"mean of km {km.mean().item():.3f}"
)
print("mse_loss:", end=" ")
try:
    stretch(kata.mse_loss, torch.zeros(9, 1), torch.zeros(9))
except Exception as error:
    print(f"{type(error).__name__}:", error)


# 5. Scale decides. From the heights and ages of 80 people we predict how much they
#    weigh. Along the slope for heights, the curvature of the loss is 2 · mean(height²),
#    about 58,000. A descent settles only if lr is below 2 / 58,000. With lr 0.1 every
#    step lands further up on the other side.
heading("5. Heights around 170 cm: plain descent at lr 0.1, then in standard units")
people = torch.randn(80, 2) * torch.tensor([9.0, 12.0]) + torch.tensor([170.0, 40.0])
kg = (
    60
    + (people - torch.tensor([170.0, 40.0])) @ torch.tensor([[0.8], [0.2]])
    + 4 * torch.randn(80, 1)
)
_, _, losses = kata.fit_manual(people, kg, 0.1, 9)
print("losses, cm, years and kg: ", "  ".join(f"{loss:.1e}" for loss in losses))
print(f"lr has to be below about:  {1 / people[:, 0].square().mean().item():.1e}")
w, b, losses = kata.fit_manual(people, kg, 3e-5, 1000)
print(f"1000 epochs at lr 3e-5:    loss {losses[-1]:.1f}, intercept {b.item():.4f}")
standard = (people - people.mean(dim=0)) / people.std(dim=0, correction=0)
in_sd = (kg - kg.mean()) / kg.std(correction=0)
_, _, losses = kata.fit_manual(standard, in_sd, 0.1, 31)
print("losses, standard units:   ", "  ".join(f"{loss:.4f}" for loss in losses[::5]))
w, b = kata.fit_standardized(people, kg)
slopes = f"{w[0].item():.3f} kg per cm, {w[1].item():.3f} kg per year"
print(f"mapped back:               {slopes}, {b.item():.1f} kg at 0 cm and 0 years")
print(f"loss of that, in kg²:      {(people @ w + b - kg).square().mean().item():.1f}")
exact = stretch(kata.fit_least_squares, people, kg)
if exact is not None:
    gap = ((people @ w + b) - (people @ exact[0] + exact[1])).abs().max().item()
    print(f"largest difference to the predictions of least squares: {gap:.1e} kg")


# 6. SGD against Adam, from one start: how far is the loss above the lowest possible
#    one? In standard units the loss is a bowl about equally steep on all sides, and
#    plain descent goes straight down: Adam is no faster. On cm and years, SGD explodes
#    at lr 0.1. Adam divides each gradient by its usual size and stays in bounds.
heading("6. Two optimizers from one start: how far above the lowest loss")
optimizers = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1),
}


def lowest_loss(X, y):
    """The mean squared error of the exact fit."""
    columns = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    return (columns @ (torch.linalg.pinv(columns) @ y) - y).square().mean().item()


curves = {}
for name, X, y in (("standard units", standard, in_sd), ("cm, years, kg", people, kg)):
    X, y = X.double(), y.double()
    found = kata.compare_optimizers(
        lambda: kata.LinearRegression(2).double(), X, y, optimizers, 81
    )
    curves[name] = {
        key: [loss - lowest_loss(X, y) for loss in curve]
        for key, curve in found.items()
    }
    for key, curve in curves[name].items():
        text = "  ".join(
            f"{epoch}: {curve[epoch]:.1e}" for epoch in (0, 10, 20, 40, 80)
        )
        print(f"{name:<15} {key:<5} epoch {text}")


# 7. The figure: the line on its way, and the two curves in standard units.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
above.plot(hours, km, "o", color=COLOURS[6], markersize=5, zorder=3, label="measured")
for (epochs, style), colour in zip(
    {0: ":", 1: "--", 5: "-.", 20: "-"}.items(), COLOURS, strict=False
):
    w, b, _ = kata.fit_manual(hours, km, 0.1, epochs)
    above.plot(hours, hours @ w + b, style, color=colour, label=f"epoch {epochs}")
above.set(
    xlabel="hours", ylabel="km", title="By hand, lr 0.1, from zero", ylim=(-2, 39)
)
above.legend(loc="upper left")
for (name, curve), colour, style in zip(
    curves["standard units"].items(), COLOURS, ("-", "--"), strict=False
):
    below.semilogy(curve, style, color=colour, label=f"{name}, lr 0.1")
below.set(
    xlabel="epoch",
    ylabel="loss above the lowest possible",
    title="Two optimizers, one start, standard units",
)
below.legend()
save_figure(figure, __file__)
