"""One flat dict in the file: the weights under their names, the arguments as JSON;
gradients taken by autograd.grad.
"""

import json


def save_model(path, model):
    tensors = {
        name: value.detach().cpu().clone() for name, value in model.state_dict().items()
    }
    with open(path, "wb") as file:
        torch.save(tensors | {"arguments": json.dumps(model.config)}, file)


def load_model(path, map_location="cpu"):
    with open(path, "rb") as file:
        tensors = torch.load(file, map_location)
    model = BinaryCNN(**json.loads(tensors.pop("arguments"))).to(map_location)
    model.load_state_dict(tensors)
    return model.train(False)


def train_classifier(
    model, train_loader, val_loader, *, epochs, lr=1e-3, lr_step_size=None, lr_gamma=0.1
):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer, history = torch.optim.Adam(parameters, lr), []
    for epoch in range(1, epochs + 1):
        rate, total, seen = optimizer.param_groups[0]["lr"], torch.zeros(()), 0
        for images, labels in train_loader:
            model.train(True)
            z = model(images)
            y = labels.type_as(z)
            loss = (F.softplus(z) - z * y).mean()
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
                p.grad = g
            optimizer.step()
            total += loss.detach() * len(y)
            seen += len(y)
        measured = evaluate_binary(model, val_loader)
        history.append(
            {
                "lr": rate,
                "train_loss": float(total / seen),
                "val_loss": measured["loss"],
                "val_accuracy": measured["accuracy"],
            }
        )
        if lr_step_size and epoch % lr_step_size == 0:
            for group in optimizer.param_groups:
                group["lr"] *= lr_gamma
    return history
