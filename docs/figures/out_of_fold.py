"""Draw P and p: how the out-of-fold table and the columns for new rows are made, with the Titanic's numbers.

    python docs/figures/out_of_fold.py

writes docs/out_of_fold.svg.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

N_FOLDS, N_LEARNERS = 5, 7
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")  # told apart by colour-blind people
PALE, INK, OTHER = "#E9E9E9", "#222222", "#B5B5B5"
TALL, LOW = 3.4, 1.6  # heights of 891 and of 418 rows
TOP, BOTTOM = 7.6, 2.6  # upper edges of the two rows of tables
STYLE = {"font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "stackkit", "text.color": INK}


def _strips(axes: Axes, corner: tuple[float, float], size: tuple[float, float], colours: list[str]) -> None:
    """A table, or a column, cut into as many parts as there are colours."""
    (x, top), (width, height) = corner, size
    part = height / len(colours)
    for number, colour in enumerate(colours):
        below = top - (number + 1) * part
        axes.add_patch(Rectangle((x, below), width, part, facecolor=colour, edgecolor="white", linewidth=1.2))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2})


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    look = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK}
    axes.text(x, y, text, ha="center", va="center", bbox=look)


def _training_rows(axes: Axes) -> None:
    middle = TOP - TALL / 2
    _strips(axes, (0.2, TOP), (1.3, TALL), list(COLOURS))
    axes.text(0.85, TOP + 0.2, "X: 891 rows\nin 5 folds", ha="center")
    _arrow(axes, (1.65, middle), (2.35, middle))
    for fold in range(N_FOLDS):  # what each of the five fits sees; the coloured part is left out and predicted
        parts = [COLOURS[row] if row == fold else PALE for row in range(N_FOLDS)]
        _strips(axes, (2.5 + 0.52 * fold, TOP), (0.4, TALL), parts)
    axes.text(3.74, TOP + 0.2, "learner 1, fitted 5 times on the\ngrey rows (712 or 713)", ha="center")
    axes.text(3.74, TOP - TALL - 0.15, "each predicts the rows\nthat it did not see", ha="center", va="top")
    _arrow(axes, (5.2, middle), (5.9, middle))
    _columns(axes, 6.1, TOP, TALL, list(COLOURS))
    axes.text(6.25, TOP + 0.2, "P1\n891 x 1", ha="center")
    axes.text(8.55, TOP + 0.2, "P, side by side:\n891 x 7", ha="center")


def _columns(axes: Axes, x: float, top: float, height: float, colours: list[str]) -> None:
    """The first learner's column alone, then beside those of the others."""
    middle = top - height / 2
    _strips(axes, (x, top), (0.3, height), colours)
    _arrow(axes, (x + 0.5, middle), (x + 1.2, middle))
    _strips(axes, (x + 1.4, top), (0.3, height), colours)
    for learner in range(1, N_LEARNERS):
        _strips(axes, (x + 1.4 + 0.34 * learner, top), (0.3, height), [OTHER] * len(colours))


def _new_rows(axes: Axes) -> None:
    middle = BOTTOM - LOW / 2
    _strips(axes, (0.2, BOTTOM), (1.3, LOW), [OTHER])
    axes.text(0.85, BOTTOM + 0.2, "new X:\n418 rows", ha="center")
    _arrow(axes, (1.65, middle), (2.35, middle))
    for fold, colour in enumerate(COLOURS):
        _strips(axes, (2.5 + 0.52 * fold, BOTTOM), (0.4, LOW), [colour])
    axes.text(3.74, BOTTOM + 0.2, "all 5 fold models of learner 1\npredict all new rows", ha="center")
    _arrow(axes, (5.2, middle), (5.9, middle))
    axes.text(5.55, middle + 0.15, "mean", ha="center")
    _columns(axes, 6.1, BOTTOM, LOW, [INK])
    axes.text(6.25, BOTTOM + 0.2, "p1\n418 x 1", ha="center")
    axes.text(8.55, BOTTOM + 0.2, "p, the same columns:\n418 x 7", ha="center")


def draw() -> Figure:
    figure = Figure(figsize=(11, 6.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set(xlim=(0, 13.2), ylim=(0.4, 8.6))
    axes.axis("off")
    _training_rows(axes)
    _new_rows(axes)
    above, below = TOP - TALL / 2, BOTTOM - LOW / 2
    _arrow(axes, (9.95, above), (10.75, above))
    _box(axes, 11.9, above, "final estimator:\nfitted to P and y,\n891 rows")
    _arrow(axes, (11.9, above - 0.85), (11.9, below + 0.6))
    _arrow(axes, (9.95, below), (10.75, below))
    _box(axes, 11.9, below, "prediction:\n418 rows")
    return figure


def main() -> None:
    with rc_context(STYLE):
        path = Path(__file__).parent.parent / "out_of_fold.svg"
        draw().savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
