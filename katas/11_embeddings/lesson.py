"""Kata 11 in code: from texts to ids, mask and vectors, packing, what one-hot vectors
cost, and a table that learns.
"""

import re

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


# 1. The pipeline: words → ids → one padded batch with a mask → vectors. The vocabulary
#    has never seen "bird".
vocabulary = kata.Vocabulary(
    ["the dog bites the man", "the cat sleeps", "the man sleeps"]
)
texts = ["The cat sleeps", "the dog bites the man", "the bird"]
table = kata.Embedding(len(vocabulary), 4, padding_idx=vocabulary.pad_id)
batch = kata.embed_texts(texts, vocabulary, table)
print("1. From texts to vectors")
print(
    "   tokens:", ", ".join(f"{i} {token}" for i, token in enumerate(vocabulary.tokens))
)
print(f"   {'text':<24} {'ids':<20} {'mask, 1 = real':<18} decoded")
for text, ids, mask in zip(texts, batch["ids"], batch["mask"], strict=True):
    print(
        f"   {text:<24} {ids.tolist()!s:<20} {mask.int().tolist()!s:<18} "
        f"{vocabulary.decode(ids)}"
    )
for name, tensor in batch.items():
    print(f"   {name:<8} {tuple(tensor.shape)!s:<10} {tensor.dtype}")
print("   the vectors of the last text, whose padding is zero:")
for vector in batch["vectors"][2].tolist():
    print("     ", " ".join(f"{number:6.2f}" for number in vector))

# 2. A lookup is a one-hot matrix times the table, without the multiplications by zero.
#    The gradient shows it, too: "the" occurs four times in the batch and gets the sum
#    of four gradients, <pad> occurs five times and gets none.
print("\n2. A lookup is a matrix product")
product = stretch(kata.one_hot_lookup, batch["ids"], table.weight)
if product is not None:
    print(
        "   one-hot times table gives the same:",
        torch.allclose(product, batch["vectors"]),
    )
batch["vectors"].sum().backward()
for token in ("<pad>", "the", "cat"):
    row = vocabulary.ids[token]
    count, gradient = (batch["ids"] == row).sum(), table.weight.grad[row].tolist()
    print(f"   {token:<5} occurs {count} times   its row of the gradient: {gradient}")

# 3. Packing: the same batch without its padding, one time step after the other, the
#    longest text first.
print("\n3. Padded and packed")
lengths = batch["mask"].sum(dim=1)
print(
    f"   padded: {batch['ids'].numel()} entries for {lengths.sum()} tokens; lengths "
    f"{lengths.tolist()}"
)
theirs = pack_padded_sequence(
    batch["ids"], lengths, batch_first=True, enforce_sorted=False
)
restored, their_lengths = pad_packed_sequence(theirs, batch_first=True)
print("   padded, row by row:")
print("     ", batch["ids"].tolist())
print("   PyTorch's data, batch_sizes, sorted_indices:")
print(
    "     ",
    theirs.data.tolist(),
    theirs.batch_sizes.tolist(),
    theirs.sorted_indices.tolist(),
)
print(
    "   and unpacked the same batch:",
    torch.equal(restored, batch["ids"]) and torch.equal(their_lengths, lengths),
)
ours = stretch(kata.PackedBatch.pack, batch["ids"], lengths)
if ours is not None:
    print("   PackedBatch:")
    print(
        "     ",
        ours.data.tolist(),
        ours.batch_sizes.tolist(),
        ours.sorted_indices.tolist(),
    )
    print(
        "   and unpacked the same batch:", torch.equal(ours.unpack()[0], batch["ids"])
    )
gru = nn.GRU(4, 3, batch_first=True)
with torch.no_grad():
    vectors = table(batch["ids"])
    states, last_padded = gru(vectors)
    _, last_packed = gru(
        pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    )
print("   A GRU's last state, and how far it is from the state at the last real token:")
for b, text in enumerate(texts):
    right = states[b, lengths[b] - 1]
    gaps = [
        (last[0, b] - right).abs().max().item() for last in (last_packed, last_padded)
    ]
    print(f"     {text:<24} packed {gaps[0]:.2f}   padded {gaps[1]:.2f}")

# 4. What one-hot vectors would cost: 10,000 words in, vectors of 128 features
#    out, float32.
print("\n4. Memory for 10,000 words and 128 features")
print(
    f"   {'V':>7} {'one-hot input':>15} {'ids':>9} {'table':>9} {'output':>9} "
    f"{'ratio of the inputs':>20}"
)
for size in (1_000, 50_000):
    cost = kata.memory_comparison(size, 128, 10_000)
    names = ("one_hot_bytes", "id_bytes", "table_bytes", "output_bytes")
    one_hot, ids, rows, output = (f"{cost[name] / 1e6:,.2f} MB" for name in names)
    print(
        f"   {size:>7,} {one_hot:>15} {ids:>9} {rows:>9} {output:>9} "
        f"{cost['input_ratio']:>20,.0f}"
    )

# 5. A mean forgets the order.
print("\n5. Two sentences, one mean")
means = kata.embed_texts(["dog bites man", "man bites dog"], vocabulary, table)[
    "mean"
].detach()
for text, mean in zip(("dog bites man", "man bites dog"), means, strict=True):
    print(f"   {text}:", " ".join(f"{number:6.3f}" for number in mean.tolist()))

# 6. A table that learns: from its row alone, every word has to guess the words before
#    and after it. Words with the same neighbours need the same guess, so their rows
#    move together. The targets are the counts of all neighbours in the text; their
#    square root keeps "the" from outweighing everything.
text = re.sub("[^a-z]+", " ", prose().lower())
words = kata.Vocabulary([text], max_size=500)
ids, size = words.encode(text), len(words)


def pair_counts(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(V, V) float32: how often each word of `first` occurs with each word
    of `second`.
    """
    return (
        torch.bincount(first * size + second, minlength=size * size)
        .reshape(size, size)
        .float()
    )


neighbours = torch.stack(
    [pair_counts(ids[1:], ids[:-1]), pair_counts(ids[:-1], ids[1:])], dim=1
).sqrt()
neighbours[..., : len(["<pad>", "<unk>"])] = 0.0
learned = kata.Embedding(size, 24)
guess = nn.Linear(24, 2 * size)
optimizer = torch.optim.Adam(
    [*learned.parameters(), *guess.parameters()], lr=0.03, weight_decay=3e-4
)
print(f"\n6. A table of {size} words learns from {len(ids):,} words of English")
for step in range(151):
    logits = guess(learned(torch.arange(size))).unflatten(1, (2, size))
    loss = -(neighbours * logits.log_softmax(dim=-1)).sum() / neighbours.sum()
    if step % 50 == 0:
        print(f"   step {step:3}: loss {loss.item():.2f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
directions = nn.functional.normalize(learned.weight.detach(), dim=1)
print("   nearest rows, by angle:")
for word in ("the", "is", "in", "can", "function"):
    nearest = (directions @ directions[words.ids[word]]).topk(5).indices[1:]
    print(f"     {word:<9} {words.decode(nearest)}")

# 7. The figure: the rows of the 40 most frequent words, projected onto the plane in
#    which they spread most.
NOUNS = set(
    "object class value function method name statement exception list type expression "
    "module string instance "
    "attribute sequence objects code pattern arguments self".split()
)
shown = [word for word in words.tokens[2:] if len(word) > 1][:40]
rows = learned(torch.tensor([words.ids[word] for word in shown])).detach()
points = stretch(kata.project_2d, rows)
if points is None:
    points = (rows - rows.mean(dim=0)) @ torch.pca_lowrank(rows)[2][:, :2]
# "object" right, "the" on top
points = points * points[[shown.index("object"), shown.index("the")], [0, 1]].sign()

figure = Figure(figsize=(6.6, 5.1))
axes = figure.subplots()
for colour, marker, name, wanted in (
    (COLOURS[1], "o", "nouns", True),
    (COLOURS[0], "s", "other words", False),
):
    chosen = points[[(word in NOUNS) == wanted for word in shown]]
    axes.scatter(
        chosen[:, 0], chosen[:, 1], s=18, color=colour, marker=marker, label=name
    )
axes.set_xlabel("first principal axis")
axes.set_ylabel("second principal axis")
axes.set_title(
    "Rows of a learned table: words with the same neighbours are close together"
)
axes.legend(loc="lower right")
axes.margins(0.07)

NEAR = [(5, -3, "left"), (-5, -3, "right"), (0, 5, "center"), (0, -11, "center")]
FAR = [
    (x, y, side)
    for y in (8, -14, 15, -21, 22, -28)
    for x, side in ((4, "left"), (-4, "right"))
]
figure.draw_without_rendering()  # fixes the layout, so that labels can be measured
taken = [axes.transData.transform(point) for point in points.tolist()]
taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in taken]
for word, point in zip(shown, points.tolist(), strict=True):
    for place in NEAR + FAR:  # the first place where the label covers nothing
        x, y, side = place
        label = axes.annotate(word, point, (x, y), textcoords="offset points", ha=side)
        box = label.get_window_extent()
        free = not any(
            box.x0 - 3 < x1 and x0 < box.x1 + 3 and box.y0 < y1 and y0 < box.y1
            for x0, y0, x1, y1 in taken
        )
        if free or place == FAR[-1]:
            break
        label.remove()
    taken.append((box.x0, box.y0, box.x1, box.y1))
    if place in FAR:  # a thin line shows whose label it is
        line = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            "",
            point,
            (x, y + (0 if y > 0 else 8)),
            textcoords="offset points",
            arrowprops=line,
        )
save_figure(figure, __file__)
