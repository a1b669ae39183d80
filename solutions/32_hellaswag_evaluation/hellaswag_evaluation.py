"""HellaSwag-style evaluation: a language model answers multiple choice by how likely it finds each ending.

Sizes: K endings, as rows of N tokens, the context's and then the ending's; V = vocab_size. Token ids are torch.long.
An example is a dict: `ctx`, the text so far; `endings`, a list of texts that might follow; `label`, the index of the
right one. `encode` is any function from a text to a list of token ids. A model is an nn.Module with parameters that is
called as model(idx) with idx (K, N) and returns (logits (K, N, V), loss); the logits of position t are for token t + 1.
"""

import json  # stub: keep
from collections.abc import Callable, Iterable
from pathlib import Path

import torch  # stub: keep
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


EMBEDDED_EXAMPLES: list[dict] = _embedded()  # 24 of them; the right ending moves from place to place


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Say how likely a model finds each given token, as a logarithm.

    Args:
        logits: (B, T, V), contiguous or not.
        targets: (B, T) long, the tokens: targets[b, t] is looked up in logits[b, t]. Nothing is shifted here.
    Returns:
        (B, T): log softmax(logits[b, t]) at targets[b, t], with gradients to the logits.
    Raises:
        ValueError: the shapes differ in (B, T).

    Two tokens with the logits 0 and ln 3 have the log-probabilities ln ¼ and ln ¾. A token that is hopeless is no
    problem: with logits 0 and 1000 the first has −1000, not −inf.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not go with targets {tuple(targets.shape)}")
    return logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def kl_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """The Kullback-Leibler divergence KL(p ‖ q): how badly q predicts what follows p.

    Args:
        logits_p: (..., V) raw logits of p, which does the averaging. They are not log-probabilities yet: a constant
            added to all V of them changes nothing.
        logits_q: raw logits of q, the same shape.
    Returns:
        (...): Σ p (log p − log q) over the last dimension, p and q being the softmax of the logits. For p = [¾, ¼] and
        q = [½, ½] it is ¾ ln 1.5 + ¼ ln 0.5.

    It is 0 where p equals q and above 0 elsewhere. A token whose logit of p is −inf has p = 0 and counts 0, whatever q
    says of it, also if its logit of q is −inf too. Where q alone is −inf the result is +inf.
    """
    log_p, log_q = logits_p.log_softmax(dim=-1), logits_q.log_softmax(dim=-1)
    p = log_p.exp()
    return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)  # where p is 0: 0 · −inf would be NaN


def sampled_kl(log_probs_p: Tensor, log_probs_q: Tensor) -> Tensor:
    """Estimate KL(p ‖ q) from tokens that were drawn from p, without the rest of the vocabulary.

    Args:
        log_probs_p: the log-probabilities that p gives to the drawn tokens, any shape.
        log_probs_q: those that q gives to the same tokens, the same shape.
    Returns:
        A scalar, the mean of log p − log q over all tokens. Tokens drawn from p are those that p likes, so on average
        p gives them more than q does, and the mean over many is positive, though a few alone may give less than 0.
    """
    return (log_probs_p - log_probs_q).mean()


def load_examples(path: str | Path) -> list[dict]:
    """Read multiple-choice examples from a file in HellaSwag's format.

    Args:
        path: a .jsonl file in UTF-8: on each line one JSON object with at least `ctx`, `endings` and `label`, the
            label as a number or as digits in a string ("2").
    Returns:
        The examples in order, each a dict with just these three keys; the label is an int.
    Raises:
        ValueError: a line is not the JSON of an object, lacks one of the three keys, or has a label that is empty or
            not the index of an ending, 0 … number of endings − 1. The message holds the number of the line, counted
            from 1, blank lines included.

    Lines with nothing but white space are skipped. Only a line feed ends a line: inside a text there may be other
    characters that `str.splitlines` takes for line ends, such as U+2028.
    """
    examples = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                example = {"ctx": item["ctx"], "endings": item["endings"], "label": int(item["label"])}
            except (ValueError, KeyError, TypeError) as error:  # no JSON or no number, no such key, no object
                raise ValueError(f"{path}, line {number}: {type(error).__name__}: {error}") from error
            if not 0 <= example["label"] < len(example["endings"]):
                raise ValueError(f"{path}, line {number}: label {example['label']}, {len(example['endings'])} endings")
            examples.append(example)
    return examples


def render_example(
    example: dict, encode: Callable[[str], list[int]], block_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Turn one example into rows that a model can score: the context with each of the endings.

    Args:
        example: `ctx`, and K `endings`, K ≥ 1.
        encode: the tokenizer; every ending becomes at least one token. It gets the context as it is, and each ending
            with a space before it, never the two joined: a tokenizer may merge across the border, and the space
            belongs to the ending.
        block_size: the most tokens that the model takes, or None = any number.
    Returns:
        (tokens, mask): tokens (K, N) long, row k holds encode(ctx) and behind it encode(" " + endings[k]), then zeros
        up to the length of the longest row; mask (K, N) bool, True on the ending's tokens.
        With one token a letter, ctx "ab" and the endings "c" and "de" make the rows "ab c·" and "ab de" (· is padding),
        and the mask FFTTF and FFTTT.
    Raises:
        ValueError: ctx has no tokens; with block_size, an ending is longer than block_size − 1, so that not even one
            token of context would fit before it.

    With block_size, a row that is too long loses tokens from the left until it has block_size of them. Each row is cut
    by itself: a long ending costs the others nothing. N is then the length of the longest row that is left.
    """
    context = encode(example["ctx"])
    if not context:
        raise ValueError(f"the context {example['ctx']!r} has no tokens")
    endings = [encode(" " + ending) for ending in example["endings"]]
    if block_size is not None and max(map(len, endings)) > block_size - 1:
        raise ValueError(f"an ending of {max(map(len, endings))} tokens leaves no context in a block of {block_size}")
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


def completion_losses(logits: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Say how surprised a model is by each ending: −log p over the ending's tokens, as a sum and as a mean.

    Args:
        logits: (K, N, V), as the model returned them for `tokens`.
        tokens: (K, N) long, from `render_example`.
        mask: (K, N) bool, True on the ending's tokens: at least one in each row, never the first of the row.
    Returns:
        (sums, means), each (K,). The logits of position t judge token t + 1, so an ending at positions 3 and 4 is
        judged by the logits of positions 2 and 3. A mean is the sum divided by how many tokens the ending has.

    Logits that judge nothing have no influence, whatever they hold, infinities and NaN included: those of the context
    except the last, of the padding, of the last position. tokens and mask are not written to.
    """
    judged = mask[:, 1:]
    losses = -token_log_probs(logits[:, :-1], tokens[:, 1:])  # (K, N − 1)
    sums = losses.masked_fill(~judged, 0.0).sum(dim=1)
    return sums, sums / judged.sum(dim=1)


def predict(model: nn.Module, tokens: Tensor, mask: Tensor, normalize: bool = True) -> int:
    """Let a model choose an ending.

    Args:
        model: a `GPT`, or anything that is called like one.
        tokens, mask: (K, N) each, from `render_example`, on the model's device.
        normalize: compare the means (True) or the sums (False) of the endings' losses.
    Returns:
        The index of the ending with the lowest loss, as an int.

    The model runs in eval mode and without gradients. Afterwards its training mode is what it was before, also when it
    raised an exception.
    """
    sums, means = _losses(model, tokens, mask)
    return int((means if normalize else sums).argmin())


def evaluate_multiple_choice(
    model: nn.Module,
    examples: Iterable[dict],
    encode: Callable[[str], list[int]],
    block_size: int | None = None,
) -> dict:
    """Measure how often a model chooses the right ending.

    Args:
        model: as for `predict`, with at least one parameter. Its inputs go to the device where its parameters are.
        examples: dicts with `ctx`, `endings` and `label`; any iterable, a generator too. The number of endings may
            differ from example to example.
        encode, block_size: for `render_example`.
    Returns:
        {"acc": share of the examples whose right ending has the lowest sum, "acc_norm": share of those where it has
        the lowest mean, "total": number of examples}, the shares as floats.
    Raises:
        ValueError: there are no examples.

    Eval mode, gradients and the mode afterwards are as in `predict`.
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
    return {"acc": right_by_sum / total, "acc_norm": right_by_mean / total, "total": total}


def _losses(model: nn.Module, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and means of one example, from one pass in eval mode; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits, _ = model(tokens)
    finally:
        model.train(was_training)
    return completion_losses(logits, tokens, mask)
