"""Kata tinytorch/06 in code: how wrong predictions are counted, and how large the
gradients are that come of it.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, pytorch_source, save_figure, stretch

kata = code(__file__)  # chooses the modules that the following lines import

from tinytorch.layers import Linear  # noqa: E402
from tinytorch.setup import manual_seed, profile_memory  # noqa: E402
from tinytorch.tensor import Tensor  # noqa: E402

np.set_printoptions(precision=3, suppress=True)

# 1. Three predictions for class 0 of three. The gradient is softmax - one-hot: negative
#    where the logit should rise.
print("1. Cross-entropy for class 0")
for name, row in {
    "right": [5.0, 0.0, 0.0],
    "unsure": [0.0, 0.0, 0.0],
    "wrong": [0.0, 5.0, 0.0],
}.items():
    logits = Tensor([row], requires_grad=True)
    loss = kata.cross_entropy(logits, np.array([0]))
    loss.backward()
    print(f"{name:<7} logits {row}: loss {loss.item():.3f}, gradient {logits.grad[0]}")
print(f"Guessing among three classes costs log 3 = {np.log(3):.3f}.")

# 2. Large logits. The naive formula takes the exponential of 10,000, and the logarithm
#    of 0.
large = np.array([[10_000.0, 9_999.0], [-10_000.0, -9_998.0]])
with np.errstate(all="ignore"):
    naive = np.log(np.exp(large) / np.exp(large).sum(axis=1, keepdims=True))
print("\n2. Log-softmax of rows at 10,000 and at -10,000")
print("log(softmax):", naive.tolist())
print("yours:       ", np.round(kata.log_softmax(Tensor(large)).data, 3).tolist())

# 3. A column against a row. Every prediction is right, and yet the broadcast loss is
#    not 0.
column, row = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 3.0])
print("\n3. Predictions (3, 1) against targets (3,)")
print(
    f"The mean over the broadcast table {(column - row).shape} is "
    f"{((column - row) ** 2).mean():.3f}."
)
try:
    kata.mse_loss(Tensor(column), Tensor(row))
except ValueError as error:
    print(f"mse_loss refuses: {error}")
print(
    "In equal shapes the loss is "
    f"{kata.mse_loss(Tensor(column[:, 0]), Tensor(row)).item():.3f}."
)

# 4. Softmax twice: probabilities, even perfect ones, are poor logits.
perfect = Tensor(np.eye(10))
print("\n4. Perfect probabilities for ten classes, passed as if they were logits")
print(
    f"loss {kata.cross_entropy(perfect, np.arange(10)).item():.3f}, and it cannot get "
    "lower"
)

# 5. Behind a sigmoid, target 1: what is left of the gradient far on the wrong side,
#    at z = -20?
print("\n5. Gradients behind a sigmoid, target 1")
found = stretch(kata.sigmoid_loss_gradients, [-20, -5, -1, 0, 1, 5], 1.0)
if found:
    print("     z   squared error   cross-entropy")
    for z, mse, bce in zip(found["logit"], found["mse"], found["bce"]):
        print(f"{z:6.0f} {mse:15.2e} {bce:15.3f}")

# 6. A network that is sure and wrong: its last bias says "class 0" loudly, and the
#    targets say 1.
print("\n6. Gradient per layer of a network that is sure and wrong")
manual_seed(0)
x, targets = Tensor(np.ones((4, 3), dtype=np.float32)), np.array([1, 1, 1, 1])


def network() -> tuple[Tensor, dict[str, Tensor]]:
    first, last = Linear(3, 5), Linear(5, 2)
    last.bias.data[:] = [10, -10]
    names = {
        "first.weight": first.weight,
        "last.weight": last.weight,
        "last.bias": last.bias,
    }
    return last(first(x)), names


for name in ("squared error", "cross-entropy"):
    manual_seed(1)
    logits, named = network()
    if name == "cross-entropy":
        loss = kata.cross_entropy(logits, targets)
    else:
        loss = kata.mse_loss(kata.softmax(logits), np.eye(2, dtype=np.float32)[targets])
    sizes = stretch(kata.gradient_magnitudes, loss, named)
    if sizes is None:
        break
    print(
        f"{name}: loss {loss.item():6.3f};",
        ", ".join(f"{key} {size:.1e}" for key, size in sizes.items()),
    )

# 7. Memory: tables of N · C, and one number.
print("\n7. Bytes of cross-entropy, 64 rows, 1,000 classes, float32")
predicted = stretch(kata.predict_cross_entropy_bytes, 64, 1000)
if predicted:
    logits = Tensor(np.zeros((64, 1000), dtype=np.float32), requires_grad=True)
    targets = np.zeros(64, dtype=np.int64)
    loss = kata.cross_entropy(logits, targets)
    loss.backward()
    measured = {
        "logits": logits.nbytes,
        "log_probs": kata.log_softmax(logits).nbytes,
        "logit_grad": logits.grad.nbytes,
        "loss": loss.nbytes,
    }
    for name, count in predicted.items():
        print(f"{name:<10} {count:8,} predicted, {measured[name]:8,} measured")
    kept = profile_memory(kata.cross_entropy, logits, targets).retained_bytes
    print(
        f"A loss that waits for its backward pass keeps {kept:,} bytes alive in its "
        "graph."
    )
scaling = stretch(kata.class_scaling, [500, 1000, 2000])
if scaling:
    print(
        f"exponent over the number of classes: {scaling['exponent']:.3f}, predicted 1"
    )
print(f"50,000 classes and 16,384 rows: {50_000 * 16_384 * 4:,} bytes for each table")

# 8. PyTorch has the same functions.
print("\n8. PyTorch does it so")
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("   (torch is not installed: no comparison)")
else:
    values, targets = (
        np.random.default_rng(0).normal(size=(6, 4)),
        np.array([3, 0, 2, 1, 1, 0]),
    )
    ours, theirs = (
        Tensor(values, requires_grad=True),
        torch.tensor(values, requires_grad=True),
    )
    loss, oracle = (
        kata.cross_entropy(ours, targets),
        F.cross_entropy(theirs, torch.from_numpy(targets)),
    )
    loss.backward()
    oracle.backward()
    print(f"   kata.cross_entropy(logits, targets) = {loss.item():.6f}")
    print(f"   F.cross_entropy(logits, targets)    = {oracle.item():.6f}")
    print(
        "   largest difference of the gradients: "
        f"{np.abs(ours.grad - theirs.grad.numpy()).max():.1e}"
    )
    pytorch_source(
        "torch.nn.functional",
        "cross_entropy",
        start="return torch._C._nn.cross_entropy_loss",
    )


# 9. The figure: both gradients over the logit, target 1.
def draw() -> Figure:
    z = np.linspace(-10, 6, 321)
    p = 1 / (1 + np.exp(-z))
    figure = Figure()
    axes = figure.subplots()
    axes.plot(z, 2 * (p - 1) * p * (1 - p), color=COLOURS[1])
    axes.plot(z, p - 1, color=COLOURS[0])
    axes.text(-9.8, -0.1, "squared error: no gradient left", color=COLOURS[1])
    axes.text(-9.8, -0.94, "cross-entropy: near -1", color=COLOURS[0])
    axes.axhline(0, color=COLOURS[6], linewidth=0.8)
    axes.set(
        title="Only cross-entropy learns from mistakes that the model is sure of",
        xlabel="logit z, target 1 (wrong on the left, right on the right)",
        ylabel="derivative of the loss by z",
    )
    return figure


save_figure(draw(), __file__)
