"""The parts of a server for many requests: static and paged caches, blocks, a
scheduler, and speculative decoding.

Sizes: B rows, one per request; H query heads, H_kv key heads and D features per head;
V = vocab_size. Token ids are torch.long. Each part may change the speed, and none may
change a token.
"""

import math  # stub: keep
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
generate = prerequisite("27_generation").generate


def static_cache_write(
    k_cache: Tensor, v_cache: Tensor, k: Tensor, v: Tensor, positions: Tensor
) -> None:
    """Write new keys and values into buffers that are as long as a request may become,
    in place.
    """
    rows = torch.arange(len(positions))[:, None]
    k_cache[rows, :, positions] = k.transpose(1, 2)
    v_cache[rows, :, positions] = v.transpose(1, 2)


class StaticLayerCache:
    """A cache of one layer with the interface of 25's LayerCache, over one buffer.
    Given: nothing to write here.

    26's GPT takes a list of these, one per layer.
    """

    def __init__(
        self,
        rows: int,
        heads: int,
        max_len: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.k = torch.zeros(rows, heads, max_len, head_dim, dtype=dtype)
        self.v = torch.zeros_like(self.k)
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + k.size(2)
        static_cache_write(
            self.k, self.v, k, v, torch.arange(self.length, end).expand(k.size(0), -1)
        )
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


class BlockAllocator:
    """Keep account of who uses the blocks of a pool. `__init__` and `num_free`
    are given.

    Attributes:
        references: a list of ints, how many requests use each block. A block with 0
            is free.
    """

    def __init__(self, num_blocks: int) -> None:
        self.references = [0] * num_blocks

    @property
    def num_free(self) -> int:
        return self.references.count(0)

    def allocate(self, n: int) -> list[int]:
        """Hand out free blocks. Each gets one reference."""
        free = [block for block, count in enumerate(self.references) if count == 0]
        if n > len(free):
            raise RuntimeError(f"only {len(free)} blocks are free")
        for block in free[:n]:
            self.references[block] = 1
        return free[:n]

    def share(self, blocks: Sequence[int]) -> None:
        """Let one more request use these blocks."""
        for block in blocks:
            self.references[block] += 1

    def free(self, blocks: Sequence[int]) -> None:
        """End one request's use of these blocks."""
        for block in blocks:
            self.references[block] -= 1


def paged_attention(
    q: Tensor, k_pool: Tensor, v_pool: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    """Attend with one new query per row to keys and values that lie in blocks of a
    shared pool.
    """
    B, H, D = q.shape
    # (B, M * block_size, H_kv, D); -1 reads some block, which is masked
    k = k_pool[block_table].flatten(1, 2)
    v = v_pool[block_table].flatten(1, 2)
    k = k.repeat_interleave(H // k.size(2), dim=2)
    v = v.repeat_interleave(H // v.size(2), dim=2)
    scores = torch.einsum("bhd,bthd->bht", q, k) / math.sqrt(D)
    used = torch.arange(k.size(1)) < lengths[:, None]
    weights = scores.masked_fill(~used[:, None], -math.inf).softmax(-1)
    return torch.einsum("bht,bthd->bhd", weights, v)


@dataclass
class Request:
    """One request, and how far it is. Given: nothing to write here."""

    id: int
    prompt_tokens: int
    max_new_tokens: int
    arrived: int = 0  # the step from which it waits
    computed: int = 0  # tokens of the prompt that have gone through the model
    generated: int = 0  # new tokens so far


def schedule_batch(
    running: list[Request],
    waiting: list[Request],
    budget: int,
    free_blocks: int,
    block_size: int,
) -> dict[int, int]:
    """Decide how many tokens each request computes in the next step."""
    plan = {}
    for request in running:
        if request.computed == request.prompt_tokens and budget > 0:
            plan[request.id] = 1
            budget -= 1
    for request in running:
        rest = min(request.prompt_tokens - request.computed, budget)
        if rest > 0:
            plan[request.id] = rest
            budget -= rest
    for request in waiting:
        blocks = math.ceil(
            (request.prompt_tokens + request.max_new_tokens) / block_size
        )
        if budget == 0 or blocks > free_blocks:
            break
        plan[request.id] = min(request.prompt_tokens, budget)
        budget -= plan[request.id]
        free_blocks -= blocks
    return plan


def serve(
    requests: Sequence[Request],
    budget: int,
    num_blocks: int,
    block_size: int,
    policy: Callable[..., dict[int, int]],
) -> dict:
    """Simulate a server step by step: count tokens, run no model. Given: nothing to
    write here.

    Args:
        requests: in order of arrival; not changed.
        budget, num_blocks, block_size: for the policy.
        policy: is called as `schedule_batch` is.
    Returns:
        steps: how many there were; tokens: the sum of all computed; log: the policy's
        answer at each step;
        finished: {id: number of steps until its last token}.
    """
    left, running, step = [replace(request) for request in requests], [], 0
    held: dict[int, int] = {}
    found: dict = {"steps": 0, "tokens": 0, "log": [], "finished": {}}
    while left or running:
        waiting = [request for request in left if request.arrived <= step]
        plan = policy(
            running, waiting, budget, num_blocks - sum(held.values()), block_size
        )
        if not plan and (running or waiting):
            raise RuntimeError(
                f"step {step} computes nothing, with {len(running)} running, "
                f"{len(waiting)} waiting"
            )
        for request in [*running, *waiting]:
            tokens = plan.get(request.id, 0)
            if tokens and request.id not in held:
                held[request.id] = math.ceil(
                    (request.prompt_tokens + request.max_new_tokens) / block_size
                )
                left.remove(request)
                running.append(request)
            request.generated += (
                bool(tokens) and request.computed + tokens >= request.prompt_tokens
            )
            request.computed = min(request.computed + tokens, request.prompt_tokens)
            if request.generated >= request.max_new_tokens:
                held.pop(request.id, None)
                found["finished"][request.id] = step + 1
        running = [request for request in running if request.id in held]
        found["log"].append(plan)
        found["tokens"] += sum(plan.values())
        step += 1
    return found | {"steps": step}


def grow_or_preempt(
    tables: dict[int, list[int]],
    lengths: Mapping[int, int],
    blocks: BlockAllocator,
    block_size: int,
) -> list[int]:
    """Take blocks for texts that have grown. If none is free, the youngest request
    gives its blocks back.
    """
    preempted = []
    for request in list(tables):
        while request in tables and len(tables[request]) < math.ceil(
            lengths[request] / block_size
        ):
            if blocks.num_free == 0:
                youngest = list(tables)[-1]
                blocks.free(tables.pop(youngest))
                preempted.append(youngest)
            else:
                tables[request] += blocks.allocate(1)
    return preempted


def reuse_prefix(
    tokens: Sequence[int], index: Mapping[tuple[int, ...], int], block_size: int
) -> tuple[list[int], int]:
    """Find the blocks that already hold the beginning of a prompt."""
    blocks = []
    for end in range(block_size, len(tokens), block_size):
        prefix = tuple(tokens[:end])
        if prefix not in index:
            break
        blocks.append(index[prefix])
    return blocks, len(blocks) * block_size


def accept_or_resample(
    p: Tensor, q: Tensor, token: int, u: float, v: float
) -> tuple[int, bool]:
    """Keep the draft's token or take another one, so that the outcome has the
    distribution of the target.
    """
    if u * q[token] < p[token]:
        return token, True
    rest = (p - q).clamp(min=0)
    cdf = (rest / rest.sum()).cumsum(0)
    return int((cdf <= v).sum()), False


def speculative_generate(
    target: nn.Module,
    draft: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    gamma: int = 4,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, dict[str, int]]:
    """Continue a prompt with the target's tokens. A small draft model proposes them,
    several per call of the target.
    """

    def probabilities(logits):
        if temperature == 0:
            return nn.functional.one_hot(logits.argmax(-1), logits.size(-1)).float()
        return torch.softmax(logits / temperature, dim=-1)

    target.eval()
    draft.eval()
    stats = {"target_calls": 0, "proposed": 0, "accepted": 0}
    end = idx.size(1) + max_new_tokens
    with torch.no_grad():
        while idx.size(1) < end:
            T = idx.size(1)
            guess, qs = idx, []
            for _ in range(min(gamma, end - T - 1)):
                logits, _ = draft(guess)
                q = probabilities(logits[0, -1])
                qs.append(q)
                guess = torch.cat(
                    [guess, torch.multinomial(q, 1, generator=generator)[None]], dim=1
                )
            logits, _ = target(guess)
            ps = probabilities(logits[0, T - 1 :])
            stats["target_calls"] += 1
            stats["proposed"] += len(qs)
            accepted = True
            for i, q in enumerate(qs):
                u, v = torch.rand(2, generator=generator).tolist()
                token, accepted = accept_or_resample(
                    ps[i], q, guess[0, T + i].item(), u, v
                )
                idx = torch.cat([idx, torch.tensor([[token]])], dim=1)
                if not accepted:
                    break
                stats["accepted"] += 1
            if accepted:
                idx = torch.cat(
                    [idx, torch.multinomial(ps[-1], 1, generator=generator)[None]],
                    dim=1,
                )
    return idx, stats
