"""A stack on a stack: folds, settings and metadata go up; ``levels="auto"`` keeps what proves itself."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from spies import Counted, Fails, Witness, with_row_ids

from stackkit import ConvexClassifier, LogPoolClassifier, StackingModel, cross_fit
from stackkit._data.folds import SameFolds
from stackkit._model.levels import weighted_mean
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError, MissingScoreWarning

FIRST = [
    ("bayes", GaussianNB()),
    ("knn", KNeighborsClassifier(15)),
    ("tree", DecisionTreeClassifier(max_depth=4, random_state=0)),
]


def second(final=None, **options):
    learners = [("logistic", LogisticRegression()), ("stump", DecisionTreeClassifier(max_depth=2, random_state=0))]
    return StackingModel(learners, final or ConvexClassifier(), **options)


@pytest.fixture(scope="module")
def rows():
    return make_classification(240, n_features=6, flip_y=0.1, random_state=0)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 4)), rng.integers(0, 2, 300)


# --- what goes up ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The learner.*take no sample_weight")
def test_two_levels_are_two_stacks_with_the_same_folds(rows):
    X, y = rows
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    folds = list(StratifiedKFold(4, shuffle=True, random_state=0).split(X, y))
    model = StackingModel(FIRST, second(), cv=folds).fit(X, y, sample_weight=weights)
    below = StackingModel(FIRST, cv=folds).fit(X, y, sample_weight=weights)
    above = second(cv=folds).fit(below.oof_.train, y, sample_weight=weights)
    assert_array_equal(model.final_estimator_.oof_.train, above.oof_.train)
    assert_array_equal(model.predict_proba(X), above.predict_proba(below.transform(X)))


def test_three_levels_share_one_set_of_folds(rows):
    third = second(final=second())
    model = StackingModel(FIRST, third, cv=KFold(3, shuffle=True, random_state=1)).fit(*rows)
    middle, top = model.final_estimator_, model.final_estimator_.final_estimator_
    for level in (middle, top):
        for ours, lowest in zip(level.oof_.folds.pairs, model.oof_.folds.pairs, strict=True):
            assert_array_equal(ours[1], lowest[1])


def test_a_splitter_of_its_own_is_kept(rows):
    model = StackingModel(FIRST, second(cv=KFold(3)), cv=4).fit(*rows)
    assert len(model.final_estimator_.oof_.folds) == 3


def test_the_end_of_a_pipeline_is_a_level_too(rows):
    model = StackingModel(FIRST, make_pipeline(StandardScaler(), second()), cv=4).fit(*rows)
    assert repr(model.final_estimator_[-1].cv) == "SameFolds(4 folds of 240 rows)"
    assert list(model.leaderboard(full=True)["level"]) == [1, 1, 1, 1, 2, 2, 2]  # with a row for each stack


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda stack: make_pipeline(FrozenEstimator(stack))])
def test_a_frozen_stack_is_a_final_estimator_as_it_is(rows, wrap):
    """It hands on what a stack has, but has none of its parameters: the fit ended with an error of set_params."""
    X, y = rows
    fitted = second(cv=4, random_state=0).fit(cross_fit(FIRST, X, y, cv=4).train, y)
    for levels in (None, "auto"):
        model = StackingModel(FIRST, wrap(fitted), levels=levels, cv=4).fit(X, y)
        assert_array_equal(model.predict_proba(X), fitted.predict_proba(model.transform(X)))
        assert list(model.leaderboard(full=True)["level"]) == [1, 1, 1, 1]
        assert "level" not in model.leaderboard()


def test_folds_that_leave_an_upper_level_none_are_refused_before_anything_is_fitted(rows):
    """It took five folds of its own, which knew nothing of groups and time."""
    X, y = rows
    cv = [(np.arange(100), np.arange(100, 240))]
    model = StackingModel([("never", Fails())], make_pipeline(StandardScaler(), second()), cv=cv)
    with pytest.raises(ValueError, match=r"'cv' parameter of the stack .* these 1 trains on rows.*Set it to a"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="'cv' parameter of the stack"):
        nested_scores(model.set_params(cv=ShuffleSplit(1, random_state=0)), X, y)
    StackingModel(FIRST, second(cv=3), cv=cv).fit(X, y)


def test_one_fold_is_enough_for_an_upper_level(rows):
    """Rows of the first part of a time series train it, those of the second test it."""
    model = StackingModel(FIRST, second(), cv=TimeSeriesSplit(2)).fit(*rows)
    assert_array_equal(np.flatnonzero(model.final_estimator_.oof_.covered), np.arange(80, 160))


def test_groups_stay_together_on_both_levels(rows):
    X, y = rows
    groups = np.arange(240) // 6
    model = StackingModel(FIRST, second(), cv=GroupKFold(4)).fit(X, y, groups=groups)
    for train, test in model.final_estimator_.oof_.folds.pairs:
        assert not set(groups[train]) & set(groups[test])


class AsksForGroups(LogisticRegression):
    def fit(self, X, y, groups=None):
        self.groups_ = groups
        return super().fit(X, y)


def test_groups_reach_who_asks_for_them_above(rows):
    X, y = rows
    groups = np.arange(240) // 6
    upper = StackingModel([("asks", AsksForGroups())], ConvexClassifier())
    model = StackingModel(FIRST, upper, cv=GroupKFold(4)).fit(X, y, groups=groups)
    for member, (train, _) in zip(model.final_estimator_.members_["asks"], model.oof_.folds.pairs, strict=True):
        assert_array_equal(member.groups_, groups[train])


def test_time_goes_on_and_each_level_covers_less(rows):
    model = StackingModel(FIRST, second(), cv=TimeSeriesSplit(5)).fit(*rows)
    upper = model.final_estimator_
    assert (model.oof_.covered.sum(), upper.oof_.covered.sum()) == (200, 160)
    for train, test in upper.oof_.folds.pairs:
        assert train.max() < test.min()


def test_repeats_go_up(rows):
    model = StackingModel(FIRST, second(), cv=RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)).fit(*rows)
    assert len(model.final_estimator_.oof_.folds) == 6


class LastColumnWitness(Witness):
    """On the second level the row number is what ``passthrough`` brings, the last column."""

    def fit(self, X, y):
        return super().fit(X[:, -1:], y)

    def predict_proba(self, X):
        return super().predict_proba(X[:, -1:])


def test_the_second_level_never_predicts_a_row_that_it_saw(rows):
    X, y = with_row_ids(rows[0]), rows[1]
    upper = StackingModel([("witness", LastColumnWitness())], LogisticRegression())
    model = StackingModel([("witness", Witness())], upper, passthrough=[0]).fit(X, y)
    assert (model.oof_.train == 0).all()
    assert (model.final_estimator_.oof_.train == 0).all()


def test_two_levels_that_share_folds_know_nothing_of_noise(noise):
    X, y = noise
    learners = [("memoriser", KNeighborsClassifier(1)), ("bayes", GaussianNB())]
    model = StackingModel(learners, StackingModel(learners), cv=4, random_state=0).fit(X, y)
    for column in model.final_estimator_.oof_.train.T:
        assert 0.4 <= roc_auc_score(y, column) <= 0.6


def test_settings_go_up_where_the_upper_level_says_nothing(rows, tmp_path):
    below = {"n_jobs": 2, "memory": tmp_path, "task_timeout": 50, "time_limit": 600, "max_memory": "9 GB"}
    model = StackingModel(FIRST, second(), cv=3, verbose=False, on_error="drop", **below).fit(*rows)
    upper = model.final_estimator_
    assert (upper.n_jobs, upper.memory, upper.task_timeout, upper.on_error) == (2, tmp_path, 50, "drop")
    assert 0 < upper.time_limit < 600  # what is left of it
    own = StackingModel(FIRST, second(n_jobs=1, time_limit=7), cv=3, n_jobs=2, time_limit=600).fit(*rows)
    assert (own.final_estimator_.n_jobs, own.final_estimator_.time_limit) == (1, 7)


def test_the_same_bits_for_any_number_of_workers(rows):
    one, two = (StackingModel(FIRST, second(), n_jobs=n, random_state=0).fit(*rows) for n in (1, 2))
    assert_array_equal(one.predict_proba(rows[0]), two.predict_proba(rows[0]))


def test_the_store_knows_both_levels(rows, tmp_path):
    log = tmp_path / "fits"
    upper = StackingModel([("counted", Counted(log=str(log)))], ConvexClassifier())
    for _ in range(2):
        model = StackingModel(FIRST, upper, cv=3, memory=tmp_path / "store").fit(*rows)
    assert len(log.read_text().splitlines()) == 3
    assert_array_equal(
        model.predict(rows[0]), clone(model).set_params(memory=None, random_state=0).fit(*rows).predict(rows[0])
    )


def test_failures_above_have_names_of_their_own(rows):
    upper = StackingModel([("bad", Fails(without_row=np.inf)), ("logistic", LogisticRegression())], ConvexClassifier())
    with pytest.raises(LearnerFailedError, match="'bad'"):
        StackingModel(FIRST, upper).fit(*rows)
    learners = [("worse", Fails(without_row=np.inf)), *FIRST]
    with pytest.warns(LearnerDroppedWarning):
        model = StackingModel(learners, upper, on_error="drop").fit(*rows)
    assert list(model.failures_["learner"]) == ["worse", "final_estimator__bad"]
    board = model.leaderboard()
    assert board.loc["final_estimator__bad", "status"].startswith("failed in fold 0")
    assert board.loc["final_estimator__bad", "level"] == 2
    assert board.index.is_unique


def test_the_leaderboard_of_one_level_is_level_one(rows):
    board = StackingModel(FIRST).fit(*rows).leaderboard(full=True)
    assert set(board["level"]) == {1}


def test_metadata_routing_reaches_the_second_level(rows):
    from sklearn import config_context

    X, y = rows
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    with config_context(enable_metadata_routing=True):
        asking = LogisticRegression().set_fit_request(sample_weight=True)
        upper = StackingModel([("logistic", asking)], ConvexClassifier().set_fit_request(sample_weight=False))
        model = StackingModel([("bayes", GaussianNB().set_fit_request(sample_weight=False))], upper, cv=4)
        model.fit(X, y, sample_weight=weights)
    train, _ = model.oof_.folds.pairs[0]
    by_hand = LogisticRegression().fit(model.oof_.train[train], y[train], weights[train])
    assert_allclose(model.final_estimator_.members_["logistic"][0].coef_, by_hand.coef_)


# --- levels="auto" --------------------------------------------------------------------------------------


def _by_hand(X, y, cv):
    train, test = list(cv.split(X, y))[-1]
    oof = cross_fit(FIRST, X[train], y[train], X_test=X[test], cv=cv)
    folds = oof.folds.pairs
    above = second(cv=folds).fit(oof.train, y[train]).predict_proba(oof.test)
    pool = LogPoolClassifier().fit(oof.train, y[train]).predict_proba(oof.test)
    losses = [-np.log(p[np.arange(len(test)), y[test]]) for p in (above, pool)]
    return [loss.mean() for loss in losses], (losses[1] - losses[0]).std(ddof=1) / np.sqrt(len(test))


def test_the_check_is_what_a_loop_by_hand_finds(rows):
    X, y = rows
    cv = StratifiedKFold(4)
    check = StackingModel(FIRST, second(), levels="auto", cv=cv).fit(X, y).level_check_
    (above, pool), se = _by_hand(X, y, cv)
    assert_allclose([check.with_level, check.without_level, check.se], [above, pool, se])
    assert check.kept == (pool - above > se)
    assert (check.metric, check.n_rows) == ("log_loss", 60)


def _unlike_thirds(n, seed):
    """A pool of the two learners cannot say "either, but not both": a tree on their predictions can."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int)


class Sees(ClassifierMixin, BaseEstimator):
    """The sign of one column, as if it were the probability of a class."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.where(X[:, self.column] > 0, 0.9, 0.1)
        return np.column_stack([1 - p, p])


def test_a_level_that_helps_is_kept(capsys):
    X, y = _unlike_thirds(400, 0)
    first = [("one", Sees(0)), ("two", Sees(1))]
    model = StackingModel(first, second(), levels="auto", verbose=True, cv=StratifiedKFold(4)).fit(X, y)
    assert model.level_check_.kept
    assert isinstance(model.final_estimator_, StackingModel)
    assert model.level_check_.reason.startswith("The second level is kept: on 100 rows held out its log_loss is")
    assert "The second level is kept" in capsys.readouterr().err.replace("\n", " ")
    assert model.score(X, y) == 1


def test_a_level_that_does_not_help_is_left_out(noise):
    X, y = noise
    memoriser = StackingModel([("memoriser", KNeighborsClassifier(1))], ConvexClassifier())
    model = StackingModel(FIRST, memoriser, levels="auto", passthrough=True).fit(X, y)
    plain = StackingModel(FIRST).fit(X, y)
    assert not model.level_check_.kept
    assert "left out" in model.level_check_.reason
    assert isinstance(model.final_estimator_, LogPoolClassifier)
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.transform(X).shape == (300, 3 + 4)  # what passthrough passes on is another matter
    assert model.leaderboard()["weight"].drop("stack").notna().all()


def test_weights_count_where_the_level_is_left_out(noise):
    X, y = noise
    weights = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    learners = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3, random_state=0))]
    memoriser = StackingModel([("deep", DecisionTreeClassifier(random_state=0))], ConvexClassifier())
    model = StackingModel(learners, memoriser, levels="auto").fit(X, y, sample_weight=weights)
    assert not model.level_check_.kept
    assert_array_equal(
        model.predict_proba(X), StackingModel(learners).fit(X, y, sample_weight=weights).predict_proba(X)
    )


def test_the_check_weighs_rows(noise):
    """A weight of 2 counts as having the row twice; rows without weight do not count."""
    X, y = noise
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    upper = StackingModel([("logistic", LogisticRegression())], ConvexClassifier())
    model = StackingModel(FIRST[:1], upper, levels="auto", cv=KFold(3)).fit(X, y, sample_weight=weights)
    train, test = list(KFold(3).split(X))[-1]
    twin = StackingModel(FIRST[:1], upper, cv=KFold(3)).fit(X[train], y[train], sample_weight=weights[train])
    expected = log_loss(y[test], twin.predict_proba(X[test]), sample_weight=weights[test])
    assert model.level_check_.with_level == pytest.approx(expected, rel=1e-6)
    weights[test] = 0
    unknown = StackingModel(FIRST[:1], upper, levels="auto", cv=KFold(3))
    with pytest.warns(MissingScoreWarning):
        unknown.fit(X, y, sample_weight=weights)
    assert "held out all weigh nothing" in unknown.level_check_.reason


def test_the_standard_error_of_a_weighted_mean():
    """As for a plain mean where weights are equal; as often as it says where they are not."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=50)
    plain = values.mean(), values.std(ddof=1) / np.sqrt(50)
    assert_allclose(weighted_mean(values, None), plain)
    assert_allclose(weighted_mean(values, np.full(50, 3.0)), plain)
    assert_allclose(weighted_mean(np.append(values, 9.0), np.append(np.ones(50), 0.0)), plain)
    assert weighted_mean(np.ones(1), None) == (1, 0)
    found = [weighted_mean(rng.normal(size=60), rng.uniform(size=60)) for _ in range(2000)]
    assert np.mean([abs(mean) < 1.96 * se for mean, se in found]) == pytest.approx(0.95, abs=0.02)


class RefusesSeenRows(ClassifierMixin, BaseEstimator):
    """On the second level above a Witness: raises where a row was predicted by a model that saw it."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self._refuse(X)

    def _refuse(self, X):
        if X.any():
            raise AssertionError("a row was predicted by a model that saw it")
        return self

    def predict_proba(self, X):
        self._refuse(X)
        return np.full((len(X), 2), 0.5)


def test_the_check_predicts_no_row_by_a_model_that_saw_it(rows):
    X, y = with_row_ids(rows[0]), rows[1]
    upper = StackingModel([("refuses", RefusesSeenRows())], ConvexClassifier())
    model = StackingModel([("witness", Witness())], upper, levels="auto").fit(X, y)
    assert model.level_check_.n_rows == 48


def test_the_check_is_part_of_nested_scores(rows):
    X, y = rows
    for levels in (None, "auto"):
        model = StackingModel(FIRST, second(), levels=levels, random_state=0, cv=3)
        nested = nested_scores(model, X, y, cv=3)
        assert_array_equal(-nested.scores["stack"], cross_val_score(model, X, y, cv=3, scoring="neg_log_loss"))


def test_regression_and_labels_are_checked_too(rows):
    X, y = load_diabetes(return_X_y=True)
    first = [("ridge", Ridge()), ("knn", KNeighborsRegressor(10))]
    upper = StackingModel([("line", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2))])
    assert StackingModel(first, upper, levels="auto").fit(X, y).level_check_.metric == "squared error"
    labels = StackingModel(FIRST, StackingModel([("svm", LinearSVC())], LinearSVC()), levels="auto").fit(*rows)
    assert labels.level_check_.metric == "error rate"


def test_long_tables_are_checked_on_some_rows(monkeypatch, rows):
    monkeypatch.setattr("stackkit._model.levels.MOST_TRAINED", 100)
    monkeypatch.setattr("stackkit._model.levels.MOST_TESTED", 30)
    model = StackingModel(FIRST, second(), levels="auto").fit(*rows)
    assert model.level_check_.n_rows == 30
    assert len(model.oof_.train) == 240


def test_rows_that_cannot_be_split_twice_leave_the_level_out(rows):
    X, y = rows
    groups = np.arange(240) // 60
    model = StackingModel(FIRST, second(), levels="auto", cv=GroupKFold(4)).fit(X, y, groups=groups)
    assert not model.level_check_.kept
    assert "cannot be split twice" in model.level_check_.reason
    assert isinstance(model.final_estimator_, LogPoolClassifier)


def test_one_level_has_nothing_to_prove(rows):
    model = StackingModel(FIRST, second(), levels="auto").fit(*rows).set_params(final_estimator=None).fit(*rows)
    assert not hasattr(model, "level_check_")


def test_levels_takes_auto_or_none(rows):
    with pytest.raises(ValueError, match=r"'levels' parameter of StackingModel must be one of 'auto', None; got 'aut'"):
        StackingModel(FIRST, second(), levels="aut").fit(*rows)


def test_folds_of_another_table_are_refused(rows):
    upper = StackingModel(FIRST, second(), cv=3).fit(*rows).final_estimator_
    with pytest.raises(ValueError, match=r"level below are of 240 rows; got 100\. Fit the model of which"):
        clone(upper).fit(rows[0][:100], rows[1][:100])
    assert isinstance(upper.cv, SameFolds)
    assert isinstance(upper.failures_, pd.DataFrame)
    assert log_loss(rows[1], upper.predict_proba(StackingModel(FIRST, cv=3).fit(*rows).oof_.train)) < 1
