"""Specs of kata papers/20: addresses by content and location, writing, the machine step
by step, learning to copy.
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

B, N, M = 3, 5, 4  # sequences, slots, numbers per slot
INPUTS, OUTPUTS, H, T = 2, 6, 7, 8  # numbers per step in and out, hidden units, steps


def rand(*shape):
    """Float32 numbers in ±1."""
    return torch.rand(shape) * 2 - 1


def weights(*shape):
    """Random weights that sum to 1 over the last dimension."""
    return torch.randn(shape).softmax(dim=-1)


def resembling(memory, key, strength, slip=""):
    """Weights (B, N) by content, in float64. The last argument names a slip."""
    memory, key, strength = memory.double(), key.double(), strength.double()
    dots = torch.einsum("bnm,bm->bn", memory, key)
    lengths = (
        memory.square().sum(dim=2).sqrt(),
        key.square().sum(dim=1, keepdim=True).sqrt(),
    )
    cosines = dots / (lengths[0] * lengths[1])
    if slip == "dot":
        cosines = dots
    if slip == "unscaled":
        cosines = dots / lengths[0]
    if slip == "long":
        cosines = dots / lengths[1]
    shares = cosines.exp() if slip == "weak" else (strength * cosines).exp()
    return shares / (
        shares.sum()
        if slip == "all"
        else shares.sum(dim=0 if slip == "batch" else 1, keepdim=True)
    )


def content_slips(*arguments):
    """By name, what some slips lead to."""
    return {
        "a dot product in place of the cosine": resembling(*arguments, "dot"),
        "not divided by the length of the key": resembling(*arguments, "unscaled"),
        "not divided by the lengths of the slots": resembling(*arguments, "long"),
        "weights that sum to 1 over the whole batch": resembling(*arguments, "all"),
        "the strength is not used": resembling(*arguments, "weak"),
        "a softmax over the batch, not over the slots": resembling(*arguments, "batch"),
    }


def shifted(gated, shift, *, wrap=True, ahead=1):
    """Each slot n gives its weight to n − 1, n and n + 1, by the shares in `shift`: a
    loop over both.
    """
    result = [
        torch.zeros(len(gated), dtype=torch.float64) for _ in range(gated.shape[1])
    ]
    for n in range(gated.shape[1]):
        for place, move in enumerate((-ahead, 0, ahead)):
            target = n + move
            if wrap or 0 <= target < gated.shape[1]:
                target %= gated.shape[1]
                result[target] = result[target] + shift[:, place] * gated[:, n]
    return torch.stack(result, dim=1)


def moved(content, previous, gate, shift, sharpen, slip=""):
    """Weights (B, N) by location, in float64. The last argument names a slip."""
    content, previous, gate, shift, sharpen = (
        x.double() for x in (content, previous, gate, shift, sharpen)
    )
    if slip == "gate":
        content, previous = previous, content
    result = gate * content + (1 - gate) * previous
    if slip == "early":
        powers = result**sharpen
        return shifted(powers / powers.sum(dim=1, keepdim=True), shift)
    result = shifted(
        result, shift, wrap=slip != "open", ahead=-1 if slip == "reversed" else 1
    )
    if slip == "softmax":
        return (sharpen * result).softmax(dim=1)
    powers = result**sharpen
    if slip in ("sum", "batch"):
        return powers if slip == "sum" else powers / powers.sum()
    return powers / powers.sum(dim=1, keepdim=True)


def location_slips(*arguments):
    """By name, what some slips lead to."""
    return {
        "content and previous exchanged in the gate": moved(*arguments, "gate"),
        "the direction of the shift reversed": moved(*arguments, "reversed"),
        "no way round: what leaves at one end is lost": moved(*arguments, "open"),
        "sharpened before the shift": moved(*arguments, "early"),
        "the power without dividing by the sum": moved(*arguments, "sum"),
        "divided by the sum over the whole batch": moved(*arguments, "batch"),
        "a softmax in place of the power": moved(*arguments, "softmax"),
    }


class TestContentWeights:
    def test_is_a_softmax_of_strength_times_cosine(self, kata):
        """Each slot is compared to the key of its own sequence. The cosine is the dot
        product of two vectors divided by both lengths, and the softmax goes over
        the slots.
        """
        memory, key, strength = (
            rand(B, N, M),
            rand(B, M),
            torch.tensor([[0.5], [2.0], [4.0]]),
        )
        got = kata.content_weights(memory, key, strength)
        check.close(
            got,
            resembling(memory, key, strength),
            unlike=content_slips(memory, key, strength),
        )

    def test_only_directions_count(self, kata):
        """A slot or key that is longer says nothing else. With a dot product, the
        longest slot would win whatever the key is.
        """
        key, strength = torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0]])
        memory = torch.tensor([[[9.0, 9.0], [0.0, 0.5], [-3.0, 1.0]]])
        expected = resembling(memory, key, strength)
        unlike = {
            "a dot product in place of the cosine": resembling(
                memory, key, strength, "dot"
            )
        }
        check.close(
            kata.content_weights(memory, key, strength),
            expected,
            unlike=unlike,
            what="weights",
        )
        unlike = {
            "a dot product in place of the cosine": resembling(
                memory, 10 * key, strength, "dot"
            )
        }
        unlike["not divided by the length of the key"] = resembling(
            memory, 10 * key, strength, "unscaled"
        )
        got = kata.content_weights(memory, 10 * key, strength)
        check.close(
            got, expected, unlike=unlike, what="weights for a key ten times as long"
        )

    def test_strength_makes_it_sharp(self, kata):
        """Strength 0 looks at all slots alike, strength 50 at the best match alone.
        This is how a network chooses between a blurred and a sharp address.
        """
        memory = torch.eye(N, M).expand(B, -1, -1) + 0.1
        key = torch.eye(M)[[1, 3, 0]]
        flat = kata.content_weights(memory, key, torch.zeros(B, 1))
        unlike = {"the strength times the softmax": torch.zeros(B, N)}
        check.close(
            flat, torch.full((B, N), 1 / N), unlike=unlike, what="weights of strength 0"
        )
        sharp = kata.content_weights(memory, key, torch.full((B, 1), 50.0))
        check.close(
            sharp, torch.eye(N)[[1, 3, 0]], atol=1e-3, what="weights of strength 50"
        )

    def test_gradients_flow_to_memory_key_and_strength(self, kata):
        """An address is soft so that it can be learned: what should have been found
        moves all three.
        """
        check.gradients(
            kata.content_weights,
            resembling,
            rand(B, N, M),
            rand(B, M),
            torch.rand(B, 1) + 1,
        )

    @pytest.mark.edge
    def test_zeros_resemble_nothing(self, kata):
        """An empty slot or key has no direction: similarity 0, not 0 / 0. Values and
        gradients are finite.
        """
        memory, key = rand(2, N, M), rand(2, M)
        memory[0, 2] = 0.0
        key[1] = 0.0
        strength = torch.full((2, 1), 2.0)
        inputs = [x.requires_grad_() for x in (memory, key, strength)]
        got = kata.content_weights(*inputs)
        check.finite(got)
        check.close(got[1], torch.full((N,), 1 / N), what="weights for a key of zeros")
        cosines = F.normalize(memory[0].detach(), dim=1) @ F.normalize(
            key[0].detach(), dim=0
        )
        check.close(
            got[0], (2 * cosines).softmax(dim=0), what="weights with a slot of zeros"
        )
        (got * torch.arange(N)).sum().backward()
        for name, x in zip(("memory", "key", "strength"), inputs, strict=True):
            check.finite(x.grad, what=f"gradient of {name}")

    @pytest.mark.edge
    def test_memory_may_be_non_contiguous(self, kata):
        """A memory that was stored the other way round comes as a transposed view."""
        memory, key, strength = rand(B, M, N).mT, rand(B, M), torch.ones(B, 1)
        check.close(
            kata.content_weights(memory, key, strength),
            resembling(memory, key, strength),
        )

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """And is as exact as float64 can be."""
        memory, key, strength = (
            rand(B, N, M).double(),
            rand(B, M).double(),
            torch.ones(B, 1).double(),
        )
        got = kata.content_weights(memory, key, strength)
        check.dtype(got, torch.float64)
        check.close(got, resembling(memory, key, strength))


@pytest.mark.stretch
class TestContentWeightsNumpy:
    def arrays(self):
        """A memory, keys and strengths."""
        return (
            rand(B, N, M).double().numpy(),
            rand(B, M).double().numpy(),
            np.array([[0.5], [2.0], [4.0]]),
        )

    def test_is_a_softmax_of_strength_times_cosine(self, kata):
        """The same numbers as in PyTorch: dot products, divided by both lengths, times
        strength, then a softmax over the slots.
        """
        arrays = self.arrays()
        tensors = [torch.tensor(array) for array in arrays]
        unlike = {name: slip.numpy() for name, slip in content_slips(*tensors).items()}
        got = kata.content_weights_numpy(*arrays)
        check.close(
            got, resembling(*tensors).numpy(), rtol=1e-5, atol=1e-6, unlike=unlike
        )

    def test_each_sequence_has_its_own_key(self, kata):
        """One memory three times, searched for its slots 4, 0 and 2."""
        memory = np.repeat(self.arrays()[0][:1], B, axis=0)
        got = kata.content_weights_numpy(
            memory, memory[0, [4, 0, 2]], np.full((B, 1), 60.0)
        )
        check.close(
            got.argmax(axis=1),
            np.array([4, 0, 2]),
            what="the slots with the largest weights",
        )
        check.close(
            got.sum(axis=1), np.ones(B), rtol=1e-5, what="the sums over the slots"
        )

    @pytest.mark.edge
    def test_zeros_and_large_strengths_are_finite(self, kata):
        """A slot of zeros has similarity 0. exp(1000) overflows, so subtract the
        largest score before exp.
        """
        memory = np.array([[[1.0, 0.0], [0.0, 0.0], [0.0, -2.0]]])
        got = kata.content_weights_numpy(
            memory, np.array([[3.0, 0.0]]), np.array([[1000.0]])
        )
        check.close(got, np.array([[1.0, 0.0, 0.0]]), what="weights of strength 1000")
        got = kata.content_weights_numpy(memory, np.zeros((1, 2)), np.array([[2.0]]))
        check.close(got, np.full((1, 3), 1 / 3), what="weights for a key of zeros")

    @pytest.mark.edge
    def test_is_exact_and_writes_to_nothing(self, kata):
        """Within 1e-9 of PyTorch in float64. The arrays of the caller stay as
        they are.
        """
        arrays = self.arrays()
        before = [array.copy() for array in arrays]
        got = kata.content_weights_numpy(*arrays)
        check.close(
            got, resembling(*map(torch.tensor, before)).numpy(), rtol=0, atol=1e-9
        )
        check.equal(list(arrays), before, what="the inputs after the call")


@st.composite
def whole_moves(draw):
    """A number of slots, the slot addressed, and a move."""
    slots = draw(st.integers(2, 8))
    return slots, draw(st.integers(0, slots - 1)), draw(st.sampled_from([-1, 0, 1]))


class TestLocationWeights:
    # no shift, no sharpening
    STAY, PLAIN = torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 1)

    def test_the_gate_mixes_content_and_previous(self, kata):
        """Gate 1 takes the address found by content, gate 0 keeps that of the step
        before, 0.25 is in between. Here nothing moves and sharpen is 1, so this is all.
        """
        content, previous = weights(B, N), weights(B, N)
        gate, shift, sharpen = (
            torch.tensor([[1.0], [0.0], [0.25]]),
            self.STAY.expand(B, -1),
            self.PLAIN.expand(B, -1),
        )
        expected = torch.stack(
            [content[0], previous[1], 0.25 * content[2] + 0.75 * previous[2]]
        )
        unlike = {
            "content and previous exchanged in the gate": moved(
                content, previous, 1 - gate, shift, sharpen
            ),
            "a softmax in place of the power": moved(
                content, previous, gate, shift, sharpen, "softmax"
            ),
        }
        check.close(
            kata.location_weights(content, previous, gate, shift, sharpen),
            expected,
            unlike=unlike,
        )

    def test_the_shift_moves_in_a_circle(self, kata):
        """+1 is the third number of `shift`: what was on slot 0 goes to slot 1, and
        from the last slot to slot 0. −1 is the first number and goes the other way.
        """
        previous = torch.tensor([[0.7, 0.1, 0.0, 0.2]]).expand(3, -1)
        shift = torch.eye(3)
        rest = (
            torch.zeros(3, 4),
            previous,
            torch.zeros(3, 1),
            shift,
            self.PLAIN.expand(3, -1),
        )
        expected = torch.tensor(
            [[0.1, 0.0, 0.2, 0.7], [0.7, 0.1, 0.0, 0.2], [0.2, 0.7, 0.1, 0.0]]
        )
        what = "weights [0.7, 0.1, 0, 0.2] moved by −1, 0 and +1"
        unlike = location_slips(*rest)
        del (
            unlike["sharpened before the shift"],
            unlike["the power without dividing by the sum"],
        )
        check.close(kata.location_weights(*rest), expected, unlike=unlike, what=what)

    @given(case=whole_moves())
    def test_a_whole_move_takes_slot_n_to_n_plus_d(self, kata, case):
        """Modulo the number of slots, for any number of slots. Sharpening changes
        nothing, as the address is sharp.
        """
        slots, start, move = case
        previous, shift = torch.eye(slots)[[start]], torch.eye(3)[[move + 1]]
        got = kata.location_weights(
            torch.zeros(1, slots),
            previous,
            torch.zeros(1, 1),
            shift,
            torch.full((1, 1), 2.0),
        )
        check.close(
            got,
            torch.eye(slots)[[(start + move) % slots]],
            what=f"slot {start} of {slots} moved by {move:+d}",
        )

    def test_sharpen_is_a_power_with_sum_1(self, kata):
        """(0.6, 0.4) to the power 3 is (0.216, 0.064): divided by the sum,
        (0.77, 0.23). Without it every step of a sequence would blur the address more.
        """
        content, gate, sharpen = (
            torch.tensor([[0.6, 0.4, 0.0]]),
            torch.ones(1, 1),
            torch.full((1, 1), 3.0),
        )
        arguments = content, torch.zeros(1, 3), gate, self.STAY, sharpen
        unlike = {
            "the power without dividing by the sum": torch.tensor(
                [[0.216, 0.064, 0.0]]
            ),
            "a softmax in place of the power": (3 * content).softmax(dim=1),
            "not sharpened": content,
        }
        expected = torch.tensor([[0.216 / 0.28, 0.064 / 0.28, 0.0]])
        check.close(kata.location_weights(*arguments), expected, unlike=unlike)

    def arguments(self):
        """Everything at once, different in each sequence."""
        return (
            weights(B, N),
            weights(B, N),
            torch.rand(B, 1),
            weights(B, 3),
            1 + 2 * torch.rand(B, 1),
        )

    def test_gate_then_shift_then_sharpen(self, kata):
        """In this order. A shift between slots blurs, and sharpening afterwards repairs
        that; the other way round the blur would stay.
        """
        arguments = self.arguments()
        got = kata.location_weights(*arguments)
        check.close(got, moved(*arguments), unlike=location_slips(*arguments))

    def test_gradients_flow_to_everything(self, kata):
        """Gate, shift and sharpen are outputs of a network, and learn through
        the address.
        """
        check.gradients(kata.location_weights, moved, *self.arguments())

    @pytest.mark.edge
    def test_gradients_are_finite_at_weights_of_0(self, kata):
        """A sharp address has zeros, and a power taken as exp(sharpen · log(0)) has NaN
        as gradient.
        """
        content = torch.eye(N)[[1, 4]].requires_grad_()
        sharpen = torch.tensor([[2.5], [1.0]], requires_grad=True)
        shift = self.STAY.repeat(2, 1).requires_grad_()
        got = kata.location_weights(
            content, torch.eye(N)[[0, 4]], torch.ones(2, 1), shift, sharpen
        )
        (got * torch.arange(N)).sum().backward()
        for name, x in (("content", content), ("shift", shift), ("sharpen", sharpen)):
            check.finite(x.grad, what=f"gradient of {name}")


def written(memory, address, erase, add, slip=""):
    """The memory (B, N, M) after a write, in float64. The last argument names
    a slip.
    """
    memory, address, erase, add = (x.double() for x in (memory, address, erase, add))
    erased = torch.einsum(
        "bn,bm->bnm", torch.ones_like(address) if slip == "all" else address, erase
    )
    added = torch.einsum(
        "bn,bm->bnm", torch.ones_like(address) if slip == "everywhere" else address, add
    )
    if slip == "late":
        return (memory + added) * (1 - erased)
    if slip == "flat":
        return memory - erased + added
    if slip == "drowned":
        return memory * address[:, :, None] * (1 - erase[:, None]) + added
    return memory * (erased if slip == "kept" else 1 - erased) + added


def write_slips(*arguments):
    """By name, what some slips lead to."""
    return {
        "add is not weighted": written(*arguments, "everywhere"),
        "erase is not weighted": written(*arguments, "all"),
        "erased after adding: a part of the new content is lost": written(
            *arguments, "late"
        ),
        "multiplied with what is erased, in place of what is left": written(
            *arguments, "kept"
        ),
        "erase taken from the slot as it is, not as a share of the slot": written(
            *arguments, "flat"
        ),
    }


class TestWriteMemory:
    def test_weight_1_clears_a_slot_and_weight_0_leaves_it(self, kata):
        """Erase 1 and add 0 make a slot empty: the addressed one, and no other."""
        memory, address = rand(B, N, M), torch.eye(N)[[3, 0, 4]]
        erase, add = torch.ones(B, M), torch.zeros(B, M)
        expected = memory.clone()
        expected[torch.arange(B), [3, 0, 4]] = 0
        got = kata.write_memory(memory, address, erase, add)
        unlike = write_slips(memory, address, erase, add)
        del (
            unlike["add is not weighted"],
            unlike["erased after adding: a part of the new content is lost"],
        )
        check.close(got, expected, unlike=unlike)

    def test_erase_then_add(self, kata):
        """With weight 1 and erase 1 the slot holds exactly what was added: the old
        content is gone, the new one whole. The other slots get nothing.
        """
        memory, address = rand(B, N, M), torch.eye(N)[[2, 1, 0]]
        erase, add = torch.ones(B, M), rand(B, M)
        expected = memory.clone()
        expected[torch.arange(B), [2, 1, 0]] = add
        got = kata.write_memory(memory, address, erase, add)
        check.close(got, expected, unlike=write_slips(memory, address, erase, add))

    def test_soft_addresses_write_in_part(self, kata):
        """A slot of weight 0.3 loses 0.3 · erase of each number, and gets 0.3 · add.
        Each sequence has its own address, erase and add.
        """
        arguments = rand(B, N, M), weights(B, N), torch.rand(B, M), rand(B, M)
        unlike = write_slips(*arguments)
        unlike["what is left is weighted, too: weights · (1 − erase)"] = written(
            *arguments, "drowned"
        )
        check.close(
            kata.write_memory(*(part.clone() for part in arguments)),
            written(*arguments),
            unlike=unlike,
        )

    def test_gradients_flow_through_the_memory(self, kata):
        """To the old memory, and to all that was written."""
        check.gradients(
            kata.write_memory,
            written,
            rand(B, N, M),
            weights(B, N),
            torch.rand(B, M),
            rand(B, M),
        )

    @pytest.mark.edge
    def test_the_result_is_a_new_tensor(self, kata):
        """The old memory is needed for the gradient, and belongs to the caller."""
        memory, address, erase, add = (
            rand(B, N, M),
            weights(B, N),
            torch.rand(B, M),
            rand(B, M),
        )
        with check.unchanged(memory=memory, weights=address, erase=erase, add=add):
            got = kata.write_memory(memory, address, erase, add)
        check.independent(got, memory)


class TestNTMInit:
    def test_has_four_layers_and_no_more_parameters(self, kata):
        """The controller reads a step and a vector from memory. Each head asks for
        M + 6 numbers: key M, strength 1, gate 1, shift 3, sharpen 1. The write head
        needs 2M more. The memory is no parameter: it is made in forward.
        """
        model = kata.NTM(INPUTS, OUTPUTS, N, M, H)
        sizes = {
            "controller": (H, INPUTS + M),
            "write_head": (M + 6 + 2 * M, H),
            "read_head": (M + 6, H),
            "output": (OUTPUTS, H + M),
        }
        expected = {f"{name}.weight": list(size) for name, size in sizes.items()}
        expected |= {f"{name}.bias": [size[0]] for name, size in sizes.items()}
        half = {"write_head.weight": [M + 6 + M, H], "write_head.bias": [M + 6 + M]}
        unlike = {
            "a write head with room for erase or add, not for both": expected | half
        }
        got = {name: list(p.shape) for name, p in model.named_parameters()}
        check.equal(got, expected, unlike=unlike, what="parameter shapes")

    def test_knows_the_size_of_its_memory(self, kata):
        """Nothing in the layers depends on the number of slots, so the model has to
        note it.
        """
        model = kata.NTM(INPUTS, OUTPUTS, N, M, H)
        check.equal(
            (model.num_slots, model.slot_size), (N, M), what="(num_slots, slot_size)"
        )


def machine(
    model,
    x,
    *,
    reads="after",
    found="after",
    output="new",
    fed=True,
    floor=1.0,
    crossed=False,
    swapped=False,
    bend=True,
):
    """The three results for a float64 model, head by head and step by step. The options
    are slips.
    """

    def address(numbers, memory, previous):
        key, strength, gate = (
            numbers[:, :M].tanh(),
            F.softplus(numbers[:, M : M + 1]),
            numbers[:, M + 1 : M + 2],
        )
        shift, sharpen = (
            numbers[:, M + 2 : M + 5].softmax(dim=1),
            floor + F.softplus(numbers[:, M + 5 : M + 6]),
        )
        return moved(
            resembling(memory, key, strength), previous, gate.sigmoid(), shift, sharpen
        )

    memory = torch.full((len(x), N, M), 1e-6, dtype=torch.float64)
    at_write = at_read = torch.eye(N, dtype=torch.float64)[[0] * len(x)]
    vector, steps = torch.zeros(len(x), M, dtype=torch.float64), []
    for t in range(x.shape[1]):
        h = model.controller(
            torch.cat(
                [x[:, t].double(), vector if fed else torch.zeros_like(vector)], dim=1
            )
        )
        h = h.tanh() if bend else h
        numbers, before, last = model.write_head(h), memory, vector
        erase, add = numbers[:, M + 6 :].chunk(2, dim=1)[:: -1 if swapped else 1]
        at_write = address(numbers, memory, at_read if crossed else at_write)
        memory = written(memory, at_write, erase.sigmoid(), add.tanh())
        at_read = address(
            model.read_head(h), memory if found == "after" else before, at_read
        )
        vector = torch.einsum(
            "bn,bnm->bm", at_read, memory if reads == "after" else before
        )
        logits = model.output(
            torch.cat([h, vector if output == "new" else last], dim=1)
        )
        steps.append((logits, at_read, at_write))
    return [torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)]


def lively(kata):
    """An NTM with random parameters, far from zero."""
    model = kata.NTM(INPUTS, OUTPUTS, N, M, H)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


class TestNTMForward:
    NAMES = ("logits", "read weights", "write weights")

    def test_returns_logits_and_both_addresses(self, kata):
        """One row per step for each of the three. An address is a share for every slot,
        with sum 1.
        """
        with torch.no_grad():
            got = lively(kata)(rand(B, T, INPUTS))
        check.that(
            isinstance(got, tuple) and len(got) == 3,
            f"expected a tuple of three, got {check.describe(got)}",
        )
        for name, part, size in zip(self.NAMES, got, (OUTPUTS, N, N), strict=True):
            check.shape(part, (B, T, size), what=name)
        for name, part in zip(self.NAMES[1:], got[1:], strict=True):
            check.close(
                part.sum(dim=2), torch.ones(B, T), rtol=1e-3, what=f"sums of the {name}"
            )

    def test_both_heads_start_on_slot_0_and_walk(self, kata):
        """A program written by hand, into the biases: gate 0, the write head moves by
        +1 and the read head by −1. Each head goes on from its own last address, and
        slot 0 is where both have been before the first step.
        """
        model = kata.NTM(INPUTS, OUTPUTS, N, M, H)
        with torch.no_grad():
            for head, move in ((model.write_head, M + 4), (model.read_head, M + 2)):
                head.weight.zero_()
                head.bias.zero_()
                head.bias[M + 1] = -40.0
                head.bias[move] = 40.0
            x = rand(B, T, INPUTS)
            _, reading, writing = model(x)
            _, *wide = machine(copy.deepcopy(model).double(), x, floor=0.0)
        steps = torch.arange(T)
        for name, got, places, other, blurred in (
            ("write", writing, steps + 1, 1 - steps, wide[1]),
            ("read", reading, -steps - 1, steps, wide[0]),
        ):
            ways = places, places - places[0], other
            expected, late, crossed = (
                torch.eye(N)[way % N].expand(B, -1, -1) for way in ways
            )
            unlike = {
                "the step before the start was somewhere else": late,
                "a first address that is spread over all slots": torch.full(
                    (B, T, N), 1 / N
                ),
                "it goes on from the address of the other head": crossed,
                "sharpen is softplus without the 1": blurred,
            }
            check.close(got, expected, atol=1e-3, unlike=unlike, what=f"{name} weights")

    def test_each_step_writes_then_reads(self, kata):
        """The whole machine, compared step by step to another way of writing it, with
        your parameters. In a step the read head looks at the memory that has just been
        written, and the output sees what it finds.
        """
        model, x = lively(kata), rand(B, T, INPUTS)
        slips = {
            "the vector is read before the write": {
                "reads": "before",
                "found": "before",
            },
            "the read head's address was found before the write": {"found": "before"},
            "the output sees the vector of the step before": {"output": "old"},
            "the controller does not see the vector that was read": {"fed": False},
            "sharpen is softplus without the 1": {"floor": 0.0},
            "the write head goes on from the address of the read head": {
                "crossed": True
            },
            "erase and add exchanged": {"swapped": True},
            "a controller without tanh": {"bend": False},
        }
        judge = copy.deepcopy(model).double()
        with torch.no_grad():
            got, expected = model(x), machine(judge, x)
            wrong = {name: machine(judge, x, **slip) for name, slip in slips.items()}
        for place in (2, 1, 0):
            unlike = {name: parts[place] for name, parts in wrong.items()}
            check.close(
                got[place],
                expected[place],
                rtol=1e-2,
                atol=1e-3,
                unlike=unlike,
                what=self.NAMES[place],
            )

    def test_nothing_survives_a_call(self, kata):
        """Every call starts with an empty memory, and no sequence sees the memory of
        another one.
        """
        model, x = lively(kata), rand(B, T, INPUTS)
        with torch.no_grad():
            first, again, alone = model(x)[0], model(x)[0], model(x[1:2])[0]
        check.close(again, first, what="logits of a second call")
        check.close(
            alone,
            first[1:2],
            rtol=1e-3,
            atol=1e-4,
            what="logits of a sequence on its own",
        )

    def test_gradients_flow_back_through_the_memory(self, kata):
        """From the last step's logits alone, back to all that was written before."""
        model, x = lively(kata), rand(B, 4, INPUTS)
        judge = copy.deepcopy(model).double()
        probe = torch.randn(B, OUTPUTS)
        (model(x)[0][:, -1] * probe).sum().backward()
        (machine(judge, x)[0][:, -1] * probe.double()).sum().backward()
        for (name, mine), right in zip(
            model.named_parameters(), judge.parameters(), strict=True
        ):
            check.that(mine.grad is not None, f"no gradient reaches {name}")
            check.close(
                mine.grad, right.grad, rtol=2e-2, atol=5e-3, what=f"gradient of {name}"
            )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """Memory and first addresses take the dtype of x."""
        model, x = lively(kata).double(), rand(B, T, INPUTS).double()
        for name, part in zip(self.NAMES, model(x), strict=True):
            check.dtype(part, torch.float64, what=name)


WIDTH = 3


class Witness(nn.Module):
    """A model that notes what it reads. Its logits are large in every second call, so
    that the norm of its gradients is above 1 and below 1 in turn. With `pair`, it
    returns a tuple.
    """

    def __init__(self, pair=False):
        super().__init__()
        self.now, self.all = nn.Linear(WIDTH + 1, WIDTH), nn.Linear(WIDTH + 1, WIDTH)
        self.pair, self.read, self.modes = pair, [], []

    def forward(self, x):
        self.read.append(x)
        self.modes.append(self.training)
        logits = (9 if len(self.read) % 2 else 0.5) * (
            self.now(x) + self.all(x.cumsum(dim=1))
        )
        return (logits, x, x) if self.pair else logits


TASK = {"width": WIDTH, "max_length": 4, "batch_size": 8}


@functools.cache
def learned(kata, name):
    """A net after 220 steps on sequences of 1 to 4 rows, and its accuracy at lengths 8
    and 12.
    """
    torch.manual_seed(0)
    model = kata.NTM(5, 4, 16, 6, 32) if name == "NTM" else kata.LSTMCopier(5, 4, 48)
    generator = torch.Generator().manual_seed(0)
    kata.train_copy(
        model, steps=220, width=4, max_length=4, batch_size=48, generator=generator
    )
    return model, [
        kata.copy_accuracy(model, length, 4, generator=generator) for length in (8, 12)
    ]


class TestTrainCopy(training.Contract):
    """Steps of Adam on clipped gradients. The norm of the Witness's gradients is above
    1 in every second step only.
    """

    model, max_norm, default_lr = Witness, 1.0, 0.02

    def train(self, kata, model, **options):
        return kata.train_copy(model, **TASK, **options)

    def loss(self, model, x, part="recall", mean=True):
        length = x.shape[1] // 2
        bits, logits = x[:, :length, :WIDTH], model(x)
        if part == "all":
            bits = torch.cat([torch.zeros_like(bits), bits], dim=1)
        chosen = {
            "recall": logits[:, length:],
            "first": logits[:, :length],
            "all": logits,
        }[part]
        surprises = -torch.where(bits == 1, F.logsigmoid(chosen), F.logsigmoid(-chosen))
        return surprises.mean() if mean else surprises.sum()

    def wrong_losses(self, model, x):
        slips = {
            "the loss of the first half, while the bits are shown": {"part": "first"},
            "the loss of both halves": {"part": "all"},
            "the sum over all bits": {"mean": False},
        }
        return {
            name: self.loss(copy.deepcopy(model), x, **slip)
            for name, slip in slips.items()
        }

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """Only the recall half counts: binary cross-entropy before the update, the mean
        over all bits to recall. While it reads, a model may say what it likes.
        """
        super().test_the_first_loss_is_that_of_the_fresh_model(kata)

    def test_each_step_draws_a_length_and_a_batch(self, kata):
        """Lengths from 1 to max_length, both included: with a single length, a net
        could learn to count instead of to copy. New bits come in each step.
        """
        model = Witness()
        kata.train_copy(model, steps=60, **TASK)
        lengths = {x.shape[1] // 2 for x in model.read}
        check.that(
            lengths == {1, 2, 3, 4},
            f"lengths in 60 steps: {sorted(lengths)}, expected 1, 2, 3 and 4",
        )
        for x in model.read:
            check.shape(x, (8, x.shape[1], WIDTH + 1), what="an input of the model")
        longest = [x for x in model.read if x.shape[1] == 8]
        check.that(
            not torch.equal(longest[0], longest[1]), "two steps read the same bits"
        )

    def test_models_may_return_a_tuple(self, kata):
        """An NTM returns its addresses, too. The logits come first, and all else is
        left alone.
        """
        alone, pair = Witness(), Witness(pair=True)
        pair.load_state_dict(alone.state_dict())
        expected = self.train(kata, alone, steps=2, generator=training.seeded())
        got = self.train(kata, pair, steps=2, generator=training.seeded())
        check.close(
            got, expected, rtol=1e-3, what="losses of a model that returns a tuple"
        )

    @pytest.mark.timeout(120)
    def test_a_memory_copies_what_is_longer_than_ever_seen(self, kata):
        """The paper's result in small, first half: trained on one to four rows, the NTM
        has more than 80 % of the bits of eight rows right, and more than 70 % of
        twelve. It has learned the procedure.
        """
        for length, share, least in zip(
            (8, 12), learned(kata, "NTM")[1], (0.8, 0.7), strict=True
        ):
            check.that(
                share > least,
                f"{share:.3f} of the bits are right at length {length}, expected > "
                f"{least}",
            )

    @pytest.mark.timeout(120)
    def test_an_lstm_does_not(self, kata):
        """Second half: after the same training, an LSTM has less than 75 % of the bits
        of eight rows right, at least 15 points behind. It has learned four places, and
        there is no fifth.
        """
        flat, memory = learned(kata, "LSTM")[1][0], learned(kata, "NTM")[1][0]
        check.that(
            flat < 0.75,
            f"the LSTM has {flat:.3f} of the bits right at length 8: it should be "
            "below 0.75",
        )
        check.that(
            memory - flat > 0.15,
            f"NTM {memory:.3f}, LSTM {flat:.3f}: the gap should be above 0.15",
        )

    @pytest.mark.timeout(120)
    def test_both_heads_walk_slot_by_slot(self, kata):
        """What was learned can be seen. While the bits are shown, the write address
        moves by one slot per step, +1 or −1: that is chance. At recall the read address
        goes the same way. Of random moves one in 16 would do so.
        """
        x, _ = kata.make_copy_batch(64, 8, 4, torch.Generator().manual_seed(1))
        model, _ = learned(kata, "NTM")
        with torch.no_grad():
            _, reading, writing = model(x)
        write, read = (
            address.argmax(dim=2).diff(dim=1) % 16
            for address in (writing[:, :8], reading[:, 8:])
        )
        ahead = (write == 1).sum(dim=1, keepdim=True) > (write == 15).sum(
            dim=1, keepdim=True
        )
        way = torch.where(ahead, 1, 15)  # the way of each sequence
        for name, moves in (("write", write), ("read", read)):
            share = (moves == way).float().mean().item()
            says = "moves are by one slot, in the write head's direction"
            check.that(
                share > 0.5, f"{share:.0%} of the {name} head's {says}: expected > 50 %"
            )
