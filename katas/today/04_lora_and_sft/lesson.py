"""Kata today/04 in code: an adapter by itself, a conversation as tokens, a tiny GPT
that learns a format from forty conversations and keeps what it knew, and conversations
that share a row.
"""

import copy
import math
import random

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. An adapter. B is 0, so nothing changes at first; and as long as B is 0, A has
#    no gradient.
print("1. A layer of 512 × 512, and an adapter of rank 4")
base = nn.Linear(512, 512)
adapter = kata.LoRALinear(base, rank=4, alpha=8.0)
x = torch.randn(3, 512)
learns = sum(
    parameter.numel() for parameter in adapter.parameters() if parameter.requires_grad
)
print(f"   {base.weight.numel():,} numbers in the weight, {learns:,} that learn")
optimizer = torch.optim.SGD([adapter.lora_A, adapter.lora_B], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    y = adapter(x)
    y.square().mean().backward()
    moved = (y - base(x)).abs().max().item()
    sizes = [
        parameter.grad.norm().item() for parameter in (adapter.lora_A, adapter.lora_B)
    ]
    print(
        f"   step {step}: {moved:.4f} away from the base; gradient of A "
        f"{sizes[0]:.4f}, of B {sizes[1]:.4f}"
    )
    optimizer.step()
print(
    "   merged and unmerged differ by "
    f"{(adapter.merge()(x) - adapter(x)).abs().max():.0e}"
)

# 2. A conversation. Tokens are words here, and the two special tokens have ids that no
#    word has.
COLOUR_WORDS = "red green blue gold black white grey pink brown teal rose lime".split()
TOWNS = [
    a + b + c
    for a in ("Ba", "Ke", "Lo", "Mi", "Tu")
    for b in "lmrt"
    for c in ("a", "ido", "ova")
]
CLOSING = {"[": "]", "(": ")", ">": "."}
WORDS = [
    "?",
    "\n",
    "system",
    "user",
    "assistant",
    *CLOSING,
    *CLOSING.values(),
    *COLOUR_WORDS,
    *TOWNS,
]
START, END = len(WORDS), len(WORDS) + 1
NAMES = [*WORDS, "<|im_start|>", "<|im_end|>"]


def encode(text: str) -> list[int]:
    """One id per word or newline. A word that nobody knows is "?", whatever it
    looks like.
    """
    return [
        WORDS.index(word) if word in WORDS else 0
        for word in text.replace("\n", " \n ").split(" ")
        if word
    ]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def readable(ids: list[int]) -> str:
    return " ".join(NAMES[i] for i in ids).replace("\n", "\\n")


HEADER = [START, *encode("assistant\n")]
talk = [said("user", "Balova"), said("assistant", "[ red gold ]")]
ids = kata.chat_template(talk, encode, START, END)
print("\n2. A conversation as tokens, and one whose user types a special token as text")
print("   " + readable(ids))
print(
    "   "
    + readable(
        kata.chat_template([said("user", "Balova <|im_end|>")], encode, START, END)
    )
)

# 3. What the loss counts: the assistant's words and the end of its message.
mask = kata.loss_mask(torch.tensor(ids), HEADER, END)
print("\n3. What the loss counts")
print(
    "   "
    + readable([i for i, counts in zip(ids, mask.tolist(), strict=True) if counts])
)
print(f"   {mask.sum()} of {len(mask)} tokens")

# 4. A pretrained model: it has read the flags of 60 towns, in three notations, between
#    words in no order. Every special token is among these words, so that none is new to
#    the frozen parts later.
draws = random.Random(0)
FLAGS = {town: draws.sample(COLOUR_WORDS, 2) for town in TOWNS}
NOISE = [START, END, *encode("\nsystem user assistant")]


def page(town: str, opening: str) -> list[int]:
    """Six words of noise, the town somewhere between them, and its flag: "… Balova … [
    red gold".
    """
    noise = draws.choices(NOISE, k=6)
    before = draws.randrange(7)
    return [
        *noise[:before],
        *encode(town),
        *noise[before:],
        *encode(" ".join([opening, *FLAGS[town]])),
    ]


def pages() -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of 48 pages: inputs and targets."""
    openings = draws.choices(list(CLOSING), k=48)
    found = [
        page(draws.choice(TOWNS), opening) + encode(CLOSING[opening])
        for opening in openings
    ]
    return torch.tensor(found)[:, :-1], torch.tensor(found)[:, 1:]


def train(model: nn.Module, batch, steps: int, lr: float) -> None:
    """AdamW on what is trainable, with warm-up and half a cosine."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], betas=(0.9, 0.95)
    )
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            lr * min(1, (step + 1) / 20) * (1 + math.cos(math.pi * step / steps)) / 2
        )
        inputs, targets = batch()
        loss = F.cross_entropy(
            model(inputs).flatten(0, 1), targets.flatten(), ignore_index=-100
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def written(model: nn.Module, prompts: list[list[int]], count: int) -> list[list[int]]:
    """The most probable continuations of prompts of equal length."""
    idx = torch.tensor(prompts)
    for _ in range(count):
        idx = torch.cat([idx, model(idx)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return idx[:, -count:].tolist()


def prompt(town: str) -> list[int]:
    return kata.chat_template(
        [said("user", town)], encode, START, END, add_generation_prompt=True
    )


def answered(model: nn.Module, towns: list[str]) -> float:
    """The share of towns for which the answer is right to the last token: "[ red gold
    ]" and im_end.
    """
    right = [encode(" ".join(["[", *FLAGS[town], "]"])) + [END] for town in towns]
    found = written(model, [prompt(town) for town in towns], 5)
    return sum(a == b for a, b in zip(found, right, strict=True)) / len(towns)


def remembered(model: nn.Module) -> float:
    """The share of pages, 60 towns in three notations, whose two colours are right."""
    cases = [(town, opening) for town in TOWNS for opening in CLOSING]
    found = written(model, [page(*case)[:-2] for case in cases], 2)
    return sum(
        a == encode(" ".join(FLAGS[town]))
        for a, (town, _) in zip(found, cases, strict=True)
    ) / len(cases)


config = kata.DecoderConfig(
    len(NAMES), n_layer=2, n_head=4, n_kv_head=2, n_embd=64, n_hidden=176, tied=True
)
print("\n4. The pretrained model: 500 steps on pages such as")
print("   " + readable(page("Balova", "[") + encode("]")))
pretrained = kata.Decoder(config)
train(pretrained, pages, 500, 3e-3)
print(
    f"   it remembers {remembered(pretrained):.0%} of the flags; asked for Kelido in "
    "the chat format, it writes"
)
print("   " + readable(written(pretrained, [prompt("Kelido")], 5)[0]))

# 5. Forty conversations. 20 towns occur in none of them: their flags can only come from
#    the pages.
towns = draws.sample(TOWNS, 60)
TUNED, HELD_OUT = towns[:40], towns[40:]
chats = [kata.chat_template([said("user", t),
                             said("assistant", f"[ {' '.join(FLAGS[t])} ]")], encode,
                             START, END)
         for t in TUNED]  # fmt: skip
targets = [
    torch.tensor(chat).where(kata.loss_mask(torch.tensor(chat), HEADER, END), -100)
    for chat in chats
]


def conversations() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(chats)[:, :-1], torch.stack(targets)[:, 1:]


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
adapted = copy.deepcopy(pretrained).requires_grad_(False)
changed = kata.add_lora(adapted, ATTENTION, rank=4, alpha=8.0)
stretch(kata.mark_trainable, adapted)
models = {
    "pretrained": (pretrained, 0, 0.0),
    "LoRA, r = 4": (adapted, 100, 1e-2),
    "all weights": (copy.deepcopy(pretrained), 100, 3e-4),
    "all, 10 × the rate": (copy.deepcopy(pretrained), 100, 3e-3),
    "from scratch": (kata.Decoder(config), 100, 3e-3),
}
print(
    "\n"
    f"5. Forty conversations, 100 steps; {len(changed)} layers got an adapter. Right "
    "answers:"
)
print(
    f"   {'':<20} {'trained':>8} {'rate':>7} {'in the chats':>13} {'held out':>9} "
    f"{'on pages':>9}"
)
shares = {}
for name, (model, steps, lr) in models.items():
    learns = (
        sum(p.numel() for p in model.parameters() if p.requires_grad) if steps else 0
    )
    train(model, conversations, steps, lr)
    shares[name] = answered(model, HELD_OUT), remembered(model)
    print(f"   {name:<20} {learns:>8,} {lr:>7} {answered(model, TUNED):>13.0%} "
          f"{shares[name][0]:>9.0%} {shares[name][1]:>9.0%}")  # fmt: skip

# 6. What was pretrained is still there, bit by bit, and the adapters can be merged
#    into it.
kept = all(torch.equal(adapted.get_submodule(name).base.weight,
                       pretrained.get_submodule(name).weight)
           for name in changed)  # fmt: skip
merged = copy.deepcopy(adapted)
for name in changed:
    parent, _, last = name.rpartition(".")
    setattr(merged.get_submodule(parent), last, adapted.get_submodule(name).merge())
inputs, _ = conversations()
difference = (merged(inputs) - adapted(inputs)).abs().max().item()
print(f"\n6. The adapted layers' own weights are unchanged: {kept}")
print(f"   merged, {sum(isinstance(m, kata.LoRALinear) for m in merged.modules())} "
      f"adapters are left; the logits differ by {difference:.0e}")  # fmt: skip

# 7. Short conversations share a row. With the document mask, nothing else changes; with
#    the causal mask alone, each conversation reads the one before it.
docs, masks = [], []
for number, town in enumerate(TUNED[:20]):
    turns = [said("user", town), said("assistant", f"[ {' '.join(FLAGS[town])} ]")]
    turns = ([said("system", "red green")] if number % 3 == 0 else []) + turns * (
        1 + number % 2
    )
    docs.append(kata.chat_template(turns, encode, START, END))
    masks.append(kata.loss_mask(torch.tensor(docs[-1]), HEADER, END).tolist())
T = 48
packed = stretch(kata.pack_documents, docs, masks, T)
allowed = stretch(kata.document_mask, packed.doc_ids) if packed is not None else None


@torch.no_grad()
def summed(ids: torch.Tensor, targets: torch.Tensor, **options) -> float:
    """The loss summed over all tokens that count."""
    logits = adapted(ids, **options).flatten(0, 1)
    return F.cross_entropy(
        logits, targets.flatten(), ignore_index=-100, reduction="sum"
    ).item()


print(
    "\n"
    f"7. {len(docs)} conversations of {min(map(len, docs))} to {max(map(len, docs))} "
    "tokens"
)
if packed is not None and allowed is not None:
    used = sum(map(len, docs))
    print(
        f"   one per row: {used / (len(docs) * T):.0%} of {len(docs)} rows of {T} are "
        "used"
    )
    print(f"   packed: {used / packed.ids.numel():.0%} of {len(packed.ids)} rows")
    alone = 0.0
    for doc, counts in zip(docs, masks, strict=True):
        one = torch.tensor([doc])
        alone += summed(one[:, :-1], one.where(torch.tensor([counts]), -100)[:, 1:])
    together = summed(
        packed.ids, packed.targets, positions=packed.positions, mask=allowed
    )
    neighbours = summed(packed.ids, packed.targets, positions=packed.positions)
    print(
        f"   summed loss: one by one {alone:.4f}, packed {together:.4f}, packed "
        f"without the mask {neighbours:.4f}"
    )


# 8. The figure: what each way of tuning learned and kept, and a packed row over
#    its mask.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 7.6))
    parts = figure.subplot_mosaic(
        [["bars"], ["strip"], ["mask"]], height_ratios=[10, 1, 12]
    )
    places = torch.arange(len(shares))
    for shift, kind, colour, label in (
        (-0.2, 0, COLOURS[0], "held-out towns, in the new format"),
        (0.2, 1, COLOURS[3], "all towns, on pages"),
    ):
        heights = [share[kind] for share in shares.values()]
        parts["bars"].bar(
            places + shift, heights, width=0.38, color=colour, label=label
        )
    labels = [
        name.replace(", ", ",\n") if "," in name else name.replace(" ", "\n")
        for name in shares
    ]
    parts["bars"].set_xticks(places, labels)
    parts["bars"].set(title="Right answers", ylim=(0, 1.25), yticks=[0, 0.5, 1])
    parts["bars"].legend(loc="upper right")
    if packed is None or allowed is None:
        parts["strip"].set_axis_off()
        parts["mask"].set_axis_off()
        return figure
    row = packed.doc_ids[0]
    blocks = allowed[0, 0] * (row[:, None] + 2).clamp(min=1)
    parts["strip"].imshow(row[None] + 2, aspect="auto", vmin=0, vmax=5)
    parts["strip"].set(title="A packed row, and who sees whom", xticks=[], yticks=[])
    parts["mask"].imshow(blocks, aspect="auto", vmin=0, vmax=5)
    parts["mask"].set(xlabel="token that is seen", ylabel="token that sees")
    return figure


save_figure(draw(), __file__)
