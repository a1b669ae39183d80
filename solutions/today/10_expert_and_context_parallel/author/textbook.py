"""Two things that one rank cannot hold: many experts, and a long context."""

import torch
import torch.distributed as dist

from grader.loading import prerequisite

launch = prerequisite("31_distributed_training").launch
dispatch = prerequisite("today/06_experts").dispatch
combine = prerequisite("today/06_experts").combine


class Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, send, receive):
        ctx.send, ctx.receive = send, receive
        out = torch.empty(sum(receive), *x.shape[1:], dtype=x.dtype)
        dist.all_to_all_single(out, x.contiguous(), receive, send)
        return out

    @staticmethod
    def backward(ctx, grad):
        return Exchange.apply(grad, ctx.receive, ctx.send), None, None


def exchange_rows(x, send, receive):
    """Send rows to every rank, and return the rows that all ranks send to this one."""
    return Exchange.apply(x, send, receive)


def parallel_experts(x, weights, experts, local, n_experts):
    """Compute a mixture of experts that live on all ranks."""
    W = dist.get_world_size()
    per_rank = n_experts // W
    rows, order, counts = dispatch(x, experts, n_experts)
    incoming = torch.empty_like(counts)
    dist.all_to_all_single(incoming, counts)
    incoming = incoming.view(W, per_rank)
    send = counts.view(W, per_rank).sum(dim=1).tolist()
    receive = incoming.sum(dim=1).tolist()
    arrived = exchange_rows(rows, send, receive)
    ids = torch.cat([torch.arange(per_rank).repeat_interleave(n) for n in incoming])
    results = torch.zeros_like(arrived)
    for e, expert in enumerate(local):
        mine = ids == e
        if mine.any():
            results[mine] = expert(arrived[mine])
    return combine(exchange_rows(results, receive, send), order, weights)


def balance_bias(bias, experts, rate):
    """Move the bias of the routers' choice: down for crowded experts, up for
    idle ones.
    """
    counts = torch.bincount(experts.flatten(), minlength=len(bias)).float()
    dist.all_reduce(counts)
    return bias + rate * torch.sign(counts.mean() - counts)


def positions(T, rank, world, layout="zigzag"):
    """Say which tokens of a sequence a rank holds."""
    if layout == "contiguous":
        n = T // world
        return torch.arange(rank * n, (rank + 1) * n)
    if layout == "striped":
        return torch.arange(rank, T, world)
    n = T // (2 * world)
    last = 2 * world - 1 - rank
    return torch.cat(
        [torch.arange(rank * n, (rank + 1) * n), torch.arange(last * n, (last + 1) * n)]
    )


def attend_part(q, k, v, seen):
    """Given: attention over some of the keys."""
    scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~seen, -torch.inf)
    lse = scores.logsumexp(-1)
    weights = (scores - lse.nan_to_num(neginf=0.0).unsqueeze(-1)).exp()
    return weights @ v, lse


def merge(out, lse, part, part_lse):
    """Put attention over some keys and attention over other keys together."""
    total = torch.logaddexp(lse, part_lse)
    a = torch.exp(lse - total).nan_to_num(0.0)  # nan: −∞ − (−∞)
    b = torch.exp(part_lse - total).nan_to_num(0.0)
    return a[..., None] * out + b[..., None] * part, total


def pass_on(x):
    """Given: send x to the next rank of the ring, and return what the rank
    before sends.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    if world == 1:
        return x.detach().clone()
    arrived = torch.empty(x.shape, dtype=x.dtype)
    sending = dist.isend(x.detach().contiguous(), (rank + 1) % world)
    dist.recv(arrived, (rank - 1) % world)
    sending.wait()
    return arrived


def ring_attention(q, k, v, own):
    """Attend from this rank's queries to the keys of all ranks, which visit it one rank
    after the other.
    """
    rank, W = dist.get_rank(), dist.get_world_size()
    out, lse = attend_part(q, k, v, own[rank][:, None] >= own[rank])
    for hop in range(1, W):
        k, v = pass_on(k), pass_on(v)
        seen = own[rank][:, None] >= own[(rank - hop) % W]
        part, part_lse = attend_part(q, k, v, seen)
        out, lse = merge(out, lse, part, part_lse)
    return out, lse


def ring_backward(q, k, v, out, lse, dout, own):
    """Compute the gradients of `ring_attention`, by the same ring."""
    rank, W = dist.get_rank(), dist.get_world_size()
    scale = q.size(-1) ** -0.5
    delta = (out * dout).sum(-1)
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for hop in range(W):
        seen = own[rank][:, None] >= own[(rank - hop) % W]
        p = torch.exp(q @ k.mT * scale - lse[..., None]).masked_fill(~seen, 0)
        ds = p * (dout @ v.mT - delta[..., None])
        dq += ds @ k * scale
        dk += ds.mT @ q * scale
        dv += p.mT @ dout
        k, v, dk, dv = pass_on(k), pass_on(v), pass_on(dk), pass_on(dv)
    return dq, dk, dv


class RingAttention(torch.autograd.Function):
    """Given: `ring_attention` with the gradient that `ring_backward` computes."""

    @staticmethod
    def forward(ctx, q, k, v, own):
        out, lse = ring_attention(q, k, v, own)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.own = own
        return out

    @staticmethod
    def backward(ctx, dout):
        return *ring_backward(*ctx.saved_tensors, dout, ctx.own), None


def ulysses_attention(q, k, v, attend):
    """Attend to the whole sequence with some of the heads: exchange tokens for heads,
    attend, and exchange back.
    """
    W = dist.get_world_size()
    B, H, t, D = q.shape
    h = H // W

    def scatter_heads(x):
        rows = exchange_rows(x.transpose(0, 1), [h] * W, [h] * W)  # (W·h, B, t, D)
        return torch.cat([part.transpose(0, 1) for part in rows.chunk(W)], dim=2)

    out = attend(scatter_heads(q), scatter_heads(k), scatter_heads(v))  # (B, h, T, D)
    # (W·h, B, t, D)
    rows = torch.cat([part.transpose(0, 1) for part in out.chunk(W, dim=2)])
    return exchange_rows(rows, [h] * W, [h] * W).transpose(0, 1)
