"""What the pictures have in common: ink, colours, sizes, names as they are drawn, legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

# Every text and axis. Pages are white or dark, and pictures often transparent: on white as on black, its contrast is
# above the 4.5 that WCAG 2 asks for.
INK = "#6e7681"
GREY = "#8c959f"  # the grid, and whatever stands behind
# Okabe and Ito (2008); marker and line style say the same once more.
STACK_STYLE = ("#D55E00", "X", "-")
STYLES = [
    ("#0072B2", "o", "-"),
    ("#009E73", "s", "--"),
    ("#CC79A7", "^", "-."),
    ("#E69F00", "D", ":"),
    ("#56B4E9", "v", (0, (6, 1, 1, 1, 1, 1))),
]
BLUE, ORANGE = STYLES[0][0], STACK_STYLE[0]
LONGEST = 28  # characters of a name that are shown


def start(display: Any, ax: Any, width: float, height: float) -> Any:
    """The given axes as they are, or those of a new figure of this size in inches."""
    if ax is None:
        from matplotlib import pyplot as plt  # noqa: PLC0415 - `import stackkit.plots` need not pay for it

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def width_with(inches: float, names: Iterable[Any]) -> float:
    """Of a drawing with names beside it."""
    return inches + 0.075 * max(len(as_drawn(name)) for name in names)


def as_drawn(name: Any, longest: int = LONGEST) -> str:
    """Text as it is drawn: on one line, not too long, and no mathematics in it."""
    text = " ".join(str(name).split())
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"
    return text.replace("$", r"\$")


def so_many_others(names: Sequence[Any]) -> str:
    return f"{len(names)} other{'s' if len(names) > 1 else ''}"


def line_style(style: tuple[Any, str, Any]) -> dict[str, Any]:
    colour, marker, dashes = style
    return {"color": colour, "marker": marker, "linestyle": dashes, "linewidth": 1.5, "markersize": 5}


def in_legend(name: str) -> str:
    """Matplotlib leaves names that begin with an underscore out of legends."""
    text = as_drawn(name, 40)
    return f" {text}" if text.startswith("_") else text


def legend_above(ax: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "ncols": 2}
    ax.legend(handles, [in_legend(label) for label in labels], frameon=False, labelcolor=INK, fontsize="small", **place)


def styled(kind: str, ours: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Our style with the user's over it, by whichever of matplotlib's names for it: `lw` is `linewidth`."""
    from matplotlib import cbook, collections, image, lines, patches  # noqa: PLC0415 - as in `start`

    artists = {
        "line": lines.Line2D,
        "bar": patches.Patch,
        "mark": collections.PathCollection,
        "image": image.AxesImage,
    }
    ours, given = (cbook.normalize_kwargs(style, artists[kind]) for style in (ours, given))
    # Either stands for the colours of faces and edges; "c" is only known where points have values.
    hidden = {"color", "facecolor", "edgecolor"} if {"color", "c"} & given.keys() else set()
    return {key: value for key, value in ours.items() if key not in hidden} | given


def entitle(ax: Any, title: str) -> None:
    """A title, over the legend where there is one: matplotlib makes room for neither of the two."""
    legend, pad = ax.get_legend(), None
    if legend is not None:
        pad = legend.get_window_extent().height * 72 / ax.figure.dpi + 6
    ax.set_title(title, color=INK, pad=pad)


def finish(ax: Any, *, grid: str | None) -> None:
    """One ink for every text and axis, and a quiet grid."""
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color=GREY, alpha=0.35, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    for spine in ax.spines.values():
        spine.set_color(INK)
    ax.tick_params(which="both", colors=INK)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(INK)
        axis.get_offset_text().set_color(INK)
