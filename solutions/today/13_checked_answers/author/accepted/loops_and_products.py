"""Walks with an early return, probabilities renormalised by hand, find and slices,
products and loops.
"""


def token_mask(automaton, state, vocab):
    mask = torch.zeros(len(vocab), dtype=torch.bool)
    for i, token in enumerate(vocab):
        now, alive = state, True
        for character in token:
            if (now, character) not in automaton.moves:
                alive = False
                break
            now = automaton.moves[now, character]
        mask[i] = alive and (token != "" or state in automaton.accepting)
    return mask


def constrained_probs(logits, mask, temperature=1.0, top_p=1.0):
    if not mask.any(-1).all():
        raise ValueError("nothing is allowed in a row")
    scaled = torch.where(mask, logits / temperature, torch.tensor(float("-inf")))
    kept = top_p_filter(scaled, top_p)
    weights = torch.exp(kept - kept.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)


def verify(text, answer):
    parts = text.split("\\boxed{")
    if len(parts) == 1 or "}" not in parts[-1]:
        return False
    first, *groups = parts[-1].split("}")[0].strip().split(",")
    if any(len(group) != 3 for group in groups):
        return False
    number = "".join([first, *groups])
    sign = -1 if number.startswith("-") else 1
    digits = number[1:] if number[:1] in ("+", "-") else number
    if not digits or any(c not in "0123456789" for c in digits):
        return False
    digits = digits.lstrip("0") or "0"
    return len(digits) <= 4000 and sign * int(digits) == answer


def pass_at_k(n, c, k):
    if k > n:
        raise ValueError(f"k = {k} is more than n = {n}")
    miss = 1.0
    for i in range(k):
        miss *= max(n - c - i, 0) / (n - i)
    return 1 - miss


def pack_turns(rollouts, pad=0):
    rows, masks = [], []
    for turns in rollouts:
        row, mask = [], []
        for who, ids in turns:
            row += ids
            mask += [who == "model"] * len(ids)
        rows.append(torch.tensor(row, dtype=torch.long))
        masks.append(torch.tensor(mask, dtype=torch.bool))
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    return padded, torch.nn.utils.rnn.pad_sequence(
        masks, batch_first=True, padding_value=False
    )


def truncated_weights(trainer_logp, sampler_logp, mask, cap=2.0, level="token"):
    if level not in ("token", "sequence"):
        raise ValueError(f"level {level}")
    with torch.no_grad():
        ratio = torch.where(
            mask, (trainer_logp - sampler_logp).exp(), torch.ones_like(trainer_logp)
        )
        if level == "sequence":
            ratio = ratio.prod(-1, keepdim=True)
        return torch.where(
            mask,
            torch.minimum(ratio, torch.tensor(cap)),
            torch.zeros_like(trainer_logp),
        )


def masked_and_conditioned(next_probs, automaton, vocab, longest):
    masked, plain = {}, {}
    open_texts = [((), automaton.start, 1.0, 1.0)]
    for _ in range(longest):
        longer = []
        for ids, state, p, q in open_texts:
            probs = next_probs(list(ids))
            mask = token_mask(automaton, state, vocab)
            kept = torch.where(mask, probs, torch.zeros_like(probs))
            kept = kept / kept.sum()
            for i, token in enumerate(vocab):
                if not mask[i]:
                    continue
                step = ((*ids, i), p * float(kept[i]), q * float(probs[i]))
                if token == "":
                    masked[step[0]], plain[step[0]] = step[1:]
                    continue
                now = state
                for character in token:
                    now = automaton.move(now, character)
                longer.append((step[0], now, *step[1:]))
        open_texts = longer
    whole = sum(plain.values())
    return masked, {ids: q / whole for ids, q in plain.items()}


def rollout(next_token, prompt, tool, call, end, budget):
    turns = [Turn("prompt", list(prompt))]
    history = list(prompt)
    spent, ended = 0, False
    while spent < budget and not ended:
        said = []
        while spent < budget:
            token = next_token(list(history))
            spent += 1
            said.append(token)
            history.append(token)
            if token in (call, end):
                break
        turns.append(Turn("model", said))
        ended = said[-1] == end
        if said[-1] == call:
            reply = list(tool(said))
            turns.append(Turn("tool", reply))
            history.extend(reply)
    return turns
