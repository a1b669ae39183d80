"""One net of 6464 weights on the digits: nine tenths pruned and retrained, then the ticket and a random wiring."""

import copy

import torch

from grader.datasets import digits

LIMITS = {
    "test accuracy, 90 % pruned at once": "< 0.75",
    "test accuracy, retrained minus dense": "> -0.06",
    "bits of the dense net / bits at 90 %": "> 7",
    "test accuracy, ticket at 90 %": "> 0.8",
    "test accuracy, ticket minus random wiring": "> 0.1",
}


def run(kata, seed: int) -> dict[str, float]:
    images, labels = digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, test = order[:1200], order[1200:]
    generator = torch.Generator().manual_seed(seed)

    def trained(net, steps):
        kata.train_classifier(net, images[train], labels[train], steps=steps, generator=generator)
        return kata.accuracy(net, images[test], labels[test])

    model = kata.MaskedMLP([64, 64, 32, 10])
    init_state = copy.deepcopy(model.state_dict())
    dense, bits = trained(model, 300), kata.description_length(model)
    ticket = copy.deepcopy(model)
    kata.global_prune(model, 0.9)
    one_shot = kata.accuracy(model, images[test], labels[test])
    fewer = kata.description_length(model)
    retrained = trained(model, 200)
    for sparsity in (0.5, 0.75, 0.85, 0.9):
        kata.global_prune(ticket, sparsity)
        trained(ticket, 100)
    kata.rewind(ticket, init_state)
    wired = copy.deepcopy(ticket)
    kata.randomize_masks(wired, generator)
    won, drawn = trained(ticket, 100), trained(wired, 100)
    return {
        "test accuracy, 90 % pruned at once": one_shot,
        "test accuracy, retrained minus dense": retrained - dense,
        "bits of the dense net / bits at 90 %": bits / fewer,
        "test accuracy, ticket at 90 %": won,
        "test accuracy, ticket minus random wiring": won - drawn,
    }
