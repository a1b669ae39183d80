"""Wrong solutions of today/11 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

HIDDEN = "hidden = ((exponent > 0) | (fmt.man_bits == 0)).int()"
LOWEST = "lowest = 0 if fmt.man_bits == 0 else 1"
NUMBER = """number = (hidden + fraction / 2**fmt.man_bits) * 2.0 ** (
        exponent.clamp(min=lowest) - fmt.bias
    ).float()"""
INFINITE = "number = torch.where(number > fmt.largest, math.inf, number)"
SIZE = "size = x.abs().clamp(max=fmt.largest)"
MAGNITUDE = "magnitude = steps.round() + (exponent + fmt.bias - 1) * 2**fmt.man_bits"
EXPONENT = "return x.abs().log2().floor().clamp(min=1 - fmt.bias)"
STEP = "step = _step(x, fmt)"
RANDOM = "return torch.floor(x / step + u) * step"
AMAX = "amax = parts.abs().amax(dim=-1)\n    if clip:"
CEILING = "exponent = (amax / fmt.largest).log2().ceil()"
ZEROS = "exponent = torch.where(amax == 0, 0.0, exponent.clamp(min=-127))"
MX = """return Blocks(
        encode(scaled, fmt), (exponent + E8M0.bias).to(torch.uint8), fmt, E8M0
    )"""
WHOLE = "whole = amax.max().item() / (E2M1.largest * E4M3.largest) or 1.0"
KEPT = "kept = decode(scales, E4M3) * whole"
BLOCK = "products.append((sums * left.unsqueeze(1) * right).sum(dim=-1))"
SUMS = 'sums = torch.einsum("nji,oji->noj", part, matrix)'
PRODUCT = "return torch.cat(products) * (a.whole * b.whole)"
ROUND = "first, second = x.unflatten(-1, (-1, 2, h)).unbind(-2)\n        "
JOINED = "x = torch.stack([first + second, first - second], dim=-2).flatten(-3)"
DX = 'dx = rounding(grad, "grad") @ rounding(w.mT, "w").mT'
DW = 'dw = rounding(grad.mT, "grad") @ rounding(x.mT, "x").mT'

MISTAKES = [
    Mistake(
        "a hidden 1 in subnormal numbers, too",
        f"{HIDDEN}\n    {LOWEST}",
        "hidden, lowest = 1, 0",
        "test_sixteen_codes_of_e2m1",
        says="looks like a hidden 1 in subnormal numbers, too",
    ),
    Mistake(
        "infinity and NaN for every full exponent, as IEEE has it",
        INFINITE,
        "full = exponent == 2**fmt.exp_bits - 1\n"
        "    number = torch.where(full, torch.where(fraction == 0, math.inf, "
        "math.nan), number)",
        "test_all_codes_of_e4m3",
        says="looks like IEEE's infinity and NaN for every full exponent",
    ),
    Mistake(
        "the bias subtracted in uint8",
        NUMBER,
        "normal = (1 + fraction / 2**fmt.man_bits) * 2.0 ** (exponent.to(torch.uint8) "
        "- fmt.bias).float()\n"
        "    number = torch.where(exponent > 0, normal, fraction / 2**fmt.man_bits * "
        "2.0 ** (1 - fmt.bias))",
        "test_all_codes_of_e4m3",
        says="looks like arithmetic in uint8: 1 − 7 is 250",
    ),
    Mistake(
        "code 0 of E8M0 taken for 0",
        HIDDEN,
        "hidden = (exponent > 0).int()",
        "test_all_codes_of_e8m0",
        says="looks like code 0 taken for 0",
    ),
    Mistake(
        "cut off, not rounded",
        MAGNITUDE,
        MAGNITUDE.replace("round", "floor"),
        "test_the_nearest_of_e2m1",
        says="looks like cut off, not rounded",
    ),
    Mistake(
        "halves away from zero",
        MAGNITUDE,
        MAGNITUDE.replace("steps.round()", "(steps + 0.5).floor()"),
        "test_halfway_goes_to_the_even_code",
        says="looks like halves away from zero",
    ),
    Mistake(
        "nothing saturates",
        SIZE,
        "size = x.abs()",
        "test_beyond_the_largest",
        says="the codes of",
    ),
    Mistake(
        "subnormal numbers have steps of their own",
        EXPONENT,
        "return x.abs().log2().floor().clamp(min=-fmt.bias)",
        "test_each_number_of_the_format_keeps_its_code",
        says="differs",
    ),
    Mistake(
        "cut off towards zero in random rounding",
        RANDOM,
        "return torch.trunc(x / step + u) * step",
        "test_the_mean_is_the_number",
        says="looks like cut off towards zero, not down",
    ),
    Mistake(
        "the size rounded at random, and the sign put back",
        RANDOM,
        "return torch.floor(x.abs() / step + u) * step * x.sign()",
        "test_the_mean_is_the_number",
        says="looks like |x| rounded, and the sign put back",
    ),
    Mistake(
        "one step for numbers of all sizes",
        STEP,
        "step = 2.0 ** (1 - fmt.bias - fmt.man_bits)",
        "test_only_the_two_neighbours",
        says="it lies between",
    ),
    Mistake(
        "one scale for the whole tensor",
        AMAX,
        "amax = x.abs().max().expand(parts.shape[:-1])\n    if clip:",
        "TestQuantiseMx::test_a_scale_per_block",
        says="looks like one scale for the whole tensor",
    ),
    Mistake(
        "the largest of a block without its sign",
        AMAX,
        "amax = parts.amax(dim=-1)\n    if clip:",
        "TestQuantiseMx::test_a_scale_per_block",
        says="looks like the largest without its sign: −5 was not seen",
    ),
    Mistake(
        "a scale twice as large as an exact power needs",
        CEILING,
        "exponent = (amax / fmt.largest).log2().floor() + 1",
        "test_exact_powers",
        says="looks like a power too large",
    ),
    Mistake(
        "the scale's exponent without its bias",
        MX,
        MX.replace("(exponent + E8M0.bias)", "exponent.int()"),
        "TestQuantiseMx::test_a_scale_per_block",
        says="looks like the exponent itself, without 127",
    ),
    Mistake(
        "a block of zeros has no scale",
        ZEROS,
        "exponent = exponent.clamp(min=-127)",
        "test_a_block_of_zeros",
        says="looks like the exponent of 0, which is the least there is",
    ),
    Mistake(
        "u is not used",
        "scaled = round_stochastically(scaled, fmt, u)",
        "pass",
        "TestQuantiseMx::test_random_rounding",
        says="looks like rounded to the nearest, whatever u is",
    ),
    Mistake(
        "divided by the scale before it was rounded",
        KEPT,
        "kept = amax / E2M1.largest",
        "test_codes_use_the_scale_that_is_kept",
        says="looks like divided by the scale before it was rounded",
    ),
    Mistake(
        "no factor for the whole tensor",
        WHOLE,
        "whole = 1.0",
        "test_a_factor_for_the_tensor",
        says="looks like 1: there is none",
    ),
    Mistake(
        "one side's scales only",
        BLOCK,
        "products.append((sums * left.unsqueeze(1)).sum(dim=-1))",
        "test_one_matrix",
        says="looks like without b's scales",
    ),
    Mistake(
        "the first matrix for all groups",
        SUMS,
        'sums, right = torch.einsum("nji,oji->noj", part, matrices[0]), '
        "their_scales[0]",
        "TestScaledMatmul::test_groups",
        says="looks like the first matrix for all rows",
    ),
    Mistake(
        "the factor for the whole forgotten",
        PRODUCT,
        "return torch.cat(products)",
        "test_other_formats_and_a_factor_for_the_whole",
        says="looks like without `whole` of both",
    ),
    Mistake(
        "neighbours in every round",
        ROUND + JOINED,
        "a, b = x[..., ::2], x[..., 1::2]\n"
        "        x = torch.stack([a + b, a - b], dim=-1).flatten(-2)",
        "test_four_and_eight_places",
        says="looks like neighbours met in every round",
    ),
    Mistake(
        "w rounded along its inputs for dx",
        DX,
        'dx = rounding(grad, "grad") @ rounding(w, "w")',
        "test_gradients_of_rounded_operands",
        says="looks like w rounded along I, as forward",
    ),
    Mistake(
        "a gradient that is not rounded",
        DW,
        'dw = grad.mT @ rounding(x.mT, "x").mT',
        "test_gradients_of_rounded_operands",
        says="looks like the gradient not rounded",
    ),
]

UNASKED = {
    f"{name}: u, never negative": "uniform from 0 to 1"
    for name in ("quantise_mx", "quantise_nvfp4", "round_stochastically")
}

EQUIVALENT = [
    Equivalent(
        was="x = torch.where(codes > unsigned, -x, x)",
        now="x = torch.where(codes > unsigned + 1, -x, x)",
        reason="the sign is worth 2 at least",
        textbook=True,
    ),
    Equivalent(
        was="sign = (x < 0) * 2 ** (fmt.exp_bits + fmt.man_bits)",
        now="sign = (x <= 0) * 2 ** (fmt.exp_bits + fmt.man_bits)",
        reason="a zero may have the code of either",
        textbook=True,
    ),
]
