"""Kata 29 in code: the recipe in numbers, a step out of three micro-batches, four rows
by heart, and a run that resumes from a checkpoint.
"""

import copy
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.course import downloads
from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
kata = code(__file__)
torch.manual_seed(0)


# 1. Who decays. On the "meta" device GPT-2 has shapes and no data, which is
#    enough here.
with torch.device("meta"):
    gpt2 = kata.GPT(kata.GPTConfig())
print("1. GPT-2's parameters in two groups")
for group in kata.param_groups(gpt2, weight_decay=0.1):
    count = sum(p.numel() for p in group["params"])
    print(
        f"   weight decay {group['weight_decay']:.1f}: {len(group['params']):>3} "
        f"tensors, {count:>11,} numbers"
    )

# 2. How the rate moves. 10 billion tokens at 524288 per step are 19073 steps; GPT-3
#    warms up for 375 million tokens.
print(
    "\n"
    "2. The rate of GPT-3 Small, for 10 billion tokens: up to 6e-4, down to a tenth "
    "of it"
)
print(
    "   step "
    + "".join(f"{step:>9,}" for step in (0, 357, 714, 715, 9894, 19072, 19073))
)
rates = [
    kata.cosine_lr(step, 6e-4, 6e-5, 715, 19073)
    for step in (0, 357, 714, 715, 9894, 19072, 19073)
]
print("   rate " + "".join(f"{rate:9.1e}" for rate in rates))

# 3. How large the batch is, and what it is made of. GPT-3 began with 32 thousand tokens
#    (16 rows of 2048).
print(
    "\n"
    "3. Rows of 2048 tokens in a batch, growing over 4 billion tokens; and half a "
    "million tokens out of small batches"
)
for tokens in (0, 500_000_000, 2_000_000_000, 3_999_999_999, 4_000_000_000):
    rows = stretch(
        kata.batch_size_at,
        tokens,
        start=16,
        full=256,
        ramp_tokens=4_000_000_000,
        multiple=8,
    )
    if rows is None:
        break
    print(
        f"   after {tokens:>13,} tokens: {rows:>3} rows, {rows * 2048:>7,} tokens per "
        "step"
    )
for batch_size, world_size in ((16, 8), (16, 1)):
    micro = stretch(kata.accumulation_steps, 524288, batch_size, 1024, world_size)
    if micro is None:
        break
    print(
        f"   524288 tokens, {world_size} process(es) with {batch_size} rows of 1024 at "
        f"a time: {micro} micro-batches each"
    )

# 4. One step out of three micro-batches, against one step on all twelve rows; and the
#    mistake of not dividing by 3. Plain gradient descent shows it at once. Adam divides
#    by the size of the gradient, and hides it.
print("\n4. Largest difference of a weight after one step on twelve rows")
config = kata.GPTConfig(block_size=16, vocab_size=50, n_layer=2, n_head=2, n_embd=32)
origin = kata.GPT(config).double()
x, y = torch.randint(50, (12, 16)), torch.randint(50, (12, 16))
micro_batches = list(zip(x.split(4), y.split(4), strict=True))


def not_divided(model, optimizer):
    """The same step, by a loop that does not divide the losses."""
    for a, b in micro_batches:
        model(a, b)[1].backward()
    optimizer.step()


for name, make in (("SGD", torch.optim.SGD), ("AdamW", torch.optim.AdamW)):
    models = [copy.deepcopy(origin) for _ in range(3)]
    whole, parts, summed = [
        (model, make(model.parameters(), lr=0.01)) for model in models
    ]
    kata.train_step(*whole, [(x, y)], max_norm=None)
    kata.train_step(*parts, micro_batches, max_norm=None)
    not_divided(*summed)
    gaps = [
        max(
            (p - q).abs().max().item()
            for p, q in zip(whole[0].parameters(), other.parameters(), strict=True)
        )
        for other in (parts[0], summed[0], origin)
    ]
    print(
        f"   {name:<6} in three micro-batches {gaps[0]:.0e}, summed up {gaps[1]:.0e} "
        f"(the step itself: {gaps[2]:.0e})"
    )
model = copy.deepcopy(origin)
norm = kata.train_step(
    model, torch.optim.SGD(model.parameters(), lr=0.01), micro_batches
)["grad_norm"]
print(
    f"   The norm of the gradient is {norm:.3f}; summed up it is {3 * norm:.3f}, and "
    "a limit of 1 would clip it"
)

# 5. The mean of means. A batch with hardly any target weighs as much as a full one; per
#    target it does not.
few = y.clone()
few[:, 2:] = -100
full, short = kata.evaluate(origin, [(x, y)]), kata.evaluate(origin, [(x, few)])
print(f"\n5. 192 targets with a loss of {full:.4f} and 24 with {short:.4f}:", end=" ")
print(
    f"their mean is {(full + short) / 2:.4f}, per target it is "
    f"{kata.evaluate(origin, [(x, y), (x, few)]):.4f}"
)

# 6. Text: one id per character, in lower case. Keep only paragraphs of words, each of
#    them once and in random order, so that the held-out last tenth is like the rest and
#    yet unknown.
folder = downloads.find("text")
source = (
    "tiny Shakespeare"
    if folder
    else "Python's own help texts (for Shakespeare: kata data text)"
)
text = (
    (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8") if folder else prose()
)
paragraphs = [" ".join(paragraph.split()) for paragraph in text.lower().split("\n\n")]
paragraphs = sorted(
    {
        p
        for p in paragraphs
        if len(p) > 60 and sum(c.isalpha() or c == " " for c in p) > 0.9 * len(p)
    }
)
random.Random(0).shuffle(paragraphs)
text = " ".join(paragraphs)[:200_000]
symbols = sorted(set(text))
ids = np.array([symbols.index(character) for character in text], dtype=np.uint16)
STEPS, SAVED, BLOCK, ROWS = 120, 60, 32, 8
settings = kata.TrainConfig(
    max_steps=STEPS,
    max_lr=3e-3,
    min_lr=3e-4,
    warmup_steps=15,
    accum_steps=2,
    eval_every=30,
)
model_config = kata.GPTConfig(
    BLOCK, len(symbols), n_layer=2, n_head=4, n_embd=64, dropout=0.05
)


def parts_of_a_run(shards, seed):
    """A model, its optimizer and a loader, all fresh."""
    torch.manual_seed(seed)
    model = kata.GPT(model_config)
    optimizer = kata.make_optimizer(model, settings.max_lr, fused=True)
    return model, optimizer, kata.DataLoaderLite(shards, ROWS, BLOCK)


def speak(model, length=60):
    """Let the model continue "the ", with a generator of its own: sampling must not
    disturb the run.
    """
    generator = torch.Generator().manual_seed(1)
    said = torch.tensor([[symbols.index(character) for character in "the "]])
    with torch.no_grad():
        for _ in range(length):
            logits = model(said[:, -BLOCK:])[0][:, -1]
            said = torch.cat(
                [
                    said,
                    torch.multinomial(
                        (logits / 0.7).softmax(-1), 1, generator=generator
                    ),
                ],
                dim=1,
            )
    return "".join(symbols[i] for i in said[0].tolist())


class Alarm:
    """A loader that calls `ring` after some batches, before it hands out the
    next one.
    """

    def __init__(self, loader, batches, ring):
        self.loader, self.left, self.ring = loader, batches, ring

    def next_batch(self):
        if self.left == 0:
            self.ring()
        self.left -= 1
        return self.loader.next_batch()


def cut(stream):
    """Rows of BLOCK tokens with their targets, in batches of 32."""
    rows = torch.from_numpy(stream.astype(np.int64)).unfold(0, BLOCK + 1, BLOCK)
    return [(part[:, :-1], part[:, 1:]) for part in rows.split(32)]


print(
    "\n"
    f"6. {len(text):,} characters of {source}, {len(symbols)} different ones, the "
    "last tenth held out"
)
with tempfile.TemporaryDirectory() as place:
    np.save(Path(place, "train_000000.npy"), ids[: -len(ids) // 10])
    shards, checkpoint = [Path(place, "train_000000.npy")], Path(place, "run.pt")
    validation = cut(ids[-len(ids) // 10 :])[:6]

    # First of all: can this model learn one batch by heart? If not, there is no point
    # in training it.
    model, _, loader = parts_of_a_run(shards, seed=1)
    x, y = loader.next_batch()
    losses = stretch(kata.overfit_one_batch, model, x[:4], y[:4], steps=100, lr=1e-2)
    if losses is not None:
        line = ", ".join(f"{losses[step]:.3f}" for step in (0, 10, 25, 50, 99))
        print(f"   Four rows by heart, the loss at steps 0, 10, 25, 50 and 99: {line}")

    # 7. The run. It takes 2 micro-batches of 8 rows per step, is validated every 30
    #    steps and speaks. When it asks for the batches of step 60, everything that the
    #    rest of the run depends on goes into a file.
    model, optimizer, loader = parts_of_a_run(shards, seed=1)

    def save():
        try:
            kata.save_checkpoint(checkpoint, model, optimizer, SAVED, loader)
        except NotImplementedError:
            pass

    alarm = Alarm(loader, SAVED * settings.accum_steps, save)
    history = kata.train(model, optimizer, alarm, settings, validation, sample=speak)

    # 8. Had the run been killed at step 60, only the file would be left. Load it into
    #    fresh objects of another seed, and let them make the remaining steps.
    resumed = None
    if checkpoint.exists():
        model, optimizer, loader = parts_of_a_run(shards, seed=2)
        try:
            step = kata.load_checkpoint(checkpoint, model, optimizer, loader)
            size = checkpoint.stat().st_size
            resumed = kata.train(model, optimizer, loader, settings, start_step=step)
        except NotImplementedError:
            pass

guess = np.log(len(symbols))
print(
    "\n"
    f"7. {STEPS} steps of {settings.accum_steps} × {ROWS} × {BLOCK} tokens; ln "
    f"{len(symbols)} = {guess:.2f}"
)
print("   step   train   validation     rate   norm   a sample")
for (step, value), (_, said) in zip(history["val"], history["samples"], strict=True):
    row = (
        f"{history['loss'][step]:7.2f}{value:13.2f}{history['lr'][step]:9.1e}"
        f"{history['grad_norm'][step]:7.2f}"
    )
    print(f"   {step:4}{row}   {said}")
clipped = sum(norm > settings.max_norm for norm in history["grad_norm"])
largest = max(history["grad_norm"])
at = history["grad_norm"].index(largest)
print(
    f"   clipped in {clipped} of {STEPS} steps; the largest norm was {largest:.2f}, "
    f"at step {at}",
    end=" ",
)
print(f"with a loss of {history['loss'][at]:.2f}")

print(
    "\n"
    f"8. The file from before the update of step {SAVED}, resumed in fresh objects of "
    "another seed"
)
if resumed is None:
    print(
        "   (save_checkpoint and load_checkpoint are stretch exercises that are not "
        "written yet)"
    )
else:
    for step in (SAVED, SAVED + 1, STEPS - 1):
        through, again = history["loss"][step], resumed["loss"][step - SAVED]
        print(f"   step {step}: {through:.10f} uninterrupted, {again:.10f} resumed")
    same = resumed["loss"] == history["loss"][SAVED:]
    print(f"   all {len(resumed['loss'])} losses are the same to the last bit: {same}")
    weights = sum(p.numel() for p in model.parameters())
    print(
        f"   the file has {size / 1e6:.2f} MB: {size / weights:.1f} bytes for each of "
        f"{weights:,} weights"
    )

# 9. The figure. Above: the run, with the resumed one on top of it. Below: the rate
#    of both.
figure = Figure(figsize=(6.6, 4.8))
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
above.plot(
    history["step"],
    history["loss"],
    color=COLOURS[0],
    linewidth=1,
    label="training, each step",
)
if resumed is not None:
    above.plot(
        resumed["step"],
        resumed["loss"],
        ".",
        color=COLOURS[3],
        markersize=4,
        label="resumed, in fresh objects",
    )
above.plot(
    *zip(*history["val"], strict=True),
    "o-",
    color=COLOURS[1],
    markersize=5,
    label="validation, every 30 steps",
)
above.axhline(guess, color="0.6", linewidth=1, linestyle=":")
above.text(
    STEPS - 1,
    guess - 0.1,
    f"ln {len(symbols)}: every character equally likely",
    ha="right",
    va="top",
    color="0.4",
)
above.set(
    ylabel="loss, nats per character",
    title="120 steps, the last 60 once more from a checkpoint: the same curve",
)
above.set_ylim(top=max(5.4, max(history["loss"]) + 0.2))
above.legend(loc="upper right")
label = f"norm {largest:.1f}, clipped to {settings.max_norm:g}"
above.annotate(label, (at, history["loss"][at]), (8, -16), textcoords="offset points")
below.plot(history["step"], history["lr"], color=COLOURS[2])
below.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
below.annotate("warm-up", (7, settings.max_lr / 2), (13, settings.max_lr / 4))
below.annotate("half a cosine", (68, settings.max_lr * 0.62))
for axes in (above, below):
    axes.axvline(SAVED - 0.5, color="0.6", linewidth=1, linestyle="--")
save_figure(figure, __file__)
