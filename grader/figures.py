"""The style of all figures: colours, the width that a phone shows, the
smallest letters.
"""

from pathlib import Path

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

# Okabe and Ito's palette, distinguishable with every type of colour vision:
# blue, vermillion, green, orange, purple, sky, black.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000"]

# A phone shows a figure 360 pixels wide: letters of 10 points are then 7.6 pixels high.
# Panels that do not fit side by side go below each other.
WIDTH = 6.6  # inches: 990 pixels
SMALLEST = 10  # points

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 150,
        "figure.figsize": (WIDTH, 3.6),
        "font.size": SMALLEST,
        "image.cmap": "cividis",
        "legend.frameon": False,
        "lines.linewidth": 2,
    }
)


def write_figure(figure: Figure, path: Path) -> None:
    """Write the figure at the width of all figures, with no letters below the
    smallest size.
    """
    figure.set_figwidth(WIDTH)
    for text in figure.findobj(Text):
        text.set_fontsize(max(SMALLEST, float(text.get_fontsize())))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    if path.suffix == ".png":
        with Image.open(path) as drawn:
            # a third of the bytes
            drawn.convert("RGB").quantize(128).save(path, optimize=True)
