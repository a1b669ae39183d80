# Messages from rank to rank, gathered counts, loops over sources; a softmax by its
# maximum; k and v in one message.
import math


class _Posted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, send, receive):
        ctx.counts = receive, send
        rank, pieces = dist.get_rank(), list(x.split(send))
        arrived = [x.new_empty(count, *x.shape[1:]) for count in receive]
        arrived[rank] = pieces[rank]
        ops = []
        for other in range(dist.get_world_size()):
            if other != rank and send[other]:
                ops.append(dist.P2POp(dist.isend, pieces[other].contiguous(), other))
            if other != rank and receive[other]:
                ops.append(dist.P2POp(dist.irecv, arrived[other], other))
        for work in dist.batch_isend_irecv(ops) if ops else []:
            work.wait()
        return torch.cat(arrived)

    @staticmethod
    def backward(ctx, grad):
        return _Posted.apply(grad, *ctx.counts), None, None


def exchange_rows(x, send, receive):
    return _Posted.apply(x, list(send), list(receive))


def parallel_experts(x, weights, experts, local, n_experts):
    rank, world, here = dist.get_rank(), dist.get_world_size(), len(local)
    tokens, choices = x.size(0), experts.size(1)
    flat = experts.reshape(-1)
    order = torch.sort(flat, stable=True).indices
    counts = torch.stack([(flat == e).sum() for e in range(n_experts)])
    everyones = [torch.zeros_like(counts) for _ in range(world)]
    dist.all_gather(everyones, counts)
    # source, destination, expert there
    table = torch.stack(everyones).view(world, world, here)
    send, receive = table[rank].sum(-1).tolist(), table[:, rank].sum(-1).tolist()
    pieces = exchange_rows(x[order // choices], send, receive).split(
        table[:, rank].flatten().tolist()
    )
    results = [None] * len(pieces)
    for e, expert in enumerate(local):
        of_expert = pieces[e::here]
        done = expert(torch.cat(of_expert)).split([len(piece) for piece in of_expert])
        for source in range(world):
            results[source * here + e] = done[source]
    back = exchange_rows(torch.cat(results), receive, send)
    y = torch.zeros(tokens, x.size(1), dtype=back.dtype)
    for c in range(choices):
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order))
        y = y + weights[:, c, None] * back[places[c::choices]]
    return y


def balance_bias(bias, experts, rate):
    counts = torch.zeros(bias.numel(), dtype=torch.long)
    counts.scatter_add_(
        0, experts.reshape(-1), torch.ones(experts.numel(), dtype=torch.long)
    )
    gathered = [torch.empty_like(counts) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, counts)
    total = sum(gathered)
    change = torch.where(total * len(total) > total.sum(), -rate, rate)
    return bias + torch.where(total * len(total) == total.sum(), 0.0, change).to(bias)


def positions(T, rank, world, layout="zigzag"):
    if T % (2 * world) != 0:
        raise ValueError(f"T={T} is not divisible by 2W={2 * world}")
    by_layout = {
        "contiguous": [t for t in range(T) if t * world // T == rank],
        "striped": [t for t in range(T) if t % world == rank],
        "zigzag": [
            t for t in range(T) if t * 2 * world // T in (rank, 2 * world - 1 - rank)
        ],
    }
    if layout not in by_layout:
        raise ValueError(f"unknown layout {layout}")
    return torch.tensor(by_layout[layout])


def merge(out, lse, part, part_lse):
    top = torch.maximum(lse, part_lse)
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    first, second = torch.exp(lse - top), torch.exp(part_lse - top)
    total = first + second
    mixed = out * first.unsqueeze(-1) + part * second.unsqueeze(-1)
    return mixed / total.clamp(min=1e-30).unsqueeze(-1), top + torch.log(total)


def ring_attention(q, k, v, own):
    rank, world = dist.get_rank(), dist.get_world_size()
    visiting = torch.stack([k, v])
    out, lse = torch.zeros_like(q), torch.full(q.shape[:-1], -torch.inf, dtype=q.dtype)
    for hop in range(world):
        seen = own[rank].view(-1, 1) >= own[rank - hop].view(1, -1)
        if seen.any():
            out, lse = merge(out, lse, *attend_part(q, visiting[0], visiting[1], seen))
        if hop + 1 < world:
            visiting = pass_on(visiting)
    return out, lse


def ring_backward(q, k, v, out, lse, dout, own):
    """The gradient of each part is autograd's, of weights that lse has
    normalised already.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    delta = (out * dout).sum(-1, keepdim=True)
    dq, travelling = (
        torch.zeros_like(q),
        torch.stack([k, v, torch.zeros_like(k), torch.zeros_like(v)]),
    )
    for hop in range(world):
        seen = own[rank][:, None] >= own[(rank - hop) % world]
        with torch.enable_grad():
            leaves = [
                t.detach().clone().requires_grad_()
                for t in (q, travelling[0], travelling[1])
            ]
            scores = leaves[0] @ leaves[1].transpose(-1, -2) / math.sqrt(q.size(-1))
            p = (scores.masked_fill(~seen, float("-inf")) - lse[..., None]).exp()
            of_p = (p @ leaves[2] * dout).sum() - (p * delta).sum()
            grads = torch.autograd.grad(of_p, leaves)
        dq = dq + grads[0]
        travelling[2] += grads[1]
        travelling[3] += grads[2]
        travelling = pass_on(travelling)
    return dq, travelling[2], travelling[3]


def ulysses_attention(q, k, v, attend):
    world = dist.get_world_size()
    if q.size(1) % world:
        raise ValueError(f"{q.size(1)} heads on {world} ranks")
    parts = [
        _Posted.apply(torch.cat(x.chunk(world, 1)), [len(x)] * world, [len(x)] * world)
        for x in (q, k, v)
    ]
    whole = attend(*(torch.cat(x.chunk(world), 2) for x in parts))
    back = _Posted.apply(
        torch.cat(whole.chunk(world, 2)), [len(q)] * world, [len(q)] * world
    )
    return torch.cat(back.chunk(world), 1)
