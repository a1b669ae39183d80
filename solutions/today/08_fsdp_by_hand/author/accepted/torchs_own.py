# What torch has: tensor_split and parameters_to_vector, AVG, an optimizer on the shard,
# differentiable collectives.
import torch.distributed.nn.functional as collectives
from torch.nn.utils import vector_to_parameters


def shard_flat(tensors):
    flat = torch.nn.utils.parameters_to_vector([t.contiguous() for t in tensors])
    size = -(-flat.numel() // dist.get_world_size())
    own = flat[dist.get_rank() * size : (dist.get_rank() + 1) * size]
    shard = torch.zeros(size, dtype=flat.dtype)
    shard[: own.numel()] = own
    return shard


def gather_parameters(shard, shapes):
    pieces = collectives.all_gather(shard)
    tensors = [shard.new_empty(tuple(shape)) for shape in shapes]
    vector_to_parameters(torch.cat(pieces), tensors)
    return [t.data for t in tensors]


def scatter_gradients(grads):
    world, rank = dist.get_world_size(), dist.get_rank()
    flat = torch.cat([g.ravel() for g in grads])
    size = (flat.numel() + world - 1) // world
    pieces = list(
        torch.cat(
            [flat, torch.zeros(size * world - flat.numel(), dtype=flat.dtype)]
        ).split(size)
    )
    for owner, piece in enumerate(pieces):
        dist.reduce(piece, dst=owner)
    return pieces[rank].clone().div_(world)


def sharded_adamw(
    shard, grad, state, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
):
    p = torch.nn.Parameter(shard.clone())
    p.grad = grad.clone()
    optimizer = torch.optim.AdamW(
        [p], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=True
    )
    if state:
        optimizer.state[p] = dict(state)
    optimizer.step()
    state.update(optimizer.state[p])
    shard.copy_(p.data)


def global_norm(grad):
    squares = grad.double().pow(2).sum().reshape(1)
    everyones = [torch.empty_like(squares) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, squares)
    return torch.cat(everyones).sum().sqrt().item()


class _Copied(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        to_x = grad @ weight
        dist.all_reduce(to_x)
        return to_x, grad.flatten(0, -2).T @ x.flatten(0, -2)


def column_linear(x, weight, bias=None):
    out = _Copied.apply(x, weight)
    return out if bias is None else out + bias


def row_linear(x, weight, bias=None):
    out = (
        collectives.all_reduce(F.linear(x, weight) / dist.get_world_size())
        * dist.get_world_size()
    )
    out = _Unsummed.apply(out)
    return out if bias is None else out + bias


class _Unsummed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):  # all_reduce sums its gradient over the ranks
        return grad / dist.get_world_size()
