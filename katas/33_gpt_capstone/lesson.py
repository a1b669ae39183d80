"""Kata 33 in code: a language model from text to text, in a run that shows progress,
stops at Ctrl-C, goes on later.

    python katas/33_gpt_capstone/lesson.py              trains on Python's own help
                                                        texts, in seconds
    python katas/33_gpt_capstone/lesson.py --full       the larger model of the README's
                                                        figure, some minutes
    python katas/33_gpt_capstone/lesson.py --data FILE  trains on any text; with
                                                        --full, too

Ctrl-C stops the run after the step it is in. The same command goes on from there, with
the very losses of a run that was not interrupted; --restart begins anew. With a CUDA
GPU the run uses it.
"""

import argparse
import codecs
import hashlib
import json
import math
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SMALLEST, LARGEST = 2_000, 5_000_000  # characters of a text to train on
SAMPLE = {"temperature": 0.7}
console = Console()


def say(text="", end="\n"):
    """Print, above the progress bar where there is one."""
    console.print(text, end=end, markup=False, highlight=False, soft_wrap=True)


def refuse(message):
    """One line about what cannot be done, and the end."""
    print(f"lesson.py: {message}", file=sys.stderr)
    raise SystemExit(2)


def at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def options():
    """Read the options from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "figure", nargs="?", metavar="FIGURE", help="where the figure goes"
    )
    parser.add_argument(
        "--full", action="store_true", help="the larger model, trained for some minutes"
    )
    parser.add_argument(
        "--data", metavar="FILE", type=Path, help="a text in UTF-8 to train on"
    )
    parser.add_argument(
        "--prompt",
        metavar="TEXT",
        default="The ",
        help="what samples begin with; '' for a new document",
    )
    parser.add_argument(
        "--restart", action="store_true", help="do not go on with an interrupted run"
    )
    for name, kind in (
        ("--steps", at_least_one),
        ("--interrupt-at", at_least_one),
        ("--runs", Path),
        ("--losses", Path),
    ):
        parser.add_argument(
            name, type=kind, help=argparse.SUPPRESS
        )  # for tests: small runs, and a Ctrl-C at a known step
    return parser.parse_args()


def read_text(path):
    """The text of a file, as far as it is used; a line about it and the end if it
    cannot be trained on.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(4 * LARGEST)  # a character has four bytes at most
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(
            data, final=len(data) < 4 * LARGEST
        )
    except OSError as error:
        refuse(f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        refuse(
            f"{path} is no text in UTF-8: byte {error.object[error.start]:#04x} at "
            f"{error.start:,} is not"
        )
    if len(text.strip()) < SMALLEST:
        refuse(
            f"{path} is too small: {len(text.strip()):,} characters, and at least "
            f"{SMALLEST:,} are needed"
        )
    return text[:LARGEST].replace("\r\n", "\n")


# Ctrl-C simply ends the program, but for the training below
signal.signal(signal.SIGINT, signal.SIG_DFL)
asked = options()
sys.argv[1:] = [asked.figure] if asked.figure else []  # where save_figure looks
own_text = read_text(asked.data) if asked.data else None
if any("\ud800" <= c <= "\udfff" for c in asked.prompt):
    refuse(f"the prompt {asked.prompt!r} is no text in UTF-8")

# read once, when CUDA starts: the same sums in every run
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# takes seconds: a slip on the command line has been told by now
import torch  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from grader.course.catalogue import ROOT  # noqa: E402
from grader.lesson import COLOURS, code, save_figure, stretch  # noqa: E402


def cut(text):
    """A text as documents of up to 5000 characters, a hundred of them or more. Each
    ends at a blank line if there is one in its second half, else at the end of a line,
    else at a space.
    """
    size, start, documents = min(5000, len(text) // 100), 0, []
    while start < len(text):
        end = start + size
        for mark in ("\n\n", "\n", " ") if end < len(text) else ():
            if (place := text.rfind(mark, start + size // 2, end)) >= 0:
                end = place + len(mark)
                break
        documents.append(text[start:end])
        start = end
    return documents


def quoted(text):
    """A sample with a line before it. A young model writes anything, characters that
    steer a terminal included.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    return "\n".join(
        "   | " + "".join(c if c.isprintable() else "·" for c in line)
        for line in lines or [""]
    )


kata = code(__file__)
torch.set_num_threads(1)  # with tensors this small, threads cost more than they bring
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

config = kata.CapstoneConfig(
    steps=400, max_lr=4e-3, min_lr=2e-4, warmup_steps=60, eval_every=100
)
if asked.full:
    config = replace(config, n_layer=2, n_embd=128, block_size=64, batch_size=32)
    config = replace(
        config, steps=1500, max_lr=2e-3, min_lr=2e-4, warmup_steps=20, eval_every=150
    )
if asked.steps:
    config = replace(
        config,
        steps=asked.steps,
        warmup_steps=min(20, asked.steps // 4),
        eval_every=max(1, asked.steps // 4),
    )

# 1. Text. Documents are held out whole, every fifth one, and what they repeat of the
#    others is taken out of them.
docs = cut(own_text) if own_text else kata.prose_documents()
train_docs, val_docs = kata.split_prose(docs)
held_out = sum(len(doc) for doc in docs[2::5])
kept = sum(len(doc) for doc in val_docs)
say(
    f"1. {len(docs)} documents, {sum(map(len, docs)):,} characters of "
    f"{asked.data or 'Python help'}"
)
say(
    f"   {len(train_docs)} are for training; the other {len(docs) - len(train_docs)} "
    f"had {held_out:,} characters,"
)
say(
    f"   {kept:,} of them in paragraphs that no training document has: "
    f"{kept / max(1, held_out):.0%}"
)

# 2. Tokens. The merges come from training text alone.
started = time.monotonic()
data = kata.prepare(docs)
if min(len(data.train), len(data.val)) <= config.block_size:
    refuse(
        f"{asked.data} is too small: it leaves {len(data.train):,} tokens for training "
        f"and {len(data.val):,} "
        f"for validation, and {config.block_size + 1} are needed of each"
    )
tokenizer, vocab_size = data.tokenizer, data.tokenizer.vocab_size
say(
    "\n"
    f"2. {vocab_size} tokens: 256 bytes, {len(tokenizer.merges)} merges, 1 mark "
    f"({time.monotonic() - started:.1f} s)"
)
per_token = data.val_bytes / (len(data.val) - len(val_docs))
say(
    f"   {len(data.train):,} tokens for training, {len(data.val):,} for validation, "
    f"of {per_token:.2f} bytes each"
)
sentence = max("\n".join(val_docs).splitlines(), key=lambda line: len(line.split()))
say(
    quoted(
        "|".join(tokenizer.decode([i]) for i in tokenizer.encode(sentence.strip()[:80]))
    )
)

# 3. What counting can do. These numbers are per token of this tokenizer; bits per byte
#    can be compared with anybody's.
NAMES = {1: "unigram", 2: "bigram", 3: "trigram", 4: "4-gram"}


def bits(loss):
    return kata.bits_per_byte(loss, len(data.val), data.val_bytes)


say(
    "\n"
    f"3. Nats per token and bits per byte on the validation text; ln {vocab_size} = "
    f"{math.log(vocab_size):.2f}"
)
baselines = {
    name: kata.ngram_loss(data.train, data.val, n, vocab_size)
    for n, name in NAMES.items()
}
for name, loss in baselines.items():
    say(f"   {name:<8} {loss:5.2f} {bits(loss):5.2f}")

# 4. The loop. It is that of `train_capstone`, and has in addition what a longer run
#    needs: a device, progress, samples, and a file from which it can go on. That file
#    must hold everything that the next step depends on.
SEED = 1
settings = {
    "config": asdict(config),
    "documents": hashlib.sha256("\0".join(docs).encode()).hexdigest(),
    "prompt": asked.prompt,
    "device": device.type,
}
digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
checkpoint = (asked.runs or ROOT / ".kata" / "capstone") / f"{digest[:16]}.pt"


def new_run():
    """A model, its optimizer and the generator for windows, all fresh, and a history
    without entries.
    """
    torch.manual_seed(SEED)
    sizes = {
        name: getattr(config, name)
        for name in ("block_size", "n_layer", "n_head", "n_embd", "dropout")
    }
    model = kata.GPT(
        kata.GPTConfig(vocab_size=vocab_size, **sizes), flash=device.type == "cpu"
    ).to(device)
    optimizer = kata.make_optimizer(model, config.max_lr, config.weight_decay)
    return (
        model,
        optimizer,
        torch.Generator().manual_seed(SEED),
        {"loss": [], "val": []},
    )


def save(model, optimizer, windows, history):
    """Write the checkpoint. It gets its name only when it is whole, so that no moment
    is a bad one to pull the plug.
    """
    part = checkpoint.with_suffix(f".{os.getpid()}")
    state = {
        "settings": settings,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "windows": windows.get_state(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state() if device.type == "cuda" else None,
        "history": history,
    }
    torch.save(state, part)
    os.replace(part, checkpoint)


def load(model, optimizer, windows):
    """Bring a fresh run to where the checkpoint is; its history."""
    try:
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["settings"] != settings:
            raise ValueError("it is of another run")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        windows.set_state(state["windows"].cpu())
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"].cpu())
        return state["history"]
    except Exception as error:  # whatever a damaged file leads to
        reason = str(error).partition("\n")[0][:80]
        refuse(
            f"{checkpoint} cannot be gone on from ({type(error).__name__}: {reason}); "
            "--restart begins anew"
        )


def write(model, count, length, seed):
    """Samples that begin with the prompt, from a generator of their own: to look at a
    run must not change it.
    """
    generator = torch.Generator(device).manual_seed(seed)
    prompt = tokenizer.encode(asked.prompt) or [data.eot]
    idx = torch.tensor(prompt, device=device).repeat(count, 1)
    rows = kata.generate(
        model, idx, length, stop_token=data.eot, generator=generator, **SAMPLE
    ).tolist()
    return [tokenizer.decode([i for i in row if i != data.eot]) for row in rows]


stop = []  # the signal that asked for an end, if one did


def note(number, _):
    """The first Ctrl-C is noted, and the step that is being made is finished. A second
    one ends the program at once.
    """
    stop.append(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def train():
    """Make the steps that are left. False if it was stopped before the last one."""
    first, started = len(history["loss"]), time.monotonic()
    in_step = config.batch_size * config.block_size

    def speed():
        return (
            (len(history["loss"]) - first)
            * in_step
            / max(1e-9, time.monotonic() - started)
        )

    def look(step):
        """Measure, and let the model speak."""
        history["val"].append([step, kata.evaluate_stream(model, val_stream)])
        recent = history["loss"][-50:]
        trained = f"training {sum(recent) / len(recent):.2f}, " if recent else ""
        line = (
            f"   step {step:>4}  {trained}validation {history['val'][-1][1]:.2f} nats "
            "per token"
        )
        if not sys.stdout.isatty() and step > first:  # there is no bar that says so
            left = (config.steps - step) * in_step / speed()
            line += f"  ({speed():,.0f} tokens/s, {left:.0f} s left)"
        say(f"{line}\n{quoted(write(model, 1, 48, seed=step)[0])}")

    columns = [
        TextColumn("  "),
        MofNCompleteColumn(),
        BarColumn(24),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeRemainingColumn(),
    ]
    with Progress(
        *columns, console=console, transient=True, disable=not sys.stdout.isatty()
    ) as bar:
        task = bar.add_task("", total=config.steps, completed=first, loss="", speed="")
        for step in range(first, config.steps):
            if step % config.eval_every == 0:
                if step > first:
                    # before the look: a run resumed here will look as well
                    save(model, optimizer, windows, history)
                look(step)
            x, y = kata.random_batch(
                data.train, config.batch_size, config.block_size, windows
            )
            lr = kata.cosine_lr(
                step, config.max_lr, config.min_lr, config.warmup_steps, config.steps
            )
            result = kata.train_step(
                model, optimizer, [(x.to(device), y.to(device))], max_norm=1.0, lr=lr
            )
            history["loss"].append(result["loss"])
            bar.update(
                task,
                completed=step + 1,
                loss=f"{result['loss']:.2f}",
                speed=f"{speed():,.0f}",
            )
            if step + 1 == asked.interrupt_at:
                signal.raise_signal(signal.SIGINT)
            if stop:
                break
        save(model, optimizer, windows, history)
        if stop:
            return False
        look(config.steps)
        return True


model, optimizer, windows, history = new_run()
val_stream = data.val.to(device)
try:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if asked.restart:
        checkpoint.unlink(missing_ok=True)
except OSError as error:
    refuse(f"{checkpoint.parent} cannot be used for checkpoints: {error.strerror}")
if checkpoint.exists():
    history = load(model, optimizer, windows)
where = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
say(f"\n4. {model.num_params():,} parameters on {where}", end="")
say(f", {config.steps} steps of {config.batch_size} × {config.block_size} tokens")
if history["loss"]:
    say(
        f"   An interrupted run goes on after step {len(history['loss'])}; --restart "
        "would begin anew"
    )
before = {
    number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)
}
try:
    complete = train()
except KeyboardInterrupt:
    raise SystemExit(130) from None
finally:
    for number, handler in before.items():
        signal.signal(number, handler)
if not complete:
    say(
        "\n"
        f"Stopped after step {len(history['loss'])} of {config.steps}. The same "
        "command goes on from there."
    )
    raise SystemExit(128 + stop[0])
if asked.losses:
    asked.losses.write_text(json.dumps(history), "utf-8")

# While the rate rises it does not depend on how long it will rise, nor on how long the
# run will be.
# So the first losses can be held against the exercise, in a run that ends there.
torch.manual_seed(SEED)
rising = min(20, config.warmup_steps)
highest = config.max_lr * rising / max(1, config.warmup_steps)
beginning = replace(
    config, steps=rising + 1, warmup_steps=rising, max_lr=highest, eval_every=rising + 1
)
# its validation is not looked at
one_window = replace(data, val=data.val[: config.block_size + 1])
_, twin = kata.train_capstone(
    one_window, beginning, torch.Generator().manual_seed(SEED)
)
gap = max(abs(a - b) for a, b in zip(twin["loss"], history["loss"], strict=False))
same = (
    "are those of train_capstone"
    if gap < 1e-3
    else "are not those of train_capstone, which draws otherwise"
)
say(
    f"   The first {len(twin['loss'])} losses {same}; the largest difference is "
    f"{gap:.0e}"
)

# 5. The verdict. At which validation did the model know more than each of the
#    counting models?
last = history["val"][-1][1]
say(f"\n5. The GPT has {last:.2f} nats per token and {bits(last):.2f} bits per byte")
for name, loss in baselines.items():
    below = [step for step, value in history["val"] if value < loss]
    since = (
        f"below it since step {below[0]}" if below and last < loss else "not below it"
    )
    say(f"   {name:<8} {loss:5.2f}   {loss - last:+.2f}   {since}")

# 6. What it writes. The share of known words is a crude mark, but it cannot be
#    talked round.
say(
    f"\n6. Three samples that begin with {asked.prompt!r}"
    if asked.prompt
    else "\n6. Three new documents"
)
noise, texts = (write(some, 16, 100, seed=0) for some in (new_run()[0], model))
for text in write(model, 3, 120, seed=1):
    say(f"{quoted(text)}\n")
known = stretch(kata.lexicon, docs)
if known:
    rates = [
        stretch(kata.known_word_rate, "\n".join(some), known) for some in (noise, texts)
    ]
    if None not in rates:
        raw, learned = rates
        say(
            f"   {len(known):,} known words; in 16 samples {raw:.2f} of all words "
            f"untrained, {learned:.2f} trained"
        )

# 7. What the real thing takes, on 8 devices of 312e12 operations a second that are used
#    to 40 %, for 2.00 an hour each. The price and the share are assumptions.
say(
    "\n"
    "7. The same in earnest, on 8 devices with 312e12 operations a second, 40 % of "
    "them used, 2.00 an hour each"
)
for name, n_params, n_tokens in (
    ("GPT-2 124M", 124_439_808, 10e9),
    ("GPT-3 Small", 125e6, 300e9),
):
    plan = stretch(
        kata.reproduction_plan, n_params, n_tokens, 524288, 312e12, 0.4, 8, 2.0
    )
    if plan is None:
        break
    say(
        f"   {name:<12} {n_tokens / 1e9:>4.0f} billion tokens  {plan['steps']:>7,} "
        "steps",
        end="",
    )
    say(
        f"  {plan['flops']:.2e} operations  {plan['hours']:5.1f} hours  "
        f"{plan['cost']:6.0f}"
    )
mine = 6 * model.num_params() * config.steps * config.batch_size * config.block_size
say(f"   This run: {mine:.1e} operations")

# 8. Where everything came from.
STEPS = (
    ("tokens, and why they are what they are", "23"),
    ("batches, shards, several readers, the validation split", "24"),
    ("attention, by hand and fused", "25"),
    ("the model, shared weights, start values", "26"),
    ("sampling, the device, the cache", "27"),
    ("the published weights", "28"),
    ("AdamW, decay groups, clipping, warm-up and cosine, accumulation", "29"),
    ("TF32, bfloat16, compile, fused kernels, nice numbers", "30"),
    ("several GPUs", "31"),
    ("HellaSwag", "32"),
    ("the run, and what came of it", "33"),
)
say(
    "\n"
    "8. build-nanogpt (https://github.com/karpathy/build-nanogpt), and the kata that "
    "rebuilt each step of it"
)
for what, number in STEPS:
    say(f"   {number}  {what}")

# 9. The figure: the model crosses the counting models one after the other.
WINDOW = max(1, config.steps // 40)
means = [
    sum(history["loss"][i : i + WINDOW]) / WINDOW
    for i in range(len(history["loss"]) - WINDOW + 1)
]
figure = Figure(figsize=(6.6, 4.2))
axes = figure.subplots()
middles = [i + WINDOW / 2 for i in range(len(means))]
axes.plot(
    middles, means, color=COLOURS[0], label=f"GPT, training, mean of {WINDOW} steps"
)
axes.plot(
    *zip(*history["val"], strict=True),
    "o-",
    color=COLOURS[1],
    markersize=5,
    label="GPT, validation",
)
levels = [
    *((loss, name, "0.3") for name, loss in baselines.items()),
    (last, "GPT", COLOURS[1]),
]
low, high = axes.get_ylim()
low = min(low, min(baselines.values()) - 0.3)
height = math.inf
for loss, name, colour in sorted(levels, reverse=True):
    # labels that do not cover each other
    height = min(loss, height - 0.045 * (high - low))
    axes.text(
        config.steps * 1.015, height, f"{name} {loss:.2f}", va="center", color=colour
    )
    if name != "GPT":
        axes.hlines(
            loss, 0, config.steps, color="0.45", linewidth=1, linestyle="--", zorder=0
        )
axes.set(
    xlabel="step",
    ylabel="nats a token",
    xlim=(0, config.steps * 1.14),
    ylim=(low, high),
)
axes.set_xticks([tick for tick in axes.get_xticks() if tick <= config.steps])
axes.set_title(
    f"A GPT of {model.num_params():,} parameters against models that count", pad=10
)
axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.95))
try:
    save_figure(figure, __file__)
except (OSError, ValueError) as error:
    # the run is not lost: the checkpoint is at its end
    refuse(f"the figure cannot be written: {error}")
checkpoint.unlink(missing_ok=True)  # the run is over: the next one begins anew
