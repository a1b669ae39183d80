"""Optional larger data sets: the list of them, and downloading one into `data/`
completely or not at all.
"""

import contextlib
import csv
import errno
import hashlib
import http.client
import os
import runpy
import shutil
import struct
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from grader import printable
from grader.course.catalogue import ROOT
from grader.errors import DownloadFailure

DATA = ROOT / "data"
SECONDS_OF_SILENCE = 30.0
BLOCK = 1 << 16
BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    shutil.ReadError,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    LookupError,
)
SHARD_FILES = ROOT / "katas" / "33_gpt_capstone" / "shard_files.py"  # what a shard is
SHARD_HEADER = 1024  # bytes before its tokens


@dataclass(frozen=True)
class Source:
    """One file to download for a data set."""

    url: str
    size: int
    # None: none is published, and header, length and ids of the token shard are
    # checked instead
    sha256: str | None
    # unpack(file, place) makes the files that lessons read
    unpack: Callable[[Path, Path], None]
    place: str  # relative to the folder of the set

    @property
    def file(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class DataSet:
    """A data set, which is downloaded into the folder of its name in data/."""

    name: str
    about: str
    home: str  # page with description and licence
    sources: tuple[Source, ...]
    holds: tuple[str, ...]  # entries of the complete folder

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources)


def keep(file: Path, place: Path) -> None:
    """Move the file: lessons read it as it is."""
    os.replace(file, place)


def unpack(file: Path, place: Path) -> None:
    """Unpack an archive into the folder `place`. Its SHA-256 is known, so it is the
    archive that was looked at once.
    """
    # a zip takes no filter, and without one Python 3.12 warns of a tar
    shutil.unpack_archive(file, place, filter=None if file.suffix == ".zip" else "data")


def flower_labels(file: Path, place: Path) -> None:
    """Convert imagelabels.mat to labels.csv: a header, then one row per image with its
    file name and label.
    """
    with open(place, "w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(("file", "label"))
        labels = mat_numbers(file.read_bytes())
        rows.writerows(
            (f"image_{number:05d}.jpg", label)
            for number, label in enumerate(labels, start=1)
        )


def mat_numbers(data: bytes) -> list[int]:
    """Read a MATLAB 5 file that contains one array of integers.

    The file is a header of 128 bytes, then elements. An element is its type, its length
    in bytes and the bytes, padded to a multiple of 8. A short element of at most four
    bytes packs type and length into one word before its bytes. An array is an element
    that consists of four: flags, shape, name, numbers. It may be compressed as a whole.
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
        raise ValueError(f"expected an array, found an element of type {kind}")
    at = 0
    for _ in ("flags", "shape", "name"):
        _, _, at = element(array, at)
    kind, numbers, _ = element(array, at)
    letter = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d"}[kind]
    return [int(number) for (number,) in struct.iter_unpack(order + letter, numbers)]


IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _idx(base: str, *known: tuple[int, str]) -> tuple[Source, ...]:
    return tuple(
        Source(base + name, size, sha256, keep, name)
        for name, (size, sha256) in zip(IDX, known, strict=True)
    )


def _token_shards(last: int) -> tuple[Source, ...]:
    """The validation shard and the training shards up to a number. Only the 99th has
    fewer than 100 million tokens.
    """
    base = "https://huggingface.co/datasets/kjj0/finewebedu10B-gpt2/resolve/main/"
    tokens = {"finewebedu_val_000000.bin": 100_000_000}
    tokens |= {
        f"finewebedu_train_{i:06d}.bin": 53_989_344 if i == 99 else 100_000_000
        for i in range(1, last + 1)
    }
    return tuple(
        Source(base + name, SHARD_HEADER + 2 * n, None, keep, name)
        for name, n in tokens.items()
    )


# Sizes and SHA-256 as TensorFlow Datasets (tensorflow_datasets/url_checksums) and, for
# gpt2_bpe, tiktoken publish them.
SETS = (
    DataSet(
        "fashion_mnist", "70,000 pictures of clothes in ten classes, grey, 28×28",
        "https://github.com/zalandoresearch/fashion-mnist",
        _idx(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            (26421880,
             "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102,
             "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        IDX,
    ),
    DataSet(
        "mnist", "70,000 handwritten digits, grey, 28×28",
        "http://yann.lecun.com/exdb/mnist/",
        _idx(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            (9912422,
             "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1648877,
             "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        IDX,
    ),
    DataSet(
        "oxford_flowers", "8,189 photographs of flowers in 102 classes",
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        (
            Source("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
                   344862509,
                   "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                   unpack, "."),
            Source("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat",
                   502,
                   "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                   flower_labels, "labels.csv"),
        ),
        ("jpg", "labels.csv"),
    ),
    DataSet(
        "horse_or_human", "1,283 computer-made pictures of horses and humans, 300×300",
        "https://laurencemoroney.com/datasets.html",
        (
            Source("https://storage.googleapis.com/download.tensorflow.org/data/"
                   "horse-or-human.zip",
                   149574867,
                   "e2e6f70d3d549c5dd10a57165e55af253ee66ad750403f95c0fb76bb943633a9",
                   unpack, "training"),
            Source("https://storage.googleapis.com/download.tensorflow.org/data/"
                   "validation-horse-or-human.zip",
                   11480187,
                   "ae5fff2f4f5554791f05358108e2e05d9801b191f1896ea101402f0e7f6c32c0",
                   unpack, "validation"),
        ),
        ("training", "validation"),
    ),
    DataSet(
        "text", "tiny Shakespeare: a million characters of his plays",
        "https://github.com/karpathy/char-rnn",
        (
            Source("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
                   "tinyshakespeare/input.txt",
                   1115394,
                   "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                   keep, "tiny_shakespeare.txt"),
        ),
        ("tiny_shakespeare.txt",),
    ),
    DataSet(
        "gpt2_bpe", "GPT-2's tokenizer: its vocabulary and its merges",
        "https://github.com/openai/gpt-2",
        (
            Source("https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
                   "encoder.json",
                   1042301,
                   "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
                   keep, "encoder.json"),
            Source("https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
                   "vocab.bpe",
                   456318,
                   "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
                   keep, "vocab.bpe"),
        ),
        ("encoder.json", "vocab.bpe"),
    ),
    DataSet(
        "hellaswag", "10,042 sentences, each with four endings to choose from",
        "https://github.com/rowanz/hellaswag",
        (
            Source("https://raw.githubusercontent.com/rowanz/hellaswag/master/data/"
                   "hellaswag_val.jsonl",
                   12246618,
                   "0aa3b88843990f3f10a97b9575c94d7b71fb2205240ba04ae4884d9e9c992588",
                   keep, "hellaswag_val.jsonl"),
        ),
        ("hellaswag_val.jsonl",),
    ),
    DataSet(
        "fineweb_edu", "300 million GPT-2 tokens of educational web pages",
        "https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu",
        _token_shards(2), tuple(source.place for source in _token_shards(2)),
    ),
    DataSet(
        "fineweb_edu_10b", "10 billion GPT-2 tokens of educational web pages",
        "https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu",
        _token_shards(99), tuple(source.place for source in _token_shards(99)),
    ),
)  # fmt: skip


def find(name: str) -> Path | None:
    """The folder of a data set if it is complete, else None. Lessons use a set that
    they find.
    """
    folder = DATA / name
    return (
        folder if all((folder / path).exists() for path in _named(name).holds) else None
    )


def listing() -> str:
    """One line per set: name, description, size of the download, and whether it
    is downloaded.
    """
    width = max(len(chosen.about) for chosen in SETS)
    return "\n".join(
        f"{c.name:<15} {c.about:<{width}} {_megabytes(c.size):>9}  {_state(c)}"
        for c in SETS
    )


def get(name: str) -> str:
    """Download a set and return a sentence that says where it is.

    Progress is a bar on a terminal, and one line per file elsewhere.

    Raises:
        DownloadFailure: there is no such set, or it cannot be downloaded.
    """
    chosen = _named(name)
    if find(name):
        return f"{name} is already in {_shown(DATA / name)}"
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        folder = fetch(chosen, DATA, _reporter(bar))
    return f"{name} is in {_shown(folder)}; description and licence: {chosen.home}"


def fetch(chosen: DataSet, data: Path, report: Callable[[Source, int], None]) -> Path:
    """Download, check and unpack a set into `data/NAME`, which appears only when it
    is complete.

    Partial downloads are kept in `data/NAME.part`, and the next call resumes them.

    Args:
        report: called with a file and the number of its bytes that are downloaded.
    Raises:
        DownloadFailure: a host, a file or the disk does not allow it.
    """
    folder, parts = data / chosen.name, data / f"{chosen.name}.part"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DownloadFailure(
            f"{_shown(folder)} is not the complete {chosen.name}: move it away and "
            "try again"
        )
    try:
        for source in chosen.sources:
            _download(source, parts / source.file, report)
        _assemble(chosen, parts, folder)
    except DownloadFailure as failure:  # it may quote what a host or an archive says
        raise DownloadFailure(printable.line(str(failure)[:500])) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadFailure(
                f"the disk is full: free about {_megabytes(2 * chosen.size)} and try "
                f"again, or delete the partial download in {_shown(parts)}"
            ) from None
        place = error.filename or _shown(parts)
        raise DownloadFailure(
            f"{place} cannot be written: {error.strerror or error}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            parts.rmdir()  # fails if the folder is not empty
    return folder


def _reporter(bar: Progress) -> Callable[[Source, int], None]:
    """A function that advances the bar or, where there is no terminal, prints one line
    per file.
    """
    tasks: dict[str, TaskID] = {}

    def report(source: Source, have: int) -> None:
        if source.file not in tasks:
            tasks[source.file] = bar.add_task(source.file, total=source.size)
            if bar.disable:
                so_far = f", {_megabytes(have)} already downloaded" if have else ""
                line = (
                    f"{source.file} ({_megabytes(source.size)}{so_far}) from "
                    f"{source.host}"
                )
                print(line, file=sys.stderr, flush=True)
        bar.update(tasks[source.file], completed=have)

    return report


def _download(
    source: Source, path: Path, report: Callable[[Source, int], None]
) -> None:
    """Download a file or, if the host supports ranges, the missing rest of it. Check
    its size and its content.
    """
    have = path.stat().st_size if path.exists() else 0
    report(source, have)
    if have < source.size:
        with _opened(source, have) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            have = have if resumed else 0
            if response.length is not None and have + response.length != source.size:
                raise DownloadFailure(
                    f"{source.host} has a different {source.file}: "
                    f"{have + response.length:,} bytes instead of {source.size:,}"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab" if resumed else "wb") as file:
                while have <= source.size and (block := _read(response, source)):
                    file.write(block)
                    # Python 3.14 would keep more than the block: a kill loses nothing
                    # that came
                    file.flush()
                    have += len(block)
                    report(source, min(have, source.size))
    if have < source.size:
        raise DownloadFailure(
            f"the connection to {source.host} ended after {have:,} of {source.size:,} "
            f"bytes of {source.file}: try again to resume"
        )
    if problem := _damage(source, path):
        path.unlink()
        raise DownloadFailure(
            f"{source.file} from {source.host} was deleted, because {problem}: try "
            "again later"
        )


def _damage(source: Source, path: Path) -> str:
    """The reason why the downloaded file is not the published one; empty if it is."""
    if source.sha256 is None:
        if not SHARD_FILES.is_file():
            return "kata 33, which knows what a shard is, is not here"
        try:
            runpy.run_path(str(SHARD_FILES))["check"](path)
        except ValueError as error:
            return str(error)
        return ""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (
        ""
        if digest == source.sha256
        else f"its SHA-256 is {digest}, not {source.sha256}"
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a host to HTTP and HTTPS, and from HTTPS to HTTPS alone."""

    def redirect_request(self, request, answer, code, said, headers, url):  # type: ignore[no-untyped-def]
        if urlsplit(url).scheme not in ("https", request.type):
            raise DownloadFailure(
                f"{request.host} leads to {url}: that is not followed"
            )
        return super().redirect_request(request, answer, code, said, headers, url)


OPENER = urllib.request.build_opener(_Redirects)


def _opened(source: Source, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "torch-katas"} | (
        {"Range": f"bytes={have}-"} if have else {}
    )
    try:
        return OPENER.open(
            urllib.request.Request(source.url, headers=headers),
            timeout=SECONDS_OF_SILENCE,
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailure(
            f"{source.host} refused {source.file}: {error.code} {error.reason}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailure(
            f"{source.host} cannot be reached: {_reason(error)}"
        ) from None


def _read(response: http.client.HTTPResponse, source: Source) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailure(
            f"lost the connection to {source.host}: {_reason(error)}; try again to "
            "resume"
        ) from None


def _reason(error: Exception) -> str:
    error = getattr(error, "reason", error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _assemble(chosen: DataSet, parts: Path, folder: Path) -> None:
    """Unpack all files into a temporary folder and rename it. If unpacking fails, only
    the downloaded files remain.
    """
    ready = parts / "unpacked"
    shutil.rmtree(ready, ignore_errors=True)
    try:
        # `keep` moves its file: last
        for source in sorted(chosen.sources, key=lambda source: source.unpack is keep):
            place = ready / source.place
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.unpack(parts / source.file, place)
            except BROKEN_ARCHIVE as error:
                raise DownloadFailure(
                    f"{source.file} cannot be unpacked: {error}"
                ) from None
        if missing := [path for path in chosen.holds if not (ready / path).exists()]:
            raise DownloadFailure(
                f"{chosen.name} lacks {' and '.join(missing)} after unpacking"
            )
        if folder.exists():
            folder.rmdir()
        os.rename(ready, folder)
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    shutil.rmtree(parts)


def _named(name: str) -> DataSet:
    for chosen in SETS:
        if chosen.name == name:
            return chosen
    raise DownloadFailure(
        f"there is no data set '{name}': there are "
        f"{', '.join(chosen.name for chosen in SETS)}"
    )


def _state(chosen: DataSet) -> str:
    if find(chosen.name):
        return f"in {_shown(DATA / chosen.name)}"
    parts = DATA / f"{chosen.name}.part"
    have = sum(
        file.stat().st_size
        for source in chosen.sources
        if (file := parts / source.file).is_file()
    )
    if have:
        return f"{_megabytes(have)} downloaded: kata data {chosen.name} resumes"
    return f"not downloaded: kata data {chosen.name}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
