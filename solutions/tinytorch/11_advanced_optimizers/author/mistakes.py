"""Wrong solutions of tinytorch/11 that its specs must catch."""

from grader.course.mistakes import Mistake

VELOCITY = (
    "                v += p.grad + self.weight_decay * p.data\n"
    "                p.data -= self.lr * v\n"
)
SQUARE = "            square = self.v[i] / (1 - b2 ** self.steps[i])\n"
UPDATE = "            p.data -= self.lr * mean / (np.sqrt(square) + self.eps)\n"
V_ZEROS = "        self.v = [np.zeros_like(p.data) for p in self.params]\n"
WANTED = (
    "    wanted[kept, numbers[kept]] += 1 - label_smoothing\n    wanted[~kept] = 0\n"
)
RULE = '(grad * (node.saved["probs"] * kept - wanted) / kept.sum(),)'
PRECISION = (
    "precision, recall = _share(right, cm.sum(axis=0)), _share(right, cm.sum(axis=1))"
)
RIGHT = """            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += accuracy(logits, y) * len(y)
            count += len(y)
"""
VALIDATION = "            found = evaluate_classifier(model, val_loader)\n"

MISTAKES = [
    # SGDMomentum
    Mistake(
        "Adam's (1 − μ) in the velocity",
        was=VELOCITY,
        now=VELOCITY.replace("v += ", "v += (1 - self.momentum) * (").replace(
            "p.data\n", "p.data)\n", 1
        ),
        caught_by="TestSGDMomentum::test_two_steps_by_hand",
        says="looks like (1 − μ) · gradient in the velocity",
    ),
    Mistake(
        "Nesterov's momentum",
        was=VELOCITY,
        now=VELOCITY.replace("self.lr * v", "self.lr * (p.grad + self.momentum * v)"),
        caught_by="TestSGDMomentum::test_two_steps_by_hand",
        says="looks like Nesterov's momentum",
    ),
    Mistake(
        "lr inside the velocity",
        was=VELOCITY,
        now=(
            "                v += self.lr * (p.grad + self.weight_decay * p.data)\n"
            "                p.data -= v\n"
        ),
        caught_by="TestSGDMomentum::test_a_changed_learning_rate_takes_effect_at_once",
        says="looks like lr inside the velocity",
    ),
    Mistake(
        "decay beside the velocity",
        was=VELOCITY,
        now=(
            "                v += p.grad\n"
            "                p.data -= self.lr * (v + self.weight_decay * p.data)\n"
        ),
        caught_by="TestSGDMomentum::test_ten_steps_with_decay_equal_those_of_torch",
        says="looks like decay beside the velocity",
    ),
    # Adam
    Mistake(
        "no bias correction",
        was="            mean = self.m[i] / (1 - b1 ** self.steps[i])\n" + SQUARE,
        now="            mean, square = self.m[i], self.v[i]\n",
        caught_by="test_the_first_step_is_lr_in_every_element",
        says="looks like no bias correction",
    ),
    Mistake(
        "v is not corrected",
        was=SQUARE,
        now="            square = self.v[i]\n",
        caught_by="test_the_first_step_is_lr_in_every_element",
        says="looks like no bias correction of v",
    ),
    Mistake(
        "eps under the root",
        was=UPDATE,
        now=UPDATE.replace("np.sqrt(square) + self.eps", "np.sqrt(square + self.eps)"),
        caught_by="test_eps_is_added_after_the_root",
        says="looks like eps under the root",
    ),
    Mistake(
        "NaN: perhaps m and v are one shared list",
        was=V_ZEROS,
        now="        self.v = self.m\n",
        caught_by="test_twenty_steps_equal_those_of_torch",
        says="values are NaN",
    ),
    Mistake(
        "v in float64 for float32 parameters",
        was=V_ZEROS,
        now="        self.v = [np.zeros(p.shape) for p in self.params]\n",
        caught_by="TestAdam::test_starts_with_zeros",
        says="v of a parameter of shape (3,)",
    ),
    Mistake(
        "AdamW's decay",
        was="            grad = p.grad + self.weight_decay * p.data\n",
        now=(
            "            grad = p.grad\n"
            "            p.data -= self.lr * self.weight_decay * p.data\n"
        ),
        caught_by="test_twenty_steps_equal_those_of_torch",
        says="looks like AdamW: decay beside the gradient",
    ),
    Mistake(
        "one counter for all parameters",
        was=(
            "            if p.grad is None:\n                continue\n"
            "            self.steps[i] += 1\n"
        ),
        now=(
            "            self.steps[i] += 1\n            if p.grad is None:\n"
            "                continue\n"
        ),
        caught_by="test_a_late_gradient_starts_at_its_own_step_one",
        says="looks like steps without a gradient were counted",
        edge=True,
    ),
    # fused_cross_entropy
    Mistake(
        "smoothing applied to the loss",
        was=WANTED,
        now=(
            "    wanted[:] = 0\n    wanted[kept, numbers[kept]] = 1 - label_smoothing\n"
        ),
        caught_by="test_the_smoothed_share_is_spread_over_all_classes",
        says="looks like smoothing applied to the loss",
    ),
    Mistake(
        "smoothing over the other classes",
        was="label_smoothing / classes)\n" + WANTED,
        now=(
            "label_smoothing / (classes - 1))\n"
            "    wanted[kept, numbers[kept]] = 1 - label_smoothing\n"
            "    wanted[~kept] = 0\n"
        ),
        caught_by="test_the_smoothed_share_is_spread_over_all_classes",
        says="looks like spread over the other classes only",
    ),
    Mistake(
        "the mean over all rows",
        was="    loss = -(wanted * log_probs).sum() / kept.sum()\n",
        now="    loss = -(wanted * log_probs).sum() / len(numbers)\n",
        caught_by="test_ignored_rows_do_not_count",
        says="looks like divided by all rows",
    ),
    Mistake(
        "nothing subtracted before exp",
        was="    shifted = logits.data - logits.data.max(axis=1, keepdims=True)\n",
        now="    shifted = logits.data\n",
        caught_by="TestFusedCrossEntropy::test_large_logits",
        says="looks like exp of the logits as they are",
    ),
    Mistake(
        "made of Tensor operations",
        was="    return record(\n        Tensor(loss, dtype=logits.dtype),",
        now="    e = (logits - logits.data.max(axis=1, keepdims=True)).exp()\n"
        "    return -((e / e.sum(1, keepdim=True)).log() * wanted).sum() / "
        "float(kept.sum())\n"
        "    return record(\n        Tensor(loss, dtype=logits.dtype),",
        caught_by="test_one_node",
        says="the nodes are",
    ),
    # fused_cross_entropy_rule
    Mistake(
        "1/N is missing in the gradient",
        was=RULE,
        now=RULE.replace(" / kept.sum()", ""),
        caught_by="test_softmax_minus_one_hot_over_the_rows",
        says="looks like the gradient of the sum",
    ),
    Mistake(
        "ignored rows have the softmax as gradient",
        was=RULE,
        now=RULE.replace(" * kept", ""),
        caught_by="test_ignored_rows_have_no_gradient",
        says="the gradient of the ignored rows",
    ),
    Mistake(
        "the gradient from above is left out",
        was=RULE,
        now=RULE.replace("grad * ", "1 * "),
        caught_by="test_what_comes_after_the_loss_counts",
        says="looks like the gradient from above is left out",
    ),
    # metrics
    Mistake(
        "confusion transposed",
        was="(_array(targets), _array(predictions))",
        now="(_array(predictions), _array(targets))",
        caught_by="test_rows_are_true_and_columns_predicted",
        says="looks like rows predicted, columns true",
    ),
    Mistake(
        "a repeated pair counts once",
        was="    np.add.at(counts, (_array(targets), _array(predictions)), 1)\n",
        now="    counts[_array(targets), _array(predictions)] += 1\n",
        caught_by="test_rows_are_true_and_columns_predicted",
        says="looks like a pair that occurs twice counts once",
    ),
    Mistake(
        "precision and recall exchanged",
        was=PRECISION,
        now=PRECISION.replace("precision, recall", "recall, precision"),
        caught_by="test_precision_and_recall",
        says="looks like the recall",
    ),
    # training
    Mistake(
        "the mean of batch accuracies",
        was='"accuracy": right / count}',
        now='"accuracy": float(np.mean([accuracy(model(x), y) for x, y in loader]))}',
        caught_by="TestEvaluateClassifier::test_batches_count_by_their_samples",
        says="looks like the mean of the batch means",
    ),
    Mistake(
        "train metrics from a second pass",
        was=RIGHT,
        now=RIGHT.replace("accuracy(logits, y)", "accuracy(model(x), y)"),
        caught_by="test_history_of_the_forward_passes",
        says="looks like a second pass for the metrics",
    ),
    Mistake(
        "the model is left in eval mode",
        was="    for _ in range(epochs):\n        model.train()\n",
        now="    for _ in range(epochs):\n",
        caught_by="test_validation_leaves_no_trace",
        says="looks like the model stays in eval mode",
    ),
]
