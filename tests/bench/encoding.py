"""Compare kata 23's ids of 1 MB of text with tiktoken's: `pip install tiktoken &&
python -m tests.bench.encoding`.

Both use GPT-2's pattern and the same 2,000 merges, which kata 23 learns from prose:
GPT-2's own need a download. The text is Python's manual and its own modules, so that it
holds prose and code.
"""

import sysconfig
import time
from pathlib import Path

import tiktoken

from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from grader.datasets import prose

SIZE, VOCABULARY = 1_000_000, 2_256  # bytes, tokens
# of GPT-2
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def main() -> None:
    kata = kata_modules.load(catalogue.find("23_tokenizers"), ROOT / "solutions")
    merges = kata.train_bpe_fast(prose(), VOCABULARY)
    ours = kata.BPETokenizer(merges)
    ranks = {ours.decode_bytes([token]): token for token in range(ours.vocab_size)}
    theirs = tiktoken.Encoding(
        "kata", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    data = text().encode()[:SIZE].decode(errors="ignore")
    begin = time.process_time()
    ids = ours.encode(data)
    middle = time.process_time()
    expected = theirs.encode_ordinary(data)
    end = time.process_time()
    said = "the same" if ids == expected else "NOT THE SAME"
    print(f"{SIZE:,} bytes: {len(ids):,} ids, {said} as tiktoken's {len(expected):,}")
    print(
        f"CPU seconds: {middle - begin:.1f}, and {end - middle:.1f} of tiktoken, "
        "which is written in Rust"
    )


def text() -> str:
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return prose() + "".join(
        path.read_text(encoding="utf-8", errors="ignore") for path in modules[:60]
    )


if __name__ == "__main__":
    main()
