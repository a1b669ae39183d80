"""Holds the reference of today/01 against Hugging Face's own Llama and Qwen3, small and
random: no download.
"""

import pytest
import torch

from grader.course import catalogue
from grader.course import kata_modules as loading

SIZES = {
    "vocab_size": 53,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
}
SIZES |= {
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3,
}


@pytest.fixture(scope="module", autouse=True)
def extra():
    """What these tests compare with. It takes a second to import, which every process
    that only collects would pay.
    """
    global transformers, rope_utils
    transformers = pytest.importorskip(
        "transformers", reason="needs the extra that brings transformers"
    )
    rope_utils = pytest.importorskip(
        "transformers.modeling_rope_utils", reason="needs the same extra"
    )


@pytest.fixture(scope="module")
def kata():
    return loading.load(catalogue.find("today/01"), catalogue.ROOT / "solutions")


def stirred(model):
    """A model in which every parameter is random: norms that multiply by 1
    hide mistakes.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    return model.eval()


def llama(**changes):
    torch.manual_seed(1)
    config = transformers.LlamaConfig(**(SIZES | changes), attn_implementation="eager")
    return stirred(transformers.LlamaForCausalLM(config))


def ids(*shape):
    return torch.randint(
        SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(5)
    )


@torch.no_grad()
def assert_same_logits(ours, theirs, tokens, **options):
    torch.testing.assert_close(
        ours(tokens), theirs(tokens, **options).logits, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("length", [1, 9, 64])
def test_logits_agree(kata, length):
    theirs = llama()
    assert_same_logits(
        kata.load_llama(theirs.config.to_dict(), theirs.state_dict()),
        theirs,
        ids(2, length),
    )


@pytest.mark.parametrize("heads", [1, 3, 6])
def test_logits_agree_for_other_groups(kata, heads):
    theirs = llama(num_key_value_heads=heads)
    assert_same_logits(
        kata.load_llama(theirs.config.to_dict(), theirs.state_dict()), theirs, ids(2, 9)
    )


def test_the_base_of_the_angles_is_read(kata):
    theirs = llama(rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    ours = kata.load_llama(theirs.config.to_dict(), theirs.state_dict())
    assert_same_logits(ours, theirs, ids(2, 40))
    assert ours.config.rope_base == 500.0


def test_a_tied_model_agrees(kata):
    theirs = llama(tie_word_embeddings=True)
    state = {
        name: tensor
        for name, tensor in theirs.state_dict().items()
        if name != "lm_head.weight"
    }
    for given in (state, theirs.state_dict()):
        ours = kata.load_llama(theirs.config.to_dict(), given)
        assert_same_logits(ours, theirs, ids(2, 9))
        assert ours.lm_head.weight is ours.model.embed_tokens.weight


def test_our_names_are_theirs(kata):
    theirs = llama()
    config = kata.DecoderConfig(53, 2, 6, 2, 48, 40)
    assert set(kata.Decoder(config).state_dict()) == set(theirs.state_dict())


def test_a_stretched_model_is_refused(kata):
    theirs = llama(
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}
    )
    with pytest.raises(ValueError, match="yarn"):
        kata.load_llama(theirs.config.to_dict(), theirs.state_dict())


def test_a_yarn_model_agrees_once_its_frequencies_are_set(kata):
    """The published way to longer texts: the same weights, other frequencies and
    a scale.
    """
    rope = {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    theirs = llama(rope_parameters=rope, max_position_embeddings=256)
    plain = theirs.config.to_dict() | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}
    }
    ours = kata.load_llama(plain, theirs.state_dict())
    ours.inv_freq, ours.rope_scale = kata.yarn_frequencies(8, 10000.0, 4.0, 64)
    assert_same_logits(ours, theirs, ids(2, 200))


@pytest.mark.parametrize(
    ("width", "base", "factor", "length"), [(16, 1e4, 4.0, 64), (64, 1e6, 8.0, 4096)]
)
def test_yarns_frequencies_agree(kata, width, base, factor, length):
    rope = {
        "rope_type": "yarn",
        "rope_theta": base,
        "factor": factor,
        "original_max_position_embeddings": length,
    }
    config = transformers.LlamaConfig(
        hidden_size=2 * width,
        num_attention_heads=2,
        max_position_embeddings=int(factor * length),
        rope_parameters=rope,
    )
    theirs, scale = rope_utils.ROPE_INIT_FUNCTIONS["yarn"](config, torch.device("cpu"))
    inv_freq, ours = kata.yarn_frequencies(width, base, factor, length)
    torch.testing.assert_close(inv_freq, theirs, rtol=1e-5, atol=0)
    assert ours == pytest.approx(scale)


def test_qwen3s_norms_of_queries_and_keys_agree(kata):
    """Qwen3 is this block with qk_norm. Its names are ours, too."""
    torch.manual_seed(1)
    config = transformers.Qwen3Config(
        **SIZES, head_dim=8, attn_implementation="eager", tie_word_embeddings=False
    )
    theirs = stirred(transformers.Qwen3ForCausalLM(config))
    ours = kata.Decoder(kata.DecoderConfig(53, 2, 6, 2, 48, 40, eps=1e-3, qk_norm=True))
    ours.load_state_dict(theirs.state_dict())
    assert_same_logits(ours, theirs, ids(2, 40))


@pytest.mark.parametrize(("head_dim", "tied"), [(8, False), (14, False), (14, True)])
def test_qwen3_is_loaded(kata, head_dim, tied):
    """With heads of C / H features, and of a size of their own, as published
    ones have.
    """
    torch.manual_seed(1)
    config = transformers.Qwen3Config(
        **SIZES, head_dim=head_dim, tie_word_embeddings=tied
    )
    theirs = stirred(transformers.Qwen3ForCausalLM(config))
    ours = kata.load_llama(theirs.config.to_dict(), theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            ours(ids(2, 40)), theirs(ids(2, 40)).logits, rtol=1e-5, atol=1e-5
        )


def test_qwen2s_biases_are_refused_in_one_line(kata):
    theirs = stirred(transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES)))
    with pytest.raises(
        ValueError,
        match=r"6 biases, the first model\.layers\.0\.self_attn\.q_proj\.bias",
    ):
        kata.load_llama(theirs.config.to_dict(), theirs.state_dict())


def test_positions_and_masks_of_rows_agree(kata):
    """A row whose text starts later: padding in front, which nobody attends to, and
    positions that start after it.
    """
    theirs, tokens = llama(), ids(2, 9)
    ours = kata.load_llama(theirs.config.to_dict(), theirs.state_dict())
    shown = torch.ones(2, 9, dtype=torch.long)
    shown[1, :3] = 0
    positions = (shown.cumsum(dim=1) - 1).clamp(min=0)
    mask = torch.ones(9, 9, dtype=torch.bool).tril() & shown.bool()[:, None, None, :]
    # padding sees itself, so that no row is without a key
    mask = mask | torch.eye(9, dtype=torch.bool)
    with torch.no_grad():
        logits = theirs(tokens, attention_mask=shown, position_ids=positions).logits
        torch.testing.assert_close(
            ours(tokens, positions, mask)[shown.bool()],
            logits[shown.bool()],
            rtol=1e-4,
            atol=1e-4,
        )
