"""Specs of 12: three recurrent cells, runs over padded batches in both directions, a
character model, fading.
"""

import copy
import math
import re
import time
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from grader.datasets import prose
from grader.specs import check

# sequences, steps, input features, hidden features
B, T, I, H = 2, 5, 3, 6  # noqa: E741
LENGTHS = [5, 2, 4, 1]
KINDS = ("rnn", "lstm", "gru")

FINISHED = [
    f"torch.nn.{kind}{cell}" for kind in ("RNN", "LSTM", "GRU") for cell in ("", "Cell")
]
FINISHED += [
    f"torch.{kind}{cell}"
    for kind in ("rnn_tanh", "rnn_relu", "lstm", "gru")
    for cell in ("", "_cell")
]


# Cells


def lively(module):
    """The module with parameters in ±1, so that nothing is too small to be seen."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-1, 1)
    return module


def copied(ours, theirs):
    """The cell `ours` with the parameters of PyTorch's layer or cell."""
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            source = getattr(theirs, name, None)
            getattr(ours, name).copy_(
                getattr(theirs, f"{name}_l0") if source is None else source
            )
    return ours


def parts(state):
    """The tensors of a state: (h,) or (h, c)."""
    return state if isinstance(state, tuple) else (state,)


def sums(cell, x, h):
    """W_ih x + b_ih and W_hh h + b_hh of a PyTorch cell in float64."""
    first = x.double() @ cell.weight_ih.detach().T + cell.bias_ih.detach()
    return first, h.double() @ cell.weight_hh.detach().T + cell.bias_hh.detach()


def rnn_slips(cell, x, h):
    """By name, what some slips in an RNN cell lead to."""
    first, second = sums(cell, x, h)
    return {
        "the tanh is missing": first + second,
        "a sigmoid in place of the tanh": torch.sigmoid(first + second),
        "bias_hh is left out": torch.tanh(first + second - cell.bias_hh.detach()),
        "the state is ignored": torch.tanh(first + cell.bias_hh.detach()),
        "h @ W_hh: W_hh is not transposed": torch.tanh(
            first + h.double() @ cell.weight_hh.detach() + cell.bias_hh.detach()
        ),
    }


def lstm_slips(cell, x, state):
    """By name, what some slips in an LSTM cell lead to."""

    def ends(i, f, g, o, old=None, squash=torch.tanh, show=torch.tanh):
        old = state[1].double() if old is None else old
        c = f.sigmoid() * old + i.sigmoid() * squash(g)
        return o.sigmoid() * show(c), c

    a, b, c, d = (sum(sums(cell, x, state[0]))).split(H, dim=1)
    dealt = sum(sums(cell, x, state[0])).reshape(-1, H, 4).unbind(-1)
    h, new = ends(a, b, c, d)
    return {
        "the rows are taken in the order i, f, o, g": ends(a, b, d, c),
        "the rows are taken in the order f, i, g, o": ends(b, a, c, d),
        "the rows are dealt out one by one, as view(B, H, 4) does": ends(*dealt),
        "h = σ(o) · c, without the tanh": ends(a, b, c, d, show=lambda c: c),
        "σ(i) · g, without the tanh": ends(a, b, c, d, squash=lambda g: g),
        "h shows the old c": (d.sigmoid() * state[1].double().tanh(), new),
        "bias_hh is left out": ends(
            *(sum(sums(cell, x, state[0])) - cell.bias_hh.detach()).split(H, dim=1)
        ),
        "the old c is lost": ends(a, b, c, d, old=0.0),
        "h and c are exchanged": (new, h),
    }


def gru_slips(cell, x, h):
    """By name, what some slips in a GRU cell lead to."""

    def end(r, z, n, keep=False):
        z, n = z.sigmoid(), n.tanh()
        return z * n + (1 - z) * h.double() if keep else (1 - z) * n + z * h.double()

    first, second = sums(cell, x, h)
    (r, z, n_x), (r_h, z_h, n_h) = first.split(H, dim=1), second.split(H, dim=1)
    r, z = r + r_h, z + z_h
    weight, bias = cell.weight_hh.detach()[2 * H :], cell.bias_hh.detach()[2 * H :]
    r2, z2, n2 = (second - cell.bias_hh.detach()).split(H, dim=1)
    before = n_x + (r.sigmoid() * h.double()) @ weight.T + bias
    gates = first.split(H, dim=1)
    return {
        "z and 1 − z are exchanged": end(r, z, n_x + r.sigmoid() * n_h, keep=True),
        "the rows are taken in the order z, r, n": end(z, r, n_x + z.sigmoid() * n_h),
        "the reset gate acts before the hidden matrix": end(r, z, before),
        "the bias of n_h is not reset": end(
            r, z, n_x + r.sigmoid() * (n_h - bias) + bias
        ),
        "the proposal does not look at the reset gate": end(r, z, n_x + n_h),
        "bias_hh is left out": end(
            None, gates[1] + z2, n_x + (gates[0] + r2).sigmoid() * n2
        ),
    }


class CellSpecs:
    """The specs of every cell. The classes below say which one: `make` gives the
    learner's class, `gates` is G, the number of blocks of H rows, `states` the number
    of tensors in a state; `cell` and `layer` are PyTorch's.
    """

    def test_one_step_follows_the_formula(self, kata):
        """The next state from x and the last one, for weights in ±1. The new state has
        the form of the old one, one tensor or the pair (h, c).
        """
        theirs = lively(self.cell(I, H).double())
        cell = copied(self.make(kata)(I, H), theirs)
        x, state = torch.randn(B, I), self.state()
        expected = theirs(
            x.double(),
            tuple(s.double() for s in state) if self.states > 1 else state.double(),
        )
        check.close(
            cell(x, state),
            expected,
            unlike=self.slips(theirs, x, state),
            what="the new state",
        )

    def test_without_a_state_it_starts_from_zeros(self, kata):
        """At the beginning of a sequence nothing has been read yet: None means zeros,
        also in a later call. A cell that keeps the state on itself begins the second
        batch with the end of the first one.
        """
        theirs = lively(self.cell(I, H).double())
        cell = copied(self.make(kata)(I, H), theirs)
        x = torch.randn(B, I)
        check.close(cell(x), theirs(x.double()), what="the new state")
        left = cell(torch.randn(B, I), self.state())
        check.close(
            cell(x),
            theirs(x.double()),
            unlike={"a state that the cell kept from the call before": cell(x, left)},
            what="the new state for the same x, after another call,",
        )

    def test_five_steps_and_all_gradients_are_those_of_pytorch(self, kata):
        """Step after step, each with the state of the one before: outputs, last state,
        and the gradients of x, of the initial state and of all four parameters.
        """
        layer = lively(self.layer(I, H, batch_first=True).double())
        cell = copied(self.make(kata)(I, H), layer)
        x, first = torch.randn(B, T, I), parts(self.state())
        ours, theirs = (
            [t.clone().requires_grad_() for t in (x, *first)] for _ in range(2)
        )

        state, outputs = tuple(ours[1:]) if self.states > 1 else ours[1], []
        for t in range(T):
            state = cell(ours[0][:, t], state)
            outputs.append(parts(state)[0])
        outputs = torch.stack(outputs, dim=1)
        initial = [t.double()[None] for t in theirs[1:]]
        right, last = layer(
            theirs[0].double(), tuple(initial) if self.states > 1 else initial[0]
        )
        check.close(outputs, right, what="the outputs of five steps")
        for mine, expected in zip(parts(state), parts(last), strict=True):
            check.close(mine, expected[0], what="the last state")

        probe = torch.randn(B, T, H)
        (outputs * probe).sum().backward()
        (right * probe.double()).sum().backward()
        for name, mine, expected in zip(
            ("x", "the initial state", "the initial c"), ours, theirs, strict=False
        ):
            check.that(mine.grad is not None, f"no gradient reaches {name}")
            check.close(mine.grad, expected.grad, rtol=1e-3, what=f"gradient of {name}")
        for name, parameter in cell.named_parameters():
            check.that(parameter.grad is not None, f"no gradient reaches {name}")
            check.close(
                parameter.grad,
                getattr(layer, f"{name}_l0").grad,
                rtol=1e-3,
                what=f"gradient of {name}",
            )

    def test_parameters_have_the_names_and_shapes_of_pytorch(self, kata):
        """Four tensors with G · H rows, and no others. So a cell can load
        PyTorch's state_dict.
        """
        G = self.gates
        cell = self.make(kata)(I, H)
        got = {
            name: tuple(parameter.shape) for name, parameter in cell.named_parameters()
        }
        expected = {
            "weight_ih": (G * H, I),
            "weight_hh": (G * H, H),
            "bias_ih": (G * H,),
            "bias_hh": (G * H,),
        }
        check.equal(got, expected, what="shapes of the parameters")
        check.equal(
            (cell.input_size, cell.hidden_size),
            (I, H),
            what="(input_size, hidden_size)",
        )
        state_dict = self.cell(I, H).state_dict()
        cell.load_state_dict(state_dict)
        check.equal(
            dict(cell.state_dict()),
            dict(state_dict),
            what="state_dict after loading PyTorch's",
        )

    def test_parameters_start_within_the_bound(self, kata):
        """Uniform in ±1/√H, all four of them: the size of the state decides, not that
        of the input. With H = 400 the bound is 0.05, and the standard deviation of a
        uniform draw is bound / √3.
        """
        cell = self.make(kata)(30, 400)
        for name, parameter in cell.named_parameters():
            most, spread = parameter.abs().max().item(), parameter.std().item()
            # in float32 the bound itself is a little more than 0.05
            rounded = 0.05 * (1 + 1e-6)
            check.that(
                most <= rounded,
                f"{name} has a value of size {most:.4f}, beyond 1/√400 = 0.05",
            )
            check.that(
                most >= 0.048,
                f"{name} stays within ±{most:.3f}; its values should fill ±1/√400 = "
                "±0.05",
            )
            near = 0.85 < spread * 3**0.5 / 0.05 < 1.15
            check.that(
                near,
                f"{name} has a standard deviation of {spread:.4f}, not the "
                f"{0.05 / 3**0.5:.4f} of uniform",
            )
            middle = parameter.mean().item()
            check.that(
                abs(middle) < 0.01,
                f"{name} has a mean of {middle:.3f}, it should be near 0",
            )

    def test_it_is_written_without_the_finished_ones(self, kata):
        """nn.RNN, nn.LSTM, nn.GRU, their Cell classes and the functions behind them
        would leave nothing to write.
        """
        with check.forbidden(kata, *FINISHED):
            cell = self.make(kata)(I, H)
            cell(torch.randn(B, I))
        finished = [
            m for m in cell.modules() if isinstance(m, (nn.RNNBase, nn.RNNCellBase))
        ]
        check.that(
            not finished,
            "the cell is, or holds, one of PyTorch's own recurrent modules",
        )

    @pytest.mark.edge
    def test_a_float64_cell_gives_float64(self, kata):
        """The zeros to start from have x's dtype. Zeros of the default dtype do not fit
        a float64 cell.
        """
        theirs = lively(self.cell(I, H + 2)).double()
        cell = copied(self.make(kata)(I, H + 2).double(), theirs)
        x = torch.randn(B, I, dtype=torch.float64)
        got, expected = parts(cell(x)), parts(theirs(x))
        for mine, right in zip(got, expected, strict=True):
            check.equal(mine.dtype, right.dtype, what="dtype of the new state")
            check.close(mine, right, what="the new state in float64")

    @pytest.mark.edge
    def test_the_zeros_are_made_on_the_device_of_x(self, kata):
        """Without a state the cell starts from zeros where x is. (A "meta" tensor has a
        shape and a device but no values. It takes the place of a GPU here.)
        """
        cell = self.make(kata)(I, H).to("meta")
        for tensor in parts(cell(torch.empty(B, I, device="meta"))):
            check.shape(tensor, (B, H))
            check.that(
                tensor.is_meta,
                f"x is on the device meta, the new state on {tensor.device}",
            )

    @pytest.mark.edge
    def test_x_and_state_are_not_written_to(self, kata):
        """The caller may still need the old state. Here x and state are views with gaps
        between their rows in memory.
        """
        theirs = lively(self.cell(I, H).double())
        cell = copied(self.make(kata)(I, H), theirs)
        x, state = (
            torch.randn(I, B).T,
            tuple(torch.randn(H, B).T for _ in range(self.states)),
        )
        given = state if self.states > 1 else state[0]
        with check.unchanged(
            x=x, **{f"state[{i}]": part for i, part in enumerate(state)}
        ):
            got = cell(x, given)
        expected = theirs(
            x.double(),
            tuple(s.double() for s in state) if self.states > 1 else given.double(),
        )
        check.close(got, expected, what="the new state")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The new state is where x is, also when it starts from zeros."""
        cell = self.make(kata)(I, H).cuda()
        for tensor in parts(cell(torch.randn(B, I, device="cuda"))):
            check.that(
                tensor.is_cuda, f"x is on the GPU, the new state on {tensor.device}"
            )


class TestRNNCell(CellSpecs):
    gates, states, cell, layer, slips = (
        1,
        1,
        nn.RNNCell,
        nn.RNN,
        staticmethod(rnn_slips),
    )

    def make(self, kata):
        return kata.RNNCell

    def state(self):
        return torch.randn(B, H)


class TestLSTMCell(CellSpecs):
    gates, states, cell, layer, slips = (
        4,
        2,
        nn.LSTMCell,
        nn.LSTM,
        staticmethod(lstm_slips),
    )

    def make(self, kata):
        return kata.LSTMCell

    def state(self):
        return torch.randn(B, H), torch.randn(B, H)


@pytest.mark.stretch
class TestGRUCell(CellSpecs):
    gates, states, cell, layer, slips = (
        3,
        1,
        nn.GRUCell,
        nn.GRU,
        staticmethod(gru_slips),
    )

    def make(self, kata):
        return kata.GRUCell

    def state(self):
        return torch.randn(B, H)


# Running cells over sequences


def two_cells(kata, **options):
    """A cell whose state is one tensor, PyTorch's own so that it is right, and one
    whose state is a pair.
    """
    return {
        "a GRU cell": lively(nn.GRUCell(I, H, **options)),
        "an LSTM cell": lively(kata.LSTMCell(I, H).to(**options)),
    }


def initial_for(cell, batch):
    """A state that is not zero."""
    h, c = torch.randn(batch, H), torch.randn(batch, H)
    return h if isinstance(cell, nn.GRUCell) else (h, c)


@st.composite
def readings(draw):
    """Lengths of some sequences in a batch of T steps or None, and whether to read
    in reverse.
    """
    lengths = draw(st.lists(st.integers(1, T), min_size=1, max_size=3))
    return lengths, draw(st.booleans())


def padded_batch(lengths=LENGTHS, padding=1000.0):
    """Sequences x (B, 5, I) of these lengths with a large number in the padding, and
    the lengths as a tensor.
    """
    x = torch.randn(len(lengths), T, I)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = padding
    return x, torch.tensor(lengths)


def one_by_one(cell, x, lengths=None, initial=None, reverse=False):
    """Each sequence alone and cut to its length, so that there is no padding: the
    outputs and the final state.
    """
    count = 1 if isinstance(cell, nn.GRUCell) else 2
    outputs, finals = [], [[] for _ in range(count)]
    for b in range(len(x)):
        length = x.shape[1] if lengths is None else int(lengths[b])
        state = tuple(torch.zeros(1, H, dtype=x.dtype) for _ in range(count))
        if initial is not None:
            state = tuple(part[b : b + 1] for part in parts(initial))
        rows = [torch.zeros(H, dtype=x.dtype)] * x.shape[1]
        for t in sorted(range(length), reverse=reverse):
            state = parts(cell(x[b : b + 1, t], state if count > 1 else state[0]))
            rows[t] = state[0][0]
        outputs.append(torch.stack(rows))
        for final, part in zip(finals, state, strict=True):
            final.append(part[0])
    final = tuple(torch.stack(final) for final in finals)
    return torch.stack(outputs), final if count > 1 else final[0]


def pair(result):
    """The two things that a run returns; anything else is a mismatch."""
    right = isinstance(result, tuple) and len(result) == 2
    check.that(
        right,
        "the result should be the pair (outputs, final state), not "
        f"{check.describe(result)}",
    )
    return result


class TestRunRecurrent:
    def test_outputs_hold_h_after_every_step(self, kata):
        """Position t of the outputs (B, T, H) is the h after reading x[:, 0] … x[:, t];
        each step starts from the state that the one before returned. The final state
        has the form that the cell returns: h, or (h, c).
        """
        for name, cell in two_cells(kata).items():
            x = torch.randn(B, T, I)
            outputs, final = pair(kata.run_recurrent(cell, x))
            expected, last = one_by_one(cell, x)
            restarted = torch.stack([parts(cell(x[:, t]))[0] for t in range(T)], dim=1)
            unlike = {"every step starts from zeros": restarted}
            check.close(outputs, expected, unlike=unlike, what=f"outputs of {name}")
            check.close(final, last, what=f"final state of {name}")

    @given(cut=st.integers(1, T - 1))
    def test_two_pieces_read_in_turn_are_the_whole(self, kata, cut):
        """A sequence may be cut anywhere. The second piece starts from the final state
        of the first one.
        """
        for name, cell in two_cells(kata).items():
            x = torch.randn(B, T, I)
            expected, last = one_by_one(cell, x)
            first, state = pair(kata.run_recurrent(cell, x[:, :cut]))
            second, final = pair(
                kata.run_recurrent(cell, x[:, cut:], initial_state=state)
            )
            unlike = {
                "the second piece starts from zeros": one_by_one(cell, x[:, cut:])[0]
            }
            check.close(
                second,
                expected[:, cut:],
                unlike=unlike,
                what=f"outputs of {name} after a cut at {cut}",
            )
            check.close(final, last, what=f"final state of {name} after a cut at {cut}")

    def test_outputs_behind_the_end_are_zero(self, kata):
        """Sequences of 5, 2, 4 and 1 steps share one batch, with 1000 as padding behind
        their ends. The outputs are exactly 0 there, and before it they are what each
        sequence gives alone.
        """
        for name, cell in two_cells(kata).items():
            x, lengths = padded_batch()
            outputs, _ = pair(kata.run_recurrent(cell, x, lengths))
            expected = one_by_one(cell, x, lengths)[0]
            check.shape(outputs, expected.shape, what=f"outputs of {name}")
            for row, right, length in zip(outputs, expected, LENGTHS, strict=True):
                check.close(
                    row[:length],
                    right[:length],
                    what=f"outputs of the sequence of {length} steps, {name}",
                )
                after = (
                    f"{(row[length : length + 1] != 0).sum()} numbers at step "
                    f"{length} of {length} are not 0"
                )
                one = (
                    bool(row[length : length + 1].any()) and not row[length + 1 :].any()
                )
                check.that(
                    not one,
                    after,
                    like="one step too many: the first one of padding counts as real",
                )
                check.equal(
                    row[length:],
                    right[length:],
                    what=f"outputs behind {length} steps, {name}",
                )

    def test_padding_does_not_change_the_state(self, kata):
        """The final state of each sequence, h and c, is the one after its own last
        step. Reading on through the padding would spoil it; the state of the last
        column is right for the longest sequence only.
        """
        for name, cell in two_cells(kata).items():
            x, lengths = padded_batch()
            outputs, final = pair(kata.run_recurrent(cell, x, lengths))
            expected = one_by_one(cell, x, lengths)[1]
            through = one_by_one(cell, x)[1]
            if isinstance(expected, tuple):
                unlike = {
                    "h is kept at the end of a sequence, but c goes on": (
                        expected[0],
                        through[1],
                    )
                }
            else:
                unlike = {
                    (
                        "the outputs of the last column, zeros where a sequence has "
                        "ended"
                    ): outputs[:, -1]
                }
            unlike["the padding was read, too"] = through
            check.close(final, expected, unlike=unlike, what=f"final state of {name}")

    def test_lengths_give_what_a_packed_sequence_gives(self, kata):
        """PyTorch packs the real steps together and never sees the padding: the same
        outputs, final states and gradients as nn.GRU on the packed batch.
        """
        layer = lively(nn.GRU(I, H, batch_first=True).double())
        cell = copied(nn.GRUCell(I, H), layer)
        x, lengths = padded_batch()
        ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
        outputs, final = pair(kata.run_recurrent(cell, ours, lengths))
        packed, last = layer(
            pack_padded_sequence(
                theirs, lengths, batch_first=True, enforce_sorted=False
            )
        )
        right = pad_packed_sequence(packed, batch_first=True)[0]
        check.close(outputs, right, what="outputs")
        check.close(final, last[0], what="final state")
        probe = torch.randn(len(LENGTHS), T + 1, H)
        (torch.cat([outputs, final[:, None]], dim=1) * probe).sum().backward()
        (torch.cat([right, last.transpose(0, 1)], dim=1) * probe).sum().backward()
        check.close(
            ours.grad,
            theirs.grad,
            rtol=1e-3,
            what="gradient of x, which is 0 for the padding",
        )
        check.close(
            cell.weight_hh.grad,
            layer.weight_hh_l0.grad,
            rtol=1e-3,
            what="gradient of weight_hh",
        )

    def test_reverse_reads_from_the_last_step_to_the_first(self, kata):
        """Reading from the right: position t holds the h after reading the last step …
        t. The outputs stay at the positions of their inputs; only the order of reading
        changes, and the final state is the one after step 0.
        """
        for name, cell in two_cells(kata).items():
            x = torch.randn(B, T, I)
            outputs, final = pair(kata.run_recurrent(cell, x, reverse=True))
            expected, last = one_by_one(cell, x, reverse=True)
            unlike = {
                "read from left to right": one_by_one(cell, x)[0],
                (
                    "outputs in the order of reading, not at the positions of their "
                    "inputs"
                ): expected.flip(1),
            }
            check.close(outputs, expected, unlike=unlike, what=f"outputs of {name}")
            check.close(final, last, what=f"final state of {name}")

    def test_reverse_begins_at_the_last_real_step(self, kata):
        """In reverse the padding comes first, and it must leave no trace: each sequence
        begins at its own end. Flipping the whole padded row begins with 1000s.
        """
        for name, cell in two_cells(kata).items():
            x, lengths = padded_batch()
            outputs, final = pair(kata.run_recurrent(cell, x, lengths, reverse=True))
            expected, last = one_by_one(cell, x, lengths, reverse=True)
            real = (torch.arange(T) < lengths[:, None]).unsqueeze(-1)
            through = one_by_one(cell, x, reverse=True)[0]
            turned = torch.stack(
                [
                    torch.cat([row[:length].flip(0), row[length:]])
                    for row, length in zip(expected, LENGTHS, strict=True)
                ]
            )
            unlike = {
                "the padding was read first": through,
                "the padding was read first, then set to 0": through * real,
                (
                    "outputs in the order of reading, not at the positions of their "
                    "inputs"
                ): turned,
            }
            check.close(outputs, expected, unlike=unlike, what=f"outputs of {name}")
            check.close(final, last, what=f"final state of {name}")

    @given(case=readings())
    @settings(max_examples=10)
    def test_each_sequence_is_read_as_if_alone(self, kata, case):
        """Whatever the lengths, the direction and the initial state: a sequence does
        not depend on its neighbours in the batch, nor on the padding.
        """
        lengths, reverse = case
        for name, cell in two_cells(kata).items():
            x, counts = padded_batch(lengths)
            initial = initial_for(cell, len(x))
            outputs, final = pair(kata.run_recurrent(cell, x, counts, initial, reverse))
            expected, last = one_by_one(cell, x, counts, initial, reverse)
            how = f"{name} for lengths {lengths}, reverse={reverse}"
            check.close(outputs, expected, what=f"outputs of {how}")
            check.close(final, last, what=f"final state of {how}")

    def test_gradients_reach_the_initial_state(self, kata):
        """A loss on the second piece of a sequence trains the first piece as well,
        through the state.
        """
        for name, cell in two_cells(kata).items():
            x, lengths = padded_batch([3, 1, 5])
            initial = initial_for(cell, len(x))
            ours, theirs = (
                tuple(p.clone().requires_grad_() for p in parts(initial))
                for _ in range(2)
            )
            single = not isinstance(initial, tuple)
            for run, start in ((kata.run_recurrent, ours), (one_by_one, theirs)):
                outputs, final = run(cell, x, lengths, start[0] if single else start)
                (
                    outputs.sum() + sum((part * part).sum() for part in parts(final))
                ).backward()
            for mine, right in zip(ours, theirs, strict=True):
                check.that(
                    mine.grad is not None,
                    f"{name}: no gradient reaches the initial state",
                )
                check.close(
                    mine.grad,
                    right.grad,
                    rtol=1e-3,
                    what=f"gradient of the initial state of {name}",
                )

    def test_it_is_written_without_the_finished_ones(self, kata):
        """nn.RNN, nn.LSTM, nn.GRU, their Cell classes and the functions behind them
        would leave nothing to write.
        """
        x, lengths = padded_batch()
        with check.forbidden(kata, *FINISHED):
            for cell in (kata.RNNCell(I, H), kata.LSTMCell(I, H)):
                outputs, _ = kata.run_recurrent(cell, x, lengths)
                check.shape(outputs, (len(LENGTHS), T, H))

    @pytest.mark.edge
    def test_a_sequence_of_length_0_keeps_its_initial_state(self, kata):
        """Nothing to read, so nothing changes: all outputs are 0 and the final state is
        the initial one, zeros if none was given. An index of length − 1 = −1 would pick
        the last step.
        """
        for name, cell in two_cells(kata).items():
            for lengths in ([3, 0, 5], [0, 0, 0]):
                x, counts = padded_batch(lengths)
                for initial in (None, initial_for(cell, len(x))):
                    outputs, final = kata.run_recurrent(cell, x, counts, initial)
                    expected, last = one_by_one(cell, x, counts, initial)
                    how = (
                        f"{name}, lengths {lengths}, "
                        f"{'no' if initial is None else 'an'} initial state"
                    )
                    check.close(outputs, expected, what=f"outputs of {how}")
                    unlike = {
                        "the outputs at lengths − 1": expected[
                            torch.arange(len(x)), counts - 1
                        ]
                    }
                    check.close(
                        final, last, unlike=unlike, what=f"final state of {how}"
                    )

    @pytest.mark.edge
    def test_one_step_is_a_sequence_too(self, kata):
        """T = 1: the outputs are (B, 1, H)."""
        for name, cell in two_cells(kata).items():
            x = torch.randn(B, 1, I)
            outputs, final = kata.run_recurrent(cell, x, torch.tensor([1, 0]))
            expected, last = one_by_one(cell, x, [1, 0])
            check.close(outputs, expected, what=f"outputs of {name}")
            check.close(final, last, what=f"final state of {name}")

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """Outputs and final state have the dtype that the cell works in, also where
        there is padding.
        """
        for name, cell in two_cells(kata, dtype=torch.float64).items():
            x, lengths = padded_batch()
            outputs, final = kata.run_recurrent(cell, x.double(), lengths)
            for tensor in (outputs, *parts(final)):
                check.dtype(tensor, torch.float64, what=f"the results of {name}")
            check.close(
                outputs,
                one_by_one(cell, x.double(), lengths)[0],
                what=f"outputs of {name} in float64",
            )

    @pytest.mark.edge
    def test_inputs_may_be_views_and_are_not_written_to(self, kata):
        """x, lengths and initial state belong to the caller. x is stored step by step
        here, not row by row.
        """
        for name, cell in two_cells(kata).items():
            x, lengths = padded_batch()
            x = x.transpose(0, 1).contiguous().transpose(0, 1)
            initial = initial_for(cell, len(x))
            named = {
                f"initial_state[{i}]": part for i, part in enumerate(parts(initial))
            }
            for reverse in (False, True):
                with check.unchanged(x=x, lengths=lengths, **named):
                    outputs, _ = kata.run_recurrent(cell, x, lengths, initial, reverse)
                expected = one_by_one(cell, x, lengths, initial, reverse)[0]
                check.close(outputs, expected, what=f"outputs of {name}")

    @pytest.mark.edge
    def test_wrong_lengths_are_an_error(self, kata):
        """One number per sequence, none negative, none above T."""
        cell = nn.GRUCell(I, H)
        x = torch.randn(3, T, I)
        for lengths in (
            [1, 2],
            [1, 2, 3, 4],
            [[1], [2], [3]],
            [1, T + 1, 2],
            [1, -1, 2],
        ):
            with check.raises(ValueError, "lengths"):
                kata.run_recurrent(cell, x, torch.tensor(lengths))

    @pytest.mark.edge
    def test_everything_is_made_on_the_device_of_x(self, kata):
        """New tensors are created on the device of x. ("meta" takes the place of a GPU
        here. Tensors there have no values, so for code that looks at values x stays on
        the CPU, and tensors that are created without a device are on meta.)
        """
        for name, cell in {
            "an RNN cell": kata.RNNCell(I, H),
            "an LSTM cell": kata.LSTMCell(I, H),
        }.items():
            x = torch.empty(B, T, I, device="meta")
            try:
                outputs, final = kata.run_recurrent(copy.deepcopy(cell).to("meta"), x)
            except RuntimeError as error:
                if not re.search("item|copy out of meta|nonzero", str(error)):
                    raise
                x = torch.randn(B, T, I)
                with torch.device("meta"):
                    outputs, final = kata.run_recurrent(cell, x)
            check.shape(outputs, (B, T, H))
            for tensor in (outputs, *parts(final)):
                check.that(
                    tensor.device == x.device,
                    f"x is on {x.device}, the results of {name} on {tensor.device}",
                )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Outputs and final state are where x and lengths are."""
        x, lengths = padded_batch()
        for cell in two_cells(kata, device="cuda").values():
            outputs, final = kata.run_recurrent(cell, x.cuda(), lengths.cuda())
            for tensor in (outputs, *parts(final)):
                check.that(
                    tensor.is_cuda, f"x is on the GPU, the result on {tensor.device}"
                )


def both_ways():
    """PyTorch's bidirectional GRU in float64, and a cell for each of its directions."""
    layer = lively(nn.GRU(I, H, batch_first=True, bidirectional=True).double())
    cells = [nn.GRUCell(I, H), nn.GRUCell(I, H)]
    with torch.no_grad():
        for cell, ending in zip(cells, ("l0", "l0_reverse"), strict=True):
            for name, parameter in cell.named_parameters():
                parameter.copy_(getattr(layer, f"{name}_{ending}"))
    return layer, *cells


@pytest.mark.stretch
class TestRunBidirectional:
    def test_each_position_has_both_readings_side_by_side(self, kata):
        """Position t holds what the forward cell knows of steps 0 … t and then what the
        backward cell knows of steps T − 1 … t: (B, T, 2H), as
        nn.GRU(bidirectional=True) has it.
        """
        layer, forward, backward = both_ways()
        x = torch.randn(B, T, I)
        (left, last), right = (
            one_by_one(forward, x),
            one_by_one(backward, x, reverse=True)[0],
        )
        passed_on = one_by_one(backward, x, initial=last, reverse=True)[0]
        unlike = {
            "the backward cell begins with the forward cell's last state": torch.cat(
                [left, passed_on], -1
            ),
            "the backward half in the order of reading": torch.cat(
                [left, right.flip(1)], -1
            ),
            "joined along the steps, not the features": torch.cat([left, right], 1),
            "both halves added": left + right,
            "features of both halves in turn": torch.stack([left, right], -1).flatten(
                -2
            ),
            "the backward half first": torch.cat([right, left], -1),
            "both halves read from left to right": torch.cat(
                [left, one_by_one(backward, x)[0]], -1
            ),
            "the forward cell used for both": torch.cat(
                [left, one_by_one(forward, x, reverse=True)[0]], -1
            ),
        }
        expected = layer(x.double())[0]
        outputs, _ = pair(kata.run_bidirectional(forward, backward, x))
        check.close(outputs, expected, unlike=unlike, what="outputs")

    def test_final_states_are_those_of_the_two_readings(self, kata):
        """(forward cell's, backward cell's): the first after step T − 1, the second
        after step 0.
        """
        layer, forward, backward = both_ways()
        x = torch.randn(B, T, I)
        expected = tuple(layer(x.double())[1].unbind(0))
        early = one_by_one(backward, x, reverse=True)[0][:, -1].double()
        unlike = {
            "the backward cell's first": expected[::-1],
            "the backward half at the last position: its first step": (
                expected[0],
                early,
            ),
        }
        _, finals = pair(kata.run_bidirectional(forward, backward, x))
        check.close(finals, expected, unlike=unlike, what="final states")

    def test_the_backward_reading_begins_at_the_last_real_step(self, kata):
        """With lengths 5, 2, 4, 1 and 1000 in the padding: what nn.GRU gives for the
        packed batch. The backward cell must not read the padding first, and the outputs
        there are 0.
        """
        layer, forward, backward = both_ways()
        x, lengths = padded_batch()
        packed, last = layer(
            pack_padded_sequence(
                x.double(), lengths, batch_first=True, enforce_sorted=False
            )
        )
        expected = pad_packed_sequence(packed, batch_first=True)[0]
        real = (torch.arange(T) < lengths[:, None]).unsqueeze(-1)
        unaware = one_by_one(backward, x, reverse=True)[0].double()
        unlike = {
            "the padding was read first": torch.cat(
                [expected[..., :H], unaware * real], -1
            ),
            "lengths that the backward reading did not get": torch.cat(
                [expected[..., :H], unaware], -1
            ),
        }
        outputs, finals = pair(kata.run_bidirectional(forward, backward, x, lengths))
        check.close(outputs, expected, unlike=unlike, what="outputs")
        check.close(finals, tuple(last.unbind(0)), what="final states")

    def test_lstm_cells_give_pairs(self, kata):
        """Two LSTM cells end in two pairs (h, c)."""
        forward, backward = (lively(kata.LSTMCell(I, H)) for _ in range(2))
        x, lengths = padded_batch()
        for counts in (None, lengths):
            (left, last_left), (right, last_right) = (
                one_by_one(forward, x, counts),
                one_by_one(backward, x, counts, reverse=True),
            )
            outputs, finals = pair(kata.run_bidirectional(forward, backward, x, counts))
            check.close(outputs, torch.cat([left, right], -1), what="outputs")
            check.close(finals, (last_left, last_right), what="final states")

    def test_gradients_reach_both_cells(self, kata):
        """Both readings are trained: the gradient of x is the sum of what comes from
        both sides, and that of each cell's weights its own.
        """
        layer, forward, backward = both_ways()
        x = torch.randn(B, T, I)
        check.gradients(
            lambda x: kata.run_bidirectional(forward, backward, x)[0],
            lambda x: layer(x.double())[0],
            x,
        )
        for name, cell in {"forward": forward, "backward": backward}.items():
            check.that(
                cell.weight_hh.grad is not None, f"no gradient reaches the {name} cell"
            )

    def test_it_is_written_without_the_finished_ones(self, kata):
        """nn.RNN, nn.LSTM and nn.GRU with bidirectional=True would leave nothing
        to write.
        """
        x, lengths = padded_batch()
        with check.forbidden(kata, *FINISHED):
            outputs, _ = kata.run_bidirectional(
                kata.RNNCell(I, H), kata.RNNCell(I, H), x, lengths
            )
        check.shape(outputs, (len(LENGTHS), T, 2 * H))

    @pytest.mark.edge
    def test_wrong_lengths_are_an_error(self, kata):
        """As in run_recurrent."""
        _, forward, backward = both_ways()
        for lengths in ([1, 2, 3], [1, T + 1], [-1, 2]):
            with check.raises(ValueError, "lengths"):
                kata.run_bidirectional(
                    forward, backward, torch.randn(B, T, I), torch.tensor(lengths)
                )


# The character model

V, E = 7, 6  # symbols, features of a symbol


def same_state(got, expected, what):
    for mine, right in zip(parts(got), parts(expected), strict=True):
        check.close(mine, right, what=what)


@contextmanager
def modes_seen(module, model):
    """The training flag of the model at each forward pass of one of its parts."""
    seen = []
    hook = module.register_forward_pre_hook(lambda *_: seen.append(model.training))
    try:
        yield seen
    finally:
        hook.remove()


class TestCharRNN:
    def test_the_parts_have_the_sizes_asked_for(self, kata):
        """A table with one row per symbol, a recurrent layer from embed_dim to
        hidden_size features that takes (B, T, …), and a linear layer to one logit per
        symbol. An LSTM of one layer is the default.
        """
        for kind, right in zip(KINDS, (nn.RNN, nn.LSTM, nn.GRU), strict=True):
            model = kata.CharRNN(V, E, H, kind, num_layers=2)
            check.that(
                type(model.rnn) is right,
                f"for {kind!r} rnn should be {right.__name__}, not {type(model.rnn)}",
            )
            check.that(
                model.rnn.batch_first,
                "rnn should be made with batch_first=True, because ids are (B, T)",
            )
            got = {
                "embedding": tuple(model.embedding.weight.shape),
                "rnn": (
                    model.rnn.input_size,
                    model.rnn.hidden_size,
                    model.rnn.num_layers,
                ),
                "head": tuple(model.head.weight.shape),
            }
            check.equal(
                got,
                {"embedding": (V, E), "rnn": (E, H, 2), "head": (V, H)},
                what=f"sizes for {kind!r}",
            )
        model = kata.CharRNN(V, E, H)
        check.that(
            isinstance(model.rnn, nn.LSTM),
            f"by default rnn is {type(model.rnn).__name__}, not LSTM",
        )
        check.equal(model.rnn.num_layers, 1, what="num_layers by default")

    def test_logits_for_every_symbol_read(self, kata):
        """ids → embedding → rnn → head: (B, T, V), one logit per possible next symbol
        at each place. No softmax: cross-entropy takes logits.
        """
        ids = torch.randint(V, (B, T))
        for kind in KINDS:
            model = kata.CharRNN(V, E, H, kind)
            logits, _ = pair(model(ids))
            expected = model.head(model.rnn(model.embedding(ids))[0])
            unlike = {
                "softmax was applied": expected.softmax(-1),
                "log-softmax was applied": expected.log_softmax(-1),
            }
            check.close(logits, expected, unlike=unlike, what=f"logits for {kind!r}")

    def test_the_state_is_the_recurrent_layers_own(self, kata):
        """One tensor (layers, B, H), or for the LSTM a pair of them, just as the layer
        returned it.
        """
        ids = torch.randint(V, (B, T))
        for kind in KINDS:
            model = kata.CharRNN(V, E, H, kind, num_layers=2)
            _, state = pair(model(ids))
            expected = model.rnn(model.embedding(ids))[1]
            check.that(
                isinstance(state, type(expected)),
                f"{kind!r}: the state is {check.describe(state)}",
            )
            same_state(state, expected, f"state for {kind!r}")

    def test_two_pieces_read_in_turn_are_the_whole(self, kata):
        """The state of the first call, passed to the second, lets it read on: the
        logits of two pieces are those of the whole. Without a state, a call starts from
        nothing, whatever was read before.
        """
        ids = torch.randint(V, (B, T))
        for kind in KINDS:
            for layers in (1, 2):
                model = lively(kata.CharRNN(V, E, H, kind, layers))
                whole, last = model(ids)
                first, state = model(ids[:, :2])
                second, end = model(ids[:, 2:], state)
                unlike = {
                    "the second piece starts from zeros": torch.cat(
                        [first, model(ids[:, 2:])[0]], dim=1
                    )
                }
                what = f"for {kind!r}, {layers} layer(s)"
                check.close(
                    torch.cat([first, second], dim=1),
                    whole,
                    unlike=unlike,
                    what=f"logits {what}",
                )
                same_state(end, last, f"last state {what}")
                check.close(
                    model(ids)[0],
                    whole,
                    what=f"logits of the same ids once more, {what}",
                )

    def test_hidden_states_are_the_last_layers(self, kata):
        """For a text (T,) without a batch: the h of the last layer after each symbol,
        (T, H). Logits would be (T, V).
        """
        ids = torch.randint(V, (T,))
        for kind in KINDS:
            for layers in (1, 2):
                model = lively(kata.CharRNN(V, E, H, kind, layers))
                expected = model.rnn(model.embedding(ids[None]))[0][0]
                check.close(
                    model.hidden_states(ids),
                    expected,
                    what=f"states for {kind!r}, {layers} layer(s)",
                )

    def test_hidden_states_carry_no_graph(self, kata):
        """The states are for looking at: they carry no graph, and the model is in eval
        mode while it reads.
        """
        model = kata.CharRNN(V, E, H)
        with modes_seen(model.rnn, model) as seen:
            states = model.hidden_states(torch.randint(V, (T,)))
        check.that(not states.requires_grad, "the states carry a graph")
        check.that(not any(seen), "the model was in training mode while it read")

    @pytest.mark.edge
    def test_hidden_states_leave_the_mode_as_it_was(self, kata):
        """A look inside a model in training must not stop its training. That holds
        after an error, too: here an id that the table does not have.
        """
        for training in (True, False):
            model = kata.CharRNN(V, E, H).train(training)
            model.hidden_states(torch.randint(V, (T,)))
            flags = (model.training, model.rnn.training)
            check.equal(
                flags,
                (training, training),
                what="training flags of the model and of its rnn",
            )
        model.train()
        with check.raises(IndexError):
            model.hidden_states(torch.tensor([0, V]))
        check.that(
            model.training,
            "the model was in training mode, and is in eval mode after the error",
        )

    @pytest.mark.edge
    def test_another_model_can_load_the_state_dict(self, kata):
        """All parts are registered, so a saved model is the whole model."""
        ids = torch.randint(V, (B, T))
        model, other = kata.CharRNN(V, E, H, "gru"), kata.CharRNN(V, E, H, "gru")
        other.load_state_dict(model.state_dict())
        check.close(
            other(ids)[0],
            model(ids)[0],
            what="logits of a second model with the first one's state_dict",
        )

    @pytest.mark.edge
    def test_an_unknown_cell_type_is_an_error(self, kata):
        """There are three cell types. Any other name is an error."""
        for kind in ("transformer", "RNNN"):
            with check.raises(ValueError):
                kata.CharRNN(V, E, H, kind)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The logits are where the ids are."""
        for kind in KINDS:
            logits, _ = kata.CharRNN(V, E, H, kind).cuda()(
                torch.randint(V, (B, T), device="cuda")
            )
            check.that(logits.is_cuda, f"ids on the GPU, logits on {logits.device}")


# Training

# the text 0, 1, 2 … 22, so that an id tells its place; the length of the windows
COUNT, SEQ = 23, 6
PERIOD = [3, 0, 5, 1, 6, 2, 4]


class Guesser(nn.Module):
    """A right CharRNN, written here so that the training is judged by itself."""

    def __init__(self, vocab_size, embed_dim, hidden_size, cell_type="lstm"):
        super().__init__()
        layers = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.rnn = layers[cell_type](embed_dim, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids, state=None):
        outputs, state = self.rnn(self.embedding(ids), state)
        return self.head(outputs), state


def counting_model():
    """A small model for the text 0, 1, 2 …, and that text."""
    return Guesser(COUNT, E, 8, "gru"), torch.arange(COUNT)


@st.composite
def texts_and_windows(draw):
    """The length of a text, and a seq_len that leaves at least two windows."""
    seq_len = draw(st.integers(1, 5))
    return seq_len + 2 + draw(st.integers(0, 6)), seq_len


@contextmanager
def inputs_seen(model):
    """Copies of the ids that the model embeds, one per forward pass."""
    seen = []
    hook = model.embedding.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].detach().clone())
    )
    try:
        yield seen
    finally:
        hook.remove()


def clipped(norm, max_norm=1.0):
    """The factor that makes gradients of this norm no longer than max_norm."""
    return min(1.0, max_norm / norm)


def trained_by_hand(
    model,
    inputs,
    lr=5e-3,
    factor=clipped,
    make=torch.optim.Adam,
    following=1,
    clear=True,
):
    """The losses of a copy of the model, trained on these batches of a text in which
    i + `following` comes after i, and the copy. The gradients are multiplied by
    `factor` of their norm.
    """
    model, losses = copy.deepcopy(model), []
    optimizer = make(model.parameters(), lr=lr)
    for ids in inputs:
        logits = model(ids)[0]
        loss = F.cross_entropy(logits.mT, ids + following)
        losses.append(loss.item())
        if clear:
            optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad for p in model.parameters()]
        norm = math.sqrt(sum(g.double().pow(2).sum().item() for g in gradients))
        for g in gradients:
            g.mul_(factor(norm))
        optimizer.step()
    return losses, model


def learned(kata):
    """A model trained for 50 steps on a sequence that repeats after seven symbols, the
    sequence, and what came back.
    """
    model, data = Guesser(len(PERIOD), 8, 16, "gru"), torch.tensor(PERIOD * 6)
    return (
        model,
        data,
        kata.train_char_rnn(model, data, steps=50, batch_size=8, seq_len=10, lr=1e-2),
    )


class TestDrawWindows:
    @given(case=texts_and_windows())
    def test_targets_are_the_inputs_moved_by_one(self, kata, case):
        """Each row is a run of the text, and its target at each place is the symbol
        that follows there. With the inputs as targets, a model would learn to repeat
        what it has just read.
        """
        size, seq_len = case
        inputs, targets = pair(
            kata.draw_windows(
                torch.arange(size), 4, seq_len, torch.Generator().manual_seed(0)
            )
        )
        check.shape(inputs, (4, seq_len), what="inputs")
        run = inputs[:, :1] + torch.arange(seq_len)
        check.equal(inputs, run, what=f"inputs of the text 0 … {size - 1}")
        check.equal(
            targets,
            run + 1,
            unlike={"the inputs again": run},
            what=f"targets of the text 0 … {size - 1}",
        )

    def test_every_start_is_equally_likely(self, kata):
        """N = 9 symbols hold three windows of 6 + 1, with the starts 0, 1 and 2. Each
        comes up in a third of the draws: the first and the last one, too.
        """
        inputs, _ = pair(
            kata.draw_windows(
                torch.arange(9), 600, SEQ, torch.Generator().manual_seed(0)
            )
        )
        counts = inputs[:, 0].bincount(minlength=3).tolist()
        check.that(
            len(counts) == 3, f"starts run from 0 to 2, here one is {len(counts) - 1}"
        )
        fair = all(140 <= count <= 260 for count in counts)
        check.that(
            fair,
            f"of 600 windows {counts} start at 0, 1, 2; about 200 each are expected",
        )

    def test_windows_of_a_batch_are_drawn_one_by_one(self, kata):
        """With 17 starts and 40 windows most starts come up, in no order, and some
        again before all came once. A batch whose windows all start at one place, or
        follow each other, is not drawn with replacement from all starts.
        """
        inputs, _ = pair(
            kata.draw_windows(
                torch.arange(COUNT), 40, SEQ, torch.Generator().manual_seed(0)
            )
        )
        starts = inputs[:, 0].tolist()
        check.that(
            len(set(starts)) > 8,
            f"the 40 windows of a batch start at {sorted(set(starts))}",
        )
        check.that(
            starts != sorted(starts),
            "the windows of a batch are in the order of their starts",
        )
        again = len(set(starts[:17])) < 17
        check.that(
            again,
            "the first 17 windows have all 17 starts: draw each start anew, with "
            "replacement",
        )

    def test_draws_come_from_the_generator(self, kata):
        """Generators of the same seed draw the same windows, whatever the state of the
        global one; used further, they draw others. Without one,
        `torch.manual_seed` decides.
        """

        def draw(generator, seed=0):
            torch.manual_seed(seed)
            return pair(kata.draw_windows(torch.arange(COUNT), 8, SEQ, generator))[0]

        generator = torch.Generator().manual_seed(5)
        first, further = draw(generator, 1), draw(generator, 1)
        again = draw(torch.Generator().manual_seed(5), 2)
        check.equal(
            again, first, what="windows with a second generator of the same seed"
        )
        check.that(
            not torch.equal(first, further),
            "two draws with one generator give the same windows",
        )
        check.equal(
            draw(None, 1),
            draw(None, 1),
            what="windows without a generator, after one seed",
        )
        check.that(
            not torch.equal(draw(None, 1), draw(None, 2)),
            "without a generator the windows are always the same",
        )

    @pytest.mark.edge
    def test_the_shortest_text_is_one_window(self, kata):
        """N = seq_len + 1 symbols hold one window, which starts at 0 every time. One
        symbol less is an error.
        """
        inputs, _ = pair(kata.draw_windows(torch.arange(SEQ + 1), 2, SEQ, None))
        check.equal(
            inputs, torch.arange(SEQ).expand(2, SEQ), what="the only window, twice"
        )
        for length in (SEQ, SEQ - 2, 0):
            with check.raises(ValueError):
                kata.draw_windows(torch.arange(length), 2, SEQ, None)

    @pytest.mark.edge
    def test_the_text_is_not_written_to(self, kata):
        """data may be a view, every second id of a longer text, and stays as it was."""
        data = torch.arange(COUNT).repeat_interleave(2)[::2]
        with check.unchanged(data=data):
            inputs, _ = pair(kata.draw_windows(data, 4, SEQ, None))
        check.equal(
            inputs,
            inputs[:, :1] + torch.arange(SEQ),
            what="a batch of the text 0, 1, 2 …",
        )


class TestTrainCharRnn:
    def test_a_repeating_sequence_is_learned(self, kata):
        """After each of the seven symbols always comes the same next one. 50 steps
        bring the loss under half of what it was, and the model predicts the *next*
        symbol. A model whose targets are its inputs also learns: to repeat.
        """
        model, data, result = learned(kata)
        losses, read = result["losses"], data[:21]
        said = (
            f"the loss was {losses[0]:.3f} at first and is {losses[-1]:.3f} after 50 "
            "steps"
        )
        check.that(losses[-1] < losses[0] / 2, f"{said}: it should be under half")
        guess = model(read[None])[0][0].argmax(dim=-1)
        check.equal(
            guess,
            data[1:22],
            unlike={"the symbol that the model has just read": read},
            what="the guesses",
        )

    def test_losses_and_speed_are_plain_numbers(self, kata):
        """One loss per step; the seconds from before the first step to after the last;
        and the symbols read per second, which follow from the rest. Here each forward
        pass is held up for a hundredth of a second.
        """
        model, data = counting_model()
        model.embedding.register_forward_pre_hook(lambda *_: time.sleep(0.01))
        started = time.perf_counter()
        result = kata.train_char_rnn(model, data, steps=4, batch_size=3, seq_len=SEQ)
        whole, keys = time.perf_counter() - started, sorted(result)
        check.that(
            keys == ["losses", "seconds", "tokens_per_second"], f"the keys are {keys}"
        )
        losses, seconds = result["losses"], result["seconds"]
        plain = isinstance(losses, list) and all(type(loss) is float for loss in losses)
        check.that(
            plain, f"losses should be a list of floats, not {check.describe(losses)}"
        )
        check.equal(len(losses), 4, what="the number of losses")
        check.that(
            seconds > 0.035,
            "4 steps of at least 0.01 seconds each are said to have taken "
            f"{seconds:.4f}",
        )
        check.that(
            seconds < whole + 0.1,
            f"the call took {whole:.3f} seconds, the result says {seconds:.3f}",
        )
        unlike = {"steps · batch_size / seconds": 12 / seconds}
        speed = 4 * 3 * SEQ / seconds
        check.close(
            result["tokens_per_second"], speed, unlike=unlike, what="tokens_per_second"
        )

    def test_each_step_reads_new_windows(self, kata):
        """Each step reads one batch of batch_size windows of seq_len symbols, 16 and 32
        by default.
        """
        model, data = counting_model()
        with inputs_seen(model) as seen:
            kata.train_char_rnn(model, data, steps=2, batch_size=4, seq_len=SEQ)
        check.equal(
            [tuple(ids.shape) for ids in seen],
            [(4, SEQ)] * 2,
            what="shapes of what the model read",
        )
        check.that(
            not torch.equal(*seen),
            "both batches are the same: draw new windows for each step",
        )
        model = Guesser(40, 2, 2)
        with inputs_seen(model) as seen:
            kata.train_char_rnn(model, torch.arange(40), 1)
        check.equal(
            tuple(seen[0].shape),
            (16, 32),
            what="shape of what the model read by default",
        )

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """Each loss is taken before its update: the first is the mean cross-entropy of
        the untrained model on the first batch, over all places and windows.
        """
        model, data = counting_model()
        fresh = copy.deepcopy(model)
        with inputs_seen(model) as seen:
            losses = kata.train_char_rnn(
                model, data, steps=1, batch_size=4, seq_len=SEQ
            )["losses"]
        right = F.cross_entropy(fresh(seen[0])[0].double().mT, seen[0] + 1)
        crossed = fresh(seen[0])[0].reshape(COUNT, -1).T
        unlike = {
            "the loss after the update": F.cross_entropy(
                model(seen[0])[0].mT, seen[0] + 1
            ).item(),
            "targets that are the inputs": F.cross_entropy(
                fresh(seen[0])[0].mT, seen[0]
            ).item(),
            "logits that were reshaped to (V, …) and transposed": F.cross_entropy(
                crossed, seen[0].flatten() + 1
            ).item(),
            "the sum over the places": F.cross_entropy(
                fresh(seen[0])[0].mT, seen[0] + 1
            ).item()
            * 4
            * SEQ,
            "the last place of each window only": F.cross_entropy(
                fresh(seen[0])[0][:, -1], seen[0][:, -1] + 1
            ).item(),
        }
        check.close(
            losses[0], right.item(), rtol=1e-4, unlike=unlike, what="the first loss"
        )

    def test_every_step_is_one_of_adam(self, kata):
        """On the same batches, a loop with torch.optim.Adam at the learning rate asked
        for has the same losses. Gradients that are not cleared add up; the model starts
        every window from no state.
        """
        model, data = counting_model()
        fresh = copy.deepcopy(model)
        with inputs_seen(model) as seen:
            losses = kata.train_char_rnn(
                model, data, steps=6, batch_size=4, seq_len=SEQ, lr=0.05
            )["losses"]
        expected, right = trained_by_hand(fresh, seen, lr=0.05)
        unlike = {
            "nothing was learned": trained_by_hand(fresh, seen, lr=0.0)[0],
            "the default learning rate": trained_by_hand(fresh, seen)[0],
            "gradients that are never cleared": trained_by_hand(
                fresh, seen, lr=0.05, clear=False
            )[0],
            "SGD": trained_by_hand(fresh, seen, lr=0.05, make=torch.optim.SGD)[0],
        }
        check.that(len(losses) == 6, f"there are {len(losses)} losses for 6 steps")
        for step, (loss, wanted) in enumerate(zip(losses, expected, strict=True)):
            suspects = {name: wrong[step] for name, wrong in unlike.items()}
            check.close(
                loss, wanted, rtol=1e-3, unlike=suspects, what=f"loss of step {step}"
            )
        check.close(
            model.head.bias,
            right.head.bias,
            rtol=0.02,
            atol=2e-3,
            what="head.bias after 6 steps",
        )

    def test_gradients_are_clipped_by_their_norm(self, kata):
        """All gradients together are scaled down to the norm max_norm before the step.
        Adam divides by the size of the gradients, so this shows only where they come
        near its eps of 1e-8: max_norm is 1e-7 here.
        """
        model, data = counting_model()
        fresh = copy.deepcopy(model)
        with inputs_seen(model) as seen:
            kata.train_char_rnn(
                model, data, steps=3, batch_size=4, seq_len=SEQ, lr=0.05, max_norm=1e-7
            )
        moved, right, free = (
            trained - fresh.head.bias
            for trained in (
                model.head.bias,
                trained_by_hand(
                    fresh, seen, lr=0.05, factor=lambda norm: clipped(norm, 1e-7)
                )[1].head.bias,
                trained_by_hand(fresh, seen, lr=0.05, factor=lambda norm: 1.0)[
                    1
                ].head.bias,
            )
        )
        unlike = {"gradients that were not clipped": free}
        check.close(
            moved,
            right,
            rtol=0.01,
            atol=1e-5,
            unlike=unlike,
            what="how far head.bias has moved",
        )

    def test_clipping_only_shortens(self, kata):
        """Gradients whose norm is below max_norm are not changed. Here the model is
        nearly sure of the right symbol and they are tiny; scaled up to max_norm they
        would make Adam's steps as long as those of a fresh model.
        """
        model, data = Guesser(V, E, 8, "gru"), torch.zeros(40, dtype=torch.int64)
        with torch.no_grad():
            model.head.bias[0] = 18.0
        fresh = copy.deepcopy(model)
        with inputs_seen(model) as seen:
            kata.train_char_rnn(
                model, data, steps=3, batch_size=4, seq_len=SEQ, lr=0.05
            )
        right, stretched = (
            trained_by_hand(fresh, seen, lr=0.05, following=0, factor=factor)[
                1
            ].head.bias
            - fresh.head.bias
            for factor in (clipped, lambda norm: 1.0 / norm)
        )
        moved = (model.head.bias - fresh.head.bias)[1:]
        unlike = {"gradients that were scaled up to max_norm": stretched[1:]}
        check.close(
            moved,
            right[1:],
            rtol=0.01,
            atol=1e-5,
            unlike=unlike,
            what="how far head.bias[1:] has moved",
        )

    def test_same_seeds_same_losses(self, kata):
        """With generators of the same seed the same model has the same losses, whatever
        the state of the global one. A generator of another seed draws other windows.
        """

        def losses(seed, generator):
            torch.manual_seed(seed)
            return kata.train_char_rnn(
                copy.deepcopy(model), data, 4, 3, SEQ, generator=generator
            )["losses"]

        model, data = counting_model()
        first = losses(1, torch.Generator().manual_seed(5))
        same = losses(2, torch.Generator().manual_seed(5))
        check.close(
            same,
            first,
            rtol=0,
            atol=1e-3,
            what="losses with a second generator of the same seed",
        )
        other = losses(1, torch.Generator().manual_seed(6))
        check.that(
            other != first,
            "a generator of another seed gives the very same losses: it is not used",
        )

    @pytest.mark.timeout(60)
    def test_english_is_learned_beyond_its_letter_counts(self, kata):
        """Guessing by the counts of the characters alone has a loss equal to the
        entropy of these counts. After 60 steps on 20,000 characters each of the three
        models is well below it, so it uses what it has read.
        """
        text = prose()[:20_000]
        symbols = sorted(set(text))
        data = torch.tensor([symbols.index(c) for c in text])
        share = data.bincount() / len(data)
        entropy = -(share * share.log()).sum().item()
        for kind in KINDS:
            model = Guesser(len(symbols), 16, 64, kind)
            losses = kata.train_char_rnn(model, data, 60, seq_len=16, lr=0.015)[
                "losses"
            ]
            end = sum(losses[-10:]) / 10
            said = (
                f"{kind!r}: the last ten losses have a mean of {end:.3f}, the entropy "
                f"of the counts is {entropy:.3f}"
            )
            check.that(end < entropy - 0.2, f"{said}: it should be at least 0.2 lower")

    @pytest.mark.edge
    def test_the_mode_is_training_and_then_as_before(self, kata):
        """The model trains in training mode, and is left in the mode in which it came,
        also after an error: here an id that its table does not have.
        """
        for training in (True, False):
            model, data = counting_model()
            model.train(training)
            with modes_seen(model.embedding, model) as seen:
                kata.train_char_rnn(model, data, steps=2, batch_size=2, seq_len=SEQ)
            check.equal(seen, [True, True], what="model.training during the two steps")
            check.equal(model.training, training, what="model.training afterwards")
            with check.raises(IndexError):
                kata.train_char_rnn(
                    model, data + COUNT, steps=1, batch_size=2, seq_len=SEQ
                )
            check.equal(model.training, training, what="model.training after an error")

    @pytest.mark.edge
    def test_a_text_shorter_than_one_window_is_an_error(self, kata):
        """The shortest text that holds a window has seq_len + 1 symbols."""
        model, data = counting_model()
        with check.raises(ValueError):
            kata.train_char_rnn(model, data[:SEQ], steps=1, batch_size=2, seq_len=SEQ)


def gradient_through(layer, x, outputs_of=lambda outputs: outputs[:, -1]):
    """The gradient of the sum of a PyTorch layer's last outputs with respect to x,
    in float64.
    """
    x = x.double().requires_grad_()
    outputs, _ = layer(x)
    outputs_of(outputs).sum().backward()
    return x.grad


@pytest.mark.stretch
class TestInputGradientNorms:
    def test_matches_autograd_through_pytorch(self, kata):
        """One number per step: the L2 norm, over batch and features, of the gradient
        that the sum of the last outputs sends to that step's input.
        """
        for layer, cell in ((nn.RNN, nn.RNNCell), (nn.GRU, nn.GRUCell)):
            layer = lively(layer(I, H, batch_first=True).double())
            cell, x = copied(cell(I, H), layer), torch.randn(B, T, I)
            gradient = gradient_through(layer, x)
            expected = gradient.pow(2).sum(dim=(0, 2)).sqrt()
            unlike = {
                "the squares of the norms": expected**2,
                "the sum of the norms of the sequences": gradient.norm(dim=2).sum(0),
                "the mean of the norms of the sequences": gradient.norm(dim=2).mean(0),
                "the sum of the absolute values": gradient.abs().sum(dim=(0, 2)),
                "the first output in place of the last": gradient_through(
                    layer, x, lambda y: y[:, 0]
                ).norm(dim=(0, 2)),
                "the sum of all outputs in place of the last": gradient_through(
                    layer, x, lambda y: y
                ).norm(dim=(0, 2)),
            }
            check.close(
                kata.input_gradient_norms(cell, x), expected, rtol=1e-3, unlike=unlike
            )

    def test_of_an_lstm_only_h_counts(self, kata):
        """The last output is h. The memory c is not added to it."""
        cell, x = lively(kata.LSTMCell(I, H)), torch.randn(B, T, I)
        got, norms = kata.input_gradient_norms(cell, x), []
        for both in (False, True):
            leaf = x.clone().requires_grad_()
            h, c = one_by_one(cell, leaf)[1]
            [gradient] = torch.autograd.grad(
                h.sum() + c.sum() if both else h.sum(), leaf
            )
            norms.append(gradient.norm(dim=(0, 2)))
        check.close(
            got, norms[0], rtol=1e-3, unlike={"the gradient of h and c": norms[1]}
        )

    def test_early_steps_of_an_rnn_are_forgotten(self, kata):
        """With each step back the gradient passes through W_hh and a slope of tanh once
        more, and shrinks. Over 50 steps the first one's norm is less than 1e-8 of the
        last one's.
        """
        norms = kata.input_gradient_norms(nn.RNNCell(8, 16), torch.randn(B, 50, 8))
        check.shape(norms, (50,))
        ratio = (norms[0] / norms[-1]).item()
        check.that(
            norms[-1] > 0 and ratio < 1e-8,
            f"the first norm is {ratio:.1e} of the last, expected less than 1e-8",
        )

    def test_the_norms_carry_no_graph(self, kata):
        """The norms are a measurement to plot, so they need no graph."""
        norms = kata.input_gradient_norms(
            nn.RNNCell(I, H), torch.randn(B, T, I, requires_grad=True)
        )
        check.that(not norms.requires_grad, "the norms carry a graph")

    @pytest.mark.edge
    def test_nothing_is_left_behind(self, kata):
        """x is as before, and no `.grad` is touched: neither one that is None nor one
        that is still needed for a step.
        """
        cell, x = nn.RNNCell(I, H), torch.randn(B, T, I)
        cell.bias_ih.grad = torch.arange(float(H))
        for leaf in (x, x.clone().requires_grad_(), x.clone().requires_grad_()):
            if leaf.requires_grad:
                leaf.grad = torch.ones_like(x)
            with check.unchanged(x=leaf, **dict(cell.named_parameters())):
                kata.input_gradient_norms(cell, leaf)

    @pytest.mark.edge
    def test_one_step_is_enough(self, kata):
        """T = 1: a single norm, not 0-dimensional."""
        layer = lively(nn.RNN(I, H, batch_first=True).double())
        cell, x = copied(nn.RNNCell(I, H), layer), torch.randn(B, 1, I)
        check.close(
            kata.input_gradient_norms(cell, x),
            gradient_through(layer, x).norm(dim=(0, 2)),
            rtol=1e-3,
        )

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """For x and a cell in float64 the norms are float64, with its precision."""
        layer = lively(nn.RNN(I, H, batch_first=True).double())
        cell, x = (
            copied(nn.RNNCell(I, H).double(), layer),
            torch.randn(B, T, I, dtype=torch.float64),
        )
        got = kata.input_gradient_norms(cell, x)
        check.dtype(got, torch.float64)
        check.close(got, gradient_through(layer, x.clone()).norm(dim=(0, 2)))
