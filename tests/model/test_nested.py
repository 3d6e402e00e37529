"""All fits of a nested evaluation as one flat list: how many, on which rows, what is kept, what fails."""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from spies import (
    Counted,
    CountedNumbers,
    CountedTogether,
    Fails,
    Interrupted,
    Noisy,
    Together,
    Troubled,
    Witness,
    with_row_ids,
)

from stackkit import ConvexClassifier, EnsembleSelectionClassifier, LogPoolClassifier, StackingModel, Store
from stackkit._model.nested import OuterFold, nested_tables
from stackkit._model.parameters import settings_for
from stackkit._model.plan import make_plan
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError, MissingClassWarning

X, Y = make_classification(120, 5, random_state=0)
IDS = with_row_ids(X)


def _stack(learners, final=None, **params):
    return StackingModel(learners, final, **({"cv": 3, "random_state": 0} | params))


def _fits(log):
    return Path(log).read_text().splitlines() if Path(log).exists() else []


# --- how many fits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refit", "per_outer"), [(False, 3), (True, 4)])
@pytest.mark.parametrize("final", [None, LogisticRegression()], ids=["blend", "logistic"])
def test_each_learner_is_fitted_once_an_inner_fold_and_not_once_more(tmp_path, refit, per_outer, final):
    learners = [(name, Counted(tmp_path / "log", name)) for name in ("a", "b")]
    nested_scores(_stack(learners, final, refit=refit), X, Y, cv=5, scoring="roc_auc")
    fits = _fits(tmp_path / "log")
    assert sorted(fits) == ["a"] * 5 * per_outer + ["b"] * 5 * per_outer


def test_repeats_and_numbers_are_counted_too(tmp_path):
    model = _stack([("a", CountedNumbers(tmp_path / "log"))], cv=RepeatedKFold(n_splits=2, n_repeats=2))
    nested_scores(model, X, X[:, 0], cv=RepeatedKFold(n_splits=3, n_repeats=2))
    assert len(_fits(tmp_path / "log")) == 4 * 6


@pytest.mark.parametrize("refit", [False, True])
def test_folds_that_are_trained_together_are_trained_together_in_each_outer_fold(tmp_path, refit):
    model = _stack([("a", CountedTogether(tmp_path / "log", "a"))], refit=refit)
    nested = nested_scores(model, X, Y, cv=4)
    assert sorted(_fits(tmp_path / "log")) == ["a"] * 4 * refit + ["a together"] * 4
    one_by_one = nested_scores(_stack([("a", Counted(tmp_path / "other", "a"))], refit=refit), X, Y, cv=4)
    pd.testing.assert_frame_equal(nested.scores, one_by_one.scores)


# --- who saw which rows ---------------------------------------------------------------------------------


class LooksBack(Witness):
    """A Witness whose row number is the last column: as a final estimator, one that was passed through."""

    def fit(self, table, y):
        return super().fit(np.asarray(table)[:, ::-1], y)

    def predict_proba(self, table):
        return super().predict_proba(np.asarray(table)[:, ::-1])


OUTER = {
    "stratified": StratifiedKFold(4),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "in time": TimeSeriesSplit(4),
    "drawn": ShuffleSplit(3, test_size=0.3, train_size=0.5, random_state=0),
}
INNER = {
    "shuffled": KFold(3, shuffle=True),
    "repeated": RepeatedKFold(n_splits=2, n_repeats=2),
    "in time": TimeSeriesSplit(3),
    "drawn": ShuffleSplit(2, test_size=0.4),
}


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
def test_nobody_is_asked_about_a_row_that_it_saw(outer, inner, refit):
    """Whatever is scored, the learners inside and outside and the stack, says 0: not seen."""
    seen = []

    def most(estimator, rows, _truth):
        seen.append((len(rows), estimator.predict_proba(rows)[:, 1].max()))
        return 0.0

    learners = [("first", Witness()), ("second", Witness())]
    # Rows of the outer training part may be seen by all, but the final estimator's: it is asked about others alone.
    model = _stack(learners, LooksBack(), passthrough=[0], cv=INNER[inner], refit=refit)
    nested = nested_scores(model, IDS, Y, cv=OUTER[outer], scoring=most)
    n_folds = len(nested.folds)
    # The trial; inside; outside; stack and mean; last a constant prediction for each fold, which nobody fitted.
    assert len(seen) == 1 + n_folds * (2 + 2 + 2) + n_folds
    assert [most for _, most in seen[1:-n_folds]] == [0] * 6 * n_folds
    assert seen[0][0] == len(X)


@pytest.mark.parametrize("refit", [False, True])
def test_no_group_is_on_both_sides(refit):
    groups = np.random.default_rng(0).integers(0, 15, len(Y))
    seen = []

    def most(estimator, rows, _truth):
        seen.append(estimator.predict_proba(rows)[:, 1].max())
        return 0.0

    by_group = np.column_stack([groups, X])
    model = _stack([("it", Witness())], LooksBack(), passthrough=[0], cv=GroupKFold(3), refit=refit)
    nested_scores(model, by_group, Y, cv=GroupKFold(4), groups=groups, scoring=most)
    assert seen[1:-4] == [0] * 4 * 4  # the last are constant predictions
    seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # these splitters ignore groups
        nested_scores(model, by_group, Y, cv=4, groups=groups, scoring=most)
    assert max(seen[1:]) == 1  # the spies do see


@pytest.mark.parametrize("final", [None, LogisticRegression(), ConvexClassifier(), KNeighborsClassifier(1)])
def test_random_labels_teach_nobody_anything(final):
    rng = np.random.default_rng(3)
    rows, labels = rng.normal(size=(400, 3)), rng.permutation(np.arange(400) % 2)
    learners = [("knn", KNeighborsClassifier(1)), ("tree", DecisionTreeClassifier()), ("bayes", GaussianNB())]
    cv = StratifiedKFold(4, shuffle=True, random_state=0)
    nested = nested_scores(_stack(learners, final), rows, labels, cv=cv, scoring="roc_auc")
    assert nested.table["score"].between(0.4, 0.6).all()


def test_the_tables_hold_inner_predictions_of_training_rows_and_outer_ones_of_the_others():
    prefit = FrozenEstimator(GaussianNB().fit(X, Y))
    learners = [("knn", KNeighborsClassifier()), ("noisy", Noisy()), ("prefit", prefit)]
    for refit in (False, True):
        model = _stack(learners, refit=refit, cv=TimeSeriesSplit(3))
        settings = settings_for(model)
        plan = make_plan(model, X, Y, groups=None, sample_weight=None)
        train, test = np.arange(20, 100), np.arange(100, 115)
        fold = OuterFold(plan, plan.learners, (train, test), settings.entropy, refit=refit)
        (table,), blocks, failures = nested_tables(plan, [fold], settings)
        fitted = clone(model).fit(X[train], Y[train])
        np.testing.assert_array_equal(table[train], fitted.oof_.train)
        np.testing.assert_array_equal(table[test], fitted.transform(X[test]))
        assert np.isnan(table[:20]).all()
        assert np.isnan(table[115:]).all()
        np.testing.assert_array_equal(fold.covered, train[fitted.oof_.covered])
        assert list(blocks) == ["knn", "noisy", "prefit"]
        assert failures.empty


# --- the store ------------------------------------------------------------------------------------------


def test_a_second_call_fits_nothing_and_says_the_same(tmp_path):
    learners = [(name, Counted(tmp_path / "log", name, scale)) for name, scale in (("a", 1.0), ("b", 0.1))]
    model = _stack(learners, memory=tmp_path / "store")
    first = nested_scores(model, X, Y, cv=4)
    assert len(_fits(tmp_path / "log")) == 24
    second = nested_scores(model, X, Y, cv=4)
    assert len(_fits(tmp_path / "log")) == 24
    pd.testing.assert_frame_equal(second.scores, first.scores)
    without = nested_scores(_stack(learners), X, Y, cv=4)
    pd.testing.assert_frame_equal(without.scores, first.scores)


def test_another_scorer_or_final_estimator_costs_no_fit(tmp_path):
    model = _stack([("a", Counted(tmp_path / "log")), ("b", GaussianNB())], memory=Store(tmp_path / "store"))
    nested_scores(model, X, Y, cv=4)
    n_fits = len(_fits(tmp_path / "log"))
    for scoring in ("roc_auc", "accuracy", "neg_brier_score"):
        nested_scores(model, X, Y, cv=4, scoring=scoring)
    nested_scores(clone(model).set_params(final_estimator=LogisticRegression(), passthrough=True), X, Y, cv=4)
    assert len(_fits(tmp_path / "log")) == n_fits == 12


def test_a_learner_more_costs_its_own_fits_alone(tmp_path):
    a, b = (Counted(tmp_path / "log", name, scale) for name, scale in (("a", 1.0), ("b", 0.1)))
    nested_scores(_stack([("a", a)], memory=tmp_path / "store"), X, Y, cv=4)
    nested_scores(_stack([("b", b), ("a", a)], memory=tmp_path / "store"), X, Y, cv=4)
    assert _fits(tmp_path / "log") == ["a"] * 12 + ["b"] * 12


def test_other_outer_folds_or_rows_are_fitted_anew(tmp_path):
    model = _stack([("a", Counted(tmp_path / "log"))], memory=tmp_path / "store")
    nested_scores(model, X, Y, cv=4)
    nested_scores(model, X, Y, cv=KFold(4, shuffle=True, random_state=0))
    assert len(_fits(tmp_path / "log")) == 24
    nested_scores(model, X[:-1], Y[:-1], cv=4)
    assert len(_fits(tmp_path / "log")) == 36


def test_what_was_interrupted_goes_on_where_it_was(tmp_path):
    model = _stack([("a", Interrupted(tmp_path / "log", at_fit=6))], memory=tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        nested_scores(model, X, Y, cv=4)
    assert len(_fits(tmp_path / "log")) == 6
    nested = nested_scores(model, X, Y, cv=4)
    assert len(_fits(tmp_path / "log")) == 5 + 1 + 7
    expected = nested_scores(_stack([("a", GaussianNB())]), X, Y, cv=4)
    pd.testing.assert_frame_equal(nested.scores, expected.scores)


@pytest.mark.parametrize("refit", [False, True])
def test_kept_predictions_of_together_trained_folds_are_found_again(tmp_path, refit):
    learners = [("a", CountedTogether(tmp_path / "log", "a")), ("b", GaussianNB())]
    model = _stack(learners, memory=tmp_path / "store", refit=refit)
    first = nested_scores(model, X, Y, cv=4)
    n_fits = len(_fits(tmp_path / "log"))
    pd.testing.assert_frame_equal(nested_scores(model, X, Y, cv=4).scores, first.scores)
    assert len(_fits(tmp_path / "log")) == n_fits


# --- workers --------------------------------------------------------------------------------------------


WORKED = [
    ("noisy", Noisy()),
    ("together", Together()),
    ("logistic", LogisticRegression()),
    ("knn", KNeighborsClassifier()),
]


@pytest.mark.parametrize("refit", [False, True])
def test_threads_give_the_same_bits(refit):
    expected = nested_scores(_stack(WORKED, refit=refit), X, Y, cv=4)
    with joblib.parallel_config("threading"):
        nested = nested_scores(_stack(WORKED, refit=refit, n_jobs=2), X, Y, cv=4)
    pd.testing.assert_frame_equal(nested.scores, expected.scores, check_exact=True)


@pytest.mark.slow
def test_processes_give_the_same_bits(tmp_path):
    expected = nested_scores(_stack(WORKED, LogisticRegression(), passthrough=True), X, Y, cv=4)
    for memory in (None, tmp_path, tmp_path):
        model = _stack(WORKED, LogisticRegression(), passthrough=True, n_jobs=2, memory=memory)
        nested = nested_scores(model, X, Y, cv=4)
        pd.testing.assert_frame_equal(nested.scores, expected.scores, check_exact=True)


# --- failures -------------------------------------------------------------------------------------------


class FailsOnce(GaussianNB):
    """Raises where its training rows lack these two."""

    def __init__(self, rows=(0, 0)):
        super().__init__()
        self.rows = rows

    def fit(self, X, y):
        if not set(self.rows) & set(X[:, 0].astype(int)):
            raise RuntimeError("boom")
        return super().fit(X, y)


def _lost(outer, inner):
    """Two rows that are both tested in this inner fold of this outer fold, and in no other one."""
    train, test = list(KFold(3).split(IDS))[outer]
    return int(test[0]), int(train[list(KFold(3).split(train))[inner][1][0]])


def _failing(**params):
    learners = [("bayes", GaussianNB()), ("bad", FailsOnce(_lost(1, 2))), ("tree", DecisionTreeClassifier(max_depth=2))]
    return _stack(learners, cv=KFold(3), **params)


def test_a_learner_that_fails_is_named_with_its_inner_and_outer_fold():
    message = (
        r"The learner 'bad' \(FailsOnce\) failed in inner fold 2 of outer fold 1 \(54 training rows, .* test rows\), "
        r"in fit: RuntimeError: boom Fix it, or leave it out with on_error='drop'."
    )
    with pytest.raises(LearnerFailedError, match=message) as caught:
        nested_scores(_failing(), IDS, Y, cv=KFold(3))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_dropped_learner_leaves_all_outer_folds():
    with pytest.warns(LearnerDroppedWarning, match="'bad' .* in inner fold 2 of outer fold 1 .* leaves the stack"):
        nested = nested_scores(_failing(on_error="drop"), IDS, Y, cv=KFold(3))
    learners = [pair for pair in _failing().estimators if pair[0] != "bad"]
    expected = nested_scores(_stack(learners, cv=KFold(3)), IDS, Y, cv=KFold(3))
    pd.testing.assert_frame_equal(nested.scores, expected.scores)
    pd.testing.assert_frame_equal(nested.table, expected.table)
    assert nested.failures["learner"].tolist() == ["bad"]
    assert nested.failures["stage"].tolist() == ["fit"]
    assert nested.failures["error"].tolist() == ["RuntimeError: boom"]


def test_a_learner_that_fails_when_refitted_is_named_with_its_outer_fold():
    class FailsOnMany(GaussianNB):
        def fit(self, X, y):
            if len(X) > 70:
                raise RuntimeError("too many")
            return super().fit(X, y)

    model = _stack([("bayes", GaussianNB()), ("bad", FailsOnMany())], refit=True, on_error="drop")
    with pytest.warns(LearnerDroppedWarning, match=r"the refit of outer fold 0 \(80 training rows"):
        nested = nested_scores(model, X, Y, cv=3)
    assert "bad" not in nested.table.index


def test_nobody_left():
    model = _stack([("bad", Fails(without_row=5))], on_error="drop")
    with pytest.raises(LearnerFailedError, match=r"No learner is left, all failed.*of outer fold 0"):
        nested_scores(model, IDS, Y, cv=KFold(3))


def test_learners_that_time_does_not_suffice_for_leave():
    learners = [("slow", Troubled("slow", seconds=0.4)), ("bayes", GaussianNB())]
    with pytest.warns(LearnerDroppedWarning, match=r"\['slow'\] were not fitted on all folds within time_limit"):
        nested = nested_scores(_stack(learners, time_limit=1.5), IDS, Y, cv=3)
    assert list(nested.table.index) == ["stack", "best learner", "plain mean", "bayes"]
    assert nested.table["score"].notna().all()
    assert nested.failures["stage"].unique().tolist() == ["time_limit"]


def test_no_time_at_all():
    with pytest.raises(LearnerFailedError, match="No learner is left"):
        nested_scores(_stack([("slow", Troubled("slow", seconds=0.2))], time_limit=0.1), IDS, Y, cv=3)


# --- classes that an outer training part lacks ----------------------------------------------------------


@pytest.mark.parametrize(
    "final",
    [LogPoolClassifier(), ConvexClassifier(), EnsembleSelectionClassifier(), LogisticRegression()],
    ids=lambda final: type(final).__name__,
)
@pytest.mark.parametrize("n_classes", [3, 4])
def test_a_class_that_an_outer_training_part_lacks_gets_no_probability(final, n_classes):
    """The stack is what it would be without that class."""
    rng = np.random.default_rng(0)
    y = rng.integers(1, n_classes, len(X))
    rows = X + 2 * np.eye(5)[y % 5]
    y[:4] = 0  # the first of the classes
    learners = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3)), ("knn", KNeighborsClassifier())]
    model = _stack(learners, final)
    train, test = np.arange(40, 120), np.arange(40)
    with pytest.warns(MissingClassWarning, match=r"inner fold 0 of outer fold 0 lacks 0 for 'bayes', 'tree', 'knn'"):
        nested = nested_scores(model, rows, y, cv=[(train, test)])
    proba = np.zeros((40, n_classes))
    proba[:, 1:] = clone(model).fit(rows[train], y[train]).predict_proba(rows[test])
    loss = log_loss(y[test], proba, labels=range(n_classes))
    if isinstance(final, LogisticRegression):  # which sees a column more, of zeros
        assert nested.scores.loc[0, "stack"] == pytest.approx(loss, rel=0.02)
    else:
        assert nested.scores.loc[0, "stack"] == pytest.approx(loss, rel=1e-6)


def test_one_class_alone_in_an_outer_training_part_is_refused_before_anything_is_fitted(tmp_path):
    with pytest.raises(ValueError, match=r"outer fold 0 .*one class"):
        nested_scores(_stack([("a", Counted(tmp_path / "log"))]), X, np.sort(Y), cv=KFold(2))
    assert not _fits(tmp_path / "log")


# --- pieces ---------------------------------------------------------------------------------------------


def test_outer_folds_are_numbered_one_after_the_other():
    model = _stack([("a", GaussianNB()), ("together", Together())], refit=True)
    plan = make_plan(model, X, Y, groups=None, sample_weight=None)
    train, test = np.arange(80), np.arange(80, 120)
    fold = OuterFold(plan, plan.learners, (train, test), 0, refit=True)
    assert fold.titles(7) == [*(f"inner fold {i} of outer fold 7" for i in range(3)), "the refit of outer fold 7"]
    tasks = fold.tasks(first=8)
    assert sorted((task.name, task.folds) for task in tasks) == [
        ("a", (8,)), ("a", (9,)), ("a", (10,)), ("a", (11,)), ("together", (8, 9, 10)), ("together", (11,)),
    ]  # fmt: skip
    assert len(fold.pairs()) == 4
    for fitted, tested in fold.pairs():
        assert not np.intersect1d(fitted, tested).size
        assert np.isin(test, tested).all()
        assert not np.isin(test, fitted).any()


def test_seeds_are_those_of_a_fit_on_the_outer_training_rows():
    """Each outer fold has the same seeds: they go by learner and inner fold."""
    model = _stack([("noisy", Noisy())])
    plan = make_plan(model, X, Y, groups=None, sample_weight=None)
    seeds = [
        [
            task.learner.random_state
            for task in OuterFold(plan, plan.learners, (rows, np.setdiff1d(range(120), rows)), 5, refit=False).tasks(0)
        ]
        for rows in (np.arange(80), np.arange(40, 120))
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3


def test_pipelines_that_train_folds_together_prepare_each_part_alone():
    model = _stack([("pipe", make_pipeline(FunctionTransformer(), Together())), ("bayes", GaussianNB())])
    alone = _stack([("pipe", Together()), ("bayes", GaussianNB())])
    pd.testing.assert_frame_equal(nested_scores(model, X, Y, cv=4).scores, nested_scores(alone, X, Y, cv=4).scores)
