"""HellaSwag for train_gpt2.py: kata 32's rows and losses, in batches of a micro-batch's
tokens, on all processes.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from grader import devices

# the tokens of an example's endings, the mask of what is judged, the label
Rendered = tuple[Tensor, Tensor, int]


def remembering(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """The same function, which encodes a text once. HellaSwag asks for the same texts
    at every evaluation.
    """
    once = cache(lambda text: tuple(encode(text)))
    return lambda text: list(once(text))


def share_right(
    own: Any,
    model: nn.Module,
    encode: Any,
    examples: list[dict],
    preset: Any,
    info: Any,
    stopping: list,
) -> float | None:
    """The share of the examples whose right ending has the lowest mean loss; None if
    the run is to stop meanwhile.

    Each process judges some of them, until it gets a signal. At the end they tell
    each other.
    """
    device = next(model.parameters()).device
    right = torch.zeros((), dtype=torch.long, device=device)
    for batch in in_batches(
        own, encode, examples[info.rank :: info.world_size], preset
    ):
        right += judged(own, model, batch, preset)
        if stopping:
            break
    counts = torch.stack([right, torch.full_like(right, bool(stopping))])
    if dist.is_initialized():
        dist.all_reduce(counts)
    right_of_all, stopped = counts.tolist()
    return None if stopped else right_of_all / len(examples)


def in_batches(
    own: Any, encode: Any, examples: list[dict], preset: Any
) -> Iterator[list[Rendered]]:
    """Sort examples by length, and cut them into batches of at most a micro-batch's
    tokens, padding included.
    """
    render = own.hellaswag_evaluation.render_example
    rendered = [
        (*render(one, encode, preset.block_size), int(one["label"])) for one in examples
    ]
    batch: list[Rendered] = []
    for one in sorted(rendered, key=lambda one: one[0].size(1)):
        rows = sum(len(tokens) for tokens, *_ in [*batch, one])
        if batch and rows * one[0].size(1) > preset.batch_size * preset.block_size:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


@torch.no_grad()
def judged(own: Any, model: nn.Module, batch: list[Rendered], preset: Any) -> Tensor:
    """The number of examples that are judged rightly, from one pass over all their
    endings, padded to one length.
    """
    device, longest = next(model.parameters()).device, batch[-1][0].size(1)
    padded = [
        [F.pad(part, (0, longest - part.size(1))) for part in (tokens, mask)]
        for tokens, mask, _ in batch
    ]
    tokens, mask = (
        devices.sent(torch.cat(parts), device) for parts in zip(*padded, strict=True)
    )
    was_training = model.training
    logits = model.eval()(tokens)[0][..., : preset.vocab_size]
    model.train(was_training)
    _, means = own.hellaswag_evaluation.completion_losses(logits, tokens, mask)
    guesses = [one.argmin() for one in means.split([len(one[0]) for one in batch])]
    labels = devices.sent(torch.tensor([label for *_, label in batch]), device)
    return (torch.stack(guesses) == labels).sum()
