"""Make a digit reader and a GPT of your own code: the command `kata mine`.

Each of 23 katas gives a part. Yours is used where its core exercises work, the
reference elsewhere. The GPT trains ten steps per exercise of yours: the more of it is
yours, the better it writes.
"""

import argparse
import hashlib
import io
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.segment import Segment
from rich.text import Text
from torch import Tensor, nn
from torch.func import functional_call

from grader import datasets, files, printable
from grader.course import kata_modules, places
from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.course.parts import BY_KATA, EXERCISES, PARTS
from grader.errors import KataError, NotPossible
from grader.execution.grading import CORE_WORKS, grade_sources, why_core_fails
from grader.execution.result_cache import ResultCache
from grader.isolation import state
from grader.learner import progress
from grader.loading import prerequisite
from grader.memory import Memory
from grader.reports import page
from grader.workers import jobs

# of a window, of a character's vector, and how many windows make a batch
LENGTH, WIDTH, HEADS, ROWS = 32, 64, 4, 14
# pictures that the reader learns from, how often, and the mistakes that are shown
SEEN, EPOCHS, WORST = 1297, 6, 4
# of training per exercise; of the text, and of its draws
STEPS, CHARACTERS, TEMPERATURE = 10, 220, 0.4
PAGE = ROOT / "mine.html"
OWN, REPLACED, COURSES = "█", "▒", "░"
STYLES = {OWN: "bold green", REPLACED: "yellow", COURSES: "dim"}
# of the page, for these styles
CLASSES = {"bold green": "passed", "yellow": "unconfirmed", "dim": "dim"}
# rows of the picture that are in its frame
MODEL = ("output", "block 3", "block 2", "block 1", "input")
COLUMNS, HEIGHT = 60, 6  # of the curve, in characters

Parts = Mapping[str, Any]  # the module that is used, by kata


class Positions(nn.Sequential):
    """Kata 18's table where GPT expects an embedding of positions."""

    def forward(self, positions: Tensor) -> Tensor:
        return self[0](torch.zeros(1, len(positions), WIDTH), int(positions[0]))[0]


class FirstBlock(nn.Module):
    """Kata 15's attention and kata 13's norms, between PyTorch's linear layers."""

    def __init__(self, parts: Parts):
        super().__init__()
        self.attention, norm = (
            parts["15_scaled_dot_product_attention"],
            parts["13_normalization"].LayerNorm,
        )
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.qkv, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        q, k, v = (
            self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        )
        mask = self.attention.causal_mask(x.size(1))
        heads, _ = self.attention.scaled_dot_product_attention(q, k, v, mask=mask)
        x = x + self.mix(heads.transpose(1, 2).flatten(2))
        return x + self.think(self.norm2(x))


def second_block(parts: Parts) -> nn.Module:
    """Kata 17's block with kata 16's heads, made causal by kata 15's mask."""
    options: Any = {"dropout": 0.0, "norm_first": True, "activation": "gelu"}
    block = parts["17_transformer_blocks"].TransformerEncoderBlock(
        WIDTH, HEADS, **options
    )
    block.attention = parts["16_multi_head_attention"].MultiHeadAttention(WIDTH, HEADS)
    mask = parts["15_scaled_dot_product_attention"].causal_mask
    block.register_forward_pre_hook(
        lambda _, xs, more: (xs[:1], {"mask": mask(xs[0].size(1))}), with_kwargs=True
    )
    return block


class Scores(nn.Sequential):
    """The GPT as kata 06's loop calls a model: what it returns is the prediction."""

    def forward(self, idx: Tensor) -> Tensor:
        return super().forward(idx)[0]


class Clipped:
    """Kata 21's optimizer, which follows its schedule and clips the gradients before
    each step.
    """

    def __init__(self, parts: Parts, weights: list[nn.Parameter], steps: int):
        self.part, self.weights, self.steps, self.done = (
            parts["21_optimizers_and_schedules"],
            weights,
            steps,
            0,
        )
        self.optimizer = self.part.AdamW(weights, lr=0.0, weight_decay=0.01)
        self.zero_grad = self.optimizer.zero_grad

    def step(self) -> None:
        rates = {
            "max_lr": 5e-3,
            "min_lr": 3e-4,
            "warmup_steps": 10,
            "max_steps": max(self.steps, 11),
        }
        for group in self.optimizer.param_groups:
            group["lr"] = self.part.warmup_cosine(self.done, **rates)
        self.part.clip_grad_norm(self.weights, 1.0)
        self.optimizer.step()
        self.done += 1


def assembled(parts: Parts, vocab_size: int) -> nn.Module:
    """The GPT before training."""
    attention = parts["25_causal_self_attention"]
    config = attention.GPTConfig(LENGTH, vocab_size, 3, HEADS, WIDTH)
    gpt, table = (
        parts["26_gpt_model"].GPT(config),
        parts["11_embeddings"].Embedding(vocab_size, WIDTH),
    )
    positions, layers = (
        parts["18_positional_encoding"].LearnedPositionalEmbedding(LENGTH, WIDTH),
        gpt.transformer,
    )
    layers.h[0], layers.h[1] = FirstBlock(parts), second_block(parts)
    layers.h[2].attn = attention.CausalSelfAttention(config)
    layers.ln_f, layers.wpe = (
        parts["13_normalization"].LayerNorm(WIDTH),
        Positions(positions),
    )
    parts["19_modules_and_parameters"].init_weights(
        gpt, embedding_std=0.1, generator=torch.Generator().manual_seed(0)
    )
    # comes last: init_weights knows PyTorch's own embedding alone
    table.weight = gpt.lm_head.weight
    layers.wte = table
    return gpt


def read(parts: Parts) -> dict[str, Any]:
    """Train the reader, and tell its accuracy, its loss, and its worst mistakes."""
    first_look, network = parts["00_first_look"], parts["10_fashionmnist_nn"]
    images, labels = datasets.digits()
    rows, _ = parts["02_tensor_reshaping"].flatten_samples(images)
    pixels = parts["04_tensor_math_operations"].standardize(rows)
    known = parts["03_tensor_indexing_slicing"].first_rows(pixels, SEEN)
    test, answers = pixels[SEEN:], labels[SEEN:]
    samples = list(zip(known, labels[:SEEN].tolist()))
    generator = torch.Generator().manual_seed(0)
    loader = parts["09_data_splitting_loaders"].MiniLoader(
        samples, 64, shuffle=True, generator=generator
    )
    model = network.FashionMNISTModel(64, (32,), 10)
    names, weights = (
        [name for name, _ in model.named_parameters()],
        [w.detach() for w in model.parameters()],
    )
    for _ in range(EPOCHS):
        for inputs, targets in loader:

            def loss(*given: Tensor, x: Tensor = inputs, y: Tensor = targets) -> Tensor:
                return F.nll_loss(
                    functional_call(model, dict(zip(names, given)), (x,)), y
                )

            gradients = parts["05_tensor_gradients"].partial_derivatives(loss, *weights)
            weights = [
                first_look.gradient_step(w, g, 0.2) for w, g in zip(weights, gradients)
            ]
    model.load_state_dict(dict(zip(names, weights)))
    average, _ = network.evaluate(model, [(test, answers)], F.nll_loss)
    worst = network.misclassified(model, test, answers, k=WORST)
    pictures = images[SEEN:][worst["index"]][:, 0].tolist()
    told = list(zip(pictures, worst["predicted"].tolist(), worst["target"].tolist()))
    return {
        "accuracy": float(first_look.accuracy(model(test), answers)),
        "loss": float(average),
        "worst": told,
    }


def write(parts: Parts, steps: int, said: Callable[[str], None]) -> dict[str, Any]:
    """Train the GPT, and tell its losses, what knowing frequencies alone would cost,
    and what it writes.
    """
    counting, indexing = parts["01_tensors"], parts["03_tensor_indexing_slicing"]
    text = datasets.verse()
    tokenizer = parts["23_tokenizers"].CharTokenizer(text)
    size, ids = tokenizer.vocab_size, torch.tensor(tokenizer.encode(text))
    counts = counting.to_float((ids[:, None] == counting.count_to(size)).sum(0))
    shares = counts / counts.sum()
    gpt = assembled(parts, size)
    optimizer, generator = (
        Clipped(parts, list(gpt.parameters()), steps),
        torch.Generator().manual_seed(0),
    )
    scores, losses = Scores(gpt), list[float]()

    def loss(predicted: Tensor, targets: Tensor) -> Tensor:
        return parts["20_losses"].cross_entropy(
            predicted.flatten(0, 1), targets.flatten()
        )

    for step in range(steps):
        said(f"training: {step} of {steps} steps")
        windows, targets = parts["24_token_batches"].random_batch(
            ids, ROWS, LENGTH, generator
        )
        losses += parts["06_linear_regression"].train(
            scores, windows, targets, optimizer, 1, loss
        )
    with torch.no_grad():
        windows = indexing.sliding_windows(ids, LENGTH + 1, LENGTH)
        likely = scores(windows[:, :-1]).flatten(0, 1).log_softmax(-1)
        whole = -float(indexing.pick_per_row(likely, windows[:, 1:].flatten()).mean())
    capital = shares * torch.tensor(
        [character.isupper() for character in tokenizer.decode(list(range(size)))]
    )
    begun = torch.tensor([parts["00_first_look"].draw(capital / capital.sum())])
    prompt, written = (
        parts["02_tensor_reshaping"].add_batch_dim(begun),
        "nothing: its scores are no numbers",
    )
    if math.isfinite(whole):
        options = {
            "temperature": TEMPERATURE,
            "generator": torch.Generator().manual_seed(0),
        }
        written = tokenizer.decode(
            parts["27_generation"]
            .generate(gpt, prompt, CHARACTERS, **options)[0]
            .tolist()
        )
    frequencies = float(torch.special.entr(shares).sum())
    return {
        "losses": [float(one) for one in losses],
        "frequencies": frequencies,
        "whole": whole,
        "text": written,
    }


@dataclass
class Mine:
    """Both models, and whose their parts are."""

    code: Path  # the folder of the learner's code, laid out like katas/
    said: Callable[[str], None]  # is told what is going on
    # the katas whose code is the learner's
    own: list[str] = field(default_factory=list)
    # on a kata that is begun: what there is to say
    notes: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)  # what the models came to
    # when it last wrote something else: exercises, and the text
    before: list[Any] = field(default_factory=list)

    def choose(self, wrong_too: bool) -> None:
        """Find the katas whose core works; with `wrong_too` those that are begun."""
        if lost := [name for name in BY_KATA if not Kata(ROOT, name).folder.is_dir()]:
            raise NotPossible(f"{lost[0]} is not in this course, and gives a part")
        katas = with_prerequisites(Kata(ROOT, name) for name in BY_KATA)
        sources = {kata: jobs.read(kata, self.code) for kata in katas}
        results = grade_sources(
            katas,
            sources,
            self.code,
            options=CORE_WORKS,
            cache=ResultCache(ROOT),
            brief=True,
        )
        reasons = {result.kata: why_core_fails(result) for result in results}
        for kata in katas:
            reason, is_begun = reasons[kata.name], progress.is_begun(kata, self.code)
            if reason and not kata.reference.is_file():
                raise NotPossible(f"finish {kata.name} first: {reason.line}")
            if reason is None or (wrong_too and is_begun):
                self.own.append(kata.name)
            if reason and is_begun and kata.name in BY_KATA:
                self.notes[kata.name] = reason.line

    def train(self) -> None:
        """Make both models. A part that ends this is left to the course, and they are
        made without it.
        """
        while not self.told:
            try:
                self.told = self.made(self.own)
            except (Exception, SystemExit) as error:
                if not self.own or isinstance(error.__cause__, KeyboardInterrupt):
                    raise
                self.leave_out(self.culprit(error), error)

    def compare(self) -> None:
        """Remember what the GPT writes, and find what it wrote before."""
        shown = json.loads(Memory(ROOT).find("mine", str(self.code), "") or "[]")
        if (now := [exercises(self.own), self.told["gpt"]["text"]]) not in shown[-1:]:
            shown = [*shown[-1:], now]
            Memory(ROOT).keep("mine", str(self.code), "", json.dumps(shown))
        self.before = shown[0] if shown[1:] else []

    def made(self, own: list[str], each: int = STEPS) -> dict[str, Any]:
        """What the models come to with these katas' own code and so many steps of
        training per exercise.
        """
        katas = with_prerequisites(Kata(ROOT, name) for name in BY_KATA)
        chosen = [
            self.code / kata.file if kata.name in own else kata.reference
            for kata in katas
        ]
        what = [
            each,
            torch.__version__,
            *(path.read_bytes().hex() for path in [Path(__file__), *chosen]),
        ]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        if known := Memory(ROOT).find("mine", key, key):
            return json.loads(known)
        for name in [name for name in sys.modules if name.startswith("prerequisite_")]:
            del sys.modules[name]  # one whose file is the same may stand on another
        state.reset(0)
        steps, sources = each * exercises(own), dict.fromkeys(own, self.code)
        # a forgotten print would print at every step
        with redirect_stdout(io.StringIO()):
            with kata_modules.building_on(ROOT, sources, places.references(ROOT)):
                parts = {name: prerequisite(name) for name in BY_KATA}
            told = json.dumps(
                {"reader": read(parts), "gpt": write(parts, steps, self.said)}
            )
        Memory(ROOT).keep("mine", key, key, told)
        return json.loads(told)

    def culprit(self, error: BaseException) -> str:
        """The kata without which a short run goes on. The one whose line raised the
        error is tried first.
        """
        paths = {str(self.code / Kata(ROOT, name).file): name for name in self.own}
        raised = [
            paths[frame.filename] for frame in frames(error) if frame.filename in paths
        ]
        tried = list(dict.fromkeys([*raised, *reversed(self.own)]))
        for name in tried:
            self.said(f"trying without {name}")
            try:
                self.made([other for other in self.own if other != name], each=1)
            except (Exception, SystemExit):
                continue
            return name
        return tried[0]

    def leave_out(self, name: str, error: BaseException) -> None:
        kata = Kata(ROOT, name)
        lines = [
            frame.lineno
            for frame in frames(error)
            if frame.filename == str(self.code / kata.file)
        ]
        place = f", at {kata.file.name}:{lines[0]}" if lines else ""
        ended = (
            f"with yours the training ended with {type(error).__name__}: {error}"
        ).splitlines()[0] + place
        if not kata.reference.is_file():
            raise NotPossible(f"{name} has no reference, and {ended}")
        self.notes[name] = f"the course's runs, because {ended}"
        self.own.remove(name)


def exercises(katas: list[str]) -> int:
    return sum(len(BY_KATA[name].exercises) for name in katas if name in BY_KATA)


def frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines that the error passed through, the innermost first. What a kata raised
    when loaded is the cause.
    """
    return traceback.extract_tb((error.__cause__ or error).__traceback__)[::-1]


def sections(mine: Mine) -> Iterator[tuple[str, list[Text]]]:
    """What is shown: headings, each with the lines below it."""
    reader, gpt = mine.told["reader"], mine.told["gpt"]
    own = exercises(mine.own)
    share = (
        f"{100 * own / EXERCISES:.0f} % of this GPT is your code: {own} of the "
        f"{EXERCISES} exercises"
    )
    yield f"{share} that it is made of", picture(mine)
    worst = ", ".join(f"{read} for {meant}" for _, read, meant in reader["worst"])
    right = (
        f"It reads {100 * reader['accuracy']:.0f} % of 500 digits right, with a loss "
        f"of {reader['loss']:.2f}."
    )
    yield (
        "The reader",
        [
            Text(f"{right} Its worst mistakes: {worst}."),
            *digits([one[0] for one in reader["worst"]]),
        ],
    )
    learned = (
        f"It learned for {STEPS * own} steps, {STEPS} for each exercise of yours. Its "
        f"loss is {gpt['whole']:.2f}; "
        f"knowing only how often each character occurs costs {gpt['frequencies']:.2f}."
    )
    yield (
        "The GPT",
        [*(Text(line, "cyan") for line in curve(gpt["losses"])), Text(learned)],
    )
    for own_then, text in [mine.before] if mine.before else []:
        yield (
            f"Before, with {own_then} exercises of yours, it wrote",
            [*map(Text, text.splitlines())],
        )
    yield "It writes", [Text(line, "bold cyan") for line in gpt["text"].splitlines()]


def picture(mine: Mine) -> list[Text]:
    """Where each part is, and whose; then what there is to say about them."""

    def row(place: str, edge: str = "") -> Text:
        text = Text(f"{place:10}{edge}")
        for part in (part for part in PARTS if part.place == place):
            sign = (
                OWN
                if part.kata in mine.own
                else REPLACED
                if part.kata in mine.notes
                else COURSES
            )
            text.append(f"{sign} {part.kata[:2]} {part.name}", STYLES[sign]).append(
                "   "
            )
        text.rstrip()
        return text

    inside = [
        Text(f"{'':10}┌{'─' * 62}"),
        *(row(place, "│ ") for place in MODEL),
        Text(f"{'':10}└{'─' * 62}"),
    ]
    legend = Text(
        f"{OWN} yours   {REPLACED} yours, and the course's runs   {COURSES} the "
        "course's",
        "dim",
    )
    notes = [
        Text(printable.line(f"{name[:2]}: {note}")) for name, note in mine.notes.items()
    ]
    return [
        row("writing"),
        *inside,
        *map(row, ("text", "training", "reader")),
        Text(),
        legend,
        *notes,
    ]


def digits(pictures: list[list[list[float]]]) -> Iterator[Text]:
    """The pictures side by side, two rows of pixels in a line."""
    dark = [[[value > 0.4 for value in row] for row in picture] for picture in pictures]
    for y in range(0, 8, 2):
        pairs = [zip(*rows[y : y + 2]) for rows in dark]
        yield Text(
            "      ".join(
                "".join(" ▄▀█"[2 * a + b] for a, b in pair) for pair in pairs
            ).rstrip()
        )


def curve(losses: list[float]) -> list[str]:
    """The losses as columns of characters; nothing before there are any."""
    if not losses:
        return []
    means = F.adaptive_avg_pool1d(torch.tensor([losses]), min(COLUMNS, len(losses)))[
        0
    ].nan_to_num(0, 0, 0)
    top = max(means.max().item(), 0.1)
    heights, labels = (
        (means * HEIGHT * 8 / top).tolist(),
        {HEIGHT - 1: f"{top:4.1f} ", 0: " 0.0 "},
    )
    eighths = [
        [min(8, max(0, round(height) - 8 * row)) for height in heights]
        for row in range(HEIGHT)
    ]
    return [
        (
            labels.get(row, "     ") + "".join(" ▁▂▃▄▅▆▇█"[one] for one in eighths[row])
        ).rstrip()
        for row in reversed(range(HEIGHT))
    ]


def html(mine: Mine) -> str:
    """All of it, as a page that needs nothing else."""
    shown = []
    for heading, lines in sections(mine):
        parts = [
            part for line in lines for part in [*line.render(Console()), Segment("\n")]
        ]
        shown.append(
            (heading, [(part.text, CLASSES.get(str(part.style), "")) for part in parts])
        )
    own = exercises(mine.own)
    return page.render(
        "mine.html",
        heading="your own GPT",
        exercises=own,
        most=EXERCISES,
        sections=shown,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        "kata mine", description="Show the GPT that your own code is part of."
    )
    parser.add_argument(
        "--html", action="store_true", help=f"also write it as a page, {PAGE.name}"
    )
    parser.add_argument(
        "--wrong-too",
        action="store_true",
        help="also use parts that are wrong, to see the text",
    )
    parser.add_argument(
        "--code",
        type=Path,
        default=ROOT / "katas",
        help="your code, laid out like katas/",
    )
    options = parser.parse_args()
    code, console = options.code.absolute(), Console(highlight=False)
    try:
        # isatty: notebooks have their programs believe that they write to a terminal
        with Console(stderr=True, force_terminal=sys.stderr.isatty()).status(
            "checking your code"
        ) as status:
            mine = Mine(code, status.update)
            mine.choose(options.wrong_too)
            mine.train()
            mine.compare()
        for heading, lines in sections(mine):
            console.print(Text(heading, "bold"), *lines, "", sep="\n", soft_wrap=True)
        if options.html:
            files.write(PAGE, html(mine))
            print(f"The page is {PAGE}")
    except KataError as error:
        print(f"kata mine: {printable.line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        paths = [
            (Path(frame.filename), frame.lineno)
            for frame in frames(error)
            if frame.filename != __file__
        ]
        place = [
            f" at {path.name}:{line}" for path, line in paths if code in path.parents
        ]
        print("kata mine: interrupted", *place[:1], file=sys.stderr, sep="")
        sys.exit(130)


if __name__ == "__main__":
    main()
