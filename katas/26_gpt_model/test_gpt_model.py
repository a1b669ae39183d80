"""Specs of 26 · The GPT model."""

import math
from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.specs import check

B, T, C, H, L, V, BLOCK = 2, 5, 12, 4, 3, 19, 7

ROUNDED = torch.tensor(2 / math.pi).sqrt().double()  # √(2/π) with the precision of float32

PUBLISHED = {
    "gpt2": (12, 12, 768, 124_439_808),
    "gpt2-medium": (24, 16, 1024, 354_823_168),
    "gpt2-large": (36, 20, 1280, 774_030_080),
    "gpt2-xl": (48, 25, 1600, 1_557_611_200),
}


def small(kata, **changes):
    """The config of most specs: every size is another number."""
    sizes = {"block_size": BLOCK, "vocab_size": V, "n_layer": L, "n_head": H, "n_embd": C, "dropout": 0.0, "bias": True}
    return kata.GPTConfig(**(sizes | changes))


def stirred(module):
    """The module with every parameter random: biases of 0 and norms that multiply by 1 hide mistakes."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4)
    return module


def double_gpt(kata, **changes):
    return stirred(kata.GPT(small(kata, **changes))).double().eval()


def some_ids(*shape):
    return torch.randint(V, shape)


def weights_of(module):
    """Its parameters by name, in float64 and apart from the module; the shared weight under both of its names."""
    named = module.named_parameters(remove_duplicate=False)
    return {name: parameter.detach().double().clone() for name, parameter in named}


def below(weights, prefix):
    """The entries under a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def gelu(x):
    return F.gelu(x, approximate="tanh")


def dense(weights, name, x):
    return x @ weights[f"{name}.weight"].mT + weights.get(f"{name}.bias", 0)


def normed(weights, name, x):
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0)


def attended(weights, x, heads=H):
    """Causal attention, head by head and position by position."""
    q, k, v = dense(weights, "attn.c_attn", x).split(x.size(-1), dim=-1)
    found = []
    for q_h, k_h, v_h in zip(*(y.chunk(heads, dim=-1) for y in (q, k, v)), strict=True):
        scores = [q_h[:, t : t + 1] @ k_h[:, : t + 1].mT / q_h.size(-1) ** 0.5 for t in range(x.size(1))]
        found.append(torch.cat([s.softmax(-1) @ v_h[:, : s.size(-1)] for s in scores], dim=1))
    return dense(weights, "attn.c_proj", torch.cat(found, dim=-1))


def fed(weights, x, bend=gelu, prefix="mlp."):
    return dense(weights, f"{prefix}c_proj", bend(dense(weights, f"{prefix}c_fc", x)))


def block_by_hand(weights, x, bend=gelu, heads=H):
    x = x + attended(weights, normed(weights, "ln_1", x), heads)
    return x + fed(weights, normed(weights, "ln_2", x), bend)


def post_norm_by_hand(weights, x):
    x = normed(weights, "ln_1", x + attended(weights, x))
    return normed(weights, "ln_2", x + fed(weights, x))


def embedded(weights, idx):
    return weights["transformer.wte.weight"][idx] + weights["transformer.wpe.weight"][: idx.size(1)]


def through_blocks(weights, x, block=block_by_hand):
    for i in range(L):
        x = block(below(weights, f"transformer.h.{i}."), x)
    return x


def scored(weights, x):
    return normed(weights, "transformer.ln_f", x) @ weights["transformer.wte.weight"].mT


def logits_by_hand(weights, idx, block=block_by_hand):
    return scored(weights, through_blocks(weights, embedded(weights, idx), block))


def losses_by_hand(logits, targets):
    """−log p of every target, (B, T)."""
    rows = [[-logits[b, t].log_softmax(-1)[targets[b, t]] for t in range(T)] for b in range(B)]
    return torch.stack([torch.stack(row) for row in rows])


def names_of_block(bias):
    kinds = ("weight", "bias") if bias else ("weight",)
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    return [f"{part}.{kind}" for part in parts for kind in kinds]


def counted(n_layer, n_embd, block_size, vocab_size, bias):
    """The parameters of a GPT, matrix by matrix; bias is one more input of constant 1."""
    shapes = [(3 * n_embd, n_embd), (n_embd, n_embd), (4 * n_embd, n_embd), (n_embd, 4 * n_embd)]
    norm = n_embd * (1 + bias)
    block = sum(out * (width + bias) for out, width in shapes) + 2 * norm
    return vocab_size * n_embd + block_size * n_embd + n_layer * block + norm


def same_names(got, expected, what):
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    check.that(not missing and not extra, f"{what}: missing are {missing or 'none'}, too many are {extra or 'none'}")


def normal_with_std(tensors, wanted, what):
    """The values of all tensors together look like draws from N(0, wanted)."""
    values = torch.cat([tensor.detach().flatten() for tensor in tensors]).double()
    std, mean = values.std().item(), values.mean().item()
    check.that(abs(std / wanted - 1) < 0.06, f"{what}: the standard deviation is {std:.5f}, expected {wanted:.5f}")
    check.that(abs(mean) < 0.1 * wanted, f"{what}: the mean is {mean:.5f}, expected 0")
    beyond = (values.abs() > 2 * std).double().mean().item()
    near = 0.03 < beyond < 0.06
    check.that(near, f"{what}: {beyond:.1%} lie beyond two standard deviations; of a normal distribution 4.6 % do")


class OneDevice(TorchDispatchMode):
    """Inside the block, tensors on two devices must not meet in one operation, which is CUDA's rule; the device "meta"
    itself lets it pass. Moving from one to the other is allowed, and so is indexing with a tensor on the CPU."""

    FREE = ("aten.copy_.default", "aten._to_copy.default", "aten.index.Tensor")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.ndim > 0]
        devices = sorted({str(x.device) for x in tensors})
        apart = len(devices) < 2 or str(func) in self.FREE
        check.that(apart, f"in {func}, tensors on {' and '.join(devices)} meet: idx is on meta")
        return func(*args, **(kwargs or {}))


class Weightless(TorchDispatchMode):
    """Inside the block, no tensor with data may be large. One on meta has none, and neither has a FakeTensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            has_data = isinstance(x, torch.Tensor) and x.device.type != "meta" and not isinstance(x, FakeTensor)
            large = has_data and x.numel() >= 10_000
            check.that(not large, f"{func} made a tensor with data, of shape {tuple(x.shape) if large else ()}")
        return result


class TestGeluTanh:
    def test_values(self, kata):
        """0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). It dips below 0 left of the origin and is close to x on the
        right."""
        x = torch.linspace(-3, 3, 13, dtype=torch.float64)
        inner = x + 0.044715 * x**3
        wrong = {
            "the exact form x·Φ(x), which differs by up to 5e-4": F.gelu(x),
            "√(2·π) or another factor for √(2/π)": 0.5 * x * (1 + torch.tanh(math.sqrt(2 * math.pi) * inner)),
            "√(2/π) rounded to float32, as a tensor is by default": x / 2 * (1 + torch.tanh(ROUNDED * inner)),
            "x² in place of x³": 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2))),
            "the sigmoid form x·σ(1.702·x)": x * torch.sigmoid(1.702 * x),
            "without the factor 0.5": 2 * F.gelu(x, approximate="tanh"),
        }
        check.close(kata.gelu_tanh(x), F.gelu(x, approximate="tanh"), unlike=wrong)

    def test_gradient(self, kata):
        """The layer in front learns through it, so the gradient must be that of the formula, on both sides of 0."""
        x = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(3, 4)
        check.gradients(kata.gelu_tanh, gelu, x)

    def test_far_from_zero(self, kata):
        """Large values stay themselves and very negative ones become 0; nothing turns into NaN or infinity."""
        x = torch.tensor([-1000.0, -30.0, 30.0, 1000.0])
        check.close(kata.gelu_tanh(x), torch.tensor([0.0, 0.0, 30.0, 1000.0]))

    def test_is_written_by_hand(self, kata):
        """This exercise is the formula: F.gelu and nn.GELU would be the answer."""
        x = torch.randn(2, 3, 4)
        with check.forbidden(kata, "torch.nn.functional.gelu", "torch.nn.GELU"):
            check.shape(kata.gelu_tanh(x), (2, 3, 4))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
    def test_the_dtype_is_kept(self, kata, dtype):
        """A tensor made for √(2/π) on the way must not pull half precision up to float32, or float64 down to it."""
        x = torch.linspace(-3, 3, 7).to(dtype)
        got = kata.gelu_tanh(x)
        check.dtype(got, dtype)
        check.close(got, gelu(x.double()))

    def test_a_transposed_input_is_read_and_left_alone(self, kata):
        """A view that is not contiguous is an input like any other, and nobody writes to it."""
        x = torch.randn(4, 3).mT
        with check.unchanged(x=x):
            check.close(kata.gelu_tanh(x), gelu(x.double()))


class TestMLP:
    def test_keeps_the_shape(self, kata):
        """Its result is added to its input, so (B, T, C) comes out as (B, T, C)."""
        check.shape(kata.MLP(small(kata))(torch.randn(B, T, C)), (B, T, C))

    def test_is_four_times_as_wide_inside(self, kata):
        """c_fc goes from C to 4C and c_proj back; nn.Linear stores its weight as (out, in)."""
        mlp = kata.MLP(small(kata))
        check.shape(mlp.c_fc.weight, (4 * C, C), what="c_fc.weight")
        check.shape(mlp.c_proj.weight, (C, 4 * C), what="c_proj.weight")

    def test_is_linear_gelu_linear(self, kata):
        """c_proj of the tanh GELU of c_fc. GPT-2's weights were trained with this GELU, and with no other are they
        quite right."""
        mlp = stirred(kata.MLP(small(kata))).double()
        x = torch.randn(B, T, C, dtype=torch.float64)
        by_hand = partial(fed, weights_of(mlp), prefix="")
        wrong = {
            "the exact GELU, nn.GELU() without approximate": by_hand(x, F.gelu),
            "ReLU": by_hand(x, F.relu),
            "no activation between c_fc and c_proj": by_hand(x, lambda y: y),
            "GELU after c_proj as well": gelu(by_hand(x)),
        }
        check.close(mlp(x), by_hand(x), unlike=wrong)

    def test_the_gradient_reaches_the_input(self, kata):
        """The blocks below learn through this part."""
        mlp = stirred(kata.MLP(small(kata))).double()
        by_hand = partial(fed, weights_of(mlp), prefix="")
        check.gradients(mlp, by_hand, torch.randn(B, T, C, dtype=torch.float64))

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_parameter_names(self, kata, bias):
        """c_fc and c_proj hold all there is to learn, under these names, and config.bias decides about both biases."""
        kinds = ("weight", "bias") if bias else ("weight",)
        expected = [f"{part}.{kind}" for part in ("c_fc", "c_proj") for kind in kinds]
        same_names(kata.MLP(small(kata, bias=bias)).state_dict(), expected, "names in the state dict")

    def test_dropout_is_the_last_thing(self, kata):
        """With everything dropped the result is 0. Dropped any earlier, c_proj's bias would still come out."""
        mlp = stirred(kata.MLP(small(kata, dropout=1.0))).train()
        bias = mlp.c_proj.bias.detach().expand(B, T, C)
        x = torch.randn(B, T, C)
        wrong = {"dropout before c_proj": bias, "no dropout": fed(weights_of(mlp), x.double(), prefix="")}
        check.close(mlp(x), torch.zeros(B, T, C), unlike=wrong)

    def test_dropout_has_the_probability_of_the_config(self, kata):
        """`dropout` is an nn.Dropout with config.dropout in it."""
        check.close(kata.MLP(small(kata, dropout=0.25)).dropout.p, 0.25, what="dropout.p")

    def test_nothing_is_dropped_in_eval_mode(self, kata):
        """After .eval() the result is that of a net without dropout."""
        mlp = stirred(kata.MLP(small(kata, dropout=0.5))).eval()
        x = torch.randn(B, T, C)
        check.close(mlp(x), fed(weights_of(mlp), x.double(), prefix=""))

    @pytest.mark.parametrize("leading", [(3,), (2, 4, 3)], ids=str)
    def test_every_position_stands_alone(self, kata, leading):
        """Any leading dims, and each position gets what it would get by itself. x is not written to."""
        mlp = stirred(kata.MLP(small(kata)))
        x = torch.randn(*leading, C)
        alone = torch.stack([fed(weights_of(mlp), row.double(), prefix="") for row in x.reshape(-1, C)])
        with check.unchanged(x=x):
            check.close(mlp(x), alone.reshape(x.shape))

    def test_bfloat16_stays_bfloat16(self, kata):
        """A model moved to half precision computes in it."""
        mlp = kata.MLP(small(kata)).bfloat16()
        check.dtype(mlp(torch.randn(B, T, C, dtype=torch.bfloat16)), torch.bfloat16)


class TestBlock:
    def test_keeps_the_shape(self, kata):
        """A block gives back what it takes, (B, T, C): that is what lets blocks be stacked."""
        check.shape(kata.Block(small(kata))(torch.randn(B, T, C)), (B, T, C))

    def test_attention_then_mlp_each_added(self, kata):
        """x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)). The norms stand before the parts and off the residual
        path: from the first block to the last runs a line of plain additions."""
        block = stirred(kata.Block(small(kata))).double().eval()
        x = torch.randn(B, T, C, dtype=torch.float64)
        w = weights_of(block)
        norm_1, norm_2 = partial(normed, w, "ln_1"), partial(normed, w, "ln_2")
        attn, mlp = partial(attended, w), partial(fed, w)
        once = x + attn(norm_1(x))
        inside = norm_1(x + attn(x))
        wrong = {
            "post-norm: ln_1(x + attn(x)), ln_2(x + mlp(x))": post_norm_by_hand(w, x),
            "ln_1 around the first sum only": inside + mlp(norm_2(inside)),
            "the MLP reads the block's input, not what the attention made of it": once + mlp(norm_2(x)),
            "the second sum starts from the block's input": x + mlp(norm_2(once)),
            "the first residual is missing": attn(norm_1(x)) + mlp(norm_2(attn(norm_1(x)))),
            "the second residual is missing": mlp(norm_2(once)),
            "ln_1 used twice": once + mlp(norm_1(once)),
            "ln_2 is missing": once + mlp(once),
            "the exact GELU in the MLP": once + fed(w, norm_2(once), F.gelu),
            "ln_1 is missing": x + attn(x) + mlp(norm_2(x + attn(x))),
        }
        check.close(block(x), once + mlp(norm_2(once)), unlike=wrong)

    def test_the_gradient_reaches_the_input(self, kata):
        """Through both sums and both parts."""
        block = stirred(kata.Block(small(kata))).double().eval()
        check.gradients(block, partial(block_by_hand, weights_of(block)), torch.randn(B, T, C, dtype=torch.float64))

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_parameter_names(self, kata, bias):
        """GPT-2's names, so that its weights find their places. Without bias the layer norms lose theirs too."""
        block = kata.Block(small(kata, bias=bias))
        same_names(block.state_dict(), names_of_block(bias), f"names in the state dict with bias={bias}")

    def test_the_parts_get_the_config(self, kata):
        """The probability of both dropouts and the limit of block_size are those of the config."""
        block = kata.Block(small(kata, dropout=0.25))
        got = {"attn.resid_dropout.p": block.attn.resid_dropout.p, "mlp.dropout.p": block.mlp.dropout.p}
        check.close(got, dict.fromkeys(got, 0.25), what="with dropout=0.25: ")
        with check.raises(ValueError):
            block(torch.randn(B, BLOCK + 1, C))

    def test_flash_reaches_the_attention(self, kata):
        """flash=True is the default; with False the attention is computed by hand, without
        F.scaled_dot_product_attention."""
        flags = {"default": kata.Block(small(kata)), "False": kata.Block(small(kata), flash=False)}
        got = {name: block.attn.flash for name, block in flags.items()}
        check.equal(got, {"default": True, "False": False}, what="attn.flash ")

    def test_the_cache_reaches_the_attention(self, kata):
        """Chunks of 3, 1 and 3 positions through one cache come out as in a single pass over 7: each chunk sees those
        before it."""
        block = stirred(kata.Block(small(kata))).eval()
        x, cache = torch.randn(B, 7, C), kata.LayerCache()
        parts = [block(chunk, cache=cache) for chunk in x.split([3, 1, 3], dim=1)]
        blind = torch.cat([block(chunk) for chunk in x.split([3, 1, 3], dim=1)], dim=1)
        expected = block_by_hand(weights_of(block), x.double())
        check.close(torch.cat(parts, dim=1), expected, unlike={"the cache was not used": blind})
        check.equal(len(cache), 7, what="len(cache)")

    def test_a_transposed_input_is_read_and_left_alone(self, kata):
        """`x += …` would write into the caller's tensor, here a view that is not contiguous."""
        block = stirred(kata.Block(small(kata))).eval()
        x = torch.randn(T, B, C).transpose(0, 1)
        with torch.no_grad(), check.unchanged(x=x):
            check.close(block(x), block_by_hand(weights_of(block), x.double()))

    def test_bfloat16_stays_bfloat16(self, kata):
        """A model moved to half precision computes in it."""
        block = kata.Block(small(kata)).bfloat16()
        check.dtype(block(torch.randn(B, T, C, dtype=torch.bfloat16)), torch.bfloat16)


class TestGPT:
    def test_scores_every_token_at_every_position(self, kata):
        """Without targets the result is (logits, None), with one row of V scores for each of the T positions: all of
        them, not only the last."""
        result = kata.GPT(small(kata))(some_ids(B, T))
        check.that(isinstance(result, tuple) and len(result) == 2, f"expected (logits, loss), got {type(result)}")
        check.shape(result[0], (B, T, V), what="logits")
        check.that(result[1] is None, f"without targets the loss is None, got {check.describe(result[1])}")

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_names_are_those_of_gpt2(self, kata, bias):
        """The state dict holds GPT-2's names and nothing else, the shared weight under both of its names. There are no
        buffers: masks and positions are made when they are needed."""
        model = kata.GPT(small(kata, bias=bias))
        expected = ["lm_head.weight", "transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f.weight"]
        expected += ["transformer.ln_f.bias"] if bias else []
        expected += [f"transformer.h.{i}.{name}" for i in range(L) for name in names_of_block(bias)]
        same_names(model.state_dict(), expected, f"names in the state dict with bias={bias}")
        buffers = [name for name, _ in model.named_buffers()]
        check.that(not buffers, f"there are buffers: {buffers}")

    def test_shapes_of_the_embeddings(self, kata):
        """A row of C features for each token of the vocabulary, and one for each position up to block_size."""
        model = kata.GPT(small(kata))
        check.shape(model.transformer.wte.weight, (V, C), what="transformer.wte.weight")
        check.shape(model.transformer.wpe.weight, (BLOCK, C), what="transformer.wpe.weight")

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_logits(self, kata, bias):
        """Token and position embeddings are added, go through the L blocks and the final layer norm, and are compared
        with every token embedding. Checked with random weights against the same in plain formulas."""
        model = double_gpt(kata, bias=bias)
        idx = some_ids(B, T)
        w = weights_of(model)
        tokens_alone, last = w["transformer.wte.weight"][idx], through_blocks(w, embedded(w, idx))
        wrong = {
            "the final layer norm ln_f is missing": last @ w["transformer.wte.weight"].mT,
            "the position embeddings are missing": scored(w, through_blocks(w, tokens_alone)),
            "post-norm blocks": logits_by_hand(w, idx, post_norm_by_hand),
            "ReLU in the blocks": logits_by_hand(w, idx, partial(block_by_hand, bend=F.relu)),
            "the exact GELU in the blocks": logits_by_hand(w, idx, partial(block_by_hand, bend=F.gelu)),
            "one head": logits_by_hand(w, idx, partial(block_by_hand, heads=1)),
            "the blocks are not used": scored(w, embedded(w, idx)),
            "log-probabilities": logits_by_hand(w, idx).log_softmax(-1),
        }
        check.close(model(idx)[0], logits_by_hand(w, idx), unlike=wrong, what="logits")

    def test_wte_and_lm_head_are_one_parameter(self, kata):
        """`lm_head.weight is transformer.wte.weight`. Equal values are not enough: after the first step they would
        differ. Assigning `.data` shares the numbers for now, and still leaves two Parameters with two gradients."""
        model = kata.GPT(small(kata))
        shared = model.lm_head.weight is model.transformer.wte.weight
        check.that(shared, "lm_head.weight and transformer.wte.weight are two different Parameters")
        check.that(model.lm_head.bias is None, "lm_head has a bias: GPT-2's has none")

    def test_tying_survives_loading(self, kata):
        """A state dict has the weight under both names; after loading it is still one Parameter, and the model answers
        like the one that was saved."""
        model, fresh = double_gpt(kata), kata.GPT(small(kata)).double().eval()
        fresh.load_state_dict(model.state_dict())
        check.that(fresh.lm_head.weight is fresh.transformer.wte.weight, "after loading there are two Parameters")
        idx = some_ids(B, T)
        check.close(fresh(idx)[0], logits_by_hand(weights_of(model), idx), what="logits after loading")

    def test_loss(self, kata):
        """The mean over all B·T positions of −log p(target). Targets come shifted already, position by position; a
        second shift would train the model to look two tokens ahead."""
        model = double_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        logits, loss = model(idx, targets)
        expected = logits_by_hand(weights_of(model), idx)
        losses = losses_by_hand(expected, targets)
        shifted = F.cross_entropy(expected[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
        wrong = {
            "shifted a second time inside the model": shifted,
            "the sum over the positions": losses.sum(),
            "the last position only": losses[:, -1].mean(),
            "the sum over the positions, mean over the rows": losses.sum(1).mean(),
            "logits reshaped, not transposed, to (B, V, T)": F.cross_entropy(expected.reshape(B, V, T), targets),
            "cross entropy of probabilities: a softmax too many": losses_by_hand(expected.softmax(-1), targets).mean(),
        }
        check.close(loss, losses.mean(), unlike=wrong, what="loss")
        check.close(logits, expected, what="logits with targets")

    def test_targets_of_minus_100_do_not_count(self, kata):
        """−100 marks positions that nobody judges, padding for instance. They are left out of the sum and of the
        count."""
        model = double_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        losses = losses_by_hand(logits_by_hand(weights_of(model), idx), targets)
        counts = torch.ones(B, T, dtype=torch.bool)
        counts[0, 1:3] = counts[1, 4] = False
        expected = losses[counts].mean()
        rows = torch.stack([losses[b][counts[b]].mean() for b in range(B)]).mean()
        wrong = {"divided by all B·T positions": losses[counts].sum() / (B * T), "a mean for each row first": rows}
        check.close(model(idx, targets.masked_fill(~counts, -100))[1], expected, unlike=wrong, what="loss")

    def test_gradients_of_every_parameter(self, kata):
        """Backward through the whole model, compared parameter by parameter. The shared weight gets the sum of two
        gradients, one from each of its uses."""
        model = double_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        idx[0, 0] = 0  # a token like any other: nothing is padding
        w = {name: weight.requires_grad_() for name, weight in weights_of(model).items()}
        losses_by_hand(logits_by_hand(w, idx), targets).mean().backward()
        model(idx, targets)[1].backward()
        for name, right in w.items():
            if name != "lm_head.weight":  # in the formulas all of the shared weight's gradient goes to wte
                grad = model.get_parameter(name).grad
                check.that(grad is not None, f"no gradient reaches {name}")
                check.close(grad, right.grad, what=f"gradient of {name}")

    def test_tokens_that_are_not_in_the_input_learn_too(self, kata):
        """As an embedding only the rows of the input's tokens get a gradient. As the output layer every row does, for
        every token is compared with the result."""
        model = double_gpt(kata)
        model(torch.full((B, T), 3), some_ids(B, T))[1].backward()
        grad = model.transformer.wte.weight.grad
        silent = (grad == 0).all(dim=1).nonzero().flatten().tolist()
        check.that(not silent, f"rows {silent} of the shared weight got no gradient; the input holds token 3 only")

    def test_start_values(self, kata):
        """Weights from N(0, 0.02); the two `c_proj` of each block, 2·L matrices that add to one residual path, smaller
        by √(2L), so that the sum does not grow with the depth. Means, spreads and tails are checked for each kind."""
        model = kata.GPT(small(kata, block_size=64, vocab_size=80, n_embd=64))
        blocks = model.transformer.h
        scaled = 0.02 / math.sqrt(2 * L)
        for std, kinds in (
            (0.02, {"wte": [model.transformer.wte], "wpe": [model.transformer.wpe]}),
            (0.02, {"attn.c_attn": [b.attn.c_attn for b in blocks], "mlp.c_fc": [b.mlp.c_fc for b in blocks]}),
            (scaled, {"attn.c_proj": [b.attn.c_proj for b in blocks], "mlp.c_proj": [b.mlp.c_proj for b in blocks]}),
        ):
            for name, layers in kinds.items():
                normal_with_std([layer.weight for layer in layers], std, f"{name}.weight with L = {L}")

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_biases_start_at_0_and_norms_at_1(self, kata, bias):
        """At the start a layer norm only normalises, and no bias prefers anything."""
        for name, parameter in kata.GPT(small(kata, bias=bias)).named_parameters():
            if name.endswith("bias"):
                check.equal(parameter, torch.zeros_like(parameter), what=name)
            elif ".ln_" in name:
                check.equal(parameter, torch.ones_like(parameter), what=name)

    def test_the_first_loss_is_ln_v(self, kata):
        """A new model knows nothing and should spread its bets evenly: −log(1/V) = ln V. More means that it starts out
        sure of nonsense, as with PyTorch's N(0, 1) for embeddings. The targets are drawn apart from the input here."""
        model = kata.GPT(small(kata, block_size=16, vocab_size=65, n_embd=64)).eval()
        loss = model(torch.randint(65, (8, 16)), torch.randint(65, (8, 16)))[1]
        check.close(loss.detach(), torch.tensor(math.log(65)), rtol=0, atol=0.2, what="loss of a new model with V = 65")

    def test_chunks_through_a_cache(self, kata):
        """3, 1 and 3 tokens through one list of caches come out as in a single pass over all 7. The position
        embeddings have to go on where the cache ends."""
        model = double_gpt(kata)
        idx = some_ids(B, 7)
        caches = [kata.LayerCache() for _ in range(L)]
        got = torch.cat([model(chunk, cache=caches)[0] for chunk in idx.split([3, 1, 3], dim=1)], dim=1)
        blind = torch.cat([model(chunk)[0] for chunk in idx.split([3, 1, 3], dim=1)], dim=1)
        w = weights_of(model)
        places = torch.tensor([0, 1, 2, 0, 0, 1, 2])
        restarted = w["transformer.wte.weight"][idx] + w["transformer.wpe.weight"][places]
        blocks = w["transformer.wte.weight"][idx] + w["transformer.wpe.weight"][torch.tensor([3, 4, 5, 3, 3, 4, 5])]
        wrong = {
            "positions from len(cache) on, which is the number of blocks": scored(w, through_blocks(w, blocks)),
            "the cache was not used": blind,
            "the positions start at 0 in every chunk": scored(w, through_blocks(w, restarted)),
        }
        check.close(got, logits_by_hand(w, idx), unlike=wrong, what="logits of the three chunks")
        check.equal([len(cache) for cache in caches], [7] * L, what="cached positions, block by block: ")

    def test_one_block_is_enough(self, kata):
        """n_layer = 1 is a model too, with a list of one cache."""
        model = double_gpt(kata, n_layer=1)
        idx, caches = some_ids(B, T), [kata.LayerCache()]
        got = torch.cat([model(chunk, cache=caches)[0] for chunk in idx.split([2, 3], dim=1)], dim=1)
        w = weights_of(model)
        only = block_by_hand(below(w, "transformer.h.0."), embedded(w, idx))
        check.close(got, scored(w, only), what="logits of two chunks")

    def test_a_call_without_a_cache_remembers_nothing(self, kata):
        """The cache is the caller's. A call without one starts at position 0, whatever ran before."""
        model = double_gpt(kata)
        idx = some_ids(B, T)
        model(idx, cache=[kata.LayerCache() for _ in range(L)])
        model(idx[:, :2])
        check.close(model(idx)[0], logits_by_hand(weights_of(model), idx), what="logits")

    def test_block_size_is_the_limit(self, kata):
        """wpe has block_size rows, so exactly that many positions work, and one more is a ValueError that says why,
        not an IndexError from inside."""
        model = kata.GPT(small(kata))
        check.shape(model(some_ids(B, BLOCK))[0], (B, BLOCK, V), what="logits of block_size tokens")
        with check.raises(ValueError, "block_size"):
            model(some_ids(B, BLOCK + 1))

    def test_cached_tokens_count_towards_block_size(self, kata):
        """5 cached and 3 new positions are 8, and block_size is 7. After the error no block's cache has changed, and 2
        new ones still fit."""
        model = double_gpt(kata)
        idx = some_ids(B, 7)
        caches = [kata.LayerCache() for _ in range(L)]
        model(idx[:, :5], cache=caches)
        with check.raises(ValueError, "block_size"):
            model(some_ids(B, 3), cache=caches)
        check.equal([len(cache) for cache in caches], [5] * L, what="cached positions after the error: ")
        rest = model(idx[:, 5:], cache=caches)[0]
        check.close(rest, logits_by_hand(weights_of(model), idx)[:, 5:], what="logits of the last two tokens")

    def test_dropout_after_the_embeddings(self, kata):
        """`transformer.drop` acts on the sum of both embeddings, in training mode. With all of it dropped the blocks
        read zeros."""
        model = double_gpt(kata, dropout=0.0).train()
        model.transformer.drop.p = 1.0
        idx = some_ids(B, T)
        w = weights_of(model)
        positions = w["transformer.wpe.weight"][:T].expand(B, T, C)
        wrong = {
            "no dropout on the embeddings": logits_by_hand(w, idx),
            "dropout on the token embeddings only": scored(w, through_blocks(w, positions)),
            "dropout on the position embeddings only": scored(w, through_blocks(w, w["transformer.wte.weight"][idx])),
        }
        expected = scored(w, through_blocks(w, torch.zeros(B, T, C, dtype=torch.float64)))
        check.close(model(idx)[0], expected, unlike=wrong, what="logits with drop.p = 1")

    def test_every_dropout_has_the_probability_of_the_config(self, kata):
        """One number in the config for the embeddings, the attentions and the MLPs."""
        transformer = kata.GPT(small(kata, dropout=0.25)).transformer
        got = {"drop.p": transformer.drop.p}
        got |= {f"h.{i}.mlp.dropout.p": block.mlp.dropout.p for i, block in enumerate(transformer.h)}
        got |= {f"h.{i}.attn.resid_dropout.p": block.attn.resid_dropout.p for i, block in enumerate(transformer.h)}
        check.close(got, dict.fromkeys(got, 0.25), what="with dropout=0.25: ")

    def test_nothing_is_random_in_eval_mode(self, kata):
        """After .eval() the logits are those of a model without dropout; in training mode two calls differ."""
        model = double_gpt(kata, dropout=0.5)
        idx = some_ids(B, T)
        check.close(model(idx)[0], logits_by_hand(weights_of(model), idx), what="logits in eval mode")
        model.train()
        check.that(not torch.equal(model(idx)[0], model(idx)[0]), "two calls in training mode gave the same logits")

    def test_flash_reaches_every_block(self, kata):
        """flash=True is the default. With False no block may call F.scaled_dot_product_attention, and the logits are
        the same."""
        flags = [block.attn.flash for block in kata.GPT(small(kata)).transformer.h]
        check.equal(flags, [True] * L, what="attn.flash by default, block by block: ")
        model = stirred(kata.GPT(small(kata), flash=False)).double()
        flags = [block.attn.flash for block in model.transformer.h]
        check.equal(flags, [False] * L, what="attn.flash with flash=False, block by block: ")
        idx = some_ids(B, T)
        with check.forbidden(kata, "torch.nn.functional.scaled_dot_product_attention"):
            logits = model(idx)[0]
        check.close(logits, logits_by_hand(weights_of(model), idx), what="logits with flash=False")

    def test_num_params_of_a_small_model(self, kata):
        """The count of a small model, added up by hand. The weight that wte and lm_head share counts once;
        non_embedding leaves out wpe, and nothing else."""
        for bias in (True, False):
            total = counted(L, C, BLOCK, V, bias)
            model = kata.GPT(small(kata, bias=bias))
            wrong = {"lm_head counted as well": total + V * C}
            check.equal(model.num_params(), total, unlike=wrong, what=f"num_params() with bias={bias}")
            wrong = {
                "wpe is not left out": total,
                "wte left out": total - V * C,
                "wte and wpe left out": total - V * C - BLOCK * C,
            }
            model.lm_head.weight.requires_grad_(False)
            check.equal(model.num_params(), total, what="num_params() once lm_head.weight is frozen")
            got = model.num_params(non_embedding=True)
            check.equal(got, total - BLOCK * C, unlike=wrong, what=f"num_params(non_embedding=True) with bias={bias}")

    def test_gpt2_has_124_439_808_parameters(self, kata):
        """The defaults of GPTConfig are GPT-2's, and this is its count, to the last parameter. The model is built on
        the meta device here, where tensors have shapes and no data."""
        with torch.device("meta"):
            model = kata.GPT(kata.GPTConfig())
        wrong = {"lm_head counted as well: it is the same weight as wte": 163_037_184}
        check.equal(model.num_params(), 124_439_808, unlike=wrong, what="num_params()")
        check.equal(model.num_params(non_embedding=True), 124_439_808 - 1024 * 768, what="without wpe")

    def test_positions_are_made_where_the_tokens_are(self, kata):
        """A model that is not on the CPU gets tokens that are not either, and positions made on the CPU cannot be
        looked up there. The device "meta" stands for a GPU here."""
        with torch.device("meta"):  # attention by hand: torch's own causal biases cannot be made in OneDevice
            model = kata.GPT(small(kata), flash=False)
            idx = torch.zeros(B, T, dtype=torch.long)
        with OneDevice():
            logits, loss = model(idx, idx)
        check.that(logits.device.type == "meta", f"idx is on meta, the logits are on {logits.device}")
        check.that(loss.device.type == "meta", f"idx is on meta, the loss is on {loss.device}")

    def test_keeps_its_config(self, kata):
        """`config` is the object that was given: whoever has the model can ask it for block_size."""
        config = small(kata)
        check.that(kata.GPT(config).config is config, "model.config is not the config that was given")

    def test_transposed_ids_and_targets(self, kata):
        """Batches are often views: a slice of a longer row, or a transposed table. They are read like any other tensor,
        and nobody writes to them."""
        model = double_gpt(kata)
        idx, targets = some_ids(T, B).mT, some_ids(B, T + 1)[:, 1:]
        with check.unchanged(idx=idx, targets=targets):
            logits, loss = model(idx, targets)
        expected = logits_by_hand(weights_of(model), idx)
        check.close(logits, expected, what="logits")
        check.close(loss, losses_by_hand(expected, targets).mean(), what="loss")

    def test_bfloat16_stays_bfloat16(self, kata):
        """A model moved to half precision computes in it, positions and output layer included."""
        model = kata.GPT(small(kata)).bfloat16()
        check.dtype(model(some_ids(B, T))[0], torch.bfloat16, what="logits")

    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Model and tokens on the device: logits, loss and cached chunks as on the CPU."""
        model = stirred(kata.GPT(small(kata))).eval()
        idx = some_ids(B, T)
        expected = logits_by_hand(weights_of(model), idx)
        model.cuda()
        caches = [kata.LayerCache() for _ in range(L)]
        logits, loss = model(idx.cuda(), idx.cuda())
        parts = [model(chunk.cuda(), cache=caches)[0] for chunk in idx.split([3, 2], dim=1)]
        check.close(logits, expected, rtol=1e-2, atol=1e-2, what="logits")
        check.close(torch.cat(parts, dim=1), expected, rtol=1e-2, atol=1e-2, what="logits of two chunks")
        check.close(loss, losses_by_hand(expected, idx).mean(), rtol=1e-2, what="loss")


@pytest.mark.stretch
class TestNewCache:
    def test_one_empty_cache_a_block(self, kata):
        """The model wants a list with one LayerCache for each of its L blocks, all empty before the first call."""
        for n_layer in (1, L):
            caches = kata.new_cache(kata.GPT(small(kata, n_layer=n_layer)))
            check.that(isinstance(caches, list), f"expected a list, got {check.describe(caches)}")
            check.equal([len(cache) for cache in caches], [0] * n_layer, what=f"lengths with {n_layer} blocks: ")
            kinds = [type(cache).__name__ for cache in caches if not isinstance(cache, kata.LayerCache)]
            check.that(not kinds, f"expected LayerCaches, there are {kinds}")

    def test_every_block_has_its_own(self, kata):
        """[LayerCache()] * L is one cache L times: every block would add its keys to those of the others."""
        caches = kata.new_cache(kata.GPT(small(kata)))
        distinct = len({id(cache) for cache in caches})
        check.that(distinct == L, f"the list holds {distinct} different caches, expected {L}")

    def test_every_call_starts_afresh(self, kata):
        """Two texts need two caches; a list kept on the model would mix them up."""
        model = kata.GPT(small(kata))
        first = kata.new_cache(model)
        model(some_ids(B, 3), cache=first)
        lengths = [len(cache) for cache in kata.new_cache(model)]
        check.equal(lengths, [0] * L, what="lengths of a second cache, after the first was filled: ")

    def test_fits_the_model(self, kata):
        """A text in two chunks through the new cache, as `generate` will do it: the same logits as in one pass."""
        model = double_gpt(kata)
        idx, caches = some_ids(B, T), kata.new_cache(model)
        got = torch.cat([model(chunk, cache=caches)[0] for chunk in idx.split([2, 3], dim=1)], dim=1)
        check.close(got, logits_by_hand(weights_of(model), idx), what="logits of two chunks")


@pytest.mark.stretch
class TestGpt2Config:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_published_sizes(self, kata, name):
        """The four models differ in depth, heads and width; vocabulary and context are the same."""
        config = kata.gpt2_config(name)
        n_layer, n_head, n_embd, _ = PUBLISHED[name]
        expected = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, "vocab_size": 50257, "block_size": 1024}
        expected |= {"dropout": 0.0, "bias": True}
        check.equal({field: getattr(config, field) for field in expected}, expected, what=name)
        kind = type(config).__name__
        check.that(isinstance(config, kata.GPTConfig), f"expected a GPTConfig, got a {kind}")

    def test_the_smallest_is_the_default(self, kata):
        """Without a name it is "gpt2"."""
        check.equal(kata.gpt2_config().n_embd, 768, what="n_embd")

    def test_every_call_gives_a_config_of_its_own(self, kata):
        """Configs are often changed after they were looked up: that must not change the next one."""
        kata.gpt2_config("gpt2").dropout = 0.3
        check.equal(kata.gpt2_config("gpt2").dropout, 0.0, what="dropout, after another config's was set to 0.3")

    @pytest.mark.parametrize("name", ["gpt3", "GPT2", ""], ids=["gpt3", "upper case", "empty"])
    def test_other_names_are_refused(self, kata, name):
        """A typing error should be a ValueError that says which name, and not become a model of another size."""
        with check.raises(ValueError, name):
            kata.gpt2_config(name)


@pytest.mark.stretch
class TestParameterCount:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_small_models(self, kata, bias):
        """What the parameters of a GPT with this config add up to, matrix by matrix: both embeddings, the blocks, the
        last norm. lm_head is not counted a second time."""
        for n_layer, n_embd, block_size, vocab_size in ((1, 8, 5, 11), (2, 12, 9, 7), (3, 4, 6, 13)):
            sizes = {"n_layer": n_layer, "n_embd": n_embd, "block_size": block_size, "vocab_size": vocab_size}
            config = small(kata, bias=bias, **sizes)
            total = counted(n_layer, n_embd, block_size, vocab_size, bias)
            wrong = {
                "lm_head counted as well": total + vocab_size * n_embd,
                "wpe left out": total - block_size * n_embd,
                "ln_f left out": total - n_embd * (1 + bias),
            }
            if not bias:
                wrong["counted with biases"] = total + (11 * n_layer + 1) * n_embd
            check.equal(kata.parameter_count(config), total, unlike=wrong, what=f"parameters with {sizes}, bias={bias}")

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_published_counts(self, kata, name):
        """The four GPT-2s, to the last parameter. No weight is allocated on the way: the largest would take 6 GB."""
        n_layer, n_head, n_embd, expected = PUBLISHED[name]
        config = kata.GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)
        wrong = {"lm_head counted as well": expected + 50257 * n_embd}
        with Weightless():
            count = kata.parameter_count(config)
        check.equal(count, expected, unlike=wrong, what=f"parameters of {name}")

    def test_a_model_larger_than_any_memory(self, kata):
        """GPT-3's sizes: 96 blocks, 12288 features, 2048 positions. A calculator needs no 650 GiB."""
        config = kata.GPTConfig(block_size=2048, n_layer=96, n_head=96, n_embd=12288)
        with Weightless():
            count = kata.parameter_count(config)
        check.equal(count, counted(96, 12288, 2048, 50257, True), what="parameters")
