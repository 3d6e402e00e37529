"""A compact stack predicts as the model does, bit for bit, and holds nothing that it does not need for that."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from spies import Counted, CountedDraws, Fails, Noisy, Scribbles, Weighted, with_row_ids

from stackkit import CompactModel, ConvexClassifier, ConvexRegressor, LogPoolClassifier, StackingModel
from stackkit._members import bit_forests, packed_forests
from stackkit._members.packed_forests import FlatTrees
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError
from stackkit.nn import BNMLPClassifier, BNMLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
CODES = (X[:, 0] + 0.5 * RNG.normal(size=90) > 0).astype(int)
NUMBERS = X @ [1.0, 2.0, 0.0, -1.0] + 0.1 * RNG.normal(size=90)
THREE = np.digitize(X[:, 0] + 0.3 * RNG.normal(size=90), [-0.5, 0.5])
TWO = [("bayes", GaussianNB()), ("logistic", make_pipeline(StandardScaler(), LogisticRegression()))]
WITH_NOISE = [*TWO, ("noise", Noisy())]
REGRESSORS = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3)), ("forest", ExtraTreesRegressor(5))]


def assert_same(compact, model, rows):
    for method in ("predict", "predict_proba", "decision_function"):
        assert hasattr(compact, method) == hasattr(model, method)
        if hasattr(model, method):
            np.testing.assert_array_equal(getattr(compact, method)(rows), getattr(model, method)(rows))
    assert compact.n_features_in_ == model.n_features_in_
    assert np.array_equal(getattr(compact, "classes_", None), getattr(model, "classes_", None))


def _lacks_a_class():
    """Rows in order, so that the first training part of a time series lacks class 2."""
    y = np.repeat([0, 1, 2], 30)
    y[:30:2] = 1
    return y


CASES = {
    "binary": (StackingModel(TWO), X, CODES),
    "text": (StackingModel(TWO), X, np.array(["no", "yes"])[CODES]),
    "three classes": (StackingModel([*TWO, ("knn", KNeighborsClassifier())]), X, THREE),
    "scores": (StackingModel([("svc", SVC()), ("bayes", GaussianNB())], LogisticRegression()), X, THREE),
    "votes": (StackingModel(WITH_NOISE[:2], LogisticRegression(), stack_method="predict"), X, THREE),
    "linear final": (StackingModel(TWO, SVC()), X, CODES),
    "convex": (StackingModel(WITH_NOISE, ConvexClassifier()), X, CODES),
    "passthrough": (StackingModel(TWO, LogisticRegression(), passthrough=True), X, CODES),
    "some columns": (StackingModel(REGRESSORS, Ridge(), passthrough=[1, 3]), X, NUMBERS),
    "regression": (StackingModel(REGRESSORS), X, NUMBERS),
    "two outputs": (StackingModel(REGRESSORS), X, np.column_stack([NUMBERS, X[:, 1]])),
    "works in place": (StackingModel([*REGRESSORS, ("scribbles", Scribbles())], LinearRegression()), X, NUMBERS),
    "a class is missing": (StackingModel(TWO, LogisticRegression(), cv=TimeSeriesSplit(3)), X, _lacks_a_class()),
    "time series": (StackingModel(REGRESSORS, cv=TimeSeriesSplit(4)), X, NUMBERS),
    "refitted": (StackingModel(TWO, refit=True), X, THREE),
    "prefit": (StackingModel([("frozen", FrozenEstimator(GaussianNB().fit(X, CODES))), *TWO]), X, CODES),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.filterwarnings("ignore::stackkit.exceptions.MissingClassWarning")
def test_predictions_are_the_model_s(case, n_jobs):
    model, rows, y = CASES[case]
    model = clone(model).set_params(random_state=0).fit(rows, y)
    compact = model.compact()
    compact.n_jobs = n_jobs
    for some in (rows, rows[:1], rows[:30] + 0.1):
        assert_same(compact, model, some)


def test_multilabel():
    rows, y = make_multilabel_classification(80, 5, n_classes=3, random_state=0)
    learners = [
        RandomForestClassifier(5),
        KNeighborsClassifier(),
        make_pipeline(MinMaxScaler(), KNeighborsClassifier(3)),
    ]
    model = StackingModel(learners, random_state=0).fit(rows, y)
    assert_same(model.compact(), model, rows)
    assert isinstance(model.compact().classes_, list)


@pytest.mark.parametrize("kind", ["pandas", "polars", "sparse"])
def test_kinds_of_tables(kind):
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "sparse": None}[kind]
    rows = sparse.csr_matrix(np.maximum(X, 0)) if make is None else make({f"c{i}": X[:, i] for i in range(4)})
    learners = [LogisticRegression(), make_pipeline(FunctionTransformer(), DecisionTreeClassifier(max_depth=2))]
    model = StackingModel(learners, LogisticRegression(), passthrough=True, random_state=0).fit(rows, CODES)
    compact = model.compact()
    assert_same(compact, model, rows)
    assert_same(compact, model, rows[:1])
    if make is not None:
        assert list(compact.feature_names_in_) == ["c0", "c1", "c2", "c3"]
        with pytest.raises(ValueError, match="feature names should match"):
            compact.predict(rows.rename({"c0": "d"}) if kind == "polars" else rows.rename(columns={"c0": "d"}))


def test_the_default_learners_on_a_frame_share_their_preprocessing(monkeypatch):
    monkeypatch.setattr("stackkit._learners.catalogue.FOREST", {"n_estimators": 3})
    rows = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "x", "y"), "c": X[:, 2]})
    rows.loc[::7, "c"] = np.nan
    model = StackingModel(None, LogisticRegression(), cv=2, random_state=0).fit(rows, CODES)
    compact = model.compact(pack=False)
    assert_same(compact, model, rows)
    fronts = {name: [front[0] for front in found] for name, found in compact.transformers_.items()}
    assert all(ours is theirs for ours, theirs in zip(fronts["extra_trees"], fronts["xgboost"], strict=True))
    assert fronts["bn_mlp"][0] is not fronts["bn_mlp"][1]  # folds learn from other rows
    packed = model.compact()
    np.testing.assert_allclose(packed.predict_proba(rows), model.predict_proba(rows), rtol=0, atol=1e-8)
    blocks = model._predictor.blocks
    found, expected = (one._predictor.table(rows, list(blocks), None) for one in (packed, model))
    for name, block in blocks.items():  # only kernel machines leave out a product
        tolerance = 1e-8 if name == "kernel" else 1e-12
        np.testing.assert_allclose(found[:, block.columns], expected[:, block.columns], rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("pack", [True, False])
def test_forests_of_all_folds_predict_few_rows_at_once(n_jobs, pack, monkeypatch):
    calls = []
    means = FlatTrees.means
    monkeypatch.setattr(FlatTrees, "means", lambda self, inputs: calls.append(len(inputs)) or means(self, inputs))
    learners = [
        ("forest", RandomForestClassifier(4)),
        ("trees", make_pipeline(StandardScaler(), ExtraTreesClassifier(3))),
        ("net", make_pipeline(StandardScaler(), BNMLPClassifier((4,), max_epochs=2))),
        ("bayes", GaussianNB()),
    ]
    model = StackingModel(learners, LogisticRegression(), cv=2, random_state=0).fit(X, THREE)
    compact = model.compact(pack=pack)
    compact.n_jobs = n_jobs
    assert len(compact.members_["forest"]) == len(compact.members_["trees"]) == 2
    again = pickle.loads(pickle.dumps(compact))
    for rows in (X[:1], X[:5], X):
        expected = model.predict_proba(rows)
        for one in (compact, again):
            np.testing.assert_allclose(one.predict_proba(rows), expected, rtol=0, atol=1e-12 if pack else 0)
    assert calls == ([2] * 8 if pack else [])  # two learners, twice few rows, by both


def test_small_forests_of_all_folds_predict_many_rows_by_sets(monkeypatch):
    monkeypatch.setattr(packed_forests, "MANY_ROWS", 80)
    monkeypatch.setattr(bit_forests, "PER_STEP", 1e9)  # so it pays for few trees
    calls = []
    means = packed_forests.means_by_sets
    monkeypatch.setattr(packed_forests, "means_by_sets", lambda *a: calls.append(len(a[0])) or means(*a))
    trees = make_pipeline(StandardScaler(), ExtraTreesClassifier(3))
    learners = [("forest", RandomForestClassifier(4)), ("trees", trees)]
    model = StackingModel(learners, LogisticRegression(), cv=2, random_state=0).fit(X, CODES)
    compact = model.compact()
    assert_same(compact, model, X)
    assert calls == [2] * 6  # two learners, three methods
    assert_same(compact, model, X[:50])
    assert_same(model.compact(pack=False), model, X)
    assert calls == [2] * 6


def test_who_cannot_be_pickled_shares_with_nobody():
    learners = [make_pipeline(FunctionTransformer(lambda rows: 2 * rows), GaussianNB()) for _ in range(2)]
    model = StackingModel(learners, LogisticRegression()).fit(X, CODES)
    compact = model.compact()
    assert_same(compact, model, X)
    assert len({id(front[0]) for found in compact.transformers_.values() for front in found}) == 10


class _Counts(StandardScaler):
    calls = 0

    def transform(self, X, copy=None):
        type(self).calls += 1
        return super().transform(X, copy)


def test_shared_preprocessing_runs_once():
    learners = [make_pipeline(_Counts(), learner) for learner in (GaussianNB(), LogisticRegression())]
    model = StackingModel(learners, LogisticRegression(), cv=3).fit(X, CODES)
    compact = model.compact()
    calls = {}
    for each in (model, compact):
        _Counts.calls = 0
        each.predict_proba(X)
        calls[each] = _Counts.calls
    assert list(calls.values()) == [6, 3]


# --- what it holds ------------------------------------------------------------------------------------


def _classes_in(obj):
    """Names of all classes whose objects a pickle holds."""
    found = set()

    class Finds(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(name)
            return super().find_class(module, name)

    Finds(io.BytesIO(pickle.dumps(obj))).load()
    return found


def test_a_learner_without_weight_is_dropped():
    model = StackingModel(WITH_NOISE, random_state=0).fit(X, CODES)
    weights = dict(zip(model.oof_.blocks, model.final_estimator_.weights_, strict=True))
    assert weights["noise"] == 0
    assert weights["bayes"] > 0
    compact = model.compact()
    assert list(compact.members_) == [name for name, weight in weights.items() if weight]
    assert "noise" in model.members_  # the model is as it was
    ballast = {"Noisy", "OutOfFold", "Folds", "StackingModel"}
    assert ballast <= _classes_in(model)
    assert not ballast & _classes_in(compact)
    assert_same(compact, model, X)


@pytest.mark.parametrize("refit", [False, True])
def test_of_numbers_a_learner_that_always_says_the_same_is_dropped(refit):
    learners = [*REGRESSORS, ("constant", DummyRegressor(strategy="constant", constant=0.1))]
    model = StackingModel(learners, refit=refit, random_state=0).fit(X, NUMBERS)
    weights = dict(zip(model.oof_.blocks, model.final_estimator_.weights_, strict=True))
    assert [name for name, weight in weights.items() if weight == 0] == ["constant"]
    compact = model.compact()
    assert list(compact.members_) == [name for name, _ in REGRESSORS]
    assert_same(compact, model, X)
    fresh = X[:7] + 1  # few rows: the table of members that are left out holds another constant
    assert_same(compact, model, fresh)


def test_a_pool_that_trusts_nobody_keeps_its_learners():
    model = StackingModel([("one", Noisy(1)), ("two", Noisy(1))], LogPoolClassifier(ridge=0.0)).fit(X, 1 - CODES)
    model.final_estimator_.weights_[:] = 0
    assert list(model.compact().members_) == ["one", "two"]
    assert_same(model.compact(), model, X)


def test_learners_that_failed_are_not_there():
    rows = with_row_ids(X)
    model = StackingModel([*TWO, ("fails", Fails())], on_error="drop", random_state=0)
    with pytest.warns(LearnerDroppedWarning, match="'fails'"):
        model.fit(rows, CODES)
    compact = model.compact()
    assert "fails" not in compact.members_
    assert_same(compact, model, rows)
    again = model.compact(refit=True, X=rows, y=CODES)
    assert list(again.members_) == list(compact.members_)


def test_the_model_is_not_touched():
    model = StackingModel(WITH_NOISE, random_state=np.random.RandomState(0)).fit(X, CODES)
    before = pickle.dumps(model)
    members = model.members_
    model.compact()
    model.compact(refit=True, X=pd.DataFrame(X).to_numpy(), y=CODES)
    assert pickle.dumps(model) == before
    assert all(
        ours is theirs for name in members for ours, theirs in zip(members[name], model.members_[name], strict=True)
    )


# --- levels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [lambda stack: stack, lambda stack: make_pipeline(FunctionTransformer(), stack)])
def test_a_stack_as_final_estimator_is_compact_too(inside):
    upper = StackingModel(WITH_NOISE, cv=3)
    model = StackingModel(TWO, inside(upper), passthrough=True, random_state=0).fit(X, CODES)
    compact = model.compact()
    assert_same(compact, model, X)
    assert {"StackingModel", "OutOfFold"} <= _classes_in(model)
    assert not {"StackingModel", "OutOfFold"} & _classes_in(compact)


def test_a_stack_as_learner_is_compact_too():
    model = StackingModel(
        [("stack", make_pipeline(StandardScaler(), StackingModel(TWO, cv=3))), *TWO], LogisticRegression()
    )
    model.set_params(random_state=0).fit(X, THREE)
    compact = model.compact()
    assert_same(compact, model, X)
    assert not {"StackingModel", "OutOfFold"} & _classes_in(compact)
    assert isinstance(compact.members_["stack"][0], CompactModel)
    refitted = model.compact(refit=True, X=X, y=THREE)
    assert not {"StackingModel", "OutOfFold"} & _classes_in(refitted)
    assert_same(refitted, clone(model).set_params(refit=True).fit(X, THREE), X)


class _Shy(StackingModel):
    def predict_proba(self, X):
        return np.sqrt(super().predict_proba(X)) / np.sqrt(super().predict_proba(X)).sum(axis=1, keepdims=True)


def test_what_derives_from_a_stack_stays_whole():
    model = StackingModel([("shy", _Shy(TWO, cv=2)), *TWO], LogisticRegression(), cv=2, random_state=0).fit(X, CODES)
    compact = model.compact()
    assert type(compact.members_["shy"][0]) is _Shy
    assert_same(compact, model, X)


# --- refitting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if case != "a class is missing"])
def test_refitted_members_are_those_of_a_model_with_refit(case):
    model, rows, y = CASES[case]
    model = clone(model).set_params(random_state=3).fit(rows, y)
    compact = model.compact(refit=True, X=rows, y=y)
    assert all(len(members) == 1 for members in compact.members_.values())
    assert_same(compact, clone(model).set_params(refit=True).fit(rows, y), rows)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(5)], ids=["None", "RandomState"])
def test_refits_have_the_seeds_of_the_fit(random_state, tmp_path):
    learners = [CountedDraws(str(tmp_path / "log"))]
    model = StackingModel(learners, LogisticRegression(), random_state=random_state).fit(X, CODES)
    one, two = (model.compact(refit=True, X=X, y=CODES) for _ in range(2))
    assert_same(one, two, X)
    known = StackingModel(learners, LogisticRegression(), refit=True, random_state=np.random.RandomState(5))
    known.fit(X, CODES)
    assert np.array_equal(known.predict_proba(X), one.predict_proba(X)) == (random_state is not None)


class _Contrary(Counted):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


def test_only_learners_of_use_are_refitted(tmp_path):
    logs = [tmp_path / "good", tmp_path / "bad"]
    learners = [("good", Counted(str(logs[0]))), ("bad", _Contrary(str(logs[1])))]
    model = StackingModel(learners, random_state=0).fit(X, CODES)
    assert model.final_estimator_.weights_[1] == 0
    model.compact(refit=True, X=X, y=CODES)
    assert [len(log.read_text().splitlines()) for log in logs] == [6, 5]


def test_weights_and_groups_go_where_fit_sends_them():
    weights, groups = RNG.uniform(0.5, 2, 90), np.arange(90) % 9
    learners = [("weighted", Weighted()), ("ridge", Ridge())]
    model = StackingModel(learners, LinearRegression(), cv=GroupKFold(3), random_state=0)
    given = {"groups": groups, "sample_weight": weights}
    model.fit(X, NUMBERS, **given)
    compact = model.compact(refit=True, X=X, y=NUMBERS, **given)
    np.testing.assert_array_equal(compact.members_["weighted"][0].weights_, weights)
    assert_same(compact, clone(model).set_params(refit=True).fit(X, NUMBERS, **given), X)


def test_metadata_are_routed():
    with config_context(enable_metadata_routing=True):
        learners = [("weighted", Weighted().set_fit_request(sample_weight=True)), ("plain", Ridge())]
        learners[1][1].set_fit_request(sample_weight=False)
        final = BayesianRidge().set_fit_request(sample_weight=False).set_predict_request(return_std=True)
        model = StackingModel(learners, final, random_state=0).fit(X, NUMBERS, sample_weight=np.arange(90.0))
        compact = model.compact(refit=True, X=X, y=NUMBERS, sample_weight=np.arange(90.0))
        np.testing.assert_array_equal(compact.members_["weighted"][0].weights_, np.arange(90.0))
        np.testing.assert_array_equal(model.predict(X, return_std=True), model.compact().predict(X, return_std=True))
    np.testing.assert_array_equal(model.predict(X, return_std=True), model.compact().predict(X, return_std=True))


class _FailsOnAll(DummyRegressor):
    def fit(self, X, y, sample_weight=None):
        if len(y) == 90:
            raise RuntimeError("too many")
        return super().fit(X, y, sample_weight)


def test_a_refit_that_fails():
    model = StackingModel([("fails", _FailsOnAll()), ("ridge", Ridge())], LinearRegression()).fit(X, NUMBERS)
    with pytest.raises(LearnerFailedError, match=r"'fails'.*when refitted on all 90 rows.*too many"):
        model.compact(refit=True, X=X, y=NUMBERS)
    model.set_params(on_error="drop")
    with pytest.warns(LearnerDroppedWarning, match="Its fold models predict"):
        compact = model.compact(refit=True, X=X, y=NUMBERS)
    assert {name: len(found) for name, found in compact.members_.items()} == {"fails": 5, "ridge": 1}


def test_a_refit_may_see_more_rows_of_the_kind():
    model = StackingModel(REGRESSORS[:1], ConvexRegressor(), random_state=0).fit(X[:60], NUMBERS[:60])
    compact = model.compact(refit=True, X=X, y=NUMBERS)
    np.testing.assert_allclose(compact.predict(X), Ridge().fit(X, NUMBERS).predict(X))


# --- packed networks ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize(("net", "y"), [(BNMLPClassifier, CODES), (BNMLPClassifier, THREE), (BNMLPRegressor, NUMBERS)])
def test_networks_predict_in_one_pass(net, y, front):
    learner = net((8, 8), max_epochs=3)
    learner = make_pipeline(StandardScaler(), learner) if front else learner
    other = GaussianNB() if net is BNMLPClassifier else Ridge()
    final = LogisticRegression() if net is BNMLPClassifier else LinearRegression()
    model = StackingModel([("net", learner), ("other", other)], final, cv=3, random_state=0).fit(X, y)
    assert_same(model.compact(pack=False), model, X)
    method = "predict_proba" if net is BNMLPClassifier else "predict"
    for packed in (model.compact(), pickle.loads(pickle.dumps(model.compact()))):
        assert packed.members_["net"] == []
        for rows in (X, X[:1]):
            np.testing.assert_allclose(getattr(packed, method)(rows), getattr(model, method)(rows), rtol=0, atol=1e-12)
    refitted = model.compact(refit=True, X=X, y=y)
    expected = clone(model).set_params(refit=True).fit(X, y)
    np.testing.assert_allclose(getattr(refitted, method)(X), getattr(expected, method)(X), rtol=0, atol=1e-12)


# --- scikit-learn's contract ----------------------------------------------------------------------------


def test_it_is_a_fitted_estimator():
    model = StackingModel(TWO, random_state=0).fit(X, CODES)
    compact = model.compact()
    check_is_fitted(compact)
    assert isinstance(compact, CompactModel)
    assert is_classifier(compact)
    assert is_regressor(StackingModel(REGRESSORS).fit(X, NUMBERS).compact())
    assert get_tags(compact).input_tags.allow_nan == get_tags(model).input_tags.allow_nan
    assert get_tags(compact).input_tags.sparse == get_tags(model).input_tags.sparse
    assert compact.score(X, CODES) == model.score(X, CODES)
    assert_same(pickle.loads(pickle.dumps(compact)), model, X)
    assert repr(compact) == "<CompactModel: 5 x bayes, 5 x logistic; LogPoolClassifier>"
    assert_same(FrozenEstimator(compact).fit(X, CODES), model, X)
    with pytest.raises(ValueError, match="is expecting 4 features"):
        compact.predict(X[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        compact.predict(np.full((1, 4), np.inf))


def test_it_can_only_predict():
    compact = StackingModel(TWO).fit(X, CODES).compact()
    with pytest.raises(TypeError, match=r"only predicts\. Fit the StackingModel"):
        compact.fit(X, CODES)
    with pytest.raises(TypeError, match="cannot be cloned: it only predicts"):
        clone(compact)
    with pytest.raises(TypeError, match=r"made by StackingModel\.compact"):
        CompactModel()


def test_a_model_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        StackingModel(TWO).compact()


def test_errors_about_data():
    model = StackingModel(TWO).fit(X, CODES)
    with pytest.raises(ValueError, match=r"only to refit learners; got \['X', 'sample_weight'\]. Set refit=True"):
        model.compact(X=X, sample_weight=np.ones(90))
    with pytest.raises(ValueError, match="needs X and y; got no y"):
        model.compact(refit=True, X=X)
    with pytest.raises(ValueError, match="needs X and y; got no X and no y"):
        model.compact(refit=True)
    with pytest.raises(ValueError, match="is expecting 4 features"):
        model.compact(refit=True, X=X[:, :3], y=CODES)
    with pytest.raises(ValueError, match=r"classes that the model knows, \[0, 1\]; got \[0, 1, 2\]"):
        model.compact(refit=True, X=X, y=THREE)
    with pytest.raises(ValueError, match="must have the same number of rows"):
        model.compact(refit=True, X=X, y=CODES[:50])
    model.set_params(bayes="drop")
    with pytest.raises(ValueError, match="'bayes' has gone, or gives other columns"):
        model.compact(refit=True, X=X, y=CODES)


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = StackingModel(TWO, random_state=0).fit(X, CODES)
        model.compact().predict(X)
        model.compact(refit=True, X=X, y=CODES).predict(X)


def test_a_net_that_predicts_in_its_own_way_is_not_packed():
    """The pack of its class knows nothing of that."""

    class Timid(BNMLPClassifier):
        def predict_proba(self, X):
            return 0.25 + super().predict_proba(X) / 2

    model = StackingModel([("net", Timid((4,), max_epochs=2))], LogisticRegression(), cv=2, random_state=0)
    model.fit(X, CODES)
    assert_same(model.compact(), model, X)
