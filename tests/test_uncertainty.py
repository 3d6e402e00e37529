"""Intervals, sets, doubt, temperature, thresholds: honest, without a refit, equal to independent computations."""

import pickle
import warnings
from math import ceil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, fbeta_score, log_loss, make_scorer
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC

from stackkit import ConvexClassifier, StackingClassifier, StackingModel, StackingRegressor
from stackkit._assessment import aps_scores, bounds, choose_threshold, p_values, scores_of, tempered
from stackkit._data import Folds
from stackkit.uncertainty import (
    ConformalClassifier,
    ConformalRegressor,
    TemperatureClassifier,
    ThresholdClassifier,
    _threshold,
    conformal,
    scale_temperature,
    spread,
    tune_threshold,
)

REGRESSORS = [("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))]
CLASSIFIERS = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier(15))]


def numbers(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, X[:, 0] + np.abs(X[:, 1]) + rng.normal(size=n)


def classes(n, n_classes=3, seed=0, **options):
    return make_classification(n, 8, n_informative=4, n_classes=n_classes, random_state=seed, **options)


@pytest.fixture(scope="module")
def regression():
    X, y = numbers(700)
    return StackingModel(REGRESSORS, cv=5, random_state=0).fit(X[:300], y[:300]), X[300:], y[300:]


@pytest.fixture(scope="module")
def classification():
    X, y = classes(800)
    return StackingModel(CLASSIFIERS, cv=5, random_state=0).fit(X[:300], y[:300]), X[300:], y[300:]


@pytest.fixture(scope="module")
def rare():
    X, y = classes(900, 2, weights=[0.85], flip_y=0.1)
    labels = np.array(["fine", "ill"])[y]
    return StackingModel(CLASSIFIERS, cv=5, random_state=0).fit(X, labels), X, labels


def covered(intervals, y):
    return (intervals[:, 0] <= y) & (y <= intervals[:, 1])


def within_chance(n_hits, n, confidence, n_known):
    """Where the share of hits may lie: as few as one in a million, with what is known from ``n_known`` rows alone."""
    spread_of_level = 4.9 * np.sqrt(confidence * (1 - confidence) / n_known)
    low = binom.ppf(1e-6, n, max(confidence - spread_of_level, 0)) / n
    high = binom.ppf(1 - 1e-6, n, min(confidence + spread_of_level, 1)) / n
    return low <= n_hits / n <= high


# --- intervals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_intervals_are_those_of_cv_plus_by_hand(confidence):
    X, y = numbers(60)
    folds = list(KFold(4, shuffle=True, random_state=0).split(X[:50]))
    model = StackingModel(REGRESSORS, LinearRegression(), cv=folds).fit(X[:50], y[:50])
    low, high = [], []
    for fold, (train, test) in enumerate(folds):
        final = LinearRegression().fit(model.oof_.train[train], y[train])
        members = [model.oof_.members[name][fold] for name, _ in REGRESSORS]
        new = final.predict(np.column_stack([member.predict(X[50:]) for member in members]))
        for row in test:
            error = abs(y[row] - final.predict(model.oof_.train[[row]])[0])
            low.append(new - error)
            high.append(new + error)
    rank = ceil(confidence * 51)  # of 50 rows and the new one
    expected = np.column_stack([np.sort(low, axis=0)[50 - rank], np.sort(high, axis=0)[rank - 1]])
    found = conformal(model).predict_interval(X[50:], confidence)
    np.testing.assert_allclose(found, expected)


def test_jackknife_plus_is_the_same_with_folds_of_one_row():
    X, y = numbers(35)
    model = StackingModel([("ridge", Ridge())], LinearRegression(), cv=LeaveOneOut()).fit(X[:30], y[:30])
    made = conformal(model)
    assert len(made._stacks.parts) == 30  # one per row, though final estimators are fitted ten times
    assert np.isfinite(made.predict_interval(X[30:], 0.9)).all()
    np.testing.assert_allclose(made.scores_, np.abs(y[:30] - _second_level(model)[:, 0]))


def _second_level(model):
    from stackkit._assessment import second_level

    return second_level(model.final_estimator_, model.oof_).train


@pytest.mark.parametrize("cv", [5, RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), TimeSeriesSplit(4)])
@pytest.mark.filterwarnings("ignore:The folds of this stack go forward")
def test_errors_are_those_of_the_leaderboards_stack(cv):
    X, y = numbers(120)
    model = StackingModel(REGRESSORS, cv=cv, random_state=0).fit(X, y)
    np.testing.assert_allclose(conformal(model).scores_, np.abs(y - _second_level(model)[:, 0]))


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_intervals_hold_as_often_as_they_say(regression, confidence):
    model, X, y = regression
    made = conformal(model)
    found = made.predict_interval(X, confidence)
    assert within_chance(covered(found, y).sum(), len(y), confidence, len(made.scores_))
    np.testing.assert_array_equal(made.predict(X), model.predict(X))


def test_mapie_says_the_same_of_the_same_models():
    """Its CV+ on a fixed blend of one learner, which is what both then predict."""
    mapie = pytest.importorskip("mapie.regression")
    X, y = numbers(150)
    folds = KFold(5)
    model = StackingModel([("ridge", Ridge())], _AsItIs(), cv=folds).fit(X[:100], y[:100])
    theirs = mapie.CrossConformalRegressor(Ridge(), confidence_level=[0.5, 0.9], method="plus", cv=folds)
    theirs.fit_conformalize(X[:100], y[:100])
    _, expected = theirs.predict_interval(X[100:])
    for place, confidence in enumerate([0.5, 0.9]):
        found = conformal(model).predict_interval(X[100:], confidence)
        np.testing.assert_allclose(found, expected[:, :, place], atol=1e-9)


class _AsItIs(RegressorMixin, BaseEstimator):
    """A final estimator that hands its first column on: nothing of it is fitted."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]


def test_nothing_is_learned_from_noise_on_any_level():
    """A forest on top knows the targets of its own rows by heart; its errors must be as large as those of new rows."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 3)), rng.normal(size=500)
    model = StackingModel(REGRESSORS, RandomForestRegressor(20, random_state=0), cv=5).fit(X[:200], y[:200])
    found = conformal(model).predict_interval(X[200:], 0.9)
    assert within_chance(covered(found, y[200:]).sum(), 300, 0.9, 200)
    assert np.diff(found).mean() > 3.0  # 90 % of a normal variable take 3.3


class _Watched(RegressorMixin, BaseEstimator):
    """Remembers which rows, by the number in the first column, it was fitted to, and counts the fits."""

    fits = 0

    def fit(self, X, y):
        _Watched.fits += 1
        self.seen_ = set(X[:, 0].tolist())
        return self

    def predict(self, X):
        return 1000.0 * np.isin(X[:, 0], list(self.seen_)) + X[:, 1]


def test_no_learner_is_fitted_again_and_no_error_is_of_a_model_that_saw_the_row():
    X, y = numbers(90)
    X = np.column_stack([np.arange(90), X])
    model = StackingModel([("watched", _Watched())], _AsItIs(), cv=3).fit(X, y)
    fits = _Watched.fits
    made = conformal(model)
    made.predict_interval(X + 1000)
    spread(model, X + 1000)
    assert _Watched.fits == fits
    np.testing.assert_allclose(made.scores_, np.abs(y - X[:, 1]))


def test_too_few_rows_make_everything_possible():
    X, y = numbers(40)
    model = StackingModel(REGRESSORS[:1], cv=3).fit(X[:20], y[:20])
    assert np.isfinite(conformal(model).predict_interval(X[20:], 0.95)).all()
    with pytest.warns(UserWarning, match="20 training rows are too few for a confidence of 0.96"):
        found = conformal(model).predict_interval(X[20:], 0.96)
    assert np.isinf(found).all()


def test_weights_are_as_repeated_rows():
    """A row of weight 2 counts as two; of the new row's weight only the scale is a convention."""
    rng = np.random.default_rng(0)
    centres, scores = [rng.normal(size=7), rng.normal(size=7)], np.abs(rng.normal(size=40))
    parts, weights = [np.arange(25), np.arange(25, 40)], rng.integers(0, 4, 40).astype(float)
    everyone = np.ones(40, dtype=bool)
    heavy = scores_of(parts, scores, weights, everyone)
    found = bounds(centres, heavy, 0.8)
    for row in range(7):
        centre = np.r_[np.full(25, centres[0][row]), np.full(15, centres[1][row])]
        times = weights.astype(int)
        new = weights[weights > 0].mean()  # as many copies of the new row, all of them beyond any bound
        for side, values in ((1, centre + scores), (0, scores - centre)):
            repeated = np.sort(np.repeat(values, times))
            rank = ceil(0.8 * (len(repeated) + new) - 1e-9)
            assert found[row, side] * (1 if side else -1) == pytest.approx(repeated[rank - 1])
    light = scores_of(parts, scores, np.full(40, 3.0), everyone)
    np.testing.assert_array_equal(
        bounds(centres, light, 0.8), bounds(centres, scores_of(parts, scores, None, everyone), 0.8)
    )


def test_the_weights_of_the_fit_count_and_others_can_be_given():
    X, y = numbers(300)
    y[:150] *= 10
    light = np.r_[np.full(150, 0.0), np.ones(150)]
    model = StackingModel(REGRESSORS, cv=StratifiedAs(), random_state=0).fit(X, y)
    wide, narrow = (conformal(model, sample_weight=w).predict_interval(X, 0.8) for w in (None, light))
    assert np.diff(wide).mean() > 1.4 * np.diff(narrow).mean()
    weighted = StackingModel(REGRESSORS, cv=StratifiedAs(), random_state=0).fit(X, y, sample_weight=light + 1e-9)
    same = conformal(weighted, sample_weight=light + 1e-9).predict_interval(X, 0.8)
    np.testing.assert_array_equal(conformal(weighted).predict_interval(X, 0.8), same)


class StratifiedAs:
    """Folds of every fifth row."""

    def split(self, X, y=None, groups=None):
        for fold in range(5):
            test = np.arange(fold, len(X), 5)
            yield np.setdiff1d(np.arange(len(X)), test), test

    def get_n_splits(self, X=None, y=None, groups=None):
        return 5


def test_groups_have_intervals_of_their_own():
    X, y = numbers(900)
    town = np.where(np.arange(900) % 3 == 0, "Rome", "Oslo")
    noise = np.random.default_rng(1).normal(size=900)
    y = np.where(town == "Rome", X[:, 0] + 5 * noise, X[:, 0] + 0.5 * noise)
    model = StackingModel(REGRESSORS[:1], cv=StratifiedAs()).fit(X[:450], y[:450])
    whole = covered(conformal(model).predict_interval(X[450:], 0.8), y[450:])
    within = covered(conformal(model, by=town[:450]).predict_interval(X[450:], 0.8, by=town[450:]), y[450:])
    for name, n in (("Rome", 150), ("Oslo", 300)):
        here = town[450:] == name
        assert within_chance(within[here].sum(), here.sum(), 0.8, n)
        assert not within_chance(whole[here].sum(), here.sum(), 0.8, n)
    # A group's interval is by its rows alone.
    alone = conformal(model, sample_weight=(town[:450] == "Rome").astype(float)).predict_interval(X[450:460], 0.8)
    by_group = conformal(model, by=pd.Series(town[:450])).predict_interval(X[450:460], 0.8, by=["Rome"] * 10)
    np.testing.assert_allclose(by_group, alone)


def test_time_is_told_of_and_followed():
    X, y = numbers(600)
    y[400:] += np.linspace(0, 8, 200)  # what no model knows
    with pytest.warns(UserWarning, match="go forward in time"):
        made = conformal(StackingModel(REGRESSORS, cv=TimeSeriesSplit(4)).fit(X[:300], y[:300]))
    assert np.isnan(made.scores_[:60]).all()  # no fold tests the first rows
    still = covered(made.predict_interval(X[300:], 0.9), y[300:])
    found = made.predict_interval_in_time(X[300:], y[300:], 0.9, step=0.05)
    adapted = covered(found, y[300:])
    assert still.mean() < 0.7
    # The bound of Gibbs and Candes, proposition 4.1, which holds whatever comes.
    assert abs(adapted.mean() - 0.9) <= (0.9 + 0.05) / (0.05 * 300)
    # An interval depends on the targets before it alone.
    other = y[300:].copy()
    other[150:] = 1e6
    np.testing.assert_array_equal(made.predict_interval_in_time(X[300:], other, 0.9, step=0.05)[:151], found[:151])
    by_hand, level = [], 0.9
    for row in range(300, 340):
        level = min(max(level, 1e-6), 1 - 1e-6)
        by_hand.append(made.predict_interval(X[[row]], level)[0])
        level += 0.05 * (float(not by_hand[-1][0] <= y[row] <= by_hand[-1][1]) - 0.1)
    np.testing.assert_allclose(found[:40], by_hand)


# --- sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_sets_hold_as_often_as_they_say(classification, method, confidence):
    model, X, y = classification
    found = conformal(model, method=method).predict_set(X, confidence)
    assert within_chance(found[np.arange(len(y)), y].sum(), len(y), confidence, 300)


def test_random_labels_are_all_possible():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 3)), rng.integers(0, 4, 500)
    model = StackingModel(CLASSIFIERS, RandomForestClassifier(20, random_state=0), cv=5).fit(X[:250], y[:250])
    for method in ("lac", "aps"):
        found = conformal(model, method=method).predict_set(X[250:], 0.9)
        assert within_chance(found[np.arange(250), y[250:]].sum(), 250, 0.9, 250)
        assert found.mean() > 0.8


def _by_hand(made, X, y, folds, new):
    """For each new row and class, how many rows of the table conform better: Romano et al. 2020."""
    model, method, better = made.model_, made.method, np.zeros((len(new), 3))
    random = np.random.RandomState(0)
    draws = random.uniform(size=len(X))
    for fold, (train, test) in enumerate(folds):
        final = LogisticRegression().fit(model.oof_.train[train], y[train])
        members = [model.oof_.members[name][fold] for name, _ in CLASSIFIERS]
        of_test = final.predict_proba(model.oof_.train[test])
        of_new = final.predict_proba(np.hstack([member.predict_proba(new) for member in members]))
        new_draws = np.random.default_rng(made._seed).uniform(size=len(new))
        for row in range(len(new)):
            for label in range(3):
                score = _score(of_new[row], label, new_draws[row], method)
                for place, known in enumerate(test):
                    better[row, label] += _score(of_test[place], y[known], draws[known], method) < score
    return better


def _score(shares, label, draw, method):
    if method == "lac":
        return 1 - shares[label]
    return shares[shares > shares[label]].sum() + draw * shares[label]


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_are_those_of_cv_plus_by_hand(method):
    X, y = classes(75)
    folds = list(StratifiedKFold(3).split(X[:60], y[:60]))
    model = StackingModel(CLASSIFIERS, LogisticRegression(), cv=folds).fit(X[:60], y[:60])
    made = conformal(model, method=method)
    better = _by_hand(made, X[:60], y[:60], folds, X[60:])
    for confidence in (0.5, 0.8, 0.9):
        np.testing.assert_array_equal(made.predict_set(X[60:], confidence), better < confidence * 61)


def test_mapie_says_the_same_sets_of_the_same_models():
    mapie = pytest.importorskip("mapie.classification")
    X, y = classes(250)
    folds = StratifiedKFold(5)
    model = StackingModel([("bayes", GaussianNB())], _SharesAsTheyAre(), cv=folds).fit(X[:200], y[:200])
    levels = [0.5, 0.8, 0.9]
    theirs = mapie.CrossConformalClassifier(GaussianNB(), confidence_level=levels, conformity_score="lac", cv=folds)
    theirs.fit_conformalize(X[:200], y[:200])
    _, expected = theirs.predict_set(X[200:], agg_scores="crossval")
    for place, confidence in enumerate(levels):
        np.testing.assert_array_equal(conformal(model).predict_set(X[200:], confidence), expected[:, :, place])


class _SharesAsTheyAre(ClassifierMixin, BaseEstimator):
    """A final estimator that hands its columns on as probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return self.classes_[np.asarray(X).argmax(axis=1)]


def test_aps_scores_of_equal_probabilities_are_told_apart():
    found = aps_scores(np.array([[0.25, 0.5, 0.25]]), np.array([0.5]))
    np.testing.assert_allclose(found, [[0.625, 0.25, 0.875]])


def test_rows_with_the_same_score_do_not_conform_better():
    known = scores_of([np.arange(3)], np.array([0.2, 0.2, 0.5]), None, np.ones(3, dtype=bool))
    np.testing.assert_allclose(p_values([np.array([[0.2, 0.3, 0.5, 0.6]])], known), [[1, 0.5, 0.5, 0.25]])


def test_groups_of_classes_and_two_classes_with_names(rare):
    model, X, _ = rare
    by = np.where(X[:, 0] > 0, "right", "left")
    found = conformal(model, by=by).predict_set(X[:50], 0.9, by=by[:50])
    alone = conformal(model, sample_weight=(by == "left").astype(float)).predict_set(X[:50], 0.9)
    np.testing.assert_array_equal(found[by[:50] == "left"], alone[by[:50] == "left"])


# --- doubt ----------------------------------------------------------------------------------------------


def test_spread_is_that_of_the_fold_models_by_hand(regression, classification):
    model, X, _ = regression
    final = model.final_estimator_
    each = [
        final.predict(np.column_stack([model.oof_.members[name][fold].predict(X) for name, _ in REGRESSORS]))
        for fold in range(5)
    ]
    np.testing.assert_allclose(spread(model, X), np.std(each, axis=0))
    model, X, _ = classification
    final = model.final_estimator_
    each = np.array(
        [
            final.predict_proba(np.hstack([model.oof_.members[name][f].predict_proba(X) for name, _ in CLASSIFIERS]))
            for f in range(5)
        ]
    )
    mean = each.mean(axis=0)
    expected = (each * (np.log(each) - np.log(mean))).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(spread(model, X), expected, atol=1e-9)


def test_spread_of_a_frame_is_that_of_its_values():
    X, y = numbers(120)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    as_array, as_frame = (StackingModel(REGRESSORS, cv=4, random_state=0).fit(rows, y) for rows in (X, frame))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of columns without their names
        np.testing.assert_allclose(spread(as_frame, frame), spread(as_array, X))


def test_spread_is_larger_where_there_were_no_rows():
    X, y = numbers(200)
    model = StackingModel(REGRESSORS[:1], LinearRegression(), cv=5).fit(X, y)
    assert np.median(spread(model, X + 6)) > 2 * np.median(spread(model, X))


# --- temperature ----------------------------------------------------------------------------------------


def _sure_of_itself():
    X, y = make_classification(600, 20, n_informative=3, n_redundant=10, random_state=0)
    return StackingModel([("bayes", GaussianNB())], ConvexClassifier(), cv=5, random_state=0).fit(X, y), X, y


def test_temperature_is_the_one_of_the_least_log_loss_and_is_kept_where_it_helps():
    model, X, y = _sure_of_itself()
    made = scale_temperature(model)
    second = _second_level(model)[:, 0]
    shares = np.column_stack([1 - second, second])
    losses = [log_loss(y, tempered(shares, made.temperature_ * by)) for by in (0.98, 1, 1.02)]
    assert losses[1] == min(losses)
    assert made.kept_
    assert made.temperature_ > 1.2
    assert made.gain_ > made.gain_se_
    found, before = made.predict_proba(X), model.predict_proba(X)
    np.testing.assert_allclose(
        np.log(found[:, 1] / found[:, 0]), np.log(before[:, 1] / before[:, 0]) / made.temperature_
    )
    np.testing.assert_array_equal(made.predict(X), model.predict(X))


def test_temperature_agrees_with_scikit_learns():
    model, _, y = _sure_of_itself()
    second = _second_level(model)
    try:
        theirs = CalibratedClassifierCV(FrozenEstimator(_Logits().fit(second, y)), method="temperature").fit(second, y)
    except ValueError:
        pytest.skip("this scikit-learn has no temperature")
    shares = np.column_stack([1 - second, second])
    found = tempered(shares, scale_temperature(model).temperature_)
    np.testing.assert_allclose(theirs.predict_proba(second), found, atol=1e-3)


class _Logits(ClassifierMixin, BaseEstimator):
    """Log-odds of the probabilities in its only column."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return np.log(X[:, 0] / (1 - X[:, 0]))

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0.5).astype(int)]


def test_a_temperature_that_does_not_help_changes_no_bit():
    kept = []
    for seed in range(4):
        X, y = classes(200, 2, seed=seed)
        model = StackingModel([("logistic", LogisticRegression())], cv=5, random_state=0).fit(X, y)
        made = scale_temperature(model)
        kept.append(made.kept_)
        if not made.kept_:
            assert made.temperature_ == 1
            np.testing.assert_array_equal(made.predict_proba(X), model.predict_proba(X))
    assert not all(kept)


# --- thresholds -----------------------------------------------------------------------------------------


def test_the_threshold_is_the_best_on_the_cross_fitted_table(rare):
    model, X, y = rare
    shares = _second_level(model)[:, 0]
    made = tune_threshold(model, "f1")
    scores = [f1_score(y, np.where(shares >= t, "ill", "fine"), pos_label="ill") for t in np.unique(shares)]
    chosen = f1_score(y, np.where(shares >= made.threshold_, "ill", "fine"), pos_label="ill")
    assert made.kept_
    assert chosen > np.max(scores) - 0.01  # of 900 thresholds, 100 are tried
    assert made.curve_["score"].max() == pytest.approx(chosen)
    np.testing.assert_array_equal(made.predict(X) == "ill", model.predict_proba(X)[:, 1] >= made.threshold_)
    np.testing.assert_array_equal(made.predict_proba(X), model.predict_proba(X))


def test_scorers_of_ones_own_get_ones_own_labels(rare):
    model, _, y = rare
    by_name = tune_threshold(model, "f1")
    by_hand = tune_threshold(model, make_scorer(f1_score, pos_label="ill"))
    assert by_hand.threshold_ == by_name.threshold_
    fine = tune_threshold(model, make_scorer(fbeta_score, beta=2, pos_label="fine"), pos_label="fine")
    shares = 1 - _second_level(model)[:, 0]
    score = fbeta_score(y, np.where(shares >= fine.curve_["threshold"][20], "fine", "ill"), beta=2, pos_label="fine")
    assert fine.curve_["score"][20] == pytest.approx(score)


def test_costs_decide(rare):
    model, X, y = rare
    costs = np.array([[0.0, 1.0], [12.0, 0.0]])
    made = tune_threshold(model, costs=costs)
    shares = _second_level(model)[:, 0]
    spent = -made.curve_["score"]
    for threshold, cost in zip(made.curve_["threshold"][::20], spent[::20], strict=True):
        predicted = (shares >= threshold).astype(int)
        assert cost == pytest.approx(costs[(y == "ill").astype(int), predicted].mean())
    usual = 1 / 13  # what is best where probabilities are right
    assert made.kept_ or made.threshold_ == pytest.approx(usual)
    turned = tune_threshold(model, costs=costs, pos_label="fine")
    assert (turned.predict(X) == made.predict(X)).mean() > 0.97
    if not turned.kept_:
        assert turned.threshold_ == pytest.approx(12 / 13)


def test_a_threshold_on_noise_is_left_as_it_was():
    rng = np.random.default_rng(0)
    kept = 0
    for seed in range(6):
        X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
        model = StackingModel(CLASSIFIERS, cv=4, random_state=seed).fit(X, y)
        made = tune_threshold(model, "accuracy")
        kept += made.kept_
        assert made.kept_ == (made.gain_ > 0)
        assert made.kept_ or made.threshold_ == 0.5
    assert kept < 6


def test_what_costs_say_is_left_only_for_more_than_a_standard_error():
    rng, rows, small = np.random.default_rng(1), np.arange(200), 0
    folds = Folds(tuple((np.setdiff1d(rows, rows[k::4]), rows[k::4]) for k in range(4)), 200)
    for _ in range(20):
        shares = rng.random(200)
        y = rng.random(200) < shares

        def judge(some, chosen, y=y):
            return -np.where(y[some], 3 * ~chosen, chosen).mean()

        any_gain, more = (choose_threshold(judge, shares, folds, rows, 0.25, errors=errors)[0] for errors in (0, 1))
        assert any_gain.kept == (any_gain.gain > 0)
        assert more.kept == (more.gain > more.se)
        small += any_gain.kept and not more.kept
    assert small


def test_costs_ask_for_more_than_a_score_does(rare, monkeypatch):
    asked = []

    def noted(*args, errors):
        asked.append(errors)
        return choose_threshold(*args, errors=errors)

    monkeypatch.setattr(_threshold, "choose_threshold", noted)
    tune_threshold(rare[0], costs=[[0, 1], [10, 0]])
    tune_threshold(rare[0], "f1")
    assert asked == [1, 0]


def test_costs_of_several_classes_make_the_least_expected_cost(classification):
    model, X, _ = classification
    costs = np.array([[0, 1, 5], [1, 0, 1], [20, 1, 0]])
    made = tune_threshold(model, costs=costs)
    expected = model.predict_proba(X) @ costs
    np.testing.assert_array_equal(made.predict(X), model.classes_[expected.argmin(axis=1)])
    assert made.threshold_ is None
    assert made.curve_ is None


def test_rows_that_weigh_nothing_choose_nothing():
    X, y = classes(400, 2, weights=[0.7], flip_y=0.2)
    wrong = y.copy()
    wrong[1::2] = 1 - wrong[1::2]
    weights = (np.arange(400) % 2 == 0).astype(float)
    learners = [("bayes", GaussianNB())]
    heavy, odd = (
        StackingModel(learners, cv=StratifiedAs()).fit(X, target, sample_weight=weights) for target in (y, wrong)
    )
    pairs = (tune_threshold(heavy, "f1"), tune_threshold(odd, "f1")), (scale_temperature(heavy), scale_temperature(odd))
    assert pairs[0][0].threshold_ == pytest.approx(pairs[0][1].threshold_)
    assert pairs[1][0].temperature_ == pytest.approx(pairs[1][1].temperature_)


def test_weights_of_the_fit_choose_threshold_and_temperature():
    X, y = make_classification(300, 20, n_informative=3, n_redundant=10, weights=[0.7], random_state=0)
    weights = np.random.default_rng(0).integers(0, 5, 300).astype(float)
    model = StackingModel([("bayes", GaussianNB())], ConvexClassifier(), cv=StratifiedAs()).fit(
        X, y, sample_weight=weights
    )
    second = _second_level(model)[:, 0]
    curve = tune_threshold(model, "f1").curve_
    for threshold, score in curve.iloc[10:-10:30].itertuples(index=False):
        assert score == pytest.approx(f1_score(y, second >= threshold, sample_weight=weights))
    curve = tune_threshold(model, costs=[[0, 1], [3, 0]]).curve_
    for threshold, score in curve.iloc[10:-10:30].itertuples(index=False):
        cost = np.where(y == 1, 3.0, 1.0) * (y != (second >= threshold))
        assert -score == pytest.approx(np.average(cost, weights=weights))
    made = scale_temperature(model)
    shares = np.column_stack([1 - second, second])
    losses = [log_loss(y, tempered(shares, made.temperature_ * by), sample_weight=weights) for by in (0.98, 1, 1.02)]
    assert made.kept_
    assert losses[1] == min(losses)


# --- as estimators --------------------------------------------------------------------------------------

MADE = [
    (ConformalRegressor(StackingRegressor(REGRESSORS, cv=3, random_state=0)), numbers(60)),
    (ConformalClassifier(StackingClassifier(CLASSIFIERS, cv=3, random_state=0), method="aps"), classes(60)),
    (TemperatureClassifier(StackingClassifier(CLASSIFIERS, cv=3, random_state=0)), classes(60)),
    (ThresholdClassifier(StackingClassifier(CLASSIFIERS, cv=3, random_state=0), scoring="f1"), classes(60, 2)),
]


def _answers(made, X):
    by_name = {
        name: getattr(made, name)
        for name in ("predict", "predict_proba", "predict_interval", "predict_set")
        if hasattr(made, name)
    }
    return [ask(X) for ask in by_name.values()]


@pytest.mark.parametrize(("estimator", "data"), MADE, ids=[type(made).__name__ for made, _ in MADE])
def test_they_are_fitted_cloned_and_pickled(estimator, data):
    X, y = data
    made = clone(estimator).fit(X, y)
    assert is_regressor(made) == isinstance(made, ConformalRegressor)
    assert is_classifier(made) != is_regressor(made)
    assert made.n_features_in_ == X.shape[1]
    again = clone(made).fit(X, y)
    back = pickle.loads(pickle.dumps(made))
    for answers in (_answers(again, X), _answers(back, X)):
        for found, expected in zip(answers, _answers(made, X), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert clone(made).get_params(deep=False).keys() == made.get_params(deep=False).keys()
    assert not hasattr(clone(made), "model_")


def test_what_is_made_of_a_fitted_stack_is_what_a_fit_makes():
    X, y = numbers(80)
    stack = StackingRegressor(REGRESSORS, cv=3, random_state=0)
    fitted = ConformalRegressor(stack).fit(X, y, by=np.arange(80) % 2)
    made = conformal(clone(stack).fit(X, y), by=np.arange(80) % 2)
    new = np.arange(80) % 2
    np.testing.assert_array_equal(fitted.predict_interval(X, by=new), made.predict_interval(X, by=new))


def test_a_stack_with_raw_columns_beside_the_table():
    X, y = numbers(120)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = StackingModel(REGRESSORS, LinearRegression(), cv=4, passthrough=["b"]).fit(frame, y)
    assert np.isfinite(conformal(model, frame[["c", "b", "a"]]).predict_interval(frame)).all()
    assert (spread(model, frame) >= 0).all()
    with pytest.raises(ValueError, match="'X' parameter of conformal must be given for a stack with passthrough"):
        conformal(model)
    with pytest.raises(ValueError, match="in the order of the fit"):
        conformal(model, frame[::-1])
    X, y = classes(120, 2)
    model = StackingModel(CLASSIFIERS, LogisticRegression(), cv=4, passthrough=True).fit(X, y)
    assert 0 < tune_threshold(model, X=X).threshold_ < 1
    assert scale_temperature(model, X).temperature_ > 0
    with pytest.raises(ValueError, match="'X' parameter of tune_threshold must be given"):
        tune_threshold(model)


def test_a_class_that_a_fold_lacks_and_a_stack_on_top():
    X, y = classes(120)
    y[:3] = 3  # all in the first fold
    with pytest.warns(UserWarning, match="lack a class"):
        model = StackingModel(CLASSIFIERS, cv=KFold(4)).fit(X, y)
    assert conformal(model).predict_set(X, 0.9).shape == (120, 4)
    X, y = numbers(120)
    upper = StackingModel([("ridge", Ridge())], LinearRegression())
    model = StackingModel(REGRESSORS, upper, cv=4, random_state=0).fit(X, y)
    assert np.isfinite(conformal(model).predict_interval(X, 0.9)).all()


def test_bad_input_is_refused(regression, classification, rare):
    model, X, _ = regression
    made = conformal(model)

    def refused(error, match, function, *args, **options):
        with pytest.raises(error, match=match):
            function(*args, **options)

    for function in (conformal, scale_temperature, tune_threshold):
        refused(TypeError, "must be a StackingModel; got a CompactModel", function, model.compact())
    refused(TypeError, "of spread must be a StackingModel; got a Ridge", spread, Ridge(), X)
    refused(
        TypeError, "of ConformalRegressor must be a StackingModel; got a Ridge", ConformalRegressor(Ridge()).fit, X, X
    )
    for confidence in (0, 1, 90, "high", True):
        refused(ValueError, "'confidence' parameter .* between 0 and 1; got", made.predict_interval, X, confidence)
    refused(ValueError, "'step' parameter .* above 0; got 0", made.predict_interval_in_time, X, X[:, 0], step=0)
    refused(ValueError, "'by' parameter is given, but it was not", made.predict_interval, X, by=X[:, 0])
    grouped = conformal(model, by=["a", "b"] * 150)
    refused(ValueError, "'by' parameter is not given, but it is", grouped.predict_interval, X)
    refused(ValueError, "groups of training rows, 'a', 'b'; got 'c'", grouped.predict_interval, X, by=["c"] * len(X))
    refused(ValueError, "knows no groups", grouped.predict_interval_in_time, X, X[:, 0])
    refused(ValueError, "one group per row; got missing values", conformal, model, by=["a", None] * 150)
    refused(ValueError, "must not be negative; got -1 as", conformal, model, sample_weight=np.full(300, -1.0))
    refused(ValueError, "needs a stack that predicts probabilities", scale_temperature, model)
    refused(ValueError, "needs a stack that predicts probabilities", tune_threshold, model)
    several, X3, _ = classification
    refused(ValueError, "'method' parameter .* one of 'lac', 'aps'; got 'raps'", conformal, several, method="raps")
    refused(ValueError, "decides between two classes; the target has 3", tune_threshold, several)
    two, _, _ = rare
    refused(ValueError, "two ways to say what is good", tune_threshold, two, "f1", costs=np.eye(2))
    refused(ValueError, r"of shape \(2, 2\): .* got one of shape \(3,\)", tune_threshold, two, costs=[1, 2, 3])
    refused(ValueError, "higher costs for each wrong class", tune_threshold, two, costs=[[1, 0], [0, 1]])
    refused(ValueError, "'pos_label' parameter .* one of 'fine', 'ill'", tune_threshold, two, pos_label="sick")
    refused(ValueError, "'scoring' parameter of tune_threshold .* 'neg_log_loss'", tune_threshold, two, "neg_log_loss")
    labels = StackingModel([("svm", LinearSVC())], LinearSVC(), cv=3).fit(X3, several.predict(X3))
    refused(ValueError, "ConformalClassifier needs .* decision_function of scores", conformal, labels)
    multilabel = make_multilabel_classification(60, n_classes=3, random_state=0)
    labels = StackingModel([("knn", KNeighborsClassifier())], cv=3).fit(*multilabel)
    refused(ValueError, "of several labels", conformal, labels)
    outputs = StackingModel([("ridge", Ridge())], cv=3).fit(X, X[:, :2])
    refused(ValueError, "needs a stack that predicts numbers, one per row", conformal, outputs)
    refitted = StackingModel(REGRESSORS, LinearRegression(), cv=3, refit=True).fit(X, X[:, 0])
    refused(ValueError, "fold models of 'ridge' are not there", conformal, refitted)
    refused(ValueError, "fold models of 'ridge' are not there", spread, refitted, X)
