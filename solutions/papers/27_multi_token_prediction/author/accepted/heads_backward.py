"""Heads from the last to the first, one backward pass for each, curves in the other
order, drafts as lists.
"""


def multi_token_loss(logits, tokens):
    count = logits.shape[2]
    if tokens.shape[1] <= count:
        raise ValueError("the last head has no target")
    chances = logits.log_softmax(dim=-1)
    losses = {}
    for k in reversed(range(count)):
        right = F.one_hot(tokens[:, k + 1 :], logits.shape[-1])
        losses[k] = -(chances[:, : right.shape[1], k] * right).sum(dim=-1).mean()
    per_head = torch.stack([losses[k] for k in range(count)])
    return per_head.sum(), per_head


def train_multi_token(
    model, transition, *, steps, batch_size=32, length=24, lr=1e-2, generator=None
):
    model.train()
    model.zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    history = []
    for _ in range(steps):
        tokens = sample_sequences(transition, batch_size, length, generator)
        _, per_head = multi_token_loss(model(tokens), tokens)
        for loss in reversed(per_head.unbind()):
            loss.backward(retain_graph=True)
        optimizer.step()
        optimizer.zero_grad()
        history.append(per_head.detach().tolist())
    return history


@torch.no_grad()
def speculative_generate(model, prompt, num_new):
    text, draft, calls = prompt[0].tolist(), [], 0
    end = len(text) + num_new
    while len(text) < end:
        best = model(torch.tensor([text + draft]))[0].argmax(dim=-1).tolist()
        calls += 1
        for token in draft + [None]:
            place = len(text) - 1
            text.append(best[place][0])
            if token != best[place][0]:
                break
        draft = best[place][1:]
    return torch.tensor([text[:end]]), calls


def compare_heads(transition, head_counts, *, steps, hidden_size=32, seed=0):
    curves = {}
    for count in reversed(head_counts):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MultiTokenModel(len(transition), hidden_size, count)
        generator = torch.Generator().manual_seed(seed)
        curves[count] = train_multi_token(
            model, transition, steps=steps, generator=generator
        )
    return {
        count: [float(losses[0]) for losses in curves[count]] for count in head_counts
    }
