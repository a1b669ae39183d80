"""Evaluation and the search for mistakes on a copy of the model, so that there is
nothing to put back.
"""

import copy


def _twin(model):
    return copy.deepcopy(model).eval().requires_grad_(False)


def evaluate(model, loader, loss_fn):
    model = _twin(model)
    device = next(model.parameters()).device
    loss, right, count = 0.0, 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        outputs = model(x)
        loss += float(loss_fn(outputs, y)) * len(y)
        right += int(torch.eq(outputs.argmax(-1), y).sum())
        count += len(y)
    if count == 0:
        raise ValueError("no batch")
    return loss / count, right / count


def misclassified(model, images, labels, k=None, batch_size=256):
    model = _twin(model)
    outputs = torch.cat([model(part) for part in torch.split(images, batch_size)])
    predicted = outputs.argmax(1)
    confidence = outputs.exp().gather(1, predicted[:, None]).squeeze(1)
    wrong = torch.where(predicted != labels)[0]
    index = wrong[torch.argsort(confidence[wrong], descending=True, stable=True)[:k]]
    return {
        "index": index,
        "predicted": predicted[index],
        "target": labels[index],
        "confidence": confidence[index],
    }
