"""Recall over 40 steps: accuracy and gradient ratio of an LSTM with forget bias 4 and
of a plain RNN.
"""

import torch

LIMITS = {
    "accuracy, LSTM": "> 0.75",
    "accuracy, plain RNN": "< 0.55",
    "first / last gradient before training, LSTM": "> 0.01",
    "first / last gradient before training, plain RNN": "< 1e-5",
}
NAMES = {"lstm": "LSTM", "rnn": "plain RNN"}


def run(kata, seed):
    found = {}
    for kind, name in NAMES.items():
        torch.manual_seed(seed)
        model = kata.RecallNet(kind, 4, 24, 4, forget_bias=4.0)
        x, y = kata.recall_batch(
            500, 40, 4, generator=torch.Generator().manual_seed(1000 + seed)
        )
        norms = kata.gradient_through_time(model, x[:32], y[:32])
        found[f"first / last gradient before training, {name}"] = (
            norms[0] / norms[-1]
        ).item()
        kata.train_recall(
            model, lr=0.005, generator=torch.Generator().manual_seed(seed)
        )
        with torch.no_grad():
            found[f"accuracy, {name}"] = (
                (model(x).argmax(dim=1) == y).float().mean().item()
            )
    return found
