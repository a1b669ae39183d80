# ruff: noqa: E501
"""A fifth set of wrong codes in a learner's own words, as in natural.py: 40 other exercises, three slips of each.

Written from READMEs and stubs alone, by three who had seen no spec, suspect or recorded mistake.
"""

FIFTH = [  # as FIRST in natural.py: kata, exercise, code, slips
    (
        "26",
        "new_cache",
        """
def new_cache(model):
    return [LayerCache() for _ in range(model.config.n_layer)]
""",
        [
            (
                "multiplied a list with one cache, so all blocks share the same object",
                "[LayerCache() for _ in range(model.config.n_layer)]",
                "[LayerCache()] * model.config.n_layer",
            ),
            ("took the number of heads for the number of blocks", "model.config.n_layer", "model.config.n_head"),
            (
                "keeps the cache on the model, so the second call returns the old, filled list",
                "    return [LayerCache() for _ in range(model.config.n_layer)]\n",
                '    if not hasattr(model, "cache"):\n'
                "        model.cache = [LayerCache() for _ in range(model.config.n_layer)]\n"
                "    return model.cache\n",
            ),
        ],
    ),
    (
        "04",
        "between",
        """
def between(x, low, high):
    if low > high:
        raise ValueError(f"low = {low} is greater than high = {high}")
    return (x >= low) & (x <= high)
""",
        [
            (
                "wrote a chain as for plain numbers; a tensor has no single truth value, so it raises",
                "(x >= low) & (x <= high)",
                "low <= x <= high",
            ),
            (
                "negated what is outside; NaN is neither below nor above, so it counts as inside",
                "(x >= low) & (x <= high)",
                "~((x < low) | (x > high))",
            ),
            (
                "brought the ends to the dtype of x first, which cuts off fractions for integers",
                "return (x >= low) & (x <= high)",
                "low, high = (torch.tensor(end).to(x.dtype) for end in (low, high))\n    return (x >= low) & (x <= high)",
            ),
        ],
    ),
    (
        "33",
        "train_capstone",
        """
def train_capstone(data, config, generator=None):
    if config.steps < 1 or config.eval_every < 1:
        raise ValueError(f"steps = {config.steps} and eval_every = {config.eval_every} should be at least 1")
    for name, stream in (("train", data.train), ("val", data.val)):
        if len(stream) < config.block_size + 1:
            raise ValueError(f"{name} has {len(stream)} tokens, but a window needs {config.block_size + 1}")

    model = GPT(
        GPTConfig(
            block_size=config.block_size,
            vocab_size=data.eot + 1,  # the mark has the last id
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_embd=config.n_embd,
            dropout=config.dropout,
        )
    ).to(data.train.device)
    optimizer = make_optimizer(model, config.max_lr, weight_decay=config.weight_decay, betas=(0.9, 0.95))

    history = {"step": [], "loss": [], "val": []}
    for step in range(config.steps):
        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
        batch = random_batch(data.train, config.batch_size, config.block_size, generator)
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)
        result = train_step(model, optimizer, [batch], max_norm=1.0, lr=lr)
        history["step"].append(step)
        history["loss"].append(result["loss"])
    history["val"].append((config.steps, evaluate_stream(model, data.val)))
    return model.eval(), history
""",
        [
            (
                "did not pass the generator on, so the windows come from the global one",
                "config.block_size, generator)",
                "config.block_size)",
            ),
            (
                "gave train_step the pair (x, y) itself instead of a list of pairs; unpacking x raises",
                "optimizer, [batch], max_norm",
                "optimizer, batch, max_norm",
            ),
            (
                "forgot to put the returned model into eval mode",
                "return model.eval(), history",
                "return model, history",
            ),
        ],
    ),
    (
        "21",
        "StepLR.__init__",
        """
class StepLR:
    def __init__(self, optimizer, step_size, gamma=0.1):
        if step_size < 1:
            raise ValueError(f"step_size should be at least 1, not {step_size}")
        self.optimizer = optimizer
        self.step_size = step_size
        self.gamma = gamma
        self.base_lrs = [g["lr"] for g in optimizer.param_groups]
        self.last_epoch = 0

    def step(self):
        self.last_epoch += 1
        factor = self.gamma ** (self.last_epoch // self.step_size)
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base_lr * factor

    def get_last_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        import copy

        return copy.deepcopy({name: value for name, value in vars(self).items() if name != "optimizer"})

    def load_state_dict(self, state):
        import copy

        for name, value in copy.deepcopy(state).items():
            setattr(self, name, value)
""",
        [
            (
                "starts to count at -1, as PyTorch's own class does before its first step",
                "self.last_epoch = 0",
                "self.last_epoch = -1",
            ),
            (
                "took the rate of the first group as the base rate of all groups",
                '[g["lr"] for g in optimizer.param_groups]',
                '[optimizer.param_groups[0]["lr"] for _ in optimizer.param_groups]',
            ),
            (
                "reads the rate as an attribute of a group, but a group is a dict: AttributeError",
                '[g["lr"] for g in optimizer.param_groups]',
                "[g.lr for g in optimizer.param_groups]",
            ),
        ],
    ),
    (
        "12",
        "run_bidirectional",
        """
def run_bidirectional(forward_cell, backward_cell, x, lengths=None):
    left, left_state = run_recurrent(forward_cell, x, lengths)
    right, right_state = run_recurrent(backward_cell, x, lengths, reverse=True)
    return torch.cat([left, right], dim=2), (left_state, right_state)
""",
        [
            (
                "flips the whole batch in time instead of reading in reverse, which puts the padding first",
                "right, right_state = run_recurrent(backward_cell, x, lengths, reverse=True)",
                "right, right_state = run_recurrent(backward_cell, x.flip(1), lengths)\n    right = right.flip(1)",
            ),
            (
                "copied the first line and forgot to change the cell: both directions use the forward cell",
                "run_recurrent(backward_cell, x",
                "run_recurrent(forward_cell, x",
            ),
            ("joined the directions along the time steps instead of the features", "dim=2", "dim=1"),
        ],
    ),
    (
        "24",
        "load_shard",
        """
def load_shard(path):
    array = np.load(path)
    if array.ndim != 1 or array.dtype != np.uint16:
        raise ValueError(f"a shard should be 1-D uint16, not {array.ndim}-D {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))
""",
        [
            (
                "went through int16, a dtype that torch knows, so ids from 32768 on come back negative",
                "torch.from_numpy(array.astype(np.int64))",
                "torch.from_numpy(array.astype(np.int16)).long()",
            ),
            (
                "joined the two checks by 'and', so an array with only one fault is accepted",
                "array.ndim != 1 or array.dtype",
                "array.ndim != 1 and array.dtype",
            ),
            (
                "took the path for a Path: a str has no method open, AttributeError",
                "    array = np.load(path)\n",
                '    with path.open("rb") as file:\n        array = np.load(file)\n',
            ),
        ],
    ),
    (
        "22",
        "load_checkpoint",
        """
def save_checkpoint(
    path, model, optimizer, *, scheduler=None, scaler=None, generators=None, step=0, extra=None
):
    import os
    import random
    from pathlib import Path

    import numpy as np

    kind, keys, position, has_gauss, cached = np.random.get_state()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "generators": {name: generator.get_state() for name, generator in (generators or {}).items()},
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python_rng": random.getstate(),
        "numpy_rng": (str(kind), keys.tolist(), int(position), int(has_gauss), float(cached)),
        "step": step,
        "extra": {} if extra is None else extra,
    }
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        torch.save(checkpoint, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(
    path, model, optimizer, *, scheduler=None, scaler=None, generators=None, map_location="cpu"
):
    import random

    import numpy as np

    saved = torch.load(path, map_location=map_location, weights_only=True)
    generators = generators or {}

    # first look whether everything is there, then change something
    if scheduler is not None and saved["scheduler"] is None:
        raise ValueError("the checkpoint has no state of a scheduler")
    if scaler is not None and saved["scaler"] is None:
        raise ValueError("the checkpoint has no state of a scaler")
    for name in generators:
        if name not in saved["generators"]:
            raise ValueError(f"the checkpoint has no state of the generator {name!r}")

    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if scheduler is not None:
        scheduler.load_state_dict(saved["scheduler"])
    if scaler is not None:
        scaler.load_state_dict(saved["scaler"])

    # states of generators are on the CPU, wherever map_location has put them
    for name, generator in generators.items():
        generator.set_state(saved["generators"][name].cpu())
    torch.set_rng_state(saved["torch_rng"].cpu())
    if torch.cuda.is_available():
        for device, state in enumerate(saved["cuda_rng"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
    random.setstate(saved["python_rng"])
    kind, keys, position, has_gauss, cached = saved["numpy_rng"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    return {"step": saved["step"], "extra": saved["extra"]}
""",
        [
            (
                "forgot torch's global generator, so dropout draws other numbers after the resumption",
                '    torch.set_rng_state(saved["torch_rng"].cpu())\n',
                "",
            ),
            (
                "asks for truth instead of None: the empty state of a switched-off scaler is taken for missing",
                'if scaler is not None and saved["scaler"] is None:',
                'if scaler is not None and not saved["scaler"]:',
            ),
            (
                "forgot to pick the state by the generator's name and passes the whole dict on: AttributeError",
                'saved["generators"][name].cpu()',
                'saved["generators"].cpu()',
            ),
        ],
    ),
    (
        "14",
        "train_seq2seq",
        """
def train_seq2seq(model, steps, batch_size=64, length=8, lr=5e-3, generator=None):
    vocab_size = model.embedding.num_embeddings
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        src, tgt_in, tgt_out = make_reversal_batch(batch_size, length, vocab_size, generator)
        logits, weights = model(src, tgt_in)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tgt_out.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
        [
            ("forgot to clear the gradients, so they add up from step to step", "        optimizer.zero_grad()\n", ""),
            (
                "brought the classes to dimension 1 by reshape instead of swapping dimensions, which mixes up the logits",
                "cross_entropy(logits.flatten(0, 1), tgt_out.flatten())",
                "cross_entropy(logits.reshape(batch_size, vocab_size, length), tgt_out)",
            ),
            (
                "forgot that the model returns a pair; a tuple has no flatten: AttributeError",
                "logits, weights = model(src, tgt_in)",
                "logits = model(src, tgt_in)",
            ),
        ],
    ),
    (
        "appendix_a",
        "max_pool2d",
        """
def max_pool2d(x, kernel_size, stride=None, padding=0):
    def pair(value):
        return (value, value) if isinstance(value, int) else tuple(value)

    kernel_h, kernel_w = pair(kernel_size)
    stride_h, stride_w = (kernel_h, kernel_w) if stride is None else pair(stride)
    pad_h, pad_w = pair(padding)
    if 2 * pad_h > kernel_h or 2 * pad_w > kernel_w:
        raise ValueError(f"padding {padding} is more than half of kernel_size {kernel_size}")
    conv_output_size(x.size(2), kernel_h, stride_h, pad_h)  # raises if no window fits
    conv_output_size(x.size(3), kernel_w, stride_w, pad_w)

    lowest = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h), value=lowest)
    windows = padded.unfold(2, kernel_h, stride_h).unfold(3, kernel_w, stride_w)  # (B, C, H', W', kH, kW)
    return windows.flatten(-2).max(dim=-1).values
""",
        [
            ("padded with zeros, which win over negative values", ", value=lowest)", ")"),
            (
                "used amax, which spreads the gradient over all equal maxima of a tie",
                "windows.flatten(-2).max(dim=-1).values",
                "windows.amax(dim=(-2, -1))",
            ),
            (
                "joined the two window dimensions by view, which the strides of unfold do not allow: RuntimeError",
                "windows.flatten(-2).max",
                "windows.view(*windows.shape[:4], kernel_h * kernel_w).max",
            ),
        ],
    ),
    (
        "29",
        "train",
        """
def train(model, optimizer, loader, config, val_batches=None, start_step=0, sample=None):
    device = next(model.parameters()).device
    record = {"step": [], "loss": [], "lr": [], "grad_norm": [], "val": [], "samples": []}
    for step in range(start_step, config.max_steps):
        if step % config.eval_every == 0 or step == config.max_steps - 1:
            if val_batches is not None:
                moved = [(x.to(device), y.to(device)) for x, y in val_batches]
                record["val"].append((step, evaluate(model, moved)))
            if sample is not None:
                model.eval()
                record["samples"].append((step, sample(model)))

        batches = []
        for _ in range(config.accum_steps):
            x, y = loader.next_batch()
            batches.append((x.to(device), y.to(device)))
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.max_steps)
        result = train_step(model, optimizer, batches, max_norm=config.max_norm, lr=lr)

        record["step"].append(step)
        record["loss"].append(result["loss"])
        record["lr"].append(lr)
        record["grad_norm"].append(result["grad_norm"])
    return record
""",
        [
            (
                "counts the steps of the schedule from the resumption, so a resumed run warms up once more",
                "cosine_lr(step, ",
                "cosine_lr(step - start_step, ",
            ),
            (
                "took max_steps for the last step, but it is max_steps - 1, so the last step is not validated",
                "step == config.max_steps - 1",
                "step == config.max_steps",
            ),
            (
                "left out the brackets of the call: a method cannot be unpacked, TypeError",
                "loader.next_batch()",
                "loader.next_batch",
            ),
        ],
    ),
    (
        "11",
        "project_2d",
        """
def project_2d(vectors):
    if vectors.ndim != 2 or vectors.size(0) < 2 or vectors.size(1) < 2:
        raise ValueError(f"vectors should be (V, D) with V and D of at least 2, not {tuple(vectors.shape)}")
    points = vectors.detach()
    centred = points - points.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)  # the axes are the rows
    return centred @ axes[:2].T
""",
        [
            ("took the first two columns of Vh, but the axes are its rows", "axes[:2].T", "axes[:, :2]"),
            (
                "subtracts the mean in place, which writes into the caller's vectors: detach shares memory",
                "centred = points - points.mean(dim=0)",
                "centred = points.sub_(points.mean(dim=0))",
            ),
            (
                "took the mean of each vector without keepdim; (V, D) minus (V,) raises unless V equals D",
                "points.mean(dim=0)",
                "points.mean(dim=1)",
            ),
        ],
    ),
    (
        "30",
        "padded_size",
        """
def padded_size(n, multiple=128):
    if n < 1 or multiple < 1:
        raise ValueError(f"n = {n} and multiple = {multiple} should be at least 1")
    tiles = (n + multiple - 1) // multiple
    return tiles * multiple
""",
        [
            (
                "always adds a tile, so a size that is a multiple already grows",
                "(n + multiple - 1) // multiple",
                "n // multiple + 1",
            ),
            (
                "rounds to the nearest multiple, which may be below n",
                "(n + multiple - 1) // multiple",
                "round(n / multiple)",
            ),
            (
                "joined the two checks by 'and', so one bad argument alone passes",
                "n < 1 or multiple < 1",
                "n < 1 and multiple < 1",
            ),
        ],
    ),
    (
        "27",
        "apply_stop",
        """
def apply_stop(token, done, stop_token):
    if stop_token is None:
        return token, done
    token = token.masked_fill(done, stop_token)
    done = done | (token == stop_token)
    return token, done
""",
        [
            (
                "asks for truth instead of None, so the token 0 never ends a row",
                "if stop_token is None:",
                "if not stop_token:",
            ),
            (
                "fills in place, which writes into the caller's tokens",
                "token.masked_fill(done",
                "token.masked_fill_(done",
            ),
            (
                "used Python's 'or' on masks of several rows: RuntimeError, no single truth value",
                "done | (token",
                "done or (token",
            ),
        ],
    ),
    (
        "28",
        "read_flat",
        """
def read_flat(path):
    import struct
    from pathlib import Path

    import numpy as np

    data = Path(path).read_bytes()
    header_size = 32
    if len(data) < header_size:
        raise ValueError(f"{path} has {len(data)} bytes, too few for a header")
    header = struct.unpack("<8i", data[:header_size])
    if header[:2] != (MAGIC, VERSION):
        raise ValueError(f"{path} begins with {header[:2]}, not with {(MAGIC, VERSION)}")
    block_size, vocab_size, n_layer, n_head, n_embd, bias = header[2:]
    config = GPTConfig(
        block_size=block_size,
        vocab_size=vocab_size,
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        dropout=0.0,
        bias=bool(bias),
    )
    model = GPT(config).float()

    layers = [model.transformer.wte, model.transformer.wpe]
    for block in model.transformer.h:
        layers += [block.ln_1, block.attn.c_attn, block.attn.c_proj]
        layers += [block.ln_2, block.mlp.c_fc, block.mlp.c_proj]
    layers.append(model.transformer.ln_f)
    parameters = []
    for layer in layers:
        parameters.append(layer.weight)
        if getattr(layer, "bias", None) is not None:
            parameters.append(layer.bias)

    sizes = [parameter.numel() for parameter in parameters]
    if len(data) != header_size + 4 * sum(sizes):
        raise ValueError(f"{path} has {len(data)} bytes instead of {header_size + 4 * sum(sizes)}")
    values = torch.from_numpy(np.frombuffer(data, "<f4", offset=header_size).copy())
    with torch.no_grad():
        for parameter, piece in zip(parameters, values.split(sizes)):
            parameter.copy_(piece.view(parameter.shape))
    return model
""",
        [
            (
                "refuses files that are too short only; values left over at the end are ignored",
                'if len(data) != header_size + 4 * sum(sizes):\n        raise ValueError(f"{path} has {len(data)} bytes '
                'instead of {header_size + 4 * sum(sizes)}")\n    values = torch.from_numpy(np.frombuffer(data, "<f4", '
                "offset=header_size).copy())",
                'if len(data) < header_size + 4 * sum(sizes):\n        raise ValueError(f"{path} has only {len(data)} bytes")\n'
                '    values = torch.from_numpy(np.frombuffer(data, "<f4", count=sum(sizes), offset=header_size).copy())',
            ),
            (
                "reads both norms of a block first; the sizes add up, but the numbers land in the wrong layers",
                "        layers += [block.ln_1, block.attn.c_attn, block.attn.c_proj]\n"
                "        layers += [block.ln_2, block.mlp.c_fc, block.mlp.c_proj]\n",
                "        layers += [block.ln_1, block.ln_2, block.attn.c_attn, block.attn.c_proj]\n"
                "        layers += [block.mlp.c_fc, block.mlp.c_proj]\n",
            ),
            (
                "forgot to bring the flat piece to the parameter's shape: RuntimeError at the first matrix",
                "parameter.copy_(piece.view(parameter.shape))",
                "parameter.copy_(piece)",
            ),
        ],
    ),
    (
        "papers/28",
        "train_retriever",
        """
def train_retriever(model, *, steps, vocab_size=60, batch_size=32, lr=0.02, generator=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    gold = torch.arange(batch_size)  # question i belongs to passage i
    losses = []
    for _ in range(steps):
        passages = make_corpus(batch_size, vocab_size, generator=generator)
        questions = make_questions(passages, gold, vocab_size, generator=generator)
        loss = in_batch_loss(model.encode_questions(questions), model.encode_passages(passages))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
        [
            (
                "clears the gradients at the end of a step, so what the model holds at the start goes into the first update",
                "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n",
                "        loss.backward()\n        optimizer.step()\n        optimizer.zero_grad()\n",
            ),
            (
                "passed the generator by position, where the passage length belongs; slicing with it raises",
                "make_corpus(batch_size, vocab_size, generator=generator)",
                "make_corpus(batch_size, vocab_size, generator)",
            ),
            (
                "left the vocabulary size out for the questions, whose synonyms are then always 60 further on",
                "make_questions(passages, gold, vocab_size, generator=generator)",
                "make_questions(passages, gold, generator=generator)",
            ),
        ],
    ),
    (
        "papers/29",
        "RAG.generate_log_probs",
        """
class RAG(nn.Module):
    def __init__(self, num_keys, num_values, dim):
        super().__init__()
        self.num_values = num_values
        self.query_encoder = nn.Embedding(num_keys, dim)
        self.document_encoder = nn.Embedding(num_keys, dim)
        for encoder in (self.query_encoder, self.document_encoder):
            nn.init.normal_(encoder.weight, std=0.1)
        self.value_embedding = nn.Embedding(num_values, dim)
        self.generator = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_values))

    def retrieve(self, queries, keys, top_k):
        if not 1 <= top_k <= len(keys):
            raise ValueError(f"top_k = {top_k} should be from 1 to {len(keys)}")
        scores = self.query_encoder(queries) @ self.document_encoder(keys).T
        best, indices = scores.topk(top_k, dim=1)
        return best, indices

    def generate_log_probs(self, values):
        logits = self.generator(self.value_embedding(values))
        return F.log_softmax(logits, dim=-1)

    def forward(self, queries, keys, values, top_k):
        doc_logits, indices = self.retrieve(queries, keys, top_k)
        return doc_logits, self.generate_log_probs(values[indices])
""",
        [
            (
                "normalised over the tokens of the answer instead of over the vocabulary",
                "F.log_softmax(logits, dim=-1)",
                "F.log_softmax(logits, dim=-2)",
            ),
            (
                "gave the numbers of the tokens to the generator without embedding them, which raises",
                "self.generator(self.value_embedding(values))",
                "self.generator(values)",
            ),
            (
                "read a document as the mean of its tokens, the same for every place of the answer",
                "        logits = self.generator(self.value_embedding(values))\n",
                "        document = self.value_embedding(values).mean(dim=-2, keepdim=True)\n"
                "        logits = self.generator(document.expand(*values.shape, -1))\n",
            ),
        ],
    ),
    (
        "papers/13",
        "attention_numpy",
        """
def attention_numpy(Q, K, V, mask=None):
    Q, K, V = (np.asarray(array, dtype=np.float64) for array in (Q, K, V))
    scores = Q @ np.swapaxes(K, -1, -2) / np.sqrt(Q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)  # a row without any key
    weights = np.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total == 0, 1.0, total)
    return weights @ V, weights
""",
        [
            (
                "hid keys with a large negative number, so a query that may attend to nothing gets equal weights, not zeros",
                "np.where(mask, scores, -np.inf)",
                "np.where(mask, scores, -1e9)",
            ),
            (
                "transposed with .T, which turns all dimensions round; with batches and heads the product raises",
                "np.swapaxes(K, -1, -2)",
                "K.T",
            ),
            (
                "divided by sums over the queries instead of over the keys",
                "weights.sum(axis=-1, keepdims=True)",
                "weights.sum(axis=-2, keepdims=True)",
            ),
        ],
    ),
    (
        "papers/27",
        "backward_head_by_head",
        """
def backward_head_by_head(model, tokens):
    hidden = model.hidden(tokens)
    cut = hidden.detach().requires_grad_()
    length = tokens.size(1)
    total = 0.0
    for k, head in enumerate(model.heads):
        logits = head(cut[:, : length - 1 - k])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, k + 1 :].flatten())
        loss.backward()
        total += loss.item()
    hidden.backward(cut.grad)
    return total
""",
        [
            (
                "did not cut the hidden states off, so the second head goes backward through the freed trunk and raises",
                "cut = hidden.detach().requires_grad_()",
                "cut = hidden",
            ),
            (
                "clears the gradients of the model first, though they should be added to what is there",
                "    hidden = model.hidden(tokens)\n",
                "    model.zero_grad()\n    hidden = model.hidden(tokens)\n",
            ),
            (
                "resets the gradient at the cut before each head, so the trunk hears of the last head alone",
                "        loss.backward()\n",
                "        cut.grad = None\n        loss.backward()\n",
            ),
        ],
    ),
    (
        "today/06",
        "MoE.__init__",
        """
class MoE(nn.Module):
    def __init__(self, n_embd, n_hidden, n_experts, k, capacity_factor=None):
        super().__init__()
        if not 1 <= k <= n_experts:
            raise ValueError(f"k = {k} should be from 1 to n_experts = {n_experts}")
        self.n_experts = n_experts
        self.k = k
        self.capacity_factor = capacity_factor
        self.router = nn.Linear(n_embd, n_experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)) for _ in range(n_experts)
        )

    def forward(self, x):
        flat = x.reshape(-1, x.size(-1))
        logits = self.router(flat)
        weights, experts = route_topk(logits, self.k, renormalise=self.k > 1)
        if self.capacity_factor is not None:
            weights = weights * drop_over_capacity(experts, self.n_experts, self.capacity_factor)
        rows, order, counts = dispatch(flat, experts, self.n_experts)
        results = []
        for expert, part in zip(self.experts, rows.split(counts.tolist())):
            if len(part) > 0:
                results.append(expert(part))
        y = combine(torch.cat(results), order, weights)
        return y.view(x.shape), logits.softmax(dim=-1)
""",
        [
            ("left the router its bias", "nn.Linear(n_embd, n_experts, bias=False)", "nn.Linear(n_embd, n_experts)"),
            (
                "forgot to call the constructor of nn.Module, so the first layer cannot be assigned and raises",
                "        super().__init__()\n",
                "",
            ),
            (
                "multiplied a list with one net, so all experts are the same one with the same weights",
                "        self.experts = nn.ModuleList(\n"
                "            nn.Sequential(nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)) for _ in range(n_experts)\n"
                "        )\n",
                "        expert = nn.Sequential(nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd))\n"
                "        self.experts = nn.ModuleList([expert] * n_experts)\n",
            ),
        ],
    ),
    (
        "today/02",
        "shape_scale",
        """
def shape_scale(shape, mode="original"):
    rows, columns = shape
    if mode == "original":
        return math.sqrt(max(1.0, rows / columns))
    if mode == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    raise ValueError(f"unknown mode {mode!r}")
""",
        [
            ("divided integers without a rest, so (3, 2) counts as square", "rows / columns", "rows // columns"),
            (
                "took PyTorch's root for a plain number, which raises",
                "math.sqrt(max(rows, columns))",
                "torch.sqrt(max(rows, columns))",
            ),
            (
                "took every mode but the first for the second one, so a misspelt mode is no error",
                '    if mode == "match_rms_adamw":\n        return 0.2 * math.sqrt(max(rows, columns))\n'
                '    raise ValueError(f"unknown mode {mode!r}")\n',
                "    return 0.2 * math.sqrt(max(rows, columns))\n",
            ),
        ],
    ),
    (
        "today/09",
        "delta_chunked",
        """
def delta_chunked(q, k, v, beta, log_decay, chunk=16, state=None):
    B, H, T, K = k.shape
    if state is None:
        state = k.new_zeros(B, H, K, v.size(-1))
    outs = []
    for start in range(0, T, chunk):
        part = slice(start, start + chunk)
        q_c, k_c, v_c = q[:, :, part], k[:, :, part], v[:, :, part]
        beta_c, g_c = beta[:, :, part, None], log_decay[:, :, part]
        n = k_c.size(2)
        total = g_c.cumsum(dim=-1)

        # what each token wants to correct of the state from before the chunk
        r = beta_c * (v_c - total.exp()[..., None] * (k_c @ state))

        # and how much the corrections of earlier tokens change that
        earlier = torch.ones(n, n, dtype=torch.bool, device=k.device).tril(-1)
        between = (total[..., :, None] - total[..., None, :]).masked_fill(~earlier, float("-inf"))
        L = beta_c * (k_c @ k_c.mT) * between.exp()
        system = torch.eye(n, dtype=L.dtype, device=L.device) + L
        u = torch.linalg.solve_triangular(system, r, upper=False)

        out, state = chunked_form(q_c, k_c, u, g_c, chunk=n, state=state)
        outs.append(out)
    return torch.cat(outs, dim=2), state
""",
        [
            ("let a token correct itself, too: the diagonal is in L", ".tril(-1)", ".tril()"),
            (
                "left out the argument that says which triangle, which raises",
                "torch.linalg.solve_triangular(system, r, upper=False)",
                "torch.linalg.solve_triangular(system, r)",
            ),
            (
                "forgot beta in the matrix and has it on the right side alone",
                "L = beta_c * (k_c @ k_c.mT) * between.exp()",
                "L = (k_c @ k_c.mT) * between.exp()",
            ),
        ],
    ),
    (
        "today/11",
        "encode",
        """
def encode(x, fmt):
    nan = x.isnan()
    size = x.abs().clamp(max=fmt.largest).masked_fill(nan, 0.0)

    # below the smallest normal number the exponent stays as it is
    exponent = torch.frexp(size.clamp(min=2.0 ** (1 - fmt.bias))).exponent - 1
    steps = torch.round(size * 2.0 ** (fmt.man_bits - exponent)).int()

    # a normal number has 2^man_bits steps more than its fraction; rounding up may carry into the exponent
    code = (exponent + fmt.bias - 1) * 2**fmt.man_bits + steps
    code = code.masked_fill(nan, 0 if fmt.nan is None else fmt.nan)
    sign = torch.signbit(x).int() << (fmt.exp_bits + fmt.man_bits)
    return (code + sign).to(torch.uint8)
""",
        [
            (
                "rounded halves up instead of to the even code",
                "torch.round(size * 2.0 ** (fmt.man_bits - exponent)).int()",
                "torch.floor(size * 2.0 ** (fmt.man_bits - exponent) + 0.5).int()",
            ),
            (
                "put the sign into the highest bit of the byte, also if codes have four bits",
                "<< (fmt.exp_bits + fmt.man_bits)",
                "<< 7",
            ),
            (
                "did not think of formats without a NaN, where filling with None raises",
                "0 if fmt.nan is None else fmt.nan",
                "fmt.nan",
            ),
        ],
    ),
    (
        "today/08",
        "scatter_gradients",
        """
def scatter_gradients(grads):
    world_size = dist.get_world_size()
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    size = math.ceil(flat.numel() / world_size)
    flat = F.pad(flat, (0, size * world_size - flat.numel()))
    pieces = list(flat.chunk(world_size))
    mine = torch.empty_like(pieces[0])
    dist.reduce_scatter(mine, pieces)
    return mine / world_size
""",
        [
            ("returned the sum over the ranks instead of the mean", "return mine / world_size", "return mine"),
            (
                "exchanged output and inputs of the collective, which raises",
                "dist.reduce_scatter(mine, pieces)",
                "dist.reduce_scatter(pieces, mine)",
            ),
            (
                "put the zeros in front of the elements instead of behind them",
                "(0, size * world_size - flat.numel())",
                "(size * world_size - flat.numel(), 0)",
            ),
        ],
    ),
    (
        "kernels/04",
        "rms_norm_backward",
        """
@triton.jit
def rms_norm_backward_kernel(
    dy_ptr, x_ptr, weight_ptr, rstd_ptr, dx_ptr, lines_ptr, M, N, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    program = tl.program_id(0)
    rows = program * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, BLOCK)
    at = rows[:, None] * N + columns[None, :]
    inside = (rows[:, None] < M) & (columns[None, :] < N)

    dy = tl.load(dy_ptr + at, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)
    rstd = tl.load(rstd_ptr + rows, mask=rows < M, other=0.0).to(tl.float32)

    x_hat = x * rstd[:, None]
    g = dy * weight[None, :]
    mean = tl.sum(g * x_hat, axis=1) / N
    dx = rstd[:, None] * (g - x_hat * mean[:, None])
    tl.store(dx_ptr + at, dx, mask=inside)

    line = tl.sum(dy * x_hat, axis=0)
    tl.store(lines_ptr + program * N + columns, line, mask=columns < N)


def rms_norm_backward(dy, x, weight, rstd, rows=4):
    M, N = x.shape
    programs = triton.cdiv(M, rows)
    dx = torch.empty_like(x)
    lines = torch.empty(programs, N, dtype=torch.float32, device=x.device)
    rms_norm_backward_kernel[(programs,)](
        dy, x, weight, rstd, dx, lines, M, N, ROWS=rows, BLOCK=triton.next_power_of_2(N)
    )
    return dx, lines.sum(dim=0).to(weight.dtype)
""",
        [
            (
                "took the mean over all lanes of the block instead of the columns of a row",
                "tl.sum(g * x_hat, axis=1) / N",
                "tl.sum(g * x_hat, axis=1) / BLOCK",
            ),
            (
                "summed g, which has the weight in it already, for the weight's gradient",
                "tl.sum(dy * x_hat, axis=0)",
                "tl.sum(g * x_hat, axis=0)",
            ),
            (
                "masked the columns and not the rows, so the last program touches memory outside and raises",
                "inside = (rows[:, None] < M) & (columns[None, :] < N)",
                "inside = columns[None, :] < N",
            ),
        ],
    ),
    (
        "kernels/06",
        "matmul_int8",
        """
@triton.jit
def matmul_int8_kernel(
    x_ptr, w_ptr, scale_ptr, out_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    outputs = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        at = start + tl.arange(0, BK)
        x_mask = (rows[:, None] < M) & (at[None, :] < K)
        w_mask = (outputs[:, None] < N) & (at[None, :] < K)
        x = tl.load(x_ptr + rows[:, None] * K + at[None, :], mask=x_mask, other=0.0).to(tl.float32)
        w = tl.load(w_ptr + outputs[:, None] * K + at[None, :], mask=w_mask, other=0).to(tl.float32)
        acc += tl.dot(x, tl.trans(w), input_precision="ieee")
    scale = tl.load(scale_ptr + outputs, mask=outputs < N, other=0.0)
    acc = acc * scale[None, :]
    inside = (rows[:, None] < M) & (outputs[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + outputs[None, :], acc, mask=inside)


def matmul_int8(x, w, scale):
    (M, K), N = x.shape, len(w)
    out = torch.empty(M, N, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, 16), triton.cdiv(N, 16))
    matmul_int8_kernel[grid](x, w, scale, out, M, N, K, BM=16, BN=16, BK=32)
    return out
""",
        [
            (
                "multiplied the rows of the result by the scales, which belong to its columns",
                "scale[None, :]",
                "scale[:, None]",
            ),
            (
                "left the weights integers in the product with floats, which raises",
                "other=0).to(tl.float32)",
                "other=0)",
            ),
            (
                "made the result in the default dtype, so that of float16 is float32",
                "torch.empty(M, N, dtype=x.dtype, device=x.device)",
                "torch.empty(M, N, device=x.device)",
            ),
        ],
    ),
    (
        "kernels/01",
        "dropout",
        """
@triton.jit
def dropout_kernel(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    x = tl.load(x_ptr + at, mask=mask)
    keep = tl.rand(seed, at) >= p
    out = tl.where(keep, x / (1 - p), 0.0)
    tl.store(out_ptr + at, out, mask=mask)


def dropout(x, p, seed, block=128):
    out = torch.empty_like(x)
    n = x.numel()
    dropout_kernel[(triton.cdiv(n, block),)](x, out, n, p, seed, BLOCK=block)
    return out
""",
        [
            (
                "drew the random numbers by the place in the block, so each block drops the same lanes",
                "tl.rand(seed, at)",
                "tl.rand(seed, tl.arange(0, BLOCK))",
            ),
            ("made what is kept smaller instead of larger", "x / (1 - p)", "x * (1 - p)"),
            (
                "stored without a mask, so the last block writes behind the end and raises",
                "tl.store(out_ptr + at, out, mask=mask)",
                "tl.store(out_ptr + at, out)",
            ),
        ],
    ),
    (
        "kernels/07",
        "Tuner",
        """
class Tuner:
    def __init__(self, run, configs, measure):
        self.run = run
        self.configs = list(configs)
        self.measure = measure
        self.best = {}

    def __call__(self, key, outputs, *args):
        if key not in self.best:
            self.best[key] = self.search(outputs, args)
        config = self.best[key]
        self.run(config, *args)
        return config

    def search(self, outputs, args):
        before = [output.clone() for output in outputs]

        def put_back():
            for output, old in zip(outputs, before):
                output.copy_(old)

        best, lowest = None, None
        for config in self.configs:

            def trial():
                put_back()
                self.run(config, *args)

            try:
                cost = self.measure(trial)
            except Exception:
                continue
            finally:
                put_back()
            if best is None or cost < lowest:
                best, lowest = config, cost
        if best is None:
            raise RuntimeError("none of the configurations can run")
        return best
""",
        [
            (
                "kept the outputs themselves instead of copies, so putting them back changes nothing",
                "[output.clone() for output in outputs]",
                "list(outputs)",
            ),
            (
                "did not catch the error of a configuration that cannot run, so tuning raises",
                "            except Exception:\n                continue\n",
                "",
            ),
            (
                "returned the known configuration of a key at once, without running it",
                "        if key not in self.best:\n            self.best[key] = self.search(outputs, args)\n        config = self.best[key]\n",
                "        if key in self.best:\n            return self.best[key]\n        config = self.best[key] = self.search(outputs, args)\n",
            ),
        ],
    ),
    (
        "18",
        "SinusoidalPositionalEncoding",
        """
class SinusoidalPositionalEncoding(nn.Module):
    def __init__(self, d_model: int, max_len: int = 5000, dropout: float = 0.0, mode: str = "add"):
        super().__init__()
        if mode not in ("add", "concat"):
            raise ValueError(f"mode must be 'add' or 'concat', got {mode!r}")
        self.d_model = d_model
        self.max_len = max_len
        self.mode = mode
        self.dropout = nn.Dropout(dropout)
        table = sinusoidal_encoding(max_len, d_model).unsqueeze(0)
        self.register_buffer("pe", table)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        batch, length, features = x.shape
        if offset < 0:
            raise ValueError(f"offset must not be negative, got {offset}")
        if offset + length > self.max_len:
            raise ValueError(f"positions up to {offset + length} do not fit into a table of {self.max_len} rows")
        rows = self.pe[:, offset : offset + length].to(x.dtype)
        if self.mode == "add":
            if features != self.d_model:
                raise ValueError(f"x has {features} features, the table {self.d_model} columns")
            return self.dropout(x + rows)
        return self.dropout(torch.cat([x, rows.expand(batch, -1, -1)], dim=-1))
""",
        [
            (
                "kept the table as a plain attribute, so it is no buffer and does not move with .to()",
                'self.register_buffer("pe", table)',
                "self.pe = table",
            ),
            (
                "checked the offset, and then took the first rows of the table all the same",
                "self.pe[:, offset : offset + length]",
                "self.pe[:, :length]",
            ),
            (
                "forgot that torch.cat does not broadcast the batch dimension: it raises for B > 1",
                "rows.expand(batch, -1, -1)",
                "rows",
            ),
        ],
    ),
    (
        "01",
        "creation_patterns",
        """
def creation_patterns(
    rows: int,
    cols: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    if rows < 1 or cols < 1:
        raise ValueError(f"rows and cols must be at least 1, got {rows} and {cols}")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point dtype, got {dtype}")
    patterns = {
        "scalar": torch.tensor(7, dtype=dtype, device=device),
        "zeros": torch.zeros(rows, cols, dtype=dtype, device=device),
        "ones": torch.ones(rows, cols, dtype=dtype, device=device),
        "eye": torch.eye(rows, dtype=dtype, device=device),
    }
    patterns.update(counting_patterns(rows, cols, dtype=dtype, device=device))
    patterns.update(random_patterns(rows, cols, dtype=dtype, device=device, generator=generator))
    return patterns
""",
        [
            (
                "made the eye (rows, cols) like the others, although it has to be square",
                "torch.eye(rows, dtype",
                "torch.eye(rows, cols, dtype",
            ),
            (
                "forgot to hand the generator on, so the random tensors come from the global one",
                "device=device, generator=generator)",
                "device=device)",
            ),
            (
                "called is_floating_point as a method, but of a dtype it is an attribute: TypeError",
                "dtype.is_floating_point:",
                "dtype.is_floating_point():",
            ),
        ],
    ),
    (
        "tinytorch/07",
        "step_scaling",
        """
def step_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    def build(n: int) -> Callable[[], None]:
        values = np.ones(n, dtype=np.float64)
        parameter = Parameter(values)
        parameter.grad = np.ones_like(values)
        optimizer = SGD([parameter], lr=0.01)
        return optimizer.step

    return measure_scaling(build, sizes, kind="peak_bytes")
""",
        [
            (
                "made the parameter float32 by habit, so that a step takes 4 n bytes and not 8 n",
                "dtype=np.float64",
                "dtype=np.float32",
            ),
            (
                "cleared the gradients before the step, as in a training loop, so the step has nothing to do",
                "        return optimizer.step\n",
                "        optimizer.zero_grad()\n        return optimizer.step\n",
            ),
            (
                "called the step in build instead of returning it: None cannot be called",
                "return optimizer.step",
                "return optimizer.step()",
            ),
        ],
    ),
    (
        "tinytorch/14",
        "GPTBackbone",
        """
class GPTBackbone(Module):
    def __init__(self, embed_dim: int, num_heads: int, num_layers: int, *, rng: np.random.Generator | None = None):
        self.blocks = [TransformerBlock(embed_dim, num_heads, rng=rng) for _ in range(num_layers)]
        self.ln_f = LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for block in self.blocks:
            h = block(h)
        return self.ln_f(h)
""",
        [
            (
                "gave every block the input of the stack, so that only the last block counts",
                "h = block(h)",
                "h = block(x)",
            ),
            (
                "applied the last norm after every block, not after the last one only",
                "            h = block(h)\n",
                "            h = self.ln_f(block(h))\n",
            ),
            (
                "forgot to hand rng on to the blocks, so they draw from the framework's generator",
                "num_heads, rng=rng)",
                "num_heads)",
            ),
        ],
    ),
    (
        "tinytorch/04",
        "Module.train",
        """
class Module:
    training = True

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        found = []
        seen = set()

        def visit(name, value):
            if id(value) in seen:
                return
            if isinstance(value, Parameter):
                seen.add(id(value))
                found.append((name, value))
            elif isinstance(value, Module):
                seen.add(id(value))
                for key, child in vars(value).items():
                    visit(f"{name}.{key}", child)
            elif isinstance(value, (list, tuple)):
                for position, item in enumerate(value):
                    visit(f"{name}.{position}", item)

        seen.add(id(self))
        for key, child in vars(self).items():
            visit(key, child)
        return found

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def modules(self) -> list["Module"]:
        found = []
        seen = set()

        def visit(value):
            if isinstance(value, Module):
                if id(value) in seen:
                    return
                seen.add(id(value))
                found.append(value)
                for child in vars(value).values():
                    visit(child)
            elif isinstance(value, (list, tuple)):
                for item in value:
                    visit(item)

        visit(self)
        return found

    def train(self, mode: bool = True) -> "Module":
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        return self.train(False)

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None
""",
        [
            (
                "set the attribute of the class, which switches every other module of that class, too",
                "module.training = mode",
                "type(module).training = mode",
            ),
            (
                "forgot to return the module itself",
                "            module.training = mode\n        return self\n",
                "            module.training = mode\n",
            ),
            (
                "left out the parentheses of modules: a method cannot be looped over",
                "for module in self.modules():",
                "for module in self.modules:",
            ),
        ],
    ),
    (
        "tinytorch/10",
        "Compose",
        """
class Compose:
    def __init__(self, fns: Iterable[Callable[[Any], Any]]):
        self.fns = list(fns)

    def __call__(self, x: Any) -> Any:
        for fn in self.fns:
            x = fn(x)
        return x
""",
        [
            (
                "kept the iterable as it is: a generator is empty at the second call",
                "list(fns)",
                "fns",
            ),
            (
                "returned inside the loop, so that only the first function acts, and none gives None",
                "            x = fn(x)\n        return x\n",
                "            x = fn(x)\n            return x\n",
            ),
            (
                "called the list in place of the function: 'list' object is not callable",
                "x = fn(x)",
                "x = self.fns(x)",
            ),
        ],
    ),
    (
        "tinytorch/01",
        "profile_memory",
        """
def profile_memory(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> MemoryProfile:
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        result = fn(*args, **kwargs)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return MemoryProfile(result, max(0, peak - before), max(0, after - before))
""",
        [
            (
                "took the two numbers of get_traced_memory in the wrong order",
                "after, peak = tracemalloc",
                "peak, after = tracemalloc",
            ),
            (
                "stopped tracing in every case, also where the caller had turned it on",
                "        if not was_tracing:\n            tracemalloc.stop()\n",
                "        tracemalloc.stop()\n",
            ),
            (
                "forgot the stars, so fn gets a tuple and a dict: TypeError for a function without arguments",
                "fn(*args, **kwargs)",
                "fn(args, kwargs)",
            ),
        ],
    ),
    (
        "tinytorch/13",
        "recurrence_comparison",
        """
def recurrence_comparison(length: int, dim: int) -> dict[str, Any]:
    attention = {
        "sequential_steps": 1,
        "path_length": 1,
        "multiply_adds": 2 * length**2 * dim,
    }
    recurrence = {
        "sequential_steps": length,
        "path_length": length - 1,
        "multiply_adds": 2 * length * dim**2,
    }
    return {"attention": attention, "recurrence": recurrence, "crossover_length": dim}
""",
        [
            (
                "counted only q k^T and forgot the product of the weights with the values",
                "2 * length**2 * dim",
                "length**2 * dim",
            ),
            (
                "counted the positions on the path, not the steps between them: off by one",
                "length - 1",
                "length",
            ),
            (
                "mixed it up with the length at which the scores take as much memory as q, k and v",
                '"crossover_length": dim',
                '"crossover_length": 3 * dim',
            ),
        ],
    ),
    (
        "papers/15",
        "train_deep",
        """
def train_deep(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    batch: int = 64,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
        [
            (
                "forgot the momentum, whose default is 0",
                "lr=lr, momentum=0.9)",
                "lr=lr)",
            ),
            (
                "wrote the batch size as the upper bound of the draws: only the first rows are ever seen",
                "torch.randint(len(x), (batch,)",
                "torch.randint(batch, (batch,)",
            ),
            (
                "handed labels and logits to cross_entropy in the wrong order, which raises",
                "F.cross_entropy(model(x[rows]), y[rows])",
                "F.cross_entropy(y[rows], model(x[rows]))",
            ),
        ],
    ),
    (
        "papers/21",
        "ctc_forward_numpy",
        """
def ctc_forward_numpy(log_probs: np.ndarray, target: Sequence[int], blank: int = 0) -> float:
    target = list(target)
    if blank in target:
        raise ValueError(f"the target {target} contains the blank {blank}")
    states = [blank]
    for label in target:
        states += [label, blank]
    num_frames, num_states = len(log_probs), len(states)

    alpha = np.full(num_states, -np.inf)
    alpha[0] = log_probs[0, blank]
    if num_states > 1:
        alpha[1] = log_probs[0, states[1]]
    for t in range(1, num_frames):
        previous = alpha.copy()
        for s, label in enumerate(states):
            total = previous[s]
            if s >= 1:
                total = np.logaddexp(total, previous[s - 1])
            if s >= 2 and label != blank and label != states[s - 2]:
                total = np.logaddexp(total, previous[s - 2])
            alpha[s] = total + log_probs[t, label]

    total = alpha[-1]
    if num_states > 1:
        total = np.logaddexp(total, alpha[-2])
    return float(-total)
""",
        [
            (
                "let a path jump from a label to an equal one, which would merge the two",
                "label != blank and label != states[s - 2]",
                "label != blank",
            ),
            (
                "made no copy, so that the frame before is overwritten while it is still read",
                "alpha.copy()",
                "alpha",
            ),
            (
                "forgot that the empty target has one state only: IndexError",
                "    if num_states > 1:\n        alpha[1] = log_probs[0, states[1]]\n",
                "    alpha[1] = log_probs[0, states[1]]\n",
            ),
        ],
    ),
    (
        "papers/26",
        "train_classifier",
        """
def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    lr: float,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        batch_x, batch_y = x, y
        if batch_size is not None:
            rows = torch.randint(len(x), (batch_size,), generator=generator)
            batch_x, batch_y = x[rows], y[rows]
        loss = F.cross_entropy(model(batch_x), batch_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
        [
            (
                "drew without replacement, by the start of a permutation",
                "torch.randint(len(x), (batch_size,), generator=generator)",
                "torch.randperm(len(x), generator=generator)[:batch_size]",
            ),
            (
                "noted the loss of the batch after the update, not before it",
                "losses.append(loss.item())",
                "losses.append(F.cross_entropy(model(batch_x), batch_y).item())",
            ),
            (
                "gave randint a number as its size, where it wants a tuple: TypeError",
                "(batch_size,)",
                "batch_size",
            ),
        ],
    ),
    (
        "papers/24",
        "complexity_weighted_sum",
        """
def complexity_weighted_sum(values: Tensor, lengths: Tensor) -> Tensor:
    exponents = -lengths.to(values.dtype)
    weights = 2 ** exponents
    return (values * weights).sum()
""",
        [
            (
                "left the lengths as integers: an integer power with a negative exponent is 0",
                "-lengths.to(values.dtype)",
                "-lengths",
            ),
            (
                "made a number of the sum and a new tensor of that: no gradient, and always float32",
                "return (values * weights).sum()",
                "return torch.tensor((values * weights).sum().item())",
            ),
            (
                "took the NumPy method for the conversion, which a tensor does not have: AttributeError",
                "lengths.to(",
                "lengths.astype(",
            ),
        ],
    ),
    (
        "papers/07",
        "predict_averaged",
        """
def predict_averaged(model: nn.Module, x: Tensor, pad: int = 1) -> Tensor:
    was_training = model.training
    model.eval()
    height, width = x.shape[-2:]
    padded = F.pad(x, (pad, pad, pad, pad))
    far = 2 * pad
    places = [(0, 0), (0, far), (far, 0), (far, far), (pad, pad)]
    views = [padded[:, :, top : top + height, left : left + width] for top, left in places]
    with torch.no_grad():
        averaged = torch.stack([model(view).softmax(dim=1) for view in views]).mean(dim=0)
    model.train(was_training)
    return averaged
""",
        [
            (
                "took the mean of the logits and then its softmax, not the mean of the probabilities",
                "torch.stack([model(view).softmax(dim=1) for view in views]).mean(dim=0)",
                "torch.stack([model(view) for view in views]).mean(dim=0).softmax(dim=1)",
            ),
            (
                "put the far corners only pad away from the near ones: the image is padded on both sides",
                "far = 2 * pad",
                "far = pad",
            ),
            (
                "set the model to training mode at the end, whatever it was before",
                "model.train(was_training)",
                "model.train()",
            ),
        ],
    ),
]
