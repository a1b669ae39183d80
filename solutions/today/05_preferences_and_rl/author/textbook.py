"""05 as a textbook has it."""

import torch
import torch.nn.functional as F


def token_logp(logits, tokens):
    """The log-probability of every token after the first."""
    logp = F.log_softmax(logits[:, :-1], dim=-1)
    return logp.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)


def sequence_logp(logits, tokens, mask):
    """The log-probability of each whole answer."""
    return (token_logp(logits, tokens) * mask[:, 1:]).sum(dim=-1)


def bradley_terry(chosen, rejected):
    """The loss of rewards on pairs."""
    return -F.logsigmoid(chosen - rejected).mean()


def dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    """The loss of a policy on pairs, and the margins."""
    ref = (ref_chosen - ref_rejected).detach()
    margins = beta * (policy_chosen - policy_rejected - ref)
    return -F.logsigmoid(margins).mean(), margins


def group_advantages(rewards, eps=1e-4, scale=True):
    """Each answer against its own group."""
    rewards = rewards.detach()
    advantages = rewards - rewards.mean(dim=1, keepdim=True)
    if scale:
        advantages = advantages / (rewards.std(dim=1, keepdim=True) + eps)
    return advantages


def clipped_objective(logp, old_logp, advantages, clip_low=0.2, clip_high=0.2):
    """PPO's objective, token by token."""
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    advantages = advantages.detach()
    ratio = torch.exp(logp - old_logp.detach())
    clipped = torch.clamp(ratio, 1 - clip_low, 1 + clip_high)
    return torch.min(ratio * advantages, clipped * advantages)


def kl_k3(logp, ref_logp):
    """Schulman's k3, token by token."""
    d = ref_logp.detach() - logp
    return torch.exp(d) - 1 - d


def grpo_step(
    model,
    optimizer,
    tokens,
    mask,
    old_logp,
    ref_logp,
    rewards,
    beta=0.04,
    clip=0.2,
    loss="grpo",
):
    """One optimizer step on groups of answers."""
    mask = mask[:, 1:].float()
    logits, _ = model(tokens)
    logp = token_logp(logits, tokens)
    advantages = group_advantages(rewards, scale=loss != "dr_grpo").reshape(-1)
    kl = kl_k3(logp, ref_logp)
    objective = clipped_objective(logp, old_logp, advantages, clip, clip)
    gain = (objective - beta * kl) * mask
    if loss == "grpo":
        cost = -(gain.sum(dim=1) / mask.sum(dim=1)).mean()
    elif loss == "dapo":
        cost = -gain.sum() / mask.sum()
    else:
        cost = -gain.mean()
    optimizer.zero_grad()
    cost.backward()
    optimizer.step()
    ratio = torch.exp(logp - old_logp)
    outside = (ratio < 1 - clip) | (ratio > 1 + clip)
    return {
        "loss": cost.item(),
        "reward": rewards.mean().item(),
        "kl": ((kl * mask).sum() / mask.sum()).item(),
        "clip_fraction": ((outside * mask).sum() / mask.sum()).item(),
    }
