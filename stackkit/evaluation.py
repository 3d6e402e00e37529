"""Does stacking help? Honest scores of the stack beside its learners', and how unlike the learners are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.metadata_routing import get_routing_for_object

from stackkit._assessment import (
    Answers,
    Diversity,
    Scoring,
    answers_of,
    corrected_interval,
    diversity,
    labels_of,
    make_scoring,
)
from stackkit._blending import final_labels, final_probabilities
from stackkit._data import Folds, Learners, make_folds, splitter_of, take_rows, warn_of_row_order
from stackkit._members import Block, Member
from stackkit._model import (
    OuterFold,
    Plan,
    StackingModel,
    check_levels,
    checks_levels,
    fit_final,
    learners_for,
    make_plan,
    nested_tables,
    settings_for,
)
from stackkit._oof import Settings, split_seed
from stackkit._utils import Summarised, Summary, single_threaded_blas

__all__ = ["Diversity", "NestedScores", "diversity", "nested_scores"]

STACK, BEST, MEAN = "stack", "best learner", "plain mean"


@dataclass(frozen=True, repr=False)
class NestedScores(Summarised):
    """What the stack and its learners score on rows that none of them saw.

    Attributes
    ----------
    table : DataFrame
        A row for "stack", "best learner" (the one that was best inside each outer fold), "plain mean" (of the
        learners' predictions) and each learner; columns score (mean over the outer folds), se, low, high: the
        corrected standard error and the 95 % interval.
    scores : DataFrame of shape (n_outer_folds, n_names)
        The same names' scores on each outer fold.
    differences : DataFrame
        Rows "stack - best learner" and "stack - plain mean"; columns difference, se, low, high and p_value of
        the paired differences over outer folds.
    chosen : Series
        The best learner inside each outer fold, by its out-of-fold predictions there.
    scoring : str
        The scorer's name. Higher is better.
    folds : Folds
        The outer folds.
    failures : DataFrame
        Learners that failed and were dropped.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    differences: pd.DataFrame
    chosen: pd.Series
    scoring: str
    folds: Folds
    failures: pd.DataFrame

    def _summary(self) -> Summary:
        title = f"NestedScores: {self.scoring} on {len(self.folds)} outer folds"
        return Summary(title, self.verdict(), tables={"Rows that nobody saw": self.table})

    @property
    def helps(self) -> bool | None:
        """Whether the stack is better than its best learner beyond chance; None where that cannot be told."""
        low = self._difference(BEST)["low"]
        return None if np.isnan(low) else low > 0 and not self._mean_is_better()

    def verdict(self) -> str:
        """One sentence: stacking helps, by how much; or it does not, and what to use instead.

        Returns
        -------
        str
            The verdict, with the 95 % interval of the paired difference that it rests on.
        """
        best = self._difference(BEST)
        metric = self.scoring
        if self.helps is None:
            lacking = int((self.scores[STACK] - self.scores[BEST]).isna().sum())
            why = f"{lacking} of them gave no score" if lacking else "it takes two or more"
            return f"Whether stacking helps cannot be told from {len(self.folds)} outer fold(s): {why}."
        if self._mean_is_better():
            by = _by(self._difference(MEAN), sign=-1)
            return f"Stacking does not help: {metric} is worse by {by} than that of the plain mean; use the mean."
        if best["low"] > 0:
            mean = "; the plain mean of the learners may do as well" if self._difference(MEAN)["low"] <= 0 else ""
            return f"Stacking helps: {metric} is better by {_by(best)} than that of the best single learner{mean}."
        use = f"use {self._most_chosen()!r}"
        if best["high"] < 0:
            by = _by(best, sign=-1)
            return f"Stacking does not help: {metric} is worse by {by} than that of the best single learner; {use}."
        return (
            f"Stacking does not help beyond chance: {metric} differs by {_by(best)} from that of the best single "
            f"learner; {use}, which is simpler."
        )

    def _difference(self, other: str) -> dict[str, float]:
        row = self.differences.loc[f"{STACK} - {other}"].to_numpy(dtype=float)
        return dict(zip(self.differences.columns, row.tolist(), strict=True))

    def _mean_is_better(self) -> bool:
        return self._difference(MEAN)["high"] < 0

    def _most_chosen(self) -> str:
        """The learner that was best inside most outer folds; of several, the better one outside."""
        counts = self.chosen.value_counts()
        often = counts.index[counts == counts.max()]
        return str(self.table.loc[often, "score"].fillna(-np.inf).idxmax())


def _by(difference: dict[str, float], sign: int = 1) -> str:
    low, high = sorted(sign * difference[end] for end in ("low", "high"))
    return f"{sign * difference['difference']:.3g} (95 % interval {low:.3g} to {high:.3g})"


def nested_scores(
    model: StackingModel,
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    scoring: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    **params: Any,
) -> NestedScores:
    """Cross-validate the whole stack, and each of its learners by the way.

    On each outer fold the stack is built from the other rows alone: inner folds, learners, final estimator. Its
    learners' outer scores come from the very fold models that the stack consists of; so do that of their plain mean
    and that of the learner that looked best inside. With K outer and k inner folds each learner is fitted K x k times
    (with ``refit=True``: K x (k + 1) times), as one flat list of tasks over ``n_jobs``, with the store of ``memory``.

    Parameters
    ----------
    model : StackingModel
        The stack. It is cloned; its ``n_jobs``, ``memory``, limits, ``on_error`` and ``verbose`` count.
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
        Rows, as for ``fit``.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Target.
    cv : int, splitter, iterable of index pairs, or None
        The outer folds. None means five folds of shuffled rows, stratified for classes, with ``groups`` kept
        together where they are given; numbers mean (stratified) K-fold without shuffling. Repeated and grouped
        splitters work.
    scoring : str, callable or None
        A scorer of scikit-learn, higher is better; a callable gets y as an array. None means what the leaderboard
        ranks by: "neg_log_loss", or "accuracy" where the stack gives no probabilities; for numbers
        "neg_root_mean_squared_error".
    groups : array-like of shape (n_rows,), optional
        Passed to the outer splitter, and to whom ``fit`` passes it.
    sample_weight : array-like of shape (n_rows,), optional
        As for ``fit``; scorers that are given by name weigh the rows, too.
    **params : dict
        Other metadata for ``fit``, with metadata routing enabled.

    Returns
    -------
    NestedScores
        Scores with intervals, paired differences, ``verdict()``.

    Raises
    ------
    LearnerFailedError
        A learner failed (``on_error="raise"``). With "drop" it leaves the whole evaluation.
    TypeError
        ``model`` is not a StackingModel.
    ValueError
        A parameter or the data cannot be used; the message says which and why.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error. Machine Learning 52, 239-281.
    Varma and Simon (2006), Bias in error estimation when using cross-validation for model selection. BMC
    Bioinformatics 7, 91.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.evaluation import nested_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], cv=5, random_state=0)
    >>> nested = nested_scores(model, X, y, cv=5, scoring="accuracy")
    >>> list(nested.table.index)
    ['stack', 'best learner', 'plain mean', 'knn', 'bayes']
    >>> print(nested.verdict())
    Stacking does not help beyond chance: accuracy differs by -0.00667 (95 % interval -0.0344 to 0.0211) from that of
    the best single learner; use 'knn', which is simpler.
    """
    made = plan_nested(model, X, y, cv=cv, scoring=scoring, groups=groups, sample_weight=sample_weight, **params)
    for number, fold in enumerate(made.folds):
        made.plan.check_covered(fold.covered, f" of outer fold {number}")
    tables, blocks, failures = nested_tables(made.plan, made.folds, made.settings)
    referee = _Referee(made.plan, blocks, made.scoring, made.settings, checks_levels(made.model, made.plan))
    scored = [referee.scores(fold, table) for fold, table in zip(made.folds, tables, strict=True)]
    return _summary(scored, made.scoring, made.outer, failures)


# --- before anything is fitted ------------------------------------------------------------------------


@dataclass(frozen=True)
class NestedPlan:
    """What `nested_scores` is about to do: the arguments are checked, all folds are made, nothing is fitted yet."""

    model: StackingModel
    settings: Settings
    plan: Plan
    scoring: Scoring
    outer: Folds
    folds: list[OuterFold]


def plan_nested(
    model: StackingModel, X: Any, y: Any, *, cv: Any, scoring: Any, groups: Any, sample_weight: Any, **params: Any
) -> NestedPlan:
    """The arguments of `nested_scores`, which tells what they are."""
    if not isinstance(model, StackingModel):
        raise TypeError(
            f"The 'model' parameter of nested_scores must be a StackingModel; got {model!r}. Put preprocessing into "
            "the learners; for anything else there is sklearn.model_selection.cross_validate."
        )
    _check_inner(model.cv)
    model = clone(model)
    settings = settings_for(model)
    inner_groups = groups if _uses_groups(model) else None
    plan = make_plan(model, X, y, groups=inner_groups, sample_weight=sample_weight, **params)
    _check_names(plan)
    methods = [method for method in ("predict", "predict_proba", "decision_function") if hasattr(plan.final, method)]
    chosen = make_scoring(scoring, methods, plan.X, plan.target, plan.weights)
    classifier = plan.target.task == "classification"
    splitter = splitter_of(cv, y, classifier=classifier, random_state=model.random_state)
    by_group = {} if groups is None else {"groups": groups}
    for folds_of in (splitter, plan.splitter):
        if warn_of_row_order(folds_of, plan.X, plan.y, grouped=groups is not None, stacklevel=3):
            break
    outer = make_folds(splitter, plan.X, y, seed=split_seed(settings.entropy), **by_group)
    _check_outer(outer, plan)
    folds = [_outer_fold(model, plan, settings, outer, number) for number in range(len(outer))]
    return NestedPlan(model, settings, plan, chosen, outer, folds)


def _outer_fold(model: StackingModel, plan: Plan, settings: Settings, outer: Folds, number: int) -> OuterFold:
    pair = outer.pairs[number]
    try:
        return OuterFold(plan, _learners(model, plan, pair[0]), pair, settings.entropy, refit=model.refit)
    except ValueError as error:
        raise ValueError(f"The inner folds of outer fold {number} of {len(outer)} cannot be made: {error}") from error


def _check_inner(cv: Any) -> None:
    if (
        cv is None
        or cv == "prefit"
        or isinstance(cv, int | np.integer)
        or (hasattr(cv, "split") and not isinstance(cv, PredefinedSplit))
    ):
        return
    raise ValueError(
        "The 'cv' parameter of the model must be a number of folds or a splitter, for nested_scores makes inner folds "
        f"of each outer fold's training rows; got {cv!r}, which names rows. Use a splitter, such as GroupKFold with "
        "groups."
    )


def _learners(model: StackingModel, plan: Plan, rows: np.ndarray) -> Learners:
    """The default ones go by the number of rows."""
    return plan.learners if model.estimators is not None else learners_for(model, plan.target.task, plan.X[: len(rows)])


def _check_outer(outer: Folds, plan: Plan) -> None:
    for number, (train, _) in enumerate(outer.pairs):
        if plan.target.n_classes and np.unique(plan.target.values[train]).size == 1:
            label = plan.target.classes[plan.target.values[train[0]]]
            raise ValueError(
                "The 'cv' parameter of nested_scores must leave at least two classes to train on; outer fold "
                f"{number} has one class only, {label!r}. Use a stratified splitter."
            )
        if np.unique(train).size < train.size:
            raise ValueError(
                f"The 'cv' parameter of nested_scores must give each training row once; outer fold {number} has some "
                "more often, which inner folds would tear apart. Use sample_weight for rows that count more."
            )


def _uses_groups(model: StackingModel) -> bool:
    """With metadata routing, an argument that nobody inside asks for would be an error there."""
    routing = get_config()["enable_metadata_routing"]
    return not routing or bool(get_routing_for_object(model).consumes("fit", ["groups"]))


def _check_names(plan: Plan) -> None:
    taken = sorted({STACK, BEST, MEAN} & {name for name, _ in plan.learners})
    if taken:
        raise ValueError(
            f"The names in 'estimators' must differ from {STACK!r}, {BEST!r} and {MEAN!r}, which are rows of "
            f"nested_scores' table; got {taken[0]!r}. Choose another name."
        )


# --- one outer fold -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Referee:
    """Scores whoever predicts the rows of an outer fold."""

    plan: Plan
    blocks: dict[str, Block]
    scoring: Scoring
    settings: Settings
    checks_levels: bool

    def scores(self, fold: OuterFold, table: np.ndarray) -> tuple[dict[str, float], str | None]:
        """Every name's score on the outer fold, and the learner that was best inside."""
        inside = {name: self._score(self._answers(name, table, fold.covered), fold.covered) for name in self.blocks}
        known = {name: score for name, score in inside.items() if not np.isnan(score)}
        best = max(known, key=lambda name: known[name]) if known else None
        learners = {name: self._score(self._answers(name, table, fold.test), fold.test) for name in self.blocks}
        strategies = {
            STACK: self._score(self._stack(fold, table), fold.test, STACK),
            BEST: learners[best] if best else np.nan,
            MEAN: self._score(self._mean(table, fold.test), fold.test),
        }
        return strategies | learners, best

    def _score(self, answers: Answers, rows: np.ndarray, name: str | None = None) -> float:
        """NaN for who cannot be scored; of the stack it is said why."""
        plan = self.plan
        weights = None if plan.weights is None else plan.weights[rows]
        try:
            return self.scoring(answers, take_rows(plan.X, rows), labels_of(plan.target)[rows], weights)
        except Exception as error:  # noqa: BLE001 - nothing that was fitted is lost because of a scorer
            if name:
                warn(f"The {name} has no {self.scoring.name} on an outer fold: {error}", stacklevel=5)
            return np.nan

    def _answers(self, name: str, table: np.ndarray, rows: np.ndarray) -> Answers:
        block = self.blocks[name]
        return answers_of(table[rows, block.columns], block, self.plan.target.classes)

    def _mean(self, table: np.ndarray, rows: np.ndarray) -> Answers:
        """Of what can be averaged: probabilities, or numbers that are predictions."""
        classes = self.plan.target.classes
        alike = [
            block
            for block in self.blocks.values()
            if block.method == "predict_proba" or (block.kind == "value" and classes is None)
        ]
        if not alike:
            return Answers(classes, {})
        return answers_of(np.mean([table[rows, block.columns] for block in alike], axis=0), alike[0], classes)

    def _stack(self, fold: OuterFold, table: np.ndarray) -> Answers:
        """The final estimator from the inner table, on the rows of the outer fold."""
        rows = np.sort(fold.train)
        plan = check_levels(self.plan, rows, self.settings)[1] if self.checks_levels else self.plan
        inner = fold.inner_folds(len(table))
        member, features = fit_final(plan, inner, fold.covered, table, self.blocks, settings=self.settings)
        with single_threaded_blas():
            return Answers(plan.target.classes, _given(member, take_rows(features, fold.test), plan.target.classes))


def _given(member: Member, features: Any, classes: Any) -> dict[str, np.ndarray]:
    given = {"predict": final_labels(member, features, classes)}
    if hasattr(member.estimator, "predict_proba"):
        given["predict_proba"] = final_probabilities(member, features, classes)
    if hasattr(member.estimator, "decision_function"):
        given["decision_function"] = member.estimator.decision_function(features)
    return given


# --- all outer folds ----------------------------------------------------------------------------------


def _summary(
    scored: list[tuple[dict[str, float], str | None]], scoring: Scoring, outer: Folds, failures: pd.DataFrame
) -> NestedScores:
    scores = pd.DataFrame([of_round for of_round, _ in scored]).rename_axis("outer fold")
    chosen = pd.Series([best for _, best in scored], index=scores.index, name=BEST, dtype=object)
    rows = {name: corrected_interval(scores[name].to_numpy(), outer)[:4] for name in scores.columns}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["score", "se", "low", "high"])
    table[["low", "high"]] = table[["low", "high"]].clip(*scoring.bounds)
    learners = table.iloc[3:].sort_values("score", ascending=False, na_position="last", kind="stable")
    pairs = {
        f"{STACK} - {other}": corrected_interval((scores[STACK] - scores[other]).to_numpy(), outer)
        for other in (BEST, MEAN)
    }
    differences = pd.DataFrame.from_dict(pairs, orient="index", columns=["difference", "se", "low", "high", "p_value"])
    table = pd.concat([table.iloc[:3], learners])
    return NestedScores(table, scores, differences, chosen, scoring.name, outer, failures)
