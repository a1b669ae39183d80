"""Log-probabilities by logsumexp, a float mask, and a step of GRPO in one piece,
sequence by sequence.
"""


def token_logp(logits, tokens):
    logits, targets = logits[:, :-1, :], tokens[:, 1:]
    rows = torch.arange(targets.size(0))[:, None]
    places = torch.arange(targets.size(1))[None, :]
    return logits[rows, places, targets] - torch.logsumexp(logits, dim=-1)


def sequence_logp(logits, tokens, mask):
    return torch.einsum(
        "bt,bt->b", token_logp(logits, tokens), mask[:, 1:].to(logits.dtype)
    )


def bradley_terry(chosen, rejected):
    return F.binary_cross_entropy_with_logits(
        chosen - rejected, torch.ones_like(chosen)
    )


def group_advantages(rewards, eps=1e-4, scale=True):
    rewards = rewards.detach()
    var, mean = torch.var_mean(rewards, dim=-1, keepdim=True)
    centred = rewards - mean
    return centred / (var.sqrt() + eps).nan_to_num(1.0) if scale else centred


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
    optimizer.zero_grad(set_to_none=False)
    advantages = group_advantages(rewards, 1e-4, loss != "dr_grpo").view(-1)
    logp = token_logp(model(tokens)[0], tokens)
    total, kls, outside, count = 0.0, 0.0, 0.0, 0
    divisor = {
        "grpo": 0,
        "dapo": int(mask[:, 1:].sum()),
        "dr_grpo": mask[:, 1:].numel(),
    }[loss]
    for b in range(len(tokens)):
        counted = mask[b, 1:]
        number = int(counted.sum())
        if number == 0:
            continue
        new, old = logp[b][counted], old_logp[b][counted]
        ratio = (new - old).exp()
        gain = torch.minimum(
            ratio * advantages[b], ratio.clip(1 - clip, 1 + clip) * advantages[b]
        )
        d = ref_logp[b][counted] - new
        k3 = d.exp() - d - 1
        total = total - (gain - beta * k3).sum() / (divisor or number * len(tokens))
        kls += k3.sum().item()
        outside += ((ratio > 1 + clip) | (ratio < 1 - clip)).sum().item()
        count += number
    total.backward()
    optimizer.step()
    reward = sum(rewards.flatten().tolist()) / rewards.numel()
    return {
        "reward": reward,
        "loss": float(total),
        "clip_fraction": outside / count,
        "kl": kls / count,
    }
