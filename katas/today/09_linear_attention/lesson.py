"""Kata today/09 in code: one sum in three forms, a memory written twice, a scan, layers
that recall, bytes.
"""

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. One sum, three ways. The product holds a T × T table, the steps one state, chunks a
#    small table and a state.
B, H, T, K, V = 2, 3, 100, 8, 6
q, k, v = torch.randn(B, H, T, K), torch.randn(B, H, T, K), torch.randn(B, H, T, V)
log_decay = -0.1 * torch.rand(B, H, T)
whole = kata.parallel_form(q, k, v, log_decay)


def stepped(rule, *tokens):
    """Outputs of a rule that takes one token after the other."""
    state, outs = torch.zeros(B, H, K, V), []
    for token in zip(*(x.unbind(2) for x in tokens), strict=True):
        out, state = rule(state, *token)
        outs.append(out)
    return torch.stack(outs, dim=2)


print(f"1. {T} tokens: which forms give the same numbers")
print(f"   {'form':<18} {'as the product':>16}   numbers held per head")
size = whole.abs().max()
print(f"   {'one product':<18} {'':>16}   {T} × {T} = {T * T:,}")
apart = (stepped(kata.recurrent_step, q, k, v, log_decay) - whole).abs().max() / size
print(
    f"   {'token by token':<18} {'yes' if apart < 1e-5 else 'no':>16}   {K} × {V} = "
    f"{K * V}"
)
for chunk in (7, 16):
    apart = (kata.chunked_form(q, k, v, log_decay, chunk)[0] - whole).abs().max() / size
    held = f"{chunk} × {chunk} + {K} × {V} = {chunk * chunk + K * V}"
    print(
        f"   {f'chunks of {chunk}':<18} {'yes' if apart < 1e-5 else 'no':>16}   {held}"
    )

# 2. A memory of one head. Three keys at right angles, three values; then the first key
#    gets another value.
KEYS = torch.eye(4)[:3]
VALUES = torch.tensor(
    [
        [3.0, 0.0, 0.0, 0.0],
        [0.0, 2.0, 2.0, 0.0],
        [1.0, 0.0, 0.0, 3.0],
        [0.0, 3.0, 0.0, 0.0],
    ]
)
WRITES = [(0, 0), (1, 1), (2, 2), (0, 3)]  # key and value
ONE, STILL = torch.ones(1, 1), torch.zeros(1, 1)


def memories(rule):
    """The state (4, 4) after each write."""
    state, found = torch.zeros(1, 1, 4, 4), []
    for key, value in WRITES:
        new = KEYS[key].view(1, 1, 4), VALUES[value].view(1, 1, 4)
        if rule == "linear":
            _, state = kata.recurrent_step(state, new[0], *new, STILL)
        else:
            _, state = kata.delta_step(state, new[0], *new, ONE, STILL)
        found.append(state[0, 0])
    return found


pictures = {rule: memories(rule) for rule in ("linear", "delta")}
print(
    "\n2. Key 0 is written twice, first [3, 0, 0, 0], then [0, 3, 0, 0]. What it reads"
)
for rule, states in pictures.items():
    print(
        f"   {rule:<7} {(KEYS[0] @ states[2]).tolist()}, then "
        f"{(KEYS[0] @ states[3]).tolist()}"
    )

# 3. A scan joins many places per call.
if stretch(kata.combine, (ONE, ONE), (ONE, ONE)) is not None:
    print("\n3. h ↦ a h + b over T steps: calls of combine")
    for length in (10, 100, 1000):
        calls = []

        def counted(left, right, calls=calls):
            calls.append(len(left[0]))
            return kata.combine(left, right)

        a, b = torch.rand(length), torch.randn(length)
        scan = stretch(kata.associative_scan, counted, (a, b))
        if scan is None:
            break
        h = torch.zeros(())
        for t in range(length):
            h = a[t] * h + b[t]
        same = torch.allclose(scan[1][-1], h, atol=1e-5)
        print(
            f"   T = {length:>5}: {len(calls):>2} calls, {sum(calls):>5,} places in "
            f"all; the loop's last h: {same}"
        )


# 4. Recall. A text writes pairs of a key and a value, and then asks for the last value
#    of each key. The layers differ in their rule alone. Convolution and gate are left
#    out, as here a token holds a whole pair.
class Layer(nn.Module):
    def __init__(self, rule: str, width: int):
        super().__init__()
        self.rule = rule
        self.qkv, self.proj = (
            nn.Linear(width, 3 * width, bias=False),
            nn.Linear(width, width, bias=False),
        )
        self.beta, self.decay, self.norm = (
            nn.Linear(width, 1),
            nn.Linear(width, 1),
            nn.RMSNorm(width),
        )
        nn.init.constant_(self.decay.bias, 4.0)

    def forward(self, x):
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)
        if self.rule == "softmax":
            return self.proj(
                self.norm(F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0])
            )
        q, k, beta = (
            F.normalize(q, dim=-1),
            F.normalize(k, dim=-1),
            self.beta(x).sigmoid().mT,
        )
        log_decay = torch.zeros_like(beta)
        if self.rule == "fixed decay":
            log_decay = log_decay + torch.tensor(31 / 32).log()
        elif self.rule in ("learned decay", "gated delta"):
            log_decay = F.logsigmoid(self.decay(x)).mT
        if "delta" in self.rule:
            out, _ = kata.delta_chunked(q, k, v, beta, log_decay, 64)
        else:
            out, _ = kata.chunked_form(q, k, beta[..., None] * v, log_decay, 64)
        return self.proj(self.norm(out[:, 0]))


class Model(nn.Module):
    def __init__(self, rules, width: int, n_keys: int, n_values: int, length: int):
        super().__init__()
        self.key, self.value = (
            nn.Embedding(n_keys, width),
            nn.Embedding(n_values + 1, width),
        )
        self.place = nn.Embedding(length, width)
        self.with_places = rules[0].endswith("places")
        self.layers = nn.ModuleList(
            Layer(rule.removesuffix(" with places"), width) for rule in rules
        )
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in rules)
        self.head = nn.Linear(width, n_values)

    def forward(self, tokens):
        x = self.key(tokens[..., 0]) + self.value(tokens[..., 1])
        if self.with_places:
            x = x + self.place.weight[: tokens.size(1)]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + layer(norm(x))
        return self.head(x)


def recall(
    rules, width, n_keys, distinct, times, steps=150, seed=0, n_values=16, lr=0.02
):
    """The share of keys of 1,000 texts that give their last value, after training."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Model(rules, width, n_keys, n_values, (times + 1) * distinct)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps))
        tokens, targets = kata.recall_batch(
            32, n_keys, n_values, distinct, times, generator
        )
        loss = F.cross_entropy(
            model(tokens)[:, -distinct:].flatten(0, 1), targets.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, targets = kata.recall_batch(
        1000, n_keys, n_values, distinct, times, generator
    )
    with torch.no_grad():
        return (
            (model(tokens)[:, -distinct:].argmax(-1) == targets).float().mean().item()
        )


unit = F.normalize(k, dim=-1)
corrected = stretch(kata.delta_chunked, q, unit, v, torch.rand(B, H, T), log_decay)
if corrected is None:
    print("   (so the delta rules are left out below)")


def recalls(title, stacks, *sizes):
    """Print and return what each stack of layers recalls."""
    print(title)
    found = {}
    for rules in stacks:
        if corrected is not None or not any("delta" in rule for rule in rules):
            name = " + ".join(rules)
            found[name] = recall(rules, *sizes)
            print(f"   {name:<26} {found[name]:.2f}")
    return found


RULES = [
    "softmax",
    "softmax with places",
    "linear",
    "fixed decay",
    "learned decay",
    "delta",
    "gated delta",
]
bars = recalls(
    "\n4. 8 keys of 64, each written twice, a state of 32 × 32",
    [[rule] for rule in RULES],
    32,
    64,
    8,
    2,
)

# 5. A state is finite, however it is written. One layer, and two of them.
ONCE = [["softmax"], ["linear"], ["gated delta"]]
recalls(
    "\n5. 32 keys of 64, each written once, a state of 16 × 16", ONCE, 16, 64, 32, 1
)
PAIRS = [
    ["softmax"] * 2,
    ["linear", "softmax"],
    ["gated delta", "softmax"],
    ["gated delta"] * 2,
]
recalls(
    "   16 keys, each written twice, two layers with states of 16 × 16",
    PAIRS,
    16,
    16,
    16,
    2,
)

# 6. What 48 layers keep for one text.
MODEL = {"n_head": 32, "n_kv_head": 8, "head_dim": 128, "window": 4096}
STACKS = {name: name * (48 // len(name)) for name in ("A", "WWWA", "LLLA", "W", "L")}
LENGTHS = [2**n for n in range(8, 18)]
sizes = {}
if stretch(kata.decoding_bytes, "L", 1, **MODEL) is not None:
    sizes = {
        name: [kata.decoding_bytes(s, length, **MODEL) / 2**30 for length in LENGTHS]
        for name, s in STACKS.items()
    }
    print(f"\n6. GiB of 48 layers after {LENGTHS[-1]:,} tokens, bfloat16")
    for name, gib in sizes.items():
        print(f"   {name:<5} {gib[-1]:>7.3f}")
    one = kata.decoding_bytes("L", 1, **MODEL) // kata.decoding_bytes("A", 1, **MODEL)
    print(f"   one layer L holds as much as a layer A for {one} tokens")


# 7. The figure: both memories before and after the second write, recall by rule, bytes
#    by length.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 9.6))
    top, middle, bottom = figure.subfigures(3, height_ratios=(1.6, 1, 1))
    grid = top.subplots(2, 2)
    for row, (rule, states) in zip(grid, pictures.items(), strict=True):
        for part, state, when in zip(
            row, states[2:], ("three keys", "key 0 again"), strict=True
        ):
            part.imshow(state, vmin=0, vmax=3)
            for i, j in ((i, j) for i in range(4) for j in range(4)):
                colour = "black" if state[i, j] > 1.5 else "white"
                part.text(
                    j, i, f"{state[i, j]:.0f}", ha="center", va="center", color=colour
                )
            part.set(xticks=[], yticks=range(4), title=f"{rule}: {when}")
        row[0].set_ylabel("row of S")
    part = middle.subplots()
    places = range(len(bars))
    colours = [
        COLOURS[3]
        if "softmax" in name
        else COLOURS[2]
        if "delta" in name
        else COLOURS[0]
        for name in bars
    ]
    part.barh(places, list(bars.values()), color=colours)
    for place, share in zip(places, bars.values(), strict=True):
        part.text(
            share - 0.02, place, f"{share:.2f}", ha="right", va="center", color="white"
        )
    part.set(
        yticks=places,
        yticklabels=list(bars),
        xlim=(0, 1),
        title="recall of overwritten keys",
    )
    part.invert_yaxis()
    if sizes:
        part = bottom.subplots()
        for name, gib in sizes.items():
            part.plot(
                LENGTHS, gib, label=f"{name} …" if len(name) > 1 else f"{name} alone"
            )
        part.set(
            xscale="log",
            yscale="log",
            xlabel="tokens",
            ylabel="GiB",
            title="48 layers while writing",
        )
        part.legend()
    return figure


save_figure(draw(), __file__)
