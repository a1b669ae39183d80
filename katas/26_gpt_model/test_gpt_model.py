"""Specs of 26 · The GPT model."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.specs import check

B, T, C, H, L, V, BLOCK = 2, 5, 12, 4, 3, 19, 7

# float32 rounding, and less than the two forms of GELU differ by
EXACT = {"rtol": 2e-5, "atol": 2e-5}

PUBLISHED = {
    "gpt2": (12, 12, 768, 124_439_808),
    "gpt2-medium": (24, 16, 1024, 354_823_168),
    "gpt2-large": (36, 20, 1280, 774_030_080),
    "gpt2-xl": (48, 25, 1600, 1_557_611_200),
}


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


def stirred(module):
    """The module with random parameters: biases of 0 and norms that multiply by 1
    hide mistakes.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4)
    return module


def stirred_gpt(kata, **changes):
    return stirred(kata.GPT(small(kata, **changes))).eval()


def some_ids(*shape):
    return torch.randint(V, shape)


def weights_of(module):
    """Its parameters by name, as float64 copies. The shared weight is there under both
    of its names.
    """
    named = module.named_parameters(remove_duplicate=False)
    return {name: parameter.detach().double().clone() for name, parameter in named}


# The oracle: GPT-2 in float64 formulas, on the weights of the model under test.


def gelu(x):
    return F.gelu(x, approximate="tanh")


def dense(weights, name, x):
    return x.double() @ weights[f"{name}.weight"].mT + weights.get(f"{name}.bias", 0)


def normed(weights, name, x):
    centred = x.double() - x.double().mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights.get(
        f"{name}.bias", 0
    )


def attended(weights, x, heads=H):
    """Causal attention, head by head and position by position."""
    q, k, v = dense(weights, "attn.c_attn", x).split(x.size(-1), dim=-1)
    found = []
    for q_h, k_h, v_h in zip(*(y.chunk(heads, dim=-1) for y in (q, k, v)), strict=True):
        scores = [
            q_h[:, t : t + 1] @ k_h[:, : t + 1].mT / q_h.size(-1) ** 0.5
            for t in range(x.size(1))
        ]
        found.append(
            torch.cat([s.softmax(-1) @ v_h[:, : s.size(-1)] for s in scores], dim=1)
        )
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
    return (
        weights["transformer.wte.weight"][idx]
        + weights["transformer.wpe.weight"][: idx.size(1)]
    )


def through_blocks(weights, x, block=block_by_hand):
    for i in range(sum(name.endswith(".ln_1.weight") for name in weights)):
        prefix = f"transformer.h.{i}."
        x = block(
            {
                name.removeprefix(prefix): w
                for name, w in weights.items()
                if name.startswith(prefix)
            },
            x,
        )
    return x


def scored(weights, x):
    return normed(weights, "transformer.ln_f", x) @ weights["lm_head.weight"].mT


def logits_by_hand(weights, idx, block=block_by_hand):
    return scored(weights, through_blocks(weights, embedded(weights, idx), block))


def losses_by_hand(logits, targets):
    """−log p of every target, (B, T)."""
    rows = [
        [-logits[b, t].log_softmax(-1)[targets[b, t]] for t in range(T)]
        for b in range(B)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def names_of_block(bias):
    kinds = ("weight", "bias") if bias else ("weight",)
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    return [f"{part}.{kind}" for part in parts for kind in kinds]


def counted(n_layer, n_embd, block_size, vocab_size, bias):
    """The parameters of a GPT, matrix by matrix; bias is one more input of
    constant 1.
    """
    shapes = [
        (3 * n_embd, n_embd),
        (n_embd, n_embd),
        (4 * n_embd, n_embd),
        (n_embd, 4 * n_embd),
    ]
    norm = n_embd * (1 + bias)
    block = sum(out * (width + bias) for out, width in shapes) + 2 * norm
    return vocab_size * n_embd + block_size * n_embd + n_layer * block + norm


def same_names(got, expected, what):
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    check.that(
        not missing and not extra,
        f"{what}: missing are {missing or 'none'}, too many are {extra or 'none'}",
    )


def normal_with_std(tensors, wanted, what):
    """The values of all tensors together look like draws from N(0, wanted)."""
    values = torch.cat([tensor.detach().flatten() for tensor in tensors]).double()
    std, mean = values.std().item(), values.mean().item()
    check.that(
        abs(std / wanted - 1) < 0.06,
        f"{what}: the standard deviation is {std:.5f}, expected {wanted:.5f}",
    )
    check.that(abs(mean) < 0.1 * wanted, f"{what}: the mean is {mean:.5f}, expected 0")
    beyond = (values.abs() > 2 * std).double().mean().item()
    near = 0.03 < beyond < 0.06
    check.that(
        near,
        f"{what}: {beyond:.1%} lie beyond two standard deviations; of a normal "
        "distribution 4.6 % do",
    )


class TestGeluTanh:
    def test_values(self, kata):
        """0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). It dips below 0 left of the
        origin and is close to x on the right.
        """
        x = torch.linspace(-3, 3, 13)
        inner = x + 0.044715 * x**3
        wrong = {
            "the exact form x·Φ(x), which differs by up to 5e-4": F.gelu(x),
            "√(2·π) or another factor for √(2/π)": 0.5
            * x
            * (1 + torch.tanh(math.sqrt(2 * math.pi) * inner)),
            "x² in place of x³": 0.5
            * x
            * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2))),
            "the sigmoid form x·σ(1.702·x)": x * torch.sigmoid(1.702 * x),
            "without the factor 0.5": 2 * gelu(x),
        }
        check.close(kata.gelu_tanh(x), gelu(x.double()), **EXACT, unlike=wrong)

    def test_gradient(self, kata):
        """Earlier layers learn through GELU, so its gradient must be that of the
        formula, on both sides of 0.
        """
        check.gradients(kata.gelu_tanh, gelu, torch.linspace(-3, 3, 12).reshape(3, 4))

    def test_is_written_by_hand(self, kata):
        """The exercise is to write the formula. F.gelu and nn.GELU would be the
        whole answer.
        """
        x = torch.randn(2, 3, 4)
        with check.forbidden(kata, "torch.nn.functional.gelu", "torch.nn.GELU"):
            check.shape(kata.gelu_tanh(x), (2, 3, 4))

    @pytest.mark.edge
    def test_far_from_zero(self, kata):
        """Large values stay themselves and very negative ones become 0; nothing turns
        into NaN or infinity.
        """
        x = torch.tensor([-1000.0, -30.0, 30.0, 1000.0])
        check.close(kata.gelu_tanh(x), torch.tensor([0.0, 0.0, 30.0, 1000.0]))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str
    )
    def test_the_dtype_is_kept(self, kata, dtype):
        """A tensor made for √(2/π) must not promote half precision to float32. A
        float32 factor is too coarse for float64.
        """
        x = torch.linspace(-3, 3, 7).to(dtype)
        got = kata.gelu_tanh(x)
        check.dtype(got, dtype)
        # Some processors round the float32 root to its better neighbour: an atol would
        # let it pass on those alone.
        check.close(got, gelu(x.double()), atol=0.0 if dtype == torch.float64 else None)

    @pytest.mark.edge
    def test_a_transposed_input_is_read_and_left_alone(self, kata):
        """A non-contiguous view is an input like any other, and its values must
        not change.
        """
        x = torch.randn(4, 3).mT
        with check.unchanged(x=x):
            check.close(kata.gelu_tanh(x), gelu(x.double()))


class TestMLP:
    def test_is_linear_gelu_linear(self, kata):
        """c_proj of the tanh GELU of c_fc, (B, T, C) → (B, T, C). GPT-2's weights were
        trained with the tanh form; another activation gives other logits.
        """
        mlp = stirred(kata.MLP(small(kata)))
        x = torch.randn(B, T, C)
        by_hand = partial(fed, weights_of(mlp), prefix="")
        wrong = {
            "the exact GELU, nn.GELU() without approximate": by_hand(x, F.gelu),
            "ReLU": by_hand(x, F.relu),
            "no activation between c_fc and c_proj": by_hand(x, lambda y: y),
            "GELU after c_proj as well": gelu(by_hand(x)),
        }
        check.close(mlp(x), by_hand(x), **EXACT, unlike=wrong)

    def test_is_four_times_as_wide_inside(self, kata):
        """c_fc goes from C to 4C and c_proj back; nn.Linear stores its weight as
        (out, in).
        """
        mlp = kata.MLP(small(kata))
        check.shape(mlp.c_fc.weight, (4 * C, C), what="c_fc.weight")
        check.shape(mlp.c_proj.weight, (C, 4 * C), what="c_proj.weight")

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_parameter_names(self, kata, bias):
        """c_fc and c_proj hold all parameters, and config.bias decides whether both
        have a bias.
        """
        kinds = ("weight", "bias") if bias else ("weight",)
        expected = [f"{part}.{kind}" for part in ("c_fc", "c_proj") for kind in kinds]
        names = kata.MLP(small(kata, bias=bias)).state_dict()
        same_names(names, expected, f"names in the state dict with bias={bias}")

    def test_dropout_is_the_last_step(self, kata):
        """With everything dropped the result is 0. After an earlier dropout, c_proj's
        bias would still come out.
        """
        mlp = stirred(kata.MLP(small(kata, dropout=1.0))).train()
        bias = mlp.c_proj.bias.detach().expand(B, T, C)
        x = torch.randn(B, T, C)
        wrong = {
            "dropout before c_proj": bias,
            "no dropout": fed(weights_of(mlp), x, prefix=""),
        }
        check.close(mlp(x), torch.zeros(B, T, C), unlike=wrong)

    def test_dropout_has_the_probability_of_the_config(self, kata):
        """`dropout` is an nn.Dropout with probability config.dropout."""
        check.close(
            kata.MLP(small(kata, dropout=0.25)).dropout.p, 0.25, what="dropout.p"
        )

    def test_nothing_is_dropped_in_eval_mode(self, kata):
        """After .eval() the result is that of a net without dropout. F.dropout drops in
        both modes, unless it is told `training=self.training`.
        """
        mlp = stirred(kata.MLP(small(kata, dropout=0.5))).eval()
        x = torch.randn(B, T, C)
        expected = fed(weights_of(mlp), x, prefix="")
        torch.manual_seed(1)
        unlike = {"dropped in eval mode, too": F.dropout(expected.to(x.dtype), 0.5)}
        torch.manual_seed(1)
        check.close(mlp(x), expected, unlike=unlike)


class TestBlock:
    def test_attention_then_mlp_each_added(self, kata):
        """x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)). The norms are before the
        parts and off the residual path, which runs through all blocks as
        plain additions.
        """
        block = stirred(kata.Block(small(kata))).eval()
        x = torch.randn(B, T, C)
        w = weights_of(block)
        norm_1, norm_2 = partial(normed, w, "ln_1"), partial(normed, w, "ln_2")
        attn, mlp = partial(attended, w), partial(fed, w)
        once = x + attn(norm_1(x))
        inside = norm_1(x + attn(x))
        wrong = {
            "post-norm: ln_1(x + attn(x)), ln_2(x + mlp(x))": post_norm_by_hand(w, x),
            "ln_1 around the first sum only": inside + mlp(norm_2(inside)),
            "the MLP reads the block's input, not what the attention made of it": once
            + mlp(norm_2(x)),
            "the second sum starts from the block's input": x + mlp(norm_2(once)),
            "the first residual is missing": attn(norm_1(x))
            + mlp(norm_2(attn(norm_1(x)))),
            "the second residual is missing": mlp(norm_2(once)),
            "ln_1 used twice": once + mlp(norm_1(once)),
            "ln_2 is missing": once + mlp(once),
            "the exact GELU in the MLP": once + fed(w, norm_2(once), F.gelu),
            "ln_1 is missing": x + attn(x) + mlp(norm_2(x + attn(x))),
        }
        check.close(block(x), once + mlp(norm_2(once)), **EXACT, unlike=wrong)

    def test_the_gradient_reaches_the_input(self, kata):
        """The gradient flows through both sums and both parts."""
        block = stirred(kata.Block(small(kata))).eval()
        check.gradients(
            block, partial(block_by_hand, weights_of(block)), torch.randn(B, T, C)
        )

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_parameter_names(self, kata, bias):
        """The names are GPT-2's, so that its weights load. With bias=False the layer
        norms have no bias either.
        """
        block = kata.Block(small(kata, bias=bias))
        same_names(
            block.state_dict(),
            names_of_block(bias),
            f"names in the state dict with bias={bias}",
        )

    def test_the_parts_get_the_config(self, kata):
        """Both parts use the dropout probability of the config."""
        block = kata.Block(small(kata, dropout=0.25))
        got = {
            "attn.resid_dropout.p": block.attn.resid_dropout.p,
            "mlp.dropout.p": block.mlp.dropout.p,
        }
        check.close(got, dict.fromkeys(got, 0.25), what="with dropout=0.25: ")

    def test_flash_reaches_the_attention(self, kata):
        """flash=True is the default. With flash=False the attention computes its
        scores explicitly.
        """
        flags = {
            "default": kata.Block(small(kata)),
            "False": kata.Block(small(kata), flash=False),
        }
        got = {name: block.attn.flash for name, block in flags.items()}
        check.equal(got, {"default": True, "False": False}, what="attn.flash ")

    def test_the_cache_reaches_the_attention(self, kata):
        """Chunks of 3, 1 and 3 positions through one cache give the outputs of a single
        pass over 7: each chunk sees the chunks before it.
        """
        block = stirred(kata.Block(small(kata))).eval()
        x, cache = torch.randn(B, 7, C), kata.LayerCache()
        parts = [block(chunk, cache=cache) for chunk in x.split([3, 1, 3], dim=1)]
        blind = torch.cat([block(chunk) for chunk in x.split([3, 1, 3], dim=1)], dim=1)
        expected = block_by_hand(weights_of(block), x)
        check.close(
            torch.cat(parts, dim=1), expected, unlike={"the cache was not used": blind}
        )
        check.equal(len(cache), 7, what="len(cache)")

    @pytest.mark.edge
    def test_a_transposed_input_is_read_and_left_alone(self, kata):
        """`x += …` would write into the caller's tensor, here a view that is
        not contiguous.
        """
        for options in check.modes(flash=[False]):
            block = stirred(kata.Block(small(kata), **options)).eval()
            x = torch.randn(T, B, C).transpose(0, 1)
            with torch.no_grad(), check.unchanged(x=x):
                check.close(
                    block(x),
                    block_by_hand(weights_of(block), x),
                    what=f"output with {options}",
                )


class TestGPTInit:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_names_are_those_of_gpt2(self, kata, bias):
        """The state dict holds GPT-2's names and nothing else, the shared weight under
        both of its names. There are no buffers: masks and positions are created when
        they are needed.
        """
        model = kata.GPT(small(kata, bias=bias))
        expected = [
            "lm_head.weight",
            "transformer.wte.weight",
            "transformer.wpe.weight",
            "transformer.ln_f.weight",
        ]
        expected += ["transformer.ln_f.bias"] if bias else []
        expected += [
            f"transformer.h.{i}.{name}"
            for i in range(L)
            for name in names_of_block(bias)
        ]
        same_names(
            model.state_dict(), expected, f"names in the state dict with bias={bias}"
        )
        buffers = [name for name, _ in model.named_buffers()]
        check.that(not buffers, f"there are buffers: {buffers}")

    def test_shapes_of_the_embeddings(self, kata):
        """wte has one row of C features per token of the vocabulary, wpe one per
        position up to block_size.
        """
        model = kata.GPT(small(kata))
        check.shape(model.transformer.wte.weight, (V, C), what="transformer.wte.weight")
        check.shape(
            model.transformer.wpe.weight, (BLOCK, C), what="transformer.wpe.weight"
        )

    def test_wte_and_lm_head_are_one_parameter(self, kata):
        """`lm_head.weight is transformer.wte.weight`, before and after a state dict is
        loaded. Equal values are not enough: after the first step they would differ.
        Assigning `.data` leaves two Parameters with two gradients.
        """
        model = kata.GPT(small(kata))
        shared = model.lm_head.weight is model.transformer.wte.weight
        check.that(
            shared,
            "lm_head.weight and transformer.wte.weight are two different Parameters",
        )
        check.that(model.lm_head.bias is None, "lm_head has a bias: GPT-2's has none")
        model.load_state_dict(kata.GPT(small(kata)).state_dict())
        check.that(
            model.lm_head.weight is model.transformer.wte.weight,
            "after loading there are two Parameters",
        )

    def test_start_values(self, kata):
        """Weights come from N(0, 0.02). The two `c_proj` of each block, 2·L matrices in
        all, add to one residual path. They start smaller by √(2L), so that the sum does
        not grow with the depth.
        """
        model = kata.GPT(small(kata, block_size=64, vocab_size=80, n_embd=64))
        blocks = model.transformer.h
        scaled = 0.02 / math.sqrt(2 * L)
        for name, std, layers in (
            ("wte", 0.02, [model.transformer.wte]),
            ("wpe", 0.02, [model.transformer.wpe]),
            ("attn.c_attn", 0.02, [b.attn.c_attn for b in blocks]),
            ("mlp.c_fc", 0.02, [b.mlp.c_fc for b in blocks]),
            ("attn.c_proj", scaled, [b.attn.c_proj for b in blocks]),
            ("mlp.c_proj", scaled, [b.mlp.c_proj for b in blocks]),
        ):
            normal_with_std(
                [layer.weight for layer in layers], std, f"{name}.weight with L = {L}"
            )

    def test_biases_start_at_0_and_norms_at_1(self, kata):
        """A new layer norm only normalises, and biases of 0 favour no output."""
        for name, parameter in kata.GPT(small(kata)).named_parameters():
            if name.endswith("bias"):
                check.equal(parameter, torch.zeros_like(parameter), what=name)
            elif ".ln_" in name:
                check.equal(parameter, torch.ones_like(parameter), what=name)

    def test_the_first_loss_is_ln_v(self, kata):
        """A new model should give every token the probability 1/V: −log(1/V) = ln V. A
        larger loss comes from confident nonsense, as with PyTorch's N(0, 1) for
        embeddings. This spec computes the loss from your weights.
        """
        weights = weights_of(kata.GPT(small(kata, n_embd=64)))
        loss = losses_by_hand(
            logits_by_hand(weights, some_ids(B, T)), some_ids(B, T)
        ).mean()
        check.close(
            loss,
            torch.tensor(math.log(V)),
            rtol=0,
            atol=0.2,
            what=f"loss of a new model with V = {V}",
        )

    def test_flash_and_dropout_reach_every_block(self, kata):
        """flash=True is the default. One dropout probability serves the embeddings, the
        attentions and the MLPs.
        """
        default = kata.GPT(small(kata)).transformer.h
        check.equal(
            [block.attn.flash for block in default],
            [True] * L,
            what="attn.flash by default, block by block: ",
        )
        transformer = kata.GPT(small(kata, dropout=0.25), flash=False).transformer
        flags = [block.attn.flash for block in transformer.h]
        check.equal(
            flags, [False] * L, what="attn.flash with flash=False, block by block: "
        )
        got = {"drop.p": transformer.drop.p}
        got |= {
            f"h.{i}.mlp.dropout.p": block.mlp.dropout.p
            for i, block in enumerate(transformer.h)
        }
        got |= {
            f"h.{i}.attn.resid_dropout.p": block.attn.resid_dropout.p
            for i, block in enumerate(transformer.h)
        }
        check.close(got, dict.fromkeys(got, 0.25), what="with dropout=0.25: ")

    def test_keeps_its_config(self, kata):
        """Later code reads the sizes from the model: `model.config.block_size`."""
        config = small(kata)
        check.that(
            kata.GPT(config).config == config,
            "model.config is not the config that was given",
        )

    @pytest.mark.edge
    def test_can_be_built_without_data(self, kata):
        """On the device "meta", tensors have shapes and no data, so start values must
        not depend on any number read.
        """
        with torch.device("meta"):
            model = kata.GPT(small(kata))
        elsewhere = [
            name
            for name, parameter in model.named_parameters()
            if parameter.device.type != "meta"
        ]
        check.that(not elsewhere, f"not on meta: {elsewhere}")


@st.composite
def chunk_sizes(draw):
    """The sizes of the chunks that block_size tokens are cut into, such
    as [3, 1, 3].
    """
    cuts = sorted(draw(st.sets(st.integers(1, BLOCK - 1))))
    return [end - start for start, end in zip([0, *cuts], [*cuts, BLOCK], strict=True)]


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, as CUDA does and "meta" does not.
    Copies are allowed, and so is indexing with a tensor on the CPU.
    """

    FREE = ("aten.copy_.default", "aten._to_copy.default", "aten.index.Tensor")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [
            x
            for x in tree_leaves((args, kwargs))
            if isinstance(x, torch.Tensor) and x.ndim > 0
        ]
        devices = sorted({str(x.device) for x in tensors})
        apart = len(devices) < 2 or str(func) in self.FREE
        check.that(
            apart, f"in {func}, tensors on {' and '.join(devices)} meet: idx is on meta"
        )
        return func(*args, **(kwargs or {}))


class Idle(nn.Module):
    """A block that does nothing."""

    def forward(self, x, cache=None):
        return x


class TestGPTForward:
    def test_scores_every_token_at_every_position(self, kata):
        """Without targets the result is (logits, None), with one row of V scores for
        each of the T positions: all of them, not only the last.
        """
        result = kata.GPT(small(kata))(some_ids(B, T))
        check.that(
            isinstance(result, tuple) and len(result) == 2,
            f"expected (logits, loss), got {type(result)}",
        )
        last = torch.is_tensor(result[0]) and tuple(result[0].shape) == (B, 1, V)
        check.that(
            not last,
            "the logits are (B, 1, V), (B, T, V) are expected",
            like="the last position alone scored",
        )
        check.shape(result[0], (B, T, V), what="logits")
        check.that(
            result[1] is None,
            f"without targets the loss is None, got {check.describe(result[1])}",
        )

    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_logits(self, kata, bias):
        """Token and position embeddings are added, go through the L blocks and the
        final layer norm, and are compared with every token embedding. Checked with
        random weights against plain formulas.
        """
        model = stirred_gpt(kata, bias=bias)
        idx = some_ids(B, T)
        w = weights_of(model)
        tokens_alone, last = (
            w["transformer.wte.weight"][idx],
            through_blocks(w, embedded(w, idx)),
        )
        wrong = {
            "the final layer norm ln_f is missing": last @ w["lm_head.weight"].mT,
            "the position embeddings are missing": scored(
                w, through_blocks(w, tokens_alone)
            ),
            "post-norm blocks": logits_by_hand(w, idx, post_norm_by_hand),
            "ReLU in the blocks": logits_by_hand(
                w, idx, partial(block_by_hand, bend=F.relu)
            ),
            "the exact GELU in the blocks": logits_by_hand(
                w, idx, partial(block_by_hand, bend=F.gelu)
            ),
            "one head": logits_by_hand(w, idx, partial(block_by_hand, heads=1)),
            "the blocks are not used": scored(w, embedded(w, idx)),
            "log-probabilities": logits_by_hand(w, idx).log_softmax(-1),
        }
        check.close(model(idx)[0], logits_by_hand(w, idx), unlike=wrong, what="logits")

    def test_loss(self, kata):
        """The mean over all B·T positions of −log p(target). Targets come shifted
        already, position by position; a second shift would train the model to predict
        two tokens ahead.
        """
        model = stirred_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        logits, loss = model(idx, targets)
        expected = logits_by_hand(weights_of(model), idx)
        losses = losses_by_hand(expected, targets)
        shifted = F.cross_entropy(
            expected[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
        )
        wrong = {
            "shifted a second time inside the model": shifted,
            "the sum over the positions": losses.sum(),
            "the last position only": losses[:, -1].mean(),
            "the sum over the positions, mean over the rows": losses.sum(1).mean(),
            "logits reshaped, not transposed, to (B, V, T)": F.cross_entropy(
                expected.reshape(B, V, T), targets
            ),
            "cross entropy of probabilities: a softmax too many": losses_by_hand(
                expected.softmax(-1), targets
            ).mean(),
        }
        check.close(loss, losses.mean(), unlike=wrong, what="loss")
        check.close(logits, expected, what="logits with targets")

    def test_targets_of_minus_100_do_not_count(self, kata):
        """−100 marks positions to ignore, such as padding. They are left out of the sum
        and of the count.
        """
        model = stirred_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        losses = losses_by_hand(logits_by_hand(weights_of(model), idx), targets)
        counts = torch.ones(B, T, dtype=torch.bool)
        counts[0, 1:3] = counts[1, 4] = False
        expected = losses[counts].mean()
        rows = torch.stack([losses[b][counts[b]].mean() for b in range(B)]).mean()
        wrong = {
            "divided by all B·T positions": losses[counts].sum() / (B * T),
            "a mean per row first": rows,
        }
        check.close(
            model(idx, targets.masked_fill(~counts, -100))[1],
            expected,
            unlike=wrong,
            what="loss",
        )

    def test_gradients_of_every_parameter(self, kata):
        """Backward through the whole model, compared parameter by parameter. The shared
        weight gets the sum of two gradients, one from each of its uses. Token 0 is a
        token like any other, not padding.
        """
        model = stirred_gpt(kata)
        idx, targets = some_ids(B, T), some_ids(B, T)
        idx[0, 0] = 0
        w = {
            name: weight.requires_grad_() for name, weight in weights_of(model).items()
        }
        losses_by_hand(logits_by_hand(w, idx), targets).mean().backward()
        expected = {name: weight.grad for name, weight in w.items()}
        if model.lm_head.weight is model.transformer.wte.weight:
            expected["transformer.wte.weight"] = expected[
                "transformer.wte.weight"
            ] + expected.pop("lm_head.weight")
        model(idx, targets)[1].backward()
        for name, right in expected.items():
            grad = model.get_parameter(name).grad
            check.that(grad is not None, f"no gradient reaches {name}")
            check.close(grad, right, what=f"gradient of {name}")

    def test_tokens_that_are_not_in_the_input_learn_too(self, kata):
        """The embedding gives a gradient only to the rows of the input's tokens. The
        output layer gives one to every row, because it compares every token with
        the result.
        """
        model = stirred_gpt(kata)
        model(torch.full((B, T), 3), some_ids(B, T))[1].backward()
        grad = model.lm_head.weight.grad
        silent = (
            "all"
            if grad is None
            else (grad == 0).all(dim=1).nonzero().flatten().tolist()
        )
        check.that(
            not silent,
            f"rows without a gradient in lm_head.weight: {silent}; the input holds "
            "token 3 only",
        )

    def test_dropout_after_the_embeddings(self, kata):
        """`transformer.drop` acts on the sum of both embeddings, in training mode. With
        all of it dropped the blocks read zeros.
        """
        model = stirred_gpt(kata).train()
        model.transformer.drop.p = 1.0
        idx = some_ids(B, T)
        w = weights_of(model)
        positions = w["transformer.wpe.weight"][:T].expand(B, T, C)
        wrong = {
            "no dropout on the embeddings": logits_by_hand(w, idx),
            "dropout on the token embeddings only": scored(
                w, through_blocks(w, positions)
            ),
            "dropout on the position embeddings only": scored(
                w, through_blocks(w, w["transformer.wte.weight"][idx])
            ),
        }
        expected = scored(w, through_blocks(w, torch.zeros(B, T, C)))
        check.close(
            model(idx)[0], expected, unlike=wrong, what="logits with drop.p = 1"
        )

    def test_nothing_is_random_in_eval_mode(self, kata):
        """After .eval() the logits are those of a model without dropout. F.dropout
        drops in both modes, unless it is told `training=self.training`.
        """
        model = stirred_gpt(kata, dropout=0.5)
        idx = some_ids(B, T)
        check.close(
            model(idx)[0],
            logits_by_hand(weights_of(model), idx),
            what="logits in eval mode",
        )

    @given(sizes=chunk_sizes(), n_layer=st.sampled_from([1, L]))
    @settings(max_examples=10)
    def test_chunks_through_a_cache(self, kata, sizes, n_layer):
        """However block_size tokens are cut into chunks, one list of caches gives the
        logits of a single pass. The position embeddings must continue where the
        cache ends.
        """
        model = stirred_gpt(kata, n_layer=n_layer)
        idx = some_ids(B, BLOCK)
        chunks = idx.split(sizes, dim=1)
        caches = [kata.LayerCache() for _ in range(n_layer)]
        got = torch.cat([model(chunk, cache=caches)[0] for chunk in chunks], dim=1)
        w = weights_of(model)
        restarted = torch.cat([embedded(w, chunk) for chunk in chunks], dim=1)
        wrong = {
            "the cache was not used": torch.cat(
                [model(chunk)[0] for chunk in chunks], dim=1
            ),
            "the positions start at 0 in every chunk": scored(
                w, through_blocks(w, restarted)
            ),
        }
        check.close(
            got,
            logits_by_hand(w, idx),
            unlike=wrong,
            what=f"logits of chunks of {sizes} tokens",
        )
        check.equal(
            [len(cache) for cache in caches],
            [BLOCK] * n_layer,
            what="cached positions, block by block: ",
        )

    @pytest.mark.edge
    def test_block_size_is_the_limit(self, kata):
        """wpe has block_size rows. One more position should be an error that names this
        limit. The embedding's own IndexError does not, and on a GPU the failed lookup
        leaves CUDA unusable.
        """
        with check.raises(ValueError, BLOCK):
            kata.GPT(small(kata))(some_ids(B, BLOCK + 1))

    @pytest.mark.edge
    def test_cached_tokens_count_towards_block_size(self, kata):
        """5 cached and 3 new positions are 8, but block_size is 7. The error leaves the
        caches unchanged, so 2 new tokens still fit.
        """
        model = stirred_gpt(kata)
        idx = some_ids(B, 7)
        caches = [kata.LayerCache() for _ in range(L)]
        model(idx[:, :5], cache=caches)
        with check.raises(ValueError, BLOCK):
            model(some_ids(B, 3), cache=caches)
        check.equal(
            [len(cache) for cache in caches],
            [5] * L,
            what="cached positions after the error: ",
        )
        rest = model(idx[:, 5:], cache=caches)[0]
        check.close(
            rest,
            logits_by_hand(weights_of(model), idx)[:, 5:],
            what="logits of the last two tokens",
        )

    @pytest.mark.edge
    def test_positions_are_made_where_the_tokens_are(self, kata):
        """A model on a GPU gets tokens on the GPU, and positions on the CPU cannot be
        looked up there. Here the device "meta" stands in for the GPU, and the blocks
        do nothing.
        """
        model = kata.GPT(small(kata)).to("meta")
        model.transformer.h = nn.ModuleList(Idle() for _ in range(L))
        idx = torch.zeros(B, T, dtype=torch.long, device="meta")
        with OneDevice():
            logits, loss = model(idx, idx)
        check.that(
            logits.device.type == "meta",
            f"idx is on meta, the logits are on {logits.device}",
        )
        check.that(
            loss.device.type == "meta", f"idx is on meta, the loss is on {loss.device}"
        )

    @pytest.mark.edge
    def test_transposed_ids_and_targets(self, kata):
        """Batches are often views: a slice of a longer row, or a transposed table.
        `view` cannot flatten them; reshape and flatten can. Their values must
        not change.
        """
        model = stirred_gpt(kata)
        idx, targets = some_ids(T, B).mT, some_ids(B, T + 1)[:, 1:]
        with check.unchanged(idx=idx, targets=targets):
            logits, loss = model(idx, targets)
        expected = logits_by_hand(weights_of(model), idx)
        check.close(logits, expected, what="logits")
        check.close(loss, losses_by_hand(expected, targets).mean(), what="loss")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Model and tokens on the device: logits, loss and cached chunks as on
        the CPU.
        """
        model = stirred_gpt(kata)
        idx = some_ids(B, T)
        expected = logits_by_hand(weights_of(model), idx)
        model.cuda()
        caches = [kata.LayerCache() for _ in range(L)]
        logits, loss = model(idx.cuda(), idx.cuda())
        parts = [
            model(chunk.cuda(), cache=caches)[0] for chunk in idx.split([3, 2], dim=1)
        ]
        check.close(logits, expected, rtol=1e-2, atol=1e-2, what="logits")
        check.close(
            torch.cat(parts, dim=1),
            expected,
            rtol=1e-2,
            atol=1e-2,
            what="logits of two chunks",
        )
        check.close(loss, losses_by_hand(expected, idx).mean(), rtol=1e-2, what="loss")


class TestGPTNumParams:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_counts_a_small_model(self, kata, bias):
        """The count of a small model equals the sum by hand. The weight that wte and
        lm_head share counts once; non_embedding leaves out wpe and nothing else.
        """
        total = counted(L, C, BLOCK, V, bias)
        model = kata.GPT(small(kata, bias=bias))
        wrong = {"lm_head counted as well": total + V * C}
        check.equal(
            model.num_params(),
            total,
            unlike=wrong,
            what=f"num_params() with bias={bias}",
        )
        wrong = {
            "wpe is not left out": total,
            "wte left out": total - V * C,
            "wte and wpe left out": total - V * C - BLOCK * C,
        }
        got = model.num_params(non_embedding=True)
        check.equal(
            got,
            total - BLOCK * C,
            unlike=wrong,
            what=f"num_params(non_embedding=True) with bias={bias}",
        )

    def test_gpt2_has_124_439_808_parameters(self, kata):
        """The defaults of GPTConfig are GPT-2's, and this is its count, to the last
        parameter. The model is built on the meta device here, where tensors have shapes
        and no data.
        """
        with torch.device("meta"):
            model = kata.GPT(kata.GPTConfig())
        wrong = {"lm_head counted as well: it is the same weight as wte": 163_037_184}
        check.equal(model.num_params(), 124_439_808, unlike=wrong, what="num_params()")
        check.equal(
            model.num_params(non_embedding=True),
            124_439_808 - 1024 * 768,
            what="without wpe",
        )

    @pytest.mark.edge
    def test_frozen_parameters_count(self, kata):
        """A frozen weight is still a parameter: `requires_grad` says what is trained,
        not what exists.
        """
        model = kata.GPT(small(kata)).requires_grad_(False)
        check.equal(
            model.num_params(),
            counted(L, C, BLOCK, V, True),
            what="num_params() of a frozen model",
        )


@pytest.mark.stretch
class TestNewCache:
    def test_one_empty_cache_per_block(self, kata):
        """The model takes a list with one LayerCache per block, all empty before the
        first call.
        """
        for n_layer in (1, L):
            caches = kata.new_cache(kata.GPT(small(kata, n_layer=n_layer)))
            check.that(
                isinstance(caches, list),
                f"expected a list, got {check.describe(caches)}",
            )
            check.equal(
                [len(cache) for cache in caches],
                [0] * n_layer,
                what=f"lengths with {n_layer} blocks: ",
            )

    def test_every_block_has_its_own(self, kata):
        """[LayerCache()] * L is one cache L times: every block would append its keys to
        those of the others.
        """
        caches = kata.new_cache(kata.GPT(small(kata)))
        distinct = len({id(cache) for cache in caches})
        check.that(
            distinct == L, f"the list holds {distinct} different caches, expected {L}"
        )

    def test_every_call_starts_afresh(self, kata):
        """Two texts need two caches. A list kept on the model would mix them up."""
        model = kata.GPT(small(kata))
        first = kata.new_cache(model)
        model(some_ids(B, 3), cache=first)
        lengths = [len(cache) for cache in kata.new_cache(model)]
        check.equal(
            lengths,
            [0] * L,
            what="lengths of a second cache, after the first was filled: ",
        )

    def test_fits_the_model(self, kata):
        """A text in two chunks through the new cache gives the same logits as in
        one pass.
        """
        model = stirred_gpt(kata)
        idx, caches = some_ids(B, T), kata.new_cache(model)
        got = torch.cat(
            [model(chunk, cache=caches)[0] for chunk in idx.split([2, 3], dim=1)], dim=1
        )
        check.close(
            got, logits_by_hand(weights_of(model), idx), what="logits of two chunks"
        )


@pytest.mark.stretch
class TestGpt2Config:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_published_sizes(self, kata, name):
        """The four models differ in depth, heads and width; vocabulary and context are
        the same.
        """
        config = kata.gpt2_config(name)
        n_layer, n_head, n_embd, _ = PUBLISHED[name]
        expected = {
            "n_layer": n_layer,
            "n_head": n_head,
            "n_embd": n_embd,
            "vocab_size": 50257,
            "block_size": 1024,
        }
        expected |= {"dropout": 0.0, "bias": True}
        check.equal(
            {field: getattr(config, field) for field in expected}, expected, what=name
        )
        kind = type(config).__name__
        check.that(
            isinstance(config, kata.GPTConfig), f"expected a GPTConfig, got a {kind}"
        )

    def test_the_smallest_is_the_default(self, kata):
        """The default name is "gpt2"."""
        check.equal(kata.gpt2_config().n_embd, 768, what="n_embd")

    @pytest.mark.edge
    def test_every_call_gives_a_config_of_its_own(self, kata):
        """Callers often change a config. That must not change the config of the
        next call.
        """
        kata.gpt2_config("gpt2").dropout = 0.3
        check.equal(
            kata.gpt2_config("gpt2").dropout,
            0.0,
            what="dropout, after another config's was set to 0.3",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["gpt3", "GPT2"], ids=["gpt3", "upper case"])
    def test_other_names_are_refused(self, kata, name):
        """A mistyped name should be an error that shows the name, not a model of
        another size.
        """
        with check.raises(ValueError, name):
            kata.gpt2_config(name)


@st.composite
def model_sizes(draw):
    """The sizes of a small GPT, with or without bias."""
    sizes = {"n_layer": draw(st.integers(1, 3)), "n_embd": H * draw(st.integers(1, 4))}
    sizes |= {
        "block_size": draw(st.integers(3, 9)),
        "vocab_size": draw(st.integers(4, 13)),
    }
    return sizes | {"bias": draw(st.booleans())}


class Weightless(TorchDispatchMode):
    """Inside the block, no tensor with data may be large. One on meta has none, and
    neither has a FakeTensor.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            has_data = (
                isinstance(x, torch.Tensor)
                and x.device.type != "meta"
                and not isinstance(x, FakeTensor)
            )
            large = has_data and x.numel() >= 10_000
            check.that(
                not large,
                f"{func} made a tensor with data, of shape "
                f"{tuple(x.shape) if large else ()}",
            )
        return result


@pytest.mark.stretch
class TestParameterCount:
    @given(sizes=model_sizes())
    @settings(max_examples=10)
    def test_small_models(self, kata, sizes):
        """The count is that of both embeddings, the blocks and the final norm, for any
        sizes. lm_head is not counted a second time.
        """
        n_layer, n_embd, bias = sizes["n_layer"], sizes["n_embd"], sizes["bias"]
        total = counted(**sizes)
        wrong = {
            "lm_head counted as well": total + sizes["vocab_size"] * n_embd,
            "wpe left out": total - sizes["block_size"] * n_embd,
            "ln_f left out": total - n_embd * (1 + bias),
        }
        if not bias:
            wrong["counted with biases"] = total + (11 * n_layer + 1) * n_embd
        check.equal(
            kata.parameter_count(small(kata, **sizes)),
            total,
            unlike=wrong,
            what=f"parameters with {sizes}",
        )

    @pytest.mark.parametrize("name", [*PUBLISHED, "gpt3"])
    def test_published_counts(self, kata, name):
        """The counts of the four GPT-2s and of GPT-3 are exact. No weight is allocated:
        GPT-3 would take 650 GiB.
        """
        if name == "gpt3":
            config = kata.GPTConfig(
                block_size=2048, n_layer=96, n_head=96, n_embd=12288
            )
            expected = counted(96, 12288, 2048, 50257, True)
        else:
            n_layer, n_head, n_embd, expected = PUBLISHED[name]
            config = kata.GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)
        wrong = {"lm_head counted as well": expected + 50257 * config.n_embd}
        with Weightless():
            count = kata.parameter_count(config)
        check.equal(count, expected, unlike=wrong, what=f"parameters of {name}")
