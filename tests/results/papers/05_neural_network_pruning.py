"""A noisy net on wrong labels, its weights with and without a price; then a dense net,
pruned, retrained, rewound.
"""

import copy
import math

import torch
import torch.nn.functional as F

from grader.datasets import digits

LIMITS = {
    "wrong labels learned, weights with a price": "< 0.15",
    "wrong labels learned, weights for free": "> 0.5",
    "wrong labels learned, weight decay": "< 0.15",
    "test accuracy, weights with a price minus for free": "> 0.05",
    "test accuracy, weight decay minus weights for free": "> 0.05",
    "bits of weights / bits of labels, with a price": "< 0.4",
    "bits of weights / bits of labels, for free": "> 5",
    "test accuracy lost, 90 % of weights with a price pruned at once": "< 0.1",
    "test accuracy lost, as many of them at random": "> 0.4",
    "test accuracy lost, 90 % of weights for free pruned at once": "> 0.3",
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
    data = images[train], labels[train], images[test], labels[test]
    return dict(
        zip(
            LIMITS,
            [*noisy_nets(kata, seed, *data), *pruned_nets(kata, seed, *data)],
            strict=True,
        )
    )


def noisy_nets(kata, seed, x, y, test_x, test_y) -> list[float]:
    """Train the same net on the same wrong labels, with a price, without one, and with
    one for the means alone.
    """
    given = torch.where(torch.rand(len(y)) < 0.4, torch.randint(10, (len(y),)), y)
    wrong = given != y

    def measured(train):
        """The share of wrong labels learned, accuracy, bits per bit of the labels, and
        the losses by pruning.
        """
        torch.manual_seed(seed)
        net = kata.noisy_net([64, 64, 10])
        train(net)
        net.eval()
        layers = [net[1], net[3]]
        right = kata.accuracy(net, test_x, test_y)
        bits = sum(kata.kl_bits(layer.weight, layer.log_var).item() for layer in layers)
        lost = []
        ratios = [
            (layer.weight.detach() / (layer.log_var.detach() / 2).exp()).flatten()
            for layer in layers
        ]
        for scores in (torch.cat(ratios), torch.rand(64 * 74)):
            cut, keep = copy.deepcopy(net), kata.magnitude_mask(scores, 0.9)
            for layer, part in zip(
                (cut[1], cut[3]), keep.split([64 * 64, 64 * 10]), strict=True
            ):
                layer.weight.data *= part.view_as(layer.weight)
            lost.append(right - kata.accuracy(cut, test_x, test_y))
        return (
            kata.accuracy(net, x[wrong], given[wrong]),
            right,
            bits / (len(y) * math.log2(10)),
            *lost,
        )

    def decay(net):
        """The price of equation 4: that of the means, in a net without noise."""
        optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
        net.eval()
        for _ in range(400):
            squares = net[1].weight.square().sum() + net[3].weight.square().sum()
            optimizer.zero_grad()
            (
                F.cross_entropy(net(x), given, reduction="sum") + squares / (2 * 0.3**2)
            ).backward()
            optimizer.step()

    paid, right, bits, lost, at_random = measured(
        lambda net: kata.train_noisy(net, x, given)
    )
    free, worse, free_bits, free_lost, _ = measured(
        lambda net: kata.train_noisy(net, x, given, price=0.0)
    )
    decay_learned, decayed, *_ = measured(decay)
    return [
        paid,
        free,
        decay_learned,
        right - worse,
        decayed - worse,
        bits,
        free_bits,
        lost,
        at_random,
        free_lost,
    ]


def pruned_nets(kata, seed, x, y, test_x, test_y) -> list[float]:
    """Prune a net of 6464 weights to a tenth and retrain it; then the ticket and a
    random wiring.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    def trained(net, steps):
        kata.train_classifier(net, x, y, steps=steps, generator=generator)
        return kata.accuracy(net, test_x, test_y)

    model = kata.MaskedMLP([64, 64, 32, 10])
    init_state = copy.deepcopy(model.state_dict())
    dense, bits = trained(model, 300), kata.description_length(model)
    ticket = copy.deepcopy(model)
    kata.global_prune(model, 0.9)
    one_shot = kata.accuracy(model, test_x, test_y)
    fewer = kata.description_length(model)
    retrained = trained(model, 200)
    for sparsity in (0.5, 0.75, 0.85, 0.9):
        kata.global_prune(ticket, sparsity)
        trained(ticket, 100)
    kata.rewind(ticket, init_state)
    wired = copy.deepcopy(ticket)
    kata.randomize_masks(wired, generator)
    won, drawn = trained(ticket, 100), trained(wired, 100)
    return [one_shot, retrained - dense, bits / fewer, won, won - drawn]
