"""Paper 05 in code: nine tenths of a net's weights removed, the rest retrained or started again, counted in bits."""

import copy
import functools
import math

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
# Pruning by magnitude is a ranking in which the sign plays no part. Below are twelve weights. The seven nearest to 0
# are to go. Which ones stay?
heading("2. Recap of the NumPy view")
weight = np.array([[0.9, -0.1, 0.3, -1.2], [0.05, -0.7, 0.2, 0.0], [-0.4, 1.1, -0.25, 0.6]])
mask = stretch(kata.prune_mask_numpy, weight, 7 / 12)
if mask is not None:
    for row, kept in zip(weight, mask, strict=True):
        print("  ".join(f"{value:5.2f}" if stays else "    ·" for value, stays in zip(row, kept, strict=True)))
    print(f"{mask.sum()} kept; the smallest of them has the size {np.abs(weight[mask]).min()}")

# Whoever receives the five numbers must also be told where they belong. A list of twelve yes-or-no bits would do. The
# places of a few kept weights cost less: per weight only the entropy of one draw that says yes with the share kept.
for share in (0.5, 0.2, 0.1, 0.05):
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    print(f"{share:4.0%} kept: {entropy:.2f} bits per place, or {entropy / share:4.1f} per kept weight")

# 3. Data
#
# The digits: 1797 images of 8 × 8 pixels, in one fixed random order. 1200 are for training, the other 597 for testing.
heading("3. Data")
images, labels = digits()
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
x, y = images[order[:1200]], labels[order[:1200]]
test_x, test_y = images[order[1200:]], labels[order[1200:]]
print(f"train {tuple(x.shape)}, test {tuple(test_x.shape)}; the first three labels: {y[:3].tolist()}")
for row in x[:3, 0].transpose(0, 1):
    print("   ".join("".join(" .:+#"[int(4 * pixel)] for pixel in line) for line in row.tolist()))

# 4. Model
#
# A masked layer is a linear one with a second matrix, which says of each weight whether it counts. The code below is
# the one that runs here: your own where the core of the kata works.
heading("4. Model")
shown_code(kata.MaskedLinear.forward)
model = kata.MaskedMLP([64, 64, 32, 10])
print(f"images {tuple(x[:5].shape)} → logits {tuple(model(x[:5]).shape)}")
print("trained:", {name: tuple(p.shape) for name, p in model.named_parameters()})
print("only saved:", {name: tuple(b.shape) for name, b in model.named_buffers()})
TOTAL = sum(layer.weight.numel() for layer in model.layers)
print(f"{TOTAL} weights compete; the {sum(len(layer.bias) for layer in model.layers)} biases do not")

# Take the weight from input 1 to output 0 of a small layer away. Its gradient becomes 0, and its stored value stays.
small = kata.MaskedLinear(3, 2)
small.mask[0, 1] = False
small(torch.ones(4, 3)).sum().backward()
print(f"gradient of a masked layer: {small.weight.grad.tolist()}")
print(f"stored value of the pruned weight: {small.weight[0, 1].item():.3f}")

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss is minus the log probability of the right class. A
# ticket needs the start values later, so a deep copy of the state comes first. After the first backward pass every
# parameter has a gradient of its own shape.
heading("5. Training loop")
init_state = copy.deepcopy(model.state_dict())
optimizer, generator, losses = torch.optim.Adam(model.parameters(), lr=0.005), torch.Generator().manual_seed(0), []
for step in range(300):
    chosen = torch.randperm(len(x), generator=generator)[:64]
    log_chances = model(x[chosen]).log_softmax(dim=1)
    loss = -log_chances.gather(1, y[chosen, None]).mean()
    for parameter in model.parameters():
        parameter.grad = None
    loss.backward()
    before = model.layers[0].weight[0, 20].item()
    optimizer.step()
    losses.append(loss.item())
    if step == 0:
        print("after the first backward:")
        for name, parameter in model.named_parameters():
            print(f"   {name:<16} {tuple(parameter.shape)!s:<9} gradient norm {parameter.grad.norm().item():.3f}")
        print(f"layers.0.weight[0, 20]: {before:.4f} → {model.layers[0].weight[0, 20].item():.4f}, a step of about lr")
print(f"prediction for the first loss: ln 10 = {math.log(10):.2f}")
print("loss:", "  ".join(f"step {step} {losses[step]:.2f}" for step in (0, 20, 50, 100, 299)))
dense = kata.accuracy(model, test_x, test_y)
print(f"right in the test: {dense:.3f}")

# 6. Evaluation and figure
#
# Prediction: a weight near 0 hardly matters, so half of them can go unnoticed. Nine tenths cannot, but the rest may
# learn to do without them. For each sparsity there are four nets: pruned at once; the same after 200 more steps; the
# ticket, whose wiring comes from pruning step by step and whose values are those of the start, after 100 steps; and a
# random wiring with the same start and the same 100 steps.
heading("6. Evaluation and figure")
LEVELS = (0.5, 0.8, 0.9, 0.95)


def after(net, steps):
    kata.train_classifier(net, x, y, steps=steps, generator=generator)
    return kata.accuracy(net, test_x, test_y)


def carried_out(exercise, *arguments):
    """Tell if a stretch exercise, which returns nothing, is written; if so, call it."""

    @functools.wraps(exercise)
    def call():
        exercise(*arguments)
        return True

    return stretch(call) is not None


found = {"pruned at once": [], "and retrained": [], "ticket": [], "random wiring": []}
bits, all_bits = [], stretch(kata.description_length, model)
layers_left, teacher, tickets = [], copy.deepcopy(model), True
for sparsity in LEVELS:
    net = copy.deepcopy(model)
    kata.global_prune(net, sparsity)
    layers_left.append([layer.mask.float().mean().item() for layer in net.layers])
    bits.append(all_bits and kata.description_length(net))
    found["pruned at once"].append(kata.accuracy(net, test_x, test_y))
    found["and retrained"].append(after(net, 200))
    kata.global_prune(teacher, sparsity)
    after(teacher, 100)
    ticket = copy.deepcopy(teacher)
    tickets = tickets and carried_out(kata.rewind, ticket, init_state)
    wired = copy.deepcopy(ticket)
    tickets = tickets and carried_out(kata.randomize_masks, wired, generator)
    if tickets:
        found["ticket"].append(after(ticket, 100))
        found["random wiring"].append(after(wired, 100))
found = {name: line for name, line in found.items() if line}
print(f"{'right in the test at sparsity':<30}" + "".join(f"{sparsity:>9.0%}" for sparsity in LEVELS))
print(f"{'   dense (nothing pruned)':<30}" + f"{dense:9.3f}" * len(LEVELS))
for name, line in found.items():
    print(f"   {name:<27}" + "".join(f"{share:9.3f}" for share in line))
if all_bits:
    print(f"{'bits of the net':<30}" + "".join(f"{count:9,.0f}" for count in bits) + f"   dense: {all_bits:,.0f}")

# One threshold for all layers is no equal share per layer. The last layer keeps most, because its weights are larger.
for number, name in enumerate(("first", "second", "last")):
    print(f"   kept in the {name:<6} layer    " + "".join(f"{left[number]:9.0%}" for left in layers_left))

figure = Figure(figsize=(9, 3.9))
left, right = figure.subplots(1, 2, sharey=True)
for (name, line), colour, mark in zip(found.items(), COLOURS[1:], "osD^", strict=False):
    left.plot([100 * sparsity for sparsity in LEVELS], line, marker=mark, color=colour, label=name)
    if all_bits:
        right.semilogx(bits, line, marker=mark, color=colour)
for panel in (left, right):
    panel.axhline(dense, color=COLOURS[0], linestyle="--", label="dense")
left.set(xlabel="weights pruned (%)", ylabel="test digits right", ylim=(0, 1), xticks=[50, 80, 90, 95])
left.set_title("A tenth of the weights is enough, if it may adjust")
left.legend(loc="lower left")
if all_bits:
    right.plot(all_bits, dense, marker="*", markersize=13, color=COLOURS[0])
    right.set_xticks([2e4, 5e4, 1e5, 2e5], ["20,000", "50,000", "100,000", "200,000"], minor=False)
    right.minorticks_off()
else:
    right.text(0.5, 0.5, "description_length is not written yet", ha="center", transform=right.transAxes)
right.set(xlabel="bits that describe the net", title="The same nets, by their description length")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The mask of arrays and the mask of tensors are the same ranking, so they should not differ anywhere. A masked layer
# in NumPy is two products. Its gradient has to be worked out by hand there: the chain rule passes through the mask once
# more. PyTorch has it for free, because the mask is a factor like any other.
heading("7. NumPy against PyTorch")
for number, layer in enumerate(model.layers):
    theirs = stretch(kata.prune_mask_numpy, layer.weight.detach().double().numpy(), 0.9)
    if theirs is not None:
        ours = kata.magnitude_mask(layer.weight.detach(), 0.9).numpy()
        print(f"layer {number}: {ours.sum()} kept by magnitude_mask; masks differ at {(ours != theirs).sum()} places")
layer = kata.MaskedLinear(64, 32)
layer.mask.copy_(kata.magnitude_mask(layer.weight.detach(), 0.9))
batch = x[:6].flatten(1)
w, b, m, rows = (t.detach().numpy().astype(np.float64) for t in (layer.weight, layer.bias, layer.mask, batch))
outputs = layer(batch)
print(f"outputs:   largest difference {np.abs(outputs.detach().numpy() - (rows @ (w * m).T + b)).max():.1e}")
outputs.square().sum().backward()
by_hand = (2 * (rows @ (w * m).T + b)).T @ rows * m
print(f"gradients: largest difference {np.abs(layer.weight.grad.numpy() - by_hand).max():.1e}")
print("gradients of pruned weights, all of them:", layer.weight.grad[~layer.mask].unique().tolist())
