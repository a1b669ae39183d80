"""Multi-token prediction: one trunk, a head for each of the next tokens, and drafts
that the first head checks.

After Gloeckle et al., "Better & Faster Large Language Models via Multi-token
Prediction" (2024). Sizes: B sequences of T tokens, V tokens in the vocabulary, H hidden
units, n heads. Heads are counted from 0: head k predicts the token that comes k + 1
places later.
"""

from collections.abc import Sequence

import numpy as np  # stub: keep
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn


def make_transition_matrix(  # stub: keep
    vocab_size: int,
    concentration: float = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a Markov chain: (V, V), row i holds the chances of each token to follow
    token i.

    Each row is the softmax of `concentration` times standard normals. The larger it is,
    the surer the next token.
    """
    return (
        concentration * torch.randn(vocab_size, vocab_size, generator=generator)
    ).softmax(dim=1)


def sample_sequences(  # stub: keep
    transition: Tensor,
    num: int,
    length: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw sequences of the chain: (num, length) int64. The first token is uniform."""
    tokens = torch.randint(len(transition), (num, 1), generator=generator)
    for _ in range(length - 1):
        following = torch.multinomial(transition[tokens[:, -1]], 1, generator=generator)
        tokens = torch.cat([tokens, following], dim=1)
    return tokens


def greedy_generate(  # stub: keep
    model: "MultiTokenModel", prompt: Tensor, num_new: int
) -> tuple[Tensor, int]:
    """Append the first head's arg max, `num_new` times: the pair (tokens (1,
    T + num_new), number of model calls).
    """
    tokens = prompt
    with torch.no_grad():
        for _ in range(num_new):
            best = model(tokens)[:, -1:, 0].argmax(dim=-1)
            tokens = torch.cat([tokens, best], dim=1)
    return tokens, num_new


class MultiTokenModel(nn.Module):
    """Read tokens once with a shared trunk, and predict the next n tokens from every
    place, each with its own head.

    - `hidden(tokens)` takes (B, T) int64 and returns (B, T, H), the outputs of
      the trunk.
    - `forward(tokens)` returns logits (B, T, n, V): [:, t, k] are head k's logits for
      token t + 1 + k.

    Args:
        vocab_size, hidden_size, num_heads: V, H and n.
    Attributes:
        vocab_size, num_heads: as given.
        embedding: nn.Embedding(V, H).
        trunk: nn.GRU(H, H, batch_first=True).
        heads: nn.ModuleList of n nn.Linear(H, V).

    Edge cases ★
        The layers are created in this order. So under one seed, models with any n start
        with the same embedding, trunk and first head, and can be compared.
    """

    def __init__(self, vocab_size: int, hidden_size: int, num_heads: int):
        super().__init__()
        self.vocab_size, self.num_heads = vocab_size, num_heads
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.trunk = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.heads = nn.ModuleList(
            nn.Linear(hidden_size, vocab_size) for _ in range(num_heads)
        )

    def hidden(self, tokens: Tensor) -> Tensor:
        return self.trunk(self.embedding(tokens))[0]

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.hidden(tokens)
        return torch.stack([head(hidden) for head in self.heads], dim=2)


def multi_token_loss(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Score every head against its own shift of the tokens (section 2).

    Args:
        logits: (B, T, n, V).
        tokens: (B, T) int64, T > n.
    Returns:
        The pair (total (), per_head (n,)). per_head[k] is the mean cross-entropy of
        logits[:, t, k] against tokens[:, t + 1 + k], over the B · (T − 1 − k) positions
        that have such a token; total is the sum of per_head. With T = 5 and n = 3, head
        0 is scored at 4 positions per row, head 2 at 2.

    Edge cases ★
        T ≤ n is a ValueError: the last head would have no target.
    """
    length, num_heads = logits.shape[1:3]
    if length <= num_heads:
        raise ValueError(
            f"{num_heads} heads need more than {num_heads} tokens per row, not {length}"
        )
    losses = []
    for k in range(num_heads):
        scored = length - 1 - k
        losses.append(
            F.cross_entropy(
                logits[:, :scored, k].flatten(0, 1), tokens[:, k + 1 :].flatten()
            )
        )
    per_head = torch.stack(losses)
    return per_head.sum(), per_head


def multi_token_loss_numpy(logits: np.ndarray, tokens: np.ndarray) -> float:
    """Compute the total loss of `multi_token_loss` in NumPy.

    Args:
        logits: (B, T, n, V).
        tokens: (B, T) integers, T > n.
    Returns:
        The sum over the heads of their mean losses.

    Edge cases ★
        Logits far from 0 do not overflow. Results have float64 precision.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    total = 0.0
    for k in range(logits.shape[2]):
        scored = logits.shape[1] - 1 - k
        total -= float(
            np.take_along_axis(
                logp[:, :scored, k], tokens[:, k + 1 :, None], axis=-1
            ).mean()
        )
    return total


def bayes_losses(transition: Tensor, tokens: Tensor, num_heads: int) -> Tensor:
    """Compute the loss that each head would have if it knew the chain: no model of x_t
    can do better.

    Args:
        transition: P (V, V). Row i holds the chances of the token after i, row i of P²
            those of the one after that.
        tokens: (B, T) int64, T > num_heads.
        num_heads: n.
    Returns:
        (n,): entry k is the mean of −log (P^(k+1))[x_t, x_{t+1+k}], over the same
        positions as in `multi_token_loss`.

    Edge cases ★
        The result is float64, computed in float64.
    """
    transition = transition.double()
    power, losses = transition, []
    for k in range(num_heads):
        now, later = tokens[:, : tokens.size(1) - 1 - k], tokens[:, k + 1 :]
        losses.append(-power[now, later].log().mean())
        power = power @ transition
    return torch.stack(losses)


def backward_head_by_head(model: MultiTokenModel, tokens: Tensor) -> float:
    """Backpropagate the total loss with the logits of only one head in memory
    (section 2).

    Args:
        model: gradients are added to the `.grad` of its parameters.
        tokens: (B, T) int64, T > n.
    Returns:
        The total of `multi_token_loss`, as a float.

    - The trunk runs once. Cut its outputs off the graph.
    - Head by head: compute logits and loss, and backpropagate as far as the cut. Its
      gradients add up there.
    - Backpropagate from the cut through the trunk, once.

    Edge cases ★
        A float64 model gets gradients in float64 precision.
    """
    hidden = model.hidden(tokens)
    cut = hidden.detach().requires_grad_()
    total = 0.0
    for k, head in enumerate(model.heads):
        logits = head(cut[:, : tokens.size(1) - 1 - k])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, k + 1 :].flatten())
        loss.backward()
        total += loss.item()
    hidden.backward(cut.grad)
    return total


def train_multi_token(
    model: MultiTokenModel,
    transition: Tensor,
    *,
    steps: int,
    batch_size: int = 32,
    length: int = 24,
    lr: float = 1e-2,
    generator: torch.Generator | None = None,
) -> list[list[float]]:
    """Train all heads together with Adam, on fresh sequences at every step.

    Args:
        model: trained in place.
        transition: (V, V), the chain that `sample_sequences` draws from.
        steps: the number of updates.
        batch_size, length, generator: passed on to `sample_sequences`.
        lr: Adam's learning rate.
    Returns:
        Per step the list of the n per-head losses before the update, as floats. The
        total of `multi_token_loss` is what the update minimises.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    history = []
    for _ in range(steps):
        tokens = sample_sequences(transition, batch_size, length, generator)
        total, per_head = multi_token_loss(model(tokens), tokens)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(per_head.tolist())
    return history


def speculative_generate(
    model: MultiTokenModel, prompt: Tensor, num_new: int
) -> tuple[Tensor, int]:
    """Write the same text as `greedy_generate` in fewer calls: later heads draft, the
    first head checks (section 3.2).

    Args:
        prompt: (1, T) int64.
        num_new: how many tokens to append.
    Returns:
        The pair (tokens (1, T + num_new), number of model calls).

    Each call reads text + draft; the first draft is empty. Then:

    - Accept draft tokens as long as each equals the first head's arg max at the
      position before it.
    - Append the first head's arg max after the last accepted token. This one is
      always sure.
    - The arg max of the other heads at that same position is the next draft of
      n − 1 tokens.

    Cut the text at T + num_new.

    Edge cases ★
        No graph is built. The prompt is not written to.
    """
    text, draft, calls = prompt, prompt[:, :0], 0
    length = prompt.size(1) + num_new
    with torch.no_grad():
        while text.size(1) < length:
            best = model(torch.cat([text, draft], dim=1))[:, text.size(1) - 1 :].argmax(
                dim=-1
            )
            calls += 1
            right = draft == best[:, :-1, 0]
            accepted = int(right.cumprod(dim=1).sum())
            text = torch.cat([text, draft[:, :accepted], best[:, accepted, :1]], dim=1)
            draft = best[:, accepted, 1:]
    return text[:, :length], calls


def compare_heads(
    transition: Tensor,
    head_counts: Sequence[int],
    *,
    steps: int,
    hidden_size: int = 32,
    seed: int = 0,
) -> dict[int, list[float]]:
    """Train one model per number of heads, and see what the others do to the
    first head.

    Args:
        transition: (V, V).
        head_counts: the numbers of heads, such as (1, 2, 4).
        steps, hidden_size: the same for all models.
        seed: for each count, the MultiTokenModel is built right after
            `torch.manual_seed(seed)`, and trained by `train_multi_token` with
            `torch.Generator().manual_seed(seed)` and its default sizes and rate.
    Returns:
        The *first* head's loss at every step, per number of heads, in the order
        of head_counts.

    So all models see the same batches.

    Edge cases ★
        The state of torch's global generator is the same afterwards.
    """
    curves = {}
    with torch.random.fork_rng():
        for num_heads in head_counts:
            torch.manual_seed(seed)
            model = MultiTokenModel(len(transition), hidden_size, num_heads)
            generator = torch.Generator().manual_seed(seed)
            history = train_multi_token(
                model, transition, steps=steps, generator=generator
            )
            curves[num_heads] = [losses[0] for losses in history]
    return curves
