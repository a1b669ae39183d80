"""Specs of kata papers/02: a vocabulary, the recurrence in NumPy and PyTorch, a stream
of chunks, training, writing.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, T, V, H = 2, 5, 7, 4  # texts, characters, vocabulary, hidden units
NAMES = ("W_xh", "W_hh", "W_hy", "b_h", "b_y")
SHAPES = ((H, V), (H, H), (V, H), (H,), (V,))

FINISHED = [
    f"torch.nn.{kind}{cell}" for kind in ("RNN", "LSTM", "GRU") for cell in ("", "Cell")
]
FINISHED += [
    f"torch.{kind}{cell}"
    for kind in ("rnn_tanh", "rnn_relu", "lstm", "gru")
    for cell in ("", "_cell")
]


class Reader(nn.Module):
    """A model that is called as CharRNN is, made of PyTorch's own layer. It notes the
    ids and states that come in, and the states that it returns.
    """

    def __init__(self, vocab_size=V, hidden_size=H):
        super().__init__()
        self.rnn = nn.RNN(vocab_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, vocab_size)
        self.vocab_size = vocab_size
        self.read, self.came_in, self.went_out, self.modes = [], [], [], []

    def forward(self, ids, h=None):
        self.read.append(ids)
        self.came_in.append(h)
        self.modes.append(self.training)
        x = F.one_hot(ids, self.vocab_size).to(self.out.weight.dtype)
        states, last = self.rnn(x, None if h is None else h[None])
        self.went_out.append(last[0].detach())
        return self.out(states), last[0]


def reader(weights):
    """A Reader in float64 with these weights: a dict by the names of
    CharRNN's parameters.
    """
    vocab_size, hidden_size = weights["W_hy"].shape
    model = Reader(vocab_size, hidden_size).double()
    theirs = (
        model.rnn.weight_ih_l0,
        model.rnn.weight_hh_l0,
        model.out.weight,
        model.rnn.bias_ih_l0,
        model.out.bias,
    )
    with torch.no_grad():
        model.rnn.bias_hh_l0.zero_()
        for name, parameter in zip(NAMES, theirs, strict=True):
            parameter.copy_(weights[name])
    return model


def random_weights():
    return {
        name: torch.rand(shape, dtype=torch.float64) * 2 - 1
        for name, shape in zip(NAMES, SHAPES, strict=True)
    }


def slips(weights, ids, h):
    """By name, what some slips in the recurrence lead to: pairs of hidden states
    (B, T, H) and logits (B, T, V).
    """

    def run(
        W_xh,
        W_hh,
        W_hy,
        b_h,
        b_y,
        *,
        start=h,
        biases=1,
        squash=torch.tanh,
        keep=1.0,
        late=False,
        stuck=False,
    ):
        state, states, logits = start.double(), [], []
        for characters in ids.T:
            before = start.double() if stuck else state
            state = squash(
                W_xh[:, characters].T + keep * before @ W_hh.T + biases * b_h
            )
            states.append(state)
            logits.append((before if late else state) @ W_hy.T + b_y)
        return torch.stack(states, dim=1), torch.stack(logits, dim=1)

    return {
        "W_hh is transposed": run(**weights | {"W_hh": weights["W_hh"].T}),
        "b_h is added twice": run(**weights, biases=2),
        "b_h is left out": run(**weights, biases=0),
        "b_y is left out": run(**weights | {"b_y": torch.zeros(V)}),
        "the tanh is missing": run(**weights, squash=lambda x: x),
        "a sigmoid in place of the tanh": run(**weights, squash=torch.sigmoid),
        "a ReLU in place of the tanh": run(**weights, squash=torch.relu),
        "the state before is ignored": run(**weights, keep=0.0),
        "zeros in place of the given state": run(**weights, start=torch.zeros_like(h)),
        "every state comes from the given one, not from the one before": run(
            **weights, stuck=True
        ),
        "the logits are those of the state before": run(**weights, late=True),
    }


def lively(model):
    """The model with CharRNN's parameters drawn anew from ±1, biases too, and these
    weights in float64.
    """
    weights = random_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return model, {
        name: parameter.detach().double()
        for name, parameter in model.named_parameters()
    }


class TestBuildVocab:
    def test_characters_are_sorted_and_there_once(self, kata):
        """Sorted characters make the same numbers in every run, whatever the order in
        which they come up in the text.
        """
        first_seen = ({"s": 0, "e": 1, "a": 2, " ": 3}, ["s", "e", "a", " "])
        expected = ({" ": 0, "a": 1, "e": 2, "s": 3}, [" ", "a", "e", "s"])
        unlike = {
            "numbered in the order of first appearance": first_seen,
            "every occurrence has a number": (
                {" ": 1, "a": 3, "e": 7, "s": 11},
                sorted("sea sees sea"),
            ),
            "the dict leads from number to character": (
                dict(enumerate(expected[1])),
                expected[1],
            ),
        }
        check.equal(kata.build_vocab("sea sees sea"), expected, unlike=unlike)

    @given(text=st.text(alphabet="aZ é,\n7", min_size=1, max_size=12))
    def test_numbers_lead_back_to_the_text(self, kata, text):
        """stoi turns a text into numbers, and itos turns them back. The numbers are 0
        to V − 1, so that they can be columns of W_xh.
        """
        stoi, itos = kata.build_vocab(text)
        check.equal(
            sorted(stoi.values()),
            list(range(len(set(text)))),
            what="the numbers in stoi",
        )
        check.equal(
            "".join(itos[stoi[character]] for character in text),
            text,
            what="the text, there and back",
        )

    @pytest.mark.edge
    def test_an_empty_text_is_an_error(self, kata):
        """Without characters there is no model: say so here."""
        with check.raises(ValueError):
            kata.build_vocab("")


@pytest.mark.stretch
class TestRnnForwardNumpy:
    def arguments(self):
        """Random weights and an h0 as tensors, the ids, and all of them as the
        arguments of the call.
        """
        weights, h0 = random_weights(), torch.rand(H, dtype=torch.float64)
        ids = torch.tensor([3, 0, 6, 3, 1])
        return (
            weights,
            h0,
            ids,
            (h0.numpy().copy(), *(weights[name].numpy() for name in NAMES)),
        )

    def test_follows_the_recurrence(self, kata):
        """Each state comes from the one before and the column of W_xh that the
        character picks; the logits come from the new state. PyTorch's nn.RNN with the
        same weights is the judge.
        """
        weights, h0, ids, arrays = self.arguments()
        model = reader(weights)
        with torch.no_grad():
            states, _ = model.rnn(F.one_hot(ids, V).double()[None], h0[None, None])
            expected = states[0].numpy(), model.out(states[0]).numpy()
        wrong = {
            name: tuple(x[0].numpy() for x in pair)
            for name, pair in slips(weights, ids[None], h0[None]).items()
        }
        before = np.vstack([h0.numpy(), expected[0][:-1]])
        wrong["the states before each character, not after it"] = (
            before,
            before @ arrays[3].T + arrays[5],
        )
        got = kata.rnn_forward_numpy(ids.numpy(), *arrays)
        check.close(got, expected, rtol=1e-4, atol=1e-5, unlike=wrong)

    def test_ids_may_be_a_list(self, kata):
        """A text is a sequence of ints, of any length: here a list of one."""
        *_, arrays = self.arguments()
        h0, W_xh, W_hh, W_hy, b_h, b_y = arrays
        states, logits = kata.rnn_forward_numpy([2], *arrays)
        expected = np.tanh(W_xh[:, 2] + W_hh @ h0 + b_h)
        check.close(states, expected[None], rtol=1e-4, atol=1e-5, what="hidden states")
        check.close(
            logits, (W_hy @ expected + b_y)[None], rtol=1e-4, atol=1e-5, what="logits"
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the results agree with a float64 model of PyTorch
        to 1e-9.
        """
        weights, h0, ids, arrays = self.arguments()
        with torch.no_grad():
            expected = reader(weights)(ids[None], h0[None])[0][0].numpy()
        check.close(
            kata.rnn_forward_numpy(ids.numpy(), *arrays)[1],
            expected,
            rtol=0,
            atol=1e-9,
            what="logits",
        )

    @pytest.mark.edge
    def test_h0_is_left_as_it_was(self, kata):
        """The caller may start a second text from the same h0."""
        *_, ids, arrays = self.arguments()
        before = arrays[0].copy()
        kata.rnn_forward_numpy(ids.numpy(), *arrays)
        check.equal(arrays[0], before, what="h0 after the call")


class TestCharRNN:
    def test_has_five_parameters_and_no_more(self, kata):
        """The names and shapes of the paper's five arrays."""
        shapes = {
            name: list(p.shape) for name, p in kata.CharRNN(V, H).named_parameters()
        }
        check.equal(
            shapes,
            {name: list(shape) for name, shape in zip(NAMES, SHAPES, strict=True)},
            what="the shapes",
        )

    def test_parameters_start_within_the_bound(self, kata):
        """Weights start uniform in ±1/√H, biases at zero. Larger ones would saturate
        the tanh before anything is learned; equal ones would make all hidden
        units alike.
        """
        model, bound = kata.CharRNN(vocab_size=30, hidden_size=100), 0.1
        for name in NAMES[:3]:
            largest, spread = (
                getattr(model, name).abs().max().item(),
                getattr(model, name).std().item(),
            )
            check.that(
                largest <= bound + 1e-6,
                f"{name} has elements up to {largest:.3f}, beyond 1/√100 = {bound}",
            )
            said = (
                f"{name} has a standard deviation of {spread:.4f}, uniform draws have "
                "0.1/√3 = 0.0577"
            )
            check.that(abs(spread - bound / math.sqrt(3)) < 0.004, said)
        check.equal(model.b_h, torch.zeros(100), what="b_h")
        check.equal(model.b_y, torch.zeros(30), what="b_y")

    def test_logits_and_last_state_follow_the_recurrence(self, kata):
        """One row of logits per character, from the state after that character, and the
        state after the last one. PyTorch's nn.RNN with the same weights is the judge.
        """
        model, weights = lively(kata.CharRNN(V, H))
        ids, h = torch.randint(V, (B, T)), torch.rand(B, H)
        with torch.no_grad():
            logits, last = model(ids, h)
            expected, expected_last = reader(weights)(ids, h.double())
            states, _ = reader(weights).rnn(
                F.one_hot(ids, V).double(), h.double()[None]
            )
        wrong = slips(weights, ids, h)
        unlike = {name: pair[1] for name, pair in wrong.items()}
        check.close(logits, expected, unlike=unlike, what="logits")
        unlike = {name: pair[0][:, -1] for name, pair in wrong.items()}
        unlike |= {"the state that came in": h, "the states of all places": states}
        check.close(last, expected_last, unlike=unlike, what="the last h")

    def test_none_means_zeros(self, kata):
        """Without a state every row starts from zeros, whatever the model
        read before.
        """
        model, weights = lively(kata.CharRNN(V, H))
        ids = torch.randint(V, (3, T))
        with torch.no_grad():
            expected = reader(weights)(ids)[0]
            for call in ("first", "second"):
                check.close(
                    model(ids)[0], expected, what=f"logits of the {call} call without h"
                )

    def test_two_parts_with_the_state_handed_on_equal_one_pass(self, kata):
        """The state sums up all that was read. So a text may be cut anywhere, if h goes
        from part to part: training and sampling rest on this.
        """
        model, _ = lively(kata.CharRNN(V, H))
        ids, h = torch.randint(V, (B, T)), torch.rand(B, H)
        with torch.no_grad():
            whole, last = model(ids, h)
            for cut in range(1, T):
                first, middle = model(ids[:, :cut], h)
                second, end = model(ids[:, cut:], middle)
                check.close(
                    torch.cat([first, second], dim=1),
                    whole,
                    what=f"logits, cut after {cut} characters",
                )
                check.close(end, last, what=f"the last h, cut after {cut} characters")

    def test_gradients_go_back_through_all_steps(self, kata):
        """W_hh is used at every step, and its gradient is the sum over all of them. It
        is compared with that of nn.RNN, like the gradients of the other four.
        """
        model, weights = lively(kata.CharRNN(V, H))
        judge, ids = reader(weights), torch.randint(V, (B, T))
        probe = torch.rand(B, T, V)
        (model(ids)[0] * probe).sum().backward()
        (judge(ids)[0] * probe).sum().backward()
        rnn, out = judge.rnn, judge.out
        theirs = (
            rnn.weight_ih_l0,
            rnn.weight_hh_l0,
            out.weight,
            rnn.bias_ih_l0,
            out.bias,
        )
        for name, right in zip(NAMES, theirs, strict=True):
            mine = getattr(model, name).grad
            check.that(
                mine is not None,
                f"{name} gets no gradient: it is not part of the result's graph",
            )
            check.close(mine, right.grad, what=f"gradient of {name}")

    def test_is_written_without_finished_layers(self, kata):
        """The recurrence is the exercise: tanh, products and a loop."""
        with check.forbidden(kata, *FINISHED):
            logits, last = kata.CharRNN(V, H)(torch.randint(V, (B, T)))
        check.shape(logits, (B, T, V), what="logits")
        check.shape(last, (B, H), what="the last h")

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """The zeros that None stands for have the dtype of the weights. The logits
        agree with nn.RNN to 1e-9.
        """
        model, weights = lively(kata.CharRNN(V, H).double())
        ids = torch.randint(V, (B, T))
        with torch.no_grad():
            logits, _ = model(ids)
            check.dtype(logits, torch.float64, what="logits")
            check.close(
                logits, reader(weights)(ids)[0], rtol=0, atol=1e-9, what="logits"
            )


class TestChunks:
    def test_targets_are_the_next_characters(self, kata):
        """At each place the target is the character that follows. With the inputs
        themselves as targets, a model would learn to repeat what it has just read.
        """
        pairs = kata.chunks(torch.arange(50, 56), 5)
        check.that(
            len(pairs) > 0,
            "6 characters hold a chunk of 5 with its targets",
            like="the last chunk left out",
        )
        inputs, targets = pairs[0]
        check.equal(inputs, torch.arange(50, 55), what="inputs")
        check.equal(
            targets,
            torch.arange(51, 56),
            unlike={"the inputs": torch.arange(50, 55)},
            what="targets",
        )

    @given(
        case=st.tuples(st.integers(1, 5), st.integers(0, 15)).map(
            lambda c: (c[0], c[0] + 1 + c[1])
        )
    )
    def test_chunks_follow_one_another(self, kata, case):
        """Side by side, the inputs are the stream again, with no gap and no overlap:
        the state that one chunk ends with is the one that the next begins with. A rest
        that is too short is left out, not made a shorter chunk.
        """
        seq_len, size = case
        expected = [
            list(range(p, p + seq_len))
            for p in range(size - seq_len)
            if p % seq_len == 0
        ]
        overlap = [list(range(p, p + seq_len)) for p in range(size - seq_len)]
        short = [
            [*range(p, min(p + seq_len, size - 1))] for p in range(0, size - 1, seq_len)
        ]
        pairs = kata.chunks(torch.arange(size), seq_len)
        got = [inputs.tolist() for inputs, _ in pairs]
        unlike = {
            "one chunk per place": overlap,
            "a shorter chunk at the end": short,
            "no last chunk": expected[:-1],
        }
        rest = [
            list(range(p, p + seq_len))
            for p in range(size - 1)
            if p % seq_len == 0 and p + seq_len <= size
        ]
        unlike |= (
            {"a last chunk without a target for each input": rest}
            if rest not in (short, expected)
            else {}
        )
        unlike["the rest as a last chunk, with a target too few"] = [
            list(range(p, min(p + seq_len, size))) for p in range(0, size, seq_len)
        ]
        check.equal(
            got,
            expected,
            unlike=unlike,
            what=f"inputs of {size} characters in chunks of {seq_len}",
        )
        following = [[place + 1 for place in chunk] for chunk in expected]
        check.equal(
            [targets.tolist() for _, targets in pairs], following, what="their targets"
        )


# three chunks of 3, and a rest of three, one too short
STREAM = torch.tensor([3, 0, 5, 1, 6, 2, 2, 4, 0, 1, 5, 3])
LENGTH, CHUNKS, STEPS = 3, 3, 7  # seven steps are two passes and one step more


def stream_read(kata, stream):
    """A Reader after training on this stream for seven steps, with all that
    it noted.
    """
    model = Reader()
    kata.train_char_rnn(model, stream, steps=STEPS, seq_len=LENGTH)
    check.that(
        len(model.read) == STEPS,
        f"the model was called {len(model.read)} times in {STEPS} steps",
    )
    return model


@functools.cache
def learned(kata):
    """A CharRNN with 64 units after 300 steps on the sentence, twice over; the ids of
    the sentence; the losses.
    """
    itos = sorted(set(kata.TEXT))
    ids = torch.tensor([itos.index(character) for character in kata.TEXT])
    torch.manual_seed(0)
    model = kata.CharRNN(len(itos), 64)
    losses = kata.train_char_rnn(model, ids.repeat(2), steps=300)
    return model, ids, losses


class TestTrainCharRnn(training.Contract):
    """Chunks in order, each from the last h of the one before, and Adam on gradients
    that are clipped by their common norm, as a long product of steps can explode. Here
    all of them are longer than max_norm.
    """

    model, max_norm, steps = Reader, 0.1, STEPS
    slips = {
        "targets that are the inputs": {"shift": 0},
        "chunks that all start from zeros": {"carry": False},
        "the state carried over into the next pass": {"restart": False},
    }
    test_the_generator_alone_draws = None  # nothing is drawn

    def train(self, kata, model, generator, **options):
        return kata.train_char_rnn(
            model, STREAM, seq_len=LENGTH, max_norm=self.max_norm, **options
        )

    def batches(self, model, steps):
        return [step % CHUNKS * LENGTH for step in range(steps)]

    def loss(self, model, p, shift=1, carry=True, restart=True):
        goes_on = model.went_out and (p > 0 or not restart)
        h = model.went_out[-1] if goes_on and carry else None
        log_shares = model(STREAM[None, p : p + LENGTH], h)[0][0].log_softmax(dim=-1)
        return -log_shares[range(LENGTH), STREAM[p + shift : p + shift + LENGTH]].mean()

    def wrong_losses(self, model, p):
        logits, right = model(STREAM[None, :LENGTH])[0][0], STREAM[1 : LENGTH + 1]
        return {
            "the characters just read as targets": F.cross_entropy(
                logits, STREAM[:LENGTH]
            ),
            "the sum over the places": F.cross_entropy(logits, right, reduction="sum"),
            "the last place only": F.cross_entropy(logits[-1:], right[-1:]),
            "bits in place of nats": F.cross_entropy(logits, right) / math.log(2),
        }

    def test_no_gradient_crosses_the_border_of_a_chunk(self, kata):
        """The values of h are carried on, its graph is not: backpropagation is
        truncated at the border. With the graph, each step would go back to the first
        one, through parameters that have changed since.
        """

        class Watchful(Reader):
            def forward(self, ids, h=None):
                attached = h is not None and h.requires_grad
                check.that(
                    not attached,
                    "the h that came in still has the graph of the chunk before: "
                    "detach it",
                )
                return super().forward(ids, h)

        kata.train_char_rnn(Watchful(), STREAM, steps=STEPS, seq_len=LENGTH)

    def test_reads_the_stream_in_order_and_starts_again(self, kata):
        """Step by step the model reads one chunk, as a batch of one text: here 0, 1, 2,
        then 0, 1, 2, 0 again. Three chunks of 3 take 10 characters, as the last one is
        a target only; 11 or 12 leave a rest that is not read.
        """
        for size in (10, 11, 12):
            for step, ids in enumerate(stream_read(kata, STREAM[:size]).read):
                p = step % CHUNKS * LENGTH
                what = f"the ids read in step {step} from {size} characters"
                check.equal(ids, STREAM[None, p : p + LENGTH], what=what)

    def test_the_state_is_carried_from_chunk_to_chunk(self, kata):
        """A chunk goes on where the one before ended, so it starts from that one's last
        h. Otherwise nothing longer than a chunk could be learned. The first chunk of a
        pass has nothing before it: it starts anew.
        """
        model = stream_read(kata, STREAM)
        for step, h in enumerate(model.came_in):
            if step % CHUNKS == 0:
                fresh = h is None or not h.any()
                check.that(
                    fresh,
                    f"step {step} reads the first chunk of the stream, but not from a "
                    "fresh state",
                )
            else:
                check.that(
                    h is not None,
                    f"step {step} starts without a state, not from the end of step "
                    f"{step - 1}",
                )
                unlike = {"a state of zeros": torch.zeros(1, H)}
                check.close(
                    h,
                    model.went_out[step - 1],
                    unlike=unlike,
                    what=f"the h that step {step} starts from",
                )

    @pytest.mark.timeout(60)
    def test_the_sentence_is_learned_by_heart(self, kata):
        """A fresh CharRNN guesses among 21 characters, at a loss near ln 21 = 3.04.
        After 300 steps on TEXT it knows what follows: the mean of the last 20 losses is
        below 0.1.
        """
        losses = learned(kata)[2]
        end = sum(losses[-20:]) / 20
        check.that(
            2.9 < losses[0] < 3.2,
            f"the first loss is {losses[0]:.3f}: it should be near ln 21 = 3.04",
        )
        check.that(
            end < 0.1,
            f"the last 20 losses have a mean of {end:.3f}: it should be below 0.1",
        )

    @pytest.mark.edge
    def test_a_stream_shorter_than_one_chunk_is_an_error(self, kata):
        """The shortest stream that holds a chunk has seq_len + 1 characters: the last
        one is only a target.
        """
        kata.train_char_rnn(Reader(), STREAM[: LENGTH + 1], steps=1, seq_len=LENGTH)
        with check.raises(ValueError):
            kata.train_char_rnn(Reader(), STREAM[:LENGTH], steps=1, seq_len=LENGTH)


class Steady(nn.Module):
    """A model whose logits are the same at every place."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, ids, h=None):
        return self.logits.expand(*ids.shape, -1), torch.zeros(len(ids), 1)


def chatty():
    """A Reader whose weights are so large that its next character depends on all that
    it has read.
    """
    model = Reader(11, 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0)
    return model


def greedy(model, prompt, n, state_of=lambda ids: ids):
    """The argmax chain by hand: the text so far is read again for each
    new character.
    """
    ids = prompt
    with torch.no_grad():
        for _ in range(n):
            ids = torch.cat([ids, model(state_of(ids)[None])[0][0, -1].argmax()[None]])
    return ids[len(prompt) :]


class TestSample:
    def test_temperature_0_takes_the_best_character_each_time(self, kata):
        """Read the prompt, take the argmax of the last logits, read it in turn, and so
        on. The result holds the n new characters only.
        """
        model, prompt = chatty(), torch.tensor([4])
        expected = greedy(model, prompt, 9)
        unlike = {
            "without a state: each character is guessed from the one before": greedy(
                model, prompt, 9, lambda ids: ids[-1:]
            ),
            "the first new character again and again": expected[:1].repeat(9),
            "the prompt, then the new characters": torch.cat([prompt, expected]),
        }
        check.equal(
            kata.sample(model, prompt, 9, temperature=0), expected, unlike=unlike
        )

    def test_the_whole_prompt_is_read(self, kata):
        """The state after the prompt holds all of it, so the first new character
        depends on more than the prompt's last one. Here four prompts end alike.
        """
        model = chatty()
        for first in range(4):
            prompt = torch.tensor([first, first + 2, 9, 7, 7])
            unlike = {
                "only the prompt's last character was read": greedy(
                    model, prompt[-1:], 8
                ),
                "the prompt's last character was read twice": greedy(
                    model, torch.cat([prompt, prompt[-1:]]), 8
                ),
                "the prompt without its last character was read": greedy(
                    model, prompt[:-1], 8
                ),
            }
            early = model(prompt[None])[0][0, 0].argmax()[None]
            unlike["the first new character follows the prompt's first one"] = (
                torch.cat([early, greedy(model, torch.cat([prompt, early]), 7)])
            )
            unlike["only the prompt's first character was read"] = greedy(
                model, prompt[:1], 8
            )
            got = kata.sample(model, prompt, 8, temperature=0)
            check.equal(
                got,
                greedy(model, prompt, 8),
                unlike=unlike,
                what=f"after the prompt {prompt.tolist()}",
            )

    @pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
    def test_temperature_divides_the_logits(self, kata, temperature):
        """Characters are drawn from softmax(logits / temperature). A low temperature
        comes close to argmax, a high one to equal shares. Compared are the shares of
        1500 draws.
        """
        model = Steady(1.3, 0.4, 2.2)
        ids = kata.sample(
            model,
            torch.tensor([0]),
            1500,
            temperature=temperature,
            generator=torch.Generator(),
        )
        shares = ids.bincount(minlength=3) / len(ids)
        logits = model.logits.detach()
        unlike = {
            "the logits times the temperature": torch.softmax(
                logits * temperature, dim=-1
            )
        }
        if temperature == 1.0:
            unlike = {
                "the best character every time, not a draw": torch.tensor(
                    [0.0, 0.0, 1.0]
                )
            }
        if temperature != 1.0:
            unlike["the temperature is ignored"] = torch.softmax(logits, dim=-1)
        expected = torch.softmax(logits / temperature, dim=-1)
        check.close(
            shares,
            expected,
            rtol=0,
            atol=0.06,
            unlike=unlike,
            what="the shares of the three characters",
        )

    def test_draws_come_from_the_generator(self, kata):
        """With a generator of the same seed the text is the same, whatever the state of
        the global one. Another seed gives another text.
        """
        model, prompt = Steady(0.0, 0.1, 0.2, 0.3), torch.tensor([0])
        texts = []
        for seed in (5, 5, 6):
            torch.manual_seed(len(texts))
            texts.append(
                kata.sample(
                    model, prompt, 40, generator=torch.Generator().manual_seed(seed)
                )
            )
        check.equal(
            texts[1], texts[0], what="the text with a second generator of the same seed"
        )
        check.that(
            not torch.equal(texts[2], texts[0]),
            "a generator of another seed gives the same text: it is unused",
        )

    @pytest.mark.timeout(60)
    def test_a_trained_model_writes_the_sentence(self, kata):
        """The paper's result in small: from its first five characters the model goes on
        with the other 120 of TEXT, one by one. At least 114 of them are right.
        """
        model, ids, _ = learned(kata)
        new = kata.sample(model, ids[:5], 120, temperature=0)
        right = int((new == ids[5:]).sum())
        said = "".join(sorted(set(kata.TEXT))[i] for i in new.tolist())
        check.that(
            right >= 114,
            f"{right} of 120 characters are right; the model writes {said!r}",
        )

    @pytest.mark.edge
    def test_nothing_to_write_is_an_empty_tensor(self, kata):
        """n = 0 gives no characters, as an int64 tensor like any other text."""
        check.equal(
            kata.sample(chatty(), torch.tensor([1]), 0),
            torch.empty(0, dtype=torch.int64),
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False])
    def test_the_model_is_left_as_it_was(self, kata, training):
        """Writing is no training: `training`, the parameters and their `.grad` stay,
        and no graph is built, which would grow with every character.
        """
        model = chatty().train(training)
        model.out.bias.grad = torch.ones(11)
        with check.unchanged(
            **{name.replace(".", "_"): p for name, p in model.named_parameters()}
        ):
            kata.sample(model, torch.tensor([1, 2]), 3)
        check.equal(model.training, training, what="model.training afterwards")
        graphs = [h is not None and h.requires_grad for h in model.came_in]
        check.that(not any(graphs), "the state that is handed on has a graph")

    @pytest.mark.edge
    def test_empty_prompts_and_negative_temperatures_are_errors(self, kata):
        """Without a prompt there are no logits to choose from. A negative temperature
        would prefer the worst characters.
        """
        with check.raises(ValueError):
            kata.sample(chatty(), torch.empty(0, dtype=torch.int64), 3)
        with check.raises(ValueError):
            kata.sample(chatty(), torch.tensor([1]), 3, temperature=-1.0)


@pytest.mark.stretch
class TestRnnBackwardNumpy:
    # character 3 is read three times
    IDS, TARGETS = [3, 0, 6, 3, 1, 3], [0, 6, 3, 1, 3, 4]

    def arguments(self, ids, targets, start=None, scale=1.0):
        """The arguments of the call, and what autograd finds for them: gradients by
        name, as arrays. `scale` is a factor of the logits.
        """
        weights = random_weights()
        weights["W_hy"], weights["b_y"] = (
            scale * weights["W_hy"],
            scale * weights["b_y"],
        )
        h0 = torch.rand(H, dtype=torch.float64) if start is None else start
        judge = reader(weights)
        states, _ = judge.rnn(
            F.one_hot(torch.tensor(ids), V).double()[None], h0[None, None]
        )
        logits = judge.out(states)[0]
        F.cross_entropy(logits, torch.tensor(targets)).backward()
        rnn, out = judge.rnn, judge.out
        theirs = (
            rnn.weight_ih_l0,
            rnn.weight_hh_l0,
            out.weight,
            rnn.bias_ih_l0,
            out.bias,
        )
        expected = {
            name: right.grad.numpy() for name, right in zip(NAMES, theirs, strict=True)
        }
        given = (
            h0.numpy(),
            states[0].detach().numpy(),
            logits.detach().numpy(),
            weights["W_hh"].numpy(),
        )
        return (ids, targets, *given, weights["W_hy"].numpy()), expected

    def slip(self, arguments, **wrong):
        """The gradients of W_xh, W_hh and b_h with one slip on the way back, and the
        right ones of W_hy and b_y.
        """
        ids, targets, h0, hidden, logits, W_hh, W_hy = arguments
        way_back, slope, places = (
            wrong.get("way_back", W_hh),
            wrong.get("slope", 1 - hidden**2),
            len(ids),
        )
        shares = torch.tensor(logits).softmax(dim=1).numpy()
        dlogits = (shares - np.eye(V)[targets]) / wrong.get("count", places)
        da, later = [], np.zeros(H)
        for t in range(places - 1, -1, -1):
            dh = dlogits[t] @ W_hy + later
            da.insert(0, slope[t] * dh)
            later = (dh if wrong.get("flat") else da[0]) @ way_back
        rows = np.array(da)
        before = wrong.get("before", np.vstack([wrong.get("start", h0), hidden[:-1]]))
        through = rows.T @ np.eye(V)[ids], rows.T @ before
        found = (*through, dlogits.T @ hidden, rows.sum(axis=0), dlogits.sum(axis=0))
        return dict(zip(NAMES, found, strict=True))

    def test_gradients_are_those_of_autograd(self, kata):
        """A state acts on its own logits and on the next state, so two terms come back
        to it. All places share the parameters, so each gradient is a sum over the
        places. Autograd is the judge.
        """
        arguments, expected = self.arguments(self.IDS, self.TARGETS)
        hidden, W_hh = arguments[3], arguments[5]
        unlike = {
            "nothing came back from the next place": self.slip(
                arguments, way_back=0 * W_hh
            ),
            "W_hh is not transposed on the way back": self.slip(
                arguments, way_back=W_hh.T
            ),
            "the slope of the tanh is missing": self.slip(
                arguments, slope=0 * hidden + 1
            ),
            "dh goes back through W_hh in place of da": self.slip(arguments, flat=True),
            "the states after each character in place of those before, for W_hh": (
                self.slip(arguments, before=hidden)
            ),
            "those of the sum of the losses, not of the mean": self.slip(
                arguments, count=1
            ),
            "zeros in place of h0": self.slip(arguments, start=0 * hidden[-1]),
            "hidden[-1], the last state, in place of h0": self.slip(
                arguments, start=hidden[-1]
            ),
            "a step uphill: the signs are reversed": {
                name: -right for name, right in expected.items()
            },
        }
        check.close(
            kata.rnn_backward_numpy(*arguments),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
        )

    def test_the_first_state_counts(self, kata):
        """At the first place the state before is h0. With one character, the gradient
        of W_hh is the outer product of da and h0: nothing else is multiplied with W_hh.
        """
        arguments, expected = self.arguments([2], [5])
        got = kata.rnn_backward_numpy(*arguments)
        check.entries(
            {name: got[name].shape for name in got},
            {name: expected[name].shape for name in NAMES},
        )
        unlike = {
            "without h0": np.zeros((H, H)),
            "hidden[-1] in place of h0": self.slip(arguments, start=arguments[3][-1])[
                "W_hh"
            ],
        }
        check.close(
            got["W_hh"],
            expected["W_hh"],
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="gradient of W_hh",
        )

    @given(
        case=st.lists(
            st.tuples(st.integers(0, V - 1), st.integers(0, V - 1)),
            min_size=1,
            max_size=7,
        )
    )
    def test_texts_of_any_length(self, kata, case):
        """Any characters may follow any others, as often as they like."""
        arguments, expected = self.arguments([c for c, _ in case], [c for _, c in case])
        check.close(kata.rnn_backward_numpy(*arguments), expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.edge
    def test_large_logits_give_finite_gradients(self, kata):
        """exp(1000) is infinite. Subtract the largest logit of a row first: the softmax
        is the same.
        """
        arguments, expected = self.arguments(self.IDS, self.TARGETS, scale=5000.0)
        got = kata.rnn_backward_numpy(*arguments)
        check.close(
            got["b_y"], expected["b_y"], rtol=1e-4, atol=1e-6, what="gradient of b_y"
        )

    @pytest.mark.edge
    def test_the_arguments_are_left_as_they_were(self, kata):
        """The caller may need the states and logits again."""
        arguments, _ = self.arguments(self.IDS, self.TARGETS)
        before = [np.array(argument) for argument in arguments]
        kata.rnn_backward_numpy(*arguments)
        for name, then, now in zip(
            ("ids", "targets", "h0", "hidden", "logits"),
            before,
            arguments,
            strict=False,
        ):
            check.equal(np.array(now), then, what=f"{name} after the call")
