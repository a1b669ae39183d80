"""Time kata 27's cached generation beside transformers', from the same weights:
`python -m tests.bench.generation`.

One text, greedy, on one CPU core, with weights drawn at random. It needs the
extra gpt2.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT

PROMPT, NEW = 32, 96  # tokens
SIZES: dict[str, dict[str, int]] = {
    "4 layers of 128 features": {
        "n_layer": 4,
        "n_head": 4,
        "n_embd": 128,
        "vocab_size": 1024,
    },
    "GPT-2 124M": {"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.generation", description=__doc__
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="texts of each (default: %(default)s)"
    )
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    weights, generation = (
        kata_modules.load(catalogue.find(name), ROOT / "solutions")
        for name in ("28_gpt2_weights", "27_generation")
    )
    for name, sizes in SIZES.items():
        torch.manual_seed(0)
        hf = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
        ours = weights.load_hf_weights(
            generation.GPT(generation.GPTConfig(**sizes)), hf.state_dict()
        )
        idx = torch.randint(sizes["vocab_size"], (1, PROMPT))
        options = {
            "max_new_tokens": NEW,
            "min_new_tokens": NEW,
            "do_sample": False,
            "pad_token_id": 0,
        }
        ways = [
            lambda ours=ours, idx=idx: generation.generate(
                ours, idx, NEW, temperature=0, use_cache=True
            ),
            lambda hf=hf, idx=idx, options=options: hf.generate(
                idx, attention_mask=torch.ones_like(idx), **options
            ),
        ]
        # one warms up
        found = [[measured(way) for way in ways] for _ in range(pairs + 1)][1:]
        ratio = statistics.median(theirs / mine for (mine, _), (theirs, _) in found)
        same = (
            "the same ids"
            if all(torch.equal(one[1], other[1]) for one, other in found)
            else "OTHER IDS"
        )
        print(
            f"{name}, {NEW} tokens after {PROMPT}, {same}: {ratio:.2f} times as fast "
            "as transformers"
        )


def measured(generate: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """The CPU seconds, and the ids."""
    begin = time.process_time()
    ids = generate()
    return time.process_time() - begin, ids


if __name__ == "__main__":
    main()
