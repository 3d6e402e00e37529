"""Members of all learners at work on new rows: who shares what, and in which order columns are added up."""

import pickle

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from spies import Together, job_of

from stackkit import StackingModel
from stackkit._panels import panel_of, predict_table
from stackkit._tasks import make_tasks
from stackkit._work import run_task

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2


def _noise(n=60):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.integers(0, 2, n)


def test_predictions_are_the_same_for_any_n_jobs():
    X, y = _noise(200)
    learners = [("logistic", LogisticRegression()), ("forest", RandomForestClassifier(5))]
    one = StackingModel(learners, random_state=0, n_jobs=1).fit(X, y)
    two = pickle.loads(pickle.dumps(one)).set_params(n_jobs=2)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_new_rows_get_the_mean_over_a_learner_s_members(n_jobs):
    learners = [("bayes", GaussianNB()), ("together", Together())]
    job = job_of(learners, X, Y)
    members = {
        name: [result.member for task in make_tasks([pair], range(3), 0) for result in run_task(job, task, None)]
        for pair in learners
        for name in [pair[0]]
    }
    new = RNG.normal(size=(8, 3))
    table = predict_table({name: panel_of(found) for name, found in members.items()}, job.blocks, new, n_jobs=n_jobs)
    assert list(table) == ["bayes", "together"]
    for name, fitted in members.items():
        by_hand = np.mean([member.estimator.predict_proba(new)[:, 1:] for member in fitted], axis=0)
        np.testing.assert_allclose(table[name], by_hand, rtol=1e-14)


def test_who_predicts_in_place_spoils_nobody_s_rows():
    class Careless(GaussianNB):
        def predict_proba(self, X):
            found = super().predict_proba(X)
            X[:] = 0
            return found

    job = job_of([("careless", Careless())], X, Y)
    (task, *_) = make_tasks([("careless", Careless())], range(3), 0)
    member = run_task(job, task, None)[0].member
    new = RNG.normal(size=(8, 3))
    before = new.copy()
    table = predict_table({"careless": panel_of([member] * 2)}, job.blocks, new, n_jobs=1)
    np.testing.assert_array_equal(new, before)
    np.testing.assert_array_equal(table["careless"], member.estimator.predict_proba(before.copy())[:, 1:])
