"""Specs of kata tinytorch/03: activations, why XOR needs one, and what
broadcasting costs.
"""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

# of operations
NAMES = (
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "exp",
    "log",
    "pow",
    "max",
    "relu",
    "sigmoid",
    "tanh",
)
POINTS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def tensor(values, dtype=np.float32):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(values, dtype=dtype))


def announces_itself(function, name):
    """Check that the result leads back to x through operations that module 05 has
    gradient rules for.
    """
    from tinytorch.recorder import set_recorder

    x, made = tensor([[-1.5, 0.5, 2.0]]), {}
    previous = set_recorder(
        lambda out, op, inputs, saved: made.__setitem__(id(out), (op, inputs, out))
    )
    try:
        open_, found = [function(x)], set()
    finally:
        set_recorder(previous)
    while open_:
        current = open_.pop()
        found.add(id(current))
        op, inputs, _ = made.pop(id(current), ("", (), None))
        check.that(
            not op or op in NAMES,
            f'an operation is announced as "{op}", which no gradient rule is for',
        )
        check.that(
            op != name or (len(inputs) == 1 and inputs[0] is x),
            f'"{name}" has to be announced with (x,)',
        )
        open_ += inputs
    check.that(
        id(x) in found,
        f"{name}(x) is not connected to x: it is not announced, or not with the "
        "Tensor x itself",
    )


def input_is_kept(function):
    x = tensor([[-2.0, 0.5], [3.0, -0.25]])
    before = x.data.copy()
    function(x)
    unlike = {"the caller's own array is overwritten": function(tensor(before)).data}
    check.equal(
        x.data,
        before,
        unlike=unlike,
        what="x after the call, which must not write to it",
    )


def same_dtype_and_shape(function, dtype):
    got = check.data(function(tensor([[-1.5, 0.0, 2.5]], dtype)))
    check.that(got.dtype == dtype, f"{dtype.__name__} came out as {got.dtype}")
    check.that(got.shape == (1, 3), f"shape (1, 3) came out as {got.shape}")


def at_the_extremes(function, expected):
    """Check -inf, -1000, 1000, inf and NaN, in both dtypes, and that NumPy has nothing
    to warn about.
    """
    for dtype in (np.float32, np.float64):
        x = tensor([-np.inf, -1000, 1000, np.inf, np.nan], dtype)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            got = check.data(function(x))
        check.close(
            got,
            np.array(expected),
            what=f"{dtype.__name__}, for x = -inf, -1000, 1000, inf, NaN",
            finite=False,
        )
        check.that(not heard, f"NumPy warned: {heard[0].message if heard else ''}")


def exact_sigmoid(values):
    """Python's own exp, which never sees a large number."""
    return np.array(
        [
            1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))
            for v in values
        ]
    )


@st.composite
def arrays_of_any_shape(draw):
    shape = draw(st.lists(st.integers(1, 4), max_size=3))
    return np.random.default_rng(draw(st.integers(0, 99))).normal(0, 4, shape)


class TestRelu:
    def test_negative_elements_become_zero(self, kata):
        """A positive element stays as it is, and 0 stays 0. Nothing else happens
        to either.
        """
        got = kata.relu(tensor([[-2.0, 0.0, 3.0], [0.25, -0.5, -100.0]]))
        expected = np.array([[0, 0, 3], [0.25, 0, 0]])
        unlike = {
            "the absolute value": np.array([[2, 0, 3], [0.25, 0.5, 100]]),
            "min(x, 0): the negative elements are kept": np.array(
                [[-2, 0, 0], [0, -0.5, -100]]
            ),
            "np.max, the largest of each column, in place of np.maximum": np.array(
                [0.25, 0, 3]
            ),
            "1 where x is positive": np.array([[0, 0, 1], [1, 0, 0]]),
        }
        check.close(check.data(got), expected, unlike=unlike)

    def test_x_is_not_written_to(self, kata):
        """The caller goes on with x, and the gradient needs to know where x was
        negative. `x.data[...] = 0` overwrites both.
        """
        input_is_kept(kata.relu)

    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float64], ids=["float32", "float64"]
    )
    def test_shape_and_dtype_stay(self, kata, dtype):
        """A network in float32 stays in float32, and one in float64 in float64."""
        same_dtype_and_shape(kata.relu, dtype)

    def test_it_announces_itself(self, kata):
        """`record` tells module 05 which operation made the result, and from which
        Tensor. A result that nobody announced gets no gradient.
        """
        announces_itself(kata.relu, "relu")

    @pytest.mark.edge
    def test_special_values(self, kata):
        """Infinity and NaN go through: x * (x > 0) makes NaN of -inf, because -inf · 0
        is NaN.
        """
        got = check.data(kata.relu(tensor([-0.0, np.inf, -np.inf, np.nan])))
        unlike = {"x times 0 or 1": np.array([0, np.inf, np.nan, np.nan])}
        check.close(
            got,
            np.array([0, np.inf, 0, np.nan]),
            what="relu of -0.0, inf, -inf, NaN",
            unlike=unlike,
            finite=False,
        )


class TestSigmoid:
    def test_values(self, kata):
        """e⁰ = 1 makes 1/2. At log 3, e⁻ˣ is 1/3 and makes 3/4; at -log 3 the result
        is 1/4.
        """
        got = kata.sigmoid(tensor([[0.0, math.log(3), -math.log(3)]]))
        unlike = {
            "1 / (1 + eˣ): the sign of x is missing": np.array([[0.5, 0.25, 0.75]]),
            "tanh": np.array([[0, 0.8, -0.8]]),
        }
        check.close(check.data(got), np.array([[0.5, 0.75, 0.25]]), unlike=unlike)

    def test_accurate_from_minus_40_to_40(self, kata):
        """In float64 the result is right to 1e-15. A clipped x no longer changes the
        result, and a detour through float32 loses eight digits.
        """
        x = np.linspace(-40, 40, 101)
        unlike = {
            "x clipped to ±10": exact_sigmoid(np.clip(x, -10, 10)),
            "x clipped to ±20": exact_sigmoid(np.clip(x, -20, 20)),
        }
        got = check.data(kata.sigmoid(tensor(x, np.float64)))
        check.close(got, exact_sigmoid(x), rtol=0, atol=1e-6, unlike=unlike)
        single = np.abs(got - exact_sigmoid(x)).max() > 1e-9
        check.that(
            not single,
            "7 digits are right, float64 has 16",
            like="computed in float32, whatever x is",
        )
        check.close(
            got,
            exact_sigmoid(x),
            rtol=0,
            atol=1e-15,
            unlike=unlike,
            what="the digits that only float64 has",
        )
        got = check.data(kata.sigmoid(tensor(x)))
        check.close(
            got,
            exact_sigmoid(x.astype(np.float32).tolist()),
            rtol=0,
            atol=2e-7,
            what="float32",
        )

    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float64], ids=["float32", "float64"]
    )
    def test_shape_and_dtype_stay(self, kata, dtype):
        """A network in float32 stays in float32, and one in float64 in float64."""
        same_dtype_and_shape(kata.sigmoid, dtype)

    def test_x_is_not_written_to(self, kata):
        """The caller goes on with x."""
        input_is_kept(kata.sigmoid)

    def test_it_announces_itself(self, kata):
        """`record` tells module 05 which operation made the result, and from
        which Tensor.
        """
        announces_itself(kata.sigmoid, "sigmoid")

    @given(x=arrays_of_any_shape())
    def test_a_value_and_that_of_minus_x_sum_to_one(self, kata, x):
        """σ(x) + σ(-x) = 1, for any shape: the two are the probabilities of yes and
        of no.
        """
        up, down = (
            check.data(kata.sigmoid(tensor(sign * x, np.float64))) for sign in (1, -1)
        )
        check.close(up, np.asarray(1 - down), what="σ(x), compared with 1 - σ(-x)")

    @pytest.mark.edge
    def test_extreme_values_without_warnings(self, kata):
        """e¹⁰⁰⁰ does not fit into a float: NumPy warns and goes on with inf. With
        e^-|x|, which is at most 1, nothing can overflow; it serves both signs.
        `np.where` computes both of its branches.
        """
        at_the_extremes(kata.sigmoid, [0, 0, 1, 1, np.nan])


class TestTanh:
    def test_values(self, kata):
        """At log 2 the result is (2 - 1/2) / (2 + 1/2) = 0.6; at -log 2 it is -0.6."""
        got = kata.tanh(tensor([[0.0, math.log(2), -math.log(2), math.log(3)]]))
        unlike = {
            "sigmoid": np.array([[1 / 2, 2 / 3, 1 / 3, 3 / 4]]),
            "tan, the tangent without h": np.tan(np.log([[1, 2, 1 / 2, 3]])),
        }
        check.close(check.data(got), np.array([[0, 0.6, -0.6, 0.8]]), unlike=unlike)

    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float64], ids=["float32", "float64"]
    )
    def test_shape_and_dtype_stay(self, kata, dtype):
        """A network in float32 stays in float32, and one in float64 in float64."""
        same_dtype_and_shape(kata.tanh, dtype)

    def test_x_is_not_written_to(self, kata):
        """The caller goes on with x."""
        input_is_kept(kata.tanh)

    def test_it_announces_itself(self, kata):
        """`record` tells module 05 which operation made the result, and from
        which Tensor.
        """
        announces_itself(kata.tanh, "tanh")

    @given(x=arrays_of_any_shape())
    def test_it_is_a_stretched_sigmoid(self, kata, x):
        """tanh x = 2 σ(2x) - 1, for any shape: the same curve, twice as high and twice
        as steep.
        """
        expected = np.asarray(2 * exact_sigmoid(2 * x.ravel()).reshape(x.shape) - 1)
        check.close(check.data(kata.tanh(tensor(x, np.float64))), expected)

    @pytest.mark.edge
    def test_extreme_values_without_warnings(self, kata):
        """e¹⁰⁰⁰ does not fit into a float, and inf / inf is NaN. `np.tanh` knows
        its limits.
        """
        at_the_extremes(kata.tanh, [-1, -1, 1, 1, np.nan])


RELATIVES = ("numpy.broadcast_shapes", "numpy.broadcast_arrays", "numpy.broadcast_to")


def common_shape(kata, *shapes):
    with check.forbidden(kata, *RELATIVES):
        return kata.broadcast_shape(*shapes)


@st.composite
def fitting_or_not(draw):
    """Two to four shapes cut out of one, some leading sizes left out, some sizes 1, and
    now and then one too many.
    """
    full = draw(st.lists(st.integers(2, 5), max_size=4))
    shapes = []
    for _ in range(draw(st.integers(2, 4))):
        sizes = [
            1 if draw(st.booleans()) else size
            for size in full[draw(st.integers(0, len(full))) :]
        ]
        if sizes and draw(st.integers(0, 5)) == 0:
            sizes[draw(st.integers(0, len(sizes) - 1))] = 6
        shapes.append(tuple(sizes))
    return shapes


@pytest.mark.stretch
class TestBroadcastShape:
    def test_two_shapes_aligned_right(self, kata):
        """The last sizes belong together. What the shorter shape lacks on the left
        counts as 1.
        """
        check.equal(common_shape(kata, (4, 1), (3,)), (4, 3))
        check.equal(
            common_shape(kata, (2, 1, 5), (4, 1)),
            (2, 4, 5),
            unlike={"aligned left": (4, 1, 5)},
        )
        check.equal(
            common_shape(kata, (3,), (2, 3)),
            (2, 3),
            what="with the shorter shape first",
        )

    def test_three_shapes_at_once(self, kata):
        """Each of the three brings one size: a later shape is compared with what the
        earlier ones came to, not with the first one alone.
        """
        unlike = {
            "the first and the last shape alone": (4, 2, 1),
            "the first two shapes alone": (2, 3),
        }
        check.equal(
            common_shape(kata, (2, 1), (1, 3), (4, 1, 1)), (4, 2, 3), unlike=unlike
        )

    @pytest.mark.parametrize(
        "shapes", [[(2, 3), (2,)], [(5, 1), (1, 4), (3, 4)]], ids=["two", "three"]
    )
    def test_sizes_that_do_not_fit_are_an_error(self, kata, shapes):
        """3 beside 2 has no common size. Of three shapes it may be the second and third
        that do not fit, or the first and third.
        """
        with check.raises(
            ValueError, like="no look at sizes that differ and are not 1"
        ):
            common_shape(kata, *shapes)

    @given(shapes=fitting_or_not())
    def test_the_same_as_numpy(self, kata, shapes):
        """Whatever the number of shapes and of dimensions: NumPy's shape, or an error
        where NumPy has one.
        """
        try:
            expected = np.broadcast_shapes(*shapes)
        except ValueError:
            with check.raises(ValueError):
                common_shape(kata, *shapes)
        else:
            check.equal(common_shape(kata, *shapes), expected)

    @pytest.mark.edge
    def test_a_size_of_zero_beside_one(self, kata):
        """A size of 1 is repeated as often as needed, which may be 0 times. `max` of 0
        and 1 is 1.
        """
        check.equal(
            common_shape(kata, (0,), (1,)), (0,), unlike={"the larger of 0 and 1": (1,)}
        )
        check.equal(common_shape(kata, (3, 1), (0,)), (3, 0))

    @pytest.mark.edge
    def test_no_shapes(self, kata):
        """Nothing broadcasts to a single number, whose shape is ()."""
        check.equal(common_shape(kata), ())

    @pytest.mark.edge
    def test_the_error_names_the_shapes(self, kata):
        """Whoever reads the message has to find the wrong tensor by its shape."""
        with check.raises(ValueError, "(7, 3)", "(11,)"):
            common_shape(kata, (7, 3), (11,))


@pytest.mark.stretch
class TestBroadcastCost:
    def test_a_column_plus_a_row(self, kata):
        """1,000 + 1,000 numbers come in, a million go out: broadcasting repeats nothing
        in the inputs, but the result exists in full.
        """
        expected = {
            "shape": (1000, 1000),
            "input_bytes": 8000,
            "output_bytes": 4_000_000,
            "expansion": 500.0,
        }
        unlike = {
            "the inputs counted in the common shape": {"input_bytes": 8_000_000},
            "one input alone": {"input_bytes": 4000, "expansion": 1000.0},
            "elements counted, not bytes": {"output_bytes": 1_000_000},
            "input / output": {"expansion": 0.002},
        }
        check.close(
            kata.broadcast_cost((1000, 1), (1000,)), expected, rtol=1e-12, unlike=unlike
        )

    def test_three_shapes_in_float64(self, kata):
        """Every input counts, whether it is repeated or not. A number, of shape (), is
        one element.
        """
        expected = {
            "shape": (2, 3, 5),
            "input_bytes": 8 * 14,
            "output_bytes": 8 * 30,
            "expansion": 30 / 14,
        }
        unlike = {
            "four bytes per element, whatever the itemsize": {"output_bytes": 120}
        }
        got = kata.broadcast_cost((2, 1, 5), (3, 1), (), itemsize=8)
        check.close(got, expected, rtol=1e-12, unlike=unlike)

    def test_equal_shapes_are_not_expanded(self, kata):
        """Two inputs and a result of the same size: half as much out as in."""
        expected = {
            "shape": (4, 6),
            "input_bytes": 192,
            "output_bytes": 96,
            "expansion": 0.5,
        }
        check.close(kata.broadcast_cost((4, 6), (4, 6)), expected, rtol=1e-12)


class TestBestLinearFit:
    def test_a_line_through_three_points(self, kata):
        """The targets 1, 3, 5 at 0, 1, 2 lie on 2x + 1, so nothing is left over."""
        got = kata.best_linear_fit(
            np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
        )
        unlike = {"no bias: a line through the origin": np.array([2.6])}
        check.close(got["weight"], np.array([2.0]), unlike=unlike, what="weight")
        expected = {
            "weight": np.array([2.0]),
            "bias": 1.0,
            "predictions": np.array([1.0, 3.0, 5.0]),
            "mse": 0.0,
        }
        check.close(got, expected)

    def test_xor_gets_a_half_everywhere(self, kata):
        """The best line for XOR is flat: weights 0, bias 1/2, and an error of 1/4, no
        better than to say "a half" always. The targets are a column (4, 1): a row of
        predictions minus a column is a table.
        """
        got = kata.best_linear_fit(kata.XOR_X, kata.XOR_Y)
        unlike = {"no bias: a plane through the origin": np.full(2, 1 / 3)}
        check.close(got["weight"], np.zeros(2), unlike=unlike, what="weight")
        expected = {
            "weight": np.zeros(2),
            "bias": 0.5,
            "predictions": np.full(4, 0.5),
            "mse": 0.25,
        }
        check.close(
            got,
            expected,
            unlike={"the sum of the squares, not their mean": {"mse": 1.0}},
        )

    def test_and_can_be_separated(self, kata):
        """AND is 1 at (1, 1) alone. The best line predicts 3/4 there, and at most
        1/4 elsewhere.
        """
        got = kata.best_linear_fit(kata.XOR_X, np.array([0.0, 0.0, 0.0, 1.0]))
        predictions = np.array([-0.25, 0.25, 0.25, 0.75])
        expected = {
            "weight": np.full(2, 0.5),
            "bias": -0.25,
            "predictions": predictions,
            "mse": 0.0625,
        }
        check.close(
            got, expected, unlike={"the flat line of XOR": {"weight": np.zeros(2)}}
        )

    def test_random_points_in_float64(self, kata):
        """w solves the normal equations of the centred points, b moves the line to
        their means. The result is float64, also for float32 points.
        """
        rng = np.random.default_rng(0)
        X, y = (
            rng.normal(2, 1, (7, 3)).astype(np.float32),
            rng.normal(5, 2, (7, 1)).astype(np.float32),
        )
        points, targets = X.astype(np.float64), y.astype(np.float64).ravel()
        centred = points - points.mean(axis=0)
        weight = np.linalg.solve(centred.T @ centred, centred.T @ targets)
        bias = targets.mean() - points.mean(axis=0) @ weight
        predictions = points @ weight + bias
        mse = float(((predictions - targets) ** 2).mean())
        got = kata.best_linear_fit(X, y)
        check.close(
            got,
            {
                "weight": weight,
                "bias": float(bias),
                "predictions": predictions,
                "mse": mse,
            },
            unlike={
                "divided by n - 1": {"mse": mse * 7 / 6},
                "the sum of the squares, not their mean": {"mse": 7 * mse},
            },
        )
        for name in ("weight", "predictions"):
            check.that(
                got[name].dtype == np.float64,
                f"{name} is {got[name].dtype}, expected float64",
            )


@st.composite
def scores_of_a_line(draw):
    """w1, w2 and b in eighths, so that sums are exact and a score of 0 is not rare."""
    return tuple(draw(st.integers(-40, 40)) / 8 for _ in range(3))


class TestXorContradiction:
    def test_scores_by_hand(self, kata):
        """The score of (i, j) is w1·i + w2·j + b: w1 belongs to the
        first coordinate.
        """
        got = kata.xor_contradiction(3.0, 2.0, -1.0)
        expected = {(0, 0): -1.0, (0, 1): 1.0, (1, 0): 2.0, (1, 1): 4.0}
        unlike = {
            "w1 and w2 are exchanged": {
                (0, 0): -1.0,
                (0, 1): 2.0,
                (1, 0): 1.0,
                (1, 1): 4.0,
            },
            "without b": {(0, 0): 0.0, (0, 1): 2.0, (1, 0): 3.0, (1, 1): 5.0},
        }
        check.close(got["scores"], expected, unlike=unlike, what="scores")

    def test_the_two_sums(self, kata):
        """Both sums are w1 + w2 + 2b. A line that separates XOR would need a positive
        sum for the different pair and none for the same pair.
        """
        got = kata.xor_contradiction(3.0, 2.0, -1.0)
        sums = {name: got[name] for name in ("same_sum", "different_sum")}
        check.close(sums, {"same_sum": 3.0, "different_sum": 3.0})

    @pytest.mark.parametrize(
        ("line", "wrong"),
        [
            ((1.0, 1.0, -0.5), [(1, 1)]),
            ((-1.0, -1.0, 1.5), [(0, 0)]),
            ((1.0, -1.0, 0.0), [(0, 1)]),
        ],
        ids=["or", "nand", "first without second"],
    )
    def test_one_point_is_wrong(self, kata, line, wrong):
        """Three out of four is the best that a line can do. XOR says yes to (0, 1)
        and (1, 0).
        """
        w1, w2, b = line
        unlike = {
            "the points that are right": [
                point for point in POINTS if point not in wrong
            ],
            "a score of 0 taken for a yes": [
                (i, j) for i, j in POINTS if (w1 * i + w2 * j + b >= 0) != (i != j)
            ],
        }
        check.equal(
            kata.xor_contradiction(*line)["wrong"], wrong, unlike=unlike, what="wrong"
        )

    def test_a_score_of_zero_is_a_no(self, kata):
        """With all weights 0 no score is above 0, so the two points that should be yes
        are wrong.
        """
        unlike = {"a score of 0 taken for a yes": [(0, 0), (1, 1)]}
        check.equal(
            kata.xor_contradiction(0.0, 0.0, 0.0)["wrong"],
            [(0, 1), (1, 0)],
            unlike=unlike,
            what="wrong",
        )

    @given(line=scores_of_a_line())
    def test_every_line_fails_somewhere(self, kata, line):
        """For any w1, w2 and b the sums are equal, and the list of wrong points, in the
        order 00, 01, 10, 11, is not empty.
        """
        got, (w1, w2, b) = kata.xor_contradiction(*line), line
        wrong = [(i, j) for i, j in POINTS if (w1 * i + w2 * j > -b) == (i == j)]
        check.close(got["same_sum"], got["different_sum"], what="same_sum")
        check.equal(got["wrong"], wrong, what="wrong")


@st.composite
def two_layers(draw):
    """Whole numbers, so that results are exact, and sizes of 1 to 5."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    inputs, hidden, outputs = (draw(st.integers(1, 5)) for _ in range(3))
    shapes = (hidden, inputs), hidden, (outputs, hidden), outputs
    return [rng.integers(-4, 5, shape).astype(float) for shape in shapes]


class TestCollapseLinear:
    def test_two_lines(self, kata):
        """2x + 1, then 3 times that plus 5, is 6x + 8: the first bias goes through the
        second layer, too.
        """
        got = kata.collapse_linear(
            np.array([[2.0]]), np.array([1.0]), np.array([[3.0]]), np.array([5.0])
        )
        unlike = {
            "b1 + b2: b1 has to go through W2": (np.array([[6.0]]), np.array([6.0])),
            "b1 is dropped": (np.array([[6.0]]), np.array([5.0])),
            "b2 is dropped": (np.array([[6.0]]), np.array([3.0])),
        }
        check.close(got, (np.array([[6.0]]), np.array([8.0])), unlike=unlike)

    def test_the_order_of_the_matrices(self, kata):
        """x meets W1 first, so W1 stands next to x: on the right."""
        W1, W2 = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[2.0, 0.0], [0.0, 3.0]])
        W, _ = kata.collapse_linear(W1, np.zeros(2), W2, np.zeros(2))
        check.close(
            W,
            np.array([[2.0, 2.0], [0.0, 3.0]]),
            unlike={"W1 @ W2": np.array([[2.0, 3.0], [0.0, 3.0]])},
        )

    @given(layers=two_layers())
    def test_equals_two_layers_for_any_sizes(self, kata, layers):
        """(hidden, in) and (out, hidden) make (out, in), and every x gets the same
        output from one layer as from two.
        """
        W1, b1, W2, b2 = layers
        W, b = kata.collapse_linear(*layers)
        check.close(b, np.array([row @ b1 for row in W2]) + b2, what="b")
        for x in np.eye(W1.shape[1]):
            check.close(
                W @ x + b, W2 @ (W1 @ x + b1) + b2, what=f"the output for x = {x}"
            )


class TestXorByHand:
    def test_shapes_and_dtype(self, kata):
        """Module 04 loads these arrays into its layers: H hidden units with two inputs
        each, then one output.
        """
        arrays = kata.xor_by_hand()
        hidden = len(arrays[0])
        check.that(
            2 <= hidden <= 4, f"there are {hidden} hidden units, expected 2 to 4"
        )
        for name, array, shape in zip(
            ("W1", "b1", "W2", "b2"),
            arrays,
            ((hidden, 2), (hidden,), (1, hidden), (1,)),
        ):
            check.that(
                isinstance(array, np.ndarray), f"{name} is {array!r}, expected an array"
            )
            check.that(
                array.shape == shape,
                f"{name} has shape {array.shape}, expected {shape}",
            )
            check.that(
                array.dtype == np.float32, f"{name} is {array.dtype}, expected float32"
            )

    def test_the_network_is_exactly_xor(self, kata):
        """Linear, relu, linear: 0 at (0, 0) and (1, 1), 1 at (0, 1) and (1, 0). Small
        whole weights are exact.
        """
        W1, b1, W2, b2 = kata.xor_by_hand()
        got = np.array([W2 @ np.maximum(W1 @ x + b1, 0) + b2 for x in kata.XOR_X])
        unlike = {
            "or": np.array([[0], [1], [1], [1]]),
            "and": np.array([[0], [0], [0], [1]]),
            "the sum of the inputs": np.array([[0], [1], [1], [2]]),
            "XOR upside down": np.array([[1], [0], [0], [1]]),
        }
        check.close(
            got,
            np.array([[0], [1], [1], [0]]),
            rtol=0,
            atol=0,
            unlike=unlike,
            what="outputs for 00, 01, 10, 11",
        )


@pytest.mark.stretch
class TestPredictActivationBytes:
    def test_one_output(self, kata):
        """Elements times bytes per element."""
        unlike = {
            "elements, not bytes": 50,
            "sizes added, not multiplied": 60,
            "the input counted as an output": 400,
        }
        check.close(kata.predict_activation_bytes((10, 5)), 200, rtol=0, unlike=unlike)

    def test_every_layer_and_the_itemsize(self, kata):
        """Each layer keeps its own output: the gradient needs all of them."""
        got = kata.predict_activation_bytes((3, 7, 5), 8, hidden_layers=4)
        unlike = {"one layer alone": 840, "float32, whatever the itemsize": 1680}
        check.close(got, 3360, rtol=0, unlike=unlike)

    def test_a_kept_chain_of_relus(self, kata):
        """Six relus in a row, every result kept: the memory that is still in use
        afterwards is the prediction.
        """
        from tinytorch.setup import profile_memory

        def chain(x):
            outputs = [kata.relu(x)]
            while len(outputs) < 6:
                outputs.append(kata.relu(outputs[-1]))
            return outputs

        measured = profile_memory(chain, tensor(np.ones((80, 100)))).retained_bytes
        said = kata.predict_activation_bytes((80, 100), 4, hidden_layers=6)
        check.that(
            abs(measured - said) <= 0.2 * said + 8192,
            f"{said} bytes are predicted, {measured} are measured",
        )


@pytest.mark.stretch
class TestBroadcastScaling:
    def test_the_square_of_n(self, kata):
        """Twice the n is four times the memory: the result of a column plus a row has
        n² elements.
        """
        got = kata.broadcast_scaling([400, 700, 1000])
        check.equal(list(got["sizes"]), [400, 700, 1000], what="sizes")
        exponent = got["exponent"]
        hint = ": a row plus a row has n elements" if exponent < 1.5 else ""
        check.that(
            abs(exponent - 2) <= 0.25,
            f"the exponent is {exponent:.2f}, expected about 2{hint}",
        )

    def test_bytes_of_the_result(self, kata):
        """The peak is the result, n · n elements of four bytes, and NumPy's own buffer
        of 64 KiB.
        """
        measured = kata.broadcast_scaling([600, 800])["values"]
        for n, value in zip((600, 800), measured):
            said = 4 * n * n
            slip = "float64 numbers" if abs(value - 2 * said) <= 0.2 * said else ""
            check.that(
                abs(value - said) <= 0.2 * said + 8192,
                f"n = {n}: {value} bytes, expected about {said}",
                like=slip,
            )
