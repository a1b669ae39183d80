"""Kata today/01 in code: each new part by itself, the block against GPT-2's at equal
size, and text beyond the training length. With --weights DIR, an open model answers
instead: see answer.py.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.datasets import characters
from grader.lesson import COLOURS, code, save_figure, stretch
from grader.loading import prerequisite

kata = code(__file__)
if "--weights" in sys.argv:
    import answer

    answer.main(kata, prerequisite("today/03_serving"), prerequisite("23_tokenizers"))
    sys.exit()
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. RMSNorm beside layer norm. Both fix the size of a row. Only layer norm also removes
#    its mean.
print("1. The same rows through both norms")
rows = torch.tensor([[3.0, 4.0], [30.0, 40.0], [5.0, 5.0]])
for row, rms, layer in zip(
    rows, kata.rms_norm(rows, eps=0.0), F.layer_norm(rows, (2,), eps=1e-12), strict=True
):
    shown = [
        "[" + ", ".join(f"{number:7.4f}" for number in x) + "]"
        for x in (row, rms, layer)
    ]
    print(f"   {shown[0]}   rms_norm {shown[1]}   layer norm {shown[2]}")

# 2. Rotary positions. One score is q · k after both were turned: it depends on the
#    distance, not on the places. The same head in the layout of 18 gives other scores,
#    although both layouts train equally well.
print("\n2. Scores of one query and one key, D = 8, turned to different positions")
q, k, inv_freq = (
    torch.randn(1, 1, 1, 8),
    torch.randn(1, 1, 1, 8),
    10000.0 ** (-torch.arange(0, 8, 2) / 8),
)


def score(q_at: int, k_at: int) -> float:
    """q · k, with q at one position and k at another."""
    turned = [
        kata.rope_half(x, torch.tensor([at]), inv_freq)
        for x, at in ((q, q_at), (k, k_at))
    ]
    return (turned[0] * turned[1]).sum().item()


for q_at, k_at in ((5, 2), (105, 102), (5, 4), (105, 104)):
    print(f"   query at {q_at:>3}, key at {k_at:>3}: {score(q_at, k_at):7.4f}")
# neighbours i and i + 1 become i and i + D/2 in the other layout
as_18 = [0, 4, 1, 5, 2, 6, 3, 7]
right = score(5, 2)
q, k = q[..., as_18], k[..., as_18]
print(
    f"   the same numbers in the layout of 18, read as halves: {score(5, 2):.4f} in "
    f"place of {right:.4f}"
)

# 3. The gate. Where silu(gate) is near 0, whatever the up projection says does
#    not pass.
print("\n3. SwiGLU with one feature, up = 2, and a gate that opens")
one = torch.ones(1, 1)
for gate in (-8.0, -1.0, 0.0, 1.0, 8.0):
    print(
        f"   gate {gate:4.0f}: {kata.swiglu(one, gate * one, 2 * one, one).item():8.4f}"
    )

# 4. Grouped heads. Each key head answers several query heads: value head h is filled
#    with the number h here.
print(
    "\n"
    "4. Which key head a query head reads: H = 6, H_kv = 2; and what a cache keeps "
    "per token"
)
values = torch.arange(2.0).view(1, 2, 1, 1).expand(1, 2, 3, 4)
read = kata.gqa_attention(torch.randn(1, 6, 3, 4), torch.randn(1, 2, 3, 4), values)[
    0, :, 0, 0
]
print(
    "   "
    + ", ".join(f"{h} reads {int(number)}" for h, number in enumerate(read.round()))
)
for name, heads in (
    ("32 key heads, as GPT-2 would", 32),
    ("8 key heads", 8),
    ("1 key head", 1),
):
    print(
        f"   32 layers, D = 128, {name:<29} {2 * 32 * heads * 128 * 2 / 1024:>5.0f} "
        "KiB in bfloat16"
    )

# 5. A file of weights, by name. Loading is strict: a name that is missing would keep
#    its random start.
print("\n5. A tiny Llama's weights")
tiny = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
tiny |= {
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
}
source = kata.Decoder(kata.DecoderConfig(50, 1, 4, 2, 24, 40, rope_base=500000.0))
loaded = stretch(kata.load_llama, tiny, source.state_dict())
if loaded is not None:
    idx = torch.randint(50, (2, 7))
    print(
        f"   loaded, and equal to its source: {torch.equal(loaded(idx), source(idx))}"
    )
    state = source.state_dict()
    state["model.layers.0.mlp.gate_up_proj.weight"] = state.pop(
        "model.layers.0.mlp.up_proj.weight"
    )
    try:
        kata.load_llama(tiny, state)
    except (RuntimeError, ValueError, KeyError) as error:
        print("   with a name changed: " + " ".join(str(error).split())[:110] + " …")

# 6. The blocks at equal size. Text: paragraphs of Python's help, one id per character.
#    Each model has 12·C² weights in the matrices of a block: what grouping saves goes
#    to the MLP, and SwiGLU's three matrices are narrower.
TRAINED, HELD_OUT, V = characters()
C, H, LAYERS, T, ROWS, STEPS, LR = 64, 4, 1, 32, 16, 200, 3e-3


class Mixed(nn.Module):
    """A small GPT-2 in which the parts that `today` names are today's."""

    def __init__(self, today: set[str]):
        super().__init__()
        self.today = today
        bias, key_width = "norm" not in today, C // 2 if "groups" in today else C
        norm = nn.LayerNorm if bias else kata.RMSNorm
        matrices = 3 if "SwiGLU" in today else 2
        hidden = round((10 * C - 2 * key_width) / matrices)
        widths = {
            "q": (C, C),
            "k": (C, key_width),
            "v": (C, key_width),
            "o": (C, C),
            "up": (C, hidden),
        }
        widths |= {"gate": (C, hidden)} if "SwiGLU" in today else {}
        widths |= {"down": (hidden, C)}
        self.tokens = nn.Embedding(V, C)
        self.places = nn.Embedding(T, C) if "RoPE" not in today else None
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {name: nn.Linear(*width, bias=bias) for name, width in widths.items()}
                | {"norm_1": norm(C), "norm_2": norm(C)}
            )
            for _ in range(LAYERS)
        )
        self.norm, self.head = norm(C), nn.Linear(C, V, bias=False)
        self.inv_freq = 10000.0 ** (-torch.arange(0, C // H, 2) / (C // H))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(
                    parameter, std=0.02 / math.sqrt(2 * LAYERS) if writes else 0.02
                )

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(idx.size(1))
        x = self.tokens(idx)
        if self.places is not None:
            x = x + self.places(positions)
        for layer in self.layers:
            h = layer["norm_1"](x)
            q, k, v = (
                layer[name](h).unflatten(-1, (-1, C // H)).transpose(1, 2)
                for name in "qkv"
            )
            if "RoPE" in self.today:
                q, k = (kata.rope_half(y, positions, self.inv_freq) for y in (q, k))
            x = x + layer["o"](kata.gqa_attention(q, k, v).transpose(1, 2).flatten(2))
            h = layer["norm_2"](x)
            up = layer["up"](h)
            bent = (
                F.silu(layer["gate"](h)) * up
                if "gate" in layer
                else F.gelu(up, approximate="tanh")
            )
            x = x + layer["down"](bent)
        return self.head(self.norm(x))


def windows(
    data: torch.Tensor, rows: int, length: int, seed: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows of the text, and the character that follows each place."""
    starts = torch.randint(len(data) - length, (rows, 1), generator=seed)
    found = data[starts + torch.arange(length + 1)]
    return found[:, :-1], found[:, 1:]


@torch.no_grad()
def losses(model: nn.Module, length: int = T) -> torch.Tensor:
    """The loss on held-out text at each position."""
    x, y = windows(HELD_OUT, 128, length, torch.Generator().manual_seed(1))
    return F.cross_entropy(model(x).transpose(1, 2), y, reduction="none").mean(dim=0)


def train(model: nn.Module) -> list[float]:
    """Train with AdamW on half a cosine. The loss on held-out text, every 20 steps."""
    draws, found = torch.Generator().manual_seed(2), [losses(model).mean().item()]
    optimizer = torch.optim.AdamW(model.parameters(), LR)
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = (
            LR * (1 + math.cos(math.pi * step / STEPS)) / 2
        )
        x, y = windows(TRAINED, ROWS, T, draws)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            found.append(losses(model).mean().item())
    return found


KINDS = {
    "GPT-2's block": set(),
    "RMSNorm, no biases": {"norm"},
    "RoPE": {"RoPE"},
    "SwiGLU": {"SwiGLU"},
}
KINDS |= {"grouped heads": {"groups"}, "all but RoPE": {"norm", "SwiGLU", "groups"}}
print(
    "\n"
    f"6. Loss on held-out text after {STEPS} steps of AdamW, C = {C}, one layer; one "
    "part swapped at a time"
)
curves = {}
for name, today in KINDS.items():
    torch.manual_seed(0)
    model = Mixed(today)
    curves[name] = train(model)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"   {name:<22} {size:>8,} parameters {curves[name][-1]:8.3f} nats")
TODAY, decoders = "today's block", {}
for name, qk_norm in ((TODAY, False), (TODAY + ", QK-norm", True)):
    torch.manual_seed(0)
    decoders[name] = kata.Decoder(
        kata.DecoderConfig(V, LAYERS, H, H // 2, C, 3 * C, qk_norm=qk_norm)
    )
    curves[name] = train(decoders[name])
    size = sum(parameter.numel() for parameter in decoders[name].parameters())
    print(f"   {name:<22} {size:>8,} parameters {curves[name][-1]:8.3f} nats")
decoder = decoders[TODAY]

# 7. Four times the trained length. RoPE has no table that ends, but slow pairs meet
#    angles that they have never seen. YaRN slows these down and leaves the fast ones
#    alone. Dividing all of them spoils what was learned of neighbours.
print(
    f"\n7. Loss by position on texts of {4 * T}, trained on {T}, without more training"
)
plain = decoder.inv_freq
kinds = {"plain RoPE": (plain, 1.0), "all frequencies divided by 4": (plain / 4, 1.0)}
yarn = stretch(kata.yarn_frequencies, C // H, 10000.0, 4.0, T)
if yarn is not None:
    kinds["YaRN, factor 4"] = yarn
by_position = {}
print("   " + " " * 30 + "".join(f"{span:>10}" for span in ("0–31", "32–63", "64–127")))
for name, (decoder.inv_freq, decoder.rope_scale) in kinds.items():
    by_position[name] = losses(decoder, 4 * T)
    spans = [by_position[name][a:b].mean() for a, b in ((0, 32), (32, 64), (64, 128))]
    print(f"   {name:<30}" + "".join(f"{loss:10.2f}" for loss in spans))


# 8. The figure: how the loss falls with each block, and what it is at each position of
#    a longer text.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    styles = {
        "GPT-2's block": (COLOURS[6], "--"),
        "RoPE": (COLOURS[2], "-"),
        "all but RoPE": (COLOURS[3], "-"),
    }
    styles[TODAY] = (COLOURS[0], "-")
    for name, (colour, line) in styles.items():
        above.plot(
            range(0, STEPS + 1, 20), curves[name], line, color=colour, label=name
        )
    above.set(
        title="Held-out loss at equal size",
        xlabel="step",
        ylabel="nats per character",
        ylim=(None, 3.6),
    )
    above.legend()
    for (name, found), colour in zip(
        by_position.items(), (COLOURS[1], COLOURS[4], COLOURS[0]), strict=False
    ):
        smooth = found.unfold(0, 16, 4).mean(dim=1)
        below.plot(torch.arange(len(smooth)) * 4 + 8, smooth, color=colour, label=name)
    below.axvline(T, color="0.6", linestyle=":", label="trained length")
    below.set(
        title=f"Trained on {T}, read to {4 * T}", xlabel="position", ylim=(None, 3.2)
    )
    below.legend(loc="upper left", ncols=2)
    return figure


save_figure(draw(), __file__)
