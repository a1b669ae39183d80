"""Shards of one's own text: the same tokens however it is cut, continued after an
interruption, and clear refusals.
"""

import importlib
import json
import sys

import numpy as np
import pytest

from grader.course import catalogue
from grader.errors import KataError

sys.path.insert(0, str(catalogue.find("33_gpt_capstone").folder))
shards = importlib.import_module("shard_files")

END = 300


def encode(text: str) -> list[int]:
    """A byte is a token."""
    return list(text.encode())


def made(sources, folder, tokens=1000, encode=encode) -> list[str]:
    said: list[str] = []
    shards.write(sources, folder, tokens, encode, END, said.append, 2)
    return said


def tokens_of(folder) -> list[int]:
    found: list[int] = []
    for path in sorted(folder.glob("*.bin"), key=lambda path: path.stem[-6:]):
        count = shards.token_count(path)
        found += np.fromfile(path, np.uint16, offset=shards.HEADER).tolist()
        assert count
    return found


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "a.txt").write_text("one paragraph\n\n" * 150)
    (tmp_path / "b.jsonl").write_text(
        "".join(json.dumps({"text": f"document {n}"}) + "\n" for n in range(40)) + "\n"
    )
    return [tmp_path / "a.txt", tmp_path / "b.jsonl"]


@pytest.fixture
def expected(texts) -> list[int]:
    documents = [texts[0].read_text(), *(f"document {n}" for n in range(40))]
    return [token for document in documents for token in [*encode(document), END]]


def test_every_document_ends_in_the_mark_and_shards_are_full(
    texts, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "PIECE", 64)
    said = made(texts, tmp_path / "out")
    assert tokens_of(tmp_path / "out") == expected
    names = sorted(path.name for path in (tmp_path / "out").glob("*.bin"))
    assert names == ["train_000001.bin", "train_000002.bin", "val_000000.bin"]
    assert said[-1].startswith(f"{len(expected):,} tokens in 3 shards")
    assert made(texts, tmp_path / "out") == [
        f"{tmp_path / 'out'} is complete: {len(expected):,} tokens in 3 shards"
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupted_run_is_continued(
    texts, expected, tmp_path, monkeypatch, number
):
    monkeypatch.setattr(shards, "PIECE", 64)
    whole, calls = shards._keep, []

    def interrupted(folder, state):
        whole(folder, state)
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(shards, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(texts, tmp_path / "out")
    monkeypatch.setattr(shards, "_keep", whole)
    said = made(texts, tmp_path / "out")
    assert (
        tokens_of(tmp_path / "out") == expected
        and said[0] == f"wrote train_00000{number}.bin: {said[0].split()[-2]} tokens"
    )


def test_a_long_document_is_cut_between_paragraphs():
    text = "word " * 10 + "end\n\nNext" + " word" * 3
    place = shards._cut(text, len(text) - 2)
    assert text[:place].endswith("end\n") and text[place:].startswith("\nNext")
    assert shards._cut("x" * 90, 50) == 50


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (
            "a.jsonl",
            '{"text": "one"}\n{"words": 1}\n',
            'a.jsonl: line 2 is no JSON object with a "text"',
        ),
        ("a.txt", b"\xff\xfe", "a.txt: 'utf-8' codec can't decode"),
        ("a.pdf", b"%PDF", "a.pdf: is none of .txt, .md, .jsonl, .parquet"),
        (
            "a.txt",
            "short",
            "6 tokens make one shard, and training needs two: make --tokens smaller",
        ),
    ],
)
def test_what_makes_no_shards_is_one_clear_line(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(KataError, match="^.*" + complaint.replace("'", ".")):
        made([tmp_path / name], tmp_path / "out")


def test_other_files_and_a_folder_in_use_are_refused(texts, tmp_path):
    made(texts, tmp_path / "out")
    with pytest.raises(KataError, match="has shards of other files or of another size"):
        made(texts[:1], tmp_path / "out")
    with pytest.raises(KataError, match="is not empty, and has no shards.json"):
        made(texts, tmp_path)
    with pytest.raises(KataError, match="nowhere.txt: No such file"):
        made([tmp_path / "nowhere.txt"], tmp_path / "new")
