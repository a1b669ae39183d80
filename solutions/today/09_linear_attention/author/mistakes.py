"""Wrong solutions of today/09 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
GAPS = "gaps = total.unsqueeze(-1) - total.unsqueeze(-2)"
FADE = 'fade = gaps.masked_fill(future, float("-inf")).exp()'
STEP = (
    "state = log_decay.exp()[..., None, None] * state + k.unsqueeze(-1) * "
    "v.unsqueeze(-2)"
)
READ = "return (q.unsqueeze(-2) @ state).squeeze(-2), state"
NEW = (
    "state = q.new_zeros(*q.shape[:2], q.size(-1), v.size(-1))\n    outs = []\n"
    "    pieces = (x.split(chunk, dim=2) for x in (q, k, v, log_decay))"
)
OLD = "outs.append(parallel_form(query, key, value, g) + total.exp() * (query @ state))"
ON = "state = end.exp() * state + ((end - total).exp() * key).mT @ value"
JOINED = """joined = op(
            tuple(x[:-reach] for x in elements), tuple(x[reach:] for x in elements)
        )"""
DELTA_FADE = "    state = log_decay.exp()[..., None, None] * state\n"
HELD = "    held = (k.unsqueeze(-2) @ state).squeeze(-2)\n"
BELOW = 'below = b * (key @ key.mT) * gaps.masked_fill(later, float("-inf")).exp()'
SOLVED = """u = torch.linalg.solve_triangular(
            below, wanted, upper=False, unitriangular=True
        )"""
UNIT = "q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)"

MISTAKES = [
    # parallel_form
    Mistake(
        "a token fades by its own decay",
        GAPS,
        "gaps = total.unsqueeze(-1) - (total - log_decay).unsqueeze(-2)",
        "test_sum_over_all_tokens_so_far",
        says="looks like a token's own pair fades by its own decay, too",
    ),
    Mistake(
        "token 0 reads nothing",
        "triu(1)",
        "triu()",
        "test_sum_over_all_tokens_so_far",
        says="looks like token t does not read its own pair: token 0 reads nothing",
    ),
    Mistake(
        "a quotient of two exponentials",
        FADE,
        "fade = (total.exp().unsqueeze(-1) * "
        "(-total).exp().unsqueeze(-2)).masked_fill(future, 0.0)",
        "TestParallelForm::test_strong_decay_stays_finite",
        says="looks like a quotient of two exponentials, not one of the gap",
    ),
    Mistake(
        "masked after exp",
        FADE,
        "fade = gaps.exp().masked_fill(future, 0.0)",
        "test_gradients_of_strong_decay_are_finite",
        says="looks like masked after exp: the gradient of an infinite number stays",
    ),
    # recurrent_step
    Mistake(
        "decay after the write",
        STEP,
        "state = log_decay.exp()[..., None, None] * (state + k.unsqueeze(-1) * "
        "v.unsqueeze(-2))",
        "test_fade_write_read",
        says="looks like the new pair fades, too: fade first, then write",
    ),
    Mistake(
        "the given state is changed",
        STEP,
        "state *= log_decay.exp()[..., None, None]\n"
        "    state += k.unsqueeze(-1) * v.unsqueeze(-2)",
        "TestRecurrentStep::test_the_given_state_is_left_alone",
        says="looks like an operation in place on the caller's own state",
    ),
    Mistake(
        "read before the write",
        f"{STEP}\n    {READ}",
        "state = log_decay.exp()[..., None, None] * state\n"
        "    out = (q.unsqueeze(-2) @ state).squeeze(-2)\n"
        "    return out, state + k.unsqueeze(-1) * v.unsqueeze(-2)",
        "test_fade_write_read",
        says="looks like read before the write: a token reads its own pair, too",
    ),
    # chunked_form
    Mistake(
        "the state before the chunk is read unfaded",
        OLD,
        "outs.append(parallel_form(query, key, value, g) + query @ state)",
        "TestChunkedForm::test_any_chunk_gives_the_same",
        says="looks like the state before the chunk is read unfaded",
    ),
    Mistake(
        "the state does not fade at the chunk's end",
        ON,
        "state = state + ((end - total).exp() * key).mT @ value",
        "TestChunkedForm::test_any_chunk_gives_the_same",
        says="looks like the old state does not fade at the chunk's end",
    ),
    Mistake(
        "pairs faded by what came before them",
        ON,
        "state = end.exp() * state + (total.exp() * key).mT @ value",
        "TestChunkedForm::test_any_chunk_gives_the_same",
        says=(
            "looks like pairs enter the state faded by the decays before them, not by "
            "those behind"
        ),
    ),
    Mistake(
        "the given state is ignored",
        f"if state is None:\n        {NEW}",
        NEW,
        "TestChunkedForm::test_a_given_state_goes_on",
        says="looks like the given state is not used",
    ),
    Mistake(
        "zeros in float32",
        NEW,
        NEW.replace("q.new_zeros", "torch.zeros"),
        "TestChunkedForm::test_float64_stays_float64",
        says="dtype",
        edge=True,
    ),
    # combine, associative_scan
    Mistake(
        "right first",
        "return c * a, c * b + d",
        "return a * c, a * d + b",
        "test_first_left_then_right",
        says="looks like right first, then left",
    ),
    Mistake(
        "left and right exchanged",
        JOINED,
        "joined = op(tuple(x[reach:] for x in elements), tuple(x[:-reach] for x in "
        "elements))",
        "test_left_is_earlier",
        says="looks like left and right exchanged",
    ),
    Mistake(
        "one place per call",
        JOINED,
        "parts = [tuple(x[:1] for x in elements)]\n"
        "        for t in range(1, elements[0].size(0)):\n"
        "            parts.append(op(parts[-1], tuple(x[t : t + 1] for x in "
        "elements)))\n"
        "        return tuple(torch.cat(x) for x in zip(*parts, strict=True))",
        "test_few_calls",
        says="op was called 40 times for 41 places, at most 13",
    ),
    # delta_step
    Mistake(
        "values for the error",
        "error = beta.unsqueeze(-1) * (v - held)",
        "error = beta.unsqueeze(-1) * v",
        "test_fade_look_up_correct_read",
        says="looks like β v is written, not β times the error v − held",
    ),
    Mistake(
        "looked up before fading",
        DELTA_FADE + HELD,
        HELD + DELTA_FADE,
        "test_fade_look_up_correct_read",
        says="looks like held was looked up before the state faded",
    ),
    # delta_chunked
    Mistake(
        "L without decay",
        BELOW,
        "below = (b * (key @ key.mT)).masked_fill(later, 0.0)",
        "TestDeltaChunked::test_any_chunk_gives_the_same",
        says="looks like L without decay",
    ),
    Mistake(
        "β of the column",
        BELOW,
        BELOW.replace("b * ", "b.mT * "),
        "TestDeltaChunked::test_any_chunk_gives_the_same",
        says="looks like β of the column in L: row t has β_t",
    ),
    Mistake(
        "the inverse to first order",
        SOLVED,
        "u = wanted - below @ wanted",
        "TestDeltaChunked::test_any_chunk_gives_the_same",
        says="looks like (1 − L) r for the inverse of 1 + L",
    ),
    # GatedDeltaNet
    Mistake(
        "a memory that starts short",
        "        nn.init.constant_(self.decay.bias, 4.0)\n",
        "",
        "test_the_memory_starts_long",
        says="nn.Linear draws biases near 0",
    ),
    Mistake(
        "keys of any length",
        UNIT,
        "pass",
        "test_equals_its_parts",
        says="looks like keys are not divided by their length",
    ),
    Mistake(
        "a sigmoid for its logarithm",
        "F.logsigmoid(self.decay(x)).mT",
        "-self.decay(x).sigmoid().mT",
        "test_equals_its_parts",
        says="looks like log_decay = −sigmoid: it is the logarithm of the sigmoid",
    ),
    # decoding_bytes
    Mistake(
        "a window as long as the text is not",
        '"W": per_token * min(T, window)',
        '"W": per_token * window',
        "test_a_text_shorter_than_the_window",
        says="looks like the window's size, however short the text is",
    ),
    Mistake(
        "keys without values",
        "per_token = 2 * n_kv_head * head_dim",
        "per_token = n_kv_head * head_dim",
        "test_a_layer_of_each_kind",
        says="looks like keys without values",
    ),
]

UNASKED = {
    "delta_chunked: beta, never negative": "a share from 0 to 1",
    "chunked_form: state, at most two blocks": "a state is not cut into chunks",
    "delta_chunked: state, at most two blocks": "nor is it here",
}

EQUIVALENT = [
    Equivalent(
        was="causal = torch.ones(gaps.shape[-2:], dtype=torch.bool).tril()",
        now="causal = torch.ones(gaps.shape[-3:], dtype=torch.bool).tril()",
        reason="a mask per head, each the same",
        textbook=True,
    ),
    Equivalent(
        was="while reach < len(elements[0]):",
        now="while reach <= len(elements[0]):",
        reason="a round more finds nothing behind its reach",
        textbook=True,
    ),
    Equivalent(
        was="while reach < len(elements[0]):",
        now="while reach < len(elements[0]) + 1:",
        reason="a round more finds nothing behind its reach",
        textbook=True,
    ),
    Equivalent(
        was="while reach < len(elements[0]):",
        now="while reach < len(elements[-1]):",
        reason="all elements are equally long",
        textbook=True,
    ),
]
