"""Log-probabilities by cross_entropy, softplus for −log σ, advantages by loops, the
clip by cases.
"""

import math


def token_logp(logits, tokens):
    rows, length, words = logits.shape
    losses = F.cross_entropy(
        logits[:, :-1].reshape(-1, words), tokens[:, 1:].reshape(-1), reduction="none"
    )
    return -losses.view(rows, length - 1)


def sequence_logp(logits, tokens, mask):
    found = token_logp(logits, tokens)
    return torch.stack(
        [row[keep].sum() for row, keep in zip(found, mask[:, 1:], strict=True)]
    )


def bradley_terry(chosen, rejected):
    return F.softplus(rejected - chosen).mean()


def dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    with torch.no_grad():
        ref_ratio = ref_chosen - ref_rejected
    margins = (policy_chosen - policy_rejected) * beta - ref_ratio * beta
    return F.softplus(-margins).mean(), margins


@torch.no_grad()
def group_advantages(rewards, eps=1e-4, scale=True):
    found = []
    for group in rewards:
        centred = group - sum(group) / len(group)
        std = (
            math.sqrt(sum(float(x) ** 2 for x in centred) / max(len(group) - 1, 1))
            if scale
            else 1.0
        )
        found.append(centred / (std + eps) if scale else centred)
    return torch.stack(found)


def clipped_objective(logp, old_logp, advantages, clip_low=0.2, clip_high=0.2):
    advantages = advantages.detach()
    if advantages.ndim == 1:
        advantages = advantages.unsqueeze(-1).expand_as(logp)
    ratio = (logp - old_logp.detach()).exp()
    up = torch.clamp(ratio, max=1 + clip_high) * advantages
    down = torch.clamp(ratio, min=1 - clip_low) * advantages
    return torch.where(advantages > 0, up, down)


def kl_k3(logp, ref_logp):
    with torch.no_grad():
        ref = ref_logp.clone()
    return (ref - logp).exp().sub(1).sub(ref).add(logp)
