"""Paper kata 25 in code: shortest programs, compressors, and a model that prices a
sequence while it learns.
"""

import itertools
import math

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.datasets import prose
from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# The simplest price of a sequence counts its symbols: one with the share p costs
# log2(1/p) bits. Take eight symbols, half of them 0, a quarter 1 and a quarter 2: that
# should be 4 · 1 + 4 · 2 = 12 bits. Order plays no part, so the same symbols, sorted,
# should cost the same. A constant should cost nothing.
heading("2. Recap of the NumPy view")
for symbols in ([0, 1, 0, 2, 2, 0, 1, 0], [0, 0, 0, 0, 1, 1, 2, 2], [1] * 8):
    found = stretch(kata.entropy_bits_numpy, np.array(symbols), 3)
    if found is not None:
        print(f"   {symbols}: {found + 0:.1f} bits")

# 3. Data
#
# First the toy language, where complexity can be found by trying all programs. A string
# with a regularity that doubling can express is cheap. One without it costs its length:
# it is its own shortest program.
heading("3. Data")
shortest = kata.shortest_programs(8)
print(f"   {len(shortest)} strings have a program of up to 8 characters")
for output in ("01" * 8, "0" * 64, "00110011", "01101001", "01110010"):
    print(
        f"   {output[:24] + '…' * (len(output) > 24):<26} length {len(output):>2}   "
        f"{shortest[output]}"
    )

# Most strings do not compress. The number of strings of length 8, by the length of
# their shortest program:
costs = [len(program) for output, program in shortest.items() if len(output) == 8]
print(
    "   " + ", ".join(f"{costs.count(cost)} cost {cost}" for cost in sorted(set(costs)))
)


# A string has many programs, and all of them count in its algorithmic probability
# (Solomonoff). Let a fourth character say "end": then a program of n characters costs 2
# (n + 1) bits, no program is the beginning of another, and the weights 2^-bits of all
# programs together stay below 1. Up to ten characters there are 88,573 of them.
mass = {}
for length in range(11):
    for characters in itertools.product("01D", repeat=length):
        output = kata.run_program("".join(characters))
        mass[output] = mass.get(output, 0.0) + 4.0 ** -(length + 1)
print(f"   {len(mass)} outputs have a probability of {sum(mass.values()):.3f} together")

# The shortest program has the largest weight, so -log2 of the probability should be
# little less than its bits.
for output in ("01" * 8, "0" * 64, "00110011", "01101001"):
    bits = 2 * (len(shortest[output]) + 1)
    shown = output[:16] + "…" * (len(output) > 16)
    print(
        f"   {shown:<18} shortest program {bits:>2} bits, -log2 of the probability "
        f"{-math.log2(mass[output]):5.2f}"
    )
rest = [
    2 * (len(program) + 1) + math.log2(mass[output])
    for output, program in shortest.items()
    if output
]
mean = sum(rest) / len(rest)
print(
    f"   for all {len(rest)} outputs, the difference is {mean:.2f} bits on average, "
    f"at most {max(rest):.2f}"
)

# This is a prior, and it predicts: programs whose output begins with what was seen vote
# on the next symbol. A fair coin gives each string of 8 symbols 1/256. Here the
# constant ones are far more probable.
eight = {output: chance for output, chance in mass.items() if len(output) == 8}
for output in ("00000000", "01010101", "01101001"):
    print(
        f"   {output}: {eight[output] / sum(eight.values()):.4f} of the strings of "
        f"length 8; a coin has {1 / 256:.4f}"
    )
for seen in ("0000", "01010101", "01101001"):
    votes = [
        sum(chance for output, chance in mass.items() if output.startswith(seen + bit))
        for bit in "01"
    ]
    print(
        f"   after {seen:<8} the next symbol is 0 with a probability of "
        f"{votes[0] / sum(votes):.2f}"
    )

# The last one is a surprise: 01101001 is its own shortest program, but 011010D begins
# with it, too, and goes on with 1.


# Complexity depends on the language. This one cannot write a 1 followed by many zeros
# in few characters: doubling comes to its aid only where both halves are equal. One
# more instruction, R for "reverse the output so far", changes that.
def cost(text):
    """The length of the shortest program without R: undo the last instruction, in the
    cheaper of two ways.
    """
    if not text:
        return 0
    half = text[: len(text) // 2]
    return 1 + min(cost(text[:-1]), cost(half) if text == half + half else math.inf)


def run_with_reverse(program):
    output = ""
    for character in program:
        if character == "R":
            output = output[::-1]
        else:
            output += output if character == "D" else character
    return output


for doublings in (5, 6, 7):
    program = "0" + "D" * doublings + "1R"
    text = run_with_reverse(program)
    assert text == "1" + "0" * 2**doublings
    print(
        f"   1 and {2**doublings:>3} zeros: {cost(text)} characters without R, "
        f"{len(program)} with it ({program})"
    )

# The three sequences for the learner. They have four symbols and are 4000 long. The
# Markov source goes on to the next symbol with probability 0.85, and to each of the
# other three (itself included) with 0.05. Its entropy rate is known.
N = 4000
generator = torch.Generator().manual_seed(0)
chances = torch.tensor([0.05, 0.85, 0.05, 0.05])
rate = -(chances * chances.log2()).sum().item()
sequences = {
    "Markov": torch.multinomial(
        chances, N, replacement=True, generator=generator
    ).cumsum(0)
    % 4,
    "random": torch.randint(4, (N,), generator=generator),
    "pattern": torch.tensor([0, 1, 1, 3, 2]).repeat(N // 5),
}
for name, symbols in sequences.items():
    print(f"   {name:<8} {' '.join(map(str, symbols[:30].tolist()))} …")
print(f"   entropy rate of the Markov source: {rate:.3f} bits per symbol")

# 4. Model
#
# The model sees three symbols and gives one logit per symbol that may come next. Each
# place has a fifth value, 4, for "before the beginning". The code below is the one that
# runs here.
heading("4. Model")
torch.manual_seed(0)
model = kata.ContextModel(4, 3, 32)
shown_code(kata.ContextModel.forward)
contexts = torch.tensor([[4, 4, 4], [4, 4, 0], [4, 0, 1], [0, 1, 2]])
print(f"   contexts {tuple(contexts.shape)} → logits {tuple(model(contexts).shape)}")
print(
    f"   {sum(parameter.numel() for parameter in model.parameters())} parameters, "
    "none of which is sent"
)

# Without learning, a fresh model should pay about log2(4) = 2 bits, whatever
# the sequence.
for name, symbols in sequences.items():
    fresh = kata.prequential_bits(model, symbols, updates=0).mean().item()
    print(f"   {name:<8} {fresh:.3f} bits per symbol from the fresh model")

# 5. Training loop
#
# Pay, then learn: the loop of `prequential_bits`, written out for the Markov source.
# The price is built from the softmax here, one level lower than you write it, and the
# same price is the loss.
heading("5. Training loop")
CHUNK, REPLAY = 32, 512
symbols = sequences["Markov"]
# the symbol 3, 2 and 1 places before each place
before = [symbols.new_full((N,), 4) for _ in range(3)]
for row, distance in zip(before, (3, 2, 1), strict=True):
    row[distance:] = symbols[:-distance]
contexts = torch.stack(before, dim=1)


def price(places):
    """Bits of the symbols at these places, with a graph."""
    scores = model(contexts[places]).exp()
    share = scores[torch.arange(len(places)), symbols[places]] / scores.sum(dim=1)
    return -share.log2()


optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
paid = torch.zeros(N)
for places in torch.arange(N).split(CHUNK):
    paid[places] = price(places).detach()
    recent = torch.arange(max(0, int(places[0]) - REPLAY), int(places[-1]) + 1)
    for update in range(2):
        loss = price(recent).mean() * math.log(2)
        model.zero_grad()
        loss.backward()
        if places[0] == 0 and update == 0:
            for label, parameter in model.named_parameters():
                norm = parameter.grad.norm().item()
                print(
                    f"   gradient of {label:<12} {str(tuple(parameter.shape)):<8} "
                    f"norm {norm:.3f}"
                )
            old = model.net[-1].bias[0].item()
        optimizer.step()
        if places[0] == 0 and update == 0:
            print(
                f"   net.2.bias[0] before and after the first step: {old:.4f} → "
                f"{model.net[-1].bias[0]:.4f}"
            )

# The price per symbol, in stretches of the sequence. No symbol is ever priced by a
# model that has seen it.
for first, last in (
    (0, 32),
    (32, 128),
    (128, 500),
    (500, 1000),
    (1000, 2000),
    (2000, 4000),
):
    print(f"   symbols {first:>4} to {last - 1:>4}: {paid[first:last].mean():.3f} bits")

# 6. Evaluation and figure
#
# The key result: the total of the prices is the length of a code, so it is an upper
# bound on what the sequence costs. The Markov source should come near its entropy rate
# of 0.848, the pattern near 0, and random symbols should not fall below 2. Beside it,
# frequencies alone, and the best byte compressor (one byte per symbol).
heading("6. Evaluation and figure")
print(f"   {'bits per symbol':<16} learner  second half  frequencies  compressor")
bits, packed = {}, {}
for name, symbols in sequences.items():
    torch.manual_seed(0)
    bits[name] = kata.prequential_bits(kata.ContextModel(4, 3, 32), symbols).detach()
    packed[name] = kata.compressed_bits(bytes(symbols.tolist())) / N
    entropy = stretch(kata.entropy_bits, symbols, 4)
    shown = "—" if entropy is None else f"{entropy / N:.3f}"
    half = bits[name][N // 2 :].mean()
    print(
        f"   {name:<16} {bits[name].mean():7.3f} {half:12.3f} {shown:>12} "
        f"{packed[name]:11.3f}"
    )
print(
    "   largest difference to the loop of step 5: "
    f"{(bits['Markov'] - paid).abs().max():.0e} bits"
)

# An upper bound can be far from the truth. These 4000 bytes come from a rule of one
# line. No compressor knows it, so they should cost all of their 32000 bits, and 2 more.
# English text should cost far less than 8 bits per character.
state, made = 1, []
for _ in range(4000):
    state = (state * 1103515245 + 12345) % 2**31
    made.append(state >> 16 & 255)
print(
    f"   bytes from a rule of one line: {kata.compressed_bits(bytes(made))} bits for "
    "32000"
)
text = prose().encode()
print(f"   text: {kata.compressed_bits(text[:8000]) / 8000:.2f} bits per character")

# The distance between two texts: what one adds to the other, as a share of the
# larger one.
digits = "".join(str(byte % 10) for byte in made).encode()
pairs = {
    "a text and itself": (text[:4000], text[:4000]),
    "two texts": (text[:4000], text[200_000:204_000]),
    "a text and digits": (text[:4000], digits),
}
for name, pair in pairs.items():
    distance = stretch(kata.normalized_compression_distance, *pair)
    if distance is not None:
        print(f"   distance of {name:<18} {distance:.2f}")

# The figure: what was paid so far, per symbol. All three sequences start at 2 bits.
figure = Figure(figsize=(6.6, 3.6))
axes = figure.subplots()
lengths = torch.arange(1, N + 1)
for (name, price_list), colour in zip(bits.items(), COLOURS, strict=False):
    running = price_list.cumsum(0) / lengths
    axes.plot(lengths[9:], running[9:], color=colour)
    axes.text(
        N * 1.03, running[-1], f"{name} {running[-1]:.2f}", color=colour, va="center"
    )
axes.axhline(rate, linestyle="--", color=COLOURS[6], linewidth=1.2)
axes.text(10, rate - 0.04, f"entropy rate of the Markov source, {rate:.2f}", va="top")
axes.set(
    xscale="log", xlim=(10, 7500), ylim=(0, 2.6), xlabel="symbols seen (logarithmic)"
)
axes.set_xticks([10, 100, 1000, 4000], ["10", "100", "1000", "4000"])
axes.set(
    ylabel="bits per symbol so far",
    title="what can be predicted gets cheap, what is random stays at 2 bits",
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same entropy in NumPy and in PyTorch, for all three sequences.
heading("7. NumPy against PyTorch")
for name, symbols in sequences.items():
    ours = stretch(kata.entropy_bits, symbols, 4)
    theirs = stretch(kata.entropy_bits_numpy, symbols.numpy(), 4)
    if ours is not None and theirs is not None:
        print(
            f"   {name:<8} NumPy {theirs:.4f}, PyTorch {ours:.4f}, difference "
            f"{abs(ours - theirs):.0e}"
        )

# Only PyTorch gives the gradient for free. Take one logit per symbol of the alphabet as
# a model without context. Its price for the pattern has a slope in every logit:
# N · share − count, divided by ln 2. At the shares of the sequence itself all slopes
# are 0, so no other model without context is cheaper. The price there is the entropy.
counts = sequences["pattern"].bincount(minlength=4).double()
for name, start in (
    ("equal shares", torch.zeros(4).double()),
    ("its own shares", (counts / N).log()),
):
    logits = start.requires_grad_()
    total = -(counts * logits.log_softmax(dim=0)).sum() / math.log(2)
    (slope,) = torch.autograd.grad(total, logits)
    nudge = torch.tensor([1e-5, 0, 0, 0]).double()
    ends = [
        -(counts * (logits + way * nudge).log_softmax(dim=0)).sum() / math.log(2)
        for way in (1, -1)
    ]
    by_hand = ((ends[0] - ends[1]) / 2e-5).item()
    print(
        f"   {name:<14} {total.item():.1f} bits, slopes "
        f"{[round(s) + 0 for s in slope.tolist()]}, by hand {by_hand:.2f}"
    )

# `nn.Module` and autograd replaced a table of counts per context: the model shares what
# it learns among contexts.
