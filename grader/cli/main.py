"""Entry point of the `kata` command. Prints an expected error as one line on standard
error and exits with code 2.
"""

import io
import os
import signal
import sys
import traceback
from typing import NoReturn

from grader import printable
from grader.errors import BrokenAccommodations, KataError


def main() -> None:
    """Run the command line. What a command needs is imported in here, so that Ctrl-C
    may come at any time.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        _open_standard_streams()
        _check_surroundings()
        from grader.cli.commands import program

        try:
            program()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # the reader of the pipe has enough, as in `kata list | head -1`
        _discard_output()
        sys.exit(1)
    except BrokenAccommodations as error:
        _fail(*str(error).splitlines())
    except KataError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}")
        _discard_output()  # which may be what cannot be written
        _fail(error.strerror or str(error))
    except Exception:
        # an error of the grader itself: Python's own exit code, 1, means a low
        # score here
        traceback.print_exc()
        _fail("this is an error of the grader, not of the graded code")


def _fail(*reasons: str) -> NoReturn:
    print(
        *(f"kata: {printable.line(reason)}" for reason in reasons),
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(2)


def _end(*_: object) -> None:
    """End as Ctrl-C does, also where that is ignored: a shell's background job
    ignores it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def _open_standard_streams() -> None:
    """Open what the caller has closed, as `kata list <&-` does. Otherwise another file
    would get its number.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _check_surroundings() -> None:
    # as terminals without a size set it; rich would print lines of no width
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]
    if "" in sys.argv[1:]:  # a folder "" would be the current one
        raise KataError(
            'an argument is empty: is a variable unset, as in kata class "$CLASS"?'
        )
    try:
        os.getcwd()
    except FileNotFoundError:
        raise KataError(
            "the current folder no longer exists: cd to another one"
        ) from None


def _discard_output() -> None:
    """Let Python's last flush, when the process ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
