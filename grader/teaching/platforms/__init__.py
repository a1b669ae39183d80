"""The course platforms, one file each. What fits two of them is the first one's in a
list of students, and the last one's among the names of a download: Canvas's forms are
the widest.
"""

from grader.teaching.platform import Platform
from grader.teaching.platforms.canvas import CANVAS
from grader.teaching.platforms.classroom50 import CLASSROOM50
from grader.teaching.platforms.gradescope import GRADESCOPE
from grader.teaching.platforms.moodle import MOODLE
from grader.teaching.platforms.nbgrader import NBGRADER

PLATFORMS = (CANVAS, MOODLE, GRADESCOPE, CLASSROOM50, NBGRADER)
BY_NAME = {platform.name: platform for platform in PLATFORMS}
NONE = Platform(name="")


def named(name: str) -> Platform:
    """The platform of this name; for no name, one that has nothing."""
    return BY_NAME.get(name, NONE)
