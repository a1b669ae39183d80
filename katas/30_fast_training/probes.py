"""What the specs of 30 cannot ask from another process."""

import torch

from grader.loading import probe


@probe("matmul_precision")
def _(kata, rng):
    levels = [("highest", "high", "medium")[i] for i in torch.randperm(3, generator=rng)]
    seen = [torch.get_float32_matmul_precision()]
    with kata.matmul_precision(levels[0]):
        seen.append(torch.get_float32_matmul_precision())
        with kata.matmul_precision(levels[1]):
            seen.append(torch.get_float32_matmul_precision())
        seen.append(torch.get_float32_matmul_precision())
    return [*seen, torch.get_float32_matmul_precision()]
