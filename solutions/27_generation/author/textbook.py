"""Text from a trained model: pick a device, filter and sample the next token, loop, and
keep keys and values meanwhile.

Sizes: B rows, T tokens of context, V = vocab_size. Token ids are torch.long. Logits are
unnormalised scores, one a token of the vocabulary; softmax makes them probabilities. A
logit of −inf is a probability of 0.
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
    """Choose where to run: where the caller wishes, or else on the fastest device of
    this machine.
    """
    if preference is not None:
        return torch.device(preference)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def top_k_filter(logits: Tensor, k: int) -> Tensor:
    """Leave only the k best tokens in the running: all others get −inf."""
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """Leave only the most probable tokens that together reach probability p (nucleus
    sampling): all others get −inf.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    probs = ordered.softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs  # what the more probable tokens have together
    remove = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(remove, -math.inf)


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the next token of every row."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits = logits / temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)


def next_logits(
    model: nn.Module, idx: Tensor, cache: list[Any] | None = None
) -> Tensor:
    """Ask the model for the logits of the token after idx."""
    block_size = model.config.block_size
    if cache is None or idx.shape[1] > block_size:
        logits, _ = model(idx[:, -block_size:])
    else:
        cached = len(cache[0])
        logits, _ = model(idx[:, cached:], cache=cache)
    return logits[:, -1]


def apply_stop(
    token: Tensor, done: Tensor, stop_token: int | None
) -> tuple[Tensor, Tensor]:
    """Fill rows that have ended with the stop token, and note which rows end now."""
    if stop_token is not None:
        token = torch.where(done, stop_token, token)
        done = done | (token == stop_token)
    return token, done


@torch.no_grad()
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
    """
    was_training = model.training
    model.eval()
    cache = new_cache(model) if use_cache else None
    done = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        logits = next_logits(model, idx, cache)
        token = sample_next(logits, temperature, top_k, top_p, generator)
        token, done = apply_stop(token, done, stop_token)
        idx = torch.cat([idx, token], dim=1)
        if done.all():
            break
    model.train(was_training)
    return idx


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
    """Write several continuations of one prompt, from text to text."""
    ids = encode(prompt)
    device = next(model.parameters()).device
    idx = torch.tensor([ids] * num_samples, device=device)
    out = generate(model, idx, max_new_tokens, stop_token=stop_token, **sampling)
    texts = []
    for row in out[:, len(ids) :].tolist():
        if stop_token in row:
            row = row[: row.index(stop_token)]
        texts.append(prompt + decode(row))
    return texts


def kv_cache_bytes(
    n_layer: int,
    n_kv_head: int,
    head_dim: int,
    n_tokens: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Count the bytes of a full key/value cache."""
    return 2 * n_layer * n_kv_head * head_dim * n_tokens * batch_size * dtype.itemsize


def max_cached_tokens(
    budget_bytes: int,
    n_layer: int,
    n_kv_head: int,
    head_dim: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Say how long every sequence of a batch can become before its keys and values no
    longer fit.
    """
    return budget_bytes // kv_cache_bytes(
        n_layer, n_kv_head, head_dim, 1, batch_size, dtype
    )
