# Different: the sums of a group's gradients are divided once, before the step; evaluate
# remembers the losses in lists; train steps through positions.


def train_group(model, loss_fn, optimizer, batches):
    for parameter in model.parameters():
        parameter.grad = None
    losses, counts = [], [len(y) for _, y in batches]
    for (x, y), count in zip(batches, counts):
        loss = loss_fn(model(x), y)
        losses.append(loss.item())
        (loss * count).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad = parameter.grad / sum(counts)
    optimizer.step()
    return float(np.average(losses, weights=counts))


def evaluate(model, loss_fn, data):
    modes = {module: module.training for module in model.modules()}
    model.train(False)
    losses, lengths = [], []
    try:
        with no_grad():
            for x, y in data:
                losses.append(float(loss_fn(model(x), y).data))
                lengths.append(len(y))
    finally:
        for module in modes:
            module.training = modes[module]
    if not lengths:
        raise ValueError("no batches")
    return float(np.average(losses, weights=lengths))


def train(
    model,
    loss_fn,
    optimizer,
    data,
    epochs,
    *,
    val_data=None,
    accumulation_steps=1,
    on_epoch=None,
):
    if not hasattr(data, "__getitem__") and iter(data) is iter(data):
        raise TypeError("one-shot data")
    if epochs < 0 or accumulation_steps < 1:
        raise ValueError
    history = {"train_loss": []}
    if val_data is not None:
        history["val_loss"] = []
    epoch = 0
    while epoch < epochs:
        model.train(True)
        batches, losses, counts = [*data], [], []
        while batches:
            group, batches = batches[:accumulation_steps], batches[accumulation_steps:]
            losses.append(train_group(model, loss_fn, optimizer, group))
            counts.append(sum(len(x) for x, _ in group))
        if not counts:
            raise ValueError("no data")
        history["train_loss"].append(float(np.dot(losses, counts) / sum(counts)))
        if "val_loss" in history:
            history["val_loss"] += [evaluate(model, loss_fn, val_data)]
        if on_epoch and on_epoch(epoch, history) is False:
            return history
        epoch += 1
    return history
