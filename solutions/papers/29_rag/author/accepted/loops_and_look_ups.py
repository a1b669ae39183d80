"""Document by document and question by question: logaddexp in a loop, a search per
question, answers in lists.
"""


def rag_sequence_log_likelihood(doc_logits, token_log_probs):
    weights = F.log_softmax(doc_logits, dim=-1)
    total = torch.full_like(weights[:, 0], -torch.inf)
    for z in range(weights.size(1)):
        total = torch.logaddexp(total, weights[:, z] + token_log_probs[:, z].sum(-1))
    return total


def rag_sequence_log_likelihood_numpy(doc_logits, token_log_probs):
    result = []
    for scores, tokens in zip(doc_logits, token_log_probs):
        total, norm = -np.inf, -np.inf
        for score, token in zip(scores, tokens):
            total, norm = (
                np.logaddexp(total, score + token.sum()),
                np.logaddexp(norm, score),
            )
        result.append(total - norm)
    return np.array(result)


def rag_token_log_likelihood(doc_logits, token_log_probs):
    return sum(
        rag_sequence_log_likelihood(doc_logits, token_log_probs[:, :, t : t + 1])
        for t in range(token_log_probs.size(2))
    )


class RAG(nn.Module):
    def __init__(self, num_keys, num_values, dim):
        super().__init__()
        self.num_values = num_values
        self.query_encoder, self.document_encoder = (
            nn.Embedding(num_keys, dim) for _ in range(2)
        )
        with torch.no_grad():
            self.query_encoder.weight.normal_(0, 0.1)
            self.document_encoder.weight.normal_(0, 0.1)
        self.value_embedding = nn.Embedding(num_values, dim)
        self.generator = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_values)
        )

    def retrieve(self, queries, keys, top_k):
        assert 0 < top_k <= len(keys), f"{top_k} of {len(keys)} documents"
        rows, documents = [], self.document_encoder(keys)
        for query in self.query_encoder(queries):
            scores = (documents * query).sum(1)
            rows.append(torch.sort(scores, descending=True))
        return torch.stack([row[0][:top_k] for row in rows]), torch.stack(
            [row[1][:top_k] for row in rows]
        )

    def generate_log_probs(self, values):
        logits = self.generator(self.value_embedding(values))
        return logits - logits.logsumexp(-1, keepdim=True)

    def forward(self, queries, keys, values, top_k):
        scores, indices = self.retrieve(queries, keys, top_k)
        return scores, torch.stack(
            [self.generate_log_probs(values[row]) for row in indices]
        )


def train_rag(
    model,
    *,
    steps,
    num_docs,
    num_keys,
    top_k,
    answer_length=2,
    batch_size=32,
    lr=0.02,
    generator=None,
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        keys, values = make_knowledge_base(
            num_docs, num_keys, model.num_values, answer_length, generator
        )
        places = torch.randint(0, num_docs, (batch_size,), generator=generator)
        scores, log_probs = model(
            queries=keys[places], keys=keys, values=values, top_k=top_k
        )
        per_token = [
            log_probs[torch.arange(batch_size), :, t, values[places, t]]
            for t in range(answer_length)
        ]
        (
            -rag_sequence_log_likelihood(scores, torch.stack(per_token, -1)).sum()
            / batch_size
        ).backward()
        with torch.no_grad():
            losses.append(
                -rag_sequence_log_likelihood(scores, torch.stack(per_token, -1))
                .mean()
                .item()
            )
        optimizer.step()
        optimizer.zero_grad()
    return losses


def answer(model, queries, keys, values, top_k):
    result = []
    with torch.no_grad():
        for scores, log_probs in zip(*model(queries, keys, values, top_k)):
            weights = scores.softmax(0)
            votes = sum(weight * said.exp() for weight, said in zip(weights, log_probs))
            result.append([int(position.argmax()) for position in votes])
    return torch.tensor(result)
