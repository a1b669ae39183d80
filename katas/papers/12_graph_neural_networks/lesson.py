"""Paper kata 12 in code: molecules as graphs, messages along bonds, and energies that
the atoms alone cannot tell.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Formaldehyde has four atoms: carbon with a double bond to oxygen and single bonds to
# two hydrogens. The state of an atom says what it is, one feature per kind: C, O, H.
# Single bonds pass a state on as it is, double bonds twice of it. Then the messages are
# a census of the neighbours. Carbon should hear of 2 O, for the double bond, and of 2
# H. The second direction of each bond carries news to oxygen and hydrogen: all of them
# hear of carbon.
heading("2. Recap of the NumPy view")
atoms = ["C", "O", "H", "H"]
h = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
# row 0: from, row 1: to
edge_index = np.array([[0, 1, 0, 2, 0, 3], [1, 0, 2, 0, 3, 0]])
edge_type = np.array([1, 1, 0, 0, 0, 0])  # 1: a double bond
A = np.stack([np.eye(3), 2 * np.eye(3)])
heard = stretch(kata.message_passing_numpy, h, edge_index, edge_type, A)
if heard is not None:
    print("   node  atom   messages about C, O, H")
    for node, (atom, row) in enumerate(
        zip(atoms, heard.astype(int).tolist(), strict=True)
    ):
        print(f"   {node:>4}  {atom}      {row}")

# 3. Data
#
# 400 random molecules of four to eight atoms stand in for the 134,000 of the paper.
# Their energy is the sum of a table entry per bond: it depends on the kind of bond and
# on both of its atoms. Every row of the table sums to zero, so that no atom makes bonds
# cheap or dear as such.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
table = kata.energy_table(4, 2, generator)
sizes = torch.randint(4, 9, (400,), generator=generator).tolist()
graphs = [kata.random_molecule(size, 4, 2, 2, generator) for size in sizes]
energies = torch.stack([kata.bond_energy(*graph, table) for graph in graphs])


def as_text(x, edge_index, edge_type):
    """A molecule as the list of its bonds; numbers tell atoms of one kind apart."""
    names = [
        f"{'CNOH'[kind]}{node}" for node, kind in enumerate(x.argmax(dim=1).tolist())
    ]
    bonds = zip(*edge_index.tolist(), edge_type.tolist(), strict=True)
    return "  ".join(names[u] + "–="[kind] + names[v] for u, v, kind in bonds if u < v)


for graph, energy in zip(graphs[:3], energies, strict=False):
    print(f"   energy {energy:6.2f}:  {as_text(*graph)}")
targets = (energies - energies.mean()) / energies.std()
print(
    f"   table {tuple(table.shape)}, largest sum of a row: "
    f"{table.sum(dim=2).abs().max():.0e}"
)

# Can the atoms tell the energy? The counts of the four kinds of atoms are the inputs of
# a least squares fit here. It should leave nearly all of the variance unexplained.
counts = torch.stack([graph[0].sum(dim=0) for graph in graphs])
fitted = counts @ torch.linalg.lstsq(counts[:300], targets[:300, None]).solution
share = (fitted[300:, 0] - targets[300:]).square().mean() / targets[300:].var()
print(
    f"   least squares on the atoms: {share:.0%} of the variance on 100 held-out "
    "molecules stay unexplained"
)

# 4. Model
#
# The layer below is the one that runs here. All graphs of a batch go through it at
# once, as one large graph of parts that no edge connects.
heading("4. Model")
model = kata.MPNN(4, 24, 2, 1, steps=3)
print("   MPNNLayer.messages:")
shown_code(kata.MPNNLayer.messages)
print("   MPNN.forward:")
shown_code(kata.MPNN.forward)
x, edge_index, edge_type, batch = kata.batch_graphs(graphs[:3])
states, outputs = (
    model.node_states(x, edge_index, edge_type),
    model(x, edge_index, edge_type, batch),
)
print(
    f"   three molecules of {sizes[:3]} atoms: x {tuple(x.shape)}, edge_index "
    f"{tuple(edge_index.shape)}"
)
print(f"   batch {batch.tolist()}")
print(f"   node states {tuple(states.shape)} → outputs {tuple(outputs.shape)}")

# Each step carries news one bond further. On a chain of six atoms, the state of atom 0
# should depend on the atoms 0 to T after T steps. The number of parameters should be
# the same for every T, because all steps share one layer.
links = [(k, k + 1) for k in range(5)]
chain = torch.tensor(links + [(v, u) for u, v in links]).T
for steps in range(4):
    net = kata.MPNN(4, 24, 2, 1, steps=steps)
    start = torch.eye(4)[[0, 1, 2, 3, 0, 1]].requires_grad_()
    (slope,) = torch.autograd.grad(
        net.node_states(start, chain, torch.zeros(10, dtype=torch.int64))[0].sum(),
        start,
    )
    reached = slope.abs().sum(dim=1).nonzero().flatten().tolist()
    size = sum(parameter.numel() for parameter in net.parameters())
    print(f"   {steps} steps: atom 0 depends on the atoms {reached}; {size} parameters")

# 5. Training loop
#
# Three models learn side by side, on the same batches: without messages, with one step,
# and with three. The loss is the mean squared error. The targets have variance 1, so a
# model that knows nothing has a loss near 1.
heading("5. Training loop")
UPDATES = 200
models, losses = {}, {}
for steps in (0, 1, 3):
    torch.manual_seed(0)
    models[steps], losses[steps] = kata.MPNN(4, 24, 2, 1, steps=steps), []
optimizers = {
    steps: torch.optim.Adam(net.parameters(), lr=0.01) for steps, net in models.items()
}
for update in range(UPDATES):
    rows = torch.randperm(300, generator=generator)[:32].tolist()
    together = kata.batch_graphs([graphs[row] for row in rows])
    for steps, net in models.items():
        error = net(*together).squeeze(1) - targets[rows]
        loss = error.square().mean()
        net.zero_grad()
        loss.backward()
        losses[steps].append(loss.item())
        if update == 0 and steps == 3:
            for name, parameter in net.named_parameters():
                shape = str(tuple(parameter.shape))
                print(
                    f"   gradient of {name:<23} {shape:<12} norm "
                    f"{parameter.grad.norm():.4f}"
                )
            before = net.layer.A[0, 0, 0].item()
        optimizers[steps].step()
        if update == 0 and steps == 3:
            print(
                f"   A[0, 0, 0] before and after the first step: {before:.4f} → "
                f"{net.layer.A[0, 0, 0].item():.4f}"
            )

# The loss as it falls, in means over 20 updates.
print("   updates       0 steps   1 step   3 steps")
for first in (0, 20, 60, 100, 180):
    means = [sum(curve[first : first + 20]) / 20 for curve in losses.values()]
    print(
        f"   {first:>3} to {first + 19:>3}    "
        + "   ".join(f"{mean:6.3f}" for mean in means)
    )

# 6. Evaluation and figure
#
# The 100 molecules that no model has seen. Without messages, each atom is read out
# alone, and the sum over atoms cannot know who is bonded to whom: nearly 100 % should
# stay unexplained. One step tells each atom what it is bonded to, and that is all that
# a bond's energy depends on. More steps are not needed, and cost a little.
heading("6. Evaluation and figure")
tested = kata.batch_graphs(graphs[300:])
predicted = {}
with torch.no_grad():
    for steps, net in models.items():
        predicted[steps] = net(*tested)[:, 0]
        share = (predicted[steps] - targets[300:]).square().mean() / targets[300:].var()
        print(f"   {steps} steps: {share:6.1%} of the variance stay unexplained")

# The trainer does all of that in one call. With the same start and its own batches, it
# should come to about the same error.
torch.manual_seed(0)
again = kata.MPNN(4, 24, 2, 1, steps=1)
curve = kata.train_mpnn(
    again, graphs[:300], targets[:300], steps=100, generator=generator
)
print(
    f"   train_mpnn, 1 step, 100 updates: the loss falls from {curve[0]:.3f} to "
    f"{sum(curve[-20:]) / 20:.3f}"
)

# Numbering is not chemistry. Under new numbers the states of the nodes should move with
# the nodes and the energies should stay, but for rounding. The edges keep their order
# here, so messages are even added up in the old order; the readouts of the nodes
# are not.
net = models[3]
new_order = torch.randperm(len(tested[0]), generator=generator)
relabelled = stretch(kata.permute_graph, *tested[:3], new_order)
changed = None
if relabelled is not None:
    with torch.no_grad():
        drift = (
            (net.node_states(*relabelled) - net.node_states(*tested[:3])[new_order])
            .abs()
            .max()
        )
        changed = (net(*relabelled, tested[3][new_order])[:, 0] - predicted[3]).abs()
    print(
        f"   after relabelling, node states change by {drift:.1e} at most, energies "
        f"by {changed.max():.1e}"
    )

# The figure: predicted against true energies, with no and with three steps, and what
# relabelling changes, beside the errors of the same predictions. Energies that do not
# change at all are drawn at 1e-8.
figure = Figure(figsize=(6.6, 6.2))
panels = figure.subplot_mosaic([["none", "three"], ["numbers", "numbers"]])
for axes, steps, colour in zip(
    (panels["none"], panels["three"]), (0, 3), COLOURS, strict=False
):
    axes.plot([-3.5, 3.5], [-3.5, 3.5], color=COLOURS[6], linewidth=1)
    axes.plot(
        targets[300:], predicted[steps], "o", color=colour, markersize=3.5, alpha=0.7
    )
    title = "no messages: atoms alone" if steps == 0 else "three message steps"
    axes.set(
        xlim=(-3.5, 3.5),
        ylim=(-3.5, 3.5),
        xlabel="true energy",
        ylabel="predicted energy",
        title=title,
    )
if changed is not None:
    errors = (predicted[3] - targets[300:]).abs().sort().values
    panels["numbers"].semilogy(errors, color=COLOURS[1])
    panels["numbers"].semilogy(
        changed.clamp(min=1e-8).sort().values, "--", color=COLOURS[2]
    )
    panels["numbers"].text(5, 0.9, "error of the prediction", color=COLOURS[1])
    panels["numbers"].text(5, 2e-6, "change under new node numbers", color=COLOURS[2])
    panels["numbers"].set(
        ylim=(5e-9, 3),
        xlabel="test molecules, sorted",
        ylabel="absolute difference of energies",
    )
    panels["numbers"].set_title("numbering does not matter")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# One molecule of the test set, with the matrices of the trained model: the sum of
# messages in NumPy and in PyTorch.
heading("7. NumPy against PyTorch")
x, edge_index, edge_type = graphs[300]
with torch.no_grad():
    h = net.embed(x)
    ours = net.layer.messages(h, edge_index, edge_type)
arrays = [
    part.numpy()
    for part in (h.double(), edge_index, edge_type, net.layer.A.detach().double())
]
heard = stretch(kata.message_passing_numpy, *arrays)
if heard is not None:
    print(f"   messages of atom 0, NumPy:   {heard[0, :4].round(4)}")
    print(f"   messages of atom 0, PyTorch: {ours[0, :4].numpy().round(4)}")
    print(f"   largest difference: {np.abs(heard - ours.numpy()).max():.1e}")

# A sum is one way to combine messages. Mean and maximum forget how many there are: with
# every bond there twice, only the sum changes, so only a sum can count bonds.
alone = torch.ones(len(edge_type), 1)
for how in ("sum", "mean", "max"):
    once = stretch(kata.aggregate, alone, edge_index[1], len(x), how)
    if once is None:
        break
    twice = kata.aggregate(
        torch.cat([alone, alone]), edge_index[1].repeat(2), len(x), how
    )
    print(
        f"   {how:<4} of ones: {once.flatten().int().tolist()}, every bond twice: "
        f"{twice.flatten().int().tolist()}"
    )

# In NumPy a backward pass would have to send gradients along every edge in reverse,
# step by step. Autograd does that for free. One number shows it: an element of A, moved
# by hand, against its gradient through three steps.
exact = net.double()
torch.set_default_dtype(torch.float64)  # also of the zeros that the net starts from
molecule = (x.double(), edge_index, edge_type, torch.zeros(len(x), dtype=torch.int64))
(gradient,) = torch.autograd.grad(exact(*molecule).sum(), exact.layer.A)
ends = []
with torch.no_grad():
    for nudge in (1e-5, -2e-5):
        exact.layer.A[0, 3, 5] += nudge
        ends.append(exact(*molecule).item())
torch.set_default_dtype(torch.float32)
slope = (ends[0] - ends[1]) / 2e-5
print(
    f"   slope of the energy by moving A[0, 3, 5]: {slope:.8f}, from autograd: "
    f"{gradient[0, 3, 5].item():.8f}"
)
