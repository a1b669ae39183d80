"""Dense adjacency matrices, pooling by a one-hot product, numbers by comparison, Adam
by torch.autograd.grad.
"""


def message_passing_numpy(h, edge_index, edge_type, A):
    adjacency = np.zeros((len(A), len(h), len(h)))
    for (u, v), r in zip(edge_index.T, edge_type):
        adjacency[r, v, u] += 1
    return (adjacency @ h @ A.transpose(0, 2, 1)).sum(0)


class MPNNLayer(nn.Module):
    def __init__(self, hidden, num_edge_types):
        super().__init__()
        self.A = nn.Parameter(
            torch.empty(num_edge_types, hidden, hidden).normal_(std=hidden**-0.5)
        )
        self.update = nn.GRUCell(hidden, hidden)

    def messages(self, h, edge_index, edge_type):
        adjacency = h.new_zeros(len(self.A), len(h), len(h))
        one = h.new_ones(edge_index.shape[1])
        adjacency.index_put_(
            (edge_type, edge_index[1], edge_index[0]), one, accumulate=True
        )
        return (adjacency @ torch.einsum("rij,uj->rui", self.A, h)).sum(dim=0)

    def forward(self, h, edge_index, edge_type):
        return self.update(input=self.messages(h, edge_index, edge_type), hx=h)


class MPNN(nn.Module):
    def __init__(self, in_features, hidden, num_edge_types, out_features, steps=3):
        super().__init__()
        self.T = steps
        self.readout = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_features)
        )
        self.layer = MPNNLayer(hidden, num_edge_types)
        self.embed = nn.Linear(in_features, hidden)

    def node_states(self, x, edge_index, edge_type):
        states = [self.embed(x)]
        while len(states) <= self.T:
            states.append(self.layer(states[-1], edge_index, edge_type))
        return states[-1]

    def forward(self, x, edge_index, edge_type, batch):
        rows = self.readout(self.node_states(x, edge_index, edge_type))
        return F.one_hot(batch).to(rows.dtype).T @ rows


def batch_graphs(graphs):
    xs, ends, kinds, numbers = [], [], [], []
    count = 0
    for g, (x, edge_index, edge_type) in enumerate(graphs):
        xs.append(x)
        ends.append(edge_index.add(count))
        kinds.append(edge_type)
        numbers += [g] * x.size(0)
        count = count + x.size(0)
    return (
        torch.vstack(xs),
        torch.hstack(ends),
        torch.hstack(kinds),
        torch.tensor(numbers),
    )


def permute_graph(x, edge_index, edge_type, perm):
    same = edge_index[:, :, None] == perm
    return x.index_select(0, perm), same.int().argmax(dim=2), edge_type.clone()


def train_mpnn(model, graphs, targets, *, steps=200, batch=32, lr=0.01, generator=None):
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr)
    losses = []
    while len(losses) < steps:
        drawn = torch.randperm(len(graphs), generator=generator)[:batch]
        outputs = model(*batch_graphs([graphs[int(i)] for i in drawn]))
        loss = (outputs[:, 0] - targets[drawn]).square().mean()
        for p, g in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True)
        ):
            p.grad = g
        optimizer.step()
        losses.append(float(loss))
    return losses


def aggregate(messages, index, num_nodes, how="sum"):
    if how not in ("sum", "mean", "max"):
        raise KeyError(how)
    rows = []
    for v in range(num_nodes):
        mine = messages[index == v]
        if len(mine) == 0:
            rows.append(messages.new_zeros(messages.shape[1]))
        else:
            rows.append(mine.amax(0) if how == "max" else getattr(mine, how)(dim=0))
    return torch.stack(rows)
