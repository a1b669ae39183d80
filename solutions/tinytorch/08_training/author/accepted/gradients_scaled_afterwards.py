# Different: batch losses are summed up over the samples and the gradients divided once,
# before the step; evaluating is a class with __enter__ and __exit__; groups come
# from islice.
from itertools import islice


class evaluating:
    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.before = [(m, m.training) for m in self.model.modules()]
        self.off = no_grad()
        self.off.__enter__()
        self.model.eval()

    def __exit__(self, *what):
        for module, mode in self.before:
            module.training = mode
        self.off.__exit__(*what)


def train_step(model, loss_fn, optimizer, x, y):
    prediction = model(x)
    loss = loss_fn(prediction, y)
    model.zero_grad()
    loss.backward()
    before = float(loss.data)
    optimizer.step()
    return before


def train_group(model, loss_fn, optimizer, batches):
    model.zero_grad()
    total, count = 0.0, 0
    for x, y in batches:
        loss = loss_fn(model(x), y) * float(len(y))
        loss.backward()
        total, count = total + loss.item(), count + len(y)
    for p in model.parameters():
        p.grad = p.grad / np.float32(count)
    optimizer.step()
    return total / count


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
    if accumulation_steps <= 0:
        raise ValueError(accumulation_steps)
    if epochs < 0:
        raise ValueError(epochs)
    if hasattr(data, "__next__"):
        raise TypeError("an iterator can be read once")
    history = (
        dict(train_loss=[]) if val_data is None else dict(train_loss=[], val_loss=[])
    )
    for epoch in range(epochs):
        batches, sums, seen = iter(data), 0.0, 0
        while group := list(islice(batches, accumulation_steps)):
            model.train()
            size = sum([len(y) for x, y in group])
            sums += size * train_group(model, loss_fn, optimizer, group)
            seen += size
        if not seen:
            raise ValueError("empty")
        history["train_loss"].append(sums / seen)
        if val_data is not None:
            history["val_loss"].append(evaluate(model, loss_fn, val_data))
        if on_epoch is None:
            continue
        if on_epoch(epoch, history) is False:
            break
    return history
