"""Submissions that break whoever reads them: archives, notebooks and texts that no
honest tool makes.
"""

import gzip
import io
import json
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_bytes()
NAME = "katas/01_sums/sums.py"


@dataclass(frozen=True)
class Broken:
    """A submission to 01_sums: a file of this name with what `data` returns.

    "not graded": nobody knows what is in it. "nothing": it is read, and worth no point.
    "its points": it is right.
    """

    name: str
    file: str
    data: Callable[[], bytes]
    gets: Literal["not graded", "nothing", "its points"] = "not graded"


def packed(
    *members: tuple[str | zipfile.ZipInfo, bytes],
    method: int = zipfile.ZIP_DEFLATED,
    spoil: Callable | None = None,
) -> Callable[[], bytes]:
    """A zip archive of these members, changed by `spoil`."""

    def make() -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in members:
                archive.writestr(name, data)
        data = bytearray(file.getvalue())
        if spoil:
            spoil(data)
        return bytes(data)

    return make


def lzma_stream(data: bytearray) -> None:
    """Options of the LZMA stream that no decoder knows."""
    data[data.find(b".py") + len(".py") + 4] = 0xFF


def deflated_stream(data: bytearray) -> None:
    start = data.find(b"sums.py") + len("sums.py")
    data[start : start + 20] = b"\xff" * 20


def in_both_heads(at: int, value: bytes) -> Callable[[bytearray], None]:
    """Change a field of the first member, in front of its data and in the
    archive's directory.
    """

    def spoil(data: bytearray) -> None:
        for start in (data.find(b"PK\x03\x04") + at, data.find(b"PK\x01\x02") + at + 2):
            data[start : start + len(value)] = value

    return spoil


def at_the_end(at: int, value: bytes) -> Callable[[bytearray], None]:
    """Change a field of the record that ends an archive."""

    def spoil(data: bytearray) -> None:
        start = data.rfind(b"PK\x05\x06") + at
        data[start : start + len(value)] = value

    return spoil


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(NAME)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def notebook(*sources: str, **metadata: object) -> Callable[[], bytes]:
    """A notebook with these code cells."""

    def make() -> bytes:
        cell = {
            "cell_type": "code",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
        }
        cells = [
            {**cell, "id": f"c{number}", "source": source}
            for number, source in enumerate(sources)
        ]
        return json.dumps(
            {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        ).encode()

    return make


def headed(kind: bytes, data: bytes = b"", name: str = "x") -> bytes:
    """A member of a tar archive of this kind, and its data."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def words(number: int, start: int = 0) -> bytes:
    """A header's records of so many keywords."""
    return b"".join(
        b"%d %d=1\n" % (len(f"{n}") + 6, n) for n in range(start, start + number)
    )


def tar_gz(*parts: bytes) -> bytes:
    return gzip.compress(b"".join(parts) + bytes(1024), 1)


def many_headers() -> bytes:
    """Two hundred headers in front of one member, each with keywords of its own."""
    headers = (
        headed(tarfile.XHDTYPE, words(7_000, 10_000_000 + 7_000 * n))
        for n in range(200)
    )
    return gzip.compress(
        b"".join(headers) + headed(tarfile.REGTYPE, RIGHT, "sums.py"), 1
    )


def folders(number: int) -> bytes:
    """A zip archive that consists of folders."""
    entry = (
        struct.pack(
            "<4s4B4HL2L5H2L",
            b"PK\1\2",
            20,
            3,
            20,
            0,
            0,
            0,
            0,
            33,
            0,
            0,
            0,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
        )
        + b"d/"
    )
    return entry * number + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(entry) * number, 0, 0
    )


def large_dictionary() -> bytes:
    """An .xz file that asks for 1.5 GB of memory."""
    data = lzma.compress(headed(tarfile.REGTYPE, RIGHT, "sums.py"))
    head = data[12:16] + bytes([37]) + data[17 : 8 + 4 * (data[12] + 1)]
    return (
        data[:12] + head + struct.pack("<I", zlib.crc32(head)) + data[16 + len(head) :]
    )


def many_notebooks() -> bytes:
    data = notebook(*["x"] * 9_000)()
    return packed(*((f"{number}.ipynb", data) for number in range(100)))()


CHAIN = (
    "def double(x):\n    return x2999\n"
    + "".join(f"x{n} = x{n - 1}\n" for n in range(2999, 0, -1))
    + "x0 = 0\n"
)
DEEP = "def double(x):\n    return " + "-" * 50_000 + "x\n"
ZIPS = [
    Broken(
        "a broken LZMA stream",
        "m.zip",
        packed((NAME, RIGHT), method=zipfile.ZIP_LZMA, spoil=lzma_stream),
    ),
    Broken(
        "a broken deflate stream", "m.zip", packed((NAME, RIGHT), spoil=deflated_stream)
    ),
    Broken(
        "a bomb packed with bzip2",
        "m.zip",
        packed((NAME, bytes(1 << 28)), method=zipfile.ZIP_BZIP2),
    ),
    Broken("a bomb packed with deflate", "m.zip", packed((NAME, bytes(1 << 28)))),
    Broken(
        "a wrong checksum",
        "m.zip",
        packed((NAME, RIGHT), spoil=in_both_heads(14, b"\0\0\0\0")),
    ),
    Broken(
        "a password", "m.zip", packed((NAME, RIGHT), spoil=in_both_heads(6, b"\1\0"))
    ),
    Broken(
        "a packing that nobody knows",
        "m.zip",
        packed((NAME, RIGHT), spoil=in_both_heads(8, b"\x63\0")),
    ),
    Broken(
        "a directory at another place",
        "m.zip",
        packed((NAME, RIGHT), spoil=at_the_end(16, b"\xff\xff\xff\x7f")),
    ),
    Broken(
        "a directory of another size",
        "m.zip",
        packed((NAME, RIGHT), spoil=at_the_end(12, b"\xff\0\0\0")),
    ),
    Broken("half of an archive", "m.zip", lambda: packed((NAME, RIGHT))()[:200]),
    Broken(
        "an end without an archive",
        "m.zip",
        lambda: b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 9, 9, 9),
    ),
    Broken(
        "twenty thousand members",
        "m.zip",
        packed(*((f"{n}", b"") for n in range(20_000))),
    ),
    Broken(
        "a name with a NUL",
        "m.zip",
        packed(("katas/01_sums/sums.py\0.txt", RIGHT)),
        "its points",
    ),
    Broken(
        "a name with backslashes",
        "m.zip",
        packed((NAME.replace("/", "\\"), RIGHT)),
        "its points",
    ),
    Broken("an absolute name", "m.zip", packed((f"/{NAME}", RIGHT)), "its points"),
    Broken(
        "a name that leads out", "m.zip", packed((f"../../{NAME}", RIGHT)), "its points"
    ),
    Broken(
        "a name of 60,000 letters",
        "m.zip",
        packed(("x" * 60_000 + f"/{NAME}", RIGHT)),
        "its points",
    ),
    Broken(
        "a link as a member", "m.zip", packed((link(), b"/etc/passwd")), "not graded"
    ),
    Broken(
        "a date that no calendar has",
        "m.zip",
        packed((NAME, RIGHT), spoil=in_both_heads(10, b"\xff" * 4)),
        "its points",
    ),
]
COSTLY = [
    Broken(
        "a hundred thousand words about each of eight hundred members",
        "m.tgz",
        lambda: tar_gz(
            headed(tarfile.XGLTYPE, words(100_000)), headed(tarfile.REGTYPE) * 800
        ),
    ),
    Broken("millions of words about one member", "m.tgz", many_headers, "its points"),
    Broken(
        "three hundred thousand pipes",
        "m.tgz",
        lambda: tar_gz(headed(tarfile.FIFOTYPE) * 300_000),
    ),
    Broken(
        "a name that names follow",
        "m.tgz",
        lambda: tar_gz(headed(tarfile.GNUTYPE_LONGNAME, b"x" * 512) * 3_000),
    ),
    Broken("a million folders", "m.zip", lambda: folders(1_000_000)),
    Broken(
        "a million folders in an archive inside",
        "m.zip",
        lambda: packed(("a.zip", folders(1_000_000)))(),
    ),
    Broken(
        "folders two thousand deep in a zip archive",
        "m.zip",
        packed(("d/" * 2_000 + "sums.py", RIGHT)),
    ),
    Broken(
        "folders two thousand deep in a tar archive",
        "m.tgz",
        lambda: tar_gz(
            headed(tarfile.GNUTYPE_LONGNAME, b"d/" * 2_000 + b"sums.py"),
            headed(tarfile.REGTYPE, RIGHT),
        ),
    ),
    Broken("a memory of 1.5 GB", "m.txz", large_dictionary),
    Broken(
        "sixteen million lists in a notebook",
        "m.zip",
        lambda: packed(
            ("m.ipynb", b'{"metadata": {"x": [' + b"[]," * 16_000_000 + b"[]]}}")
        )(),
    ),
    Broken(
        "nine thousand cells in each of a hundred notebooks",
        "m.zip",
        many_notebooks,
    ),
]
TEXTS = [
    Broken(
        "an encoding that gives no text",
        "sums.py",
        lambda: b"# coding: rot13\n" + RIGHT,
    ),
    Broken(
        "an encoding that is undefined",
        "sums.py",
        lambda: b"# coding: undefined\n" + RIGHT,
    ),
    Broken(
        "an encoding that takes hours",
        "sums.py",
        lambda: b"# coding: punycode\n#" + b"a" * 400_000 + b"-" + b"b" * 400_000,
    ),
    Broken(
        "an expression that is nested too deeply",
        "sums.py",
        lambda: DEEP.encode(),
        "nothing",
    ),
]
NOTEBOOKS = [
    Broken("JSON that is nested too deeply", "m.ipynb", lambda: b"[" * 100_000),
    Broken(
        "a number of a million digits",
        "m.ipynb",
        lambda: b'{"cells": [], "x": ' + b"9" * 1_000_000 + b"}",
    ),
    Broken(
        "a kata that is no name",
        "m.ipynb",
        notebook(RIGHT.decode(), kata=["01_sums"]),
        "its points",
    ),
    Broken("a cell that is nested too deeply", "m.ipynb", notebook(DEEP), "nothing"),
    Broken("three thousand names in a chain", "m.ipynb", notebook(CHAIN)),
    Broken("a comparison of 10 MB", "m.ipynb", notebook("x = 1" + "<1" * 5_000_000)),
    Broken("a notebook of 100 MB", "m.ipynb", lambda: b" " * 100_000_000),
]
BROKEN = ZIPS + TEXTS + NOTEBOOKS
