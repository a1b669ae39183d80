"""Text from a trained model: pick a device, filter and sample the next token, loop, and keep keys and values meanwhile.

Sizes: B rows, T tokens of context, V = vocab_size. Token ids are torch.long. Logits are unnormalised scores, one a
token of the vocabulary; softmax makes them probabilities. A logit of −inf is a probability of 0.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
new_cache = prerequisite("26_gpt_model").new_cache


def pick_device(preference: str | None = None) -> torch.device:
    """Choose where to run: where the caller wishes, or else on the fastest device of this machine.

    Args:
        preference: "cpu", "cuda:1" or any other name of a device; None = no wish.
    Returns:
        With a wish, that device, index included, whether this machine has it or not. Without one "cuda" if
        torch.cuda.is_available(), else "mps" (Apple's GPU) if torch.backends.mps.is_available(), else "cpu".

    Both are asked in every call without a wish, not once when this module is loaded.
    """
    raise NotImplementedError


def top_k_filter(logits: Tensor, k: int) -> Tensor:
    """Leave only the k best tokens in the running: all others get −inf.

    Args:
        logits: (..., V), any leading dims; each row of V is filtered by itself.
        k: how many tokens stay.
    Returns:
        The same shape and dtype. The k largest logits of a row are as before, the others −inf.
    Raises:
        ValueError: k < 1.

    top_k_filter([2., 7., 4.], 2) is [−inf, 7., 4.]. With k ≥ V nothing changes. Where several tokens have the k-th
    largest logit, exactly k tokens or a few more may stay: break the tie or leave it. logits is not written to.
    """
    raise NotImplementedError


def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """Leave only the most probable tokens that together reach probability p (nucleus sampling): all others get −inf.

    Args:
        logits: (..., V), any leading dims and in any order; each row of V is filtered by itself.
        p: the probability to reach.
    Returns:
        The same shape and dtype. Take the tokens of a row from the most to the least probable until their probabilities
        add up to p or more: the logits of these are as before, the others −inf.
    Raises:
        ValueError: unless 0 < p ≤ 1.

    With probabilities (0.1, 0.5, 0.05, 0.35), p = 0.4 keeps token 1 and p = 0.8 tokens 1 and 3: the token that crosses
    p stays, so at least one always does. p = 1 keeps every token, however improbable. Which one of several equally
    probable tokens stays is free. For float16 and bfloat16 logits the probabilities and their sums are float32. logits
    is not written to.
    """
    raise NotImplementedError


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the next token of every row.

    Args:
        logits: (B, V), float32, float64, float16 or bfloat16, contiguous or not.
        temperature: logits are divided by it. Below 1 the probable tokens become more probable, above 1 less; 0 takes
            the token with the largest logit, without chance and without a division.
        top_k: keep this many tokens, as `top_k_filter`; None = all.
        top_p: keep this much probability, as `top_p_filter`; None = all.
        generator: where the draws come from; None = torch's global one. The same seed gives the same tokens.
    Returns:
        (B, 1) long: one id a row, drawn for each row by itself, with the probabilities softmax(filtered logits).
    Raises:
        ValueError: temperature < 0; a top_k or top_p that its filter refuses (where temperature is above 0).

    The order is temperature, top-k, top-p: p counts on what top-k has left, as probabilities that sum to 1 again. Half
    precision is computed in float32, so that a small temperature makes no infinities. A logit of −inf is never drawn.
    logits is not written to.
    """
    raise NotImplementedError


def generate(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_token: int | None = None,
    use_cache: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continue every row of idx, token by token: ask the model, sample, append, ask again.

    Args:
        model: a `GPT`, or anything that is used like one. It is called as model(idx), or as model(idx, cache=cache)
            with what `new_cache(model)` gives, and in no other way. It returns (logits (B, T, V), loss): the logits of
            position t are for the token after it. Nothing else is used but
            model.config.block_size and the training mode.
        idx: (B, T) long, the prompts, T ≥ 1, on the model's device.
        max_new_tokens: how many tokens to add, 0 or more.
        temperature, top_k, top_p, generator: as for `sample_next`.
        stop_token: an id that ends a row, or None. A row that has *produced* it gets nothing but stop tokens from then
            on; as soon as every row has produced it, the loop ends. Stop tokens in the prompt do not count.
        use_cache: keep keys and values between the calls, so that the model works on new tokens only.
    Returns:
        (B, T + n) long: the prompts, and n ≤ max_new_tokens new tokens. n = max_new_tokens if not every row stops. With
        max_new_tokens = 0 a copy of idx.
    Raises:
        ValueError: idx is not 2-D; the prompts have no tokens; max_new_tokens < 0.

    - The model sees the last block_size tokens, or all of them as long as there are no more.
    - It runs in eval mode and without gradients. Afterwards its training mode and the caller's gradient mode are what
      they were before, also when the model raised an exception. idx is not written to.
    - Without use_cache the model is called with no cache at all.
    - With use_cache the first call takes the prompt (its last block_size tokens) and each further call the one new
      token. When there are more than block_size tokens, the window moves and every token in it has a new position:
      what was cached is worthless, so each call takes the whole window then. Every call of generate begins with an
      empty cache.
    - The tokens are the same with and without use_cache (same seed), at any length.
    """
    raise NotImplementedError


def sample_texts(
    model: nn.Module,
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    prompt: str,
    num_samples: int = 1,
    max_new_tokens: int = 50,
    stop_token: int | None = None,
    **sampling: Any,
) -> list[str]:
    """Write several continuations of one prompt, from text to text.

    Args:
        model: as for `generate`, with parameters: the prompt goes to the device where they are.
        encode: turns a text into a list of token ids. It is called once.
        decode: turns a list of token ids (plain ints) into a text.
        prompt: the text to continue, the same for all samples.
        num_samples: how many continuations, at least 1, each drawn on its own. They run as one batch.
        max_new_tokens: how many tokens to add at most.
        stop_token: an id that ends a text, or None; also for `generate`, which ends when every text has ended.
        sampling: everything else that `generate` takes: temperature, top_k, top_p, use_cache, generator.
    Returns:
        num_samples texts, each the prompt as it was given and behind it the decoded continuation, cut off before the
        first stop token that was generated. One in the prompt cuts nothing off.
    Raises:
        ValueError: encode finds no tokens in the prompt.
    """
    raise NotImplementedError


def kv_cache_bytes(
    n_layer: int,
    n_kv_head: int,
    head_dim: int,
    n_tokens: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Count the bytes of a full key/value cache.

    Args:
        n_layer: how many layers keep one.
        n_kv_head: heads that have keys and values of their own. In GPT-2 all heads have; many later models let several
            query heads share one.
        head_dim: features of a head's key, and as many of its value.
        n_tokens: cached tokens of a sequence.
        batch_size: sequences cached at the same time.
        dtype: the type of the numbers.
    Returns:
        The bytes, as an int: one key and one value for each layer, head, token and sequence.
    Raises:
        ValueError: a number is negative. (0 is fine: 0 bytes.)

    One head of size 2 in one layer keeps 2 + 2 numbers a token: kv_cache_bytes(1, 1, 2, 5) is 40 bytes in float16.
    """
    raise NotImplementedError


def max_cached_tokens(
    budget_bytes: int,
    n_layer: int,
    n_kv_head: int,
    head_dim: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Say how long every sequence of a batch can become before its keys and values no longer fit.

    Args:
        budget_bytes: memory for the cache.
        n_layer, n_kv_head, head_dim, batch_size, dtype: as for `kv_cache_bytes`.
    Returns:
        The largest n_tokens, as an int, whose `kv_cache_bytes` are at most budget_bytes. Exact for budgets of any size.
    Raises:
        ValueError: budget_bytes is negative, or another number is below 1.
    """
    raise NotImplementedError
