"""Errors that a person can fix. The command line prints the message as one line and
exits with code 2.

KataError
├── UnknownKata         no kata, or more than one, matches a name
├── UnknownExercise     the kata has no exercise of that name
├── BrokenDescription   a kata.toml is invalid
├── MisplacedSpecs      a file with a teacher's specs is where nothing reads it
├── LoadFailure         a code file cannot be imported; the exception it raised is
                        the `__cause__`
│   └── Unreadable      what was handed in cannot be read, so nobody knows what is in it
├── NotANotebook        a file is not a notebook of a kata
├── DownloadFailure     a data set cannot be downloaded
├── NotPossible         a command does not apply here: there is no reference, or nothing
                        to undo
├── NoSubmissions       a folder cannot be graded as a class
├── BrokenRules         a course's rules for points are invalid
├── BrokenRoster        a course's list of students is invalid
├── BrokenOverrides     a teacher's list of overrides is invalid
├── ExportFailure       a repository cannot be exported
└── ClusterUnavailable  a cluster engine cannot be used
"""

import difflib

from grader.failure import Failure, Kind


class KataError(Exception):
    """An error that a person can fix. The message is one line: what is wrong, and what
    to do about it.
    """


class UnknownKata(KataError):
    """No kata, or more than one, matches a name."""


class UnknownExercise(KataError):
    """The kata has no exercise of that name."""

    def __init__(self, kata: str, exercise: str, known: list[str]):
        near = "".join(difflib.get_close_matches(exercise, known, n=1))
        meant = f"did you mean {near}? It has" if near else "it has"
        super().__init__(
            f"{kata} has no exercise '{exercise}': {meant} {', '.join(known)}"
        )


class BrokenDescription(KataError):
    """A kata.toml is invalid."""


class MisplacedSpecs(KataError):
    """A file with a teacher's specs is where nothing reads it."""


class LoadFailure(KataError):
    """A code file cannot be imported: `failure` says why, and the message its line.
    `__cause__` is what it raised.
    """

    def __init__(self, why: str | Failure, kind: Kind = "unreadable"):
        self.failure = Failure(kind, why) if isinstance(why, str) else why
        super().__init__(self.failure.line)


class Unreadable(LoadFailure):
    """The submission cannot be read, so nobody knows its contents."""


class NotANotebook(KataError):
    """A file is not a notebook of a kata."""


class DownloadFailure(KataError):
    """A data set cannot be downloaded."""


class NotPossible(KataError):
    """A command does not apply here: there is no reference, or nothing to undo."""


class NoSubmissions(KataError):
    """A folder cannot be graded as a class."""


class BrokenRules(KataError):
    """A course's rules for points are invalid."""


class BrokenRoster(KataError):
    """A course's list of students is invalid."""


class BrokenAccommodations(KataError):
    """A file of accommodations cannot be read, or lines of it cannot be followed."""


class BrokenOverrides(KataError):
    """A teacher's list of overrides is invalid."""


class ExportFailure(KataError):
    """A repository cannot be exported."""


class ClusterUnavailable(KataError):
    """A cluster engine cannot be used."""
