"""Every ending scored alone and without padding, with logsumexp and loops; scores
in float64.
"""


def token_log_probs(logits, targets):
    if logits.shape != (*targets.shape, logits.size(-1)):
        raise ValueError("shapes")
    chosen = torch.take_along_dim(logits, targets[..., None], dim=-1)[..., 0]
    return chosen - torch.logsumexp(logits, -1)


def kl_divergence(logits_p, logits_q):
    log_p = logits_p - logits_p.logsumexp(-1, keepdim=True)
    log_q = logits_q - logits_q.logsumexp(-1, keepdim=True)
    ratio = torch.where(log_p.isneginf(), torch.zeros_like(log_p), log_p - log_q)
    return torch.einsum("...v,...v->...", log_p.exp(), ratio)


def sampled_kl(log_probs_p, log_probs_q):
    gaps = (log_probs_p - log_probs_q).flatten()
    return sum(gaps) / len(gaps)


def render_example(example, encode, block_size=None):
    context = list(encode(example["ctx"]))
    if len(context) < 1:
        raise ValueError("the context is empty")
    rows, marks = [], []
    for ending in example["endings"]:
        ending = list(encode(f" {ending}"))
        room = None if block_size is None else block_size - len(ending)
        if room is not None and room < 1:
            raise ValueError("no room for the context")
        kept = context if room is None else context[max(0, len(context) - room) :]
        rows.append(kept + ending)
        marks.append([False] * len(kept) + [True] * len(ending))
    width = max(len(row) for row in rows)
    for row, mark in zip(rows, marks):
        mark += [False] * (width - len(row))
        row += [0] * (width - len(row))
    return torch.tensor(rows), torch.tensor(marks)


def completion_losses(logits, tokens, mask):
    sums, means = [], []
    for scores, row, marks in zip(logits.double(), tokens, mask):
        places = marks.nonzero().flatten().tolist()
        losses = torch.stack(
            [scores[t - 1].logsumexp(0) - scores[t - 1, row[t]] for t in places]
        )
        sums.append(losses.sum())
        means.append(losses.mean())
    return torch.stack(sums), torch.stack(means)


def scores_of(model, tokens, mask):
    mode = model.training
    model.train(False)
    found = []
    try:
        for row, marks in zip(tokens, mask):
            end = int(marks.nonzero().max()) + 1
            with torch.no_grad():
                logits, _ = model(row[None, :end])
            found.append(
                [
                    x.item()
                    for x in completion_losses(
                        logits, row[None, :end], marks[None, :end]
                    )
                ]
            )
    finally:
        model.train(mode)
    return found


def predict(model, tokens, mask, normalize=True):
    found = [pair[1 if normalize else 0] for pair in scores_of(model, tokens, mask)]
    return found.index(min(found))


def evaluate_multiple_choice(model, examples, encode, block_size=None):
    examples = list(examples)
    if len(examples) == 0:
        raise ValueError("no examples")
    right = [0, 0]
    for example in examples:
        tokens, mask = render_example(example, encode, block_size)
        device = next(iter(model.parameters())).device
        found = scores_of(model, tokens.to(device), mask.to(device))
        for i in range(2):
            right[i] += (
                min(range(len(found)), key=lambda k: found[k][i]) == example["label"]
            )
    return {
        "acc": right[0] / len(examples),
        "acc_norm": right[1] / len(examples),
        "total": len(examples),
    }
