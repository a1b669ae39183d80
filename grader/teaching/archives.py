"""Reads the files of an archive that a student handed in, without unpacking it
to disk.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from grader.errors import LoadFailure, Unreadable

MOST_MEMBERS = 10_000  # files, folders and whatever else one archive holds
# bytes of all their names, and of what a zip archive says beside them
MOST_NAMES = 4_000_000
DEEPEST = 64  # folders inside each other
# bytes of all archives in a submission, and of what is kept of a tar archive's files
LARGEST = 50_000_000
LONGEST = 200_000_000  # bytes that are unpacked from one archive
SECONDS = 5.0  # of computing for that
# bytes of a file in a tar archive that is kept; of a notebook, LARGEST
LARGEST_KEPT = 1_000_000
LONGEST_HEADER = 100_000  # bytes that a tar archive says in front of a member
MOST_MEMORY = 100_000_000  # bytes of memory for unpacking .xz
BLOCK = 1 << 16
# the others cannot be unpacked up to a limit
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OPENED = (".zip", *TARS)
# of a single file: others than code are data sets
PACKED = (".gz", ".bz2", ".xz", ".zst")
CLOSED = (
    ".7z",
    ".rar",
    ".cab",
    ".dmg",
    ".iso",
    *(f"{code}{end}" for code in (".py", ".ipynb") for end in PACKED),
)
# headers about the next member, one with records such as this:
POSIX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
RECORD = re.compile(rb"(\d{1,9}) ([^=\n]+)=")  # "19 path=katas/a.py"
GAPS = (b"GNU.sparse.size", b"GNU.sparse.major")  # records of a file with gaps
HEADERS = (*POSIX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


@dataclass(frozen=True)
class Member:
    """A file in an archive. `read` returns so many of its bytes and one more;
    raises LoadFailure.
    """

    path: PurePosixPath
    modified: datetime  # of a zip archive without a time zone, since it has none
    size: int
    read: Callable[[int], bytes]
    is_link: bool = False


def is_opened(name: str) -> bool:
    """Tell by the name if a file is an archive that can be read here."""
    return name.lower().endswith(OPENED)


def is_archive(name: str) -> bool:
    """Tell by the name if a file is an archive."""
    return name.lower().endswith((*OPENED, *CLOSED))


def members(file: Path | IO[bytes], name: str) -> Iterator[Member]:
    """The files in an archive of this name.

    Raises:
        Unreadable: the archive, which no message names, is broken.
        LoadFailure: it is beyond a limit.
    """
    return _of_tar(file) if name.lower().endswith(TARS) else _of_zip(file)


class _Costs:
    """What has been spent on one archive. Each step raises LoadFailure beyond
    a limit.
    """

    def __init__(self) -> None:
        self.bytes, self.seconds, self.clock = 0, 0.0, time.thread_time()

    def resume(self) -> None:
        """Start the clock of this thread again."""
        self.clock = time.thread_time()

    def add(self, size: int) -> None:
        """Count so many unpacked bytes, and the time since the last step."""
        now = time.thread_time()
        self.bytes, self.seconds, self.clock = (
            self.bytes + size,
            self.seconds + now - self.clock,
            now,
        )
        if self.bytes > LONGEST:
            raise LoadFailure(f"unpacks to more than {LONGEST / 1e6:.0f} MB")
        if self.seconds > SECONDS:
            raise LoadFailure(f"takes more than {SECONDS:.0f} seconds to unpack")


def _path(written: str) -> PurePosixPath:
    """The path of a member in the archive, wherever it leads: a name such as "../a.py"
    is packed from a subfolder.
    """
    if written.count("/") > DEEPEST:
        raise LoadFailure(f"has more than {DEEPEST} folders inside each other")
    return PurePosixPath(
        *(
            part
            for part in PurePosixPath(written).parts
            if part not in ("/", "//", "..")
        )
    )


class _Bounded:
    """A zip archive's file. zipfile parses its directory as a whole, so a long one is
    not read.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __del__(self) -> None:
        self.file.close()

    def read(self, size: int = -1) -> bytes:
        if size > MOST_NAMES:
            raise LoadFailure(
                f"holds more than {MOST_MEMBERS} files and folders, or very long names"
            )
        return self.file.read(size)


def _of_zip(file: Path | IO[bytes]) -> Iterator[Member]:
    try:
        opened = _Bounded(file.open("rb") if isinstance(file, Path) else file)
        archive = zipfile.ZipFile(opened)
    except LoadFailure:
        raise
    except Exception as error:
        # zipfile raises exceptions of many types, even struct.error
        raise Unreadable(f"is not a zip archive that can be read ({error})") from None
    found, costs = archive.infolist(), _Costs()
    if len(found) > MOST_MEMBERS:
        raise LoadFailure(
            f"holds {len(found)} files and folders, the limit is {MOST_MEMBERS}"
        )
    for member in found:
        path = _path(member.filename.replace("\\", "/"))
        if member.is_dir():
            continue
        try:
            modified = datetime(*member.date_time)
        except ValueError:
            modified = datetime(1980, 1, 1)  # a zip archive's earliest date
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        yield Member(
            path,
            modified,
            member.file_size,
            partial(_unpacked, archive, member, costs),
            is_link,
        )


def _unpacked(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, costs: _Costs, most: int
) -> bytes:
    if member.compress_type not in PACKINGS:
        raise Unreadable(
            "cannot be unpacked: it is not packed with deflate, as zip archives are"
        )
    if member.flag_bits & 1:
        raise Unreadable(
            "cannot be unpacked: it has a password: ask for an archive without one"
        )
    costs.resume()
    try:
        with archive.open(member) as file:
            return _exactly(file, min(member.file_size, most + 1), costs)
    except LoadFailure:
        raise
    except Exception as error:
        # zipfile, the decompressors and the system raise exceptions of many types
        raise Unreadable(
            f"cannot be unpacked ({error or type(error).__name__})"
        ) from None


def _exactly(file: Any, size: int, costs: _Costs, *, keep: bool = True) -> bytes:
    """The next bytes of a stream, which are never in memory twice; empty if they are
    not kept.
    """
    data, left = io.BytesIO(), size
    while left:
        block = file.read(min(BLOCK, left))
        if not block:
            raise EOFError("it ends early")
        costs.add(len(block))
        left -= len(block)
        if keep:
            data.write(block)
    return data.getvalue()


class _Xz:
    """The content of an .xz file, unpacked with little memory: the file may ask
    for gigabytes.
    """

    def __init__(self, file: IO[bytes]):
        self.file, self.decoder = file, lzma.LZMADecompressor(memlimit=MOST_MEMORY)

    def read(self, size: int) -> bytes:
        while size and not self.decoder.eof:
            packed = self.file.read(BLOCK) if self.decoder.needs_input else b""
            if data := self.decoder.decompress(packed, size):
                return data
            if self.decoder.needs_input and not packed:
                raise EOFError("it ends early")
        return b""


DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": _Xz,
}


def _of_tar(file: Path | IO[bytes]) -> Iterator[Member]:
    """The files in a tar archive, which is read once from its beginning to its end."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                yield from _tarred(opened)
        else:
            yield from _tarred(file)
    except LoadFailure:
        raise
    except Exception as error:
        # tarfile, the decompressors and the system raise exceptions of many types
        raise Unreadable(
            f"is not a tar archive that can be read ({error or type(error).__name__})"
        ) from None


def _tarred(file: IO[bytes]) -> list[Member]:
    """The files. tarfile parses one header at a time here: what it remembers of them,
    and how deep it recurses, has no limit.
    """
    head = file.read(6)
    file.seek(0)
    opener = next(
        (opener for magic, opener in DECOMPRESSORS.items() if head.startswith(magic)),
        None,
    )
    stream, costs = opener(file) if opener else file, _Costs()
    if not head:
        raise EOFError("it is empty")
    found: list[Member] = []
    said: dict[bytes, bytes] = {}  # about the next member
    count = names = kept = 0
    while first := stream.read(1):
        header = first + _exactly(stream, tarfile.BLOCKSIZE - 1, costs)
        if not header.strip(b"\0"):
            break
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        size = int(said.get(b"size", member.size))
        written = (
            said[b"path"].decode("utf-8", "surrogateescape")
            if b"path" in said
            else member.name
        )
        path = _path(written)
        if (
            size < 0
            or member.type == tarfile.GNUTYPE_SPARSE
            or not said.keys().isdisjoint(GAPS)
        ):
            raise LoadFailure(
                "holds a file with gaps, which is not read: ask for a .zip"
            )
        if member.type in HEADERS and size > LONGEST_HEADER:
            raise LoadFailure(
                f"holds a header of {size} bytes, the limit is {LONGEST_HEADER}"
            )
        most = LARGEST if path.suffix.lower() == ".ipynb" else LARGEST_KEPT
        has_data = (
            member.isreg()
            or member.type not in tarfile.SUPPORTED_TYPES
            or member.type in HEADERS
        )
        is_kept = member.type in HEADERS or member.isreg() and size <= most
        data = _exactly(stream, size if has_data else 0, costs, keep=is_kept)
        _exactly(
            stream, -size % tarfile.BLOCKSIZE if has_data else 0, costs, keep=False
        )
        if member.type in HEADERS:
            said |= _about_the_next(member, data)
            continue
        said, count, names, kept = {}, count + 1, names + len(written), kept + len(data)
        if count > MOST_MEMBERS or names > MOST_NAMES:
            raise LoadFailure(
                f"holds more than {MOST_MEMBERS} files and folders, or very long names"
            )
        if kept > LARGEST:
            raise LoadFailure(f"unpacks to more than {LARGEST / 1e6:.0f} MB")
        is_link = member.issym() or member.islnk()
        if not member.isdir():
            modified = datetime.fromtimestamp(
                min(max(member.mtime, 0), 4_000_000_000), UTC
            )
            why = (
                "is too large, the limit is 1 MB"
                if member.isreg()
                else "is not a regular file"
            )
            read = partial(_kept, data) if is_kept else partial(_refused, why)
            found.append(
                Member(path, modified, size if member.isreg() else 1, read, is_link)
            )
    if said:
        raise EOFError("it ends early")
    return found


def _about_the_next(header: tarfile.TarInfo, text: bytes) -> dict[bytes, bytes]:
    """What a header says of the next member, where it is longer than one block has
    room for.
    """
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {b"path": text.partition(b"\0")[0]}
    said, start = dict[bytes, bytes](), 0
    while header.type in POSIX and (match := RECORD.match(text, start)):
        start = max(match.end(), start + int(match[1]))
        if match[2] in (b"path", b"size", *GAPS):
            said[match[2]] = text[match.end() : start - 1]
    return said


def _kept(data: bytes, most: int) -> bytes:
    return data[: most + 1]


def _refused(why: str, most: int) -> bytes:
    raise LoadFailure(why)
