"""Wrong solutions of tinytorch/01 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

LOOKUP = (
    "        return importlib.metadata.version(name)\n"
    "    except importlib.metadata.PackageNotFoundError:"
)
MISSING = "            missing.append(name)\n        elif minimum is not None and"
SEED = "    _global_rng = np.random.default_rng(seed)\n    return _global_rng"
MEASURED = """        result = fn(*args, **kwargs)
        after, peak = tracemalloc.get_traced_memory()
"""
STOP = """    finally:
        if not was_tracing:
            tracemalloc.stop()
"""

MISTAKES = [
    # parse_version
    Mistake(
        "zeros at the end kept",
        was="    while len(numbers) > 1 and numbers[-1] == 0:\n        numbers.pop()\n",
        now="",
        caught_by="test_zeros_at_the_end_are_dropped",
        says="looks like zeros at the end are kept",
    ),
    Mistake(
        "every number in the text",
        was='[int(part) for part in release[0].split(".")]',
        now=r'[int(part) for part in re.findall(r"\d+", version)]',
        caught_by="test_what_follows_the_release_is_left_out",
        says="looks like the 1 of rc1 is read as well",
    ),
    # check_environment
    Mistake(
        "versions compared as text",
        was="parse_version(version) < parse_version(minimum)",
        now="version < minimum",
        caught_by="test_an_outdated_package_is_reported",
        says="looks like versions compared as text",
    ),
    Mistake(
        "the package is imported for its version",
        was=LOOKUP,
        now=(
            '        return __import__("importlib").import_module(name).__version__\n'
            "    except ImportError:"
        ),
        caught_by="test_packages_are_looked_up_by_the_name_that_pip_knows",
        says="looks like pillow was imported by that name, not looked up",
    ),
    Mistake(
        "the error for an unknown package escapes",
        was="    except importlib.metadata.PackageNotFoundError:",
        now="    except KeyError:",
        caught_by="test_packages_are_looked_up_by_the_name_that_pip_knows",
        says=(
            "PackageNotFoundError: No package metadata was found for "
            "no-such-package-here"
        ),
    ),
    Mistake(
        "a missing package is compared as well",
        was=MISSING,
        now="            missing.append(name)\n        if minimum is not None and",
        caught_by="test_a_missing_package_is_reported",
        says="raised TypeError: expected string or bytes-like object, got 'NoneType'",
    ),
    Mistake(
        "only the minor version of Python",
        was="sys.version_info >= tuple(min_python)",
        now="sys.version_info[1] >= min_python[1]",
        caught_by="test_python_is_compared_as_a_whole",
        says="looks like the minor version alone compared",
    ),
    # manual_seed, get_rng
    Mistake(
        "a local variable instead of the global one",
        was="    global _global_rng\n",
        now="",
        caught_by="test_the_new_generator_is_the_global_one",
        says="get_rng() gives another one than manual_seed: is `global` missing?",
    ),
    Mistake(
        "NumPy's own state seeded, too",
        was=SEED,
        now="    np.random.seed(seed)\n" + SEED,
        caught_by="test_numpys_own_state_is_untouched",
        says="looks like np.random was seeded as well",
        edge=True,
    ),
    Mistake(
        "a fresh generator per call",
        was="    return _global_rng if rng is None else rng",
        now="    return np.random.default_rng(0) if rng is None else rng",
        caught_by="test_the_global_generator_continues",
        says="get_rng() twice draws the same numbers twice",
    ),
    # profile_memory
    Mistake(
        "memory after the call taken for the peak",
        was="MemoryProfile(result, max(peak - before, 0)",
        now="MemoryProfile(result, max(after - before, 0)",
        caught_by="test_the_peak_sees_what_is_freed_again",
        says="expected 4,000,000 to 4,100,000",
    ),
    Mistake(
        "the result dropped before the reading",
        was=MEASURED,
        now="        fn(*args, **kwargs)\n"
        "        after, peak = tracemalloc.get_traced_memory()\n"
        "        result = fn(*args, **kwargs)\n",
        caught_by="test_retained_counts_the_result",
        says="was the result freed before memory was read?",
    ),
    Mistake(
        "no reset of the peak",
        was="        tracemalloc.reset_peak()\n",
        now="",
        caught_by="test_counts_from_its_start_where_tracing_is_on",
        says="is the peak of 7 MB before the call still on record?",
        edge=True,
    ),
    Mistake(
        "tracing left on by an exception",
        was=STOP,
        now=(
            "    except ZeroDivisionError:\n        raise\n    if not was_tracing:\n"
            "        tracemalloc.stop()\n"
        ),
        caught_by="test_an_exception_passes_through",
        says="tracing after the exception",
        edge=True,
    ),
    # time_call
    Mistake(
        "the mean of the timings",
        was="    return min(times)",
        now="    return sum(times) / repeats",
        caught_by="test_the_smallest_timing",
        says="looks like the mean",
    ),
    Mistake(
        "warm-up calls timed",
        was="    for _ in range(repeats):",
        now="    for _ in range(warmup + repeats):",
        caught_by="test_warm_up_calls_are_not_timed",
        says="fn was called more than warmup + repeats = 4 times",
    ),
    # scaling_exponent
    Mistake(
        "no logarithms",
        was="np.polyfit(np.log(sizes), np.log(values), 1)",
        now="np.polyfit(sizes, values, 1)",
        caught_by="test_twice_the_size_four_times_the_value",
        says="looks like a slope without logarithms",
    ),
    Mistake(
        "first and last point alone",
        was="    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)",
        now="    slope = np.log(values[-1] / values[0]) / np.log(sizes[-1] / sizes[0])",
        caught_by="test_all_points_count",
        says="looks like the line through the first and the last point",
    ),
    # measure_scaling
    Mistake(
        "the preparation measured",
        was="[measures[kind](build(n)) for n in sizes]",
        now="[measures[kind](lambda: build(n)()) for n in sizes]",
        caught_by="test_the_preparation_is_not_measured",
        says="is build(n) itself measured?",
    ),
    Mistake(
        "always the peak",
        was="profile_memory(fn).retained_bytes",
        now="profile_memory(fn).peak_bytes",
        caught_by="test_retained_bytes",
        says="is it the peak?",
    ),
    # run_tests
    Mistake(
        "only failed assertions are caught",
        was="            except Exception as error:",
        now="            except AssertionError as error:",
        caught_by="test_goes_on_after_a_failure",
        says="raised ZeroDivisionError: division by zero",
    ),
    Mistake(
        "messages without the kind of error",
        was='f"{type(error).__name__}: {error}"',
        now="str(error)",
        caught_by="test_goes_on_after_a_failure",
        says="looks like messages without the name of the error",
    ),
    Mistake(
        "data called test_ is run",
        was='if name.startswith("test_") and callable(test):',
        now='if name.startswith("test_"):',
        caught_by="test_helpers_and_data_are_skipped",
        says="more 'test_data'",
    ),
    Mistake(
        "Ctrl-C is taken for a failed test",
        was="            except Exception as error:",
        now="            except BaseException as error:",
        caught_by="test_signals_end_the_run",
        says="was caught",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="python_ok = sys.version_info >= min_python",
        now="python_ok = sys.version_info > min_python",
        reason="a version has five parts, and is above those that it begins with",
        textbook=True,
    ),
]
