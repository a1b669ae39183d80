"""From a URL to samples: a file that is whole and checked, an archive unpacked with care, a data set read lazily."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset


def file_sha256(path: Path | str, chunk_size: int = 1 << 20) -> str:
    """Compute the SHA-256 digest of a file's contents: 64 characters that no other file is known to share.

    Two files with the same digest are the same file, for all practical purposes, so a digest that is published beside
    a download tells whether what came is what was sent. The digest of a file that holds the three bytes `abc`:

        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

    Args:
        path: the file; any bytes, also none.
        chunk_size: how many bytes to read at a time, at least 1. The digest is the same for every chunk size.
    Returns:
        The digest in hexadecimal, in lower case.

    A data set may be larger than memory: never more than a few chunks of the file are held at once.
    """
    raise NotImplementedError


def download(url: str, destination: Path | str, *, sha256: str | None = None, timeout: float = 30.0) -> Path:
    """Fetch a file once, and make sure that it is the right one.

    Args:
        url: where it is: http, https or file (`file:///home/me/flowers.tgz`).
        destination: the file to write. Its parent folders are made if they are missing.
        sha256: the digest that the file must have, in upper or lower case; None takes whatever comes.
        timeout: for how many seconds the server may be silent.
    Returns:
        `destination`, as a Path.

    If destination is there and its digest is the one asked for (or `sha256` is None), the URL is not opened. If it is
    there with another digest, it is fetched anew and replaced.

    Either destination is the whole, right file afterwards, or it is as it was before: absent, or with its old bytes.
    In both cases no other file is left in its folder: nothing half-finished, nothing temporary.

    Raises:
        ValueError: the scheme of the URL is another one, or there is none. Nothing is opened then.
        ValueError: what came has another digest. The message holds both digests in full.
        OSError: the server answers with an error (such as 404), cannot be reached or stays silent for `timeout`
            seconds; a file: URL leads to no file; the body ends before the length that its Content-Length header
            promises. (A server that names no length is believed.)
    """
    raise NotImplementedError


def extract_tar(archive: Path | str, destination: Path | str) -> list[Path]:
    """Unpack a tar archive below a folder, and nowhere else.

    Args:
        archive: a tar file, plain or compressed (.tar, .tgz, .tar.bz2 …); its contents tell which, not its name.
        destination: the folder to unpack to; it is made if it is missing.
    Returns:
        The paths of the regular files unpacked, sorted: destination / name of the member. Folders are made, with their
        parents, but not listed.

    An archive that holds the folder `jpg`, the file `jpg/b.png` and the file `a.txt`, unpacked to `out`, gives
    [out/a.txt, out/jpg/b.png]. Files that are there already are overwritten.

    An archive is somebody else's text, and its members may be called `../../home/me/.bashrc`. So all members are
    checked first, and if one of them is refused nothing is written, not even those before it.

    Raises:
        ValueError: a member's name is absolute, wherever it leads; or leads out of destination through `..`, or
            through a symlink that already lies in destination. Or a member is something other than a regular file or a
            folder: a symlink, a hard link, a device, a pipe. The message holds the member's name.
            (`..` in a name that stays inside, such as `jpg/../a.txt`, is your choice.)
    """
    raise NotImplementedError


class FlowerDataset(Dataset):
    """Pictures in a folder, with a list of their labels, as a data set.

    Args of `__init__`:
        root: the folder. `root/labels.csv` is a table with the header `file,label`, a row a picture; the pictures lie
            in `root/jpg/`. Labels are whole numbers counted from 1, as in Oxford Flowers.
        transform: what to make of each picture, a function; None leaves it an image.
    Attributes:
        root: the folder, as a Path.
        transform: as given.
        files: list of str, the file names in the order of labels.csv.
        targets: list of int, label - 1 for each of them: PyTorch counts classes from 0. Labels 5 and 9 become 4 and 8;
            a gap stays a gap.
        num_classes: the number of different targets.

    `len(ds)` is the number of samples, and `ds[i]` is (image, target): a PIL image in mode RGB whatever the mode of
    the file, and an int. With a transform, (transform(image), target); it is called once at each access, on the image
    alone.

    `labels.csv` is read once, by `__init__`, which opens no picture: a missing or broken one does not disturb the
    others. A picture is opened anew at each access and read completely, and its file is closed before `ds[i]` returns:
    whatever happens to the file then, the image in hand stays as it is.

    `i` is an int, a NumPy integer or a 0-dim integer tensor, negative as in lists: ds[-1] is the last sample. Outside
    it is an IndexError, which is also what ends `for image, target in ds`.

    `repr(ds)` names the number of samples, of classes, and the arguments:

        FlowerDataset(samples=7, classes=3, root='flowers', transform=None)

    with repr(str(root)) and repr(transform).

    Raises:
        FileNotFoundError (by `__init__`): there is no labels.csv.
        ValueError (by `__init__`): a label is less than 1.
        OSError (by `ds[i]`): that picture is missing, or is no picture.
    """

    def __init__(self, root: Path | str, transform: Callable[[Image.Image], Any] | None = None):
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, i: int) -> tuple[Any, int]:
        raise NotImplementedError

    def __repr__(self) -> str:
        raise NotImplementedError


class ClassSubset(Dataset):
    """The samples of some classes of another data set, in its order, under new labels if asked for.

    Args of `__init__`:
        dataset: any data set whose samples are (item, label), with `targets`, the list of all labels as ints.
        classes: the labels to keep.
        relabel: True gives a sample the position of its label in `classes` as its new label, so that the labels are
            0, 1, 2, … without gaps; False keeps the labels as they are.
    Attributes:
        dataset: as given.
        classes: list of int, in the order given.
        indices: list of int, the positions in `dataset` of the samples kept, in the order of `dataset`.
        targets: list of int, the label of each sample of the subset, so that a subset can be made of a subset.

    For targets [0, 1, 2, 0, 2] and classes [2, 0] the indices are [0, 2, 3, 4], and the targets [1, 0, 1, 0]: class 2
    is now 0, and class 0 is now 1. With relabel=False they are [0, 2, 0, 2].

    `len(sub)` is the number of samples kept, and `sub[i]` is (item, label): the item of the sample, and the entry of
    `targets`. `i` is an int, a NumPy integer or a 0-dim integer tensor, negative as in lists, and an IndexError
    outside. `__init__` looks at `dataset.targets` alone and loads no sample; each access loads one, once.

    Raises:
        ValueError (by `__init__`): classes is empty, names a class twice, or names one without a sample.
    """

    def __init__(self, dataset: Dataset, classes: Sequence[int], relabel: bool = True):
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, i: int) -> tuple[Any, int]:
        raise NotImplementedError
