"""A table of all alphas behind two impossible states; brute force by groups of paths;
one loss per utterance.
"""


def collapse(path, blank=0):
    path = list(path)
    return [
        now
        for k, now in enumerate(path)
        if now != blank and (k == 0 or path[k - 1] != now)
    ]


def ctc_brute_force(log_probs, target, blank=0):
    # the labels so far and the last class, with their probability
    groups = {((), blank): log_probs.new_ones(())}
    for row in log_probs.exp():
        following = {}
        for (labels, last), chance in groups.items():
            for c, share in enumerate(row):
                key = (labels if c in (last, blank) else labels + (c,), c)
                following[key] = following.get(key, 0) + chance * share
        groups = following
    return -sum(
        [p for (labels, _), p in groups.items() if labels == tuple(target)],
        log_probs.new_zeros(()),
    ).log()


def ctc_forward(log_probs, target, blank=0):
    if blank in list(target):
        raise ValueError(f"blank {blank} in {target}")
    states = torch.full((2 * len(target) + 1,), blank)
    states[1::2] = torch.tensor(target, dtype=torch.long)
    scores = log_probs.clamp_min(-1e30).index_select(1, states)
    low = scores.new_full((2,), -1e30)
    closed = torch.cat([torch.tensor([True, True]), states[2:] == states[:-2]])[
        : len(states)
    ]
    table = [
        torch.cat(
            [low, scores[0, :2], scores.new_full((max(len(states) - 2, 0),), -1e30)]
        )
    ]
    table[0] = table[0][: len(states) + 2]
    for row in scores[1:]:
        last = table[-1]
        jump = last[:-2].masked_fill(closed, -1e30)
        table.append(
            torch.cat(
                [
                    low,
                    torch.logaddexp(torch.logaddexp(last[2:], last[1:-1]), jump) + row,
                ]
            )
        )
    loss = -table[-1][-2:].logsumexp(0) if len(target) else -table[-1][-1]
    return loss.masked_fill(loss > 1e29, math.inf)


def ctc_forward_numpy(log_probs, target, blank=0):
    target = list(target)
    if blank in target:
        raise ValueError("blank in the target")

    # log-probability of being in state s at frame t, for a path from the start
    def reached(t, s):
        if s < 0:
            return -np.inf
        if (t, s) not in known:
            label = blank if s % 2 == 0 else target[s // 2]
            if t == 0:
                known[t, s] = log_probs[0, label] if s < 2 else -np.inf
            else:
                sources = [reached(t - 1, s), reached(t - 1, s - 1)]
                if s % 2 and s > 1 and target[s // 2 - 1] != label:
                    sources.append(reached(t - 1, s - 2))
                known[t, s] = log_probs[t, label] + np.logaddexp.reduce(sources)
        return known[t, s]

    known, last = {}, len(log_probs) - 1
    for t in range(last):
        for s in range(2 * len(target) + 1):
            reached(t, s)
    return -float(
        np.logaddexp(reached(last, 2 * len(target)), reached(last, 2 * len(target) - 1))
    )


def train_ctc(model, *, steps, batch_size=16, lr=1e-2, generator=None):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    losses = []
    for _ in range(steps):
        features, lengths, targets = make_utterances(batch_size, generator=generator)
        log_probs = model(features)
        counts = torch.tensor([len(target) for target in targets])
        labels = torch.cat([torch.tensor(target) for target in targets])
        loss = (
            F.ctc_loss(log_probs, labels, lengths, counts, reduction="none") / counts
        ).mean()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters)
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    return losses
