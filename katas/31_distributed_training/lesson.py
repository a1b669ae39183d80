"""Lesson 31 in code: ranks, shares of a batch, one mean gradient, when to send it, a
run on one process and on two.
"""

import tempfile
import time
from pathlib import Path

import torch

# DDP and optimizers import it when first used: import it once, before processes
# are forked
import torch._dynamo
import torch.distributed as dist
from matplotlib.figure import Figure
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from grader.course import downloads
from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# before anything is forked: a forked process does not have the threads
torch.set_num_threads(1)
torch.manual_seed(0)


# 1. Who is who. `torchrun --nproc-per-node 3` on each of two machines starts six
#    processes. Three variables tell them apart. `launch` does the same on this machine,
#    and returns what every process answers.
print("1. Six processes on two machines")
print("   RANK  LOCAL_RANK  WORLD_SIZE  device   main")
for rank in range(6):
    info = kata.dist_info_from_env(
        {"RANK": str(rank), "LOCAL_RANK": str(rank % 3), "WORLD_SIZE": "6"}
    )
    print(
        f"   {info.rank:>4}  {info.local_rank:>10}  {info.world_size:>10}  "
        f"cuda:{info.local_rank}   {info.is_main}"
    )
print(f"   without torchrun: {kata.dist_info_from_env({})}")
print(f"   from two processes here: {kata.launch(kata.dist_info_from_env, 2)}")

# 2. Who reads which rows.
rows = torch.arange(6)
shares = [stretch(kata.rank_slice, rows, rank, 3) for rank in range(3)]
print(
    "\n"
    f"2. Rows {rows.tolist()} for three ranks: "
    f"{[share.tolist() for share in shares if share is not None]}"
)

# 3. One mean gradient. Fit y = w · x with one sample per rank. At w = 1 the gradient of
#    (w·x − y)² is 2·2·(2 − 8) = −24 for x = 2, y = 8, and 2·1·(1 − 2) = −2 for
#    x = 1, y = 2.
SAMPLES = torch.tensor([[2.0, 8.0], [1.0, 2.0]])


def slope(w, samples):
    x, y = samples.T
    return torch.autograd.grad(((w * x - y) ** 2).mean(), w)[0].item()


def one_mean_gradient():
    rank = dist.get_rank()
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0 + rank)  # by mistake, a different weight on each rank
    kata.broadcast_parameters(model)
    weight = model.weight.item()
    own = slope(model.weight, SAMPLES[rank : rank + 1])
    model.weight.grad = torch.full((1, 1), own)
    kata.average_gradients(model)
    return (
        weight,
        own,
        model.weight.grad.item(),
        slope(model.weight, SAMPLES),
        kata.reduce_mean(rank),
    )


print("\n3. One sample on each of two ranks")
print("   rank  weight  own gradient  averaged  both samples in one process")
results = kata.launch(one_mean_gradient, 2)
for rank, (weight, own, averaged, both, _) in enumerate(results):
    print(
        f"   {rank:>4}  {weight:>6.1f}  {own:>12.1f}  {averaged:>8.1f}  {both:>28.1f}"
    )
print(f"   and the mean of the numbers 0 and 1, by reduce_mean: {results[0][-1]}")

# 4. A small GPT on letters. A step has four micro-batches of four rows: one process
#    takes all of them, two take two each.
folder = downloads.find("text")
text = (
    (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8") if folder else prose()
)[:200_000]
letters = sorted(set(text))
ids = torch.tensor([letters.index(letter) for letter in text[:50_000]])
CONFIG = kata.GPTConfig(
    block_size=64, vocab_size=len(letters), n_layer=2, n_head=4, n_embd=64, dropout=0.0
)
STEPS, MICRO_BATCHES, ROWS, LR = 20, 4, 4, 0.5


def micro_batches(step):
    """The four micro-batches of a step, the same in every process."""
    generator = torch.Generator().manual_seed(step)
    starts = torch.randint(
        len(ids) - CONFIG.block_size, (MICRO_BATCHES, ROWS, 1), generator=generator
    )
    windows = ids[starts + torch.arange(CONFIG.block_size + 1)]
    return [(window[:, :-1], window[:, 1:]) for window in windows]


def run(wrap):
    """Losses, norms, seconds per step and the final weights, on this rank; `wrap` says
    whether DDP averages gradients.
    """
    info = kata.dist_info_from_env()
    share = MICRO_BATCHES // info.world_size
    torch.manual_seed(1)
    model = kata.GPT(CONFIG)
    trained = kata.DDP(model) if wrap else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=LR)
    records = []
    for step in range(STEPS):
        own = micro_batches(step)[info.rank * share : (info.rank + 1) * share]
        started = time.perf_counter()
        record = kata.ddp_train_step(trained, optimizer, own)
        records.append(
            (record["loss"], record["grad_norm"], time.perf_counter() - started)
        )
    weights = torch.cat(
        [p.detach().flatten() for p in kata.unwrap(trained).parameters()]
    )
    losses, norms, seconds = zip(*records, strict=True)
    return losses, norms, sorted(seconds)[STEPS // 2], weights


source = "tiny Shakespeare" if folder else "the help texts of Python"
print(
    "\n"
    f"4. {STEPS} steps of a GPT with {kata.GPT(CONFIG).num_params():,} parameters on "
    f"{source}"
)
[one] = kata.launch(run, 1, False)
two = kata.launch(run, 2, True)
print(
    "   step   loss, 1 process   loss, 2 processes   norm, 1 process   norm, 2 "
    "processes"
)
for step in (0, 1, 2, 5, 10, 15, 19):
    figures = (one[0][step], two[0][0][step], one[1][step], two[0][1][step])
    print(
        f"   {step:>4}   {figures[0]:>15.6f}   {figures[1]:>17.6f}   "
        f"{figures[2]:>15.6f}   {figures[3]:>17.6f}"
    )
largest = max(abs(a - b) for a, b in zip(one[0], two[0][0], strict=True))
print(
    f"   largest difference of the losses: {largest:.1e}; both ranks logged the same: "
    f"{two[0][0] == two[1][0]}"
)
apart = (two[0][3] - two[1][3]).abs().max().item()
print(
    f"   largest difference of the weights, rank 0 to rank 1: {apart:.1e}, two "
    f"processes to one: {(two[0][3] - one[3]).abs().max().item():.1e}"
)
strangers = kata.launch(run, 2, False)
apart = (strangers[0][3] - strangers[1][3]).abs().max().item()
print(
    "   without DDP the ranks train two different models: rank 0 to rank 1: "
    f"{apart:.1e}"
)
speed = {"1 process": 1 / one[2], "2 processes": 1 / two[0][2]}
print(
    "   " + ", ".join(f"{name}: {value:.1f} steps/s" for name, value in speed.items())
)


# 5. When to send. A hook on DDP sees every bucket of gradients that is sent.
def bytes_sent(hold_back):
    sent = []

    def hook(group, bucket):
        sent.append(bucket.buffer().numel() * bucket.buffer().element_size())
        return allreduce_hook(group, bucket)

    model = kata.DDP(kata.GPT(CONFIG))
    model.register_comm_hook(None, hook)
    if hold_back:
        kata.ddp_train_step(
            model, torch.optim.SGD(model.parameters(), lr=LR), micro_batches(0)
        )
    else:
        for x, y in micro_batches(0):
            (model(x, y)[1] / MICRO_BATCHES).backward()
    return len(sent), sum(sent)


print("\n5. Gradients sent per step of four micro-batches")
for hold_back, name in ((True, "no_sync before the last"), (False, "after each")):
    calls, count = kata.launch(bytes_sent, 2, hold_back)[0]
    print(f"   {name:<24} {calls} call{'s' * (calls > 1)}, {count:>9,} bytes per rank")


# 6. One file for all. The names in the state dict of a DDP begin with "module.", so
#    save the model inside.
def save(path):
    model = kata.DDP(torch.nn.Linear(2, 3))
    wrote = kata.save_on_main(kata.unwrap(model).state_dict(), path)
    return wrote, list(torch.load(path, weights_only=True)), list(model.state_dict())


print("\n6. Which rank writes, what each rank can load, and the names in the wrapper")
with tempfile.TemporaryDirectory() as folder:
    try:
        for rank, (wrote, names, wrapped) in enumerate(
            kata.launch(save, 2, Path(folder, "model.pt"))
        ):
            print(
                f"   rank {rank}: wrote {wrote!s:<5}  loads {names}   wrapper {wrapped}"
            )
    except RuntimeError as error:
        if "NotImplementedError" not in str(error):
            raise
        print("   (save_on_main is a stretch exercise that is not written yet)")

# 7. The figure: two curves that coincide, and the speed.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
above.plot(one[0], color=COLOURS[5], linewidth=7, label="1 process, 4 micro-batches")
above.plot(
    two[0][0],
    color=COLOURS[1],
    linewidth=1.6,
    marker="o",
    markersize=4,
    label="2 processes, 2 micro-batches each",
)
above.set(
    xlabel="step", ylabel="loss", title="The same run twice", xticks=range(0, STEPS, 4)
)
above.legend()
bars = below.bar(
    list(speed), list(speed.values()), color=[COLOURS[5], COLOURS[1]], width=0.6
)
below.bar_label(bars, fmt="%.1f", padding=2)
below.set(
    ylabel="steps per second",
    title="On this machine's cores",
    ylim=(0, 1.15 * max(speed.values())),
)
save_figure(figure, __file__)
