"""All commands of the application, in the order of its help."""

from grader.cli import learner  # noqa: F401  (registers its commands, which the help lists first)

# isort: split
from grader.cli import appeal, author, export, grade, regrade  # noqa: F401  (each registers its commands)
from grader.cli.app import app as app
