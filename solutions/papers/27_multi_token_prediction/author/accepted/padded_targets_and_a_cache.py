"""Targets padded for ignore_index, per-head counts; gradients by autograd.grad; drafts
with the trunk's state cached.
"""


class MultiTokenModel(nn.Module):
    def __init__(self, vocab_size, hidden_size, num_heads):
        super().__init__()
        self.vocab_size = vocab_size
        self.num_heads = num_heads
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.trunk = nn.GRU(
            input_size=hidden_size, hidden_size=hidden_size, batch_first=True
        )
        self.heads = nn.ModuleList()
        for _ in range(num_heads):
            self.heads.append(nn.Linear(hidden_size, vocab_size))

    def hidden(self, tokens):
        return self.trunk(F.embedding(tokens, self.embedding.weight))[0]

    def forward(self, tokens):
        hidden = self.hidden(tokens)
        logits = hidden.new_empty(*tokens.shape, self.num_heads, self.vocab_size)
        for k, head in enumerate(self.heads):
            logits[:, :, k] = head(hidden)
        return logits


def multi_token_loss(logits, tokens):
    length, num_heads = logits.shape[1:3]
    if length <= num_heads:
        raise ValueError("too few tokens")
    targets = [
        F.pad(tokens[:, k + 1 :], (0, k + 1), value=-100) for k in range(num_heads)
    ]
    targets = torch.stack(targets, dim=2)
    losses = F.cross_entropy(
        logits.movedim(-1, 1), targets, ignore_index=-100, reduction="none"
    )
    per_head = losses.sum(dim=(0, 1)) / (targets >= 0).sum(dim=(0, 1))
    return per_head.sum(), per_head


def multi_token_loss_numpy(logits, tokens):
    rows, length, num_heads, _ = logits.shape
    top = logits.max(-1)
    loss = top + np.log(np.exp(logits - top[..., None]).sum(-1))
    total = 0.0
    for k in range(num_heads):
        for row in range(rows):
            for t in range(length - 1 - k):
                gap = loss[row, t, k] - logits[row, t, k, tokens[row, t + 1 + k]]
                total += gap / (rows * (length - 1 - k))
    return float(total)


def bayes_losses(transition, tokens, num_heads):
    losses = torch.zeros(num_heads, dtype=torch.float64)
    for k in range(num_heads):
        chances = torch.linalg.matrix_power(transition.double(), k + 1)
        windows = tokens.unfold(1, k + 2, 1)
        losses[k] = -chances[windows[..., 0], windows[..., -1]].log().mean()
    return losses


def backward_head_by_head(model, tokens):
    embedded = model.embedding(tokens)
    hidden, _ = model.trunk(embedded)
    meeting, total = torch.zeros_like(hidden), 0.0
    for k in reversed(range(model.num_heads)):
        head, place = model.heads[k], hidden.detach().requires_grad_()
        scored = head(place)[:, : tokens.shape[1] - 1 - k]
        loss = F.cross_entropy(scored.transpose(1, 2), tokens[:, k + 1 :])
        *own, back = torch.autograd.grad(loss, [*head.parameters(), place])
        for parameter, gradient in zip(head.parameters(), own):
            parameter.grad = (
                gradient if parameter.grad is None else parameter.grad + gradient
            )
        meeting += back
        total += float(loss)
    torch.autograd.backward(hidden, meeting)
    return total


def train_multi_token(
    model, transition, *, steps, batch_size=32, length=24, lr=1e-2, generator=None
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    drawn = sample_sequences(transition, steps * batch_size, length, generator)
    history = []
    for tokens in drawn.split(batch_size):
        total, per_head = multi_token_loss(model(tokens), tokens)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append([loss.item() for loss in per_head])
    return history


@torch.inference_mode()
def speculative_generate(model, prompt, num_new):
    """The trunk reads every accepted token once: its state after them is kept from call
    to call.
    """
    text, draft, state, calls = prompt[0].tolist(), [], None, 0
    unread, end = list(text), len(text) + num_new
    while len(text) < end:
        calls += 1
        states, logits = [], []
        for token in unread + draft:
            output, state = model.trunk(model.embedding(torch.tensor([[token]])), state)
            states.append(state)
            logits.append([int(head(output).argmax()) for head in model.heads])
        at = len(unread) - 1
        for token in draft:
            if token != logits[at][0]:
                break
            at += 1
        sure, *proposed = logits[at]
        text = text + draft[: at - len(unread) + 1] + [sure]
        unread, draft, state = [sure], proposed, states[at]
    return torch.tensor([text[:end]]), calls


def compare_heads(transition, head_counts, *, steps, hidden_size=32, seed=0):
    state = torch.get_rng_state()
    models = {}
    for count in head_counts:
        torch.manual_seed(seed)
        models[count] = MultiTokenModel(transition.shape[1], hidden_size, count)
    torch.set_rng_state(state)
    curves = {}
    for count, model in models.items():
        draws = torch.Generator()
        draws.manual_seed(seed)
        first, *_ = zip(
            *train_multi_token(model, transition, steps=steps, generator=draws)
        )
        curves[count] = list(first)
    return curves
