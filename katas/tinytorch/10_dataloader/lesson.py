"""TinyTorch 10 in code: an IDX file, the first batch, what normalising changes, and
loading while computing.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)

# the modules that stand beside the loaded one
from tinytorch.data import load_digits  # noqa: E402
from tinytorch.layers import Linear  # noqa: E402
from tinytorch.losses import cross_entropy  # noqa: E402
from tinytorch.optimizers import SGD  # noqa: E402

# 1. A file in the format of MNIST, made here: two labels, after a header of
#    eight bytes.
heading("1. An IDX file")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "labels-idx1-ubyte")
    path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    print(f"   bytes {list(path.read_bytes())}")
    print(f"   read_idx gives {kata.read_idx(path)}")

# 2. The digits in batches. The last one is shorter, and each epoch has another order.
heading("2. The first batch of two epochs")
train, test = kata.digits_datasets(rng=np.random.default_rng(0))
loader = kata.DataLoader(train, 32, shuffle=True, rng=np.random.default_rng(0))
for _ in range(2):
    batches = list(loader)
    images, labels = batches[0]
    print(
        f"   images {images.shape} {images.dtype}, labels {labels.shape} "
        f"{labels.dtype}: {labels.data[:12]} …"
    )
print(
    f"   {len(train)} samples, predicted 1438 = 44 · 32 + 30: {len(loader)} batches, "
    f"the last of {len(batches[-1][1])}"
)

# 3. The same training on pixels as they are, and normalised. The scale of the inputs is
#    squared in the curvature of the loss, so that raw pixels need a learning rate some
#    36 times smaller.
heading("3. Softmax regression, five epochs, learning rate 0.1: mean loss per epoch")
raw, digits = load_digits()
raw = raw.reshape(-1, 64).astype(np.float32)
train_rows, test_rows = kata.train_test_split(len(raw), rng=np.random.default_rng(0))


def losses_of_epochs(transform) -> list[float]:
    """Train a Linear(64, 10) for five epochs, and give the mean loss of each."""
    dataset = kata.ArrayDataset(
        raw[train_rows], digits[train_rows], transform=transform
    )
    batches = kata.DataLoader(dataset, 32, shuffle=True, rng=np.random.default_rng(1))
    model = Linear(64, 10, rng=np.random.default_rng(2))
    optimizer = SGD(model.parameters(), lr=0.1)
    epochs = []
    for _ in range(5):
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        epochs.append(total / len(dataset))
    return epochs


fitted = {
    name: kata.Normalize.fit(raw[rows])
    for name, rows in (("training", train_rows), ("test", test_rows))
}
for name, normalize in fitted.items():
    print(
        f"   {name} set: mean {normalize.mean:.3f}, standard deviation "
        f"{normalize.std:.3f}"
    )
for name, transform in (
    ("raw pixels 0 … 16", None),
    *((f"normalised by the {n} set", f) for n, f in fitted.items()),
):
    print(f"   {name:<30}", *(f"{loss:8.3f}" for loss in losses_of_epochs(transform)))
print(
    "   The two statistics differ in the third digit. Not this number, but the rule "
    "is the point: the test set"
)
print("   stays unseen, so that what it says about new images is true.")

# 4. Loading and computing one after the other, and at once. Waiting stands for a disk:
#    it leaves the processor free.
heading(
    "4. Twenty batches that take 2 ms to load, and computing on each, which takes 3 ms"
)
LOAD, COMPUTE, BATCHES = 0.002, 0.003, 20


def slow_batches():
    for k in range(BATCHES):
        time.sleep(LOAD)
        yield k


def seconds_of_an_epoch(source) -> float:
    start = time.perf_counter()
    for _ in source:
        time.sleep(COMPUTE)
    return time.perf_counter() - start


for overlap in (False, True):
    predicted = stretch(kata.pipeline_seconds, LOAD, COMPUTE, BATCHES, overlap=overlap)
    source = stretch(kata.prefetch, slow_batches()) if overlap else slow_batches()
    if predicted is not None and source is not None:
        name = "with prefetch" if overlap else "one after the other"
        print(
            f"   {name:<20} predicted {predicted * 1000:4.0f} ms, measured "
            f"{seconds_of_an_epoch(source) * 1000:4.0f} ms"
        )

# 5. The memory of a batch, predicted and measured.
heading("5. Bytes of a batch of float32 images (1, 28, 28)")
sizes = [16, 32, 64]
scaling = stretch(kata.loader_scaling, sizes)
if scaling and stretch(kata.batch_bytes, 1, (1, 28, 28)):
    for n, value in zip(sizes, scaling["values"]):
        print(
            f"   batch size {n:>3}: predicted {kata.batch_bytes(n, (1, 28, 28)):>8,}, "
            f"measured {value:>8,}"
        )
    print(f"   exponent {scaling['exponent']:.2f}")

# 6. Why large batches keep a GPU busy: a layer's weights are read once per batch,
#    whatever its size.
heading("6. Multiply-adds per byte of a Linear(256, 256) with bias, float32")
for n in (1, 64):
    moved = 4 * (n * 256 + 256 * 256 + 256 + n * 256)  # input, weight, bias, output
    print(
        f"   batch size {n:>2}: {n * 256 * 256:>9,} multiply-adds, {moved:>7,} bytes: "
        f"{n * 256 * 256 / moved:5.2f}"
    )

# 7. The same batches in PyTorch.
heading("7. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    theirs = torch.utils.data.DataLoader(train, batch_size=32, drop_last=True)
    ours = kata.DataLoader(train, 32, drop_last=True)
    same = all(
        np.array_equal(x.data, u.numpy()) and np.array_equal(y.data, v.numpy())
        for (x, y), (u, v) in zip(ours, theirs)
    )
    print(
        f"   torch's DataLoader over our dataset: {len(theirs)} batches, ours "
        f"{len(ours)}; all equal: {same}"
    )
    print(
        "   one line each: DataLoader(train, 32, shuffle=True) and DataLoader(train, "
        "batch_size=32, shuffle=True)"
    )
    pytorch_source("torch.utils.data._utils.fetch", "_MapDatasetFetcher.fetch")


# 8. The figure: digits as a loader gives them, and when prefetching pays.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    x, y = next(
        iter(kata.DataLoader(train, 25, shuffle=True, rng=np.random.default_rng(3)))
    )
    paper = ((0, 0), (0, 0), (1, 1), (1, 1))  # a margin of one pixel around each digit
    grid = np.pad(x.data[:, 0].reshape(5, 5, 8, 8), paper, constant_values=x.data.min())
    # row, pixel row, column, pixel column
    above.imshow(grid.swapaxes(1, 2).reshape(50, 50), cmap="gray_r")
    for k, label in enumerate(y.data):
        above.text(
            k % 5 * 10,
            k // 5 * 10 + 1.6,
            str(label),
            color=COLOURS[1],
            fontweight="bold",
        )
    above.set_axis_off()
    above.set_title("A shuffled batch of 25, with its labels")
    loads = np.linspace(0, 10, 101)
    for overlap, name, colour in (
        (False, "one after the other", COLOURS[1]),
        (True, "with prefetch", COLOURS[0]),
    ):
        if stretch(kata.pipeline_seconds, 0.005, 0.005, 200, overlap=overlap) is None:
            below.text(
                0.5,
                0.5,
                "pipeline_seconds is not written yet",
                ha="center",
                transform=below.transAxes,
            )
            break
        seconds = [
            kata.pipeline_seconds(load / 1000, 0.005, 200, overlap=overlap)
            for load in loads
        ]
        below.plot(loads, seconds, color=colour, label=name)
    below.axvline(5, color="#888888", linewidth=1, linestyle=":")
    below.text(5.15, 0.15, "loading takes as long\nas computing", color="#555555")
    below.set(title="Prefetching hides loads up to 5 ms", xlim=(0, 10), ylim=(0, 3.2))
    below.set(xlabel="load time of a batch, in ms", ylabel="seconds for 200 batches")
    below.legend(loc="upper left")
    return figure


save_figure(draw(), __file__)
