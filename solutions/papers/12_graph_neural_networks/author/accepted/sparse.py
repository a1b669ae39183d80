"""One pass per edge type: sparse products for messages, scatter_add and scatter_reduce
for aggregate.
"""


def message_passing_numpy(h, edge_index, edge_type, A):
    result = np.zeros(h.shape)
    for r in range(len(A)):
        u, v = edge_index[:, edge_type == r]
        incidence = (v == np.arange(len(h))[:, None]).astype(float)
        result += incidence @ (h[u] @ A[r].T)
    return result


class MPNNLayer(nn.Module):
    def __init__(self, hidden, num_edge_types):
        super().__init__()
        self.A = nn.Parameter(
            torch.randn(num_edge_types, hidden, hidden).mul(1 / np.sqrt(hidden))
        )
        self.update = nn.GRUCell(hidden, hidden)

    def messages(self, h, edge_index, edge_type):
        total = torch.zeros_like(h)
        for r, matrix in enumerate(self.A):
            mine = edge_index[:, edge_type == r].flip(0)
            ones = torch.ones(mine.shape[1], dtype=h.dtype)
            adjacency = torch.sparse_coo_tensor(
                mine, ones, (len(h), len(h)), check_invariants=False
            )
            total = total + torch.sparse.mm(adjacency, F.linear(h, matrix))
        return total

    def forward(self, h, edge_index, edge_type):
        return self.update(self.messages(h, edge_index, edge_type), h)


class MPNN(nn.Module):
    def __init__(self, in_features, hidden, num_edge_types, out_features, steps=3):
        nn.Module.__init__(self)
        self.embed = nn.Linear(in_features, hidden)
        self.layer = MPNNLayer(hidden, num_edge_types)
        self.readout = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_features)
        )
        self.steps = range(steps)

    def node_states(self, x, edge_index, edge_type):
        h = self.embed(x)
        for _ in self.steps:
            h = self.layer(h, edge_index, edge_type)
        return h

    def forward(self, x, edge_index, edge_type, batch):
        rows = self.readout(self.node_states(x, edge_index, edge_type))
        return torch.stack(
            [rows[batch == g].sum(dim=0) for g in range(int(batch.max()) + 1)]
        )


def batch_graphs(graphs):
    assert len(graphs) > 0, "no graphs"
    x, edge_index, edge_type = graphs[0]
    batch = torch.zeros(len(x), dtype=torch.long)
    for more_x, more_edges, more_types in graphs[1:]:
        edge_index = torch.cat([edge_index, more_edges + len(x)], 1)
        batch = torch.cat([batch, torch.full((len(more_x),), int(batch[-1]) + 1)])
        x, edge_type = torch.cat([x, more_x]), torch.cat([edge_type, more_types])
    return x, edge_index, edge_type, batch


def permute_graph(x, edge_index, edge_type, perm):
    number = {old: new for new, old in enumerate(perm.tolist())}
    ends = torch.tensor(
        [[number[node] for node in row] for row in edge_index.tolist()],
        dtype=torch.int64,
    )
    return x[perm], ends, edge_type


def train_mpnn(model, graphs, targets, *, steps=200, batch=32, lr=0.01, generator=None):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = nn.MSELoss()
    losses = []
    for _ in range(steps):
        model.zero_grad()
        chances = torch.ones(len(graphs))
        rows = torch.multinomial(
            chances, batch, replacement=True, generator=generator
        ).tolist()
        x, edge_index, edge_type, numbers = batch_graphs([graphs[i] for i in rows])
        predicted = model(x, edge_index, edge_type, numbers).select(1, 0)
        loss = criterion(predicted, targets[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def aggregate(messages, index, num_nodes, how="sum"):
    places = index.unsqueeze(1).expand(-1, messages.size(1))
    zeros = torch.zeros(num_nodes, messages.size(1), dtype=messages.dtype)
    if how == "sum":
        return zeros.scatter_add(0, places, messages)
    if how == "mean":
        return zeros.scatter_reduce(
            0, places, messages, reduce="mean", include_self=False
        )
    if how == "max":
        low = torch.full_like(zeros, -torch.inf).scatter_reduce(
            0, places, messages, reduce="amax"
        )
        return torch.where(torch.isinf(low), zeros, low)
    raise ValueError(f"no aggregation named {how}")
