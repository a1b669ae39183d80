"""`python -m tests.bench.tutored`: a learner's hour with an assistant, as docs/tutor.md
shows it.

Sixteen calls with MCP's own client, in a folder that `kata start` lays out. What the
learner writes meanwhile is given.
"""

import asyncio
import tempfile
from pathlib import Path

from mcp import Client, StdioServerParameters, stdio_client

from grader.course.catalogue import Kata, find
from grader.learner import workspace
from tests.conftest import KATA

LINES = 10  # of an answer that are shown
SPLIT, MERGE = (
    {"kata": "16", "exercise": "split_heads"},
    {"kata": "16", "exercise": "merge_heads"},
)
WRONG = "    B, T, C = x.shape\n    return x.reshape(B, num_heads, T, C // num_heads)\n"
RIGHT = (
    "    B, T, C = x.shape\n    heads = x.reshape(B, T, num_heads, C // num_heads)\n"
    "    return heads.transpose(1, 2)\n"
)
# A call, or what the learner writes for split_heads.
SESSION: list[tuple[str, dict[str, str]] | str] = [
    ("lesson", {"kata": "16"}),
    ("exercise", {"kata": "16"}),
    ("verdict", {"kata": "16"}),
    ("trace", SPLIT),
    WRONG,
    ("verdict", {"kata": "16"}),
    ("failure", SPLIT),
    ("trace", SPLIT),
    ("glossary", {"term": "head"}),
    ("hint", SPLIT),
    ("hint", SPLIT),
    RIGHT,
    ("failure", SPLIT),
    ("exercise", {"kata": "16"}),
    ("failure", {"kata": "16"}),
    ("hint", MERGE),
    ("hint", MERGE),
    ("hint", MERGE),
]


def shown(answer: str) -> str:
    lines = answer.splitlines()
    more = [f"… {len(lines) - LINES} more lines"] * (len(lines) > LINES)
    return "\n".join(f"    {line}".rstrip() for line in lines[:LINES] + more)


async def hold(room: Path) -> None:
    """Print the session."""
    kata = Kata(room, find("16").name)
    stub = kata.code.read_text(encoding="utf-8")
    async with Client(
        stdio_client(StdioServerParameters(command=KATA, args=["tutor"], cwd=room))
    ) as client:
        for step in SESSION:
            if isinstance(step, str):
                kata.code.write_text(
                    stub.replace("    raise NotImplementedError\n", step, 1),
                    encoding="utf-8",
                )
                print(f"The learner writes:\n\n{shown(step)}\n")
                continue
            tool, given = step
            answer = await client.call_tool(tool, given)
            said = ", ".join(f'{name}="{value}"' for name, value in given.items())
            print(
                f"**{tool}**({said}){' is refused' * bool(answer.is_error)}\n\n"
                f"{shown(answer.content[0].text)}\n"
            )
    print(
        "In the end, `.kata/hints.json` says:\n\n"
        f"{shown((room / '.kata/hints.json').read_text())}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        workspace.start(Path(folder, "room"), None, print)
        asyncio.run(hold(Path(folder, "room")))
