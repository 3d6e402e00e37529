"""`cross_fit`: the table of several learners, without a stack."""

from __future__ import annotations

from typing import Any

from stackkit._data import (
    as_known,
    check_class_weights,
    check_learners,
    check_like,
    check_methods,
    check_rows,
    check_target,
    check_weights,
    infer_task,
    make_folds,
    raw_rows,
    splitter_of,
    warn_of_row_order,
    with_names,
)
from stackkit._learners import prepares_tables, with_adapted_nets
from stackkit._oof.engine import run_cross_fit
from stackkit._oof.failures import OnError
from stackkit._oof.settings import learner_params, settings_of, split_seed
from stackkit._oof.table import OutOfFold


def cross_fit(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    X_test: Any = None,
    cv: Any = None,
    stack_method: Any = "auto",
    groups: Any = None,
    sample_weight: Any = None,
    n_jobs: int | None = None,
    memory: Any = None,
    on_error: OnError = "raise",
    task_timeout: float | None = None,
    time_limit: float | None = None,
    max_memory: int | str | None = None,
    random_state: Any = None,
    verbose: bool = False,
) -> OutOfFold:
    """Make the out-of-fold table of several learners: K folds, K fits per learner.

    Parameters
    ----------
    estimators : list of (str, estimator) or list of estimators
        The base learners. They are cloned; ``"drop"`` leaves one out. A dict of ``class_weight`` is by the labels of
        y, or by their codes 0, 1, ...
    X : array-like, sparse matrix or DataFrame of shape (n_rows, ...)
        Training rows. Missing values are passed on to the learners.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Classes of any type, a multilabel indicator, or numbers.
    X_test : same kind as X, shape (n_test_rows, ...), optional
        New rows, predicted by the mean over each learner's K fold models.
    cv : int, splitter, iterable of index pairs, or None
        The folds, made once for all learners. None means five folds of shuffled rows, stratified for
        classes, with ``groups`` kept together where they are given; without ``random_state`` they are the
        same in each call. Numbers mean (stratified) K-fold without shuffling, as in scikit-learn. Repeated
        splitters average over the repeats; a time series splitter leaves its first rows uncovered.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"} or dict by learner
        Which method fills the columns. "auto" takes the first of the three that a learner has.
        Binary probabilities keep the second class's column; multi-class ones one column per class.
    groups : array-like of shape (n_rows,), optional
        Passed to the splitter; with ``cv=None``, rows of one group are never on both sides of a fold.
    sample_weight : array-like of shape (n_rows,), optional
        Passed to each learner whose ``fit`` takes it; the others are named in a warning. With metadata routing: passed
        to whoever requests it.
    n_jobs : int, optional
        Workers for the flat list of learner x fold tasks. The result does not depend on it.
    memory : path, Store or None
        A folder that keeps each learner's results on each fold, so that nothing is fitted twice: see
        :class:`~stackkit.Store`. With ``store_models=False`` there, ``members`` of the result is empty.
    on_error : {"raise", "drop"}
        What a learner's failure does: end the call, or drop that learner with a warning.
    task_timeout, time_limit, max_memory : optional
        Limits, as in :class:`~stackkit.StackingModel`.
    random_state : int, RandomState or None
        Seeds every ``random_state`` left None in the learners and the splitter. With ``memory``, None means 0.
    verbose : bool
        Show progress on stderr.

    Returns
    -------
    OutOfFold
        P, p, and what made them.

    Raises
    ------
    LearnerFailedError
        A learner raised, or gave unusable predictions; it names the learner and the fold.
    ValueError
        An argument is not usable; the message says which and why.

    References
    ----------
    Wolpert (1992), Stacked generalization. Neural Networks 5(2), 241-259.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> X, y = load_iris(return_X_y=True)
    >>> oof = cross_fit([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], X, y, cv=5)
    >>> oof.train.shape
    (150, 6)
    >>> oof.columns
    ['knn_0', 'knn_1', 'knn_2', 'bayes_0', 'bayes_1', 'bayes_2']
    """
    settings = settings_of(
        n_jobs=n_jobs,
        memory=memory,
        on_error=on_error,
        task_timeout=task_timeout,
        time_limit=time_limit,
        max_memory=max_memory,
        random_state=random_state,
        verbose=verbose,
    )
    learners = with_adapted_nets(check_learners(estimators))
    raw = all(prepares_tables(learner) for _, learner in learners)
    X = raw_rows(X, training=True, stacklevel=2) if raw else check_rows(X, training=True)
    if X_test is not None:
        X_test = raw_rows(X_test, training=False, stacklevel=2) if raw else check_rows(X_test, training=False)
    y = as_known(y)
    task = infer_task(learners, y)
    target = check_target(y, task, X.shape[0])
    check_class_weights(learners, target)
    weights = check_weights(sample_weight, X.shape[0])
    split_params = {} if groups is None else {"groups": groups}
    splitter = splitter_of(cv, y, classifier=task == "classification", random_state=random_state)
    warn_of_row_order(splitter, X, y, grouped=groups is not None, stacklevel=2)
    return run_cross_fit(
        learners,
        X,
        target,
        folds=make_folds(splitter, X, y, seed=split_seed(settings.entropy), **split_params),
        methods=check_methods(learners, stack_method, task, also_known=[name for name, _ in with_names(estimators)]),
        fit_params=learner_params(learners, weights, groups),
        weights=weights,
        X_test=None if X_test is None else check_like(X, X_test),
        keep_members=settings.store is None or settings.store.store_models,
        settings=settings,
    ).oof
