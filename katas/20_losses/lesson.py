"""Kata 20 in code: what each loss wants, where logarithms break, four reductions of one
batch, divergences.
"""

import math

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)


# 1. What each loss wants: its first argument, the dtype and shape of its targets.
print("1. What each loss wants, and what uniform guessing costs")
N, C, B, T, V = 6, 4, 2, 3, 5
class_ids, token_ids = torch.arange(N) % C, torch.arange(B * T).reshape(B, T) % V
calls = {
    "regression_loss": (kata.regression_loss, torch.zeros(N, 1), torch.ones(N, 1)),
    "nll_loss (log-probs)": (
        kata.nll_loss,
        torch.zeros(N, C).log_softmax(1),
        class_ids,
    ),
    "cross_entropy (logits)": (kata.cross_entropy, torch.zeros(N, C), class_ids),
    "bce_with_logits": (kata.bce_with_logits, torch.zeros(N, C), torch.ones(N, C)),
    "sequence_cross_entropy": (
        kata.sequence_cross_entropy,
        torch.zeros(B, T, V),
        token_ids,
    ),
}
print(f"   {'':<24} {'input':<12} {'targets':<10} {'dtype':<8} value")
for name, (loss, scores, targets) in calls.items():
    dtype = str(targets.dtype).removeprefix("torch.")
    shapes = f"{tuple(scores.shape)!s:<12} {tuple(targets.shape)!s:<10}"
    print(f"   {name:<24} {shapes} {dtype:<8} {loss(scores, targets):.4f}")
print(
    f"   ln 2 = {math.log(2):.4f}, ln 4 = {math.log(4):.4f}, ln 5 = {math.log(5):.4f}"
)

# 2. The trap of (B,) against (B, 1). Subtraction makes a table of all pairs, and its
#    mean measures nothing.
pred, target = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0], [2.0], [3.0]])
print("\n2. Perfect predictions (3,) against targets (3, 1)")
print(
    f"   pred − target has shape {tuple((pred - target).shape)}, mean square "
    f"{(pred - target).square().mean():.4f}"
)
try:
    print(
        f"   regression_loss: {kata.regression_loss(pred, target):.4f}, and no error: "
        "the star asks for one"
    )
except ValueError as error:
    print(f"   regression_loss: {error}")

# 3. Where logarithms break. softmax rounds e^-200 to 0 in float32, and log(0) is -inf.
#    log_softmax subtracts logarithms and never forms the small number. The target is
#    the second class.
print("\n3. log(softmax) and log_softmax of [x, 0], second entry")
for x in (10.0, 100.0, 200.0):
    logits = torch.tensor([x, 0.0], requires_grad=True)
    broken, stable = logits.softmax(0).log()[1], logits.log_softmax(0)[1]
    (slope,) = torch.autograd.grad(broken, logits)
    loss = kata.cross_entropy(logits[None], torch.tensor([1]))
    print(
        f"   x = {x:5.0f}: {broken.item():8.1f}   {stable.item():8.1f}   "
        f"cross_entropy {loss.item():.1f}",
        end="",
    )
    print(f"   gradient through log(softmax) {[round(s, 3) for s in slope.tolist()]}")
x, yes = torch.tensor([30.0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
print(f"   BCE at logit 30, target 1: {kata.bce_with_logits(x, yes):.3e}", end="")
print(f"   with an epsilon: {-torch.log(torch.sigmoid(x) + 1e-7).item():.3e}")

sure, answer = torch.tensor([[200.0, 0.0, 0.0, 0.0]]), torch.tensor([0])
twice = kata.cross_entropy(sure.softmax(dim=1), answer)
print(
    f"   sure of the right class of 4: {kata.cross_entropy(sure, answer):.3f}   with "
    f"a softmax before it: {twice:.3f}"
)
zero = torch.zeros(1, requires_grad=True)
kinked = zero.clamp(min=0) - zero + zero.abs().neg().exp().log1p()
ours = kata.bce_with_logits(zero, torch.ones(1))
slopes = [torch.autograd.grad(loss.sum(), zero)[0].item() for loss in (ours, kinked)]
print(
    f"   slope of BCE at logit 0, target 1: {slopes[0]:.1f}   by clamp and abs: "
    f"{slopes[1]:.1f}"
)

# 4. One batch under four reductions. The first sequence has one real token, the second
#    four. Only in the second is the model sure of the right tokens.
logits = torch.zeros(2, 4, 3)
logits[1, :, 0] = 3.0
targets = torch.tensor([[0, -100, -100, -100], [0, 0, 0, 0]])
print("\n4. Sequences of 1 and 4 tokens under four reductions")
for reduction in ("none", "sum", "mean", "sequence"):
    values = kata.sequence_cross_entropy(logits, targets, reduction=reduction)
    print(
        f"   {reduction:<9} {tuple(values.shape)!s:<7} "
        f"{[round(v, 3) + 0.0 for v in values.flatten().tolist()]}"
    )
by_sequence = kata.sequence_cross_entropy(logits, targets, reduction="sequence")
table = kata.sequence_cross_entropy(logits, targets, reduction="none")
print(
    f"   mean of the sequence means {by_sequence.mean():.3f}, mean over all places "
    f"with padding {table.mean():.3f}"
)

# 5. A divergence without the vocabulary. Tokens are drawn from the policy; k1, k2 and
#    k3 see two numbers per token.
policy = torch.randn(50).log_softmax(0)
ref = (policy + 0.3 * torch.randn(50)).log_softmax(0)
drawn = torch.multinomial(policy.exp(), 1000, replacement=True)
exact = stretch(kata.kl_divergence, policy, ref)
if exact is not None:
    print(
        "\n"
        f"5. KL(policy ‖ ref), exact: {exact:.4f}, and the other way round: "
        f"{kata.kl_divergence(ref, policy):.4f}"
    )
    print("   estimates of 1000 single tokens")
    for estimator in ("k1", "k2", "k3"):
        mean = stretch(kata.approximate_kl, policy[drawn], ref[drawn], estimator)
        if mean is None:
            break
        single = torch.stack(
            [kata.approximate_kl(policy[t], ref[t], estimator) for t in drawn]
        )
        print(
            f"   {estimator}: mean {mean:7.4f}   spread {single.std():.4f}   smallest "
            f"{single.min():7.4f}"
        )

# 6. The figure: what an error costs, and how hard it pulls. Autograd supplies
#    the slopes.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
errors = torch.linspace(-3, 3, 301, requires_grad=True)
# dashes in each other's gaps where both are ±1
DASHES = {"mse": "--", "l1": (0, (4, 4)), "huber": (4, (4, 4))}
for kind, name, colour in zip(
    DASHES, ("MSE", "L1", "Huber, δ = 1"), COLOURS, strict=False
):
    costs = kata.regression_loss(
        errors, torch.zeros_like(errors), kind, reduction="none"
    )
    (slopes,) = torch.autograd.grad(costs.sum(), errors)
    above.plot(errors.detach(), costs.detach(), color=colour, label=name)
    above.plot(
        errors.detach(), slopes, color=colour, linestyle=DASHES[kind], linewidth=1.3
    )
above.plot([], [], color="0.4", linestyle="--", linewidth=1.3, label="their gradients")
above.set(
    ylim=(-4, 6),
    xlabel="error: prediction − target",
    ylabel="cost, gradient",
    title="Regression",
)
above.legend(loc="upper center")
logits = torch.linspace(-6, 6, 301, requires_grad=True)
costs = kata.bce_with_logits(logits, torch.ones_like(logits), reduction="none")
(slopes,) = torch.autograd.grad(costs.sum(), logits)
below.plot(logits.detach(), costs.detach(), color=COLOURS[0], label="BCE")
below.plot(
    logits.detach(),
    slopes,
    color=COLOURS[0],
    linestyle="--",
    linewidth=1.3,
    label="its gradient, σ(x) − 1",
)
below.set(
    xlabel="logit x", ylabel="cost, gradient", title="Binary cross-entropy, target 1"
)
below.legend()
for axes in (above, below):
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
save_figure(figure, __file__)
