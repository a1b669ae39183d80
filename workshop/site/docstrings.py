"""Turns the docstring of an exercise into Markdown: paragraphs, lists of arguments,
formulas in blocks of code.
"""

import inspect
import re
import textwrap

TITLE = re.compile(
    r"^((?:Args|Attributes|Returns|Raises)\b(?: of `\w+`)?):$|^(Edge cases ★)$",
    re.MULTILINE,
)
ENTRY = re.compile(r"^(?=\S)([^:`]+): ", re.MULTILINE)
SPECIAL = re.compile(r"(`+[^`]+`+)|[*_<\[\]\\~^{|]|^[#>+=](?= )", re.MULTILINE)
# a formula or a table: Markdown shows what is indented like this as code
BLOCK = " " * 4


def markdown(docstring: str) -> str:
    """The docstring's text as Markdown."""
    found, title = [], ""
    text = TITLE.sub(lambda match: f"\n{match[0]}\n", inspect.cleandoc(docstring))
    for part in re.split(r"\n\s*\n(?= *\S)", text.strip("\n")):
        part = part.strip("\n")
        if match := TITLE.fullmatch(part):
            title = match[1] or match[2]
            found.append(f"**{title}**")
            continue
        if not part.startswith(" "):
            title = ""
        body = re.sub(f"^{BLOCK}", "", part, flags=re.MULTILINE) if title else part
        if body.startswith(BLOCK):
            found.append(body)
        elif title.startswith(("Args", "Attributes", "Raises")):
            found.append(_entries(body))
        else:
            found.append(_escaped(_listed(body)))
    return "\n\n".join(found)


def _entries(body: str) -> str:
    """The lines "name: text" as a list. What is indented below an entry belongs
    to it.
    """
    items = re.split(r"\n(?=\S)", body)
    return "\n".join(f"- {_entry(' '.join(item.split()))}" for item in items)


def _entry(item: str) -> str:
    name, colon, text = item.partition(": ")
    return (
        f"`{name}`: {_escaped(text)}" if colon and "`" not in name else _escaped(item)
    )


def _listed(body: str) -> str:
    """The paragraph, with the lines that are indented after a colon as a list."""
    before, colon, rest = body.partition(":\n" + BLOCK)
    if not colon:
        return body
    items = re.split(r"\n(?=\S)", textwrap.dedent(BLOCK + rest))
    return "\n".join(
        [f"{before}:", "", *(f"- {' '.join(item.split())}" for item in items)]
    )


def _escaped(text: str) -> str:
    """The text with the signs that Markdown reads otherwise escaped, except in code."""
    return SPECIAL.sub(lambda match: match[1] or "\\" + match[0], text)
