"""The source of the site: every page of the repository, laid out below one folder
for Sphinx.

A text is kept once, in the repository. What is here is made anew by each build: links
as they must be in the site, and what a page has there beside its text.
"""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from grader import files
from grader.course import pages
from grader.course.catalogue import Kata, all_katas
from grader.course.handouts import notebook_path
from workshop.site import course_map, executed, glossary, home, lessons
from workshop.site.links import Places

README, GLOSSARY = "README.md", "katas/GLOSSARY.md"
INDEX, NOTEBOOK = "index.md", "notebook.md"
TRACKS = {
    "": "The path",
    "tinytorch": "TinyTorch",
    "papers": "Papers",
    "today": "Today",
    "kernels": "GPU kernels",
}
CORE = "From tensors to GPT"  # the path, on the map
NO_PAGES = ("hints.md",)  # are part of their kata's page
DRAWN = "drawn"  # the folder with the pictures of an executed notebook
FOR_LEARNERS = (
    "docs/installing.md",
    "docs/tutor.md",
    "katas/glossary.md",
    "katas/coverage.md",
)
OTHERS = "others.md"  # the one entry of who does not learn
FOR_OTHERS = (
    "docs/teaching.md",
    "docs/grading.md",
    "docs/class.md",
    "docs/handing_out.md",
    "docs/marks.md",
    "docs/security.md",
    "docs/second_lock.md",
    "docs/authoring.md",
    "docs/grader.md",
    "docs/maintaining.md",
    "docs/truth.md",
    "docs/models.md",
    "contributing.md",
    "changelog.md",
)


def lay_out(
    root: Path, folder: Path, repository: str, notebooks: Mapping[Kata, Path]
) -> Places:
    """Write the source of the site into the folder, and return where its pages are, and
    what is wrong with them.

    Args:
        root: the checkout.
        folder: has nothing but the source of the site afterwards. A file that stays the
            same is not touched.
        repository: the address of the repository's files on the web, or empty.
        notebooks: the executed notebook of each paper that gets a page with it.
    """
    katas = [kata for kata in all_katas(root) if (kata.folder / README).is_file()]
    places, texts, written = read(root, repository, notebooks)
    for kata in katas:
        place = places.pages[_lesson(kata)]
        leads_to = [one for one in katas if kata.name in course_map.before(one)]
        terms = glossary.explained(texts.get(GLOSSARY, ""), kata)
        beside = [
            one
            for one in sorted(written)
            if posixpath.dirname(one) == posixpath.dirname(place) and one != place
        ]
        written[place] = lessons.page(
            kata, written[place], place, places, leads_to, terms
        )
        written[place] += _toctree(map(posixpath.basename, beside)) if beside else ""
    if GLOSSARY in texts:
        place = places.pages[GLOSSARY]
        written[place] = glossary.page(
            written[place], place, places, {k: texts[_lesson(k)] for k in katas}
        )
    content = {
        one: (root / one).read_bytes()
        for one in places.pictures
        if (root / one).is_file()
    }
    for kata, notebook in notebooks.items():
        at = posixpath.dirname(places.pages[_lesson(kata)])
        text, pictures = executed.page(notebook, texts[_lesson(kata)], DRAWN)
        written[posixpath.join(at, NOTEBOOK)] = text
        written[posixpath.join(at, INDEX)] += _toctree(
            [f"Notebook {kata.folder.name[:2]} <{NOTEBOOK}>"]
        )
        content |= {
            posixpath.join(at, DRAWN, name): picture
            for name, picture in pictures.items()
        }
    members = {
        track: [kata for kata in katas if kata.name.rpartition("/")[0] == track]
        for track in TRACKS
    }
    _add_front_pages(
        written,
        members,
        places.rewritten(texts[README], README, _index("")),
        repository,
    )
    content |= {place: text.encode() for place, text in written.items()}
    for place, one in content.items():
        _write(folder / place, one)
    _remove_others(folder, set(content))
    return places


def read(
    root: Path, repository: str = "", notebooks: Iterable[Kata] = ()
) -> tuple[Places, dict[str, str], dict[str, str]]:
    """Where the pages of the checkout are in the site, with what is wrong with them;
    their texts by their paths in the repository; and these texts with the site's links,
    by their paths in the site's source.
    """
    places = Places(root, _pages(root, notebooks), repository)
    texts = {
        source: (root / source).read_text("utf-8")
        for source in places.pages
        if source.endswith(".md")
    }
    for source, text in texts.items():
        places.check_headings(text, source)
    return (
        places,
        texts,
        {
            places.pages[one]: places.rewritten(text, one, places.pages[one])
            for one, text in texts.items()
        },
    )


def _add_front_pages(
    written: dict[str, str],
    members: dict[str, list[Kata]],
    readme: str,
    repository: str,
) -> None:
    """The page of the core path, made of the README, and on the front pages the map and
    the lists of pages.
    """
    written[_index("")] = home.path_page(readme)
    tracks = [track for track in members if _index(track) in written]
    for track in tracks:
        entries = [
            f"{_short(kata)} <{kata.folder.name}/{INDEX}>" for kata in members[track]
        ]
        beside = [
            one
            for one in sorted(written)
            if posixpath.dirname(one) == posixpath.dirname(_index(track))
        ]
        entries += [
            posixpath.basename(one)
            for one in beside
            if one not in (_index(track), *FOR_LEARNERS)
        ]
        written[_index(track)] += _toctree(entries)
    named = {TRACKS[track] if track else CORE: members[track] for track in tracks}
    written[INDEX] = home.page(
        written[INDEX], named, lambda kata: f"katas/{kata.name}/index.html", repository
    )
    others = [one for one in FOR_OTHERS if one in written]
    listed = "\n".join(
        f"- [{written[one].partition(chr(10))[0].removeprefix('# ')}]({one})"
        for one in others
    )
    written[OTHERS] = f"# Teach, write, maintain\n\n{listed}\n{_toctree(others)}"
    learn = [one for one in FOR_LEARNERS if one in written]
    written[INDEX] += _toctree(
        [*(f"{TRACKS[track]} <{_index(track)}>" for track in tracks), *learn, OTHERS]
    )


def _pages(root: Path, notebooks: Iterable[Kata]) -> dict[str, str]:
    """The pages of the site: the path of each in the repository, and in the
    site's source.
    """
    found = [
        root / README,
        root / "CONTRIBUTING.md",
        root / "CHANGELOG.md",
        *(root / "docs").glob("*.md"),
    ]
    found += [
        path for path in (root / "katas").rglob("*.md") if path.name not in NO_PAGES
    ]
    found += [notebook_path(kata) for kata in notebooks]
    names = [path.relative_to(root).as_posix() for path in found if path.is_file()]
    return {name: _place(name) for name in sorted(names)}


def _place(source: str) -> str:
    """The path of a page in the site's source: a folder's README.md is its index."""
    folder, name = posixpath.split(source)
    if name == README:
        return posixpath.join(folder, INDEX)
    if name.endswith(".ipynb"):
        return posixpath.join(folder, NOTEBOOK)
    return posixpath.join(folder, name.lower())


def _index(track: str) -> str:
    """The page of a track."""
    return posixpath.normpath(posixpath.join("katas", track, INDEX))


def _lesson(kata: Kata) -> str:
    return f"katas/{kata.name}/{README}"


def _short(kata: Kata) -> str:
    """Number and title, for a list of one track's katas."""
    return f"{pages.label(kata).rpartition('/')[2]} {kata.title}"


def _toctree(entries: Iterable[str]) -> str:
    """What makes Sphinx list these pages, and put them in this order."""
    return "\n".join(["", "```{toctree}", ":hidden:", "", *entries, "```", ""])


def _write(path: Path, content: bytes) -> None:
    """Write a file, unless it has this content already: Sphinx reads anew what is newer
    than its last build.
    """
    if not path.is_file() or path.read_bytes() != content:
        files.write(path, content)


def _remove_others(folder: Path, kept: set[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in kept:
            path.unlink()
