"""What each way to hand in a kata comes to: what counts, what is taken for it, what is
not recognised, what is 0.
"""

import io
import json
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import nbformat
import pytest

from grader.course import notebooks
from grader.failure import UNPARSED
from grader.teaching import archives, attribution, intake, submissions
from grader.teaching.contents import Contents, Row
from tests.conftest import SOUND
from tests.grader.test_progress import RIGHT, STUB

REUSE = (SOUND / "solutions/02_reuse/reuse.py").read_text()
OPEN = (SOUND / "katas/02_reuse/reuse.py").read_text()
NOTES = "what I have learnt\n\nx = 1\n"
COUNTS, TAKEN, UNTOUCHED = "counts", "is taken for", "untouched"
NOTHING, UNKNOWN, LOST = "not handed in", "not recognised", "not graded"
SAVED = ".ipynb_checkpoints/sums-checkpoint"
DEEP = "/".join("d" * 1 for _ in range(10))
# in place of a file's content: a link to another one, a named pipe
LINK, PIPE = object(), object()


def zipped(**files: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in of(files).items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(mode: str = "w", **files: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in of(files).items():
            member = tarfile.TarInfo(name)
            if content in (LINK, PIPE):
                member.type, member.linkname = (
                    tarfile.SYMTYPE if content is LINK else tarfile.FIFOTYPE,
                    "/etc/passwd",
                )
            data = (
                b""
                if member.linkname
                else content
                if isinstance(content, bytes)
                else str(content).encode()
            )
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def of(files: dict) -> dict:
    """Keyword arguments as files: `sums_py` is sums.py."""
    return {
        "".join(name.rpartition("_")[:1]) + "." + name.rpartition("_")[2]: content
        for name, content in files.items()
    }


def notebook(*cells: str) -> str:
    return nbformat.writes(
        notebooks.assembled([nbformat.v4.new_code_cell(cell) for cell in cells])
    )


def with_password(data: bytes) -> bytes:
    """The archive with the mark of a password on its first member."""
    changed = bytearray(data)
    for start in (changed.find(b"PK\x03\x04") + 6, changed.find(b"PK\x01\x02") + 8):
        changed[start : start + 2] = b"\1\0"
    return bytes(changed)


# What was handed in for 01_sums, what that comes to, and words that a person reads
# of it.
ALONE: list[tuple[str, dict[str, object], str, str]] = [
    ("as it should be", {"a/katas/01_sums/sums.py": RIGHT}, COUNTS, ""),
    ("in a folder with a slip", {"a/01_sum/sums.py": RIGHT}, COUNTS, ""),
    # names
    ("a second ending", {"a/sums.py.txt": RIGHT}, TAKEN,
     "is taken for sums.py of 01: there is no other file"),
    ("two more endings", {"a/sums.py.txt.txt": RIGHT}, TAKEN, ""),
    ("a browser's second download", {"a/sums (1).py": RIGHT}, COUNTS, ""),
    ("a hyphen and a number", {"a/sums-2.py": RIGHT}, TAKEN, ""),
    ("an underscore and a number", {"a/sums_2.py": RIGHT}, TAKEN, ""),
    ("a number", {"a/sums2.py": RIGHT}, TAKEN, ""),
    ("a copy on Windows", {"a/sums - Copy.py": RIGHT}, TAKEN, ""),
    ("a copy of a copy", {"a/sums - Copy (2).py": RIGHT}, TAKEN, ""),
    ("a copy in German", {"a/Kopie von sums.py": RIGHT}, TAKEN, ""),
    ("capital letters", {"a/SUMS.PY": RIGHT}, TAKEN, ""),
    ("the kata's number in front", {"a/01_sums.py": RIGHT}, TAKEN, ""),
    ("the word and the number", {"a/kata 01 - sums.py": RIGHT}, TAKEN, ""),
    ("final", {"a/sums_final.py": RIGHT}, TAKEN, ""),
    ("final, again", {"a/sums_final_v2 (3).py": RIGHT}, TAKEN, ""),
    ("Windows without a console", {"a/sums.pyw": RIGHT}, TAKEN, ""),
    ("a space before the ending", {"a/sums .py": RIGHT}, TAKEN, ""),
    ("an editor's backup", {"a/sums.py~": RIGHT}, TAKEN, ""),
    ("a copy without an exercise", {"a/sums (1).py": NOTES}, LOST,
     "it defines no function"),
    ("the student's name in front", {"a/ada_sums.py": RIGHT}, TAKEN, ""),
    ("a name of their own", {"a/homework.py": RIGHT}, TAKEN, ""),
    ("a text with the code", {"a/sums.txt": RIGHT}, TAKEN, ""),
    ("no ending", {"a/sums": RIGHT}, TAKEN, ""),
    ("a name of their own in the kata's folder", {"a/katas/01/mine.py": RIGHT}, TAKEN,
     ""),
    ("in another kata's folder", {"a/02_reuse/sums.py": RIGHT}, TAKEN, ""),
    ("nearly the name, no exercise", {"a/sum.py": NOTES}, UNKNOWN,
     "sum.py: looks like 01_sums: call it sums.py"),
    ("the kata's folder, without an exercise", {"a/01/mine.py": NOTES}, UNKNOWN,
     "looks like 01_sums: call it sums.py"),
    ("the number, without an exercise", {"a/kata01.py": NOTES}, UNKNOWN,
     "looks like 01_sums: call it sums.py"),
    ("code without an exercise", {"a/homework.py": NOTES}, UNKNOWN,
     "no file of a kata that is graded"),
    ("a name of their own and a report", {"a/x.py": RIGHT, "a/x.pdf": b"%PDF"}, UNKNOWN,
     "a/x.py: looks like 01_sums"),
    ("two copies", {"a/sums (1).py": RIGHT, "a/sums (2).py": RIGHT}, UNKNOWN,
     "each could be sums.py of 01: keep one"),
    ("two files with the code", {"a/one.py": RIGHT, "a/two.py": RIGHT}, UNKNOWN,
     "a/one.py and 1 more: looks like 01"),
    ("a file and a copy", {"a/sums.py": RIGHT, "a/sums (1).py": STUB}, COUNTS,
     "a/sums (1).py: ignored: a/sums.py"),
    ("the stub and a copy", {"a/sums.py": STUB, "a/sums (1).py": RIGHT}, COUNTS,
     "is an untouched stub: a/sums (1)"),
    ("the stub and two copies",
     {"a/sums.py": STUB, "a/sums-1.py": RIGHT, "a/sums-2.py": RIGHT}, UNKNOWN, "looks"),
    ("the stub and two downloads", {"a/sums.py": STUB, "a/sums (1).py": RIGHT,
                                    "a/sums (2).py": "x"}, UNKNOWN, "each"),
    ("the stub and nearly the name", {"a/sums.py": STUB, "a/sum.py": NOTES}, UNKNOWN,
     "looks like 01_sums"),
    ("the stub and a copy of it", {"a/sums.py": STUB, "a/sums (1).py": STUB}, UNTOUCHED,
     "a/sums.py counts"),
    ("the stub and notes",
     {"a/sums.py": STUB, "a/notes.py": NOTES, "a/report.pdf": b"%PDF"}, UNTOUCHED, ""),
    # places
    ("nine folders deep", {f"a/{DEEP}/sums.py": RIGHT}, COUNTS, "10 folders deep"),
    ("seventy folders deep", {f"a/{'d/' * 70}sums.py": RIGHT}, LOST,
     "more than 64 folders inside each other"),
    ("a link", {"a/sums.py": LINK}, UNKNOWN,
     "is a symbolic link: hand in the file itself"),
    ("a folder of the file's name", {"a/sums.py/x.txt": RIGHT}, TAKEN, ""),
    # archives
    ("a zip archive", {"a.zip": zipped(sums_py=RIGHT)}, COUNTS, ""),
    ("a tar archive", {"a.tar": tarred(sums_py=RIGHT)}, COUNTS, ""),
    ("a packed tar archive", {"a.tar.gz": tarred("w:gz", sums_py=RIGHT)}, COUNTS, ""),
    ("a zip archive in a folder", {"a/work.zip": zipped(sums_py=RIGHT)}, COUNTS, ""),
    ("a zip archive in a zip archive",
     {"a.zip": zipped(work_zip=zipped(sums_py=RIGHT))}, COUNTS, ""),
    ("tar in a folder", {"a/work.tar": tarred(sums_py=RIGHT)}, COUNTS, ""),
    ("tgz in a folder", {"a/work.tgz": tarred("w:gz", sums_py=RIGHT)}, COUNTS, ""),
    ("tar.bz2 in a folder", {"a/work.tar.bz2": tarred("w:bz2", sums_py=RIGHT)}, COUNTS,
     ""),
    ("tar.xz in a folder", {"a/work.tar.xz": tarred("w:xz", sums_py=RIGHT)}, COUNTS,
     ""),
    ("tar.gz in a zip archive",
     {"a.zip": zipped(**{"w.tar_gz": tarred("w:gz", sums_py=RIGHT)})}, COUNTS, ""),
    ("an archive with a copy", {"a/work.zip": zipped(**{"sums (1)_py": RIGHT})}, COUNTS,
     ""),
    ("an archive with a notebook", {"a/work.zip": zipped(one_ipynb=notebook(RIGHT))},
     COUNTS, ""),
    ("an archive beside the stub", {"a/sums.py": STUB, "a/work.zip":
                                        zipped(sums_py=RIGHT)}, COUNTS,
                                        "untouched stub"),
    ("the starter's archive",
     {"a/sums.py": RIGHT, "a/starter.zip": zipped(sums_py=STUB)}, COUNTS, ""),
    ("two levels", {"a.zip": zipped(a_zip=zipped(b_zip=zipped(sums_py=RIGHT)))},
     UNKNOWN, "archive inside an archive"),
    ("rar in a folder", {"a/work.rar": b"Rar!"}, UNKNOWN,
     "a/work.rar: is an archive that cannot be opened here"),
    ("7z in a folder", {"a/work.7z": b"7z"}, UNKNOWN, "ask for a .zip"),
    ("rar", {"a.rar": b"Rar!"}, UNKNOWN,
     "a.rar: is an archive that cannot be opened here: ask for a .zip"),
    ("7z", {"a.7z": b"7z"}, UNKNOWN, "ask for a .zip"),
    ("a packed file", {"a/sums.py.gz": b"\x1f\x8b"}, UNKNOWN, "ask for a .zip"),
    ("rar beside the stub", {"a/sums.py": STUB, "a/work.rar": b"Rar!"}, UNKNOWN,
     "ask for a .zip"),
    ("rar beside the file", {"a/sums.py": RIGHT, "a/work.rar": b"Rar!"}, COUNTS,
     "cannot be opened here"),
    ("rar beside a copy", {"a/sums (1).py": RIGHT, "a/work.rar": b"Rar!"}, COUNTS,
     "cannot be opened here"),
    ("rar beside code", {"a/x.py": RIGHT, "a/work.rar": b"Rar!"}, UNKNOWN,
     "a/x.py: looks like 01_sums"),
    ("rar that is called zip", {"a/work.zip": b"Rar!"}, UNKNOWN,
     "work.zip: is not a zip archive that can be read"),
    ("a broken zip archive", {"a.zip": b"PK"}, LOST,
     "a.zip: is not a zip archive that can be read"),
    ("a broken tar archive", {"a/work.tgz": b"\x1f\x8b123"}, UNKNOWN,
     "is not a tar archive that can be read"),
    ("a password", {"a/work.zip": with_password(zipped(sums_py=RIGHT))}, LOST,
     "it has a password: ask for"),
    ("a link in a tar archive", {"a/work.tar": tarred(sums_py=LINK)}, UNKNOWN,
     "symbolic link"),
    ("packed from a subfolder", {"a.zip": zipped(**{"../sums_py": RIGHT})}, COUNTS, ""),
    ("packed from a subfolder of one",
     {"a.tar": tarred(**{"../../02_reuse/../sums_py": RIGHT})}, TAKEN, ""),
    ("the same in an archive in a folder",
     {"a/w.zip": zipped(**{"..\\..\\sums_py": RIGHT})}, COUNTS, ""),
    ("with a whole path", {"a.tar": tarred(**{"/home/ann/sums_py": RIGHT})}, COUNTS,
     ""),
    ("a hidden folder in an archive", {"a.zip": zipped(**{".work/sums_py": RIGHT})},
     UNKNOWN, "sums.py: is hidden"),
    ("what only looks as a Mac's", {"a.zip": zipped(**{"__MACOSX/sums_py": RIGHT})},
     UNKNOWN, "sums.py: is hidden"),
    ("a hidden archive", {"a/.w.zip": zipped(sums_py=RIGHT)}, UNKNOWN,
     "a/.w.zip: is hidden"),
    ("a notebook that is only autosaved",
     {"a/.ipynb_checkpoints/x.ipynb": notebook(RIGHT)}, UNKNOWN, "is hidden"),
    ("a link of another name", {"a/work": LINK}, UNKNOWN,
     "a/work: is a symbolic link: hand in the file itself"),
    ("a pipe in a tar archive", {"a.tar": tarred(sums_py=PIPE)}, UNKNOWN,
     "sums.py: is not a regular file"),
    ("a pipe of another name", {"a.tar": tarred(x_py=PIPE)}, UNKNOWN,
     "x.py: no file of a kata that is graded"),
    ("a password on a file of another name",
     {"a.zip": with_password(zipped(x_py=RIGHT))}, UNKNOWN, "has a password"),
    ("beside a virtual environment",
     {"a/v/pyvenv.cfg": "x", "a/v/sums.py": RIGHT, "a/v/lib/x.py": NOTES}, COUNTS, ""),
    ("a virtual environment", {"a/v/pyvenv.cfg": "x", "a/v/lib/x.py": RIGHT}, NOTHING,
     "no file of a kata was found"),
    ("an empty zip archive", {"a.zip": zipped()}, NOTHING,
     "no file of a kata was found"),
    ("what a Mac adds, packed", {"a.zip": zipped(**{"__MACOSX/._sums_py": "x"})},
     NOTHING, "no file of a kata"),
    ("a packed data set",
     {"a/sums.py": STUB, "a/train-images-idx3-ubyte.gz": b"\x1f\x8b"}, UNTOUCHED, ""),
    ("a data set", {"a/sums.py": STUB, "a/data/big.rar": b"Rar!"}, UNTOUCHED, ""),
    # notebooks
    ("a notebook", {"a.ipynb": notebook(RIGHT)}, COUNTS, ""),
    ("a notebook called as the file", {"a/sums.py": notebook(RIGHT)}, COUNTS,
     "is a notebook"),
    ("a notebook with a second ending", {"a/one.ipynb.txt": notebook(RIGHT)}, COUNTS,
     ""),
    ("a notebook as JSON", {"a/one.ipynb.json": notebook(RIGHT)}, COUNTS, ""),
    ("code called a notebook", {"a/sums.ipynb": RIGHT}, UNKNOWN,
     "its name should end in .py"),
    ("a broken notebook", {"a/one.ipynb": "{"}, UNKNOWN, "one.ipynb: line 1"),
    ("a broken notebook alone", {"a.ipynb": "{"}, LOST, "a.ipynb: line 1"),
    ("a notebook of something else", {"a/one.ipynb": notebook("x = 1")}, UNKNOWN,
     "no file of a kata that is graded"),
    ("a notebook for another program",
     {"a/x.ipynb": notebook("%%script python\n" + RIGHT)}, UNKNOWN, "hides double"),
    ("a notebook that writes another file",
     {"a.ipynb": notebook("%%file x.py\n" + RIGHT)}, UNKNOWN, "hides double"),
    ("such a notebook, called as the file", {"a/sums.py": notebook("%%sh\n" + RIGHT)},
     UNKNOWN, "hides double"),
    ("the same code there and in a cell",
     {"a.ipynb": notebook("%%sh\n" + RIGHT, RIGHT)}, COUNTS, ""),
    ("half a notebook under the file's name", {"a/sums.py": notebook(RIGHT)[:-3]},
     UNKNOWN, "not a notebook"),
    ("a notebook beside the file", {"a/sums.py": RIGHT, "a/one.ipynb": notebook(NOTES)},
     COUNTS, ""),
    # anything else
    ("a document", {"a/essay.docx": b"PK"}, UNKNOWN,
     "a/essay.docx: no file of a kata that is graded"),
    ("two documents", {"a/a.pdf": b"%PDF", "a/b.pdf": b"%PDF"}, UNKNOWN,
     "a/a.pdf and 1 more: no file of a kata"),
    ("a text in Moodle's field", {"Ada_1_assignsubmission_onlinetext_/onlinetext.html":
                                      "<p>"}, UNKNOWN, "no file of"),
    ("a text in Canvas's field", {"lovelaceada_12_text.html": "<p>"}, UNKNOWN,
     "no file of a kata"),
    ("another kata", {"a/reuse.py": REUSE}, UNKNOWN,
     "a/reuse.py: no file of a kata that is graded"),
    ("code of this kata under another's name", {"a/reuse.py": RIGHT}, TAKEN,
     "a/reuse.py: is taken for sums.py"),
    ("another kata in its folder", {"a/katas/02_reuse/reuse.py": REUSE}, UNKNOWN,
     "no file of a kata that is graded"),
    ("the starter without the kata",
     {"a/katas/01_sums/test_sums.py": "x", "a/README.md": "x"}, NOTHING, "no file of"),
    ("the kata's folder without its file", {"a/test_sums.py": "x", "a/lesson.py": "x"},
     NOTHING, "no file of a kata"),
    ("what a platform adds", {"a/result.json": "{}", "a/Thumbs.db": "x"}, NOTHING,
     "no file of a kata was found"),
    ("what is hidden", {"a/.DS_Store": "x", "a/.vscode/x.py": RIGHT}, NOTHING,
     "no file of a kata was found"),
    ("empty files", {"a/essay.docx": b"", "a/x.py": b""}, NOTHING,
     "no file of a kata was found"),
    ("an empty file with nearly the name", {"a/sum.py": b""}, NOTHING,
     "a/sum.py: ignored: is empty"),
    ("an empty file of the kata", {"a/sums.py": b""}, COUNTS, ""),
    ("a picture under the file's name", {"a/sums.py": bytes(range(256))}, UNKNOWN,
     "is no text, but a file of another"),
    ("a zip archive under the file's name", {"a/sums.py": zipped(sums_py=RIGHT)},
     UNKNOWN, "is no text, but a file of"),
    ("too much", {"a/sums.py": "#" * 1_000_001}, UNKNOWN,
     "sums.py: is too large, the limit is 1 MB"),
    ("the stub in its folder, the work beside",
     {"a/01_sums/sums.py": STUB, "a/sums.py": RIGHT}, COUNTS, "untouched"),
    ("an older work, a newer stub", {"l_1_2_sums.py": RIGHT, "l_1_3_sums-1.py": STUB},
     COUNTS, "is an untouched stub"),
    ("an empty file and a copy", {"a/sums.py": "", "a/sums (1).py": RIGHT}, COUNTS,
     "sums (1).py counts"),
    ("the stub and a password", {"a/sums.py": STUB, "a/w.zip":
                                     with_password(zipped(sums_py=RIGHT))}, LOST,
                                     "cannot"),
]  # fmt: skip
# The same, where the kata's file defines no exercise.
IMPORTS = "from one import *\nfrom two import *\n"
NONE = "x = 1\n"
ONE, TWO = RIGHT[: RIGHT.index("def total")], RIGHT[RIGHT.index("def total") :]
ELSEWHERE: dict[str, tuple[dict[str, object], str, str]] = {
    "in two files": (
        {"a/sums.py": IMPORTS, "a/one.py": ONE, "a/two.py": TWO},
        UNKNOWN,
        "a/sums.py: defines no exercise: put those of a/one.py and a/two.py into it",
    ),
    "in five": (
        {"a/sums.py": IMPORTS, **{f"a/{name}.py": ONE for name in "vwxyz"}},
        UNKNOWN,
        "put those of a/v.py and a/w.py and a/x.py and 2 more into it",
    ),
    "imported by name": (
        {"a/sums.py": "from src.one import double\n", "a/src/one.py": ONE},
        UNKNOWN,
        "put those of a/src/one.py into it",
    ),
    "hidden": ({"a/sums.py": IMPORTS, "a/.one.py": ONE}, UNKNOWN, "a/.one.py into it"),
    "in a text": ({"a/sums.py": NONE, "a/old.txt": RIGHT}, UNKNOWN, "a/old.txt into"),
    "in an older file": (
        {"l_1_2_sums.py": RIGHT, "l_1_3_sums-1.py": NONE},
        UNKNOWN,
        "l_1_3_sums-1.py: defines no exercise: put those of l_1_2_sums.py into it",
    ),
    "beside what does not parse": (
        {"a/sums.py": "def helper(:\n", "a/one.py": ONE},
        UNKNOWN,
        "a/one.py into it",
    ),
    "nowhere": ({"a/sums.py": IMPORTS, "a/notes.py": NONE}, COUNTS, ""),
    "in the stub": ({"a/sums.py": IMPORTS, "a/old/sums.py": STUB}, COUNTS, ""),
    "in the specs": ({"a/sums.py": NONE, "a/test_sums.py": RIGHT}, COUNTS, ""),
    "one is assigned": ({"a/sums.py": "double = abs\n", "a/one.py": ONE}, COUNTS, ""),
    "one is in a branch": (
        {"a/sums.py": "if 1:\n    def total(x): ...\n", "a/one.py": ONE},
        COUNTS,
        "",
    ),
    "one is there": ({"a/sums.py": f"{IMPORTS}{TWO}", "a/one.py": ONE}, COUNTS, ""),
}
# What was handed in for 01_sums and 02_reuse, and what each comes to.
TOGETHER: list[tuple[str, dict[str, object], str, str]] = [
    ("both", {"a/sums.py": RIGHT, "a/reuse.py": REUSE}, COUNTS, COUNTS),
    ("one and notes", {"a/sums.py": RIGHT, "a/notes.py": NOTES, "a/report.pdf":
                           b"%PDF"}, COUNTS, NOTHING),
    ("one and a notebook", {"a/sums.py": RIGHT, "a/plots.ipynb": notebook("x = 1")},
     COUNTS, NOTHING),
    ("one and an older copy of it", {"a/sums.py": RIGHT, "a/sums_old.py": RIGHT},
     COUNTS, NOTHING),
    ("one and its tests", {"a/sums.py": RIGHT, "a/test_reuse.py": REUSE}, COUNTS,
     NOTHING),
    ("one and an archive", {"a/sums.py": RIGHT, "a/rest.rar": b"Rar!"}, COUNTS,
     UNKNOWN),
    ("one and a broken notebook", {"a/sums.py": RIGHT, "a/two.ipynb": "{"}, COUNTS,
     UNKNOWN),
    ("one and a file in an archive",
     {"a/sums.py": RIGHT, "a/rest.zip": zipped(reuse_py=REUSE)}, COUNTS, COUNTS),
    ("one and autosaved copies",
     {f"a/{name}": RIGHT for name in ("sums.py", f"{SAVED}.py")}, COUNTS, NOTHING),
    ("one and an autosaved notebook",
     {"a/sums.py": RIGHT, f"a/{SAVED}.ipynb": notebook("x")}, COUNTS, UNKNOWN),
    ("one and the other, hidden", {"a/sums.py": RIGHT, "a/.history/x.py": REUSE},
     COUNTS, UNKNOWN),
    ("one and a link", {"a/sums.py": RIGHT, "a/rest": LINK}, COUNTS, UNKNOWN),
    ("one and its data", {"a/sums.py": RIGHT, "a/data": LINK, "a/.history/x.txt": "x"},
     COUNTS, NOTHING),
    ("one and code of the other", {"a/sums.py": RIGHT, "a/solution.py": REUSE}, COUNTS,
     UNKNOWN),
    ("one and a copy of the other", {"a/sums.py": RIGHT, "a/reuse (1).py": REUSE},
     COUNTS, COUNTS),
    ("one and two of the other", {"a/sums.py": RIGHT, "a/x.py": REUSE, "a/y.py": REUSE},
     COUNTS, UNKNOWN),
    ("one and nearly the other", {"a/sums.py": RIGHT, "a/reuses.py": NOTES}, COUNTS,
     UNKNOWN),
    ("one and the other's number", {"a/sums.py": RIGHT, "a/kata02.py": NOTES}, COUNTS,
     UNKNOWN),
    ("one and nearly the other's folder", {"a/sums.py": RIGHT, "a/02_reus/x.py": NOTES},
     COUNTS, UNKNOWN),
    ("code of the other alone", {"a/solution.py": REUSE}, UNKNOWN, UNKNOWN),
    ("each in the other's folder",
     {"a/02_reuse/sums.py": RIGHT, "a/01_sums/reuse.py": REUSE}, UNKNOWN, UNKNOWN),
    ("both in one's file, and a stub",
     {"a/sums.py": f"{RIGHT}\n{REUSE}", "a/reuse.py": OPEN}, COUNTS, UNKNOWN),
    ("both in one file of another name", {"a/all.py": f"{REUSE}\n{RIGHT}"}, UNKNOWN,
     UNKNOWN),
    ("both in one file of one's name", {"a/sums.py": f"{RIGHT}\n{REUSE}"}, COUNTS,
     UNKNOWN),
    ("both in one notebook", {"a/all.ipynb": notebook(RIGHT, REUSE)}, COUNTS, UNKNOWN),
    ("both in a notebook, one in its file",
     {"a/x.ipynb": notebook(RIGHT, REUSE), "a/reuse.py": REUSE}, COUNTS, COUNTS),
    ("both written", {"a.ipynb":
                          notebook("%%file sums.py\n" + RIGHT, "%%file reuse.py\n"
                                   + REUSE)}, COUNTS, COUNTS),
    ("neither", {"a/x.docx": b"PK"}, UNKNOWN, UNKNOWN),
    ("all in one's", {"a/sums.py": NONE, "a/reuse.py": RIGHT + REUSE}, UNKNOWN, COUNTS),
    ("one has no exercise", {"a/sums.py": NONE, "a/reuse.py": REUSE}, COUNTS, COUNTS),
]  # fmt: skip


@pytest.fixture
def look(tmp_path, sound):
    """A function that says what each of these katas comes to in a submission, and what
    a person reads of it.
    """

    def looked(
        files: dict[str, object], number: int = 1
    ) -> tuple[list[str], list[str], Contents]:
        for path, content in files.items():
            place = tmp_path / "class" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if content is LINK:
                place.symlink_to("/etc/passwd")
            else:
                place.write_bytes(
                    content if isinstance(content, bytes) else str(content).encode()
                )
        [submission] = submissions.collect(tmp_path / "class")
        contents = attribution.look(submission.places, sound[:number])
        said = intake.lines(intake.rows(submission, contents, sound[:number]))
        return [came_to(contents, kata) for kata in sound[:number]], said, contents

    return looked


@pytest.mark.parametrize("path", ["a.zip", "a/work.zip"])
def test_an_archive_that_nobody_can_open_is_one_row(sound, tmp_path, path):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(b"PK")
    [submission] = submissions.collect(tmp_path)
    contents = attribution.look(submission.places, sound[:2])
    [row] = intake.rows(submission, contents, sound[:2])
    assert (row.kata, row.odd) == (
        None,
        True,
    ) and "is not a zip archive that can be read" in row.note


@pytest.mark.parametrize(
    ("written", "since"),
    [
        ("type Shape = tuple[int, ...]", (3, 12)),
        ("def first[T](items: list[T]) -> T: ...", (3, 12)),
        ("""x = f"{d["a"]}\"""", (3, 12)),
        ("""x = f"{'\\n'.join(d)}\"""", (3, 12)),
        ("""x = f"{\nd}\"""", (3, 12)),
        ("try: ...\nexcept ValueError, TypeError: ...", (3, 14)),
        ("""x = t"{d}\"""", (3, 14)),
    ],
)
def test_syntax_of_a_newer_python_is_looked_at(look, written, since):
    """The student's file is right with the Python that they have: it is no 0."""
    [became], said, _ = look({"a/sums.py": f"{RIGHT}\n\n{written}\n"})
    is_newer = sys.version_info < since
    assert became == (LOST if is_newer else COUNTS)
    assert (
        any(f"{UNPARSED}: may be for a newer one: " in line for line in said)
        == is_newer
    )


@pytest.mark.parametrize(
    "written", ["def broken(:", "type = (", "x = f(", "x = 'abc", "class A(:"]
)
def test_a_file_that_no_python_parses_counts(look, written):
    [became], _, _ = look({"a/sums.py": f"{RIGHT}\n\n{written}\n"})
    assert became == COUNTS


def came_to(contents: Contents, kata) -> str:
    row = contents.katas[kata]
    if row.verdict != COUNTS:
        return row.verdict
    if TAKEN in row.note:
        return TAKEN
    return UNTOUCHED if row.text == kata.code.read_text() else COUNTS


@pytest.mark.parametrize("place", ELSEWHERE)
def test_exercises_that_are_elsewhere(look, place):
    """A kata's file is graded alone: what it imports from beside it is not there."""
    files, comes_to, words = ELSEWHERE[place]
    [verdict], said, _ = look(files)
    assert verdict == comes_to and words in "\n".join(said), said


@pytest.mark.parametrize(
    ("files", "comes_to", "words"),
    [row[1:] for row in ALONE],
    ids=[row[0] for row in ALONE],
)
def test_what_a_submission_comes_to(look, sound, files, comes_to, words):
    [verdict], said, contents = look(files)
    assert verdict == comes_to, said
    assert words in "\n".join(said)
    source = contents.sources(sound[:1])[sound[0]]
    assert bool(source.reason) == (comes_to in (UNKNOWN, LOST))
    if comes_to in (COUNTS, TAKEN) and RIGHT in map(str, files.values()):
        assert source.text == RIGHT


def test_a_repository_inside_a_repository_is_not_in_its_clone(look, tmp_path):
    (tmp_path / "class/a/course").mkdir(parents=True)
    verdicts, said, _ = look({"a/.git/HEAD": "ref: refs/heads/main"})
    assert (
        verdicts == [LOST] and "a/course: is an empty folder in a checkout" in said[0]
    )


@pytest.mark.parametrize(
    ("files", "first", "second"),
    [row[1:] for row in TOGETHER],
    ids=[row[0] for row in TOGETHER],
)
def test_one_kata_of_two(look, files, first, second):
    verdicts, said, _ = look(files, number=2)
    assert verdicts == [first, second], said


@pytest.mark.parametrize(
    ("files", "comes_to"),
    [
        ({"a/sums.py": RIGHT}, NOTHING),
        ({"a/sums.py": RIGHT, "a/homework.docx": b"PK"}, UNKNOWN),
        ({"a/sums.py": RIGHT, "a/work.py": REUSE}, TAKEN),
        ({"a/work.py": f"{RIGHT}\n{REUSE}"}, TAKEN),
        ({"a/work.rar": b"Rar!"}, UNKNOWN),
        ({}, NOTHING),
    ],
)
def test_a_kata_that_builds_on_another_which_is_not_graded(
    tmp_path, sound, files, comes_to
):
    """02_reuse is graded, and 01_sums is what it builds on."""
    (tmp_path / "a").mkdir()
    for path, content in files.items():
        (tmp_path / path).write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    assert (
        came_to(attribution.look([tmp_path / "a"], sound[:2], sound[1:2]), sound[1])
        == comes_to
    )


def test_there_are_as_many_as_a_teacher_has_seen():
    assert len(ALONE) + len(TOGETHER) >= 71


def test_a_name_that_fits_two_katas_is_not_recognised(tmp_path):
    from grader.course.catalogue import find

    losses, other = find("20"), find("tinytorch/06")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/losses.py.txt").write_text(other.reference.read_text())
    contents = attribution.look([tmp_path / "a"], [losses, other])
    why = "a/losses.py.txt: looks like {}: call it losses.py"
    assert contents.absent(UNKNOWN) == {
        kata: why.format(kata.name) for kata in (losses, other)
    }


def test_an_archive_that_unpacks_to_too_much_is_not_recognised(look, monkeypatch):
    monkeypatch.setattr(archives, "LONGEST", 100_000)
    verdicts, said, _ = look({"a/work.tgz": tarred("w:gz", big_bin=bytes(1_000_000))})
    assert verdicts == [UNKNOWN] and "work.tgz: unpacks to more than" in said[0]


@pytest.mark.parametrize(
    ("part", "end"), [("1", "x.py"), ("~", "x"), ("_1", ""), ("a b", "")]
)
def test_a_name_takes_as_long_to_judge_as_it_is(look, part, end):
    """Ten times as long: a hundred times would be a pattern that begins anew at
    each letter.
    """
    seconds = {}
    for length in (240, 6_000, 60_000):
        name, begun = part * (length // len(part)) + end, time.process_time()
        assert look({"a.zip": zipped(**{f"{name}_txt": NOTES, f"{name}_py": NOTES})})[
            0
        ] == [UNKNOWN]
        seconds[length] = time.process_time() - begun
    assert seconds[60_000] < 30 * seconds[6_000]


def test_archives_beyond_the_limits_are_not_recognised(look, monkeypatch):
    many = {f"a/{number}.zip": zipped(notes_txt="x") for number in range(10)}
    assert look(many | {"a/x.zip": zipped(sums_py=RIGHT)})[0] == [UNKNOWN]
    monkeypatch.setattr(archives, "LARGEST", 10)
    verdicts, said, _ = look({})
    assert (
        verdicts == [UNKNOWN]
        and "is an archive that was not opened, since there are many or large ones"
        in said[0]
    )


def test_what_is_not_recognised_comes_first_and_is_never_cut_off():
    harmless = [
        Row(
            *(None, None, "ignored", str(n)),
            odd=True,
            place=f"ann/{n}",
            student="ann",
        )
        for n in range(30)
    ]
    severe = [
        Row(None, None, "not recognised", "x.rar: …", odd=True, student=f"s{n}")
        for n in range(30)
    ]
    said = intake.lines([*harmless, *severe], most=intake.SHOWN)
    assert said[:30] == [f"s{n}: not recognised: x.rar: …" for n in range(30)]
    assert (
        len(said) == 30 + 20 + 1
        and said[-1] == "… and 10 more: --intake FILE writes them all"
    )


class TestAClass:
    """Ann is right, Bob's archive cannot be opened, Cy handed in a folder with nothing
    in it.
    """

    @pytest.fixture
    def course(self, tmp_path) -> Path:
        from grader.course.catalogue import find

        kata, folder = find("00"), tmp_path / "class"
        (folder / "ann").mkdir(parents=True)
        (folder / "ann" / kata.file.name).write_text(kata.reference.read_text())
        (folder / "bob").mkdir()
        (folder / "bob/work.7z").write_bytes(b"7z")
        (folder / "cy").mkdir()
        return folder

    @pytest.mark.usefixtures("warm_workers")
    def test_only_an_empty_hand_is_0(self, course, tmp_path, kata_here):
        reports = [
            f"--report={name}={tmp_path / name}"
            for name in ("moodle", "canvas", "csv", "json", "html")
        ]
        done = kata_here(
            "class", course, "00", *reports, "--intake", tmp_path / "intake.csv"
        )
        why = (
            "bob: not recognised: bob/work.7z: is an archive that cannot be opened "
            "here: ask for a .zip"
        )
        assert done.returncode == 2
        assert done.stdout.startswith(f"{why}\ncy: no file of a kata was found\n")
        assert done.stdout.count(why) == 2, "again at the end"
        assert done.stderr == (
            "kata: not recognised: 1 of 3 students: rename what they handed in, "
            "or ask them for it again\n"
        )
        for name in ("moodle", "canvas"):
            rows = (tmp_path / name).read_text()
            assert "bob" not in rows and "ann" in rows and "cy" in rows
        _, bob, _ = (tmp_path / "csv").read_text().splitlines()[1:]
        assert (
            bob.startswith("bob,,,,,,,not graded,complete") or ",not recognised," in bob
        )
        assert "not recognised: bob/work.7z: is an archive" in bob
        states = [
            one["report"]["katas"][0]["state"]
            for one in json.loads((tmp_path / "json").read_text())["students"]
        ]
        assert states == ["works", "not recognised", "not handed in"]
        assert (
            "bob,00_first_look,,not recognised,"
            in (tmp_path / "intake.csv").read_text()
        )
