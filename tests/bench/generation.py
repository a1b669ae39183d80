"""Time kata 27's cached generation beside transformers', from the same weights: `python -m tests.bench.generation`.

GPT-2's layers on one CPU core, greedy, with weights drawn at random. It needs the extra gpt2.
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generation", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="texts of each (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    hf = GPT2LMHeadModel(GPT2Config(n_layer=options.layers)).eval()
    weights, generation = (
        kata_modules.load(catalogue.find(name), ROOT / "solutions") for name in ("28_gpt2_weights", "27_generation")
    )
    ours = generation.GPT(generation.GPTConfig(n_layer=options.layers))
    weights.load_hf_weights(ours, hf.state_dict())
    idx = torch.randint(50257, (1, PROMPT))
    ways = [
        lambda: generation.generate(ours, idx, NEW, temperature=0, use_cache=True),
        lambda: hf.generate(idx, attention_mask=torch.ones_like(idx), max_new_tokens=NEW, min_new_tokens=NEW,
                            do_sample=False, use_cache=True, pad_token_id=50256),
    ]  # fmt: skip
    found = [[measured(way) for way in ways] for _ in range(options.pairs + 1)][1:]  # one warms up
    ratio = statistics.median(theirs / mine for (mine, _), (theirs, _) in found)
    same = all(torch.equal(one[1], other[1]) for one, other in found)
    print(f"{NEW} tokens after {PROMPT}, {'the same' if same else 'not the same'} ids: {ratio:.2f} times as fast")


def measured(generate: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """The CPU seconds, and the ids."""
    begin = time.process_time()
    ids = generate()
    return time.process_time() - begin, ids


if __name__ == "__main__":
    main()
