"""`StackingClassifier` and `StackingRegressor`: the stack under the names, and with the manners, of scikit-learn's."""

from __future__ import annotations

from typing import Any

from sklearn.base import ClassifierMixin, RegressorMixin

from stackkit._model.stacking import StackingModel


class _OneTask(StackingModel):
    """A stack whose class says what it predicts: ``task`` is an attribute of the class, and no parameter."""

    def __init__(
        self,
        estimators: Any = None,
        final_estimator: Any = None,
        *,
        preset: Any = None,
        cv: Any = None,
        stack_method: Any = "auto",
        passthrough: Any = False,
        refit: bool = False,
        levels: Any = None,
        n_jobs: Any = None,
        memory: Any = None,
        on_error: Any = "raise",
        task_timeout: Any = None,
        time_limit: Any = None,
        max_memory: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            estimators,
            final_estimator,
            preset=preset,
            cv=cv,
            stack_method=stack_method,
            passthrough=passthrough,
            refit=refit,
            levels=levels,
            n_jobs=n_jobs,
            memory=memory,
            on_error=on_error,
            task_timeout=task_timeout,
            time_limit=time_limit,
            max_memory=max_memory,
            random_state=random_state,
            verbose=verbose,
        )
        del self.task  # it is of the class

    def _column_names(self) -> list[str]:
        """As in scikit-learn: stackingclassifier_knn0, stackingclassifier_knn1; stackingregressor_knn of one column."""
        prefix = type(self).__name__.lower()
        return [
            f"{prefix}_{name}{'' if block.width == 1 else i}"
            for name, block in self.oof_.blocks.items()
            for i in range(block.width)
        ]


class StackingClassifier(ClassifierMixin, _OneTask):
    """A stack that classifies: takes the place of :class:`sklearn.ensemble.StackingClassifier`.

    What :class:`~stackkit.StackingModel` does, known to be a classifier before it is fitted: so scikit-learn's
    cross-validation stratifies its folds, and its meta-estimators take it. Swapping the import is all that a user of
    scikit-learn's class does. Three defaults differ: new rows are predicted by the mean over each learner's fold models
    (``refit=True`` is scikit-learn's way), the final estimator is a blend of the learners' probabilities, and the
    folds are shuffled.

    Parameters
    ----------
    estimators : list of (str, estimator), list of estimators, or None
        The base learners, classifiers or regressors; None means :func:`~stackkit.default_learners`.
    final_estimator : classifier or None
        The meta-learner.
    preset, cv, stack_method, passthrough, refit, levels, n_jobs, memory, on_error, task_timeout, time_limit, \
max_memory, random_state, verbose : optional
        As in :class:`~stackkit.StackingModel`.

    Notes
    -----
    The attributes are those of :class:`~stackkit.StackingModel`. ``sample_weight`` for a learner of yours that takes
    none is an error, as in scikit-learn.

    References
    ----------
    Wolpert (1992), Stacked generalization. Neural Networks 5(2), 241-259.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingClassifier([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())])
    >>> cross_val_score(model, X, y, cv=3).round(2).tolist()
    [0.98, 0.94, 0.98]
    """

    task = "classification"
    score = StackingModel.score


class StackingRegressor(RegressorMixin, _OneTask):
    """A stack that predicts numbers: takes the place of :class:`sklearn.ensemble.StackingRegressor`.

    What :class:`~stackkit.StackingModel` does, known to be a regressor before it is fitted. Swapping the import is all
    that a user of scikit-learn's class does. Three defaults differ: new rows are predicted by the mean over each
    learner's fold models (``refit=True`` is scikit-learn's way), the final estimator is
    :class:`~stackkit.RidgePoolRegressor`, and the folds are shuffled.

    Parameters
    ----------
    estimators : list of (str, estimator), list of estimators, or None
        The base learners; None means :func:`~stackkit.default_learners`.
    final_estimator : regressor or None
        The meta-learner.
    preset, cv, stack_method, passthrough, refit, levels, n_jobs, memory, on_error, task_timeout, time_limit, \
max_memory, random_state, verbose : optional
        As in :class:`~stackkit.StackingModel`.

    Notes
    -----
    The attributes are those of :class:`~stackkit.StackingModel`. ``sample_weight`` for a learner of yours that takes
    none is an error, as in scikit-learn.

    References
    ----------
    Breiman (1996), Stacked regressions. Machine Learning 24, 49-64.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from stackkit import StackingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StackingRegressor([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))])
    >>> cross_val_score(model, X, y, cv=3).round(2).tolist()
    [0.46, 0.5, 0.53]
    """

    task = "regression"
    score = StackingModel.score
