"""What a fitted stack goes by, and which of the labels that it was fitted to it does not believe."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import (
    STACK,
    column_names,
    features_of,
    importances_of,
    label_doubts,
    labels_of,
    second_level,
    table_of_fit,
    target_of,
)
from stackkit._blending import is_integer
from stackkit._data import check_length, picked_columns
from stackkit._model import StackingModel
from stackkit._utils import choice

__all__ = ["label_issues", "permutation_importance"]


def permutation_importance(
    model: StackingModel,
    X: Any = None,
    y: Any = None,
    *,
    of: Literal["columns", "learners"] = "columns",
    features: Any = None,
    scoring: Any = None,
    n_repeats: int = 5,
    max_samples: float = 1.0,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> Bunch:
    """Shuffle a column of the training rows, or a learner: how much worse does the stack predict them?

    Each row is predicted by models that did not see it, and no learner is fitted again. Within the test rows of a
    fold a column is shuffled; the fold's own models predict these rows again; and a final estimator that was fitted to
    the table's rows of the fold's training part alone turns that into the stack's prediction. This is the final
    estimator that gives the stack its own score in ``leaderboard()``, cross-fitted on the out-of-fold table. It is not
    ``final_estimator_``, which saw the targets of all rows: by that, the score to begin with would be too good.
    scikit-learn's function of this name asks the whole model, and so needs rows that were held out from the fit.

    Of learners it is their out-of-fold predictions that are shuffled: what the final estimator goes by. By how much the
    stack gets worse without a learner is another question, which ``leaderboard()`` answers ("marginal"): there the
    final estimator is fitted again, and others make up for what is gone.

    Parameters
    ----------
    model : StackingModel
        Fitted, with ``refit=False``, or with a final estimator that weighs the learners: it needs the fold models.
    X : array-like or DataFrame of shape (n_rows, n_features), optional
        The training rows, as they were given to ``fit``. No sparse matrix. Of learners they are needed with
        ``passthrough`` alone.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
        Their targets. The model knows them; where they are given, they must be the same.
    of : {"columns", "learners"}
        Whether columns of X are shuffled, or learners' predictions.
    features : list or dict, optional
        What is shuffled. None means each column, or each learner. An item of a list is a column, by name or position,
        or a list of columns, whose values are shuffled together: use that for columns that tell the same. A dict gives
        names to such items. Likewise of learners.
    scoring : str, callable or None
        One scorer of scikit-learn. None means what the leaderboard ranks by: "neg_log_loss", or "accuracy" where the
        stack gives no probabilities; for numbers "neg_root_mean_squared_error".
    n_repeats : int
        How often each column is shuffled on each fold.
    max_samples : int or float
        How many rows are used, over all folds: a number, or a share of them. Fewer are quicker.
    random_state : int, RandomState or None
        Seeds the shuffles.
    n_jobs : int or None
        Threads. They change no result.

    Returns
    -------
    Bunch
        With these attributes, in the order of the columns:

        - feature_names : ndarray of str, shape (n_features,).
        - importances_mean : ndarray of shape (n_features,). By how much the score gets worse, in the scorer's units:
          the mean over the folds.
        - importances_std : ndarray of shape (n_features,). The standard deviation over the folds.
        - importances_low, importances_high : ndarray of shape (n_features,). A 95 % interval of the mean, which allows
          for folds sharing training rows (Nadeau and Bengio 2003). NaN with one fold.
        - importances : ndarray of shape (n_features, n_folds). Of each fold, the mean over the repeats; NaN where its
          rows all weigh zero, which counts for nothing in the others.
        - baseline_scores : ndarray of shape (n_folds,). The scores before anything is shuffled; losses are positive.
        - scoring : str. The name of the scorer.
        - frame : DataFrame. Mean, standard deviation and interval, the most important first.

    Raises
    ------
    ValueError
        X is missing or is not the training rows, the fold models are not there, or a parameter cannot be used.
    TypeError
        ``model`` is not a StackingModel.

    Notes
    -----
    Columns that tell the same make up for each other: each of them alone may seem to be of no use. Shuffle them
    together then.

    References
    ----------
    Breiman (2001), Random forests. Machine Learning 45, 5-32.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.inspection import permutation_importance
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], random_state=0).fit(X, y)
    >>> found = permutation_importance(model, X, scoring="accuracy", random_state=0)
    >>> sorted(found.frame.index[:2])
    ['petal length (cm)', 'petal width (cm)']
    >>> list(permutation_importance(model, of="learners", random_state=0).feature_names)
    ['knn', 'bayes']
    """
    if not isinstance(model, StackingModel):
        raise TypeError(
            f"The 'model' parameter of permutation_importance must be a StackingModel; got a {type(model).__name__}. "
            "For other estimators there is sklearn.inspection.permutation_importance."
        )
    check_is_fitted(model)
    if not is_integer(n_repeats, 1):
        raise ValueError(
            "The 'n_repeats' parameter of permutation_importance must be an integer of at least 1; got "
            f"{n_repeats!r}. Use such as 5."
        )
    if of not in ("columns", "learners"):
        raise choice("of", "permutation_importance", ("columns", "learners"), of)
    if X is None and (of == "columns" or model.passthrough is not False):
        raise ValueError(
            "X must be given to permutation_importance, for its columns to be shuffled or passed through; got None. "
            "Pass the training rows, or of='learners' without passthrough."
        )
    rows = None if X is None else table_of_fit(model, X)
    if y is not None:
        _check_target(model, y)
    chosen = _learners(model, features) if of == "learners" else features_of(column_names(rows), features)
    found = importances_of(
        model.oof_,
        model.final_estimator_,
        rows,
        of=of,
        features=chosen,
        scoring=scoring,
        n_repeats=n_repeats,
        max_rows=_max_rows(max_samples, len(model.oof_.y)),
        entropy=check_random_state(random_state).randint(np.iinfo(np.int32).max),
        picked=[] if rows is None else picked_columns(model.passthrough, rows),
        n_jobs=n_jobs,
    )
    frame = found.summary()
    in_order = frame.loc[found.values.index]
    return Bunch(
        feature_names=found.values.index.to_numpy(dtype=object),
        **{f"importances_{name}": in_order[name].to_numpy() for name in ("mean", "std", "low", "high")},
        importances=found.values.to_numpy(),
        baseline_scores=found.baseline,
        scoring=found.scoring.name,
        frame=frame,
    )


def _learners(model: StackingModel, features: Any) -> dict[str, list[int]]:
    """Positions in the table by the name of what is shuffled."""
    blocks, width = model.oof_.blocks, model.oof_.train.shape[1]
    names = list(blocks)
    return {
        name: [place for learner in learners for place in range(*blocks[names[learner]].columns.indices(width))]
        for name, learners in features_of(names, features).items()
    }


def _check_target(model: StackingModel, y: Any) -> None:
    known, given = labels_of(target_of(model.oof_)), np.asarray(y)
    check_length("y", given, len(known))
    differ = (given.reshape(known.shape) != known).reshape(len(known), -1).any(axis=1)
    if differ.any():
        row = int(differ.argmax())
        ours, theirs = (
            values[row].tolist() if hasattr(values[row], "tolist") else values[row] for values in (known, given)
        )
        raise ValueError(
            f"y must be the targets that the model was fitted to; got {theirs!r} in row {row}, where that was "
            f"{ours!r}. Leave y out: the model knows them."
        )


def _max_rows(max_samples: Any, n_rows: int) -> int | None:
    """None for all."""
    if is_integer(max_samples, 1):
        return int(max_samples)
    if isinstance(max_samples, float) and 0 < max_samples <= 1:
        return None if max_samples == 1 else max(1, round(max_samples * n_rows))
    raise ValueError(
        "The 'max_samples' parameter of permutation_importance must be a number of rows, or a share above 0.0 and up "
        f"to 1.0; got {max_samples!r}. Use 1.0 for all rows."
    )


def label_issues(model: StackingModel, X: Any = None, *, learner: str | None = None) -> pd.DataFrame:
    """Which training rows are likely labelled wrong, by predictions that did not see their labels.

    Of classes it is confident learning (Northcutt et al. 2021, "prune by noise rate"): a row counts for another class
    than its own where the probability of that class is at least what it is on average among the rows labelled so. How
    many rows of each class belong to each other one follows from these counts; as many are called issues, those first
    whose probability of the other class is largest beside that of their own. The rows are those that
    ``cleanlab.filter.find_label_issues`` finds in the same probabilities, except for ties. Of numbers, residuals are
    divided by the spread of the residuals of rows that are predicted alike; those beyond 3.5 standard deviations are
    issues (Iglewicz and Hoaglin 1993). No learner is fitted again.

    Parameters
    ----------
    model : StackingModel
        Fitted, to classes with probabilities or to one number per row. Its predictions are those of its final
        estimator, cross-fitted on the out-of-fold table: no row is predicted by one that learned from its label.
    X : array-like or DataFrame of shape (n_rows, n_features), optional
        The training rows; needed with ``passthrough``.
    learner : str, optional
        By the predictions of one learner alone.

    Returns
    -------
    DataFrame, a row for each training row with a prediction
        The most doubtful first. Index: the row labels of the fit, or positions. Columns:

        - position: where the row stands in X.
        - given: its label, or its number.
        - suggested: the most probable class, or the predicted number.
        - doubt: of classes 1 minus the probability of the given one; of numbers the residual in standard deviations of
          its neighbours.
        - issue: whether it is likely wrong.

    Raises
    ------
    TypeError
        ``model`` is not a StackingModel.
    ValueError
        There are no probabilities, X is needed, or there is no such learner.

    Notes
    -----
    An issue is a question, not an answer: rare kinds of rows, and what no column tells, look the same. Look at the rows
    before anything is changed; scores from changed labels can no longer be compared.

    References
    ----------
    Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels. Journal of
    Artificial Intelligence Research 70, 1373-1411.
    Iglewicz and Hoaglin (1993), How to detect and handle outliers. ASQC Quality Press.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.inspection import label_issues
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> y[7] = 2  # it is a 0
    >>> model = StackingModel([("knn", KNeighborsClassifier(15)), ("bayes", GaussianNB())], random_state=0).fit(X, y)
    >>> print(*label_issues(model).iloc[0][["given", "suggested", "issue"]])
    2 0 True
    """
    if not isinstance(model, StackingModel):
        raise TypeError(
            f"The 'model' parameter of label_issues must be a StackingModel; got a {type(model).__name__}. For a table "
            "of predictions there is StackingModel.from_oof."
        )
    check_is_fitted(model)
    if learner is not None and learner not in model.oof_.blocks:
        raise choice("learner", "label_issues", list(model.oof_.blocks), learner)
    if learner is not None:
        doubts = label_doubts(model.oof_, learner)
    else:
        doubts = label_doubts(_own_predictions(model, X), STACK)
    rows, names = doubts.index.to_numpy(), model.oof_.index
    found = doubts.reset_index().set_index(pd.Index(rows, name="row") if names is None else names[rows])
    return found.sort_values("doubt", ascending=False, kind="stable")


def _own_predictions(model: StackingModel, X: Any) -> Any:
    if model.passthrough is False:
        return second_level(model.final_estimator_, model.oof_, n_jobs=model.n_jobs)
    if X is None:
        raise ValueError("X must be given to label_issues with passthrough; got None. Pass the training rows.")
    rows = table_of_fit(model, X)
    picked = picked_columns(model.passthrough, rows)
    return second_level(model.final_estimator_, model.oof_, X=rows, picked=picked, n_jobs=model.n_jobs)
