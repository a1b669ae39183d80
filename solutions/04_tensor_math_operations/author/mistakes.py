"""Wrong solutions of 04 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

BETWEEN = "return (x >= low) & (x <= high)"
DIVIDED = "return centred / variance.sqrt()"
ALL_OF_STANDARDIZE = """\
    constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)
    centred = (x - x.mean(dims, keepdim=True)).masked_fill(constant, 0.0)
    variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)
    return centred / variance.sqrt()"""
NORM_A = "norm_a = torch.linalg.vector_norm(a, dim=dim).clamp(min=eps)"
NORM_B = "norm_b = torch.linalg.vector_norm(b, dim=dim).clamp(min=eps)"
COSINE = f"""    {NORM_A}
    {NORM_B}
    return (a * b).sum(dim) / (norm_a * norm_b)"""
SHAPE = "return (*reversed(batch), *rows, *columns)"
PRODUCTS = "products = a.unsqueeze(2) * b.unsqueeze(0)"
SUM = "return products.sum(dim=1, dtype=products.dtype)"
DISTANCES = """\
    differences = a.unsqueeze(1) - b.unsqueeze(0)  # (N, 1, D) − (1, M, D) → (N, M, D)
    return torch.linalg.vector_norm(differences, dim=2)"""
TOTAL = "total = x.masked_fill(~mask, 0.0).sum(dims)"

MISTAKES = [
    # between
    Mistake(
        "both ends left out",
        was=BETWEEN,
        now="return (x > low) & (x < high)",
        caught_by="test_both_ends_belong_to_the_range",
        says="looks like both ends left out",
    ),
    Mistake(
        "a chained comparison",
        was=BETWEEN,
        now="return low <= x <= high",
        caught_by="test_true_inside_and_false_outside",
        says="Boolean value of Tensor with more than one value is ambiguous",
    ),
    Mistake(
        "or instead of and",
        was=BETWEEN,
        now="return (x >= low) | (x <= high)",
        caught_by="test_true_inside_and_false_outside",
        says="looks like True everywhere: joined by or",
    ),
    # summary_stats
    Mistake(
        "n − 1 divisor",
        was="values.std(dims, correction=0)",
        now="values.std(dims)",
        caught_by="test_std_divides_by_n",
        says="looks like divided by n − 1",
    ),
    Mistake(
        "min as a pair with indices",
        was="x.amin(dims)",
        now="x.min() if dim is None else x.min(dim)",
        caught_by="TestSummaryStats::test_along_one_dim",
        says="of ['min'] got min of 2: float64 tensor (), int64 tensor ()",
    ),
    Mistake(
        "integers not turned to float",
        was="values = _floating(x)",
        now="values = x",
        caught_by="test_integers_have_a_fractional_mean",
        says="mean(): could not infer output dtype",
        edge=True,
    ),
    # standardize
    Mistake(
        "std with the divisor n − 1",
        was=ALL_OF_STANDARDIZE,
        now="    return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True)",
        caught_by="test_everything_as_one_slice",
        says="looks like std with the divisor n − 1",
    ),
    Mistake(
        "keepdim missing",
        was=ALL_OF_STANDARDIZE,
        now="    return (x - x.mean(dims)) / x.std(dims, correction=0)",
        caught_by="test_rows_of_a_square_matrix",
        says="looks like keepdim is missing: row statistics were applied to columns",
    ),
    Mistake(
        "0 / 0",
        was=ALL_OF_STANDARDIZE,
        now=(
            "    return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True, "
            "correction=0)"
        ),
        caught_by="test_equal_values_become_0",
        says="looks like 0 / 0",
    ),
    Mistake(
        "small eps in the divisor",
        was=DIVIDED,
        now="return centred / (variance.sqrt() + 1e-5)",
        caught_by="test_a_tiny_spread_still_gives_std_1",
        says="means every value is 0.000216 times the expected one",
        edge=True,
    ),
    Mistake(
        "equal values told by a std of exactly 0",
        was="constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)",
        now="constant = x.std(dims, keepdim=True, correction=0) == 0",
        caught_by="test_equal_values_with_an_inexact_mean",
        says="looks like a rounding step divided by itself",
        edge=True,
    ),
    # cosine_similarity
    Mistake(
        "norms of the whole tensors",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm() * b.norm()).clamp(min=eps)",
        caught_by="TestCosineSimilarity::test_small_numbers",
        says="looks like divided by the norms of the whole tensors",
    ),
    Mistake(
        "norms along the last dim whatever dim is",
        was=COSINE,
        now=(
            "    return (a * b).sum(dim) / (a.norm(dim=1) * "
            "b.norm(dim=1)).clamp(min=eps)"
        ),
        caught_by="test_along_dim_0",
        says="looks like products along dim 0, norms along the rows",
    ),
    Mistake(
        "plain product of norms: 0 / 0",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm(dim=dim) * b.norm(dim=dim))",
        caught_by="test_a_zero_vector_is_similar_to_nothing",
        says="looks like 0 / 0",
    ),
    # matmul_shape
    Mistake(
        "a[:-1] + b[-1:]",
        was=SHAPE,
        now="return (*a[:-1], *b[-1:])",
        caught_by="test_a_vector_is_a_column_or_a_row_that_vanishes",
        says="looks like a[:-1] and b[-1:], as for two matrices",
    ),
    Mistake(
        "inner sizes may broadcast",
        was="if inner_a != inner_b:",
        now="if inner_a != inner_b and 1 not in (inner_a, inner_b):",
        caught_by="test_shapes_that_do_not_fit_are_refused",
        says="raised nothing expected an error, such as ValueError",
    ),
    Mistake(
        "tensors of these shapes allocated",
        was=SHAPE,
        now="return tuple(torch.matmul(torch.empty(a), torch.empty(b)).shape)",
        caught_by="test_nothing_is_multiplied",
        says="can't allocate memory: you tried to allocate 4000000000000000000 bytes",
    ),
    # matmul
    Mistake(
        "element-wise",
        was=SUM,
        now="return a * b",
        caught_by="TestMatmul::test_small_numbers",
        says="looks like a * b, entry by entry",
    ),
    Mistake(
        "rows with rows",
        was=PRODUCTS,
        now="products = a.unsqueeze(2) * b.T.unsqueeze(0)",
        caught_by="TestMatmul::test_small_numbers",
        says="looks like rows of a with rows of b",
    ),
    Mistake(
        "@",
        was=SUM,
        now="return a @ b",
        caught_by="TestMatmul::test_is_written_without_the_ready_made_ones",
        says="this exercise is to be written without torch",
    ),
    # pairwise_distances
    Mistake(
        "squared",
        was=DISTANCES,
        now="    return (a[:, None] - b[None]).square().sum(2)",
        caught_by="TestPairwiseDistances::test_small_numbers",
        says="looks like squared distances",
    ),
    Mistake(
        "squares expanded",
        was=DISTANCES,
        now=(
            "    return ((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ "
            "b.T).clamp(min=0).sqrt()"
        ),
        caught_by="test_accurate_far_from_the_origin",
        says="looks like |a|² + |b|² − 2ab in float32",
        edge=True,
    ),
    # masked_mean
    Mistake(
        "divided by all",
        was="count = mask.expand_as(x).sum(dims)",
        now="count = torch.ones_like(x).sum(dims)",
        caught_by="TestMaskedMean::test_small_numbers",
        says="looks like divided by the number of all entries",
    ),
    Mistake(
        "Trues counted before broadcasting",
        was="count = mask.expand_as(x).sum(dims)",
        now="count = mask.sum() if dim is None else mask.expand_as(x).sum(dims)",
        caught_by="test_a_mask_for_each_position",
        says="looks like divided by the Trues of the mask before it broadcasts",
    ),
    Mistake(
        "multiplied by the mask",
        was=TOTAL,
        now="total = (x * mask).sum(dims)",
        caught_by="test_nan_and_infinity_under_the_mask_do_not_count",
        says="looks like multiplied by the mask: 0 · NaN is NaN",
        edge=True,
    ),
]

CONSTANT = "constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)"
VARIANCE = (
    "variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)"
)
INNER = "inner_a, inner_b = a[-1], b[0] if len(b) == 1 else b[-2]"
PAIRS = (
    "for size_a, size_b in zip_longest(reversed(a[:-2]), reversed(b[:-2]), "
    "fillvalue=1):"
)
COMMENTED_PRODUCTS = f"{PRODUCTS}  # (M, K, 1) · (1, K, N) → (M, K, N)"
DIFFERENCES = (
    "differences = a.unsqueeze(1) - b.unsqueeze(0)  # (N, 1, D) − (1, M, D) → (N, M, D)"
)
ADDED_BY_BROADCASTING = "broadcasting adds the leading 1 by itself"

EQUIVALENT = [
    Equivalent(
        "if x.numel() == 0:",
        "if x.numel() <= 0:",
        "a number of elements is never negative",
    ),
    Equivalent(
        CONSTANT,
        CONSTANT.replace("==", ">="),
        "the smallest is never above the largest",
    ),
    Equivalent(
        VARIANCE,
        VARIANCE.replace("1.0", "2.0"),
        "it divides zeros: any divisor but 0 will do",
    ),
    Equivalent(
        "a, b = torch.broadcast_tensors(a, b)",
        "a, b = torch.broadcast_tensors(b, a)",
        "a cosine is symmetric",
    ),
    Equivalent(
        INNER, INNER.replace("b[0]", "b[-1]"), "the first of one size is the last"
    ),
    Equivalent(INNER, INNER.replace("==", "<="), "b is not empty here"),
    Equivalent(
        PAIRS,
        "for size_a, size_b in zip_longest(reversed(b[:-2]), reversed(a[:-2]), "
        "fillvalue=1):",
        "broadcasting is symmetric",
    ),
    Equivalent(
        COMMENTED_PRODUCTS,
        COMMENTED_PRODUCTS.replace("b.unsqueeze(0)", "b"),
        ADDED_BY_BROADCASTING,
    ),
    Equivalent(
        DIFFERENCES, DIFFERENCES.replace("b.unsqueeze(0)", "b"), ADDED_BY_BROADCASTING
    ),
    Equivalent(
        "return tuple(range(x.ndim)) if dim is None else dim",
        "return dim",
        "None means all dimensions to torch as well, though not every reduction "
        "documents it",
    ),
    Equivalent(
        was="a = (1, *a_shape) if len(a_shape) == 1 else tuple(a_shape)",
        now="a = (2, *a_shape) if len(a_shape) == 1 else tuple(a_shape)",
        reason="the row of a vector is no part of the shape",
        textbook=True,
    ),
    Equivalent(
        was="a = (1, *a_shape) if len(a_shape) == 1 else tuple(a_shape)",
        now="a = (0, *a_shape) if len(a_shape) == 1 else tuple(a_shape)",
        reason="the row of a vector is no part of the shape",
        textbook=True,
    ),
    Equivalent(
        was="a = (1, *a_shape) if len(a_shape) == 1 else tuple(a_shape)",
        now="a = (1, *a_shape) if len(a_shape) == 0 else tuple(a_shape)",
        reason="a vector's last size is the same, and it has no batch",
        textbook=True,
    ),
    Equivalent(
        was="b = (*b_shape, 1) if len(b_shape) == 1 else tuple(b_shape)",
        now="b = (*b_shape, 2) if len(b_shape) == 1 else tuple(b_shape)",
        reason="the column of a vector is no part of the shape",
        textbook=True,
    ),
    Equivalent(
        was="b = (*b_shape, 1) if len(b_shape) == 1 else tuple(b_shape)",
        now="b = (*b_shape, 0) if len(b_shape) == 1 else tuple(b_shape)",
        reason="the column of a vector is no part of the shape",
        textbook=True,
    ),
]
