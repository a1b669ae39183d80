"""Layers in a ModuleList with functional ReLU and dropout, log-softmax by hand; sums
kept as tensors until the end; gradients cleared after each step; modes remembered
module by module; a deep copy of the state.
"""

import copy

import torch.nn.functional as F


class FashionMNISTModel(nn.Module):
    def __init__(
        self, input_dim=784, hidden_dims=(128, 64), num_classes=10, dropout=0.0
    ):
        super().__init__()
        sizes = [input_dim, *hidden_dims, num_classes]
        self.steps = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.p = dropout

    def forward(self, x):
        h = torch.flatten(x, start_dim=1)
        for i, step in enumerate(self.steps):
            h = step(h)
            if i < len(self.steps) - 1:
                h = F.dropout(torch.clamp(h, min=0), self.p, self.training)
        h = h - h.amax(1, keepdim=True)
        return h - h.exp().sum(1, keepdim=True).log()


def train_epoch(model, loader, loss_fn, optimizer):
    param = next(iter(model.parameters()))
    losses, hits = [], []
    for batch in loader:
        model.train(True)
        x, y = (t.to(param.device, non_blocking=True) for t in batch)
        scores = model(x)
        loss = loss_fn(scores, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        losses.append(loss.detach().double().expand(y.shape[0]))
        hits.append(scores.detach().max(1)[1].eq(y))
    if not losses:
        raise ValueError("empty")
    return float(torch.cat(losses).mean()), float(torch.cat(hits).double().mean())


def evaluate(model, loader, loss_fn):
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    where = [p.device for p in model.parameters()][0]
    loss, hits, n = torch.zeros((), dtype=torch.float64), 0, 0
    try:
        with torch.inference_mode():
            for x, y in loader:
                x = x if x.device == where else x.to(where)
                y = y if y.device == where else y.to(where)
                out = model(x)
                loss, n = (
                    loss + x.size(0) * loss_fn(out, y).double().cpu(),
                    n + x.size(0),
                )
                hits += int(torch.count_nonzero(out.argmax(-1) == y))
    finally:
        for module, mode in modes:
            module.training = mode
    if n == 0:
        raise ValueError("no batches")
    return (loss / n).item(), hits / n


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0):
        if not patience >= 1:
            raise ValueError(patience)
        if not min_delta >= 0:
            raise ValueError(min_delta)
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_epoch, self.best_state = float("inf"), -1, None
        self.bad_epochs = self.calls = 0

    def step(self, loss, model):
        this, self.calls = self.calls, self.calls + 1
        if self.best_loss - loss > self.min_delta:
            self.best_loss, self.best_epoch, self.bad_epochs = loss, this, 0
            self.best_state = copy.deepcopy(model.state_dict())
            return False
        self.bad_epochs += 1
        return not self.bad_epochs < self.patience

    def restore(self, model):
        if not self.best_state:
            raise RuntimeError("nothing stored")
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(self.best_state[name])
