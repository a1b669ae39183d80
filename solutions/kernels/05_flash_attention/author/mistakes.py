"""Wrong solutions of kernels/05 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

BOUND = "triton.cdiv(min((i + 1) * block_q, T), block_k)"
SEEN = "    seen = keys[None, :] < T\n"
DIAGONAL = "(keys[None, :] <= rows[:, None])"
TOTAL = "total = total * fade + tl.sum(weights, axis=1)"
MIXED = """mixed = mixed * fade[:, None] + tl.dot(
            weights.to(v.dtype), v"""
LOOP = (
    "    for start in range(0, end, BLOCK_K):\n"
    "        keys = start + tl.arange(0, BLOCK_K)\n"
    "        at = (first + keys[:, None]) * D + features\n"
    "        k = tl.load(k_ptr + at, mask=keys[:, None] < T, other=0.0)\n"
    "        v = tl.load(v_ptr + at, mask=keys[:, None] < T, other=0.0)\n"
)
SCORES = "        scores = _scores("
END = "    end = tl.minimum((tile + 1) * BLOCK_Q, T) if CAUSAL else T\n"
MIXTURE_BEGINS = "    mixed = tl.zeros((BLOCK_Q, D), tl.float32)\n"
LSE = "tl.store(lse_ptr + first + rows, top + tl.log(total), mask=rows < T)"
BEGIN = "begin = tile * BLOCK_K // BLOCK_Q * BLOCK_Q if CAUSAL else 0"
P_OF_KEYS = (
    "p = tl.exp(_scores(q, k, rows, keys, T, scale, CAUSAL) - lse[:, None])\n        dv"
)
DS_OF_KEYS = (
    'ds = p * (tl.dot(dout, tl.trans(v), input_precision="ieee") - delta[:, None])\n'
    "        dk += tl.dot(tl.trans(ds)"
)
LAUNCH = """(
        q,
        k,
        v,
        out,
        lse,
        T,
        D**-0.5,
        CAUSAL=causal,
        D=D,
        BLOCK_Q=block_q,
        BLOCK_K=block_k,
    )"""

MISTAKES = [
    Mistake(
        "the diagonal's tile left out",
        BOUND,
        "i * block_q // block_k",
        "TestCausalTiles::test_up_to_the_diagonal",
        says="looks like the diagonal's tile left out",
    ),
    Mistake(
        "as if both sizes were one",
        BOUND,
        "min(i + 1, triton.cdiv(T, block_k))",
        "TestCausalTiles::test_tiles_of_unlike_size",
        says="looks like as if both sizes were one",
    ),
    Mistake(
        "tiles of keys after the end",
        BOUND,
        "triton.cdiv((i + 1) * block_q, block_k)",
        "TestCausalTiles::test_nothing_after_the_end",
        says="looks like the last tile not cut off",
    ),
    Mistake(
        "the total not scaled down",
        TOTAL,
        "total = total + tl.sum(weights, axis=1)",
        "TestFlashForward::test_several_tiles",
        says="looks like total not scaled down",
    ),
    Mistake(
        "the mixture not scaled down",
        MIXED,
        MIXED.replace(" * fade[:, None]", ""),
        "TestFlashForward::test_several_tiles",
        says="looks like mixture not scaled down",
    ),
    Mistake(
        "the largest of the tile, not so far",
        "now = tl.maximum(top, tl.max(scores, axis=1))",
        "now = tl.max(scores, axis=1)",
        "TestFlashForward::test_large_scores",
        says="not finite",
    ),
    Mistake(
        "the largest score begins at 0",
        'top = tl.full((BLOCK_Q,), float("-inf"), tl.float32)',
        "top = tl.zeros((BLOCK_Q,), tl.float32)",
        "TestFlashForward::test_large_scores",
        says="not finite",
    ),
    Mistake(
        "keys from T on have the score 0",
        SEEN,
        "    seen = keys[None, :] >= 0\n",
        "TestFlashForward::test_any_length",
        says="looks like keys from T on have the score 0",
    ),
    Mistake(
        "keys loaded without a mask",
        f"{LOOP}{SCORES}",
        f"{LOOP}{SCORES}".replace(", mask=keys[:, None] < T, other=0.0", ""),
        "TestFlashForward::test_any_length",
        says="load outside of k_ptr in program (0, 0, 0)",
    ),
    Mistake(
        "no query sees its own key",
        DIAGONAL,
        "(keys[None, :] < rows[:, None])",
        "TestFlashForward::test_no_query_looks_ahead",
        says="nan",
    ),
    Mistake(
        "keys of the future counted",
        f"seen = seen & {DIAGONAL}",
        "seen = seen",
        "TestFlashForward::test_no_query_looks_ahead",
        says="differs",
    ),
    Mistake(
        "the forward loop ends before the diagonal",
        MIXTURE_BEGINS + END,
        MIXTURE_BEGINS + END.replace("(tile + 1)", "tile"),
        "TestFlashForward::test_no_query_looks_ahead",
        says="nan",
    ),
    Mistake(
        "tiles of the future loaded",
        MIXTURE_BEGINS + END,
        f"{MIXTURE_BEGINS}    end = T\n",
        "TestFlashForward::test_tiles_of_the_future_are_not_loaded",
        says="7200 numbers were loaded, 5472 are enough",
    ),
    Mistake(
        "lse without the largest score",
        LSE,
        LSE.replace("top + ", ""),
        "TestFlashForward::test_one_tile",
        says="looks like lse without the largest score",
    ),
    Mistake(
        "scores not divided by √D",
        LAUNCH,
        LAUNCH.replace("D**-0.5", "1.0"),
        "TestFlashForward::test_one_tile",
        says="looks like scores not divided by √D",
    ),
    Mistake(
        "all keys in one tile",
        LAUNCH,
        LAUNCH.replace("BLOCK_K=block_k", "BLOCK_K=triton.next_power_of_2(T)"),
        "TestFlashForward::test_blocks_are_obeyed",
        says="are the blocks too large?",
    ),
    Mistake(
        "the result always float32",
        "out, lse = torch.empty_like(q), torch.empty(B, H, T)",
        "out, lse = torch.empty(B, H, T, D), torch.empty(B, H, T)",
        "TestFlashForward::test_half_precision",
        says="dtype",
        edge=True,
    ),
    Mistake(
        "the mean of the parts",
        "return (weights.unsqueeze(-1) * outs).sum(0)",
        "return outs.mean(0)",
        "TestFlashDecodeMerge::test_parts_of_the_keys",
        says="looks like the mean of the parts",
    ),
    Mistake(
        "parts weighed by exp(lse)",
        "weights = (lses - lse).exp()",
        "weights = lses.exp() / lses.exp().sum(0)",
        "TestFlashDecodeMerge::test_large_scores",
        says="nan",
    ),
    Mistake(
        "delta not subtracted",
        DS_OF_KEYS,
        DS_OF_KEYS.replace(" - delta[:, None]", ""),
        "TestFlashDkdv::test_one_tile",
        says="looks like delta not subtracted",
    ),
    Mistake(
        "dk not divided by √D",
        'dk += tl.dot(tl.trans(ds), q, input_precision="ieee") * scale',
        'dk += tl.dot(tl.trans(ds), q, input_precision="ieee")',
        "TestFlashDkdv::test_one_tile",
        says="looks like dk not divided by √D",
    ),
    Mistake(
        "p of the future not masked",
        P_OF_KEYS,
        P_OF_KEYS.replace("CAUSAL", "False"),
        "TestFlashDkdv::test_causal",
        says="differs",
    ),
    Mistake(
        "the diagonal's tile of queries left out",
        BEGIN,
        "begin = (tile * BLOCK_K // BLOCK_Q + 1) * BLOCK_Q if CAUSAL else 0",
        "TestFlashDkdv::test_causal",
        says="differs",
    ),
    Mistake(
        "queries before the tile loaded",
        BEGIN,
        "begin = 0",
        "TestFlashDkdv::test_causal",
        says="10752 numbers were loaded, 7488 are enough",
    ),
    Mistake(
        "a gradient taken for contiguous",
        "        dout = dout.contiguous()\n",
        "",
        "TestFlashAttention::test_the_gradient_of_a_sum",
        says="load outside of dout_ptr",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="lse = tl.load(lse_ptr + first + rows, mask=rows < T, other=0.0)",
        now='lse = tl.load(lse_ptr + first + rows, mask=rows < T, other=float("inf"))',
        reason=(
            "rows beyond T add nothing with weights of 0, and nothing with a dout of 0"
        ),
        textbook=True,
    ),
    Equivalent(
        was="_delta_kernel[(triton.cdiv(B * H * T, 16),)](",
        now="_delta_kernel[(triton.cdiv(B * H * T, 15),)](",
        reason="programs behind the end store nothing",
        textbook=True,
    ),
]
