"""Module 12 in code: milestone 3, checkpoints and their size, early stopping,
schedules, and what metrics cost.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from grader.course import downloads
from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)

# the modules that stand beside the loaded one
from tinytorch.activations import ReLU  # noqa: E402
from tinytorch.advanced_optimizers import Adam, evaluate_classifier, train_classifier  # noqa: E402
from tinytorch.dataloader import (  # noqa: E402
    MNIST,
    ArrayDataset,
    DataLoader,
    Normalize,
    digits_datasets,
)
from tinytorch.layers import Linear, Sequential  # noqa: E402
from tinytorch.setup import profile_memory  # noqa: E402
from tinytorch.spatial import Flatten, make_cnn  # noqa: E402

np.set_printoptions(suppress=True, precision=4)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "run.ckpt"

# 1. The milestone: a convolutional network from the first line to the last is your own.
heading("1. Milestone 3: digits, 8 epochs of 45 batches")
started = time.perf_counter()
found = kata.train_digits_cnn(np.random.default_rng(0))
seconds, history = time.perf_counter() - started, found["history"]
for epoch, (rate, loss, share) in enumerate(
    zip(history["lr"], history["train_loss"], history["train_accuracy"])
):
    print(
        f"   epoch {epoch}: lr {rate:.5f}, train loss {loss:.3f}, train accuracy "
        f"{share:.1%}"
    )
print(
    f"   test accuracy {found['test_accuracy']:.1%}, test loss "
    f"{found['test_loss']:.3f}, in {seconds:.1f} s"
)
files = downloads.find("mnist")
if files is None:
    print(
        "   (the files of MNIST are not here: above are the 1,797 small digits; `kata "
        "data mnist` downloads MNIST)"
    )
else:
    train, test = MNIST(files), MNIST(files, train=False)
    normalize = Normalize.fit(train.images)
    train, test = (
        ArrayDataset(part.images[:, None], part.labels, transform=normalize)
        for part in (train, test)
    )
    rng = np.random.default_rng(0)
    model = make_cnn(28, rng=rng)
    trainer = kata.Trainer(model, Adam(model.parameters()))
    trainer.fit(DataLoader(train, 64, shuffle=True, rng=rng), 1)
    share = trainer.evaluate(DataLoader(test, 256))["accuracy"]
    print(f"   MNIST, one epoch: test accuracy {share:.1%}")
    assert share > 0.95, (
        f"the milestone asks for more than 95 % on MNIST, got {share:.1%}"
    )

# 2. A crash after three epochs. The batches come from one list, so that both runs see
#    the same.
heading("2. Six epochs, and three + three through a checkpoint")
train, test = digits_datasets(rng=np.random.default_rng(0))
few = list(DataLoader(train, 64))[:3]
test_batches = list(DataLoader(test, 256))


def network(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        [Flatten(), Linear(64, 64, rng=rng), ReLU(), Linear(64, 10, rng=rng)]
    )


def fitted(model: Sequential, epochs: int, optimizer: Adam | None = None) -> Adam:
    optimizer = optimizer or Adam(model.parameters(), lr=3e-3)
    train_classifier(model, optimizer, few, epochs)
    return optimizer


whole, first, second, anew = network(), network(), network(1), network(1)
fitted(whole, 6)
kata.save_checkpoint(path, first, fitted(first, 3), meta={"epoch": 2})
optimizer = Adam(second.parameters())
print(
    f"   meta: {kata.load_checkpoint(path, second, optimizer)}, steps of Adam: "
    f"{optimizer.steps}"
)
kata.load_checkpoint(path, anew)
fitted(second, 3, optimizer)
fitted(anew, 3)
for name, model in {"with Adam's state": second, "with a new Adam": anew}.items():
    gap = max(
        np.abs(p.data - q.data).max()
        for p, q in zip(model.parameters(), whole.parameters())
    )
    print(f"   {name:<18} largest difference from six epochs in one go: {gap:.2g}")

# 3. The size of a checkpoint: predicted, of the file, and of the memory that
#    saving takes.
heading("3. Bytes of checkpoints")
model = Linear(784, 128)
for name, optimizer in {None: None, "adam": Adam(model.parameters())}.items():
    payload = stretch(kata.predict_checkpoint_bytes, model, name)
    if payload is None:
        break
    peak = profile_memory(kata.save_checkpoint, path, model, optimizer).peak_bytes
    size = path.stat().st_size
    print(
        f"   Linear(784, 128), optimizer {name}: predicted {payload:,}, the file "
        f"{size:,}, {size - payload:,} more"
    )
    print(
        f"      peak memory of saving {peak:,}: {peak / payload:.2f} times the payload"
    )
    print(f"      at 100 times the parameters: {100 * payload / 2**20:,.0f} MiB")
scaling = stretch(kata.checkpoint_scaling, [64, 128, 256], folder.name)
if scaling:
    print(
        f"   files for {scaling['sizes']} parameters: {scaling['values']} bytes, "
        f"exponent {scaling['exponent']:.2f}"
    )

# 4. A network that learns 192 digits by heart. Early stopping looks at 360 others. To
#    show what it spares us, train on.
heading("4. Early stopping with patience 5, watched for 40 epochs")
stopping, rates, losses = (
    kata.EarlyStopping(5, min_delta=1e-3),
    [],
    {"train": [], "validation": []},
)
model = network()
optimizer = Adam(model.parameters(), lr=0.02)
scheduler = kata.LRScheduler(
    optimizer, lambda epoch, base: kata.cosine_decay(epoch, base, total=40, warmup=4)
)
stopped = None
for epoch in range(40):
    rates.append(optimizer.lr)
    seen = train_classifier(model, optimizer, few, 1, val_loader=test_batches)
    losses["train"] += seen["train_loss"]
    losses["validation"] += seen["val_loss"]
    if stopping.step(seen["val_loss"][0], model) and stopped is None:
        stopped, best = epoch, stopping.best_epoch
    scheduler.step()
for epoch in (0, 4, best, stopped, 39):
    print(
        f"   epoch {epoch:>2}: train {losses['train'][epoch]:.4f}, validation "
        f"{losses['validation'][epoch]:.4f}"
    )
print(
    f"   it would stop after epoch {stopped}, and go back to epoch {best}: "
    f"{39 - stopped} epochs spared"
)

# 5. What metrics cost. Validation is a forward pass over a quarter as many images;
#    training goes forward and backward.
heading(
    "5. Milliseconds per epoch of the digits CNN, 512 images to train on and 128 for "
    "validation"
)
rng, some, others = (
    np.random.default_rng(0),
    list(DataLoader(train, 64))[:8],
    list(DataLoader(test, 128))[:1],
)
for name, every in {
    "validation every epoch": 1,
    "every second epoch": 2,
    "never": 3,
}.items():
    model = make_cnn(8, padding=1, rng=rng)
    optimizer, started = Adam(model.parameters()), time.process_time()
    for epoch in range(1, 3):
        train_classifier(model, optimizer, some, 1)
        if epoch % every == 0:
            evaluate_classifier(model, others)
    print(f"   {name:<23} {(time.process_time() - started) / 2 * 1000:4.0f}")
mean, values = kata.RunningMean(), []
for value in np.random.default_rng(0).normal(size=2000).tolist():
    mean.update(value)
    values.append(value)
print(
    f"   mean of 2,000 values: RunningMean {mean.value:.9f}, NumPy "
    f"{np.mean(values):.9f}"
)

# 6. The same in PyTorch.
heading("6. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    theirs = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )
    print(f"   state_dict keys  {list(theirs.state_dict())}")
    print(f"   model_state keys {list(kata.model_state(network()))}")
    torch.save(theirs.state_dict(), path)
    payload = sum(p.numel() * 4 for p in theirs.parameters())
    print(
        f"   torch.save of it: {path.stat().st_size - payload:,} bytes more than the "
        f"payload of {payload:,}",
        end="; ",
    )
    kata.save_checkpoint(path, network())
    print(f"ours {path.stat().st_size - payload:,}")
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.02)
    cosine, lrs = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=4), []
    for _ in range(5):
        lrs.append(sgd.param_groups[0]["lr"])
        sgd.step()
        cosine.step()
    print(f"   CosineAnnealingLR(T_max=4): {np.array(lrs)}")
    print(
        "   cosine_decay(total=4):      "
        f"{np.array([kata.cosine_decay(e, 0.02, total=4) for e in range(5)])}"
    )
    pytorch_source(
        "torch.optim.lr_scheduler",
        "CosineAnnealingLR._get_closed_form_lr",
        start="return",
        lines=12,
    )


# 7. The figure: train and validation loss, where it would stop, and the learning
#    rate below.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 4.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for (name, values), colour in zip(losses.items(), COLOURS):
        above.plot(values, color=colour, label=name)
    top = 1.0
    above.plot(best, losses["validation"][best], "o", color=COLOURS[1])
    line = {"arrowstyle": "-", "color": "#888888"}
    lowest = (best, losses["validation"][best])
    above.annotate(
        f"best epoch, {best}", lowest, (best, 0.62), ha="center", arrowprops=line
    )
    for axes in (above, below):
        axes.axvline(stopped, color="#888888", linestyle=":", linewidth=1)
    above.text(
        stopped + 0.3, 0.85 * top, f"stops after epoch {stopped}", color="#555555"
    )
    above.set(
        title="Training goes on to improve, validation does not: stop there",
        ylabel="loss",
        ylim=(0, top),
    )
    above.legend(loc="upper right")
    below.plot(rates, color=COLOURS[2])
    below.set(xlabel="epoch", ylabel="learning rate", ylim=(0, 0.022))
    return figure


save_figure(draw(), __file__)
folder.cleanup()
