"""A tiny decoder that has read the flags of 60 towns learns to answer in a chat: by
adapters, or with all weights.
"""

import copy
import math
import random

import torch
from torch.nn import functional as F

LIMITS = {
    "held-out towns answered: LoRA, rank 4": "> 0.6",
    "held-out towns answered: LoRA − untuned": "> 0.4",
    "held-out towns answered: LoRA − all weights at ten times the rate": "> 0.2",
    "held-out towns answered: from scratch": "< 0.05",
    "pages remembered: pretrained": "> 0.85",
    "pages remembered: LoRA": "> 0.5",
    "pages remembered: LoRA − all weights at ten times the rate": "> 0",
    "share of the numbers that LoRA trains": "< 0.05",
}
COLOURS = "red green blue gold black white grey pink brown teal rose lime".split()
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
    *COLOURS,
    *TOWNS,
]
START, END = len(WORDS), len(WORDS) + 1


def encode(text: str) -> list[int]:
    return [
        WORDS.index(word) if word in WORDS else 0
        for word in text.replace("\n", " \n ").split(" ")
        if word
    ]


NOISE = [START, END, *encode("\nsystem user assistant")]
HEADER = [START, *encode("assistant\n")]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def train(model, batch, steps: int, lr: float) -> None:
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
def share(model, prompts: list[list[int]], right: list[list[int]]) -> float:
    """The share of prompts whose most probable continuation is the right one."""
    idx = torch.tensor(prompts)
    for _ in range(len(right[0])):
        idx = torch.cat([idx, model(idx)[:, -1].argmax(-1, keepdim=True)], dim=1)
    found = idx[:, -len(right[0]) :].tolist()
    return sum(a == b for a, b in zip(found, right, strict=True)) / len(right)


def run(kata, seed) -> dict[str, float]:
    """Pretrain on pages, then tune on forty conversations in four ways."""
    draws = random.Random(seed)
    flags = {town: draws.sample(COLOURS, 2) for town in TOWNS}

    def page(town: str, opening: str) -> list[int]:
        noise, before = draws.choices(NOISE, k=6), draws.randrange(7)
        return [
            *noise[:before],
            *encode(town),
            *noise[before:],
            *encode(" ".join([opening, *flags[town]])),
        ]

    def pages() -> tuple[torch.Tensor, torch.Tensor]:
        openings = draws.choices(list(CLOSING), k=48)
        found = torch.tensor(
            [
                page(draws.choice(TOWNS), opening) + encode(CLOSING[opening])
                for opening in openings
            ]
        )
        return found[:, :-1], found[:, 1:]

    towns = draws.sample(TOWNS, 60)
    chats = [
        kata.chat_template(
            [said("user", t), said("assistant", f"[ {' '.join(flags[t])} ]")],
            encode,
            START,
            END,
        )
        for t in towns[:40]
    ]
    targets = [
        torch.tensor(chat).where(kata.loss_mask(torch.tensor(chat), HEADER, END), -100)
        for chat in chats
    ]

    def conversations() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(chats)[:, :-1], torch.stack(targets)[:, 1:]

    def answered(model) -> float:
        asked = [
            kata.chat_template(
                [said("user", t)], encode, START, END, add_generation_prompt=True
            )
            for t in towns
        ]
        right = [encode(" ".join(["[", *flags[t], "]"])) + [END] for t in towns]
        return share(model, asked[40:], right[40:])

    def remembered(model) -> float:
        cases = [(town, opening) for town in TOWNS for opening in CLOSING]
        prompts = [page(*case)[:-2] for case in cases]
        return share(
            model, prompts, [encode(" ".join(flags[town])) for town, _ in cases]
        )

    config = kata.DecoderConfig(
        START + 2, n_layer=2, n_head=4, n_kv_head=2, n_embd=64, n_hidden=176, tied=True
    )
    pretrained = kata.Decoder(config)
    train(pretrained, pages, 500, 3e-3)
    adapted = copy.deepcopy(pretrained).requires_grad_(False)
    kata.add_lora(adapted, ["q_proj", "k_proj", "v_proj", "o_proj"], rank=4, alpha=8.0)
    kata.mark_trainable(adapted)
    learning = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    fast, scratch = copy.deepcopy(pretrained), kata.Decoder(config)
    train(adapted, conversations, 100, 1e-2)
    train(fast, conversations, 100, 3e-3)
    train(scratch, conversations, 100, 3e-3)
    found = [
        answered(adapted),
        answered(adapted) - answered(pretrained),
        answered(adapted) - answered(fast),
        answered(scratch),
        remembered(pretrained),
        remembered(adapted),
        remembered(adapted) - remembered(fast),
        learning / sum(p.numel() for p in pretrained.parameters()),
    ]
    return dict(zip(LIMITS, map(float, found), strict=True))
