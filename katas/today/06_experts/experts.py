"""A mixture of experts: many feed-forward nets, of which each token uses only k.

Sizes: N tokens in a flat batch, C features, E experts, k of them per token. A choice is
one of the N·k pairs of a token and one of its experts. Choice c of token t has the flat
index t·k + c.
"""

from torch import Tensor, nn


def route_topk(
    logits: Tensor, k: int, renormalise: bool = True
) -> tuple[Tensor, Tensor]:
    """Choose the k most probable experts of every token.

    Args:
        logits: (N, E), the router's scores.
        k: from 1 to E.
        renormalise: whether the k weights of a token are divided by their sum.
    Returns:
        (weights, experts), each (N, k), the best first; experts are longs.

        The weights are probabilities: those of a softmax over all E experts.
        Probabilities of 0.5, 0.3 and 0.2 with k = 2 give the experts 0 and 1, with the
        weights 0.625 and 0.375, or 0.5 and 0.3 without `renormalise`.

    Edge cases ★
        A k below 1 or above E is an error that names both numbers.
    """
    raise NotImplementedError


def balance_loss(probs: Tensor, experts: Tensor) -> Tensor:
    """Charge for a router that sends most tokens to few experts.

    Args:
        probs: (N, E), the router's probabilities.
        experts: (N, k), the chosen experts, longs.
    Returns:
        A scalar: E · Σ f_i · P_i over all experts i.

        - f_i: the share of the N·k choices that went to expert i. No gradient flows
          through it.
        - P_i: the mean probability of expert i over all tokens.

    When everything is uniform, the loss is 1. When all tokens go to one expert with
    probability 1 and k = 1, it is E. The coefficient in front is the caller's (Fedus et
    al. 2021: 0.01).
    """
    raise NotImplementedError


def dispatch(
    x: Tensor, experts: Tensor, n_experts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sort tokens by expert, so that each expert finds its own in one slice.

    Args:
        x: (N, C) tokens.
        experts: (N, k), the chosen experts, longs.
        n_experts: E.
    Returns:
        (rows, order, counts).

        - rows (N·k, C): the token of each choice, sorted by expert. Choices of one
          expert stay in the order of their flat indices.
        - order (N·k,), longs: the flat index t·k + c of the choice in each row.
        - counts (E,), longs: how many rows each expert has, 0 for an expert that
          nobody chose.

    Two tokens a and b with experts [[1, 0], [2, 1]] and E = 4 give the rows a, a, b, b,
    the order [1, 0, 3, 2] and the counts [1, 2, 1, 0].

    Edge cases ★
        A number in `experts` that is not below E is an error that names it.
    """
    raise NotImplementedError


def combine(rows: Tensor, order: Tensor, weights: Tensor) -> Tensor:
    """Add up what the experts made of each token, each result times its weight.

    Args:
        rows: (N·k, C), the experts' results, in the order in which `dispatch` sorted
            the choices.
        order: (N·k,), as `dispatch` returns it.
        weights: (N, k), the weight of choice c of token t at [t, c].
    Returns:
        (N, C): token t has the sum of weight · row over its k choices.

    Edge cases ★
        The result has the dtype of rows, also if weights have another, as
        under autocast.
    """
    raise NotImplementedError


def drop_over_capacity(
    experts: Tensor, n_experts: int, capacity_factor: float
) -> Tensor:
    """Decide which choices an expert with limited room takes.

    Args:
        experts: (N, k), the chosen experts, longs, the best first.
        n_experts: E.
        capacity_factor: 1 gives every expert room for an equal share.
    Returns:
        (N, k), bool: True where the choice is kept.

        - Capacity: each expert keeps at most max(1, ⌈capacity_factor · N · k /
          E⌉) choices.
        - Order: the first choices of all tokens come first, in the order of tokens.
          Then all second choices, and so on.

    Five tokens that choose the experts 0, 0, 0, 0, 1 with k = 1, E = 2 and a factor of
    1 have room for 3 per expert: the fourth token is dropped.
    """
    raise NotImplementedError


class MoE(nn.Module):
    """Replace the feed-forward net of a block by E of them, of which every token
    uses k.
    """

    def __init__(
        self,
        n_embd: int,
        n_hidden: int,
        n_experts: int,
        k: int,
        capacity_factor: float | None = None,
    ):
        """Make the router and the experts.

        Args:
            n_embd: C.
            n_hidden: the width inside an expert.
            n_experts: E.
            k: experts per token.
            capacity_factor: that of `drop_over_capacity`. None: nothing is dropped.

        - router: nn.Linear from C to E, without bias.
        - experts: nn.ModuleList of E times nn.Sequential(nn.Linear, nn.ReLU,
          nn.Linear), C → n_hidden → C, with biases.

        Edge cases ★
            A k below 1 or above E is an error that names both numbers.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Send each token to its k experts, and add up their weighted results.

        Args:
            x: (B, T, C).
        Returns:
            (y, probs).

            - y (B, T, C): the weighted sum per token, with weights as `route_topk`
              gives them, renormalised only if k > 1. With one expert, the renormalised
              weight would be 1 whatever the router says.
            - probs (B·T, E): the router's softmax over all experts, for `balance_loss`.

        Each expert is called at most once, with a tensor of its own tokens. With a
        capacity_factor, choices that `drop_over_capacity` does not keep add 0, and the
        other weights stay as they are.

        Edge cases ★
            An expert without tokens is not called at all.
        """
        raise NotImplementedError
