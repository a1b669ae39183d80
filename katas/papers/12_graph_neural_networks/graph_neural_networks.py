"""Message passing on graphs: nodes sum messages from their neighbours, update their
states, and are summed at the end.

After Gilmer et al., "Neural Message Passing for Quantum Chemistry" (2017). Sizes: N
nodes, E directed edges, R edge types, D hidden features, G graphs. A graph is a tuple
(x, edge_index, edge_type): x (N, A) has one row per node; edge_index (2, E) int64 has
the sources of the edges in row 0 and their targets in row 1; edge_type (E,) int64.
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
    """Sum the messages that arrive at each node, in NumPy.

    Args:
        h: (N, D), the states of the nodes.
        edge_index, edge_type: (2, E) and (E,), E edges u → v.
        A: (R, D, D), one matrix per edge type.
    Returns:
        (N, D): row v is the sum of A[type] @ h[u] over the edges u → v. Without any, it
        is zeros.

    With A = [[[10]]] and h = [[1], [2], [3]], the edges 0 → 2 and 1 → 2 give
    [[0], [0], [30]].

    Edge cases ★
        A graph without edges, (2, 0) and (0,), gives zeros.
    """
    raise NotImplementedError


class MPNNLayer(nn.Module):
    """One step of message passing (equations 1 and 2).

    Args:
        hidden: D.
        num_edge_types: R.
    Attributes:
        A: a parameter (R, D, D), drawn from a normal distribution with standard
            deviation 1/√D.
        update: an `nn.GRUCell(D, D)`. There are no other parameters.

    `messages(h, edge_index, edge_type)` takes states h (N, D), and returns (N, D): row
    v is the sum of A[type] @ h[u] over the edges u → v.
    `forward(h, edge_index, edge_type)` returns the new states (N, D): `update` takes
    the messages as its input and h as its state.

    - Two edges u → v are two messages.
    - Edges have one direction: u → v tells v of u, not u of v.
    - A node without incoming edges has the message zeros.

    Edge cases ★
        A graph without edges, (2, 0) and (0,), has zeros as messages. A float64 layer
        computes in float64.
    """

    def __init__(self, hidden: int, num_edge_types: int):
        raise NotImplementedError

    def messages(self, h: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, h: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        raise NotImplementedError


class MPNN(nn.Module):
    """A message passing network: one output row per graph, however its nodes are
    numbered (section 2).

    Args:
        in_features, hidden, num_edge_types, out_features: A, D, R and the size of an
            output row.
        steps: T, the number of message passing steps, 0 or more.
    Attributes:
        embed: an `nn.Linear` from A to D.
        layer: one `MPNNLayer`, used T times.
        readout: an `nn.Sequential` of Linear (D to D), ReLU, and Linear (D
            to out_features).

    `node_states(x, edge_index, edge_type)` embeds x and runs the T steps: (N, D).
    `forward(x, edge_index, edge_type, batch)` returns (G, out_features). Row g is the
    sum of `readout(state)` over the nodes of graph g (equation 3).

    - batch (N,) int64 has the graph's number of each node, in any order. G is
      batch.max() + 1.

    Edge cases ★
        A graph may be a single node. A float64 model computes in float64.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        num_edge_types: int,
        out_features: int,
        steps: int = 3,
    ):
        raise NotImplementedError

    def node_states(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, batch: Tensor
    ) -> Tensor:
        raise NotImplementedError


def batch_graphs(graphs: list[Graph]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join graphs into one graph of parts that no edge connects.

    Args:
        graphs: tuples (x, edge_index, edge_type).
    Returns:
        (x, edge_index, edge_type, batch). Nodes and edges keep their order, graph after
        graph. Node numbers are shifted by the number of nodes before the graph. batch
        (N,) int64 has the graph's number of each node.

    Graphs of 3 and 2 nodes, with the edges 0 → 2 and 1 → 0: edge_index is
    [[0, 4], [2, 3]] and batch [0, 0, 0, 1, 1]. The tensors in `graphs` do not change.

    Edge cases ★
        Graphs without edges, (2, 0) and (0,), are fine. An empty list is an error.
    """
    raise NotImplementedError


def permute_graph(
    x: Tensor, edge_index: Tensor, edge_type: Tensor, perm: Tensor
) -> Graph:
    """Give the nodes of a graph new numbers: the same graph, in other words.

    Args:
        perm: (N,) int64, a permutation of the node numbers.
    Returns:
        (x, edge_index, edge_type) in which the new node i is the old node perm[i]. The
        edges are the same ones, in the same order, under the new numbers.

    With perm = [2, 0, 1], the old node 2 is number 0 now, so the edge 2 → 1
    becomes 0 → 2.

    Edge cases ★
        The tensors that come in do not change.
    """
    raise NotImplementedError


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
    """Train a model to predict one number per graph.

    Args:
        model: called as an `MPNN` is, with what `batch_graphs` returns.
        targets: (len(graphs),).
        steps: updates by Adam with learning rate `lr`, each on `batch` graphs drawn
            through `generator`.
    Returns:
        One float per step, the loss before its update: the mean squared error of output
        column 0.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError


def aggregate(
    messages: Tensor, index: Tensor, num_nodes: int, how: str = "sum"
) -> Tensor:
    """Combine the messages that each node receives, in one of three ways.

    Args:
        messages: (E, D), one row per edge.
        index: (E,) int64, the node that receives each message.
        num_nodes: N.
        how: "sum", "mean" or "max", each per feature.
    Returns:
        (N, D). A node without messages gets zeros.

    Messages [[1], [5], [−3]] for the nodes 0, 0 and 2 of 3: the sum is
    [[6], [0], [−3]], the mean [[3], [0], [−3]], the maximum [[5], [0], [−3]].

    Edge cases ★
        There may be no messages at all. float64 messages give a float64 result. Any
        other `how` is an error that names it.
    """
    raise NotImplementedError
