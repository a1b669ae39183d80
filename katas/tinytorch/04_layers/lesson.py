"""Module 04 in code: modules and their parameters, XOR on the framework so far, and
where a network's time goes.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch
from tinytorch.setup import time_call

kata = code(__file__)
# the ones that this module builds on
Tensor, ReLU, XOR_X = kata.Tensor, kata.ReLU, kata.XOR_X
np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)

# 1. A module is an object with Parameters and modules as attributes. Names are the
#    paths to them.
heading("1. A network lists what it learns")
net, output = kata.run_xor_inference(rng)
for name, parameter in net.named_parameters():
    print(f"   {name:16} {str(parameter.shape):8} {parameter.dtype}")
print("   parameters:", sum(parameter.size for parameter in net.parameters()))
net.eval()
print(
    "   after eval(), training is",
    [module.training for module in net.modules()],
    "for the net and its two Linears",
)

# 2. Milestone 1: a network runs. Its weights are random, so its answers are, too. The
#    weights by hand of module 03 fit into the same network, and it computes XOR.
#    Training, in module 08, will only have to find such weights.
heading("2. Milestone 1: XOR on your own framework")
net = kata.load_xor_by_hand(net)
x = Tensor(XOR_X)
hidden = net[1](net[0](x))
answers = net(x)
print("   x1 x2   untrained   hidden units by hand   output by hand")
for row in range(4):
    x1, x2 = XOR_X[row].astype(int)
    before, after = output.data[row, 0], answers.data[row, 0]
    print(
        f"    {x1}  {x2}   {before:9.3f}   {str(hidden.data[row]):20}   {after:14.1f}"
    )

# 3. The last dimension alone is transformed. Whatever comes before it is carried along.
heading("3. Any leading dimensions")
layer = kata.Linear(3, 4, rng=rng)
for shape in ((5, 3), (2, 7, 3)):
    print(
        f"   {str(shape):10} becomes "
        f"{layer(Tensor(np.ones(shape, dtype=np.float32))).shape}"
    )

# 4. One row per layer. Parameters sit in the Linears, and most of them where two wide
#    layers meet.
heading("4. The layer report of a 2-64-64-1 network")
model = kata.Sequential(
    [
        kata.Linear(2, 64, rng=rng),
        ReLU(),
        kata.Linear(64, 64, rng=rng),
        ReLU(),
        kata.Linear(64, 1, rng=rng),
    ]
)
report = stretch(kata.layer_report, model, Tensor(np.ones((32, 2), dtype=np.float32)))
for row in report or []:
    print(
        f"   {row['index']} {row['name']:8} {str(row['output_shape']):9} "
        f"{row['parameters']:5} parameters",
        end="",
    )
    print(f" {row['parameter_bytes']:6} bytes, output {row['output_bytes']:5} bytes")

# 5. Where the time goes: in a net of 256-256-256-10 and a batch of 256 rows, nearly all
#    multiply-adds are those of the three matrix products. What else there is, adding a
#    bias and ReLU, is one operation per number of an output.
heading("5. The share of matrix products in a 256-256-256-10 network")
widths = (256, 256, 256, 10)
layers = [
    kata.Linear(n, m, rng=rng) for n, m in zip(widths[:-1], widths[1:], strict=True)
]
model = kata.Sequential([layers[0], ReLU(), layers[1], ReLU(), layers[2]])
batch = Tensor(rng.normal(size=(256, 256)).astype(np.float32))
products = 256 * sum(n * m for n, m in zip(widths[:-1], widths[1:], strict=True))
# a bias for every output, ReLU for the hidden ones
others = 256 * (2 * (256 + 256) + 10)
cost = stretch(kata.linear_cost, 256, 256, 256)
if cost is not None:
    counted = (
        cost["multiply_adds"] * 2 + kata.linear_cost(256, 10, 256)["multiply_adds"]
    )
    print(f"   multiply-adds by linear_cost: {counted:,}, by hand: {products:,}")
whole = time_call(model, batch, repeats=20)
inside = sum(
    time_call(lambda one=one: batch.data @ one.weight.data.T, repeats=20)
    for one in layers
)
print(f"   operations: {products / (products + others):.1%} are in matrix products")
print(f"   time:       {inside / whole:.0%} of {whole * 1e3:.2f} ms, as measured here")
print(
    "   The share of the time is smaller: adding a bias moves as many bytes as a "
    "product writes, for little work."
)

# 6. Growth. A layer that is twice as wide keeps four times the memory and, on as many
#    rows, does eight times the work.
heading("6. Memory and work of Linear(n, n)")
sizes = [64, 128, 256, 512]
scaling = stretch(kata.layer_scaling, sizes)
if scaling is not None:
    print("      n   predicted bytes   measured bytes   multiply-adds, n rows")
    for n, measured, flops in zip(
        sizes, scaling["memory"]["values"], scaling["flops"]["values"], strict=True
    ):
        print(f"   {n:4} {4 * (n * n + n):17,} {measured:16,} {flops:23,}")
    print(
        f"   measured exponent of the memory: {scaling['memory']['exponent']:.2f}, "
        "predicted 2"
    )

# 7. The same network in PyTorch: with the same weights it gives the same numbers.
heading("7. PyTorch does it so")
try:
    import torch
    from torch import nn
except ImportError:
    print("   (torch is not importable: this comparison is left out)")
else:
    theirs = nn.Sequential(
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )
    names = [name for name, _ in theirs.named_parameters()]
    print("   names in TinyTorch:", *(name for name, _ in model.named_parameters()))
    print("   names in PyTorch:  ", *names)
    with torch.no_grad():
        for mine, parameter in zip(
            model.parameters(), theirs.parameters(), strict=True
        ):
            parameter.copy_(torch.from_numpy(mine.data))
        difference = np.abs(
            model(batch).data - theirs(torch.from_numpy(batch.data)).numpy()
        ).max()
    print(f"   largest difference of the outputs: {difference:.0e}")
    bound = nn.Linear(16, 900).weight.abs().max().item()
    print(
        f"   largest weight of a new nn.Linear(16, 900): {bound:.4f}, the bound 1/√16 "
        "is 0.25"
    )
    pytorch_source(
        "torch.nn.modules.linear",
        "Linear.reset_parameters",
        start="# Setting a",
        lines=9,
    )


# 8. The figure: bytes of the parameters and multiply-adds over the width, on
#    logarithmic axes.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 3.8))
    axes = figure.subplots()
    n = np.array(sizes)
    axes.plot(n, n**3, "s-", color=COLOURS[1])
    axes.plot(n, 4 * (n * n + n), "-", color=COLOURS[0])
    if scaling is not None:
        axes.plot(sizes, scaling["memory"]["values"], "o", color=COLOURS[0])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.set(xlabel="width n of a Linear(n, n)", ylabel="bytes, or multiply-adds")
    axes.set_title("Twice the width: four times the memory, eight times the work")
    axes.text(240, 4.5e7, "multiply-adds on n rows: n³", color=COLOURS[1], ha="right")
    axes.text(
        180,
        5.5e4,
        "bytes of the parameters: 4(n² + n)\n(dots: measured)",
        color=COLOURS[0],
        va="top",
    )
    return figure


save_figure(draw(), __file__)
