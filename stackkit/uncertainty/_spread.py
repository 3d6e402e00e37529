"""How unlike the predictions of the fold models are."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import answers_of, with_one_final
from stackkit._data import picked_columns
from stackkit._model import StackingModel, new_rows_of
from stackkit.uncertainty._inputs import check_kind, check_stack


def spread(model: StackingModel, X: Any) -> np.ndarray:
    """How unlike the predictions of the fold models are: a cheap measure of doubt.

    The models of each fold, under the stack's final estimator, are asked for new rows one fold after the other. Where
    their answers depend on which training rows were left out, there is little to go by. It is larger for rows that
    are predicted worse; how much so differs from table to table, and there is no unit to it: for intervals with a
    promise use :func:`conformal`.

    Parameters
    ----------
    model : StackingModel
        Fitted, with ``refit=False``, or with a final estimator that weighs the learners: it needs the fold models.
    X : array-like or DataFrame of shape (n_rows, n_features)
        New rows. Of training rows it tells nothing: all fold models but one saw them.

    Returns
    -------
    ndarray of shape (n_rows,)
        For numbers the standard deviation of the folds' predictions, in the units of y. For classes the entropy of
        their mean less the mean of their entropies, in nats: the Jensen-Shannon divergence.

    Raises
    ------
    ValueError
        The stack gives neither numbers nor probabilities of one class per row, or the fold models are not there.
    TypeError
        ``model`` is not a StackingModel.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
    ensembles. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.uncertainty import spread
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("tree", DecisionTreeClassifier()), ("bayes", GaussianNB())], random_state=0)
    >>> doubt = spread(model.fit(X[::2], y[::2]), X[1::2])
    >>> bool(doubt.min() >= 0)
    True
    """
    check_stack(model, "spread")
    check_is_fitted(model)
    oof, final = model.oof_, model.final_estimator_
    block = check_kind(oof, final, "spread", classes=oof.classes is not None)
    rows = new_rows_of(model, X)
    picked = picked_columns(model.passthrough, rows)
    each = list(with_one_final(final, oof, picked=picked, n_jobs=model.n_jobs).of_new_rows(rows))
    if oof.classes is None:
        return np.std([values[:, 0] for values in each], axis=0)
    shares = np.array([answers_of(values, block, oof.classes).predict_proba(None) for values in each])
    found = entropy(shares.mean(axis=0), axis=1) - entropy(shares, axis=2).mean(axis=0)
    return np.maximum(found, 0)
