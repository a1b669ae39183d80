"""`lesson.py --weights DIR` of today/01: files in Qwen3-0.6B's layout, small and
random, written and read here.
"""

import json
import subprocess
import sys

import pytest
import torch

from grader.course import catalogue
from grader.course import kata_modules as loading
from grader.datasets import prose

FOLDER = catalogue.find("today/01").folder
TEXTS = [
    "Who's there? I'LL see 12345 of  them\n\n  now.",
    "naïve Ⅷ ½ x² 日本語 🙂_a\t\n",
    "<|im_start|>user\n_x<|im_end|>",
]
SIZES = {
    "vocab_size": 400,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "head_dim": 12,
}
SIZES |= {
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
}
QWEN = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_act": "silu",
    **SIZES,
}


@pytest.fixture(scope="module")
def katas():
    """today/01, today/03 and 23 on the references."""
    return [
        loading.load(catalogue.find(name), catalogue.ROOT / "solutions")
        for name in ("today/01", "today/03", "23")
    ]


@pytest.fixture(scope="module")
def answer():
    sys.path.insert(0, str(FOLDER))
    import answer

    sys.path.remove(str(FOLDER))
    return answer


def save(path, tensors):
    """A safetensors file, by hand."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        kind = {torch.float32: "F32", torch.bfloat16: "BF16"}[tensor.dtype]
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.fixture(scope="module")
def weights(katas, answer, tmp_path_factory):
    """A folder as Qwen3-0.6B's: tied, weights in bfloat16, a tokenizer trained on a
    little prose.
    """
    folder, (today, _, tokenizers) = tmp_path_factory.mktemp("weights"), katas
    torch.manual_seed(0)
    config = today.DecoderConfig(
        400,
        3,
        6,
        2,
        48,
        40,
        rope_base=1e6,
        eps=1e-6,
        qk_norm=True,
        tied=True,
        head_dim=12,
    )
    model = today.Decoder(config)
    state = {
        name: (0.2 * torch.randn_like(t)).bfloat16()
        for name, t in model.state_dict().items()
    }
    state.pop("lm_head.weight")
    state["model.norm.weight"] = state["model.norm.weight"].float()  # files mix dtypes
    save(folder / "model.safetensors", state)
    (folder / "config.json").write_text(
        json.dumps(QWEN | {"tie_word_embeddings": True})
    )
    merges = tokenizers.train_bpe_fast(prose()[:20_000], 380)
    bpe, table = tokenizers.BPETokenizer(merges), tokenizers.bytes_to_unicode()

    def spelled(token):
        return "".join(table[byte] for byte in token)

    pre = [
        {
            "type": "Split",
            "pattern": {"Regex": answer.QWEN},
            "behavior": "Isolated",
            "invert": False,
        }
    ]
    by_bytes = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    special = {
        "<|endoftext|>": 380,
        "<|im_start|>": 381,
        "<|im_end|>": 382,
        "<think>": 383,
        "</think>": 384,
    }
    added = [
        {
            "id": i,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        | {"special": True}
        for name, i in special.items()
    ]
    model = {
        "type": "BPE",
        "vocab": {spelled(token): i for token, i in bpe.vocab.items()},
    }
    model |= {
        "merges": [[spelled(left), spelled(right)] for left, right in merges],
        "byte_fallback": False,
    }
    about = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "model": model,
    }
    about |= {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*pre, by_bytes]},
        "decoder": by_bytes,
    }
    (folder / "tokenizer.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def steps(answer, katas, model, ids, new):
    return torch.stack(list(answer.written(*katas[:2], model, ids, new)))


def test_the_cache_changes_no_logit(katas, answer, weights):
    model, ids = answer.loaded(katas[0], weights), [5, 90, 3, 3, 211]
    with_cache = steps(answer, katas, model, ids, 8)
    for found in with_cache:
        with torch.no_grad():
            torch.testing.assert_close(
                found, model(torch.tensor([ids]))[0, -1], rtol=0, atol=1e-5
            )
        ids = [*ids, int(found.argmax())]


def test_a_text_is_its_ids_decoded(katas, answer, weights):
    tokenizer = answer.Tokenizer(weights / "tokenizer.json", katas[2])
    for text in [*TEXTS, prose()[:2000]]:
        assert tokenizer.bpe.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("<|im_end|>") == [382]


def test_another_rule_for_cutting_is_refused(katas, answer, weights, tmp_path):
    about = json.loads((weights / "tokenizer.json").read_text(encoding="utf-8"))
    about["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = (
        answer.QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
    )
    (tmp_path / "tokenizer.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(SystemExit, match="another rule than Qwen's"):
        answer.Tokenizer(tmp_path / "tokenizer.json", katas[2])


def test_the_lesson_answers(weights):
    command = [
        sys.executable,
        FOLDER / "lesson.py",
        "--weights",
        weights,
        "--prompt",
        "Why?",
        "--tokens",
        "5",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    assert (
        "\nWhy?\n\n" in done.stdout and done.stdout.partition("\nWhy?\n\n")[2].strip()
    )


class TestBesideTransformers:
    """On the same folder, where transformers is installed."""

    def test_logits_and_tokens(self, katas, answer, weights):
        transformers = pytest.importorskip(
            "transformers", reason="needs the extra that brings transformers"
        )
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            weights, dtype=torch.float32
        )
        assert type(theirs).__name__ == "Qwen3ForCausalLM"
        ids = [7, 250, 31, 8]
        wanted = theirs.generate(
            torch.tensor([ids]), max_new_tokens=8, min_new_tokens=8, do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )  # fmt: skip
        found = steps(answer, katas, answer.loaded(katas[0], weights), ids, 8)
        assert found.argmax(-1).tolist() == wanted.sequences[0, 4:].tolist()
        torch.testing.assert_close(found, torch.cat(wanted.logits), rtol=0, atol=1e-5)

    def test_ids(self, katas, answer, weights):
        tokenizers = pytest.importorskip("tokenizers", reason="comes with transformers")
        theirs = tokenizers.Tokenizer.from_file(str(weights / "tokenizer.json"))
        ours = answer.Tokenizer(weights / "tokenizer.json", katas[2])
        for text in [*TEXTS, prose()[:5000]]:
            assert ours.encode(text) == theirs.encode(text).ids
