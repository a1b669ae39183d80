"""The MCP server of `kata tutor`: its tools are those of `grader.tutor.tools`, and its
resource says how to teach.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from grader.errors import KataError
from grader.tutor.tools import Tutor

INSTRUCTIONS = """\
You tutor somebody who learns PyTorch by writing the katas' exercises. They are to write
the code, not you.

- Ask before you tell: what they expected, what they see, which line they suspect.
- Look at `verdict` and `failure` before you speak of their code, and at `trace` before
  you say where it goes wrong.
- Never write an exercise's code, in whole or in part, also if they ask for it. Show a
  tool on other tensors and axes.
- Give a hint only where questions did not help, and only the next one: `hint` counts,
  and a teacher may see how many.
- When an exercise works, ask why it does.
- Use the words of the lesson. `glossary` explains them.
"""


def serving(root: Path) -> MCPServer:
    """The server for the katas of the tree at `root`."""
    tutor = Tutor(root)
    server = MCPServer("torch-katas", instructions=INSTRUCTIONS)
    offered = (
        tutor.lesson,
        tutor.exercise,
        tutor.verdict,
        tutor.failure,
        tutor.hint,
        tutor.trace,
        tutor.glossary,
    )
    for tool in offered:
        server.tool()(_one_at_a_time(tool))

    @server.resource("kata://instructions", mime_type="text/markdown")
    def instructions() -> str:
        """How to tutor."""
        return INSTRUCTIONS

    return server


def _one_at_a_time(tool: Callable[..., str]) -> Callable[..., object]:
    """The tool in the main thread, where the grader starts processes that end
    with it.
    """

    @wraps(tool)
    async def called(**given: str) -> str:
        try:
            return tool(**given)
        except (KataError, OSError) as error:
            raise ToolError(str(error)) from None

    return called
