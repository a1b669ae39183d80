"""Wrong solutions of today/03 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
WRITE_K = "k_cache[rows, :, positions] = k.transpose(1, 2)"
WRITE_V = "v_cache[rows, :, positions] = v.transpose(1, 2)"
WRITES = f"    {WRITE_K}\n    {WRITE_V}\n"
TOO_FEW = """        if n > len(free):
            raise RuntimeError(f"{n} blocks are needed, and {len(free)} are free")
"""
TAKEN = "            self.references[block] = 1\n"
RETURNED = "            self.references[block] -= 1\n"
USED = "used = torch.arange(k.size(1), device=q.device) < lengths.unsqueeze(1)"
CLEANED = """    k, v = (x.masked_fill(~used[:, :, None, None], 0.0) for x in (k, v))
"""
GROUPED = "grouped = q.view(rows, k.size(2), heads // k.size(2), -1)"
WRITERS = """    for request in running:
        if request.computed == request.prompt_tokens and budget > 0:
            plan[request.id] = 1
            budget -= 1
"""
READERS = """    for request in running:
        tokens = min(request.prompt_tokens - request.computed, budget)
        if tokens > 0:
            plan[request.id] = tokens
            budget -= tokens
"""
FULL = """        if budget == 0 or blocks > free_blocks:
            break
"""
ENDS = "range(block_size, len(tokens), block_size)"
KEEP = "if u * q[token] < p[token] or sums[-1] == 0:"
REST = "sums = (p.double() - q.double()).clamp(min=0).cumsum(dim=0)"
REFUSED = """out = torch.cat(
                            [out[:, : start + i], out.new_tensor([[token]])], dim=1
                        )
                        break"""
TRUTHS = "truths = _probabilities(target(out)[0][0, start - 1 :], temperature)"
SPECULATE = "TestSpeculativeGenerate::test_at_temperature_0_the_draft_changes_nothing"

MISTAKES = [
    Mistake(
        "the positions of row 0 in every row",
        WRITES,
        "    k_cache[:, :, positions[0]] = k\n    v_cache[:, :, positions[0]] = v\n",
        "test_each_row_at_positions_of_its_own",
        says="looks like the positions of row 0 in every row",
    ),
    Mistake(
        "a new buffer under the old name",
        WRITES,
        """    k_cache, v_cache = k_cache.clone(), v_cache.clone()
    k_cache[rows, :, positions] = k.transpose(1, 2)
    v_cache[rows, :, positions] = v.transpose(1, 2)
""",
        "test_each_row_at_positions_of_its_own",
        says="looks like nothing written: the buffer moved",
    ),
    Mistake(
        "heads and tokens not exchanged",
        WRITES,
        "    k_cache[rows, :, positions] = k\n    v_cache[rows, :, positions] = v\n",
        "test_each_row_at_positions_of_its_own",
        says="shape mismatch",
    ),
    Mistake(
        "blocks taken before it is clear that there are enough",
        TOO_FEW + "        for block in free[:n]:\n" + TAKEN,
        "        for block in free[:n]:\n" + TAKEN + TOO_FEW,
        "test_too_few_is_an_error_and_takes_none",
        says="looks like blocks are taken before there are enough",
    ),
    Mistake(
        "a shared block returned by the first free",
        RETURNED,
        "            self.references[block] = 0\n",
        "test_a_shared_block_stays_until_the_last_one_leaves",
        says="the first free returned a shared block",
    ),
    Mistake(
        "the last block attended to its end",
        USED,
        "used = (block_table >= 0).repeat_interleave(k_pool.size(1), dim=1)",
        "test_rows_of_any_length",
        says="looks like the last block attended to its end",
    ),
    Mistake(
        "no mask at all",
        USED,
        "used = torch.ones(rows, k.size(1), dtype=torch.bool)",
        "test_unused_places_do_not_count",
        says="the result with 10,000 in all places that are not the row's",
    ),
    Mistake(
        "query head 1 reads key head 1",
        GROUPED,
        "k, v = (x.repeat(1, 1, heads // x.size(2), 1) for x in (k, v))\n    "
        + GROUPED,
        "test_rows_of_any_length",
        says="looks like query head 1 reads key head 1",
    ),
    Mistake(
        "scores not divided by the root of D",
        " / math.sqrt(q.size(-1))\n",
        "\n",
        "test_one_block_is_plain_attention",
        says="looks like not divided by √D",
    ),
    Mistake(
        "unused places with a weight of 0 times NaN",
        CLEANED,
        "",
        "test_unused_places_may_hold_nan",
        says="nan",
        edge=True,
    ),
    Mistake(
        "prompts before those who write",
        WRITERS + READERS,
        READERS + WRITERS,
        "test_a_request_does_not_wait_for_prompts",
        says="a running request waited 5 steps while a prompt was computed",
    ),
    Mistake(
        "blocks for the prompt alone",
        """math.ceil(
            (request.prompt_tokens + request.max_new_tokens) / block_size
        )
        if""",
        "math.ceil(request.prompt_tokens / block_size)\n        if",
        "test_a_waiting_request_needs_all_its_blocks",
        says="looks like blocks for the prompt alone",
    ),
    Mistake(
        "a small request overtakes a large one",
        FULL,
        "        if budget == 0:\n            break\n"
        "        if blocks > free_blocks:\n            continue\n",
        "test_nobody_overtakes",
        says="looks like the second request overtook the first",
    ),
    Mistake(
        "the oldest request gives way",
        "youngest = list(tables)[-1]",
        "youngest = list(tables)[0]",
        "test_the_youngest_gives_way",
        says="looks like the oldest request gave way",
    ),
    Mistake(
        "the blocks of a preempted request are lost",
        "blocks.free(tables.pop(youngest))",
        "tables.pop(youngest)",
        "test_the_youngest_gives_way",
        says=(
            "looks like all were preempted: a table was dropped, and its blocks never "
            "freed"
        ),
    ),
    Mistake(
        "a block's own tokens as its key",
        "prefix = tuple(tokens[:end])",
        "prefix = next((key for key in index if key[-block_size:] == tuple(tokens[end "
        "- block_size : end])), None)",
        "test_equal_tokens_behind_another_start_are_not_reused",
        says="looks like the block of 'b a' was given to 'c a'",
    ),
    Mistake(
        "the whole prompt reused",
        ENDS,
        "range(block_size, len(tokens) + 1, block_size)",
        "test_the_last_token_is_computed",
        says=(
            "looks like the whole prompt reused: nothing is left that could give logits"
        ),
    ),
    Mistake(
        "u compared with p",
        KEEP,
        "if u < p[token]:",
        "test_what_the_target_likes_more_is_kept",
        says="token 0 with p = 0.5 and q = 0.25 was refused at u = 0.99",
    ),
    Mistake(
        "another token from p",
        REST,
        "sums = p.double().cumsum(dim=0)",
        "test_another_token_comes_from_what_the_draft_missed",
        says="looks like drawn from p",
    ),
    Mistake(
        "p − q not cut off at 0",
        REST,
        "sums = (p.double() - q.double()).abs().cumsum(dim=0)",
        "test_another_token_comes_from_what_the_draft_missed",
        says="looks like p − q without its sign",
    ),
    Mistake(
        "tokens behind a refused one kept",
        REFUSED,
        "out[0, start + i] = token",
        SPECULATE + "[3]",
        says=(
            "looks like went on behind a refusal: those places have seen the refused "
            "token"
        ),
    ),
    Mistake(
        "one more token behind a refusal",
        REFUSED,
        "out = torch.cat([out[:, : start + i], out.new_tensor([[token, int(truths[i + "
        "1].argmax())]])], dim=1)\n"
        "                        break",
        SPECULATE + "[4]",
        says="behind a refusal",
    ),
    Mistake(
        "each proposal judged by the logits behind it",
        TRUTHS,
        "truths = _probabilities(target(out)[0][0, start - bool(not beliefs) :], "
        "temperature)",
        SPECULATE + "[2]",
        says="looks like each proposal judged by the logits behind it",
    ),
    Mistake(
        "gamma proposals where fewer can follow",
        "for _ in range(min(gamma, end - start - 1)):",
        "for _ in range(gamma):",
        "test_no_more_proposals_than_can_follow",
        says="looks like gamma proposals where fewer can follow",
        edge=True,
    ),
    Mistake(
        "the temperature for the target alone",
        "beliefs.append(_probabilities(draft(out)[0][0, -1], temperature))",
        "beliefs.append(_probabilities(draft(out)[0][0, -1], 1.0 if temperature else "
        "0))",
        "TestSpeculativeGenerate::"
        "test_a_draft_equal_to_the_target_is_always_accepted[sharpened]",
        says="proposals were refused: p and q are not equal",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="cdf = (rest / rest.sum()).cumsum(0)",
        now="cdf = (rest / rest.sum()).cumsum(-1)",
        reason="one dimension",
        textbook=True,
    ),
    Equivalent(
        was="q = probabilities(logits[0, -1])",
        now="q = probabilities(logits[-1, -1])",
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="ps = probabilities(logits[0, T - 1 :])",
        now="ps = probabilities(logits[-1, T - 1 :])",
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="ps[i], q, guess[0, T + i].item(), u, v",
        now="ps[i], q, guess[-1, T + i].item(), u, v",
        reason="a batch of one",
        textbook=True,
    ),
]

UNASKED = {"accept_or_resample: q, never negative": "probabilities by the draft"}
