"""A language model from the first character to the last: text, tokenizer, tensors, GPT, training, samples; and a
verdict, for which a model that only counts stands beside it, and text that was really held back.

A document is a string. A stream is a 1-D long tensor of token ids in which `eot`, the id of the end-of-text mark,
stands before each document. A loss is in nats a token.
Wherever a ValueError is raised, its message names the value that is wrong.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

BPETokenizer = prerequisite("23_tokenizers").BPETokenizer
train_bpe = prerequisite("23_tokenizers").train_bpe
random_batch = prerequisite("24_token_batches").random_batch
GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
generate = prerequisite("27_generation").generate
sample_texts = prerequisite("27_generation").sample_texts
make_optimizer = prerequisite("29_gpt_training").make_optimizer
cosine_lr = prerequisite("29_gpt_training").cosine_lr
train_step = prerequisite("29_gpt_training").train_step


@dataclass
class CapstoneData:
    """What a run learns from and is judged by."""

    tokenizer: BPETokenizer
    train: Tensor  # (N,) the stream of the training documents
    val: Tensor  # (M,) the stream of the validation documents
    val_bytes: int  # UTF-8 bytes of the validation documents, without the marks
    eot: int  # the id of the end-of-text mark


@dataclass
class CapstoneConfig:
    """The sizes of the model and the settings of the run."""

    n_layer: int = 1
    n_head: int = 4
    n_embd: int = 96
    block_size: int = 32
    dropout: float = 0.0
    batch_size: int = 16
    steps: int = 800
    max_lr: float = 3e-3
    min_lr: float = 3e-4
    warmup_steps: int = 20
    weight_decay: float = 0.1
    eval_every: int = 200


def prose_documents() -> list[str]:
    """The topics of Python's own `help()` in sorted order, one document each:
    `grader.datasets.prose()`, not yet joined."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def split_prose(docs: Sequence[str], every: int = 5) -> tuple[list[str], list[str]]:
    """Hold out every so many-th document, and take out of it what the training documents say as well.

    Args:
        docs: documents, in an order that stays.
        every: one document out of so many is held out. Document i is for validation if i % every == every // 2; with
            every = 5 these are the documents 2, 7, 12, …
    Returns:
        (train, val), each in the order of docs. The training documents are unchanged. In a validation document every
        paragraph that also stands in a training document is missing.

    A paragraph is a run of lines that are not blank; a line of nothing but white space is blank. Two paragraphs are the
    same if they are equal after `strip()`, wherever they stand in their documents. Those that stay keep every
    character, the indentation of their first line included, and are joined with "\\n\\n". A validation document of
    which nothing stays is dropped.

    With every = 2, ["A\\n\\nB", "B\\n\\nC", "D"] gives train ["A\\n\\nB", "D"] and val ["C"].

    Raises:
        ValueError: every < 2, or there are fewer than `every` documents.
    """
    if every < 2 or len(docs) < every:
        raise ValueError(f"cannot hold out one document in {every} of {len(docs)}")
    train = [doc for i, doc in enumerate(docs) if i % every != every // 2]
    known = {paragraph.strip() for doc in train for paragraph in _paragraphs(doc)}
    val = []
    for doc in docs[every // 2 :: every]:
        new = [paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in known]
        if new:
            val.append("\n\n".join(new))
    return train, val


def prepare(docs: Sequence[str], vocab_size: int = 384, every: int = 5, bpe_chars: int = 40_000) -> CapstoneData:
    """Turn documents into a tokenizer and two streams of ids.

    Args:
        docs: documents, split by `split_prose(docs, every)`.
        vocab_size: how many tokens there may be, the end-of-text mark included. There are fewer if the text runs out of
            pairs to merge.
        every: for `split_prose`.
        bpe_chars: merges are learned from so many characters, the first of all training documents joined with "\\n\\n".
    Returns:
        A CapstoneData:

        - tokenizer: a BPETokenizer with the merges of `train_bpe`, vocab_size − 1 entries, and the special token
          "<|endoftext|>", whose id is the next one free: the last of all ids. No validation text has a part in it.
        - train, val: for each document, eot and then the ids of its text; 1-D and long, also if no document is left.
          "<|endoftext|>" inside a document is text like any other.
        - val_bytes: the UTF-8 bytes of all validation documents, as split_prose leaves them.
        - eot: the id of "<|endoftext|>".
    Raises:
        ValueError: vocab_size < 257, which the 256 bytes and the mark need; or what split_prose refuses.
    """
    if vocab_size < 257:
        raise ValueError(f"256 bytes and the end-of-text mark need a vocab_size of at least 257, got {vocab_size}")
    train, val = split_prose(docs, every)
    merges = train_bpe("\n\n".join(train)[:bpe_chars], vocab_size - 1)
    eot = BPETokenizer(merges).vocab_size
    tokenizer = BPETokenizer(merges, special_tokens={"<|endoftext|>": eot})
    train_ids = [i for doc in train for i in (eot, *tokenizer.encode(doc))]
    val_ids = [i for doc in val for i in (eot, *tokenizer.encode(doc))]
    return CapstoneData(
        tokenizer=tokenizer,
        train=torch.tensor(train_ids, dtype=torch.long),
        val=torch.tensor(val_ids, dtype=torch.long),
        val_bytes=sum(len(doc.encode()) for doc in val),
        eot=eot,
    )


def ngram_loss(train: Tensor, val: Tensor, n: int, vocab_size: int, strength: float = 5.0) -> float:
    """Measure the loss of a model that predicts a token by counting what followed the n − 1 tokens before it.

    Args:
        train: (N,) token ids, what is counted; N may be 0.
        val: (M,) token ids, what is predicted.
        n: how many tokens an n-gram has: 1 looks at no context, 2 at one token, …
        vocab_size: V, all tokens there are, whether they occur or not.
        strength: how many counts the opinion of the next shorter context is worth.
    Returns:
        The mean of −ln p over the positions n − 1, n, … of val, a plain float in nats a token.

    The probability p of a token w is p_{n-1} of this ladder, where "context" is the last k tokens before w:

        p_{-1} = 1 / V
        p_k = (count(context, w) + strength · p_{k-1}) / (count(context) + strength)        for k = 0, 1, …, n − 1

    count(context, w) is how often w follows the context in train, count(context) how often any token does: the context
    at the very end of train, with nothing behind it, does not count. For k = 0 the context is empty, so these are how
    often w occurs in train, and N. A context that was never seen leaves the word to the shorter one.

    Raises:
        ValueError: n < 1, strength ≤ 0, or val has fewer than n tokens.
    """
    if n < 1 or strength <= 0 or len(val) < n:
        raise ValueError(f"wanted n >= 1, strength > 0 and n tokens or more, got {n}, {strength} and {len(val)} tokens")
    seen, told = train.tolist(), val.tolist()
    p = [1 / vocab_size] * (len(told) - n + 1)
    for k in range(n):
        counts = Counter(zip(*(seen[j:] for j in range(k + 1))))  # a context of k tokens, and the one that follows
        places = Counter()
        for gram, count in counts.items():
            places[gram[:-1]] += count
        grams = zip(*(told[n - 1 - k + j :] for j in range(k + 1)))  # those that end at n - 1, n, …
        p = [(counts[g] + strength * q) / (places[g[:-1]] + strength) for g, q in zip(grams, p, strict=True)]
    return -sum(map(math.log, p)) / len(p)


def evaluate_stream(model: nn.Module, stream: Tensor, batch_size: int = 32) -> float:
    """Measure the mean loss of a model over a whole stream, window by window.

    Args:
        model: a GPT. model(x, y) gives (logits, loss), and model.config.block_size is T.
        stream: (M,) token ids, long, on the device of the model.
        batch_size: how many windows go through the model at a time.
    Returns:
        The mean loss over all full windows, a plain float. Window w has the tokens w·T … w·T + T − 1 as its input, and
        each one's successor as its target: so no token is a target twice, and a window needs T + 1 tokens. What is left
        over at the end, too short for a window, is not looked at. Every target counts the same; batch_size changes
        nothing but the time it takes.

    The model is in eval mode meanwhile, and no gradients are computed. Afterwards it is in the mode that it came in,
    training or eval, also when an error is raised on the way.

    Raises:
        ValueError: there is not one window: the stream has fewer than T + 1 tokens.
    """
    size = model.config.block_size
    count = (len(stream) - 1) // size
    if count < 1:
        raise ValueError(f"a window of {size} tokens and the one after it do not fit into {len(stream)}")
    x = stream[: count * size].view(count, size)
    y = stream[1 : count * size + 1].view(count, size)
    was_training = model.training
    model.eval()
    total = 0.0
    try:
        with torch.no_grad():
            for inputs, targets in zip(x.split(batch_size), y.split(batch_size), strict=True):
                total += model(inputs, targets)[1].item() * len(inputs)
    finally:
        model.train(was_training)
    return total / count


def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Turn a loss in nats a token into bits a byte, in which models with different tokenizers can be compared.

    Args:
        loss: mean loss, nats a token.
        n_tokens: how many tokens the text has.
        n_bytes: how many UTF-8 bytes the same text has.
    Returns:
        loss · n_tokens / (ln 2 · n_bytes). A loss of ln 256 on bytes, each of them a token, is 8 bits a byte.
    Raises:
        ValueError: n_bytes ≤ 0.
    """
    if n_bytes <= 0:
        raise ValueError(f"a text has at least one byte, got {n_bytes}")
    return loss * n_tokens / (math.log(2) * n_bytes)


def train_capstone(
    data: CapstoneData, config: CapstoneConfig, generator: torch.Generator | None = None
) -> tuple[GPT, dict[str, list]]:
    """Train a GPT from nothing on data.train, and measure it on data.val on the way.

    Args:
        data: streams on the CPU.
        config: sizes and settings.
        generator: where the offsets of the training windows come from; None takes torch's global generator. The start
            weights and dropout always draw from the global one.
    Returns:
        (model, history). The model is a GPT with the sizes of config, the tokenizer's vocabulary and GPTConfig's own
        bias, in eval mode. history is a dict of lists:

        - "step": 0, 1, …, steps − 1
        - "loss": of each step the training loss before its update, plain floats
        - "val": pairs (step, `evaluate_stream` on data.val): before the update of every step that is a multiple of
          eval_every, and at the end one more, (steps, that of the model returned).

    Each step draws batch_size windows of block_size tokens from data.train, as `random_batch` does, and makes one
    update in training mode: AdamW with betas 0.9 and 0.95, in which the parameters with two or more dimensions decay by
    weight_decay and the others do not; gradients clipped to a norm of 1.0; the rate of step s is
    cosine_lr(s, max_lr, min_lr, warmup_steps, steps). The same seeds give the same losses.

    Raises:
        ValueError: steps or eval_every is below 1; a stream has fewer than block_size + 1 tokens.
    """
    if config.steps < 1 or config.eval_every < 1:
        raise ValueError(f"steps and eval_every are at least 1, got {config.steps} and {config.eval_every}")
    sizes = {"n_layer": config.n_layer, "n_head": config.n_head, "n_embd": config.n_embd, "dropout": config.dropout}
    model = GPT(GPTConfig(block_size=config.block_size, vocab_size=data.tokenizer.vocab_size, **sizes))
    optimizer = make_optimizer(model, config.max_lr, config.weight_decay, betas=(0.9, 0.95))
    history = {"step": [], "loss": [], "val": []}
    for step in range(config.steps):
        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
        batch = random_batch(data.train, config.batch_size, config.block_size, generator)
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)
        result = train_step(model, optimizer, [batch], max_norm=1.0, lr=lr)
        history["step"].append(step)
        history["loss"].append(result["loss"])
    history["val"].append((config.steps, evaluate_stream(model, data.val)))
    return model.eval(), history


def lexicon(docs: Sequence[str]) -> set[str]:
    """Collect the words of all documents.

    Args:
        docs: documents.
    Returns:
        Every word of at least 3 letters, in lower case. A word is a run of the letters a–z after the text has been
        lower-cased; everything else, digits and letters with accents included, ends it: "Don't print_2nd" has "don" and
        "print".
    """
    return {word for doc in docs for word in _words(doc)}


def known_word_rate(text: str, lexicon: set[str]) -> float:
    """Say how much of a text consists of known words: a crude but honest mark for the samples of a small model.

    Args:
        text: what was written.
        lexicon: the known words, in lower case.
    Returns:
        Of the words of the text, found as in `lexicon`, the share that is known, from 0.0 to 1.0. A word that occurs
        twice counts twice. A text without words has 0.0.
    """
    words = _words(text)
    return sum(word in lexicon for word in words) / len(words) if words else 0.0


def reproduction_plan(
    n_params: float,
    n_tokens: float,
    tokens_per_step: float,
    peak_flops: float,
    mfu: float,
    n_devices: int = 1,
    price_per_hour: float = 0.0,
) -> dict[str, float]:
    """Work out what it takes to train a model of that size, before anybody pays for it.

    Args:
        n_params: N, parameters of the model.
        n_tokens: D, tokens of the whole run.
        tokens_per_step: tokens of one update, all devices together.
        peak_flops: operations a second that one device can do at most.
        mfu: model flops utilization, the share of them that the run gets, above 0 and at most 1.
        n_devices: how many devices work side by side.
        price_per_hour: of one device.
    Returns:
        A dict of

        - "steps": the whole steps in n_tokens, rounded down, an int;
        - "flops": 6 · N · D, a float: 2 operations a parameter and token forward, twice as many backward;
        - "hours": flops / (peak_flops · mfu · n_devices) / 3600;
        - "cost": hours · n_devices · price_per_hour.

        GPT-2 with 124 million parameters, 10 billion tokens and 524288 a step makes 19073 steps.
    Raises:
        ValueError: an argument is 0 or negative (only the price may be 0), or mfu is above 1.
    """
    sizes = {"n_params": n_params, "n_tokens": n_tokens, "tokens_per_step": tokens_per_step, "peak_flops": peak_flops}
    for name, value in {**sizes, "mfu": mfu, "n_devices": n_devices}.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if mfu > 1 or price_per_hour < 0:
        raise ValueError(f"mfu is at most 1 and a price not negative, got {mfu} and {price_per_hour}")
    flops = 6.0 * n_params * n_tokens
    hours = flops / (peak_flops * mfu * n_devices) / 3600
    return {
        "steps": int(n_tokens // tokens_per_step),
        "flops": flops,
        "hours": hours,
        "cost": hours * n_devices * price_per_hour,
    }


def _paragraphs(doc: str) -> list[str]:
    """The runs of lines that are not blank."""
    runs = groupby(doc.split("\n"), key=lambda line: bool(line.strip()))
    return ["\n".join(lines) for filled, lines in runs if filled]


def _words(text: str) -> list[str]:
    return re.findall("[a-z]{3,}", text.lower())
