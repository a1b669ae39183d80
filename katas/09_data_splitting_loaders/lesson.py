"""Lesson 09 in code: random and stratified splits, batches, when to shuffle, and a stream for workers."""

import multiprocessing

import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, random_split

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

FRACTIONS = (0.7, 0.15, 0.15)
SPLITS = ("train", "val", "test")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# 1. A dataset is anything with a length and items. TensorDataset pairs tensors up row by row; so do these ten lines.
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
same = all(torch.equal(a, b) for i in range(len(dataset)) for a, b in zip(dataset[i], pairs[i], strict=True))
image, label = dataset[0]
print(f"1. {len(dataset)} samples; an item is an image {tuple(image.shape)} and a label {tuple(label.shape)}")
print(f"   TensorDataset and a class of one's own give the same items: {same}")

# 2. Sizes first: floor each product, deal out what is left. Then who goes where, at random and class by class.
sizes = kata.split_sizes(len(dataset), FRACTIONS)
print(f"\n2. {len(dataset)} by {FRACTIONS}: {sizes}; 11 by the same: {kata.split_sizes(11, FRACTIONS)}")
at_random = torch.randperm(len(labels), generator=seeded(0)).split(sizes)
by_class = kata.stratified_split(labels, FRACTIONS, seeded(0))
print("   per cent of each digit 0 … 9 in")
for kind, splits in (("all", [torch.arange(len(labels))]), ("random", at_random), ("stratified", by_class)):
    for name, split in zip(SPLITS if len(splits) > 1 else ("",), splits, strict=True):
        shares = labels[split].bincount(minlength=10) / len(split) * 100
        print(f"   {kind:<11} {name:<6}" + "".join(f"{share:6.1f}" for share in shares.tolist()))
parts = stretch(kata.random_split_indices, len(labels), FRACTIONS, seeded(0))
if parts is not None:
    print(f"   random_split_indices: {[len(part) for part in parts]}, the first indices {parts[0][:5].tolist()}")

# 3. A split has to be the same tomorrow. Another seed is another split, and the test set has been seen in training.
other = set(kata.stratified_split(labels, FRACTIONS, seeded(1))[0].tolist())
seen = sum(i in other for i in by_class[2].tolist())
print(f"\n3. With another seed {seen} of the {len(by_class[2])} test samples are training samples")

# 4. torch's own random_split takes fractions, too. Its products are floored with their rounding errors, and a leftover
#    may go to a fraction of 0.
print("\n4. Sizes of torch.utils.data.random_split and of split_sizes")
for n, fractions in ((len(dataset), FRACTIONS), (100, (0.71, 0.29)), (3, (0, 0.5, 0.5))):
    whole = dataset if n == len(dataset) else range(n)
    theirs = [len(subset) for subset in random_split(whole, fractions, generator=seeded(0))]
    print(f"   {n:>4} by {str(fractions):<18} {str(theirs):<16} {kata.split_sizes(n, fractions)}")
print(f"   100 * 0.29 in Python: {100 * 0.29!r}")

# 5. Batches of three sizes. The last one may be smaller; a batch cannot be larger than the dataset.
train = torch.utils.data.Subset(dataset, by_class[0].tolist())
print(f"\n5. {len(train)} training samples in batches")
print("   size  batches  last one  bytes of the largest  shapes of the first")
for size, report in kata.batch_report(train, [1, 32, 512, 2048]).items():
    shapes = " and ".join(str(tuple(field.shape)) for field in next(iter(kata.MiniLoader(train, size))))
    print(f"   {size:>4}{report['batches']:>9}{report['last_batch']:>10}{report['max_bytes']:>22,}  {shapes}")
same = all(
    torch.equal(a, b)
    for ours, theirs in zip(kata.MiniLoader(train, 32), DataLoader(train, 32), strict=True)
    for a, b in zip(ours, theirs, strict=True)
)
print(f"   MiniLoader and DataLoader give the same batches: {same}")
kept, dropped = (len(kata.MiniLoader(train, 32, drop_last=drop)) for drop in (False, True))
print(f"   with drop_last there are {dropped} batches of 32 instead of {kept}")

# 6. When to shuffle. Digits sorted by class, as they lie in folders:
#    without shuffling a batch knows one or two classes.
by_label = torch.utils.data.Subset(dataset, labels.argsort(stable=True).tolist())
print("\n6. Samples sorted by class, batches of 32: how many different digits a batch holds")
for shuffle in (False, True):
    loader = kata.MiniLoader(by_label, 32, shuffle=shuffle, generator=seeded(0))
    counts = [len(batch_labels.unique()) for _, batch_labels in loader]
    mean = sum(counts) / len(counts)
    print(f"   shuffle={str(shuffle):<6} {counts[:12]} … {mean:.1f} on average")
loader = kata.MiniLoader(by_label, 8, shuffle=True, generator=seeded(0))
for epoch in (1, 2):
    print(f"   first labels of epoch {epoch}: {next(iter(loader))[1].tolist()}")

# 7. A smaller last batch counts as much as a full one if means of batches are averaged.
values = TensorDataset(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
means = [batch.mean().item() for (batch,) in kata.MiniLoader(values, 2)]
total = sum(batch.sum().item() for (batch,) in kata.MiniLoader(values, 2))
print(f"\n7. 1 … 5 in batches of 2: means {means}, their mean {sum(means) / 3:.2f}; sum / count {total / 5:.2f}")

# 8. A DataLoader draws from its generator at every pass, shuffled or not. Shared with val, the generator moves on.
print("\n8. First training samples of two epochs, with val read before each epoch or not")
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
        whose, when = "shared" if sharing else "of its own", "read" if validating else "not read"
        print(f"   generator {whose:<10}  val {when:<8}  {firsts}")
loaders = stretch(kata.make_loaders, ten, ten, ten, 5, generator=seeded(0))
if loaders is not None:
    firsts = [next(iter(loaders["train"]))[0].tolist() for _ in range(2) if list(loaders["val"])]
    print(f"   make_loaders          val read      {firsts}")

# 9. A rule for stacking of one's own: sequences of different lengths.
print("\n9. Sequences of 2, 4 and 1 tokens with a label each")
tokens = [(torch.tensor([11, 12]), 0), (torch.tensor([21, 22, 23, 24]), 1), (torch.tensor([31]), 0)]
padded = stretch(kata.pad_collate, tokens)
if padded is not None:
    [batch] = DataLoader(tokens, batch_size=3, collate_fn=kata.pad_collate)
    for row, length, label in zip(*(field.tolist() for field in batch), strict=True):
        print(f"   {row}  length {length}  label {label}")
    print(f"   {batch[0].numel()} places for {sum(len(sequence) for sequence, _ in tokens)} tokens")


# 10. A stream for workers. Each worker has a copy of the dataset, so each reads all of it, unless it asks who it is.
class Range(IterableDataset):
    def __init__(self, start, end):
        self.start, self.end = start, end

    def __iter__(self):
        return iter(range(self.start, self.end))


print("\n10. The numbers 0 … 5 as a stream, read by a DataLoader in batches of 2")
can_fork = "fork" in multiprocessing.get_all_start_methods()
for workers in (0, 2) if can_fork else (0,):
    options = {"num_workers": workers} | ({"multiprocessing_context": "fork", "timeout": 60} if workers else {})
    for stream in (Range(0, 6), kata.ShardedRange(0, 6)):
        batches = [batch.tolist() for batch in DataLoader(stream, batch_size=2, **options)]
        print(f"   {workers} workers, {type(stream).__name__:<13}: {batches}")

# 11. The figure: 90 samples of three classes, 60 of a, 23 of b and 7 of c. A random split gives c what chance gives it.
small = torch.tensor([0] * 60 + [1] * 23 + [2] * 7)
sizes = kata.split_sizes(len(small), FRACTIONS)


def random_parts(seed):
    return torch.randperm(len(small), generator=seeded(seed)).split(sizes)


missing = [seed for seed in range(1000) if not (small[random_parts(seed)[1]] == 2).any()]
print(f"\n11. 60, 23 and 7 samples by {FRACTIONS}: splits of {sizes}")
print(f"   in {len(missing)} of 1000 random splits the rare class is missing from val; the first seed is {missing[0]}")
kinds = {
    f"Random, seed {missing[0]}": random_parts(missing[0]),
    "Stratified": kata.stratified_split(small, FRACTIONS, seeded(missing[0])),
}
figure = Figure(figsize=(8, 3.6))
axes = figure.subplots(1, 2, sharey=True)
for axis, (title, parts) in zip(axes, kinds.items(), strict=True):
    for c, (letter, colour, hatch) in enumerate(zip("abc", COLOURS, ("", "//", ""), strict=False)):
        counts = [int((small[part] == c).sum()) for part in parts]
        shares = [100 * count / len(part) for count, part in zip(counts, parts, strict=True)]
        places = [split + 0.27 * (c - 1) for split in range(3)]
        label = f"class {letter}, {int((small == c).sum())} of {len(small)}"
        bars = axis.bar(places, shares, 0.25, color=colour, hatch=hatch, edgecolor="white", label=label)
        axis.bar_label(bars, counts, fontsize=9)
        print(f"   {title:<16} class {letter}: {dict(zip(SPLITS, counts, strict=True))}")
    names = [f"{name}\n{len(part)} samples" for name, part in zip(SPLITS, parts, strict=True)]
    axis.set_xticks(range(3), names)
    axis.set(title=title, ylim=(0, 100))
axes[0].set_ylabel("per cent of the split")
axes[1].legend(loc="upper right", fontsize=8)
save_figure(figure, __file__)
