"""Milestone 2: XOR, trained."""

import numpy as np

LIMITS = {"XOR: loss": "< 0.01", "XOR: accuracy": "> 0.99"}


def run(kata, seed):
    """Train a net on the four rows."""
    found = kata.train_xor(np.random.default_rng(seed), epochs=600)
    return {"XOR: loss": found["loss"], "XOR: accuracy": found["accuracy"]}
