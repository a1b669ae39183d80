"""Specs of 08: chains of transforms, PIL images to tensors, random transforms and their
limits, two pipelines.
"""

import cmath
import math
import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.specs import check

MEAN, STD = [0.5, 0.25, 0.75], [0.25, 0.5, 0.3]
EXACT = {"rtol": 0, "atol": 1e-4}


def picture(height, width, mode="RGB"):
    """A PIL image of random pixels."""
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(torch.randint(256, shape, dtype=torch.uint8).numpy())


def pixels(image):
    """A PIL image as a float64 tensor (H, W) or (H, W, C)."""
    return torch.tensor(np.array(image), dtype=torch.float64)


def check_size(image, height, width):
    """Check that it is a PIL image of this size."""
    check.that(
        isinstance(image, Image.Image),
        f"wanted a PIL image, got {check.describe(image)}",
    )
    said = f"{image.height} high and {image.width} wide"
    check.that(
        image.size == (width, height),
        f"wanted an image {height} high and {width} wide, it is {said}",
    )


def check_mode(image, mode):
    check.that(
        getattr(image, "mode", None) == mode,
        f"wanted an image of mode {mode!r}, got {check.describe(image)}",
    )


def triangle_weights(old, new, averaging=True):
    """The (new, old) matrix of bilinear resizing along one side; the triangles grow
    where it shrinks (`averaging`).
    """
    step = old / new
    reach = max(step, 1) if averaging else 1
    distance = (
        torch.arange(old).double()
        + 0.5
        - (torch.arange(new)[:, None].double() + 0.5) * step
    ).abs()
    weights = (1 - distance / reach).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def resized_by_hand(values, height, width, averaging=True):
    """(H, W) or (H, W, C) values resized in float64."""
    down = triangle_weights(values.shape[0], height, averaging)
    right = triangle_weights(values.shape[1], width, averaging)
    return torch.einsum("hH,wW,HW...->hw...", down, right, values)


def by_nearest_pixel(image, height, width):
    return pixels(image.resize((width, height), Image.Resampling.NEAREST))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@contextmanager
def no_global_numbers():
    """Check that the block draws no number from a global generator, and seeds none."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    yield
    check.that(
        torch.equal(torch.get_rng_state(), before[0]),
        "torch's global generator was used or seeded",
    )
    numpy_now = np.random.get_state()
    same = (numpy_now[1] == before[1][1]).all() and numpy_now[2:] == before[1][2:]
    check.that(same, "NumPy's global generator was used or seeded")
    check.that(
        random.getstate() == before[2], "Python's global generator was used or seeded"
    )


def series(transform, image, n=24):
    """The results of n calls, stacked."""
    return torch.stack(check.repeated(n, transform, image))


def check_generator(make, image):
    """Check that every call draws anew, and from the generator alone. `make` makes the
    transform, given a generator.
    """
    generator = seeded(3)
    before = generator.get_state()
    with no_global_numbers():
        first = series(make(generator), image)
    check.that(
        not torch.equal(generator.get_state(), before),
        "the generator was not used: after 24 calls it is unmoved",
    )
    anew = len(first.flatten(1).unique(dim=0)) > 1
    check.that(
        anew,
        "24 calls gave the same result: draw the numbers in __call__, not in __init__",
    )
    check.equal(
        series(make(seeded(3)), image),
        first,
        what="24 results with an equally seeded generator",
    )
    check.that(
        not torch.equal(series(make(seeded(4)), image), first),
        "24 results are the same with another seed",
    )
    torch.manual_seed(11)
    first = series(make(None), image)
    torch.manual_seed(11)
    check.equal(
        series(make(None), image),
        first,
        what="24 results without a generator, after torch.manual_seed",
    )


def check_uniform(values, low, high, what):
    """Check that the values lie between low and high, come close to both, and fill all
    quarters alike.
    """
    way = (torch.tensor(values, dtype=torch.float64) - low) / (high - low)
    said = f"{len(values)} of them lie between {min(values):.4g} and {max(values):.4g}"
    inside = bool((way > -1e-6).all() and (way < 1 + 1e-6).all())
    check.that(inside, f"{what} should lie between {low:.4g} and {high:.4g}; {said}")
    full = way.min().item() < 0.04 and way.max().item() > 0.96
    check.that(
        full, f"{what} should use all there is from {low:.4g} to {high:.4g}; {said}"
    )
    quarters = [
        round(share, 2) for share in (torch.histc(way, 4, 0, 1) / len(way)).tolist()
    ]
    even = all(0.14 <= share <= 0.36 for share in quarters)
    check.that(
        even,
        f"{what} should be uniform from {low:.4g} to {high:.4g}; shares of the four "
        f"quarters: {quarters}",
    )


def check_unrelated(columns):
    """Check that the columns show no correlation with one another."""
    names = list(columns)
    table = torch.corrcoef(
        torch.tensor([columns[name] for name in names], dtype=torch.float64)
    )
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            r = table[i, j].item()
            check.that(
                abs(r) < 0.3,
                f"{one} and {other} should be drawn apart, but their correlation is "
                f"{r:.2f}",
            )


def draws(transform, height, width, n=400):
    """n samples of an affine transform as four lists: angle, right, down, scale."""
    columns = {"angle": [], "right": [], "down": [], "scale": []}
    for got in check.repeated(n, transform.sample, height, width):
        form = (
            isinstance(got, tuple)
            and len(got) == 3
            and isinstance(got[1], tuple)
            and len(got[1]) == 2
        )
        check.that(
            form, f"wanted (angle, (right, down), scale), got {check.describe(got)}"
        )
        for name, value in zip(columns, (got[0], *got[1], got[2]), strict=True):
            check.that(
                type(value) is float, f"{name} should be a plain float, it is {value!r}"
            )
            columns[name].append(value)
    return columns


class Double:
    def __call__(self, x):
        return 2 * x

    def __repr__(self):
        return "Double()"


class AddOne:
    def __call__(self, x):
        return x + 1

    def __repr__(self):
        return "AddOne()"


class Count:
    """Adds the number of its calls so far: a random transform whose numbers
    are known.
    """

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x + self.calls


@st.composite
def pipelines(draw):
    """Two lists of transforms, and a number to put through them."""
    transforms = st.lists(st.sampled_from([Double(), AddOne()]), min_size=1, max_size=3)
    return draw(transforms), draw(transforms), draw(st.integers(0, 9))


class TestCompose:
    def test_transforms_are_applied_in_order(self, kata):
        """Each transform gets what the one before it returned; the first one gets x.
        Doubling 5 and adding 1 gives 11, the other way round 12.
        """
        check.equal(
            kata.Compose([Double(), AddOne()])(5),
            11,
            unlike={"the last transform first": 12},
        )
        check.equal(
            kata.Compose([AddOne(), Double(), AddOne()])(5),
            13,
            unlike={"each on x itself": 6},
        )

    def test_steps_names_every_result(self, kata):
        """`steps` gives ("input", x), and after each transform the name of its class
        with the result. So the list is one longer than the pipeline, and its last
        result is that of the call.
        """
        got = kata.Compose([Double(), AddOne(), Double()]).steps(5)
        expected = [("input", 5), ("Double", 10), ("AddOne", 11), ("Double", 22)]
        check.that(isinstance(got, list), f"wanted a list, got {check.describe(got)}")
        unlike = {
            "each transform on x itself": [
                ("input", 5),
                ("Double", 10),
                ("AddOne", 6),
                ("Double", 10),
            ],
            "no input": expected[1:],
        }
        check.equal(got, expected, unlike=unlike, what="steps")

    def test_steps_calls_each_transform_once(self, kata):
        """A random transform that is called twice gives two different results: `steps`
        has to show the one that the rest of the pipeline worked on.
        """
        counter = Count()
        got = kata.Compose([counter, Double(), counter]).steps(10)
        unlike = {
            "every transform called twice": [
                ("input", 10),
                ("Count", 11),
                ("Double", 24),
                ("Count", 27),
            ]
        }
        check.equal(
            got,
            [("input", 10), ("Count", 11), ("Double", 22), ("Count", 24)],
            unlike=unlike,
            what="steps",
        )
        check.equal(
            counter.calls, 2, what="calls of a transform that is in the pipeline twice"
        )

    def test_transforms_are_a_list(self, kata):
        """Pipelines are looked through and changed: `compose.transforms` is a list of
        the very objects given.
        """
        given = (Double(), AddOne())
        got = kata.Compose(given).transforms
        check.that(
            isinstance(got, list),
            f"transforms should be a list, it is {check.describe(got)}",
        )
        same = len(got) == 2 and all(a is b for a, b in zip(got, given, strict=True))
        check.that(
            same,
            f"transforms should hold the objects given, it is {check.describe(got)}",
        )

    @given(case=pipelines())
    def test_a_pipeline_can_be_cut_in_two(self, kata, case):
        """A long pipeline is a first part followed by a second:
        Compose(first + second)(x) is Compose(second)(Compose(first)(x)), and a Compose
        is a transform like any other.
        """
        first, second, x = case
        whole = kata.Compose(first + second)(x)
        check.equal(
            whole,
            kata.Compose(second)(kata.Compose(first)(x)),
            what="the whole pipeline",
        )
        check.equal(
            kata.Compose([kata.Compose(first), *second])(x),
            whole,
            what="a pipeline inside another",
        )

    @pytest.mark.edge
    def test_a_pipeline_inside_another_is_one_step(self, kata):
        """A Compose is a transform like any other, so `steps` shows it as a
        single step.
        """
        inner = kata.Compose([Double(), AddOne()])
        outer = kata.Compose([AddOne(), inner, Double()])
        check.equal(
            outer.steps(5),
            [("input", 5), ("AddOne", 6), ("Compose", 13), ("Double", 26)],
        )

    @pytest.mark.edge
    def test_without_transforms_nothing_happens(self, kata):
        """An empty pipeline returns x itself, and its one step is the input."""
        x = object()
        check.that(kata.Compose([])(x) is x, "an empty Compose should return x itself")
        check.equal(kata.Compose([]).steps(5), [("input", 5)])


class TestResize:
    @pytest.mark.parametrize(
        ("height", "width", "size", "expected"),
        [
            (30, 40, 6, (6, 8)),
            (40, 30, 6, (8, 6)),
            (9, 9, 6, (6, 6)),
            (9, 16, 6, (6, 10)),
            (5, 9, 12, (12, 21)),
        ],
        ids=["wide", "high", "square", "rounded down", "grows"],
    )
    def test_the_shorter_side_gets_the_size(self, kata, height, width, size, expected):
        """An int is for the shorter side, whichever it is; the longer one keeps the
        proportions, rounded down. If the longer side became 6 here, the square that is
        cut out later would not fit.
        """
        check_size(kata.Resize(size)(picture(height, width)), *expected)

    def test_a_pair_is_height_and_width(self, kata):
        """Tensors say (height, width), PIL says (width, height). This class takes the
        tensors' order.
        """
        check_size(kata.Resize((7, 11))(picture(30, 40)), 7, 11)
        check_size(kata.Resize((9, 20))(picture(5, 8)), 9, 20)

    def test_pixels_are_bilinear_averages(self, kata):
        """Where an image shrinks, each new pixel averages over all old ones that fall
        to it. PIL does so by itself, with the filter BILINEAR; its default is another
        one. Judged to 2 of 255 grey levels.
        """
        for height, width, new_height, new_width in ((30, 41, 7, 12), (5, 8, 11, 19)):
            image = picture(height, width)
            expected = resized_by_hand(pixels(image), new_height, new_width)
            unlike = {
                "the nearest pixel, without averages": by_nearest_pixel(
                    image, new_height, new_width
                ),
                "PIL's default filter, bicubic": pixels(
                    image.resize((new_width, new_height))
                ),
                "four neighbours only": resized_by_hand(
                    pixels(image), new_height, new_width, averaging=False
                ),
            }
            got = kata.Resize((new_height, new_width))(image)
            check_size(got, new_height, new_width)
            check.close(
                pixels(got), expected, rtol=0, atol=2, unlike=unlike, what="pixels"
            )

    @pytest.mark.parametrize(
        "mode", ["L", "RGB", pytest.param("RGBA", marks=pytest.mark.edge)]
    )
    def test_the_mode_stays(self, kata, mode):
        """Grey images stay grey, and transparency is kept: how many channels a tensor
        gets is decided later.
        """
        check_mode(kata.Resize(6)(picture(10, 8, mode)), mode)

    @pytest.mark.edge
    def test_the_longer_side_is_rounded_once(self, kata):
        """The longer side is int(size · longer / shorter), in this order. 6 · 55 / 11
        is exactly 30; a factor 6 / 11 that is computed first is rounded, and 55 times
        that is 29.999…, of which int leaves 29.
        """
        check_size(kata.Resize(6)(picture(11, 55)), 6, 30)
        check_size(kata.Resize(6)(picture(55, 11)), 30, 6)

    @pytest.mark.edge
    def test_the_image_given_stays_as_it_was(self, kata):
        """The caller may still need the image in full size."""
        image = picture(10, 8)
        before = image.copy()
        kata.Resize(4)(image)
        check_size(image, 10, 8)
        check.equal(
            pixels(image), pixels(before), what="the image given, after the call"
        )

    @pytest.mark.edge
    def test_sizes_begin_at_one(self, kata):
        """An image has at least one pixel. Find the mistake when the transform is made,
        not at the first image.
        """
        check_size(kata.Resize(1)(picture(3, 4)), 1, 1)
        for size in (0, -3, (0, 5), (5, 0), (5, -1)):
            with check.raises(ValueError):
                kata.Resize(size)


class TestCenterCrop:
    @pytest.mark.parametrize(
        ("height", "width", "h", "w"), [(10, 14, 4, 6), (9, 16, 6, 5), (9, 16, 9, 5)]
    )
    def test_the_middle_is_cut_out(self, kata, height, width, h, w):
        """The box begins at row (H − h) // 2 and column (W − w) // 2. PIL's `crop`
        wants four edges: left, upper, right and lower, and no sizes.
        """
        image = picture(height, width)
        top, left = (height - h) // 2, (width - w) // 2
        got = kata.CenterCrop((h, w))(image)
        check_size(got, h, w)
        lower, further = (height - h + 1) // 2, (width - w + 1) // 2
        unlike = {
            "the corner is rounded up": pixels(image)[
                lower : lower + h, further : further + w
            ],
            "the upper left corner": pixels(image)[:h, :w],
        }
        check.equal(
            pixels(got),
            pixels(image)[top : top + h, left : left + w],
            unlike=unlike,
            what="pixels",
        )

    def test_a_number_is_a_square(self, kata):
        """CenterCrop(5) is CenterCrop((5, 5)), and a grey image stays grey."""
        image = picture(9, 12, "L")
        got = kata.CenterCrop(5)(image)
        check_size(got, 5, 5)
        check_mode(got, "L")
        check.equal(pixels(got), pixels(image)[2:7, 3:8], what="pixels")

    @pytest.mark.edge
    def test_a_crop_of_the_whole_image_is_the_image(self, kata):
        """A box as large as the image is not too large."""
        image = picture(6, 7)
        check.equal(
            pixels(kata.CenterCrop((6, 7))(image)), pixels(image), what="pixels"
        )

    @pytest.mark.edge
    def test_too_large_a_crop_is_refused(self, kata):
        """PIL would fill up with black, without a word, and the model would learn
        black borders.
        """
        for size in ((7, 5), (5, 8), 7):
            with check.raises(ValueError):
                kata.CenterCrop(size)(picture(6, 7))

    @pytest.mark.edge
    def test_sizes_begin_at_one(self, kata):
        """A crop without pixels is a mistake. Find it when the transform is made. One
        pixel is enough.
        """
        check_size(kata.CenterCrop(1)(picture(3, 4)), 1, 1)
        for size in (0, -3, (0, 5), (5, 0)):
            with check.raises(ValueError):
                kata.CenterCrop(size)


class TestToTensor:
    def test_channels_come_first(self, kata):
        """PIL and NumPy hold (H, W, C), a model wants (C, H, W): the value of channel c
        at row h and column w stays with it. A reshape to (C, H, W) has the right shape
        and divides the pixels among the channels.
        """
        image = picture(2, 4)
        rows = [
            [[image.getpixel((w, h))[c] / 255 for w in range(4)] for h in range(2)]
            for c in range(3)
        ]
        unlike = {
            "reshaped instead of permuted": pixels(image).reshape(3, 2, 4) / 255,
            "height and width are exchanged": pixels(image).permute(2, 1, 0) / 255,
            "the channels left last": pixels(image) / 255,
            "not divided by 255": pixels(image).permute(2, 0, 1),
        }
        check.close(kata.ToTensor()(image), torch.tensor(rows), unlike=unlike)

    def test_255_becomes_1(self, kata):
        """The values 0 … 255 become 0 … 1: divided by 255, not by 256, as float32."""
        got = kata.ToTensor()(np.array([[[0], [51], [102], [255]]], dtype=np.uint8))
        values = torch.tensor([[[0.0, 51, 102, 255]]])
        unlike = {"divided by 256": values / 256, "not divided": values}
        check.close(got, torch.tensor([[[0.0, 0.2, 0.4, 1.0]]]), unlike=unlike)
        check.dtype(got, torch.float32)

    def test_dark_images_stay_dark(self, kata):
        """Every image is divided by the same 255. Divided by its own maximum, night
        would look like day.
        """
        dark = np.array([[[0], [10]], [[5], [20]]], dtype=np.uint8)
        unlike = {
            "divided by the image's own maximum": torch.tensor(
                [[[0.0, 0.5], [0.25, 1.0]]]
            )
        }
        check.close(
            kata.ToTensor()(dark),
            torch.tensor([[[0.0, 10], [5, 20]]]) / 255,
            unlike=unlike,
        )
        low = np.array([[[0], [1]], [[1], [1]]], dtype=np.uint8)
        unlike = {
            "not divided, because the values are small": torch.tensor(
                [[[0.0, 1], [1, 1]]]
            )
        }
        check.close(
            kata.ToTensor()(low),
            torch.tensor([[[0.0, 1], [1, 1]]]) / 255,
            unlike=unlike,
        )

    def test_grey_images_get_one_channel(self, kata):
        """An image of mode "L" has no channel dim in NumPy; as a tensor it has one of
        size 1.
        """
        grey = picture(3, 4, "L")
        unlike = {
            "no channel dim": pixels(grey) / 255,
            "grey made RGB": pixels(grey).expand(3, 3, 4) / 255,
        }
        expected = pixels(grey)[None] / 255
        check.close(
            kata.ToTensor()(grey), expected, unlike=unlike, what="a PIL image of mode L"
        )
        check.close(
            kata.ToTensor()(np.array(grey)),
            expected,
            unlike=unlike,
            what="an array (H, W)",
        )

    def test_arrays_keep_their_channels(self, kata):
        """The meaning of an array's channels is not known, so two or four of them stay
        two or four.
        """
        for channels in (1, 2, 3, 4):
            values = torch.randint(256, (2, 5, channels), dtype=torch.uint8)
            expected = values.double().permute(2, 0, 1) / 255
            check.close(
                kata.ToTensor()(values.numpy()),
                expected,
                what=f"an array with {channels} channels",
            )

    @pytest.mark.edge
    def test_other_modes_become_rgb(self, kata):
        """A "P" image holds numbers of a palette, "1" holds bits, "RGBA" a fourth
        channel: only as RGB do they all mean the same to a model.
        """
        colours = torch.tensor(
            [[200, 30, 10], [20, 180, 60], [90, 90, 250]], dtype=torch.uint8
        )
        palette = Image.new("P", (3, 1))
        palette.putpalette(colours.flatten().tolist())
        palette.putdata([2, 0, 1])
        expected = colours[[2, 0, 1]].double().mT[:, None] / 255
        check.close(kata.ToTensor()(palette), expected, what="a palette image")
        solid = torch.cat([colours, torch.full((3, 1), 255, dtype=torch.uint8)], dim=1)
        solid = Image.fromarray(solid[None].numpy())
        check.close(
            kata.ToTensor()(solid),
            colours.double().mT[:, None] / 255,
            what="an RGBA image",
        )
        bits = Image.new("1", (3, 1))
        bits.putdata([0, 255, 255])
        check.close(
            kata.ToTensor()(bits),
            torch.tensor([[0.0, 1.0, 1.0]] * 3)[:, None],
            what="a black and white image",
        )

    @pytest.mark.edge
    def test_arrays_may_be_views_and_read_only(self, kata):
        """`array[:, ::-1]` is a view with a negative stride, which torch cannot hold,
        and an array made from an image may be read-only. Both are fine to read.
        """
        array = torch.randint(256, (3, 4, 2), dtype=torch.uint8).numpy()
        expected = torch.tensor(array.astype(np.float64)).permute(2, 0, 1) / 255
        check.close(
            kata.ToTensor()(array[:, ::-1]), expected.flip(-1), what="a mirrored view"
        )
        check.close(
            kata.ToTensor()(array.transpose(1, 0, 2)),
            expected.mT,
            what="a transposed view",
        )
        array.flags.writeable = False
        check.close(kata.ToTensor()(array), expected, what="a read-only array")

    @pytest.mark.edge
    def test_the_tensor_has_its_own_memory(self, kata):
        """Writing to the tensor changes neither the array nor the next tensor; writing
        to the array leaves the tensor alone.
        """
        array = torch.randint(1, 256, (3, 4, 3), dtype=torch.uint8).numpy()
        kept, expected = (
            array.copy(),
            torch.tensor(array.astype(np.float64)).permute(2, 0, 1) / 255,
        )
        to_tensor = kata.ToTensor()
        first = to_tensor(array)
        first.zero_()
        check.equal(array, kept, what="the array, after a write to the tensor")
        second = to_tensor(array)
        first.fill_(0.5)
        array[:] = 0
        check.close(
            second,
            expected,
            what="the tensor, after writes to another tensor and to the array",
        )

    @pytest.mark.edge
    def test_anything_else_is_refused(self, kata):
        """Floats may lie in 0 … 1 or in 0 … 255: dividing them would be a guess. A
        tensor is not an array.
        """
        array = np.zeros((2, 3, 3))
        others = [
            torch.zeros(3, 2, 2),
            torch.zeros(2, 2, dtype=torch.uint8),
            [[1, 2]],
            None,
        ]
        for thing in (
            array,
            array.astype(np.float32),
            array.astype(np.int64),
            array > 0,
            *others,
        ):
            with check.raises(TypeError):
                kata.ToTensor()(thing)


@st.composite
def normalisations(draw):
    """A mean and a std per channel, and the leading dims and sides of images."""
    channels = draw(st.integers(1, 4))
    means = st.lists(
        st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=channels, max_size=channels
    )
    stds = st.lists(
        st.sampled_from([1.0, 0.25, 0.5, 2.0]), min_size=channels, max_size=channels
    )
    sides = draw(st.lists(st.integers(1, 4), min_size=2, max_size=2))
    return (
        draw(means),
        draw(stds),
        (*draw(st.lists(st.integers(1, 3), max_size=2)), channels, *sides),
    )


class TestNormalize:
    def test_every_channel_has_its_own_numbers(self, kata):
        """(x − mean) / std, with one mean and one std per channel, the third dim from
        the end. Here the width is 3 as well: means that broadcast along the last dim
        give no error and wrong colours.
        """
        x = torch.rand(3, 4, 3)
        mean, std = torch.tensor(MEAN).double(), torch.tensor(STD).double()
        expected = torch.stack([(x[c].double() - MEAN[c]) / STD[c] for c in range(3)])
        unlike = {
            "mean and std along the width": (x - mean) / std,
            "the mean along the width": (x - mean) / std[:, None, None],
            "the std along the width": (x - mean[:, None, None]) / std,
            "multiplied by std": (x - mean[:, None, None]) * std[:, None, None],
            "divided by the variance": (x - mean[:, None, None])
            / std[:, None, None] ** 2,
            "divided first, then the mean": x / std[:, None, None]
            - mean[:, None, None],
            "only the mean": x - mean[:, None, None],
        }
        check.close(kata.Normalize(MEAN, STD)(x), expected, unlike=unlike)

    def test_batches_are_normalised_image_by_image(self, kata):
        """Whatever dims stand before (C, H, W), the channel is the third from
        the end.
        """
        for shape in ((3, 3, 4, 5), (2, 2, 3, 4, 3)):
            x = torch.rand(shape)
            expected = torch.stack(
                [(x[..., c, :, :].double() - MEAN[c]) / STD[c] for c in range(3)],
                dim=-3,
            )
            check.close(kata.Normalize(MEAN, STD)(x), expected, what=f"a batch {shape}")

    def test_inverse_is_the_formula_backwards(self, kata):
        """x · std + mean: multiplied first, then moved. So a normalised image can be
        looked at again.
        """
        x = torch.randn(3, 4, 3)
        expected = torch.stack([x[c].double() * STD[c] + MEAN[c] for c in range(3)])
        unlike = {
            "moved first, then multiplied": torch.stack(
                [(x[c] + MEAN[c]) * STD[c] for c in range(3)]
            )
        }
        check.close(
            kata.Normalize(tuple(MEAN), tuple(STD)).inverse(x), expected, unlike=unlike
        )

    @given(case=normalisations())
    def test_inverse_undoes_it(self, kata, case):
        """For one image (C, H, W), a batch, or a batch of batches: normalised and back
        is the same image.
        """
        mean, std, shape = case
        x = torch.rand(shape, generator=seeded(1))
        normalize = kata.Normalize(mean, std)
        check.shape(normalize(x), shape, what="the normalised images")
        check.close(
            normalize.inverse(normalize(x)),
            x,
            what="the inverse of the normalised images",
        )

    @pytest.mark.edge
    def test_the_input_stays_as_it_was(self, kata):
        """`sub_` and `div_` write into the image given: with a data set in memory,
        every epoch would normalise it once more.
        """
        x = torch.rand(3, 4, 5)
        with check.unchanged(image=x):
            kata.Normalize(MEAN, STD)(x)
            kata.Normalize(MEAN, STD).inverse(x)

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """float64 stays float64, and a bfloat16 image does not become float32 because
        the means are.
        """
        normalize = kata.Normalize(MEAN, STD)
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            x = torch.rand(3, 4, 5).to(dtype)
            expected = torch.stack(
                [(x[c].double() - MEAN[c]) / STD[c] for c in range(3)]
            )
            atol = 1e-6 if dtype == torch.float64 else 2e-2
            check.dtype(normalize(x), dtype, what="the result")
            check.close(
                normalize(x), expected, atol=atol, what=f"the result in {dtype}"
            )
            check.dtype(normalize.inverse(x), dtype, what="the inverse")

    @pytest.mark.edge
    def test_the_device_stays(self, kata):
        """Means on the CPU cannot meet an image on another device, here the
        device "meta".
        """
        x = torch.rand(3, 4, 5, device="meta")
        for got in (kata.Normalize(MEAN, STD)(x), kata.Normalize(MEAN, STD).inverse(x)):
            check.that(
                got.device.type == "meta",
                f"the image is on the device meta, the result on {got.device}",
            )

    @pytest.mark.edge
    def test_another_number_of_channels_is_refused(self, kata):
        """A grey image with three means would broadcast to a coloured one, and three
        channels would share a single mean. Neither is what was meant, here or
        in `inverse`.
        """
        three, one = kata.Normalize(MEAN, STD), kata.Normalize([0.5], [0.25])
        for normalize, channels in ((three, 1), (three, 2), (one, 3)):
            for call in (normalize, normalize.inverse):
                for shape in ((channels, 4, 5), (2, channels, 3, 3)):
                    with check.raises(ValueError):
                        call(torch.rand(shape))

    @pytest.mark.edge
    def test_integers_are_refused(self, kata):
        """An image that is still 0 … 255 has not been through ToTensor; its normalised
        values could not be stored.
        """
        normalize = kata.Normalize(MEAN, STD)
        for dtype in (torch.uint8, torch.int64):
            for call in (normalize, normalize.inverse):
                with check.raises(TypeError):
                    call(torch.ones(3, 4, 5, dtype=dtype))

    @pytest.mark.edge
    def test_every_mean_has_a_std(self, kata):
        """Three means and one std would broadcast, but two numbers have
        been forgotten.
        """
        for mean, std in ((MEAN, [0.5]), ([0.5], STD), (MEAN, STD[:2])):
            with check.raises(ValueError):
                kata.Normalize(mean, std)

    @pytest.mark.edge
    def test_a_std_is_above_zero(self, kata):
        """A division by 0 gives no error, only inf, and a negative std turns the
        channel into its negative.
        """
        for bad in (0, -0.5):
            with check.raises(ValueError):
                kata.Normalize(MEAN, [0.5, bad, 0.5])


@pytest.mark.stretch
class TestRandomHorizontalFlip:
    def test_flipping_reverses_the_width(self, kata):
        """With p = 1 every image is mirrored: left and right change places, along the
        last dim. Along the height it would stand on its head.
        """
        image = torch.rand(3, 4, 5)
        flip = kata.RandomHorizontalFlip(1.0)
        unlike = {
            "upside down: the height is reversed": image.flip(-2),
            "turned by 180 degrees": image.flip(-1, -2),
            "the channels are reversed": image.flip(0),
            "not flipped at all": image,
        }
        for _ in range(20):
            check.equal(flip(image), image[..., [4, 3, 2, 1, 0]], unlike=unlike)

    def test_p_0_never_flips(self, kata):
        """With probability 0 the image always stays."""
        image = torch.rand(3, 4, 5)
        flip = kata.RandomHorizontalFlip(0)
        for _ in range(20):
            check.equal(flip(image), image, unlike={"flipped": image.flip(-1)})

    def test_p_is_the_share_of_flips(self, kata):
        """Of many images about p are flipped, each decided anew. Comparing the wrong
        way round gives 1 − p.
        """
        image = torch.arange(2.0).reshape(1, 1, 2)
        default = kata.RandomHorizontalFlip()
        for p, flip in (
            (0.2, kata.RandomHorizontalFlip(0.2)),
            (0.9, kata.RandomHorizontalFlip(0.9)),
            (0.5, default),
        ):
            share = (
                sum(got[0, 0, 0].item() for got in check.repeated(600, flip, image))
                / 600
            )
            check.that(
                abs(share - p) < 0.12,
                f"with p = {p} about {p:.0%} of 600 images should flip; {share:.0%} "
                "did",
            )

    def test_a_generator_repeats_the_sequence(self, kata):
        """Equally seeded generators give equal results, call by call, and no global
        generator is touched: one transform more or less does not change the rest of the
        run. Without a generator, torch.manual_seed repeats the results.
        """
        check_generator(
            lambda g: kata.RandomHorizontalFlip(generator=g), torch.rand(3, 4, 5)
        )

    @pytest.mark.edge
    def test_the_input_stays_as_it_was(self, kata):
        """The data set hands out this image again in the next epoch."""
        image = torch.rand(3, 4, 5)
        with check.unchanged(image=image):
            kata.RandomHorizontalFlip(1.0)(image)

    @pytest.mark.edge
    def test_p_is_a_probability(self, kata):
        """-0.1 and 1.5 are no probabilities; both ends of [0, 1] are."""
        for p in (-0.1, 1.5):
            with check.raises(ValueError):
                kata.RandomHorizontalFlip(p)


class TestAddGaussianNoise:
    @pytest.mark.parametrize(
        ("options", "std"), [((0.1,), 0.1), ((), 0.05)], ids=["0.1", "default"]
    )
    def test_the_noise_has_the_std_asked_for(self, kata, options, std):
        """x + std · N(0, 1): around grey, where nothing is clamped, the differences
        have mean 0 and that std. About 68% of normal numbers lie within one std and 5%
        beyond two; of uniform numbers 58% and none.
        """
        x = torch.full((3, 60, 70), 0.5)
        got = kata.AddGaussianNoise(*options)(x)
        check.shape(got, x.shape)
        difference = (got.double() - 0.5).flatten()
        found, mean = difference.std().item(), difference.mean().item()
        uniform = "noise of torch.rand, which lies between 0 and 1"
        check.that(
            bool((difference < 0).any()),
            f"no difference is below 0, their mean is {mean:.4f}",
            like=uniform,
        )
        check.that(
            abs(mean) < 0.06 * std,
            f"the differences should have mean 0, it is {mean:.4f}",
        )
        check.that(
            abs(found / std - 1) < 0.06,
            f"the differences should have std {std}, it is {found:.4f}",
        )
        near, far = (
            (difference.abs() < std).double().mean(),
            (difference.abs() > 2 * std).double().mean(),
        )
        said = f"{near:.0%} of the noise lies within one std and {far:.1%} beyond two"
        check.that(
            abs(near - 0.683) < 0.03 and abs(far - 0.0455) < 0.015,
            f"{said}; normal are 68% and 4.6%",
        )

    def test_every_element_gets_its_own_noise(self, kata):
        """Noise that all channels or all rows share is a pattern, and noise that varies
        over the batch alone changes the brightness.
        """
        difference = kata.AddGaussianNoise(0.1)(torch.full((2, 3, 20, 25), 0.5)) - 0.5
        for dim, name in enumerate(
            ("images of a batch", "channels", "rows", "columns")
        ):
            one, other = (
                difference.select(dim, 0).flatten(),
                difference.select(dim, 1).flatten(),
            )
            r = torch.corrcoef(torch.stack([one, other]))[0, 1].item()
            check.that(
                abs(r) < 0.65,
                f"two {name} should have unrelated noise, their correlation is {r:.2f}",
            )

    def test_every_call_draws_anew(self, kata):
        """Noise that is the same in every epoch can be learned by heart."""
        noise, x = kata.AddGaussianNoise(0.1), torch.full((3, 20, 25), 0.5)
        one, other = noise(x), noise(x)
        check.that(not torch.equal(one, other), "two calls added the very same noise")
        r = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()
        check.that(
            abs(r) < 0.2,
            f"the noise of two calls should be unrelated, their correlation is {r:.2f}",
        )

    def test_results_stay_in_0_to_1(self, kata):
        """The sum is clamped, not the noise: white with noise is white or darker, and
        half of its pixels are still exactly 1.
        """
        for value in (0.0, 1.0):
            got = kata.AddGaussianNoise(0.3)(torch.full((3, 20, 25), value))
            low, high = got.min().item(), got.max().item()
            check.that(
                low >= 0 and high <= 1,
                f"values should lie in [0, 1], they reach from {low:.3f} to {high:.3f}",
            )
            share = (got == value).double().mean().item()
            check.that(
                0.42 < share < 0.58,
                f"half of the pixels should still be {value:g}, {share:.0%} are",
            )

    def test_a_generator_repeats_the_sequence(self, kata):
        """Equally seeded generators give equal results, call by call, and no global
        generator is touched: one transform more or less does not change the rest of the
        run. Without a generator, torch.manual_seed repeats the results.
        """
        check_generator(
            lambda g: kata.AddGaussianNoise(generator=g), torch.rand(3, 4, 5)
        )

    @pytest.mark.edge
    def test_without_noise_the_image_stays(self, kata):
        """std = 0 is allowed, and adds nothing."""
        x = torch.rand(3, 4, 5)
        check.equal(kata.AddGaussianNoise(0.0)(x), x)

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """A float64 or bfloat16 image keeps its dtype when noise is added."""
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            got = kata.AddGaussianNoise(0.1)(torch.full((3, 20, 25), 0.5, dtype=dtype))
            check.dtype(got, dtype)
            found = (got.double() - 0.5).std().item()
            check.that(
                0.09 < found < 0.11,
                f"in {dtype} the std should be 0.1, it is {found:.4f}",
            )

    @pytest.mark.edge
    def test_the_device_stays(self, kata):
        """The noise is drawn on the device of the image, here the device "meta"."""
        got = kata.AddGaussianNoise(0.1)(torch.rand(3, 4, 5, device="meta"))
        check.that(
            got.device.type == "meta",
            f"the image is on the device meta, the result on {got.device}",
        )

    @pytest.mark.edge
    def test_the_input_stays_as_it_was(self, kata):
        """`x += noise` would make the image in memory noisier with each epoch."""
        x = torch.rand(3, 4, 5)
        with check.unchanged(image=x):
            kata.AddGaussianNoise(0.3)(x)

    @pytest.mark.edge
    def test_a_negative_std_is_refused(self, kata):
        """A standard deviation is never below 0; found when the transform is made."""
        with check.raises(ValueError):
            kata.AddGaussianNoise(-0.1)


class TestAugmentationGallery:
    def test_every_row_is_a_call_of_its_own(self, kata):
        """n results of n calls on the same image. One result, n times over, looks like
        an augmentation that does nothing.
        """
        counter, image = Count(), torch.rand(3, 4, 5)
        expected = torch.stack([image + 1, image + 2, image + 3, image + 4])
        unlike = {
            "one result, repeated": torch.stack([image + 1] * 4),
            "each result of the one before": torch.stack(
                [image + 1, image + 3, image + 6, image + 10]
            ),
        }
        check.close(
            kata.augmentation_gallery(image, counter, 4), expected, unlike=unlike
        )
        check.equal(counter.calls, 4, what="calls of the transform")

    def test_the_image_can_be_anything(self, kata):
        """Some transforms take a PIL image, others a tensor: hand the image over as it
        is. One row is a gallery, too.
        """
        image = picture(4, 6)
        got = kata.augmentation_gallery(
            image, lambda image: pixels(image).permute(2, 0, 1), 1
        )
        check.equal(got, pixels(image).permute(2, 0, 1)[None])

    @pytest.mark.edge
    def test_an_empty_gallery_is_refused(self, kata):
        """Without images there is nothing to stack."""
        for n in (0, -2):
            with check.raises(ValueError):
                kata.augmentation_gallery(torch.rand(3, 4, 5), lambda x: x, n)


class TestEvalTransform:
    def test_it_holds_four_steps(self, kata):
        """First the PIL images: shorter side to size, middle out; then the tensors:
        floats in [0, 1], then normalised. Normalize takes floats only, and PIL takes no
        tensors, so the order is forced.
        """
        names = [type(t).__name__ for t in kata.eval_transform(6, MEAN, STD).transforms]
        wanted = ["Resize", "CenterCrop", "ToTensor", "Normalize"]
        check.that(names == wanted, f"wanted the classes {wanted}, got {names}")

    def test_images_become_normalised_squares(self, kata):
        """The shorter side becomes 6, the 6 × 6 pixels in the middle are divided by
        255, moved and scaled. The rest of the longer side is cut off, not squeezed.
        Judged to 2 grey levels.
        """
        for height, width in ((17, 31), (31, 17)):
            image = picture(height, width)
            tall, wide = max(6, 6 * height // width), max(6, 6 * width // height)
            top, left = (tall - 6) // 2, (wide - 6) // 2
            small = resized_by_hand(pixels(image), tall, wide)[
                top : top + 6, left : left + 6
            ]

            def finished(small):
                return torch.stack(
                    [(small[..., c] / 255 - MEAN[c]) / STD[c] for c in range(3)]
                )

            row, column = (height - 6) // 2, (width - 6) // 2
            unlike = {
                "both sides squeezed to the size": finished(
                    resized_by_hand(pixels(image), 6, 6)
                ),
                "cut out without being resized first": finished(
                    pixels(image)[row : row + 6, column : column + 6]
                ),
                "not normalised": small.permute(2, 0, 1) / 255,
            }
            got, atol = kata.eval_transform(6, MEAN, STD)(image), 2 / 255 / min(STD)
            check.close(
                got,
                finished(small),
                rtol=0,
                atol=atol,
                unlike=unlike,
                what=f"of {height} × {width}",
            )

    def test_no_number_is_drawn(self, kata):
        """Two calls on one image give the same tensor. An evaluation in between does
        not change the training that follows, because no random generator has moved.
        """
        image = picture(9, 12)
        with no_global_numbers():
            transform = kata.eval_transform(6, MEAN, STD)
            first = transform(image)
            check.equal(transform(image), first, what="the second result")


def by_complex_numbers(height, width, angle, translate, scale):
    """The place (x, y) in the image that each pixel of the result comes from: from the
    centre, y downwards, in float64.

    In the plane of complex numbers, with the imaginary axis up, to rotate and zoom is
    one multiplication.
    """
    x, y = torch.zeros(height, width).double(), torch.zeros(height, width).double()
    for row in range(height):
        for column in range(width):
            place = complex(
                column - (width - 1) / 2 - translate[0],
                -(row - (height - 1) / 2 - translate[1]),
            )
            source = place / cmath.rect(scale, math.radians(angle))
            x[row, column], y[row, column] = source.real, -source.imag
    return x, y


def sheared(height, width, angle, translate, scale):
    """The same places, if angles are measured in coordinates from −1 to 1."""
    x, y = by_complex_numbers(height, width, 0, translate, 1)
    places = torch.complex(x / width, -y / height) / cmath.rect(
        scale, math.radians(angle)
    )
    return places.real * width, -places.imag * height


def slanted_planes(x, y):
    """Three channels, each rising evenly in a direction of its own."""
    return torch.stack([1 + 0.3 * x, 2 - 0.2 * y, 0.1 * x + 0.25 * y])


def tent(height, width, row, column, reach):
    """A bright pixel at (row, column), magnified by linear interpolation until it
    reaches that far.
    """
    down = (1 - (torch.arange(height).double() - row).abs() / reach).clamp(min=0)
    right = (1 - (torch.arange(width).double() - column).abs() / reach).clamp(min=0)
    return (down[:, None] * right)[None]


def shifted(image, right, down):
    """The image moved by whole pixels, with 0 where nothing comes in."""
    padded = torch.nn.functional.pad(image, [20] * 4)
    return padded.roll((down, right), (-2, -1))[..., 20:-20, 20:-20]


@st.composite
def shifts(draw):
    """A shift (right, down) in whole pixels, also out of the image."""
    return draw(st.integers(-7, 7)), draw(st.integers(-5, 5))


def resampled(image, *, grid, sample):
    """The image, not moved, with `align_corners` as given in affine_grid and
    in grid_sample.
    """
    places = torch.nn.functional.affine_grid(
        torch.eye(2, 3)[None], (1, *image.shape), align_corners=grid
    )
    return torch.nn.functional.grid_sample(image[None], places, align_corners=sample)[0]


@pytest.mark.stretch
class TestAffine:
    def test_quarter_turns_equal_rot90(self, kata):
        """90 degrees turn counter-clockwise: what was at the right is at the top. A
        square image loses nothing, whether its centre is a pixel or lies between four.
        Values that are nearly right, but blurred, come from `align_corners` set in one
        place only.
        """
        for size in (5, 6):
            image = torch.rand(2, size, size)
            for angle, quarters in ((90, 1), (180, 2), (270, 3), (-90, -1)):
                expected = torch.rot90(image, quarters, (-2, -1))
                unlike = {
                    "clockwise": torch.rot90(image, -quarters, (-2, -1)),
                    "not turned": image,
                    "align_corners=True in grid_sample alone": resampled(
                        expected, grid=False, sample=True
                    ),
                    "align_corners=True in affine_grid alone": resampled(
                        expected, grid=True, sample=False
                    ),
                }
                what = f"{angle} degrees of {size} × {size}"
                check.close(
                    kata.affine(image, angle),
                    expected,
                    **EXACT,
                    unlike=unlike,
                    what=what,
                )

    @given(shift=shifts())
    def test_shifts_go_right_and_down(self, kata, shift):
        """translate = (2, 1) moves the content two pixels to the right and one down,
        exactly. What comes in is 0, and without a shift the image stays as it was.
        """
        right, down = shift
        image = torch.arange(1.0, 71).reshape(2, 5, 7)
        unlike = {
            "the other way: left and up": shifted(image, -right, -down),
            "(down, right) instead of (right, down)": shifted(image, down, right),
            "rolled round: what leaves comes in again": image.roll(
                (down, right), (1, 2)
            ),
            "not shifted": image,
        }
        got = kata.affine(image, translate=(float(right), float(down)))
        check.close(got, shifted(image, right, down), rtol=0, atol=0.01, unlike=unlike)

    def test_scale_2_makes_things_twice_as_large(self, kata):
        """A bright pixel 2 right of the centre is 4 right of it afterwards. Half of
        that is the inverse, which is right for the way back from the result to the
        image, and only there.
        """
        image = torch.zeros(1, 11, 13)
        image[0, 5, 8] = 1
        unlike = {
            "half as large: the inverse": tent(11, 13, 5, 7, 1),
            "not zoomed": tent(11, 13, 5, 8, 1),
        }
        check.close(
            kata.affine(image, scale=2.0),
            tent(11, 13, 5, 10, 2),
            **EXACT,
            unlike=unlike,
        )

    def test_a_bright_pixel_lands_where_it_should(self, kata):
        """2 right of the centre and 1 below it; zoomed by 2 that is 4 and 2; turned by
        90 degrees, 2 right and 4 above; shifted by (1, −2) at last: 3 right and 6
        above. Zooming spreads it over the neighbours.
        """
        image = torch.zeros(1, 15, 17)
        image[0, 8, 10] = 1
        expected = tent(15, 17, 1, 11, 2)
        unlike = {
            "shifted first, then turned and zoomed": tent(15, 17, 1, 6, 2),
            "turned clockwise": tent(15, 17, 9, 7, 2),
            "the shift is zoomed, too": tent(15, 17, -1, 12, 2),
            "not zoomed": tent(15, 17, 3, 10, 1),
            "zoomed but not turned": tent(15, 17, 7, 13, 2),
        }
        check.close(
            kata.affine(image, 90.0, (1.0, -2.0), 2.0), expected, **EXACT, unlike=unlike
        )

    @pytest.mark.parametrize(
        ("angle", "translate", "scale"),
        [(30, (0.0, 0.0), 1.0), (30, (1.5, -0.75), 1.25), (-20, (0.25, 0.5), 0.8)],
    )
    def test_any_angle_in_an_image_of_any_sides(self, kata, angle, translate, scale):
        """On a slanted plane bilinear interpolation is exact, so every pixel shows the
        place that it came from. Angles are measured in pixels: in coordinates from −1
        to 1, an image that is not square is sheared. Judged inside the border.
        """
        height, width = 9, 14
        image = slanted_planes(*by_complex_numbers(height, width, 0, (0, 0), 1)).float()
        from_x, from_y = by_complex_numbers(height, width, angle, translate, scale)
        inside = (from_x.abs() < (width - 1) / 2 - 0.01) & (
            from_y.abs() < (height - 1) / 2 - 0.01
        )
        wrong = {
            "clockwise": by_complex_numbers(height, width, -angle, translate, scale),
            "sheared: turned in coordinates from −1 to 1": sheared(
                height, width, angle, translate, scale
            ),
            "scale the wrong way round": by_complex_numbers(
                height, width, angle, translate, 1 / scale
            ),
        }
        got = kata.affine(image, angle, translate, scale)
        check.shape(got, image.shape)
        unlike = {
            name: slanted_planes(*places) * inside for name, places in wrong.items()
        }
        check.close(
            got * inside,
            slanted_planes(from_x, from_y) * inside,
            **EXACT,
            unlike=unlike,
            what="inside the border",
        )

    def test_outside_is_black(self, kata):
        """Where nothing comes from there is 0: not the colour of the nearest border,
        not a mirror image.
        """
        got = kata.affine(torch.ones(1, 9, 9), 45.0)
        corners = torch.stack([got[0, 0, 0], got[0, 0, 8], got[0, 8, 0], got[0, 8, 8]])
        check.close(
            corners,
            torch.zeros(4),
            **EXACT,
            what="the corners of a white square, turned by 45 degrees",
        )
        check.close(got[0, 4], torch.ones(9), **EXACT, what="its middle row")
        got = kata.affine(torch.ones(1, 4, 5), translate=(9.0, 0.0))
        check.close(
            got, torch.zeros(1, 4, 5), what="an image that is shifted out altogether"
        )

    def test_a_batch_is_treated_alike(self, kata):
        """(B, C, H, W): the same happens to every image of the batch."""
        batch = torch.rand(3, 2, 5, 6)
        got = kata.affine(batch, 25.0, (0.5, 1.0), 1.2)
        alone = torch.stack(
            [kata.affine(image, 25.0, (0.5, 1.0), 1.2) for image in batch]
        )
        check.close(got, alone)

    def test_gradients_flow_to_the_image(self, kata):
        """The gradient goes back to the pixels that the result came from."""
        check.gradients(
            lambda x: kata.affine(x, 90.0),
            lambda x: torch.rot90(x, 1, (-2, -1)),
            torch.rand(2, 5, 5),
            atol=1e-4,
        )

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """float64 and bfloat16 images stay what they are. Places need more digits than
        colours: in bfloat16 there is no pixel 301 between 300 and 302.
        """
        image = torch.rand(2, 6, 6)
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            got = kata.affine(image.to(dtype), 90.0)
            check.dtype(got, dtype)
            check.close(
                got,
                torch.rot90(image.to(dtype), 1, (-2, -1)),
                atol=1e-2,
                what=f"90 degrees in {dtype}",
            )
        wide = (torch.arange(600) % 7 / 7).expand(1, 2, 600).to(torch.bfloat16)
        got = kata.affine(wide, translate=(2.0, 0.0))
        check.close(
            got[..., 2:],
            wide[..., :-2],
            what="a wide bfloat16 image, shifted by 2 pixels",
        )

    @pytest.mark.edge
    def test_the_device_stays(self, kata):
        """Everything on the way is computed on the image's device, here the
        device "meta".
        """
        got = kata.affine(torch.rand(2, 5, 6, device="meta"), 20.0, (1.0, 0.5), 1.5)
        check.that(
            got.device.type == "meta",
            f"the image is on the device meta, the result on {got.device}",
        )

    @pytest.mark.edge
    def test_the_input_stays_as_it_was(self, kata):
        """The image given is only read."""
        image = torch.rand(2, 5, 6)
        with check.unchanged(image=image):
            kata.affine(image, 20.0, (1.0, 2.0), 1.5)

    @pytest.mark.edge
    def test_scale_is_above_zero(self, kata):
        """Zoomed by 0 the image has no pixels, so no pixel of the result comes
        from anywhere.
        """
        for scale in (0.0, -1.0):
            with check.raises(ValueError):
                kata.affine(torch.rand(1, 4, 4), scale=scale)


@pytest.mark.stretch
class TestRandomAffine:
    def test_the_call_does_what_sample_says(self, kata):
        """`__call__` is `affine` with what `self.sample` gives, so a subclass that
        overrides `sample` decides what happens. It is asked once per call, for (height,
        width). `affine` has to be right first.
        """
        image, asked = torch.rand(2, 6, 6), []

        class Fixed(kata.RandomAffine):
            answer = (90.0, (0.0, 0.0), 1.0)

            def sample(self, height, width):
                asked.append((height, width))
                return self.answer

        transform, expected = Fixed(10), torch.rot90(image, 1, (-2, -1))
        unlike = {
            "clockwise": torch.rot90(image, -1, (-2, -1)),
            "not turned at all": image,
        }
        check.close(
            transform(image),
            expected,
            **EXACT,
            unlike=unlike,
            what="with sample → 90 degrees",
        )
        transform.answer = (0.0, (2.0, -1.0), 1.0)
        wide = torch.rand(3, 4, 7)
        expected = torch.zeros(3, 4, 7)
        expected[:, :3, 2:] = wide[:, 1:, :-2]
        check.close(
            transform(wide), expected, **EXACT, what="with sample → 2 right, 1 up"
        )
        transform.answer = (0.0, (0.0, 0.0), 2.0)
        bright = tent(9, 9, 4, 5, 1).float()
        check.close(
            transform(bright),
            tent(9, 9, 4, 6, 2),
            **EXACT,
            what="with sample → scale 2",
        )
        wanted = [(6, 6), (4, 7), (9, 9)]
        check.that(
            asked == wanted,
            f"sample should be called with {wanted}, once per image; it was called "
            f"with {asked}",
        )

    def test_angles_fill_their_range(self, kata):
        """One number d stands for −d … d, and a pair for its own limits; all angles
        there are equally likely.
        """
        check_uniform(
            draws(kata.RandomAffine(30), 8, 9)["angle"],
            -30,
            30,
            "the angle for degrees=30",
        )
        check_uniform(
            draws(kata.RandomAffine((10.0, 50.0)), 8, 9)["angle"],
            10,
            50,
            "the angle for degrees=(10, 50)",
        )

    def test_shifts_grow_with_the_image(self, kata):
        """translate holds shares: up to 0.5 · width to either side, up to 0.25 · height
        up and down. In pixels, the same numbers would do next to nothing.
        """
        got = draws(kata.RandomAffine(0, translate=(0.5, 0.25)), 40, 12)
        check_uniform(
            got["right"],
            -6,
            6,
            "the shift to the right, for translate=(0.5, 0.25) and a width of 12",
        )
        check_uniform(
            got["down"],
            -10,
            10,
            "the shift down, for translate=(0.5, 0.25) and a height of 40",
        )
        whole = sum(value == round(value) for value in got["right"])
        check.that(
            whole < 20,
            f"shifts should not be rounded, but {whole} of 400 are whole numbers of "
            "pixels",
        )

    def test_scales_fill_their_range(self, kata):
        """The zoom is uniform between its limits."""
        got = draws(kata.RandomAffine(0, scale=(0.5, 2.0)), 8, 9)
        check_uniform(got["scale"], 0.5, 2.0, "the scale for scale=(0.5, 2)")

    def test_what_is_not_asked_for_stays(self, kata):
        """Without translate and scale there is no shift and no zoom, and with 0 degrees
        no rotation.
        """
        got = kata.RandomAffine(20).sample(8, 9)
        check.equal(got[1:], ((0.0, 0.0), 1.0), what="shift and scale without limits")
        check.close(
            kata.RandomAffine(0).sample(8, 9)[0], 0.0, what="the angle for degrees=0"
        )

    def test_every_number_is_drawn_by_itself(self, kata):
        """One random number for all four would tie a turn to the left to a shift to
        the left.
        """
        check_unrelated(draws(kata.RandomAffine(30, (0.5, 0.25), (0.5, 2.0)), 8, 9))

    def test_a_generator_repeats_the_sequence(self, kata):
        """Equally seeded generators give equal results, call by call, and no global
        generator is touched: one transform more or less does not change the rest of the
        run. Without a generator, torch.manual_seed repeats the results.
        """
        check_generator(
            lambda g: kata.RandomAffine(20, (0.2, 0.2), (0.8, 1.2), g),
            torch.rand(2, 5, 6),
        )

    @pytest.mark.edge
    def test_limits_may_meet(self, kata):
        """A range may hold a single number, and a shift by the whole image is
        still allowed.
        """
        got = kata.RandomAffine(
            (15.0, 15.0), translate=(1.0, 0.0), scale=(1.5, 1.5)
        ).sample(8, 9)
        check.close(
            (got[0], got[1][1], got[2]), (15.0, 0.0, 1.5), what="(angle, down, scale)"
        )

    @pytest.mark.edge
    def test_impossible_limits_are_refused(self, kata):
        """A range that ends before it begins, a shift by more than the whole image, a
        zoom to nothing: all found when the transform is made.
        """
        bad = [{"degrees": (20.0, 10.0)}]
        bad += [
            {"degrees": 5, "translate": t}
            for t in ((-0.1, 0.2), (0.2, 1.5), (1.5, 0.2), (0.2, -0.1))
        ]
        bad += [
            {"degrees": 5, "scale": s} for s in ((0.0, 1.0), (-1.0, 1.0), (1.5, 1.2))
        ]
        for options in bad:
            with check.raises(ValueError):
                kata.RandomAffine(**options)


@pytest.mark.stretch
class TestRandomRotation:
    def test_the_call_does_what_sample_says(self, kata):
        """As in RandomAffine: `__call__` asks `self.sample(height, width)` once, and
        rotates by that. `affine` has to be right first.
        """
        image, asked = torch.rand(2, 6, 6), []

        class Fixed(kata.RandomRotation):
            def sample(self, height, width):
                asked.append((height, width))
                return 90.0, (0.0, 0.0), 1.0

        unlike = {
            "clockwise": torch.rot90(image, -1, (-2, -1)),
            "the overridden sample was not asked": image,
        }
        expected = torch.rot90(image, 1, (-2, -1))
        check.close(
            Fixed(0)(image),
            expected,
            **EXACT,
            unlike=unlike,
            what="with sample → 90 degrees",
        )
        Fixed(0)(torch.rand(3, 4, 7))
        wanted = [(6, 6), (4, 7)]
        check.that(
            asked == wanted,
            f"sample should be called with {wanted}, once per image; it was called "
            f"with {asked}",
        )

    def test_angles_fill_their_range(self, kata):
        """One number d stands for −d … d, a pair for its own limits."""
        check_uniform(
            draws(kata.RandomRotation(30), 8, 9)["angle"],
            -30,
            30,
            "the angle for degrees=30",
        )
        check_uniform(
            draws(kata.RandomRotation((-20.0, 60.0)), 8, 9)["angle"],
            -20,
            60,
            "the angle for degrees=(-20, 60)",
        )

    def test_only_the_angle_varies(self, kata):
        """`sample` has the form that RandomAffine's has, without a shift and without
        a zoom.
        """
        check.equal(
            kata.RandomRotation(30).sample(8, 9)[1:],
            ((0.0, 0.0), 1.0),
            what="shift and scale",
        )

    def test_a_generator_repeats_the_sequence(self, kata):
        """Equally seeded generators give equal results, call by call, and no global
        generator is touched: one transform more or less does not change the rest of the
        run. Without a generator, torch.manual_seed repeats the results.
        """
        check_generator(lambda g: kata.RandomRotation(20, g), torch.rand(2, 5, 6))

    @pytest.mark.edge
    def test_limits_are_in_order(self, kata):
        """A range that ends before it begins is refused; one number alone is
        a range.
        """
        with check.raises(ValueError):
            kata.RandomRotation((20.0, 10.0))
        check.close(
            kata.RandomRotation((15.0, 15.0)).sample(8, 9)[0],
            15.0,
            what="the angle for degrees=(15, 15)",
        )


def boxes(crop, height, width, n=400):
    """n samples, each checked to be a box inside the image, in plain ints."""
    found = []
    for box in check.repeated(n, crop.sample, height, width):
        form = (
            isinstance(box, tuple)
            and len(box) == 4
            and all(type(number) is int for number in box)
        )
        check.that(
            form, f"wanted four plain ints (top, left, h, w), got {check.describe(box)}"
        )
        top, left, h, w = box
        inside = (
            top >= 0
            and left >= 0
            and h >= 1
            and w >= 1
            and top + h <= height
            and left + w <= width
        )
        check.that(
            inside,
            f"the box (top, left, h, w) = {box} is not inside an image {height} high "
            f"and {width} wide",
        )
        found.append(box)
    return found


@pytest.mark.stretch
class TestRandomResizedCropSample:
    def test_areas_fill_their_range(self, kata):
        """scale limits the box's area as a share of the image's. A box with half of
        each side has a quarter of the area.
        """
        found = boxes(
            kata.RandomResizedCrop(8, scale=(0.1, 0.4), ratio=(0.8, 1.25)), 1000, 1500
        )
        check_uniform(
            [h * w / 1.5e6 for _, _, h, w in found],
            0.0995,
            0.4005,
            "the area for scale=(0.1, 0.4)",
        )

    def test_ratios_fill_their_range(self, kata):
        """The ratio is width / height, and uniform in its logarithm: twice as wide is
        as likely as twice as high. Drawn without the logarithm, most boxes would
        be wide.
        """
        found = boxes(
            kata.RandomResizedCrop(8, scale=(0.1, 0.2), ratio=(0.25, 4.0)), 1000, 1000
        )
        logs = [math.log(w / h) for _, _, h, w in found]
        check_uniform(
            logs,
            math.log(0.248),
            math.log(4.03),
            "log(width / height) for ratio=(1/4, 4)",
        )
        for _, _, h, w in boxes(
            kata.RandomResizedCrop(8, scale=(0.1, 0.2), ratio=(2.0, 2.0)),
            1000,
            1000,
            n=5,
        ):
            check.close(w / h, 2.0, rtol=0.01, what="width / height for ratio=(2, 2)")

    def test_the_defaults_are_those_of_the_signature(self, kata):
        """Without limits of its own a box has 8% to 100% of the area, and is 3/4 to 4/3
        as wide as high.
        """
        found = boxes(kata.RandomResizedCrop(8), 1000, 1000)
        areas, ratios = (
            [h * w / 1e6 for _, _, h, w in found],
            [w / h for _, _, h, w in found],
        )
        right = 0.079 < min(areas) < 0.15 and 0.85 < max(areas) <= 1
        check.that(
            right,
            f"areas should reach from 0.08 to 1, they reach from {min(areas):.2f} to "
            f"{max(areas):.2f}",
        )
        right = 0.745 < min(ratios) < 0.8 and 1.25 < max(ratios) < 1.34
        said = f"they reach from {min(ratios):.2f} to {max(ratios):.2f}"
        check.that(right, f"widths / heights should reach from 0.75 to 1.33, {said}")

    @pytest.mark.parametrize(
        ("height", "width", "scale", "ratio", "expected"),
        [
            (8, 9, 1 / 4, 1.45, (4, 5)),
            pytest.param(4, 4, 1 / 16, 1.0, (1, 1), marks=pytest.mark.edge),
            pytest.param(10, 30, 1 / 3, 1.0, (10, 10), marks=pytest.mark.edge),
            pytest.param(30, 10, 1 / 3, 1.0, (10, 10), marks=pytest.mark.edge),
        ],
        ids=["rounded", "one pixel", "as high as the image", "as wide as the image"],
    )
    def test_sides_are_rounded(self, kata, height, width, scale, ratio, expected):
        """A quarter of an 8 × 9 image, 1.45 times as wide as high, is 5.11 wide and
        3.52 high: 5 and 4. A box may be one pixel, and as high or as wide as the image.
        """
        found = boxes(
            kata.RandomResizedCrop(8, (scale, scale), (ratio, ratio)),
            height,
            width,
            n=60,
        )
        sizes = sorted({box[2:] for box in found})
        check.that(
            sizes == [expected],
            f"every box should be {expected} (h, w), got {sizes[:4]}",
        )
        corners = {box[:2] for box in found}
        check.that(
            len(corners) > 5,
            f"60 boxes have only the corners {sorted(corners)}: the fallback in the "
            "centre?",
        )

    def test_every_place_for_the_corner_occurs(self, kata):
        """A 4 × 4 box has 5 · 6 places in an 8 × 9 image, the last row and the last
        column included.
        """
        found = boxes(
            kata.RandomResizedCrop(8, scale=(0.25, 0.25), ratio=(1.0, 1.0)), 8, 9, n=600
        )
        sizes = {(h, w) for _, _, h, w in found}
        check.that(
            sizes == {(4, 4)},
            "a quarter of the area, with ratio 1, is a 4 × 4 box; got "
            f"{sorted(sizes)[:5]}",
        )
        corners = {(top, left) for top, left, _, _ in found}
        missing = sorted(
            {(row, column) for row in range(5) for column in range(6)} - corners
        )
        check.that(not missing, f"in 600 samples the corner was never at {missing[:8]}")

    def test_there_is_more_than_one_try(self, kata):
        """Fewer than a third of the draws fit into this 10 × 30 image. With ten tries
        nearly every box is a random one, with a single try most are the fallback.
        """
        found = boxes(kata.RandomResizedCrop(8, scale=(0.2, 0.8)), 10, 30)
        share = sum(box == (0, 8, 10, 13) for box in found) / len(found)
        check.that(
            share < 0.25,
            f"{share:.0%} of the boxes are the fallback in the centre; ten tries make "
            "that rare",
        )

    def test_a_generator_repeats_the_sequence(self, kata):
        """Area, ratio and corner come from the generator, and no global generator is
        touched. Equally seeded generators give equal boxes.
        """
        with no_global_numbers():
            first = boxes(kata.RandomResizedCrop(4, generator=seeded(3)), 12, 16, n=24)
        again = boxes(kata.RandomResizedCrop(4, generator=seeded(3)), 12, 16, n=24)
        check.equal(
            torch.tensor(again),
            torch.tensor(first),
            what="24 boxes with an equally seeded generator",
        )
        check.that(
            len(set(first)) > 12, f"24 samples gave {len(set(first))} different boxes"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("height", "width", "limits", "expected"),
        [
            (10, 100, {}, (0, 43, 10, 13)),
            (100, 10, {}, (43, 0, 13, 10)),
            (10, 100, {"ratio": (0.73, 1.37)}, (0, 43, 10, 14)),
            (100, 10, {"ratio": (0.73, 1.37)}, (43, 0, 14, 10)),
        ],
        ids=["wide", "high", "wide, rounded up", "high, rounded up"],
    )
    def test_long_images_fall_back_to_the_middle(
        self, kata, height, width, limits, expected
    ):
        """No box with half of a 10 × 100 image is nearly square. After ten tries take
        the largest box within the limits of ratio: full height, and the width that the
        ratio allows, in the centre; a high image likewise.
        """
        found = set(
            boxes(
                kata.RandomResizedCrop(8, scale=(0.5, 1.0), **limits),
                height,
                width,
                n=5,
            )
        )
        check.that(
            found == {expected},
            f"in {height} × {width} wanted the box {expected}, got {sorted(found)[:4]}",
        )

    @pytest.mark.edge
    def test_the_fallback_may_be_the_whole_image(self, kata):
        """When no try fits although the image's own ratio is within the limits, the
        largest box is the whole image.
        """
        found = set(
            boxes(
                kata.RandomResizedCrop(8, scale=(1.0, 1.0), ratio=(1e-3, 1e3)),
                1000,
                1200,
                n=5,
            )
        )
        whole = (0, 0, 1000, 1200)
        check.that(
            found == {whole},
            f"wanted the whole image, {whole}, got {sorted(found)[:4]}",
        )

    @pytest.mark.edge
    def test_tiny_images_have_boxes_too(self, kata):
        """A side that is rounded to 0 does not fit; nor is a side of the fallback ever
        less than one pixel.
        """
        boxes(kata.RandomResizedCrop(8), 1, 1, n=20)
        boxes(kata.RandomResizedCrop(8), 2, 3, n=50)
        boxes(kata.RandomResizedCrop(8, ratio=(0.1, 0.3)), 1, 7, n=20)
        boxes(kata.RandomResizedCrop(8, ratio=(3.0, 9.0)), 7, 1, n=20)


@pytest.mark.stretch
class TestRandomResizedCropCall:
    def test_the_result_has_the_size(self, kata):
        """Whatever was cut out: (C, h, w), with (height, width) in the order of
        tensors, and an int for a square.
        """
        for image in (torch.rand(3, 20, 31), torch.rand(2, 4, 3)):
            channels = image.shape[0]
            check.shape(
                kata.RandomResizedCrop((6, 9))(image),
                (channels, 6, 9),
                what="the result for size=(6, 9)",
            )
            check.shape(
                kata.RandomResizedCrop(7)(image),
                (channels, 7, 7),
                what="the result for size=7",
            )

    def test_the_call_cuts_the_box_that_sample_gives(self, kata):
        """`__call__` asks `self.sample(height, width)` once. A box that has the size
        already is passed on pixel by pixel: rows top … top + h, columns left
        … left + w.
        """
        image, asked = torch.rand(3, 8, 11), []

        class Fixed(kata.RandomResizedCrop):
            def sample(self, height, width):
                asked.append((height, width))
                return 1, 3, 5, 6

        unlike = {
            "top and left exchanged": image[:, 3:8, 1:7],
            "the middle of the image": image[:, 1:6, 2:8],
        }
        check.close(
            Fixed((5, 6))(image),
            image[:, 1:6, 3:9],
            unlike=unlike,
            what="the box (1, 3, 5, 6)",
        )
        check.that(
            asked == [(8, 11)],
            f"sample should be called with (8, 11), once; it was called with {asked}",
        )

    def test_boxes_are_resized_bilinearly(self, kata):
        """A slope stays a slope: it rises from column to column, also between the old
        ones, and its mean stays. Equal values stay equal.
        """
        slope = torch.arange(12.0).expand(2, 9, 12)

        class Fixed(kata.RandomResizedCrop):
            def sample(self, height, width):
                return 2, 3, 5, 4

        for image, dim, mean in (
            (slope, 2, 4.5),
            (slope[:, :9, :9].mT.contiguous(), 1, 4.0),
        ):
            got = Fixed((10, 12))(image)
            check.shape(got, (2, 10, 12))
            inner = got.double().diff(dim=dim).narrow(dim, 1, 7)
            line = [round(value, 2) for value in got[0].select(2 - dim, 0).tolist()]
            check.that(
                bool((inner > 0.01).all()),
                f"values should rise from pixel to pixel; they are {line}",
            )
            check.close(
                got.double().mean().item(),
                mean,
                atol=1e-3,
                what="the mean of the slope in the box",
            )
        got = Fixed((10, 12))((slope > 4).float())
        low, high = got.min().item(), got.max().item()
        between = low > -1e-5 and high < 1 + 1e-5
        check.that(
            between,
            f"averages of 0 and 1 lie between them, these reach from {low:.3f} to "
            f"{high:.3f}",
        )
        got = kata.RandomResizedCrop((6, 7))(torch.full((3, 9, 10), 0.25))
        check.close(got, torch.full((3, 6, 7), 0.25), what="a box of equal values")

    def test_every_call_draws_anew(self, kata):
        """Each call shows another part of the image."""
        transform, image = kata.RandomResizedCrop(5), torch.rand(2, 60, 70)
        results = {tuple(transform(image).flatten().tolist()) for _ in range(8)}
        check.that(
            len(results) > 5,
            f"eight calls on one image gave {len(results)} different results",
        )

    @pytest.mark.edge
    def test_the_input_stays_as_it_was(self, kata):
        """The image given is only read."""
        image = torch.rand(2, 12, 16)
        with check.unchanged(image=image):
            kata.RandomResizedCrop(4)(image)


@pytest.mark.stretch
class TestTrainTransform:
    def test_it_holds_five_steps(self, kata):
        """A tensor first, then what varies, and Normalize last: after it 0 is no longer
        black, and what rotation brings in at the corners is 0.
        """
        names = [
            type(t).__name__ for t in kata.train_transform(6, MEAN, STD).transforms
        ]
        wanted = [
            "ToTensor",
            "RandomResizedCrop",
            "RandomHorizontalFlip",
            "RandomRotation",
            "Normalize",
        ]
        check.that(names == wanted, f"wanted the classes {wanted}, got {names}")

    def test_images_become_normalised_squares(self, kata):
        """(3, size, size) for every image. One colour, cut out, mirrored and turned,
        still is that colour in the middle, and comes out as (x / 255 − mean) / std.
        """
        image = Image.new("RGB", (31, 17), (51, 102, 204))
        got = kata.train_transform(9, MEAN, STD)(image)
        check.shape(got, (3, 9, 9))
        expected = torch.tensor(
            [(0.2 - 0.5) / 0.25, (0.4 - 0.25) / 0.5, (0.8 - 0.75) / 0.3]
        )
        check.close(
            got[:, 4, 4],
            expected,
            **EXACT,
            what="the middle of a picture of one colour",
        )

    def test_rotations_stay_within_ten_degrees(self, kata):
        """Up to 10 degrees to either side: few people hold a camera worse than that."""
        rotation = kata.train_transform(6, MEAN, STD).transforms[3]
        check_uniform(
            [got[0] for got in check.repeated(400, rotation.sample, 6, 6)],
            -10,
            10,
            "the angle",
        )

    def test_flips_and_crops_have_their_defaults(self, kata):
        """Half of the images are flipped, and boxes have 8% to 100% of the area."""
        _, crop, flip, *_ = kata.train_transform(6, MEAN, STD).transforms
        image = torch.arange(2.0).reshape(1, 1, 2)
        share = (
            sum(got[0, 0, 0].item() for got in check.repeated(400, flip, image)) / 400
        )
        check.that(
            0.37 < share < 0.63,
            f"wanted about half of 400 images flipped, got {share:.0%}",
        )
        areas = [h * w / 1e6 for _, _, h, w in boxes(crop, 1000, 1000)]
        right = 0.079 < min(areas) < 0.15 and 0.85 < max(areas) <= 1
        check.that(
            right,
            f"areas should reach from 0.08 to 1, they reach from {min(areas):.2f} to "
            f"{max(areas):.2f}",
        )

    def test_a_generator_repeats_the_sequence(self, kata):
        """One generator serves the crop, the flip and the rotation, so that one seed
        repeats them all. A transform that is not given the generator draws from torch's
        global one.
        """
        check_generator(
            lambda g: kata.train_transform(6, MEAN, STD, g), picture(20, 24)
        )
