"""The out-of-fold table: each training row predicted by models that never saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.utils import check_random_state

from stackkit._callbacks import NOBODY, Listeners
from stackkit._checks import (
    Target,
    check_learners,
    check_like,
    check_methods,
    check_rows,
    check_target,
    check_weights,
    choice,
    infer_task,
    is_pandas,
    with_names,
)
from stackkit._class_weights import check_class_weights
from stackkit._failures import OnError, handle_failures, is_late, warn_of_fold_models
from stackkit._folds import Folds, make_folds, splitter_of
from stackkit._limits import NO_LIMITS, Limits, limits_from_now
from stackkit._members import Block, Member, group_params, is_prefit, make_blocks, routed_params, settle, weight_params
from stackkit._schedule import run_tasks
from stackkit._scores import score
from stackkit._shelf import Shelf, StoreProblem
from stackkit._store import open_shelf
from stackkit._tasks import ALL_ROWS, Job, Result, Task, make_tasks
from stackkit.exceptions import IgnoredWeightsWarning, MissingClassWarning, MissingScoreWarning, StoreWarning


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of several learners, and what made them. It computes nothing.

    Attributes
    ----------
    train : ndarray of shape (n_rows, n_columns)
        P: each row predicted by models that did not see it; the mean over repeats. NaN where
        ``covered`` is false.
    test : ndarray of shape (n_test_rows, n_columns) or None
        p: the same columns for ``X_test``, the mean over each learner's fold models.
    columns : list of str
        Names: the learner, or learner_class where it has several columns.
    blocks : dict of str to Block
        Each learner's columns: where they stand, their class labels, and how they were made.
    covered : ndarray of bool, shape (n_rows,)
        Which rows have a prediction.
    folds : Folds
        The index pairs that all learners shared.
    scores : DataFrame, one row a (learner, fold)
        Scores on the fold's test rows (classification: log_loss, accuracy; regression: rmse, r2)
        and seconds to fit and to predict.
    members : dict of str to list of estimators
        Each learner's fold models.
    failures : DataFrame
        Learners that failed and were dropped: learner, fold, stage, error, traceback.
    index : Index or None
        The row labels of X, where it was a pandas DataFrame.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        The target as the learners saw it: codes 0, 1, ... of ``classes``, a 0/1 indicator of labels, or numbers.
    classes : ndarray, list of ndarray or None
        The labels behind the codes; a list of them, one a label, for a multilabel target; None for numbers.
    sample_weight : ndarray of shape (n_rows,) or None
        The weights that ``scores`` are made with.
    """

    train: np.ndarray
    test: np.ndarray | None
    columns: list[str]
    blocks: dict[str, Block]
    covered: np.ndarray
    folds: Folds
    scores: pd.DataFrame
    members: dict[str, list[Any]]
    failures: pd.DataFrame
    index: pd.Index | None
    y: np.ndarray
    classes: Any
    sample_weight: np.ndarray | None

    def to_frame(self) -> pd.DataFrame:
        """P as a DataFrame with the learners' names and the row labels of X."""
        return pd.DataFrame(self.train, index=self.index, columns=self.columns)


@dataclass(frozen=True)
class CrossFitted:
    """An out-of-fold table together with the fitted members that predict new rows.

    ``incomplete`` names the learners whose fold models were wanted, but are not all there: their tables came from a
    store that keeps no models.
    """

    oof: OutOfFold
    fold_members: dict[str, list[Member]]
    refitted: dict[str, list[Member]]
    incomplete: list[str]


@dataclass(frozen=True)
class Settings:
    """How a fit is run, besides what is fitted to what."""

    n_jobs: int | None
    memory: Any  # what the user gave
    shelf: Shelf | None  # what that opened
    limits: Limits
    entropy: int  # the root of every seed
    on_error: OnError
    verbose: bool
    listeners: Listeners = NOBODY

    def run(self, job: Job, tasks: Sequence[Task], stage: str) -> list[Result]:
        stop = self.on_error == "raise"
        job = replace(job, shelf=self.shelf)
        with self.listeners.hear_of(stage, tasks) as announced:
            return run_tasks(
                job, announced, n_jobs=self.n_jobs, limits=self.limits, stop_at_failure=stop, verbose=self.verbose
            )


def settings_of(
    *,
    n_jobs: Any,
    memory: Any,
    on_error: Any,
    task_timeout: Any,
    time_limit: Any,
    max_memory: Any,
    random_state: Any,
    verbose: Any,
) -> Settings:
    """The user's parameters, checked; the clock of ``time_limit`` starts."""
    if on_error not in ("raise", "drop"):
        raise choice("on_error", "a stack", ("raise", "drop"), on_error)
    limits = limits_from_now(task_timeout, time_limit, max_memory)
    # With a store, None has to be the same the next time: else nothing could be found again.
    seed = 0 if random_state is None and memory is not None else random_state
    entropy = int(check_random_state(seed).randint(2**31))
    return Settings(n_jobs, memory, _opened(memory), limits, entropy, on_error, verbose)


def _opened(memory: Any) -> Shelf | None:
    """A stack can do without its store: what is wrong with it is said once."""
    try:
        return open_shelf(memory)
    except StoreProblem as problem:
        warn(f"The store is not used: {problem}", StoreWarning, stacklevel=4)
        return None


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
    """Make the out-of-fold table of several learners: K folds, K fits a learner.

    Parameters
    ----------
    estimators : list of (str, estimator) or list of estimators
        The base learners. They are cloned; ``"drop"`` leaves one out.
    X : array-like, sparse matrix or DataFrame of shape (n_rows, ...)
        Training rows. Missing values are passed on to the learners.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Classes of any type, a multilabel indicator, or numbers.
    X_test : same kind as X, shape (n_test_rows, ...), optional
        New rows, predicted by the mean over each learner's K fold models.
    cv : int, splitter, iterable of index pairs, or None
        The folds, made once for all learners. None means five folds; numbers mean (stratified) K-fold
        without shuffling, as in scikit-learn. Repeated splitters average over the repeats; a time
        series splitter leaves its first rows uncovered.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"} or dict by learner
        Which method fills the columns. "auto" takes the first of the three that a learner has.
        Binary probabilities keep the second class's column; multi-class ones a column a class.
    groups : array-like of shape (n_rows,), optional
        Passed to the splitter.
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
    learners = check_learners(estimators)
    X = check_rows(X, training=True)
    task = infer_task(learners, y)
    target = check_target(y, task, X.shape[0])
    check_class_weights(learners, target)
    weights = check_weights(sample_weight, X.shape[0])
    split_params = {} if groups is None else {"groups": groups}
    splitter = splitter_of(cv, y, classifier=task == "classification")
    return run_cross_fit(
        learners,
        X,
        target,
        folds=make_folds(splitter, X, y, seed=split_seed(settings.entropy), **split_params),
        methods=check_methods(learners, stack_method, task, also_known=[name for name, _ in with_names(estimators)]),
        fit_params=learner_params(learners, weights, groups),
        weights=weights,
        X_test=None if X_test is None else check_like(X, X_test),
        keep_members=settings.shelf is None or settings.shelf.store_models,
        settings=settings,
    ).oof


def split_seed(entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def learner_params(
    learners: Sequence[tuple[str, Any]], weights: np.ndarray | None, groups: Any = None
) -> dict[str, dict[str, Any]]:
    """Weights for the learners that take them, the others are named; groups for those that ask for them.

    With metadata routing each learner gets what it requests.
    """
    if get_config()["enable_metadata_routing"]:
        given = {"sample_weight": weights, "groups": groups}
        given = {name: value for name, value in given.items() if value is not None}
        return {name: routed_params(learner, given) for name, learner in learners}
    params = {name: weight_params(learner, weights) for name, learner in learners}
    without = [name for name, found in params.items() if found is None]
    if without:
        warn(
            f"The learner(s) {without} take no sample_weight and are fitted without it.",
            IgnoredWeightsWarning,
            stacklevel=3,
        )
    return {name: (params[name] or {}) | group_params(learner, groups) for name, learner in learners}


def run_cross_fit(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    folds: Folds,
    methods: Sequence[str],
    fit_params: dict[str, dict[str, Any]],
    weights: np.ndarray | None = None,
    X_test: Any = None,
    keep_members: bool = True,
    refit: bool = False,
    settings: Settings,
) -> CrossFitted:
    """The engine behind ``cross_fit`` and ``StackingModel``: arguments checked, one flat list of tasks."""
    job = Job(
        X,
        target,
        folds,
        make_blocks(learners, methods, target),
        fit_params,
        X_test=X_test,
        keep_members=keep_members,
    )
    tasks = make_tasks(learners, range(len(folds)), settings.entropy)
    if refit:
        tasks += make_tasks(learners, [ALL_ROWS], settings.entropy)
    results: list[Result] = []
    late_refits: list[Result] = []
    for result in settings.run(job, tasks, "learners"):
        (late_refits if is_late(result) and result.fold == ALL_ROWS else results).append(result)
    failures = handle_failures(results, dict(learners), folds, settings.on_error)
    names = [name for name, _ in learners if name not in set(failures["learner"])]
    warn_of_fold_models((r for r in late_refits if r.name in names), dict(learners), folds)
    return _collect(job, results, names, failures, weights)


def refit_members(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    like: OutOfFold,
    fit_params: dict[str, dict[str, Any]],
    settings: Settings,
) -> dict[str, list[Member]]:
    """One more fit on all rows for each of these learners.

    The final estimator counts on them already: with ``on_error="drop"``, or when time is over, one that fails now is
    not among those returned, and keeps its fold models.
    """
    job = Job(X, target, like.folds, like.blocks, fit_params)
    results = settings.run(job, make_tasks(learners, [ALL_ROWS], settings.entropy), "refits")
    if settings.on_error == "raise":
        handle_failures([result for result in results if not is_late(result)], dict(learners), like.folds, "raise")
    warn_of_fold_models(results, dict(learners), like.folds)
    return {result.name: [result.member] for result in results if result.member}


def fold_members_again(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    like: OutOfFold,
    fit_params: dict[str, dict[str, Any]],
    settings: Settings,
) -> dict[str, list[Member]]:
    """The fold models of learners whose tables were kept without them: bit for bit the same."""
    job = Job(X, target, like.folds, like.blocks, fit_params)
    tasks = make_tasks(learners, range(len(like.folds)), settings.entropy)
    results = replace(settings, shelf=None, limits=NO_LIMITS, on_error="raise", listeners=NOBODY).run(
        job, tasks, "fold models"
    )
    handle_failures(results, dict(learners), like.folds, "raise")
    by_name: dict[str, list[Result]] = {name: [] for name, _ in learners}
    for result in sorted(results, key=lambda result: result.fold):
        by_name[result.name].append(result)
    return {name: _members_of(found) for name, found in by_name.items()}


# --- the table --------------------------------------------------------------------------------------


def _collect(
    job: Job, results: list[Result], names: list[str], failures: pd.DataFrame, weights: np.ndarray | None
) -> CrossFitted:
    """Place results by index: their order of arrival means nothing."""
    by_name: dict[str, list[Result]] = {name: [] for name in names}
    refitted: dict[str, list[Member]] = {}
    for result in sorted(results, key=lambda result: result.fold):
        if result.name in by_name and result.fold == ALL_ROWS and result.member:
            refitted[result.name] = [result.member]
        elif result.name in by_name:
            by_name[result.name].append(result)
    blocks = close_gaps({name: job.blocks[name] for name in names})
    warn_of_missing_classes(by_name, job.target, job.folds)
    _warn_of_missing_scores(job.folds, weights)
    members = {name: _members_of(found) for name, found in by_name.items()}
    oof = OutOfFold(
        train=np.hstack([_out_of_fold(job, by_name[name], blocks[name]) for name in names]),
        test=None
        if job.X_test is None
        else np.hstack([settle(_mean([r.new for r in by_name[name]]), blocks[name]) for name in names]),
        columns=[column for name in names for column in blocks[name].names(name)],
        blocks=blocks,
        covered=job.folds.covered,
        folds=job.folds,
        scores=_score_table(job, by_name, blocks, weights),
        members={name: [member.estimator for member in found] for name, found in members.items()},
        failures=failures,
        index=job.X.index if is_pandas(job.X) else None,
        y=job.target.values,
        classes=job.target.classes,
        sample_weight=weights,
    )
    wanted = [result.name for result in results if result.name in by_name and job.keeps_member(result.fold)]
    lacking = {result.name for result in results if result.member and result.member.estimator is None}
    return CrossFitted(oof, members, refitted, [name for name in names if name in lacking & set(wanted)])


def close_gaps(blocks: dict[str, Block]) -> dict[str, Block]:
    """Where a learner was dropped the others' columns move up."""
    closed, start = {}, 0
    for name, block in blocks.items():
        columns = slice(start, start + block.width)
        closed[name] = Block(columns, block.labels, block.method, block.kind, block.n_classes)
        start += block.width
    return closed


def _members_of(results: list[Result]) -> list[Member]:
    members = [result.member for result in results if result.member and result.member.estimator is not None]
    return members[:1] if members and is_prefit(members[0].estimator) else members


def _mean(parts: list[Any]) -> np.ndarray:
    return sum(parts[1:], start=parts[0]) / len(parts)


def _out_of_fold(job: Job, results: list[Result], block: Block) -> np.ndarray:
    width = block.n_classes if block.kind == "label" else block.width
    total = np.zeros((job.folds.n_rows, width))
    for result in results:
        total[job.folds.pairs[result.fold][1]] += result.oof
    with np.errstate(invalid="ignore"):  # 0 / 0: a row that no fold tests
        return settle(total / job.folds.n_tested[:, np.newaxis], block)


def _score_table(
    job: Job, by_name: dict[str, list[Result]], blocks: dict[str, Block], weights: np.ndarray | None
) -> pd.DataFrame:
    rows = {}
    for name, results in by_name.items():
        for result in results:
            test = job.folds.pairs[result.fold][1]
            weight = None if weights is None else weights[test]
            seconds = {"fit_seconds": result.fit_seconds, "predict_seconds": result.predict_seconds}
            rows[name, result.fold] = score(job.target.values[test], result.oof, blocks[name], weight) | seconds
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(rows), names=["learner", "fold"])
    return frame


def _warn_of_missing_scores(folds: Folds, weights: np.ndarray | None) -> None:
    without = [] if weights is None else [fold for fold, (_, test) in enumerate(folds.pairs) if not weights[test].any()]
    if without:
        titles = ", ".join(folds.title(fold) for fold in without)
        warn(
            f"The rows that a fold tests all weigh zero in {titles}: there is no score of them. Means and intervals "
            "are of the other folds. Use a splitter that gives each fold rows that weigh something.",
            MissingScoreWarning,
            stacklevel=5,
        )


def warn_of_missing_classes(by_name: dict[str, list[Result]], target: Target, folds: Folds) -> None:
    """One warning for all: learners share the folds, so most lack the same classes."""
    lacking: dict[tuple[int, str], list[str]] = {}
    for name, results in by_name.items():
        for result in results:
            seen = result.member.codes if result.member and target.n_classes else np.arange(target.n_classes)
            missing = (
                target.classes[np.setdiff1d(np.arange(target.n_classes), seen)].tolist() if target.n_classes else []
            )
            if missing:
                lacking.setdefault((result.fold, _some(missing)), []).append(name)
    if lacking:
        gaps = [f"{folds.title(fold)} lacks {missing} for {_some(names)}" for (fold, missing), names in lacking.items()]
        warn(
            "Some training parts lack a class, whose probability is 0 there: "
            f"{'; '.join(gaps)}. Use fewer folds, or a stratified splitter.",
            MissingClassWarning,
            stacklevel=5,
        )


def _some(items: list[Any]) -> str:
    shown = ", ".join(repr(item) for item in items[:5])
    return shown if len(items) <= 5 else f"{shown} and {len(items) - 5} more"
