"""Questions on messages in graphs, with several edges between two nodes."""

import torch

from grader.lock.probes import fill, judge, probe


def a_graph(rng, nodes=5, edges=12, features=3):
    """Numbers of the nodes, edges of which some occur twice, and their types."""
    edge_index = torch.randint(nodes, (2, edges), generator=rng)
    edge_index[:, 1] = edge_index[:, 0]
    types = torch.randint(2, (edges,), generator=rng)
    return torch.randn(nodes, features, generator=rng), edge_index, types


@probe("message_passing_numpy")
def _(kata, rng):
    graph = [part.numpy() for part in a_graph(rng)]
    A = torch.randn(2, 3, 3, generator=rng).double().numpy()
    return kata.message_passing_numpy(graph[0].astype(float), *graph[1:], A)


@probe("MPNNLayer")
def _(kata, rng):
    drawn = kata.MPNNLayer(60, 3).A.detach()
    layer, graph = kata.MPNNLayer(3, 2), a_graph(rng)
    fill(layer, rng)
    out = layer(*graph)
    grads = torch.autograd.grad(out.pow(2).sum(), layer.A)
    return [drawn, layer.messages(*graph).detach(), out.detach(), grads]


@judge("MPNNLayer")
def _(values, expected):
    drawn, *found = values
    return [found, abs(drawn.std() * 60**0.5 - 1) < 0.05, abs(drawn.mean()) < 0.01]


def a_model(kata, rng, steps=2):
    model = kata.MPNN(3, 4, 2, 2, steps)
    fill(model, rng)
    return model


@probe("MPNN")
def _(kata, rng):
    model, graph = a_model(kata, rng, 2 + len(a_graph(rng)[0]) % 2), a_graph(rng)
    names = sorted((name, tuple(p.shape)) for name, p in model.named_parameters())
    batch = torch.tensor([0, 0, 1, 1, 1])
    return [names, model.node_states(*graph).detach(), model(*graph, batch).detach()]


@probe("batch_graphs")
def _(kata, rng):
    sizes = torch.randint(2, 6, (3, 2), generator=rng).tolist()
    graphs = [a_graph(rng, nodes, 2 + edges) for nodes, edges in sizes]
    return [kata.batch_graphs(graphs), graphs]


@probe("permute_graph")
def _(kata, rng):
    return kata.permute_graph(*a_graph(rng), torch.randperm(5, generator=rng))


@probe("train_mpnn")
def _(kata, rng):
    """All graphs are alike, so that no draw decides anything."""
    model, graph = a_model(kata, rng), a_graph(rng)
    targets = torch.randn(1, generator=rng).expand(6)
    losses = kata.train_mpnn(model, [graph] * 6, targets, steps=4, batch=3, lr=0.02)
    return [losses, model.embed.weight.detach()]


@probe("aggregate")
def _(kata, rng):
    messages, index = (
        torch.randn(7, 3, generator=rng) - 2,
        torch.randint(4, (7,), generator=rng),
    )
    return [kata.aggregate(messages, index, 6, how) for how in ("sum", "mean", "max")]
