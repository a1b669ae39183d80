"""Wrong solutions of today/07 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

LARGEST = "largest = w.abs().amax(dim=1, keepdim=True)"
SCALE8 = "scale = torch.where(largest == 0, 1.0, largest / 127)"
CODES8 = "return (w / scale).round().clamp(-127, 127).to(torch.int8), scale"
NIBBLES = "nibbles = q.to(torch.uint8) & 0xF"
PACKED = "return nibbles[..., ::2] | nibbles[..., 1::2] << 4"
UNPACKED = """nibbles = (
        torch.stack([packed & 0xF, packed >> 4], dim=-1).flatten(-2).to(torch.int8)
    )"""
SIGNED = "return torch.where(nibbles > 7, nibbles - 16, nibbles)"
SCALE4 = "scale = torch.where(largest == 0, 1.0, largest / 7)"
WEIGHT = "w = (codes * scale.unsqueeze(-1)).flatten(1)"
LINEAR = "return F.linear(x, w.to(x.dtype), bias)"
ERROR = "return ((x / s).round().clamp(-n, n) * s - x).square().mean()"
SCALE_FP8 = "scale = torch.where(largest == 0, 1.0, largest / 448)"
FP8 = "return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale"
OUTSIDE = "outside = q[(q < -8) | (q > 7)]"
STRAIGHT = "return w + (quantise(w) - w).detach()"

MISTAKES = [
    Mistake(
        "cut off by the cast, not rounded",
        CODES8,
        "return (w / scale).clamp(-127, 127).to(torch.int8), scale",
        "test_codes_and_scales_by_hand",
        says="looks like cut off, not rounded: the cast to int8 truncates",
    ),
    Mistake(
        "one scale for the whole tensor",
        LARGEST,
        "largest = w.abs().max().expand(len(w), 1)",
        "test_codes_and_scales_by_hand",
        says="looks like one scale for the whole tensor",
    ),
    Mistake(
        "divided by 128",
        SCALE8,
        "scale = torch.where(largest == 0, 1.0, largest / 128)",
        "test_codes_and_scales_by_hand",
        says="looks like the largest divided by 128",
    ),
    Mistake(
        "a scale per input column",
        LARGEST,
        "largest = w.abs().amax(dim=0, keepdim=True)",
        "test_codes_and_scales_by_hand",
        says="shape",
    ),
    Mistake(
        "a row of zeros divided by 0",
        SCALE8,
        "scale = largest / 127",
        "TestAbsmaxInt8::test_a_row_of_zeros",
        says="looks like the largest of the row divided by 127, though it is 0",
    ),
    Mistake(
        "the largest without its sign",
        LARGEST,
        "largest = w.amax(dim=1, keepdim=True)",
        "test_codes_and_scales_by_hand",
        says="looks like the largest without its sign",
    ),
    Mistake(
        "the high bits first",
        PACKED,
        "return nibbles[..., 1::2] | nibbles[..., ::2] << 4",
        "test_the_first_goes_low",
        says="looks like the first number in the high bits",
    ),
    Mistake(
        "the sign spills into the other half",
        NIBBLES,
        "nibbles = q.to(torch.uint8)",
        "test_the_first_goes_low",
        says="looks like the sign of a low number filled the high bits",
    ),
    Mistake(
        "halves of the row in place of neighbours",
        PACKED,
        "half = q.size(-1) // 2\n"
        "    return nibbles[..., :half] | nibbles[..., half:] << 4",
        "test_the_first_goes_low",
        says="looks like the first half of the row low, the second high",
    ),
    Mistake(
        "unpacked without signs",
        SIGNED,
        "return nibbles",
        "test_low_bits_first_and_signed",
        says="looks like without signs: 1111 is −1, not 15",
    ),
    Mistake(
        "unpacked one half after the other",
        UNPACKED,
        "nibbles = torch.cat([packed & 0xF, packed >> 4], dim=-1).to(torch.int8)",
        "test_low_bits_first_and_signed",
        says="looks like all low bits, then all high bits",
    ),
    Mistake(
        "unpacked with the high bits first",
        UNPACKED,
        "nibbles = torch.stack([packed >> 4, packed & 0xF], "
        "dim=-1).flatten(-2).to(torch.int8)",
        "test_low_bits_first_and_signed",
        says="looks like the high bits first",
    ),
    Mistake(
        "one scale for the row, not per group",
        "largest = groups.abs().amax(dim=-1)",
        "largest = w.abs().amax(dim=1, keepdim=True).expand(len(w), groups.size(1))",
        "test_a_scale_per_group",
        says="looks like one scale for the whole row",
    ),
    Mistake(
        "a group of zeros divided by 0",
        SCALE4,
        "scale = largest / 7",
        "test_a_group_of_zeros",
        says="looks like the largest of the group divided by 7, though it is 0",
    ),
    Mistake(
        "the first group's scale for the row",
        WEIGHT,
        "w = (codes * scale[:, :1, None]).flatten(1)",
        "test_equals_the_dequantised_layer",
        says="looks like the scale of the first group used for the row",
    ),
    Mistake(
        "scales in turn",
        WEIGHT,
        "w = codes.flatten(1) * scale.repeat(1, group_size)",
        "test_equals_the_dequantised_layer",
        says="looks like scales in turn, not group by group",
    ),
    Mistake(
        "the bias forgotten",
        LINEAR,
        "return F.linear(x, w.to(x.dtype))",
        "test_equals_the_dequantised_layer",
        says="looks like without the bias",
    ),
    Mistake(
        "codes are not clamped while a scale is tried",
        ERROR,
        "return ((x / s).round() * s - x).square().mean()",
        "test_an_outlier_is_cut",
        says="looks like the smallest candidate, as without the clamp",
    ),
    Mistake(
        "the range of the other float8",
        SCALE_FP8,
        "scale = torch.where(largest == 0, 1.0, largest / 57344)",
        "test_the_largest_becomes_448",
        says="looks like the range of e5m2, 57344",
    ),
    Mistake(
        "the gradient of round",
        STRAIGHT,
        "return quantise(w)",
        "test_gradient_passes_as_if_not_rounded",
        says="looks like 0, the gradient of round",
    ),
    Mistake(
        "the gradient counted twice",
        STRAIGHT,
        "return quantise(w) + w - w.detach()",
        "test_a_gradient_of_quantise_does_not_count",
        says="looks like counted twice: 1, and that of quantise",
    ),
    Mistake(
        "not rounded at all",
        STRAIGHT,
        "return w + 0 * quantise(w).detach()",
        "test_values_are_rounded",
        says="looks like the values of w, not rounded",
    ),
]

UNASKED = {"quantised_linear: scale, never negative": "the step of a grid"}

EQUIVALENT = [
    *(
        Equivalent(line, line.replace("==", "<="), "no absolute value is negative")
        for line in (SCALE8, SCALE4, SCALE_FP8, "if largest == 0:")
    ),
    Equivalent(
        OUTSIDE, OUTSIDE.replace("|", "^"), "no number is both too small and too large"
    ),
    Equivalent(PACKED, PACKED.replace("|", "^"), "the two have no bit in common"),
    *(
        Equivalent(FP8, FP8.replace(*change), "the CPU's cast rounds to 448")
        for change in (
            (".clamp(-448, 448)", ""),
            ("-448", "-447"),
            ("-448", "-449"),
            (" 448", " 447"),
            (" 448", " 449"),
        )
    ),
    Equivalent(
        was="if best is None or error <= best_error:",
        now="if best is None or error < best_error:",
        reason="of equal ones the largest is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale",
        now="return (x / scale).clamp(-448, 449).to(torch.float8_e4m3fn), scale",
        reason="float8 has no number between 416 and 448, and none beyond",
        textbook=True,
    ),
    Equivalent(
        was="return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale",
        now="return (x / scale).clamp(-448, 447).to(torch.float8_e4m3fn), scale",
        reason="float8 has no number between 416 and 448, and none beyond",
        textbook=True,
    ),
    Equivalent(
        was="return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale",
        now="return (x / scale).clamp(-449, 448).to(torch.float8_e4m3fn), scale",
        reason="float8 has no number between 416 and 448, and none beyond",
        textbook=True,
    ),
    Equivalent(
        was="return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale",
        now="return (x / scale).clamp(-447, 448).to(torch.float8_e4m3fn), scale",
        reason="float8 has no number between 416 and 448, and none beyond",
        textbook=True,
    ),
]
