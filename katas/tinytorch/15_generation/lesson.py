"""Module 15 in code: a TinyGPT learns 567 characters of Hamlet, writes at several
temperatures, and shows its cost.
"""

from collections import Counter
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)  # chooses the modules that the following lines import

from tinytorch.autograd import no_grad  # noqa: E402
from tinytorch.data import load_prose  # noqa: E402
from tinytorch.setup import profile_memory  # noqa: E402

np.set_printoptions(precision=3, suppress=True)
PASSAGE = kata.PASSAGE


def entropies(text: str) -> tuple[float, float]:
    """The cost per character of knowing how frequent each is, and how frequent each is
    after the one before it.
    """
    singles, firsts, pairs = (
        Counter(text),
        Counter(text[:-1]),
        Counter(zip(text, text[1:])),
    )
    unigram = -sum(n / len(text) * np.log(n / len(text)) for n in singles.values())
    bigram = -sum(
        n / (len(text) - 1) * np.log(n / firsts[a]) for (a, _), n in pairs.items()
    )
    return float(unigram), float(bigram)


# 1. The text as numbers.
heading("1. Characters as tokens")
tokenizer = kata.CharTokenizer(PASSAGE)
print(
    f"   {len(PASSAGE)} characters, {tokenizer.vocab_size} different ones: "
    f"{''.join(tokenizer.chars)!r}"
)
print(
    f"   'To be' → {tokenizer.encode('To be')} → "
    f"{tokenizer.decode(tokenizer.encode('To be'))!r}"
)

# 2. A lookup and the product that it is equal to.
heading(
    "2. 1024 ids, a table of 50,257 rows of 768: a lookup, or one-hot rows times the "
    "table"
)
cost = stretch(kata.embedding_cost, 50_257, 768, 1024)
if cost is not None:
    for name, number in cost.items():
        print(f"   {name:<22} {number:>15,}")

# 3. Temperature and top-k on one distribution.
heading("3. One distribution, p = 0.5, 0.25, 0.15, 0.1")
logits = np.log([0.5, 0.25, 0.15, 0.1])
for options in (
    {"temperature": 0},
    {"temperature": 0.5},
    {},
    {"temperature": 1.5},
    {"top_k": 2},
):
    said = ", ".join(f"{name} {value}" for name, value in options.items()) or "as it is"
    print(f"   {said:<16} {kata.next_token_probs(logits, **options)}")

# 4. The milestone, step by step: what the model writes before training, after 100 steps
#    and after 600.
heading("4. A TinyGPT learns the passage: 600 steps, 5 to 20 seconds")


def written(model: object, temperature: float, count: int = 70) -> str:
    prompt = tokenizer.encode("To be")[None]
    return tokenizer.decode(
        model.generate(
            prompt, count, temperature=temperature, rng=np.random.default_rng(1)
        )[0]
    )


class Watched(kata.TinyGPT):
    """Says every hundred steps how far training is. In training there is one forward
    pass per step.
    """

    step = 0

    def forward(self, ids):
        if self.training:
            if self.step in (0, 100):
                print(f"   after {self.step} steps: {written(self, 0.5)!r}", flush=True)
            elif self.step % 100 == 0:
                print(f"   step {self.step}", flush=True)
            self.step += 1
        return super().forward(ids)


rng = np.random.default_rng(0)
model = Watched(tokenizer.vocab_size, 32, rng=rng)
losses = kata.train_language_model(
    model, tokenizer.encode(PASSAGE), 600, lr=8e-3, rng=rng
)
print(f"   after 600 steps: {written(model, 0.5)!r}")
unigram, bigram = entropies(PASSAGE)
print(
    f"   guessing costs ln {tokenizer.vocab_size} = "
    f"{np.log(tokenizer.vocab_size):.2f} nats per character,"
)
print(
    f"   frequencies {unigram:.2f}, frequencies after the character before {bigram:.2f}"
)
for step in (1, 50, 100, 200, 300, 600):
    print(
        f"   loss around step {step:3}: {np.mean(losses[max(step - 10, 0) : step]):.2f}"
    )

# 5. The same model at four temperatures.
heading("5. How adventurous? 200 characters at four temperatures")
for temperature in (0, 0.5, 1, 1.5):
    text = written(model, temperature, 200)
    quality = kata.text_quality(text, PASSAGE)
    shares = (
        f"known words {quality['known_words']:.2f}, known pairs "
        f"{quality['known_pairs']:.2f}"
    )
    print(f"   {temperature}: {shares}\n      {text[:110]!r}")

# 6. What generation costs: tokens pushed through the model, attention pairs,
#    and memory.
heading("6. What it costs to write n tokens after a prompt of one")
sizes = [16, 32, 64, 128, 256]
if stretch(kata.generation_cost, 1, 2, 256) is not None:
    print(
        "      n    tokens read    with a cache    pairs per layer and head    with a "
        "cache"
    )
    for n in sizes:
        full, cached = (kata.generation_cost(1, n, 512, cache=c) for c in (False, True))
        print(
            f"   {n:4} {full['token_positions']:14,} {cached['token_positions']:15,}",
            end="",
        )
        print(f" {full['attention_pairs']:27,} {cached['attention_pairs']:15,}")
scaling = stretch(kata.generation_scaling, sizes)
if scaling is not None:
    found = {name: scaling[name]["exponent"] for name in ("full", "cached")}
    print(
        f"   exponents: {found['full']:.2f} without a cache (toward 2), "
        f"{found['cached']:.2f} with it"
    )
print(
    "   measured peak of generate, block 256, untrained, beside the bytes of a cache:"
)
large = kata.TinyGPT(tokenizer.vocab_size, 256, rng=rng)
for n in (32, 128):
    peak = profile_memory(large.generate, [[0]], n, rng=rng).peak_bytes
    kept = stretch(kata.kv_cache_bytes, 1, n + 1, 32, 2)
    cache = "" if kept is None else f", cache {kept:8,}"
    print(f"   {n:4} new tokens: peak {peak:9,} bytes{cache}")
print("   Scores grow with T², a cache with T.")

# 7. A text too long to learn by heart: English prose, 100 steps.
heading("7. Harder: prose instead of one passage, 100 steps")
prose = load_prose()[:100_000]
words = kata.CharTokenizer(prose)
rng = np.random.default_rng(0)
reader = kata.TinyGPT(words.vocab_size, 32, rng=rng)
found = kata.train_language_model(reader, words.encode(prose), 100, lr=8e-3, rng=rng)
frequencies, pairs = entropies(prose)
print(
    f"   {len(prose):,} characters, {words.vocab_size} different ones; guessing costs "
    f"{np.log(words.vocab_size):.2f},"
)
print(
    f"   unigrams {frequencies:.2f}, bigrams {pairs:.2f}; the last 10 losses are "
    f"{np.mean(found[-10:]):.2f} on average"
)
text = words.decode(
    reader.generate(words.encode("The ")[None], 70, temperature=0.5, rng=rng)[0]
)
print(f"   it writes {text!r}")

# 8. The same model of PyTorch's own modules, with copied weights.
heading("8. PyTorch does it so")
try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    print("   (torch is not importable: this comparison is left out)")
else:

    def tensor(p) -> torch.Tensor:
        return torch.from_numpy(p.data)

    def block_of_torch(block) -> nn.Module:
        gelu = partial(F.gelu, approximate="tanh")
        layer = nn.TransformerEncoderLayer(
            32, 4, 128, 0.0, gelu, batch_first=True, norm_first=True
        )
        projections = [block.attn.W_q, block.attn.W_k, block.attn.W_v]
        state = {
            "self_attn.in_proj_weight": torch.cat(
                [tensor(W.weight) for W in projections]
            ),
            "self_attn.in_proj_bias": torch.cat([tensor(W.bias) for W in projections]),
        }
        parts = {
            "self_attn.out_proj": block.attn.W_o,
            "linear1": block.mlp.fc1,
            "linear2": block.mlp.fc2,
        }
        for name, part in (parts | {"norm1": block.ln1, "norm2": block.ln2}).items():
            state |= {
                f"{name}.weight": tensor(part.weight),
                f"{name}.bias": tensor(part.bias),
            }
        layer.load_state_dict(state)
        return layer

    ids = torch.from_numpy(tokenizer.encode(PASSAGE[:32]))[None]
    with torch.no_grad(), no_grad():
        x = F.embedding(ids, tensor(model.tok_emb.weight)) + tensor(
            model.pos_emb.weight
        )
        for block in model.backbone.blocks:
            x = block_of_torch(block)(
                x, nn.Transformer.generate_square_subsequent_mask(32), is_causal=True
            )
        last = model.backbone.ln_f
        x = F.layer_norm(x, (32,), tensor(last.weight), tensor(last.bias))
        theirs = F.linear(x, tensor(model.head.weight)).numpy()
        ours = model.eval()(ids.numpy()).data
    print(
        "   F.embedding, two nn.TransformerEncoderLayers with norm_first=True, "
        "F.layer_norm, F.linear"
    )
    gap = np.abs(ours - theirs).max()
    print(
        f"   logits {ours.shape}, largest {np.abs(ours).max():.1f}; largest "
        f"difference {gap:.0e}"
    )
    pytorch_source("torch.nn.modules.sparse", "Embedding.forward")
    print(
        "   Kata 26, `gpt_model`, builds this model in PyTorch at GPT-2's size, with "
        "the head's weight tied to tok_emb."
    )


# 9. The figure: the losses of step 4, and the token counts of step 6.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    above.plot(np.arange(1, 601), losses, color=COLOURS[0], linewidth=1.2)
    for level, name in ((unigram, "unigram entropy"), (bigram, "bigram entropy")):
        above.axhline(level, color=COLOURS[6], linestyle="--", linewidth=1)
        above.text(600, level + 0.05, f"{name}, {level:.2f}", ha="right", va="bottom")
    above.set(
        xlabel="step",
        ylabel="loss, nats per character",
        title="TinyGPT learns more than pairs of characters",
    )
    above.set_ylim(bottom=0)
    n = np.arange(1, 257)
    below.plot(n, n * (n + 1) / 2, color=COLOURS[1])
    below.plot(n, n, color=COLOURS[2])
    below.set_xscale("log", base=2)
    below.set_yscale("log", base=2)
    below.set_xticks([1, 4, 16, 64, 256], labels=["1", "4", "16", "64", "256"])
    below.set_yticks(
        [2**k for k in (0, 5, 10, 15)], labels=["1", "32", "1,024", "32,768"]
    )
    below.set(
        xlabel="new tokens",
        ylabel="tokens read, in total",
        title="Without a cache, all is read anew",
    )
    below.text(60, 2**11.8, "without a cache", color=COLOURS[1], ha="right")
    below.text(60, 2**4.4, "with a cache", color=COLOURS[2], ha="left")
    return figure


save_figure(draw(), __file__)
