# ruff: noqa: E501
"""A fourth set of wrong codes in a learner's own words, as in natural.py: other exercises, other slips.

Written from stubs and lessons alone, by somebody who had seen no spec, suspect or recorded mistake of these katas, and
no cause that is shown for them.
"""

FOURTH = [  # as FIRST in natural.py: kata, exercise, code, slips
    ("00", "gradient_step", '''
def gradient_step(weight, gradient, learning_rate):
    return weight - learning_rate * gradient
''', [
        ("goes up the slope: plus for minus", "weight - learning_rate", "weight + learning_rate"),
        ("divides by the learning rate", "learning_rate * gradient", "gradient / learning_rate"),
    ]),
    ("01", "random_patterns", '''
def random_patterns(rows, cols, dtype=torch.float32, device="cpu", generator=None):
    size = (rows, cols)
    uniform = torch.rand(size, dtype=dtype, device=device, generator=generator)
    normal = torch.randn(size, dtype=dtype, device=device, generator=generator)
    return {"uniform": uniform, "normal": normal}
''', [
        ("rand for randn", "torch.randn(", "torch.rand("),
        ("forgot to hand the generator to the second draw", "normal = torch.randn(size, dtype=dtype, device=device, generator=generator)", "normal = torch.randn(size, dtype=dtype, device=device)"),
    ]),
    ("02", "flatten_samples", '''
def flatten_samples(x):
    n = x.shape[0]
    flat = x.reshape(n, -1)
    return flat, tuple(x.shape[1:])
''', [
        ("the sample shape still has the batch size", "x.shape[1:]", "x.shape"),
        ("batch last: a column per sample", "x.reshape(n, -1)", "x.reshape(-1, n)"),
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
        ("no copy: writes into the image given", "image.clone()", "image"),
        ("an index for a slice: only one row at the bottom", "-width:, :", "-width, :"),
    ]),
    ("04", "standardize", '''
def standardize(x, dim=None):
    mean = x.mean(dim=dim, keepdim=True)
    std = x.std(dim=dim, correction=0, keepdim=True)
    std = torch.where(std > 0, std, torch.ones_like(std))
    return (x - mean) / std
''', [
        ("std divides by n - 1", "correction=0, ", ""),
        ("keepdim forgotten for the mean", "x.mean(dim=dim, keepdim=True)", "x.mean(dim=dim)"),
        ("divides by 0 where all elements are equal", "    std = torch.where(std > 0, std, torch.ones_like(std))\n", ""),
    ]),
    ("04", "cosine_similarity", '''
def cosine_similarity(a, b, dim=-1, eps=1e-8):
    dot = (a * b).sum(dim=dim)
    norm_a = a.norm(dim=dim).clamp(min=eps)
    norm_b = b.norm(dim=dim).clamp(min=eps)
    return dot / (norm_a * norm_b)
''', [
        ("norm of a taken twice", "b.norm(dim=dim)", "a.norm(dim=dim)"),
        ("dim ignored in the dot product", "(a * b).sum(dim=dim)", "(a * b).sum(dim=-1)"),
    ]),
    ("05", "describe_graph", '''
def describe_graph(output):
    ops = {}
    leaves = []
    seen = set()
    stack = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
            continue
        name = type(node).__name__.rstrip("0123456789").removesuffix("Backward")
        ops[name] = ops.get(name, 0) + 1
        for parent, _ in node.next_functions:
            stack.append(parent)
    return {"ops": ops, "leaves": leaves}
''', [
        ("no memory of seen nodes: one reached twice counts twice", "        seen.add(node)\n", ""),
        ("leaves count as operations too", "            continue\n        name", "        name"),
    ]),
    ("06", "fit_standardized", '''
def fit_standardized(X, y, lr=0.1, epochs=300):
    x_mean, x_std = X.mean(0), X.std(0)
    y_mean, y_std = y.mean(0), y.std(0)
    Xs = (X - x_mean) / x_std
    ys = (y - y_mean) / y_std
    w = torch.zeros(X.shape[1], 1, dtype=X.dtype, requires_grad=True)
    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)
    for _ in range(epochs):
        loss = ((Xs @ w + b - ys) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = None
        b.grad = None
    w, b = w.detach(), b.detach()
    w = w * y_std / x_std.unsqueeze(1)
    b = y_mean + b * y_std - x_mean @ w
    return w, b
''', [
        ("forgot the scale of y on the way back", "w * y_std / x_std", "w / x_std"),
        ("gradients of w pile up", "        w.grad = None\n", ""),
    ]),
    ("07", "FlowerDataset.__getitem__", '''
from PIL import Image


def getitem(self, i):
    image = Image.open(self.root / "jpg" / self.files[i]).convert("RGB")
    if self.transform is not None:
        image = self.transform(image)
    return image, self.targets[i]


FlowerDataset.__getitem__ = getitem
''', [
        ("forgot to convert to RGB", '.convert("RGB")', ""),
        ("result of the transform thrown away", "image = self.transform(image)", "self.transform(image)"),
    ]),
    ("08", "RandomResizedCrop.sample", '''
def uniform(low, high, generator):
    return low + (high - low) * torch.rand((), generator=generator).item()


def sample(self, height, width):
    for _ in range(10):
        area = height * width * uniform(self.scale[0], self.scale[1], self.generator)
        ratio = math.exp(uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), self.generator))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 1 <= h <= height and 1 <= w <= width:
            top = torch.randint(height - h + 1, (), generator=self.generator).item()
            left = torch.randint(width - w + 1, (), generator=self.generator).item()
            return top, left, h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


RandomResizedCrop.sample = sample
''', [
        ("the ratio itself is uniform, not its logarithm", "math.exp(uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), self.generator))", "uniform(self.ratio[0], self.ratio[1], self.generator)"),
        ("bound of randint one off: never the lowest place", "height - h + 1", "height - h"),
    ]),
    ("09", "stratified_split", '''
def stratified_split(labels, fractions, generator=None):
    parts = [[] for _ in fractions]
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = split_sizes(len(members), fractions)
        for part, piece in zip(parts, members.split(sizes)):
            part.append(piece)
    return [torch.cat(part).sort().values for part in parts]
''', [
        ("forgot to shuffle within the class", "        members = members[torch.randperm(len(members), generator=generator)]\n", ""),
        ("forgot to sort", "torch.cat(part).sort().values", "torch.cat(part)"),
    ]),
    ("09", "batch_report", '''
def batch_report(dataset, batch_sizes):
    n = len(dataset)
    per_sample = sum(field.numel() * field.element_size() for field in dataset[0])
    report = {}
    for size in batch_sizes:
        batches = math.ceil(n / size)
        report[size] = {
            "batches": batches,
            "max_bytes": min(size, n) * per_sample,
            "last_batch": n - (batches - 1) * size,
        }
    return report
''', [
        ("remainder as the last batch: 0 where the size divides n", "n - (batches - 1) * size", "n % size"),
        ("counts elements, not bytes", "field.numel() * field.element_size()", "field.numel()"),
    ]),
    ("10", "train_epoch", '''
def train_epoch(model, loader, loss_fn, optimizer):
    model.train()
    total_loss, correct, seen = 0.0, 0, 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        seen += len(labels)
    return total_loss / seen, correct / seen
''', [
        ("mean loss of a batch not multiplied by its size", "loss.item() * len(labels)", "loss.item()"),
        ("forgot zero_grad", "        optimizer.zero_grad()\n", ""),
        ("accuracy from a second call of the model, after the update", "outputs.argmax(dim=1) == labels", "model(inputs).argmax(dim=1) == labels"),
    ]),
    ("10", "misclassified", '''
def misclassified(model, images, labels, k=None, batch_size=256):
    model.eval()
    with torch.no_grad():
        log_probs = torch.cat([model(batch) for batch in images.split(batch_size)])
    best, predicted = log_probs.max(dim=1)
    wrong = (predicted != labels).nonzero().flatten()
    confidence = best[wrong].exp()
    order = confidence.argsort(descending=True)[:k]
    return {
        "index": wrong[order],
        "predicted": predicted[wrong][order],
        "target": labels[wrong][order],
        "confidence": confidence[order],
    }
''', [
        ("index counts among the mistakes, not in the images", '"index": wrong[order]', '"index": order'),
        ("confidence in the label, not in the prediction", "best[wrong].exp()", "log_probs[wrong, labels[wrong]].exp()"),
    ]),
    ("11", "Vocabulary.__init__", '''
from collections import Counter


def init(self, texts, min_freq=1, max_size=None):
    counts = Counter()
    for text in texts:
        counts.update(tokenize(text))
    words = [word for word, count in counts.items() if count >= min_freq]
    words.sort(key=lambda word: (-counts[word], word))
    self.tokens = ["<pad>", "<unk>"] + words
    if max_size is not None:
        self.tokens = self.tokens[:max_size]
    self.ids = {token: i for i, token in enumerate(self.tokens)}
    self.pad_id = 0
    self.unk_id = 1


Vocabulary.__init__ = init
''', [
        ("a word that occurs exactly min_freq times is left out", "count >= min_freq", "count > min_freq"),
        ("equal counts stay in the order of the text", "(-counts[word], word)", "-counts[word]"),
    ]),
    ("11", "PackedBatch.pack", '''
def pack(cls, padded, lengths):
    sorted_indices = lengths.argsort(descending=True, stable=True)
    longest = int(lengths.max())
    steps, sizes = [], []
    for t in range(longest):
        running = sorted_indices[lengths[sorted_indices] > t]
        steps.append(padded[running, t])
        sizes.append(len(running))
    return cls(torch.cat(steps), torch.tensor(sizes), sorted_indices, padded.shape[1])


PackedBatch.pack = classmethod(pack)
''', [
        ("one step of padding goes in", "> t]", ">= t]"),
        ("total length is the longest, not the padded one", "sorted_indices, padded.shape[1])", "sorted_indices, longest)"),
    ]),
    ("12", "LSTMCell", '''
class LSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        bound = 1 / math.sqrt(hidden_size)

        def new(*shape):
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        self.weight_ih = new(4 * hidden_size, input_size)
        self.weight_hh = new(4 * hidden_size, hidden_size)
        self.bias_ih = new(4 * hidden_size)
        self.bias_hh = new(4 * hidden_size)

    def forward(self, x, state=None):
        if state is None:
            zeros = torch.zeros(len(x), self.hidden_size, dtype=x.dtype, device=x.device)
            state = (zeros, zeros)
        h, c = state
        gates = x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c
''', [
        ("input and forget gate swapped", "i, f, g, o = gates", "f, i, g, o = gates"),
        ("no tanh of the memory in the output", "o.sigmoid() * c.tanh()", "o.sigmoid() * c"),
    ]),
    ("13", "BatchNorm1d.forward", '''
def forward(self, x):
    dims = [0] if x.dim() == 2 else [0, 2]
    shape = [1, -1] + [1] * (x.dim() - 2)
    if self.training or self.running_mean is None:
        mean = x.mean(dims)
        var = x.var(dims, correction=0)
        if self.training and self.running_mean is not None:
            n = x.numel() / x.shape[1]
            m = self.momentum
            with torch.no_grad():
                self.running_mean.copy_((1 - m) * self.running_mean + m * mean)
                self.running_var.copy_((1 - m) * self.running_var + m * var * n / (n - 1))
                self.num_batches_tracked += 1
    else:
        mean, var = self.running_mean, self.running_var
    y = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
    if self.weight is not None:
        y = y * self.weight.view(shape) + self.bias.view(shape)
    return y


BatchNorm1d.forward = forward
''', [
        ("running variance from the biased one", "m * var * n / (n - 1)", "m * var"),
        ("momentum the other way round for the mean", "(1 - m) * self.running_mean + m * mean", "m * self.running_mean + (1 - m) * mean"),
    ]),
    ("14", "greedy_decode", '''
def greedy_decode(model, src, max_len, src_mask=None):
    model.eval()
    tokens = torch.full((len(src), 1), BOS, device=src.device)
    with torch.no_grad():
        for _ in range(max_len):
            logits, weights = model(src, tokens, src_mask)
            best = logits[:, -1].argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, best], dim=1)
    return tokens[:, 1:], weights
''', [
        ("BOS left in the answer", "tokens[:, 1:]", "tokens"),
        ("mask of the source not handed on", "model(src, tokens, src_mask)", "model(src, tokens)"),
    ]),
    ("15", "scaled_dot_product_attention", '''
def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights * mask
    return weights @ v, weights
''', [
        ("softmax over the queries", "torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)"),
        ("a query that sees no key spreads over all", "    if mask is not None:\n        weights = weights * mask\n", ""),
    ]),
    ("16", "head_statistics", '''
def head_statistics(weights):
    T, S = weights.shape[-2:]
    i = torch.arange(T, device=weights.device)[:, None]
    j = torch.arange(S, device=weights.device)
    entropy = -torch.xlogy(weights, weights).sum(dim=-1)
    distance = (weights * (i - j).abs()).sum(dim=-1)
    largest = weights.max(dim=-1).values
    own = weights.diagonal(dim1=-2, dim2=-1)
    return {
        "entropy": entropy.mean(dim=(0, 2)),
        "mean_distance": distance.mean(dim=(0, 2)),
        "max_weight": largest.mean(dim=(0, 2)),
        "self_weight": own.mean(dim=(0, 2)),
    }
''', [
        ("0 · log 0 is NaN", "torch.xlogy(weights, weights)", "(weights * weights.log())"),
        ("distance with its sign", "(i - j).abs()", "(i - j)"),
    ]),
    ("18", "alibi_bias", '''
def alibi_bias(num_heads, query_len, key_len=None, device=None):
    if key_len is None:
        key_len = query_len
    queries = torch.arange(key_len - query_len, key_len, device=device)
    keys = torch.arange(key_len, device=device)
    distance = (queries[:, None] - keys[None, :]).abs()
    slopes = alibi_slopes(num_heads).to(device)
    return -slopes[:, None, None] * distance
''', [
        ("queries counted from 0 though they are the last ones", "torch.arange(key_len - query_len, key_len, device=device)", "torch.arange(query_len, device=device)"),
        ("a bonus for distance: minus forgotten", "-slopes[:, None, None]", "slopes[:, None, None]"),
    ]),
    ("19", "load_matching", '''
def load_matching(model, state):
    own = model.state_dict()
    loaded, missing, mismatched = [], [], []
    for name, tensor in own.items():
        if name not in state:
            missing.append(name)
        elif state[name].shape != tensor.shape:
            mismatched.append(name)
        else:
            with torch.no_grad():
                tensor.copy_(state[name])
            loaded.append(name)
    unexpected = [name for name in state if name not in own]
    return LoadReport(loaded, missing, unexpected, mismatched)
''', [
        ("buffers forgotten", "own = model.state_dict()", "own = dict(model.named_parameters())"),
        ("name bound anew: nothing is copied", "tensor.copy_(state[name])", "tensor = state[name]"),
    ]),
    ("20", "cross_entropy", '''
def cross_entropy(logits, targets, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    log_probs = torch.log_softmax(logits, dim=1)
    kept = targets != ignore_index
    safe = torch.where(kept, targets, 0)
    right = log_probs.gather(1, safe[:, None]).squeeze(1)
    spread = log_probs.mean(dim=1)
    losses = -(1 - label_smoothing) * right - label_smoothing * spread
    losses = torch.where(kept, losses, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / kept.sum()
''', [
        ("ignored rows count in the mean", "losses.sum() / kept.sum()", "losses.mean()"),
        ("smoothing of s on every class, not s / C", "log_probs.mean(dim=1)", "log_probs.sum(dim=1)"),
        ("log after softmax underflows", "torch.log_softmax(logits, dim=1)", "torch.softmax(logits, dim=1).log()"),
    ]),
    ("21", "AdamW", '''
class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["step"] += 1
                t = state["step"]
                g = p.grad
                p.mul_(1 - group["lr"] * group["weight_decay"])
                state["m"] = beta1 * state["m"] + (1 - beta1) * g
                state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
                m_hat = state["m"] / (1 - beta1**t)
                v_hat = state["v"] / (1 - beta2**t)
                p.sub_(group["lr"] * m_hat / (v_hat.sqrt() + group["eps"]))
''', [
        ("decay without the learning rate", 'p.mul_(1 - group["lr"] * group["weight_decay"])', 'p.mul_(1 - group["weight_decay"])'),
        ("decay in the gradient, as in Adam", 'p.mul_(1 - group["lr"] * group["weight_decay"])', 'g = g + group["weight_decay"] * p'),
    ]),
    ("22", "train_one_epoch", '''
def train_one_epoch(model, loader, loss_fn, optimizer, *, device="cpu", max_grad_norm=None, scheduler=None):
    model.train()
    total, count = 0.0, 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        if max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(inputs)
        count += len(inputs)
    return total / count
''', [
        ("scheduler steps once per epoch", '''        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(inputs)
        count += len(inputs)
''', '''        total += loss.item() * len(inputs)
        count += len(inputs)
    if scheduler is not None:
        scheduler.step()
'''),
        ("clips before there are gradients", '''        loss.backward()
        if max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
''', '''        if max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        loss.backward()
'''),
    ]),
    ("23", "train_bpe", '''
import re
from collections import Counter


def train_bpe(text, vocab_size):
    chunks = [[bytes([b]) for b in chunk.encode("utf-8")] for chunk in re.findall(SPLIT_PATTERN, text)]
    merges = []
    while len(merges) < vocab_size - 256:
        counts = Counter()
        for chunk in chunks:
            counts.update(zip(chunk, chunk[1:]))
        if not counts:
            break
        most = max(counts.values())
        if most < 2:
            break
        best = min(pair for pair, count in counts.items() if count == most)
        merges.append(best)
        chunks = [merge_pair(chunk, best, best[0] + best[1]) for chunk in chunks]
    return merges
''', [
        ("ties go to the first pair met", "min(pair for pair, count in counts.items() if count == most)", "max(counts, key=counts.get)"),
        ("a merge per id, the 256 bytes not taken off", "vocab_size - 256", "vocab_size"),
    ]),
    ("24", "DataLoaderLite.next_batch", '''
class DataLoaderLite:
    def __init__(self, shard_paths, batch_size, block_size, rank=0, world_size=1):
        self.shards = [load_shard(path) for path in shard_paths]
        self.batch_size = batch_size
        self.block_size = block_size
        self.rank = rank
        self.world_size = world_size
        self.reset()

    def reset(self):
        self.shard = 0
        self.position = 0

    def next_batch(self):
        B, T = self.batch_size, self.block_size
        step = B * T * self.world_size
        if self.position + step + 1 > len(self.shards[self.shard]):
            self.shard = (self.shard + 1) % len(self.shards)
            self.position = 0
        start = self.position + self.rank * B * T
        tokens = self.shards[self.shard][start : start + B * T + 1]
        x = tokens[:-1].view(B, T)
        y = tokens[1:].view(B, T)
        self.position += step
        return x, y

    def state_dict(self):
        return {"shard": self.shard, "position": self.position}

    def load_state_dict(self, state):
        self.shard = state["shard"]
        self.position = state["position"]
''', [
        ("every rank reads the first piece", "self.position + self.rank * B * T", "self.position"),
        ("forgot the one token more for the last target", "self.position + step + 1 >", "self.position + step >"),
    ]),
    ("25", "CausalSelfAttention.forward", '''
class CausalSelfAttention(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        C = config.n_embd
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.flash = flash
        self.c_attn = nn.Linear(C, 3 * C, bias=config.bias)
        self.c_proj = nn.Linear(C, C, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x, cache=None):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        if cache is not None:
            k, v = cache.append(k, v)
        dropout = self.dropout if self.training else 0.0
        attention = flash_attention if self.flash else manual_attention
        y = attention(q, k, v, dropout)
        y = y.transpose(1, 2).reshape(B, T, C)
        return self.resid_dropout(self.c_proj(y))
''', [
        ("heads not moved back before they are merged", "y.transpose(1, 2).reshape(B, T, C)", "y.reshape(B, T, C)"),
        ("an empty cache counts as none", "if cache is not None:", "if cache:"),
    ]),
    ("26", "parameter_count", '''
def parameter_count(config):
    C = config.n_embd
    bias = 1 if config.bias else 0
    norm = C + bias * C
    attention = C * 3 * C + C * C + bias * (3 * C + C)
    mlp = C * 4 * C + 4 * C * C + bias * (4 * C + C)
    embeddings = config.vocab_size * C + config.block_size * C
    return embeddings + config.n_layer * (2 * norm + attention + mlp) + norm
''', [
        ("output layer counted again, though it is tied", "config.vocab_size * C + ", "2 * config.vocab_size * C + "),
        ("forgot the last layer norm", "(2 * norm + attention + mlp) + norm", "(2 * norm + attention + mlp)"),
    ]),
    ("27", "sample_next", '''
def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits = logits / temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    probs = torch.softmax(logits, dim=-1)
    return torch.multinomial(probs, 1, generator=generator)
''', [
        ("multiplies by the temperature", "logits / temperature", "logits * temperature"),
        ("greedy answer without its dimension of 1", "logits.argmax(dim=-1, keepdim=True)", "logits.argmax(dim=-1)"),
    ]),
    ("27", "generate", '''
def generate(
    model, idx, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop_token=None, use_cache=False, generator=None
):
    was_training = model.training
    model.eval()
    cache = new_cache(model) if use_cache else None
    done = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits = next_logits(model, idx, cache)
            token = sample_next(logits, temperature, top_k, top_p, generator)
            token, done = apply_stop(token, done, stop_token)
            idx = torch.cat([idx, token], dim=1)
            if done.all():
                break
    model.train(was_training)
    return idx
''', [
        ("stops as soon as one row has ended", "done.all()", "done.any()"),
        ("top_p and top_k swapped in the call", "temperature, top_k, top_p, generator)\n            token", "temperature, top_p, top_k, generator)\n            token"),
    ]),
    ("28", "freeze_all_but", '''
def freeze_all_but(model, prefixes):
    for p in model.parameters():
        p.requires_grad = False
    for name, p in model.named_parameters(remove_duplicate=False):
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes):
            p.requires_grad = True
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
''', [
        ("any name that begins alike: h.1 takes h.10 along", 'name == prefix or name.startswith(prefix + ".")', "name.startswith(prefix)"),
        ("the second name of a tied weight is not seen", "model.named_parameters(remove_duplicate=False)", "model.named_parameters()"),
    ]),
    ("29", "cosine_lr", '''
def cosine_lr(step, max_lr, min_lr, warmup_steps, max_steps):
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
''', [
        ("warm-up begins at 0", "max_lr * (step + 1)", "max_lr * step"),
        ("progress counted from step 0", "(step - warmup_steps) / (max_steps - warmup_steps)", "step / max_steps"),
    ]),
    ("30", "chunked_cross_entropy", '''
from torch.utils.checkpoint import checkpoint


def chunked_cross_entropy(hidden, weight, targets, chunk_size=1024, vocab_size=None):
    hidden = hidden.reshape(-1, hidden.shape[-1])
    targets = targets.reshape(-1)

    def chunk_loss(h, t):
        logits = h @ weight.T
        if vocab_size is not None:
            logits = mask_padded_logits(logits, vocab_size)
        return F.cross_entropy(logits, t, reduction="sum")

    total = 0.0
    for h, t in zip(hidden.split(chunk_size), targets.split(chunk_size)):
        total = total + checkpoint(chunk_loss, h, t, use_reentrant=False)
    return total / (targets != -100).sum()
''', [
        ("adds the chunks' means", 'F.cross_entropy(logits, t, reduction="sum")', "F.cross_entropy(logits, t)"),
        ("divides by all positions, those without a target too", "(targets != -100).sum()", "len(targets)"),
        ("keeps all logits for backward", "checkpoint(chunk_loss, h, t, use_reentrant=False)", "chunk_loss(h, t)"),
    ]),
    ("31", "reduce_mean", '''
import torch.distributed as dist


def reduce_mean(value):
    if not dist.is_initialized():
        return float(value)
    total = torch.tensor(float(value))
    dist.all_reduce(total)
    return (total / dist.get_world_size()).item()
''', [
        ("a sum: not divided by the world size", "total / dist.get_world_size()", "total"),
        ("only rank 0 gets the sum", "dist.all_reduce(total)", "dist.reduce(total, 0)"),
    ]),
    ("32", "evaluate_multiple_choice", '''
def evaluate_multiple_choice(model, examples, encode, block_size=None):
    by_sum = by_mean = total = 0
    device = next(model.parameters()).device
    for example in examples:
        tokens, mask = render_example(example, encode, block_size)
        tokens, mask = tokens.to(device), mask.to(device)
        if predict(model, tokens, mask, normalize=False) == example["label"]:
            by_sum += 1
        if predict(model, tokens, mask, normalize=True) == example["label"]:
            by_mean += 1
        total += 1
    return {"acc": by_sum / total, "acc_norm": by_mean / total, "total": total}
''', [
        ("sum and mean turned round", '"acc": by_sum / total, "acc_norm": by_mean / total', '"acc": by_mean / total, "acc_norm": by_sum / total'),
        ("block_size not handed on", "render_example(example, encode, block_size)", "render_example(example, encode)"),
    ]),
    ("33", "ngram_loss", '''
def ngram_loss(train, val, n, vocab_size, strength=5.0):
    counts = [context_counts(train, k) for k in range(n)]
    val = val.tolist()
    losses = []
    for i in range(n - 1, len(val)):
        p = 1 / vocab_size
        for k in range(n):
            contexts, grams = counts[k]
            context = tuple(val[i - k : i])
            if contexts[context] == 0:
                continue
            p = (grams[context + (val[i],)] + strength * p) / (contexts[context] + strength)
        losses.append(-math.log(p))
    return sum(losses) / len(losses)
''', [
        ("one context too few: k stops at n - 2", "        for k in range(n):", "        for k in range(n - 1):"),
        ("bits, not nats", "-math.log(p)", "-math.log2(p)"),
    ]),
    ("appendix_a_cnn", "conv2d", '''
def as_pair(value):
    return (value, value) if isinstance(value, int) else value


def conv2d(x, weight, bias=None, stride=1, padding=0):
    sh, sw = as_pair(stride)
    ph, pw = as_pair(padding)
    kh, kw = weight.shape[-2:]
    x = F.pad(x, (pw, pw, ph, ph))
    windows = x.unfold(2, kh, sh).unfold(3, kw, sw)
    y = torch.einsum("bcijuv,ocuv->boij", windows, weight)
    if bias is not None:
        y = y + bias.view(1, -1, 1, 1)
    return y
''', [
        ("padding of height and width swapped: F.pad begins with the last dimension", "(pw, pw, ph, ph)", "(ph, ph, pw, pw)"),
        ("bias along the width", "bias.view(1, -1, 1, 1)", "bias"),
    ]),
    ("appendix_a_cnn", "evaluate_binary", '''
def evaluate_binary(model, loader, threshold=0.5):
    was_training = model.training
    model.eval()
    loss, right, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            labels = labels.float()
            loss += F.binary_cross_entropy_with_logits(logits, labels, reduction="sum").item()
            positive = logits.sigmoid() >= threshold
            right += (positive == labels.bool()).sum().item()
            seen += len(labels)
    model.train(was_training)
    return {"loss": loss / seen, "accuracy": right / seen}
''', [
        ("compares the logits with the threshold", "logits.sigmoid() >= threshold", "logits >= threshold"),
        ("forgot eval mode", "    model.eval()\n", ""),
    ]),
    ("tinytorch/03", "broadcast_cost", '''
def broadcast_cost(*shapes, itemsize=4):
    common = np.broadcast_shapes(*[tuple(shape) for shape in shapes])
    inputs = sum(math.prod(shape) for shape in shapes) * itemsize
    output = math.prod(common) * itemsize
    return {"shape": common, "input_bytes": inputs, "output_bytes": output, "expansion": output / inputs}
''', [
        ("sizes of a shape added, not multiplied", "math.prod(shape) for", "sum(shape) for"),
        ("expansion upside down", "output / inputs", "inputs / output"),
    ]),
    ("tinytorch/04", "matmul_loops", '''
def matmul_loops(a, b):
    n, k = a.shape
    m = b.shape[1]
    out = np.zeros((n, m), dtype=a.dtype)
    count = 0
    for i in range(n):
        for j in range(m):
            for s in range(k):
                out[i, j] += a.data[i, s] * b.data[s, j]
                count += 1
    return Tensor(out), count
''', [
        ("only the last product stays: = for +=", "out[i, j] += ", "out[i, j] = "),
        ("counts the outputs, not the multiply-adds", "\n                count += 1", "\n            count += 1"),
    ]),
    ("tinytorch/05", "reduction_rule", '''
def reduction_rule(node, grad):
    x = node.inputs[0].data
    dims = node.saved["dim"]
    out = node.out
    if not node.saved["keepdim"]:
        grad = np.expand_dims(grad, dims)
        out = np.expand_dims(out, dims)
    if node.op == "sum":
        return (np.broadcast_to(grad, x.shape),)
    if node.op == "mean":
        count = math.prod(x.shape[d] for d in dims)
        return (np.broadcast_to(grad / count, x.shape),)
    return (grad * (x == out),)


RULES.update(dict.fromkeys(("sum", "mean", "max"), reduction_rule))
''', [
        ("mean treated as a sum", "grad / count", "grad"),
        ("mean divides by all elements", "math.prod(x.shape[d] for d in dims)", "x.size"),
    ]),
    ("tinytorch/05", "backward", '''
def backward(tensor, gradient=None, *, retain_graph=False):
    order, seen = [], set()

    def visit(t):
        if t.node is None or id(t) in seen:
            return
        seen.add(id(t))
        for parent in t.node.inputs:
            visit(parent)
        order.append(t)

    visit(tensor)
    start = np.ones_like(tensor.data) if gradient is None else np.asarray(gradient)
    grads = {id(tensor): start}
    for t in reversed(order):
        grad = grads.pop(id(t))
        node = t.node
        for parent, part in zip(node.inputs, RULES[node.op](node, grad)):
            if not parent.requires_grad:
                continue
            part = unbroadcast(part, parent.shape)
            if parent.node is None:
                parent.grad = part.copy() if parent.grad is None else parent.grad + part
            else:
                grads[id(parent)] = grads.get(id(parent), 0) + part
        if not retain_graph:
            node.inputs = ()
            node.saved = {}
''', [
        ("an old .grad is overwritten", "part.copy() if parent.grad is None else parent.grad + part", "part.copy()"),
        ("the last consumer's part replaces the others", "grads.get(id(parent), 0) + part", "part"),
    ]),
    ("tinytorch/06", "sigmoid_loss_gradients", '''
def sigmoid_loss_gradients(logits, target):
    z = np.asarray(logits, dtype=np.float64)
    p = 1 / (1 + np.exp(-z))
    return {"logit": z, "mse": 2 * (p - target) * p * (1 - p), "bce": p - target}
''', [
        ("chain rule stops at p", " * p * (1 - p)", ""),
        ("bce gradient with the wrong sign", '"bce": p - target', '"bce": target - p'),
    ]),
    ("tinytorch/08", "evaluate", '''
from tinytorch.autograd import no_grad


def evaluate(model, loss_fn, data):
    total, count = 0.0, 0
    with evaluating(model):
        for x, y in data:
            loss = loss_fn(model(x), y)
            total += loss.item() * len(x)
            count += len(x)
    return total / count
''', [
        ("a mean of batch means", '''            total += loss.item() * len(x)
            count += len(x)
''', '''            total += loss.item()
            count += 1
'''),
        ("no graph, but still in training mode", "with evaluating(model):", "with no_grad():"),
    ]),
    ("tinytorch/09", "conv2d_loops", '''
def conv2d_loops(x, weight, bias=None, stride=1, padding=0):
    B, C, H, W = x.shape
    O, _, K, _ = weight.shape
    h = output_size(H, K, stride, padding)
    w = output_size(W, K, stride, padding)
    padded = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.zeros((B, O, h, w), dtype=x.dtype)
    for b in range(B):
        for o in range(O):
            for i in range(h):
                for j in range(w):
                    top, left = i * stride, j * stride
                    window = padded[b, :, top : top + K, left : left + K]
                    out[b, o, i, j] = (window * weight.data[o]).sum()
                    if bias is not None:
                        out[b, o, i, j] += bias.data[o]
    return Tensor(out)
''', [
        ("stride forgotten where the window lies", "top, left = i * stride, j * stride", "top, left = i, j"),
        ("all padding before the image, none after", "(padding, padding), (padding, padding)", "(2 * padding, 0), (2 * padding, 0)"),
    ]),
    ("tinytorch/10", "DataLoader.__iter__", '''
def iterate(self):
    n = len(self.dataset)
    order = get_rng(self.rng).permutation(n) if self.shuffle else np.arange(n)
    for start in range(0, n, self.batch_size):
        batch = order[start : start + self.batch_size]
        if self.drop_last and len(batch) < self.batch_size:
            break
        yield self.collate_fn([self.dataset[int(i)] for i in batch])


DataLoader.__iter__ = iterate
''', [
        ("an incomplete last batch is always left out", "if self.drop_last and len(batch)", "if len(batch)"),
        ("own collate_fn ignored", "yield self.collate_fn(", "yield collate("),
    ]),
    ("tinytorch/11", "Adam", '''
class Adam(Optimizer):
    def __init__(self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]
        self.steps = [0] * len(self.params)

    def step(self):
        beta1, beta2 = self.betas
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            self.steps[i] += 1
            t = self.steps[i]
            g = p.grad + self.weight_decay * p.data
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g**2
            m_hat = self.m[i] / (1 - beta1**t)
            v_hat = self.v[i] / (1 - beta2**t)
            p.data -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
''', [
        ("beta1 in the correction of v", "self.v[i] / (1 - beta2**t)", "self.v[i] / (1 - beta1**t)"),
        ("root forgotten", "np.sqrt(v_hat)", "v_hat"),
    ]),
    ("tinytorch/11", "classification_metrics", '''
def classification_metrics(cm):
    right = np.diag(cm)
    precision = right / np.maximum(cm.sum(axis=0), 1)
    recall = right / np.maximum(cm.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {"accuracy": float(right.sum() / cm.sum()), "precision": precision, "recall": recall, "f1": f1}
''', [
        ("precision from the row sums", "cm.sum(axis=0)", "cm.sum(axis=1)"),
        ("F1 as a plain mean of the two", "2 * precision * recall / np.maximum(precision + recall, 1e-12)", "(precision + recall) / 2"),
    ]),
    ("tinytorch/12", "EarlyStopping", '''
class EarlyStopping:
    def __init__(self, patience, *, min_delta=0.0, mode="min"):
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.bad_epochs = 0
        self.best_state = None
        self.epoch = -1

    def step(self, value, model=None):
        self.epoch += 1
        if self.mode == "min":
            better = value < self.best - self.min_delta
        else:
            better = value > self.best + self.min_delta
        if better:
            self.best = value
            self.best_epoch = self.epoch
            self.bad_epochs = 0
            if model is not None:
                self.best_state = model_state(model)
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience
''', [
        ("stops one epoch late", "self.bad_epochs >= self.patience", "self.bad_epochs > self.patience"),
        ("an improvement does not reset the count", "            self.bad_epochs = 0\n            if", "            if"),
    ]),
    ("tinytorch/13", "sinusoidal_positions", '''
def sinusoidal_positions(length, dim):
    positions = np.arange(length)[:, None]
    i = np.arange(dim // 2)
    angles = positions / 10000 ** (2 * i / dim)
    table = np.zeros((length, dim), dtype=np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)
    return table
''', [
        ("2 missing in the exponent", "2 * i / dim", "i / dim"),
        ("sines in the first half, cosines in the second", '''    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)
''', '''    table[:, : dim // 2] = np.sin(angles)
    table[:, dim // 2 :] = np.cos(angles)
'''),
        ("float64, NumPy's default", "(length, dim), dtype=np.float32", "(length, dim)"),
    ]),
    ("tinytorch/14", "LayerNorm", '''
class LayerNorm(Module):
    def __init__(self, dim, eps=1e-5):
        self.eps = eps
        self.weight = Parameter(np.ones(dim, dtype=np.float32))
        self.bias = Parameter(np.zeros(dim, dtype=np.float32))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + self.eps) ** 0.5 * self.weight + self.bias
''', [
        ("divides by the variance, not by its root", "(variance + self.eps) ** 0.5", "(variance + self.eps)"),
        ("mean over the batch, as in batch norm", "x.mean(-1, keepdim=True)", "x.mean(0, keepdim=True)"),
        ("bias is a plain Tensor, no Parameter", "self.bias = Parameter(", "self.bias = Tensor("),
    ]),
    ("tinytorch/15", "generate", '''
def generate(model, ids, max_new_tokens, *, temperature=1.0, top_k=None, rng=None):
    rng = get_rng(rng)
    ids = as_array(ids)
    with evaluating(model):
        for _ in range(max_new_tokens):
            logits = model(ids[:, -model.block_size :])
            probs = next_token_probs(logits.data[:, -1], temperature=temperature, top_k=top_k)
            new = [rng.choice(probs.shape[1], p=row) for row in probs]
            ids = np.concatenate([ids, np.array(new)[:, None]], axis=1)
    return ids
''', [
        ("takes the most probable token, draws nothing", "rng.choice(probs.shape[1], p=row)", "row.argmax()"),
        ("the model reads the first tokens, not the last", "ids[:, -model.block_size :]", "ids[:, : model.block_size]"),
    ]),
    ("papers/01", "evolve", '''
def evolve(state, rule, steps):
    table = rule_table(rule)
    rows = [state]
    for _ in range(steps):
        left = state.roll(1, dims=-1)
        right = state.roll(-1, dims=-1)
        state = table[4 * left + 2 * state + right]
        rows.append(state)
    return torch.stack(rows, dim=-2)
''', [
        ("left and right neighbour swapped", "4 * left + 2 * state + right", "4 * right + 2 * state + left"),
        ("steps in front of the batch", "torch.stack(rows, dim=-2)", "torch.stack(rows)"),
    ]),
    ("papers/02", "rnn_forward_numpy", '''
def rnn_forward_numpy(ids, h0, W_xh, W_hh, W_hy, b_h, b_y):
    h = h0
    hidden, logits = [], []
    for i in ids:
        h = np.tanh(W_xh[:, i] + W_hh @ h + b_h)
        hidden.append(h)
        logits.append(W_hy @ h + b_y)
    return np.stack(hidden), np.stack(logits)
''', [
        ("every step starts from h0", "W_hh @ h +", "W_hh @ h0 +"),
        ("recurrent matrix transposed", "W_hh @ h +", "h @ W_hh +"),
    ]),
    ("papers/06", "exact_match", '''
def exact_match(picks, targets):
    real = targets != -100
    right = (picks == targets) | ~real
    return right.all(dim=1).float().mean().item()
''', [
        ("share of steps, not of lists", "right.all(dim=1).float()", "right.float()"),
        ("steps that are not there count as wrong", " | ~real", ""),
    ]),
    ("papers/07", "random_shift", '''
def random_shift(x, pad, generator=None):
    H, W = x.shape[-2:]
    padded = F.pad(x, (pad, pad, pad, pad))
    out = []
    for image in padded:
        top, left = torch.randint(2 * pad + 1, (2,), generator=generator).tolist()
        out.append(image[:, top : top + H, left : left + W])
    return torch.stack(out)
''', [
        ("bound of randint one off", "2 * pad + 1", "2 * pad"),
        ("one shift for the whole batch", '''    for image in padded:
        top, left = torch.randint(2 * pad + 1, (2,), generator=generator).tolist()
''', '''    top, left = torch.randint(2 * pad + 1, (2,), generator=generator).tolist()
    for image in padded:
'''),
    ]),
    ("papers/09", "accumulate_gradients", '''
def accumulate_gradients(model, x, y, loss_fn, num_micro):
    total = 0.0
    for xs, ys in zip(x.tensor_split(num_micro), y.tensor_split(num_micro)):
        loss = loss_fn(model(xs), ys) * len(xs) / len(x)
        loss.backward()
        total += loss.item()
    return total
''', [
        ("every piece weighs the same", "* len(xs) / len(x)", "/ num_micro"),
        ("wipes the old gradients", "    total = 0.0\n", "    model.zero_grad()\n    total = 0.0\n"),
    ]),
    ("papers/11", "dilated_conv1d_numpy", '''
def dilated_conv1d_numpy(x, w, dilation):
    T, K = len(x), len(w)
    y = np.zeros(T)
    for t in range(T):
        for k in range(K):
            source = t - (K - 1 - k) * dilation
            if source >= 0:
                y[t] += w[k] * x[source]
    return y
''', [
        ("steps before the start taken from the end: a negative index", "            if source >= 0:\n                y[t]", "            y[t]"),
        ("first tap meets the present step", "(K - 1 - k) * dilation", "k * dilation"),
    ]),
    ("papers/12", "aggregate", '''
def aggregate(messages, index, num_nodes, how="sum"):
    zeros = messages.new_zeros(num_nodes, messages.shape[1])
    if how == "max":
        rows = index[:, None].expand_as(messages)
        return zeros.scatter_reduce(0, rows, messages, reduce="amax", include_self=False)
    total = zeros.index_add(0, index, messages)
    if how == "sum":
        return total
    counts = torch.bincount(index, minlength=num_nodes).clamp(min=1)
    return total / counts[:, None]
''', [
        ("the zeros take part in the maximum", ", include_self=False", ""),
        ("mean over all edges", "total / counts[:, None]", "total / len(index)"),
        ("0 / 0 at a node without messages", ".clamp(min=1)", ""),
    ]),
    ("papers/14", "alignment_mass", '''
def alignment_mass(weights, centre, width=1):
    places = torch.arange(weights.shape[2], device=weights.device)
    near = (places - centre[:, None]).abs() <= width
    return (weights * near).sum(dim=-1).mean().item()
''', [
        ("places exactly `width` away are left out", "<= width", "< width"),
        ("mean over the places, not their sum", ".sum(dim=-1).mean()", ".mean()"),
    ]),
    ("papers/16", "make_questions", '''
def make_questions(objects, relational, generator=None):
    B, N, _ = objects.shape
    colour = torch.randint(N, (B,), generator=generator)
    row_colour = objects[:, :, :N].argmax(dim=2)
    place = (row_colour == colour[:, None]).int().argmax(dim=1)
    kind = torch.full((B, 1), 1.0 if relational else -1.0)
    questions = torch.cat([F.one_hot(colour, N).float(), kind], dim=1)
    chosen = objects[torch.arange(B), place]
    if relational:
        x = objects[:, :, N + 1]
        close = (x - chosen[:, N + 1, None]).abs() < 0.5
        answers = close.sum(dim=1) - 1
    else:
        answers = (chosen[:, N] > 0).long()
    return questions, answers
''', [
        ("counts the object itself", "close.sum(dim=1) - 1", "close.sum(dim=1)"),
        ("colour taken for the number of the row", "objects[torch.arange(B), place]", "objects[torch.arange(B), colour]"),
    ]),
    ("papers/17", "negative_elbo", '''
def negative_elbo(logits, x, mu, logvar, beta=1.0):
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    reconstruction = pixels.sum(dim=1).mean()
    kl = gaussian_kl(mu, logvar).mean()
    return reconstruction + beta * kl, reconstruction, kl
''', [
        ("mean over the pixels, not their sum", "pixels.sum(dim=1).mean()", "pixels.mean()"),
        ("beta forgotten", "reconstruction + beta * kl", "reconstruction + kl"),
    ]),
    ("papers/21", "ctc_forward", '''
def ctc_forward(log_probs, target, blank=0):
    states = [blank]
    for label in target:
        states += [label, blank]
    impossible = log_probs.new_tensor(IMPOSSIBLE)
    alpha = [log_probs[0, state] if s < 2 else impossible for s, state in enumerate(states)]
    for t in range(1, len(log_probs)):
        new = []
        for s, state in enumerate(states):
            ways = [alpha[s]]
            if s >= 1:
                ways.append(alpha[s - 1])
            if s >= 2 and state != blank and state != states[s - 2]:
                ways.append(alpha[s - 2])
            new.append(torch.logsumexp(torch.stack(ways), dim=0) + log_probs[t, state])
        alpha = new
    return -torch.logsumexp(torch.stack(alpha[-2:]), dim=0)
''', [
        ("jumps between equal labels too", " and state != states[s - 2]", ""),
        ("a path has to end in the blank", "alpha[-2:]", "alpha[-1:]"),
    ]),
    ("papers/26", "knn_predict_numpy", '''
def knn_predict_numpy(train_x, train_y, x, k):
    answers = []
    for point in x:
        distances = ((train_x - point) ** 2).sum(axis=1)
        nearest = distances.argsort()[:k]
        answers.append(np.bincount(train_y[nearest]).argmax())
    return np.array(answers)
''', [
        ("differences not squared", "((train_x - point) ** 2)", "(train_x - point)"),
        ("classes of the first k points: nearest not used as an index", "train_y[nearest]", "train_y[:k]"),
    ]),
    ("papers/28", "bm25_scores", '''
def bm25_scores(questions, passages, k1=1.5, b=0.75):
    P = len(passages)
    length = (passages != 0).sum(dim=1).float()
    scores = torch.zeros(len(questions), P)
    for q, question in enumerate(questions):
        for word in question.tolist():
            if word == 0:
                continue
            tf = (passages == word).sum(dim=1).float()
            n = (tf > 0).sum()
            idf = torch.log((P - n + 0.5) / (n + 0.5) + 1)
            scores[q] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / length.mean()))
    return scores
''', [
        ("counts occurrences, not passages, in the idf", "(tf > 0).sum()", "tf.sum()"),
        ("a word that is asked twice counts once", "for word in question.tolist()", "for word in set(question.tolist())"),
        ("padding of a question counts as a word", "            if word == 0:\n                continue\n", ""),
    ]),
    ("papers/29", "rag_token_log_likelihood", '''
def rag_token_log_likelihood(doc_logits, token_log_probs):
    log_p = doc_logits.log_softmax(dim=1)
    joint = log_p.unsqueeze(2) + token_log_probs
    return joint.logsumexp(dim=1).sum(dim=1)
''', [
        ("one document for the whole answer", "joint.logsumexp(dim=1).sum(dim=1)", "joint.sum(dim=2).logsumexp(dim=1)"),
        ("scores of the documents not normalised", "doc_logits.log_softmax(dim=1)", "doc_logits"),
    ]),
    ("today/01", "rms_norm", '''
def rms_norm(x, weight=None, eps=1e-5):
    rms = torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)
    y = x / rms
    if weight is not None:
        y = y * weight
    return y
''', [
        ("sum of squares, not their mean", ".mean(dim=-1, keepdim=True)", ".sum(dim=-1, keepdim=True)"),
        ("variance about the mean, as in layer norm", "x.pow(2).mean(dim=-1, keepdim=True)", "x.var(dim=-1, keepdim=True, correction=0)"),
    ]),
    ("today/02", "wsd_lr", '''
def wsd_lr(step, max_lr, warmup_steps, decay_steps, max_steps, min_lr=0.0, shape="linear"):
    start = max_steps - decay_steps
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    if step <= start:
        return max_lr
    u = (step - start) / decay_steps
    fall = 1 - math.sqrt(u) if shape == "sqrt" else 1 - u
    return min_lr + (max_lr - min_lr) * fall
''', [
        ("decay_steps taken for the step at which the fall begins", "start = max_steps - decay_steps", "start = decay_steps"),
        ("root of 1 - u", "1 - math.sqrt(u)", "math.sqrt(1 - u)"),
    ]),
    ("today/03", "accept_or_resample", '''
def accept_or_resample(p, q, token, u, v):
    if u * q[token] < p[token]:
        return token, True
    rest = (p - q).clamp(min=0)
    rest = rest / rest.sum()
    other = (rest.cumsum(dim=0) > v).nonzero()[0].item()
    return other, False
''', [
        ("draws from p, not from what is left of it", "(p - q).clamp(min=0)", "p"),
        ("target and draft swapped in the test", "u * q[token] < p[token]", "u * p[token] < q[token]"),
    ]),
    ("today/04", "document_mask", '''
def document_mask(doc_ids):
    T = doc_ids.shape[1]
    same = doc_ids[:, :, None] == doc_ids[:, None, :]
    causal = torch.ones(T, T, dtype=torch.bool, device=doc_ids.device).tril()
    return (same & causal).unsqueeze(1)
''', [
        ("no dimension for the heads", "(same & causal).unsqueeze(1)", "same & causal"),
        ("a token does not see itself", ".tril()", ".tril(-1)"),
    ]),
    ("today/05", "token_logp", '''
def token_logp(logits, tokens):
    logp = logits[:, :-1].log_softmax(dim=-1)
    return logp.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
''', [
        ("each token scored by its own position", "tokens[:, 1:]", "tokens[:, :-1]"),
        ("logits not normalised", ".log_softmax(dim=-1)", ""),
    ]),
    ("today/06", "route_topk", '''
def route_topk(logits, k, renormalise=True):
    probabilities = logits.softmax(dim=-1)
    weights, experts = probabilities.topk(k, dim=-1)
    if renormalise:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights, experts
''', [
        ("divides by the sum over all tokens", "weights.sum(dim=-1, keepdim=True)", "weights.sum()"),
        ("always renormalises", "    if renormalise:\n        weights = weights", "    weights = weights"),
    ]),
    ("today/06", "dispatch", '''
def dispatch(x, experts, n_experts):
    k = experts.shape[1]
    flat = experts.flatten()
    order = flat.argsort(stable=True)
    rows = x[order // k]
    counts = torch.bincount(flat, minlength=n_experts)
    return rows, order, counts
''', [
        ("flat index taken modulo k, not divided", "order // k", "order % k"),
        ("experts nobody chose are missing at the end", "torch.bincount(flat, minlength=n_experts)", "torch.bincount(flat)"),
    ]),
    ("today/07", "pack_int4", '''
def pack_int4(q):
    low = q[..., 0::2] & 0xF
    high = q[..., 1::2] & 0xF
    return (low | (high << 4)).to(torch.uint8)
''', [
        ("low and high four bits swapped", "low | (high << 4)", "high | (low << 4)"),
        ("sign bits of the low one not cut off", "q[..., 0::2] & 0xF", "q[..., 0::2]"),
    ]),
    ("today/08", "shard_flat", '''
import torch.distributed as dist


def shard_flat(tensors):
    flat = torch.cat([t.reshape(-1) for t in tensors])
    size = math.ceil(len(flat) / dist.get_world_size())
    flat = F.pad(flat, (0, size * dist.get_world_size() - len(flat)))
    rank = dist.get_rank()
    return flat[rank * size : (rank + 1) * size].clone()
''', [
        ("a slice that keeps the whole vector alive", ".clone()", ""),
        ("zeros in front of the vector", "(0, size * dist.get_world_size() - len(flat))", "(size * dist.get_world_size() - len(flat), 0)"),
    ]),
    ("kernels/01", "add", '''
@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    x = tl.load(x_ptr + at, mask=mask)
    y = tl.load(y_ptr + at, mask=mask)
    tl.store(out_ptr + at, x + y, mask=mask)


def add(x, y, block=64):
    out = torch.empty_like(x)
    n = x.numel()
    add_kernel[(triton.cdiv(n, block),)](x, y, out, n, BLOCK=block)
    return out
''', [
        ("programs start one element apart: times BLOCK forgotten", "tl.program_id(0) * BLOCK", "tl.program_id(0)"),
        ("mask allows one element too many", "at < n", "at <= n"),
    ]),
    ("kernels/02", "rms_norm", '''
@triton.jit
def rms_norm_kernel(x_ptr, weight_ptr, y_ptr, rstd_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    mask = at < N
    x = tl.load(x_ptr + row * N + at, mask=mask, other=0.0)
    weight = tl.load(weight_ptr + at, mask=mask)
    rstd = 1 / tl.sqrt(tl.sum(x * x) / N + eps)
    tl.store(y_ptr + row * N + at, x * rstd * weight, mask=mask)
    tl.store(rstd_ptr + row, rstd)


def rms_norm(x, weight, eps=1e-5):
    M, N = x.shape
    y = torch.empty_like(x)
    rstd = torch.empty(M, dtype=x.dtype, device=x.device)
    rms_norm_kernel[(M,)](x, weight, y, rstd, N, eps, BLOCK=triton.next_power_of_2(N))
    return y, rstd
''', [
        ("mean over the whole block, the masked places too", "/ N + eps", "/ BLOCK + eps"),
        ("every program writes the first row", "y_ptr + row * N + at", "y_ptr + at"),
    ]),
]  # fmt: skip
