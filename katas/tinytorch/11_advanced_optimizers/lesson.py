"""Module 11 in code: momentum and Adam on a narrow bowl and on digits, cross-entropy as
one node, and the memory.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)

# the modules that stand beside the loaded one
from tinytorch.autograd import no_grad  # noqa: E402
from tinytorch.data import load_digits  # noqa: E402
from tinytorch.layers import Linear, Parameter, Sequential  # noqa: E402
from tinytorch.losses import cross_entropy  # noqa: E402
from tinytorch.optimizers import SGD  # noqa: E402
from tinytorch.tensor import Tensor  # noqa: E402

np.set_printoptions(suppress=True, precision=4)

# 1. A narrow bowl, ½ (x₁² + 100 x₂²). SGD's limit is 2 / 100, and then x₁ crawls.
#    Momentum adds up the small gradients of x₁; Adam makes the step independent of
#    their size.
heading("1. The bowl ½ (x₁² + 100 x₂²) from [1, 1], after 100 steps")
curvatures = np.array([1.0, 100.0])
for name, make in {
    "SGD, lr 0.015": lambda p: SGD([p], lr=0.015),
    "momentum 0.9, lr 0.015": lambda p: kata.SGDMomentum([p], lr=0.015),
    "Adam, lr 0.05": lambda p: kata.Adam([p], lr=0.05),
}.items():
    p = Parameter(np.ones(2))
    optimizer = make(p)
    for _ in range(100):
        p.grad = curvatures * p.data
        optimizer.step()
    print(
        f"   {name:<24} x = {p.data}, loss {0.5 * (curvatures * p.data**2).sum():.1e}"
    )
print(f"   predicted for SGD: {(1 - 0.015 * curvatures) ** 100}")

# 2. Adam's first steps, predicted: lr against the sign of the gradient, whatever
#    its size.
heading("2. Adam's first step, lr 0.1")
grad = np.array([1e-4, -0.3, 70.0])
p = Parameter(np.zeros(3))
p.grad = grad
optimizer = kata.Adam([p], lr=0.1)
optimizer.step()
print(f"   gradients {grad}: predicted {-0.1 * np.sign(grad)}, found {p.data}")
uncorrected = -0.1 * optimizer.m[0] / (np.sqrt(optimizer.v[0]) + 1e-8)
print(f"   without bias correction it would be {uncorrected}")

# 3. One operation instead of seven: the same number, and fewer nodes.
heading("3. Cross-entropy on 64 rows of 10 classes")
rng = np.random.default_rng(0)
values, targets = rng.normal(size=(64, 10)), rng.integers(0, 10, size=64)


def nodes(loss: Tensor) -> list[str]:
    names, todo = [], [loss]
    while todo:
        node = todo.pop().node
        if node is not None:
            names.append(node.op)
            todo += node.inputs
    return names


for name, function in {
    "module 06": cross_entropy,
    "fused": kata.fused_cross_entropy,
}.items():
    logits = Tensor(values, requires_grad=True)
    loss = function(logits, targets)
    graph = nodes(loss)
    loss.backward()
    print(
        f"   {name:<10} loss {loss.item():.6f}, gradient "
        f"{np.abs(logits.grad).sum():.6f}, nodes: {', '.join(graph)}"
    )

# 4. Digits: two layers, 1,437 images to learn from and 360 for validation. Guessing
#    costs log 10 = 2.3.
heading("4. Digits, 4 epochs of 45 batches")
images, labels = load_digits()
order = np.random.default_rng(0).permutation(len(images))
x, y = images.reshape(-1, 64)[order].astype(np.float32) / 16, labels[order]
train = [(Tensor(x[i : i + 32]), Tensor(y[i : i + 32])) for i in range(0, 1437, 32)]
val = [(Tensor(x[1437:]), Tensor(y[1437:]))]


def network(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        [
            Linear(64, 32, rng=rng),
            lambda h: kata.Tensor(1.0) / (1 + (-h).exp()),
            Linear(32, 10, rng=rng),
        ]
    )


class Watched:
    """The training batches, with the loss of each batch noted before its update."""

    def __init__(self, model: Sequential):
        self.model, self.losses = model, []

    def __iter__(self):
        for batch, labels in train:
            with no_grad():
                self.losses.append(
                    kata.fused_cross_entropy(self.model(batch), labels).item()
                )
            yield batch, labels


makers = {
    "SGD, lr 0.1": lambda params: SGD(params, lr=0.1),
    "SGD, lr 1": lambda params: SGD(params, lr=1.0),
    "momentum 0.9, lr 0.1": lambda params: kata.SGDMomentum(params, lr=0.1),
    "Adam, lr 0.01": lambda params: kata.Adam(params, lr=0.01),
}
curves, model = {}, network()
print(
    "   optimizer               train loss per epoch              val loss   val "
    "accuracy"
)
for name, make in makers.items():
    model = network()
    watched = Watched(model)
    history = kata.train_classifier(
        model, make(model.parameters()), watched, 4, val_loader=val
    )
    curves[name] = watched.losses
    losses = "  ".join(f"{loss:.3f}" for loss in history["train_loss"])
    print(
        f"   {name:<22}  {losses}  {history['val_loss'][-1]:16.3f}   "
        f"{history['val_accuracy'][-1]:.1%}"
    )

# 5. What the last model confuses. Accuracy hides it; the matrix and the recall per
#    class show it.
heading(
    "5. The last model's confusion matrix on the validation images: rows true, "
    "columns predicted"
)
with no_grad():
    matrix = kata.confusion_matrix(model(val[0][0]).data.argmax(axis=1), val[0][1], 10)
metrics = kata.classification_metrics(matrix)
for digit, row in enumerate(matrix):
    print(
        f"   {digit}:",
        *(f"{count:3}" for count in row),
        f"  recall {metrics['recall'][digit]:.2f}",
    )
print(
    f"   accuracy {metrics['accuracy']:.3f}, lowest precision "
    f"{np.min(metrics['precision']):.2f}"
)

# 6. Memory: the prediction, and what a new Adam retains.
heading("6. Bytes for a float32 Linear(784, 128)")
layer = Linear(784, 128).parameters()
for name in ("sgd", "momentum", "adam"):
    cost = stretch(kata.optimizer_bytes, layer, name)
    if cost is None:
        break
    print(f"   {name:<9}", ", ".join(f"{part} {size:,}" for part, size in cost.items()))
    print(
        "             at 100 times the parameters: "
        f"{100 * cost['total'] / 2**20:,.0f} MiB"
    )
scaling = stretch(kata.state_scaling, [10_000, 20_000, 40_000])
if scaling:
    print(
        f"   state of Adam for n = {scaling['sizes']}: predicted "
        f"{[8 * n for n in scaling['sizes']]}"
    )
    print(f"   measured {scaling['values']}, exponent {scaling['exponent']:.3f}")

# 7. Twenty steps beside PyTorch.
heading("7. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    pairs = {
        "momentum": (kata.SGDMomentum, torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
        "Adam": (kata.Adam, torch.optim.Adam, {"lr": 0.01}),
    }
    for name, (ours, theirs, options) in pairs.items():
        p, q = (
            Parameter(np.ones(2)),
            torch.ones(2, dtype=torch.float64, requires_grad=True),
        )
        mine, oracle = ours([p], **options), theirs([q], **options)
        for _ in range(20):
            p.grad, q.grad = curvatures * p.data, torch.tensor(curvatures) * q.detach()
            mine.step()
            oracle.step()
        print(f"   {name:<9} after 20 steps: ours {p.data}, torch {q.detach().numpy()}")
    logits = torch.tensor(values)
    theirs = torch.nn.functional.cross_entropy(
        logits, torch.tensor(targets), label_smoothing=0.1
    ).item()
    ours = kata.fused_cross_entropy(Tensor(values), targets, label_smoothing=0.1).item()
    print(f"   cross-entropy with smoothing 0.1: ours {ours:.9f}, torch {theirs:.9f}")
    pytorch_source(
        "torch.optim.adam",
        "_single_tensor_adam",
        start="step = _get_value(step_t)",
        lines=27,
    )


# 8. The figure: loss per step for the three optimizers, as a running mean of
#    ten batches.
def draw() -> Figure:
    figure = Figure()
    axes = figure.subplots()
    for name, colour in zip(
        ("SGD, lr 0.1", "momentum 0.9, lr 0.1", "Adam, lr 0.01"), (COLOURS[5], *COLOURS)
    ):
        smooth = np.convolve(curves[name], np.ones(10) / 10, mode="valid")
        axes.plot(np.arange(len(smooth)) + 10, smooth, color=colour, label=name)
    axes.axhline(np.log(10), color=COLOURS[6], linestyle="--", linewidth=1)
    axes.text(180, np.log(10) + 0.02, "guessing, log 10", ha="right", va="bottom")
    axes.set(
        title="A velocity and a step per element save steps",
        xlabel="step",
        ylabel="loss, mean of ten batches",
    )
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left")
    return figure


save_figure(draw(), __file__)
