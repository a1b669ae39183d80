"""Wrong solutions of papers/24 that its specs must catch."""

from grader.course.mistakes import Mistake

SUM = "return (values * torch.exp2(-lengths.to(values.dtype))).sum()"
SUM_NUMPY = "return float(np.sum(values * np.exp2(-lengths)))"
CHANCE = "chance = policy(bits[:t])"
TOTAL = """return complexity_weighted_sum(
        torch.tensor(values, dtype=torch.float64), torch.tensor(lengths)
    ).item()"""
FITS = "if all(pattern[t % n] == bit for t, bit in enumerate(history)):"
WEIGHT = "+= 2.0 ** -description_length(pattern)"
READ = "states, _ = self.gru(F.pad(seen, (0, 0, 1, 0)))"
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"

MISTAKES = [
    Mistake(
        "weights 2^+length",
        was=SUM,
        now=SUM.replace("-lengths", "lengths"),
        caught_by=(
            "TestComplexityWeightedSum::test_each_bit_of_length_halves_the_weight"
        ),
        says="looks like weights 2^+length",
    ),
    Mistake(
        "weights in the dtype of integer lengths",
        was=SUM,
        now="return (values * torch.exp2(-lengths.float()).to(lengths.dtype)).sum()",
        caught_by="TestComplexityWeightedSum::test_lengths_may_be_integers",
        says="looks like 0: an integer power cannot be a fraction",
    ),
    Mistake(
        "a weighted mean",
        was=SUM,
        now=(
            "weights = torch.exp2(-lengths.to(values.dtype))\n"
            "    return (values * weights).sum() / weights.sum()"
        ),
        caught_by="test_the_weights_of_all_patterns_stay_below_one",
        says="looks like weights that were made to add up to 1",
    ),
    Mistake(
        "NumPy: weights e^-length",
        was=SUM_NUMPY,
        now=SUM_NUMPY.replace("exp2", "exp"),
        caught_by=(
            "TestComplexityWeightedSumNumpy::test_each_bit_of_length_halves_the_weight"
        ),
        says="looks like weights e^-length",
    ),
    Mistake(
        "the current bit in the history",
        was=CHANCE,
        now="chance = policy(bits[: t + 1])",
        caught_by="test_the_policy_sees_earlier_bits_only",
        says="looks like the current bit included",
    ),
    Mistake(
        "the more probable act",
        was="total += chance if bit == 1 else 1 - chance",
        now="total += float((chance > 0.5) == (bit == 1))",
        caught_by="test_it_is_the_mean_probability_of_the_right_bit",
        says="looks like the more probable act instead of its probability",
    ),
    Mistake(
        "the probability of acting 1",
        was="total += chance if bit == 1 else 1 - chance",
        now="total += chance",
        caught_by="test_it_is_the_mean_probability_of_the_right_bit",
        says="looks like the mean probability of acting 1",
    ),
    Mistake(
        "the last bit of the pattern for ever",
        was="bits = [pattern[t % len(pattern)] for t in range(horizon)]",
        now="bits = [pattern[min(t, len(pattern) - 1)] for t in range(horizon)]",
        caught_by="test_the_pattern_repeats_past_its_end",
        says="looks like the last bit of the pattern going on for ever",
    ),
    Mistake(
        "totals divided by the weight of all worlds",
        was=TOTAL,
        now=TOTAL + " / (1 - 0.5**max_length)",
        caught_by="TestUniversalIntelligence::test_two_lengths_by_hand",
        says="looks like weights that were made to add up to 1",
    ),
    Mistake(
        "2^-n per pattern",
        was="lengths = [description_length(pattern) for pattern in patterns]",
        now="lengths = [len(pattern) for pattern in patterns]",
        caught_by="TestUniversalIntelligence::test_two_lengths_by_hand",
        says="looks like weights 2^-n instead of 2^-2n",
    ),
    Mistake(
        "the mixture goes by the last bit",
        was=FITS,
        now="if not history or pattern[(ahead - 1) % n] == history[-1]:",
        caught_by="test_the_whole_history_has_to_fit",
        says="looks like patterns that match only the last bit",
    ),
    Mistake(
        "the mixture counts patterns",
        was=WEIGHT,
        now="+= 1.0",
        caught_by="test_simple_patterns_count_more",
        says="looks like all patterns that fit counted the same",
    ),
    Mistake(
        "the mixture weighs by 2^-n",
        was=WEIGHT,
        now="+= 2.0**-n",
        caught_by="test_simple_patterns_count_more",
        says="looks like weights 2^-n instead of 2^-2n",
    ),
    Mistake(
        "bits not shifted",
        was=READ,
        now="states, _ = self.gru(F.one_hot(bits, 2).to(self.output.weight.dtype))",
        caught_by="test_logits_are_those_of_a_gru_on_shifted_bits",
        says="looks like an input that is not shifted",
    ),
    Mistake(
        "reward minimised",
        was="(-reward).backward()",
        now="reward.backward()",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like reward minimised",
    ),
    Mistake(
        "losses returned",
        was="rewards.append(reward.item())",
        now="rewards.append(-reward.item())",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the loss, which is minus the reward",
    ),
    Mistake(
        "no clipping",
        was=CLIP,
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "short gradients stretched",
        was=CLIP,
        now="        norm = nn.utils.clip_grad_norm_(model.parameters(), "
        "max_norm=1.0)\n"
        "        for parameter in model.parameters():\n"
        "            parameter.grad /= norm.clamp(max=1.0)\n",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like short gradients scaled, too",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    # edges
    Mistake(
        "weights in float32",
        was=SUM,
        now="return (values * 2.0**-lengths).sum()",
        caught_by="TestComplexityWeightedSum::test_has_the_dtype_of_the_values",
        says="float16",
        edge=True,
    ),
    Mistake(
        "one history for all steps",
        was=CHANCE,
        now=(
            "history = bits[:t] if t == 0 else history + bits[t - 1 : t]\n"
            "        chance = policy(history)"
        ),
        caught_by="test_the_policy_may_alter_its_history",
        says="looks like the same list in every step, which the policy has cleared",
        edge=True,
    ),
    Mistake(
        "0/0 when nothing fits",
        was="return weights[1] / sum(weights) if any(weights) else 0.5",
        now="return weights[1] / sum(weights)",
        caught_by="test_what_cannot_be_explained_is_a_coin",
        says="ZeroDivisionError",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n    rewards",
        now="    rewards",
        caught_by="TestTrainPolicy::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

UNASKED = {"complexity_weighted_sum: lengths, never negative": "bits"}
