"""Wrong solutions of 27 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

DROPPED = "dropped = (reached_before >= p).gather(-1, order.argsort(dim=-1))"
TEMPERATURE = "    logits = logits.float() / temperature\n"
FILTERS = """    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
"""
BEST = "    if temperature == 0:\n        return logits.argmax(dim=-1, keepdim=True)\n"
DRAW = (
    "return torch.multinomial(logits.softmax(dim=-1), num_samples=1, "
    "generator=generator)"
)
TEXT = "texts.append(prompt + decode(new))"

MISTAKES = [
    Mistake(
        "mps forgotten",
        was='"mps" if torch.backends.mps.is_available() else "cpu"',
        now='"cpu"',
        caught_by="test_takes_the_best_device_there_is",
        says="looks like mps is not asked for at the call",
    ),
    Mistake(
        "CUDA not asked for at the call",
        was="def pick_device(preference: str | None = None) -> torch.device:",
        now='BEST = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n\n\n'
        "def pick_device(preference: str | None = None) -> torch.device:\n"
        "    return BEST if preference is None else torch.device(preference)\n\n\n"
        "def _pick_device(preference: str | None = None) -> torch.device:",
        caught_by="test_takes_the_best_device_there_is",
        says="looks like cuda is not asked for at the call",
    ),
    # top_k_filter, top_p_filter
    Mistake(
        "k-th largest removed as well",
        was="logits < lowest_kept",
        now="logits <= lowest_kept",
        caught_by="test_the_k_largest_stay",
        says="looks like one token too few",
    ),
    Mistake(
        "threshold from the whole batch",
        was=(
            "lowest_kept = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., "
            "-1:]"
        ),
        now="lowest_kept = logits.flatten().topk(min(k, logits.size(-1))).values[-1]",
        caught_by="test_every_row_has_a_limit_of_its_own",
        says="looks like one threshold for the whole batch",
    ),
    Mistake(
        "k above V not caught",
        was="topk(min(k, logits.size(-1)), dim=-1)",
        now="topk(k, dim=-1)",
        caught_by="test_k_may_be_more_than_all",
        says="selected index k out of range",
        edge=True,
    ),
    Mistake(
        "mask not scattered back",
        was=DROPPED,
        now="dropped = reached_before >= p",
        caught_by="test_the_smallest_set_that_reaches_p",
        says="looks like the mask not brought back from sorted order",
    ),
    Mistake(
        "the crossing token removed",
        was="cumsum(dim=-1) - probabilities",
        now="cumsum(dim=-1)  # without",
        caught_by="test_the_smallest_set_that_reaches_p",
        says="looks like the token that crosses p is removed",
    ),
    Mistake(
        "a sum of exactly p not enough",
        was="reached_before >= p",
        now="reached_before > p",
        caught_by="test_a_sum_of_exactly_p_is_enough",
        says="looks like one token too many",
        edge=True,
    ),
    Mistake(
        "each token judged by itself",
        was=DROPPED,
        now="dropped = logits.softmax(dim=-1) < p",
        caught_by="test_the_smallest_set_that_reaches_p",
        says="looks like each token judged by itself",
    ),
    # sample_next
    Mistake(
        "logits times temperature",
        was="logits.float() / temperature",
        now="logits.float() * temperature",
        caught_by="test_frequencies_follow_the_temperature",
        says="looks like the logits multiplied by the temperature",
    ),
    Mistake(
        "filters before the temperature",
        was=TEMPERATURE + FILTERS,
        now="    logits = logits.float()\n"
        + FILTERS
        + "    logits = logits / temperature\n",
        caught_by="test_first_temperature_then_k_then_p",
        says="looks like top-p sees the probabilities at temperature 1",
    ),
    Mistake(
        "temperature 0 divides",
        was=BEST,
        now="",
        caught_by="test_temperature_0_takes_the_best",
        says="probability tensor contains either `inf`, `nan`",
    ),
    Mistake(
        "generator ignored",
        was="num_samples=1, generator=generator",
        now="num_samples=1",
        caught_by="test_a_generator_decides_alone",
        says="looks like drawn from the global generator",
    ),
    # next_logits
    Mistake(
        "logits of position 0",
        was="return logits[:, -1]",
        now="return logits[:, 0]",
        caught_by="test_the_last_position_decides",
        says="looks like the logits of position 0",
    ),
    Mistake(
        "the first tokens of the window",
        was="model(idx[:, -block_size:])",
        now="model(idx[:, :block_size])",
        caught_by="test_the_window_is_the_last_block",
        says="looks like the first tokens of the window, not the last",
    ),
    Mistake(
        "the cache slides on",
        was="if cache is None or idx.size(1) > block_size:",
        now="if cache is None or len(cache[0]) >= block_size:",
        caught_by="test_the_cache_changes_nothing",
        says="exceed block_size 8",
    ),
    Mistake(
        "the whole prompt fed again",
        was="model(idx[:, len(cache[0]) :], cache=cache)",
        now="model(idx, cache=new_cache(model))",
        caught_by="test_the_cache_saves_work",
        says="looks like all tokens again, though they are in the cache",
    ),
    # apply_stop
    Mistake(
        "a finished row goes on",
        was="    token = token.masked_fill(done, stop_token)\n",
        now="",
        caught_by="test_rows_that_had_ended_are_filled",
        says="looks like a finished row goes on",
    ),
    Mistake(
        "token 0 never stops",
        was="if stop_token is None:",
        now="if not stop_token:",
        caught_by="test_step_by_step_each_row_ends_at_its_first_stop",
        says="looks like 0 taken for no stop token: ask `is not None`",
    ),
    # generate
    Mistake(
        "the loop ends when any row stops",
        was="if done.all():",
        now="if done.any():",
        caught_by="test_a_row_that_has_stopped_is_filled_up",
        says="looks like the loop ends when any row stops",
    ),
    Mistake(
        "training mode left on",
        was="    model.eval()\n",
        now="",
        caught_by="test_runs_in_eval_mode_without_gradients",
        says="whether the model was in training mode",
    ),
    Mistake(
        "model.eval() never undone",
        was="    finally:\n        model.train(was_training)",
        now="    finally:\n        pass",
        caught_by="test_modes_are_put_back",
        says="training mode of ['the model'] got False",
        edge=True,
    ),
    Mistake(
        "nothing new to attend from: perhaps the cache of another call",
        was="cache = new_cache(model) if use_cache else None",
        now=(
            'cache = vars(model).setdefault("_cache", new_cache(model)) if use_cache '
            "else None"
        ),
        caught_by="test_the_cache_is_used_if_asked_for",
        says="no more queries than keys, got 0 and 6",
    ),
    # sample_texts, kv_cache_bytes
    Mistake(
        "one long row of repeated prompts",
        was="repeat(num_samples, 1)",
        now="repeat(1, num_samples)",
        caught_by="test_one_batch_does_it",
        says="shape of the tokens in each call: [(1, 15), (1, 16)",
    ),
    Mistake(
        "cut at a stop token in the prompt",
        was=TEXT,
        now="whole = ids + new\n"
        "        texts.append(decode(whole[: whole.index(stop_token)] if stop_token "
        "in whole else whole))",
        caught_by="test_a_stop_token_in_the_prompt_cuts_nothing",
        says="looks like cut at a stop token in the prompt",
    ),
]

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
        "differs where a sum is p to the last bit, which is a matter of rounding: "
        "specs stay away from it",
    ),
    Equivalent(
        "if temperature == 0:",
        "if temperature <= 0:",
        "below 0 an error was raised before",
    ),
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
    Equivalent(
        "if idx.size(1) == 0:", "if idx.size(1) <= 0:", "a size is never negative"
    ),
    Equivalent(
        "done = torch.zeros(idx.size(0), 1, dtype=torch.bool, device=idx.device)",
        "done = torch.zeros(idx.size(0), 1, dtype=torch.bool)",
        "the same on a CPU; test_generates_on_the_gpu catches it where there is "
        "another device",
    ),
    Equivalent(
        "return token, done | (token == stop_token)",
        "return token, (token == stop_token)",
        "rows that are done have just been given the stop token again",
    ),
    Equivalent("if len(ids) == 0:", "if len(ids) <= 0:", "a length is never negative"),
    Equivalent(
        "if len(ids) == 0:",
        "if len(ids) == -1:",
        "generate refuses an empty prompt with a ValueError too",
    ),
    Equivalent(
        'raise ValueError( f"the prompt {prompt!r} has no tokens: there is nothing to '
        'continue" )',
        "pass",
        "generate refuses an empty prompt with a ValueError too",
    ),
    Equivalent(
        "n_layer, n_kv_head, head_dim, 1, batch_size, dtype",
        "n_kv_head, n_layer, head_dim, 1, batch_size, dtype",
        "factors may change places",
    ),
    Equivalent(
        was=(
            "remove = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, "
            "before >= p)"
        ),
        now=(
            "remove = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, "
            "before > p)"
        ),
        reason="a sum of exactly p is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="cached = len(cache[0])",
        now="cached = len(cache[-1])",
        reason="all caches are of one length",
        textbook=True,
    ),
]
