"""Wrong solutions of papers/21 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

COLLAPSE = "return [label for label, _ in itertools.groupby(path) if label != blank]"
START = "alpha = scores[0].where(starts, IMPOSSIBLE)"
ALPHA = "alpha = torch.stack([alpha, step, skip]).logsumexp(dim=0) + frame"
TOTAL = "total = alpha[-2:].logsumexp(dim=0)"
FORWARD = "states, may_skip = _states(target, blank)\n    scores = log_probs.clamp"
STATES = (
    "    states = [blank]\n    for label in target:\n        states += [label, blank]\n"
)
HIDDEN = "hidden = self.conv(x.permute(1, 2, 0)).relu()"
OUTPUT = "return self.output(hidden.permute(2, 0, 1)).log_softmax(dim=-1)"
PATHS = "paths = log_probs.argmax(dim=2).T.tolist()  # B lists of T classes"
LOSS = "loss = F.ctc_loss(model(features), labels, lengths, target_lengths)"
JUMP = "jump = np.where(may_skip, padded[:-2], -np.inf)"

MISTAKES = [
    Mistake(
        "blanks dropped before runs are merged",
        was=COLLAPSE,
        now=(
            "return [label for label, _ in itertools.groupby(label for label in path "
            "if label != blank)]"
        ),
        caught_by="test_runs_are_merged_before_blanks_are_dropped",
        says="looks like blanks dropped before runs are merged",
    ),
    Mistake(
        "0 taken for the blank when collapsing",
        was=COLLAPSE,
        now="return [label for label, _ in itertools.groupby(path) if label]",
        caught_by="TestCollapse::test_the_blank_may_be_another_class",
        says="looks like all but the 0s",
    ),
    Mistake(
        "brute force: the best path only",
        was="return -torch.stack(scores).logsumexp(dim=0)",
        now="return -torch.stack(scores).amax(dim=0)",
        caught_by="TestCtcBruteForce::test_two_frames_by_hand",
        says="looks like the best path alone",
    ),
    Mistake(
        "brute force: no path is an error",
        was="    if not scores:\n        return log_probs.new_tensor(math.inf)\n",
        now="",
        caught_by="test_a_target_that_no_path_stands_for_has_an_infinite_loss",
        says="raised RuntimeError: stack expects a non-empty TensorList",
        edge=True,
    ),
    Mistake(
        "skips over the blank between equal labels",
        was=FORWARD,
        now=FORWARD.replace(
            "\n",
            "\n    may_skip = [s >= 2 and c != blank for s, c in enumerate(states)]\n",
        ),
        caught_by="test_equal_neighbours_need_a_blank_between",
        says="looks like a skip over the blank between equal labels, too",
    ),
    Mistake(
        "no skips",
        was="alpha = torch.stack([alpha, step, skip])",
        now="alpha = torch.stack([alpha, step])",
        caught_by="TestCtcForward::test_equals_the_sum_over_all_paths",
        says="looks like no skips at all",
    ),
    Mistake(
        "the answer from the last state only",
        was=TOTAL,
        now="total = alpha[-1]",
        caught_by="TestCtcForward::test_two_frames_by_hand",
        says="looks like the last state only: paths have to end with a blank",
    ),
    Mistake(
        "start in any state",
        was=START,
        now="alpha = scores[0]",
        caught_by="TestCtcForward::test_two_frames_by_hand",
        says="looks like the path of two blanks counted, too",
    ),
    Mistake(
        "start with a blank only",
        was="starts = torch.arange(len(states), device=scores.device) < 2",
        now="starts = torch.arange(len(states), device=scores.device) < 1",
        caught_by="TestCtcForward::test_two_frames_by_hand",
        says="looks like paths that have to start with a blank",
    ),
    Mistake(
        "blank hard-coded as 0",
        was=STATES,
        now=STATES.replace("blank", "0"),
        caught_by="TestCtcForward::test_equals_the_sum_over_all_paths",
        says="looks like class 0 taken for the blank",
    ),
    Mistake(
        "−inf for what is impossible",
        was="IMPOSSIBLE = -1e30 ",
        now="IMPOSSIBLE = -math.inf ",
        caught_by="test_gradients_are_not_nan",
        says="but its derivative is exp(−inf − (−inf)), which is NaN",
    ),
    Mistake(
        "infinite: perhaps probabilities added without logsumexp",
        was=f"        {ALPHA}\n    {TOTAL}",
        now=(
            f"        {ALPHA.replace('logsumexp(dim=0)', 'exp().sum(dim=0).log()')}\n"
            f"    {TOTAL}"
        ),
        caught_by="TestCtcForward::test_200_frames_at_minus_50_stay_finite",
        says="not finite 1 of 1 values, first at []: inf",
    ),
    Mistake(
        "1e30 for a target that does not fit",
        was="return torch.where(total < IMPOSSIBLE / 2, math.inf, -total)",
        now="return -total",
        caught_by="test_a_target_that_does_not_fit_has_an_infinite_loss",
        says="expected inf",
        edge=True,
    ),
    Mistake(
        "NumPy: skips everywhere",
        was=JUMP,
        now="jump = padded[:-2]",
        caught_by="TestCtcForwardNumpy::test_equals_the_sum_over_all_paths",
        says="looks like a skip from blank to blank, too",
    ),
    Mistake(
        "padding decoded",
        was="collapse(path[:length], blank)\n        for",
        now="collapse(path, blank) for",
        caught_by="test_frames_past_the_length_are_ignored",
        says="looks like all T frames",
    ),
    Mistake(
        "decoding per frame, not per utterance",
        was=PATHS,
        now="paths = log_probs.argmax(dim=2).tolist()[: len(lengths)]",
        caught_by="test_each_utterance_has_its_own_labels",
        says="looks like rows of the first three frames taken for utterances",
    ),
    Mistake(
        "softmax over time",
        was=".log_softmax(dim=-1)",
        now=".log_softmax(dim=0)",
        caught_by="test_each_frame_is_judged_by_five_frames",
        says="looks like a softmax over time",
    ),
    Mistake(
        "convolution along the batch",
        was=f"{HIDDEN}  # (B, H, T)\n        {OUTPUT}",
        now=(
            f"{HIDDEN.replace('1, 2, 0', '0, 2, 1')}\n"
            f"        {OUTPUT.replace('2, 0, 1', '0, 2, 1')}"
        ),
        caught_by="test_each_frame_is_judged_by_five_frames",
        says="looks like a convolution along the batch",
    ),
    Mistake(
        "no relu",
        was="hidden = self.conv(x.permute(1, 2, 0)).relu()",
        now="hidden = self.conv(x.permute(1, 2, 0))",
        caught_by="test_each_frame_is_judged_by_five_frames",
        says="looks like no relu",
    ),
    Mistake(
        "(B, T, C) handed to F.ctc_loss",
        was=LOSS,
        now=LOSS.replace("model(features)", "model(features).transpose(0, 1)"),
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="input_lengths must be of size batch_size",
    ),
    Mistake(
        "frame lengths and target lengths exchanged",
        was="lengths, target_lengths)",
        now="target_lengths, lengths)",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="size 114 at dimension 0, but got size 20 for argument #2 'targets'",
    ),
    Mistake(
        "padding scored",
        was=LOSS,
        now=LOSS.replace(" lengths,", " torch.full_like(lengths, len(features)),"),
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like padding scored",
    ),
    Mistake(
        "zero_grad forgotten",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "training mode not set",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="return -torch.logsumexp(torch.stack(scores), dim=0)",
        now="return -torch.logsumexp(torch.stack(scores), dim=-1)",
        reason="one dimension",
        textbook=True,
    ),
    Equivalent(
        was="[s >= 2 and states[s] != states[s - 2] for s in range(len(states))]",
        now="[s > 2 and states[s] != states[s - 2] for s in range(len(states))]",
        reason="state 2 is a blank, as state 0 is",
        textbook=True,
    ),
    Equivalent(
        was="[s >= 2 and states[s] != states[s - 2] for s in range(len(states))]",
        now="[s >= 3 and states[s] != states[s - 2] for s in range(len(states))]",
        reason="state 2 is a blank, as state 0 is",
        textbook=True,
    ),
    Equivalent(
        was="if s >= 2 and label != states[s - 2]:",
        now="if s > 2 and label != states[s - 2]:",
        reason="state 2 is a blank, as state 0 is",
        textbook=True,
    ),
    Equivalent(
        was="if s >= 2 and label != states[s - 2]:",
        now="if s >= 3 and label != states[s - 2]:",
        reason="state 2 is a blank, as state 0 is",
        textbook=True,
    ),
    Equivalent(
        was="[s >= 2 and states[s] != states[s - 2] for s in range(len(states))]",
        now="[s >= 1 and states[s] != states[s - 2] for s in range(len(states))]",
        reason="nothing lies two states before state 1",
        textbook=True,
    ),
]
