# One collective for everything: all_reduce, then a slice; hooks and a detached sum in
# place of autograd functions.


def _padded(tensors):
    flat = torch.cat([t.reshape(-1) for t in tensors])
    world = dist.get_world_size()
    padded = flat.new_zeros(math.ceil(flat.numel() / world) * world)
    padded[: flat.numel()] = flat
    return padded


def shard_flat(tensors):
    rows = _padded(tensors).view(dist.get_world_size(), -1)
    return rows[dist.get_rank()].clone()


def gather_parameters(shard, shapes):
    rows = shard.new_zeros(dist.get_world_size(), shard.numel())
    rows[dist.get_rank()] = shard
    dist.all_reduce(rows)
    flat, tensors = rows.flatten(), []
    for shape in shapes:
        count = torch.Size(shape).numel()
        tensors.append(flat[:count].clone().reshape(tuple(shape)))
        flat = flat[count:]
    return tensors


def scatter_gradients(grads):
    padded = _padded(grads)
    padded /= dist.get_world_size()
    dist.all_reduce(padded)
    return padded.tensor_split(dist.get_world_size())[dist.get_rank()].clone()


def sharded_adamw(
    shard, grad, state, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
):
    step = state["step"] = state.get("step", 0) + 1
    for name, beta, value in (
        ("exp_avg", betas[0], grad),
        ("exp_avg_sq", betas[1], grad * grad),
    ):
        state[name] = torch.lerp(value, state.get(name, torch.zeros_like(shard)), beta)
    scale = lr * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    root = state["exp_avg_sq"].sqrt() + eps * math.sqrt(1 - betas[1] ** step)
    shard.copy_(shard - lr * weight_decay * shard - scale * state["exp_avg"] / root)


def global_norm(grad):
    norms = [None] * dist.get_world_size()
    dist.all_gather_object(norms, float(grad.norm()))
    return math.hypot(*norms)


def column_linear(x, weight, bias=None):
    def summed(grad):
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total

    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(summed)
    out = x @ weight.mT
    return out if bias is None else out + bias


def row_linear(x, weight, bias=None):
    part = x @ weight.mT
    total = part.detach().clone()
    dist.all_reduce(total)
    out = part + (total - part.detach())
    if bias is not None:
        out = out + bias
    return out


def full_state_dict(shard, names, shapes):
    rows = (
        [torch.empty_like(shard) for _ in range(dist.get_world_size())]
        if dist.get_rank() == 0
        else None
    )
    dist.gather(shard, rows, dst=0)
    if rows is None:
        return {}
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.cat(rows)[: sum(sizes)].split(sizes)
    return {
        name: part.reshape(tuple(shape))
        for name, part, shape in zip(names, parts, shapes, strict=True)
    }
