"""What the specs of appendix B ask only about answers and errors that are known."""

import torch

from grader.loading import probe


@probe("select_device")
def _(kata, rng):
    found = [str(kata.select_device(f"cuda:{int(torch.randint(99, (), generator=rng))}", cuda_available=lambda: True))]
    for cuda, mps in (torch.rand(5, 2, generator=rng) < 0.5).tolist():
        found.append(str(kata.select_device(cuda_available=lambda: cuda, mps_available=lambda: mps)))
    return found


@probe("is_out_of_memory")
def _(kata, rng):
    kinds = (torch.OutOfMemoryError, RuntimeError, ValueError, NotImplementedError)
    texts = ("out of memory", "CUDA error: out of memory. Tried more", "out of", "memory", "")
    drawn = zip(torch.randint(4, (20,), generator=rng), torch.randint(5, (20,), generator=rng), strict=True)
    return [kata.is_out_of_memory(kinds[kind](texts[text])) for kind, text in drawn]
