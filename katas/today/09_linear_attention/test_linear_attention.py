"""Specs of today/09: linear attention in three forms, the delta rule, an associative
scan, a layer, and its memory.
"""

import math
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from grader.specs import check

B, H, K, V = 2, 3, 5, 7
NEAR = {"rtol": 2e-4, "atol": 2e-4}


def drawn(length, unit=False, decay=1.0):
    """q, k, v, beta and log_decay of B rows and H heads. `unit`: keys have length 1."""
    q, k, v = (
        torch.randn(B, H, length, K),
        torch.randn(B, H, length, K),
        torch.randn(B, H, length, V),
    )
    k = k / k.norm(dim=-1, keepdim=True) if unit else k
    return q, k, v, torch.rand(B, H, length), -decay * torch.rand(B, H, length)


def a_state():
    return torch.randn(B, H, K, V)


def nothing():
    return torch.zeros(B, H, K, V)


# The oracles: float64, one token after another. `slip` names a known mistake to make.


def outer(k, v):
    return torch.einsum("bhk,bhv->bhkv", k, v)


def read(state, q):
    return torch.einsum("bhkv,bhk->bhv", state, q)


def remembered(state, q, k, v, log_decay, slip=""):
    """One token of linear attention: what is read, and the new state."""
    state, q, k, v, fade = (
        x.double() for x in (state, q, k, v, log_decay.exp()[..., None, None])
    )
    if slip == "no decay":
        fade = torch.ones_like(fade)
    if slip == "the log not undone":
        fade = fade.log()
    if slip == "no sum":
        return read(outer(k, v), q), outer(k, v)
    if slip == "faded after the write":
        new = fade * (state + outer(k, v))
        return read(new, q), new
    new = fade * state + outer(k, v)
    if slip == "read before the write":
        return read(fade * state, q), new
    if slip == "read before fading":
        return read(state + outer(k, v), q), new
    if slip == "read from the old state":
        return read(state, q), new
    if slip == "divided by the root of K":
        return read(new, q) / math.sqrt(K), new
    return read(new, q), new


def corrected(state, q, k, v, beta, log_decay, slip=""):
    """One token of the gated delta rule."""
    state, q, k, v, beta, fade = (
        x.double()
        for x in (state, q, k, v, beta[..., None], log_decay.exp()[..., None, None])
    )
    if slip == "no decay":
        fade = torch.ones_like(fade)
    old, state = state, fade * state
    held = read(
        old if slip == "held before fading" else state,
        q if slip == "held by the query" else k,
    )
    change = beta * (v - held)
    if slip == "the values themselves":
        change = beta * v
    if slip == "values weighted, what is held is not":
        change = beta * v - held
    if slip == "without beta":
        change = v - held
    if slip == "the sign turned":
        change = beta * (held - v)
    if slip == "the error added to the values":
        change = beta * (v + held)
    new = state + outer(k, change)
    if slip == "faded after the write":
        new = fade * (old + outer(k, beta * (v - read(old, k))))
    return read(state if slip == "read before the write" else new, q), new


def one_by_one(step, tokens, state=None, slip=""):
    """A rule from the first token to the last: (B, H, T, V), and the state after it."""
    state, outs = nothing() if state is None else state, []
    for token in zip(*(x.unbind(2) for x in tokens), strict=True):
        out, state = step(state, *token, slip=slip)
        outs.append(out)
    return torch.stack(outs, dim=2), state


def summed(q, k, v, log_decay, how):
    """The sum over pairs with a weight that is wrong: `how` gives it from the decays'
    sums G and the decays g.
    """
    g = log_decay.double()
    weights = how(g.cumsum(-1), g)
    return torch.einsum(
        "bhtk,bhsk,bhts,bhsv->bhtv", q.double(), k.double(), weights, v.double()
    )


def of_all(total, g):
    """Every token, later ones too, faded by what lies between."""
    return (-(total[..., :, None] - total[..., None, :]).abs()).exp()


def of_one_decay(total, g):
    """Each pair faded by the difference of two decays, which are not summed."""
    return (g[..., :, None] - g[..., None, :]).exp().tril()


def compare_gradients(function, by_hand, **given):
    """Compare the gradients that each result, of out and state, has for what
    was given.
    """
    given = {name: x.clone().requires_grad_() for name, x in given.items()}
    for place, name in enumerate(("out", "state")):
        found = []
        for results in (function(**given), by_hand(**given)):
            result = results[place]
            check.that(result.requires_grad, f"{name} has no gradient")
            weights = torch.randn(
                result.shape, generator=torch.Generator().manual_seed(place)
            )
            gradients = torch.autograd.grad(
                (result * weights).sum(), list(given.values()), materialize_grads=True
            )
            found.append(dict(zip(given, gradients, strict=True)))
        check.close(*found, **NEAR, what=f"the gradients of {name}, at ")


def told(got, what):
    said = f"{what} returns {type(got).__name__}, expected a pair (out, state)"
    check.that(isinstance(got, (tuple, list)) and len(got) == 2, said)
    return tuple(got)


class TestParallelForm:
    @pytest.mark.parametrize("length", [37, 48])
    def test_sum_over_all_tokens_so_far(self, kata, length):
        """Token t reads every pair up to its own, and each has faded by the decays of
        the tokens behind it. Its own pair is whole, and that of token s has not faded
        by g_s.
        """
        q, k, v, _, g = drawn(length)
        tokens = (q, k, v, g)
        expected, _ = one_by_one(remembered, tokens)
        wrong = {
            "a token's own pair fades by its own decay, too": "faded after the write",
            "token t does not read its own pair: token 0 reads nothing": (
                "read before the write"
            ),
            "decays up to the token before: g_t fades what was written before t": (
                "read before fading"
            ),
            "no decay": "no decay",
            "divided by √K": "divided by the root of K",
        }
        wrong = {
            name: one_by_one(remembered, tokens, slip=slip)[0]
            for name, slip in wrong.items()
        }
        scores = (
            (q @ k.mT)
            .double()
            .masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        )
        wrong |= {
            "later tokens are read, too": summed(q, k, v, g, of_all),
            "decays are not summed between s and t": summed(q, k, v, g, of_one_decay),
            "a softmax over the products": scores.softmax(-1) @ v.double(),
        }
        check.close(kata.parallel_form(q, k, v, g), expected, **NEAR, unlike=wrong)

    def test_half_per_token(self, kata):
        """One head with K = V = 1, all products q·k = 1 and half left per token: 8, 4,
        1 give 8, then 4 + 4, then 1 + 2 + 2.
        """
        ones, half = torch.ones(1, 1, 3, 1), torch.full((1, 1, 3), math.log(0.5))
        values = torch.tensor([8.0, 4.0, 1.0]).view(1, 1, 3, 1)
        got = kata.parallel_form(ones, ones, values, half)
        check.close(got, torch.tensor([8.0, 8.0, 5.0]).view(1, 1, 3, 1), **NEAR)

    def test_strong_decay_stays_finite(self, kata):
        """−16 per token over 40 tokens sums to −640. exp(−640) is 0 in float32 and
        exp(640) infinite, and 0 · ∞ is NaN. The exponent of a pair is small only as a
        difference, taken before exp. Then no decay need be clamped.
        """
        q, k, v, _, _ = drawn(40)
        g = torch.full((B, H, 40), -16.0)
        got = kata.parallel_form(q, k, v, g)
        lost = int((~got.isfinite()).sum())
        check.that(
            not lost,
            f"{lost} numbers are not finite",
            like="a quotient of two exponentials, not one of the gap",
        )
        clamped, _ = one_by_one(remembered, (q, k, v, g.clamp(min=-10)))
        wrong = {"log_decay clamped at −10: pairs fade too little": clamped}
        check.close(got, one_by_one(remembered, (q, k, v, g))[0], **NEAR, unlike=wrong)

    def test_gradients_of_strong_decay_are_finite(self, kata):
        """Above the diagonal the exponent is positive, and exp of it infinite. Masking
        after exp hides that in the values and not in the gradient: 0 · ∞ is NaN. Mask
        the exponent, before exp.
        """
        q, k, v, _, _ = drawn(40)
        g = torch.full((B, H, 40), -16.0, requires_grad=True)
        out = kata.parallel_form(q, k, v, g)
        (gradient,) = torch.autograd.grad(out.sum(), g)
        lost = int((~gradient.isfinite()).sum())
        said = f"{lost} numbers of the gradient of log_decay are not finite"
        check.that(
            not lost,
            said,
            like="masked after exp: the gradient of an infinite number stays",
        )

    def test_gradients(self, kata):
        """All four inputs learn. The gradient of a decay comes from every pair that
        it fades.
        """
        q, k, v, _, g = drawn(6)

        def by_hand(q, k, v, g):
            return one_by_one(remembered, (q, k, v, g))[0]

        check.gradients(kata.parallel_form, by_hand, q, k, v, g, **NEAR)


class TestRecurrentStep:
    def test_fade_write_read(self, kata):
        """S fades, k vᵀ is added, and the query reads the new S: its own pair is
        in it.
        """
        state, (q, k, v, _, g) = a_state(), (x[:, :, 0] for x in drawn(1))
        expected = remembered(state, q, k, v, g)
        wrong = {
            "the new pair fades, too: fade first, then write": "faded after the write",
            "read before the write: a token reads its own pair, too": (
                "read before the write"
            ),
            "read from the state as it was given": "read from the old state",
            "the state did not fade before it was read": "read before fading",
            "no decay": "no decay",
            "log_decay itself as the factor: its exp is what is left": (
                "the log not undone"
            ),
            "the state is overwritten, not added to": "no sum",
            "divided by √K": "divided by the root of K",
        }
        wrong = {
            name: remembered(state, q, k, v, g, slip) for name, slip in wrong.items()
        }
        got = told(kata.recurrent_step(state, q, k, v, g), "recurrent_step")
        check.close(got, expected, **NEAR, unlike=wrong, what="(out, state), at ")

    @pytest.mark.parametrize("length", [21, 32])
    def test_steps_add_up_to_the_sum(self, kata, length):
        """From a state of zeros, step by step: each output is the decayed sum over all
        pairs so far.
        """
        q, k, v, _, g = drawn(length)
        state, outs = nothing(), []
        for t in range(length):
            out, state = kata.recurrent_step(
                state, q[:, :, t], k[:, :, t], v[:, :, t], g[:, :, t]
            )
            outs.append(out)
        total = g.double().cumsum(-1)
        weights = (total[..., :, None] - total[..., None, :]).exp().tril()
        expected = torch.einsum(
            "bhtk,bhsk,bhts,bhsv->bhtv", q.double(), k.double(), weights, v.double()
        )
        check.close(
            torch.stack(outs, 2),
            expected,
            **NEAR,
            what=f"the outputs of {length} steps",
        )

    def test_the_given_state_is_left_alone(self, kata):
        """A server tries several continuations from one state, and backward needs the
        old one. Make a new tensor.
        """
        state, (q, k, v, _, g) = a_state(), (x[:, :, 0] for x in drawn(1))
        with check.unchanged(state=state):
            kata.recurrent_step(state, q, k, v, g)

    def test_gradients(self, kata):
        """What is read depends on the old state as well, and on its decay: nothing
        is detached.
        """
        state, (q, k, v, _, g) = a_state(), (x[:, :, 0] for x in drawn(1))
        compare_gradients(
            kata.recurrent_step, remembered, state=state, q=q, k=k, v=v, log_decay=g
        )


def chunks_of(tokens, chunk, state=None, slip=""):
    """Linear attention by chunks in float64, wrong in one way."""
    state, outs = (nothing() if state is None else state).double(), []
    for part in zip(*(x.double().split(chunk, dim=2) for x in tokens), strict=True):
        q, k, v, g = part
        total = g.cumsum(-1)
        faded = (
            torch.ones_like(total)
            if slip == "the old state does not fade on the way"
            else total.exp()
        )
        inside = one_by_one(remembered, part)[0]
        outs.append(
            inside + faded[..., None] * torch.einsum("bhtk,bhkv->bhtv", q, state)
        )
        left = (total[..., -1:] - total).exp()
        if slip == "pairs by the decays before them":
            left = total.exp()
        if slip == "pairs do not fade":
            left = torch.ones_like(left)
        new = torch.einsum("bht,bhtk,bhtv->bhkv", left, k, v)
        end = total[..., -1].exp()[..., None, None]
        if slip == "the old state stays":
            end = torch.ones_like(end)
        if slip == "chunks forget":
            end = torch.zeros_like(end)
        state = end * state + new
    return torch.cat(outs, dim=2), state


CHUNK_SLIPS = {
    (
        "the state before the chunk is read unfaded: token t is faded by all decays "
        "of the chunk up to g_t"
    ): ("the old state does not fade on the way"),
    "the old state does not fade at the chunk's end": "the old state stays",
    "pairs enter the state faded by the decays before them, not by those behind": (
        "pairs by the decays before them"
    ),
    "pairs enter the state unfaded": "pairs do not fade",
    "the state holds the last chunk alone": "chunks forget",
}


@st.composite
def cuts(draw):
    """T and a chunk: shorter than T, longer, a divisor of it or not."""
    return draw(st.integers(1, 24)), draw(st.integers(1, 30))


class TestChunkedForm:
    @pytest.mark.parametrize(
        "length, chunk", [(37, 16), (48, 16), (37, 5), (12, 1), (37, 64)]
    )
    def test_any_chunk_gives_the_same(self, kata, length, chunk):
        """The chunk decides how the work is done and not what comes out: one token per
        chunk is the recurrence, one chunk of all tokens the product. The last chunk may
        be shorter.
        """
        q, k, v, _, g = drawn(length)
        tokens = (q, k, v, g)
        expected = one_by_one(remembered, tokens)
        wrong = {
            name: chunks_of(tokens, chunk, slip=slip)
            for name, slip in CHUNK_SLIPS.items()
        }
        wrong = {
            name: value
            for name, value in wrong.items()
            if not torch.allclose(value[0], expected[0])
        }
        got = told(kata.chunked_form(*tokens, chunk), "chunked_form")
        check.close(
            got,
            expected,
            **NEAR,
            unlike=wrong,
            what=f"T = {length}, chunk {chunk}: (out, state), at ",
        )

    @pytest.mark.parametrize("first", [16, 20])
    def test_a_given_state_goes_on(self, kata, first):
        """A text in two calls: the second one gets the state of the first, and gives
        what one call gives. Gradients reach that state, too, and pass from chunk
        to chunk.
        """
        tokens = [x for i, x in enumerate(drawn(37)) if i != 3]
        _, state = one_by_one(remembered, [x[:, :, :first] for x in tokens])
        rest = [x[:, :, first:] for x in tokens]
        expected = one_by_one(remembered, rest, state)
        wrong = {"the given state is not used": one_by_one(remembered, rest)}
        got = told(kata.chunked_form(*rest, 16, state.float()), "chunked_form")
        check.close(
            got,
            expected,
            **NEAR,
            unlike=wrong,
            what="the rest of a text: (out, state), at ",
        )

        def by_chunks(state, **tokens):
            return told(
                kata.chunked_form(**tokens, chunk=4, state=state), "chunked_form"
            )

        def by_hand(state, **tokens):
            return one_by_one(remembered, tokens.values(), state)

        q, k, v, g = (x[:, :, :11] for x in rest)
        compare_gradients(
            by_chunks, by_hand, state=state.float(), q=q, k=k, v=v, log_decay=g
        )

    @given(case=cuts())
    def test_any_length(self, kata, case):
        """No token is lost, whatever T and the chunk are, and none is read twice."""
        length, chunk = case
        tokens = [x for i, x in enumerate(drawn(length)) if i != 3]
        expected = one_by_one(remembered, tokens)
        got = told(kata.chunked_form(*tokens, chunk=chunk), "chunked_form")
        check.close(
            got,
            expected,
            **NEAR,
            what=f"T = {length}, chunk {chunk}: (out, state), at ",
        )

    def test_strong_decay(self, kata):
        """Across chunks, too, exponents are differences: −16 per token is finite in
        values and gradients.
        """
        q, k, v, _, _ = drawn(40)
        g = torch.full((B, H, 40), -16.0, requires_grad=True)
        out, state = told(kata.chunked_form(q, k, v, g, 16), "chunked_form")
        expected = one_by_one(remembered, (q, k, v, g.detach()))
        check.close(
            (out.detach(), state.detach()), expected, **NEAR, what="(out, state), at "
        )
        (gradient,) = torch.autograd.grad(out.sum() + state.sum(), g)
        check.finite(gradient, what="the gradient of log_decay")

    @pytest.mark.edge
    def test_one_product_per_chunk(self, kata):
        """A GPU waits after each token of a loop. One product of all tokens makes T × T
        numbers per head.
        """
        q, k, v, _, g = drawn(32)
        with (
            mock.patch.object(
                kata, "recurrent_step", wraps=kata.recurrent_step
            ) as step,
            mock.patch.object(
                kata, "parallel_form", wraps=kata.parallel_form
            ) as product,
        ):
            kata.chunked_form(q, k, v, g, 16)
        check.that(
            not step.called,
            f"recurrent_step is called {step.call_count} times for two chunks of 16 "
            "tokens",
        )
        longest = max(
            [
                [*call.args, *call.kwargs.values()][0].size(-2)
                for call in product.call_args_list
            ],
            default=0,
        )
        check.that(
            longest <= 16,
            f"parallel_form gets {longest} tokens at once, with a chunk of 16",
        )

    @pytest.mark.edge
    def test_the_given_state_is_left_alone(self, kata):
        """A server goes on from one state several times."""
        q, k, v, _, g = drawn(21)
        state = a_state()
        with check.unchanged(state=state):
            kata.chunked_form(q, k, v, g, 16, state)

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """A state of zeros has the dtype of the inputs."""
        tokens = [x.double() for i, x in enumerate(drawn(21)) if i != 3]
        expected = one_by_one(remembered, tokens)
        out, state = told(kata.chunked_form(*tokens), "chunked_form")
        for name, got, right in (
            ("out", out, expected[0]),
            ("state", state, expected[1]),
        ):
            check.dtype(got, torch.float64, what=name)
            check.close(got, right, rtol=1e-9, atol=1e-9, what=name)


@pytest.mark.stretch
class TestCombine:
    def test_first_left_then_right(self, kata):
        """h ↦ 2h + 1, then h ↦ 3h + 5: 3 (2h + 1) + 5 = 6h + 8. In the other order it
        would be 6h + 11.
        """
        left, right = (
            (torch.tensor([float(n)]) for n in pair) for pair in ((2, 1), (3, 5))
        )
        got = told(kata.combine(tuple(left), tuple(right)), "combine")
        wrong = {
            "right first, then left": [[6], [11]],
            "b carried over unfaded": [[6], [6]],
        }
        wrong = {
            name: tuple(torch.tensor(x).float() for x in pair)
            for name, pair in wrong.items()
        }
        check.close(
            got,
            (torch.tensor([6.0]), torch.tensor([8.0])),
            **NEAR,
            unlike=wrong,
            what="(a, b), at ",
        )

    def test_a_step_of_both(self, kata):
        """Whatever h is, the joined step takes it where the two steps take it, element
        by element. A scan joins an element more than once, so it has to stay as it was.
        """
        (a, b, c, d), h = torch.randn(4, 6, B, V), torch.randn(6, B, V)
        with check.unchanged(a=a, b=b, c=c, d=d):
            joined = told(kata.combine((a, b), (c, d)), "combine")
        wrong = {
            "right first, then left": (a * c, a * d + b),
            "b carried over unfaded": (a * c, b + d),
            "factors added": (a + c, c * b + d),
            "b multiplied by its own a": (a * c, a * b + d),
        }
        check.close(
            joined[0] * h + joined[1],
            c * (a * h + b) + d,
            **NEAR,
            what="where the joined step takes h",
        )
        check.close(
            joined, (a * c, c * b + d), **NEAR, unlike=wrong, what="(a, b), at "
        )


class Counted:
    """An operation on tuples, and how many places each of its calls joined."""

    def __init__(self, op):
        self.op, self.calls = op, []

    def __call__(self, left, right):
        self.calls.append(len(left[0]))
        return self.op(tuple(left), tuple(right))


def steps(left, right):
    """First left, then right."""
    return left[0] * right[0], torch.addcmul(right[1], right[0], left[1])


def products(left, right):
    """Matrices that act one after the other: the later one stands on the left."""
    return (right[0] @ left[0],)


def scanned(op, elements):
    """One after the other: the elements up to each place, joined."""
    so_far = [tuple(x[:1] for x in elements)]
    for t in range(1, len(elements[0])):
        so_far.append(op(so_far[-1], tuple(x[t : t + 1] for x in elements)))
    return tuple(torch.cat(parts) for parts in zip(*so_far, strict=True))


@pytest.mark.stretch
class TestAssociativeScan:
    @pytest.mark.parametrize("length", [41, 64, 1, 2])
    def test_a_recurrence(self, kata, length):
        """h_t = a_t h_{t−1} + b_t from h = 0: after the scan, b holds h at
        every place.
        """
        a, b = torch.rand(length, B, V), torch.randn(length, B, V)
        h, states = torch.zeros(B, V), []
        for t in range(length):
            h = a[t] * h + b[t]
            states.append(h)
        expected = (a.cumprod(0), torch.stack(states))
        wrong = {
            "as it was given": (a, b),
            "sums of a and b, whatever op is": (a.cumsum(0), b.cumsum(0)),
            "all elements behind each place, not before it": scanned(
                steps, (a.flip(0), b.flip(0))
            ),
        }
        wrong = {name: value for name, value in wrong.items() if length > 1}
        got = kata.associative_scan(steps, (a, b))
        check.close(
            tuple(got),
            expected,
            **NEAR,
            unlike=wrong,
            what=f"(a, b) at {length} places, at ",
        )

    @pytest.mark.parametrize("length", [19, 32])
    def test_left_is_earlier(self, kata, length):
        """Turns of space do not commute: the first one, then the second is not the
        second, then the first. op gets what is earlier as left.
        """
        turns, _ = torch.linalg.qr(torch.randn(length, 3, 3))
        expected = scanned(products, (turns,))
        exchanged = scanned(lambda left, right: products(right, left), (turns,))
        got = kata.associative_scan(products, (turns,))
        check.close(
            tuple(got),
            expected,
            **NEAR,
            unlike={"left and right exchanged": exchanged},
            what="at ",
        )

    @pytest.mark.parametrize("length", [41, 64, 1000])
    def test_few_calls(self, kata, length):
        """A loop over T needs T − 1 calls, one after the other. A scan joins many
        places at once, and how far a place reaches doubles from call to call.
        """
        op = Counted(lambda left, right: (left[0] + right[0],))
        got = kata.associative_scan(op, (torch.ones(length),))
        check.close(
            tuple(got),
            (torch.arange(1.0, length + 1),),
            **NEAR,
            what=f"a sum of {length} ones, at ",
        )
        most = 2 * math.ceil(math.log2(length)) + 1
        check.that(
            len(op.calls) <= most,
            f"op was called {len(op.calls)} times for {length} places, at most {most}",
        )

    @pytest.mark.edge
    def test_no_elements(self, kata):
        """There is nothing to join, so op need not be called."""
        got = kata.associative_scan(steps, (torch.ones(0, V), torch.ones(0, V)))
        check.equal(
            tuple(got), (torch.ones(0, V), torch.ones(0, V)), what="of T = 0, at "
        )

    @pytest.mark.edge
    def test_the_elements_are_left_alone(self, kata):
        """The caller may need a and b again, as a backward pass does."""
        a, b = torch.rand(6, V), torch.randn(6, V)
        with check.unchanged(a=a, b=b):
            kata.associative_scan(steps, (a, b))


DELTA_SLIPS = {
    "β v is written, not β times the error v − held": "the values themselves",
    "β multiplies v alone, not the whole error": "values weighted, what is held is not",
    "the error counts in full: β is not used": "without beta",
    "held was looked up before the state faded": "held before fading",
    "held was looked up with the query, not with the key": "held by the query",
    "the new pair fades, too": "faded after the write",
    "read before the write": "read before the write",
    "no decay": "no decay",
    "held − v: the error has the wrong sign": "the sign turned",
    "v + held": "the error added to the values",
}


class TestDeltaStep:
    def test_fade_look_up_correct_read(self, kata):
        """The error is that of the faded memory. β times it is written under the key,
        and the query reads the result. The rule does not care how long the key is.
        """
        state, (q, k, v, beta, g) = a_state(), (x[:, :, 0] for x in drawn(1))
        expected = corrected(state, q, k, v, beta, g)
        wrong = {
            name: corrected(state, q, k, v, beta, g, slip)
            for name, slip in DELTA_SLIPS.items()
        }
        wrong["the key was divided by its length: that is the caller's part"] = (
            corrected(state, q, k / k.norm(dim=-1, keepdim=True), v, beta, g)
        )
        got = told(kata.delta_step(state, q, k, v, beta, g), "delta_step")
        check.close(got, expected, **NEAR, unlike=wrong, what="(out, state), at ")

    def test_the_second_write_replaces_the_first(self, kata):
        """One key, two values, β = 1 and no decay: reading gives the second value.
        Linear attention gives the sum.
        """
        _, k, v, _, _ = drawn(2, unit=True)
        key, ones, still = k[:, :, 0], torch.ones(B, H), torch.zeros(B, H)
        _, state = told(
            kata.delta_step(nothing(), key, key, v[:, :, 0], ones, still), "delta_step"
        )
        out, _ = told(
            kata.delta_step(state, key, key, v[:, :, 1], ones, still), "delta_step"
        )
        wrong = {"the sum of both values": v.sum(2), "the first value": v[:, :, 0]}
        check.close(
            out,
            v[:, :, 1],
            **NEAR,
            unlike=wrong,
            what="what the key reads after the second write",
        )

    def test_beta_0_writes_nothing(self, kata):
        """A token that is not worth keeping: the memory only fades."""
        state, (q, k, v, _, g) = a_state(), (x[:, :, 0] for x in drawn(1, unit=True))
        # before the call, which might write to the state
        faded = g.exp()[..., None, None] * state
        _, new = told(
            kata.delta_step(state, q, k, v, torch.zeros(B, H), g), "delta_step"
        )
        check.close(new, faded, **NEAR, what="the state after a write with β = 0")

    def test_other_keys_are_not_disturbed(self, kata):
        """Keys at right angles have places of their own: writing one leaves what the
        others read.
        """
        values, ones, still = (
            torch.randn(K, B, H, V),
            torch.ones(B, H),
            torch.zeros(B, H),
        )
        keys, state = torch.eye(K).expand(B, H, K, K), nothing()
        for i in range(K):
            _, state = told(
                kata.delta_step(
                    state, keys[:, :, i], keys[:, :, i], values[i], ones, still
                ),
                "delta_step",
            )
        check.close(
            state,
            values.permute(1, 2, 0, 3),
            **NEAR,
            what="the state, whose row i is what key i reads",
        )

    def test_the_given_state_is_left_alone(self, kata):
        """As in recurrent_step: make a new tensor."""
        state, (q, k, v, beta, g) = a_state(), (x[:, :, 0] for x in drawn(1, unit=True))
        with check.unchanged(state=state):
            kata.delta_step(state, q, k, v, beta, g)

    def test_gradients(self, kata):
        """What is held depends on the state, the key and the decay, and takes part in
        the gradient: detach nothing.
        """
        state, (q, k, v, beta, g) = a_state(), (x[:, :, 0] for x in drawn(1, unit=True))
        compare_gradients(
            kata.delta_step,
            corrected,
            state=state,
            q=q,
            k=k,
            v=v,
            beta=beta,
            log_decay=g,
        )


def delta_chunks_of(tokens, chunk, slip, state=None):
    """The gated delta rule by chunks in float64, by an inverse, wrong in one way."""
    state, outs = (nothing() if state is None else state).double(), []
    for q, k, v, beta, g in zip(
        *(x.double().split(chunk, dim=2) for x in tokens), strict=True
    ):
        total, n = g.cumsum(-1), g.size(-1)
        fade = (total[..., :, None] - total[..., None, :]).exp()
        if slip == "no decay in L":
            fade = torch.ones_like(fade)
        products = (q if slip == "queries in L" else k) @ k.mT
        weights = torch.ones_like(beta) if slip == "no beta in L" else beta
        below = (weights[..., None] * products * fade).tril(-1)
        if slip == "beta per column":
            below = (beta[..., None, :] * products * fade).tril(-1)
        if slip == "no system":
            below = torch.zeros_like(below)
        carried = (
            torch.ones_like(total)
            if slip == "the state is held unfaded"
            else total.exp()
        )
        held = carried[..., None] * (k @ state)
        if slip == "the state is not held":
            held = torch.zeros_like(held)
        wanted = beta[..., None] * (v - held)
        eye = torch.eye(n, dtype=torch.float64)
        u = (
            (eye - below) @ wanted
            if slip == "first order"
            else torch.linalg.inv(eye + below) @ wanted
        )
        if slip == "the sign of L":
            u = torch.linalg.inv(eye - below) @ wanted
        u = beta[..., None] * u if slip == "beta twice" else u
        out, state = one_by_one(remembered, (q, k, u, g), state)
        outs.append(out)
    return torch.cat(outs, dim=2), state


DELTA_CHUNK_SLIPS = {
    "L without decay": "no decay in L",
    "L without β": "no beta in L",
    "β of the column in L: row t has β_t": "beta per column",
    "L from queries and keys: it is keys alone": "queries in L",
    "β twice": "beta twice",
    "(1 − L) r for the inverse of 1 + L: the first order alone": "first order",
    "1 − L in place of 1 + L": "the sign of L",
    "r in place of u: corrections inside the chunk do not see each other": "no system",
    "what the chunk's state holds is not faded by exp(G_t)": (
        "the state is held unfaded"
    ),
    "what the chunk's state holds is not taken off": "the state is not held",
}


@pytest.mark.stretch
class TestDeltaChunked:
    @pytest.mark.parametrize(
        "length, chunk", [(37, 16), (48, 16), (37, 5), (12, 1), (37, 64)]
    )
    def test_any_chunk_gives_the_same(self, kata, length, chunk):
        """In a chunk, a correction depends on those before it. One triangular system
        solves all, and gives what the rule gives token by token, whatever the chunk.
        """
        tokens = drawn(length, unit=True, decay=0.3)
        expected = one_by_one(corrected, tokens)
        wrong = {
            name: delta_chunks_of(tokens, chunk, slip)
            for name, slip in DELTA_CHUNK_SLIPS.items()
        }
        q, k, v, beta, g = tokens
        wrong["linear attention: β v is written, nothing is corrected"] = one_by_one(
            remembered, (q, k, beta[..., None] * v, g)
        )
        wrong = {
            name: value
            for name, value in wrong.items()
            if not torch.allclose(value[0], expected[0])
        }
        got = told(kata.delta_chunked(*tokens, chunk), "delta_chunked")
        check.close(
            got,
            expected,
            **NEAR,
            unlike=wrong,
            what=f"T = {length}, chunk {chunk}: (out, state), at ",
        )

    @pytest.mark.parametrize("first", [16, 20])
    def test_a_given_state_goes_on(self, kata, first):
        """The first chunk corrects what the given state holds."""
        tokens = drawn(37, unit=True)
        _, state = one_by_one(corrected, [x[:, :, :first] for x in tokens])
        rest = [x[:, :, first:] for x in tokens]
        expected = one_by_one(corrected, rest, state)
        wrong = {
            "the given state is not used": one_by_one(corrected, rest),
            "what the given state holds is not taken off": delta_chunks_of(
                rest, 16, "the state is not held", state
            ),
        }
        got = told(kata.delta_chunked(*rest, 16, state.float()), "delta_chunked")
        check.close(
            got,
            expected,
            **NEAR,
            unlike=wrong,
            what="the rest of a text: (out, state), at ",
        )

    @given(case=cuts())
    def test_any_length(self, kata, case):
        """The last chunk may be shorter, down to one token."""
        length, chunk = case
        tokens = drawn(length, unit=True)
        got = told(kata.delta_chunked(*tokens, chunk=chunk), "delta_chunked")
        expected = one_by_one(corrected, tokens)
        check.close(
            got,
            expected,
            **NEAR,
            what=f"T = {length}, chunk {chunk}: (out, state), at ",
        )

    def test_gradients(self, kata):
        """Keys, values, β and decays learn through the system, too, and what came
        before through the given state.
        """
        q, k, v, beta, g = drawn(11, unit=True)

        def by_hand(state, **tokens):
            return one_by_one(corrected, tokens.values(), state)

        def by_chunks(state, **tokens):
            return told(
                kata.delta_chunked(**tokens, chunk=4, state=state), "delta_chunked"
            )

        compare_gradients(
            by_chunks, by_hand, state=a_state(), q=q, k=k, v=v, beta=beta, log_decay=g
        )

    def test_strong_decay(self, kata):
        """L has exponents, too: differences, masked before exp. −16 per token is finite
        in values and gradients.
        """
        q, k, v, beta, _ = drawn(40, unit=True)
        g = torch.full((B, H, 40), -16.0, requires_grad=True)
        out, state = told(kata.delta_chunked(q, k, v, beta, g, 16), "delta_chunked")
        expected = one_by_one(corrected, (q, k, v, beta, g.detach()))
        check.close(
            (out.detach(), state.detach()), expected, **NEAR, what="(out, state), at "
        )
        (gradient,) = torch.autograd.grad(out.sum() + state.sum(), g)
        check.finite(gradient, what="the gradient of log_decay")

    @pytest.mark.edge
    def test_one_system_per_chunk(self, kata):
        """A loop over tokens would give the same, and leave the chunk without use."""
        with mock.patch.object(kata, "delta_step", wraps=kata.delta_step) as step:
            kata.delta_chunked(*drawn(32, unit=True), 16)
        check.that(
            not step.called,
            f"delta_step is called {step.call_count} times for two chunks of 16 tokens",
        )

    @pytest.mark.edge
    def test_the_given_state_is_left_alone(self, kata):
        """A server goes on from one state several times."""
        state = a_state()
        with check.unchanged(state=state):
            kata.delta_chunked(*drawn(21, unit=True), 16, state)

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """A state of zeros, and the ones of 1 + L, have the dtype of the inputs."""
        tokens = [x.double() for x in drawn(21, unit=True)]
        expected = one_by_one(corrected, tokens)
        out, state = told(kata.delta_chunked(*tokens), "delta_chunked")
        for name, got, right in (
            ("out", out, expected[0]),
            ("state", state, expected[1]),
        ):
            check.dtype(got, torch.float64, what=name)
            check.close(got, right, rtol=1e-9, atol=1e-9, what=name)


C, HEADS, D, WIDTH = 12, 3, 4, 5


@pytest.mark.stretch
class TestGatedDeltaNetInit:
    def test_names_and_shapes(self, kata):
        """The names that a state dict has. Biases are in beta and decay alone."""
        layer = kata.GatedDeltaNet(C, HEADS, WIDTH)
        expected = {
            "qkv.weight": (3 * C, C),
            "conv": (3 * C, WIDTH),
            "norm.weight": (D,),
        }
        expected |= {f"{name}.weight": (C, C) for name in ("gate", "proj")}
        expected |= {f"{name}.weight": (HEADS, C) for name in ("beta", "decay")}
        expected |= {f"{name}.bias": (HEADS,) for name in ("beta", "decay")}
        found = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
        check.equal(sorted(found), sorted(expected), what="names in the state dict")
        check.equal(found, expected, what="shapes in the state dict")
        learned = sorted(name for name, _ in layer.named_parameters())
        check.equal(learned, sorted(expected), what="names of the parameters")

    def test_the_memory_starts_long(self, kata):
        """sigmoid(4) = 0.98 is left per token. With a bias of 0 half would be left, and
        nothing older than a few tokens could be learned. The bias of beta is none of
        this, and stays near 0.
        """
        state = kata.GatedDeltaNet(C, HEADS, WIDTH).state_dict()
        bias, other = state["decay.bias"], state["beta.bias"]
        left = ", ".join(f"{share:.2f}" for share in bias.sigmoid().tolist())
        check.that(
            bool(bias.abs().max() >= 1),
            f"what is left per token starts at {left}: nn.Linear draws biases near 0",
        )
        check.close(bias, torch.full((HEADS,), 4.0), what="the bias of decay")
        said = (
            f"the bias of beta starts at up to {other.abs().max():.2g}, expected near "
            "0, as nn.Linear draws it"
        )
        check.that(bool(other.abs().max() < 1), said)

    def test_the_convolution_starts_drawn(self, kata):
        """Features with equal filters would stay alike, and filters of zeros pass
        nothing on. With a standard deviation of 1 / √width, the sum over `width` tokens
        is as large as its terms.
        """
        filters = kata.GatedDeltaNet(24, 2, 16).state_dict()["conv"]
        spread = filters.std().item() * math.sqrt(16)
        said = (
            f"conv's standard deviation is {spread:.3g} / √width, expected between "
            "half and twice 1 / √width"
        )
        check.that(0.4 < spread < 2.5, said)
        check.that(
            len(filters[:, 0].unique()) == 72,
            "some filters of conv are equal: draw each of the 72",
        )

    def test_the_norm_subtracts_no_mean(self, kata):
        """RMSNorm divides by the root mean square of a head's features, and starts with
        weights of 1.
        """
        x = torch.randn(6, D) + 2
        size, centred = (
            x.square().mean(-1, keepdim=True).sqrt(),
            x - x.mean(-1, keepdim=True),
        )
        wrong = {
            "a layer norm, which subtracts the mean": centred
            / centred.square().mean(-1, keepdim=True).sqrt()
        }
        got = kata.GatedDeltaNet(C, HEADS, WIDTH).norm(x)
        check.close(
            got.detach(),
            x / size,
            rtol=1e-3,
            atol=1e-3,
            unlike=wrong,
            what="norm of six rows",
        )

    def test_width_is_4_by_default(self, kata):
        """Four tokens: the token itself and three before it."""
        check.equal(
            tuple(kata.GatedDeltaNet(6, 2).state_dict()["conv"].shape),
            (18, 4),
            what="the shape of conv",
        )

    @pytest.mark.edge
    def test_heads_divide_the_features(self, kata):
        """12 features cannot be shared by 5 heads. The message says both numbers."""
        with check.raises(ValueError, 12, 5):
            kata.GatedDeltaNet(12, 5)


def convolved(x, weight):
    """The short convolution as a sum over distances."""
    out = torch.zeros_like(x)
    for back in range(weight.size(1)):
        out[:, back:] += x[:, : x.size(1) - back] * weight[:, -1 - back]
    return out


def unit(x, dim=-1):
    return x / x.norm(dim=dim, keepdim=True)


def layer_by_hand(w, x, slip=""):
    """The layer in float64, token by token. `slip` names a known mistake."""
    x = x.double()
    projected = x @ w["qkv.weight"].T
    mixed = projected if slip == "no convolution" else convolved(projected, w["conv"])
    if slip == "convolution after silu":
        mixed = convolved(projected * projected.sigmoid(), w["conv"])
    elif slip != "no silu":
        mixed = mixed * mixed.sigmoid()
    if slip in OF_VALUES:
        mixed = torch.cat(
            [
                mixed[..., : 2 * C],
                OF_VALUES[slip](convolved(projected, w["conv"])[..., 2 * C :]),
            ],
            dim=-1,
        )
    parts = [
        part.unflatten(-1, (HEADS, D)).transpose(1, 2)
        for part in mixed.split(C, dim=-1)
    ]
    if slip == "heads first":
        parts = list(mixed.unflatten(-1, (HEADS, 3, D)).permute(3, 0, 2, 1, 4))
    if slip == "heads by view":
        parts = [part.reshape(len(x), HEADS, -1, D) for part in mixed.split(C, dim=-1)]
    q, k, v = parts
    if slip == "keys over tokens":
        q, k = unit(q, 2), unit(k, 2)
    elif slip == "unit over all heads":
        q, k = (y / y.square().sum((1, 3), keepdim=True).sqrt() for y in (q, k))
    else:
        q, k = (q, k) if slip == "no unit keys" else (unit(q), unit(k))
    v = unit(v) if slip == "values are unit, too" else v
    beta = (x @ w["beta.weight"].T + w["beta.bias"]).mT
    beta = beta if slip == "beta without sigmoid" else beta.sigmoid()
    logit = (x @ w["decay.weight"].T + w["decay.bias"]).mT
    g = {
        "the sigmoid for its logarithm": -logit.sigmoid(),
        "minus the logit": -logit,
    }.get(slip, F.logsigmoid(logit))
    if slip == "values written as they are":
        out, _ = one_by_one_of(remembered, (q, k, beta[..., None] * v, g))
    else:
        out, _ = one_by_one_of(corrected, (q, k, v, beta, g))
    size = out.square().mean(-1, keepdim=True).sqrt()
    if slip == "norm over all heads":
        size = out.square().mean((1, 3), keepdim=True).sqrt()
    out = out if slip == "no norm" else out / size * w["norm.weight"]
    flat = torch.cat(list(out.unbind(1)), dim=-1)
    gate = x @ w["gate.weight"].T
    gate = {
        "a sigmoid gate": gate.sigmoid(),
        "no gate": 1.0,
        "no silu on the gate": gate,
    }.get(slip, gate * gate.sigmoid())
    return (flat * gate) @ w["proj.weight"].T


def one_by_one_of(step, tokens):
    """`one_by_one` from zeros, with states of D by D."""
    q = tokens[0]
    return one_by_one(step, tokens, q.new_zeros(*q.shape[:2], D, D))


LAYER_SLIPS = {
    "no convolution": "no convolution",
    "silu, then the convolution": "convolution after silu",
    "no silu behind the convolution": "no silu",
    "qkv cut by heads first, then into q, k and v": "heads first",
    "heads cut by view alone, without a transpose": "heads by view",
    "keys divided by a length over tokens": "keys over tokens",
    "one length over all heads together": "unit over all heads",
    "keys are not divided by their length": "no unit keys",
    "values are divided by their length, too": "values are unit, too",
    "β without its sigmoid": "beta without sigmoid",
    "log_decay = −sigmoid: it is the logarithm of the sigmoid": (
        "the sigmoid for its logarithm"
    ),
    "linear attention: nothing is corrected": "values written as they are",
    "the norm over all heads together": "norm over all heads",
    "no norm": "no norm",
    "a sigmoid gate in place of silu": "a sigmoid gate",
    "no gate": "no gate",
    "the gate without silu": "no silu on the gate",
}


# In the place of silu on the values alone.
OF_VALUES = {"values without silu": nn.Identity(), "relu on the values": F.relu}


def texts(length):
    """(B, T, C), whose feature 0 is 1 throughout."""
    x = torch.randn(B, length, C)
    x[..., 0] = 1
    return x


def a_layer(kata, large=True):
    """A layer whose parameters are all drawn, with values so large for `texts` that no
    eps of a norm shows.

    Not large: one value of a head is, the others have both signs. Queries and keys are
    alike, so that all are read.
    """
    layer = kata.GatedDeltaNet(C, HEADS, WIDTH)
    rows = (
        list(range(2 * C, 3 * C)) if large else [*range(2 * C), *range(2 * C, 3 * C, D)]
    )
    with torch.no_grad():
        for name, parameter in sorted(layer.named_parameters()):
            parameter.copy_(
                torch.randn(parameter.shape) * (1.0 if parameter.ndim == 1 else 0.4)
            )
            if name in ("beta.bias", "decay.bias"):
                parameter.add_(2)
            if name == "norm.weight":
                parameter.copy_(0.5 + torch.rand(D))
            if name == "qkv.weight":
                parameter[rows, 0] += 1000 if large else 20
            if name == "conv":
                parameter[rows] = 0.1 + parameter[rows].abs()
    return layer, {
        name: value.detach().double().clone()
        for name, value in layer.state_dict().items()
    }


def recalls(kata, seed, n_steps=60):
    """The share of keys whose last value a layer between embeddings and an output layer
    finds, after training.

    All parameters but the decay's bias start at drawn numbers that do not depend on how
    the layer draws.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = kata.GatedDeltaNet(32, 1)
    key, value, answer = nn.Embedding(8, 32), nn.Embedding(9, 32), nn.Linear(32, 8)
    model = nn.ModuleDict(
        {"key": key, "value": value, "layer": layer, "answer": answer}
    )
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name.endswith("weight") and parameter.ndim == 2:
                size = 1 if name in ("key.weight", "value.weight") else 32**-0.5
                parameter.copy_(
                    size * torch.randn(parameter.shape, generator=generator)
                )
        layer.conv.copy_(torch.eye(4)[3].expand(96, 4))
        answer.bias.zero_(), layer.beta.bias.zero_()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
    right = []
    for step in range(n_steps + 5):
        optimizer.param_groups[0]["lr"] = 0.03 * min(
            1.0, 2 * (1 - step / (n_steps + 5))
        )
        tokens, targets = kata.recall_batch(32, 8, 8, 3, 2, generator)
        answers = answer(layer(key(tokens[..., 0]) + value(tokens[..., 1])))[:, -3:]
        if step >= n_steps:
            right.append((answers.argmax(-1) == targets).float().mean().item())
        loss = F.cross_entropy(answers.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sum(right) / len(right)


@pytest.mark.stretch
class TestGatedDeltaNetForward:
    @pytest.mark.parametrize("length", [37, 32, 1])
    def test_equals_its_parts(self, kata, length):
        """Projection, convolution, silu, heads, unit queries and keys, the rule, norm,
        gate, projection: in this order. silu is for queries, keys and values.
        """
        for large, slips in (
            (True, LAYER_SLIPS),
            (False, {name: name for name in OF_VALUES}),
        ):
            layer, w = a_layer(kata, large)
            x = texts(length)
            expected = layer_by_hand(w, x)
            wrong = (
                {name: layer_by_hand(w, x, slip) for name, slip in slips.items()}
                if length == 37
                else {}
            )
            check.close(layer(x), expected, rtol=2e-3, atol=2e-3, unlike=wrong)

    def test_the_future_does_not_leak(self, kata):
        """Tokens from place 20 on are others: what stands before does not change, what
        follows does.
        """
        layer, _ = a_layer(kata)
        x = texts(37)
        other = torch.cat([x[:, :20], texts(17)], dim=1)
        with torch.no_grad():
            one, two = layer(x), layer(other)
        check.close(
            two[:, :20],
            one[:, :20],
            **NEAR,
            what="the outputs before place 20, where all tokens are the same",
        )
        check.that(
            bool((one[:, 20:] - two[:, 20:]).abs().amax((0, 2)).min() > 1e-3),
            "some outputs ignore their tokens",
        )

    def test_gradients_reach_all_parameters(self, kata):
        """Each of the nine parameters takes part: none is detached, and none
        is unused.
        """
        layer, _ = a_layer(kata)
        names, parameters = zip(*layer.named_parameters(), strict=True)
        out = layer(texts(21))
        found = torch.autograd.grad(
            (out * torch.randn(out.shape)).sum(), parameters, allow_unused=True
        )
        for name, gradient in zip(names, found, strict=True):
            none = gradient is None or not bool(gradient.abs().max() > 0)
            check.that(not none, f"{name} gets no gradient")

    def test_learns_to_recall_what_was_overwritten(self, kata):
        """Three keys, each written twice with other values among 8, then all are asked
        for. Guessing finds 13 %, and one of the two values at random 56 %. The layer
        finds nearly all last values.
        """
        found = recalls(kata, seed=1)
        check.that(
            found >= 0.9,
            f"{found:.0%} of the keys give their last value after 60 steps, expected "
            "90 % or more",
        )


@pytest.mark.stretch
class TestDecodingBytes:
    def test_a_layer_of_each_kind(self, kata):
        """L holds a matrix per head, however long the text is. A holds keys and values
        of all tokens, W of the last ones.
        """
        sizes = {"T": 1000, "n_head": 6, "n_kv_head": 2, "head_dim": 8, "window": 300}
        expected = {
            "L": 2 * 6 * 8 * 8,
            "W": 2 * 2 * 2 * 8 * 300,
            "A": 2 * 2 * 2 * 8 * 1000,
        }
        got = {layer: kata.decoding_bytes(layer, **sizes) for layer in "LWA"}
        wrong = {
            "keys without values": expected
            | {layer: expected[layer] // 2 for layer in "WA"},
            "all heads have keys of their own": expected
            | {layer: expected[layer] * 3 for layer in "WA"},
            "a state per head of keys": expected | {"L": expected["L"] // 3},
            "a window that holds the whole text": expected | {"W": expected["A"]},
            "numbers, not bytes": {
                layer: size // 2 for layer, size in expected.items()
            },
            "a state of one row per head": expected | {"L": expected["L"] // 8},
        }
        check.equal(got, expected, unlike=wrong, what="bytes of one layer")

    def test_a_text_shorter_than_the_window(self, kata):
        """There is no more to hold than there are tokens. The size of a number is
        the caller's.
        """
        got = [
            kata.decoding_bytes("W", T, 4, 2, 16, 64, itemsize=4)
            for T in (0, 1, 63, 64, 65, 200)
        ]
        expected = [4 * 2 * 2 * 16 * tokens for tokens in (0, 1, 63, 64, 64, 64)]
        wrong = {
            "the window's size, however short the text is": [4 * 2 * 2 * 16 * 64] * 6
        }
        check.equal(
            got,
            expected,
            unlike=wrong,
            what="bytes of a window of 64 after 0, 1, 63, 64, 65, 200 tokens",
        )

    @given(
        layers=st.text("LWA", max_size=9),
        sizes=st.tuples(
            st.integers(0, 5000),
            *[st.integers(1, 9)] * 3,
            st.integers(1, 5000),
            st.sampled_from([1, 2, 4]),
        ),
    )
    def test_a_stack_is_the_sum(self, kata, layers, sizes):
        """Each letter is a layer, and the order does not matter. No layers
        need nothing.
        """
        T, n_head, n_kv_head, head_dim, window, itemsize = sizes
        got = kata.decoding_bytes(
            layers, T, n_head, n_kv_head, head_dim, window, itemsize
        )
        tokens = [{"W": min(T, window), "A": T}.get(layer, 0) for layer in layers]
        numbers = (
            2 * n_kv_head * head_dim * sum(tokens)
            + layers.count("L") * n_head * head_dim * head_dim
        )
        check.equal(got, itemsize * numbers, what=f"bytes of {layers!r}")

    @pytest.mark.edge
    def test_another_letter_is_an_error(self, kata):
        """M is no kind of layer here, and neither is a small w. The message
        names it.
        """
        for layers, letter in (("LMA", "M"), ("LwA", "w")):
            with check.raises(ValueError, letter):
                kata.decoding_bytes(layers, 10, 4, 2, 16, 64)
