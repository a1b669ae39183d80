"""Specs of kata tinytorch/01: the environment, random generators, memory, time,
scaling, and a test runner.
"""

import importlib.metadata
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

MEGABYTE = 1_000_000  # bytes: 125,000 float64 numbers


@pytest.fixture(autouse=True)
def tracing_off():
    """Every spec starts without tracing, whatever the one before it left on."""
    tracemalloc.stop()
    yield
    tracemalloc.stop()


def megabytes(count):
    """A new array of this many megabytes."""
    return np.ones(int(count * MEGABYTE) // 8)


def between(value, low, high, what, *, below="", above=""):
    """`below` and `above` name the likely slip where the number is on that side of
    the range.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    slip = number and (below if value < low else above)
    expected = f"expected {low:,} to {high:,}" + (f": {slip}" if slip else "")
    check.that(
        number and low <= value <= high,
        f"{what} is {check.describe(value)}, {expected}",
    )


def raising(error):
    """A function that raises this error."""

    def fn():
        raise error

    return fn


class Clock:
    """A timer for `time_call`, and a function whose calls take the given seconds
    on it.
    """

    def __init__(self, *durations):
        self.now, self.calls, self.durations = 1000.0, 0, durations

    def __repr__(self):
        return f"Clock{self.durations}"

    def timer(self):
        return self.now

    def fn(self):
        self.calls += 1
        expected = len(self.durations)
        check.that(
            self.calls <= expected,
            f"fn was called more than warmup + repeats = {expected} times",
        )
        self.now += self.durations[self.calls - 1]


@st.composite
def releases(draw):
    """Numbers that do not end in 0, some zeros, and a suffix that is no part of
    the release.
    """
    numbers = draw(st.lists(st.integers(0, 30), max_size=2)) + [
        draw(st.integers(1, 30))
    ]
    return (
        numbers,
        draw(st.integers(0, 2)),
        draw(st.sampled_from(["", "rc1", "+cpu", ".dev7", ".post2", "a3.4"])),
    )


@st.composite
def power_laws(draw):
    """k and c of values = c · sizesᵏ, and the sizes."""
    sizes = draw(st.lists(st.integers(1, 5000), min_size=2, max_size=5, unique=True))
    return (
        draw(st.integers(-4, 12)) / 4,
        draw(st.sampled_from([0.001, 1.0, 3.0, 5e6])),
        sizes,
    )


@pytest.mark.stretch
class TestInVirtualenv:
    def test_true_where_the_folders_differ(self, kata):
        """In a virtual environment packages go to a folder of its own, and
        `base_prefix` still is the Python that it was made from.
        """
        got = [
            kata.in_virtualenv(prefix, "/usr") for prefix in ("/home/me/.venv", "/usr")
        ]
        told = (
            f"in_virtualenv of /home/me/.venv and of /usr are {got}, expected [True, "
            "False]"
        )
        exchanged = (
            "equal folders taken for a virtual environment"
            if got == [False, True]
            else ""
        )
        check.that(
            all(
                answer is right
                for answer, right in zip(got, (True, False), strict=True)
            ),
            told,
            like=exchanged,
        )

    def test_none_is_the_running_python(self, kata, monkeypatch):
        """Without arguments the question is about the Python that runs now:
        `sys.prefix` and `sys.base_prefix`. Each argument may be left out alone.
        """
        monkeypatch.setattr(sys, "prefix", "/opt/here")
        monkeypatch.setattr(sys, "base_prefix", "/opt/base")
        check.equal(
            kata.in_virtualenv(),
            True,
            what="in_virtualenv() with /opt/here made from /opt/base",
        )
        check.equal(
            kata.in_virtualenv(prefix="/opt/base"),
            False,
            what="in_virtualenv(prefix='/opt/base')",
        )
        check.equal(
            kata.in_virtualenv(base_prefix="/opt/here"),
            False,
            what="in_virtualenv(base_prefix='/opt/here')",
        )


@pytest.mark.stretch
class TestParseVersion:
    def test_numbers_between_dots(self, kata):
        """Each part between dots is a number of its own, a Python int: "1.26.4"
        is (1, 26, 4).
        """
        unlike = {
            "parts left as text": ("1", "26", "4"),
            "digits, not numbers": (1, 2, 6, 4),
            "a list": [1, 26, 4],
        }
        check.equal(kata.parse_version("1.26.4"), (1, 26, 4), unlike=unlike)

    def test_zeros_at_the_end_are_dropped(self, kata):
        """2.0 and 2 are one version, but (2, 0) > (2,). A zero in the middle counts:
        1.0.3 is not 1.3.
        """
        check.equal(
            kata.parse_version("2.0.0"),
            (2,),
            unlike={"zeros at the end are kept": (2, 0, 0)},
        )
        check.equal(
            kata.parse_version("1.0.3"),
            (1, 0, 3),
            unlike={"zeros in the middle are dropped": (1, 3)},
        )
        check.equal(
            kata.parse_version("1.20"),
            (1, 20),
            unlike={"the 0 of 20 is dropped": (1, 2)},
        )

    def test_what_follows_the_release_is_left_out(self, kata):
        """ "rc1" and "+cpu" say what kind of build this is. Their digits are no part of
        the release.
        """
        check.equal(kata.parse_version("2.13.0+cpu"), (2, 13))
        check.equal(
            kata.parse_version("1.26.0rc1"),
            (1, 26),
            unlike={"the 1 of rc1 is read as well": (1, 26, 0, 1)},
        )
        check.equal(
            kata.parse_version("2.0.1.dev7"),
            (2, 0, 1),
            unlike={"the 7 of dev7 is read too": (2, 0, 1, 7)},
        )

    def test_versions_compare_by_number(self, kata):
        """Text compares digit by digit and puts "1.10" before "1.9"."""
        older, newer = kata.parse_version("1.9"), kata.parse_version("1.10")
        check.that(
            older < newer,
            f"1.9 became {older} and 1.10 became {newer}, which does not compare as "
            "older",
        )

    @given(case=releases())
    def test_any_release(self, kata, case):
        """The numbers of the release come back, whatever zeros and suffix
        follow them.
        """
        numbers, zeros, suffix = case
        text = ".".join(map(str, numbers + [0] * zeros)) + suffix
        check.equal(
            kata.parse_version(text), tuple(numbers), what=f"parse_version({text!r})"
        )

    @pytest.mark.edge
    def test_zero_stays(self, kata):
        """A version is never empty: "0" and "0.0" are (0,)."""
        check.equal(kata.parse_version("0"), (0,))
        check.equal(kata.parse_version("0.0"), (0,))

    @pytest.mark.edge
    @pytest.mark.parametrize("text", ["latest", "v1.2"])
    def test_a_text_without_a_number_is_refused(self, kata, text):
        """The message names the text, so that its reader can find it in a file
        of requirements.
        """
        with check.raises(ValueError, text):
            kata.parse_version(text)


@pytest.mark.stretch
class TestCheckEnvironment:
    def test_all_is_well(self, kata):
        """Seven keys. A version equal to the minimum is new enough, and None asks for
        any version. "2.0" satisfies "2", and "2.13.0+cpu" satisfies "2.13".
        """
        installed = {
            "alpha": "2.0",
            "beta": "2.13.0+cpu",
            "gamma": "0.1",
            "unasked": "1.0",
        }
        report = kata.check_environment(
            {"alpha": "2", "beta": "2.13", "gamma": None}, installed=installed
        )
        expected = {
            "python": ".".join(map(str, sys.version_info[:3])),
            "python_ok": True,
            "in_virtualenv": sys.prefix != sys.base_prefix,
            "versions": {"alpha": "2.0", "beta": "2.13.0+cpu", "gamma": "0.1"},
            "missing": [],
            "outdated": [],
            "ok": True,
        }
        check.equal(report, expected)

    def test_a_missing_package_is_reported(self, kata):
        """A missing package is a finding, not an error. There is no version to compare,
        so that it is not outdated as well.
        """
        report = kata.check_environment(
            {"beta": "1.0", "alpha": None}, installed={"gamma": "3.0"}
        )
        check.equal(
            report["missing"],
            ["beta", "alpha"],
            what="missing",
            unlike={"sorted": ["alpha", "beta"]},
        )
        check.equal(report["outdated"], [], what="outdated")
        check.equal(report["versions"], {"beta": None, "alpha": None}, what="versions")
        check.equal(report["ok"], False, what="ok")

    def test_an_outdated_package_is_reported(self, kata):
        """Versions compare by number, part by part: 1.9 is older than 1.10, and 2.0 is
        newer than 1.10.
        """
        installed = {"delta": "1.9", "gamma": "2.0", "beta": "1.10", "alpha": "1.2.9"}
        report = kata.check_environment(
            dict.fromkeys(installed, "1.10"), installed=installed
        )
        unlike = {"versions compared as text": [], "sorted": ["alpha", "delta"]}
        check.equal(
            report["outdated"], ["delta", "alpha"], what="outdated", unlike=unlike
        )
        check.equal(report["missing"], [], what="missing")
        check.equal(report["ok"], False, what="ok")

    def test_packages_are_looked_up_by_the_name_that_pip_knows(self, kata):
        """`importlib.metadata` knows what is installed, by its name there. The package
        "pillow" is imported as PIL: whoever imports to find a version does not find it.
        An unknown name is missing, not an error.
        """
        report = kata.check_environment(
            {"pillow": "1.0", "numpy": None, "no-such-package-here": None}
        )
        expected = {
            "pillow": importlib.metadata.version("pillow"),
            "numpy": np.__version__,
            "no-such-package-here": None,
        }
        unlike = {
            "pillow was imported by that name, not looked up": expected
            | {"pillow": None}
        }
        check.equal(report["versions"], expected, what="versions", unlike=unlike)
        check.equal(report["missing"], ["no-such-package-here"], what="missing")

    def test_python_is_compared_as_a_whole(self, kata):
        """The running Python against min_python, first the major version, then the
        minor. Minor numbers alone would put 2.99 after 3.12.
        """
        major, minor = sys.version_info[:2]
        cases = {
            (major, minor): True,
            (major - 1, minor + 50): True,
            (major, minor + 1): False,
            (major + 1, 0): False,
        }
        for minimum, enough in cases.items():
            report = kata.check_environment({}, min_python=minimum)
            unlike = (
                {"the minor version alone compared": minor >= minimum[1]}
                if (minor >= minimum[1]) != enough
                else {}
            )
            check.equal(
                report["python_ok"],
                enough,
                unlike=unlike,
                what=f"python_ok with min_python={minimum}",
            )
            check.equal(report["ok"], enough, what=f"ok with min_python={minimum}")

    def test_ok_does_not_ask_for_a_virtual_environment(self, kata, monkeypatch):
        """A virtual environment is good custom, but packages work without one."""
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        report = kata.check_environment({"alpha": None}, installed={"alpha": "1.0"})
        check.equal(report["ok"], True, what="ok outside of a virtual environment")

    @pytest.mark.edge
    def test_an_empty_installation_has_no_packages(self, kata):
        """An empty dict counts as false in Python, but it is an answer: nothing
        is installed.
        """
        report = kata.check_environment({"numpy": None}, installed={})
        check.equal(
            report["missing"],
            ["numpy"],
            what="missing",
            unlike={"an empty `installed` is ignored": []},
        )


class TestManualSeed:
    def test_equal_seeds_draw_equal_numbers(self, kata):
        """A seed makes an experiment repeatable: the same seed starts the same numbers
        again, another seed others.
        """
        first, again, other = (kata.manual_seed(seed).random(5) for seed in (7, 7, 8))
        check.equal(again, first, what="numbers after the second manual_seed(7)")
        check.that(
            not np.array_equal(other, first),
            "manual_seed(8) draws the numbers of manual_seed(7)",
        )

    def test_the_new_generator_is_the_global_one(self, kata):
        """Functions of the framework draw from `get_rng()`. Seeding must reach them, so
        both are one object.
        """
        generator = kata.manual_seed(7)
        found = kata.get_rng()
        twins = found is not generator and np.array_equal(
            found.random(3), generator.random(3)
        )
        like = (
            "two generators of one seed: one is kept, another returned" if twins else ""
        )
        check.that(
            found is generator,
            "get_rng() gives another one than manual_seed: is `global` missing?",
            like=like,
        )
        later = kata.manual_seed(8)
        check.that(
            kata.get_rng() is later,
            "after a second manual_seed, get_rng() does not return the new generator",
        )

    def test_each_call_makes_a_generator_of_its_own(self, kata):
        """An earlier generator goes on where it was: a new seed does not turn
        it back.
        """
        earlier = kata.manual_seed(7)
        drawn = earlier.random(4)
        kata.manual_seed(7)
        check.that(
            not np.array_equal(earlier.random(4), drawn),
            "the second manual_seed restarted the first generator",
        )

    @pytest.mark.edge
    def test_numpys_own_state_is_untouched(self, kata):
        """`np.random.seed` would change the numbers of every other library in
        the program.
        """
        np.random.seed(3)
        expected = np.random.rand(4)
        np.random.seed(3)
        kata.manual_seed(7)
        unlike = {"np.random was seeded as well": np.random.RandomState(7).rand(4)}
        check.equal(
            np.random.rand(4),
            expected,
            what="np.random.rand after manual_seed",
            unlike=unlike,
        )


class TestGetRng:
    def test_the_callers_generator_comes_back(self, kata):
        """A given generator is used as it is. A copy would draw the same numbers again
        at every call.
        """
        own = np.random.default_rng(3)
        check.that(kata.get_rng(own) is own, "get_rng(own) is not `own` itself")

    def test_the_global_generator_continues(self, kata):
        """Without an argument it is one object, whose draws go on. A fresh generator
        with a fixed seed would give every layer the same random weights.
        """
        first, second = kata.get_rng().random(5), kata.get_rng().random(5)
        again = np.array_equal(first, second)
        check.that(
            not again,
            "get_rng() twice draws the same numbers twice",
            like="a copy, or seeded anew, at each call",
        )
        same = kata.get_rng() is kata.get_rng(None)
        check.that(
            same,
            "get_rng() twice gives two generators",
            like="a new generator at each call",
        )

    def test_the_callers_generator_does_not_become_global(self, kata):
        """One call with a generator of its own must not change what all others
        draw from.
        """
        before, own = kata.get_rng(), np.random.default_rng(3)
        kata.get_rng(own)
        check.that(
            kata.get_rng() is not own,
            "the generator given to one call became the global one",
        )
        check.that(
            kata.get_rng() is before,
            "get_rng() before get_rng(own) and after it are two generators",
        )


class TestProfileMemory:
    def test_hands_on_arguments_and_the_result(self, kata):
        """`fn` is called once with all its arguments, and its result is the first of
        three values.
        """
        calls = []

        def join(*words, end):
            calls.append(words)
            return " ".join(words) + end

        profile = kata.profile_memory(join, "one", "two", end="!")
        check.that(
            isinstance(profile, kata.MemoryProfile),
            f"expected a MemoryProfile, got {check.describe(profile)}",
        )
        check.equal(profile.result, "one two!", what="result")
        check.equal(
            len(calls),
            1,
            unlike={"called once more for its result": 2},
            what="number of calls",
        )

    def test_the_peak_sees_what_is_freed_again(self, kata):
        """4 MB exist during the call, then only their sum is left. Memory after the
        call says nothing about that.
        """
        profile = kata.profile_memory(lambda: megabytes(4).sum())
        between(
            profile.peak_bytes,
            4_000_000,
            4_100_000,
            "peak_bytes with 4 MB on the way",
            below="is it the memory after the call?",
        )
        between(
            profile.retained_bytes, 0, 100_000, "retained_bytes with only a number left"
        )

    def test_the_peak_is_the_most_at_once(self, kata):
        """Arrays that follow each other do not add up: each is freed before the next
        one comes.
        """
        profile = kata.profile_memory(
            lambda: [megabytes(count).sum() for count in (1, 3, 2)]
        )
        between(
            profile.peak_bytes,
            3_000_000,
            3_100_000,
            "peak_bytes with 1, 3 and 2 MB one after the other",
            below="is it the memory after the call?",
            above="are arrays added up that follow each other?",
        )

    def test_retained_counts_the_result(self, kata):
        """Memory that the result keeps alive is retained, so the result has to be alive
        when memory is read.
        """
        profile = kata.profile_memory(lambda: megabytes(3)[::3].copy())
        slip = "was the result freed before memory was read?"
        between(
            profile.retained_bytes,
            1_000_000,
            1_100_000,
            "retained_bytes with a result of 1 MB",
            below=slip,
        )
        between(
            profile.peak_bytes,
            4_000_000,
            4_100_000,
            "peak_bytes with 3 MB and their 1 MB copy at once",
        )

    def test_what_existed_before_the_call_does_not_count(self, kata):
        """Both numbers count from the start of the call: 5 MB before, freed or not, are
        not its own.
        """
        kept = megabytes(5)
        kata.profile_memory(lambda: megabytes(5).sum())
        profile = kata.profile_memory(lambda: kept[: MEGABYTE // 8].copy())
        between(profile.peak_bytes, 1_000_000, 1_100_000, "peak_bytes of a 1 MB copy")
        between(
            profile.retained_bytes,
            1_000_000,
            1_100_000,
            "retained_bytes of a 1 MB copy",
        )

    @pytest.mark.edge
    def test_counts_from_its_start_where_tracing_is_on(self, kata):
        """Tracing may be on already, with 2 MB alive and an earlier peak of 7 MB
        on record.
        """
        tracemalloc.start()
        kept = megabytes(2)
        megabytes(5)
        profile = kata.profile_memory(lambda: kept[: MEGABYTE // 8].copy())
        slip = "is the peak of 7 MB before the call still on record?"
        between(
            profile.peak_bytes,
            1_000_000,
            1_100_000,
            "peak_bytes of a 1 MB copy",
            above=slip,
        )
        between(
            profile.retained_bytes,
            1_000_000,
            1_100_000,
            "retained_bytes of a 1 MB copy",
        )

    @pytest.mark.edge
    def test_never_below_zero(self, kata):
        """A call that frees more than it allocates retains nothing."""
        tracemalloc.start()
        box = [megabytes(2)]
        profile = kata.profile_memory(box.clear)
        between(
            profile.retained_bytes,
            0,
            100_000,
            "retained_bytes of a call that frees 2 MB",
        )
        between(profile.peak_bytes, 0, 100_000, "peak_bytes of a call that frees 2 MB")

    @pytest.mark.edge
    @pytest.mark.parametrize("tracing", [False, True], ids=["off", "on"])
    def test_tracing_is_left_as_it_was(self, kata, tracing):
        """Tracing slows down every allocation, so it is off again afterwards; but who
        had it on still needs it.
        """
        if tracing:
            tracemalloc.start()
        kata.profile_memory(lambda: 1)
        check.equal(tracemalloc.is_tracing(), tracing, what="tracing after the call")

    @pytest.mark.edge
    @pytest.mark.parametrize("tracing", [False, True], ids=["off", "on"])
    def test_an_exception_passes_through(self, kata, tracing):
        """`fn` may raise: its exception reaches the caller, and tracing is as it
        was before.
        """
        if tracing:
            tracemalloc.start()
        error = ZeroDivisionError("from fn")
        try:
            kata.profile_memory(raising(error))
        except ZeroDivisionError as caught:
            check.that(caught is error, f"another exception came out: {caught!r}")
        else:
            check.that(False, "the exception of fn was swallowed")
        check.equal(
            tracemalloc.is_tracing(), tracing, what="tracing after the exception"
        )


class TestTimeCall:
    def test_the_smallest_timing(self, kata):
        """Other programs can only slow a call down, so the smallest timing is closest
        to the truth. A mean moves with each disturbance. The time comes from `timer`,
        here a clock on which the calls take 6, 3 and 4 seconds.
        """
        clock = Clock(6.0, 3.0, 4.0)
        got = kata.time_call(clock.fn, repeats=3, warmup=0, timer=clock.timer)
        check.that(
            abs(got) > 0.5,
            f"got {got:.3g} seconds on a clock that goes by whole ones: is `timer` "
            "looked at?",
        )
        unlike = {
            "the mean": 13 / 3,
            "the total": 13.0,
            "the largest": 6.0,
            "the last": 4.0,
        }
        check.close(got, 3.0, unlike=unlike, what="calls of 6, 3 and 4 seconds")

    def test_warm_up_calls_are_not_timed(self, kata):
        """The first calls fill caches and import modules, so they are run and
        forgotten, fast or slow.
        """
        clock = Clock(1.0, 2.0, 5.0, 4.0)
        got = kata.time_call(clock.fn, repeats=2, warmup=2, timer=clock.timer)
        check.close(
            got, 4.0, unlike={"a warm-up call": 1.0, "the call before the last": 5.0}
        )

    def test_calls_fn_warmup_and_repeats_times(self, kata):
        """As often as asked for, each time with the arguments; by default once to warm
        up and five times timed.
        """
        calls = []
        for options, expected in (
            ({"repeats": 3, "warmup": 2}, 5),
            ({}, 6),
            ({"warmup": 0, "repeats": 1}, 1),
        ):
            calls.clear()
            kata.time_call(
                lambda a, b: calls.append((a, b)), "left", "right", **options
            )
            check.equal(
                calls, [("left", "right")] * expected, what=f"the calls with {options}"
            )

    def test_measures_real_seconds_by_default(self, kata):
        """The default timer is a clock that counts in seconds and only ever
        goes forward.
        """
        between(
            kata.time_call(sum, range(1000)), 1e-9, 1, "the seconds of sum(range(1000))"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("repeats", [0, -2])
    def test_no_repeats_is_refused(self, kata, repeats):
        """There is no smallest of no timings. The message mentions `repeats`, the
        argument to mend.
        """
        with check.raises(ValueError, "repeats"):
            kata.time_call(lambda: None, repeats=repeats)


class TestScalingExponent:
    def test_twice_the_size_four_times_the_value(self, kata):
        """Values that grow with n² have the exponent 2. In logarithms, a power is a
        slope: log n² = 2 · log n.
        """
        got = kata.scaling_exponent([10, 20, 40], [300, 1200, 4800])
        unlike = {
            "a slope without logarithms": float(
                np.polyfit([10, 20, 40], [300, 1200, 4800], 1)[0]
            ),
            "sizes and values exchanged": 0.5,
            "the intercept, log 3, not the slope": float(np.log(3)),
            "only the sizes in logarithms": float(
                np.polyfit(np.log([10, 20, 40]), [300, 1200, 4800], 1)[0]
            ),
            "only the values in logarithms": float(
                np.polyfit([10, 20, 40], np.log([300, 1200, 4800]), 1)[0]
            ),
        }
        check.close(got, 2.0, unlike=unlike, what="exponent of 3 · n²")

    def test_all_points_count(self, kata):
        """Measurements scatter. The least-squares line uses all of them, not the first
        and the last alone.
        """
        sizes, values = [2, 5, 11, 40], [3.0, 30.0, 55.0, 700.0]
        x, y = np.log(sizes), np.log(values)
        x, y = x - x.mean(), y - y.mean()
        unlike = {
            "the line through the first and the last point": float(
                (y[-1] - y[0]) / (x[-1] - x[0])
            ),
            "the mean of the slopes between neighbours": float(
                np.mean(np.diff(y) / np.diff(x))
            ),
            "a line through the origin": float(
                (np.log(sizes) @ np.log(values)) / (np.log(sizes) @ np.log(sizes))
            ),
        }
        check.close(
            kata.scaling_exponent(sizes, values),
            float((x * y).sum() / (x * x).sum()),
            unlike=unlike,
        )

    @given(case=power_laws())
    def test_a_constant_factor_does_not_matter(self, kata, case):
        """c · nᵏ has the exponent k for any c: in logarithms a factor moves the line
        up, but does not turn it.
        """
        k, c, sizes = case
        values = [c * n**k for n in sizes]
        check.close(
            kata.scaling_exponent(sizes, values),
            k,
            rtol=1e-4,
            atol=1e-4,
            what=f"exponent of {c} · n^{k}",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("sizes", "values"),
        [
            ([1, 2, 3], [1.0, 2.0]),
            ([5], [1.0]),
            ([5, 5], [1.0, 2.0]),
            ([1, 2], [0.0, 3.0]),
            ([1, 2], [3.0, -1.0]),
        ],
        ids=[
            "unequal lengths",
            "one size",
            "one size twice",
            "a value of 0",
            "a negative value",
        ],
    )
    def test_what_has_no_line_is_refused(self, kata, sizes, values):
        """A line needs two different sizes and one value per size. Zero and negative
        numbers have no logarithm.
        """
        with check.raises(ValueError):
            kata.scaling_exponent(sizes, values)


class TestMeasureScaling:
    def test_peak_bytes_by_default(self, kata):
        """n float64 numbers take 8 · n bytes, so the exponent is 1. The report lists
        sizes, values and exponent.
        """
        report = kata.measure_scaling(
            lambda n: lambda: np.ones(n).sum(), (20_000, 40_000, 80_000)
        )
        check.equal(sorted(report), ["exponent", "sizes", "values"], what="keys")
        check.equal(report["sizes"], [20_000, 40_000, 80_000], what="sizes")
        check.equal(len(report["values"]), 3, what="number of values")
        for n, value in zip(report["sizes"], report["values"], strict=True):
            between(
                value,
                8 * n,
                9 * n,
                f"peak bytes of {n} numbers",
                below="is what build(n) returns called?",
            )
        between(report["exponent"], 0.95, 1.05, "exponent")

    def test_the_preparation_is_not_measured(self, kata):
        """build(n) makes n × n numbers, but the function that it returns only n. Only
        the latter is asked about.
        """

        def build(n):
            square = np.ones((n, n))
            return lambda: 2 * square[0]

        report = kata.measure_scaling(build, [250, 500])
        for n, value in zip((250, 500), report["values"], strict=True):
            what = f"peak bytes of twice a row of {n}, the table made before"
            between(
                value, 8 * n, 8 * n + 10_000, what, above="is build(n) itself measured?"
            )

    def test_retained_bytes(self, kata):
        """With kind="retained_bytes" only what the result keeps alive counts: here one
        in ten numbers.
        """
        report = kata.measure_scaling(
            lambda n: lambda: np.ones((n, n))[: n // 10].copy(),
            [200, 300, 400],
            kind="retained_bytes",
        )
        for n, value in zip((200, 300, 400), report["values"], strict=True):
            what, low = (
                f"retained bytes of a tenth of {n} × {n} numbers",
                8 * n * n // 10,
            )
            between(value, low, low + 10_000, what, above="is it the peak?")
        between(
            report["exponent"],
            1.85,
            2.1,
            "exponent",
            below="are sizes and values exchanged?",
        )

    def test_seconds(self, kata):
        """With kind="seconds" the values are times. The exponent is that of exactly
        these sizes and values.
        """
        report = kata.measure_scaling(
            lambda n: lambda: sum(range(n)), [100, 1000, 5000], kind="seconds"
        )
        for n, value in zip((100, 1000, 5000), report["values"], strict=True):
            between(value, 1e-9, 1, f"seconds of sum(range({n}))")
        expected = np.polyfit(np.log([100, 1000, 5000]), np.log(report["values"]), 1)[0]
        exchanged = np.polyfit(np.log(report["values"]), np.log([100, 1000, 5000]), 1)[
            0
        ]
        unlike = {"sizes and values exchanged": float(exchanged)}
        check.close(report["exponent"], float(expected), what="exponent", unlike=unlike)

    @pytest.mark.edge
    @pytest.mark.parametrize("kind", ["minutes", "result"])
    def test_another_kind_is_refused(self, kata, kind):
        """The message names the kind, so that a misspelt one is seen."""
        with check.raises(ValueError, kind):
            kata.measure_scaling(lambda n: lambda: n, [1, 2], kind=kind)


@pytest.mark.stretch
class TestRunTests:
    def test_passing_tests_are_listed_in_order(self, kata):
        """A test passes if it raises nothing. The names are in the order of
        the namespace.
        """
        namespace = {"test_second": lambda: None, "test_first": lambda: False}
        report = kata.run_tests(namespace)
        check.that(
            isinstance(report, kata.TestReport),
            f"expected a TestReport, got {check.describe(report)}",
        )
        check.equal(
            report.passed,
            ["test_second", "test_first"],
            what="passed",
            unlike={"sorted": sorted(namespace)},
        )
        check.equal(report.failed, {}, what="failed")
        check.equal(report.ok, True, what="ok")

    def test_goes_on_after_a_failure(self, kata):
        """The first failure does not hide the second. Each has its kind and its
        message; what was not raised by `assert` is a failure, too.
        """
        namespace = {
            "test_a": raising(AssertionError("2 is not 3")),
            "test_b": lambda: None,
            "test_c": raising(ZeroDivisionError("division by zero")),
        }
        report = kata.run_tests(namespace)
        expected = {
            "test_a": "AssertionError: 2 is not 3",
            "test_c": "ZeroDivisionError: division by zero",
        }
        unlike = {
            "messages without the name of the error": {
                "test_a": "2 is not 3",
                "test_c": "division by zero",
            },
            "errors instead of texts": {"test_a": "AssertionError('2 is not 3')"},
        }
        check.equal(report.failed, expected, what="failed", unlike=unlike)
        check.equal(report.passed, ["test_b"], what="passed")
        check.equal(report.ok, False, what="ok")

    def test_helpers_and_data_are_skipped(self, kata):
        """Only what is named test_… and can be called is a test. A namespace such as
        `globals()` holds much else.
        """
        calls = []
        namespace = {
            "helper": lambda: calls.append("helper"),
            "my_test_x": lambda: calls.append("my_test_x"),
            "testing": lambda: calls.append("testing"),
            "test_data": [1, 2],
            "test_it": lambda: calls.append("test_it"),
        }
        report = kata.run_tests(namespace)
        check.equal(calls, ["test_it"], what="the functions that were called")
        check.equal(report.passed, ["test_it"], what="passed")
        check.equal(report.failed, {}, what="failed")

    @pytest.mark.edge
    def test_nothing_to_run_is_ok(self, kata):
        """Nothing failed, so the report is ok."""
        check.equal(tuple(kata.run_tests({})), ([], {}, True))

    @pytest.mark.edge
    @pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
    def test_signals_end_the_run(self, kata, signal):
        """KeyboardInterrupt and SystemExit are no failed test: somebody wants the
        program to end.
        """
        try:
            kata.run_tests({"test_a": raising(signal())})
        except (KeyboardInterrupt, SystemExit):
            return
        check.that(False, f"{signal.__name__} was caught")
