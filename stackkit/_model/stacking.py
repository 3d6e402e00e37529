"""StackingModel: base learners, their out-of-fold table, and the final estimator on top."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, ClassifierTags, RegressorTags, get_tags, metadata_routing
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import full_board, shown_board
from stackkit._blending import default_blend
from stackkit._data import as_features, warn_of_row_order
from stackkit._execution import CallbackSupportMixin, say, with_callbacks
from stackkit._members import Block, Member
from stackkit._model.compact import CompactModel, check_refit, compact_model
from stackkit._model.diagram import CAN_DRAW, diagram_of
from stackkit._model.fit import Fitted, all_failures, fit_stack
from stackkit._model.fold_average import FoldAverage
from stackkit._model.forecast import forecast, in_a_sentence
from stackkit._model.given import stack_of_table
from stackkit._model.learner_predictor import LearnerPredictor, learner_predictor_of
from stackkit._model.levels import with_upper_board
from stackkit._model.new_rows import check_new_rows, known_columns
from stackkit._model.parameters import known_task, named_learners, settings_for, warn_of_unstratified
from stackkit._model.plan import Plan, make_plan
from stackkit._model.predictor import Predicts
from stackkit._model.routing import router_of
from stackkit._model.tracking import logged_once
from stackkit._oof import OutOfFold, refit_members


def _chooses_learners(model: StackingModel) -> bool:
    if model.estimators is not None:
        raise AttributeError(
            "set_fit_request is of a stack that chooses its learners, estimators=None. Call it of the learners, and of "
            "the final estimator, that are to be given metadata."
        )
    return True


class StackingModel(CallbackSupportMixin, Predicts, MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """Stacked generalisation: out-of-fold predictions of base learners train a final estimator.

    With K folds each learner is fitted K times. Each training row is predicted by models that did not
    see it (the table P, which trains the final estimator), and new rows by the mean over each learner's
    fold models (p). With ``refit=True`` each learner is fitted once more, on all rows, and that fit
    alone predicts new rows, as in scikit-learn's stackers: K + 1 fits.

    One class for classification and regression: which of the two follows from ``final_estimator``,
    else from ``estimators``, else from ``task``, else from the type of y at ``fit``.

    Parameters
    ----------
    estimators : list of (str, estimator), list of estimators, or None
        The base learners; they are cloned. "drop" leaves one out. None means
        :func:`~stackkit.default_learners`, which take raw data frames with text and missing values.
        Classes are coded 0, 1, ... before a learner sees them, as in scikit-learn's stackers; a dict of
        ``class_weight`` is by your labels (or by these codes), and translated for each fold.
    final_estimator : estimator or None
        The meta-learner. None means :class:`~stackkit.LogPoolClassifier` or
        :class:`~stackkit.RidgePoolRegressor`; where a learner gives no probabilities, for several
        target columns, and with ``passthrough``, it means scikit-learn's own choice, logistic
        regression or ridge. A StackingModel is a second level, and goes on with the folds of this one
        unless it has a ``cv`` of its own.
    preset : {"fast", "balanced", "best"} or None
        What ``estimators=None`` means, and ``cv=None`` with it: the learners of an ordered list, 6, 11 or all, that
        there is time for, in about 10, 60 or 600 seconds on two cores, on 5 folds, or on small tables 8 or 10. Of
        many rows only as many are used as that time allows, drawn at random. :meth:`plan` and ``verbose`` tell how
        long each learner is expected to take; that follows from the size of the table, not from the machine.
        None means the time of ``time_limit``; without such a limit, "fast". benchmarks/defaults.md in the sources
        has what the presets took, and what they gave.
    task : {"classification", "regression"} or None
        The task, where neither the learners nor the final estimator tell it.
    cv : int, splitter, iterable of index pairs, or None
        The folds, made once for all learners. None means five folds of shuffled rows, stratified for
        classes, with ``groups`` kept together where they are given; without ``random_state`` they are the
        same in each call. Numbers mean (stratified) K-fold without shuffling, as in scikit-learn: a warning
        tells where the rows are sorted. Repeated, grouped and time series splitters work; rows that no fold
        tests do not train the final estimator.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"} or dict by learner
        Which method fills the columns. "auto" takes the first of the three that a learner has.
    passthrough : bool or list of columns
        Whether the final estimator also sees X: all of it, or the named (or numbered) columns.
    refit : bool
        False: new rows are predicted by the mean over the K fold models. True: by one more fit on
        all rows, left out for learners whose weight in a blending final estimator is zero; of the default one
        for numbers that is only a learner that predicts the same for all rows.
    levels : {"auto"} or None
        For a StackingModel as ``final_estimator``, a second level: None takes it, "auto" only where it
        proves itself on rows held out (the learners are fitted once more on 10,000 rows at most);
        otherwise :class:`~stackkit.LogPoolClassifier` or what None means as ``final_estimator`` stands
        instead. ``level_check_`` and ``verbose`` say which, and why.
    n_jobs : int or None
        Workers for the flat list of learner x fold tasks, and threads for predictions. The result
        does not depend on it.
    memory : path, Store or None
        A folder that keeps what each learner gave on each fold: a fit that was interrupted goes on where
        it was, and after a change only what it touches is fitted. See :class:`~stackkit.Store`.
    on_error : {"raise", "drop"}
        What a learner's failure does: end ``fit``, or drop that learner with a warning and a row in
        ``failures_``.
    task_timeout : float or None
        Seconds for one fit of a learner (for each of its folds, where it trains all at once), with its
        predictions. One that takes longer has failed; its worker process is ended. Needs processes, and
        takes them for ``n_jobs=1`` too.
    time_limit : float or None
        Seconds after which ``fit`` starts no further task. Without ``preset``, the default learners are those
        that there is time for. Learners with all folds done are stacked,
        the others leave with a row in ``failures_``; it is an error when none is whole.
    max_memory : int, str or None
        Bytes, or text such as "8 GB", that this process and its workers should not exceed: the first
        fold of each learner is fitted alone and measured, then as many run at once as fit in. One task
        runs in any case. On a Dask cluster, the workers' own ``--memory-limit`` counts instead.
    random_state : int, RandomState or None
        Seeds every ``random_state`` left None in the learners, the splitter and the final estimator.
        With ``memory``, None means 0: else nothing could be found again.
    verbose : bool
        Show progress on stderr.

    Attributes
    ----------
    oof_ : OutOfFold
        P, its columns and blocks, the folds, and each learner's scores on each fold.
    members_ : dict of str to list of estimators
        What predicts new rows for each learner: its K fold models, or the one refitted.
    final_estimator_ : estimator
        Fitted on P. It sees classes coded 0, 1, ...
    classes_ : ndarray of shape (n_classes,), or a list of them for a multilabel target
        Only for classification.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.
    estimators_ : list of estimators
        One per learner: the one refitted, or one that averages over the fold models.
    named_estimators_ : Bunch
        The same by name.
    stack_method_ : list of str
        The method that fills each learner's columns.
    failures_ : DataFrame
        Learners that failed and were dropped: learner, fold, stage, error, traceback.
    level_check_ : LevelCheck
        What ``levels="auto"`` found: kept, metric, with_level, without_level, difference, se, n_rows, reason.

    Notes
    -----
    A StackingModel as ``final_estimator`` makes a second level, and may have one itself. Where it does
    not say otherwise, it has the folds of the level below, so that groups and time are kept apart on
    all levels alike; its ``n_jobs``, ``memory``, limits and ``verbose``; and drops failing learners if
    the level below does. ``leaderboard()`` and ``failures_`` name its learners ``final_estimator__name``.

    ``fit_transform(X, y)`` returns P, out-of-fold; ``fit(X, y).transform(X)`` returns p, from models
    that saw most of these rows. So the model can stand inside a Pipeline without leaking;
    scikit-learn's TargetEncoder does the same.

    References
    ----------
    Wolpert (1992), Stacked generalization. Neural Networks 5(2), 241-259.
    Breiman (1996), Stacked regressions. Machine Learning 24, 49-64.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())])
    >>> model.fit(X, y).predict_proba(X).shape
    (150, 3)
    """

    # The model itself uses neither: both go where the routing sends them.
    __metadata_request__fit = {"groups": metadata_routing.UNUSED, "sample_weight": metadata_routing.UNUSED}  # noqa: RUF012

    def __init__(
        self,
        estimators: Any = None,
        final_estimator: Any = None,
        *,
        preset: Any = None,
        task: Any = None,
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
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.preset = preset
        self.task = task
        self.cv = cv
        self.stack_method = stack_method
        self.passthrough = passthrough
        self.refit = refit
        self.levels = levels
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_error = on_error
        self.task_timeout = task_timeout
        self.time_limit = time_limit
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    # --- fitting ------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None, **params: Any) -> StackingModel:
        """Fit the learners on each fold, then the final estimator on their out-of-fold table.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features) or (n_rows, ...)
            Training rows. Missing values are passed on to the learners. The default learners take tables as they
            are: infinite numbers count as missing, and columns without a value are left out, both with a warning.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Classes of any type, a multilabel indicator, or numbers.
        groups : array-like of shape (n_rows,), optional
            Passed to the splitter; with ``cv=None``, rows of one group are never on both sides of a fold.
        sample_weight : array-like of shape (n_rows,), optional
            Without metadata routing: passed to each learner and the final estimator whose ``fit``
            takes it; a warning names the others. With routing: passed to whoever requests it.
        **params : dict
            Other metadata, with metadata routing enabled.

        Returns
        -------
        StackingModel
            The fitted model.

        Raises
        ------
        LearnerFailedError
            A learner raised, or gave unusable predictions (``on_error="raise"``).
        ValueError
            A parameter or the data cannot be used; the message says which and why.
        """
        settings = settings_for(self)
        plan = make_plan(self, X, y, groups=groups, sample_weight=sample_weight, **params)
        warn_of_row_order(plan.splitter, plan.X, plan.y, grouped=groups is not None, stacklevel=3)
        warn_of_unstratified(self, plan.target.task)
        if self.verbose and plan.portfolio is not None:
            say(in_a_sentence(forecast(plan, self.n_jobs)), verbose=True)
        with logged_once(self):
            fitted = fit_stack(self, plan, settings)
            self._take(plan, fitted)
        fitted.listeners.end()
        return self

    @classmethod
    def from_oof(cls, oof: OutOfFold, final_estimator: Any = None, **params: Any) -> Self:
        """Make a fitted stack of an out-of-fold table: only the final estimator is fitted, no learner is needed.

        Its X are the table's columns: ``oof.to_frame()`` for the training rows, ``oof.test_frame()`` for new ones. All
        else is as of any stack: ``leaderboard()``, ``report()``, ``nested_scores(model, oof.to_frame(), y,
        cv=model.cv)``, ``predict_proba(oof.test_frame())``.

        Parameters
        ----------
        oof : OutOfFold
            Of probabilities, or of one number per row: what :meth:`OutOfFold.from_frames` made of predictions from
            elsewhere, what ``cross_fit`` returned, or another stack's ``oof_``.
        final_estimator : estimator or None
            What blends the learners. None means :class:`~stackkit.LogPoolClassifier` or
            :class:`~stackkit.RidgePoolRegressor`.
        **params : dict
            Other parameters of the class, such as ``n_jobs`` and ``random_state``. Learners and folds are the table's.

        Returns
        -------
        StackingModel
            The fitted model, of the class that was asked.

        Raises
        ------
        TypeError
            ``oof`` is no table, or a parameter is given that the table says.
        ValueError
            The table holds neither probabilities nor one number per row.

        Notes
        -----
        ``oof_.caveat`` says what has to be taken on trust; it stands below the leaderboard and in the report.

        Examples
        --------
        >>> import numpy as np
        >>> from stackkit import OutOfFold, StackingClassifier
        >>> rng = np.random.default_rng(0)
        >>> y = np.tile([0, 1], 50)
        >>> noisy = {name: np.clip(0.3 + 0.4 * y + rng.normal(0, 0.2, 100), 0, 1) for name in ("mine", "yours")}
        >>> model = StackingClassifier.from_oof(OutOfFold.from_frames(noisy, y))
        >>> list(model.leaderboard().index)
        ['stack', 'mine', 'yours']
        """
        return stack_of_table(cls, oof, final_estimator, params)

    def plan(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None, **params: Any) -> pd.DataFrame:
        """Tell what ``fit`` would do with these rows, and what it is expected to cost; nothing is fitted.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features) or (n_rows, ...)
            Training rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Target.
        groups, sample_weight : array-like of shape (n_rows,), optional
            As in ``fit``.
        **params : dict
            As in ``fit``.

        Returns
        -------
        DataFrame
            One row per learner, index "learner":

            - folds, rows: how often it is fitted, and to how many rows each time.
            - seconds: of one core, for all its folds with their predictions, as measured on other tables; fits of
              boosting may take twice or half as long. NaN for learners that are not the default ones.
            - memory: bytes, roughly, for the tables of one fit. NaN as above.

            ``attrs`` has the whole: "seconds" that ``fit`` is expected to take with ``n_jobs`` workers ("workers"),
            "memory" of all workers together, and "left_out", rows that no fold uses for want of time.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from stackkit import StackingClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> StackingClassifier().plan(X, y)[["folds", "rows"]].drop_duplicates().iloc[0].tolist()
        [5, 120]
        """
        return forecast(make_plan(self, X, y, groups=groups, sample_weight=sample_weight, **params), self.n_jobs)

    def _take(self, plan: Plan, fitted: Fitted) -> None:
        """Become what was fitted, all at once: until then an earlier fit, or none, is what the model is."""
        found = plan.inputs | {
            "oof_": fitted.oof,
            "final_estimator_": fitted.predictor.final.estimator,
            "_predictor": fitted.predictor,
            "_entropy": fitted.entropy,
            "_known_columns": known_columns(plan.X, raw=plan.raw),
            "_picked": plan.picked,
            "_task": plan.target.task,
        }
        if fitted.level_check is not None:
            found["level_check_"] = fitted.level_check
        if plan.target.task == "classification":
            found["classes_"] = plan.target.classes
        for name in ("feature_names_in_", "level_check_", "classes_"):  # which an earlier fit may have had
            self.__dict__.pop(name, None)
        self.__dict__.update(found)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit, and return P: the out-of-fold predictions of the training rows.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            Training rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Target.
        **params : dict
            As in ``fit``.

        Returns
        -------
        ndarray, sparse matrix or DataFrame of shape (n_rows, n_columns)
            P, then the columns of X that ``passthrough`` names. NaN where no fold tests the row.
        """
        self.fit(X, y, **params)
        rows, _ = check_new_rows(X, self._known_columns)  # told of at fit
        return self._as_features(self.oof_.train, rows)

    # --- predicting ---------------------------------------------------------------------------------

    def transform(self, X: Any) -> Any:
        """Return p: each learner's columns for new rows, the mean over its members.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray, sparse matrix or DataFrame of shape (n_rows, n_columns)
            p, then the columns of X that ``passthrough`` names.
        """
        rows, predictor = self._new_rows(X), self._predictor
        return self._as_features(predictor.table(rows, list(predictor.blocks), self.n_jobs), rows)

    def _as_features(self, table: np.ndarray, X: Any) -> Any:
        return as_features(table, self._column_names(), X, self._picked)

    def _column_names(self) -> list[str]:
        return self.oof_.columns

    # --- for production -----------------------------------------------------------------------------

    def compact(
        self,
        *,
        refit: bool = False,
        X: Any = None,
        y: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        pack: bool = True,
        **params: Any,
    ) -> CompactModel:
        """Return a stack for predictions alone, with only the learners that the final estimator looks at.

        The model stays as it is. Predictions are the same, bit for bit, except where ``pack`` says otherwise.

        Parameters
        ----------
        refit : bool
            True: fit each of these learners once more, on all rows, in place of its K fold models: what
            ``StackingModel(refit=True)`` would have as ``members_``. It predicts K times faster, and slightly
            otherwise.
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features), optional
            With ``refit=True``: the rows to fit to, those of ``fit`` or more of their kind.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
            With ``refit=True``: their targets, of the classes that the model knows.
        groups, sample_weight : array-like of shape (n_rows,), optional
            With ``refit=True``: as in ``fit``.
        pack : bool
            Whether BN-MLPs, and forests for a few rows, predict for all members of a learner in one pass, and the
            default learners' kernel machines leave out one of two matrix products. Of forests the results are the
            same; probabilities of networks differ by less than 1e-12 for rows of float64, by 1e-5 for rows of
            float32, those of kernel machines by 1e-8, numbers by as much of their scale.
        **params : dict
            With ``refit=True``: as in ``fit``.

        Returns
        -------
        CompactModel
            Nested stacks are compact, too. A stack as final estimator keeps its own members.

        Raises
        ------
        LearnerFailedError
            A learner failed when it was refitted (``on_error="raise"``). With ``on_error="drop"`` it keeps its fold
            models, with a warning.
        ValueError
            The rows are not of the kind that the model was fitted to.
        """
        check_is_fitted(self)
        predictor = self._predictor
        given = {"X": X, "y": y, "groups": groups, "sample_weight": sample_weight} | params
        if refit:
            members = self._refitted(**given)
            predictor = replace(
                predictor,
                panels=predictor.panels | {name: learner_predictor_of(found) for name, found in members.items()},
            )
        elif any(value is not None for value in given.values()):
            names = [name for name, value in given.items() if value is not None]
            raise ValueError(
                f"compact() takes data only to refit learners; got {names}. Set refit=True, or leave them out."
            )
        return compact_model(self, predictor, pack=pack)

    def _refitted(self, X: Any, y: Any, **params: Any) -> dict[str, list[Member]]:
        if X is None or y is None:
            lacking = [name for name, value in (("X", X), ("y", y)) if value is None]
            raise ValueError(
                f"compact(refit=True) fits to all rows, and needs X and y; got no {' and no '.join(lacking)}."
            )
        self._new_rows(X)  # of the columns of fit?
        plan = make_plan(self, X, y, **params)
        check_refit(plan, self._predictor)
        # The seeds of fit, also where random_state left them to chance.
        settings = replace(settings_for(self, random_state=0), entropy=self._entropy)
        learners, routed = plan.only(self._predictor.useful()), plan.routed.learners
        like = replace(self.oof_, folds=replace(self.oof_.folds, n_rows=plan.X.shape[0]))
        return refit_members(learners, plan.X, plan.target, like=like, fit_params=routed, settings=settings)

    # --- describing ---------------------------------------------------------------------------------

    @property
    def members_(self) -> dict[str, list[Any]]:
        """What predicts new rows for each learner."""
        check_is_fitted(self)
        panels = self._predictor.panels
        return {name: [member.estimator for member in panel.members] for name, panel in panels.items()}

    @property
    def estimators_(self) -> list[Any]:
        """One fitted estimator per learner: the refitted one, or one that averages over its fold models.

        Learners see classes as codes 0, 1, ..., as in scikit-learn's stackers.
        """
        check_is_fitted(self)
        predictor = self._predictor
        return [_one_estimator(predictor.panels[name], block) for name, block in predictor.blocks.items()]

    @property
    def named_estimators_(self) -> Bunch:
        """The same by name, with "drop" for those that were left out."""
        check_is_fitted(self)
        left_out = dict.fromkeys((name for name, _ in named_learners(self)), "drop")
        return Bunch(**left_out | dict(zip(self._predictor.blocks, self.estimators_, strict=True)))

    @property
    def failures_(self) -> pd.DataFrame:
        """Learners that failed and were dropped, with those of the levels above."""
        check_is_fitted(self)
        return all_failures(self.oof_, self.final_estimator_)

    @property
    def stack_method_(self) -> list[str]:
        """The method that fills each learner's columns."""
        check_is_fitted(self)
        return [block.method for block in self._predictor.blocks.values()]

    def leaderboard(self, *, nested: Any = None, marginal: bool | str = "auto", full: bool = False) -> pd.DataFrame:
        """The stack's and each learner's out-of-fold scores, cost, weight and use: the stack, then the best first.

        The stack's own row comes from the final estimator, cross-fitted on the table: it does not see the row
        that it predicts. That score is slightly optimistic, because the rows that it does see were predicted by
        learners that saw the row's target. :func:`~stackkit.evaluation.nested_scores` has one that is not.

        Parameters
        ----------
        nested : NestedScores, optional
            What ``nested_scores`` gave for this model: adds the outer scores.
        marginal : {"auto", True, False}
            Whether to fit the final estimator on the table once more without each learner: "auto" does so
            where that is quick, for blends and linear models. True also cross-fits a final estimator that
            is slow, for the stack's own row.
        full : bool
            Whether to have all columns, or those to look at first, which fit a page.

        Returns
        -------
        DataFrame
            Index "learner": "stack", then the learners. Losses are positive numbers; columns:

            - log_loss and accuracy (classification) or rmse and r2 (regression): the mean over the folds. With
              ``full`` also the standard deviation (``_std``) and a 95 % interval of the mean (``_low``,
              ``_high``; Nadeau and Bengio 2003, because folds share training rows).
            - outer, outer_low, outer_high: with ``nested``, its score and 95 % interval.
            - weight: where the final estimator gives one to each learner; 0 means not used. Of
              ``LogPoolClassifier`` it is the power to which the learner's probabilities are raised: the sum is 1
              for an average, above 1 where the pool is more certain than its learners are on average. Of
              ``RidgePoolRegressor`` and ``LinearPoolRegressor`` it is what the prediction is multiplied by; below 0
              it takes out an error that others share with the learner. Others are shares of 1.
            - marginal: by how much the stack's log_loss or rmse gets worse without the learner (of its accuracy,
              where the final estimator gives no probabilities). Above 0 the learner is of use, around 0 the others
              make up for it. From the table alone, cross-fitted; NaN with ``passthrough``.
            - fit_seconds (with ``full`` predict_seconds too): summed over the folds; for the stack over the learners.
            - level: 1 for the learners, 2 for those of a StackingModel on top of them. Without ``full``, only
              where there are several.
            - status: "ok"; why a learner was dropped; or why the stack has no score: with ``passthrough`` (the
              table lacks the columns of X), with one fold, or where the final estimator is slow to fit. Without
              ``full``, only where not all are "ok".

            ``attrs["legend"]`` is a list of sentences about the columns that are there, and
            ``attrs["greater_is_better"]`` says for each metric which way is better.
        """
        check_is_fitted(self)
        board = full_board(
            self.oof_,
            self.final_estimator_,
            passthrough=bool(self._predictor.picked),
            nested=nested,
            marginal=marginal,
            n_jobs=self.n_jobs,
        )
        board = with_upper_board(board, self.final_estimator_, marginal=marginal)
        return shown_board(board, self.final_estimator_, full=full, caveat=self.oof_.caveat)

    def report(
        self,
        path: str | Path,
        *,
        X: Any = None,
        X_test: Any = None,
        nested: Any = None,
        target_name: str | None = None,
        source: str | None = None,
    ) -> Path:
        """Write one self-contained HTML page about the fitted stack.

        It shows the scores and weights, which columns count, where the stack is right and wrong, the distributions of
        the data and warnings about them, what each learner costs, and how to repeat it all. Names from the data are
        shown as text, whatever they look like.

        Parameters
        ----------
        path : str or Path
            The file, such as "report.html"; written whole or not at all.
        X : array-like or DataFrame of shape (n_rows, n_features), optional
            The training rows, as given to ``fit``: for permutation importance, which takes some seconds, for the
            distributions of the columns, and for what is suspect in them.
        X_test : array-like or DataFrame of shape (n_new_rows, n_features), optional
            New rows: the page shows what is predicted for them, and in which columns they differ from ``X``.
        nested : NestedScores, optional
            What :func:`~stackkit.evaluation.nested_scores` gave for this model: the page then has the
            verdict, and outer scores.
        target_name : str, optional
            What y is called.
        source : str, optional
            Where the rows came from, such as the name of a file.

        Returns
        -------
        Path
            The file.
        """
        told = {"X": X, "X_test": X_test, "nested": nested, "target_name": target_name, "source": source}
        written: Path = import_module("stackkit.report").write_report(self, path, **told)  # loads matplotlib
        return written

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of X's columns, where it has none itself.

        Returns
        -------
        ndarray of str
            The learners' columns, then those passed through.
        """
        check_is_fitted(self, "n_features_in_")
        known = getattr(self, "feature_names_in_", None)
        names = known if input_features is None else np.asarray(input_features, dtype=object)
        if names is None:
            names = np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        if len(names) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to the number of features, {self.n_features_in_}; got "
                f"{len(names)}."
            )
        if known is not None and not np.array_equal(known, names):
            raise ValueError("input_features is not equal to feature_names_in_. Leave it out.")
        return np.asarray([*self._column_names(), *names[self._picked]], dtype=object)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the learners and the final estimator as name__parameter.

        Parameters
        ----------
        deep : bool
            Whether to include them.

        Returns
        -------
        dict
            Name to value.
        """
        params = super().get_params(deep=deep)
        for name, learner in named_learners(self) if deep else ():
            params[name] = learner
            if hasattr(learner, "get_params") and not isinstance(learner, type):
                params |= {f"{name}__{key}": value for key, value in learner.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> StackingModel:
        """Set parameters; a learner's name replaces it, "drop" leaves it out.

        Parameters
        ----------
        **params : dict
            Such as ``final_estimator__C=10``, ``forest="drop"``, ``forest__max_depth=3``.

        Returns
        -------
        StackingModel
            The model.
        """
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        swaps = {name: params.pop(name) for name, _ in named_learners(self) if name in params}
        if swaps:
            self.estimators = [(name, swaps.get(name, learner)) for name, learner in named_learners(self)]
        super().set_params(**params)
        return self

    def _final_prototype(self) -> Any:
        """The final estimator as far as it is known: fitted, given, or the default."""
        if hasattr(self, "final_estimator_"):
            return self.final_estimator_
        if self.final_estimator is not None:
            return self.final_estimator
        return default_blend(known_task(self))

    @available_if(_chooses_learners)
    def set_fit_request(
        self,
        *,
        groups: bool | str | None = metadata_routing.UNCHANGED,
        sample_weight: bool | str | None = metadata_routing.UNCHANGED,
    ) -> StackingModel:
        """Say which metadata a stack of default learners asks for, inside a Pipeline and the like.

        Only with metadata routing and ``estimators=None``: learners of yours are asked themselves. It holds for all
        that the stack chooses: learners, folds, and the final estimator. Unless told otherwise, these ask for both.

        Parameters
        ----------
        groups, sample_weight : bool, str or None
            True: ask for it. False: do without, also where ``fit`` is given it for a final estimator of yours. A name:
            ask for what goes by that name. None: an error where it is given.

        Returns
        -------
        StackingModel
            The model.

        Raises
        ------
        RuntimeError
            Metadata routing is not enabled.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_fit_request is only available when metadata routing is enabled: "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        requests = self._get_metadata_request()
        for name, alias in (("groups", groups), ("sample_weight", sample_weight)):
            if alias != metadata_routing.UNCHANGED:
                requests.fit.add_request(param=name, alias=alias)
        self._metadata_request = requests
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets which metadata: the learners' and the final estimator's fit, and the splitter.

        Returns
        -------
        MetadataRouter
            The routing.
        """
        learners = [(name, learner) for name, learner in named_learners(self) if hasattr(learner, "fit")]
        return router_of(self, learners, self._final_prototype())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        task = getattr(self, "_task", None) or known_task(self)
        tags.estimator_type = {"classification": "classifier", "regression": "regressor", None: None}[task]
        # While y has still to tell, it may become either.
        tags.classifier_tags = None if task == "regression" else ClassifierTags()
        tags.regressor_tags = None if task == "classification" else RegressorTags()
        tags.target_tags.required = True
        takers = [learner for _, learner in named_learners(self) if hasattr(learner, "fit")]
        takers += [self._final_prototype()] if self.passthrough is not False else []
        inputs = [get_tags(taker).input_tags for taker in takers]
        tags.input_tags.allow_nan = all(taker.allow_nan for taker in inputs)
        tags.input_tags.sparse = all(taker.sparse for taker in inputs)
        return tags

    @available_if(lambda _: CAN_DRAW)
    def _sk_visual_block_(self) -> Any:
        return diagram_of(self)


def _one_estimator(predictor: LearnerPredictor, block: Block) -> Any:
    members = predictor.members
    if len(members) > 1:
        return FoldAverage(predictor, block)
    estimator = members[0].estimator
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
