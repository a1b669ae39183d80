"""The command `tutor`: an MCP server on standard input and output."""

from grader.cli.app import app
from grader.course.catalogue import ROOT
from grader.errors import KataError


@app.command()
def tutor() -> None:
    """Serve the katas to an assistant, which can ask for what helps you and for
    no solution.

    It is an MCP server on standard input and output: an assistant starts it,
    see docs/tutor.md.
    """
    try:
        from grader.tutor import server
    except ModuleNotFoundError as error:
        if error.name != "mcp":
            raise
        raise KataError(
            "kata tutor needs another package: pip install 'mcp>=2.3,<3'"
        ) from None
    server.serving(ROOT).run("stdio")
