"""Kata tinytorch/05 in code: autograd for single numbers, then a graph of tensors, the
walk back and its memory.
"""

import math
import random

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, pytorch_source, save_figure, stretch

kata = code(__file__)

# found once the kata is loaded
from tinytorch.setup import profile_memory  # noqa: E402
from tinytorch.tensor import Tensor  # noqa: E402


def variable(*numbers: float) -> Tensor:
    return Tensor(np.array(numbers), requires_grad=True)


def graph(x: Tensor, indent: str = "") -> None:
    """Print how a tensor was made, from the output down to the leaves."""
    made = x.node.op if x.node else ("leaf" if x.requires_grad else "constant")
    print(f"   {indent}{made:<{12 - len(indent)}} {np.round(x.data, 3).tolist()}")
    for source in x.node.inputs if x.node else ():
        graph(source, indent + "  ")


# 1. The whole idea on one page, for single numbers. Each remembers what it was made
#    from, and its derivative by each.
class Number:
    """A number with its gradient, 0 until the walk back comes to it."""

    tape: list["Number"] = []  # all numbers, in the order in which they were made

    def __init__(
        self, value: float, sources: list[tuple["Number", float]] | None = None
    ):
        self.value, self.grad, self.sources = value, 0.0, sources or []
        self.tape.append(self)

    def __add__(self, other: "Number") -> "Number":
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __sub__(self, other: "Number") -> "Number":
        return Number(self.value - other.value, [(self, 1.0), (other, -1.0)])

    def __mul__(self, other: "Number") -> "Number":
        return Number(
            self.value * other.value, [(self, other.value), (other, self.value)]
        )

    def tanh(self) -> "Number":
        t = math.tanh(self.value)
        return Number(t, [(self, 1 - t**2)])

    def backward(self) -> None:
        """Go back over the tape: each number was made after its sources, so its
        gradient is complete before theirs.
        """
        self.grad = 1.0
        for number in reversed(self.tape):
            for source, derivative in number.sources:
                source.grad += derivative * number.grad


print("1. Autograd for single numbers: z = x·x + x·y")
x, y = Number(3.0), Number(4.0)
square, product = x * x, x * y
z = square + product
z.backward()
for name, number in {"x": x, "y": y, "x·x": square, "x·y": product, "z": z}.items():
    print(f"   {name:<4} {number.value:>4.0f}   gradient {number.grad:>3.0f}")

# It is enough to train a network: two inputs, four hidden numbers and one output
# learn XOR.
random.seed(0)
Number.tape.clear()
# of each: two weights and a bias
hidden = [[Number(random.gauss(0, 1)) for _ in range(3)] for _ in range(4)]
last = [Number(random.gauss(0, 1)) for _ in range(5)]
parameters = len(Number.tape)
for step in range(301):
    loss = Number(0.0)
    for a, b, target in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        found = last[4]
        for weight, (to_a, to_b, bias) in zip(last, hidden):
            found = found + weight * (to_a * Number(a) + to_b * Number(b) + bias).tanh()
        loss = loss + (found - Number(target)) * (found - Number(target))
    loss.backward()
    if step % 100 == 0:
        print(
            f"   XOR, step {step:>3}: loss {loss.value:.4f}, {len(Number.tape)} "
            "numbers on the tape"
        )
    del Number.tape[parameters:]  # the graph of this step
    for number in Number.tape:
        number.value, number.grad = number.value - 0.02 * number.grad, 0.0
print(
    "   One Python object per number is too slow for a real network. From here on, "
    "one node holds a whole tensor.\n"
)

# 2. The forward pass computes numbers. Beside them, each operation left a node with its
#    name and its inputs.
print("2. The graph of y = (a·b + a).sum(): each node with its inputs below it")
a, b = variable(2.0, 3.0), variable(5.0, 7.0)
y = (a * b + a).sum()
graph(y)

# 3. The walk back. A rule of our own stands before each registered one, only to print
#    what it is called with.
print("\n3. backward calls one rule per node, the last operation first")
registered = dict(kata.RULES)


def printing(rule):
    def printed(node, grad):
        parts = rule(node, grad)
        print(
            f"   {node.op:<4} gets {np.asarray(grad).tolist()}, gives "
            f"{[np.asarray(p).tolist() for p in parts]}"
        )
        return parts

    return printed


kata.RULES.update({op: printing(rule) for op, rule in registered.items()})
y.backward()
kata.RULES.update(registered)
print(f"   a.grad is b + 1 = {a.grad.tolist()}: a part of mul and a part of add")
print(f"   b.grad is a     = {b.grad.tolist()}")

# 4. Gradients add up until someone clears them, and a graph is released by its
#    first backward.
print("\n4. Twice")
x = variable(3.0)
y = x * x + x
y.backward(retain_graph=True)
print(f"   y = x·x + x at x = 3: x.grad = {x.grad.tolist()}")
y.backward()
print(
    f"   after a second backward: {x.grad.tolist()}, since the gradients of both "
    "passes add up"
)
try:
    y.backward()
    print(
        "   a third backward: no error (the star of `backward` asks for one), though "
        "the graph was released"
    )
except Exception as error:
    print(f"   a third backward: {type(error).__name__}: {error}")

# 5. The graph is made anew by each forward pass. So Python's own `while` and `if` work,
#    whatever they depend on.
print("\n5. A loop whose length depends on the input: double x until it exceeds 10")
for start in (3.0, 0.2):
    x = y = variable(start)
    rounds = 0
    while y.item() < 10:
        y, rounds = y * 2.0, rounds + 1
    y.backward()
    print(
        f"   x = {start}: {rounds} rounds, y = {y.item():.1f}, gradient "
        f"{x.grad.item():.0f}, predicted 2^{rounds}"
    )

# 6. Two ways to the same gradients, and what each costs. (gradcheck is a
#    stretch exercise.)
print("\n6. The gradient of a sum of squares, by backward and by differences")
for size in (10, 100):
    weights = Tensor(np.linspace(-1, 1, size), requires_grad=True)
    found = stretch(kata.gradcheck, lambda w: w * w, [weights])
    if found:
        print(
            f"   {size:>3} weights: {found['numerical_forward_calls']:>3} forward "
            f"passes (predicted {2 * size}) against"
            f" {found['backward_calls']} backward, largest error "
            f"{found['max_abs_error']:.0e}"
        )

# 7. What a graph holds. Float32, 4 bytes per element: each of the results stays because
#    a node has it as an input.
print("\n7. The memory of a chain of 10 products, 20,000 float32 elements each")


def chain(depth: int) -> Tensor:
    y = Tensor(np.ones(20_000, dtype=np.float32), requires_grad=True)
    for _ in range(depth):
        y = y * 1.0
    return y


y = chain(10)
report = stretch(kata.graph_report, y)
if report:
    predicted = 11 * 80_000 + 10 * 4  # x and ten results, and the number 1.0 ten times
    print(
        f"   {report['nodes']} nodes hold {report['held_bytes']:,} bytes, predicted "
        f"{predicted:,}"
    )


def passed_back() -> Tensor:
    y = chain(10)
    y.backward(np.ones(20_000))
    return y


def unrecorded() -> Tensor:
    with kata.no_grad():
        return chain(10)


for name, run, predicted in (
    ("with its graph", lambda: chain(10), 11 * 80_000),
    ("after backward", passed_back, 80_000),
    ("under no_grad", unrecorded, 80_000),
):
    print(
        f"   {name}: {profile_memory(run).retained_bytes:>9,} bytes retained, "
        f"predicted about {predicted:,}"
    )

# 8. The same in PyTorch.
print("\n8. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (torch is not installed here: the comparison is left out)")
else:
    ta, tb = (torch.tensor(x.data, requires_grad=True) for x in (a, b))
    ty = (ta * tb + ta).sum()
    names, node = [], ty.grad_fn
    while node:
        names.append(type(node).__name__)
        node = node.next_functions[0][0] if node.next_functions else None
    print("   the same expression's grad_fn names:", " <- ".join(names))
    ty.backward()
    print(f"   a.grad {ta.grad.tolist()}, b.grad {tb.grad.tolist()}")
    differences = [
        np.abs(ours.grad - theirs.grad.numpy()).max()
        for ours, theirs in ((a, ta), (b, tb))
    ]
    print(f"   largest difference to ours: {max(differences):.1e}")
    print(
        "   What a rule needs is kept until backward, as our nodes keep `saved` and "
        "`out`:"
    )
    pytorch_source(
        "torch.autograd.function",
        "FunctionCtx.save_for_backward",
        "self.to_save",
        lines=1,
    )

# 9. The figure: retained bytes over depth. (depth_scaling is a stretch exercise.)
depths = [2, 4, 8, 16, 32, 64]
measured = stretch(kata.depth_scaling, depths)


def draw() -> Figure:
    figure = Figure()
    axes = figure.subplots()
    labels = {
        "graph": "with a graph: every result stays",
        "no_grad": "under no_grad: only the last one stays",
    }
    for (name, label), colour in zip(labels.items(), COLOURS, strict=False):
        values = (
            measured[name]["values"]
            if measured
            else [80_000 * (d if name == "graph" else 1) for d in depths]
        )
        axes.plot(depths, [value / 1e6 for value in values], "o-", color=colour)
        axes.text(44, 3.9 if name == "graph" else 0.2, label, color=colour, ha="right")
    axes.set_xticks(depths)
    title = "A graph holds every intermediate" + (
        "" if measured else " (predicted; depth_scaling is not written yet)"
    )
    axes.set(
        title=title, xlabel="operations in the chain", ylabel="retained memory (MB)"
    )
    return figure


if measured:
    print(
        "\n"
        f"9. Retained bytes over depth: exponent {measured['graph']['exponent']:.2f} "
        "with a graph, predicted 1;"
    )
    print(f"   {measured['no_grad']['exponent']:.2f} under no_grad, predicted 0")
save_figure(draw(), __file__)
