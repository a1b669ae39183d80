# ruff: noqa: E501
"""Wrong codes written from stubs and lessons alone: functions as a learner writes them, each with slips planted in it.

The code is right; each slip changes one part of it and is named by the cause that a teacher would name. No spec,
suspect or recorded mistake was read before. The first set was measured, and the rules of causes mended, before the
second was run.
"""

FIRST = [  # kata, exercise, code, slips: the cause in words, a part that is in the code once, what is there instead
    ("01", "memory_by_dtype", '''
def memory_by_dtype(shape, dtypes):
    n = 1
    for size in shape:
        n *= size
    return {dtype: n * dtype.itemsize for dtype in dtypes}
''', [
        ("sizes added, not multiplied", "n = 1\n    for size in shape:\n        n *= size", "n = sum(shape)"),
        ("number of dimensions for number of elements", "n * dtype.itemsize", "len(shape) * dtype.itemsize"),
        ("returned within the loop: only the first dtype", "return {dtype: n * dtype.itemsize for dtype in dtypes}", "for dtype in dtypes:\n        return {dtype: n * dtype.itemsize}"),
    ]),
    ("01", "from_array", '''
def from_array(array, *, copy=False):
    if copy:
        return torch.tensor(array)
    return torch.from_numpy(array)
''', [
        ("copies always", "    if copy:\n        return torch.tensor(array)\n    return torch.from_numpy(array)", "    return torch.tensor(array)"),
        ("never copies", "torch.tensor(array)", "torch.from_numpy(array)"),
        ("torch.Tensor makes float32 of everything", "torch.tensor(array)", "torch.Tensor(array)"),
    ]),
    ("01", "to_array", '''
def to_array(x):
    return x.detach().cpu().numpy().copy()
''', [
        ("no detach before numpy()", "x.detach().cpu()", "x.cpu()"),
        ("shares memory with the tensor", ".numpy().copy()", ".numpy()"),
        ("requires_grad of the caller's tensor switched off", "x.detach().cpu()", "x.requires_grad_(False).cpu()"),
    ]),
    ("01", "to_device", '''
def to_device(batch, device=None):
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
''', [
        ("the result of .to is thrown away", "return batch.to(device)", "batch.to(device)\n        return batch"),
        ("tuples become lists", "type(batch)(to_device(value, device) for value in batch)", "[to_device(value, device) for value in batch]"),
        ("not recursive: .to of what is in the list", "type(batch)(to_device(value, device) for value in batch)", "type(batch)(value.to(device) for value in batch)"),
        ("tuples forgotten", "(list, tuple)", "list"),
    ]),
    ("02", "nhwc_to_nchw", '''
def nhwc_to_nchw(images):
    return images.permute(0, 3, 1, 2)
''', [
        ("reshape in place of permute", "images.permute(0, 3, 1, 2)", "images.reshape(images.shape[0], images.shape[3], images.shape[1], images.shape[2])"),
        ("height and width swapped", "permute(0, 3, 1, 2)", "permute(0, 3, 2, 1)"),
        ("permute the wrong way round (NCHW to NHWC)", "permute(0, 3, 1, 2)", "permute(0, 2, 3, 1)"),
    ]),
    ("02", "add_batch_dim", '''
def add_batch_dim(sample):
    return sample.unsqueeze(0)
''', [
        ("dimension added at the end", "unsqueeze(0)", "unsqueeze(-1)"),
        ("a copy is made, not a view", "sample.unsqueeze(0)", "torch.stack([sample])"),
        ("detached from the graph", "sample.unsqueeze(0)", "sample.data.unsqueeze(0)"),
    ]),
    ("03", "sliding_windows", '''
def sliding_windows(x, size, step=1):
    count = (len(x) - size) // step + 1
    return torch.stack([x[i * step : i * step + size] for i in range(count)])
''', [
        ("the last window is missing", "// step + 1", "// step"),
        ("step ignored", "x[i * step : i * step + size]", "x[i : i + size]"),
        ("windows joined, not stacked", "torch.stack", "torch.cat"),
        ("end of the slice is the size", "x[i * step : i * step + size]", "x[i * step : size]"),
    ]),
    ("03", "pick_per_row", '''
def pick_per_row(x, index):
    return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)
''', [
        ("all rows with all indices", "x.gather(-1, index.unsqueeze(-1)).squeeze(-1)", "x[..., index]"),
        ("the last dimension of size 1 kept", ".squeeze(-1)", ""),
        ("rows taken in place of columns", "x.gather(-1, index.unsqueeze(-1)).squeeze(-1)", "x[index]"),
        ("index not unsqueezed for gather", "index.unsqueeze(-1)", "index"),
    ]),
    ("05", "partial_derivatives", '''
def partial_derivatives(f, *inputs):
    copies = [x.detach().clone().requires_grad_() for x in inputs]
    grads = torch.autograd.grad(f(*copies), copies, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(grads, copies))
''', [
        ("an unused input gives None", "torch.zeros_like(x) if g is None else g", "g"),
        ("allow_unused forgotten", ", allow_unused=True", ""),
        ("requires_grad switched on in the caller's tensors", "x.detach().clone().requires_grad_()", "x.requires_grad_()"),
    ]),
    ("05", "frozen_target_loss", '''
def frozen_target_loss(value_fn, state, next_state, reward, gamma=0.9, how="detach"):
    if how == "detach":
        next_value = value_fn(next_state).detach()
    elif how == "no_grad":
        with torch.no_grad():
            next_value = value_fn(next_state)
    else:
        with torch.inference_mode():
            next_value = value_fn(next_state)
    target = reward + gamma * next_value
    return ((value_fn(state) - target) ** 2).mean()
''', [
        ("the sum for the mean", ".mean()", ".sum()"),
        ("the reward discounted as well", "reward + gamma * next_value", "gamma * (reward + next_value)"),
        ("the target's sign", "value_fn(state) - target", "value_fn(state) + target"),
        ("detach not assigned", "next_value = value_fn(next_state).detach()", "next_value = value_fn(next_state)\n        next_value.detach()"),
    ]),
    ("11", "Embedding", '''
class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    def forward(self, ids):
        out = self.weight[ids]
        if self.padding_idx is not None:
            out = torch.where((ids == self.padding_idx).unsqueeze(-1), out.detach(), out)
        return out
''', [
        ("weight is a plain tensor, no Parameter", "nn.Parameter(torch.randn(num_embeddings, embedding_dim))", "torch.randn(num_embeddings, embedding_dim)"),
        ("super().__init__() forgotten", "        super().__init__()\n", ""),
        ("uniform start in place of normal", "torch.randn(num", "torch.rand(num"),
        ("the padding's row is not zero at the start", "self.weight[padding_idx] = 0", "pass"),
        ("rows and columns of the table exchanged", "torch.randn(num_embeddings, embedding_dim)", "torch.randn(embedding_dim, num_embeddings)"),
    ]),
    ("11", "one_hot_lookup", '''
def one_hot_lookup(ids, weight):
    one_hot = torch.nn.functional.one_hot(ids, weight.shape[0]).to(weight.dtype)
    return one_hot @ weight
''', [
        ("one-hot vectors of int64 times floats", ".to(weight.dtype)", ""),
        ("the number of classes left to one_hot", "one_hot(ids, weight.shape[0])", "one_hot(ids)"),
        ("embedding size for the number of rows", "weight.shape[0]", "weight.shape[1]"),
    ]),
    ("13", "BatchNorm2d", '''
class BatchNorm2d(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", torch.ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)

    def forward(self, x):
        if self.training or self.running_mean is None:
            mean = x.mean(dim=(0, 2, 3))
            var = x.var(dim=(0, 2, 3), unbiased=False)
            if self.training and self.running_mean is not None:
                n = x.numel() / x.shape[1]
                with torch.no_grad():
                    self.num_batches_tracked += 1
                    m = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
                    self.running_mean.mul_(1 - m).add_(m * mean)
                    self.running_var.mul_(1 - m).add_(m * var * n / (n - 1))
        else:
            mean, var = self.running_mean, self.running_var
        x = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + self.eps)
        if self.weight is not None:
            x = x * self.weight[:, None, None] + self.bias[:, None, None]
        return x
''', [
        ("statistics over the batch alone, not over the pixels", "mean = x.mean(dim=(0, 2, 3))\n            var = x.var(dim=(0, 2, 3), unbiased=False)", "mean = x.mean(dim=0).mean(dim=(1, 2))\n            var = x.var(dim=0, unbiased=False).mean(dim=(1, 2))"),
        ("momentum on the wrong term", "self.running_mean.mul_(1 - m).add_(m * mean)\n                    self.running_var.mul_(1 - m).add_(m * var * n / (n - 1))", "self.running_mean.mul_(m).add_((1 - m) * mean)\n                    self.running_var.mul_(m).add_((1 - m) * var * n / (n - 1))"),
        ("running variance is the biased one", "m * var * n / (n - 1)", "m * var"),
        ("running statistics are parameters, no buffers", "self.register_buffer(\"running_mean\", torch.zeros(num_features) if track_running_stats else None)", "self.running_mean = nn.Parameter(torch.zeros(num_features), requires_grad=False)"),
        ("statistics per image, as in instance norm", "mean = x.mean(dim=(0, 2, 3))\n            var = x.var(dim=(0, 2, 3), unbiased=False)", "mean = x.mean(dim=(2, 3)).mean(0)\n            var = x.var(dim=(2, 3), unbiased=False).mean(0)"),
        ("divided by the variance, no root", "torch.sqrt(var[:, None, None] + self.eps)", "(var[:, None, None] + self.eps)"),
    ]),
    ("17", "FeedForward", '''
class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff=None, dropout=0.0, activation="relu"):
        super().__init__()
        d_ff = d_ff or 4 * d_model
        self.fc1 = nn.Linear(d_model, d_ff)
        self.fc2 = nn.Linear(d_ff, d_model)
        self.drop = nn.Dropout(dropout)
        self.act = nn.ReLU() if activation == "relu" else nn.GELU()

    def forward(self, x):
        return self.fc2(self.drop(self.act(self.fc1(x))))
''', [
        ("the hidden width is d_model by default", "4 * d_model", "d_model"),
        ("activation after the second layer", "self.fc2(self.drop(self.act(self.fc1(x))))", "self.act(self.fc2(self.drop(self.fc1(x))))"),
        ("gelu for relu", 'nn.ReLU() if activation == "relu" else nn.GELU()', "nn.GELU()"),
        ("a residual connection within", "return self.fc2", "return x + self.fc2"),
        ("dropout on the output", "self.fc2(self.drop(self.act(self.fc1(x))))", "self.drop(self.fc2(self.act(self.fc1(x))))"),
    ]),
    ("22", "evaluate", '''
def evaluate(model, loader, loss_fn, *, device="cpu"):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    loss = correct = count = 0
    with torch.no_grad():
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            outputs = model(inputs)
            loss += loss_fn(outputs, targets).item() * len(inputs)
            correct += (outputs.argmax(dim=1) == targets).sum().item()
            count += len(inputs)
    for module, mode in modes.items():
        module.training = mode
    return {"loss": loss / count, "accuracy": correct / count}
''', [
        ("left in eval mode", "        module.training = mode", "        pass"),
        ("set back to train mode, whatever it was", "    for module, mode in modes.items():\n        module.training = mode", "    model.train()"),
        ("mean of the batches' means", "loss_fn(outputs, targets).item() * len(inputs)", "loss_fn(outputs, targets).item()"),
        ("argmax over the batch", "argmax(dim=1)", "argmax(dim=0)"),
        ("accuracy divided by the number of batches", "count += len(inputs)", "count += 1"),
    ]),
    ("24", "tokenize_documents", '''
def tokenize_documents(docs, encode, eot):
    ids = []
    for doc in docs:
        ids.append(eot)
        ids.extend(encode(doc))
    return np.array(ids, dtype=np.uint16)
''', [
        ("the mark after the document", "        ids.append(eot)\n        ids.extend(encode(doc))", "        ids.extend(encode(doc))\n        ids.append(eot)"),
        ("int64 for uint16", ", dtype=np.uint16", ""),
        ("append for extend", "ids.extend(encode(doc))", "ids.append(encode(doc))"),
        ("only one mark at the beginning", "    ids = []\n    for doc in docs:\n        ids.append(eot)\n", "    ids = [eot]\n    for doc in docs:\n"),
    ]),
    ("32", "kl_divergence", '''
def kl_divergence(logits_p, logits_q):
    log_p = logits_p.log_softmax(dim=-1)
    log_q = logits_q.log_softmax(dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
''', [
        ("p and q exchanged", "log_p.exp() * (log_p - log_q)", "log_q.exp() * (log_q - log_p)"),
        ("the raw logits subtracted", "(log_p - log_q)", "(logits_p - logits_q)"),
        ("the mean over the vocabulary", ".sum(dim=-1)", ".mean(dim=-1)"),
        ("one number for everything", ".sum(dim=-1)", ".sum()"),
        ("weighted by log-probabilities", "log_p.exp() *", "log_p *"),
    ]),
    ("32", "token_log_probs", '''
def token_log_probs(logits, targets):
    return logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
''', [
        ("raw logits, no log-softmax", "logits.log_softmax(dim=-1)", "logits"),
        ("minus: a loss, not a log-probability", "return logits", "return -logits"),
        ("targets shifted by one", "targets.unsqueeze(-1)", "targets.roll(-1, 1).unsqueeze(-1)"),
    ]),
    ("today/05", "dpo_loss", '''
def dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    chosen = policy_chosen - ref_chosen.detach()
    rejected = policy_rejected - ref_rejected.detach()
    margins = beta * (chosen - rejected)
    return -F.logsigmoid(margins).mean(), margins
''', [
        ("beta forgotten", "beta * (chosen - rejected)", "chosen - rejected"),
        ("chosen and rejected exchanged", "(chosen - rejected)", "(rejected - chosen)"),
        ("sigmoid without log", "F.logsigmoid(margins)", "torch.sigmoid(margins)"),
        ("the reference is not subtracted", "policy_chosen - ref_chosen.detach()", "policy_chosen"),
        ("minus forgotten", "-F.logsigmoid", "F.logsigmoid"),
        ("gradient flows into the reference", "policy_chosen - ref_chosen.detach()", "policy_chosen - ref_chosen"),
    ]),
    ("today/05", "group_advantages", '''
def group_advantages(rewards, eps=1e-4, scale=True):
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if scale:
        centred = centred / (rewards.std(dim=1, keepdim=True) + eps)
    return centred.detach()
''', [
        ("mean over all groups", "rewards.mean(dim=1, keepdim=True)", "rewards.mean()"),
        ("std that divides by K", "rewards.std(dim=1, keepdim=True)", "rewards.std(dim=1, keepdim=True, correction=0)"),
        ("mean over the prompts, not the answers", "rewards.mean(dim=1, keepdim=True)", "rewards.mean(dim=0, keepdim=True)"),
        ("keepdim forgotten", "rewards.mean(dim=1, keepdim=True)", "rewards.mean(dim=1)"),
        ("scale ignored", "    if scale:\n        centred", "    if True:\n        centred"),
    ]),
    ("today/05", "kl_k3", '''
def kl_k3(logp, ref_logp):
    d = ref_logp - logp
    return d.exp() - 1 - d
''', [
        ("the difference the other way round", "ref_logp - logp", "logp - ref_logp"),
        ("the plain difference (k1)", "d.exp() - 1 - d", "-d"),
        ("minus one forgotten", "d.exp() - 1 - d", "d.exp() - d"),
    ]),
    ("today/02", "newton_schulz", '''
def newton_schulz(g, steps=5, eps=1e-7):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / g.norm().clamp(min=eps)
    tall = g.shape[0] > g.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        A = x @ x.T
        x = a * x + (b * A + c * A @ A) @ x
    return x.T if tall else x
''', [
        ("not normalised first", "g / g.norm().clamp(min=eps)", "g"),
        ("not transposed back", "return x.T if tall else x", "return x"),
        ("the sign of b", "b * A + c * A @ A", "-b * A + c * A @ A"),
        ("elementwise square of A", "c * A @ A", "c * A * A"),
    ]),
    ("today/02", "z_loss", '''
def z_loss(logits, targets=None, coefficient=1e-4):
    z = logits.logsumexp(dim=-1) ** 2
    if targets is not None:
        z = z[targets != -100]
    return coefficient * z.mean()
''', [
        ("not squared", "logits.logsumexp(dim=-1) ** 2", "logits.logsumexp(dim=-1)"),
        ("ignored positions counted", "    if targets is not None:\n        z = z[targets != -100]\n", ""),
        ("coefficient forgotten", "coefficient * z.mean()", "z.mean()"),
        ("the sum for the mean", "z.mean()", "z.sum()"),
        ("the ignored ones alone", "targets != -100", "targets == -100"),
    ]),
    ("tinytorch/03", "relu", '''
def relu(x):
    return record(Tensor(np.maximum(x.data, 0)), "relu", (x,))
''', [
        ("the argument overwritten", "record(Tensor(np.maximum(x.data, 0)), \"relu\", (x,))", "record(Tensor(np.maximum(x.data, 0, out=x.data)), \"relu\", (x,))"),
        ("absolute value", "np.maximum(x.data, 0)", "np.abs(x.data)"),
        ("not announced", 'record(Tensor(np.maximum(x.data, 0)), "relu", (x,))', "Tensor(np.maximum(x.data, 0))"),
        ("the largest element alone", "np.maximum(x.data, 0)", "np.max(x.data, 0)"),
    ]),
    ("tinytorch/04", "Linear.__init__", '''
class Linear(Module):
    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        rng = get_rng(rng)
        bound = 1 / np.sqrt(in_features)
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)).astype(np.float32))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype(np.float32)) if bias else None

    def forward(self, x):
        out = x @ self.weight.T
        if self.bias is not None:
            out = out + self.bias
        return out
''', [
        ("float64 parameters", "(out_features, in_features)).astype(np.float32)", "(out_features, in_features))"),
        ("from 0 to the bound", "self.weight = Parameter(rng.uniform(-bound, bound,", "self.weight = Parameter(rng.uniform(0, bound,"),
        ("bound of the outputs", "1 / np.sqrt(in_features)", "1 / np.sqrt(out_features)"),
    ]),
    ("tinytorch/04", "Linear.forward", '''
class Linear(Module):
    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        rng = get_rng(rng)
        bound = 1 / np.sqrt(in_features)
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)).astype(np.float32))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype(np.float32)) if bias else None

    def forward(self, x):
        out = x @ self.weight.T
        if self.bias is not None:
            out = out + self.bias
        return out
''', [
        ("the weight is not transposed", "x @ self.weight.T", "x @ self.weight"),
        ("computed with .data", "x @ self.weight.T", "Tensor(x.data @ self.weight.data.T)"),
        ("bias not used", "out = out + self.bias", "pass"),
    ]),
    ("tinytorch/06", "mse_loss", '''
def mse_loss(pred, target, *, reduction="mean"):
    target = target if isinstance(target, Tensor) else Tensor(target)
    if pred.shape != target.shape:
        raise ValueError(f"{pred.shape} and {target.shape}")
    squares = (pred - target) ** 2
    if reduction == "mean":
        return squares.mean()
    if reduction == "sum":
        return squares.sum()
    return squares
''', [
        ("shapes not compared: (N, 1) and (N,) broadcast", "    if pred.shape != target.shape:\n        raise ValueError(f\"{pred.shape} and {target.shape}\")\n", ""),
        ("not squared", "(pred - target) ** 2", "pred - target"),
        ("mean over the first dimension", "squares.mean()", "squares.mean(0)"),
        ("half the squares", "(pred - target) ** 2", "((pred - target) ** 2) / 2"),
        ("reduction ignored", '    if reduction == "mean":\n        return squares.mean()\n    if reduction == "sum":\n        return squares.sum()\n    return squares', "    return squares.mean()"),
    ]),
    ("tinytorch/10", "pipeline_seconds", '''
def pipeline_seconds(load_seconds, compute_seconds, batches, *, overlap=False):
    if batches == 0:
        return 0.0
    if overlap:
        return load_seconds + (batches - 1) * max(load_seconds, compute_seconds) + compute_seconds
    return batches * (load_seconds + compute_seconds)
''', [
        ("the first load and last compute forgotten", "load_seconds + (batches - 1) * max(load_seconds, compute_seconds) + compute_seconds", "batches * max(load_seconds, compute_seconds)"),
        ("the faster of the two", "max(load_seconds, compute_seconds)", "min(load_seconds, compute_seconds)"),
        ("one batch too many", "(batches - 1) *", "batches *"),
    ]),
    ("tinytorch/13", "causal_mask", '''
def causal_mask(length):
    return np.tril(np.ones((length, length), dtype=bool))
''', [
        ("the future in place of the past", "np.tril", "np.triu"),
        ("a position does not see itself", "np.tril(np.ones((length, length), dtype=bool))", "np.tril(np.ones((length, length), dtype=bool), -1)"),
        ("floats in place of bool", ", dtype=bool", ""),
    ]),
    ("papers/02", "build_vocab", '''
def build_vocab(text):
    itos = sorted(set(text))
    stoi = {c: i for i, c in enumerate(itos)}
    return stoi, itos
''', [
        ("not sorted", "sorted(set(text))", "list(dict.fromkeys(text))"),
        ("the pair in the other order", "return stoi, itos", "return itos, stoi"),
        ("numbered from 1", "enumerate(itos)", "enumerate(itos, 1)"),
        ("not unique", "sorted(set(text))", "sorted(text)"),
    ]),
    ("papers/02", "chunks", '''
def chunks(ids, seq_len):
    pairs = []
    for start in range(0, len(ids) - seq_len, seq_len):
        pairs.append((ids[start : start + seq_len], ids[start + 1 : start + seq_len + 1]))
    return pairs
''', [
        ("chunks overlap: a step of one", "len(ids) - seq_len, seq_len)", "len(ids) - seq_len)"),
        ("targets are the inputs", "ids[start + 1 : start + seq_len + 1]", "ids[start : start + seq_len]"),
        ("a short chunk at the end", "range(0, len(ids) - seq_len, seq_len)", "range(0, len(ids) - 1, seq_len)"),
        ("the last chunk is lost", "range(0, len(ids) - seq_len, seq_len)", "range(0, len(ids) - 2 * seq_len, seq_len)"),
    ]),
    ("papers/03", "lstm_step_numpy", '''
def lstm_step_numpy(x, h, c, weight_ih, weight_hh, bias):
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    z = x @ weight_ih.T + h @ weight_hh.T + bias
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
''', [
        ("gates in the order i, f, o, g", "i, f, g, o = np.split", "i, f, o, g = np.split"),
        ("forget and input gate exchanged", "i, f, g, o = np.split", "f, i, g, o = np.split"),
        ("sigmoid on g", "sigmoid(i) * np.tanh(g)", "sigmoid(i) * sigmoid(g)"),
        ("h from the old cell state", "    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)\n    return sigmoid(o) * np.tanh(c), c", "    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)\n    return sigmoid(o) * np.tanh(c), new"),
        ("bias forgotten", " + bias", ""),
    ]),
    ("papers/11", "receptive_field", '''
def receptive_field(kernel_size, dilations):
    return 1 + sum((kernel_size - 1) * d for d in dilations)
''', [
        ("kernel_size for kernel_size minus one", "(kernel_size - 1) * d", "kernel_size * d"),
        ("the present step forgotten", "1 + sum", "sum"),
        ("only the largest dilation", "sum((kernel_size - 1) * d for d in dilations)", "(kernel_size - 1) * max(dilations, default=0)"),
    ]),
    ("papers/11", "CausalConv1d", '''
class CausalConv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, dilation=1):
        super().__init__()
        self.pad = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)

    def forward(self, x):
        return self.conv(F.pad(x, (self.pad, 0)))
''', [
        ("padding on the right: it looks ahead", "(self.pad, 0)", "(0, self.pad)"),
        ("padding on both sides: it looks ahead", "F.pad(x, (self.pad, 0))", "F.pad(x, (self.pad // 2, self.pad - self.pad // 2))"),
        ("dilation not handed on", ", dilation=dilation)", ")"),
        ("padding without the dilation", "(kernel_size - 1) * dilation", "kernel_size - 1"),
        ("not padded", "self.conv(F.pad(x, (self.pad, 0)))", "self.conv(x)"),
    ]),
    ("papers/12", "message_passing_numpy", '''
def message_passing_numpy(h, edge_index, edge_type, A):
    out = np.zeros_like(h)
    for (u, v), kind in zip(edge_index.T, edge_type):
        out[v] += A[kind] @ h[u]
    return out
''', [
        ("source and target exchanged", "out[v] += A[kind] @ h[u]", "out[u] += A[kind] @ h[v]"),
        ("the last message only", "out[v] += A", "out[v] = A"),
        ("the matrix transposed", "A[kind] @ h[u]", "h[u] @ A[kind]"),
        ("edges in both directions", "        out[v] += A[kind] @ h[u]\n", "        out[v] += A[kind] @ h[u]\n        out[u] += A[kind] @ h[v]\n"),
    ]),
    ("papers/22", "fit_power_law_numpy", '''
def fit_power_law_numpy(sizes, losses):
    slope, intercept = np.polyfit(np.log(sizes), np.log(losses), 1)
    return float(np.exp(intercept)), float(-slope)
''', [
        ("log a for a", "float(np.exp(intercept))", "float(intercept)"),
        ("the sign of alpha", "float(-slope)", "float(slope)"),
        ("the pair in the other order", "return float(np.exp(intercept)), float(-slope)", "return float(-slope), float(np.exp(intercept))"),
        ("sizes without a logarithm", "np.log(sizes)", "sizes"),
    ]),
    ("papers/28", "in_batch_loss", '''
def in_batch_loss(q, p, hard=None):
    scores = q @ p.T
    if hard is not None:
        scores = torch.cat([scores, q @ hard.T], dim=1)
    return F.cross_entropy(scores, torch.arange(len(q)))
''', [
        ("p not transposed", "scores = q @ p.T\n", "scores = q @ p\n"),
        ("softmax over the questions", "scores = q @ p.T\n", "scores = p @ q.T\n"),
        ("hard negatives ignored", "        scores = torch.cat([scores, q @ hard.T], dim=1)", "        pass"),
        ("softmax before cross_entropy", "F.cross_entropy(scores,", "F.cross_entropy(scores.softmax(dim=1),"),
        ("hard negatives joined as rows", "torch.cat([scores, q @ hard.T], dim=1)", "torch.cat([scores, q @ hard.T], dim=0)"),
        ("hard negatives in front", "torch.cat([scores, q @ hard.T], dim=1)", "torch.cat([q @ hard.T, scores], dim=1)"),
    ]),
    ("papers/28", "recall_at_k", '''
def recall_at_k(scores, gold, ks=(1, 5, 20)):
    right = scores.gather(1, gold[:, None])
    rank = (scores >= right).sum(dim=1)
    return {k: (rank <= k).float().mean().item() for k in ks}
''', [
        ("ranks from 0", "scores >= right", "scores > right"),
        ("rank below k", "rank <= k", "rank < k"),
        ("a count, not a share", ".float().mean().item()", ".sum().item()"),
        ("a mean of bools", "(rank <= k).float().mean()", "(rank <= k).mean()"),
    ]),
    ("18", "permutation_gap", '''
def permutation_gap(fn, x, permutation):
    with torch.no_grad():
        return (fn(x)[:, permutation] - fn(x[:, permutation])).abs().max().item()
''', [
        ("the batch permuted, not the positions", "fn(x)[:, permutation] - fn(x[:, permutation])", "fn(x)[permutation] - fn(x[permutation])"),
        ("only the input permuted", "fn(x)[:, permutation]", "fn(x)"),
        ("no absolute value", ".abs().max()", ".max()"),
        ("the mean for the largest", ".max().item()", ".mean().item()"),
    ]),
    ("today/04", "loss_mask", '''
def loss_mask(ids, header, im_end):
    ids = ids.tolist()
    header = list(header)
    mask = [False] * len(ids)
    on = False
    i = 0
    while i < len(ids):
        if not on and ids[i : i + len(header)] == header:
            on = True
            i += len(header)
            continue
        mask[i] = on
        if ids[i] == im_end:
            on = False
        i += 1
    return torch.tensor(mask)
''', [
        ("im_end left out", "        mask[i] = on\n        if ids[i] == im_end:\n            on = False\n", "        if ids[i] == im_end:\n            on = False\n        mask[i] = on\n"),
        ("not switched off at im_end", "            on = False\n", "            pass\n"),
        ("the header counted, too", "            i += len(header)\n            continue\n", ""),
        ("every message counted", "ids[i : i + len(header)] == header", "ids[i] == header[0]"),
    ]),
    ("papers/04", "dropout_numpy", '''
def dropout_numpy(x, keep_mask, p):
    return x * keep_mask / (1 - p)
''', [
        ("not scaled up", " / (1 - p)", ""),
        ("divided by p", "/ (1 - p)", "/ p"),
        ("multiplied by 1 - p", "/ (1 - p)", "* (1 - p)"),
        ("the mask inverted", "x * keep_mask", "x * ~keep_mask"),
    ]),
    ("papers/05", "magnitude_mask", '''
def magnitude_mask(weight, sparsity):
    n = round(sparsity * weight.numel())
    order = weight.abs().flatten().argsort(stable=True)
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[:n]] = False
    return mask.view(weight.shape)
''', [
        ("without the absolute value", "weight.abs().flatten()", "weight.flatten()"),
        ("the largest are removed", "order[:n]", "order[len(order) - n :]"),
        ("the mask marks what is removed", "mask = torch.ones(weight.numel(), dtype=torch.bool)\n    mask[order[:n]] = False", "mask = torch.zeros(weight.numel(), dtype=torch.bool)\n    mask[order[:n]] = True"),
        ("sparsity taken for the share to keep", "round(sparsity * weight.numel())", "round((1 - sparsity) * weight.numel())"),
        ("float mask", "torch.ones(weight.numel(), dtype=torch.bool)", "torch.ones(weight.numel())"),
    ]),
    ("papers/05", "kl_bits", '''
def kl_bits(mean, log_var, prior_std=0.3):
    var = log_var.exp()
    nats = math.log(prior_std) - log_var / 2 + ((var + mean**2) / prior_std**2 - 1) / 2
    return nats.sum() / math.log(2)
''', [
        ("nats, not bits", " / math.log(2)", ""),
        ("the mean over the weights", "nats.sum()", "nats.mean()"),
        ("the log of the variance for that of the deviation", "- log_var / 2", "- log_var"),
        ("prior_std taken for the variance", "/ prior_std**2", "/ prior_std"),
    ]),
    ("papers/10", "residual_block_numpy", '''
def residual_block_numpy(x, W1, b1, W2, b2):
    hidden = np.maximum(x @ W1.T + b1, 0)
    return np.maximum(x + hidden @ W2.T + b2, 0)
''', [
        ("no shortcut", "np.maximum(x + hidden @ W2.T + b2, 0)", "np.maximum(hidden @ W2.T + b2, 0)"),
        ("relu before the addition", "np.maximum(x + hidden @ W2.T + b2, 0)", "x + np.maximum(hidden @ W2.T + b2, 0)"),
        ("no relu at the end", "np.maximum(x + hidden @ W2.T + b2, 0)", "x + hidden @ W2.T + b2"),
        ("no relu between the layers", "np.maximum(x @ W1.T + b1, 0)", "x @ W1.T + b1"),
    ]),
    ("papers/16", "relation_sum", '''
def relation_sum(g, objects, question):
    total = 0
    n = objects.shape[1]
    for i in range(n):
        for j in range(n):
            total = total + g(torch.cat([objects[:, i], objects[:, j], question], dim=-1))
    return total
''', [
        ("pairs with themselves left out", "        for j in range(n):\n", "        for j in range(n):\n            if i == j:\n                continue\n"),
        ("each pair once", "for j in range(n)", "for j in range(i, n)"),
        ("the mean over the pairs", "return total", "return total / n**2"),
        ("the question first", "[objects[:, i], objects[:, j], question]", "[question, objects[:, i], objects[:, j]]"),
    ]),
    ("papers/21", "collapse", '''
def collapse(path, blank=0):
    labels = []
    previous = None
    for c in path:
        if c != previous and c != blank:
            labels.append(c)
        previous = c
    return labels
''', [
        ("blanks dropped first, then runs merged", "        previous = c\n", "        previous = c if c != blank else previous\n"),
        ("runs not merged", "c != previous and c != blank", "c != blank"),
        ("blanks kept", "c != previous and c != blank", "c != previous"),
        ("blank is always 0", "c != blank:", "c != 0:"),
        ("each label once", "c != previous and c != blank", "c not in labels and c != blank"),
    ]),
    ("papers/26", "svm_loss", '''
def svm_loss(scores, y, margin=1.0):
    n = len(scores)
    rows = torch.arange(n)
    terms = (scores - scores[rows, y][:, None] + margin).clamp(min=0)
    terms[rows, y] = 0
    grad = (terms > 0).to(scores.dtype)
    grad[rows, y] = -grad.sum(dim=1)
    return terms.sum() / n, grad / n
''', [
        ("the right class counted with its margin", "    terms[rows, y] = 0\n    grad = (terms > 0).to(scores.dtype)\n", "    grad = (terms > 0).to(scores.dtype)\n    grad[rows, y] = 0\n"),
        ("margin not used", "[:, None] + margin)", "[:, None])"),
        ("the gradient is not divided by N", "grad / n", "grad"),
        ("the right class gets -1, not minus the number of violations", "grad[rows, y] = -grad.sum(dim=1)", "grad[rows, y] = -1"),
        ("the sum over the samples", "terms.sum() / n", "terms.sum()"),
        ("the mean over classes, too", "terms.sum() / n", "terms.mean()"),
    ]),
    ("papers/27", "multi_token_loss", '''
def multi_token_loss(logits, tokens):
    losses = []
    for k in range(logits.shape[2]):
        ours = logits[:, : logits.shape[1] - 1 - k, k]
        losses.append(F.cross_entropy(ours.flatten(0, 1), tokens[:, k + 1 :].flatten()))
    per_head = torch.stack(losses)
    return per_head.sum(), per_head
''', [
        ("every head is scored on the next token", "logits.shape[1] - 1 - k, k]\n        losses.append(F.cross_entropy(ours.flatten(0, 1), tokens[:, k + 1 :].flatten()))", "logits.shape[1] - 1, k]\n        losses.append(F.cross_entropy(ours.flatten(0, 1), tokens[:, 1:].flatten()))"),
        ("the mean over the heads", "per_head.sum()", "per_head.mean()"),
        ("head k scored on token t + k", "logits.shape[1] - 1 - k, k]\n        losses.append(F.cross_entropy(ours.flatten(0, 1), tokens[:, k + 1 :].flatten()))", "logits.shape[1] - k, k]\n        losses.append(F.cross_entropy(ours.flatten(0, 1), tokens[:, k:].flatten()))"),
        ("per_head detached to floats", "per_head = torch.stack(losses)", "per_head = torch.tensor([loss.item() for loss in losses])"),
    ]),
]  # fmt: skip

SECOND = [
    ("01", "column_to_tensor", '''
def column_to_tensor(df, name):
    return torch.tensor(df[name].to_numpy(), dtype=torch.float32)
''', [
        ("dtype of the table kept", ", dtype=torch.float32", ""),
        ("a (rows, 1) matrix", "df[name].to_numpy()", "df[[name]].to_numpy()"),
    ]),
    ("02", "unflatten_samples", '''
def unflatten_samples(flat, sample_shape):
    return flat.reshape(flat.shape[0], *sample_shape)
''', [
        ("batch size last", "flat.reshape(flat.shape[0], *sample_shape)", "flat.reshape(*sample_shape, flat.shape[0])"),
        ("the sample shape is not unpacked", "flat.shape[0], *sample_shape", "flat.shape[0], sample_shape"),
        ("sizes of a sample in reverse", "*sample_shape)", "*reversed(sample_shape))"),
    ]),
    ("03", "filter_rows", '''
def filter_rows(x, mask):
    return x[mask], torch.nonzero(mask).flatten()
''', [
        ("rows where the mask is False", "x[mask]", "x[~mask]"),
        ("multiplied by the mask: rows stay as zeros", "x[mask]", "x * mask.view(-1, *[1] * (x.dim() - 1))"),
        ("row numbers as a list", "torch.nonzero(mask).flatten()", "[i for i, keep in enumerate(mask) if keep]"),
        ("row numbers counted from 1", "torch.nonzero(mask).flatten()", "torch.nonzero(mask).flatten() + 1"),
        ("squeeze drops the only row", "x[mask]", "x[mask].squeeze()"),
    ]),
    ("05", "gradient_history", '''
def gradient_history(loss_fn, weight, inputs, zero_between):
    w = weight.detach().clone().requires_grad_()
    history = []
    for x in inputs:
        if zero_between:
            w.grad = None
        loss_fn(w, x).backward()
        history.append(w.grad.clone())
    return history
''', [
        ("clears where it should not", "if zero_between:", "if not zero_between:"),
        ("never clears", "        if zero_between:\n            w.grad = None\n", ""),
        ("the weight is shared with the caller", "weight.detach().clone().requires_grad_()", "weight.requires_grad_()"),
        ("clone stays in the graph: .grad is None", "weight.detach().clone().requires_grad_()", "weight.requires_grad_().clone()"),
        ("zero_ between, with the same tensor kept in the list", "            w.grad = None\n        loss_fn(w, x).backward()\n        history.append(w.grad.clone())", "            w.grad = None if w.grad is None else w.grad.zero_()\n        loss_fn(w, x).backward()\n        history.append(w.grad)"),
    ]),
    ("05", "LeakyReLUFunction", '''
class LeakyReLUFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, grad, ctx.slope * grad), None
''', [
        ("saved_tensors not unpacked", "(x,) = ctx.saved_tensors", "x = ctx.saved_tensors"),
        ("zero counts as positive", "return torch.where(x > 0, grad, ctx.slope * grad)", "return torch.where(x >= 0, grad, ctx.slope * grad)"),
        ("negative side is zero: plain relu", "torch.where(x > 0, x, slope * x)", "torch.where(x > 0, x, 0 * x)"),
        ("slope not kept in ctx", "        ctx.slope = slope\n", ""),
        ("gradient without the slope", "ctx.slope * grad", "grad"),
    ]),
    ("11", "pad_batch", '''
def pad_batch(sequences, padding_value=0, max_len=None):
    if max_len is not None:
        sequences = [s[:max_len] for s in sequences]
    lengths = torch.tensor([len(s) for s in sequences])
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=padding_value)
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask
''', [
        ("batch_first forgotten", "batch_first=True, ", ""),
        ("padding value not handed on", ", padding_value=padding_value", ""),
        ("mask from the values", "torch.arange(padded.shape[1]) < lengths[:, None]", "padded.reshape(*padded.shape[:2], -1)[..., 0] != padding_value"),
        ("max_len ignored", "sequences = [s[:max_len] for s in sequences]", "pass"),
        ("the last items kept, not the first", "s[:max_len]", "s[-max_len:]"),
        ("one position too many is real", "< lengths[:, None]", "<= lengths[:, None]"),
    ]),
    ("17", "SequenceClassifier", '''
class SequenceClassifier(nn.Module):
    def __init__(self, vocab_size, num_classes, d_model=32, num_heads=4, num_layers=2, d_ff=None, dropout=0.1, norm_first=True):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.encoder = TransformerEncoder(num_layers, d_model, num_heads, d_ff, dropout, norm_first)
        self.head = nn.Linear(d_model, num_classes)

    def forward(self, ids, key_padding_mask=None):
        x = self.encoder(self.embedding(ids), key_padding_mask=key_padding_mask)
        if key_padding_mask is None:
            return self.head(x.mean(dim=1))
        real = key_padding_mask.unsqueeze(-1)
        mean = (x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        return self.head(mean)
''', [
        ("the first token in place of the mean", "return self.head(mean)", "return self.head(x[:, 0])"),
        ("the sum over the real tokens", " / real.sum(dim=1).clamp(min=1)", ""),
        ("divided by the length of the padded row", "real.sum(dim=1).clamp(min=1)", "x.shape[1]"),
        ("the mask inverted for the mean", "real = key_padding_mask.unsqueeze(-1)", "real = ~key_padding_mask.unsqueeze(-1)"),
        ("norm_first not handed on", "d_ff, dropout, norm_first)", "d_ff, dropout)"),
        ("softmax at the end", "return self.head(mean)", "return self.head(mean).softmax(dim=-1)"),
    ]),
    ("20", "regression_loss", '''
def regression_loss(pred, target, kind="mse", *, delta=1.0, reduction="mean"):
    d = pred - target
    if kind == "mse":
        cost = d**2
    elif kind == "l1":
        cost = d.abs()
    else:
        cost = torch.where(d.abs() <= delta, d**2 / 2, delta * (d.abs() - delta / 2))
    if reduction == "mean":
        return cost.mean()
    return cost.sum() if reduction == "sum" else cost
''', [
        ("huber's line without delta in front", "delta * (d.abs() - delta / 2)", "d.abs() - delta / 2"),
        ("l1 without the absolute value", "cost = d.abs()", "cost = d"),
        ("mse halved", "cost = d**2\n", "cost = d**2 / 2\n"),
        ("huber's branches exchanged", "d.abs() <= delta", "d.abs() > delta"),
        ("the sum is the default", 'reduction == "mean":\n        return cost.mean()', 'reduction == "mean":\n        return cost.sum()'),
        ("delta not subtracted on the line", "delta * (d.abs() - delta / 2)", "delta * d.abs()"),
    ]),
    ("20", "sequence_cross_entropy", '''
def sequence_cross_entropy(logits, targets, *, ignore_index=-100, reduction="mean"):
    B, T, V = logits.shape
    losses = F.cross_entropy(logits.reshape(B * T, V), targets.reshape(-1), ignore_index=ignore_index, reduction="none").view(B, T)
    kept = targets != ignore_index
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "sequence":
        return losses.sum(dim=1) / kept.sum(dim=1).clamp(min=1)
    return losses.sum() / kept.sum().clamp(min=1)
''', [
        ("divided by all positions, ignored ones too", "losses.sum() / kept.sum().clamp(min=1)", "losses.mean()"),
        ("mean of the sequences' means", "losses.sum() / kept.sum().clamp(min=1)", "(losses.sum(dim=1) / kept.sum(dim=1).clamp(min=1)).mean()"),
        ("ignore_index not handed on", "ignore_index=ignore_index, reduction=\"none\"", "reduction=\"none\""),
        ("\"none\" stays flat", "reduction=\"none\").view(B, T)", "reduction=\"none\")"),
        ("targets shifted once more", "logits.reshape(B * T, V), targets.reshape(-1)", "logits.reshape(B * T, V), targets.roll(-1, 1).reshape(-1)"),
    ]),
    ("21", "SGD.step", '''
def step(self):
    with torch.no_grad():
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad + group["weight_decay"] * p
                if group["momentum"]:
                    buf = self.state.get(p)
                    buf = g.clone() if buf is None else group["momentum"] * buf + g
                    self.state[p] = buf
                    g = g + group["momentum"] * buf if group["nesterov"] else buf
                p -= group["lr"] * g


SGD.step = step
''', [
        ("weight decay forgotten", "p.grad + group[\"weight_decay\"] * p", "p.grad"),
        ("weight decay subtracted", "p.grad + group", "p.grad - group"),
        ("buffer starts at zero, damped", "buf = g.clone() if buf is None else group[\"momentum\"] * buf + g", "buf = (1 - group[\"momentum\"]) * g if buf is None else group[\"momentum\"] * buf + (1 - group[\"momentum\"]) * g"),
        ("nesterov ignored", "g = g + group[\"momentum\"] * buf if group[\"nesterov\"] else buf", "g = buf"),
        ("the buffer is not kept", "                    self.state[p] = buf\n", ""),
        ("a new tensor is bound, the parameter does not move", "p -= group[\"lr\"] * g", "p = p - group[\"lr\"] * g"),
        ("no no_grad", "with torch.no_grad():", "if True:"),
    ]),
    ("21", "warmup_cosine", '''
def warmup_cosine(step, *, max_lr, min_lr, warmup_steps, max_steps):
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
''', [
        ("half forgotten", "0.5 * (1 + math.cos", "(1 + math.cos"),
        ("min_lr not added", "return min_lr + (max_lr", "return (max_lr"),
        ("a whole cosine", "math.pi * progress", "2 * math.pi * progress"),
        ("cosine rises", "1 + math.cos", "1 - math.cos"),
        ("not flat at the end", "    if step >= max_steps:\n        return min_lr\n", ""),
        ("amplitude max_lr, min_lr not subtracted", "(max_lr - min_lr) * 0.5", "max_lr * 0.5"),
    ]),
    ("24", "random_batch", '''
def random_batch(tokens, batch_size, block_size, generator=None):
    starts = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)
    x = torch.stack([tokens[s : s + block_size] for s in starts])
    y = torch.stack([tokens[s + 1 : s + block_size + 1] for s in starts])
    return x.long(), y.long()
''', [
        ("generator not handed on", ", generator=generator", ""),
        ("the last window never drawn", "len(tokens) - block_size,", "len(tokens) - block_size - 1,"),
        ("targets are the inputs", "tokens[s + 1 : s + block_size + 1]", "tokens[s : s + block_size]"),
        ("one offset for all rows", "torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)", "torch.randint(len(tokens) - block_size, (1,), generator=generator).repeat(batch_size)"),
        ("seeded anew in each call", "    x = torch.stack", "    torch.manual_seed(0)\n    starts = torch.randint(len(tokens) - block_size, (batch_size,))\n    x = torch.stack"),
    ]),
    ("today/05", "clipped_objective", '''
def clipped_objective(logp, old_logp, advantages, clip_low=0.2, clip_high=0.2):
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    advantages = advantages.detach()
    ratio = (logp - old_logp.detach()).exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return torch.minimum(ratio * advantages, clipped * advantages)
''', [
        ("the larger of the two", "torch.minimum", "torch.maximum"),
        ("clipped alone, no minimum", "torch.minimum(ratio * advantages, clipped * advantages)", "clipped * advantages"),
        ("ratio without exp", "(logp - old_logp.detach()).exp()", "logp - old_logp.detach()"),
        ("the ratio of log-probabilities", "(logp - old_logp.detach()).exp()", "logp / old_logp.detach()"),
        ("minus: a loss, not an objective", "return torch.minimum", "return -torch.minimum"),
        ("clip_low on both sides", "1 + clip_high", "1 + clip_low"),
    ]),
    ("today/05", "sequence_logp", '''
def sequence_logp(logits, tokens, mask):
    logp = logits[:, :-1].log_softmax(dim=-1)
    picked = logp.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return (picked * mask[:, 1:]).sum(dim=1)
''', [
        ("the mean over the answer", "(picked * mask[:, 1:]).sum(dim=1)", "(picked * mask[:, 1:]).sum(dim=1) / mask[:, 1:].sum(dim=1).clamp(min=1)"),
        ("the mask is not shifted", "mask[:, 1:]", "mask[:, :-1]"),
        ("the logits are not shifted", "logits[:, :-1]", "logits[:, 1:]"),
        ("one number for the whole batch", ".sum(dim=1)", ".sum()"),
        ("the mask ignored", "picked * mask[:, 1:]", "picked"),
    ]),
    ("tinytorch/06", "cross_entropy", '''
def cross_entropy(logits, targets):
    targets = check_targets(logits, targets)
    logp = log_softmax(logits, dim=1)
    return -logp[np.arange(len(targets)), targets].mean()
''', [
        ("minus forgotten", "return -logp", "return logp"),
        ("all rows with all targets", "logp[np.arange(len(targets)), targets]", "logp[:, targets]"),
        ("the softmax over the rows", "dim=1", "dim=0"),
        ("the sum for the mean", ".mean()", ".sum()"),
        ("softmax, no logarithm", "log_softmax(logits, dim=1)", "softmax(logits, dim=1)"),
    ]),
    ("tinytorch/13", "scaled_dot_product_attention", '''
def scaled_dot_product_attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = masked_softmax(scores, mask, dim=-1)
    return weights @ v, weights
''', [
        ("scale forgotten", " / math.sqrt(q.shape[-1])", ""),
        ("divided by d", "math.sqrt(q.shape[-1])", "q.shape[-1]"),
        ("mask not used", "masked_softmax(scores, mask, dim=-1)", "masked_softmax(scores, None, dim=-1)"),
        ("divided by the root of the length", "math.sqrt(q.shape[-1])", "math.sqrt(q.shape[-2])"),
        ("softmax over the queries", "mask, dim=-1", "mask, dim=-2"),
        ("the weights are not returned", "return weights @ v, weights", "return weights @ v"),
        ("scores for weights", "return weights @ v, weights", "return weights @ v, scores"),
    ]),
    ("papers/28", "mean_reciprocal_rank", '''
def mean_reciprocal_rank(scores, gold):
    right = scores.gather(1, gold[:, None])
    rank = (scores >= right).sum(dim=1)
    return (1 / rank.double()).mean().item()
''', [
        ("one over the mean rank", "(1 / rank.double()).mean().item()", "1 / rank.double().mean().item()"),
        ("ranks from 0, then 1 added to the mean", "(1 / rank.double()).mean().item()", "(1 / (rank.double() + 1)).mean().item()"),
        ("ascending: the worst first", "scores >= right", "scores <= right"),
        ("the sum for the mean", ".mean().item()", ".sum().item()"),
    ]),
    ("papers/06", "PointerAttention", '''
class PointerAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, enc, dec, mask=None):
        u = self.v(torch.tanh(self.W1(enc) + self.W2(dec).unsqueeze(1))).squeeze(-1)
        if mask is not None:
            u = u.masked_fill(~mask, float("-inf"))
        return u
''', [
        ("the mask inverted", "masked_fill(~mask", "masked_fill(mask"),
        ("a softmax on the scores", "return u", "return u.softmax(dim=-1)"),
        ("no tanh", "torch.tanh(self.W1(enc) + self.W2(dec).unsqueeze(1))", "self.W1(enc) + self.W2(dec).unsqueeze(1)"),
        ("masked_fill not assigned", "u = u.masked_fill", "u.masked_fill"),
        ("the last dimension kept", ".squeeze(-1)", ""),
        ("dec not unsqueezed", "self.W2(dec).unsqueeze(1)", "self.W2(dec)"),
    ]),
]  # fmt: skip
