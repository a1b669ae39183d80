"""Muon, which learns at the same rate in every direction of a matrix; a schedule for
runs of any length; the z-loss.

Sizes: a weight is (O, I), as nn.Linear holds it. V = size of the vocabulary.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig


def newton_schulz(g: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """Bring the singular values of a matrix near 1, and keep its singular vectors: by
    products alone.

    Args:
        g: (O, I).
        steps: how often X is replaced.
        eps: keeps a matrix of zeros from dividing by 0.
    Returns:
        (O, I). Start with X = g / max(‖g‖, eps), where ‖g‖ is the root of the sum of
        all squares. Then, in each step, A = X Xᵀ and X ← aX + (bA + cA²) X, with
        a = 3.4445, b = −4.7750, c = 2.0315.

    A tall matrix (O > I) is transposed first and the result back, so that A is the
    smaller square.

    After five steps, a singular value that was at least 0.002 · ‖g‖ lies between 0.68
    and 1.21. Smaller ones have grown up to 485 times; 0 stays 0. Source: K. Jordan,
    "Muon", 2024.

    Edge cases ★
        All is computed in the dtype of g. A matrix of zeros gives zeros. A g that is
        not 2-D is an error that names its shape. g is not changed.
    """
    raise NotImplementedError


def shape_scale(shape: Sequence[int], mode: str = "original") -> float:
    """Compute the factor for a step, so that one learning rate suits matrices of
    every shape.

    Args:
        shape: (O, I).
        mode: which rule.
    Returns:
        A float.

        - "original": √max(1, O / I). (8, 2) has 2, and (2, 8) has 1.
        - "match_rms_adamw": 0.2 · √max(O, I), so that a step is about as large as one
          of AdamW (Liu et al. 2025, section 2.2).

    Edge cases ★
        Any other mode is an error that names it.
    """
    raise NotImplementedError


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Sort the trainable parameters of a model by the optimizer that suits them.

    Args:
        model: any module.
    Returns:
        (for Muon, for AdamW), each in the order of `model.parameters()`.

        - For Muon: the weight of every nn.Linear, but no weight that an nn.Embedding
          has as well, and none below a module called "lm_head".
        - For AdamW: every other parameter: biases, norms, embeddings, the output layer.

    Each parameter appears once, tied ones too. Frozen parameters (requires_grad is
    False) are in neither list.
    """
    raise NotImplementedError


class Muon(torch.optim.Optimizer):
    """Momentum for matrices, in which every direction moves at the same rate.

    Written without `torch.optim.Muon`. `zero_grad`, `state_dict` and `load_state_dict`
    come from the base class.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        mode: str = "original",
    ):
        """Put the parameters into groups with their settings.

        Args:
            params: parameters, or dicts, one per group, each with "params" and any
                settings that override the arguments.
            lr, momentum, nesterov, weight_decay: see `step`.
            ns_steps: the steps of `newton_schulz`.
            mode: that of `shape_scale`.

        `torch.optim.Optimizer.__init__(params, defaults)` makes `param_groups`: dicts
        with "params" and all settings under their argument names. A group has its own
        values where it names them, else those of the dict `defaults`.

        Edge cases ★
            A parameter that is not 2-D is an error that names its shape.
        """
        raise NotImplementedError

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every parameter p that has a gradient g, with the settings that its
        group has now.

        1. B ← momentum · B + g, where B starts at zeros. Each p has its own.
        2. u = g + momentum · B with nesterov, else u = B
        3. p ← p · (1 − lr · weight_decay), without the scale
        4. p ← p − lr · shape_scale(shape of p, mode) · newton_schulz(u, ns_steps)

        Write into p. A p whose `.grad` is None is skipped: it does not move and does
        not decay.

        Edge cases ★
            `.grad` stays as it was. After `load_state_dict` of a new Muon, a run goes
            on as if it had never stopped.
        """
        raise NotImplementedError


def wsd_lr(
    step: int,
    max_lr: float,
    warmup_steps: int,
    decay_steps: int,
    max_steps: int,
    min_lr: float = 0.0,
    shape: str = "linear",
) -> float:
    """Compute the learning rate of a step: up in a straight line, then flat, then down
    at the end.

    Args:
        step: from 0.
        max_lr: the rate of the flat part.
        warmup_steps: the length of the rise.
        decay_steps: the length of the fall.
        max_steps: the step at which min_lr is reached.
        min_lr: the rate from there on.
        shape: of the fall, "linear" or "sqrt".
    Returns:
        A Python float.

        - step < warmup_steps: max_lr · (step + 1) / warmup_steps, as in 29.
        - Then max_lr, up to and including step max_steps − decay_steps.
        - Then, with u = (step − (max_steps − decay_steps)) / decay_steps,
          min_lr + (max_lr − min_lr) · (1 − u), or with "sqrt" · (1 − √u).
        - step ≥ max_steps: min_lr.

    Edge cases ★
        Any other shape is an error that names it. A warm-up and a decay that together
        take more than max_steps are an error that names all three numbers.
    """
    raise NotImplementedError


def z_loss(
    logits: Tensor, targets: Tensor | None = None, coefficient: float = 1e-4
) -> Tensor:
    """Charge for a softmax whose normaliser moves away from 1, which keeps
    logits small.

    Args:
        logits: (…, V).
        targets: (…), longs. Positions with −100 do not count. None: all count.
        coefficient: the factor in front.
    Returns:
        A scalar: coefficient · mean of (log Σ exp(logits))² over the positions that
        count. It is added to the cross-entropy. Two logits of 0 have ln 2, so the mean
        is 0.4805.

    Source: Chowdhery et al. 2022, section 5.

    Edge cases ★
        Logits of ±10,000 give a finite value and finite gradients.
    """
    raise NotImplementedError
