"""Kata today/08 in code: a vector cut among ranks, a layer gathered while it computes,
bytes, calls, cut products.
"""

from collections import Counter

import torch

# optimizers import it when first used: import it once, before processes are forked
import torch._dynamo
import torch.distributed as dist
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure

kata = code(__file__)
# before anything is forked: a forked process does not have the threads
torch.set_num_threads(1)

# 1. Two tensors, five elements, two ranks: three elements each, and one zero behind
#    the last.
SMALL = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0])]


def cut_and_joined():
    shard = kata.shard_flat(SMALL)
    return shard.tolist(), [
        t.tolist() for t in kata.gather_parameters(shard, [(2, 2), (1,)])
    ]


print("1. [[1, 2], [3, 4]] and [5] on two ranks")
for rank, (shard, whole) in enumerate(kata.launch(cut_and_joined, 2)):
    print(f"   rank {rank}: shard {shard}, gathered {whole}")

# 2. FSDP for digits. Each layer is a unit: its weight and bias are one flat vector.
#    Gathering is a step of forward, so its backward is the other collective: the
#    gradient of a gathered whole is scattered. `checkpoint` forgets the whole after
#    forward and gathers again in backward, so that one layer at a time is whole.
SIZES = (64, 96, 96, 96, 10)
LAYERS = [((out, into), (out,)) for into, out in zip(SIZES, SIZES[1:], strict=False)]
STEPS, ROWS, LR, MAX_NORM = 8, 96, 0.003, 1.0
images, labels = digits()
images = images.flatten(1)


class Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, shard, shapes):
        return tuple(kata.gather_parameters(shard, shapes))

    @staticmethod
    def backward(ctx, *grads):
        return kata.scatter_gradients(grads), None


class Sent(TorchDispatchMode):
    """Counts the collectives that are called inside, and the elements of what is whole
    there: all shards together.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.elements = Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            name = func.__name__.split(".")[0].strip("_")
            parts = [
                [t for t in tree_leaves(arg) if isinstance(t, torch.Tensor)]
                for arg in args
            ]
            self.calls[name] += 1
            self.elements[name] += max(sum(t.numel() for t in part) for part in parts)
        return func(*args, **(kwargs or {}))


def start():
    """The weights of all layers, the same everywhere."""
    torch.manual_seed(0)
    return [[torch.randn(w) / w[1] ** 0.5, torch.zeros(b)] for w, b in LAYERS]


def rows_of(step):
    return torch.randperm(len(images), generator=torch.Generator().manual_seed(step))[
        :ROWS
    ]


def layer(x, last, weight, bias):
    x = F.linear(x, weight, bias)
    return x if last else x.relu()


def bytes_of(tensors):
    """What the tensors keep alive, each memory once."""
    return sum(
        {
            t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
            for t in tensors
        }.values()
    )


def fully_sharded():
    """Losses, norms, bytes by kind, and what a step sends, on this rank."""
    rank, world_size = dist.get_rank(), dist.get_world_size()
    shards = [kata.shard_flat(tensors).requires_grad_() for tensors in start()]
    states, records = [{} for _ in shards], []
    for step in range(STEPS):
        own = rows_of(step)[rank * ROWS // world_size : (rank + 1) * ROWS // world_size]
        with Sent() as sent:
            x = images[own]
            for i, shard in enumerate(shards):
                shapes, last = LAYERS[i], i == len(shards) - 1
                unit = lambda x, shard, shapes=shapes, last=last: layer(  # noqa: E731
                    x, last, *Gather.apply(shard, shapes)
                )
                x = checkpoint(unit, x, shard, use_reentrant=False)
            loss = F.cross_entropy(x, labels[own])
            grads = torch.autograd.grad(loss, shards)
        norm = kata.global_norm(torch.cat(grads))
        with torch.no_grad():
            for shard, grad, state in zip(shards, grads, states, strict=True):
                kata.sharded_adamw(
                    shard,
                    grad * min(1.0, MAX_NORM / (norm + 1e-6)),
                    state,
                    LR,
                    weight_decay=0.1,
                )
        mean = loss.detach() / world_size
        dist.all_reduce(mean)
        records.append((mean.item(), norm))
    kept = {
        "parameters": bytes_of([shard.detach() for shard in shards]),
        "gradients": bytes_of(grads),
        "moments": bytes_of(
            [t for state in states for t in (state["exp_avg"], state["exp_avg_sq"])]
        ),
        "the largest layer": max(
            bytes_of(kata.gather_parameters(shard.detach(), shapes))
            for shard, shapes in zip(shards, LAYERS, strict=True)
        ),
    }
    return records, kept, sent.calls, sent.elements


def one_process():
    """The control: torch's AdamW and all rows. This is also what each rank of
    DDP keeps.
    """
    weights = [t.requires_grad_() for tensors in start() for t in tensors]
    optimizer = torch.optim.AdamW(weights, lr=LR, betas=(0.9, 0.95), weight_decay=0.1)
    records = []
    for step in range(STEPS):
        x = images[rows_of(step)]
        for i in range(len(LAYERS)):
            x = layer(x, i == len(LAYERS) - 1, *weights[2 * i : 2 * i + 2])
        loss = F.cross_entropy(x, labels[rows_of(step)])
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, MAX_NORM)
        optimizer.step()
        records.append((loss.item(), norm.item()))
    moments = [
        t
        for p in weights
        for t in (optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"])
    ]
    kept = {
        "parameters": bytes_of(weights),
        "gradients": bytes_of([p.grad for p in weights]),
    }
    return records, kept | {"moments": bytes_of(moments), "the largest layer": 0}


[(alone, everything)] = kata.launch(one_process, 1)
runs = {world_size: kata.launch(fully_sharded, world_size) for world_size in (2, 4)}
count = sum(out * into + out for (out, into), _ in LAYERS)
print(
    f"\n2. Loss and norm of {STEPS} steps, {count:,} parameters, {ROWS} rows per step"
)
print("   step   loss, W = 1        W = 2        W = 4   norm, W = 1     W = 4")
for step in range(STEPS):
    losses = [alone[step][0], *(runs[w][0][0][step][0] for w in (2, 4))]
    norms = alone[step][1], runs[4][0][0][step][1]
    print(
        f"   {step:>4}   {losses[0]:>11.6f} {losses[1]:>12.6f} {losses[2]:>12.6f}   "
        f"{norms[0]:>11.4f} {norms[1]:>9.4f}"
    )
apart = max(
    abs(a[0] - b[0]) for w in (2, 4) for a, b in zip(alone, runs[w][0][0], strict=True)
)
print(f"   largest difference of a loss: {apart:.0e}")

# 3. What one rank keeps. DDP keeps everything on every rank; a shard of everything, and
#    one whole layer, is enough.
print("\n3. Bytes on rank 0")
kinds = list(everything)
print("   " + " " * 12 + "".join(f"{kind:>19}" for kind in kinds) + f"{'all':>12}")
tables = {"DDP, any W": everything} | {f"FSDP, W = {w}": runs[w][0][1] for w in (2, 4)}
for name, kept in tables.items():
    print(
        f"   {name:<12}"
        + "".join(f"{kept[kind]:>19,}" for kind in kinds)
        + f"{sum(kept.values()):>12,}"
    )

# 4. What a step sends. Around a ring, an all-gather and a reduce-scatter send
#    (W − 1) / W of the vector per rank, an all-reduce twice as much (31).
print(f"\n4. Collectives of one step on rank 0 of 2, {len(LAYERS)} layers")
_, _, calls, elements = runs[2][0]
for name, times in calls.items():
    print(
        f"   {name:<20} {times} calls, {elements[name] / count:.2f} of all parameters"
    )
print(
    "   DDP: one all-reduce of every gradient is worth two of these, so FSDP sends 3 "
    "/ 2 times as much"
)

# 5. Tensor parallelism: two products and one sum in each direction.
X, FIRST, SECOND = (
    torch.randn(s, generator=torch.Generator().manual_seed(i))
    for i, s in enumerate([(5, 8), (12, 8), (8, 12)])
)


def column_then_row():
    rank, world_size = dist.get_rank(), dist.get_world_size()
    x = X.clone().requires_grad_()
    with Sent() as sent:
        hidden = kata.column_linear(x, FIRST.chunk(world_size, 0)[rank]).relu()
        out = kata.row_linear(hidden, SECOND.chunk(world_size, 1)[rank])
        (grad,) = torch.autograd.grad(out.square().sum(), x)
    return hidden.shape, out.detach(), grad, sent.calls


print("\n5. An MLP of 8, 12 and 8 features on two ranks")
try:
    for rank, (shape, out, grad, calls) in enumerate(kata.launch(column_then_row, 2)):
        x = X.clone().requires_grad_()
        dense = (x @ FIRST.T).relu() @ SECOND.T
        (right,) = torch.autograd.grad(dense.square().sum(), x)
        print(
            f"   rank {rank}: hidden {tuple(shape)}, calls {dict(calls)}, output apart "
            f"by {(out - dense).abs().max() / dense.abs().max():.0e} of its largest, "
            f"gradient of x by {(grad - right).abs().max() / right.abs().max():.0e}"
        )
except RuntimeError as error:
    if "NotImplementedError" not in str(error):
        raise
    print(
        "   (column_linear and row_linear are stretch exercises that are not written "
        "yet)"
    )


# 6. One file again.
def saved():
    return kata.full_state_dict(
        kata.shard_flat(SMALL), ["weight", "bias"], [(2, 2), (1,)]
    )


print("\n6. The whole state dict")
try:
    for rank, state in enumerate(kata.launch(saved, 2)):
        print(f"   rank {rank}: { {name: t.tolist() for name, t in state.items()} }")
except RuntimeError as error:
    if "NotImplementedError" not in str(error):
        raise
    print("   (full_state_dict is a stretch exercise that is not written yet)")

# 7. The figure: bytes by kind, and one layer's vector with the borders of four ranks.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
bottom = [0.0] * len(tables)
for kind, colour in zip(
    kinds, (COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3]), strict=True
):
    heights = [kept[kind] / 1024 for kept in tables.values()]
    above.bar(list(tables), heights, bottom=bottom, color=colour, width=0.6, label=kind)
    bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
above.set(ylabel="KiB on rank 0", title="What one rank keeps")
above.legend()
small = [("(4, 5)", 20), ("(5,)", 5), ("(2, 5)", 10), ("0", 1)]
at = 0
for (name, length), colour in zip(
    small, (COLOURS[5], COLOURS[3], COLOURS[2], "#cccccc"), strict=True
):
    below.broken_barh([(at, length)], (1, 0.6), facecolor=colour, edgecolor="white")
    below.text(at + length / 2, 1.3, name, ha="center", va="center")
    at += length
for rank in range(4):
    below.broken_barh([(9 * rank, 9)], (0, 0.6), facecolor="white", edgecolor="black")
    below.text(9 * rank + 4.5, 0.3, f"rank {rank}", ha="center", va="center")
    below.axvline(9 * rank, color="black", linewidth=1, linestyle=":")
below.axvline(36, color="black", linewidth=1, linestyle=":")
below.set(
    yticks=[0.3, 1.3],
    yticklabels=["shards", "tensors"],
    xticks=range(0, 37, 9),
    xlabel="element of the flat vector",
)
below.set_title("35 elements and a zero, on four ranks")
save_figure(figure, __file__)
