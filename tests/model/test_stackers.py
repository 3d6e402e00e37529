"""StackingClassifier and StackingRegressor: in the place of scikit-learn's, and what a stack shows of its models."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.ensemble import StackingClassifier as ScikitClassifier
from sklearn.ensemble import StackingRegressor as ScikitRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, TunedThresholdClassifierCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from stackkit import StackingClassifier, StackingModel, StackingRegressor, load, save
from stackkit.evaluation import nested_scores

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
XR, YR = load_diabetes(return_X_y=True)
CLASSIFIERS = [("logistic", LogisticRegression(max_iter=1000)), ("bayes", GaussianNB())]
REGRESSORS = [("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))]


def test_the_task_is_known_before_the_fit_and_is_no_parameter():
    assert is_classifier(StackingClassifier())
    assert is_regressor(StackingRegressor())
    for cls in (StackingClassifier, StackingRegressor):
        expected = set(StackingModel().get_params()) - {"task"}
        assert set(cls().get_params()) == expected
        assert set(vars(cls())) == expected
        assert clone(cls(n_jobs=2)).n_jobs == 2
        with pytest.raises(TypeError, match="task"):
            cls(task="classification")


def test_scikit_learns_cross_validation_stratifies():
    """With folds that are not, each tests a class of the sorted irises that it did not train on."""
    model = StackingClassifier(CLASSIFIERS)
    assert min(cross_val_score(model, X, Y, cv=3)) > 0.9
    assert_array_equal(cross_val_score(model, X, Y, cv=3), cross_val_score(model, X, Y, cv=StratifiedKFold(3)))
    assert min(cross_val_score(StackingRegressor(REGRESSORS), XR, YR, cv=3)) > 0.4


@pytest.mark.parametrize(
    ("cls", "learners", "data"),
    [(StackingClassifier, CLASSIFIERS, (X, NAMES)), (StackingRegressor, REGRESSORS, (XR, YR))],
)
def test_it_is_the_stacking_model_of_its_task(cls, learners, data):
    one, other = cls(learners, random_state=0).fit(*data), StackingModel(learners, random_state=0).fit(*data)
    assert_array_equal(one.predict(data[0]), other.predict(data[0]))
    assert_array_equal(one.oof_.train, other.oof_.train)
    assert isinstance(nested_scores(cls(learners, cv=3), *data, cv=3).helps, bool | None)


@pytest.mark.parametrize(
    ("ours", "theirs", "learners", "final", "data"),
    [
        (StackingClassifier, ScikitClassifier, CLASSIFIERS, LogisticRegression(), (X, NAMES)),
        (StackingRegressor, ScikitRegressor, REGRESSORS, LinearRegression(), (XR, YR)),
    ],
    ids=["classes", "numbers"],
)
def test_refitted_it_predicts_what_scikit_learns_does(ours, theirs, learners, final, data):
    cv = KFold(4, shuffle=True, random_state=0)
    one = ours(learners, final, cv=cv, refit=True).fit(*data)
    other = theirs(learners, final, cv=cv).fit(*data)
    assert_array_equal(one.predict(data[0]), other.predict(data[0]))
    assert one.stack_method_ == other.stack_method_
    assert one.get_feature_names_out().tolist() == other.get_feature_names_out().tolist()
    assert list(one.named_estimators_) == list(other.named_estimators_)
    for found, expected in zip(one.estimators_, other.estimators_, strict=True):
        assert type(found) is type(expected)
        assert_allclose(found.predict(data[0]), expected.predict(data[0]), rtol=1e-10)


def test_meta_estimators_that_need_a_classifier_take_it():
    model = StackingClassifier(CLASSIFIERS, cv=2)
    two = Y > 0
    assert TunedThresholdClassifierCV(model, cv=2).fit(X, two).score(X, two) > 0.9
    assert CalibratedClassifierCV(model, cv=2).fit(X, Y).score(X, Y) > 0.9
    assert VotingClassifier([("stack", model), ("bayes", GaussianNB())], voting="soft").fit(X, Y).score(X, Y) > 0.9
    search = GridSearchCV(model, {"logistic__C": [0.1, 10], "refit": [False, True]}, cv=2).fit(X, Y)
    assert search.best_score_ > 0.9


def test_an_all_default_model_in_scikit_learns_cross_validation_names_the_cure(monkeypatch):
    few = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier())]
    monkeypatch.setattr("stackkit._model.parameters.learners_named", lambda *_, **__: few)
    rows = np.random.default_rng(0).permutation(len(Y))
    with pytest.warns(UserWarning, match="made folds that are not stratified.*Use StackingClassifier, or task="):
        cross_val_score(StackingModel(), X[rows], Y[rows], cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cross_val_score(StackingModel(task="classification"), X[rows], Y[rows], cv=2)
        cross_val_score(StackingClassifier(), X[rows], Y[rows], cv=2)
        StackingModel().fit(X[rows], Y[rows])


# --- what is refused, as scikit-learn refuses it --------------------------------------------------------


@pytest.mark.parametrize("estimators", [[], (), "forest", 5, [("a", LogisticRegression(), 1)], [("a", "drop")]])
@pytest.mark.parametrize("cls", [StackingClassifier, StackingModel])
def test_malformed_estimators(cls, estimators):
    with pytest.raises(ValueError, match="'estimators'"):
        cls(estimators, LogisticRegression()).fit(X, Y)


@pytest.mark.parametrize("cls", [StackingClassifier, StackingModel])
def test_a_dict_of_estimators_is_told_what_to_do(cls):
    with pytest.raises(TypeError, match=r"got a dict of \['logistic', 'bayes'\]\. Pass list\(estimators.items\(\)\)"):
        cls(dict(CLASSIFIERS)).fit(X, Y)


def test_a_final_estimator_of_the_other_kind():
    with pytest.raises(ValueError, match="'final_estimator' parameter should be a classifier"):
        StackingClassifier(CLASSIFIERS, Ridge()).fit(X, Y)
    with pytest.raises(ValueError, match="'final_estimator' parameter should be a regressor"):
        StackingRegressor(REGRESSORS, LogisticRegression()).fit(XR, YR)


def test_regressors_may_be_learners_of_a_classifier_and_a_stack_its_final_estimator():
    model = StackingClassifier([("ridge", Ridge()), *CLASSIFIERS], StackingModel([GaussianNB(), LogisticRegression()]))
    assert model.fit(X, NAMES).score(X, NAMES) > 0.9


@pytest.mark.parametrize("cls", [StackingClassifier, StackingModel])
def test_metadata_without_routing(cls):
    with pytest.raises(ValueError, match=r"such as \['metadata'\], is only supported if enable_metadata_routing=True"):
        cls(CLASSIFIERS).fit(X, Y, metadata="a")


def test_weights_for_who_takes_none():
    weights = np.ones(len(Y))
    with pytest.raises(
        TypeError, match=r"KNeighborsClassifier does not support sample weights: 'knn'\. Leave sample_weight"
    ):
        StackingClassifier([*CLASSIFIERS, ("knn", KNeighborsClassifier())]).fit(X, Y, sample_weight=weights)
    with pytest.raises(TypeError, match="does not support sample weights: 'final_estimator'"):
        StackingClassifier(CLASSIFIERS, KNeighborsClassifier()).fit(X, Y, sample_weight=weights)
    StackingClassifier(CLASSIFIERS).fit(X, Y, sample_weight=weights)


def test_with_routing_the_final_estimator_gets_weights_unasked_as_in_scikit_learn():
    weights = np.random.default_rng(0).integers(1, 9, len(Y)).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        learners = [("logistic", LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True))]
        final = LogisticRegression()
        model = StackingClassifier(learners, final, cv=5, refit=True).fit(X, Y, sample_weight=weights)
        other = ScikitClassifier(learners, final, cv=5).fit(X, Y, sample_weight=weights)
        assert_allclose(model.final_estimator_.coef_, other.final_estimator_.coef_)
        without = StackingClassifier(learners, final.set_fit_request(sample_weight=False), cv=5, refit=True)
        coef = without.fit(X, Y, sample_weight=weights).final_estimator_.coef_
        assert np.abs(coef - other.final_estimator_.coef_).max() > 1e-3
        with pytest.raises(ValueError, match="not explicitly set as requested"):
            StackingModel(learners, LogisticRegression()).fit(X, Y, sample_weight=weights)


# --- learners that are fitted already ---------------------------------------------------------------------


@pytest.mark.parametrize("cls", [StackingClassifier, StackingModel])
def test_prefit_learners_are_only_asked(cls):
    fitted = [(name, clone(learner).fit(X[::2], NAMES[::2])) for name, learner in CLASSIFIERS]
    model = cls(fitted, LogisticRegression(), cv="prefit").fit(X[1::2], NAMES[1::2])
    by_hand = LogisticRegression().fit(
        np.hstack([learner.predict_proba(X[1::2]) for _, learner in fitted]), NAMES[1::2]
    )
    new = np.hstack([learner.predict_proba(X) for _, learner in fitted])
    assert_allclose(model.predict_proba(X), by_hand.predict_proba(new), atol=1e-6)
    assert [type(learner) for learner in model.estimators_] == [LogisticRegression, GaussianNB]
    frozen = [(name, FrozenEstimator(learner)) for name, learner in fitted]
    same = cls(frozen, LogisticRegression()).fit(X[1::2], NAMES[1::2])
    assert_array_equal(model.predict_proba(X), same.predict_proba(X))


def test_prefit_takes_no_learner_that_is_not_fitted():
    learners = [("logistic", LogisticRegression().fit(X, Y)), ("bayes", GaussianNB())]
    with pytest.raises(NotFittedError, match="cv='prefit' takes learners that are fitted; 'bayes' is not"):
        StackingClassifier(learners, cv="prefit").fit(X, Y)


# --- the fitted learners ------------------------------------------------------------------------------------


def _by_hand(model, name, method):
    return np.mean([getattr(member, method)(X) for member in model.members_[name]], axis=0)


def test_estimators_average_over_the_fold_models():
    learners = [*CLASSIFIERS, ("svm", LinearSVC()), ("perceptron", Perceptron()), ("left", "drop")]
    methods = ["predict_proba", "predict_proba", "decision_function", "predict"]
    stack_method = {"perceptron": "predict"}
    model = StackingModel(learners, RandomForestClassifier(5), stack_method=stack_method).fit(X, NAMES)
    assert model.stack_method_ == methods
    assert list(model.named_estimators_) == ["logistic", "bayes", "svm", "perceptron", "left"]
    assert model.named_estimators_.left == "drop"
    logistic, _, svm, perceptron = model.estimators_
    assert_allclose(logistic.predict_proba(X), _by_hand(model, "logistic", "predict_proba"))
    assert_array_equal(logistic.predict(X), _by_hand(model, "logistic", "predict_proba").argmax(axis=1))
    assert_allclose(svm.decision_function(X), _by_hand(model, "svm", "decision_function"))
    assert not hasattr(svm, "predict_proba")
    votes = np.stack([member.predict(X) for member in model.members_["perceptron"]])
    most = [np.bincount(column, minlength=3).argmax() for column in votes.T]
    assert_array_equal(perceptron.predict(X), most)
    assert all(is_classifier(learner) and learner.classes_.tolist() == [0, 1, 2] for learner in model.estimators_)
    assert logistic.estimators_ == model.members_["logistic"]


def test_of_two_classes_and_of_numbers():
    two = StackingClassifier([*CLASSIFIERS, ("svm", LinearSVC())]).fit(X, Y > 0)
    assert_allclose(two.estimators_[0].predict_proba(X), _by_hand(two, "logistic", "predict_proba"))
    assert_array_equal(two.estimators_[0].predict(X), _by_hand(two, "logistic", "predict_proba")[:, 1] > 0.5)
    assert_array_equal(two.estimators_[2].predict(X), _by_hand(two, "svm", "decision_function") > 0)
    numbers = StackingRegressor(REGRESSORS).fit(XR, YR)
    ridge = numbers.named_estimators_["ridge"]
    assert is_regressor(ridge)
    assert not hasattr(ridge, "classes_")
    assert_allclose(ridge.predict(XR), np.mean([member.predict(XR) for member in numbers.members_["ridge"]], axis=0))


def test_of_labels_and_of_several_numbers():
    XL, YL = make_multilabel_classification(80, 5, n_classes=3, random_state=0)
    labels = StackingClassifier([("knn", KNeighborsClassifier()), ("rf", RandomForestClassifier(5))]).fit(XL, YL)
    knn = labels.estimators_[0]
    assert knn.predict_proba(XL).shape == knn.predict(XL).shape == YL.shape
    assert set(np.unique(knn.predict(XL))) <= {0, 1}
    outputs = StackingRegressor(REGRESSORS).fit(XR, np.column_stack([YR, -YR]))
    assert outputs.estimators_[0].predict(XR).shape == (len(XR), 2)


def test_an_average_is_shown_in_a_few_words():
    """To spell out all fold models took eight seconds of ten that a notebook needed to show a stack."""
    model = StackingClassifier([*CLASSIFIERS, ("forest", make_pipeline(RandomForestClassifier(20)))]).fit(X, Y)
    assert [repr(learner) for learner in model.estimators_] == [
        f"FoldAverage(5 x {kind})" for kind in ("LogisticRegression", "GaussianNB", "RandomForestClassifier")
    ]
    assert model.estimators_[0]._repr_mimebundle_() == {"text/plain": "FoldAverage(5 x LogisticRegression)"}


def test_an_average_cannot_be_fitted():
    average = StackingClassifier(CLASSIFIERS).fit(X, Y).estimators_[0]
    with pytest.raises(TypeError, match=r"only predicts\. Fit the stack"):
        average.fit(X, Y)


@pytest.mark.parametrize(
    ("cls", "learners", "data"),
    [(StackingClassifier, CLASSIFIERS, (X, NAMES)), (StackingRegressor, REGRESSORS, (XR, YR))],
)
def test_they_are_saved_and_loaded_as_what_they_are(cls, learners, data, tmp_path):
    model = cls(learners).fit(*data)
    again = load(save(model, tmp_path / "kept.stackkit"))
    assert type(again) is cls
    assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    assert_array_equal(again.estimators_[1].predict(data[0]), model.estimators_[1].predict(data[0]))
