"""Keeps the stubs of katas/ as what `kata reset` puts back: `make stubs`, after a stub was changed."""

import zipfile

from grader import catalogue
from grader.learner import STUBS

if __name__ == "__main__":
    with zipfile.ZipFile(STUBS, "w", zipfile.ZIP_DEFLATED) as kept:
        for kata in catalogue.all_katas():
            if (kata.folder / kata.file.name).is_file():
                entry = zipfile.ZipInfo(kata.file.as_posix())  # of a fixed date: the same stubs give the same file
                kept.writestr(entry, (kata.folder / kata.file.name).read_bytes(), zipfile.ZIP_DEFLATED)
