"""Wrong solutions of today/13 that its specs must catch."""

from grader.course.mistakes import Mistake

ALLOWED = """allowed = [
        _after(automaton, state, token) is not None if token else ends
        for token in vocab
    ]"""
ENDS = "ends = state in automaton.accepting"
WALK = "now = automaton.move(now, character)"
SCALED = "scaled = logits.masked_fill(~mask, -math.inf) / temperature"
PROBS = "return top_p_filter(scaled, top_p).softmax(dim=-1)"
LAST = 'start = text.rfind(r"\\boxed{")'
NUMBER = 'number = re.fullmatch(r"[+-]?[0-9]+(,[0-9]{3})*", content.strip())'
VERDICT = 'return Decimal(number[0].replace(",", "")) == answer'
CHANCE = "return 1 - math.comb(n - c, k) / math.comb(n, k)"
SAMPLED = 'mask[row, at:end] = turn.who == "model"'
PACKED = "at = end\n    return ids, mask"
LOG_RATIO = "log_ratio = (trainer_logp - sampler_logp).detach().masked_fill(~mask, 0.0)"
PRODUCT = "log_ratio = log_ratio.sum(dim=-1, keepdim=True).expand_as(log_ratio)"
BOTH = "return masked, {ids: p / total for ids, p in plain.items()}"
TURNS = 'turns += [Turn("model", own), Turn("tool", list(tool(list(own))))]'
SEEN = "seen = [token for turn in turns for token in turn.ids] + own"
ENDED = "if own[-1] == end:\n            break"

MISTAKES = [
    Mistake(
        "only the first character walked",
        ALLOWED,
        "allowed = [_after(automaton, state, token[:1]) is not None if token else "
        "ends for token in vocab]",
        "test_what_may_follow",
        says="looks like only the first character of a token is walked",
    ),
    Mistake(
        "the end allowed in any state",
        ENDS,
        "ends = True",
        "test_what_may_follow",
        says="looks like the end is allowed in any state",
    ),
    Mistake(
        "a token must end in an accepting state",
        ALLOWED,
        "allowed = [_after(automaton, state, token) in automaton.accepting for token "
        "in vocab]",
        "test_what_may_follow",
        says="looks like a token has to end in an accepting state",
    ),
    Mistake(
        "state 0 taken for no state",
        WALK,
        "now = automaton.move(now, character) or None",
        "test_what_may_follow",
        says="looks like state 0 taken for no state",
    ),
    Mistake(
        "the mask after top-p",
        f"{SCALED}\n    {PROBS}",
        "kept = top_p_filter(logits / temperature, top_p)\n"
        "    return kept.masked_fill(~mask, -math.inf).softmax(dim=-1)",
        "test_mask_temperature_top_p",
        says="looks like the mask after top-p",
    ),
    Mistake(
        "temperature after top-p",
        f"{SCALED}\n    {PROBS}",
        "kept = top_p_filter(logits.masked_fill(~mask, -math.inf), top_p)\n"
        "    return (kept / temperature).softmax(dim=-1)",
        "test_mask_temperature_top_p",
        says="looks like temperature after top-p",
    ),
    Mistake(
        "forbidden logits set to 0",
        SCALED,
        "scaled = logits.masked_fill(~mask, 0.0) / temperature",
        "test_forbidden_tokens_get_nothing",
        says="looks like logits of forbidden tokens set to 0, a logit like any other",
    ),
    Mistake(
        "not renormalised",
        PROBS,
        "return (logits / temperature).softmax(dim=-1) * (top_p_filter(scaled, top_p) "
        "> -math.inf)",
        "test_forbidden_tokens_get_nothing",
        says="looks like not divided by what is left",
    ),
    Mistake(
        "the first box decides",
        LAST,
        'start = text.find(r"\\boxed{")',
        "test_the_last_box_counts",
        says="looks like the first box decides",
    ),
    Mistake(
        "any number in the box is paid",
        f"{NUMBER}\n    if not closed or number is None:\n        return False\n"
        f"    {VERDICT}",
        'numbers = re.findall(r"[+-]?[0-9]+", content.replace(",", ""))\n'
        "    return bool(closed) and str(answer) in numbers",
        "test_one_integer_and_nothing_else",
        says="looks like any number in the box will do",
    ),
    Mistake(
        "every comma dropped",
        NUMBER,
        'number = re.fullmatch(r"[+-]?[0-9]+", content.replace(",", "").strip())',
        "test_commas_stand_before_groups_of_three_digits",
        says="looks like every comma is dropped",
        edge=True,
    ),
    Mistake(
        "underscores and digits of all scripts",
        r"[+-]?[0-9]+",
        r"[+-]?[\d_]+",
        "test_ascii_digits_alone",
        says="what verify says of",
        edge=True,
    ),
    Mistake(
        "drawn with putting back",
        CHANCE,
        "return 1 - (1 - c / n) ** k",
        "test_three_of_five_with_two_right",
        says="looks like drawn with putting back",
    ),
    Mistake(
        "the tool's tokens count",
        SAMPLED,
        'mask[row, at:end] = turn.who != "prompt"',
        "test_a_tool_in_the_middle",
        says="looks like the tool's tokens count as the model's",
    ),
    Mistake(
        "the mask shifted to the logits",
        PACKED,
        "at = end\n"
        "    return ids, torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], "
        "dim=1)",
        "test_a_tool_in_the_middle",
        says="looks like the mask shifted to the logits",
    ),
    Mistake(
        "the mask found from the pad's id",
        SAMPLED,
        'mask[row, at:end] = (ids[row, at:end] != pad) & (turn.who == "model")',
        "test_who_wrote_it_and_not_which_id",
        says="looks like the pad's id never counts",
    ),
    Mistake(
        "a gradient through the weights",
        LOG_RATIO,
        "log_ratio = (trainer_logp - sampler_logp).masked_fill(~mask, 0.0)",
        "test_weights_are_constants",
        says="looks like a weight without detach()",
    ),
    Mistake(
        "the sampler over the trainer",
        LOG_RATIO,
        "log_ratio = (sampler_logp - trainer_logp).detach().masked_fill(~mask, 0.0)",
        "test_each_token_by_itself",
        says="looks like the sampler's probability over the trainer's",
    ),
    Mistake(
        "the tool's tokens in the product",
        LOG_RATIO,
        "log_ratio = (trainer_logp - sampler_logp).detach()",
        "test_a_weight_for_the_sequence",
        says="looks like the tool's tokens in the product",
    ),
    Mistake(
        "each ratio cut off, then multiplied",
        PRODUCT,
        "log_ratio = log_ratio.clamp(max=math.log(cap)).sum(dim=-1, "
        "keepdim=True).expand_as(log_ratio)",
        "test_a_weight_for_the_sequence",
        says="looks like each ratio cut off, then multiplied",
    ),
    Mistake(
        "NaN from outside the mask",
        f"{LOG_RATIO}\n",
        "log_ratio = (trainer_logp - sampler_logp).detach() * mask\n",
        "test_what_stands_outside_the_mask",
        says="nan",
        edge=True,
    ),
    Mistake(
        "conditioned is not divided",
        BOTH,
        "return masked, plain",
        "test_a_grammar_that_bites_late",
        says="looks like conditioned: not divided by the sum",
    ),
    Mistake(
        "the tool's ids in the model's turn",
        f"{TURNS}\n            own = []",
        "own += list(tool(list(own)))",
        "test_turns_in_order",
        says="looks like the tool's ids in the model's turn",
    ),
    Mistake(
        "the model does not see the tool",
        SEEN,
        'seen = [token for turn in turns if turn.who != "tool" for token in turn.ids] '
        "+ own",
        "test_the_model_sees_everything",
        says="looks like the model does not see the tool's answer",
    ),
    Mistake(
        "the end thrown away",
        ENDED,
        "if own[-1] == end:\n            own.pop()\n            break",
        "test_turns_in_order",
        says="looks like the end thrown away",
    ),
]
