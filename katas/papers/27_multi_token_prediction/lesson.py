"""Paper 27 in code: a trunk with several heads on a Markov chain, text from drafts, and
what heads do to the first.
"""

import copy
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
# Four tokens 0 1 2 0, and two heads over a vocabulary of three. Uniform logits cost ln
# 3 = 1.0986 per head, 2.1972 in all. Then head 0 is told what comes next: its loss
# should go to 0, and ln 3 should remain. Then head 1 is told the same tokens, the next
# ones. That is the wrong shift for it, and its loss should be about 20.
heading("2. Recap of the NumPy view")
told = np.zeros((1, 4, 2, 3))
sentence = np.array([[0, 1, 2, 0]])
for title, head in (
    ("nobody knows", None),
    ("head 0 knows the next token", 0),
    ("head 1 is told the same", 1),
):
    if head is not None:
        told[0, [0, 1, 2], head, [1, 2, 0]] = 20.0
    total = stretch(kata.multi_token_loss_numpy, told, sentence)
    if total is not None:
        print(f"   {title:<28} {total:.4f}")

# 3. Data
#
# A Markov chain of eight tokens: the next token depends on the last one only, by
# chances that are drawn once. So the best possible loss is known, for any number of
# steps ahead. Three sequences:
heading("3. Data")
VOCABULARY, HEADS, LENGTH = 8, 3, 24
draws = torch.Generator().manual_seed(2)
chain = kata.make_transition_matrix(VOCABULARY, generator=draws)
for row in kata.sample_sequences(chain, 3, 16, draws):
    print("  ", *row.tolist())

# How much does a token tell about what comes one, two and three places later? Count it
# in 5,000 sequences that go through the token 0. The further away, the flatter the
# shares: later heads have the harder task.
many = kata.sample_sequences(chain, 5000, 4, draws)
after_0 = many[many[:, 0] == 0]
for ahead in (1, 2, 3):
    shares = torch.bincount(after_0[:, ahead], minlength=VOCABULARY) / len(after_0)
    print(f"   {ahead} after a 0: {shares.numpy().round(2)}")

# 4. Model
#
# One embedding and one GRU, the trunk, read the tokens. Three heads read the trunk's
# outputs. Below is the code that runs here: your own where the core of the kata works.
heading("4. Model")
model = kata.MultiTokenModel(VOCABULARY, 32, HEADS)
shown_code(kata.MultiTokenModel)
tokens = kata.sample_sequences(chain, 32, LENGTH, draws)
shapes = {
    "tokens": tokens.shape,
    "hidden": model.hidden(tokens).shape,
    "logits": model(tokens).shape,
}
print("  ", " → ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items()))
sizes = {
    name: sum(p.numel() for p in part.parameters())
    for name, part in model.named_children()
}
print("   parameters:", ", ".join(f"{name} {size:,}" for name, size in sizes.items()))

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the losses are log
# probabilities, picked out by index. At the start every head guesses, for about
# ln 8 = 2.08.
heading("5. Training loop")
STEPS = 70
adam = torch.optim.Adam(model.parameters(), lr=1e-2)
history = []
for step in range(STEPS):
    tokens = kata.sample_sequences(chain, 32, LENGTH, draws)
    logp = model(tokens).log_softmax(dim=-1)
    losses = []
    for ahead in range(1, HEADS + 1):
        places = torch.arange(LENGTH - ahead)
        rows = torch.arange(32)[:, None]
        losses.append(-logp[rows, places, ahead - 1, tokens[:, ahead:]].mean())
    adam.zero_grad()
    sum(losses).backward()
    history.append([loss.item() for loss in losses])
    if step == 0:
        for name, p in model.named_parameters():
            print(
                f"   gradient of {name:<19} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.4f}"
            )
        before = model.heads[0].weight[0, 0].item()
    adam.step()
    if step == 0:
        print(
            f"   heads.0.weight[0, 0] before and after the first step: {before:.5f} → "
            f"{model.heads[0].weight[0, 0]:.5f}"
        )

# All three losses fall, each to a level of its own. The trunk gets gradients from all
# heads at once.
for step in (0, 5, 10, 20, 50, STEPS - 1):
    print(
        f"   step {step:>3}: losses "
        f"{', '.join(f'{loss:.3f}' for loss in history[step])}"
    )

# 6. Evaluation and figure
#
# On fresh tokens each head should come near the loss that one would have who knows the
# chain. Head 0 should have the lowest loss, head 2 the highest. The gap that remains is
# what the model has not learned.
heading("6. Evaluation and figure")
fresh = kata.sample_sequences(chain, 200, LENGTH, draws)
with torch.no_grad():
    measured = kata.multi_token_loss(model(fresh), fresh)[1].tolist()
best = stretch(kata.bayes_losses, chain, fresh, HEADS)
for k, loss in enumerate(measured):
    known = (
        ""
        if best is None
        else f", best possible {best[k].item():.3f}, gap {loss - best[k].item():.3f}"
    )
    print(f"   head {k}: loss {loss:.3f}{known}")

# Now the drafts. In a cycle of six tokens that is followed with a chance of 0.98, the
# later heads can know what comes. If every draft is right, a call gives n tokens, but
# for the first call, which has no draft and gives one: 40 tokens should take 1 + 39 / n
# calls, rounded up. The text must be the greedy one in any case.
cycle = torch.full((6, 6), 0.02 / 5)
for token in range(6):
    cycle[token, (token + 1) % 6] = 0.98
prompt = torch.tensor([[1, 2, 3]])
calls = {}
for num_heads in (1, 2, 4, 6):
    torch.manual_seed(0)
    drafter = kata.MultiTokenModel(6, 32, num_heads)
    kata.train_multi_token(
        drafter,
        cycle,
        steps=30,
        batch_size=8,
        generator=torch.Generator().manual_seed(0),
    )
    text, calls[num_heads] = kata.speculative_generate(drafter, prompt, 40)
    same = torch.equal(text, kata.greedy_generate(drafter, prompt, 40)[0])
    predicted = 1 + math.ceil(39 / num_heads)
    print(
        f"   heads: {num_heads}, calls for 40 tokens: {calls[num_heads]}, predicted "
        f"{predicted}, greedy text: {same}"
    )

# And where drafts are often wrong? An untrained model drafts at random. The text is
# still the greedy one, but hardly a call is saved. The model of step 5 has learned its
# noisy chain. With eight prompts and 12 tokens each, at least 5 calls per prompt are
# needed, 40 in all.
torch.manual_seed(0)
for title, writer in (
    ("untrained", kata.MultiTokenModel(VOCABULARY, 32, HEADS)),
    ("trained on the noisy chain", model),
):
    total = 0
    for start in range(VOCABULARY):
        text, count = kata.speculative_generate(writer, torch.tensor([[start]]), 12)
        total += count
        greedy = kata.greedy_generate(writer, torch.tensor([[start]]), 12)[0]
        assert torch.equal(text, greedy), "drafts must not change the text"
    print(f"   {title}: {total} calls for {12 * VOCABULARY} tokens")

# Does predicting more tokens help to predict the next one? The same chain, the same
# batches, the same trunk and first head at the start. Only the number of heads differs.
curves = stretch(kata.compare_heads, chain, (1, 2, 4), steps=50)
for num_heads, curve in (curves or {}).items():
    early, late = sum(curve[10:20]) / 10, sum(curve[40:]) / 10
    print(
        f"   heads: {num_heads}, first head's loss {early:.3f} in steps 10 to 19, "
        f"{late:.3f} in steps 40 to 49"
    )

# The figure: losses per head with the best possible ones, calls by the number of heads,
# and the first head's loss for 1, 2 and 4 heads.
figure = Figure(figsize=(6.6, 8.3))
bars, lines, race = figure.subplots(3)
bars.bar(range(HEADS), measured, color=COLOURS[0], width=0.6)
if best is not None:
    bars.hlines(
        best, np.arange(HEADS) - 0.38, np.arange(HEADS) + 0.38, color=COLOURS[1]
    )
    bars.text(-0.4, best[0].item() + 0.05, "best possible", color=COLOURS[1])
bars.set_xticks(range(HEADS))
bars.set(
    xlabel="head", ylabel="loss on fresh tokens", title="later heads: a harder task"
)
counts = np.arange(1, 7)
lines.plot(counts, 1 + np.ceil(39 / counts), ":", color=COLOURS[6], linewidth=1.5)
lines.text(2.3, 24, "every draft right")
lines.plot(list(calls), list(calls.values()), "o", color=COLOURS[2])
lines.set(
    xlabel="number of heads",
    ylabel="calls for 40 tokens",
    ylim=(0, 42),
    title="drafts save calls",
)
for (num_heads, curve), colour in zip((curves or {}).items(), COLOURS, strict=False):
    smooth = np.convolve(curve, np.ones(5) / 5, mode="valid")
    race.plot(
        np.arange(5, len(curve) + 1),
        smooth,
        color=colour,
        label=f"{num_heads} head{'s' * (num_heads > 1)}",
    )
if curves:
    race.legend()
race.set(
    xlabel="step",
    ylabel="first head's loss, mean of 5",
    title="here more heads do not help",
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same loss, in float32 with PyTorch and in float64 with NumPy.
heading("7. NumPy against PyTorch")
logits = model(fresh)
total, _ = kata.multi_token_loss(logits, fresh)
by_numpy = stretch(
    kata.multi_token_loss_numpy, logits.detach().double().numpy(), fresh.numpy()
)
if by_numpy is not None:
    print(
        f"   NumPy {by_numpy:.6f}, PyTorch {total.item():.6f}, difference "
        f"{abs(by_numpy - total.item()):.1e}"
    )

# Gradients are for free in PyTorch, but not their memory: all logits are kept until
# `backward`. One head at a time needs a third of them, and should come to the
# same gradients.
model.zero_grad()
one_by_one = copy.deepcopy(model)
total.backward()
if stretch(kata.backward_head_by_head, one_by_one, fresh) is not None:
    pairs = zip(model.parameters(), one_by_one.parameters(), strict=True)
    largest = max((one.grad - other.grad).abs().max().item() for one, other in pairs)
    print(
        f"   logits kept: {logits.numel():,} at once, {logits.numel() // HEADS:,} "
        "head by head"
    )
    print(f"   largest difference of any gradient: {largest:.1e}")

# One weight of the embedding, moved by hand in float64, against its gradient. All heads
# add to it through the trunk.
exact = copy.deepcopy(model).double()
loss = kata.multi_token_loss(exact(fresh), fresh)[0]
(gradient,) = torch.autograd.grad(loss, exact.embedding.weight)
row, column = divmod(int(gradient.abs().argmax()), gradient.size(1))
ends = []
with torch.no_grad():
    for nudge in (1e-5, -2e-5):
        exact.embedding.weight[row, column] += nudge
        ends.append(kata.multi_token_loss(exact(fresh), fresh)[0].item())
slope = (ends[0] - ends[1]) / 2e-5
print(
    f"   slope by moving one weight of the embedding: {slope:.6f}, from autograd: "
    f"{gradient[row, column].item():.6f}"
)

# Batching replaced the loops over rows and places, `nn.ModuleList` the list of weights
# per head, and autograd the sum of all heads' gradients in the trunk.
