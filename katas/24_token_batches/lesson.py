"""Lesson 24 in code: documents become a stream, the stream becomes shards, and shards
become batches for two ranks.
"""

import tempfile
from collections import Counter
from itertools import islice

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from grader.course import downloads
from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)


# 1. The smallest batch: seven tokens make two rows of three inputs, and the target of
#    each input is the next token.
stream = torch.tensor([5, 8, 2, 9, 4, 7, 1])
x, y = kata.sequential_batch(stream, 2, 3)
print(f"1. The stream {stream.tolist()} as a batch of 2 rows and 3 columns")
print(f"   x {x.tolist()}\n   y {y.tolist()}")
print(f"   rolled within each row, the targets would be {x.roll(-1, dims=1).tolist()}")

# 2. Documents: paragraphs of English. Some occur more than once, so a cut through the
#    list is not a clean split.
folder = downloads.find("text")
text = (
    (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8") if folder else prose()
)
docs = [paragraph for paragraph in text.split("\n\n") if paragraph.strip()]
counts = Counter(docs)
print(
    "\n"
    f"2. {len(docs)} paragraphs of "
    f"{'tiny Shakespeare' if folder else 'the help texts of Python'}"
)
print(
    f"   {len(counts)} of them distinct; the most frequent one occurs "
    f"{max(counts.values())} times"
)


def seen_in_training(train, val):
    known = set(train)
    return sum(doc in known for doc in val)


order = torch.randperm(len(docs), generator=torch.Generator().manual_seed(0)).tolist()
n_val = len(docs) // 10
by_place = [docs[i] for i in order[n_val:]], [docs[i] for i in order[:n_val]]
print(
    f"   positions shuffled: {seen_in_training(*by_place)} of {n_val} validation "
    "paragraphs are also in train"
)
split = stretch(kata.split_documents, docs, 0.1, torch.Generator().manual_seed(0))
if split is not None:
    print(
        f"   split_documents: {seen_in_training(*split)} of {len(split[1])} "
        "validation paragraphs are also in train"
    )
train_docs, val_docs = split or by_place

# 3. The stream: bytes as token ids, and 256 as the mark before each document. Two bytes
#    per token on disk.
EOT = 256


def encode(text):
    return list(text.encode())


train_ids, val_ids = (
    kata.tokenize_documents(part, encode, EOT) for part in (train_docs, val_docs)
)
print(
    "\n"
    f"3. {len(train_ids):,} training tokens ({train_ids.nbytes:,} bytes; as int64 "
    f"{8 * len(train_ids):,})"
)
print(
    f"   {len(val_ids):,} validation tokens; the stream begins {train_ids[:6].tolist()}"
)
wrapped = np.array([65536, 65537, -1]).astype(np.uint16).tolist()
print(
    f"   what astype makes of 65536, 65537 and -1: {wrapped}. So check the range first."
)

with tempfile.TemporaryDirectory() as scratch:
    # 4. Shards, and two ranks that walk through them. Each step is shown by the
    #    loader's state before it.
    B, T, WORLD, SHARD = 8, 64, 2, 100_000
    stride = B * T * WORLD
    paths = kata.write_shards(train_ids, scratch, SHARD, "train")
    val_paths = kata.write_shards(val_ids, scratch, SHARD, "val")
    print(
        "\n"
        f"4. {len(paths)} files {paths[0].name} … {paths[-1].name}, {len(val_paths)} "
        "for validation"
    )
    lengths = [len(kata.load_shard(path)) for path in paths]
    steps = [(length - 1) // stride for length in lengths]
    unused = sum(lengths) - sum(steps) * stride
    print(f"   a step is {stride:,} tokens; steps in each shard: {steps}")
    print(f"   tails: {unused:,} tokens, {100 * unused / sum(lengths):.2f} % of a pass")
    loaders = [kata.DataLoaderLite(paths, B, T, rank, WORLD) for rank in range(WORLD)]
    for step in range(steps[0] + 2):
        state = loaders[0].state_dict()
        batches = [loader.next_batch() for loader in loaders]
        if step in (0, 1, steps[0] - 1, steps[0], steps[0] + 1):
            joined = torch.equal(batches[0][1][-1, -1], batches[1][0][0, 0])
            print(
                f"   step {step:3}: state before it {state}; rank 0's last target is "
                f"rank 1's first input: {joined}"
            )

    # 5. Stopped and resumed. The state of one rank is enough for both.
    state = loaders[0].state_dict()
    expected = [[loader.next_batch()[0] for _ in range(3)] for loader in loaders]
    print(f"\n5. Saved after {step + 1} steps: {state}")
    for what, start in (
        ("with the state", state),
        ("without it", {"shard": 0, "position": 0}),
    ):
        fresh = [kata.DataLoaderLite(paths, B, T, rank, WORLD) for rank in range(WORLD)]
        for loader in fresh:
            loader.load_state_dict(start)
        got = [[loader.next_batch()[0] for _ in range(3)] for loader in fresh]
        same = torch.equal(torch.stack(sum(got, [])), torch.stack(sum(expected, [])))
        print(
            f"   a new pair of loaders {what} continues with the same batches: {same}"
        )

    # 6. Random windows need no position. But as many of them as a pass has do not see
    #    every token.
    part = torch.arange(SHARD)
    x, _ = kata.random_batch(part, SHARD // T, T, torch.Generator().manual_seed(0))
    seen = len(x.unique())
    print(
        "\n"
        f"6. {SHARD // T} random windows of {T} tokens see {100 * seen / SHARD:.1f} % "
        f"of {SHARD:,} tokens"
    )

    # 7. Which rank reads what, on shards small enough to look at. The ids encode
    #    positions: 100 · shard + position.
    toy_lengths, toy_b, toy_t = (40, 5, 26), 2, 3
    toy_stride = toy_b * toy_t * 2
    toy = []
    for s, length in enumerate(toy_lengths):
        toy += kata.write_shards(
            np.arange(length) + 100 * s, scratch, length, f"toy{s}"
        )
    together = []
    for rank in range(2):
        loader = kata.DataLoaderLite(toy, toy_b, toy_t, rank, 2)
        together.append(
            [divmod(loader.next_batch()[0][0, 0].item(), 100) for _ in range(5)]
        )


# The same with the usual bug: each rank keeps its own position, and checks from there
# whether the next step fits.
def apart(rank):
    shard, position = 0, rank * toy_b * toy_t
    while True:
        while position + toy_stride + 1 > toy_lengths[shard]:
            shard, position = (shard + 1) % len(toy_lengths), rank * toy_b * toy_t
        yield shard, position
        position += toy_stride


plans = {
    "all ranks change shard together": together,
    "each rank counts from its own piece": [
        list(islice(apart(rank), 5)) for rank in range(2)
    ],
}
print(
    "\n"
    f"7. (shard, first token) of five steps, shards of {toy_lengths} tokens, two "
    f"ranks with {toy_b}·{toy_t} each"
)
for name, plan in plans.items():
    print(f"   {name}")
    for rank, places in enumerate(plan):
        print(f"     rank {rank}: {'  '.join(f'({s}, {p:2})' for s, p in places)}")

# 8. What known runs read. Sizes in tokens, as published. The paper of GPT-3 lists 0.44,
#    2.9, 1.9, 0.43 and 3.4 epochs.
print("\n8. How often known runs saw their data")
sizes = {
    "Common Crawl": 410e9,
    "WebText2": 19e9,
    "Books1": 12e9,
    "Books2": 55e9,
    "Wikipedia": 3e9,
}
percent = {"Common Crawl": 60, "WebText2": 22, "Books1": 8, "Books2": 8, "Wikipedia": 3}
web, edu = {"OpenWebText": 9.0356e9}, {"FineWeb-Edu": 10e9}
mixtures = {
    "GPT-3: 300 B tokens from five datasets": (sizes, percent, 300e9),
    "nanoGPT on OpenWebText, GPT-2's data rebuilt": (
        web,
        {"OpenWebText": 1},
        600_000 * 491_520,
    ),
    "build-nanogpt on FineWeb-Edu's sample of 10 B tokens": (
        edu,
        {"FineWeb-Edu": 1},
        19_073 * 524_288,
    ),
    "the same data for as long as GPT-3": (edu, {"FineWeb-Edu": 1}, 300e9),
}
for name, mixture in mixtures.items():
    epochs = stretch(kata.mixture_epochs, *mixture)
    if epochs is None:
        break
    print(f"   {name}")
    for dataset, times in epochs.items():
        share = mixture[1][dataset] / sum(mixture[1].values())
        taken = f"{mixture[2] * share / 1e9:5.1f} B of the run"
        print(
            f"     {dataset:<13} {mixture[0][dataset] / 1e9:5.1f} B tokens, {taken}: "
            f"{times:5.2f} epochs"
        )
shard, big = 100_000_000, 16 * 1024 * 8
print(
    f"   a shard of {shard:,}: {(shard - 1) // big} steps of {big:,}, tail "
    f"{100 * (shard % big) / shard:.2f} %"
)

# 9. The figure: the shards as strips of tokens. The colour is the rank; label and shade
#    are the step.
figure = Figure(figsize=(6.6, 4.4))
for axes, (name, plan) in zip(
    figure.subplots(2, 1, sharex=True), plans.items(), strict=True
):
    for s, length in enumerate(toy_lengths):
        axes.barh(s, length, color="0.85")
    readings = {}
    for rank, places in enumerate(plan):
        for step, place in enumerate(places):
            readings.setdefault((rank, place), []).append(step)
    for (rank, (s, first)), when in readings.items():
        shade = 1 - 0.13 * when[0]
        axes.barh(
            s,
            toy_b * toy_t,
            left=first,
            color=COLOURS[rank],
            alpha=shade,
            edgecolor="white",
            linewidth=1.5,
        )
        label = f"step{'s' if len(when) > 1 else ''} {', '.join(map(str, when))}"
        colour = "white" if when[0] < 3 else "black"
        axes.text(
            first + toy_b * toy_t / 2, s, label, ha="center", va="center", color=colour
        )
    axes.set(
        xlim=(-0.3, 40.3),
        ylim=(len(toy_lengths) - 0.4, -0.6),
        title=f"Five steps: {name}",
    )
    axes.set_yticks(
        range(len(toy_lengths)), [f"shard {s}" for s in range(len(toy_lengths))]
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
axes.set_xticks(range(0, 41, 6))
axes.set_xlabel("position in the shard")
colours = {"rank 0": COLOURS[0], "rank 1": COLOURS[1], "read by no rank": "0.85"}
handles = [Patch(color=colour, label=label) for label, colour in colours.items()]
figure.axes[0].legend(handles=handles, loc="lower right")
save_figure(figure, __file__)
