"""Losses by cross entropy with an ignored index, rows by pad_sequence, predict called
twice in inference mode.
"""

import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence


def token_log_probs(logits, targets):
    if tuple(logits.shape[:2]) != tuple(targets.shape):
        raise ValueError("logits and targets disagree")
    return -F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


def kl_divergence(logits_p, logits_q):
    p, log_q = logits_p.softmax(-1), logits_q.log_softmax(-1)
    never = p == 0
    return F.kl_div(log_q.masked_fill(never, 0.0), p, reduction="none").sum(-1)


def sampled_kl(log_probs_p, log_probs_q):
    return log_probs_p.mean() - log_probs_q.mean()


def load_examples(path):
    examples = []
    for number, line in enumerate(
        Path(path).read_text(encoding="utf-8").split("\n"), 1
    ):
        if line.isspace() or not line:
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            raise ValueError(f"line {number} is no JSON")
        if not isinstance(item, dict) or not {"ctx", "endings", "label"} <= item.keys():
            raise ValueError(f"line {number} lacks a key")
        label = str(item["label"])
        if not label.isdigit() or int(label) >= len(item["endings"]):
            raise ValueError(f"line {number} has the label {label!r}")
        examples.append(
            dict(ctx=item["ctx"], endings=item["endings"], label=int(label))
        )
    return examples


def render_example(example, encode, block_size=None):
    context = torch.tensor(encode(example["ctx"]), dtype=torch.long)
    if len(context) == 0:
        raise ValueError("no context")
    rows, marks = [], []
    for ending in example["endings"]:
        ending = torch.tensor(encode(" " + ending), dtype=torch.long)
        if block_size and len(ending) >= block_size:
            raise ValueError("the ending does not fit")
        row = torch.cat([context, ending])
        mark = torch.arange(len(row)) >= len(context)
        surplus = max(len(row) - block_size, 0) if block_size else 0
        rows.append(row[surplus:])
        marks.append(mark[surplus:])
    return pad_sequence(rows, batch_first=True), pad_sequence(
        marks, batch_first=True, padding_value=False
    )


def completion_losses(logits, tokens, mask):
    targets = torch.where(mask, tokens, -100)[:, 1:]
    losses = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), targets, ignore_index=-100, reduction="none"
    )
    return losses.sum(1), losses.sum(1) / (targets != -100).sum(1)


@torch.inference_mode()
def predict(model, tokens, mask, normalize=True):
    training = model.training
    try:
        logits = model.eval()(tokens)[0]
    finally:
        model.train(training)
    return completion_losses(logits, tokens, mask)[normalize].min(dim=0).indices.item()


def evaluate_multiple_choice(model, examples, encode, block_size=None):
    by_sum, by_mean = [], []
    for example in examples:
        tokens, mask = (
            x.to(next(model.parameters()).device)
            for x in render_example(example, encode, block_size)
        )
        by_sum.append(predict(model, tokens, mask, normalize=False) == example["label"])
        by_mean.append(predict(model, tokens, mask) == example["label"])
    if not by_sum:
        raise ValueError("nothing to evaluate on")
    return {
        "acc_norm": sum(by_mean) / len(by_mean),
        "acc": sum(by_sum) / len(by_sum),
        "total": len(by_sum),
    }
