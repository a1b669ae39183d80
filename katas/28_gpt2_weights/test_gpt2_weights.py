"""Specs of 28: checkpoints summarised, translated, loaded, cropped, frozen, and written
to a flat file and back.
"""

import math
import struct
from types import MappingProxyType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

B, T, C, H, L, V, BLOCK = 2, 5, 6, 3, 2, 11, 7
PER_BLOCK = 12 * C**2 + 13 * C
WEIGHTS_OF_A_BLOCK = {
    "ln_1.weight": (C,),
    "ln_1.bias": (C,),
    "attn.c_attn.weight": (C, 3 * C),
    "attn.c_attn.bias": (3 * C,),
    "attn.c_proj.weight": (C, C),
    "attn.c_proj.bias": (C,),
    "ln_2.weight": (C,),
    "ln_2.bias": (C,),
    "mlp.c_fc.weight": (C, 4 * C),
    "mlp.c_fc.bias": (4 * C,),
    "mlp.c_proj.weight": (4 * C, C),
    "mlp.c_proj.bias": (C,),
}
CONV1D = [
    "attn.c_attn.weight",
    "attn.c_proj.weight",
    "mlp.c_fc.weight",
    "mlp.c_proj.weight",
]


def checkpoint(prefix=True, head=False, buffers=False, layers=L, dtype=torch.float32):
    """A checkpoint in Hugging Face's layout in which everything is random, the
    norms too.
    """
    shapes = {"wte.weight": (V, C), "wpe.weight": (BLOCK, C)}
    for i in range(layers):
        shapes |= {f"h.{i}.{name}": shape for name, shape in WEIGHTS_OF_A_BLOCK.items()}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,)}
    hf = {name: (0.4 * torch.randn(shape)).to(dtype) for name, shape in shapes.items()}
    if buffers:  # in front of the parameters: a checkpoint goes on after them
        masks = {
            f"h.{i}.attn.bias": torch.ones(1, 1, BLOCK, BLOCK, dtype=torch.uint8).tril()
            for i in range(layers)
        }
        hf = (
            masks
            | {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(layers)}
            | hf
        )
    if prefix:
        hf = {f"transformer.{name}": tensor for name, tensor in hf.items()}
    if head:
        hf["lm_head.weight"] = hf[
            "transformer.wte.weight" if prefix else "wte.weight"
        ].clone()
    return hf


def plain(hf):
    """The same tensors without "transformer." in their names."""
    return {name.removeprefix("transformer."): tensor for name, tensor in hf.items()}


def copied(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def in_our_layout(hf):
    """The state dict that a GPT should get from this checkpoint."""
    ours = {}
    for name, tensor in plain(hf).items():
        if name.endswith(("attn.bias", "masked_bias")) and "c_attn" not in name:
            continue
        turned = name.partition(".")[2].partition(".")[2] in CONV1D
        ours[name if name == "lm_head.weight" else f"transformer.{name}"] = (
            torch.stack(tensor.unbind(1)) if turned else tensor.clone()
        )
    if "transformer.wte.weight" in ours:
        ours.setdefault("lm_head.weight", ours["transformer.wte.weight"].clone())
    return ours


def small(kata, **changes):
    """A config of the checkpoint's sizes."""
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


def random_model(kata, **changes):
    """A GPT in which every parameter is random: biases of 0 and norms that multiply by
    1 hide mistakes.
    """
    model = kata.GPT(small(kata, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4)
    return model


def some_ids(*shape):
    return torch.randint(V, shape)


def logits_by_hand(hf, idx):
    """GPT-2 in float64, straight from Hugging Face's layout: x @ weight + bias."""
    w = {name: tensor.double() for name, tensor in plain(hf).items()}

    def dense(name, x):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def normed(name, x):
        scaled = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def attended(name, x):
        found = []
        parts = dense(f"{name}.c_attn", x).split(C, dim=-1)
        for q, k, v in zip(*(part.chunk(H, dim=-1) for part in parts), strict=True):
            scores = [
                q[:, t : t + 1] @ k[:, : t + 1].mT / q.size(-1) ** 0.5
                for t in range(x.size(1))
            ]
            found.append(
                torch.cat([s.softmax(-1) @ v[:, : s.size(-1)] for s in scores], dim=1)
            )
        return dense(f"{name}.c_proj", torch.cat(found, dim=-1))

    def bent(x):
        return x / (1 + torch.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    x = w["wte.weight"][idx] + w["wpe.weight"][: idx.size(1)]
    for i in range(L):
        x = x + attended(f"h.{i}.attn", normed(f"h.{i}.ln_1", x))
        x = x + dense(
            f"h.{i}.mlp.c_proj",
            bent(dense(f"h.{i}.mlp.c_fc", normed(f"h.{i}.ln_2", x))),
        )
    return normed("ln_f", x) @ w["wte.weight"].mT


def square_ones_turned(hf):
    """The same checkpoint with each attn.c_proj.weight transposed: a slip that no
    shape shows.
    """
    return {
        name: t.t() if name.endswith("attn.c_proj.weight") else t
        for name, t in hf.items()
    }


def flat_values(model):
    """All values of a flat file, as one float32 tensor."""
    names = ["wte", "wpe"]
    for i in range(model.config.n_layer):
        names += [
            f"h.{i}.{part}"
            for part in (
                "ln_1",
                "attn.c_attn",
                "attn.c_proj",
                "ln_2",
                "mlp.c_fc",
                "mlp.c_proj",
            )
        ]
    state = model.state_dict()
    keys = [
        f"transformer.{name}.{kind}"
        for name in [*names, "ln_f"]
        for kind in ("weight", "bias")
    ]
    return torch.cat([state[key].float().reshape(-1) for key in keys if key in state])


def flat_bytes(model, magic=20240326, version=1):
    """The bytes of a right flat file."""
    c = model.config
    header = [
        magic,
        version,
        c.block_size,
        c.vocab_size,
        c.n_layer,
        c.n_head,
        c.n_embd,
        int(c.bias),
    ]
    values = flat_values(model).tolist()
    return struct.pack("<8i", *header) + struct.pack(f"<{len(values)}f", *values)


def values_in(data, first=0, count=None):
    """`count` values of a flat file from value `first` on."""
    body = data[32 + 4 * first :][: None if count is None else 4 * count]
    return torch.tensor(
        struct.unpack(f"<{len(body) // 4}f", body[: len(body) // 4 * 4])
    )


def written(kata, model, path):
    kata.write_flat(model, path)
    return path.read_bytes()


def refused(kata, hf, *names):
    """Loading raises an error that mentions all these names. Return the model and its
    state from before.
    """
    model = random_model(kata)
    before = copied(model.state_dict())
    with check.raises(ValueError, *names):
        kata.load_hf_weights(model, hf)
    return model, before


@st.composite
def kinds_of_checkpoint(draw):
    """Options of `checkpoint`: everything that may differ between two files of the
    same weights.
    """
    flags = {name: draw(st.booleans()) for name in ("prefix", "head", "buffers")}
    return {"layers": draw(st.sampled_from([1, 2, 11]))} | flags


@st.composite
def model_sizes(draw):
    """Sizes of a small GPT."""
    heads = draw(st.integers(1, 3))
    return {
        "n_layer": draw(st.integers(1, 3)),
        "n_head": heads,
        "n_embd": heads * draw(st.integers(1, 3)),
        "vocab_size": draw(st.integers(2, 5)),
        "block_size": draw(st.integers(1, 4)),
        "bias": draw(st.booleans()),
    }


class TestIsBuffer:
    def test_the_causal_masks_are_buffers(self, kata):
        """Older versions of Hugging Face's GPT-2 saved the causal mask as "attn.bias",
        and the fill value for blocked scores as "attn.masked_bias".
        """
        for name in (
            "h.0.attn.bias",
            "h.0.attn.masked_bias",
            "h.11.attn.bias",
            "h.11.attn.masked_bias",
        ):
            check.equal(kata.is_buffer(name), True, what=name)
            key = f"transformer.{name}"
            check.equal(kata.is_buffer(key), True, what=key)

    def test_the_bias_of_a_linear_layer_is_a_parameter(self, kata):
        """ "h.0.attn.c_attn.bias" ends in "attn.bias" too, letter by letter. Compare
        the last two parts of the name, whole.
        """
        for key in (
            "h.0.attn.c_attn.bias",
            "transformer.h.10.attn.c_attn.bias",
            "h.1.attn.c_proj.bias",
        ):
            unlike = {"the end of a name, without the dot in front of attn": True}
            check.equal(
                kata.is_buffer(key),
                False,
                unlike=unlike if "c_attn" in key else {},
                what=key,
            )

    @given(block=st.integers(0, 120), prefix=st.sampled_from(["", "transformer."]))
    def test_nothing_else_is_a_buffer(self, kata, block, prefix):
        """Everything that the model learned must be kept: weights, and the biases of
        linear layers and norms.
        """
        for key in (
            *(f"{prefix}h.{block}.{name}" for name in WEIGHTS_OF_A_BLOCK),
            "ln_f.bias",
            "lm_head.weight",
        ):
            check.equal(kata.is_buffer(key), False, what=key)


@pytest.mark.stretch
class TestCheckpointSummary:
    SIZES = {"n_layer": L, "n_embd": C, "vocab_size": V, "block_size": BLOCK}
    PARAMS = (V + BLOCK) * C + L * PER_BLOCK + 2 * C

    def test_sizes_are_read_from_names_and_shapes(self, kata):
        """wte is (vocab_size, n_embd), wpe is (block_size, n_embd), and blocks are
        numbered from 0.
        """
        expected = self.SIZES | {
            "num_params": self.PARAMS,
            "num_buffers": 0,
            "tied": True,
        }
        check.equal(kata.checkpoint_summary(checkpoint()), expected, what="the summary")

    def test_names_may_lack_the_prefix(self, kata):
        """A GPT2Model's names begin with "wte", "wpe", "h" and "ln_f"."""
        expected = self.SIZES | {
            "num_params": self.PARAMS,
            "num_buffers": 0,
            "tied": True,
        }
        check.equal(
            kata.checkpoint_summary(checkpoint(prefix=False)),
            expected,
            what="the summary",
        )

    def test_twelve_blocks_are_found(self, kata):
        """Block 11 has a number of two digits; one character of it would be 1. The
        names may come in any order.
        """
        unlike = {"the last number alone": 11, "one digit of a number": 10}
        for prefix in (True, False):
            hf = checkpoint(prefix=prefix, layers=12)
            for tensors in (hf, dict(reversed(hf.items()))):
                got = kata.checkpoint_summary(tensors)
                check.equal(got["n_layer"], 12, unlike=unlike, what="n_layer")

    def test_buffers_are_counted_apart(self, kata):
        """Two buffers per block, which are not parameters: num_params stays
        the same.
        """
        for prefix in (True, False):
            got = kata.checkpoint_summary(checkpoint(prefix=prefix, buffers=True))
            check.equal(
                got["num_buffers"],
                2 * L,
                unlike={"their numbers": L * (BLOCK**2 + 1)},
                what="num_buffers",
            )
            wrong = {"buffers counted": self.PARAMS + L * (BLOCK**2 + 1)}
            check.equal(got["num_params"], self.PARAMS, unlike=wrong, what="num_params")

    def test_a_tied_head_is_not_counted_twice(self, kata):
        """lm_head.weight is wte again. In a file the two have separate memory, so only
        their values can tell.
        """
        got = kata.checkpoint_summary(checkpoint(head=True))
        check.equal(
            got["num_params"],
            self.PARAMS,
            unlike={"the head counted": self.PARAMS + V * C},
            what="num_params",
        )
        check.equal(
            got["tied"],
            True,
            unlike={"the same memory asked for: a file holds copies": False},
            what="tied, with an equal head",
        )

    def test_a_head_of_its_own_is_not_tied(self, kata):
        """One different number is enough to untie the head."""
        hf = checkpoint(head=True)
        hf["lm_head.weight"][V - 1, 2] += 1.0
        check.equal(
            kata.checkpoint_summary(hf)["tied"],
            False,
            what="tied, with one other number",
        )

    @given(kind=kinds_of_checkpoint())
    def test_the_kind_of_file_makes_no_difference(self, kata, kind):
        """With or without prefix, head and buffers, the model is the same. Only
        num_buffers differs.
        """
        layers = kind["layers"]
        params = (V + BLOCK) * C + layers * PER_BLOCK + 2 * C
        counted = {
            "num_params": params,
            "num_buffers": 2 * layers * kind["buffers"],
            "tied": True,
        }
        expected = self.SIZES | counted | {"n_layer": layers}
        check.equal(
            kata.checkpoint_summary(checkpoint(**kind)),
            expected,
            what=f"the summary of {kind}",
        )

    @pytest.mark.edge
    def test_a_head_of_another_shape_is_not_tied(self, kata):
        """The output may have a vocabulary of its own. `==` would raise an error then,
        or broadcast.
        """
        for rows in (V - 2, 1):
            hf = checkpoint() | {"lm_head.weight": torch.randn(rows, C)}
            check.equal(
                kata.checkpoint_summary(hf)["tied"],
                False,
                what=f"tied, with a head of {rows} rows",
            )

    @pytest.mark.edge
    def test_the_checkpoint_stays_as_it_was(self, kata):
        """The caller still wants to load the checkpoint."""
        hf = checkpoint(head=True, buffers=True)
        before = copied(hf)
        kata.checkpoint_summary(hf)
        check.equal(hf, before, what="the checkpoint")


class TestConfigFromHf:
    GIVEN = {
        "n_positions": BLOCK,
        "vocab_size": V,
        "n_layer": L,
        "n_head": H,
        "n_embd": C,
        "activation_function": "gelu_new",
        "resid_pdrop": 0.3,
        "attn_pdrop": 0.2,
        "embd_pdrop": 0.4,
        "layer_norm_epsilon": 1e-5,
        "model_type": "gpt2",
    }

    def without(self, *names):
        return {name: value for name, value in self.GIVEN.items() if name not in names}

    def test_sizes_are_carried_over(self, kata):
        """n_positions is our block_size; vocab_size, n_layer, n_head and n_embd keep
        their names. GPT-2 has biases.
        """
        got = kata.config_from_hf(self.GIVEN)
        check.that(
            isinstance(got, kata.GPTConfig),
            f"wanted a GPTConfig, got {check.describe(got)}",
        )
        expected = {
            "block_size": BLOCK,
            "vocab_size": V,
            "n_layer": L,
            "n_head": H,
            "n_embd": C,
            "bias": True,
        }
        check.equal(
            {name: getattr(got, name) for name in expected}, expected, what="the config"
        )

    def test_dropout_is_that_of_the_residual_path(self, kata):
        """config.json has three dropout probabilities, and we have one: resid_pdrop."""
        wrong = {"attn_pdrop": 0.2, "embd_pdrop": 0.4, "the default of GPTConfig": 0.0}
        check.close(
            kata.config_from_hf(self.GIVEN).dropout, 0.3, unlike=wrong, what="dropout"
        )

    def test_dropout_is_a_tenth_where_nothing_is_said(self, kata):
        """That is Hugging Face's default. An entry of 0 is not a missing one."""
        check.close(
            kata.config_from_hf(self.without("resid_pdrop")).dropout,
            0.1,
            what="dropout without resid_pdrop",
        )
        none = self.GIVEN | {"resid_pdrop": 0.0}
        check.close(
            kata.config_from_hf(none).dropout, 0.0, what="dropout with resid_pdrop 0"
        )

    def test_both_names_of_the_tanh_form_are_known(self, kata):
        """ "gelu_new" and "gelu_pytorch_tanh" both name the GELU of our MLP. An absent
        entry means "gelu_new".
        """
        for entries in (
            self.GIVEN | {"activation_function": "gelu_pytorch_tanh"},
            self.without("activation_function"),
        ):
            check.equal(kata.config_from_hf(entries).n_embd, C, what="n_embd")

    def test_the_usual_width_of_the_mlp_is_fine(self, kata):
        """n_inner null, None in Python, means four times n_embd. The number itself is
        fine, too.
        """
        for n_inner in (None, 4 * C):
            check.equal(
                kata.config_from_hf(self.GIVEN | {"n_inner": n_inner}).n_embd,
                C,
                what="n_embd",
            )

    @pytest.mark.edge
    def test_another_activation_is_refused(self, kata):
        """The weights would load, and the logits would be wrong: "gelu" is the exact
        form, which differs from ours in the fourth digit. The message names
        the activation.
        """
        for name in ("relu", "gelu"):
            with check.raises(ValueError, name):
                kata.config_from_hf(self.GIVEN | {"activation_function": name})

    @pytest.mark.edge
    def test_another_width_of_the_mlp_is_refused(self, kata):
        """Our MLP is always 4 · n_embd wide. The message names the other width."""
        for n_inner in (17, 4 * C + 1, C):
            with check.raises(ValueError, n_inner):
                kata.config_from_hf(self.GIVEN | {"n_inner": n_inner})

    @pytest.mark.edge
    def test_the_dict_stays_as_it_was(self, kata):
        """The caller may still need the dict. Any mapping will do, even a
        read-only one.
        """
        check.equal(
            kata.config_from_hf(MappingProxyType(self.GIVEN)).n_layer, L, what="n_layer"
        )


class TestConvertHfStateDict:
    def test_names_are_those_of_our_model(self, kata):
        """All names but lm_head.weight begin with "transformer.", with or without it in
        the checkpoint. Buffers are left out.
        """
        expected = set(kata.GPT(small(kata)).state_dict())
        for prefix in (True, False):
            for more in (True, False):
                got = kata.convert_hf_state_dict(
                    checkpoint(prefix=prefix, head=more, buffers=more)
                )
                check.that(
                    isinstance(got, dict), f"wanted a dict, got {check.describe(got)}"
                )
                extra, missing = (
                    sorted(set(got) - expected),
                    sorted(expected - set(got)),
                )
                kind = f"prefix {prefix}, head and buffers {more}"
                wrong = (
                    f"too many names: {len(extra)}, such as {extra[:2]}; missing: "
                    f"{len(missing)}, {missing[:2]}"
                )
                check.that(not extra and not missing, f"{kind}: {wrong}")

    def test_conv1d_weights_are_transposed(self, kata):
        """Conv1D computes x @ weight + bias, so its weight is (in, out); nn.Linear
        holds (out, in). attn.c_proj.weight is square: its shape is right either way,
        and only its numbers show whether it was transposed.
        """
        hf = checkpoint()
        got, expected = kata.convert_hf_state_dict(hf), in_our_layout(hf)
        for i in range(L):
            for part in CONV1D:
                name = f"transformer.h.{i}.{part}"
                check.that(name in got, f"{name} is missing")
                check.equal(
                    got[name],
                    expected[name],
                    unlike={"not transposed": hf[name]},
                    what=name,
                )

    def test_all_else_stays_as_it_is(self, kata):
        """Embeddings are (rows, C) on both sides: two dimensions are no reason to
        transpose. Norms and biases are vectors.
        """
        hf = checkpoint()
        got = kata.convert_hf_state_dict(hf)
        for name, tensor in hf.items():
            if not name.endswith(tuple(CONV1D)):
                check.that(name in got, f"{name} is missing")
                unlike = {"transposed: only the four Conv1D weights are": tensor.t()}
                check.equal(got[name], tensor, unlike=unlike, what=name)

    def test_a_missing_head_is_wte(self, kata):
        """A file saves tied weights once. Our state dict has both names."""
        hf = checkpoint()
        got = kata.convert_hf_state_dict(hf)
        check.equal(
            got["lm_head.weight"], hf["transformer.wte.weight"], what="lm_head.weight"
        )

    def test_a_head_that_is_there_is_kept(self, kata):
        """`load_hf_weights` compares it with wte. Overwriting it here would hide
        the difference.
        """
        for prefix in (True, False):
            hf = checkpoint(prefix=prefix, head=True)
            hf["lm_head.weight"] = torch.randn(V, C)
            got = kata.convert_hf_state_dict(hf)
            wte = hf["transformer.wte.weight" if prefix else "wte.weight"]
            unlike = {"overwritten with wte.weight": wte}
            check.equal(
                got["lm_head.weight"],
                hf["lm_head.weight"],
                unlike=unlike,
                what="lm_head.weight",
            )

    @given(kind=kinds_of_checkpoint())
    def test_any_kind_of_file_becomes_the_same_state_dict(self, kata, kind):
        """Prefix, head and buffers are optional, and block numbers may have two digits:
        GPT-2 has 12 blocks, its largest version 48.
        """
        hf = checkpoint(**kind)
        check.equal(
            kata.convert_hf_state_dict(hf),
            in_our_layout(hf),
            what=f"converted, from {kind}: ",
        )

    @pytest.mark.edge
    def test_everything_is_contiguous(self, kata):
        """A transpose is a view with other strides. `clone` keeps the strides unless
        `memory_format` says otherwise.
        """
        for name, tensor in kata.convert_hf_state_dict(checkpoint()).items():
            check.that(
                tensor.is_contiguous(),
                f"{name} is not contiguous: strides {tensor.stride()}",
            )

    @pytest.mark.edge
    def test_nothing_is_shared_with_the_checkpoint(self, kata):
        """Training would otherwise write into the checkpoint. `t()` makes a view, and
        `contiguous()` copies only if it must: for the transpose of a transposed tensor
        it returns the same memory.
        """
        views = {
            name: t.t().contiguous().t() if t.ndim == 2 else t
            for name, t in checkpoint(head=True).items()
        }
        for hf in (checkpoint(head=True), views):
            before = copied(hf)
            for name, tensor in kata.convert_hf_state_dict(hf).items():
                check.independent(tensor, hf[name], what=name)
                check.that(
                    tensor.is_contiguous(),
                    f"{name} is not contiguous: strides {tensor.stride()}",
                )
                tensor.add_(1.0)
            check.equal(hf, before, what="the checkpoint")

    @pytest.mark.edge
    def test_dtypes_stay(self, kata):
        """The model decides in which dtype it computes, so converting keeps
        the dtypes.
        """
        for dtype in (torch.float16, torch.float64):
            hf = checkpoint(dtype=dtype)
            check.equal(
                kata.convert_hf_state_dict(hf), in_our_layout(hf), what="converted"
            )

    @pytest.mark.edge
    def test_unknown_names_go_through(self, kata):
        """Unknown names are kept, so that `load_hf_weights` can name them."""
        got = kata.convert_hf_state_dict(
            checkpoint(prefix=False) | {"h.0.adapter.weight": torch.ones(3)}
        )
        check.that(
            "transformer.h.0.adapter.weight" in got,
            "h.0.adapter.weight, which GPT does not know, was dropped",
        )

    @pytest.mark.edge
    def test_what_is_missing_stays_missing(self, kata):
        """Without wte, no head can be made. Other missing names are not made
        up either.
        """
        hf = checkpoint(prefix=False)
        del hf["wte.weight"], hf["h.0.ln_1.bias"]
        expected = in_our_layout(hf)
        check.equal(kata.convert_hf_state_dict(hf), expected, what="converted")


class TestLoadHfWeights:
    def test_logits_are_those_of_hugging_face(self, kata):
        """The loaded model computes what x @ weight + bias in the checkpoint's own
        layout does. Shapes that fit prove nothing: attn.c_proj is square.
        """
        for prefix in (True, False):
            for more in (False, True):
                idx, model = some_ids(B, T), random_model(kata)
                hf = checkpoint(prefix=prefix, head=more, buffers=more)
                kata.load_hf_weights(model, hf)
                wrong = {
                    "the square attn.c_proj not transposed": logits_by_hand(
                        square_ones_turned(hf), idx
                    )
                }
                what = f"logits (prefix {prefix}, head and buffers {more})"
                check.close(
                    model(idx)[0], logits_by_hand(hf, idx), unlike=wrong, what=what
                )

    def test_the_same_model_comes_back(self, kata):
        """The weights are written into the given model."""
        model = random_model(kata)
        got = kata.load_hf_weights(model, checkpoint())
        check.that(
            got is model, f"wanted the model that was given, got {check.describe(got)}"
        )

    def test_wte_and_lm_head_stay_one(self, kata):
        """One Parameter has two names. If wte gets a new one, the head keeps the
        old one.
        """
        for head in (True, False):
            model = random_model(kata)
            kata.load_hf_weights(model, checkpoint(head=head))
            same = model.lm_head.weight is model.transformer.wte.weight
            check.that(
                same, "lm_head.weight and transformer.wte.weight are two parameters now"
            )

    def test_every_missing_parameter_is_named(self, kata):
        """A parameter that is not in the checkpoint would keep its random start. Only
        bad samples would show it.
        """
        gone = ["wpe.weight", "h.0.mlp.c_fc.bias", "h.1.ln_2.weight", "ln_f.bias"]
        hf = checkpoint()
        for name in gone:
            del hf[f"transformer.{name}"]
        refused(kata, hf, *gone)

    def test_every_unexpected_parameter_is_named(self, kata):
        """A third block in the checkpoint of a model with two means that the config is
        not the checkpoint's.
        """
        refused(
            kata,
            checkpoint(layers=L + 1),
            *(f"h.2.{name}" for name in WEIGHTS_OF_A_BLOCK),
        )

    def test_as_many_names_need_not_be_the_same_names(self, kata):
        """With one parameter under a wrong name, the counts agree. The message has both
        names, the missing and the unexpected one.
        """
        hf = checkpoint()
        hf["transformer.h.1.norm.weight"] = hf.pop("transformer.h.1.ln_1.weight")
        refused(kata, hf, "h.1.ln_1.weight", "h.1.norm.weight")

    def test_a_wrong_shape_is_named_with_both_shapes(self, kata):
        """The model has 7 positions, the checkpoint 5, 9 or 1. `copy_` would broadcast
        one row to all seven.
        """
        hf = checkpoint()
        for rows in (BLOCK - 2, BLOCK + 2, 1):
            hf["transformer.wpe.weight"] = torch.randn(rows, C)
            refused(kata, hf, "wpe.weight", f"{rows}, {C}", f"{BLOCK}, {C}")

    @pytest.mark.edge
    def test_a_refused_checkpoint_changes_nothing(self, kata):
        """Check everything before you copy. Half a checkpoint in a model is worse
        than none.
        """
        renamed = checkpoint()
        renamed["transformer.h.1.norm.weight"] = renamed.pop(
            "transformer.h.1.ln_1.weight"
        )
        shorter = checkpoint() | {"transformer.wpe.weight": torch.randn(BLOCK - 2, C)}
        for hf in (
            renamed,
            shorter,
            checkpoint(head=True) | {"lm_head.weight": torch.randn(V, C)},
        ):
            model, before = refused(kata, hf)
            check.equal(
                dict(model.state_dict()),
                before,
                what="the model after a refused checkpoint",
            )

    @pytest.mark.edge
    def test_a_head_of_its_own_is_refused(self, kata):
        """Our model has one weight for both, so the one copied last would win."""
        for prefix in (True, False):
            hf = checkpoint(prefix=prefix, head=True)
            hf["lm_head.weight"][V - 1, C - 1] += 0.5
            refused(kata, hf, "lm_head")

    @pytest.mark.edge
    def test_a_missing_wte_is_named(self, kata):
        """The message is about wte.weight, although no head can be made without it."""
        for head in (False, True):
            hf = checkpoint(head=head)
            del hf["transformer.wte.weight"]
            refused(kata, hf, "wte.weight")

    @pytest.mark.edge
    def test_parameters_stay_the_same_objects(self, kata):
        """An optimizer made before loading holds these objects. It would never train
        new ones.
        """
        model = random_model(kata)
        before = dict(model.named_parameters())
        kata.load_hf_weights(model, checkpoint())
        replaced = [
            name
            for name, parameter in model.named_parameters()
            if parameter is not before[name]
        ]
        check.that(not replaced, f"new parameters under {', '.join(replaced)}")

    @pytest.mark.edge
    def test_the_models_dtype_stays(self, kata):
        """A float64 model computes in float64 after loading, and a float32 model takes
        a bfloat16 checkpoint.
        """
        for wanted, stored in (
            (torch.float64, torch.float32),
            (torch.float32, torch.bfloat16),
        ):
            hf = checkpoint(dtype=stored)
            model = random_model(kata).to(wanted)
            kata.load_hf_weights(model, hf)
            for name, parameter in model.named_parameters():
                check.dtype(parameter, wanted, what=name)
            idx = some_ids(B, T)
            check.close(model(idx)[0], logits_by_hand(hf, idx), what="logits")

    @pytest.mark.edge
    def test_the_checkpoint_is_neither_changed_nor_shared(self, kata):
        """Training the model must not change the checkpoint."""
        hf = checkpoint(head=True, buffers=True)
        before = copied(hf)
        model = random_model(kata)
        kata.load_hf_weights(model, hf)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        check.equal(hf, before, what="the checkpoint")

    @pytest.mark.edge
    def test_the_mode_stays(self, kata):
        """Weights say nothing about dropout. A new model is in training mode, and the
        caller decides when to call eval().
        """
        for training in (True, False):
            model = random_model(kata).train(training)
            kata.load_hf_weights(model, checkpoint())
            check.equal(model.training, training, what="model.training after loading")


@pytest.mark.stretch
class TestCropBlockSize:
    @given(size=st.integers(1, BLOCK))
    def test_short_input_gives_the_same_logits(self, kata, size):
        """The first positions keep their embeddings, and everything else is the same.
        Any number of positions from 1 to all can be kept.
        """
        model, idx = random_model(kata), some_ids(B, size)
        got = kata.crop_block_size(model, size)
        check.that(
            isinstance(got, kata.GPT), f"wanted a GPT, got {check.describe(got)}"
        )
        check.close(got(idx)[0], model(idx)[0], what=f"logits of {size} positions")

    def test_the_first_rows_of_wpe_are_kept(self, kata):
        """wpe has the first block_size rows, and really takes less memory."""
        model = random_model(kata)
        wpe = model.transformer.wpe.weight.detach().clone()
        got = kata.crop_block_size(model, 3).transformer.wpe.weight
        check.equal(
            got.detach(), wpe[:3], unlike={"the last rows": wpe[-3:]}, what="wpe.weight"
        )

    def test_the_rest_of_the_config_is_the_same(self, kata):
        """Only config.block_size changes. Dropout and bias stay, too."""
        got = kata.crop_block_size(random_model(kata, dropout=0.25, bias=False), 4)
        expected = {
            "vocab_size": V,
            "n_layer": L,
            "n_head": H,
            "n_embd": C,
            "dropout": 0.25,
            "bias": False,
        }
        expected["block_size"] = 4
        check.equal(
            {name: getattr(got.config, name) for name in expected},
            expected,
            what="the config",
        )

    def test_the_given_model_stays_as_it_was(self, kata):
        """The given model keeps all positions, in its config, its wpe and
        its attention.
        """
        model = random_model(kata)
        before, idx = copied(model.state_dict()), some_ids(B, BLOCK)
        logits = model(idx)[0].detach()
        kata.crop_block_size(model, 4)
        check.equal(
            model.config.block_size, BLOCK, what="config.block_size of the given model"
        )
        check.equal(dict(model.state_dict()), before, what="the given model")
        check.close(model(idx)[0], logits, what="logits of the given model")

    def test_the_two_models_share_nothing(self, kata):
        """Training the small one must not train the large one. A slice of wpe is a view
        of it, and a Parameter made of a view shares its memory.
        """
        model = random_model(kata)
        for size in (3, BLOCK):
            got = kata.crop_block_size(model, size)
            check.that(
                got is not model, f"block_size {size}: the given model came back"
            )
            check.that(
                got.config is not model.config,
                f"block_size {size}: both have one config object",
            )
            theirs = dict(model.named_parameters(remove_duplicate=False))
            for name, parameter in got.named_parameters():
                check.independent(
                    parameter, theirs[name], what=f"{name} for block_size {size}"
                )

    def test_wte_and_lm_head_are_one(self, kata):
        """A copy of a tied model is tied."""
        got = kata.crop_block_size(random_model(kata), 4)
        check.that(
            got.lm_head.weight is got.transformer.wte.weight,
            "lm_head.weight and wte.weight are two parameters",
        )

    @pytest.mark.edge
    def test_longer_input_is_refused(self, kata):
        """config.block_size is the limit of a GPT, and each attention layer has a limit
        of its own. Exactly block_size positions still work.
        """
        got = kata.crop_block_size(random_model(kata), 4)
        check.shape(got(some_ids(B, 4))[0], (B, 4, V), what="logits of 4 positions")
        with check.raises(ValueError):
            got(some_ids(B, 5))
        for block in got.transformer.h:
            check.shape(
                block.attn(torch.randn(B, 4, C)),
                (B, 4, C),
                what="the output of an attention layer",
            )
            with check.raises(ValueError, "block_size"):
                block.attn(torch.randn(B, 5, C))

    @pytest.mark.edge
    def test_the_mode_stays(self, kata):
        """A copy of a model in eval mode has no dropout, one of a model in training
        mode has.
        """
        for training in (True, False):
            got = kata.crop_block_size(random_model(kata).train(training), 4)
            wrong = [
                name or "the model"
                for name, module in got.named_modules()
                if module.training != training
            ]
            check.that(
                not wrong,
                f"with a model whose training is {training}, other is that of "
                f"{', '.join(wrong[:4])}",
            )

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """A float64 model gives a float64 copy, not one in the default dtype."""
        model = random_model(kata).double()
        got = kata.crop_block_size(model, 4)
        for name, parameter in got.named_parameters():
            check.dtype(parameter, torch.float64, what=name)
        idx = some_ids(B, 4)
        check.close(got(idx)[0], model(idx)[0], what="logits")

    @pytest.mark.edge
    def test_the_device_stays(self, kata):
        """A model on a GPU gives a model on that GPU. (The "meta" device, whose tensors
        have shapes and no numbers, stands in for it here.)
        """
        with torch.device("meta"):
            model = kata.GPT(small(kata))
        for name, parameter in kata.crop_block_size(model, 4).named_parameters():
            check.equal(parameter.device.type, "meta", what=f"the device of {name}")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_crops_on_the_gpu(self, kata):
        """The copy of a model on a real GPU computes the same logits there."""
        model, idx = random_model(kata).cuda(), some_ids(B, 4).cuda()
        got = kata.crop_block_size(model, 4)
        check.equal(
            got.lm_head.weight.device.type, "cuda", what="the device of lm_head.weight"
        )
        check.close(got(idx)[0].cpu(), model(idx)[0].cpu(), what="logits")

    @pytest.mark.edge
    def test_other_sizes_are_refused(self, kata):
        """There are no positions beyond the last one, and a slice up to −1 would
        silently drop the last.
        """
        model = random_model(kata)
        for size in (0, -1, BLOCK + 1):
            with check.raises(ValueError):
                kata.crop_block_size(model, size)


@pytest.mark.stretch
class TestFreezeAllBut:
    def named(self, model):
        """Every parameter once, the tied weight as transformer.wte.weight."""
        named = model.named_parameters(remove_duplicate=False)
        return {
            name: parameter for name, parameter in named if name != "lm_head.weight"
        }

    def trainable(self, model):
        return {
            name
            for name, parameter in self.named(model).items()
            if parameter.requires_grad
        }

    def under(self, model, *prefixes):
        return {
            name
            for name in self.named(model)
            if name.startswith(tuple(f"{p}." for p in prefixes))
        }

    def compare(self, model, expected):
        got = self.trainable(model)
        for wrong, what in ((got - expected, "trainable"), (expected - got, "frozen")):
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            check.that(
                not wrong,
                f"{what} and should not be: {', '.join(sorted(wrong)[:3])}{more}",
            )

    def test_only_what_is_named_stays_trainable(self, kata):
        """A prefix names a part of the model, with all that is in it."""
        model = kata.GPT(small(kata))
        kata.freeze_all_but(model, ["transformer.h.1", "transformer.ln_f"])
        self.compare(model, self.under(model, "transformer.h.1", "transformer.ln_f"))

    def test_the_trainable_numbers_are_counted(self, kata):
        """Count values, not tensors: a block of width 6 has 510 values in
        twelve tensors.
        """
        model = kata.GPT(small(kata))
        got = kata.freeze_all_but(model, ["transformer.h.1", "transformer.ln_f"])
        check.equal(
            got,
            PER_BLOCK + 2 * C,
            unlike={"tensors counted": 14},
            what="trainable numbers",
        )

    def test_block_1_is_not_block_10(self, kata):
        """A prefix ends at a dot, or is the whole name."""
        model = kata.GPT(small(kata, n_layer=12))
        got = kata.freeze_all_but(model, ["transformer.h.1"])
        more = sorted(
            name
            for name in self.trainable(model)
            if name.startswith("transformer.h.10")
        )[:1]
        check.that(
            not more,
            f"{more} is trainable along with block 1",
            like="a prefix without the dot behind it",
        )
        self.compare(model, self.under(model, "transformer.h.1"))
        check.equal(
            got,
            PER_BLOCK,
            unlike={"h.10 and h.11 as well": 3 * PER_BLOCK},
            what="trainable numbers",
        )

    def test_a_single_parameter_can_be_named(self, kata):
        """The name of a parameter covers that parameter."""
        model = kata.GPT(small(kata))
        got = kata.freeze_all_but(
            model, ["transformer.h.0.ln_1.bias", "transformer.wpe.weight"]
        )
        self.compare(model, {"transformer.h.0.ln_1.bias", "transformer.wpe.weight"})
        check.equal(got, C + BLOCK * C, what="trainable numbers")

    def test_what_was_frozen_before_thaws(self, kata):
        """The second call undoes what the first one froze; it does not only
        freeze more.
        """
        model = kata.GPT(small(kata))
        kata.freeze_all_but(model, ["transformer.h.0"])
        got = kata.freeze_all_but(model, ["transformer.h.1"])
        self.compare(model, self.under(model, "transformer.h.1"))
        check.equal(got, PER_BLOCK, what="trainable numbers")

    def test_a_tied_weight_answers_to_both_names(self, kata):
        """`named_parameters()` shows a parameter once, as transformer.wte.weight, and
        hides that it is lm_head.weight too.
        """
        for prefix in ("lm_head", "lm_head.weight", "transformer.wte"):
            model = kata.GPT(small(kata))
            got = kata.freeze_all_but(model, [prefix])
            check.that(
                model.lm_head.weight.requires_grad,
                f"{prefix!r}: lm_head.weight is frozen",
            )
            self.compare(model, {"transformer.wte.weight"})
            check.equal(
                got,
                V * C,
                unlike={"counted under both names": 2 * V * C},
                what="trainable numbers",
            )

    def test_what_is_covered_twice_counts_once(self, kata):
        """Prefixes may overlap, and a shared weight may be named under both of
        its names.
        """
        model = kata.GPT(small(kata))
        got = kata.freeze_all_but(
            model,
            ["lm_head", "transformer.h.0", "transformer.h.0.mlp", "transformer.wte"],
        )
        check.equal(got, V * C + PER_BLOCK, what="trainable numbers")
        self.compare(model, self.under(model, "transformer.h.0", "transformer.wte"))

    def test_no_prefix_freezes_everything(self, kata):
        """Without prefixes nothing is left to train."""
        model = kata.GPT(small(kata))
        check.equal(kata.freeze_all_but(model, []), 0, what="trainable numbers")
        self.compare(model, set())

    @pytest.mark.edge
    def test_any_module_will_do(self, kata):
        """The names are those of named_parameters(), for any model."""
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False)
        )
        check.equal(kata.freeze_all_but(model, ["2"]), 6, what="trainable numbers")
        self.compare(model, {"2.weight"})

    @pytest.mark.edge
    def test_a_prefix_that_covers_nothing_is_an_error(self, kata):
        """A typing error would freeze the intended part. The message names the prefix,
        and nothing has changed. Half a word is not a prefix either.
        """
        model = kata.GPT(small(kata))
        kata.freeze_all_but(model, ["transformer.h.0"])
        before = self.trainable(model)
        for prefix in ("transformer.h.2", "transformer.w", "wte", "lm_head.bias"):
            with check.raises(ValueError, prefix):
                kata.freeze_all_but(model, ["transformer.h.1", prefix])
            self.compare(model, before)


@pytest.mark.stretch
class TestWriteFlat:
    def test_the_header_is_eight_small_integers(self, kata, tmp_path):
        """A C program reads 32 bytes and knows how much to expect: magic number,
        version, five sizes, bias or not. The lowest byte comes first.
        """
        data = written(kata, random_model(kata), tmp_path / "model.bin")
        expected = [20240326, 1, BLOCK, V, L, H, C, 1]
        got = list(struct.unpack("<8i", data[:32].ljust(32, b"\0")))
        swapped = list(struct.unpack(">8i", struct.pack("<8i", *expected)))
        check.equal(
            got,
            expected,
            unlike={"big-endian": swapped},
            what="the first 32 bytes as int32",
        )

    def test_wte_follows_row_by_row(self, kata, tmp_path):
        """From byte 32 on: the first token's C numbers, then the second's."""
        model = random_model(kata)
        data = written(kata, model, tmp_path / "model.bin")
        wte = model.transformer.wte.weight.detach()
        wrong = {"column by column": wte.t().reshape(-1)}
        check.equal(
            values_in(data, 0, V * C),
            wte.reshape(-1),
            unlike=wrong,
            what="the first V · C values",
        )

    def test_linear_weights_are_out_by_in(self, kata, tmp_path):
        """c_attn.weight is written as in our model, (3C, C), row by row. Nothing
        is transposed.
        """
        model = random_model(kata)
        data = written(kata, model, tmp_path / "model.bin")
        weight = model.transformer.h[0].attn.c_attn.weight.detach()
        start = (V + BLOCK) * C + 2 * C
        wrong = {"(in, out), or column by column": weight.t().reshape(-1)}
        check.equal(
            values_in(data, start, 3 * C * C),
            weight.reshape(-1),
            unlike=wrong,
            what="c_attn of block 0",
        )

    def test_the_tied_weight_is_written_once(self, kata, tmp_path):
        """state_dict() lists the weight under two names; the file has it once, as wte.
        Each value takes four bytes, and nothing follows the last.
        """
        data = written(kata, random_model(kata), tmp_path / "model.bin")
        values = (V + BLOCK) * C + L * PER_BLOCK + 2 * C
        wrong = {
            "lm_head as well": 32 + 4 * (values + V * C),
            "float64": 32 + 8 * values,
        }
        check.equal(
            len(data), 32 + 4 * values, unlike=wrong, what="the length of the file"
        )

    def test_all_of_a_block_comes_before_the_next(self, kata, tmp_path):
        """The whole file: wte, wpe, block after block, ln_f."""
        model = random_model(kata)
        data = written(kata, model, tmp_path / "model.bin")
        check.equal(values_in(data), flat_values(model), what="all values")

    def test_without_bias_there_are_weights_alone(self, kata, tmp_path):
        """The last number of the header is 0 then."""
        model = random_model(kata, bias=False)
        data = written(kata, model, tmp_path / "model.bin")
        check.equal(
            data[28:32], b"\0\0\0\0", what="bytes 28 to 31, the bias of the header"
        )
        check.equal(values_in(data), flat_values(model), what="all values")

    @pytest.mark.edge
    def test_any_float_dtype_becomes_float32(self, kata, tmp_path):
        """NumPy has no bfloat16, and float64 would take eight bytes per value."""
        for dtype in (torch.bfloat16, torch.float64):
            model = random_model(kata).to(dtype)
            data = written(kata, model, tmp_path / "model.bin")
            expected = flat_values(model)
            check.equal(values_in(data), expected, what=f"values of a {dtype} model")

    @pytest.mark.edge
    def test_the_model_stays_as_it_was(self, kata, tmp_path):
        """`model.float()` would convert the model itself."""
        model = random_model(kata).to(torch.bfloat16)
        before = copied(model.state_dict())
        kata.write_flat(model, tmp_path / "model.bin")
        check.equal(dict(model.state_dict()), before, what="the model")
        check.that(
            all(p.requires_grad for p in model.parameters()),
            "the model's parameters are frozen now",
        )

    @pytest.mark.edge
    def test_an_old_file_is_replaced(self, kata, tmp_path):
        """Nothing of a longer file is left. The path may be a str."""
        path = tmp_path / "model.bin"
        path.write_bytes(b"\1" * 20_000)
        model = random_model(kata)
        kata.write_flat(model, str(path))
        check.equal(
            len(path.read_bytes()),
            len(flat_bytes(model)),
            what="the length of the file",
        )


@pytest.mark.stretch
class TestReadFlat:
    def saved(self, path, data):
        path.write_bytes(data)
        return path

    @given(sizes=model_sizes())
    def test_the_weights_come_back(self, kata, tmp_path, sizes):
        """Every parameter is the same to the last bit, in the order of write_flat. A 0
        at the end of the header makes a model without biases.
        """
        model = random_model(kata, **sizes)
        got = kata.read_flat(self.saved(tmp_path / "model.bin", flat_bytes(model)))
        check.that(
            isinstance(got, kata.GPT), f"wanted a GPT, got {check.describe(got)}"
        )
        check.equal(
            dict(got.state_dict()), dict(model.state_dict()), what="state_dict()"
        )

    def test_the_model_computes_the_same(self, kata, tmp_path):
        """No shape depends on n_head, so it must come from the header."""
        model = random_model(kata)
        got = kata.read_flat(
            self.saved(tmp_path / "model.bin", flat_bytes(model))
        ).eval()
        idx = some_ids(B, BLOCK)
        check.close(got(idx)[0], model(idx)[0], what="logits")

    def test_the_config_is_that_of_the_header(self, kata, tmp_path):
        """Dropout is not in the file, so it is 0: a model is read to be used."""
        model = random_model(kata, dropout=0.3)
        got = kata.read_flat(
            self.saved(tmp_path / "model.bin", flat_bytes(model))
        ).config
        expected = {
            "block_size": BLOCK,
            "vocab_size": V,
            "n_layer": L,
            "n_head": H,
            "n_embd": C,
            "bias": 1,
        }
        check.equal(
            {name: int(getattr(got, name)) for name in expected},
            expected,
            what="the config",
        )
        check.close(got.dropout, 0.0, what="dropout")

    def test_wte_and_lm_head_are_one(self, kata, tmp_path):
        """The file has the weight once, and the model has one Parameter for it."""
        got = kata.read_flat(
            self.saved(tmp_path / "model.bin", flat_bytes(random_model(kata)))
        )
        check.that(
            got.lm_head.weight is got.transformer.wte.weight,
            "lm_head.weight and wte.weight are two parameters",
        )

    @pytest.mark.edge
    def test_the_path_may_be_a_str(self, kata, tmp_path):
        """The path may be a str or a Path, as for write_flat."""
        model = random_model(kata)
        got = kata.read_flat(str(self.saved(tmp_path / "model.bin", flat_bytes(model))))
        check.equal(
            dict(got.state_dict()), dict(model.state_dict()), what="state_dict()"
        )

    @pytest.mark.edge
    def test_another_kind_of_file_is_refused(self, kata, tmp_path):
        """The magic number tells a flat file from a text, a picture, or another
        machine's byte order. The version tells it from later formats.
        """
        right = flat_bytes(random_model(kata))
        swapped = b"".join(right[i : i + 4][::-1] for i in range(0, len(right), 4))
        for data in (
            flat_bytes(random_model(kata), magic=20240520),
            flat_bytes(random_model(kata), version=2),
            swapped,
        ):
            path = self.saved(tmp_path / "model.bin", data)
            with check.raises(ValueError):
                kata.read_flat(path)

    @pytest.mark.edge
    def test_a_file_of_another_length_is_refused(self, kata, tmp_path):
        """A download may stop in the header, after it, or one value or byte before the
        end. Extra bytes do not belong to this model.
        """
        data = flat_bytes(random_model(kata))
        for length in (
            0,
            16,
            31,
            32,
            len(data) - 4,
            len(data) - 1,
            len(data) + 1,
            len(data) + 4,
        ):
            path = self.saved(
                tmp_path / "model.bin", data[:length].ljust(length, b"\0")
            )
            with check.raises(ValueError):
                kata.read_flat(path)
