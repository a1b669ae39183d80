"""Attention with a memory of fixed size: one product, one token at a time, or chunks;
with decay and the delta rule.

Sizes: B rows of T tokens, H heads, K features of queries and keys, V of values. The
memory of a head, its state S, is a matrix (K, V): a key k writes k vᵀ into it, and a
query q reads qᵀS. Nothing is divided by √K, and there is no softmax.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Elements = tuple[Tensor, ...]


def recall_batch(
    rows: int,
    n_keys: int,
    n_values: int,
    distinct: int,
    times: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Make texts that write pairs of a key and a value, and then ask for the last value
    of each key.

    Given: nothing to write here.

    Args:
        rows: B texts.
        n_keys, n_values: how many keys and values there are; they are numbers from 0.
        distinct: different keys in one text, drawn for each text.
        times: how often each of them is written, in mixed order and with a value drawn
            each time.
    Returns:
        (tokens, targets). tokens is (B, distinct · times + distinct, 2): pairs (key,
        value), then each key once with n_values in the place of a value. targets is (B,
        distinct): the last value of each of these keys.
    """
    keys = torch.rand(rows, n_keys, generator=generator).argsort(-1)[:, :distinct]
    which = (
        torch.rand(rows, distinct * times, generator=generator).argsort(-1) % distinct
    )
    values = torch.randint(n_values, which.shape, generator=generator)
    asked = torch.rand(rows, distinct, generator=generator).argsort(-1)
    is_key = which[:, :, None] == asked[:, None, :]
    last = distinct * times - 1 - is_key.flip(1).int().argmax(1)
    written = torch.stack([keys.gather(1, which), values], dim=-1)
    questions = torch.stack(
        [keys.gather(1, asked), torch.full_like(asked, n_values)], dim=-1
    )
    return torch.cat([written, questions], dim=1), values.gather(1, last)


def short_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Mix each feature of a token with the same feature of the tokens just before it.

    Given: nothing to write here.

    Args:
        x: (B, T, C).
        weight: (C, width). weight[:, −1] meets the token itself, weight[:, −2] the
            one before.
    Returns:
        (B, T, C). Before the first token there are zeros.
    """
    padded = F.pad(x.mT, (weight.size(1) - 1, 0))
    return F.conv1d(padded, weight[:, None], groups=x.size(2)).mT


def parallel_form(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Compute linear attention with decay for all tokens at once.

    Args:
        q, k: (B, H, T, K).
        v: (B, H, T, V).
        log_decay: (B, H, T), g ≤ 0. exp(g_t) is how much is left at token t of all that
            was written before it.
    Returns:
        (B, H, T, V): o_t = Σ exp(g_{s+1} + … + g_t) · (q_t·k_s) · v_s over all s ≤ t.

        Token t's own pair enters whole, and g_t fades what is older. With g = log ½ and
        all products q·k = 1, the values 8, 4, 1 give 8, 8, 5.

    Strong decay, such as −16 per token over 40 tokens, gives finite results and
    finite gradients.
    """
    raise NotImplementedError


def recurrent_step(
    state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute linear attention with decay for one token, from the state that the tokens
    before it left.

    Args:
        state: (B, H, K, V), S.
        q, k: (B, H, K).
        v: (B, H, V).
        log_decay: (B, H), g.
    Returns:
        (out, state), (B, H, V) and (B, H, K, V).

        - The new state is exp(g) · S + k vᵀ: fade, then write.
        - out is qᵀ times the new state, so that a token reads its own pair, too.

    Token by token from a state of zeros this equals `parallel_form`. The given state is
    not written to.
    """
    raise NotImplementedError


def chunked_form(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    chunk: int = 16,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute linear attention with decay chunk by chunk: products inside a chunk, a
    state between chunks.

    Args:
        q, k, v, log_decay: as in `parallel_form`.
        chunk: tokens per chunk. T need not be a multiple of it.
        state: (B, H, K, V), what earlier tokens left. None: zeros.
    Returns:
        (out, state): out (B, H, T, V), and the state (B, H, K, V) after the last token.

        - A token reads its own chunk up to itself, and the state from before the chunk,
          faded by all decays from the chunk's first token to itself.
        - After a chunk the state has faded by the whole chunk, and each pair by the
          decays behind it.

    The numbers are those of `recurrent_step`, whatever the chunk. Gradients reach
    all inputs.

    Edge cases ★
        No token is a step of its own: `recurrent_step` is not called, and
        `parallel_form` gets a chunk at most.
        The given state is not written to. float64 stays float64, without a state, too.
    """
    raise NotImplementedError


def combine(left: Elements, right: Elements) -> Elements:
    """Join two steps of the recurrence h ↦ a · h + b to one.

    Args:
        left: (a, b), two tensors of one shape: the earlier step.
        right: (c, d) of the same shape: the later step.
    Returns:
        The pair (a', b') of the step that does first left, then right. Numbers are
        multiplied element by element.

    h ↦ 2h + 1, then h ↦ 3h + 5 is h ↦ 6h + 8. None of the given tensors is written to.
    """
    raise NotImplementedError


def associative_scan(
    op: Callable[[Elements, Elements], Elements], elements: Elements
) -> Elements:
    """Join all elements up to each place, with few calls.

    Args:
        op: op(left, right) joins tuples like `elements`, of any length along dim 0,
            place by place. left holds what comes earlier. op is associative, as
            `combine` is; its arguments cannot be exchanged.
        elements: a tuple of tensors, each (T, …).
    Returns:
        A tuple of such tensors. Place t has elements 0 to t, joined in order; place 0
        is unchanged.

    At most 2 · ⌈log2 T⌉ + 1 calls of op, each for many places at once. With addition,
    1, 2, 3, 4 becomes 1, 3, 6, 10.

    Edge cases ★
        T = 0 gives tensors of length 0. The given elements are not written to.
    """
    raise NotImplementedError


def delta_step(
    state: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor]:
    """Write only what the memory does not hold yet: one token of the gated delta rule.

    Args:
        state: (B, H, K, V), S.
        q, k: (B, H, K). k has length 1, which is the caller's part.
        v: (B, H, V).
        beta: (B, H), from 0 to 1: the share of the error that is corrected.
        log_decay: (B, H), g.
    Returns:
        (out, state), (B, H, V) and (B, H, K, V). In this order:

        1. S fades: exp(g) · S.
        2. held = kᵀS, what the faded memory holds for this key.
        3. S + k (β (v − held))ᵀ is the new state.
        4. out is qᵀ times the new state.

    With β = 1, reading with k now gives v, whatever was there. The given state is not
    written to.
    """
    raise NotImplementedError


def delta_chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    chunk: int = 16,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the gated delta rule chunk by chunk: all corrections of a chunk by one
    triangular system.

    Args:
        q, k, v, log_decay, chunk, state: as in `chunked_form`.
        beta: (B, H, T).
    Returns:
        (out, state), as `chunked_form` returns them: the numbers of `delta_step`, token
        by token.

        Inside a chunk that begins with the state S, G_t is the sum of its log_decay up
        to token t, that of t included. The corrections u (T, V) solve (1 + L)
        u = r, with

        - r_t = β_t (v_t − exp(G_t) · k_tᵀS),
        - L_ts = β_t (k_t·k_s) exp(G_t − G_s) for s < t, and 0 elsewhere.

        u takes the place of v: what is left is `chunked_form`. Gradients reach
        all inputs.

    Source: Yang et al. 2024, Gated Delta Networks, section 3.

    Edge cases ★
        No token is a step of its own: `delta_step` is not called. The given state is
        not written to. float64 stays float64, without a state, too.
    """
    raise NotImplementedError


class GatedDeltaNet(nn.Module):
    """The layer that takes the place of attention in a block: (B, T, C) → (B, T, C)."""

    def __init__(self, n_embd: int, n_head: int, width: int = 4):
        """Make the layer's parameters.

        Args:
            n_embd: C.
            n_head: H, a divisor of C. A head has D = C / H features.
            width: of the convolution.

        - qkv: nn.Linear from C to 3C, without bias.
        - conv: nn.Parameter (3C, width), drawn with a standard deviation from half to
          twice 1 / √width, such as uniformly within ±1 / √width.
        - beta, decay: nn.Linear from C to H each, with bias. All of decay's bias starts
          at 4: sigmoid(4) = 0.98, so that the memory is long before anything is
          learned. beta's bias starts as nn.Linear draws it.
        - norm: nn.RMSNorm over the D features of a head.
        - gate, proj: nn.Linear from C to C, without bias.

        Edge cases ★
            An H that does not divide C is an error that names both.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Apply the gated delta rule to projections of x.

        Args:
            x: (B, T, C).
        Returns:
            (B, T, C). No token depends on a later one.

        1. `short_convolution` of qkv(x), then silu. The first C features are queries,
           then keys, then values; head h has the features h·D to (h + 1)·D − 1 of each.
        2. Each query and each key of a head is divided by its length.
        3. β = sigmoid(beta(x)) and log_decay = log sigmoid(decay(x)), a number per
           token and head.
        4. `delta_chunked`, from an empty state.
        5. norm over each head, heads side by side again, times silu(gate(x)),
           then proj.
        """
        raise NotImplementedError


def decoding_bytes(
    layers: str,
    T: int,
    n_head: int,
    n_kv_head: int,
    head_dim: int,
    window: int,
    itemsize: int = 2,
) -> int:
    """Count what a stack of layers keeps in memory while it writes one text.

    Args:
        layers: a letter per layer, such as "LLLA".
        T: tokens so far.
        n_head, n_kv_head, head_dim: heads, heads of keys and values, features per head.
        window: tokens that a layer W sees.
        itemsize: bytes per number.
    Returns:
        Bytes of all layers together. The numbers of one layer are

        - L, linear attention: a state per head, head_dim by head_dim.
        - A, attention: a key and a value for each token and each of n_kv_head heads.
        - W, attention with a window: as A, for the last `window` tokens at most.

    Edge cases ★
        Another letter, a small one too, is an error that names it.
    """
    raise NotImplementedError
