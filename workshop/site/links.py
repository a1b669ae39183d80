"""Turns the links of one of the repository's pages into links of the site, and finds
those that lead nowhere.
"""

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

CODE = r"^(?P<fence>`{3,}).*?^(?P=fence)[ \t]*$|(?P<ticks>`+)(?:(?!\n\n).)+?(?P=ticks)"
TEXT = r"(?:[^\[\]]|\[[^\[\]]*\])*"  # of a link; a picture may be in it
LINK = re.compile(
    rf"{CODE}|(?P<image>!?)\[(?P<text>{TEXT})\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(
    rf"{CODE}|^(?P<level>#+) +(?P<title>[^\n]+)$", re.MULTILINE | re.DOTALL
)
LINKED = re.compile(rf"\[({TEXT})\]\([^()\s]+\)")
ELSEWHERE = re.compile(r"[a-z]+:")  # another site


@dataclass
class Places:
    """Where the pages of the checkout at `root` are in the site. All paths are
    relative, with slashes.

    Attributes:
        pages: from the path of a page in the repository to its path in the
            site's source.
        repository: the address of the repository's files on the web; empty if it is
            not known.
        pictures: the pictures that the pages show, filled by `rewritten`.
        problems: a line for each link, picture or heading that is wrong, filled by
            `rewritten` and `check_headings`.
    """

    root: Path
    pages: dict[str, str]
    repository: str = ""
    pictures: set[str] = field(default_factory=set)
    problems: dict[str, None] = field(default_factory=dict)

    def link(self, page: str, source: str) -> str:
        """The link from a page of the site to what the repository has at `source`."""
        return posixpath.relpath(self.pages[source], posixpath.dirname(page))

    def rewritten(self, text: str, source: str, page: str) -> str:
        """The text of the page at `source` with its links as they must be at `page` in
        the site.
        """

        def replaced(match: re.Match[str]) -> str:
            if not match["target"]:
                return match[0]
            line = text.count("\n", 0, match.start()) + 1
            where = (
                f"{source}:{line}: "
                f"[{' '.join(match['text'].split())[:60]}]({match['target']})"
            )
            if match["image"]:
                return self._picture(match, where, source, page)
            return self._link(match, where, source, page)

        return LINK.sub(replaced, text)

    def check_headings(self, text: str, source: str) -> None:
        """Note each heading more than one level below the heading before it: MyST
        refuses such a page.
        """
        above = 0
        for match in _headings(text):
            level = len(match["level"])
            if level > above + 1:
                line = text.count("\n", 0, match.start()) + 1
                said = (
                    f"a heading of level {level} must follow one of level "
                    f"{level - 1}, not {above or 'the start'}"
                )
                self.problems[f"{source}:{line}: {match[0]}: {said}"] = None
            above = level

    def _picture(self, match: re.Match[str], where: str, source: str, page: str) -> str:
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(source), match["target"])
        )
        if not (self.root / target).is_file():
            self.problems[f"{where}: there is no such picture"] = None
        elif not match["text"].strip():
            self.problems[f"{where}: the picture has no alt text"] = None
        self.pictures.add(target)
        return (
            f"![{match['text']}]({posixpath.relpath(target, posixpath.dirname(page))})"
        )

    def _link(self, match: re.Match[str], where: str, source: str, page: str) -> str:
        text, target = self.rewritten(match["text"], source, page), match["target"]
        if ELSEWHERE.match(target):
            return f"[{text}]({target})"
        path, hash_sign, anchor = target.partition("#")
        found = (
            posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
            if path
            else source
        )
        for one in (found, posixpath.join(found, "README.md")):
            if one in self.pages:
                if anchor and anchor not in anchors(
                    (self.root / one).read_text("utf-8")
                ):
                    self.problems[f"{where}: no heading of {one} has this anchor"] = (
                        None
                    )
                return (
                    f"[{text}]({self.link(page, one) if path else ''}{hash_sign}"
                    f"{anchor})"
                )
        if found.startswith("..") or not (self.root / found).exists():
            self.problems[f"{where}: the link leads nowhere"] = None
        if self.repository:
            return f"[{text}]({self.repository}/{found})"
        return text if "`" in text or " " in text else f"`{text}`"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub and MyST give a page's headings."""
    titles = [LINKED.sub(r"\1", match["title"]) for match in _headings(text)]
    return {
        re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        for title in titles
    }


def _headings(text: str) -> list[re.Match[str]]:
    return [match for match in HEADING.finditer(text) if match["level"]]
