"""Reads the files of an archive that a student handed in, without unpacking it to disk."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from grader.errors import LoadFailure, Unreadable

MOST_MEMBERS = 10_000  # files in one archive
LARGEST = 100_000_000  # bytes of all archives in a submission, and of what is kept of a tar archive's files
LONGEST = 200_000_000  # bytes that a compressed tar archive may unpack to
LARGEST_KEPT = 1_000_000  # bytes of a file in a tar archive that is kept; of a notebook, LARGEST
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others cannot be unpacked up to a limit
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OPENED = (".zip", *TARS)
PACKED = (".gz", ".bz2", ".xz", ".zst")  # of a single file: others than code are data sets
CLOSED = (".7z", ".rar", ".cab", ".dmg", ".iso", *(f"{code}{end}" for code in (".py", ".ipynb") for end in PACKED))
DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


@dataclass(frozen=True)
class Member:
    """A file in an archive. `read` returns so many of its bytes and one more; raises LoadFailure."""

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
        Unreadable: the archive is broken.
        LoadFailure: it is beyond a limit.
    """
    return _of_tar(file, name) if name.lower().endswith(TARS) else _of_zip(file, name)


def _of_zip(file: Path | IO[bytes], name: str) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(file)
        found = [member for member in archive.infolist() if not member.is_dir()]
    except Exception as error:  # zipfile raises exceptions of many types, even struct.error
        raise Unreadable(f"{name}: is not a zip archive that can be read ({error})") from None
    if len(found) > MOST_MEMBERS:
        raise LoadFailure(f"{name}: holds {len(found)} files, the limit is {MOST_MEMBERS}")
    for member in found:
        try:
            modified = datetime(*member.date_time)
        except ValueError:
            modified = datetime(1980, 1, 1)  # a zip archive's earliest date
        path = PurePosixPath(member.filename.replace("\\", "/"))
        yield Member(path, modified, member.file_size, partial(_unpacked, archive, member, name))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, of: str, most: int) -> bytes:
    name = f"{PurePosixPath(member.filename).name}: cannot be unpacked from {of}"
    if member.compress_type not in PACKINGS:
        raise Unreadable(f"{name}: it is not packed with deflate, as zip archives are")
    try:
        with archive.open(member) as file:
            return file.read(most + 1)
    except Exception as error:  # zipfile, the decompressors and the system raise exceptions of many types
        raise Unreadable(f"{name} ({error or type(error).__name__})") from None


class _Limited:
    """A stream that ends with an error once it has given more bytes than an archive may unpack to."""

    def __init__(self, stream: IO[bytes], name: str):
        self.stream, self.name, self.left = stream, name, LONGEST

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise LoadFailure(f"{self.name}: unpacks to more than {LONGEST / 1e6:.0f} MB")
        return data


def _of_tar(file: Path | IO[bytes], name: str) -> Iterator[Member]:
    """The files in a tar archive, which is read once from its beginning to its end."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                yield from _tarred(opened, name)
        else:
            yield from _tarred(file, name)
    except LoadFailure:
        raise
    except Exception as error:  # tarfile, the decompressors and the system raise exceptions of many types
        raise Unreadable(f"{name}: is not a tar archive that can be read ({error or type(error).__name__})") from None


def _tarred(file: IO[bytes], name: str) -> list[Member]:
    head = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in DECOMPRESSORS.items() if head.startswith(magic)), None)
    found: list[Member] = []
    kept = 0
    with tarfile.open(fileobj=_Limited(opener(file) if opener else file, name), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            if len(found) == MOST_MEMBERS:
                raise LoadFailure(f"{name}: holds more than {MOST_MEMBERS} files")
            is_link = member.issym() or member.islnk()
            if not (member.isreg() or is_link):
                continue
            path = PurePosixPath(member.name)
            most = LARGEST if path.suffix.lower() == ".ipynb" else LARGEST_KEPT
            content = archive.extractfile(member) if member.isreg() and member.size <= most else None
            data = content.read() if content else None
            kept += len(data or b"")
            if kept > LARGEST:
                raise LoadFailure(f"{name}: unpacks to more than {LARGEST / 1e6:.0f} MB")
            modified = datetime.fromtimestamp(min(max(member.mtime, 0), 4_000_000_000), UTC)
            found.append(Member(path, modified, member.size, partial(_kept, path.name, data), is_link))
    return found


def _kept(name: str, data: bytes | None, most: int) -> bytes:
    if data is None:
        raise LoadFailure(f"{name}: is too large, the limit is 1 MB")
    return data[: most + 1]
