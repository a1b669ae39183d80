# Writes by scatter, paged attention through F.scaled_dot_product_attention, a queue of
# work for the scheduler, and speculation over float32 probabilities with one draw per
# proposal.
# leaves open: test_no_more_proposals_than_can_follow


def static_cache_write(k_cache, v_cache, k, v, positions):
    if ((positions < 0) | (positions >= k_cache.shape[2])).any():
        raise ValueError("a position is not in the cache")
    where = positions[:, None, :, None].expand(-1, k.size(1), -1, k.size(3))
    k_cache.scatter_(2, where, k)
    v_cache.scatter_(2, where, v)


def paged_attention(q, k_pool, v_pool, block_table, lengths):
    size = k_pool.size(1)
    t = torch.arange(block_table.size(1) * size, device=q.device)
    block, place = block_table[:, t // size], t % size
    real = t[None] < lengths[:, None]
    # (B, H_kv, T, D)
    k = torch.where(real[..., None, None], k_pool[block, place], 0).transpose(1, 2)
    v = torch.where(real[..., None, None], v_pool[block, place], 0).transpose(1, 2)
    mask = real[:, None, None, :]
    return nn.functional.scaled_dot_product_attention(
        q[:, :, None], k, v, mask, enable_gqa=True
    )[:, :, 0]


def schedule_batch(running, waiting, budget, free_blocks, block_size):
    plan = {}
    writing = [r for r in running if r.computed >= r.prompt_tokens]
    reading = [r for r in running if r.computed < r.prompt_tokens]
    wishes = [(r, 1) for r in writing] + [
        (r, r.prompt_tokens - r.computed) for r in reading
    ]
    for r in waiting:
        free_blocks -= -(-(r.prompt_tokens + r.max_new_tokens) // block_size)
        if free_blocks < 0:
            break
        wishes.append((r, r.prompt_tokens))
    for r, wish in wishes:
        if budget:
            plan[r.id] = min(wish, budget)
            budget -= plan[r.id]
    return plan


def reuse_prefix(tokens, index, block_size):
    longest = 0
    while (longest + 1) * block_size < len(tokens) and tuple(
        tokens[: (longest + 1) * block_size]
    ) in index:
        longest += 1
    return [
        index[tuple(tokens[: (i + 1) * block_size])] for i in range(longest)
    ], longest * block_size


def accept_or_resample(p, q, token, u, v):
    p, q = p.tolist(), q.tolist()
    rest = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
    if u * q[token] < p[token] or not any(rest):
        return token, True
    left, found = v * sum(rest), None
    for i, part in enumerate(rest):
        if part > 0:
            found = i
            left -= part
            if left < 0:
                break
    return found, False


def speculative_generate(
    target, draft, idx, max_new_tokens, gamma=4, temperature=1.0, generator=None
):
    if len(idx) > 1:
        raise ValueError("one row at a time")

    def believe(logits):
        if temperature == 0:
            best = torch.zeros_like(logits)
            return best.scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        return (logits / temperature).softmax(-1)

    was = [(model, model.training) for model in (target, draft)]
    counts = dict.fromkeys(("target_calls", "proposed", "accepted"), 0)
    tokens = idx[0].tolist()
    start, end = len(tokens), len(tokens) + max_new_tokens
    try:
        with torch.inference_mode():
            target.eval(), draft.eval()
            while len(tokens) < end:
                new, beliefs = [], []
                while len(new) < gamma:
                    logits = draft(torch.tensor([tokens + new], device=idx.device))[0]
                    beliefs.append(believe(logits[0, -1]))
                    new.append(
                        torch.multinomial(beliefs[-1], 1, generator=generator).item()
                    )
                truth = believe(
                    target(torch.tensor([tokens + new], device=idx.device))[0][
                        0, len(tokens) - 1 :
                    ]
                )
                counts["target_calls"] += 1
                counts["proposed"] += gamma
                refused = False
                for p, q, token in zip(truth, beliefs, new, strict=False):
                    u, v = (
                        torch.rand((), generator=generator).item() for _ in range(2)
                    )
                    token, kept = accept_or_resample(p, q, token, u, v)
                    tokens.append(token)
                    if not kept:
                        refused = True
                        break
                    counts["accepted"] += 1
                if not refused:
                    tokens.append(
                        torch.multinomial(truth[gamma], 1, generator=generator).item()
                    )
    finally:
        for model, mode in was:
            model.train(mode)
    assert len(tokens[:end]) == start + max_new_tokens
    return torch.tensor([tokens[:end]], device=idx.device), counts
