"""Questions on generation that drawn inputs decide."""

from unittest import mock

import numpy as np

from grader.lock.probes import integers, judge, normal, probe


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


def summing(kata, vocabulary):
    """A model that is sure of the token which its whole input adds up to."""
    from tinytorch.layers import Module
    from tinytorch.tensor import Tensor

    class Summing(Module):
        vocab_size, block_size = vocabulary, 3

        def forward(self, ids):
            sums = np.cumsum(kata.as_array(ids), axis=1) % vocabulary
            return Tensor(100.0 * np.eye(vocabulary)[sums])

    return Summing()


def fill(model, rng):
    """Give the parameters drawn values, in the order of their names."""
    for _, parameter in sorted(model.named_parameters()):
        parameter.data[...] = 0.3 * normal(rng, *parameter.shape)
    return model


def letters(rng, count):
    return "".join(chr(97 + number) for number in integers(rng, count, 0, 26))


@probe("CharTokenizer")
def _(kata, rng):
    text = letters(rng, 30)
    tokenizer = kata.CharTokenizer(text)
    ids = integers(rng, 7, 0, len(set(text)))
    return [
        tokenizer.chars,
        tokenizer.vocab_size,
        tokenizer.encode(text[5:20]),
        tokenizer.decode(ids),
    ]


@probe("embedding")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    ids = integers(rng, 6, 0, 5)
    weight = Tensor(normal(rng, 5, 3), requires_grad=True)
    found = kata.embedding(np.array(ids).reshape(2, 3), weight)
    (found * Tensor(normal(rng, 2, 3, 3))).sum().backward()
    return [found.data, kata.embedding(ids, weight).data, weight.grad]


@probe("embedding_rule")
def _(kata, rng):
    from tinytorch.autograd import Node
    from tinytorch.tensor import Tensor

    ids = np.array(integers(rng, 9, 0, 4))
    node = Node("embedding", (Tensor(normal(rng, 5, 3)),), {"ids": ids}, ids)
    return kata.embedding_rule(node, normal(rng, 9, 3))


@probe("Embedding")
def _(kata, rng):
    rows, width, seed = integers(rng, 3, 40, 60)
    layer = kata.Embedding(rows, width, rng=np.random.default_rng(seed))
    other = kata.Embedding(rows, width, rng=np.random.default_rng(seed + 1))
    drawn = [layer.weight.data.copy(), other.weight.data]
    fill(layer, rng)
    ids = np.array(integers(rng, 6, 0, rows)).reshape(2, 3)
    return [drawn, layer(ids).data]


@judge("Embedding")
def _(values, expected):
    (weight, other), found = values
    usual = [abs(drawn.std() / 0.02 - 1) < 0.1 for drawn in (weight, other)]
    return [found, usual, np.abs(weight - other).max() > 0.01]


def gpt(kata, rng):
    vocabulary, block, heads, layers, width = integers(rng, 5, 2, 6)
    options = {"embed_dim": 2 * heads * width, "num_heads": heads, "num_layers": layers}
    return kata.TinyGPT(5 * vocabulary, 4 * block, **options)


@probe("TinyGPT.__init__")
def _(kata, rng):
    model = gpt(kata, rng)
    shapes = {name: part.shape for name, part in model.named_parameters()}
    return [model.vocab_size, model.block_size, shapes]


@probe("TinyGPT.forward")
def _(kata, rng):
    model = fill(gpt(kata, rng), rng)
    return model(np.array(integers(rng, 14, 0, 10)).reshape(2, 7)).data


@probe("next_token_probs")
def _(kata, rng):
    logits = normal(rng, 3, 7)
    temperature = 0.3 + abs(normal(rng, 1).item())
    return [
        kata.next_token_probs(logits, **chosen)
        for chosen in (
            {},
            {"temperature": 0},
            {"temperature": temperature},
            {"top_k": 3},
            {"temperature": temperature, "top_k": 4},
        )
    ] + [kata.next_token_probs(1e4 * logits), kata.next_token_probs(logits.round())]


@probe("generate")
def _(kata, rng):
    """The model is sure of the next token, so that draws decide nothing."""
    prompts = np.array(integers(rng, 32, 0, 11)).reshape(4, 8)
    return kata.generate(summing(kata, 11), prompts, 5)


@probe("sample_batch")
def _(kata, rng):
    ids = np.array(integers(rng, 12, 0, 10**9))
    [size] = integers(rng, 1, 3, 11)
    seeds = integers(rng, 2, 0, 10**9)
    batches = [
        kata.sample_batch(ids, 300, size, rng=np.random.default_rng(seed))
        for seed in seeds
    ]
    return [ids, kata.sample_batch(ids, 3, len(ids) - 1), batches]


@judge("sample_batch")
def _(values, expected):
    ids, whole, batches = *expected[:1], *values[1:]
    size = batches[0][0].shape[1]
    windows = [ids[i : i + size + 1] for i in range(len(ids) - size)]
    found = [np.concatenate([x[:, :1], y], axis=1) for x, y in batches]
    counts = [
        [(np.abs(rows - window).max(1) == 0).sum() for window in windows]
        for rows in found
    ]
    shares = np.array(counts) * len(windows) / 300
    return [
        whole,
        [np.array_equal(x[:, 1:], y[:, :-1]) for x, y in batches],
        [sum(of_one) for of_one in counts],
        0.3 < shares.min() and shares.max() < 3,
        np.array_equal(*found),
    ]


@probe("train_language_model")
def _(kata, rng):
    """A text of one window makes every batch the same, whatever is drawn."""
    model = bigram(kata, normal(rng, 9, 9))
    text = np.array(integers(rng, 7, 0, 9))
    losses = kata.train_language_model(model, text, 30, batch_size=2, lr=0.1)
    return [losses, model.table.data]


@probe("train_tiny_gpt")
def _(kata, rng):
    """Of a text in which each character has one successor is one sample."""
    text = 30 * ("To be" + "".join(dict.fromkeys(letters(rng, 8))).upper())
    [steps] = integers(rng, 1, 60, 70)
    with mock.patch.object(kata, "PASSAGE", text):
        found = kata.train_tiny_gpt(np.random.default_rng(0), steps=steps, lr=0.02)
    return [
        len(found["losses"]),
        found["sample"],
        [found["known_words"], found["known_pairs"]],
        [found["model"].block_size, found["model"].vocab_size],
    ]


@probe("generation_cost")
def _(kata, rng):
    prompt, new, block = integers(rng, 3, 2, 12)
    return [
        kata.generation_cost(prompt, new, block),
        kata.generation_cost(prompt, new, 30, cache=True),
    ]


@probe("generation_scaling")
def _(kata, rng):
    sizes = sorted(set(integers(rng, 5, 2, 90)))
    return kata.generation_scaling([1, *sizes])


@probe("kv_cache_bytes")
def _(kata, rng):
    return kata.kv_cache_bytes(*integers(rng, 4, 1, 20), 2 ** integers(rng, 1, 1, 4)[0])


@probe("embedding_cost")
def _(kata, rng):
    return kata.embedding_cost(*integers(rng, 3, 1, 20), 2 ** integers(rng, 1, 1, 4)[0])
