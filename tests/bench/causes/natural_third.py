# ruff: noqa: E501
"""A third set of wrong codes in a learner's own words, as in natural.py: other exercises, other slips.

Written from stubs alone, by somebody who had seen no spec, suspect or recorded mistake of these katas, and no cause that
is shown for them.
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
    ("16", "split_heads", '''
def split_heads(x, num_heads):
    B, T, C = x.shape
    return x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)
''', [
        ("reshaped straight to heads first", "x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)", "x.reshape(B, num_heads, T, C // num_heads)"),
        ("heads interleaved: features of a head H apart", "reshape(B, T, num_heads, C // num_heads).transpose(1, 2)", "reshape(B, T, C // num_heads, num_heads).permute(0, 3, 1, 2)"),
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
    ]),
    ("20", "bce_with_logits", '''
def bce_with_logits(logits, targets, *, pos_weight=None, reduction="mean"):
    yes = targets * F.logsigmoid(logits)
    no = (1 - targets) * F.logsigmoid(-logits)
    if pos_weight is not None:
        yes = pos_weight * yes
    loss = -(yes + no)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()
''', [
        ("the log of a rounded probability", "F.logsigmoid(-logits)", "torch.log(1 - torch.sigmoid(logits))"),
        ("the weight on both parts", "        yes = pos_weight * yes\n", "        yes = pos_weight * yes\n        no = pos_weight * no\n"),
    ]),
    ("20", "approximate_kl", '''
def approximate_kl(log_probs_policy, log_probs_ref, estimator="k1", mask=None):
    r = log_probs_ref - log_probs_policy
    if estimator == "k1":
        values = -r
    elif estimator == "k2":
        values = r**2 / 2
    else:
        values = torch.exp(r) - 1 - r
    return values.mean() if mask is None else values[mask].mean()
''', [
        ("masked places count as zeros", "values[mask].mean()", "(values * mask).mean()"),
    ]),
    ("21", "Adam.step", '''
@torch.no_grad()
def step(self):
    for group in self.param_groups:
        beta1, beta2 = group["betas"]
        for p in group["params"]:
            if p.grad is None:
                continue
            g = p.grad + group["weight_decay"] * p
            if p not in self.state:
                self.state[p] = {"t": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            s = self.state[p]
            s["t"] += 1
            s["m"] = beta1 * s["m"] + (1 - beta1) * g
            s["v"] = beta2 * s["v"] + (1 - beta2) * g**2
            m = s["m"] / (1 - beta1 ** s["t"])
            v = s["v"] / (1 - beta2 ** s["t"])
            p -= group["lr"] * m / (v.sqrt() + group["eps"])


Adam.step = step
''', [
        ("eps under the root", "(v.sqrt() + group[\"eps\"])", "(v + group[\"eps\"]).sqrt()"),
        ("the corrected mean is kept", "            m = s[\"m\"] / (1 - beta1", "            m = s[\"m\"] = s[\"m\"] / (1 - beta1"),
    ]),
    ("21", "clip_grad_norm", '''
def clip_grad_norm(params, max_norm, *, norm_type=2.0, error_if_nonfinite=False):
    grads = [p.grad for p in params if p.grad is not None]
    norms = torch.stack([g.norm(norm_type) for g in grads])
    total = norms.norm(norm_type)
    if total > max_norm:
        for g in grads:
            g.mul_(max_norm / total)
    return total
''', [
        ("the product is thrown away", "g.mul_(max_norm / total)", "g * (max_norm / total)"),
    ]),
    ("22", "accumulated_step", '''
def accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None):
    optimizer.zero_grad()
    total = 0.0
    count = 0
    for inputs, targets in micro_batches:
        loss = loss_fn(model(inputs), targets) * len(inputs)
        loss.backward()
        total += loss.item()
        count += len(inputs)
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= count
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return total / count
''', [
        ("zero_grad per micro-batch", "        loss.backward()\n", "        optimizer.zero_grad()\n        loss.backward()\n"),
    ]),
    ("22", "gradient_report", '''
def gradient_report(model):
    report = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        g = p.grad
        if g is None:
            report[name] = {"status": "missing", "norm": None, "mean": None, "std": None}
            continue
        status = "nan" if g.isnan().any() else "inf" if g.isinf().any() else "ok"
        report[name] = {
            "status": status,
            "norm": g.norm().item(),
            "mean": g.mean().item(),
            "std": g.std(unbiased=False).item(),
        }
    return report
''', [
        ("statistics of the weights", "g = p.grad\n        if g is None", "g = p.detach()\n        if p.grad is None"),
    ]),
    ("23", "merge_pair", '''
def merge_pair(tokens, pair, merged):
    out = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == tuple(pair):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out
''', [
        ("the second token of the pair is read again", "i += 2", "i += 1"),
    ]),
    ("23", "BPETokenizer.encode_bytes", '''
def encode_bytes(self, data):
    rank = {pair: i for i, pair in enumerate(self.merges)}
    tokens = [bytes([b]) for b in data]
    while len(tokens) > 1:
        pairs = list(zip(tokens, tokens[1:]))
        best = min(pairs, key=lambda pair: rank.get(pair, math.inf))
        if best not in rank:
            break
        i = pairs.index(best)
        tokens[i : i + 2] = [best[0] + best[1]]
    return [self.vocab[token] for token in tokens]


BPETokenizer.encode_bytes = encode_bytes
''', [
        ("the first pair that is known, whatever its rank", "best = min(pairs, key=lambda pair: rank.get(pair, math.inf))", "best = next((pair for pair in pairs if pair in rank), None)"),
        ("bytes iterated as ints", "[bytes([b]) for b in data]", "list(data)"),
    ]),
    ("24", "sequential_batch", '''
def sequential_batch(tokens, batch_size, block_size, start=0):
    n = batch_size * block_size
    piece = tokens[start : start + n + 1].long()
    x = piece[:-1].reshape(batch_size, block_size)
    y = piece[1:].reshape(batch_size, block_size)
    return x, y
''', [
        ("rows go down the columns", "piece[:-1].reshape(batch_size, block_size)", "piece[:-1].reshape(block_size, batch_size).T"),
        ("targets rolled within each row", "piece[1:].reshape(batch_size, block_size)", "x.roll(-1, dims=1)"),
    ]),
    ("24", "mixture_epochs", '''
def mixture_epochs(dataset_tokens, weights, total_tokens):
    whole = sum(weights.values())
    epochs = {}
    for name, size in dataset_tokens.items():
        taken = total_tokens * weights[name] / whole
        epochs[name] = taken / size
    return epochs
''', [
        ("weights taken as shares", " / whole", ""),
    ]),
    ("25", "LayerCache", '''
class LayerCache:
    def __init__(self):
        self.k = None
        self.v = None

    def __len__(self):
        return 0 if self.k is None else self.k.shape[2]

    def append(self, k, v):
        if self.k is not None:
            k = torch.cat([self.k, k], dim=2)
            v = torch.cat([self.v, v], dim=2)
        self.k, self.v = k, v
        return k, v
''', [
        ("joined along the heads", "torch.cat([self.k, k], dim=2)", "torch.cat([self.k, k], dim=1)"),
    ]),
    ("25", "manual_attention", '''
def manual_attention(q, k, v, dropout_p=0.0, return_weights=False):
    T, S = q.shape[-2], k.shape[-2]
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    future = torch.ones(T, S, dtype=torch.bool, device=q.device).triu(diagonal=S - T + 1)
    scores = scores.masked_fill(future, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    out = F.dropout(weights, dropout_p) @ v
    return (out, weights) if return_weights else out
''', [
        ("divided by D, not by its root", "math.sqrt(q.shape[-1])", "q.shape[-1]"),
        ("k.T of four dimensions", "k.transpose(-2, -1)", "k.T"),
    ]),
    ("26", "gelu_tanh", '''
def gelu_tanh(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + torch.tanh(inner))
''', [
        ("math's tanh of a tensor", "torch.tanh(inner)", "math.tanh(inner)"),
        ("the factor reaches x alone", "* (x + 0.044715 * x**3)", "* x + 0.044715 * x**3"),
    ]),
    ("26", "GPT.forward", '''
def forward(self, idx, targets=None, cache=None):
    B, T = idx.shape
    past = 0 if cache is None else len(cache[0])
    places = torch.arange(past, past + T, device=idx.device)
    x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(places))
    for i, block in enumerate(self.transformer.h):
        x = block(x, None if cache is None else cache[i])
    logits = self.lm_head(self.transformer.ln_f(x))
    loss = None
    if targets is not None:
        loss = F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(B * T), ignore_index=-100)
    return logits, loss


GPT.forward = forward
''', [
        ("positions start at 0 in spite of the cache", "torch.arange(past, past + T, device", "torch.arange(T, device"),
        ("cross_entropy of (B, T, V)", "logits.reshape(B * T, -1), targets.reshape(B * T)", "logits, targets"),
    ]),
    ("27", "top_k_filter", '''
def top_k_filter(logits, k):
    k = min(k, logits.shape[-1])
    limit = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < limit, float("-inf"))
''', [
        ("the limit of the last row for all", ".values[..., -1:]", ".values[-1, -1:]"),
        ("others get 0", "float(\"-inf\")", "0.0"),
    ]),
    ("27", "top_p_filter", '''
def top_p_filter(logits, p):
    ordered, places = logits.sort(dim=-1, descending=True)
    probs = ordered.softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs
    kept = before < p
    ordered = ordered.masked_fill(~kept, float("-inf"))
    return torch.empty_like(logits).scatter(-1, places, ordered)
''', [
        ("the token that crosses p is dropped", "before = probs.cumsum(dim=-1) - probs", "before = probs.cumsum(dim=-1)"),
    ]),
    ("28", "convert_hf_state_dict", '''
def convert_hf_state_dict(hf):
    conv1d = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    state = {}
    for name, value in hf.items():
        if name.endswith((".attn.bias", ".attn.masked_bias")):
            continue
        if name != "lm_head.weight" and not name.startswith("transformer."):
            name = "transformer." + name
        if name.endswith(conv1d):
            value = value.T
        state[name] = value.clone().contiguous()
    if "lm_head.weight" not in state:
        state["lm_head.weight"] = state["transformer.wte.weight"].clone()
    return state
''', [
        ("square weights are not transposed", "if name.endswith(conv1d):", "if name.endswith(conv1d) and value.shape[0] != value.shape[1]:"),
        ("biases of c_attn taken for masks", "(\".attn.bias\", \".attn.masked_bias\")", "(\"attn.bias\", \"attn.masked_bias\", \"c_attn.bias\")"),
    ]),
    ("29", "evaluate", '''
@torch.no_grad()
def evaluate(model, batches):
    mode = model.training
    model.eval()
    total = 0.0
    count = 0
    for x, y in batches:
        _, loss = model(x, y)
        n = (y != -100).sum().item()
        total += loss.item() * n
        count += n
    model.train(mode)
    return total / count
''', [
        ("ignored targets counted", "(y != -100).sum().item()", "y.numel()"),
    ]),
    ("29", "train_step", '''
def train_step(model, optimizer, batches, max_norm=1.0, lr=None):
    model.train()
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    optimizer.zero_grad()
    total = 0.0
    for x, y in batches:
        _, loss = model(x, y)
        loss = loss / len(batches)
        loss.backward()
        total += loss.item()
    limit = float("inf") if max_norm is None else max_norm
    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return {"loss": total, "grad_norm": norm.item()}
''', [
        ("the rate of the first group only", "        for group in optimizer.param_groups:\n            group[\"lr\"] = lr\n", "        optimizer.param_groups[0][\"lr\"] = lr\n"),
        ("clipped after the step", "    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)\n    optimizer.step()\n", "    optimizer.step()\n    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)\n"),
    ]),
    ("30", "time_steps", '''
def time_steps(step, n_steps, n_warmup=1, synchronize=None, clock=time.perf_counter):
    if synchronize is None:
        synchronize = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(n_warmup):
        step()
    seconds = []
    for _ in range(n_steps):
        synchronize()
        begin = clock()
        step()
        synchronize()
        seconds.append(clock() - begin)
    return seconds
''', [
        ("the clock does not wait for the work", "        step()\n        synchronize()\n", "        step()\n"),
    ]),
    ("31", "rank_slice", '''
def rank_slice(x, rank, world_size):
    rows = len(x) // world_size
    return x[rank * rows : (rank + 1) * rows]
''', [
        ("every world_size-th row", "x[rank * rows : (rank + 1) * rows]", "x[rank::world_size]"),
    ]),
    ("32", "completion_losses", '''
def completion_losses(logits, tokens, mask):
    logp = logits[:, :-1].log_softmax(dim=-1)
    picked = logp.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
    counts = mask[:, 1:]
    sums = -(picked * counts).sum(dim=1)
    return sums, sums / counts.sum(dim=1)
''', [
        ("logits of the token itself", "logits[:, :-1].log_softmax(dim=-1)", "logits[:, 1:].log_softmax(dim=-1)"),
    ]),
    ("32", "render_example", '''
def render_example(example, encode, block_size=None):
    context = encode(example["ctx"])
    rows = []
    for ending in example["endings"]:
        extra = encode(" " + ending)
        row = context + extra
        flags = [False] * len(context) + [True] * len(extra)
        if block_size is not None:
            row, flags = row[-block_size:], flags[-block_size:]
        rows.append((row, flags))
    N = max(len(row) for row, _ in rows)
    tokens = torch.zeros(len(rows), N, dtype=torch.long)
    mask = torch.zeros(len(rows), N, dtype=torch.bool)
    for i, (row, flags) in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = torch.tensor(flags)
    return tokens, mask
''', [
        ("cut at the right end", "row[-block_size:], flags[-block_size:]", "row[:block_size], flags[:block_size]"),
        ("padding before the row", "tokens[i, : len(row)] = torch.tensor(row)", "tokens[i, N - len(row) :] = torch.tensor(row)"),
    ]),
    ("33", "context_counts", '''
def context_counts(train, k):
    ids = train.tolist()
    contexts, grams = Counter(), Counter()
    for i in range(len(ids) - k):
        contexts[tuple(ids[i : i + k])] += 1
        grams[tuple(ids[i : i + k + 1])] += 1
    return contexts, grams
''', [
        ("keys are tensors, no two of which are equal", "ids = train.tolist()", "ids = list(train)"),
    ]),
    ("33", "bits_per_byte", '''
def bits_per_byte(loss, n_tokens, n_bytes):
    bits = loss / math.log(2)
    return bits * n_tokens / n_bytes
''', [
        ("tokens and bytes exchanged", "bits * n_tokens / n_bytes", "bits * n_bytes / n_tokens"),
    ]),
    ("tinytorch/02", "strides_for", '''
def strides_for(shape, order="C"):
    sizes = list(shape) if order == "F" else list(reversed(shape))
    strides = []
    step = 1
    for n in sizes:
        strides.append(step)
        step *= n
    return tuple(strides) if order == "F" else tuple(reversed(strides))
''', [
        ("sizes added up", "step *= n", "step += n"),
    ]),
    ("tinytorch/02", "Tensor.sum", '''
def tensor_sum(self, dim=None, keepdim=False):
    if dim is None:
        dims = tuple(range(self.ndim))
    elif isinstance(dim, int):
        dims = (dim % self.ndim,)
    else:
        dims = tuple(d % self.ndim for d in dim)
    out = Tensor(self.data.sum(axis=dims, keepdims=keepdim))
    return record(out, "sum", (self,), dim=dims, keepdim=keepdim)


Tensor.sum = tensor_sum
''', [
        ("not announced", "return record(out, \"sum\", (self,), dim=dims, keepdim=keepdim)", "return out"),
    ]),
    ("tinytorch/03", "broadcast_shape", '''
def broadcast_shape(*shapes):
    n = max((len(shape) for shape in shapes), default=0)
    result = [1] * n
    for shape in shapes:
        sizes = [1] * (n - len(shape)) + list(shape)
        for i, size in enumerate(sizes):
            if size == 1:
                continue
            if result[i] not in (1, size):
                raise ValueError(f"shapes {shapes} do not broadcast")
            result[i] = size
    return tuple(result)
''', [
        ("the larger size wins, nothing is refused", "            if result[i] not in (1, size):\n                raise ValueError(f\"shapes {shapes} do not broadcast\")\n            result[i] = size\n", "            result[i] = max(result[i], size)\n"),
    ]),
    ("tinytorch/03", "collapse_linear", '''
def collapse_linear(W1, b1, W2, b2):
    W = W2 @ W1
    b = W2 @ b1 + b2
    return W, b
''', [
        ("biases added as they are", "W2 @ b1 + b2", "b1 + b2"),
    ]),
    ("tinytorch/04", "Module.named_parameters", '''
def named_parameters(self):
    found = []
    seen = set()

    def look(name, value):
        if isinstance(value, Parameter):
            if id(value) not in seen:
                seen.add(id(value))
                found.append((name, value))
        elif isinstance(value, Module):
            for key, inner in vars(value).items():
                look(f"{name}.{key}", inner)
        elif isinstance(value, (list, tuple)):
            for i, inner in enumerate(value):
                look(f"{name}.{i}", inner)

    for key, value in vars(self).items():
        look(key, value)
    return found


Module.named_parameters = named_parameters
''', [
        ("lists are not looked into", "        elif isinstance(value, (list, tuple)):\n            for i, inner in enumerate(value):\n                look(f\"{name}.{i}\", inner)\n", ""),
        ("the path is lost", "look(f\"{name}.{key}\", inner)", "look(key, inner)"),
    ]),
    ("tinytorch/04", "Dropout", '''
class Dropout(Module):
    def __init__(self, p=0.5, *, rng=None):
        self.p = p
        self.rng = rng

    def forward(self, x):
        if not self.training:
            return x
        keep = get_rng(self.rng).random(x.shape) >= self.p
        return x * (keep / (1 - self.p)).astype(x.dtype)
''', [
        ("the rest is not scaled up", "(keep / (1 - self.p)).astype(x.dtype)", "keep.astype(x.dtype)"),
        ("one draw per row", ".random(x.shape)", ".random(x.shape[:-1] + (1,))"),
    ]),
    ("tinytorch/05", "unbroadcast", '''
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for i, n in enumerate(shape):
        if n == 1 and grad.shape[i] != 1:
            grad = grad.sum(axis=i, keepdims=True)
    return grad
''', [
        ("the mean of what was repeated", "grad.sum(axis=i, keepdims=True)", "grad.mean(axis=i, keepdims=True)"),
    ]),
    ("tinytorch/05", "matmul_rule", '''
def matmul_rule(node, grad):
    a, b = (t.data for t in node.inputs)
    to_a = grad @ b.swapaxes(-1, -2)
    to_b = a.swapaxes(-1, -2) @ grad
    return to_a, to_b


RULES["matmul"] = matmul_rule
''', [
        (".T of a batch of matrices", "b.swapaxes(-1, -2)", "b.T"),
    ]),
    ("tinytorch/05", "elementwise_rule", '''
def elementwise_rule(node, grad):
    x = node.inputs[0].data
    y = node.out
    if node.op == "exp":
        slope = y
    elif node.op == "log":
        slope = 1 / x
    elif node.op == "pow":
        n = node.saved["exponent"]
        slope = n * x ** (n - 1)
    elif node.op == "relu":
        slope = x > 0
    elif node.op == "sigmoid":
        slope = y * (1 - y)
    else:
        slope = 1 - y**2
    return (grad * slope,)


RULES.update(dict.fromkeys(("exp", "log", "pow", "relu", "sigmoid", "tanh"), elementwise_rule))
''', [
        ("sigmoid's slope from its input", "y * (1 - y)", "x * (1 - x)"),
        ("a power's exponent not lowered", "x ** (n - 1)", "x**n"),
    ]),
    ("tinytorch/05", "shape_rule", '''
def shape_rule(node, grad):
    x = node.inputs[0].data
    if node.op == "reshape":
        return (grad.reshape(x.shape),)
    if node.op == "transpose":
        return (grad.swapaxes(node.saved["dim0"], node.saved["dim1"]),)
    full = np.zeros_like(x)
    np.add.at(full, node.saved["key"], grad)
    return (full,)


RULES.update(dict.fromkeys(("reshape", "transpose", "index"), shape_rule))
''', [
        ("an element taken twice gets the last gradient alone", "np.add.at(full, node.saved[\"key\"], grad)", "full[node.saved[\"key\"]] = grad"),
        ("transpose's gradient stays as it is", "grad.swapaxes(node.saved[\"dim0\"], node.saved[\"dim1\"])", "grad.reshape(x.shape)"),
    ]),
    ("tinytorch/06", "log_softmax", '''
def log_softmax(x, dim=-1):
    top = Tensor(x.data.max(axis=dim, keepdims=True))
    shifted = x - top
    return shifted - shifted.exp().sum(dim, keepdim=True).log()
''', [
        ("the largest logit of all rows", "x.data.max(axis=dim, keepdims=True)", "x.data.max()"),
        ("the sum loses its dimension", "sum(dim, keepdim=True)", "sum(dim)"),
    ]),
    ("tinytorch/07", "accumulation_report", '''
def accumulation_report(param, loss_fn, steps):
    zeroed = []
    for _ in range(steps):
        param.grad = None
        loss_fn().backward()
        zeroed.append(param.grad.copy())
    param.grad = None
    accumulated = []
    for _ in range(steps):
        loss_fn().backward()
        accumulated.append(param.grad.copy())
    param.grad = None
    return {"zeroed": zeroed, "accumulated": accumulated}
''', [
        ("goes on from the last zeroed gradient", "    param.grad = None\n    accumulated = []\n", "    accumulated = []\n"),
        ("loss_fn called once, its graph used again", "    accumulated = []\n    for _ in range(steps):\n        loss_fn().backward()\n", "    accumulated = []\n    loss = loss_fn()\n    for _ in range(steps):\n        loss.backward()\n"),
    ]),
    ("tinytorch/09", "im2col", '''
def im2col(x, kernel_size, stride=1, padding=0):
    B, C, H, W = x.shape
    K = kernel_size
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows = (H + 2 * padding - K) // stride + 1
    columns = (W + 2 * padding - K) // stride + 1
    out = np.empty((B, C * K * K, rows * columns), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + K, j * stride : j * stride + K]
            out[:, :, i * columns + j] = window.reshape(B, -1)
    return out
''', [
        ("batch and channels padded as well", "np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))", "np.pad(x, padding)"),
        ("positions counted in rows, not columns", "i * columns + j", "i * rows + j"),
    ]),
    ("tinytorch/15", "sample_batch", '''
def sample_batch(ids, batch_size, block_size, *, rng=None):
    starts = get_rng(rng).integers(0, len(ids) - block_size, size=batch_size)
    x = np.stack([ids[s : s + block_size] for s in starts])
    y = np.stack([ids[s + 1 : s + block_size + 1] for s in starts])
    return x, y
''', [
        ("a start too many: the last target is missing", "len(ids) - block_size,", "len(ids) - block_size + 1,"),
        ("inputs and targets drawn apart", "    y = np.stack([", "    starts = get_rng(rng).integers(0, len(ids) - block_size, size=batch_size)\n    y = np.stack(["),
    ]),
    ("tinytorch/15", "next_token_probs", '''
def next_token_probs(logits, *, temperature=1.0, top_k=None):
    z = as_array(logits).astype(np.float64)
    if temperature == 0:
        return np.eye(z.shape[-1])[z.argmax(axis=-1)]
    if top_k is not None and top_k < z.shape[-1]:
        limit = np.sort(z, axis=-1)[..., -top_k, None]
        z = np.where(z < limit, -np.inf, z)
    z = z / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
''', [
        ("one sum for all rows", "e.sum(axis=-1, keepdims=True)", "e.sum()"),
    ]),
    ("papers/07", "local_response_norm", '''
def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    half = size // 2
    C = x.shape[1]
    activity = torch.zeros_like(x)
    for c in range(C):
        low, high = max(0, c - half), min(C, c + half + 1)
        activity[:, c] = (x[:, low:high] ** 2).sum(dim=1)
    return x / (k + alpha * activity) ** beta
''', [
        ("divided by the size of the window", ".sum(dim=1)", ".mean(dim=1)"),
        ("a negative start counts from the other end", "max(0, c - half)", "c - half"),
    ]),
    ("papers/13", "noam_lr", '''
def noam_lr(step, d_model, warmup):
    rise = step * warmup**-1.5
    fall = step**-0.5
    return d_model**-0.5 * min(rise, fall)
''', [
        ("the larger of the two", "min(rise, fall)", "max(rise, fall)"),
    ]),
    ("papers/13", "label_smoothed_loss", '''
def label_smoothed_loss(logits, target, eps=0.1, pad_id=None):
    logp = logits.log_softmax(dim=-1)
    right = logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    loss = -(1 - eps) * right - eps * logp.mean(dim=-1)
    if pad_id is None:
        return loss.mean()
    return loss[target != pad_id].mean()
''', [
        ("the sum over the symbols", "eps * logp.mean(dim=-1)", "eps * logp.sum(dim=-1)"),
        ("padding in the number divided by", "loss[target != pad_id].mean()", "(loss * (target != pad_id)).mean()"),
    ]),
    ("papers/14", "BahdanauAttention", '''
class BahdanauAttention(nn.Module):
    def __init__(self, query_size, key_size, attn_size):
        super().__init__()
        self.W_a = nn.Linear(query_size, attn_size, bias=False)
        self.U_a = nn.Linear(key_size, attn_size, bias=False)
        self.v_a = nn.Linear(attn_size, 1, bias=False)

    def forward(self, query, keys, mask=None):
        mixed = torch.tanh(self.W_a(query).unsqueeze(1) + self.U_a(keys))
        scores = self.v_a(mixed).squeeze(-1)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        context = (weights.unsqueeze(-1) * keys).sum(dim=1)
        return context, weights
''', [
        ("a query (B, A) added to keys (B, T, A)", "self.W_a(query).unsqueeze(1)", "self.W_a(query)"),
        ("the projected keys are averaged", "weights.unsqueeze(-1) * keys)", "weights.unsqueeze(-1) * self.U_a(keys))"),
    ]),
    ("papers/19", "expected_step", '''
def expected_step(state, swap_probability=0.5):
    flow = torch.zeros_like(state)
    down = state[:, :, 1:] - state[:, :, :-1]
    flow[:, :, :-1] += down
    flow[:, :, 1:] -= down
    right = state[..., 1:] - state[..., :-1]
    flow[..., :-1] += right
    flow[..., 1:] -= right
    return state + swap_probability / 4 * flow
''', [
        ("the grid closes to a ring", "    right = state[..., 1:] - state[..., :-1]\n    flow[..., :-1] += right\n    flow[..., 1:] -= right\n", "    flow += state.roll(1, dims=-1) + state.roll(-1, dims=-1) - 2 * state\n"),
        ("what one cell gains the other keeps", "    flow[:, :, 1:] -= down\n", ""),
    ]),
    ("papers/20", "location_weights", '''
def location_weights(content, previous, gate, shift, sharpen):
    w = gate * content + (1 - gate) * previous
    back = w.roll(-1, dims=1)
    forth = w.roll(1, dims=1)
    w = shift[:, 0:1] * back + shift[:, 1:2] * w + shift[:, 2:3] * forth
    w = w**sharpen
    return w / w.sum(dim=1, keepdim=True)
''', [
        ("moved the other way", "back = w.roll(-1, dims=1)\n    forth = w.roll(1, dims=1)", "back = w.roll(1, dims=1)\n    forth = w.roll(-1, dims=1)"),
        ("rolled over the batch as well", "forth = w.roll(1, dims=1)", "forth = w.roll(1)"),
    ]),
    ("papers/20", "write_memory", '''
def write_memory(memory, weights, erase, add):
    w = weights.unsqueeze(-1)
    kept = memory * (1 - w * erase.unsqueeze(1))
    return kept + w * add.unsqueeze(1)
''', [
        ("every slot gets all of what is added", "kept + w * add.unsqueeze(1)", "kept + add.unsqueeze(1)"),
        ("added first, erased then", "kept = memory * (1 - w * erase.unsqueeze(1))\n    return kept + w * add.unsqueeze(1)", "more = memory + w * add.unsqueeze(1)\n    return more * (1 - w * erase.unsqueeze(1))"),
    ]),
    ("papers/21", "greedy_decode", '''
def greedy_decode(log_probs, lengths, blank=0):
    best = log_probs.argmax(dim=-1)
    texts = []
    for b in range(best.shape[1]):
        path = best[: lengths[b], b].tolist()
        text = []
        last = None
        for c in path:
            if c != last and c != blank:
                text.append(c)
            last = c
        texts.append(text)
    return texts
''', [
        ("batch taken to come first", "for b in range(best.shape[1]):\n        path = best[: lengths[b], b].tolist()", "for b in range(best.shape[0]):\n        path = best[b, : lengths[b]].tolist()"),
        ("a blank between equal labels forgotten", "                text.append(c)\n            last = c\n", "                text.append(c)\n                last = c\n"),
    ]),
    ("papers/25", "entropy_bits", '''
def entropy_bits(symbols, alphabet_size):
    counts = torch.bincount(symbols, minlength=alphabet_size).double()
    counts = counts[counts > 0]
    shares = counts / counts.sum()
    return -(counts * shares.log2()).sum().item()
''', [
        ("per symbol, not in all", "-(counts * shares.log2())", "-(shares * shares.log2())"),
        ("0 times the log of 0", "    counts = counts[counts > 0]\n", ""),
    ]),
    ("papers/26", "softmax_loss", '''
def softmax_loss(scores, y):
    N = len(y)
    shifted = scores - scores.max(dim=1, keepdim=True).values
    probs = shifted.exp()
    probs = probs / probs.sum(dim=1, keepdim=True)
    rows = torch.arange(N)
    loss = -probs[rows, y].log().mean()
    grad = probs.clone()
    grad[rows, y] -= 1
    return loss, grad / N
''', [
        ("max gives a pair", "scores.max(dim=1, keepdim=True).values", "scores.max(dim=1, keepdim=True)"),
        ("the loss of every class", "-probs[rows, y].log().mean()", "-probs[:, y].log().mean()"),
    ]),
    ("papers/30", "edge_order", '''
def edge_order(relevance):
    B, N = relevance.shape
    ranked = relevance.argsort(dim=1, descending=True)
    order = torch.empty_like(ranked)
    front, back = 0, N - 1
    for i in range(N):
        if i % 2 == 0:
            order[:, front] = ranked[:, i]
            front += 1
        else:
            order[:, back] = ranked[:, i]
            back -= 1
    return order
''', [
        ("the least relevant at the ends", ", descending=True", ""),
        ("relevances returned, not numbers", "relevance.argsort(dim=1, descending=True)", "relevance.sort(dim=1, descending=True).values"),
    ]),
    ("today/01", "rope_half", '''
def rope_half(x, positions, inv_freq, scale=1.0):
    angles = positions[..., None].float() * inv_freq
    if positions.dim() == 2:
        angles = angles[:, None]
    cos = angles.cos() * scale
    sin = angles.sin() * scale
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
''', [
        ("no dimension for the heads", "    if positions.dim() == 2:\n        angles = angles[:, None]\n", ""),
    ]),
    ("today/01", "gqa_attention", '''
def gqa_attention(q, k, v, mask=None):
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    T, S = q.shape[2], k.shape[2]
    if mask is None:
        mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
''', [
        ("key heads in turn, not in groups", "k = k.repeat_interleave(group, dim=1)\n    v = v.repeat_interleave(group, dim=1)", "k = k.repeat(1, group, 1, 1)\n    v = v.repeat(1, group, 1, 1)"),
        ("the values are not repeated", "    v = v.repeat_interleave(group, dim=1)\n", ""),
    ]),
    ("today/03", "static_cache_write", '''
def static_cache_write(k_cache, v_cache, k, v, positions):
    rows = torch.arange(k.shape[0])[:, None]
    k_cache[rows, :, positions] = k.transpose(1, 2)
    v_cache[rows, :, positions] = v.transpose(1, 2)
''', [
        ("every row at the first row's positions", "k_cache[rows, :, positions] = k.transpose(1, 2)", "k_cache[:, :, positions[0]] = k"),
        ("a copy is written to", "    k_cache[rows, :, positions] = k.transpose(1, 2)", "    k_cache = k_cache.clone()\n    k_cache[rows, :, positions] = k.transpose(1, 2)"),
    ]),
    ("today/04", "LoRALinear.merge", '''
def merge(self):
    layer = nn.Linear(self.base.in_features, self.base.out_features, bias=self.base.bias is not None)
    scale = self.alpha / self.lora_A.shape[0]
    with torch.no_grad():
        layer.weight.copy_(self.base.weight + scale * self.lora_B @ self.lora_A)
        if self.base.bias is not None:
            layer.bias.copy_(self.base.bias)
    return layer


def lora_init(self, base, rank, alpha, dropout=0.0):
    super(LoRALinear, self).__init__()
    self.base = base.requires_grad_(False)
    self.alpha = alpha
    self.dropout = nn.Dropout(dropout)
    self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
    self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
    nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))


def lora_forward(self, x):
    scale = self.alpha / self.lora_A.shape[0]
    return self.base(x) + scale * (self.dropout(x) @ self.lora_A.T) @ self.lora_B.T


LoRALinear.__init__ = lora_init
LoRALinear.forward = lora_forward
LoRALinear.merge = merge
''', [
        ("merged into the base itself", "    with torch.no_grad():\n        layer.weight.copy_(self.base.weight + scale * self.lora_B @ self.lora_A)\n", "    with torch.no_grad():\n        self.base.weight += scale * self.lora_B @ self.lora_A\n        layer.weight.copy_(self.base.weight)\n"),
        ("the bias stays behind", "            layer.bias.copy_(self.base.bias)\n", "            pass\n"),
    ]),
    ("today/04", "chat_template", '''
def chat_template(messages, encode, im_start, im_end, add_generation_prompt=False):
    ids = []
    for message in messages:
        ids.append(im_start)
        ids += encode(message["role"] + "\\n")
        ids += encode(message["content"])
        ids.append(im_end)
        ids += encode("\\n")
    if add_generation_prompt:
        ids.append(im_start)
        ids += encode("assistant\\n")
    return ids
''', [
        ("a list in the list", "        ids += encode(message[\"content\"])\n", "        ids.append(encode(message[\"content\"]))\n"),
    ]),
    ("today/06", "balance_loss", '''
def balance_loss(probs, experts):
    import torch

    N, E = probs.shape
    share = torch.bincount(experts.flatten(), minlength=E) / experts.numel()
    return E * (share * probs.mean(dim=0)).sum()
''', [
        ("shares of tokens, not of choices", "/ experts.numel()", "/ N"),
    ]),
    ("today/06", "combine", '''
def combine(rows, order, weights):
    import torch

    N, k = weights.shape
    weighted = rows * weights.reshape(-1)[order].unsqueeze(1).to(rows.dtype)
    out = torch.zeros(N, rows.shape[1], dtype=rows.dtype, device=rows.device)
    return out.index_add(0, order // k, weighted)
''', [
        ("weights not put in the order of the rows", "weights.reshape(-1)[order]", "weights.reshape(-1)"),
        ("the last result of a token wins", "return out.index_add(0, order // k, weighted)", "out[order // k] = weighted\n    return out"),
    ]),
    ("today/07", "absmax_int8", '''
def absmax_int8(w):
    import torch

    scale = w.abs().amax(dim=1, keepdim=True) / 127
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    q = (w / scale).round().clamp(-127, 127).to(torch.int8)
    return q, scale
''', [
        ("cast without rounding", "(w / scale).round()", "(w / scale)"),
    ]),
    ("kernels/01", "gather_rows", '''
@triton.jit
def my_gather_kernel(x_ptr, index_ptr, out_ptr, N, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    row = tl.load(index_ptr + r)
    at = tl.arange(0, BLOCK)
    mask = at < N
    values = tl.load(x_ptr + row * N + at, mask=mask)
    tl.store(out_ptr + r * N + at, values, mask=mask)


def gather_rows(x, index):
    R, N = len(index), x.shape[1]
    out = torch.empty(R, N)
    my_gather_kernel[(R,)](x, index, out, N, BLOCK=triton.next_power_of_2(N))
    return out
''', [
        ("the mask forgotten where it stores", "tl.store(out_ptr + r * N + at, values, mask=mask)", "tl.store(out_ptr + r * N + at, values)"),
        ("a program per row of the table", "my_gather_kernel[(R,)]", "my_gather_kernel[(len(x),)]"),
    ]),
    ("kernels/02", "softmax", '''
@triton.jit
def my_softmax_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    mask = at < N
    x = tl.load(x_ptr + row * stride + at, mask=mask, other=-float("inf"))
    e = tl.exp(x - tl.max(x))
    tl.store(out_ptr + row * N + at, e / tl.sum(e), mask=mask)


def softmax(x):
    M, N = x.shape
    out = torch.empty(M, N)
    my_softmax_kernel[(M,)](x, out, x.stride(0), N, BLOCK=triton.next_power_of_2(N))
    return out
''', [
        ("masked lanes load 0", "other=-float(\"inf\")", "other=0.0"),
        ("rows taken to lie N apart", "x_ptr + row * stride + at", "x_ptr + row * N + at"),
    ]),
]  # fmt: skip
