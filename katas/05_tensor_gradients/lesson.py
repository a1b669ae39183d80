"""The lesson of 05 in code: derivatives by differences and by autograd, and the graph
that autograd keeps.

Run it from anywhere: `python katas/05_tensor_gradients/lesson.py`. It prints its steps
and draws the figure.
"""

import math

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure

kata = code(__file__)


def error_of(action) -> str:
    """The first sentence of the error that the action ends in."""
    try:
        action()
    except RuntimeError as error:
        return str(error).split(". ")[0].splitlines()[0]
    return "no error"


# 1. Autograd records only on request. requires_grad is a flag on a tensor; the trailing
#    underscore of requires_grad_ says that it is set in place. From then on every
#    result that depends on x has the flag, too.
heading("1. requires_grad")
x = torch.tensor(3.0)
print("by default         x.requires_grad =", x.requires_grad)
x.requires_grad_(True)
print("after switching on x.requires_grad =", x.requires_grad)
print("and of x * 2       .requires_grad  =", (x * 2).requires_grad)


# 2. Forward: y = x² computes a number and records a node, its grad_fn. Tensors made by
#    hand are leaves without one. next_functions leads from a node to the nodes of its
#    inputs. A leaf's node is AccumulateGrad, which holds the leaf.
heading("2. y = x², forward and backward")
y = x**2
print(f"x: {x}   is_leaf {x.is_leaf}   grad_fn {x.grad_fn}")
print(f"y: {y.detach()}   is_leaf {y.is_leaf}  grad_fn {type(y.grad_fn).__name__}")
((parent, _),) = y.grad_fn.next_functions
print(
    f"y.grad_fn.next_functions leads to {type(parent).__name__}, whose variable is x: "
    f"{parent.variable is x}"
)
#    Backward: from y along the graph to the leaves. dy/dx = 2x = 6 arrives in x.grad.
y.backward()
print("after y.backward(): x.grad =", x.grad.item(), "  (calculus: 2x = 6)")


# 3. Two independent ways to the same derivative. Differences need only values of f,
#    autograd the graph of one call.
heading("3. x³ at x = 2, then f(a, b) = a² b at a = 3, b = 5")
two = torch.tensor(2.0, dtype=torch.float64)
central = kata.finite_difference_gradient(lambda t: t**3, two, eps=0.01)
one_sided = ((two + 0.01) ** 3 - two**3) / 0.01
print(
    f"x³, eps 0.01       central {central.item():.4f}   one-sided "
    f"{one_sided.item():.4f}   calculus 12\n"
)
a, b = torch.tensor(3.0), torch.tensor(5.0)
by_differences = [
    kata.finite_difference_gradient(lambda t: t**2 * b.double(), a),
    kata.finite_difference_gradient(lambda t: a.double() ** 2 * t, b),
]
by_autograd = kata.partial_derivatives(lambda a, b: a**2 * b, a, b)
print("calculus           2ab =", 30.0, "       a² =", 9.0)
print(
    f"differences        {by_differences[0].item():.10f}  "
    f"{by_differences[1].item():.10f}"
)
print(f"autograd           {by_autograd[0].item():.10f}  {by_autograd[1].item():.10f}")
unused = kata.partial_derivatives(lambda a, b: a**2, a, b)
print("f = a² alone: the unused b gets", unused[1].item())


# 4. backward() adds to .grad. At x = 1 the derivative of x² is 2 and that of 3x is 3,
#    so after both .grad is 5.
heading("4. Gradients add up")
x = torch.tensor(1.0, requires_grad=True)
(x**2).backward()
print("after (x²).backward()  x.grad =", x.grad.item())
(3 * x).backward()
print("after (3x).backward()  x.grad =", x.grad.item(), "  (2 + 3)")
x.grad.zero_()
print("after zeroing          x.grad =", x.grad.item())


def error(weight, number):
    return (weight * number) ** 2


numbers = [torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)]
for zero_between in (True, False):
    history = kata.gradient_history(error, torch.tensor(0.5), numbers, zero_between)
    print(f"history, zero_between={zero_between!s:<5}", [g.item() for g in history])


# 5. Each of these errors comes from one thing that the graph needs.
heading("5. Four errors and what they mean")


def backward_from_a_vector():
    (torch.ones(3, requires_grad=True) * 2).backward()


def backward_twice():
    y = torch.ones(3, requires_grad=True).exp().sum()
    y.backward()
    y.backward()


def change_a_saved_tensor():
    y = torch.ones(3, requires_grad=True).exp()
    y.add_(1)
    y.sum().backward()


def change_a_leaf():
    torch.ones(3, requires_grad=True).add_(1)


meanings = {
    backward_from_a_vector: (
        "backward starts from one number: reduce first, by sum or mean"
    ),
    backward_twice: (
        "the first pass freed what the graph had saved: retain_graph=True keeps it"
    ),
    change_a_saved_tensor: (
        "exp saved its output for backward, and that output was written to"
    ),
    change_a_leaf: (
        "a recorded write would turn the leaf into a result: write under no_grad"
    ),
}
for action, meaning in meanings.items():
    print(f"{action.__name__}\n    says   {error_of(action)}\n    means  {meaning}")
#    A node has its saved tensors as attributes, named after what they hold.
x = torch.ones(3, requires_grad=True)
for result in (x.exp(), x.sin(), x + 3, x * 3):
    saved = [
        name
        for name in ("result", "self")
        if getattr(result.grad_fn, f"_saved_{name}", None) is not None
    ]
    print(
        f"saved by {type(result.grad_fn).__name__:<13} "
        f"{saved or 'nothing of the tensor'}"
    )


# 6. Three ways out of the graph. detach cuts off a result that was recorded; no_grad
#    does not record; inference_mode does not even count writes, so its results may
#    never be saved for a backward pass.
heading("6. detach, no_grad, inference_mode")
w = torch.tensor(2.0, requires_grad=True)
recorded = w * 3
with torch.no_grad():
    unrecorded = w * 3
with torch.inference_mode():
    inference = w * 3
print(f"{'':<15} {'requires_grad':<14} {'is_inference':<13} later w * result")
for name, result in {
    "w * 3": recorded,
    "detach": recorded.detach(),
    "no_grad": unrecorded,
    "inference_mode": inference,
}.items():
    later = error_of(lambda result=result: (w * result).backward(retain_graph=True))
    print(
        f"{name:<15} {result.requires_grad!s:<14} {result.is_inference()!s:<13} {later}"
    )

state, next_state = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [3.0]])
reward = torch.tensor([1.0, 0.0])
slope = torch.tensor([0.5], requires_grad=True)
print("\nloss against a target that value_fn itself made (gamma 0.9), and its gradient")
for how in ("detach", "no_grad", "inference_mode"):
    loss = kata.frozen_target_loss(
        lambda s: s @ slope, state, next_state, reward, how=how
    )
    (gradient,) = torch.autograd.grad(loss, slope)
    print(f"{how:<15} loss {loss.item():.4f}   gradient {gradient.item():+.4f}")
moving = (state @ slope - (reward + 0.9 * (next_state @ slope))).square().mean()
(gradient,) = torch.autograd.grad(moving, slope)
print(
    f"{'nothing cut':<15} loss {moving.item():.4f}   gradient "
    f"{gradient.item():+.4f}   the target moves as well"
)


# 7. How large should eps be? The error of a central difference has two parts.
#    Truncation, about eps² · |f'''| / 6, shrinks with eps; rounding of f, about
#    1e-16 · |f| / eps, grows as eps gets small.
heading("7. The error of a central difference of f(t) = sin(t) · exp(t) at t = 1")


def f(t):
    return t.sin() * t.exp()


point = torch.tensor(1.0, dtype=torch.float64)
(truth,) = kata.partial_derivatives(f, point)
steps = 10 ** torch.linspace(-13, 0, 66, dtype=torch.float64)
errors = torch.stack(
    [
        (kata.finite_difference_gradient(f, point, float(eps)) - truth).abs()
        for eps in steps
    ]
)
single = point.float()
errors_32 = torch.stack(
    [
        ((f(single + eps) - f(single - eps)) / (2 * eps) - truth).abs()
        for eps in steps.float()
        if eps > 1e-7
    ]
)
best = steps[errors.argmin()].item()
default_error = (kata.finite_difference_gradient(f, point) - truth).abs().item()
print(
    f"best eps of those tried, in float64: {best:.0e}, error {errors.min().item():.0e}"
)
print(f"the default eps 1e-06:               error {default_error:.0e}")
print(f"float32 at its best:                 error {errors_32.min().item():.0e}")

third = abs(2 * math.e * (math.cos(1) - math.sin(1)))  # f'''(1)
truncation = steps**2 * third / 6
rounding = torch.finfo(torch.float64).eps / 2 * f(point) / steps

figure = Figure()
axes = figure.subplots()
axes.loglog(
    steps[steps > 1e-7],
    errors_32,
    "s-",
    color=COLOURS[1],
    markersize=3,
    linewidth=1,
    label="measured in float32",
)
axes.loglog(
    steps,
    errors,
    "o-",
    color=COLOURS[0],
    markersize=4,
    linewidth=1,
    label="measured in float64",
)
axes.loglog(
    steps, truncation, "--", color=COLOURS[2], label="truncation: eps² · |f'''| / 6"
)
axes.loglog(
    steps, rounding, ":", color=COLOURS[6], label="rounding: 1.1e-16 · |f| / eps"
)
ideal = (3 * torch.finfo(torch.float64).eps / 2 * f(point) / third) ** (1 / 3)
axes.axvline(ideal.item(), color="0.6", linewidth=1, zorder=0)
axes.text(1.3 * ideal.item(), 1.5, f"best eps ≈ {ideal.item():.0e}")
axes.set(
    xlabel="eps",
    ylabel="|central difference - f'(1)|",
    title="f(t) = sin(t) · exp(t) at t = 1",
    ylim=(1e-15, 10),
)
axes.legend(loc="lower left")
save_figure(figure, __file__)
