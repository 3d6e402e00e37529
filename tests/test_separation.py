"""No row is predicted by what was trained on it, on its group or on later rows: on any level, in any figure."""

from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from stackkit import StackingModel
from stackkit._assessment.marginal import marginal_values, second_level
from stackkit.evaluation import nested_scores
from stackkit.plots import HardestRowsDisplay, ReliabilityDisplay

N = 60
GAP = 5
RNG = np.random.default_rng(0)
GROUPS = RNG.permutation(np.arange(N) // 5)
Y = np.arange(N) % 2
# The number of the row as a probability: a learner that repeats it hands it on to the next level.
X = ((np.arange(N) + 1) / (N + 2)).reshape(-1, 1)


class Asked(NamedTuple):
    """An estimator was asked for rows, having been trained on others."""

    trained: np.ndarray
    predicted: np.ndarray


ASKED: list[Asked] = []


class Tells(ClassifierMixin, BaseEstimator):
    """Repeats its first column, and notes down by whom which row is predicted."""

    def fit(self, X, y):
        self.classes_, self.rows_ = np.unique(y), _rows(X)
        return self

    def predict_proba(self, X):
        ASKED.append(Asked(self.rows_, _rows(X)))
        return np.column_stack([1 - X[:, 0], X[:, 0]])

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(int)]


def _rows(X):
    found = X[:, 0] * (N + 2) - 1
    np.testing.assert_allclose(found, np.round(found), atol=1e-6)
    return np.round(found).astype(int)


BY_GROUP = PredefinedSplit(np.where(GROUPS < 2, -1, GROUPS % 4))
# Each leaves rows out that are neither trained on nor tested, and two of them test some rows in common.
PAIRS = [
    (np.arange(0, 30), np.arange(40, 60)),
    (np.arange(20, 50), np.arange(0, 15)),
    (np.arange(40, 60), np.arange(10, 35)),
]
SPLITTERS = {
    "k-fold": KFold(4, shuffle=True, random_state=0),
    "stratified": StratifiedKFold(4),
    "groups": GroupKFold(4),
    "stratified groups": StratifiedGroupKFold(4),
    "shuffled groups": GroupShuffleSplit(6, test_size=0.3, random_state=0),
    "time": TimeSeriesSplit(4, gap=GAP),
    "time, many": TimeSeriesSplit(15),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "one group at a time": LeaveOneGroupOut(),
    "one row at a time": LeaveOneOut(),
    "shuffled": ShuffleSplit(5, test_size=0.3, random_state=0),
    "given": BY_GROUP,
    "pairs": PAIRS,
}
OF_GROUPS = {"groups", "stratified groups", "shuffled groups", "one group at a time", "given"}
GAPS = {"time": GAP, "time, many": 0}
NAMES_ROWS = {"given", "pairs"}  # of this table: of a part of it they can make no folds
EACH = [(name, levels) for name in SPLITTERS for levels in (1, 2) if (name, levels) != ("one row at a time", 2)]
ANEW = [(name, levels) for name, levels in EACH if name not in NAMES_ROWS | {"one row at a time"}]


@pytest.fixture(autouse=True)
def nobody_asked():
    ASKED.clear()


def _final(levels):
    return Tells() if levels == 1 else StackingModel([("upper", Tells())], Tells())


def _model(name, final, **options):
    model = StackingModel([("first", Tells()), ("other", Tells())], final, random_state=0)
    return model.set_params(**{"cv": SPLITTERS[name]} | options)


def _groups(name):
    return {"groups": GROUPS} if name in OF_GROUPS - NAMES_ROWS else {}


def _check_meaning(name, asked):
    """No row of the same group, and no later row."""
    assert asked
    for trained, predicted in asked:
        assert not np.intersect1d(trained, predicted).size
        if name in OF_GROUPS:
            assert not np.intersect1d(GROUPS[trained], GROUPS[predicted]).size
        if name in GAPS:
            assert trained.max() + GAPS[name] < predicted.min()


def _check_folds(folds, asked):
    """Each row is predicted in a fold that tests it, by what was trained on nothing but that fold's training rows."""
    assert asked
    for trained, predicted in asked:
        homes = [np.isin(trained, train).all() * np.isin(predicted, test) for train, test in folds.pairs]
        assert np.any(homes, axis=0).all()


@pytest.mark.parametrize(("name", "levels"), EACH)
def test_in_a_fit_and_in_all_that_is_told_of_it(name, levels):
    final = _final(levels)
    model = _model(name, final).fit(X, Y, **_groups(name))
    oof = model.oof_
    _check_folds(oof.folds, ASKED)
    _check_meaning(name, ASKED)
    for tell in (
        lambda: second_level(final, oof),
        lambda: marginal_values(final, oof),
        lambda: model.leaderboard(marginal=True),
        lambda: HardestRowsDisplay.from_estimator(model, ax=Figure().subplots()),
        lambda: ReliabilityDisplay.from_estimator(model, ax=Figure().subplots()),
    ):
        ASKED.clear()
        tell()
        _check_folds(oof.folds, ASKED)
        _check_meaning(name, ASKED)


@pytest.mark.parametrize(("name", "levels"), ANEW)
def test_in_nested_scores(name, levels):
    outer = TimeSeriesSplit(2, gap=GAPS[name], test_size=15) if name in GAPS else SPLITTERS[name]
    cv = TimeSeriesSplit(2, gap=GAPS[name]) if name in GAPS else SPLITTERS[name]
    nested_scores(_model(name, _final(levels), cv=cv), X, Y, cv=outer, **_groups(name))
    _check_meaning(name, ASKED)


@pytest.mark.parametrize("name", [name for name, levels in ANEW if levels == 2])
def test_in_the_check_of_a_second_level(name):
    model = _model(name, _final(2), levels="auto").fit(X, Y, **_groups(name))
    assert model.level_check_.n_rows > 0
    _check_meaning(name, ASKED)


@pytest.mark.parametrize("name", ["shuffled groups", "time"])
def test_in_a_report(name, tmp_path):
    model = _model(name, Tells()).fit(X, Y, **_groups(name))
    ASKED.clear()
    model.report(tmp_path / "report.html")
    _check_meaning(name, ASKED)
