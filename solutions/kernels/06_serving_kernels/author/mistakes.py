"""Wrong solutions of kernels/06 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

USED = "        used = block * S + slots < length\n"
PLACES = "places = ((page * S + slots[:, None]) * H_KV + kv) * D + features"
HEADS = "at = (row * H_KV * G + kv * G + lanes)"
VISITED = """table_ptr + row * M,
        0,
        tl.cdiv(length, S),"""
PART = "part = split * tl.num_programs(0) * H_KV * G + heads"
SHARE = "    share = tl.cdiv(blocks, splits)\n"
CODES = "tl.floor(w / scale + 0.5).to(tl.int8)"
SCALE = "scale = tl.where(largest == 0, 1.0, largest / 127)"
INT8_OUT = "out = (acc * scale[None, :]).to(out_ptr.dtype.element_ty)"
INT8_EMPTY = "    out = torch.empty(M, N, dtype=x.dtype)\n    _int8_kernel["
INT8_LAUNCH = """    _int8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, w, scale, """
NIBBLES = "tl.interleave(packed & 15, packed >> 4).to(tl.int8)"
SIGN = "        codes = tl.where(codes > 7, codes - 16, codes).to(tl.float32)\n"
GROUP_SCALE = "scale_ptr + outputs * (K // SIZE) + group"
ROUNDED = "    codes, x_scale = quantise_rows(x)\n"

MISTAKES = [
    Mistake(
        "the table's entry not looked up",
        "page = tl.load(table_ptr + block).to(tl.int64)",
        "page = block",
        "TestPagedAttention::test_a_block_of_the_table",
        says="looks like the table's entry not looked up",
    ),
    Mistake(
        "scores not divided by √D",
        "scores = tl.sum(q[:, None, :] * k[None, :, :], axis=2) * scale",
        "scores = tl.sum(q[:, None, :] * k[None, :, :], axis=2)",
        "TestPagedAttention::test_a_block_of_the_table",
        says="looks like scores not divided by √D",
    ),
    Mistake(
        "the mixture not scaled down",
        "mixed = mixed * fade[:, None] + tl.sum(",
        "mixed = mixed + tl.sum(",
        "TestPagedAttention::test_several_blocks",
        says="differs",
    ),
    Mistake(
        "the largest of the block, not so far",
        "now = tl.maximum(top, tl.max(scores, axis=1))",
        "now = tl.max(scores, axis=1)",
        "TestPagedAttention::test_large_scores",
        says="not finite",
    ),
    Mistake(
        "the whole last block",
        USED,
        "        used = slots < S\n",
        "TestPagedAttention::test_places_beyond_the_length",
        says="looks like the whole last block",
    ),
    Mistake(
        "one token too many",
        USED,
        "        used = block * S + slots <= length\n",
        "TestPagedAttention::test_places_beyond_the_length",
        says="looks like one token too many",
    ),
    Mistake(
        "places without a token have the score 0",
        'scores = tl.where(used[None, :], scores, float("-inf"))',
        "scores = scores",
        "TestPagedAttention::test_places_beyond_the_length",
        says="looks like places without a token have the score 0",
    ),
    Mistake(
        "key head h % H_kv",
        HEADS,
        "at = (row * H_KV * G + lanes * H_KV + kv)",
        "TestPagedAttention::test_query_heads_share_key_heads",
        says="looks like key head h % H_kv",
    ),
    Mistake(
        "a pool of (H_kv, block_size)",
        PLACES,
        "places = ((page * H_KV + kv) * S + slots[:, None]) * D + features",
        "TestPagedAttention::test_query_heads_share_key_heads",
        says="differs",
    ),
    Mistake(
        "every entry of the table followed",
        VISITED,
        "table_ptr + row * M, 0, M, ",
        "TestPagedAttention::test_each_key_is_loaded_once",
        says="numbers were loaded",
    ),
    Mistake(
        "0 / 0 in a row without tokens",
        "tl.where(total > 0, total, 1.0), mixed",
        "total, mixed",
        "TestPagedAttentionSplit::test_any_number_of_splits",
        says="nan",
    ),
    Mistake(
        "one program takes all blocks",
        SHARE,
        "    share = blocks\n",
        "TestPagedAttentionSplit::test_the_work_is_shared",
        says="looks like all blocks in one program",
    ),
    Mistake(
        "each program goes on to the end of the row",
        "tl.minimum((split + 1) * share, blocks)",
        "blocks",
        "TestPagedAttentionSplit::test_any_number_of_splits",
        says="differs",
    ),
    Mistake(
        "parts of all rows in one place",
        PART,
        "part = split * H_KV * G + kv * G + lanes",
        "TestPagedAttentionSplit::test_any_number_of_splits",
        says="which another program wrote in the same launch",
    ),
    Mistake(
        "rounded towards zero",
        CODES,
        "(w / scale).to(tl.int8)",
        "TestQuantiseRows::test_a_scale_per_row",
        says="looks like rounded towards zero",
    ),
    Mistake(
        "the largest number, not the largest |w|",
        "largest = tl.max(tl.abs(w))",
        "largest = tl.max(w)",
        "TestQuantiseRows::test_a_scale_per_row",
        says="looks like the largest number, not the largest |w|",
    ),
    Mistake(
        "a row of zeros divided by 0",
        SCALE,
        "scale = largest / 127",
        "TestQuantiseRows::test_a_row_of_zeros",
        says="expected 1",
    ),
    Mistake(
        "not scaled",
        INT8_OUT,
        "out = acc.to(out_ptr.dtype.element_ty)",
        "TestMatmulInt8::test_one_tile",
        says="looks like not scaled",
    ),
    Mistake(
        "the weight made float before the launch",
        INT8_LAUNCH,
        "    _int8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](x, w.float(), "
        "scale, ",
        "TestMatmulInt8::test_integers_are_loaded_once",
        says="is it made a float before?",
    ),
    Mistake(
        "the result always float32",
        INT8_EMPTY,
        INT8_EMPTY.replace(", dtype=x.dtype", ""),
        "TestMatmulInt8::test_half_precision",
        says="dtype",
        edge=True,
    ),
    Mistake(
        "the two halves of a byte exchanged",
        NIBBLES,
        "tl.interleave(packed >> 4, packed & 15).to(tl.int8)",
        "TestMatmulInt4::test_all_sixteen_codes",
        says="looks like the two halves of a byte exchanged",
    ),
    Mistake(
        "codes from 0 to 15",
        SIGN,
        "        codes = codes.to(tl.float32)\n",
        "TestMatmulInt4::test_all_sixteen_codes",
        says="looks like codes from 0 to 15",
    ),
    Mistake(
        "the first scale for all groups",
        GROUP_SCALE,
        "scale_ptr + outputs * (K // SIZE)",
        "TestMatmulInt4::test_a_scale_per_group",
        says="looks like the first scale for all",
    ),
    Mistake(
        "x not rounded",
        ROUNDED,
        f"    return matmul_int8(x, w, scale)\n{ROUNDED}",
        "TestMatmulW8a8::test_x_is_rounded_too",
        says="looks like x not rounded",
    ),
    Mistake(
        "sums kept in float32",
        "acc = tl.zeros((BM, BN), tl.int32)",
        "acc = tl.zeros((BM, BN), tl.float32)",
        "TestMatmulW8a8::test_sums_of_integers_are_exact",
        says="looks like sums kept in float32, whose whole numbers end at 2²⁴",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="_int8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](",
        now="_int8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 15))](",
        reason="programs behind the end store nothing",
        textbook=True,
    ),
    Equivalent(
        was="_int4_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](",
        now="_int4_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 15))](",
        reason="programs behind the end store nothing",
        textbook=True,
    ),
    Equivalent(
        was="_w8a8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](",
        now="_w8a8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 15))](",
        reason="programs behind the end store nothing",
        textbook=True,
    ),
]
