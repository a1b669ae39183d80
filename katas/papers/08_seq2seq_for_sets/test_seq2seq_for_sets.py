"""Specs of kata papers/08: attention over a set, a code without order, a net that
writes, and sorting.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, N, D, H = 3, 6, 2, 4  # sets, elements, numbers per element, hidden units
FLOOR = -20.0  # e^-20 is a probability of 2e-9: as good as -inf


def floored(logits):
    """The logits with -inf, or whatever else gives a probability near 0, as one and the
    same number.
    """
    return logits.detach().clamp(min=FLOOR)


def numbers(*shape):
    """Numbers between -1 and 1."""
    return torch.rand(shape) * 2 - 1


def lively(model):
    """The model with all its parameters drawn anew between -1 and 1, so that
    they matter.
    """
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(numbers(*parameter.shape))
    return model


@st.composite
def sizes_and_seeds(draw):
    return draw(st.integers(2, 7)), draw(st.integers(0, 999))


@pytest.mark.stretch
class TestAttentionReadoutNumpy:
    MEMORY = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]])

    def test_weights_are_a_softmax_over_the_elements(self, kata):
        """A row's score is its dot product with the query, and the softmax makes shares
        of the scores. Here the scores are ln 6, ln 3 and 2 ln 3 − ln 6 = ln 1.5, so the
        shares are 6, 3 and 1.5 of 10.5.
        """
        _, weights = kata.attention_readout_numpy(self.MEMORY, np.log([6.0, 3.0]))
        unlike = {
            "the scores": np.log([6.0, 3.0, 1.5]),
            "exponentials that are not divided by their sum": [6, 3, 1.5],
        }
        unlike = {name: np.array(wrong) for name, wrong in unlike.items()}
        unlike |= {
            "the readout": (np.array([6.0, 3.0, 1.5]) / 10.5) @ self.MEMORY,
            "the scores divided by their sum": np.log([6.0, 3.0, 1.5]) / np.log(27.0),
            "scores divided by √H": np.array([6.0, 3.0, 1.5]) ** 0.5**0.5
            / (np.array([6.0, 3.0, 1.5]) ** 0.5**0.5).sum(),
        }
        unlike |= {
            "exponentials of what lies below the largest, not divided by their sum": (
                np.array([6, 3, 1.5]) / 6
            )
        }
        check.close(
            weights,
            np.array([6.0, 3.0, 1.5]) / 10.5,
            rtol=1e-5,
            unlike=unlike,
            what="the weights",
        )

    def test_the_readout_is_the_weighted_sum_of_the_rows(self, kata):
        """The readout has one number per feature, not per element: it is a mean of the
        rows in which the rows count by their weights.
        """
        readout, _ = kata.attention_readout_numpy(self.MEMORY, np.log([6.0, 3.0]))
        expected = (
            6 * self.MEMORY[0] + 3 * self.MEMORY[1] + 1.5 * self.MEMORY[2]
        ) / 10.5
        unlike = {
            "the plain mean": self.MEMORY.mean(axis=0),
            "the best row alone": self.MEMORY[0],
            "the sum of the rows": self.MEMORY.sum(axis=0),
        }
        check.close(readout, expected, rtol=1e-5, unlike=unlike, what="the readout")

    def test_an_order_of_the_rows_moves_the_weights_only(self, kata):
        """With the rows in another order, each keeps its weight, and the readout is the
        same: a sum has no order.
        """
        memory, query = numbers(N, H).numpy(), numbers(H).numpy()
        readout, weights = kata.attention_readout_numpy(memory, query)
        again, moved = kata.attention_readout_numpy(memory[::-1], query)
        check.close(moved[::-1], weights, what="the weights of the same rows")
        check.close(again, readout, what="the readout")

    @pytest.mark.edge
    def test_scores_of_1000_stay_finite(self, kata):
        """exp(1000) is inf, and inf / inf is NaN. A softmax does not change if the
        largest score is subtracted from all of them first.
        """
        memory = np.array([[1000.0, 0.0], [999.0, 0.0], [-1000.0, 5.0]])
        readout, weights = kata.attention_readout_numpy(memory, np.array([1.0, 0.0]))
        share = 1 / (1 + math.exp(-1))
        check.close(
            weights, np.array([share, 1 - share, 0.0]), rtol=1e-6, what="the weights"
        )
        check.close(
            readout, np.array([999 + share, 0.0]), rtol=1e-6, what="the readout"
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so both results agree with PyTorch in float64 to 1e-9."""
        memory, query = numbers(N, H).double(), numbers(H).double()
        expected = (memory @ query).softmax(dim=0)
        readout, weights = kata.attention_readout_numpy(memory.numpy(), query.numpy())
        check.close(weights, expected.numpy(), rtol=0, atol=1e-9, what="the weights")
        check.close(
            readout, (expected @ memory).numpy(), rtol=0, atol=1e-9, what="the readout"
        )


def process_by_hand(block, memory, steps, slip=None, read=None):
    """q* in float64, set by set; or what a slip makes of it. `read` may say which
    elements each set has.
    """
    cell = nn.LSTMCell(2 * H, H).double()
    cell.load_state_dict(block.cell.state_dict())
    sets = (
        memory.double()
        if read is None
        else [one[real] for one, real in zip(memory.double(), read, strict=True)]
    )
    found = []
    for elements in sets:
        zeros = torch.zeros(1, H, dtype=torch.float64)
        h, c, q_star = zeros, zeros, torch.cat([zeros, zeros], dim=1)
        for _ in range(min(steps, 1) if slip == "once" else steps):
            before = h
            if slip == "not fed back":
                q_star = torch.zeros_like(q_star)
            if slip == "h restarted":
                h = zeros
            h, c = cell(q_star, (zeros, zeros) if slip == "state lost" else (h, c))
            h, c = (c, h) if slip == "c for h" else (h, c)
            query = {"mean query": elements.mean(dim=0), "state before": before[0]}.get(
                slip, h[0]
            )
            weights = (elements @ query / (H**0.5 if slip == "scaled" else 1)).softmax(
                dim=0
            )
            if slip == "mean":
                weights = torch.ones_like(weights) / len(weights)
            if slip == "ones":
                weights = torch.ones_like(weights)
            if slip == "over H":
                weights = (elements * query).softmax(dim=1).T
            r = (weights * elements.T).sum(dim=1)[None]
            q_star = torch.cat([r, h] if slip == "r first" else [h, r], dim=1)
        found.append(q_star[0])
    return torch.stack(found)


PROCESS_SLIPS = {
    "r first, then h": "r first",
    "the plain mean of the memory in place of attention": "mean",
    "weights that are all 1: a softmax over the wrong dimension": "ones",
    "a softmax over H, not over the elements": "over H",
    "the mean of the memory as the query": "mean query",
    "scores divided by √H": "scaled",
    "the cell's h and c are exchanged": "c for h",
}
STEP_SLIPS = {
    "the state before the cell as the query": "state before",
    "a single step": "once",
    "q* is not fed back": "not fed back",
    "h starts from zeros in each step": "h restarted",
    "h and c start from zeros in each step": "state lost",
}


class TestProcessBlock:
    def block(self, kata):
        """A ProcessBlock and a memory for it."""
        return lively(kata.ProcessBlock(H)), 2 * numbers(B, N, H)

    def wrong(self, block, memory, steps, slips):
        return {
            name: process_by_hand(block, memory, steps, slip).detach()
            for name, slip in slips.items()
        }

    def test_its_only_part_is_a_cell(self, kata):
        """The cell reads q*, which is h and r side by side: 2H numbers. Attention by
        dot products needs no weights.
        """
        block = kata.ProcessBlock(H)
        expected = {
            "weight_ih": [4 * H, 2 * H],
            "weight_hh": [4 * H, H],
            "bias_ih": [4 * H],
            "bias_hh": [4 * H],
        }
        got = {name: list(p.shape) for name, p in block.named_parameters()}
        check.equal(
            got,
            {f"cell.{name}": size for name, size in expected.items()},
            what="the parameters",
        )
        check.that(
            isinstance(block.cell, nn.LSTMCell),
            f"block.cell is {check.describe(block.cell)}, not an LSTMCell",
        )

    def test_one_step_is_the_state_and_what_it_reads(self, kata):
        """The cell runs first, from zeros. Its new h is the query: scores are dot
        products with the rows, weights are shares over the elements, and r is the
        weighted sum. q* is h, then r.
        """
        block, memory = self.block(kata)
        expected = process_by_hand(block, memory, 1).detach()
        h, m = expected[:, :H], memory.double()
        over_sets = torch.einsum("bnh,bh->bn", m, h).softmax(dim=0)
        unlike = self.wrong(block, memory, 1, PROCESS_SLIPS) | {
            "a softmax over the sets, not over the elements": torch.cat(
                [h, torch.einsum("bn,bnh->bh", over_sets, m)], dim=1
            ),
            "one step too many": process_by_hand(block, memory, 2).detach(),
        }
        check.close(block(memory, 1), expected, unlike=unlike, what="q*")

    def test_each_step_reads_what_the_last_one_found(self, kata):
        """q* is the cell's next input, and h and c go on. Without either, a second look
        at the set knows nothing of the first one.
        """
        block, memory = self.block(kata)
        for steps in (2, 4):
            expected = process_by_hand(block, memory, steps).detach()
            unlike = self.wrong(block, memory, steps, STEP_SLIPS | PROCESS_SLIPS)
            check.close(
                block(memory, steps),
                expected,
                unlike=unlike,
                what=f"q* after {steps} steps",
            )

    def test_zero_steps_are_zeros(self, kata):
        """Without a look at the set, nothing is known of it. This is the baseline that
        shows what processing is for.
        """
        block, memory = self.block(kata)
        check.close(block(memory, 0), torch.zeros(B, 2 * H), what="q* after 0 steps")

    def test_masked_elements_have_no_influence(self, kata):
        """Elements where the mask is False have weight 0, whatever they hold: here 0 or
        1e6. A score of 0 does not do: it still gets a share.
        """
        block, memory = self.block(kata)
        mask = torch.arange(N) < torch.tensor([[2], [5], [N]])
        expected = process_by_hand(block, memory, 2, read=mask).detach()
        for number in (0.0, 1e6):
            padded = memory.masked_fill(~mask[..., None], number)
            name = "a mask without effect" + (
                ", or one that makes scores 0" if number == 0 else ""
            )
            unlike = {name: process_by_hand(block, padded, 2).detach()}
            check.close(
                block(padded, 2, mask),
                expected,
                unlike=unlike,
                what=f"q* with {number:g} in the padding",
            )

    @given(case=sizes_and_seeds())
    def test_the_order_of_the_elements_does_not_matter(self, kata, case):
        """A sum has no order, and the set comes in through sums alone. Position codes
        or an LSTM over the memory would bring the order back.
        """
        size, seed = case
        torch.manual_seed(seed)
        block, memory = lively(kata.ProcessBlock(H)), numbers(B, size, H)
        order = torch.randperm(size)
        with torch.no_grad():
            got, expected = block(memory[:, order], 3), block(memory, 3)
        check.close(
            got,
            expected,
            rtol=0,
            atol=1e-5,
            what=f"q* with the elements in the order {order.tolist()}",
        )

    def test_gradients_reach_the_memory(self, kata):
        """The reading is learned, too: an element learns through its score and its
        share of r, in each step.
        """
        block, memory = self.block(kata)
        check.gradients(
            lambda m: block(m, 2), lambda m: process_by_hand(block, m, 2), memory
        )

    @pytest.mark.edge
    def test_a_float64_block_computes_in_float64(self, kata):
        """The zeros of the start have the memory's dtype."""
        block, memory = self.block(kata)
        got = block.double()(memory.double(), 2)
        check.close(
            got,
            process_by_hand(block, memory, 2).detach(),
            rtol=0,
            atol=1e-9,
            what="q*",
        )


CELL = {
    "weight_ih": [4 * H, H],
    "weight_hh": [4 * H, H],
    "bias_ih": [4 * H],
    "bias_hh": [4 * H],
}
SHARED = {
    "read.0.weight": [H, D],
    "read.0.bias": [H],
    "read.2.weight": [H, H],
    "read.2.bias": [H],
    "init.weight": [H, 2 * H],
    "init.bias": [H],
    "W1.weight": [H, H],
    "W2.weight": [H, H],
    "v.weight": [1, H],
} | {f"decoder.{name}": size for name, size in CELL.items()}


class TestReadProcessWriteInit:
    def shapes(self, model):
        return {name: list(p.shape) for name, p in model.named_parameters()}

    def test_the_parts_of_the_set_reader(self, kata):
        """The parts by their names. No shape depends on the number of elements or on
        the number of process steps, for all steps share one cell.
        """
        process = {
            f"process.cell.{name}": size
            for name, size in (CELL | {"weight_ih": [4 * H, 2 * H]}).items()
        }
        for steps in (0, 5):
            model = kata.ReadProcessWrite(D, H, process_steps=steps)
            expected = SHARED | process
            unlike = {
                "both readers are there": expected
                | {f"lstm.{name}_l0": size for name, size in CELL.items()},
                "init takes H inputs, not 2H": expected | {"init.weight": [H, H]},
            }
            check.equal(
                self.shapes(model),
                expected,
                unlike=unlike,
                what=f"the parameters, with {steps} process steps",
            )

    def test_the_parts_of_the_lstm_reader(self, kata):
        """The baseline has an LSTM that reads the elements one after the other. All
        else is the same.
        """
        model = kata.ReadProcessWrite(D, H, reader="lstm")
        got = {
            name: size
            for name, size in self.shapes(model).items()
            if not name.startswith("process.")
        }
        lstm = {f"lstm.{name}_l0": size for name, size in CELL.items()}
        check.equal(got, SHARED | lstm, what="the parameters")
        check.that(
            model.lstm.batch_first,
            "the LSTM needs batch_first=True: what it reads is (B, N, H)",
        )

    def test_the_parts_are_of_their_kinds(self, kata):
        """PyTorch's own layers, and the process block from this kata."""
        model = kata.ReadProcessWrite(D, H)
        check.that(
            len(model.read) == 3,
            f"model.read has {len(model.read)} layers, expected Linear, ReLU, Linear",
        )
        check.that(
            isinstance(model.read[1], nn.ReLU),
            f"model.read[1] is {check.describe(model.read[1])}, not a ReLU",
        )
        for name, kind in {
            "process": kata.ProcessBlock,
            "init": nn.Linear,
            "decoder": nn.LSTMCell,
        }.items():
            part = getattr(model, name)
            check.that(
                isinstance(part, kind),
                f"model.{name} is a {type(part).__name__}, not a {kind.__name__}",
            )

    @pytest.mark.edge
    def test_any_other_reader_is_an_error(self, kata):
        """A misspelled "LSTM" would silently build the other reader."""
        with check.raises(ValueError, "gru"):
            kata.ReadProcessWrite(D, H, reader="gru")


def net(kata, input_size=D, **options):
    """A lively ReadProcessWrite in which the ReLU lets something through of every
    element: no two are read alike.
    """
    model = lively(kata.ReadProcessWrite(input_size, H, **options))
    with torch.no_grad():
        model.read[0].bias.abs_().add_(1)
    return model


def read_by_hand(model, x):
    """The result of `read` for each element alone, in float64."""
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    hidden = (x.double() @ weights["read.0.weight"].T + weights["read.0.bias"]).clamp(
        min=0
    )
    return hidden @ weights["read.2.weight"].T + weights["read.2.bias"]


class TestReadProcessWriteEncode:
    def test_the_memory_has_each_element_read_alone(self, kata):
        """Row n of the memory is read(x[:, n]), in the order of x: the picks later
        point at these rows. A memory that is sorted first would have no order, either,
        but its rows would no longer be the places of x.
        """
        model, x = net(kata), numbers(B, N, D)
        memory, _ = model.encode(x)
        expected = read_by_hand(model, x)
        rising = torch.stack([one[one[:, 0].argsort()] for one in expected])
        unlike = {
            "the memory sorted": expected.sort(dim=1).values,
            "the memory sorted by its first number": rising,
        }
        check.close(memory, expected, unlike=unlike, what="the memory")

    def test_the_code_is_what_processing_makes_of_the_memory(self, kata):
        """As many steps as `process_steps` says, 3 by default, and the whole
        q* (B, 2H).
        """
        for steps, options in (
            (3, {}),
            (1, {"process_steps": 1}),
            (0, {"process_steps": 0}),
        ):
            model, x = net(kata, **options), numbers(B, N, D)
            memory = read_by_hand(model, x)
            others = [other for other in range(5) if other != steps]
            unlike = {
                f"the code of {k} steps": process_by_hand(
                    model.process, memory, k
                ).detach()
                for k in others
            }
            expected = process_by_hand(model.process, memory, steps).detach()
            what = f"the code with {options or 'the default'}"
            check.close(
                model.encode(x)[1],
                expected,
                rtol=1e-3,
                atol=1e-4,
                unlike=unlike,
                what=what,
            )

    def test_another_order_of_x_moves_the_memory_and_leaves_the_code(self, kata):
        """The code has no order, but the memory must keep that of x: row n belongs to
        element n.
        """
        model, x = net(kata), numbers(B, N, D)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        memory, code = model.encode(x)
        moved, same = model.encode(x[:, order])
        check.close(
            moved, memory.detach()[:, order], what="the memory of the permuted x"
        )
        check.close(
            same, code.detach(), rtol=1e-3, atol=1e-4, what="the code of the permuted x"
        )

    def test_different_sets_have_different_codes(self, kata):
        """A constant would be free of order as well. Sets with the same mean
        differ, too.
        """
        model = net(kata, 1)
        x = torch.tensor([[0.4, 0.5, 0.6], [-4.0, 0.5, 5.0]])[..., None]
        code = model.encode(x)[1]
        gap = (code[0] - code[1]).abs().max()
        check.that(
            gap > 1e-3,
            "the sets 0.4, 0.5, 0.6 and -4, 0.5, 5 have codes that differ by "
            f"{gap:.1e} only",
        )

    def test_the_lstm_reads_one_after_the_other(self, kata):
        """The baseline's memory is the LSTM's output at each element. Its code is the
        last h, twice, so that `init` has 2H inputs for either reader.
        """
        model, x = net(kata, reader="lstm"), numbers(B, N, D)
        lstm = nn.LSTM(H, H, batch_first=True).double()
        lstm.load_state_dict(model.lstm.state_dict())
        expected, (h, c) = (part for part in lstm(read_by_hand(model, x)))
        memory, code = model.encode(x)
        unlike = {"what was read, before the LSTM": read_by_hand(model, x)}
        check.close(memory, expected.detach(), unlike=unlike, what="the memory")
        unlike = {
            "h and c side by side": torch.cat([h[0], c[0]], dim=1).detach(),
            "the last c, twice": torch.cat([c[0], c[0]], dim=1).detach(),
        }
        check.close(
            code,
            torch.cat([h[0], h[0]], dim=1).detach(),
            unlike=unlike,
            what="the code",
        )


def write_by_hand(model, x, targets=None, slip=None):
    """Logits and picks in float64, set by set, from the model's own memory and code; or
    with a slip.
    """
    memories, codes = (part.detach().double() for part in model.encode(x))
    parts = {
        name: copy.deepcopy(getattr(model, name)).double()
        for name in ("init", "decoder", "W1", "W2", "v")
    }
    size = x.shape[1]
    logits = torch.full((len(x), size, size), -math.inf, dtype=torch.float64)
    picks = torch.zeros(len(x), size, dtype=torch.int64)
    elements = read_by_hand(model, x)
    for row, (memory, code) in enumerate(zip(memories, codes, strict=True)):
        h = parts["init"](code) if slip == "no tanh" else parts["init"](code).tanh()
        c, chosen, free = (
            h if slip == "c from h" else torch.zeros(H).double(),
            torch.zeros(H).double(),
            [*range(size)],
        )
        chosen = h if slip == "h fed" else chosen
        for t in range(size):
            before = h
            h, c = parts["decoder"](chosen, (h, c))
            seen, other = ("W2", "W1") if slip == "swapped" else ("W1", "W2")
            u = parts["v"](
                (
                    parts[seen](memory)
                    + parts[other](before if slip == "state before" else h)
                ).tanh()
            )[:, 0]
            logits[row, t, free] = u[free]
            pick = picks[row, t] = int(logits[row, t].argmax())
            place = int(
                pick if targets is None or slip == "feeds the pick" else targets[row, t]
            )
            used = pick if slip == "marks the pick" else place
            if slip != "repeats" and used in free:
                free.remove(int(used))
            share = logits[row, t].softmax(dim=0)
            chosen = {
                "context": share @ memory,
                "zeros fed": torch.zeros(H).double(),
                "as read": elements[row, place],
            }
            chosen = chosen.get(slip, memory[place])
    return logits.detach(), picks


WRITE_SLIPS = {
    "an element can be chosen twice": "repeats",
    "the decoder starts from init(code), without tanh": "no tanh",
    "the decoder's c starts as its h": "c from h",
    "scored with the state before the step": "state before",
    "the decoder's input is always zeros": "zeros fed",
    "the decoder's first input is its h, not zeros": "h fed",
    "W1 and W2 are swapped": "swapped",
    "the decoder is fed the attention-weighted memory": "context",
}
FORCED_SLIPS = {
    "used are the elements it would have picked, not the targets": "marks the pick",
    "with targets it still follows its own picks": "feeds the pick",
}


def orders(rows=B, size=N):
    """One random order per set, as targets."""
    return torch.stack([torch.randperm(size) for _ in range(rows)])


class TestReadProcessWriteForward:
    def test_one_model_writes_sets_of_any_size(self, kata):
        """A row of logits has one number per element of *this* set. There are as many
        rows as elements.
        """
        model = kata.ReadProcessWrite(D, H)
        for size in (2, 5):
            logits, picks = model(numbers(B, size, D))
            check.shape(
                logits, (B, size, size), what=f"logits of sets with {size} elements"
            )
            check.shape(picks, (B, size), what=f"picks of sets with {size} elements")
            check.dtype(picks, torch.int64, what="picks")

    @pytest.mark.parametrize("reader", ["set", "lstm"])
    def test_teacher_forcing_uses_the_targets(self, kata, reader):
        """With targets, the decoder reads the target's memory row next, and this
        element is used up. Its own picks are reported and change nothing.
        """
        model, x, targets = net(kata, reader=reader), numbers(B, N, D), orders()
        slips = WRITE_SLIPS | FORCED_SLIPS
        if reader == "lstm":
            slips |= {"the decoder is fed what was read, not the memory": "as read"}
        logits, picks = write_by_hand(model, x, targets)
        unlike = {
            name: floored(write_by_hand(model, x, targets, slip)[0])
            for name, slip in slips.items()
        }
        unlike["log probabilities: there is a log-softmax"] = floored(
            logits.log_softmax(dim=-1)
        )
        got = model(x, targets)
        check.close(
            floored(got[0]),
            floored(logits),
            atol=1e-4,
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
        """Each pick is fed to the next step and cannot be picked again: every element
        is written once. With these picks as targets, teacher forcing goes the same way.
        """
        model, x = net(kata), numbers(B, N, D)
        logits, picks = write_by_hand(model, x)
        wrong = {
            name: write_by_hand(model, x, slip=slip)
            for name, slip in WRITE_SLIPS.items()
        }
        got = model(x)
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
            atol=1e-4,
            unlike=unlike,
            what="logits, -inf shown as -20",
        )
        forced, _ = model(x, picks)
        check.close(
            floored(forced),
            floored(logits),
            atol=1e-4,
            what="logits with its own picks as targets",
        )

    def test_a_row_depends_on_the_targets_before_it(self, kata):
        """Row t is made before target t is known: otherwise the answer leaks in. Target
        t - 1 is what the decoder has just read. Here the targets of steps t and t + 1
        are exchanged.
        """
        model, x, targets = net(kata), numbers(B, N, D), orders()
        before = floored(model(x, targets)[0])
        for t in range(N - 1):
            other = targets.clone()
            other[:, [t, t + 1]] = targets[:, [t + 1, t]]
            after = floored(model(x, other)[0])
            what = (
                f"logits[:, :{t + 1}], which should not know targets[:, {t}:{t + 2}], "
                "-inf shown as -20"
            )
            check.close(after[:, : t + 1], before[:, : t + 1], what=what)
            moved = (after[:, t + 1] - before[:, t + 1]).abs().amax()
            check.that(
                moved > 1e-3,
                f"logits[:, {t + 1}] do not change with targets[:, {t}]: is it fed?",
            )

    @given(case=sizes_and_seeds())
    def test_scores_move_with_the_elements(self, kata, case):
        """With x in another order, every element has the score that it had, at its new
        place. So the same elements are written in the same order, whatever the order in
        which they come.
        """
        size, seed = case
        torch.manual_seed(seed)
        model, x, targets, order = (
            net(kata),
            numbers(B, size, D),
            orders(B, size),
            torch.randperm(size),
        )
        with torch.no_grad():
            logits, _ = model(x, targets)
            moved, _ = model(x[:, order], order.argsort()[targets])
        what = f"logits with x in the order {order.tolist()}, -inf shown as -20"
        check.close(
            floored(moved),
            floored(logits)[:, :, order],
            rtol=1e-3,
            atol=1e-3,
            what=what,
        )

    def test_gradients_reach_all_parts(self, kata):
        """Reader, process block, and all parts of the writer learn from the loss."""
        model, x, targets = net(kata), numbers(B, N, D), orders()
        rows = model(x, targets)[0].log_softmax(dim=-1).flatten(0, 1)
        (-rows[torch.arange(B * N), targets.flatten()].mean()).backward()
        for name, parameter in model.named_parameters():
            check.that(parameter.grad is not None, f"no gradient reaches {name}")
            check.finite(parameter.grad, what=f"gradient of {name}")
            check.that(bool(parameter.grad.any()), f"the gradient of {name} is zero")


SIZE, STEPS = 4, 6


class Table(nn.Module):
    """A model that is called as ReadProcessWrite is: each step has a table of scores
    and a taste for large numbers. It notes what it was called with. In every second
    call its scores are sharp, and the norm of its gradients is far above 2.
    """

    def __init__(self):
        super().__init__()
        self.taste = nn.Parameter(torch.linspace(-1, 1, SIZE))
        table = torch.arange(SIZE * SIZE).sin() + torch.rand(SIZE * SIZE) / 4
        self.table = nn.Parameter(table.reshape(SIZE, SIZE))
        self.read, self.modes = [], []

    def forward(self, x, targets=None):
        self.read.append((x, targets))
        self.modes.append(self.training)
        logits = (3 if len(self.read) % 2 else 30) * (
            self.taste[:, None] * x.transpose(1, 2) + self.table
        )
        return logits, logits.argmax(dim=-1)


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


SMALL = {"batch": 5, "n": SIZE}


@functools.cache
def learned(kata, process_steps, order):
    """150 losses with 32 hidden units, and the share of 500 sets of 4 that are then
    written in rising order.
    """
    torch.manual_seed(0)
    model, generator = kata.ReadProcessWrite(1, 32, process_steps), seeded(0)
    losses = kata.train_sorter(model, steps=150, n=4, order=order, generator=generator)
    x = kata.number_sets(500, 4, generator)
    with torch.no_grad():
        right = (model(x)[1] == kata.set_targets(x)).all(dim=1)
    return losses, right.double().mean().item()


def end(losses, count):
    """The mean of the last losses. The more of them, the less a single bad
    batch counts.
    """
    return sum(losses[-count:]) / count


class TestTrainSorter(training.Contract):
    """Adam on fresh sets. A single batch can have a huge gradient: clipped to norm 2,
    it cannot dominate the averages that Adam keeps.
    """

    model, default_lr, max_norm = Table, 0.005, 2.0
    slips = {
        "the same sets at every step": {"order": lambda batches: batches[:1] * STEPS}
    }

    def train(self, kata, model, **options):
        return kata.train_sorter(model, batch=5, n=SIZE, **options)

    def loss(self, model, batch):
        x, _ = batch
        rows = model(x)[0].log_softmax(dim=-1)
        return -rows.gather(2, x.argsort(dim=1)).mean()

    def wrong_losses(self, model, batch):
        x, _ = batch
        # cross_entropy on (B, N, N) takes dimension 1 for the classes
        places = model(x)[0].log_softmax(dim=1)
        model.read.clear()  # whose length sets the size of the logits
        return {
            "the steps taken for the places": -places.gather(
                1, x.argsort(dim=1).mT
            ).mean(),
            "the sum over the steps": SIZE * self.loss(model, batch),
        }

    def test_every_step_sees_fresh_sets_and_their_targets(self, kata):
        """Step k trains on the k-th `number_sets` from the generator, whatever the
        global one holds. The model gets the targets: that is teacher forcing.
        """
        model, draws = Table(), seeded()
        kata.train_sorter(model, steps=STEPS, generator=seeded(), **SMALL)
        check.equal(
            len(model.read), STEPS, what="the number of times that the model was called"
        )
        first = kata.number_sets(5, SIZE, seeded())
        for step, (x, targets) in enumerate(model.read):
            unlike = {"the sets of the first step again": first} if step else {}
            check.equal(
                x,
                kata.number_sets(5, SIZE, draws),
                unlike=unlike,
                what=f"the x of step {step}",
            )
            check.that(
                targets is not None,
                "the model is called without targets: it follows its own picks",
            )
            check.equal(
                targets, x[..., 0].argsort(dim=1), what=f"the targets of step {step}"
            )

    def test_targets_are_in_the_order_asked_for(self, kata):
        """With order="random" every set gets an order of its own, drawn through the
        generator as well: the same generator gives the same targets, whatever the
        global one holds.
        """
        models = [Table(), Table()]
        for seed, model in enumerate(models):
            torch.manual_seed(seed)
            kata.train_sorter(
                model, steps=2, order="random", generator=seeded(), **SMALL
            )
        for (x, targets), (_, again) in zip(
            *(model.read for model in models), strict=True
        ):
            check.equal(
                targets.sort(dim=1).values,
                torch.arange(SIZE).expand(5, SIZE),
                what="the targets, sorted",
            )
            rising = x[..., 0].argsort(dim=1)
            check.that(
                not torch.equal(targets, rising),
                'the targets are in rising order: pass `order="random"` on',
            )
            check.equal(
                again,
                targets,
                what="the targets with the same generator and another global seed",
            )

    @pytest.mark.timeout(60)
    def test_sorting_is_learned_from_a_code_without_order(self, kata):
        """The key result: more than 90 % of the sets of 4 are written without a
        mistake, and the last 20 losses have a mean below 0.15. Chance is 1 in 24.
        """
        losses, share = learned(kata, 3, "sorted")
        loss = end(losses, 20)
        check.that(
            loss < 0.15,
            f"the last 20 losses have a mean of {loss:.3f}: it should be below 0.15",
        )
        check.that(
            share > 0.9,
            f"{share:.2f} of the sets are written in rising order: it should be more "
            "than 0.9",
        )

    @pytest.mark.timeout(60)
    def test_a_random_target_order_is_not_learned(self, kata):
        """The order of the output matters. The same net on the same sets cannot guess
        an order that is drawn at random: its loss stays at ln(4!) / 4 = 0.795, above
        0.7 in any case.
        """
        losses, _ = learned(kata, 3, "random")
        loss = end(losses, 20)
        check.that(
            loss > 0.7,
            f"the last 20 losses have a mean of {loss:.3f}: who told the net the "
            "order?",
        )

    @pytest.mark.timeout(60)
    def test_processing_helps(self, kata):
        """With 0 process steps the writer starts without a word about the set. The mean
        of its last 40 losses stays more than 1.2 times that of 3 steps.
        """
        without, loss = (
            end(learned(kata, process_steps, "sorted")[0], 40)
            for process_steps in (0, 3)
        )
        said = (
            f"the last 40 losses have means of {without:.4f} with 0 steps and "
            f"{loss:.4f} with 3"
        )
        check.that(
            without > 1.2 * loss,
            f"{said}: the first should be more than 1.2 times the second",
        )


class Reader(nn.Module):
    """A model whose code is a function of x. It notes what was encoded, and whether a
    graph was built.
    """

    def __init__(self, code):
        super().__init__()
        self.code, self.seen, self.graphs = code, [], []
        self.weight = nn.Parameter(torch.ones(()))

    def encode(self, x):
        self.seen.append(x)
        self.graphs.append(torch.is_grad_enabled())
        return x, self.weight * self.code(x)

    def permuted(self, x):
        """The input that was encoded beside x."""
        rows = torch.cat(self.seen)
        check.shape(
            rows,
            (2 * len(x), *x.shape[1:]),
            what="all that was encoded: x, and x once more, permuted",
        )
        first, second = rows.split(len(x))
        check.that(
            torch.equal(first, x) or torch.equal(second, x),
            "the code of x itself is missing",
        )
        return second if torch.equal(first, x) else first


class TestOrderGap:
    def test_each_set_is_permuted_by_an_order_of_its_own(self, kata):
        """The second code is that of the same sets with their elements elsewhere. An
        element moves as a whole, with all its numbers, and stays in its set.
        """
        x, model = torch.randn(4, 7, D), Reader(lambda x: x.sum(dim=1))
        kata.order_gap(model, x)
        moved = model.permuted(x)
        # (sets, new places, old places)
        same = (moved[:, :, None] == x[:, None]).all(dim=-1)
        whole = bool((same.sum(dim=2) == 1).all() and (same.sum(dim=1) == 1).all())
        like = (
            "an element's numbers move apart"
            if torch.equal(moved.sort(dim=1)[0], x.sort(dim=1)[0])
            else ""
        )
        like = (
            "whole sets move, not their elements"
            if torch.equal(moved.sort(dim=0)[0], x.sort(dim=0)[0])
            else like
        )
        check.that(
            whole,
            "the permuted sets do not hold the elements of x, each once and in its "
            "own set",
            like=like,
        )
        order = same.int().argmax(dim=2)
        check.that(
            not (order == torch.arange(7)).all(),
            "no element has moved: the permutation is the identity",
        )
        check.that(
            not (order == order[0]).all(),
            f"all sets have the same permutation, {order[0].tolist()}",
        )

    def test_it_is_the_largest_absolute_difference(self, kata):
        """Of all numbers in all codes, the one that changes most, whichever way
        it changes.
        """
        x = torch.rand(4, 7, 1).sort(dim=1).values
        # rising numbers have the largest sum of place · number: the sign of the change
        # is known
        for sign in (1, -1):
            places = sign * torch.arange(7.0)[:, None]
            model = Reader(
                lambda x, places=places: torch.cat(
                    [(places * x).sum(dim=1), x[:, 0] / 100], dim=1
                )
            )
            gap = kata.order_gap(model, x)
            check.that(
                type(gap) is float,
                f"the gap is {check.describe(gap)}, not a Python float",
            )
            change = (model.code(x) - model.code(model.permuted(x))).double()
            unlike = {
                "the mean of the differences": change.abs().mean().item(),
                "a difference with its sign": change.max().item(),
                "the other difference with its sign": (-change).max().item(),
                "the memories compared, not the codes": (x - model.permuted(x))
                .abs()
                .max()
                .item(),
            }
            check.close(
                gap, change.abs().max().item(), rtol=1e-4, unlike=unlike, what="the gap"
            )

    def test_the_generator_alone_draws_the_orders(self, kata):
        """The same generator gives the same gap, whatever the state of the global one.
        Another seed gives another.
        """
        x = torch.rand(4, 7, 1)
        gaps, permuted = [], []
        for seed, drawn in ((1, 5), (2, 5), (1, 6)):
            torch.manual_seed(seed)
            model = Reader(lambda x: (torch.arange(7.0)[:, None] * x).sum(dim=1))
            gaps.append(kata.order_gap(model, x, torch.Generator().manual_seed(drawn)))
            permuted.append(model.permuted(x))
        check.close(
            gaps[1], gaps[0], what="the gap with a second generator of the same seed"
        )
        like = (
            "the generator is not used" if torch.equal(permuted[2], permuted[0]) else ""
        )
        check.that(
            gaps[2] != gaps[0],
            "a generator of another seed gives the very same gap",
            like=like,
        )

    def test_the_set_reader_has_none_and_the_lstm_reader_has_one(self, kata):
        """Below 1e-4 for the set reader, whatever its weights are: only rounding is
        left. An LSTM has read its elements one after the other, and its code tells,
        even untrained: above 0.01.
        """
        x = kata.number_sets(100, 5)
        gaps = {
            reader: kata.order_gap(kata.ReadProcessWrite(1, 32, reader=reader), x)
            for reader in ("set", "lstm")
        }
        check.that(
            gaps["set"] < 1e-4,
            f"the gap of the set reader is {gaps['set']:.1e}, expected below 1e-4",
        )
        check.that(
            gaps["lstm"] > 0.01,
            f"the gap of the LSTM reader is {gaps['lstm']:.1e}, expected above 0.01",
        )

    @pytest.mark.edge
    def test_no_graph_is_built(self, kata):
        """Measuring needs no gradients, and graphs cost memory."""
        model = Reader(lambda x: x[:, :, 0])
        kata.order_gap(model, torch.rand(2, 3, 1))
        check.equal(
            model.graphs,
            [False] * len(model.graphs),
            what="torch.is_grad_enabled() while encoding",
        )
