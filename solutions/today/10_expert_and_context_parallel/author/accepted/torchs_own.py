# torch.distributed.nn's differentiable collectives; a ring with a gradient of its own,
# run again for the backward pass.
import torch.distributed.nn.functional as collectives


def exchange_rows(x, send, receive):
    out = torch.empty(sum(receive), *x.shape[1:], dtype=x.dtype)
    return collectives.all_to_all_single(out, x.contiguous(), list(receive), list(send))


def parallel_experts(x, weights, experts, local, n_experts):
    world, k = dist.get_world_size(), experts.shape[1]
    here = n_experts // world
    flat = experts.flatten()
    order = flat.argsort()
    sorted_experts = flat[order]
    send = torch.bincount(sorted_experts // here, minlength=world)
    receive = torch.empty_like(send)
    dist.all_to_all_single(receive, send)
    send, receive = send.tolist(), receive.tolist()
    arrived = exchange_rows(x[order // k], send, receive)
    ids = torch.empty(sum(receive), dtype=torch.long)
    dist.all_to_all_single(ids, sorted_experts % here, receive, send)
    results = torch.zeros_like(arrived)
    for e, expert in enumerate(local):
        at = torch.where(ids == e)[0]
        results = results.index_copy(0, at, expert(arrived[at]))
    back = exchange_rows(results, receive, send)
    weighted = back * weights.flatten()[order].unsqueeze(-1)
    return torch.zeros_like(x).index_add(0, order // k, weighted)


def balance_bias(bias, experts, rate):
    hot = (
        torch.nn.functional.one_hot(experts, bias.shape[0])
        .sum((0, 1))
        .to(torch.float32)
    )
    dist.all_reduce(hot, op=dist.ReduceOp.SUM)
    return (bias.double() + rate * torch.sign(hot.sum() / len(hot) - hot).double()).to(
        bias.dtype
    )


def positions(T, rank, world, layout="zigzag"):
    tokens = torch.arange(T)
    if layout == "contiguous":
        return tokens.view(world, -1)[rank]
    if layout == "striped":
        return tokens.view(-1, world)[:, rank].contiguous()
    if layout != "zigzag":
        raise KeyError(layout)
    halves = tokens.reshape(2 * world, -1)
    return halves[[rank, -1 - rank]].flatten()


def merge(out, lse, part, part_lse):
    both = torch.stack([lse, part_lse])
    shares = both.softmax(0).nan_to_num(0.0)
    return (shares[..., None] * torch.stack([out, part])).sum(0), both.logsumexp(0)


class _PassedOn(torch.autograd.Function):
    """One hop; the gradient takes a hop back."""

    @staticmethod
    def forward(ctx, x):
        return _hop(x, 1)

    @staticmethod
    def backward(ctx, grad):
        return _hop(grad, -1)


def _hop(x, way):
    rank, world = dist.get_rank(), dist.get_world_size()
    arrived = torch.empty_like(x, memory_format=torch.contiguous_format)
    ops = [
        dist.P2POp(dist.isend, x.contiguous(), (rank + way) % world),
        dist.P2POp(dist.irecv, arrived, (rank - way) % world),
    ]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    return arrived


def ring_attention(q, k, v, own):
    """All scores of this rank's queries, joined from the visits, in one softmax."""
    rank, world = dist.get_rank(), dist.get_world_size()
    keys, values, places = [k], [v], [own[rank]]
    for hop in range(1, world):
        keys.append(_PassedOn.apply(keys[-1]))
        values.append(_PassedOn.apply(values[-1]))
        places.append(own[(rank - hop) % world])
    seen = own[rank][:, None] >= torch.cat(places)
    scores = q @ torch.cat(keys, -2).transpose(-1, -2) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~seen, float("-inf"))
    return scores.softmax(-1) @ torch.cat(values, -2), torch.logsumexp(scores, -1)


def ring_backward(q, k, v, out, lse, dout, own):
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in (q, k, v)]
        again, _ = ring_attention(*leaves, own)
    return torch.autograd.grad(again, leaves, dout)


def ulysses_attention(q, k, v, attend):
    world = dist.get_world_size()
    if q.shape[1] % world != 0:
        raise ValueError(f"{q.shape[1]} heads, {world} ranks")

    def swap(x, cut, joined):
        pieces = [piece.contiguous() for piece in x.chunk(world, cut)]
        return torch.cat(
            collectives.all_to_all(
                [torch.empty_like(pieces[0]) for _ in pieces], pieces
            ),
            joined,
        )

    return swap(attend(*(swap(x, 1, 2) for x in (q, k, v))), 2, 1)
