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
        ("columns start at a multiple of the height", "c * W : (c + 1) * W", "c * H : c * H + W"),
    ]),
    ("03", "last_valid", '''
def last_valid(x, lengths):
    rows = torch.arange(len(x))
    return x[rows, lengths - 1]
''', [
        ("a slice for the rows: every row with every length", "x[rows, lengths - 1]", "x[:, lengths - 1]"),
        ("the length taken as the index", "lengths - 1", "lengths"),
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
    ]),
    ("03", "crop", '''
def crop(image, top, left, height, width):
    bottom = top + height
    right = left + width
    return image[..., top:bottom, left:right]
''', [
        ("ends are the sizes", "top:bottom, left:right", "top:height, left:width"),
        ("rows and columns exchanged", "top:bottom, left:right", "left:right, top:bottom"),
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
    ]),
    ("04", "pairwise_distances", '''
def pairwise_distances(a, b):
    diff = a.unsqueeze(1) - b.unsqueeze(0)
    return (diff ** 2).sum(dim=-1).sqrt()
''', [
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
        ("prediction and target exchanged", "loss_fn(model(X), y)", "loss_fn(y, model(X))"),
    ]),
    ("07", "file_sha256", '''
def file_sha256(path, chunk_size=1 << 20):
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()
''', [
        ("only the first chunk", "while chunk :=", "if chunk :="),
        ("the bytes of the digest, not its hex", "digest.hexdigest()", "digest.digest()"),
    ]),
    ("07", "ClassSubset.__init__", '''
def init(self, dataset, classes, relabel=True):
    self.dataset = dataset
    self.classes = list(classes)
    wanted = set(self.classes)
    self.indices = [i for i, label in enumerate(dataset.targets) if label in wanted]
    old = [dataset.targets[i] for i in self.indices]
    self.targets = [self.classes.index(label) for label in old] if relabel else old


ClassSubset.__init__ = init
''', [
        ("new labels by sorted class, not by place in classes", "self.classes.index(label)", "sorted(self.classes).index(label)"),
        ("samples in the order of the classes", "[i for i, label in enumerate(dataset.targets) if label in wanted]", "[i for c in self.classes for i, label in enumerate(dataset.targets) if label == c]"),
    ]),
    ("08", "Normalize", '''
class Normalize:
    def __init__(self, mean, std):
        self.mean = torch.tensor(mean).reshape(-1, 1, 1)
        self.std = torch.tensor(std).reshape(-1, 1, 1)

    def __call__(self, x):
        return (x - self.mean) / self.std

    def inverse(self, x):
        return x * self.std + self.mean
''', [
        ("mean lies along the width", "torch.tensor(mean).reshape(-1, 1, 1)", "torch.tensor(mean)"),
        ("brackets forgotten", "(x - self.mean) / self.std", "x - self.mean / self.std"),
    ]),
    ("08", "CenterCrop", '''
class CenterCrop:
    def __init__(self, size):
        self.size = (size, size) if isinstance(size, int) else size

    def __call__(self, image):
        width, height = image.size
        h, w = self.size
        top = (height - h) // 2
        left = (width - w) // 2
        return image.crop((left, top, left + w, top + h))
''', [
        ("PIL's size taken as (height, width)", "width, height = image.size", "height, width = image.size"),
        ("width and height in place of right and bottom", "(left, top, left + w, top + h)", "(left, top, w, h)"),
    ]),
    ("09", "MiniLoader.__iter__", '''
def one_pass(self):
    n = len(self.dataset)
    if self.shuffle:
        order = torch.randperm(n, generator=self.generator).tolist()
    else:
        order = list(range(n))
    for start in range(0, n, self.batch_size):
        chosen = order[start : start + self.batch_size]
        if self.drop_last and len(chosen) < self.batch_size:
            return
        samples = [self.dataset[i] for i in chosen]
        yield tuple(torch.stack([torch.as_tensor(value) for value in field]) for field in zip(*samples))


MiniLoader.__iter__ = one_pass
''', [
        ("the order is drawn and not used", "self.dataset[i] for i in chosen", "self.dataset[i] for i in range(start, start + len(chosen))"),
        ("a tuple per sample, not per field", "for field in zip(*samples)", "for field in samples"),
    ]),
    ("09", "pad_collate", '''
def pad_collate(batch, pad_value=0, label_pad_value=-100):
    from torch.nn.utils.rnn import pad_sequence

    sequences = [sequence for sequence, _ in batch]
    labels = [torch.as_tensor(label) for _, label in batch]
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    padded = pad_sequence(sequences, batch_first=True, padding_value=pad_value)
    if labels[0].dim() == 0:
        y = torch.stack(labels)
    else:
        y = pad_sequence(labels, batch_first=True, padding_value=label_pad_value)
    return padded, lengths, y.long()
''', [
        ("time first", "pad_sequence(sequences, batch_first=True, ", "pad_sequence(sequences, "),
        ("labels padded like inputs", "padding_value=label_pad_value", "padding_value=pad_value"),
    ]),
    ("10", "FashionMNISTModel", '''
class FashionMNISTModel(nn.Module):
    def __init__(self, input_dim=784, hidden_dims=(128, 64), num_classes=10, dropout=0.0):
        super().__init__()
        parts = []
        width = input_dim
        for hidden in hidden_dims:
            parts += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        parts.append(nn.Linear(width, num_classes))
        self.net = nn.Sequential(*parts)

    def forward(self, x):
        scores = self.net(x.flatten(1))
        return scores.log_softmax(dim=1)
''', [
        ("all of the batch flattened", "x.flatten(1)", "x.flatten()"),
        ("every layer starts from the input's width", "            width = hidden\n", ""),
    ]),
    ("10", "EarlyStopping.step", '''
def step(self, loss, model):
    self.epoch += 1
    if loss < self.best_loss - self.min_delta:
        self.best_loss = loss
        self.best_epoch = self.epoch
        self.bad_epochs = 0
        self.best_state = {name: value.clone() for name, value in model.state_dict().items()}
    else:
        self.bad_epochs += 1
    return self.bad_epochs >= self.patience


EarlyStopping.step = step
''', [
        ("the state is kept without a copy", "{name: value.clone() for name, value in model.state_dict().items()}", "model.state_dict()"),
        ("bad epochs are never forgiven", "        self.bad_epochs = 0\n", ""),
    ]),
    ("12", "GRUCell", '''
class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        bound = hidden_size**-0.5

        def draw(*size):
            return nn.Parameter(torch.empty(*size).uniform_(-bound, bound))

        self.weight_ih = draw(3 * hidden_size, input_size)
        self.weight_hh = draw(3 * hidden_size, hidden_size)
        self.bias_ih = draw(3 * hidden_size)
        self.bias_hh = draw(3 * hidden_size)

    def forward(self, x, state=None):
        h = x.new_zeros(len(x), self.hidden_size) if state is None else state
        from_x = x @ self.weight_ih.T + self.bias_ih
        from_h = h @ self.weight_hh.T + self.bias_hh
        xr, xz, xn = from_x.chunk(3, dim=1)
        hr, hz, hn = from_h.chunk(3, dim=1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h
''', [
        ("the reset gate forgotten", "xn + r * hn", "xn + hn"),
        ("chunks of the batch", "from_h.chunk(3, dim=1)", "from_h.chunk(3, dim=0)"),
    ]),
    ("12", "run_recurrent", '''
def run_recurrent(cell, x, lengths=None, initial_state=None, reverse=False):
    B, T, _ = x.shape
    if lengths is None:
        lengths = torch.full((B,), T)
    state = initial_state
    outputs = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        new = cell(x[:, t], state)
        pair = new if isinstance(new, tuple) else (new,)
        if state is None:
            old = tuple(torch.zeros_like(part) for part in pair)
        else:
            old = state if isinstance(state, tuple) else (state,)
        real = (t < lengths).unsqueeze(1)
        outputs[t] = torch.where(real, pair[0], torch.zeros_like(pair[0]))
        kept = tuple(torch.where(real, a, b) for a, b in zip(pair, old))
        state = kept if isinstance(new, tuple) else kept[0]
    return torch.stack(outputs, dim=1), state
''', [
        ("padding moves the state", "torch.where(real, a, b) for a, b in zip(pair, old)", "a for a, b in zip(pair, old)"),
        ("the first padded step counts as real", "t < lengths", "t <= lengths"),
    ]),
    ("13", "LayerNorm", '''
class LayerNorm(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x):
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean = x.mean(dim=dims, keepdim=True)
        var = x.var(dim=dims, keepdim=True, unbiased=False)
        y = (x - mean) / torch.sqrt(var + self.eps)
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        return y
''', [
        ("eps beside the root", "torch.sqrt(var + self.eps)", "(torch.sqrt(var) + self.eps)"),
        ("the mean loses its dimension", "x.mean(dim=dims, keepdim=True)", "x.mean(dim=dims)"),
    ]),
    ("14", "AdditiveAttention.score", '''
def score(self, query, keys):
    q = self.W_q(query).unsqueeze(2)
    k = self.W_k(keys).unsqueeze(1)
    return self.v(torch.tanh(q + k)).squeeze(-1)


AdditiveAttention.score = score
''', [
        ("queries and keys broadcast the other way", "self.W_q(query).unsqueeze(2)\n    k = self.W_k(keys).unsqueeze(1)", "self.W_q(query).unsqueeze(1)\n    k = self.W_k(keys).unsqueeze(2)"),
        ("every dimension of size 1 squeezed", ".squeeze(-1)", ".squeeze()"),
    ]),
    ("14", "masked_softmax", '''
def masked_softmax(scores, mask=None, dim=-1):
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=dim)
''', [
        ("scores set to zero, which is still e to the 0", "scores.masked_fill(~mask, -torch.inf)", "scores * mask"),
        ("True is taken as hidden", "masked_fill(~mask", "masked_fill(mask"),
    ]),
    ("15", "causal_mask", '''
def causal_mask(query_len, key_len=None, device=None):
    if key_len is None:
        key_len = query_len
    everything = torch.ones(query_len, key_len, dtype=torch.bool, device=device)
    return everything.tril(diagonal=key_len - query_len)
''', [
        ("queries are the first positions", "tril(diagonal=key_len - query_len)", "tril()"),
        ("a query does not see itself", "diagonal=key_len - query_len", "diagonal=key_len - query_len - 1"),
    ]),
    ("15", "padding_mask", '''
def padding_mask(lengths, max_len):
    places = torch.arange(max_len, device=lengths.device)
    return (places < lengths.unsqueeze(1)).unsqueeze(1)
''', [
        ("no dimension for the queries", ".unsqueeze(1)).unsqueeze(1)", ".unsqueeze(1))"),
        ("lengths not turned into a column", "lengths.unsqueeze(1)", "lengths"),
    ]),
    ("16", "split_heads", '''
def split_heads(x, num_heads):
    B, T, C = x.shape
    return x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)
''', [
        ("reshaped straight to heads first", "x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)", "x.reshape(B, num_heads, T, C // num_heads)"),
        ("heads interleaved: features of a head H apart", "reshape(B, T, num_heads, C // num_heads).transpose(1, 2)", "reshape(B, T, C // num_heads, num_heads).permute(0, 3, 1, 2)"),
    ]),
    ("16", "merge_heads", '''
def merge_heads(x):
    B, H, T, D = x.shape
    return x.transpose(1, 2).contiguous().view(B, T, H * D)
''', [
        ("view of a transposed tensor", ".contiguous()", ""),
        ("heads not moved back", "x.transpose(1, 2)", "x"),
    ]),
    ("17", "TransformerEncoderBlock.forward", '''
def forward(self, x, mask=None, key_padding_mask=None):
    if self.norm_first:
        y = self.norm1(x)
        x = x + self.dropout(self.attention(y, mask=mask, key_padding_mask=key_padding_mask))
        x = x + self.dropout(self.ff(self.norm2(x)))
        return x
    x = self.norm1(x + self.dropout(self.attention(x, mask=mask, key_padding_mask=key_padding_mask)))
    return self.norm2(x + self.dropout(self.ff(x)))


TransformerEncoderBlock.forward = forward
''', [
        ("the residual starts from the normalised x", "        x = x + self.dropout(self.attention(y,", "        x = y + self.dropout(self.attention(y,"),
        ("no residual around the feed-forward net", "return self.norm2(x + self.dropout(self.ff(x)))", "return self.norm2(self.dropout(self.ff(x)))"),
    ]),
    ("18", "apply_rope", '''
def apply_rope(x, positions=None, base=10000.0):
    T, D = x.shape[-2:]
    if positions is None:
        positions = torch.arange(T)
    rates = base ** (-torch.arange(0, D, 2) / D)
    angles = positions[:, None] * rates
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return turned.flatten(-2)
''', [
        ("halves in place of neighbours", "x[..., 0::2], x[..., 1::2]", "x[..., : D // 2], x[..., D // 2 :]"),
        ("results joined, not interleaved", "dim=-1)\n    return turned.flatten(-2)", "dim=-2)\n    return turned.flatten(-2)"),
    ]),
    ("18", "sinusoidal_encoding", '''
def sinusoidal_encoding(max_len, d_model, base=10000.0, dtype=torch.float32):
    table = torch.zeros(max_len, d_model)
    place = torch.arange(max_len).unsqueeze(1)
    slow = base ** (torch.arange(0, d_model, 2) / d_model)
    table[:, 0::2] = torch.sin(place / slow)
    table[:, 1::2] = torch.cos(place / slow)[:, : d_model // 2]
    return table.to(dtype)
''', [
        ("positions times the wave lengths", "torch.sin(place / slow)", "torch.sin(place * slow)"),
        ("an exponent twice too small", "torch.arange(0, d_model, 2) / d_model", "torch.arange((d_model + 1) // 2) / d_model"),
    ]),
    ("19", "set_trainable", '''
def set_trainable(model, trainable, prefixes=None):
    names = []
    for name, p in model.named_parameters():
        if prefixes is None or any(name == one or name.startswith(one + ".") for one in prefixes):
            p.requires_grad_(trainable)
            if not trainable:
                p.grad = None
            names.append(name)
    return names
''', [
        ("a prefix without its dot", "name.startswith(one + \".\")", "name.startswith(one)"),
        ("the old gradients stay", "            if not trainable:\n                p.grad = None\n", ""),
    ]),
    ("19", "SimpleModuleList", '''
class SimpleModuleList(nn.Module):
    def __init__(self, modules=None):
        super().__init__()
        for module in modules or []:
            self.append(module)

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return SimpleModuleList(list(self)[index])
        return list(self)[index]
''', [
        ("a slice is a plain list", "            return SimpleModuleList(list(self)[index])", "            return list(self)[index]"),
        ("iterates over names", "iter(self._modules.values())", "iter(self._modules)"),
    ]),
]  # fmt: skip
