"""Pictures of the page as SVG in its colours: they grow and shrink with it, and turn dark with it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
from markupsafe import Markup

from stackkit import plots

WIDTH = 5.4  # inches: on a phone its letters are still to be read
LARGE = 10_000  # numbers with a comma between their thousands
SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"
# Names of colours in the page's style sheet; matplotlib writes them in small letters.
COLOURS = {plots.INK: "currentColor", plots.GREY: "var(--grey)", plots.STACK_STYLE[0]: "var(--stack)"} | {
    colour: f"var(--c{k})" for k, (colour, _, _) in enumerate(plots.STYLES)
}
BLUE = plots.STYLES[0][0]

# Title, caption, height in inches, and what draws it into axes.
Picture = tuple[str, str, float, Callable[[Any], Any]]


class Gallery:
    """Drawn pictures as SVG; why some are left out."""

    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []
        self._n_drawn = 0

    def show(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        shown = []
        for title, caption, height, draw in pictures:
            try:
                svg = _svg(draw, height, prefix=f"p{self._n_drawn}-", label=title)
            except (TypeError, ValueError) as error:  # such as learning curves where no learner is a network
                self.left_out.append((title, str(error)))
                continue
            self._n_drawn += 1
            shown.append({"title": title, "caption": caption, "svg": Markup(svg)})  # noqa: S704 - drawn here
        return shown


def _svg(draw: Callable[[Any], Any], height: float, *, prefix: str, label: str) -> str:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as plots, which loads it when it draws

    # Text stays text: it can be read aloud, searched and copied, and is a fifth of the size.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "font.family": "sans-serif"}):
        picture, ax = plt.subplots(figsize=(WIDTH, height), layout="constrained")
        try:
            draw(ax)
            ax.set_title("")  # the page has its own
            _with_thousands(ax)
            buffer = io.BytesIO()
            how: dict[str, Any] = {"transparent": True, "bbox_inches": "tight"}
            picture.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, **how)
        finally:
            plt.close(picture)
    return _fit_for_page(buffer.getvalue(), prefix, label)


def _with_thousands(ax: Any) -> None:
    """Large numbers on the axes as the page writes them."""
    from matplotlib.ticker import ScalarFormatter  # noqa: PLC0415 - as above

    for axis in (ax.xaxis, ax.yaxis):
        if isinstance(axis.get_major_formatter(), ScalarFormatter) and max(map(abs, axis.get_view_interval())) >= LARGE:
            axis.set_major_formatter("{x:,.0f}")
            axis.get_major_locator().set_params(nbins=5)


def _fit_for_page(svg: bytes, prefix: str, label: str) -> str:
    """Names of its own, since several stand in one page; the page's colours; as wide as there is room."""
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", LINK)
    root = ET.fromstring(svg)  # noqa: S314 - written by matplotlib a moment ago
    for parent in root.iter():
        for metadata in parent.findall(f"{{{SVG}}}metadata"):
            parent.remove(metadata)
        for key, value in parent.attrib.items():
            parent.set(key, _for_page(key, value, prefix))
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _for_page(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    if key == f"{{{LINK}}}href":
        return re.sub("^#", f"#{prefix}", value)
    value = value.replace("url(#", f"url(#{prefix}")
    for colour, name in COLOURS.items():
        value = value.replace(colour.lower(), name)
    return value


def whiskers(ax: Any, frame: pd.DataFrame) -> None:
    """A bar up to the mean of each row, the first on top, with its interval from low to high."""
    height, names = np.arange(len(frame), 0, -1.0), list(frame.index)
    ax.barh(height, frame["mean"], 0.62, color=BLUE, alpha=0.55)
    known = frame["low"].notna().to_numpy()
    reach = [(frame["mean"] - frame["low"])[known], (frame["high"] - frame["mean"])[known]]
    style = {"color": plots.INK, "linestyle": "none", "capsize": 2, "linewidth": 1}
    ax.errorbar(frame["mean"][known], height[known], xerr=reach, **style)
    ax.axvline(0, color=plots.GREY, linewidth=0.8)
    ax.set_yticks(height, [plots.as_drawn(name) for name in names])
    ax.set_ylim(0.4, len(names) + 0.6)
    ax.locator_params(axis="x", nbins=6)
    plots.finish(ax, grid="x")


def bars(counts: Sequence[float], other: Sequence[float] | None = None, label: str = "") -> Any:
    """A small picture for a table's cell: bars of these heights, and behind a line of other heights."""
    if not len(counts) or not max(counts) > 0:
        return ""
    step, tall = 120 / len(counts), 24.0
    most = max([*counts, *(other if other is not None else ())])
    shapes = [
        f'<rect x="{k * step:.1f}" y="{tall - tall * count / most:.1f}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{tall * count / most:.1f}"/>'
        for k, count in enumerate(counts)
        if count > 0
    ]
    if other is not None:
        corners = [
            f"{x * step:.1f},{tall - tall * count / most:.1f}" for k, count in enumerate(other) for x in (k, k + 1)
        ]
        shapes.append(f'<polyline points="{" ".join(corners)}"/>')
    whole = f'<svg class="bars" viewBox="0 0 120 {tall:.0f}" role="img" aria-label="{{}}">{"".join(shapes)}</svg>'
    return Markup(whole).format(label)  # noqa: S704 - numbers, and a label that it escapes


def bar(part: float, label: str) -> Any:
    """A small picture of a share."""
    drawn = '<rect y="5" width="{:.1f}" height="14"/>'
    whole = f'<svg class="bars" viewBox="0 0 120 24" role="img" aria-label="{{}}">{drawn}</svg>'
    return Markup(whole).format(label, 120 * part)  # noqa: S704 - as above
