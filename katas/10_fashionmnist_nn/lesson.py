"""Lesson 10 in code: a file byte by byte, a network that reads a digit, ReLU, early
stopping, and the mistakes.
"""

import tempfile
from itertools import zip_longest
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grader.course import downloads
from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def linears(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


# 1. The file format: three digits of 8×8 pixels. The header in front of them holds two
#    zero bytes, the type, the number of dimensions, and their sizes.
images, labels = digits()
pixels = (images[:3, 0] * 16).to(torch.uint8)
packed = (
    bytes([0, 0, 8, 3])
    + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    + bytes(pixels.flatten())
)
print(f"1. Three digits as an IDX file of {len(packed)} bytes")
for start, stop, meaning in (
    (0, 2, "zero"),
    (2, 3, "type: unsigned bytes"),
    (3, 4, "dimensions"),
    (4, 8, "pictures"),
    (8, 12, "rows"),
    (12, 16, "columns"),
):
    piece = packed[start:stop]
    print(
        f"   bytes {start:>2} to {stop - 1:<2}  {piece.hex(' '):<12} "
        f"{int.from_bytes(piece, 'big'):>2}  {meaning}"
    )
print(
    f"   bytes 16 to {len(packed) - 1}, the pixels; the first row: "
    f"{packed[16:24].hex(' ')}"
)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "digits.idx")
    file.write_bytes(packed)
    read = stretch(kata.read_idx, file)
    if read is not None:
        print(
            f"   read_idx: {read.dtype} {tuple(read.shape)}, equal to what was "
            f"written: {torch.equal(read, pixels)}"
        )
        file.write_bytes(packed[:-50])
        try:
            kata.read_idx(file)
        except (ValueError, RuntimeError) as error:  # yours, or PyTorch's own
            print(f"   with 50 bytes cut off: {str(error).replace(folder, '…')}")

# 2. The data: FashionMNIST if its files are there (`kata data fashion_mnist`), or else
#    the digits. `train` and `val` are drawn at random, `in_order` keeps the order of
#    the file.
files = downloads.find("fashion_mnist")
fashion = stretch(kata.load_fashion_mnist, files) if files else None
if fashion:
    (images, labels), names = (part[:3000] for part in fashion), kata.CLASS_NAMES
    print("\n2. FashionMNIST, its first 3000 pictures")
else:
    names = [str(digit) for digit in range(10)]
    print(
        "\n"
        "2. The digits that come with the project; kata data fashion_mnist downloads "
        "FashionMNIST"
    )
n = 4 * len(labels) // 5
mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
train, val = (
    (images[mixed[:n]], labels[mixed[:n]]),
    (images[mixed[n:]], labels[mixed[n:]]),
)
in_order = (images[:n], labels[:n]), (images[n:], labels[n:])
size, classes = images[0].numel(), len(names)
print(
    f"   images {tuple(images.shape)} from {images.min():.0f} to {images.max():.0f}, "
    f"{n} to train, {len(labels) - n} to validate"
)


def loaders(train, val, batch_size):
    shuffled = torch.Generator().manual_seed(0)
    return (
        DataLoader(TensorDataset(*train), batch_size, shuffle=True, generator=shuffled),
        DataLoader(TensorDataset(*val), 256),
    )


def network(lr, hidden_dims=(128, 64)):
    torch.manual_seed(0)
    model = kata.FashionMNISTModel(size, hidden_dims, classes)
    return model, torch.optim.Adam(model.parameters(), lr=lr)


def trained(train, val, lr, epochs=5):
    """A network after so many epochs, and its loss and accuracy on `val`."""
    (train_loader, val_loader), (model, optimizer) = (
        loaders(train, val, 32),
        network(lr),
    )
    for _ in range(epochs):
        kata.train_epoch(model, train_loader, nn.NLLLoss(), optimizer)
    return model, kata.evaluate(model, val_loader, nn.NLLLoss())


# 3. The aim: a network looks at an image that it was not trained on, and gives each
#    class a probability. Here before training, and after five epochs.
def drawn(image):
    """The rows of an image (1, H, W) as text, at most 14 of them."""
    small = nn.functional.avg_pool2d(image, max(1, image.shape[-1] // 14))[0]
    return [
        "".join(" ░▒▓█"[round(4 * pixel)] * 2 for pixel in row)
        for row in small.tolist()
    ]


reader, (_, reader_accuracy) = trained(train, val, 3e-3)
SHOWN = 159
picture, answer = val[0][SHOWN], names[val[1][SHOWN]]
with torch.no_grad():
    before, after = (
        model.eval()(picture[None])[0].exp().tolist()
        for model in (network(3e-3)[0], reader)
    )
print(
    "\n"
    f"3. Validation image {SHOWN}, true class {answer}: its probabilities before "
    "training, and after 5 epochs"
)
wide = max(map(len, names))
table = [
    f"{name:<{wide}} {b:5.0%} {a:6.1%} {'█' * round(20 * a)}"
    for name, b, a in zip(names, before, after, strict=True)
]
picture = drawn(picture)
for row, line in zip_longest(picture, table, fillvalue=""):
    print(f"   {row:<{len(picture[0])}}   {line}".rstrip())

# 4. The network. log-softmax gives the logarithm of a probability, and stays finite
#    where softmax and log do not.
model, _ = network(3e-3)
print("\n4. The network")
for layer in linears(model):
    count = sum(p.numel() for p in layer.parameters())
    print(
        f"   linear {layer.in_features:>3} → {layer.out_features:>3}: {count:>7,} "
        "parameters"
    )
rows = model(images[:4]).detach()
sums = [round(total, 4) for total in rows.exp().sum(dim=1).tolist()]
print(f"   four images in, {tuple(rows.shape)} out; exp of each row sums to {sums}")
print(
    f"   uniform guessing costs log {classes} = "
    f"{torch.tensor(float(classes)).log():.2f}; this untrained network pays "
    f"{kata.evaluate(model, [val], nn.NLLLoss())[0]:.2f}"
)
scores = torch.tensor([0.0, 200.0])
print(
    f"   scores {scores.tolist()}: softmax, then log "
    f"{scores.softmax(0).log().tolist()}, log_softmax {scores.log_softmax(0).tolist()}"
)

# 5. Why ReLU: without it, three linear layers are one, whose matrix is the product of
#    the three.
with torch.no_grad():
    first, second, third = linears(model)
    x = val[0].flatten(1)
    in_turn = third(second(first(x)))
    weight = third.weight @ second.weight @ first.weight
    bias = third.weight @ (second.weight @ first.bias + second.bias) + third.bias
    at_once = x @ weight.T + bias
    with_relu = third(second(first(x).relu()).relu())
print("\n5. Three linear layers against one, on the validation images")
print(
    "   without ReLU the outputs differ by at most "
    f"{(in_turn - at_once).abs().max():.0e}, with ReLU by "
    f"{(with_relu - at_once).abs().max():.2f}"
)

# 6. The price of ReLU: a hidden unit that is 0 for every image gets no gradient and
#    never recovers.
print("\n6. Hidden units that are 0 for every training image, after 5 epochs")
for lr in (3e-3, 1.0):
    model, (_, accuracy) = trained(train, val, lr)
    shares, h = [], train[0].flatten(1)
    with torch.no_grad():
        for layer in linears(model)[:-1]:
            h = layer(h).relu()
            shares.append((h == 0).all(dim=0).double().mean().item())
    print(
        f"   Adam with lr {lr:<5}: {shares[0]:4.0%} and {shares[1]:4.0%}, validation "
        f"accuracy {accuracy:.2f}"
    )

# 7. How to split. The digits come writer by writer, so the last fifth is by people whom
#    the network has not seen.
print("\n7. Validation accuracy after 5 epochs")
print(f"   split at random        {reader_accuracy:.3f}")
print(f"   split in file order    {trained(*in_order, 3e-3)[1][1]:.3f}")

# 8. Stopping in time. 300 images are soon learned by heart. From then on the validation
#    loss rises.
few = images[:300], labels[:300]
(train_loader, val_loader), (student, optimizer) = (
    loaders(few, in_order[1], 50),
    network(4e-3),
)
stopper, history = kata.EarlyStopping(patience=15), []
print("\n8. Training on the first 300 images, patience 15")
print("   epoch  training loss  accuracy  validation loss  accuracy")
stop = False
while not stop and len(history) < 80:
    learned = kata.train_epoch(student, train_loader, nn.NLLLoss(), optimizer)
    measured = kata.evaluate(student, val_loader, nn.NLLLoss())
    stop, epoch = stopper.step(measured[0], student), len(history)
    history.append((*learned, *measured))
    if epoch % 5 == 0 or stop:
        mark = "best so far" if stopper.best_epoch == epoch else "stop" if stop else ""
        print(
            "   {:>5}  {:13.3f}  {:8.2f}  {:15.3f}  {:8.2f}  {}".format(
                epoch, *history[-1], mark
            ).rstrip()
        )
stopper.restore(student)
loss, accuracy = kata.evaluate(student, val_loader, nn.NLLLoss())
print(
    f"   epoch {stopper.best_epoch} restored: validation loss {loss:.3f}, accuracy "
    f"{accuracy:.2f}"
)

# 9. Deeper, or not?
print("\n9. Depths compared after 5 epochs")
depths = ((), (128,), (128, 64), (128, 64, 32))
for result in (
    stretch(kata.compare_depths, train, val, depths, batch_size=32, lr=3e-3) or []
):
    print(
        f"   {str(result['hidden_dims']):<14} {result['num_parameters']:>7,} "
        "parameters, "
        f"validation loss {result['val_loss']:.3f}, accuracy {result['val_acc']:.3f}"
    )

# 10. The mistakes of the network of step 3, the most confident first.
worst = kata.misclassified(reader, *val)
print(
    "\n"
    f"10. {len(worst['index'])} of {len(val[1])} validation images are misclassified; "
    "the most confident mistakes"
)
for index, predicted, target, confidence in list(
    zip(*(worst[key].tolist() for key in worst), strict=True)
)[:5]:
    print(
        f"   image {index:>4}: predicted {names[predicted]} with {confidence:.0%}, "
        f"true {names[target]}"
    )

# 11. The figure. Left: the training loss keeps falling while the validation loss rises.
#     Right: the mistakes of step 10.
figure = Figure(figsize=(6.6, 7))
above, below = figure.subfigures(2, height_ratios=(1, 1.3))
axes = above.subplots()
best = stopper.best_epoch
for column, name, style in ((0, "training", "--"), (2, "validation", "-")):
    axes.plot(
        [numbers[column] for numbers in history],
        style,
        label=name,
        color=COLOURS[column // 2],
    )
axes.axvline(best, color="0.6", linewidth=1)
axes.plot(best, history[best][2], "o", color=COLOURS[1])
axes.annotate(
    f"best epoch: {best}",
    (best, history[best][2]),
    xytext=(8, 26),
    textcoords="offset points",
)
axes.set(
    xlabel="epoch", ylabel="loss", title="300 images, learned by heart", ylim=(0, None)
)
axes.legend(loc="upper right")
below.suptitle("Mistakes: predicted / true (confidence)", fontsize="medium")
for axes, index, predicted, target, confidence in zip(
    below.subplots(2, 4).flat, *worst.values(), strict=False
):
    axes.imshow(val[0][index, 0].numpy(), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(f"{names[predicted]} / {names[target]}\n({confidence:.0%})")
for axes in below.axes:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.8")
save_figure(figure, __file__)
