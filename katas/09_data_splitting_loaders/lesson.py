"""Lesson 09 in code: random and stratified splits, batches, when to shuffle, what
workers do, and memory.
"""

import multiprocessing
import os
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    get_worker_info,
    random_split,
)

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

FRACTIONS = (0.7, 0.15, 0.15)
SPLITS = ("train", "val", "test")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# 1. A dataset has a length and items. TensorDataset pairs tensors row by row, and so
#    does this class of ten lines.
class Pairs(Dataset):
    def __init__(self, inputs, labels):
        self.inputs = inputs
        self.labels = labels

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        return self.inputs[i], self.labels[i]


images, labels = digits()
dataset, pairs = TensorDataset(images, labels), Pairs(images, labels)
same = all(
    torch.equal(a, b)
    for i in range(len(dataset))
    for a, b in zip(dataset[i], pairs[i], strict=True)
)
image, label = dataset[0]
print(
    f"1. {len(dataset)} samples; an item is an image {tuple(image.shape)} and a label "
    f"{tuple(label.shape)}"
)
print(f"   TensorDataset and the class Pairs give the same items: {same}")

# 2. The sizes first: round each product down, then deal out the leftovers. Then draw
#    the members, at random and class by class.
sizes = kata.split_sizes(len(dataset), FRACTIONS)
print(
    "\n"
    f"2. {len(dataset)} by {FRACTIONS}: {sizes}; 11 by the same: "
    f"{kata.split_sizes(11, FRACTIONS)}"
)
at_random = torch.randperm(len(labels), generator=seeded(0)).split(sizes)
by_class = kata.stratified_split(labels, FRACTIONS, seeded(0))
print("   per cent of each digit 0 … 9 in")
for kind, splits in (
    ("all", [torch.arange(len(labels))]),
    ("random", at_random),
    ("stratified", by_class),
):
    for name, split in zip(SPLITS if len(splits) > 1 else ("",), splits, strict=True):
        shares = labels[split].bincount(minlength=10) / len(split) * 100
        print(
            f"   {kind:<11} {name:<6}"
            + "".join(f"{share:6.1f}" for share in shares.tolist())
        )
parts = stretch(kata.random_split_indices, len(labels), FRACTIONS, seeded(0))
if parts is not None:
    print(
        f"   random_split_indices: {[len(part) for part in parts]}, the first indices "
        f"{parts[0][:5].tolist()}"
    )

# 3. A split has to be the same tomorrow. With another seed, test samples of today are
#    training samples.
other = set(kata.stratified_split(labels, FRACTIONS, seeded(1))[0].tolist())
seen = sum(i in other for i in by_class[2].tolist())
print(
    "\n"
    f"3. With another seed {seen} of the {len(by_class[2])} test samples are training "
    "samples"
)

# 4. torch's own random_split takes fractions, too. It rounds products down with their
#    floating-point errors, and gives leftovers even to a fraction of 0.
print("\n4. Sizes of torch.utils.data.random_split and of split_sizes")
for n, fractions in (
    (len(dataset), FRACTIONS),
    (100, (0.71, 0.29)),
    (3, (0, 0.5, 0.5)),
):
    whole = dataset if n == len(dataset) else range(n)
    theirs = [
        len(subset) for subset in random_split(whole, fractions, generator=seeded(0))
    ]
    print(
        f"   {n:>4} by {str(fractions):<18} {str(theirs):<16} "
        f"{kata.split_sizes(n, fractions)}"
    )
print(f"   100 * 0.29 in Python: {100 * 0.29!r}")

# 5. Batches of four sizes. The last batch may be smaller, and no batch is larger than
#    the dataset.
train = torch.utils.data.Subset(dataset, by_class[0].tolist())
print(f"\n5. {len(train)} training samples in batches")
print("   size  batches  last one  bytes of the largest  shapes of the first")
for size, report in kata.batch_report(train, [1, 32, 512, 2048]).items():
    shapes = " and ".join(
        str(tuple(field.shape)) for field in next(iter(kata.MiniLoader(train, size)))
    )
    print(
        f"   {size:>4}{report['batches']:>9}{report['last_batch']:>10}"
        f"{report['max_bytes']:>22,}  {shapes}"
    )
same = all(
    torch.equal(a, b)
    for ours, theirs in zip(
        kata.MiniLoader(train, 32), DataLoader(train, 32), strict=True
    )
    for a, b in zip(ours, theirs, strict=True)
)
print(f"   MiniLoader and DataLoader give the same batches: {same}")
kept, dropped = (
    len(kata.MiniLoader(train, 32, drop_last=drop)) for drop in (False, True)
)
print(f"   with drop_last there are {dropped} batches of 32 instead of {kept}")

# 6. When to shuffle. These digits are sorted by class, as files in folders often are.
#    Without shuffling, a batch holds one or two classes.
by_label = torch.utils.data.Subset(dataset, labels.argsort(stable=True).tolist())
print(
    "\n"
    "6. Samples sorted by class, batches of 32: how many different digits a batch holds"
)
for shuffle in (False, True):
    loader = kata.MiniLoader(by_label, 32, shuffle=shuffle, generator=seeded(0))
    counts = [len(batch_labels.unique()) for _, batch_labels in loader]
    mean = sum(counts) / len(counts)
    print(f"   shuffle={str(shuffle):<6} {counts[:12]} … {mean:.1f} on average")
loader = kata.MiniLoader(by_label, 8, shuffle=True, generator=seeded(0))
for epoch in (1, 2):
    print(f"   first labels of epoch {epoch}: {next(iter(loader))[1].tolist()}")

# 7. In a mean of batch means, a smaller last batch counts as much as a full one.
values = TensorDataset(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
means = [batch.mean().item() for (batch,) in kata.MiniLoader(values, 2)]
total = sum(batch.sum().item() for (batch,) in kata.MiniLoader(values, 2))
print(
    "\n"
    f"7. 1 … 5 in batches of 2: means {means}, their mean {sum(means) / 3:.2f}; sum / "
    f"count {total / 5:.2f}"
)

# 8. A DataLoader draws from its generator at every pass, shuffled or not. So reading
#    val advances a shared generator, and the next training order is another one.
print(
    "\n8. First training samples of two epochs, with val read before each epoch or not"
)
ten = TensorDataset(torch.arange(10))
for sharing in (False, True):
    for validating in (False, True):
        g = seeded(0)
        training = DataLoader(ten, 5, shuffle=True, generator=g)
        val = DataLoader(ten, 5, generator=g if sharing else None)
        firsts = []
        for _ in range(2):
            if validating:
                list(val)
            firsts.append(next(iter(training))[0].tolist())
        whose, when = (
            "shared" if sharing else "of its own",
            "read" if validating else "not read",
        )
        print(f"   generator {whose:<10}  val {when:<8}  {firsts}")
loaders = stretch(kata.make_loaders, ten, ten, ten, 5, generator=seeded(0))
if loaders is not None:
    firsts = [
        next(iter(loaders["train"]))[0].tolist()
        for _ in range(2)
        if list(loaders["val"])
    ]
    print(f"   make_loaders          val read      {firsts}")

# 9. A collate function: sequences of different lengths become one tensor.
print("\n9. Sequences of 2, 4 and 1 tokens with a label each")
tokens = [
    (torch.tensor([11, 12]), 0),
    (torch.tensor([21, 22, 23, 24]), 1),
    (torch.tensor([31]), 0),
]
padded = stretch(kata.pad_collate, tokens)
if padded is not None:
    [batch] = DataLoader(tokens, batch_size=3, collate_fn=kata.pad_collate)
    for row, length, label in zip(*(field.tolist() for field in batch), strict=True):
        print(f"   {row}  length {length}  label {label}")
    print(
        f"   {batch[0].numel()} entries for "
        f"{sum(len(sequence) for sequence, _ in tokens)} tokens"
    )


# 10. A stream for workers. Each worker has a copy of the dataset and reads all of it,
#     unless it asks for its number.
class Range(IterableDataset):
    def __init__(self, start, end):
        self.start, self.end = start, end

    def __iter__(self):
        return iter(range(self.start, self.end))


print("\n10. The numbers 0 … 5 as a stream, read by a DataLoader in batches of 2")
FORKED = {"num_workers": 2, "multiprocessing_context": "fork", "timeout": 60}
can_fork = "fork" in multiprocessing.get_all_start_methods()
for options in ({}, FORKED) if can_fork else ({},):
    workers = options.get("num_workers", 0)
    for stream in (Range(0, 6), kata.ShardedRange(0, 6)):
        batches = [
            batch.tolist() for batch in DataLoader(stream, batch_size=2, **options)
        ]
        print(f"   {workers} workers, {type(stream).__name__:<13}: {batches}")


# 11. Workers load batches side by side, ahead of the loop. A sample of this dataset
#     takes 8 ms, as if read from a disk, and says which process loaded it. Workers live
#     for one pass, unless they are persistent.
class Slow(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        time.sleep(0.008)
        return os.getpid()


print("\n11. Two passes over 64 samples of 8 ms in batches of 8")
for options in (
    ({}, FORKED, FORKED | {"persistent_workers": True}) if can_fork else ({},)
):
    loader = DataLoader(Slow(), 8, **options)
    seconds, processes = [], set()
    for _ in range(2):
        begin = time.perf_counter()
        processes.update(process for batch in loader for process in batch.tolist())
        seconds.append(time.perf_counter() - begin)
    kind = "persistent workers" if loader.persistent_workers else "workers"
    print(
        f"   {loader.num_workers} {kind:<19} {seconds[0]:.2f} s and {seconds[1]:.2f} "
        f"s; processes: {len(processes)}"
    )


#     torch.manual_seed reaches every worker with a seed of its own; a generator inside
#     the dataset is copied as it is.
class Noise(Dataset):
    def __init__(self):
        self.generator = seeded(0)

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.rand((), generator=self.generator)


def reseed(worker):
    info = get_worker_info()
    info.dataset.generator.manual_seed(info.seed)


print("   Four samples of noise from the dataset's own generator, two per worker")
for name, function in (("none", None), ("reseed", reseed)) if can_fork else ():
    noise = [
        batch.tolist()
        for batch in DataLoader(Noise(), 2, worker_init_fn=function, **FORKED)
    ]
    print(
        f"   worker_init_fn={name:<7}",
        "  ".join(f"[{a:.2f}, {b:.2f}]" for a, b in noise),
    )

# 12. Memory, computed and observed: the second number in /proc/self/statm is how many
#     pages of RAM the process holds.
STATM = Path("/proc/self/statm")


def resident():
    """Bytes of this process in RAM; 0 where the system has no /proc."""
    return (
        int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if STATM.exists()
        else 0
    )


print("\n12. 10,000 colour images of 32×32 in memory, in MB")
for dtype in (torch.uint8, torch.float32):
    before = resident()
    pictures = torch.ones(10_000, 3, 32, 32, dtype=dtype)
    grown = (
        f"{(resident() - before) / 1e6:.1f}"
        if STATM.exists()
        else "unknown, for lack of /proc"
    )
    print(
        f"   {str(dtype):<14} computed {pictures.nbytes / 1e6:6.1f}   resident memory "
        f"grew by {grown}"
    )
    del pictures

# 13. The figure: 90 samples of three classes, 60 of a, 23 of b and 7 of c. In a random
#     split, chance decides about c.
small = torch.tensor([0] * 60 + [1] * 23 + [2] * 7)
sizes = kata.split_sizes(len(small), FRACTIONS)


def random_parts(seed):
    return torch.randperm(len(small), generator=seeded(seed)).split(sizes)


missing = [
    seed for seed in range(1000) if not (small[random_parts(seed)[1]] == 2).any()
]
print(f"\n13. 60, 23 and 7 samples by {FRACTIONS}: splits of {sizes}")
print(
    f"   in {len(missing)} of 1000 random splits the rare class is missing from val; "
    f"the first seed is {missing[0]}"
)
kinds = {
    f"Random, seed {missing[0]}": random_parts(missing[0]),
    "Stratified": kata.stratified_split(small, FRACTIONS, seeded(missing[0])),
}
figure = Figure(figsize=(6.6, 5.6))
axes = figure.subplots(2, 1, sharey=True)
for axis, (title, parts) in zip(axes, kinds.items(), strict=True):
    for c, (letter, colour, hatch) in enumerate(
        zip("abc", COLOURS, ("", "//", ""), strict=False)
    ):
        counts = [int((small[part] == c).sum()) for part in parts]
        shares = [
            100 * count / len(part) for count, part in zip(counts, parts, strict=True)
        ]
        places = [split + 0.27 * (c - 1) for split in range(3)]
        label = f"class {letter}, {int((small == c).sum())} of {len(small)}"
        bars = axis.bar(
            places,
            shares,
            0.25,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=label,
        )
        axis.bar_label(bars, counts)  # the number of samples above each bar
        print(
            f"   {title:<16} class {letter}: {dict(zip(SPLITS, counts, strict=True))}"
        )
    names = [
        f"{name}\n{len(part)} samples" for name, part in zip(SPLITS, parts, strict=True)
    ]
    axis.set_xticks(range(3), names)
    axis.set(title=title, ylim=(0, 130), yticks=range(0, 101, 20))
axes[0].set_ylabel("per cent of the split")
axes[1].legend(loc="upper center", ncols=3, title="above a bar: number of samples")
save_figure(figure, __file__)
