"""The pages that speak of all katas at once — README, coverage, glossary — hold to what
the katas are.
"""

import re
import tomllib
from importlib import metadata

from packaging.specifiers import SpecifierSet

from grader.course import catalogue, pages
from grader.course.catalogue import ROOT, all_katas
from grader.execution import grading
from grader.results import NO_TRITON, title
from workshop.site import tree

PATH = [
    kata for kata in all_katas() if "/" not in kata.name and kata.description.finished
]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PINS = dict(
    re.findall(
        r"^([\w.-]+)==(.+)", (ROOT / "grader/constraints.txt").read_text(), re.MULTILINE
    )
)
WITH_TEXT = (
    ".ipynb",
    ".json",
    ".md",
    ".mk",
    ".py",
    ".sh",
    ".template",
    ".toml",
    ".txt",
    ".yml",
)
GLOSSARY = ROOT / "katas" / "GLOSSARY.md"


def test_the_readme_shows_a_failure_as_it_is(tmp_path):
    sixteen = catalogue.find("16")
    before, name, after = (
        (sixteen.folder / sixteen.file.name).read_text().partition("def split_heads")
    )
    slip = "B, T, C = x.shape\n    return x.reshape(B, num_heads, T, C // num_heads)"
    (tmp_path / sixteen.file).parent.mkdir()
    (tmp_path / sixteen.file).write_text(
        before + name + after.replace("raise NotImplementedError", slip, 1)
    )
    [result] = grading.grade_folder([sixteen], tmp_path)
    failure = result.exercises[0].first_failure
    page = " ".join((ROOT / "README.md").read_text().split())
    assert f"FAILED split_heads · {title(failure.name)}" in page
    assert " ".join(failure.message.split()) in page


def test_the_readme_is_read_in_a_few_minutes():
    """Without its table of the path, which grows by a few words with each kata."""
    text = (ROOT / "README.md").read_text()
    before, head, after = text.partition(pages.HEAD_OF_PATH)
    assert head and len(before.split()) + len(after.partition("\n\n")[2].split()) < 650


def test_every_page_has_its_links_anchors_pictures_and_heading_levels():
    """What would stop the site, said without Sphinx."""
    places, *_ = tree.read(ROOT)
    assert list(places.problems) == []


def test_nothing_names_an_address_of_the_course():
    """Anybody may take an address or a package's name. pyproject.toml alone may say
    where the course is.
    """
    own = re.compile(r"(?:://|git@)[^\s\"')]*torch-katas|pip install [^\n]*torch-katas")
    found = [
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
            "SECURITY.md",
            "Makefile",
        )
    ]
    for folder in ("katas", "solutions", "grader", "docs", ".github", ".devcontainer"):
        found += [
            path for path in (ROOT / folder).rglob("*") if path.suffix in WITH_TEXT
        ]
    assert not [path for path in found if own.search(path.read_text("utf-8"))]


def test_what_a_release_changes_agrees_on_its_version_and_day():
    cited = dict(
        re.findall(
            r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE
        )
    )
    page = (ROOT / "docs/installing.md").read_text()
    versions = {
        PROJECT["version"],
        cited["version"],
        *re.findall(r"torch_katas-([\d.]+)-", page),
    }
    text = (ROOT / "CHANGELOG.md").read_text()
    assert versions == {PROJECT["version"]}
    assert f"\n## {PROJECT['version']} ({cited['date-released']})\n" in text
    assert len(text.encode()) < 12_000, (
        "shorten what is older than the newest two sections"
    )


def test_triton_is_the_same_in_all_that_installs_it():
    needed, _, _ = PROJECT["optional-dependencies"]["kernels"][0].partition(";")
    command = f"pip install '{needed}'"
    assert command in NO_TRITON
    pages_of_kernels = [
        *(ROOT / "katas" / "kernels").glob("*/README.md"),
        ROOT / "katas" / "kernels" / "README.md",
    ]
    assert all(command in page.read_text("utf-8") for page in pages_of_kernels)


def test_what_is_pinned_takes_every_python_that_the_course_takes():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    here = [one.metadata for one in metadata.distributions()]
    pinned = [
        one
        for one in here
        if PINS.get(one["Name"]) == one["Version"] and one.get("Requires-Python")
    ]
    asked = {one["Name"]: SpecifierSet(one["Requires-Python"]) for one in pinned}
    assert len(asked) > 20
    assert {
        name: str(spec) for name, spec in asked.items() if not spec.contains(lowest)
    } == {}


def test_uv_takes_what_is_pinned():
    needed = [re.match(r"[\w.-]+", one)[0] for one in PROJECT["dependencies"]]
    pins = {name.lower(): version for name, version in PINS.items()}
    assert PYPROJECT["tool"]["uv"]["constraint-dependencies"] == [
        f"{name}=={pins[name]}" for name in needed
    ]


def test_the_pages_say_what_kata_toml_says():
    """The README's table, every lesson's head and exercise table, and the coverage:
    `make stubs` writes them.
    """
    assert list(pages.stale(all_katas())) == [], "make stubs"


def test_every_practice_problem_has_its_exercises():
    """Three problems for each of the eighteen lessons and two appendices."""
    with_problems = [kata.name for kata in PATH if kata.description.practice]
    lessons = [
        kata
        for kata in PATH
        if "01" <= kata.number <= "18" or kata.number.startswith("appendix")
    ]
    assert with_problems == [kata.name for kata in lessons]
    assert all(
        len(kata.description.practice) == 3
        for kata in PATH
        if kata.description.practice
    )


def test_every_step_of_gpt_2_has_its_exercises():
    steps = {step.step for kata in PATH for step in kata.description.gpt2}
    assert [step[:2] for step in sorted(steps)] == [
        f"{number:02}" for number in range(1, 34)
    ]


def test_the_glossary_is_sorted_and_says_where_a_term_is_taught():
    """One line a term: "**term** — what it is. [16]". Each kata of the path is named by
    some term.
    """
    entries = re.findall(r"^\*\*(.+?)\*\* — (.+)$", GLOSSARY.read_text(), re.MULTILINE)
    terms = [term.lower() for term, _ in entries]
    assert len(terms) >= 80 and terms == sorted(set(terms))
    assert all("](" in text for _, text in entries)
    named = {
        kata
        for _, text in entries
        for kata in re.findall(r"\]\((\w+)/README.md\)", text)
    }
    assert named == {kata.name for kata in PATH}


def test_every_lesson_links_to_the_glossary():
    missing = [
        kata.name
        for kata in PATH
        if "](../GLOSSARY.md)" not in (kata.folder / "README.md").read_text()
    ]
    assert not missing
