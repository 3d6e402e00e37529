"""Each measure of diversity against its own computation, and learners that are known to be alike or not."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from stackkit import cross_fit
from stackkit.evaluation import Diversity, diversity

COLUMNS = ["correlation", "error_correlation", "disagreement", "q_statistic", "double_fault"]
LEARNERS = [
    ("bayes", GaussianNB()),
    ("knn", KNeighborsClassifier()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
]


@pytest.fixture(scope="module")
def binary():
    return make_classification(150, 6, flip_y=0.2, random_state=0)


class Foretells(ClassifierMixin, BaseEstimator):
    """Says for each row, by its number, what it was told to say."""

    def __init__(self, told):
        self.told = told

    def fit(self, _X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.asarray(self.told)[X[:, 0].astype(int)]
        return np.column_stack([1 - p, p])


def _told(y, **told):
    """The table of learners that say this of the rows."""
    learners = [(name, Foretells(np.asarray(values, dtype=float))) for name, values in told.items()]
    cv = KFold(3, shuffle=True, random_state=0)
    return cross_fit(learners, np.arange(len(y), dtype=float)[:, None], np.asarray(y), cv=cv)


def _faults(right_one, right_other):
    """Counted one row after the other."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for pair in zip(right_one.tolist(), right_other.tolist(), strict=True):
        counts[pair] += 1
    alike = counts[True, True] * counts[False, False]
    unlike = counts[True, False] * counts[False, True]
    return (alike - unlike) / (alike + unlike), counts[False, False] / len(right_one)


def _own(table, truth):
    """What is left of predictions when each class's mean is taken away, over all columns."""
    table = pd.DataFrame(table)
    if np.ndim(truth) == 1:
        return (table - table.groupby(truth).transform("mean")).to_numpy().ravel()
    each = [table[i] - table[i].groupby(truth[:, i]).transform("mean") for i in table]
    return np.column_stack(each).ravel()


# --- against computations of their own ------------------------------------------------------------------


def test_two_classes(binary):
    X, y = binary
    oof = cross_fit(LEARNERS, X, y, cv=5)
    found = diversity(oof)
    assert isinstance(found, Diversity)
    P = oof.train
    assert list(found.pairs.columns) == COLUMNS
    assert list(found.pairs.index) == list(combinations(["bayes", "knn", "tree"], 2))
    for (i, one), (j, other) in combinations(enumerate(oof.blocks), 2):
        row = found.pairs.loc[(one, other)]
        assert row["correlation"] == pytest.approx(np.corrcoef(P[:, i], P[:, j])[0, 1])
        assert row["error_correlation"] == pytest.approx(np.corrcoef(_own(P[:, i], y), _own(P[:, j], y))[0, 1])
        a, b = P[:, i] > 0.5, P[:, j] > 0.5
        assert row["disagreement"] == pytest.approx((a != b).mean())
        assert (row["q_statistic"], row["double_fault"]) == pytest.approx(_faults(a == y, b == y))


def test_three_classes():
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X + rng.normal(scale=0.6, size=X.shape)
    words = np.array(["x", "a", "m"])[y]  # codes 2, 0, 1
    codes = np.array([2, 0, 1])[y]
    oof = cross_fit(LEARNERS, X, words, cv=StratifiedKFold(5))
    found = diversity(oof).pairs
    tables = {name: oof.train[:, block.columns] for name, block in oof.blocks.items()}
    for one, other in combinations(tables, 2):
        a, b = tables[one], tables[other]
        row = found.loc[(one, other)]
        # Probabilities of each class have means of their own.
        centred = [(table - table.mean(axis=0)).ravel() for table in (a, b)]
        assert row["correlation"] == pytest.approx(np.corrcoef(*centred)[0, 1])
        assert row["error_correlation"] == pytest.approx(np.corrcoef(_own(a, codes), _own(b, codes))[0, 1])
        assert row["disagreement"] == pytest.approx((a.argmax(axis=1) != b.argmax(axis=1)).mean())
        right = (a.argmax(axis=1) == codes, b.argmax(axis=1) == codes)
        assert (row["q_statistic"], row["double_fault"]) == pytest.approx(_faults(*right))


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_numbers(n_outputs):
    X, y = load_diabetes(return_X_y=True)
    target = y if n_outputs == 1 else np.column_stack([y, y**2 / 100])
    oof = cross_fit([("ridge", Ridge()), ("knn", KNeighborsRegressor())], X, target, cv=5)
    row = diversity(oof).pairs.loc[("ridge", "knn")]
    # Each output by its own scale: of one it does not matter.
    units = target.reshape(len(y), -1).std(axis=0)
    truth = target.reshape(len(y), -1) / units
    a, b = (oof.train[:, block.columns] / units for block in oof.blocks.values())
    shown = [a, b, a - truth, b - truth]
    centred = [(table - table.mean(axis=0)).ravel() for table in shown]
    assert row["correlation"] == pytest.approx(np.corrcoef(centred[0], centred[1])[0, 1])
    assert row["error_correlation"] == pytest.approx(np.corrcoef(centred[2], centred[3])[0, 1])
    assert row[["disagreement", "q_statistic", "double_fault"]].isna().all()


def test_the_units_of_an_output_do_not_matter():
    X, y = load_diabetes(return_X_y=True)
    learners = [("line", LinearRegression()), ("knn", KNeighborsRegressor())]
    targets = [np.column_stack([unit * y, X[:, 2] ** 2]) for unit in (1, 1e6)]
    found = [diversity(cross_fit(learners, X, target, cv=3)).pairs for target in targets]
    pd.testing.assert_frame_equal(found[0], found[1])


def test_an_output_that_never_changes_does_not_count():
    X, y = load_diabetes(return_X_y=True)
    learners = [("line", LinearRegression()), ("knn", KNeighborsRegressor())]
    found = [
        diversity(cross_fit(learners, X, target, cv=3)).pairs[["correlation", "error_correlation"]]
        for target in (y, np.column_stack([y, np.full(len(y), 0.1)]))
    ]
    pd.testing.assert_frame_equal(found[0], found[1])


@pytest.mark.parametrize("method", ["predict_proba", "predict"])
def test_several_labels_a_row(method):
    X, y = make_multilabel_classification(150, 6, n_classes=3, random_state=0)
    learners = [("knn", KNeighborsClassifier()), ("forest", RandomForestClassifier(10, random_state=0))]
    oof = cross_fit(learners, X, y, cv=3, stack_method=method)
    row = diversity(oof).pairs.loc[("knn", "forest")]
    a, b = (oof.train[:, block.columns] for block in oof.blocks.values())
    right = [((table > 0.5) == y).all(axis=1) for table in (a, b)]
    assert row["disagreement"] == pytest.approx(((a > 0.5) != (b > 0.5)).any(axis=1).mean())
    assert (row["q_statistic"], row["double_fault"]) == pytest.approx(_faults(*right))
    assert row["error_correlation"] == pytest.approx(np.corrcoef(_own(a, y), _own(b, y))[0, 1])


def test_columns_of_several_kinds_of_two_classes(binary):
    """One column each: all are compared."""
    X, y = binary
    learners = [
        *LEARNERS[:1],
        ("svc", LinearSVC()),
        ("labels", KNeighborsClassifier()),
        ("numbers", LinearRegression()),
    ]
    oof = cross_fit(learners, X, y, cv=3, stack_method={"labels": "predict"})
    found = diversity(oof).pairs
    P = oof.train
    names = list(oof.blocks)
    for i, j in combinations(range(4), 2):
        row = found.loc[(names[i], names[j])]
        assert row["correlation"] == pytest.approx(np.corrcoef(P[:, i], P[:, j])[0, 1])
        assert row["error_correlation"] == pytest.approx(np.corrcoef(_own(P[:, i], y), _own(P[:, j], y))[0, 1])
        assert row[["disagreement", "double_fault"]].isna().all() == ("numbers" in (names[i], names[j]))
    disagreement = (P[:, 1] > 0) != (P[:, 2] == 1)
    assert found.loc[("svc", "labels"), "disagreement"] == pytest.approx(disagreement.mean())


def test_columns_of_several_kinds_of_three_classes():
    X, y = load_iris(return_X_y=True)
    learners = [("bayes", GaussianNB()), ("ridge", RidgeClassifier()), ("labels", LogisticRegression(max_iter=1000))]
    oof = cross_fit(
        learners, X, y, cv=StratifiedKFold(3, shuffle=True, random_state=0), stack_method={"labels": "predict"}
    )
    found = diversity(oof)
    assert found.pairs[["disagreement", "double_fault"]].notna().all(axis=None)
    expected = (oof.train[:, 3:6].argmax(axis=1) != oof.train[:, 6]).mean()
    assert found.pairs.loc[("ridge", "labels"), "disagreement"] == pytest.approx(expected)


def test_the_names_of_the_classes_do_not_matter():
    X, y = load_iris(return_X_y=True)
    X = X + np.random.default_rng(0).normal(scale=0.7, size=X.shape)
    cv = list(StratifiedKFold(3).split(X, y))
    learners = [("bayes", GaussianNB()), ("nearest", KNeighborsClassifier(1)), ("logistic", LogisticRegression())]
    named = [np.array(list(names))[y] for names in ("abc", "bca", "cab")]
    found = [diversity(cross_fit(learners, X, labels, cv=cv, stack_method="predict")).pairs for labels in named]
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0])


# --- learners known to be alike or not ------------------------------------------------------------------


def test_a_learner_and_its_copy_are_the_same(binary):
    found = diversity(cross_fit([("one", GaussianNB()), ("other", GaussianNB())], *binary, cv=3))
    row = found.pairs.loc[("one", "other")]
    assert row[["correlation", "error_correlation", "q_statistic"]].tolist() == pytest.approx([1, 1, 1])
    assert row["disagreement"] == 0
    assert row["double_fault"] > 0


def test_independent_learners():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    one, other = (np.where(rng.uniform(size=4000) < 0.7, y, 1 - y) for _ in range(2))
    row = diversity(_told(y, one=one, other=other)).pairs.loc[("one", "other")]
    assert row["error_correlation"] == pytest.approx(0, abs=0.05)
    assert row["q_statistic"] == pytest.approx(0, abs=0.1)
    assert row["disagreement"] == pytest.approx(2 * 0.7 * 0.3, abs=0.03)
    assert row["double_fault"] == pytest.approx(0.09, abs=0.02)


def test_learners_that_are_never_wrong_together():
    y = np.tile([0, 1], 30)
    one, other = y.copy(), y.copy()
    one[:20], other[20:40] = 1 - y[:20], 1 - y[20:40]
    row = diversity(_told(y, one=one, other=other)).pairs.loc[("one", "other")]
    assert row["q_statistic"] == -1
    assert row["double_fault"] == 0
    assert row["disagreement"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [0.5, 0.1, 0.3, 1 / 3])
def test_a_constant_learner_correlates_with_nobody(value):
    y = np.random.default_rng(0).integers(0, 2, 61)
    other = np.random.default_rng(1).uniform(size=61)
    found = diversity(_told(y, constant=np.full(61, value), second=np.full(61, value / 2), other=other)).pairs
    assert found[["correlation", "error_correlation"]].isna().all(axis=None)
    expected = ((value > 0.5) != (other > 0.5)).mean()
    assert found.loc[("constant", "other"), "disagreement"] == expected


@pytest.mark.parametrize("value", [0.9, 0.7, 2 / 3])
def test_a_learner_that_says_the_same_of_each_row_of_a_class_errs_like_nobody(value):
    y = np.random.default_rng(0).integers(0, 2, 61)
    other = np.random.default_rng(1).uniform(size=61)
    row = diversity(_told(y, even=np.where(y, value, 1 - value), other=other)).pairs.loc[("even", "other")]
    assert np.isnan(row["error_correlation"])
    assert not np.isnan(row["correlation"])


def test_learners_that_are_always_right_have_no_q():
    y = np.tile([0, 1], 30)
    row = diversity(_told(y, one=y, other=y)).pairs.loc[("one", "other")]
    assert np.isnan(row["q_statistic"])
    assert row["double_fault"] == 0
    assert row["disagreement"] == 0
    assert row["correlation"] == pytest.approx(1)
    assert np.isnan(row["error_correlation"])


# --- the table of learners, and which rows count --------------------------------------------------------


def test_a_learners_row_is_the_mean_of_its_pairs(binary):
    found = diversity(cross_fit(LEARNERS, *binary, cv=3))
    assert list(found.learners.columns) == COLUMNS
    for name, row in found.learners.iterrows():
        own = [values for pair, values in found.pairs.iterrows() if name in pair]
        assert len(own) == 2
        np.testing.assert_allclose(row, np.mean(own, axis=0))
    assert found.learners["error_correlation"].is_monotonic_increasing
    assert sorted(found.learners.index) == ["bayes", "knn", "tree"]
    assert found.learners.index.name == "learner"


def test_one_learner_alone_has_no_pair(binary):
    found = diversity(cross_fit(LEARNERS[:1], *binary, cv=3))
    assert found.pairs.empty
    assert list(found.pairs.columns) == COLUMNS
    assert list(found.learners.index) == ["bayes"]
    assert found.learners.isna().all(axis=None)


def test_rows_without_a_prediction_do_not_count(binary):
    X, y = binary
    oof = cross_fit(LEARNERS, X, y, cv=TimeSeriesSplit(4))
    rows = oof.covered
    assert not rows.all()
    found = diversity(oof).pairs
    assert found.notna().all(axis=None)
    P = oof.train[rows]
    row = found.loc[("bayes", "knn")]
    assert row["correlation"] == pytest.approx(np.corrcoef(P[:, 0], P[:, 1])[0, 1])
    assert row["disagreement"] == pytest.approx(((P[:, 0] > 0.5) != (P[:, 1] > 0.5)).mean())


def test_the_table_is_left_as_it_was(binary):
    oof = cross_fit(LEARNERS, *binary, cv=3)
    before = oof.train.copy()
    diversity(oof)
    np.testing.assert_array_equal(oof.train, before)
