"""Specs of kata papers/28: two encoders, the in-batch loss, search and its measures,
BM25, and training.
"""

import copy
import functools
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, D, M = 5, 3, 4  # pairs in a batch, numbers per vector, hard negatives
TOKENS = 12  # of the encoders, the padding included
SHORT = torch.tensor([[3, 7, 0, 0], [11, 2, 5, 3]])  # texts of two and of four words
LONG = torch.tensor([[9, 0, 1, 4, 1, 0], [2, 6, 8, 10, 0, 0], [5, 5, 0, 0, 0, 0]])
SIDES = ("questions", "passages")


def tables(model):
    """The word vectors of both encoders in float64."""
    return {
        side: getattr(model, f"{side[:-1]}_encoder").weight.double() for side in SIDES
    }


def means(table, ids):
    """Row by row, the mean over the words that are not padding."""
    return torch.stack(
        [
            torch.stack([table[word] for word in row if word]).mean(dim=0)
            for row in ids.tolist()
        ]
    )


def encoded(model, side, ids):
    """The model's vectors of ids, as questions or as passages."""
    return (
        model.encode_questions(ids)
        if side == "questions"
        else model.encode_passages(ids)
    )


class TestDualEncoder:
    def test_its_parameters_are_two_tables_of_word_vectors(self, kata):
        """Each encoder has a table of its own, with one vector per id. Questions and
        passages are written differently, so a word may mean something else in each.
        """
        got = {
            name: tuple(parameter.shape)
            for name, parameter in kata.DualEncoder(TOKENS, D).named_parameters()
        }
        expected = {
            "question_encoder.weight": (TOKENS, D),
            "passage_encoder.weight": (TOKENS, D),
        }
        check.equal(got, expected, what="shapes of the parameters")

    def test_a_text_is_the_mean_of_its_words(self, kata):
        """The vector of a text is the mean of its words' vectors, from the table of its
        own side. The padding 0 is not a word: it adds nothing, and it does not count in
        the length.
        """
        model = kata.DualEncoder(TOKENS, D)
        for side, other in (SIDES, SIDES[::-1]):
            ids = SHORT if side == "questions" else LONG
            with torch.no_grad():
                table = tables(model)[side]
                mean = means(table, ids)
                words = (ids > 0).sum(dim=1, keepdim=True)
                unlike = {
                    "the sum over the words": mean * words,
                    "a mean that counts the padding": mean * words / ids.shape[1],
                    "vectors scaled to length 1": F.normalize(mean, dim=1),
                    "the maximum over the words": torch.stack(
                        [table[row[row > 0]].amax(dim=0) for row in ids]
                    ),
                    "the table of the other encoder": means(tables(model)[other], ids),
                }
                check.close(
                    encoded(model, side, ids),
                    mean,
                    unlike=unlike,
                    what=f"vectors of {side}",
                )

    @given(words=st.permutations([1, 4, 4, 9, 11]), padding=st.integers(0, 3))
    def test_order_and_padding_change_nothing(self, kata, words, padding):
        """A mean does not know the order of the words, and padding is not read,
        wherever it is and however much.
        """
        model = kata.DualEncoder(TOKENS, D)
        for side in SIDES:
            with torch.no_grad():
                plain = encoded(model, side, torch.tensor([[1, 4, 4, 9, 11]]))
                got = encoded(
                    model, side, torch.tensor([words[:2] + [0] * padding + words[2:]])
                )
                read = tables(model)[side][words + [0] * padding].mean(
                    dim=0, keepdim=True
                )
            unlike = {"padding counted as a word": read} if padding else {}
            check.close(
                got,
                plain,
                unlike=unlike,
                what=f"vector of {words} with {padding} times padding, as {side}",
            )

    def test_scores_are_all_dot_products(self, kata):
        """Row i has the dot products of question i with every passage: shape (Q, P).
        They are not bounded by 1: a long vector may score higher than a short one.
        """
        model = kata.DualEncoder(TOKENS, D)
        with torch.no_grad():
            q, p = (
                means(tables(model)[side], ids)
                for side, ids in zip(SIDES, (SHORT, LONG), strict=True)
            )
            unlike = {
                "one row per passage": p @ q.T,
                "cosines, bounded by 1": F.normalize(q, dim=1)
                @ F.normalize(p, dim=1).T,
                "dot products divided by √d": q @ p.T / D**0.5,
            }
            check.close(model(SHORT, LONG), q @ p.T, unlike=unlike, what="scores")

    def test_gradients_reach_both_encoders(self, kata):
        """Each word of a text gets its part of the text's gradient. The padding
        gets none.
        """
        model = kata.DualEncoder(TOKENS, D)
        probe = torch.tensor([[1.0, -2.0, 3.0], [0.5, 1.5, -1.0]])
        scores = model(SHORT, LONG)
        check.shape(scores, (2, 3), what="scores")
        check.that(
            scores.requires_grad,
            "the scores have no autograd graph: nothing can be learned",
        )
        parameters = list(model.parameters())
        got = torch.autograd.grad((scores * probe).sum(), parameters, allow_unused=True)
        q, p = (
            means(tables(model)[side], ids)
            for side, ids in zip(SIDES, (SHORT, LONG), strict=True)
        )
        expected = torch.autograd.grad((q @ p.T * probe).sum(), parameters)
        for (name, _), mine, right in zip(
            model.named_parameters(), got, expected, strict=True
        ):
            check.that(mine is not None, f"no gradient reaches {name}")
            check.close(mine, right, what=f"gradient of {name}")

    @pytest.mark.edge
    def test_a_text_without_words_is_zero(self, kata):
        """A text of padding only has no mean: its vector is 0 rather than NaN."""
        model = kata.DualEncoder(TOKENS, D)
        for side in SIDES:
            ids = torch.tensor([[0, 0], [3, 0]])
            with torch.no_grad():
                check.close(
                    encoded(model, side, ids)[0],
                    torch.zeros(D),
                    what=f"vector of padding, as {side}",
                )


def loop_loss(q, p, hard=None):
    """The in-batch loss in float64, question by question."""
    wrong = [] if hard is None else list(hard.double())
    losses = []
    for i, question in enumerate(q.double()):
        scores = torch.stack(
            [question.dot(passage) for passage in [*p.double(), *wrong]]
        )
        losses.append(scores.exp().sum().log() - scores[i])
    return sum(losses) / len(losses)


def without_diagonal(q, p):
    """The in-batch loss with the right passage left out of the sum."""
    scores = q.double() @ p.double().T
    others = scores.masked_fill(torch.eye(len(q), dtype=torch.bool), -math.inf)
    return (others.exp().sum(dim=1).log() - scores.diagonal()).mean()


def slips(q, p):
    """By name, what some slips lead to."""
    shares = (q.double() @ p.double().T).log_softmax(dim=1)
    matching = shares.diagonal()
    return {
        "softmax over the questions, not over the passages": loop_loss(p, q),
        "the mean of both directions": (loop_loss(q, p) + loop_loss(p, q)) / 2,
        "the sum over the batch": len(q) * loop_loss(q, p),
        "the right passage left out of the sum": without_diagonal(q, p),
        "vectors scaled to length 1": loop_loss(
            F.normalize(q, dim=1), F.normalize(p, dim=1)
        ),
        "scores divided by √d": loop_loss(q / q.shape[1] ** 0.5, p),
        "passage 0 taken for the right one of every question": loop_loss(q, p)
        + (matching - shares[:, 0]).mean(),
        "the mean over all pairs, right and wrong": loop_loss(q, p)
        + (matching - shares.mean(dim=1)).mean(),
    }


class TestInBatchLoss:
    def test_one_pair_by_hand(self, kata):
        """A batch of one pair has no wrong passage: the softmax over one score is 1,
        and the loss 0. One hard negative with the same score leaves a share of 1/2, and
        a loss of ln 2.
        """
        q, p = torch.tensor([[0.5, 2.0, 1.0]]), torch.tensor([[3.0, -1.0, 0.5]])
        check.close(
            kata.in_batch_loss(q, p),
            torch.tensor(0.0),
            what="the loss without a wrong passage",
        )
        check.close(
            kata.in_batch_loss(q, p, p),
            torch.tensor(math.log(2)),
            what="the loss with hard = p",
        )

    def test_every_other_passage_is_a_wrong_answer(self, kata):
        """Question i has B candidates, p[0] to p[B − 1], and p[i] is the right one. The
        loss is the mean over the questions of −log of its share.
        """
        q, p = torch.randn(B, D), torch.randn(B, D)
        check.close(
            kata.in_batch_loss(q, p), loop_loss(q, p), unlike=slips(q, p), what="loss"
        )

    def test_hard_negatives_are_further_candidates(self, kata):
        """All M hard negatives are candidates for all questions, beside the B of the
        batch. The right passage of question i is still p[i].
        """
        q, p, hard = torch.randn(B, D), torch.randn(B, D), torch.randn(M, D)
        first = torch.cat([hard, p])
        unlike = {
            "hard negatives ignored": loop_loss(q, p),
            "hard negatives first, with row i still the right one": loop_loss(
                q, first[:B], first[B:]
            ),
            "hard negatives in place of the batch's": torch.stack(
                [loop_loss(q[i : i + 1], p[i : i + 1], hard) for i in range(B)]
            ).mean(),
        }
        check.close(
            kata.in_batch_loss(q, p, hard),
            loop_loss(q, p, hard),
            unlike=unlike,
            what="loss",
        )

    def test_gradients_reach_questions_passages_and_hard_negatives(self, kata):
        """Question and right passage are pulled together, question and wrong passages
        pushed apart. No side is detached.
        """
        check.gradients(
            kata.in_batch_loss,
            loop_loss,
            torch.randn(B, D),
            torch.randn(B, D),
            torch.randn(M, D),
        )

    @given(order=st.permutations(range(B)), more=st.integers(1, 6))
    def test_pairs_have_no_order_and_hard_negatives_raise_the_loss(
        self, kata, order, more
    ):
        """The same pairs in another order have the same loss. Further wrong passages
        can only raise it.
        """
        q, p, hard = torch.randn(B, D), torch.randn(B, D), torch.randn(more, D)
        loss = kata.in_batch_loss(q, p)
        check.close(
            kata.in_batch_loss(q[order], p[order]),
            loss,
            what=f"loss of the pairs in the order {order}",
        )
        harder = kata.in_batch_loss(q, p, hard)
        check.that(
            bool(harder > loss),
            f"the loss is {loss:.4f}, and {harder:.4f} with {more} hard negatives",
        )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """exp of a score in the thousands is infinity. Losses and gradients are
        computed without it.
        """
        q = torch.tensor([[100.0, 0.0], [0.0, 100.0]], requires_grad=True)
        p = torch.tensor([[0.0, 100.0], [-100.0, 50.0]], requires_grad=True)
        loss = kata.in_batch_loss(q, p)
        # scores [[0, −10000], [10000, 5000]]
        check.close(loss, torch.tensor(2500.0), what="loss")
        check.finite(torch.stack(torch.autograd.grad(loss, (q, p))), what="gradients")

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """float64 vectors give a float64 loss."""
        q, p = (
            torch.randn(B, D, dtype=torch.float64),
            torch.randn(B, D, dtype=torch.float64),
        )
        loss = kata.in_batch_loss(q, p)
        check.dtype(loss, torch.float64, what="loss")
        check.close(loss, loop_loss(q, p), rtol=0, atol=1e-9, what="loss")


@pytest.mark.stretch
class TestInBatchLossNumpy:
    def judge(self, kata, q, p, expected, unlike=None, **tolerance):
        """Compare as arrays: a float and an array without dimensions are both right."""
        got = np.asarray(kata.in_batch_loss_numpy(q, p))
        unlike = {
            name: np.array(float(wrong)) for name, wrong in (unlike or {}).items()
        }
        check.close(
            got, np.array(float(expected)), unlike=unlike, what="loss", **tolerance
        )

    def test_two_pairs_by_hand(self, kata):
        """Where all scores are 0, each passage has a share of 1/2: the loss is ln 2. A
        batch of one has a loss of 0.
        """
        self.judge(kata, np.zeros((2, 1)), np.array([[1.0], [2.0]]), math.log(2))
        self.judge(kata, np.array([[0.5, 2.0]]), np.array([[3.0, 1.0]]), 0.0)

    def test_every_other_passage_is_a_wrong_answer(self, kata):
        """The mean over i of log Σ_j exp(q_i · p_j) − q_i · p_i: the sum goes over the
        passages, row by row.
        """
        q, p = (torch.randn(B, D, dtype=torch.float64) for _ in range(2))
        self.judge(
            kata,
            q.numpy(),
            p.numpy(),
            loop_loss(q, p),
            slips(q, p),
            rtol=1e-5,
            atol=1e-5,
        )

    def test_the_size_of_the_vectors_does_not_matter(self, kata):
        """d may be smaller or larger than B."""
        for d in (1, B, 2 * B):
            q, p = (torch.randn(B, d, dtype=torch.float64) for _ in range(2))
            self.judge(
                kata, q.numpy(), p.numpy(), loop_loss(q, p), rtol=1e-5, atol=1e-5
            )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """exp of a score in the thousands overflows. Subtract the largest score of each
        row first.
        """
        q, p = (
            np.array([[100.0, 0.0], [0.0, 100.0]]),
            np.array([[0.0, 100.0], [-100.0, 50.0]]),
        )
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            self.judge(kata, q, p, 2500.0)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        q, p = (torch.randn(B, D, dtype=torch.float64) for _ in range(2))
        self.judge(kata, q.numpy(), p.numpy(), loop_loss(q, p), rtol=0, atol=1e-9)


def whole_vectors(size, dim):
    """A strategy for tensors of small whole numbers, among which there are
    equal scores.
    """
    number = st.integers(-2, 2).map(float)
    return st.lists(
        st.lists(number, min_size=dim, max_size=dim), min_size=size, max_size=size
    ).map(torch.tensor)


@st.composite
def searches(draw):
    k, num_passages = sorted(draw(st.tuples(st.integers(1, 6), st.integers(1, 6))))
    return draw(whole_vectors(3, 2)), draw(whole_vectors(num_passages, 2)), k


class TestSearch:
    def test_the_best_two_by_hand(self, kata):
        """The scores of three passages are 3, 5 and 4. The two best are 5 and 4, those
        of passages 1 and 2.
        """
        scores, indices = kata.search(
            torch.tensor([[1.0]]), torch.tensor([[3.0], [5.0], [4.0]]), 2
        )
        unlike = {
            "the two worst": torch.tensor([[3.0, 4.0]]),
            "the best last": torch.tensor([[4.0, 5.0]]),
        }
        unlike |= {
            "the indices first": torch.tensor([[1.0, 2.0]]),
            "cosines": torch.tensor([[1.0, 1.0]]),
        }
        check.close(scores, torch.tensor([[5.0, 4.0]]), unlike=unlike, what="scores")
        check.equal(indices, torch.tensor([[1, 2]]), what="indices")

    def test_equals_the_start_of_a_full_sort(self, kata):
        """Per question, sort all passages by their dot product, and take the first k. A
        cosine would sort them differently: it forgets how long a passage's vector is.
        """
        q, p = (
            torch.randn(4, D),
            torch.randn(7, D) * torch.tensor([1.0, 3, 1, 0.3, 2, 1, 0.5])[:, None],
        )
        table = [
            sorted(((float(one @ two), j) for j, two in enumerate(p)), reverse=True)
            for one in q
        ]
        cosines = F.normalize(q, dim=1) @ F.normalize(p, dim=1).T
        unlike = {"ranked by cosine": cosines.argsort(dim=1, descending=True)[:, :3]}
        scores, indices = kata.search(q, p, 3)
        check.equal(
            indices,
            torch.tensor([[j for _, j in row[:3]] for row in table]),
            unlike=unlike,
            what="indices",
        )
        expected = torch.tensor([[score for score, _ in row[:3]] for row in table])
        check.close(scores, expected, what="scores")

    @given(case=searches())
    def test_any_k_and_equal_scores(self, kata, case):
        """For every k up to P, also where scores are equal: the k largest scores in
        order, and k different passages that have them.
        """
        q, p, k = case
        dots = q @ p.T
        scores, indices = kata.search(q, p, k)
        check.close(
            scores,
            dots.sort(dim=1, descending=True).values[:, :k],
            what=f"scores for k={k}",
        )
        check.close(
            dots.gather(1, indices),
            scores,
            what="the dot products of the passages found",
        )
        check.that(
            all(len(set(row)) == k for row in indices.tolist()),
            f"a passage is there twice: {indices.tolist()}",
        )

    @pytest.mark.edge
    def test_k_must_be_from_1_to_the_number_of_passages(self, kata):
        """No passages, or more than there are, cannot be what the caller wanted."""
        for k in (0, 8):
            with check.raises(ValueError):
                kata.search(torch.randn(4, D), torch.randn(7, D), k)


def ranks(scores, gold):
    """Per question, the rank of the gold passage, with equal scores counted
    against it.
    """
    rows = zip(scores.tolist(), gold.tolist(), strict=True)
    return [sum(score >= row[right] for score in row) for row, right in rows]


def share(found, k):
    """The share of ranks that are at most k."""
    return sum(rank <= k for rank in found) / len(found)


@st.composite
def scores_and_gold(draw):
    num_passages = draw(st.integers(1, 6))
    scores = draw(whole_vectors(4, num_passages))
    gold = draw(st.lists(st.integers(0, num_passages - 1), min_size=4, max_size=4))
    return scores, torch.tensor(gold)


class TestRecallAtK:
    # the ranks of the gold passages are 1, 3, 2 and 5
    SCORES = torch.tensor(
        [[1.0, 9, 3, 2, 4], [8.0, 7, 9, 1, 2], [5.0, 2, 1, 6, 3], [9.0, 8, 1, 6, 7]],
    )
    GOLD = torch.tensor([1, 1, 0, 2])

    def test_four_questions_by_hand(self, kata):
        """The gold passages have the ranks 1, 3, 2 and 5: one of four is first, two are
        among the two best, three among the three best, and all among the five best.
        """
        unlike = {
            "gold taken for the passage of the same number": {
                1: 0.0,
                2: 0.0,
                3: 0.25,
                5: 1.0,
            },
            "the smallest score first": {1: 0.25, 2: 0.25, 3: 0.5, 5: 1.0},
            "ranks below k, not up to k": {1: 0.0, 2: 0.25, 3: 0.5, 5: 0.75},
            "ranks that start at 0": {1: 0.5, 2: 0.75, 3: 0.75, 5: 1.0},
            "the number of questions instead of their share": {
                1: 1.0,
                2: 2.0,
                3: 3.0,
                5: 4.0,
            },
            "only those at rank k itself": {1: 0.25, 2: 0.25, 3: 0.25, 5: 0.25},
            "divided by k, as a precision is": {1: 0.25, 2: 0.25, 3: 0.25, 5: 0.2},
        }
        got = kata.recall_at_k(self.SCORES, self.GOLD, ks=(1, 2, 3, 5))
        check.close(
            got, {1: 0.25, 2: 0.5, 3: 0.75, 5: 1.0}, unlike=unlike, what="recall"
        )

    def test_one_float_for_1_5_and_20(self, kata):
        """Without `ks` the keys are 1, 5 and 20. Each value is a Python float."""
        scores, gold = torch.randn(30, 25), torch.arange(30) % 25
        got = kata.recall_at_k(scores, gold)
        check.close(
            got, {k: share(ranks(scores, gold), k) for k in (1, 5, 20)}, what="recall"
        )
        check.that(
            all(type(value) is float for value in got.values()),
            f"expected floats, not {check.describe(got)}",
        )

    def test_equal_scores_count_against_the_gold_passage(self, kata):
        """A retriever that gives everything the same score knows nothing, and must not
        look good: the rank is P. A sort puts equal scores in an order that
        means nothing.
        """
        got = kata.recall_at_k(torch.zeros(3, 6), torch.tensor([0, 2, 5]), ks=(1, 5, 6))
        unlike = {"equal scores counted for the gold passage": {1: 1.0, 5: 1.0, 6: 1.0}}
        check.close(
            got,
            {1: 0.0, 5: 0.0, 6: 1.0},
            unlike=unlike,
            what="recall of scores that are all 0",
        )
        got = kata.recall_at_k(
            torch.tensor([[1.0, 4, 4, 0]]), torch.tensor([1]), ks=(1, 2)
        )
        check.close(
            got, {1: 0.0, 2: 1.0}, what="recall of a gold passage with one equal"
        )

    @given(case=scores_and_gold())
    def test_any_scores(self, kata, case):
        """The rank is the number of passages that score at least as much as the gold
        one, itself included. More passages looked at never find fewer.
        """
        scores, gold = case
        ks = tuple(range(1, scores.shape[1] + 1))
        check.close(
            kata.recall_at_k(scores, gold, ks),
            {k: share(ranks(scores, gold), k) for k in ks},
            what="recall",
        )

    @pytest.mark.edge
    def test_a_k_above_the_number_of_passages_counts_all(self, kata):
        """Five passages have no twentieth: every gold passage is among them."""
        check.close(
            kata.recall_at_k(self.SCORES, self.GOLD),
            {1: 0.25, 5: 1.0, 20: 1.0},
            what="recall",
        )


def bm25(
    questions,
    passages,
    k1=1.5,
    b=0.75,
    idf=None,
    length=None,
    saturate=True,
    repeats=True,
    zero=False,
    every=False,
):
    """BM25 with dicts and loops, and by options what some slips lead to."""
    texts = [Counter(row) for row in passages.tolist()]
    idf = idf or (lambda N, n: math.log((N - n + 0.5) / (n + 0.5) + 1))
    lengths = [length or sum(text.values()) - text[0] for text in texts]
    average = sum(lengths) / len(lengths)
    result = torch.zeros(len(questions), len(passages), dtype=torch.float64)
    for i, row in enumerate(questions.tolist()):
        for word in row if repeats else set(row):
            if word == 0 and not zero:
                continue
            n = sum(text[word] if every else word in text for text in texts)
            for j, text in enumerate(texts):
                if tf := text[word]:
                    below = (
                        tf + k1 * (1 - b + b * lengths[j] / average)
                        if saturate
                        else k1 + 1
                    )
                    result[i, j] += idf(len(texts), n) * tf * (k1 + 1) / below
    return result


@pytest.mark.stretch
class TestBm25Scores:
    PASSAGES = torch.tensor(
        [[1, 2, 2, 3, 0, 0], [2, 4, 0, 0, 0, 0], [5, 1, 6, 7, 2, 5], [8, 0, 9, 4, 4, 4]]
    )
    QUESTIONS = torch.tensor([[2, 4, 2], [5, 0, 1], [3, 12, 4]])

    def test_against_a_loop_over_words(self, kata):
        """The sum over the question's words of idf times the saturated count, for
        passages of different lengths. A word that a question has twice counts twice.
        Padding is no word, and not part of a length.
        """
        unlike = {
            "idf = log(N / n)": {"idf": lambda N, n: math.log(N / n)},
            "idf without + 1 in the log": {
                "idf": lambda N, n: math.log((N - n + 0.5) / (n + 0.5))
            },
            "no idf": {"idf": lambda N, n: 1.0},
            "padding counted in the lengths, or b = 0": {"length": 6},
            "padding counted as a word that both have": {"zero": True},
            "tf without saturation": {"saturate": False},
            "each word of a question counted once": {"repeats": False},
            "n counts how often a word occurs, not in how many passages": {
                "every": True
            },
            "b and 1 − b exchanged": {"b": 0.25},
        }
        inputs = self.QUESTIONS, self.PASSAGES
        unlike = {name: bm25(*inputs, **options) for name, options in unlike.items()}
        check.close(
            kata.bm25_scores(*inputs), bm25(*inputs), unlike=unlike, what="scores"
        )

    def test_k1_and_b_are_free(self, kata):
        """k1 sets how slowly repeats saturate, b how much the length matters: with
        b = 0 it does not.
        """
        inputs = self.QUESTIONS, self.PASSAGES
        for k1, b in ((0.9, 0.4), (2.0, 1.0), (1.2, 0.0)):
            got = kata.bm25_scores(*inputs, k1=k1, b=b)
            check.close(
                got, bm25(*inputs, k1=k1, b=b), what=f"scores for k1={k1}, b={b}"
            )

    def test_a_rare_word_weighs_more_and_an_unseen_word_nothing(self, kata):
        """Word 1 is in all three passages and word 2 in one. Word 3 is in none, so it
        tells nothing, and adds 0.
        """
        passages = torch.tensor([[1, 2], [1, 4], [1, 5]])
        scores = kata.bm25_scores(torch.tensor([[1], [2], [3]]), passages)
        check.shape(scores, (3, 3), what="scores")
        common, rare = scores[0, 0].item(), scores[1, 0].item()
        check.that(
            rare > common > 0,
            f"the rare word scores {rare:.3f} and the common one {common:.3f}",
        )
        check.close(
            scores[2], torch.zeros(3), what="scores of a word that is in no passage"
        )

    def test_a_shorter_passage_wins(self, kata):
        """Both passages have the word once. It says more about the passage of two words
        than about that of six.
        """
        scores = kata.bm25_scores(
            torch.tensor([[1]]), torch.tensor([[1, 2, 3, 4, 5, 6], [1, 7, 0, 0, 0, 0]])
        )
        long, short = scores[0].tolist()
        check.that(
            short > long,
            f"the short passage scores {short:.3f} and the long one {long:.3f}",
        )

    def test_word_matching_finds_no_paraphrase(self, kata):
        """The key result's other half: on unchanged words BM25 puts more than 85 % of
        100 gold passages first, of 300. On paraphrases no word is shared, all scores
        are 0, and fewer than 5 % are among the first 20.
        """
        passages, gold = kata.make_corpus(300), torch.randint(300, (100,))
        found = {}
        for paraphrase, k in ((False, 1), (True, 20)):
            questions = kata.make_questions(passages, gold, paraphrase=paraphrase)
            scores = kata.bm25_scores(questions, passages)
            check.shape(scores, (100, 300), what="scores")
            found[k] = (
                ((scores >= scores.gather(1, gold[:, None])).sum(dim=1) <= k)
                .double()
                .mean()
                .item()
            )
        check.that(
            found[1] > 0.85,
            f"{found[1]:.0%} of the gold passages are first for unchanged words",
        )
        check.that(
            found[20] < 0.05,
            f"{found[20]:.0%} of the gold passages are among 20 for paraphrases",
        )

    @pytest.mark.edge
    def test_without_saturation_constant_a_word_is_there_or_not(self, kata):
        """With k1 = 0 a passage without the word has 0 / 0: its part is 0, not NaN."""
        inputs = self.QUESTIONS, self.PASSAGES
        check.close(
            kata.bm25_scores(*inputs, k1=0.0),
            bm25(*inputs, k1=0.0),
            what="scores for k1=0",
        )


VOCABULARY = 40  # of the trainer's specs; the synonym of word w is w + 40


class Twin(nn.Module):
    """Two small tables in the shape of a DualEncoder. It keeps what it was
    called with.
    """

    def __init__(self):
        super().__init__()
        self.question_encoder = nn.EmbeddingBag(
            2 * VOCABULARY + 1, 4, mode="mean", padding_idx=0
        )
        self.passage_encoder = nn.EmbeddingBag(
            2 * VOCABULARY + 1, 4, mode="mean", padding_idx=0
        )
        self.read, self.modes = [], []

    def encode_questions(self, ids):
        self.read.append(("questions", ids.clone()))
        self.modes.append(self.training)
        return self.question_encoder(ids)

    def encode_passages(self, ids):
        self.read.append(("passages", ids.clone()))
        self.modes.append(self.training)
        return self.passage_encoder(ids)

    def forward(self, questions, passages):
        return self.encode_questions(questions) @ self.encode_passages(passages).T


@functools.cache
def trained_recall(kata, batch_size):
    """Recall at 1 and at 5 of a retriever after 300 steps: 200 paraphrased questions
    about 300 new passages.
    """
    torch.manual_seed(1)
    model, generator = kata.DualEncoder(121, 32), torch.Generator().manual_seed(1)
    kata.train_retriever(model, steps=300, batch_size=batch_size, generator=generator)
    passages = kata.make_corpus(300, generator=generator)
    gold = torch.randint(300, (200,), generator=generator)
    with torch.no_grad():
        scores = model(
            kata.make_questions(passages, gold, generator=generator), passages
        )
    check.shape(scores, (200, 300), what="scores")
    found = ranks(scores, gold)
    return share(found, 1), share(found, 5)


class TestTrainRetriever(training.Contract):
    """Steps of Adam on the in-batch loss: each question against all passages of
    its batch.
    """

    model, default_lr, atol = Twin, 0.02, 1e-3

    def train(self, kata, model, **options):
        return kata.train_retriever(
            model, vocab_size=VOCABULARY, batch_size=10, **options
        )

    def batches(self, model, steps):
        """Per step, the questions and the passages that a Twin has read."""
        read = [[ids for name, ids in model.read if name == side] for side in SIDES]
        return list(zip(*(torch.cat(ids).chunk(steps) for ids in read), strict=True))

    def loss(self, model, batch):
        questions, passages = batch
        return loop_loss(
            model.encode_questions(questions), model.encode_passages(passages)
        )

    def wrong_losses(self, model, batch):
        questions, passages = (
            model.encode_questions(batch[0]),
            model.encode_passages(batch[1]),
        )
        return {
            "softmax over the questions, not over the passages": loop_loss(
                passages, questions
            ),
            "the sum over the batch": 10 * loop_loss(questions, passages),
        }

    def test_each_step_has_fresh_pairs(self, kata):
        """Each step draws new passages, and one paraphrased question for each."""
        model = Twin()
        kata.train_retriever(model, steps=3, vocab_size=VOCABULARY, batch_size=B)
        for side in SIDES:
            count = sum(len(ids) for name, ids in model.read if name == side)
            check.that(
                count == 3 * B,
                f"{count} {side} were encoded in 3 steps with batch_size={B}, not "
                f"{3 * B}",
            )
        for questions, passages in self.batches(model, 3):
            low, high = passages.min().item(), passages.max().item()
            check.that(
                1 <= low and high <= VOCABULARY,
                f"words of passages from {low} to {high}, expected 1 to 40",
            )
            low, high = questions.min().item(), questions.max().item()
            check.that(
                low > VOCABULARY,
                f"words of questions from {low} to {high}, expected 41 to 80: a "
                "paraphrase",
            )
            pairs = zip(
                (questions - VOCABULARY).tolist(), passages.tolist(), strict=True
            )
            others = [
                i
                for i, (question, passage) in enumerate(pairs)
                if not set(question) <= set(passage)
            ]
            check.that(
                not others,
                f"the questions {others} of a batch are not made of words of their "
                "own passage",
            )
        (_, first), (_, second), _ = self.batches(model, 3)
        check.that(
            not torch.equal(first, second),
            "steps 0 and 1 read the same passages: draw new ones per step",
        )

    @pytest.mark.timeout(60)
    def test_paraphrases_are_bridged(self, kata):
        """The key result. No question shares a word with any passage, so counting
        shared words gives 0 everywhere and finds nothing. After 300 steps, more than
        55 % of the gold passages are first among 300 new ones, and more than 88 % among
        the first five.
        """
        first, five = trained_recall(kata, 32)
        check.that(
            first > 0.55, f"{first:.0%} of the gold passages are first, expected > 55 %"
        )
        check.that(
            five > 0.88,
            f"{five:.0%} of the gold passages are among the first five, expected > 88 "
            "%",
        )

    @pytest.mark.timeout(60)
    def test_larger_batches_teach_more_per_step(self, kata):
        """In a batch of 32 each question has 31 wrong passages, in a batch of 4 only
        three. After 300 steps the small batches are at least 10 points behind.
        """
        large, small = trained_recall(kata, 32)[0], trained_recall(kata, 4)[0]
        says = (
            f"{large:.0%} of the gold passages are first with batches of 32, "
            f"{small:.0%} with batches of 4"
        )
        check.that(large >= small + 0.1, f"{says}: expected at least 10 points more")


@pytest.mark.stretch
class TestMeanReciprocalRank:
    def test_two_ranks_by_hand(self, kata):
        """The gold passages have the ranks 1 and 4: (1 + 1/4) / 2. First the
        reciprocals, then the mean.
        """
        scores = torch.tensor([[2.0, 7, 1, 3, 5, 0], [9.0, 8, 1, 6, 7, 0]])
        unlike = {
            "1 over the mean rank": 1 / 2.5,
            "ranks that start at 0": math.inf,
            "ranks that start at 2": (1 / 2 + 1 / 5) / 2,
            "the mean rank": 2.5,
            "the sum over the questions, not the mean": 1.25,
            "the smallest score first": (1 / 6 + 1 / 3) / 2,
            "an argsort read at gold: it holds passages, not ranks": (1 / 5 + 1 / 4)
            / 2,
        }
        got = kata.mean_reciprocal_rank(scores, torch.tensor([1, 3]))
        check.close(got, (1 + 1 / 4) / 2, unlike=unlike, what="mean reciprocal rank")

    def test_all_first_is_1_and_knowing_nothing_is_1_over_p(self, kata):
        """With the identity as scores every gold passage is first. Where all scores are
        0 every rank is P, because equal scores count against the gold passage. That is
        1/12 here: no rank is too low to count.
        """
        check.close(
            kata.mean_reciprocal_rank(torch.eye(6), torch.arange(6)),
            1.0,
            what="for the identity",
        )
        got = kata.mean_reciprocal_rank(torch.zeros(3, 12), torch.tensor([0, 4, 7]))
        unlike = {
            "equal scores counted for the gold passage": 1.0,
            "0 for ranks beyond ten": 0.0,
        }
        check.close(got, 1 / 12, unlike=unlike, what="for scores that are all 0")

    @given(case=scores_and_gold())
    def test_any_scores(self, kata, case):
        """The mean of 1 / rank, where the rank is the number of passages that score at
        least as much.
        """
        found = ranks(*case)
        got = kata.mean_reciprocal_rank(*case)
        check.close(
            got,
            sum(1 / rank for rank in found) / len(found),
            what="mean reciprocal rank",
        )
        check.that(type(got) is float, f"expected a float, not {check.describe(got)}")

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """1/3 in float32 is wrong from the eighth digit on. A float has sixteen."""
        got = kata.mean_reciprocal_rank(
            torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([2])
        )
        check.close(
            got,
            1 / 3,
            rtol=0,
            atol=1e-12,
            what="mean reciprocal rank of one gold passage of rank 3",
        )
