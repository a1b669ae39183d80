"""Kata 28 in code: load a checkpoint in Hugging Face's layout, and see which mistakes
raise no error.

With `--gpt2`, and the package transformers installed, the published GPT-2 is downloaded
(about 550 MB), loaded, drawn and sampled from. `--gpt2=FOLDER` takes a model saved
there instead.
"""

import re
import struct
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

PUBLISHED = next(
    (argument for argument in sys.argv if argument.startswith("--gpt2")), None
)
if PUBLISHED:
    sys.argv.remove(PUBLISHED)  # the remaining argument is the path of the figure

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads mostly wait for each other


# 1. Somebody publishes a model. Here it is a small one, trained for a few seconds on
#    letters, spaces and full stops. Its weights must have learned something, so that
#    the loss shows damage to them.
text = re.sub(r"[^a-z.]+", " ", prose().lower())
characters = sorted(set(text))
tokens = torch.tensor([characters.index(c) for c in text])
# the model learns a little text sooner
training, held_out = tokens[:5_000], tokens[5_000:25_000]
BLOCK, BATCH, STEPS = 24, 24, 250
WIDTH, HEADS, LAYERS = 48, 4, 2


def rows(source, starts):
    """Inputs and targets of BLOCK tokens each."""
    windows = source[starts[:, None] + torch.arange(BLOCK + 1)]
    return windows[:, :-1], windows[:, 1:]


idx, targets = rows(held_out, torch.arange(0, 64 * 300, 300))


@torch.no_grad()
def loss_of(model):
    """The mean loss over 64 rows of text that the published model was not
    trained on.
    """
    return model(idx, targets)[1].item()


author = kata.GPT(
    kata.GPTConfig(BLOCK, len(characters), LAYERS, HEADS, WIDTH, dropout=0.0, bias=True)
)
wpe_before = author.transformer.wpe.weight.detach().clone()
optimizer = torch.optim.AdamW(author.parameters(), lr=5e-3, fused=True)
loss_before = loss_of(author)
for _ in range(STEPS):
    loss = author(*rows(training, torch.randint(len(training) - BLOCK - 1, (BATCH,))))[
        1
    ]
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(author.parameters(), 1.0)
    optimizer.step()
author.eval()
wpe_after = author.transformer.wpe.weight.detach().clone()
print(
    f"1. Somebody trains a GPT with {author.num_params():,} parameters on "
    f"{len(training):,} characters"
)
print(
    f"   loss on other text: {loss_before:.3f} before, {loss_of(author):.3f} after "
    f"{STEPS} steps of {BATCH} rows"
)

# 2. They publish it in Hugging Face's layout, like GPT-2's own file: no "transformer."
#    in the names, no lm_head, causal masks beside the weights, and the weights of four
#    layers per block as (in, out).
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
hf = {}
for name, tensor in author.state_dict().items():
    if name != "lm_head.weight":
        turned = tensor.t() if name.endswith(CONV1D) else tensor
        hf[name.removeprefix("transformer.")] = turned.clone(
            memory_format=torch.contiguous_format
        )
for i in range(LAYERS):
    hf[f"h.{i}.attn.bias"] = torch.ones(1, 1, BLOCK, BLOCK).tril()
hf_config = {
    "n_positions": BLOCK,
    "vocab_size": len(characters),
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_embd": WIDTH,
}
hf_config |= {
    "activation_function": "gelu_new",
    "resid_pdrop": 0.1,
    "model_type": "gpt2",
}

print("\n2. The checkpoint: names, shapes there, and shapes in our model")
converted = kata.convert_hf_state_dict(hf)
for name in [
    name for name in hf if not name.startswith("h.") or name.startswith("h.0.")
]:
    ours = (
        "buffer"
        if kata.is_buffer(name)
        else tuple(converted[f"transformer.{name}"].shape)
    )
    print(f"   {name:<24} {str(tuple(hf[name].shape)):<16} {ours}")
print(f"   and {len(hf)} tensors in all")
summary = stretch(kata.checkpoint_summary, hf)
if summary:
    print(
        "   "
        + ", ".join(
            f"{key} {value:,}" if key != "tied" else f"tied {value}"
            for key, value in summary.items()
        )
    )

# 3. No shape says how many heads there are, nor which GELU. The config does.
config = kata.config_from_hf(hf_config)
print(f"\n3. {config}")
for wrong in ({"activation_function": "relu"}, {"n_inner": 100}):
    try:
        kata.config_from_hf(hf_config | wrong)
    except ValueError as error:
        print(f"   with {wrong}: {error}")

# 4. Loading. Our model is new and random; afterwards, it gives the author's logits.
model = kata.load_hf_weights(kata.GPT(config), hf).eval()
with torch.no_grad():
    difference = (model(idx)[0] - author(idx)[0]).abs().max().item()
print(
    "\n"
    f"4. Loaded: loss {loss_of(model):.3f}, largest difference from the author's "
    f"logits {difference:.1e}"
)
print(
    "   lm_head.weight is wte.weight:",
    model.lm_head.weight is model.transformer.wte.weight,
)

# 5. Silent mistakes. All of these models load without an error. One is as bad as an
#    untrained model; most are only a little worse, which is harder to find.


def with_heads(n_head):
    changed = kata.config_from_hf(hf_config | {"n_head": n_head})
    return kata.load_hf_weights(kata.GPT(changed), hf).eval()


def from_state(state):
    """The model that load_state_dict(strict=False) makes of a state dict."""
    loaded = kata.GPT(config).eval()
    loaded.load_state_dict(state, strict=False)
    return loaded


def exact_gelu():
    loaded = kata.load_hf_weights(kata.GPT(config), hf).eval()
    for block in loaded.transformer.h:
        block.mlp.forward = lambda x, mlp=block.mlp: mlp.c_proj(F.gelu(mlp.c_fc(x)))
    return loaded


square = {
    name: t.t() if name.endswith("attn.c_proj.weight") else t
    for name, t in converted.items()
}
biases = {name: t for name, t in converted.items() if not name.endswith("bias")}
left_in_training = kata.load_hf_weights(kata.GPT(config), hf).train()
losses = {
    "as it should be": loss_of(model),
    "exact GELU": loss_of(exact_gelu()),
    'every name with "bias" skipped': loss_of(from_state(biases)),
    "2 heads for 4": loss_of(with_heads(2)),
    "eval() forgotten": loss_of(left_in_training),
    "square c_proj not transposed": loss_of(from_state(square)),
    "strict=False, no prefix": loss_of(from_state(hf)),
}
print("\n5. Loaded without an error, and the loss on the same text")
for name, value in losses.items():
    print(f"   {name:<32} {value:.4f}")

# 6. A strict loader refuses wrong checkpoints.
print("\n6. Refused")


def refused(checkpoint):
    loaded = kata.load_hf_weights(kata.GPT(config), hf).eval()
    before = loss_of(loaded)
    try:
        kata.load_hf_weights(loaded, checkpoint)
    except (ValueError, RuntimeError) as error:  # your error, or PyTorch's own
        message = " ".join(str(error).split())
        print(f"   {message}" if len(message) <= 150 else f"   {message[:149]}…")
        print("      loss before and after:", f"{before:.3f} {loss_of(loaded):.3f}")


renamed = dict(hf)
renamed["h.1.norm.weight"] = renamed.pop("h.1.ln_1.weight")
refused(renamed)
refused(hf | {"wpe.weight": hf["wpe.weight"][:1]})
refused(hf | {"lm_head.weight": hf["wte.weight"] + 0.01})

# 7. Fewer positions, and only some parameters to train: both are common
#    before fine-tuning.
print("\n7. Cropping and freezing")
cropped = stretch(kata.crop_block_size, model, 16)
if cropped:
    with torch.no_grad():
        difference = (
            (cropped(idx[:, :16])[0] - model(idx[:, :16])[0]).abs().max().item()
        )
    print(
        f"   16 of {BLOCK} positions: {cropped.num_params():,} parameters of "
        f"{model.num_params():,}",
        end="",
    )
    print(f", largest difference on 16 tokens {difference:.1e}")
for prefixes in ([f"transformer.h.{LAYERS - 1}", "transformer.ln_f"], ["lm_head"]):
    count = stretch(kata.freeze_all_but, model, prefixes)
    if count:
        print(f"   all frozen but {', '.join(prefixes)}: {count:,} trainable")
model.requires_grad_(True)

# 8. A flat file. A header of 32 bytes describes the rest: the weights, one
#    after another.
print("\n8. A flat file")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.bin"
    try:
        kata.write_flat(model, path)
        data = path.read_bytes()
        print(f"   {len(data):,} bytes: 32 + 4 · {model.num_params():,}")
        print("   header as bytes  ", data[:12].hex(" "), "…")
        print("   header as numbers", *struct.unpack("<8i", data[:32]))
        print("   read again: loss", f"{loss_of(kata.read_flat(path).eval()):.3f}")
    except NotImplementedError:
        print(
            "   (write_flat and read_flat are stretch exercises; not both are written "
            "yet)"
        )

# 9. With --gpt2, the published model.
if PUBLISHED:
    from transformers import GPT2LMHeadModel, GPT2TokenizerFast

    source = PUBLISHED.partition("=")[2] or "gpt2"
    theirs, tokenizer = (
        GPT2LMHeadModel.from_pretrained(source),
        GPT2TokenizerFast.from_pretrained(source),
    )
    gpt2 = kata.load_hf_weights(
        kata.GPT(kata.config_from_hf(theirs.config.to_dict())), theirs.state_dict()
    ).eval()
    print(f"\n9. {source}: {gpt2.num_params():,} parameters")
    said = torch.tensor([tokenizer.encode("Hello, I'm a language model,")])
    with torch.no_grad():
        difference = (gpt2(said)[0] - theirs.eval()(said).logits).abs().max().item()
        print(f"   largest difference from Hugging Face's logits {difference:.1e}")
        # one token at a time, among the 50 likeliest (27_generation has a faster way)
        for _ in range(30):
            values, candidates = gpt2(said[:, -gpt2.config.block_size :])[0][
                0, -1
            ].topk(50)
            drawn = candidates[torch.multinomial(values.softmax(-1), 1)]
            said = torch.cat([said, drawn[None]], dim=1)
    print(f"   {tokenizer.decode(said[0].tolist())!r}")
    wpe_after = gpt2.transformer.wpe.weight.detach()
    wpe_before = 0.02 * torch.randn(wpe_after.shape)


# 10. The figure. The position embedding starts as noise. The model learns that
#     neighbouring positions are alike, so the columns become smooth lines: a quick sign
#     that a checkpoint was trained.
def roughness(wpe):
    """Compare the steps between neighbours with those between random positions: 1 for
    noise, less if smooth.
    """
    steps = (wpe[1:] - wpe[:-1]).square().sum(1).mean()
    return (steps / (2 * (wpe - wpe.mean(0)).square().sum(1).mean())).item()


print(
    "\n"
    f"Roughness of wpe: {roughness(wpe_before):.2f} as it starts, "
    f"{roughness(wpe_after):.2f} trained"
)
columns = wpe_after.var(dim=0).topk(3).indices
figure = Figure(figsize=(6.6, 8.3))
top, middle, bottom = figure.subplots(3)
whose = "GPT-2's own" if PUBLISHED else f"after {STEPS} steps of training"
for axes, wpe, title in (
    (top, wpe_before, "wpe as it starts"),
    (middle, wpe_after, f"wpe {whose}"),
):
    for column, colour, style in zip(
        columns.tolist(), COLOURS, ("-", "--", ":"), strict=False
    ):
        axes.plot(
            wpe[:, column],
            color=colour,
            linestyle=style,
            linewidth=1.5,
            label=f"column {column}",
        )
    axes.set(
        xlabel="position", ylabel="weight", title=f"{title}, spread {wpe.std():.2g}"
    )
middle.legend()
names = list(losses)[::-1]
bars = bottom.barh(
    names,
    [losses[name] for name in names],
    color=[COLOURS[1]] * (len(names) - 1) + [COLOURS[2]],
)
bottom.bar_label(bars, fmt="%.2f", padding=2)
bottom.set(
    xlabel="loss",
    title="Loaded without an error",
    xlim=(0, 1.25 * max(losses.values())),
)
save_figure(figure, __file__)
