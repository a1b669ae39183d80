"""Every output by itself, LRN by a convolution over channels, shifts by a nearest grid,
batches from a permutation.
"""


def conv2d_numpy(x, w, b=None, stride=1, padding=0):
    x = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * 2)
    (batch, _, H, W), (out_channels, _, kh, kw) = x.shape, w.shape
    places = [range(0, H - kh + 1, stride), range(0, W - kw + 1, stride)]
    out = np.zeros((batch, out_channels, len(places[0]), len(places[1])))
    for n in range(batch):
        for o in range(out_channels):
            for i, top in enumerate(places[0]):
                for j, left in enumerate(places[1]):
                    out[n, o, i, j] = (
                        x[n, :, top : top + kh, left : left + kw] * w[o]
                    ).sum()
            out[n, o] += 0.0 if b is None else b[o]
    return out


def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    assert size >= 1
    B, C, H, W = x.shape
    along = (x * x).permute(0, 2, 3, 1).reshape(-1, 1, C)
    sums = F.conv1d(along, torch.ones(1, 1, size, dtype=x.dtype), padding=size // 2)
    return x / torch.pow(k + alpha * sums.reshape(B, H, W, C).permute(0, 3, 1, 2), beta)


def random_shift(x, pad, generator=None):
    B, C, H, W = x.shape
    places = torch.randint((2 * pad + 1) ** 2, (B, 1, 1), generator=generator)
    rows = torch.arange(H)[:, None] + places // (2 * pad + 1) - pad
    columns = torch.arange(W) + places % (2 * pad + 1) - pad
    n, rows, columns = torch.broadcast_tensors(
        torch.arange(B)[:, None, None], rows, columns
    )
    inside = (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)
    moved = torch.zeros(B, H, W, C, dtype=x.dtype)
    moved[inside] = x.permute(0, 2, 3, 1)[n[inside], rows[inside], columns[inside]]
    return moved.permute(0, 3, 1, 2)


def predict_averaged(model, x, pad=1):
    mode = model.training
    model.train(False)
    total = 0.0
    with torch.no_grad():
        for dy, dx in ((0, 0), (-pad, -pad), (-pad, pad), (pad, -pad), (pad, pad)):
            total = total + model(F.pad(x, (-dx, dx, -dy, dy))).log_softmax(dim=1).exp()
    model.train(mode)
    return total / 5


def train_alexnet(
    model,
    x,
    y,
    *,
    steps=200,
    batch=64,
    lr=0.003,
    weight_decay=1e-4,
    shift=0,
    generator=None,
):
    model.train()
    model.zero_grad()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    rows, losses = [], []
    while len(losses) < steps:
        while len(rows) < batch:
            rows += torch.randperm(len(x), generator=generator).tolist()
        now, rows = rows[:batch], rows[batch:]
        loss = F.nll_loss(
            model(random_shift(x[now], shift, generator)).log_softmax(dim=1), y[now]
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
