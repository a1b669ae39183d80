"""Moving a policy towards what is preferred, and not too far: DPO from pairs, GRPO from
samples with rewards.

Sizes: B sequences of T tokens, V = vocab_size; G prompts with a group of K answers
each. The policy is the model that learns, and the reference is the model that it
started from. Token ids are torch.long.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def token_logp(logits: Tensor, tokens: Tensor) -> Tensor:
    """Read off the log-probability of every token after the first.

    Args:
        logits: (B, T, V). logits[:, t] predicts the token at t + 1.
        tokens: (B, T).
    Returns:
        (B, T − 1): entry t is log p(tokens[t + 1]), from the softmax of logits[t]. With
        uniform logits over V = 4, every entry is −ln 4 = −1.386.

    Edge cases ★
        Logits of ±1000 stay finite.
    """
    raise NotImplementedError


def sequence_logp(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Give the log-probability of each whole answer.

    Args:
        logits: (B, T, V).
        tokens: (B, T).
        mask: (B, T) bool, True on the tokens of the answer. It belongs to tokens, not
            to the logits that predict them.
    Returns:
        (B,): the sum, not the mean, of log p over the tokens whose mask is True.
        Nothing predicts the first token, so mask[:, 0] has no influence. An answer
        without tokens has log-probability 0.
    """
    raise NotImplementedError


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Train a reward from pairs: the chosen answer should have the larger one.

    The model of Bradley and Terry (1952): the first of two is preferred with
    probability σ(r_1 − r_2).

    Args:
        chosen, rejected: (B,), the rewards of the two answers of each pair.
    Returns:
        A scalar: the mean of −log σ(chosen − rejected). Equal rewards cost ln 2.

    Edge cases ★
        Differences of ±1000 stay finite: they cost 0 and 1000.
    """
    raise NotImplementedError


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Train the policy itself from pairs, as if it were a reward model.

    Args:
        policy_chosen, policy_rejected: (B,), log-probabilities of both answers under
            the policy.
        ref_chosen, ref_rejected: (B,), the same under the reference. They are
            constants: no gradient flows into them.
        beta: a larger one keeps the policy closer to the reference.
    Returns:
        (loss, margins). An answer's implicit reward is beta · (log π − log π_ref).
        margins (B,) is the chosen answer's minus the rejected one's; loss is the mean
        of −log σ(margins), a scalar.
    """
    raise NotImplementedError


def group_advantages(rewards: Tensor, eps: float = 1e-4, scale: bool = True) -> Tensor:
    """Compare each answer with the other answers to the same prompt.

    Args:
        rewards: (G, K), one row per prompt.
        eps: added to the standard deviation.
        scale: whether to divide by it. Dr. GRPO does not.
    Returns:
        (G, K): (r − mean) / (std + eps) within each row, or r − mean; a constant,
        through which no gradient flows. std divides by K − 1, torch's default. Rewards
        0 0 1 have advantages −0.577 −0.577 1.155.

    Edge cases ★
        K = 1: the advantage is 0, and not NaN.
    """
    raise NotImplementedError


def clipped_objective(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """Weigh each token by its advantage, and stop once its probability has moved far
    enough (PPO, eq. 7).

    Args:
        logp: (B, T), log-probabilities under the policy.
        old_logp: (B, T), the same when the tokens were sampled. A constant.
        advantages: (B,), one per sequence, or (B, T). Constants.
        clip_low, clip_high: how far the ratio may go below and above 1.
    Returns:
        (B, T), to be maximised: min(ρ · A, clamp(ρ, 1 − clip_low, 1 + clip_high) · A),
        with the ratio ρ = exp(logp − old_logp). For A > 0, nothing is gained beyond
        ρ = 1.2; for A < 0, nothing below 0.8.
    """
    raise NotImplementedError


def kl_k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Estimate for each sampled token how far the policy is from the reference.

    Args:
        logp: any shape, log-probabilities of tokens under the policy that sampled them.
        ref_logp: the same shape, under the reference. A constant.
    Returns:
        The same shape: exp(d) − 1 − d, with d = ref_logp − logp. Never negative, 0
        where both agree. Its mean over samples of the policy is KL(policy ‖ reference).
    """
    raise NotImplementedError


def grpo_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tokens: Tensor,
    mask: Tensor,
    old_logp: Tensor,
    ref_logp: Tensor,
    rewards: Tensor,
    beta: float = 0.04,
    clip: float = 0.2,
    loss: str = "grpo",
) -> dict[str, float]:
    """Take one optimizer step on groups of answers.

    Args:
        model: the policy. model(tokens) gives (logits, a second thing).
        optimizer: of its parameters. Old gradients are forgotten.
        tokens: (G·K, T), prompts with answers, group by group.
        mask: (G·K, T) bool, True on the answers' tokens.
        old_logp, ref_logp: (G·K, T − 1), as `token_logp` gives, when sampled and under
            the reference.
        rewards: (G, K).
        beta, clip: the weight of k3; the ratio's bounds, 1 ± clip.
        loss: how objective − beta · k3 is averaged over counted tokens.
            "grpo": over each sequence's own, then over sequences.
            "dapo": over those of all sequences at once.
            "dr_grpo": their sum is divided by G·K·(T − 1), and advantages are not
            divided by the std.
    Returns:
        Floats: "loss", minus this average; "reward", the mean; "kl", the mean of k3
        over all counted tokens; "clip_fraction", the share of these with ρ outside 1
        ± clip.

    Edge cases ★
        A sequence without a counted token adds 0 to the mean over sequences. Another
        `loss` is an error.
    """
    raise NotImplementedError
