"""The largest micro-batch that fits: `train_gpt2.py --batch-size auto`. It is found
once, and kept beside the run.

On a GPU a step is tried with ever more rows until memory runs out. On a CPU, where
nothing says so in time, the bytes that backward needs for a row are counted, and the
rows of half of the free memory are taken.
"""

import json
from collections.abc import Callable, Iterable
from math import gcd
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from grader.isolation import limits

LossOf = Callable[[int], Tensor]  # the loss of so many rows


def chosen(
    kept: Path, settings: dict[str, Any], rows: list[int], fits: Callable[[int], bool]
) -> int:
    """The most rows that fit on every process, by the file if it is about the same
    settings. At least the fewest.
    """
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    known = found["rows"] if found.get("of") == settings else 0
    if least_of_all(known):
        return known
    most = next(
        (
            few
            for few, more in zip(rows, rows[1:], strict=False)
            if not least_of_all(fits(more))
        ),
        rows[-1],
    )
    if not dist.is_initialized() or dist.get_rank() == 0:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"rows": most, "of": settings}), encoding="utf-8")
    return most


def least_of_all(value: int) -> int:
    """The least value of all processes."""
    least = torch.tensor(int(value))
    if dist.is_initialized():
        dist.all_reduce(least, dist.ReduceOp.MIN)
    return int(least)


def dividing(tokens: Iterable[int], row: int) -> list[int]:
    """How many rows a micro-batch may have, so that each of these numbers of tokens is
    a whole number of them.
    """
    common = gcd(*tokens)
    return [rows for rows in range(1, common // row + 1) if common % (rows * row) == 0]


def fits_on_gpu(loss_of: LossOf, model: nn.Module, rows: int) -> bool:
    """Whether a step and its optimizer's moments leave a tenth of the memory free.
    Compiled code needs less.
    """
    torch.cuda.reset_peak_memory_stats()
    try:
        loss_of(rows).backward()
    except torch.OutOfMemoryError:
        return False
    finally:
        model.zero_grad()
    free, whole = torch.cuda.mem_get_info()
    of_others = whole - free - torch.cuda.memory_reserved()
    moments = 2 * sum(parameter.nbytes for parameter in model.parameters())
    return of_others + torch.cuda.max_memory_allocated() + moments < 0.9 * whole


def fits_elsewhere(loss_of: LossOf, model: nn.Module, rows: int) -> bool:
    """Whether backward needs less than half of the memory that is free for that
    many rows.
    """
    return rows * bytes_of_a_row(loss_of, model) < limits.free_memory() / 2


def bytes_of_a_row(loss_of: LossOf, model: nn.Module) -> int:
    """What a forward pass over one row keeps for backward, beside the weights."""
    weights = {
        parameter.untyped_storage().data_ptr() for parameter in model.parameters()
    }
    kept: dict[int, int] = {}

    def counted(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
        loss_of(1)
    return sum(kept.values())
