"""Message passing on graphs: sum over neighbours, update by a GRU, read out by a sum
over nodes.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Graph = tuple[Tensor, Tensor, Tensor]


def random_molecule(
    num_nodes: int,
    num_atom_types: int,
    num_edge_types: int,
    extra_edges: int,
    generator: torch.Generator | None = None,
) -> Graph:
    """Draw a connected molecule: a random tree of bonds, and up to `extra_edges` more
    where there is room.

    x is one-hot, (num_nodes, num_atom_types). Every bond is in edge_index twice, once
    in each direction.
    """
    tree = [
        (int(torch.randint(v, (), generator=generator)), v) for v in range(1, num_nodes)
    ]
    others = [(u, v) for v in range(num_nodes) for u in range(v) if (u, v) not in tree]
    chosen = torch.randperm(len(others), generator=generator)[:extra_edges].tolist()
    bonds = (
        torch.tensor(tree + [others[i] for i in chosen], dtype=torch.int64)
        .reshape(-1, 2)
        .T
    )
    kinds = torch.randint(num_edge_types, (bonds.shape[1],), generator=generator)
    atoms = torch.randint(num_atom_types, (num_nodes,), generator=generator)
    x = F.one_hot(atoms, num_atom_types).float()
    return x, torch.cat([bonds, bonds.flip(0)], dim=1), torch.cat([kinds, kinds])


def energy_table(
    num_atom_types: int, num_edge_types: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw the energy of every kind of bond: (edge types, atom types, atom
    types), symmetric.

    Every row sums to zero: no atom makes bonds cheap or dear as such, so the atoms
    alone tell nothing.
    """
    drawn = torch.randn(
        num_edge_types, num_atom_types, num_atom_types, generator=generator
    )
    table = drawn + drawn.mT
    return (
        table
        - table.mean(dim=1, keepdim=True)
        - table.mean(dim=2, keepdim=True)
        + table.mean((1, 2), keepdim=True)
    )


def bond_energy(
    x: Tensor, edge_index: Tensor, edge_type: Tensor, table: Tensor
) -> Tensor:
    """Sum table[type, atom, atom] over all bonds: half of the sum over
    directed edges.
    """
    atoms = x.argmax(dim=1)
    return table[edge_type, atoms[edge_index[0]], atoms[edge_index[1]]].sum() / 2


def message_passing_numpy(
    h: np.ndarray, edge_index: np.ndarray, edge_type: np.ndarray, A: np.ndarray
) -> np.ndarray:
    """m_v = sum of A[type] @ h_u over the edges u -> v."""
    messages = np.zeros_like(h)
    for (u, v), r in zip(edge_index.T, edge_type):
        messages[v] += A[r] @ h[u]
    return messages


class MPNNLayer(nn.Module):
    """One step of message passing."""

    def __init__(self, hidden: int, num_edge_types: int):
        super().__init__()
        self.A = nn.Parameter(torch.randn(num_edge_types, hidden, hidden) / hidden**0.5)
        self.update = nn.GRUCell(hidden, hidden)

    def messages(self, h: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        source, target = edge_index
        per_edge = torch.einsum("eij,ej->ei", self.A[edge_type], h[source])
        return torch.zeros_like(h).index_add(0, target, per_edge)

    def forward(self, h: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        return self.update(self.messages(h, edge_index, edge_type), h)


class MPNN(nn.Module):
    """Embed the atoms, pass messages, sum the readouts of each graph's nodes."""

    def __init__(
        self,
        in_features: int,
        hidden: int,
        num_edge_types: int,
        out_features: int,
        steps: int = 3,
    ):
        super().__init__()
        self.embed = nn.Linear(in_features, hidden)
        self.layer = MPNNLayer(hidden, num_edge_types)
        self.readout = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_features)
        )
        self.steps = steps

    def node_states(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        h = self.embed(x)
        for _ in range(self.steps):
            h = self.layer(h, edge_index, edge_type)
        return h

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, batch: Tensor
    ) -> Tensor:
        outputs = self.readout(self.node_states(x, edge_index, edge_type))
        sums = torch.zeros(int(batch.max()) + 1, outputs.shape[1])
        return sums.index_add(0, batch, outputs)


def batch_graphs(graphs: list[Graph]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join graphs into one disconnected graph."""
    edges, batch, offset = [], [], 0
    for i, (x, edge_index, _) in enumerate(graphs):
        edges.append(edge_index + offset)
        batch.append(torch.full((len(x),), i))
        offset += len(x)
    x = torch.cat([graph[0] for graph in graphs])
    edge_type = torch.cat([graph[2] for graph in graphs])
    return x, torch.cat(edges, dim=1), edge_type, torch.cat(batch)


def permute_graph(
    x: Tensor, edge_index: Tensor, edge_type: Tensor, perm: Tensor
) -> Graph:
    """New node i is old node perm[i]."""
    new_number = torch.argsort(perm)
    return x[perm], new_number[edge_index], edge_type


def train_mpnn(
    model: nn.Module,
    graphs: list[Graph],
    targets: Tensor,
    *,
    steps: int = 200,
    batch: int = 32,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Draw graphs, join them, and fit their targets."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        drawn = torch.randint(len(graphs), (batch,), generator=generator)
        outputs = model(*batch_graphs([graphs[i] for i in drawn]))
        loss = F.mse_loss(outputs[:, 0], targets[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def aggregate(
    messages: Tensor, index: Tensor, num_nodes: int, how: str = "sum"
) -> Tensor:
    """Sum, mean or max over the messages of each node."""
    start = torch.zeros(num_nodes, messages.shape[1])
    if how == "max":
        index = index[:, None].expand_as(messages)
        return start.scatter_reduce(0, index, messages, "amax", include_self=False)
    sums = start.index_add(0, index, messages)
    if how == "mean":
        counts = torch.bincount(index, minlength=num_nodes).clamp(min=1)
        return sums / counts[:, None]
    return sums
