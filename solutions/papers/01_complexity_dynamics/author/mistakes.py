"""Wrong solutions of papers/01 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

TABLE = "return torch.tensor([rule >> entry & 1 for entry in range(8)])"
ROLLS = "left, right = centre.roll(1, dims=-1), centre.roll(-1, dims=-1)"
START = "table, rows = rule_table(rule), [state.long()]"
STACKED = (
    "        rows.append(table[4 * left + 2 * centre + right])\n"
    "    return torch.stack(rows, dim=-2)"
)
NUMPY_CODES = "codes = _codes(row, block, np.roll)"
NUMPY_BITS = "return float(-(p * np.log2(p)).sum())"
CODES = "codes = _codes(rows, block, lambda row, places: row.roll(places, dims=-1))"
SHARES = "p = F.one_hot(codes, 2**block).float().mean(dim=-2)"
DENSITY = "density = rows.float().unflatten(-1, (-1, block)).mean(dim=-1)"
LEVELS = "levels = (density > 1 / 4).long() + (density > 3 / 4).long()"
CONV = 'kernel_size=3, padding=1, padding_mode="circular"\n        )'
OUT = "return self.out(F.relu(self.conv(x))).squeeze(1)"
TARGET = "target = evolve(state, rule, 1)[:, 1]"

MISTAKES = [
    Mistake(
        "the highest bit first",
        was=TABLE,
        now="return torch.tensor([rule >> 7 - entry & 1 for entry in range(8)])",
        caught_by="test_each_neighbourhood_gets_its_bit",
        says="looks like the highest bit comes first",
    ),
    Mistake(
        "a rule of more than eight bits",
        was="if not 0 <= rule <= 255:",
        now="if rule < 0:",
        caught_by="test_a_rule_outside_of_0_to_255_is_an_error",
        says="raised nothing expected an error, such as ValueError that mentions 256",
        edge=True,
    ),
    Mistake(
        "the neighbourhood read from right to left",
        was=ROLLS,
        now="right, left = centre.roll(1, dims=-1), centre.roll(-1, dims=-1)",
        caught_by="test_one_step_looks_up_every_neighbourhood",
        says="looks like left and right are exchanged",
    ),
    Mistake(
        "zeros beyond the border",
        was=ROLLS,
        now=(
            "left, right = F.pad(centre, (1, 1))[..., :-2], F.pad(centre, (1, "
            "1))[..., 2:]"
        ),
        caught_by="test_a_live_cell_on_the_border_sees_the_far_end",
        says="looks like zeros beyond the border, not a ring",
    ),
    Mistake(
        "a roll without a dim",
        was=ROLLS,
        now="left, right = centre.roll(1), centre.roll(-1)",
        caught_by="test_rows_in_a_batch_never_mix",
        says="looks like one long row",
    ),
    Mistake(
        "a history without the start",
        was=STACKED,
        now=STACKED.replace("rows, dim", "rows[1:], dim"),
        caught_by="test_one_step_looks_up_every_neighbourhood",
        says="looks like the start is not part of the history",
    ),
    Mistake(
        "time stacked in dim 0",
        was=STACKED,
        now=STACKED.replace("dim=-2", "dim=0"),
        caught_by="test_rows_in_a_batch_never_mix",
        says="looks like time in another dim",
    ),
    Mistake(
        "a uint8 row as an index",
        was=START,
        now=START.replace("[state.long()]", "[state]"),
        caught_by="test_other_dtypes_work",
        says="The shape of the mask [11] at index 0",
        edge=True,
    ),
    Mistake(
        "a natural logarithm",
        was=NUMPY_BITS,
        now=NUMPY_BITS.replace("log2", "log"),
        caught_by="test_alternating_cells_have_one_bit",
        says="looks like nats: a natural logarithm",
    ),
    Mistake(
        "NaN from 0 · log 0",
        was="p = np.unique(codes, return_counts=True)[1] / len(row)",
        now="p = np.bincount(codes, minlength=2**block) / len(row)",
        caught_by="test_equal_cells_have_none",
        says="looks like 0 · log 0 = NaN among the terms",
    ),
    Mistake(
        "windows that do not overlap",
        was=NUMPY_CODES,
        now=(
            "codes = row[: len(row) // block * block].reshape(-1, block) @ (2 ** "
            "np.arange(block))\n    row = codes"
        ),
        caught_by="test_windows_overlap_and_wrap",
        says="looks like windows that do not overlap",
    ),
    Mistake(
        "one histogram for all rows",
        was=SHARES,
        now=(
            "p = F.one_hot(codes, 2**block).float().flatten(0, "
            "-2).mean(dim=0).expand(*rows.shape[:-1], -1)"
        ),
        caught_by="test_each_row_of_a_picture_has_its_own",
        says="looks like all rows counted together",
    ),
    Mistake(
        "unfold without the ring",
        was=CODES,
        now=(
            "codes = (rows.unfold(-1, block, 1) * 2 ** torch.arange(block)).sum(dim=-1)"
        ),
        caught_by="TestBlockEntropy::test_known_rows_have_their_entropy",
        says="looks like windows that do not go on at the start",
    ),
    Mistake(
        "blocks of cells that are apart",
        was=DENSITY,
        now="density = rows.float().unflatten(-1, (block, -1)).mean(dim=-2)",
        caught_by="test_densities_are_those_of_neighbouring_cells",
        says="looks like cells that are 8 places apart, not neighbours",
    ),
    Mistake(
        "3/4 taken for high",
        was=LEVELS,
        now=LEVELS.replace("> 3 / 4", ">= 3 / 4"),
        caught_by="test_exactly_a_quarter_is_low_and_exactly_three_quarters_is_mid",
        says="looks like a density of 3/4 taken for high",
    ),
    Mistake(
        "1/4 taken for mid",
        was=LEVELS,
        now=LEVELS.replace("> 1 / 4", ">= 1 / 4"),
        caught_by="test_exactly_a_quarter_is_low_and_exactly_three_quarters_is_mid",
        says="looks like a density of 1/4 taken for mid",
    ),
    Mistake(
        "padding_mode left at zeros",
        was=CONV,
        now="kernel_size=3, padding=1)",
        caught_by="test_logits_follow_from_the_weights",
        says="looks like zeros beyond the border, not a ring",
    ),
    Mistake(
        "a sigmoid in the model and in the loss",
        was=OUT,
        now="return self.out(F.relu(self.conv(x))).squeeze(1).sigmoid()",
        caught_by="test_logits_follow_from_the_weights",
        says="looks like probabilities: there is a sigmoid",
    ),
    Mistake(
        "the row itself as the target",
        was=TARGET,
        now="target = evolve(state, rule, 1)[:, 0]",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like the row itself as the target",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "the same rows in every step",
        was="        state = torch.randint(2, (batch, width), generator=generator)\n",
        now=(
            "        state = torch.randint(2, (batch, width), "
            "generator=torch.Generator().manual_seed(0))\n"
        ),
        caught_by="test_every_step_reads_new_rows",
        says="two steps read the same rows",
    ),
    Mistake(
        "left in eval mode",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT: list[Equivalent] = [
    Equivalent(
        was="codes = sum(2**i * np.roll(row, -i) for i in range(block))",
        now="codes = sum(3**i * np.roll(row, -i) for i in range(block))",
        reason="sums of powers of 3 tell patterns apart as well",
        textbook=True,
    ),
    Equivalent(
        was="p = F.one_hot(codes, 2**block).float().mean(dim=-2)",
        now="p = F.one_hot(codes, 3**block).float().mean(dim=-2)",
        reason="a class that never occurs adds 0",
        textbook=True,
    ),
    Equivalent(
        was="p = F.one_hot(levels, 3).float().mean(dim=-2)",
        now="p = F.one_hot(levels, 4).float().mean(dim=-2)",
        reason="a class that never occurs adds 0",
        textbook=True,
    ),
    Equivalent(
        was="target = evolve(state, rule, 1)[:, 1]",
        now="target = evolve(state, rule, 2)[:, 1]",
        reason="a step more comes behind the first",
        textbook=True,
    ),
]
