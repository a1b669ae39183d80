"""Wrong solutions of today/05 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

READ = (
    "return logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)"
)
SUMMED = "return token_logp(logits, tokens).masked_fill(~mask[:, 1:], 0.0).sum(-1)"
PAIRS = "return -F.logsigmoid(chosen - rejected).mean()"
MARGINS = "margins = beta * (chosen - rejected)"
DPO = "return -F.logsigmoid(margins).mean(), margins"
SCALED = "return centred / (rewards.detach().std(dim=1, keepdim=True) + eps)"
CENTRED = "centred = (rewards - rewards.mean(dim=1, keepdim=True)).detach()"
WORSE = """return torch.minimum(
        ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    )"""
K3 = "return difference.expm1() - difference"
GAIN = "gain = clipped_objective(logp, old_logp, advantages, clip, clip) - beta * kl"
PER_SEQUENCE = "cost = -(per_sequence / counted.sum(-1).clamp(min=1)).mean()"
TOGETHER = 'cost = -per_sequence.sum() / (total if loss == "dapo" else counted.numel())'

MISTAKES = [
    # token_logp
    Mistake(
        "not shifted",
        was=READ,
        now=(
            "return logits.log_softmax(-1).gather(-1, tokens[..., "
            "None]).squeeze(-1)[:, 1:]"
        ),
        caught_by="TestTokenLogp::test_position_t_predicts_the_next_token",
        says="looks like p(token) was read at the token itself",
    ),
    Mistake(
        "the logarithm of a softmax",
        was=READ,
        now=(
            "return logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, "
            "None]).squeeze(-1).log()"
        ),
        caught_by="TestTokenLogp::test_large_logits",
        says="-inf",
        edge=True,
    ),
    # sequence_logp
    Mistake(
        "the mean",
        was=SUMMED,
        now=(
            "kept = token_logp(logits, tokens).masked_fill(~mask[:, 1:], 0.0)\n"
            "    return kept.sum(-1) / mask[:, 1:].sum(-1)"
        ),
        caught_by="TestSequenceLogp::test_the_sum_over_the_answer",
        says="looks like the mean: a long answer weighs less per token",
    ),
    Mistake(
        "the mask is not shifted",
        was=SUMMED,
        now="return token_logp(logits, tokens).masked_fill(~mask[:, :-1], 0.0).sum(-1)",
        caught_by="TestSequenceLogp::test_the_sum_over_the_answer",
        says="looks like the mask belongs to tokens, and was used for the logits",
    ),
    # bradley_terry
    Mistake(
        "rejected minus chosen",
        was=PAIRS,
        now="return -F.logsigmoid(rejected - chosen).mean()",
        caught_by="TestBradleyTerry::test_the_mean_over_pairs",
        says="looks like the difference is turned round",
    ),
    Mistake(
        "the logarithm of a sigmoid",
        was=PAIRS,
        now="return -torch.log(torch.sigmoid(chosen - rejected)).mean()",
        caught_by="TestBradleyTerry::test_large_differences",
        says="inf",
        edge=True,
    ),
    # dpo_loss
    Mistake(
        "the reference is forgotten",
        was=MARGINS,
        now="margins = beta * (policy_chosen - policy_rejected)",
        caught_by="TestDpoLoss::test_margins",
        says="looks like the reference is forgotten",
    ),
    Mistake(
        "beta outside of σ",
        was=DPO,
        now="return -beta * F.logsigmoid(margins / beta).mean(), margins",
        caught_by="TestDpoLoss::test_loss",
        says="looks like beta stands outside of σ",
    ),
    Mistake(
        "margins without beta",
        was=DPO,
        now="return -F.logsigmoid(margins).mean(), chosen - rejected",
        caught_by="TestDpoLoss::test_margins",
        says="looks like beta is missing",
    ),
    Mistake(
        "gradient into the reference",
        was="rejected = policy_rejected - ref_rejected.detach()",
        now="rejected = policy_rejected - ref_rejected",
        caught_by="TestDpoLoss::test_no_gradient_into_the_reference",
        says="ref_rejected gets a gradient",
    ),
    # group_advantages
    Mistake(
        "over the whole batch",
        was=CENTRED,
        now=(
            "return ((rewards - rewards.mean()) / rewards.std()).detach()\n"
            "    centred = rewards"
        ),
        caught_by="TestGroupAdvantages::test_each_answer_against_its_own_group",
        says="looks like normalised over the whole batch",
    ),
    Mistake(
        "std divides by K",
        was=SCALED,
        now=(
            "return centred / (rewards.detach().std(dim=1, correction=0, "
            "keepdim=True) + eps)"
        ),
        caught_by="TestGroupAdvantages::test_each_answer_against_its_own_group",
        says="looks like std divides by K, not K − 1",
    ),
    Mistake(
        "eps under the root",
        was=SCALED,
        now="return centred / (rewards.detach().var(dim=1, keepdim=True) + eps).sqrt()",
        caught_by="TestGroupAdvantages::test_eps_is_added_to_the_std",
        says="looks like eps under the root",
    ),
    Mistake(
        "a gradient through the advantages",
        was=CENTRED,
        now="centred = rewards - rewards.mean(dim=1, keepdim=True)",
        caught_by="TestGroupAdvantages::test_a_constant",
        says="a gradient flows through the advantages",
    ),
    # clipped_objective
    Mistake(
        "clamp without min",
        was=WORSE,
        now="return ratio.clamp(1 - clip_low, 1 + clip_high) * advantages",
        caught_by="TestClippedObjective::test_the_worse_of_both",
        says="looks like clamp alone: with A < 0 nothing pushes ρ = 1.6 back",
    ),
    Mistake(
        "a gradient through old_logp",
        was="ratio = torch.exp(logp - old_logp.detach())",
        now="ratio = torch.exp(logp - old_logp)",
        caught_by="TestClippedObjective::test_old_and_advantages_are_constants",
        says="old_logp gets a gradient",
    ),
    Mistake(
        "one bound for both sides",
        was=WORSE,
        now=(
            "return torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + "
            "clip_low) * advantages)"
        ),
        caught_by="TestClippedObjective::test_bounds_of_their_own",
        says="differs",
    ),
    # kl_k3
    Mistake(
        "k1",
        was=K3,
        now="return -difference",
        caught_by="TestKlK3::test_value",
        says="looks like k1",
    ),
    # grpo_step
    Mistake(
        "the KL is added",
        was=GAIN,
        now=(
            "gain = clipped_objective(logp, old_logp, advantages, clip, clip) + beta "
            "* kl"
        ),
        caught_by="TestGrpoStep::test_the_step_equals_one_by_hand",
        says="looks like k3 is added, not taken off",
    ),
    Mistake(
        "rewards are minimised",
        was=PER_SEQUENCE,
        now="cost = (per_sequence / counted.sum(-1).clamp(min=1)).mean()",
        caught_by="TestGrpoStep::test_the_step_equals_one_by_hand",
        says="looks like the sign is turned round",
    ),
    Mistake(
        "the mean over all tokens",
        was=PER_SEQUENCE,
        now="cost = -per_sequence.sum() / total",
        caught_by="TestGrpoStep::test_the_step_equals_one_by_hand",
        says="looks like mean over all tokens: long answers weigh more",
    ),
    Mistake(
        "one divisor for DAPO and Dr. GRPO",
        was=TOGETHER,
        now="cost = -per_sequence.sum() / total",
        caught_by="TestGrpoStep::test_dr_grpo_divides_by_a_constant",
        says=(
            "looks like divided by the number of counted tokens, which changes from "
            "batch to batch"
        ),
    ),
    Mistake(
        "Dr. GRPO with the std",
        was='advantages = group_advantages(rewards, scale=loss != "dr_grpo").flatten()',
        now="advantages = group_advantages(rewards).flatten()",
        caught_by="TestGrpoStep::test_dr_grpo_divides_by_a_constant",
        says="looks like advantages are divided by the std",
    ),
    Mistake(
        "the loss is always GRPO's",
        was='if loss == "grpo":',
        now="if loss:",
        caught_by="TestGrpoStep::test_dapo_weighs_every_token_alike",
        says="looks like the mean per answer, as GRPO has it",
    ),
    Mistake(
        "old gradients stay",
        was="    optimizer.zero_grad()\n",
        now="",
        caught_by="TestGrpoStep::test_old_gradients_are_forgotten",
        says="looks like the old gradients are not cleared",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="outside = (ratio < 1 - clip) | (ratio > 1 + clip)",
        now="outside = (ratio < 1 - clip) | (ratio >= 1 + clip)",
        reason="a ratio of drawn numbers is not the bound itself",
        textbook=True,
    ),
    Equivalent(
        was="outside = (ratio < 1 - clip) | (ratio > 1 + clip)",
        now="outside = (ratio <= 1 - clip) | (ratio > 1 + clip)",
        reason="a ratio of drawn numbers is not the bound itself",
        textbook=True,
    ),
]
