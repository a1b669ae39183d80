"""Kata 27 in code: from logits to a token, the filters, the loop, the cache, and what
the cache costs and saves.
"""

import re
import statistics
import time

import torch
from matplotlib.figure import Figure

from grader import datasets
from grader.course import downloads
from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.set_num_threads(1)
torch.manual_seed(0)


def shares(logits: torch.Tensor) -> str:
    return "  ".join(f"{value:5.3f}" for value in logits.softmax(dim=-1).tolist())


# 1. Where to run.
print(
    f"1. On this machine the best device is {kata.pick_device()}; the lesson runs on "
    f"{kata.pick_device('cpu')}"
)

# 2. Temperature. Four tokens; dividing the logits by T before softmax makes the
#    distribution sharper or flatter.
probabilities = torch.tensor([0.10, 0.50, 0.05, 0.35])
logits = probabilities.log()
print("\n2. Four tokens at three temperatures:      the, cat, sat, dog")
for temperature in (0.5, 1.0, 2.0):
    print(f"   T = {temperature:<4} {shares(logits / temperature):>38}")

# 3. The filters set logits to -inf; softmax shares their probability out among
#    the rest.
print("\n3. After a filter")
for name, filtered in (
    ("top-k, k = 2", kata.top_k_filter(logits, 2)),
    ("top-p, p = 0.4", kata.top_p_filter(logits, 0.4)),
    ("top-p, p = 0.9", kata.top_p_filter(logits, 0.9)),
):
    print(f"   {name:<16} {shares(filtered):>29}")
print("   The order counts, with p = 0.8 and T = 2:")
print(f"   first T, then p  {shares(kata.top_p_filter(logits / 2, 0.8)):>29}")
print(f"   first p, then T  {shares(kata.top_p_filter(logits, 0.8) / 2):>29}")

# 4. Draws. Twenty thousand of them show the probabilities again; temperature 0 takes
#    the best and draws nothing.
print("\n4. Shares among 20,000 draws of sample_next")
rows = logits.repeat(20_000, 1)
for name, options in (
    ("as it is", {}),
    ("T = 0.5", {"temperature": 0.5}),
    ("top_k = 2", {"top_k": 2}),
    ("T = 0", {"temperature": 0.0}),
):
    counts = kata.sample_next(rows, **options).flatten().bincount(minlength=4) / len(
        rows
    )
    print(f"   {name:<16} " + "  ".join(f"{value:5.3f}" for value in counts.tolist()))

# 5. A GPT of one layer over characters, trained for a few seconds. The text is short
#    and keeps only lower-case letters, spaces and full stops, so that a few steps are
#    enough to learn some words.
STEPS, BATCH, BLOCK, RATE = 250, 24, 24, 8e-3
folder = downloads.find("text")
text = (
    (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8")
    if folder
    else datasets.prose()
)
text = re.sub(r"[^a-z.]+", " ", text.lower())[:5000]
letters = sorted(set(text))
ids_of = {letter: i for i, letter in enumerate(letters)}


def encode(words: str) -> list[int]:
    return [ids_of[letter] for letter in words]


def decode(ids: list[int]) -> str:
    return "".join(letters[i] for i in ids)


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return kata.GPT(
        kata.GPTConfig(
            block_size=BLOCK, vocab_size=len(letters), n_layer=1, n_head=4, n_embd=64
        )
    )


source = (
    "tiny Shakespeare"
    if folder
    else "Python's own help texts (for Shakespeare: kata data text)"
)
print(f"\n5. {len(text):,} characters of {source}, {len(letters)} different ones")
stream = torch.tensor(encode(text))
untrained, model = make_model(), make_model()
optimizer = torch.optim.AdamW(
    model.parameters(), lr=RATE, betas=(0.9, 0.95), fused=True
)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=RATE, total_steps=STEPS, pct_start=0.1
)
began, losses = time.process_time(), []
for _ in range(STEPS):
    starts = torch.randint(len(stream) - BLOCK - 1, (BATCH, 1))
    windows = stream[starts + torch.arange(BLOCK + 1)]
    optimizer.zero_grad()
    _, loss = model(windows[:, :-1], windows[:, 1:])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
print(
    f"   trained for {STEPS} steps, {time.process_time() - began:.0f} s of CPU time",
    end="",
)
print(
    f": loss {losses[0]:.2f} at first, {statistics.mean(losses[-50:]):.2f} over the "
    "last 50"
)

# 6. Both models continue the same prompt at three temperatures. The trained one writes
#    something like words. At T = 0 it repeats itself, and at T = 1.5 the words
#    fall apart.
prompt = "the "
print(f"\n6. Sixty characters after {prompt!r}")
start = torch.tensor([encode(prompt)])
for name, writer in (("untrained", untrained), ("trained", model)):
    for temperature in (0.0, 0.7, 1.5):
        generator = torch.Generator().manual_seed(1)
        out = kata.generate(
            writer,
            start,
            60,
            temperature=temperature,
            use_cache=True,
            generator=generator,
        )
        print(f"   {name:<10} T = {temperature}: {decode(out[0].tolist())!r}")
print(f"   Afterwards the trained model is in training mode again: {model.training}")
texts = stretch(
    kata.sample_texts,
    model,
    encode,
    decode,
    prompt,
    3,
    150,
    stop_token=ids_of["."],
    temperature=1.0,
    top_p=0.95,
)
for sample in texts or []:
    print(f"   up to a full stop: {sample!r}")

# 7. The cache changes no token, and fewer tokens go through the model.
lengths = []


def watch(module, given):
    lengths.append(given[0].size(1))


hook = model.register_forward_pre_hook(watch)
print("\n7. Sixty tokens after a prompt of four, block size 24, temperature 1")
results = {}
for use_cache in (False, True):
    lengths.clear()
    generator = torch.Generator().manual_seed(2)
    results[use_cache] = kata.generate(
        model, start, 60, use_cache=use_cache, generator=generator
    )
    shown = (
        ", ".join(map(str, lengths[:4])) + ", … " + ", ".join(map(str, lengths[-2:]))
    )
    print(
        f"   {'with' if use_cache else 'without':<8} cache: calls of {shown} tokens, "
        f"{sum(lengths):,} in all"
    )
hook.remove()
print("   the same tokens:", torch.equal(results[False], results[True]))

# 8. The memory of a cache: a key and a value for each layer, head and token.
#    Grouped-query attention shares keys and values among query heads, which divides
#    the memory.
print("\n8. Keys and values of one sequence, in float16")
print(
    "   model                         layers  KV heads  size  tokens        "
    "bytes       MiB"
)
SIZES = (  # name, layers, KV heads, size of a head, tokens
    ("GPT-2", 12, 12, 64, 1024),
    ("GPT-2 medium", 24, 16, 64, 1024),
    ("GPT-2 large", 36, 20, 64, 1024),
    ("GPT-2 XL", 48, 25, 64, 1024),
    ("32 query heads, 32 KV heads", 32, 32, 128, 8192),
    ("32 query heads, 8 KV heads", 32, 8, 128, 8192),
)
for name, *sizes in SIZES:
    size = stretch(kata.kv_cache_bytes, *sizes)
    if size is None:
        break
    n_layer, n_kv_head, head_dim, n_tokens = sizes
    print(
        f"   {name:<28} {n_layer:>7} {n_kv_head:>9} {head_dim:>5} {n_tokens:>7} "
        f"{size:>12,} {size / 2**20:>9.0f}"
    )
for _, n_layer, n_kv_head, head_dim, _ in SIZES[-2:]:
    tokens = stretch(
        kata.max_cached_tokens, 16 * 2**30, n_layer, n_kv_head, head_dim, batch_size=8
    )
    if tokens is None:
        break
    print(f"   16 GiB hold 8 sequences of {tokens:,} tokens with {n_kv_head} KV heads")

# 9. Milliseconds for a new token behind longer and longer contexts: the CPU time from
#    one call of the model to the next, the prompt's own call left out. The fastest
#    counts: other work on the machine only makes a token slower.
CONTEXTS = (16, 200, 400, 600, 800, 1008)
torch.manual_seed(0)
timed = kata.GPT(
    kata.GPTConfig(block_size=1024, vocab_size=256, n_layer=4, n_head=4, n_embd=128)
).eval()
moments = []
timed.register_forward_pre_hook(
    lambda module, given: moments.append(time.process_time())
)


def milliseconds(context: int, use_cache: bool) -> float:
    moments.clear()
    # tokens; all but the first and the last are timed
    new = 12 if use_cache or context < 100 else 4
    kata.generate(
        timed,
        torch.zeros(1, context, dtype=torch.long),
        new,
        temperature=0.0,
        use_cache=use_cache,
    )
    steps = [
        after - before for before, after in zip(moments[1:], moments[2:], strict=False)
    ]
    return 1000 * min(steps)


milliseconds(64, True)  # the first call of anything is slow
print("\n9. Milliseconds of CPU time for a new token")
print("   tokens before   without cache   with cache")
curves = {False: [], True: []}
for context in CONTEXTS:
    for use_cache, curve in curves.items():
        curve.append(milliseconds(context, use_cache))
    print(f"   {context:<15} {curves[False][-1]:>13.1f} {curves[True][-1]:>12.1f}")
print(
    f"   the last without cache: {curves[False][-1] / curves[False][0]:.0f} times the "
    "first",
    end="",
)
print(f"; with cache: {curves[True][-1] / curves[True][0]:.1f} times")

# 10. The figure. Left: four tokens before and after each control. Right: the times of
#     step 9.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
settings = {
    "T = 1": logits,
    "T = 0.5": logits / 0.5,
    "T = 2": logits / 2,
    "k = 2": kata.top_k_filter(logits, 2),
    "p = 0.9": kata.top_p_filter(logits, 0.9),
}
width = 0.19
for token, word in enumerate(("the", "cat", "sat", "dog")):
    heights = [setting.softmax(dim=-1)[token].item() for setting in settings.values()]
    places = [position + (token - 1.5) * width for position in range(len(settings))]
    above.bar(places, heights, width, label=word)
above.set_xticks(range(len(settings)), labels=settings)
above.set(ylabel="probability", title="Four tokens under five controls", ylim=(0, 0.85))
above.legend(ncols=4, loc="upper center", columnspacing=1, handlelength=1)
below.plot(CONTEXTS, curves[False], marker="o", label="without cache")
below.plot(CONTEXTS, curves[True], marker="s", linestyle="--", label="with cache")
below.set(
    xlabel="tokens before the new one",
    ylabel="milliseconds per new token",
    ylim=(0, None),
)
below.set(title="With a cache, the time stays almost flat")
below.legend()
save_figure(figure, __file__)
