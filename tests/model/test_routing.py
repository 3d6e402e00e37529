"""Metadata routing as scikit-learn's user guide promises it: of the score, of default learners and final estimators."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingClassifier, StackingModel, StackingRegressor, default_learners
from stackkit._model import parameters

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
y = (X[:, 0] + RNG.normal(size=80) > 0).astype(int)
WEIGHTS = RNG.uniform(0.1, 3, size=80)
GROUPS = np.arange(80) // 4


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_weights_reach_the_score_where_it_asks_for_them():
    """The request was ignored."""
    learner = GaussianNB().set_fit_request(sample_weight=False)
    model = StackingClassifier([learner], LogisticRegression().set_fit_request(sample_weight=False))
    pairs = list(KFold(3).split(X))
    scores = {}
    for asked in (True, False):
        model.set_score_request(sample_weight=asked)
        params = {"sample_weight": WEIGHTS} if asked else {}
        scores[asked] = cross_validate(model, X, y, cv=pairs, params=params, return_estimator=True)
    for asked, found in scores.items():
        expected = [
            accuracy_score(y[test], fitted.predict(X[test]), sample_weight=WEIGHTS[test] if asked else None)
            for fitted, (_, test) in zip(found["estimator"], pairs, strict=True)
        ]
        np.testing.assert_allclose(found["test_score"], expected)
    assert not np.allclose(scores[True]["test_score"], scores[False]["test_score"])


@pytest.mark.parametrize("final", [None, LogisticRegression()])
def test_the_default_final_estimator_gets_weights(final):
    """Nobody could say that it may: there was no object to ask."""
    expected = StackingModel([GaussianNB()], final).fit(X, y, sample_weight=WEIGHTS).predict_proba(X)
    with config_context(enable_metadata_routing=True):
        learner = GaussianNB().set_fit_request(sample_weight=True)
        given = None if final is None else LogisticRegression().set_fit_request(sample_weight=True)
        model = StackingModel([learner], given).fit(X, y, sample_weight=WEIGHTS)
        assert "sample_weight" in model.get_metadata_routing().consumes("fit", ["sample_weight"])
        np.testing.assert_array_equal(model.predict_proba(X), expected)
        passed = StackingModel([learner], passthrough=True).fit(pd.DataFrame(X), y, sample_weight=WEIGHTS)
    plain = StackingModel([GaussianNB()], passthrough=True).fit(pd.DataFrame(X), y, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(passed.predict_proba(pd.DataFrame(X)), plain.predict_proba(pd.DataFrame(X)))


@pytest.mark.slow
@pytest.mark.usefixtures("small_learners")
@pytest.mark.parametrize("stack", [StackingClassifier, StackingRegressor])
def test_default_learners_get_weights_and_groups(stack):
    target = y if stack is StackingClassifier else X[:, 0] + y
    given = {"sample_weight": WEIGHTS, "groups": GROUPS}
    model = stack(cv=2, random_state=0)
    expected = model.fit(X, target, **given).oof_.train
    with config_context(enable_metadata_routing=True):
        assert model.get_metadata_routing().consumes("fit", given) == set(given)
        routed = stack(cv=2, random_state=0)
        assert routed.get_metadata_routing().consumes("fit", given) == set(given)
        np.testing.assert_array_equal(routed.fit(X, target, **given).oof_.train, expected)


def _given_to_a_pipeline_s_stack(model, **params):
    """The weights, and the folds, of a stack at the end of a pipeline that is fitted with metadata."""
    steps = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
    fitted = steps.fit(X, y, **params)[-1]
    return fitted.oof_.sample_weight, fitted.oof_.folds.pairs, fitted.oof_.train


@pytest.fixture
def one_learner(monkeypatch):
    """Naive Bayes alone is the default learner."""
    monkeypatch.setattr(parameters, "learners_named", lambda *_: [("bayes", make_pipeline(GaussianNB()))])


@pytest.mark.usefixtures("routing", "one_learner")
@pytest.mark.parametrize("stack", [StackingModel, StackingClassifier])
def test_a_stack_of_default_learners_says_what_it_asks_for(stack):
    """It was an AttributeError: there was no set_fit_request."""
    given = {"sample_weight": WEIGHTS, "groups": GROUPS}
    expected = _given_to_a_pipeline_s_stack(stack(random_state=0), **given)
    asks = stack(random_state=0).set_fit_request(sample_weight=True, groups=True)
    assert asks.get_metadata_routing().consumes("fit", given) == set(given)
    for found, wanted in zip(_given_to_a_pipeline_s_stack(clone(asks), **given), expected, strict=True):
        np.testing.assert_equal(found, wanted)
    renamed = stack(random_state=0).set_fit_request(sample_weight="importance", groups="family")
    assert renamed.get_metadata_routing().consumes("fit", {*given, "importance"}) == {"importance"}
    for found, wanted in zip(
        _given_to_a_pipeline_s_stack(renamed, importance=WEIGHTS, family=GROUPS), expected, strict=True
    ):
        np.testing.assert_equal(found, wanted)


@pytest.mark.usefixtures("routing", "one_learner")
def test_a_stack_of_default_learners_does_without():
    model = StackingClassifier(random_state=0).set_fit_request(sample_weight=False)
    assert model.get_metadata_routing().consumes("fit", ["sample_weight", "groups"]) == {"groups"}
    with pytest.raises(TypeError, match=r"'sample_weight'.* not routed to any object"):
        model.fit(X, y, sample_weight=WEIGHTS)
    plain = clone(model).fit(X, y).oof_.train
    weighty = model.set_params(final_estimator=LogisticRegression().set_fit_request(sample_weight=True))
    np.testing.assert_array_equal(weighty.fit(X, y, sample_weight=WEIGHTS).oof_.train, plain)
    model.set_fit_request(sample_weight=None)
    with pytest.raises(UnsetMetadataPassedError, match=r"sample_weight.*not explicitly set as requested"):
        _given_to_a_pipeline_s_stack(model, sample_weight=WEIGHTS)


def test_who_cannot_say_what_a_stack_asks_for():
    with pytest.raises(RuntimeError, match=r"set_config\(enable_metadata_routing=True\)"):
        StackingModel().set_fit_request(sample_weight=True)
    with pytest.raises(AttributeError, match="has no attribute 'set_fit_request'") as raised:
        StackingModel([GaussianNB()]).set_fit_request  # noqa: B018
    assert "Call it of the learners, and of the final estimator" in str(raised.value.__cause__)


@pytest.mark.usefixtures("routing", "small_learners")
def test_default_learners_of_the_users_hand_say_nothing_of_their_own():
    """What ``default_learners`` gives is the user's, who can say what each asks for."""
    learners = default_learners("classification")[:1]
    with pytest.raises(Exception, match=r"sample_weight.*not explicitly set as requested"):
        StackingModel(learners).fit(X, y, sample_weight=WEIGHTS)
