"""Kata today/12 in code: a small GPT learns to continue repeated texts, and is read,
cut and patched; a probe asks a model that has learnt nothing; an autoencoder finds the
directions that its inputs are made of.
"""

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
SEED = 1
LETTERS = "ABCDEFGHIJKLMNOP"
HEADS = [(layer, head) for layer in range(2) for head in range(2)]


class Nothing(nn.Module):
    """In the place of an MLP: adds nothing to the stream."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def texts(rows: int, generator: torch.Generator) -> torch.Tensor:
    """Eight words of 16 in random order, then the same round again, from a random
    place on.
    """
    first = torch.rand(rows, 16, generator=generator).argsort(-1)[:, :8]
    start = torch.randint(8, (rows, 1), generator=generator)
    return torch.cat([first, first.gather(1, (start + torch.arange(8)) % 8)], dim=1)


def train(model, batches, first: int, lr: float):
    """Next-word prediction from place `first` on."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for x in batches:
        logits, _ = model(x[:, :-1])
        loss = F.cross_entropy(
            logits[:, first:].flatten(0, 1), x[:, first + 1 :].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def reader(layers: int, steps: int = 350):
    """A GPT of attention alone that learns to continue repeated texts. Large start
    values make it quick.
    """
    generator = torch.Generator().manual_seed(SEED)
    config = kata.GPTConfig(
        block_size=16, vocab_size=16, n_layer=layers, n_head=2, n_embd=48
    )
    model = kata.GPT(config, flash=False)
    for block in model.transformer.h:
        block.mlp = Nothing()
    angles = torch.arange(16).unsqueeze(1) / 100 ** (torch.arange(24) / 24)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        model.transformer.wpe.weight.copy_(
            0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)
        )
    return train(model, (texts(64, generator) for _ in range(steps)), 8, 5e-3)


# 1. Two layers continue a text that repeats. One layer does not.
print("1. Eight words, then the same round again: how often the next word is right")
generator = torch.Generator().manual_seed(1000 + SEED)
held_out = texts(500, generator)
model, shallow = reader(2), reader(1)
for name, one in (("two layers", model), ("one layer", shallow)):
    with torch.no_grad():
        right = (
            (one(held_out[:, :-1])[0][:, 8:].argmax(-1) == held_out[:, 9:])
            .float()
            .mean()
        )
    print(f"   {name}: {right:.2f}")

# 2. Where heads look: a head of layer 0 at the word before, one of layer 1 behind the
#    last time.
print("\n2. Where heads look")
blocks = model.transformer.h
inputs = [f"transformer.h.{layer}.ln_1" for layer in range(2)]
_, cache = kata.run_with_cache(model, held_out, inputs)
weights = [
    kata.heads_of(blocks[layer].attn, cache[inputs[layer]])[1].detach()
    for layer in range(2)
]
before = weights[0].diagonal(offset=-1, dim1=-2, dim2=-1).mean((0, 2))
score = kata.induction_score(weights[1], held_out)
itself = weights[0].diagonal(dim1=-2, dim2=-1).mean((0, 2))
print(f"   layer 0, weight on the word before: {before[0]:.2f} and {before[1]:.2f}")
print(f"   layer 0, weight on the word itself: {itself[0]:.2f} and {itself[1]:.2f}")
print(f"   layer 1, induction score:           {score[0]:.2f} and {score[1]:.2f}")


# 3. Questions: the text ends with a word that occurred before, at j, and the answer
#    came after it.
def questions():
    """Clean texts and their answers; the same with the answer, and with its address,
    exchanged for an absent word.
    """
    x = texts(300, generator)
    where = (x[:, :8] == x[:, 11:12]).int().argmax(1)
    x, where = x[where < 7], where[where < 7].unsqueeze(1)
    absent = (F.one_hot(x, 16).sum(1) == 0).int().argmax(1, keepdim=True)
    clean = x[:, :12]
    return (
        clean,
        x[:, 12],
        clean.scatter(1, where + 1, absent),
        clean.scatter(1, where, absent),
        absent[:, 0],
    )


clean, answer, other_answer, other_address, absent = questions()
rows = torch.arange(len(clean))


def difference(logits: torch.Tensor) -> torch.Tensor:
    """The answer's logit minus that of the absent word, at the last place."""
    return (logits[rows, -1, answer] - logits[rows, -1, absent]).mean()


logits, cache = kata.run_with_cache(model, clean, ["transformer.drop", *inputs])
with torch.no_grad():
    written = [
        kata.head_outputs(blocks[layer].attn, cache[inputs[layer]])[:, :, -1]
        for layer in range(2)
    ]
    biases = sum(block.attn.c_proj.bias for block in blocks).expand(len(clean), -1)
    parts = [
        cache["transformer.drop"][:, -1],
        *written[0].unbind(1),
        *written[1].unbind(1),
        biases,
    ]
    direction = model.lm_head.weight[answer] - model.lm_head.weight[absent]
    norm = model.transformer.ln_f
    shares = kata.logit_shares(parts, norm, direction).mean(1)
    of_bias = (direction @ norm.bias).mean()
print(
    "\n"
    f"3. The answer's logit is {difference(logits):.2f} above that of an absent word. "
    "Shares of it:"
)
for name, share in zip(
    ["embeddings", *(f"head {at}" for at in HEADS), "biases"],
    shares.tolist(),
    strict=True,
):
    print(f"   {name:<12} {share:6.2f}")
print(f"   {'norm.bias':<12} {of_bias:6.2f}, in all {shares.sum() + of_bias:.2f}")

# 4. Patches answer the question that the corruption asks.
print("\n4. What heads restore, in the order", *HEADS)
restored = {
    "address": kata.patch_heads(model, clean, other_address, difference),
    "answer": kata.patch_heads(model, clean, other_answer, difference),
}
for name, found in restored.items():
    print(
        f"   {name} corrupted:", " ".join(f"{value:.2f}" for value in found.flatten())
    )

# 5. What is lost without a head.
print("\n5. Without a head, the difference loses")
for how in ("zero", "mean"):
    lost = stretch(kata.ablate_heads, model, clean, difference, how)
    if lost is not None:
        print(f"   {how}:", " ".join(f"{value:.2f}" for value in lost.flatten()))


# 6. A probe and its control, on a model that has learnt and on one that has not.
def classed_texts(count: int) -> torch.Tensor:
    """Words of four classes: word w is of class w % 4, and class c is followed by class
    c + 1, eight times of ten.
    """
    classes = torch.randint(4, (count, 1), generator=generator)
    for _ in range(15):
        follow = torch.rand(count, 1, generator=generator) < 0.8
        other = torch.randint(4, (count, 1), generator=generator)
        classes = torch.cat(
            [classes, torch.where(follow, (classes[:, -1:] + 1) % 4, other)], dim=1
        )
    return classes + 4 * torch.randint(30, (count, 16), generator=generator)


def ask(model) -> tuple[float, float]:
    """What a probe of the stream after the first block knows of classes, and
    its control.
    """
    x = classed_texts(60)
    _, cache = kata.run_with_cache(model, x, ["transformer.h.0"])
    words = x.flatten()
    inside = torch.rand(len(words), generator=generator) < 0.5
    return kata.probe(
        cache["transformer.h.0"].flatten(0, 1), words % 4, words, inside, generator
    )


print(
    "\n"
    "6. Four classes of words, asked of the stream: accuracy of a probe, and of its "
    "control"
)
torch.manual_seed(SEED)
of_words = kata.GPT(
    kata.GPTConfig(block_size=16, vocab_size=120, n_layer=1, n_head=2, n_embd=32)
).eval()
probed = {"untrained": ask(of_words)}
train(of_words.train(), (classed_texts(64) for _ in range(200)), 0, 5e-3)
probed["trained"] = ask(of_words)
for name, (accuracy, control) in probed.items():
    print(f"   {name:<9} {accuracy:.2f}, control {control:.2f}")


# 7. More directions than dimensions, two at a time.
def sums_of_two(count: int, directions: torch.Tensor) -> torch.Tensor:
    """Each row is the sum of two directions, with sizes from 0.5 to 1.5."""
    chosen = torch.rand(count, len(directions), generator=generator).argsort(-1)[:, :2]
    sizes = 0.5 + torch.rand(count, 2, 1, generator=generator)
    return (sizes * directions[chosen]).sum(1)


print("\n7. Forty directions in 20 dimensions: how many are found (cosine above 0.9)")
torch.manual_seed(SEED)
autoencoder = stretch(kata.TopKAutoencoder, 20, 60, 3)
if autoencoder is not None:
    generator = torch.Generator().manual_seed(SEED)
    directions = F.normalize(torch.randn(40, 20, generator=generator), dim=1)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    for _ in range(700):
        x = sums_of_two(256, directions)
        loss = (autoencoder(x)[0] - x).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        autoencoder.normalise()
    x = sums_of_two(4000, directions)
    with torch.no_grad():
        again, codes = autoencoder(x)
        left = (again - x).square().sum() / (x - x.mean(0)).square().sum()
        cosines = (autoencoder.decoder @ directions.T).amax(0)
    principal = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh
    by_principal = int(((principal @ directions.T).abs().amax(0) > 0.9).sum())
    print(
        f"   autoencoder: {int((cosines > 0.9).sum())}, principal components: "
        f"{by_principal}"
    )
    print(
        f"   {int((codes.amax(0) == 0).sum())} of 60 latents are never used; "
        f"{left:.2f} of the variance is left"
    )


# 8. The figure: where the two heads look, what patches restore, what probes know.
def draw() -> Figure:
    figure = Figure(figsize=(5.4, 11.6))
    maps = figure.subplots(4, 1, height_ratios=[4, 4, 1.7, 1.9])
    at = [int(before.argmax()), int(score.argmax())]
    for layer, axes in enumerate(maps[:2]):
        axes.imshow(weights[layer][0, at[layer]], vmin=0, vmax=1)
        words = [LETTERS[word] for word in held_out[0].tolist()]
        axes.set_xticks(range(16), words)
        axes.set_yticks(range(16), words)
        axes.set(
            title=f"Head ({layer}, {at[layer]}): "
            + ("one word back", "behind the last time")[layer]
        )
        axes.set(xlabel="looks at", ylabel="query")
    maps[2].imshow(
        torch.stack([found.flatten() for found in restored.values()]),
        vmin=0,
        vmax=1,
        aspect="auto",
    )
    for row, found in enumerate(restored.values()):
        for column, value in enumerate(found.flatten().tolist()):
            colour = "white" if value < 0.5 else "black"
            maps[2].text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color=colour,
                fontsize=11,
            )
    maps[2].set_xticks(range(4), [f"({layer}, {head})" for layer, head in HEADS])
    maps[2].set_yticks(range(2), restored)
    maps[2].set(title="Restored by one head, by what was corrupted")
    for place, (accuracy, control) in enumerate(probed.values()):
        maps[3].barh(
            [place - 0.2, place + 0.2],
            [accuracy, control],
            0.36,
            color=[COLOURS[0], COLOURS[3]],
        )
        for y, value, name in (
            (place - 0.2, accuracy, "classes"),
            (place + 0.2, control, "control"),
        ):
            maps[3].text(
                0.02,
                y,
                f"{name} {value:.2f}",
                va="center",
                color="white" if name == "classes" else "black",
            )
    maps[3].axvline(0.25, color=COLOURS[6], linestyle=":", linewidth=1.2)
    maps[3].set_yticks(range(2), probed)
    maps[3].invert_yaxis()
    maps[3].set(title="Probes of a model, dotted: chance", xlim=(0, 1))
    return figure


save_figure(draw(), __file__)
