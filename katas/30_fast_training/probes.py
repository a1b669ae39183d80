"""What the specs of 30 cannot ask from another process, or ask only about numbers that are known."""

import torch

from grader.loading import probe


@probe("tokens_per_second")
def _(kata, rng):
    tokens, seconds = (0.1 + torch.rand(2, 5, generator=rng)).tolist()
    return [kata.tokens_per_second(int(1e6 * n), s) for n, s in zip(tokens, seconds, strict=True)]


@probe("flops_per_token")
def _(kata, rng):
    params, layers, width, block = torch.randint(1, 999, (4,), generator=rng).tolist()
    return kata.flops_per_token(kata.GPTConfig(n_layer=layers, n_head=4, n_embd=4 * width, block_size=block), params)


@probe("mfu")
def _(kata, rng):
    return [kata.mfu(*(1 + 1e4 * torch.rand(3, generator=rng)).tolist()) for _ in range(5)]


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
