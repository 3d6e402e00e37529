"""Tables as a terminal shows them, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment import better, who_is_best
from stackkit._oof import METRICS
from stackkit._utils import as_figure

WIDTH = 80  # of tables and text
WITH_INTERVAL = ("log_loss", "rmse", "outer")  # of more there is no room
_SHORT = ("weight", "marginal", "fit_seconds")  # three digits will do
_LEAST_WANTED = ("marginal", "accuracy", "r2", "fit_seconds")  # left out first, where there is no room for all


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"learner": name} | {str(key): value for key, value in row.items()} for name, row in table.iterrows()]


def plain_values(value: Any) -> Any:
    """JSON has neither NaN nor NumPy's numbers."""
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def as_json(document: dict[str, Any]) -> str:
    return json.dumps(plain_values(document), indent=2, allow_nan=False)


def number(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "-" if pd.isna(value) else as_figure(value)


def board_as_text(board: pd.DataFrame) -> str:
    """The columns to look at first, and whatever a status has to tell; all columns are in --json."""
    table = table_as_text(_as_shown(board, _names_that_fit(board)))
    told = [f"{name}: {status}" for name, status in board["status"].items() if status != "ok"]
    return "\n\n".join([table, paragraphs(*told)]) if told else table


def _names_that_fit(board: pd.DataFrame) -> list[str]:
    """Where there is no room for all: beside another metric not two of the usual ones, then no marginal values."""
    names = _shown_columns(board)
    first, second = _usual_metrics(board)
    others = [] if names[0] == first else [second]
    for name in (*others, "marginal", second, "fit_seconds"):
        if name in names and len(max(table_as_text(_as_shown(board, names)).split("\n"), key=len)) > WIDTH:
            names.remove(name)
    return names


def _usual_metrics(board: pd.DataFrame) -> tuple[str, str]:
    return next(pair for pair in METRICS.values() if pair[0] in board)


def _as_shown(board: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    shown: dict[str, list[str]] = {}
    for name in names:
        decimals = _decimals(board[name], 3, np.max) if name in _SHORT else _decimals(board[name], 4, np.median)
        values = [_rounded(value, decimals) for value in board[name]]
        if name in WITH_INTERVAL and not board[f"{name}_low"].isna().all():
            fewer = max(0, decimals - 1)
            ends = zip(values, board[f"{name}_low"], board[f"{name}_high"], strict=True)
            shown[f"{name} (95 %)"] = [
                value if value == "-" else f"{value} ({_rounded(low, fewer)} to {_rounded(high, fewer)})"
                for value, low, high in ends
            ]
        else:
            shown["fit s" if name == "fit_seconds" else name] = values
    return pd.DataFrame(shown, index=board.index)


def _decimals(values: pd.Series, digits: int, size_of: Callable[[np.ndarray], float]) -> int:
    """As many for all of a column as leave so many digits to a value of its size."""
    sizes = np.abs(values.to_numpy(dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return int(np.clip(digits - 1 - np.floor(np.log10(size_of(sizes))), 0, 9)) if sizes.size else 0


def _rounded(value: float, decimals: int) -> str:
    return "-" if pd.isna(value) else f"{round(value, decimals) + 0.0:,.{decimals}f}"  # no minus before a zero


def _shown_columns(board: pd.DataFrame) -> list[str]:
    """The metric that ranks comes first."""
    first, second = _usual_metrics(board)
    metrics = dict.fromkeys([str(board.columns[0]), first, "outer", second])
    wanted = [*metrics, "weight", "marginal", "fit_seconds", *(["level"] if board["level"].max() > 1 else [])]
    return [name for name in wanted if name in board and not board[name].isna().all()]


def scores_as_text(board: pd.DataFrame, n_folds: int, *, verdict: bool) -> str:
    """What `stackkit fit` prints when the fit is done; whether a ``verdict`` is still to come."""
    heading = f"Out-of-fold scores, over {n_folds} folds, with 95 % intervals:"
    where = "the verdict, which follows." if verdict else "--verdict, or stackkit compare."
    unseen = tuple(f"{name}:" for name in set(board) - set(_names_that_fit(board)))
    legend = paragraphs(*(line for line in board.attrs.get("legend", ()) if not line.startswith(unseen)))
    return "\n\n".join([heading, board_as_text(board), legend, f"What the stack itself is worth: {where}"])


def nested_as_text(nested: Any) -> str:
    """Nested scores, what they mean, and the verdict on them."""
    parts = [f"{nested.metric} on {len(nested.folds)} outer folds, {better(nested.greater_is_better)}:"]
    parts += [table_as_text(nested.table.map(number))]
    parts += [f"The stack's gain over each, in {nested.metric}; above 0 the stack is better:"]
    parts += [table_as_text(nested.differences.map(number))]
    parts += [paragraphs("low, high: the 95 % interval.", who_is_best(nested.chosen))]
    return "\n\n".join([*parts, paragraphs(nested.verdict())])


def board_facts(board: pd.DataFrame) -> dict[str, Any]:
    """What JSON says of a leaderboard: its rows, and which way is better."""
    ways = {metric: better(way).split()[0] for metric, way in board.attrs["greater_is_better"].items()}
    return {"leaderboard": records(board), "better": ways}


def nested_facts(nested: Any) -> dict[str, Any]:
    """What JSON says of them beside their tables."""
    return {
        "scoring": nested.scoring,
        "metric": nested.metric,
        "greater_is_better": nested.greater_is_better,
        "chosen": nested.chosen.tolist(),
        "constant": nested.constant,
        "margin": nested.margin,
        "outcome": nested.outcome,
        "verdict": nested.verdict(),
    }


def paragraphs(*texts: str) -> str:
    return "\n".join(line for text in texts for line in wrap(text, WIDTH, break_on_hyphens=False))


def table_as_text(table: pd.DataFrame) -> str:
    lines = [[str(table.index.name or ""), *map(str, table.columns)]]
    lines += [[str(name), *row] for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = (
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    return "\n".join("  ".join(row).rstrip() for row in rows)
