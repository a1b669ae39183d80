"""Masked means of embeddings, logsumexp minus the diagonal, argsort and searchsorted,
and word counts by bincount.
"""


class DualEncoder(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.question_encoder = nn.Embedding(num_tokens, dim, padding_idx=0)
        self.passage_encoder = nn.Embedding(num_tokens, dim, padding_idx=0)

    def mean(self, table, ids):
        real = (ids != 0).unsqueeze(-1)
        return (table(ids) * real).sum(1) / real.sum(1).clamp(min=1)

    def encode_questions(self, ids):
        return self.mean(self.question_encoder, ids)

    def encode_passages(self, ids):
        return self.mean(self.passage_encoder, ids)

    def forward(self, questions, passages):
        return torch.einsum(
            "qd,pd->qp",
            self.encode_questions(questions),
            self.encode_passages(passages),
        )


def in_batch_loss(q, p, hard=None):
    scores = q @ p.t()
    right = scores.diagonal()
    if hard is not None:
        scores = torch.hstack([scores, q @ hard.t()])
    return (scores.logsumexp(dim=1) - right).mean()


def in_batch_loss_numpy(q, p):
    total = np.logaddexp.reduce(q @ p.T, axis=1)
    return np.mean(total - np.einsum("bd,bd->b", q, p))


def search(query_vectors, passage_vectors, k):
    if k < 1 or k > passage_vectors.size(0):
        raise ValueError("k must be between 1 and the number of passages")
    scores = torch.mm(query_vectors, passage_vectors.transpose(0, 1))
    indices = scores.argsort(dim=1, descending=True)[:, :k]
    return torch.take_along_dim(scores, indices, dim=1), indices


def recall_at_k(scores, gold, ks=(1, 5, 20)):
    ordered = scores.sort(dim=1).values
    own = scores[torch.arange(len(gold)), gold].unsqueeze(1)
    # the place of the first that is as large
    rank = scores.shape[1] - torch.searchsorted(ordered, own).squeeze(1)
    return {k: float((rank <= k).double().mean()) for k in ks}


def bm25_scores(questions, passages, k1=1.5, b=0.75):
    size = int(torch.cat([questions.flatten(), passages.flatten()]).max()) + 1
    rows = torch.arange(len(passages)).repeat_interleave(passages.shape[1])
    counts = torch.bincount(
        rows * size + passages.flatten(), minlength=len(passages) * size
    ).view(-1, size)
    counts[:, 0] = 0
    lengths = (passages != 0).sum(1).double()
    norm = 1 - b + b * lengths / lengths.mean()
    df = counts.gt(0).sum(0)
    idf = torch.log1p((len(passages) - df + 0.5) / (df + 0.5))
    part = (counts * idf * (k1 + 1) / (counts + k1 * norm[:, None])).nan_to_num(0.0)
    return part[:, questions].sum(-1).T


def mean_reciprocal_rank(scores, gold):
    rank = scores.ge(torch.take_along_dim(scores, gold.unsqueeze(1), 1)).sum(1)
    return rank.double().reciprocal().mean().item()
