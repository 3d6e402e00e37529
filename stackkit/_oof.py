"""The out-of-fold table: each training row predicted by models that never saw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from warnings import warn

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

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
from stackkit._folds import Folds, make_folds, splitter_of
from stackkit._members import Block, Member, group_params, is_prefit, make_blocks, settle, weight_params
from stackkit._scores import score
from stackkit._tasks import ALL_ROWS, Job, Result, make_tasks, run_tasks
from stackkit.exceptions import (
    IgnoredWeightsWarning,
    LearnerDroppedWarning,
    LearnerFailedError,
    MissingClassWarning,
)

OnError = Literal["raise", "drop"]
FAILURE_COLUMNS = ["learner", "fold", "stage", "error", "traceback"]


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

    def to_frame(self) -> pd.DataFrame:
        """P as a DataFrame with the learners' names and the row labels of X."""
        return pd.DataFrame(self.train, index=self.index, columns=self.columns)


@dataclass(frozen=True)
class CrossFitted:
    """An out-of-fold table together with the fitted members that predict new rows."""

    oof: OutOfFold
    fold_members: dict[str, list[Member]]
    refitted: dict[str, list[Member]]


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
    on_error: OnError = "raise",
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
        Passed to each learner whose ``fit`` takes it; the others are named in a warning.
    n_jobs : int, optional
        Workers for the flat list of learner x fold tasks. The result does not depend on it.
    on_error : {"raise", "drop"}
        What a learner's failure does: end the call, or drop that learner with a warning.
    random_state : int, RandomState or None
        Seeds every ``random_state`` left None in the learners and the splitter.
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
    learners = check_learners(estimators)
    X = check_rows(X, training=True)
    task = infer_task(learners, y)
    target = check_target(y, task, X.shape[0])
    weights = check_weights(sample_weight, X.shape[0])
    entropy = entropy_of(random_state)
    split_params = {} if groups is None else {"groups": groups}
    splitter = splitter_of(cv, y, classifier=task == "classification")
    return run_cross_fit(
        learners,
        X,
        target,
        folds=make_folds(splitter, X, y, seed=split_seed(entropy), **split_params),
        methods=check_methods(learners, stack_method, task, also_known=[name for name, _ in with_names(estimators)]),
        fit_params=learner_params(learners, weights, groups),
        weights=weights,
        X_test=None if X_test is None else check_like(X, X_test),
        entropy=entropy,
        n_jobs=n_jobs,
        on_error=on_error,
        verbose=verbose,
    ).oof


def entropy_of(random_state: Any) -> int:
    """The root of every seed; None asks the system for one."""
    return int(check_random_state(random_state).randint(2**31))


def split_seed(entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def learner_params(
    learners: Sequence[tuple[str, Any]], weights: np.ndarray | None, groups: Any = None
) -> dict[str, dict[str, Any]]:
    """Weights for the learners that take them, the others are named; groups for those that ask for them."""
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
    entropy: int,
    n_jobs: int | None,
    on_error: OnError,
    verbose: bool,
) -> CrossFitted:
    """The engine behind ``cross_fit`` and ``StackingModel``: arguments checked, one flat list of tasks."""
    if on_error not in ("raise", "drop"):
        raise choice("on_error", "a stack", ("raise", "drop"), on_error)
    job = Job(
        X,
        target,
        folds,
        make_blocks(learners, methods, target),
        fit_params,
        X_test=X_test,
        keep_members=keep_members,
    )
    tasks = make_tasks(learners, range(len(folds)), entropy)
    if refit:
        tasks += make_tasks(learners, [ALL_ROWS], entropy)
    results = run_tasks(job, tasks, n_jobs=n_jobs, stop_at_failure=on_error == "raise", verbose=verbose)
    failures = handle_failures(results, dict(learners), folds, on_error)
    return _collect(
        job,
        results,
        [name for name, _ in learners if name not in set(failures["learner"])],
        failures,
        weights,
    )


def refit_members(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    like: OutOfFold,
    fit_params: dict[str, dict[str, Any]],
    entropy: int,
    n_jobs: int | None,
    on_error: OnError,
    verbose: bool,
) -> dict[str, list[Member]]:
    """One more fit on all rows for each of these learners.

    The final estimator counts on them already: with ``on_error="drop"`` one that fails now is not
    among those returned, and keeps its fold models.
    """
    job = Job(X, target, like.folds, like.blocks, fit_params)
    tasks = make_tasks(learners, [ALL_ROWS], entropy)
    results = run_tasks(job, tasks, n_jobs=n_jobs, stop_at_failure=on_error == "raise", verbose=verbose)
    if on_error == "raise":
        handle_failures(results, dict(learners), like.folds, on_error)
    for result in results:
        if result.failure:
            sentence = _sentence(result, dict(learners)[result.name], like.folds)
            warn(f"{sentence} Its fold models predict new rows instead.", LearnerDroppedWarning, stacklevel=3)
    return {result.name: [result.member] for result in results if result.member}


# --- failures ---------------------------------------------------------------------------------------


def handle_failures(
    results: Iterable[Result], learners: dict[str, Any], folds: Folds, on_error: OnError
) -> pd.DataFrame:
    """Raise the first failure in the order of learners and folds, or drop those learners."""
    order = {name: place for place, name in enumerate(learners)}
    failed = sorted((r for r in results if r.failure), key=lambda r: (order[r.name], r.fold))
    if not failed:
        return pd.DataFrame(columns=FAILURE_COLUMNS)
    sentences = [_sentence(result, learners[result.name], folds) for result in failed]
    if on_error == "raise":
        advice = "Mend it, or go on without it: on_error='drop'."
        raise LearnerFailedError(f"{sentences[0]} {advice}") from failed[0].failure.cause  # type: ignore[union-attr]
    if len({result.name for result in failed}) == len(learners):
        raise LearnerFailedError("No learner is left, all failed. " + " ".join(sentences)) from None
    for sentence in sentences:
        warn(f"{sentence} It leaves the stack.", LearnerDroppedWarning, stacklevel=4)
    rows = [(r.name, r.fold, r.failure.stage, r.failure.message, r.failure.traceback) for r in failed if r.failure]
    return pd.DataFrame(rows, columns=FAILURE_COLUMNS)


def _sentence(result: Result, learner: Any, folds: Folds) -> str:
    failure = result.failure
    assert failure is not None  # noqa: S101 - only failed results come here
    if result.fold == ALL_ROWS:
        where = f"when refitted on all {folds.n_rows} rows"
    else:
        train, test = folds.pairs[result.fold]
        where = f"in fold {result.fold} of {len(folds)} ({len(train)} training rows, {len(test)} test rows)"
    kind = type(learner).__name__
    return f"The learner {result.name!r} ({kind}) failed {where}, in {failure.stage}: {failure.message}"


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
    blocks = _close_gaps({name: job.blocks[name] for name in names})
    _warn_of_missing_classes(by_name, job.target)
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
    )
    return CrossFitted(oof, members, refitted)


def _close_gaps(blocks: dict[str, Block]) -> dict[str, Block]:
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


def _warn_of_missing_classes(by_name: dict[str, list[Result]], target: Target) -> None:
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
        gaps = [f"fold {fold} lacks {missing} for {_some(names)}" for (fold, missing), names in lacking.items()]
        warn(
            "Some training parts lack a class, whose probability is 0 there: "
            f"{'; '.join(gaps)}. Use fewer folds, or a stratified splitter.",
            MissingClassWarning,
            stacklevel=5,
        )


def _some(items: list[Any]) -> str:
    shown = ", ".join(repr(item) for item in items[:5])
    return shown if len(items) <= 5 else f"{shown} and {len(items) - 5} more"
