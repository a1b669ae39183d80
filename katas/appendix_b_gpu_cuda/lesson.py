"""Appendix B in code: devices, nested batches, windows, half precision, memory,
checkpointing, clock and profiler.
"""

import copy
import os
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
MIB = 2**20
HAS_CUDA = torch.cuda.is_available()


# 1. Ask for the device once, then pass it to everything. x.cuda() and x.cpu() are short
#    for x.to("cuda") and x.to("cpu"). This repository writes .to(device): it runs on
#    every machine, while .cuda() fails without a GPU.
device = kata.select_device()
print(f"1. The best device here is {device}")
for cuda, mps in ((True, True), (False, True), (False, False)):
    chosen = kata.select_device(
        cuda_available=lambda has=cuda: has, mps_available=lambda has=mps: has
    )
    print(f"   with cuda {cuda!s:<5} and mps {mps!s:<5} it would be {chosen}")
try:
    kata.select_device("cuda:1", cuda_available=lambda: False)
except ValueError as error:
    print(f'   "cuda:1" without a GPU: ValueError: {error}')

# 2. A nested batch, as collate functions make it. "meta" takes the place of a GPU: it
#    holds shapes without numbers.
print("\n2. A nested batch moves, and keeps its types")
target = device if device.type != "cpu" else "meta"
words = nn.utils.rnn.pack_sequence([torch.zeros(3, 2), torch.zeros(1, 2)])
batch = {"pair": (torch.zeros(4, 3), torch.zeros(4)), "words": words, "file": "cat.png"}
moved = stretch(kata.move_to, batch, target)
if moved is not None:
    first, second = moved["pair"]
    print(
        f"   a tuple of tensors on {first.device} and {second.device}; the file is "
        f"{moved['file']!r}"
    )
    print(
        f"   the words: data on {moved['words'].data.device}, batch_sizes on "
        f"{moved['words'].batch_sizes.device}"
    )

# 3. Windows. Seven batches of unequal size, three per window: three steps, as if each
#    window had been one batch.
print("\n3. Seven batches in windows of 3")
sizes = (4, 3, 5, 2, 6, 1, 3)
model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
batches = [(torch.randn(n, 3).double(), torch.randn(n, 2).double()) for n in sizes]


def after_steps(losses_of):
    """The weights of a copy of the model after one step of SGD for each list
    of losses.
    """
    trained = copy.deepcopy(model)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.5)
    for losses in losses_of(trained):
        optimizer.zero_grad()
        for loss in losses:
            loss.backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(trained.parameters())


def on_joined_batches(trained):
    for i in range(0, 7, 3):
        x, y = (torch.cat(parts) for parts in zip(*batches[i : i + 3], strict=True))
        yield [F.mse_loss(trained(x), y)]


def each_a_third(trained):
    for i in range(0, 7, 3):
        yield [F.mse_loss(trained(x), y) / 3 for x, y in batches[i : i + 3]]


accumulated = copy.deepcopy(model)
optimizer = torch.optim.SGD(accumulated.parameters(), lr=0.5)
losses = kata.accumulated_epoch(accumulated, iter(batches), F.mse_loss, optimizer, 3)
ours, right = (
    nn.utils.parameters_to_vector(accumulated.parameters()),
    after_steps(on_joined_batches),
)
print(f"   mean loss per sample of each window: {[round(loss, 3) for loss in losses]}")
print(
    "   largest difference from steps on the joined batches: "
    f"{(ours - right).abs().max():.1e}"
)
print(
    "   the same with every loss divided by 3 instead:       "
    f"{(after_steps(each_a_third) - right).abs().max():.1e}"
)

# 4. Mixed precision. The smallest number above 0 in float16 is 6e-8, the largest 65504.
#    A factor keeps small gradients from becoming 0; it is divided out before clipping
#    and before the step. bfloat16 has float32's range: no factor.
print("\n4. Half precision")
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    info, name = torch.finfo(dtype), str(dtype).removeprefix("torch.")
    lowest = info.smallest_normal * info.eps
    print(
        f"   {name:<8} smallest above 0: {lowest:<7.2g}  largest: {info.max:<7.5g}  "
        f"after 1: {1 + info.eps:.8g}"
    )
for number in (1e-8, 1e-4, 1.001, 70000.0):
    half, brain = (
        torch.tensor(number).half().item(),
        torch.tensor(number).bfloat16().item(),
    )
    print(f"   {number:<8g} is {half:<11.5g} in float16 and {brain:<10.5g} in bfloat16")
print(f"   1e-8 · 1024 is {torch.tensor(1e-8 * 1024).half().item():.3g} in float16")


class Recorder:
    """Passes calls on to a GradScaler and records their names."""

    def __init__(self, scaler):
        self.scaler, self.calls = scaler, []

    def __getattr__(self, name):
        self.calls.append(name)
        return getattr(self.scaler, name)


def half_step(loss_fn, scaler):
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(kind)
    start = copy.deepcopy(net.state_dict())
    options = {"scaler": scaler, "device_type": kind, "max_grad_norm": 1.0}
    x, y = torch.randn(6, 3, device=kind), torch.randn(6, 2, device=kind)
    loss = stretch(
        kata.amp_train_step,
        net,
        x,
        y,
        loss_fn,
        torch.optim.SGD(net.parameters(), lr=0.5),
        **options,
    )
    return loss, any(
        not torch.equal(value, start[name]) for name, value in net.state_dict().items()
    )


kind = "cuda" if HAS_CUDA else "cpu"
scaler = torch.amp.GradScaler(kind, init_scale=1024.0)
recorder = Recorder(scaler)
loss, moved_weights = half_step(F.mse_loss, recorder)
if loss is not None:
    print(f"   calls of the scaler: {' → '.join(recorder.calls)}")
    print(
        f"   loss {loss:.3f}: weights moved: {moved_weights}, factor "
        f"{scaler.get_scale():g}"
    )
    loss, moved_weights = half_step(
        lambda outputs, y: outputs.float().sum() * float("inf"), scaler
    )
    print(
        f"   loss {loss}: weights moved: {moved_weights}, factor {scaler.get_scale():g}"
    )

# 5. Out of memory. First the usual causes, and what helps:
#
#    the batch is too large                       accumulate smaller micro-batches; half
#                                                 precision; checkpointing
#    losses.append(loss), total += loss           loss.item(): a loss keeps its whole
#                                                 graph alive
#    evaluation builds graphs that nobody uses    torch.no_grad() or
#                                                 torch.inference_mode() around it
#    a name still holds the last step's output    del, or let the function return: its
#                                                 variables end with it
#    an exception is kept or still being handled  leave the except block before
#                                                 you retry
#    free memory is in pieces that are too small  torch.cuda.empty_cache(), then retry
#
#    This model raises the error itself when it gets more than 3 rows.
print("\n5. 11 rows where no more than 3 fit")


class Cramped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.tried = nn.Linear(3, 2), []

    def forward(self, x):
        self.tried.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError(f"simulated: out of memory for {len(x)} rows")
        return self.inner(x)


cramped, emptied = Cramped(), []
stepped = stretch(
    kata.oom_safe_step,
    cramped,
    torch.randn(11, 3),
    torch.randn(11, 2),
    F.mse_loss,
    torch.optim.SGD(cramped.parameters(), lr=0.1),
    empty_cache=lambda: emptied.append(True),
)
if stepped is not None:
    print(
        f"   rows tried: {cramped.tried}; the cache was emptied {len(emptied)} times; "
        f"{stepped[1]} at a time worked"
    )


# 6. Two numbers about memory. PyTorch fetches memory for tensors of 1 to 10 MiB in
#    pieces of 20 MiB. One piece holds three tensors of 6 MiB, so five tensors need two
#    pieces. Without a GPU, FakeCuda does the same sums.
class FakeCuda:
    def __init__(self):
        self.blocks, self.pieces = [], 0

    def allocate(self, bytes_):
        self.blocks.append(bytes_)
        self.pieces = max(self.pieces, -(-len(self.blocks) // 3))

    def free(self):
        self.blocks.clear()

    def synchronize(self):
        pass

    def memory_allocated(self):
        return sum(self.blocks)

    def memory_reserved(self):
        return self.pieces * 20 * MIB

    def empty_cache(self):
        self.pieces = -(-len(self.blocks) // 3)


class FakeTensors:
    """Five blocks of a FakeCuda, freed with the last reference to this object."""

    def __init__(self, cuda):
        self.cuda = cuda
        for _ in range(5):
            cuda.allocate(6 * MIB)

    def __del__(self):
        self.cuda.free()


if HAS_CUDA:
    torch.cuda.empty_cache()
    stages = kata.profile_empty_cache(
        lambda: [
            torch.empty(6 * MIB, dtype=torch.int8, device="cuda") for _ in range(5)
        ]
    )
else:
    fake = FakeCuda()
    stages = kata.profile_empty_cache(lambda: FakeTensors(fake), cuda=fake)
source = torch.cuda.get_device_name() if HAS_CUDA else "a simulated GPU"
print(f"\n6. Five tensors of 6 MiB on {source}, in MiB")
print(f"   {'stage':<10} {'allocated':>9} {'reserved':>9}")
for record in stages:
    print(
        f"   {record['stage']:<10} {record['allocated'] / MIB:9.0f} "
        f"{record['reserved'] / MIB:9.0f}"
    )


# 7. Memory, computed and observed. Autograd keeps the output of every Tanh for the
#    backward pass: six tensors. Checkpointing keeps only the input of each block, and
#    runs the block again in the backward pass. That leaves two tensors beside `rows`:
#    the second block's input and the result. On the CPU, the second number in
#    /proc/self/statm is how many pages of RAM the process holds.
STATM = Path("/proc/self/statm")


def held():
    """Bytes of tensors on the GPU; without a GPU, bytes of this process in RAM, or 0
    where the system has no /proc.
    """
    if HAS_CUDA:
        return torch.cuda.memory_allocated()
    return (
        int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if STATM.exists()
        else 0
    )


def tanh_block():
    return nn.Sequential(
        *(layer for _ in range(3) for layer in (nn.Linear(64, 64), nn.Tanh()))
    ).to(kind)


print("\n7. Two blocks of three Linear and Tanh: what the forward pass keeps, in MiB")
blocks = tanh_block(), tanh_block()
weights = [p for block in blocks for p in block.parameters()]
rows = torch.randn(2**17, 64, device=kind)  # 32 MiB, and so is every activation
ways = {
    "plain": (6, lambda block, x: block(x)),
    "checkpointed": (2, partial(checkpoint, use_reentrant=False)),
}
gradients = []
for name, (tensors, forward) in ways.items():
    if HAS_CUDA:
        torch.cuda.reset_peak_memory_stats()
    before, outputs = held(), rows
    for block in blocks:
        outputs = forward(block, outputs)
    grown = (
        f"{(held() - before) / MIB:.0f}"
        if HAS_CUDA or STATM.exists()
        else "unknown, for lack of /proc"
    )
    gradients.append(torch.autograd.grad(outputs.mean(), weights))
    peak = (
        f"   peak of the step {(torch.cuda.max_memory_allocated() - before) / MIB:.0f}"
        if HAS_CUDA
        else ""
    )
    print(
        f"   {name:<12} computed {tensors * rows.nbytes / MIB:4.0f}   observed "
        f"{grown:>4}{peak}"
    )
    del outputs
difference = max((a - b).abs().max().item() for a, b in zip(*gradients, strict=True))
print(f"   largest difference between the two gradients: {difference:.1e}")


# 8. The clock. This GPU works on its own: Python starts a call in 1 second, and the
#    work is done 4 seconds later.
class FakeGpu:
    def __init__(self):
        self.now = self.free_at = 0.0
        self.started, self.worked, self.readings = [], [], []

    def call(self):
        self.started.append((self.now, 1.0))
        self.now += 1.0
        begin = max(self.now, self.free_at)
        self.worked.append((begin, 4.0))
        self.free_at = begin + 4.0

    def wait(self):
        self.now = max(self.now, self.free_at)

    def clock(self):
        self.readings.append(self.now)
        return self.now


print("\n8. One call on a simulated GPU: 1 s to start it, 4 s of work")
hasty, gpu = FakeGpu(), FakeGpu()
options = {"warmup": 1, "repeats": 2}
print(
    "   without synchronize: "
    f"{kata.benchmark(hasty.call, timer=hasty.clock, **options)['times']}"
)
waited = kata.benchmark(gpu.call, synchronize=gpu.wait, timer=gpu.clock, **options)
print(f"   with synchronize:    {waited['times']}")

# 9. One training step (forward, backward, optimizer) of a small MLP. A small batch
#    leaves most of a GPU idle.
print("\n9. One training step of an MLP, in milliseconds")


def training_step(device, rows, half=False):
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)).to(device)
    optimizer = torch.optim.AdamW(net.parameters())
    x, y = (
        torch.randn(rows, 64, device=device),
        torch.randint(0, 10, (rows,), device=device),
    )

    def step():
        optimizer.zero_grad()
        with torch.autocast(
            torch.device(device).type, dtype=torch.bfloat16, enabled=half
        ):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()

    return step


for rows in (32, 4096):
    if device.type == "cpu":
        times = {
            half: kata.benchmark(training_step("cpu", rows, half))["median"] * 1e3
            for half in (False, True)
        }
        ratio = times[False] / times[True]
        line = (
            f"float32 {times[False]:6.2f}   bfloat16 {times[True]:6.2f}   {ratio:.2f} "
            "times as fast"
        )
        print(f"   {rows:>4} rows: {line}")
    else:
        compared = kata.compare_devices(
            lambda on, n=rows: training_step(on, n), ["cpu", device]
        )
        line = "   ".join(
            f"{name} {at['median'] * 1e3:6.2f} ({at['speedup']:.2f})"
            for name, at in compared.items()
        )
        print(f"   {rows:>4} rows: {line}")
if device.type == "cpu":
    print(
        "   (all on the CPU, for lack of a GPU; what bfloat16 gains or costs there "
        "depends on the processor)"
    )

# 10. Where the time goes. The profiler records each operator; self time leaves out the
#     operators that it calls in turn.
#     profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=3) prints
#     the same with more columns.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no log lines of the profiler itself
step = training_step("cpu", 4096)
step()  # a warm-up call: the first one is slower
with profile(activities=[ProfilerActivity.CPU]) as profiler:
    for _ in range(5):
        step()
operators = sorted(
    profiler.key_averages(), key=lambda o: o.self_cpu_time_total, reverse=True
)
total = sum(o.self_cpu_time_total for o in operators)
print(
    "\n"
    "10. Five of these steps on the CPU, 4096 rows each: the three operators that "
    "take the most time"
)
for o in operators[:3]:
    print(
        f"   {o.key:<28} {o.count:>3} calls   "
        f"{100 * o.self_cpu_time_total / total:3.0f} % of the time"
    )

# 11. The figure. Left: the memory of step 6; what lies between the lines is free, but
#     held. Right: step 8 with its readings of the clock, each after a wait. Read when
#     Python is done, the clock would show 1 second per call.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
edges = range(len(stages) + 1)
allocated, reserved = (
    [record[key] / MIB for record in stages] for key in ("allocated", "reserved")
)
above.stairs(reserved, edges, baseline=allocated, fill=True, color="0.9")
above.stairs(
    reserved, edges, baseline=None, color=COLOURS[1], linewidth=2, label="reserved"
)
above.stairs(
    allocated,
    edges,
    baseline=None,
    color=COLOURS[0],
    linewidth=2,
    linestyle="--",
    label="allocated",
)
above.annotate(
    "free,\nbut held", (2.5, (allocated[2] + reserved[2]) / 2), ha="center", va="center"
)
above.set_xticks(
    [i + 0.5 for i in range(len(stages))], [record["stage"] for record in stages]
)
above.set(
    ylabel="MiB",
    title=f"Memory of {source}",
    ylim=(-0.04 * max(reserved), 1.3 * max(reserved)),
)
above.legend(loc="upper left", ncols=2)
below.broken_barh(gpu.started, (1.1, 0.6), color=COLOURS[5], edgecolor="white")
below.broken_barh(gpu.worked, (0.1, 0.6), color=COLOURS[2], edgecolor="white")
for i, (begin, length) in enumerate(gpu.worked):
    below.text(
        begin + length / 2,
        0.4,
        "warm-up" if i == 0 else f"call {i}",
        ha="center",
        va="center",
        color="white",
    )
for i, reading in enumerate(gpu.readings):
    below.axvline(
        reading,
        ymax=0.76,
        color="black",
        linewidth=1.2,
        label="clock is read" if i == 0 else None,
    )
below.set_yticks([1.4, 0.4], ["Python\nstarts", "GPU\nworks"])
below.set(
    xlabel="seconds",
    title="Read the clock when the work is done",
    ylim=(0, 2.4),
    xlim=(0, 16),
)
below.legend(loc="upper right")
save_figure(figure, __file__)
