"""One batch of all rows of all examples, targets by a mesh of indices, sums and means
that skip NaN, scores in float32.
"""

import itertools


def token_log_probs(logits, targets):
    if targets.ndim != 2 or list(logits.shape[:-1]) != list(targets.shape):
        raise ValueError(f"{logits.shape}, {targets.shape}")
    logits = logits - logits.max(dim=-1, keepdim=True).values
    b, t = torch.meshgrid(
        torch.arange(targets.size(0)), torch.arange(targets.size(1)), indexing="ij"
    )
    return logits[b, t, targets] - logits.exp().sum(dim=-1).log()


def kl_divergence(logits_p, logits_q):
    p = torch.softmax(logits_p, dim=-1)
    cross = (p * -torch.log_softmax(logits_q, dim=-1)).masked_fill(p == 0, 0).sum(-1)
    entropy = -torch.special.xlogy(p, p).sum(-1)
    return cross - entropy


def sampled_kl(log_probs_p, log_probs_q):
    return -torch.mean(torch.sub(log_probs_q, log_probs_p))


def load_examples(path):
    with open(path, "rb") as file:
        data = file.read()
    examples, number = [], 0
    for line in data.split(b"\n"):
        number += 1
        if line.strip() == b"":
            continue
        try:
            item = json.loads(line.decode("utf-8"))
            ctx, endings, label = (item[key] for key in ("ctx", "endings", "label"))
            if int(label) not in range(len(endings)):
                raise ValueError(f"label {label}")
        except Exception as error:
            raise ValueError(f"line {number}: {error}")
        examples.append({"label": int(label), "ctx": ctx, "endings": endings})
    return examples


def completion_losses(logits, tokens, mask):
    log_probs = token_log_probs(logits[:, :-1].float(), tokens[:, 1:])
    losses = torch.where(mask[:, 1:], -log_probs, float("nan"))
    return losses.nansum(dim=1), losses.nanmean(dim=1)


def predict(model, tokens, mask, normalize=True):
    training, graph = model.training, torch.is_grad_enabled()
    model.eval()
    torch.set_grad_enabled(False)
    try:
        sums, means = completion_losses(model(tokens)[0], tokens, mask)
    finally:
        torch.set_grad_enabled(graph)
        model.train(mode=training)
    return sorted(range(len(sums)), key=(means if normalize else sums).__getitem__)[0]


def evaluate_multiple_choice(model, examples, encode, block_size=None):
    pairs, labels = [], []
    for example in examples:
        pairs.append(render_example(example, encode, block_size))
        labels.append(example["label"])
    if not labels:
        raise ValueError("there is nothing to do")
    length = max(tokens.size(1) for tokens, _ in pairs)
    tokens = torch.cat(
        [torch.nn.functional.pad(x, (0, length - x.size(1))) for x, _ in pairs]
    )
    mask = torch.cat(
        [
            torch.nn.functional.pad(x, (0, length - x.size(1)), value=False)
            for _, x in pairs
        ]
    )
    device = list(model.parameters())[0].device
    tokens, mask = tokens.to(device), mask.to(device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            sums, means = completion_losses(model(tokens)[0], tokens, mask)
    finally:
        model.train(training)
    ends = list(itertools.accumulate(len(x) for x, _ in pairs))
    starts = [0, *ends[:-1]]
    result = {}
    for name, scores in (("acc", sums), ("acc_norm", means)):
        hits = [
            scores[a:b].argmin().item() == label
            for a, b, label in zip(starts, ends, labels)
        ]
        result[name] = torch.tensor(hits).float().mean().item()
    result["total"] = len(labels)
    return result
