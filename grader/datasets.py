"""Data sets that come with the package: handwritten digits, verse and prose. Larger
ones: `course.downloads`.
"""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DIGITS = Path(__file__).parent / "data" / "digits.npz"
VERSE = Path(__file__).parent / "data" / "carroll.txt"


def digits() -> tuple[Tensor, Tensor]:
    """Load 1797 handwritten digits from 13 writers, 8×8 pixels in 17 grey levels, and
    their labels.

    Returns:
        Images (1797, 1, 8, 8) float32 in [0, 1], where 0 is paper and 1 is ink, and
        labels (1797,) int64 from 0 to 9. Both are new tensors on every call. Their
        order is the source's, and the classes are nearly balanced.

    Source: the test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin
    and C. Kaynak, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49,
    licence CC BY 4.0. Pixels 0 … 16 were divided by 16.
    """
    with np.load(DIGITS) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return torch.from_numpy(images[:, None].astype(np.float32) / 16), torch.from_numpy(
        labels.astype(np.int64)
    )


def verse() -> str:
    """Load 4,255 characters of English verse: two poems with a blank line
    between stanzas.

    Source: "The Walrus and the Carpenter" and "Jabberwocky" (1871) by Lewis Carroll, in
    the public domain. Quotation marks and dashes are ASCII.
    """
    return VERSE.read_text(encoding="utf-8")


def prose() -> str:
    """Load nearly half a million characters of English: the topics of Python's
    `help()`, sorted, a blank line between.

    Length and wording differ slightly between Python versions.

    Source: `pydoc_data.topics` of the running Python, generated from the Python
    Language Reference; copyright Python Software Foundation, PSF License Version 2.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def characters() -> tuple[Tensor, Tensor, int]:
    """Load paragraphs of `prose()` with an id per character, in an order that is always
    the same.

    Returns:
        Ids to train on and ids held out, the last tenth, both (N,) int64; and how many
        symbols there are.
    """
    paragraphs = sorted(
        {
            " ".join(paragraph.split())
            for paragraph in prose().split("\n\n")
            if len(paragraph) > 200
        }
    )
    random.Random(0).shuffle(paragraphs)
    text = "\n".join(paragraphs)
    symbols = sorted(set(text))
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    ids = torch.tensor([numbers[character] for character in text])
    return ids[: -len(ids) // 10], ids[-len(ids) // 10 :], len(symbols)
