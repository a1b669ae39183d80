"""One-hot matrices, masks from pre-activations, expanded distances, as_strided windows,
a vector-Jacobian product.
"""


def softmax_loss(scores, y):
    target = F.one_hot(y, scores.shape[1]).to(scores.dtype)
    z = scores - scores.max(dim=1, keepdim=True)[0]
    p = z.exp() / z.exp().sum(1, keepdim=True)
    loss = (z.exp().sum(1).log() - (z * target).sum(1)).mean()
    return loss, (p - target) / scores.shape[0]


def svm_loss(scores, y, margin=1.0):
    wrong = 1 - F.one_hot(y, scores.shape[1]).to(scores.dtype)
    gaps = scores - scores.gather(1, y.unsqueeze(1)) + margin
    terms = gaps.relu() * wrong
    active = (gaps > 0) * wrong
    gradient = active - (1 - wrong) * active.sum(dim=1, keepdim=True)
    return terms.sum(dim=1).mean(), gradient.div(len(scores))


def knn_predict_numpy(train_x, train_y, x, k):
    assert 0 < k <= len(train_x)
    squares = (x**2).sum(1)[:, None] - 2 * x @ train_x.T + (train_x**2).sum(1)
    nearest = np.lexsort(
        (np.broadcast_to(np.arange(len(train_x)), squares.shape), squares), axis=1
    )[:, :k]
    one_hot = np.eye(train_y.max() + 1, dtype=int)[train_y]
    return one_hot[nearest].sum(axis=1).argmax(axis=-1)


def numerical_gradient(f, x, eps=1e-5):
    steps = eps * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
    rises = [
        torch.as_tensor(f(x.detach() + h), dtype=x.dtype) - f(x.detach() - h)
        for h in steps
    ]
    return (torch.stack(rises) / (eps + eps)).view(x.shape)


class TwoLayerNet(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        sizes = {"2": (hidden_size, num_classes), "1": (input_size, hidden_size)}
        for layer, (fan_in, fan_out) in sizes.items():
            self.register_parameter("b" + layer, nn.Parameter(torch.zeros(fan_out)))
            weight = nn.Parameter(torch.empty(fan_out, fan_in).T)
            self.register_parameter("W" + layer, weight)
            nn.init.normal_(weight, std=np.sqrt(2 / fan_in))

    def forward(self, x):
        return torch.addmm(
            self.b2, torch.clamp(torch.addmm(self.b1, x, self.W1), min=0), self.W2
        )

    def loss_and_gradients(self, x, y, reg=0.0, loss="softmax"):
        losses = {"softmax": softmax_loss, "svm": svm_loss}
        a = x @ self.W1 + self.b1
        h = torch.maximum(a, torch.zeros_like(a))
        value, d_scores = losses[loss](h @ self.W2 + self.b2, y)
        d_a = torch.where(a > 0, torch.mm(d_scores, self.W2.t()), 0.0)
        ones = x.new_ones(1, len(x))
        gradients = {
            "b2": (ones @ d_scores)[0],
            "W2": h.t() @ d_scores,
            "b1": (ones @ d_a)[0],
            "W1": x.t() @ d_a,
        }
        for name in ("W1", "W2"):
            weight = getattr(self, name)
            value = value + 0.5 * reg * torch.sum(weight * weight)
            gradients[name] = gradients[name] + reg * weight
        return value, gradients


def conv2d(x, weight, bias=None, stride=1, padding=0):
    x = F.pad(x, (padding, padding, padding, padding)).contiguous()
    batch, channels, height, width = x.shape
    out_channels, _, kh, kw = weight.shape
    high, wide = (height - kh) // stride + 1, (width - kw) // stride + 1
    b, c, h, w = x.stride()
    windows = x.as_strided(
        (batch, high, wide, channels, kh, kw), (b, h * stride, w * stride, c, h, w)
    )
    out = windows.reshape(batch, high * wide, -1) @ weight.reshape(out_channels, -1).T
    if bias is not None:
        out = out + bias
    return out.transpose(1, 2).reshape(batch, out_channels, high, wide)


def max_pool2d(x, size, upstream):
    batch, channels, height, width = x.shape
    cells = x.reshape(batch, channels, height // size, size, width // size, size)
    best = cells.amax(dim=(3, 5), keepdim=True)
    hit = (cells == best).permute(0, 1, 2, 4, 3, 5).flatten(4)
    first = hit & (hit.cumsum(dim=-1) == 1)
    back = (
        first.unflatten(4, (size, size)).permute(0, 1, 2, 4, 3, 5)
        * upstream[:, :, :, None, :, None]
    )
    return best[:, :, :, 0, :, 0], back.reshape(x.shape)


def saliency_map(model, x, y):
    before = [part.training for part in model.modules()]
    model.eval()
    pixels = x.detach().clone()
    pixels.requires_grad = True
    scores = model(pixels)
    chosen = F.one_hot(y, scores.shape[1]).to(scores)
    gradient = torch.autograd.grad(scores, pixels, grad_outputs=chosen)[0]
    for part, training in zip(model.modules(), before):
        part.training = training
    return torch.max(gradient.abs(), dim=1).values
