"""From a URL to samples: a file that is whole and checked, an archive unpacked with
care, a data set read lazily.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset


def file_sha256(path: Path | str, chunk_size: int = 1 << 20) -> str:
    """Compute the SHA-256 digest of a file's contents.

    Args:
        path: the file.
        chunk_size: the number of bytes to read at a time. Hold no more than a few
            chunks in memory.
    Returns:
        The digest in lower-case hexadecimal, the same for every chunk size. A file with
        the three bytes `abc` has

        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

    Edge cases ★
        An empty file has a digest, too.
    """
    raise NotImplementedError


def download(
    url: str,
    destination: Path | str,
    *,
    sha256: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file once, and make sure that it is the right one.

    Args:
        url: http, https or file (`file:///home/me/flowers.tgz`).
        destination: the file to write. Missing parent folders are made.
        sha256: the digest that the file must have; None accepts any file.
        timeout: how many seconds the server may be silent, as for
            `urllib.request.urlopen`. (`urlretrieve` has none.)
    Returns:
        `destination`, as a Path.

    If destination exists, and its digest is right or `sha256` is None, do not open the
    URL. If its digest is wrong, fetch the file again. A body with the wrong digest is
    an error.

    Edge cases ★
        `sha256` may be in upper case. The error for a wrong digest shows both digests
        in full.
        An HTTP error, a missing file, an unreachable server and a body shorter than its
        Content-Length header (if there is one) are OSErrors.
        After any failure destination is as before: absent, or with its old bytes. No
        other file is left in its folder, not even after a success. The system's
        temporary folder may be on another disk. An empty body is fine. Other schemes,
        or none, are an error before anything is opened.
    """
    raise NotImplementedError


def extract_tar(archive: Path | str, destination: Path | str) -> list[Path]:
    """Unpack a tar archive below a folder, and nowhere else.

    Args:
        archive: a tar file, plain or compressed; its contents tell which, not its name.
        destination: the folder to unpack to. Missing folders are made, existing
            files overwritten.
    Returns:
        The sorted paths, destination / name, of the regular files. An archive of the
        folder `jpg` and the files `jpg/b.png` and `a.txt`, unpacked to `out`, gives
        [out/a.txt, out/jpg/b.png].

    A member whose name leads out of destination through `..` is an error.

    Edge cases ★
        These are errors, too: an absolute name, wherever it leads; a name that leaves
        destination through a symlink that lies there already; a member that is neither
        a regular file nor a folder. The error shows the member's name. Check all
        members first: if one is refused, nothing is written. Names such as `a..b.txt`
        are fine, and destination may be a symlink itself.
    """
    raise NotImplementedError


class FlowerDataset(Dataset):
    """Pictures in a folder, with a table of their labels, as a data set."""

    def __init__(
        self, root: Path | str, transform: Callable[[Image.Image], Any] | None = None
    ):
        """Read the table; open no picture.

        Args:
            root: the folder. `root/labels.csv` has the header `file,label` and one row
                per picture; the pictures are in `root/jpg/`. Labels are whole numbers
                counted from 1.
            transform: a function to apply to each image, or None.
        Attributes:
            root: the folder, as a Path.
            transform: as given.
            files: list of str, the file names in the order of the table.
            targets: list of int, label - 1 of each file. Labels 5 and 9 become 4 and 8:
                a gap stays a gap.
            num_classes: the number of different targets.

        Edge cases ★
            A table without rows is a data set without samples. A missing table is a
            FileNotFoundError, and a label less than 1 is an error.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        """Read one sample: (image, target), or (transform(image), target) with
        a transform.

        The image is a PIL image in mode RGB, whatever the mode of the file; the target
        is an int. Call the transform at each access, once, on the image alone. A
        picture that is missing or broken is an OSError at its own access.

        Edge cases ★
            Read the pixels and close the file before returning: a later change of the
            file leaves the image as it is, and shows at the next access. `i` is an int,
            a NumPy integer or a 0-dim integer tensor, negative as in lists. An i
            outside is an IndexError, which also ends `for image, target in ds`.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        """Name the number of samples and classes, repr(str(root)) and repr(transform):

            FlowerDataset(samples=7, classes=3, root='flowers', transform=None)

        Edge cases ★
            A root with an apostrophe is in double quotes, as repr writes it.
        """
        raise NotImplementedError


class ClassSubset(Dataset):
    """Some classes of another data set, in its order, under new labels if wanted."""

    def __init__(self, dataset: Dataset, classes: Sequence[int], relabel: bool = True):
        """Choose the samples by `dataset.targets`; load none.

        Args:
            dataset: a data set of (item, label) with `targets`, the list of all labels.
            classes: the labels to keep.
            relabel: True makes the position in `classes` the new label; False keeps
                the labels.
        Attributes:
            dataset: as given.
            classes: list of int, in the order given.
            indices: list of int, the positions in `dataset` of the samples kept, in
                its order.
            targets: list of int, the label of each sample kept.

        For targets [0, 1, 2, 0, 2] and classes [2, 0] the indices are [0, 2, 3, 4] and
        the targets [1, 0, 1, 0], or [0, 2, 0, 2] with relabel=False.

        Edge cases ★
            `dataset` and `classes` are not changed. It is an error if `classes` is
            empty, names a class twice, or names one without a sample.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        """Load one sample of the subset: (item, label), with the label from `targets`.

        `i` counts in the subset. Each access loads one sample of `dataset`, once. A
        subset of a subset works.

        Edge cases ★
            `i` is an int, a NumPy integer or a 0-dim integer tensor, negative as in
            lists. An i outside is an IndexError.
        """
        raise NotImplementedError
