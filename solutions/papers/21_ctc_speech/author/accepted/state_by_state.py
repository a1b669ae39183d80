"""Loops over frames and states, impossible states left out; brute force prefix by
prefix; padded targets.
"""


def collapse(path, blank=0):
    labels, before = [], None
    for now in path:
        if now != before and now != blank:
            labels.append(now)
        before = now
    return labels


def ctc_brute_force(log_probs, target, blank=0):
    paths = [()]
    for _ in log_probs:
        paths = [(*path, c) for path in paths for c in range(log_probs.size(1))]
    table = torch.tensor(paths)
    scores = log_probs.gather(1, table.T).sum(0)
    fits = torch.tensor([collapse(path, blank) == list(target) for path in paths])
    return -torch.where(fits, scores, torch.tensor(-math.inf)).logsumexp(0)


def ctc_forward(log_probs, target, blank=0):
    assert blank not in target, "a label is the blank"
    states = [blank] + [c for label in target for c in (label, blank)]
    # possible states only
    alpha = {s: log_probs[0, states[s]] for s in range(min(2, len(states)))}
    for t in range(1, len(log_probs)):
        following = {}
        for s, c in enumerate(states):
            sources = [s, s - 1] + (
                [s - 2] if s > 1 and c not in (blank, states[s - 2]) else []
            )
            terms = [alpha[r] for r in sources if r in alpha and alpha[r] > -math.inf]
            if terms and log_probs[t, c] > -math.inf:
                following[s] = torch.stack(terms).logsumexp(0) + log_probs[t, c]
        alpha = following
    ends = [alpha[s] for s in {len(states) - 1, len(states) - 2} if s in alpha]
    return (
        -torch.stack(ends).logsumexp(0)
        if ends
        else torch.full_like(log_probs[0, 0], math.inf)
    )


def ctc_forward_numpy(log_probs, target, blank=0):
    if any(label == blank for label in target):
        raise ValueError("a label is the blank")
    states = np.full(2 * len(target) + 1, blank)
    states[1::2] = target
    # the whole table, two impossible states in front
    alpha = np.full((len(log_probs), len(states) + 2), -np.inf)
    alpha[0, 2:4] = log_probs[0, states[:2]]
    for t in range(1, len(log_probs)):
        for s, c in enumerate(states):
            jump = s > 1 and c != states[s - 2]
            reached = np.logaddexp(alpha[t - 1, s + 2], alpha[t - 1, s + 1])
            alpha[t, s + 2] = log_probs[t, c] + (
                np.logaddexp(reached, alpha[t - 1, s]) if jump else reached
            )
    return -np.logaddexp(alpha[-1, -1], alpha[-1, -2] if len(target) else -np.inf)


def greedy_decode(log_probs, lengths, blank=0):
    found = []
    for b in range(log_probs.shape[1]):
        best = log_probs[: lengths[b], b].max(dim=-1).indices
        merged = best.unique_consecutive()
        found.append(merged[merged != blank].tolist())
    return found


class SpeechModel(nn.Module):
    def __init__(self, feature_size, hidden_size, num_classes):
        super().__init__()
        self.output = nn.Linear(hidden_size, num_classes)
        self.conv = nn.Conv1d(feature_size, hidden_size, 5, padding="same")
        self.relu = nn.ReLU()

    def forward(self, x):
        hidden = [
            self.output(self.relu(self.conv(utterance.T)).T)
            for utterance in x.unbind(dim=1)
        ]
        return nn.functional.log_softmax(torch.stack(hidden, dim=1), -1)


def train_ctc(model, *, steps, batch_size=16, lr=1e-2, generator=None):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = nn.CTCLoss()
    losses = []
    while len(losses) < steps:
        x, lengths, targets = make_utterances(
            batch_size=batch_size, generator=generator
        )
        padded = nn.utils.rnn.pad_sequence(
            [torch.tensor(target) for target in targets], batch_first=True
        )
        loss = criterion(
            model(x), padded, lengths, torch.tensor(list(map(len, targets)))
        )
        losses.append(float(loss))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses
