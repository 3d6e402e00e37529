"""The final estimator out of fold, against loops by hand, and on noise."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import (
    GroupShuffleSplit,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from stackkit import ConvexClassifier, ConvexRegressor, LogPoolClassifier, cross_fit
from stackkit._assessment import marginal as second
from stackkit._assessment.marginal import marginal_values, second_level, second_level_folds, target_of

LEARNERS = [
    ("logistic", LogisticRegression(max_iter=1000)),
    ("knn", KNeighborsClassifier()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
]


LOGISTIC = LogisticRegression()


def _classes(n_classes, n_rows=150):
    return make_classification(n_rows, 6, n_informative=4, n_classes=n_classes, flip_y=0.1, random_state=0)


def _oof(n_classes=2, cv=5, **options):
    return cross_fit(LEARNERS, *_classes(n_classes), cv=cv, **options)


# --- against loops by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("final", [LogisticRegression(), GaussianNB(), KNeighborsClassifier()])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_cross_val_predict_on_the_table(final, n_classes):
    cv = KFold(5, shuffle=True, random_state=0)
    oof = _oof(n_classes, cv)
    stack = second_level(final, oof)
    expected = cross_val_predict(final, oof.train, oof.y, cv=cv, method="predict_proba")
    np.testing.assert_allclose(stack.train, expected[:, 1:] if n_classes == 2 else expected, rtol=1e-9)
    assert list(stack.blocks) == ["stack"]
    assert stack.columns == (["stack"] if n_classes == 2 else ["stack_0", "stack_1", "stack_2"])
    np.testing.assert_array_equal(stack.covered, oof.covered)
    assert stack.test is None
    np.testing.assert_array_equal(stack.y, oof.y)
    assert stack.classes is oof.classes


def test_its_scores_are_those_of_the_parts():
    oof = _oof()
    stack = second_level(LogisticRegression(), oof)
    for fold, (_, test) in enumerate(StratifiedKFold(5).split(*_classes(2))):
        row = stack.scores.loc[("stack", fold)]
        assert row["log_loss"] == pytest.approx(log_loss(oof.y[test], stack.train[test, 0]))
        assert row["accuracy"] == pytest.approx(((stack.train[test, 0] > 0.5) == oof.y[test]).mean())


@pytest.mark.parametrize("final", [LinearSVC(), RidgeClassifier()])
def test_final_estimators_without_probabilities(final):
    oof = _oof()
    stack = second_level(final, oof)
    expected = cross_val_predict(final, oof.train, oof.y, cv=StratifiedKFold(5), method="decision_function")
    np.testing.assert_allclose(stack.train[:, 0], expected, rtol=1e-6)
    assert stack.blocks["stack"].method == "decision_function"


@pytest.mark.parametrize(
    ("final", "n_outputs"),
    [(LinearRegression(), 1), (LinearRegression(), 2), (KNeighborsRegressor(), 2), (ConvexRegressor(), 1)],
)
def test_numbers(final, n_outputs):
    X, y = make_regression(120, 5, n_targets=n_outputs, noise=20, random_state=0)
    oof = cross_fit([("ridge", Ridge()), ("knn", KNeighborsRegressor())], X, y, cv=4)
    stack = second_level(final, oof)
    expected = cross_val_predict(final, oof.train, y, cv=KFold(4)).reshape(120, -1)
    np.testing.assert_allclose(stack.train, expected, rtol=1e-7)


def test_several_labels_a_row():
    X, y = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    oof = cross_fit(
        [("knn", KNeighborsClassifier()), ("forest", RandomForestClassifier(5))], X, y, cv=4, random_state=0
    )
    for final in (MultiOutputClassifier(LogisticRegression()), KNeighborsClassifier()):
        stack = second_level(final, oof)
        expected = cross_val_predict(final, oof.train, y, cv=KFold(4), method="predict_proba")
        np.testing.assert_allclose(stack.train, np.column_stack([label[:, 1] for label in expected]), rtol=1e-9)


def test_weights_reach_the_final_estimator_and_the_scores():
    X, y = _classes(2)
    weights = np.random.default_rng(0).uniform(0.01, 10, len(y))
    oof = cross_fit(LEARNERS[:1], X, y, cv=3, sample_weight=weights)
    stack = second_level(LogisticRegression(), oof)
    for fold, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        fitted = LogisticRegression().fit(oof.train[train], y[train], sample_weight=weights[train])
        p = fitted.predict_proba(oof.train[test])[:, 1]
        np.testing.assert_allclose(stack.train[test, 0], p, rtol=1e-9)
        expected = log_loss(y[test], p, sample_weight=weights[test])
        assert stack.scores.loc[("stack", fold), "log_loss"] == pytest.approx(expected)


def test_seeds_are_fixed_and_workers_change_nothing():
    oof = _oof()
    final = RandomForestClassifier(5)
    first = second_level(final, oof).train
    np.testing.assert_array_equal(second_level(final, oof).train, first)
    np.testing.assert_array_equal(second_level(final, oof, n_jobs=2).train, first)
    assert final.random_state is None
    assert not hasattr(final, "estimators_")


def test_it_learns_from_the_table():
    """Better than its best learner where the two know different things."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = (X.sum(axis=1) > 0).astype(int)

    learners = [
        (f"half-{i}", make_pipeline(make_column_transformer(("passthrough", [i])), LogisticRegression()))
        for i in (0, 1)
    ]
    oof = cross_fit(learners, X, y, cv=5)
    stack = second_level(LogisticRegression(), oof).scores["log_loss"].mean()
    assert stack < oof.scores.groupby("learner")["log_loss"].mean().min() / 2


# --- which rows teach which -----------------------------------------------------------------------------


def _parts(oof, final=LOGISTIC):
    """The test rows of each part, all of which keep to the folds."""
    folds = second_level_folds(final, oof)
    assert (folds.n_tested <= oof.covered).all()
    for train, test in folds.pairs:
        assert oof.covered[train].all()
        homes = [np.isin(train, own).all() * np.isin(test, tested) for own, tested in oof.folds.pairs]
        assert np.any(homes, axis=0).all()
    return [test.tolist() for _, test in folds.pairs]


def test_the_parts_are_the_folds():
    oof = _oof(cv=KFold(4, shuffle=True, random_state=0))
    assert _parts(oof) == [test.tolist() for _, test in oof.folds.pairs]
    for (train, _), (own, _) in zip(second_level_folds(LOGISTIC, oof).pairs, oof.folds.pairs, strict=True):
        np.testing.assert_array_equal(train, own)


def test_of_repeats_the_first_makes_the_parts():
    oof = _oof(cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=0))
    assert _parts(oof) == [test.tolist() for _, test in oof.folds.pairs[:3]]


def test_where_tests_overlap_a_row_is_predicted_in_the_first_fold_that_can():
    oof = _oof(cv=ShuffleSplit(6, test_size=0.4, random_state=0))
    parts = _parts(oof)
    assert parts[0] == oof.folds.pairs[0][1].tolist()
    assert parts[1] == [row for row in oof.folds.pairs[1][1] if row not in parts[0]]
    np.testing.assert_array_equal(second_level_folds(LOGISTIC, oof).covered, oof.covered)


def test_noise_of_each_group_is_not_learned():
    """With parts of our own that knew of no groups, the accuracy was 1."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    X = np.column_stack([rng.normal(size=60)[groups], rng.normal(size=60)[groups]])
    y = rng.integers(0, 2, 60)[groups]
    cv = GroupShuffleSplit(8, test_size=0.3, random_state=0)
    oof = cross_fit([("line", LogisticRegression()), ("knn", KNeighborsClassifier())], X, y, cv=cv, groups=groups)
    stack = second_level(RandomForestClassifier(20), oof)
    rows = stack.covered
    assert 0.3 < ((stack.train[rows, 0] > 0.5) == y[rows]).mean() < 0.7


@pytest.mark.parametrize(
    "cv",
    [
        [(np.arange(75), np.arange(75, 150))],
        [(np.arange(50), np.arange(50, 100)), (np.arange(50), np.arange(100, 150))],
    ],
    ids=["one fold", "training rows that nobody predicts"],
)
def test_where_no_fold_trains_on_what_another_predicted_nothing_is_told(cv):
    oof = _oof(cv=cv)
    with pytest.raises(ValueError, match=r"no fold trains on enough rows that another fold has predicted.*folds"):
        second_level(LOGISTIC, oof)
    assert marginal_values(LOGISTIC, oof).isna().all()


def test_leaving_one_out_makes_ten_parts():
    X, y = _classes(2, 43)
    oof = cross_fit(LEARNERS[:1], X, y, cv=LeaveOneOut())
    parts = _parts(oof)
    assert [len(part) for part in parts] == [5] * 3 + [4] * 7
    for train, test in second_level_folds(LOGISTIC, oof).pairs:
        np.testing.assert_array_equal(train, np.setdiff1d(np.arange(43), test))
    assert second_level(LogisticRegression(), oof).train.shape == (43, 1)


def test_folds_that_train_on_what_went_before_are_not_merged():
    oof = _oof(cv=TimeSeriesSplit(20))
    pairs = second_level_folds(LOGISTIC, oof).pairs
    assert len(pairs) > 15
    assert all(train.max() < test.min() for train, test in pairs)


def test_parts_of_sorted_rows_hold_both_classes():
    """Tests that follow one another are not put together."""
    X, y = _classes(2, 60)
    order = np.argsort(y)
    oof = cross_fit(LEARNERS[:1], X[order], y[order], cv=LeaveOneOut())
    assert all(len(np.unique(oof.y[part])) == 2 for part in _parts(oof))


def test_rows_without_a_prediction_stay_without():
    """Those of the first fold, too: before it there is nothing that a final estimator could be trained on."""
    oof = _oof(cv=TimeSeriesSplit(4, gap=5))
    assert not oof.covered.all()
    expected = np.isin(np.arange(150), np.concatenate([test for _, test in oof.folds.pairs[1:]]))
    for final in (LogisticRegression(), LogPoolClassifier()):
        stack = second_level(final, oof)
        np.testing.assert_array_equal(stack.covered, expected)
        np.testing.assert_array_equal(np.isnan(stack.train[:, 0]), ~expected)
        assert stack.scores.notna().all(axis=None)


def test_rows_of_one_class_teach_nobody():
    oof = _oof(cv=TimeSeriesSplit(4))
    first = oof.folds.pairs[0][1]
    oof.y[first] = 0
    weights = np.ones(150)
    parts = _parts(oof)
    assert parts == [test.tolist() for _, test in oof.folds.pairs[2:]]
    weights[oof.folds.pairs[1][1]] = 0
    assert _parts(replace(oof, sample_weight=weights)) == [oof.folds.pairs[3][1].tolist()]


def test_a_part_whose_others_lack_a_class():
    """A class that only one part has."""
    X, y = _classes(3)
    y = np.where(np.arange(150) < 145, y % 2, 2)
    cv = KFold(5)
    with pytest.warns(UserWarning, match="lack a class"):
        oof = cross_fit(LEARNERS, X, y, cv=cv)
    for final in (LogPoolClassifier(), ConvexClassifier(), LogisticRegression(max_iter=1000)):
        stack = second_level(final, oof)
        assert (stack.train[120:, 2] == 0).all()
        np.testing.assert_allclose(stack.train.sum(axis=1), 1)
        two = oof.train.reshape(150, 3, 3)[:120, :, :2]
        alone = clone(final).fit((two / two.sum(axis=2, keepdims=True))[:, :, 1], y[:120])
        new = oof.train.reshape(150, 3, 3)[120:, :, :2]
        if not isinstance(final, LogisticRegression):
            expected = alone.predict_proba((new / new.sum(axis=2, keepdims=True))[:, :, 1])
            np.testing.assert_allclose(stack.train[120:, :2], expected, rtol=1e-6)


# --- nothing that it saw --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
    learners = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier(1)), ("logistic", LogisticRegression())]
    return learners, X, y


@pytest.mark.parametrize(
    "cv",
    [5, RepeatedKFold(n_splits=3, n_repeats=3, random_state=0), ShuffleSplit(8, test_size=0.4, random_state=0)],
    ids=["folds", "repeats", "overlapping"],
)
def test_a_memoriser_does_not_look_skilful_on_noise(noise, cv):
    learners, X, y = noise
    oof = cross_fit(learners, X, y, cv=cv)
    rows = oof.covered
    memoriser = KNeighborsClassifier(1)
    stack = second_level(memoriser, oof)
    assert 0.4 < roc_auc_score(y[rows], stack.train[rows, 0]) < 0.6
    assert roc_auc_score(y[rows], memoriser.fit(oof.train[rows], y[rows]).predict_proba(oof.train[rows])[:, 1]) == 1


@pytest.mark.parametrize("final", [LogPoolClassifier(), ConvexClassifier(), LogisticRegression()])
def test_random_labels_score_no_better_than_chance(noise, final):
    learners, X, _ = noise
    losses = []
    for seed in range(5):
        y = np.random.default_rng(seed).integers(0, 2, 600)
        losses.append(second_level(final, cross_fit(learners, X, y, cv=5)).scores["log_loss"].mean())
    assert np.mean(losses) > np.log(2) - 0.005


def test_random_numbers_score_no_better_than_their_mean(noise):
    _, X, _ = noise
    y = np.random.default_rng(0).normal(size=600)
    oof = cross_fit([("ridge", Ridge()), ("knn", KNeighborsRegressor())], X, y, cv=5)
    stack = second_level(LinearRegression(), oof)
    assert root_mean_squared_error(y, stack.train[:, 0]) > 0.98 * y.std()


# --- what a learner adds --------------------------------------------------------------------------------


@pytest.mark.parametrize("final", [LogisticRegression(), LogPoolClassifier(), ConvexClassifier()])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_marginal_values_by_hand(final, n_classes):
    oof = _oof(n_classes, KFold(4, shuffle=True, random_state=1))
    values = marginal_values(final, oof)
    width = 1 if n_classes == 2 else 3

    def loss(columns):
        parts = []
        for train, test in oof.folds.pairs:
            fitted = clone(final).fit(oof.train[np.ix_(train, columns)], oof.y[train])
            p = fitted.predict_proba(oof.train[np.ix_(test, columns)]).clip(0, 1)
            parts.append(log_loss(oof.y[test], p, labels=range(n_classes)))
        return np.mean(parts)

    every = list(range(3 * width))
    for place, (name, _) in enumerate(LEARNERS):
        others = [column for column in every if column // width != place]
        assert values[name] == pytest.approx(loss(others) - loss(every), abs=1e-9)


def test_marginal_values_of_numbers_are_of_the_rmse():
    X, y = make_regression(120, 5, noise=20, random_state=0)
    oof = cross_fit([("ridge", Ridge()), ("knn", KNeighborsRegressor())], X, y, cv=4)
    values = marginal_values(LinearRegression(), oof)

    def loss(columns):
        p = cross_val_predict(LinearRegression(), oof.train[:, columns], y, cv=KFold(4))
        return np.mean([root_mean_squared_error(y[test], p[test]) for _, test in oof.folds.pairs])

    assert values["ridge"] == pytest.approx(loss([1]) - loss([0, 1]))
    assert values["knn"] == pytest.approx(loss([0]) - loss([0, 1]))
    assert values["ridge"] > 0


def test_without_probabilities_marginal_values_are_of_the_accuracy():
    oof = _oof()
    values = marginal_values(RidgeClassifier(), oof)

    def accuracy(columns):
        p = cross_val_predict(RidgeClassifier(), oof.train[:, columns], oof.y, cv=StratifiedKFold(5))
        return np.mean([(p[test] == oof.y[test]).mean() for _, test in oof.folds.pairs])

    assert values["knn"] == pytest.approx(accuracy([0, 1, 2]) - accuracy([0, 2]))


def test_a_learner_alone_has_no_marginal_value():
    X, y = _classes(2)
    assert marginal_values(LogisticRegression(), cross_fit(LEARNERS[:1], X, y, cv=3)).isna().all()


def test_a_final_estimator_that_refuses_has_no_marginal_values():
    class Refuses(LogisticRegression):
        def fit(self, X, y):
            raise RuntimeError("no")

    oof = _oof()
    assert marginal_values(Refuses(), oof).isna().all()
    with pytest.raises(RuntimeError, match="no"):
        second_level(Refuses(), oof)


def test_of_a_long_table_some_rows_are_enough(monkeypatch):
    monkeypatch.setattr(second, "MOST_ROWS", 100)
    oof = _oof()
    first = marginal_values(LogisticRegression(), oof)
    assert (first == marginal_values(LogisticRegression(), oof)).all()
    monkeypatch.setattr(second, "MOST_ROWS", 150)
    assert not np.allclose(first, marginal_values(LogisticRegression(), oof))


def test_the_target_is_what_the_learners_saw():
    X, y = _classes(3)
    target = target_of(cross_fit(LEARNERS[:1], X, np.array(["c", "a", "b"])[y], cv=3))
    assert (target.task, target.n_classes, target.multilabel) == ("classification", 3, False)
    assert target.classes.tolist() == ["a", "b", "c"]
    assert target_of(cross_fit([Ridge()], X, X[:, 0], cv=3)).task == "regression"


@pytest.mark.parametrize("asks", [True, False, None])
def test_with_metadata_routing_only_who_asks_for_weights_gets_them(asks):
    """The final estimator got them, although the fit of the stack had not given it any."""
    got = []

    class Notes(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            got.append(sample_weight is not None)
            return super().fit(X, y, sample_weight)

    X, y = _classes(2)
    with config_context(enable_metadata_routing=True):
        learners = [(name, learner.set_fit_request(sample_weight=True)) for name, learner in _weighted()]
        oof = cross_fit(learners, X, y, cv=3, sample_weight=np.arange(1.0, 151))
        final = Notes() if asks is None else Notes().set_fit_request(sample_weight=asks)
        second_level(final, oof)
        marginal_values(final, oof)
    assert set(got) == {bool(asks)}


def _weighted():
    return [("logistic", LogisticRegression(max_iter=1000)), ("tree", DecisionTreeClassifier(max_depth=3))]
