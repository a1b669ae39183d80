# Loops over rows and tokens, an allocator that looks for one block at a time, and
# speculation that keeps what agrees.


def static_cache_write(k_cache, v_cache, k, v, positions):
    length = k_cache.size(2)
    if any(not 0 <= at < length for row in positions.tolist() for at in row):
        raise IndexError(f"all positions must be below {length}")
    for b, row in enumerate(positions.tolist()):
        for j, at in enumerate(row):
            k_cache[b, :, at] = k[b, :, j]
            v_cache[b, :, at].copy_(v[b, :, j])


class BlockAllocator:
    def __init__(self, num_blocks):
        self.references = [0] * num_blocks

    @property
    def num_free(self):
        return sum(count == 0 for count in self.references)

    def allocate(self, n):
        assert n <= self.num_free, "out of blocks"
        found = []
        while len(found) < n:
            block = self.references.index(0)
            self.references[block] += 1
            found.append(block)
        return found

    def share(self, blocks):
        for block in blocks:
            assert self.references[block] > 0, f"block {block} is not in use"
            self.references[block] = self.references[block] + 1

    def free(self, blocks):
        for block in blocks:
            left = self.references[block] - 1
            if left < 0:
                raise KeyError(f"block {block} was freed twice")
            self.references[block] = left


def paged_attention(q, k_pool, v_pool, block_table, lengths):
    heads, groups = q.size(1), q.size(1) // k_pool.size(2)
    rows = []
    for row, table, length in zip(q, block_table, lengths.tolist(), strict=True):
        blocks = table[: -(-length // k_pool.size(1))]
        k = torch.cat([k_pool[block] for block in blocks])[:length]  # (T, H_kv, D)
        v = torch.cat([v_pool[block] for block in blocks])[:length]
        out = [
            torch.softmax(k[:, h // groups] @ row[h] / row.size(1) ** 0.5, 0)
            @ v[:, h // groups]
            for h in range(heads)
        ]
        rows.append(torch.stack(out))
    return torch.stack(rows)


def schedule_batch(running, waiting, budget, free_blocks, block_size):
    plan, left = {}, budget
    for phase in ("write", "read"):
        for request in running:
            rest = request.prompt_tokens - request.computed
            tokens = min(left, 1 if phase == "write" else rest)
            if tokens and (rest == 0) == (phase == "write"):
                plan[request.id], left = tokens, left - tokens
    for request in waiting:
        total = request.prompt_tokens + request.max_new_tokens
        needed = total // block_size + (total % block_size > 0)
        if left <= 0 or needed > free_blocks:
            return plan
        tokens = min(left, request.prompt_tokens)
        plan[request.id], left, free_blocks = (
            tokens,
            left - tokens,
            free_blocks - needed,
        )
    return plan


def grow_or_preempt(tables, lengths, blocks, block_size):
    """Counts first who must go, from the youngest on, and hands out afterwards."""
    gone = []
    for name in sorted(tables, key=list(tables).index):
        if name in gone:
            continue
        missing = max(0, -(-lengths[name] // block_size) - len(tables[name]))
        while missing > blocks.num_free and name in tables:
            youngest, held = tables.popitem()
            blocks.free(held)
            gone.append(youngest)
        if name in tables:
            tables[name].extend(blocks.allocate(missing))
    return gone


def reuse_prefix(tokens, index, block_size):
    found, prefix = [], ()
    usable = max(len(tokens) - 1, 0) // block_size
    for i in range(usable):
        prefix += tuple(tokens[i * block_size : (i + 1) * block_size])
        block = index.get(prefix)
        if block is None:
            break
        found.append(block)
    return found, block_size * len(found)


def accept_or_resample(p, q, token, u, v):
    rest = torch.relu(p.double() - q.double())
    if q[token] * u < p[token] or not rest.any():
        return token, True
    cumulative = (rest / rest.sum()).cumsum(0)
    possible = (rest > 0).nonzero().flatten()
    above = [i for i in possible.tolist() if cumulative[i] > v]
    return (above or possible.tolist()[-1:])[0], False


@torch.no_grad()
def speculative_generate(
    target, draft, idx, max_new_tokens, gamma=4, temperature=1.0, generator=None
):
    if idx.shape[0] != 1:
        raise ValueError(f"{idx.shape[0]} rows")
    training = target.training, draft.training
    stats = {"target_calls": 0, "proposed": 0, "accepted": 0}

    def distribution(logits):
        if temperature > 0:
            return torch.softmax(logits / temperature, dim=-1)
        return (torch.arange(len(logits), device=logits.device) == logits.argmax()).to(
            logits.dtype
        )

    def draw(weights):
        return torch.multinomial(weights, 1, generator=generator).item()

    def judged(out, new, beliefs, logits):
        for i, token in enumerate(new):
            u, v = torch.rand(2, generator=generator).tolist()
            p = distribution(logits[i])
            token, fine = accept_or_resample(p, beliefs[i], token, u, v)
            if not fine:
                return [*out, token]
            out = [*out, token]
            stats["accepted"] += 1
        return [*out, draw(distribution(logits[len(new)]))]

    try:
        target.eval()
        draft.eval()
        out, end = idx[0].tolist(), idx.size(1) + max_new_tokens
        while len(out) < end:
            new, beliefs = [], []
            for _ in range(min(gamma, end - len(out) - 1)):
                beliefs.append(
                    distribution(
                        draft(torch.tensor([out + new], device=idx.device))[0][0, -1]
                    )
                )
                new.append(draw(beliefs[-1]))
                stats["proposed"] += 1
            logits, _ = target(torch.tensor([out + new], device=idx.device))
            stats["target_calls"] += 1
            out = judged(out, new, beliefs, logits[0, len(out) - 1 :])[:end]
        return torch.tensor([out], dtype=idx.dtype, device=idx.device), stats
    finally:
        target.train(training[0])
        draft.train(training[1])
