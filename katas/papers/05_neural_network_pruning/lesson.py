"""Paper 05 in code: weights that cost bits, then nine tenths of a net removed,
retrained or started again, counted.
"""

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
# A weight that may be noisy is cheap to send. Say both sides expect weights of about
# 0.3, and one weight turns out to be 0.5 with some standard deviation. The price in
# bits is the divergence between the two normal distributions. Half the noise should
# cost one bit more, once the weight is precise. With a std of 0.3 only the place of the
# mean is paid.
heading("2. Recap of the NumPy view")
for std in (0.3, 0.1, 0.05, 0.025, 0.0125):
    nats = np.log(0.3 / std) + (std**2 + 0.5**2) / (2 * 0.3**2) - 0.5
    print(
        f"a weight of 0.5 ± {std:<6}: {nats / np.log(2):.2f} bits; a weight of 0 ± "
        f"{std:<6}: ",
        end="",
    )
    print(f"{(np.log(0.3 / std) + std**2 / (2 * 0.3**2) - 0.5) / np.log(2):.2f} bits")

# Pruning by magnitude is a ranking in which the sign plays no part. Below are twelve
# weights. The seven nearest to 0 are to go. Which ones stay?
weight = np.array(
    [[0.9, -0.1, 0.3, -1.2], [0.05, -0.7, 0.2, 0.0], [-0.4, 1.1, -0.25, 0.6]]
)
mask = stretch(kata.prune_mask_numpy, weight, 7 / 12)
if mask is not None:
    for row, kept in zip(weight, mask, strict=True):
        print(
            "  ".join(
                f"{value:5.2f}" if stays else "    ·"
                for value, stays in zip(row, kept, strict=True)
            )
        )
    print(
        f"{mask.sum()} kept; the smallest of them has the size "
        f"{np.abs(weight[mask]).min()}"
    )

# Whoever receives the five numbers must also be told where they belong. A list of
# twelve yes-or-no bits would do. The places of a few kept weights cost less: per weight
# only the entropy of one draw that says yes with the share kept.
for share in (0.5, 0.2, 0.1, 0.05):
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    print(
        f"{share:4.0%} kept: {entropy:.2f} bits per place, or {entropy / share:4.1f} "
        "per kept weight"
    )

# 3. Data
#
# The digits: 1797 images of 8 × 8 pixels, in one fixed random order. 1200 are for
# training, the other 597 for testing.
heading("3. Data")
images, labels = digits()
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
x, y = images[order[:1200]], labels[order[:1200]]
test_x, test_y = images[order[1200:]], labels[order[1200:]]
print(
    f"train {tuple(x.shape)}, test {tuple(test_x.shape)}; the first three labels: "
    f"{y[:3].tolist()}"
)
for row in x[:3, 0].transpose(0, 1):
    print(
        "   ".join(
            "".join(" .:+#"[int(4 * pixel)] for pixel in line) for line in row.tolist()
        )
    )

# To see what a net learns by heart, 40 % of the training labels are drawn anew. A tenth
# of the draws hits the right class, so about 36 % of the labels are wrong. To send all
# labels one by one takes log2 10 bits each.
drawer = torch.Generator().manual_seed(0)
drawn = torch.randint(10, (len(y),), generator=drawer)
given = torch.where(torch.rand(len(y), generator=drawer) < 0.4, drawn, y)
wrong = given != y
LABEL_BITS = len(y) * math.log2(10)
print(
    f"{wrong.sum()} of {len(y)} labels are wrong; sent as they are, the labels take "
    f"{LABEL_BITS:,.0f} bits"
)

# 4. Model
#
# A noisy layer has two numbers per weight: a mean, and how precise the weight is. The
# code below is the one that runs here: your own where the core of the kata works.
heading("4. Model")
shown_code(kata.NoisyLinear.forward)
noisy = kata.noisy_net([64, 64, 10])
print(f"images {tuple(x[:5].shape)} → logits {tuple(noisy(x[:5]).shape)}")
print("trained:", {name: tuple(p.shape) for name, p in noisy.named_parameters()})
print(
    "one image, three calls, the logit of class 0:",
    *(f"{noisy(x[:1])[0, 0].item():.3f}" for _ in range(3)),
)
noisy.eval()
print(
    "the same in eval mode:                       ",
    *(f"{noisy(x[:1])[0, 0].item():.3f}" for _ in range(3)),
)

# What came of it is simpler: a masked layer is a linear one with a second matrix, which
# says of each weight whether it counts. A weight that is masked has a gradient of 0,
# and its stored value stays.
shown_code(kata.MaskedLinear.forward)
model = kata.MaskedMLP([64, 64, 32, 10])
TOTAL = sum(layer.weight.numel() for layer in model.layers)
print(
    f"{TOTAL} weights compete; the {sum(len(layer.bias) for layer in model.layers)} "
    "biases do not"
)
small = kata.MaskedLinear(3, 2)
small.mask[0, 1] = False
small(torch.ones(4, 3)).sum().backward()
print(f"gradient of a masked layer: {small.weight.grad.tolist()}")
print(f"stored value of the pruned weight: {small.weight[0, 1].item():.3f}")

# 5. Training loop
#
# The trainer's body, one level lower than you write it, for the same net twice: once
# with a price on its weights, once they are free. The length of the message is the bits
# of the 1200 labels, given the net, plus those of the weights.
heading("5. Training loop")


def message(net, labels):
    """The bits of the labels, given one draw of the weights, and the bits of
    the weights.
    """
    log_chances = net(x).log_softmax(dim=1)
    errors = -log_chances.gather(1, labels[:, None]).sum() / math.log(2)
    layers = [layer for layer in net if isinstance(layer, kata.NoisyLinear)]
    return errors, sum(kata.kl_bits(layer.weight, layer.log_var) for layer in layers)


start = copy.deepcopy(noisy)
nets = {}
for name, price in (("with a price", 1.0), ("for free", 0.0)):
    torch.manual_seed(0)
    net = nets[name] = copy.deepcopy(start).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    print(f"weights {name}:")
    for step in range(400):
        errors, weights = message(net, given)
        for parameter in net.parameters():
            parameter.grad = None
        (errors + price * weights).backward()
        optimizer.step()
        if step in (0, 20, 100, 399):
            print(
                f"   step {step:>3}: {errors.item():6,.0f} bits of errors + "
                f"{weights.item():9,.0f} bits of weights"
            )
    net.eval()

# 6. Evaluation and figure
#
# A label that follows no rule can only be learned by heart, and that takes precise
# weights. Prediction: the net that pays finds it cheaper to send such a label as an
# error. The other net has no reason not to learn it.
heading("6. Evaluation and figure")
for name, net in nets.items():
    print(
        f"weights {name}: {kata.accuracy(net, x[wrong], given[wrong]):.3f} of the "
        "wrong labels learned, ",
        end="",
    )
    print(f"{kata.accuracy(net, test_x, test_y):.3f} of the test digits right")

# Precision that was not paid for is not there. Where a mean is small beside its noise,
# the weight says nothing and may be 0. Prediction: ranked by signal to noise, nine
# tenths of the paid weights can go at once, without any retraining.
PRUNED = (0.0, 0.5, 0.8, 0.9, 0.95)


def means_and_ratios(net):
    """All means in one tensor, and how large each is beside its standard deviation."""
    layers = [layer for layer in net if isinstance(layer, kata.NoisyLinear)]
    means = torch.cat([layer.weight.detach().flatten() for layer in layers])
    return means, means.abs() / torch.cat(
        [(layer.log_var.detach() / 2).exp().flatten() for layer in layers]
    )


def without(net, keep):
    """A copy of the net in which only some of the weights are not 0."""
    net = copy.deepcopy(net)
    layers = [layer for layer in net if isinstance(layer, kata.NoisyLinear)]
    for layer, part in zip(
        layers, keep.split([layer.weight.numel() for layer in layers]), strict=True
    ):
        layer.weight.data *= part.view_as(layer.weight)
    return net


cut = {}
ratios = {name: means_and_ratios(net)[1] for name, net in nets.items()}
rankings = {
    "with a price": ("with a price", ratios["with a price"]),
    "with a price, at random": ("with a price", torch.rand(len(ratios["for free"]))),
    "for free": ("for free", ratios["for free"]),
}
print(
    f"{'right in the test at sparsity':<33}"
    + "".join(f"{sparsity:>9.0%}" for sparsity in PRUNED)
)
for label, (name, scores) in rankings.items():
    kept = [
        without(nets[name], kata.magnitude_mask(scores, sparsity))
        for sparsity in PRUNED
    ]
    cut[label] = [kata.accuracy(net, test_x, test_y) for net in kept]
    print(f"   weights {label:<22}" + "".join(f"{share:9.3f}" for share in cut[label]))
for name, ratio in ratios.items():
    print(
        f"weights {name}: {(ratio < 1).float().mean():.0%} are smaller than their noise"
    )

# Now as Han et al. do it, with the right labels: train a net as usual, remove the
# smallest weights, train the rest. A ticket needs the start values later, so a deep
# copy of the state comes first.
init_state = copy.deepcopy(model.state_dict())
generator = torch.Generator().manual_seed(0)
losses = kata.train_classifier(model, x, y, steps=300, generator=generator)
dense = kata.accuracy(model, test_x, test_y)
print(f"prediction for the first loss: ln 10 = {math.log(10):.2f}")
print(
    "loss:",
    "  ".join(f"step {step} {losses[step]:.2f}" for step in (0, 20, 50, 100, 299)),
)
print(f"right in the test, dense: {dense:.3f}")

# For each sparsity there are four nets: pruned at once; the same after 200 more steps;
# the ticket, whose wiring comes from pruning step by step and whose values are those of
# the start, after 100 steps; and a random wiring with the same start and the same 100
# steps. Prediction: half of the weights can go unnoticed; nine tenths cannot, but the
# rest may learn to do without them.
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
bits, all_bits = [], kata.description_length(model)
layers_left, teacher, tickets = [], copy.deepcopy(model), True
for sparsity in LEVELS:
    net = copy.deepcopy(model)
    kata.global_prune(net, sparsity)
    layers_left.append([layer.mask.float().mean().item() for layer in net.layers])
    bits.append(kata.description_length(net))
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
print(
    f"{'right in the test at sparsity':<30}"
    + "".join(f"{sparsity:>9.0%}" for sparsity in LEVELS)
)
print(f"{'   dense (nothing pruned)':<30}" + f"{dense:9.3f}" * len(LEVELS))
for name, line in found.items():
    print(f"   {name:<27}" + "".join(f"{share:9.3f}" for share in line))
print(
    f"{'bits of the net':<30}"
    + "".join(f"{count:9,.0f}" for count in bits)
    + f"   dense: {all_bits:,.0f}"
)

# One threshold for all layers is no equal share per layer. The last layer keeps most,
# because its weights are larger.
for number, name in enumerate(("first", "second", "last")):
    print(
        f"   kept in the {name:<6} layer    "
        + "".join(f"{left[number]:9.0%}" for left in layers_left)
    )

# The figure. Above, the noisy net: its means before and after; signal to noise, where
# what lies left of 1 is noise; and what is left after pruning at once. Below: which
# weights of the first layer are kept at 90 %, one row per pixel, and the four nets of
# Han et al. and Frankle and Carbin, by sparsity and by bits.
figure = Figure(figsize=(6.6, 16))
means, noise, pruning, pattern, adjusted, described = figure.subplots(6)
edges = np.linspace(-1.5, 1.5, 61)
for (name, net), colour in zip(
    (("at the start", start), *nets.items()),
    (COLOURS[3], COLOURS[0], COLOURS[1]),
    strict=True,
):
    values, ratio = means_and_ratios(net)
    means.hist(
        values.clamp(-1.5, 1.5).numpy(),
        edges,
        histtype="step",
        color=colour,
        label=name,
        log=True,
    )
    if net is not start:
        counts = np.logspace(-3, 3, 61)
        noise.hist(
            ratio.clamp(1e-3, 1e3).numpy(),
            counts,
            histtype="step",
            color=colour,
            label=f"weights {name}",
        )
means.set(
    xlabel="mean of a weight",
    ylabel="weights",
    title="Means: paid ones shrink, free ones grow",
)
means.legend(loc="upper left")
noise.axvline(1, color=COLOURS[6], linestyle=":")
noise.set(
    xscale="log", xlabel="|mean| / std", ylabel="weights", title="Signal to noise"
)
noise.legend(loc="upper right")
for (label, line), colour, mark in zip(
    cut.items(), (COLOURS[0], COLOURS[2], COLOURS[1]), "osD", strict=True
):
    pruning.plot(
        [100 * sparsity for sparsity in PRUNED],
        line,
        marker=mark,
        color=colour,
        label=f"weights {label}",
    )
pruning.set(
    xlabel="weights pruned at once (%)",
    ylabel="test digits right",
    ylim=(0, 1),
    xticks=[0, 50, 80, 90],
)
pruning.set_title("Paid weights can be pruned")
pruning.legend(loc="lower left")
keep = kata.magnitude_mask(ratios["with a price"], 0.9)[: 64 * 64].view(64, 64)
pattern.imshow(keep.T, cmap="Greys", interpolation="nearest", aspect="auto")
pattern.set_xticks([0, 20, 40, 60])
pattern.set(
    xlabel="hidden unit",
    ylabel="pixel, row by row",
    title="First layer: the tenth that is kept",
)
for (name, line), colour, mark in zip(found.items(), COLOURS[1:], "osD^", strict=False):
    adjusted.plot(
        [100 * sparsity for sparsity in LEVELS],
        line,
        marker=mark,
        color=colour,
        label=name,
    )
    described.semilogx(bits, line, marker=mark, color=colour)
for panel in (adjusted, described):
    panel.axhline(dense, color=COLOURS[0], linestyle="--", label="dense")
adjusted.set(
    xlabel="weights pruned (%)",
    ylabel="test digits right",
    ylim=(0, 1),
    xticks=[50, 80, 90, 95],
)
adjusted.set_title("A tenth may adjust")
adjusted.legend(loc="lower left")
described.plot(all_bits, dense, marker="*", markersize=13, color=COLOURS[0])
described.set_xticks(
    [2e4, 5e4, 1e5, 2e5], ["20,000", "50,000", "100,000", "200,000"], minor=False
)
described.minorticks_off()
described.set(
    xlabel="bits that describe the net",
    ylim=(0, 1),
    title="The same nets by description length",
)
save_figure(figure, __file__)

# Where does the first layer look? Of each pixel, the share of its 64 weights that is
# kept: the left and right edges, which are nearly always empty, say nothing, and
# nothing is paid for them. Of the hidden units, whole columns are gone.
print(
    f"hidden units with a weight that is kept: {keep.any(dim=1).sum()} of {len(keep)}"
)
for row in keep.float().mean(dim=0).view(8, 8).tolist():
    print("   " + "".join(f"{share:5.0%}" if share else "    ·" for share in row))

# 7. NumPy against PyTorch
#
# The mask of arrays and the mask of tensors are the same ranking, so they should not
# differ anywhere. A masked layer in NumPy is two products. Its gradient has to be
# worked out by hand there: the chain rule passes through the mask once more. PyTorch
# has it for free, because the mask is a factor like any other.
heading("7. NumPy against PyTorch")
layer = nets["with a price"][1]
mean, log_var = (
    parameter.detach().double().numpy() for parameter in (layer.weight, layer.log_var)
)
nats = np.log(0.3) - log_var / 2 + (np.exp(log_var) + mean**2) / (2 * 0.3**2) - 0.5
ours = kata.kl_bits(layer.weight, layer.log_var).item()
print(
    f"bits of the first noisy layer: {ours:.2f} in PyTorch, "
    f"{nats.sum() / np.log(2):.2f} in NumPy"
)
for number, layer in enumerate(model.layers):
    theirs = stretch(kata.prune_mask_numpy, layer.weight.detach().double().numpy(), 0.9)
    if theirs is not None:
        ours = kata.magnitude_mask(layer.weight.detach(), 0.9).numpy()
        print(
            f"layer {number}: {ours.sum()} kept by magnitude_mask; masks differ at "
            f"{(ours != theirs).sum()} places"
        )
layer = kata.MaskedLinear(64, 32)
layer.mask.copy_(kata.magnitude_mask(layer.weight.detach(), 0.9))
batch = x[:6].flatten(1)
w, b, m, rows = (
    t.detach().numpy().astype(np.float64)
    for t in (layer.weight, layer.bias, layer.mask, batch)
)
outputs = layer(batch)
print(
    "outputs:   largest difference "
    f"{np.abs(outputs.detach().numpy() - (rows @ (w * m).T + b)).max():.1e}"
)
outputs.square().sum().backward()
by_hand = (2 * (rows @ (w * m).T + b)).T @ rows * m
print(
    "gradients: largest difference "
    f"{np.abs(layer.weight.grad.numpy() - by_hand).max():.1e}"
)
print(
    "gradients of pruned weights, all of them:",
    layer.weight.grad[~layer.mask].unique().tolist(),
)
