"""Builds the wheel: the grader, and the course in an archive beside it. Everything else
about it is in pyproject.toml.

No module `tinytorch` gets into the wheel: that code is the learner's, in the folder
that `kata start` lays out.
Nor does the workshop, whose tools are for who works on the course itself.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from grader.course import handouts, places  # noqa: E402
from grader.errors import NotPossible  # noqa: E402

BUILD = HERE / ".kata" / "build"


class Build(build):
    """A build whose files are out of sight."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = str(BUILD)


class Wheel(bdist_wheel):
    """A wheel with the course, without the learner's code and the workshop. An editable
    one does not come here.
    """

    def run(self) -> None:
        # a module that has been removed would get into the wheel
        shutil.rmtree(BUILD, ignore_errors=True)
        course = BUILD / places.ARCHIVE.name
        try:
            places.pack(course, HERE, handouts.packed(HERE))
        except NotPossible as problem:
            raise SystemExit(f"no wheel: {problem}") from None
        packages = self.distribution.packages
        self.distribution.packages = [
            name for name in packages if not name.startswith(("tinytorch", "workshop"))
        ]
        del self.distribution.package_data["workshop"]
        self.distribution.data_files = [
            (places.ARCHIVE.parent.as_posix(), [str(course)])
        ]
        super().run()


setup(cmdclass={"build": Build, "bdist_wheel": Wheel})
