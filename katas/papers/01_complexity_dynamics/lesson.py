"""Paper 01 in code: automata and their entropy, two gases that mix, and a convolution
that learns a rule.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def shown(row):
    return "".join(".#"[cell] for cell in row.tolist())


# 2. Recap of the NumPy view
#
# A row of cells is an array of 0 and 1. Its block entropy asks how surprising the
# windows of neighbouring cells are. One pattern costs nothing, two equally frequent
# ones 1 bit, four of them 2 bits. A row of random cells comes close to one bit per cell
# of the window. The entropies below are predicted first, then measured.
heading("2. Recap of the NumPy view")
noise = np.random.default_rng(0).integers(0, 2, 4096)
for name, row, block, predicted in (
    ("0000 0000", np.zeros(8, dtype=np.int64), 2, 0.0),
    ("0101 0101", np.arange(8) % 2, 2, 1.0),
    ("1100 1100", np.arange(8) // 2 % 2 ^ 1, 2, 2.0),
    ("4096 random cells", noise, 3, 3.0),
):
    measured = kata.block_entropy_numpy(row, block)
    print(
        f"   {name:<18} windows of {block}: predicted {predicted:.2f} bits, measured "
        f"{measured + 0.0:.3f}"
    )

# 3. Data
#
# There are two kinds of systems. An automaton computes each cell of the next row from
# three neighbours, and what it computes is written in a number. Three pairs of a row
# and its next row under rule 110 are the samples that the model will learn from.
heading("3. Data")
table = kata.rule_table(110)
print(
    "   rule 110: " + ", ".join(f"{entry:03b} → {table[entry]}" for entry in range(8))
)
for row, following in kata.evolve(torch.randint(2, (3, 40)), 110, 1):
    print(f"   {shown(row)}  →  {shown(following)}")

# The other system is a tube of two gases. Neighbours change places at random, so that
# nothing is lost or made, and the gases mix. Each line is one tube of 64 cells at
# another time.
tube = torch.zeros(64, dtype=torch.int64)
tube[:32] = 1
mixing = kata.mix(tube, 1000, generator=torch.Generator().manual_seed(0))
for time in (0, 10, 100, 1000):
    print(f"   t = {time:<5} {shown(mixing[time])}")

# 4. Model
#
# A rule is one function, the same for each cell, that looks at three neighbours: a
# convolution of width 3 on a ring. One hidden layer is enough for all 256 rules. The
# model is a stretch exercise; without it, sections 4 and 5 are empty.
heading("4. Model")
model = stretch(kata.LearnedRule)
rows = torch.randint(2, (2, 9))
logits = None if model is None else stretch(model, rows)
if logits is not None:
    shown_code(kata.LearnedRule.forward)
    print(
        f"   rows {tuple(rows.shape)} {rows.dtype} → logits {tuple(logits.shape)} "
        f"{logits.dtype}"
    )
    print(
        f"   {sum(p.numel() for p in model.parameters())} parameters, for the eight "
        "bits of a rule"
    )
    print(f"   before training it says rule {kata.recovered_rule(model)}")

# 5. Training loop
#
# Each step draws new random rows, lets the automaton compute the next ones, and asks
# the model for them. A loss of ln 2 = 0.69 is that of guessing. The first backward pass
# shows which parameters the gradient reaches, and one weight shows what the first step
# of Adam changes: about the learning rate, whatever the size of the gradient.
heading("5. Training loop")
RULE, STEPS, LR = 110, 300, 0.02
losses = []
if logits is not None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    for step in range(STEPS):
        now, then = kata.evolve(
            torch.randint(2, (32, 64), generator=generator), RULE, 1
        ).unbind(dim=1)
        loss = F.binary_cross_entropy_with_logits(model(now), then.float())
        optimizer.zero_grad()
        loss.backward()
        before = model.out.bias.item()
        optimizer.step()
        losses.append(loss.item())
        if step == 0:
            for name, parameter in model.named_parameters():
                print(
                    f"   {name:<12} {tuple(parameter.shape)!s:<12} gradient norm "
                    f"{parameter.grad.norm():.4f}"
                )
            print(
                f"   out.bias is {before:.4f} before the first step, "
                f"{model.out.bias.item():.4f} after it"
            )
    for step in (0, 25, 50, 100, 200, STEPS - 1):
        print(f"   step {step:<4} loss {losses[step]:.4f}")

# 6. Evaluation and figure
#
# The model has seen rows of 64 cells. If it knows the rule, the eight neighbourhoods
# give back its number, and the model rolls out another width without a mistake.
heading("6. Evaluation and figure")
if losses:
    cells = torch.randint(2, (1, 97), generator=torch.Generator().manual_seed(1))
    right, guess = kata.evolve(cells[0], RULE, 20), [cells]
    with torch.no_grad():
        for _ in range(20):
            guess.append((model(guess[-1]) > 0).long())
    wrong = (torch.cat(guess) != right).sum().item()
    print(f"   rule {RULE} was taught, rule {kata.recovered_rule(model)} is recovered")
    print(
        f"   97 cells, 20 steps by the model: predicted 0 wrong cells, measured {wrong}"
    )

# From one live cell, automata go their own ways. At the start, 3 of the 129 windows
# hold the cell, each in another place, which predicts an entropy. Rule 30 makes almost
# all patterns of three cells equally often.
WIDTH, BLOCK = 129, 3
share = 1 / WIDTH
predicted = -3 * share * math.log2(share) - (1 - 3 * share) * math.log2(1 - 3 * share)
single = torch.zeros(WIDTH, dtype=torch.int64)
single[WIDTH // 2] = 1
pictures = {rule: kata.evolve(single, rule, 60) for rule in (30, 110, 4, 0)}
entropies = {
    rule: kata.block_entropy(picture, BLOCK) for rule, picture in pictures.items()
}
print(
    f"   one live cell: predicted {predicted:.3f} bits, measured {entropies[30][0]:.3f}"
)
for rule, curve in entropies.items():
    print(
        f"   rule {rule:<4} entropy at t = 0, 20, 60: {curve[0]:.2f} {curve[20]:.2f} "
        f"{curve[60]:.2f} bits"
    )

# Now the two gases: 16 tubes of 128 cells, in blocks of 16. The entropy rises. Its end
# can be predicted: even when all is mixed, densities vary a little around 1/2, and that
# keeps the mean entropy below 1. The complexity rises while full, empty and mixed
# blocks are side by side, and falls when all blocks look mixed.
SIZE = 16
tubes = torch.zeros(16, 128, dtype=torch.int64)
tubes[:, :64] = 1
mixed = kata.mix(tubes, 4000, generator=torch.Generator().manual_seed(0))
curves = {
    name: curve.mean(dim=0) for name, curve in kata.mixing_curves(mixed, SIZE).items()
}
ways = [
    math.comb(64, ones) * math.comb(64, SIZE - ones) / math.comb(128, SIZE)
    for ones in range(SIZE + 1)
]
binary = [
    0.0,
    *(
        -d * math.log2(d) - (1 - d) * math.log2(1 - d)
        for d in (i / SIZE for i in range(1, SIZE))
    ),
    0.0,
]
limit = sum(p * h for p, h in zip(ways, binary, strict=True))
print(
    f"   {'t':<12}" + "".join(f"{time:>8}" for time in (0, 100, 300, 1000, 2000, 4000))
)
for name, curve in curves.items():
    print(
        f"   {name:<12}"
        + "".join(
            f"{curve[time].item():8.2f}" for time in (0, 100, 300, 1000, 2000, 4000)
        )
    )
peak = curves["complexity"].argmax().item()
print(
    f"   entropy when all is mixed: predicted {limit:.2f}, measured at t = 4000 "
    f"{curves['entropy'][-1].item():.2f}"
)
print(
    f"   complexity is highest at t = {peak}: {curves['complexity'][peak].item():.2f} "
    "bits of at most log₂ 3 = 1.58"
)

# The figure: what two rules draw, what happens to the entropy of four, and the two
# curves of mixing.
figure = Figure(figsize=(6.6, 8.3))
top, middle, bottom = figure.subplots(3)
both = torch.cat([pictures[30], torch.full((9, WIDTH), 3), pictures[110]])
top.imshow(
    both,
    cmap=ListedColormap(["white", COLOURS[0], "white", "lightgrey"]),
    interpolation="nearest",
    aspect="auto",
)
top.set_yticks([0, 30, 60, 70, 100, 130], ["0", "30", "60"] * 2)
top.set(
    xlabel="cell",
    ylabel="rule 110, time t          rule 30, time t",
    title="One live cell grows",
)
for (rule, curve), colour, style in zip(
    entropies.items(), COLOURS, ("-", "--", "-.", ":"), strict=False
):
    middle.plot(curve, color=colour, linestyle=style, label=f"rule {rule}")
middle.set(
    xlabel="time t",
    ylabel="entropy of 3 cells, bits",
    title="Chaos gains entropy",
    ylim=(-0.1, 3.2),
)
middle.legend(loc="center right", bbox_to_anchor=(1.0, 0.42))
times = range(0, 4001, 50)  # between them, 16 tubes are not enough to smooth the curves
bottom.plot(times, curves["entropy"][::50], color=COLOURS[0], label="entropy")
bottom.plot(
    times,
    curves["complexity"][::50],
    color=COLOURS[1],
    linestyle="--",
    label="complexity",
)
bottom.set(
    xlabel="time t",
    ylabel="bits",
    title="Mixing: entropy rises,\ncomplexity rises and falls",
    ylim=(0, 1.75),
)
bottom.legend(loc="upper right")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The NumPy version measures one row; a picture needs a loop. The PyTorch version takes
# all rows at once, in float32.
heading("7. NumPy against PyTorch")
looped = np.array(
    [kata.block_entropy_numpy(row.numpy(), BLOCK) for row in pictures[30]]
)
batched = kata.block_entropy(pictures[30], BLOCK)
for time in (0, 20, 60):
    print(
        f"   rule 30, t = {time:<4} NumPy {looped[time]:.6f}   PyTorch "
        f"{batched[time].item():.6f}"
    )
print(
    f"   largest difference over {len(looped)} rows: "
    f"{np.abs(looped - batched.numpy()).max():.1e}"
)

# Counts have no gradient: a cell cannot be a little bit alive. The model has one. The
# gradient of a logit with respect to the row is a tool that only PyTorch gives for
# free. It shows what the cell looks at: three places, whatever the width. In 20 steps a
# cell can know of 41.
if losses:
    probe = (
        torch.randint(2, (1, 11), generator=torch.Generator().manual_seed(2))
        .float()
        .requires_grad_()
    )
    [gradient] = torch.autograd.grad(model(probe)[0, 5], probe)
    print(
        "   gradient of the logit of cell 5: "
        + " ".join(f"{value:.1f}" for value in gradient[0].tolist())
    )
    print(
        "   predicted places 4, 5, 6, measured "
        f"{gradient[0].nonzero().flatten().tolist()}"
    )
