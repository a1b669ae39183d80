"""Wrong solutions of 08 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
STEP = """            x = transform(x)
            found.append((type(transform).__name__, x))"""
SCALED = "return pixels.permute(2, 0, 1) / 255"
NORMALISED = "return (x - mean) / std"
FLIPPED = "flipped = torch.rand(1, generator=self.generator) < self.p"
NOISE = """noise = torch.randn(
            x.shape, generator=self.generator, dtype=x.dtype, device=x.device
        )"""
NOISY = "return (x + self.std * noise).clamp(0, 1)"
BACK = "from_x, from_y = cos * x - sin * y, sin * x + cos * y"
SAMPLED = """moved = F.grid_sample(
        batch, grid.expand(len(batch), -1, -1, -1), mode="bilinear", align_corners=False
    )"""
TURN = """cos, sin = (
        math.cos(math.radians(angle)) / scale,
        math.sin(math.radians(angle)) / scale,
    )"""
LIMITS = "right, down = self.translate[0] * width, self.translate[1] * height"
TRAIN_TURN = "RandomRotation(10, generator),"

MISTAKES = [
    # Compose
    Mistake(
        "steps that call twice: for the list and for the next transform",
        was=STEP,
        now=(
            "            found.append((type(transform).__name__, transform(x)))\n"
            "            x = transform(x)"
        ),
        caught_by="test_steps_calls_each_transform_once",
        says="looks like every transform called twice",
    ),
    # Resize and CenterCrop
    Mistake(
        "(height, width) passed to PIL, which takes (width, height)",
        was="height, width = self.size\n",
        now="width, height = self.size\n",
        caught_by="TestResize::test_a_pair_is_height_and_width",
        says="wanted an image 7 high and 11 wide, it is 11 high and 7 wide",
    ),
    Mistake(
        "the longer side becomes size",
        was="shorter = min(image.size)",
        now="shorter = max(image.size)",
        caught_by="test_the_shorter_side_gets_the_size",
        says="wanted an image 6 high and 8 wide, it is 4 high and 6 wide",
    ),
    Mistake(
        "PIL's default filter",
        was="return image.resize((width, height), Image.Resampling.BILINEAR)",
        now="return image.resize((width, height))",
        caught_by="test_pixels_are_bilinear_averages",
        says="looks like PIL's default filter, bicubic",
    ),
    Mistake(
        "width and height passed as right and lower edge",
        was="return image.crop((left, top, left + self.width, top + self.height))",
        now="return image.crop((left, top, self.width, self.height))",
        caught_by="test_the_middle_is_cut_out",
        says="wanted an image 4 high and 6 wide, it is 1 high and 2 wide",
    ),
    Mistake(
        "black borders where the image is too small",
        was="if self.height > height or self.width > width:",
        now="if False:",
        caught_by="test_too_large_a_crop_is_refused",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    # ToTensor and Normalize
    Mistake(
        "reshaped instead of permuted",
        was=SCALED,
        now="return pixels.reshape(pixels.shape[2], *pixels.shape[:2]) / 255",
        caught_by="test_channels_come_first",
        says="looks like reshaped instead of permuted",
    ),
    Mistake(
        "divided by the image's maximum",
        was=SCALED,
        now="return pixels.permute(2, 0, 1) / pixels.max()",
        caught_by="test_dark_images_stay_dark",
        says="looks like divided by the image's own maximum",
    ),
    Mistake(
        "mean and std along the last dim",
        was="return x.new_tensor([self.mean, self.std])[:, :, None, None]",
        now="return x.new_tensor([self.mean, self.std])",
        caught_by="test_every_channel_has_its_own_numbers",
        says="looks like mean and std along the width",
    ),
    Mistake(
        "the inverse moves first",
        was="return x * std + mean",
        now="return (x + mean) * std",
        caught_by="test_inverse_is_the_formula_backwards",
        says="looks like moved first, then multiplied",
    ),
    Mistake(
        "in place",
        was=NORMALISED,
        now="return x.sub_(mean).div_(std)",
        caught_by="TestNormalize::test_the_input_stays_as_it_was",
        says=(
            "of image after the call, which must not write to it differs at 60 of 60 "
            "places"
        ),
        edge=True,
    ),
    # RandomHorizontalFlip and AddGaussianNoise
    Mistake(
        "upside down",
        was="return image.flip(-1) if flipped else image",
        now="return image.flip(-2) if flipped else image",
        caught_by="test_flipping_reverses_the_width",
        says="looks like upside down: the height is reversed",
    ),
    Mistake(
        "compared the wrong way round",
        was=FLIPPED,
        now=FLIPPED.replace("<", ">"),
        caught_by="test_p_is_the_share_of_flips",
        says="with p = 0.2 about 20% of 600 images should flip; 79% did",
    ),
    Mistake(
        "not clamped",
        was=NOISY,
        now="return x + self.std * noise",
        caught_by="test_results_stay_in_0_to_1",
        says="values should lie in [0, 1], they reach from",
    ),
    Mistake(
        "noise of torch.rand, which lies between 0 and 1",
        was=NOISE,
        now=NOISE.replace("randn", "rand"),
        caught_by="test_the_noise_has_the_std_asked_for",
        says="looks like noise of torch.rand, which lies between 0 and 1",
    ),
    Mistake(
        "torch's global generator used or seeded",
        was=NOISE,
        now="noise = torch.randn_like(x)",
        caught_by="TestAddGaussianNoise::test_a_generator_repeats_the_sequence",
        says="torch's global generator was used or seeded",
    ),
    # the gallery and the pipeline
    Mistake(
        "one result, n times",
        was="return torch.stack([transform(image) for _ in range(n)])",
        now="return torch.stack([transform(image)] * n)",
        caught_by="test_every_row_is_a_call_of_its_own",
        says="looks like one result, repeated",
    ),
    # affine
    Mistake(
        "the forward matrix on the way back: turned the other way",
        was=BACK,
        now="from_x, from_y = cos * x + sin * y, cos * y - sin * x  #",
        caught_by="test_quarter_turns_equal_rot90",
        says="looks like clockwise",
    ),
    Mistake(
        "align_corners in only one of two places",
        was=SAMPLED,
        now=SAMPLED.replace("=False", "=True"),
        caught_by="test_quarter_turns_equal_rot90",
        says="looks like align_corners=True in grid_sample alone",
    ),
    Mistake(
        "shifted before it is turned and zoomed",
        was=BACK,
        now=(
            "x, y = x + right, y + down\n"
            "    from_x, from_y = cos * x - sin * y - right, sin * x + cos * y - "
            "down  #"
        ),
        caught_by="test_a_bright_pixel_lands_where_it_should",
        says="looks like shifted first, then turned and zoomed",
    ),
    Mistake(
        "the inverse scale",
        was=TURN,
        now=TURN.replace("/ scale", "* scale"),
        caught_by="test_scale_2_makes_things_twice_as_large",
        says="looks like half as large: the inverse",
    ),
    # RandomAffine
    Mistake(
        "translate taken for pixels",
        was=LIMITS,
        now="right, down = self.translate",
        caught_by="test_shifts_grow_with_the_image",
        says="should use all there is from -6 to 6; 400 of them lie between -0.4",
    ),
    Mistake(
        "parameters drawn in __init__",
        was='_require_limits("scale", self.scale)\n',
        now="""_require_limits("scale", self.scale)
        drawn = self.sample(10, 10)
        self.sample = lambda height, width: drawn
""",
        caught_by="TestRandomAffine::test_a_generator_repeats_the_sequence",
        says="draw the numbers in __call__, not in __init__",
    ),
    # RandomResizedCrop
    Mistake(
        "scale taken for a share of the sides",
        was="area = height * width * _uniform(*self.scale, self.generator)",
        now="area = height * width * _uniform(*self.scale, self.generator) ** 2",
        caught_by="test_areas_fill_their_range",
        says=(
            "should lie between 0.0995 and 0.4005; 400 of them lie between 0.01 and 0.1"
        ),
    ),
    # train_transform
    Mistake(
        "Normalize before the rotation, which then brings in grey corners",
        was=f"            {TRAIN_TURN}\n            Normalize(mean, std),",
        now=f"            Normalize(mean, std),\n            {TRAIN_TURN}",
        caught_by="TestTrainTransform::test_it_holds_five_steps",
        says=(
            "got ['ToTensor', 'RandomResizedCrop', 'RandomHorizontalFlip', "
            "'Normalize', 'RandomRotation']"
        ),
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if pixels.ndim == 2:",
        now="if pixels.ndim <= 2:",
        reason="nothing is promised of arrays with fewer than two dims",
    ),
    Equivalent(
        was=FLIPPED,
        now=FLIPPED.replace("<", "<="),
        reason=(
            "the two differ when a random number is exactly p, once in 16 million calls"
        ),
    ),
    Equivalent(
        was=NOISY,
        now=NOISY.replace("+", "-"),
        reason="normal numbers are as often negative as positive",
    ),
    Equivalent(
        was="dtype = torch.promote_types(image.dtype, torch.float32)",
        now="dtype = torch.promote_types(image.dtype, torch.float64)",
        reason=(
            "more exact than asked, and the result is cast back to the image's dtype "
            "all the same"
        ),
    ),
    Equivalent(
        was=(
            'batch, grid.expand(len(batch), -1, -1, -1), mode="bilinear", '
            "align_corners=False"
        ),
        now="batch, grid.expand(len(batch), -1, -1, -1), align_corners=False",
        reason="bilinear is the default of grid_sample",
    ),
    Equivalent(
        was="_uniform(-right, right, self.generator),",
        now="_uniform(right, -right, self.generator),",
        reason="uniform numbers between two limits are the same from either end",
    ),
    Equivalent(
        was="_uniform(-down, down, self.generator),",
        now="_uniform(down, -down, self.generator),",
        reason="uniform numbers between two limits are the same from either end",
    ),
    Equivalent(
        was="for _ in range(10):",
        now="for _ in range(9):",
        reason="a tenth try changes too few boxes to be told by counting",
    ),
    Equivalent(
        was="for _ in range(10):",
        now="for _ in range(11):",
        reason="an eleventh try changes too few boxes to be told by counting",
    ),
    Equivalent(
        was='box[None], size=self.size, mode="bilinear", antialias=True',
        now='box[None], size=self.size, mode="bilinear", antialias=False',
        reason="both are bilinear, which is all that is promised here",
    ),
    Equivalent(
        was=(
            "x = torch.arange(width, dtype=dtype, device=image.device) - (width - 1) "
            "/ 2 - right"
        ),
        now="x = torch.arange(width, device=image.device) - (width - 1) / 2 - right",
        reason=(
            "y has the dtype, and x holds whole and half pixels, which float32 holds "
            "exactly"
        ),
    ),
    Equivalent(
        was="torch.arange(height, dtype=dtype, device=image.device)[:, None]",
        now="torch.arange(height, device=image.device)[:, None]",
        reason=(
            "x has the dtype, and y holds whole and half pixels, which float32 holds "
            "exactly"
        ),
    ),
    Equivalent(
        was="if torch.rand(1, generator=self.generator).item() < self.p:",
        now="if torch.rand(1, generator=self.generator).item() <= self.p:",
        reason="one number in 2²⁴ is p itself",
        textbook=True,
    ),
    Equivalent(
        was="return result if image.ndim == 4 else result[0]",
        now="return result if image.ndim == 4 else result[-1]",
        reason="a batch of one image",
        textbook=True,
    ),
    Equivalent(
        was=")[0]",
        now=")[-1]",
        reason="a batch of one image",
        textbook=True,
    ),
    Equivalent(
        was="if 1 <= h <= height and 1 <= w <= width:",
        now="if 2 <= h <= height and 1 <= w <= width:",
        reason="sides of one pixel and of none are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if 1 <= h <= height and 1 <= w <= width:",
        now="if 0 <= h <= height and 1 <= w <= width:",
        reason="sides of one pixel and of none are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if 1 <= h <= height and 1 <= w <= width:",
        now="if 1 <= h <= height and 2 <= w <= width:",
        reason="sides of one pixel and of none are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if 1 <= h <= height and 1 <= w <= width:",
        now="if 1 <= h <= height and 0 <= w <= width:",
        reason="sides of one pixel and of none are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="for _ in range(10):",
        now="for _ in range(11):",
        reason=(
            "one try more or less leaves nearly the same boxes, and any way of "
            "drawing is right"
        ),
        textbook=True,
    ),
    Equivalent(
        was="for _ in range(10):",
        now="for _ in range(9):",
        reason=(
            "one try more or less leaves nearly the same boxes, and any way of "
            "drawing is right"
        ),
        textbook=True,
    ),
]
