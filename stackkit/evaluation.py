"""Does stacking help? Honest scores of the stack beside its learners', and how unlike the learners are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter, warn

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from stackkit._assessment import (
    BEST,
    MEAN,
    STACK,
    Answers,
    Diversity,
    Evidence,
    Outcome,
    Scoring,
    answers_of,
    better,
    constant_answers,
    corrected_interval,
    diversity,
    labels_of,
    make_scoring,
    margin_of,
)
from stackkit._blending import final_labels, final_probabilities
from stackkit._data import (
    Folds,
    Learners,
    as_known,
    make_folds,
    put_together,
    splitter_of,
    take_rows,
    task_of_target,
    warn_of_row_order,
)
from stackkit._members import Block, Member, last_step, rows_of_params
from stackkit._model import (
    OuterFold,
    Plan,
    StackingModel,
    check_levels,
    checks_levels,
    fit_final,
    is_prefit_cv,
    known_task,
    learners_for,
    make_plan,
    nested_tables,
    settings_for,
)
from stackkit._oof import Settings, split_seed
from stackkit._utils import Summarised, Summary, single_threaded_blas
from stackkit.exceptions import RowOrderWarning

__all__ = ["Diversity", "NestedScores", "diversity", "nested_scores"]


@dataclass(frozen=True, repr=False)
class NestedScores(Summarised):
    """What the stack and its learners score on rows that none of them saw.

    Losses are positive numbers, lower is better: ``metric`` "log_loss" for the ``scoring`` "neg_log_loss", "rmse" for
    "neg_root_mean_squared_error". ``greater_is_better`` says which way it is. Differences are stated as gains: above
    zero the stack is better, whatever the metric.

    Attributes
    ----------
    table : DataFrame
        Index "learner": "stack", "best learner", "plain mean" (of the learners' predictions), then each learner, the
        best first. Columns score (mean over the outer folds), se, low, high: the corrected standard error and the
        95 % interval. "best learner" is, in each outer fold, the learner with the best out-of-fold score inside it:
        what one would have picked without the stack. It changes from fold to fold, so it may score worse than a
        learner of the list.
    scores : DataFrame of shape (n_outer_folds, n_names)
        The same names' scores on each outer fold.
    differences : DataFrame
        By how much the stack is better than each of the others (index "learner"): columns gain, se, low, high and
        p_value, of the paired differences over the outer folds.
    chosen : Series
        The best learner inside each outer fold, by its out-of-fold predictions there.
    scoring : str
        scikit-learn's name of the scorer.
    metric : str
        The name of the scores.
    greater_is_better : bool
        Whether high scores are good.
    constant : float
        The score of a constant prediction: the classes' shares, or the mean, of each outer fold's training rows.
    margin : float
        The largest gain that is too small to matter: 1 % of the distance from "best learner" to a perfect score, or
        of its lead over the constant prediction, whichever is less.
    folds : Folds
        The outer folds.
    failures : DataFrame
        Learners that failed and were dropped.

    Notes
    -----
    The verdict has three outcomes.

    - "helps": the interval of the gain is above zero, over "best learner" and over the learner that scored best on
      the outer folds; and the plain mean is not better.
    - "does not help": the plain mean is better (the whole interval of the gain over it is below zero), or the interval
      of the gain over "best learner" ends below ``margin``: the stack is worse, or what it gains is too small to
      matter.
    - "cannot be told": all else. More rows make the intervals narrower, and so do repeated outer folds.

    That a small effect is shown by an interval, not by a test that finds nothing, is the logic of equivalence tests
    (Schuirmann 1987); Benavoli et al. (2017) call classifiers equivalent that differ by less than 1 % in accuracy.
    ``margin`` is stricter where little is left to gain.

    References
    ----------
    Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability. Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    Benavoli, Corani, Demsar and Zaffalon (2017), Time for a change: a tutorial for comparing multiple classifiers
    through Bayesian analysis. Journal of Machine Learning Research 18(77), 1-36.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    differences: pd.DataFrame
    chosen: pd.Series
    scoring: str
    metric: str
    greater_is_better: bool
    constant: float
    margin: float
    folds: Folds
    failures: pd.DataFrame

    def _summary(self) -> Summary:
        title = f"NestedScores: {self.metric} on {len(self.folds)} outer folds, {better(self.greater_is_better)}"
        return Summary(title, self.verdict(), tables={"Rows that nobody saw": self.table})

    @property
    def outcome(self) -> Outcome:
        """What can be said of stacking: "helps", "does not help" or "cannot be told"."""
        return self._evidence().outcome

    @property
    def helps(self) -> bool | None:
        """Whether stacking helps; None where that cannot be told."""
        return {"helps": True, "does not help": False, "cannot be told": None}[self.outcome]

    def verdict(self) -> str:
        """Whether stacking helps, by how much and over what; else what to use instead, or why it cannot be told.

        Returns
        -------
        str
            The outcome, with the gain and its 95 % interval that it rests on, and what to do.
        """
        return self._evidence().sentence()

    def _evidence(self) -> Evidence:
        return Evidence(
            metric=self.metric,
            sign=1 if self.greater_is_better else -1,
            table=self.table,
            gains=self.differences,
            chosen=self.chosen.tolist(),
            n_without_score=int((self.scores[STACK] - self.scores[BEST]).isna().sum()),
            margin=self.margin,
            constant=self.constant,
        )


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
    """Cross-validate the whole stack, together with each of its learners.

    On each outer fold the stack is built from the other rows alone: inner folds, learners, final estimator. Its
    learners' outer scores come from the very fold models that the stack consists of; so do that of their plain mean
    and that of the learner that looked best inside. With K outer and k inner folds each learner is fitted K x k times
    (with ``refit=True``: K x (k + 1) times), as one flat list of tasks over ``n_jobs``, with the store of ``memory``.

    Parameters
    ----------
    model : StackingModel, or Pipeline that ends in one
        The stack. It is cloned; what comes before it is fitted to the training rows of each outer fold alone, and gets
        none of the metadata. Its ``n_jobs``, ``memory``, limits, ``on_error`` and ``verbose`` count.
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
        Rows, as for ``fit``.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Target.
    cv : int, splitter, iterable of index pairs, or None
        The outer folds. None means five folds of shuffled rows, stratified for classes, with ``groups`` kept
        together where they are given; numbers mean (stratified) K-fold without shuffling. Repeated and grouped
        splitters work.
    scoring : str, callable or None
        A scorer of scikit-learn; a callable gets y as an array, and higher is better. None means what the leaderboard
        ranks by: "neg_log_loss", or "accuracy" where the stack gives no probabilities; for numbers
        "neg_root_mean_squared_error". Losses (``neg_...``) are shown as positive numbers: except for that sign, the
        stack's scores are those of scikit-learn's ``cross_val_score``, bit for bit.
    groups : array-like of shape (n_rows,), optional
        Passed to the outer splitter, and to whom ``fit`` passes it.
    sample_weight : array-like of shape (n_rows,), optional
        As for ``fit``; scorers that are given by name weigh the rows, too.
    **params : dict
        Other metadata for ``fit``, with metadata routing enabled.

    Returns
    -------
    NestedScores
        Scores with intervals, the stack's gains over each of the others, ``verdict()``.

    Raises
    ------
    LearnerFailedError
        A learner failed (``on_error="raise"``). With "drop" it leaves the whole evaluation.
    TypeError
        ``model`` is neither a StackingModel nor a Pipeline that ends in one.
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
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.evaluation import nested_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], cv=StratifiedKFold(5))
    >>> nested = nested_scores(model, X, y, cv=StratifiedKFold(5), scoring="accuracy")
    >>> list(nested.table.index)
    ['stack', 'best learner', 'plain mean', 'knn', 'bayes']
    >>> print(nested.verdict())
    Whether stacking helps cannot be told from these rows: the stack's accuracy is worse by 0.00667 (95 % interval
    0.0344 worse to 0.0211 better) than that of 'knn', the best learner on the outer folds. More rows, or repeated outer
    folds, make the interval narrower.
    """
    given = {"cv": cv, "scoring": scoring, "groups": groups, "sample_weight": sample_weight} | params
    if type(model) is Pipeline and isinstance(last_step(model), StackingModel):
        return _nested_pipeline(model, X, y, **given)
    made = plan_nested(model, X, y, **given)
    scored, constants, failures = _rounds(made)
    return _summary(scored, made.scoring, made.outer, failures, constant=float(np.mean(constants)))


Round = tuple[dict[str, float], str | None]  # every name's score on an outer fold, and the learner that was best inside


def _rounds(made: NestedPlan, first: int = 0) -> tuple[list[Round], list[float], pd.DataFrame]:
    """All outer folds of a plan, with the scores of a constant prediction, and who failed."""
    for number, fold in enumerate(made.folds, first):
        made.plan.check_covered(fold.covered, f" of outer fold {number}")
    tables, blocks, failures = nested_tables(made.plan, made.folds, made.settings, first)
    referee = _Referee(made.plan, blocks, made.scoring, made.settings, checks_levels(made.model, made.plan))
    scored = [referee.scores(fold, table) for fold, table in zip(made.folds, tables, strict=True)]
    return scored, [referee.constant(fold) for fold in made.folds], failures


# --- a stack at the end of a pipeline -------------------------------------------------------------------


def _nested_pipeline(
    model: Pipeline, X: Any, y: Any, *, cv: Any, groups: Any, sample_weight: Any, **given: Any
) -> NestedScores:
    """One outer fold after the other: what is before the stack is fitted to the fold's training rows alone."""
    stack, X, y = last_step(model), as_known(X), as_known(y)
    X, y = (values if hasattr(values, "shape") else np.asarray(values) for values in (X, y))
    task = known_task(stack) or task_of_target(y)
    splitter = splitter_of(cv, y, classifier=task == "classification", random_state=stack.random_state)
    by_row = {"groups": groups, "sample_weight": sample_weight}
    split = {} if groups is None else {"groups": groups}
    outer = make_folds(splitter, X, y, seed=split_seed(settings_for(stack).entropy), **split)
    found = []
    for number, pair in enumerate(outer.pairs):
        rows = np.sort(np.concatenate(pair))
        train, test = (np.searchsorted(rows, part) for part in pair)
        front = clone(Pipeline(model.steps[:-1]))
        fitted = front.fit_transform(take_rows(X, pair[0]), take_rows(y, pair[0]))
        table = put_together(fitted, front.transform(take_rows(X, pair[1])), train, test)
        of_rows = rows_of_params({name: value for name, value in by_row.items() if value is not None}, rows, len(y))
        with catch_warnings():
            if number:  # told of the first
                simplefilter("ignore", RowOrderWarning)
            made = plan_nested(stack, table, take_rows(y, rows), cv=[(train, test)], **(by_row | of_rows), **given)
        found.append((made.scoring, *_rounds(made, number)))
    scored = _alike([scores for _, rounds, _, _ in found for scores in rounds])
    constant = float(np.mean([constants for _, _, constants, _ in found]))
    failures = pd.concat([failed for *_, failed in found], ignore_index=True)
    return _summary(scored, found[0][0], outer, failures, constant=constant)


def _alike(scored: list[Round]) -> list[Round]:
    """Without learners that failed on one of the outer folds."""
    common = set.intersection(*(set(scores) for scores, _ in scored))
    return [({name: score for name, score in scores.items() if name in common}, best) for scores, best in scored]


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
            f"The 'model' parameter of nested_scores must be a StackingModel, or a Pipeline that ends in one; got "
            f"{model!r}. For anything else there is sklearn.model_selection.cross_validate."
        )
    _check_inner(model.cv)
    model, y = clone(model), as_known(y)
    settings = settings_for(model)
    inner_groups = groups if _uses_groups(model) else None
    plan = make_plan(model, X, y, groups=inner_groups, sample_weight=sample_weight, **params)
    _check_names(plan)
    chosen = make_scoring(scoring, methods_of(plan.final), plan.X, plan.target, plan.weights)
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


def methods_of(final: Any) -> list[str]:
    return [method for method in ("predict", "predict_proba", "decision_function") if hasattr(final, method)]


def _outer_fold(model: StackingModel, plan: Plan, settings: Settings, outer: Folds, number: int) -> OuterFold:
    pair = outer.pairs[number]
    try:
        return OuterFold(plan, _learners(model, plan, pair[0]), pair, settings.entropy, refit=model.refit)
    except ValueError as error:
        raise ValueError(f"The inner folds of outer fold {number} of {len(outer)} cannot be made: {error}") from error


def _check_inner(cv: Any) -> None:
    if (
        cv is None
        or is_prefit_cv(cv)
        or isinstance(cv, int | np.integer)
        or (hasattr(cv, "split") and not isinstance(cv, PredefinedSplit))
    ):
        return
    raise ValueError(
        "The 'cv' parameter of the model must be a number of folds or a splitter, because nested_scores makes inner "
        f"folds of each outer fold's training rows; got {cv!r}, which names rows. Use a splitter, such as GroupKFold "
        "with groups."
    )


def _learners(model: StackingModel, plan: Plan, rows: np.ndarray) -> Learners:
    """The default ones go by the number of rows."""
    if plan.portfolio is None:
        return plan.learners
    return learners_for(model, plan.target.task, plan.X[: len(rows)], plan.portfolio)


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

    def scores(self, fold: OuterFold, table: np.ndarray) -> Round:
        """Every name's score on the outer fold, and the learner that was best inside."""
        inside = {name: self._score(self._answers(name, table, fold.covered), fold.covered) for name in self.blocks}
        known = {name: score for name, score in inside.items() if not np.isnan(score)}
        best = max(known, key=lambda name: self.scoring.sign * known[name]) if known else None
        learners = {name: self._score(self._answers(name, table, fold.test), fold.test) for name in self.blocks}
        strategies = {
            STACK: self._score(self._stack(fold, table), fold.test, STACK),
            BEST: learners[best] if best else np.nan,
            MEAN: self._score(self._mean(table, fold.test), fold.test),
        }
        return strategies | learners, best

    def constant(self, fold: OuterFold) -> float:
        """The score of a prediction that does not look at X."""
        methods = methods_of(self.plan.final)
        answers = constant_answers(methods, self.plan.target, fold.train, len(fold.test))
        with catch_warnings():
            simplefilter("ignore")  # it has no precision and the like
            return self._score(answers, fold.test)

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
    scored: list[Round],
    scoring: Scoring,
    outer: Folds,
    failures: pd.DataFrame,
    *,
    constant: float,
) -> NestedScores:
    scores = pd.DataFrame([of_round for of_round, _ in scored]).rename_axis("outer fold").rename_axis(columns="learner")
    chosen = pd.Series([best for _, best in scored], index=scores.index, name=BEST, dtype=object)
    rows = {name: corrected_interval(scores[name].to_numpy(), outer)[:4] for name in scores.columns}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["score", "se", "low", "high"])
    table[["low", "high"]] = table[["low", "high"]].clip(*scoring.bounds)
    ascending = not scoring.greater_is_better
    learners = table.iloc[3:].sort_values("score", ascending=ascending, na_position="last", kind="stable")
    table = pd.concat([table.iloc[:3], learners]).rename_axis("learner")
    gains = {
        other: corrected_interval(scoring.sign * (scores[STACK] - scores[other]).to_numpy(), outer)
        for other in table.index.drop(STACK)
    }
    differences = pd.DataFrame.from_dict(gains, orient="index", columns=["gain", "se", "low", "high", "p_value"])
    return NestedScores(
        table=table,
        scores=scores,
        differences=differences.rename_axis("learner"),
        chosen=chosen,
        scoring=scoring.name,
        metric=scoring.metric,
        greater_is_better=scoring.greater_is_better,
        constant=constant,
        margin=margin_of(float(table["score"][BEST]), constant, perfect=scoring.perfect, sign=scoring.sign),
        folds=outer,
        failures=failures,
    )
