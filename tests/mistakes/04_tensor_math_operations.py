"""Wrong solutions of 04 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

BETWEEN = "return (x >= low) & (x <= high)"
MEAN_OFF = "(x - x.mean(dims, keepdim=True)).masked_fill(constant, 0.0)"
DIVIDED = "return centred / variance.sqrt()"
ALL_OF_STANDARDIZE = """    constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)
    centred = (x - x.mean(dims, keepdim=True)).masked_fill(constant, 0.0)
    variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)
    return centred / variance.sqrt()"""
NORM_A = "norm_a = torch.linalg.vector_norm(a, dim=dim).clamp(min=eps)"
NORM_B = "norm_b = torch.linalg.vector_norm(b, dim=dim).clamp(min=eps)"
COSINE = f"""    {NORM_A}
    {NORM_B}
    return (a * b).sum(dim) / (norm_a * norm_b)"""
SHAPE = "return (*reversed(batch), *rows, *columns)"
BATCH = "if size_a != size_b and 1 not in (size_a, size_b):"
PRODUCTS = "products = a.unsqueeze(2) * b.unsqueeze(0)"
SUM = "return products.sum(dim=1, dtype=products.dtype)"
MATRICES = "if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:"
POINTS = "if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:"
DISTANCES = """    differences = a.unsqueeze(1) - b.unsqueeze(0)  # (N, 1, D) − (1, M, D) → (N, M, D)
    return torch.linalg.vector_norm(differences, dim=2)"""
TOTAL = "total = x.masked_fill(~mask, 0.0).sum(dims)"
MEAN_OF_MASKED = "return total / count.clamp(min=1)"

MISTAKES = [
    # between
    Mistake("both ends left out", BETWEEN, "return (x > low) & (x < high)", "test_both_ends_belong_to_the_range"),
    Mistake("the upper end left out", BETWEEN, "return (x >= low) & (x < high)", "test_both_ends_belong_to_the_range"),
    Mistake("a chained comparison", BETWEEN, "return low <= x <= high", "test_true_inside_and_false_outside"),
    Mistake("& before the comparisons", BETWEEN, "return x >= low & x <= high", "test_true_inside_and_false_outside"),
    Mistake(
        "`and` between tensors",
        was=BETWEEN,
        now="return (x >= low) and (x <= high)",
        caught_by="test_true_inside_and_false_outside",
    ),
    Mistake("or instead of and", BETWEEN, "return (x >= low) | (x <= high)", "test_true_inside_and_false_outside"),
    Mistake("neither below nor above", BETWEEN, "return ~((x < low) | (x > high))", "test_nan_lies_nowhere"),
    Mistake(
        "clamped and compared",
        was=BETWEEN,
        now="return x.nan_to_num().clamp(low, high) == x.nan_to_num()",
        caught_by="test_nan_lies_nowhere",
    ),
    Mistake(
        "ends turned to the dtype of x",
        was=BETWEEN,
        now="low, high = torch.tensor([low, high]).to(x.dtype)\n    return (x >= low) & (x <= high)",
        caught_by="test_ends_between_two_integers",
    ),
    Mistake("numbers instead of bools", BETWEEN, f"{BETWEEN} * 1", "test_true_inside_and_false_outside"),
    Mistake(
        "exchanged ends not noticed",
        was='    if low > high:\n        raise ValueError(f"low {low} is greater than high {high}")\n',
        now="",
        caught_by="test_low_above_high_is_refused",
    ),
    Mistake("equal ends refused", "if low > high:", "if low >= high:", "test_low_may_equal_high"),
    # summary_stats
    Mistake("n − 1 divisor", "values.std(dims, correction=0)", "values.std(dims)", "test_std_divides_by_n"),
    Mistake(
        "n − 1 divisor, mended for one element",
        was="values.std(dims, correction=0)",
        now="values.std(dims).nan_to_num()",
        caught_by="TestSummaryStats::test_along_one_dim",
    ),
    Mistake(
        "variance for std",
        was="values.std(dims, correction=0)",
        now="values.var(dims, correction=0)",
        caught_by="test_four_numbers_for_the_whole_tensor",
    ),
    Mistake(
        "mean of squares minus squared mean",
        was="values.std(dims, correction=0)",
        now="(values.square().mean(dims) - values.mean(dims).square()).clamp(min=0).sqrt()",
        caught_by="test_accurate_where_the_mean_is_large",
    ),
    Mistake(
        "min as a pair with indices",
        was="x.amin(dims)",
        now="x.min() if dim is None else x.min(dim)",
        caught_by="TestSummaryStats::test_along_one_dim",
    ),
    Mistake(
        "max as a pair with indices",
        was="x.amax(dims)",
        now="x.max() if dim is None else x.max(dim)",
        caught_by="TestSummaryStats::test_along_one_dim",
    ),
    Mistake("argmin for min", "x.amin(dims)", "x.argmin(dim)", "test_four_numbers_for_the_whole_tensor"),
    Mistake(
        "the reduced dim kept",
        was="values.mean(dims)",
        now="values.mean(dims, keepdim=True)",
        caught_by="TestSummaryStats::test_along_one_dim",
    ),
    Mistake("dim ignored by the mean", "values.mean(dims)", "values.mean()", "TestSummaryStats::test_along_one_dim"),
    Mistake(
        "plain numbers",
        was='"mean": values.mean(dims)',
        now='"mean": values.mean(dims).tolist()',
        caught_by="test_four_numbers_for_the_whole_tensor",
    ),
    Mistake(
        "min of an integer tensor as float",
        was="x.amin(dims)",
        now="values.amin(dims)",
        caught_by="test_integers_have_a_fractional_mean",
    ),
    Mistake(
        "min of an integer tensor as float, along a dim only",
        was="x.amin(dims)",
        now="(x if dim is None else values).amin(dims)",
        caught_by="test_integers_along_a_dim",
    ),
    Mistake(
        "integers not turned to float",
        was="values = _floating(x)",
        now="values = x",
        caught_by="test_integers_have_a_fractional_mean",
    ),
    Mistake(
        "everything turned to float32",
        was="values = _floating(x)",
        now="values = x.float()",
        caught_by="TestSummaryStats::test_floating_point_dtypes_stay",
    ),
    Mistake(
        "integers turned to float64",
        was="values = _floating(x)",
        now="values = x if x.is_floating_point() else x.double()",
        caught_by="test_integers_have_a_fractional_mean",
    ),
    Mistake("empty input gives NaN", "if x.numel() == 0:", "if False:", "test_an_empty_tensor_is_refused"),
    Mistake(
        "only the reduced dimension looked at",
        was="if x.numel() == 0:",
        now="if x.shape[dim or 0:][:1] == (0,):",
        caught_by="test_an_empty_tensor_is_refused",
    ),
    Mistake(
        "mean cut off from the graph",
        was="values.mean(dims)",
        now="values.detach().mean(dims)",
        caught_by="test_gradients_flow_back",
    ),
    Mistake(
        "flattened by view",
        was="    values = _floating(x)\n",
        now="""    values = _floating(x)
    if dim is None:
        x, dims = values, 0
        values = values.view(-1)
""",
        caught_by="TestSummaryStats::test_works_on_a_transposed_view",
    ),
    # standardize
    Mistake(
        "std with the divisor n − 1",
        was=ALL_OF_STANDARDIZE,
        now="    return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True)",
        caught_by="test_everything_as_one_slice",
    ),
    Mistake(
        "keepdim missing",
        was=ALL_OF_STANDARDIZE,
        now="    return (x - x.mean(dims)) / x.std(dims, correction=0)",
        caught_by="test_rows_of_a_square_matrix",
    ),
    Mistake(
        "keepdim missing for the variance",
        was="variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)",
        now="variance = centred.square().mean(dims)",
        caught_by="test_rows_of_a_square_matrix",
    ),
    Mistake(
        "small eps in the divisor",
        was=DIVIDED,
        now="return centred / (variance.sqrt() + 1e-5)",
        caught_by="test_a_tiny_spread_still_gives_std_1",
    ),
    Mistake(
        "tiny eps in the divisor",
        was=DIVIDED,
        now="return centred / (variance.sqrt() + 1e-12)",
        caught_by="test_a_tiny_spread_still_gives_std_1",
    ),
    Mistake(
        "eps under the root",
        was=DIVIDED,
        now="return centred / (variance + 1e-12).sqrt()",
        caught_by="test_a_tiny_spread_still_gives_std_1",
    ),
    Mistake(
        "small spread taken for none",
        was="x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)",
        now="(x.amax(dims, keepdim=True) - x.amin(dims, keepdim=True)) < 1e-8",
        caught_by="test_a_tiny_spread_far_from_zero",
    ),
    Mistake(
        "mean of squares minus squared mean, standardized",
        was="variance = centred.square().mean(dims, keepdim=True)",
        now="variance = (x.square().mean(dims, keepdim=True) - x.mean(dims, keepdim=True).square()).abs()",
        caught_by="test_a_tiny_spread_far_from_zero",
    ),
    Mistake("not divided", DIVIDED, "return centred", "test_everything_as_one_slice"),
    Mistake("divided by the variance", DIVIDED, "return centred / variance", "test_everything_as_one_slice"),
    Mistake(
        "always over everything",
        was="    x = _floating(x)\n    dims = _dims(x, dim)",
        now="    x = _floating(x)\n    dims = tuple(range(x.ndim))",
        caught_by="test_along_some_dims",
    ),
    Mistake(
        "only the first of several dims",
        was="    x = _floating(x)\n    dims = _dims(x, dim)",
        now="    x = _floating(x)\n    dims = _dims(x, dim[0] if isinstance(dim, tuple) else dim)",
        caught_by="test_along_some_dims",
    ),
    Mistake(
        "0 / 0",
        was=ALL_OF_STANDARDIZE,
        now="    return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True, correction=0)",
        caught_by="test_equal_values_become_exactly_0",
    ),
    Mistake(
        "equal values told by a std of exactly 0",
        was="constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)",
        now="constant = x.std(dims, keepdim=True, correction=0) == 0",
        caught_by="test_equal_values_with_an_inexact_mean",
    ),
    Mistake(
        "NaN replaced at the end: the gradient keeps it",
        was=ALL_OF_STANDARDIZE,
        now="""    constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)
    centred = x - x.mean(dims, keepdim=True)
    return (centred / centred.square().mean(dims, keepdim=True).sqrt()).masked_fill(constant, 0.0)""",
        caught_by="test_gradient_of_equal_values_is_finite",
    ),
    Mistake(
        "NaN set to 0 by nan_to_num",
        was=ALL_OF_STANDARDIZE,
        now="    return ((x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True, correction=0)).nan_to_num(0.0)",
        caught_by="test_equal_values_become_exactly_0",
    ),
    Mistake(
        "all slices 0 when one is constant",
        was=DIVIDED,
        now="return torch.zeros_like(x) if constant.any() else centred / variance.sqrt()",
        caught_by="test_equal_values_become_exactly_0",
    ),
    Mistake(
        "statistics cut off from the graph",
        was=DIVIDED,
        now="return centred / variance.detach().sqrt()",
        caught_by="TestStandardize::test_gradient_matches",
    ),
    Mistake(
        "mean subtracted in place",
        was=MEAN_OFF,
        now="x.sub_(x.mean(dims, keepdim=True)).masked_fill(constant, 0.0)",
        caught_by="test_x_stays_as_it_was",
    ),
    Mistake("integers left as they are", "    x = _floating(x)\n    dims", "    dims", "test_integers_become_float32"),
    Mistake(
        "always float32",
        was="    x = _floating(x)\n    dims",
        now="    x = x.float()\n    dims",
        caught_by="TestStandardize::test_floating_point_dtypes_stay",
    ),
    # cosine_similarity
    Mistake(
        "norms of the whole tensors",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm() * b.norm()).clamp(min=eps)",
        caught_by="TestCosineSimilarity::test_small_numbers",
    ),
    Mistake(
        "reduced to one number",
        was=COSINE,
        now="    return (a * b).sum() / (a.norm() * b.norm()).clamp(min=eps)",
        caught_by="test_one_number_for_each_pair_of_rows",
    ),
    Mistake("norm of a along the last dim", NORM_A, NORM_A.replace("dim=dim", "dim=-1"), "test_along_dim_0"),
    Mistake("norm of b along the last dim", NORM_B, NORM_B.replace("dim=dim", "dim=-1"), "test_along_dim_0"),
    Mistake("products along the last dim", "(a * b).sum(dim) /", "(a * b).sum(-1) /", "test_along_dim_0"),
    Mistake(
        "not broadcast first",
        was="    a, b = torch.broadcast_tensors(a, b)\n",
        now="",
        caught_by="test_dim_counts_in_the_broadcast_shape",
    ),
    Mistake(
        "only equal shapes",
        was="a, b = torch.broadcast_tensors(a, b)",
        now="a, b = a.view_as(b), b",
        caught_by="test_all_pairs_by_broadcasting",
    ),
    Mistake(
        "plain product of norms: 0 / 0",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm(dim=dim) * b.norm(dim=dim))",
        caught_by="test_a_zero_vector_is_similar_to_nothing",
    ),
    Mistake(
        "eps added to the product of norms",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm(dim=dim) * b.norm(dim=dim) + eps)",
        caught_by="test_length_does_not_matter",
    ),
    Mistake(
        "eps bounds the product of norms",
        was=COSINE,
        now="    return (a * b).sum(dim) / (a.norm(dim=dim) * b.norm(dim=dim)).clamp(min=eps)",
        caught_by="test_eps_is_the_least_norm_of_each",
    ),
    Mistake("eps ignored", NORM_A, NORM_A.replace("min=eps", "min=1e-8"), "test_eps_is_the_least_norm_of_each"),
    Mistake("eps ignored for b", NORM_B, NORM_B.replace("min=eps", "min=1e-8"), "test_eps_is_the_least_norm_of_each"),
    Mistake(
        "another default of eps",
        was="dim: int = -1, eps: float = 1e-8",
        now="dim: int = -1, eps: float = 1e-6",
        caught_by="test_eps_is_1e_8_unless_given",
    ),
    Mistake(
        "root of the sum of squares, bounded afterwards",
        was=COSINE,
        now="""    norm_a = (a * a).sum(dim).sqrt().clamp(min=eps)
    norm_b = (b * b).sum(dim).sqrt().clamp(min=eps)
    return (a * b).sum(dim) / (norm_a * norm_b)""",
        caught_by="test_gradient_at_a_zero_vector_is_finite",
    ),
    Mistake(
        "root forgotten",
        was=COSINE,
        now="    return (a * b).sum(dim) / ((a * a).sum(dim) * (b * b).sum(dim)).clamp(min=eps)",
        caught_by="TestCosineSimilarity::test_small_numbers",
    ),
    Mistake(
        "norms cut off from the graph",
        was="/ (norm_a * norm_b)",
        now="/ (norm_a * norm_b).detach()",
        caught_by="TestCosineSimilarity::test_gradients_match",
    ),
    Mistake(
        "computed in float32",
        was="a, b = torch.broadcast_tensors(a, b)",
        now="a, b = torch.broadcast_tensors(a.float(), b.float())",
        caught_by="TestCosineSimilarity::test_the_dtype_stays",
    ),
    Mistake(
        "the ready-made one",
        was=COSINE,
        now="    return torch.nn.functional.cosine_similarity(a, b, dim, eps)",
        caught_by="TestCosineSimilarity::test_is_written_without_the_ready_made_one",
    ),
    # matmul_shape
    Mistake(
        "outer sizes of any shapes",
        was=SHAPE,
        now="return a[:-1] + b[-1:]",
        caught_by="test_a_vector_on_the_right_is_a_column_that_vanishes",
    ),
    Mistake(
        "a row for a vector on the left",
        was="rows, columns = a[-2:-1],",
        now="rows, columns = a[-2:-1] or (1,),",
        caught_by="test_a_vector_on_the_left_is_a_row_that_vanishes",
    ),
    Mistake(
        "(1,) for two vectors",
        was=SHAPE,
        now="return (*reversed(batch), *rows, *columns) or (1,)",
        caught_by="test_two_vectors_give_a_single_number",
    ),
    Mistake(
        "batch of the longer shape",
        was=SHAPE,
        now="return (*max(a[:-2], b[:-2], key=len), *rows, *columns)",
        caught_by="test_batch_dimensions_broadcast",
    ),
    Mistake("batch left to right", SHAPE, "return (*batch, *rows, *columns)", "test_batch_dimensions_broadcast"),
    Mistake(
        "aligned from the left",
        was="zip_longest(reversed(a[:-2]), reversed(b[:-2]), fillvalue=1)",
        now="reversed(list(zip_longest(a[:-2], b[:-2], fillvalue=1)))",
        caught_by="test_batch_dimensions_broadcast",
    ),
    Mistake(
        "max instead of broadcasting",
        was="batch.append(size_b if size_a == 1 else size_a)",
        now="batch.append(max(size_a, size_b))",
        caught_by="test_a_size_may_be_0",
    ),
    Mistake("batches not checked", BATCH, "if False:", "test_agrees_with_torch_on_a_grid_of_shapes"),
    Mistake(
        "size 0 fits any other",
        was=BATCH,
        now="if size_a and size_b and size_a != size_b and 1 not in (size_a, size_b):",
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "inner size 1 stretched",
        was="if inner_a != inner_b:",
        now="if inner_a != inner_b and 1 not in (inner_a, inner_b):",
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "inner sizes not checked",
        was="if inner_a != inner_b:",
        now="if False:",
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "a single number accepted",
        was="if not a or not b:",
        now="if not a and not b:",
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "bare message",
        was='ValueError(f"matmul cannot multiply shapes {a} and {b}")',
        now='ValueError("shapes do not match")',
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "shapes as they came in the message",
        was="multiply shapes {a} and {b}",
        now="multiply shapes {a_shape} and {b_shape}",
        caught_by="test_shapes_that_do_not_fit_are_both_named",
    ),
    Mistake(
        "asks torch.matmul",
        was=SHAPE,
        now="return tuple(torch.matmul(torch.empty(a), torch.empty(b)).shape)",
        caught_by="test_nothing_is_multiplied",
    ),
    Mistake("a list", SHAPE, "return [*reversed(batch), *rows, *columns]", "test_two_matrices"),
    # matmul
    Mistake("element-wise", SUM, "return a * b", "TestMatmul::test_small_numbers"),
    Mistake(
        "columns with columns",
        was=PRODUCTS,
        now="products = a.unsqueeze(2) * b.unsqueeze(1)",
        caught_by="TestMatmul::test_small_numbers",
    ),
    Mistake(
        "summed over the wrong axis",
        was=SUM,
        now="return products.sum(dim=2, dtype=products.dtype)",
        caught_by="TestMatmul::test_small_numbers",
    ),
    Mistake(
        "rows with rows",
        was=PRODUCTS,
        now="products = a.unsqueeze(2) * b.T.unsqueeze(0)",
        caught_by="TestMatmul::test_small_numbers",
    ),
    Mistake(
        "mean for sum",
        was=SUM,
        now="return products.float().mean(dim=1).to(products.dtype)",
        caught_by="TestMatmul::test_small_numbers",
    ),
    Mistake("(a.T * b).sum()", SUM, "return (a.T * b).sum()", "TestMatmul::test_small_numbers"),
    Mistake(
        "transposed result",
        was=SUM,
        now="return products.sum(dim=1, dtype=products.dtype).T",
        caught_by="TestMatmul::test_small_numbers",
    ),
    Mistake("int32 widened by sum", SUM, "return products.sum(dim=1)", "TestMatmul::test_the_dtype_stays"),
    Mistake(
        "float32 throughout",
        was=PRODUCTS,
        now="products = a.float().unsqueeze(2) * b.float().unsqueeze(0)",
        caught_by="TestMatmul::test_the_dtype_stays",
    ),
    Mistake("@", SUM, "return a @ b", "TestMatmul::test_is_written_without_the_ready_made_ones"),
    Mistake(
        "a method that multiplies",
        was=SUM,
        now="return a.mm(b)",
        caught_by="TestMatmul::test_is_written_without_the_ready_made_ones",
    ),
    Mistake(
        "one column cut off from the graph",
        was=PRODUCTS,
        now="products = a.unsqueeze(2) * b.detach().unsqueeze(0)",
        caught_by="TestMatmul::test_gradients_match",
    ),
    Mistake(
        "numbers taken out of the graph",
        was=SUM,
        now="return torch.tensor(products.sum(dim=1).tolist(), dtype=a.dtype).reshape(len(a), -1)",
        caught_by="TestMatmul::test_gradients_match",
    ),
    Mistake(
        "inner sizes may broadcast",
        was=MATRICES,
        now="if a.ndim != 2 or b.ndim != 2 or (a.shape[1] != b.shape[0] and 1 not in (a.shape[1], b.shape[0])):",
        caught_by="TestMatmul::test_inner_sizes_must_be_equal",
    ),
    Mistake(
        "left to torch to refuse",
        was=MATRICES,
        now="if a.ndim != 2 or b.ndim != 2:",
        caught_by="TestMatmul::test_inner_sizes_must_be_equal",
    ),
    Mistake(
        "no inner size is an error",
        was=MATRICES,
        now=MATRICES.replace("if ", "if a.shape[1] == 0 or "),
        caught_by="test_an_inner_size_of_0_gives_zeros",
    ),
    Mistake(
        "batches accepted",
        was=MATRICES,
        now="if a.ndim < 2 or b.ndim < 2 or a.shape[1] != b.shape[0]:",
        caught_by="TestMatmul::test_both_must_be_matrices",
    ),
    Mistake(
        "only a checked",
        was=MATRICES,
        now="if a.ndim != 2 or a.shape[1] != b.shape[0]:",
        caught_by="TestMatmul::test_both_must_be_matrices",
    ),
    # pairwise_distances
    Mistake(
        "squares expanded",
        was=DISTANCES,
        now="    return ((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T).clamp(min=0).sqrt()",
        caught_by="test_accurate_far_from_the_origin",
    ),
    Mistake(
        "squares expanded, negatives not cut",
        was=DISTANCES,
        now="    return torch.sqrt((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T)",
        caught_by="test_accurate_far_from_the_origin",
    ),
    Mistake(
        "root of the sum of squares",
        was=DISTANCES,
        now="    return (a[:, None] - b[None]).square().sum(2).sqrt()",
        caught_by="test_gradient_at_distance_0_is_finite",
    ),
    Mistake(
        "eps under the root of the distance",
        was=DISTANCES,
        now="    return ((a[:, None] - b[None]).square().sum(2) + 1e-12).sqrt()",
        caught_by="test_a_point_has_distance_0_to_itself",
    ),
    Mistake(
        "squared",
        was=DISTANCES,
        now="    return (a[:, None] - b[None]).square().sum(2)",
        caught_by="TestPairwiseDistances::test_small_numbers",
    ),
    Mistake(
        "sum of absolute differences",
        was="vector_norm(differences, dim=2)",
        now="vector_norm(differences, 1, dim=2)",
        caught_by="TestPairwiseDistances::test_small_numbers",
    ),
    Mistake(
        "a and b exchanged",
        was="differences = a.unsqueeze(1) - b.unsqueeze(0)",
        now="differences = a.unsqueeze(0) - b.unsqueeze(1)",
        caught_by="TestPairwiseDistances::test_small_numbers",
    ),
    Mistake(
        "reduced over the points",
        was="vector_norm(differences, dim=2)",
        now="vector_norm(differences, dim=0)",
        caught_by="TestPairwiseDistances::test_small_numbers",
    ),
    Mistake(
        "cdist",
        was=DISTANCES,
        now="    return torch.cdist(a, b)",
        caught_by="TestPairwiseDistances::test_is_written_without_the_ready_made_ones",
    ),
    Mistake(
        "stacked row by row",
        was=DISTANCES,
        now="    return torch.stack([torch.linalg.vector_norm(a - q, dim=1) for q in b], dim=1)",
        caught_by="test_no_points_no_distances",
    ),
    Mistake(
        "float32 distances",
        was="differences = a.unsqueeze(1) - b.unsqueeze(0)",
        now="differences = a.float().unsqueeze(1) - b.float().unsqueeze(0)",
        caught_by="TestPairwiseDistances::test_the_dtype_stays",
    ),
    Mistake("one coordinate stretched", POINTS, "if a.ndim != 2 or b.ndim != 2:", "test_points_must_have_the_same_d"),
    Mistake(
        "a single point accepted",
        was=POINTS,
        now="if a.shape[-1] != b.shape[-1]:",
        caught_by="TestPairwiseDistances::test_both_must_be_2_d",
    ),
    Mistake(
        "batches of points accepted",
        was=POINTS,
        now="if a.ndim < 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:",
        caught_by="TestPairwiseDistances::test_both_must_be_2_d",
    ),
    Mistake(
        "b cut off from the graph",
        was="differences = a.unsqueeze(1) - b.unsqueeze(0)",
        now="differences = a.unsqueeze(1) - b.detach().unsqueeze(0)",
        caught_by="TestPairwiseDistances::test_gradients_match",
    ),
    # masked_mean
    Mistake(
        "multiplied by the mask",
        was=TOTAL,
        now="total = (x * mask).sum(dims)",
        caught_by="test_nan_and_infinity_under_the_mask_do_not_count",
    ),
    Mistake(
        "multiplied by the mask, NaN replaced",
        was=TOTAL,
        now="total = (x * mask).nan_to_num().sum(dims)",
        caught_by="test_a_nan_that_counts_is_not_hidden",
    ),
    Mistake(
        "NaN and infinity replaced before the mask is applied",
        was=TOTAL,
        now="total = (x.nan_to_num(0, 0, 0) * mask).sum(dims)",
        caught_by="test_a_nan_that_counts_is_not_hidden",
    ),
    Mistake(
        "NaN left out of the sum",
        was=TOTAL,
        now="total = x.masked_fill(~mask, 0.0).nansum(dims)",
        caught_by="test_a_nan_that_counts_is_not_hidden",
    ),
    Mistake(
        "where after the multiplication",
        was=TOTAL,
        now="total = torch.where(mask, x * mask, 0 * mask * x.nan_to_num().square().sqrt()).sum(dims)",
        caught_by="test_gradient_is_shared_by_what_counts",
    ),
    Mistake(
        "True = hidden",
        was=TOTAL,
        now="mask = ~mask\n    total = x.masked_fill(~mask, 0.0).sum(dims)",
        caught_by="TestMaskedMean::test_small_numbers",
    ),
    Mistake(
        "divided by all",
        was="count = mask.expand_as(x).sum(dims)",
        now="count = torch.ones_like(x).sum(dims)",
        caught_by="TestMaskedMean::test_small_numbers",
    ),
    Mistake(
        "Trues counted before broadcasting",
        was="count = mask.expand_as(x).sum(dims)",
        now="count = mask.sum() if dim is None else mask.expand_as(x).sum(dims)",
        caught_by="test_a_mask_for_each_position",
    ),
    Mistake(
        "0 / 0 where nothing counts",
        was=MEAN_OF_MASKED,
        now="return total / count",
        caught_by="test_where_nothing_counts_the_mean_is_0",
    ),
    Mistake(
        "eps in the divisor of the mean",
        was=MEAN_OF_MASKED,
        now="return total / (count + 1e-3)",
        caught_by="TestMaskedMean::test_small_numbers",
    ),
    Mistake(
        "NaN mean replaced by 0",
        was=MEAN_OF_MASKED,
        now="return (total / count).nan_to_num()",
        caught_by="test_a_nan_that_counts_is_not_hidden",
    ),
    Mistake(
        "entries picked: the shape is lost",
        was=TOTAL,
        now="""if isinstance(dim, tuple):
        return x[mask.expand_as(x)].mean()
    total = x.masked_fill(~mask, 0.0).sum(dims)""",
        caught_by="TestMaskedMean::test_along_some_dims",
    ),
    Mistake(
        "filled in place",
        was=TOTAL,
        now="total = x.masked_fill_(~mask, 0.0).sum(dims)",
        caught_by="test_x_and_mask_stay_as_they_were",
    ),
    Mistake(
        "masks of numbers accepted",
        was="if mask.dtype != torch.bool:",
        now="mask = mask.bool()\n    if False:",
        caught_by="test_a_mask_is_bool",
    ),
    Mistake(
        "only floating-point masks refused",
        was="if mask.dtype != torch.bool:",
        now="if mask.is_floating_point():",
        caught_by="test_a_mask_is_bool",
    ),
    Mistake(
        "always float32 means",
        was=MEAN_OF_MASKED,
        now="return (total / count.clamp(min=1)).float()",
        caught_by="TestMaskedMean::test_the_dtype_stays",
    ),
]

CONSTANT = "constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)"
VARIANCE = "variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)"
INNER = "inner_a, inner_b = a[-1], b[0] if len(b) == 1 else b[-2]"
PAIRS = "for size_a, size_b in zip_longest(reversed(a[:-2]), reversed(b[:-2]), fillvalue=1):"
COMMENTED_PRODUCTS = f"{PRODUCTS}  # (M, K, 1) · (1, K, N) → (M, K, N)"
DIFFERENCES = "differences = a.unsqueeze(1) - b.unsqueeze(0)  # (N, 1, D) − (1, M, D) → (N, M, D)"
ADDED_BY_BROADCASTING = "broadcasting adds the leading 1 by itself"

EQUIVALENT = [
    Equivalent("if x.numel() == 0:", "if x.numel() <= 0:", "a number of elements is never negative"),
    Equivalent(CONSTANT, CONSTANT.replace("==", ">="), "the smallest is never above the largest"),
    Equivalent(VARIANCE, VARIANCE.replace("1.0", "2.0"), "it divides zeros: any divisor but 0 will do"),
    Equivalent("a, b = torch.broadcast_tensors(a, b)", "a, b = torch.broadcast_tensors(b, a)", "a cosine is symmetric"),
    Equivalent(INNER, INNER.replace("b[0]", "b[-1]"), "the first of one size is the last"),
    Equivalent(INNER, INNER.replace("==", "<="), "b is not empty here"),
    Equivalent(
        PAIRS,
        "for size_a, size_b in zip_longest(reversed(b[:-2]), reversed(a[:-2]), fillvalue=1):",
        "broadcasting is symmetric",
    ),
    Equivalent(COMMENTED_PRODUCTS, COMMENTED_PRODUCTS.replace("b.unsqueeze(0)", "b"), ADDED_BY_BROADCASTING),
    Equivalent(DIFFERENCES, DIFFERENCES.replace("b.unsqueeze(0)", "b"), ADDED_BY_BROADCASTING),
    Equivalent(
        "return tuple(range(x.ndim)) if dim is None else dim",
        "return dim",
        "None means all dimensions to torch as well, though not every reduction documents it",
    ),
]
