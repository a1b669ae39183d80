"""Wrong solutions of 08 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

IN_ORDER = """        for transform in self.transforms:
            x = transform(x)
        return x"""
STEP = """            x = transform(x)
            found.append((type(transform).__name__, x))"""

SIDES = "width, height = (self.size * side // shorter for side in image.size)"
FILTERED = "return image.resize((width, height), Image.Resampling.BILINEAR)"
CROPPED = "return image.crop((left, top, left + self.width, top + self.height))"
CORNER = "top, left = (height - self.height) // 2, (width - self.width) // 2"

READ = 'image = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))'
REFUSED = "if not isinstance(image, np.ndarray) or image.dtype != np.uint8:"
SCALED = "return pixels.permute(2, 0, 1) / 255"
NORMALISED = "return (x - mean) / std"
RESTORED = "return x * std + mean"
CHANNELS = "if x.shape[-3:-2] != (len(self.mean),):"
STATISTICS = "return x.new_tensor([self.mean, self.std])[:, :, None, None]"

FLIPPED = "flipped = torch.rand(1, generator=self.generator) < self.p"
MIRRORED = "return image.flip(-1) if flipped else image"
P_KEPT = "self.p, self.generator = p, generator"
NOISE = "noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)"
NOISY = "return (x + self.std * noise).clamp(0, 1)"
STD_KEPT = "self.std, self.generator = std, generator"

GALLERY = "return torch.stack([transform(image) for _ in range(n)])"
EVAL = "return Compose([Resize(size), CenterCrop(size), ToTensor(), Normalize(mean, std)])"

BACK = "from_x, from_y = cos * x - sin * y, sin * x + cos * y  #"
RIGHT = "- (width - 1) / 2 - right  #"
DOWN = "- (height - 1) / 2 - down"
SAMPLED = 'moved = F.grid_sample(batch, grid.expand(len(batch), -1, -1, -1), mode="bilinear", align_corners=False)'
TURN = "cos, sin = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale"

LIMITS = "right, down = self.translate[0] * width, self.translate[1] * height"
SHIFT = "shift = _uniform(-right, right, self.generator), _uniform(-down, down, self.generator)"
DRAWN = "return _uniform(*self.degrees, self.generator), shift, _uniform(*self.scale, self.generator)"
ROTATED = "return _uniform(*self.degrees, self.generator), (0.0, 0.0), 1.0"
DEGREES = "low, high = degrees if isinstance(degrees, Sequence) else (-degrees, degrees)"

AREA = "area = height * width * _uniform(*self.scale, self.generator)"
RATIO = "ratio = math.exp(_uniform(*map(math.log, self.ratio), self.generator))"
BOX_SIDES = "h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))"
FITS = "if 1 <= h <= height and 1 <= w <= width:"
TOP = "top = torch.randint(height - h + 1, (), generator=self.generator).item()"
LEFT = "left = torch.randint(width - w + 1, (), generator=self.generator).item()"
BOX = "box = image[:, top : top + h, left : left + w]"
RESIZED = 'return F.interpolate(box[None], size=self.size, mode="bilinear", antialias=True).squeeze(0)'
TRAIN_FLIP = "RandomHorizontalFlip(generator=generator),"
TRAIN_TURN = "RandomRotation(10, generator),"
UNIFORM = "return low + (high - low) * torch.rand((), generator=generator).item()"

MISTAKES = [
    # Compose
    Mistake(
        "the last transform first",
        was=IN_ORDER,
        now=IN_ORDER.replace("in self.transforms", "in reversed(self.transforms)"),
        caught_by="test_transforms_are_applied_in_order",
    ),
    Mistake(
        "every transform on the input itself",
        was=IN_ORDER,
        now=IN_ORDER.replace("x = transform(x)", "y = transform(x)").replace("return x", "return y"),
        caught_by="test_transforms_are_applied_in_order",
    ),
    Mistake(
        "steps without the input",
        was='found = [("input", x)]',
        now="found = []",
        caught_by="test_steps_names_every_result",
    ),
    Mistake(
        "steps that call twice: for the list and for the next transform",
        was=STEP,
        now="            found.append((type(transform).__name__, transform(x)))\n            x = transform(x)",
        caught_by="test_steps_calls_each_transform_once",
    ),
    Mistake(
        "the sequence given kept as it is",
        was="self.transforms = list(transforms)",
        now="self.transforms = transforms",
        caught_by="test_transforms_are_a_list",
    ),
    Mistake(
        "nested pipelines flattened",
        was="self.transforms = list(transforms)",
        now="self.transforms = [t for outer in transforms for t in getattr(outer, 'transforms', [outer])]",
        caught_by="test_a_pipeline_may_be_part_of_another",
    ),
    # Resize
    Mistake(
        "the longer side becomes size",
        was="shorter = min(image.size)",
        now="shorter = max(image.size)",
        caught_by="test_the_shorter_side_gets_the_size",
    ),
    Mistake(
        "an int makes a square",
        was=SIDES,
        now="width = height = self.size",
        caught_by="test_the_shorter_side_gets_the_size",
    ),
    Mistake(
        "(height, width) passed to PIL, which takes (width, height)",
        was="height, width = self.size\n",
        now="width, height = self.size\n",
        caught_by="TestResize::test_a_pair_is_height_and_width",
    ),
    Mistake(
        "thumbnail, which never enlarges",
        was=FILTERED,
        now="small = image.copy()\n        small.thumbnail((width, height), 2)\n        return small",
        caught_by="test_small_images_grow",
    ),
    Mistake(
        "PIL's default filter",
        was=FILTERED,
        now="return image.resize((width, height))",
        caught_by="test_pixels_are_bilinear_averages",
    ),
    Mistake(
        "no averages where it shrinks",
        was=FILTERED,
        now="""pixels = torch.from_numpy(np.array(image)).float().reshape(image.height, image.width, -1)
        pixels = pixels.permute(2, 0, 1)[None]
        pixels = F.interpolate(pixels, size=(height, width), mode="bilinear")[0].permute(1, 2, 0)
        return Image.fromarray(pixels.squeeze(-1).round().byte().numpy())""",
        caught_by="test_pixels_are_bilinear_averages",
    ),
    Mistake(
        "everything made RGB on the way",
        was="return image.resize((width",
        now='return image.convert("RGB").resize((width',
        caught_by="TestResize::test_the_mode_stays",
    ),
    Mistake(
        "a factor computed first, and rounded down after",
        was=SIDES,
        now="width, height = (int(side * (self.size / shorter)) for side in image.size)",
        caught_by="test_the_longer_side_is_rounded_once",
    ),
    Mistake(
        "sizes of 0 found at the first image only",
        was="        _pair(size)\n",
        now="",
        caught_by="TestResize::test_sizes_begin_at_one",
    ),
    # CenterCrop
    Mistake(
        "width and height passed as right and lower edge",
        was=CROPPED,
        now="return image.crop((left, top, self.width, self.height))",
        caught_by="test_the_middle_is_cut_out",
    ),
    Mistake(
        "the corner rounded",
        was=CORNER,
        now="top, left = (height - self.height + 1) // 2, (width - self.width + 1) // 2",
        caught_by="test_the_middle_is_cut_out",
    ),
    Mistake(
        "the upper left corner",
        was=CORNER,
        now="top, left = 0, 0",
        caught_by="test_a_number_is_a_square",
    ),
    Mistake(
        "black borders where the image is too small",
        was="if self.height > height or self.width > width:",
        now="if False:",
        caught_by="test_too_large_a_crop_is_refused",
    ),
    Mistake(
        "the whole image refused",
        was="if self.height > height or self.width > width:",
        now="if self.height >= height or self.width >= width:",
        caught_by="test_a_crop_of_the_whole_image_is_the_image",
    ),
    # ToTensor
    Mistake(
        "channels left last",
        was=SCALED,
        now="return pixels / 255",
        caught_by="test_channels_come_first",
    ),
    Mistake(
        "reshaped instead of permuted",
        was=SCALED,
        now="return pixels.reshape(pixels.shape[2], *pixels.shape[:2]) / 255",
        caught_by="test_channels_come_first",
    ),
    Mistake(
        "divided by 256",
        was=SCALED,
        now="return pixels.permute(2, 0, 1) / 256",
        caught_by="test_255_becomes_1",
    ),
    Mistake(
        "divided by the image's maximum",
        was=SCALED,
        now="return pixels.permute(2, 0, 1) / pixels.max()",
        caught_by="test_dark_images_stay_dark",
    ),
    Mistake(
        "divided only where values exceed 1",
        was=SCALED,
        now="return pixels.permute(2, 0, 1) / (255 if pixels.max() > 1 else 1)",
        caught_by="test_dark_images_stay_dark",
    ),
    Mistake(
        "grey images made RGB",
        was='image.mode in ("L", "RGB")',
        now='image.mode == "RGB"',
        caught_by="test_grey_images_get_one_channel",
    ),
    Mistake(
        "grey images without a channel",
        was="""        if pixels.ndim == 2:
            pixels = pixels.unsqueeze(-1)
""",
        now="        if pixels.ndim == 2:\n            return pixels / 255\n",
        caught_by="test_grey_images_get_one_channel",
    ),
    Mistake(
        "three channels of every array",
        was=SCALED,
        now="return pixels.permute(2, 0, 1)[:3] / 255",
        caught_by="test_arrays_keep_their_channels",
    ),
    Mistake(
        "other modes taken as they are",
        was=READ,
        now="image = np.asarray(image)",
        caught_by="test_other_modes_become_rgb",
    ),
    Mistake(
        "views with negative strides not read",
        was="pixels = torch.from_numpy(image.copy())",
        now="pixels = torch.from_numpy(image)",
        caught_by="test_arrays_may_be_views_and_read_only",
    ),
    Mistake(
        "one buffer for all results",
        was=SCALED,
        now="""result = pixels.permute(2, 0, 1) / 255
        if getattr(self, "buffer", torch.empty(0)).shape == result.shape:
            return self.buffer.copy_(result)
        self.buffer = result
        return result""",
        caught_by="test_the_tensor_has_its_own_memory",
    ),
    Mistake(
        "float arrays divided as well",
        was=REFUSED,
        now="if not isinstance(image, np.ndarray):",
        caught_by="test_anything_else_is_refused",
    ),
    # Normalize
    Mistake(
        "mean and std along the last dim",
        was=STATISTICS,
        now="return x.new_tensor([self.mean, self.std])",
        caught_by="test_every_channel_has_its_own_numbers",
    ),
    Mistake(
        "multiplied by std",
        was=NORMALISED,
        now="return (x - mean) * std",
        caught_by="test_every_channel_has_its_own_numbers",
    ),
    Mistake(
        "channels counted from the front",
        was=CHANNELS,
        now="if x.shape[0] != len(self.mean):",
        caught_by="test_batches_are_normalised_image_by_image",
    ),
    Mistake(
        "the inverse moves first",
        was=RESTORED,
        now="return (x + mean) * std",
        caught_by="test_inverse_undoes_it",
    ),
    Mistake(
        "in place",
        was=NORMALISED,
        now="return x.sub_(mean).div_(std)",
        caught_by="TestNormalize::test_the_input_stays_as_it_was",
    ),
    Mistake(
        "means in float32, and the result with them",
        was=STATISTICS,
        now="return torch.tensor([self.mean, self.std])[:, :, None, None]",
        caught_by="TestNormalize::test_the_dtype_stays",
    ),
    Mistake(
        "means on the CPU",
        was=STATISTICS,
        now="return torch.tensor([self.mean, self.std], dtype=x.dtype)[:, :, None, None]",
        caught_by="TestNormalize::test_the_device_stays",
    ),
    Mistake(
        "one channel repeated for three means",
        was=CHANNELS,
        now="if x.shape[-3] not in (1, len(self.mean)):",
        caught_by="test_another_number_of_channels_is_refused",
    ),
    Mistake(
        "one mean for three channels",
        was=CHANNELS,
        now="if len(self.mean) not in (1, x.shape[-3]):",
        caught_by="test_another_number_of_channels_is_refused",
    ),
    Mistake(
        "integers made floats",
        was='raise TypeError(f"wanted floats, not {x.dtype}")',
        now="x = x.float()",
        caught_by="test_integers_are_refused",
    ),
    Mistake(
        "one std for all",
        was="if len(mean) != len(std):",
        now="if len(std) not in (1, len(mean)):",
        caught_by="test_every_mean_has_a_std",
    ),
    Mistake(
        "a std of 0 allowed",
        was="if any(s <= 0 for s in std):",
        now="if any(s < 0 for s in std):",
        caught_by="test_a_std_is_above_zero",
    ),
    # RandomHorizontalFlip
    Mistake(
        "upside down",
        was=MIRRORED,
        now="return image.flip(-2) if flipped else image",
        caught_by="test_flipping_reverses_the_width",
    ),
    Mistake(
        "compared the wrong way round",
        was=FLIPPED,
        now=FLIPPED.replace("<", ">"),
        caught_by="test_p_is_the_share_of_flips",
    ),
    Mistake(
        "decided once and for all",
        was=P_KEPT,
        now="self.p, self.generator = float(torch.rand(1, generator=generator).item() < p), generator",
        caught_by="test_p_is_the_share_of_flips",
    ),
    Mistake(
        "Python's random numbers",
        was=FLIPPED,
        now="import random\n        flipped = random.random() < self.p",
        caught_by="TestRandomHorizontalFlip::test_equal_generators_give_equal_sequences",
    ),
    Mistake(
        "torch's global numbers, whatever the generator",
        was=FLIPPED,
        now="flipped = torch.rand(1) < self.p",
        caught_by="TestRandomHorizontalFlip::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "any p",
        was="if not 0 <= p <= 1:",
        now="if p < 0:",
        caught_by="test_p_is_a_probability",
    ),
    # AddGaussianNoise
    Mistake(
        "uniform noise",
        was=NOISE,
        now="noise = (torch.rand(x.shape, generator=self.generator, dtype=x.dtype) - 0.5) * 12**0.5",
        caught_by="test_the_noise_is_normal",
    ),
    Mistake(
        "std taken for a variance",
        was="self.std * noise",
        now="self.std**0.5 * noise",
        caught_by="test_the_noise_has_the_std_asked_for",
    ),
    Mistake(
        "one noise for all channels",
        was=NOISE,
        now="noise = torch.randn(x.shape[-2:], generator=self.generator, dtype=x.dtype)",
        caught_by="test_every_element_gets_its_own_noise",
    ),
    Mistake(
        "noise drawn once and kept",
        was=NOISE,
        now=f"""if not hasattr(self, "noise"):
            self.{NOISE}
        noise = self.noise""",
        caught_by="test_every_call_draws_anew",
    ),
    Mistake(
        "not clamped",
        was=NOISY,
        now="return x + self.std * noise",
        caught_by="test_results_stay_in_0_to_1",
    ),
    Mistake(
        "float32 noise, and the result with it",
        was="dtype=x.dtype, device=x.device)",
        now="device=x.device)",
        caught_by="TestAddGaussianNoise::test_the_dtype_stays",
    ),
    Mistake(
        "a generator of its own with the same seed",
        was=STD_KEPT,
        now="self.std, self.generator = std, generator and torch.Generator().manual_seed(generator.initial_seed())",
        caught_by="TestAddGaussianNoise::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "noise on the CPU",
        was="dtype=x.dtype, device=x.device)",
        now="dtype=x.dtype)",
        caught_by="TestAddGaussianNoise::test_the_device_stays",
    ),
    Mistake(
        "a std of 0 refused",
        was="if std < 0:",
        now="if std <= 0:",
        caught_by="test_without_noise_the_image_stays",
    ),
    Mistake(
        "a negative std allowed",
        was="if std < 0:",
        now="if False:",
        caught_by="test_a_negative_std_is_refused",
    ),
    # augmentation_gallery
    Mistake(
        "one result, n times",
        was=GALLERY,
        now="return torch.stack([transform(image)] * n)",
        caught_by="test_every_row_is_a_call_of_its_own",
    ),
    Mistake(
        "every result made of the one before",
        was=GALLERY,
        now="rows = [image := transform(image) for _ in range(n)]\n    return torch.stack(rows)",
        caught_by="test_every_row_is_a_call_of_its_own",
    ),
    Mistake(
        "the error of torch.stack for no images",
        was="if n < 1:",
        now="if False:",
        caught_by="test_an_empty_gallery_is_refused",
    ),
    # eval_transform
    Mistake(
        "random steps for validation",
        was=EVAL,
        now=EVAL.replace("ToTensor(),", "ToTensor(), RandomHorizontalFlip(),"),
        caught_by="TestEvalTransform::test_it_holds_four_steps",
    ),
    Mistake(
        "Normalize before ToTensor",
        was=EVAL,
        now="return Compose([Resize(size), CenterCrop(size), Normalize(mean, std), ToTensor()])",
        caught_by="TestEvalTransform::test_images_become_normalised_squares",
    ),
    Mistake(
        "cut out before resized",
        was=EVAL,
        now="return Compose([CenterCrop(size), Resize(size), ToTensor(), Normalize(mean, std)])",
        caught_by="TestEvalTransform::test_images_become_normalised_squares",
    ),
    Mistake(
        "squeezed into the square",
        was=EVAL,
        now="return Compose([Resize((size, size)), CenterCrop(size), ToTensor(), Normalize(mean, std)])",
        caught_by="TestEvalTransform::test_images_become_normalised_squares",
    ),
    Mistake(
        "seeded, to be sure that it always is the same",
        was=EVAL,
        now="torch.manual_seed(0)\n    " + EVAL,
        caught_by="test_no_number_is_drawn",
    ),
    # affine
    Mistake(
        "the forward matrix on the way back: turned the other way",
        was=BACK,
        now="from_x, from_y = cos * x + sin * y, cos * y - sin * x  #",
        caught_by="test_quarter_turns_equal_rot90",
    ),
    Mistake(
        "align_corners in only one of two places",
        was=SAMPLED,
        now=SAMPLED.replace("=False", "=True"),
        caught_by="test_quarter_turns_equal_rot90",
    ),
    Mistake(
        "shifted to the left",
        was=RIGHT,
        now="- (width - 1) / 2 + right  #",
        caught_by="test_shifts_go_right_and_down",
    ),
    Mistake(
        "shifted before it is turned and zoomed",
        was=BACK,
        now="x, y = x + right, y + down\n    from_x, from_y = cos * x - sin * y - right, sin * x + cos * y - down  #",
        caught_by="test_a_bright_pixel_lands_where_it_should",
    ),
    Mistake(
        "the inverse scale",
        was=TURN,
        now=TURN.replace("/ scale", "* scale"),
        caught_by="test_scale_2_makes_things_twice_as_large",
    ),
    Mistake(
        "turned in coordinates from −1 to 1",
        was=f"    {BACK}",
        now="    x, y = x / width, y / height\n"
        "    from_x, from_y = (cos * x - sin * y) * width, (sin * x + cos * y) * height  #",
        caught_by="test_any_angle_in_an_image_of_any_sides",
    ),
    Mistake(
        "the nearest pixel, not between pixels",
        was=SAMPLED,
        now=SAMPLED.replace('"bilinear"', '"nearest"'),
        caught_by="test_any_angle_in_an_image_of_any_sides",
    ),
    Mistake(
        "the border's colour outside",
        was=SAMPLED,
        now=SAMPLED.replace("align_corners", 'padding_mode="border", align_corners'),
        caught_by="test_outside_is_black",
    ),
    Mistake(
        "batches not understood",
        was="batch = image.to(dtype).reshape(-1, *image.shape[-3:])",
        now="batch = image.to(dtype)[None]",
        caught_by="test_a_batch_is_treated_alike",
    ),
    Mistake(
        "gradients cut off",
        was="return moved.reshape(image.shape)",
        now="return moved.detach().reshape(image.shape)",
        caught_by="test_gradients_flow_to_the_image",
    ),
    Mistake(
        "a scale of 0 allowed",
        was="if scale <= 0:",
        now="if scale < 0:",
        caught_by="test_scale_is_above_zero",
    ),
    Mistake(
        "places in half precision",
        was="dtype = torch.promote_types(image.dtype, torch.float32)",
        now="dtype = image.dtype",
        caught_by="TestAffine::test_the_dtype_stays",
    ),
    Mistake(
        "places on the CPU",
        was="x = torch.arange(width, dtype=dtype, device=image.device)",
        now="x = torch.arange(width, dtype=dtype)",
        caught_by="TestAffine::test_the_device_stays",
    ),
    # RandomAffine
    Mistake(
        "translate taken for pixels",
        was=LIMITS,
        now="right, down = self.translate",
        caught_by="test_shifts_grow_with_the_image",
    ),
    Mistake(
        "width and height exchanged",
        was=LIMITS,
        now="right, down = self.translate[0] * height, self.translate[1] * width",
        caught_by="test_shifts_grow_with_the_image",
    ),
    Mistake(
        "shifts in whole pixels",
        was=SHIFT,
        now="shift = tuple(float(round(_uniform(-m, m, self.generator))) for m in (right, down))",
        caught_by="TestRandomAffine::test_shifts_grow_with_the_image",
    ),
    Mistake(
        "angles from 0 to d",
        was=DEGREES,
        now=DEGREES.replace("(-degrees, degrees)", "(0, degrees)"),
        caught_by="TestRandomAffine::test_angles_fill_their_range",
    ),
    Mistake(
        "normal angles",
        was=DRAWN,
        now="angle = self.degrees[1] * torch.randn((), generator=self.generator).item()\n"
        "        return angle, shift, _uniform(*self.scale, self.generator)",
        caught_by="TestRandomAffine::test_angles_fill_their_range",
    ),
    Mistake(
        "one number for both shifts",
        was=SHIFT,
        now="share = _uniform(-1, 1, self.generator)\n        shift = share * right, share * down",
        caught_by="test_every_number_is_drawn_by_itself",
    ),
    Mistake(
        "tensors for numbers",
        was=UNIFORM,
        now=UNIFORM.replace(".item()", ""),
        caught_by="TestRandomAffine::test_angles_fill_their_range",
    ),
    Mistake(
        "parameters drawn in __init__",
        was='_require_limits("scale", self.scale)\n',
        now="""_require_limits("scale", self.scale)
        drawn = self.sample(10, 10)
        self.sample = lambda height, width: drawn
""",
        caught_by="TestRandomAffine::test_every_call_draws_anew",
    ),
    Mistake(
        "torch.manual_seed in __init__",
        was="        self.translate = translate or (0.0, 0.0)",
        now="        torch.manual_seed(0)\n        self.translate = translate or (0.0, 0.0)",
        caught_by="TestRandomAffine::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "the angle drawn without the generator",
        was=DRAWN,
        now=DRAWN.replace("*self.degrees, self.generator", "*self.degrees, None"),
        caught_by="TestRandomAffine::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "limits in any order",
        was="    if low > high:\n",
        now="    if False:\n",
        caught_by="TestRandomRotation::test_limits_are_in_order",
    ),
    # RandomRotation
    Mistake(
        "sample gives the angle alone",
        was=ROTATED,
        now="return _uniform(*self.degrees, self.generator)",
        caught_by="TestRandomRotation::test_only_the_angle_varies",
    ),
    # RandomResizedCrop
    Mistake(
        "(width, height)",
        was="self.size = _pair(size)\n        self.scale",
        now="self.size = _pair(size)[::-1]\n        self.scale",
        caught_by="test_the_result_has_the_size",
    ),
    Mistake(
        "top and left exchanged",
        was=BOX,
        now="box = image[:, left : left + h, top : top + w]",
        caught_by="test_the_call_cuts_the_box_that_sample_gives",
    ),
    Mistake(
        "the nearest pixel",
        was=RESIZED,
        now="return F.interpolate(box[None], size=self.size)[0]",
        caught_by="test_boxes_are_resized_bilinearly",
    ),
    Mistake(
        "scale taken for a share of the sides",
        was=AREA,
        now="area = height * width * _uniform(*self.scale, self.generator) ** 2",
        caught_by="test_areas_fill_their_range",
    ),
    Mistake(
        "the ratio without logarithms",
        was=RATIO,
        now="ratio = _uniform(*self.ratio, self.generator)",
        caught_by="test_ratios_fill_their_range",
    ),
    Mistake(
        "sides rounded down",
        was=BOX_SIDES,
        now=BOX_SIDES.replace("round", "int"),
        caught_by="test_sides_are_rounded",
    ),
    Mistake(
        "boxes always smaller than the image",
        was=FITS,
        now="if 1 <= h < height and 1 <= w < width:",
        caught_by="test_sides_are_rounded",
    ),
    Mistake(
        "height / width",
        was=BOX_SIDES,
        now="w, h = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))",
        caught_by="test_ratios_fill_their_range",
    ),
    Mistake(
        "never in the last row",
        was=TOP,
        now=TOP.replace("height - h + 1", "max(1, height - h)"),
        caught_by="test_every_place_for_the_corner_occurs",
    ),
    Mistake(
        "always in the centre",
        was="return top, left, h, w\n",
        now="return (height - h) // 2, (width - w) // 2, h, w\n",
        caught_by="test_every_place_for_the_corner_occurs",
    ),
    Mistake(
        "the sides clipped to the image instead of another try",
        was=FITS,
        now="h, w = min(h, height), min(w, width)\n            if True:",
        caught_by="test_long_images_fall_back_to_the_middle",
    ),
    Mistake(
        "the whole image where nothing fits",
        was="ratio = min(max(width / height, self.ratio[0]), self.ratio[1])",
        now="ratio = width / height",
        caught_by="test_long_images_fall_back_to_the_middle",
    ),
    Mistake(
        "a single try",
        was="for _ in range(10):",
        now="for _ in range(1):",
        caught_by="test_there_is_more_than_one_try",
    ),
    Mistake(
        "boxes without pixels",
        was=FITS,
        now="if h <= height and w <= width:",
        caught_by="test_tiny_images_have_boxes_too",
    ),
    Mistake(
        "a fallback without pixels",
        was="h, w = max(1, min(height, round(width / ratio))), max(1, min(width, round(height * ratio)))",
        now="h, w = min(height, round(width / ratio)), min(width, round(height * ratio))",
        caught_by="test_tiny_images_have_boxes_too",
    ),
    Mistake(
        "the corner drawn without the generator",
        was=LEFT,
        now="left = torch.randint(width - w + 1, ()).item()",
        caught_by="TestRandomResizedCrop::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "more than the whole image allowed",
        was='_require_limits("scale", scale, highest=1)',
        now='_require_limits("scale", scale)',
        caught_by="TestRandomResizedCrop::test_impossible_limits_are_refused",
    ),
    # train_transform
    Mistake(
        "the flip without the generator",
        was=TRAIN_FLIP,
        now="RandomHorizontalFlip(),",
        caught_by="TestTrainTransform::test_all_numbers_come_from_the_generator",
    ),
    Mistake(
        "Normalize before the rotation, which then brings in grey corners",
        was=f"            {TRAIN_TURN}\n            Normalize(mean, std),",
        now=f"            Normalize(mean, std),\n            {TRAIN_TURN}",
        caught_by="TestTrainTransform::test_it_holds_five_steps",
    ),
    Mistake(
        "rotations to one side",
        was=TRAIN_TURN,
        now="RandomRotation((0, 10), generator),",
        caught_by="test_rotations_stay_within_ten_degrees",
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
        reason="the two differ when a random number is exactly p, once in 16 million calls",
    ),
    Equivalent(
        was=NOISY,
        now=NOISY.replace("+", "-"),
        reason="normal numbers are as often negative as positive",
    ),
    Equivalent(
        was="dtype = torch.promote_types(image.dtype, torch.float32)  "
        "# half precision could not tell pixel 301 from 302",
        now="dtype = torch.promote_types(image.dtype, torch.float64)  "
        "# half precision could not tell pixel 301 from 302",
        reason="more exact than asked, and the result is cast back to the image's dtype all the same",
    ),
    Equivalent(
        was=SAMPLED,
        now=SAMPLED.replace('mode="bilinear", ', ""),
        reason="bilinear is the default of grid_sample",
    ),
    Equivalent(
        was=SHIFT,
        now=SHIFT.replace("-right, right", "right, -right"),
        reason="uniform numbers between two limits are the same from either end",
    ),
    Equivalent(
        was=SHIFT,
        now=SHIFT.replace("-down, down", "down, -down"),
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
        was=RESIZED,
        now=RESIZED.replace("True", "False"),
        reason="both are bilinear, which is all that is promised here",
    ),
    Equivalent(
        was=f"x = torch.arange(width, dtype=dtype, device=image.device) {RIGHT} from the centre, in pixels",
        now=f"x = torch.arange(width, device=image.device) {RIGHT} from the centre, in pixels",
        reason="y has the dtype, and x holds whole and half pixels, which float32 holds exactly",
    ),
    Equivalent(
        was=f"y = torch.arange(height, dtype=dtype, device=image.device)[:, None] {DOWN}",
        now=f"y = torch.arange(height, device=image.device)[:, None] {DOWN}",
        reason="x has the dtype, and y holds whole and half pixels, which float32 holds exactly",
    ),
]
