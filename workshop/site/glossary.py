"""The glossary's page: its terms as anchors, each with the lessons that use it."""

import re
from collections.abc import Mapping

from grader.course import pages
from grader.course.catalogue import Kata
from workshop.site.links import CODE, Places

ENTRY = re.compile(r"^\*\*(?P<term>.+?)\*\* — (?P<text>.+)\n+", re.MULTILINE)
UNREAD = re.compile(CODE, re.MULTILINE | re.DOTALL)


def terms(text: str) -> dict[str, str]:
    """The glossary's terms, each with its text, which ends with links to the katas that
    explain it.
    """
    return {match["term"]: match["text"] for match in ENTRY.finditer(text + "\n")}


def explained(text: str, kata: Kata) -> list[str]:
    """The terms that this kata explains, by the glossary's text as it is in
    the repository.
    """
    return [
        term
        for term, said in terms(text).items()
        if f"]({kata.name}/README.md)" in said
    ]


def page(text: str, place: str, places: Places, lessons: Mapping[Kata, str]) -> str:
    """The glossary's text for the site.

    Args:
        text: the glossary, with links as they are in the site.
        lessons: the text of each kata's lesson.
    """
    prose = {kata: UNREAD.sub(" ", lesson) for kata, lesson in lessons.items()}
    found = [text[: next(ENTRY.finditer(text)).start()], "```{glossary}"]
    for term, said in terms(text).items():
        word = re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", re.IGNORECASE)
        using = [kata for kata, lesson in prose.items() if word.search(lesson)]
        linked = ", ".join(_numbered(kata, place, places) for kata in using)
        found += [term, f"  {said}", ""]
        if using:
            found += [
                f"  <details><summary>{_counted(len(using))}</summary>",
                "",
                f"  {linked}",
            ]
            found += ["", "  </details>", ""]
    return "\n".join([*found, "```", ""])


def _counted(lessons: int) -> str:
    return f"in {lessons} lesson{'s' if lessons > 1 else ''}"


def _numbered(kata: Kata, place: str, places: Places) -> str:
    return (
        f"[{pages.label(kata)}]({places.link(place, f'katas/{kata.name}/README.md')})"
    )
