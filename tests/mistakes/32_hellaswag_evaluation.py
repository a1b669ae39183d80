"""Wrong solutions of 32 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
SHAPES = """    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not go with targets {tuple(targets.shape)}")
"""
LOOK_UP = "return logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)"
KL = "return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)"
LOGS = "log_p, log_q = logits_p.log_softmax(dim=-1), logits_q.log_softmax(dim=-1)"
SAMPLED = "return (log_probs_p - log_probs_q).mean()"
LINES = "for number, line in enumerate(file, start=1):"
OPEN = 'with open(path, encoding="utf-8") as file:'
BLANK = """            if not line.strip():
                continue
"""
RECORD = 'example = {"ctx": item["ctx"], "endings": item["endings"], "label": int(item["label"])}'
CAUGHT = "except (ValueError, KeyError, TypeError) as error:"
NAMED = 'raise ValueError(f"{path}, line {number}: {type(error).__name__}: {error}") from error'
IN_RANGE = 'if not 0 <= example["label"] < len(example["endings"]):'
EMPTY = "if not context:"
ENCODED = 'endings = [encode(" " + ending) for ending in example["endings"]]'
LIMIT = "if block_size is not None and max(map(len, endings)) > block_size - 1:"
ROWS = "rows = [context + ending for ending in endings]"
CUT = "rows = [row[-block_size:] for row in rows]"
LONGEST = "longest = max(map(len, rows))"
TOKENS = "tokens = torch.zeros(len(rows), longest, dtype=torch.long)"
MARKED = "mask[k, len(row) - len(ending) : len(row)] = True"
RENDERED = "return tokens, mask\n"
JUDGED = "judged = mask[:, 1:]"
LOSSES = "losses = -token_log_probs(logits[:, :-1], tokens[:, 1:])"
SUMS = "sums = losses.masked_fill(~judged, 0.0).sum(dim=1)"
MEANS = "return sums, sums / judged.sum(dim=1)"
CHOICE = "return int((means if normalize else sums).argmin())"
COUNTED = 'right_by_sum += int(sums.argmin()) == example["label"]'
COUNTED_NORM = 'right_by_mean += int(means.argmin()) == example["label"]'
SHARES = 'return {"acc": right_by_sum / total, "acc_norm": right_by_mean / total, "total": total}'
NONE_AT_ALL = """    if total == 0:
        raise ValueError("there are no examples to evaluate on")
"""
MODE_BACK = "        model.train(was_training)"

MISTAKES = [
    # token_log_probs
    Mistake(
        "softmax, then log",
        LOOK_UP,
        LOOK_UP.replace("log_softmax(dim=-1)", "softmax(dim=-1).log()"),
        "test_a_hopeless_token_has_a_finite_log_probability",
    ),
    Mistake(
        "softmax over the positions",
        LOOK_UP,
        LOOK_UP.replace("log_softmax(dim=-1)", "log_softmax(dim=1)"),
        "test_each_target_is_looked_up_where_it_stands",
    ),
    Mistake(
        "logits not normalised",
        LOOK_UP,
        LOOK_UP.replace(".log_softmax(dim=-1)", ""),
        "test_each_target_is_looked_up_where_it_stands",
    ),
    Mistake(
        "shifts inside",
        LOOK_UP,
        LOOK_UP.replace("logits.log", "logits.roll(1, dims=1).log"),
        "test_each_target_is_looked_up_where_it_stands",
    ),
    Mistake(
        "cut off from the logits",
        LOOK_UP,
        LOOK_UP.replace("logits.log", "logits.detach().log"),
        "test_gradients_reach_the_logits",
    ),
    Mistake(
        "view, which wants memory without gaps",
        LOOK_UP,
        "flat = logits.view(-1, logits.size(-1)).log_softmax(dim=-1)\n"
        "    return flat.gather(-1, targets.reshape(-1, 1)).view(targets.shape)",
        "test_logits_may_lie_anywhere_in_memory",
    ),
    Mistake("shapes not looked at", SHAPES, "", "TestTokenLogProbs::test_shapes_must_agree", edge=True),
    Mistake(
        "only the number of rows looked at",
        "if logits.shape[:-1] != targets.shape:",
        "if len(logits) != len(targets):",
        "TestTokenLogProbs::test_shapes_must_agree",
        edge=True,
    ),
    # kl_divergence
    Mistake(
        "raw logits taken for log-probabilities",
        LOGS,
        "log_p, log_q = logits_p, logits_q",
        "test_equals_the_sum_over_the_vocabulary",
    ),
    Mistake(
        "q's logits not normalised",
        LOGS,
        "log_p, log_q = logits_p.log_softmax(dim=-1), logits_q",
        "test_a_constant_added_to_the_logits_changes_nothing",
    ),
    Mistake("KL(q ‖ p)", LOGS, LOGS.replace("log_p, log_q", "log_q, log_p"), "test_equals_the_sum_over_the_vocabulary"),
    Mistake(
        "the mean over V",
        KL,
        KL.replace(".sum(dim=-1)", ".mean(dim=-1)"),
        "test_equals_the_sum_over_the_vocabulary",
    ),
    Mistake(
        "0 · −inf",
        KL,
        "return (p * (log_p - log_q)).sum(dim=-1)",
        "test_a_token_that_p_never_says_counts_zero",
        edge=True,
    ),
    Mistake(
        "infinities swept away with the NaN",
        KL,
        "return (p * (log_p - log_q)).nan_to_num(0.0, posinf=0.0).sum(dim=-1)",
        "test_a_token_that_only_q_never_says_costs_everything",
    ),
    # sampled_kl
    Mistake("the sign turned", SAMPLED, "return (log_probs_q - log_probs_p).mean()", "test_tends_to_the_divergence"),
    Mistake(
        "weighted by p once more",
        SAMPLED,
        "return (log_probs_p.exp() * (log_probs_p - log_probs_q)).mean()",
        "test_tends_to_the_divergence",
    ),
    Mistake("absolute differences", SAMPLED, SAMPLED.replace(".mean", ".abs().mean"), "test_is_the_mean_difference"),
    # load_examples
    Mistake(
        "label kept as string",
        RECORD,
        RECORD.replace('int(item["label"])', 'item["label"]'),
        "test_a_label_may_be_a_number_or_digits",
    ),
    Mistake(
        "all keys kept",
        "examples.append(example)",
        "examples.append(item | example)",
        "test_other_keys_are_left_out",
    ),
    Mistake(
        "a line of spaces is no blank line",
        "if not line.strip():",
        'if line == "\\n":',
        "test_blank_lines_are_skipped",
    ),
    Mistake(
        "only lines that are not blank counted",
        LINES,
        "for number, line in enumerate((x for x in file if x.strip()), start=1):",
        "test_a_broken_line_is_named",
        edge=True,
    ),
    Mistake("lines counted from 0", LINES, LINES.replace(", start=1", ""), "test_a_broken_line_is_named", edge=True),
    Mistake(
        "the position inside the line as it came",
        NAMED,
        "raise ValueError(str(error)) from error",
        "test_a_broken_line_is_named",
        edge=True,
    ),
    Mistake(
        "a TypeError comes through", CAUGHT, CAUGHT.replace(", TypeError", ""), "test_a_broken_line_is_named", edge=True
    ),
    Mistake(
        "a KeyError comes through", CAUGHT, CAUGHT.replace("KeyError, ", ""), "test_a_broken_line_is_named", edge=True
    ),
    Mistake("read as Latin-1", OPEN, OPEN.replace("utf-8", "latin-1"), "test_texts_come_back_in_every_script"),
    Mistake(
        "cut by splitlines",
        LINES,
        LINES.replace("(file", "(file.read().splitlines()"),
        "test_texts_come_back_in_every_script",
    ),
    Mistake(
        "labels beyond the endings", IN_RANGE, 'if example["label"] < 0:', "test_a_broken_line_is_named", edge=True
    ),
    Mistake(
        "label −1 is the last ending",
        IN_RANGE,
        'if example["label"] >= len(example["endings"]):',
        "test_a_broken_line_is_named",
        edge=True,
    ),
    # render_example
    Mistake(
        "context and ending joined, then encoded",
        ROWS,
        'rows = [encode(example["ctx"] + " " + x) for x in example["endings"]]',
        "test_context_and_ending_are_encoded_apart",
    ),
    Mistake(
        "the space left with the context",
        'context = encode(example["ctx"])\n',
        'context = encode(example["ctx"]) + (space := encode(" "))\n',
        "test_the_space_belongs_to_the_ending",
    ),
    Mistake("padded with −1", TOKENS, "tokens = torch.full((len(rows), longest), -1)", "test_rows_padding_and_mask"),
    Mistake("the mask covers the context", MARKED, "mask[k, : len(row)] = True", "test_rows_padding_and_mask"),
    Mistake(
        "True where a token is not 0",
        RENDERED,
        "return tokens, mask & (tokens != 0)\n",
        "test_zero_is_a_token_like_any_other",
    ),
    Mistake(
        "truncates on the right",
        CUT,
        "rows = [row[:block_size] for row in rows]",
        "test_a_row_that_is_too_long_loses_its_beginning",
    ),
    Mistake(
        "every row loses as much as the longest",
        CUT,
        "rows = [row[max(0, max(map(len, rows)) - block_size) :] for row in rows]",
        "test_each_row_is_cut_by_itself",
    ),
    Mistake(
        "padded to the block",
        LONGEST,
        "longest = block_size or max(map(len, rows))",
        "test_what_fits_stays_whole",
    ),
    Mistake(
        "a limit one too high",
        LIMIT,
        LIMIT.replace(" - 1", ""),
        "test_an_ending_that_leaves_no_context_is_refused",
        edge=True,
    ),
    Mistake("a limit one too low", LIMIT, LIMIT.replace(" > ", " >= "), "test_one_token_of_context_is_enough"),
    Mistake("a context of nothing", EMPTY, "if False:", "test_a_context_without_tokens_is_refused", edge=True),
    # completion_losses
    Mistake(
        "shifted the wrong way",
        LOSSES,
        "losses = -token_log_probs(logits[:, 1:], tokens[:, :-1])",
        "test_sum_and_mean_by_hand",
    ),
    Mistake("mask not shifted", JUDGED, "judged = mask[:, :-1]", "test_sum_and_mean_by_hand"),
    Mistake(
        "logits not shifted",
        LOSSES,
        "losses = -token_log_probs(logits[:, 1:], tokens[:, 1:])",
        "test_sum_and_mean_by_hand",
    ),
    Mistake(
        "divided by the padded length",
        MEANS,
        "return sums, sums / mask.size(1)",
        "TestPredict::test_the_lowest_mean_wins",
    ),
    Mistake(
        "mean over the ending and the context",
        MEANS,
        "return sums, losses.mean(dim=1)",
        "test_what_judges_nothing_has_no_influence",
    ),
    Mistake("multiplied by the mask", SUMS, "sums = (losses * judged).sum(dim=1)", "test_not_even_an_infinity_has"),
    # predict
    Mistake("the largest loss", CHOICE, CHOICE.replace("argmin", "argmax"), "test_the_lowest_mean_wins"),
    Mistake(
        "normalize turned round",
        CHOICE,
        CHOICE.replace("means if normalize else sums", "sums if normalize else means"),
        "test_without_normalize_the_lowest_sum_wins",
    ),
    Mistake("a tensor", CHOICE, "return (means if normalize else sums).argmin()", "test_the_lowest_mean_wins"),
    Mistake("training mode", "    model.eval()\n", "", "test_runs_in_eval_mode_and_puts_the_mode_back"),
    Mistake(
        "left in eval mode",
        MODE_BACK,
        "        pass",
        "TestPredict::test_runs_in_eval_mode_and_puts_the_mode_back",
    ),
    Mistake(
        "only the flag of the whole put back",
        MODE_BACK,
        "        model.training = was_training",
        "TestEvaluateMultipleChoice::test_evaluates_in_eval_mode_without_gradients",
    ),
    Mistake(
        "an exception leaves eval mode",
        "    finally:\n",
        "    except ZeroDivisionError:\n        raise\n    else:\n",
        "test_an_exception_puts_the_mode_back_too",
        edge=True,
    ),
    Mistake("gradients on", "with torch.no_grad():", "with torch.enable_grad():", "test_no_gradients_are_recorded"),
    # evaluate_multiple_choice
    Mistake(
        "divided by the number of endings",
        "total += 1",
        'total += len(example["endings"])',
        "test_counts_both_ways",
    ),
    Mistake("acc by the mean as well", COUNTED, COUNTED.replace("sums", "means"), "test_counts_both_ways"),
    Mistake(
        "argmax of losses",
        COUNTED_NORM,
        COUNTED_NORM.replace("argmin", "argmax"),
        "test_a_small_gpt_answers_what_it_has_read",
    ),
    Mistake(
        "an exception leaves eval mode, in evaluate",
        "    device = next(model.parameters()).device\n",
        "    device = next(model.parameters()).device\n    was_training = model.training\n    model.eval()\n",
        "TestEvaluateMultipleChoice::test_an_exception_puts_the_mode_back_too",
        edge=True,
    ),
    Mistake(
        "context and endings cleaned up",
        'context = encode(example["ctx"])',
        'context = encode(example["ctx"].strip())',
        "test_texts_are_encoded_as_they_are",
    ),
    Mistake(
        "len of a generator",
        NONE_AT_ALL,
        NONE_AT_ALL.replace("total == 0", "len(examples) == 0"),
        "test_a_generator_will_do",
    ),
    Mistake(
        "block_size not handed on",
        "render_example(example, encode, block_size)",
        "render_example(example, encode)",
        "test_rows_are_cut_to_the_block_size",
    ),
    Mistake(
        "tokens stay on the CPU",
        "_losses(model, tokens.to(device), mask.to(device))",
        "_losses(model, tokens, mask)",
        "test_the_tokens_go_to_the_models_device",
    ),
    Mistake(
        "0 of 0 is 0",
        NONE_AT_ALL,
        '    if total == 0:\n        return {"acc": 0.0, "acc_norm": 0.0, "total": 0}\n',
        "test_no_examples_are_refused",
        edge=True,
    ),
]

WHERE = "# where p is 0: 0 · −inf would be NaN"

EQUIVALENT = [
    Equivalent(
        f"{KL}  {WHERE}",
        f"{KL.replace('0.0', '1.0')}  {WHERE}",
        "it is multiplied by a p of 0",
    ),
    Equivalent(
        f"{KL}  {WHERE}",
        f"{KL.replace('0.0', '-1.0')}  {WHERE}",
        "it is multiplied by a p of 0",
    ),
    Equivalent(OPEN, "with open(path) as file:", "UTF-8 is the default where specs are graded, on Linux"),
    Equivalent(
        "sums, means = _losses(model, tokens.to(device), mask.to(device))",
        "sums, means = _losses(model, tokens.to(device), mask)",
        "without a GPU all is in one place; with one, the gpu spec sees it",
    ),
    Equivalent("if total == 0:", "if total <= 0:", "a count is never below 0"),
]
