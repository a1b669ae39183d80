"""Paper kata 23 in code: the bits of residuals and of a polynomial, and the degree with
the fewest of both together.
"""

import itertools
import math

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Six residuals are to be written down, rounded to a grid. The smaller they are, the
# fewer bits they should take: half the size saves one bit per residual. Half the
# spacing should cost one bit per residual.
heading("2. Recap of the NumPy view")
residuals = np.array([0.31, -0.12, 0.05, -0.27, 0.18, -0.09])
for factor, precision in ((1.0, 0.01), (0.5, 0.01), (1.0, 0.005)):
    found = stretch(kata.gaussian_code_length_numpy, factor * residuals, precision)
    if found is not None:
        print(
            f"   residuals times {factor}, spacing {precision:<5}: {found:6.2f} bits, "
            f"{found / 6:.2f} per residual"
        )

# The other part of the message is the model. First comes the number of coefficients, in
# a code that can write any integer, then each coefficient. Nobody has to agree on a
# largest degree beforehand.
for n in (1, 2, 4, 9, 1000):
    print(f"   the integer {n:>4}: {kata.integer_code_length(n):5.2f} bits")

# 3. Data
#
# Sixty points of a cubic with noise of standard deviation 0.2. The term x² has the
# coefficient 0, which nobody knows beforehand. Three points, each with what the noise
# did to it:
heading("3. Data")
CUBIC, NOISE, N = [0.5, -1.0, 0.0, 2.0], 0.2, 60
x, y = kata.make_polynomial_data(N, CUBIC, NOISE, torch.Generator().manual_seed(1))
for place, value in zip(x[:3].tolist(), y[:3].tolist(), strict=True):
    true = sum(c * place**k for k, c in enumerate(CUBIC))
    print(
        f"   x = {place:6.3f}: {true:6.3f} by the cubic, y = {value:6.3f}, noise "
        f"{value - true:6.3f}"
    )
print(
    f"   all points: x {tuple(x.shape)} {x.dtype}, y {tuple(y.shape)} from "
    f"{y.min():.2f} to {y.max():.2f}"
)

# 4. Model
#
# A polynomial has one parameter, its coefficients. The code below is the one that runs
# here: your own where the core of the kata works.
heading("4. Model")
model = kata.PolynomialModel(8)
shown_code(kata.PolynomialModel.forward)
print(
    f"   x {tuple(x.shape)} → values {tuple(model(x).shape)}, "
    f"{model.coefficients.numel()} coefficients"
)

# Its price depends on the number of points: with four times the points each coefficient
# is worth one more bit.
for n in (15, 60, 240):
    prices = "".join(
        f"{kata.model_code_length(degree, n):8.2f}" for degree in (0, 1, 3, 8)
    )
    print(f"   {n:>3} points, bits of degree 0, 1, 3 and 8: {prices}")

# 5. Training loop
#
# Plain gradient steps first, for the degree 8, with the loss as arithmetic. After them
# the trainer's L-BFGS goes on. It asks for the loss whenever it needs it, so the loss
# is a function, which clears the gradient first.
heading("5. Training loop")


def evaluate():
    """The mean squared error, after a backward pass."""
    model.coefficients.grad = None
    error = ((model(x) - y) ** 2).sum() / N
    error.backward()
    return error


powers = np.vander(x.numpy(), 9, increasing=True)
exact = powers @ np.linalg.lstsq(powers, y.numpy(), rcond=None)[0]
best = float(np.mean((y.numpy() - exact) ** 2))
for step in range(301):
    loss = evaluate().item()
    if step == 0:
        for name, parameter in model.named_parameters():
            print(
                f"   gradient of {name} {tuple(parameter.shape)}: norm "
                f"{parameter.grad.norm():.3f}"
            )
    if step in (0, 30, 300):
        print(
            f"   gradient descent, step {step:>3}: loss {loss:.7f}, {loss - best:.7f} "
            "above the smallest"
        )
    before = model.coefficients[1].item()
    model.coefficients.data -= 0.3 * model.coefficients.grad
    if step == 0:
        print(
            f"   coefficients[1] before and after the first step: {before:.3f} → "
            f"{model.coefficients[1]:.3f}"
        )

# L-BFGS remembers how the gradient changed along its last steps. From that it knows in
# which directions the valley is flat, and how far to go there.
model.coefficients.data.zero_()
optimizer = torch.optim.LBFGS(
    model.parameters(), max_iter=20, line_search_fn="strong_wolfe"
)
for step in range(6):
    loss = optimizer.step(evaluate).item()
    print(
        f"   L-BFGS, step {step}: loss {loss:.7f}, {loss - best:.7f} above the smallest"
    )

# 6. Evaluation and figure
#
# The two-part code for all degrees. The data part should fall with each degree. From
# degree 3 on it should fall more slowly than the model part rises, about 3 bits per
# coefficient, so that the sum has its minimum there. BIC, divided by 2 ln 2 and moved
# to start at the same height, should run beside the total.
heading("6. Evaluation and figure")
DEGREES = range(9)
degree, table = kata.select_degree(x, y, 8)
print(f"   {'degree':>6} {'model':>7} {'data':>7} {'total':>7}")
for d, row in enumerate(table):
    mark = "  ← the fewest bits" if d == degree else ""
    print(f"   {d:>6} {row['model']:7.1f} {row['data']:7.1f} {row['total']:7.1f}{mark}")
_, coarse = kata.select_degree(x, y, 3, precision=0.1)
saved = [fine["data"] - row["data"] for fine, row in zip(table, coarse, strict=False)]
print(
    f"   a spacing of 0.1 saves {saved[0]:.1f} bits for degree 0 and {saved[3]:.1f} "
    "for degree 3: nothing else changes"
)


def leftovers(x, y):
    """The residuals for all degrees, by least squares: what training comes to,
    but faster.
    """
    designs = [np.vander(x.numpy(), d + 1) for d in DEGREES]
    return [
        y - torch.from_numpy(a @ np.linalg.lstsq(a, y.numpy(), rcond=None)[0])
        for a in designs
    ]


def smallest(values):
    """The degree with the smallest value."""
    return int(np.argmin(values))


# Now the choice is repeated on 30 data sets, by four rules. Training 270 polynomials
# would take half a minute, so least squares finds them at once. The bits are those of
# your functions. The paper's claim: no validation set is needed.
with_criteria = stretch(kata.information_criteria, y, 1) is not None
picks = {}
for points, noise in ((60, 0.2), (60, 1.0), (600, 1.0)):
    counts = {"total bits": [], "BIC": [], "AIC": [], "data bits": []}
    for seed in range(30):
        left = leftovers(
            *kata.make_polynomial_data(
                points, CUBIC, noise, torch.Generator().manual_seed(seed)
            )
        )
        data = [kata.gaussian_code_length(r) for r in left]
        counts["data bits"].append(smallest(data))
        counts["total bits"].append(
            smallest(
                [d + kata.model_code_length(k, points) for k, d in enumerate(data)]
            )
        )
        if with_criteria:
            criteria = [kata.information_criteria(r, k + 1) for k, r in enumerate(left)]
            counts["BIC"].append(smallest([row["bic"] for row in criteria]))
            counts["AIC"].append(smallest([row["aic"] for row in criteria]))
    print(f"   {points} points, noise {noise}:")
    for name, found in counts.items():
        if found:
            shown = ", ".join(f"{d}: {found.count(d)}" for d in sorted(set(found)))
            print(
                f"      {name:<10} {found.count(3):>2} of 30 find the cubic. By "
                f"degree: {shown}"
            )
    picks[points, noise] = counts

# Pruning is a choice of model, too. From degree 8 take single powers away. The message
# then says how many are left, which of all sets of that size, and their coefficients.
# The shortest one should have 1, x and x³: the cubic has no x². A greedy search drops
# the power that costs the fewest data bits, fits again, and so on. It cannot take a
# step back.


def bits_with(powers, x, y):
    """The total bits of a polynomial of these powers, out of nine, fitted by
    least squares.
    """
    design = np.stack([x.numpy() ** power for power in powers], axis=1)
    left = y - torch.from_numpy(
        design @ np.linalg.lstsq(design, y.numpy(), rcond=None)[0]
    )
    which = math.log2(math.comb(9, len(powers)))
    return (
        kata.model_code_length(len(powers) - 1, len(x))
        + which
        + kata.gaussian_code_length(left)
    )


def pruned(x, y):
    """Every set of powers that the greedy search passes, each with its bits."""
    powers, passed = tuple(range(9)), {}
    while powers:
        passed[powers] = bits_with(powers, x, y)
        smaller = list(itertools.combinations(powers, len(powers) - 1))
        powers = (
            min(smaller, key=lambda some: bits_with(some, x, y))
            if len(powers) > 1
            else ()
        )
    return passed


passed = pruned(x, y)
best = min(passed, key=passed.get)
print(
    f"   greedy: from {passed[tuple(range(9))]:.1f} bits for nine powers to "
    f"{passed[best]:.1f} for the powers {best}"
)
sets = [
    powers for size in range(1, 6) for powers in itertools.combinations(range(9), size)
]
found = {"greedy": [], "all sets of up to five": []}
for seed in range(30):
    data_set = kata.make_polynomial_data(
        60, CUBIC, NOISE, torch.Generator().manual_seed(seed)
    )
    passed = pruned(*data_set)
    found["greedy"].append(min(passed, key=passed.get))
    found["all sets of up to five"].append(
        min(sets, key=lambda powers: bits_with(powers, *data_set))
    )
for name, chosen in found.items():
    print(
        f"   {name:<22}: {chosen.count((0, 1, 3))} of 30 find the powers 0, 1 and 3, ",
        end="",
    )
    print(f"{sum(len(powers) <= 4 for powers in chosen)} have at most four powers")

# The figure: the parts and their sum over the degree, and what four rules choose on 30
# data sets.
figure = Figure(figsize=(6.6, 5.6))
bits, bars = figure.subplots(2)
floor = 10 * int(min(row["data"] for row in table) / 10) - 10
curves = {"model": COLOURS[1], "data": COLOURS[0], "total": COLOURS[6]}
for name, colour in curves.items():
    values = [row[name] - (0 if name == "model" else floor) for row in table]
    bits.plot(DEGREES, values, "o-", color=colour, markersize=4)
    bits.text(8.15, values[-1], name, color=colour, va="center")
if with_criteria:
    bic = [
        kata.information_criteria(r, d + 1)["bic"] / (2 * math.log(2))
        for d, r in enumerate(leftovers(x, y))
    ]
    shifted = [value - bic[0] + table[0]["total"] - floor for value in bic]
    bits.plot(DEGREES, shifted, "--", color=COLOURS[2], linewidth=1.5)
    bits.text(8.15, shifted[-1], "BIC / 2 ln 2", color=COLOURS[2], va="center")
bits.plot(
    [degree],
    [table[degree]["total"] - floor],
    "o",
    color=COLOURS[6],
    markersize=11,
    markerfacecolor="none",
)
bits.set(
    xlim=(-0.3, 9.9),
    xticks=DEGREES,
    xlabel="degree",
    ylabel=f"bits (data and total: above {floor})",
)
bits.set_title(f"data bits fall, model bits rise: {degree} is shortest")
shown = {name: found for name, found in picks[60, 0.2].items() if found}
for place, found in enumerate(shown.values()):
    start = 0
    for d in sorted(set(found)):
        count = found.count(d)
        bars.barh(
            place,
            count,
            left=start,
            color=COLOURS[0] if d == 3 else COLOURS[3],
            edgecolor="white",
        )
        bars.text(
            start + count / 2,
            place,
            str(d),
            ha="center",
            va="center",
            color="white" if d == 3 else "black",
        )
        start += count
bars.set_yticks(range(len(shown)), list(shown))
bars.invert_yaxis()
bars.set(
    xlabel="data sets, of 30 (numbers: the chosen degree)",
    title="which rule finds the degree 3?",
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same residuals in NumPy and in PyTorch: those of the degree that was chosen.
heading("7. NumPy against PyTorch")
chosen = leftovers(x, y)[degree]
ours = kata.gaussian_code_length(chosen)
theirs = stretch(kata.gaussian_code_length_numpy, chosen.numpy())
if theirs is not None:
    print(
        f"   NumPy {theirs:.6f}, PyTorch {ours:.6f}: difference "
        f"{abs(theirs - ours):.1e}"
    )

# The polynomials themselves: NumPy solves for the coefficients at once, because the
# squared error is that simple. PyTorch finds them by its gradient, and would do so for
# any other model and loss as well.
powers = np.vander(x.numpy(), degree + 1, increasing=True)
solved = np.linalg.lstsq(powers, y.numpy(), rcond=None)[0]
trained = kata.PolynomialModel(degree)
kata.train_polynomial(trained, x, y)
print(f"   NumPy:   {solved.round(4)}")
print(f"   PyTorch: {trained.coefficients.detach().numpy().round(4)}")
print(
    "   largest difference: "
    f"{np.abs(solved - trained.coefficients.detach().numpy()).max():.1e}"
)

# Autograd gives the slope of the *bits* in each coefficient for free. At the optimum
# all should be 0. The second derivative h says how many digits are worth writing:
# rounding a coefficient by δ costs ½ · h · δ² bits. For the constant h is n / (v ln 2),
# so that an error of √(v / n) costs 1 / (2 ln 2) = 0.72 bits, whatever n is. To write
# that finely takes ½ log2 n bits, and some that do not depend on n.
coefficients = trained.coefficients.detach().clone()
design = torch.from_numpy(powers)


def data_bits(c):
    """The bits of the residuals, with the variance of the fit."""
    return (y - design @ c).square().sum() / (2 * chosen.square().mean() * math.log(2))


slope = torch.func.grad(data_bits)(coefficients)
curvature = torch.func.hessian(data_bits)(coefficients).diagonal()
print(f"   slopes of the bits: at most {slope.abs().max():.1e}")
print(f"   second derivatives: {curvature.numpy().round(0)}")
rounded = curvature / 2 * chosen.square().mean() / N
print(f"   rounding one of them by √(v / {N}) costs {rounded.numpy().round(2)} bits")
