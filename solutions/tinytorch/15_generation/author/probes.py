"""Questions that the specs of tinytorch/15 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe, there


def bigram(kata, table):
    """A model that looks the next token's logits up."""
    from tinytorch.layers import Module, Parameter

    class Bigram(Module):
        vocab_size, block_size = len(table), 6

        def __init__(self):
            self.table = Parameter(table)

        def forward(self, ids):
            return self.table[kata.as_array(ids)]

    return Bigram()


@probe("train_language_model")
def _(kata, rng):
    """A text of one window makes every batch the same, whatever is drawn."""
    model = there(kata, bigram, torch.randn(9, 9, generator=rng).double().numpy())
    text = torch.randint(9, (7,), generator=rng).numpy()
    losses = kata.train_language_model(
        model, text, 30, batch_size=2, lr=0.1, rng=np.random.default_rng(0)
    )
    return [losses, model.table.data]


@probe("generate")
def _(kata, rng):
    """The model is sure of what follows each token, so that draws decide nothing."""
    model = there(
        kata, bigram, 100.0 * np.eye(6)[torch.randperm(6, generator=rng).numpy()]
    )
    return kata.generate(
        model,
        torch.randint(6, (4, 8), generator=rng).numpy(),
        5,
        rng=np.random.default_rng(0),
    )


def sizes(rng, count, low=2, high=9):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def filled(kata, model, seed):
    """Write drawn numbers into the parameters, in the order of their names."""
    numbers = np.random.default_rng(seed)
    for _, parameter in sorted(model.named_parameters()):
        parameter.data[...] = 0.3 * numbers.normal(size=parameter.shape)


@probe("Embedding")
def _(kata, rng):
    rows, width, seed = sizes(rng, 3, 40, 60)
    first, again = (
        kata.Embedding(rows, width, rng=np.random.default_rng(seed)) for _ in range(2)
    )
    weight = first.weight.data
    told = [
        weight.shape,
        str(weight.dtype),
        abs(weight.std() / 0.02 - 1) < 0.1,
        np.array_equal(again.weight.data, weight),
    ]
    there(kata, filled, first, seed)
    return [told, first(torch.randint(rows, (2, 3), generator=rng).numpy()).data]


def gpt(kata, rng):
    vocabulary, block, heads, layers, width = sizes(rng, 5, 2, 6)
    options = {"embed_dim": 2 * heads * width, "num_heads": heads, "num_layers": layers}
    return kata.TinyGPT(5 * vocabulary, 4 * block, **options)


@probe("TinyGPT.__init__")
def _(kata, rng):
    model = gpt(kata, rng)
    weights = [part.weight.data for part in (model.tok_emb, model.pos_emb, model.head)]
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    return [
        model.vocab_size,
        model.block_size,
        [w.shape for w in weights],
        model.head.bias is None,
        shapes,
    ]


@probe("TinyGPT.forward")
def _(kata, rng):
    model = gpt(kata, rng)
    there(kata, filled, model, sizes(rng, 1, 0, 10**6)[0])
    return model(torch.randint(10, (2, 7), generator=rng).numpy()).data


@probe("next_token_probs")
def _(kata, rng):
    logits, temperature = (
        torch.randn(3, 7, generator=rng).double().numpy(),
        0.3 + torch.rand((), generator=rng).item(),
    )
    options = [
        {},
        {"temperature": 0},
        {"temperature": temperature},
        {"top_k": 3},
        {"temperature": temperature, "top_k": 4},
    ]
    return [kata.next_token_probs(logits, **chosen) for chosen in options]


@probe("train_tiny_gpt")
def _(kata, rng):
    """The draws are the code's own: what does not depend on them is asked."""
    steps, seed = sizes(rng, 2, 3, 30)
    options = {
        "steps": steps,
        "lr": 0.004 + 0.004 * torch.rand((), generator=rng).item(),
    }
    found, again = (
        kata.train_tiny_gpt(np.random.default_rng(seed), **options) for _ in range(2)
    )
    quality = kata.text_quality(found["sample"], kata.PASSAGE)
    same = (
        np.allclose(again["losses"], found["losses"])
        and again["sample"] == found["sample"]
    )
    sample = found["sample"]
    told = [
        len(found["losses"]),
        len(sample),
        sample[:5],
        found["model"].block_size,
        found["model"].vocab_size,
    ]
    return [told, same, {name: found[name] == value for name, value in quality.items()}]


@probe("generation_scaling")
def _(kata, rng):
    return kata.generation_scaling(
        sorted((2 + torch.randperm(90, generator=rng)[:4]).tolist())
    )


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
