"""Kata 00 in code: a network learns to read digits, and a tiny GPT to write, by three
functions that are yours.
"""

import time

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text
from torch import nn

from grader import datasets
from grader.lesson import COLOURS, exercises, save_figure

kata, next_exercise = exercises(__file__)
console = Console(highlight=False)
# on a terminal; a file or a pipe gets plain characters
in_colour = console.color_system is not None
torch.set_num_threads(1)
torch.manual_seed(0)


def say(text="", style=""):
    console.print(Text(text, style=style), soft_wrap=True)


def title(text):
    say(f"\n{text}\n{'-' * len(text)}", style="bold")


def half_blocks(picture):
    """Four lines for eight rows of pixels: the character ▀ has one colour above and
    another one below.
    """
    shades = [[round(255 - 225 * value) for value in row] for row in picture.tolist()]
    for above, below in zip(shades[::2], shades[1::2], strict=True):
        line = Text()
        for a, b in zip(above, below, strict=True):
            line.append("▀", style=f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
        yield line


def characters(picture):
    """Eight lines, in which a denser character is more ink."""
    return [
        Text("".join(2 * " .:-=+*#%@"[round(9 * value)] for value in row))
        for row in picture.tolist()
    ]


def show(pictures, read, meant):
    """Print pictures side by side. Below each: what the network reads, and where that
    is wrong, what was meant.
    """
    drawn, width, in_a_row = (half_blocks, 8, 8) if in_colour else (characters, 16, 4)
    for start in range(0, len(pictures), in_a_row):
        here = slice(start, start + in_a_row)
        for line in zip(
            *(drawn(picture) for picture in pictures[here, 0]), strict=True
        ):
            console.print(Text("  ").join(line))
        below = Text()
        for r, m in zip(read[here].tolist(), meant[here].tolist(), strict=True):
            said, style = (
                (f"{r} right", "bold green")
                if r == m
                else (f"{r}, not {m}", "bold red")
            )
            below.append(said.ljust(width + 2), style=style)
        console.print(below, end="\n\n")


# 1. Handwritten digits: 1797 pictures of 8 × 8 pixels, each with its label, the digit
#    that was meant. The network will learn from the first 1297; the other 500 are by
#    people whose handwriting it never sees. It turns 64 pixels into 32 numbers, and
#    these into 10 scores, one per digit. Its weights are random, so at first it
#    reads nonsense.
images, labels = datasets.digits()
(train_images, test_images), (train_labels, test_labels) = (
    images.split([1297, 500]),
    labels.split([1297, 500]),
)
reader = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def share_read_right():
    with torch.no_grad():
        return kata.accuracy(reader(test_images), test_labels)


title("1. Handwritten digits, read before learning")
guesses = reader(test_images).argmax(dim=1)
some = slice(16 if in_colour else 8)
show(test_images[some], guesses[some], test_labels[some])
say(
    f"accuracy says: of 500 pictures it reads {share_read_right():.0%} right. "
    "Guessing gives about 10%."
)


# 2. Learning. The loss says how wrong the scores are, backward() finds the gradient of
#    every weight, and gradient_step says where the weight goes. This function trains
#    the digit reader here and the GPT below.
def learn(network, inputs, targets, learning_rate):
    loss = F.cross_entropy(network(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # so that no step is too long
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(kata.gradient_step(weight, weight.grad, learning_rate))
            weight.grad = None
    return loss.item()


title("2. It learns: three hundred times gradient_step for all weights")
began = time.perf_counter()
for step in range(301):
    if step in (0, 5, 10, 20, 50, 100, 200, 300):
        share = share_read_right()
        say(
            f"step {step:>3}   {share:>4.0%} right  "
            f"{('█' if in_colour else '#') * round(50 * share)}",
            style="green",
        )
    learn(reader, train_images, train_labels, 1.0)
answers = reader(test_images).argmax(dim=1)
say(f"That took {time.perf_counter() - began:.1f} s.\n")
show(test_images[some], answers[some], test_labels[some])
wrong = (answers != test_labels).nonzero().flatten()
say(f"{len(wrong)} of 500 are still read wrong. Some of them:")
show(test_images[wrong[:8]], answers[wrong[:8]], test_labels[wrong[:8]])

# 3. A GPT. It reads up to 24 characters, and at each of them it scores every character
#    that could come next. By attention a position looks at those before it. GPT-2 has
#    the same parts and 124 million weights. This one learns from the end of one poem by
#    Lewis Carroll and the whole of another one, eleven stanzas and a title in all. It
#    reads windows of 24 characters, and the right answers are the characters
#    that follow.
text = "\n\n".join(datasets.verse().split("\n\n")[-12:])
alphabet = sorted(set(text))
ids = torch.tensor([alphabet.index(character) for character in text])
LENGTH, WIDTH, HEADS, STEPS = 24, 64, 4, 800


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = (
            nn.Embedding(len(alphabet), WIDTH),
            nn.Embedding(LENGTH, WIDTH),
        )
        self.norm1, self.norm2, self.norm3 = (
            nn.LayerNorm(WIDTH),
            nn.LayerNorm(WIDTH),
            nn.LayerNorm(WIDTH),
        )
        self.queries_keys_values, self.mix = (
            nn.Linear(WIDTH, 3 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
        )
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )
        self.scores = nn.Linear(WIDTH, len(alphabet))
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.1)

    def attention(self, x):
        qkv = (
            self.queries_keys_values(x)
            .unflatten(-1, (3, HEADS, -1))
            .permute(2, 0, 3, 1, 4)
        )
        return self.mix(
            F.scaled_dot_product_attention(*qkv, is_causal=True)
            .transpose(1, 2)
            .flatten(2)
        )

    def forward(self, characters):
        x = self.token(characters) + self.position.weight[: characters.size(1)]
        x = x + self.attention(self.norm1(x))
        x = x + self.think(self.norm2(x))
        return self.scores(self.norm3(x)).flatten(0, 1)


def write(gpt, written, count):
    """Continue a text: score what could come next, draw a character, append it,
    and again.
    """
    for _ in range(count):
        window = torch.tensor(
            [[alphabet.index(character) for character in written[-LENGTH:]]]
        )
        with torch.no_grad():
            scores = gpt(window)[-1].double()
        # 0.4 is the temperature: less is more careful
        written += alphabet[kata.draw((scores / 0.4).softmax(dim=0))]
    return written


gpt = GPT()
count = sum(weight.numel() for weight in gpt.parameters())
title(
    f"3. A GPT of {count:,} weights learns from {len(text):,} characters, and writes "
    "by draw"
)
began, losses, samples = time.perf_counter(), [], {}
for step in range(STEPS + 1):
    if step in (0, 50, 100, 200, 400, STEPS):
        samples[step] = write(gpt, "The ", 56).replace("\n", " / ")
        say(f"step {step:>4}   {samples[step]}", style="cyan")
    starts = torch.randint(len(ids) - LENGTH, (8, 1))
    windows = ids[starts + torch.arange(LENGTH + 1)]
    losses.append(
        learn(gpt, windows[:, :-1], windows[:, 1:].flatten(), 1.0 - step / (STEPS + 1))
    )
last = sum(losses[-50:]) / 50
say(
    f"That took {time.perf_counter() - began:.0f} s. The loss fell from "
    f"{losses[0]:.1f} to {last:.1f}."
)

# 4. It writes. From so short a text it has learned many lines by heart; how it strings
#    them together is its own.
title("4. The GPT writes")
poem = write(gpt, "The ", 330)
say(poem.rpartition("\n")[0], style="bold cyan")

# 5. The figure. Left: eight digits before and after learning. Right: the loss of the
#    GPT, and what it wrote on the way.
figure = Figure(figsize=(6.6, 6.2))
above, below = figure.subfigures(2, height_ratios=(1, 1.3))
above.suptitle("Read before learning (first row) and after", fontsize="medium")
for axes, read in zip(above.subplots(2), (guesses, answers), strict=True):
    for place in range(8):
        axes.imshow(
            test_images[place, 0].numpy(),
            cmap="gray_r",
            vmin=0,
            vmax=1,
            extent=(place, place + 0.9, 0, 0.9),
        )
        r, m = int(read[place]), int(test_labels[place])
        said, colour = (
            (f"{r} right", COLOURS[0]) if r == m else (f"{r}, not {m}", COLOURS[1])
        )
        axes.text(place + 0.45, 1, said, ha="center", color=colour)
    axes.set(xlim=(0, 7.9), ylim=(0, 1.2))
    axes.set_axis_off()
axes = below.subplots()
smooth = torch.tensor(losses).unfold(0, 20, 1).mean(-1).tolist()
axes.plot(smooth)
for step in (0, 100, 400, STEPS):
    place = min(step, len(smooth) - 1)
    said = f"step {step}: {samples[step][:27].strip()} …"
    beside, align = ((4, -15), "right") if step == STEPS else ((8, 4), "left")
    axes.plot(place, smooth[place], "o", color=COLOURS[1])
    axes.annotate(
        said,
        (place, smooth[place]),
        xytext=beside,
        textcoords="offset points",
        ha=align,
    )
axes.set(
    xlabel="step",
    ylabel="loss",
    title="The GPT's loss, and what it writes on the way",
    ylim=(0, None),
)
save_figure(figure, __file__)
say(f"\n{next_exercise}", style="bold")
