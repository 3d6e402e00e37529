"""Learners that failed: which error, which warning, which row in ``failures_``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from warnings import warn

import pandas as pd

from stackkit._data import Folds
from stackkit._execution import ALL_ROWS, OUT_OF_TIME, Result
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError

OnError = Literal["raise", "drop"]
FAILURE_COLUMNS = ["learner", "fold", "stage", "error", "traceback"]


def handle_failures(
    results: Iterable[Result], learners: dict[str, Any], folds: Folds, on_error: OnError
) -> pd.DataFrame:
    """Raise the first failure in the order of learners and folds, or drop those learners.

    Learners that time did not suffice for are dropped in any case, as long as one is whole.
    """
    failed = _in_order(results, list(learners))
    sentences = {id(result): _sentence(result, learners[result.name], folds) for result in failed}
    if failed:
        _raise_if_needed(failed, sentences, len(learners), on_error)
    late = list(dict.fromkeys(result.name for result in failed if is_late(result)))
    dropped = [f"{sentences[id(result)]} It leaves the stack." for result in failed if not is_late(result)]
    if late:
        dropped.append(f"The learner(s) {late} were not fitted on all folds within time_limit and leave the stack.")
    for message in dropped:
        warn(message, LearnerDroppedWarning, stacklevel=4)
    rows = [(r.name, r.fold, r.failure.stage, r.failure.message, r.failure.traceback) for r in failed if r.failure]
    return pd.DataFrame(rows, columns=FAILURE_COLUMNS)


def _in_order(results: Iterable[Result], names: list[str]) -> list[Result]:
    """The failed results, by learner and fold."""
    return sorted((r for r in results if r.failure), key=lambda r: (names.index(r.name), r.fold))


def _raise_if_needed(failed: list[Result], sentences: dict[int, str], n_learners: int, on_error: OnError) -> None:
    broken = [result for result in failed if not is_late(result)]
    if broken and on_error == "raise":
        advice = "Fix it, or leave it out with on_error='drop'."
        cause = broken[0].failure.cause  # type: ignore[union-attr]
        raise LearnerFailedError(f"{sentences[id(broken[0])]} {advice}") from cause
    first: dict[str, str] = {}
    for result in failed:
        first.setdefault(result.name, sentences[id(result)])
    if len(first) == n_learners:
        raise LearnerFailedError("No learner is left, all failed. " + " ".join(first.values())) from None


def is_late(result: Result) -> bool:
    """Whether it failed for want of time alone."""
    return result.failure is not None and result.failure.stage == OUT_OF_TIME


def warn_of_fold_models(results: Iterable[Result], learners: dict[str, Any], folds: Folds) -> None:
    for result in results:
        if result.failure:
            sentence = _sentence(result, learners[result.name], folds)
            warn(f"{sentence} Its fold models predict new rows instead.", LearnerDroppedWarning, stacklevel=4)


def _sentence(result: Result, learner: Any, folds: Folds) -> str:
    failure = result.failure
    assert failure is not None  # noqa: S101 - only failed results come here
    if result.fold == ALL_ROWS:
        where = f"when refitted on all {folds.n_rows} rows"
    else:
        train, test = folds.pairs[result.fold]
        where = f"in {folds.title(result.fold)} ({len(train)} training rows, {len(test)} test rows)"
    kind = type(learner).__name__
    return f"The learner {result.name!r} ({kind}) failed {where}, in {failure.stage}: {failure.message}"
