"""Wrong solutions of papers/19 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

DRAWN = "vertical, offset = torch.randint(2, (2,), generator=generator).tolist()"
SWAP = "swap = torch.rand(first.shape, generator=generator) < swap_probability"
SWAPPED = """new_first, new_second = (
        torch.where(swap, second, first),
        torch.where(swap, first, second),
    )
    first.copy_(new_first)
    second.copy_(new_second)"""
LEVELS = "return (mean * levels).floor().clamp(max=levels - 1).to(torch.uint8)"
READ = """        if step % every == 0:
            curve["step"].append(step)
            curve["entropy"].append(compressed_size(state))
            curve["complexity"].append(
                compressed_size(coarse_grain(state, window, stride, levels))
            )
        state = mix_step(state, swap_probability, generator)
"""
RESULT = """    result = state.clone()
    for dim in (2, 3):
        # from each cell's next neighbour to the cell
        flow = swap_probability / 4 * state.diff(dim=dim)
        length = state.shape[dim] - 1
        result.narrow(dim, 0, length).add_(flow)
        result.narrow(dim, 1, length).sub_(flow)
    return result
"""
ROLLS = "sum(state.roll(shift, dim) for shift in (1, -1) for dim in (2, 3))"
NUMPY = "return state + swap_probability / 4 * (up + down + left + right - 4 * state)"
TARGET = """target = torch.cat(
            [mix_step(group, swap_probability, generator) for group in state.chunk(8)]
        )"""
TIME = """time = math.lcm(
                time,
                next(turn for turn in turns if cycle[turn:] + cycle[:turn] == cycle),
            )"""

MISTAKES = [
    Mistake(
        "two assignments without a copy",
        was=SWAPPED,
        now=(
            "first.copy_(torch.where(swap, second, first))\n"
            "    second.copy_(torch.where(swap, first, second))"
        ),
        caught_by="test_probability_0_moves_nothing_and_1_swaps_every_pair",
        says="looks like one cell of a pair in both places",
    ),
    Mistake(
        "a roll as a swap",
        was=SWAPPED,
        now="""dim = 2 if vertical else 3
    chance = torch.rand(state.shape, generator=generator)
    state = torch.where(chance < swap_probability, state.roll(1, dim), state)""",
        caught_by="test_probability_0_moves_nothing_and_1_swaps_every_pair",
        says="looks like the whole grid rolled",
    ),
    Mistake(
        "horizontal only",
        was=DRAWN,
        now="vertical, offset = 0, int(torch.randint(2, (1,), generator=generator))",
        caught_by="test_both_directions_and_both_offsets_occur",
        says="these never occurred: vertical, offset 0; vertical, offset 1",
    ),
    Mistake(
        "the offset always 0",
        was=DRAWN,
        now="vertical, offset = int(torch.randint(2, (1,), generator=generator)), 0",
        caught_by="test_both_directions_and_both_offsets_occur",
        says="these never occurred: vertical, offset 1; horizontal, offset 1",
    ),
    Mistake(
        "one random number per grid",
        was=SWAP,
        now=(
            "swap = torch.rand(len(state), 1, 1, 1, generator=generator) < "
            "swap_probability"
        ),
        caught_by="test_each_pair_swaps_on_its_own",
        says="draw a number per pair",
    ),
    Mistake(
        "one mask for the batch",
        was=SWAP,
        now=(
            "swap = torch.rand(first.shape[1:], generator=generator) < swap_probability"
        ),
        caught_by="test_grids_of_a_batch_mix_independently",
        says="two equal grids are still equal",
    ),
    Mistake(
        "rounding to levels",
        was=LEVELS,
        now="return (mean * (levels - 1)).round().to(torch.uint8)",
        caught_by="test_a_small_cup_by_hand",
        says="looks like round(mean · (levels − 1))",
    ),
    Mistake(
        "a level more for pure cream",
        was=LEVELS,
        now=LEVELS.replace(".clamp(max=levels - 1)", ""),
        caught_by="test_levels_are_uint8_from_0_to_the_number_of_levels_less_1",
        says="looks like a mean of 1 in a level of its own",
    ),
    Mistake(
        "complexity of the fine state",
        was="compressed_size(coarse_grain(state, window, stride, levels))",
        now="compressed_size(state)",
        caught_by="test_readings_are_those_of_a_replay",
        says="looks like complexity of the fine state",
    ),
    Mistake(
        "readings after the step",
        was=READ,
        now="        state = mix_step(state, swap_probability, generator)\n"
        + READ.rsplit("        state", 1)[0],
        caught_by="test_readings_are_those_of_a_replay",
        says="looks like readings after the step",
    ),
    Mistake(
        "the generator not handed on",
        was="        state = mix_step(state, swap_probability, generator)",
        now="        state = mix_step(state, swap_probability)",
        caught_by="test_readings_are_those_of_a_replay",
        says="looks like a generator that `mix_step` did not get",
    ),
    Mistake(
        "zeros beyond the border",
        was=RESULT,
        now="""    padded = F.pad(state, (1, 1, 1, 1))
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    around = around + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return state + swap_probability / 4 * (around - 4 * state)
""",
        caught_by="TestExpectedStep::test_every_cell_moves_towards_its_neighbours",
        says="looks like zeros beyond the border",
    ),
    Mistake(
        "neighbours by roll",
        was=RESULT,
        now=f"    return state + swap_probability / 4 * ({ROLLS} - 4 * state)\n",
        caught_by="TestExpectedStep::test_one_drop_spreads_to_four_neighbours",
        says="looks like the far side beyond the border",
    ),
    Mistake(
        "NumPy: p / 4 forgotten",
        was=NUMPY,
        now=NUMPY.replace(" / 4", ""),
        caught_by="TestExpectedStepNumpy::test_every_cell_moves_towards_its_neighbours",
        says="looks like p times the differences, not p / 4",
    ),
    Mistake(
        "a model with zeros beyond the border",
        was='padding=1, padding_mode="replicate", bias=False',
        now="padding=1, bias=False",
        caught_by="test_forward_is_the_convolution_with_a_copied_border",
        says="looks like zeros beyond the border",
    ),
    Mistake(
        "all grids with the same share",
        was="share = torch.rand(batch_size, 1, 1, 1, generator=generator)",
        now="share = 0.5",
        caught_by="test_every_step_draws_new_grids_with_shares_of_their_own",
        says="0 of 200 grids have a share of cream below 1/4",
    ),
    Mistake(
        "one direction per batch",
        was=TARGET,
        now="target = mix_step(state, swap_probability, generator)",
        caught_by="test_a_batch_is_mixed_in_four_groups_or_more",
        says="expected at least 4 per step",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainDiffusion::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "the longest cycle",
        was=TIME,
        now=TIME.replace("math.lcm", "max"),
        caught_by="test_cells_that_differ_return_with_their_cycles",
        says="looks like the longest cycle",
    ),
    Mistake(
        "the product of the times",
        was=TIME,
        now="""time = math.prod(
                (
                    time,
                    next(
                        turn for turn in turns if cycle[turn:] + cycle[:turn] == cycle
                    ),
                )
            )""",
        caught_by="test_cells_that_differ_return_with_their_cycles",
        says="looks like the product of the lengths",
    ),
    Mistake(
        "cycle lengths alone",
        was=TIME,
        now="time = math.lcm(time, len(cycle))",
        caught_by="test_equal_cells_return_earlier",
        says="looks like the length of the cycle",
    ),
    Mistake(
        "rotation without wrapping round",
        was="cycle[turn:] + cycle[:turn] == cycle",
        now="cycle[turn:] == cycle[: len(cycle) - turn]",
        caught_by="test_equal_cells_return_earlier",
        says="looks like the end not compared with the beginning",
    ),
    # edges
    Mistake(
        "the state written to",
        was="    state = state.clone()\n    lines",
        now="    lines",
        caught_by="TestMixStep::test_the_state_is_not_written_to",
        says="state after the call, which must not write to it",
        edge=True,
    ),
    Mistake(
        "any number as a probability",
        was="if not 0 <= swap_probability <= 1:",
        now="if swap_probability < 0:",
        caught_by="test_a_probability_is_between_0_and_1",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    Mistake(
        "lengths compared only",
        was="if sorted(permutation_list) != list(range(len(values))):",
        now="if len(permutation_list) != len(values):",
        caught_by="test_the_law_must_be_a_permutation",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
]

UNASKED = {
    f"{name}: state, never negative": "cells"
    for name in ("coarse_grain", "recurrence_time")
}

EQUIVALENT = [
    Equivalent(
        was="swap = torch.rand(first.shape, generator=generator) < swap_probability",
        now="swap = torch.rand(first.shape, generator=generator) <= swap_probability",
        reason="a draw is not the bound itself",
        textbook=True,
    ),
    Equivalent(
        was="torch.rand(batch_size, 1, size, size, generator=generator) < share",
        now="torch.rand(batch_size, 1, size, size, generator=generator) <= share",
        reason="a draw is not the bound itself",
        textbook=True,
    ),
    Equivalent(
        was=(
            "[mix_step(group, swap_probability, generator) for group in state.chunk(4)]"
        ),
        now=(
            "[mix_step(group, swap_probability, generator) for group in state.chunk(5)]"
        ),
        reason="four groups or more",
        textbook=True,
    ),
    Equivalent(
        was="turns = range(1, len(cycle) + 1)",
        now="turns = range(1, len(cycle) + 2)",
        reason="a whole turn is the last that is asked for",
        textbook=True,
    ),
]
