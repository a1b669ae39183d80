"""Specs for 01 · Tensors: the data building blocks."""

from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

from grader.specs import check

FLOAT64 = {"dtype": torch.float64}


class TestMemoryByDtype:
    def test_six_float32_elements_take_24_bytes(self, kata):
        """Bytes = number of elements × bytes of one element. A (2, 3) tensor has 6 elements, and one float32 element
        takes 4 bytes."""
        check.equal(
            kata.memory_by_dtype((2, 3), [torch.float32]),
            {torch.float32: 24},
            what="the result at ",
            unlike={
                "the number of elements, not yet times the bytes of one": {torch.float32: 6},
                "the sizes added (2 + 3) where they must be multiplied": {torch.float32: 20},
                "bits: 8 of them are one byte": {torch.float32: 192},
            },
        )

    def test_every_dtype_asked_for_has_its_own_entry(self, kata):
        """The same 30 elements need more or less memory by dtype: a bool takes a whole byte, a complex number is two
        floats. Every torch dtype knows the bytes of one element, its itemsize."""
        sizes = {
            torch.float64: 8,
            torch.bool: 1,
            torch.uint8: 1,
            torch.int16: 2,
            torch.bfloat16: 2,
            torch.int64: 8,
            torch.complex64: 8,
            torch.complex128: 16,
            torch.float8_e4m3fn: 1,
        }
        expected = {dtype: 30 * size for dtype, size in sizes.items()}
        check.equal(kata.memory_by_dtype((5, 2, 3), [*sizes]), expected, what="the result at ")

    def test_the_shape_without_dimensions_is_one_element(self, kata):
        """A tensor of shape () is a single number, so it takes the bytes of one element. (The product of no sizes
        is 1.)"""
        expected = {torch.float64: 8, torch.int16: 2}
        check.equal(kata.memory_by_dtype((), [torch.float64, torch.int16]), expected, what="the result at ")

    def test_a_size_of_zero_takes_no_memory(self, kata):
        """A shape with a 0 in it has no elements. Such tensors are allowed: an empty batch is one."""
        check.equal(kata.memory_by_dtype((4, 0, 3), [torch.float32]), {torch.float32: 0}, what="the result at ")

    def test_a_shape_of_ten_to_the_twelve_elements_is_answered_at_once(self, kata):
        """The bytes follow from the shape and the dtype alone. Building the tensor to ask it for its size would need
        terabytes."""
        large = {torch.bool: 10**12}
        check.equal(kata.memory_by_dtype((1_000_000, 1_000_000), [torch.bool]), large, what="the result at ")
        larger = {torch.float64: 8 * 10**15}
        check.equal(kata.memory_by_dtype((10**6, 10**6, 10**3), [torch.float64]), larger, what="the result at ")

    @pytest.mark.parametrize("shape", [(2, -3), (-2, -3), (0, -1)], ids=str)
    def test_a_negative_size_is_refused(self, kata, shape):
        """No tensor has a negative size. Two of them multiply to a positive number and a 0 hides any, so look at the
        sizes one by one."""
        with check.raises(ValueError):
            kata.memory_by_dtype(shape, [torch.float32])


class TestDescribe:
    def test_counts_the_dimensions_and_the_elements(self, kata):
        """A (2, 3, 4) tensor has 3 dimensions (ndim) of sizes 2, 3 and 4 (shape), and 2 × 3 × 4 elements (numel)."""
        x = torch.zeros(2, 3, 4)
        report = kata.describe(x)
        check.that(isinstance(report, dict), f"a dict was expected, not {check.describe(report)}")
        counts = {"ndim": 3, "shape": (2, 3, 4), "numel": 24}
        check.equal({key: report.get(key) for key in counts}, counts, what="the result at ")

    def test_names_the_dtype_and_the_device(self, kata):
        """dtype and device are the tensor's own, as torch.dtype and torch.device objects rather than text. The "meta"
        device holds shapes without numbers, and stands in here for a GPU."""
        x = torch.zeros(2, 3, dtype=torch.int16, device="meta")
        report = kata.describe(x)
        places = {"dtype": torch.int16, "device": torch.device("meta")}
        check.equal({key: report.get(key) for key in places}, places, what="the result at ")

    @pytest.mark.parametrize("name, size", [("float32", 4), ("bool", 1), ("complex128", 16)])
    def test_counts_the_bytes(self, kata, name, size):
        """element_size is the bytes of one element, nbytes that times the number of elements. A tensor that was just
        made fills its storage, so storage_nbytes is the same."""
        x = torch.zeros(3, 5, dtype=getattr(torch, name))
        report = kata.describe(x)
        sizes = {"element_size": size, "nbytes": 15 * size, "storage_nbytes": 15 * size}
        check.equal({key: report.get(key) for key in sizes}, sizes, what="the result at ")

    @pytest.mark.parametrize("number", [2.5, 7, True, 1 + 2j], ids=str)
    def test_value_is_a_python_number(self, kata, number):
        """A tensor with one element can be taken out of torch: value is then a plain Python float, int, bool or
        complex, no longer a tensor."""
        x = torch.tensor(number)
        check.equal(kata.describe(x).get("value"), number, what="value")

    @pytest.mark.parametrize("shape", [(1,), (1, 1)], ids=str)
    def test_one_element_in_any_shape_has_its_value(self, kata, shape):
        """What counts is the number of elements, not the number of dimensions: (1,) and (1, 1) hold one number just
        as () does."""
        x = torch.full(shape, 2.5)
        check.equal(kata.describe(x).get("value"), 2.5, what="value")

    @pytest.mark.parametrize("shape", [(2,), (1, 3), (0,), (1, 0)], ids=str)
    def test_value_is_none_unless_there_is_one_element(self, kata, shape):
        """Two elements or none have no single value: the answer is None, not an error and not the first of them."""
        x = torch.ones(shape)
        report = kata.describe(x)
        check.that("value" in report, "the key 'value' is missing: it belongs there with None as well")
        check.equal(report["value"], None, what="value")

    def test_a_strided_view_shares_a_storage_larger_than_itself(self, kata):
        """Every other column of a (4, 6) table: 12 elements of 8 bytes are shown, while the memory behind them is
        still that of all 24."""
        x = torch.zeros(4, 6, **FLOAT64)[:, ::2]
        report = kata.describe(x)
        check.equal(report.get("nbytes"), 96, what="nbytes", unlike={"the bytes of the whole storage": 192})
        check.equal(
            report.get("storage_nbytes"),
            192,
            what="storage_nbytes",
            unlike={"the bytes of the view alone": 96, "the elements of the storage, not its bytes": 24},
        )

    def test_an_expanded_tensor_shows_more_than_its_storage_holds(self, kata):
        """expand repeats 3 elements 5 times without copying them: 15 elements are shown, 3 are stored."""
        x = torch.zeros(3, 1, **FLOAT64).expand(3, 5)
        report = kata.describe(x)
        sizes = {"nbytes": 120, "storage_nbytes": 24}
        check.equal({key: report.get(key) for key in sizes}, sizes, what="the result at ")

    def test_says_whether_the_elements_lie_in_order(self, kata):
        """A tensor that was just made is contiguous. Its transpose is the same memory read down the columns, so it
        is not."""
        x = torch.zeros(2, 3)
        check.equal(kata.describe(x).get("is_contiguous"), True, what="is_contiguous")
        turned = x.T
        check.equal(kata.describe(turned).get("is_contiguous"), False, what="is_contiguous")

    def test_shape_is_a_plain_tuple(self, kata):
        """x.shape is a torch.Size, a tuple with methods of its own. The report is plain Python, to print or to save."""
        x = torch.zeros(2, 3)
        shape = kata.describe(x).get("shape")
        check.that(type(shape) is tuple, f"shape is {shape!r}, expected the plain tuple (2, 3)")

    def test_has_exactly_the_ten_keys(self, kata):
        """Whoever reads the report relies on its keys: all of those in the table and no others."""
        keys = "ndim shape numel dtype device element_size nbytes storage_nbytes is_contiguous value".split()
        report = kata.describe(torch.zeros(2, 3))
        missing, extra = [key for key in keys if key not in report], [key for key in report if key not in keys]
        check.that(not missing and not extra, f"missing keys: {missing or 'none'}; keys too many: {extra or 'none'}")


class TestCreationPatterns:
    def test_scalar_holds_seven(self, kata):
        """A scalar is a tensor without dimensions: its shape is () and it holds one number. Like all others it is
        float32 unless another dtype is asked for."""
        patterns = kata.creation_patterns(3, 5)
        check.that(isinstance(patterns, dict), f"a dict was expected, not {check.describe(patterns)}")
        check.equal(patterns.get("scalar"), torch.tensor(7.0), what="scalar")

    def test_vector_counts_in_twos(self, kata):
        """cols numbers from 0 in steps of 2. The end that arange is given is not included."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(
            patterns.get("vector"),
            torch.tensor([0.0, 2, 4, 6, 8]),
            what="vector",
            unlike={
                "arange without a step": torch.arange(5.0),
                "started at 2": torch.tensor([2.0, 4, 6, 8, 10]),
                "arange stopped at cols: the end must be 2 × cols": torch.tensor([0.0, 2, 4]),
            },
        )

    def test_matrix_counts_row_by_row(self, kata):
        """0 to rows·cols − 1, each row going on where the one above ended: that is the order in which torch keeps the
        elements in memory."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(
            patterns.get("matrix"),
            torch.stack([torch.arange(first, first + 5.0) for first in (0, 5, 10)]),
            what="matrix",
            unlike={
                "counted down the columns": torch.arange(15.0).reshape(5, 3).T,
                "started at 1": torch.arange(1, 16.0).reshape(3, 5),
                "every row counts from 0 again": torch.arange(5.0).repeat(3, 1),
            },
        )

    def test_cube_counts_on_into_its_second_layer(self, kata):
        """Two matrices, one behind the other: the second goes on where the first ended."""
        patterns = kata.creation_patterns(3, 5)
        layer = torch.stack([torch.arange(first, first + 5.0) for first in (0, 5, 10)])
        dealt = torch.stack([2 * layer, 2 * layer + 1])
        check.equal(
            patterns.get("cube"),
            torch.stack([layer, layer + 15]),
            what="cube",
            unlike={
                "the second layer counts from 0 again": torch.stack([layer, layer]),
                "numbers dealt to the two layers in turn: the size 2 must come first": dealt,
            },
        )

    @pytest.mark.parametrize("key, number", [("zeros", 0.0), ("ones", 1.0)])
    def test_zeros_and_ones_are_filled(self, kata, key, number):
        """(rows, cols), the same number everywhere."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(patterns.get(key), torch.tensor([[number] * 5] * 3), what=key)

    def test_eye_is_square_with_ones_on_the_diagonal(self, kata):
        """(rows, rows): 1 where the row number is the column number, 0 elsewhere. Multiplying by it changes nothing."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(patterns.get("eye"), torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]), what="eye")

    def test_linspace_reaches_one(self, kata):
        """cols numbers with both ends included lie 1 / (cols − 1) apart: 5 of them are a quarter apart."""
        patterns = kata.creation_patterns(3, 5)
        check.close(
            patterns.get("linspace"),
            torch.tensor([0, 0.25, 0.5, 0.75, 1.0]),
            what="linspace",
            unlike={
                "steps of 1 / cols, so that 1 is never reached": torch.arange(5) / 5,
                "from 1 to 0": torch.tensor([1.0, 0.75, 0.5, 0.25, 0]),
            },
        )

    def test_indices_count_from_zero_in_int64(self, kata):
        """Positions are whole numbers: torch indexes with int64 (also called long), and refuses floats."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(patterns.get("indices"), torch.tensor([0, 1, 2, 3, 4]), what="indices")

    def test_uniform_is_spread_over_zero_to_one(self, kata):
        """Every number in [0, 1) is equally likely: the mean is 1/2, the standard deviation √(1/12) ≈ 0.289, and
        nothing lies outside."""
        uniform = kata.creation_patterns(50, 80).get("uniform")
        check.shape(uniform, (50, 80), what="uniform")
        check.that(uniform.min() >= 0, f"uniform holds {uniform.min():.3f}: drawn from the normal distribution?")
        check.that(uniform.max() < 1, f"uniform holds {uniform.max():.3f}, which is not below 1")
        check.close(uniform.mean().item(), 0.5, atol=0.03, what="mean of uniform")
        check.close(uniform.std().item(), 12**-0.5, atol=0.02, what="standard deviation of uniform")

    def test_normal_has_mean_zero_and_deviation_one(self, kata):
        """The bell curve: about 68 % of the numbers lie less than one standard deviation from the mean."""
        normal = kata.creation_patterns(50, 80).get("normal")
        check.shape(normal, (50, 80), what="normal")
        check.close(normal.mean().item(), 0.0, atol=0.1, what="mean of normal", unlike={"uniform in [0, 1)": 0.5})
        check.close(normal.std().item(), 1.0, atol=0.08, what="standard deviation of normal")
        near = normal.abs() < 1
        check.close(near.double().mean().item(), 0.683, atol=0.045, what="share of normal between -1 and 1")

    def test_has_exactly_the_eleven_keys(self, kata):
        """Whoever uses the dict relies on its keys: all of those in the table and no others."""
        keys = "scalar vector matrix cube zeros ones eye linspace uniform normal indices".split()
        patterns = kata.creation_patterns(3, 5)
        missing, extra = [key for key in keys if key not in patterns], [key for key in patterns if key not in keys]
        check.that(not missing and not extra, f"missing keys: {missing or 'none'}; keys too many: {extra or 'none'}")

    @pytest.mark.parametrize("rows, cols", [(1, 1), (4, 1), (1, 3)])
    def test_one_row_or_one_column_is_enough(self, kata, rows, cols):
        """1 is a size like any other. With one column linspace is [0], its start: there is no step to compute."""
        patterns = kata.creation_patterns(rows, cols)
        counted = torch.tensor([[float(row * cols + col) for col in range(cols)] for row in range(rows)])
        check.equal(patterns.get("matrix"), counted, what="matrix")
        spaced = torch.tensor([0, 0.5, 1.0]) if cols == 3 else torch.zeros(1)
        check.close(patterns.get("linspace"), spaced, what="linspace")

    def test_every_tensor_but_indices_has_the_dtype(self, kata):
        """dtype goes to each of them, the random ones too; indices stay int64 whatever it is, since only whole numbers
        can index."""
        patterns = kata.creation_patterns(3, 5, dtype=torch.float16)
        expected = dict.fromkeys(patterns, torch.float16) | {"indices": torch.int64}
        check.equal({key: x.dtype for key, x in patterns.items()}, expected, what="the dtype of the result at ")

    def test_the_numbers_have_the_precision_of_the_dtype(self, kata):
        """float64 keeps about 16 digits. Numbers made in float32 and widened afterwards have only 7 right ones."""
        patterns = kata.creation_patterns(2, 4, dtype=torch.float64)
        thirds = torch.tensor([0, 1 / 3, 2 / 3, 1], **FLOAT64)
        check.close(patterns.get("linspace"), thirds, rtol=1e-12, atol=1e-12, what="linspace")

    def test_uniform_stays_below_one_in_a_short_dtype(self, kata):
        """bfloat16 has 8 binary digits. A float32 number just below 1 rounds to 1 when it is shortened, so the numbers
        have to be drawn in the dtype asked for."""
        uniform = kata.creation_patterns(60, 90, dtype=torch.bfloat16).get("uniform")
        check.that(uniform.max() < 1, f"uniform holds {uniform.max():.3f}: drawn in float32 and rounded up?")

    def test_every_tensor_is_on_the_device(self, kata):
        """A tensor left on another device stops the first computation with the others. The "meta" device, shapes
        without numbers, stands in here for a GPU."""
        patterns = kata.creation_patterns(3, 5, device="meta")
        expected = dict.fromkeys(patterns, "meta")
        check.equal({key: x.device.type for key, x in patterns.items()}, expected, what="the device of the result at ")

    def test_equal_generators_give_equal_numbers(self, kata):
        """A generator is a source of random numbers with a seed of its own. Both random tensors draw from it, so the
        same seed gives both again."""
        first = kata.creation_patterns(3, 5, generator=torch.Generator().manual_seed(11))
        again = kata.creation_patterns(3, 5, generator=torch.Generator().manual_seed(11))
        check.equal(again.get("uniform"), first.get("uniform"), what="uniform with an equally seeded generator")
        check.equal(again.get("normal"), first.get("normal"), what="normal with an equally seeded generator")

    def test_a_generator_goes_on_drawing(self, kata):
        """Used twice, one generator gives two different draws. Seeding it inside the function would repeat the same
        numbers for ever."""
        generator = torch.Generator().manual_seed(11)
        first = kata.creation_patterns(3, 5, generator=generator)
        second = kata.creation_patterns(3, 5, generator=generator)
        same = [key for key in ("uniform", "normal") if torch.equal(first[key], second[key])]
        check.that(not same, f"the second call gave the same numbers again: {' and '.join(same)}")

    def test_a_generator_leaves_the_global_one_alone(self, kata):
        """Whoever brings a generator wants to keep these draws apart from all others. torch.manual_seed, or drawing
        without the generator, changes what the rest of the program gets."""
        generator = torch.Generator().manual_seed(11)
        torch.rand(3)  # so that the global generator does not stand where a seed would put it
        before = torch.get_rng_state()
        kata.creation_patterns(3, 5, generator=generator)
        untouched = torch.equal(torch.get_rng_state(), before)
        check.that(untouched, "the state of torch's global generator is another one after the call")

    def test_without_a_generator_the_global_one_is_used(self, kata):
        """torch.manual_seed then decides the numbers, and each call draws new ones."""
        torch.manual_seed(4)
        first = kata.creation_patterns(3, 5)
        second = kata.creation_patterns(3, 5)
        torch.manual_seed(4)
        again = kata.creation_patterns(3, 5)
        same = [key for key in ("uniform", "normal") if torch.equal(first[key], second[key])]
        check.that(not same, f"two calls in a row gave the same numbers: {' and '.join(same)}")
        check.equal(again.get("uniform"), first.get("uniform"), what="uniform after the same torch.manual_seed")
        check.equal(again.get("normal"), first.get("normal"), what="normal after the same torch.manual_seed")

    def test_the_default_dtype_stays_what_it_was(self, kata):
        """torch.set_default_dtype would give every tensor made later, anywhere in the program, another dtype."""
        kata.creation_patterns(3, 5, dtype=torch.float64)
        check.equal(torch.get_default_dtype(), torch.float32, what="torch's default dtype after the call")

    @pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (-1, 5), (3, -1)], ids=str)
    def test_less_than_one_row_or_column_is_refused(self, kata, sizes):
        """Both sizes must be at least 1: without a column there is nothing for linspace to reach."""
        with check.raises(ValueError):
            kata.creation_patterns(*sizes)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
    def test_a_dtype_that_is_not_floating_point_is_refused(self, kata, dtype):
        """Whole numbers cannot hold linspace or random fractions: torch would cut them down to zeros without a word."""
        with check.raises(TypeError):
            kata.creation_patterns(3, 5, dtype=dtype)

    @pytest.mark.gpu
    def test_a_gpu_draws_from_a_generator_of_its_own(self, kata):
        """On a GPU the random numbers are drawn there, by a generator that lives there."""
        generator = torch.Generator("cuda").manual_seed(11)
        patterns = kata.creation_patterns(3, 5, device="cuda", generator=generator)
        expected = dict.fromkeys(patterns, "cuda")
        check.equal({key: x.device.type for key, x in patterns.items()}, expected, what="the device of the result at ")
        again = kata.creation_patterns(3, 5, device="cuda", generator=generator.manual_seed(11))
        check.equal(again.get("normal"), patterns.get("normal"), what="normal with an equally seeded generator")


@pytest.mark.stretch
class TestFromArray:
    def test_keeps_shape_dtype_and_values(self, kata):
        """NumPy makes float64 where torch makes float32. The tensor has the array's dtype, with all its digits."""
        array = np.array([[0.1, 2, 3], [4, 5, 6]])
        check.equal(kata.from_array(array), torch.tensor([[0.1, 2, 3], [4, 5, 6]], **FLOAT64))

    def test_writing_to_the_array_shows_in_the_tensor(self, kata):
        """By default no number is copied: the tensor is another way to look at the array's memory."""
        array = np.array([[1.0, 2, 3], [4, 5, 6]])
        tensor = kata.from_array(array)
        array[1, 0] = -1
        check.equal(
            tensor,
            torch.tensor([[1, 2, 3], [-1, 5, 6]], **FLOAT64),
            what="the tensor, after array[1, 0] = -1",
            unlike={"a copy, which the change does not reach": torch.tensor([[1, 2, 3], [4, 5, 6]], **FLOAT64)},
        )

    def test_writing_to_the_tensor_shows_in_the_array(self, kata):
        """Sharing works both ways: there is one block of memory and two names for it."""
        array = np.array([1, 2, 3])
        tensor = kata.from_array(array)
        tensor[2] = -1
        check.equal(array, np.array([1, 2, -1]), what="the array, after tensor[2] = -1")

    def test_a_strided_array_is_shared_as_well(self, kata):
        """Every other column of an array is a view with larger strides. A tensor can have them too, so nothing needs to
        be copied."""
        array = np.arange(12.0).reshape(3, 4)[:, ::2]
        tensor = kata.from_array(array)
        array[:] = -1
        check.equal(tensor, torch.full((3, 2), -1.0, **FLOAT64), what="the tensor, after array[:] = -1")

    def test_a_copy_is_independent(self, kata):
        """copy=True gives the tensor memory of its own: neither sees what is written to the other."""
        array = np.array([1.0, 2, 3])
        tensor = kata.from_array(array, copy=True)
        array[0] = -1
        tensor[2] = -2
        after = "after array[0] = -1 and tensor[2] = -2"
        check.equal(tensor, torch.tensor([1, 2, -2], **FLOAT64), what=f"the tensor, {after}")
        check.equal(array, np.array([-1.0, 2, 3]), what=f"the array, {after}")

    @pytest.mark.parametrize("copy", [False, True], ids=["shared", "copied"])
    def test_every_dtype_is_kept(self, kata, copy):
        """Integers stay integers, bools stay bools, and none becomes wider or narrower on the way."""
        for name in ("bool", "uint8", "int32", "int64", "float16", "float32", "complex64"):
            array = np.array([[0, 1]], dtype=name)
            tensor = kata.from_array(array, copy=copy)
            check.equal(tensor, torch.tensor([[0, 1]], dtype=getattr(torch, name)))

    def test_a_read_only_array_can_be_copied(self, kata):
        """The copy may be written to, the array may not: nothing is wrong with that."""
        array = np.array([1.0, 2, 3])
        array.flags.writeable = False
        check.equal(kata.from_array(array, copy=True), torch.tensor([1, 2, 3], **FLOAT64))

    def test_a_reversed_array_can_be_copied(self, kata):
        """array[::-1] reads the memory backwards (a negative stride), which no tensor can do. A copy has the numbers in
        their new order."""
        array = np.arange(6.0).reshape(2, 3)[:, ::-1]
        check.equal(kata.from_array(array, copy=True), torch.tensor([[2, 1, 0], [5, 4, 3]], **FLOAT64))

    def test_a_read_only_array_is_not_shared(self, kata):
        """A tensor cannot be made read-only, so sharing would let it write where nobody may. torch only warns about it,
        and only once: refuse."""
        array = np.array([1.0, 2, 3])
        array.flags.writeable = False
        with check.raises(ValueError):
            kata.from_array(array)

    def test_a_reversed_array_is_not_shared(self, kata):
        """No tensor reads its memory backwards. A silent copy would break the promise to share, so refuse."""
        array = np.arange(6.0)[::-1]
        with check.raises(ValueError):
            kata.from_array(array)

    @pytest.mark.parametrize("copy", [False, True], ids=["shared", "copied"])
    def test_anything_but_an_array_is_refused_by_its_type(self, kata, copy):
        """A list or a tensor has no array's memory to share. The message names the type that came, so that the caller
        sees what went wrong."""
        with check.raises(TypeError, "list"):
            kata.from_array([1, 2, 3], copy=copy)
        with check.raises(TypeError, "tensor"):
            kata.from_array(torch.zeros(3), copy=copy)


@pytest.mark.stretch
class TestToArray:
    def test_keeps_shape_and_values(self, kata):
        """The same numbers in the same places, as a np.ndarray."""
        x = torch.tensor([[1.5, 2, 3], [4, 5, 6]])
        check.equal(kata.to_array(x), np.array([[1.5, 2, 3], [4, 5, 6]], dtype="float32"))

    def test_writing_to_the_array_leaves_the_tensor_alone(self, kata):
        """The array has memory of its own. x.numpy() shares memory with x, and so does x.detach().numpy()."""
        x = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
        array = kata.to_array(x)
        array[0, 1] = -1
        check.equal(
            x,
            torch.tensor([[1.0, 2, 3], [4, 5, 6]]),
            what="x, after array[0, 1] = -1",
            unlike={"memory that x and the array share": torch.tensor([[1.0, -1, 3], [4, 5, 6]])},
        )

    def test_a_tensor_that_requires_grad_is_converted(self, kata):
        """NumPy knows nothing of gradients, so torch wants to be told to leave them behind."""
        x = torch.tensor([1.0, 2, 3], requires_grad=True)
        check.equal(kata.to_array(x), np.array([1, 2, 3], dtype="float32"))

    def test_the_tensor_keeps_its_gradient(self, kata):
        """Leaving the gradient behind concerns the result. x itself must go on requiring grad: detach_() or
        requires_grad_(False) would end its training without a word."""
        x = torch.tensor([1.0, 2, 3], requires_grad=True)
        with check.unchanged(x=x):
            kata.to_array(x)

    def test_a_transposed_tensor_keeps_its_order(self, kata):
        """x.T reads the memory in another order. The array has the numbers as x shows them."""
        x = torch.arange(6.0).reshape(2, 3).T
        check.equal(kata.to_array(x), np.array([[0, 3], [1, 4], [2, 5]], dtype="float32"))

    @pytest.mark.parametrize("name", ["bool", "uint8", "int64", "float16", "float64", "complex64"])
    def test_the_dtype_is_kept(self, kata, name):
        """NumPy has the same dtype under the same name: nothing needs to be converted."""
        x = torch.tensor([[0, 1, 1]], dtype=getattr(torch, name))
        check.equal(kata.to_array(x), np.array([[0, 1, 1]], dtype=name))

    def test_bfloat16_becomes_float32(self, kata):
        """NumPy has no bfloat16. float32 holds every bfloat16 number exactly."""
        x = torch.tensor([0.5, -3, 1e30], dtype=torch.bfloat16)
        check.equal(kata.to_array(x), np.array(x.tolist(), dtype="float32"))

    @pytest.mark.gpu
    def test_a_tensor_on_a_gpu_is_fetched(self, kata):
        """NumPy reads the computer's own memory, so the numbers have to come back from the GPU first."""
        x = torch.tensor([1.0, 2, 3], device="cuda", requires_grad=True)
        check.equal(kata.to_array(x), np.array([1, 2, 3], dtype="float32"))


class TestDataframeToTensor:
    def test_rows_and_columns_become_a_matrix(self, kata):
        """One row of the tensor for each row of the frame, one column for each column, in float32 unless another dtype
        is asked for; and the names beside it, since a tensor has none."""
        df = pd.DataFrame({"width": [1.5, 2.5], "height": [3.0, 4.0], "age": [5.0, 6.0]})
        expected = (torch.tensor([[1.5, 3, 5], [2.5, 4, 6]]), ["width", "height", "age"])
        check.equal(kata.dataframe_to_tensor(df), expected, what="the result at ")

    def test_numbers_and_bools_may_be_mixed(self, kata):
        """A frame may hold another dtype in every column, a tensor has one. True becomes 1, False 0."""
        df = pd.DataFrame({"age": [31, 27, 45], "weight": [61.5, 70.25, 80.0], "member": [True, False, True]})
        expected = (torch.tensor([[31, 61.5, 1], [27, 70.25, 0], [45, 80, 1]]), ["age", "weight", "member"])
        check.equal(kata.dataframe_to_tensor(df), expected, what="the result at ")

    def test_the_order_of_the_frame_is_kept(self, kata):
        """Rows stay in their places whatever their labels, and columns whatever their names: nothing is sorted."""
        df = pd.DataFrame({"b": [1.0, 2, 3], "c": [4.0, 5, 6], "a": [7.0, 8, 9]}, index=[30, 10, 20])
        expected = (torch.tensor([[1.0, 4, 7], [2, 5, 8], [3, 6, 9]]), ["b", "c", "a"])
        check.equal(kata.dataframe_to_tensor(df), expected, what="the result at ")

    def test_a_missing_number_stays_nan(self, kata):
        """NaN, "not a number", marks what is missing. Whether to fill it or drop the row is for the caller to say."""
        df = pd.DataFrame({"age": [31.0, float("nan"), 45.0], "member": [True, False, True]})
        values, _ = kata.dataframe_to_tensor(df)
        check.equal(values, torch.tensor([[31, 1], [float("nan"), 0], [45, 1]]))

    def test_int64_keeps_every_digit(self, kata):
        """2**53 + 1 is the first whole number that float64 cannot hold. Read as int64 it must not pass through a float
        on the way, not even when another column is one."""
        df = pd.DataFrame({"id": [2**53 + 1, 3], "weight": [61.0, 70.0], "member": [True, False]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.int64)
        check.equal(
            values,
            torch.tensor([[2**53 + 1, 61, 1], [3, 70, 0]]),
            unlike={"cast through float64": torch.tensor([[2**53, 61, 1], [3, 70, 0]])},
        )

    def test_float64_keeps_every_digit(self, kata):
        """0.1 in float64 is another number than 0.1 in float32, so the values must not pass through float32."""
        df = pd.DataFrame({"price": [0.1, 0.7], "count": [1, 2]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.float64)
        expected = torch.tensor([[0.1, 1], [0.7, 2]], **FLOAT64)
        check.equal(values, expected, unlike={"cast through float32": expected.float().double()})

    def test_bfloat16_can_be_asked_for(self, kata):
        """NumPy and pandas have no bfloat16, torch has. Any dtype of torch can be the tensor's."""
        df = pd.DataFrame({"age": [31, 27], "weight": [61.5, 70.0]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.bfloat16)
        check.equal(values, torch.tensor([[31, 61.5], [27, 70]], dtype=torch.bfloat16))

    @pytest.mark.parametrize("name", ["float32", "int64"])
    def test_writing_to_the_tensor_leaves_the_frame_alone(self, kata, name):
        """When the frame already has the dtype asked for, a conversion may hand out the frame's own memory. The tensor
        needs its own."""
        df = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, dtype=name)
        values, _ = kata.dataframe_to_tensor(df, dtype=getattr(torch, name))
        values.fill_(-1)
        expected = np.array([[1, 3], [2, 4]], dtype=name)
        check.equal(df.to_numpy(), expected, what="the values of the frame, after values.fill_(-1)")

    @pytest.mark.parametrize(
        "cities",
        [["Oslo", "Rome"], ["12", "7"], pd.to_datetime(["2024-01-01", "2024-05-01"]), pd.Categorical(["b", "a"])],
        ids=["text", "digits as text", "dates", "categories"],
    )
    def test_a_column_that_is_not_numeric_is_named(self, kata, cities):
        """Text, dates and categories are not numbers, and inventing codes for them is not for this function to do. The
        message names the first such column, so that the caller knows which to drop."""
        df = pd.DataFrame({"age": [31, 27], "city": cities, "weight": [61.5, 70.0], "street": ["Main", "High"]})
        with check.raises(TypeError, "city"):
            kata.dataframe_to_tensor(df)


class TestTensorToDataframe:
    def test_values_and_names_meet(self, kata):
        """Column 0 of the tensor goes under the first name, column 1 under the second; rows stay rows."""
        x = torch.tensor([[1.5, 2, 3], [4, 5, 6]])
        frame = kata.tensor_to_dataframe(x, ["width", "height", "age"])
        check.that(isinstance(frame, pd.DataFrame), f"a DataFrame was expected, not {check.describe(frame)}")
        check.close(frame.to_numpy(), np.array([[1.5, 2, 3], [4, 5, 6]]), what="the values of the frame")
        check.equal(frame.columns.tolist(), ["width", "height", "age"], what="frame.columns")

    def test_names_keep_their_order(self, kata):
        """The names belong to the columns in the order given. Sorting them would put each over the wrong numbers."""
        x = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
        frame = kata.tensor_to_dataframe(x, ("c", "a", "b"))
        columns = {name: frame[name].tolist() for name in frame.columns}
        check.equal(columns, {"c": [1.0, 4.0], "a": [2.0, 5.0], "b": [3.0, 6.0]}, what="the frame at ")

    def test_rows_are_numbered_unless_labelled(self, kata):
        """Without an index the rows are 0, 1, 2; with one they have its labels, in order."""
        x = torch.zeros(3, 2)
        plain = kata.tensor_to_dataframe(x, ["a", "b"])
        check.equal(plain.index.tolist(), [0, 1, 2], what="frame.index")
        labelled = kata.tensor_to_dataframe(x, ["a", "b"], index=["z", "x", "y"])
        check.equal(labelled.index.tolist(), ["z", "x", "y"], what="frame.index")

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8], ids=str)
    def test_integers_give_integer_columns(self, kata, dtype):
        """Whole numbers stay whole numbers: a count shown as 3.0 has been through a float."""
        x = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=dtype)
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        kinds = {frame[name].dtype.kind for name in frame.columns}
        check.that(kinds <= {"i", "u"}, f"the dtypes of the columns are {frame.dtypes.astype(str).to_dict()}")

    def test_a_large_integer_keeps_every_digit(self, kata):
        """2**53 + 1 is the first whole number that float64 cannot hold."""
        x = torch.tensor([[2**53 + 1, 2], [3, 4]])
        frame = kata.tensor_to_dataframe(x, ["id", "count"])
        check.equal(frame["id"].tolist(), [2**53 + 1, 3], what="the column id")

    def test_a_result_of_a_model_is_converted(self, kata):
        """Predictions carry a graph behind them, for gradients, which a table has no use for. x itself keeps it."""
        x = torch.tensor([[1.0, 2], [3, 4], [5, 6]], requires_grad=True)
        with check.unchanged(x=x):
            frame = kata.tensor_to_dataframe(x, ["a", "b"])
        check.close(frame.to_numpy(), np.array([[1.0, 2], [3, 4], [5, 6]]), what="the values of the frame")

    def test_bfloat16_is_converted(self, kata):
        """NumPy and pandas have no bfloat16: the columns become wider floats, with the same numbers."""
        x = torch.tensor([[0.5, -3], [1.25, 4]], dtype=torch.bfloat16)
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        kinds = {frame[name].dtype.kind for name in frame.columns}
        check.that(kinds == {"f"}, f"the dtypes of the columns are {frame.dtypes.astype(str).to_dict()}")
        check.close(frame.to_numpy(), np.array([[0.5, -3], [1.25, 4]]), what="the values of the frame")

    def test_a_transposed_tensor_is_converted(self, kata):
        """x.T reads the memory in another order. The frame has the numbers as x shows them."""
        x = torch.arange(6.0).reshape(2, 3).T
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        check.close(frame.to_numpy(), np.array([[0.0, 3], [1, 4], [2, 5]]), what="the values of the frame")

    def test_neither_writes_into_the_other(self, kata):
        """The frame has memory of its own: changing the tensor later does not change a table already made, nor the
        other way round."""
        x = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        x[0, 0] = -1
        check.close(frame.to_numpy(), np.array([[1.0, 2], [3, 4], [5, 6]]), what="the frame, after x[0, 0] = -1")
        frame.iloc[2, 1] = -2
        check.equal(x, torch.tensor([[-1.0, 2], [3, 4], [5, 6]]), what="x, after frame.iloc[2, 1] = -2")

    def test_there_and_back_gives_the_same_frame(self, kata):
        """dataframe_to_tensor, then tensor_to_dataframe with the names and the index kept aside: nothing is lost."""
        df = pd.DataFrame({"z": [0.1, 2.5, -3.0], "y": [4.0, float("nan"), 6.0]}, index=["r", "p", "q"])
        values, names = kata.dataframe_to_tensor(df, dtype=torch.float64)
        frame = kata.tensor_to_dataframe(values, names, index=df.index)
        check.that(frame.equals(df), f"it went in as\n{df}\nand came back as\n{frame}")

    @pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d"]], ids=["too few", "too many"])
    def test_the_number_of_names_must_fit(self, kata, names):
        """Each column has one name: with one missing or one left over, nobody can say which belongs where."""
        x = torch.zeros(2, 3)
        with check.raises(ValueError):
            kata.tensor_to_dataframe(x, names)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4)], ids=str)
    def test_only_two_dimensions_are_a_table(self, kata, shape):
        """A table has rows and columns. pandas would take (3,) for three rows of one column: ask the caller instead."""
        x = torch.zeros(shape)
        with check.raises(ValueError):
            kata.tensor_to_dataframe(x, ["a"])


class Sample(NamedTuple):
    image: object
    label: object


class Traveller(torch.Tensor):
    """A tensor that notes where it is sent instead of going there, since that device may not exist here."""

    sent: list[str] = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name, kwargs = function.__name__, kwargs or {}
        if name not in ("to", "cuda", "cpu"):
            return super().__torch_function__(function, types, args, kwargs)
        cls.sent.append(torch.device([*args[1:], *kwargs.values()][0] if name == "to" else name).type)
        return args[0]


@pytest.mark.stretch
class TestToDevice:
    def test_a_tensor_moves(self, kata):
        """The simplest batch is one tensor. The "meta" device holds shapes without numbers, and stands in here for a
        GPU."""
        x = torch.zeros(2, 3, dtype=torch.int16)
        moved = kata.to_device(x, "meta")
        check.dtype(moved, torch.int16)
        check.shape(moved, (2, 3))
        check.equal(moved.device, torch.device("meta"), what="the device")

    @pytest.mark.parametrize("kind", [list, tuple], ids=["list", "tuple"])
    def test_a_list_and_a_tuple_keep_their_type(self, kata, kind):
        """A list comes back as a list, a tuple as a tuple, in order, with its tensors moved."""
        batch = kind([torch.zeros(2), torch.zeros(3)])
        moved = kata.to_device(batch, "meta")
        check.that(type(moved) is kind, f"a {kind.__name__} was expected, not {check.describe(moved)}")
        check.equal([x.device.type for x in moved], ["meta", "meta"], what="the device at ")
        check.equal([x.numel() for x in moved], [2, 3], what="the number of elements at ")

    def test_a_dict_keeps_its_keys_in_order(self, kata):
        """What the values are called stays, and in which order they come; the tensors among them move."""
        batch = {"labels": torch.zeros(2), "images": torch.zeros(3)}
        moved = kata.to_device(batch, "meta")
        check.that(type(moved) is dict, f"a dict was expected, not {check.describe(moved)}")
        check.equal([*moved], ["labels", "images"], what="the key at ")
        expected = {"labels": "meta", "images": "meta"}
        check.equal({key: x.device.type for key, x in moved.items()}, expected, what="the device at ")

    def test_a_namedtuple_keeps_its_class(self, kata):
        """Its fields are reached by name, so a plain tuple will not do. Its class takes the fields one by one, not as
        one list."""
        batch = Sample(torch.zeros(2), torch.zeros(3))
        moved = kata.to_device(batch, "meta")
        check.that(type(moved) is Sample, f"a Sample was expected, not {check.describe(moved)}")
        check.equal([x.device.type for x in moved], ["meta", "meta"], what="the device at ")
        check.equal([moved.image.numel(), moved.label.numel()], [2, 3], what="the number of elements at ")

    def test_every_level_of_a_nested_batch_moves(self, kata):
        """Containers hold containers. What to do with each part is what to do with the whole: the function can call
        itself."""
        batch = {"pairs": [(torch.zeros(1), Sample(torch.zeros(2), {"deep": torch.zeros(3)}))]}
        moved = kata.to_device(batch, "meta")
        first, (image, label) = moved["pairs"][0]
        devices = {"pair": first.device.type, "image": image.device.type, "deep": label["deep"].device.type}
        check.equal(devices, {"pair": "meta", "image": "meta", "deep": "meta"}, what="the device at ")

    def test_anything_else_passes_through(self, kata):
        """File names, counts and None travel with a batch and stay as they are. Text can be looped over too: do not
        take it for a list."""
        batch = {"file": "cat.png", "count": 3, "extra": [None, 2.5, True]}
        check.equal(kata.to_device(batch, "meta"), {"file": "cat.png", "count": 3, "extra": [None, 2.5, True]})

    def test_the_containers_given_are_not_changed(self, kata):
        """The caller may go on using the batch on its old device: moving must not overwrite what stands in the
        containers given."""
        inner = [torch.zeros(2), "cat.png"]
        batch = {"inner": inner, "label": torch.zeros(3)}
        kata.to_device(batch, "meta")
        check.that(batch["inner"] is inner, "the dict that was given holds another list now")
        devices = {"inner": inner[0].device.type, "label": batch["label"].device.type}
        check.equal(devices, {"inner": "cpu", "label": "cpu"}, what="in the batch given, the device at ")

    def test_the_device_may_be_an_object(self, kata):
        """A device is written as text or as a torch.device; both mean the same."""
        batch = [torch.zeros(2), {"x": torch.zeros(3)}]
        moved = kata.to_device(batch, torch.device("meta"))
        check.equal([moved[0].device.type, moved[1]["x"].device.type], ["meta", "meta"], what="the device of ")

    @pytest.mark.parametrize(
        "cuda, mps, best",
        [(False, False, "cpu"), (True, True, "cuda"), (False, True, "mps")],
        ids=["neither", "cuda and mps", "mps"],
    )
    def test_without_a_device_the_best_there_is_gets_chosen(self, kata, cuda, mps, best):
        """A CUDA GPU if torch.cuda says that there is one, else Apple's mps if torch.backends.mps says so, else the
        CPU. (This spec pretends which devices exist, and watches where the tensor is sent.)"""
        accelerator = None if best == "cpu" else torch.device(best)
        with (
            mock.patch("torch.cuda.is_available", lambda: cuda),
            mock.patch("torch.backends.mps.is_available", lambda: mps),
            mock.patch("torch.accelerator.is_available", lambda: accelerator is not None),
            mock.patch("torch.accelerator.current_accelerator", lambda check_available=False: accelerator),
            mock.patch.object(Traveller, "sent", []) as sent,
        ):
            kata.to_device({"x": torch.zeros(2).as_subclass(Traveller)})
        check.equal(sent[-1:], [best], what="the device that the tensor was sent to")

    @pytest.mark.gpu
    def test_a_gpu_is_found_and_used(self, kata):
        """With a CUDA GPU in the machine, None means that GPU."""
        moved = kata.to_device({"x": [torch.zeros(2), "cat.png"]})
        check.equal(moved["x"][0].device.type, "cuda", what="the device")
