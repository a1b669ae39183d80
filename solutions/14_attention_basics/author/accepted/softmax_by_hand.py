"""The softmax written out with exp and sum, `torch.where` keeping hidden numbers out of
both; a loop over queries.
"""


def masked_softmax(scores, mask=None, dim=-1):
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    elif mask.dtype != torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}, it must be torch.bool")
    mask = mask.expand_as(scores)
    lowest = torch.finfo(scores.dtype).min
    largest = torch.where(mask, scores, lowest).amax(dim=dim, keepdim=True).detach()
    powers = torch.where(mask, torch.where(mask, scores - largest, 0.0).exp(), 0.0)
    total = powers.sum(dim=dim, keepdim=True)
    return powers / torch.where(total == 0, torch.ones_like(total), total)


class AdditiveAttention(nn.Module):
    def __init__(self, query_dim, key_dim, hidden_dim):
        super().__init__()
        self.v = nn.Linear(hidden_dim, 1, bias=False)
        self.W_k = nn.Linear(key_dim, hidden_dim, bias=False)
        self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter)

    def score(self, query, keys):
        projected = self.W_k(keys)
        columns = [
            self.v(torch.tanh(self.W_q(query[:, t : t + 1]) + projected))
            for t in range(query.shape[1])
        ]
        return torch.cat(columns, dim=2).transpose(1, 2)

    def forward(self, query, keys, values=None, mask=None):
        if values is None:
            values = keys
        if query.ndim == 3:
            return attend(self.score(query, keys), values, mask)
        weights = masked_softmax(self.score(query.unsqueeze(1), keys).squeeze(1), mask)
        return (weights.unsqueeze(-1) * values).sum(dim=1), weights
