"""Kata 30 in code: what a step costs, an honest clock, padding, mixed precision, fewer
bits, chunks, and a ladder.
"""

import copy
import math

import torch
from matplotlib.figure import Figure

from grader import datasets
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another
HAS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_CUDA else "cpu")


# 1. What GPT-2 costs. The times are those of the build-nanogpt checklist for 16 rows of
#    1024 tokens on an A100, which does 312 · 10¹² operations per second in bfloat16.
#    llm.c has the same steps, written in C and CUDA by hand.
CHECKLIST = {
    "fp32": 1000,
    "TF32": 333,
    "bf16": 300,
    "compile": 130,
    "flash": 96,
    "padded": 93,
    "fused": 90,
}
gpt2 = kata.GPTConfig(
    block_size=1024, vocab_size=50257, n_layer=12, n_head=12, n_embd=768
)
n_params = 123_653_376
per_token = kata.flops_per_token(gpt2, n_params)
print(
    f"1. GPT-2 without wpe has {n_params:,} parameters: {per_token:,} operations per "
    "token"
)
print(f"   of these for attention: {1 - 6 * n_params / per_token:.0%}")
for name, ms in CHECKLIST.items():
    speed = kata.tokens_per_second(16 * 1024, ms / 1000)
    print(
        f"   {name:<8} {ms:>5} ms: {speed:>8,.0f} tokens/s, "
        f"{kata.mfu(speed, per_token, 312e12):6.1%} of an A100"
    )


# 2. The clock. A pretended GPU: asking for a step takes 1 ms, the work then goes on for
#    9 ms; the first step compiles for another 90.
class PretendedGpu:
    def __init__(self):
        self.now, self.done, self.works = 0.0, 0.0, [0.099, 0.009, 0.009, 0.009]

    def step(self):
        self.now += 0.001
        self.done = max(self.now, self.done) + self.works.pop(0)

    def wait(self):
        self.now = max(self.now, self.done)


def in_ms(seconds):
    return [round(1000 * s) for s in seconds]


print(
    "\n"
    "2. Three steps of 10 ms on a pretended GPU, of which the first call compiles for "
    "90 ms more"
)
for how, options in {
    "warm-up, and waiting": {"n_warmup": 1},
    "no warm-up": {"n_warmup": 0},
    "no waiting": {"n_warmup": 1, "synchronize": lambda: None},
}.items():
    gpu = PretendedGpu()
    times = kata.time_steps(
        gpu.step, 3, **({"synchronize": gpu.wait} | options), clock=lambda g=gpu: g.now
    )
    print(f"   {how:<21} {in_ms(times)} ms")

# 3. Padding. One token per byte and one that ends a text are 257, as badly aligned as
#    GPT-2's 50257.
text = torch.tensor(list(datasets.prose().encode()))
rows = text[: 4 * 65].view(4, 65).to(DEVICE)
x, y = rows[:, :-1], rows[:, 1:]
config = kata.GPTConfig(block_size=64, vocab_size=257, n_layer=3, n_head=4, n_embd=128)
model = kata.GPT(config, flash=False).to(DEVICE)
padded = kata.pad_vocab(model)
print("\n3. Aligned sizes")
print(
    f"   50257 is {50257 / 128:.2f} tiles of 128; padded to {kata.padded_size(50257)} "
    f"it is {50304 / 128:.0f}"
)
print(
    f"   our model's vocabulary: {model.config.vocab_size}, padded to "
    f"{padded.config.vocab_size}"
)


def sgd_step(of, **options):
    """The loss of one step with SGD on a copy, and the copy."""
    copied = copy.deepcopy(of)
    optimizer = torch.optim.SGD(copied.parameters(), lr=0.1)
    return kata.amp_step(copied, optimizer, x, y, **options), copied


plain, _ = sgd_step(model)
unmasked, moved = sgd_step(padded)
masked, kept = sgd_step(padded, vocab_size=257)
for name, loss, trained in (("not masked", unmasked, moved), ("masked", masked, kept)):
    largest = trained.lm_head.weight[257:].abs().max().item()
    print(
        f"   loss {loss:.6f} {name:<10} (unpadded {plain:.6f}); largest padded weight "
        f"after a step {largest:.1e}"
    )
print(
    "   The mask takes 127 scores of 0 out of the softmax: ln(384) − ln(257) = "
    f"{math.log(384 / 257):.3f}"
)


# 4. Mixed precision: which of the scaler's methods are called, in order, and how far
#    the loss moves.
class Noting:
    """Pass calls on to a GradScaler, and record them."""

    def __init__(self, scaler):
        self.scaler, self.calls = scaler, []

    def __getattr__(self, name):
        self.calls.append(name)
        return getattr(self.scaler, name)


print("\n4. Half precision")
noting = Noting(torch.amp.GradScaler(DEVICE.type, init_scale=1024.0))
for name, options in {
    "float32": {},
    "bfloat16": {"dtype": torch.bfloat16},
    "float16": {"dtype": torch.float16, "scaler": noting},
}.items():
    loss, _ = sgd_step(model, **options)
    print(f"   {name:<9} loss {loss:.5f}, from float32's {abs(loss - plain):.1e}")
print(f"   calls of the scaler: {' → '.join(noting.calls)}")

# 5. Fewer bits. TF32 rounds factors to 10 bits of mantissa, bfloat16 to 7; both add up
#    in float32.
print("\n5. What Tensor Cores multiply")
a, b = torch.randn(256, 256), torch.randn(256, 256)
exact = a.double() @ b.double()
for name, bits in {"float32": 23, "TF32": 10, "bfloat16": 7}.items():
    pi = stretch(kata.round_mantissa, torch.tensor(math.pi), bits)
    if pi is None:
        break
    product = kata.round_mantissa(a, bits) @ kata.round_mantissa(b, bits)
    error = ((product - exact).square().mean() / exact.square().mean()).sqrt().item()
    print(
        f"   {name:<9} {bits:2} bits: π is {pi.item():.7f}; a product of 256 × 256 "
        f"matrices is off by {error:.1e}"
    )

# 6. A loss without all its logits. Autograd keeps what backward needs: of the whole
#    loss the log-probabilities of all positions, of the chunked one only its inputs,
#    because backward computes each chunk's logits again.
print("\n6. The loss of a last layer, at once and in chunks")
logits_bytes = 16 * 1024 * 50304 * torch.bfloat16.itemsize
print(
    f"   GPT-2's logits for 16 × 1024 positions: {logits_bytes / 1e9:.2f} GB in "
    "bfloat16, twice that in float32"
)
hidden, weight = (
    torch.randn(2, 512, 32, requires_grad=True),
    torch.randn(5000, 32, requires_grad=True),
)
targets = torch.randint(5000, (2, 512))


def at_once():
    return torch.nn.functional.cross_entropy(
        (hidden @ weight.T).flatten(0, 1), targets.flatten()
    )


def keeping(function, *arguments):
    """The loss, and the megabytes that autograd keeps for its backward pass. Tensors
    that share memory count once.
    """
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = function(*arguments)
    return loss, sum(kept.values()) / 1e6


for name, (loss, kept) in {
    "at once": keeping(at_once),
    "chunks of 64": keeping(
        stretch, kata.chunked_cross_entropy, hidden, weight, targets, 64
    ),
}.items():
    if loss is not None:
        print(f"   {name:<13} loss {loss.item():.5f}, kept for backward {kept:5.1f} MB")

# 7. The ladder of this machine. Each rung keeps the settings of the rungs before it. A
#    CPU has no Tensor Cores and no launches to save, so it shows only the rungs that
#    save memory traffic or work of Python: flash and fused.
place = torch.cuda.get_device_name() if HAS_CUDA else "one core of this CPU"
config = kata.GPTConfig(block_size=512, vocab_size=257, n_layer=6, n_head=4, n_embd=64)
model = kata.GPT(config, flash=False).to(DEVICE)
tokens = text[:513].to(DEVICE)
x, y = tokens[None, :-1], tokens[None, 1:]
print(
    "\n"
    f"7. The ladder on {place}: {model.num_params():,} parameters, {x.numel()} tokens "
    "per step"
)
NEEDS_A_GPU = {
    "TF32": "Tensor Cores",
    "bf16": "a processor that multiplies bfloat16",
    "compile": "a compiler, and more time than this",
    "padded": "Tensor Cores",
}
steps = {
    "fp32": {},
    "TF32": {"precision": "high"},
    "bf16": {"dtype": torch.bfloat16},
    "compile": {"compile_backend": "inductor"},
    "flash": {"flash": True},
    "padded": {"pad_multiple": 128},
    "fused": {"fused": True},
}
rungs, settings = [], {}
for name, added in steps.items():
    if not HAS_CUDA and name in NEEDS_A_GPU:
        print(f"   {name:<8} left out: it needs {NEEDS_A_GPU[name]}")
        continue
    settings |= added
    rungs.append(kata.Rung(name, **settings))
ladder = (
    stretch(kata.speed_ladder, model, x, y, rungs, n_steps=7, n_warmup=1, lr=1e-4) or []
)
for row in ladder:
    pairs = zip(row["losses"], ladder[0]["losses"], strict=True)
    row["gap"] = max(abs(ours - first) for ours, first in pairs)
    speed = f"{row['ms']:7.1f} ms {row['tokens_per_s']:>9,.0f} tokens/s"
    print(
        f"   {row['name']:<8} {speed}, last loss {row['losses'][-1]:.4f}, from fp32's "
        f"{row['gap']:.1e}"
    )

# 8. The figure: the checklist's ladder, and yours. Below your times: how far the losses
#    are from those of fp32. A rung that changes the losses by more than rounding is no
#    longer the same step.
figure = Figure(figsize=(6.6, 7.4))
top, middle, bottom = figure.subplots(3, height_ratios=(3, 3, 2))
bars = top.bar(list(CHECKLIST), list(CHECKLIST.values()), color=COLOURS[0])
top.bar_label(bars, padding=2)
top.set(
    ylabel="ms per step",
    title="GPT-2 124M on an A100, by the checklist",
    ylim=(0, 1150),
)
names, times = [row["name"] for row in ladder], [row["ms"] for row in ladder]
bars = middle.bar(names, times, color=COLOURS[1])
middle.bar_label(bars, fmt="%.0f", padding=2)
middle.set(
    ylabel="ms per step",
    title=f"A small GPT on {place}",
    ylim=(0, 1.2 * max(times, default=1)),
)
gaps = [row["gap"] for row in ladder]
bottom.plot(names, gaps, "o", color=COLOURS[2])
for i, gap in enumerate(gaps):
    bottom.annotate(
        f"{gap:.1g}", (i, gap), (0, 5), textcoords="offset points", ha="center"
    )
bottom.set(
    ylabel="loss: change\nfrom fp32",
    ylim=(-0.0001, 1.6 * max([*gaps, 0.0005])),
    xlim=middle.get_xlim(),
)
middle.tick_params(labelbottom=False)
save_figure(figure, __file__)
