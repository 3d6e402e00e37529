"""One self-contained HTML page about a fitted stack: nothing in it comes from elsewhere, nothing in it runs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from stackkit import plots
from stackkit._assessment import better, diversity, target_of, who_is_best
from stackkit._data import NumberFormat, check_raw_table, is_pandas, is_polars, numbers_of
from stackkit._learners import as_frame, column_kind, parts_of_format
from stackkit._oof import METRICS, OutOfFold
from stackkit._utils import versions, written_whole

MOST_COLUMNS = 200  # of X, with a row each
MOST_CLASSES = 30  # of y
MOST_DECIMALS = 6  # of a number in a table
NOTHING = "\N{EN DASH}"  # in a cell
SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"

TableContext = dict[str, Any]


def write_report(
    model: Any, path: str | Path, *, X: Any = None, nested: Any = None, command: str | None = None
) -> Path:
    """Write the page about a fitted StackingModel; see :meth:`stackkit.StackingModel.report`.

    ``command`` is the line that repeats it, where there is one.
    """
    check_is_fitted(model)
    page = render(model, X=X, nested=nested, command=command)
    with written_whole() as draft_for:
        draft_for(Path(path)).write_text(page, encoding="utf8")
    return Path(path)


def render(model: Any, *, X: Any = None, nested: Any = None, command: str | None = None) -> str:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only a report needs it
    from markupsafe import Markup  # noqa: PLC0415

    oof: OutOfFold = model.oof_
    task = target_of(oof).task
    gallery = _Gallery(Markup)
    board_pictures = gallery.show(_of_board(model, nested))
    pictures = gallery.show(_of_table(model))
    template = files("stackkit.report").joinpath("report.html.j2").read_text(encoding="utf8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=f"A stack of {len(oof.blocks)} learner{'s' * (len(oof.blocks) != 1)}",
        subtitle=f"{task.capitalize()}, {len(oof.y):,} training rows. Written by stackkit {version('stackkit')}, "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.",
        verdict=_verdict(nested),
        board=_board(model, nested),
        board_pictures=board_pictures,
        data=_data(model, X),
        making=_making(model),
        pictures=pictures,
        left_out=gallery.left_out,
        diversity=_diversity(oof),
        failures=model.failures_.to_dict(orient="records"),
        repeat=_repeat(model, command),
    )


# --- tables -------------------------------------------------------------------------------------------


def _table(frame: pd.DataFrame, first: str, text: Sequence[str] = ()) -> TableContext:
    """Cells as text; the numbers of a column have as many decimals as its largest needs for four digits."""
    columns = [_cells(frame.iloc[:, k]) for k in range(frame.shape[1])]
    rows = [list(row) for row in zip(map(str, frame.index), *columns, strict=True)]
    return {"head": [first, *map(str, frame.columns)], "rows": rows, "text": set(text)}


def _cells(column: pd.Series) -> list[str]:
    values = column.tolist()
    known = [abs(value) for value in values if isinstance(value, float) and np.isfinite(value)]
    decimals = 3 - int(np.floor(np.log10(max(known)))) if known and max(known) > 0 else 0
    # Where that would be too many, powers of ten: a column of numbers near 1e-9 is not one of zeros.
    form = f",.{max(0, decimals)}f" if decimals <= MOST_DECIMALS else ".3e"
    return [_cell(value, form) for value in values]


def _cell(value: Any, form: str) -> str:
    if isinstance(value, float):
        return format(value, form) if np.isfinite(value) else NOTHING
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _verdict(nested: Any) -> dict[str, Any]:
    if nested is None:
        return {"sentence": None}
    n_folds = len(nested.folds)
    return {
        "sentence": nested.verdict(),
        "scores": _table(nested.table.rename(columns={"score": nested.metric}), "learner"),
        "scores_caption": f"Mean {nested.metric} over {n_folds} outer folds, {better(nested.greater_is_better)}, with "
        f"standard error and 95 % interval. {who_is_best(nested.chosen)}",
        "differences": _table(nested.differences, "the stack's gain over"),
    }


def _board(model: Any, nested: Any) -> TableContext:
    """The leaderboard, with intervals in one column, as many as fit a page; and what its columns mean."""
    board = model.leaderboard(nested=nested, full=True)
    first, second = METRICS[target_of(model.oof_).task]
    shown = pd.DataFrame(index=board.index)
    for name, head in ((first, first), ("outer", f"outer {getattr(nested, 'metric', '')}"), (second, second)):
        if name in board:
            shown[head] = board[name]
            if name == "outer" or nested is None:
                shown[f"95 % of {name}"] = _intervals(board[f"{name}_low"], board[f"{name}_high"])
    for name, head in {"weight": "weight", "marginal": "marginal", "fit_seconds": "fit s"}.items():
        if name in board and not board[name].isna().all():
            shown[head] = board[name]
    if not (board["status"] == "ok").all():
        shown["status"] = board["status"]
    return _table(shown, "learner", text=["status"]) | {"legend": board.attrs["legend"]}


def _intervals(low: pd.Series, high: pd.Series) -> list[str]:
    ends = _cells(pd.concat([low, high]))
    pairs = zip(ends[: len(low)], ends[len(low) :], strict=True)
    return [NOTHING if low == NOTHING else f"{low} to {high}" for low, high in pairs]


def _data(model: Any, X: Any) -> dict[str, Any]:
    oof: OutOfFold = model.oof_
    summary = _target_of_classes(oof) if isinstance(oof.classes, np.ndarray) else _target_of_numbers(oof)
    columns = None if X is None else _columns(X)
    weighted = "" if oof.sample_weight is None else " Rows have weights."
    return {
        "sentence": f"{len(oof.y):,} training rows, {model.n_features_in_:,} columns.{weighted}",
        **summary,
        "columns": columns,
        "columns_title": f"{model.n_features_in_:,} columns"
        + (f", the first {MOST_COLUMNS} shown" if model.n_features_in_ > MOST_COLUMNS else ""),
    }


def _target_of_classes(oof: OutOfFold) -> dict[str, Any]:
    counts = np.bincount(oof.y, minlength=len(oof.classes))
    frame = pd.DataFrame({"rows": counts, "share": [f"{share:.1%}" for share in counts / counts.sum()]}, oof.classes)
    more = f"The {MOST_CLASSES} most frequent of {len(frame):,} classes." if len(frame) > MOST_CLASSES else ""
    shown = frame.nlargest(MOST_CLASSES, "rows") if more else frame
    return {"target": _table(shown, "class"), "target_caption": more}


def _target_of_numbers(oof: OutOfFold) -> dict[str, Any]:
    outputs = oof.y.reshape(len(oof.y), -1)
    frame = pd.DataFrame(outputs).describe().T[["mean", "std", "min", "25%", "50%", "75%", "max"]]
    frame.index = [f"output {k}" if outputs.shape[1] > 1 else "y" for k in range(outputs.shape[1])]
    return {"target": _table(frame, "target"), "target_caption": ""}


def _columns(X: Any) -> TableContext | None:
    rows, _ = check_raw_table(X, training=False)
    if getattr(rows, "ndim", 2) != 2 or not (is_pandas(rows) or is_polars(rows) or isinstance(rows, np.ndarray)):
        return None  # images and sparse matrices have no columns worth a line each
    frame = as_frame(rows[:, :MOST_COLUMNS] if isinstance(rows, np.ndarray) else rows)
    frame = frame.iloc[:, :MOST_COLUMNS]
    described = {
        str(name): {
            "kind": column_kind(column),
            "missing": f"{column.isna().mean():.1%}",
            "different": _n_different(column),
            "from": _end(column, "min"),
            "to": _end(column, "max"),
        }
        for name, column in frame.items()
    }
    return _table(pd.DataFrame.from_dict(described, orient="index"), "column", text=["kind"])


def _n_different(column: pd.Series) -> int:
    try:
        return int(column.nunique())
    except TypeError:  # lists, for one, have no hash
        return int(column.dropna().astype(str).nunique())


def _end(column: pd.Series, which: str) -> str:
    """The smallest or the largest value of what has an order."""
    kind, known = column_kind(column), column.dropna()
    if kind == "number" and not pd.api.types.is_numeric_dtype(column.dtype):
        known = pd.Series(numbers_of(column, NumberFormat(*parts_of_format(column)))).dropna()
    if kind not in ("number", "date") or known.empty:
        return ""
    value = getattr(known, which)()
    return f"{value:.4g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00")


def _making(model: Any) -> dict[str, Any]:
    oof: OutOfFold = model.oof_
    times = oof.folds.n_tested
    rows = {
        name: {
            "learner's method": block.method,
            "columns of P": block.width,
            "members": len(model.members_[name]),
            "class": _kind_of(model.members_[name]),
        }
        for name, block in oof.blocks.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return {
        "n_folds": len(oof.folds),
        "cv": repr(model.cv),
        "n_train": _range([len(train) for train, _ in oof.folds.pairs]),
        "n_test": _range([len(test) for _, test in oof.folds.pairs]),
        "shape": oof.train.shape,
        "n_covered": int(oof.covered.sum()),
        "times": _range(times[times > 0].tolist()),
        "final": type(model.final_estimator_).__name__,
        "refit": model.refit,
        "learners": _table(frame, "learner", text=["learner's method", "class"]),
    }


def _range(sizes: list[int]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _kind_of(members: list[Any]) -> str:
    if not members:
        return NOTHING
    steps = getattr(members[0], "steps", None)
    return " > ".join(type(step).__name__ for _, step in steps) if steps else type(members[0]).__name__


def _diversity(oof: OutOfFold) -> dict[str, TableContext]:
    found = diversity(oof)
    pairs = found.pairs.reset_index()
    pairs.index = pairs["learner"]
    pairs = pairs.drop(columns="learner")
    learners = found.learners
    for frame in (pairs, learners):
        frame.columns = [str(name).replace("_", " ") for name in frame.columns]
    return {"learners": _table(learners, "learner"), "pairs": _table(pairs, "learner", text=["other"])}


def _repeat(model: Any, command: str | None) -> dict[str, Any]:
    return {
        "command": command,
        "seeded": model.random_state is not None or model.memory is not None,
        "model": _written_out(model),
        "versions": _table(pd.DataFrame({"version": versions()}), "library", text=["version"]),
    }


def _written_out(model: Any) -> str:
    """All of its settings, where repr stops at 700 characters; functions without their places in memory."""
    whole = model.__repr__(N_CHAR_MAX=1_000_000)
    return re.sub(r"(?<=\S) at 0x[0-9a-fA-F]+(?=>)", "", whole)


# --- pictures -----------------------------------------------------------------------------------------

Picture = tuple[str, str, Callable[[], Any]]  # title, caption, what draws it


def _of_board(model: Any, nested: Any) -> list[Picture]:
    intervals = "Out of fold, with 95 % intervals" + (", and on the outer folds." if nested is not None else ".")
    return [
        ("Scores", intervals, lambda: plots.LeaderboardDisplay.from_estimator(model, nested=nested)),
        ("Weights", "What the final estimator makes of each.", lambda: plots.WeightsDisplay.from_estimator(model)),
    ]


def _of_table(model: Any) -> list[Picture]:
    return [
        (
            "Correlation of out-of-fold predictions",
            "Learners that predict alike stand together; bright squares add little to each other.",
            lambda: plots.CorrelationDisplay.from_estimator(model),
        ),
        (
            "Reliability",
            "Where a learner says 70 %, it should be right in 70 % of the rows.",
            lambda: plots.ReliabilityDisplay.from_estimator(model),
        ),
        (
            "Learning curves of the networks",
            "A thin line a fold model, a thick one their mean.",
            lambda: plots.LearningCurvesDisplay.from_estimator(model),
        ),
        (
            "Hardest rows",
            "The training rows with the largest loss out of fold: look at these for wrong labels and missing columns.",
            lambda: plots.HardestRowsDisplay.from_estimator(model),
        ),
    ]


class _Gallery:
    """Drawn pictures as SVG; why some are left out."""

    def __init__(self, markup: Callable[[str], Any]) -> None:
        self.left_out: list[tuple[str, str]] = []
        self._markup, self._n_drawn = markup, 0

    def show(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        shown = []
        for title, caption, draw in pictures:
            try:
                svg = _svg(draw, prefix=f"p{self._n_drawn}-", label=title)
            except (TypeError, ValueError) as error:  # such as a reliability curve of numbers
                self.left_out.append((title, str(error)))
                continue
            self._n_drawn += 1
            shown.append({"title": title, "caption": caption, "svg": self._markup(svg)})
        return shown


def _svg(draw: Callable[[], Any], *, prefix: str, label: str) -> str:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - plots loads it when it draws

    # Text stays text: it can be read aloud, searched and copied, and is a fifth of the size.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "font.family": "sans-serif"}):
        display = draw()
        display.ax_.set_title("")  # the page has its own
        figure = display.figure_
        try:
            buffer = io.BytesIO()
            figure.savefig(
                buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None}
            )
            inches = figure.get_figwidth()
        finally:
            plt.close(figure)
    return _fit_for_page(buffer.getvalue(), prefix, label, round(inches * 96))


def _fit_for_page(svg: bytes, prefix: str, label: str, width: int) -> str:
    """Names of its own, since several stand in one page; the page's ink; as wide as there is room."""
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", LINK)
    root = ET.fromstring(svg)  # noqa: S314 - written by matplotlib a moment ago
    for parent in root.iter():
        for metadata in parent.findall(f"{{{SVG}}}metadata"):
            parent.remove(metadata)
        for key, value in parent.attrib.items():
            parent.set(key, _for_page(key, value, prefix))
    root.attrib.pop("height", None)
    root.attrib |= {"width": str(width), "role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _for_page(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    if key == f"{{{LINK}}}href":
        return re.sub("^#", f"#{prefix}", value)
    return value.replace("url(#", f"url(#{prefix}").replace(plots.INK, "currentColor")
