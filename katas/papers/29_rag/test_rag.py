"""Specs of kata papers/29: two likelihoods with a hidden document, retriever and
generator, training, answers.
"""

import copy
import functools
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, K, T = 3, 4, 5  # questions, retrieved documents, tokens per answer

# Two documents with the weights ¾ and ¼. The token probabilities of the answer are ½
# and 0.2, and 0.1 and 0.6.
DOC_LOGITS = torch.tensor([[3.0, 1.0]]).log()
TOKEN_LOG_PROBS = torch.tensor([[[0.5, 0.2], [0.1, 0.6]]]).log()


def log(number):
    return torch.tensor([number]).log()


def mixture(b=B, k=K, t=T, dtype=torch.float32):
    """Random scores (b, k) and log-probabilities (b, k, t)."""
    return torch.randn(b, k, dtype=dtype), torch.randn(
        b, k, t, dtype=dtype
    ).sigmoid().log()


def by_sequence(doc_logits, token_log_probs):
    """The likelihood with one document per answer, in float64: weights and products
    of probabilities.
    """
    weights, tokens = doc_logits.double().softmax(dim=1), token_log_probs.double().exp()
    return sum(
        weights[:, z] * tokens[:, z].prod(dim=1) for z in range(weights.shape[1])
    ).log()


def by_token(doc_logits, token_log_probs):
    """The likelihood with one document per token, in float64."""
    weights, tokens = doc_logits.double().softmax(dim=1), token_log_probs.double().exp()
    return sum(
        (weights * tokens[:, :, t]).sum(dim=1).log() for t in range(tokens.shape[2])
    )


def slips(doc_logits, token_log_probs):
    """By name, what some slips lead to."""
    scores, logs = doc_logits.double(), token_log_probs.double()
    weights, answers = scores.softmax(dim=1), logs.sum(dim=2)
    return {
        "the mean of the logs instead of the log of the mean": (weights * answers).sum(
            dim=1
        ),
        "no softmax over the documents": (scores + answers).logsumexp(dim=1),
        "the softmax over the batch": (scores.log_softmax(dim=0) + answers).logsumexp(
            dim=1
        ),
        "the document's probability once per token": (
            logs.shape[2] * weights.log() + answers
        ).logsumexp(dim=1),
        "the best document only": answers.gather(1, scores.argmax(dim=1, keepdim=True))[
            :, 0
        ],
        "all documents alike": answers.exp().mean(dim=1).log(),
        "the mean over the tokens instead of their product": (
            weights * logs.mean(dim=2).exp()
        )
        .sum(dim=1)
        .log(),
        "the sum over documents without the log": (weights * answers.exp()).sum(dim=1),
    }


@st.composite
def mixtures(draw):
    """A mixture of any size, an order of its documents, and a constant."""
    b, k, t = (draw(st.integers(1, 4)) for _ in range(3))
    return mixture(b, k, t), draw(st.permutations(range(k))), draw(st.integers(-5, 5))


def all_answers():
    """Two documents, three values, two tokens: the inputs (9, 2) and (9, 2, 2) of all
    nine answers to one question.
    """
    # documents, tokens, values
    doc_logits, log_probs = torch.randn(1, 2), torch.randn(2, 2, 3).log_softmax(dim=-1)
    answers = [
        torch.stack([log_probs[:, 0, i], log_probs[:, 1, j]], dim=1)
        for i, j in product(range(3), repeat=2)
    ]
    return doc_logits.expand(9, -1), torch.stack(answers)


def token_slips(doc_logits, token_log_probs):
    """The same slips where each token has a document of its own. One of them is another
    slip there.
    """
    found = slips(doc_logits, token_log_probs)
    once = found.pop("the document's probability once per token")
    scores, tokens = doc_logits.double(), token_log_probs.double().exp()

    def weighted(weights):
        return (weights[:, :, None] * tokens).sum(dim=1).log().sum(dim=1)

    return found | {
        "the product over the tokens within the sum over documents, not around it": (
            once
        ),
        "no softmax over the documents": weighted(scores.exp()),
        "the softmax over the batch": weighted(scores.softmax(dim=0)),
        "all documents alike": weighted(torch.full_like(scores, 1 / scores.shape[1])),
        "the mean over the tokens instead of their product": by_token(
            doc_logits, token_log_probs
        )
        / tokens.shape[2],
        "the sum over documents without the log": by_token(
            doc_logits, token_log_probs
        ).exp(),
    }


class TestRagSequenceLogLikelihood:
    def test_two_documents_by_hand(self, kata):
        """The documents have the weights ¾ and ¼, and give the answer the probabilities
        0.5 · 0.2 and 0.1 · 0.6. So it has ¾ · 0.1 + ¼ · 0.06 = 0.09, and the result is
        log 0.09.
        """
        unlike = slips(DOC_LOGITS, TOKEN_LOG_PROBS) | {
            "the likelihood with a document per token": log(0.4 * 0.3)
        }
        got = kata.rag_sequence_log_likelihood(DOC_LOGITS, TOKEN_LOG_PROBS)
        check.close(got, log(0.09), unlike=unlike)

    def test_one_number_per_question(self, kata):
        """Row b is log Σ_z p(z) Π_t p(y_t | z). The softmax runs over the K documents
        of the question, the product over its T tokens, and the log comes last.
        """
        inputs = mixture()
        unlike = slips(*inputs) | {
            "the likelihood with a document per token": by_token(*inputs)
        }
        check.close(
            kata.rag_sequence_log_likelihood(*inputs),
            by_sequence(*inputs),
            unlike=unlike,
        )

    def test_gradients_reach_scores_and_generator(self, kata):
        """The gradient at doc_logits is all that the retriever learns from: it raises
        documents that explain the answer. That at token_log_probs is for the generator.
        """
        check.gradients(kata.rag_sequence_log_likelihood, by_sequence, *mixture())

    def test_the_probabilities_of_all_answers_sum_to_1(self, kata):
        """With two documents, three values and two tokens there are nine answers. One
        of them it must be.
        """
        got = kata.rag_sequence_log_likelihood(*all_answers())
        check.shape(got, (9,))
        check.close(
            got.exp().sum(), torch.tensor(1.0), what="the sum over all nine answers"
        )

    @given(case=mixtures())
    def test_a_constant_and_the_order_of_documents_do_not_matter(self, kata, case):
        """A softmax depends on differences of scores only, and a sum over documents has
        no order.
        """
        (doc_logits, token_log_probs), order, constant = case
        before = kata.rag_sequence_log_likelihood(doc_logits, token_log_probs)
        after = kata.rag_sequence_log_likelihood(
            doc_logits[:, order] + constant, token_log_probs[:, order]
        )
        check.close(before, by_sequence(doc_logits, token_log_probs))
        check.close(
            after,
            before,
            what=f"the result for documents in the order {order}, scores + {constant}",
        )

    @pytest.mark.edge
    def test_tiny_probabilities_have_a_finite_log(self, kata):
        """e to the power of −1000 is 0 in floating point, and its log −inf.
        `torch.logsumexp` never leaves log space.
        """
        got = kata.rag_sequence_log_likelihood(
            torch.zeros(2, 3), torch.full((2, 3, 2), -1000.0)
        )
        check.close(got, torch.full((2,), -2000.0))


def arrays(inputs):
    """The same inputs as float64 arrays."""
    return [part.double().numpy() for part in inputs]


@pytest.mark.stretch
class TestRagSequenceLogLikelihoodNumpy:
    def test_two_documents_by_hand(self, kata):
        """¾ · (0.5 · 0.2) + ¼ · (0.1 · 0.6) = 0.09, of which the log is taken."""
        got = kata.rag_sequence_log_likelihood_numpy(
            *arrays((DOC_LOGITS, TOKEN_LOG_PROBS))
        )
        unlike = {
            name: wrong.numpy()
            for name, wrong in slips(DOC_LOGITS, TOKEN_LOG_PROBS).items()
        }
        check.close(got, np.log([0.09]), unlike=unlike)

    def test_one_number_per_question(self, kata):
        """Row b is log Σ_z p(z) Π_t p(y_t | z), as with tensors."""
        inputs = mixture()
        unlike = {name: wrong.numpy() for name, wrong in slips(*inputs).items()}
        unlike["the likelihood with a document per token"] = by_token(*inputs).numpy()
        got = kata.rag_sequence_log_likelihood_numpy(*arrays(inputs))
        check.close(got, by_sequence(*inputs).numpy(), rtol=1e-5, unlike=unlike)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        inputs = mixture(dtype=torch.float64)
        got = kata.rag_sequence_log_likelihood_numpy(*arrays(inputs))
        check.close(got, by_sequence(*inputs).numpy(), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_tiny_probabilities_have_a_finite_log(self, kata):
        """`np.logaddexp.reduce` adds probabilities without leaving log space."""
        got = kata.rag_sequence_log_likelihood_numpy(
            np.zeros((2, 3)), np.full((2, 3, 2), -1000.0)
        )
        check.close(got, np.full(2, -2000.0))


@pytest.mark.stretch
class TestRagTokenLogLikelihood:
    def test_two_documents_by_hand(self, kata):
        """The first token has ¾ · 0.5 + ¼ · 0.1 = 0.4, the second
        ¾ · 0.2 + ¼ · 0.6 = 0.3. So the answer has 0.12:
        more than the 0.09 of one document per answer, because the documents may
        take turns.
        """
        unlike = token_slips(DOC_LOGITS, TOKEN_LOG_PROBS) | {
            "the likelihood with a document per answer": log(0.09)
        }
        # (0.5 + 0.1) / 2 · (0.2 + 0.6) / 2 is 0.12, too
        del unlike["all documents alike"]
        check.close(
            kata.rag_token_log_likelihood(DOC_LOGITS, TOKEN_LOG_PROBS),
            log(0.12),
            unlike=unlike,
        )

    def test_one_number_per_question(self, kata):
        """Row b is log Π_t Σ_z p(z) p(y_t | z): first the sum over documents, then the
        product over tokens.
        """
        inputs = mixture()
        unlike = token_slips(*inputs) | {
            "the likelihood with a document per answer": by_sequence(*inputs)
        }
        check.close(
            kata.rag_token_log_likelihood(*inputs), by_token(*inputs), unlike=unlike
        )

    def test_agrees_with_the_other_for_one_token_or_one_document(self, kata):
        """With T = 1 nothing can change between tokens. With K = 1 there is nothing
        to choose.
        """
        for name, sizes in (("T = 1", (B, K, 1)), ("K = 1", (B, 1, T))):
            inputs = mixture(*sizes)
            got = kata.rag_token_log_likelihood(*inputs)
            check.close(got, by_sequence(*inputs), what=f"the result for {name}")

    def test_gradients_reach_scores_and_generator(self, kata):
        """The likelihood trains a retriever as well as the other one does."""
        check.gradients(kata.rag_token_log_likelihood, by_token, *mixture())

    def test_the_probabilities_of_all_answers_sum_to_1(self, kata):
        """With two documents, three values and two tokens there are nine answers. One
        of them it must be.
        """
        got = kata.rag_token_log_likelihood(*all_answers())
        check.shape(got, (9,))
        check.close(
            got.exp().sum(), torch.tensor(1.0), what="the sum over all nine answers"
        )

    @pytest.mark.edge
    def test_tiny_probabilities_have_a_finite_log(self, kata):
        """e to the power of −1000 is 0 in floating point, and its log −inf."""
        got = kata.rag_token_log_likelihood(
            torch.zeros(2, 3), torch.full((2, 3, 2), -1000.0)
        )
        check.close(got, torch.full((2,), -2000.0))


NUM_KEYS, V, D = 9, 6, 4  # keys, value tokens, size of the embeddings
KEYS = torch.tensor([4, 0, 6, 2, 5, 1, 3])  # of seven documents
QUERIES = torch.tensor([5, 0, 8])


def rag(kata):
    """A RAG whose encoders are far from zero, so that scores differ."""
    model = kata.RAG(NUM_KEYS, V, D)
    with torch.no_grad():
        model.query_encoder.weight.normal_()
        model.document_encoder.weight.normal_()
    return model


def documents(length=2):
    """Values (7, length) for the seven documents."""
    return torch.randint(V, (len(KEYS), length))


def all_scores(model, keys=KEYS, encoders=("query_encoder", "document_encoder")):
    """The dot product of every question with every document, (3, N), in float64."""
    asked, known = (getattr(model, name).weight.double() for name in encoders)
    return torch.stack(
        [torch.stack([asked[q].dot(known[key]) for key in keys]) for q in QUERIES]
    )


def said(model, values, slip=""):
    """The generator's log-probabilities after each value token, in float64."""
    w = {name: parameter.double() for name, parameter in model.named_parameters()}
    hidden = F.linear(
        w["value_embedding.weight"][values],
        w["generator.0.weight"],
        w["generator.0.bias"],
    )
    logits = F.linear(
        hidden if slip == "relu" else hidden.relu(),
        w["generator.2.weight"],
        w["generator.2.bias"],
    )
    return logits if slip == "softmax" else logits.log_softmax(dim=-1)


class TestRAGInit:
    def test_has_these_parameters_and_no_more(self, kata):
        """Questions and documents have a table each, with a row per key: which of them
        belong together is to be learned. The generator reads the embedding of a
        value token.
        """
        shapes = {
            "query_encoder.weight": (NUM_KEYS, D),
            "document_encoder.weight": (NUM_KEYS, D),
        }
        shapes |= {
            "value_embedding.weight": (V, D),
            "generator.0.weight": (D, D),
            "generator.0.bias": (D,),
        }
        shapes |= {"generator.2.weight": (V, D), "generator.2.bias": (V,)}
        model = kata.RAG(NUM_KEYS, V, D)
        got = {
            name: tuple(parameter.shape) for name, parameter in model.named_parameters()
        }
        check.equal(got, shapes, what="shapes of the parameters")
        check.equal(model.num_values, V, what="num_values")

    def test_both_encoders_start_small(self, kata):
        """Normal with standard deviation 0.1: all scores are near 0, so at first every
        document has a chance. With PyTorch's standard deviation of 1, the softmax would
        prefer random documents strongly.
        """
        model = kata.RAG(100, V, 30)
        for name in ("query_encoder", "document_encoder"):
            weight = getattr(model, name).weight
            unlike = {"1, as nn.Embedding has it": 1.0}
            check.close(
                round(weight.std().item(), 1),
                0.1,
                unlike=unlike,
                what=f"rounded std of {name}.weight",
            )
            mean = weight.mean().item()
            check.that(
                abs(mean) < 0.02,
                f"the mean of {name}.weight is {mean:.3f}, expected about 0",
            )
            share = (weight.abs() > 0.2).float().mean().item()
            says = (
                f"{share:.1%} of {name}.weight is further than 0.2 from 0, expected "
                "4.6 % as of a normal one"
            )
            check.that(0.02 < share < 0.08, says)
        spread = model.value_embedding.weight.std().item()
        check.that(
            spread > 0.5,
            f"the std of value_embedding.weight is {spread:.2f}, expected 1: leave it "
            "as it is",
        )


class TestRAGRetrieve:
    def test_scores_are_dot_products_best_first(self, kata):
        """The score of document n is the dot product of the question's vector with that
        of the document's *key*. Row b has the K largest scores of question b, in
        falling order.
        """
        model, keys = rag(kata), torch.tensor([4, 8, 0, 7, 2, 5])
        with torch.no_grad():
            expected, by_place = all_scores(model, keys), all_scores(model, range(6))
            one_table = all_scores(model, keys, ("query_encoder", "query_encoder"))
            scores, _ = model.retrieve(QUERIES, keys, 4)
        best = expected.sort(dim=1, descending=True).values[:, :4]
        unlike = {
            "the smallest scores": expected.sort(dim=1).values[:, :4],
            "the first K documents": expected[:, :4],
            "the softmax of the scores": best.softmax(dim=1),
            "the indices first": expected.sort(dim=1, descending=True)
            .indices[:, :4]
            .double(),
            "documents numbered 0, 1, … instead of by their keys": by_place.sort(
                dim=1, descending=True
            ).values[:, :4],
            "the questions' table for documents, too": one_table.sort(
                dim=1, descending=True
            ).values[:, :4],
        }
        check.close(scores, best, unlike=unlike, what="scores")

    def test_indices_are_places_in_keys(self, kata):
        """Index n means document n: its key is keys[n], and its value is values[n]."""
        model = rag(kata)
        with torch.no_grad():
            expected = all_scores(model).argsort(dim=1, descending=True)[:, :4]
            _, indices = model.retrieve(QUERIES, KEYS, 4)
        check.equal(
            indices,
            expected,
            unlike={"the keys of the documents": KEYS[expected]},
            what="indices",
        )

    def test_all_documents_or_only_one(self, kata):
        """top_k may be anything from 1 to N. The best document stays the best."""
        model = rag(kata)
        with torch.no_grad():
            order = all_scores(model).argsort(dim=1, descending=True)
            for k in (1, len(KEYS)):
                check.equal(
                    model.retrieve(QUERIES, KEYS, k)[1],
                    order[:, :k],
                    what=f"indices for top_k = {k}",
                )

    def test_gradients_reach_both_encoders(self, kata):
        """Scores are the retriever's only way to learn. Retrieval under `no_grad`, or
        scores that are detached, would leave both tables as they are.
        """
        model = rag(kata)
        scores, _ = model.retrieve(QUERIES, KEYS, 2)
        check.that(
            scores.requires_grad,
            "the scores have no autograd graph: the retriever cannot learn",
        )
        weights = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        tables = [model.query_encoder.weight, model.document_encoder.weight]
        got = torch.autograd.grad((scores * weights).sum(), tables, allow_unused=True)
        oracle = (all_scores(model).topk(2, dim=1).values * weights).sum()
        for name, mine, right in zip(
            ("query", "document"), got, torch.autograd.grad(oracle, tables), strict=True
        ):
            check.that(mine is not None, f"no gradient reaches {name}_encoder")
            check.close(mine, right, what=f"gradient of {name}_encoder.weight")

    @pytest.mark.edge
    @pytest.mark.parametrize("top_k", [0, len(KEYS) + 1])
    def test_top_k_must_be_possible(self, kata, top_k):
        """From no document nothing can be read, and more than N are not there."""
        model = rag(kata)
        with check.raises(ValueError):
            model.retrieve(QUERIES, KEYS, top_k)


class TestRAGGenerateLogProbs:
    def test_each_token_is_read_by_itself(self, kata):
        """Embedding, Linear, ReLU, Linear, and the log-softmax over the V tokens:
        (B, K, T) gives (B, K, T, V).
        """
        model = rag(kata)
        values = torch.randint(V, (B, K, T))
        with torch.no_grad():
            right = said(model, values)
            unlike = {
                "no relu": said(model, values, "relu"),
                "no log-softmax": said(model, values, "softmax"),
                "probabilities, not their logs": right.exp(),
                "the log-softmax over the tokens of a document": said(
                    model, values, "softmax"
                ).log_softmax(dim=-2),
            }
            check.close(model.generate_log_probs(values), right, unlike=unlike)

    def test_any_shape_of_values(self, kata):
        """A single document (T,) and all documents (N, T) can be read, too."""
        model = rag(kata)
        for values in (torch.randint(V, (T,)), torch.randint(V, (7, T))):
            with torch.no_grad():
                got = model.generate_log_probs(values)
                check.close(
                    got,
                    said(model, values),
                    what=f"the result for values of shape {tuple(values.shape)}",
                )

    def test_probabilities_sum_to_1(self, kata):
        """For each position there is one distribution over the V tokens."""
        with torch.no_grad():
            got = rag(kata).generate_log_probs(torch.arange(V).reshape(2, 3))
        check.close(
            got.exp().sum(dim=-1), torch.ones(2, 3), what="the sum of the probabilities"
        )


class TestRAGForward:
    def test_reads_the_documents_that_it_found(self, kata):
        """log_probs[b, z] belongs to the document with the score doc_logits[b, z]:
        gather the values of the retrieved documents, per question and in the order of
        the scores. An index is the place of a document, not its key.
        """
        model, values = rag(kata), documents()
        with torch.no_grad():
            found = all_scores(model).argsort(dim=1, descending=True)[:, :4]
            unlike = {
                "the first K documents": said(model, values[:4]).expand(3, -1, -1, -1),
                "values looked up by key instead of by document": said(
                    model, values[KEYS[found]]
                ),
                "the documents in their own order, not that of the scores": said(
                    model, values[found.sort().values]
                ),
                "the documents of the first question for all": said(
                    model, values[found[:1]]
                ).expand(3, -1, -1, -1),
            }
            _, log_probs = model(QUERIES, KEYS, values, 4)
            check.close(
                log_probs, said(model, values[found]), unlike=unlike, what="log_probs"
            )

    def test_doc_logits_are_the_scores(self, kata):
        """The K best scores as they are. Whoever uses them takes the softmax, once."""
        model = rag(kata)
        with torch.no_grad():
            best = all_scores(model).topk(4, dim=1).values
            doc_logits, _ = model(QUERIES, KEYS, documents(), 4)
        unlike = {
            "their softmax": best.softmax(dim=1),
            "their log-softmax": best.log_softmax(dim=1),
        }
        check.close(doc_logits, best, unlike=unlike, what="doc_logits")

    def test_other_documents_have_no_effect_and_no_gradient(self, kata):
        """Only K documents are read. The others change nothing, whatever they say, and
        their vectors are not moved.
        """
        model, values = rag(kata), documents()
        found = all_scores(model).topk(2, dim=1).indices
        outside = [n for n in range(len(KEYS)) if n not in found]
        changed = values.clone()
        changed[outside] = (changed[outside] + 1) % V
        doc_logits, log_probs = model(QUERIES, KEYS, values, 2)
        with torch.no_grad():
            check.close(
                model(QUERIES, KEYS, changed, 2)[1],
                log_probs,
                what="log_probs with other documents changed",
            )
        (doc_logits.sum() + log_probs.sum()).backward()
        gradient = model.document_encoder.weight.grad
        check.that(gradient is not None, "no gradient reaches document_encoder")
        check.equal(
            gradient[KEYS[outside]],
            torch.zeros(len(outside), D),
            what="gradient of documents not retrieved",
        )

    def test_gradients_reach_every_part(self, kata):
        """Through doc_logits both encoders learn, through log_probs the value embedding
        and the generator.
        """
        model = rag(kata)
        doc_logits, log_probs = model(QUERIES, KEYS, documents(), 3)
        check.that(
            doc_logits.requires_grad and log_probs.requires_grad,
            "the result has no autograd graph",
        )
        (doc_logits.softmax(dim=1)[:, :, None, None] * log_probs).sum(dim=1)[
            ..., 0
        ].sum().backward()
        for name, parameter in model.named_parameters():
            moved = parameter.grad is not None and parameter.grad.abs().max() > 0
            check.that(moved, f"no gradient reaches {name}")


class Witness(nn.Module):
    """A RAG in two tables: a score per question and key, and what is said after each
    value. It keeps its calls.
    """

    def __init__(self, num_keys=8, num_values=5):
        super().__init__()
        self.num_values = num_values
        self.scores = nn.Parameter(torch.randn(num_keys, num_keys))
        self.says = nn.Parameter(torch.randn(num_values, num_values))
        self.read, self.modes, self.graphs = [], [], []

    def forward(self, queries, keys, values, top_k):
        self.read.append((queries.clone(), keys.clone(), values.clone(), top_k))
        self.modes.append(self.training)
        self.graphs.append(torch.is_grad_enabled())
        best = self.scores[queries[:, None], keys].topk(top_k, dim=1)
        return best.values, self.says.log_softmax(dim=1)[values[best.indices]]


def read(call, scores, says):
    """Weights (B, K) and probabilities (B, K, T, V) of a Witness with these tables,
    question by question.
    """
    queries, keys, values, top_k = call
    weights, probabilities = [], []
    for query in queries:
        row = scores[query][keys]
        order = row.argsort(descending=True)[:top_k]
        weights.append(row[order].softmax(dim=0))
        probabilities.append(says.softmax(dim=1)[values[order]])
    return torch.stack(weights), torch.stack(probabilities)


def losses_of(call, scores, says):
    """The loss on a call of a Witness, with what some slips lead to."""
    weights, probabilities = read(call, scores, says)
    queries, keys, values, _ = call
    right = torch.stack([values[keys == query][0] for query in queries])  # (B, T)
    index = right[:, None, :, None].expand(*probabilities.shape[:3], 1)
    tokens = probabilities.gather(3, index)[..., 0]
    answers = tokens.prod(dim=2)
    each = -(weights * answers).sum(dim=1).log()
    return {
        "right": each.mean(),
        "the sum over the batch": each.sum(),
        "the mean per token": each.mean() / right.shape[1],
        "the likelihood with a document per token": -(weights[..., None] * tokens)
        .sum(dim=1)
        .log()
        .sum(dim=1)
        .mean(),
        "the mean of the logs instead of the log of the mean": -(
            weights * answers.log()
        )
        .sum(dim=1)
        .mean(),
        "the best document only": -answers[:, 0].log().mean(),
        "all retrieved documents alike": -answers.mean(dim=1).log().mean(),
        "the log-likelihood without its minus": -each.mean(),
        "answers in another order than the questions": losses_of_others(
            weights, probabilities, right
        ),
    }


def losses_of_others(weights, probabilities, right):
    """The loss if question b is scored on the answer of question b − 1."""
    index = right.roll(1, dims=0)[:, None, :, None].expand(*probabilities.shape[:3], 1)
    return (
        -(weights * probabilities.gather(3, index)[..., 0].prod(dim=2))
        .sum(dim=1)
        .log()
        .mean()
    )


SMALL = {"num_docs": 5, "num_keys": 8, "top_k": 3, "answer_length": 3, "batch_size": 7}


@functools.cache
def trained(kata):
    """A RAG that was trained as in the lesson."""
    torch.manual_seed(1)
    model = kata.RAG(20, 10, 32)
    kata.train_rag(
        model,
        steps=400,
        num_docs=8,
        num_keys=20,
        top_k=4,
        generator=torch.Generator().manual_seed(1),
    )
    return model


def share_right(model, keys, values):
    """The share of whole answers that are right, if every key is asked about. Marginals
    are summed per position.
    """
    with torch.no_grad():
        doc_logits, log_probs = model(keys, keys, values, 4)
        marginal = torch.einsum(
            "bk,bktv->btv", doc_logits.softmax(dim=1), log_probs.exp()
        )
    return (marginal.argmax(dim=-1) == values).all(dim=1).float().mean().item()


class TestTrainRag(training.Contract):
    """Steps of Adam on both tables, the retriever's scores and what the
    generator says.
    """

    model, default_lr = Witness, 0.02

    def train(self, kata, model, **options):
        return kata.train_rag(model, **SMALL, **options)

    def loss(self, model, call):
        return losses_of(call, model.scores, model.says)["right"]

    def wrong_losses(self, model, call):
        return {
            name: loss
            for name, loss in losses_of(call, model.scores, model.says).items()
            if name != "right"
        }

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """−log Σ_z p(z) Π_t p(y_t | z), averaged over the questions, before the update.
        Every retrieved document is asked how probable the right answer is after reading
        it. Which document is the right one is never told.
        """
        super().test_the_first_loss_is_that_of_the_fresh_model(kata)

    def test_each_step_has_documents_and_questions_of_its_own(self, kata):
        """A step draws new documents, and asks about keys that are among them: what is
        not there cannot be found. If documents stayed the same, the generator could
        learn the answers by heart.
        """
        model = Witness()
        kata.train_rag(model, steps=3, **SMALL)
        check.that(
            len(model.read) == 3,
            f"the model was called {len(model.read)} times in 3 steps",
        )
        for queries, keys, values, top_k in model.read:
            check.shape(keys, (5,), what="keys")
            check.shape(values, (5, 3), what="values")
            check.shape(queries, (7,), what="queries")
            check.equal(top_k, 3, what="top_k")
            check.that(
                torch.isin(queries, keys).all(),
                f"questions {queries.tolist()}, documents {keys.tolist()} only",
            )
        (_, _, first, _), (_, _, second, _), _ = model.read
        check.that(
            not torch.equal(first, second),
            "steps 0 and 1 have the same documents: draw new ones per step",
        )

    def test_every_document_is_asked_about(self, kata):
        """Questions are drawn uniformly, with replacement. Of 300 questions about 3
        documents, each gets about 100.
        """
        model = Witness()
        kata.train_rag(model, steps=1, num_docs=3, num_keys=8, top_k=2, batch_size=300)
        ((queries, keys, _, _),) = model.read
        counts = [int((queries == key).sum()) for key in keys]
        says = (
            f"the 3 documents are asked about {counts} times in 300 questions, "
            "expected about 100 each"
        )
        check.that(all(60 < count < 140 for count in counts), says)

    @pytest.mark.timeout(60)
    def test_answers_alone_teach_the_retriever(self, kata):
        """After 400 steps the right one of 20 documents is ranked first for more than
        90 % of the questions. Chance is 5 %, and nobody ever said which document
        belongs to which question.
        """
        keys, _ = kata.make_knowledge_base(20, 20, 10)
        _, indices = trained(kata).retrieve(keys, keys, 4)
        share = (indices[:, 0] == torch.arange(20)).float().mean().item()
        check.that(
            share > 0.9,
            f"the right document is ranked first for {share:.0%} of the questions, "
            "expected > 90 %",
        )

    @pytest.mark.timeout(60)
    def test_new_documents_are_new_answers(self, kata):
        """The key result. All values are replaced, and more than 90 % of the answers
        are still right, because they are read from the documents. A closed book has its
        answers in its weights: after the change it is lost.
        """
        keys, old = kata.make_knowledge_base(20, 20, 10)
        _, new = kata.make_knowledge_base(20, 20, 10)
        book = kata.ClosedBook(20, 10, 2, 32)
        kata.train_closed_book(book, keys, old, steps=100)
        for name, values in (("before", old), ("after", new)):
            share = share_right(trained(kata), keys, values)
            check.that(
                share > 0.9,
                f"{share:.0%} of the answers are right {name} the change, expected > "
                "90 %",
            )
        before, after = (
            (book(keys).argmax(dim=-1) == v).all(dim=1).float().mean().item()
            for v in (old, new)
        )
        says = (
            f"the closed book has {before:.0%} of its answers right, then "
            f"{after:.0%}; expected > 90 %, then < 30 %"
        )
        check.that(before > 0.9 and after < 0.3, says)


class Fixed(nn.Module):
    """A RAG that has retrieved documents of these weights (K,), which say these token
    probabilities (K, T, V).
    """

    def __init__(self, weights, probabilities):
        super().__init__()
        self.doc_logits = torch.tensor([weights]).log()
        self.log_probs = torch.tensor([probabilities]).log()
        self.num_values = self.log_probs.shape[-1]

    def forward(self, queries, keys, values, top_k):
        return self.doc_logits, self.log_probs


def answered(kata, model, length):
    """The answer to one question; documents do not matter to a Fixed model."""
    keys = torch.arange(model.doc_logits.shape[1])
    return kata.answer(
        model,
        torch.tensor([0]),
        keys,
        torch.zeros(len(keys), length, dtype=torch.int64),
        len(keys),
    )


class TestAnswer:
    def test_two_documents_outvote_one(self, kata):
        """The best document has the weight 0.4 and says token 0. Two others of 0.3 say
        token 1, which so has 0.6.
        """
        model = Fixed(
            [0.4, 0.3, 0.3],
            [[[0.9, 0.06, 0.04]], [[0.06, 0.9, 0.04]], [[0.06, 0.9, 0.04]]],
        )
        unlike = {
            "the best document's answer": torch.tensor([[0]]),
            "scores without a softmax": torch.tensor([[2]]),
        }
        check.equal(answered(kata, model, 1), torch.tensor([[1]]), unlike=unlike)

    def test_weights_count(self, kata):
        """One document of weight 0.8 beats two of 0.1. The weights are the softmax of
        doc_logits, which may be negative, as log 0.8 is.
        """
        model = Fixed([0.8, 0.1, 0.1], [[[0.9, 0.1]], [[0.1, 0.9]], [[0.1, 0.9]]])
        check.equal(
            answered(kata, model, 1),
            torch.tensor([[0]]),
            unlike={"one vote each": torch.tensor([[1]])},
        )

    def test_probabilities_are_averaged_not_their_logs(self, kata):
        """One document knows the answer, the other is almost sure that it is not so. A
        token has p(z) times its probability from each: 0.6 · 0.9 = 0.54 against
        0.6 · 0.1 + 0.4 = 0.46. With logs, one veto would decide.
        """
        model = Fixed([0.6, 0.4], [[[0.9, 0.1]], [[1e-6, 1 - 1e-6]]])
        unlike = {"the mean of the logs": torch.tensor([[1]])}
        check.equal(answered(kata, model, 1), torch.tensor([[0]]), unlike=unlike)

    def test_each_position_is_decided_by_itself(self, kata):
        """The documents may take turns: two say 2 first, two say 1 then, two say 0
        last. None says 2 1 0.
        """
        says = [[2, 0, 0], [2, 1, 1], [0, 1, 0]]
        model = Fixed(
            [0.4, 0.35, 0.25],
            [
                [[0.9 if v == token else 0.05 for v in range(3)] for token in d]
                for d in says
            ],
        )
        unlike = {"the answer of the likeliest document": torch.tensor([[2, 0, 0]])}
        check.equal(answered(kata, model, 3), torch.tensor([[2, 1, 0]]), unlike=unlike)

    def test_many_questions_with_documents_that_are_found(self, kata):
        """(B, T) token ids. Questions, documents and top_k go to the model as
        they are.
        """
        model = Witness()
        queries, keys = torch.tensor([7, 1, 1, 4, 0, 2]), torch.tensor([4, 1, 7, 2, 0])
        values = torch.randint(5, (5, 3))
        for top_k in (1, 4):
            weights, probabilities = read(
                (queries, keys, values, top_k), model.scores, model.says
            )
            expected = sum(
                weights[:, z, None, None] * probabilities[:, z] for z in range(top_k)
            ).argmax(dim=-1)
            check.equal(
                kata.answer(model, queries, keys, values, top_k),
                expected,
                what=f"answers for top_k = {top_k}",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False])
    def test_no_graph_is_built_and_the_mode_stays(self, kata, training):
        """An answer is not trained on, so nothing needs to be kept for a
        backward pass.
        """
        model = Witness().train(training)
        kata.answer(
            model,
            torch.tensor([1, 2]),
            torch.arange(8),
            torch.zeros(8, 2, dtype=torch.int64),
            3,
        )
        check.that(not any(model.graphs), "the model was called with gradients enabled")
        check.equal(model.training, training, what="model.training afterwards")
