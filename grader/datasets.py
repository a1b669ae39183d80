"""The data that every kata can count on: real digits and real prose, here without a download (`downloads` fetches the larger sets)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DIGITS = Path(__file__).parent / "data" / "digits.npz"


def digits() -> tuple[Tensor, Tensor]:
    """1797 handwritten digits from 13 writers, each 8×8 pixels of 17 grey levels, and which digit each one is.

    Returns:
        Images (1797, 1, 8, 8) float32 in [0, 1], 0 the paper and 1 the ink, and labels (1797,) int64 from 0 to 9. Both are new
        tensors at every call, in the order of the source, with nearly as many of each digit.

    Source: the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning
    Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the pixels 0 … 16 are divided by 16.
    """
    with np.load(DIGITS) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return torch.from_numpy(images[:, None].astype(np.float32) / 16), torch.from_numpy(labels.astype(np.int64))


def prose() -> str:
    """Nearly half a million characters of English: the topics of Python's own `help()`, in sorted order, blank lines between them.

    Length and wording differ a little from one Python version to the next.

    Source: `pydoc_data.topics` of the Python running, made from the Python Language Reference; copyright Python Software
    Foundation, PSF License Version 2.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))
