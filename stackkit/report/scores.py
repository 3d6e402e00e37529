"""What the stack and its learners are worth: the line on top, the verdict, the leaderboard, fold by fold, the cost."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from stackkit import plots
from stackkit._assessment import (
    better,
    constant_answers,
    make_scoring,
    score_board,
    stack_label,
    who_is_best,
)
from stackkit._oof import LOWER_IS_BETTER, METRIC_NAMES
from stackkit.report.figures import Picture
from stackkit.report.subject import Subject
from stackkit.report.tables import NOTHING, TableContext, figure, intervals, share, table_of

# --- on top ---------------------------------------------------------------------------------------------


def headline(subject: Subject) -> dict[str, Any]:
    """The stack's scores beside those of its best learner, and of a guess that knows no column."""
    board = score_board(subject.oof)
    stack, best = subject.stack_scores, board.loc[[subject.best]].iloc[0]
    shown = best if stack is None else stack
    cards = [
        _card(f"{'stack' if stack is not None else subject.best}: {METRIC_NAMES[m]}", shown, m) for m in subject.metrics
    ]
    first = next((metric for metric in subject.metrics if np.isfinite(shown[metric])), subject.metrics[0])
    if stack is not None:
        cards.append(_card(f"best learner, {subject.best}: {METRIC_NAMES[first]}", best, first))
    guess = _guess(subject, first)
    if np.isfinite(guess):
        what = "the mean for every row" if subject.oof.classes is None else "the classes' shares for every row"
        cards.append({"label": f"without a model: {METRIC_NAMES[first]}", "value": _told(guess, first), "note": what})
    outer = _outer(subject.nested)
    return {
        "cards": [*outer, *cards],
        "why": "" if stack is not None else f"There is no score of the stack: {subject.no_stack}.",
        "optimistic": stack is not None and not subject.caveat,
        "given": bool(subject.caveat),
    }


def _card(label: str, row: pd.Series, metric: str) -> dict[str, str]:
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    known = np.isfinite(low) and np.isfinite(high)
    note = f"{_told(low, metric)} to {_told(high, metric)}" if known else ""
    return {"label": label, "value": _told(row[metric], metric), "note": f"{note}{', ' if note else ''}{_way(metric)}"}


def _way(metric: str) -> str:
    return better(metric not in LOWER_IS_BETTER)


def _told(value: float, metric: str) -> str:
    if not np.isfinite(value):
        return NOTHING
    return share(value) if metric == "accuracy" else figure(value)


def _outer(nested: Any) -> list[dict[str, str]]:
    if nested is None:
        return []
    row = nested.table.iloc[0]
    note = f"{figure(row['low'])} to {figure(row['high'])}, {better(nested.greater_is_better)}"
    return [{"label": f"stack, on outer folds: {nested.metric}", "value": figure(row["score"]), "note": note}]


def _guess(subject: Subject, metric: str) -> float:
    """The score of a prediction that does not look at X, on the same folds; NaN where it has none."""
    name = {"log_loss": "neg_log_loss", "accuracy": "accuracy", "rmse": "neg_root_mean_squared_error", "r2": "r2"}
    methods, oof, target = ["predict", "predict_proba"], subject.oof, subject.target
    found = []
    try:
        scoring = make_scoring(name[metric], methods, None, target, oof.sample_weight)
        for train, test in (subject.stack or oof).folds.pairs:
            weights = None if oof.sample_weight is None else oof.sample_weight[test]
            answers = constant_answers(methods, target, train, len(test))
            found.append(scoring(answers, None, subject.truth(test), weights))
    except ValueError:
        return np.nan
    return float(np.mean(found))


# --- verdict and leaderboard -----------------------------------------------------------------------------


def verdict(nested: Any) -> dict[str, Any]:
    if nested is None:
        return {"sentence": None, "tables": []}
    scores = table_of(
        nested.table.rename(columns={"score": nested.metric}),
        "learner",
        caption=f"Mean {nested.metric} over {len(nested.folds)} outer folds, {better(nested.greater_is_better)}, with "
        f"standard error and 95 % interval. {who_is_best(nested.chosen)}",
    )
    differences = table_of(
        nested.differences,
        "the stack's gain over",
        caption="Paired differences over the outer folds; above zero the stack is better, whatever the metric. "
        "Corrected resampled t-test (Nadeau and Bengio, 2003).",
    )
    return {"sentence": nested.verdict(), "tables": [scores, differences]}


def leaderboard(subject: Subject) -> TableContext:
    """With intervals in one column, as many columns as fit a page; and what they mean."""
    board = subject.model.leaderboard(nested=subject.nested, full=True)
    _fill_in_stack(board, subject)
    shown = pd.DataFrame(index=board.index)
    first, second = subject.metrics
    outer = f"outer {getattr(subject.nested, 'metric', '')}"
    for name, head in ((first, first), ("outer", outer), (second, second)):
        if name in board and not board[name].isna().all():
            shown[head] = board[name]
            if name == "outer" or subject.nested is None:
                shown[f"95 % of {name}"] = intervals(board[f"{name}_low"], board[f"{name}_high"])
    for name, head in {"weight": "weight", "marginal": "marginal", "fit_seconds": "fit s"}.items():
        if name in board and not board[name].isna().all():
            shown[head] = board[name]
    if not (board["status"] == "ok").all():
        shown["status"] = board["status"]
    caption = "Intervals allow for folds sharing training rows."
    if "fit s" in shown:
        caption += " Seconds to fit are sums over the folds, the stack's over its learners."
    return table_of(shown, "learner", text=["status"], caption=caption) | {"legend": board.attrs["legend"]}


def _fill_in_stack(board: pd.DataFrame, subject: Subject) -> None:
    """The leaderboard leaves it out where it takes long, or needs the training rows, which the page may have."""
    label = stack_label(subject.oof)
    scores = subject.stack_scores
    if scores is not None and board.loc[label, list(subject.metrics)].isna().all():
        columns = [name for name in scores.index if name in board and not name.endswith("_seconds")]
        board.loc[label, columns] = scores[columns].astype(float)
        board.loc[label, "status"] = "ok"


def board_pictures(subject: Subject) -> list[Picture]:
    n_rows = len(subject.oof.blocks) + (1 if _comparable(subject) is None else 4)
    folds = "A small dot is one fold, bars are 95 % intervals."

    def draw_weights(ax: Any) -> Any:
        return plots.WeightsDisplay.from_estimator(subject.model, ax=ax)

    return [
        ("Scores, fold by fold", folds, 0.3 * n_rows + 1.5, lambda ax: _draw_scores(subject, ax)),
        ("Weights", "What the final estimator makes of each.", 0.3 * n_rows + 1.5, draw_weights),
    ]


def _comparable(subject: Subject) -> Any:
    """The nested scores, where they are in one of the metrics of the table."""
    return subject.nested if getattr(subject.nested, "metric", None) in subject.metrics else None


def _draw_scores(subject: Subject, ax: Any) -> None:
    display = plots.LeaderboardDisplay.from_estimator(subject.model, nested=_comparable(subject), ax=ax)
    metric = next(name for name, shown in METRIC_NAMES.items() if shown == display.metric)
    both = display.scores[["outer", "oof"]].notna().all(axis=1).to_numpy()
    for place, (name, combined) in enumerate(display.scores["combined"].items()):
        height = len(display.scores) - place + 0.13 * both[place]  # as the display has it
        scores = _of_folds(subject, str(name), metric, is_learner=not combined)
        style = {"s": 16, "color": plots.GREY, "alpha": 0.8, "linewidths": 0, "zorder": 3}
        ax.scatter(scores, np.full(len(scores), height), **style)


def _of_folds(subject: Subject, name: str, metric: str, *, is_learner: bool) -> np.ndarray:
    if is_learner:
        return _by_fold(subject, name)[metric].to_numpy()
    if subject.stack is not None and name == stack_label(subject.oof):
        return subject.stack.scores[metric].to_numpy()
    return np.array([])


def _by_fold(subject: Subject, name: str) -> pd.DataFrame:
    scores = subject.oof.scores
    return scores[scores.index.get_level_values("learner") == name]


# --- cost ------------------------------------------------------------------------------------------------


def cost(subject: Subject) -> TableContext | None:
    """Run time and size by learner; None where it is not known."""
    if subject.caveat:
        return None
    oof, rows = subject.oof, {}
    tested = sum(len(test) for _, test in oof.folds.pairs)
    for name in oof.blocks:
        seconds = _by_fold(subject, name)[["fit_seconds", "predict_seconds"]].sum()
        size = _size(subject.model.members_[name])
        rows[name] = {
            "fit s": float(seconds["fit_seconds"]),
            "of all": share(seconds["fit_seconds"] / max(oof.scores["fit_seconds"].sum(), 1e-12)),
            "predict s per 1,000 rows": float(1000 * seconds["predict_seconds"] / tested),
            "size, MB": np.nan if size is None else size / 1e6,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").sort_values("fit s", ascending=False, kind="stable")
    total = f"{oof.scores['fit_seconds'].sum():,.1f} seconds of fits in all, and {frame['size, MB'].sum():,.1f} MB"
    caption = f"{total}. Seconds are sums over the folds; the size is that of what predicts new rows."
    return table_of(frame, "learner", caption=caption)


class _Counter:
    """A file that only counts what is written to it."""

    size = 0

    def write(self, data: Any) -> int:
        self.size += memoryview(data).nbytes
        return len(data)


def _size(members: list[Any]) -> float | None:
    """Bytes of a learner's members, by the first of them; None for what cannot be pickled."""
    counter = _Counter()
    try:
        cloudpickle.Pickler(counter, protocol=pickle.HIGHEST_PROTOCOL).dump(members[0])
    except Exception:  # noqa: BLE001 - objects refuse to be pickled in any way they like
        return None
    return float(counter.size * len(members))
