"""Two things that one rank cannot hold: many experts, and a long context. Tokens travel
to experts, keys past queries.

Every function but `positions`, `attend_part` and `merge` is called by all ranks, in the
same order, inside a process group, such as that of 31's `launch`. W = number of ranks.

Experts: E of them, a multiple of W; expert e lives on rank e // (E / W). Rank r has N_r
tokens of C features, and k choices per token, as in 06. Context: T tokens, of which
each rank has T / W; B, H and D as in attention.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from grader.loading import prerequisite

launch = prerequisite("31_distributed_training").launch
dispatch = prerequisite("today/06_experts").dispatch
combine = prerequisite("today/06_experts").combine


def exchange_rows(x: Tensor, send: Sequence[int], receive: Sequence[int]) -> Tensor:
    """Send rows to every rank, and return the rows that all ranks send to this one.

    Args:
        x: (Σ send, …): first the rows for rank 0, then those for rank 1, and so on.
        send: how many rows go to each rank, this one included; some may be 0.
        receive: how many rows come from each rank: entry r is `send[s]` on rank r,
            where s is this rank.
    Returns:
        (Σ receive, …): first the rows from rank 0, then those from rank 1, and so on.
        If rank 0 sends [1, 2] of [a, b, c], and rank 1 [0, 2] of [d, e], rank 0 gets
        [a], and rank 1 gets [b, c, d, e].

    Gradients travel back: the gradient of a row goes to the rank and the place that the
    row came from. Both x and the gradient that arrives may be non-contiguous.

    Edge cases ★
        A rank may send nothing at all, receive nothing, or both. x may hold longs,
        which have no gradient.
    """
    return _Exchange.apply(x, list(send), list(receive))


class _Exchange(torch.autograd.Function):
    """Rows to their ranks; backward with both lists exchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, send: list[int], receive: list[int]) -> Tensor:
        ctx.send, ctx.receive = send, receive
        return _exchanged(x, send, receive)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _exchanged(grad, ctx.receive, ctx.send), None, None


def _exchanged(x: Tensor, send: list[int], receive: list[int]) -> Tensor:
    out = x.new_empty(sum(receive), *x.shape[1:])
    dist.all_to_all_single(out, x.contiguous(), receive, send)
    return out


def parallel_experts(
    x: Tensor,
    weights: Tensor,
    experts: Tensor,
    local: Sequence[nn.Module],
    n_experts: int,
) -> Tensor:
    """Compute a mixture of experts that live on all ranks.

    Args:
        x: (N_r, C), this rank's tokens. N_r is at least 1, and differs from rank
            to rank.
        weights: (N_r, k), the weight of each choice.
        experts: (N_r, k), the chosen experts, longs.
        local: this rank's E / W experts, C → C, in order: local[0] is
            expert rank · E / W.
        n_experts: E.
    Returns:
        (N_r, C): per own token the sum of weight · expert(token) over its k choices,
        wherever the experts live.

    - No rank knows how many rows the others will send: the counts travel first.
    - Each expert gets its rows from all ranks in one call, and no other rows.
    - Gradients reach x, weights and the experts of all ranks.

    Edge cases ★
        All experts of a rank may be without rows. An expert without rows may be called
        or not.
    """
    world = dist.get_world_size()
    here = n_experts // world
    rows, order, counts = dispatch(x, experts, n_experts)
    # by source, by local expert
    arriving = exchange_rows(counts, [here] * world, [here] * world).view(world, here)
    send, receive = counts.view(world, here).sum(1).tolist(), arriving.sum(1).tolist()
    arrived = exchange_rows(rows, send, receive)
    expert_of = torch.arange(here).repeat(world).repeat_interleave(arriving.flatten())
    by_expert = expert_of.argsort(stable=True)
    parts = arrived[by_expert].split(arriving.sum(0).tolist())
    # An expert without rows is called, too: the exchange below has a backward pass on
    # all ranks or on none.
    done = torch.cat([expert(part) for expert, part in zip(local, parts, strict=True)])
    return combine(
        exchange_rows(done[by_expert.argsort()], receive, send), order, weights
    )


def balance_bias(bias: Tensor, experts: Tensor, rate: float) -> Tensor:
    """Move the bias of the routers' choice: down for crowded experts, up for idle ones.
    No gradient is used.

    Args:
        bias: (E,), the same on all ranks. A router chooses the k largest of
            score + bias; the weights come from the scores alone.
        experts: (N_r, k), what this rank's tokens chose in this step, longs.
        rate: how far an entry moves.
    Returns:
        (E,), the same on all ranks: bias + rate · sign(mean − count). An expert's count
        is the number of choices on all ranks together, and mean is the mean of
        the counts.

    Counts of 4, 2 and 0 and a rate of 0.1 change the bias by −0.1, 0 and 0.1. Source:
    DeepSeek-V3, §2.1.2.

    Edge cases ★
        `bias` is not written to. The result has its dtype. Counts are exact, though
        bfloat16 rounds 257 to 256.
    """
    counts = torch.bincount(experts.flatten(), minlength=len(bias))
    dist.all_reduce(counts)
    return bias + rate * (counts.double().mean() - counts).sign().to(bias.dtype)


def positions(T: int, rank: int, world: int, layout: str = "zigzag") -> Tensor:
    """Say which tokens of a sequence a rank holds.

    Args:
        T: the length of the sequence, a multiple of 2W.
        rank: 0 … W − 1.
        world: W.
        layout: how the tokens are dealt out.

            - "contiguous": T / W neighbours, rank 0 the first ones.
            - "striped": every W-th token; rank r begins with token r.
            - "zigzag": the sequence is cut into 2W equal chunks. Rank r has the chunks
              r and 2W − 1 − r.
    Returns:
        (T / W,), longs, ascending. With T = 8 and W = 2, rank 0 has [0, 1, 6, 7] in
        zigzag and rank 1 [2, 3, 4, 5].

    Edge cases ★
        A T that 2W does not divide is an error that names both. An unknown layout is an
        error that names it.
    """
    if T % (2 * world):
        raise ValueError(f"{T} tokens cannot be cut into {2 * world} equal chunks")
    tokens = torch.arange(T)
    if layout == "contiguous":
        return tokens.chunk(world)[rank]
    if layout == "striped":
        return tokens[rank::world]
    if layout == "zigzag":
        chunks = tokens.chunk(2 * world)
        return torch.cat([chunks[rank], chunks[2 * world - 1 - rank]])
    raise ValueError(f"there is no layout {layout!r}: contiguous, striped or zigzag")


def attend_part(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Given: attention over some of the keys.

    Args:
        q: (B, H, T_q, D).
        k, v: (B, H, T_k, D).
        seen: (T_q, T_k), bool: True where the query may attend.
    Returns:
        (out, lse).

        - out (B, H, T_q, D): the mixture of the values that are seen; 0 for a query
          that sees none.
        - lse (B, H, T_q): the logarithm of the sum of exp(score), with scores q
          kᵀ / √D; −∞ for such a query.
    """
    scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~seen, -torch.inf)
    lse = scores.logsumexp(-1)
    # no row is −∞ − (−∞)
    weights = (scores - lse.nan_to_num(neginf=0.0).unsqueeze(-1)).exp()
    return weights @ v, lse


def merge(
    out: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor
) -> tuple[Tensor, Tensor]:
    """Put attention over some keys and attention over other keys together.

    Args:
        out, lse: (…, D) and (…), over some keys, as `attend_part` returns them.
        part, part_lse: the same over other keys.
    Returns:
        (out, lse): attention over the keys of both.

        - lse: the logarithm of the sum of exp(score) over all of them.
        - out: both outs, each times its share of that sum. Sums of 1 and 3 give
          0.25 · out + 0.75 · part.

    Scores of 800 stay finite. A row that sees no key on one side, (0, −∞), becomes the
    other side. One that sees none on both sides is (0, −∞) again, without NaN.

    Edge cases ★
        Nothing that is given is written to.
    """
    total = torch.logaddexp(lse, part_lse)
    base = torch.where(total.isneginf(), 0.0, total)
    shares = ((one - base).exp().unsqueeze(-1) for one in (lse, part_lse))
    return next(shares) * out + next(shares) * part, total


def pass_on(x: Tensor) -> Tensor:
    """Given: send x to the next rank of the ring, and return what the rank before
    sends. No gradient flows.

    Args:
        x: of the same shape and dtype on all ranks.
    Returns:
        A new tensor of that shape: x of rank − 1, on rank 0 that of rank W − 1.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    if world == 1:
        return x.detach().clone()
    arrived = torch.empty(x.shape, dtype=x.dtype)
    sending = dist.isend(x.detach().contiguous(), (rank + 1) % world)
    dist.recv(arrived, (rank - 1) % world)
    sending.wait()
    return arrived


def ring_attention(
    q: Tensor, k: Tensor, v: Tensor, own: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Attend from this rank's queries to the keys of all ranks, which visit it one rank
    after the other.

    Args:
        q, k, v: (B, H, T / W, D), of this rank's tokens.
        own: own[r] holds the positions of rank r's tokens, (T / W,) longs, in the order
            of its rows.
    Returns:
        (out, lse), (B, H, T / W, D) and (B, H, T / W): causal attention over the whole
        sequence. A query sees the keys whose position is not larger than its own.
        Scores are q kᵀ / √D.

    The keys and values of this rank come first. Each of W − 1 hops brings those of
    another rank: after h hops it is rank − h. `attend_part` and `merge` make the result
    of the parts. A query may see no key of a visitor.

    Edge cases ★
        q, k and v are not written to, and may be non-contiguous. No hop is without use,
        and no rank holds the keys of all at once.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    out, lse = attend_part(q, k, v, _seen(own[rank], own[rank]))
    for hop in range(1, world):
        k, v = pass_on(k), pass_on(v)
        source = (rank - hop) % world
        out, lse = merge(out, lse, *attend_part(q, k, v, _seen(own[rank], own[source])))
    return out, lse


def _seen(queries: Tensor, keys: Tensor) -> Tensor:
    """(T_q, T_k): whether a key is not later than the query."""
    return keys <= queries.unsqueeze(1)


def ring_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    dout: Tensor,
    own: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `ring_attention`, by the same ring.

    Args:
        q, k, v, own: as there.
        out, lse: what it returned on this rank.
        dout: (B, H, T / W, D), the gradient of out.
    Returns:
        (dq, dk, dv), (B, H, T / W, D) each, of this rank's q, k and v.

    With s_ij = q_i · k_j / √D:

    - p_ij = exp(s_ij − lse_i), its weight among all keys; 0 for a key that it does
      not see
    - ds_ij = p_ij (dout_i · v_j − δ_i), with δ_i = Σ_D out_i · dout_i
    - dq_i = Σ_j ds_ij k_j / √D, dk_j = Σ_i ds_ij q_i / √D, dv_j = Σ_i p_ij dout_i

    Queries of all ranks see key j. So dk and dv travel with k and v; each rank adds its
    part, and W hops bring them home.

    Edge cases ★
        Nothing that is given is written to. Scores of 800 that no query may see stay
        without effect.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    scale, delta = q.size(-1) ** -0.5, (out * dout).sum(-1, keepdim=True)
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for hop in range(world):
        source = (rank - hop) % world
        scores = (q @ k.mT * scale).masked_fill(
            ~_seen(own[rank], own[source]), -torch.inf
        )
        p = (scores - lse.unsqueeze(-1)).exp()
        ds = p * (dout @ v.mT - delta) * scale
        dq = dq + ds @ k
        dk = dk + ds.mT @ q
        dv = dv + p.mT @ dout
        k, v, dk, dv = pass_on(k), pass_on(v), pass_on(dk), pass_on(dv)
    return dq, dk, dv


class RingAttention(torch.autograd.Function):
    """Given: `ring_attention` with the gradient that `ring_backward` computes:
    `RingAttention.apply(q, k, v, own)`.

    Kept for the backward pass is what is this rank's own: q, k, v, out and lse.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, own: Sequence[Tensor]
    ) -> Tensor:
        out, lse = ring_attention(q, k, v, own)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.own = own
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        return *ring_backward(*ctx.saved_tensors, dout, ctx.own), None


def ulysses_attention(
    q: Tensor, k: Tensor, v: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Attend to the whole sequence with some of the heads: exchange tokens for heads,
    attend, and exchange back.

    Args:
        q, k, v: (B, H, T / W, D), of this rank's tokens. Rank 0 has the first T / W
            tokens, rank 1 the next. H is a multiple of W.
        attend: any attention, from three tensors (B, H / W, T, D) to one.
    Returns:
        (B, H, T / W, D), of this rank's tokens.

    - Rank r attends with the heads r · H / W to (r + 1) · H / W − 1.
    - `attend` is called once, on all tokens in order.
    - Gradients travel back to q, k and v.

    Edge cases ★
        An H that W does not divide is an error that names both.
    """
    world, heads = dist.get_world_size(), q.size(1)
    if heads % world:
        raise ValueError(f"{heads} heads cannot be dealt out to {world} ranks")
    whole = attend(*(_tokens_for_heads(x) for x in (q, k, v)))
    by_token = whole.permute(2, 0, 1, 3)  # (T, B, H / W, D): first the tokens of rank 0
    equal = [len(by_token) // world] * world
    # from the rank of the first heads on
    back = exchange_rows(by_token, equal, equal).unflatten(0, (world, -1))
    return back.permute(2, 0, 3, 1, 4).flatten(1, 2)


def _tokens_for_heads(x: Tensor) -> Tensor:
    """(B, H, T / W, D) → (B, H / W, T, D)."""
    world = dist.get_world_size()
    equal = [x.size(1) // world] * world
    # (H, B, T / W, D), rank after rank
    rows = exchange_rows(x.transpose(0, 1), equal, equal)
    return rows.unflatten(0, (world, -1)).permute(2, 1, 0, 3, 4).flatten(2, 3)
