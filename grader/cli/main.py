"""Entry point of the `kata` command. Prints an expected error as one line on standard error and exits with code 2."""

import io
import signal
import sys
import traceback

from grader.cli import learner  # noqa: F401  (registers its commands, which the help lists first)

# isort: split
from grader.cli import author, export, grade, regrade  # noqa: F401  (each registers its commands)
from grader.cli.app import app
from grader.errors import KataError


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except KataError as error:
        print(f"kata: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:  # an error of the grader itself: Python's own exit code, 1, means a low score here
        traceback.print_exc()
        print("kata: this is an error of the grader, not of the graded code", file=sys.stderr)
        sys.exit(2)
