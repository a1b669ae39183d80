"""Questions that the specs of tinytorch/15 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe


@probe("train_language_model")
def _(kata, rng):
    """A text of one window makes every batch the same, whatever is drawn."""
    from tinytorch.layers import Module, Parameter

    class Bigram(Module):
        vocab_size, block_size = 9, 6

        def __init__(self):
            self.table = Parameter(torch.randn(9, 9, generator=rng).double().numpy())

        def forward(self, ids):
            return self.table[kata.as_array(ids)]

    model, text = Bigram(), torch.randint(9, (7,), generator=rng).numpy()
    losses = kata.train_language_model(model, text, 30, batch_size=2, lr=0.1, rng=np.random.default_rng(0))
    return [losses, model.table.data]


@probe("generate")
def _(kata, rng):
    """The model is sure of what follows each token, so that draws decide nothing."""
    from tinytorch.layers import Module
    from tinytorch.tensor import Tensor

    follower = torch.randperm(6, generator=rng).numpy()

    class Sure(Module):
        block_size = 3

        def forward(self, ids):
            return Tensor(100.0 * np.eye(6)[follower[kata.as_array(ids)]])

    return kata.generate(Sure(), torch.randint(6, (4, 2), generator=rng).numpy(), 5, rng=np.random.default_rng(0))


@probe("kv_cache_bytes")
def _(kata, rng):
    sizes, itemsize = (
        torch.randint(1, 20, (4,), generator=rng).tolist(),
        2 ** int(torch.randint(1, 4, (), generator=rng)),
    )
    return kata.kv_cache_bytes(*sizes, itemsize)


@probe("embedding_cost")
def _(kata, rng):
    sizes, itemsize = (
        torch.randint(1, 20, (3,), generator=rng).tolist(),
        2 ** int(torch.randint(1, 4, (), generator=rng)),
    )
    return kata.embedding_cost(*sizes, itemsize)
