"""Holds the reference of 28 against Hugging Face's own GPT-2, small and random, so that
nothing is downloaded.
"""

import json

import pytest
import torch

from grader.course import catalogue
from grader.course import kata_modules as loading

SIZES = {"vocab_size": 53, "n_positions": 17, "n_embd": 24, "n_layer": 3, "n_head": 4}


@pytest.fixture(scope="module", autouse=True)
def extra():
    """What these tests compare with. It takes a second to import, which every process
    that only collects would pay.
    """
    global safetensors, transformers
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="needs the extra that brings safetensors"
    )
    transformers = pytest.importorskip(
        "transformers", reason="needs the extra that brings transformers"
    )


@pytest.fixture(scope="module")
def kata():
    return loading.load(catalogue.find("28_gpt2_weights"), catalogue.ROOT / "solutions")


@pytest.fixture
def theirs():
    """A GPT2LMHeadModel in which every parameter is random: a new one has biases of 0
    and norms that multiply by 1.
    """
    torch.manual_seed(28)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**SIZES, attn_implementation="eager")
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2)
    return model


def ids(*shape):
    return torch.randint(
        SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(5)
    )


def config_of(kata, model):
    return kata.config_from_hf(json.loads(model.config.to_json_string(use_diff=False)))


def loaded(kata, model, hf=None):
    """Our model with the weights of theirs."""
    ours = kata.GPT(config_of(kata, model)).eval()
    return kata.load_hf_weights(ours, model.state_dict() if hf is None else hf)


@torch.no_grad()
def assert_same_logits(ours, theirs, length=SIZES["n_positions"]):
    tokens = ids(2, length)
    logits, _ = ours(tokens)
    torch.testing.assert_close(
        logits, theirs(tokens).logits.to(logits.dtype), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("length", [1, 9, 17])
def test_logits_agree(kata, theirs, length):
    assert_same_logits(loaded(kata, theirs), theirs, length)


def test_logits_agree_in_float64(kata, theirs):
    theirs.double()
    ours = loaded(kata, theirs).double()
    ours = kata.load_hf_weights(ours, theirs.state_dict())
    tokens = ids(2, 11)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(tokens)[0], theirs(tokens).logits, rtol=0, atol=1e-11
        )


def test_the_model_without_a_head_has_the_same_weights(kata, theirs):
    """A GPT2Model's names have no prefix, and there is no lm_head."""
    bare = theirs.transformer.state_dict()
    assert "wte.weight" in bare and "lm_head.weight" not in bare
    assert_same_logits(loaded(kata, theirs, bare), theirs)


def test_masks_of_older_checkpoints_are_no_parameters(kata, theirs):
    """Older versions saved the causal masks with the weights, as the published files
    still show.
    """
    hf = dict(theirs.state_dict())
    for i in range(SIZES["n_layer"]):
        hf[f"transformer.h.{i}.attn.bias"] = torch.ones(
            17, 17, dtype=torch.uint8
        ).tril()[None, None]
        hf[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    assert_same_logits(loaded(kata, theirs, hf), theirs)
    assert (
        kata.checkpoint_summary(hf)["num_buffers"] == sum(map(kata.is_buffer, hf)) == 6
    )


def test_the_summary_counts_what_they_count(kata, theirs):
    sizes = {"n_layer": 3, "n_embd": 24, "vocab_size": 53, "block_size": 17}
    expected = sizes | {
        "num_params": theirs.num_parameters(),
        "num_buffers": 0,
        "tied": True,
    }
    assert kata.checkpoint_summary(theirs.state_dict()) == expected


@pytest.mark.parametrize(
    "published", [{}, {"n_layer": 24, "n_head": 16, "n_embd": 1024}]
)
def test_the_config_of_a_published_model_is_understood(kata, published):
    """Their defaults are GPT-2's sizes, and their config.json has many more entries."""
    config = kata.config_from_hf(
        json.loads(transformers.GPT2Config(**published).to_json_string(use_diff=False))
    )
    sizes = {"n_layer": 12, "n_head": 12, "n_embd": 768} | published
    assert config == kata.GPTConfig(
        block_size=1024, vocab_size=50257, dropout=0.1, bias=True, **sizes
    )


@pytest.mark.parametrize(
    "changed",
    [{"activation_function": "relu"}, {"activation_function": "gelu"}, {"n_inner": 50}],
)
def test_models_that_compute_something_else_are_refused(kata, changed):
    with pytest.raises(ValueError, match=str(next(iter(changed.values())))):
        kata.config_from_hf(transformers.GPT2Config(**SIZES, **changed).to_dict())


def test_an_untied_head_is_refused(kata):
    untied = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**SIZES, tie_word_embeddings=False)
    )
    assert not kata.checkpoint_summary(untied.state_dict())["tied"]
    with pytest.raises(ValueError, match="lm_head"):
        loaded(kata, untied)


def test_a_saved_model_loads_from_its_safetensors_and_config(kata, theirs, tmp_path):
    """The two files that a download consists of: config.json and model.safetensors,
    which leaves out the tied head.
    """
    theirs.save_pretrained(tmp_path)
    hf = safetensors.load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in hf
    config = kata.config_from_hf(
        json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    )
    ours = kata.load_hf_weights(kata.GPT(config).eval(), hf)
    assert_same_logits(ours, theirs)
    assert ours.lm_head.weight is ours.transformer.wte.weight


def test_half_precision_files_load_into_any_dtype(kata, theirs, tmp_path):
    theirs.bfloat16().save_pretrained(tmp_path)
    ours = loaded(kata, theirs, safetensors.load_file(tmp_path / "model.safetensors"))
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert_same_logits(ours, theirs.float())


def test_our_weights_go_back_into_their_model(kata, theirs, tmp_path):
    """Save ours as a safetensors file in their layout; theirs, new and random, then
    computes what ours does.
    """
    ours = kata.GPT(config_of(kata, theirs)).eval()
    hf = {}
    for name, tensor in ours.state_dict().items():
        conv = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        hf[name] = (tensor.T if conv else tensor).clone(
            memory_format=torch.contiguous_format
        )
    safetensors.save_file(hf, tmp_path / "model.safetensors")
    theirs.load_state_dict(safetensors.load_file(tmp_path / "model.safetensors"))
    assert_same_logits(ours, theirs)
    back = kata.load_hf_weights(
        kata.GPT(ours.config), safetensors.load_file(tmp_path / "model.safetensors")
    )
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_flat_file_gives_the_model_back(kata, theirs, dtype, tmp_path):
    ours = loaded(kata, theirs).to(dtype)
    kata.write_flat(ours, tmp_path / "model.bin")
    back = kata.read_flat(str(tmp_path / "model.bin")).eval()
    assert (tmp_path / "model.bin").stat().st_size == 32 + 4 * theirs.num_parameters()
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name].float()), name
    if dtype != torch.bfloat16:
        assert_same_logits(back, theirs)


def test_a_cropped_model_agrees_on_short_input(kata, theirs):
    ours = kata.crop_block_size(loaded(kata, theirs), 8)
    assert_same_logits(ours, theirs, length=8)
    with pytest.raises(ValueError, match="block_size"):
        ours(ids(1, 9))
