"""Wrong solutions of 27 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
LOWEST_KEPT = "lowest_kept = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]"
KEEP_K = "return logits.masked_fill(logits < lowest_kept, -math.inf)"
REACHED = "reached_before = probabilities.cumsum(dim=-1) - probabilities  # without the token itself: 0 for the first"
DROPPED = (
    "dropped = (reached_before >= p).gather(-1, order.argsort(dim=-1))  # back from sorted order to that of the ids"
)
KEEP_P = "return logits.masked_fill(dropped, -math.inf)"
ALL_OF_IT = "    if p == 1:\n        return logits  # rounding may bring a sum to 1 before the last token\n"
BEST = "    if temperature == 0:\n        return logits.argmax(dim=-1, keepdim=True)\n"
TEMPERATURE = "    logits = logits.float() / temperature\n"
K_STEP = "    if top_k is not None:\n        logits = top_k_filter(logits, top_k)\n"
P_STEP = "    if top_p is not None:\n        logits = top_p_filter(logits, top_p)\n"
DRAW = "return torch.multinomial(logits.softmax(dim=-1), num_samples=1, generator=generator)"
WINDOW = "model(out[:, -model.config.block_size :])"
WITH_CACHE = "if cache is None or out.size(1) > model.config.block_size:"
NEXT = "token = sample_next(logits[:, -1], temperature, top_k, top_p, generator)"
DONE = "done = done | (token == stop_token)"
APPEND = "out = torch.cat([out, token], dim=1)"
START = "out = idx.clone()"
LOOP_START = """    try:
        with torch.no_grad():
            out = idx.clone()"""
LOOP_END = """    finally:
        model.train(was_training)"""
BATCH = "idx = torch.tensor(ids, device=device).repeat(num_samples, 1)"
TEXT = "texts.append(prompt + decode(new))"

DEVICE = [
    Mistake(
        "asked when the module is loaded",
        "def pick_device(preference: str | None = None) -> torch.device:",
        'BEST = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n\n\n'
        "def pick_device(preference: str | None = None) -> torch.device:\n"
        "    return BEST if preference is None else torch.device(preference)\n\n\n"
        "def _pick_device(preference: str | None = None) -> torch.device:",
        "test_takes_the_best_device_there_is",
    ),
    Mistake(
        "mps forgotten",
        '"mps" if torch.backends.mps.is_available() else "cpu"',
        '"cpu"',
        "test_takes_the_best_device_there_is",
    ),
    Mistake(
        "a wish is only granted if it is there",
        "if preference is not None:",
        "if preference is not None and (preference[:4] != 'cuda' or torch.cuda.is_available()):",
        "test_a_wish_wins",
    ),
    Mistake(
        "index lost",
        "        return torch.device(preference)\n",
        '        return torch.device(preference.split(":")[0])\n',
        "test_a_wish_keeps_its_index",
    ),
]

TOP_K = [
    Mistake(
        "k-th largest removed as well",
        "logits < lowest_kept",
        "logits <= lowest_kept",
        "test_ties_do_not_lose_tokens",
    ),
    Mistake(
        "threshold from the whole batch",
        LOWEST_KEPT,
        "lowest_kept = logits.flatten().topk(min(k, logits.size(-1))).values[-1]",
        "test_every_row_has_a_limit_of_its_own",
    ),
    Mistake(
        "k above V not caught",
        "topk(min(k, logits.size(-1)), dim=-1)",
        "topk(k, dim=-1)",
        "test_k_may_be_all_or_more",
    ),
    Mistake(
        "written into the input",
        KEEP_K,
        "return logits.masked_fill_(logits < lowest_kept, -math.inf)",
        "TestTopKFilter::test_the_input_stays_as_it_is",
    ),
    Mistake(
        "float32 returned",
        KEEP_K,
        "return logits.float().masked_fill(logits < lowest_kept, -math.inf)",
        "TestTopKFilter::test_the_dtype_is_kept",
    ),
]

TOP_P = [
    Mistake(
        "mask not scattered back",
        DROPPED,
        "dropped = reached_before >= p",
        "test_the_smallest_set_that_reaches_p",
    ),
    Mistake(
        "the crossing token removed",
        REACHED,
        "reached_before = probabilities.cumsum(dim=-1)",
        "test_the_crossing_token_stays",
    ),
    Mistake(
        "each token judged by itself",
        DROPPED,
        "dropped = logits.softmax(dim=-1) < p",
        "test_the_smallest_set_that_reaches_p",
    ),
    Mistake(
        "one set for the whole batch",
        KEEP_P,
        "return logits.masked_fill(dropped.reshape(-1, dropped.size(-1))[0], -math.inf)",
        "test_every_row_has_a_set_of_its_own",
    ),
    Mistake(
        "written into the input",
        KEEP_P,
        "return logits.masked_fill_(dropped, -math.inf)",
        "TestTopPFilter::test_the_input_stays_as_it_is",
    ),
]

SAMPLE = [
    Mistake(
        "logits times temperature",
        "logits.float() / temperature",
        "logits.float() * temperature",
        "test_frequencies_follow_the_temperature",
    ),
    Mistake(
        "multinomial of logits",
        "logits.softmax(dim=-1), num_samples",
        "logits, num_samples",
        "test_frequencies_follow_the_temperature",
    ),
    Mistake(
        "filters before the temperature",
        TEMPERATURE + K_STEP + P_STEP,
        "    logits = logits.float()\n" + K_STEP + P_STEP + "    logits = logits / temperature\n",
        "test_first_temperature_then_k_then_p",
    ),
    Mistake("temperature 0 divides", BEST, "", "test_temperature_0_takes_the_best"),
    Mistake(
        "a tiny temperature in place of 0",
        BEST,
        "    temperature = max(temperature, 1e-6)\n",
        "test_temperature_0_is_not_a_tiny_temperature",
    ),
    Mistake(
        "generator ignored",
        "num_samples=1, generator=generator",
        "num_samples=1",
        "test_a_generator_decides_alone",
    ),
    Mistake(
        "one draw for all rows",
        DRAW,
        "return torch.multinomial(logits[:1].softmax(dim=-1), 1, generator=generator).expand(len(logits), 1)",
        "test_one_id_for_every_row",
    ),
    Mistake("divided in place", TEMPERATURE, "    logits /= temperature\n", "test_a_slice_is_read_and_left_alone"),
]

GENERATE = [
    Mistake(
        "logits of position 0",
        "sample_next(logits[:, -1],",
        "sample_next(logits[:, 0],",
        "test_each_row_goes_on_with_its_own_next_tokens",
    ),
    Mistake(
        "appended to the front",
        APPEND,
        "out = torch.cat([token, out], dim=1)",
        "test_each_row_goes_on_with_its_own_next_tokens",
    ),
    Mistake(
        "the first tokens of the window",
        WINDOW,
        "model(out[:, : model.config.block_size])",
        "test_the_window_is_the_last_block",
    ),
    Mistake("no crop", WINDOW, "model(out)", "test_the_window_is_the_last_block"),
    Mistake(
        "temperature not handed on",
        NEXT,
        "token = sample_next(logits[:, -1], 1.0, top_k, top_p, generator)",
        "test_the_controls_reach_every_draw",
    ),
    Mistake(
        "generator not handed on",
        NEXT,
        "token = sample_next(logits[:, -1], temperature, top_k, top_p)",
        "test_the_same_seed_writes_the_same_text",
    ),
    Mistake(
        "the same seed in every step",
        NEXT,
        "same = None if generator is None else torch.Generator().manual_seed(generator.initial_seed())\n"
        "                token = sample_next(logits[:, -1], temperature, top_k, top_p, same)",
        "test_every_token_is_a_fresh_draw",
    ),
    Mistake("model.eval() never undone", LOOP_END, "    finally:\n        pass", "test_modes_are_put_back"),
    Mistake("training mode left on", "    model.eval()\n", "", "test_runs_in_eval_mode_without_gradients"),
    Mistake(
        "with gradients",
        "with torch.no_grad():",
        "with torch.enable_grad():",
        "test_runs_in_eval_mode_without_gradients",
    ),
    Mistake(
        "the loop ends when any row stops",
        "if done.all():",
        "if done.any():",
        "test_a_row_that_has_stopped_is_filled_up",
    ),
    Mistake(
        "the prompt's stop token counts",
        DONE,
        "done = (out == stop_token).any(dim=1, keepdim=True) | (token == stop_token)",
        "test_a_stop_token_in_the_prompt_does_not_count",
    ),
    Mistake("token 0 never stops", "if stop_token is not None:", "if stop_token:", "test_token_0_can_stop"),
    Mistake("the cache slides on", WITH_CACHE, "if cache is None:", "test_more_tokens_than_the_block_holds"),
    Mistake(
        "the prompt twice: cache filled, but everything fed again",
        "model(out if step == 0 else out[:, -1:], cache=cache)",
        "model(out, cache=new_cache(model))",
        "test_the_cache_saves_work",
    ),
    Mistake(
        "the cache as second argument",
        "out[:, -1:], cache=cache)",
        "out[:, -1:], None, cache)",
        "test_the_calling_rule",
    ),
    Mistake(
        "one cache for all calls",
        "cache = new_cache(model) if use_cache else None",
        'cache = vars(model).setdefault("_cache", new_cache(model)) if use_cache else None',
        "test_a_new_text_starts_with_an_empty_cache",
    ),
]

TEXTS = [
    Mistake(
        "one long row of repeated prompts",
        "repeat(num_samples, 1)",
        "repeat(1, num_samples)",
        "test_one_batch_does_it",
    ),
    Mistake(
        "the prompt's ids decoded too",
        TEXT,
        "texts.append(decode(ids + new))",
        "test_the_prompt_comes_back_as_it_was_given",
    ),
    Mistake(
        "the stop token stays",
        "new[: new.index(stop_token)]",
        "new[: new.index(stop_token) + 1]",
        "test_the_text_ends_before_the_stop_token",
    ),
    Mistake(
        "cut at a stop token in the prompt",
        TEXT,
        "whole = ids + new\n"
        "        texts.append(decode(whole[: whole.index(stop_token)] if stop_token in whole else whole))",
        "test_a_stop_token_in_the_prompt_cuts_nothing",
    ),
    Mistake(
        "options not passed on",
        "stop_token=stop_token, **sampling)",
        "stop_token=stop_token)",
        "test_the_sampling_options_are_passed_on",
    ),
    Mistake(
        "tensors decoded",
        TEXT,
        "texts.append(prompt + decode(torch.tensor(new)))",
        "test_decode_gets_a_list_of_plain_ints",
    ),
    Mistake(
        "the prompt stays on the CPU",
        BATCH,
        "idx = torch.tensor(ids).repeat(num_samples, 1)",
        "test_the_prompt_goes_to_the_models_device",
    ),
]

CACHE = [
    Mistake("keys without values", "2 * math.prod(factors)", "math.prod(factors)", "test_gpt2_at_its_full_length"),
    Mistake("floats only", "dtype.itemsize", "torch.finfo(dtype).bits // 8", "test_the_dtype_sets_the_bytes"),
    Mistake(
        "divided in floats",
        "return budget_bytes // kv_cache_bytes(n_layer, n_kv_head, head_dim, 1, batch_size, dtype)",
        "return int(budget_bytes / kv_cache_bytes(n_layer, n_kv_head, head_dim, 1, batch_size, dtype))",
        "test_exact_for_large_budgets",
    ),
]

MISTAKES = DEVICE + TOP_K + TOP_P + SAMPLE + GENERATE + TEXTS + CACHE

EQUIVALENT = [
    Equivalent(
        "lowest_kept = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]",
        "lowest_kept = logits.topk(min(k, logits.size(-1))).values[..., -1:]",
        "the last dimension is topk's default",
    ),
    Equivalent("if p == 1:", "if p >= 1:", "above 1 an error was raised before"),
    Equivalent(
        "ordered, order = logits.sort(dim=-1, descending=True)",
        "ordered, order = logits.sort(descending=True)",
        "the last dimension is sort's default",
    ),
    Equivalent(
        "probabilities = ordered.softmax(dim=-1, dtype=torch.float32)",
        "probabilities = ordered.softmax(dim=-1, dtype=torch.float64)",
        "more digits than needed",
    ),
    Equivalent(
        DROPPED,
        DROPPED.replace("order.argsort(dim=-1)", "order.argsort()"),
        "the last dimension is argsort's default",
    ),
    Equivalent(
        DROPPED,
        DROPPED.replace(">=", ">"),
        "differs where a sum is p to the last bit, which is a matter of rounding: specs stay away from it",
    ),
    Equivalent("if temperature == 0:", "if temperature <= 0:", "below 0 an error was raised before"),
    Equivalent(
        "return logits.argmax(dim=-1, keepdim=True)",
        "return logits.argmax(dim=1, keepdim=True)",
        "logits have two dimensions",
    ),
    Equivalent(DRAW, DRAW.replace("dim=-1", "dim=1"), "logits have two dimensions"),
    Equivalent(
        "logits = logits.float() / temperature",
        "logits = logits.double() / temperature",
        "more digits than needed",
    ),
    Equivalent("if idx.size(1) == 0:", "if idx.size(1) <= 0:", "a size is never negative"),
    Equivalent(
        "done = torch.zeros(idx.size(0), 1, dtype=torch.bool, device=idx.device)",
        "done = torch.zeros(idx.size(0), 1, dtype=torch.bool)",
        "the same on a CPU; test_generates_on_the_gpu catches it where there is another device",
    ),
    Equivalent(
        "logits, _ = model(out if step == 0 else out[:, -1:], cache=cache)",
        "logits, _ = model(out if step <= 0 else out[:, -1:], cache=cache)",
        "a step is never negative",
    ),
    Equivalent(DONE, "done = (token == stop_token)", "rows that are done have just been given the stop token again"),
    Equivalent("if len(ids) == 0:", "if len(ids) <= 0:", "a length is never negative"),
    Equivalent("if len(ids) == 0:", "if len(ids) == -1:", "generate refuses an empty prompt with a ValueError too"),
    Equivalent(
        'raise ValueError(f"the prompt {prompt!r} has no tokens: there is nothing to continue")',
        "pass",
        "generate refuses an empty prompt with a ValueError too",
    ),
    Equivalent(
        "return budget_bytes // kv_cache_bytes(n_layer, n_kv_head, head_dim, 1, batch_size, dtype)",
        "return budget_bytes // kv_cache_bytes(n_kv_head, n_layer, head_dim, 1, batch_size, dtype)",
        "factors may change places",
    ),
]
