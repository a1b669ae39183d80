"""The web site: what becomes of a page, and what stops the build."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from grader.course.catalogue import ROOT, Kata, all_katas, find
from tests.conftest import SOUND
from workshop.site import build, course_map, executed, glossary, tree
from workshop.site.docstrings import markdown
from workshop.site.links import Places

README = """# A course

Two katas.

## The path

| chapter | katas | minutes |
| --- | --- | --- |
| tensors | [01](katas/01_sums/README.md), [02](katas/02_reuse/README.md) | 20 |

## Where to go on
Home.
"""
PAGE, ON = "katas/01_sums/README.md", "../02_reuse/README.md"


@pytest.fixture
def course(tmp_path) -> Path:
    """A course of two katas."""
    shutil.copytree(SOUND, tmp_path / "course")
    (tmp_path / "course" / "README.md").write_text(README)
    return tmp_path / "course"


def with_line(course: Path, line: str) -> Path:
    """The course with this line in the lesson of its first kata."""
    page = course / PAGE
    page.write_text(page.read_text().replace("Nothing more than sums.", line))
    return course


def source(course: Path, place: str, repository: str = "") -> str:
    """A page in the source of the site."""
    places = tree.lay_out(course, course / "build", repository, {})
    assert not places.problems
    return (course / "build" / place).read_text()


def test_the_course_becomes_pages(course, tmp_path):
    with_line(course, "New terms are in the [glossary](../GLOSSARY.md).")
    (course / "katas/02_reuse/MORE.md").write_text("# More of it\n")
    assert build.build(course, tmp_path / "build") == []
    made = tmp_path / "build" / "site"
    lesson = (made / "katas/01_sums/index.html").read_text()
    assert "<summary>Hint 3</summary>" in lesson and "Twice x, of any shape." in lesson
    assert 'href="../02_reuse/index.html"' in lesson.partition("What builds on it")[2]
    assert 'href="../glossary.html#term-double"' in lesson
    assert 'href="../02_reuse/index.html"' in lesson.partition('class="next-page"')[2]
    assert 'alt="A line" src="../../_images/figure' in lesson
    assert (
        'href="katas/02_reuse/index.html"'
        in (made / "index.html").read_text().partition("course-map wide")[2]
    )
    assert "double" in (made / "searchindex.js").read_text()
    assert (made / "katas/02_reuse/more.html").is_file()


@pytest.mark.parametrize(
    "line, said",
    [
        (
            "[on](../03_gone/README.md)",
            f"{PAGE}:9: [on](../03_gone/README.md): the link leads nowhere",
        ),
        (
            "![a line](gone.png)",
            f"{PAGE}:9: [a line](gone.png): there is no such picture",
        ),
        ("![](figure.png)", f"{PAGE}:9: [](figure.png): the picture has no alt text"),
        (
            f"[on]({ON}#gone)",
            (
                f"{PAGE}:9: [on]({ON}#gone): no heading of katas/02_reuse/README.md "
                "has this anchor"
            ),
        ),
        ("[on](#lost)", f"{PAGE}:9: [on](#lost): no heading of {PAGE} has this anchor"),
        (
            "#### Deep",
            (
                f"{PAGE}:9: #### Deep: a heading of level 4 must follow one of level "
                "3, not 2"
            ),
        ),
    ],
)
def test_what_is_missing_is_one_line_with_the_page(course, tmp_path, line, said):
    assert build.build(with_line(course, line), tmp_path / "build") == [said]


IN_HTML = {
    '<a href="gone.html">on</a>': (
        "katas/01_sums/index.html: the link to gone.html leads nowhere"
    ),
    '<img src="../../_static/file.png">': (
        "katas/01_sums/index.html: a picture has no alt text"
    ),
    '<img alt="spy" src="https://example.org/1.png">': (
        "katas/01_sums/index.html: loads https://example.org/1.png"
    ),
}


def test_what_only_the_built_pages_show_is_one_line_with_the_page_in_each_build(
    course, tmp_path
):
    with_line(course, "\n\n".join(IN_HTML))
    for _ in range(2):
        assert build.build(course, tmp_path / "build") == list(IN_HTML.values())


@pytest.fixture(scope="module")
def this_course(tmp_path_factory) -> tuple[Places, Path]:
    """The source of this course's site, without notebooks."""
    folder = tmp_path_factory.mktemp("source")
    return tree.lay_out(ROOT, folder, "", {}), folder


def test_every_kata_of_this_course_has_its_page(this_course):
    _, folder = this_course
    assert all(
        (folder / f"katas/{kata.name}/index.md").is_file() for kata in all_katas()
    )


def test_links_to_files_that_are_no_pages(course):
    with_line(
        course,
        "[sums.py](sums.py), [the specs of `sums`](test_sums.py), [all](../01_sums), "
        "`[x](y)`",
    )
    assert "`sums.py`, the specs of `sums`, [all](index.md), `[x](y)`" in source(
        course, "katas/01_sums/index.md"
    )
    with_address = source(
        course, "katas/01_sums/index.md", "https://example.org/blob/main"
    )
    assert (
        "[sums.py](https://example.org/blob/main/katas/01_sums/sums.py)" in with_address
    )


def test_the_start_has_the_address_of_the_repository(course):
    line = "In a clone of this repository, or an unpacked ZIP:\n"
    readme = README.replace("## The path", f"## Start\n\n{line}\n## The path")
    (course / "README.md").write_text(readme)
    (course / "docs").mkdir()
    (course / "docs/installing.md").write_text("# Install a release\n")
    assert line in source(course, "index.md")
    page = source(course, "index.md", "https://github.com/who/katas/blob/main")
    assert (
        "After `git clone https://github.com/who/katas.git`, or in an unpacked ZIP:\n"
        in page
    )
    assert "[install it](docs/installing.md)" in page
    assert (
        'href="https://codespaces.new/who/katas">Open in Codespaces</a>'
        in page.partition("```")[0]
    )
    assert "codespaces" not in source(
        course, "index.md", "https://example.org/who/katas/blob/main"
    )


def test_who_learns_sees_one_entry_for_all_others(course):
    (course / "CHANGELOG.md").write_text("# Changelog\n")
    listed = source(course, "index.md").rpartition("{toctree}")[2]
    assert "others.md" in listed and "changelog.md" not in listed
    assert "- [Changelog](changelog.md)" in source(course, "others.md")


def test_code_is_left_as_it_is(tmp_path):
    text = "```python\nf[0](x)\n```\n`a[1](b)` and ``c`[2](d)``\n"
    places = Places(tmp_path, {"README.md": "index.md"})
    assert (
        places.rewritten(text, "README.md", "index.md") == text and not places.problems
    )


def test_a_file_that_stays_the_same_is_not_written_again(course, tmp_path):
    tree.lay_out(course, tmp_path / "source", "", {})
    (tmp_path / "source" / "left.md").write_text("of an earlier build")
    page = tmp_path / "source/katas/01_sums/index.md"
    before = page.stat().st_mtime_ns
    tree.lay_out(course, tmp_path / "source", "", {})
    assert (
        page.stat().st_mtime_ns == before
        and not (tmp_path / "source" / "left.md").exists()
    )


def test_a_docstring_becomes_paragraphs_lists_and_blocks():
    found = markdown(
        """Add up x*y_.

        Args:
            x, y: (B, T) and
                (T,).
            dim: the `a_b` one.
        Returns:
            (B,):

                y[b] = Σ x[b]

        Gradients reach x.

        Edge cases ★
            An empty x is 0.
        """
    )
    assert found.split("\n\n") == [
        r"Add up x\*y\_.",
        "**Args**",
        "- `x, y`: (B, T) and (T,).\n- `dim`: the `a_b` one.",
        "**Returns**",
        "(B,):",
        "    y[b] = Σ x[b]",
        "Gradients reach x.",
        "**Edge cases ★**",
        "An empty x is 0.",
    ]


def test_each_exercise_of_a_class_is_shown_with_its_method(this_course):
    places, folder = this_course
    text = (
        folder / places.pages["katas/16_multi_head_attention/README.md"]
    ).read_text()
    forward = text.partition("### `MultiHeadAttention.forward`")[2].partition("\n### ")[
        0
    ]
    assert (
        "def forward(" in forward
        and "def __init__" not in forward
        and "raise NotImplementedError" not in text
    )
    assert text.count("class MultiHeadAttention(nn.Module):") == 1
    assert text.count("<summary>Hint ") == 27


def test_the_map_has_a_link_for_each_kata_and_a_line_for_what_it_builds_on_directly():
    katas = [find("15"), find("16"), find("17"), find("papers/13")]
    drawn = course_map.drawn(
        {"The path": katas}, 2, lambda kata: f"{kata.name}.html", "wide"
    )
    assert drawn.count("<a ") == 4 and 'href="16_multi_head_attention.html"' in drawn
    pairs = {(name, kata.number) for kata in katas for name in course_map.direct(kata)}
    assert ("15_scaled_dot_product_attention", "16") in pairs
    assert not any(
        kata == "papers/13" and name.startswith(("15", "16", "17"))
        for name, kata in pairs
    )


def test_the_glossary_lists_the_lessons_that_use_a_term(course):
    text = "# Glossary\n\n**sum** — all together. [01](01_sums/README.md)\n"
    places = Places(course, {"katas/01_sums/README.md": "katas/01_sums/index.md"})
    lessons = {
        Kata(course, "01_sums"): "Two sums.\n",
        Kata(course, "02_reuse"): "A summary, `sum`\n",
    }
    found = glossary.page(text, "katas/glossary.md", places, lessons)
    assert "in 1 lesson" in found and "[01](01_sums/index.md)" in found


def test_an_executed_notebook_shows_what_its_cells_printed_and_drew(tmp_path):
    picture = new_output(
        "display_data", {"image/png": "cGl4ZWxz", "text/plain": "Picture"}
    )
    printed = new_output("stream", text="\x1b[31m```\n")
    cells = [
        new_markdown_cell("# 01 · Halves"),
        new_code_cell("show()", outputs=[printed, picture]),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "one.ipynb")
    text, pictures = executed.page(
        tmp_path / "one.ipynb", "![a line](figure.png)", "drawn"
    )
    assert (
        "# Notebook 01 · Halves\n\n```python\nshow()\n```\n\n````{code-block} text"
        in text
    )
    assert "![a line](drawn/1.png)" in text and pictures == {"1.png": b"pixels"}
