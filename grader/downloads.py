"""The larger data sets, optional: which there are, and fetching one into `data/` so that it is there whole or not at all."""

import contextlib
import csv
import errno
import hashlib
import http.client
import os
import shutil
import stat
import struct
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from grader.catalogue import ROOT

DATA = ROOT / "data"
SECONDS_OF_SILENCE = 30.0
BLOCK = 1 << 16
LARGEST = 1 << 30  # bytes that one archive may unpack to


class Failure(Exception):
    """The set could not be had. The message is one line: what went wrong and what to do."""


@dataclass(frozen=True)
class Source:
    """One file of a set: where it is, how to know it, and `unpack(file, place)` to turn it into what a lesson reads."""

    url: str
    size: int
    sha256: str
    unpack: Callable[[Path, Path], None]
    place: str  # below the folder of the set

    @property
    def file(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class DataSet:
    name: str  # also of its folder in data/
    about: str
    home: str  # where its makers tell of it and of what may be done with it
    sources: tuple[Source, ...]
    holds: tuple[str, ...]  # what its folder holds when it is whole

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources)


def keep(file: Path, place: Path) -> None:
    """The file itself is what lessons read."""
    os.replace(file, place)


def unzip(file: Path, place: Path) -> None:
    """Everything in a zip archive, below the folder `place`."""
    room = LARGEST
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            target = _inside(place, member.filename)
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Failure(f"{file.name} is not safe to unpack: {member.filename!r} is not a regular file")
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                with archive.open(member) as content:
                    room = _copy(content, target, room)


def untar(file: Path, place: Path) -> None:
    """Everything in a tar archive, compressed or not, below the folder `place`."""
    room = LARGEST
    with tarfile.open(file, "r|*") as archive:
        for member in archive:
            target = _inside(place, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                room = _copy(archive.extractfile(member), target, room)
            else:
                raise Failure(f"{file.name} is not safe to unpack: {member.name!r} is not a regular file")


def flower_labels(file: Path, place: Path) -> None:
    """imagelabels.mat as labels.csv: image 1's file and label in the first row, image 2's in the second."""
    with open(place, "w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(("file", "label"))
        rows.writerows((f"image_{number:05d}.jpg", label) for number, label in enumerate(mat_numbers(file.read_bytes()), 1))


def mat_numbers(data: bytes) -> list[int]:
    """The numbers of a MATLAB 5 file that holds one array of whole numbers.

    After a header of 128 bytes stand elements: their type, their length in bytes, and so many bytes, filled up to a multiple
    of 8. Four bytes or fewer stand in the place of the length, which then shares the type's. An array is an element made of
    four: flags, shape, name, numbers. The whole of it may be compressed.
    """
    order = "<" if data[126:128] == b"IM" else ">"

    def element(data: bytes, at: int) -> tuple[int, bytes, int]:
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:
            return kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)], at + 8
        return kind, data[at + 8 : at + 8 + length], at + 8 + length + -length % 8

    kind, array, _ = element(data, 128)
    if kind == 15:
        kind, array, _ = element(zlib.decompress(array), 0)
    if kind != 14:
        raise ValueError(f"element {kind} where an array was expected")
    at = 0
    for _ in ("flags", "shape", "name"):
        _, _, at = element(array, at)
    kind, numbers, _ = element(array, at)
    letter = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d"}[kind]
    return [int(number) for (number,) in struct.iter_unpack(order + letter, numbers)]


IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def _idx(base: str, *known: tuple[int, str]) -> tuple[Source, ...]:
    return tuple(Source(base + name, size, sha256, keep, name) for name, (size, sha256) in zip(IDX, known, strict=True))


# Sizes and SHA-256 as TensorFlow Datasets publishes them (tensorflow_datasets/url_checksums).
SETS = (
    DataSet(
        "fashion_mnist", "70,000 pictures of clothes in ten classes, grey, 28×28",
        "https://github.com/zalandoresearch/fashion-mnist",
        _idx(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        IDX,
    ),
    DataSet(
        "mnist", "70,000 handwritten digits, grey, 28×28", "http://yann.lecun.com/exdb/mnist/",
        _idx(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        IDX,
    ),
    DataSet(
        "oxford_flowers", "8,189 photographs of flowers in 102 classes", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        (
            Source("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz", 344862509,
                   "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246", untar, "."),
            Source("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat", 502,
                   "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d", flower_labels, "labels.csv"),
        ),
        ("jpg", "labels.csv"),
    ),
    DataSet(
        "horse_or_human", "1,283 computer-made pictures of horses and humans, 300×300",
        "https://laurencemoroney.com/datasets.html",
        (
            Source("https://storage.googleapis.com/download.tensorflow.org/data/horse-or-human.zip", 149574867,
                   "e2e6f70d3d549c5dd10a57165e55af253ee66ad750403f95c0fb76bb943633a9", unzip, "training"),
            Source("https://storage.googleapis.com/download.tensorflow.org/data/validation-horse-or-human.zip", 11480187,
                   "ae5fff2f4f5554791f05358108e2e05d9801b191f1896ea101402f0e7f6c32c0", unzip, "validation"),
        ),
        ("training", "validation"),
    ),
    DataSet(
        "text", "tiny Shakespeare: a million characters of his plays", "https://github.com/karpathy/char-rnn",
        (
            Source("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", 1115394,
                   "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", keep, "tiny_shakespeare.txt"),
        ),
        ("tiny_shakespeare.txt",),
    ),
)  # fmt: skip


def find(name: str) -> Path | None:
    """The folder of a set if it is there whole, for a lesson that then uses it."""
    folder = DATA / name
    return folder if all((folder / path).exists() for path in _named(name).holds) else None


def listing() -> str:
    """A line for each set: its name, what it is, how large the download is, and whether it is there."""
    width = max(len(chosen.about) for chosen in SETS)
    return "\n".join(f"{c.name:<15} {c.about:<{width}} {_megabytes(c.size):>9}  {_state(c)}" for c in SETS)


def get(name: str) -> str:
    """Fetch a set, with a progress bar on a terminal and a line a file elsewhere, and say where it is now.

    Raises:
        LookupError: there is no such set.
        Failure: it could not be had.
    """
    chosen = _named(name)
    if find(name):
        return f"{name} is there already: {_shown(DATA / name)}"
    begun: dict[str, int] = {}
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:

        def report(source: Source, have: int) -> None:
            if source.file not in begun:
                begun[source.file] = bar.add_task(source.file, total=source.size)
                if bar.disable:
                    so_far = f", {_megabytes(have)} of it here already" if have else ""
                    print(f"{source.file} ({_megabytes(source.size)}{so_far}) from {source.host}", file=sys.stderr, flush=True)
            bar.update(begun[source.file], completed=have)

        folder = fetch(chosen, DATA, report)
    return f"{name} is in {_shown(folder)}; about it and what may be done with it: {chosen.home}"


def fetch(chosen: DataSet, data: Path, report: Callable[[Source, int], None]) -> Path:
    """Download, check and unpack a set into `data/NAME`, which appears only when it is whole. Until then what has come lies
    in `data/NAME.part`, and the next call goes on from there. `report` is told how many bytes of a file are here.

    Raises:
        Failure: a host, a file or the disk did not play along.
    """
    folder, parts = data / chosen.name, data / f"{chosen.name}.part"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{_shown(folder)} is there but lacks something of {chosen.name}: move it away and try again")
    try:
        for source in chosen.sources:
            _download(source, parts / source.file, report)
        _assemble(chosen, parts, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(f"the disk is full: what has come stays in {_shown(parts)}; try again with room for about "
                          f"{_megabytes(2 * chosen.size)}, or delete it") from None  # fmt: skip
        raise Failure(f"{error.filename or _shown(parts)} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            parts.rmdir()  # only where nothing has come
    return folder


def _download(source: Source, path: Path, report: Callable[[Source, int], None]) -> None:
    """The rest of the file, or all of it where there is nothing yet or the host cannot send a part; checked."""
    have = path.stat().st_size if path.exists() else 0
    report(source, have)
    if have < source.size:
        with _opened(source, have) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            have = have if resumed else 0
            if response.length is not None and have + response.length != source.size:
                raise Failure(f"{source.host} has another {source.file} than expected: {have + response.length:,} bytes "
                              f"instead of {source.size:,}")  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab" if resumed else "wb") as file:
                while have <= source.size and (block := _read(response, source)):
                    file.write(block)
                    have += len(block)
                    report(source, min(have, source.size))
    if have < source.size:
        raise Failure(f"the connection to {source.host} ended after {have:,} of {source.size:,} bytes of {source.file}: "
                      "try again to go on from there")  # fmt: skip
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.sha256:
        path.unlink()
        raise Failure(f"{source.file} from {source.host} is not the file expected and was deleted; try again, and if it stays so "
                      f"do without: its SHA-256 is {digest}, not {source.sha256}")  # fmt: skip


def _opened(source: Source, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "torch-katas"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(source.url, headers=headers), timeout=SECONDS_OF_SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        raise Failure(f"{source.host} does not give out {source.file}: {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{source.host} cannot be reached: {_reason(error)}") from None


def _read(response: http.client.HTTPResponse, source: Source) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the connection to {source.host} broke: {_reason(error)}; try again to go on from there") from None


def _reason(error: Exception) -> str:
    error = getattr(error, "reason", error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _assemble(chosen: DataSet, parts: Path, folder: Path) -> None:
    """Unpack all files in a folder beside them and give that its name; whatever goes wrong, the files remain and it does not."""
    ready = parts / "unpacked"
    shutil.rmtree(ready, ignore_errors=True)
    try:
        for source in sorted(chosen.sources, key=lambda source: source.unpack is keep):
            place = ready / source.place
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.unpack(parts / source.file, place)
            except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error, ValueError, LookupError) as error:
                raise Failure(f"{source.file} cannot be unpacked: {error}") from None
        if missing := [path for path in chosen.holds if not (ready / path).exists()]:
            raise Failure(f"{chosen.name} came without {' and '.join(missing)}")
        if folder.exists():
            folder.rmdir()
        os.rename(ready, folder)
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    shutil.rmtree(parts)


def _inside(place: Path, name: str) -> Path:
    """Where a member of an archive goes."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or set(name) & set("\\:\0"):
        raise Failure(f"the archive is not safe to unpack: {name!r} would leave its folder")
    return place / path


def _copy(content: BinaryIO, target: Path, room: int) -> int:
    """Write a member of an archive and return what is left of the room for all; an empty file takes some too."""
    room -= 4096
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        while block := content.read(BLOCK):
            room -= len(block)
            if room < 0:
                break
            file.write(block)
    if room < 0:
        raise Failure(f"the archive is not safe to unpack: it holds more than {_megabytes(LARGEST)}")
    return room


def _named(name: str) -> DataSet:
    for chosen in SETS:
        if chosen.name == name:
            return chosen
    raise LookupError(f"there is no data set '{name}': there are {', '.join(chosen.name for chosen in SETS)}")


def _state(chosen: DataSet) -> str:
    if find(chosen.name):
        return f"in {_shown(DATA / chosen.name)}"
    parts = DATA / f"{chosen.name}.part"
    have = sum(file.stat().st_size for source in chosen.sources if (file := parts / source.file).is_file())
    return f"{_megabytes(have)} so far, kata data {chosen.name} goes on" if have else f"not here, kata data {chosen.name}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
