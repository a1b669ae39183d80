"""Lesson A in code: sizes, a kernel on a picture, shapes through a network, two losses,
training, a file, a folder.
"""

import io
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from grader.course import downloads
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


# 1. One formula gives the output size along one side. Padding of half a kernel keeps
#    the size, stride 2 halves it, and dilation lets a small kernel see far.
print("1. A side of 16 pixels")
for settings in (
    {},
    {"padding": 1},
    {"padding": 1, "stride": 2},
    {"dilation": 3},
    {"stride": 5},
):
    shown = (
        ", ".join(f"{name} {value}" for name, value in settings.items())
        or "nothing else"
    )
    print(
        f"   kernel 3, {shown:<21} → {kata.conv_output_size(16, 3, **settings):2} "
        "places"
    )

# 2. One kernel, everywhere. This one subtracts the pixels on its left from those on its
#    right. It answers where brightness changes from left to right, and gives 0 on
#    horizontal stripes.
images, labels = kata.make_stripe_images(
    2, noise=0.0, generator=torch.Generator().manual_seed(1)
)
kernel = torch.tensor([-1.0, 0.0, 1.0]).expand(1, 3, 3, 3) / 9
edges = kata.conv2d(images, kernel)
print(
    "\n"
    f"2. Right minus left, 3 × 3: images {tuple(images.shape)}, answers "
    f"{tuple(edges.shape)}"
)
for label, answer in zip(labels, edges, strict=True):
    print(
        f"   {'vertical' if label else 'horizontal'} stripes: mean size of the answer "
        f"{answer.abs().mean():.3f}"
    )
print(
    "   largest difference to F.conv2d: "
    f"{(edges - F.conv2d(images, kernel)).abs().max():.1e}"
)
flipped = kata.conv2d(images, kernel.flip(2, 3))
print(
    "   with the kernel flipped the answer is the opposite: "
    f"{torch.allclose(flipped, -edges, atol=1e-6)}"
)

# 3. Pooling keeps the largest answer of each window and forgets at which pixel it was.
# vertical stripes, and the same stripes one pixel further on
before = kata.conv2d(images[1:, :, :, :-1], kernel)
after = kata.conv2d(images[1:, :, :, 1:], kernel)
if stretch(kata.max_pool2d, before, 2) is not None:
    print("\n3. The picture of vertical stripes is moved by one pixel")
    print(
        f"   the answers change by {(after - before).abs().mean():.3f} on average, ",
        end="",
    )
    changes = [
        (kata.max_pool2d(after, (1, k)) - kata.max_pool2d(before, (1, k))).abs().mean()
        for k in (2, 4, 6)
    ]
    print(
        "the maxima of 2, 4 and 6 neighbours by "
        + ", ".join(f"{change:.3f}" for change in changes)
    )
    signs = [
        kata.max_pool2d(-torch.ones(1, 1, 2, 2), 2, padding=p).min().item()
        for p in (0, 1)
    ]
    print(
        f"   the maximum of −1 everywhere, without and with padding: {signs[0]:.0f}, "
        f"{signs[1]:.0f}"
    )

# 4. Shapes through the network. The last convolution and the first linear layer have
#    most of the parameters.
model = kata.BinaryCNN()
x = torch.rand(4, 3, 16, 16)
print(f"\n4. A batch {tuple(x.shape)} through BinaryCNN()")
for layer in (*model.features, *model.classifier):
    x = layer(x)
    count = sum(p.numel() for p in layer.parameters())
    learned = f" {count:6,} parameters" if count else ""
    print(f"   {type(layer).__name__:<10} {str(tuple(x.shape)):<15}{learned}")
dense = 3 * 16 * 16 * 8 * 16 * 16 + 8 * 16 * 16
in_all, in_first = (
    sum(p.numel() for p in part.parameters()) for part in (model, model.features[0])
)
print(f"   in all {in_all:,}; the first convolution has {in_first},")
print(
    f"   a linear layer from the same pixels to the same {8 * 16 * 16} values would "
    f"have {dense:,}"
)

# 5. Two ways to the same loss. A sigmoid and then the logarithm is fine near 0. For
#    large logits the sigmoid rounds to 1, and BCELoss cuts the logarithm of 0 off at
#    −100. Worse, no gradient is left, so the worst answer never improves.
print("\n5. The loss of a logit where the label is 0, and its gradient")
print("   logit   Sigmoid + BCELoss        BCE with logits")
for value in (-2.0, 0.0, 2.0, 10.0, 120.0):
    parts = []
    for loss_of in (
        lambda z: F.binary_cross_entropy(torch.sigmoid(z), torch.zeros(())),
        lambda z: F.binary_cross_entropy_with_logits(z, torch.zeros(())),
    ):
        z = torch.tensor(value, requires_grad=True)
        loss = loss_of(z)
        loss.backward()
        parts.append(f"{loss.item():9.4f}, slope {z.grad:.4f}")
    print(f"   {value:5.0f} " + " ".join(parts))

# 6. Training without and with batch norm, from three seeds each. The data are new
#    stripes under noise.
EPOCHS, SEEDS = 8, range(3)
NOISE = 0.7
train, val = (kata.make_stripe_images(count, noise=NOISE) for count in (256, 128))
train_loader = DataLoader(TensorDataset(*train), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(*val), batch_size=64)
print(
    "\n"
    f"6. {len(train[0])} pictures of stripes under noise of {NOISE} to train on, "
    f"{len(val[0])} to validate"
)
curves = {}
for seed in SEEDS:
    options = {"epochs": EPOCHS, "lr": 3e-3, "seed": seed, "dropout": 0.0}
    histories = stretch(kata.compare_batch_norm, train_loader, val_loader, **options)
    if histories is None:
        break
    for name, history in histories.items():
        curves.setdefault(name, []).append(history)
for name, runs in curves.items():
    epochs = [
        next((i for i, e in enumerate(run, 1) if e["val_accuracy"] >= 0.9), None)
        for run in runs
    ]
    print(
        f"   {name:<10} first epoch with 90 % of the validation pictures right, by "
        f"seed: {epochs}"
    )
    losses = [
        sum(run[i]["val_loss"] for run in runs) / len(runs) for i in range(EPOCHS)
    ]
    shown = " ".join(f"{losses[epoch - 1]:.3f}" for epoch in (1, 2, 3, 5, EPOCHS))
    print(f"   {'':<10} mean validation loss after epoch 1, 2, 3, 5, {EPOCHS}: {shown}")

# 7. A step schedule: a large rate to come near the minimum, a small one to
#    settle there.
print("\n7. One network with batch norm, its rate divided by 5 after every 3 epochs")
torch.manual_seed(0)
model = kata.BinaryCNN(dropout=0.2, batch_norm=True)
schedule = {"lr": 5e-3, "lr_step_size": 3, "lr_gamma": 0.2}
history = kata.train_classifier(model, train_loader, val_loader, epochs=9, **schedule)
for epoch, line in enumerate(history, 1):
    print(
        f"   epoch {epoch}: rate {line['lr']:.4f}   train loss "
        f"{line['train_loss']:.3f}   ",
        end="",
    )
    print(
        f"validation loss {line['val_loss']:.3f}, accuracy {line['val_accuracy']:.3f}"
    )

# 8. A model in a file. The model is rebuilt from the file alone and gives the
#    same answers.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "stripes.pt"
    kata.save_model(path, model)
    loaded = kata.load_model(path)
    size = path.stat().st_size
model.eval()
with torch.no_grad():
    same = torch.equal(loaded(val[0]), model(val[0]))
print(
    "\n"
    f"8. Saved {size:,} bytes; loaded, with dropout {loaded.config['dropout']} and in ",
    end="",
)
print(f"{'training' if loaded.training else 'eval'} mode: the same answers, {same}")
pickled = io.BytesIO()
torch.save(nn.Sequential(nn.Linear(2, 1)), pickled)
pickled.seek(0)
try:
    torch.load(pickled, weights_only=True)
except Exception as error:
    print(f"   a whole pickled module with weights_only=True: {type(error).__name__}")

# 9. Pictures on disk. The folder names are the labels, and the loader batches what the
#    dataset reads.
with tempfile.TemporaryDirectory() as folder:
    unseen, truth = kata.make_stripe_images(6, noise=NOISE)
    for i, (image, label) in enumerate(zip(unseen, truth, strict=True)):
        place = Path(folder) / ("vertical" if label else "horizontal") / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray((image.permute(1, 2, 0) * 255).round().byte().numpy()).save(
            place
        )
    print("\n9. Six new pictures, written to a folder as PNG files and read from there")
    dataset = stretch(kata.ImageFolderDataset, folder)
    if dataset is not None:
        [(images, labels)] = DataLoader(dataset, batch_size=6)
        probabilities = loaded.predict_proba(images)
        for (path, label), p in zip(dataset.samples, probabilities, strict=True):
            name = f"{dataset.classes[label]}/{Path(path).name}"
            print(f"   {name:<17} probability of {dataset.classes[1]}: {p:.3f}")

# 10. A real data set, if you have fetched it: pictures of 300 × 300, shrunk by
#     averaging, a random part of each set.
found = downloads.find("horse_or_human")
if found is None:
    print(
        "\n"
        "10. kata data horse_or_human fetches 1,283 pictures of horses and humans, "
        "for one more step here"
    )
elif stretch(kata.ImageFolderDataset, found / "training"):

    def shrunk(image):
        return F.adaptive_avg_pool2d(image, 32)

    def some(name, count):
        """`count` pictures of a part of the set, drawn at random and read once."""
        dataset = kata.ImageFolderDataset(found / name, shrunk)
        chosen = torch.randperm(len(dataset))[:count].tolist()
        return TensorDataset(
            *next(iter(DataLoader(Subset(dataset, chosen), batch_size=count)))
        )

    print(
        "\n"
        "10. horse_or_human: 240 pictures for training, 120 for validation, shrunk to "
        "32 × 32"
    )
    loaders = [
        DataLoader(some("training", 240), 16, shuffle=True),
        DataLoader(some("validation", 120), 60),
    ]
    torch.manual_seed(0)
    horses = kata.BinaryCNN(32, batch_norm=True)
    for epoch, line in enumerate(
        kata.train_classifier(horses, *loaders, epochs=6, lr=2e-3), 1
    ):
        print(
            f"   epoch {epoch}: train loss {line['train_loss']:.3f}, validation "
            f"accuracy {line['val_accuracy']:.3f}"
        )

# 11. The figure. First row: the filters that the first convolution of step 7 has
#     learned, and their answers to a picture with less noise. A filter is bright where
#     its weights are positive. Filters on the left look for change from left to right,
#     those on the right for change from top to bottom. Second row: the losses of step
#     6, thin lines for the seeds and thick lines for their mean.
figure = Figure(figsize=(6.6, 6.6))
top, bottom = figure.subfigures(2, height_ratios=(1.2, 1))
panels = top.subplots(2, 9)
filters = model.features[0].weight.detach().mean(dim=1)
limit = filters.abs().max()
across, down = (
    (filters.sum(dim) * torch.tensor([-1.0, 0.0, 1.0])).sum(1).abs() for dim in (1, 2)
)
order = (across - down).argsort(descending=True)
picture = kata.make_stripe_images(
    2, noise=0.2, generator=torch.Generator().manual_seed(2)
)[0][1]
with torch.no_grad():
    maps = model.features[:3](picture[None])[0]
panels[0, 0].axis("off")
panels[0, 0].text(
    1.0,
    0.5,
    "learned filters",
    ha="right",
    va="center",
    transform=panels[0, 0].transAxes,
)
panels[1, 0].imshow(picture.permute(1, 2, 0).numpy())
panels[1, 0].set_title("picture")
for place, number in enumerate(order.tolist(), 1):
    panels[0, place].imshow(
        filters[number].numpy(), cmap="gray", vmin=-limit, vmax=limit
    )
    panels[1, place].imshow(maps[number].numpy(), vmin=0, vmax=maps.max())
top.suptitle(
    "first layer: eight learned filters, and below each what it makes of the picture",
    fontsize="medium",
)
for panel in panels.flat:
    panel.set_xticks([])
    panel.set_yticks([])
axes = bottom.subplots()
for (name, runs), colour, style in zip(
    curves.items(), COLOURS, ("--", "-"), strict=False
):
    lines = torch.tensor([[epoch["val_loss"] for epoch in run] for run in runs])
    x = range(1, EPOCHS + 1)
    axes.plot(x, lines.T, style, color=colour, linewidth=0.7, alpha=0.5)
    axes.plot(x, lines.mean(0), style, color=colour, label=name.replace("_", " "))
axes.set(
    xlabel="epoch",
    ylabel="validation loss",
    ylim=(0, 0.8),
    title="plain and batch norm, three seeds each",
)
if curves:
    axes.legend()
else:
    axes.text(
        0.5,
        0.5,
        "compare_batch_norm is not written yet",
        ha="center",
        transform=axes.transAxes,
    )
print(
    "\n"
    "11. In torchvision, which this kata does not need, your ImageFolderDataset is "
    "called datasets.ImageFolder"
)
save_figure(figure, __file__)
