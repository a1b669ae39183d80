"""Loops over samples, pixels of the kernel and points; logsumexp; backward() of each
score; PyTorch's own modules.
"""


def softmax_loss(scores, y):
    loss, gradient = 0.0, torch.empty_like(scores)
    for i, (row, right) in enumerate(zip(scores, y.tolist())):
        total = torch.logsumexp(row, dim=0)
        loss = loss + total - row[right]
        gradient[i] = torch.exp(row - total)
        gradient[i, right] -= 1
    return loss / len(y), gradient / len(y)


def svm_loss(scores, y, margin=1.0):
    loss, gradient = scores.new_zeros(()), torch.zeros_like(scores)
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            term = scores[i, j] - scores[i, y[i]] + margin
            if j != y[i] and term > 0:
                loss += term
                gradient[i, j] += 1
                gradient[i, y[i]] -= 1
    return loss / scores.shape[0], gradient / scores.shape[0]


def svm_loss_numpy(scores, y, margin=1.0):
    rows = np.arange(len(y))
    gaps = scores - scores[rows, y].reshape(-1, 1)
    return (np.clip(gaps + margin, 0, None).sum() - len(y) * max(margin, 0)) / len(y)


def knn_predict_numpy(train_x, train_y, x, k):
    if k < 1 or k > train_x.shape[0]:
        raise ValueError("k")
    found = []
    for point in x:
        nearest = np.argsort(np.linalg.norm(train_x - point, axis=1), kind="stable")[:k]
        classes, counts = np.unique(train_y[nearest], return_counts=True)
        found.append(classes[np.argmax(counts)])
    return np.array(found)


def numerical_gradient(f, x, eps=1e-5):
    result = []
    with torch.no_grad():
        for i in range(x.numel()):
            up, down = x.flatten().clone(), x.flatten().clone()
            up[i] += eps
            down[i] -= eps
            result.append(
                float((f(up.reshape(x.shape)) - f(down.reshape(x.shape))) / (2 * eps))
            )
    return torch.tensor(result, dtype=x.dtype).reshape(x.shape)


def conv2d(x, weight, bias=None, stride=1, padding=0):
    batch, _, height, width = x.shape
    out_channels, _, kh, kw = weight.shape
    high, wide = (
        (height + 2 * padding - kh) // stride + 1,
        (width + 2 * padding - kw) // stride + 1,
    )
    padded = x.new_zeros(batch, x.shape[1], height + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + height, padding : padding + width] = x
    out = x.new_zeros(batch, out_channels, high, wide)
    for i in range(kh):
        for j in range(kw):
            part = padded[
                :,
                :,
                i : i + stride * (high - 1) + 1 : stride,
                j : j + stride * (wide - 1) + 1 : stride,
            ]
            out = out + torch.tensordot(
                weight[:, :, i, j], part, dims=([1], [1])
            ).transpose(0, 1)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def max_pool2d(x, size, upstream):
    gradient = x.new_zeros(x.shape)
    pooled = x[:, :, ::size, ::size].clone()
    row, column = (torch.zeros(pooled.shape, dtype=torch.long) for _ in range(2))
    for i in range(size):
        for j in range(size):
            part = x[:, :, i::size, j::size]
            better = part > pooled
            pooled = torch.where(better, part, pooled)
            row, column = torch.where(better, i, row), torch.where(better, j, column)
    for i in range(size):
        for j in range(size):
            gradient[:, :, i::size, j::size] = upstream * ((row == i) & (column == j))
    return pooled, gradient


class BarNet(nn.Module):
    def __init__(self, channels, num_classes=3, kernel_size=3):
        super().__init__()
        self.output = nn.Linear(channels, num_classes)
        self.conv = nn.Conv2d(1, channels, kernel_size, padding="same")
        self.pool = nn.AdaptiveMaxPool2d(1)

    def forward(self, x):
        return self.output(torch.relu(self.pool(self.conv(x))).flatten(1))


def saliency_map(model, x, y):
    modes = {part: part.training for part in model.modules()}
    model.eval()
    maps = []
    for image, label in zip(x.detach(), y.tolist()):
        image = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(image[None])[0, label], image)
        maps.append(gradient.abs().max(dim=0).values)
    for part, training in modes.items():
        part.training = training
    return torch.stack(maps)


def train_classifier(model, x, y, *, steps, lr, batch_size=None, generator=None):
    optimizer = torch.optim.Adam(model.train().parameters(), lr=lr)
    optimizer.zero_grad()
    losses = []
    while len(losses) < steps:
        weights = torch.ones(len(x))
        picked = torch.arange(len(x))
        if batch_size:
            picked = torch.multinomial(
                weights, batch_size, replacement=True, generator=generator
            )
        loss = (
            -model(x[picked])
            .log_softmax(dim=-1)
            .gather(1, y[picked].unsqueeze(1))
            .mean()
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses
