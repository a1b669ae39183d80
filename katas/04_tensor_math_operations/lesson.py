"""The lesson of 04 in code: element-wise operations, reductions, broadcasting,
products, and divisions by zero.

Run it from anywhere: `python katas/04_tensor_math_operations/lesson.py`. It prints its
steps and draws the figure.
"""

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure

kata = code(__file__)
torch.manual_seed(0)


def error_of(action) -> str:
    """The first line of the error that the action ends in."""
    try:
        action()
    except (RuntimeError, ValueError) as error:
        return str(error).splitlines()[0]
    return "no error"


# 1. Element-wise: each element is treated separately, and the shape stays. A comparison
#    gives a bool tensor, a mask.
#    & (and), | (or) and ~ (not) combine masks. Each comparison needs brackets, because
#    & binds tighter than >=.
heading("1. Element by element: masks")
heights = torch.tensor([[158.0, 171.0, 190.0], [165.0, 149.0, 180.0]])  # cm
print("heights\n", heights)
medium = kata.between(heights, 160, 180)
print("160 <= heights <= 180, as between(heights, 160, 180)\n", medium)
print("heights < 150 or heights > 185\n", (heights < 150) | (heights > 185))
print(
    f"any: {medium.any().item()}   all: {medium.all().item()}   how many: "
    f"{medium.sum().item()}"
)
print(
    "any per row:",
    medium.any(dim=1).tolist(),
    "  all per column:",
    medium.all(dim=0).tolist(),
)
print("a chain, 160 <= heights <= 180, says:", error_of(lambda: 160 <= heights <= 180))
print(
    "without brackets, heights >= 160 & heights <= 180, says:",
    error_of(lambda: heights >= 160 & heights <= 180),
)


# 2. A reduction makes one number out of many. dim names the dimension that disappears:
#    dim 0 of (2, 3) leaves (3,), one number per column. Without dim all
#    dimensions disappear.
heading("2. Reductions: the dim that is named disappears")
for dim in (None, 0, 1):
    print(f"dim={dim}")
    for name, value in kata.summary_stats(heights, dim).items():
        print(
            f"    {name:<5} shape {str(tuple(value.shape)):<5}",
            [round(v, 2) for v in value.flatten().tolist()],
        )
answer = heights.min(dim=0)
print(
    "heights.min(dim=0) is a pair:",
    answer.values.tolist(),
    "and their row numbers:",
    answer.indices.tolist(),
)
pair = torch.tensor([1.0, 3.0])
print(
    f"std of [1, 3]: divided by n {pair.std(correction=0).item():.4f}, by n − 1 "
    f"{pair.std().item():.4f}"
)
print(
    "std of [5]:    divided by n",
    torch.tensor([5.0]).std(correction=0).item(),
    " by n − 1 is 0 / 0, NaN",
)


# 3. Broadcasting aligns shapes from the right and stretches sizes of 1. A reduction
#    with keepdim=True leaves a 1, so that row statistics (3, 1) meet their rows.
#    Without it (3,) meets the columns, and a square matrix hides that.
heading("3. Broadcasting: what keepdim is for")
square = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [100.0, 200.0, 300.0]])
print(
    "row means with keepdim ",
    tuple(square.mean(1, keepdim=True).shape),
    "  without",
    tuple(square.mean(1).shape),
)
print("square − mean(1)                 ", (square - square.mean(1)).tolist())
print(
    "square − mean(1, keepdim=True)   ",
    (square - square.mean(1, keepdim=True)).tolist(),
)
rows = kata.standardize(square, dim=1)
print("standardize(square, dim=1), three times the same row:\n", rows)


# 4. Equal values have no spread. Their mean can be off by a rounding step, so testing
#    whether std is 0 is not enough.
heading("4. Division by zero, and nearly zero")
same = torch.full((7,), 0.1)
off, spread = same.mean() - same[0], same.std(correction=0)
print(f"mean of seven times 0.1, minus 0.1: {off.item():.1e}   std {spread.item():.1e}")
print("(x − mean) / std  ", ((same - same.mean()) / spread).tolist())
print("standardize(x)    ", kata.standardize(same).tolist())
tiny = 1e-9 * torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
flattened = (tiny - tiny.mean()) / (tiny.std(correction=0) + 1e-5)
print(
    "std of 1e-9 · [1, 2, 6], standardized:    "
    f"{kata.standardize(tiny).std(correction=0).item():.4f}"
)
print(
    "the same with 1e-5 added to the divisor:  "
    f"{flattened.std(correction=0).item():.4f}"
)
#    The slope of a root at 0 is infinite, and infinity times 0 is NaN. torch.where
#    afterwards repairs only the value.
x = torch.zeros(2, requires_grad=True)
norm = x.square().sum().sqrt()
torch.where(norm > 0, norm, 0.0).backward()
print("where(norm > 0, norm, 0) at the origin has the gradient", x.grad.tolist())
x.grad = None
torch.linalg.vector_norm(x).backward()
print("torch.linalg.vector_norm at the origin has the gradient", x.grad.tolist())


# 5. The product of two matrices: rows of the left times columns of the right. The inner
#    sizes meet and disappear.
heading("5. Products: * is not torch.mm")
a, b = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
print("a * b           ", (a * b).tolist(), "  entry by entry")
print("torch.mm(a, b)  ", torch.mm(a, b).tolist(), "  19 = 1·5 + 2·7")
print("matmul(a, b)    ", kata.matmul(a, b).tolist(), "  from products and sums")
print("torch.dot(row 0 of a, column 0 of b) =", torch.dot(a[0], b[:, 0]).item())
left, right = torch.ones(2, 3), torch.ones(4, 5)
print("(2, 3) by (4, 5), torch says:", error_of(lambda: torch.mm(left, right)))
print("(2, 3) by (4, 5), matmul says:", error_of(lambda: kata.matmul(left, right)))
thin, wide = torch.ones(2, 1), torch.ones(3, 5)
stretched = (thin[:, :, None] * wide[None]).sum(1)
print("(2, 1) by (3, 5), torch.mm says:", error_of(lambda: torch.mm(thin, wide)))
print(
    "    but broadcast and summed it makes", tuple(stretched.shape), "without an error"
)
for shapes in [
    ((2, 3), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((3,), (3,)),
    ((7, 1, 2, 3), (5, 3, 4)),
]:
    product = torch.matmul(*map(torch.ones, shapes))
    print(
        f"torch.matmul {shapes[0]!s:<12} by {shapes[1]!s:<9} → {tuple(product.shape)}"
    )


# 6. A cosine compares directions, whatever the lengths. All pairs by broadcasting:
#    (3, 1, 2) with (1, 4, 2) → (3, 4).
heading("6. All pairs: cosines and distances")
ours = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
theirs = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [4.0, 3.0]])
print(
    "cosine of every row of ours with every row of theirs\n",
    kata.cosine_similarity(ours[:, None], theirs[None]),
)
print("the last row of ours is the zero vector: 0 everywhere")
#    Squaring first and subtracting afterwards loses the digits that matter.
p, q = torch.full((1, 3), 1000.0), torch.tensor([[1000.25, 1000.0, 1000.0]])
expanded = (p * p).sum(1)[:, None] + (q * q).sum(1) - 2 * p @ q.T
print("p and q, 0.25 apart near 1000, squared distance 0.0625")
print(f"    |p|² + |q|² − 2 p·q   {expanded.item():.4f}")
print(f"    |p − q|²              {(p[:, None] - q[None]).square().sum(2).item():.4f}")


# 7. NaN under a mask: 0 · NaN is NaN. Replace what must not count; multiplying by 0 is
#    not enough.
heading("7. A mean under a mask")
measured = torch.tensor([2.0, 4.0, float("nan")])
known = ~measured.isnan()
print("measured", measured.tolist(), "  known", known.tolist())
multiplied, replaced = measured * known, measured.masked_fill(~known, 0)
print(
    "(measured * known).sum() / known.sum()               ",
    (multiplied.sum() / known.sum()).item(),
)
print(
    "measured.masked_fill(~known, 0).sum() / known.sum()  ",
    (replaced.sum() / known.sum()).item(),
)


# 8. Standardizing moves and scales the axis. The distribution keeps its shape, two
#    humps included.
heading("8. Heights of 2,000 people, as they are and standardized")
people = torch.cat([162 + 5 * torch.randn(1000), 178 + 5 * torch.randn(1000)])
scores = kata.standardize(people)
for name, values in {"cm": people, "standardized": scores}.items():
    stats = kata.summary_stats(values)
    print(
        f"{name:<13}",
        "   ".join(f"{key} {value.item():8.3f}" for key, value in stats.items()),
    )
print(
    f"one person of {people[0].item():.1f} cm is {scores[0].item():+.2f} standard "
    "deviations from the mean"
)

figure = Figure(figsize=(6.6, 5.6))
panels = figure.subplots(2, 1, sharey=True)
mean, std = people.mean().item(), people.std(correction=0).item()
titles = [
    f"as measured: mean {mean:.1f} cm, std {std:.1f} cm",
    "standardized: mean 0, std 1",
]
labels = ["height in cm", "standard deviations from the mean"]
for i, (axes, values) in enumerate(zip(panels, (people, scores), strict=True)):
    centre, spread = values.mean().item(), values.std(correction=0).item()
    axes.hist(values, bins=40, color=COLOURS[i], alpha=0.8)
    axes.axvline(centre, ymax=0.8, color=COLOURS[6], label="mean")
    axes.axvline(
        centre - spread, ymax=0.8, color=COLOURS[6], linestyle=":", label="mean ± std"
    )
    axes.axvline(centre + spread, ymax=0.8, color=COLOURS[6], linestyle=":")
    axes.set(title=titles[i], xlabel=labels[i])
panels[0].set_ylabel("people")
panels[0].set_ylim(0, 1.3 * panels[0].get_ylim()[1])
panels[0].legend(loc="upper left", ncols=2)
save_figure(figure, __file__)
