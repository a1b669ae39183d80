"""Wrong solutions of 18 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
GAP = "(fn(x)[:, permutation] - fn(x[:, permutation])).abs().max().item()"
IS_PERMUTATION = "if sorted(permutation.tolist()) != list(range(x.size(1))):"
FREQUENCIES = "frequencies = base ** (-(columns // 2 * 2) / d_model)"
WAVES = "return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).to(dtype)"
BUFFER = (
    'self.register_buffer("pe", sinusoidal_encoding(max_len, d_model).unsqueeze(0))'
)
ROWS = "rows = self.pe[:, offset : offset + x.size(1)].to(x.dtype)"
ADD = "return self.dropout(x + rows)"
INIT = "        nn.init.normal_(self.embedding.weight, std=0.02)\n"
LOOKUP = """return x + self.embedding(
            torch.arange(offset, offset + x.size(1), device=x.device)
        )"""
PAIRS = "a, b = x[..., 0::2], x[..., 1::2]"
TURN = """[a * cos - b * sin, a * sin + b * cos], dim=-1)
        .flatten(-2)"""
CHECK_EVEN = "if D % 2 == 1:"
TO_WIDE = "angles = positions.to(x.device, wide).unsqueeze(1) * frequencies"
WIDE = "wide = torch.promote_types(x.dtype, torch.float32)"
ROPE_FREQUENCIES = "base ** (-torch.arange(0, D, 2, device=x.device, dtype=wide) / D)"
SLOPES = "slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]"
BETWEEN = "between = [2 ** (-4 * h / power) for h in range(1, 2 * power, 2)]"
QUERIES = "queries = keys[key_len - query_len :].unsqueeze(1)"
BIAS = """return (
        -alibi_slopes(num_heads).to(keys.device).view(-1, 1, 1) * (queries - keys).abs()
    )"""
BATCHES = "        batches = torch.Generator().manual_seed(seed)\n"
FRESH = "fresh = torch.Generator().manual_seed(seed + 1)"
CORRECT = "return (model(ids).argmax(dim=1) == labels).double().mean().item()"

MISTAKES = [
    Mistake(
        "only the input permuted",
        GAP,
        "(fn(x) - fn(x[:, permutation])).abs().max().item()",
        "test_is_zero_for_a_block_without_positions",
        "expected about 0",
    ),
    Mistake(
        "largest without the absolute value",
        GAP,
        GAP.replace(".abs()", ""),
        "test_is_the_largest_difference",
        "looks like the largest without its sign taken off",
    ),
    Mistake(
        "no check of the permutation",
        IS_PERMUTATION,
        "if False:",
        "test_refuses_what_is_no_permutation",
        "raised nothing",
        edge=True,
    ),
    Mistake(
        "exponent i / d_model",
        FREQUENCIES,
        "frequencies = base ** (-(columns // 2) / d_model)",
        "test_equals_the_formula",
        "looks like the exponent is i / d_model in place of 2i / d_model",
    ),
    Mistake(
        "halves not interleaved",
        WAVES,
        "return torch.cat([angles[:, 0::2].sin(), angles[:, 1::2].cos()], "
        "dim=-1).to(dtype)",
        "test_equals_the_formula",
        "looks like all sines, then all cosines",
    ),
    Mistake(
        "cosine first",
        WAVES,
        WAVES.replace("== 0", "== 1"),
        "test_two_columns_are_sine_and_cosine_of_the_position",
        "looks like cosine first",
    ),
    Mistake(
        "even widths only",
        WAVES,
        "pe = torch.zeros(max_len, d_model)\n"
        "    pe[:, 0::2] = torch.sin(angles[:, 0::2])\n"
        "    pe[:, 1::2] = torch.cos(angles[:, 0::2])\n"
        "    return pe.to(dtype)",
        "test_an_odd_width_ends_in_a_sine",
        "The expanded size of the tensor (3) must match the existing size (4)",
        edge=True,
    ),
    Mistake(
        "the table as a parameter",
        BUFFER,
        "self.pe = nn.Parameter(sinusoidal_encoding(max_len, d_model).unsqueeze(0))",
        "test_pe_is_the_table_as_a_buffer",
        "there should be no parameters, there are ['pe']",
    ),
    Mistake(
        "the table as a plain attribute",
        BUFFER,
        "self.pe = sinusoidal_encoding(max_len, d_model).unsqueeze(0)",
        "test_pe_is_the_table_as_a_buffer",
        "pe is not a registered buffer",
    ),
    Mistake(
        "offset ignored",
        ROWS,
        "rows = self.pe[:, : x.size(1)].to(x.dtype)",
        "TestSinusoidalPositionalEncoding::test_offset_continues_the_table",
        "looks like the offset is ignored",
    ),
    Mistake(
        "rows by batch element",
        ROWS,
        "rows = self.pe[0, offset : offset + x.size(0)].unsqueeze(1).to(x.dtype)",
        "test_adds_the_table",
        "looks like rows by batch element in place of by position",
    ),
    Mistake(
        "dropout on the table alone",
        ADD,
        "return x + self.dropout(rows)",
        "test_dropout_is_on_the_result",
        "of the values with features in them are 0, expected about a half",
    ),
    Mistake(
        "the caller's tensor added to",
        ADD,
        "x += rows\n        return self.dropout(x)",
        "test_leaves_x_and_the_table_alone",
        "x after the call, which must not write to it",
        edge=True,
    ),
    Mistake(
        "nn.Embedding as it starts",
        INIT,
        "",
        "test_starts_small_and_normal",
        "expected 0.02",
    ),
    Mistake(
        "gradients cut off",
        LOOKUP,
        """return (
            x
            + self.embedding.weight.detach()[
                torch.arange(offset, offset + x.size(1), device=x.device)
            ]
        )""",
        "test_only_the_rows_used_get_gradients",
        "does not require grad",
    ),
    Mistake(
        "pairs from both halves",
        """    a, b = x[..., 0::2], x[..., 1::2]
    return (
        torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
        .flatten(-2)
        .to(x.dtype)
    )""",
        """    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)""",
        "test_equals_a_loop_over_pairs",
        "looks like pairs of x[i] and x[i + D/2]",
    ),
    Mistake(
        "turned the other way",
        TURN,
        "[a * cos + b * sin, b * cos - a * sin], dim=-1).flatten(-2)",
        "test_turns_a_pair_by_its_position",
        "looks like turned the other way",
    ),
    Mistake(
        "angles in the dtype of x",
        WIDE,
        "wide = x.dtype",
        "test_far_positions_are_right",
        "the result for x in float16",
        edge=True,
    ),
    Mistake(
        "slopes from h = 0",
        SLOPES,
        SLOPES.replace("range(1, power + 1)", "range(power)"),
        "test_powers_of_two",
        "looks like h runs from 0",
    ),
    Mistake(
        "every number of heads treated as a power of two",
        "power = 2 ** (num_heads.bit_length() - 1)",
        "power = num_heads",
        "test_other_numbers_of_heads",
        "looks like 2^(−8h/H), as for a power of two",
    ),
    Mistake(
        "a bonus for distance",
        BIAS,
        BIAS.replace("-alibi", "alibi"),
        "test_is_minus_slope_times_distance",
        "looks like a bonus in place of a penalty",
    ),
    Mistake(
        "the bias always on the CPU",
        "keys = torch.arange(key_len, device=device)",
        "keys = torch.arange(key_len)",
        "test_is_on_the_device_asked_for",
        "device='meta': the bias is on cpu",
        edge=True,
    ),
    Mistake(
        "queries at the first positions",
        QUERIES,
        "queries = keys[:query_len].unsqueeze(1)",
        "test_short_queries_are_the_last_positions",
        "looks like queries at the first positions",
    ),
    Mistake(
        "the second kind trains on other batches",
        BATCHES,
        "        batches = torch.default_generator\n",
        "test_every_kind_sees_the_same_sequences",
        "the ids of the second kind, batch by batch",
    ),
    Mistake(
        "measured in training mode",
        "        model.eval()\n",
        "",
        "test_accuracy_is_the_share_that_is_right",
        "looks like the model in training mode",
    ),
]

EQUIVALENT = [
    Equivalent(
        IS_PERMUTATION,
        IS_PERMUTATION.replace(".tolist()", ""),
        "tensors of one number compare as numbers do",
    ),
    Equivalent(WAVES, WAVES.replace("== 0", "<= 0"), "a remainder is never negative"),
    Equivalent(
        CHECK_EVEN, CHECK_EVEN.replace("==", ">="), "a remainder of 2 is at most 1"
    ),
    Equivalent(
        "_check_width(x.size(2), self.pe.size(2))",
        "_check_width(self.pe.size(2), x.size(2))",
        "the same two numbers are compared; only the message tells them apart",
    ),
    Equivalent(
        "_check_width(x.size(2), self.embedding.embedding_dim)",
        "_check_width(self.embedding.embedding_dim, x.size(2))",
        "the same two numbers are compared; only the message tells them apart",
    ),
    Equivalent(
        "torch.arange(offset, offset + x.size(1), device=x.device)",
        "torch.arange(offset, offset + x.size(1))",
        "only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(
        "positions = torch.arange(T, device=x.device)",
        "positions = torch.arange(T)",
        "positions are moved to the device of x a few lines below",
    ),
    Equivalent(
        WIDE, WIDE.replace("float32", "float64"), "the contract says at least float32"
    ),
    Equivalent(
        f"frequencies = {ROPE_FREQUENCIES}",
        f"frequencies = {ROPE_FREQUENCIES}".replace(", dtype=wide", ""),
        "float32 frequencies are what the contract asks for; in float64 they are more "
        "than that",
    ),
    Equivalent(
        TO_WIDE,
        TO_WIDE.replace(".to(x.device, wide)", ""),
        "the product with the frequencies has their dtype; that positions may lie "
        "elsewhere than x is not promised",
    ),
    Equivalent(PAIRS, PAIRS.replace("0::2", "::2"), "a slice starts at 0 by itself"),
    Equivalent(
        BETWEEN,
        BETWEEN.replace("2 * power, 2", "3 * power, 2"),
        "what is too much is cut off",
    ),
    Equivalent(
        FRESH,
        "fresh = torch.Generator()",
        "a new generator has a seed of its own, always the same",
    ),
    Equivalent(FRESH, FRESH.replace("seed + 1", "seed - 1"), "any other seed will do"),
    Equivalent(FRESH, FRESH.replace("seed + 1", "seed + 2"), "any other seed will do"),
    Equivalent(
        CORRECT,
        CORRECT.replace("double", "float"),
        "shares of 500 are told apart in float32 as well",
    ),
    Equivalent(
        was="table[:, 1::2] = torch.cos(angle[:, : d_model // 2])",
        now="table[:, 1::2] = torch.cos(angle[:, : d_model // 1])",
        reason="an odd d_model is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="fresh = torch.Generator().manual_seed(seed + 1)",
        now="fresh = torch.Generator().manual_seed(seed + 2)",
        reason="any seed but that of training will do",
        textbook=True,
    ),
]
