"""Wrong solutions of 32 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
LOOK_UP = (
    "return logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)"
)
KL = "return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)"
LOGS = "log_p, log_q = logits_p.log_softmax(dim=-1), logits_q.log_softmax(dim=-1)"
SAMPLED = "return (log_probs_p - log_probs_q).mean()"
LINES = "for number, line in enumerate(file, start=1):"
OPEN = 'with open(path, encoding="utf-8") as file:'
RECORD = """example = {
                    "ctx": item["ctx"],
                    "endings": item["endings"],
                    "label": int(item["label"]),
                }"""
ROWS = "rows = [context + ending for ending in endings]"
CUT = "rows = [row[-block_size:] for row in rows]"
MARKED = "mask[k, len(row) - len(ending) : len(row)] = True"
RENDERED = "return tokens, mask\n"
JUDGED = "judged = mask[:, 1:]"
LOSSES = "losses = -token_log_probs(logits[:, :-1], tokens[:, 1:])"
SUMS = "sums = losses.masked_fill(~judged, 0.0).sum(dim=1)"
MEANS = "return sums, sums / judged.sum(dim=1)"
CHOICE = "return int((means if normalize else sums).argmin())"
MODE_BACK = "        model.train(was_training)"

MISTAKES = [
    # token_log_probs
    Mistake(
        "logits not normalised",
        LOOK_UP,
        LOOK_UP.replace(".log_softmax(dim=-1)", ""),
        "test_each_target_is_looked_up_where_it_stands",
        says="looks like the logits themselves",
    ),
    Mistake(
        "softmax over the positions",
        LOOK_UP,
        LOOK_UP.replace("log_softmax(dim=-1)", "log_softmax(dim=1)"),
        "test_each_target_is_looked_up_where_it_stands",
        says="looks like softmax over the positions, not over the vocabulary",
    ),
    Mistake(
        "softmax, then log",
        LOOK_UP,
        LOOK_UP.replace("log_softmax(dim=-1)", "softmax(dim=-1).log()"),
        "test_a_hopeless_token_has_a_finite_log_probability",
        says="looks like log of a softmax",
        edge=True,
    ),
    # kl_divergence
    Mistake(
        "raw logits taken for log-probabilities",
        LOGS,
        "log_p, log_q = logits_p, logits_q",
        "test_equals_the_sum_over_the_vocabulary",
        says="looks like raw logits taken for log-probabilities",
    ),
    Mistake(
        "KL(q ‖ p)",
        LOGS,
        LOGS.replace("log_p, log_q", "log_q, log_p"),
        "test_equals_the_sum_over_the_vocabulary",
        says="looks like KL(q ‖ p): p and q exchanged",
    ),
    Mistake(
        "0 · −inf",
        KL,
        "return (p * (log_p - log_q)).sum(dim=-1)",
        "test_a_token_that_p_never_says_counts_zero",
        says="got nan, expected 0.693147; 2 values are NaN",
        edge=True,
    ),
    # sampled_kl
    Mistake(
        "the sign turned",
        SAMPLED,
        "return (log_probs_q - log_probs_p).mean()",
        "test_is_the_mean_difference",
        says="looks like the sign turned: log q − log p",
    ),
    Mistake(
        "weighted by p once more",
        SAMPLED,
        "return (log_probs_p.exp() * (log_probs_p - log_probs_q)).mean()",
        "test_is_the_mean_difference",
        says="looks like weighted by p once more",
    ),
    # load_examples
    Mistake(
        "label kept as string",
        RECORD,
        RECORD.replace('int(item["label"])', 'item["label"]'),
        "test_a_label_may_be_a_number_or_digits",
        says="not supported between instances of 'int' and 'str'",
    ),
    Mistake(
        "read as Latin-1",
        OPEN,
        OPEN.replace("utf-8", "latin-1"),
        "test_reads_an_example_from_each_line",
        says="got 'Ã©' expected 'é'",
    ),
    Mistake(
        "only lines that are not blank counted",
        LINES,
        "for number, line in enumerate((x for x in file if x.strip()), start=1):",
        "test_a_broken_line_is_named",
        says="line 13: JSONDecodeError",
        edge=True,
    ),
    # render_example
    Mistake(
        "the mask covers the context",
        MARKED,
        "mask[k, : len(row)] = True",
        "test_rows_padding_and_mask",
        says="looks like context counted, True wherever a token is",
    ),
    Mistake(
        "the space left with the context",
        'endings = [encode(" " + ending) for ending in example["endings"]]',
        'context = context + encode(" ")\n'
        '    endings = [encode(ending) for ending in example["endings"]]',
        "test_the_space_belongs_to_the_ending",
        says="looks like the space left with the context",
    ),
    Mistake(
        "context and ending joined, then encoded",
        ROWS,
        'rows = [encode(example["ctx"] + " " + x) for x in example["endings"]]',
        "test_context_and_ending_are_encoded_apart",
        says="looks like context and ending joined, then encoded",
    ),
    Mistake(
        "True where a token is not 0",
        RENDERED,
        "return tokens, mask & (tokens != 0)\n",
        "test_zero_is_a_token_like_any_other",
        says="looks like True only where a token is not 0",
    ),
    Mistake(
        "truncates on the right",
        CUT,
        "rows = [row[:block_size] for row in rows]",
        "test_a_row_that_is_too_long_loses_its_beginning",
        says="looks like cut off on the right",
    ),
    Mistake(
        "every row loses as much as the longest",
        CUT,
        "rows = [row[max(0, max(map(len, rows)) - block_size) :] for row in rows]",
        "test_each_row_is_cut_by_itself",
        says="looks like every row loses as much as the longest",
    ),
    # completion_losses
    Mistake(
        "shifted the wrong way",
        LOSSES,
        "losses = -token_log_probs(logits[:, 1:], tokens[:, :-1])",
        "test_sum_and_mean_by_hand",
        says="looks like shifted the wrong way: logits at t score token t − 1",
    ),
    Mistake(
        "mask not shifted",
        JUDGED,
        "judged = mask[:, :-1]",
        "test_sum_and_mean_by_hand",
        says="looks like mask not shifted: the ending begins one token late",
    ),
    Mistake(
        "logits not shifted",
        LOSSES,
        "losses = -token_log_probs(logits[:, 1:], tokens[:, 1:])",
        "test_sum_and_mean_by_hand",
        says="looks like logits not shifted: token t scored by the logits at t",
    ),
    Mistake(
        "divided by the padded length",
        MEANS,
        "return sums, sums / mask.size(1)",
        "test_sum_and_mean_by_hand",
        says="looks like mean over all positions",
    ),
    Mistake(
        "multiplied by the mask",
        SUMS,
        "sums = (losses * judged).sum(dim=1)",
        "test_not_even_an_infinity_has",
        says="got nan, expected 4.32259",
        edge=True,
    ),
    # predict, evaluate_multiple_choice
    Mistake(
        "the largest loss",
        CHOICE,
        CHOICE.replace("argmin", "argmax"),
        "test_the_lowest_mean_wins",
        says="looks like the largest mean",
    ),
    Mistake(
        "left in eval mode",
        MODE_BACK,
        "        pass",
        "TestPredict::test_the_mode_is_put_back",
        says="model.training after the call",
        edge=True,
    ),
    Mistake(
        "divided by the number of endings",
        "total += 1",
        'total += len(example["endings"])',
        "test_counts_both_ways",
        says="looks like divided by the number of endings",
    ),
]


EQUIVALENT = [
    Equivalent(
        "return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)",
        "return (p * torch.where(p > 0, log_p - log_q, 1.0)).sum(dim=-1)",
        "it is multiplied by a p of 0",
    ),
    Equivalent(
        "return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)",
        "return (p * torch.where(p > 0, log_p - log_q, -1.0)).sum(dim=-1)",
        "it is multiplied by a p of 0",
    ),
    Equivalent(
        OPEN,
        "with open(path) as file:",
        "UTF-8 is the default where specs are graded, on Linux",
    ),
    Equivalent(
        "sums, means = _losses(model, tokens.to(device), mask.to(device))",
        "sums, means = _losses(model, tokens.to(device), mask)",
        "without a GPU all is in one place; with one, the gpu spec sees it",
    ),
    Equivalent("if total == 0:", "if total <= 0:", "a count is never below 0"),
]
