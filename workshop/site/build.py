"""Builds the site with Sphinx, and refuses one with a broken link, or one that asks
another host for anything.
"""

import io
import posixpath
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from urllib.parse import unquote

from sphinx.application import Sphinx
from sphinx.util.console import strip_colors
from sphinx.util.docutils import docutils_namespace, patch_docutils

from grader.course.catalogue import all_katas
from workshop.site import executed, tree

STATIC = Path(__file__).parent / "static"
SETTINGS = {
    "project": "torch katas",
    "copyright": "the authors of torch katas, MIT License",
    "html_title": "torch katas",
    "language": "en",
    "extensions": ["myst_parser"],
    "myst_heading_anchors": 4,
    "myst_html_meta": {"description": metadata("torch-katas")["Summary"]},
    "nitpicky": True,
    # such a block is shown without colours
    "suppress_warnings": ["misc.highlighting_failure"],
    "highlight_language": "text",  # of a block that names none
    "html_theme": "furo",
    "html_static_path": [str(STATIC)],
    "html_css_files": ["site.css"],
    "html_js_files": [("site.js", {"defer": "defer"})],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_sphinx": False,
}
LOCAL = re.compile(r'\s(?:href|src)="([^"]*)"')
ANCHOR = re.compile(r'\sid="([^"]*)"')
LOADED = re.compile(
    r"<(?:script|img|iframe|audio|video|source|embed|link|object|use|"
    r"image)\b[^>]*?\b(?:src|srcset|href|data)="
    r'"((?:https?:)?//[^"]*)'
    r"|(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]*)",
    re.IGNORECASE,
)
NO_ALT = re.compile(r'<img\b(?![^>]*\salt="[^"])')
NAMESPACE = "http://www.w3.org/"
SCHEME = re.compile(r"[a-z]+:|//")


def build(
    root: Path, folder: Path, repository: str = "", with_notebooks: bool = True
) -> list[str]:
    """Build the site of the checkout at `root`, and return what is wrong, a line for
    each finding.

    Args:
        folder: gets the pages, in `site/`, and what makes the next build quick.
        repository: the address of the repository's files on the web. Without it, links
            to code are plain text.
        with_notebooks: whether the papers' notebooks are executed and become pages.
    Raises:
        CellExecutionError: a notebook failed.
    """
    folder = folder.resolve()
    papers = (
        [kata for kata in all_katas(root) if kata.description.paper]
        if with_notebooks
        else []
    )
    notebooks = executed.run(papers, folder / "notebooks")
    places = tree.lay_out(root, folder / "source", repository, notebooks)
    if places.problems:
        return list(places.problems)
    said = io.StringIO()
    made, read = folder / "site", folder / "read"
    shutil.rmtree(made, ignore_errors=True)
    source = folder / "source"
    with patch_docutils(), docutils_namespace():
        sphinx = Sphinx(
            source,
            None,
            made,
            read,
            "html",
            SETTINGS,
            status=None,
            warning=said,
            parallel=2,
        )
        # reads what has changed, and writes every page: each has a list of all
        sphinx.build(force_all=True)
    sources = {str(source / place): page for page, place in places.pages.items()}
    problems = [
        _in_the_repository(line, sources)
        for line in strip_colors(said.getvalue()).splitlines()
        if line
    ]
    problems = problems or [
        *_broken(made),
        *_without_alt(made),
        *_from_other_hosts(made),
    ]
    if problems:  # Sphinx says again only what is wrong with pages that it reads again
        shutil.rmtree(read)
    return problems


def _in_the_repository(line: str, sources: dict[str, str]) -> str:
    """The line of Sphinx with the page's path in the repository. Its line numbers are
    those of the site's source.
    """
    for place, source in sources.items():
        if line.startswith(place):
            line = source + re.sub(r"^:\d+", "", line.removeprefix(place))
    return line


def _broken(made: Path) -> Iterator[str]:
    """A line for each link of a page to a file, or to a place in one, that is
    not there.
    """
    texts = {
        path.relative_to(made).as_posix(): path.read_text("utf-8")
        for path in made.rglob("*.html")
    }
    anchors = {page: {"", *ANCHOR.findall(text)} for page, text in texts.items()}
    for page, text in sorted(texts.items()):
        for link in sorted(set(LOCAL.findall(text))):
            path, _, anchor = link.partition("#")
            path = unquote(path.partition("?")[0])
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
                if path
                else page
            )
            if SCHEME.match(link) or (
                target in anchors and unquote(anchor) in anchors[target]
            ):
                continue
            if target in anchors or not (made / target).is_file():
                yield f"{page}: the link to {link} leads nowhere"


def _without_alt(made: Path) -> Iterator[str]:
    """A line for each page with a picture that has no alt text, such as one written
    as HTML.
    """
    for path in sorted(made.rglob("*.html")):
        if NO_ALT.search(path.read_text("utf-8")):
            yield f"{path.relative_to(made)}: a picture has no alt text"


def _from_other_hosts(made: Path) -> Iterator[str]:
    """A line for each thing that a page, a style sheet or a picture loads from
    another host.
    """
    for path in sorted(made.rglob("*")):
        if path.suffix in (".html", ".css", ".js", ".svg"):
            for first, second in LOADED.findall(path.read_text("utf-8")):
                if not (first or second).startswith(NAMESPACE):
                    yield f"{path.relative_to(made)}: loads {first or second}"
