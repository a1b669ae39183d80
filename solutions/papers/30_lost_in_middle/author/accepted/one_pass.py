"""Scores masked per value and joined by logsumexp, positions measured in one batch,
orders filled in from both ends.
"""


def attention_weights_numpy(query, keys, position_bias):
    scores = (keys @ query[:, :, None])[:, :, 0] / query.shape[-1] ** 0.5
    odds = np.exp(scores - scores.max()) * np.exp(position_bias - position_bias.max())
    return odds / odds.sum(-1, keepdims=True)


class Reader(nn.Module):
    def __init__(self, num_documents, key_size, num_values, dim):
        super().__init__()
        self.position_bias = nn.Parameter(torch.zeros(num_documents))
        self.key_projection = nn.Linear(key_size, dim, bias=False)
        self.query_projection = nn.Linear(key_size, dim, bias=False)
        self.num_documents, self.key_size, self.num_values, self.dim = (
            num_documents,
            key_size,
            num_values,
            dim,
        )

    def scores(self, query, keys, correction):
        products = torch.matmul(
            self.key_projection(keys), self.query_projection(query).unsqueeze(-1)
        ).squeeze(-1)
        preference = (
            self.position_bias
            if correction is None
            else self.position_bias - correction
        )
        return products / math.sqrt(self.dim) + preference

    def attention(self, query, keys, correction=None):
        return F.softmax(self.scores(query, keys, correction), dim=1)

    def forward(self, query, keys, values, correction=None):
        log_weights = F.log_softmax(self.scores(query, keys, correction), dim=1)
        has = values.unsqueeze(2) == torch.arange(self.num_values)
        lowest = torch.finfo(log_weights.dtype).min
        joined = log_weights.unsqueeze(2).masked_fill(~has, lowest).logsumexp(dim=1)
        return joined.clamp(min=math.log(1e-9))


def train_reader(
    model, *, steps, prior, noise=1.0, batch_size=64, lr=0.02, generator=None
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    sizes = dict(
        num_documents=model.num_documents,
        key_size=model.key_size,
        num_values=model.num_values,
    )
    losses = []
    while len(losses) < steps:
        *seen, _, answers = make_examples(
            batch_size, **sizes, noise=noise, prior=prior, generator=generator
        )
        log_probabilities = model(*seen)
        loss = -log_probabilities[torch.arange(batch_size), answers].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses


def edge_order(relevance):
    ranked = torch.sort(relevance, dim=1, descending=True).indices
    order = torch.empty_like(ranked)
    left, right = 0, relevance.shape[1] - 1
    for rank, documents in enumerate(ranked.unbind(dim=1)):
        if rank % 2 == 0:
            order[:, left] = documents
            left += 1
        else:
            order[:, right] = documents
            right -= 1
    return order


def accuracy_by_position(
    model,
    *,
    examples_per_position=500,
    noise=1.0,
    reorder=False,
    correction=None,
    generator=None,
):
    n = model.num_documents
    positions = torch.arange(n).repeat_interleave(examples_per_position)
    query, keys, values, _, answers = make_examples(
        len(positions),
        n,
        model.key_size,
        model.num_values,
        noise,
        positions=positions,
        generator=generator,
    )
    if reorder:
        order = edge_order((query[:, None] * keys).sum(-1))
        keys, values = (
            torch.take_along_dim(keys, order[..., None], 1),
            torch.take_along_dim(values, order, 1),
        )
    with torch.inference_mode():
        right = model(query, keys, values, correction=correction).argmax(-1) == answers
    return right.view(n, examples_per_position).double().mean(1)


def measure_position_bias(model, *, num_examples=500, generator=None):
    logs = []
    for _ in range(num_examples):
        keys = torch.randn(1, model.num_documents, model.key_size, generator=generator)
        query = torch.randn(1, model.key_size, generator=generator)
        logs.append(torch.log(model.attention(query, keys))[0].detach())
    logs = torch.stack(logs)
    return (logs - logs.mean(dim=1, keepdim=True)).mean(dim=0)


import math
