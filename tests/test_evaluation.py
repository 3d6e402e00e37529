"""nested_scores against cross-validation of the whole stack, against loops by hand, and on noise."""

import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, make_classification, make_multilabel_classification, make_regression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, get_scorer, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from spies import Counted, Noisy

from stackkit import ConvexClassifier, EnsembleSelectionClassifier, StackingModel
from stackkit._assessment.verdict import margin_of
from stackkit.datasets import load_titanic
from stackkit.evaluation import NestedScores, nested_scores, plan_nested

CLASSIFIERS = [
    ("logistic", LogisticRegression(max_iter=1000)),
    ("svc", make_pipeline(StandardScaler(), SVC())),
    ("knn", KNeighborsClassifier()),
    ("noisy", Noisy()),
    ("net", MLPClassifier((10,), max_iter=10)),
]
BINARY = [CLASSIFIERS[0], CLASSIFIERS[2], ("tree", DecisionTreeClassifier(max_depth=3))]
REGRESSORS = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=4)), ("knn", KNeighborsRegressor())]


def _classes(n_classes, n_rows=131):
    return make_classification(n_rows, 7, n_informative=5, n_classes=n_classes, random_state=n_classes)


def _stack(learners=BINARY, final=None, **params):
    return StackingModel(learners, final, **({"cv": 3, "random_state": 0} | params))


def _quiet(function, *args, **kwargs):
    """A net that is not done yet, and the like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*args, **kwargs)


# --- the stack's own scores -----------------------------------------------------------------------------


def _equals_cross_val_score(model, X, y, cv, scoring):
    nested = _quiet(nested_scores, model, X, y, cv=cv, scoring=scoring)
    expected = _quiet(cross_val_score, model, X, y, cv=cv, scoring=scoring, error_score="raise")
    assert nested.greater_is_better == (not scoring.startswith("neg_"))
    np.testing.assert_array_equal(_sign(nested) * nested.scores["stack"], expected)
    assert np.isfinite(expected).all()
    return nested


def _sign(nested):
    """scikit-learn's scores are higher-is-better: our losses with a minus, to the bit."""
    return 1 if nested.greater_is_better else -1


MODELS = {
    "the default blend": (_stack(), 2, "neg_log_loss"),
    "the default blend of three classes": (_stack(), 3, "neg_log_loss"),
    "another blend": (_stack(final=ConvexClassifier()), 3, "roc_auc_ovr"),
    "chosen learners": (_stack(final=EnsembleSelectionClassifier()), 2, "roc_auc"),
    "scores and probabilities": (_stack(CLASSIFIERS, LogisticRegression()), 2, "neg_log_loss"),
    "a final estimator without probabilities": (_stack(CLASSIFIERS[:3], RidgeClassifier()), 2, "roc_auc"),
    "scores of three classes": (_stack(CLASSIFIERS[:3], LogisticRegression()), 3, "balanced_accuracy"),
    "a method a learner": (
        _stack(final=LogisticRegression(), stack_method={"tree": "predict", "knn": "predict_proba"}),
        3,
        "neg_log_loss",
    ),
    "labels only": (_stack(final=DecisionTreeClassifier(max_depth=2), stack_method="predict"), 3, "accuracy"),
    "refit, with a blend": (_stack(refit=True), 2, "neg_log_loss"),
    "refit, without a blend": (_stack(final=LogisticRegression(), refit=True), 3, "neg_log_loss"),
    "all of X besides": (_stack(final=LogisticRegression(max_iter=1000), passthrough=True), 2, "neg_log_loss"),
    "some of X besides": (_stack(final=LogisticRegression(), passthrough=[0, 3]), 2, "neg_log_loss"),
    "repeated inner folds": (_stack(cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=2)), 2, "neg_log_loss"),
    "inner folds in time": (_stack(cv=TimeSeriesSplit(3)), 2, "neg_log_loss"),
    "inner folds drawn at random": (_stack(cv=ShuffleSplit(3)), 2, "neg_log_loss"),
    "two levels": (
        _stack(final=_stack([("bayes", GaussianNB()), ("forest", RandomForestClassifier(5))])),
        2,
        "neg_log_loss",
    ),
    "a seeded final estimator": (_stack(final=RandomForestClassifier(5)), 2, "neg_brier_score"),
}


@pytest.mark.parametrize("case", MODELS)
def test_the_stack_scores_what_cross_val_score_says_bit_for_bit(case):
    model, n_classes, scoring = MODELS[case]
    X, y = _classes(n_classes)
    _equals_cross_val_score(model, X, y, StratifiedKFold(3), scoring)


@pytest.mark.parametrize("final", [None, Ridge(), KNeighborsRegressor()], ids=["blend", "ridge", "knn"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_numbers_score_what_cross_val_score_says_bit_for_bit(final, n_outputs):
    X, y = make_regression(133, 6, n_targets=n_outputs, noise=30, random_state=0)
    learners = [*REGRESSORS, ("svr", SVR(C=100))] if n_outputs == 1 else REGRESSORS
    for scoring in ("r2", "neg_root_mean_squared_error"):
        _equals_cross_val_score(_stack(learners, final), X, y, KFold(3), scoring)


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "roc_auc"])
def test_several_labels_a_row_score_what_cross_val_score_says_bit_for_bit(scoring):
    X, y = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    learners = [("knn", KNeighborsClassifier()), ("forest", RandomForestClassifier(5))]
    # The model gives an array, which scikit-learn's scorers of several labels take, too.
    for final in (None, MultiOutputClassifier(GaussianNB())):
        _equals_cross_val_score(_stack(learners, final), X, y, KFold(3), scoring)


@pytest.mark.parametrize("kind", ["text", "booleans", "list", "categories", "floats"])
def test_labels_of_any_kind_change_nothing(kind):
    X, y = _classes(2)
    given = {
        "text": np.where(y, "yes", "no"),
        "booleans": y.astype(bool),
        "list": y.tolist(),
        "categories": pd.Series(pd.Categorical.from_codes(y, ["a", "b"]), index=range(500, 500 + len(y))),
        "floats": y + 0.0,
    }[kind]
    nested = _equals_cross_val_score(_stack(), X, given, StratifiedKFold(3), "neg_log_loss")
    expected = nested_scores(_stack(), X, y, cv=StratifiedKFold(3), scoring="neg_log_loss")
    pd.testing.assert_frame_equal(nested.scores, expected.scores)


@pytest.mark.parametrize("kind", ["pandas", "polars", "sparse", "list"])
def test_containers_of_any_kind_change_nothing(kind):
    X, y = _classes(2)
    names = [f"x{i}" for i in range(X.shape[1])]
    index = np.random.default_rng(0).permutation(len(y)) * 3 - 50
    given = {
        "pandas": (pd.DataFrame(X, columns=names, index=index), pd.Series(y, index=index[::-1])),
        "polars": (pl.DataFrame(X, schema=names), pl.Series(y)),
        "sparse": (sparse.csc_matrix(X), y),
        "list": (X.tolist(), y.tolist()),
    }[kind]
    model = _stack(final=LogisticRegression(), passthrough=[1])
    nested = _equals_cross_val_score(model, *given, StratifiedKFold(3), "neg_log_loss")
    if kind != "sparse":  # whose products round otherwise
        expected = nested_scores(model, X, y, cv=StratifiedKFold(3), scoring="neg_log_loss")
        pd.testing.assert_frame_equal(nested.scores, expected.scores)


@pytest.mark.parametrize(
    "cv",
    [
        3,
        KFold(3, shuffle=True, random_state=1),
        RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
        ShuffleSplit(4, test_size=0.2, random_state=0),
        TimeSeriesSplit(3),
        PredefinedSplit(np.arange(131) % 3),
        list(KFold(3).split(np.arange(131))),
    ],
    ids=["number", "shuffled", "repeated", "drawn", "in time", "predefined", "pairs"],
)
def test_outer_folds_of_any_kind(cv):
    X, y = _classes(2)
    nested = _equals_cross_val_score(_stack(), X, y, cv, "accuracy")
    assert len(nested.folds) == len(nested.scores) == len(nested.chosen)


def test_outer_folds_from_a_generator():
    X, y = _classes(2)
    nested = nested_scores(_stack(), X, y, cv=KFold(3).split(X))
    pd.testing.assert_frame_equal(nested.scores, nested_scores(_stack(), X, y, cv=KFold(3)).scores)


def test_open_seeds_of_the_outer_splitter_come_from_the_stack():
    X, y = _classes(2)
    cv = KFold(3, shuffle=True)
    first, second = (nested_scores(_stack(), X, y, cv=cv) for _ in range(2))
    pd.testing.assert_frame_equal(first.scores, second.scores)
    assert cv.random_state is None
    other = nested_scores(_stack(random_state=1), X, y, cv=cv)
    assert not np.array_equal(other.folds.pairs[0][1], first.folds.pairs[0][1])


def test_sample_weights_reach_fits_and_scores():
    X, y = _classes(2)
    weights = np.random.default_rng(0).uniform(0.1, 5, len(y))
    model = _stack([("logistic", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))])
    nested = nested_scores(model, X, y, cv=StratifiedKFold(3), sample_weight=weights, scoring="accuracy")
    for fold, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        fitted = clone(model).fit(X[train], y[train], sample_weight=weights[train])
        expected = accuracy_score(y[test], fitted.predict(X[test]), sample_weight=weights[test])
        assert nested.scores.loc[fold, "stack"] == expected
    plain = nested_scores(model, X, y, cv=StratifiedKFold(3), scoring="accuracy")
    assert not nested.scores.equals(plain.scores)


def test_groups_reach_outer_and_inner_splitters():
    X, y = _classes(2)
    groups = np.random.default_rng(0).integers(0, 12, len(y))
    model = _stack(cv=GroupKFold(3))
    for given in (groups, groups.tolist(), pd.Series(groups, index=groups + 100)):
        nested = nested_scores(model, X, y, cv=GroupKFold(4), groups=given)
        for fold, (train, test) in enumerate(GroupKFold(4).split(X, y, groups)):
            fitted = clone(model).fit(X[train], y[train], groups=groups[train])
            assert -nested.scores.loc[fold, "stack"] == get_scorer("neg_log_loss")(fitted, X[test], y[test])


@pytest.mark.slow
@pytest.mark.usefixtures("small_learners")
def test_default_learners_on_the_titanic_frame():
    X, y = load_titanic(return_X_y=True)
    X, y = X.iloc[:400].set_index(X.index[:400] * 7), y.iloc[:400]
    _equals_cross_val_score(StackingModel(task="classification", cv=3, random_state=0), X, y, 3, "neg_log_loss")


@pytest.mark.slow
@pytest.mark.usefixtures("small_learners")
def test_default_learners_on_few_rows():
    X, y = _classes(2, 90)
    _equals_cross_val_score(StackingModel(task="classification", cv=2, random_state=0), X, y, 2, "neg_log_loss")


def test_prefit_learners():
    X, y = _classes(2)
    learners = [("prefit", FrozenEstimator(GaussianNB().fit(X[:40], y[:40]))), *BINARY]
    for refit in (False, True):
        _equals_cross_val_score(_stack(learners, refit=refit), X, y, KFold(3), "neg_log_loss")


def test_images_and_the_like():
    class Flat(GaussianNB):
        def fit(self, X, y):
            return super().fit(X.reshape(len(X), -1), y)

        def predict_proba(self, X):
            return super().predict_proba(X.reshape(len(X), -1))

    X, y = _classes(2)
    _equals_cross_val_score(_stack([("flat", Flat())]), X[:, :6].reshape(-1, 3, 2), y, KFold(3), "accuracy")


@pytest.mark.slow
def test_nets_that_train_their_folds_together():
    from stackkit.nn import BNMLPClassifier

    X, y = _classes(3, 160)
    net = BNMLPClassifier((8,), max_epochs=3, batch_size=16)
    learners = [("net", net), ("scaled", make_pipeline(StandardScaler(), net)), ("bayes", GaussianNB())]
    _equals_cross_val_score(_stack(learners), X.astype(np.float32), y, StratifiedKFold(3), "neg_log_loss")


# --- the learners' scores -------------------------------------------------------------------------------


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_other_rows_are_those_of_a_loop_by_hand(refit, n_classes):
    X, y = _classes(n_classes)
    model = _stack(refit=refit)
    nested = nested_scores(model, X, y, cv=StratifiedKFold(3))
    names = [name for name, _ in BINARY]
    for fold, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        fitted = clone(model).fit(X[train], y[train])
        p, P = fitted.transform(X[test]), fitted.oof_.train
        blocks = [fitted.oof_.blocks[name].columns for name in names]
        outer = {name: log_loss(y[test], p[:, block]) for name, block in zip(names, blocks, strict=True)}
        inner = {name: log_loss(y[train], P[:, block]) for name, block in zip(names, blocks, strict=True)}
        best = min(inner, key=inner.get)
        mean = log_loss(y[test], np.mean([p[:, block] for block in blocks], axis=0))
        expected = {"best learner": outer[best], "plain mean": mean} | outer
        assert nested.scores.loc[fold, list(expected)].to_dict() == pytest.approx(expected, rel=1e-12)
        assert nested.chosen[fold] == best


def test_rows_of_numbers_are_those_of_a_loop_by_hand():
    X, y = load_diabetes(return_X_y=True)
    nested = nested_scores(_stack(REGRESSORS), X, y, cv=KFold(3), scoring="neg_mean_absolute_error")
    for fold, (train, test) in enumerate(KFold(3).split(X)):
        fitted = _stack(REGRESSORS).fit(X[train], y[train])
        p = fitted.transform(X[test])
        expected = dict(zip(fitted.oof_.columns, np.abs(p - y[test][:, None]).mean(axis=0), strict=True))
        expected["plain mean"] = np.abs(p.mean(axis=1) - y[test]).mean()
        expected["best learner"] = expected[nested.chosen[fold]]
        assert nested.scores.loc[fold, list(expected)].to_dict() == pytest.approx(expected, rel=1e-12)
        inner = np.abs(fitted.oof_.train - y[train][:, None]).mean(axis=0)
        assert nested.chosen[fold] == fitted.oof_.columns[inner.argmin()]


class Foretells(ClassifierMixin, BaseEstimator):
    """Says for each row, by its number, what it was told to say."""

    def __init__(self, told):
        self.told = told

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.asarray(self.told)[X[:, 0].astype(int)]
        return np.column_stack([1 - p, p])


def test_the_best_learner_is_chosen_inside_and_never_by_outer_scores():
    y = np.random.default_rng(0).integers(0, 2, 90)
    outer = np.arange(90) >= 60
    right, wrong = 0.9 * y + 0.05, 0.95 - 0.9 * y
    learners = [
        ("inside", Foretells(np.where(outer, wrong, right))),
        ("outside", Foretells(np.where(outer, right, wrong))),
    ]
    cv = [(np.flatnonzero(~outer), np.flatnonzero(outer))]
    nested = nested_scores(_stack(learners), np.arange(90)[:, None], y, cv=cv, scoring="roc_auc")
    assert nested.chosen.tolist() == ["inside"]
    assert nested.scores.loc[0, ["inside", "outside", "best learner"]].tolist() == [0, 1, 0]


def test_a_table_of_means_with_intervals_the_best_learner_first():
    X, y = _classes(2)
    nested = nested_scores(_stack(), X, y, cv=StratifiedKFold(4))
    assert list(nested.table.index[:3]) == ["stack", "best learner", "plain mean"]
    assert sorted(nested.table.index[3:]) == ["knn", "logistic", "tree"]
    assert nested.table["score"][3:].is_monotonic_increasing
    assert nested.table.index.name == nested.differences.index.name == nested.scores.columns.name == "learner"
    pd.testing.assert_series_equal(nested.table["score"], nested.scores.mean()[nested.table.index], check_names=False)
    spread = nested.scores.std() * np.sqrt(1 / 4 + 33 / 98)
    np.testing.assert_allclose(nested.table["se"], spread[nested.table.index], rtol=0.01)
    assert (nested.table["low"] <= nested.table["score"]).all()
    assert (nested.table["score"] <= nested.table["high"]).all()
    assert list(nested.differences.index) == list(nested.table.index[1:])
    for other, row in nested.differences.iterrows():
        assert row["gain"] == pytest.approx((nested.scores[other] - nested.scores["stack"]).mean())
        assert row["low"] < row["gain"] < row["high"]
        assert (row["p_value"] < 0.05) == (row["low"] > 0 or row["high"] < 0)
    assert list(nested.differences.columns) == ["gain", "se", "low", "high", "p_value"]
    assert (nested.scoring, nested.metric, nested.greater_is_better) == ("neg_log_loss", "log_loss", False)
    assert nested.failures.empty


# --- scorers --------------------------------------------------------------------------------------------


def test_the_default_scorer_is_what_the_leaderboard_ranks_by():
    X, y = _classes(2)
    labels = np.column_stack([y, X[:, 0] > 0]).astype(int)
    knn = [("knn", KNeighborsClassifier())]
    assert nested_scores(_stack(knn), X, y, cv=3).scoring == "neg_log_loss"
    assert nested_scores(_stack(knn, RidgeClassifier()), X, y, cv=3).scoring == "accuracy"
    assert nested_scores(_stack(knn), X, labels, cv=3).scoring == "accuracy"
    regression = nested_scores(_stack(REGRESSORS[:1]), X, X[:, 0], cv=3)
    assert regression.scoring == "neg_root_mean_squared_error"


def test_a_callable_scorer_gets_an_estimator_and_rows():
    X, y = _classes(2)

    def share_right(estimator, rows, truth):
        assert len(rows) == len(truth) == len(estimator.predict(rows))
        return np.mean(estimator.predict(rows) == truth)

    by_name = nested_scores(_stack(), X, y, cv=3, scoring="accuracy")
    by_function = nested_scores(_stack(), X, y, cv=3, scoring=share_right)
    pd.testing.assert_frame_equal(by_function.scores, by_name.scores)
    assert by_function.scoring == "share_right"
    made = nested_scores(_stack(), X, y, cv=3, scoring=make_scorer(accuracy_score))
    pd.testing.assert_frame_equal(made.scores, by_name.scores)
    assert "accuracy_score" in made.scoring


def test_learners_that_a_scorer_cannot_score_have_no_score():
    X, y = _classes(2)
    model = _stack(CLASSIFIERS[:3], LogisticRegression())
    nested = nested_scores(model, X, y, cv=3, scoring="neg_log_loss")
    assert nested.table["score"].isna().to_dict() == {name: name == "svc" for name in nested.table.index}
    assert nested.table.index[-1] == "svc"
    # The mean is of those that can be averaged.
    fitted = clone(model).fit(X, y)
    assert fitted.oof_.blocks["svc"].kind == "score"
    assert set(nested.chosen) <= {"logistic", "knn"}


def test_a_regressor_among_classifiers_has_no_score():
    X, y = _classes(2)
    model = _stack([("ridge", Ridge()), ("knn", KNeighborsClassifier())], LogisticRegression())
    nested = nested_scores(model, X, y, cv=3, scoring="accuracy")
    assert np.isnan(nested.table.loc["ridge", "score"])
    assert nested.table.loc["plain mean", "score"] == nested.table.loc["knn", "score"]


def test_without_anything_to_average_the_mean_has_no_score():
    X, y = _classes(2)
    nested = nested_scores(_stack(final=LogisticRegression(), stack_method="predict"), X, y, cv=3, scoring="accuracy")
    assert nested.table["score"].isna().to_dict() == {name: name == "plain mean" for name in nested.table.index}
    assert "mean" not in nested.verdict()


def test_a_scorer_that_fails_on_one_fold_costs_that_fold_alone():
    X, y = _classes(2)
    bad = X[next(StratifiedKFold(3).split(X, y))[1][0], 0]

    def moody(estimator, rows, truth):
        if len(rows) < 60 and bad in rows[:, 0]:
            raise RuntimeError("no such day")
        return np.mean(estimator.predict(rows) == truth)

    with pytest.warns(UserWarning, match="The stack has no moody on an outer fold: no such day"):
        nested = nested_scores(_stack(), X, y, cv=StratifiedKFold(3), scoring=moody)
    assert nested.scores.isna().all(axis=1).tolist() == [True, False, False]
    assert nested.chosen.notna().all()
    assert nested.table["score"].isna().all()
    assert nested.helps is None
    assert nested.verdict() == "Whether stacking helps cannot be told from 3 outer folds: 1 of them gave no score."


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("r2_score", "'r2_score'"),
        (["accuracy"], r"'scoring' parameter of nested_scores must be one of .* or a callable; got \['accuracy'\]"),
        ({"a": "accuracy"}, "or a callable; got {'a': 'accuracy'}"),
        ("acuracy", "got 'acuracy'. Did you mean 'accuracy'"),
        ("roc_auc", "that suits the target and a stack with predict, predict_proba; got 'roc_auc'.*Choose another"),
        (
            make_scorer(accuracy_score, response_method="decision_function"),
            "says: .*decision_function.* Choose another",
        ),
        (print, "suits the target"),
    ],
)
def test_unsuitable_scoring_is_refused_before_anything_is_fitted(tmp_path, scoring, message):
    X, y = _classes(3)
    log = tmp_path / "log"
    with pytest.raises(ValueError, match=message):
        nested_scores(_stack([("counted", Counted(log))]), X, y, scoring=scoring)
    assert not log.exists()


class Rounds(GaussianNB):
    """Probabilities that sum to one as float32 does, and no better."""

    def __init__(self, excess=1e-6):
        super().__init__()
        self.excess = excess

    def predict_proba(self, X):
        return np.where(super().predict_proba(X) > 0.5, 1 + self.excess, 0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_that_round_above_one(n_classes):
    X, y = _classes(n_classes)
    right = np.eye(n_classes)[y][:, ::-1]
    X = np.column_stack([X, 9 * right])
    nested = nested_scores(_stack([("it", Rounds()), ("bayes", GaussianNB())], ConvexClassifier()), X, y, cv=3)
    assert nested.table["score"].notna().all()


def test_a_functions_name_does_not_bound_its_scores():
    def accuracy_in_percent(estimator, rows, truth):
        return 100 * np.mean(estimator.predict(rows) == truth)

    X, y = _classes(2)
    nested = nested_scores(_stack(), X, y, cv=3, scoring=accuracy_in_percent)
    assert (nested.table["low"] < nested.table["score"]).all()
    assert (nested.table["score"] < nested.table["high"]).all()


def test_intervals_end_where_scores_do():
    X, y = _classes(2)
    X[:, 0] += 3 * y
    by_name = nested_scores(_stack(), X, y, cv=3, scoring="accuracy").table
    assert (by_name[["low", "high"]] <= 1).all(axis=None)
    assert (by_name["high"] == 1).any()
    losses = nested_scores(_stack(), X, y, cv=3).table
    assert (losses[["low", "high"]] >= 0).all(axis=None)
    assert (losses["low"] == 0).any()


# --- a stack at the end of a pipeline -------------------------------------------------------------------


class _Seen(TransformerMixin, BaseEstimator):
    """Fails if it is asked to learn from rows that it has to transform afterwards."""

    def fit(self, X, y):
        self.rows_, self.mean_ = set(X[:, 0]), X.mean(axis=0)
        return self

    def fit_transform(self, X, y):
        return self.fit(X, y).mean_ - X

    def transform(self, X):
        assert not self.rows_ & set(X[:, 0])
        return self.mean_ - X


@pytest.mark.parametrize("cv", [StratifiedKFold(3), RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)])
@pytest.mark.parametrize("frame", [False, True])
def test_what_stands_before_the_stack_is_fitted_to_the_training_rows_alone(cv, frame):
    X, y = _classes(2)
    front = StandardScaler().set_output(transform="pandas") if frame else _Seen()
    model = make_pipeline(front, _stack(BINARY[:2]))
    _equals_cross_val_score(model, X, y, cv, "neg_log_loss")


def test_random_labels_stay_random_behind_a_preprocessing_that_looks_at_them():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 400)), rng.permutation(120) % 2
    model = make_pipeline(SelectKBest(k=3), _stack([("bayes", GaussianNB())]))
    assert nested_scores(model, X, y, cv=5, scoring="accuracy").table["score"]["stack"] < 0.65


def test_groups_weights_and_failures_behind_a_pipeline():
    X, y = _classes(2)
    groups, weights = np.arange(len(y)) // 3, np.linspace(1, 2, len(y))
    plain = _stack(BINARY[:2], cv=GroupKFold(3))
    given = {"cv": GroupKFold(3), "groups": groups, "sample_weight": weights}
    expected = _quiet(nested_scores, plain, X, y, **given)
    found = _quiet(nested_scores, make_pipeline(FunctionTransformer(), plain), X, y, **given)
    pd.testing.assert_frame_equal(found.scores, expected.scores)
    dropped = _stack([*BINARY[:2], ("bad", SVC(C=-1.0))], on_error="drop")
    found = _quiet(nested_scores, make_pipeline(FunctionTransformer(), dropped), X, y, cv=3)
    assert "bad" not in found.table.index
    assert set(found.failures["fold"]) >= {"inner fold 0 of outer fold 0", "inner fold 0 of outer fold 2"}


# --- misuse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GaussianNB(), make_pipeline(StandardScaler(), GaussianNB()), StackingModel, None])
def test_only_a_stack_can_be_taken_apart(model):
    with pytest.raises(
        TypeError, match=r"'model' parameter of nested_scores must be a StackingModel, or .*; got (?s:.*)cross_val"
    ):
        nested_scores(model, *_classes(2))


@pytest.mark.parametrize("name", ["stack", "best learner", "plain mean"])
def test_names_of_the_tables_rows_are_taken(name):
    message = f"must differ from 'stack', 'best learner' and 'plain mean'.*got '{name}'. Choose another"
    with pytest.raises(ValueError, match=message):
        nested_scores(_stack([(name, GaussianNB())]), *_classes(2))


@pytest.mark.parametrize(
    "cv",
    [
        PredefinedSplit(np.arange(131) % 3),
        PredefinedSplit([0, 1, *[-1] * 129]),
        list(KFold(3).split(np.arange(131))),
        [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))],
        KFold(3).split(np.arange(131)),
    ],
    ids=["predefined", "of the first rows", "pairs", "pairs of the first rows", "generator"],
)
def test_inner_folds_that_name_rows_are_refused(tmp_path, cv):
    X, y = _classes(2)
    log = tmp_path / "log"
    with pytest.raises(ValueError, match=r"'cv' parameter of the model must be a number of folds or a splitter.*; got"):
        nested_scores(_stack([("counted", Counted(log))], cv=cv), X, y, cv=3)
    assert not log.exists()


def test_outer_folds_that_train_on_a_row_twice_are_refused():
    X, y = _classes(2)
    drawn = np.random.default_rng(0).choice(131, 131)
    with pytest.raises(
        ValueError, match="'cv' parameter of nested_scores must give each training row once; outer fold 0"
    ):
        nested_scores(_stack(), X, y, cv=[(drawn, np.setdiff1d(np.arange(131), drawn))])


def test_errors_of_fit_come_before_anything_is_fitted(tmp_path):
    X, y = _classes(2)
    log = tmp_path / "log"
    model = _stack([("counted", Counted(log))])
    with pytest.raises(ValueError, match="same number of rows"):
        nested_scores(model, X, y[:-1])
    with pytest.raises(ValueError, match="'cv' parameter must be"):
        nested_scores(model, X, y, cv="five")
    with pytest.raises(ValueError, match="takes groups and sample_weight; other"):
        nested_scores(model, X, y, colour="red")
    with pytest.raises(ValueError, match="n_splits=100"):  # the rows suffice, those of an outer fold do not
        nested_scores(_stack([("counted", Counted(log))], cv=KFold(100)), X, y, cv=3)
    assert not log.exists()


def test_the_outer_fold_whose_inner_folds_cannot_be_made_is_named(tmp_path):
    X, y = _classes(2)
    model = _stack([("counted", Counted(tmp_path / "log"))], cv=GroupKFold(4))
    groups = np.arange(len(y)) % 6
    pairs = [(np.flatnonzero(groups < 4), np.flatnonzero(groups >= 4)), (np.flatnonzero(groups < 3), [3])]
    with pytest.raises(ValueError, match=r"inner folds of outer fold 1 of 2 cannot be made: .* number of groups: 3"):
        nested_scores(model, X, y, cv=pairs, groups=groups)
    assert not (tmp_path / "log").exists()


def test_all_folds_are_made_before_anything_is_fitted(tmp_path):
    """What the command line asks for before it fits: the very folds that are fitted and scored."""
    X, y = _classes(2)
    model = _stack([("counted", Counted(tmp_path / "log"))], cv=ShuffleSplit(3))  # seeded by the model
    given = {"cv": ShuffleSplit(2), "scoring": None, "groups": None, "sample_weight": None}
    made = plan_nested(model, X, y, **given)
    assert not (tmp_path / "log").exists()
    nested = nested_scores(model, X, y, cv=ShuffleSplit(2))
    for fold, (train, test) in zip(made.folds, nested.folds.pairs, strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.test, test)
        inner = clone(model).fit(X[train], y[train]).oof_.folds.pairs
        for (fitted, tested), (own, others) in zip(fold.inner, inner, strict=True):
            np.testing.assert_array_equal(fitted, train[own])
            np.testing.assert_array_equal(tested, train[others])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("final", [None, ConvexClassifier(), EnsembleSelectionClassifier()])
def test_a_blend_that_would_learn_from_one_class_is_refused_before_anything_is_fitted(tmp_path, final, weighted):
    """The first rows of a time series have both classes, and no out-of-fold predictions."""
    y = np.array(["a", "b"] * 10 + (["a", "b"] * 20 if weighted else ["a"] * 40) + ["a", "b"] * 15)
    X = np.random.default_rng(0).normal(size=(90, 3))
    weights = np.where((y == "b") & (np.arange(90) // 20 > 0) & (np.arange(90) < 60), 0.0, 1.0) if weighted else None
    rows = np.arange(90)
    outer = [(rows[30:], rows[:30]), (rows[:60], rows[60:])]
    model = _stack([("counted", Counted(tmp_path / "log")), ("bayes", GaussianNB())], final, cv=TimeSeriesSplit(2))
    message = r"rows of at least two classes, for \w+ to learn from; the rows that it tests of outer fold 1 are of "
    with pytest.raises(ValueError, match=message + r"\['a'\] only"):
        nested_scores(model, X, y, cv=outer, sample_weight=weights)
    assert not (tmp_path / "log").exists()


def test_a_final_estimator_that_takes_one_class_may_have_it():
    y, X = np.array([0, 1] * 10 + [0] * 40 + [0, 1] * 15), np.random.default_rng(0).normal(size=(90, 3))
    model = _stack([("bayes", GaussianNB())], RandomForestClassifier(3), cv=TimeSeriesSplit(2))
    nested = nested_scores(model, X, y, cv=[(np.arange(60), np.arange(60, 90))], scoring="accuracy")
    assert nested.scores["stack"].tolist() == [0.5]


def test_the_model_is_left_as_it_was():
    X, y = _classes(2)
    generator = np.random.RandomState(0)
    model = _stack(random_state=generator, cv=KFold(3, shuffle=True))
    before, state = joblib.hash(model.get_params()), joblib.hash(generator.get_state())
    copies = X.copy(), y.copy()
    nested_scores(model, X, y, cv=3)
    assert joblib.hash(model.get_params()) == before
    assert joblib.hash(generator.get_state()) == state
    assert not hasattr(model, "oof_")
    np.testing.assert_array_equal(X, copies[0])
    np.testing.assert_array_equal(y, copies[1])


def test_a_fitted_model_is_evaluated_like_a_fresh_one_and_keeps_its_fit():
    X, y = _classes(2)
    model = _stack().fit(X, y)
    oof, predicted = model.oof_, model.predict_proba(X)
    nested = nested_scores(model, X, y, cv=3)
    pd.testing.assert_frame_equal(nested.scores, nested_scores(_stack(), X, y, cv=3).scores)
    assert model.oof_ is oof
    np.testing.assert_array_equal(model.predict_proba(X), predicted)


# --- scikit-learn's settings ----------------------------------------------------------------------------


def test_metadata_routing_as_cross_val_score_does_it():
    X, y = _classes(2)
    params = {"sample_weight": np.random.default_rng(0).uniform(0.1, 5, len(y))}
    params["groups"] = np.random.default_rng(1).integers(0, 12, len(y))
    with config_context(enable_metadata_routing=True):
        asks = LogisticRegression().set_fit_request(sample_weight=True)
        keeps_out = DecisionTreeClassifier(max_depth=3).set_fit_request(sample_weight=False)
        model = _stack([("asks", asks), ("not", keeps_out)], asks, cv=GroupKFold(3))
        nested = nested_scores(model, X, y, cv=GroupKFold(3), scoring="accuracy", **params)
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        expected = cross_val_score(model, X, y, cv=GroupKFold(3), scoring=scorer, params=params, error_score="raise")
        np.testing.assert_array_equal(nested.scores["stack"], expected)
        alone = nested_scores(model, X, y, cv=GroupKFold(3), scoring="accuracy", groups=params["groups"])
    assert not alone.scores.equals(nested.scores)


def test_groups_for_the_outer_folds_alone_under_metadata_routing():
    X, y = _classes(2)
    groups = np.random.default_rng(1).integers(0, 12, len(y))
    with config_context(enable_metadata_routing=True):
        nested = nested_scores(_stack(), X, y, cv=GroupKFold(3), scoring="accuracy", groups=groups)
        params = {"params": {"groups": groups}, "error_score": "raise"}
        expected = cross_val_score(_stack(), X, y, cv=GroupKFold(3), scoring="accuracy", **params)
    np.testing.assert_array_equal(nested.scores["stack"], expected)


def test_frames_out_of_transformers_change_nothing():
    X, y = _classes(2)
    X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    model = _stack([("scaled", make_pipeline(StandardScaler(), LogisticRegression())), ("bayes", GaussianNB())])
    expected = nested_scores(model, X, y, cv=3)
    with config_context(transform_output="pandas"):
        nested = nested_scores(model, X, y, cv=3)
    pd.testing.assert_frame_equal(nested.scores, expected.scores)


# --- the verdict ----------------------------------------------------------------------------------------


BETTER, WORSE, EVEN = (0.04, 0.03, 0.05), (-0.04, -0.05, -0.03), (0.001, -0.02, 0.022)
UNKNOWN = (np.nan, np.nan, np.nan)


def _nested(best, mean=EVEN, a=None, *, chosen=("a", "a", "b"), scores=None, greater=True, **more):
    """Of gains (gain, low, high) over the best learner, the plain mean, and the learner that leads outside."""
    gains = {"best learner": best, "plain mean": mean, "a": best if a is None else a, "b": BETTER}
    differences = pd.DataFrame.from_dict(gains, orient="index", columns=["gain", "low", "high"])
    rows = {"stack": 0.8, "best learner": 0.7, "plain mean": 0.7, "a": 0.7, "b": 0.6} | (scores or {})
    rows = {name: score if greater else 1 - score for name, score in rows.items()}
    given = {
        "table": pd.DataFrame({"score": rows}),
        "scores": pd.DataFrame([rows] * len(chosen)),
        "differences": differences,
        "chosen": pd.Series(chosen, dtype=object),
        "scoring": "accuracy" if greater else "neg_brier_score",
        "metric": "accuracy" if greater else "brier_score",
        "greater_is_better": greater,
        "constant": 0.5,
        "margin": 0.0025,
        "folds": [None] * len(chosen),
        "failures": pd.DataFrame(),
    }
    return NestedScores(**given | more)


BY = "by 0.04 (95 % interval 0.03 to 0.05)"
CHANCE = "better by 0.001 (95 % interval 0.02 worse to 0.022 better)"
LEADER = "than that of 'a', the best learner on the outer folds"
CHOICE = "than that of the learner that looked best inside each outer fold ('a' 2 times, 'b' 1 time)"
MORE = "More rows, or repeated outer folds, make the interval narrower."


YES, NO = "Stacking helps: the stack's METRIC is ", "Stacking does not help: the stack's METRIC is "
WHO_KNOWS = "Whether stacking helps cannot be told from these rows: the stack's METRIC is "
SMALL, SURELY_SMALL = (0.001, -0.001, 0.002), (0.001, 0.0005, 0.0015)
SURELY = "better by 0.001 (95 % interval 0.0005 to 0.0015)"
BY_LITTLE = "better by 0.001 (95 % interval 0.001 worse to 0.002 better)"


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize(
    ("given", "helps", "verdict"),
    [
        ((BETTER, BETTER), True, f"{YES}better {BY} {LEADER}."),
        ((BETTER, EVEN), True, f"{YES}better {BY} {LEADER}; the plain mean of the learners may do as well."),
        ((BETTER, UNKNOWN), True, f"{YES}better {BY} {LEADER}."),
        ((SURELY_SMALL, BETTER), True, f"{YES}{SURELY} {LEADER}; any gain below 0.0025 may be too small to matter."),
        ((BETTER, WORSE), False, f"{NO}worse {BY} than that of the plain mean of the learners. Use the plain mean."),
        ((WORSE, EVEN), False, f"{NO}worse {BY} {LEADER}. Use 'a'."),
        ((SMALL, EVEN), False, f"{NO}{BY_LITTLE} {LEADER}, and a gain below 0.0025 is too small to matter. Use 'a'."),
        ((WORSE, EVEN, EVEN), False, f"{NO}worse {BY} {CHOICE}. Use the learner with the best out-of-fold score."),
        ((EVEN, BETTER), None, f"{WHO_KNOWS}{CHANCE} {LEADER}. {MORE}"),
        # Better than what was chosen inside, but not than a learner of the list.
        ((BETTER, BETTER, EVEN), None, f"{WHO_KNOWS}{CHANCE} {LEADER}. {MORE}"),
        # The leader was picked by these very scores: that the stack does not beat it proves nothing.
        ((BETTER, BETTER, WORSE), None, f"{WHO_KNOWS}worse {BY} {LEADER}. {MORE}"),
        ((EVEN, BETTER, BETTER), None, f"{WHO_KNOWS}{CHANCE} {CHOICE}. {MORE}"),
    ],
)
def test_the_verdict_says_who_was_compared_and_what_to_do(given, helps, verdict, greater):
    nested = _nested(*given, greater=greater)
    assert nested.verdict() == verdict.replace("METRIC", "accuracy" if greater else "brier_score")
    assert nested.helps is helps
    assert nested.outcome == {True: "helps", False: "does not help", None: "cannot be told"}[helps]


def test_the_leader_is_the_learner_with_the_best_outer_score():
    for greater in (True, False):
        assert f"{BY} {LEADER}. Use 'a'." in _nested(WORSE, greater=greater).verdict()
        assert "Use 'a'." in _nested(WORSE, scores={"b": np.nan}, greater=greater).verdict()
        led = _nested(EVEN, a=EVEN, scores={"b": 0.9}, greater=greater)  # over b the gain is certain
        assert CHOICE in led.verdict()


def test_who_was_chosen_is_counted():
    assert "inside each outer fold (always 'b')" in _nested(EVEN, a=BETTER, chosen=("b", "b")).verdict()


@pytest.mark.parametrize("greater", [True, False])
def test_where_no_learner_knows_more_than_a_constant_it_is_said(greater):
    constant = 0.71 if greater else 0.29
    said = " No learner is better than a constant prediction. "
    assert said in _nested(EVEN, greater=greater, constant=constant, margin=0.0).verdict()
    assert said not in _nested(EVEN, greater=greater).verdict()


def test_the_verdict_on_folds_without_a_score():
    nested = _nested(UNKNOWN, UNKNOWN, chosen=(None, None, None), scores={"best learner": np.nan})
    assert nested.verdict() == "Whether stacking helps cannot be told from 3 outer folds: 3 of them gave no score."
    assert nested.helps is None


def test_one_outer_fold_is_not_enough_for_a_verdict():
    nested = nested_scores(_stack(), *_classes(2), cv=ShuffleSplit(1, random_state=0))
    assert nested.table["score"].notna().all()
    assert nested.table[["se", "low", "high"]].isna().all(axis=None)
    assert nested.helps is None
    assert nested.verdict() == "Whether stacking helps cannot be told from 1 outer fold: it takes two or more."


@pytest.mark.parametrize(
    ("scoring", "perfect"),
    [("neg_log_loss", 0), ("accuracy", 1), ("roc_auc", 1), ("neg_brier_score", 0), ("matthews_corrcoef", 1)],
)
def test_the_margin_is_a_percent_of_what_is_known_or_of_what_is_left(scoring, perfect):
    X, y = _classes(2)
    y = np.where(np.arange(len(y)) % 4 == 0, 1, y)  # so that a constant is right more often than not
    cv = StratifiedKFold(3)
    nested = nested_scores(_stack(), X, y, cv=cv, scoring=scoring)
    dummy = cross_val_score(DummyClassifier(strategy="prior"), X, y, cv=cv, scoring=scoring).mean()
    assert nested.constant == pytest.approx(_sign(nested) * dummy)
    best = nested.table.loc["best learner", "score"]
    known, left = abs(best - nested.constant), abs(perfect - best)
    assert nested.margin == pytest.approx(0.01 * min(known, left))


def test_the_margin_of_numbers():
    X, y = load_diabetes(return_X_y=True)
    nested = nested_scores(_stack(REGRESSORS), X, y, cv=KFold(3))
    dummy = cross_val_score(DummyRegressor(), X, y, cv=KFold(3), scoring="neg_root_mean_squared_error").mean()
    assert nested.constant == pytest.approx(-dummy)
    best = nested.table.loc["best learner", "score"]
    assert nested.margin == pytest.approx(0.01 * min(nested.constant - best, best))


def test_there_is_no_margin_where_nothing_is_known():
    assert margin_of(0.7, 0.69, perfect=0.0, sign=-1) == 0
    assert margin_of(0.5, 0.5, perfect=1.0, sign=1) == 0
    assert margin_of(5.0, np.nan, perfect=np.inf, sign=1) == 0
    assert margin_of(5.0, 3.0, perfect=np.inf, sign=1) == pytest.approx(0.02)
    assert margin_of(0.4, np.nan, perfect=0.0, sign=-1) == pytest.approx(0.004)


def test_a_stack_that_gives_what_its_only_learner_gives_does_not_help():
    X, y = _classes(2)
    nested = nested_scores(_stack(BINARY[:1], ConvexClassifier()), X, y, cv=3)
    assert nested.helps is False
    assert "Use 'logistic'." in nested.verdict()


# --- what it is for -------------------------------------------------------------------------------------


def _thirds():
    """Three learners, each of which sees three of nine features."""
    return [
        (f"third-{i}", make_pipeline(make_column_transformer(("passthrough", columns)), LogisticRegression()))
        for i, columns in enumerate(([0, 1, 2], [3, 4, 5], [6, 7, 8]))
    ]


@pytest.mark.slow
def test_where_no_learner_can_know_all_the_verdict_is_that_stacking_helps():
    helps = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, 9))
        y = (X.sum(axis=1) + rng.normal(size=300) > 0).astype(int)
        nested = nested_scores(_stack(_thirds(), random_state=seed), X, y, cv=5)
        helps += nested.verdict().startswith("Stacking helps")
        assert (nested.helps is True) == nested.verdict().startswith("Stacking helps")
    assert helps >= 16


@pytest.mark.slow
def test_on_noise_the_intervals_cover_and_the_verdict_does_not_claim_help():
    covered = helps = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
        learners = [BINARY[0], ("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
        nested = nested_scores(_stack(learners, LogisticRegression(), random_state=seed), X, y, scoring="roc_auc")
        covered += nested.table.loc["stack", "low"] <= 0.5 <= nested.table.loc["stack", "high"]
        helps += nested.verdict().startswith("Stacking helps")
    assert covered >= 27
    assert helps <= 3


@pytest.mark.parametrize("final", [None, KNeighborsClassifier(1)], ids=["blend", "memoriser"])
def test_memorisers_do_not_look_skilful_on_noise(final):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
    learners = [
        ("knn", KNeighborsClassifier(1)),
        ("tree", DecisionTreeClassifier(random_state=0)),
        ("bayes", GaussianNB()),
    ]
    nested = nested_scores(_stack(learners, final), X, y, cv=5, scoring="roc_auc")
    assert nested.table["score"].between(0.4, 0.6).all()
    if final is not None:  # in-sample it knows everything
        fitted = _stack(learners, final).fit(X, y)
        assert roc_auc_score(y, fitted.final_estimator_.predict_proba(fitted.oof_.train)[:, 1]) == 1
