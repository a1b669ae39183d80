"""Question by question: lists and loops for weights, votes and orders; a sweep that
collects pairs.
"""


def attention_weights_numpy(query, keys, position_bias):
    rows = []
    for q, k in zip(query, keys):
        scores = k @ q / np.sqrt(len(q)) + position_bias
        exponentials = np.exp(scores - np.max(scores))
        rows.append(exponentials / np.sum(exponentials))
    return np.array(rows)


class Reader(nn.Module):
    def __init__(self, num_documents, key_size, num_values, dim):
        super().__init__()
        self.num_documents = num_documents
        self.key_size = key_size
        self.num_values = num_values
        self.query_projection = nn.Linear(key_size, dim, bias=False)
        self.key_projection = nn.Linear(key_size, dim, bias=False)
        self.register_parameter(
            "position_bias", nn.Parameter(torch.zeros(num_documents))
        )

    def attention(self, query, keys, correction=None):
        q = self.query_projection(query)[:, None]
        scores = (q @ self.key_projection(keys).mT).squeeze(
            1
        ) * self.key_projection.out_features**-0.5
        scores = scores + self.position_bias - (0 if correction is None else correction)
        odds = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        return odds / odds.sum(dim=1, keepdim=True)

    def forward(self, query, keys, values, correction=None):
        weights = self.attention(query, keys, correction)
        sums = torch.zeros(
            len(query), self.num_values, dtype=weights.dtype
        ).scatter_add(1, values, weights)
        return torch.log(torch.maximum(sums, sums.new_tensor(1e-9)))


def train_reader(
    model, *, steps, prior, noise=1.0, batch_size=64, lr=0.02, generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    losses = []
    for _ in range(steps):
        n = model.num_documents
        chances = torch.full((n,), 1 / n) if prior is None else prior
        positions = torch.multinomial(
            chances, batch_size, replacement=True, generator=generator
        )
        query, keys, values, _, answers = make_examples(
            batch_size,
            n,
            model.key_size,
            model.num_values,
            noise,
            positions,
            generator=generator,
        )
        # log-probabilities are logits, too
        loss = F.cross_entropy(model(query, keys, values, None), answers)
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters)
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    return losses


def edge_order(relevance):
    rows = []
    for row in relevance.tolist():
        order = []
        # the least relevant first, from the inside out
        for document in sorted(range(len(row)), key=row.__getitem__):
            if (len(row) - len(order)) % 2:
                order.insert(0, document)
            else:
                order.append(document)
        rows.append(order)
    return torch.tensor(rows)


def accuracy_by_position(
    model,
    *,
    examples_per_position=500,
    noise=1.0,
    reorder=False,
    correction=None,
    generator=None,
):
    training = model.training
    model.eval()
    found = torch.zeros(model.num_documents)
    for p in range(model.num_documents):
        where = torch.tensor([p] * examples_per_position)
        query, keys, values, _, answers = make_examples(
            len(where),
            model.num_documents,
            model.key_size,
            model.num_values,
            noise,
            where,
            generator=generator,
        )
        if reorder:
            for b, order in enumerate(
                edge_order(torch.einsum("bnk,bk->bn", keys, query))
            ):
                keys[b], values[b] = keys[b, order], values[b, order]
        with torch.no_grad():
            found[p] = (
                model(query, keys, values, correction).max(1).indices == answers
            ).sum() / len(where)
    model.train(training)
    return found


def length_sweep(lengths, *, steps=400, noise=1.0, generator=None):
    pairs = []
    for length in lengths:
        reader = Reader(num_documents=length, key_size=8, num_values=5, dim=16)
        train_reader(
            reader,
            prior=position_prior(length),
            generator=generator,
            steps=steps,
            noise=noise,
        )
        first, *others = accuracy_by_position(
            reader, generator=generator, noise=noise
        ).tolist()
        curve = [first, *others]
        pairs.append((length, sum(curve[:: length - 1]) / 2 - curve[length // 2]))
    return dict(pairs)
