"""Kata 26 in code: GPT-2 part by part, the first loss, the shared weight, the cache,
and what the start values do.
"""

import math

import torch
from matplotlib.figure import Figure
from torch import nn

from grader.lesson import COLOURS, code, save_figure

kata = code(__file__)
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. GELU in two forms. GPT-2 was trained with the tanh form, so its weights belong to
#    that form. The difference is small, but every block makes it.
x = torch.linspace(-4, 4, 8001, dtype=torch.float64)
gap = (kata.gelu_tanh(x) - nn.functional.gelu(x)).abs()
print("1. gelu_tanh beside the exact form")
print("       x      tanh form      exact form")
for value in (-2.0, -1.0, 1.0, 2.0):
    one = torch.tensor(value, dtype=torch.float64)
    print(
        f"   {value:>5} {kata.gelu_tanh(one).item():>14.6f} "
        f"{nn.functional.gelu(one).item():>15.6f}"
    )
print(f"   largest difference {gap.max():.1e}, at x = ±{x[gap.argmax()].abs():.2f}")

# 2. A small GPT step by step. Only the last step leaves the C features: it uses the
#    token embedding a second time.
B, T = 2, 5
config = kata.GPTConfig(block_size=16, vocab_size=65, n_layer=3, n_head=4, n_embd=48)
model = kata.GPT(config).eval()
idx = torch.randint(config.vocab_size, (B, T))
print(
    "\n"
    f"2. Through a GPT with {config.n_layer} blocks, C = {config.n_embd} and V = "
    f"{config.vocab_size}"
)
parts = model.transformer
tokens, positions = parts.wte(idx), parts.wpe(torch.arange(T))
steps = {
    "idx": idx,
    "wte(idx)": tokens,
    "wpe(0 … 4)": positions,
    "their sum": tokens + positions,
}
x = tokens + positions
for i, block in enumerate(parts.h):
    x = block(x)
    steps[f"after h[{i}]"] = x
steps |= {"after ln_f": parts.ln_f(x), "logits": parts.ln_f(x) @ parts.wte.weight.T}
for name, value in steps.items():
    print(f"   {name:<12} {tuple(value.shape)}")
print(
    "   equal to model(idx):", torch.allclose(model(idx)[0], steps["logits"], atol=1e-6)
)

# 3. The first loss tests the start values: a model that gives every token the same
#    probability has the loss ln V. PyTorch draws embeddings from N(0, 1). With the
#    output layer tied to them, a new model is confidently wrong.
print("\n3. Loss of new models on random targets, V = 65")
print(f"   ln V                                   {math.log(65):6.3f}")
ids, targets = torch.randint(65, (64, 16)), torch.randint(65, (64, 16))
with torch.no_grad():
    print(f"   start values of this kata              {model(ids, targets)[1]:6.3f}")
    print(
        f"   the same, targets = the input itself   {model(ids, ids)[1]:6.3f}   "
        "(tied: a token is like itself)"
    )
    loud = kata.GPT(config).eval()
    nn.init.normal_(loud.transformer.wte.weight)
    print(f"   wte from N(0, 1)                       {loud(ids, targets)[1]:6.3f}")

# 4. One Parameter with two jobs. The input holds token 3 only, so an embedding alone
#    would have a gradient in row 3 only. The output layer compares every row with the
#    result, so every row has a gradient.
print("\n4. The weight that wte and lm_head share")
print("   one object:", model.lm_head.weight is model.transformer.wte.weight)
names = [
    name
    for name, weight in model.state_dict().items()
    if weight.shape == model.lm_head.weight.shape
]
print("   in the state dict:", ", ".join(names))
model(torch.full((B, T), 3), torch.randint(65, (B, T)))[1].backward()
rows = (model.lm_head.weight.grad != 0).any(dim=1).sum().item()
print(
    f"   rows with a gradient after an input of token 3 alone: {rows} of "
    f"{config.vocab_size}"
)
copied = kata.GPT(config)
copied.lm_head.weight = nn.Parameter(copied.transformer.wte.weight.detach().clone())
copied(torch.full((B, T), 3), torch.randint(65, (B, T)))[1].backward()
rows = (copied.transformer.wte.weight.grad != 0).any(dim=1).sum().item()
print(
    f"   the same in wte, with a copy as lm_head:              {rows} of "
    f"{config.vocab_size}"
)

# 5. A cache holds keys and values, but no positions: the model must compute the
#    position of the next token.
print("\n5. Seven tokens in chunks of 3, 1 and 3")
idx = torch.randint(65, (B, 7))
caches = [kata.LayerCache() for _ in range(config.n_layer)]
with torch.no_grad():
    full = model(idx)[0]
    chunks = torch.cat(
        [model(chunk, cache=caches)[0] for chunk in idx.split([3, 1, 3], dim=1)], dim=1
    )
    restarted = [kata.LayerCache() for _ in range(config.n_layer)]
    wrong = []
    for chunk in idx.split([3, 1, 3], dim=1):
        # the bug: every chunk starts at position 0
        x = parts.wte(chunk) + parts.wpe(torch.arange(chunk.size(1)))
        for block, cache in zip(parts.h, restarted, strict=True):
            x = block(x, cache)
        wrong.append(model.lm_head(parts.ln_f(x)))
print(f"   largest difference from one full pass: {(chunks - full).abs().max():.0e}")
print(
    "   with positions that restart at 0:      "
    f"{(torch.cat(wrong, dim=1) - full).abs().max():.2f}",
    end="",
)
print(f"   (the logits' own spread is {full.std():.2f})")

# 6. The four sizes, part by part. On the meta device tensors have shapes and no data,
#    so the largest model is built without its 6 GB. The first row is the shared weight;
#    lm_head has no row of its own.
SIZES = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
print("\n6. Parameters")
models = {}
for name, (n_layer, n_head, n_embd) in SIZES.items():
    with torch.device("meta"):
        models[name] = kata.GPT(
            kata.GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)
        )
PARTS = {
    "wte = lm_head": "transformer.wte.",
    "wpe": "transformer.wpe.",
    "attention": ".attn.",
    "MLP": ".mlp.",
    "layer norms": "ln_",
}
print("   " + " " * 16 + "".join(f"{name:>15}" for name in SIZES))
for label, piece in PARTS.items():
    counts = [
        sum(p.numel() for n, p in m.named_parameters() if piece in n)
        for m in models.values()
    ]
    print(f"   {label:<16}" + "".join(f"{count:>15,}" for count in counts))
print(f"   {'all':<16}" + "".join(f"{m.num_params():>15,}" for m in models.values()))
print(
    f"   {'12·L·C²':<16}"
    + "".join(
        f"{12 * n_layer * n_embd**2:>15,}" for n_layer, _, n_embd in SIZES.values()
    )
)
small = models["gpt2"]
print(
    "   gpt2 with lm_head counted a second time: "
    f"{small.num_params() + small.lm_head.weight.numel():,}"
)

# 7. The residual path. Every block adds to it twice. A sum of independent terms grows
#    with the root of their number: 2·L terms add up to √(2·L) times one term, unless
#    each term starts smaller by that factor.
WIDTH, DEPTHS = 256, (6, 12, 24, 48)


def spread_after_each_block(n_layer: int, scaled: bool) -> list[float]:
    """The standard deviation of the residual path: after the embeddings, then after
    each block.
    """
    torch.manual_seed(1)
    model = kata.GPT(
        kata.GPTConfig(
            block_size=64, vocab_size=512, n_layer=n_layer, n_head=4, n_embd=WIDTH
        )
    ).eval()
    if not scaled:
        for name, parameter in model.named_parameters():
            if name.endswith("c_proj.weight"):
                parameter.data *= math.sqrt(2 * n_layer)
    idx = torch.randint(512, (4, 64), generator=torch.Generator().manual_seed(2))
    x = model.transformer.wte(idx) + model.transformer.wpe(torch.arange(64))
    spreads = [x.std().item()]
    for block in model.transformer.h:
        x = block(x)
        spreads.append(x.std().item())
    return spreads


print(f"\n7. Standard deviation of the residual path in new models, C = {WIDTH}")
with torch.no_grad():
    curves = {
        (depth, scaled): spread_after_each_block(depth, scaled)
        for depth in DEPTHS
        for scaled in (True, False)
    }
print("   24 blocks, after block     0      6     12     18     24")
for scaled, label in ((True, "c_proj scaled"), (False, "not scaled")):
    print(
        f"   {label:<22}"
        + "".join(f"{curves[24, scaled][i]:>7.3f}" for i in (0, 6, 12, 18, 24))
    )
print("   after the last block of    " + "".join(f"{depth:>7}" for depth in DEPTHS))
for scaled, label in ((True, "c_proj scaled"), (False, "not scaled")):
    print(
        f"   {label:<26} "
        + "".join(f"{curves[depth, scaled][-1]:>7.3f}" for depth in DEPTHS)
    )


# 8. The figure: the standard deviation along 24 blocks, and after the last block of
#    models of four depths.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2, 1, sharey=True)
    for scaled, colour, label in (
        (False, COLOURS[1], "all weights N(0, 0.02)"),
        (True, COLOURS[0], "c_proj / √(2L)"),
    ):
        above.plot(curves[24, scaled], color=colour, label=label)
        below.plot(
            DEPTHS, [curves[depth, scaled][-1] for depth in DEPTHS], "o-", color=colour
        )
    above.set(
        title="Along the 24 blocks of one model",
        xlabel="after block (0 = the embeddings)",
    )
    above.set(ylabel="std of the residual path", ylim=(0, None))
    above.set_xticks(range(0, 25, 6))
    above.legend()
    below.set(title="After the last block, by depth", xlabel="L, blocks in the model")
    below.set_xticks(DEPTHS)
    return figure


save_figure(draw(), __file__)
