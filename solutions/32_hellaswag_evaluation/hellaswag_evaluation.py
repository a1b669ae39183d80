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

import json  # stub: keep
from collections.abc import Callable, Iterable
from pathlib import Path

import torch  # stub: keep
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig

# Two lines per item: the context and its right ending, then three wrong endings.
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


# 24; in example i the right ending has index i % 4
EMBEDDED_EXAMPLES: list[dict] = _embedded()


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the log-probability that a model gives to each target token.

    Args:
        logits: (B, T, V).
        targets: (B, T) long. targets[b, t] is looked up in logits[b, t]: nothing is
            shifted here.
    Returns:
        (B, T): log softmax(logits[b, t]) at targets[b, t], with gradients to
        the logits.
        Two tokens with the logits 0 and ln 3 have the log-probabilities ln ¼ and ln ¾.

    Edge cases ★
        Logits 0 and 1000 give the first token −1000, not −inf. The logits may be
        non-contiguous. Shapes that differ in (B, T) are an error.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} do not go with targets "
            f"{tuple(targets.shape)}"
        )
    return logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def kl_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence KL(p ‖ q): how badly q predicts tokens
    that come from p.

    Args:
        logits_p: (..., V) raw logits of p, not log-probabilities. p weights the terms.
        logits_q: (..., V) raw logits of q.
    Returns:
        (...): Σ p (log p − log q) over the last dimension, with p and q the softmax of
        the logits.
        For p = [¾, ¼] and q = [½, ½] it is ¾ ln 1.5 + ¼ ln 0.5.

    It is 0 where p equals q and above 0 elsewhere. A constant added to a row of logits
    changes nothing.

    Edge cases ★
        A token whose logit of p is −inf counts 0, even if its logit of q is −inf too.
        Where q alone is −inf the result is +inf.
    """
    log_p, log_q = logits_p.log_softmax(dim=-1), logits_q.log_softmax(dim=-1)
    p = log_p.exp()
    # where p is 0: 0 · −inf would be NaN
    return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)


def sampled_kl(log_probs_p: Tensor, log_probs_q: Tensor) -> Tensor:
    """Estimate KL(p ‖ q) from tokens that were drawn from p, without the rest of
    the vocabulary.

    Args:
        log_probs_p: the log-probabilities that p gives to the drawn tokens, any shape.
        log_probs_q: those that q gives to the same tokens, the same shape.
    Returns:
        A scalar, the mean of log p − log q over all tokens. A few tokens may give less
        than 0. The mean of many is positive, because p finds its own tokens likelier
        than q does.
    """
    return (log_probs_p - log_probs_q).mean()


def load_examples(path: str | Path) -> list[dict]:
    """Read multiple-choice examples from a file in HellaSwag's format.

    Args:
        path: a .jsonl file in UTF-8. Each line is a JSON object with at least `ctx`,
            `endings` and `label`. The label is a number or digits in a string ("2").
    Returns:
        The examples in order, each a dict with just these three keys and the label as
        an int.

    Edge cases ★
        Lines of nothing but white space are skipped. Only a line feed ends a line:
        texts may contain U+2028. A line is an error if it is not a JSON object, lacks
        one of the keys, or has a label that is not the index of an ending. The message
        names the number of the line, counted from 1 and including blank lines.
    """
    examples = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                example = {
                    "ctx": item["ctx"],
                    "endings": item["endings"],
                    "label": int(item["label"]),
                }
            except (ValueError, KeyError, TypeError) as error:
                # no JSON or no number, no such key, no object
                raise ValueError(
                    f"{path}, line {number}: {type(error).__name__}: {error}"
                ) from error
            if not 0 <= example["label"] < len(example["endings"]):
                raise ValueError(
                    f"{path}, line {number}: label {example['label']}, "
                    f"{len(example['endings'])} endings"
                )
            examples.append(example)
    return examples


def render_example(
    example: dict, encode: Callable[[str], list[int]], block_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Turn one example into rows that a model can score: the context with each of
    the endings.

    Args:
        example: `ctx`, and K `endings`.
        encode: the tokenizer. Call it for the context, and for each ending with a space
            before it; never for both joined, because a tokenizer may merge across
            the border.
        block_size: the most tokens per row, or None for any number.
    Returns:
        (tokens, mask), both (K, N). tokens is long: encode(ctx), encode(" " + ending),
        then zeros up to the longest row. mask is bool: True on the ending's tokens.
        With one token per letter, ctx "ab" and the endings "c" and "de" make the rows
        "ab c·" and "ab de" (· is padding) and the masks FFTTF and FFTTT.

    A row longer than block_size loses tokens at its left end, no more than needed. Each
    row is cut by itself.

    Edge cases ★
        A context without tokens is an error. So is an ending of more than
        block_size − 1 tokens: one token of context must remain.
    """
    context = encode(example["ctx"])
    if not context:
        raise ValueError(f"the context {example['ctx']!r} has no tokens")
    endings = [encode(" " + ending) for ending in example["endings"]]
    if block_size is not None and max(map(len, endings)) > block_size - 1:
        raise ValueError(
            f"an ending of {max(map(len, endings))} tokens leaves no context in a "
            f"block of {block_size}"
        )
    rows = [context + ending for ending in endings]
    if block_size is not None:
        rows = [row[-block_size:] for row in rows]
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for k, (row, ending) in enumerate(zip(rows, endings, strict=True)):
        tokens[k, : len(row)] = torch.tensor(row)
        mask[k, len(row) - len(ending) : len(row)] = True
    return tokens, mask


def completion_losses(
    logits: Tensor, tokens: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute −log p of each ending's tokens, as a sum and as a mean.

    Args:
        logits: (K, N, V), as the model returned them for `tokens`.
        tokens, mask: (K, N) each, from `render_example`. No row's mask is True at its
            first token.
    Returns:
        (sums, means), each (K,). A mean is the sum divided by the number of the
        ending's tokens.

    The logits at position t score token t + 1: an ending at positions 3 and 4 is scored
    by the logits at 2 and 3. All other logits have no influence: those of the context
    before its last token, of the padding, of the last position.

    Edge cases ★
        Infinities and NaN in those other logits have no influence either. `tokens` and
        `mask` are not written to.
    """
    judged = mask[:, 1:]
    losses = -token_log_probs(logits[:, :-1], tokens[:, 1:])  # (K, N − 1)
    sums = losses.masked_fill(~judged, 0.0).sum(dim=1)
    return sums, sums / judged.sum(dim=1)


def predict(
    model: nn.Module, tokens: Tensor, mask: Tensor, normalize: bool = True
) -> int:
    """Let a model choose an ending, in eval mode and without gradients.

    Args:
        model: a `GPT`, or anything that is called like one.
        tokens, mask: (K, N) each, from `render_example`, on the model's device.
        normalize: compare the means (True) or the sums (False) of the endings' losses.
    Returns:
        The index of the ending with the lowest loss, as an int.

    Edge cases ★
        Afterwards the model is in the mode it was in before, even if it raised
        an exception.
    """
    sums, means = _losses(model, tokens, mask)
    return int((means if normalize else sums).argmin())


def evaluate_multiple_choice(
    model: nn.Module,
    examples: Iterable[dict],
    encode: Callable[[str], list[int]],
    block_size: int | None = None,
) -> dict:
    """Measure how often a model chooses the right ending, in eval mode and
    without gradients.

    Args:
        model: as for `predict`.
        examples: dicts with `ctx`, `endings` and `label`. The number of endings
            may differ.
        encode, block_size: for `render_example`.
    Returns:
        {"acc": share of the examples whose right ending has the lowest sum, "acc_norm":
        the same for the lowest mean, "total": number of examples}, the shares
        as floats.

    Edge cases ★
        `examples` may be a generator; no examples are an error. The inputs go to the
        device of the model's parameters. The mode is restored as in `predict`.
    """
    device = next(model.parameters()).device
    right_by_sum = right_by_mean = total = 0
    for example in examples:
        tokens, mask = render_example(example, encode, block_size)
        sums, means = _losses(model, tokens.to(device), mask.to(device))
        right_by_sum += int(sums.argmin()) == example["label"]
        right_by_mean += int(means.argmin()) == example["label"]
        total += 1
    if total == 0:
        raise ValueError("there are no examples to evaluate on")
    return {
        "acc": right_by_sum / total,
        "acc_norm": right_by_mean / total,
        "total": total,
    }


def _losses(model: nn.Module, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and means of one example, from one pass in eval mode; the mode
    is restored.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits, _ = model(tokens)
    finally:
        model.train(was_training)
    return completion_losses(logits, tokens, mask)
