"""HellaSwag-style evaluation: a language model answers multiple choice by how likely it
finds each ending.

Sizes: K endings, as rows of N tokens, the context's and then the ending's;
V = vocab_size. Token ids are torch.long.
An example is a dict: `ctx`, the text so far; `endings`, a list of texts that might
follow; `label`, the index of the right one. `encode` is any function from a text to a
list of token ids. A model is an nn.Module with parameters that is called as model(idx)
with idx (K, N) and returns (logits (K, N, V), loss); the logits of position t are for
token t + 1.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig

# Two lines an item: the context and its right ending, then three wrong endings.
_ITEMS = """\
The kettle began to whistle, so she | took it off the stove
    painted the fence green | sold the bicycle to him | slept under the piano
It was raining hard, so he | opened his umbrella
    watered the garden twice | put on his sunglasses | hung the washing outside to dry
The baby started to cry, so the father | picked her up
    parked the lorry | mowed the lawn again | counted the stars in the sky
The soup was too hot, so they | let it cool for a while
    ran to the bus | froze the lake | wrote a letter to the mayor
The lamp went out, so I | changed the bulb
    boiled an egg | climbed the hill with a rope | fed the horse some hay
The dog heard the doorbell and | began to bark
    read the paper | paid the electricity bill | folded the blue shirts
She missed the last train, so she | took a taxi home
    baked the rails | married the ticket office | planted tulips on the roof
The glass fell on the floor and | broke into pieces
    grew two inches | sang a quiet song to us | learned to swim in June
He wanted to send a letter, so he | bought a stamp
    peeled a potato | polished the trumpet for hours | washed the windows
The bread was in the oven too long and | came out black
    flew south | answered the phone at once | won a medal in Rome
The road was covered with ice, so the driver | slowed down
    took a bath | danced with the traffic light | bought new curtains
My phone battery was empty, so I | plugged it in
    swept it out | buttered both sides of the toast | rowed it ashore
The milk smelled sour, so she | poured it away
    invited it in | hung it above the fireplace | taught it to read
The cat saw a mouse and | chased it across the room
    signed it | typed a report | opened an account at the bank
The shop was already closed, so we | came back the next day
    ate the door | sold the street | swam in the window
The room was getting dark, so he | switched on the light
    cut his hair short | shouted at the wall | ate a bowl of rice
The tyre was flat, so she | pumped it up
    sent it flowers | read it a poem about the sea | hid it in the cake
They were thirsty after the walk and | drank some water
    ironed two shirts | broke three chairs | solved the crossword
The pupil did not understand, so she | asked the teacher
    ate the blackboard | locked the gate | buried the chalk behind the school
The snow melted in spring and | the river rose
    the shoes sang | the clock moved to another town | the piano bought a hat
His shoes were too small, so he | bought a bigger pair
    boiled some more water | fixed the old radio | drew a long straight line
The alarm rang at six, so the nurse | got up
    flew off | became a wooden chair | melted into the carpet
The plants looked dry, so grandmother | watered them
    married them | drove them to the opera | taught them chess
The film was boring, so they | left before the end
    fried the screen | knitted a bridge | grew a moustache together
"""


def _embedded() -> list[dict]:
    lines = _ITEMS.splitlines()
    examples = []
    for i, (beginning, rest) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        ctx, right = beginning.split(" | ")
        endings = rest.strip().split(" | ")
        endings.insert(i % 4, right)
        examples.append({"ctx": ctx, "endings": endings, "label": i % 4})
    return examples


# 24 of them; the right ending moves from place to place
EMBEDDED_EXAMPLES: list[dict] = _embedded()


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Say how likely a model finds each given token, as a logarithm."""
    return logits.log_softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)


def kl_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """The Kullback-Leibler divergence KL(p ‖ q): how badly q predicts what
    follows p.
    """
    log_p, log_q = logits_p.log_softmax(dim=-1), logits_q.log_softmax(dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def sampled_kl(log_probs_p: Tensor, log_probs_q: Tensor) -> Tensor:
    """Estimate KL(p ‖ q) from tokens that were drawn from p, without the rest of
    the vocabulary.
    """
    return (log_probs_p - log_probs_q).mean()


def load_examples(path: str | Path) -> list[dict]:
    """Read multiple-choice examples from a file in HellaSwag's format."""
    examples = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                item = json.loads(line)
                examples.append(
                    {
                        "ctx": item["ctx"],
                        "endings": item["endings"],
                        "label": int(item["label"]),
                    }
                )
    return examples


def render_example(
    example: dict, encode: Callable[[str], list[int]], block_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Turn one example into rows that a model can score: the context with each of
    the endings.
    """
    ctx = encode(example["ctx"])
    rows, masks = [], []
    for text in example["endings"]:
        ending = encode(" " + text)
        row, mask = ctx + ending, [False] * len(ctx) + [True] * len(ending)
        if block_size is not None:
            row, mask = row[-block_size:], mask[-block_size:]
        rows.append(row)
        masks.append(mask)
    N = max(len(row) for row in rows)
    tokens = torch.tensor([row + [0] * (N - len(row)) for row in rows])
    mask = torch.tensor([mask + [False] * (N - len(mask)) for mask in masks])
    return tokens, mask


def completion_losses(
    logits: Tensor, tokens: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Say how surprised a model is by each ending: −log p over the ending's tokens, as
    a sum and as a mean.
    """
    mask = mask[:, 1:]
    losses = -token_log_probs(logits[:, :-1], tokens[:, 1:])
    sums = losses.masked_fill(~mask, 0.0).sum(dim=1)
    return sums, sums / mask.sum(dim=1)


@torch.no_grad()
def predict(
    model: nn.Module, tokens: Tensor, mask: Tensor, normalize: bool = True
) -> int:
    """Let a model choose an ending."""
    was_training = model.training
    model.eval()
    logits, _ = model(tokens)
    model.train(was_training)
    sums, means = completion_losses(logits, tokens, mask)
    return (means if normalize else sums).argmin().item()


def evaluate_multiple_choice(
    model: nn.Module,
    examples: Iterable[dict],
    encode: Callable[[str], list[int]],
    block_size: int | None = None,
) -> dict:
    """Measure how often a model chooses the right ending."""
    device = next(model.parameters()).device
    correct, correct_norm, total = 0, 0, 0
    for example in examples:
        tokens, mask = render_example(example, encode, block_size)
        tokens, mask = tokens.to(device), mask.to(device)
        correct += predict(model, tokens, mask, normalize=False) == example["label"]
        correct_norm += predict(model, tokens, mask, normalize=True) == example["label"]
        total += 1
    return {"acc": correct / total, "acc_norm": correct_norm / total, "total": total}
