"""MLflow's autologging, where it is on: a fit of a stack is one run, and the fits inside it are none.

MLflow makes a run of each fit of scikit-learn's own estimators, and knows no others. Left alone, it would make one of
each learner on each fold, and none of the stack. Fits of learners and final estimators are no runs anywhere
(`_members/fitting.py`): also in `cross_fit`, and where one is fitted once more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from warnings import warn

from stackkit._utils import AUTOLOGGING, unlogged

_MOST_CHARACTERS = 500  # of a parameter's value, as older servers of MLflow take them
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")

_logging: list[Any] = []  # the model whose fit is being logged: of the process, as is MLflow's own switch


@contextmanager
def logged_once(model: Any) -> Iterator[None]:
    """Log the model's fit as one run: its parameters, and the scores of its learners out of fold.

    Nothing is imported: who has autologging on has MLflow loaded. A run that the user has begun is used.
    """
    autologging = sys.modules.get(AUTOLOGGING)
    if autologging is None or _logging or _is_off(autologging):
        yield
        return
    mlflow = sys.modules["mlflow"]
    _logging.append(model)
    try:
        with mlflow.start_run() if mlflow.active_run() is None else nullcontext():
            _told(lambda: _log_parameters(mlflow, model))
            with unlogged():
                yield
            _told(lambda: mlflow.log_metrics(_scores(model)))
    finally:
        _logging.clear()


def _is_off(autologging: Any) -> bool:
    """Whether the user did not ask for it, or MLflow logs a fit around this one already, such as a search."""
    # No public name tells of the fit around; without this one, the stack is logged into that fit's run.
    sessions = getattr(sys.modules.get(f"{AUTOLOGGING}.safety"), "_AutologgingSessionManager", None)
    return autologging.autologging_is_disabled("sklearn") or (
        sessions is not None and sessions.active_session() is not None
    )


def _told(log: Any) -> None:
    """Logging must not end a fit: a server may be away, or a run have parameters of these names."""
    try:
        log()
    except Exception as error:  # noqa: BLE001 - whatever MLflow and its server raise
        warn(f"MLflow did not log the stack: {type(error).__name__}: {error}", stacklevel=4)


def _log_parameters(mlflow: Any, model: Any) -> None:
    cls = type(model)
    mlflow.set_tags({"estimator_name": cls.__name__, "estimator_class": f"{cls.__module__}.{cls.__name__}"})
    mlflow.log_params({name: repr(value)[:_MOST_CHARACTERS] for name, value in model.get_params(deep=False).items()})


def _scores(model: Any) -> dict[str, float]:
    """Means over the folds, by "learner score"."""
    scores = model.oof_.scores.groupby("learner", sort=False).mean(numeric_only=True)
    return {
        _NOT_IN_NAMES.sub("_", f"{learner} {column}"): float(value)
        for learner, row in scores.iterrows()
        for column, value in row.items()
        if value == value  # noqa: PLR0124 - not NaN: a score that is missing
    }
