"""Questions that the specs of today/03 ask only about inputs that are known."""

import torch
from torch import nn

from grader.lock.probes import probe


def sizes(count, rng, most=4):
    return torch.randint(1, most + 1, (count,), generator=rng).tolist()


def written(kata, k_cache, v_cache, k, v, positions):
    """The caches after the call, which writes to memory beside the code."""
    k_cache, v_cache = k_cache.clone(), v_cache.clone()
    kata.static_cache_write(k_cache, v_cache, k, v, positions)
    return [k_cache, v_cache]


@probe("static_cache_write")
def _(kata, rng):
    """Rows at positions of their own, and what a cache over the function hands back,
    chunk by chunk.
    """
    rows, heads, width, new = sizes(4, rng)
    rows += 1
    caches = torch.randn(2, rows, heads, 9, width, generator=rng)
    k, v = torch.randn(2, rows, heads, new, width, generator=rng)
    positions = torch.stack(
        [torch.randperm(9, generator=rng)[:new] for _ in range(rows)]
    )
    positions[-1] = (positions[0] + 1) % 9
    found = written(kata, *caches, k, v, positions)
    cache = kata.StaticLayerCache(rows, heads, 12, width)
    for new in sizes(3, rng):
        k, v = torch.randn(2, rows, heads, new, width, generator=rng)
        found += [x.clone() for x in cache.append(k, v)]
    return found


def used(kata, rng):
    """An allocator with a drawn history, and the blocks that are in use."""
    taken, size = sizes(2, rng, 5), 11 + sizes(1, rng)[0]
    blocks = kata.BlockAllocator(size)
    return blocks, [blocks.allocate(n) for n in taken]


@probe("BlockAllocator.allocate")
def _(kata, rng):
    blocks, found = used(kata, rng)
    return [found, list(blocks.references), blocks.num_free]


@probe("BlockAllocator.share")
def _(kata, rng):
    blocks, (first, second) = used(kata, rng)
    for chosen in (first, second[:1], first + second):
        blocks.share(chosen)
    return list(blocks.references)


@probe("BlockAllocator.free")
def _(kata, rng):
    blocks, (first, second) = used(kata, rng)
    blocks.share(second)
    blocks.free(first[1:])
    blocks.free(second)
    return [list(blocks.references), blocks.num_free]


@probe("paged_attention")
def _(kata, rng):
    groups, heads, width, size = sizes(4, rng)
    lengths = torch.randint(1, 3 * size + 1, (3,), generator=rng)
    needed = (lengths + size - 1) // size
    order, table = torch.randperm(11, generator=rng), torch.full((3, 3), -1)
    for b in range(3):
        table[b, : needed[b]] = order[3 * b : 3 * b + needed[b]]
    k_pool, v_pool = torch.randn(2, 11, size, heads, 2 * width, generator=rng)
    q = torch.randn(3, groups * heads, 2 * width, generator=rng)
    return kata.paged_attention(q, k_pool, v_pool, table, lengths)


@probe("schedule_batch")
def _(kata, rng):
    """Plans for drawn queues, one of which has a large request in front."""
    found = []
    for _ in range(4):
        names = torch.randperm(50, generator=rng).tolist()
        running = [
            kata.Request(names.pop(), 5 + prompt, new)
            for prompt, new in zip(*drawn_pairs(4, rng), strict=True)
        ]
        for request, computed in zip(running, sizes(4, rng, 9), strict=True):
            request.computed = (
                request.prompt_tokens
                if computed % 2
                else min(computed, request.prompt_tokens)
            )
        waiting = [
            kata.Request(names.pop(), prompt, new)
            for prompt, new in zip(*drawn_pairs(4, rng), strict=True)
        ]
        budget, free, size = sizes(3, rng, 20)
        found.append(
            kata.schedule_batch(running, waiting, budget + 3, free, 1 + size % 5)
        )
    return found


def drawn_pairs(count, rng):
    return sizes(count, rng, 12), sizes(count, rng, 6)


def grown(kata, names, held, more, size, spare):
    """Who gives way, and what is left in the tables, which the call changes beside
    the code.
    """
    blocks = kata.BlockAllocator(sum(held) + spare)
    tables = {name: blocks.allocate(n) for name, n in zip(names, held, strict=True)}
    lengths = {
        name: size * n + new for name, n, new in zip(names, held, more, strict=True)
    }
    gone = kata.grow_or_preempt(tables, lengths, blocks, size)
    return [
        gone,
        list(tables),
        [len(table) for table in tables.values()],
        blocks.num_free,
    ]


@probe("grow_or_preempt")
def _(kata, rng):
    """Four requests in a pool that is full, and lengths for which some of them must
    give way.
    """
    found = []
    for _ in range(4):
        held, more, (size, spare) = sizes(4, rng, 3), sizes(4, rng), sizes(2, rng)
        names = torch.randperm(50, generator=rng)[:4].tolist()
        found += grown(kata, names, held, more, size, spare)
    return found


@probe("reuse_prefix")
def _(kata, rng):
    found = []
    for _ in range(4):
        size, length = sizes(1, rng, 3)[0], 3 + sizes(1, rng, 9)[0]
        tokens = torch.randint(9, (length,), generator=rng).tolist()
        ends = range(size, length + 1, size)
        blocks = torch.randperm(99, generator=rng).tolist()
        index = dict(zip([tuple(tokens[:end]) for end in ends], blocks, strict=False))
        found.append(kata.reuse_prefix(tokens, index, size))
        found.append(kata.reuse_prefix([*tokens, 1, 2], index, size))
        del index[tuple(tokens[: ends[sizes(1, rng, len(ends))[0] - 1]])]
        found.append(kata.reuse_prefix([*tokens, 1, 2], index, size))
    return found


@probe("accept_or_resample")
def _(kata, rng):
    """Probabilities of 7 tokens, and u and v that no rounding brings to the
    other side.
    """
    found = []
    for _ in range(12):
        p, q = torch.softmax(
            2 * torch.randn(2, 7, generator=rng, dtype=torch.float64), dim=-1
        )
        rest = (p - q).clamp(min=0)
        token, ends = int((q - p).argmax()), (rest / rest.sum()).cumsum(0)
        i = int(torch.multinomial(rest, 1, generator=rng))
        v = float(ends[i] - rest[i] / rest.sum() / 2)
        limit = float(p[token] / q[token])
        cases = (
            (token, 0.9 * limit),
            (token, 0.9 * limit + 0.1),
            (int((p - q).argmax()), 0.999),
        )
        for place in torch.randint(3, (3,), generator=rng).tolist():
            at, u = cases[place]
            got, kept = kata.accept_or_resample(p, q, at, u, v)
            found.append((int(got), bool(kept)))
    return found


class Following(nn.Module):
    """Is nearly sure which token follows each one."""

    def __init__(self, following):
        super().__init__()
        self.logits = nn.Parameter(
            12.0 * nn.functional.one_hot(following, len(following))
        )

    def forward(self, idx):
        return self.logits[idx], None


@probe("speculative_generate")
def _(kata, rng):
    """A circle through 9 tokens, and a draft that is wrong behind three of them."""
    circle, following = (
        torch.randperm(9, generator=rng),
        torch.zeros(9, dtype=torch.long),
    )
    following[circle] = circle.roll(-1)
    drafted, places = following.clone(), torch.randperm(9, generator=rng)[:3]
    drafted[places] = following[places.roll(1)]
    found = []
    for gamma in sizes(3, rng, 5):
        idx, new = circle[None, : sizes(1, rng)[0]], 9 + sizes(1, rng, 9)[0]
        target, draft = Following(following), Following(drafted)
        ids, counts = kata.speculative_generate(
            target, draft, idx, new, gamma, temperature=0.0
        )
        found += [ids, counts["target_calls"]]
    return found
