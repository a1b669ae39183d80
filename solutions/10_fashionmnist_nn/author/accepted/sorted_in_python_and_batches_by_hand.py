"""Mistakes gathered and sorted in Python; an empty list of batches found beforehand;
training data shuffled by a permutation instead of a DataLoader; fit with the lists
filled one by one; sizes of the network from a trial image.
"""


def misclassified(model, images, labels, k=None, batch_size=256):
    mode = model.training
    found = []
    try:
        model.train(False)
        for start in range(0, images.shape[0], batch_size):
            with torch.no_grad():
                chances = torch.softmax(
                    model(images[start : start + batch_size]), dim=-1
                )
            for offset, row in enumerate(chances):
                guess = int(row.argmax())
                if guess != labels[start + offset].item():
                    found.append((-row[guess].item(), start + offset, guess))
    finally:
        model.train(mode)
    found.sort()
    found = found if k is None else found[:k]
    index = torch.tensor([i for _, i, _ in found], dtype=torch.long)
    return dict(
        confidence=torch.tensor([-c for c, _, _ in found], dtype=torch.float32),
        target=labels.index_select(0, index),
        predicted=torch.tensor([g for _, _, g in found], dtype=torch.long),
        index=index,
    )


def fit(
    model,
    train_loader,
    val_loader,
    optimizer,
    epochs,
    early_stopping=None,
    loss_fn=None,
):
    loss_fn = loss_fn or torch.nn.functional.nll_loss
    rows, stop = [], False
    while len(rows) < epochs and not stop:
        rows.append(
            train_epoch(model, train_loader, loss_fn, optimizer)
            + evaluate(model, val_loader, loss_fn)
        )
        stop = early_stopping.step(rows[-1][2], model) if early_stopping else False
    if early_stopping:
        try:
            early_stopping.restore(model)
        except RuntimeError:
            pass
    columns = ("train_loss", "train_acc", "val_loss", "val_acc")
    return {name: [row[i] for row in rows] for i, name in enumerate(columns)}


class Shuffled:
    def __init__(self, x, y, size, seed):
        self.x, self.y, self.size = x, y, size
        self.generator = torch.Generator()
        self.generator.manual_seed(seed)

    def __iter__(self):
        order = torch.randperm(len(self.y), generator=self.generator)
        return ((self.x[part], self.y[part]) for part in order.split(self.size))


def compare_depths(
    train_data,
    val_data,
    hidden_configs=((128, 64), (128, 64, 32)),
    epochs=5,
    batch_size=64,
    lr=1e-3,
    seed=0,
):
    def one(config):
        torch.manual_seed(seed)
        model = FashionMNISTModel(
            math.prod(train_data[0].shape[1:]), config, train_data[1].max().item() + 1
        )
        val = list(zip(val_data[0].split(batch_size), val_data[1].split(batch_size)))
        adam = torch.optim.Adam(model.parameters(), lr)
        history = fit(model, Shuffled(*train_data, batch_size, seed), val, adam, epochs)
        size = len(nn.utils.parameters_to_vector(model.parameters()))
        return dict(
            history=history,
            val_acc=history["val_acc"][-1],
            val_loss=history["val_loss"][-1],
            num_parameters=size,
            hidden_dims=tuple(config),
        )

    return [one(config) for config in hidden_configs]
