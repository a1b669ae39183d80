"""What the specs of tinytorch/12 cannot ask from another process."""

import numpy as np

from grader.loading import probe


@probe("train_digits_cnn")
def _(kata, rng):
    from tinytorch.data import load_digits
    from tinytorch.tensor import Tensor

    found = kata.train_digits_cnn(np.random.default_rng(7), epochs=1)
    images, labels = load_digits()
    x = (images[:300, None].astype(np.float32) - images.mean()) / images.std()
    right = (found["model"](Tensor(x)).data.argmax(axis=1) == labels[:300]).mean()
    return [sorted(found), bool(right > 0.5)]
