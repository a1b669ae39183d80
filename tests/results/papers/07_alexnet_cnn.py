"""Two nets on the digits, trained on plain and on shifted images, and tested
on both.
"""

import torch

from grader.datasets import digits

LIMITS = {
    "test accuracy, trained on plain images": "> 0.9",
    "shifted-test accuracy, shifted training minus plain": "> 0.15",
}


def run(kata, seed: int) -> dict[str, float]:
    images, labels = digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, test = order[:1200], order[1200:]
    x, y = images[test], labels[test]
    shifted = kata.random_shift(x, 2, generator=torch.Generator().manual_seed(seed))
    nets = {}
    for shift in (0, 2):
        torch.manual_seed(seed)
        nets[shift] = kata.MiniAlexNet(dropout=0.2)
        generator = torch.Generator().manual_seed(seed)
        kata.train_alexnet(
            nets[shift], images[train], labels[train], shift=shift, generator=generator
        )
    plain = kata.accuracy(nets[0], shifted, y)
    return {
        "test accuracy, trained on plain images": kata.accuracy(nets[0], x, y),
        "shifted-test accuracy, shifted training minus plain": kata.accuracy(
            nets[2], shifted, y
        )
        - plain,
    }
