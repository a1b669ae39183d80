"""Specs for 01 · Tensors: the data building blocks."""

from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

FLOAT64 = {"dtype": torch.float64}


class TestCountTo:
    def test_counts_from_zero(self, kata):
        """n numbers: the first is 0 and the last is n − 1, since counting starts
        at 0.
        """
        unlike = {
            "counted from 1": torch.arange(1, 7),
            "counted from 1, without n": torch.arange(1, 6),
            "n itself is included": torch.arange(7),
        }
        check.close(kata.count_to(6), torch.tensor([0, 1, 2, 3, 4, 5]), unlike=unlike)

    def test_counts_in_whole_numbers(self, kata):
        """int64 is the dtype of whole numbers in torch, for counts and
        for positions.
        """
        check.equal(kata.count_to(3), torch.tensor([0, 1, 2]))


class TestFilled:
    def test_one_number_is_everywhere(self, kata):
        """`rows` rows of `cols` numbers, all of them `value`."""
        unlike = {"rows and columns exchanged": torch.tensor([[2.5] * 3] * 2)}
        check.close(
            kata.filled(3, 2, 2.5),
            torch.tensor([[2.5, 2.5], [2.5, 2.5], [2.5, 2.5]]),
            unlike=unlike,
        )

    def test_a_whole_number_gives_float32_too(self, kata):
        """`torch.full` takes its dtype from the number: 2.5 makes float32, 7 makes
        int64. `dtype=` says otherwise.
        """
        check.equal(
            kata.filled(2, 3, 7), torch.tensor([[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]])
        )


class TestToFloat:
    def test_whole_numbers_become_float32(self, kata):
        """Every element keeps its value and its place. Python's own `float()` takes a
        single number, not a tensor.
        """
        check.equal(
            kata.to_float(torch.tensor([[3, 1, 2], [0, 5, 4]])),
            torch.tensor([[3.0, 1, 2], [0, 5, 4]]),
        )

    def test_float64_becomes_float32(self, kata):
        """float64 has 8 bytes per element, float32 has 4. Python's `float` means
        float64 to torch.
        """
        check.equal(
            kata.to_float(torch.tensor([0.5, -2.25], **FLOAT64)),
            torch.tensor([0.5, -2.25]),
        )


class TestMemoryByDtype:
    def test_six_float32_elements_take_24_bytes(self, kata):
        """Bytes = number of elements × bytes per element. A (2, 3) tensor has 6
        elements, and one float32 element takes 4 bytes.
        """
        check.close(
            kata.memory_by_dtype((2, 3), [torch.float32]),
            {torch.float32: 24},
            what="the result at ",
            unlike={
                "the number of elements, not yet times the bytes of one": {
                    torch.float32: 6
                },
                "the sizes added (2 + 3) where they must be multiplied": {
                    torch.float32: 20
                },
                "bits: 8 of them are one byte": {torch.float32: 192},
            },
        )

    def test_every_dtype_has_its_own_entry(self, kata):
        """The same 30 elements need more or less memory by dtype: a bool takes a whole
        byte, a complex number is two floats. Every torch dtype knows the bytes of one
        element, its itemsize.
        """
        sizes = {
            torch.float64: 8,
            torch.bool: 1,
            torch.int16: 2,
            torch.bfloat16: 2,
            torch.int64: 8,
            torch.complex128: 16,
        }
        expected = {dtype: 30 * size for dtype, size in sizes.items()}
        check.close(
            kata.memory_by_dtype((5, 2, 3), [*sizes]), expected, what="the result at "
        )

    def test_a_huge_shape_is_answered_at_once(self, kata):
        """The bytes follow from the shape and the dtype alone. Building the tensor to
        ask it for its size would need terabytes.
        """
        huge = {torch.float64: 8 * 10**15}
        check.close(
            kata.memory_by_dtype((10**6, 10**6, 10**3), [torch.float64]),
            huge,
            what="the result at ",
        )

    @pytest.mark.edge
    def test_the_shape_without_dimensions_is_one_element(self, kata):
        """A tensor of shape () is a single number, so it takes the bytes of one
        element. (The product of no sizes is 1.)
        """
        check.close(
            kata.memory_by_dtype((), [torch.int16]),
            {torch.int16: 2},
            what="the result at ",
        )

    @pytest.mark.edge
    def test_a_size_of_zero_takes_no_memory(self, kata):
        """A shape with a 0 in it has no elements. Such tensors are allowed: an empty
        batch is one.
        """
        check.close(
            kata.memory_by_dtype((4, 0, 3), [torch.float32]),
            {torch.float32: 0},
            what="the result at ",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(2, -3), (-2, -3), (0, -1)], ids=str)
    def test_a_negative_size_is_refused(self, kata, shape):
        """No tensor has a negative size. Two of them multiply to a positive number and
        a 0 hides any, so look at the sizes one by one.
        """
        with check.raises(ValueError):
            kata.memory_by_dtype(shape, [torch.float32])


class TestDescribe:
    def test_counts_the_dimensions_and_the_elements(self, kata):
        """A (2, 3, 4) tensor has 3 dimensions (ndim) of sizes 2, 3 and 4 (shape), and
        2 × 3 × 4 elements (numel).
        numel is a method: the brackets of x.numel() call it.
        """
        x = torch.zeros(2, 3, 4)
        report = kata.describe(x)
        check.entries(
            report, {"ndim": 3, "shape": (2, 3, 4), "numel": 24}, what="the result at "
        )

    def test_names_the_dtype_and_the_device(self, kata):
        """dtype and device are the tensor's own, as torch.dtype and torch.device
        objects rather than text. The "meta" device, which holds shapes without numbers,
        takes the place of a GPU here.
        """
        x = torch.zeros(2, 3, dtype=torch.int16, device="meta")
        report = kata.describe(x)
        check.entries(
            report,
            {"dtype": torch.int16, "device": torch.device("meta")},
            what="the result at ",
        )

    def test_counts_the_bytes(self, kata):
        """element_size is the bytes of one element, and nbytes is element_size times
        the number of elements. A new tensor fills its storage, so storage_nbytes
        equals nbytes.
        """
        x = torch.zeros(3, 5, dtype=torch.complex128)
        report = kata.describe(x)
        check.entries(
            report,
            {"element_size": 16, "nbytes": 240, "storage_nbytes": 240},
            what="the result at ",
        )

    def test_a_strided_view_shares_a_storage_larger_than_itself(self, kata):
        """Every other column of a (4, 6) table: the view shows 12 elements of 8 bytes,
        and the memory behind it is still that of all 24.
        """
        x = torch.zeros(4, 6, **FLOAT64)[:, ::2]
        report = kata.describe(x)
        check.equal(
            report.get("nbytes"),
            96,
            what="nbytes",
            unlike={"the bytes of the whole storage": 192},
        )
        check.equal(
            report.get("storage_nbytes"),
            192,
            what="storage_nbytes",
            unlike={
                "the bytes of the view alone": 96,
                "the elements of the storage, not its bytes": 24,
            },
        )

    def test_an_expanded_tensor_shows_more_than_its_storage_holds(self, kata):
        """expand repeats 3 elements 5 times without copying them: 15 elements are
        shown, 3 are stored.
        """
        x = torch.zeros(3, 1, **FLOAT64).expand(3, 5)
        report = kata.describe(x)
        check.entries(
            report, {"nbytes": 120, "storage_nbytes": 24}, what="the result at "
        )

    def test_says_whether_the_elements_lie_in_order(self, kata):
        """A new tensor is contiguous. Its transpose is the same memory read down the
        columns, so it is not.
        """
        x = torch.zeros(2, 3)
        check.equal(kata.describe(x).get("is_contiguous"), True, what="is_contiguous")
        turned = x.T
        check.equal(
            kata.describe(turned).get("is_contiguous"), False, what="is_contiguous"
        )

    def test_one_element_in_any_shape_has_its_value(self, kata):
        """A tensor with one element has a value, a plain Python number and no longer a
        tensor. The number of dimensions does not matter: (1,) and (1, 1) hold one
        number just as () does.
        """
        for shape in ((), (1,), (1, 1)):
            x = torch.full(shape, 2.5)
            check.equal(kata.describe(x).get("value"), 2.5, what="value")

    def test_value_is_none_where_there_are_more_elements(self, kata):
        """Three elements have no single value: the answer is None, not an error and not
        the first of them.
        """
        x = torch.ones(1, 3)
        report = kata.describe(x)
        check.that(
            "value" in report,
            "the key 'value' is missing: the dict has it also when its value is None",
        )
        check.equal(report["value"], None, what="value")

    def test_has_exactly_the_ten_keys(self, kata):
        """Callers rely on the keys: the ten of the table and no others."""
        keys = (
            "ndim shape numel dtype device element_size nbytes storage_nbytes "
            "is_contiguous value"
        ).split()
        report = kata.describe(torch.zeros(2, 3))
        missing, extra = (
            [key for key in keys if key not in report],
            [key for key in report if key not in keys],
        )
        check.that(
            not missing and not extra,
            f"missing keys: {missing or 'none'}; extra keys: {extra or 'none'}",
        )

    @pytest.mark.edge
    def test_shape_is_a_plain_tuple(self, kata):
        """x.shape is a torch.Size, a tuple with methods of its own. The report is plain
        Python, to print or to save.
        """
        x = torch.zeros(2, 3)
        shape = kata.describe(x).get("shape")
        check.that(
            type(shape) is tuple, f"shape is {shape!r}, expected the plain tuple (2, 3)"
        )

    @pytest.mark.edge
    def test_an_empty_tensor_has_no_value(self, kata):
        """Without an element there is no number to take out: the value is None, not
        an error.
        """
        x = torch.ones(1, 0)
        check.equal(kata.describe(x).get("value"), None, what="value")


class TestCountingPatterns:
    def test_vector_counts_in_twos(self, kata):
        """cols numbers from 0 in steps of 2. The end that arange is given is
        not included.
        """
        patterns = kata.counting_patterns(3, 5)
        check.that(
            isinstance(patterns, dict),
            f"a dict was expected, not {check.describe(patterns)}",
        )
        check.equal(
            patterns.get("vector"),
            torch.tensor([0.0, 2, 4, 6, 8]),
            what="vector",
            unlike={
                "arange without a step": torch.arange(5.0),
                "started at 2": torch.tensor([2.0, 4, 6, 8, 10]),
                "arange stopped at cols: the end must be 2 × cols": torch.tensor(
                    [0.0, 2, 4]
                ),
                "one number too many: the end that arange is given is too large": (
                    torch.tensor([0.0, 2, 4, 6, 8, 10])
                ),
            },
        )

    def test_matrix_counts_row_by_row(self, kata):
        """0 to rows·cols − 1, each row going on where the one above ended: torch keeps
        the elements in memory in that order.
        """
        patterns = kata.counting_patterns(3, 5)
        check.equal(
            patterns.get("matrix"),
            torch.stack([torch.arange(first, first + 5.0) for first in (0, 5, 10)]),
            what="matrix",
            unlike={
                "counted down the columns": torch.arange(15.0).reshape(5, 3).T,
                "rows and columns exchanged": torch.arange(15.0).reshape(5, 3),
                "started at 1": torch.arange(1, 16.0).reshape(3, 5),
                "every row counts from 0 again": torch.arange(5.0).repeat(3, 1),
            },
        )

    def test_cube_counts_on_into_its_second_layer(self, kata):
        """Two matrices, one behind the other: the second goes on where the
        first ended.
        """
        patterns = kata.counting_patterns(3, 5)
        layer = torch.stack([torch.arange(first, first + 5.0) for first in (0, 5, 10)])
        dealt = torch.stack([2 * layer, 2 * layer + 1])
        check.equal(
            patterns.get("cube"),
            torch.stack([layer, layer + 15]),
            what="cube",
            unlike={
                "the second layer counts from 0 again": torch.stack([layer, layer]),
                "numbers dealt to the two layers in turn: the size 2 must come first": (
                    dealt
                ),
            },
        )

    def test_linspace_reaches_one(self, kata):
        """cols numbers with both ends included lie 1 / (cols − 1) apart: 5 of them are
        a quarter apart.
        """
        patterns = kata.counting_patterns(3, 5)
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
        """Positions are whole numbers, and torch refuses floats as an index. int64,
        also called long, is the dtype that every function takes.
        """
        patterns = kata.counting_patterns(3, 5)
        check.equal(
            patterns.get("indices"), torch.tensor([0, 1, 2, 3, 4]), what="indices"
        )

    def test_every_tensor_but_indices_has_the_dtype(self, kata):
        """The dtype is for the data. `indices` stays int64, since only whole numbers
        can be positions.
        """
        patterns = kata.counting_patterns(3, 5, dtype=torch.float16)
        expected = dict.fromkeys(
            ["vector", "matrix", "cube", "linspace"], torch.float16
        ) | {"indices": torch.int64}
        check.equal(
            {key: x.dtype for key, x in patterns.items()},
            expected,
            what="the dtype of the result at ",
        )

    def test_every_tensor_is_on_the_device(self, kata):
        """A computation with tensors on two devices raises an error. The "meta" device,
        which holds shapes without numbers, takes the place of a GPU here.
        """
        patterns = kata.counting_patterns(3, 5, device="meta")
        expected = dict.fromkeys(patterns, "meta")
        check.equal(
            {key: x.device.type for key, x in patterns.items()},
            expected,
            what="the device of the result at ",
        )

    @pytest.mark.edge
    def test_one_row_or_one_column_is_enough(self, kata):
        """1 is a size like any other. With one column linspace is [0], its start: there
        is no step to compute.
        """
        for rows, cols in ((1, 1), (4, 1), (1, 3)):
            patterns = kata.counting_patterns(rows, cols)
            counted = torch.tensor(
                [
                    [float(row * cols + col) for col in range(cols)]
                    for row in range(rows)
                ]
            )
            check.equal(patterns.get("matrix"), counted, what="matrix")
            spaced = torch.tensor([0, 0.5, 1.0]) if cols == 3 else torch.zeros(1)
            check.close(patterns.get("linspace"), spaced, what="linspace")

    @pytest.mark.edge
    def test_linspace_has_the_precision_of_the_dtype(self, kata):
        """float64 keeps about 16 digits. Numbers made in float32 and widened afterwards
        have only 7 right ones.
        """
        patterns = kata.counting_patterns(2, 4, dtype=torch.float64)
        thirds = torch.tensor([0, 1 / 3, 2 / 3, 1], **FLOAT64)
        check.close(
            patterns.get("linspace"), thirds, rtol=1e-12, atol=1e-12, what="linspace"
        )


class TestRandomPatterns:
    def test_uniform_is_spread_over_zero_to_one(self, kata):
        """Every number in [0, 1) is equally likely: the mean is 1/2, the standard
        deviation √(1/12) ≈ 0.289, and nothing lies outside.
        """
        patterns = kata.random_patterns(50, 80)
        check.that(
            isinstance(patterns, dict),
            f"a dict was expected, not {check.describe(patterns)}",
        )
        uniform = patterns.get("uniform")
        check.shape(uniform, (50, 80), what="uniform")
        check.that(
            uniform.min() >= 0,
            f"uniform holds {uniform.min():.3f}: drawn from the normal distribution?",
        )
        check.that(
            uniform.max() < 1,
            f"uniform holds {uniform.max():.3f}, which is not below 1",
        )
        check.close(uniform.mean().item(), 0.5, atol=0.03, what="mean of uniform")
        check.close(
            uniform.std().item(),
            12**-0.5,
            atol=0.02,
            what="standard deviation of uniform",
        )

    def test_normal_has_mean_zero_and_deviation_one(self, kata):
        """The bell curve: about 68 % of the numbers lie less than one standard
        deviation from the mean.
        """
        normal = kata.random_patterns(50, 80).get("normal")
        check.shape(normal, (50, 80), what="normal")
        uniform = "drawn by torch.rand, from the uniform distribution between 0 and 1"
        check.that(
            bool((normal < 0).any()),
            "no number of normal is below 0, half of them should be",
            like=uniform,
        )
        check.close(normal.mean().item(), 0.0, atol=0.1, what="mean of normal")
        check.close(
            normal.std().item(), 1.0, atol=0.08, what="standard deviation of normal"
        )
        near = normal.abs() < 1
        check.close(
            near.double().mean().item(),
            0.683,
            atol=0.045,
            what="share of normal between -1 and 1",
        )

    def test_both_have_the_dtype(self, kata):
        """Both random tensors have the dtype asked for."""
        patterns = kata.random_patterns(3, 5, dtype=torch.float16)
        expected = {"uniform": torch.float16, "normal": torch.float16}
        check.equal(
            {key: x.dtype for key, x in patterns.items()},
            expected,
            what="the dtype of the result at ",
        )

    def test_both_are_on_the_device(self, kata):
        """The "meta" device, which holds shapes without numbers, takes the place of a
        GPU here.
        """
        patterns = kata.random_patterns(3, 5, device="meta")
        expected = {"uniform": "meta", "normal": "meta"}
        check.equal(
            {key: x.device.type for key, x in patterns.items()},
            expected,
            what="the device of the result at ",
        )

    def test_equal_generators_give_equal_numbers(self, kata):
        """A generator is a source of random numbers with a seed of its own. Both
        tensors draw from the generator, so the same seed gives both again. A second
        call draws on and gives other numbers.
        """
        generator = torch.Generator().manual_seed(11)
        first = kata.random_patterns(3, 5, generator=generator)
        second = kata.random_patterns(3, 5, generator=generator)
        again = kata.random_patterns(3, 5, generator=torch.Generator().manual_seed(11))
        check.equal(
            again.get("uniform"),
            first.get("uniform"),
            what="uniform with an equally seeded generator",
        )
        check.equal(
            again.get("normal"),
            first.get("normal"),
            what="normal with an equally seeded generator",
        )
        same = [
            key for key in ("uniform", "normal") if torch.equal(first[key], second[key])
        ]
        check.that(
            not same,
            f"the second call gave the same numbers again: {' and '.join(same)}",
        )

    def test_a_generator_leaves_the_global_one_alone(self, kata):
        """A separate generator keeps these draws apart from all others.
        torch.manual_seed, or drawing without the generator, changes the random numbers
        of the rest of the program.
        """
        generator = torch.Generator().manual_seed(11)
        # moves the global generator away from where any seed would put it
        torch.rand(3)
        before = torch.get_rng_state()
        kata.random_patterns(3, 5, generator=generator)
        untouched = torch.equal(torch.get_rng_state(), before)
        check.that(untouched, "the call changed the state of torch's global generator")

    def test_without_a_generator_the_global_one_is_used(self, kata):
        """torch.manual_seed then decides the numbers, and each call draws new ones."""
        torch.manual_seed(4)
        first = kata.random_patterns(3, 5)
        second = kata.random_patterns(3, 5)
        torch.manual_seed(4)
        again = kata.random_patterns(3, 5)
        same = [
            key for key in ("uniform", "normal") if torch.equal(first[key], second[key])
        ]
        check.that(
            not same, f"two calls in a row gave the same numbers: {' and '.join(same)}"
        )
        check.equal(
            again.get("uniform"),
            first.get("uniform"),
            what="uniform after the same torch.manual_seed",
        )
        check.equal(
            again.get("normal"),
            first.get("normal"),
            what="normal after the same torch.manual_seed",
        )

    @pytest.mark.edge
    def test_uniform_stays_below_one_in_a_short_dtype(self, kata):
        """bfloat16 has 8 binary digits. A float32 number just below 1 rounds to 1 when
        it is shortened, so the numbers have to be drawn in the dtype asked for.
        """
        uniform = kata.random_patterns(60, 90, dtype=torch.bfloat16).get("uniform")
        check.that(
            uniform.max() < 1,
            f"uniform holds {uniform.max():.3f}: drawn in float32 and rounded up?",
        )

    @pytest.mark.gpu
    def test_a_gpu_draws_from_a_generator_of_its_own(self, kata):
        """Random numbers for a GPU are drawn on the GPU, by a generator that
        lives there.
        """
        generator = torch.Generator("cuda").manual_seed(11)
        patterns = kata.random_patterns(3, 5, device="cuda", generator=generator)
        check.equal(patterns["normal"].device.type, "cuda", what="the device of normal")
        again = kata.random_patterns(
            3, 5, device="cuda", generator=generator.manual_seed(11)
        )
        check.equal(
            again.get("normal"),
            patterns.get("normal"),
            what="normal with an equally seeded generator",
        )


class TestColumnToTensor:
    def test_the_numbers_of_one_column(self, kata):
        """One number per row, in the order of the rows. `df[name]` is one column;
        `df[[name]]` is a table with one column.
        """
        df = pd.DataFrame({"age": [31, 27, 45], "weight": [61.5, 70.25, 80.0]})
        unlike = {
            "a table with one column, df[[name]]": torch.tensor(
                [[61.5], [70.25], [80.0]]
            )
        }
        check.close(
            kata.column_to_tensor(df, "weight"),
            torch.tensor([61.5, 70.25, 80.0]),
            unlike=unlike,
        )

    def test_every_column_becomes_float32(self, kata):
        """pandas stores whole numbers as int64 and others as float64. A tensor keeps
        that dtype unless you pass another one.
        """
        df = pd.DataFrame({"age": [31, 27, 45], "weight": [61.5, 70.25, 80.0]})
        check.equal(
            kata.column_to_tensor(df, "age"),
            torch.tensor([31.0, 27, 45]),
            what='column "age"',
        )
        check.equal(
            kata.column_to_tensor(df, "weight"),
            torch.tensor([61.5, 70.25, 80.0]),
            what='column "weight"',
        )

    def test_rows_stay_in_their_places(self, kata):
        """A sorted table keeps its old row labels, here 2, 0, 1. They are labels,
        not places.
        """
        df = pd.DataFrame({"age": [45, 31, 27]}, index=[2, 0, 1])
        unlike = {"sorted by the row labels": torch.tensor([31.0, 27, 45])}
        check.close(
            kata.column_to_tensor(df, "age"),
            torch.tensor([45.0, 31, 27]),
            unlike=unlike,
        )


@st.composite
def tables(draw):
    """A tensor of different numbers, one name per column and one label per row, both in
    any order.
    """
    names = draw(st.permutations("abc"[: draw(st.integers(1, 3))]))
    labels = draw(st.permutations("xyz"[: draw(st.integers(1, 3))]))
    return (
        torch.arange(1.0, 1 + len(labels) * len(names)).reshape(
            len(labels), len(names)
        ),
        names,
        labels,
    )


class TestTensorToDataframe:
    def test_values_and_names_meet(self, kata):
        """Column 0 of the tensor goes under the first name, column 1 under the second;
        rows stay rows.
        """
        x = torch.tensor([[1.5, 2, 3], [4, 5, 6]])
        frame = kata.tensor_to_dataframe(x, ["width", "height", "age"])
        check.that(
            isinstance(frame, pd.DataFrame),
            f"a DataFrame was expected, not {check.describe(frame)}",
        )
        check.close(
            frame.to_numpy(),
            np.array([[1.5, 2, 3], [4, 5, 6]]),
            what="the values of the frame",
        )
        check.equal(
            frame.columns.tolist(), ["width", "height", "age"], what="frame.columns"
        )

    def test_rows_are_numbered_unless_labelled(self, kata):
        """Without an index the rows are 0, 1, 2; with one they have its labels,
        in order.
        """
        x = torch.zeros(3, 2)
        plain = kata.tensor_to_dataframe(x, ["a", "b"])
        check.equal(plain.index.tolist(), [0, 1, 2], what="frame.index")
        labelled = kata.tensor_to_dataframe(x, ["a", "b"], index=["z", "x", "y"])
        check.equal(labelled.index.tolist(), ["z", "x", "y"], what="frame.index")

    @given(case=tables())
    def test_every_number_is_found_under_its_name_and_label(self, kata, case):
        """Names and labels keep the order given. Sorting either would put them over the
        wrong numbers.
        """
        x, names, labels = case
        frame = kata.tensor_to_dataframe(x, names, index=labels)
        check.equal(
            [*frame.columns],
            names,
            what="frame.columns",
            unlike={"sorted by name": sorted(names)},
        )
        check.equal(
            [*frame.index],
            labels,
            what="frame.index",
            unlike={"sorted by label": sorted(labels)},
        )
        expected = {
            name: dict(zip(labels, x[:, i].tolist())) for i, name in enumerate(names)
        }
        check.equal(frame.to_dict(), expected, what="frame")

    def test_integers_give_integer_columns(self, kata):
        """Whole numbers stay whole numbers: a count shown as 3.0 has been through
        a float.
        """
        x = torch.tensor([[1, 2], [3, 4], [5, 6]])
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        kinds = {frame[name].dtype.kind for name in frame.columns}
        check.that(
            kinds <= {"i", "u"},
            f"the dtypes of the columns are {frame.dtypes.astype(str).to_dict()}",
        )

    def test_a_result_of_a_model_is_converted(self, kata):
        """A prediction carries an autograd graph. The table does not need the graph,
        and x keeps it.
        """
        x = torch.tensor([[1.0, 2], [3, 4], [5, 6]], requires_grad=True)
        with check.unchanged(x=x):
            frame = kata.tensor_to_dataframe(x, ["a", "b"])
        check.close(
            frame.to_numpy(),
            np.array([[1.0, 2], [3, 4], [5, 6]]),
            what="the values of the frame",
        )

    @pytest.mark.edge
    def test_bfloat16_is_converted(self, kata):
        """NumPy and pandas have no bfloat16: the columns become wider floats, with the
        same numbers.
        """
        x = torch.tensor([[0.5, -3], [1.25, 4]], dtype=torch.bfloat16)
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        kinds = {frame[name].dtype.kind for name in frame.columns}
        check.that(
            kinds == {"f"},
            f"the dtypes of the columns are {frame.dtypes.astype(str).to_dict()}",
        )
        check.close(
            frame.to_numpy(),
            np.array([[0.5, -3], [1.25, 4]]),
            what="the values of the frame",
        )

    @pytest.mark.edge
    def test_a_transposed_tensor_is_converted(self, kata):
        """x.T reads the memory in another order. The frame has the numbers as x
        shows them.
        """
        x = torch.arange(6.0).reshape(2, 3).T
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        check.close(
            frame.to_numpy(),
            np.array([[0.0, 3], [1, 4], [2, 5]]),
            what="the values of the frame",
        )

    @pytest.mark.edge
    def test_neither_writes_into_the_other(self, kata):
        """The frame has memory of its own: changing the tensor later does not change
        the table, nor the other way round.
        """
        x = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
        frame = kata.tensor_to_dataframe(x, ["a", "b"])
        x[0, 0] = -1
        check.close(
            frame.to_numpy(),
            np.array([[1.0, 2], [3, 4], [5, 6]]),
            what="the frame, after x[0, 0] = -1",
        )
        frame.iloc[2, 1] = -2
        check.equal(
            x,
            torch.tensor([[-1.0, 2], [3, 4], [5, 6]]),
            what="x, after frame.iloc[2, 1] = -2",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "names", [["a"], ["a", "b", "c", "d"]], ids=["too few", "too many"]
    )
    def test_the_number_of_names_must_fit(self, kata, names):
        """Each column has one name: with one missing or one left over, names and
        columns no longer fit.
        """
        x = torch.zeros(2, 3)
        with check.raises(ValueError):
            kata.tensor_to_dataframe(x, names)

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4)], ids=str)
    def test_only_two_dimensions_are_a_table(self, kata, shape):
        """A table has rows and columns. pandas would take (3,) for three rows of one
        column: ask the caller instead.
        """
        x = torch.zeros(shape)
        with check.raises(ValueError):
            kata.tensor_to_dataframe(x, ["a"])


@pytest.mark.stretch
class TestFromArray:
    @pytest.mark.parametrize("copy", [False, True], ids=["shared", "copied"])
    def test_keeps_shape_dtype_and_values(self, kata, copy):
        """NumPy makes float64 where torch makes float32. The tensor has the array's
        dtype with all its digits;
        integers stay integers, bools stay bools.
        """
        array = np.array([[0.1, 2, 3], [4, 5, 6]])
        check.equal(
            kata.from_array(array, copy=copy),
            torch.tensor([[0.1, 2, 3], [4, 5, 6]], **FLOAT64),
        )
        for name in ("bool", "int32"):
            array = np.array([[0, 1]], dtype=name)
            check.equal(
                kata.from_array(array, copy=copy),
                torch.tensor([[0, 1]], dtype=getattr(torch, name)),
            )

    def test_writing_to_the_array_shows_in_the_tensor(self, kata):
        """By default no number is copied: the tensor is another way to look at the
        array's memory.
        """
        array = np.array([[1.0, 2, 3], [4, 5, 6]])
        tensor = kata.from_array(array)
        array[1, 0] = -1
        check.equal(
            tensor,
            torch.tensor([[1, 2, 3], [-1, 5, 6]], **FLOAT64),
            what="the tensor, after array[1, 0] = -1",
            unlike={
                "a copy, which the change does not reach": torch.tensor(
                    [[1, 2, 3], [4, 5, 6]], **FLOAT64
                )
            },
        )

    def test_writing_to_the_tensor_shows_in_the_array(self, kata):
        """Sharing works both ways: there is one block of memory and two names
        for it.
        """
        array = np.array([1, 2, 3])
        tensor = kata.from_array(array)
        tensor[2] = -1
        check.equal(array, np.array([1, 2, -1]), what="the array, after tensor[2] = -1")

    def test_a_copy_is_independent(self, kata):
        """copy=True gives the tensor memory of its own: neither sees what is written to
        the other.
        """
        array = np.array([1.0, 2, 3])
        tensor = kata.from_array(array, copy=True)
        array[0] = -1
        tensor[2] = -2
        after = "after array[0] = -1 and tensor[2] = -2"
        shared = {
            "memory that the tensor and the array share": torch.tensor(
                [-1, 2, -2], **FLOAT64
            )
        }
        check.equal(
            tensor,
            torch.tensor([1, 2, -2], **FLOAT64),
            what=f"the tensor, {after}",
            unlike=shared,
        )
        check.equal(array, np.array([-1.0, 2, 3]), what=f"the array, {after}")

    @pytest.mark.edge
    def test_a_strided_array_is_shared_as_well(self, kata):
        """Every other column of an array is a view with larger strides. A tensor can
        have them too, so nothing needs to be copied.
        """
        array = np.arange(12.0).reshape(3, 4)[:, ::2]
        tensor = kata.from_array(array)
        array[:] = -1
        check.equal(
            tensor,
            torch.full((3, 2), -1.0, **FLOAT64),
            what="the tensor, after array[:] = -1",
        )

    @pytest.mark.edge
    def test_a_read_only_array_can_be_copied(self, kata):
        """The copy may be written to, the array may not: nothing is wrong with that."""
        array = np.array([1.0, 2, 3])
        array.flags.writeable = False
        check.equal(
            kata.from_array(array, copy=True), torch.tensor([1, 2, 3], **FLOAT64)
        )

    @pytest.mark.edge
    def test_a_reversed_array_can_be_copied(self, kata):
        """array[::-1] reads the memory backwards (a negative stride), which no tensor
        can do. A copy has the numbers in their new order.
        """
        array = np.arange(6.0).reshape(2, 3)[:, ::-1]
        check.equal(
            kata.from_array(array, copy=True),
            torch.tensor([[2, 1, 0], [5, 4, 3]], **FLOAT64),
        )

    @pytest.mark.edge
    def test_a_read_only_array_is_not_shared(self, kata):
        """A tensor cannot be made read-only, so sharing would let it write to protected
        memory. torch only warns about it, and only once: refuse.
        """
        array = np.array([1.0, 2, 3])
        array.flags.writeable = False
        with check.raises(ValueError):
            kata.from_array(array)

    @pytest.mark.edge
    def test_a_reversed_array_is_not_shared(self, kata):
        """No tensor reads its memory backwards. A silent copy would break the promise
        to share memory, so refuse.
        """
        array = np.arange(6.0)[::-1]
        with check.raises(ValueError):
            kata.from_array(array)

    @pytest.mark.edge
    @pytest.mark.parametrize("copy", [False, True], ids=["shared", "copied"])
    def test_anything_but_an_array_is_refused_by_its_type(self, kata, copy):
        """A list has no array's memory to share. The message names the type that came,
        so that the caller sees what went wrong.
        """
        with check.raises(TypeError, "list"):
            kata.from_array([1, 2, 3], copy=copy)


@pytest.mark.stretch
class TestToArray:
    @pytest.mark.parametrize("name", ["float32", "float64", "bool", "int64"])
    def test_keeps_shape_dtype_and_values(self, kata, name):
        """The same numbers in the same places, as a np.ndarray. NumPy has the same
        dtype under the same name.
        """
        x = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=getattr(torch, name))
        check.equal(kata.to_array(x), np.array([[0, 1, 1], [1, 0, 1]], dtype=name))

    def test_writing_to_the_array_leaves_the_tensor_alone(self, kata):
        """The array has memory of its own. x.numpy() shares memory with x, and so does
        x.detach().numpy().
        """
        x = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
        array = kata.to_array(x)
        array[0, 1] = -1
        check.equal(
            x,
            torch.tensor([[1.0, 2, 3], [4, 5, 6]]),
            what="x, after array[0, 1] = -1",
            unlike={
                "memory that x and the array share": torch.tensor(
                    [[1.0, -1, 3], [4, 5, 6]]
                )
            },
        )

    def test_a_tensor_that_requires_grad_is_converted(self, kata):
        """NumPy has no gradients, so torch asks you to detach the tensor first."""
        x = torch.tensor([1.0, 2, 3], requires_grad=True)
        check.equal(kata.to_array(x), np.array([1, 2, 3], dtype="float32"))

    def test_the_tensor_keeps_its_gradient(self, kata):
        """Only the result leaves the gradient behind. x itself must still require grad:
        detach_() or requires_grad_(False) would end its training without a warning.
        """
        x = torch.tensor([1.0, 2, 3], requires_grad=True)
        with check.unchanged(x=x):
            kata.to_array(x)

    @pytest.mark.edge
    def test_a_transposed_tensor_keeps_its_order(self, kata):
        """x.T reads the memory in another order. The array has the numbers as x
        shows them.
        """
        x = torch.arange(6.0).reshape(2, 3).T
        check.equal(
            kata.to_array(x), np.array([[0, 3], [1, 4], [2, 5]], dtype="float32")
        )

    @pytest.mark.edge
    def test_bfloat16_becomes_float32(self, kata):
        """NumPy has no bfloat16. float32 holds every bfloat16 number exactly."""
        x = torch.tensor([0.5, -3, 1e30], dtype=torch.bfloat16)
        check.equal(kata.to_array(x), np.array(x.tolist(), dtype="float32"))

    @pytest.mark.gpu
    def test_a_tensor_on_a_gpu_is_fetched(self, kata):
        """NumPy reads the computer's own memory, so the numbers have to come back from
        the GPU first.
        """
        x = torch.tensor([1.0, 2, 3], device="cuda", requires_grad=True)
        check.equal(kata.to_array(x), np.array([1, 2, 3], dtype="float32"))


@st.composite
def frames(draw):
    """Frames of one to three columns of different kinds, with names and row labels in
    any order.
    """
    kinds = {
        "age": st.integers(0, 99),
        "weight": st.integers(0, 400).map(lambda n: n / 4),
        "member": st.booleans(),
    }
    names = draw(
        st.lists(st.sampled_from([*kinds]), min_size=1, max_size=3, unique=True)
    )
    labels = draw(st.permutations(range(draw(st.integers(1, 3)))))
    columns = {name: [draw(kinds[name]) for _ in labels] for name in names}
    return pd.DataFrame(columns, index=labels)


@pytest.mark.stretch
class TestDataframeToTensor:
    def test_rows_and_columns_become_a_matrix(self, kata):
        """One row of the tensor per row of the frame, one column per column, in float32
        unless another dtype is asked for. A tensor has no column names, so the list of
        names is returned beside it.
        """
        df = pd.DataFrame(
            {"width": [1.5, 2.5], "height": [3.0, 4.0], "age": [5.0, 6.0]}
        )
        expected = (
            torch.tensor([[1.5, 3, 5], [2.5, 4, 6]]),
            ["width", "height", "age"],
        )
        check.equal(kata.dataframe_to_tensor(df), expected, what="the result at ")

    def test_numbers_and_bools_may_be_mixed(self, kata):
        """A frame has a dtype per column, a tensor has one for all. True becomes 1,
        False becomes 0.
        """
        df = pd.DataFrame(
            {
                "age": [31, 27, 45],
                "weight": [61.5, 70.25, 80.0],
                "member": [True, False, True],
            }
        )
        expected = (
            torch.tensor([[31, 61.5, 1], [27, 70.25, 0], [45, 80, 1]]),
            ["age", "weight", "member"],
        )
        check.equal(kata.dataframe_to_tensor(df), expected, what="the result at ")

    @given(df=frames())
    def test_rows_and_columns_keep_their_order(self, kata, df):
        """Rows stay in their places whatever their labels, and columns whatever their
        names: nothing is sorted.
        """
        values, names = kata.dataframe_to_tensor(df)
        check.equal(names, [*df], what="the list of names")
        expected, in_rows = (
            torch.tensor(
                [
                    [float(number) for number in row]
                    for row in frame.itertuples(index=False)
                ]
            )
            for frame in (df, df.sort_index())
        )
        check.equal(
            values,
            expected,
            what="the tensor",
            unlike={"rows sorted by their labels": in_rows},
        )

    def test_a_missing_number_stays_nan(self, kata):
        """NaN, "not a number", marks a missing entry. The caller decides whether to
        fill it or to drop the row.
        """
        df = pd.DataFrame(
            {"age": [31.0, float("nan"), 45.0], "member": [True, False, True]}
        )
        values, _ = kata.dataframe_to_tensor(df)
        check.equal(
            values, torch.tensor([[31, 1], [float("nan"), 0], [45, 1]]), finite=False
        )

    def test_the_tensor_has_the_dtype_asked_for(self, kata):
        """Identifiers and labels are read as int64, measurements as a float: the caller
        says which.
        """
        df = pd.DataFrame({"id": [4, 7], "member": [True, False]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.int64)
        check.equal(values, torch.tensor([[4, 1], [7, 0]]))

    @pytest.mark.edge
    def test_int64_keeps_every_digit(self, kata):
        """2**53 + 1 is the first whole number that float64 cannot hold. Read as int64
        it must not pass through a float on the way, not even when another column
        is one.
        """
        df = pd.DataFrame(
            {"id": [2**53 + 1, 3], "weight": [61.0, 70.0], "member": [True, False]}
        )
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.int64)
        check.equal(
            values,
            torch.tensor([[2**53 + 1, 61, 1], [3, 70, 0]]),
            unlike={"cast through float64": torch.tensor([[2**53, 61, 1], [3, 70, 0]])},
        )

    @pytest.mark.edge
    def test_float64_keeps_every_digit(self, kata):
        """0.1 in float64 is another number than 0.1 in float32, so the values must not
        pass through float32.
        """
        df = pd.DataFrame({"price": [0.1, 0.7], "count": [1, 2]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.float64)
        expected = torch.tensor([[0.1, 1], [0.7, 2]], **FLOAT64)
        check.equal(
            values, expected, unlike={"cast through float32": expected.float().double()}
        )

    @pytest.mark.edge
    def test_bfloat16_can_be_asked_for(self, kata):
        """NumPy and pandas have no bfloat16, torch has. Any dtype of torch can be
        the tensor's.
        """
        df = pd.DataFrame({"age": [31, 27], "weight": [61.5, 70.0]})
        values, _ = kata.dataframe_to_tensor(df, dtype=torch.bfloat16)
        check.equal(values, torch.tensor([[31, 61.5], [27, 70]], dtype=torch.bfloat16))

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["float32", "int64"])
    def test_writing_to_the_tensor_leaves_the_frame_alone(self, kata, name):
        """When the frame already has the dtype asked for, a conversion may hand out the
        frame's own memory. The tensor needs its own.
        """
        df = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, dtype=name)
        values, _ = kata.dataframe_to_tensor(df, dtype=getattr(torch, name))
        values.fill_(-1)
        expected = np.array([[1, 3], [2, 4]], dtype=name)
        check.equal(
            df.to_numpy(),
            expected,
            what="the values of the frame, after values.fill_(-1)",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "cities",
        [
            ["Oslo", "Rome"],
            ["12", "7"],
            pd.to_datetime(["2024-01-01", "2024-05-01"]),
            pd.Categorical(["b", "a"]),
        ],
        ids=["text", "digits as text", "dates", "categories"],
    )
    def test_a_column_that_is_not_numeric_is_named(self, kata, cities):
        """Text, dates and categories are not numbers, and this function does not invent
        codes for them. The message names the first such column, so that the caller
        knows which to drop.
        """
        df = pd.DataFrame(
            {
                "age": [31, 27],
                "city": cities,
                "weight": [61.5, 70.0],
                "street": ["Main", "High"],
            }
        )
        with check.raises(TypeError, "city"):
            kata.dataframe_to_tensor(df)


class Sample(NamedTuple):
    image: object
    label: object


class Traveller(torch.Tensor):
    """A tensor that notes where it is sent instead of going there, since that device
    may not exist here.
    """

    sent: list[str] = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name, kwargs = function.__name__, kwargs or {}
        if name not in ("to", "cuda", "cpu"):
            return super().__torch_function__(function, types, args, kwargs)
        cls.sent.append(
            torch.device(
                [*args[1:], *kwargs.values()][0] if name == "to" else name
            ).type
        )
        return args[0]


def batches():
    """Tensors and other values in lists, tuples and dicts of any depth."""
    leaves = st.integers(1, 3).map(torch.zeros) | st.sampled_from(["cat.png", 3, None])
    keys = st.sampled_from("ba")
    return st.recursive(
        leaves,
        lambda part: (
            st.lists(part, max_size=2)
            | st.tuples(part, part)
            | st.dictionaries(keys, part, max_size=2)
        ),
        max_leaves=4,
    )


def outline(batch, device=None):
    """The batch with text in place of each tensor: its shape, and its device unless
    another one is given.
    """
    if isinstance(batch, torch.Tensor):
        return f"a tensor {tuple(batch.shape)} on {device or batch.device.type}"
    if isinstance(batch, dict):
        return {key: outline(value, device) for key, value in batch.items()}
    return (
        type(batch)(outline(part, device) for part in batch)
        if isinstance(batch, (list, tuple))
        else batch
    )


@pytest.mark.stretch
class TestToDevice:
    def test_a_tensor_moves(self, kata):
        """The simplest batch is one tensor. The "meta" device, which holds shapes
        without numbers, takes the place of a GPU here.
        """
        x = torch.zeros(2, 3, dtype=torch.int16)
        moved = kata.to_device(x, torch.device("meta"))
        check.dtype(moved, torch.int16)
        check.shape(moved, (2, 3))
        check.equal(moved.device, torch.device("meta"), what="the device")

    def test_a_list_and_a_tuple_keep_their_type(self, kata):
        """A list comes back as a list, a tuple as a tuple, in order, with its
        tensors moved.
        """
        pair = (torch.zeros(2), torch.zeros(3))
        unlike = {"a tuple is handed back as it came": outline(pair)}
        check.equal(
            outline(kata.to_device(pair, "meta")),
            outline(pair, "meta"),
            unlike=unlike,
            what="the result",
        )
        several = [torch.zeros(2), torch.zeros(3), "cat.png"]
        check.equal(
            outline(kata.to_device(several, "meta")),
            outline(several, "meta"),
            what="the result",
        )

    def test_a_dict_keeps_its_keys_in_order(self, kata):
        """Keys stay as they are and in their order; the tensors among the
        values move.
        """
        batch = {"labels": torch.zeros(2), "images": torch.zeros(3)}
        moved = kata.to_device(batch, "meta")
        check.that(
            type(moved) is dict, f"a dict was expected, not {check.describe(moved)}"
        )
        check.equal([*moved], ["labels", "images"], what="the keys in order")
        check.equal(outline(moved), outline(batch, "meta"), what="the result at ")

    def test_anything_else_passes_through(self, kata):
        """File names, counts and None travel with a batch and stay as they are. Text
        can be looped over too: do not take it for a list.
        """
        batch = {"file": "cat.png", "count": 3, "extra": [None, 2.5, True]}
        check.equal(
            kata.to_device(batch, "meta"),
            {"file": "cat.png", "count": 3, "extra": [None, 2.5, True]},
        )

    @given(batch=batches())
    def test_every_level_of_a_nested_batch_moves(self, kata, batch):
        """Containers hold containers. Each part is treated like the whole: the function
        can call itself.
        """
        moved = kata.to_device(batch, "meta")
        check.equal(outline(moved), outline(batch, "meta"), what="the result ")

    def test_the_containers_given_are_not_changed(self, kata):
        """The caller may go on using the batch on its old device: moving must not
        overwrite what the given containers hold.
        """
        inner = [torch.zeros(2), "cat.png"]
        batch = {"inner": inner, "label": torch.zeros(3)}
        kata.to_device(batch, "meta")
        check.that(
            batch["inner"] is inner, "the dict that was given holds another list now"
        )
        expected = {
            "inner": ["a tensor (2,) on cpu", "cat.png"],
            "label": "a tensor (3,) on cpu",
        }
        check.equal(outline(batch), expected, what="the batch that was given, at ")

    @pytest.mark.parametrize(
        "cuda, mps, best",
        [(False, False, "cpu"), (True, True, "cuda"), (False, True, "mps")],
        ids=["neither", "cuda and mps", "mps"],
    )
    def test_without_a_device_the_best_there_is_gets_chosen(
        self, kata, cuda, mps, best
    ):
        """A CUDA GPU if torch.cuda says that there is one, else Apple's mps if
        torch.backends.mps says so, else the CPU. (This spec pretends which devices
        exist, and watches where the tensor is sent.)
        """
        accelerator = None if best == "cpu" else torch.device(best)
        with (
            mock.patch("torch.cuda.is_available", lambda: cuda),
            mock.patch("torch.backends.mps.is_available", lambda: mps),
            mock.patch(
                "torch.accelerator.is_available", lambda: accelerator is not None
            ),
            mock.patch(
                "torch.accelerator.current_accelerator",
                lambda check_available=False: accelerator,
            ),
            mock.patch.object(Traveller, "sent", []) as sent,
        ):
            kata.to_device({"x": torch.zeros(2).as_subclass(Traveller)})
        check.equal(sent[-1:], [best], what="the device that the tensor was sent to")

    @pytest.mark.edge
    def test_a_namedtuple_keeps_its_class(self, kata):
        """A namedtuple's fields are reached by name, so a plain tuple will not do. The
        class takes the fields one by one, not as one list.
        """
        batch = Sample(torch.zeros(2), [torch.zeros(3)])
        moved = kata.to_device(batch, "meta")
        check.that(
            type(moved) is Sample, f"a Sample was expected, not {check.describe(moved)}"
        )
        expected = ("a tensor (2,) on meta", ["a tensor (3,) on meta"])
        check.equal(
            (outline(moved.image), outline(moved.label)),
            expected,
            what="the fields at ",
        )

    @pytest.mark.gpu
    def test_a_gpu_is_found_and_used(self, kata):
        """With a CUDA GPU in the machine, None means that GPU."""
        moved = kata.to_device({"x": [torch.zeros(2), "cat.png"]})
        check.equal(moved["x"][0].device.type, "cuda", what="the device")


@pytest.mark.stretch
class TestCreationPatterns:
    def test_scalar_holds_seven(self, kata):
        """A scalar is a tensor without dimensions: its shape is () and it holds one
        number. Like all others it is float32 unless another dtype is asked for.
        """
        patterns = kata.creation_patterns(3, 5)
        check.that(
            isinstance(patterns, dict),
            f"a dict was expected, not {check.describe(patterns)}",
        )
        check.equal(patterns.get("scalar"), torch.tensor(7.0), what="scalar")

    def test_zeros_and_ones_are_filled(self, kata):
        """(rows, cols), the same number everywhere."""
        patterns = kata.creation_patterns(3, 5)
        check.equal(patterns.get("zeros"), torch.tensor([[0.0] * 5] * 3), what="zeros")
        check.equal(patterns.get("ones"), torch.tensor([[1.0] * 5] * 3), what="ones")

    def test_eye_is_square_with_ones_on_the_diagonal(self, kata):
        """(rows, rows): 1 where the row number is the column number, 0 elsewhere. A
        matrix times eye is that matrix.
        """
        patterns = kata.creation_patterns(3, 5)
        check.equal(
            patterns.get("eye"),
            torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
            what="eye",
        )

    def test_has_exactly_the_eleven_keys(self, kata):
        """Callers rely on the keys: the four of this exercise, the seven of
        counting_patterns and random_patterns, and no others.
        """
        keys = (
            "scalar zeros ones eye vector matrix cube linspace indices uniform normal"
        ).split()
        patterns = kata.creation_patterns(3, 5)
        missing, extra = (
            [key for key in keys if key not in patterns],
            [key for key in patterns if key not in keys],
        )
        check.that(
            not missing and not extra,
            f"missing keys: {missing or 'none'}; extra keys: {extra or 'none'}",
        )
        check.shape(patterns["cube"], (2, 3, 5), what="cube")

    def test_every_tensor_but_indices_has_the_dtype(self, kata):
        """The dtype has to be passed on, also to the random tensors. `indices` alone
        stays int64.
        """
        patterns = kata.creation_patterns(3, 5, dtype=torch.float16)
        expected = dict.fromkeys(patterns, torch.float16) | {"indices": torch.int64}
        check.equal(
            {key: x.dtype for key, x in patterns.items()},
            expected,
            what="the dtype of the result at ",
        )

    def test_every_tensor_is_on_the_device(self, kata):
        """The device has to be passed on as well. The "meta" device, which holds shapes
        without numbers, takes the place of a GPU here.
        """
        patterns = kata.creation_patterns(3, 5, device="meta")
        expected = dict.fromkeys(patterns, "meta")
        check.equal(
            {key: x.device.type for key, x in patterns.items()},
            expected,
            what="the device of the result at ",
        )

    def test_equal_generators_give_equal_numbers(self, kata):
        """The generator has to be passed on to both random tensors: the same seed gives
        both again.
        """
        first = kata.creation_patterns(
            3, 5, generator=torch.Generator().manual_seed(11)
        )
        again = kata.creation_patterns(
            3, 5, generator=torch.Generator().manual_seed(11)
        )
        check.equal(
            again.get("uniform"),
            first.get("uniform"),
            what="uniform with an equally seeded generator",
        )
        check.equal(
            again.get("normal"),
            first.get("normal"),
            what="normal with an equally seeded generator",
        )

    def test_nothing_outside_is_changed(self, kata):
        """torch.set_default_dtype would give every tensor made later, anywhere in the
        program, another dtype. torch.manual_seed would change every random number
        drawn later.
        """
        # moves the global generator away from where any seed would put it
        torch.rand(3)
        before = torch.get_rng_state()
        kata.creation_patterns(
            3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(11)
        )
        check.equal(
            torch.get_default_dtype(),
            torch.float32,
            what="torch's default dtype after the call",
        )
        untouched = torch.equal(torch.get_rng_state(), before)
        check.that(untouched, "the call changed the state of torch's global generator")

    @pytest.mark.edge
    @pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (-1, 5), (3, -1)], ids=str)
    def test_less_than_one_row_or_column_is_refused(self, kata, sizes):
        """Both sizes must be at least 1: without a column there is nothing for linspace
        to reach.
        """
        with check.raises(ValueError):
            kata.creation_patterns(*sizes)

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.int64, torch.complex64], ids=str)
    def test_a_dtype_that_is_not_floating_point_is_refused(self, kata, dtype):
        """Whole numbers cannot hold linspace or random fractions: torch would cut them
        to zeros without a warning.
        """
        with check.raises(TypeError):
            kata.creation_patterns(3, 5, dtype=dtype)
