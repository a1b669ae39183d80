"""Specs of 17 · Transformer encoder blocks."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from grader.specs import check

B, T, C, H, D_FF = 2, 5, 12, 3, 20

CAUSAL = torch.ones(T, T, dtype=torch.bool).tril()
PADDING = torch.tensor([[True] * 5, [True, True, True, False, False]])
MASKS = {
    "the causal mask": (CAUSAL, None),
    "the padding mask": (None, PADDING),
    "both masks": (CAUSAL, PADDING),
}
PLACEMENTS = {"post-norm": False, "pre-norm": True}
READY_MADE = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.Transformer)


def random_parameters(module):
    """The module with every parameter random: a new layer norm multiplies by 1 and adds
    0, which hides mistakes.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4)
    return module


def changed_from(x, position):
    """A copy of x (B, T, C) with other numbers from this position on."""
    return torch.cat([x[:, :position], torch.randn_like(x[:, position:])], dim=1)


def dense(layer, x):
    return x @ layer.weight.double().mT + layer.bias.double()


def normed(norm, x):
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return (
        centred / (variance + 1e-5).sqrt() * norm.weight.double() + norm.bias.double()
    )


def attended(attention, query, source, allowed=True):
    """Attention head by head; keys and values both come from `source`. allowed: bool,
    True = may attend.
    """
    layers = (attention.W_q, query), (attention.W_k, source), (attention.W_v, source)
    blocked = ~torch.as_tensor(allowed)
    found = []
    for q, k, v in zip(
        *(dense(layer, x).chunk(H, dim=-1) for layer, x in layers), strict=True
    ):
        scores = q @ k.mT / q.size(-1) ** 0.5
        found.append(scores.masked_fill(blocked, -math.inf).softmax(-1) @ v)
    return dense(attention.W_o, torch.cat(found, -1))


def fed(ff, x):
    return dense(ff.fc2, dense(ff.fc1, x).clamp(min=0))


def fed_with_gelu(ff, x):
    return dense(ff.fc2, nn.functional.gelu(dense(ff.fc1, x)))


def sublayers(block, allowed=True):
    """norm1, norm2, self-attention and feed-forward of a block, as functions
    in float64.
    """
    return (
        lambda x: normed(block.norm1, x),
        lambda x: normed(block.norm2, x),
        lambda x: attended(block.attention, x, x, allowed),
        lambda x: fed(block.ff, x),
    )


def torch_layer(block, norm_first, activation):
    """PyTorch's own layer in float64, with the weights of the block."""
    layer = nn.TransformerEncoderLayer(
        C, H, D_FF, 0.0, activation, norm_first=norm_first, batch_first=True
    )
    attention = block.attention
    projections = (attention.W_q, attention.W_k, attention.W_v)
    copied = {
        "self_attn.in_proj_weight": torch.cat([layer.weight for layer in projections]),
        "self_attn.in_proj_bias": torch.cat([layer.bias for layer in projections]),
    }
    pairs = {
        "self_attn.out_proj": attention.W_o,
        "linear1": block.ff.fc1,
        "linear2": block.ff.fc2,
    }
    for name, source in (pairs | {"norm1": block.norm1, "norm2": block.norm2}).items():
        copied |= {f"{name}.weight": source.weight, f"{name}.bias": source.bias}
    layer.load_state_dict(copied)
    return layer.double()


def lets_through(ff, width):
    """Outputs of a feed-forward net in training mode: each would be gelu(1) or relu(1)
    without dropout.
    """
    with torch.no_grad():
        ff.fc1.weight.zero_()
        ff.fc1.bias.fill_(1.0)
        ff.fc2.weight.copy_(torch.eye(width))
        ff.fc2.bias.zero_()
    return ff.train()(torch.zeros(40, width))


def drop_probability(ff, width):
    """With which probability a feed-forward net (relu) drops: the values it keeps
    are 1 / (1 − p).
    """
    return 1 - 1 / lets_through(ff, width).max().item()


def settings(block):
    """The settings that a block was built with."""
    return {
        "heads": block.attention.num_heads,
        "d_ff": block.ff.fc1.out_features,
        "dropout": block.dropout.p,
        "norm_first": block.norm_first,
    }


def not_ready_made(module):
    """Check that neither the module nor anything in it is one of PyTorch's
    transformer layers.
    """
    found = sorted(
        {
            kind.__name__
            for part in module.modules()
            for kind in READY_MADE
            if isinstance(part, kind)
        }
    )
    check.that(
        not found,
        f"there is PyTorch's own nn.{', nn.'.join(found)} in it: build it from its "
        "parts",
    )


class TestFeedForward:
    def test_widens_to_d_ff_and_narrows_back(self, kata):
        """fc1 goes from d_model to d_ff and fc2 back, so that the result can be added
        to the input. Without d_ff, the hidden layer is four times as wide as the model.
        nn.Linear stores its weight as (out, in).
        """
        ff = kata.FeedForward(C, D_FF)
        check.shape(ff.fc1.weight, (D_FF, C), what="fc1.weight")
        check.shape(ff.fc2.weight, (C, D_FF), what="fc2.weight")
        check.shape(
            kata.FeedForward(C).fc1.weight, (4 * C, C), what="fc1.weight without d_ff"
        )
        check.shape(ff(torch.randn(B, T, C)), (B, T, C))

    def test_is_fc2_of_relu_of_fc1(self, kata):
        """Linear, ReLU, linear. Without the ReLU, two linear layers can do no more
        than one.
        """
        ff = random_parameters(kata.FeedForward(C, D_FF))
        x = torch.randn(B, T, C)
        inner, outer = dense(ff.fc1, x.double()), lambda hidden: dense(ff.fc2, hidden)
        wrong = {
            "no activation between fc1 and fc2": outer(inner),
            "gelu where relu is the default": outer(nn.functional.gelu(inner)),
            "an activation after fc2 as well": outer(inner.relu()).relu(),
            "the activation after fc2, not after fc1": outer(inner).relu(),
            "x is added, which the block does": x + outer(inner.relu()),
        }
        check.close(ff(x), outer(inner.relu()), unlike=wrong)

    def test_gelu_is_the_exact_one(self, kata):
        """ "gelu" is x·Φ(x), with Φ the normal distribution function; the tanh formula
        is an approximation of it.
        """
        ff = random_parameters(kata.FeedForward(C, D_FF, activation="gelu")).double()
        x = torch.randn(B, T, C, dtype=torch.float64)
        inner = dense(ff.fc1, x)
        wrong = {
            "the tanh approximation": dense(
                ff.fc2, nn.functional.gelu(inner, approximate="tanh")
            ),
            "relu": dense(ff.fc2, inner.relu()),
        }
        check.close(
            ff(x),
            dense(ff.fc2, inner * (1 + torch.erf(inner / math.sqrt(2))) / 2),
            unlike=wrong,
        )

    def test_the_gradient_reaches_the_input(self, kata):
        """Earlier layers learn through this net, so the gradient must be that of
        fc2(relu(fc1(x))).
        """
        ff = random_parameters(kata.FeedForward(C, D_FF))
        check.gradients(ff, lambda x: fed(ff, x.double()), torch.randn(B, T, C))

    @given(leading=st.lists(st.integers(1, 4), max_size=3), seed=st.integers(0, 99))
    def test_each_position_is_computed_alone(self, kata, leading, seed):
        """Any leading dimensions, and each position gets what it would get by itself:
        this net mixes no positions.
        """
        torch.manual_seed(seed)
        ff = random_parameters(kata.FeedForward(C, D_FF))
        x = torch.randn(*leading, C)
        alone = torch.stack(
            [fed(ff, row.double()) for row in x.reshape(-1, C)]
        ).reshape(x.shape)
        check.close(ff(x), alone, what=f"the result for an input {tuple(x.shape)}")

    def test_fc1_and_fc2_hold_all_parameters(self, kata):
        """All parameters belong to two linear layers with bias, assigned to self."""
        names = sorted(name for name, _ in kata.FeedForward(C, D_FF).named_parameters())
        wanted = ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
        check.that(names == wanted, f"the parameters are {names}, expected {wanted}")

    def test_dropout_acts_on_the_hidden_values(self, kata):
        """Dropout acts between the activation and fc2. With probability 1, all hidden
        values become 0, and fc2 of zeros is its bias.
        """
        ff = random_parameters(kata.FeedForward(C, D_FF, dropout=1.0))
        bias = ff.fc2.bias.detach().expand(B, T, C)
        dropped_input = fed(ff, torch.zeros(B, T, C).double())
        wrong = {
            "dropout on the result": torch.zeros(B, T, C),
            "dropout on the input": dropped_input,
        }
        check.close(ff(torch.randn(B, T, C)), bias, unlike=wrong)

    def test_dropout_comes_after_the_activation(self, kata):
        """Dropout divides what it keeps by 1 − p. With all hidden values at gelu(1) and
        p = 0.5 the net gives 0 or 2·gelu(1), about half of each; dropping before the
        activation would give gelu(2).
        """
        values = lets_through(
            kata.FeedForward(10, 10, dropout=0.5, activation="gelu"), 10
        )
        kept = values[values != 0]
        wrong = {"dropout before the activation": torch.full_like(kept, 1.9545)}
        check.close(
            kept,
            torch.full_like(kept, 2 * 0.8413),
            atol=5e-3,
            unlike=wrong,
            what="the values that were kept",
        )
        share = kept.numel() / values.numel()
        check.that(
            0.3 < share < 0.7,
            f"{share:.2f} of the hidden values were kept, expected about half",
        )

    def test_nothing_is_dropped_in_eval_mode_or_by_default(self, kata):
        """After .eval() the result is fc2(relu(fc1(x))) whatever the probability. By
        default the probability is 0, so that training mode gives the same.
        """
        x = torch.randn(B, T, C)
        ff = kata.FeedForward(C, D_FF, dropout=0.5).eval()
        check.close(ff(x), fed(ff, x.double()), what="the result in eval mode")
        ff = kata.FeedForward(C, D_FF).train()
        check.close(
            ff(x),
            fed(ff, x.double()),
            what="the result in training mode with the default dropout",
        )

    @pytest.mark.edge
    def test_a_transposed_input_is_read_and_left_alone(self, kata):
        """A view that is not contiguous is an input like any other, and the net never
        writes to it.
        """
        ff = kata.FeedForward(C, D_FF)
        x = torch.randn(C, T, B).transpose(0, 2)
        with torch.no_grad(), check.unchanged(x=x):
            check.close(ff(x), fed(ff, x.double()))

    @pytest.mark.edge
    def test_the_dtype_is_kept(self, kata):
        """A net moved to another precision gives results in that precision."""
        ff = kata.FeedForward(C, D_FF).bfloat16()
        check.dtype(ff(torch.randn(B, T, C, dtype=torch.bfloat16)), torch.bfloat16)

    @pytest.mark.edge
    def test_another_activation_is_refused(self, kata):
        """Only "relu" and "gelu" are known. An unknown name must not silently become
        one of them.
        """
        with check.raises(ValueError):
            kata.FeedForward(C, D_FF, activation="tanh")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_where_its_input_is(self, kata):
        """Module and input on the device: the result is there too, with the
        same values.
        """
        ff = kata.FeedForward(C, D_FF).cuda()
        x = torch.randn(B, T, C, device="cuda")
        result = ff(x)
        check.that(
            result.device == x.device,
            f"the result is on {result.device}, the input on {x.device}",
        )
        check.close(result, fed(ff, x.double()), rtol=1e-3, atol=1e-3)


class TestTransformerEncoderBlockInit:
    def test_has_the_promised_parts(self, kata):
        """attention, ff, norm1, norm2 and dropout are submodules: only then do their
        parameters train, move and save. They are your own layers of 16 and of this
        kata, not PyTorch's encoder layer.
        """
        block = kata.TransformerEncoderBlock(C, H, D_FF)
        not_ready_made(block)
        parts = {
            "attention": kata.MultiHeadAttention,
            "ff": kata.FeedForward,
            "norm1": nn.LayerNorm,
        }
        for name, kind in (
            parts | {"norm2": nn.LayerNorm, "dropout": nn.Dropout}
        ).items():
            part = getattr(block, name, None)
            check.that(
                isinstance(part, kind),
                f"{name} should be a {kind.__name__}, it is {type(part).__name__}",
            )

    def test_the_four_parts_hold_all_parameters(self, kata):
        """Sixteen tensors: weight and bias of four projections, of two linear layers
        and of two norms.
        """
        names = [
            name
            for name, _ in kata.TransformerEncoderBlock(C, H, D_FF).named_parameters()
        ]
        others = [
            name
            for name in names
            if name.split(".")[0] not in ("attention", "ff", "norm1", "norm2")
        ]
        check.that(
            not others,
            f"there are parameters outside attention, ff, norm1 and norm2: {others}",
        )
        check.that(
            len(names) == 16,
            f"the block has {len(names)} parameters, expected 16: {names}",
        )

    def test_heads_and_placement_are_those_asked_for(self, kata):
        """num_heads goes to the attention, which cuts C = 12 into H = 3 heads of 4
        features. norm_first is kept as an attribute, and is False by default.
        """
        block = kata.TransformerEncoderBlock(C, H, D_FF)
        check.equal(block.attention.num_heads, H, what="attention.num_heads")
        check.equal(block.norm_first, False, what="norm_first by default")
        check.equal(
            kata.TransformerEncoderBlock(C, H, norm_first=True).norm_first,
            True,
            what="norm_first",
        )

    def test_the_feed_forward_gets_its_settings(self, kata):
        """d_ff and activation are meant for the feed-forward net; without them it is
        four times as wide, with relu.
        """
        x = torch.randn(B, T, C)
        ff = random_parameters(
            kata.TransformerEncoderBlock(C, H, D_FF, activation="gelu")
        ).ff.eval()
        check.shape(ff.fc1.weight, (D_FF, C), what="ff.fc1.weight with d_ff=20")
        relu, gelu = fed(ff, x.double()), fed_with_gelu(ff, x.double())
        check.close(
            ff(x),
            gelu,
            atol=3e-3,
            unlike={"relu": relu},
            what='ff(x) with activation="gelu"',
        )
        ff = random_parameters(kata.TransformerEncoderBlock(C, H)).ff.eval()
        check.shape(ff.fc1.weight, (4 * C, C), what="ff.fc1.weight without d_ff")
        check.close(
            ff(x), fed(ff, x.double()), what="ff(x) without an activation given"
        )

    def test_one_probability_for_every_dropout(self, kata):
        """`dropout` is one probability for the sublayers' results, the attention
        weights and the hidden values of the feed-forward net. Its default is 0.1.
        """
        for arguments, wanted in (({}, 0.1), ({"dropout": 0.5}, 0.5)):
            block = kata.TransformerEncoderBlock(C, H, C, **arguments)
            check.close(block.dropout.p, wanted, what=f"dropout.p with {arguments}")
            unlike, what = (
                {"dropout is not handed on to the attention": 0.0},
                f"attention.dropout.p with {arguments}",
            )
            check.close(block.attention.dropout.p, wanted, unlike=unlike, what=what)
            got = drop_probability(block.ff, C)
            check.close(
                got,
                wanted,
                atol=1e-4,
                what=f"the probability inside ff with {arguments}",
            )


@st.composite
def blocks_and_masks(draw):
    """A placement, an activation, and whether a mask and a padding mask are given."""
    choices = {
        "norm_first": [False, True],
        "activation": ["relu", "gelu"],
        "mask": [None, "(T, T)", "(B, T, T)"],
    }
    case = {name: draw(st.sampled_from(values)) for name, values in choices.items()}
    return case | {"padded": draw(st.booleans()), "seed": draw(st.integers(0, 99))}


class TestTransformerEncoderBlockForward:
    def test_post_norm_is_the_default(self, kata):
        """Each sublayer's result is added to its input, and the sum is normalised:
        x = norm1(x + attn(x)), then x = norm2(x + ff(x)). This is the block of the
        2017 paper.
        """
        block = random_parameters(kata.TransformerEncoderBlock(C, H, D_FF)).eval()
        x = torch.randn(B, T, C)
        norm1, norm2, attn, ff = sublayers(block)
        start = x.double()
        after = norm1(start + attn(start))
        once, alone, between = (
            start + attn(norm1(start)),
            norm1(attn(start)),
            norm2(start + attn(start)),
        )
        beside = start + norm1(attn(start))
        wrong = {
            "pre-norm: the norms before the sublayers": once + ff(norm2(once)),
            "the norm on the sublayer's result alone, x + norm1(attention(x))": beside
            + norm2(ff(beside)),
            "norm1 used for both sublayers": norm1(after + ff(after)),
            "norm1 and norm2 exchanged": norm1(between + ff(between)),
            "the first residual is missing": norm2(alone + ff(alone)),
            "the second residual is missing": norm2(ff(after)),
            "the second residual starts from the block's input": norm2(
                start + ff(after)
            ),
            "the last norm is missing": after + ff(after),
        }
        check.close(block(x), norm2(after + ff(after)), unlike=wrong)

    def test_pre_norm_leaves_the_residual_path_alone(self, kata):
        """With norm_first the norm comes before each sublayer and off the residual
        path: x = x + attn(norm1(x)), then x = x + ff(norm2(x)).
        """
        block = random_parameters(
            kata.TransformerEncoderBlock(C, H, D_FF, norm_first=True)
        ).eval()
        x = torch.randn(B, T, C)
        norm1, norm2, attn, ff = sublayers(block)
        start = x.double()
        after = start + attn(norm1(start))
        post, first = norm1(start + attn(start)), norm1(start)
        cross = start + attended(block.attention, norm1(start), start)
        between, bent = start + attn(norm2(start)), first + attn(first)
        second = norm2(bent)
        wrong = {
            "post-norm: norm_first is ignored": norm2(post + ff(post)),
            "the residuals taken from the normalised x": second + ff(second),
            "the first residual taken from the normalised x": bent + ff(norm2(bent)),
            "only the query is normalised": cross + ff(norm2(cross)),
            "norm1 used for both sublayers": after + ff(norm1(after)),
            "norm1 and norm2 exchanged": between + ff(norm1(between)),
            "the second residual is missing": ff(norm2(after)),
            "the second residual starts from the block's input": start
            + ff(norm2(after)),
            "the second norm is missing": after + ff(after),
            "a norm on the block's result too": norm2(after + ff(norm2(after))),
        }
        check.close(block(x), after + ff(norm2(after)), unlike=wrong)

    def test_true_in_the_mask_means_may_attend(self, kata):
        """With a diagonal mask every position may attend to itself alone, so changing
        the positions from 1 on changes nothing at position 0. An inverted or forgotten
        mask lets the change through.
        """
        only_self = torch.eye(T, dtype=torch.bool)
        for placement, norm_first in PLACEMENTS.items():
            block = kata.TransformerEncoderBlock(
                C, H, D_FF, norm_first=norm_first
            ).eval()
            x = torch.randn(B, T, C)
            changed, what = (
                changed_from(x, 1),
                f"{placement}, position 0, which may attend to itself alone",
            )
            maskless = block(changed)
            before, after = block(x, mask=only_self), block(changed, mask=only_self)
            check.close(
                after[:, 0], before[:, 0], unlike={"no mask": maskless[:, 0]}, what=what
            )

    def test_true_in_the_padding_mask_means_a_real_token(self, kata):
        """The content of a padded position changes no real position. Sequence 1 is
        padded from position 3 on.
        """
        for placement, norm_first in PLACEMENTS.items():
            block = kata.TransformerEncoderBlock(
                C, H, D_FF, norm_first=norm_first
            ).eval()
            x = torch.randn(B, T, C)
            before = block(x, key_padding_mask=PADDING)
            after = block(changed_from(x, 3), key_padding_mask=PADDING)
            check.close(
                after[1, :3],
                before[1, :3],
                what=f"{placement}, the real positions after the padding changed",
            )

    def test_a_padding_mask_is_not_a_mask(self, kata):
        """With B = T, a key_padding_mask (B, T) would also fit as a (T, T) mask,
        without any error. Hand it to the attention under its own name.
        """
        block = random_parameters(kata.TransformerEncoderBlock(C, H, D_FF)).eval()
        x = torch.randn(3, 3, C)
        padding = torch.tensor(
            [[True, True, False], [True, False, False], [True, True, True]]
        )
        results = []
        for allowed in (padding[:, None], padding):
            norm1, norm2, attn, ff = sublayers(block, allowed)
            after = norm1(x.double() + attn(x.double()))
            results.append(norm2(after + ff(after)))
        wrong = {"the padding mask used as the (T, T) mask": results[1]}
        check.close(block(x, key_padding_mask=padding), results[0], unlike=wrong)

    @given(case=blocks_and_masks())
    def test_equals_the_layer_of_torch(self, kata, case):
        """With the same weights the block is nn.TransformerEncoderLayer, in the result
        and in the gradient of its input, for both placements and activations, and for a
        mask (T, T) or one per batch element, a padding mask, both or none. (PyTorch's
        boolean masks mean the opposite: True = blocked.)
        """
        torch.manual_seed(case["seed"])
        x = torch.randn(B, T, C, dtype=torch.float64)
        norm_first, activation = case["norm_first"], case["activation"]
        block = random_parameters(
            kata.TransformerEncoderBlock(C, H, D_FF, 0.0, norm_first, activation)
        ).double()
        allowed = (torch.rand(B, T, T) < 0.6) | torch.eye(T, dtype=torch.bool)
        # the first token is real in each sequence: no row is without a key
        allowed[:, :, 0] = True
        mask = {None: None, "(T, T)": allowed[0], "(B, T, T)": allowed}[case["mask"]]
        padding = PADDING if case["padded"] else None
        blocked = {
            None: None,
            "(T, T)": ~allowed[0],
            # PyTorch wants one mask per head
            "(B, T, T)": ~allowed.repeat_interleave(H, dim=0),
        }[case["mask"]]
        layer, padded = (
            torch_layer(block, norm_first, activation),
            None if padding is None else ~padding,
        )
        theirs = partial(layer, src_mask=blocked, src_key_padding_mask=padded)
        unlike = {
            "the mask is left out": layer(x, src_key_padding_mask=padded),
            "the padding mask is left out": layer(x, src_mask=blocked),
        }
        # attention may compute its softmax in float32
        near = {"rtol": 1e-4, "atol": 1e-5}
        check.close(
            block(x, mask, padding),
            theirs(x),
            **near,
            unlike=unlike,
            what=f"the result with {case}",
        )
        check.gradients(lambda x: block(x, mask, padding), theirs, x, **near)

    @pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
    def test_dropout_of_one_leaves_the_residual_path(self, kata, norm_first):
        """Dropout acts on the result of each sublayer before it is added, and never on
        x itself. With probability 1, in training mode, pre-norm gives x and post-norm
        gives norm2(norm1(x)).
        """
        block = random_parameters(
            kata.TransformerEncoderBlock(C, H, D_FF, 1.0, norm_first)
        ).train()
        x = torch.randn(B, T, C)
        norm1, norm2, _, _ = sublayers(block)
        # With all hidden values and attention weights dropped, each sublayer gives its
        # last bias.
        attn_bias, ff_bias = (
            block.attention.W_o.bias.double(),
            block.ff.fc2.bias.double(),
        )

        def left(first, second):
            return (
                x.double() + first + second
                if norm_first
                else norm2(norm1(x.double() + first) + second)
            )

        wrong = {
            "dropout on the sum x + sublayer": torch.zeros(B, T, C),
            "no dropout on the attention's result": left(attn_bias, 0),
            "no dropout on the feed-forward's result": left(0, ff_bias),
            "no dropout on either result": left(attn_bias, ff_bias),
        }
        check.close(block(x), left(0, 0), unlike=wrong)

    def test_nothing_is_dropped_in_eval_mode(self, kata):
        """After .eval() a block gives what the same block without dropout gives."""
        x = torch.randn(B, T, C)
        for placement, norm_first in PLACEMENTS.items():
            block = kata.TransformerEncoderBlock(
                C, H, D_FF, dropout=0.5, norm_first=norm_first
            ).eval()
            without_dropout = kata.TransformerEncoderBlock(
                C, H, D_FF, dropout=0.0, norm_first=norm_first
            ).eval()
            without_dropout.load_state_dict(block.state_dict())
            check.close(
                block(x),
                without_dropout(x),
                what=f"{placement}, the result in eval mode",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
    def test_a_transposed_input_is_read_and_left_alone(self, kata, norm_first):
        """A view that is not contiguous is an input like any other. `x += …` would
        write into the caller's tensor.
        """
        block = kata.TransformerEncoderBlock(C, H, D_FF, norm_first=norm_first).eval()
        x = torch.randn(T, B, C).transpose(0, 1)
        expected = block(x.contiguous())
        with torch.no_grad(), check.unchanged(x=x):
            check.close(block(x), expected)

    @pytest.mark.edge
    def test_the_dtype_is_kept(self, kata):
        """A block moved to another precision gives results in that precision, with
        masks too.
        """
        block = kata.TransformerEncoderBlock(C, H, D_FF).bfloat16()
        check.dtype(
            block(torch.randn(B, T, C, dtype=torch.bfloat16), CAUSAL, PADDING),
            torch.bfloat16,
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_where_its_input_is(self, kata):
        """Module, input and masks on the device: the result is there too."""
        block = kata.TransformerEncoderBlock(C, H, D_FF).cuda()
        x = torch.randn(B, T, C, device="cuda")
        result = block(x, CAUSAL.cuda(), PADDING.cuda())
        check.that(
            result.device == x.device,
            f"the result is on {result.device}, the input on {x.device}",
        )


class TestTransformerEncoder:
    def test_holds_the_blocks_in_a_module_list(self, kata):
        """nn.ModuleList registers what it holds. Modules in a plain Python list are
        invisible to parameters(), to() and state_dict(), and never train. The blocks
        are your own, not PyTorch's.
        """
        encoder = kata.TransformerEncoder(3, C, H, D_FF)
        not_ready_made(encoder)
        blocks = encoder.blocks
        kind = type(blocks).__name__
        check.that(
            isinstance(blocks, nn.ModuleList),
            f"blocks should be an nn.ModuleList, it is a {kind}",
        )
        check.that(len(blocks) == 3, f"there are {len(blocks)} blocks, expected 3")
        others = [
            type(block).__name__
            for block in blocks
            if not isinstance(block, kata.TransformerEncoderBlock)
        ]
        check.that(
            not others,
            f"each block should be a TransformerEncoderBlock, there is {others}",
        )

    def test_every_block_has_parameters_of_its_own(self, kata):
        """[block] * N is one block N times, which trains as one. Each block has sixteen
        tensors, a final norm two.
        """
        for placement, norm_first in PLACEMENTS.items():
            encoder = kata.TransformerEncoder(3, C, H, D_FF, norm_first=norm_first)
            count, wanted = len(list(encoder.parameters())), 3 * 16 + 2 * norm_first
            check.that(
                count == wanted,
                f"with {placement} there are {count} parameter tensors, expected "
                f"{wanted}",
            )

    def test_pre_norm_ends_in_a_layer_norm(self, kata):
        """In pre-norm, nothing has normalised the sum that leaves the last block, so
        the stack ends in a norm over C features. In post-norm, the last block already
        ends in a norm.
        """
        pre, post = (
            kata.TransformerEncoder(2, C, H, D_FF, norm_first=flag).norm
            for flag in (True, False)
        )
        for norm, kind, placement in (
            (pre, nn.LayerNorm, "pre"),
            (post, nn.Identity, "post"),
        ):
            right = isinstance(norm, kind)
            check.that(
                right,
                f"in {placement}-norm, norm should be nn.{kind.__name__}, it is "
                f"{type(norm).__name__}",
            )
        check.that(
            tuple(pre.normalized_shape) == (C,),
            f"norm is over {tuple(pre.normalized_shape)}, expected ({C},)",
        )

    def test_is_block_after_block_then_the_norm(self, kata):
        """Each block reads what the block before it wrote, and `norm` reads what the
        last block wrote.
        """
        for norm_first in PLACEMENTS.values():
            encoder = random_parameters(
                kata.TransformerEncoder(3, C, H, D_FF, norm_first=norm_first)
            ).eval()
            x = torch.randn(B, T, C)
            first, second, third = encoder.blocks
            last = third(second(first(x)))
            wrong = {
                "the last block alone": encoder.norm(third(x)),
                "the blocks backwards": encoder.norm(first(second(third(x)))),
            }
            wrong |= {"the final norm left out": last} if norm_first else {}
            check.close(encoder(x), encoder.norm(last), unlike=wrong)

    def test_both_masks_reach_every_block(self, kata):
        """A mask that only the first block gets is no mask: the second block lets
        everything through again.
        """
        encoder = random_parameters(kata.TransformerEncoder(2, C, H, D_FF)).eval()
        x = torch.randn(B, T, C)
        first, second = encoder.blocks
        for name, (mask, padding) in MASKS.items():
            entered = first(x, mask=mask, key_padding_mask=padding)
            expected = second(entered, mask=mask, key_padding_mask=padding)
            wrong = {
                "no mask at all": second(first(x)),
                "masks for the first block only": second(entered),
                "masks for the last block only": second(
                    first(x), mask=mask, key_padding_mask=padding
                ),
            }
            if name == "both masks":
                wrong["the mask without the padding"] = second(
                    first(x, mask=mask), mask=mask
                )
                wrong["the padding without the mask"] = second(
                    first(x, None, padding), None, padding
                )
            check.close(
                encoder(x, mask, padding),
                expected,
                unlike=wrong,
                what=f"the result with {name}",
            )

    def test_return_all_gives_every_state(self, kata):
        """(output, states) with the N + 1 states [x, after block 1, …, after block N];
        the final norm belongs to the output, not to the last state.
        """
        for norm_first in PLACEMENTS.values():
            encoder = random_parameters(
                kata.TransformerEncoder(2, C, H, D_FF, norm_first=norm_first)
            ).eval()
            x = torch.randn(B, T, C)
            first, second = encoder.blocks
            middle = first(x)
            last = second(middle)
            wrong = {
                "the last state after the final norm": (
                    encoder.norm(last),
                    [x, middle, encoder.norm(last)],
                )
            }
            check.close(
                encoder(x, return_all=True),
                (encoder.norm(last), [x, middle, last]),
                unlike=wrong,
            )

    def test_the_output_depends_on_every_state(self, kata):
        """The states are in the graph of the output, so that its gradient with respect
        to each of them exists.
        """
        encoder = kata.TransformerEncoder(2, C, H, D_FF, norm_first=True)
        output, states = encoder(torch.randn(B, T, C).requires_grad_(), return_all=True)
        gradients = torch.autograd.grad(
            output.square().sum(), states, allow_unused=True
        )
        cut = [i for i, gradient in enumerate(gradients) if gradient is None]
        check.that(
            not cut,
            f"the output does not depend on the states {cut}: they are copies cut off "
            "from the graph",
        )

    def test_every_block_gets_the_settings(self, kata):
        """Heads, d_ff, dropout, norm_first and activation are the blocks' own
        arguments, handed through. Without them a block has a feed-forward net of
        4·d_model with relu, dropout 0.1, and post-norm.
        """
        x = torch.randn(B, C)
        encoder = random_parameters(
            kata.TransformerEncoder(2, C, H, D_FF, 0.3, True, "gelu")
        )
        for i, block in enumerate(encoder.blocks):
            wanted = {"heads": H, "d_ff": D_FF, "dropout": 0.3, "norm_first": True}
            check.equal(settings(block), wanted, what=f"block {i}: ")
            relu, gelu = fed(block.ff, x.double()), fed_with_gelu(block.ff, x.double())
            got = block.ff.eval()(x)
            check.close(
                got,
                gelu,
                atol=3e-3,
                unlike={"relu": relu},
                what=f"blocks[{i}].ff(x), which should use gelu",
            )
        block = random_parameters(kata.TransformerEncoder(1, C, H)).blocks[0]
        wanted = {"heads": H, "d_ff": 4 * C, "dropout": 0.1, "norm_first": False}
        check.equal(settings(block), wanted, what="block 0 by default: ")
        check.close(
            block.ff.eval()(x),
            fed(block.ff, x.double()),
            what="blocks[0].ff(x), by default with relu",
        )

    @given(
        position=st.integers(1, T - 1),
        norm_first=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_a_causal_mask_holds_through_three_blocks(
        self, kata, position, norm_first, seed
    ):
        """Under a causal mask the outputs before a position do not depend on the inputs
        from it on: one leaking block shows the future to all later ones. The outputs
        from that position on do depend on the inputs.
        """
        torch.manual_seed(seed)
        encoder = random_parameters(
            kata.TransformerEncoder(3, C, H, D_FF, norm_first=norm_first)
        ).eval()
        x = torch.randn(B, T, C)
        before, after = (
            encoder(x, mask=CAUSAL),
            encoder(changed_from(x, position), mask=CAUSAL),
        )
        what = (
            f"the outputs before position {position} after a change of the inputs "
            "from there on"
        )
        check.close(after[:, :position], before[:, :position], what=what)
        change = (after[:, position:] - before[:, position:]).abs().max().item()
        check.that(
            change > 1e-3,
            f"the outputs from position {position} on do not depend on the inputs "
            "there",
        )

    @pytest.mark.edge
    def test_a_second_encoder_can_take_over_the_state_dict(self, kata):
        """An encoder that loads the state_dict of another computes the same, because
        all its parts are registered.
        """
        for norm_first in PLACEMENTS.values():
            one, two = (
                kata.TransformerEncoder(2, C, H, D_FF, norm_first=norm_first).eval()
                for _ in range(2)
            )
            two.load_state_dict(random_parameters(one).state_dict())
            x = torch.randn(B, T, C)
            check.close(two(x), one(x))

    @pytest.mark.edge
    def test_the_input_is_left_alone(self, kata):
        """The stack reads x and never writes to it."""
        x = torch.randn(B, T, C)
        for options in check.modes(norm_first=[True]):
            encoder = kata.TransformerEncoder(2, C, H, D_FF, **options).eval()
            with torch.no_grad(), check.unchanged(x=x):
                encoder(x)

    @pytest.mark.edge
    @pytest.mark.parametrize("num_layers", [0, -2])
    def test_at_least_one_block(self, kata, num_layers):
        """A stack without blocks is a mistake in the call, and range() would accept
        it silently.
        """
        with check.raises(ValueError):
            kata.TransformerEncoder(num_layers, C, H)


def classifier(kata, **settings):
    """A small classifier in eval mode: 11 tokens, 3 classes, two blocks."""
    return random_parameters(
        kata.SequenceClassifier(11, 3, d_model=C, num_heads=H, d_ff=D_FF, **settings)
    ).eval()


@st.composite
def padded_batches(draw):
    """Token ids (2, 4), any of them in the padding too, and which tokens are real: at
    least one per sequence.
    """
    row = st.lists(st.integers(0, 10), min_size=4, max_size=4)
    real = st.lists(st.booleans(), min_size=4, max_size=4).filter(any)
    ids, mask = ([draw(rows) for _ in range(2)] for rows in (row, real))
    return torch.tensor(ids), torch.tensor(mask)


class TestSequenceClassifier:
    def test_has_the_promised_parts(self, kata):
        """embedding, encoder and head are submodules, and there are no parameters
        besides theirs.
        """
        model = classifier(kata)
        check.shape(model.embedding.weight, (11, C), what="embedding.weight")
        check.shape(model.head.weight, (3, C), what="head.weight")
        kind = type(model.encoder).__name__
        right = isinstance(model.encoder, kata.TransformerEncoder)
        check.that(right, f"encoder should be a TransformerEncoder, it is a {kind}")
        check.shape(model.head.bias, (3,), what="head.bias")
        owners = {name.split(".")[0] for name, _ in model.named_parameters()}
        check.that(
            owners == {"embedding", "encoder", "head"},
            f"the parameters belong to {sorted(owners)}",
        )

    def test_the_encoder_gets_the_settings(self, kata):
        """d_model, num_heads, num_layers, d_ff, dropout and norm_first are the
        encoder's. Without them: 32, 4 heads, 2 layers, d_ff 128, dropout 0.1, pre-norm;
        the activation is always relu.
        """
        for norm_first in (False, True):
            encoder = kata.SequenceClassifier(
                11, 3, C, H, 3, D_FF, 0.3, norm_first
            ).encoder
            wanted = {
                "heads": H,
                "d_ff": D_FF,
                "dropout": 0.3,
                "norm_first": norm_first,
            }
            check.equal(settings(encoder.blocks[0]), wanted, what="encoder, block 0: ")
            check.equal(
                len(encoder.blocks), 3, what="number of blocks with num_layers=3"
            )
        encoder = kata.SequenceClassifier(11, 3).encoder
        check.equal(len(encoder.blocks), 2, what="number of blocks by default")
        ff = encoder.blocks[0].ff.eval()
        wanted = {"heads": 4, "d_ff": 128, "dropout": 0.1, "norm_first": True}
        check.equal(
            settings(encoder.blocks[0]), wanted, what="encoder, block 0 by default: "
        )
        x = torch.randn(B, 32)
        check.close(
            ff(x),
            fed(ff, x.double()),
            what="encoder.blocks[0].ff(x), which should use relu",
        )

    def test_is_the_head_of_the_mean_of_the_encoder(self, kata):
        """Without a mask: embed, encode, average over the T positions, head. One row of
        scores per sequence.
        """
        model = classifier(kata)
        ids = torch.randint(1, 11, (B, T))
        encoded = model.encoder(model.embedding(ids))
        wrong = {
            "the sum over positions": model.head(encoded.sum(1)),
            "the first position only": model.head(encoded[:, 0]),
            "the last position only": model.head(encoded[:, -1]),
            "the largest value over positions": model.head(encoded.amax(1)),
            "the encoder left out": model.head(model.embedding(ids).mean(1)),
        }
        check.close(model(ids), model.head(encoded.mean(1)), unlike=wrong)

    def test_a_padded_sequence_gets_the_logits_it_gets_alone(self, kata):
        """Padding only makes sequences equally long. It must be hidden from the
        attention and left out of the mean, so that a sequence gets the same logits with
        padding and without.
        """
        model = classifier(kata)
        ids = torch.randint(4, 11, (B, T)).masked_fill(~PADDING, 0)
        encoded = model.encoder(model.embedding(ids), key_padding_mask=PADDING)
        open_encoded = model.encoder(model.embedding(ids))
        real = PADDING.unsqueeze(-1)
        lengths = PADDING.sum(1, keepdim=True)
        wrong = {
            "the mean runs over the padding too": model.head(encoded.mean(1)),
            "the mean divides by T, not by the number of real tokens": model.head(
                (encoded * real).sum(1) / T
            ),
            "the mask does not reach the encoder": model.head(
                (open_encoded * real).sum(1) / lengths
            ),
            "the mask is ignored": model(ids),
            "the mean over the padding alone": model.head(
                (encoded * ~real).sum(1) / (T - lengths).clamp(min=1)
            ),
        }
        wrong |= {
            "the softmax of the scores, which the loss does itself": model.head(
                (encoded * real).sum(1) / lengths
            ).softmax(-1)
        }
        alone = torch.cat([model(ids[b : b + 1, PADDING[b]]) for b in range(B)])
        check.close(model(ids, PADDING), alone, unlike=wrong)

    @given(case=padded_batches())
    def test_padding_changes_nothing_wherever_it_is(self, kata, case):
        """Real tokens may be anywhere in the row, and any id may fill the padding: only
        the mask says what is real.
        The logits stay those of the real tokens alone.
        """
        ids, real = case
        torch.manual_seed(0)
        model = classifier(kata)
        lengths = real.sum(1).tolist()
        encoded = model.encoder(model.embedding(ids), key_padding_mask=real)
        wrong = {
            "the mean runs over the padding too": model.head(encoded.mean(1)),
            "the first tokens, as many as are real": torch.stack(
                [
                    model.head(row[:length].mean(0))
                    for row, length in zip(encoded, lengths, strict=True)
                ]
            ),
        }
        alone = torch.cat(
            [model(row[is_real][None]) for row, is_real in zip(ids, real, strict=True)]
        )
        check.close(model(ids, key_padding_mask=real), alone, unlike=wrong)

    def test_without_a_mask_every_id_is_real(self, kata):
        """Without a mask all T tokens count, also those with id 0: the model does not
        guess which are padding.
        """
        model = classifier(kata)
        ids = torch.tensor([[0, 4, 0, 5, 6], [7, 8, 9, 0, 0]])
        wrong = {"id 0 taken for padding": model(ids, ids != 0)}
        check.close(
            model(ids), model(ids, torch.ones(B, T, dtype=torch.bool)), unlike=wrong
        )

    @pytest.mark.edge
    def test_a_sequence_without_a_real_token_gets_the_bias(self, kata):
        """Nothing to average: the mean counts as zeros, not 0 / 0, and head of zeros is
        head.bias. One empty row in a batch must not turn every weight into NaN at the
        next update.
        """
        model = classifier(kata)
        logits = model(
            torch.randint(11, (B, T)), torch.tensor([[True] * 5, [False] * 5])
        )
        expected = model.head.bias.detach()
        unlike = {"a mean of 0 / 0, which is NaN": torch.full_like(expected, math.nan)}
        check.close(
            logits[1], expected, unlike=unlike, what="logits of the empty sequence"
        )
        logits.square().sum().backward()
        for name, parameter in model.named_parameters():
            check.that(parameter.grad is not None, f"no gradient reaches {name}")
            check.finite(parameter.grad, what=f"gradient of {name}")

    @pytest.mark.edge
    def test_a_second_model_can_take_over_the_state_dict(self, kata):
        """A model that loads the state_dict of another gives the same logits, because
        all its parts are registered.
        """
        one, two = classifier(kata), classifier(kata)
        two.load_state_dict(one.state_dict())
        ids = torch.randint(11, (B, T))
        check.close(two(ids, PADDING), one(ids, PADDING))

    @pytest.mark.edge
    def test_ids_and_mask_are_left_alone(self, kata):
        """The model reads its arguments and never writes to them."""
        model = classifier(kata)
        ids, real = torch.randint(11, (B, T)), PADDING.clone()
        with check.unchanged(ids=ids, key_padding_mask=real):
            model(ids, real)


class Lookup(nn.Module):
    """A classifier for specs that notes its calls: the logits of a sequence are a row
    of a table plus a bias.
    """

    def __init__(self, rows, classes, scale=1.0):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(rows, classes))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.scale = scale
        self.calls = []

    def forward(self, ids, key_padding_mask=None):
        real = None if key_padding_mask is None else key_padding_mask.clone()
        graph = torch.is_grad_enabled()
        self.calls.append(
            {
                "ids": ids.clone(),
                "real": real,
                "training": self.training,
                "graph": graph,
            }
        )
        return (self.table[ids[:, 0]] + self.bias) * self.scale


class RightInEvalMode(nn.Module):
    """A classifier for specs that learns nothing: right in eval mode with a mask,
    wrong otherwise.
    """

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, ids, key_padding_mask=None):
        right = (
            ids[:, 0]
            if key_padding_mask is not None and not self.training
            else 1 - ids[:, 0]
        )
        return nn.functional.one_hot(right, 2) * 9.0 + 0.0 * self.weight


def numbered(rows):
    """(ids, labels, mask) of so many sequences: row i says i in each of the three."""
    ids = torch.arange(rows).unsqueeze(1).expand(rows, 4).contiguous()
    real = torch.stack(
        [(torch.arange(rows) >> bit) % 2 == 1 for bit in range(4)], dim=1
    )
    return ids, torch.arange(rows) % 3, real


def clip_to_one(model):
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    for p in model.parameters():
        p.grad /= max(float(norm), 1.0)


def skip(model):
    """Leave out a part of the recipe."""


def losses_of(
    optimizer, ids, labels, model, *, clear=nn.Module.zero_grad, clip=clip_to_one
):
    """Seven losses of training on one and the same batch, each taken before
    its update.
    """
    losses = []
    for _ in range(7):
        loss = -model(ids).log_softmax(-1)[range(len(ids)), labels].mean()
        losses.append(loss.item())
        clear(model)
        loss.backward()
        clip(model)
        optimizer.step()
    return torch.tensor(losses)


class TestTrainClassifier:
    def test_gives_losses_and_accuracy(self, kata):
        """A dict with one plain float per step under "losses", and a float
        under "accuracy".
        """
        ids, labels, real = numbered(7)
        result = kata.train_classifier(
            Lookup(7, 3), ids, labels, real, steps=4, batch_size=5
        )
        check.that(
            set(result) == {"losses", "accuracy"},
            f"the keys are {sorted(result)}, expected accuracy and losses",
        )
        check.that(
            isinstance(result["losses"], list),
            f"losses is a {type(result['losses']).__name__}, expected a list",
        )
        kinds = [
            type(value).__name__ for value in (*result["losses"], result["accuracy"])
        ]
        check.that(
            kinds == ["float"] * 5,
            f"expected 4 losses and the accuracy, all floats, got {kinds}",
        )

    def test_learns_with_clipped_adamw(self, kata):
        """Six equal rows make every batch the same, so the losses are those of AdamW on
        fresh gradients, scaled to a total norm of at most 1, step after step with one
        optimizer. Each is taken before its update: the first is ln 3, that of equal
        scores for three classes.
        """
        ids, labels = torch.zeros(6, 4, dtype=torch.int64), torch.full((6,), 2)

        def by(kind, **parts):
            model = Lookup(1, 3, scale=3.0)
            return losses_of(
                kind(model.parameters(), lr=0.2), ids, labels, model, **parts
            )

        adamw = torch.optim.AdamW
        wrong = {
            "losses taken after the update": by(adamw)[1:],
            "gradients that add up over the steps, or a new optimizer for each": by(
                adamw, clear=skip
            )[:6],
            "gradients that are not clipped": by(adamw, clip=skip)[:6],
            "SGD": by(torch.optim.SGD)[:6],
            "Adam without weight decay": by(torch.optim.Adam)[:6],
            "no update at all": torch.full((6,), math.log(3)),
        }
        got = kata.train_classifier(
            Lookup(1, 3, scale=3.0), ids, labels, steps=6, lr=0.2
        )["losses"]
        check.close(
            torch.tensor(got),
            by(adamw)[:6],
            rtol=1e-3,
            atol=1e-6,
            unlike=wrong,
            what="losses",
        )

    def test_ids_mask_and_labels_of_a_batch_belong_together(self, kata):
        """One draw of row numbers picks from all three. A table with a row for each
        sequence then learns every label; with a draw for each it learns noise.
        """
        ids, labels, real = numbered(9)
        model = Lookup(9, 3)
        result = kata.train_classifier(
            model, ids, labels, real, steps=40, batch_size=24, lr=0.2
        )
        for call in model.calls[:3]:
            check.shape(call["ids"], (24, 4), what="ids of a batch")
            rows = call["ids"][:, 0]
            check.equal(
                call["real"], real[rows], what="the mask of a batch, given its ids"
            )
        last = result["losses"][-1]
        falls = f"the loss goes from 1.099 to {last:.3f}, expected below 0.4"
        check.that(last < 0.4, f"{falls}: are ids and labels of the same rows?")

    def test_rows_are_drawn_with_replacement(self, kata):
        """A batch may be larger than the data, and a row may come twice in a batch:
        each is a draw of its own.
        """
        ids, labels, _ = numbered(4)
        model = Lookup(4, 3)
        kata.train_classifier(model, ids, labels, steps=2, batch_size=10)
        check.shape(
            model.calls[0]["ids"], (10, 4), what="ids of a batch of 10 from 4 rows"
        )
        model = Lookup(8, 3)
        kata.train_classifier(model, *numbered(8)[:2], steps=8, batch_size=8)
        most = max(8 - len(call["ids"][:, 0].unique()) for call in model.calls[:8])
        check.that(
            most > 0,
            "eight batches of 8 from 8 rows, and never did a row come twice: that is "
            "a permutation",
        )

    def test_batches_come_from_the_generator(self, kata):
        """Every draw of rows uses the generator, so the same seed gives the same
        batches whatever else is drawn.
        """
        batches = []
        for seed, elsewhere in ((5, 1), (5, 2), (6, 2)):
            model = Lookup(9, 3)
            torch.manual_seed(elsewhere)
            generator = torch.Generator().manual_seed(seed)
            kata.train_classifier(
                model, *numbered(9), steps=3, batch_size=6, generator=generator
            )
            batches.append(torch.stack([call["ids"] for call in model.calls[:3]]))
        check.equal(
            batches[1],
            batches[0],
            what="the batches of a second run with the same generator seed",
        )
        check.that(
            not torch.equal(batches[2], batches[0]),
            "another seed of the generator gives the same batches",
        )
        check.that(
            not torch.equal(batches[0][1], batches[0][0]),
            "the same batch comes at every step",
        )

    def test_gradients_are_clipped_to_a_total_norm_of_one(self, kata):
        """All gradients together, as one long vector, are scaled to length 1 if they
        are longer. A batch with a huge gradient then moves the model no further than
        any other.
        """
        norms = []

        def measure(optimizer, *_):
            grads = [
                p.grad.flatten()
                for group in optimizer.param_groups
                for p in group["params"]
            ]
            norms.append(torch.cat(grads).norm().item())

        ids, labels, _ = numbered(6)
        handle = register_optimizer_step_pre_hook(measure)
        try:
            kata.train_classifier(Lookup(6, 3, scale=50.0), ids, labels, steps=1)
            kata.train_classifier(Lookup(6, 3, scale=0.01), ids, labels, steps=1)
        finally:
            handle.remove()
        large, small = norms
        check.that(
            abs(large - 1) < 1e-3,
            f"a large gradient arrives at the update with norm {large:.4g}, expected 1",
        )
        check.that(
            small < 0.05,
            f"a small gradient arrives with norm {small:.4g}: it should not be scaled "
            "up",
        )

    def test_trains_in_training_mode_and_measures_in_eval_mode(self, kata):
        """Dropout must act in training and not in the measurement, whatever mode the
        model was in before. The measurement needs no graph, which would only
        cost memory.
        """
        for mode in (False, True):
            model = Lookup(7, 3).train(mode)
            kata.train_classifier(model, *numbered(7), steps=3, batch_size=5)
            modes = [call["training"] for call in model.calls]
            check.that(
                modes[:3] == [True] * 3,
                f"the training flag in the three steps is {modes[:3]}",
            )
            right = len(modes) > 3 and not any(modes[3:])
            check.that(
                right,
                f"the training flag when the accuracy is measured is {modes[3:]}, "
                "expected False",
            )
            recorded = any(call["graph"] for call in model.calls[3:])
            check.that(not recorded, "the accuracy is measured with gradients enabled")

    def test_accuracy_is_over_all_rows_after_training(self, kata):
        """The share of all N rows, with their masks, that the model classifies right
        after training. This model gets four of five right, and only in eval mode with
        a mask.
        """
        ids = torch.tensor([[0, 5], [1, 5], [0, 6], [1, 6], [0, 7]])
        labels = torch.tensor([0, 1, 1, 1, 0])
        real = torch.ones(5, 2, dtype=torch.bool)
        result = kata.train_classifier(
            RightInEvalMode(), ids, labels, real, steps=2, batch_size=3
        )
        wrong = {
            "the model in training mode, or without the mask": 0.2,
            "a percentage": 80.0,
            "a count": 4.0,
        }
        check.close(result["accuracy"], 0.8, unlike=wrong, what="accuracy")

    def test_the_defaults(self, kata):
        """100 steps, batches of 64, and a learning rate of 0.003."""
        model = Lookup(1, 3)
        ids, labels = torch.zeros(6, 4, dtype=torch.int64), torch.full((6,), 2)
        losses = kata.train_classifier(model, ids, labels)["losses"]
        check.that(
            len(losses) == 100,
            f"there were {len(losses)} steps by default, expected 100",
        )
        size = len(model.calls[0]["ids"])
        check.that(size == 64, f"the batches have {size} rows by default, expected 64")
        other = Lookup(1, 3)
        expected = losses_of(
            torch.optim.AdamW(other.parameters(), lr=3e-3), ids, labels, other
        )
        check.close(
            losses[:7], expected.tolist(), rtol=1e-4, what="the first losses by default"
        )

    @pytest.mark.timeout(60)
    def test_learns_the_marker_task(self, kata):
        """Two blocks of width 32 learn in 60 steps whether exactly one of two marks is
        there: at least 0.9 right on sequences never seen. Scores added up token by
        token are right in three of the four cases at most; the blocks must see the two
        marks together.
        """
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(1)
        ids, real, labels = kata.make_marker_task(700, 6, 16, generator)
        model = kata.SequenceClassifier(16, 2)
        kata.train_classifier(
            model,
            ids[200:],
            labels[200:],
            real[200:],
            60,
            20,
            lr=6e-3,
            generator=generator,
        )
        held_out = kata.train_classifier(
            model, ids[:200], labels[:200], real[:200], steps=0
        )["accuracy"]
        check.that(
            held_out >= 0.9,
            f"the accuracy on held-out sequences is {held_out:.2f}, expected at least "
            "0.9",
        )

    @pytest.mark.edge
    def test_no_steps_only_measure(self, kata):
        """With steps=0 there is no loss and no update, and the accuracy is that of the
        unchanged model.
        """
        model = Lookup(7, 3)
        with torch.no_grad():
            model.bias += torch.tensor([0.0, 0.0, 1.0])
        result = kata.train_classifier(model, *numbered(7), steps=0)
        check.close(result, {"losses": [], "accuracy": 2 / 7}, what="result")

    @pytest.mark.edge
    def test_gradients_from_before_do_not_count(self, kata):
        """Gradients that were in .grad before the training belong to none of
        its batches.
        """
        ids, labels = torch.zeros(6, 4, dtype=torch.int64), torch.full((6,), 2)
        fresh, stale = Lookup(1, 3), Lookup(1, 3)
        stale.table.grad = torch.full((1, 3), 100.0)
        expected = kata.train_classifier(fresh, ids, labels, steps=3, lr=0.1)["losses"]
        got = kata.train_classifier(stale, ids, labels, steps=3, lr=0.1)["losses"]
        check.close(got, expected, rtol=1e-3, what="losses with a .grad from before")

    @pytest.mark.edge
    def test_the_training_flag_is_put_back(self, kata):
        """After the training, the model is in the mode that it was in before."""
        for mode in (True, False):
            model = Lookup(7, 3).train(mode)
            kata.train_classifier(model, *numbered(7), steps=1)
            check.that(
                model.training is mode,
                f"model.training was {mode} and is {model.training} afterwards",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("steps", [1, 0])
    def test_the_training_flag_is_put_back_after_an_error(self, kata, steps):
        """An error in the middle, here an unknown id, must not leave the model in
        another mode.
        """
        model = Lookup(2, 3).train(steps == 0)
        ids, labels, _ = numbered(7)
        with check.raises(IndexError):
            kata.train_classifier(model, ids, labels, steps=steps)
        check.that(
            model.training is (steps == 0),
            f"model.training is {model.training} after the error",
        )


def followed(
    kata,
    x,
    layers,
    heads,
    gain,
    seed,
    norm_first,
    *,
    scaled=("W_v", "W_o", "fc1", "fc2"),
):
    """rms and gradient norm of each state, one state at a time: the rest of the stack
    is run from it anew.
    """
    torch.manual_seed(seed)
    encoder = kata.TransformerEncoder(layers, x.size(-1), heads, None, 0.0, norm_first)
    for block in encoder.blocks:
        for name in scaled:
            part = block.attention if name.startswith("W_") else block.ff
            getattr(part, name).weight.data *= gain
    probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    state, rms, norms = x.detach(), [], []
    for i in range(layers + 1):
        state = state.detach().requires_grad_()
        rest = nn.Sequential(*encoder.blocks[i:], encoder.norm)
        rms.append(state.detach().double().pow(2).mean().item() ** 0.5)
        norms.append(
            torch.autograd.grad(rest(state), state, probe)[0]
            .double()
            .pow(2)
            .sum()
            .item()
            ** 0.5
        )
        state = encoder.blocks[i](state) if i < layers else state
    return {"rms": rms, "grad_norm": norms}


@pytest.mark.stretch
class TestCompareNormPlacement:
    def test_a_list_for_every_question(self, kata):
        """For "post" and "pre", "rms" and "grad_norm" hold N + 1 floats: one for the
        input, one after each block.
        """
        result = kata.compare_norm_placement(
            torch.randn(B, T, C), num_layers=3, num_heads=H
        )
        keys = {placement: sorted(found) for placement, found in result.items()}
        wanted = {"post": ["grad_norm", "rms"], "pre": ["grad_norm", "rms"]}
        check.that(keys == wanted, f"the keys are {keys}, expected {wanted}")
        for placement, found in result.items():
            for name, values in found.items():
                kinds = [type(value).__name__ for value in values]
                check.that(
                    kinds == ["float"] * 4,
                    f"{placement}/{name} should be 4 floats, it is {kinds}",
                )

    @pytest.mark.parametrize("placement", ["post", "pre"])
    def test_rms_is_that_of_each_state(self, kata, placement):
        """The root of the mean square over all B·T·C values of the input, and of the
        state after each block, before the final norm.
        """
        x = torch.randn(B, T, C) * 1.5

        def by(**change):
            settings = {
                "layers": 3,
                "heads": H,
                "gain": 1.7,
                "seed": 4,
                "norm_first": placement == "pre",
            } | change
            return torch.tensor(followed(kata, x, **settings)["rms"])

        expected = by()
        wrong = {
            "the gain is not applied": by(gain=1.0),
            "W_q and W_k are multiplied too": by(
                scaled=("W_q", "W_k", "W_v", "W_o", "fc1", "fc2")
            ),
            "the other placement": by(norm_first=placement != "pre"),
            "the L2 norm": expected * x.numel() ** 0.5,
            "the mean square without the root": expected**2,
        }
        got = kata.compare_norm_placement(
            x, num_layers=3, num_heads=H, gain=1.7, seed=4
        )[placement]["rms"]
        check.close(torch.tensor(got), expected, rtol=1e-3, unlike=wrong, what="rms")

    @pytest.mark.parametrize("placement", ["post", "pre"])
    def test_grad_norm_is_that_of_each_state(self, kata, placement):
        """The length of the gradient of Σ(output · probe) by the input and by the state
        after each block. The output is the stack's, after the final norm; the probe
        comes from a generator of its own.
        """
        x = torch.randn(B, T, C) * 1.5
        expected = torch.tensor(
            followed(kata, x, 3, H, 1.7, 4, placement == "pre")["grad_norm"]
        )
        wrong = {
            "the list from the last block to the input": expected.flip(0),
            "the squared norm": expected**2,
            "the root mean square": expected / x.numel() ** 0.5,
        }
        got = kata.compare_norm_placement(
            x, num_layers=3, num_heads=H, gain=1.7, seed=4
        )[placement]["grad_norm"]
        check.close(
            torch.tensor(got), expected, rtol=1e-3, unlike=wrong, what="grad_norm"
        )

    def test_the_seed_decides_everything(self, kata):
        """The same seed gives the same numbers whatever was drawn before, another seed
        gives others.
        """
        x = torch.randn(B, T, C)
        runs = []
        for seed in (1, 1, 2):
            torch.randn(3)
            runs.append(
                kata.compare_norm_placement(x, num_layers=2, num_heads=H, seed=seed)
            )
        check.close(
            runs[1], runs[0], rtol=1e-4, what="the second run with the same seed"
        )
        check.that(runs[2] != runs[0], "another seed gives the same numbers")

    def test_sixteen_blocks_show_the_difference(self, kata):
        """By default 16 layers, two heads, gain 2, seed 0. Post-norm brings the values
        back to size 1 after every block. Pre-norm lets them grow, so its final norm
        hands a small gradient to the last block, and every block adds to it. From the
        last block to the input, the gradient grows at least four times as much as in
        post-norm (here the geometric mean of three seeds).
        """
        x = torch.randn(B, 6, 16)
        runs = [
            kata.compare_norm_placement(x),
            *(kata.compare_norm_placement(x, seed=seed) for seed in (1, 2)),
        ]
        post, pre = runs[0]["post"], runs[0]["pre"]
        check.that(
            len(pre["rms"]) == 17,
            f"there are {len(pre['rms'])} states by default, expected 17",
        )
        off = [round(value, 3) for value in post["rms"][1:] if abs(value - 1) > 0.05]
        check.that(
            not off, f"the rms after a post-norm block should be 1, there is {off}"
        )
        first, last = pre["rms"][0], pre["rms"][-1]
        check.that(
            last > 1.5 * first,
            f"the rms of pre-norm should grow, it goes from {first:.2f} to {last:.2f}",
        )
        ways = [
            {
                name: found["grad_norm"][0] / found["grad_norm"][-1]
                for name, found in run.items()
            }
            for run in runs
        ]
        times = math.prod(way["pre"] / way["post"] for way in ways) ** (1 / 3)
        check.that(
            times > 4,
            f"grad_norm[0] / grad_norm[-1] is {times:.2f} times as large for pre, "
            "expected over 4",
        )
        expected = followed(kata, x, 1, 2, 2.0, 0, True)["rms"]
        one = kata.compare_norm_placement(x, num_layers=1)["pre"]["rms"]
        check.close(
            one,
            expected,
            rtol=1e-3,
            what="rms with heads, gain and seed left at their defaults (2, 2.0, 0)",
        )

    @pytest.mark.edge
    def test_the_input_is_left_alone(self, kata):
        """The gradient by x is computed inside; the caller's x gets no flag and
        no .grad.
        """
        for wants_grad in (False, True):
            x = torch.randn(B, T, C, requires_grad=wants_grad)
            with check.unchanged(x=x):
                kata.compare_norm_placement(x, num_layers=2, num_heads=H)
