"""Specs of kata papers/06: scores that point, the targets of a hull, a pointer network,
its loss, and sorting.
"""

import copy
import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, T, D, H = 4, 6, 2, 5  # lists, places, numbers per place, hidden units
FLOOR = -20.0  # e^-20 is a probability of 2e-9: as good as -inf


def floored(logits):
    """The logits with -inf, or whatever else gives a probability near 0, as one and the
    same number.
    """
    return logits.detach().clamp(min=FLOOR)


def numbers(*shape):
    """float64 numbers between -1 and 1."""
    return torch.rand(shape, dtype=torch.float64) * 2 - 1


def lively(model):
    """The model with all its parameters drawn anew between -1 and 1, so that
    they matter.
    """
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(numbers(*parameter.shape))
    return model


def additive(enc, dec, W1, W2, v, slip=None):
    """The scores (T,) of one list, place by place, as float64; or what a slip makes
    of them.
    """
    scores = []
    for e in enc:
        place, state = W1 @ e, W2 @ dec
        if slip == "turned":
            place = W1.T @ e
        if slip == "swapped":
            place, state = W2 @ e, W1 @ dec
        total = torch.tanh(place + state)
        if slip == "apart":
            total = torch.tanh(place) + torch.tanh(state)
        if slip == "linear":
            total = place + state
        scores.append((v @ (place + state)).tanh() if slip == "outside" else v @ total)
    return torch.stack(scores)


SLIPS = {
    "W1 and W2 are swapped": "swapped",
    "a tanh of each part, then the sum": "apart",
    "the tanh is missing": "linear",
    "the tanh of the product with v": "outside",
    "W1 is transposed": "turned",
}


@pytest.mark.stretch
class TestPointerScoresNumpy:
    def arguments(self):
        """Encoder states, a decoder state and weights, as tensors."""
        return numbers(T, H), numbers(H), numbers(H, H), numbers(H, H), numbers(H)

    def test_every_place_gets_its_score(self, kata):
        """u_j = v · tanh(W1 e_j + W2 d): the two parts are added first, then squashed
        together. Squashed apart, a place would have the same advantage over another one
        whatever the decoder's state.
        """
        tensors = self.arguments()
        unlike = {
            name: additive(*tensors, slip).numpy() for name, slip in SLIPS.items()
        }
        expected = additive(*tensors)
        unlike["shares in place of scores: there is a softmax"] = expected.softmax(
            dim=0
        ).numpy()
        got = kata.pointer_scores_numpy(*(x.numpy() for x in tensors))
        check.close(got, expected.numpy(), rtol=1e-4, atol=1e-5, unlike=unlike)

    def test_one_score_per_place_for_any_number_of_places(self, kata):
        """The weights know nothing of the number of places, so the same weights score 1
        place or 9.
        """
        _, dec, *weights = self.arguments()
        for width in (1, 9):
            enc = numbers(width, H)
            got = kata.pointer_scores_numpy(
                enc.numpy(), dec.numpy(), *(w.numpy() for w in weights)
            )
            expected = additive(enc, dec, *weights).numpy()
            check.close(
                got,
                expected,
                rtol=1e-4,
                atol=1e-5,
                what=f"the scores of {width} places",
            )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the scores agree with a float64 computation
        to 1e-9.
        """
        tensors = self.arguments()
        got = kata.pointer_scores_numpy(*(x.numpy() for x in tensors))
        check.close(got, additive(*tensors).numpy(), rtol=0, atol=1e-9)


def hull_by_edges(points):
    """The hull by its definition: an edge leads from i to j if all other points are on
    its left.
    """
    xy = points.double().tolist()
    following = {}
    for i, (ax, ay) in enumerate(xy):
        for j, (bx, by) in enumerate(xy):
            left = [
                (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
                for k, (x, y) in enumerate(xy)
                if k not in (i, j)
            ]
            if i != j and all(left):
                following[i] = j
    corners = [min(following, key=lambda i: xy[i])]
    while following[corners[-1]] != corners[0]:
        corners.append(following[corners[-1]])
    return torch.tensor(corners)


@pytest.mark.stretch
class TestConvexHull:
    # A square that stands on a corner, tilted, and two points inside: the corners are
    # 0, 2, 3 and 5.
    SQUARE = torch.tensor(
        [[0.0, 1.0], [2.0, 2.0], [3.0, 0.0], [4.0, 3.0], [1.5, 1.5], [1.0, 4.0]]
    )

    def test_corners_of_a_tilted_square_in_any_input_order(self, kata):
        """The corners come counter-clockwise, and points inside are left out. Only the
        order of the input is changed here: the numbers in the answer are places in
        the input.
        """
        right = torch.tensor([0, 2, 3, 5])
        for shift in range(6):
            expected = (right + shift) % 6
            unlike = {
                "clockwise": expected[[0, 3, 2, 1]],
                "from the last corner to the first": expected.flip(0),
                "starts at the lowest y": expected.roll(-1),
                "the lower half alone": expected[:2],
                "the first corner again at the end": torch.cat(
                    [expected, expected[:1]]
                ),
                "the points, not their numbers": self.SQUARE[right],
                "all points": torch.arange(6),
                "the corners in the order of the input": expected.sort().values,
            }
            got = kata.convex_hull(self.SQUARE.roll(shift, dims=0))
            check.equal(
                got,
                expected,
                unlike=unlike,
                what=f"the square's hull, input rotated by {shift}",
            )

    def test_starts_at_the_lowest_x(self, kata):
        """A closed way can start anywhere. One fixed start makes the target unique, so
        that a network can learn it.
        """
        points = torch.tensor([[2.0, -5.0], [3.0, 1.0], [-4.0, 2.0], [1.0, 6.0]])
        unlike = {"starts at the lowest y": torch.tensor([0, 1, 3, 2])}
        check.equal(kata.convex_hull(points), torch.tensor([2, 0, 1, 3]), unlike=unlike)

    @given(case=st.tuples(st.integers(3, 9), st.integers(0, 999)))
    def test_all_points_lie_left_of_every_edge(self, kata, case):
        """This is what makes it the hull: walking from corner to corner, every other
        point is on your left hand.
        """
        count, seed = case
        points = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))
        check.equal(
            kata.convex_hull(points),
            hull_by_edges(points),
            what=f"the hull of {count} points",
        )

    @pytest.mark.edge
    def test_the_lowest_y_decides_between_two_lowest_x(self, kata):
        """An upright rectangle has two corners with the lowest x. The lower one
        is first.
        """
        points = torch.tensor([[0.0, 3.0], [2.0, 0.0], [0.0, 0.0], [2.0, 3.0]])
        check.equal(kata.convex_hull(points), torch.tensor([2, 1, 3, 0]))

    @pytest.mark.edge
    def test_points_on_an_edge_are_left_out(self, kata):
        """A point in the middle of an edge is no corner: the rubber band does not
        bend there.
        """
        corners = self.SQUARE[[0, 2, 3, 5]]
        points = torch.cat([corners, (corners + corners.roll(1, dims=0)) / 2])
        unlike = {"points on the edges, too": torch.tensor([0, 5, 1, 6, 2, 7, 3, 4])}
        check.equal(kata.convex_hull(points), torch.arange(4), unlike=unlike)

    @pytest.mark.edge
    def test_two_points_are_an_error(self, kata):
        """Two points have no hull with an inside: say which argument is too short."""
        with check.raises(ValueError, "points"):
            kata.convex_hull(torch.tensor([[0.0, 0.0], [1.0, 2.0]]))


class TestPointerAttention:
    def attention(self, kata):
        """A PointerAttention, and its weights in float64."""
        model = lively(kata.PointerAttention(H))
        return model, (
            model.W1.weight.detach().double(),
            model.W2.weight.detach().double(),
            model.v.weight[0].double(),
        )

    def states(self):
        return numbers(B, T, H).float(), numbers(B, H).float()

    def scores(self, enc, dec, weights, slip=None):
        pairs = zip(enc.double(), dec.double(), strict=True)
        return torch.stack([additive(e, d, *weights, slip) for e, d in pairs])

    def test_has_three_weights_and_no_bias(self, kata):
        """The names and shapes of the formula. A bias after v would be the same for all
        places: the softmax takes it out again.
        """
        shapes = {
            name: list(p.shape)
            for name, p in kata.PointerAttention(H).named_parameters()
        }
        check.equal(
            shapes,
            {"W1.weight": [H, H], "W2.weight": [H, H], "v.weight": [1, H]},
            what="the parameters",
        )

    def test_logits_are_the_scores_of_all_places(self, kata):
        """Every place of a list is scored against this list's decoder state. The scores
        are the output: no softmax, no weighted sum.
        """
        model, weights = self.attention(kata)
        enc, dec = self.states()
        right = self.scores(enc, dec, weights).detach()
        unlike = {
            name: self.scores(enc, dec, weights, slip).detach()
            for name, slip in SLIPS.items()
        }
        unlike |= {
            "probabilities in place of logits": right.softmax(dim=1),
            "the decoder states of other lists": self.scores(
                enc, dec.roll(1, dims=0), weights
            ).detach(),
        }
        check.close(model(enc, dec), right, unlike=unlike, what="logits")

    def test_masked_places_get_probability_0(self, kata):
        """True means that a place may be chosen. After the softmax the other places
        have probability 0, and the allowed ones share all of it.
        """
        model, weights = self.attention(kata)
        enc, dec = self.states()
        mask = torch.arange(T) < torch.tensor([[1], [3], [4], [T]])
        scores = self.scores(enc, dec, weights).detach()
        expected = scores.masked_fill(~mask, -math.inf).softmax(dim=1)
        inverted = scores[:3].masked_fill(mask[:3], -math.inf).softmax(dim=1)
        unlike = {
            "the mask inverted": torch.cat([inverted, torch.full((1, T), math.nan)]),
            "a mask without effect": scores.softmax(dim=1),
            "scores of 0, not -inf, where nothing may be chosen": (
                scores * mask
            ).softmax(dim=1),
        }
        got = model(enc, dec, mask)
        check.close(
            got.softmax(dim=1),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="softmax of the logits",
        )
        check.that(
            bool((got[~mask] == -math.inf).all()),
            "masked logits are not -inf, but large negative numbers",
        )

    def test_gradients_reach_both_states(self, kata):
        """Whatever pulls at a score pulls at the encoder's state of that place and at
        the decoder's state.
        """
        model, weights = self.attention(kata)
        check.gradients(
            model, lambda enc, dec: self.scores(enc, dec, weights), *self.states()
        )


class TestPointerNetInit:
    def test_its_parts(self, kata):
        """The parts by their names. No shape depends on the number of places: that is
        why one network can point into lists of any length.
        """
        model = kata.PointerNet(D, H)
        lstm = {
            "weight_ih": [4 * H, H],
            "weight_hh": [4 * H, H],
            "bias_ih": [4 * H],
            "bias_hh": [4 * H],
        }
        expected = {"embed.weight": [H, D], "embed.bias": [H], "start": [H]}
        expected |= {f"encoder.{name}_l0": size for name, size in lstm.items()}
        expected |= {f"decoder.{name}": size for name, size in lstm.items()}
        expected |= {
            "attention.W1.weight": [H, H],
            "attention.W2.weight": [H, H],
            "attention.v.weight": [1, H],
        }
        got = {name: list(p.shape) for name, p in model.named_parameters()}
        plain = (
            isinstance(getattr(model, "start", None), torch.Tensor)
            and "start" not in got
        )
        check.that(
            not plain,
            "start is a tensor and no parameter",
            like="a tensor that is not in an nn.Parameter",
        )
        unlike = {
            "the encoder reads x, not its embedding": expected
            | {"encoder.weight_ih_l0": [4 * H, D]}
        }
        check.equal(got, expected, unlike=unlike, what="the parameters")

    def test_the_parts_are_of_their_kinds(self, kata):
        """PyTorch's own layers, the attention from this kata, and an encoder that takes
        the batch first.
        """
        model = kata.PointerNet(D, H)
        kinds = {
            "embed": nn.Linear,
            "encoder": nn.LSTM,
            "decoder": nn.LSTMCell,
            "attention": kata.PointerAttention,
        }
        for name, kind in kinds.items():
            part = getattr(model, name)
            check.that(
                isinstance(part, kind),
                f"model.{name} is a {type(part).__name__}, not a {kind.__name__}",
            )
        check.that(
            model.encoder.batch_first,
            "the encoder needs batch_first=True: x is (B, T, …)",
        )


def lists(*lengths, width=T):
    """Random x (B, width, D) with zeros beyond the lengths, the lengths, and targets
    with -100 beyond.
    """
    x = numbers(len(lengths), width, D).float()
    targets = torch.full((len(lengths), width), -100)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
        targets[row, :length] = torch.randperm(length)
    return x, torch.tensor(lengths), targets


def by_hand(model, x, lengths, targets=None, slip=None):
    """Logits and picks in float64, list by list and step by step, from the model's
    weights; or with a slip.
    """
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    encoder, decoder = (
        nn.LSTM(H, H, batch_first=True).double(),
        nn.LSTMCell(H, H).double(),
    )
    encoder.load_state_dict(model.encoder.state_dict())
    decoder.load_state_dict(model.decoder.state_dict())
    W1, W2, v = (weights[f"attention.{name}.weight"] for name in ("W1", "W2", "v"))
    width = x.shape[1]
    logits = torch.zeros(len(x), width, width, dtype=torch.float64)
    picks = torch.full((len(x), width), -100)
    for row, length in enumerate(lengths.tolist()):
        embedded = x[row].double() @ weights["embed.weight"].T + weights["embed.bias"]
        enc, (h, c) = encoder(
            embedded if slip == "reads padding" else embedded[:length]
        )
        enc, h, c = enc.detach()[:length], h[0].detach(), c[0].detach()
        if slip == "from zeros":
            h, c = torch.zeros_like(h), torch.zeros_like(c)
        if slip == "fresh cell":
            c = torch.zeros_like(c)
        size = width if slip == "points at padding" else length
        enc = nn.functional.pad(enc, (0, 0, 0, size - length))
        chosen, free = weights["start"], torch.arange(width) < size
        for t in range(length):
            before = h
            h, c = (state.detach() for state in decoder(chosen, (h, c)))
            u = (
                torch.tanh(enc @ W1.T + W2 @ (before if slip == "state before" else h))
                @ v[0]
            )
            logits[row, t] = torch.full((width,), -math.inf).double()
            logits[row, t, :size] = u
            logits[row, t, ~free] = -math.inf
            pick = picks[row, t] = logits[row, t].argmax()
            place = (
                pick if targets is None or slip == "feeds the pick" else targets[row, t]
            )
            if slip != "repeats":
                free[pick if slip == "marks the pick" else place] = False
            chosen = {
                "context": logits[row, t, :size].softmax(dim=0) @ enc,
                "encoder state": enc[place],
                "always start": weights["start"],
            }.get(slip, embedded[place])
    return logits, picks


WRONG = {
    "the decoder starts from zeros": "from zeros",
    "the decoder starts with the encoder's h, but c is zeros": "fresh cell",
    "the scores are those of the state before the step": "state before",
    "a place can be chosen twice": "repeats",
    "the decoder is fed the attention-weighted states": "context",
    "the decoder is fed the encoder's state of the chosen place, not the embedding": (
        "encoder state"
    ),
    "the decoder is fed `start` at every step": "always start",
}
FORCED = {
    "used are the places it would have picked, not the targets": "marks the pick",
    "with targets it still follows its own picks": "feeds the pick",
}


@st.composite
def lengths_and_seed(draw):
    lengths = draw(st.lists(st.integers(1, T), min_size=1, max_size=4))
    return lengths, draw(st.integers(0, 999))


class TestPointerNetForward:
    def test_one_model_points_into_lists_of_any_length(self, kata):
        """A row of logits has one number per place of *this* input: 4 places, 4
        numbers; 9 places, 9 numbers. A fixed output layer could not do that.
        """
        model = kata.PointerNet(D, H)
        for width in (4, 9):
            x, lengths, _ = lists(width, width, width, width=width)
            logits, picks = model(x, lengths)
            check.shape(
                logits, (3, width, width), what=f"logits of lists with {width} places"
            )
            check.shape(picks, (3, width), what=f"picks of lists with {width} places")
            check.dtype(picks, torch.int64, what="picks")

    def test_teacher_forcing_follows_the_targets(self, kata):
        """With targets, the decoder reads the embedding of the target, and this place
        is used. Its own picks are reported and change nothing. All lists here have
        length T.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(T, T, T)
        logits, picks = by_hand(model, x, lengths, targets)
        unlike = {
            n: floored(by_hand(model, x, lengths, targets, slip)[0])
            for n, slip in (WRONG | FORCED).items()
        }
        got = model(x, lengths, targets)
        check.close(
            floored(got[0]),
            floored(logits),
            unlike=unlike,
            what="logits, -inf shown as -20",
        )
        check.equal(
            got[1],
            picks,
            unlike={"the targets": targets},
            what="picks, the best place of each row",
        )

    def test_without_targets_it_follows_its_own_picks(self, kata):
        """Free-running, each pick is fed to the next step and cannot be picked again:
        every place is chosen once. With these picks as targets, teacher forcing goes
        the same way.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, _ = lists(T, T, T)
        logits, picks = by_hand(model, x, lengths)
        wrong = {
            name: by_hand(model, x, lengths, slip=slip) for name, slip in WRONG.items()
        }
        got = model(x, lengths)
        check.equal(
            got[1],
            picks,
            unlike={name: pair[1] for name, pair in wrong.items()},
            what="picks",
        )
        unlike = {name: floored(pair[0]) for name, pair in wrong.items()}
        check.close(
            floored(got[0]),
            floored(logits),
            unlike=unlike,
            what="logits, -inf shown as -20",
        )
        forced, _ = model(x, lengths, picks)
        check.close(
            floored(forced),
            floored(logits),
            what="logits with its own picks as targets, -inf shown as -20",
        )

    def test_a_row_depends_on_the_targets_before_it(self, kata):
        """Row t is made before target t is known: otherwise the answer leaks in. Target
        t - 1 is what the decoder has just read. Here the targets of places t and t + 1
        are exchanged.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(T, T, T)
        with torch.no_grad():
            before = floored(model(x, lengths, targets)[0])
            for t in range(T - 1):
                other = targets.clone()
                other[:, [t, t + 1]] = targets[:, [t + 1, t]]
                after = floored(model(x, lengths, other)[0])
                what = (
                    f"logits[:, :{t + 1}], which should not know targets[:, "
                    f"{t}:{t + 2}], -inf shown as -20"
                )
                check.close(after[:, : t + 1], before[:, : t + 1], what=what)
                moved = (after[:, t + 1] - before[:, t + 1]).abs().amax()
                check.that(
                    moved > 1e-3,
                    f"logits[:, {t + 1}] do not change with targets[:, {t}]: is it "
                    "fed?",
                )

    def test_padding_never_matters(self, kata):
        """Padding is never chosen, and the encoder ends at the last real place. What is
        written in the padding changes nothing: here 0 and 99.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(3, T, 1, 4)
        real = torch.arange(T) < lengths[:, None]
        logits, picks = by_hand(model, x, lengths, targets)
        for number in (0.0, 99.0):
            padded = x.masked_fill(~real[..., None], number)
            slips = {
                "the encoder reads the padding": "reads padding",
                "places past the length can be chosen": "points at padding",
            } | FORCED
            wrong = {
                name: by_hand(model, padded, lengths, targets, slip)[0]
                for name, slip in slips.items()
            }
            unlike = {name: floored(logits)[real] for name, logits in wrong.items()}
            got = model(padded, lengths, targets)
            what = (
                f"logits of the real steps, padding of {number:.0f}, -inf shown as -20"
            )
            check.close(
                floored(got[0])[real], floored(logits)[real], unlike=unlike, what=what
            )
            check.equal(
                got[1][real],
                picks[real],
                what=f"picks of the real steps, padding of {number:.0f}",
            )

    def test_rows_past_the_length_are_0_and_their_picks_minus_100(self, kata):
        """A finished list has nothing left to point at, and its mask allows no place.
        Zeros in place of -inf keep NaN out of the loss; -100 is what its targets hold,
        too. With targets and without.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(3, T, 1, 4)
        past = torch.arange(T) >= lengths[:, None]
        for given_targets in (None, targets):
            logits, picks = model(x, lengths, given_targets)
            unlike = {
                "rows of -inf, which make a loss NaN": torch.full(
                    (int(past.sum()), T), -math.inf
                )
            }
            check.close(
                logits[past],
                torch.zeros(int(past.sum()), T),
                unlike=unlike,
                what="the rows of logits past the length",
            )
            unlike = {"the best of a row of zeros": torch.zeros_like(targets[past])}
            check.equal(
                picks[past],
                targets[past],
                unlike=unlike,
                what="the picks past the length",
            )

    @given(case=lengths_and_seed())
    def test_a_list_gets_the_same_answer_alone_and_in_a_batch(self, kata, case):
        """Lists of any length in any order share a batch without a trace of one
        another: lengths need not be sorted, and answers stay in the rows of
        their lists.
        """
        lengths, seed = case
        lengths = [*lengths, T]
        torch.manual_seed(seed)
        model = lively(kata.PointerNet(D, H))
        x, _, _ = lists(*lengths)
        with torch.no_grad():
            logits, picks = model(x, torch.tensor(lengths))
            for row, length in enumerate(lengths):
                alone, picked = model(x[row : row + 1, :length], torch.tensor([length]))
                said = f"the list in row {row} of lengths {lengths}"
                check.equal(picks[row, :length], picked[0], what=f"picks of {said}")
                got = floored(logits[row, :length, :length])
                check.close(
                    got,
                    floored(alone[0]),
                    rtol=1e-3,
                    atol=1e-4,
                    what=f"logits of {said}",
                )

    def test_gradients_reach_all_parts_and_are_finite(self, kata):
        """Lengths 1 and T in one batch: a softmax over nothing but -inf is NaN, and its
        gradient would spoil every weight. All parts learn from the loss, `start` and
        the encoder too.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(1, T, 3)
        logits, _ = model(x, lengths, targets)
        rows = logits.log_softmax(dim=-1)[targets >= 0]
        (-rows[torch.arange(len(rows)), targets[targets >= 0]].mean()).backward()
        for name, parameter in model.named_parameters():
            check.that(parameter.grad is not None, f"no gradient reaches {name}")
            check.finite(parameter.grad, what=f"gradient of {name}")
            check.that(bool(parameter.grad.any()), f"the gradient of {name} is zero")

    @pytest.mark.edge
    def test_x_may_be_wider_than_its_longest_list(self, kata):
        """Fixed-width batches come from loaders, too: logits still have one row and one
        column per place of x.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(3, 4, 1)
        logits, picks = by_hand(model, x, lengths, targets)
        got = model(x, lengths, targets)
        check.close(floored(got[0]), floored(logits), what="logits, -inf shown as -20")
        check.equal(got[1], picks, what="picks")

    @pytest.mark.edge
    def test_no_argument_is_written_to(self, kata):
        """The loss reads the same targets afterwards: a -100 that has become a 0 would
        count as a step.
        """
        model = lively(kata.PointerNet(D, H))
        x, lengths, targets = lists(3, T, 1)
        with check.unchanged(x=x, lengths=lengths, targets=targets):
            model(x, lengths, targets)


class TestPointerLoss:
    def case(self):
        """Logits as a PointerNet makes them, and targets, of lists with 2, 6 and
        3 places.
        """
        _, lengths, targets = lists(2, T, 3)
        logits = 3 * numbers(3, T, T).float()
        real = torch.arange(T) < lengths[:, None]
        logits = logits.masked_fill(~real[:, None, :], -math.inf).masked_fill(
            ~real[..., None], 0.0
        )
        return logits, targets, real

    def test_is_the_mean_over_all_real_steps(self, kata):
        """Every real step of the batch has the same weight, whichever list it belongs
        to. Steps that are not there, with target -100, count neither above nor below
        the line.
        """
        logits, targets, real = self.case()
        each = (
            -logits.double()
            .log_softmax(dim=-1)
            .gather(-1, targets.clamp(min=0)[..., None])[..., 0]
            * real
        )
        padded = -logits.double().log_softmax(dim=-1)[..., 0].where(~real, -each)
        unlike = {
            "the loss averaged over padding": (each.sum() / real.numel()).float(),
            "steps past the length counted, with target 0": padded.mean().float(),
            "the mean of each list's mean": (each.sum(dim=1) / real.sum(dim=1))
            .mean()
            .float(),
            "the sum over the steps": each.sum().float(),
            "a softmax before cross_entropy, which takes logits": (
                nn.functional.cross_entropy(
                    logits.softmax(dim=-1).flatten(0, 1), targets.flatten()
                )
            ),
            "the steps taken for the places: check which dimension is scored": (
                nn.functional.cross_entropy(logits, targets)
            ),
        }
        check.close(
            kata.pointer_loss(logits, targets),
            (each.sum() / real.sum()).float(),
            unlike=unlike,
        )

    def test_rows_past_the_length_have_no_effect(self, kata):
        """Whatever their logits are, the loss stays the same, and no gradient goes
        into them.
        """
        logits, targets, real = self.case()
        other = logits.masked_fill(~real[..., None], 5.0).requires_grad_()
        other_loss = kata.pointer_loss(other, targets)
        check.close(
            other_loss,
            kata.pointer_loss(logits, targets),
            what="the loss with other rows past the length",
        )
        [gradient] = torch.autograd.grad(other_loss, other)
        check.equal(
            gradient[~real],
            torch.zeros(int((~real).sum()), T),
            what="gradient of the rows past the length",
        )

    def test_gradients_push_the_right_place_up(self, kata):
        """The gradient of a real row is (probabilities − one-hot target) / real steps.
        It is finite at -inf as well.
        """
        logits, targets, real = self.case()
        logits.requires_grad_()
        [gradient] = torch.autograd.grad(kata.pointer_loss(logits, targets), logits)
        right = torch.arange(T) == targets[real][:, None]
        expected = (logits.detach()[real].softmax(dim=-1) - right.float()) / real.sum()
        check.close(gradient[real], expected, what="gradient of the rows of real steps")


class TestExactMatch:
    def test_counts_whole_lists(self, kata):
        """One wrong step makes the whole list wrong: an order with one mistake is no
        sorted list.
        """
        targets = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 2, 0], [2, 1, 0]])
        picks = torch.tensor([[2, 0, 1], [0, 2, 1], [1, 2, 0], [2, 1, 0]])
        unlike = {"the share of right steps": 10 / 12, "lists with any right step": 1.0}
        check.close(kata.exact_match(picks, targets), 0.75, unlike=unlike)

    def test_steps_past_the_length_do_not_count(self, kata):
        """Where the target is -100 there is no step. Any pick is right there, and -100
        as well.
        """
        targets = torch.tensor(
            [[1, 0, -100, -100], [0, 1, 2, 3], [0, -100, -100, -100]]
        )
        picks = torch.tensor([[1, 0, 3, -100], [3, 2, 1, 0], [0, 0, 0, 0]])
        unlike = {
            "steps past the length compared, too": 0.0,
            "the share of right steps": 3 / 7,
        }
        check.close(kata.exact_match(picks, targets), 2 / 3, rtol=1e-5, unlike=unlike)

    def test_is_a_python_float(self, kata):
        """A float can be printed and plotted; 1 is the best, 0 the worst."""
        targets = torch.tensor([[1, 0], [0, -100]])
        for picks, expected in ((targets, 1.0), (1 - targets, 0.0)):
            got = kata.exact_match(picks, targets)
            check.that(
                type(got) is float,
                f"the share is {check.describe(got)}, not a Python float",
            )
            check.close(got, expected)

    @given(
        case=st.lists(
            st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=6
        )
    )
    def test_every_spoiled_list_costs_its_share(self, kata, case):
        """One changed pick anywhere in a list takes one list out of the count."""
        _, _, targets = lists(*[length for length, _ in case], width=5)
        picks = targets.clone()
        for row, (length, spoiled) in enumerate(case):
            if spoiled:
                picks[row, row % length] += 1 if row % 2 else -1
        expected = sum(not spoiled for _, spoiled in case) / len(case)
        got = kata.exact_match(picks, targets)
        check.close(
            got,
            expected,
            rtol=1e-5,
            what=f"the share for lists given as (length, spoiled): {case}",
        )


class Table(nn.Module):
    """A model that is called as PointerNet is: each step has a table of scores and a
    taste for large numbers. It notes what it was called with. In every second call its
    scores are sharp, and the norm of its gradients is far above 2.
    """

    def __init__(self):
        super().__init__()
        self.taste = nn.Parameter(torch.linspace(-1, 1, WIDTH))
        table = torch.arange(WIDTH * WIDTH).sin() + torch.rand(WIDTH * WIDTH) / 4
        self.table = nn.Parameter(table.reshape(WIDTH, WIDTH))
        self.read, self.modes = [], []

    def forward(self, x, lengths, targets=None):
        self.read.append((x, lengths, targets))
        self.modes.append(self.training)
        logits = (3 if len(self.read) % 2 else 30) * (
            self.taste[:, None] * x.transpose(1, 2) + self.table
        )
        return logits, logits.argmax(dim=-1)


WIDTH, STEPS = 4, 6
SIZES = {"batch": 5, "min_len": 2, "max_len": WIDTH}


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


@functools.cache
def learned(kata):
    """The losses of 100 steps with 48 hidden units on 3 to 6 numbers; the shares of
    lists of 5 and of 8 numbers that are then sorted without a mistake.
    """
    torch.manual_seed(0)
    model, generator = kata.PointerNet(1, 48), seeded(0)
    losses = kata.train_pointer(model, steps=100, lr=0.01, generator=generator)
    shares = {}
    for length in (5, 8):
        x, lengths, targets = kata.sort_batch(300, length, length, generator)
        with torch.no_grad():
            picks = model(x, lengths)[1]
        shares[length] = (picks == targets).all(dim=1).double().mean().item()
    return losses, shares


class TestTrainPointer(training.Contract):
    """Adam on fresh lists. A single batch can have a huge gradient: clipped to norm 2,
    it cannot dominate the averages that Adam keeps.
    """

    model, default_lr, max_norm = Table, 0.005, 2.0
    slips = {
        "the same lists at every step": {"order": lambda batches: batches[:1] * STEPS}
    }

    def train(self, kata, model, **options):
        return kata.train_pointer(model, batch=5, min_len=2, max_len=WIDTH, **options)

    def loss(self, model, batch):
        x, lengths, _ = batch
        rows = model(x, lengths)[0].log_softmax(dim=-1)
        rising = [
            numbers[:length, 0].argsort()
            for numbers, length in zip(x, lengths, strict=True)
        ]
        return -torch.cat(
            [rows[b, range(len(order)), order] for b, order in enumerate(rising)]
        ).mean()

    def test_every_step_sees_fresh_lists_and_their_targets(self, kata):
        """Step k trains on the k-th batch of `sort_batch` from the generator, whatever
        the global one holds. The model gets the targets: that is teacher forcing.
        """
        model, draws = Table(), seeded()
        kata.train_pointer(model, steps=STEPS, generator=seeded(), **SIZES)
        check.equal(
            len(model.read), STEPS, what="the number of times that the model was called"
        )
        first = kata.sort_batch(5, 2, WIDTH, seeded())
        for step, (x, lengths, targets) in enumerate(model.read):
            expected = kata.sort_batch(5, 2, WIDTH, draws)
            unlike = {"the lists of the first step again": first[0]} if step else {}
            check.equal(x, expected[0], unlike=unlike, what=f"the x of step {step}")
            check.equal(lengths, expected[1], what=f"the lengths of step {step}")
            check.that(
                targets is not None,
                "the model is called without targets: it follows its own picks",
            )
            check.equal(targets, expected[2], what=f"the targets of step {step}")

    @pytest.mark.timeout(60)
    def test_sorts_length_5_and_carries_over_to_length_8(self, kata):
        """The paper's point in small. Trained on 3 to 6 numbers, the network sorts more
        than 75 % of lists of 5 without a mistake, and more than 50 % of lists of 8, a
        length that it has never seen. Chance is 1 in 40,320.
        """
        losses, shares = learned(kata)
        start, end = losses[0], sum(losses[-20:]) / 20
        check.that(
            0.6 < start < 1.4,
            f"the first loss is {start:.2f}: guessing among what is left gives about "
            "0.9",
        )
        check.that(
            end < 0.15,
            f"the last 20 losses have a mean of {end:.3f}: it should be below 0.15",
        )
        for length, least in ((5, 0.75), (8, 0.5)):
            said = (
                f"{shares[length]:.2f} of lists with {length} numbers are sorted "
                "without a mistake"
            )
            check.that(
                shares[length] > least, f"{said}: it should be more than {least}"
            )
