"""One-hot products, the loss by log_softmax and gather, clipping by hand, Gumbel-max
sampling, np.add.at.
"""


def build_vocab(text):
    stoi = {}
    for character in sorted(text):
        stoi.setdefault(character, len(stoi))
    if not stoi:
        raise ValueError("no characters")
    return stoi, list(stoi)


def rnn_forward_numpy(ids, h0, W_xh, W_hh, W_hy, b_h, b_y):
    hs, ys, h = np.zeros((len(ids), len(h0))), np.zeros((len(ids), len(b_y))), h0
    for t in range(len(ids)):
        x = np.zeros((W_xh.shape[1], 1))
        x[ids[t]] = 1
        h = np.tanh(W_xh @ x + W_hh @ h[:, None] + b_h[:, None])[:, 0]
        hs[t], ys[t] = h, np.dot(W_hy, h) + b_y
    return hs, ys


class CharRNN(nn.Module):
    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        shapes = {
            "W_xh": (hidden_size, vocab_size),
            "W_hh": (hidden_size,) * 2,
            "W_hy": (vocab_size, hidden_size),
        }
        for name, shape in shapes.items():
            weight = (2 * torch.rand(shape) - 1) / hidden_size**0.5
            self.register_parameter(name, nn.Parameter(weight))
        self.b_h, self.b_y = (
            nn.Parameter(torch.zeros(hidden_size)),
            nn.Parameter(torch.zeros(vocab_size)),
        )
        self.register_buffer("eye", torch.eye(vocab_size))

    def forward(self, ids, h=None):
        x = self.eye[ids] @ self.W_xh.t()
        batch, steps = ids.size()
        h = (
            torch.zeros(batch, self.b_h.numel(), dtype=x.dtype, device=x.device)
            if h is None
            else h
        )
        logits = torch.empty(
            batch, steps, self.b_y.numel(), dtype=x.dtype, device=x.device
        )
        for t in range(steps):
            h = (x[:, t] + F.linear(h, self.W_hh, self.b_h)).tanh()
            logits[:, t] = F.linear(h, self.W_hy, self.b_y)
        return logits, h


def chunks(ids, seq_len):
    pairs, p = [], 0
    while p + seq_len + 1 <= len(ids):
        window = ids[p : p + seq_len + 1]
        pairs += [(window[:-1], window[1:])]
        p += seq_len
    return pairs


def train_char_rnn(model, ids, *, steps=300, seq_len=25, lr=0.01, max_norm=5.0):
    if len(ids) <= seq_len:
        raise ValueError("the stream is too short")
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
    p, h, losses = 0, torch.zeros(1, 0), []
    for _ in range(steps):
        if p + seq_len + 1 > len(ids):
            p = 0
        inputs, targets = (
            ids[p : p + seq_len].unsqueeze(0),
            ids[p + 1 : p + seq_len + 1].unsqueeze(0),
        )
        logits, h = model(inputs) if p == 0 else model(inputs, h.detach())
        loss = -logits.log_softmax(dim=2).gather(2, targets.unsqueeze(2)).mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum((g**2).sum() for g in gradients).sqrt()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient * min(1.0, max_norm / (norm.item() + 1e-6))
        optimizer.step()
        losses.append(float(loss))
        p += seq_len
    return losses


@torch.inference_mode()
def sample(model, prompt, n, *, temperature=1.0, generator=None):
    if prompt.numel() == 0 or temperature < 0:
        raise ValueError("an empty prompt, or a negative temperature")
    h, out = None, []
    for x in prompt:
        logits, h = model(x.reshape(1, 1), h)
    while len(out) < n:
        scores = logits[0, 0]
        if temperature > 0:
            uniform = torch.rand(scores.shape, generator=generator).clamp(
                1e-9, 1 - 1e-7
            )
            scores = scores / temperature - torch.log(-torch.log(uniform))
        out.append(int(scores.argmax()))
        logits, h = model(torch.tensor([[out[-1]]]), h)
    return torch.tensor(out, dtype=torch.int64)


def rnn_backward_numpy(ids, targets, h0, hidden, logits, W_hh, W_hy):
    ids, targets = np.asarray(ids), np.asarray(targets)
    dy = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
    np.subtract.at(dy, (np.arange(len(ids)), targets), 1.0)
    dy = dy / len(ids)
    dh, slope = dy @ W_hy, 1 - np.square(hidden)
    for t in range(len(ids) - 2, -1, -1):
        dh[t] += (slope[t + 1] * dh[t + 1]) @ W_hh
    da = slope * dh
    columns = np.zeros((logits.shape[1], len(h0)))
    np.add.at(columns, ids, da)
    states = np.concatenate([h0[None], hidden])[:-1]
    return dict(
        b_y=dy.sum(0),
        b_h=da.sum(0),
        W_hy=dy.T @ hidden,
        W_hh=np.einsum("ti,tj->ij", da, states),
        W_xh=columns.T,
    )
