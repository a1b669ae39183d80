"""One matrix product per edge type, sums through one-hot rows, graphs joined one by
one, batches drawn in advance.
"""


def message_passing_numpy(h, edge_index, edge_type, A):
    messages = np.zeros(h.shape)
    for (source, target), kind in zip(edge_index.T, edge_type):
        messages[target] += A[kind] @ h[source]
    return messages


class MPNNLayer(MPNNLayer):
    def messages(self, h, edge_index, edge_type):
        total = torch.zeros_like(h)
        for kind, matrix in enumerate(self.A):
            source, target = edge_index[:, edge_type == kind]
            arrives = F.one_hot(target, len(h)).to(h.dtype)  # (edges of this kind, N)
            total = total + arrives.T @ (h[source] @ matrix.T)
        return total


class MPNN(MPNN):
    def forward(self, x, edge_index, edge_type, batch):
        states = self.node_states(x, edge_index, edge_type)
        return torch.stack(
            [
                self.readout(states[batch == g]).sum(dim=0)
                for g in range(int(batch.max()) + 1)
            ]
        )


def batch_graphs(graphs):
    x, edge_index, edge_type = graphs[0]
    batch = torch.zeros(len(x), dtype=torch.int64)
    for number, (more, edges, types) in enumerate(graphs[1:], start=1):
        edge_index = torch.cat([edge_index, edges + len(x)], dim=1)
        edge_type = torch.cat([edge_type, types])
        x = torch.cat([x, more])
        batch = torch.cat([batch, batch.new_full((len(more),), number)])
    return x, edge_index, edge_type, batch


def permute_graph(x, edge_index, edge_type, perm):
    return x.index_select(0, perm), torch.argsort(perm)[edge_index], edge_type


def train_mpnn(model, graphs, targets, *, steps=200, batch=32, lr=0.01, generator=None):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    for drawn in torch.randint(len(graphs), (steps, batch), generator=generator):
        joined = batch_graphs([graphs[i] for i in drawn])
        loss = (model(*joined)[:, 0] - targets[drawn]).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def aggregate(messages, index, num_nodes, how="sum"):
    if how not in ("sum", "mean", "max"):
        raise ValueError(f"how is {how}")
    rows = []
    for node in range(num_nodes):
        own = messages[index == node]
        if len(own) == 0:
            rows.append(messages.new_zeros(messages.shape[1]))
        else:
            rows.append(
                {"sum": own.sum(0), "mean": own.mean(0), "max": own.amax(0)}[how]
            )
    return torch.stack(rows)
