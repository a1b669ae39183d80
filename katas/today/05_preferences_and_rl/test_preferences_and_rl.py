"""Specs of today/05: log-probabilities of answers, rewards and policies from pairs,
advantages within a group, the clipped objective, k3, and a step of GRPO. A policy over
a few actions can be summed exactly.
"""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check


def read_by_loops(logits, tokens):
    """log p of each token after the first, one by one in float64."""
    rows, length, _ = logits.shape
    p = logits.double().softmax(-1)
    return torch.stack(
        [
            torch.stack([p[b, t, tokens[b, t + 1]].log() for t in range(length - 1)])
            for b in range(rows)
        ]
    )


def a_batch(rows=3, length=5, words=4):
    """Logits and tokens whose numbers all differ."""
    return 2 * torch.randn(rows, length, words), torch.randint(words, (rows, length))


@st.composite
def batches(draw):
    rows, length, words, seed = (
        draw(st.integers(low, high)) for low, high in ((1, 4), (2, 6), (2, 5), (0, 99))
    )
    draws = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(rows, length, words, generator=draws), torch.randint(
        words, (rows, length), generator=draws
    )


class TestTokenLogp:
    def test_one_entry_per_token_after_the_first(self, kata):
        """T tokens have T − 1 entries: nothing predicts the first, and the last logits
        predict a token that is not there yet.
        """
        check.shape(kata.token_logp(*a_batch()), (3, 4))

    def test_position_t_predicts_the_next_token(self, kata):
        """logits[t] were computed from tokens 0 to t. They say what comes after,
        at t + 1.
        """
        logits, tokens = a_batch()
        own = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        unlike = {
            "p(token) was read at the token itself": own[:, :-1],
            "p(token) was read at the token itself, from the second on": own[:, 1:],
            "probabilities, without the logarithm": read_by_loops(logits, tokens).exp(),
            "logits, without the softmax": logits[:, :-1].gather(
                -1, tokens[:, 1:, None]
            )[..., 0],
        }
        check.close(
            kata.token_logp(logits, tokens),
            read_by_loops(logits, tokens),
            unlike=unlike,
        )

    def test_gradient(self, kata):
        """A policy learns through these numbers, so gradients flow into the logits."""
        logits, tokens = a_batch()
        check.gradients(
            lambda x: kata.token_logp(x, tokens),
            lambda x: read_by_loops(x, tokens).float(),
            logits,
        )

    @given(case=batches())
    def test_any_batch(self, kata, case):
        """For any sizes."""
        check.close(kata.token_logp(*case), read_by_loops(*case))

    @pytest.mark.edge
    def test_large_logits(self, kata):
        """The logarithm of a softmax that has rounded to 0 is −∞. log_softmax
        knows −2000.
        """
        logits = torch.tensor([[[1000.0, -1000.0], [0.0, 0.0]]])
        check.close(
            kata.token_logp(logits, torch.tensor([[0, 1]])), torch.tensor([[-2000.0]])
        )


class TestSequenceLogp:
    def test_the_sum_over_the_answer(self, kata):
        """log p of an answer is the sum of its tokens' log-probabilities: the
        probabilities multiply. The prompt is given, so its tokens do not count.
        """
        logits, tokens = a_batch(4, 6)
        mask = torch.tensor(
            [
                [0, 0, 1, 1, 1, 1],
                [0, 0, 0, 1, 1, 0],
                [0, 1, 0, 1, 0, 1],
                [0, 0, 0, 0, 1, 0],
            ]
        ).bool()
        logp, counts = read_by_loops(logits, tokens), mask[:, 1:]
        expected = (logp * counts).sum(1)
        unlike = {
            "the mean: a long answer weighs less per token": expected / counts.sum(1),
            "one sum over the batch, not one per answer": expected.sum(),
            "the prompt counts, too": logp.sum(1),
            (
                "the mask belongs to tokens, and was used for the logits that predict "
                "them"
            ): (logp * mask[:, :-1]).sum(1),
        }
        check.close(kata.sequence_logp(logits, tokens, mask), expected, unlike=unlike)

    def test_all_sequences_together_have_probability_one(self, kata):
        """The 27 continuations by three tokens out of three: each has a probability,
        and they add up to 1.
        """
        # the logits after each beginning
        tables = [torch.randn(3**t, 3) for t in range(3)]
        sequences = torch.tensor([(0, *rest) for rest in product(range(3), repeat=3)])
        places = [sequences[:, 1 : t + 1] @ 3 ** torch.arange(t) for t in range(3)]
        logits = torch.stack(
            [table[place] for table, place in zip(tables, places, strict=True)]
            + [torch.zeros(27, 3)]
        )
        mask = torch.ones(27, 4, dtype=torch.bool)
        total = kata.sequence_logp(logits.transpose(0, 1), sequences, mask).exp().sum()
        check.close(total, torch.tensor(1.0), what="the sum of 27 probabilities")

    def test_the_first_token_has_no_influence(self, kata):
        """No logits predict it, whatever the mask says."""
        logits, tokens = a_batch()
        mask = torch.rand(3, 5) < 0.5
        mask[:, 0] = True
        expected = (read_by_loops(logits, tokens) * mask[:, 1:]).sum(1)
        check.close(kata.sequence_logp(logits, tokens, mask), expected)

    def test_an_empty_answer(self, kata):
        """A sum of nothing is 0, and not NaN."""
        logits, tokens = a_batch()
        got = kata.sequence_logp(logits, tokens, torch.zeros(3, 5, dtype=torch.bool))
        check.close(got, torch.zeros(3))


LN_2 = math.log(2)


def preferred(difference):
    """−log σ in float64, as ln(1 + e^−x)."""
    return torch.log1p(torch.exp(-difference.double()))


class TestBradleyTerry:
    def test_the_mean_over_pairs(self, kata):
        """Each pair costs −log σ(chosen − rejected): little if the chosen answer has
        the larger reward.
        """
        chosen, rejected = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.5, 1.5, 0.0])
        each = preferred(chosen - rejected)
        unlike = {
            "the difference is turned round": preferred(rejected - chosen).mean(),
            "the sum": each.sum(),
            "log σ without the minus": -each.mean(),
            "σ without the logarithm": (-torch.sigmoid(chosen - rejected)).mean(),
        }
        check.close(kata.bradley_terry(chosen, rejected), each.mean(), unlike=unlike)

    def test_equal_rewards_cost_ln_2(self, kata):
        """Who cannot tell them apart gives each one half."""
        same = torch.randn(4)
        check.close(kata.bradley_terry(same, same), torch.tensor(LN_2))

    def test_a_constant_changes_nothing(self, kata):
        """Only differences count: rewards have no zero."""
        chosen, rejected = torch.randn(5), torch.randn(5)
        check.close(
            kata.bradley_terry(chosen + 7, rejected + 7),
            preferred(chosen - rejected).mean(),
            atol=1e-5,
        )

    def test_gradient(self, kata):
        """The chosen reward is pushed up by σ(rejected − chosen) / B: pairs that are
        already right push little.
        """
        chosen, rejected = torch.randn(4), torch.randn(4)
        check.gradients(
            lambda x: kata.bradley_terry(x, rejected),
            lambda x: preferred(x - rejected).mean(),
            chosen,
        )
        check.gradients(
            lambda x: kata.bradley_terry(chosen, x),
            lambda x: preferred(chosen - x).mean(),
            rejected,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(("difference", "cost"), [(1000.0, 0.0), (-1000.0, 1000.0)])
    def test_large_differences(self, kata, difference, cost):
        """σ(−1000) rounds to 0, and its logarithm is −∞. logsigmoid knows −1000."""
        got = kata.bradley_terry(torch.tensor([difference]), torch.tensor([0.0]))
        check.close(got, torch.tensor(cost))


def four(pairs=3):
    """Log-probabilities of the chosen and rejected answers under the policy, then under
    the reference.
    """
    return [-5 * torch.rand(pairs) for _ in range(4)]


class TestDpoLoss:
    def test_margins(self, kata):
        """An answer's implicit reward is beta · (log π − log π_ref): what the policy
        has come to think of it since it left the reference. A pair's margin is the
        difference of two.
        """
        chosen, rejected, ref_chosen, ref_rejected = values = four()
        beta = 0.3
        expected = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
        unlike = {
            "the reference is forgotten": beta * (chosen - rejected),
            "the reference of the chosen answer is forgotten": expected
            + beta * ref_chosen,
            "the reference of the rejected answer is forgotten": expected
            - beta * ref_rejected,
            "beta is missing": expected / beta,
            "rejected minus chosen": -expected,
            "the two terms are added": beta
            * ((chosen - ref_chosen) + (rejected - ref_rejected)),
            "the reference's difference is added, not taken off": beta
            * (chosen - rejected + ref_chosen - ref_rejected),
        }
        got = kata.dpo_loss(*values, beta)
        check.that(
            isinstance(got, tuple) and len(got) == 2,
            f"wanted (loss, margins), got {check.describe(got)}",
        )
        check.close(got[1], expected, unlike=unlike, what="margins")

    def test_loss(self, kata):
        """The mean of −log σ(margin): Bradley and Terry with implicit rewards."""
        chosen, rejected, ref_chosen, ref_rejected = values = four()
        plain = (chosen - ref_chosen) - (rejected - ref_rejected)
        unlike = {
            "beta stands outside of σ": 0.3 * preferred(plain).mean(),
            "beta is missing": preferred(plain).mean(),
            "the sum": preferred(0.3 * plain).sum(),
            "margins turned round": preferred(-0.3 * plain).mean(),
        }
        got = kata.dpo_loss(*values, 0.3)[0]
        check.close(got, preferred(0.3 * plain).mean(), unlike=unlike, what="the loss")

    def test_at_the_reference(self, kata):
        """A policy that is the reference pays ln 2, and each chosen log-probability
        gets the gradient −beta / (2 B).
        """
        chosen, rejected, *_ = four(4)
        chosen.requires_grad_()
        loss, _ = kata.dpo_loss(chosen, rejected, chosen.detach(), rejected, 0.2)
        check.close(loss, torch.tensor(LN_2), what="the loss")
        check.close(
            torch.autograd.grad(loss, chosen)[0],
            torch.full((4,), -0.2 / 8),
            what="the gradient of chosen",
        )

    def test_the_default_beta(self, kata):
        """0.1, as in the paper."""
        chosen, rejected, ref_chosen, ref_rejected = values = four()
        expected = 0.1 * ((chosen - ref_chosen) - (rejected - ref_rejected))
        check.close(kata.dpo_loss(*values)[1], expected, what="margins")

    def test_no_gradient_into_the_reference(self, kata):
        """The reference stays where it is, even if somebody forgot `no_grad`
        around it.
        """
        values = [value.requires_grad_() for value in four()]
        grads = torch.autograd.grad(
            kata.dpo_loss(*values)[0], values, allow_unused=True
        )
        for name, grad in zip(("ref_chosen", "ref_rejected"), grads[2:], strict=True):
            check.that(
                grad is None or not bool(grad.any()),
                f"{name} gets a gradient, but the reference is a constant",
            )
        check.that(
            all(grad is not None and bool(grad.all()) for grad in grads[:2]),
            "the policy gets no gradient",
        )

    def test_the_minimum_is_the_exact_optimum(self, kata):
        """Over 5 actions with rewards r, the best policy under a KL price beta is
        π_ref · exp(r / beta), normalised. With preferences σ(r_i − r_j), this policy is
        where the loss's gradient is 0.
        """
        reward, ref, beta = torch.randn(5), torch.randn(5).log_softmax(0), 0.5
        best = (ref + reward / beta).log_softmax(0).requires_grad_()
        total = torch.zeros(())
        for i, j in product(range(5), repeat=2):
            # how often i is preferred to j
            weight = torch.sigmoid(reward[i] - reward[j])
            total = (
                total
                + weight
                * kata.dpo_loss(
                    *(x[k : k + 1] for x in (best, ref) for k in (i, j)), beta
                )[0]
            )
        grad = torch.autograd.grad(total, best)[0]
        check.close(
            grad,
            torch.zeros(5),
            atol=1e-4,
            what="the gradient at π_ref · exp(r / beta)",
        )


@st.composite
def rewards(draw):
    """(G, K) rewards of rows that are not all equal."""
    groups, answers, seed = (
        draw(st.integers(1, 4)),
        draw(st.integers(2, 6)),
        draw(st.integers(0, 99)),
    )
    return torch.randn(groups, answers, generator=torch.Generator().manual_seed(seed))


def by_rows(table, eps=1e-4):
    """(r − mean) / (std + eps), row by row, in float64 and from sums."""
    found = []
    for row in table.double():
        centred = row - row.sum() / len(row)
        found.append(centred / ((centred.square().sum() / (len(row) - 1)).sqrt() + eps))
    return torch.stack(found)


class TestGroupAdvantages:
    def test_each_answer_against_its_own_group(self, kata):
        """A hard prompt has low rewards only. Its best answer is still worth repeating:
        the group is the measure.
        """
        table = torch.tensor(
            [[0.1, 0.3, 0.0, 0.2], [0.9, 1.0, 0.7, 0.95], [0.0, 0.0, 1.0, 0.0]]
        )
        centred = table - table.mean(1, keepdim=True)
        unlike = {
            (
                "normalised over the whole batch: a hard prompt's best answer is "
                "negative"
            ): (table - table.mean()) / table.std(),
            "normalised over the columns": (table - table.mean(0))
            / (table.std(0) + 1e-4),
            "the mean over the prompts, not over the group's answers": (
                table - table.mean(0)
            )
            / (table.std(1, keepdim=True) + 1e-4),
            "std divides by K, not K − 1": centred
            / (table.std(1, correction=0, keepdim=True) + 1e-4),
            "divided by the std of the column": centred / (table.std(0) + 1e-4),
            "divided by the variance": centred / (table.var(1, keepdim=True) + 1e-4),
            "not divided by the std": centred,
        }
        check.close(kata.group_advantages(table), by_rows(table), unlike=unlike)

    def test_without_the_scale(self, kata):
        """Dr. GRPO leaves the std out: a prompt that is nearly solved then no longer
        counts as much as a hard one.
        """
        table = torch.rand(2, 5)
        check.close(
            kata.group_advantages(table, scale=False),
            table - table.mean(1, keepdim=True),
        )

    def test_equal_rewards_teach_nothing(self, kata):
        """All right or all wrong: the std is 0, eps keeps the division finite, and the
        advantages are 0.
        """
        table = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
        check.close(kata.group_advantages(table), torch.zeros(2, 3))

    def test_eps_is_added_to_the_std(self, kata):
        """With rewards that hardly differ, eps decides: it is added to the root, and
        not under it.
        """
        table = torch.tensor([[0.0, 0.001, 0.003]], dtype=torch.float64)
        centred = table - table.mean()
        unlike = {
            "eps under the root": centred / (table.var() + 0.01).sqrt(),
            "without eps": centred / table.std(),
        }
        check.close(
            kata.group_advantages(table, eps=0.01), by_rows(table, 0.01), unlike=unlike
        )

    def test_a_constant(self, kata):
        """Rewards of a learned model carry a graph. No gradient flows back
        into them.
        """
        table = torch.rand(2, 4, requires_grad=True)
        for scale in (True, False):
            got = kata.group_advantages(table, scale=scale)
            check.that(
                not got.requires_grad,
                "a gradient flows through the advantages into the rewards",
            )

    @given(table=rewards())
    def test_any_group(self, kata, table):
        """The mean of a group is 0, whatever the rewards; a shift of all of them
        changes nothing.
        """
        check.close(kata.group_advantages(table), by_rows(table), rtol=1e-3, atol=1e-4)
        check.close(
            kata.group_advantages(table + 2),
            by_rows(table),
            rtol=1e-2,
            atol=1e-3,
            what="with rewards + 2",
        )

    @pytest.mark.edge
    def test_a_group_of_one(self, kata):
        """One answer has nothing to be compared with. Its std is NaN, its
        advantage 0.
        """
        check.close(
            kata.group_advantages(torch.tensor([[0.7], [0.2]])), torch.zeros(2, 1)
        )


def by_cases(logp, old_logp, advantages, low=0.2, high=0.2):
    """Token by token: the ratio is bounded on the side where the objective
    would gain.
    """
    found = torch.zeros_like(logp, dtype=torch.float64)
    for b, t in product(*map(range, logp.shape)):
        a = float(advantages[b] if advantages.ndim == 1 else advantages[b, t])
        ratio = math.exp(float(logp[b, t]) - float(old_logp[b, t]))
        found[b, t] = a * (min(ratio, 1 + high) if a > 0 else max(ratio, 1 - low))
    return found


def moved(*ratios):
    """(1, T) old and new log-probabilities with these ratios."""
    old = -3 * torch.rand(1, len(ratios)) - 1
    return old + torch.tensor([ratios]).log(), old


class TestClippedObjective:
    def test_ratio_times_advantage_within_the_bounds(self, kata):
        """While ρ is near 1 it is ρ · A: the old policy's samples stand for the
        new one's.
        """
        logp, old = moved(0.9, 1.0, 1.15)
        got = kata.clipped_objective(logp, old, torch.tensor([2.0]))
        unlike = {
            "logp · A, without the ratio": 2 * logp,
            "the ratio of the log-probabilities": 2 * logp / old,
            "log ρ · A: exp is missing": 2 * (logp - old),
            "old over new": 2 * (old - logp).exp(),
        }
        check.close(got, torch.tensor([[1.8, 2.0, 2.3]]), unlike=unlike)

    def test_the_worse_of_both(self, kata):
        """min takes the clipped value only where it is the smaller one. With A < 0 and
        ρ = 1.6, the bad token has become more probable: nothing may hide that.
        """
        logp, old = (x.repeat(2, 1) for x in moved(0.4, 0.7, 1.3, 1.6))
        advantages = torch.tensor([1.5, -1.5])
        ratio = (logp - old).exp()
        a, clipped = advantages[:, None], ratio.clamp(0.8, 1.2)
        unlike = {
            "clamp alone: with A < 0 nothing pushes ρ = 1.6 back": clipped * a,
            "the larger of both": torch.maximum(ratio * a, clipped * a),
            "never clipped": ratio * a,
        }
        check.close(
            kata.clipped_objective(logp, old, advantages),
            by_cases(logp, old, advantages),
            unlike=unlike,
        )

    def test_gradients_stop_where_nothing_is_gained(self, kata):
        """A good token beyond 1.2, or a bad one below 0.8, gets no gradient. The other
        way round it gets the full one, ρ · A.
        """
        logp, old = (x.repeat(2, 1) for x in moved(0.5, 1.0, 1.5))
        logp.requires_grad_()
        total = kata.clipped_objective(logp, old, torch.tensor([2.0, -2.0])).sum()
        grad = torch.autograd.grad(total, logp)[0]
        check.close(
            grad,
            torch.tensor([[1.0, 2.0, 0.0], [0.0, -2.0, -3.0]]),
            what="the gradient",
        )

    def test_bounds_of_their_own(self, kata):
        """DAPO lets good tokens rise further: clip_high is larger than clip_low."""
        logp, old = (x.repeat(2, 1) for x in moved(0.5, 0.85, 1.25, 1.5))
        advantages = torch.tensor([1.0, -1.0])
        got = kata.clipped_objective(logp, old, advantages, clip_low=0.1, clip_high=0.3)
        unlike = {
            "low and high change places": by_cases(logp, old, advantages, 0.3, 0.1)
        }
        check.close(got, by_cases(logp, old, advantages, 0.1, 0.3), unlike=unlike)

    def test_an_advantage_per_token(self, kata):
        """(B,) is one per sequence, (B, T) one per token. With B = T, they are still
        told apart.
        """
        logp, old = -torch.rand(3, 3) - 1, -torch.rand(3, 3) - 1
        one, each = torch.tensor([1.0, -2.0, 3.0]), torch.randn(3, 3)
        unlike = {
            "the advantages run along the tokens": by_cases(logp, old, one.expand(3, 3))
        }
        check.close(
            kata.clipped_objective(logp, old, one),
            by_cases(logp, old, one),
            unlike=unlike,
            what="(B,)",
        )
        check.close(
            kata.clipped_objective(logp, old, each),
            by_cases(logp, old, each),
            what="(B, T)",
        )

    def test_old_and_advantages_are_constants(self, kata):
        """If a gradient flowed into old_logp too, ρ would be 1 for ever and
        learn nothing.
        """
        logp, old, a = ((-torch.rand(2, 3)).requires_grad_() for _ in range(3))
        grads = torch.autograd.grad(
            kata.clipped_objective(logp, old, a).sum(),
            [logp, old, a],
            allow_unused=True,
        )
        check.that(grads[0] is not None, "no gradient flows into logp")
        for name, grad in zip(("old_logp", "advantages"), grads[1:], strict=True):
            check.that(
                grad is None or not bool(grad.any()),
                f"{name} gets a gradient, but it is a constant",
            )

    def test_at_ratio_one_it_is_the_policy_gradient(self, kata):
        """Summed over all 5 actions, weighted by probability, the gradient is that of
        the expected reward Σ π r.
        """
        scores, reward = torch.randn(5, requires_grad=True), torch.randn(5)
        logp = scores.log_softmax(0)
        each = kata.clipped_objective(logp[:, None], logp.detach()[:, None], reward)[
            :, 0
        ]
        got = torch.autograd.grad(
            (logp.detach().exp() * each).sum(), scores, retain_graph=True
        )[0]
        check.close(
            got,
            torch.autograd.grad((scores.softmax(0) * reward).sum(), scores)[0],
            what="the gradient",
        )


def two_policies(actions=6):
    """Log-probabilities of all actions under a policy and under a reference."""
    return torch.randn(actions).log_softmax(0), torch.randn(actions).log_softmax(0)


@pytest.mark.stretch
class TestKlK3:
    def test_value(self, kata):
        """exp(d) − 1 − d with d = ref_logp − logp."""
        logp, ref = -3 * torch.rand(2, 4), -3 * torch.rand(2, 4)
        d = (ref - logp).double()
        unlike = {
            "k1: logp − ref_logp": -d,
            "k2: d² / 2": d.square() / 2,
            "d is turned round": (-d).exp() - 1 + d,
            "the sign is turned round": 1 + d - d.exp(),
            "exp(d) − 1 + d": d.exp() - 1 + d,
            "the mean": (d.exp() - 1 - d).mean(),
        }
        check.close(kata.kl_k3(logp, ref), d.exp() - 1 - d, unlike=unlike, atol=1e-5)

    def test_never_negative_and_zero_where_both_agree(self, kata):
        """exp(d) lies above its tangent 1 + d. k1 = −d is right on average too, but a
        token may show −2.
        """
        logp, ref = -5 * torch.rand(40), -5 * torch.rand(40)
        check.that(bool((kata.kl_k3(logp, ref) >= 0).all()), "k3 is negative somewhere")
        check.close(kata.kl_k3(logp, logp), torch.zeros(40), what="k3 where both agree")

    def test_its_mean_is_the_kl_divergence(self, kata):
        """Weighted by the policy's probabilities of all actions, it is KL(policy ‖
        reference) exactly.
        """
        logp, ref = two_policies()
        expected = (logp.double().exp() * (logp - ref).double()).sum()
        check.close(
            (logp.exp() * kata.kl_k3(logp, ref)).sum(),
            expected,
            atol=1e-5,
            what="the mean of k3",
        )

    def test_gradient(self, kata):
        """1 − exp(d) for logp, and none for the reference. On average over the policy's
        samples this is the gradient of the other divergence, KL(reference ‖ policy): it
        also leads to the reference.
        """
        logp, ref = (x.requires_grad_() for x in two_policies())
        grads = torch.autograd.grad(
            kata.kl_k3(logp, ref).sum(), [logp, ref], allow_unused=True
        )
        check.close(
            grads[0], 1 - (ref - logp).exp(), atol=1e-5, what="the gradient of logp"
        )
        check.that(
            grads[1] is None or not bool(grads[1].any()),
            "ref_logp gets a gradient, but it is a constant",
        )


class Table(nn.Module):
    """A policy in which the next token depends on the last one alone. As a GPT, it
    returns a second thing, too.
    """

    def __init__(self, words=5):
        super().__init__()
        self.table = nn.Embedding(words, words)

    def forward(self, tokens):
        return self.table(tokens), None


GROUPS, ANSWERS, LENGTH = 3, 4, 6


def a_step():
    """A policy that has moved, and answers of different lengths that an older
    one sampled.
    """
    model, rows = Table(), GROUPS * ANSWERS
    tokens = torch.randint(5, (rows, LENGTH))
    ends = 3 + torch.arange(rows) % 4
    mask = (torch.arange(LENGTH) >= 2) & (torch.arange(LENGTH) < ends[:, None])
    now = read_by_loops(model(tokens)[0].detach(), tokens).float()
    old, ref = (
        now + 0.4 * torch.randn(rows, LENGTH - 1),
        now + 0.5 * torch.randn(rows, LENGTH - 1),
    )
    # 1.21 is outside of 1 ± 0.2, and its logarithm inside of ± 0.2
    old[0, 1] = now[0, 1] - math.log(1.21)
    return model, (tokens, mask, old, ref, torch.randn(GROUPS, ANSWERS))


def by_hand(
    model,
    tokens,
    mask,
    old,
    ref,
    table,
    beta=0.04,
    clip=0.2,
    weigh="sequences",
    norm=by_rows,
):
    """The loss in float64, sequence by sequence, and the three other numbers."""
    logp = (
        (model(tokens)[0].double())
        .log_softmax(-1)[:, :-1]
        .gather(-1, tokens[:, 1:, None])[..., 0]
    )
    advantages, gains, kls, outside = norm(table).flatten(), [], [], []
    for b in range(len(tokens)):
        chosen = mask[b, 1:].nonzero().flatten()
        ratio, d = (logp[b] - old[b]).exp()[chosen], (ref[b] - logp[b])[chosen]
        a, kl = advantages[b], d.exp() - 1 - d
        gains.append(
            torch.minimum(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a) - beta * kl
        )
        kls.append(kl.detach())
        outside.append((ratio.detach() < 1 - clip) | (ratio.detach() > 1 + clip))
    if weigh == "tokens":
        loss = -torch.cat(gains).mean()
    else:
        lengths = [
            max(len(gain), 1) if weigh == "sequences" else LENGTH - 1 for gain in gains
        ]
        loss = -torch.stack(
            [gain.sum() / length for gain, length in zip(gains, lengths, strict=True)]
        ).mean()
    stats = {"reward": table.double().mean(), "kl": torch.cat(kls).mean()}
    return loss, {
        "loss": loss.detach(),
        **stats,
        "clip_fraction": torch.cat(outside).double().mean(),
    }


def slips(model, inputs, beta=0.04):
    """What `by_hand` gives with one thing wrong, under its name."""
    tokens, mask, *rest = inputs
    late = mask.roll(1, dims=1)
    return {
        "the mask of token t was used for entry t, which belongs to token t + 1": (
            by_hand(model, tokens, late, *rest, beta=beta)
        ),
        "mean over all tokens: long answers weigh more": by_hand(
            model, *inputs, beta=beta, weigh="tokens"
        ),
        "divided by T − 1, not by the answer's own tokens": by_hand(
            model, *inputs, beta=beta, weigh="places"
        ),
        "advantages over the whole batch": by_hand(
            model,
            *inputs,
            beta=beta,
            norm=lambda table: ((table - table.mean()) / table.std()).double(),
        ),
        "rewards in place of advantages": by_hand(
            model, *inputs, beta=beta, norm=torch.Tensor.double
        ),
        "prompt and padding count": by_hand(
            model, tokens, torch.ones_like(mask), *rest, beta=beta
        ),
        "without the KL": by_hand(model, *inputs, beta=0.0),
        "k3 is added, not taken off": by_hand(model, *inputs, beta=-beta),
    }


def centred(table):
    """Advantages as Dr. GRPO has them."""
    return (table - table.mean(dim=1, keepdim=True)).double()


def averaged(model, inputs, **options):
    """The step by hand, averaged in another way."""
    return torch.autograd.grad(
        by_hand(model, *inputs, beta=0.3, **options)[0], model.table.weight
    )[0]


def stepped(kata, model, inputs, **options):
    """One step of SGD with lr 1 shows the gradient: weights before minus
    weights after.
    """
    before = model.table.weight.detach().clone()
    kata.grpo_step(
        model, torch.optim.SGD(model.parameters(), lr=1.0), *inputs, **options
    )
    return before - model.table.weight.detach()


@pytest.mark.stretch
class TestGrpoStep:
    def test_four_numbers(self, kata):
        """What a run is watched by: the loss, the mean reward, the mean of k3 and the
        share of clipped tokens.
        """
        model, inputs = a_step()
        expected, wrong = by_hand(model, *inputs)[1], slips(model, inputs)
        got = kata.grpo_step(
            model, torch.optim.SGD(model.parameters(), lr=0.1), *inputs
        )
        check.equal(sorted(got), sorted(expected), what="the names")
        for name, value in expected.items():
            check.that(
                isinstance(got[name], float),
                f"{name} should be a float, got {check.describe(got[name])}",
            )
            unlike = {slip: stats[name] for slip, (_, stats) in wrong.items()}
            check.close(
                torch.tensor(got[name]),
                value,
                unlike=unlike,
                rtol=1e-3,
                atol=1e-5,
                what=name,
            )

    def test_the_step_equals_one_by_hand(self, kata):
        """Loss = −mean over sequences of the mean over their own tokens of
        (objective − beta · k3).
        """
        model, inputs = a_step()
        weight = model.table.weight
        expected = torch.autograd.grad(by_hand(model, *inputs, beta=0.3)[0], weight)[0]
        wrong = {
            name: torch.autograd.grad(loss, weight)[0]
            for name, (loss, _) in slips(model, inputs, 0.3).items()
        }
        wrong["the sign is turned round: rewards are minimised"] = -expected
        wrong["no step was taken"] = torch.zeros(5, 5)
        got = stepped(kata, model, inputs, beta=0.3)
        check.close(got, expected, unlike=wrong, rtol=1e-3, atol=1e-5, what="the step")

    def test_the_clip_is_the_one_given(self, kata):
        """A narrower clip leaves more tokens without a gradient."""
        model, inputs = a_step()
        expected = torch.autograd.grad(
            by_hand(model, *inputs, clip=0.05)[0], model.table.weight
        )[0]
        check.close(
            stepped(kata, model, inputs, clip=0.05),
            expected,
            rtol=1e-3,
            atol=1e-5,
            what="the step",
        )
        model, inputs = a_step()
        share = by_hand(model, *inputs, clip=0.05)[1]["clip_fraction"]
        wrong = {
            "the share outside of 1 ± 0.2": by_hand(model, *inputs)[1]["clip_fraction"]
        }
        got = kata.grpo_step(
            model, torch.optim.SGD(model.parameters(), lr=0.1), *inputs, clip=0.05
        )["clip_fraction"]
        check.close(
            torch.tensor(got),
            share,
            unlike=wrong,
            rtol=1e-3,
            atol=1e-5,
            what="clip_fraction",
        )

    def test_dapo_weighs_every_token_alike(self, kata):
        """One mean over the counted tokens of all answers. A mean per answer makes each
        token of a long wrong answer cost less than one of a short wrong answer, so
        wrong answers grow.
        """
        model, inputs = a_step()
        expected = averaged(model, inputs, weigh="tokens")
        wrong = {
            "the mean per answer, as GRPO has it": averaged(
                model, inputs, weigh="sequences"
            ),
            "divided by G·K·(T − 1), as Dr. GRPO has it": averaged(
                model, inputs, weigh="places"
            ),
            "advantages without the std": averaged(
                model, inputs, weigh="tokens", norm=centred
            ),
        }
        got = stepped(kata, model, inputs, beta=0.3, loss="dapo")
        check.close(got, expected, unlike=wrong, rtol=1e-3, atol=1e-5, what="the step")

    def test_dr_grpo_divides_by_a_constant(self, kata):
        """The sum over counted tokens is divided by G·K·(T − 1), however many count.
        Advantages keep their size.
        """
        model, inputs = a_step()
        expected = averaged(model, inputs, weigh="places", norm=centred)
        wrong = {
            "the mean per answer, as GRPO has it": averaged(
                model, inputs, weigh="sequences", norm=centred
            ),
            (
                "divided by the number of counted tokens, which changes from batch to "
                "batch"
            ): averaged(model, inputs, weigh="tokens", norm=centred),
            "advantages are divided by the std": averaged(
                model, inputs, weigh="places"
            ),
        }
        got = stepped(kata, model, inputs, beta=0.3, loss="dr_grpo")
        check.close(got, expected, unlike=wrong, rtol=1e-3, atol=1e-5, what="the step")

    def test_old_gradients_are_forgotten(self, kata):
        """A second step begins from zero, not from what the first one left in .grad."""
        model, inputs = a_step()
        expected = torch.autograd.grad(by_hand(model, *inputs)[0], model.table.weight)[
            0
        ]
        model.table.weight.grad = torch.ones(5, 5)
        unlike = {"the old gradients are not cleared": expected + 1}
        check.close(
            stepped(kata, model, inputs),
            expected,
            rtol=1e-3,
            atol=1e-5,
            unlike=unlike,
            what="the step",
        )

    def test_trained(self, kata):
        """60 steps on 8 actions with rewards 0 to 1. A small beta lets the reward rise
        by 0.2 or more; a large one pays less KL.
        """
        payoff, found = torch.linspace(0, 1, 8), {}
        ref = torch.full((8,), 1 / 8).log()
        for beta in (0.1, 3.0):
            model, draws = Table(9), torch.Generator().manual_seed(0)
            with torch.no_grad():
                # token 8 is the prompt, the others are actions
                model.table.weight[8, :8] = 0.0
                model.table.weight[8, 8] = -1e4
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
            for _ in range(60):
                logits = model.table.weight.detach()[8]
                actions = torch.multinomial(
                    logits.softmax(0).expand(8, -1),
                    8,
                    replacement=True,
                    generator=draws,
                )
                tokens = torch.stack([torch.full((64,), 8), actions.flatten()], dim=1)
                mask = torch.tensor([False, True]).expand(64, 2)
                old = logits.log_softmax(0)[actions.flatten()][:, None]
                inputs = (
                    tokens,
                    mask,
                    old,
                    ref[actions.flatten()][:, None],
                    payoff[actions],
                )
                kata.grpo_step(model, optimizer, *inputs, beta=beta)
            logp = model.table.weight.detach()[8, :8].log_softmax(0)
            found[beta] = (
                (logp.exp() * payoff).sum().item(),
                (logp.exp() * (logp - ref)).sum().item(),
            )
        reward, kl = found[0.1]
        check.that(
            reward > 0.7,
            "the mean reward should rise from 0.50 by 0.2 or more, and is "
            f"{reward:.2f}",
        )
        check.that(
            kl > found[3.0][1],
            f"the KL is {kl:.2f} at beta 0.1 and {found[3.0][1]:.2f} at 3: more, not "
            "less",
        )

    @pytest.mark.edge
    def test_an_empty_answer_adds_nothing(self, kata):
        """0 / 0 would make the loss NaN, and perhaps the whole step."""
        model, (tokens, mask, *rest) = a_step()
        mask[1] = False
        loss = by_hand(model, tokens, mask, *rest)[0]
        expected = torch.autograd.grad(loss, model.table.weight)[0]
        check.close(
            stepped(kata, model, (tokens, mask, *rest)),
            expected,
            rtol=1e-3,
            atol=1e-5,
            what="the step",
        )
        model, _ = a_step()
        loss = by_hand(model, tokens, mask, *rest)[0].detach()
        got = kata.grpo_step(
            model, torch.optim.SGD(model.parameters(), lr=0.1), tokens, mask, *rest
        )
        check.close(
            torch.tensor(got["loss"]), loss, rtol=1e-3, atol=1e-5, what="the loss"
        )

    @pytest.mark.edge
    def test_another_loss_is_an_error(self, kata):
        """A name with a slip, such as "drgrpo", would otherwise train with one of
        the three.
        """
        model, inputs = a_step()
        with check.raises(ValueError):
            kata.grpo_step(
                model,
                torch.optim.SGD(model.parameters(), lr=0.1),
                *inputs,
                loss="drgrpo",
            )
