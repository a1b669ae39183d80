"""An open model answers, with your Decoder, 03's cache and 23's tokenizer: lesson.py
--weights DIR --prompt "…"

DIR holds the files of Qwen3-0.6B as they are published: config.json, model.safetensors,
tokenizer.json. They are read by hand here; nothing is downloaded.
"""

import argparse
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch
from torch import Tensor, nn

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}

# How Qwen cuts text before pairs are merged, as its tokenizer.json has it, and for
# Python's re, which lacks \p. There \w is letters, numbers and _, so letters are \w
# without the last two.
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NUMBERS = "".join(
    c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c)[0] == "N"
)
SPLIT = (
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W_{NUMBERS}]+|[{NUMBERS}]| "
    r"?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file: 8 bytes say how long the JSON is that follows, which says
    where in the rest each one lies.

    They stay on the disk until somebody reads them.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    raw, found = (
        torch.UntypedStorage.from_file(
            str(path), shared=False, nbytes=path.stat().st_size
        ),
        {},
    )
    for name, about in header.items():
        begin, end = about["data_offsets"]
        data = torch.empty(0, dtype=torch.uint8).set_(
            raw, 8 + length + begin, (end - begin,)
        )
        aligned = data if data.data_ptr() % 8 == 0 else data.clone()
        found[name] = aligned.view(DTYPES[about["dtype"]]).view(about["shape"])
    return found


class Tokenizer:
    """A tokenizer.json of Qwen's kind: its merges and ids in 23's BPETokenizer, its own
    rule for cutting text.
    """

    def __init__(self, path: Path, tokenizers: ModuleType):
        about = json.loads(path.read_text(encoding="utf-8"))
        if QWEN not in json.dumps(about["pre_tokenizer"], ensure_ascii=False).replace(
            "\\\\", "\\"
        ):
            raise SystemExit(f"{path} cuts text by another rule than Qwen's")
        byte_of = {
            character: byte for byte, character in tokenizers.bytes_to_unicode().items()
        }

        def unspelled(token: str) -> bytes:
            return bytes(byte_of[character] for character in token)

        special = {token["content"]: token["id"] for token in about["added_tokens"]}
        pairs = [
            pair.split(" ") if isinstance(pair, str) else pair
            for pair in about["model"]["merges"]
        ]
        self.bpe = tokenizers.BPETokenizer(
            [(unspelled(left), unspelled(right)) for left, right in pairs],
            {
                unspelled(token): i
                for token, i in about["model"]["vocab"].items()
                if token not in special
            },
            special,
        )

    def encode(self, text: str) -> list[int]:
        special, ids = self.bpe.special_tokens, []
        for part in (
            re.split("(" + "|".join(map(re.escape, special)) + ")", text)
            if special
            else [text]
        ):
            if part in special:
                ids.append(special[part])
                continue
            for chunk in re.findall(SPLIT, unicodedata.normalize("NFC", part)):
                ids += self.bpe.encode_bytes(chunk.encode())
        return ids


class Remembering:
    """Your gqa_attention with a cache per layer: new keys and values are appended, and
    the queries see all so far.
    """

    def __init__(self, attention: Callable[..., Tensor], caches: list):
        self.attention, self.caches, self.calls = attention, caches, 0

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        cache = self.caches[self.calls % len(self.caches)]  # the layers call in order
        self.calls += 1
        return self.attention(q, *cache.append(k, v), mask)


@torch.no_grad()
def written(
    today: ModuleType, serving: ModuleType, model: nn.Module, ids: list[int], new: int
) -> Iterator[Tensor]:
    """The logits (V,) after the prompt, and after each best token, for up to
    `new` tokens.
    """
    config = model.config
    room = len(ids) + new
    caches = [
        serving.StaticLayerCache(1, config.n_kv_head, room, config.head_dim)
        for _ in range(config.n_layer)
    ]
    remembering = Remembering(today.gqa_attention, caches)
    idx, start = torch.tensor([ids]), 0
    with mock.patch.object(today, "gqa_attention", remembering):
        for step in range(1, new + 1):
            logits = model(idx, torch.arange(start, start + idx.size(1)))[0, -1]
            if remembering.calls != step * config.n_layer:
                raise SystemExit(
                    "your Block.forward does not call gqa_attention once, so it "
                    "cannot be given a cache"
                )
            yield logits
            start, idx = start + idx.size(1), logits.argmax().view(1, 1)


def loaded(today: ModuleType, folder: Path) -> nn.Module:
    """Your Decoder with the weights of a folder, which may be in several files."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= read_safetensors(path)
    return today.load_llama(config, state).eval()


def main(today: ModuleType, serving: ModuleType, tokenizers: ModuleType) -> None:
    """Write an answer, token by token."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--prompt", default="Why is the sky blue? Answer in one sentence."
    )
    parser.add_argument("--tokens", type=int, default=100, help="at most so many (100)")
    options = parser.parse_args()
    tokenizer, model = (
        Tokenizer(options.weights / "tokenizer.json", tokenizers),
        loaded(today, options.weights),
    )
    text, ends = options.prompt, set()
    # a model that was taught to chat: an answer without thinking
    if "<|im_start|>" in tokenizer.bpe.special_tokens:
        text = (
            f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think>\n\n"
            "</think>\n\n"
        )
        ends = {
            tokenizer.bpe.special_tokens[name]
            for name in ("<|im_end|>", "<|endoftext|>")
        }
    ids, answer, shown = tokenizer.encode(text), [], ""
    print(f"{options.prompt}\n")
    for logits in written(today, serving, model, ids, options.tokens):
        token = int(logits.argmax())
        if token in ends:
            break
        answer.append(token)
        # the bytes of a character may come in several tokens
        whole = tokenizer.bpe.decode(answer).rstrip("�")
        print(whole[len(shown) :], end="", flush=True)
        shown = whole
    print()
