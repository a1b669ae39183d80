"""Regular expressions for boxes, masks by reduce, log-gamma for pass@k, flat lists for
turns, and a rollout by recursion.
"""

from functools import reduce


def token_mask(automaton, state, vocab):
    def after(text):
        return reduce(
            lambda now, c: None if now is None else automaton.move(now, c), text, state
        )

    return torch.tensor(
        [
            after(t) is not None and (t != "" or state in automaton.accepting)
            for t in vocab
        ]
    )


def constrained_probs(logits, mask, temperature=1.0, top_p=1.0):
    probs = (logits.masked_fill(~mask, -math.inf) / temperature).softmax(-1)
    if probs.isnan().any():
        raise ValueError("no token is allowed")
    kept = top_p_filter(probs.log(), top_p) > -math.inf
    probs = probs * kept
    return probs / probs.sum(-1, keepdim=True)


def verify(text, answer):
    boxes = re.findall(r"\\boxed\{([^}]*)(\}?)", text)
    if not boxes:
        return False
    content, closed = boxes[-1]
    content = re.sub(r",(?=[0-9]{3}(,|$))", "", content.strip())
    try:
        return (
            bool(closed and re.fullmatch("[-+]?[0-9]+", content))
            and int(content) == answer
        )
    except ValueError:
        return False


def pass_at_k(n, c, k):
    if k > n:
        raise ValueError(f"{k} > {n}")
    if n - c < k:
        return 1.0
    logs = (
        math.lgamma(n - c + 1)
        - math.lgamma(n - c - k + 1)
        + math.lgamma(n - k + 1)
        - math.lgamma(n + 1)
    )
    return -math.expm1(logs)


def pack_turns(rollouts, pad=0):
    flat = [
        [(i, turn.who == "model") for turn in turns for i in turn.ids]
        for turns in rollouts
    ]
    longest = max(map(len, flat))
    filled = [row + [(pad, False)] * (longest - len(row)) for row in flat]
    ids = torch.tensor([[i for i, _ in row] for row in filled], dtype=torch.long)
    return ids, torch.tensor(
        [[sampled for _, sampled in row] for row in filled], dtype=torch.bool
    )


def truncated_weights(trainer_logp, sampler_logp, mask, cap=2.0, level="token"):
    log_ratio = torch.where(mask, trainer_logp.detach() - sampler_logp.detach(), 0.0)
    match level:
        case "token":
            summed = log_ratio
        case "sequence":
            summed = log_ratio.sum(-1)[:, None].expand(log_ratio.shape)
        case _:
            raise ValueError(level)
    return torch.where(mask, torch.exp(summed.clamp(max=math.log(cap))), 0.0)


def masked_and_conditioned(next_probs, automaton, vocab, longest):
    def grow(ids, text_state, p, q):
        if len(ids) == longest:
            return
        probs = next_probs(ids)
        mask = token_mask(automaton, text_state, vocab)
        total = (probs * mask).sum()
        for i in torch.nonzero(mask).flatten().tolist():
            now = reduce(automaton.move, vocab[i], text_state)
            step = [*ids, i], now, p * (probs[i] / total).item(), q * probs[i].item()
            if vocab[i] == "":
                yield tuple(step[0]), step[2], step[3]
            else:
                yield from grow(*step)

    found = list(grow([], automaton.start, 1.0, 1.0))
    total = sum(q for *_, q in found)
    return {ids: p for ids, p, _ in found}, {ids: q / total for ids, _, q in found}


def rollout(next_token, prompt, tool, call, end, budget):
    turns = [Turn("prompt", list(prompt))]
    for spent in range(budget):
        if turns[-1].who != "model":
            turns.append(Turn("model", []))
        token = next_token([i for turn in turns for i in turn.ids])
        turns[-1].ids.append(token)
        if token == end:
            return turns
        if token == call:
            turns.append(Turn("tool", list(tool(turns[-1].ids))))
    return turns
