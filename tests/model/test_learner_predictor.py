"""Members of all learners at work on new rows: who shares what, and in which order columns are added up."""

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from spies import Together, job_of, native_threads

from stackkit import StackingModel
from stackkit._execution.tasks import make_tasks
from stackkit._execution.worker import run_task
from stackkit._model.learner_predictor import FEW_ROWS, learner_predictor_of, predict_table

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
    table = predict_table(
        {name: learner_predictor_of(found) for name, found in members.items()}, job.blocks, new, n_jobs=n_jobs
    )
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
    table = predict_table({"careless": learner_predictor_of([member] * 2)}, job.blocks, new, n_jobs=1)
    np.testing.assert_array_equal(new, before)
    np.testing.assert_array_equal(table["careless"], member.estimator.predict_proba(before.copy())[:, 1:])


# --- shared fronts and packs --------------------------------------------------------------------------


def _panels(n_members=3, pack=False):
    """Two learners behind the same fronts, which count what they do."""
    job = job_of([("one", GaussianNB()), ("two", Spoils())], X, Y)
    members = {
        name: [run_task(job, task, None)[0].member for task in make_tasks([(name, learner)], range(3), 0)[:n_members]]
        for name, learner in (("one", GaussianNB()), ("two", Spoils()))
    }
    fronts = tuple((Adds(i),) for i in range(n_members))
    panels = {name: replace(learner_predictor_of(found), fronts=fronts) for name, found in members.items()}
    if pack:
        panels["two"] = replace(panels["two"], pack=Pack(panels["two"].members))
    return panels, job.blocks


class Adds:
    """A transformer that counts its calls."""

    def __init__(self, number):
        self.number, self.calls = number, 0

    def transform(self, X):
        self.calls += 1
        return X + self.number


class Spoils(GaussianNB):
    def predict_proba(self, X):
        found = super().predict_proba(X)
        X[:] = np.nan
        return found


class Pack:
    """Asks one after another, and notes that it was asked."""

    def __init__(self, members):
        self.members, self.calls = members, 0

    def predict_proba(self, inputs):
        self.calls += 1
        return [member.estimator.predict_proba(rows.copy()) for member, rows in zip(self.members, inputs, strict=True)]


@pytest.mark.parametrize("n_rows", [1, FEW_ROWS, 3 * FEW_ROWS])
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("pack", [False, True])
def test_rows_go_through_a_shared_front_once(n_rows, n_jobs, pack):
    panels, blocks = _panels(pack=pack)
    new = RNG.normal(size=(n_rows, 3))
    before = new.copy()
    table = predict_table(panels, blocks, new, n_jobs=n_jobs)
    np.testing.assert_array_equal(new, before)
    assert [front.calls for (front,) in panels["one"].fronts] == [1, 1, 1]
    for name, panel in panels.items():
        each = [member.estimator.predict_proba(new + i)[:, 1:] for i, member in enumerate(panel.members)]
        np.testing.assert_array_equal(table[name], (each[0] + each[1] + each[2]) / 3)
    assert not pack or panels["two"].pack.calls == 1


def test_a_pack_without_fronts_gets_the_rows_themselves():
    panels, blocks = _panels(pack=True)
    bare = {name: replace(panel, fronts=((), (), ())) for name, panel in panels.items()}
    new = RNG.normal(size=(5, 3))
    table = predict_table(bare, blocks, new, n_jobs=None)
    unpacked = {name: replace(panel, pack=None) for name, panel in bare.items()}
    for name, values in predict_table(unpacked, blocks, new, n_jobs=None).items():
        np.testing.assert_array_equal(table[name], values)


def test_columns_are_added_in_the_order_of_the_members():
    """The second learner's members come in another order than the first's: rounding must not show it."""
    panels, blocks = _panels()
    turned = replace(panels["two"], members=panels["two"].members[::-1], fronts=panels["two"].fronts[::-1])
    new = RNG.normal(size=(50, 3))
    table = predict_table({"one": panels["one"], "two": turned}, blocks, new, n_jobs=None)
    each = [turned.members[i].estimator.predict_proba(new + (2 - i))[:, 1:] for i in range(3)]
    np.testing.assert_array_equal(table["two"], (each[0] + each[1] + each[2]) / 3)


class Observes(GaussianNB):
    def predict_proba(self, X):
        self.threads_, self.native_ = threading.active_count(), native_threads()
        return super().predict_proba(X)


def test_few_rows_need_no_threads():
    model = StackingModel([Observes()], LogisticRegression(), cv=2, n_jobs=2).fit(X, Y)
    idle = threading.active_count()
    for n_rows, most in ((1, idle), (FEW_ROWS, idle), (FEW_ROWS + 1, None)):
        model.predict(X[:n_rows])
        seen = [member.threads_ for member in model.members_["observes"]]
        assert (max(seen) > idle) if most is None else (max(seen) <= idle)
        if most is not None:
            assert all(set(member.native_.values()) == {1} for member in model.members_["observes"])
