"""What every lesson.py shares: which code it runs on, how its figure looks, and where the figure goes."""

import sys
from pathlib import Path
from types import ModuleType

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure  # noqa: E402  (the backend comes first)

from grader import catalogue, loading, standin  # noqa: E402

# Okabe and Ito's colours, which stay apart for every kind of colour vision: blue, vermillion, green, orange, purple, sky, black.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000"]

matplotlib.rcParams.update(
    {
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 150,
        "figure.figsize": (8, 3.8),
        "font.size": 10,
        "image.cmap": "cividis",
        "legend.frameon": False,
        "lines.linewidth": 2,
    }
)


def code(lesson: str) -> ModuleType:
    """The module that a lesson runs on: the learner's where its core specs pass, else the reference. Prints which.

    Args:
        lesson: the lesson's own `__file__`.
    """
    kata = catalogue.kata_at(Path(lesson).resolve())
    try:
        choice = standin.choose(kata, kata.root / "katas", itself=True)
        module = loading.load(kata, choice.sources[kata.name], choice.sources)
    except loading.LoadFailure as failure:
        raise SystemExit(str(failure)) from None
    print(*choice.notes, "", sep="\n")
    return module


def save_figure(figure: Figure, lesson: str) -> None:
    """Write the figure to the path given on the command line, or else to `.kata/figures/`, and print where it is."""
    kata = catalogue.kata_at(Path(lesson).resolve())
    path = Path(sys.argv[1] if len(sys.argv) > 1 else kata.root / ".kata" / "figures" / f"{kata.name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"\nThe figure is in {path}")
