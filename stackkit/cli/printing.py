"""Tables as a terminal shows them, and as JSON."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment import counted

WIDTH = 96  # of text


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"learner": name} | {str(key): value for key, value in row.items()} for name, row in table.iterrows()]


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor NumPy's numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def as_json(document: dict[str, Any]) -> str:
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def number(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "-" if pd.isna(value) else f"{value:.4g}"


def board_as_text(board: pd.DataFrame) -> str:
    """The columns worth a look; all of them are in --json."""
    shown: dict[str, list[str]] = {}
    for name in board:
        if f"{name}_low" in board or f"{name}_std" in board:
            spread = [board.get(f"{name}_{end}", board[name]) for end in ("low", "high")]
            shown[f"{name} (95 %)"] = [
                f"{number(score)} ({number(low)} to {number(high)})"
                for score, low, high in zip(board[name], *spread, strict=True)
            ]
        elif not str(name).endswith(("_std", "_low", "_high")):
            shown[str(name)] = board[name].map(number).to_list()
    if set(shown.get("status", ())) == {"ok"}:
        del shown["status"]
    return table_as_text(pd.DataFrame(shown, index=board.index))


def scores_as_text(board: pd.DataFrame, n_folds: int, *, verdict: bool) -> str:
    """What `stackkit fit` prints when the fit is done; whether a ``verdict`` is still to come."""
    where = "the verdict, which follows." if verdict else "--verdict, or stackkit compare."
    heading = f"Scores of rows that a learner did not see, over {n_folds} folds:"
    return "\n\n".join([heading, board_as_text(board), f"What the stack itself is worth: {where}"])


def nested_as_text(nested: Any) -> str:
    """Nested scores, what they mean, and the verdict on them."""
    parts = [f"{nested.metric} on {len(nested.folds)} outer folds, {better(nested.greater_is_better)}:"]
    parts += [table_as_text(nested.table.map(number))]
    parts += [f"The stack's gain over each, in {nested.metric}; above 0 the stack is better:"]
    parts += [table_as_text(nested.differences.map(number))]
    parts += [
        _paragraphs(
            "low, high: the 95 % interval. best learner: in each outer fold the one with the best out-of-fold score "
            f"inside it ({counted(nested.chosen)}); as that changes from fold to fold, it may score worse than a "
            "learner of the list."
        )
    ]
    return "\n\n".join([*parts, _paragraphs(nested.verdict())])


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


def better(greater_is_better: bool) -> str:
    return f"{'higher' if greater_is_better else 'lower'} is better"


def _paragraphs(*texts: str) -> str:
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


def as_line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
