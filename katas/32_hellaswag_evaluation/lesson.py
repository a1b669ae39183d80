"""Lesson 32 in code: endings as rows, what each costs, two ways to compare, bugs in
numbers, and what a score says.
"""

import copy
import json
import math
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.nn.utils.rnn import pad_sequence

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.set_num_threads(1)
torch.manual_seed(0)
EXAMPLES = kata.EMBEDDED_EXAMPLES


# 1. From an example to rows. With one token per character, the rows can be read.
ALPHABET = sorted(
    {
        character
        for item in EXAMPLES
        for text in (item["ctx"], *item["endings"])
        for character in text
    }
)


def encode(text: str) -> list[int]:
    """One token per character."""
    return [ALPHABET.index(character) for character in text]


tiny = {"ctx": "The lamp", "endings": ["shone", "went out"], "label": 1}
tokens, mask = kata.render_example(tiny, encode)
print(
    f"1. Rows and mask of {tiny['endings']} after {tiny['ctx']!r}: tokens "
    f"{tuple(tokens.shape)}, one per character"
)
for row, marks in zip(tokens.tolist(), mask.tolist(), strict=True):
    end = max(t for t, marked in enumerate(marks) if marked) + 1
    text = "".join(ALPHABET[i] for i in row[:end]).ljust(len(row), "·")
    print(f"   {text}   {''.join('T' if marked else '-' for marked in marks)}")
tokens, mask = kata.render_example(tiny, encode, block_size=12)
print("   cut to block_size 12, each row by itself:")
for row, marks in zip(tokens.tolist(), mask.tolist(), strict=True):
    print(
        f"   {''.join(ALPHABET[i] for i in row)}   "
        f"{''.join('T' if marked else '-' for marked in marks)}"
    )


# 2. A model that has read nothing. Every token costs it about ln V, so the sum
#    measures length.
def new_model():
    torch.manual_seed(0)
    return kata.GPT(
        kata.GPTConfig(
            block_size=96, vocab_size=len(ALPHABET), n_layer=1, n_head=4, n_embd=32
        )
    )


def evaluate(model, examples=EXAMPLES):
    return kata.evaluate_multiple_choice(model, examples, encode, block_size=96)


untrained = new_model()
nothing = math.log(len(ALPHABET))
print(
    "\n"
    f"2. A new GPT on the {len(EXAMPLES)} embedded examples, V = {len(ALPHABET)}, ln "
    f"V = {nothing:.2f}"
)


def print_losses(model, item):
    """Print the losses of the model on each ending of an example."""
    tokens, mask = kata.render_example(item, encode)
    with torch.no_grad():
        sums, means = kata.completion_losses(model(tokens)[0], tokens, mask)
    print(f"   {item['ctx']} …")
    print("     tokens     sum    mean")
    for k, ending in enumerate(item["endings"]):
        note = "   (right)" if k == item["label"] else ""
        print(f"     {mask[k].sum():6} {sums[k]:7.1f} {means[k]:7.2f}   {ending}{note}")


print_losses(untrained, EXAMPLES[1])
rows = [kata.render_example(item, encode) for item in EXAMPLES]
agree = 0
for tokens, mask in rows:
    lengths = mask.sum(dim=1)
    agree += (
        lengths[kata.predict(untrained, tokens, mask, normalize=False)].item()
        == lengths.min().item()
    )
print(
    f"   the ending with the lowest sum is the shortest in {agree} of {len(EXAMPLES)} "
    "questions"
)


# 3. A model that reads the right versions, and both accuracies on the way.
def read(model, texts, steps=80, every=None):
    """Train on all texts at once, and return loss, accuracies and a copy of the model,
    every `every` steps.
    """
    encoded = [torch.tensor(encode(text)) for text in texts]
    inputs = pad_sequence([row[:-1] for row in encoded], batch_first=True)
    targets = pad_sequence(
        [row[1:] for row in encoded], batch_first=True, padding_value=-100
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    history = []
    for step in range(steps + 1):
        if every and step % every == 0:
            history.append(
                (
                    step,
                    model(inputs, targets)[1].item(),
                    evaluate(model),
                    copy.deepcopy(model),
                )
            )
        if step < steps:
            optimizer.zero_grad()
            model(inputs, targets)[1].backward()
            optimizer.step()
    return history


def sentence(item, k):
    return f"{item['ctx']} {item['endings'][k]}"


trained = copy.deepcopy(untrained)
history = read(trained, [sentence(item, item["label"]) for item in EXAMPLES], every=20)
print("\n3. It reads the 24 right versions, all of them in each step")
print("   step   loss    acc  acc_norm")
for step, loss, result, _ in history:
    print(f"   {step:4} {loss:6.2f} {result['acc']:6.2f} {result['acc_norm']:9.2f}")
young = history[2][-1]  # after 40 steps
for (tokens, mask), item in zip(rows, EXAMPLES, strict=True):
    choices = [
        kata.predict(young, tokens, mask, normalize) for normalize in (False, True)
    ]
    if choices[0] != choices[1]:
        print("   after 40 steps sum and mean disagree here:")
        print_losses(young, item)
print(
    "   on the real HellaSwag: guessing 0.25; GPT-2 124M, divided by tokens: acc "
    "0.2859, acc_norm 0.2955"
)

# 4. What does that show? Only what the model has read. Three controls.
print("\n4. The same training on other texts")
wrong = new_model()
read(wrong, [sentence(item, (item["label"] + 1) % 4) for item in EXAMPLES])
print(
    "   24 versions with one of the wrong endings:  acc_norm "
    f"{evaluate(wrong)['acc_norm']:.2f}"
)
half = new_model()
read(half, [sentence(item, item["label"]) for item in EXAMPLES[::2]])
print(
    "   12 right versions, asked about these 12:    acc_norm "
    f"{evaluate(half, EXAMPLES[::2])['acc_norm']:.2f}"
)
print(
    "   the same model, asked about the other 12:   acc_norm "
    f"{evaluate(half, EXAMPLES[1::2])['acc_norm']:.2f}"
)

# 5. Bugs that raise no error.
print("\n5. acc_norm with one bug each, after 40 and after 80 training steps")


def token_losses(logits, tokens):
    return -logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def correct(logits, tokens, mask):
    return kata.completion_losses(logits, tokens, mask)[1]


def not_shifted(logits, tokens, mask):
    return (token_losses(logits, tokens) * mask).sum(1) / mask.sum(1)


def shifted_the_wrong_way(logits, tokens, mask):
    return (token_losses(logits[:, 1:], tokens[:, :-1]) * mask[:, 1:]).sum(1) / mask[
        :, 1:
    ].sum(1)


def padding_judged_too(logits, tokens, mask):
    behind = mask.cumsum(1) > 0
    return (token_losses(logits[:, :-1], tokens[:, 1:]) * behind[:, 1:]).sum(
        1
    ) / behind[:, 1:].sum(1)


def divided_by_padded_length(logits, tokens, mask):
    return (token_losses(logits[:, :-1], tokens[:, 1:]) * mask[:, 1:]).sum(
        1
    ) / mask.size(1)


def largest_loss(logits, tokens, mask):
    return -correct(logits, tokens, mask)


RULES = [
    correct,
    not_shifted,
    shifted_the_wrong_way,
    padding_judged_too,
    divided_by_padded_length,
    largest_loss,
]
for rule in RULES:
    shares = []
    for model in (young, trained):
        with torch.no_grad():
            choices = [
                int(rule(model(tokens)[0], tokens, mask).argmin())
                for tokens, mask in rows
            ]
        shares.append(
            sum(k == item["label"] for k, item in zip(choices, EXAMPLES, strict=True))
            / len(EXAMPLES)
        )
    print(f"   {rule.__name__.replace('_', ' '):<26} {shares[0]:.2f}   {shares[1]:.2f}")

# 6. How far has training moved the model? Both models predict the next character
#    everywhere in the 24 sentences.
print(
    "\n"
    "6. KL divergence between the model before and after, per character of the 24 "
    "sentences"
)
texts = [torch.tensor(encode(sentence(item, item["label"]))) for item in EXAMPLES]
with torch.no_grad():
    after, before = (
        torch.cat([model(row.unsqueeze(0))[0][0] for row in texts])
        for model in (trained, untrained)
    )
exact, turned = (
    stretch(kata.kl_divergence, after, before),
    stretch(kata.kl_divergence, before, after),
)
if exact is not None and turned is not None:
    print(
        f"   KL(after ‖ before) = {exact.mean():.3f}, KL(before ‖ after) = "
        f"{turned.mean():.3f}"
    )
    drawn = torch.multinomial(after.softmax(-1), 20, replacement=True)
    logs = [
        kata.token_log_probs(logits.expand(20, -1, -1), drawn.T)
        for logits in (after, before)
    ]
    for count in (1, 20):
        estimate = stretch(kata.sampled_kl, logs[0][:count], logs[1][:count])
        if estimate is not None:
            print(
                f"   estimated from {count * len(after):6,} characters drawn from the "
                f"model after: {estimate:.3f}"
            )

# 7. The real data set is a file of such examples, one JSON object per line.
print("\n7. Examples in a file, as HellaSwag has them")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "val.jsonl"
    lines = [
        json.dumps(item | {"label": str(item["label"]), "ind": i})
        for i, item in enumerate(EXAMPLES)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"   {lines[0]}")
    loaded = stretch(kata.load_examples, path)
    if loaded is not None:
        print(
            f"   {len(loaded)} examples; equal to the embedded ones: "
            f"{loaded == EXAMPLES}"
        )
        path.write_text(
            "\n".join([*lines[:6], lines[6].replace('"label": "2"', '"label": ""')]),
            encoding="utf-8",
        )
        try:
            kata.load_examples(path)
        except ValueError as error:
            print(
                "   a label left out, as in the test set: "
                f"{str(error).replace(folder, '')}"
            )


# 8. The figure: the mean loss of four endings for three examples, before training and
#    after 40 steps.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.1))
    panels = figure.subplots(3, 1, sharex=True)
    for i, panel in zip((1, 3, 18), panels, strict=True):
        item, (tokens, mask) = EXAMPLES[i], rows[i]
        with torch.no_grad():
            before, after = (
                kata.completion_losses(m(tokens)[0], tokens, mask)[1].tolist()
                for m in (untrained, young)
            )
        grey = panel.barh(range(4), before, 0.8, color="0.85")
        blue = panel.barh(range(4), after, 0.45, color=COLOURS[0])
        right = blue[item["label"]]
        right.set_color(COLOURS[1])
        panel.set_yticks(range(4), item["endings"])
        panel.get_yticklabels()[item["label"]].set_fontweight("bold")
        panel.invert_yaxis()
        panel.set_title(f"{item['ctx']} …", loc="left")
    panels[-1].set_xlabel("mean loss of the ending, nats per character")
    other = blue[(item["label"] + 1) % 4]
    names = ["before training", "after 40 steps: a wrong ending", "the right ending"]
    figure.legend([grey, other, right], names, loc="outside lower center", ncols=3)
    return figure


save_figure(draw(), __file__)
