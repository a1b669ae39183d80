"""Keeps the stubs of katas/ as what `kata reset` puts back: `make stubs`, after a stub was changed."""

import shutil

from grader import catalogue
from grader.learner import STUBS, stub_of

if __name__ == "__main__":
    shutil.rmtree(STUBS, ignore_errors=True)
    STUBS.mkdir(parents=True)
    for kata in catalogue.all_katas():
        if (kata.folder / kata.file.name).is_file():
            shutil.copyfile(kata.folder / kata.file.name, stub_of(kata))
