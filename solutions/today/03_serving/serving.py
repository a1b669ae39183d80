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

    Args:
        k_cache, v_cache: (B, H, T_max, D).
        k, v: (B, H, t, D) of t new tokens per row.
        positions: (B, t) long. Token j of row b goes to place positions[b, j], and rows
            differ: one request has 3 tokens so far, another 70.

    For every head, k_cache[b, :, positions[b, j]] becomes k[b, :, j], and v_cache
    likewise. All other entries stay. The buffers keep their memory: nothing is joined
    or replaced.

    Edge cases ★
        A position outside 0 … T_max − 1 is an error, and nothing has been written then.
    """
    if positions.numel() and not 0 <= positions.min() <= positions.max() < k_cache.size(
        2
    ):
        raise IndexError(
            f"positions {positions.tolist()} are not all within the {k_cache.size(2)} "
            "of the cache"
        )
    rows = torch.arange(positions.size(0), device=positions.device).unsqueeze(1)
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
        """Hand out free blocks. Each gets one reference.

        Args:
            n: how many.
        Returns:
            n different ids of blocks that were free, the lowest first.

        If fewer are free it raises a RuntimeError and takes none: the request has
        to wait.
        """
        free = [block for block, count in enumerate(self.references) if count == 0]
        if n > len(free):
            raise RuntimeError(f"{n} blocks are needed, and {len(free)} are free")
        for block in free[:n]:
            self.references[block] = 1
        return free[:n]

    def share(self, blocks: Sequence[int]) -> None:
        """Let one more request use these blocks.

        Args:
            blocks: ids of blocks in use. Each gets one reference more.

        Edge cases ★
            A block that is free cannot be shared: an error that names it.
        """
        for block in blocks:
            if self.references[block] == 0:
                raise ValueError(f"block {block} is free, and can only be allocated")
            self.references[block] += 1

    def free(self, blocks: Sequence[int]) -> None:
        """End one request's use of these blocks.

        Args:
            blocks: ids. Each loses one reference. A block without any is free again.

        Edge cases ★
            A block that is free already is an error that names it.
        """
        for block in blocks:
            if self.references[block] == 0:
                raise ValueError(f"block {block} is free already")
            self.references[block] -= 1


def paged_attention(
    q: Tensor, k_pool: Tensor, v_pool: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    """Attend with one new query per row to keys and values that lie in blocks of a
    shared pool.

    Args:
        q: (B, H, D).
        k_pool, v_pool: (num_blocks, block_size, H_kv, D), where H_kv divides H.
        block_table: (B, M) long, the blocks of each row in order; −1 behind its
            last one.
        lengths: (B,) long, tokens of each row, the new one included; at least 1.
    Returns:
        (B, H, D): softmax(q kᵀ / √D) v over the row's own tokens. Token t of row b lies
        in block block_table[b, t // block_size], at place t % block_size. Query head h
        reads key head h // (H / H_kv).

    With block_size 4 and the table [7, 2, −1], token 5 is k_pool[2, 1]. With length 6,
    places 2 and 3 of block 2 are not the row's: what they hold must not count.

    Edge cases ★
        Unused places may hold NaN.
    """
    rows, heads, _ = q.shape
    # (B, M · block_size, H_kv, D)
    k, v = (pool[block_table.clamp(min=0)].flatten(1, 2) for pool in (k_pool, v_pool))
    used = torch.arange(k.size(1), device=q.device) < lengths.unsqueeze(1)
    # 0 · NaN would be NaN
    k, v = (x.masked_fill(~used[:, :, None, None], 0.0) for x in (k, v))
    grouped = q.view(rows, k.size(2), heads // k.size(2), -1)  # (B, H_kv, H / H_kv, D)
    scores = torch.einsum("bgrd,btgd->bgrt", grouped, k) / math.sqrt(q.size(-1))
    weights = scores.masked_fill(~used[:, None, None], -math.inf).softmax(dim=-1)
    return torch.einsum("bgrt,btgd->bgrd", weights, v).flatten(1, 2)


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
    """Decide how many tokens each request computes in the next step.

    Args:
        running: requests that have their blocks, in order of arrival.
        waiting: requests without blocks, in order of arrival.
        budget: most tokens in a step, over all requests.
        free_blocks: how many blocks are free.
        block_size: tokens per block.
    Returns:
        {id: tokens}, without requests that compute nothing.

        1. Running requests with their whole prompt computed: one token each, in order,
           while budget is left.
        2. Running requests with some of it left: min(rest of the prompt, rest of the
           budget) each, in order.
        3. Waiting requests, in order: the same minimum. A request reserves
           ceil((prompt_tokens + max_new_tokens) / block_size) blocks when it starts, so
           it never has to stop. If too few are left it does not start, and nobody
           behind it does.

    Edge cases ★
        The requests and the lists stay as they were.
    """
    plan: dict[int, int] = {}
    for request in running:
        if request.computed == request.prompt_tokens and budget > 0:
            plan[request.id] = 1
            budget -= 1
    for request in running:
        tokens = min(request.prompt_tokens - request.computed, budget)
        if tokens > 0:
            plan[request.id] = tokens
            budget -= tokens
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

    Args:
        tables: {id: the blocks of this request}, from the oldest request to the
            youngest. Changed in place.
        lengths: {id: how many tokens its blocks must hold}.
        blocks: where they come from.
        block_size: tokens per block.
    Returns:
        The ids that were preempted, in that order: their blocks are freed, and they are
        no longer in `tables`.

    The oldest goes first. While its table holds too few tokens it gets one block more,
    at the end. If none is free, the youngest request in `tables` is preempted, and it
    tries again. The youngest may be itself: then it gets nothing.
    """
    preempted = []
    for name in list(tables):
        while name in tables and len(tables[name]) * block_size < lengths[name]:
            if blocks.num_free > 0:
                tables[name] += blocks.allocate(1)
            else:
                youngest = list(tables)[-1]
                blocks.free(tables.pop(youngest))
                preempted.append(youngest)
    return preempted


def reuse_prefix(
    tokens: Sequence[int], index: Mapping[tuple[int, ...], int], block_size: int
) -> tuple[list[int], int]:
    """Find the blocks that already hold the beginning of a prompt.

    Args:
        tokens: the prompt's ids.
        index: whole prefix → block. index[(5, 1, 4, 9)] is the block that holds tokens
            4 and 9 (at block_size 2) behind 5 and 1. Keys and values depend on
            everything before them, so the block's own tokens are no key.
        block_size: tokens per block.
    Returns:
        (blocks, count): the longest run of full blocks from the start of the prompt,
        each with `tuple(tokens[: (i + 1) * block_size])` in the index, and the number
        of tokens in them.

    The last token is never among them, even in a full block: it has to give the logits
    for the next one.
    """
    blocks: list[int] = []
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

    Args:
        p: (V,), probabilities by the target.
        q: (V,), by the draft.
        token: was drawn from q.
        u, v: were drawn uniformly from [0, 1).
    Returns:
        (token, True) if u · q[token] < p[token]. Else (other, False): other is drawn by
        v from max(p − q, 0), divided by its sum. It is the first token at which the
        cumulative sum exceeds v.

    With p = [0.5, 0.5] and q = [0.75, 0.25], token 1 is always kept, and token 0 for u
    below 2/3; else token 1 comes.

    Edge cases ★
        Probabilities may be off by rounding: a token with p ≤ q never comes in place of
        another, even for the largest v below 1. Where nothing is left of max(p − q, 0),
        the token is kept. It is a plain int.
    """
    sums = (p.double() - q.double()).clamp(min=0).cumsum(dim=0)
    if u * q[token] < p[token] or sums[-1] == 0:
        return int(token), True
    return int(torch.searchsorted(sums, v * sums[-1].item(), right=True)), False


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

    Args:
        target, draft: called as model(idx) with (1, t) ids. They return (logits
            (1, t, V), loss).
        idx: (1, T), the prompt.
        max_new_tokens: n.
        gamma: how many tokens the draft proposes per round, one by one.
        temperature: divides the logits of both models. With 0 each takes its
            best token.
        generator: where all draws come from; None = torch's global one.
    Returns:
        (ids (1, T + n), {"target_calls": …, "proposed": …, "accepted": …}): its calls,
        tokens proposed, and those kept.

    One call of the target judges a whole round, each token by `accept_or_resample`.
    Behind the first refusal all proposals are thrown away. If none is refused, the same
    call gives one more token, drawn from the target's distribution. The models run in
    eval mode, without gradients.

    Edge cases ★
        Where r tokens are missing, at most r − 1 are proposed, as the target gives one
        more. Afterwards each model has the mode that it had, also after an exception.
        `idx` is not written to. A batch of several rows is an error.
    """
    if idx.size(0) != 1:
        raise ValueError(
            "each row would keep another number of tokens: one row is wanted, got "
            f"{idx.size(0)}"
        )
    modes = target.training, draft.training
    target.eval(), draft.eval()
    counts = {"target_calls": 0, "proposed": 0, "accepted": 0}
    try:
        with torch.no_grad():
            out, end = idx, idx.size(1) + max_new_tokens
            while out.size(1) < end:
                start, beliefs = out.size(1), []
                for _ in range(min(gamma, end - start - 1)):
                    beliefs.append(_probabilities(draft(out)[0][0, -1], temperature))
                    out = torch.cat(
                        [
                            out,
                            beliefs[-1].multinomial(1, generator=generator).view(1, 1),
                        ],
                        dim=1,
                    )
                truths = _probabilities(target(out)[0][0, start - 1 :], temperature)
                u, v = torch.rand(
                    2,
                    len(truths),
                    generator=generator,
                    device=idx.device,
                    dtype=torch.float64,
                ).tolist()
                counts["target_calls"] += 1
                counts["proposed"] += len(beliefs)
                for i, q in enumerate(beliefs):
                    token, kept = accept_or_resample(
                        truths[i], q, int(out[0, start + i]), u[i], v[i]
                    )
                    counts["accepted"] += kept
                    if not kept:
                        out = torch.cat(
                            [out[:, : start + i], out.new_tensor([[token]])], dim=1
                        )
                        break
                else:
                    out = torch.cat(
                        [
                            out,
                            truths[-1].multinomial(1, generator=generator).view(1, 1),
                        ],
                        dim=1,
                    )
            return out.clone(), counts
    finally:
        target.train(modes[0])
        draft.train(modes[1])


def _probabilities(logits: Tensor, temperature: float) -> Tensor:
    """The distribution that a model draws from, (..., V): at temperature 0 all on the
    best token.
    """
    if temperature == 0:
        return nn.functional.one_hot(logits.argmax(dim=-1), logits.size(-1)).double()
    return (logits.double() / temperature).softmax(dim=-1)
