"""Kata 23 in code: characters, bytes and merged pairs as tokens, how merges are
learned, how much a token holds.
"""

import re
import time

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from grader.course import downloads
from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)


def shown(tokens):
    """Show tokens between bars: a space as ·, a newline as ↵, bytes that are not text
    in hexadecimal.
    """
    texts = [token.decode() if is_text(token) else token.hex(" ") for token in tokens]
    return "|" + "|".join(texts).replace(" ", "·").replace("\n", "↵") + "|"


def is_text(token):
    return token.decode(errors="replace").encode() == token


def tokens_of(tokenizer, text):
    return [tokenizer.decode_bytes([i]) for i in tokenizer.encode(text)]


# 1. One id per character. The vocabulary is the characters of the text, and nothing
#    else can be encoded.
manual = prose()
characters = kata.CharTokenizer(manual)
print(
    f"1. The prose: {len(manual):,} characters, {characters.vocab_size} different ones"
)
print(f"   'Hello' is {characters.encode('Hello')}")
try:
    characters.encode("Hello 🙂")
except (KeyError, ValueError) as error:
    print(f"   'Hello 🙂': {type(error).__name__}: {error}")

# 2. Bytes instead. In UTF-8, 256 bytes spell every text, with one to four bytes
#    per character.
raw = kata.BPETokenizer([])
print("\n2. UTF-8")
for character in "aé東🙂":
    print(f"   {character}  {raw.encode(character)}")

# 3. Learning on one line, step by step: frequent pairs become one token.
line = "low low lower lowest"
print(f"\n3. Merges learned from {line!r}")
merges = kata.train_bpe(line, 260)
for count in range(len(merges) + 1):
    pieces = tokens_of(kata.BPETokenizer(merges[:count]), line)
    name = shown([b"".join(merges[count - 1])]) if count else "bytes"
    print(f"   {name:<9} {len(pieces):2} tokens  {shown(pieces)}")

# 4. Chunks: no merge crosses from one to the next. The space goes with the word that
#    follows it.
sentence = "The dog's 3 bones,  buried in 1999."
print(f"\n4. {sentence!r} in chunks")
print("  ", shown(chunk.encode() for chunk in re.findall(kata.SPLIT_PATTERN, sentence)))

# 5. Learning on prose: the merges come from the first pages of the manual; the last
#    pages stay unseen. The merges of a small vocabulary are the first ones of a large
#    one, so training once is enough for all sizes.
SIZES = [256, 288, 320, 352, 384, 448, 512, 576, 640, 768]
seen, unseen = manual[:20_000], manual[-20_000:]
begin = time.process_time()
learned = kata.train_bpe(seen, max(SIZES))
plain = time.process_time() - begin
print(f"\n5. {len(learned)} merges learned from {len(seen):,} characters of prose")
print("   the first 12:", shown(left + right for left, right in learned[:12]))
print("   the last 8:  ", shown(left + right for left, right in learned[-8:]))
trained = kata.BPETokenizer(learned)
begin = time.process_time()
again = stretch(kata.train_bpe_fast, seen, max(SIZES))
if again:
    kept = time.process_time() - begin
    print(
        f"   with counts that are kept: {plain / kept:.0f} times as fast, the same "
        f"merges: {again == learned}"
    )

# 6. The same texts under all three tokenizers, as tokenizer pages on the web show them
#    in colours. BPE keeps frequent words whole and cuts rare words into many pieces;
#    the indentation of code is as good as a word.
examples = ["Hello world", " world", "world", "naïve 🙂", "def f(x):\n    return x\n"]
print("\n6. Tokens, with · for a space and ↵ for a newline")
for text in examples:
    print(f"   {text!r}")
    known = set(text) <= set(characters.stoi)
    print(
        "      characters",
        shown(c.encode() for c in text) if known else "not possible: some are unknown",
    )
    print("      bytes     ", shown(tokens_of(raw, text)))
    print(
        f"      BPE {len(trained.vocab):<6}",
        shown(tokens_of(trained, text)),
        trained.encode(text),
    )

# 7. A special token means what no text can say. Typing its string gives plain text,
#    unless the caller allows more.
special = kata.BPETokenizer(
    learned, special_tokens={"<|endoftext|>": len(trained.vocab)}
)
print("\n7. '<|endoftext|>' as a special token")
print("   by default:        ", special.encode("end<|endoftext|>"))
print("   allow_special=True:", special.encode("end<|endoftext|>", allow_special=True))

# 8. GPT-2's files cut a line of merges at its space, so no token may contain one: each
#    byte has a printable spelling.
table = stretch(kata.bytes_to_unicode)
if table:
    print("\n8. How GPT-2 spells bytes")
    for pair in learned[:6]:
        print(
            "  ",
            shown(pair),
            "is the line",
            " ".join("".join(table[byte] for byte in part) for part in pair),
        )

# 9. How much text a token holds, in the text that the merges come from and in unseen
#    text. Late merges gain less than early ones, and many help only the training text.
curves = {"text that the merges come from": seen, "unseen text": unseen}
folder = downloads.find("text")
if folder:
    curves["Shakespeare"] = (folder / "tiny_shakespeare.txt").read_text(
        encoding="utf-8"
    )[:20_000]
else:
    print("\n   (For a third text, by Shakespeare: kata data text)")
holds = {name: [] for name in curves}
print("\n9. Bytes per token")
print(f"   {'vocabulary':<32}" + "".join(f"{size:>6}" for size in SIZES))
for name, text in curves.items():
    for size in SIZES:
        tokenizer = kata.BPETokenizer(learned[: size - 256])
        ratio = stretch(kata.bytes_per_token, tokenizer, text)
        if ratio is None:
            break
        holds[name].append(ratio)
    if holds[name]:
        print(f"   {name:<32}" + "".join(f"{ratio:6.2f}" for ratio in holds[name]))

# 10. The figure: the curves of step 9; above them a line of text, each token a box that
#     is as wide as it has bytes.
figure = Figure(figsize=(6.6, 5.4))
above, below = figure.subplots(2, 1, height_ratios=(1, 1.8))
above.axis("off")
text = "The interpreter raises an exception 🙂"
rows = {"bytes": raw, "BPE 384": kata.BPETokenizer(learned[:128]), "BPE 768": trained}
for row, (name, tokenizer) in enumerate(rows.items()):
    place = 0
    above.text(-1, -row, name, ha="right", va="center")
    for i, token in enumerate(tokens_of(tokenizer, text)):
        plain, width = token.isascii(), len(token)
        label = token.decode().replace(" ", "·") if plain else token.hex()
        above.add_patch(
            Rectangle(
                (place, -row - 0.4),
                width,
                0.8,
                color=COLOURS[i % 3],
                alpha=0.35,
                linewidth=0,
            )
        )
        turned = 0 if plain else 90
        above.text(
            place + width / 2,
            -row,
            label,
            ha="center",
            va="center",
            rotation=turned,
            family="monospace",
        )
        place += width
above.set(xlim=(-8, place + 1), ylim=(-2.6, 0.6))
for (name, line), mark in zip(holds.items(), "os^", strict=False):
    if line:
        below.plot(SIZES, line, marker=mark, markersize=4, label=name)
below.axhline(1, color="0.6", linewidth=1, linestyle="--")
below.text(max(SIZES), 1.03, "one token per byte", ha="right", color="0.4")
below.set(
    xlabel="size of the vocabulary",
    ylabel="bytes per token",
    xlim=(230, 790),
    ylim=(0.9, None),
)
if any(holds.values()):
    below.legend(loc="upper left")
save_figure(figure, __file__)
