# Rank 0 takes the mean and hands it back; the last parameter goes first, and a number
# is shared before it is summed.


def broadcast_parameters(model, src=0):
    if dist.is_available() and dist.is_initialized():
        with torch.no_grad():
            for tensor in reversed([*model.buffers(), *model.parameters()]):
                sent = tensor.clone()
                dist.broadcast(sent, src=src)
                tensor.copy_(sent)


def average_gradients(model):
    if not dist.is_initialized():
        return
    for p in reversed([p for p in model.parameters() if p.requires_grad]):
        share = (
            torch.zeros_like(p.data)
            if p.grad is None
            else p.grad.detach() / dist.get_world_size()
        )
        dist.reduce(share, dst=0)
        dist.broadcast(share, src=0)
        p.grad = share


def reduce_mean(value):
    number = float(value)
    if not dist.is_initialized():
        return number
    device = (
        torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    )
    share = torch.full(
        (), number / dist.get_world_size(), dtype=torch.float64, device=device
    )
    dist.all_reduce(share, op=dist.ReduceOp.SUM)
    return float(share)


def save_on_main(state, path):
    alone = not dist.is_initialized()
    rank = 0 if alone else dist.get_rank()
    if rank == 0:
        with open(path, "wb") as file:
            torch.save(state, file)
    if not alone:
        dist.all_reduce(torch.zeros(1))
    return not rank
