"""A language model from the first character to the last: text, tokenizer, tensors, GPT,
training, samples, verdict.

A document is a string. A stream is a 1-D long tensor of token ids, in which `eot`, the
id of the end-of-text mark, comes before each document. A loss is in nats per token.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
    `grader.datasets.prose()`, not yet joined."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def split_prose(docs: Sequence[str], every: int = 5) -> tuple[list[str], list[str]]:
    """Hold out one document in `every`, and remove its paragraphs that occur in
    training documents.

    Args:
        docs: the documents.
        every: document i is for validation if i % every == every // 2. With every = 5
            these are 2, 7, 12, …
    Returns:
        (train, val), both in the order of docs. Training documents are unchanged.
        With every = 2, ["A\\n\\nB", "B\\n\\nC", "D"] gives train ["A\\n\\nB", "D"] and
        val ["C"].

    A paragraph is a run of lines that are not blank. Two paragraphs are the same if
    they are equal after `strip()`, which is for this comparison alone: remaining
    paragraphs keep every character, their indentation too. They are joined with
    "\\n\\n". A validation document with none is dropped.

    Edge cases ★
        A line of white space alone is blank, too. Blank lines at the ends of a document
        belong to no paragraph.
        `every` below 2, or fewer than `every` documents, is an error.
    """
    raise NotImplementedError


def prepare(
    docs: Sequence[str], vocab_size: int = 384, every: int = 5, bpe_chars: int = 40_000
) -> CapstoneData:
    """Turn documents into a tokenizer and two streams of ids.

    Args:
        docs: documents for `split_prose(docs, every)`.
        vocab_size: the largest number of tokens, including the end-of-text mark.
        bpe_chars: learn merges from the first bpe_chars characters of all training
            documents, joined with "\\n\\n". Validation text is not used.
    Returns:
        A CapstoneData:

        - tokenizer: a BPETokenizer with the merges of `train_bpe` for vocab_size − 1
          tokens, and the special token "<|endoftext|>". Its id is the next free one,
          even if the text ran out of pairs to merge.
        - train, val: for each document, eot and then the ids of its text
        - val_bytes: the UTF-8 bytes of the validation documents that
          `split_prose` returned
        - eot: the id of "<|endoftext|>"

    Edge cases ★
        "<|endoftext|>" inside a document is ordinary text. If no validation document is
        left, val is empty, 1-D and long. A vocab_size below 257 is an error; so is
        anything that `split_prose` refuses.
    """
    raise NotImplementedError


def context_counts(train: Tensor, k: int) -> tuple[Counter, Counter]:
    """Count the contexts of k tokens in a stream, and what follows them.

    Args:
        train: (N,) token ids.
        k: how many tokens a context has, 0 or more.
    Returns:
        (contexts, grams). Keys are tuples of ints.

        - grams: k tokens and the one that follows them → how often these k + 1
          tokens occur
        - contexts: k tokens → how often any token follows them

        Train 0 1 0 2 0 and k = 1 give grams {(0, 1): 1, (1, 0): 1, (0, 2): 1, (2, 0):
        1} and contexts {(0,): 2, (1,): 1, (2,): 1}: nothing follows the 0 at the end,
        so it does not count. With k = 0 the context is (), N times.
    """
    raise NotImplementedError


def ngram_loss(
    train: Tensor, val: Tensor, n: int, vocab_size: int, strength: float = 5.0
) -> float:
    """Measure the loss of a model that predicts a token by counting what followed the
    n − 1 tokens before it.

    Args:
        train: (N,) token ids to count.
        val: (M,) token ids to predict.
        n: the length of an n-gram: 1 looks at no context, 2 at one token, …
        vocab_size: V, the number of tokens, seen or not.
        strength: the weight of the next shorter context, in counts.
    Returns:
        The mean of −ln p over the positions n − 1, n, … of val, a float in nats
        per token.

    The probability of a token w is p_{n-1}. In p_k, "context" is the last k tokens
    before w:

        p_{-1} = 1 / V
        p_k = (count(context, w) + strength · p_{k-1}) / (count(context) + strength)
              for k = 0, 1, …, n − 1

    The counts are those of `context_counts`. If a context was never
    seen, p_k = p_{k-1}.

    Edge cases ★
        `train` may be empty: the loss is ln V. n below 1, a strength of 0 or less, and
        a val of fewer than n tokens are errors.
    """
    raise NotImplementedError


def evaluate_stream(model: nn.Module, stream: Tensor, batch_size: int = 32) -> float:
    """Measure the mean loss of a model over a whole stream, window by window, in eval
    mode and without gradients.

    Args:
        model: a GPT. model(x, y) gives (logits, loss), and model.config.block_size
            is T.
        stream: (M,) token ids.
        batch_size: the largest number of windows that go through the model at once.
    Returns:
        The mean loss over all full windows, a float. It does not depend on batch_size.

    The inputs of window w are the tokens w·T … w·T + T − 1; the target of each is the
    token after it. Windows do not overlap, and each needs T + 1 tokens. Leave out the
    tokens at the end that are too few for a window.

    Edge cases ★
        Afterwards the model is in the mode it was in before, even after an error. A
        stream of fewer than T + 1 tokens is an error that names its length.
    """
    raise NotImplementedError


def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Convert a loss in nats per token to bits per byte, which compares models with
    different tokenizers.

    Args:
        loss: the mean loss in nats per token.
        n_tokens: how many tokens the text has.
        n_bytes: how many UTF-8 bytes the same text has.
    Returns:
        loss · n_tokens / (ln 2 · n_bytes). With one token per byte, a loss of ln 256 is
        8 bits per byte.

    Edge cases ★
        `n_bytes` of 0 or less is an error.
    """
    raise NotImplementedError


def train_capstone(
    data: CapstoneData, config: CapstoneConfig, generator: torch.Generator | None = None
) -> tuple[GPT, dict[str, list]]:
    """Train a GPT from scratch on data.train, and evaluate it at intervals.

    Args:
        data: from `prepare`.
        config: sizes and settings.
        generator: draws the training windows; None is torch's global generator, from
            which start weights and dropout always draw.
    Returns:
        (model, history): a GPT with the sizes and dropout of config and the tokenizer's
        vocabulary, in eval mode, and a dict of lists:

        - "step": 0 to steps − 1
        - "loss": each step's training loss before its update, a float
        - "val": pairs (step, `evaluate_stream` on data.val), before each update whose
          step is a multiple of eval_every. The last pair (steps, loss) is the
          returned model's.

    Each step draws (batch_size, block_size) windows by `random_batch` and makes one
    update in training mode: AdamW with betas (0.9, 0.95), weight decay for parameters
    of two or more dimensions only, gradients clipped to norm 1.0, and the rate
    cosine_lr(step, max_lr, min_lr, warmup_steps, steps).

    Edge cases ★
        A run may have one step. `steps` or `eval_every` below 1 is an error. So is a
        stream of fewer than block_size + 1 tokens. The model is on the device
        of data.train.
    """
    raise NotImplementedError


def lexicon(docs: Sequence[str]) -> set[str]:
    """Collect the words of all documents.

    Args:
        docs: documents.
    Returns:
        The set of all words of at least 3 letters. A word is a run of the letters a–z
        in the lower-cased text. Anything else ends it, digits and accented letters too:
        "Don't print_2nd" has "don" and "print".
    """
    raise NotImplementedError


def known_word_rate(text: str, lexicon: set[str]) -> float:
    """Return the share of a text's words that are known: a crude measure for samples of
    a small model.

    Args:
        text: a sample.
        lexicon: the known words, in lower case.
    Returns:
        A share from 0.0 to 1.0 of the words that `lexicon` would find in the text.
        Repeated words count each time.

    Edge cases ★
        For a text without words, 0.0.
    """
    raise NotImplementedError


def reproduction_plan(
    n_params: float,
    n_tokens: float,
    tokens_per_step: float,
    peak_flops: float,
    mfu: float,
    n_devices: int = 1,
    price_per_hour: float = 0.0,
) -> dict[str, float]:
    """Estimate what training a model of a given size takes, before anybody pays for it.

    Args:
        n_params: N, parameters of the model.
        n_tokens: D, tokens of the whole run.
        tokens_per_step: tokens per update, all devices together.
        peak_flops: operations per second that one device can do at most.
        mfu: model FLOPs utilization, the share of peak_flops that the run reaches.
        n_devices: the number of devices that work in parallel.
        price_per_hour: per device.
    Returns:
        - "steps": the whole steps in n_tokens, rounded down, an int
        - "flops": 6 · N · D, a float: per parameter and token 2 operations forward and
          4 backward
        - "hours": flops / (peak_flops · mfu · n_devices) / 3600
        - "cost": hours · n_devices · price_per_hour

        10 billion tokens at 524288 per step are 19073 steps.

    Edge cases ★
        An argument of 0 or less is an error; only the price may be 0. So is an mfu
        above 1.
    """
    raise NotImplementedError
