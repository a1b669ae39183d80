# One buffer for all tensors of a kind, and one call for each buffer; the wait of all
# for all is an all_reduce.


def broadcast_parameters(model, src=0):
    if not dist.is_initialized():
        return
    tensors = [t.data for t in model.state_dict().values()]
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        same = [t for t in tensors if t.dtype == dtype]
        buffer = torch.cat([t.flatten() for t in same])
        dist.broadcast(buffer, src)
        for t, part in zip(same, buffer.split([t.numel() for t in same]), strict=True):
            t.copy_(part.view_as(t))


def average_gradients(model):
    if not dist.is_initialized():
        return
    trainable = [p for p in model.parameters() if p.requires_grad]
    buffer = torch.cat(
        [
            torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
            for p in trainable
        ]
    )
    dist.all_reduce(buffer, op=dist.ReduceOp.AVG)
    for p, part in zip(
        trainable, buffer.split([p.numel() for p in trainable]), strict=True
    ):
        p.grad = part.view_as(p).clone()


def save_on_main(state, path):
    info = DistInfo(rank=dist.get_rank() if dist.is_initialized() else 0)
    if info.is_main:
        temporary = Path(f"{path}.part")
        torch.save(state, temporary)
        temporary.replace(path)
    reduce_mean(0.0)
    return info.is_main


def rank_slice(x, rank, world_size):
    if rank not in range(world_size) or x.size(0) % world_size != 0:
        raise ValueError("no such share")
    return x.chunk(world_size)[rank]
