"""Specs of 30 · Fast training."""

import copy
import math
import warnings
from dataclasses import replace
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.specs import check

B, T, C, H, L, V, BLOCK = 3, 5, 12, 2, 2, 19, 7
PADDED = 32  # V rounded up to a multiple of 16
LR = 0.5
FACTOR = 8.0
EXACT = {"rtol": 0.0, "atol": 0.0}  # whatever the dtype
CLIPPED = {"rtol": 1e-5, "atol": 1e-6}  # torch divides by the norm + 1e-6


def small(kata, **changes):
    """The config of most specs: every size is another number."""
    sizes = {"block_size": BLOCK, "vocab_size": V, "n_layer": L, "n_head": H, "n_embd": C, "dropout": 0.0, "bias": True}
    return kata.GPTConfig(**(sizes | changes))


def stirred(kata, dtype=torch.float64, flash=False, **changes):
    """A model in training mode whose weights are all random: biases of 0 hide mistakes."""
    model = kata.GPT(small(kata, **changes), flash=flash)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    return model.to(dtype)


def batch():
    """Inputs, and the targets one place further on. Both are slices, so neither is contiguous."""
    tokens = torch.randint(V, (B, T + 1))
    return tokens[:, :-1], tokens[:, 1:]


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def sgd(model, lr=LR):
    return torch.optim.SGD(model.parameters(), lr=lr)


def loss_by_hand(logits, y):
    """The mean of −log p over the targets that count, in float64."""
    log_p = logits.double() - logits.double().exp().sum(-1, keepdim=True).log()
    return -torch.stack([log_p[b, t, y[b, t]] for b in range(B) for t in range(T) if y[b, t] != -100]).mean()


def padded_by_hand(kata, model, size=PADDED):
    """A model with a larger vocabulary whose extra rows are 0."""
    padded = kata.GPT(replace(model.config, vocab_size=size), flash=False).to(model.lm_head.weight)
    state = model.state_dict()
    for name in ("transformer.wte.weight", "lm_head.weight"):
        state[name] = torch.cat([state[name], state[name].new_zeros(size - len(state[name]), C)])
    padded.load_state_dict(state)
    return padded


def plain_step(model, x, y, max_norm=1.0, scaled=1.0, columns=None, unclipped=False):
    """(loss, weights after one step of SGD), by hand on a copy. `scaled` makes a mistake: gradients that much too large
    when they are clipped."""
    names, params = zip(*copy.deepcopy(model).named_parameters(), strict=True)
    inputs = dict(zip(names, params, strict=True))
    loss = loss_by_hand(torch.func.functional_call(model, inputs, (x,))[0][..., :columns], y)
    grads = torch.autograd.grad(loss, params)
    norm = scaled * math.sqrt(sum(g.square().sum().item() for g in grads))
    factor = 1.0 if unclipped or max_norm is None else min(1.0, max_norm / norm)
    return loss.item(), {n: p.detach() - LR * factor * g for n, p, g in zip(names, params, grads, strict=True)}


class RecordingScaler:
    """Scales by a fixed factor, as torch.amp.GradScaler would, and notes what is called. May refuse to step."""

    def __init__(self, skips=False):
        self.calls, self.skips, self.divided = [], skips, False

    def scale(self, loss):
        self.calls.append("scale")
        return loss * FACTOR

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
                    p.grad = p.grad / FACTOR
        self.divided = True


class FakeGpu:
    """Asking for a step takes 1 second; its work then goes on for as long as `works` says. A measured clock."""

    def __init__(self, *works):
        self.works, self.now, self.done, self.steps, self.readings, self.early = list(works), 0.0, 0.0, 0, 0, 0

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
        return kata.time_steps(self.step, n_steps, synchronize=self.synchronize, clock=self.clock, **options)


class TestTokensPerSecond:
    def test_all_tokens_over_the_time(self, kata):
        """16 rows of 1024 tokens in half a second are 32768 tokens a second."""
        check.close(kata.tokens_per_second(16 * 1024, 0.5), 32768.0, unlike={"multiplied by the time": 8192.0})
        check.close(kata.tokens_per_second(3, 4.0), 0.75)

    @pytest.mark.parametrize("seconds", [0.0, -1.0])
    @pytest.mark.edge
    def test_a_step_takes_time(self, kata, seconds):
        """A time of 0 or less means that the clock was read wrongly: ValueError, before anything is divided by it."""
        with check.raises(ValueError):
            kata.tokens_per_second(100, seconds)


class TestFlopsPerToken:
    def test_weights_and_attention(self, kata):
        """6 operations a weight, plus 12·n_layer·n_embd·block_size for attention, which has no weights of its own."""
        config = small(kata, n_layer=3, n_embd=10, block_size=7)
        unlike = {
            "the attention term is missing": 600,
            "the forward pass alone": 200 + 4 * 3 * 10 * 7,
            "n_head in place of n_layer": 600 + 12 * H * 10 * 7,
            "n_head as a factor, though n_embd already is all heads together": 600 + 12 * 3 * H * 10 * 7,
        }
        check.equal(kata.flops_per_token(config, 100), 600 + 12 * 3 * 10 * 7, unlike=unlike)

    def test_gpt2(self, kata):
        """GPT-2 has 123,653,376 parameters without wpe, which is only looked up: 855 million operations a token."""
        config = small(kata, n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50257)
        check.equal(kata.flops_per_token(config, 123_653_376), 855_166_464)


class TestMfu:
    def test_done_over_possible(self, kata):
        """50 tokens a second at 4 operations each are 200, half of a peak of 400."""
        check.close(kata.mfu(50.0, 4, 400.0), 0.5, unlike={"upside down": 2.0, "in per cent": 50.0})
        check.close(kata.mfu(3.0, 7, 10.0), 2.1)
        check.close(kata.mfu(0.25, 1, 0.5), 0.5)

    @pytest.mark.parametrize("peak", [0.0, -1e12])
    @pytest.mark.edge
    def test_a_device_has_a_peak(self, kata, peak):
        """A peak of 0 or less is a slip: ValueError."""
        with check.raises(ValueError):
            kata.mfu(50.0, 4, peak)


class TestTimeSteps:
    def test_the_work_is_in_the_time(self, kata):
        """Here asking for a step takes 1 second and the work 4, 9 and 2 more. Without `synchronize` before the second
        reading only the asking is timed."""
        gpu = FakeGpu(4.0, 9.0, 2.0)
        got = gpu.measured(kata, 3, n_warmup=0)
        unlike = {"only the launch was timed": [1.0, 1.0, 1.0], "the mean of all": [6.0, 6.0, 6.0]}
        check.equal(got, [5.0, 10.0, 3.0], unlike=unlike, what="seconds")

    def test_warm_up_is_over_before_the_clock_is_read(self, kata):
        """The work of the last warm-up step still goes on when Python is done asking for it: wait, then read the
        clock. Otherwise it counts as the first step's."""
        gpu = FakeGpu(100.0, 4.0)
        got = gpu.measured(kata, 1, n_warmup=1)
        check.equal(got, [5.0], unlike={"the warm-up's work is in it": [104.0]}, what="seconds")
        check.equal(gpu.early, 0, what="readings of the clock while work was under way")

    def test_warm_up_is_not_measured(self, kata):
        """Two warm-up steps run before the three that count, and are not in the list."""
        gpu = FakeGpu(100.0, 50.0, 4.0, 9.0, 2.0)
        check.equal(gpu.measured(kata, 3, n_warmup=2), [5.0, 10.0, 3.0], what="seconds")
        check.equal(gpu.steps, 5, what="calls of step, warm-up included")

    def test_one_warm_up_by_default(self, kata):
        """Without n_warmup one step is not measured: the first one is never like the others."""
        gpu = FakeGpu(100.0, 4.0, 9.0)
        check.equal(gpu.measured(kata, 2), [5.0, 10.0], what="seconds")

    def test_the_clock_is_read_twice_a_step(self, kata):
        """Once before each measured step and once after it, and not at all for warm-up."""
        gpu = FakeGpu(*[1.0] * 7)
        gpu.measured(kata, 4, n_warmup=3)
        check.equal(gpu.readings, 8, what="readings of the clock for 4 measured steps")

    def test_without_a_gpu_nothing_is_waited_for(self, kata):
        """synchronize=None on a machine without CUDA: the CPU has finished when the call returns."""
        gpu = FakeGpu(0.0, 0.0, 0.0)
        with mock.patch.object(torch.cuda, "is_available", lambda: False):
            got = kata.time_steps(gpu.step, 2, clock=gpu.clock)
        check.equal(got, [1.0, 1.0], what="seconds")

    def test_with_a_gpu_it_waits_by_itself(self, kata):
        """synchronize=None where CUDA exists means torch.cuda.synchronize."""
        gpu = FakeGpu(100.0, 4.0, 9.0)
        with (
            mock.patch.object(torch.cuda, "is_available", lambda: True),
            mock.patch.object(torch.cuda, "synchronize", lambda *device: gpu.synchronize()),
        ):
            got = kata.time_steps(gpu.step, 2, clock=gpu.clock)
        check.equal(got, [5.0, 10.0], unlike={"only the launch was timed": [1.0, 1.0]}, what="seconds")

    def test_times_are_positive_on_a_real_clock(self, kata):
        """With the clock there is by default, each step takes some time."""
        with mock.patch.object(torch.cuda, "is_available", lambda: False):
            got = kata.time_steps(lambda: sum(range(1000)), 3)
        check.that(len(got) == 3 and all(0 < s < 10 for s in got), f"wanted three times above 0, got {got}")

    @pytest.mark.parametrize("n_steps", [0, -2])
    @pytest.mark.edge
    def test_at_least_one_step(self, kata, n_steps):
        """No steps, no times: ValueError, before any warm-up."""
        gpu = FakeGpu(1.0, 1.0)
        with check.raises(ValueError):
            gpu.measured(kata, n_steps)
        check.equal(gpu.steps, 0, what="calls of step before the error")

    @pytest.mark.gpu
    def test_waits_for_the_gpu(self, kata):
        """A product of large matrices is asked for in no time and takes its time: measured with the default and with
        torch.cuda.synchronize it is the same, and far more than the asking alone."""
        a = torch.randn(8192, 8192, device="cuda")
        waited = min(kata.time_steps(lambda: a @ a, 5, 2))
        given = min(kata.time_steps(lambda: a @ a, 5, 2, torch.cuda.synchronize))
        asked = min(kata.time_steps(lambda: a @ a, 5, 2, lambda: None))
        torch.cuda.synchronize()
        check.that(waited > 3 * asked, f"waiting takes {waited:.2e} s, asking alone {asked:.2e} s")
        check.that(0.5 < waited / given < 2, f"{waited:.2e} s by default, {given:.2e} s with torch.cuda.synchronize")


class TestPaddedSize:
    def test_gpt2s_vocabulary(self, kata):
        """50257 is odd. The next multiple of 128 is 50304 = 393 · 128."""
        check.equal(kata.padded_size(50257), 50304, unlike={"rounded down": 50176})

    @pytest.mark.parametrize("n, multiple, size", [(64, 64, 64), (50304, 128, 50304), (7, 1, 7)])
    def test_a_multiple_stays(self, kata, n, multiple, size):
        """What fills its tiles already needs no padding: n // multiple + 1 would add a whole tile of nothing."""
        check.equal(kata.padded_size(n, multiple), size, unlike={"one tile too many": size + multiple})

    @pytest.mark.parametrize("n, multiple, size", [(65, 64, 128), (127, 64, 128), (1, 128, 128), (19, 16, 32)])
    def test_up_to_the_next_multiple(self, kata, n, multiple, size):
        """Always up, and never further than needed."""
        check.equal(kata.padded_size(n, multiple), size, unlike={"rounded down": n // multiple * multiple})

    @pytest.mark.parametrize("n, multiple", [(0, 8), (-3, 8), (8, 0), (8, -2)])
    @pytest.mark.edge
    def test_sizes_are_at_least_one(self, kata, n, multiple):
        """A size or a multiple below 1 is a slip: ValueError."""
        with check.raises(ValueError):
            kata.padded_size(n, multiple)


class TestPadVocab:
    def test_the_old_logits_are_unchanged(self, kata):
        """The copy gives the first V scores as before, and a score of 0 to tokens whose rows are 0."""
        model, (x, _) = stirred(kata), batch()
        before = model(x)[0]
        got = kata.pad_vocab(model, 16)(x)[0]
        check.shape(got, (B, T, PADDED))
        check.close(got[..., :V], before, what="logits of the old tokens")
        check.close(got[..., V:], torch.zeros(B, T, PADDED - V), **EXACT, what="logits of the new tokens")

    def test_the_config_says_so(self, kata):
        """The copy's config has the new vocab_size and nothing else new, and so have its two layers. The config of the
        model given stays."""
        kept = {"dropout": 0.25, "bias": False}
        model = stirred(kata, **kept)
        padded = kata.pad_vocab(model, 16)
        check.that(isinstance(padded, kata.GPT), f"wanted a GPT, got {check.describe(padded)}")
        check.equal(padded.config, small(kata, vocab_size=PADDED, **kept), what="config of the copy")
        check.equal(model.config, small(kata, **kept), what="config of the model given")
        check.equal(padded.lm_head.out_features, PADDED, what="lm_head.out_features")
        check.equal(padded.transformer.wte.num_embeddings, PADDED, what="transformer.wte.num_embeddings")

    def test_extra_rows_are_zero(self, kata):
        """Rows that start as random numbers would be 13 wrong scores in every softmax."""
        model = stirred(kata)
        rows = kata.pad_vocab(model, 16).lm_head.weight.detach()
        check.shape(rows, (PADDED, C))
        check.close(rows[:V], model.lm_head.weight.detach(), what="rows of the old tokens")
        check.close(rows[V:], torch.zeros(PADDED - V, C), **EXACT, what="rows of the new tokens")

    def test_still_one_weight(self, kata):
        """wte and lm_head share one Parameter, in the copy as in the model: padding each by itself makes two, which
        then learn different things."""
        padded = kata.pad_vocab(stirred(kata), 16)
        tied = padded.lm_head.weight is padded.transformer.wte.weight
        check.that(tied, "lm_head.weight and transformer.wte.weight are two Parameters")
        check.equal(padded.num_params(), stirred(kata).num_params() + (PADDED - V) * C, what="number of parameters")

    def test_the_weights_can_learn(self, kata):
        """What the optimizer gets to see is Parameters, the padded one too."""
        padded, (x, y) = kata.pad_vocab(stirred(kata), 16), batch()
        loss_by_hand(padded(x)[0], y).backward()
        for name, p in padded.named_parameters():
            check.that(isinstance(p, nn.Parameter) and p.grad is not None, f"{name} gets no gradient")

    @pytest.mark.parametrize("multiple", [16, 1], ids=["padded", "nothing to pad"])
    def test_the_copy_is_independent(self, kata, multiple):
        """Training the copy must not train the model, also where the vocabulary is a multiple already."""
        model = stirred(kata)
        before = weights(model)
        padded = kata.pad_vocab(model, multiple)
        with torch.no_grad():
            for p in padded.parameters():
                p.add_(1.0)
        check.that(padded is not model, "this is the model that was given, not a new one")
        check.that(padded.config is not model.config, "model and copy share one config object")
        check.equal(weights(model), before, what="weights of the model given")
        check.equal(list(weights(model)), list(weights(padded)), what="names of the parameters")

    def test_the_model_given_stays(self, kata):
        """It keeps its vocabulary, its weights and the tie between them."""
        model = stirred(kata)
        before = weights(model)
        kata.pad_vocab(model, 16)
        check.equal(weights(model), before, what="weights of the model given")
        check.that(model.lm_head.weight is model.transformer.wte.weight, "the model given has lost its tie")

    def test_the_default_is_128(self, kata):
        """128 is what the tiles of today's GPUs like best."""
        check.shape(kata.pad_vocab(stirred(kata)).lm_head.weight, (128, C), what="lm_head.weight")

    @pytest.mark.parametrize("flash", [True, False])
    def test_flash_is_kept(self, kata, flash):
        """A rung without flash must not get it by being padded, nor the other way round."""
        model = stirred(kata, flash=not flash)
        for block in model.transformer.h:
            block.attn.flash = flash
        got = [block.attn.flash for block in kata.pad_vocab(model, 16).transformer.h]
        check.equal(got, [flash] * L, what="flash of the attention layers")

    @pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
    def test_the_mode_is_kept(self, kata, training):
        """A model in eval mode is copied in eval mode, all parts of it; a new GPT would start in training mode."""
        padded = kata.pad_vocab(stirred(kata).train(training), 16)
        check.that(all(m.training == training for m in padded.modules()), f"every part should have training={training}")

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    def test_the_dtype_is_kept(self, kata, dtype):
        """All weights have the dtype that they had, those with new rows too."""
        for name, p in kata.pad_vocab(stirred(kata, dtype), 16).named_parameters():
            check.dtype(p, dtype, what=name)

    def test_the_device_is_kept(self, kata):
        """Every weight stays on its device; "meta" stands in for a GPU here."""
        model = stirred(kata).to("meta")
        model.lm_head.weight = model.transformer.wte.weight
        for name, p in kata.pad_vocab(model, 16).named_parameters():
            check.equal(p.device, torch.device("meta"), what=f"device of {name}")

    @pytest.mark.gpu
    def test_on_the_gpu(self, kata):
        """A model on the GPU is padded there."""
        model, (x, _) = stirred(kata).cuda(), batch()
        padded = kata.pad_vocab(model, 16)
        check.equal({p.device.type for p in padded.parameters()}, {"cuda"}, what="devices of the copy")
        check.close(padded(x.cuda())[0][..., :V], model(x.cuda())[0], what="logits of the old tokens")


class TestMaskPaddedLogits:
    def test_padded_columns_get_no_probability(self, kata):
        """After a softmax the padded tokens have probability 0, and the real ones what they have among themselves. An
        unmasked 0 is e⁰ = 1 in the sum."""
        logits = torch.randn(B, T, PADDED)
        got = kata.mask_padded_logits(logits, V)
        check.shape(got, (B, T, PADDED))
        expected = torch.zeros(B, T, PADDED, dtype=torch.float64)
        expected[..., :V] = logits[..., :V].double().softmax(-1)
        zeros, early, late = logits.clone(), logits.clone(), logits.clone()
        zeros[..., V:] = 0.0
        early[..., V - 1 :] = late[..., V + 1 :] = -math.inf
        unlike = {
            "nothing is masked": logits.softmax(-1),
            "padded logits of 0, which still have a share": zeros.softmax(-1),
            "the last real token is masked, too": early.softmax(-1),
            "the first padded token is not masked": late.softmax(-1),
        }
        check.close(got.softmax(-1), expected, unlike=unlike, what="probabilities")
        check.equal(got.softmax(-1)[..., V:], torch.zeros(B, T, PADDED - V), what="probabilities of padded tokens")

    def test_real_columns_stay(self, kata):
        """The first vocab_size columns come back as they are, the last of them too."""
        logits = torch.randn(B, PADDED)
        check.equal(kata.mask_padded_logits(logits, V)[:, :V], logits[:, :V], what="columns of real tokens")

    def test_padded_columns_are_as_low_as_can_be(self, kata):
        """−inf, or the smallest number there is. −100 is not low enough where the real scores are −1000, and −1e9
        does not fit into float16."""
        got = kata.mask_padded_logits(torch.full((2, 6), -1000.0), 4)
        lowest = torch.finfo(torch.float32).min
        check.that(bool((got[:, 4:] <= lowest).all()), f"padded columns hold {got[0, 4:].tolist()}")
        check.close(got.softmax(-1)[:, :4], torch.full((2, 4), 0.25), what="probabilities of real tokens")

    def test_logits_are_kept(self, kata):
        """The logits given may be needed elsewhere: the mask goes on a new tensor."""
        logits = torch.randn(B, T, PADDED)
        with check.unchanged(logits=logits):
            kata.mask_padded_logits(logits, V)

    def test_gradient(self, kata):
        """A real column passes its gradient on unchanged; a padded one gets none, so its row never learns."""
        logits = torch.randn(B, T, PADDED, dtype=torch.float64, requires_grad=True)
        y = torch.randint(V, (B, T))
        loss = -kata.mask_padded_logits(logits, V).log_softmax(-1).gather(-1, y[..., None]).mean()
        [got] = torch.autograd.grad(loss, logits)
        real = logits.detach()[..., :V]
        expected = torch.zeros_like(got)
        expected[..., :V] = (real.softmax(-1) - nn.functional.one_hot(y, V)) / (B * T)
        check.close(got, expected, what="gradient of the logits")

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
    def test_half_precision_is_masked_too(self, kata, dtype):
        """In float16 −1e9 is out of range; −inf and the dtype's own minimum are not. The dtype stays, and nothing turns
        into NaN."""
        logits = (100 * torch.randn(B, PADDED)).to(dtype)
        got = kata.mask_padded_logits(logits, V)
        check.dtype(got, dtype)
        check.finite(got.softmax(-1), what="probabilities")
        check.equal(got.softmax(-1)[..., V:], torch.zeros(B, PADDED - V, dtype=dtype), what="those of padded tokens")

    def test_any_leading_dims_and_strides(self, kata):
        """(V,), (T, V) or (B, 1, T, V), contiguous or not: the last dimension holds the tokens."""
        for logits in (torch.randn(PADDED), torch.randn(PADDED, T).mT, torch.randn(B, 1, T, PADDED)):
            got = kata.mask_padded_logits(logits, V)
            check.shape(got, logits.shape)
            check.equal(got[..., :V], logits[..., :V], what="columns of real tokens")
            check.that(bool((got[..., V:] < -1e30).all()), "a padded column is not masked")

    def test_all_tokens_or_one(self, kata):
        """vocab_size = V: every column is real. vocab_size = 1: only the first, and it gets all the probability."""
        logits = torch.randn(B, V)
        check.equal(kata.mask_padded_logits(logits, V), logits, what="logits with nothing to mask")
        expected = torch.zeros(B, V)
        expected[:, 0] = 1.0
        check.equal(kata.mask_padded_logits(logits, 1).softmax(-1), expected, what="probabilities with one real token")

    def test_it_follows_the_device(self, kata):
        """What is made for the mask lies where the logits are ("meta" stands in for a GPU)."""
        got = kata.mask_padded_logits(torch.empty(B, T, PADDED, device="meta"), V)
        check.shape(got, (B, T, PADDED))
        check.equal(got.device, torch.device("meta"), what="device")

    @pytest.mark.parametrize("vocab_size", [0, -1, PADDED + 1])
    @pytest.mark.edge
    def test_the_real_tokens_are_some_of_the_columns(self, kata, vocab_size):
        """No real token, or more than there are columns: ValueError that names both numbers."""
        with check.raises(ValueError, vocab_size, PADDED):
            kata.mask_padded_logits(torch.zeros(B, PADDED), vocab_size)


class TestAmpStep:
    def test_returns_the_loss_before_the_step(self, kata):
        """The mean cross entropy of the weights as they were, as a plain float: a tensor would keep its graph alive."""
        model, (x, y) = stirred(kata), batch()
        expected, _ = plain_step(model, x, y)
        got = kata.amp_step(model, sgd(model), x, y)
        check.that(type(got) is float, f"wanted a float, got {check.describe(got)}")
        check.close(got, expected, unlike={"the sum over positions": expected * B * T}, what="loss")

    @pytest.mark.parametrize("max_norm", [None, 0.01, 1e3], ids=["not clipped", "clipped", "short already"])
    def test_without_autocast_it_is_a_plain_step(self, kata, max_norm):
        """No dtype, no scaler: backward, clip all gradients as one vector to max_norm, step. Shorter ones stay as they
        are, and None means no clipping."""
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y, max_norm)
        unlike = {"not clipped": plain_step(model, x, y, unclipped=True)[1], "no step was taken": weights(model)}
        kata.amp_step(model, sgd(model), x, y, max_norm=max_norm)
        check.close(weights(model), expected, **CLIPPED, unlike=unlike, what="weights")

    def test_the_norm_is_1_by_default(self, kata):
        """GPT-2 and GPT-3 were trained with gradients of norm 1 at most."""
        model, (x, y) = stirred(kata), batch()
        with torch.no_grad():
            model.transformer.ln_f.weight.mul_(30.0)  # gradients far longer than 1
        _, expected = plain_step(model, x, y, max_norm=1.0)
        unlike = {"not clipped": plain_step(model, x, y, unclipped=True)[1]}
        kata.amp_step(model, sgd(model), x, y)
        check.close(weights(model), expected, **CLIPPED, unlike=unlike, what="weights")

    def test_old_gradients_do_not_count(self, kata):
        """What lies in .grad from before has no influence, whoever left it there."""
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y, max_norm=None)
        for p in model.parameters():
            p.grad = torch.full_like(p, 100.0)
        kata.amp_step(model, sgd(model), x, y, max_norm=None)
        check.close(weights(model), expected, what="weights")

    def test_with_a_padded_vocabulary_the_loss_is_the_old_one(self, kata):
        """vocab_size says how many tokens are real. Without the mask, e⁰ of each padded token is part of every softmax,
        and the loss is too large."""
        model, (x, y) = stirred(kata), batch()
        padded = padded_by_hand(kata, model)
        expected, _ = plain_step(model, x, y)
        unlike = {"the softmax runs over padded tokens too": plain_step(padded, x, y)[0]}
        got = kata.amp_step(padded, sgd(padded), x, y, vocab_size=V)
        check.close(got, expected, unlike=unlike, what="loss")

    @pytest.mark.parametrize("max_norm", [None, 0.5])
    def test_with_a_padded_vocabulary_the_update_is_the_old_one(self, kata, max_norm):
        """Every weight moves as without padding, and the extra rows stay 0: they get no gradient."""
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y, max_norm)
        padded = padded_by_hand(kata, model)
        wrong = plain_step(padded, x, y, max_norm)[1]
        kata.amp_step(padded, sgd(padded), x, y, max_norm=max_norm, vocab_size=V)
        got = weights(padded)
        name = "transformer.wte.weight"
        check.equal(got[name][V:], torch.zeros(PADDED - V, C).double(), what="rows of padded tokens after the step")
        got[name], wrong[name] = got[name][:V], wrong[name][:V]
        unlike = {"the softmax runs over padded tokens too": wrong}
        check.close(got, expected, **CLIPPED, unlike=unlike, what="weights")

    @pytest.mark.parametrize("vocab_size", [None, V], ids=["plain", "padded"])
    def test_targets_of_minus_100_do_not_count(self, kata, vocab_size):
        """−100 marks positions with nothing to predict, also where you compute the loss from masked logits."""
        model, (x, y) = stirred(kata), batch()
        y = y.clone()
        y[0, 1] = y[2, 3] = y[2, 4] = -100
        expected, _ = plain_step(model, x, y)
        trained = model if vocab_size is None else padded_by_hand(kata, model)
        got = kata.amp_step(trained, sgd(trained), x, y, vocab_size=vocab_size)
        unlike = {"divided by the number of all positions": expected * (B * T - 3) / (B * T)}
        check.close(got, expected, unlike=unlike, what="loss")

    def test_the_mode_of_the_model_counts(self, kata):
        """Eval mode or training mode, the step takes the model as it is called: dropout of 0.5 shows in the loss of a
        model in training mode."""
        model, (x, y) = stirred(kata, dropout=0.5), batch()
        without, _ = plain_step(copy.deepcopy(model).eval(), x, y)
        got = kata.amp_step(model, sgd(model), x, y)
        check.that(abs(got - without) > 1e-6, "nothing was dropped: the model has been put into eval mode")

    @pytest.mark.parametrize("vocab_size", [None, V], ids=["plain", "padded"])
    def test_autocast_in_the_forward_pass(self, kata, vocab_size):
        """dtype=torch.bfloat16: what a linear layer puts out is bfloat16, while weights and gradients stay float32.
        model.to(bfloat16) instead would lose most small updates: 1 + 0.003 is 1 there."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        trained = model if vocab_size is None else padded_by_hand(kata, model)
        seen = []
        trained.transformer.h[1].mlp.c_fc.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        kata.amp_step(trained, sgd(trained), x, y, dtype=torch.bfloat16, vocab_size=vocab_size)
        check.equal(seen, [torch.bfloat16], what="dtype of hidden activations")
        for name, p in trained.named_parameters():
            check.dtype(p, torch.float32, what=name)
            check.dtype(p.grad, torch.float32, what=f"gradient of {name}")

    def test_no_dtype_no_autocast(self, kata):
        """Without a dtype all activations are float32."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        seen = []
        model.transformer.h[1].mlp.c_fc.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        kata.amp_step(model, sgd(model), x, y)
        check.equal(seen, [torch.float32], what="dtype of hidden activations")

    def test_the_step_in_bfloat16_is_nearly_the_same(self, kata):
        """bfloat16 has three digits: the loss is within 0.03 of the exact one, and the weights move nearly alike."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        expected, after = plain_step(model, x, y)
        got = kata.amp_step(model, sgd(model), x, y, dtype=torch.bfloat16)
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")
        check.close(weights(model), after, rtol=0.0, atol=0.01, what="weights")

    @pytest.mark.parametrize("vocab_size", [None, V], ids=["plain", "padded"])
    def test_the_loss_belongs_under_autocast(self, kata, vocab_size):
        """Autocast computes a cross entropy in float32, from logits in bfloat16. Outside of it the loss would be
        rounded to three digits."""
        for _ in range(3):
            model, (x, y) = stirred(kata, torch.float32), batch()
            trained = model if vocab_size is None else padded_by_hand(kata, model)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                logits = trained(x)[0]
            expected = loss_by_hand(logits[..., :V], y).item()
            got = kata.amp_step(trained, sgd(trained), x, y, dtype=torch.bfloat16, vocab_size=vocab_size)
            unlike = {"the loss rounded to bfloat16": torch.tensor(expected).bfloat16().item()}
            check.close(got, expected, rtol=1e-5, unlike=unlike, what="loss")

    @pytest.mark.parametrize("vocab_size", [None, V], ids=["plain", "padded"])
    def test_autocast_is_off_during_backward(self, kata, vocab_size):
        """The backward pass takes the dtypes of the forward pass over. Autocast around it may choose others."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        trained = model if vocab_size is None else padded_by_hand(kata, model)
        seen = []
        for p in trained.parameters():
            p.register_hook(lambda g: seen.append(torch.is_autocast_enabled("cpu")))
        kata.amp_step(trained, sgd(trained), x, y, dtype=torch.bfloat16, vocab_size=vocab_size)
        check.that(len(seen) > 0, "no gradient was computed")
        check.that(not any(seen), "autocast was on while gradients were computed: backward stands inside the block")

    def test_the_scaler_is_called_in_order(self, kata):
        """Scale the loss, divide the gradients again, clip them, step, update. Each once."""
        model, (x, y), scaler = stirred(kata), batch(), RecordingScaler()
        kata.amp_step(model, sgd(model), x, y, scaler=scaler)
        check.equal(scaler.calls, ["scale", "unscale_", "step", "update"], what="calls of the scaler")

    def test_without_clipping_unscale_may_be_left_out(self, kata):
        """With max_norm=None nobody looks at the gradients in between: scaler.step divides them by itself."""
        model, (x, y), scaler = stirred(kata), batch(), RecordingScaler()
        kata.amp_step(model, sgd(model), x, y, scaler=scaler, max_norm=None)
        calls = [call for call in scaler.calls if call != "unscale_"]
        check.equal(calls, ["scale", "step", "update"], what="calls of the scaler, unscale_ aside")

    @pytest.mark.parametrize("max_norm", [1.0, 0.01, 3.0, None])
    def test_a_scaler_changes_nothing(self, kata, max_norm):
        """A factor of 8 in and out again: the same update as without. Clipping before unscale_ would clip gradients 8
        times too large, and then divide them once more."""
        model, (x, y) = stirred(kata), batch()
        _, expected = plain_step(model, x, y, max_norm)
        unlike = {"clipped before unscale_": plain_step(model, x, y, max_norm, scaled=FACTOR)[1]}
        kata.amp_step(model, sgd(model), x, y, scaler=RecordingScaler(), max_norm=max_norm)
        check.close(weights(model), expected, **CLIPPED, unlike=unlike, what="weights")

    def test_the_returned_loss_is_unscaled(self, kata):
        """The factor is a matter between scaler and gradients. A plot of the loss must not jump when it changes."""
        model, (x, y) = stirred(kata), batch()
        expected, _ = plain_step(model, x, y)
        got = kata.amp_step(model, sgd(model), x, y, scaler=RecordingScaler())
        check.close(got, expected, unlike={"the scaled loss": FACTOR * expected}, what="loss")

    def test_the_scaler_may_leave_the_step_out(self, kata):
        """Where a gradient is infinite, scaler.step does nothing. An optimizer.step() beside it would write the
        infinities into the weights."""
        model, (x, y), scaler = stirred(kata), batch(), RecordingScaler(skips=True)
        before = weights(model)
        kata.amp_step(model, sgd(model), x, y, scaler=scaler)
        check.equal(weights(model), before, what="weights after a step that the scaler left out")
        check.equal(scaler.calls[-2:], ["step", "update"], what="last calls of the scaler")

    def test_float16_with_torchs_own_scaler(self, kata):
        """float16 autocast works on the CPU too. With a factor of 1024 the update is nearly that of float32."""
        model, (x, y), scaler = stirred(kata, torch.float32), batch(), torch.amp.GradScaler("cpu", init_scale=1024.0)
        expected, after = plain_step(model, x, y)
        seen = []
        model.transformer.h[0].mlp.c_fc.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        got = kata.amp_step(model, sgd(model), x, y, torch.float16, scaler)
        check.equal(seen, [torch.float16], what="dtype of hidden activations")
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")
        check.close(weights(model), after, rtol=0.0, atol=0.01, what="weights")

    @pytest.mark.parametrize("max_norm", [1.0, None])
    def test_an_overflow_leaves_the_weights_alone(self, kata, max_norm):
        """A factor of 2**40 drives gradients beyond float16. The real scaler leaves the step out and halves its
        factor."""
        model, (x, y), scaler = stirred(kata, torch.float32), batch(), torch.amp.GradScaler("cpu", init_scale=2.0**40)
        before = weights(model)
        kata.amp_step(model, sgd(model), x, y, torch.float16, scaler, max_norm)
        check.equal(weights(model), before, what="weights after a step that the scaler left out")
        check.equal(scaler.get_scale(), 2.0**39, what="factor afterwards")

    @pytest.mark.edge
    def test_float16_without_a_scaler_is_refused(self, kata):
        """Gradients below 6e-8 would become 0 without a word. ValueError, before anything has changed."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        before = weights(model)
        with check.raises(ValueError):
            kata.amp_step(model, sgd(model), x, y, dtype=torch.float16)
        check.equal(weights(model), before, what="weights after the error")

    @pytest.mark.gpu
    @pytest.mark.parametrize("vocab_size", [None, V], ids=["plain", "padded"])
    def test_bfloat16_on_the_gpu(self, kata, vocab_size):
        """Autocast has to be for the device of x: that of the CPU would leave a GPU's products in float32."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        expected, _ = plain_step(model, x, y)
        trained = (model if vocab_size is None else padded_by_hand(kata, model)).cuda()
        seen = []
        trained.transformer.h[1].mlp.c_fc.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        got = kata.amp_step(trained, sgd(trained), x.cuda(), y.cuda(), torch.bfloat16, vocab_size=vocab_size)
        check.equal(seen, [torch.bfloat16], what="dtype of hidden activations")
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")

    @pytest.mark.amp
    def test_float16_on_the_gpu(self, kata):
        """float16 with torch.amp.GradScaler on CUDA: nearly the update of float32."""
        model, (x, y), scaler = stirred(kata, torch.float32), batch(), torch.amp.GradScaler("cuda", init_scale=1024.0)
        expected, after = plain_step(model, x, y)
        model.cuda()
        got = kata.amp_step(model, sgd(model), x.cuda(), y.cuda(), torch.float16, scaler)
        check.close(got, expected, rtol=0.0, atol=0.03, what="loss")
        check.close(weights(model.cpu()), after, rtol=0.0, atol=0.01, what="weights")

    @pytest.mark.amp
    def test_an_overflow_on_the_gpu(self, kata):
        """Gradients beyond float16: the step is left out, the factor halved."""
        model, (x, y) = stirred(kata, torch.float32).cuda(), batch()
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
        before = weights(model)
        kata.amp_step(model, sgd(model), x.cuda(), y.cuda(), torch.float16, scaler)
        check.equal(weights(model), before, what="weights after a step that the scaler left out")
        check.equal(scaler.get_scale(), 2.0**39, what="factor afterwards")


def many_numbers():
    """Normal numbers of both signs and all sizes, up to float32's largest."""
    sizes = torch.randn(500) * 2.0 ** torch.randint(-100, 120, (500,))
    largest = torch.finfo(torch.float32).max
    return torch.cat([sizes, torch.tensor([1.0, -1.5, largest, -largest, 1.8e38, 3.3e38, 2.0**-126, -(2.0**-126)])])


def rounded_by_hand(x, bits):
    """The nearest float32 with that many bits of mantissa, in float64 arithmetic: round() breaks ties to even."""
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
        self.made += [t.dtype for t in tree_leaves(out) if getattr(t, "dtype", None) in (torch.bfloat16, torch.float16)]
        return out


@pytest.mark.stretch
class TestRoundMantissa:
    def test_seven_bits_are_bfloat16(self, kata):
        """float32 and bfloat16 have the same exponents, so 7 bits of mantissa are all the difference there is."""
        x = many_numbers()
        unlike = {"cut off instead of rounded": cut_off(x, 7)}
        check.equal(kata.round_mantissa(x, 7), x.bfloat16().float(), unlike=unlike)

    def test_the_nearest_number(self, kata):
        """For any number of bits: the nearest number that needs no more of them. Cutting off goes towards 0 every
        time, and errors that all point one way add up."""
        x = many_numbers()
        for bits in (1, 2, 10, 15, 21, 22):
            unlike = {"cut off instead of rounded": cut_off(x, bits), "ties away from zero": half_up(x, bits)}
            check.equal(kata.round_mantissa(x, bits), rounded_by_hand(x, bits), unlike=unlike, what=f"{bits} bits of x")

    def test_ties_go_to_even(self, kata):
        """With 2 bits the numbers from 1 on are 1, 1.25, 1.5, 1.75, 2. 1.125 lies half way between 1 (last bit 0) and
        1.25 (last bit 1): it goes to 1, and 1.375 to 1.5. Always up would drift."""
        x = torch.tensor([1.125, 1.375, 1.625, 1.875, -1.125, -1.375, 2.25, 2.75])
        expected = torch.tensor([1.0, 1.5, 1.5, 2.0, -1.0, -1.5, 2.0, 3.0])
        unlike = {"ties away from zero": half_up(x, 2), "cut off instead of rounded": cut_off(x, 2)}
        check.equal(kata.round_mantissa(x, 2), expected, unlike=unlike)

    def test_tf32_keeps_three_digits(self, kata):
        """10 bits of mantissa: the relative error is at most 2⁻¹¹, and rounding what is rounded changes nothing."""
        x = torch.randn(400)
        once = kata.round_mantissa(x, 10)
        error = ((once.double() - x.double()) / x.double()).abs().max().item()
        check.that(1e-4 < error <= 2.0**-11, f"the largest relative error is {error:.2e}, wanted 1e-4 to 2⁻¹¹ = 4.9e-4")
        check.equal(kata.round_mantissa(once, 10), once, what="the result, rounded once more")

    @pytest.mark.edge
    def test_zeros_infinities_and_nan_stay(self, kata):
        """They have no mantissa to round. −0 keeps its sign. Adding to the bits of a NaN can turn it into −0."""
        x = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan])
        odd_nans = torch.tensor([0x7FFFFFFF, -1, 0x7F800001], dtype=torch.int32).view(torch.float32)
        for bits in (1, 7, 10, 23):
            got = kata.round_mantissa(x, bits)
            check.equal(got, x, what=f"{bits} bits of 0, −0, inf, −inf, nan")
            check.equal(torch.signbit(got[:2]), torch.tensor([False, True]), what="signs of the zeros")
            nans = kata.round_mantissa(odd_nans, bits)
            check.that(bool(nans.isnan().all()), f"NaN with other bits in it became {nans.tolist()}")

    def test_all_bits_are_the_number_itself(self, kata):
        """23 bits are all there are: the same numbers, in a new tensor."""
        x = many_numbers()
        got = kata.round_mantissa(x, 23)
        check.equal(got, x)
        check.independent(got, x)

    def test_the_input_stays(self, kata):
        """The result is a new float32 tensor, and x is not written to."""
        x = torch.randn(4, 6)
        with check.unchanged(x=x):
            got = kata.round_mantissa(x, 7)
        check.dtype(got, torch.float32)
        check.independent(got, x)

    def test_any_shape_and_strides(self, kata):
        """A transposed matrix, every second column, one number, none at all."""
        for x in (torch.randn(4, 6).mT, torch.randn(4, 6)[:, ::2], torch.tensor(math.pi), torch.randn(0, 3)):
            got = kata.round_mantissa(x, 5)
            check.shape(got, x.shape)
            check.equal(got.flatten(), rounded_by_hand(x.flatten(), 5))

    def test_by_hand(self, kata):
        """No tensor of bfloat16 or float16 on the way: those have 7 and 10 bits only, and TF32 has float32's range."""
        with HalfPrecision() as mode:
            kata.round_mantissa(torch.randn(9), 7)
            kata.round_mantissa(torch.randn(9), 10)
        check.that(not mode.made, f"a tensor of {mode.made[0] if mode.made else None} was made on the way")

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32], ids=str)
    @pytest.mark.edge
    def test_float32_only(self, kata, dtype):
        """Other dtypes have their bits elsewhere: TypeError, not a number read from the wrong bits."""
        with check.raises(TypeError):
            kata.round_mantissa(torch.ones(3, dtype=dtype), 7)

    @pytest.mark.parametrize("bits", [0, -1, 24])
    @pytest.mark.edge
    def test_one_to_23_bits(self, kata, bits):
        """ValueError for fewer bits than 1, or more than a float32 has."""
        with check.raises(ValueError):
            kata.round_mantissa(torch.ones(3), bits)


@pytest.mark.stretch
class TestMatmulPrecision:
    @pytest.mark.parametrize("level", ["high", "medium", "highest"])
    def test_set_inside_and_restored_after(self, kata, level):
        """Inside the block the level is the one asked for, afterwards the one from before, which need not be
        "highest"."""
        for before in ("highest", "medium"):
            torch.set_float32_matmul_precision(before)
            with kata.matmul_precision(level):
                check.equal(torch.get_float32_matmul_precision(), level, what="precision inside the block")
            check.equal(torch.get_float32_matmul_precision(), before, what="precision after the block")

    def test_restored_after_an_exception(self, kata):
        """Whatever happens inside, later code gets its precision back, and the exception goes on."""
        torch.set_float32_matmul_precision("highest")
        with check.raises(KeyError):
            with kata.matmul_precision("medium"):
                raise KeyError("something went wrong inside")
        check.equal(torch.get_float32_matmul_precision(), "highest", what="precision after the exception")

    def test_blocks_can_be_nested(self, kata):
        """The inner block restores the outer one's level."""
        torch.set_float32_matmul_precision("highest")
        with kata.matmul_precision("medium"):
            with kata.matmul_precision("high"):
                check.equal(torch.get_float32_matmul_precision(), "high", what="precision in the inner block")
            check.equal(torch.get_float32_matmul_precision(), "medium", what="precision after the inner block")
        check.equal(torch.get_float32_matmul_precision(), "highest", what="precision after both")

    @pytest.mark.parametrize("level", ["low", "tf32", ""])
    @pytest.mark.edge
    def test_another_level_is_refused(self, kata, level):
        """torch itself only warns, and goes on as before. ValueError, and the level from before holds."""
        torch.set_float32_matmul_precision("high")
        entered = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with check.raises(ValueError):
                with kata.matmul_precision(level):
                    entered = True
        check.that(not entered, "the block ran before the error")
        check.equal(torch.get_float32_matmul_precision(), "high", what="precision after the error")

    @pytest.mark.gpu
    def test_tf32_on_the_gpu(self, kata):
        """On a GPU with TF32 a product is off by about 1e-3 inside the block, and exact to 1e-5 after it."""
        if torch.cuda.get_device_capability() < (8, 0):
            return  # too old for TF32: "high" changes nothing
        a, b = torch.rand(512, 512), torch.rand(512, 512)
        exact = a.double() @ b.double()
        with kata.matmul_precision("high"):
            inside = ((a.cuda() @ b.cuda()).cpu() / exact - 1).abs().max().item()
        after = ((a.cuda() @ b.cuda()).cpu() / exact - 1).abs().max().item()
        check.that(inside > 3 * after, f"relative error {inside:.1e} inside the block, {after:.1e} after it")


class Watched:
    """Notes, for every call of a GPT's forward, what it runs under: two rungs are told apart by this alone."""

    def __init__(self, kata):
        self.calls, original = [], kata.GPT.forward

        def forward(model, *args, **kwargs):
            self.calls.append(
                {
                    "flash": {block.attn.flash for block in model.transformer.h},
                    "precision": torch.get_float32_matmul_precision(),
                    "autocast": torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None,
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
    """What torch.compile makes of a module: called differently, and the module itself for everything else."""

    def __init__(self, model, compiled):
        super().__init__()
        self._orig_mod = model
        self.forward = compiled

    def __getattr__(self, name):
        return super().__getattr__(name) if name == "_orig_mod" else getattr(self._orig_mod, name)


class Softmaxes(TorchDispatchMode):
    """Notes for every forward softmax whether it ran inside what torch.compile was given."""

    def __init__(self):
        super().__init__()
        self.depth, self.inside, self.given = 0, [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._log_softmax.default or func is torch.ops.aten.logsumexp.default:
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
    readings = [t for i, d in enumerate(durations) for t in (1000.0 * i, 1000.0 * i + d)]
    return iter(readings).__next__


def ladder_by_hand(kata, model, x, y, n_steps, lr, decay=0.1, betas=(0.9, 0.95), clip=1.0):
    """The losses of n_steps steps of AdamW on a float64 copy, by hand."""
    params = {n: p.detach().double() for n, p in model.named_parameters()}
    state = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in params.items()}
    twin, losses = copy.deepcopy(model).double(), []
    for t in range(1, n_steps + 1):
        leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
        loss = loss_by_hand(torch.func.functional_call(twin, leaves, (x,))[0], y)
        grads = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        norm = math.sqrt(sum(g.square().sum().item() for g in grads.values()))
        losses.append(loss.item())
        for n, p in params.items():
            g = grads[n] * min(1.0, clip / norm)
            m, v = betas[0] * state[n][0] + (1 - betas[0]) * g, betas[1] * state[n][1] + (1 - betas[1]) * g**2
            state[n] = m, v
            step = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
            params[n] = p * (1 - lr * (decay if p.ndim >= 2 else 0.0)) - lr * step
    return losses


@pytest.mark.stretch
@pytest.mark.timeout(60)
class TestSpeedLadder:
    def test_one_row_a_rung(self, kata):
        """A dict for each rung, in order, with these five keys."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rows = kata.speed_ladder(model, x, y, [kata.Rung("slow"), kata.Rung("quick", flash=True)])
        check.equal([row["name"] for row in rows], ["slow", "quick"], what="names")
        for row in rows:
            check.equal(sorted(row), ["losses", "mfu", "ms", "name", "tokens_per_s"], what="keys of a row")
            check.that(row["ms"] > 0 and row["tokens_per_s"] > 0, f"wanted times above 0, got {row}")
        check.equal(kata.speed_ladder(model, x, y, []), [], what="rows of no rungs")

    def test_losses_of_a_plain_rung(self, kata):
        """The losses of AdamW from the given weights, warm-up steps included: the first is that of the model as it was
        given, and each is smaller or larger by what a step with this lr does."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        expected = ladder_by_hand(kata, model, x, y, 5, lr=0.01)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")], n_steps=3, n_warmup=2, lr=0.01)
        unlike = {"warm-up steps are missing": expected[2:], "lr 0.001": ladder_by_hand(kata, model, x, y, 5, lr=1e-3)}
        check.close(row["losses"], expected, rtol=1e-4, unlike=unlike, what="losses")
        check.that(all(type(loss) is float for loss in row["losses"]), "the losses are floats")

    def test_default_settings(self, kata):
        """Three measured steps after one of warm-up, with a learning rate of 0.001."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        expected = ladder_by_hand(kata, model, x, y, 4, lr=1e-3)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")])
        check.close(row["losses"], expected, rtol=1e-4, what="losses")

    def test_every_rung_starts_from_the_given_weights(self, kata):
        """Two equal rungs lose equally, step by step. What the first one learned, or its optimizer remembers, must not
        reach the second."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        first, second = kata.speed_ladder(model, x, y, [kata.Rung("one"), kata.Rung("again")], lr=0.01)
        check.close(second["losses"], first["losses"], rtol=1e-5, what="losses of the second of two equal rungs")

    def test_the_model_given_is_not_changed(self, kata):
        """Weights, flash and mode are those from before."""
        model, (x, y) = stirred(kata, torch.float32).eval(), batch()
        before = weights(model)
        rungs = [kata.Rung("fp32", flash=True), kata.Rung("pad", pad_multiple=16, dtype=torch.bfloat16)]
        kata.speed_ladder(model, x, y, rungs, n_steps=1)
        check.equal(weights(model), before, what="weights of the model given")
        check.equal([block.attn.flash for block in model.transformer.h], [False] * L, what="its flash")
        check.that(not any(m.training for m in model.modules()), "the model given was in eval mode, and is no longer")

    def test_the_median_of_the_steps(self, kata):
        """Steps of 2, 500, 3 and 6 ms: the middle two give 4.5. A mean would be 128, for one slow step."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.002, 0.5, 0.003, 0.006)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")], n_steps=4, n_warmup=2, clock=clock)
        unlike = {"the mean": 127.75, "in seconds": 0.0045, "the lower middle": 3.0, "the upper middle": 6.0}
        check.close(row["ms"], 4.5, rtol=1e-6, unlike=unlike, what="ms")
        check.equal(len(row["losses"]), 6, what="number of losses, warm-up included")

    def test_the_median_of_an_odd_number(self, kata):
        """Of 9, 2 and 5 ms the middle one is 5, wherever it stands."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.009, 0.002, 0.005)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")], clock=clock)
        check.close(row["ms"], 5.0, rtol=1e-6, unlike={"the second": 2.0, "the mean": 16 / 3}, what="ms")

    def test_all_tokens_count(self, kata):
        """B·T tokens a step over the median: 15 tokens in 5 ms are 3000 a second."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        clock = scripted_clock(0.005, 0.002, 0.009)
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp32")], clock=clock)
        unlike = {"rows a second": 600.0, "tokens of all steps over one": 9000.0}
        check.close(row["tokens_per_s"], 3000.0, rtol=1e-6, unlike=unlike, what="tokens_per_s")

    def test_utilisation(self, kata):
        """The operations of the model given, padded or not, over the peak; None where no peak is known."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)]
        per_token = 6 * (sum(p.numel() for p in model.parameters()) - BLOCK * C) + 12 * L * C * BLOCK
        more = per_token + 6 * (PADDED - V) * C
        clock = scripted_clock(*[0.005] * 2)
        plain, padded = kata.speed_ladder(model, x, y, rungs, n_steps=1, peak_flops=1e9, clock=clock)
        check.close(plain["mfu"], 3000 * per_token / 1e9, rtol=1e-6, what="mfu")
        unlike = {"padding counted as work": 3000 * more / 1e9}
        check.close(padded["mfu"], 3000 * per_token / 1e9, rtol=1e-6, unlike=unlike, what="mfu of the padded rung")
        for row in kata.speed_ladder(model, x, y, rungs, n_steps=1):
            check.that(row["mfu"] is None, f"without peak_flops mfu should be None, got {row['mfu']}")

    def test_each_rung_uses_what_it_says(self, kata):
        """flash, precision, autocast and vocabulary are those of the rung, and no rung inherits from the one before."""
        rungs = {
            "precision": kata.Rung("TF32", precision="high"),
            "autocast": kata.Rung("bf16", dtype=torch.bfloat16),
            "flash": kata.Rung("flash", flash=True),
            "vocab_size": kata.Rung("pad", pad_multiple=16),
        }
        changed = {"precision": "high", "autocast": torch.bfloat16, "flash": {True}, "vocab_size": PADDED}
        usual = {"flash": {False}, "precision": "highest", "autocast": None, "vocab_size": V, "training": {True}}
        for flash in (False, True):
            model, (x, y) = stirred(kata, torch.float32, flash=flash), batch()
            with Watched(kata) as calls:
                kata.speed_ladder(model, x, y, [*rungs.values(), kata.Rung("fp32")], n_steps=1, n_warmup=0)
            check.equal(len(calls), 5, what="forward passes of five rungs with one step each")
            for call, (field, rung) in zip(calls, rungs.items(), strict=False):
                check.equal(call, usual | {field: changed[field]}, what=f"the forward pass of {rung.name!r}")
            check.equal(calls[-1], usual, what="the forward pass of 'fp32', the last rung")

    def test_rungs_train_in_training_mode(self, kata):
        """Dropout costs time too: a rung trains, also when the model given is in eval mode."""
        model, (x, y) = stirred(kata, torch.float32).eval(), batch()
        with Watched(kata) as calls:
            rungs = [kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)]
            kata.speed_ladder(model, x, y, rungs, n_steps=1, n_warmup=0)
        check.equal([call["training"] for call in calls], [{True}, {True}], what="training flags inside the rungs")

    def test_the_optimizer_is_as_the_rung_says(self, kata):
        """One optimizer a rung, of make_optimizer, with this lr and with fused as the rung says."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        made, original = [], torch.optim.AdamW.__init__

        def noting(optimizer, *args, **kwargs):
            original(optimizer, *args, **kwargs)
            made.append((optimizer.defaults["lr"], bool(optimizer.defaults["fused"])))

        with mock.patch.object(torch.optim.AdamW, "__init__", noting):
            kata.speed_ladder(model, x, y, [kata.Rung("fp32"), kata.Rung("fused", fused=True)], n_steps=1, lr=0.02)
        check.equal(made, [(0.02, False), (0.02, True)], what="lr and fused of the optimizers made")

    def test_the_precision_is_restored(self, kata):
        """After the last rung the precision is the one from before, also when a rung fails half way."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        torch.set_float32_matmul_precision("medium")
        kata.speed_ladder(model, x, y, [kata.Rung("TF32", precision="high")], n_steps=1)
        check.equal(torch.get_float32_matmul_precision(), "medium", what="precision after the ladder")
        with check.raises(StopIteration):
            kata.speed_ladder(model, x, y, [kata.Rung("TF32", precision="high")], n_steps=2, clock=scripted_clock(1.0))
        check.equal(torch.get_float32_matmul_precision(), "medium", what="precision after a rung that failed")

    def test_a_padded_rung_loses_the_same(self, kata):
        """Padding changes the layout and not the task: with the mask every loss is that of the plain rung, to 1e-3."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16), kata.Rung("pad 128", pad_multiple=128)]
        plain, *padded = kata.speed_ladder(model, x, y, rungs, lr=0.01)
        for row in padded:
            check.close(row["losses"], plain["losses"], rtol=0.0, atol=1e-3, what=f"losses of the rung {row['name']!r}")

    def test_a_fused_or_flash_rung_loses_the_same(self, kata):
        """Another kernel for the same sums: the losses agree to 1e-3."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [kata.Rung("fp32"), kata.Rung("flash", flash=True), kata.Rung("fused", fused=True)]
        plain, *others = kata.speed_ladder(model, x, y, rungs, lr=0.01)
        for row in others:
            check.close(row["losses"], plain["losses"], rtol=0.0, atol=1e-3, what=f"losses of the rung {row['name']!r}")

    def test_lower_precision_loses_nearly_the_same(self, kata):
        """Fewer bits in the products: the losses agree to 0.05. float16 gets the scaler that it needs."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [
            kata.Rung("fp32"),
            kata.Rung("TF32", precision="high"),
            kata.Rung("bf16", dtype=torch.bfloat16),
            kata.Rung("fp16", dtype=torch.float16),
            kata.Rung("bf16, padded", dtype=torch.bfloat16, pad_multiple=16),
        ]
        plain, *others = kata.speed_ladder(model, x, y, rungs)
        for row in others:
            check.close(row["losses"], plain["losses"], rtol=0.0, atol=0.05, what=f"losses of the rung {row['name']!r}")

    def test_one_scaler_for_all_steps_of_a_rung(self, kata):
        """A float16 rung has one GradScaler. A new one in every step would start at its first, too large factor again
        and again, and leave every step out."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        with torch.no_grad():
            model.transformer.ln_f.weight.mul_(60.0)  # gradients that the first factor, 65536, drives beyond float16
        [row] = kata.speed_ladder(model, x, y, [kata.Rung("fp16", dtype=torch.float16)], n_steps=20, lr=0.01)
        losses = row["losses"]
        check.equal(losses[1], losses[0], what="second loss: the first step should have been left out")
        check.that(losses[-1] < 0.9 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} in 21 steps")

    def test_compiled_and_plain_lose_the_same(self, kata):
        """torch.compile with the backend of the rung: it traces the model and runs the same operations ("eager" needs
        no compiler), so the losses agree to 1e-3, masked and padded too."""
        model, (x, y) = stirred(kata, torch.float32), batch()
        rungs = [
            kata.Rung("fp32"),
            kata.Rung("all", compile_backend="eager", flash=True, pad_multiple=16, fused=True),
        ]
        plain, compiled = kata.speed_ladder(model, x, y, rungs, lr=0.01)
        check.close(compiled["losses"], plain["losses"], rtol=0.0, atol=1e-3, what="losses of the compiled rung")

    @pytest.mark.parametrize("pad_multiple", [None, 16], ids=["plain", "padded"])
    def test_the_loss_is_compiled_with_the_model(self, kata, pad_multiple):
        """torch.compile fuses what it is given. A softmax over all logits that is left outside reads and writes them
        once more for each of its operations. So what is compiled takes (x, y) and returns the loss, the mask inside."""
        model, (x, y), softmaxes = stirred(kata, torch.float32), batch(), Softmaxes()
        rung = kata.Rung("compiled", compile_backend="aot_eager", pad_multiple=pad_multiple)
        with mock.patch.object(torch, "compile", softmaxes.compile), softmaxes:
            expected = ladder_by_hand(kata, model, x, y, 3, lr=0.01)
            softmaxes.inside.clear()
            [row] = kata.speed_ladder(model, x, y, [rung], n_steps=2, n_warmup=1, lr=0.01)
        check.equal(softmaxes.given, ["aot_eager"], what="backends given to torch.compile")
        check.that(all(softmaxes.inside), "the loss is computed outside of what torch.compile was given")
        check.close(row["losses"], expected, rtol=1e-4, what="losses of the compiled rung")

    def test_no_backend_no_compile(self, kata):
        """torch.compile costs seconds: a rung without a backend does without it."""
        model, (x, y), softmaxes = stirred(kata, torch.float32), batch(), Softmaxes()
        with mock.patch.object(torch, "compile", softmaxes.compile):
            kata.speed_ladder(model, x, y, [kata.Rung("fp32"), kata.Rung("pad", pad_multiple=16)], n_steps=1)
        check.equal(softmaxes.given, [], what="backends given to torch.compile")

    @pytest.mark.gpu
    def test_the_ladder_on_the_gpu(self, kata):
        """The rungs on a GPU: TF32, bfloat16, compiled ("aot_eager" needs no compiler), flash, padded, fused."""
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
            check.close(row["losses"], plain["losses"], rtol=0.0, atol=0.05, what=f"losses of the rung {row['name']!r}")

    @pytest.mark.amp
    def test_float16_on_the_gpu(self, kata):
        """float16 with a GradScaler and float32 with TF32, on CUDA: the losses agree to 0.05."""
        model, (x, y) = stirred(kata, torch.float32).cuda(), batch()
        rungs = [
            kata.Rung("fp32"),
            kata.Rung("fp16", dtype=torch.float16),
            kata.Rung("fp16, all else", "high", torch.float16, flash=True, pad_multiple=16, fused=True),
        ]
        plain, *others = kata.speed_ladder(model, x.cuda(), y.cuda(), rungs)
        for row in others:
            check.close(row["losses"], plain["losses"], rtol=0.0, atol=0.05, what=f"losses of the rung {row['name']!r}")
