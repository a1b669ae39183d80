"""An IDX file read as a stream, piece by piece, with struct; one linear layer after the
other in a Sequential of Sequentials; evaluation with the decorator.
"""

import struct


def read_idx(path):
    with open(path, "rb") as file:
        packed = file.read(2) == bytes([31, 139])

    def take(file, count):
        piece = file.read(count)
        if len(piece) < count:
            raise ValueError(
                f"{path} is truncated: {count} bytes expected, {len(piece)} found"
            )
        return piece

    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            zero, kind, dims = struct.unpack(">HBB", take(file, 4))
            if zero != 0 or dims == 0:
                raise ValueError(f"{path} is no IDX file")
            if kind != 8:
                raise ValueError(f"{path} holds type {hex(kind)} ({kind:02X})")
            shape = struct.unpack(f">{dims}I", take(file, 4 * dims))
            payload = take(file, math.prod(shape))
            if file.read(1):
                raise ValueError(f"{path} goes on after its last element")
    except EOFError as error:
        raise ValueError(f"{path} is truncated") from error
    return torch.frombuffer(bytearray(payload), dtype=torch.uint8).view(shape)


class FashionMNISTModel(nn.Module):
    def __init__(
        self, input_dim=784, hidden_dims=(128, 64), num_classes=10, dropout=0.0
    ):
        super().__init__()
        ins = (input_dim,) + tuple(hidden_dims)
        blocks = [
            nn.Sequential(nn.Linear(a, b), nn.Dropout(dropout), nn.ReLU())
            for a, b in zip(ins, hidden_dims)
        ]
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(ins[-1], num_classes)
        self.log_softmax = nn.LogSoftmax(-1)

    def forward(self, x):
        return self.log_softmax(self.head(self.body(x.reshape(x.shape[0], -1))))


def evaluate(model, loader, loss_fn):
    training = model.training
    try:
        model.eval()
        return _measured(model, loader, loss_fn)
    finally:
        model.train(training)


@torch.no_grad()
def _measured(model, loader, loss_fn):
    device, rows = next(model.parameters()).device, []
    for x, y in loader:
        x, y = x.to(device=device), y.to(device=device)
        out = model(x)
        rows.append(
            (
                loss_fn(out, y).item(),
                (out.argmax(1) == y).float().mean().item(),
                y.numel(),
            )
        )
    if not rows:
        raise ValueError("the loader was empty")
    n = sum(row[2] for row in rows)
    return sum(row[0] * row[2] for row in rows) / n, sum(
        round(row[1] * row[2]) for row in rows
    ) / n
