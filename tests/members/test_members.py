from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel, cross_fit
from stackkit._data.target import check_target
from stackkit._members.blocks import Block, make_blocks
from stackkit._members.fit_params import rows_of_params, weight_params
from stackkit._members.fitting import Member, fit_member, fit_members_at_once, is_prefit, trains_folds_together
from stackkit._members.predicting import own_copy, predict_block, settle
from stackkit.exceptions import LearnerFailedError, MissingClassWarning

N = 30
RNG = np.random.default_rng(0)
CODES = np.arange(N) % 3
X = RNG.normal(size=(N, 2)) + CODES[:, np.newaxis]
LABELS = np.array(["high", "low", "mid"])  # sorted, as classes are
Y = LABELS[CODES]
METHODS = {
    "probability": "predict_proba",
    "score": "decision_function",
    "label": "predict",
    "indicator": "predict_proba",
    "value": "predict",
}


def block_of(kind, width, n_classes):
    return Block(slice(0, width), tuple(range(width)), METHODS[kind], kind, n_classes)


def member_that_gives(raw, codes=(), labels=None, **attributes):
    says = dict.fromkeys(METHODS.values(), lambda _X: raw)
    codes = np.array(codes, dtype=int)
    labels = np.arange(len(codes)) if labels is None else np.asarray(labels)
    return Member(SimpleNamespace(**says, **attributes), labels, codes)


def predicted(raw, kind, width, n_classes, codes=(), *, n_rows=None, **options):
    rows = np.zeros((len(raw) if n_rows is None else n_rows, 1))
    return predict_block(member_that_gives(raw, codes, **options), rows, block_of(kind, width, n_classes))


class FitsAndGives(ClassifierMixin, BaseEstimator):
    """Gives the same row of columns for each row of X."""

    def __init__(self, row, method="predict_proba"):
        self.row = row
        self.method = method

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def __getattr__(self, name):
        if name != "method" and name == self.method:
            return lambda X: np.tile(np.asarray(self.row), (len(X), 1))
        raise AttributeError(name)


# ---------------------------------------------------------------- the columns of each learner


def test_columns_follow_one_another_and_are_named():
    learners = [("proba", GaussianNB()), ("svc", LinearSVC()), ("vote", GaussianNB()), ("ridge", Ridge())]
    methods = ["predict_proba", "decision_function", "predict", "predict"]
    blocks = make_blocks(learners, methods, check_target(Y, "classification", N))
    assert [block.kind for block in blocks.values()] == ["probability", "score", "label", "value"]
    names = [column for name, block in blocks.items() for column in block.names(name)]
    assert names == [*(f"{name}_{label}" for name in ("proba", "svc") for label in LABELS), "vote", "ridge"]
    assert [names[block.columns] for block in blocks.values()] == [block.names(name) for name, block in blocks.items()]


@pytest.mark.parametrize(
    ("y", "task", "width"),
    [
        (CODES == 0, "classification", 1),
        (CODES, "classification", 3),
        (np.eye(4, dtype=int)[np.arange(N) % 4], "classification", 4),
        (X[:, 0], "regression", 1),
        (X, "regression", 2),
    ],
)
def test_as_many_columns_as_the_target_needs(y, task, width):
    (block,) = make_blocks([("it", GaussianNB())], ["predict_proba"], check_target(y, task, N)).values()
    assert block.width == width
    assert block.names("it") == (["it"] if width == 1 else [f"it_{i}" for i in range(width)])


# ---------------------------------------------------------------- classes that a fold lacks


def gaps(least):
    """(n_classes, codes that the member saw)."""
    return st.integers(max(2, least), 5).flatmap(
        lambda k: st.tuples(st.just(k), st.sets(st.integers(0, k - 1), min_size=least).map(sorted))
    )


@settings(deadline=None, max_examples=40)
@given(gaps(1), st.integers(0, 2**32 - 1))
def test_probabilities_stand_under_their_class_and_a_missing_one_has_none(gap, seed):
    n_classes, codes = gap
    raw = np.random.default_rng(seed).dirichlet(np.ones(len(codes)), size=4)
    width = 1 if n_classes == 2 else n_classes
    found = predicted(raw, "probability", width, n_classes, codes)
    full = [[dict(zip(codes, row, strict=True)).get(c, 0.0) for c in range(n_classes)] for row in raw]
    np.testing.assert_array_equal(found, np.array(full)[:, 1:] if n_classes == 2 else full)


@settings(deadline=None, max_examples=40)
@given(gaps(3), st.integers(0, 2**32 - 1))
def test_scores_stand_under_their_class_and_a_missing_one_never_wins(gap, seed):
    n_classes, codes = gap
    raw = np.random.default_rng(seed).normal(size=(4, len(codes)))
    found = predicted(raw, "score", n_classes, n_classes, codes)
    np.testing.assert_array_equal(found[:, codes], raw)
    missing = np.setdiff1d(np.arange(n_classes), codes)
    assert (found[:, missing] <= raw.min(axis=1, keepdims=True)).all()
    np.testing.assert_array_equal(found.argmax(axis=1), np.array(codes)[raw.argmax(axis=1)])


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(5)).map(lambda p: sorted(p[:2])), arrays(float, 4, elements=st.floats(-9, 9)))
def test_one_score_speaks_for_two_of_many_classes(codes, score):
    first, second = codes
    for raw in (score, score[:, np.newaxis]):
        found = predicted(raw, "score", 5, 5, codes)
        np.testing.assert_array_equal(found[:, second], score)
        np.testing.assert_array_equal(found[:, first], -score)
        others = np.delete(found, codes, axis=1)
        assert (others <= found[:, codes].min(axis=1, keepdims=True)).all()


@settings(deadline=None, max_examples=40)
@given(gaps(1), st.integers(0, 2**32 - 1))
def test_labels_are_votes_for_their_class(gap, seed):
    n_classes, codes = gap
    local = np.random.default_rng(seed).integers(len(codes), size=6)  # the learner's own 0..k-1
    votes = predicted(local, "label", 1, n_classes, codes)
    assert votes.shape == (6, n_classes)
    assert votes.argmax(axis=1).tolist() == [codes[i] for i in local]
    np.testing.assert_array_equal(np.sort(votes, axis=1)[:, -2:], [[0.0, 1.0]] * 6)


@settings(deadline=None, max_examples=40)
@given(arrays(np.int8, (5, 4), elements=st.integers(0, 3)))
def test_votes_settle_on_the_most_voted_class(ballots):
    """One row a voter, one column a row of X."""
    shares = np.mean([np.eye(4)[voter] for voter in ballots], axis=0)
    found = settle(shares, block_of("label", 1, 4))
    assert found.shape == (4, 1)
    assert found[:, 0].tolist() == [np.bincount(votes, minlength=4).argmax() for votes in ballots.T]


def test_rows_without_votes_stay_empty_and_other_kinds_are_left_alone():
    shares = np.array([[0.2, 0.8], [np.nan, np.nan]])
    np.testing.assert_array_equal(settle(shares, block_of("label", 1, 2)), [[1.0], [np.nan]])
    assert settle(shares, block_of("probability", 2, 2)) is shares


@pytest.mark.parametrize("gap", LABELS)
@pytest.mark.parametrize(
    ("learner", "method"),
    [
        (GaussianNB(), "predict_proba"),
        (LogisticRegression(), "decision_function"),
        (DecisionTreeClassifier(random_state=0), "predict"),
    ],
    ids=["probability", "score", "label"],
)
def test_a_class_missing_in_training_first_middle_or_last(learner, method, gap):
    train = np.flatnonzero((gap != Y) & (np.arange(N) < 20))
    test = np.arange(20, N)
    with pytest.warns(MissingClassWarning, match=rf"fold 0 of \d+ lacks '{gap}' for 'it'.*Use fewer folds"):
        oof = cross_fit([("it", learner)], X, Y, cv=[(train, test)], stack_method=method, X_test=X[:5])
    alone = clone(learner).fit(X[train], Y[train])
    for table, rows in ((oof.train[test], X[test]), (oof.test, X[:5])):
        raw = getattr(alone, method)(rows)
        if method == "predict":
            np.testing.assert_array_equal(LABELS[table[:, 0].astype(int)], raw)
        elif method == "predict_proba":
            known = pd.DataFrame(raw, columns=alone.classes_).reindex(columns=LABELS, fill_value=0.0)
            np.testing.assert_array_equal(table, known.to_numpy())
        else:
            scores = pd.DataFrame(table, columns=LABELS)
            np.testing.assert_array_equal(scores[alone.classes_[1]], raw)
            np.testing.assert_array_equal(scores.idxmax(axis=1), alone.predict(rows))


def test_a_score_learned_from_one_class_never_speaks_for_another():
    train, test = np.flatnonzero(Y == "low")[:5], np.arange(20, N)
    with pytest.warns(MissingClassWarning):
        many = cross_fit([("it", RidgeClassifier())], X, Y, cv=[(train, test)]).train[test]
    assert (many.argmax(axis=1) == 1).all()
    for seen in (False, True):
        rows = np.flatnonzero((Y == "low") == seen)[:5]
        rest = np.setdiff1d(np.arange(N), rows)
        with pytest.warns(MissingClassWarning):
            two = cross_fit([("it", RidgeClassifier())], X, Y == "low", cv=[(rows, rest)]).train[rest]
        assert ((two > 0) == seen).all()


# ---------------------------------------------------------------- what a learner is fitted on


class Keeps(ClassifierMixin, BaseEstimator):
    """Shows what arrived."""

    def fit(self, X, y, sample_weight=None, note=None):
        self.X_, self.y_, self.weight_, self.note_ = X, y, sample_weight, note
        self.classes_ = np.unique(y)
        return self


class KeepsNumbers(RegressorMixin, Keeps):
    """The same, for a regressor."""


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_the_classes_found_are_coded_without_gaps(gap):
    rows = np.flatnonzero(gap != CODES)[:8]
    params = {"sample_weight": np.arange(N), "note": "kept"}
    member = fit_member(Keeps(), X, check_target(Y, "classification", N), rows, params)
    seen = np.delete(np.arange(3), gap)
    assert member.codes.tolist() == seen.tolist()
    assert member.labels.tolist() == [0, 1]
    assert seen[member.estimator.y_].tolist() == CODES[rows].tolist()
    np.testing.assert_array_equal(member.estimator.X_, X[rows])
    assert member.estimator.weight_.tolist() == rows.tolist()
    assert member.estimator.note_ == "kept"


def test_a_regressor_gets_the_same_number_for_a_class_in_every_fold():
    rows = np.flatnonzero(CODES != 1)
    member = fit_member(KeepsNumbers(), X, check_target(Y, "classification", N), rows, {})
    assert member.estimator.y_.tolist() == CODES[rows].tolist()


@pytest.mark.parametrize("y", [X[:, 0], X, np.eye(2, dtype=int)[CODES % 2]])
def test_numbers_and_indicators_arrive_as_they_are(y):
    target = check_target(y, "regression" if y.dtype == float else "classification", N)
    member = fit_member(Keeps(), X, target, np.arange(3, 9), {})
    np.testing.assert_array_equal(member.estimator.y_, y[3:9])
    assert len(member.codes) == 0


def test_regressors_among_classifiers_predict_the_codes():
    cv = KFold(3)
    oof = cross_fit([("ridge", Ridge()), ("bayes", GaussianNB())], X, Y, cv=cv)
    np.testing.assert_allclose(oof.train[:, 0], cross_val_predict(Ridge(), X, CODES, cv=cv), rtol=1e-12)
    assert oof.columns[0] == "ridge"


@pytest.mark.filterwarnings("ignore::stackkit.exceptions.MissingClassWarning")
def test_regressors_among_classifiers_where_a_fold_lacks_a_class():
    train, test = np.flatnonzero((CODES != 1) & (np.arange(N) < 20)), np.arange(20, N)
    oof = cross_fit([("line", LinearRegression()), ("bayes", GaussianNB())], X, Y, cv=[(train, test)])
    by_hand = LinearRegression().fit(X[train], CODES[train]).predict(X[test])
    np.testing.assert_allclose(oof.train[test, 0], by_hand, rtol=1e-12)


class MeansTogether(ClassifierMixin, BaseEstimator):
    """Nearest class mean, all folds at once; too few models where told so."""

    def __init__(self, lost=0):
        self.lost = lost

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def fit_folds(self, X, y, folds):
        return [MeansTogether().fit(X[rows], y[rows]) for rows in folds][self.lost :]

    def predict_proba(self, X):
        near = np.exp(-((X[:, None] - self.means_) ** 2).sum(axis=2))
        return near / near.sum(axis=1, keepdims=True)


class Means(MeansTogether):
    fit_folds = property()  # hasattr says no


def test_folds_fitted_together_equal_folds_fitted_one_by_one():
    cv = [(np.flatnonzero((gap != CODES) & (np.arange(N) < 20)), np.arange(20, N)) for gap in range(3)]
    with pytest.warns(MissingClassWarning):
        together, alone = (cross_fit([("m", kind)], X, Y, cv=cv) for kind in (MeansTogether(), Means()))
    np.testing.assert_allclose(together.train, alone.train, rtol=1e-12)
    target = check_target(Y, "classification", N)
    members = fit_members_at_once(MeansTogether(), X, target, [train for train, _ in cv], {})
    assert [member.codes.tolist() for member in members] == [[1, 2], [0, 2], [0, 1]]


def test_fit_folds_must_return_one_model_a_fold():
    with pytest.raises(
        LearnerFailedError,
        match=r"'m' \(MeansTogether\) .* fit_folds must return one estimator per fold; got 4 for 5 folds",
    ):
        cross_fit([("m", MeansTogether(lost=1))], X, Y)


class OwnFit(MeansTogether):
    """What it overrides, ``fit_folds`` of its parent does not know."""

    def fit(self, X, y):
        return super().fit(-X, y)


class OwnFitFolds(OwnFit):
    def fit_folds(self, X, y, folds):
        return [type(self)().fit(X[rows], y[rows]) for rows in folds]


class Delegates(ClassifierMixin, BaseEstimator):
    """Hands on whatever it does not have itself, as wrappers do."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def fit(self, X, y):
        self.inner_ = clone(self.inner).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


class OwnPipeline(Pipeline):
    pass


@pytest.mark.parametrize(
    ("learner", "together"),
    [
        (MeansTogether(), True),
        (make_pipeline(StandardScaler(), MeansTogether()), True),
        (Means(), False),
        (OwnFit(), False),
        (OwnFitFolds(), True),
        (FrozenEstimator(MeansTogether()), False),
        (make_pipeline(StandardScaler(), FrozenEstimator(MeansTogether())), False),
        (make_pipeline(StandardScaler(), OwnFit()), False),
        (Delegates(MeansTogether()), False),
        (OwnPipeline([("scale", StandardScaler()), ("means", MeansTogether())]), False),
        (Pipeline([("scale", StandardScaler()), ("means", MeansTogether())], transform_input=["weights"]), False),
        (GaussianNB(), False),
    ],
)
def test_who_trains_its_folds_together(learner, together):
    """Only where ``fit_folds`` does the work of the very ``fit`` that the learner has."""
    assert trains_folds_together(learner) is together


def test_folds_of_a_class_that_overrides_fit_are_fitted_by_it():
    for learner in (OwnFit(), make_pipeline(StandardScaler(), OwnFit())):
        oof = cross_fit([("it", learner)], X, Y, cv=KFold(3, shuffle=True, random_state=0))
        for train, test in oof.folds.pairs:
            expected = clone(learner).fit(X[train], Y[train]).predict_proba(X[test])
            np.testing.assert_allclose(oof.train[test], expected, rtol=1e-9)


# ---------------------------------------------------------------- learners that are fitted already


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_prefit_learner_speaks_the_users_labels(method, n_classes):
    y = Y if n_classes == 3 else np.where(Y == "mid", "low", Y)
    fitted = LogisticRegression().fit(X, y)
    for learner in (FrozenEstimator(fitted), make_pipeline(FrozenEstimator(fitted))):
        oof = cross_fit([("it", learner)], X, y, stack_method=method)
        raw = getattr(fitted, method)(X)
        if method == "predict":
            np.testing.assert_array_equal(fitted.classes_[oof.train[:, 0].astype(int)], raw)
        else:
            wanted = raw if raw.ndim == 2 else raw[:, np.newaxis]
            wanted = wanted[:, 1:] if method == "predict_proba" and n_classes == 2 else wanted
            np.testing.assert_allclose(oof.train, wanted, rtol=1e-12)
        assert len(oof.members["it"]) == 1


@pytest.mark.parametrize("gap", LABELS)
def test_a_prefit_learner_that_knows_fewer_classes(gap):
    fitted = GaussianNB().fit(X[gap != Y], Y[gap != Y])
    with pytest.warns(MissingClassWarning, match=gap):
        oof = cross_fit([("it", FrozenEstimator(fitted))], X, Y)
    found = pd.DataFrame(oof.train, columns=LABELS)
    np.testing.assert_allclose(found[fitted.classes_], fitted.predict_proba(X), rtol=1e-12)
    assert (found[gap] == 0).all()


def test_a_prefit_learner_that_knows_other_classes():
    frozen = FrozenEstimator(GaussianNB().fit(X, Y))
    match = r"'it' .*it was fitted on the classes \['high', 'low', 'mid'\], but y has \['high', 'low'\]"
    with pytest.raises(LearnerFailedError, match=match):
        cross_fit([("it", frozen)], X, np.where(Y == "mid", "low", Y))


def test_prefit_regressors_and_label_indicators():
    frozen = FrozenEstimator(Ridge().fit(X, X[:, 0]))
    np.testing.assert_allclose(cross_fit([frozen], X, X[:, 0]).train[:, 0], frozen.predict(X), rtol=1e-12)
    several = np.column_stack([CODES == 0, CODES < 2]).astype(int)
    fitted = KNeighborsClassifier(3).fit(X, several)
    wanted = np.column_stack([p[:, 1] for p in fitted.predict_proba(X)])
    np.testing.assert_array_equal(cross_fit([FrozenEstimator(fitted)], X, several).train, wanted)


def test_a_pipeline_that_still_learns_is_not_prefit():
    frozen = FrozenEstimator(GaussianNB())
    assert is_prefit(frozen)
    assert is_prefit(make_pipeline(make_pipeline(frozen)))
    assert is_prefit(FrozenEstimator(make_pipeline(StandardScaler(), GaussianNB())))
    assert not is_prefit(make_pipeline(StandardScaler(), GaussianNB()))
    assert is_prefit(make_pipeline("passthrough", FrozenEstimator(StandardScaler()), frozen))
    assert not is_prefit(make_pipeline(StandardScaler(), frozen))


@pytest.mark.parametrize("method", ["predict_proba", "predict"])
def test_members_differ_where_a_step_before_the_prefit_one_learns(method):
    halfway = make_pipeline(StandardScaler(), FrozenEstimator(GaussianNB().fit(X, Y)))
    oof = cross_fit([("it", halfway)], X, Y, stack_method=method, X_test=X)
    assert len(oof.members["it"]) == 5
    model = StackingModel([("it", halfway)], stack_method=method).fit(X, Y)
    np.testing.assert_allclose(model.transform(X), oof.test, rtol=1e-12)


# ---------------------------------------------------------------- several labels


def list_form(probabilities):
    """As forests and k-NN give them: (n_rows, 2) for each label."""
    return [np.column_stack([1 - p, p]) for p in probabilities.T]


@given(arrays(float, (4, 3), elements=st.floats(0, 1)))
def test_the_list_and_the_array_of_labels_are_the_same(p):
    known = {"n_rows": 4, "classes_": [np.arange(2)] * 3}
    np.testing.assert_array_equal(predicted(list_form(p), "indicator", 3, 0, **known), p)
    np.testing.assert_array_equal(predicted(p, "indicator", 3, 0, **known), p)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_label_that_is_constant_in_training(constant, place):
    p = np.full((4, 3), 0.25)
    raw, classes = list_form(p), [np.arange(2)] * 3
    raw[place], classes[place] = np.ones((4, 1)), np.array([constant])
    wanted = p.copy()
    wanted[:, place] = constant
    np.testing.assert_array_equal(predicted(raw, "indicator", 3, 0, n_rows=4, classes_=classes), wanted)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize(
    "learner",
    [
        KNeighborsClassifier(3),
        RandomForestClassifier(3, random_state=0),
        make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
        DecisionTreeClassifier(max_depth=2, random_state=0),
        OneVsRestClassifier(GaussianNB()),
    ],
    ids=["knn", "forest", "pipeline", "tree", "one-vs-rest"],
)
@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples:UserWarning")
def test_label_probabilities_equal_a_loop_by_hand(learner, constant):
    y = np.column_stack([CODES == 0, CODES == 1, np.full(N, constant)]).astype(int)
    y[-1, 2] = 1 - constant  # constant in the training part alone
    train, test = np.arange(20), np.arange(20, N)
    oof = cross_fit([("it", learner)], X, y, cv=[(train, test)])
    alone = clone(learner).fit(X[train], y[train])
    raw = alone.predict_proba(X[test])
    if isinstance(raw, list):
        assert [len(classes) for classes in alone.classes_] == [2, 2, 1]
        raw = np.column_stack([raw[0][:, 1], raw[1][:, 1], np.full(len(test), constant)])
    np.testing.assert_allclose(oof.train[test], raw, rtol=1e-12)
    assert oof.columns == ["it_0", "it_1", "it_2"]


def test_label_probabilities_are_checked_too():
    y = np.column_stack([CODES == 0, CODES == 1]).astype(int)
    for row in ([-0.5, 0.5], [0.5, 1.5]):
        with pytest.raises(LearnerFailedError, match=r"'bad' .*predict_proba gave values outside \[0, 1\]"):
            cross_fit([("bad", FitsAndGives(row))], X, y)


# ---------------------------------------------------------------- unusable predictions

THIRDS = np.full((4, 3), 1 / 3)


def spoiled(value, row=2, column=1):
    raw = THIRDS.copy()
    raw[row, column] = value
    return raw


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (spoiled(np.nan), "predict_proba gave NaN or infinity in 1 of 4 rows"),
        (np.where(np.eye(4, 3), np.inf, THIRDS), "predict_proba gave NaN or infinity in 3 of 4 rows"),
        (spoiled(-0.25), r"predict_proba gave values outside \[0, 1\]: -0.25 to 0.3333"),
        (spoiled(1.5), r"predict_proba gave values outside \[0, 1\]: 0.3333 to 1.5"),
        (spoiled(0.5), "predict_proba gave rows that do not sum to 1: off by up to 0.1667"),
        (THIRDS / 2, "predict_proba gave rows that do not sum to 1: off by up to 0.5"),
        (THIRDS[:, :2], r"predict_proba must give an array of shape \(4, 3\); got the shape \(4, 2\)"),
        (THIRDS[:3], r"predict_proba must give an array of shape \(4, 3\); got the shape \(3, 3\)"),
        (THIRDS[:, 0], r"must give an array of shape \(4, 3\); got the shape \(4,\)"),
        (THIRDS[..., np.newaxis], r"must give an array of shape \(4, 3\); got the shape \(4, 3, 1\)"),
    ],
)
def test_unusable_probabilities(raw, match):
    with pytest.raises(ValueError, match=match):
        predicted(raw, "probability", 3, 3, [0, 1, 2], n_rows=4)


@pytest.mark.parametrize(
    ("kind", "width", "n_classes", "raw", "match"),
    [
        ("score", 3, 3, spoiled(-np.inf), "decision_function gave NaN or infinity in 1 of 4 rows"),
        ("score", 3, 3, np.zeros((4, 6)), r"shape \(4, 3\); got the shape \(4, 6\)"),
        ("score", 1, 2, np.zeros((4, 2)), r"shape \(4, 1\); got the shape \(4, 2\)"),
        ("probability", 1, 2, np.full(4, 0.5), r"shape \(4, 2\); got the shape \(4,\)"),
        ("label", 1, 3, np.zeros((4, 2), dtype=int), r"must give one class per row, shape \(4,\); got .*\(4, 2\)"),
        ("label", 1, 3, np.zeros(5, dtype=int), r"shape \(4,\); got the shape \(5,\)"),
        ("label", 1, 3, np.array([0, 1, 2, 3]), "predict gave classes that it was not trained on"),
        ("label", 1, 3, np.array([0, 1, -1, 2]), "predict gave classes that it was not trained on"),
        ("label", 1, 3, np.array([0, 1, np.nan, 2]), "predict gave classes that it was not trained on"),
        ("label", 1, 3, np.array(["a", "b", "c", "a"]), "predict gave classes that it was not trained on"),
        ("value", 1, 0, np.array([0, np.nan, 1, 2]), "predict gave NaN or infinity in 1 of 4 rows"),
        ("value", 1, 0, np.zeros((4, 2)), r"shape \(4, 1\); got the shape \(4, 2\)"),
        ("value", 2, 0, np.zeros(4), r"shape \(4, 2\); got the shape \(4,\)"),
        ("indicator", 3, 0, np.zeros((4, 2)), r"shape \(4, 3\); got the shape \(4, 2\)"),
        ("indicator", 3, 0, spoiled(np.nan), "predict_proba gave NaN or infinity in 1 of 4 rows"),
    ],
)
def test_other_unusable_predictions(kind, width, n_classes, raw, match):
    with pytest.raises(ValueError, match=match):
        predicted(raw, kind, width, n_classes, range(n_classes), n_rows=4)


@pytest.mark.parametrize(
    ("row", "method", "match"),
    [
        ([np.nan, 0.5, 0.5], "predict_proba", "predict_proba: .*gave NaN or infinity in 6 of 6 rows"),
        ([0.2, 0.2, 0.2], "predict_proba", "predict_proba: .*do not sum to 1: off by up to 0.4"),
        ([0.5, 0.5], "predict_proba", r"must give an array of shape \(6, 3\); got the shape \(6, 2\)"),
        ([np.inf, 0, 0], "decision_function", "decision_function: .*gave NaN or infinity"),
        ([1, 1], "predict", r"predict: .*must give one class per row, shape \(6,\); got the shape \(6, 2\)"),
    ],
)
def test_the_learner_and_the_fold_are_named_and_the_way_out(row, method, match):
    learners = [("good", GaussianNB()), ("bad", FitsAndGives(row, method))]
    sentence = rf"learner 'bad' \(FitsAndGives\) failed in fold 0 of 5 .*{match}.*on_error='drop'"
    with pytest.raises(LearnerFailedError, match=sentence):
        cross_fit(learners, X, Y)
    with pytest.raises(LearnerFailedError, match=sentence):
        StackingModel(learners).fit(X, Y)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_rounding_does_to_probabilities_is_no_failure(kind):
    raw = RNG.dirichlet(np.ones(200), size=5).astype(kind)
    raw[0] *= kind(1.0005)
    found = predicted(raw, "probability", 200, 200, range(200))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, raw)


def test_a_column_of_values_and_a_list_are_welcome():
    wanted = [[1.0], [2.0]]
    for raw in (np.array([1, 2]), np.array([[1], [2]]), np.array([1, 2], dtype=np.float32)):
        found = predicted(raw, "value", 1, 0)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.float64
    np.testing.assert_array_equal(predicted([0, 1], "label", 1, 2, [0, 1]), np.eye(2))


# ---------------------------------------------------------------- weights and other parameters of fit

W = np.arange(N) + 1.0


@pytest.mark.parametrize(
    ("estimator", "keyword"),
    [
        (LogisticRegression(), "sample_weight"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "logisticregression__sample_weight"),
        (
            make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Ridge())),
            "pipeline__ridge__sample_weight",
        ),
        (GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2), "sample_weight"),
    ],
    ids=["plain", "pipeline", "nested", "search"],
)
def test_weights_reach_fit_under_the_right_name(estimator, keyword):
    params = weight_params(estimator, W)
    assert list(params) == [keyword]
    assert params[keyword] is W
    two = CODES > 0
    (keyword,) = weight_params(estimator, np.where(two, 1.0, 1e-6)).items()
    assert clone(estimator).fit(X, two).predict(X).mean() < 0.9
    assert clone(estimator).fit(X, two, **dict([keyword])).predict(X).mean() > 0.99
    assert weight_params(estimator, None) == {}


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        make_pipeline(StandardScaler(), "passthrough"),
        "drop",
    ],
)
def test_some_take_no_weights(estimator):
    assert weight_params(estimator, W) is None
    assert weight_params(estimator, None) == {}


ROWS = np.array([4, 0, 7])


@pytest.mark.parametrize("wrap", [np.array, list, tuple, pd.Series, pl.Series])
def test_what_has_one_value_a_row_is_cut(wrap):
    (cut,) = rows_of_params({"it": wrap(list(range(N)))}, ROWS, N).values()
    assert list(cut) == ROWS.tolist()


def test_tables_with_a_line_a_row_are_cut():
    for table in (X, pd.DataFrame(X, index=np.arange(N)[::-1])):
        np.testing.assert_array_equal(rows_of_params({"it": table}, ROWS, N)["it"], X[ROWS])
    cut = rows_of_params({"it": sparse.csr_array(X)}, ROWS, N)["it"]
    np.testing.assert_array_equal(cut.toarray(), X[ROWS])


@pytest.mark.parametrize(
    "value",
    [
        3,
        None,
        True,
        "x" * N,
        dict.fromkeys(range(N)),
        [1, 2],
        np.arange(N + 1),
        np.float64(2),
        np.array(2.0),
        [(X, CODES)],
        [X[:3], CODES],
    ],
    ids=["int", "None", "bool", "text", "dict", "short", "long", "number", "0-d", "eval_set", "ragged"],
)
def test_the_rest_is_left_as_it_is(value):
    assert rows_of_params({"it": value}, ROWS, N)["it"] is value


# ---------------------------------------------------------------- learners that work in place


@pytest.mark.parametrize(
    "wrap",
    [np.array, lambda X: X.astype(object), sparse.csr_matrix, sparse.csr_array, pd.DataFrame, pl.DataFrame],
    ids=["array", "object", "matrix", "sparse array", "pandas", "polars"],
)
def test_a_copy_of_its_own(wrap):
    rows = wrap(X)
    mine = own_copy(rows)
    assert type(mine) is type(rows)
    if isinstance(mine, pl.DataFrame):
        mine[0, 0] = 99.0
        mine.insert_column(0, pl.Series("more", np.zeros(N)))
    elif isinstance(mine, pd.DataFrame):
        mine.iloc[0, 0] = 99.0
        mine["more"] = 0.0
    else:
        mine[0, 0] = 99.0
    now = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    np.testing.assert_array_equal(now, X)


class Spoils(ClassifierMixin, BaseEstimator):
    """Destroys what it is given."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self._spoil(X)
        return self

    def predict_proba(self, X):
        self._spoil(X)
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    @staticmethod
    def _spoil(X):
        if isinstance(X, pl.DataFrame):
            X.insert_column(0, pl.Series("more", np.zeros(len(X))))
        elif isinstance(X, pd.DataFrame):
            X.iloc[:] = 7.0
        else:
            X[:] = 7.0


@pytest.mark.parametrize(
    "wrap",
    [np.array, pd.DataFrame, lambda X: pl.DataFrame(X, schema=["a", "b"])],
    ids=["array", "pandas", "polars"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_a_learner_that_works_in_place_changes_nothing_for_others(wrap):
    rows, new = wrap(X), wrap(X[:5] + 1)
    pair, alone = [("spoils", Spoils()), ("bayes", GaussianNB())], [("bayes", GaussianNB())]
    oof, reference = (cross_fit(learners, rows, Y, X_test=new) for learners in (pair, alone))
    np.testing.assert_array_equal(oof.train[:, 3:], reference.train)
    np.testing.assert_array_equal(oof.test[:, 3:], reference.test)
    model = StackingModel(pair, LogisticRegression(), refit=True).fit(rows, Y)
    p = model.transform(new)
    np.testing.assert_array_equal(p[:, 3:], GaussianNB().fit(X, CODES).predict_proba(X[:5] + 1))
    np.testing.assert_array_equal(np.asarray(rows), X)
    np.testing.assert_array_equal(np.asarray(new), X[:5] + 1)
