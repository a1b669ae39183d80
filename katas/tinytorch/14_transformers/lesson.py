"""Module 14 in code: norms, heads, skips, and where the parameters, the work and the
memory of a block go.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)  # chooses the modules that the following lines import

from tinytorch.tensor import Tensor  # noqa: E402

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)

# 1. Three positions on very different scales. Layer norm gives each mean 0 and variance
#    1, by its own features.
heading("1. Layer norm: three positions before and after")
x = np.array([[1.0, 2, 3, 4], [100.0, 200, 300, 400], [0.5, 0.5, 0.5, 2.5]])
for before, after in zip(x, kata.LayerNorm(4)(Tensor(x)).data, strict=True):
    print(f"   {before} → {after}")

# 2. Batch norm standardises features over positions, so that a position's result
#    depends on who else is there.
heading("2. The same word in other company")
word, others = rng.normal(size=(1, 6)), rng.normal(size=(7, 6))
padded = np.vstack([word, others[:3], np.zeros((4, 6))])
for name, batch in {
    "alone": word,
    "with seven words": np.vstack([word, others]),
    "with padding": padded,
}.items():
    found = stretch(kata.norm_statistics, Tensor(batch))
    if found is None:
        break
    print(f"   {name:17} layer {found['layer'][0, :3]}   batch {found['batch'][0, :3]}")
print("   (the first three features; layer norm does not see the others)")

# 3. gelu beside relu.
heading("3. gelu beside relu")
numbers = np.array([-3.0, -1, -0.5, 0, 0.5, 1, 3])
print(
    f"   x      {numbers}\n   relu   {np.maximum(numbers, 0)}\n"
    f"   gelu   {kata.gelu(Tensor(numbers)).data}"
)

# 4. Heads are slices. The slice of one head goes to zero: what is gone is what this
#    head found, and nothing else.
heading("4. Heads are slices of the features")
layer, h = kata.MultiHeadAttention(12, 3, rng=rng), Tensor(rng.normal(size=(2, 5, 12)))
before = layer(h).data.copy()
keep = layer.W_o.weight.data.copy()
for head in range(3):
    # W_o no longer listens to this head
    layer.W_o.weight.data = np.where(np.arange(12) // 4 == head, 0, keep)
    print(
        f"   without head {head}: the output changes by "
        f"{np.abs(layer(h).data - before).mean():.3f} on average"
    )
layer.W_o.weight.data = keep
sizes = {
    heads: sum(p.size for p in kata.MultiHeadAttention(12, heads).parameters())
    for heads in (1, 3, 12)
}
print("   parameters with 1, 3 and 12 heads:", *sizes.values())

# 5. The parameters of a block, counted and predicted.
heading("5. The parameters of a block, C = 32, H = 4")
block = kata.TransformerBlock(32, 4, rng=rng)
for name in ("ln1", "attn", "ln2", "mlp"):
    part = getattr(block, name)
    shapes = ", ".join(
        f"{n} {p.shape}" for n, p in part.named_parameters() if p.ndim == 2
    )
    print(
        f"   {name:5} {sum(p.size for p in part.parameters()):7,}   "
        f"{shapes or 'weight and bias'}"
    )
total = sum(p.size for p in block.parameters())
cost = stretch(kata.block_cost, 4, 32, 32, 4)
if cost is not None:
    print(f"   predicted: 12·C² + 13·C = {cost['parameters']:,}, counted: {total:,}")
    print(
        "       T   work in Linears   in heads     score_bytes   mlp_hidden_bytes   "
        "(C = 768, H = 12, B = 1)"
    )
    for length in (128, 1024, 12_800, 102_400):
        cost = kata.block_cost(1, length, 768, 12)
        heads = 2 * length**2 * 768
        share = (cost["multiply_adds"] - heads) / cost["multiply_adds"]
        print(
            f"   {length:7,} {share:13.0%} {1 - share:11.0%} {cost['score_bytes']:17,}",
            end="",
        )
        print(f" {cost['mlp_hidden_bytes']:16,}")

# 6. A block whose parts are silent is the identity: this is the way that
#    gradients take.
heading("6. With W_o and fc2 at zero")
for part in (block.attn.W_o, block.mlp.fc2):
    for p in (part.weight, part.bias):
        p.data = np.zeros_like(p.data)
h = Tensor(rng.normal(size=(2, 5, 32)), requires_grad=True)
out = block(h)
out.sum().backward()
print(f"   largest |block(x) - x|: {np.abs(out.data - h.data).max():.0e}")
print(
    f"   gradient of the sum with respect to x: between {h.grad.min():.3f} and "
    f"{h.grad.max():.3f}"
)

# 7. Gradients through twelve blocks.
heading("7. The gradient in each of twelve blocks, for the loss mean(h²)")
norms = {}
for residual in (True, False):
    found = stretch(
        kata.residual_gradient_norms,
        12,
        residual=residual,
        rng=np.random.default_rng(3),
    )
    if found is None:
        break
    norms[residual] = found
    name = "with skips:   " if residual else "without skips:"
    print(
        f"   {name} block 0 {found[0]:.4f}   block 5 {found[5]:.4f}   block 11 "
        f"{found[-1]:.4f}",
        end="",
    )
    print(f"   first/last {found[0] / found[-1]:.2f}")

# 8. What a forward pass keeps for the way back, over the number of blocks.
heading("8. Memory over the depth: C = 32, B = 4, T = 32")
scaling = stretch(kata.depth_scaling, [1, 2, 4, 8])
if scaling is not None:
    parameter_bytes = sum(p.nbytes for p in block.parameters())
    for depth, kept in zip(scaling["sizes"], scaling["values"], strict=True):
        share = kept / depth / parameter_bytes
        print(
            f"   depth {depth}: {kept:9,} bytes, {share:.0f} times those of the "
            "parameters"
        )
    print(f"   measured exponent {scaling['exponent']:.2f}, predicted 1")
    cost = stretch(kata.block_cost, 4, 32, 32, 4)
    if cost is not None:
        print(
            f"   scores per block: {cost['score_bytes']:,} bytes; hidden features: "
            f"{cost['mlp_hidden_bytes']:,} bytes"
        )

# 9. The same block in PyTorch, with copied weights.
heading("9. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (torch is not importable: this comparison is left out)")
else:
    mine = kata.TransformerBlock(12, 3, rng=rng)
    theirs = torch.nn.TransformerEncoderLayer(
        12,
        3,
        48,
        dropout=0.0,
        activation=torch.nn.GELU("tanh"),
        norm_first=True,
        batch_first=True,
    ).double()
    p = {
        name: torch.tensor(value.data, dtype=torch.float64)
        for name, value in mine.named_parameters()
    }
    copied = {
        "self_attn.in_proj_weight": torch.cat([p[f"attn.W_{w}.weight"] for w in "qkv"]),
        "self_attn.in_proj_bias": torch.cat([p[f"attn.W_{w}.bias"] for w in "qkv"]),
        "self_attn.out_proj": "attn.W_o",
        "linear1": "mlp.fc1",
        "linear2": "mlp.fc2",
        "norm1": "ln1",
        "norm2": "ln2",
    }
    state = {}
    for name, source in copied.items():
        if isinstance(source, str):
            state |= {
                f"{name}.weight": p[f"{source}.weight"],
                f"{name}.bias": p[f"{source}.bias"],
            }
        else:
            state[name] = source
    theirs.load_state_dict(state)
    data = rng.normal(size=(2, 5, 12))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    a, b = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    ours, oracle = mine(a), theirs(b, src_mask=mask)
    (ours**2).sum().backward()
    (oracle**2).sum().backward()
    print("   block = TransformerBlock(12, 3)")
    print(
        "   block = nn.TransformerEncoderLayer(12, 3, 48, activation=nn.GELU('tanh'), "
        "norm_first=True, …)"
    )
    print(
        "   largest difference of the outputs:   "
        f"{np.abs(ours.data - oracle.detach().numpy()).max():.0e}"
    )
    print(
        "   largest difference of the gradients: "
        f"{np.abs(a.grad - b.grad.numpy()).max():.0e}"
    )
    pytorch_source("torch.nn.modules.normalization", "LayerNorm.forward", lines=6)


# 10. The figure: step 7, on a log scale.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 3.6))
    axes = figure.subplots()
    for residual, marker, colour, name in (
        (True, "o", 0, "with skips"),
        (False, "s", 1, "without skips"),
    ):
        if residual in norms:
            axes.plot(range(12), norms[residual], marker + "-", color=COLOURS[colour])
            axes.text(
                8,
                norms[residual][8] * (1.3 if residual else 0.45),
                name,
                color=COLOURS[colour],
            )
    axes.set_yscale("log")
    axes.set_xticks(range(12))
    axes.set_ylim(6e-4, 4)
    axes.set(
        xlabel="block",
        ylabel="norm of the gradient of W_v",
        title="Skips carry the gradient to the first block",
    )
    return figure


save_figure(draw(), __file__)
