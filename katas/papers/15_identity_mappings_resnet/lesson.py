"""Paper kata 15 in code: what a factor on the shortcut costs, five nets of a hundred
layers, and their gradients.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.datasets import digits
from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# In a net of identity shortcuts a deep state is an early state plus a sum of branches.
# A factor on each shortcut turns the first summand into a product. What is left of the
# first state after 50 units? The prediction for a factor of 0.5 is 2^-50, or 8.9e-16.
heading("2. Recap of the NumPy view")
for scale in (1.0, 0.99, 0.9, 0.5, 1.1):
    gain = kata.shortcut_gain_numpy(np.full(50, scale))
    print(
        f"   factor {scale:4}: after 50 units {gain[0]:8.2g}, after 10 units "
        f"{gain[-10]:8.2g} of the signal"
    )

# The sum itself: 50 branches of independent noise, each with a standard deviation of
# 0.4. Independent summands grow with the root of their number, so the prediction for
# the last state is √(1 + 50 · 0.16) = 3.
draws = np.random.default_rng(0)
noise = [0.4 * draws.normal(size=(200, 32)) for _ in range(50)]
sums = stretch(kata.residual_sum_numpy, draws.normal(size=(200, 32)), noise)
if sums is not None:
    spread = ", ".join(
        f"x_{place} {sums[place].std():.2f}" for place in (0, 10, 30, 50)
    )
    print(f"   standard deviation of the states: {spread}")

# 3. Data
#
# The data are 1797 handwritten digits of 8×8 pixels, 1200 of them for training. The
# nets here have no convolutions: they read the 64 pixels as one row.
heading("3. Data")
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x, y = (part[order] for part in digits())
x_train, y_train, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]
print(
    f"   training {tuple(x_train.shape)}, test {tuple(x_test.shape)}; the labels of "
    f"three samples: {y[:3].tolist()}"
)
for line in range(8):
    print(
        "   "
        + "    ".join(
            "".join(" .:*#"[int(4 * pixel)] for pixel in image[0, line].tolist())
            for image in x[:3]
        )
    )

# 4. Model
#
# Five nets of 50 units. Each unit has two layers, so with stem and head each net
# has 102. They start with the same weights, and differ in the order of the branch or in
# what is on the shortcut.
heading("4. Model")
NETS = {
    "pre": ("pre", "identity"),
    "post": ("post", "identity"),
    "scale 0.5": ("pre", "scale"),
    "gate": ("pre", "gate"),
    "dropout": ("pre", "dropout"),
}
nets = {}
for name, (kind, shortcut) in NETS.items():
    torch.manual_seed(0)
    nets[name] = kata.DeepNet(50, order=kind, shortcut=shortcut)
    count = sum(parameter.numel() for parameter in nets[name].parameters())
    print(f"   {name:<9} {len(nets[name].units)} units, {count:6} parameters")
print("   ResidualUnit.forward:")
shown_code(kata.ResidualUnit.forward)

# Shapes, and the size of the signal on its way. Pre-activation states grow like the sum
# above. Post-activation states are never negative, and halved shortcuts forget.
for name in ("pre", "post", "scale 0.5"):
    with torch.no_grad():
        logits, states = nets[name](x_train[:200], return_states=True)
    spread = ", ".join(
        f"x_{place} {states[place].std():.2f}" for place in (0, 10, 30, 50)
    )
    print(
        f"   {name:<9} {len(states)} states {tuple(states[0].shape)}, logits "
        f"{tuple(logits.shape)}; std {spread}"
    )

# How large a gradient reaches each state? That is measured now, before training.
# Section 6 shows it.
profiles = {
    name: stretch(kata.gradient_profile, nets[name], x_train[:200], y_train[:200])
    for name in ("pre", "scale 0.5")
}

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss from log
# probabilities, and SGD with momentum as arithmetic. A velocity per parameter keeps
# nine tenths of itself in each step. All nets see the same batches. One gradient below
# is predicted to be 0: that of the stem's bias. A constant travels along clean
# shortcuts, and each norm subtracts it.
heading("5. Training loop")
STEPS, BATCH, RATE, MOMENTUM = 100, 64, 0.02, 0.9
losses = {name: [] for name in nets}
for name, net in nets.items():
    net.zero_grad()
    net.train()
    parameters = dict(net.named_parameters())
    velocity = {
        label: torch.zeros_like(parameter) for label, parameter in parameters.items()
    }
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        rows = torch.randint(1200, (BATCH,), generator=generator)
        log_shares = net(x_train[rows]).log_softmax(dim=1)
        mean = -log_shares[torch.arange(BATCH), y_train[rows]].mean()
        mean.backward()
        if step == 0 and name == "pre":
            for label, parameter in parameters.items():
                # the units between are alike
                if label.startswith(("stem", "units.0.", "units.49.", "final", "head")):
                    norm = parameter.grad.norm().item()
                    print(
                        f"   {label:<22} {str(tuple(parameter.shape)):<9} gradient "
                        f"norm {norm:.3f}"
                    )
            before = net.head.weight[0, 0].item()
        with torch.no_grad():
            for label, parameter in parameters.items():
                velocity[label].mul_(MOMENTUM).add_(parameter.grad)
                parameter -= RATE * velocity[label]
                parameter.grad = None
        losses[name].append(mean.item())
        if step == 0 and name == "pre":
            print(
                f"   head.weight[0, 0] before and after the first step: {before:.4f} "
                f"→ {net.head.weight[0, 0]:.4f}"
            )
for step in (10, 30, 50, 70, 100):
    shown = "   ".join(
        f"{name} {sum(line[step - 10 : step]) / 10:.2f}"
        for name, line in losses.items()
    )
    print(f"   mean loss of steps {step - 9:2} to {step:3}:   {shown}")

# 6. Evaluation and figure
#
# The key result. Uniform guessing costs ln 10 = 2.30. The paper predicts that the clean
# shortcut trains best, and that a shortcut that is halved or dropped does not train.
# Test digits are judged in train mode, all 597 as one batch, because running statistics
# lag behind after 100 steps.
heading("6. Evaluation and figure")
for name, line in losses.items():
    with torch.no_grad():
        right = (
            (nets[name].train()(x_test).argmax(dim=1) == y_test).float().mean().item()
        )
    print(
        f"   {name:<9} training loss of the last ten steps "
        f"{sum(line[-10:]) / 10:.2f}, test digits right {right:.0%}"
    )

# Why? Before training, the gradient at each state is measured. With halved shortcuts
# the direct path brings 0.5^50 of the last gradient to the first state. Does the
# gradient vanish, then?
for name in ("pre", "scale 0.5"):
    if profiles[name] is not None:
        profile = profiles[name].tolist()
        direct = (
            profile[-1]
            * kata.shortcut_gain_numpy(np.full(50, 1.0 if name == "pre" else 0.5))[0]
        )
        shown = ", ".join(
            f"x_{place} {profile[place]:.2g}" for place in (0, 1, 10, 30, 50)
        )
        print(
            f"   {name:<9} gradient norms: {shown}; on the direct path alone, x_0 "
            f"{direct:.2g}"
        )

# It does not vanish, it explodes. The direct path is dead, so what reaches the first
# state came through the branches, and each unit enlarges it. Without a direct path,
# this is a plain net of a hundred layers. papers/10 found growing gradients in such a
# net, too.
#
# The figure shows the loss of the five nets, smoothed over ten steps, and the gradient
# at each state before training.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for (name, line), colour in zip(losses.items(), COLOURS, strict=False):
    smooth = np.convolve(line, np.ones(10) / 10, mode="valid")
    above.plot(np.arange(10, STEPS + 1), smooth, color=colour, label=name)
above.axhline(
    np.log(10),
    color=COLOURS[6],
    linestyle=":",
    linewidth=1,
    label="uniform guessing, ln 10",
)
above.set(
    xlabel="step",
    ylabel="training loss, mean of ten steps",
    ylim=(0, 2.8),
    title="Only clean shortcuts train",
)
above.legend(loc="lower left")
for name, colour in (("pre", COLOURS[0]), ("scale 0.5", COLOURS[2])):
    if profiles[name] is not None:
        below.semilogy(range(51), profiles[name].detach(), color=colour, label=name)
if profiles["pre"] is not None:
    below.legend()
else:
    below.text(
        0.5,
        0.5,
        "gradient_profile is not written yet",
        ha="center",
        transform=below.transAxes,
    )
below.set(xlabel="state x_l, first to last", ylabel="gradient norm before training")
below.set_title("Halved shortcuts: the gradient explodes")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The gain, beside the gradient that autograd finds in six units with a factor of 0.7
# and branches of zero.
heading("7. NumPy against PyTorch")
signal = torch.ones(4, 3, requires_grad=True)
states = [signal]
for _ in range(6):
    unit = kata.ResidualUnit(3, shortcut="scale", scale=0.7)
    torch.nn.init.zeros_(unit.fc2.weight)
    states.append(unit(states[-1]))
gradients = torch.autograd.grad(states[-1].sum(), states[:-1])
ours = np.array([gradient[0, 0].item() for gradient in gradients])
theirs = kata.shortcut_gain_numpy(np.full(6, 0.7))
print("   NumPy:  ", theirs.round(4))
print("   PyTorch:", ours.round(4))
print(f"   largest difference {np.abs(theirs - ours).max():.1e}")

# The states of the trained pre-activation net, beside the sum of its branches in NumPy
# with float64. Sums in float32 round at every unit.
with torch.no_grad():
    _, states = nets["pre"].eval()(x_test, return_states=True)
    branches = [
        unit.branch(state).double().numpy()
        for unit, state in zip(nets["pre"].units, states, strict=False)
    ]
sums = stretch(kata.residual_sum_numpy, states[0].double().numpy(), branches)
if sums is not None:
    print("   NumPy,   x_50:", sums[-1][0, :5].round(4))
    print("   PyTorch, x_50:", states[-1][0, :5].numpy().round(4))
    print(f"   largest difference {np.abs(sums[-1] - states[-1].numpy()).max():.1e}")

# The gradient of a hundred layers is what PyTorch gives for free. In NumPy each of the
# 100 batch norms would need a backward pass. Autograd replaced those, and `nn.Module`
# the lists of weights.
