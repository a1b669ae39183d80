# ruff: noqa: E501
"""A third set of wrong codes in a learner's own words, as in natural.py: other exercises, other slips.

Written from stubs and lessons alone, by somebody who had seen neither a spec nor a suspect nor a recorded mistake, and
no cause that is shown for them.
"""

THIRD = [  # as FIRST in natural.py: kata, exercise, code, slips
    ("00", "accuracy", '''
def accuracy(scores, labels):
    guess = scores.argmax(dim=1)
    hits = (guess == labels).float()
    return hits.mean().item()
''', [
        ("mean of bools", "(guess == labels).float()", "(guess == labels)"),
        ("the largest score of each column", "argmax(dim=1)", "argmax(dim=0)"),
        ("the largest scores themselves, not where they are", "scores.argmax(dim=1)", "scores.max(dim=1).values"),
    ]),
    ("00", "draw", '''
def draw(probabilities):
    r = torch.rand(()).item()
    total = 0.0
    for i, p in enumerate(probabilities.tolist()):
        total += p
        if r < total:
            return i
    return i
''', [
        ("probabilities not added up", "total += p", "total = p"),
        ("comparison the wrong way round", "if r < total", "if r > total"),
        ("a normal number in place of a uniform one", "torch.rand(())", "torch.randn(())"),
    ]),
    ("00", "gradient_step", '''
def gradient_step(weight, gradient, learning_rate):
    change = learning_rate * gradient
    return weight - change
''', [
        ("up the gradient", "weight - change", "weight + change"),
    ]),
    ("01", "describe", '''
def describe(x):
    n = x.numel()
    size = x.element_size()
    return {
        "ndim": x.dim(),
        "shape": tuple(x.shape),
        "numel": n,
        "dtype": x.dtype,
        "device": x.device,
        "element_size": size,
        "nbytes": n * size,
        "storage_nbytes": x.untyped_storage().nbytes(),
        "is_contiguous": x.is_contiguous(),
        "value": x.item() if n == 1 else None,
    }
''', [
        ("a value for 0-dim tensors only", "if n == 1", "if x.dim() == 0"),
        ("the method, not called", "x.is_contiguous()", "x.is_contiguous"),
        ("the storage taken to be as large as the view", "x.untyped_storage().nbytes()", "x.numel() * x.element_size()"),
    ]),
    ("01", "counting_patterns", '''
def counting_patterns(rows, cols, dtype=torch.float32, device="cpu"):
    n = rows * cols
    return {
        "vector": torch.arange(0, 2 * cols, 2, dtype=dtype, device=device),
        "matrix": torch.arange(n, dtype=dtype, device=device).reshape(rows, cols),
        "cube": torch.arange(2 * n, dtype=dtype, device=device).reshape(2, rows, cols),
        "linspace": torch.linspace(0, 1, cols, dtype=dtype, device=device),
        "indices": torch.arange(cols, device=device),
    }
''', [
        ("the second layer counts from 0 again", "torch.arange(2 * n, dtype=dtype, device=device).reshape(2, rows, cols)", "torch.arange(n, dtype=dtype, device=device).reshape(rows, cols).repeat(2, 1, 1)"),
        ("the end of linspace left out", "torch.linspace(0, 1, cols, dtype=dtype, device=device)", "torch.arange(cols, dtype=dtype, device=device) / cols"),
        ("matrix filled column by column", "reshape(rows, cols),\n        \"cube\"", "reshape(cols, rows).T,\n        \"cube\""),
    ]),
    ("02", "interleave", '''
def interleave(a, b, dim=0):
    dim = dim % a.dim()
    both = torch.stack([a, b], dim=dim + 1)
    shape = list(a.shape)
    shape[dim] = 2 * shape[dim]
    return both.reshape(shape)
''', [
        ("stacked before the dimension, not behind it", "dim=dim + 1)", "dim=dim)"),
        ("a negative dim not counted from a's end", "    dim = dim % a.dim()\n", ""),
        ("joined one behind the other", "both = torch.stack([a, b], dim=dim + 1)", "both = torch.cat([a, b], dim=dim)"),
    ]),
    ("02", "make_grid", '''
def make_grid(images, columns):
    N, C, H, W = images.shape
    rows = (N + columns - 1) // columns
    sheet = images.new_zeros(C, rows * H, columns * W)
    for n in range(N):
        r = n // columns
        c = n % columns
        sheet[:, r * H : (r + 1) * H, c * W : (c + 1) * W] = images[n]
    return sheet
''', [
        ("rows rounded down", "(N + columns - 1) // columns", "N // columns"),
        ("row and column of the cell swapped", "r = n // columns\n        c = n % columns", "r = n % columns\n        c = n // columns"),
        ("columns start at a multiple of the height", "c * W : (c + 1) * W", "c * H : c * H + W"),
    ]),
    ("03", "last_valid", '''
def last_valid(x, lengths):
    rows = torch.arange(len(x))
    return x[rows, lengths - 1]
''', [
        ("a slice for the rows: every row with every length", "x[rows, lengths - 1]", "x[:, lengths - 1]"),
        ("the length taken as the index", "lengths - 1", "lengths"),
        ("the last step, padding or not", "x[rows, lengths - 1]", "x[:, -1]"),
    ]),
    ("03", "zero_border", '''
def zero_border(image, width=1):
    out = image.clone()
    out[..., :width, :] = 0
    out[..., -width:, :] = 0
    out[..., :, :width] = 0
    out[..., :, -width:] = 0
    return out
''', [
        ("the caller's image is changed", "image.clone()", "image"),
        ("one row at the bottom, whatever the width", "-width:, :] = 0", "-1, :] = 0"),
        ("the inside is zeroed, not the border", "    out[..., :width, :] = 0\n    out[..., -width:, :] = 0\n    out[..., :, :width] = 0\n    out[..., :, -width:] = 0\n", "    out[..., width:-width, width:-width] = 0\n"),
    ]),
    ("03", "crop", '''
def crop(image, top, left, height, width):
    bottom = top + height
    right = left + width
    return image[..., top:bottom, left:right]
''', [
        ("ends are the sizes", "top:bottom, left:right", "top:height, left:width"),
        ("rows and columns exchanged", "top:bottom, left:right", "left:right, top:bottom"),
        ("the last row and column counted in twice", "top:bottom, left:right", "top:bottom + 1, left:right + 1"),
    ]),
    ("04", "summary_stats", '''
def summary_stats(x, dim=None):
    if dim is None:
        x = x.flatten()
        dim = 0
    return {
        "min": x.min(dim).values,
        "max": x.max(dim).values,
        "mean": x.mean(dim),
        "std": x.std(dim, unbiased=False),
    }
''', [
        ("divided by n - 1", "x.std(dim, unbiased=False)", "x.std(dim)"),
        ("values and positions, not the values alone", "x.min(dim).values", "x.min(dim)"),
        ("the mean keeps its dimension", "x.mean(dim)", "x.mean(dim, keepdim=True)"),
    ]),
    ("04", "masked_mean", '''
def masked_mean(x, mask, dim=None):
    mask = mask.expand_as(x)
    total = torch.where(mask, x, torch.zeros_like(x)).sum(dim)
    return total / mask.sum(dim)
''', [
        ("a mask that is not spread out is counted once", "    mask = mask.expand_as(x)\n", ""),
        ("the mask upside down", "torch.where(mask, x, torch.zeros_like(x))", "torch.where(mask, torch.zeros_like(x), x)"),
        ("mean over all entries", "total / mask.sum(dim)", "torch.where(mask, x, torch.zeros_like(x)).mean(dim)"),
    ]),
    ("04", "pairwise_distances", '''
def pairwise_distances(a, b):
    diff = a.unsqueeze(1) - b.unsqueeze(0)
    return (diff ** 2).sum(dim=-1).sqrt()
''', [
        ("the rows are b's points", "a.unsqueeze(1) - b.unsqueeze(0)", "a.unsqueeze(0) - b.unsqueeze(1)"),
        ("summed over the wrong dim", "sum(dim=-1)", "sum(dim=1)"),
        ("root and sum exchanged", "(diff ** 2).sum(dim=-1).sqrt()", "(diff ** 2).sqrt().sum(dim=-1)"),
    ]),
    ("05", "jacobian", '''
def jacobian(f, x):
    x = x.detach().clone().requires_grad_()
    y = f(x)
    rows = []
    for value in y.reshape(-1):
        (g,) = torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)
        rows.append(torch.zeros_like(x) if g is None else g)
    return torch.stack(rows).reshape(*y.shape, *x.shape)
''', [
        ("the graph is freed after the first row", ", retain_graph=True", ""),
        ("gradient of the sum for every entry", "torch.autograd.grad(value, x,", "torch.autograd.grad(y.sum(), x,"),
        ("gradients pile up in .grad", "        (g,) = torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)\n", "        value.backward(retain_graph=True)\n        g = x.grad\n"),
    ]),
    ("05", "finite_difference_gradient", '''
def finite_difference_gradient(f, x, eps=1e-6):
    x = x.detach().double().contiguous()
    grad = torch.zeros_like(x)
    for i in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=x.dtype)
        step[i] = eps
        step = step.reshape(x.shape)
        grad.view(-1)[i] = ((f(x + step) - f(x - step)) / (2 * eps)).item()
    return grad
''', [
        ("two is multiplied, not divided", "/ (2 * eps)", "/ 2 * eps"),
        ("a step up only", "(f(x + step) - f(x - step)) / (2 * eps)", "(f(x + step) - f(x)) / eps"),
        ("float32 loses the step", "x.detach().double()", "x.detach().float()"),
    ]),
    ("06", "fit_manual", '''
def fit_manual(X, y, lr, epochs):
    w = torch.zeros(X.shape[1], 1, dtype=X.dtype, requires_grad=True)
    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)
    losses = []
    for _ in range(epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = None
        b.grad = None
    return w.detach(), b.detach(), losses
''', [
        ("the bias's gradient is not cleared", "        b.grad = None\n", ""),
        ("losses are tensors with their graphs", "loss.item()", "loss"),
        ("targets of one column against a row", "X @ w + b - y)", "(X @ w + b).squeeze(1) - y)"),
    ]),
    ("06", "train", '''
def train(model, X, y, optimizer, epochs, loss_fn=None):
    if loss_fn is None:
        loss_fn = nn.MSELoss()
    model.train()
    history = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history
''', [
        ("zero_grad between backward and step", "        optimizer.zero_grad()\n        loss = loss_fn(model(X), y)\n        loss.backward()\n", "        loss = loss_fn(model(X), y)\n        loss.backward()\n        optimizer.zero_grad()\n"),
        ("the step before the gradients", "        loss.backward()\n        optimizer.step()\n", "        optimizer.step()\n        loss.backward()\n"),
        ("prediction and target exchanged", "loss_fn(model(X), y)", "loss_fn(y, model(X))"),
    ]),
]  # fmt: skip
