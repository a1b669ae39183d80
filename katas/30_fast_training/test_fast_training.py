"""Specs of 30: a speed, an honest clock, a padded vocabulary, mixed precision, fewer
bits, and a ladder of rungs.
"""

import copy
import math
import warnings
from dataclasses import replace
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.specs import check

B, T, C, H, L, V, BLOCK = 3, 5, 12, 2, 2, 19, 7
PADDED = 32  # V rounded up to a multiple of 16
LR = 0.5
EXACT = {"rtol": 0.0, "atol": 0.0}  # whatever the dtype
CLIPPED = {"rtol": 1e-5, "atol": 1e-6}  # torch divides by the norm + 1e-6


def small(kata, **changes):
    """The config of most specs: every size is another number."""
    sizes = {
        "block_size": BLOCK,
        "vocab_size": V,
        "n_layer": L,
        "n_head": H,
        "n_embd": C,
        "dropout": 0.0,
        "bias": True,
    }
    return kata.GPTConfig(**(sizes | changes))


def stirred(kata, dtype=torch.float64, flash=False, **changes):
    """A model in training mode whose weights are all random: biases of 0
    hide mistakes.
    """
    model = kata.GPT(small(kata, **changes), flash=flash)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    return model.to(dtype)


def batch():
    """Inputs, and the targets one place further on. Both are contiguous: a GPT may view
    its targets as one row.
    """
    tokens = torch.randint(V, (B, T + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def parameters(model):
    """Each once, by name: the tied one as transformer.wte.weight."""
    named = model.named_parameters(remove_duplicate=False)
    return {name: p for name, p in named if name != "lm_head.weight"}


def weights(model):
    return {name: p.detach().clone() for name, p in parameters(model).items()}


def sgd(model, lr=LR):
    return torch.optim.SGD(model.parameters(), lr=lr)


def loss_by_hand(logits, y):
    """The mean of −log p over the targets that count, in float64."""
    log_p = logits.double() - logits.double().exp().sum(-1, keepdim=True).log()
    return -torch.stack(
        [log_p[b, t, y[b, t]] for b in range(B) for t in range(T) if y[b, t] != -100]
    ).mean()


def padded_by_hand(kata, model, size=PADDED):
    """A model with a larger vocabulary whose extra rows are 0."""
    padded = kata.GPT(replace(model.config, vocab_size=size), flash=False).to(
        model.lm_head.weight
    )
    state = model.state_dict()
    for name in ("transformer.wte.weight", "lm_head.weight"):
        state[name] = torch.cat(
            [state[name], state[name].new_zeros(size - len(state[name]), C)]
        )
    padded.load_state_dict(state)
    return padded


def plain_step(model, x, y, max_norm=1.0, scaled=1.0, unclipped=False):
    """(loss, weights after one step of SGD), by hand on a copy. `scaled` makes a
    mistake: gradients that much too large when they are clipped.
    """
    inputs = parameters(copy.deepcopy(model))
    names, params = zip(*inputs.items(), strict=True)
    loss = loss_by_hand(torch.func.functional_call(model, inputs, (x,))[0], y)
    grads = torch.autograd.grad(loss, params)
    norm = scaled * math.sqrt(sum(g.square().sum().item() for g in grads))
    factor = 1.0 if unclipped or max_norm is None else min(1.0, max_norm / norm)
    return loss.item(), {
        n: p.detach() - LR * factor * g
        for n, p, g in zip(names, params, grads, strict=True)
    }


class RecordingScaler:
    """Scales by a fixed factor, as torch.amp.GradScaler would, and notes what is
    called. May refuse to step.
    """

    def __init__(self, factor=8.0, skips=False):
        self.calls, self.factor, self.skips, self.divided = [], factor, skips, False

    def scale(self, loss):
        self.calls.append("scale")
        return loss * self.factor

    def unscale_(self, optimizer):
        self.calls.append("unscale_")
        self._divide(optimizer)

    def step(self, optimizer):
        self.calls.append("step")
        if not self.divided:
            self._divide(optimizer)
        if not self.skips:
            optimizer.step()

    def update(self):
        self.calls.append("update")
        self.divided = False

    def _divide(self, optimizer):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = p.grad / self.factor
        self.divided = True


class FakeGpu:
    """Asking for a step takes 1 second; its work then goes on for as long as `works`
    says. A measured clock.
    """

    def __init__(self, *works):
        self.works, self.now, self.done, self.steps, self.readings, self.early = (
            list(works),
            0.0,
            0.0,
            0,
            0,
            0,
        )

    def step(self):
        self.now += 1.0
        self.done = max(self.now, self.done) + self.works[self.steps]
        self.steps += 1

    def synchronize(self):
        self.now = max(self.now, self.done)

    def clock(self):
        self.readings += 1
        self.early += self.done > self.now
        return self.now

    def measured(self, kata, n_steps, **options):
        return kata.time_steps(
            self.step,
            n_steps,
            synchronize=self.synchronize,
            clock=self.clock,
            **options,
        )


class TestTokensPerSecond:
    def test_all_tokens_over_the_time(self, kata):
        """16 rows of 1024 tokens in half a second are 32768 tokens per second."""
        check.close(
            kata.tokens_per_second(16 * 1024, 0.5),
            32768.0,
            unlike={"multiplied by the time": 8192.0},
        )
        check.close(kata.tokens_per_second(3, 4.0), 0.75)

    @pytest.mark.edge
    def test_a_step_takes_time(self, kata):
        """A time of 0 or less means that the clock was read wrongly."""
        for seconds in (0.0, -1.0):
            with check.raises(ValueError):
                kata.tokens_per_second(100, seconds)


class TestFlopsPerToken:
    def test_weights_and_attention(self, kata):
        """6 operations per weight, plus 12·n_layer·n_embd·block_size for attention,
        which has no weights of its own.
        """
        config = small(kata, n_layer=3, n_embd=10, block_size=7)
        unlike = {
            "the attention term is missing": 600,
            "the forward pass alone": 200 + 4 * 3 * 10 * 7,
            "n_head in place of n_layer": 600 + 12 * H * 10 * 7,
            "n_head as a factor, though n_embd already is all heads together": 600
            + 12 * 3 * H * 10 * 7,
        }
        check.equal(
            kata.flops_per_token(config, 100), 600 + 12 * 3 * 10 * 7, unlike=unlike
        )

    def test_gpt2(self, kata):
        """GPT-2 has 123,653,376 parameters without wpe, which is only looked up: 855
        million operations per token.
        """
        config = small(
            kata, n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50257
        )
        check.equal(kata.flops_per_token(config, 123_653_376), 855_166_464)


class TestMfu:
    def test_done_over_possible(self, kata):
        """50 tokens per second at 4 operations each are 200 operations, half of a peak
        of 400.
        """
        check.close(
            kata.mfu(50.0, 4, 400.0),
            0.5,
            unlike={"upside down": 2.0, "in per cent": 50.0},
        )
        check.close(kata.mfu(3.0, 7, 10.0), 2.1)
        check.close(kata.mfu(0.25, 1, 0.5), 0.5)

    @pytest.mark.edge
    def test_a_device_has_a_peak(self, kata):
        """No device has a peak of 0 or less."""
        for peak in (0.0, -1e12):
            with check.raises(ValueError):
                kata.mfu(50.0, 4, peak)


class TestTimeSteps:
    def test_the_work_is_in_the_time(self, kata):
        """Here asking for a step takes 1 second and the work 4, 9 and 2 more. Without
        `synchronize` before the second reading only the asking is timed.
        """
        gpu = FakeGpu(4.0, 9.0, 2.0)
        got = gpu.measured(kata, 3, n_warmup=0)
        unlike = {
            "only the launch was timed": [1.0, 1.0, 1.0],
            "the mean of all": [6.0, 6.0, 6.0],
        }
        check.equal(got, [5.0, 10.0, 3.0], unlike=unlike, what="seconds")

    def test_warm_up_is_over_before_the_clock_is_read(self, kata):
        """The work of the last warm-up step still goes on when Python is done asking
        for it: wait, then read the clock. Otherwise it counts as the first step's.
        """
        gpu = FakeGpu(100.0, 4.0)
        got = gpu.measured(kata, 1, n_warmup=1)
        check.equal(
            got, [5.0], unlike={"the warm-up's work is in it": [104.0]}, what="seconds"
        )
        check.equal(gpu.early, 0, what="readings of the clock while work was under way")

    def test_warm_up_is_not_measured(self, kata):
        """Two warm-up steps run before the three that count, and are not in
        the list.
        """
        gpu = FakeGpu(100.0, 50.0, 4.0, 9.0, 2.0)
        check.equal(gpu.measured(kata, 3, n_warmup=2), [5.0, 10.0, 3.0], what="seconds")
        check.equal(gpu.steps, 5, what="calls of step, warm-up included")

    def test_one_warm_up_by_default(self, kata):
        """Without n_warmup one step is not measured: the first one is never like
        the others.
        """
        gpu = FakeGpu(100.0, 4.0, 9.0)
        check.equal(gpu.measured(kata, 2), [5.0, 10.0], what="seconds")

    def test_the_clock_is_read_twice_a_step(self, kata):
        """Once before each measured step and once after it, and not at all
        for warm-up.
        """
        gpu = FakeGpu(*[1.0] * 7)
        gpu.measured(kata, 4, n_warmup=3)
        check.equal(gpu.readings, 8, what="readings of the clock for 4 measured steps")

    def test_without_a_gpu_nothing_is_waited_for(self, kata):
        """synchronize=None on a machine without a GPU: the CPU has finished when the
        call returns.
        """
        gpu = FakeGpu(0.0, 0.0, 0.0)
        with (
            mock.patch.object(torch.cuda, "is_available", lambda: False),
            mock.patch.object(torch.backends.mps, "is_available", lambda: False),
        ):
            got = kata.time_steps(gpu.step, 2, clock=gpu.clock)
        check.equal(got, [1.0, 1.0], what="seconds")

    def test_with_a_gpu_it_waits_by_itself(self, kata):
        """synchronize=None where CUDA exists means torch.cuda.synchronize."""
        gpu = FakeGpu(100.0, 4.0, 9.0)
        with (
            mock.patch.object(torch.cuda, "is_available", lambda: True),
            mock.patch.object(
                torch.cuda, "synchronize", lambda *device: gpu.synchronize()
            ),
        ):
            got = kata.time_steps(gpu.step, 2, clock=gpu.clock)
        check.equal(
            got,
            [5.0, 10.0],
            unlike={"only the launch was timed": [1.0, 1.0]},
            what="seconds",
        )

    @pytest.mark.edge
    def test_with_an_apple_gpu_it_waits_by_itself(self, kata):
        """synchronize=None where MPS exists, and no CUDA, means
        torch.mps.synchronize.
        """
        gpu = FakeGpu(100.0, 4.0, 9.0)
        with (
            mock.patch.object(torch.cuda, "is_available", lambda: False),
            mock.patch.object(torch.backends.mps, "is_available", lambda: True),
            mock.patch.object(torch.mps, "synchronize", gpu.synchronize),
        ):
            got = kata.time_steps(gpu.step, 2, clock=gpu.clock)
        check.equal(
            got,
            [5.0, 10.0],
            unlike={"only the launch was timed": [1.0, 1.0]},
            what="seconds",
        )

    @pytest.mark.edge
    def test_at_least_one_step(self, kata):
        """Without steps there are no times: an error, before any warm-up."""
        for n_steps in (0, -2):
            gpu = FakeGpu(1.0, 1.0)
            with check.raises(ValueError):
                gpu.measured(kata, n_steps)
            check.equal(gpu.steps, 0, what="calls of step before the error")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_waits_for_the_gpu(self, kata):
        """Asking for a product of large matrices is quick, computing it is not. The
        default measures the same time as torch.cuda.synchronize, and far more than the
        asking alone.
        """
        a = torch.randn(8192, 8192, device="cuda")
        waited = min(kata.time_steps(lambda: a @ a, 5, 2))
        given = min(kata.time_steps(lambda: a @ a, 5, 2, torch.cuda.synchronize))
        asked = min(kata.time_steps(lambda: a @ a, 5, 2, lambda: None))
        torch.cuda.synchronize()
        check.that(
            waited > 3 * asked,
            f"waiting takes {waited:.2e} s, asking alone {asked:.2e} s",
        )
        check.that(
            0.5 < waited / given < 2,
            f"{waited:.2e} s by default, {given:.2e} s with torch.cuda.synchronize",
        )


@st.composite
def sizes_and_multiples(draw):
    """A size and the size of a tile."""
    return draw(st.integers(1, 300)), draw(st.integers(1, 64))


class TestPaddedSize:
    def test_gpt2s_vocabulary(self, kata):
        """50257 is odd. The next multiple of 128 is 50304 = 393 · 128."""
        check.equal(kata.padded_size(50257), 50304, unlike={"rounded down": 50176})

    def test_a_multiple_stays(self, kata):
        """A size that fills its tiles needs no padding: n // multiple + 1 would add a
        whole tile.
        """
        check.equal(
            kata.padded_size(50304, 128), 50304, unlike={"one tile too many": 50432}
        )

    @given(case=sizes_and_multiples())
    def test_up_to_the_next_multiple(self, kata, case):
        """The result is a multiple, at least n, and less than one tile larger."""
        n, multiple = case
        got = kata.padded_size(n, multiple)
        check.that(got % multiple == 0, f"{got} is no multiple of {multiple}")
        check.that(n <= got < n + multiple, f"{n} in tiles of {multiple} became {got}")

    @pytest.mark.edge
    def test_sizes_are_at_least_one(self, kata):
        """A size or a multiple below 1 is an error."""
        for n, multiple in ((0, 8), (-3, 8), (8, 0), (8, -2)):
            with check.raises(ValueError):
                kata.padded_size(n, multiple)


class TestPadVocab:
    def test_the_old_logits_are_unchanged(self, kata):
        """The copy gives the first V scores as before, and a score of 0 to tokens whose
        rows are 0.
        """
        model, (x, _) = stirred(kata), batch()
        before = model(x)[0]
        got = kata.pad_vocab(model, 16)(x)[0]
        check.shape(got, (B, T, PADDED))
        check.close(got[..., :V], before, what="logits of the old tokens")
        check.close(
            got[..., V:],
            torch.zeros(B, T, PADDED - V),
            **EXACT,
            what="logits of the new tokens",
        )

    def test_extra_rows_are_zero(self, kata):
        """Random rows would give 13 wrong scores in every softmax."""
        model = stirred(kata)
        rows = kata.pad_vocab(model, 16).lm_head.weight.detach()
        check.shape(rows, (PADDED, C))
        check.close(
            rows[:V], model.lm_head.weight.detach(), what="rows of the old tokens"
        )
        check.close(
            rows[V:], torch.zeros(PADDED - V, C), **EXACT, what="rows of the new tokens"
        )

    def test_the_config_says_so(self, kata):
        """Only vocab_size changes in the copy's config, and its two layers have the new
        size. The config of the given model stays.
        """
        kept = {"dropout": 0.25, "bias": False}
        model = stirred(kata, **kept)
        padded = kata.pad_vocab(model, 16)
        check.that(
            isinstance(padded, kata.GPT), f"wanted a GPT, got {check.describe(padded)}"
        )
        check.equal(
            padded.config,
            small(kata, vocab_size=PADDED, **kept),
            what="config of the copy",
        )
        check.equal(model.config, small(kata, **kept), what="config of the model given")
        check.equal(padded.lm_head.out_features, PADDED, what="lm_head.out_features")
        check.equal(
            padded.transformer.wte.num_embeddings,
            PADDED,
            what="transformer.wte.num_embeddings",
        )

    def test_still_one_weight(self, kata):
        """wte and lm_head share one Parameter, in the copy as in the model: padding
        each separately makes two, which then learn different things.
        """
        padded = kata.pad_vocab(stirred(kata), 16)
        tied = padded.lm_head.weight is padded.transformer.wte.weight
        check.that(tied, "lm_head.weight and transformer.wte.weight are two Parameters")
        check.equal(
            padded.num_params(),
            stirred(kata).num_params() + (PADDED - V) * C,
            what="number of parameters",
        )

    def test_the_copy_is_independent(self, kata):
        """The model that was given keeps its weights and the tie between them, also
        when the copy is trained.
        """
        model = stirred(kata)
        before = weights(model)
        padded = kata.pad_vocab(model, 16)
        with torch.no_grad():
            for p in padded.parameters():
                p.add_(1.0)
        check.equal(weights(model), before, what="weights of the model given")
        check.that(
            model.lm_head.weight is model.transformer.wte.weight,
            "the model given has lost its tie",
        )
        check.that(
            padded.config is not model.config, "model and copy share one config object"
        )

    def test_the_default_is_128(self, kata):
        """Tiles of 128 columns are common in GPU kernels, so 128 is the default."""
        check.shape(
            kata.pad_vocab(stirred(kata)).lm_head.weight,
            (128, C),
            what="lm_head.weight",
        )

    @pytest.mark.edge
    def test_a_copy_also_where_nothing_is_padded(self, kata):
        """Training the copy must not train the model, also where the vocabulary is a
        multiple already.
        """
        model = stirred(kata)
        before = weights(model)
        padded = kata.pad_vocab(model, 1)
        with torch.no_grad():
            for p in padded.parameters():
                p.add_(1.0)
        check.that(
            padded is not model, "this is the model that was given, not a new one"
        )
        check.equal(weights(model), before, what="weights of the model given")

    @pytest.mark.edge
    @pytest.mark.parametrize("flash", [True, False])
    def test_flash_is_kept(self, kata, flash):
        """A rung without flash must not get it by being padded, nor the other
        way round.
        """
        model = stirred(kata, flash=not flash)
        for block in model.transformer.h:
            block.attn.flash = flash
        got = [block.attn.flash for block in kata.pad_vocab(model, 16).transformer.h]
        check.equal(got, [flash] * L, what="flash of the attention layers")

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
    def test_the_mode_is_kept(self, kata, training):
        """A model in eval mode is copied in eval mode, all parts of it; a new GPT would
        start in training mode.
        """
        padded = kata.pad_vocab(stirred(kata).train(training), 16)
        check.that(
            all(m.training == training for m in padded.modules()),
            f"every part should have training={training}",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str
    )
    def test_the_dtype_is_kept(self, kata, dtype):
        """All weights have the dtype that they had, those with new rows too."""
        for name, p in kata.pad_vocab(stirred(kata, dtype), 16).named_parameters():
            check.dtype(p, dtype, what=name)

    @pytest.mark.edge
    def test_the_device_is_kept(self, kata):
        """Every weight stays on its device; here "meta" replaces a GPU."""
        model = stirred(kata).to("meta")
        model.lm_head.weight = model.transformer.wte.weight
        for name, p in kata.pad_vocab(model, 16).named_parameters():
            check.equal(p.device, torch.device("meta"), what=f"device of {name}")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_the_gpu(self, kata):
        """A model on the GPU is padded there."""
        model, (x, _) = stirred(kata).cuda(), batch()
        padded = kata.pad_vocab(model, 16)
        check.equal(
            {p.device.type for p in padded.parameters()},
            {"cuda"},
            what="devices of the copy",
        )
        check.close(
            padded(x.cuda())[0][..., :V],
            model(x.cuda())[0],
            what="logits of the old tokens",
        )


@st.composite
def shapes_and_sizes(draw):
    """The shape of logits, with any leading dimensions, and how many of their columns
    are real.
    """
    shape = (*draw(st.lists(st.integers(1, 3), max_size=3)), draw(st.integers(1, 6)))
    return shape, draw(st.integers(1, shape[-1]))


class TestMaskPaddedLogits:
    def test_padded_columns_get_no_probability(self, kata):
        """After a softmax the padded tokens have probability 0, and the real ones what
        they have among themselves. An unmasked 0 is e⁰ = 1 in the sum.
        """
        logits = torch.randn(B, T, PADDED)
        got = kata.mask_padded_logits(logits, V)
        check.shape(got, (B, T, PADDED))
        expected = torch.zeros(B, T, PADDED, dtype=torch.float64)
        expected[..., :V] = logits[..., :V].double().softmax(-1)
        zeros, early, late, others = (logits.clone() for _ in range(4))
        zeros[..., V:] = 0.0
        others[..., :V] = -math.inf
        early[..., V - 1 :] = late[..., V + 1 :] = -math.inf
        unlike = {
            "nothing is masked": logits.softmax(-1),
            "padded logits of 0, which still have a share": zeros.softmax(-1),
            "the last real token is masked, too": early.softmax(-1),
            "the first padded token is not masked": late.softmax(-1),
            "inverted: the real tokens are masked": others.softmax(-1),
        }
        check.close(got.softmax(-1), expected, unlike=unlike, what="probabilities")
        check.equal(
            got.softmax(-1)[..., V:],
            torch.zeros(B, T, PADDED - V),
            what="probabilities of padded tokens",
        )

    @given(case=shapes_and_sizes())
    def test_the_real_columns_alone_decide(self, kata, case):
        """For any leading dimensions and any number of real tokens: their logits stay,
        and the softmax is the one over them alone.
        """
        shape, vocab_size = case
        logits = torch.randn(shape)
        got = kata.mask_padded_logits(logits, vocab_size)
        check.shape(got, shape)
        real = logits[..., :vocab_size]
        check.equal(got[..., :vocab_size], real, what="columns of real tokens")
        check.close(
            got.softmax(-1)[..., :vocab_size],
            real.softmax(-1),
            what="probabilities of real tokens",
        )

    def test_gradient(self, kata):
        """A real column passes its gradient on unchanged; a padded one gets none, so
        its row never learns.
        """
        logits = torch.randn(B, T, PADDED, dtype=torch.float64, requires_grad=True)
        y = torch.randint(V, (B, T))
        loss = (
            -kata.mask_padded_logits(logits, V)
            .log_softmax(-1)
            .gather(-1, y[..., None])
            .mean()
        )
        [got] = torch.autograd.grad(loss, logits)
        real = logits.detach()[..., :V]
        expected = torch.zeros_like(got)
        expected[..., :V] = (real.softmax(-1) - nn.functional.one_hot(y, V)) / (B * T)
        check.close(got, expected, what="gradient of the logits")

    @pytest.mark.edge
    def test_padded_columns_are_as_low_as_can_be(self, kata):
        """Fill with −inf, or with the smallest number of the dtype. −100 is not low
        enough where the real scores are −1000, and −1e9 does not fit into float16.
        """
        got = kata.mask_padded_logits(torch.full((2, 6), -1000.0), 4)
        lowest = torch.finfo(torch.float32).min
        check.that(
            bool((got[:, 4:] <= lowest).all()),
            f"padded columns hold {got[0, 4:].tolist()}",
        )
        check.close(
            got.softmax(-1)[:, :4],
            torch.full((2, 4), 0.25),
            what="probabilities of real tokens",
        )

    @pytest.mark.edge
    def test_logits_are_kept(self, kata):
        """The given logits may be needed elsewhere, so the mask is applied to a
        new tensor.
        """
        logits = torch.randn(B, T, PADDED)
        with check.unchanged(logits=logits):
            kata.mask_padded_logits(logits, V)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str
    )
    def test_half_precision_is_masked_too(self, kata, dtype):
        """In float16 −1e9 is out of range; −inf and the dtype's own minimum are not.
        The dtype stays, and nothing turns into NaN.
        """
        logits = (100 * torch.randn(B, PADDED)).to(dtype)
        got = kata.mask_padded_logits(logits, V)
        check.dtype(got, dtype)
        check.finite(got.softmax(-1), what="probabilities")
        check.equal(
            got.softmax(-1)[..., V:],
            torch.zeros(B, PADDED - V, dtype=dtype),
            what="those of padded tokens",
        )

    @pytest.mark.edge
    def test_any_strides(self, kata):
        """Logits may be transposed: the last dimension holds the tokens, whatever their
        order in memory.
        """
        logits = torch.randn(PADDED, T).mT
        got = kata.mask_padded_logits(logits, V)
        check.equal(got[..., :V], logits[..., :V], what="columns of real tokens")
        check.that(bool((got[..., V:] < -1e30).all()), "a padded column is not masked")

    @pytest.mark.edge
    def test_it_follows_the_device(self, kata):
        """The mask is made on the device of the logits (here "meta" replaces a GPU)."""
        got = kata.mask_padded_logits(torch.empty(B, T, PADDED, device="meta"), V)
        check.shape(got, (B, T, PADDED))
        check.equal(got.device, torch.device("meta"), what="device")

    @pytest.mark.edge
    def test_the_real_tokens_are_some_of_the_columns(self, kata):
        """No real token, or more than there are columns: the message names
        both numbers.
        """
        for vocab_size in (0, -1, PADDED + 1):
            with check.raises(ValueError, vocab_size, PADDED):
                kata.mask_padded_logits(torch.zeros(B, PADDED), vocab_size)


def in_two_forms(kata, form, dtype=torch.float64):
    """The same model and its batch, "plain" or "padded" with the vocab_size that takes
    the padding out.
    """
    model, (x, y) = stirred(kata, dtype), batch()
    return (
        (model, None, x, y)
        if form == "plain"
        else (padded_by_hand(kata, model), V, x, y)
    )


FORMS = pytest.mark.parametrize("form", ["plain", "padded"])


class TestAmpLoss:
    def test_the_mean_over_the_targets_that_count(self, kata):
        """The mean cross entropy, with its graph: targets of −100 mark positions with
        nothing to predict.
        """
        model, (x, y) = stirred(kata), batch()
        y = y.clone()
        y[0, 1] = y[2, 3] = y[2, 4] = -100
        expected = loss_by_hand(model(x)[0], y).item()
        unlike = {
            "the sum": expected * (B * T - 3),
            "divided by all positions": expected * (B * T - 3) / (B * T),
        }
        for trained, vocab_size in ((model, None), (padded_by_hand(kata, model), V)):
            got = kata.amp_loss(trained, x, y, vocab_size=vocab_size)
            check.that(
                isinstance(got, torch.Tensor) and got.requires_grad,
                "the loss has no graph",
            )
            check.close(
                got.item(),
                expected,
                unlike=unlike,
                what=f"loss with vocab_size={vocab_size}",
            )

    def test_padded_tokens_are_out_of_the_softmax(self, kata):
        """vocab_size says how many tokens are real. Without the mask, e⁰ of each padded
        token is part of every softmax, and the loss is too large.
        """
        model, (x, y) = stirred(kata), batch()
        padded = padded_by_hand(kata, model)
        unlike = {
            "the softmax runs over padded tokens too": loss_by_hand(
                padded(x)[0], y
            ).item()
        }
        got = kata.amp_loss(padded, x, y, vocab_size=V)
        check.close(
            got.item(), loss_by_hand(model(x)[0], y).item(), unlike=unlike, what="loss"
        )

    @FORMS
    def test_autocast_in_the_forward_pass(self, kata, form):
        """dtype=torch.bfloat16: the output of a linear layer is bfloat16, while the
        weights stay float32. `model.half()` instead would lose most small updates:
        1 + 0.003 is 1 in bfloat16.
        """
        model, vocab_size, x, y = in_two_forms(kata, form, torch.float32)
        seen = []
        model.transformer.h[1].mlp.c_fc.register_forward_hook(
            lambda module, args, out: seen.append(out.dtype)
        )
        kata.amp_loss(model, x, y, torch.bfloat16, vocab_size)
        check.equal(seen, [torch.bfloat16], what="dtype of hidden activations")
        for name, p in model.named_parameters():
            check.dtype(p, torch.float32, what=name)

    def test_no_dtype_no_autocast(self, kata):
        """Without a dtype all activations are float32."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        seen = []
        model.transformer.h[1].mlp.c_fc.register_forward_hook(
            lambda module, args, out: seen.append(out.dtype)
        )
        kata.amp_loss(model, x, y)
        check.equal(seen, [torch.float32], what="dtype of hidden activations")

    def test_the_loss_belongs_under_autocast(self, kata):
        """Autocast computes a cross entropy in float32, from logits in bfloat16.
        Outside of it the loss would be rounded to three digits.
        """
        for _ in range(3):
            model, vocab_size, x, y = in_two_forms(kata, "padded", torch.float32)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                logits = model(x)[0]
            expected = loss_by_hand(logits[..., :V], y).item()
            got = kata.amp_loss(model, x, y, torch.bfloat16, vocab_size).item()
            half = nn.functional.cross_entropy(
                logits[..., :V].flatten(0, 1), y.flatten()
            ).item()
            unlike = {"a loss computed in bfloat16": half}
            check.close(got, expected, rtol=1e-5, unlike=unlike, what="loss")

    @pytest.mark.edge
    @pytest.mark.gpu
    @FORMS
    def test_bfloat16_on_the_gpu(self, kata, form):
        """Autocast has to be for the device of x: that of the CPU would leave a GPU's
        products in float32.
        """
        model, vocab_size, x, y = in_two_forms(kata, form, torch.float32)
        expected = loss_by_hand(model(x)[0][..., :V], y).item()
        model.cuda()
        seen = []
        model.transformer.h[1].mlp.c_fc.register_forward_hook(
            lambda module, args, out: seen.append(out.dtype)
        )
        got = kata.amp_loss(model, x.cuda(), y.cuda(), torch.bfloat16, vocab_size)
        check.equal(seen, [torch.bfloat16], what="dtype of hidden activations")
        check.close(got.item(), expected, rtol=0.0, atol=0.03, what="loss")


@st.composite
def factors_and_norms(draw):
    """A scaler's factor, a power of 2, and a limit for the norm."""
    return 2.0 ** draw(st.integers(0, 16)), draw(
        st.sampled_from([None, 0.01, 1.0, 3.0])
    )


class TestAmpStep:
    def test_returns_the_loss_before_the_step(self, kata):
        """The mean cross entropy of the weights as they were, as a plain float: a
        tensor would keep its graph alive.
        """
        model, (x, y) = stirred(kata), batch()
        expected, _ = plain_step(model, x, y)
        got = kata.amp_step(model, sgd(model), x, y)
        check.that(type(got) is float, f"wanted a float, got {check.describe(got)}")
        check.close(
            got,
            expected,
            unlike={"the sum over positions": expected * B * T},
            what="loss",
        )

    def test_without_a_scaler_it_is_a_plain_step(self, kata):
        """Backward, then a step of the optimizer, twice. The second step knows nothing
        of the first one's gradient.
        """
        model, (x, y) = stirred(kata), batch()
        optimizer = sgd(model)
        for number in (1, 2):
            before, (_, expected) = weights(model), plain_step(model, x, y, None)
            kata.amp_step(model, optimizer, x, y, max_norm=None)
            unlike = {
                "no step was taken": before,
                "clipped": plain_step(model, x, y, 1.0)[1],
            }
            check.close(
                weights(model),
                expected,
                unlike=unlike,
                what=f"weights after step {number}",
            )

    @pytest.mark.parametrize(
        "options", [{}, {"max_norm": 0.01}], ids=["to 1 by default", "to 0.01"]
    )
    def test_clipped(self, kata, options):
        """All gradients, as one vector, are scaled down to max_norm. GPT-3 was trained
        with norms up to 1.
        """
        model, (x, y) = stirred(kata), batch()
        with torch.no_grad():
            model.transformer.ln_f.weight.mul_(30.0)  # gradients far longer than 1
        _, expected = plain_step(model, x, y, **options)
        unlike = {"not clipped": plain_step(model, x, y, unclipped=True)[1]}
        kata.amp_step(model, sgd(model), x, y, **options)
        check.close(weights(model), expected, **CLIPPED, unlike=unlike, what="weights")

    def test_with_a_padded_vocabulary_the_update_is_the_old_one(self, kata):
        """Every weight moves as without padding, and the extra rows stay 0: they get
        no gradient.
        """
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y)
        padded = padded_by_hand(kata, model)
        kata.amp_step(padded, sgd(padded), x, y, vocab_size=V)
        got, name = weights(padded), "transformer.wte.weight"
        check.equal(
            got[name][V:],
            torch.zeros(PADDED - V, C).double(),
            what="rows of padded tokens after the step",
        )
        got[name] = got[name][:V]
        check.close(got, expected, **CLIPPED, what="weights")

    def test_in_bfloat16_the_step_is_nearly_the_same(self, kata):
        """bfloat16 has three digits: the loss is within 0.03 of the exact one, and the
        weights, in float32, move nearly alike.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        expected, after = plain_step(model, x, y)
        got = kata.amp_step(model, sgd(model), x, y, dtype=torch.bfloat16)
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")
        check.close(weights(model), after, rtol=0.0, atol=0.01, what="weights")
        for name, p in model.named_parameters():
            check.dtype(p, torch.float32, what=name)

    def test_autocast_is_off_during_backward(self, kata):
        """The forward pass computes in bfloat16. The backward pass follows its dtypes;
        autocast around it may choose others.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        dtypes, seen = [], []
        model.transformer.h[1].mlp.c_fc.register_forward_hook(
            lambda module, args, out: dtypes.append(out.dtype)
        )
        for p in model.parameters():
            p.register_hook(lambda g: seen.append(torch.is_autocast_enabled("cpu")))
        kata.amp_step(model, sgd(model), x, y, dtype=torch.bfloat16)
        unlike = {"a step without autocast": [torch.float32]}
        check.equal(
            dtypes, [torch.bfloat16], unlike=unlike, what="dtype of hidden activations"
        )
        check.that(len(seen) > 0, "no gradient was computed")
        check.that(
            not any(seen),
            "autocast was on while gradients were computed: backward ran inside the "
            "block",
        )

    def test_the_scaler_is_called_in_order(self, kata):
        """Scale the loss, divide the gradients again, clip them, step, update.
        Each once.
        """
        model, (x, y), scaler = stirred(kata), batch(), RecordingScaler()
        kata.amp_step(model, sgd(model), x, y, scaler=scaler)
        check.equal(
            scaler.calls,
            ["scale", "unscale_", "step", "update"],
            what="calls of the scaler",
        )

    @settings(max_examples=10)
    @given(case=factors_and_norms())
    def test_a_scaler_changes_nothing(self, kata, case):
        """The factor goes in and out again: update and returned loss are those without
        a scaler. Clipping before unscale_ would clip gradients that are too large, and
        then divide them once more.
        """
        factor, max_norm = case
        model, (x, y) = stirred(kata), batch()
        loss, expected = plain_step(model, x, y, max_norm)
        unlike = (
            {
                "clipped before unscale_": plain_step(
                    model, x, y, max_norm, scaled=factor
                )[1]
            }
            if factor > 1
            else {}
        )
        got = kata.amp_step(
            model, sgd(model), x, y, scaler=RecordingScaler(factor), max_norm=max_norm
        )
        check.close(weights(model), expected, **CLIPPED, unlike=unlike, what="weights")
        check.close(got, loss, unlike={"the scaled loss": factor * loss}, what="loss")

    def test_the_scaler_may_leave_the_step_out(self, kata):
        """Where a gradient is infinite, scaler.step does nothing. An optimizer.step()
        beside it would write the infinities into the weights.
        """
        model, (x, y), scaler = stirred(kata), batch(), RecordingScaler(skips=True)
        before, stepped = weights(model), copy.deepcopy(model)
        kata.amp_step(stepped, sgd(stepped), x, y)
        kata.amp_step(model, sgd(model), x, y, scaler=scaler)
        unlike = {"the optimizer stepped beside the scaler": weights(stepped)}
        check.equal(
            weights(model),
            before,
            unlike=unlike,
            what="weights after a step that the scaler left out",
        )
        check.equal(
            scaler.calls[-2:], ["step", "update"], what="last calls of the scaler"
        )

    @pytest.mark.edge
    def test_old_gradients_do_not_count(self, kata):
        """Old values in .grad have no influence, whoever left them there."""
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y, max_norm=None)
        for p in model.parameters():
            p.grad = torch.full_like(p, 100.0)
        kata.amp_step(model, sgd(model), x, y, max_norm=None)
        check.close(weights(model), expected, what="weights")

    @pytest.mark.edge
    def test_float16_without_a_scaler_is_refused(self, kata):
        """Gradients below 6e-8 would become 0 without a word: an error, before anything
        has changed.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        before = weights(model)
        with check.raises(ValueError):
            kata.amp_step(model, sgd(model), x, y, dtype=torch.float16)
        check.equal(weights(model), before, what="weights after the error")

    @pytest.mark.edge
    @pytest.mark.parametrize("max_norm", [1.0, None])
    def test_an_overflow_leaves_the_weights_alone(self, kata, max_norm):
        """A factor of 2**40 drives gradients beyond float16. torch's own scaler leaves
        the step out and halves its factor.
        """
        model, (x, y), scaler = (
            stirred(kata, torch.float32),
            batch(),
            torch.amp.GradScaler("cpu", init_scale=2.0**40),
        )
        before = weights(model)
        kata.amp_step(model, sgd(model), x, y, torch.float16, scaler, max_norm)
        check.equal(
            weights(model), before, what="weights after a step that the scaler left out"
        )
        check.equal(scaler.get_scale(), 2.0**39, what="factor afterwards")

    @pytest.mark.edge
    @pytest.mark.amp
    def test_float16_on_the_gpu(self, kata):
        """float16 with torch.amp.GradScaler on CUDA: nearly the update of float32."""
        model, (x, y), scaler = (
            stirred(kata, torch.float32),
            batch(),
            torch.amp.GradScaler("cuda", init_scale=1024.0),
        )
        expected, after = plain_step(model, x, y)
        model.cuda()
        got = kata.amp_step(
            model, sgd(model), x.cuda(), y.cuda(), torch.float16, scaler
        )
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")
        check.close(weights(model.cpu()), after, rtol=0.0, atol=0.01, what="weights")


def last_layer():
    """The input (B, T, C) of an output layer, its weight (V, C), and targets, of which
    the first row has none.
    """
    hidden, weight = torch.randn(B, T, C), torch.randn(V, C)
    targets = torch.randint(V, (B, T))
    targets[0] = targets[1, 3] = -100
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def whole_loss(hidden, weight, targets, vocab_size=V):
    """The loss from all logits at once, as a tensor with its graph."""
    logits = (hidden @ weight.T)[..., :vocab_size]
    counted = targets != -100
    picked = logits[counted].gather(-1, targets[counted][:, None])[:, 0]
    return (logits[counted].exp().sum(-1).log() - picked).sum() / counted.sum()


def chunked_wrongly(hidden, weight, targets, chunk_size):
    """Known wrong losses, by name."""
    pairs = zip(
        hidden.flatten(0, 1).split(chunk_size),
        targets.flatten().split(chunk_size),
        strict=True,
    )
    means = [whole_loss(rows, weight, y) for rows, y in pairs if (y != -100).any()]
    total = whole_loss(hidden, weight, targets) * (targets != -100).sum()
    chunks = -(-B * T // chunk_size)
    return {
        "the mean of the chunks' means": sum(means) / len(means),
        "the mean of the chunks' means, 0 for a chunk without targets": sum(means)
        / chunks,
        "divided by all positions": total / targets.numel(),
        "the sum": total,
        "divided by the number of chunks": total / chunks,
    }


def storages_of(values):
    """The memory behind all tensors in a nesting, with its size in bytes. Views
    share one.
    """
    tensors = [
        value for value in tree_leaves(values) if isinstance(value, torch.Tensor)
    ]
    return {
        StorageWeakRef(t.untyped_storage()): t.untyped_storage().nbytes()
        for t in tensors
    }


class Made(TorchDispatchMode):
    """Notes how much memory the tensors take that are made inside: the largest one, and
    all that are kept.
    """

    def __init__(self):
        super().__init__()
        self.largest, self.storages = 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given, out = storages_of((args, kwargs)), func(*args, **(kwargs or {}))
        made = {
            storage: size
            for storage, size in storages_of(out).items()
            if storage not in given
        }
        self.storages |= made
        self.largest = max(self.largest, *made.values(), 0)
        return out

    def kept(self):
        """The bytes of those that are still in memory."""
        return sum(
            size for storage, size in self.storages.items() if not storage.expired()
        )


@st.composite
def chunks_and_targets(draw):
    """A chunk size, and which of the B·T positions have something to predict: at
    least one.
    """
    counted = draw(st.lists(st.booleans(), min_size=B * T, max_size=B * T).filter(any))
    return draw(st.integers(1, B * T + 2)), torch.tensor(counted).view(B, T)


@pytest.mark.stretch
class TestChunkedCrossEntropy:
    def test_the_mean_over_the_targets_that_count(self, kata):
        """Add up the losses of all chunks, then divide once, by the number of targets
        that are not −100. Chunks hold different numbers of them, the first one here
        none, so a mean of means is another number.
        """
        hidden, weight, targets = last_layer()
        got = kata.chunked_cross_entropy(hidden, weight, targets, chunk_size=5)
        check.that(
            isinstance(got, torch.Tensor) and got.requires_grad, "the loss has no graph"
        )
        check.shape(got, ())
        unlike = chunked_wrongly(hidden, weight, targets, 5)
        expected = whole_loss(hidden, weight, targets)
        check.close(got, expected, unlike=unlike, what="loss")

    def test_the_last_chunk_may_be_smaller(self, kata):
        """15 positions in chunks of 4: the last chunk has 3, and they count. One chunk
        may also hold everything.
        """
        hidden, weight, targets = last_layer()
        expected = whole_loss(hidden, weight, targets)
        first = whole_loss(hidden.flatten(0, 1)[:12], weight, targets.flatten()[:12])
        first = first * 6 / 9  # 6 of 9 targets
        for chunk_size in (4, 100):
            got = kata.chunked_cross_entropy(hidden, weight, targets, chunk_size)
            check.close(
                got,
                expected,
                unlike={"without the last chunk": first},
                what=f"loss in chunks of {chunk_size}",
            )

    @settings(max_examples=25)
    @given(case=chunks_and_targets())
    def test_both_gradients_are_those_of_the_whole(self, kata, case):
        """Chunks change where the work is done, not its result: for any size of the
        chunks and any targets, hidden and weight get the gradients of the usual loss.
        Every chunk adds its part to the weight's.
        """
        chunk_size, counted = case
        hidden, weight, targets = last_layer()
        targets = torch.where(counted, torch.randint(V, (B, T)), -100)
        expected = torch.autograd.grad(
            whole_loss(hidden, weight, targets), (hidden, weight)
        )
        loss = kata.chunked_cross_entropy(
            hidden, weight, targets, chunk_size=chunk_size
        )
        got = torch.autograd.grad(loss, (hidden, weight))
        check.close(got[0], expected[0], what="gradient of hidden")
        check.close(got[1], expected[1], what="gradient of weight")

    def test_padded_tokens_are_out_of_the_softmax(self, kata):
        """vocab_size says how many tokens are real. The others have no share of the
        softmax, and their rows of the weight get no gradient.
        """
        hidden, weight, targets = last_layer()
        real, targets = V - 6, targets.clamp(max=V - 7)
        whole = whole_loss(hidden, weight, targets, real)
        got = kata.chunked_cross_entropy(
            hidden, weight, targets, chunk_size=4, vocab_size=real
        )
        unmasked = whole_loss(hidden, weight, targets)
        unlike = {"the softmax runs over padded tokens too": unmasked}
        check.close(got, whole, unlike=unlike, what="loss")
        [expected], [rows] = (
            torch.autograd.grad(whole, weight),
            torch.autograd.grad(got, weight),
        )
        check.close(rows, expected, what="gradient of weight")

    def test_the_logits_never_exist_at_once(self, kata):
        """64 positions, 50 tokens, chunks of 4: the largest tensor made, forward or
        backward, is a sixteenth of all logits.
        """
        hidden, weight = (
            torch.randn(4, 16, 2, requires_grad=True),
            torch.randn(50, 2, requires_grad=True),
        )
        with Made() as made:
            kata.chunked_cross_entropy(
                hidden, weight, torch.randint(50, (4, 16)), chunk_size=4
            ).backward()
        largest = made.largest // 4
        check.that(
            largest <= 4 * 50,
            f"a tensor of {largest} numbers was made; the logits of 4 positions are "
            f"{4 * 50}",
        )

    def test_no_logits_are_kept_for_backward(self, kata):
        """A chunk's logits may go when its loss is known. If autograd keeps those of
        every chunk until backward, the memory is that of all logits again, in pieces.
        """
        hidden, weight = (
            torch.randn(4, 16, 2, requires_grad=True),
            torch.randn(50, 2, requires_grad=True),
        )
        with Made() as made:
            loss = kata.chunked_cross_entropy(
                hidden, weight, torch.randint(50, (4, 16)), chunk_size=4
            )
        kept, logits = made.kept() // 4, 4 * 16 * 50
        said, all_kept = (
            f"after forward {kept} numbers are kept; all logits are {logits}",
            "",
        )
        if kept >= logits:
            all_kept = "the logits of every chunk are kept for backward"
        check.that(kept < logits / 2, said, like=all_kept)
        check.that(loss.requires_grad, "the loss has no graph")

    @pytest.mark.edge
    def test_a_factor_of_the_loss_reaches_the_gradients(self, kata):
        """Gradient accumulation divides the loss, a scaler multiplies it: gradients
        that were computed in the forward pass must follow.
        """
        hidden, weight, targets = last_layer()
        expected = torch.autograd.grad(
            3.0 * whole_loss(hidden, weight, targets), (hidden, weight)
        )
        got = torch.autograd.grad(
            3.0 * kata.chunked_cross_entropy(hidden, weight, targets, 4),
            (hidden, weight),
        )
        check.close(
            got[0],
            expected[0],
            unlike={"the factor is lost": expected[0] / 3},
            what="gradient of hidden",
        )
        check.close(
            got[1],
            expected[1],
            unlike={"the factor is lost": expected[1] / 3},
            what="gradient of weight",
        )

    @pytest.mark.edge
    def test_under_autocast_the_loss_is_float32(self, kata):
        """The products are computed in bfloat16, the softmax and the sum in float32.
        The gradients have the dtype of what they belong to.
        """
        hidden, weight, targets = last_layer()
        exact = whole_loss(hidden.double(), weight.double(), targets)
        expected = torch.autograd.grad(exact, (hidden, weight))
        with torch.autocast("cpu", torch.bfloat16):
            logits = hidden @ weight.T
            loss = kata.chunked_cross_entropy(hidden, weight, targets, 4)
        check.dtype(loss, torch.float32, what="loss")
        logits = logits.float().flatten(0, 1)
        check.close(loss, nn.functional.cross_entropy(logits, targets.flatten()))
        for got, right, name in zip(
            torch.autograd.grad(loss, (hidden, weight)), expected, ("hidden", "weight")
        ):
            check.dtype(got, torch.float32, what=f"gradient of {name}")
            check.close(got, right, rtol=0.1, atol=0.02, what=f"gradient of {name}")

    @pytest.mark.edge
    def test_without_targets_the_loss_is_0(self, kata):
        """A micro-batch may be all padding. Its NaN would spread to every weight; a
        loss of 0 with gradients of 0 adds nothing.
        """
        hidden, weight, targets = last_layer()
        loss = kata.chunked_cross_entropy(
            hidden, weight, torch.full_like(targets, -100), 4
        )
        check.equal(loss.item(), 0.0, what="loss")
        for got, name in zip(
            torch.autograd.grad(loss, (hidden, weight)), ("hidden", "weight")
        ):
            check.equal(got, torch.zeros_like(got), what=f"gradient of {name}")

    @pytest.mark.edge
    def test_any_strides(self, kata):
        """hidden and targets may be slices or transposed."""
        hidden, weight = torch.randn(T, B, C).transpose(0, 1), torch.randn(V, C)
        targets = torch.randint(V, (B, T + 1))[:, 1:]
        got = kata.chunked_cross_entropy(hidden, weight, targets, 4)
        check.close(got, whole_loss(hidden, weight, targets), what="loss")

    @pytest.mark.edge
    def test_a_chunk_has_positions(self, kata):
        """A chunk_size below 1 is an error."""
        hidden, weight, targets = last_layer()
        for chunk_size in (0, -4):
            with check.raises(ValueError):
                kata.chunked_cross_entropy(hidden, weight, targets, chunk_size)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_the_gpu(self, kata):
        """GPT-2's vocabulary and 4096 positions: the logits in bfloat16 are 393 MiB,
        and one chunk takes a fraction.
        """
        hidden = torch.randn(4, 1024, 64, device="cuda", requires_grad=True)
        weight = (0.1 * torch.randn(50304, 64, device="cuda")).requires_grad_()
        targets, before = (
            torch.randint(50257, (4, 1024), device="cuda"),
            torch.cuda.memory_allocated(),
        )
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16):
            loss = kata.chunked_cross_entropy(
                hidden, weight, targets, 256, vocab_size=50257
            )
        loss.backward()
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        with torch.no_grad():
            expected = whole_loss(hidden, weight, targets, 50257).item()
        check.close(loss.item(), expected, rtol=0.0, atol=0.03, what="loss")
        check.that(
            peak < 393,
            f"the most memory at a time is {peak:.0f} MiB; the logits alone would be "
            "393",
        )


def many_numbers():
    """Normal numbers of both signs and many sizes."""
    return torch.randn(500) * 2.0 ** torch.randint(-100, 120, (500,))


def rounded_by_hand(x, bits):
    """The nearest float32 with that many bits of mantissa, in float64 arithmetic:
    round() breaks ties to even.
    """
    found = []
    for value in x.double().tolist():
        fraction, exponent = math.frexp(value)
        number = round(math.ldexp(fraction, bits + 1))
        found.append(math.ldexp(number, exponent - bits - 1))
    return torch.tensor(found, dtype=torch.float64).float()


def cut_off(x, bits):
    return (x.view(torch.int32) >> (23 - bits) << (23 - bits)).view(torch.float32)


def half_up(x, bits):
    """Rounded to nearest, ties away from zero."""
    return cut_off((x.view(torch.int32) + (1 << (22 - bits))).view(torch.float32), bits)


class HalfPrecision(TorchDispatchMode):
    """Notes tensors of bfloat16 or float16 that are made inside."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.made += [
            t.dtype
            for t in tree_leaves(out)
            if getattr(t, "dtype", None) in (torch.bfloat16, torch.float16)
        ]
        return out


@st.composite
def numbers_and_bits(draw):
    """A normal float32 of any size, and how many bits of its mantissa stay."""
    size = draw(st.floats(2.0**-60, 2.0**60, width=32))
    return draw(st.sampled_from([size, -size])), draw(st.integers(1, 22))


@pytest.mark.stretch
class TestRoundMantissa:
    def test_seven_bits_are_bfloat16(self, kata):
        """float32 and bfloat16 have the same exponents, so 7 bits of mantissa are all
        the difference there is.
        """
        x = many_numbers()
        unlike = {"cut off instead of rounded": cut_off(x, 7)}
        check.equal(kata.round_mantissa(x, 7), x.bfloat16().float(), unlike=unlike)

    def test_ties_go_to_even(self, kata):
        """With 2 bits the numbers from 1 on are 1, 1.25, 1.5, 1.75, 2. 1.125 lies half
        way between 1 (last bit 0) and 1.25 (last bit 1): it goes to 1, and 1.375 to
        1.5. Always up would drift.
        """
        x = torch.tensor([1.125, 1.375, 1.625, 1.875, -1.125, -1.375, 2.25, 2.75])
        expected = torch.tensor([1.0, 1.5, 1.5, 2.0, -1.0, -1.5, 2.0, 3.0])
        unlike = {
            "ties away from zero": half_up(x, 2),
            "cut off instead of rounded": cut_off(x, 2),
        }
        check.equal(kata.round_mantissa(x, 2), expected, unlike=unlike)

    @given(case=numbers_and_bits())
    def test_the_nearest_number(self, kata, case):
        """For any number of bits: the nearest number that needs no more of them, and
        rounding it again changes nothing. Cutting off goes towards 0 every time, and
        errors that all point one way add up.
        """
        number, bits = case
        x = torch.tensor([number])
        unlike = {"cut off instead of rounded": cut_off(x, bits)}
        got = kata.round_mantissa(x, bits)
        check.equal(got, rounded_by_hand(x, bits), unlike=unlike)
        check.equal(
            kata.round_mantissa(got, bits), got, what="the result, rounded once more"
        )

    def test_tf32_keeps_three_digits(self, kata):
        """10 bits of mantissa: the relative error is at most 2⁻¹¹."""
        x = torch.randn(20, 20)
        error = (
            ((kata.round_mantissa(x, 10).double() - x.double()) / x.double())
            .abs()
            .max()
            .item()
        )
        check.that(
            1e-4 < error <= 2.0**-11,
            f"the largest relative error is {error:.2e}, wanted 1e-4 to 2⁻¹¹ = 4.9e-4",
        )

    def test_by_hand(self, kata):
        """No tensor of bfloat16 or float16 on the way: those have 7 and 10 bits only,
        and TF32 has float32's range.
        """
        with HalfPrecision() as mode:
            kata.round_mantissa(torch.randn(9), 7)
            kata.round_mantissa(torch.randn(9), 10)
        check.that(
            not mode.made,
            f"a tensor of {mode.made[0] if mode.made else None} was made on the way",
        )

    @pytest.mark.edge
    def test_zeros_infinities_and_nan_stay(self, kata):
        """They have no mantissa to round. −0 keeps its sign. Adding to the bits of a
        NaN can turn it into −0.
        """
        x = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan])
        odd_nans = torch.tensor([0x7FFFFFFF, -1, 0x7F800001], dtype=torch.int32).view(
            torch.float32
        )
        for bits in (1, 7, 10, 23):
            got = kata.round_mantissa(x, bits)
            check.equal(
                got, x, what=f"{bits} bits of 0, −0, inf, −inf, nan", finite=False
            )
            check.equal(
                torch.signbit(got[:2]),
                torch.tensor([False, True]),
                what="signs of the zeros",
            )
            nans = kata.round_mantissa(odd_nans, bits)
            check.that(
                bool(nans.isnan().all()),
                f"NaN with other bits in it became {nans.tolist()}",
            )

    @pytest.mark.edge
    def test_the_largest_and_the_smallest_numbers(self, kata):
        """float32's largest number rounds up to infinity, as in bfloat16. Its smallest
        normal number stays.
        """
        largest = torch.finfo(torch.float32).max
        x = torch.tensor([largest, -largest, 1.8e38, 3.3e38, 2.0**-126, -(2.0**-126)])
        check.equal(kata.round_mantissa(x, 7), x.bfloat16().float(), finite=False)

    @pytest.mark.edge
    def test_all_bits_are_the_number_itself(self, kata):
        """A float32 has 23 bits, so the numbers are the same, in a new tensor."""
        x = many_numbers()
        got = kata.round_mantissa(x, 23)
        check.equal(got, x)
        check.independent(got, x)

    @pytest.mark.edge
    def test_the_input_stays(self, kata):
        """The result is a new float32 tensor, and x is not written to."""
        x = torch.randn(4, 6)
        with check.unchanged(x=x):
            got = kata.round_mantissa(x, 7)
        check.dtype(got, torch.float32)
        check.independent(got, x)

    @pytest.mark.edge
    def test_any_shape_and_strides(self, kata):
        """A transposed matrix, every second column, one number, none at all."""
        for x in (
            torch.randn(4, 6).mT,
            torch.randn(4, 6)[:, ::2],
            torch.tensor(math.pi),
            torch.randn(0, 3),
        ):
            got = kata.round_mantissa(x, 5)
            check.shape(got, x.shape)
            check.equal(got.flatten(), rounded_by_hand(x.flatten(), 5))

    @pytest.mark.edge
    def test_float32_only(self, kata):
        """Other dtypes have their bits elsewhere: an error, not a number read from the
        wrong bits.
        """
        for dtype in (torch.float64, torch.bfloat16, torch.int32):
            with check.raises(TypeError):
                kata.round_mantissa(torch.ones(3, dtype=dtype), 7)

    @pytest.mark.edge
    def test_one_to_23_bits(self, kata):
        """Fewer bits than 1, or more than a float32 has, are an error."""
        for bits in (0, -1, 24):
            with check.raises(ValueError):
                kata.round_mantissa(torch.ones(3), bits)


@pytest.mark.stretch
class TestMatmulPrecision:
    def test_set_inside_and_restored_after(self, kata):
        """Inside the block the level is the one asked for, afterwards the one from
        before, which need not be "highest".
        """
        for before in ("highest", "medium"):
            for level in ("high", "medium", "highest"):
                torch.set_float32_matmul_precision(before)
                with kata.matmul_precision(level):
                    check.equal(
                        torch.get_float32_matmul_precision(),
                        level,
                        what="precision inside the block",
                    )
                check.equal(
                    torch.get_float32_matmul_precision(),
                    before,
                    what="precision after the block",
                )

    def test_blocks_can_be_nested(self, kata):
        """The inner block restores the outer one's level."""
        torch.set_float32_matmul_precision("highest")
        with kata.matmul_precision("medium"):
            with kata.matmul_precision("high"):
                check.equal(
                    torch.get_float32_matmul_precision(),
                    "high",
                    what="precision in the inner block",
                )
            check.equal(
                torch.get_float32_matmul_precision(),
                "medium",
                what="precision after the inner block",
            )
        check.equal(
            torch.get_float32_matmul_precision(), "highest", what="precision after both"
        )

    @pytest.mark.edge
    def test_restored_after_an_exception(self, kata):
        """Whatever happens inside, later code gets its precision back, and the
        exception is not swallowed.
        """
        torch.set_float32_matmul_precision("highest")
        with check.raises(KeyError):
            with kata.matmul_precision("medium"):
                raise KeyError("something went wrong inside")
        check.equal(
            torch.get_float32_matmul_precision(),
            "highest",
            what="precision after the exception",
        )

    @pytest.mark.edge
    def test_another_level_is_refused(self, kata):
        """torch itself only warns and goes on. An error is better, and the level from
        before holds.
        """
        torch.set_float32_matmul_precision("high")
        for level in ("low", "tf32", ""):
            entered = False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with check.raises(ValueError):
                    with kata.matmul_precision(level):
                        entered = True
            check.that(not entered, "the block ran before the error")
            check.equal(
                torch.get_float32_matmul_precision(),
                "high",
                what="precision after the error",
            )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_tf32_on_the_gpu(self, kata):
        """On a GPU with TF32 a product is off by about 1e-3 inside the block, and exact
        to 1e-5 after it.
        """
        if torch.cuda.get_device_capability() < (8, 0):
            return  # too old for TF32: "high" changes nothing
        a, b = torch.rand(512, 512), torch.rand(512, 512)
        exact = a.double() @ b.double()
        with kata.matmul_precision("high"):
            inside = ((a.cuda() @ b.cuda()).cpu() / exact - 1).abs().max().item()
        after = ((a.cuda() @ b.cuda()).cpu() / exact - 1).abs().max().item()
        check.that(
            inside > 3 * after,
            f"relative error {inside:.1e} inside the block, {after:.1e} after it",
        )


class Watched:
    """Notes, for every call of a GPT's forward, what it runs under: two rungs are told
    apart by this alone.
    """

    def __init__(self, kata):
        self.calls, original = [], kata.GPT.forward

        def forward(model, *args, **kwargs):
            self.calls.append(
                {
                    "flash": {block.attn.flash for block in model.transformer.h},
                    "precision": torch.get_float32_matmul_precision(),
                    "autocast": torch.get_autocast_dtype("cpu")
                    if torch.is_autocast_enabled("cpu")
                    else None,
                    "vocab_size": model.lm_head.weight.size(0),
                    "training": {module.training for module in model.modules()},
                }
            )
            return original(model, *args, **kwargs)

        self.patch = mock.patch.object(kata.GPT, "forward", forward)

    def __enter__(self):
        self.patch.start()
        return self.calls

    def __exit__(self, *exception):
        self.patch.stop()


class Compiled(nn.Module):
    """A module as torch.compile returns it: called differently, and the module itself
    for everything else.
    """

    def __init__(self, model, compiled):
        super().__init__()
        self._orig_mod = model
        self.forward = compiled

    def __getattr__(self, name):
        return (
            super().__getattr__(name)
            if name == "_orig_mod"
            else getattr(self._orig_mod, name)
        )


class Softmaxes(TorchDispatchMode):
    """Notes for every forward softmax whether it ran inside what torch.compile
    was given.
    """

    def __init__(self):
        super().__init__()
        self.depth, self.inside, self.given = 0, [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if (
            func is torch.ops.aten._log_softmax.default
            or func is torch.ops.aten.logsumexp.default
        ):
            self.inside.append(self.depth > 0)
        return func(*args, **(kwargs or {}))

    def compile(self, model=None, **options):
        """Stands in for torch.compile: what it returns calls the model as it is."""
        if model is None:
            return lambda later: self.compile(later, **options)
        self.given.append(options.get("backend"))

        def compiled(*args, **kwargs):
            self.depth += 1
            try:
                return model(*args, **kwargs)
            finally:
                self.depth -= 1

        return Compiled(model, compiled) if isinstance(model, nn.Module) else compiled


def scripted_clock(*durations):
    """A clock on which the measured steps take these times."""
    readings = [
        t for i, d in enumerate(durations) for t in (1000.0 * i, 1000.0 * i + d)
    ]
    return iter(readings).__next__


def ladder_by_hand(
    kata, model, x, y, n_steps, lr, decay=0.1, betas=(0.9, 0.95), clip=1.0
):
    """The losses of n_steps steps of AdamW on a float64 copy, by hand."""
    params = {n: p.detach().double() for n, p in model.named_parameters()}
    state = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in params.items()}
    twin, losses = copy.deepcopy(model).double(), []
    for t in range(1, n_steps + 1):
        leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
        loss = loss_by_hand(torch.func.functional_call(twin, leaves, (x,))[0], y)
        grads = dict(
            zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)
        )
        norm = math.sqrt(sum(g.square().sum().item() for g in grads.values()))
        losses.append(loss.item())
        for n, p in params.items():
            g = grads[n] * min(1.0, clip / norm)
            m, v = (
                betas[0] * state[n][0] + (1 - betas[0]) * g,
                betas[1] * state[n][1] + (1 - betas[1]) * g**2,
            )
            state[n] = m, v
            step = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
            params[n] = p * (1 - lr * (decay if p.ndim >= 2 else 0.0)) - lr * step
    return losses


@pytest.mark.stretch
class TestRungModel:
    def test_a_copy_that_returns_its_loss(self, kata):
        """Called with (x, y) it returns a pair with the loss, and its weights are not
        those of the model given.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        before = weights(model)
        got = kata.rung_model(model, kata.Rung("fp32"))
        check.close(
            got(x, y)[1].item(),
            loss_by_hand(model(x)[0], y).item(),
            rtol=1e-5,
            what="loss",
        )
        with torch.no_grad():
            for p in got.parameters():
                p.add_(1.0)
        check.equal(weights(model), before, what="weights of the model given")

    @pytest.mark.parametrize("flash", [True, False])
    def test_flash_is_the_rungs(self, kata, flash):
        """Every attention layer of the copy uses flash if the rung says so, and only
        then. The model given stays.
        """
        model, (x, y) = stirred(kata, torch.float32, flash=not flash), batch()
        with Watched(kata) as calls:
            kata.rung_model(model, kata.Rung("flash", flash=flash))(x, y)
        check.equal(
            calls[0]["flash"], {flash}, what="flash of the attention layers in the copy"
        )
        check.equal(
            {block.attn.flash for block in model.transformer.h},
            {not flash},
            what="flash of the model given",
        )

    def test_in_training_mode(self, kata):
        """Dropout costs time too: a rung trains, also when the model given is in eval
        mode and stays in it.
        """
        model, (x, y) = stirred(kata, torch.float32).eval(), batch()
        with Watched(kata) as calls:
            for rung in (kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)):
                kata.rung_model(model, rung)(x, y)
        check.equal(
            [call["training"] for call in calls],
            [{True}, {True}],
            what="training flags inside the rungs",
        )
        check.that(
            not any(m.training for m in model.modules()),
            "the model given was in eval mode, and is no longer",
        )

    def test_a_padded_copy_masks_its_logits(self, kata):
        """The vocabulary grows to the next multiple, and the loss stays: padded tokens
        are out of the softmax.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        with Watched(kata) as calls:
            loss = kata.rung_model(model, kata.Rung("pad", pad_multiple=16))(x, y)[
                1
            ].item()
        check.equal(calls[0]["vocab_size"], PADDED, what="vocabulary of the copy")
        unlike = {
            "the softmax runs over padded tokens too": loss_by_hand(
                padded_by_hand(kata, model)(x)[0], y
            ).item()
        }
        check.close(
            loss,
            loss_by_hand(model(x)[0], y).item(),
            rtol=1e-5,
            unlike=unlike,
            what="loss",
        )

    @pytest.mark.parametrize("pad_multiple", [None, 16], ids=["plain", "padded"])
    def test_the_loss_is_compiled_with_the_model(self, kata, pad_multiple):
        """torch.compile fuses only what it is given. A softmax over all logits that is
        left outside reads and writes them once more. So the compiled module takes
        (x, y) and returns the loss, the mask inside.
        """
        model, (x, y), softmaxes = stirred(kata, torch.float32), batch(), Softmaxes()
        rung = kata.Rung(
            "compiled", compile_backend="aot_eager", pad_multiple=pad_multiple
        )
        expected = loss_by_hand(model(x)[0], y).item()
        with mock.patch.object(torch, "compile", softmaxes.compile), softmaxes:
            compiled = kata.rung_model(model, rung)
            softmaxes.inside.clear()
            loss = compiled(x, y)[1].item()
        check.equal(
            softmaxes.given, ["aot_eager"], what="backends given to torch.compile"
        )
        check.that(
            all(softmaxes.inside),
            "the loss is computed outside of what torch.compile was given",
        )
        check.close(loss, expected, rtol=1e-5, what="loss of the compiled rung")

    def test_no_backend_no_compile(self, kata):
        """torch.compile costs seconds, so a rung without a backend does not call it."""
        model, softmaxes = stirred(kata, torch.float32), Softmaxes()
        with mock.patch.object(torch, "compile", softmaxes.compile):
            for rung in (kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)):
                kata.rung_model(model, rung)
        check.equal(softmaxes.given, [], what="backends given to torch.compile")


@pytest.mark.stretch
@pytest.mark.timeout(60)
class TestRunRung:
    def test_losses_of_a_plain_rung(self, kata):
        """The losses of AdamW from the given weights, warm-up steps included: the first
        is that of the model as it was given.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        before, expected = weights(model), ladder_by_hand(kata, model, x, y, 5, lr=0.01)
        _, losses = kata.run_rung(
            model, x, y, kata.Rung("fp32"), n_steps=3, n_warmup=2, lr=0.01
        )
        unlike = {
            "warm-up steps are missing": expected[2:],
            "lr 0.001": ladder_by_hand(kata, model, x, y, 5, lr=1e-3),
        }
        check.close(losses, expected, rtol=1e-4, unlike=unlike, what="losses")
        check.equal(weights(model), before, what="weights of the model given")

    def test_seconds_of_the_measured_steps(self, kata):
        """One time per measured step, read from the given clock, and none
        for warm-up.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.002, 0.5, 0.003)
        seconds, losses = kata.run_rung(
            model, x, y, kata.Rung("fp32"), n_steps=3, n_warmup=2, clock=clock
        )
        check.close(seconds, [0.002, 0.5, 0.003], what="seconds")
        check.equal(len(losses), 5, what="number of losses, warm-up included")

    def test_each_rung_uses_what_it_says(self, kata):
        """flash, precision, autocast and vocabulary are those of the rung, whatever the
        model given uses.
        """
        rungs = {
            "precision": kata.Rung("TF32", precision="high"),
            "autocast": kata.Rung("bf16", dtype=torch.bfloat16),
            "flash": kata.Rung("flash", flash=True),
            "vocab_size": kata.Rung("pad", pad_multiple=16),
        }
        changed = {
            "precision": "high",
            "autocast": torch.bfloat16,
            "flash": {True},
            "vocab_size": PADDED,
        }
        usual = {
            "flash": {False},
            "precision": "highest",
            "autocast": None,
            "vocab_size": V,
            "training": {True},
        }
        model, (x, y) = stirred(kata, torch.float32), batch()
        for field, rung in rungs.items():
            with Watched(kata) as calls:
                kata.run_rung(model, x, y, rung, n_steps=1, n_warmup=0)
            check.equal(
                calls,
                [usual | {field: changed[field]}],
                what=f"forward passes of {rung.name!r}",
            )

    def test_the_optimizer_is_as_the_rung_says(self, kata):
        """One optimizer per rung, from make_optimizer, with this lr and with fused as
        the rung says.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        made, original = [], torch.optim.AdamW.__init__

        def noting(optimizer, *args, **kwargs):
            original(optimizer, *args, **kwargs)
            made.append((optimizer.defaults["lr"], bool(optimizer.defaults["fused"])))

        with mock.patch.object(torch.optim.AdamW, "__init__", noting):
            for rung in (kata.Rung("fp32"), kata.Rung("fused", fused=True)):
                kata.run_rung(model, x, y, rung, n_steps=1, lr=0.02)
        check.equal(
            made,
            [(0.02, False), (0.02, True)],
            what="lr and fused of the optimizers made",
        )

    def test_every_rung_loses_nearly_the_same(self, kata):
        """Another kernel or layout for the same sums: the losses agree to 1e-3. Fewer
        bits in the products: to 0.05. float16 gets the scaler that it needs. ("eager"
        needs no compiler.)
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        _, plain = kata.run_rung(model, x, y, kata.Rung("fp32"), n_steps=1)
        for tolerance, rung in (
            (1e-3, kata.Rung("flash", flash=True)),
            (1e-3, kata.Rung("fused", fused=True)),
            (1e-3, kata.Rung("pad", pad_multiple=16)),
            (
                1e-3,
                kata.Rung(
                    "compiled",
                    compile_backend="eager",
                    flash=True,
                    pad_multiple=16,
                    fused=True,
                ),
            ),
            (0.05, kata.Rung("TF32", precision="high")),
            (0.05, kata.Rung("fp16", dtype=torch.float16)),
            (0.05, kata.Rung("bf16, padded", dtype=torch.bfloat16, pad_multiple=16)),
        ):
            _, losses = kata.run_rung(model, x, y, rung, n_steps=1)
            check.close(
                losses,
                plain,
                rtol=0.0,
                atol=tolerance,
                what=f"losses of the rung {rung.name!r}",
            )

    def test_one_scaler_for_all_steps_of_a_rung(self, kata):
        """A float16 rung has one GradScaler. A new one in every step would start at its
        first, too large factor again and again, and leave every step out.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        with torch.no_grad():
            # gradients that the first factor, 65536, drives beyond float16
            model.transformer.ln_f.weight.mul_(60.0)
        _, losses = kata.run_rung(
            model, x, y, kata.Rung("fp16", dtype=torch.float16), n_steps=20, lr=0.01
        )
        check.close(
            losses[1],
            losses[0],
            what="second loss: the first step should have been left out",
        )
        check.that(
            losses[-1] < 0.9 * losses[0],
            f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} in 21 steps",
        )

    def test_the_precision_is_restored(self, kata):
        """After the rung the precision is the one from before: the next experiment must
        not inherit it.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        torch.set_float32_matmul_precision("medium")
        kata.run_rung(model, x, y, kata.Rung("TF32", precision="high"), n_steps=1)
        left = {"left at that of the rung": "high"}
        check.equal(
            torch.get_float32_matmul_precision(),
            "medium",
            unlike=left,
            what="precision after the rung",
        )

    @pytest.mark.edge
    def test_the_precision_is_restored_after_a_failure(self, kata):
        """A rung may run out of memory half way. The precision must still
        be restored.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        torch.set_float32_matmul_precision("medium")
        with check.raises(StopIteration):
            kata.run_rung(
                model,
                x,
                y,
                kata.Rung("TF32", precision="high"),
                n_steps=2,
                clock=scripted_clock(1.0),
            )
        check.equal(
            torch.get_float32_matmul_precision(),
            "medium",
            what="precision after a rung that failed",
        )


@pytest.mark.stretch
@pytest.mark.timeout(60)
class TestSpeedLadder:
    def test_one_row_a_rung(self, kata):
        """A dict per rung, in order, with these five keys. By default there is one step
        of warm-up before three.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        rows = kata.speed_ladder(
            model, x, y, [kata.Rung("slow"), kata.Rung("quick", flash=True)]
        )
        check.equal([row["name"] for row in rows], ["slow", "quick"], what="names")
        for row in rows:
            check.equal(
                sorted(row),
                ["losses", "mfu", "ms", "name", "tokens_per_s"],
                what="keys of a row",
            )
            check.equal(
                len(row["losses"]), 4, what="number of losses, warm-up included"
            )

    def test_every_rung_starts_from_the_given_weights(self, kata):
        """Two equal rungs have equal losses, step by step. What the first one learned,
        or its optimizer remembers, must not reach the second.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        [longer] = kata.speed_ladder(
            copy.deepcopy(model), x, y, [kata.Rung("both")], n_steps=4, lr=0.01
        )
        first, second = kata.speed_ladder(
            model, x, y, [kata.Rung("one"), kata.Rung("again")], lr=0.01
        )
        later = longer["losses"][len(first["losses"])]
        unlike = {
            "those of the weights that the first one left": [later, ..., ..., ...]
        }
        what = "losses of the second of two equal rungs"
        check.close(
            second["losses"], first["losses"], rtol=1e-5, unlike=unlike, what=what
        )

    def test_the_median_of_the_steps(self, kata):
        """Steps of 2, 500, 3 and 6 ms: the middle two give 4.5. A mean would be 128,
        for one slow step.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.002, 0.5, 0.003, 0.006)
        [row] = kata.speed_ladder(
            model, x, y, [kata.Rung("fp32")], n_steps=4, n_warmup=2, clock=clock
        )
        unlike = {
            "the mean": 127.75,
            "in seconds": 0.0045,
            "the lower middle": 3.0,
            "the upper middle": 6.0,
        }
        check.close(row["ms"], 4.5, rtol=1e-6, unlike=unlike, what="ms")
        check.equal(len(row["losses"]), 6, what="number of losses, warm-up included")

    def test_all_tokens_count(self, kata):
        """B·T tokens per step over the median: of 9, 2 and 5 ms the middle one is 5,
        and 15 tokens in 5 ms are 3000 per second.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.009, 0.002, 0.005)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")], clock=clock)
        check.close(
            row["ms"],
            5.0,
            rtol=1e-6,
            unlike={"the second": 2.0, "the mean": 16 / 3},
            what="ms",
        )
        unlike = {"rows per second": 600.0, "tokens of all steps over one": 9000.0}
        check.close(
            row["tokens_per_s"], 3000.0, rtol=1e-6, unlike=unlike, what="tokens_per_s"
        )

    def test_utilisation(self, kata):
        """The operations of the model given, padded or not, over the peak; None where
        no peak is known.
        """
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)]
        per_token = (
            6 * (sum(p.numel() for p in model.parameters()) - BLOCK * C)
            + 12 * L * C * BLOCK
        )
        more = per_token + 6 * (PADDED - V) * C
        clock = scripted_clock(*[0.005] * 2)
        plain, padded = kata.speed_ladder(
            model, x, y, rungs, n_steps=1, peak_flops=1e9, clock=clock
        )
        check.close(plain["mfu"], 3000 * per_token / 1e9, rtol=1e-6, what="mfu")
        unlike = {"padding counted as work": 3000 * more / 1e9}
        check.close(
            padded["mfu"],
            3000 * per_token / 1e9,
            rtol=1e-6,
            unlike=unlike,
            what="mfu of the padded rung",
        )
        for row in kata.speed_ladder(model, x, y, rungs, n_steps=1):
            check.that(
                row["mfu"] is None,
                f"without peak_flops mfu should be None, got {row['mfu']}",
            )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_the_ladder_on_the_gpu(self, kata):
        """The rungs on a GPU: TF32, bfloat16, compiled ("aot_eager" needs no compiler),
        flash, padded, fused.
        """
        model, (x, y) = stirred(kata, torch.float32).cuda(), batch()
        rungs = [
            kata.Rung("fp32"),
            kata.Rung("TF32", precision="high"),
            kata.Rung("bf16", precision="high", dtype=torch.bfloat16),
            kata.Rung("flash", precision="high", dtype=torch.bfloat16, flash=True),
            kata.Rung("fused", flash=True, fused=True),
            kata.Rung("all", "high", torch.bfloat16, True, "aot_eager", 16, True),
        ]
        plain, *others = kata.speed_ladder(model, x.cuda(), y.cuda(), rungs)
        for row in others:
            check.close(
                row["losses"],
                plain["losses"],
                rtol=0.0,
                atol=0.05,
                what=f"losses of the rung {row['name']!r}",
            )

    @pytest.mark.edge
    @pytest.mark.amp
    def test_float16_on_the_gpu(self, kata):
        """float16 with a GradScaler and float32 with TF32, on CUDA: the losses agree
        to 0.05.
        """
        model, (x, y) = stirred(kata, torch.float32).cuda(), batch()
        rungs = [
            kata.Rung("fp32"),
            kata.Rung("fp16", dtype=torch.float16),
            kata.Rung(
                "fp16, all else",
                "high",
                torch.float16,
                flash=True,
                pad_multiple=16,
                fused=True,
            ),
        ]
        plain, *others = kata.speed_ladder(model, x.cuda(), y.cuda(), rungs)
        for row in others:
            check.close(
                row["losses"],
                plain["losses"],
                rtol=0.0,
                atol=0.05,
                what=f"losses of the rung {row['name']!r}",
            )
