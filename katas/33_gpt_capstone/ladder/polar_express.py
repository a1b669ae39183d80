"""Muon's five polynomials chosen one by one (Amsel et al. 2025, arXiv 2505.16932),
where Newton-Schulz repeats one.

Each is the best for the range in which the one before leaves the singular values, so
that all come close to 1.
"""

from ladder.rung import Rung

RUNG = Rung(
    "Polar Express",
    record=38,
    date="2025-09-29",
    published="1.0 s less of 149.6 s on one machine, from 10 steps fewer",
    costs="nothing: it is as many products",
)
SAFETY = 1.02  # the paper's polynomials are for values below 1 / 1.02
A, B, C = 8.156554524902461, -22.48329292557795, 15.878769915207462
COEFFICIENTS = (
    (A / SAFETY, B / SAFETY**3, C / SAFETY**5),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
