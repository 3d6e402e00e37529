"""What a fitted stack goes by."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import column_names, features_of, importances_of, labels_of, table_of_fit, target_of
from stackkit._blending import is_integer
from stackkit._data import check_length, picked_columns
from stackkit._model import StackingModel

__all__ = ["permutation_importance"]


def permutation_importance(
    model: StackingModel,
    X: Any,
    y: Any = None,
    *,
    features: Any = None,
    scoring: Any = None,
    n_repeats: int = 5,
    max_samples: float = 1.0,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> Bunch:
    """Shuffle a column of the training rows: how much worse does the stack predict them?

    Each row is predicted by models that did not see it, and no learner is fitted again. Within the test rows of a
    fold a column is shuffled; the fold's own models predict these rows anew; and a final estimator that was fitted to
    the table's rows of the fold's training part alone turns that into the stack's prediction. This is the final
    estimator that gives the stack its own score in ``leaderboard()``, cross-fitted on the out-of-fold table. It is not
    ``final_estimator_``, which saw the targets of all rows: by that, the score to begin with would be too good.
    scikit-learn's function of this name asks the whole model, and so needs rows that were held out from the fit.

    Parameters
    ----------
    model : StackingModel
        Fitted, with ``refit=False``, or with a final estimator that weighs the learners: it needs the fold models.
    X : array-like or DataFrame of shape (n_rows, n_features)
        The training rows, as they were given to ``fit``. No sparse matrix.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
        Their targets. The model knows them; where they are given, they must be the same.
    features : list or dict, optional
        What is shuffled. None means each column. An item of a list is a column, by name or position, or a list of
        columns, whose values are shuffled together: use that for columns that tell the same. A dict gives names to
        such items.
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
        - importances : ndarray of shape (n_features, n_folds). Of each fold, the mean over the repeats.
        - baseline_scores : ndarray of shape (n_folds,). The scores before anything is shuffled; losses are positive.
        - scoring : str. The name of the scorer.
        - frame : DataFrame. Mean, standard deviation and interval, the most important first.

    Raises
    ------
    ValueError
        X are not the training rows, the fold models are not there, or a parameter cannot be used.
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
    rows = table_of_fit(model, X)
    if y is not None:
        _check_target(model, y)
    found = importances_of(
        model.oof_,
        model.final_estimator_,
        rows,
        features=features_of(column_names(rows), features),
        scoring=scoring,
        n_repeats=n_repeats,
        max_rows=_max_rows(max_samples, rows.shape[0]),
        entropy=check_random_state(random_state).randint(np.iinfo(np.int32).max),
        picked=picked_columns(model.passthrough, rows),
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
