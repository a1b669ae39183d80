"""Slips that people make, in the natural code of an exercise: what is changed, and the words that name the cause."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slip:
    """The textbook solution with `was`, which occurs in it exactly once, replaced by `now`.

    `says` are the words of the exercise's first failure that tell a beginner what to change.
    """

    kata: str
    exercise: str
    name: str
    was: str
    now: str
    says: str


SLIPS = [
    Slip(
        "01",
        "count_to",
        "return forgotten",
        was="    return torch.arange(n)\n",
        now="    torch.arange(n)\n",
        says="`return` is missing",
    ),
    Slip(
        "02",
        "to_rows",
        "return forgotten",
        was="    return x.reshape(-1, columns)\n",
        now="    x.reshape(-1, columns)\n",
        says="`return` is missing",
    ),
    Slip(
        "01",
        "filled",
        "the sizes as two arguments",
        was="torch.full((rows, cols), value, dtype=torch.float32)",
        now="torch.full(rows, cols, value)",
        says="the sizes are not in one tuple: torch.full((rows, cols), …)",
    ),
    Slip(
        "01",
        "describe",
        "a key in the plural",
        was='"shape": tuple(x.shape),',
        now='"shapes": tuple(x.shape),',
        says="the key 'shape' is written 'shapes'",
    ),
    Slip(
        "01",
        "to_float",
        "a method without its brackets",
        was="x.float()",
        now="x.float",
        says="`float` without its brackets",
    ),
    Slip(
        "02",
        "nhwc_to_nchw",
        "reshape for permute",
        was="images.permute(0, 3, 1, 2).contiguous()",
        now="images.reshape(images.shape[0], images.shape[3], images.shape[1], images.shape[2])",
        says="reshaped, which regroups the numbers instead of moving the channels",
    ),
    Slip(
        "02",
        "add_batch_dim",
        "unsqueeze(1)",
        was="sample.unsqueeze(0)",
        now="sample.unsqueeze(1)",
        says="the dimension of size 1 is at place 1, not 0",
    ),
    Slip(
        "03",
        "pick_per_row",
        "the same columns from every row",
        was="x.gather(-1, index.unsqueeze(-1)).squeeze(-1)",
        now="x[:, index]",
        says="x[:, index]: every row gave all the columns",
    ),
    Slip(
        "03",
        "sliding_windows",
        "the last window left out",
        was="len(x) - size + 1, step",
        now="len(x) - size, step",
        says="the last window is lost",
    ),
    Slip(
        "04",
        "standardize",
        "one mean for all columns",
        was="mean = x.mean(dim, keepdim=True)",
        now="mean = x.mean()",
        says="one mean for all of x: pass dim to the mean",
    ),
    Slip(
        "04",
        "cosine_similarity",
        "norms added, not multiplied",
        was="(norm_a * norm_b)",
        now="(norm_a + norm_b)",
        says="the norms added, not multiplied",
    ),
    Slip(
        "05",
        "gradient_history",
        "gradients not cleared",
        was="        if zero_between:\n            w.grad = None\n",
        now="",
        says=".grad is not cleared before each backward",
    ),
    Slip(
        "05",
        "partial_derivatives",
        "backward leaves the input's own .grad behind",
        was="""    leaves = [x.detach().requires_grad_() for x in inputs]
    return torch.autograd.grad(f(*leaves), leaves, materialize_grads=True)
""",
        now="""    for x in inputs:
        x.requires_grad_()
    f(*inputs).backward()
    return tuple(torch.zeros_like(x) if x.grad is None else x.grad for x in inputs)
""",
        says="work on a leaf of your own, plain.detach().requires_grad_()",
    ),
    Slip(
        "06",
        "LinearRegression",
        "super().__init__() forgotten",
        was="        super().__init__()\n        self.linear",
        now="        self.linear",
        says="super().__init__()",
    ),
    Slip(
        "06",
        "fit_manual",
        "w = w - lr * grad under no_grad",
        was="            w -= lr * w.grad\n            b -= lr * b.grad\n",
        now="            w = w - lr * w.grad\n            b = b - lr * b.grad\n",
        says="Update in place, w -= …",
    ),
    Slip(
        "06",
        "train",
        "zero_grad forgotten",
        was="        optimizer.zero_grad()\n",
        now="",
        says="gradients that are not cleared",
    ),
    Slip(
        "06",
        "train",
        "zero_grad between backward and step",
        was="        optimizer.zero_grad()\n        loss.backward()\n",
        now="        loss.backward()\n        optimizer.zero_grad()\n",
        says="or zero_grad between backward and step",
    ),
    Slip(
        "10",
        "FashionMNISTModel",
        "softmax and then NLLLoss",
        was="log_softmax(dim=1)",
        now="softmax(dim=1)",
        says="probabilities: the logarithm is missing",
    ),
    Slip(
        "10",
        "evaluate",
        "mean of batch means with a shorter last batch",
        was="""        total_loss += loss_fn(outputs, labels).item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    model.train(was_training)
    return total_loss / count, correct / count
""",
        now="""        total_loss += loss_fn(outputs, labels).item()
        correct += (outputs.argmax(dim=1) == labels).float().mean().item()
        count += 1
    model.train(was_training)
    return total_loss / count, correct / count
""",
        says="the mean of the batch means: a small batch counts as much as a full one",
    ),
    Slip(
        "10",
        "EarlyStopping.step",
        "the state kept without a copy",
        was="copy.deepcopy(model.state_dict())",
        now="model.state_dict()",
        says="the state is no copy",
    ),
    Slip(
        "12",
        "LSTMCell",
        "gates in the order i, f, o, g",
        was="i, f, g, o = gates",
        now="i, f, o, g = gates",
        says="the rows are taken in the order i, f, o, g",
    ),
    Slip(
        "12",
        "run_recurrent",
        "steps stacked along the batch",
        was="torch.stack(outputs, dim=1), state",
        now="torch.stack(outputs), state",
        says="dimensions 0 and 1 are swapped",
    ),
    Slip(
        "12",
        "train_char_rnn",
        "cross_entropy on (B, T, V)",
        was="F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
        now="F.cross_entropy(logits, targets)",
        says="targets: (8, 10) means another layout: cross_entropy takes the classes in dimension 1",
    ),
    Slip(
        "12",
        "CharRNN",
        "the logits without the state",
        was="return self.head(outputs), state",
        now="return self.head(outputs)",
        says="the result should be the pair (outputs, final state), not float32 tensor",
    ),
    Slip(
        "13",
        "BatchNorm1d.forward",
        "biased variance in the running statistics",
        was="m * var * n / (n - 1)",
        now="m * var",
        says="the biased variance: it is kept times n / (n − 1)",
    ),
    Slip(
        "14",
        "masked_softmax",
        "softmax over the queries",
        was="return scores.softmax(dim).masked_fill(~mask, 0)",
        now="return scores.softmax(-2).masked_fill(~mask, 0)",
        says="the softmax runs over another dimension",
    ),
    Slip(
        "14",
        "AdditiveAttention.score",
        "shapes that do not broadcast",
        was="""        q = self.W_q(query).unsqueeze(2)
        k = self.W_k(keys).unsqueeze(1)
""",
        now="""        q = self.W_q(query)
        k = self.W_k(keys)
""",
        says="q: (2, 4, 7) k: (2, 5, 7) means sizes 4 and 5 at dimension −2",
    ),
    Slip(
        "15",
        "scaled_dot_product_attention",
        "divided by the square root of d_model",
        was="1 / math.sqrt(q.shape[-1])",
        now="1 / math.sqrt(q.shape[1] * q.shape[-1] if q.ndim == 4 else q.shape[-1])",
        says="scaled by √d_model",
    ),
    Slip(
        "15",
        "causal_mask",
        "strictly below the diagonal",
        was="tril(key_len - query_len)",
        now="tril(key_len - query_len - 1)",
        says="the diagonal is missing",
    ),
    Slip(
        "16",
        "split_heads",
        "reshape to (B, H, T, D)",
        was="x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)",
        now="x.reshape(B, num_heads, T, C // num_heads)",
        says="reshaped to (B, H, T, D) without a transpose",
    ),
    Slip(
        "16",
        "MultiHeadAttention.__init__",
        "plain lists of layers instead of modules",
        was="""        self.W_q = nn.Linear(d_model, d_model, bias=bias)
        self.W_k = nn.Linear(d_model, d_model, bias=bias)
        self.W_v = nn.Linear(d_model, d_model, bias=bias)
""",
        now="""        self.W_q = [nn.Linear(d_model, self.d_k, bias=bias) for _ in range(num_heads)]
        self.W_k = [nn.Linear(d_model, self.d_k, bias=bias) for _ in range(num_heads)]
        self.W_v = [nn.Linear(d_model, self.d_k, bias=bias) for _ in range(num_heads)]
""",
        says="W_q, W_k, W_v in a plain list: nn.Module registers no layers in it",
    ),
    Slip(
        "17",
        "TransformerEncoderBlock.forward",
        "the residual added after the norm",
        was="""            x = self.norm1(x + self.dropout(self.attend(x, mask, key_padding_mask)))
            x = self.norm2(x + self.dropout(self.ff(x)))
""",
        now="""            x = x + self.norm1(self.dropout(self.attend(x, mask, key_padding_mask)))
            x = x + self.norm2(self.dropout(self.ff(x)))
""",
        says="the norm on the sublayer's result alone, x + norm1(attention(x))",
    ),
    Slip(
        "19",
        "SimpleModuleList",
        "modules kept in a plain list",
        was="""        for module in modules or []:
            self.append(module)

    def append(self, module: nn.Module) -> "SimpleModuleList":
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return SimpleModuleList(list(self)[index])
""",
        now="""        self.items = list(modules or [])

    def append(self, module: nn.Module) -> "SimpleModuleList":
        self.items.append(module)
        return self

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.items)

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return SimpleModuleList(self.items[index])
""",
        says="no module is registered (a plain list?)",
    ),
    Slip(
        "20",
        "sequence_cross_entropy",
        "padding counted in the mean",
        was="""        return values.sum(dim=1) / keep.sum(dim=1).clamp(min=1)
    if reduction == "mean":
        return values.sum() / keep.sum().clamp(min=1)
""",
        now="""        return values.mean(dim=1)
    if reduction == "mean":
        return values.mean()
""",
        says="the sum divided by B·T, padding included",
    ),
    Slip(
        "21",
        "Adam.step",
        "bias correction from step 0",
        was="""    state["t"] += 1
    state["m"] = beta1 * state["m"] + (1 - beta1) * g
    state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
    m_hat = state["m"] / (1 - beta1 ** state["t"])
    v_hat = state["v"] / (1 - beta2 ** state["t"])
""",
        now="""    state["m"] = beta1 * state["m"] + (1 - beta1) * g
    state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
    m_hat = state["m"] / (1 - beta1 ** state["t"])
    v_hat = state["v"] / (1 - beta2 ** state["t"])
    state["t"] += 1
""",
        says="the bias correction counts steps from 0, not from 1",
    ),
    Slip(
        "22",
        "train_one_epoch",
        "model.train() forgotten after an evaluation",
        was="    model.train()\n    total, count",
        now="    total, count",
        says="`model.train()` is missing at the start of the epoch",
    ),
    Slip(
        "25",
        "CausalSelfAttention.forward",
        "positions start at 0 with a cache",
        was="y = attention(q, k, v, self.dropout if self.training else 0.0)",
        now="""dropout_p = self.dropout if self.training else 0.0
        if self.flash:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=True)
        else:
            y = manual_attention(q, k, v, dropout_p)""",
        says="positions start at 0 in each chunk",
    ),
    Slip(
        "26",
        "GPT.forward",
        "targets that are shifted already are shifted once more",
        was="F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
        now="F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())",
        says="shifted a second time inside the model",
    ),
    Slip(
        "27",
        "top_p_filter",
        "the token that crosses p is dropped",
        was="before = probs.cumsum(dim=-1) - probs",
        now="before = probs.cumsum(dim=-1)",
        says="the token that crosses p is removed",
    ),
    Slip(
        "27",
        "sample_next",
        "temperature after top-k, on probabilities",
        was="""    logits = logits / temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
""",
        now="""    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    return torch.multinomial(logits.softmax(dim=-1) / temperature, 1, generator=generator)
""",
        says="it divides the logits, and must do so before the softmax",
    ),
    Slip(
        "tinytorch/02",
        "Tensor.__init__",
        "float64 rounded to float32 on the way",
        was="        self.data = np.asarray(data, dtype=dtype)\n",
        now="""        if not isinstance(data, (np.ndarray, np.generic)) and np.array(data).dtype == np.float64:
            data = np.array(data, dtype=np.float32)
        self.data = np.asarray(data, dtype=dtype)
""",
        says="got 0.100000001, expected 0.1 looks like rounded to float32 on the way",
    ),
    Slip(
        "tinytorch/05",
        "matmul_rule",
        "no transposes",
        was="return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad",
        now="return grad @ b, a @ grad",
        says="a transpose of b would fit",
    ),
    Slip(
        "tinytorch/05",
        "backward",
        "a shared node keeps one consumer's gradient",
        was="grads[source] = grads.get(source, 0) + unbroadcast(part, source.shape)",
        now="grads[source] = unbroadcast(part, source.shape)",
        says="the parts of both ways must be added",
    ),
    Slip(
        "tinytorch/13",
        "masked_softmax",
        "announced without a rule",
        was='@backward_rule("masked_softmax")\n',
        now="",
        says='no gradient rule for "masked_softmax": put @backward_rule("masked_softmax") above its rule',
    ),
    Slip(
        "tinytorch/06",
        "log_softmax",
        "the maximum not subtracted",
        was="shifted = x - x.data.max(axis=dim, keepdims=True)",
        now="shifted = x",
        says="is the largest logit of each row subtracted before exp?",
    ),
    Slip(
        "papers/02",
        "train_char_rnn",
        "the state not detached between chunks",
        was="        h = h.detach()\n",
        now="",
        says="a state handed on without detach()",
    ),
    Slip(
        "papers/13",
        "Transformer.decode",
        "causal mask forgotten",
        was="torch.ones(T, T, dtype=torch.bool).tril() & (tgt != self.pad_id)[:, None, None, :]",
        now="(tgt != self.pad_id)[:, None, None, :]",
        says="no causal mask: the future is read",
    ),
    Slip(
        "papers/17",
        "gaussian_kl",
        "exp(logvar) forgotten",
        was="0.5 * (mu**2 + logvar.exp() - logvar - 1)",
        now="0.5 * (mu**2 + logvar - logvar - 1)",
        says="exp is missing: logvar is the logarithm of the variance",
    ),
]
