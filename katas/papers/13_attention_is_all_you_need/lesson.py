"""Paper 13 in code: a Transformer of 2017, trained by the paper's recipe to write
sequences backwards.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Attention is a soft look-up: a query is compared with every key, and the values are
# averaged by how well their keys fit. Here three keys stand for red, green and blue,
# and the query is nearly the green one. What should come out? Mostly the value of
# green, 20. With the mask, green is hidden: the other two share the weight.
heading("2. Recap of the NumPy view")
keys = np.eye(3) * 4
values = np.array([[10.0], [20.0], [30.0]])
query = np.array([[0.2, 2.0, 0.1]])
for title, mask in (
    ("all keys", None),
    ("green hidden", np.array([True, False, True])),
):
    looked_up = stretch(kata.attention_numpy, query, keys, values, mask)
    if looked_up is not None:
        print(
            f"{title}: weights {looked_up[1][0].round(3)}, output "
            f"{looked_up[0][0].round(1)}"
        )

# 3. Data
#
# A source is three to six random symbols, 3 to 9, padded with 0. The target is the
# source backwards. The decoder reads it from BOS = 1 on, and is scored on the same
# symbols without BOS and with EOS = 2 at the end.
heading("3. Data")
VOCABULARY, STEPS = 10, 400
draws = torch.Generator().manual_seed(0)
for row in zip(*kata.reverse_batch(3, 3, 6, VOCABULARY, draws), strict=True):
    source, read, scored = (part.tolist() for part in row)
    print(f"source {source}   decoder reads {read}   scored on {scored}")

# 4. Model
#
# One encoder layer and one decoder layer with 32 features and four heads. Below is the
# code that runs here: your own where the core of the kata works.
heading("4. Model")
model = kata.Transformer(VOCABULARY)
shown_code(kata.DecoderLayer.forward)
src, tgt_in, tgt_out = kata.reverse_batch(64, 3, 6, VOCABULARY, draws)
memory, src_mask = model.encode(src)
logits = model.decode(tgt_in, memory, src_mask)
print(
    f"source {tuple(src.shape)} → memory {tuple(memory.shape)}, mask "
    f"{tuple(src_mask.shape)}"
)
print(f"target {tuple(tgt_in.shape)} → logits {tuple(logits.shape)}")
print(
    f"{sum(p.numel() for p in model.parameters()):,} parameters, "
    f"{model.embed.weight.numel()} of them in the embedding"
)

# Two predictions about masks. Another last symbol in the target should change the last
# logits only. More padding after the source should change nothing.
with torch.no_grad():
    other = torch.cat([tgt_in[:, :-1], torch.full((64, 1), 5)], dim=1)
    moved = (model.decode(other, memory, src_mask) - logits).abs().amax(dim=(0, 2))
    padded = (model(F.pad(src, (0, 4)), tgt_in) - logits).abs().max().item()
print(
    "another last symbol moves the logits of places 0 to 6 by", moved.numpy().round(3)
)
print(f"four more places of padding move them by {padded:.0e}")

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as a product with the
# smoothed targets written out, and the rate from a list, set by PyTorch's own
# scheduler. The targets are not certain, so the loss cannot reach 0. Its floor is the
# entropy of one target: 0.91 for the right symbol, 0.01 for each of the nine others.
heading("5. Training loop")
EPS, WARMUP = 0.1, 60
floor = -(0.91 * math.log(0.91) + 9 * 0.01 * math.log(0.01))
print(f"floor of the loss: {floor:.3f}")
rates = [0.5 * kata.noam_lr(step, 32, WARMUP) for step in range(1, STEPS + 2)]
adam = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
warm_up = torch.optim.lr_scheduler.LambdaLR(adam, rates.__getitem__)
losses, written = [], {}
unseen = torch.tensor([[3, 4, 5, 6, 7, 8]])
for step in range(STEPS):
    if step in (0, 50, 100, 150, 200):
        written[step] = kata.greedy_decode(model, unseen, 7)[0].tolist()
        model.train()
    src, tgt_in, tgt_out = kata.reverse_batch(64, 3, 6, VOCABULARY, draws)
    scored = tgt_out != kata.PAD
    # one row per symbol that counts
    logp = model(src, tgt_in)[scored].log_softmax(dim=1)
    wanted = torch.full_like(logp, EPS / VOCABULARY)
    wanted[range(len(wanted)), tgt_out[scored]] += 1 - EPS
    loss = -(wanted * logp).sum(dim=1).mean()
    adam.zero_grad()
    loss.backward()
    if step == 0:
        for name, p in model.named_parameters():
            print(
                f"gradient of {name:<31} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.4f}"
            )
        before = model.embed.weight[3, 0].item()
    adam.step()
    warm_up.step()
    losses.append(loss.item())
    if step == 0:
        print(
            f"embed.weight[3, 0] before and after the first step: {before:.5f} → "
            f"{model.embed.weight[3, 0].item():.5f}"
        )

# The bias of W_k has no gradient but rounding: it adds the same number to all scores of
# a query, and a softmax does not notice. The first step is small, 0.00019, because the
# rate has only begun to rise.
for step in (0, 50, 100, 150, 200, 300, 399):
    print(f"step {step:>3}: rate {rates[step]:.5f}, loss {losses[step]:.3f}")
written[STEPS] = kata.greedy_decode(model, unseen, 7)[0].tolist()

# 6. Evaluation and figure
#
# Greedy decoding of one source on the way, then of sources that are drawn anew. Nearly
# all of them should be right. The fresh model writes BOS again and again: with a shared
# embedding, a symbol's own logit is the highest before training.
heading("6. Evaluation and figure")
for step, symbols in written.items():
    print(f"after {step:>3} steps: {unseen[0].tolist()} → {symbols}")


def shown(row):
    return " ".join(str(symbol) for symbol in row.tolist() if symbol > kata.EOS)


fresh = torch.Generator().manual_seed(1)
src, _, right = kata.reverse_batch(200, 3, 6, VOCABULARY, fresh)
decoded = kata.greedy_decode(model, src, 7)
for row in range(5):
    print(f"source {shown(src[row]):<11}  decoded {shown(decoded[row])}")
print(f"right as a whole: {int((decoded == right).all(dim=1).sum())} of 200")
print(
    f"the last 20 losses have a mean of {sum(losses[-20:]) / 20:.4f}; the floor is "
    f"{floor:.4f}"
)

# Training saw three to six symbols. Does the model reverse longer ones? No: it has
# learned places, not the rule.
for length in (6, 7, 8):
    src, _, right = kata.reverse_batch(200, length, length, VOCABULARY, fresh)
    same = (kata.greedy_decode(model, src, length + 1) == right).all(dim=1)
    print(f"length {length}: {int(same.sum())} of 200 right")

# Where does the decoder look while it writes? Row t holds the weights with which it
# chooses the symbol at place t. They should run along the other diagonal: the last
# symbol of the source is written first.
with torch.no_grad():
    model(unseen, torch.tensor([[kata.BOS, 8, 7, 6, 5, 4, 3]]))
looks = model.decoder[0].cross_attn.weights[0].mean(dim=0)  # the mean over four heads
for place, row in enumerate(looks):
    print(
        f"place {place} looks at source place {int(row.argmax())} with a weight of "
        f"{row.max().item():.2f}"
    )

# The figure: the schedule, the loss above its floor, and where the decoder looks.
figure = Figure(figsize=(6.6, 8.3))
first, second, third = figure.subplots(3)
first.plot(range(1, STEPS + 1), rates[:STEPS], color=COLOURS[0])
first.axvline(WARMUP, color=COLOURS[6], linestyle="--", linewidth=1)
first.annotate("warm-up ends", (WARMUP, 0), (6, 6), textcoords="offset points")
first.set(
    xlabel="step",
    ylabel="learning rate",
    title="Up in a line, down as 1/√step",
    ylim=(0, None),
)
second.plot(losses, color=COLOURS[1])
second.axhline(floor, color=COLOURS[6], linestyle="--", linewidth=1)
second.annotate(
    "floor 0.500",
    (STEPS, floor),
    (0, -5),
    textcoords="offset points",
    ha="right",
    va="top",
)
second.set(
    xlabel="step",
    ylabel="loss, nats per symbol",
    title="The loss falls to its floor",
    ylim=(0, None),
)
picture = third.imshow(looks.numpy(), vmin=0, vmax=1, aspect="auto")
third.set_xticks(range(6), [str(symbol) for symbol in unseen[0].tolist()])
third.set_yticks(range(7), ["8", "7", "6", "5", "4", "3", "EOS"])
third.set(
    xlabel="symbol of the source",
    ylabel="symbol to be written",
    title="Looking back, from the end on",
)
figure.colorbar(picture, ax=third, shrink=0.8, ticks=[0, 0.5, 1], label="weight")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained cross-attention once more. Its queries, keys and values are kept on the
# way, cut into heads and given to the NumPy function as float64 arrays.
heading("7. NumPy against PyTorch")
attention, kept = model.decoder[0].cross_attn, {}
hooks = [
    getattr(attention, name).register_forward_hook(
        lambda layer, given, made, name=name: kept.update({name: made})
    )
    for name in ("W_q", "W_k", "W_v")
]
src, tgt_in, _ = kata.reverse_batch(4, 3, 6, VOCABULARY, fresh)
with torch.no_grad():
    model(src, tgt_in)
for hook in hooks:
    hook.remove()
heads = [
    kept[name].reshape(4, -1, 4, 8).movedim(2, 1) for name in ("W_q", "W_k", "W_v")
]
arrays = [x.double().numpy() for x in heads]
mask = (src != kata.PAD)[:, None, None, :]
both = stretch(kata.attention_numpy, *arrays, mask.numpy())
if both is not None:
    print("weights of one query, NumPy:  ", both[1][0, 0, 0].round(4))
    print("weights of one query, PyTorch:", attention.weights[0, 0, 0].numpy().round(4))
    print(
        "largest difference of all weights: "
        f"{np.abs(both[1] - attention.weights.numpy()).max():.1e}"
    )
    output = F.scaled_dot_product_attention(*heads, attn_mask=mask).numpy()
    print(
        "largest difference of all outputs, with F.scaled_dot_product_attention: "
        f"{np.abs(both[0] - output).max():.1e}"
    )

# Autograd gives what the NumPy function does not: how the output depends on a query.
# The check is a difference quotient.
query, key, value = (torch.tensor(x, requires_grad=True) for x in arrays)
F.scaled_dot_product_attention(query, key, value, attn_mask=mask)[0, 0, 0, 0].backward()
step = np.zeros_like(arrays[0])
step[0, 0, 0, 0] = 1e-5
above = stretch(kata.attention_numpy, arrays[0] + step, *arrays[1:], mask.numpy())
below = stretch(kata.attention_numpy, arrays[0] - step, *arrays[1:], mask.numpy())
if above is not None and below is not None:
    quotient = (above[0] - below[0])[0, 0, 0, 0] / 2e-5
    print(
        f"gradient of one query: autograd {query.grad[0, 0, 0, 0].item():.8f}, "
        f"difference quotient {quotient:.8f}"
    )
print(
    "PyTorch replaced the backward pass (autograd) and the bookkeeping of 43 "
    "parameters (nn.Module)."
)
