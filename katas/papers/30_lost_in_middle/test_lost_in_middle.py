"""Specs of kata papers/30: attention by content and position, a reader, its training,
reordering, and measurements.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

# questions, documents, numbers per key, values, projected features
B, N, K, V, D = 3, 5, 4, 6, 7


def rand(*shape):
    """Float64 numbers in ±1.5."""
    return torch.rand(shape, dtype=torch.float64) * 3 - 1.5


def weighed(query, keys, bias, *, scale=None, after=False, dim=1):
    """The attention weights (B, N) of vectors of one size, in float64. The options
    are slips.
    """
    scores = (query[:, None] * keys).sum(dim=2) / (
        query.shape[1] ** 0.5 if scale is None else scale
    )
    if after:
        return scores.softmax(dim=1) * bias
    return (scores + bias).softmax(dim=dim)


def slips(query, keys, bias):
    """By name, what some slips in attention lead to."""
    return {
        "no scale": weighed(query, keys, bias, scale=1.0),
        "divided by d, not by √d": weighed(query, keys, bias, scale=query.shape[1]),
        "the bias ignored": weighed(query, keys, torch.zeros(())),
        "the bias multiplied to the weights, after the softmax": weighed(
            query, keys, bias, after=True
        ),
        "the bias added to the weights, after the softmax": weighed(
            query, keys, torch.zeros(())
        )
        + bias,
        "the bias subtracted": weighed(query, keys, -bias),
        "the bias divided by √d, too": weighed(
            query, keys, bias / query.shape[1] ** 0.5
        ),
        "the softmax over the questions": weighed(query, keys, bias, dim=0),
    }


@pytest.mark.stretch
class TestAttentionWeightsNumpy:
    def call(self, kata, *tensors):
        return kata.attention_weights_numpy(*(part.numpy().copy() for part in tensors))

    def test_two_documents_by_hand(self, kata):
        """The products are 8 and 0, √d is 4, and the biases are 0 and 2: scores of 2
        and 2, so both weights are 0.5. Here position makes up for content.
        """
        axes = torch.eye(16, dtype=torch.float64)
        query, keys, bias = (
            4 * axes[:1],
            (axes[:2] * torch.tensor([[2.0], [1.0]]))[None],
            torch.tensor([0.0, 2.0]).double(),
        )
        unlike = {
            name: wrong.numpy() for name, wrong in slips(query, keys, bias).items()
        }
        check.close(
            self.call(kata, query, keys, bias),
            np.array([[0.5, 0.5]]),
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    def test_content_and_position_add_up_before_the_softmax(self, kata):
        """Weights are the softmax over a question's documents of
        query · key / √d + bias. So they are positive, and each row sums to 1.
        """
        query, keys, bias = rand(B, D), rand(B, N, D), rand(N)
        unlike = {
            name: wrong.numpy() for name, wrong in slips(query, keys, bias).items()
        }
        got = self.call(kata, query, keys, bias)
        check.close(
            got, weighed(query, keys, bias).numpy(), rtol=1e-4, atol=1e-5, unlike=unlike
        )

    def test_each_question_has_its_own_documents(self, kata):
        """One question alone gives the same row as in a batch."""
        query, keys, bias = rand(B, D), rand(B, N, D), rand(N)
        alone = [
            self.call(kata, query[b : b + 1], keys[b : b + 1], bias) for b in range(B)
        ]
        check.close(
            self.call(kata, query, keys, bias),
            np.concatenate(alone),
            rtol=1e-4,
            atol=1e-5,
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        query, keys, bias = rand(B, D), rand(B, N, D), rand(N)
        check.close(
            self.call(kata, query, keys, bias),
            weighed(query, keys, bias).numpy(),
            rtol=0,
            atol=1e-9,
        )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """e to the power of 1000 is infinite. A softmax may subtract any number from
        all scores: take the largest.
        """
        got = self.call(
            kata, rand(B, D), rand(B, N, D), 1000.0 * torch.arange(N).double()
        )
        check.close(
            got,
            np.eye(N)[[N - 1] * B],
            rtol=0,
            atol=1e-5,
            what="weights, with biases in the thousands",
        )


class TestReaderInit:
    def test_has_two_projections_and_a_bias_per_position(self, kata):
        """Query and keys are projected without bias. The preference for positions is a
        parameter of its own, with one number per document.
        """
        shapes = {
            name: list(p.shape)
            for name, p in kata.Reader(N, K, V, D).named_parameters()
        }
        expected = {
            "query_projection.weight": [D, K],
            "key_projection.weight": [D, K],
            "position_bias": [N],
        }
        check.equal(shapes, expected, what="the shapes of the parameters")

    def test_a_fresh_reader_prefers_no_position(self, kata):
        """The bias starts at zero. Whatever preference is there later was learned."""
        check.close(
            kata.Reader(N, K, V, D).position_bias, torch.zeros(N), what="position_bias"
        )

    def test_says_what_it_can_be_asked(self, kata):
        """Trainers and measurements draw questions for a reader by these
        three attributes.
        """
        reader = kata.Reader(N, K, V, D)
        got = [reader.num_documents, reader.key_size, reader.num_values]
        check.equal(got, [N, K, V], what="num_documents, key_size and num_values")


def lively(reader):
    """The reader with parameters in ±1.2, so that no part of it is too small to
    be seen.
    """
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.uniform_(-1.2, 1.2)
    return reader


def inputs(**options):
    """Random queries (B, K), keys (B, N, K) and values (B, N). One value comes twice or
    more in each row.
    """
    values = torch.tensor([[0, 3, 0, 1, 0], [5, 5, 2, 5, 2], [4, 1, 2, 3, 1]])
    return torch.randn(B, K, **options), torch.randn(B, N, K, **options), values


def projected(reader, query, keys):
    """Query (B, D), keys (B, N, D) and bias (N,) in float64, from the parameters
    by name.
    """
    to_query, to_key = (
        part.weight.double()
        for part in (reader.query_projection, reader.key_projection)
    )
    return (
        query.double() @ to_query.T,
        keys.double() @ to_key.T,
        reader.position_bias.double(),
    )


def gradients_of(output, reader):
    """The gradient of a fixed weighting of the output, for each parameter by name."""
    check.that(
        output.requires_grad, "the result has no autograd graph: nothing can be learned"
    )
    weighting = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(
        output.shape
    )
    names, parameters = zip(*reader.named_parameters(), strict=True)
    return dict(
        zip(
            names,
            torch.autograd.grad(
                (output * weighting).sum(), parameters, allow_unused=True
            ),
            strict=True,
        )
    )


def same_gradients(got, expected):
    for name, gradient in got.items():
        check.that(gradient is not None, f"no gradient reaches {name}")
        check.close(gradient, expected[name], what=f"gradient of {name}")


class TestReaderAttention:
    def test_content_decides_without_a_bias(self, kata):
        """A score is the dot product of the projected vectors, of size D, so it is
        divided by √D. A fresh reader has a bias of zeros.
        """
        reader = kata.Reader(N, K, V, D)
        with torch.no_grad():
            for layer in (reader.query_projection, reader.key_projection):
                layer.weight.uniform_(-1.2, 1.2)
            query, keys, _ = inputs()
            q, k, bias = projected(reader, query, keys)
            unlike = {
                "divided by √key_size: the vectors are projected": weighed(
                    q, k, bias, scale=K**0.5
                ),
                "no scale": weighed(q, k, bias, scale=1.0),
                "the softmax over the questions": weighed(q, k, bias, dim=0),
                "scores, without a softmax": torch.einsum("bd,bnd->bn", q, k) / D**0.5,
                "the two projections exchanged": weighed(
                    reader.key_projection(query), reader.query_projection(keys), bias
                ),
            }
            check.close(
                reader.attention(query, keys), weighed(q, k, bias), unlike=unlike
            )

    def test_the_bias_is_added_before_the_softmax(self, kata):
        """Content and position are scores of the same kind: they add up, and the
        softmax makes weights of the sum. Each row sums to 1.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, _ = inputs()
        with torch.no_grad():
            parts = projected(reader, query, keys)
            check.close(
                reader.attention(query, keys), weighed(*parts), unlike=slips(*parts)
            )

    def test_a_correction_is_taken_out(self, kata):
        """A correction is subtracted from the bias, because it is a preference that
        should go.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, _ = inputs()
        correction = torch.linspace(-2, 1, N)
        with torch.no_grad():
            q, k, bias = projected(reader, query, keys)
            unlike = {
                "the correction added": weighed(q, k, bias + correction),
                "the correction ignored": weighed(q, k, bias),
                "the correction in place of the bias": weighed(q, k, -correction),
                "the correction subtracted after the softmax": weighed(q, k, bias)
                - correction,
            }
            got = reader.attention(query, keys, correction)
            check.close(got, weighed(q, k, bias - correction), unlike=unlike)

    def test_gradients_reach_both_projections_and_the_bias(self, kata):
        """All three learn: what to look for, and where."""
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, _ = inputs()
        expected = gradients_of(weighed(*projected(reader, query, keys)), reader)
        same_gradients(gradients_of(reader.attention(query, keys), reader), expected)

    @given(order=st.permutations(range(N)))
    def test_only_bias_and_correction_know_positions(self, kata, order):
        """If documents are moved, and bias and correction are moved alike, the weights
        move with them.
        """
        torch.manual_seed(1)
        reader, correction = lively(kata.Reader(N, K, V, D)), torch.linspace(-2, 1, N)
        query, keys, _ = inputs()
        with torch.no_grad():
            expected = reader.attention(query, keys, correction)[:, order]
            reader.position_bias.copy_(reader.position_bias[order].clone())
            check.close(
                reader.attention(query, keys[:, order], correction[order]), expected
            )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """`model.double()` is enough: nothing on the way is made in float32."""
        reader = lively(kata.Reader(N, K, V, D).double())
        query, keys, _ = inputs(dtype=torch.float64)
        with torch.no_grad():
            got = reader.attention(query, keys)
            check.dtype(got, torch.float64)
            check.close(
                got, weighed(*projected(reader, query, keys)), rtol=0, atol=1e-9
            )


def votes(weights, values, combine=sum):
    """Probabilities (B, V): the weights of the documents with each value, combined.
    Zero where there is none.
    """
    table = weights.new_zeros(len(weights), V)
    for b, row in enumerate(values.tolist()):
        for v in set(row):
            table[b, v] = combine(
                [weights[b, n] for n in range(len(row)) if row[n] == v]
            )
    return table


def logs(probabilities):
    return probabilities.clamp(min=1e-9).log()


class TestReaderForward:
    def test_documents_with_the_same_value_add_up(self, kata):
        """Each document votes for its value with its weight. The probability of a value
        is the sum over the documents that have it, and the result is its log.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, values = inputs()
        with torch.no_grad():
            weights = weighed(*projected(reader, query, keys))
            counts = votes(torch.ones_like(weights), values).clamp(min=1)
            unlike = {
                "probabilities, not their logs": votes(weights, values),
                "only the last document with a value counts": logs(
                    votes(weights, values, lambda found: found[-1])
                ),
                "only the best document with a value counts": logs(
                    votes(weights, values, max)
                ),
                "the mean over documents with a value": logs(
                    votes(weights, values) / counts
                ),
                "a log-softmax of the probabilities": votes(
                    weights, values
                ).log_softmax(dim=1),
                "the logs of the weights summed, not the log of their sum": votes(
                    weights.log(), values
                ),
            }
            check.close(
                reader(query, keys, values), logs(votes(weights, values)), unlike=unlike
            )

    def test_an_absent_value_has_the_log_of_1e_9(self, kata):
        """All documents say 2, so the other values have no attention at all. log 0 is
        −∞ and would spoil the loss: probabilities below 1e-9 are raised to it.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, _ = inputs()
        expected = torch.full((B, V), 1e-9).log()
        expected[:, 2] = 0
        got = reader(query, keys, torch.full((B, N), 2))
        check.close(got, expected, unlike={"log 0": torch.eye(V)[[2] * B].log()})

    def test_gradients_are_finite_and_reach_all_parameters(self, kata):
        """Also where a value is absent: the floor passes no gradient, and nothing
        is NaN.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, values = inputs()
        got = gradients_of(reader(query, keys, values), reader)
        expected = gradients_of(
            logs(votes(weighed(*projected(reader, query, keys)), values)), reader
        )
        for name, gradient in got.items():
            check.that(gradient is not None, f"no gradient reaches {name}")
            check.finite(gradient, what=f"gradient of {name}")
        same_gradients(got, expected)

    def test_the_correction_reaches_the_attention(self, kata):
        """`forward` hands the correction on. With the bias itself as correction,
        content alone decides.
        """
        reader = lively(kata.Reader(N, K, V, D))
        query, keys, values = inputs()
        with torch.no_grad():
            q, k, bias = projected(reader, query, keys)
            unlike = {
                "the correction ignored": logs(votes(weighed(q, k, bias), values)),
                "the correction added": logs(votes(weighed(q, k, 2 * bias), values)),
            }
            got = reader(query, keys, values, reader.position_bias.detach().clone())
            check.close(
                got, logs(votes(weighed(q, k, 0 * bias), values)), unlike=unlike
            )

    @given(values=st.permutations(range(V)))
    def test_probabilities_sum_to_1(self, kata, values):
        """With N = V, each value comes once, and the probabilities are the weights in
        the order of the values.
        """
        torch.manual_seed(2)
        reader = lively(kata.Reader(V, K, V, D))
        query, keys = torch.randn(B, K), torch.randn(B, V, K)
        with torch.no_grad():
            got = reader(query, keys, torch.tensor([values] * B)).exp()
            expected = weighed(*projected(reader, query, keys))
        check.close(got.sum(dim=1), torch.ones(B), what="the sum of the probabilities")
        check.close(
            got[:, values],
            expected,
            what=f"the probabilities of the values {values}, in this order",
        )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """The votes are counted in the dtype of the weights."""
        reader = lively(kata.Reader(N, K, V, D).double())
        query, keys, values = inputs(dtype=torch.float64)
        with torch.no_grad():
            got = reader(query, keys, values)
            check.dtype(got, torch.float64)
            check.close(
                got,
                logs(votes(weighed(*projected(reader, query, keys)), values)),
                rtol=0,
                atol=1e-9,
            )


class Witness(nn.Module):
    """A model that keeps what it was called with. It reads everything through one
    linear layer.
    """

    def __init__(self, num_documents=4, key_size=3, num_values=5):
        super().__init__()
        self.num_documents, self.key_size, self.num_values = (
            num_documents,
            key_size,
            num_values,
        )
        self.linear = nn.Linear(
            key_size * (num_documents + 1) + num_documents, num_values
        )
        self.read, self.modes = [], []

    def forward(self, query, keys, values, correction=None):
        self.read.append([part.detach().clone() for part in (query, keys, values)])
        self.modes.append(self.training)
        return self.linear(
            torch.cat([query, keys.flatten(1), values.to(query)], dim=1)
        ).log_softmax(dim=1)

    def all_read(self):
        """All queries, keys and values that it was called with."""
        return [torch.cat(parts) for parts in zip(*self.read, strict=True)]


def found(query, keys):
    """With noise 0: the position of the document whose key is the query."""
    same = (keys == query[:, None]).all(dim=2)
    says = (
        "with noise=0 each query is the key of one of its documents, but these are "
        "not: is noise handed on?"
    )
    check.that(bool(same.any(dim=1).all()), says)
    return same.int().argmax(dim=1)


def answers_of(query, keys, values):
    """With noise 0: the right answers."""
    return values.gather(1, found(query, keys)[:, None])[:, 0]


@functools.cache
def trained(kata, ends=True):
    """A reader of nine documents after 200 steps at a high rate: answers were mostly at
    both ends, or anywhere.
    """
    torch.manual_seed(1)
    reader = kata.Reader(9, 8, 5, 16)
    prior = kata.position_prior(9) if ends else None
    kata.train_reader(
        reader,
        steps=200,
        prior=prior,
        lr=0.05,
        generator=torch.Generator().manual_seed(1),
    )
    return reader


class TestTrainReader(training.Contract):
    """Steps of Adam on −log p(answer). The model returns log-probabilities already."""

    model, default_lr = Witness, 0.02
    noise = 0.0  # so that the query tells which document is right

    def train(self, kata, model, **options):
        return kata.train_reader(
            model, prior=None, noise=self.noise, batch_size=8, **options
        )

    def batches(self, model, steps):
        return list(zip(*(part.chunk(steps) for part in model.all_read()), strict=True))

    def loss(self, model, batch):
        return F.nll_loss(model(*batch), answers_of(*batch))

    def wrong_losses(self, model, batch):
        right, first_values = self.loss(model, batch), batch[2][:, 0]
        return {
            "the sum over the batch": 8 * right,
            "the log-likelihood: the sign is missing": -right,
            "the value of document 0 as answer": F.nll_loss(
                model(*batch), first_values
            ),
            "the position as answer, not the value there": F.nll_loss(
                model(*batch), found(*batch[:2])
            ),
        }

    def test_the_generator_alone_draws(self, kata):
        """With generators of the same seed the same model has the same losses, whatever
        the state of the global one. A generator of another seed draws other questions,
        with other noise.
        """
        self.noise = 1.0
        super().test_the_generator_alone_draws(kata)

    def test_each_step_reads_a_fresh_batch_that_fits_the_model(self, kata):
        """The model's attributes say how many documents, how large the keys and how
        many values.
        """
        model = Witness(num_values=12)
        kata.train_reader(model, steps=3, prior=None, batch_size=6)
        query, keys, values = model.all_read()
        check.shape(query, (18, 3), what="the queries of 3 steps with batch_size=6")
        check.shape(keys, (18, 4, 3), what="the keys")
        check.shape(values, (18, 4), what="the values")
        check.that(
            int(values.max()) > 4,
            "the values are below 5, expected values below num_values = 12",
        )
        check.that(
            not torch.equal(keys[:6], keys[6:12]),
            "steps 0 and 1 read the same documents: draw new ones",
        )

    def test_positions_come_from_the_prior(self, kata):
        """A prior that allows position 2 alone puts every answer there. None means that
        all positions are equally likely.
        """
        for prior, allowed in (
            (torch.tensor([0.0, 0, 1, 0]), [2]),
            (None, [0, 1, 2, 3]),
        ):
            model = Witness()
            kata.train_reader(model, steps=2, prior=prior, noise=0.0, batch_size=200)
            query, keys, _ = model.all_read()
            counts = torch.bincount(found(query, keys), minlength=4).tolist()
            expected = [
                400 // len(allowed) if position in allowed else 0
                for position in range(4)
            ]
            says = (
                f"with the prior {prior}, {counts} of 400 answers are at the 4 "
                f"positions, expected about {expected}"
            )
            check.that(
                all(abs(a - b) < 50 for a, b in zip(counts, expected, strict=True)),
                says,
            )

    def test_queries_are_as_noisy_as_asked(self, kata):
        """The noise is the distance between a query and the key that it asks for. It is
        1 if nothing else is said.
        """
        for options, noise in (({"noise": 3.0}, 3.0), ({}, 1.0)):
            model = Witness()
            kata.train_reader(
                model,
                steps=1,
                prior=torch.tensor([0.0, 0, 1, 0]),
                batch_size=500,
                **options,
            )
            query, keys, _ = model.all_read()
            check.close(
                (query - keys[:, 2]).std(),
                torch.tensor(noise),
                rtol=0.1,
                what=f"size of the noise, with {options}",
            )

    @pytest.mark.timeout(60)
    def test_the_bias_learns_the_prior(self, kata):
        """Nobody tells the reader where answers are. After 200 steps its bias is higher
        at both ends than in the middle, by about ln(0.34 / 0.017) = 3. After uniform
        positions it is nearly flat.
        """
        bias = trained(kata).position_bias.detach()
        low = (bias[[0, 8]].min() - bias[4]).item()
        check.that(
            low > 1.5,
            f"the nearer end has only {low:.2f} more bias than the middle, expected "
            "about 3",
        )
        flat = trained(kata, ends=False).position_bias.detach()
        spread = (flat.max() - flat.min()).item()
        check.that(
            spread < 1.0,
            f"after uniform positions the biases still differ by {spread:.2f}, "
            "expected about 0.3",
        )


def laid_out(row):
    """The order of one row of relevances, as a list: taken from the best on, in turn
    from the left and the right.
    """
    ranked = sorted(range(len(row)), key=lambda i: -row[i])
    left, right = [], []
    for rank, document in enumerate(ranked):
        (right if rank % 2 else left).append(document)
    return left + right[::-1]


def wrong_orders(relevance):
    """By name, what some slips lead to."""
    best = relevance.argsort(dim=1, descending=True)
    worst, ranks = best.flip(1), best.argsort(dim=1)
    right = torch.tensor([laid_out(row) for row in relevance.tolist()])
    return {
        "sorted from best to worst": best,
        "sorted from worst to best": worst,
        "the least relevant at the ends": torch.cat(
            [worst[:, ::2], worst[:, 1::2].flip(1)], dim=1
        ),
        "the new position of each document, not the document at each position": (
            right.argsort(dim=1)
        ),
        "the order of a row that is already sorted": torch.tensor(
            [laid_out(range(0, -len(row), -1)) for row in relevance]
        ),
        "the second half not turned around": torch.cat(
            [best[:, ::2], best[:, 1::2]], dim=1
        ),
        "the second best first, the best last": right.flip(1),
        "the ranks, arranged": torch.cat(
            [ranks[:, ::2], ranks[:, 1::2].flip(1)], dim=1
        ),
    }


@st.composite
def relevances(draw):
    """Two rows of 2 to 9 distinct numbers."""
    n = draw(st.integers(2, 9))
    return [draw(st.permutations(range(n))) for _ in range(2)]


class TestEdgeOrder:
    def check(self, kata, relevance):
        expected = torch.tensor([laid_out(row) for row in relevance.tolist()])
        got = kata.edge_order(relevance)
        unlike = {
            name: wrong
            for name, wrong in wrong_orders(relevance).items()
            if not torch.equal(wrong, expected)
        }
        sorted_ = {tuple(sorted(row)) for row in relevance.tolist()}
        held = (
            {tuple(sorted(row)) for row in got.tolist()}
            if torch.is_tensor(got) and got.is_floating_point()
            else {0}
        )
        check.that(
            held != sorted_,
            f"the result holds {check.describe(got)}",
            like="relevances, not the documents' numbers",
        )
        check.equal(got, expected, unlike=unlike)

    def test_of_sorted_documents(self, kata):
        """Documents come from best to worst. The best stays first, the second goes to
        the end, the third comes second, and so on: [0, 2, 4, 3, 1] for five, and
        [0, 2, 4, 5, 3, 1] for six.
        """
        for n in (5, 6):
            self.check(kata, torch.arange(9.0, 9.0 - n, -1)[None])

    def test_of_documents_in_any_order(self, kata):
        """Relevance decides, not where a document was. The result lists documents: its
        first number is that of the most relevant document.
        """
        self.check(kata, torch.tensor([[0.1, 0.9, 0.5, 0.7, 0.3, -2.0]]))

    def test_each_row_has_an_order_of_its_own(self, kata):
        """Each question has its own documents and its own best one."""
        self.check(
            kata,
            torch.tensor(
                [[1.0, 5.0, 2.0, 3.0], [4.0, 1.0, 3.0, 2.0], [0.5, 0.1, 0.2, 0.9]]
            ),
        )

    @given(case=relevances())
    def test_relevance_falls_towards_the_middle(self, kata, case):
        """Each row is a permutation of 0 … N − 1, for every N."""
        self.check(kata, torch.tensor(case, dtype=torch.float32))

    @pytest.mark.edge
    def test_one_document_stays(self, kata):
        """With N = 1 there is nothing to put at the other end."""
        check.equal(
            kata.edge_order(torch.tensor([[0.5], [-1.0]])),
            torch.zeros(2, 1, dtype=torch.int64),
        )

    @pytest.mark.edge
    def test_relevance_is_not_written_to(self, kata):
        """The caller may still want to know how relevant the documents are."""
        relevance = torch.randn(3, 6)
        with check.unchanged(relevance=relevance):
            kata.edge_order(relevance)


class Guesser(nn.Module):
    """A model without parameters that answers by a function of (query, keys, values).
    It keeps what it was called with.

    With num_values = 40 a wrong guess is right only once in 40 times.
    """

    def __init__(self, guess, num_documents=4, key_size=3, num_values=40):
        super().__init__()
        self.guess = guess
        self.num_documents, self.key_size, self.num_values = (
            num_documents,
            key_size,
            num_values,
        )
        self.calls, self.corrections = [], []

    def forward(self, query, keys, values, correction=None):
        self.calls.append([part.detach().clone() for part in (query, keys, values)])
        self.corrections.append(correction)
        return (
            F.one_hot(self.guess(query, keys, values), self.num_values)
            .float()
            .clamp(min=1e-9)
            .log()
        )

    def read(self):
        return [torch.cat(parts) for parts in zip(*self.calls, strict=True)]


def always(document):
    """The guess of a model that looks at one position only."""
    return lambda query, keys, values: values[:, document]


@functools.cache
def curve(kata, ends=True, reorder=False, corrected=False):
    """Accuracy by position of a trained reader, as a tensor (9,), from 1000 questions
    per position.
    """
    reader = trained(kata, ends)
    bias = reader.position_bias.detach()
    return kata.accuracy_by_position(
        reader,
        examples_per_position=1000,
        reorder=reorder,
        correction=bias - bias.mean() if corrected else None,
        generator=torch.Generator().manual_seed(2),
    )


def shown(accuracies):
    return " ".join(f"{share:.2f}" for share in accuracies.tolist())


def cured(name, plain, after):
    """Check that the middle gained, and that the curve is flat."""
    gain, spread = (after[4] - plain[4]).item(), (after.max() - after.min()).item()
    says = f"accuracies {shown(plain)} become {shown(after)} when {name}"
    check.that(
        gain > 0.1, f"{says}: the middle gains {gain:.2f}, expected more than 0.1"
    )
    check.that(
        spread < 0.2,
        f"{says}: highest minus lowest is {spread:.2f}, expected less than 0.2",
    )


class TestAccuracyByPosition:
    def test_entry_p_is_about_position_p(self, kata):
        """A model that always answers with the value of one document is right where
        this one is relevant, and nearly nowhere else.
        """
        for document in (0, 1):
            got = kata.accuracy_by_position(
                Guesser(always(document)), examples_per_position=100
            )
            check.shape(got, (4,))
            expected = torch.eye(4)[document]
            unlike = {"positions counted from the end": expected.flip(0)}
            check.close(
                got.round(decimals=0),
                expected,
                unlike=unlike,
                what=f"{shown(got)}, rounded",
            )

    def test_is_the_share_of_right_answers(self, kata):
        """Each position gets examples_per_position questions, of the sizes that the
        model's attributes name. The model is right on some of them here, and its own
        notes tell on which.
        """
        model = Guesser(
            lambda query, keys, values: torch.where(
                query[:, 0] > 0, values[:, 2], values[:, 1]
            )
        )
        got = kata.accuracy_by_position(model, examples_per_position=60, noise=0.0)
        query, keys, values = model.read()
        check.shape(keys, (240, 4, 3), what="the keys of 60 questions per position")
        check.that(
            int(values.max()) > 4,
            "the values are below 5, expected values below num_values = 40",
        )
        position = found(query, keys)
        check.equal(
            torch.bincount(position, minlength=4).tolist(),
            [60] * 4,
            what="the number of questions by position",
        )
        right = (
            model.guess(query, keys, values) == answers_of(query, keys, values)
        ).double()
        expected = torch.stack([right[position == p].mean() for p in range(4)])
        check.close(
            got,
            expected,
            unlike={
                "the number of right answers": 60 * expected,
                "errors": 1 - expected,
            },
        )

    def test_queries_are_as_noisy_as_asked(self, kata):
        """Noise is handed on to the questions. With keys of 200 numbers the nearest key
        shows how much there is.
        """
        for options, noise in (({"noise": 0.2}, 0.2), ({}, 1.0)):
            model = Guesser(always(0), key_size=200)
            kata.accuracy_by_position(model, examples_per_position=20, **options)
            query, keys, _ = model.read()
            distances = (
                (keys - query[:, None]).pow(2).mean(dim=2).sqrt().min(dim=1).values
            )
            what = f"size of the noise, with {options}"
            check.close(distances.mean(), torch.tensor(noise), rtol=0.1, what=what)

    def test_reorder_moves_keys_and_values_together(self, kata):
        """The documents of each question arrive in its own edge order of query · key,
        most relevant first. A model that finds the right key wherever it is keeps its
        accuracy, because each value stays with its key.
        """
        model = Guesser(answers_of)
        got = kata.accuracy_by_position(
            model, examples_per_position=50, noise=0.0, reorder=True
        )
        query, keys, _ = model.read()
        relevance = (keys * query[:, None]).sum(dim=2)
        ranks = (-relevance).argsort(dim=1).argsort(dim=1)
        expected = torch.tensor([[0, 2, 3, 1]]).expand(len(ranks), -1)
        unlike = {"sorted only": torch.arange(4).expand(len(ranks), -1)}
        check.equal(
            ranks,
            expected,
            unlike=unlike,
            what="the ranks of the documents that the model reads",
        )
        says = (
            f"a model that always finds the right key has accuracies {shown(got)}, "
            "expected 1: values lost their keys"
        )
        check.that(bool((got > 0.99).all()), says)

    def test_the_correction_is_handed_to_the_model(self, kata):
        """The model takes the correction out itself, in its attention."""
        correction = torch.tensor([1.0, -1, -1, 1])
        for given_one in (correction, None):
            model = Guesser(always(0))
            kata.accuracy_by_position(
                model, examples_per_position=5, correction=given_one
            )
            for got in model.corrections:
                check.equal(
                    got, given_one, what="the correction that the model was called with"
                )

    def test_the_generator_alone_draws_the_questions(self, kata):
        """Generators of the same seed give the same questions, whatever the state of
        the global one. A generator of another seed gives others.
        """

        def read(seed, generator):
            torch.manual_seed(seed)
            model = Guesser(always(0))
            kata.accuracy_by_position(
                model,
                examples_per_position=5,
                generator=torch.Generator().manual_seed(generator),
            )
            return model.read()[1]

        first = read(1, 5)
        check.close(
            read(2, 5), first, what="the keys with a second generator of the same seed"
        )
        check.that(
            not torch.equal(read(1, 6), first),
            "another seed gives the same questions: it is not used",
        )

    @pytest.mark.timeout(60)
    def test_answers_are_lost_in_the_middle(self, kata):
        """The key result. A reader that mostly saw answers at both ends is at least 0.2
        better there than in the middle. One that saw them anywhere has no such U.
        """
        biased, even = curve(kata), curve(kata, ends=False)
        depth = (biased[[0, 8]].min() - biased[4]).item()
        says = (
            "after training with answers at the ends, accuracies by position are "
            f"{shown(biased)}"
        )
        check.that(
            depth > 0.2,
            f"{says}: the nearer end is {depth:.2f} above the middle, expected more "
            "than 0.2",
        )
        spread = (even.max() - even.min()).item()
        says = (
            "after training with answers anywhere, accuracies by position are "
            f"{shown(even)}"
        )
        check.that(
            spread < 0.2,
            f"{says}: highest minus lowest is {spread:.2f}, expected less than 0.2",
        )

    @pytest.mark.timeout(60)
    def test_two_cures_bring_the_middle_back(self, kata):
        """The same biased reader, without further training: relevant documents moved to
        the ends, or its position bias taken out. Each way the middle gains more than
        0.1, and the curve is flat within 0.2.
        """
        cured("documents are reordered", curve(kata), curve(kata, reorder=True))
        cured("its bias is corrected", curve(kata), curve(kata, corrected=True))

    @pytest.mark.edge
    def test_the_mode_stays(self, kata):
        """Measuring in the middle of training leaves the model in training mode, and in
        eval mode after it.
        """
        for mode in (True, False):
            model = Witness().train(mode)
            kata.accuracy_by_position(model, examples_per_position=3)
            check.equal(model.training, mode, what="model.training after the call")

    @pytest.mark.edge
    def test_builds_no_graph(self, kata):
        """A graph over all questions would keep them in memory."""
        modes = []
        model = Guesser(
            lambda query, keys, values: (
                modes.append(torch.is_grad_enabled()) or values[:, 0]
            )
        )
        kata.accuracy_by_position(model, examples_per_position=3)
        check.that(
            not any(modes),
            "the model was called with gradients enabled: use torch.no_grad()",
        )


class Preference(nn.Module):
    """Attention with a given position bias, and nothing but `attention`. It keeps what
    it was called with.
    """

    def __init__(self, bias, key_size=3):
        super().__init__()
        self.register_buffer("preference", torch.tensor(bias))
        self.num_documents, self.key_size, self.num_values = len(bias), key_size, 5
        self.calls, self.graphs = [], []

    def attention(self, query, keys, correction=None):
        self.calls.append([query.detach().clone(), keys.detach().clone()])
        self.graphs.append(torch.is_grad_enabled())
        return self.weights(query, keys)

    def weights(self, query, keys):
        return ((keys * query[:, None]).sum(dim=2) + self.preference).softmax(dim=1)

    def read(self):
        return [torch.cat(parts) for parts in zip(*self.calls, strict=True)]


@pytest.mark.stretch
class TestMeasurePositionBias:
    BIAS = (2.0, 0.5, -1.0, 0.0, 1.0)

    def test_is_the_mean_log_attention_around_its_mean(self, kata):
        """A softmax makes weights of scores, and the log brings the scores back, up to
        a constant. The mean over questions averages content out, and minus the mean
        over positions the constant is gone.
        """
        model = Preference(self.BIAS)
        got = kata.measure_position_bias(model, num_examples=40)
        check.that(
            model.calls != [],
            "model.attention was not called: the bias is to be seen from outside",
        )
        weights = model.weights(*model.read()).double()

        def centred(x):
            return x - x.mean()

        unlike = {
            "the mean attention": centred(weights.mean(dim=0)),
            "the log of the mean attention": centred(weights.mean(dim=0).log()),
            "not centred": weights.log().mean(dim=0),
            "the sign turned around": -centred(weights.log().mean(dim=0)),
            "the sum over questions": 40 * centred(weights.log().mean(dim=0)),
        }
        check.close(got, centred(weights.log().mean(dim=0)), unlike=unlike)

    def test_nothing_is_relevant(self, kata):
        """Queries and keys are independent and standard normal: num_examples queries
        (K,), and N keys (K,) for each. If a key were related to its query, content
        would be measured with position.
        """
        model = Preference(self.BIAS)
        kata.measure_position_bias(model, num_examples=3000)
        query, keys = model.read()
        check.shape(query, (3000, 3), what="queries")
        check.shape(keys, (3000, 5, 3), what="keys")
        for name, part in (("query", query), ("keys", keys)):
            found = f"{part.mean():.2f} and {part.std():.2f}"
            says = (
                f"mean and standard deviation of the {name} are {found}, expected 0 "
                "and 1"
            )
            check.that(abs(part.mean()) < 0.06 and abs(part.std() - 1) < 0.06, says)
        related = (keys * query[:, None]).mean(dim=(0, 2))
        says = (
            f"the mean product of query and key is {shown(related)} by position, "
            "expected 0 for all"
        )
        check.that(bool((related.abs() < 0.08).all()), says)

    def test_finds_a_bias_that_was_set_by_hand(self, kata):
        """A fresh reader has a bias of 0, and one with a bias set by hand has that,
        minus its mean. Both are found from outside, within the noise of 500 examples.
        """
        reader = kata.Reader(9, 8, 5, 16)
        got = kata.measure_position_bias(reader)
        check.close(
            got, torch.zeros(9), rtol=0, atol=0.15, what="the bias of a fresh reader"
        )
        by_hand = torch.tensor([3.0, 1, 0, -1, -2, -1, 0, 1, 2])
        with torch.no_grad():
            reader.position_bias.copy_(by_hand)
        got = kata.measure_position_bias(reader)
        check.close(
            got.sum(),
            torch.tensor(0.0),
            rtol=0,
            atol=1e-4,
            what="the sum over positions",
        )
        check.close(
            got,
            by_hand - by_hand.mean(),
            rtol=0,
            atol=0.3,
            what="a bias that was set by hand",
        )

    def test_the_generator_alone_draws(self, kata):
        """Generators of the same seed give the same result, whatever the state of the
        global one. A generator of another seed gives another.
        """

        def measured(seed, generator):
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(generator)
            return kata.measure_position_bias(
                Preference(self.BIAS), num_examples=20, generator=generator
            )

        first = measured(1, 5)
        check.close(
            measured(2, 5),
            first,
            what="the bias with a second generator of the same seed",
        )
        check.that(
            not torch.equal(measured(1, 6), first),
            "another seed gives the same bias: it is not used",
        )

    @pytest.mark.timeout(60)
    def test_taken_out_it_flattens_the_u(self, kata):
        """The key result without a look inside: measure the bias of the trained reader,
        hand it back as a correction, and the middle gains more than 0.1.
        """
        bias = kata.measure_position_bias(
            trained(kata), generator=torch.Generator().manual_seed(3)
        )
        generator = torch.Generator().manual_seed(2)
        after = kata.accuracy_by_position(
            trained(kata),
            examples_per_position=1000,
            correction=bias,
            generator=generator,
        )
        cured("the measured bias is taken out", curve(kata), after)

    @pytest.mark.edge
    def test_the_mode_stays(self, kata):
        """Measuring in the middle of training leaves the model in training mode, and in
        eval mode after it.
        """
        for mode in (True, False):
            model = Preference(self.BIAS).train(mode)
            kata.measure_position_bias(model, num_examples=3)
            check.equal(model.training, mode, what="model.training after the call")

    @pytest.mark.edge
    def test_the_result_has_no_graph(self, kata):
        """A correction is a constant: no gradient should flow through it."""
        got = kata.measure_position_bias(kata.Reader(4, 3, 5, 6), num_examples=3)
        check.that(not got.requires_grad, "the result is part of an autograd graph")


@pytest.mark.stretch
class TestLengthSweep:
    def by_hand(self, kata, n, steps, noise):
        """Accuracy by position of a reader that was made and trained as a sweep should
        do it.
        """
        torch.manual_seed(4)
        generator = torch.Generator().manual_seed(4)
        reader = kata.Reader(n, 8, 5, 16)
        kata.train_reader(
            reader,
            steps=steps,
            prior=kata.position_prior(n),
            noise=noise,
            generator=generator,
        )
        return kata.accuracy_by_position(reader, noise=noise, generator=generator)

    def test_keys_are_the_lengths_in_the_given_order(self, kata):
        """A dict from int to float, which keeps the order."""
        got = kata.length_sweep([6, 3, 5], steps=1)
        check.that(isinstance(got, dict), f"expected a dict, not {check.describe(got)}")
        check.equal(list(got), [6, 3, 5], what="the keys")
        check.that(
            all(type(depth) is float for depth in got.values()),
            f"expected floats, not {got}",
        )

    def test_the_depth_is_the_mean_of_both_ends_minus_the_middle(self, kata):
        """The result for one length is that of Reader, train_reader and
        accuracy_by_position called by hand, with the same seeds, steps and noise. The
        middle of 5 documents is position 2, of 4 documents position 2, too.
        """
        for n in (5, 4):
            for steps, noise in ((40, 1.0), (25, 0.4)):
                a = self.by_hand(kata, n, steps, noise).tolist()
                ends = (a[0] + a[-1]) / 2
                unlike = {
                    "the middle minus the ends": a[n // 2] - ends,
                    "best minus worst": max(a) - min(a),
                    "the first end minus the middle": a[0] - a[n // 2],
                    "the sum of both ends minus the middle": a[0] + a[-1] - a[n // 2],
                    "the middle taken one position too far": ends - a[(n + 2) // 2],
                    "the middle at (N - 1) // 2": ends - a[(n - 1) // 2],
                }
                unlike = {
                    name: wrong
                    for name, wrong in unlike.items()
                    if abs(wrong - ends + a[n // 2]) > 1e-4
                }
                torch.manual_seed(4)
                generator = torch.Generator().manual_seed(4)
                got = kata.length_sweep(
                    [n], steps=steps, noise=noise, generator=generator
                )
                what = f"the depth for {n} documents, {steps} steps and noise {noise}"
                check.close(
                    got[n],
                    ends - a[n // 2],
                    rtol=0,
                    atol=1e-4,
                    unlike=unlike,
                    what=what,
                )

    @pytest.mark.timeout(60)
    def test_the_u_is_there_for_any_number_of_documents(self, kata):
        """With 5, 9 and 15 documents the ends are more than 0.2 above the middle, after
        250 steps each.
        """
        torch.manual_seed(5)
        got = kata.length_sweep(
            [5, 9, 15], steps=250, generator=torch.Generator().manual_seed(5)
        )
        for n, depth in got.items():
            check.that(
                depth > 0.2,
                f"with {n} documents the U is {depth:.2f} deep, expected more than 0.2",
            )
