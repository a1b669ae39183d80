"""Log-sum-exp by hand, einsum for the marginal, retrieval by sorting, two
normalisations in NumPy.
"""


def _log_sum_exp(x, dim):
    largest = x.amax(dim=dim, keepdim=True).detach()
    return (x - largest).exp().sum(dim=dim).log() + largest.squeeze(dim)


def rag_sequence_log_likelihood(doc_logits, token_log_probs):
    return _log_sum_exp(doc_logits + token_log_probs.sum(-1), 1) - _log_sum_exp(
        doc_logits, 1
    )


def rag_sequence_log_likelihood_numpy(doc_logits, token_log_probs):
    joint = doc_logits + np.einsum("bkt->bk", token_log_probs)
    high, low = joint.max(1), doc_logits.max(1)
    top = np.log(np.exp((joint.T - high).T).sum(1)) + high
    return top - np.log(np.exp((doc_logits.T - low).T).sum(1)) - low


def rag_token_log_likelihood(doc_logits, token_log_probs):
    steps = [_log_sum_exp(doc_logits + step, 1) for step in token_log_probs.unbind(2)]
    return sum(steps) - len(steps) * _log_sum_exp(doc_logits, 1)


class RAG(nn.Module):
    def __init__(self, num_keys, num_values, dim):
        super().__init__()
        layers = [nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_values)]
        self.generator = nn.Sequential(*layers)
        self.value_embedding = nn.Embedding(num_values, dim)
        self.document_encoder = nn.Embedding.from_pretrained(
            0.1 * torch.randn(num_keys, dim), freeze=False
        )
        self.query_encoder = nn.Embedding(num_keys, dim)
        self.query_encoder.weight.data.mul_(0.1)
        self.num_values = num_values

    def retrieve(self, queries, keys, top_k):
        if top_k < 1 or top_k > keys.numel():
            raise ValueError("top_k")
        scores = torch.einsum(
            "bd,nd->bn", self.query_encoder(queries), self.document_encoder(keys)
        )
        indices = scores.argsort(dim=-1, descending=True)[:, :top_k]
        return scores.gather(-1, indices), indices

    def generate_log_probs(self, values):
        per_token = F.log_softmax(self.generator(self.value_embedding.weight), dim=1)
        return per_token[values]

    def forward(self, queries, keys, values, top_k):
        doc_logits, indices = self.retrieve(queries, keys, top_k)
        return doc_logits, self.generate_log_probs(values)[indices]


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
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    losses = []
    while len(losses) < steps:
        keys, values = make_knowledge_base(
            num_docs, num_keys, model.num_values, answer_length, generator
        )
        asked = torch.multinomial(
            torch.ones(num_docs), batch_size, replacement=True, generator=generator
        )
        doc_logits, log_probs = model(keys[asked], keys, values, top_k)
        token_log_probs = torch.einsum(
            "bktv,btv->bkt",
            log_probs,
            F.one_hot(values[asked], model.num_values).float(),
        )
        loss = rag_sequence_log_likelihood(doc_logits, token_log_probs).mean().neg()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters)
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(float(loss))
    return losses


def answer(model, queries, keys, values, top_k):
    with torch.inference_mode():
        doc_logits, log_probs = model(queries, keys, values, top_k)
        return torch.einsum(
            "bk,bktv->btv", doc_logits.softmax(-1), log_probs.exp()
        ).argmax(-1)
