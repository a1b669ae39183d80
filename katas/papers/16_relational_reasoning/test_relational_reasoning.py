"""Specs of kata papers/16: questions about scenes, sums over pairs in PyTorch and
NumPy, the network, and training.
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

# scenes, objects, numbers per object, numbers per question, hidden units
B, N, D, Q, H = 3, 4, 5, 2, 6


def scenes(colours, shapes, count):
    """The same scene `count` times, at random places: object i has colours[i]
    and shapes[i].
    """
    row = torch.cat(
        [
            torch.eye(len(colours))[list(colours)],
            torch.tensor(shapes, dtype=torch.float32)[:, None],
        ],
        dim=1,
    )
    return torch.cat(
        [row.expand(count, -1, -1), torch.rand(count, len(colours), 2) * 2 - 1], dim=2
    )


def looked_up(objects, questions, by_colour=True, axis=0):
    """Scene by scene, shape and x (or y, axis 1) of the object asked about, and those
    of the others.
    """
    n = objects.shape[1]
    for scene, question in zip(objects.tolist(), questions.tolist(), strict=True):
        colour = question[:n].index(1)
        place = (
            [row[:n].index(1) for row in scene].index(colour) if by_colour else colour
        )
        seen = [(row[n], row[n + 1 + axis]) for row in scene]
        yield seen.pop(place), seen


def counted(
    objects,
    questions,
    by_colour=True,
    axis=0,
    close=lambda distance: abs(distance) < 0.5,
):
    """Count the others that are close to the object asked about."""
    seen = looked_up(objects, questions, by_colour, axis)
    return torch.tensor(
        [sum(close(x - mine) for _, x in others) for (_, mine), others in seen]
    )


def shape_of(objects, questions, by_colour=True):
    """0 or 1, the shape of the object asked about."""
    return torch.tensor(
        [int(shape > 0) for (shape, _), _ in looked_up(objects, questions, by_colour)]
    )


@st.composite
def colours_and_shapes(draw):
    n = draw(st.integers(1, 6))
    return draw(st.permutations(range(n))), draw(
        st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n)
    )


class TestMakeQuestions:
    COLOURS, SHAPES = (2, 0, 3, 1), (1, 1, -1, 1)

    def test_a_question_is_a_colour_and_a_flag(self, kata):
        """The first N numbers are one-hot: the colour asked about. The last one tells
        the kind: +1 relational, −1 not. Without it both kinds look the same, and no
        model could know what to answer.
        """
        objects = scenes(self.COLOURS, self.SHAPES, 9)
        for relational, flag in ((True, 1.0), (False, -1.0)):
            questions, _ = kata.make_questions(objects, relational)
            check.shape(questions, (9, 5), what="questions")
            unlike = {
                "0 for not relational": torch.zeros(9),
                "one flag for both kinds": torch.full((9,), -flag),
            }
            check.close(
                questions[:, -1],
                torch.full((9,), flag),
                unlike=unlike,
                what=f"flag, relational={relational}",
            )
            ones = questions[:, :4].sort(dim=1).values
            check.close(
                ones,
                torch.eye(4)[[3] * 9],
                what="the sorted first N numbers of each question",
            )

    def test_relational_answers_count_the_others(self, kata):
        """How many *other* objects are close, less than 0.5 away in x? That takes two
        objects at a time. The object is the one of the colour asked about, in whatever
        row it is: rows are shuffled.
        """
        objects = scenes(self.COLOURS, self.SHAPES, 20)
        # some are exactly 0.5 away
        objects[:, :, 5] = (4 * objects[:, :, 5]).round() / 4
        questions, answers = kata.make_questions(objects, True)
        expected = counted(objects, questions)
        unlike = {
            "the object counted as one of the others": expected + 1,
            "the others that are not close": 3 - expected,
            "0.5 counted as close, too": counted(
                objects, questions, close=lambda d: abs(d) <= 0.5
            ),
            "all objects on its left counted as close": counted(
                objects, questions, close=lambda d: d < 0.5
            ),
            "the colour taken for the row number": counted(
                objects, questions, by_colour=False
            ),
            "the distance in y, not in x": counted(objects, questions, axis=1),
            "the shape of the object": shape_of(objects, questions),
        }
        check.equal(answers, expected, unlike=unlike, what="answers")

    def test_other_answers_are_the_shape_of_the_object(self, kata):
        """0 for the shape −1, and 1 for +1: numbers of classes, so int64. The object is
        found by its colour.
        """
        objects = scenes(self.COLOURS, self.SHAPES, 20)
        questions, answers = kata.make_questions(objects, False)
        expected = shape_of(objects, questions)
        unlike = {
            "the colour taken for the row number": shape_of(
                objects, questions, by_colour=False
            ),
            "0 and 1 exchanged": 1 - expected,
            "the shape itself, −1 or +1": 2 * expected - 1,
            "the relational answer": counted(objects, questions),
        }
        check.equal(answers, expected, unlike=unlike, what="answers")

    def test_every_colour_is_asked_about(self, kata):
        """Each scene of a batch gets a colour of its own, all equally likely. Of 400
        questions about 4 colours, each gets about 100.
        """
        questions, _ = kata.make_questions(scenes(self.COLOURS, self.SHAPES, 400), True)
        counts = questions[:, :4].sum(dim=0).int().tolist()
        says = (
            f"the 4 colours are asked about {counts} times in 400 questions, expected "
            "about 100 each"
        )
        check.that(all(55 < count < 145 for count in counts), says)

    def test_the_generator_alone_draws_the_colours(self, kata):
        """Generators of the same seed give the same questions, whatever the state of
        the global one. A generator of another seed gives others.
        """
        objects = scenes(self.COLOURS, self.SHAPES, 50)

        def questions(seed, generator):
            torch.manual_seed(seed)
            return kata.make_questions(
                objects, True, torch.Generator().manual_seed(generator)
            )[0]

        first = questions(1, 5)
        check.equal(
            questions(2, 5),
            first,
            what="questions with a second generator of the same seed",
        )
        check.that(
            not torch.equal(questions(1, 6), first),
            "another seed gives the same questions: it is not used",
        )

    @given(case=colours_and_shapes())
    def test_any_scene_of_any_size(self, kata, case):
        """Answers are right for every order of the rows and any number of objects, even
        for one alone.
        """
        objects = scenes(*case, 8)
        for relational, oracle in ((True, counted), (False, shape_of)):
            questions, answers = kata.make_questions(objects, relational)
            check.equal(
                answers,
                oracle(objects, questions),
                what=f"answers, relational={relational}",
            )

    @pytest.mark.edge
    def test_questions_have_the_dtype_of_the_objects(self, kata):
        """A float64 model is asked in float64."""
        for dtype in (torch.float32, torch.float64):
            for relational in (True, False):
                questions, _ = kata.make_questions(
                    scenes(self.COLOURS, self.SHAPES, 2).to(dtype), relational
                )
                check.dtype(questions, dtype, what="questions")


def small_net():
    """A g of one layer from 2D + Q to H, and its weight and bias in float64. Neither is
    symmetric in o_i and o_j.
    """
    layer = nn.Linear(2 * D + Q, H)
    return (
        lambda z: layer(z).tanh(),
        layer.weight.detach().double(),
        layer.bias.detach().double(),
    )


def pair_by_pair(g, objects, question):
    """g of every pair, by i and j: a list of lists of (B, H), in float64."""
    o, q = objects.double(), question.double()
    n = objects.shape[1]
    return [
        [g(torch.cat([o[:, i], o[:, j], q], dim=1)) for j in range(n)] for i in range(n)
    ]


def total(pairs, keep=lambda i, j: True):
    """The sum of the pairs that are kept."""
    return sum(
        pair for i, row in enumerate(pairs) for j, pair in enumerate(row) if keep(i, j)
    )


def slips(pairs):
    """By name, what some slips lead to."""
    n = len(pairs)
    return {
        "the mean over the pairs": total(pairs) / n**2,
        "only the pairs i < j": total(pairs, lambda i, j: i < j),
        "only the pairs i ≤ j": total(pairs, lambda i, j: i <= j),
        "the pairs i = j left out": total(pairs, lambda i, j: i != j),
        "o_i twice: both parts of the pair taken along the same axis": total(
            pairs, lambda i, j: i == j
        )
        * n,
        "the maximum over the pairs": torch.stack(
            [pair for row in pairs for pair in row]
        ).amax(dim=0),
    }


def things(n=N, **options):
    """Random objects (B, n, D) and questions (B, Q)."""
    return torch.randn(B, n, D, **options), torch.randn(B, Q, **options)


class TestRelationSum:
    def test_two_objects_by_hand(self, kata):
        """The objects are 2 and 3, the question is 10, and g multiplies what it gets.
        Over all ordered pairs this is 10 · (2·2 + 2·3 + 3·2 + 3·3) = 250: (i, j) and
        (j, i) both count, and so does (i, i).
        """
        unlike = {
            "only the pair 2, 3": torch.tensor([[60.0]]),
            "the pairs i = j left out": torch.tensor([[120.0]]),
            "o_i twice: both parts of the pair taken along the same axis": torch.tensor(
                [[260.0]]
            ),
            "the mean over the pairs": torch.tensor([[62.5]]),
            "g without the question": torch.tensor([[25.0]]),
            "g of the sum of all pairs, not the sum of g": torch.tensor([[4000.0]]),
            "the sum over one object of the pair, with a row left for each other one": (
                torch.tensor([[[100.0], [150.0]]])
            ),
        }
        got = kata.relation_sum(
            lambda z: z.prod(dim=-1, keepdim=True),
            torch.tensor([[[2.0], [3.0]]]),
            torch.tensor([[10.0]]),
        )
        check.close(got, torch.tensor([[250.0]]), unlike=unlike)

    def test_sums_over_all_ordered_pairs(self, kata):
        """Row b is the sum of g([o_i, o_j, question]) over i and j of scene b. This g
        tells o_i from o_j.
        """
        g, weight, bias = small_net()
        objects, question = things()
        pairs = pair_by_pair(
            lambda z: F.linear(z, weight, bias).tanh(), objects, question
        )
        with torch.no_grad():
            turned = pair_by_pair(
                lambda z: F.linear(z.roll(Q, -1), weight, bias).tanh(),
                objects,
                question,
            )
            unlike = slips(pairs) | {
                "the question in front of the objects": total(turned)
            }
            check.close(
                kata.relation_sum(g, objects, question), total(pairs), unlike=unlike
            )

    def test_g_reads_two_objects_then_the_question(self, kata):
        """The input of g is [o_i, o_j, question] along its last dimension, 2D + Q
        numbers. Three g that read one part each show what is there: each object is N
        times in either place, and the question is N · N times there.
        """
        objects, question = things()
        objects_once, question_once = objects.sum(dim=1) * N, question * N * N
        parts = {
            "first D": slice(D),
            "next D": slice(D, 2 * D),
            "last Q": slice(2 * D, None),
        }
        for (name, part), expected in zip(
            parts.items(), (objects_once, objects_once, question_once), strict=True
        ):
            got = kata.relation_sum(
                lambda z, part=part: z[..., part], objects, question
            )
            check.close(
                got, expected, what=f"the sum, if g returns the {name} of its input"
            )

    def test_each_scene_has_its_own_question(self, kata):
        """The question belongs to the input of g, because what matters in a pair
        depends on what was asked. A scene alone gives the same row as in a batch.
        """
        g, _, _ = small_net()
        objects, question = things()
        with torch.no_grad():
            alone = [
                kata.relation_sum(g, objects[b : b + 1], question[b : b + 1])
                for b in range(B)
            ]
            first = kata.relation_sum(g, objects, question[:1].repeat(B, 1))
            unlike = {"the question of the first scene in all of them": first}
            check.close(
                kata.relation_sum(g, objects, question), torch.cat(alone), unlike=unlike
            )

    def test_two_copies_of_a_scene_give_four_times_the_sum(self, kata):
        """With every object twice, every pair is there four times. A sum counts that; a
        mean forgets it.
        """
        g, _, _ = small_net()
        objects, question = things()
        with torch.no_grad():
            once = kata.relation_sum(g, objects, question)
            got = kata.relation_sum(g, torch.cat([objects, objects], dim=1), question)
        check.close(
            got, 4 * once, unlike={"the same as for one copy, as for a mean": once}
        )

    def test_gradients_go_back_to_objects_and_question(self, kata):
        """In a larger net, the objects come out of a convolution and the question out
        of an LSTM. Both learn through the sum.
        """
        g, weight, bias = small_net()
        check.gradients(
            lambda objects, question: kata.relation_sum(g, objects, question),
            lambda *inputs: total(
                pair_by_pair(lambda z: F.linear(z, weight, bias).tanh(), *inputs)
            ),
            *things(),
        )

    @given(order=st.permutations(range(N)))
    def test_the_order_of_the_objects_does_not_matter(self, kata, order):
        """Under a new order the same pairs come up, so the sum is the same."""
        g, _, _ = small_net()
        objects, question = things()
        with torch.no_grad():
            expected = kata.relation_sum(g, objects, question)
            check.close(kata.relation_sum(g, objects[:, order], question), expected)

    @pytest.mark.edge
    def test_objects_may_be_non_contiguous(self, kata):
        """The places of a feature map become objects by a transpose:
        (B, D, N) → (B, N, D). No copy is made for it.
        """
        g, _, _ = small_net()
        objects, question = things()
        with torch.no_grad():
            expected = kata.relation_sum(g, objects, question)
            check.close(
                kata.relation_sum(g, objects.mT.contiguous().mT, question), expected
            )

    @pytest.mark.edge
    def test_neither_input_is_written_to(self, kata):
        """The caller asks the next question about the same objects."""
        g, _, _ = small_net()
        objects, question = things()
        with check.unchanged(objects=objects, question=question):
            kata.relation_sum(g, objects, question)

    @pytest.mark.edge
    def test_a_float64_g_computes_in_float64(self, kata):
        """No float32 comes in on the way: the sum is right to nine digits."""
        _, weight, bias = small_net()
        objects, question = things(dtype=torch.float64)

        def g(z):
            return F.linear(z, weight, bias).tanh()

        got = kata.relation_sum(g, objects, question)
        check.dtype(got, torch.float64)
        check.close(got, total(pair_by_pair(g, objects, question)), rtol=0, atol=1e-9)


@pytest.mark.stretch
class TestRelationSumNumpy:
    def case(self):
        """Objects, question, weight and bias as float64 tensors."""
        shapes = (B, N, D), (B, Q), (H, 2 * D + Q), (H,)
        return [torch.randn(shape, dtype=torch.float64) for shape in shapes]

    def expected(self, objects, question, weight, bias):
        return total(
            pair_by_pair(lambda z: F.linear(z, weight, bias).relu(), objects, question)
        )

    def call(self, kata, *tensors):
        return kata.relation_sum_numpy(*(part.numpy() for part in tensors))

    def test_sums_over_all_ordered_pairs(self, kata):
        """Row b is the sum of relu([o_i, o_j, question] @ weight.T + bias) over all i
        and j. Each pair has the bias, and its own relu: one relu after the sum would
        let pairs cancel.
        """
        objects, question, weight, bias = self.case()
        pairs = pair_by_pair(
            lambda z: F.linear(z, weight, bias).relu(), objects, question
        )
        linear = total(
            pair_by_pair(lambda z: F.linear(z, weight, bias), objects, question)
        )
        without = total(
            pair_by_pair(lambda z: F.linear(z, weight).relu(), objects, question)
        )
        unlike = slips(pairs) | {
            "one relu after the sum": linear.relu(),
            "no relu": linear,
            "no bias": without,
            "the bias added once, after the sum": without + bias,
        }
        unlike = {name: wrong.numpy() for name, wrong in unlike.items()}
        got = self.call(kata, objects, question, weight, bias)
        check.close(got, total(pairs).numpy(), rtol=1e-4, atol=1e-5, unlike=unlike)

    def test_two_copies_of_a_scene_give_four_times_the_sum(self, kata):
        """With every object twice, every pair is there four times."""
        objects, *rest = self.case()
        once = self.call(kata, objects, *rest)
        got = self.call(kata, torch.cat([objects, objects], dim=1), *rest)
        check.close(
            got,
            4 * once,
            rtol=1e-4,
            atol=1e-5,
            unlike={"the same as for one copy, as for a mean": once},
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        case = self.case()
        check.close(
            self.call(kata, *case), self.expected(*case).numpy(), rtol=0, atol=1e-9
        )


ANSWERS = 7


def two_layers(w, net, z, last):
    """Two layers of a RelationNetwork from its parameters by name: Linear, ReLU,
    Linear, and `last`.
    """
    hidden = F.linear(z, w[f"{net}.0.weight"], w[f"{net}.0.bias"]).relu()
    return last(F.linear(hidden, w[f"{net}.2.weight"], w[f"{net}.2.bias"]))


def same(z):
    return z


def answered(model, objects, question):
    """The logits of a RelationNetwork in float64, pair by pair, by what some slips lead
    to, the right ones first.
    """
    w = {name: parameter.double() for name, parameter in model.named_parameters()}
    n = objects.shape[1]
    pairs = pair_by_pair(lambda z: two_layers(w, "g", z, torch.relu), objects, question)
    linear = pair_by_pair(lambda z: two_layers(w, "g", z, same), objects, question)
    blind = pair_by_pair(
        lambda z: two_layers(w, "g", z, torch.relu), objects, 0 * question
    )
    late = total(blind) + F.pad(question.double(), (0, H - Q))
    return {
        "right": two_layers(w, "f", total(pairs), same),
        "a relu after the last layer of f": two_layers(
            w, "f", total(pairs), torch.relu
        ),
        "no relu at the end of g": two_layers(w, "f", total(linear), same),
        "the mean over the pairs": two_layers(w, "f", total(pairs) / n**2, same),
        "the question added for f, and not read by g": two_layers(w, "f", late, same),
        "f of each pair, then the sum": sum(
            two_layers(w, "f", pair, same) for row in pairs for pair in row
        ),
        "only the pairs i < j": two_layers(
            w, "f", total(pairs, lambda i, j: i < j), same
        ),
        "a softmax of the logits": two_layers(
            w, "f", total(pairs), lambda z: z.softmax(dim=-1)
        ),
        "both partners of a pair are one object": two_layers(
            w, "f", n * total(pairs, lambda i, j: i == j), same
        ),
    }


class TestRelationNetwork:
    def test_its_parameters_are_two_small_networks(self, kata):
        """g is Linear, ReLU, Linear, ReLU on 2D + Q numbers; f is Linear, ReLU, Linear
        on H. The number of objects is nowhere to be seen.
        """
        model = kata.RelationNetwork(D, Q, H, ANSWERS)
        shapes = {
            "g.0": (H, 2 * D + Q),
            "g.2": (H, H),
            "f.0": (H, H),
            "f.2": (ANSWERS, H),
        }
        expected = {f"{name}.weight": shape for name, shape in shapes.items()}
        expected |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}
        got = {
            name: tuple(parameter.shape) for name, parameter in model.named_parameters()
        }
        check.equal(got, expected, what="shapes of the parameters")

    def test_logits_are_f_of_the_sum_of_g(self, kata):
        """First the sum over all pairs of g, then f once per scene: (B, num_answers).
        Logits may be negative, so there is no relu at the end.
        """
        model = kata.RelationNetwork(D, Q, H, ANSWERS)
        objects, question = things()
        with torch.no_grad():
            unlike = answered(model, objects, question)
            check.close(model(objects, question), unlike.pop("right"), unlike=unlike)

    def test_gradients_reach_both_networks(self, kata):
        """All pairs train the same g: its gradient is the sum over all of them."""
        model = kata.RelationNetwork(D, Q, H, ANSWERS)
        inputs = things()
        weights = torch.linspace(-1, 2, B * ANSWERS).reshape(B, ANSWERS)
        parameters = dict(model.named_parameters())
        logits = model(*inputs)
        check.shape(logits, (B, ANSWERS))
        check.that(
            logits.requires_grad,
            "the logits have no autograd graph: nothing can be learned",
        )
        got = torch.autograd.grad(
            (logits * weights).sum(), list(parameters.values()), allow_unused=True
        )
        oracle = (answered(model, *inputs)["right"] * weights).sum()
        right = torch.autograd.grad(oracle, list(parameters.values()))
        for name, mine, expected in zip(parameters, got, right, strict=True):
            check.that(mine is not None, f"no gradient reaches {name}")
            check.close(mine, expected, what=f"gradient of {name}")

    def test_the_order_of_the_objects_does_not_matter_but_the_objects_do(self, kata):
        """The logits are the same for every order of the rows, within 1e-5. They are
        others when one object has another shape: the model is not simply blind.
        """
        model = kata.RelationNetwork(N + 3, N + 1, 16, N)
        objects = scenes((2, 0, 3, 1), (1, 1, -1, 1), 6)
        question = torch.cat(
            [torch.eye(N)[[0, 1, 2, 3, 0, 1]], torch.ones(6, 1)], dim=1
        )
        turned = objects.clone()
        turned[:, 2, N] *= -1
        with torch.no_grad():
            logits = model(objects, question)
            check.close(
                model(objects[:, [3, 1, 0, 2]], question), logits, rtol=0, atol=1e-5
            )
            moved = (model(turned, question) - logits).abs().max().item()
        check.that(
            moved > 1e-5,
            f"with one shape turned around, no logit changes by more than {moved:.0e}",
        )

    def test_one_model_works_for_any_number_of_objects(self, kata):
        """The number of pairs is read from the objects, not fixed in the constructor:
        the same weights run on 3 and on 6 objects.
        """
        model = kata.RelationNetwork(D, Q, H, ANSWERS)
        for n in (3, 6):
            inputs = things(n)
            with torch.no_grad():
                check.close(
                    model(*inputs),
                    answered(model, *inputs)["right"],
                    what=f"the logits for {n} objects",
                )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """`model.double()` is enough: nothing on the way is made in float32."""
        model = kata.RelationNetwork(D, Q, H, ANSWERS).double()
        inputs = things(dtype=torch.float64)
        with torch.no_grad():
            got = model(*inputs)
            check.dtype(got, torch.float64)
            check.close(got, answered(model, *inputs)["right"], rtol=0, atol=1e-9)


class Witness(nn.Module):
    """One layer on the flattened scene and the question. It keeps what it was
    called with.
    """

    def __init__(self, num_objects=N):
        super().__init__()
        self.linear = nn.Linear(
            num_objects * (num_objects + 3) + num_objects + 1, num_objects + 1
        )
        self.read, self.modes = [], []

    def forward(self, objects, question):
        self.read.append((objects.detach().clone(), question.detach().clone()))
        self.modes.append(self.training)
        return self.linear(torch.cat([objects.flatten(1), question], dim=1))


def right_answers(objects, questions):
    """The answers to the questions, whose kind is in their last number."""
    return torch.where(
        questions[:, -1] > 0, counted(objects, questions), shape_of(objects, questions)
    )


@functools.cache
def accuracies(kata, name):
    """A model trained for 450 steps on 4 objects: its accuracy on relational questions
    and on the others.
    """
    torch.manual_seed(1)
    model = (
        kata.RelationNetwork(7, 5, 32, 4)
        if name == "network"
        else kata.FlatMLP(4, 7, 5, 128, 4)
    )
    generator = torch.Generator().manual_seed(1)
    kata.train_model(
        model, steps=450, num_objects=4, batch_size=192, lr=0.01, generator=generator
    )
    return [
        kata.answer_accuracy(model, kind, num_objects=4, generator=generator)
        for kind in (True, False)
    ]


class TestTrainModel(training.Contract):
    """Steps of Adam on fresh scenes, with one loss over both kinds of questions."""

    model, lr, default_lr = Witness, 0.02, 5e-3

    def train(self, kata, model, **options):
        return kata.train_model(model, num_objects=N, batch_size=8, **options)

    def batches(self, model, steps):
        """Per step, what a Witness has read. The two halves of a batch may have come
        one after the other.
        """
        objects, questions = (
            torch.cat(parts).chunk(steps) for parts in zip(*model.read, strict=True)
        )
        return list(zip(objects, questions, strict=True))

    def loss(self, model, batch):
        return F.cross_entropy(model(*batch), right_answers(*batch))

    def wrong_losses(self, model, batch):
        logits, answers = model(*batch), right_answers(*batch)
        return {
            "the loss of the relational questions": F.cross_entropy(
                logits[:4], answers[:4]
            ),
            "the loss of the other questions": F.cross_entropy(logits[4:], answers[4:]),
            "the sum over the batch": 8 * F.cross_entropy(logits, answers),
            "the sum of the two halves' losses": 2 * F.cross_entropy(logits, answers),
            "answers in another order than the questions": F.cross_entropy(
                logits, answers.roll(4)
            ),
        }

    def test_half_of_each_batch_is_relational(self, kata):
        """Each step draws fresh scenes, of 5 objects by default. The first half of the
        questions is relational.
        """
        model = Witness(5)
        kata.train_model(model, steps=3, batch_size=6)
        count = sum(len(objects) for objects, _ in model.read)
        check.that(
            count == 18,
            f"the model read {count} scenes in 3 steps with batch_size=6, expected 18",
        )
        flags = torch.tensor([1.0, 1, 1, -1, -1, -1])
        unlike = {
            "relational questions only": torch.ones(6),
            "no relational questions": -torch.ones(6),
            "the relational questions in the second half": -flags,
        }
        for objects, questions in self.batches(model, 3):
            check.shape(
                objects, (6, 5, 8), what="objects that the model was called with"
            )
            check.close(
                questions[:, -1],
                flags,
                unlike=unlike,
                what="the flags of the questions",
            )
        (first, _), (second, _), _ = self.batches(model, 3)
        check.that(
            not torch.equal(first, second),
            "steps 0 and 1 read the same scenes: draw new ones per step",
        )

    @pytest.mark.timeout(60)
    def test_the_relation_network_answers_both_kinds(self, kata):
        """After 450 steps it is right on more than 65 % of fresh relational questions,
        and on nearly all others.
        """
        for kind, share, least in zip(
            ("relational", "other"),
            accuracies(kata, "network"),
            (0.65, 0.95),
            strict=True,
        ):
            check.that(
                share > least,
                f"{share:.0%} of the {kind} questions are answered right, expected > "
                f"{least:.0%}",
            )

    @pytest.mark.timeout(60)
    def test_the_relation_network_beats_the_mlp(self, kata):
        """The key result: on the same data and after the same number of steps, an MLP
        on the flattened scene is at least 15 points behind on relational questions. It
        would have to learn the comparison for each pair of rows.
        """
        pairs, flat = accuracies(kata, "network")[0], accuracies(kata, "mlp")[0]
        says = (
            f"{pairs:.0%} of the relational questions are right with pairs, "
            f"{flat:.0%} without"
        )
        check.that(pairs >= flat + 0.15, f"{says}: expected at least 15 points more")
