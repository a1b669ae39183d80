"""Kata today/02 in code: what five steps do to singular values, Muon beside AdamW, two
schedules, the z-loss.
"""

import math

import torch
from matplotlib.figure import Figure

from grader.datasets import characters
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. A gradient of a layer has a few large singular values and many small ones. Each
#    step of the polynomial brings them nearer to 1, the small ones by a factor of up to
#    3.4. An SVD shows them; newton_schulz never computes one.
print(
    "1. The largest, the middle and the smallest of 32 singular values, before and "
    "after each step"
)
left, right = (
    torch.linalg.qr(torch.randn(32, 32, dtype=torch.float64))[0] for _ in range(2)
)
gradient = (left * torch.logspace(0, -2, 32, dtype=torch.float64)) @ right
spectra = [
    torch.linalg.svdvals(kata.newton_schulz(gradient, steps)) for steps in range(6)
]
for steps, values in enumerate(spectra):
    # in the order of the start
    values = torch.linalg.vecdot(left.mT @ kata.newton_schulz(gradient, steps), right)
    print(
        f"   {steps} steps: "
        + "  ".join(f"{values[place]:6.3f}" for place in (0, 16, 31))
    )

# 2. The same step for every direction. Two matrices of rank 1, one a hundred times
#    as strong.
print(
    "\n"
    "2. A gradient with one strong and one weak direction: how far a step moves along "
    "each"
)
weak = torch.tensor([[100.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
for name, step in (
    ("gradient descent", weak / weak.norm()),
    ("Muon", kata.newton_schulz(weak)),
):
    print(f"   {name:<18} {step[0, 0]:.3f} and {step[1, 1]:.3f}")

# 3. Schedules. A cosine must know its end from the first step on; the flat part
#    does not.
print("\n3. The rate at some steps of runs of 100 and 200 steps")


def cosine(step: int, steps: int) -> float:
    """Half a cosine from 1 to 0."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def flat(step: int, steps: int) -> float:
    """Warm-up, stable, decay: the last fifth falls."""
    return kata.wsd_lr(step, 1.0, 5, steps // 5, steps)


print(
    "   step            " + "".join(f"{step:>8}" for step in (0, 40, 80, 90, 100, 160))
)
for name, schedule in (("half a cosine", cosine), ("flat, then down", flat)):
    for steps in (100, 200):
        rates = "".join(
            f"{schedule(step, steps) if step <= steps else 0.0:8.2f}"
            for step in (0, 40, 80, 90, 100, 160)
        )
        print(f"   {name:<16}{steps:>3}{rates}")

# 4. The speedrun. Text: paragraphs of Python's help, one id per character, and 26's
#    GPT. Every run has the same start, batches and number of steps. AdamW gets three
#    rates, as a bad rate is no control.
TRAINED, HELD_OUT, V = characters()
T, STEPS = 32, 80


def windows(
    data: torch.Tensor, rows: int, seed: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows of the text, and the character that follows each place."""
    starts = torch.randint(len(data) - T, (rows, 1), generator=seed)
    found = data[starts + torch.arange(T + 1)]
    return found[:, :-1], found[:, 1:]


@torch.no_grad()
def measure(model: torch.nn.Module) -> tuple[float, float]:
    """The loss on held-out text, and the mean size of the log of the
    softmax's normaliser.
    """
    logits, loss = model(*windows(HELD_OUT, 64, torch.Generator().manual_seed(1)))
    return loss.item(), logits.logsumexp(dim=-1).abs().mean().item()


def hidden_matrices(model: torch.nn.Module) -> tuple[list, list]:
    """split_parameters, or by name for those who have not written it."""
    split = stretch(kata.split_parameters, model)
    if split is not None:
        return split
    hidden = [
        name.endswith(("attn.weight", "proj.weight", "fc.weight"))
        for name, _ in model.named_parameters()
    ]
    parts = ([], [])
    for parameter, for_muon in zip(model.parameters(), hidden, strict=True):
        parts[0 if for_muon else 1].append(parameter)
    return parts


def train(
    adamw_lr: float, muon_lr: float = 0.0, schedule=cosine, z: float = 0.0
) -> list[tuple[float, float]]:
    """Train with AdamW, or with Muon on the hidden matrices. What `measure` says every
    8 steps.
    """
    torch.manual_seed(0)
    model = kata.GPT(
        kata.GPTConfig(
            block_size=T, vocab_size=V, n_layer=2, n_head=4, n_embd=64, dropout=0.0
        )
    )
    hidden, rest = hidden_matrices(model) if muon_lr else ([], list(model.parameters()))
    optimizers = [(torch.optim.AdamW(rest, betas=(0.9, 0.95)), adamw_lr)]
    optimizers += [(kata.Muon(hidden), muon_lr)] if muon_lr else []
    draws, found = torch.Generator().manual_seed(2), [measure(model)]
    for step in range(STEPS):
        x, y = windows(TRAINED, 16, draws)
        logits, loss = model(x, y)
        if z:
            loss = loss + kata.z_loss(logits, y, z)
        loss.backward()
        for optimizer, lr in optimizers:
            optimizer.param_groups[0]["lr"] = lr * schedule(step, STEPS)
            optimizer.step()
            optimizer.zero_grad()
        if step % 8 == 7:
            found.append(measure(model))
    return found


print(
    "\n"
    f"4. Loss on held-out text, {STEPS} steps; Muon: the hidden matrices at 0.02, "
    "AdamW at 0.003 for the rest"
)
RUNS = {f"AdamW {lr}, cosine": (lr, 0.0, cosine) for lr in (0.001, 0.003, 0.006)}
RUNS |= {
    "Muon, cosine": (0.003, 0.02, cosine),
    "AdamW 0.003, flat": (0.003, 0.0, flat),
    "Muon, flat": (0.003, 0.02, flat),
}
measured, curves = {}, {}
print("   step" + " " * 20 + "".join(f"{step:>8}" for step in (16, 32, 48, 64, 80)))
for name, settings in RUNS.items():
    measured[name] = train(*settings)
    curves[name] = [loss for loss, _ in measured[name]]
    print(
        f"   {name:<24}"
        + "".join(f"{curves[name][place]:8.3f}" for place in (2, 4, 6, 8, 10))
    )

# 5. The z-loss. It costs next to nothing at the coefficient that large runs use. Here
#    it is larger, to be seen.
print(
    "\n"
    "5. Muon, cosine, with a z-loss: held-out loss, and the mean size of log Σ "
    "exp(logits)"
)
for z in (0.0, 1e-4, 3e-2):
    if z == 0.0 or stretch(kata.z_loss, torch.zeros(1, 2)) is not None:
        loss, size = (train(0.003, 0.02, cosine, z) if z else measured["Muon, cosine"])[
            -1
        ]
        print(f"   coefficient {z:<8g} {loss:8.3f} {size:8.2f}")


# 6. The figure: the curves with their rates below, and the singular values of step 1.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 8.4))
    losses, rates, inside = figure.subplots(3, height_ratios=[3, 1, 3])
    styles = {
        "AdamW 0.003, cosine": (COLOURS[6], "--"),
        "AdamW 0.003, flat": (COLOURS[6], "-"),
    }
    styles |= {"Muon, cosine": (COLOURS[0], "--"), "Muon, flat": (COLOURS[0], "-")}
    for name, (colour, line) in styles.items():
        losses.plot(
            range(0, STEPS + 1, 8), curves[name], line, color=colour, label=name
        )
    losses.set(title="Held-out loss", ylabel="nats per character", ylim=(None, 3.6))
    losses.legend()
    for schedule, line in ((cosine, "--"), (flat, "-")):
        rates.plot([schedule(step, STEPS) for step in range(STEPS)], line, color="0.4")
    rates.set(xlabel="step", ylabel="rate")
    places = torch.arange(1, 33)
    for steps, values in enumerate(spectra):
        inside.plot(
            places,
            values,
            color=COLOURS[0],
            alpha=(steps + 2) / 7,
            label=f"{steps} steps",
        )
    inside.axhline(1.0, color="0.6", linestyle=":")
    inside.set(
        title="Singular values after each step",
        xlabel="the largest first",
        ylabel="singular value",
        yscale="log",
    )
    inside.legend()
    return figure


save_figure(draw(), __file__)
