"""Specs of kata papers/04: dropout in NumPy, LSTM layers with dropout in two places,
perplexity, training.
"""

import copy
import functools
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

V, H, L = 7, 5, 3  # symbols, hidden units, layers


class TestDropoutNumpy:
    def test_kept_values_are_scaled_and_the_others_are_zero(self, kata):
        """True means kept. Kept values are divided by 1 − p, because only that share of
        them is left.
        """
        x = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
        keep = np.array([[True, False, True], [True, True, False]])
        unlike = {
            "dropped where the mask says kept": np.where(keep, 0.0, x / 0.8),
            "not scaled": np.where(keep, x, 0.0),
            "multiplied by 1 − p": np.where(keep, x * 0.8, 0.0),
            "divided by p": np.where(keep, x / 0.2, 0.0),
        }
        check.close(
            kata.dropout_numpy(x, keep, 0.2),
            np.where(keep, x / 0.8, 0.0),
            unlike=unlike,
        )

    @given(p=st.integers(0, 9).map(lambda tenths: tenths / 10))
    def test_the_expected_value_stays(self, kata, p):
        """Averaged over all masks, each with its own probability, the result is x. So a
        net trained with dropout needs no correction without it.
        """
        x, mean = np.array([1.0, -2.0, 5.0]), np.zeros(3)
        for keep in itertools.product([True, False], repeat=3):
            chance = math.prod(1 - p if kept else p for kept in keep)
            mean += chance * kata.dropout_numpy(x, np.array(keep), p)
        check.close(mean, x, what=f"the mean over all masks, p = {p}")

    @pytest.mark.edge
    def test_x_is_left_as_it_was(self, kata):
        """The caller may need x again, for another mask."""
        x = np.array([1.0, 2.0])
        kata.dropout_numpy(x, np.array([True, False]), 0.5)
        check.equal(x, np.array([1.0, 2.0]), what="x after the call")


def step_arguments():
    """Random x, states, weights and masks for one step through L layers of H units, as
    float64 arrays.
    """
    x = torch.randn(H, dtype=torch.float64).numpy()
    states = [tuple(torch.randn(2, H, dtype=torch.float64).numpy()) for _ in range(L)]
    shapes = (4 * H, H), (4 * H, H), (4 * H,)
    weights = [
        tuple((torch.rand(s, dtype=torch.float64) * 2 - 1).numpy() for s in shapes)
        for _ in range(L)
    ]
    masks = [np.arange(H) % (layer + 2) != 0 for layer in range(L + 1)]
    return x, states, weights, masks


def torch_step(
    x, states, weights, masks, p, *, scale=True, through=None, stored=False, flat=False
):
    """One step through nn.LSTMCells with dropout by these masks. The options
    are slips.
    """

    def drop(values, mask):
        return values * torch.tensor(mask) / (1 - p if scale else 1)

    x, new_states = torch.tensor(x), []
    bottom = x
    for layer, (h, c) in enumerate(states):
        cell = nn.LSTMCell(H, H).double()
        values = *weights[layer], np.zeros(4 * H)
        with torch.no_grad():
            for name, value in zip(
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), values, strict=True
            ):
                getattr(cell, name).copy_(torch.tensor(value))
            h = (
                torch.tensor(h)
                if through is None
                else drop(torch.tensor(h), through[layer])
            )
            h, c = cell(
                drop(bottom if flat else x, masks[layer])[None],
                (h[None], torch.tensor(c)[None]),
            )
        x = h[0]
        new_states.append((drop(x, masks[layer + 1]) if stored else x, c[0]))
    output = drop(x, masks[-1]).numpy()
    return output, [(h.numpy(), c.numpy()) for h, c in new_states]


def numpy_step(kata, x, states, weights, masks, p):
    """The learner's step, with each layer's state as a tuple."""
    output, states = kata.lstm_stack_step_numpy(x, states, weights, masks, p)
    return output, [tuple(state) for state in states]


@pytest.mark.stretch
class TestLstmStackStepNumpy:
    def test_without_dropout_it_is_a_stack_of_torch_cells(self, kata):
        """With all units kept and p = 0, each layer is an nn.LSTMCell, which reads the
        h of the layer below.
        """
        x, states, weights, _ = step_arguments()
        masks = [np.ones(H, dtype=bool)] * (L + 1)
        expected = torch_step(x, states, weights, masks, 0.0)
        unlike = {
            "every layer reads the embedded symbol": torch_step(
                x, states, weights, masks, 0.0, flat=True
            )
        }
        got = numpy_step(kata, x, states, weights, masks, 0.0)
        check.close(got, expected, rtol=1e-4, atol=1e-5, unlike=unlike)

    def test_masks_act_on_every_input_and_on_the_top_output(self, kata):
        """masks[0] drops the embedded symbol, masks[l] the h from layer l − 1, masks[L]
        the output of the top. Nothing on the way through time is dropped: neither the h
        that comes in nor the states that go out.
        """
        x, states, weights, masks = step_arguments()
        # as a mask, 0.6 / (1 − 0.4) leaves everything as it is
        p, whole = 0.4, np.full(H, 0.6)
        unlike = {
            "kept values that are not scaled": torch_step(
                x, states, weights, masks, p, scale=False
            ),
            "dropout on the old h, too": torch_step(
                x, states, weights, masks, p, through=masks
            ),
            "dropout on the old h, not on the inputs": torch_step(
                x, states, weights, [whole] * L + [masks[-1]], p, through=masks
            ),
            "masks[0] for every layer": torch_step(
                x, states, weights, [masks[0]] * L + [masks[-1]], p
            ),
            "dropped values stored as the state": torch_step(
                x, states, weights, masks, p, stored=True
            ),
            "no dropout on the top output": torch_step(
                x, states, weights, [*masks[:-1], whole], p
            ),
            "no dropout on x": torch_step(x, states, weights, [whole, *masks[1:]], p),
            "no dropout between the layers": torch_step(
                x, states, weights, [masks[0], whole, whole, masks[-1]], p
            ),
        }
        expected = torch_step(x, states, weights, masks, p)
        got = numpy_step(kata, x, states, weights, masks, p)
        check.close(got, expected, rtol=1e-4, atol=1e-5, unlike=unlike)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the results agree with float64 cells of PyTorch
        to 1e-9.
        """
        x, states, weights, masks = step_arguments()
        expected = torch_step(x, states, weights, masks, 0.3)
        check.close(
            numpy_step(kata, x, states, weights, masks, 0.3),
            expected,
            rtol=0,
            atol=1e-9,
        )

    @pytest.mark.edge
    def test_the_old_states_are_left_as_they_were(self, kata):
        """The caller may take another step from the same states."""
        x, states, weights, masks = step_arguments()
        before = copy.deepcopy(states)
        kata.lstm_stack_step_numpy(x, states, weights, masks, 0.3)
        check.equal(states, before, what="states after the call")


def parameter_shapes(vocab_size, hidden_size, num_layers):
    shapes = {"embed.weight": [vocab_size, hidden_size]}
    for layer in range(num_layers):
        for kind in ("ih", "hh"):
            shapes[f"cells.{layer}.weight_{kind}"] = [4 * hidden_size, hidden_size]
            shapes[f"cells.{layer}.bias_{kind}"] = [4 * hidden_size]
    return shapes | {
        "head.weight": [vocab_size, hidden_size],
        "head.bias": [vocab_size],
    }


class TestRegularizedLSTMInit:
    def test_has_an_embedding_a_stack_of_cells_and_a_head(self, kata):
        """The names are fixed, so that weights can be copied from net to net. Dropout
        has no parameters.
        """
        for num_layers in (2, 1, 3):
            model = kata.RegularizedLSTM(V, H, num_layers)
            shapes = {
                name: list(parameter.shape)
                for name, parameter in model.named_parameters()
            }
            expected = parameter_shapes(V, H, num_layers)
            alone = num_layers > 1 and set(shapes) == set(parameter_shapes(V, H, 1))
            check.that(
                not alone,
                "only cells[0] has parameters",
                like="there is one cell for all layers",
            )
            unlike = {
                "a head from V to H": expected
                | {"head.weight": [H, V], "head.bias": [H]}
            }
            check.equal(
                shapes,
                expected,
                unlike=unlike,
                what=f"the shapes with {num_layers} layers",
            )
            kinds = [type(cell) for cell in model.cells]
            check.that(
                kinds == [nn.LSTMCell] * num_layers,
                f"cells should hold nn.LSTMCell modules, not {kinds}",
            )

    def test_two_layers_without_dropout_by_default(self, kata):
        """num_layers = 2, p = 0 and where = "non_recurrent", unless told otherwise."""
        model = kata.RegularizedLSTM(V, H)
        check.equal(
            [len(model.cells), model.where],
            [2, "non_recurrent"],
            what="the number of cells, and where",
        )
        check.close(model.p, 0.0, what="p")

    def test_keeps_its_arguments(self, kata):
        """`forward` looks them up."""
        model = kata.RegularizedLSTM(V, H, p=0.25, where="recurrent")
        check.equal(
            [model.p, model.where, model.hidden_size],
            [0.25, "recurrent", H],
            what="p, where and hidden_size",
        )

    @pytest.mark.edge
    def test_a_p_that_is_no_probability_below_1_is_an_error(self, kata):
        """With p = 1 nothing would be left, and 1 / (1 − p) has no value."""
        for p in (-0.1, 1.0, 1.5):
            with check.raises(ValueError, p):
                kata.RegularizedLSTM(V, H, p=p)

    @pytest.mark.edge
    def test_an_unknown_place_is_an_error(self, kata):
        """A misspelt place would train a net without any dropout."""
        with check.raises(ValueError, "non-recurrent"):
            kata.RegularizedLSTM(V, H, p=0.5, where="non-recurrent")


# rows, steps, units and dropout of the specs below: 1 / (1 − 0.6) = 2.5
B, T, WIDTH, P = 24, 6, 32, 0.6
PLACES = ["non_recurrent", "recurrent"]


def lively(model):
    """The model with parameters drawn anew from ±1, biases too."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1)
    return model


def random_state(hidden_size=H):
    return [tuple(torch.rand(2, B, hidden_size) * 2 - 1) for _ in range(L)]


def judge(model, ids, state=None, cells=None):
    """Logits and state by nn.LSTM in float64, with the model's weights, of these cells
    only, and without dropout.
    """
    hidden_size, cells = model.head.in_features, model.cells if cells is None else cells
    lstm = nn.LSTM(hidden_size, hidden_size, len(cells), batch_first=True).double()
    with torch.no_grad():
        for layer, cell in enumerate(cells):
            for name, parameter in cell.named_parameters():
                getattr(lstm, f"{name}_l{layer}").copy_(parameter)
        if state is not None:
            state = tuple(
                torch.stack(part).double() for part in zip(*state, strict=True)
            )
        tops, (h, c) = lstm(F.embedding(ids, model.embed.weight.double()), state)
        logits = F.linear(tops, model.head.weight.double(), model.head.bias.double())
    return logits, list(zip(h, c, strict=True))


def called(model, ids, *state):
    """The model's logits and state, without a graph, with each layer's state as
    a tuple.
    """
    with torch.no_grad():
        logits, state = model(ids, *state)
    return logits, [tuple(layer) for layer in state]


class Record:
    """A record of one training call of a model, from a random state.

    Tensors (L, B, T, WIDTH): x, h, c entered the cells, new_h and new_c came out. raw_x
    is what x was before dropout, old_h and old_c what h and c were. tops (B, T, WIDTH)
    entered the head. state is what the call returned, last what the cells returned in
    the last step.
    """

    def __init__(self, model):
        lively(model).train()
        with torch.no_grad():  # the head hands its input on: as many symbols as units
            model.head.weight.copy_(torch.eye(WIDTH))
            model.head.bias.zero_()
        ids, state, calls = (
            torch.randint(WIDTH, (B, T)),
            random_state(WIDTH),
            [[] for _ in model.cells],
        )

        def note(layer):
            def hook(cell, arguments, named, result):
                x, (h, c) = [*arguments, *named.values()]
                calls[layer].append(torch.stack([x, h, c, *result]))

            return hook

        handles = [
            cell.register_forward_hook(note(layer), with_kwargs=True)
            for layer, cell in enumerate(model.cells)
        ]
        self.tops, self.state = called(model, ids, state)
        for handle in handles:
            handle.remove()
        for layer, steps in enumerate(calls):
            said = (
                f"cells[{layer}] was called {len(steps)} times in {T} steps: call "
                "cells[l](x, (h, c)) once per step"
            )
            check.that(len(steps) == T, said)
        self.x, self.h, self.c, self.new_h, self.new_c = torch.stack(
            [torch.stack(c, dim=2) for c in calls], dim=1
        )
        self.raw_x = torch.cat(
            [model.embed.weight.detach()[ids][None], self.new_h[:-1]]
        )
        h, c = (torch.stack(part)[:, :, None] for part in zip(*state, strict=True))
        self.old_h = torch.cat([h, self.new_h[:, :, :-1]], dim=2)
        self.old_c = torch.cat([c, self.new_c[:, :, :-1]], dim=2)
        self.last = list(zip(self.new_h[:, :, -1], self.new_c[:, :, -1], strict=True))


def kept(got, raw, what):
    """Check that `got` is `raw` after dropout with P, and return which values
    were kept.
    """
    mask = got != 0
    unlike = {"no dropout here": raw}
    if not mask.all():
        unlike |= {
            "kept values that are not scaled by 1 / (1 − p)": raw * mask,
            "dropout twice": raw * mask / (1 - P) ** 2,
        }
    check.close(got, raw * mask / (1 - P), unlike=unlike, what=what)
    share = 1 - mask.float().mean().item()
    check.that(
        abs(share - P) < 0.1,
        f"{what}: {share:.2f} of all values are 0, it should be about p = {P}",
    )
    return mask


def without_dropout(got, raw, what):
    """Check that `got` is `raw`, whole."""
    mask = got != 0
    is_dropout = abs(1 - mask.float().mean().item() - P) < 0.1
    unlike = {"dropout here, too": raw * mask / (1 - P)} if is_dropout else {}
    check.close(got, raw, unlike=unlike, what=what)


def have_draws_of_their_own(masks, *dimensions):
    """Check that no two masks are the same, and within each mask no two slices along a
    named dimension.
    """

    def differ(slices, name):
        said = (
            f"the mask of one {name} is the mask of another {name}, too: each should "
            "have draws of its own"
        )
        check.that(not any(torch.equal(slices[0], other) for other in slices[1:]), said)

    differ(masks, "place")
    for mask in masks:
        for dimension, name in enumerate(dimensions):
            differ(mask.unbind(dimension), name)


class TestRegularizedLSTMForward:
    def test_reads_step_by_step_through_all_layers(self, kata):
        """Each layer reads the h of the layer below, the first one the embedding, and
        the head the h of the top. Without dropout, PyTorch's nn.LSTM with the same
        weights is the judge.
        """
        model, ids, state = (
            lively(kata.RegularizedLSTM(V, H, L)),
            torch.randint(V, (B, T)),
            random_state(),
        )
        logits, end = called(model, ids, state)
        expected, right = judge(model, ids, state)
        unlike = {
            "the given state is ignored": judge(model, ids)[0],
            "every step starts from zeros": torch.cat(
                [judge(model, now)[0] for now in ids.split(1, dim=1)], dim=1
            ),
            "every layer reads the embedding": judge(
                model, ids, state[-1:], model.cells[-1:]
            )[0],
        }
        check.close(logits, expected, unlike=unlike, what="logits")
        check.close(
            end,
            right,
            unlike={"the state that came in": state},
            what="the returned state",
        )
        for call in ("first", "second"):
            check.close(
                called(model, ids)[0],
                judge(model, ids)[0],
                what=f"logits of the {call} call without a state",
            )

    def test_no_dropout_in_eval_mode(self, kata):
        """`eval()` switches dropout off, wherever it is: the logits are those of p = 0.
        `F.dropout(x, p)` alone drops in eval mode, too: it does not know the
        module's mode.
        """
        ids, state = torch.randint(V, (B, T)), random_state()
        for where in PLACES:
            model, logits = lively(kata.RegularizedLSTM(V, H, L, p=P, where=where)), {}
            for mode in (True, False):
                torch.manual_seed(0)
                logits[mode] = called(model.train(mode), ids, state)[0]
            unlike = {"the same dropout as in training mode": logits[True]}
            expected, what = (
                judge(model, ids, state)[0],
                f"logits in eval mode, {where}",
            )
            check.close(logits[False], expected, unlike=unlike, what=what)

    def test_two_halves_with_the_state_handed_on_equal_one_run(self, kata):
        """The state sums up all that was read, so a text may be cut anywhere."""
        model = lively(kata.RegularizedLSTM(V, H, L, p=P)).eval()
        ids = torch.randint(V, (B, T))
        whole, end = called(model, ids)
        for cut in range(1, T):
            first, state = called(model, ids[:, :cut])
            second, state = called(model, ids[:, cut:], state)
            check.close(
                torch.cat([first, second], dim=1),
                whole,
                what=f"logits, cut after {cut} steps",
            )
            check.close(state, end, what=f"the last state, cut after {cut} steps")

    def test_non_recurrent_drops_every_cell_input(self, kata):
        """The arrows that go up in the paper's figure 2: from the embedding into the
        first cell, and from each layer into the next one. Kept values are scaled.
        """
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P))
        kept(record.x[0], record.raw_x[0], "the embeddings as they enter cells[0]")
        kept(record.x[1:], record.raw_x[1:], "the inputs of the other cells")

    def test_non_recurrent_drops_the_top_output(self, kata):
        """The last arrow that goes up: from the top layer into the head. About a share
        p of its input is 0.
        """
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P))
        kept(record.tops, record.new_h[-1], "what enters the head")

    def test_non_recurrent_leaves_the_way_through_time_alone(self, kata):
        """A cell gets back in the next step all that it returned: h and c. Only a copy
        that goes up is dropped. A dropped h stored as the state would wipe the memory
        in every step. The returned state is whole, too.
        """
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P))
        without_dropout(record.h, record.old_h, "the h that enters the cells")
        without_dropout(record.c, record.old_c, "the c that enters the cells")
        check.close(record.state, record.last, what="the returned state")

    def test_recurrent_drops_the_old_h_only(self, kata):
        """Now the arrows that go from step to step: h as it enters its cell, the given
        one included. c, the way up and the head's input are left alone.
        """
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P, where="recurrent"))
        kept(record.h, record.old_h, "the h that enters the cells")
        without_dropout(record.c, record.old_c, "the c that enters the cells")
        without_dropout(record.x, record.raw_x, "the inputs of the cells")
        without_dropout(record.tops, record.new_h[-1], "what enters the head")
        check.close(record.state, record.last, what="the returned state")

    def test_each_step_row_and_unit_has_its_own_draw(self, kata):
        """New masks in every step: a unit that is dropped now may be kept in the next
        one. One mask for a whole batch, or for all layers, would tie them together.
        """
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P))
        masks = torch.cat([record.x, record.tops[None]]) != 0
        have_draws_of_their_own(masks, "row", "step", "unit")
        record = Record(kata.RegularizedLSTM(WIDTH, WIDTH, L, p=P, where="recurrent"))
        have_draws_of_their_own(record.h != 0, "row", "step", "unit")

    def test_gradients_go_back_to_the_first_step(self, kata):
        """The last logits depend on the first symbol, and the gradient takes the same
        way back.
        """
        for where in PLACES:
            model = lively(kata.RegularizedLSTM(V, H, L, p=0.1, where=where))
            ids = torch.tensor([[0, 3, 2, 5]]).expand(B, 4)
            model(ids)[0][:, -1].sum().backward()
            reached = model.embed.weight.grad is not None and bool(
                model.embed.weight.grad[0].any()
            )
            check.that(
                reached,
                f"{where}: no gradient of the last logits reaches the embedding of "
                "the first symbol",
            )

    @pytest.mark.edge
    def test_a_given_state_is_left_as_it_was(self, kata):
        """The caller may start a second text from the same state."""
        state = random_state()
        before = copy.deepcopy(state)
        for options in check.modes(p=[P]):
            called(
                lively(kata.RegularizedLSTM(V, H, L, **options)),
                torch.randint(V, (B, T)),
                state,
            )
            check.equal(
                state, before, what=f"the given state after the call, with {options}"
            )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """Also from None: zeros need the dtype of the weights."""
        model, ids = (
            lively(kata.RegularizedLSTM(V, H, L).double()),
            torch.randint(V, (B, T)),
        )
        check.close(
            called(model, ids)[0],
            judge(model, ids)[0],
            rtol=0,
            atol=1e-9,
            what="logits",
        )


class Reader(nn.Module):
    """A language model of PyTorch's own layers that notes what it is called with.
    Logits are multiplied by one of the scales, which take turns call by call.
    """

    def __init__(self, vocab_size, *scales):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, H)
        self.lstm = nn.LSTM(H, H, batch_first=True)
        self.drop = nn.Dropout(0.0)
        self.head = nn.Linear(H, vocab_size)
        self.scales = scales or (1.0,)
        self.read, self.came_in, self.modes, self.graphs = [], [], [], []

    def forward(self, ids, state=None):
        self.read.append(ids)
        self.came_in.append(state)
        self.modes.append(self.training)
        self.graphs.append(torch.is_grad_enabled())
        tops, state = self.lstm(self.embed(ids), state)
        return self.scales[len(self.read) % len(self.scales)] * self.head(
            self.drop(tops)
        ), state


class Chain(nn.Module):
    """The best guess for a second-order chain: the log probabilities of its own
    table (V, V, V).
    """

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table.log())

    def forward(self, ids, state=None):
        before = ids.roll(1, dims=1)
        return self.table[before, ids], state


class TestPerplexity:
    def test_is_exp_of_the_mean_cross_entropy(self, kata):
        """Average the surprise of the N − 1 next symbols first, then take exp. The mean
        of exp per symbol is another number, which one bad guess can ruin.
        """
        model, ids = Reader(V, 4.0).eval(), torch.randint(V, (30,))
        surprise = (
            -model(ids[None, :-1])[0][0]
            .double()
            .log_softmax(dim=-1)[range(29), ids[1:]]
            .detach()
        )
        same = (
            -model(ids[None])[0][0]
            .double()
            .log_softmax(dim=-1)[range(30), ids]
            .detach()
        )
        unlike = {
            "the mean of exp per symbol": surprise.exp().mean().item(),
            "the cross-entropy itself": surprise.mean().item(),
            "exp of the sum": surprise.sum().exp().item(),
            "2 to the power of nats": 2 ** surprise.mean().item(),
            "the symbols just read as targets": same.mean().exp().item(),
            "the 29 symbols just read as targets": same[:-1].mean().exp().item(),
            "the sum divided by N, not by N − 1": (surprise.sum() / 30).exp().item(),
        }
        check.close(
            kata.perplexity(model, ids),
            surprise.mean().exp().item(),
            rtol=1e-4,
            unlike=unlike,
        )

    def test_reads_the_text_in_one_pass_from_an_empty_state(self, kata):
        """One row, read once, from the start. Cut into pieces, the model would forget
        at each border.
        """
        model, ids = Reader(V), torch.randint(V, (30,))
        kata.perplexity(model, ids)
        shapes = [tuple(read.shape) for read in model.read]
        said = f"the model read ids of shape {shapes}, it should read (1, 29) once"
        check.that(shapes in ([(1, 29)], [(1, 30)]), said)
        check.that(
            model.came_in[0] is None or not any(s.any() for s in model.came_in[0]),
            "a state is handed in",
        )

    def test_is_the_number_of_symbols_for_a_model_that_knows_nothing(self, kata):
        """A perplexity of k means as much doubt as between k equally likely symbols. So
        even guesses have V, and the chain's own table comes close to the least that its
        texts allow.
        """
        table = torch.softmax(4 * torch.randn(V, V, V), dim=-1)
        ids = kata.markov_text(400, V, table=table)
        check.close(
            kata.perplexity(Chain(torch.full((V, V, V), 1 / V)), ids),
            float(V),
            rtol=1e-4,
            what="even guesses",
        )
        chances = table[ids[:-2], ids[1:-1], ids[2:]].double()
        least = chances.log().mean().neg().exp().item()
        check.close(
            kata.perplexity(Chain(table), ids),
            least,
            rtol=0.05,
            what="the perplexity of the chain itself",
        )

    def test_predicts_in_eval_mode(self, kata):
        """Dropout is for training. With units dropped, a measurement would be too high,
        and different each time.
        """
        model, ids = Reader(V, 4.0), torch.randint(V, (30,))
        model.drop.p = 0.5
        right = (
            -model.eval()(ids[None, :-1])[0][0]
            .log_softmax(dim=-1)[range(29), ids[1:]]
            .mean()
            .item()
        )
        model.train().modes.clear()
        got = kata.perplexity(model, ids)
        unlike = {"measured in training mode": [True]}
        check.equal(
            model.modes,
            [False],
            unlike=unlike,
            what="model.training while the model predicts",
        )
        check.close(
            got,
            math.exp(right),
            rtol=1e-4,
            what="the perplexity of a model in training mode",
        )

    def test_returns_a_float_and_trains_nothing(self, kata):
        """A Python float can be printed and plotted. Parameters stay as they are."""
        model, ids = Reader(V), torch.randint(V, (30,))
        with check.unchanged(
            **{name.replace(".", "_"): p for name, p in model.named_parameters()}
        ):
            got = kata.perplexity(model, ids)
        check.that(
            type(got) is float,
            f"the perplexity should be a float, not {check.describe(got)}",
        )

    @pytest.mark.edge
    def test_builds_no_graph(self, kata):
        """A long text would keep all its activations in memory for a backward pass that
        never comes.
        """
        model = Reader(V)
        kata.perplexity(model, torch.randint(V, (30,)))
        check.equal(
            model.graphs,
            [False],
            what="torch.is_grad_enabled() while the model predicts",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False])
    def test_the_mode_is_restored(self, kata, training):
        """Measured between two training steps, a net must not lose its dropout for the
        rest of training.
        """
        model = Reader(V).train(training)
        kata.perplexity(model, torch.randint(V, (30,)))
        check.equal(model.training, training, what="model.training afterwards")


N = 12  # symbols of the text 0, 1, …, 11: each symbol tells where it is


@functools.cache
def nets(kata):
    """By place of dropout, (validation perplexity, training perplexity) of a net with
    48 units. All three have the same start values, texts and windows.
    """
    draws = torch.Generator().manual_seed(0)
    table = kata.transition_table(8, draws)
    text, validation = (kata.markov_text(n, 8, draws, table) for n in (200, 800))
    results = {}
    for name, p, where in (
        ("none", 0.0, PLACES[0]),
        (PLACES[0], 0.6, PLACES[0]),
        (PLACES[1], 0.6, PLACES[1]),
    ):
        torch.manual_seed(0)
        model = kata.RegularizedLSTM(8, 48, p=p, where=where)
        kata.train_lm(
            model,
            text,
            steps=50,
            batch=32,
            seq_len=8,
            lr=0.03,
            generator=torch.Generator().manual_seed(0),
        )
        results[name] = tuple(
            math.exp(judged_loss(model, ids)) for ids in (validation, text)
        )
    return results


def judged_loss(model, ids):
    return F.cross_entropy(judge(model, ids[None, :-1])[0][0], ids[1:]).item()


class TestTrainLm(training.Contract):
    """Adam on gradients clipped to a norm of 1. The logits of the model are of changing
    size, and so are its gradients. The text is 0 … N − 1, so that the target of a
    symbol is one more.
    """

    lr, max_norm = 0.03, 1.0
    slips = {"gradients clipped to a norm of 5": {"max_norm": 5.0}}

    def model(self):
        return Reader(N, 30.0, 1.0)

    def train(self, kata, model, **options):
        return kata.train_lm(model, torch.arange(N), batch=5, seq_len=4, **options)

    def loss(self, model, inputs):
        return (
            -model(inputs)[0]
            .log_softmax(dim=-1)
            .gather(2, inputs[:, :, None] + 1)
            .mean()
        )

    def wrong_losses(self, model, inputs):
        logits, symbols = model(inputs)[0].flatten(0, 1), inputs.flatten()
        return {
            "the symbols just read as targets": F.cross_entropy(logits, symbols),
            "the sum over the places": F.cross_entropy(
                logits, symbols + 1, reduction="sum"
            ),
            "bits in place of nats": F.cross_entropy(logits, symbols + 1) / math.log(2),
        }

    def trained(self, kata):
        model = Reader(N)
        self.train(kata, model, steps=6, generator=torch.Generator().manual_seed(3))
        return model

    def test_reads_windows_of_the_text(self, kata):
        """A step reads one batch of inputs (batch, seq_len). Each row is a run of the
        text, with the symbol after it left as the last target. Starts are drawn, one
        per row.
        """
        starts = set()
        for inputs in self.trained(kata).read:
            check.shape(inputs, (5, 4), what="the ids of one step")
            runs = inputs[:, :1] + torch.arange(4)
            check.equal(
                inputs, runs, what="the ids of one step, which are places in the text"
            )
            check.that(
                len(set(inputs[:, 0].tolist())) > 1,
                "all rows of a batch are the same window",
            )
            starts.update(inputs[:, 0].tolist())
        check.that(
            len(starts) > 4,
            f"only the starts {sorted(starts)} came up in 6 batches of 5",
        )
        check.that(
            max(starts) <= N - 5,
            f"a window starts at {max(starts)}: no target is left for its last place",
        )

    def test_every_window_starts_from_an_empty_state(self, kata):
        """Windows come from anywhere in the text, so the state of the batch before
        belongs to other places.
        """
        came_in = [state for state in self.trained(kata).came_in if state is not None]
        check.that(
            not any(part.any() for state in came_in for part in state),
            "a state of the batch before is handed in",
        )

    @pytest.mark.timeout(120)
    def test_dropout_between_layers_lowers_the_validation_perplexity(self, kata):
        """The paper's result in small. Without dropout the net learns its 200 symbols
        by heart. With p = 0.6 between the layers its training perplexity is higher by a
        fifth or more, and its validation perplexity lower by a quarter or more.
        """
        (free, free_train), (between, between_train) = (
            nets(kata)["none"],
            nets(kata)["non_recurrent"],
        )
        said = f"between layers: {between:.2f}, without dropout: {free:.2f}"
        check.that(
            between < 0.75 * free,
            f"validation perplexity {said}; it should be below 0.75 times as high",
        )
        said = f"between layers: {between_train:.2f}, without dropout: {free_train:.2f}"
        check.that(
            between_train > 1.2 * free_train,
            f"training perplexity {said}; it should be above 1.2 times as high",
        )

    @pytest.mark.timeout(120)
    def test_dropout_through_time_helps_less(self, kata):
        """The same p on the way through time disturbs the memory in every step. Between
        the layers it leads to a validation perplexity that is lower by 15 % or more.
        """
        between, through = nets(kata)["non_recurrent"][0], nets(kata)["recurrent"][0]
        said = (
            f"validation perplexity between layers: {between:.2f}, through time: "
            f"{through:.2f}"
        )
        check.that(
            between < 0.85 * through, f"{said}; it should be below 0.85 times as high"
        )

    @pytest.mark.edge
    def test_the_last_start_can_come_up(self, kata):
        """A text of N symbols has N − seq_len windows. With N = seq_len + 1 there is
        one, and with one more there are two.
        """
        for size in (5, 6):
            model = Reader(N)
            kata.train_lm(model, torch.arange(size), steps=4, batch=10, seq_len=4)
            starts = sorted({int(row[0]) for inputs in model.read for row in inputs})
            check.equal(
                starts,
                list(range(size - 4)),
                what=f"the starts that came up in a text of {size} symbols",
            )


@pytest.mark.stretch
class TestVariationalLSTM:
    def test_has_the_submodules_of_regularized_lstm(self, kata):
        """The same names and shapes, so that weights can be copied over. Masks are
        no parameters.
        """
        model = kata.VariationalLSTM(V, H, L, p=0.25)
        shapes = {
            name: list(parameter.shape) for name, parameter in model.named_parameters()
        }
        check.equal(shapes, parameter_shapes(V, H, L), what="the shapes")
        check.equal([model.p, model.hidden_size], [0.25, H], what="p and hidden_size")

    def test_without_dropout_it_is_the_same_net(self, kata):
        """In eval mode, and with p = 0, PyTorch's nn.LSTM with the same weights is
        the judge.
        """
        ids, state = torch.randint(V, (B, T)), random_state()
        for model in (
            kata.VariationalLSTM(V, H, L, p=P).eval(),
            kata.VariationalLSTM(V, H, L),
        ):
            mode = (
                f"logits with p = {model.p} in "
                f"{'training' if model.training else 'eval'} mode"
            )
            expected, end = judge(lively(model), ids, state)
            check.close(called(model, ids, state)[0], expected, what=mode)
            check.close(called(model, ids, state)[1], end, what="the returned state")
            check.close(
                called(model, ids)[0],
                judge(model, ids)[0],
                what=f"{mode}, without a state",
            )

    def test_zeros_are_at_the_same_units_in_every_step(self, kata):
        """A mask is drawn once per call and used in all its steps: a dropped unit is
        silent for the whole text, a kept one is never disturbed. Kept values
        are scaled.
        """
        record = Record(kata.VariationalLSTM(WIDTH, WIDTH, L, p=P))
        for got, raw, what in (
            (record.x, record.raw_x, "the inputs of the cells"),
            (record.h, record.old_h, "the h that enters the cells"),
            (record.tops[None], record.new_h[-1:], "what enters the head"),
        ):
            mask = kept(got, raw, what)
            changed = (mask != mask[:, :, :1]).any(dim=2).float().mean().item()
            said = (
                f"{what}: {changed:.0%} of the units are dropped in some steps and "
                "kept in others"
            )
            check.that(changed == 0, f"{said}, they should have one mask for all steps")

    def test_each_place_row_unit_and_call_has_its_own_draw(self, kata):
        """Kept over time, and over nothing else: L inputs, L old states and the top
        output are 2L + 1 places, and each row has a mask of its own in each. The next
        call draws anew.
        """
        model = kata.VariationalLSTM(WIDTH, WIDTH, L, p=P)
        calls = []
        for record in (Record(model), Record(model)):
            calls.append(
                torch.cat([record.x, record.h, record.tops[None]])[:, :, 0] != 0
            )
        have_draws_of_their_own(calls[0], "row", "unit")
        again = (calls[0] == calls[1]).flatten(1).all(dim=1)
        check.that(
            not again.any(),
            "the mask of one call is the mask of the next call, too: each call draws "
            "its own",
        )

    def test_c_and_the_returned_state_have_no_dropout(self, kata):
        """c stays whole, and the state is what the cells returned in the last step."""
        record = Record(kata.VariationalLSTM(WIDTH, WIDTH, L, p=P))
        without_dropout(record.c, record.old_c, "the c that enters the cells")
        check.close(record.state, record.last, what="the returned state")

    @pytest.mark.edge
    def test_a_p_that_is_no_probability_below_1_is_an_error(self, kata):
        """With p = 1 nothing would be left, and 1 / (1 − p) has no value."""
        for p in (-0.1, 1.0):
            with check.raises(ValueError, p):
                kata.VariationalLSTM(V, H, p=p)

    @pytest.mark.edge
    def test_a_given_state_is_left_as_it_was(self, kata):
        """The caller may start a second text from the same state."""
        state = random_state()
        before = copy.deepcopy(state)
        for options in check.modes(p=[P]):
            called(
                lively(kata.VariationalLSTM(V, H, L, **options)),
                torch.randint(V, (B, T)),
                state,
            )
            check.equal(
                state, before, what=f"the given state after the call, with {options}"
            )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """Also from None: zeros and masks need the dtype of the weights."""
        model, ids = (
            lively(kata.VariationalLSTM(V, H, L).double()),
            torch.randint(V, (B, T)),
        )
        check.close(
            called(model, ids)[0],
            judge(model, ids)[0],
            rtol=0,
            atol=1e-9,
            what="logits",
        )
