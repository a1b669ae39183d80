"""Paper kata 18 in code: attention on arrays, recall sequences, a memory of slots
beside an LSTM, who looks where.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Two queries and three keys of two numbers each. The first query points the way of key
# 0, with a score of 4 / √2 = 2.83 against twice 0, so the weight of key 0 should be
# e^2.83 / (e^2.83 + 2) = 0.894. The second query is zero: all scores are equal, and it
# should find the plain mean of the values, 20.
heading("2. Recap of the NumPy view")
query, key = (
    np.array([[2.0, 0.0], [0.0, 0.0]]),
    np.array([[2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]),
)
value = np.array([[10.0], [20.0], [30.0]])
found = stretch(kata.attend_numpy, query, key, value)
if found is not None:
    print(
        "   predicted: 0.894 · 10 + 0.053 · (20 + 30) = 11.59 and 20, found: "
        f"{found.ravel().round(2)}"
    )
    print(
        "   with the identity as values, the weights: "
        f"{kata.attend_numpy(query, key, np.eye(3))[0].round(3)}"
    )

# 3. Data
#
# A sequence shows three keys, a to c, each with a value, x to z. Then it asks for one
# of the keys. Keys come in random order, so a place in the sequence tells nothing.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
x, y = kata.make_recall_batch(3, generator=generator)


def as_text(sequence):
    """A sequence as its pairs and its question."""
    pairs = [
        f"{'abc'[int(step[:3].argmax())]}={'xyz'[int(step[3:6].argmax())]}"
        for step in sequence[:-1]
    ]
    return [*pairs, f"{'abc'[int(sequence[-1, :3].argmax())]}?"]


for sequence, answer in zip(x, y, strict=True):
    print(f"   {'  '.join(as_text(sequence))}  → {'xyz'[int(answer)]}")
print("   the last sequence as numbers, key, value and flag:")
for step in x[2].int().tolist():
    print(f"      {step[:3]} {step[3:6]} {step[6:]}")

# A rule needs no look at the keys: name the most frequent value shown. All three values
# are alike in 1 of 9 sequences, two of them in 6, none in 2. So the rule should be
# right in 1/9 + 6/9 · 2/3 + 2/9 · 1/3 = 17/27 = 0.630 of all cases.
many, right = kata.make_recall_batch(10_000, generator=generator)
counts = many[:, :-1, 3:6].sum(dim=1)
print(
    "   the rule, on 10,000 sequences: "
    f"{(counts.argmax(dim=1) == right).float().mean():.3f}"
)

# 4. Model
#
# The code of one step, as it runs here. The update is made by attention: slots are the
# queries, slots and input are keys and values. The gates are those of an LSTM, for each
# number of each slot.
heading("4. Model")
torch.manual_seed(0)
network, lstm = kata.RelationalRNN(7, 4, 32, 2, 3), kata.LSTMBaseline(7, 48, 3)
core = network.core
print("   RelationalMemory.update:")
shown_code(kata.RelationalMemory.update)
print("   RelationalMemory.forward:")
shown_code(kata.RelationalMemory.forward)
memory = core.initial_memory(3)
print(
    f"   memory {tuple(memory.shape)}, input {tuple(x[:, 0].shape)} → memory "
    f"{tuple(core(x[:, 0], memory).shape)}"
)
print(f"   sequences {tuple(x.shape)} → logits {tuple(network(x).shape)}")
for name, model in (("relational memory", network), ("LSTM", lstm)):
    print(
        f"   {name}: {sum(parameter.numel() for parameter in model.parameters())} "
        "parameters"
    )

# Why do slots start as different unit vectors? All slots share all layers. From zeros,
# four slots should be equal after any number of steps; from unit vectors, they
# should differ.
with torch.no_grad():
    for name, memory in (
        ("zeros", torch.zeros(3, 4, 32)),
        ("unit vectors", core.initial_memory(3)),
    ):
        for step in x.unbind(dim=1):
            memory = core(step, memory)
        print(
            f"   from {name:<12} the slots differ after 4 steps by up to "
            f"{(memory - memory[:, :1]).abs().max():.2f}"
        )

# 5. Training loop
#
# Both models learn side by side from the same sequences. Loss and clipping are written
# out, one level lower than you write them: log probabilities, and a factor for all
# gradients. Guessing has a loss of ln 3 = 1.10. Counting the values shown, without
# looking at keys, allows 6/9 · 0.637 + 2/9 · 1.099 = 0.668.
heading("5. Training loop")
STEPS, BATCH = 300, 64
models = {"relational memory": network, "LSTM": lstm}
losses = {name: [] for name in models}
optimizers = {
    name: torch.optim.Adam(model.parameters(), lr=6e-3)
    for name, model in models.items()
}
clipped = dict.fromkeys(models, 0)
for step in range(STEPS):
    sequences, answers = kata.make_recall_batch(BATCH, generator=generator)
    for name, model in models.items():
        loss = -model(sequences).log_softmax(dim=1)[torch.arange(BATCH), answers].mean()
        model.zero_grad()
        loss.backward()
        losses[name].append(loss.item())
        norm = math.sqrt(
            sum(
                parameter.grad.square().sum().item() for parameter in model.parameters()
            )
        )
        if norm > 1:
            clipped[name] += 1
            for parameter in model.parameters():
                parameter.grad *= 1 / norm
        if step == 0 and model is network:
            for label, parameter in model.named_parameters():
                length = parameter.grad.norm().item()
                print(
                    f"   gradient of {label:<28} {str(tuple(parameter.shape)):<10} "
                    f"norm {length:.4f}"
                )
            before = core.qkv.weight[0, 0].item()
        optimizers[name].step()
        if step == 0 and model is network:
            print(
                "   core.qkv.weight[0, 0] before and after the first step: "
                f"{before:.4f} → {core.qkv.weight[0, 0]:.4f}"
            )

# The loss as it falls, in means over 20 steps.
print("   steps         relational memory    LSTM")
for first_step in (0, 50, 100, 150, 200, 280):
    means = [sum(curve[first_step : first_step + 20]) / 20 for curve in losses.values()]
    print(
        f"   {first_step:>3} to {first_step + 19:>3}    {means[0]:17.3f} "
        f"{means[1]:7.3f}"
    )
print(
    f"   gradients were clipped in {clipped['relational memory']} and "
    f"{clipped['LSTM']} of {STEPS} steps"
)

# 6. Evaluation and figure
#
# The key result, on 1000 fresh sequences: the memory of slots should recall, and the
# LSTM should be near the 0.630 of the rule. If it only counts, its answers are among
# the most frequent values shown.
heading("6. Evaluation and figure")
with torch.no_grad():
    for name, model in models.items():
        share = kata.recall_accuracy(model, generator=generator)
        answered = counts.gather(1, model(many).argmax(dim=1, keepdim=True))[:, 0]
        agrees = (answered == counts.amax(dim=1)).float().mean()
        print(
            f"   {name:<17} right {share:.3f}, answers with a most frequent value "
            f"{agrees:.1%}"
        )

# The LSTM is slow, not unable. With 300 more steps it should learn to look keys
# up, too.
kata.train_recall(lstm, steps=300, batch_size=BATCH, lr=6e-3, generator=generator)
print(
    f"   {'LSTM':<17} after 600 steps: right "
    f"{kata.recall_accuracy(lstm, generator=generator):.3f}"
)

# Where do slots look? With the identity as values, attention returns its weights. The
# paper's figure 3 shows slots that take up inputs in turn, and later look at one
# another. Here are head 0's weights for one sequence.
sequence = kata.make_recall_batch(1, generator=generator)[0]
memory, looks = core.initial_memory(1), []
with torch.no_grad():
    for step in sequence.unbind(dim=1):
        rows = torch.cat([memory, core.input_projection(step)[:, None]], dim=1)
        asked, offered = core.qkv(rows)[0, :4, :16], core.qkv(rows)[0, :, 32:48]
        looks.append(kata.attend(asked, offered, torch.eye(5)))
        memory = core(step, memory)
print(f"   the sequence of the figure: {'  '.join(as_text(sequence[0]))}")
for title, weights in zip(as_text(sequence[0]), looks, strict=True):
    print(
        f"   reads {title:<4} weight of the input, per slot: "
        f"{' '.join(f'{weight:.2f}' for weight in weights[:, 4])}"
    )

# After the first step all slots look at the input, and hardly at one another. Do they
# need one another at all? No parameter depends on the number of slots, so the trained
# weights also run a memory of one slot. Four such memories, one per slot, never see
# each other; only `output` reads all four. If slots exchange facts, recall breaks down.
alone = kata.RelationalMemory(7, 1, 32, 2)
alone.load_state_dict(core.state_dict())
with torch.no_grad():
    slots = core.initial_memory(len(many)).split(1, dim=1)
    for step in many.unbind(dim=1):
        slots = [alone(step, slot) for slot in slots]
    recalled = network.output(torch.cat(slots, dim=1).flatten(1)).argmax(dim=1) == right
print(f"   four slots that never see each other: right {recalled.float().mean():.3f}")

# The figure: the loss of both models, and where the slots look.
figure = Figure(figsize=(6.6, 6.4))
above, below = figure.subfigures(2)
curves = above.subplots()
for name, colour, place in zip(losses, COLOURS, (0.04, 0.71), strict=False):
    smooth = np.convolve(losses[name], np.ones(20) / 20, mode="valid")
    curves.plot(np.arange(20, STEPS + 1), smooth, color=colour)
    curves.text(
        STEPS, place, name.replace(" ", "\n"), ha="right", va="bottom", color=colour
    )
curves.axhline(0.668, linestyle=":", color=COLOURS[6], linewidth=1.5)
curves.text(4, 0.65, "counting: 0.668", va="top")
curves.set(
    xlim=(0, 305),
    ylim=(-0.02, 1.2),
    xlabel="step",
    ylabel="loss, mean of 20 steps",
    title="one learns to look keys up",
)
panels = below.subplots(1, 4, sharey=True)
for panel, title, weights in zip(panels, as_text(sequence[0]), looks, strict=True):
    image = panel.imshow(weights, vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(range(5), ["0", "1", "2", "3", "in"])
    panel.set_title(f"reads {title}")
panels[0].set_yticks(range(4))
panels[0].set_ylabel("slot that asks")
below.suptitle("its slots look at the input, not at one another", fontsize="medium")
below.supxlabel("slot that is looked at, or the input")
below.colorbar(image, ax=list(panels), label="weight, head 0")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same attention in NumPy and in PyTorch, on what the trained core asks and offers
# in the last step.
heading("7. NumPy against PyTorch")
given = torch.linspace(-1, 1, 15).reshape(5, 3)
ours = kata.attend(asked, offered, given)
theirs = stretch(
    kata.attend_numpy, *(part.double().numpy() for part in (asked, offered, given))
)
if theirs is not None:
    print(f"   NumPy:   {theirs[0].round(5)}")
    print(f"   PyTorch: {ours[0].numpy().round(5)}")
    print(f"   largest difference: {np.abs(theirs - ours.numpy()).max():.1e}")

# The way back through this one attention by hand: three products and the softmax
# between them, against autograd. In the trained core one key has nearly all the weight,
# so next to nothing comes back to the scores. With queries of a hundredth of the length
# several keys have a share, and it does. Last, values that are all alike: which key
# wins does not matter then, so the queries should get 0.
upstream = torch.linspace(0, 1, 3).expand(*asked.shape[:-1], 3).double()
for name, factor, values in (
    ("trained", 1.0, given),
    ("short queries", 0.01, given),
    ("equal values", 0.01, torch.ones(5, 3)),
):
    leaves = [
        part.double().clone().requires_grad_()
        for part in (factor * asked, offered, values)
    ]
    automatic = torch.autograd.grad((kata.attend(*leaves) * upstream).sum(), leaves)
    by_hand = stretch(
        kata.attend_backward_numpy,
        *(leaf.detach().numpy() for leaf in leaves),
        upstream.numpy(),
    )
    if by_hand is None:
        break
    norms = ", ".join(f"{np.linalg.norm(part):.1e}" for part in by_hand)
    gap = max(
        np.abs(part - right.numpy()).max()
        for part, right in zip(by_hand, automatic, strict=True)
    )
    print(
        f"   {name:<14} gradients of query, key and value: {norms}; to autograd "
        f"{gap:.0e}"
    )

# In NumPy, a gradient through four steps of attention, norms and gates would fill
# pages. Autograd gives it for free. One number shows it: an entry of the first step,
# moved by hand, against its gradient.
exact = network.double()
torch.set_default_dtype(torch.float64)  # also of the zeros that the net starts from
inputs = sequence.double().requires_grad_()
(gradient,) = torch.autograd.grad(exact(inputs).square().sum(), inputs)
place = int(gradient[0, 0].abs().argmax())
ends = []
with torch.no_grad():
    for nudge in (1e-6, -2e-6):
        inputs[0, 0, place] += nudge
        ends.append(exact(inputs).square().sum().item())
torch.set_default_dtype(torch.float32)
slope = (ends[0] - ends[1]) / 2e-6
print(
    f"   slope by moving one input of step 0: {slope:.5f}, from autograd: "
    f"{gradient[0, 0, place].item():.5f}"
)

# Batching replaced the loops over sequences, slots and heads; only the loop over steps
# is left, for each needs the memory of the one before.
