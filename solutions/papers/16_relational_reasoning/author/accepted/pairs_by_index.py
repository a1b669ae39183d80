"""Pairs by an index list, one flat call of g; answers by products; g split into parts;
two passes per step.
"""


def make_questions(objects, relational, generator=None):
    n = objects.shape[1]
    keys = torch.rand(len(objects), n, generator=generator)
    asked = (keys == keys.amax(dim=1, keepdim=True)).to(objects.dtype)
    flag = (
        torch.ones_like(asked[:, :1]) if relational else -torch.ones_like(asked[:, :1])
    )
    row = torch.einsum("bnc,bc->bn", objects[:, :, :n], asked)
    shape = torch.einsum("bn,bn->b", row, objects[:, :, n])
    if relational:
        x = torch.einsum("bn,bn->b", row, objects[:, :, n + 1])
        far = torch.ge((objects[:, :, n + 1] - x[:, None]).abs(), 0.5)
        answers = n - 1 - far.sum(dim=1)
    else:
        answers = torch.div(shape + 1, 2).long()
    return torch.hstack([asked, flag]), answers


def relation_sum(g, objects, question):
    batch, n, size = objects.shape
    i, j = torch.cartesian_prod(torch.arange(n), torch.arange(n)).T
    pairs = torch.cat(
        [
            objects[:, i],
            objects[:, j],
            question.repeat_interleave(n * n, 0).view(batch, n * n, -1),
        ],
        2,
    )
    return g(pairs.flatten(0, 1)).unflatten(0, (batch, n * n)).sum(1)


def relation_sum_numpy(objects, question, weight, bias):
    n, d = objects.shape[1:]
    result = np.zeros((len(objects), len(bias)))
    for b, (scene, asked) in enumerate(zip(objects, question)):
        for one in scene:
            for other in scene:
                z = np.r_[one, other, asked]
                result[b] += np.where(weight @ z + bias > 0, weight @ z + bias, 0)
    return result


class RelationNetwork(nn.Module):
    def __init__(self, object_size, question_size, hidden_size, num_answers):
        super().__init__()
        self.f = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_answers),
        )
        first = nn.Linear(question_size + object_size + object_size, hidden_size)
        self.g = nn.Sequential(
            first, nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )

    def forward(self, objects, question):
        n, d = objects.shape[1:]
        first, *rest = self.g
        one, other, asked = first.weight.split([d, d, question.shape[1]], dim=1)
        z = (objects @ one.T).unsqueeze(2) + (objects @ other.T).unsqueeze(1)
        z = z + (F.linear(question, asked, first.bias))[:, None, None]
        for layer in rest:
            z = layer(z)
        return self.f(z.sum(2).sum(1))


def train_model(model, *, steps, num_objects=5, batch_size=64, lr=5e-3, generator=None):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = 0.0
        for relational in (True, False):
            objects = make_scenes(batch_size // 2, num_objects, generator)
            questions, answers = make_questions(objects, relational, generator)
            half = F.cross_entropy(model(objects, questions), answers) / 2
            half.backward()
            loss += half.item()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss)
    return losses
