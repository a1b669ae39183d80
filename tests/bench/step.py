"""Time train_gpt2.py's update beside nanoGPT's in turns, in float32 on one CPU core:
`python -m tests.bench.step`.

Both start from the same weights, with the same GELU, and take four micro-batches
per update.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from tests.bench import ladder
from tests.bench.gpt.measure import Batches
from tests.bench.gpt.nanogpt import NanoGpt

MICRO_BATCHES = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.step", description=__doc__
    )
    parser.add_argument(
        "--pairs", type=int, default=40, help="updates of each (default: %(default)s)"
    )
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    exact = F.gelu
    F.gelu = lambda x, approximate="tanh": exact(x, approximate=approximate)
    fast, training = (
        kata_modules.load(catalogue.find(name), ROOT / "solutions")
        for name in ("30_fast_training", "29_gpt_training")
    )
    config = fast.GPTConfig(
        block_size=128, vocab_size=1024, n_layer=4, n_head=4, n_embd=128, bias=False
    )
    torch.manual_seed(0)
    ours, theirs = fast.GPT(config), NanoGpt(config)
    theirs.load_state_dict(ours.state_dict())
    with_loss = ladder.program().WithLoss(
        SimpleNamespace(fast_training=fast), ours, config.vocab_size
    )
    with tempfile.TemporaryDirectory() as folder:
        fetch = Batches(
            config.vocab_size, 8, config.block_size, torch.device("cpu"), Path(folder)
        ).of(8)
        steps = [
            update(
                ours,
                lambda x, y: fast.amp_loss(with_loss, x, y, None),
                training.make_optimizer,
                fetch,
            ),
            update(
                theirs, lambda x, y: theirs(x, y)[1], training.make_optimizer, fetch
            ),
        ]
        # two warm up
        found = [[measured(step) for step in steps] for _ in range(pairs + 2)][2:]
    ratio = statistics.median(one[0] / other[0] for one, other in found)
    gap = max(abs(one[1] - other[1]) for one, other in found)
    print(
        f"{pairs} pairs: an update costs {ratio:.3f} of nanoGPT's CPU time; losses at "
        f"most {gap:.0e} apart"
    )


def update(
    model: nn.Module, loss_of: Callable, make_optimizer: Callable, fetch: Callable
) -> Callable[[], float]:
    """The loop of train_gpt2.py over the micro-batches of an update."""
    optimizer = make_optimizer(model, 1e-3)

    def step() -> float:
        total = torch.zeros(())
        for _ in range(MICRO_BATCHES):
            loss = loss_of(*fetch()) / MICRO_BATCHES
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total.item()

    return step


def measured(step: Callable[[], float]) -> tuple[float, float]:
    """The CPU seconds of an update, and its loss."""
    begin = time.process_time()
    loss = step()
    return time.process_time() - begin, loss


if __name__ == "__main__":
    main()
