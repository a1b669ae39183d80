"""A language model from the first character to the last: text, tokenizer, tensors, GPT,
training, samples, verdict.
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
    """The data that a run learns from and is judged by."""

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
    `grader.datasets.prose()`, not yet joined.
    """
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def _paragraphs(text: str) -> list[str]:
    """The runs of lines that are not blank."""
    groups = groupby(text.split("\n"), key=lambda line: bool(line.strip()))
    return ["\n".join(lines) for has_text, lines in groups if has_text]


def split_prose(docs: Sequence[str], every: int = 5) -> tuple[list[str], list[str]]:
    """Hold out every so many-th document, and take out of it what the training
    documents say as well.
    """
    train = [doc for i, doc in enumerate(docs) if i % every != every // 2]
    held_out = [doc for i, doc in enumerate(docs) if i % every == every // 2]
    seen = {paragraph.strip() for doc in train for paragraph in _paragraphs(doc)}
    val = []
    for doc in held_out:
        new = [
            paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in seen
        ]
        if new:
            val.append("\n\n".join(new))
    return train, val


def _stream(docs: Sequence[str], tokenizer: BPETokenizer, eot: int) -> Tensor:
    ids = []
    for doc in docs:
        ids += [eot, *tokenizer.encode(doc)]
    return torch.tensor(ids, dtype=torch.long)


def prepare(
    docs: Sequence[str], vocab_size: int = 384, every: int = 5, bpe_chars: int = 40_000
) -> CapstoneData:
    """Turn documents into a tokenizer and two streams of ids."""
    train, val = split_prose(docs, every)
    merges = train_bpe("\n\n".join(train)[:bpe_chars], vocab_size - 1)
    eot = 256 + len(merges)
    tokenizer = BPETokenizer(merges, special_tokens={"<|endoftext|>": eot})
    return CapstoneData(
        tokenizer=tokenizer,
        train=_stream(train, tokenizer, eot),
        val=_stream(val, tokenizer, eot),
        val_bytes=sum(len(doc.encode("utf-8")) for doc in val),
        eot=eot,
    )


def context_counts(train: Tensor, k: int) -> tuple[Counter, Counter]:
    """Count the contexts of k tokens in a stream, and what follows them."""
    tokens = train.tolist()
    contexts, grams = Counter(), Counter()
    for i in range(k, len(tokens)):
        contexts[tuple(tokens[i - k : i])] += 1
        grams[tuple(tokens[i - k : i + 1])] += 1
    return contexts, grams


def ngram_loss(
    train: Tensor, val: Tensor, n: int, vocab_size: int, strength: float = 5.0
) -> float:
    """Measure the loss of a model that predicts a token by counting what followed the
    n − 1 tokens before it.
    """
    counts = [context_counts(train, k) for k in range(n)]
    tokens = val.tolist()
    total = 0.0
    for i in range(n - 1, len(tokens)):
        p = 1 / vocab_size
        for k, (contexts, grams) in enumerate(counts):
            gram = tuple(tokens[i - k : i + 1])
            p = (grams[gram] + strength * p) / (contexts[gram[:-1]] + strength)
        total -= math.log(p)
    return total / (len(tokens) - n + 1)


@torch.no_grad()
def evaluate_stream(model: nn.Module, stream: Tensor, batch_size: int = 32) -> float:
    """Measure the mean loss of a model over a whole stream, window by window."""
    was_training = model.training
    model.eval()
    T = model.config.block_size
    n = (len(stream) - 1) // T
    x, y = stream[: n * T].view(n, T), stream[1 : n * T + 1].view(n, T)
    total = 0.0
    for xb, yb in zip(x.split(batch_size), y.split(batch_size)):
        _, loss = model(xb, yb)
        total += loss.item() * len(xb)
    model.train(was_training)
    return total / n


def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Turn a loss in nats a token into bits a byte, in which models with different
    tokenizers can be compared.
    """
    return loss * n_tokens / (math.log(2) * n_bytes)


def train_capstone(
    data: CapstoneData, config: CapstoneConfig, generator: torch.Generator | None = None
) -> tuple[GPT, dict[str, list]]:
    """Train a GPT from nothing on data.train, and measure it on data.val on the way."""
    model = GPT(
        GPTConfig(
            block_size=config.block_size,
            vocab_size=data.tokenizer.vocab_size,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_embd=config.n_embd,
            dropout=config.dropout,
        )
    )
    optimizer = make_optimizer(model, config.max_lr, config.weight_decay)
    history = {"step": [], "loss": [], "val": []}
    for step in range(config.steps):
        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
        batch = random_batch(
            data.train, config.batch_size, config.block_size, generator
        )
        lr = cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.steps
        )
        result = train_step(model, optimizer, [batch], max_norm=1.0, lr=lr)
        history["step"].append(step)
        history["loss"].append(result["loss"])
    history["val"].append((config.steps, evaluate_stream(model, data.val)))
    return model.eval(), history


def _words(text: str) -> list[str]:
    return re.findall("[a-z]{3,}", text.lower())


def lexicon(docs: Sequence[str]) -> set[str]:
    """Collect the words of all documents."""
    return {word for doc in docs for word in _words(doc)}


def known_word_rate(text: str, lexicon: set[str]) -> float:
    """Say how much of a text consists of known words: a crude but honest mark for the
    samples of a small model.
    """
    words = _words(text)
    return sum(word in lexicon for word in words) / len(words)


def reproduction_plan(
    n_params: float,
    n_tokens: float,
    tokens_per_step: float,
    peak_flops: float,
    mfu: float,
    n_devices: int = 1,
    price_per_hour: float = 0.0,
) -> dict[str, float]:
    """Work out what it takes to train a model of that size, before anybody pays
    for it.
    """
    flops = 6.0 * n_params * n_tokens
    hours = flops / (peak_flops * mfu * n_devices) / 3600
    return {
        "steps": int(n_tokens // tokens_per_step),
        "flops": flops,
        "hours": hours,
        "cost": hours * n_devices * price_per_hour,
    }
