"""Kata 22 in code: the loop on one screen, early stopping, averages, a run killed and
resumed, gradients, errors.
"""

import copy
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from grader.lesson import COLOURS, code, save_figure

torch.set_num_threads(1)  # tensors this small are slower on several threads
kata = code(__file__)
torch.manual_seed(0)

# 1. The whole loop on one screen. Beside each line is what explains it: an exercise or
#    an earlier kata.
print("""1. Quick reference

   import torch                                            tensors (kata 01)
   from torch import nn                                    modules (19)
   import torch.nn.functional as F                  losses (20)
   from torch import optim                          optimizers, schedules (21)
   from torch.utils.data import Dataset, DataLoader, TensorDataset

   class Net(nn.Module):                            a module (19)
       def __init__(self):
           super().__init__()
           self.body = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
       def forward(self, x):
           return self.body(x)                      logits: the loss does the rest (20)

   model.train()                                    train_one_epoch: in every epoch
   for x, y in train_loader:
       x, y = x.to(device), y.to(device)            train_one_epoch, evaluate
       loss = F.cross_entropy(model(x), y)          train_one_epoch: is it a number?
       optimizer.zero_grad()                        train_one_epoch, accumulated_step
       loss.backward()                              gradient_report, classify_error
       nn.utils.clip_grad_norm_(                    train_one_epoch, accumulated_step
           model.parameters(), 1.0)
       optimizer.step()                             accumulated_step
   scheduler.step()                                 fit: once an epoch, or once a batch

   model.eval()                                     evaluate: and back, module by module
   with torch.no_grad():                            evaluate
       for x, y in val_loader:
           loss = F.cross_entropy(model(x), y)      evaluate: weighted by len(x)
   stopper.step(val_loss, model)                    EarlyStopping, fit
   save_checkpoint(path, model, optimizer, ...)     save_checkpoint, load_checkpoint""")


# 2. Three arms of a spiral, with a fifth of the labels random. A network that memorises
#    those is worse on new data.
def spiral(points, generator):
    """x (points, 2) and y (points,), of which a fifth are random labels."""
    y = torch.randint(3, (points,), generator=generator)
    radius = torch.rand(points, generator=generator)
    angle = (
        4 * radius
        + y * (2 * torch.pi / 3)
        + 0.2 * torch.randn(points, generator=generator)
    )
    x = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    noisy = torch.rand(points, generator=generator) < 0.2
    return 2 * x, torch.where(
        noisy, torch.randint(3, (points,), generator=generator), y
    )


EPOCHS, KILLED = 60, 20
source = torch.Generator().manual_seed(1)
training_set, validation_set = (
    TensorDataset(*spiral(210, source)),
    TensorDataset(*spiral(500, source)),
)
val_loader = DataLoader(validation_set, batch_size=200)


class Run:
    """Everything that belongs to one run: model, optimizer, schedule, and a generator
    that shuffles the data.
    """

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(2, 64),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 3),
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        self.scheduler = optim.lr_scheduler.StepLR(
            self.optimizer, step_size=25, gamma=0.5
        )
        self.shuffle = torch.Generator().manual_seed(seed)
        self.loader = DataLoader(
            training_set, batch_size=32, shuffle=True, generator=self.shuffle
        )
        self.parts = {
            "scheduler": self.scheduler,
            "generators": {"shuffle": self.shuffle},
        }

    def epochs(self, first, last):
        """Train and evaluate: one row (epoch, train loss, validation loss, validation
        accuracy) per epoch.
        """
        rows = []
        for epoch in range(first, last):
            train_loss = kata.train_one_epoch(
                self.model,
                self.loader,
                F.cross_entropy,
                self.optimizer,
                max_grad_norm=5.0,
            )
            found = kata.evaluate(self.model, val_loader, F.cross_entropy)
            self.scheduler.step()
            rows.append((epoch, train_loss, found["loss"], found["accuracy"]))
        return rows


with tempfile.TemporaryDirectory() as folder:
    checkpoint, weights = Path(folder, "run.pt"), Path(folder, "weights.pt")
    run = Run(seed=0)
    history = run.epochs(0, KILLED)
    kata.save_checkpoint(
        checkpoint,
        run.model,
        run.optimizer,
        **run.parts,
        step=KILLED,
        extra={"history": history},
    )
    torch.save(run.model.state_dict(), weights)
    history += run.epochs(KILLED, EPOCHS)

    # For step 4, two runs with another seed continue: one from the whole checkpoint,
    # one from the weights alone.
    resumed = Run(seed=1)
    found = kata.load_checkpoint(
        checkpoint, resumed.model, resumed.optimizer, **resumed.parts
    )
    continued = resumed.epochs(found["step"], EPOCHS)
    halfway = Run(seed=1)
    halfway.model.load_state_dict(torch.load(weights, weights_only=True))
    without = halfway.epochs(KILLED, EPOCHS)

best = min(history, key=lambda row: row[2])
print(
    "\n"
    f"2. {len(training_set)} points for training, {len(validation_set)} for "
    f"validation, {EPOCHS} epochs"
)
print("   epoch   train loss   validation loss   accuracy")
for row in (history[0], history[4], best, history[39], history[-1]):
    mark = "   <- the best epoch" if row is best else ""
    print(f"   {row[0]:5}   {row[1]:10.3f}   {row[2]:15.3f}   {row[3]:8.3f}{mark}")

# 3. The same with fit and EarlyStopping: the run stops by itself and ends with the
#    best weights.
print("\n3. fit, with a patience of 10")
try:
    stopped, stopper = Run(seed=0), kata.EarlyStopping(patience=10)
    told = kata.fit(
        stopped.model,
        stopped.loader,
        val_loader,
        F.cross_entropy,
        stopped.optimizer,
        epochs=EPOCHS,
        early_stopping=stopper,
        scheduler=stopped.scheduler,
        max_grad_norm=5.0,
    )
    now = kata.evaluate(stopped.model, val_loader, F.cross_entropy)
    print(
        f"   {len(told)} epochs, the best was {stopper.best_epoch} with a validation "
        f"loss of {stopper.best:.3f}"
    )
    print(
        f"   the weights at the end have {now['loss']:.3f}; those of the last epoch "
        f"had {told[-1]['val_loss']:.3f}"
    )
except NotImplementedError:
    print("   (fit and EarlyStopping are stretch exercises that are not written yet)")

# 4. The run is killed after epoch 19 and resumed as in a new process: another seed,
#    other weights, and then the file.
print(f"\n4. Saved after {KILLED} epochs, then resumed")
print("   epoch   not interrupted   resumed       from the weights alone")
for epoch in (KILLED, KILLED + 1, EPOCHS - 1):
    row = [
        rows[epoch - start][1]
        for rows, start in ((history, 0), (continued, KILLED), (without, KILLED))
    ]
    print(f"   {epoch:5}   {row[0]:.10f}      {row[1]:.10f}  {row[2]:.10f}")
print(
    f"   all {len(continued)} rows of the resumed run are the same to the last bit: "
    f"{continued == history[KILLED:]}"
)

# 5. Averages. A batch of 1 weighs as much as one of 32 if batch means are averaged.
model = run.model.eval()
x, y = validation_set.tensors
hardest = F.cross_entropy(model(x), y, reduction="none").argsort()[-33:]
uneven = [(x[hardest[:32]], y[hardest[:32]]), (x[hardest[32:]], y[hardest[32:]])]
means = [F.cross_entropy(model(a), b).item() for a, b in uneven]
print("\n5. The 33 worst validation samples in batches of 32 and 1")
print(
    f"   batch means {means[0]:.2f} and {means[1]:.2f}; their mean "
    f"{sum(means) / 2:.2f};",
    end=" ",
)
print(f"per sample {kata.evaluate(model, uneven, F.cross_entropy)['loss']:.2f}")

# 6. One step out of micro-batches of 20, 8 and 4 equals one step on all 32, but not
#    with batch norm: there, a sample's output depends on the rest of its micro-batch.
#    Accumulation does not make the batches of batch norm larger.
print(
    "\n"
    "6. Micro-batches of 20, 8 and 4 against one batch of 32: largest difference of a "
    "weight after the step"
)
x, y = training_set.tensors
for name, norm in (
    ("without a norm", nn.Identity()),
    ("layer norm", nn.LayerNorm(16)),
    ("batch norm", nn.BatchNorm1d(16)),
):
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(2, 16), norm, nn.ReLU(), nn.Linear(16, 3))
    large = copy.deepcopy(small)
    micro_batches = list(
        zip(x[:32].split((20, 8, 4)), y[:32].split((20, 8, 4)), strict=True)
    )
    kata.accumulated_step(
        small, micro_batches, F.cross_entropy, optim.SGD(small.parameters(), lr=0.1)
    )
    kata.accumulated_step(
        large,
        [(x[:32], y[:32])],
        F.cross_entropy,
        optim.SGD(large.parameters(), lr=0.1),
    )
    gap = max(
        (p - q).abs().max().item()
        for p, q in zip(small.parameters(), large.parameters(), strict=True)
    )
    print(f"   {name:<15} {gap:.0e}")


# 7. A gradient report shows three faults: a layer cut off by detach, a layer that
#    nothing calls, and the root of 0.
class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 16), nn.Linear(16, 16)
        self.gate = nn.Parameter(torch.zeros(16))
        self.unused = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        hidden = self.second(self.first(x).relu().detach()).relu()
        return self.head(hidden * self.gate.square().sum().sqrt())


print("\n7. Gradients of a network with three broken places")
broken = Broken()
F.cross_entropy(broken(x[:32]), y[:32]).backward()
try:
    for name, row in kata.gradient_report(broken).items():
        numbers = "".join(
            f"   {key} {row[key]:8.4f}"
            for key in ("norm", "mean", "std")
            if row[key] is not None
        )
        print(f"   {name:<14} {row['status']:<8}{numbers}")
except NotImplementedError:
    print("   (gradient_report is a stretch exercise that is not written yet)")


# 8. Errors that PyTorch really raises, with their usual causes.
def twice():
    loss = torch.ones(3, requires_grad=True).square().sum()
    loss.backward()
    loss.backward()


def overwritten():
    result = torch.ones(3, requires_grad=True).exp()
    result += 1
    result.sum().backward()


def out_of_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


CAUSES = {
    "shape_mismatch": (
        lambda: nn.Linear(4, 2)(torch.ones(3, 5)),
        "wrong in_features, or a missing flatten",
    ),
    "dtype_mismatch": (
        lambda: nn.Linear(4, 2)(torch.ones(3, 4).double()),
        "data from NumPy is float64: x.float()",
    ),
    "device_mismatch": (
        lambda: torch.ones(3) + torch.ones(3, device="meta"),
        "a batch was not moved to the device",
    ),
    "inplace_modification": (overwritten, "+= on something that backward needs"),
    "non_scalar_backward": (
        lambda: torch.ones(3, requires_grad=True).exp().backward(),
        "reduction='none', no mean",
    ),
    "second_backward": (
        twice,
        "losses added up over steps, a hidden state not detached",
    ),
    "no_gradient": (
        lambda: torch.ones(3).sum().backward(),
        "everything frozen, detached or inside no_grad",
    ),
    "out_of_memory": (
        out_of_memory,
        "batch too large, or graphs kept in a list of losses",
    ),
    "unknown": (
        lambda: nn.Embedding(5, 2)(torch.tensor([5])),
        "an index beyond the vocabulary",
    ),
}
print("\n8. Error, kind, likely cause")
for work, cause in CAUSES.values():
    try:
        work()
    except Exception as error:
        said = " ".join(str(error).split())
        try:
            kind = kata.classify_error(error)
        except NotImplementedError:
            kind = "(classify_error is not written yet)"
        print(
            f"   {said if len(said) < 66 else said[:65] + '…':<67} {kind:<21} {cause}"
        )

# 9. The figure. Left: the run, and the resumed run as dots on its curves. Right: what
#    the rest of the checkpoint does.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
blue, red, green, orange = COLOURS[:4]
epochs = [row[0] for row in history]
above.plot(epochs, [row[1] for row in history], color=blue, label="training")
above.plot(epochs, [row[2] for row in history], color=red, label="validation")
for column in (1, 2):
    label = "resumed" if column == 1 else None
    above.plot(
        epochs[KILLED:],
        [row[column] for row in continued],
        ".",
        color=orange,
        markersize=5,
        label=label,
    )
above.plot(
    best[0],
    best[2],
    marker="*",
    color="black",
    markersize=13,
    linestyle="none",
    label=f"best epoch, {best[0]}",
)
above.axvline(KILLED - 0.5, color="0.6", linewidth=1, linestyle="--")
above.set(
    xlabel="epoch",
    ylabel="loss per sample",
    title=f"One run, killed after {KILLED} epochs and resumed",
)
above.legend()
near = slice(KILLED - 8, KILLED + 12)
below.plot(
    epochs[near], [row[1] for row in history[near]], color=blue, label="not interrupted"
)
below.plot(
    [r[0] for r in continued[:12]],
    [r[1] for r in continued[:12]],
    ".",
    color=orange,
    markersize=8,
    label="all restored",
)
below.plot(
    [r[0] for r in without[:12]],
    [r[1] for r in without[:12]],
    "--",
    color=green,
    label="weights alone",
)
below.axvline(KILLED - 0.5, color="0.6", linewidth=1, linestyle="--")
below.set(
    xlabel="epoch",
    ylabel="training loss",
    title="Resumed with all of it, or the weights alone",
)
below.legend(loc="lower left")
save_figure(figure, __file__)
