"""Kata 17 in code: a block piece by piece, a stack of them, a classifier, and what the
place of the norm does.
"""

import math

import torch
from matplotlib.figure import Figure
from torch import nn

from grader.lesson import COLOURS, code, save_figure

kata = code(__file__)
torch.set_printoptions(precision=3, sci_mode=False)
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. Attention alone. Every attention weight is positive and each row sums to 1, so a
#    layer only averages. Stacked without anything around it, it averages until all
#    positions hold the same vector. A residual keeps what was there.
B, T, C, H = 2, 5, 12, 3
x = torch.randn(B, T, C)


def difference_between_positions(x: torch.Tensor) -> float:
    """Measure how far the positions of a sequence are from their mean, as a share of
    their size.
    """
    return ((x - x.mean(dim=1, keepdim=True)).norm() / x.norm()).item()


print("1. How much the positions differ, as a share of their size")
alone, kept = x, x
print("   layers   attention alone   with a residual")
with torch.no_grad():
    for layer in range(1, 7):
        attention = kata.MultiHeadAttention(C, H)
        alone, kept = attention(alone), kept + attention(kept)
        if layer % 2 == 0:
            shares = (
                difference_between_positions(alone),
                difference_between_positions(kept),
            )
            print(f"   {layer:<8} {shares[0]:>15.5f} {shares[1]:>17.5f}")

# 2. The two placements on one vector of three features, with a sublayer that returns
#    (1, 1, 1). Post-norm normalises the sum, the vector's own share included. Pre-norm
#    leaves the vector as it is and adds. Layer norm subtracts the mean, so nothing is
#    left of a change that is the same in every feature.
norm = nn.LayerNorm(3, elementwise_affine=False)
vector, change = torch.tensor([2.0, 0.0, -2.0]), torch.ones(3)
print("\n2. x = [2, 0, -2], and the sublayer returns [1, 1, 1]")
print("   the sum x + sublayer(…)                ", (vector + change).tolist())
print(
    "   post-norm, norm(x + sublayer(x))       ",
    [round(value, 2) for value in norm(vector + change).tolist()],
)
print("   pre-norm, x + sublayer(norm(x))        ", (vector + change).tolist())
print(
    "   norm(x), without a sublayer            ",
    [round(value, 2) for value in norm(vector).tolist()],
)

# 3. A pre-norm block by hand: the shape is (B, T, C) after every step, except in the
#    hidden layer of the feed-forward net.
block = kata.TransformerEncoderBlock(C, H, dropout=0.0, norm_first=True)
print("\n3. A pre-norm block, step by step (B=2, T=5, C=12, H=3)")
normed = block.norm1(x)
attended = block.attention(normed)
middle = x + attended
fed = block.ff(block.norm2(middle))
steps = {
    "x": x,
    "norm1(x)": normed,
    "attention(norm1(x))": attended,
    "first sum": middle,
}
steps |= {
    "norm2(first sum)": block.norm2(middle),
    "fc1, widened": block.ff.fc1(block.norm2(middle)),
}
steps |= {"fc2, narrowed": fed, "second sum": middle + fed}
for name, value in steps.items():
    print(f"   {name:<22} {tuple(value.shape)}")
print("   equal to block(x):", torch.allclose(block(x), middle + fed, atol=1e-6))

# 4. Where the parameters are: four C×C matrices in the attention, two of C×4C in the
#    feed-forward net.
block = kata.TransformerEncoderBlock(64, 4)
print("\n4. Parameters of a block with C = 64")
for name in ("attention", "ff", "norm1", "norm2"):
    part = block.get_submodule(name)
    matrices = sum(p.numel() for p in part.parameters() if p.ndim == 2)
    total = sum(p.numel() for p in part.parameters())
    print(
        f"   {name:<10} {total:>6}   matrices {matrices:>6} = {matrices / 64**2:.0f}·C²"
    )

# 5. The same weights in PyTorch's own layer. Its boolean mask means the
#    opposite: True = blocked.
causal = torch.ones(T, T, dtype=torch.bool).tril()
print("\n5. Largest difference from nn.TransformerEncoderLayer, causal mask")
for norm_first in (False, True):
    block = kata.TransformerEncoderBlock(C, H, 20, dropout=0.0, norm_first=norm_first)
    twin = nn.TransformerEncoderLayer(
        C, H, 20, dropout=0.0, norm_first=norm_first, batch_first=True
    )
    attention, projections = (
        block.attention,
        (block.attention.W_q, block.attention.W_k, block.attention.W_v),
    )
    with torch.no_grad():
        twin.self_attn.in_proj_weight.copy_(
            torch.cat([layer.weight for layer in projections])
        )
        twin.self_attn.in_proj_bias.copy_(
            torch.cat([layer.bias for layer in projections])
        )
        pairs = (
            (twin.self_attn.out_proj, attention.W_o),
            (twin.linear1, block.ff.fc1),
            (twin.linear2, block.ff.fc2),
        )
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
        gap = (block(x, mask=causal) - twin(x, src_mask=~causal)).abs().max().item()
    print(f"   {'pre' if norm_first else 'post'}-norm: {gap:.1e}")

# 6. A mask has to reach every block. Position 3 changes; under a causal mask only
#    positions 3 and 4 may change.
encoder = kata.TransformerEncoder(3, C, H, dropout=0.0, norm_first=True)
moved = x.clone()
moved[:, 3] = torch.randn(B, C)
print(
    "\n"
    "6. Change of each position's output after a change of position 3, through three "
    "blocks"
)
with torch.no_grad():
    for name, mask in (("causal", causal), ("no mask", None)):
        change = (
            (encoder(moved, mask=mask) - encoder(x, mask=mask)).abs().amax(dim=(0, 2))
        )
        print(f"   {name:<8}", change)

# 7. The bug everyone writes once: the mean over all T positions, padding included. One
#    sequence of three tokens, with more and more padding behind it. The logits should
#    not change.
model = kata.SequenceClassifier(12, 2).eval()
ids = torch.tensor([[5, 2, 7]])
print("\n7. Logits of one sequence of three tokens, padded")
print("   padding   mean over real tokens   mean over all positions")
with torch.no_grad():
    for padding in (0, 3, 9):
        padded = nn.functional.pad(ids, (0, padding), value=kata.PAD)
        real = padded != kata.PAD
        wrong = model.head(
            model.encoder(model.embedding(padded), key_padding_mask=real).mean(dim=1)
        )
        right = "  ".join(f"{value:7.4f}" for value in model(padded, real)[0].tolist())
        print(
            f"   {padding:<9} {right:<23} "
            + "  ".join(f"{value:7.4f}" for value in wrong[0].tolist())
        )


# 8. The marker task: does exactly one of two marks occur in the sequence? There are
#    four cases: mark A alone, B alone, both, none. A score that is a sum over single
#    tokens is right in three of them at most, and cross-entropy trains it to guess. To
#    get all four right, a model must see the marks together.
class SumOfTokens(nn.Module):
    """A classifier without blocks: every token has two scores of its own, and they
    are added.
    """

    def __init__(self):
        super().__init__()
        self.scores = nn.Embedding(16, 2)
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, ids, key_padding_mask):
        return (self.scores(ids) * key_padding_mask.unsqueeze(-1)).sum(
            dim=1
        ) + self.bias


generator = torch.Generator().manual_seed(0)
ids, real, labels = kata.make_marker_task(1200, 10, 16, generator)
print(
    "\n"
    "8. The marker task, 100 steps: accuracy on 200 held-out sequences and on the "
    "training set"
)
print("   blocks   first loss   last loss   held out   training set")
for num_layers in (0, 1, 2, 3):
    torch.manual_seed(0)
    model = (
        kata.SequenceClassifier(16, 2, num_layers=num_layers)
        if num_layers
        else SumOfTokens()
    )
    lr = 3e-3 if num_layers else 0.1
    settings = {"batch_size": 32, "lr": lr, "generator": generator}
    found = kata.train_classifier(
        model, ids[200:], labels[200:], real[200:], **settings
    )
    held_out = kata.train_classifier(
        model, ids[:200], labels[:200], real[:200], steps=0
    )["accuracy"]
    losses = f"{found['losses'][0]:>10.2f} {found['losses'][-1]:>11.4f}"
    print(f"   {num_layers:<8} {losses} {held_out:>10.2f} {found['accuracy']:>14.2f}")

# 9. Sixteen blocks, post-norm and pre-norm, at the start of training: the size of the
#    values, and the size of the gradient at every state, for five seeds. After the last
#    block, post-norm's gradient is larger with every seed, because pre-norm's final
#    norm divides it by the size of the values. At the input it is a matter of the seed.
#    (compare_norm_placement is a stretch exercise.)
x = torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(0))
try:
    runs = [kata.compare_norm_placement(x, seed=seed) for seed in range(5)]
except NotImplementedError:
    raise SystemExit(
        "\n9. compare_norm_placement is not written yet: finish it to see the figure."
    ) from None


def middle_of(placement: str, name: str) -> list[float]:
    """The geometric mean over the seeds, state by state."""
    states = zip(*(run[placement][name] for run in runs), strict=True)
    return [math.prod(values) ** (1 / len(values)) for values in states]


print("\n9. Sixteen blocks, geometric mean of five seeds")
print("                       input    after 4    after 8   after 12   after 16")
for placement in ("post", "pre"):
    for name in ("rms", "grad_norm"):
        values = middle_of(placement, name)
        print(
            f"   {placement:<4} {name:<9}"
            + "".join(f"{values[i]:>11.2f}" for i in (0, 4, 8, 12, 16))
        )
print("   The gradient, seed by seed")
for where, state in (("after the last block", -1), ("at the input", 0)):
    for placement in ("post", "pre"):
        single = ", ".join(f"{run[placement]['grad_norm'][state]:.1f}" for run in runs)
        print(f"   {placement:<4} {where:<21} {single}")
last = {
    placement: middle_of(placement, "grad_norm")[-1] for placement in ("post", "pre")
}
ratio = last["post"] / last["pre"]
print(f"   after the last block, post-norm's mean is {ratio:.1f} times as large")


# 10. The figure: a band from the smallest to the largest seed, and a line for the
#     geometric mean.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    for axes, name in ((above, "grad_norm"), (below, "rms")):
        for placement, colour in (("post", COLOURS[1]), ("pre", COLOURS[0])):
            seeds = list(zip(*(run[placement][name] for run in runs), strict=True))
            low, high = (
                [min(values) for values in seeds],
                [max(values) for values in seeds],
            )
            axes.fill_between(
                range(17), low, high, color=colour, alpha=0.25, linewidth=0
            )
            axes.plot(
                middle_of(placement, name), color=colour, label=f"{placement}-norm"
            )
        axes.set(yscale="log", xlabel="after block (0 = the input)")
        axes.set_xticks(range(0, 17, 4))
    above.annotate(
        "",
        (16.4, last["pre"]),
        (16.4, last["post"]),
        arrowprops={"arrowstyle": "<->", "shrinkA": 0},
    )
    above.text(16, 1.5 * last["pre"], f"× {ratio:.1f}", ha="right", va="center")
    above.text(0.4, 1.9, "depends on the seed", color=COLOURS[1])
    above.set(
        title="Post-norm: large gradient after the last block",
        ylabel="L2 norm of the gradient at the state",
    )
    above.set_yticks([1, 3, 10, 30], labels=["1", "3", "10", "30"])
    above.legend(loc="lower right")
    below.set(title="Pre-norm: the values grow", ylabel="root mean square of the state")
    below.set_yticks([1, 2, 4, 8], labels=["1", "2", "4", "8"])
    for axes in (above, below):
        axes.minorticks_off()
    return figure


save_figure(draw(), __file__)
