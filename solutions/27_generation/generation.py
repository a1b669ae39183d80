"""Text from a trained model: pick a device, filter and sample the next token, loop, and
keep keys and values meanwhile.

Sizes: B rows, T tokens of context, V = vocab_size. Token ids are torch.long. Softmax
turns logits (one per token of the vocabulary) into probabilities. A logit of −inf is a
probability of 0.
"""

import math  # stub: keep
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
new_cache = prerequisite("26_gpt_model").new_cache


def pick_device(preference: str | None = None) -> torch.device:
    """Choose the device to run on: the one that the caller wishes for, or else the
    fastest of this machine.

    Args:
        preference: "cpu", "cuda:1" or any other name of a device; None = no wish.
    Returns:
        With a wish, that device, index included, whether this machine has it or not.
        Without one "cuda" if torch.cuda.is_available(), else "mps" (Apple's GPU) if
        torch.backends.mps.is_available(), else "cpu".

    Ask both functions in every call without a wish, not once when this module
    is loaded.
    """
    if preference is not None:
        return torch.device(preference)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def top_k_filter(logits: Tensor, k: int) -> Tensor:
    """Keep the k best tokens of each row; all others get −inf.

    Args:
        logits: (..., V), any leading dimensions.
        k: how many tokens stay.
    Returns:
        The same shape. The k largest logits of a row are as before, the others −inf:
        top_k_filter([2., 7., 4.], 2) is [−inf, 7., 4.].

    Edge cases ★
        With k ≥ V nothing changes, and k < 1 is an error. Where several tokens have the
        k-th largest logit, exactly k tokens or a few more may stay. The dtype is kept.
        `logits` is not written to.
    """
    if k < 1:
        raise ValueError(f"at least one token must stay, got k = {k}")
    lowest_kept = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < lowest_kept, -math.inf)


def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """Keep the most probable tokens of each row that together reach probability p
    (nucleus sampling).

    Args:
        logits: (..., V), any leading dimensions, in no order.
        p: the probability to reach.
    Returns:
        The same shape. Take the tokens of a row from the most to the least probable
        until their probabilities add up to p or more. Their logits are as before, the
        others −inf.

    With probabilities (0.1, 0.5, 0.05, 0.35), p = 0.4 keeps token 1 and p = 0.8 tokens
    1 and 3: the token that crosses p stays, so at least one always does.

    Edge cases ★
        Of two equally probable tokens, p = 0.5 keeps one: either one has a sum of
        exactly p. p = 1 keeps every token, however improbable. A p that is not above 0
        and at most 1 is an error. The dtype is kept; for float16 and bfloat16 the
        probabilities and their sums are float32. `logits` is not written to.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p must be above 0 and at most 1, got {p}")
    if p == 1:
        return logits  # rounding may bring a sum to 1 before the last token
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1, dtype=torch.float32)
    # without the token itself: 0 for the first
    reached_before = probabilities.cumsum(dim=-1) - probabilities
    # back from sorted order to that of the ids
    dropped = (reached_before >= p).gather(-1, order.argsort(dim=-1))
    return logits.masked_fill(dropped, -math.inf)


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the next token of every row.

    Args:
        logits: (B, V).
        temperature: divide the logits by it. Below 1 the probable tokens become more
            probable, above 1 less. 0 takes the token with the largest logit, with no
            draw and no division.
        top_k: keep this many tokens, as `top_k_filter`; None = all.
        top_p: keep this much probability, as `top_p_filter`; None = all.
        generator: where the draws come from; None = torch's global one. The same seed
            gives the same tokens.
    Returns:
        (B, 1) long: one id per row, drawn independently with the probabilities
        softmax(filtered logits).

    The order is temperature, top-k, top-p: top-p sees what top-k has left, as
    probabilities that sum to 1 again.

    Edge cases ★
        A temperature below 0 is an error, and so is a top_k or top_p that its filter
        refuses. Temperature 0 tells apart even logits that differ in the last bit only.
        Half precision is computed in float32, so that a small temperature makes no
        infinities. `logits` may be non-contiguous and is not written to.
    """
    if temperature < 0:
        raise ValueError(f"a temperature cannot be negative, got {temperature}")
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits = logits.float() / temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    return torch.multinomial(logits.softmax(dim=-1), num_samples=1, generator=generator)


def next_logits(
    model: nn.Module, idx: Tensor, cache: list[Any] | None = None
) -> Tensor:
    """Ask the model for the logits of the token after idx.

    Args:
        model: called as model(idx), or as model(idx, cache=cache), and in no other way.
            It returns (logits (B, t, V), loss); the logits of position t are for the
            token after it.
        idx: (B, T), all tokens so far.
        cache: what `new_cache(model)` gives. It holds the first len(cache[0]) tokens of
            idx. None = no cache.
    Returns:
        (B, V): the logits of the last position.

    - The model sees at most the last `model.config.block_size` tokens.
    - With a cache, give the model only the tokens that the cache does not hold yet.
    - With more than block_size tokens, the window moves and every token in it has a new
      position. The cached keys and values are then invalid: run the window without
      the cache.
    """
    block_size = model.config.block_size
    if cache is None or idx.size(1) > block_size:
        logits, _ = model(idx[:, -block_size:])
    else:
        logits, _ = model(idx[:, len(cache[0]) :], cache=cache)
    return logits[:, -1]


def apply_stop(
    token: Tensor, done: Tensor, stop_token: int | None
) -> tuple[Tensor, Tensor]:
    """Fill rows that have ended with the stop token, and note which rows end now.

    Args:
        token: (B, 1) long, the tokens just drawn.
        done: (B, 1) bool, the rows that had ended before.
        stop_token: the id that ends a row, 0 included; None = nothing ends a row.
    Returns:
        token (B, 1), with the stop token in every row that had ended, and done (B, 1),
        also True where the stop token was drawn. With stop_token 9, tokens [9, 4, 4]
        and done [False, False, True] become [9, 4, 9] and [True, False, True]. Without
        a stop token both come back as they are.

    Edge cases ★
        Neither argument is written to.
    """
    if stop_token is None:
        return token, done
    token = token.masked_fill(done, stop_token)
    return token, done | (token == stop_token)


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
    """Continue every row of idx, token by token: ask the model, sample, append,
    ask again.

    Args:
        model: a `GPT`, or anything that is called like one (see `next_logits`).
        idx: (B, T) long, the prompts, on the model's device.
        max_new_tokens: how many tokens to add.
        temperature, top_k, top_p, generator: as for `sample_next`.
        stop_token: as for `apply_stop`. Stop tokens in the prompt do not count.
        use_cache: begin with an empty cache, and keep keys and values between the calls
            of the model.
    Returns:
        (B, T + n) long: the prompts and n new tokens. n = max_new_tokens, or fewer if
        every row has ended before.

    The model runs in eval mode and without gradients. With and without cache the tokens
    are the same, at any length.

    Edge cases ★
        Afterwards the model's training mode and the caller's gradient mode are what
        they were, also after an exception. max_new_tokens = 0 gives a copy. `idx` is
        not written to. An idx that is not 2-D, an empty prompt, or a negative
        max_new_tokens is an error. Everything runs on the device of idx.
    """
    if idx.ndim != 2:
        raise ValueError(f"idx must be (B, T), got shape {tuple(idx.shape)}")
    if idx.size(1) == 0:
        raise ValueError("the prompts have no tokens: there is nothing to continue")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens cannot be negative, got {max_new_tokens}")
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = idx.clone()
            cache = new_cache(model) if use_cache else None
            done = torch.zeros(idx.size(0), 1, dtype=torch.bool, device=idx.device)
            for _ in range(max_new_tokens):
                token = sample_next(
                    next_logits(model, out, cache), temperature, top_k, top_p, generator
                )
                token, done = apply_stop(token, done, stop_token)
                out = torch.cat([out, token], dim=1)
                if done.all():
                    break
            return out
    finally:
        model.train(was_training)


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
        model: as for `generate`, with parameters.
        encode: turns a text into a list of token ids. Call it once.
        decode: turns a list of token ids (plain ints) into a text.
        prompt: the text to continue, the same for all samples.
        num_samples: how many continuations, each drawn on its own. Run them as
            one batch.
        max_new_tokens: how many tokens to add at most.
        stop_token: an id that ends a text, or None; also for `generate`.
        sampling: everything else that `generate` takes.
    Returns:
        A list of num_samples texts. Each is the prompt and the decoded continuation,
        cut off before the first generated stop token. A stop token in the prompt cuts
        nothing off.

    Edge cases ★
        The prompt comes back as it was given, even if decode(encode(prompt)) is another
        text. The ids go to the device of the model's parameters. A prompt without
        tokens is an error.
    """
    ids = encode(prompt)
    if len(ids) == 0:
        raise ValueError(
            f"the prompt {prompt!r} has no tokens: there is nothing to continue"
        )
    device = next(model.parameters()).device
    idx = torch.tensor(ids, device=device).repeat(num_samples, 1)
    out = generate(model, idx, max_new_tokens, stop_token=stop_token, **sampling)
    texts = []
    for new in out[:, len(ids) :].tolist():
        if stop_token in new:
            new = new[: new.index(stop_token)]
        texts.append(prompt + decode(new))
    return texts


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
        n_kv_head: heads that have keys and values of their own. (In many models several
            query heads share one.)
        head_dim: features of a head's key, and as many of its value.
        n_tokens: cached tokens per sequence.
        batch_size: sequences cached at the same time.
        dtype: the type of the numbers, floating point or not.
    Returns:
        The bytes, as an int: one key and one value per layer, head, token and sequence.
        One head of size 2 in one layer keeps 2 + 2 numbers per token, so
        kv_cache_bytes(1, 1, 2, 5) is 40 in float16.

    Edge cases ★
        0 is a size like any other: 0 bytes. A negative number is an error.
    """
    factors = (n_layer, n_kv_head, head_dim, n_tokens, batch_size)
    if min(factors) < 0:
        raise ValueError(f"sizes cannot be negative, got {factors}")
    return 2 * math.prod(factors) * dtype.itemsize


def max_cached_tokens(
    budget_bytes: int,
    n_layer: int,
    n_kv_head: int,
    head_dim: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Compute how many tokens each sequence of a batch may have so that all keys and
    values fit into the budget.

    Args:
        budget_bytes: memory for the cache.
        n_layer, n_kv_head, head_dim, batch_size, dtype: as for `kv_cache_bytes`.
    Returns:
        The largest n_tokens, as an int, whose `kv_cache_bytes` are at
        most budget_bytes.

    Edge cases ★
        Exact for budgets of any size, 0 included. A negative budget is an error, and so
        is any other number below 1.
    """
    sizes = (n_layer, n_kv_head, head_dim, batch_size)
    if budget_bytes < 0 or min(sizes) < 1:
        raise ValueError(
            "budget_bytes cannot be negative and sizes are at least 1, got "
            f"{budget_bytes} and {sizes}"
        )
    return budget_bytes // kv_cache_bytes(
        n_layer, n_kv_head, head_dim, 1, batch_size, dtype
    )
