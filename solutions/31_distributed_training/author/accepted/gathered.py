# Everything is gathered first, then the mean is taken on each rank; whole state dicts
# travel as objects.


def broadcast_parameters(model, src=0):
    if dist.is_initialized():
        box = [model.state_dict() if dist.get_rank() == src else None]
        dist.broadcast_object_list(box, src=src)
        model.load_state_dict(box[0])


def average_gradients(model):
    if not dist.is_initialized():
        return
    world_size = dist.get_world_size()
    for p in model.parameters():
        if not p.requires_grad:
            continue
        own = torch.zeros_like(p) if p.grad is None else p.grad
        everyones = [torch.empty_like(own) for _ in range(world_size)]
        dist.all_gather(everyones, own.detach())
        p.grad = torch.stack(everyones).mean(0)


def reduce_mean(value):
    if not dist.is_initialized():
        return float(value)
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, float(value))
    return sum(values) / len(values)


def unwrap(model):
    while isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    return model


def dist_info_from_env(env=None):
    if env is None:
        env = dict(os.environ)
    rank, local_rank, world_size = (
        int(env.get(name, d))
        for name, d in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    if env.get("RANK") is None:
        return DistInfo()
    if rank not in range(world_size):
        raise ValueError("rank outside of the world")
    return DistInfo(rank, local_rank, world_size)
