"""The checks of promises can themselves fail: a sound tree has no problem, each crooked
one has its own.
"""

import shutil
from dataclasses import replace

import pytest
from PIL import Image

from grader.course import description, lesson_code
from grader.course.catalogue import Kata, all_katas
from tests.conftest import SOUND
from workshop import promises, seals, snippets, variants
from workshop.promises import FINISHED, PROMISES

SPECS, STUB, REFERENCE = (
    "katas/01_sums/test_sums.py",
    "katas/01_sums/sums.py",
    "solutions/01_sums/sums.py",
)
HINTS, README, LESSON = (
    "katas/01_sums/hints.md",
    "katas/01_sums/README.md",
    "katas/01_sums/lesson.py",
)
TOML = "katas/01_sums/kata.toml"
AUTHOR = "solutions/01_sums/author"
SEALED = f"{AUTHOR}/sealed.toml"
MISTAKES, ACCEPTED = f"{AUTHOR}/mistakes.py", f"{AUTHOR}/accepted/by_addition.py"

# promise, file, the text in it, what it becomes, what the report must say
CROOKED = {
    "a toothless spec": (
        promises.mistakes,
        SPECS,
        "check.equal(kata.double(x), x + x",
        "check.equal(x + x, x + x",
        "mistake 'squared' is not caught by test_every_value_is_doubled",
    ),
    "a toothless spec passes the stub": (
        promises.stub_fails,
        SPECS,
        "kata.double(x)\n\n\nclass TestTotal",
        "pass\n\n\nclass TestTotal",
        "the stub passes TestDouble::test_the_input_is_left_alone",
    ),
    "an unfair spec": (
        promises.accepted,
        SPECS,
        '"""Doubling is per element."""',
        (
            'check.that("MulBackward" in str(kata.double(torch.ones(1, '
            'requires_grad=True)).grad_fn), "multiply")'
        ),
        (
            f"{ACCEPTED}, {AUTHOR}/accepted/by_unbinding.py: rejected by "
            "TestDouble::test_every_value_is_doubled"
        ),
    ),
    "a spec that wants a seed": (
        promises.textbook,
        SPECS,
        '"""Doubling is per element."""',
        "check.close(torch.rand(1), torch.tensor([0.4962566]), atol=1e-3)",
        "from seed 20",
    ),
    "a spec that wants an order": (
        promises.reference_passes,
        SPECS,
        '"""The other dimension stays."""',
        (
            'check.that(hasattr(check, "seen_before") or dim == 0, "order"); '
            "check.seen_before = True"
        ),
        "fails backwards",
    ),
    "a slow spec": (
        promises.reference_passes,
        SPECS,
        '"""Doubling is per element."""',
        (
            "import time; end = time.process_time() + 1\n"
            "        while time.process_time() < end: pass"
        ),
        "the budget is 0.2 s",
    ),
    "a suspect that is right": (
        promises.reference_passes,
        SPECS,
        'unlike={"squared": x * x}',
        'unlike={"squared": x * x, "added": x + x}',
        "test_every_value_is_doubled: 'added' is always the right answer",
    ),
    "a suspect like another": (
        promises.reference_passes,
        SPECS,
        'unlike={"squared": x * x}',
        'unlike={"multiplied": x * x, "squared": x * x}',
        "test_every_value_is_doubled: 'squared' is always taken for 'multiplied'",
    ),
    "a suspect that is not tried": (
        promises.specs,
        SPECS,
        "    def test_every_value_is_doubled",
        "    @pytest.mark.timeout(60)\n    def test_every_value_is_doubled",
        "test_every_value_is_doubled takes long",
    ),
    "a leaking stub": (
        promises.stub,
        STUB,
        "raise NotImplementedError\n\n\ndef total",
        "return 2 * x\n\n\ndef total",
        "katas/01_sums/sums.py: stale",
    ),
    "a helper left in the stub": (
        promises.stub,
        STUB,
        "def double",
        "def _twice(x):\n    return 2 * x\n\n\ndef double",
        ": stale",
    ),
    "another signature": (
        promises.stub,
        STUB,
        "dim: int = 0",
        "dim: int = 1",
        ": stale",
    ),
    "another docstring": (
        promises.stub,
        STUB,
        "Twice x, of any shape",
        "Double x",
        ": stale",
    ),
    "an exercise without a stub": (
        promises.stub,
        STUB,
        "class Doubler(nn.Module)",
        "class Twicer(nn.Module)",
        ": stale",
    ),
    "a hint too many": (
        promises.complete,
        HINTS,
        "3. (2, 3)",
        "3. Shapes.\n4. (2, 3)",
        "total has 4 hints, 1 to 3",
    ),
    "hasty minutes": (
        promises.complete,
        TOML,
        "core = 10",
        "core = 4",
        "reading and writing come to (10, 15)",
    ),
    "another output": (
        promises.snippets,
        README,
        "#> tensor([-1,  0,  1])",
        "#> tensor([-1,  0,  2])",
        "and not",
    ),
    "a snippet that raises": (
        promises.snippets,
        README,
        "torch.eye(2).shape",
        "torch.eye(2).size",
        "built-in method",
    ),
    "too few snippets": (
        promises.complete,
        README,
        "```python\nprint(torch.eye",
        "```\nprint(torch.eye",
        "2 snippets",
    ),
    "hints missing for an exercise": (
        promises.complete,
        HINTS,
        "## Doubler",
        "## Doubling",
        "the exercises are",
    ),
    "a missing section": (
        promises.complete,
        README,
        "## Key takeaways",
        "## Summary",
        "README.md: the sections are",
    ),
    "a lesson that does not lead on": (
        promises.complete,
        README,
        "[02 Reuse](../02_reuse/README.md)",
        "[Back](../../README.md)",
        f"{README}:39: what is next must link to ../02_reuse/README.md",
    ),
    "a kata that no term leads to": (
        promises.complete,
        "katas/GLOSSARY.md",
        "01_sums",
        "02_reuse",
        "katas/GLOSSARY.md: no term leads to 01_sums/README.md",
    ),
    "too few mistakes": (
        promises.complete,
        MISTAKES,
        "MISTAKES = [",
        "MISTAKES = []\n_ = [",
        "0 mistakes, 10 to 25 are wanted",
    ),
    "a dead link": (
        promises.folder,
        README,
        "../02_reuse/README.md",
        "../03_more/README.md",
        "../03_more/README.md, which is not there",
    ),
    "an exercise the lesson forgets": (
        promises.complete,
        README,
        "double, total, Doubler",
        "double, Doubler",
        "does not mention total",
    ),
    "a bullet that stands on nothing": (
        promises.complete,
        README,
        "\n## Walkthrough",
        (
            "\n### Where it bites\n"
            "- **All is twice.**. <!-- mistake: called twice -->\n\n## Walkthrough"
        ),
        "there is no mistake with 'called twice'",
    ),
    "a bullet that names nothing": (
        promises.complete,
        README,
        "\n## Walkthrough",
        "\n### Where it bites\n- **All is twice.**\n\n## Walkthrough",
        f"{README}:31: a bullet of 'Where it bites' stands on no mistake",
    ),
    "a spec without a docstring": (
        promises.specs,
        SPECS,
        '"""The other dimension stays."""',
        "",
        "has no docstring",
    ),
    "a comparison that was taken out": (
        promises.specs,
        SPECS,
        "check.equal(kata.Doubler()(x), x + x)",
        "(kata.Doubler()(x), x + x)",
        "test_the_layer_doubles compares nothing",
    ),
    "a bare assert": (
        promises.specs,
        SPECS,
        "kata.double(x)\n\n\nclass TestTotal",
        "assert kata.double(x) is not x\n\n\nclass TestTotal",
        "a bare assert",
    ),
    "an error asked for above the edges that stands below them": (
        promises.specs,
        SPECS,
        "    @pytest.mark.edge\n    def test_no_dimension_is_an_error",
        "    def test_no_dimension_is_an_error",
        "total: wants an error, and the docstring does not say so above its edges",
    ),
    "an error announced above the edges that no spec of the point wants": (
        promises.specs,
        REFERENCE,
        "Edge cases ★",
        "Without a dimension it is an error.",
        '"is an error" stands above the edges, and no spec of the point wants an error',
    ),
    "words of an error that no docstring announces": (
        promises.specs,
        SPECS,
        "kata.double(x)\n\n\nclass TestTotal",
        (
            'with check.raises(ValueError, "half"):\n                kata.double(x)\n'
            "\n\nclass TestTotal"
        ),
        (
            "wants 'half' in the message, and no sentence of the docstring says what "
            "the error names"
        ),
    ),
    "a class for no exercise": (
        promises.specs,
        SPECS,
        "class TestTotal",
        "class TestSubtotal",
        (
            "has the classes TestDouble, TestSubtotal, TestDoubler; kata.toml has "
            "TestDouble, TestTotal, TestDoubler"
        ),
    ),
    "stretch by its mark only": (
        promises.specs,
        TOML,
        'name = "Doubler", stretch = true',
        'name = "Doubler"',
        "TestDoubler: stretch",
    ),
    "an exercise that is not there": (
        promises.folder,
        TOML,
        'name = "total"',
        'name = "sum"',
        "sum: no such name",
    ),
    "a description that cannot be read": (
        promises.folder,
        TOML,
        "difficulty",
        "difficult",
        "kata.toml:3: difficulty is missing: is it difficult?",
    ),
    "a kata that it does not build on": (
        promises.folder,
        TOML,
        "minutes",
        'builds_on = ["02_reuse"]\nminutes',
        "builds on",
    ),
    "a stale head": (
        promises.complete,
        README,
        "easy ·",
        "hard ·",
        "head or exercise table is stale",
    ),
    "a mistake that does not apply": (
        promises.mistakes,
        MISTAKES,
        'was="x.sum(dim)",\n        now="x.sum()"',
        'was="x.sum(axis)",\n        now="x.sum()"',
        "is 0 times in the reference",
    ),
    "a mistake that names no spec": (
        promises.mistakes,
        MISTAKES,
        'caught_by="test_the_layer_doubles"',
        'caught_by="test_nothing"',
        "there is no spec test_nothing",
    ),
    "a mistake of which the learner is told nothing": (
        promises.mistakes,
        MISTAKES,
        '        says="looks like squared",\n',
        "",
        "`says` is empty",
    ),
    "other words than promised": (
        promises.mistakes,
        MISTAKES,
        "looks like squared",
        "too large",
        "'too large' is not in what this failure alone says: differs ",
    ),
    "words of the spec's docstring": (
        promises.mistakes,
        MISTAKES,
        "looks like squared",
        "Doubling is per element",
        "'Doubling is per element' is not in what this failure alone says: differs ",
    ),
    "a sealed spec that fails on right code": (
        promises.sealed,
        SPECS,
        "check.equal(kata.Doubler()(x), x + x)",
        'check.that("forward" in vars(kata.Doubler), "no forward")',
        f"{SEALED}: TestDoubler::test_the_layer_doubles fails on right code",
    ),
    "an exercise without a sealed spec": (
        promises.sealed,
        SEALED,
        "    'TestTotal::test_one_dimension_is_summed',\n",
        "",
        f"{SEALED}: total: no spec of it judges from another process",
    ),
    "a long docstring": (
        promises.complete,
        REFERENCE,
        "Twice x, ",
        "Twice x, " + "word " * 250,
        "at most 250",
    ),
    "a long idea": (
        promises.complete,
        REFERENCE,
        "Twice x, ",
        "Twice x, " + "word " * 141,
        "double: 151 words before 'Edge cases ★', at most 150: shorten",
    ),
    "long edge cases": (
        promises.complete,
        REFERENCE,
        "is an error.",
        "is an error. " + "word " * 245,
        "at most 250",
    ),
    "a wrong reference": (
        promises.reference_passes,
        REFERENCE,
        "return x.sum(dim)",
        "return x.sum(0)",
        "the reference fails",
    ),
    "a lesson that raises": (
        promises.lesson,
        LESSON,
        "for size in range(6):",
        "for size in range(6 / 0):",
        "ZeroDivisionError",
    ),
    "a lesson without a figure": (
        promises.lesson,
        LESSON,
        "save_figure(figure, __file__)",
        "",
        "draws no figure",
    ),
    "a lesson that draws nothing": (
        promises.lesson,
        LESSON,
        'axes.plot([1, 2, 3], [2, 4, 6], label="double")\naxes.legend()',
        "figure.clear()",
        "the figure is empty",
    ),
}


@pytest.mark.parametrize(
    "promise", [*PROMISES, *FINISHED], ids=lambda promise: promise.__name__
)
def test_a_sound_tree_has_no_problems(promise, sound):
    assert [problem for kata in sound for problem in promise(kata)] == []


@pytest.mark.parametrize("fault", CROOKED)
def test_each_fault_is_reported(fault, tmp_path, monkeypatch):
    monkeypatch.setattr(promises, "BUDGET", 0.2)
    monkeypatch.setattr(promises, "USUAL", float("inf"))
    promise, file, was, now, words = CROOKED[fault]
    shutil.copytree(
        SOUND, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__", ".kata")
    )
    path = tmp_path / "tree" / file
    text = path.read_text()
    assert text.count(was) >= 1, "the fault does not apply to the sound tree"
    path.write_text(text.replace(was, now, 1))
    problems = "\n".join(promise(all_katas(tmp_path / "tree")[0]))
    assert words in problems, problems


def test_mistakes_share_a_round_where_neither_comes_to_what_the_other_changes(sound):
    kata = sound[0]
    reference = kata.reference.read_text()
    asked = {
        one: (variants.written(reference, one), variants.read(kata, reference, one))
        for one in variants.mistakes(kata)
    }
    rounds = [{one.name for one in together} for together in variants.apart(asked)]
    # four of double, two of what uses it
    assert rounds[0] == {"squared", "summed over all"} and len(rounds) == 6


@pytest.mark.parametrize(
    ("measured", "usual", "problems"),
    [((9.0, 0.01), 9e9, 0), ((9.0, 9.0), 9e9, 1), ((9.0, 9.0), 1e-9, 0)],
)
def test_a_time_above_the_budget_is_measured_anew_and_for_what_it_is_on_a_slow_machine(
    measured, usual, problems, sound, monkeypatch
):
    times, run = iter(measured), variants.results

    def results(*asked) -> dict:
        return {
            job: replace(result, cpu_seconds=next(times))
            for job, result in run(*asked).items()
        }

    monkeypatch.setattr(variants, "results", results)
    monkeypatch.setattr(promises, "USUAL", usual)
    assert len(promises.reference_passes(sound[0])) == problems and not list(times)


def test_a_figure_too_wide_for_a_phone_is_reported(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = all_katas(tmp_path / "tree")[0]
    Image.new("RGB", (1001, 400)).save(kata.folder / "figure.png")
    assert "figure.png: more than 1000 pixels wide" in "\n".join(
        promises.complete(kata)
    )


def test_sealed_specs_that_refuse_no_mistake_are_reported(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    for file, left_out in (
        (SEALED, "every_value_is_doubled"),
        (MISTAKES, 'caught_by="test_the_input_is_left_alone"'),
    ):
        path = tmp_path / "tree" / file
        path.write_text(
            "".join(
                line
                for line in path.read_text().splitlines(True)
                if left_out not in line
            )
        )
    path.write_text(
        path.read_text().replace('"in place",', '"in place", caught_by=DOUBLED,')
    )
    said, heart = promises.sealed(Kata(tmp_path / "tree", "01_sums"))
    assert "double: its sealed specs take what was answered under another seed" in heart
    assert said.startswith(
        f"{SEALED}: double: no sealed spec refuses one of its mistakes (make seals "
        "KATA=01 "
    )


def test_a_spec_that_expects_what_the_code_answers_does_not_seal(tmp_path):
    """The one that calls twice compares with itself: of answers that are all NaN or
    zero it would earn the point.
    """
    shutil.copytree(SOUND, tmp_path / "tree")
    path = tmp_path / "tree" / SPECS
    path.write_text(
        path.read_text().replace(
            "kata.double(x), x + x, unlike",
            "kata.double(x), 1 * kata.double(x), unlike",
        )
    )
    kata = Kata(tmp_path / "tree", "01_sums")
    assert "TestDouble::test_every_value_is_doubled" not in seals.found(
        kata, seals.infos(kata)
    )
    faults = seals.checked(kata, thoroughly=True)
    assert (
        "TestDouble::test_every_value_is_doubled expects what it makes of the "
        "code's own answers"
    ) in faults
    assert (
        "double: its sealed specs take answers that say nothing (write a probe)"
        in faults
    )


def test_a_file_that_no_learner_gets_is_reported(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = Kata(tmp_path / "tree", "01_sums")
    (kata.folder / ".hypothesis").mkdir()
    for name in ("notes.txt", "01_sums.ipynb", "line.diagram", ".hypothesis/x"):
        (kata.folder / name).write_text("x")
    said = "katas/01_sums/notes.txt: no learner gets it"
    assert [problem for problem in promises.complete(kata) if "no learner" in problem][
        0
    ].startswith(said)
    text = (kata.folder / "kata.toml").read_text()
    (kata.folder / "kata.toml").write_text('files = ["notes.txt"]\n' + text)
    description.read.cache_clear()
    assert not [
        problem for problem in promises.complete(kata) if "no learner" in problem
    ]


@pytest.mark.parametrize(
    "file",
    [
        TOML,
        README,
        HINTS,
        LESSON,
        STUB,
        REFERENCE,
        SPECS,
        MISTAKES,
        "katas/01_sums/figure.png",
    ],
)
def test_a_missing_file_is_reported(file, tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    (tmp_path / "tree" / file).unlink()
    kata = Kata(tmp_path / "tree", "01_sums")
    problems = promises.folder(kata) or promises.complete(kata)
    assert any(f"{file}: missing" in problem for problem in problems), problems


def test_a_snippet_that_solves_an_exercise_is_reported():
    """Whatever its variables are called."""
    textbook = "def merge(x):\n    return x.transpose(1, 2).flatten(2)\n"
    page = "```python\nprint(words.transpose(1, 2).flatten({}))\n```\n"
    assert snippets.given_away(page.format(2), textbook) == [
        "a snippet gives away `words.transpose(1, 2).flatten(2)`"
    ]
    assert snippets.given_away(page.format(1), textbook) == []


def test_outputs_are_written_below_what_prints_them():
    """Also below a decorated function and a loop, in place of what was there."""
    code = (
        "import functools\n\n\n@functools.cache\ndef f(x):\n    return x + 1\n\n\n"
        "for x in (1, 2):\n    print(f(x))\n"
    )
    page = f"Text.\n\n```python\n{code}#> 7\n```\n"
    assert (
        snippets.with_outputs(page, snippets.run(page, {}))
        == f"Text.\n\n```python\n{code}#> 2\n#> 3\n```\n"
    )


ASKED = """## One

A guess?

```python
x = [1]
# ## no section
print(x)
#> [1]
print(x * 2)
```

<details>
<summary>What does it print?</summary>

```
[2]
```

Not [2].

</details>

More.

## Two
"""


def test_a_folded_answer_is_run_and_written_and_ends_the_section_where_nothing_folds():
    """Elsewhere than directly below a snippet, or in another form, it is a fault."""
    assert snippets.wrong_outputs(ASKED) == [
        (
            "README.md:10: prints '[1, 1]', and not '[2]': kata snippets writes what "
            "it prints"
        )
    ]
    right = snippets.with_outputs(ASKED, snippets.run(ASKED, {}))
    assert (
        right == ASKED.replace("[2]\n```", "[1, 1]\n```")
        and snippets.wrong_outputs(right) == []
    )
    below = "\n```\n\nMore.\n\n**Answers**\n\n```\n[1, 1]\n```\n\nNot [2].\n\n## Two\n"
    assert (
        lesson_code.unfolded(right) == right.partition("\n```\n\n<details>")[0] + below
    )
    assert lesson_code.misplaced_folds(right) == []
    for wrong in (
        right.replace("\n<details>", "\nWell.\n\n<details>"),
        right.replace("Not [2].\n\n", ""),
    ):
        assert len(lesson_code.misplaced_folds(wrong)) == 1


def test_what_bullets_say_is_run_after_the_snippets():
    """In their namespace. An error counts where it is announced, with the words that
    the bullet quotes.
    """
    page = (
        "```python\nx = [1, 2]\n```\n\n### Where it bites\n"
        "- **Two.** Not three. <!-- true: y = len(x); y == 2 --> <!-- true: y == 3 "
        "-->\n"
        '- **"list … range".** <!-- raises: x[7] -->\n'
        '- **"tuple … range".** <!-- raises: x[7] -->\n'
        "- **An error.** <!-- raises: x[0] --> <!-- true: x[7] -->\n"
    )
    assert snippets.wrong_outputs(page) == [
        "README.md:6: `y == 3` came to False",
        "README.md:8: `x[7]` came to IndexError('list index out of range')",
        "README.md:9: `x[0]` came to 1",
        "README.md:9: `x[7]` came to IndexError('list index out of range')",
    ]
