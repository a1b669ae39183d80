"""The pages that speak of all katas at once — README, coverage, glossary — hold to what the katas are."""

import re

import pytest

from grader import catalogue, progress, runner
from grader.catalogue import ROOT, all_katas
from grader.results import title

PATH = [kata for kata in all_katas() if "/" not in kata.name]
COVERAGE = ROOT / "katas" / "COVERAGE.md"
GLOSSARY = ROOT / "katas" / "GLOSSARY.md"
PAGES = [ROOT / "README.md", COVERAGE, GLOSSARY]
EXERCISES = {kata.name: {exercise.name for exercise in catalogue.exercises(kata)} for kata in PATH}


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_readme_shows_a_failure_as_it_is(tmp_path):
    sixteen = catalogue.find("16")
    before, name, after = (sixteen.folder / sixteen.file.name).read_text().partition("def split_heads")
    slip = "B, T, C = x.shape\n    return x.reshape(B, num_heads, T, C // num_heads)"
    (tmp_path / sixteen.file).parent.mkdir()
    (tmp_path / sixteen.file).write_text(before + name + after.replace("raise NotImplementedError", slip, 1))
    [result] = runner.grade([sixteen], tmp_path)
    failure = result.exercises[0].first_failure
    page = " ".join((ROOT / "README.md").read_text().split())
    assert f"FAILED split_heads · {title(failure.name)}" in page
    assert " ".join(failure.message.split()) in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert links and not missing


def test_the_readme_tells_of_every_kata():
    """Each kata's row has its chapter, title, difficulty, minutes and numbers of exercises, in the order of the path."""
    found = [row for row in rows((ROOT / "README.md").read_text()) if "](katas/" in row[1]]
    expected, before = [], ""
    for kata in PATH:
        head, exercises = progress.heading(kata), catalogue.exercises(kata)
        stretch = sum(exercise.stretch for exercise in exercises)
        label = kata.number if kata.number.isdigit() else kata.number.removeprefix("appendix_").upper()
        chapter = progress.chapter(kata)
        link = f"[{label} {head.title}](katas/{kata.name}/README.md)"
        amount = f"{len(exercises) - stretch} core, {stretch} stretch"
        expected.append([chapter if chapter != before else "", link, head.difficulty, str(head.minutes), amount])
        before = chapter
    assert found == expected


def test_every_practice_problem_has_its_exercises():
    """Three problems for each of the eighteen lessons and two appendices; what each names is an exercise of that kata."""
    found = [row for row in rows(COVERAGE.read_text().partition("\n## Reproducing")[0]) if "](" in row[0]]
    assert [re.search(r"\((\w+)/", row[0])[1] for row in found] == [
        kata.name for kata in PATH if kata.number <= "18" or kata.number.startswith("appendix")
    ]
    for row in found:
        kata = re.search(r"\((\w+)/", row[0])[1]
        assert len(row) == 4
        for cell in row[1:]:
            names = set(re.findall(r"`(\w+)`", cell.rpartition(": ")[2]))
            assert names and names <= EXERCISES[kata], f"{kata}: {cell}"


def test_every_step_of_gpt_2_has_its_exercises():
    found = [row for row in rows(COVERAGE.read_text().partition("\n## Reproducing")[2]) if "](" in row[1]]
    assert len(found) >= 30
    for step, where in found:
        for part in where.split("; "):
            kata = re.search(r"\((\w+)/", part)[1]
            names = set(re.findall(r"`(\w+)`", part.partition(") ")[2]))
            assert names and names <= EXERCISES[kata], f"{step}: {part}"


def test_the_glossary_is_sorted_and_says_where_a_term_is_taught():
    """One line a term: "**term** — what it is. [16]". Each kata of the path is named by some term."""
    entries = re.findall(r"^\*\*(.+?)\*\* — (.+)$", GLOSSARY.read_text(), re.MULTILINE)
    terms = [term.lower() for term, _ in entries]
    assert len(terms) >= 80 and terms == sorted(set(terms))
    assert all("](" in text for _, text in entries)
    named = {kata for _, text in entries for kata in re.findall(r"\]\((\w+)/README.md\)", text)}
    assert named == {kata.name for kata in PATH}


def test_every_lesson_links_to_the_glossary():
    missing = [kata.name for kata in PATH if "](../GLOSSARY.md)" not in (kata.folder / "README.md").read_text()]
    assert not missing
