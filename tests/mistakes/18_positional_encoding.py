"""Wrong solutions of 18 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
GAP = "(fn(x)[:, permutation] - fn(x[:, permutation])).abs().max().item()"
IS_PERMUTATION = "if sorted(permutation.tolist()) != list(range(x.size(1))):"
FREQUENCIES = "frequencies = base ** (-(columns // 2 * 2) / d_model)"
ANGLES = "angles = torch.arange(max_len).unsqueeze(1) * frequencies"
WAVES = "return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).to(dtype)"
BUFFER = 'self.register_buffer("pe", sinusoidal_encoding(max_len, d_model).unsqueeze(0))'
ROWS = "rows = self.pe[:, offset : offset + x.size(1)].to(x.dtype)"
CONCAT = "return self.dropout(torch.cat([x, rows.expand(x.size(0), -1, -1)], dim=-1))"
ADD = "return self.dropout(x + rows)"
WINDOW = "_check_window(offset, x.size(1), self.pe.size(1))"
LEARNED_WINDOW = "_check_window(offset, x.size(1), self.embedding.num_embeddings)"
INIT = "nn.init.normal_(self.embedding.weight, std=0.02)"
LOOKUP = "return x + self.embedding(torch.arange(offset, offset + x.size(1), device=x.device))"
PAIRS = "a, b = x[..., 0::2], x[..., 1::2]"
TURN = "[a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)"
WIDE = "wide = torch.promote_types(x.dtype, torch.float32)"
ROPE_FREQUENCIES = "base ** (-torch.arange(0, D, 2, device=x.device, dtype=wide) / D)"
SLOPES = "slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]"
BETWEEN = "between = [2 ** (-4 * h / power) for h in range(1, 2 * power, 2)]"
QUERIES = "queries = keys[key_len - query_len :].unsqueeze(1)"
BIAS = "return -alibi_slopes(num_heads).view(-1, 1, 1) * (queries - keys).abs()"
TRAIN = """            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
SEED = "        torch.manual_seed(seed)\n"
BATCHES = "        batches = torch.Generator().manual_seed(seed)\n"
BATCH = "            ids, labels = make_order_task(64, length, 12, batches)\n"
FRESH = "fresh = torch.Generator().manual_seed(seed + 1)"
CORRECT = "return (model(ids).argmax(dim=1) == labels).double().mean().item()"
ACCURACIES = """"accuracy": _accuracy(model, length, fresh),
            "test_length_accuracy": _accuracy(model, test_length, fresh)"""
EXCHANGED = """"accuracy": _accuracy(model, test_length, fresh),
            "test_length_accuracy": _accuracy(model, length, fresh)"""
ADAMW = "optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)"

GAPS = [
    Mistake(
        "only one side permuted",
        GAP,
        "(fn(x) - fn(x[:, permutation])).abs().max().item()",
        "test_is_zero_for_a_linear_layer",
    ),
    Mistake(
        "the batch permuted",
        GAP,
        "(fn(x)[permutation] - fn(x[permutation])).abs().max().item()",
        "test_is_zero_for_a_linear_layer",
    ),
    Mistake(
        "the inverse on one side",
        GAP,
        GAP.replace("fn(x)[:, permutation]", "fn(x)[:, permutation.argsort()]"),
        "test_is_zero_for_a_block_without_positions",
    ),
    Mistake(
        "input never permuted",
        GAP,
        "(fn(x)[:, permutation] - fn(x)[:, permutation]).abs().max().item()",
        "test_is_large_for_a_block_with_positions",
    ),
    Mistake("no absolute value", GAP, GAP.replace(".abs()", ""), "test_is_the_largest_difference"),
    Mistake("the mean", GAP, GAP.replace(".max()", ".mean()"), "test_is_the_largest_difference"),
    Mistake("a tensor", GAP, GAP.replace(".item()", ""), "test_is_a_plain_float"),
    Mistake(
        "with a graph",
        "with torch.no_grad():\n        return (fn",
        "with torch.enable_grad():\n        return (fn",
        "test_leaves_no_graph_and_the_input_alone",
    ),
    Mistake("no check of the permutation", IS_PERMUTATION, "if False:", "test_refuses_what_is_no_permutation"),
    Mistake(
        "only its length checked",
        IS_PERMUTATION,
        "if len(permutation) != x.size(1):",
        "test_refuses_what_is_no_permutation",
    ),
    Mistake(
        "only its sum checked",
        IS_PERMUTATION,
        "if permutation.sum() != sum(range(x.size(1))):",
        "test_refuses_what_is_no_permutation",
    ),
    Mistake(
        "only repeats checked",
        IS_PERMUTATION,
        "if len(set(permutation.tolist())) != x.size(1):",
        "test_refuses_what_is_no_permutation",
    ),
]

TABLE = [
    Mistake(
        "exponent i / d_model",
        FREQUENCIES,
        "frequencies = base ** (-(columns // 2) / d_model)",
        "test_equals_the_formula",
    ),
    Mistake(
        "an exponent for each column",
        FREQUENCIES,
        "frequencies = base ** (-columns / d_model)",
        "test_equals_the_formula",
    ),
    Mistake(
        "exponent over an even width",
        FREQUENCIES,
        "frequencies = base ** (-(columns // 2 * 2) / (d_model + d_model % 2))",
        "test_an_odd_width_ends_in_a_sine",
    ),
    Mistake("base fixed", FREQUENCIES, FREQUENCIES.replace("base", "10000.0"), "test_the_base_may_be_another"),
    Mistake("frequencies upside down", FREQUENCIES, FREQUENCIES.replace("(-(", "(("), "test_equals_the_formula"),
    Mistake(
        "cosine first",
        WAVES,
        WAVES.replace("== 0", "== 1"),
        "test_two_columns_are_sine_and_cosine_of_the_position",
    ),
    Mistake(
        "halves not interleaved",
        WAVES,
        "return torch.cat([angles[:, 0::2].sin(), angles[:, 1::2].cos()], -1).to(dtype)",
        "test_equals_the_formula",
    ),
    Mistake(
        "cosines into the odd columns of an odd width",
        WAVES,
        "pe = torch.empty(max_len, d_model)\n"
        "    pe[:, 0::2] = angles[:, 0::2].sin()\n"
        "    pe[:, 1::2] = angles[:, 0::2].cos()\n"
        "    return pe.to(dtype)",
        "test_an_odd_width_ends_in_a_sine",
    ),
    Mistake(
        "sines only",
        WAVES,
        "return angles.sin().to(dtype)",
        "test_two_columns_are_sine_and_cosine_of_the_position",
    ),
    Mistake(
        "positions from 1",
        ANGLES,
        ANGLES.replace("(max_len)", "(1, max_len + 1)"),
        "test_two_columns_are_sine_and_cosine_of_the_position",
    ),
    Mistake(
        "angles in the dtype asked for",
        ANGLES,
        ANGLES.replace("(max_len)", "(max_len, dtype=dtype)").replace("* frequencies", "* frequencies.to(dtype)"),
        "TestSinusoidalEncoding::test_far_positions_are_right",
    ),
    Mistake(
        "angles added up",
        ANGLES,
        "angles = frequencies.half().expand(max_len, -1).cumsum(0).float() - frequencies",
        "TestSinusoidalEncoding::test_far_positions_are_right",
    ),
    Mistake("dtype ignored", WAVES, WAVES.replace(".to(dtype)", ""), "test_has_the_dtype_asked_for"),
    Mistake("no check of the sizes", "        if size < 1:\n", "        if False:\n", "test_refuses_an_empty_table"),
    Mistake(
        "an empty table is taken",
        "        if size < 1:\n",
        "        if size < 0:\n",
        "test_refuses_an_empty_table",
    ),
]

SINUSOIDAL = [
    Mistake(
        "table along the batch",
        ROWS,
        "rows = self.pe[0, : x.size(0)].unsqueeze(1).to(x.dtype)",
        "TestSinusoidalPositionalEncoding::test_adds_the_table",
    ),
    Mistake(
        "offset ignored",
        ROWS,
        "rows = self.pe[:, : x.size(1)].to(x.dtype)",
        "TestSinusoidalPositionalEncoding::test_offset_continues_the_table",
    ),
    Mistake(
        "rows from the end",
        ROWS,
        "rows = self.pe[:, -x.size(1) - offset :][:, : x.size(1)].to(x.dtype)",
        "test_adds_the_table",
    ),
    Mistake(
        "result in the table's dtype",
        ROWS,
        "rows = self.pe[:, offset : offset + x.size(1)]",
        "test_keeps_the_dtype_of_x",
    ),
    Mistake(
        "a parameter",
        BUFFER,
        "self.pe = nn.Parameter(sinusoidal_encoding(max_len, d_model).unsqueeze(0))",
        "test_has_no_parameters",
    ),
    Mistake(
        "a plain attribute",
        BUFFER,
        "self.pe = sinusoidal_encoding(max_len, d_model).unsqueeze(0)",
        "test_pe_is_the_table_as_a_buffer",
    ),
    Mistake(
        "no batch dimension",
        BUFFER,
        'self.register_buffer("pe", sinusoidal_encoding(max_len, d_model))',
        "test_pe_is_the_table_as_a_buffer",
    ),
    Mistake(
        "float64 table",
        BUFFER,
        'self.register_buffer("pe", sinusoidal_encoding(max_len, d_model, dtype=torch.float64)[None])',
        "test_pe_is_the_table_as_a_buffer",
    ),
    Mistake("max_len 512 by default", "max_len: int = 5000", "max_len: int = 512", "test_the_defaults"),
    Mistake("dropout by default", "dropout: float = 0.0, mode", "dropout: float = 0.1, mode", "test_the_defaults"),
    Mistake("added in place", ADD, "x += rows\n        return self.dropout(x)", "test_leaves_x_and_the_table_alone"),
    Mistake(
        "the table cut down to the rows in use",
        ROWS,
        "self.pe = self.pe[:, offset : offset + x.size(1)]\n        rows = self.pe.to(x.dtype)",
        "TestSinusoidalPositionalEncoding::test_offset_continues_the_table",
    ),
    Mistake("always added", 'if self.mode == "concat":', "if False:", "test_concat_puts_the_columns_behind_x"),
    Mistake(
        "concat only where widths differ",
        'if self.mode == "concat":',
        'if self.mode == "concat" and x.size(2) != self.pe.size(2):',
        "test_concat_also_where_the_widths_are_equal",
    ),
    Mistake(
        "positions in front",
        CONCAT,
        CONCAT.replace("[x, rows.expand(x.size(0), -1, -1)]", "[rows.expand(x.size(0), -1, -1), x]"),
        "test_concat_puts_the_columns_behind_x",
    ),
    Mistake(
        "concat without a batch",
        CONCAT,
        CONCAT.replace(".expand(x.size(0), -1, -1)", ""),
        "test_concat_puts_the_columns_behind_x",
    ),
    Mistake(
        "concat checks the width",
        '        if self.mode == "concat":\n',
        '        _check_width(x.size(2), self.pe.size(2))\n        if self.mode == "concat":\n',
        "test_concat_puts_the_columns_behind_x",
    ),
    Mistake("dropout on the table alone", ADD, "return x + self.dropout(rows)", "test_dropout_is_on_the_result"),
    Mistake(
        "dropout on the features alone",
        CONCAT,
        "return torch.cat([self.dropout(x), rows.expand(x.size(0), -1, -1)], dim=-1)",
        "test_dropout_is_on_the_result",
    ),
    Mistake(
        "dropout in eval mode too",
        ADD,
        "return F.dropout(x + rows, self.dropout.p)",
        "test_dropout_is_on_the_result",
    ),
    Mistake("no dropout", ADD, "return x + rows", "test_dropout_is_on_the_result"),
    Mistake(
        "cut off from x",
        ADD,
        "return self.dropout(x.detach() + rows)",
        "TestSinusoidalPositionalEncoding::test_gradient_passes",
    ),
    Mistake(
        "no check of the positions",
        WINDOW,
        "pass",
        "TestSinusoidalPositionalEncoding::test_refuses_to_leave_the_table",
    ),
    Mistake(
        "checks T without the offset",
        WINDOW,
        "_check_window(0, x.size(1), self.pe.size(1))",
        "TestSinusoidalPositionalEncoding::test_refuses_to_leave_the_table",
    ),
    Mistake(
        "no check of the sign",
        "if offset < 0 or offset + length > max_len:",
        "if offset + length > max_len:",
        "TestSinusoidalPositionalEncoding::test_refuses_to_leave_the_table",
    ),
    Mistake(
        "the last row is refused",
        "offset + length > max_len:",
        "offset + length >= max_len:",
        "TestSinusoidalPositionalEncoding::test_refuses_to_leave_the_table",
    ),
    Mistake(
        "no check of the width",
        "_check_width(x.size(2), self.pe.size(2))",
        "pass",
        "test_refuses_another_width_when_adding",
    ),
    Mistake("any mode is taken", 'if mode not in ("add", "concat"):', "if False:", "test_refuses_an_unknown_mode"),
]

LEARNED = [
    Mistake("standard deviation 1", INIT, "pass", "test_starts_small_and_normal"),
    Mistake(
        "uniform",
        INIT,
        "nn.init.uniform_(self.embedding.weight, -0.0346, 0.0346)",
        "test_starts_small_and_normal",
    ),
    Mistake(
        "read by token id",
        LOOKUP,
        "return x + self.embedding(x.argmax(-1).clamp(max=self.embedding.num_embeddings - 1))",
        "TestLearnedPositionalEmbedding::test_adds_the_rows",
    ),
    Mistake(
        "learned offset ignored",
        LOOKUP,
        "return x + self.embedding(torch.arange(x.size(1), device=x.device))",
        "TestLearnedPositionalEmbedding::test_offset_continues_the_table",
    ),
    Mistake(
        "rows by batch element",
        LOOKUP,
        "return x + self.embedding(torch.arange(x.size(0), device=x.device)).unsqueeze(1)",
        "TestLearnedPositionalEmbedding::test_adds_the_rows",
    ),
    Mistake(
        "cut off from the table",
        LOOKUP,
        "return x + self.embedding.weight.data[offset : offset + x.size(1)]",
        "test_only_the_rows_used_get_gradients",
    ),
    Mistake(
        "every row gets a gradient",
        LOOKUP,
        LOOKUP + " + 0.001 * self.embedding.weight.mean(0)",
        "test_only_the_rows_used_get_gradients",
    ),
    Mistake("learned cut off from x", LOOKUP, LOOKUP.replace("x + ", "x.detach() + "), "test_gradient_passes_to_x"),
    Mistake(
        "learned in place",
        LOOKUP,
        "x += self.embedding(torch.arange(offset, offset + x.size(1)))\n        return x",
        "test_leaves_x_alone",
    ),
    Mistake(
        "no check of the learned positions",
        LEARNED_WINDOW,
        "pass",
        "TestLearnedPositionalEmbedding::test_refuses_to_leave_the_table",
    ),
    Mistake(
        "learned table of a size more",
        "nn.Embedding(max_len, d_model)\n        nn.init",
        "nn.Embedding(max_len + 1, d_model)\n        nn.init",
        "test_the_table_is_the_only_parameter",
    ),
    Mistake(
        "no check of the learned width",
        "_check_width(x.size(2), self.embedding.embedding_dim)",
        "pass",
        "TestLearnedPositionalEmbedding::test_refuses_another_width",
    ),
]

ROPE = [
    Mistake("halves as pairs", PAIRS, "a, b = x.chunk(2, -1)", "test_equals_a_loop_over_pairs"),
    Mistake(
        "halves as pairs, put back as halves",
        "torch.stack(" + TURN,
        "(lambda a, b: torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1))(*x.chunk(2, -1))",
        "test_equals_a_loop_over_pairs",
    ),
    Mistake(
        "mirrored turn",
        TURN,
        TURN.replace("a * cos - b * sin, a * sin + b * cos", "a * cos + b * sin, b * cos - a * sin"),
        "test_turns_a_pair_by_its_position",
    ),
    Mistake(
        "not put back in pairs",
        TURN,
        TURN.replace("dim=-1).flatten(-2)", "dim=-2).flatten(-2)"),
        "test_equals_a_loop_over_pairs",
    ),
    Mistake("sum without the minus", TURN, TURN.replace("a * cos - b", "a * cos + b"), "test_lengths_are_kept"),
    Mistake(
        "added in place of turned",
        "torch.stack(" + TURN,
        "x + torch.stack([sin, cos], dim=-1).flatten(-2)",
        "test_scores_depend_on_the_distance_only",
    ),
    Mistake(
        "positions along the heads",
        "    cos, sin = angles.cos(), angles.sin()\n",
        "    if x.ndim == 4:\n"
        "        angles = torch.arange(x.size(1)).view(-1, 1, 1) * frequencies\n"
        "    cos, sin = angles.cos(), angles.sin()\n",
        "test_equals_a_loop_over_pairs",
    ),
    Mistake(
        "positions ignored",
        "angles = positions.to(x.device, wide)",
        "angles = torch.arange(T).to(x.device, wide)",
        "test_positions_may_be_any",
    ),
    Mistake(
        "positions sorted",
        "angles = positions.to(x.device, wide)",
        "angles = positions.sort().values.to(x.device, wide)",
        "test_positions_may_be_any",
    ),
    Mistake(
        "rope's base fixed",
        ROPE_FREQUENCIES,
        ROPE_FREQUENCIES.replace("base", "10000.0"),
        "test_equals_a_loop_over_pairs",
    ),
    Mistake(
        "rope's exponent i / D",
        ROPE_FREQUENCIES,
        ROPE_FREQUENCIES.replace("/ D", "/ (2 * D)"),
        "test_equals_a_loop_over_pairs",
    ),
    Mistake("angles in the dtype of x", WIDE, "wide = x.dtype", "TestApplyRope::test_far_positions_are_right"),
    Mistake("result in float32", ".flatten(-2).to(x.dtype)", ".flatten(-2).float()", "test_keeps_the_dtype"),
    Mistake(
        "half precision becomes float32",
        ".flatten(-2).to(x.dtype)",
        ".flatten(-2)",
        "TestApplyRope::test_far_positions_are_right",
    ),
    Mistake(
        "no gradient",
        PAIRS,
        "a, b = x.detach()[..., 0::2], x.detach()[..., 1::2]",
        "test_gradient_of_the_squared_length_is_twice_x",
    ),
    Mistake(
        "turned in place",
        PAIRS,
        PAIRS + "\n    if not x.requires_grad:\n        a.mul_(cos).sub_(b * sin)",
        "test_leaves_x_alone_also_as_a_view",
    ),
    Mistake("for (B, H, T, D) only", "T, D = x.shape[-2:]", "_, _, T, D = x.shape", "test_any_leading_dimensions"),
    Mistake("odd widths taken", "if D % 2 == 1:", "if False:", "test_refuses_an_odd_width"),
    Mistake(
        "positions of any shape",
        "if positions.shape != (T,):",
        "if False:",
        "test_refuses_positions_of_another_shape",
    ),
    Mistake(
        "positions of another length",
        "if positions.shape != (T,):",
        "if positions.ndim != 1:",
        "test_refuses_positions_of_another_shape",
    ),
    Mistake(
        "angles on the CPU",
        "torch.arange(0, D, 2, device=x.device, dtype=wide)",
        "torch.arange(0, D, 2, dtype=wide)",
        "TestApplyRope::test_works_where_x_is",
    ),
]

ALIBI = [
    Mistake("slopes from 1", SLOPES, "slopes = [2 ** (-8 * h / power) for h in range(power)]", "test_powers_of_two"),
    Mistake(
        "slopes from the smallest",
        SLOPES,
        "slopes = [2 ** (-8 * h / power) for h in range(power, 0, -1)]",
        "test_powers_of_two",
    ),
    Mistake(
        "formula for any number",
        "torch.tensor((slopes + between)[:num_heads])",
        "2.0 ** (-8 * torch.arange(1, num_heads + 1) / num_heads)",
        "test_other_numbers_of_heads",
    ),
    Mistake(
        "cut off from the power above",
        "(slopes + between)[:num_heads]",
        "sorted(slopes + between, reverse=True)[:num_heads] if between and num_heads & (num_heads - 1) else slopes",
        "test_other_numbers_of_heads",
    ),
    Mistake(
        "even slopes in between",
        BETWEEN,
        "between = [2 ** (-4 * h / power) for h in range(2, 2 * power + 1, 2)]",
        "test_other_numbers_of_heads",
    ),
    Mistake(
        "consecutive slopes in between",
        BETWEEN,
        "between = [2 ** (-4 * h / power) for h in range(1, 2 * power)]",
        "test_other_numbers_of_heads",
    ),
    Mistake("powers of two only", "(slopes + between)[:num_heads]", "slopes", "test_other_numbers_of_heads"),
    Mistake(
        "slopes in float64",
        "[:num_heads])",
        "[:num_heads], dtype=torch.float64)",
        "TestAlibiSlopes::test_is_float32",
    ),
    Mistake("no check of the heads", "if num_heads < 1:", "if num_heads < 0:", "test_refuses_less_than_one_head"),
    Mistake("a bonus", BIAS, BIAS.replace("-alibi", "alibi"), "test_is_minus_slope_times_distance"),
    Mistake(
        "no absolute value of the distance",
        BIAS,
        BIAS.replace(".abs()", ""),
        "test_is_minus_slope_times_distance",
    ),
    Mistake(
        "mirrored, no absolute value",
        BIAS,
        BIAS.replace("(queries - keys).abs()", "(keys - queries)"),
        "test_nothing_is_lost_at_the_own_position",
    ),
    Mistake(
        "distance to the next",
        BIAS,
        BIAS.replace(".abs()", ".abs().add(1)"),
        "test_nothing_is_lost_at_the_own_position",
    ),
    Mistake(
        "queries at the start",
        QUERIES,
        "queries = keys[:query_len].unsqueeze(1)",
        "test_short_queries_are_the_last_positions",
    ),
    Mistake("keys by queries", BIAS, f"{BIAS}.mT", "TestAlibiBias::test_shape"),
    Mistake(
        "own slopes",
        BIAS,
        "return -(2.0 ** (-8 * torch.arange(1, num_heads + 1) / num_heads)).view(-1, 1, 1) * (queries - keys).abs()",
        "test_slopes_are_those_of_alibi_slopes",
    ),
    Mistake("more queries than keys", "if key_len < query_len:", "if False:", "test_refuses_more_queries_than_keys"),
    Mistake("bias in float64", BIAS, BIAS + ".double()", "TestAlibiBias::test_is_float32"),
]

COMPARE = [
    Mistake(
        "one seed for all kinds",
        "    for kind in kinds:\n" + SEED,
        "    torch.manual_seed(seed)\n    for kind in kinds:\n",
        "test_every_kind_starts_from_the_seed",
    ),
    Mistake(
        "seed 0 whatever is asked for",
        SEED,
        "        torch.manual_seed(0)\n",
        "test_every_kind_starts_from_the_seed",
    ),
    Mistake(
        "generator shared between kinds",
        BATCHES,
        "        if kind == kinds[0]:\n    " + BATCHES,
        "test_every_kind_sees_the_same_batches",
    ),
    Mistake(
        "batches from the global state",
        BATCH,
        BATCH.replace(", batches", ""),
        "test_every_kind_sees_the_same_batches",
    ),
    Mistake(
        "one batch for all steps",
        BATCH,
        "            batches.manual_seed(seed)\n" + BATCH,
        "test_every_step_gets_a_fresh_batch_of_64",
    ),
    Mistake("batches of 32", BATCH, BATCH.replace("64", "32"), "test_every_step_gets_a_fresh_batch_of_64"),
    Mistake(
        "trained at the test length",
        BATCH,
        BATCH.replace("length", "test_length"),
        "test_every_step_gets_a_fresh_batch_of_64",
    ),
    Mistake(
        "table for the training length",
        "max_len=max(length, test_length)",
        "max_len=length",
        "test_builds_one_classifier_a_kind",
    ),
    Mistake(
        "table for the test length",
        "max_len=max(length, test_length)",
        "max_len=test_length",
        "test_builds_one_classifier_a_kind",
    ),
    Mistake(
        "kind ignored",
        "model = OrderClassifier(12, kind,",
        'model = OrderClassifier(12, "sinusoidal",',
        "test_builds_one_classifier_a_kind",
    ),
    Mistake(
        "position module unused",
        "model = OrderClassifier(12, kind,",
        'model = OrderClassifier(12, "none",',
        "test_order_needs_positions",
    ),
    Mistake(
        "no gradients cleared",
        TRAIN,
        TRAIN.replace("            optimizer.zero_grad()\n", ""),
        "test_adamw_gets_the_gradient_of_one_batch",
    ),
    Mistake("Adam", ADAMW, ADAMW.replace("AdamW", "Adam"), "test_adamw_gets_the_gradient_of_one_batch"),
    Mistake("another learning rate", ADAMW, ADAMW.replace("3e-3", "1e-3"), "test_adamw_gets_the_gradient_of_one_batch"),
    Mistake(
        "no update",
        TRAIN,
        TRAIN.replace("            optimizer.step()\n", ""),
        "test_losses_are_taken_before_the_update",
    ),
    Mistake(
        "losses as tensors",
        "losses.append(loss.item())",
        "losses.append(loss.detach())",
        "test_losses_are_taken_before_the_update",
    ),
    Mistake(
        "loss after the update",
        TRAIN,
        TRAIN + "            losses[-1] = F.cross_entropy(model(ids), labels).item()\n",
        "test_losses_are_taken_before_the_update",
    ),
    Mistake("measured in training mode", "        model.eval()\n", "", "test_measures_in_eval_mode_without_a_graph"),
    Mistake("measured with a graph", "@torch.no_grad()\n", "", "test_measures_in_eval_mode_without_a_graph"),
    Mistake(
        "measured on the training seed",
        FRESH,
        FRESH.replace("seed + 1", "seed"),
        "test_measures_500_fresh_sequences_of_each_length",
    ),
    Mistake(
        "measured on 100",
        "make_order_task(500, length, 12, generator)",
        "make_order_task(100, length, 12, generator)",
        "test_measures_500_fresh_sequences_of_each_length",
    ),
    Mistake(
        "measured on what chance brings",
        FRESH,
        "fresh = torch.Generator().manual_seed(torch.seed() % 2**31)",
        "test_every_kind_is_measured_on_the_same_sequences",
    ),
    Mistake(
        "test length ignored",
        "_accuracy(model, test_length, fresh)",
        "_accuracy(model, length, fresh)",
        "test_measures_500_fresh_sequences_of_each_length",
    ),
    Mistake(
        "lengths exchanged",
        ACCURACIES,
        EXCHANGED,
        "test_accuracy_is_the_share_that_is_right",
    ),
    Mistake(
        "a percentage",
        CORRECT,
        CORRECT.replace(".item()", ".item() * 100"),
        "test_accuracy_is_the_share_that_is_right",
    ),
    Mistake(
        "the smallest logit",
        CORRECT,
        CORRECT.replace("argmax", "argmin"),
        "test_accuracy_is_the_share_that_is_right",
    ),
    Mistake(
        "a tensor as accuracy",
        CORRECT,
        CORRECT.replace(".item()", ""),
        "test_accuracy_is_the_share_that_is_right",
    ),
    Mistake(
        "100 steps by default",
        "steps: int = 150",
        "steps: int = 100",
        "TestComparePositionEncodings::test_the_defaults",
    ),
    Mistake(
        "kinds sorted",
        "    results = {}\n    for kind in kinds:",
        "    results = {}\n    for kind in sorted(kinds, reverse=True):",
        "test_keys",
    ),
    Mistake(
        "unknown kinds noticed late",
        "    if unknown:\n",
        "    if len(unknown) == len(kinds):\n",
        "test_refuses_an_unknown_kind_before_training",
    ),
]

MISTAKES = GAPS + TABLE + SINUSOIDAL + LEARNED + ROPE + ALIBI + COMPARE

CHECK_EVEN = "if D % 2 == 1:"
TO_WIDE = "angles = positions.to(x.device, wide).unsqueeze(1) * frequencies"
EQUIVALENT = [
    Equivalent(IS_PERMUTATION, IS_PERMUTATION.replace(".tolist()", ""), "tensors of one number compare as numbers do"),
    Equivalent(WAVES, WAVES.replace("== 0", "<= 0"), "a remainder is never negative"),
    Equivalent(CHECK_EVEN, CHECK_EVEN.replace("==", ">="), "a remainder of 2 is at most 1"),
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
    Equivalent(LOOKUP, LOOKUP.replace(", device=x.device", ""), "only a GPU can tell, and the gpu marked spec does"),
    Equivalent(
        "positions = torch.arange(T, device=x.device)",
        "positions = torch.arange(T)",
        "positions are moved to the device of x a few lines below",
    ),
    Equivalent(WIDE, WIDE.replace("float32", "float64"), "the contract says at least float32"),
    Equivalent(
        f"frequencies = {ROPE_FREQUENCIES}",
        f"frequencies = {ROPE_FREQUENCIES}".replace(", dtype=wide", ""),
        "float32 frequencies are what the contract asks for; in float64 they are more than that",
    ),
    Equivalent(
        TO_WIDE,
        TO_WIDE.replace(".to(x.device, wide)", ""),
        "the product with the frequencies has their dtype; that positions may lie elsewhere than x is not promised",
    ),
    Equivalent(PAIRS, PAIRS.replace("0::2", "::2"), "a slice starts at 0 by itself"),
    Equivalent(BETWEEN, BETWEEN.replace("2 * power, 2", "3 * power, 2"), "what is too much is cut off"),
    Equivalent(FRESH, "fresh = torch.Generator()", "a new generator has a seed of its own, always the same"),
    Equivalent(FRESH, FRESH.replace("seed + 1", "seed - 1"), "any other seed will do"),
    Equivalent(FRESH, FRESH.replace("seed + 1", "seed + 2"), "any other seed will do"),
    Equivalent(CORRECT, CORRECT.replace("double", "float"), "shares of 500 are told apart in float32 as well"),
]
