"""All windows at once by unfold, the loss by gather, clipping and Adam written out; the
layer chosen by if and elif.
"""


class CharRNN(nn.Module):
    def __init__(
        self, vocab_size, embed_dim, hidden_size, cell_type="lstm", num_layers=1
    ):
        super().__init__()
        if cell_type == "rnn":
            make = nn.RNN
        elif cell_type == "lstm":
            make = nn.LSTM
        elif cell_type == "gru":
            make = nn.GRU
        else:
            raise ValueError("cell_type: rnn, lstm or gru")
        self.head = nn.Linear(hidden_size, vocab_size)
        self.rnn = (
            make(
                input_size=embed_dim,
                hidden_size=hidden_size,
                num_layers=num_layers,
                nonlinearity="tanh",
                batch_first=True,
            )
            if make is nn.RNN
            else make(embed_dim, hidden_size, num_layers, batch_first=True)
        )
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.dropout = nn.Dropout(0.0)

    def forward(self, ids, state=None):
        x = self.embedding(ids)
        x, state = self.rnn(x) if state is None else self.rnn(x, state)
        return self.head(self.dropout(x)), state

    @torch.inference_mode()
    def hidden_states(self, ids):
        modes = [(module, module.training) for module in self.modules()]
        try:
            return self.eval().rnn(self.embedding(ids.reshape(1, -1)))[0].squeeze(0)
        finally:
            for module, mode in modes:
                module.training = mode


def draw_windows(data, batch_size, seq_len, generator=None):
    if data.numel() <= seq_len:
        raise ValueError("the text is shorter than one window")
    every = data.unfold(0, seq_len + 1, 1)
    window = every[
        torch.randint(0, every.shape[0], size=(batch_size,), generator=generator)
    ]
    return window[:, :seq_len], window[:, 1:]


def train_char_rnn(
    model, data, steps, batch_size=16, seq_len=32, lr=5e-3, max_norm=1.0, generator=None
):
    if data.numel() <= seq_len:
        raise ValueError("the text is shorter than one window")
    every = data.unfold(0, seq_len + 1, 1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    m, v = (
        [torch.zeros_like(p) for p in parameters],
        [torch.zeros_like(p) for p in parameters],
    )
    result = {"losses": []}
    mode = model.training
    begin = time.time()
    try:
        model.train(True)
        for t in range(1, steps + 1):
            draws = torch.randint(
                0, every.shape[0], size=(batch_size,), generator=generator
            )
            window = every[draws]
            logits = model(window[:, :seq_len])[0]
            loss = -logits.log_softmax(dim=2).gather(2, window[:, 1:, None]).mean()
            gradients = torch.autograd.grad(loss, parameters)
            norm = torch.stack([g.norm() for g in gradients]).norm()
            factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
            with torch.no_grad():
                for i, (p, g) in enumerate(zip(parameters, gradients)):
                    g = g * factor
                    m[i] = 0.9 * m[i] + 0.1 * g
                    v[i] = 0.999 * v[i] + 0.001 * g * g
                    p -= (
                        lr
                        * (m[i] / (1 - 0.9**t))
                        / ((v[i] / (1 - 0.999**t)).sqrt() + 1e-8)
                    )
            result["losses"].append(float(loss))
    finally:
        model.train(mode)
    result["seconds"] = max(time.time() - begin, 1e-9)
    result["tokens_per_second"] = (
        float(steps * batch_size * seq_len) / result["seconds"]
    )
    return result


def input_gradient_norms(cell, x):
    def last(x):
        return run_recurrent(cell, x)[0][:, x.size(1) - 1].sum()

    gradient = torch.autograd.functional.jacobian(last, x.detach())
    return (gradient**2).sum((0, 2)).sqrt()
