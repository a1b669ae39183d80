"""Specs of kata tinytorch/15: characters, embeddings, TinyGPT, sampling, training on a
text, and generation's cost.
"""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

LETTERS = "abcdefghij ,.'é🙂"
# logits whose softmax has simple shares
THREE = np.log([[1.0, 2.0, 3.0], [4.0, 8.0, 4.0]])


def tensor(values, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(values), requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def numbers_of(ids):
    """A copy of the ids' array. Models may be given a Tensor or an array."""
    from tinytorch.tensor import Tensor

    return np.array(ids.data if isinstance(ids, Tensor) else ids)


def rng(seed=0):
    return np.random.default_rng(seed)


def softmax(logits):
    return torch.from_numpy(logits).softmax(-1).numpy()


def scripted(logits_of, block_size=8):
    """A Module whose logits (B, T, V) are a function of the ids (B, T), and that notes
    its inputs and its mode.
    """
    from tinytorch.autograd import is_grad_enabled
    from tinytorch.layers import Module, Parameter

    class Scripted(Module):
        def __init__(self):
            self.scale = Parameter(np.ones(()))
            self.block_size, self.inputs, self.states = block_size, [], []

        def forward(self, ids):
            numbers = numbers_of(ids)
            self.inputs.append(numbers.tolist())
            self.states.append((self.training, is_grad_enabled()))
            return tensor(logits_of(numbers)) * self.scale

    return Scripted()


def counting_up(vocab):
    """Logits that say: after token t comes t + 1, and after the last one 0."""
    return lambda ids: 100.0 * np.eye(vocab)[(ids + 1) % vocab]


def always(logits):
    """The same logits, whatever the ids."""
    return lambda ids: np.broadcast_to(np.array(logits), (*ids.shape, len(logits)))


def last_only(logits_of):
    """Misleading logits at all positions but the last."""

    def logits(ids):
        out = logits_of(ids)
        out[:, :-1] = 0
        out[:, :-1, 0] = 1000
        return out

    return logits


def bigram(vocab, block_size):
    """A model with one row of logits per token, which notes the inputs of its
    forward passes.
    """
    from tinytorch.layers import Module, Parameter

    class Bigram(Module):
        def __init__(self):
            self.table = Parameter(normal(vocab, vocab))
            self.vocab_size, self.block_size, self.seen = vocab, block_size, []

        def forward(self, ids):
            self.seen.append(numbers_of(ids))
            return self.table[self.seen[-1]]

    return Bigram()


def losses_by_torch(table, inputs, lr, schedule, *, shift=1, zero=True):
    """The losses of training that model by PyTorch, on a text in which token t is
    followed by t + 1.
    """
    table = torch.tensor(table, requires_grad=True)
    optimizer, losses = torch.optim.Adam([table], lr), []
    for step, x in enumerate(map(torch.from_numpy, inputs)):
        optimizer.param_groups[0]["lr"] = lr * schedule(step)
        if zero:
            optimizer.zero_grad()
        loss = F.cross_entropy(table[x].flatten(0, 1), x.flatten() + shift)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def decay(total, warmup):
    """The rate's share of the base rate at each step: a rise, then half a cosine."""

    def share(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return share


@st.composite
def texts(draw):
    """A text for the vocabulary, and another one of its characters."""
    text = draw(st.text(LETTERS, min_size=1, max_size=20))
    return text, "".join(draw(st.lists(st.sampled_from(text), max_size=12)))


@st.composite
def ids_and_tables(draw):
    """Ids of one to three dims for a table of V rows, and the seed of the table."""
    vocab = draw(st.integers(1, 6))
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return rng(draw(st.integers(0, 99))).integers(0, vocab, shape), normal(
        vocab, draw(st.integers(1, 5))
    )


@st.composite
def changed_positions(draw):
    """A length up to the block of 7, and a position whose token is changed."""
    length = draw(st.integers(2, 7))
    return length, draw(st.integers(0, length - 1))


@st.composite
def logits_and_options(draw):
    seed, vocab = draw(st.integers(0, 99)), draw(st.integers(2, 9))
    return (
        normal(3, vocab, seed=seed),
        draw(st.sampled_from([0.3, 1.0, 2.5])),
        draw(st.integers(1, vocab)),
    )


@st.composite
def windows(draw):
    block = draw(st.integers(1, 6))
    return draw(st.integers(block + 1, 20)), draw(st.integers(1, 5)), block


@st.composite
def costs(draw):
    """A prompt, a number of new tokens, and a block."""
    return draw(st.integers(1, 9)), draw(st.integers(1, 12)), draw(st.integers(1, 24))


class TestCharTokenizer:
    def test_the_vocabulary_is_sorted_and_without_repeats(self, kata):
        """ "banana" has three different characters. Every character counts once, and a
        is 0 on every machine.
        """
        tokenizer = kata.CharTokenizer("banana")
        unlike = {
            "with repeats": sorted("banana"),
            "in order of appearance": ["b", "a", "n"],
        }
        check.equal(list(tokenizer.chars), ["a", "b", "n"], what="chars", unlike=unlike)
        check.equal(
            tokenizer.vocab_size,
            3,
            what="vocab_size",
            unlike={"the length of the text": 6},
        )

    def test_encodes_to_int64(self, kata):
        """A character's id is its place among the sorted characters. The ids are an
        int64 array, ready for lookups.
        """
        unlike = {
            "numbered by appearance": np.array([2, 1, 0]),
            "the character codes": np.array([110, 97, 98]),
        }
        check.equal(
            kata.CharTokenizer("banana").encode("nab"),
            np.array([2, 0, 1]),
            unlike=unlike,
        )

    def test_decodes_arrays_lists_and_tensors(self, kata):
        """Ids come from `generate` as an array, from a person as a list, from a model
        as a Tensor.
        """
        tokenizer = kata.CharTokenizer("banana")
        for ids in (
            np.array([2, 0, 1]),
            [2, 0, 1],
            tensor([2, 0, 1]),
            np.array([2, 0, 1], dtype=np.uint8),
        ):
            check.equal(
                tokenizer.decode(ids), "nab", what=f"the text of a {type(ids).__name__}"
            )

    @given(case=texts())
    def test_decoding_undoes_encoding(self, kata, case):
        """Any text made of the vocabulary's characters comes back, with spaces,
        punctuation and emoji.
        """
        text, message = case
        tokenizer = kata.CharTokenizer(text)
        ids = tokenizer.encode(message) if message else []
        check.equal(tokenizer.decode(ids), message)

    @pytest.mark.edge
    def test_nothing_to_encode(self, kata):
        """An empty text has no ids: an int64 array of length 0, which can index like
        any other.
        """
        check.equal(kata.CharTokenizer("ab").encode(""), np.zeros(0, dtype=np.int64))

    @pytest.mark.edge
    def test_an_unknown_character_is_refused(self, kata):
        """There is no id for it. The message names the character."""
        with check.raises(ValueError, "x"):
            kata.CharTokenizer("banana").encode("nax")

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [-1, 3])
    def test_an_id_outside_the_vocabulary_is_refused(self, kata, wrong):
        """-1 would be the last character, and hide a mistake."""
        with check.raises(IndexError):
            kata.CharTokenizer("banana").decode(np.array([0, wrong]))

    @pytest.mark.edge
    def test_an_empty_text_has_no_vocabulary(self, kata):
        """A model of 0 tokens can say nothing."""
        with check.raises(ValueError):
            kata.CharTokenizer("")


class TestEmbedding:
    def test_rows_of_the_table(self, kata):
        """Id i becomes row i. The same id twice gives the same row twice."""
        table = np.array([[0.0, 1], [10, 11], [20, 21]])
        got = check.data(kata.embedding(np.array([2, 0, 2]), tensor(table)))
        unlike = {
            "row i − 1: ids count from 0": np.array([[10.0, 11], [20, 21], [10, 11]]),
            "the one-hot rows, not yet multiplied with the table": np.eye(3)[[2, 0, 2]],
            "each row once": np.array([[0.0, 1], [20, 21]]),
        }
        check.equal(got, np.array([[20.0, 21], [0, 1], [20, 21]]), unlike=unlike)

    def test_ids_of_any_shape_and_kind(self, kata):
        """Ids (2, 3) give (2, 3, 5), and one id alone gives (5,), from arrays, lists
        and Tensors alike. The dtype is the table's.
        """
        table = normal(4, 5).astype(np.float32)
        ids = np.array([[3, 1, 0], [2, 2, 3]])
        expected = F.embedding(torch.from_numpy(ids), torch.from_numpy(table)).numpy()
        for given_as in (ids, ids.tolist(), tensor(ids)):
            what = f"the rows for a {type(given_as).__name__} of ids"
            check.equal(
                check.data(kata.embedding(given_as, tensor(table))), expected, what=what
            )
        check.equal(
            check.data(kata.embedding(np.array(2), tensor(table))),
            table[2],
            what="the row for one id",
        )

    @given(case=ids_and_tables())
    def test_equals_a_product_of_one_hot_rows(self, kata, case):
        """A one-hot row times the table picks one of its rows. The lookup gives the
        same without multiplying.
        """
        ids, table = case
        check.close(
            check.data(kata.embedding(ids, tensor(table))),
            np.eye(len(table))[ids] @ table,
        )

    def test_is_part_of_the_graph(self, kata):
        """The result is announced, so that gradients can reach the table."""
        out = kata.embedding(np.array([1, 0]), tensor(normal(3, 2), requires_grad=True))
        check.that(
            out.requires_grad,
            "the result is not connected to the table: no gradient can go back",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [-1, 4])
    def test_an_id_outside_the_table_is_refused(self, kata, wrong):
        """NumPy takes -1 for the last row, so a wrong id would train a wrong row."""
        with check.raises(IndexError):
            kata.embedding(np.array([[0, wrong]]), tensor(normal(4, 2)))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "ids",
        [np.array([0.0, 1.0]), np.array([True, False, True, True])],
        ids=["float", "bool"],
    )
    def test_ids_that_are_no_integers_are_refused(self, kata, ids):
        """Bools would select the rows where they are True, and floats are no places."""
        with check.raises(TypeError):
            kata.embedding(ids, tensor(normal(4, 2)))


def table_gradient(kata, ids, table, grad):
    weight = tensor(table, requires_grad=True)
    kata.embedding(ids, weight).backward(grad)
    check.that(weight.grad is not None, "no gradient reached the table")
    return weight.grad


class TestEmbeddingRule:
    def test_repeated_ids_add_up(self, kata):
        """Row 2 was copied to places 0 and 2, so its gradient is the sum of both.
        `out[ids] = g` keeps only the last one, and `out[ids] += g` does, too: NumPy
        reads, adds and writes once per row.
        """
        grad = np.array([[1.0, 2], [10, 20], [100, 200]])
        got = table_gradient(kata, np.array([2, 0, 2]), normal(4, 2), grad)
        unlike = {
            "only the last of the repeated ids counts": np.array(
                [[10.0, 20], [0, 0], [100, 200], [0, 0]]
            )
        }
        check.close(
            got, np.array([[10.0, 20], [0, 0], [101, 202], [0, 0]]), unlike=unlike
        )

    @given(case=ids_and_tables())
    def test_equals_pytorch(self, kata, case):
        """Ids of one to three dims: the gradient has the table's shape, and that
        of `F.embedding`.
        """
        ids, table = case
        grad = normal(*ids.shape, table.shape[1], seed=1)
        weight = torch.tensor(table, requires_grad=True)
        F.embedding(torch.from_numpy(ids), weight).backward(torch.from_numpy(grad))
        check.close(table_gradient(kata, ids, table, grad), weight.grad.numpy())

    def test_keeps_float32(self, kata):
        """The gradient has the table's dtype, float32 for a model's."""
        got = table_gradient(
            kata,
            np.array([1, 1]),
            normal(3, 2).astype(np.float32),
            np.ones((2, 2), np.float32),
        )
        check.equal(got, np.array([[0, 0], [2, 2], [0, 0]], dtype=np.float32))


class TestEmbeddingLayer:
    def test_a_small_random_table(self, kata):
        """A Parameter (V, C), float32, with mean 0 and standard deviation 0.02: a small
        start, so that no token is preferred.
        """
        layer = kata.Embedding(300, 20, rng=rng())
        names = [name for name, _ in layer.named_parameters()]
        check.equal(
            names,
            ["weight"],
            what="the names of the parameters",
            unlike={"the table is no Parameter": []},
        )
        table = layer.weight.data
        check.that(
            table.shape == (300, 20),
            f"weight has the shape {table.shape}, expected (300, 20)",
        )
        check.that(
            table.dtype == np.float32, f"weight is {table.dtype}, expected float32"
        )
        check.that(
            0.019 < table.std() < 0.021,
            f"the standard deviation is {table.std():.4f}, expected about 0.02",
        )
        check.that(
            abs(table.mean()) < 0.002,
            f"the mean is {table.mean():.4f}, expected about 0",
        )

    def test_looks_up_its_rows(self, kata):
        """Called with ids (2, 3), it gives (2, 3, C), and gradients reach the table."""
        layer, ids = kata.Embedding(6, 4, rng=rng()), np.array([[5, 0, 2], [2, 2, 1]])
        out = layer(ids)
        check.equal(check.data(out), layer.weight.data[ids])
        check.that(
            out.requires_grad,
            "the result is not connected to the table: no gradient can go back",
        )

    def test_the_generator_draws_the_table(self, kata):
        """Equal generators give equal tables, and without one the framework's
        generator draws.
        """
        from tinytorch.setup import manual_seed

        one, two = (kata.Embedding(3, 4, rng=rng(5)).weight.data for _ in range(2))
        check.equal(one, two, what="the table from an equal generator")
        manual_seed(3)
        one = kata.Embedding(3, 4).weight.data
        manual_seed(3)
        check.equal(
            kata.Embedding(3, 4).weight.data,
            one,
            what="the table after an equal manual_seed",
        )


def small_gpt(kata, seed=0):
    """V = 11, block 7, C = 6, three heads, two layers. Larger embeddings than at the
    start, so that they count.
    """
    model = kata.TinyGPT(11, 7, embed_dim=6, num_heads=3, num_layers=2, rng=rng(seed))
    for i, table in enumerate((model.tok_emb.weight, model.pos_emb.weight)):
        table.data = normal(*table.shape, seed=i + 7)
    return model


def check_sizes(model, embed_dim, num_heads, num_layers):
    """The number of heads shows in no weight. With the model's weights, a backbone of
    these sizes returns the same.
    """
    from tinytorch.transformers import GPTBackbone

    found = [model.tok_emb.weight.shape[1], len(model.backbone.blocks)]
    check.equal(found, [embed_dim, num_layers], what="features and layers")
    twin, x = (
        GPTBackbone(embed_dim, num_heads, num_layers),
        tensor(normal(2, 5, embed_dim)),
    )
    for theirs, mine in zip(
        twin.parameters(), model.backbone.parameters(), strict=True
    ):
        theirs.data = mine.data
    what = f"what the backbone returns, beside one of {num_heads} heads"
    check.close(check.data(model.backbone(x)), check.data(twin(x)), what=what)


class TestTinyGPTInit:
    def test_the_parts(self, kata):
        """Tokens have V rows, positions one row per place in the block. The head goes
        from C back to V.
        """
        model = kata.TinyGPT(11, 7, embed_dim=6, num_heads=3, num_layers=2, rng=rng())
        shapes = {
            "tok_emb": model.tok_emb.weight.shape,
            "pos_emb": model.pos_emb.weight.shape,
            "head": model.head.weight.shape,
        }
        unlike = {
            "sizes of the two embeddings exchanged": {
                "tok_emb": (7, 6),
                "pos_emb": (11, 6),
                "head": (11, 6),
            }
        }
        check.equal(
            shapes,
            {"tok_emb": (11, 6), "pos_emb": (7, 6), "head": (11, 6)},
            what="weights",
            unlike=unlike,
        )
        check.equal(
            [model.vocab_size, model.block_size],
            [11, 7],
            what="vocab_size and block_size",
        )

    def test_backbone_and_head(self, kata):
        """Heads and layers are those asked for, and the head has no bias. By default
        there are 2 layers of 4 heads with 32 features.
        """
        for options, sizes in (
            ({"embed_dim": 6, "num_heads": 3, "num_layers": 1}, (6, 3, 1)),
            ({}, (32, 4, 2)),
        ):
            model = kata.TinyGPT(11, 7, **options, rng=rng())
            check_sizes(model, *sizes)
            check.that(
                "head.bias" not in dict(model.named_parameters()), "the head has a bias"
            )

    def test_the_number_of_parameters(self, kata):
        """V·C and T·C for the embeddings, 12C² + 13C per block, 2C for the last norm,
        C·V for the head.
        """
        parameters = kata.TinyGPT(
            11, 7, embed_dim=6, num_heads=3, num_layers=2, rng=rng()
        ).parameters()
        expected = 11 * 6 + 7 * 6 + 2 * (12 * 36 + 13 * 6) + 2 * 6 + 6 * 11
        unlike = {
            "a head with a bias": expected + 11,
            "without the position embedding": expected - 42,
        }
        check.equal(
            sum(p.data.size for p in parameters),
            expected,
            what="the number of parameters",
            unlike=unlike,
        )

    def test_the_generator_draws_all_parts(self, kata):
        """Two models from equal generators are equal in every parameter."""
        one, two = (
            kata.TinyGPT(11, 7, embed_dim=6, num_heads=3, rng=rng(5)).named_parameters()
            for _ in range(2)
        )
        for (name, p), (_, q) in zip(one, two, strict=True):
            check.equal(q.data, p.data, what=f"{name} from an equal generator")


class TestTinyGPTForward:
    def test_logits_for_every_position(self, kata):
        """(B, T) ids give (B, T, V) logits: embeddings of tokens and positions added,
        then the backbone, then the head. B = 2, T = 5, V = 11, C = 6.
        """
        model, ids = small_gpt(kata), rng(1).integers(0, 11, (2, 5))
        tokens, positions = model.tok_emb.weight.data, model.pos_emb.weight.data
        expected = model.head(model.backbone(tensor(tokens[ids] + positions[:5]))).data
        unlike = {
            "without the positions": model.head(
                model.backbone(tensor(tokens[ids]))
            ).data,
            "positions counted from the end of the block": model.head(
                model.backbone(tensor(tokens[ids] + positions[2:]))
            ).data,
            "without the head": model.backbone(
                tensor(tokens[ids] + positions[:5])
            ).data,
            "positions counted from 1": model.head(
                model.backbone(tensor(tokens[ids] + positions[1:6]))
            ).data,
            "softmax of the logits": softmax(expected),
        }
        check.close(check.data(model(ids)), expected, unlike=unlike)
        check.close(
            check.data(model(tensor(ids))),
            expected,
            what="the logits for a Tensor of ids",
        )

    def test_position_matters(self, kata):
        """The same token at every place: without positions, all logits would
        be equal.
        """
        got = check.data(small_gpt(kata)(np.full((1, 7), 4)))
        check.that(
            np.abs(got[0, 1:] - got[0, :-1]).max(axis=1).min() > 1e-3,
            "equal logits at different positions",
        )

    @given(case=changed_positions())
    def test_the_future_changes_nothing(self, kata, case):
        """Another token at one position leaves all logits before it as they were, and
        changes those at it.
        """
        length, place = case
        model, ids = small_gpt(kata), rng(2).integers(0, 11, (2, length))
        before, other = model(ids).data.copy(), ids.copy()
        other[:, place] = (other[:, place] + 1) % 11
        after = check.data(model(other))
        check.close(
            after[:, :place],
            before[:, :place],
            what=f"logits before the changed position {place}",
        )
        check.that(
            not np.allclose(after[:, place], before[:, place]),
            f"the logits at {place} ignore the token there",
        )

    def test_gradients_reach_every_parameter(self, kata):
        """One backward pass trains the tables, the blocks and the head."""
        model = small_gpt(kata)
        model(rng(1).integers(0, 11, (2, 7))).backward(normal(2, 7, 11))
        without = [name for name, p in model.named_parameters() if p.grad is None]
        check.equal(without, [], what="parameters without a gradient")

    @pytest.mark.edge
    def test_a_sequence_longer_than_the_block(self, kata):
        """There is no position embedding for the eighth token of a block of 7."""
        with check.raises(ValueError, 8):
            small_gpt(kata)(np.zeros((1, 8), dtype=np.int64))

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(5,), (2, 3, 5)], ids=str)
    def test_ids_are_two_dimensional(self, kata, shape):
        """One sequence alone is (1, T). Other shapes would be broadcast to
        something else.
        """
        with check.raises(ValueError, 5):
            small_gpt(kata)(np.zeros(shape, dtype=np.int64))


class TestNextTokenProbs:
    def test_plain_softmax(self, kata):
        """At temperature 1, [log 1, log 2, log 3] gives the shares 1/6, 2/6, 3/6: a
        float64 array, from an array or a Tensor.
        """
        expected = np.array([[1 / 6, 2 / 6, 3 / 6], [1 / 4, 1 / 2, 1 / 4]])
        unlike = {
            "one sum for all rows": expected / 2,
            "one maximum and one sum for all rows": np.exp(THREE) / np.exp(THREE).sum(),
        }
        check.close(kata.next_token_probs(THREE), expected, unlike=unlike)
        got = kata.next_token_probs(tensor(THREE.astype(np.float32)))
        check.that(
            isinstance(got, np.ndarray),
            f"got a {type(got).__name__}, expected an array",
        )
        check.that(got.dtype == np.float64, f"got {got.dtype}, expected float64")
        check.close(
            got, expected, rtol=1e-5, what="the probabilities from a float32 Tensor"
        )

    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    def test_temperature_divides_the_logits(self, kata, temperature):
        """Low temperatures sharpen, high ones flatten: softmax(logits
        / temperature).
        """
        x, plain = normal(2, 3, 5), softmax(normal(2, 3, 5))
        unlike = {
            "multiplied by the temperature": softmax(x * temperature),
            "the temperature is ignored": plain,
            "probabilities divided by the temperature": plain / temperature,
            "the first maximum alone": np.eye(5)[x.argmax(-1)],
        }
        got = kata.next_token_probs(x, temperature=temperature)
        check.close(got, softmax(x / temperature), unlike=unlike)

    def test_temperature_zero_takes_the_first_maximum(self, kata):
        """All probability is on the largest logit, on the first one of equals. There is
        nothing to divide by.
        """
        x = np.array(
            [[1.0, 5.0, 5.0, -2.0], [0.0, 0.0, 0.0, 0.0], [-3.0, -2.0, -4.0, -1.0]]
        )
        unlike = {
            "shared among equals": np.array(
                [[0, 0.5, 0.5, 0], [0.25] * 4, [0, 0, 0, 1.0]]
            )
        }
        check.close(
            kata.next_token_probs(x, temperature=0), np.eye(4)[[1, 0, 3]], unlike=unlike
        )

    def test_top_k_keeps_the_largest(self, kata):
        """The k largest logits share the probability again. The rest have exactly 0."""
        plain = np.array([[1 / 6, 2 / 6, 3 / 6, 0]])
        x = np.log([[2.0, 4.0, 6.0, 1.0]])
        expected = np.array([[0, 2 / 5, 3 / 5, 0]])
        unlike = {
            "the rest cut away, and not renormalised": np.array(
                [[0, 4 / 13, 6 / 13, 0]]
            ),
            "the smallest kept": np.array([[2 / 3, 0, 0, 1 / 3]]),
            "one too many kept": plain,
            "all kept": np.array([[2, 4, 6, 1]]) / 13,
            "the rest set to 0, a logit like others": np.array([[1, 4, 6, 1]]) / 12,
        }
        check.close(kata.next_token_probs(x, top_k=2), expected, unlike=unlike)
        check.close(
            kata.next_token_probs(x, top_k=1),
            np.array([[0.0, 0, 1, 0]]),
            what="the maximum, with top_k=1",
        )
        check.close(
            kata.next_token_probs(x, top_k=4), softmax(x), what="all, with top_k=4"
        )

    @given(case=logits_and_options())
    def test_temperature_and_top_k_together(self, kata, case):
        """For any logits: k probabilities are not 0, they belong to the k largest
        logits, sum to 1, and have the ratios of softmax(logits / temperature).
        """
        logits, temperature, k = case
        got = kata.next_token_probs(logits, temperature=temperature, top_k=k)
        full = softmax(logits / temperature)
        kept = np.argsort(np.argsort(-logits)) < k
        check.close(got, full * kept / (full * kept).sum(axis=-1, keepdims=True))
        check.equal(
            (got > 0).sum(axis=-1).tolist(),
            [k] * 3,
            what="the number of probabilities above 0 per row",
        )

    def test_large_logits(self, kata):
        """e¹⁰⁰⁰⁰ is infinite. Only differences count, so the largest logit is
        subtracted first.
        """
        x = np.array([[10_000.0, 9_999.0, -10_000.0], [-10_000.0, -10_001.0, -9_998.0]])
        check.close(kata.next_token_probs(x, temperature=0.5), softmax(x * 2))

    @pytest.mark.edge
    def test_top_k_above_the_vocabulary_keeps_all(self, kata):
        """Of three tokens, the 50 largest are all three."""
        check.close(kata.next_token_probs(THREE, top_k=50), softmax(THREE))

    @pytest.mark.edge
    def test_the_logits_stay_as_they_were(self, kata):
        """-∞ is written to a copy."""
        x = THREE.copy()
        kata.next_token_probs(x, temperature=0.5, top_k=1)
        check.equal(x, THREE, what="the logits after the call")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "options", [{"temperature": -0.5}, {"top_k": 0}, {"top_k": -1}], ids=str
    )
    def test_options_out_of_range(self, kata, options):
        """A negative temperature would prefer the least likely token, and no token at
        all can not be sampled.
        """
        with check.raises(ValueError):
            kata.next_token_probs(THREE, **options)


class TestGenerate:
    def test_each_token_follows_from_the_one_before(self, kata):
        """This model says: after t comes t + 1. From the prompts [3, 7] and [4, 1] with
        10 tokens, the continuation is certain. The prompt stands in front.
        """
        model = scripted(last_only(counting_up(10)))
        got = kata.generate(model, np.array([[3, 7], [4, 1]]), 4, rng=rng())
        unlike = {
            "without the prompt": np.array([[8, 9, 0, 1], [2, 3, 4, 5]]),
            "sampled from the logits of the first position": np.array(
                [[3, 7, 0, 0, 0, 0], [4, 1, 0, 0, 0, 0]]
            ),
            "one draw for all rows": np.array([[3, 7, 8, 9, 0, 1], [4, 1, 8, 9, 0, 1]]),
            "the same token again: the new one is not read": np.array(
                [[3, 7, 8, 8, 8, 8], [4, 1, 2, 2, 2, 2]]
            ),
        }
        check.that(
            isinstance(got, np.ndarray),
            f"got a {type(got).__name__}, expected an array",
        )
        check.close(
            got, np.array([[3, 7, 8, 9, 0, 1], [4, 1, 2, 3, 4, 5]]), unlike=unlike
        )
        check.that(
            got.dtype.kind == "i", f"the tokens are {got.dtype}, expected integers"
        )

    def test_the_model_reads_the_last_block(self, kata):
        """With a block of 3 tokens, it reads all it has until there are 3, and then
        always the last 3. Earlier ones have no position embedding any more.
        """
        model = scripted(counting_up(10), block_size=3)
        kata.generate(model, tensor([[5, 6]]), 4, rng=rng())
        read = [[[5, 6]], [[5, 6, 7]], [[6, 7, 8]], [[7, 8, 9]]]
        unlike = {
            "the first tokens instead of the last": [
                [[5, 6]],
                [[5, 6, 7]],
                [[5, 6, 7]],
                [[5, 6, 7]],
            ],
            "the window is not cropped": [
                [[5, 6]],
                [[5, 6, 7]],
                [[5, 6, 7, 8]],
                [[5, 6, 7, 8, 9]],
            ],
        }
        check.equal(
            model.inputs, read, what="the inputs of the forward passes", unlike=unlike
        )

    def test_frequencies_match_the_probabilities(self, kata):
        """4000 equal prompts, one new token each: every token is as frequent as its
        probability says, within 5 standard deviations. So the rows differ, too.
        """
        logits = np.log([0.1, 0.2, 0.3, 0.4])
        model = scripted(always(logits))
        for options in ({}, {"temperature": 0.5}, {"top_k": 2}):
            got = kata.generate(
                model, np.zeros((4000, 1), dtype=np.int64), 1, rng=rng(), **options
            )
            found = np.bincount(got[:, 1], minlength=4) / 4000
            right = softmax(logits / options.get("temperature", 1)) * (
                np.arange(4) >= 4 - options.get("top_k", 4)
            )
            right = right / right.sum()
            slack = 5 * np.sqrt(right * (1 - right) / 4000)
            said = (
                f"the frequencies are {np.round(found, 3)}, the probabilities "
                f"{np.round(right, 3)}, with {options}"
            )
            argmax = (
                "the maximum always taken: nothing is drawn" if found[3] == 1 else ""
            )
            check.that(bool((np.abs(found - right) <= slack).all()), said, like=argmax)

    def test_temperature_zero_and_top_k_one_are_certain(self, kata):
        """Both take the largest logit, whatever the generator draws."""
        model = scripted(always([0.0, 0.3, 0.2]))
        for options in ({"temperature": 0}, {"top_k": 1}):
            got = kata.generate(
                model, np.zeros((20, 1), dtype=np.int64), 3, rng=rng(), **options
            )
            check.equal(
                got[:, 1:].tolist(),
                [[1, 1, 1]] * 20,
                what=f"the new tokens, with {options}",
            )

    def test_equal_generators_write_equal_texts(self, kata):
        """All randomness comes from `rng`. Another seed writes another text. Without
        one, the framework's generator draws.
        """
        from tinytorch.setup import manual_seed

        model, prompt = scripted(always(np.zeros(30))), np.zeros((2, 1), dtype=np.int64)
        texts = [
            kata.generate(model, prompt, 8, rng=rng(seed)).tolist()
            for seed in (0, 0, 1)
        ]
        check.equal(texts[1], texts[0], what="the text of an equal generator")
        check.that(texts[2] != texts[0], "another seed gave the same text")
        check.that(
            texts[0][0] != texts[0][1],
            "two equal prompts were continued equally: rows are sampled one by one",
        )
        manual_seed(3)
        first = kata.generate(model, prompt, 8).tolist()
        manual_seed(3)
        check.equal(
            kata.generate(model, prompt, 8).tolist(),
            first,
            what="the text after an equal manual_seed",
        )

    @pytest.mark.parametrize("training", [True, False])
    def test_in_eval_mode_without_a_graph(self, kata, training):
        """Dropout is off, no memory goes into graphs, and the model has its mode
        back afterwards.
        """
        model = scripted(counting_up(5))
        model.train(training)
        kata.generate(model, np.array([[1]]), 2, rng=rng())
        check.equal(
            [state[0] for state in model.states],
            [False, False],
            what="training, in each forward pass",
        )
        check.equal(
            [state[1] for state in model.states],
            [False, False],
            what="whether a graph was recorded",
        )
        check.equal(model.training, training, what="training, afterwards")
        check.that(model.scale.grad is None, "a gradient was computed")

    def test_a_tiny_gpt_writes(self, kata):
        """At temperature 0, each token is the maximum of the logits that the model
        gives for the last 7 tokens.
        """
        model, tokens = small_gpt(kata), [[3, 1], [0, 9]]
        for _ in range(8):
            tokens = [
                row + [int(model(np.array([row[-7:]])).data[0, -1].argmax())]
                for row in tokens
            ]
        check.equal(
            kata.generate(model, [[3, 1], [0, 9]], 8, temperature=0).tolist(), tokens
        )

    @pytest.mark.edge
    def test_no_new_tokens(self, kata):
        """The prompts come back, and nothing is computed."""
        model = scripted(counting_up(5))
        check.equal(kata.generate(model, np.array([[1, 2]]), 0).tolist(), [[1, 2]])
        check.equal(model.inputs, [], what="the inputs of the forward passes")

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(2, 0), (3,), (1, 1, 3)], ids=str)
    def test_prompts_that_are_none(self, kata, shape):
        """There is nothing to continue without a token, and prompts are (B, T)."""
        with check.raises(ValueError):
            kata.generate(scripted(counting_up(5)), np.zeros(shape, dtype=np.int64), 2)

    @pytest.mark.edge
    def test_a_negative_count(self, kata):
        """A loop over range(-1) would silently do nothing."""
        with check.raises(ValueError):
            kata.generate(scripted(counting_up(5)), np.array([[1]]), -1)

    @pytest.mark.edge
    def test_the_prompt_stays_as_it_was(self, kata):
        """The result is a new array, and the prompt's is not written to."""
        prompt = np.array([[1, 2]])
        got = kata.generate(scripted(counting_up(5)), prompt, 2, rng=rng())
        got[:] = 0
        check.equal(
            prompt, np.array([[1, 2]]), what="the prompt, after a write to the result"
        )


class TestSampleBatch:
    def test_targets_are_one_token_ahead(self, kata):
        """In the text 0, 1, 2, … every token is its place. A row of x is a window, and
        y holds the next tokens.
        """
        x, y = kata.sample_batch(np.arange(50), 3, 6, rng=rng())
        check.equal([x.shape, y.shape], [(3, 6), (3, 6)], what="the shapes of x and y")
        check.equal(
            x, x[:, :1] + np.arange(6), what="x, which should be windows without a gap"
        )
        check.equal(
            y,
            x + 1,
            what="y",
            unlike={"not shifted": x, "shifted by two": x + 2, "shifted back": x - 1},
        )

    def test_the_text_decides_not_the_place(self, kata):
        """Windows hold the tokens that stand at the places, in the dtype of
        the text.
        """
        text = np.array([7, 3, 9, 4], dtype=np.int64)
        x, y = kata.sample_batch(text, 2, 3, rng=rng())
        check.equal(
            x,
            np.array([[7, 3, 9]] * 2),
            what="x",
            unlike={"places": np.array([[0, 1, 2]] * 2)},
        )
        check.equal(
            y,
            np.array([[3, 9, 4]] * 2),
            what="y",
            unlike={"places": np.array([[1, 2, 3]] * 2)},
        )

    def test_every_start_is_drawn_the_last_one_too(self, kata):
        """A text of 10 tokens has 6 windows of 4 with targets. All are equally likely,
        within 5 standard deviations of 3000 draws.
        """
        x, _ = kata.sample_batch(np.arange(10), 3000, 4, rng=rng())
        counts = np.bincount(x[:, 0], minlength=6)
        check.equal(len(counts), 6, what="the number of starts, the largest one + 1")
        check.that(
            counts[5] > 0,
            f"the starts 0 to 5 were drawn {counts.tolist()} times: the last window "
            "is missing",
        )
        slack = 5 * math.sqrt(3000 * 1 / 6 * 5 / 6)
        check.that(
            bool((abs(counts - 500) < slack).all()),
            f"the starts were drawn {counts.tolist()} times of 3000",
        )

    @given(case=windows())
    def test_windows_of_any_text(self, kata, case):
        """Also for a text of block_size + 1 tokens, which has exactly one window."""
        length, batch, block = case
        text = np.arange(length)
        x, y = kata.sample_batch(text, batch, block, rng=rng())
        check.equal(
            [x.shape, y.shape], [(batch, block)] * 2, what="the shapes of x and y"
        )
        check.equal(y, x[:, :1] + 1 + np.arange(block), what="y")
        check.that(int(y.max()) < length, f"y reads token {y.max()} of {length}")

    def test_the_generator_draws(self, kata):
        """Equal generators draw equal windows, and one generator draws others each
        time. Without one, the framework's generator draws.
        """
        from tinytorch.setup import manual_seed

        text, one, two = np.arange(1000), rng(4), rng(4)
        first, again, same = (
            kata.sample_batch(text, 4, 5, rng=g)[0] for g in (one, one, two)
        )
        check.equal(same, first, what="the windows of an equal generator")
        check.that(
            bool((again != first).any()),
            "the same generator drew the same windows again",
        )
        manual_seed(3)
        first = kata.sample_batch(text, 4, 5)[0]
        manual_seed(3)
        check.equal(
            kata.sample_batch(text, 4, 5)[0],
            first,
            what="the windows after an equal manual_seed",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("length", [6, 3])
    def test_a_text_that_is_too_short(self, kata, length):
        """Six tokens are a window of 6, but its last target is missing."""
        with check.raises(ValueError, 6):
            kata.sample_batch(np.arange(length), 2, 6)


class TestTrainLanguageModel:
    def test_the_losses_are_those_of_pytorch(self, kata):
        """A model of one table learns a text in which t + 1 follows t. Its batches,
        learned by torch with Adam, a warm-up of 54 // 10 steps and a cosine decay, give
        the same losses, each from before the update.
        """
        steps, lr, model = 54, 0.1, bigram(24, 3)
        table = model.table.data.copy()
        losses = kata.train_language_model(
            model, np.arange(24), steps, batch_size=2, lr=lr, rng=rng()
        )
        check.equal(len(losses), steps, what="the number of losses")
        check.equal(len(model.seen), steps, what="the number of forward passes")
        check.equal(
            model.seen[0].shape,
            (2, 3),
            what="the shape of a batch of inputs, (batch_size, block_size)",
        )
        schedule = decay(steps, 5)
        unlike = {
            "gradients add up from step to step": losses_by_torch(
                table, model.seen, lr, schedule, zero=False
            ),
            "targets not shifted": losses_by_torch(
                table, model.seen, lr, schedule, shift=0
            ),
            "a constant rate": losses_by_torch(table, model.seen, lr, lambda step: 1),
            "no warm-up": losses_by_torch(table, model.seen, lr, decay(steps, 0)),
            "the rate is one step ahead": losses_by_torch(
                table, model.seen, lr, lambda step: schedule(step + 1)
            ),
        }
        expected = losses_by_torch(table, model.seen, lr, schedule)
        check.that(
            all(isinstance(loss, float) for loss in losses),
            "the losses are Python numbers, by item()",
        )
        check.close(list(losses), expected, rtol=1e-5, unlike=unlike, what="losses")

    def test_the_warm_up_is_at_most_20_steps(self, kata):
        """Of 230 steps, a tenth would be 23."""
        model = bigram(24, 3)
        table = model.table.data.copy()
        losses = kata.train_language_model(
            model, np.arange(24), 230, batch_size=2, lr=0.1, rng=rng()
        )
        unlike = {
            "a warm-up of 23 steps": losses_by_torch(
                table, model.seen, 0.1, decay(230, 23)
            )
        }
        expected = losses_by_torch(table, model.seen, 0.1, decay(230, 20))
        check.close(list(losses), expected, rtol=1e-5, unlike=unlike, what="losses")

    def test_the_generator_draws_the_batches(self, kata):
        """Equal generators give equal batches, and each step has a batch of its own. By
        default, 16 windows.
        """
        one, two = bigram(24, 3), bigram(24, 3)
        for model in (one, two):
            kata.train_language_model(model, np.arange(24), 3, rng=rng(5))
        check.equal(
            [x.tolist() for x in two.seen],
            [x.tolist() for x in one.seen],
            what="batches of an equal generator",
        )
        check.that(
            bool((one.seen[0] != one.seen[1]).any()),
            "the second step has the batch of the first again",
        )
        check.equal(one.seen[0].shape, (16, 3), what="the shape of a batch")

    def test_a_repeating_text_is_learned(self, kata):
        """A TinyGPT of one layer and 16 features: after 60 steps on "abcdabcd…", the
        loss is below 60 % of the first one.
        """
        model = kata.TinyGPT(4, 8, embed_dim=16, num_heads=2, num_layers=1, rng=rng())
        losses = kata.train_language_model(
            model, np.arange(200) % 4, 60, lr=1e-2, rng=rng(1)
        )
        said = (
            f"the loss went from {losses[0]:.2f} to {np.mean(losses[-5:]):.2f}, "
            "expected less than 60 % of the first"
        )
        check.that(np.mean(losses[-5:]) < 0.6 * losses[0], said)


@functools.cache
def two_runs(kata):
    """From equal generators, of two steps each."""
    return [kata.train_tiny_gpt(rng(), steps=2) for _ in range(2)]


class TestTrainTinyGpt:
    def test_what_it_returns(self, kata):
        """Two steps suffice to see the parts: the model with a block of 32 and its
        defaults, the tokenizer of the passage, a loss per step, and a sample of "To be"
        and 200 more characters.
        """
        found, _ = two_runs(kata)
        keys = ["known_pairs", "known_words", "losses", "model", "sample", "tokenizer"]
        check.equal(sorted(found), keys, what="keys")
        model, vocab = found["model"], len(set(kata.PASSAGE))
        check.equal(
            [model.vocab_size, model.block_size],
            [vocab, 32],
            what="vocab_size and block_size",
        )
        check_sizes(model, 32, 4, 2)
        check.equal(
            found["tokenizer"].vocab_size, vocab, what="the tokenizer's vocab_size"
        )
        check.equal(len(found["losses"]), 2, what="the number of losses")
        check.that(
            found["sample"].startswith("To be"),
            f"the sample begins with {found['sample'][:8]!r}",
        )
        check.equal(
            len(found["sample"]),
            205,
            what="the length of the sample",
            unlike={"without the prompt": 200},
        )
        quality = kata.text_quality(found["sample"], kata.PASSAGE)
        check.close(
            {key: found[key] for key in quality}, quality, what="the sample's quality"
        )

    def test_equal_generators_give_equal_runs(self, kata):
        """Parameters, batches and characters are all drawn from `rng`."""
        one, two = two_runs(kata)
        check.close(
            two["losses"], one["losses"], what="the losses from an equal generator"
        )
        check.equal(
            two["sample"], one["sample"], what="the sample from an equal generator"
        )

    def test_lr_is_the_base_rate(self, kata):
        """With a rate of almost 0, the loss stays where it starts: near the log of the
        number of characters.
        """
        losses = kata.train_tiny_gpt(rng(), steps=12, lr=1e-12)["losses"]
        moved = (
            f"with lr=1e-12, the losses go from {losses[0]:.2f} to {losses[-1]:.2f}, "
            "expected no change"
        )
        check.that(max(losses) - min(losses) < 0.3, moved)

    @pytest.mark.timeout(60)
    def test_it_learns_more_than_which_character_follows_which(self, kata):
        """After 150 of the 600 steps the loss is below 1.94, the bigram entropy: the
        model uses more of the text than the character before.
        """
        found = np.mean(kata.train_tiny_gpt(rng(), steps=150)["losses"][-20:])
        check.that(
            found < 1.94,
            f"the mean of the last 20 losses is {found:.2f}, expected below 1.94",
        )


def cost_by_counting(prompt, new_tokens, block_size, cached):
    """Run the loop, and count what attention compares: a table of queries and keys
    per step.
    """
    calls = tokens = pairs = 0
    for length in range(prompt, prompt + new_tokens):
        whole = np.ones((length, length))[-block_size:, -block_size:]
        table = whole[-1:] if cached and length > prompt else whole
        calls, tokens, pairs = calls + 1, tokens + len(table), pairs + table.size
    return {"forward_calls": calls, "token_positions": tokens, "attention_pairs": pairs}


@pytest.mark.stretch
class TestGenerationCost:
    def test_a_prompt_of_three_and_two_tokens(self, kata):
        """The passes read 3 and 4 tokens, in 9 and 16 pairs. The last new token is
        never read.
        """
        expected = {"forward_calls": 2, "token_positions": 7, "attention_pairs": 25}
        unlike = {
            "the new token is read at once": {
                "token_positions": 9,
                "attention_pairs": 41,
            },
            "a last pass, of which nobody reads the result": {
                "token_positions": 12,
                "attention_pairs": 50,
            },
            "masked pairs left out": {"attention_pairs": 16},
        }
        check.equal(kata.generation_cost(3, 2, 100), expected, unlike=unlike)

    def test_with_a_cache(self, kata):
        """The prompt once, then one token per pass, compared with all so far: 3 + 1
        tokens in 9 + 4 pairs.
        """
        expected = {"forward_calls": 2, "token_positions": 4, "attention_pairs": 13}
        unlike = {
            "a token is not compared with itself": {"attention_pairs": 12},
            "without the pass over the prompt": {
                "token_positions": 2,
                "attention_pairs": 7,
            },
            "compared with the new tokens alone": {"attention_pairs": 10},
            "every pass reads all": {"token_positions": 7, "attention_pairs": 25},
        }
        check.equal(
            kata.generation_cost(3, 2, 100, cache=True), expected, unlike=unlike
        )

    @given(case=costs())
    def test_equals_counting(self, kata, case):
        """With a block that fills on the way, or is full from the start, or
        never fills.
        """
        prompt, new, block = case
        check.equal(
            kata.generation_cost(prompt, new, block),
            cost_by_counting(prompt, new, block, False),
        )
        roomy = prompt + new + block
        got = kata.generation_cost(prompt, new, roomy, cache=True)
        check.equal(
            got, cost_by_counting(prompt, new, roomy, True), what="with a cache"
        )

    def test_against_a_model_that_counts(self, kata):
        """The cost is that of the inputs that `generate` gives the model, with a block
        of 4 that fills on the way.
        """
        model = scripted(counting_up(9), block_size=4)
        kata.generate(model, np.array([[1, 2]]), 5, rng=rng())
        read = [len(ids[0]) for ids in model.inputs]
        expected = {
            "forward_calls": len(read),
            "token_positions": sum(read),
            "attention_pairs": sum(n * n for n in read),
        }
        check.equal(kata.generation_cost(2, 5, 4), expected)

    @pytest.mark.edge
    @pytest.mark.parametrize("cached", [True, False])
    def test_no_new_tokens_cost_nothing(self, kata, cached):
        """Not even the prompt is read."""
        expected = {"forward_calls": 0, "token_positions": 0, "attention_pairs": 0}
        check.equal(kata.generation_cost(3, 0, 10, cache=cached), expected)


@pytest.mark.stretch
class TestKvCacheBytes:
    def test_equals_the_arrays(self, kata):
        """Keys and values of 3 layers, for 2 sequences of 5 positions with 6 features:
        what the arrays have.
        """
        arrays = [np.zeros((2, 5, 6), dtype=np.float32) for _ in range(3 * 2)]
        unlike = {
            "keys or values alone": 720,
            "one layer": 480,
            "numbers, not bytes": 360,
        }
        unlike["the square of the length: each position is kept once"] = 5 * 1440
        check.equal(
            kata.kv_cache_bytes(2, 5, 6, 3),
            sum(a.nbytes for a in arrays),
            unlike=unlike,
        )

    def test_half_precision(self, kata):
        """GPT-2 small, 1024 tokens, two bytes per number: 36 MiB."""
        check.equal(kata.kv_cache_bytes(1, 1024, 768, 12, itemsize=2), 36 * 2**20)


@pytest.mark.stretch
class TestEmbeddingCost:
    @pytest.mark.parametrize("itemsize", [4, 8])
    def test_equals_the_arrays(self, kata, itemsize):
        """The table, the rows that a lookup gives, and one-hot rows for all ids, as
        real arrays.
        """
        dtype = {4: np.float32, 8: np.float64}[itemsize]
        table, one_hot = np.zeros((11, 6), dtype), np.eye(11, dtype=dtype)[np.arange(5)]
        expected = {
            "table_bytes": table.nbytes,
            "lookup_bytes": table[np.arange(5)].nbytes,
            "one_hot_bytes": one_hot.nbytes,
            "one_hot_multiply_adds": 5 * 11 * 6,
        }
        bytes_of = ("table_bytes", "lookup_bytes", "one_hot_bytes")
        unlike = {
            "numbers, not bytes": expected
            | {name: expected[name] // itemsize for name in bytes_of},
            "a lookup of the whole table": expected | {"lookup_bytes": table.nbytes},
            "multiply-adds without the vocabulary": expected
            | {"one_hot_multiply_adds": 5 * 6},
            "multiply-adds without the features": expected
            | {"one_hot_multiply_adds": 5 * 11},
            "one-hot rows as wide as the features": expected
            | {"one_hot_bytes": 5 * 6 * itemsize},
            "the one-hot rows of the whole vocabulary": expected
            | {"one_hot_bytes": 11 * 11 * itemsize},
        }
        check.equal(kata.embedding_cost(11, 6, 5, itemsize), expected, unlike=unlike)

    def test_a_real_vocabulary(self, kata):
        """50,257 tokens with 768 features, four bytes each: the one-hot rows of 1024
        ids take more than the table.
        """
        found = kata.embedding_cost(50_257, 768, 1024)
        check.equal(found["lookup_bytes"], 3 * 2**20, what="lookup_bytes")
        check.that(
            found["one_hot_bytes"] > found["table_bytes"],
            f"one_hot_bytes is {found['one_hot_bytes']:,}",
        )


@pytest.mark.stretch
class TestGenerationScaling:
    def test_the_tokens_read(self, kata):
        """From one token on: 1 + 2 + … + n without a cache, and n with it."""
        found = kata.generation_scaling([3, 10, 40])
        check.equal(sorted(found), ["cached", "full"], what="keys")
        check.equal(list(found["full"]["sizes"]), [3, 10, 40], what="sizes")
        unlike = {"one token too many per pass": [9, 65, 860]}
        check.equal(
            list(found["full"]["values"]),
            [6, 55, 820],
            what="the values without a cache",
            unlike=unlike,
        )
        check.equal(
            list(found["cached"]["values"]), [3, 10, 40], what="the values with a cache"
        )

    def test_exponents(self, kata):
        """Twice the text costs four times as much without a cache, and twice as much
        with it.
        """
        found = kata.generation_scaling([32, 64, 128])
        for kind, right in (("full", 2), ("cached", 1)):
            exponent = found[kind]["exponent"]
            check.that(
                abs(exponent - right) < 0.05,
                f"the exponent of {kind} is {exponent:.2f}, expected about {right}",
            )
