"""With MLflow's autologging on, a stack is one run, and its learners' fits are none. MLflow itself is played here."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from stackkit import StackingClassifier, cross_fit
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerFailedError

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


class _MLflow:
    """Logs each fit of a ``Tracked`` learner, unless it is told not to."""

    def __init__(self):
        self.on, self.off, self.run, self.session, self.broken = True, False, None, None, False
        self.runs, self.fits = [], 0

    @contextmanager
    def start_run(self):
        self.run = {}
        self.runs.append(self.run)
        yield self.run
        self.run = None

    def active_run(self):
        return self.run

    def set_tags(self, tags):
        if self.broken:
            raise ConnectionError("no server")
        self.run["tags"] = tags

    def log_params(self, params):
        self.run["params"] = params

    def log_metrics(self, metrics):
        self.run["metrics"] = metrics

    @contextmanager
    def disable_autologging(self):
        self.off = True
        try:
            yield
        finally:
            self.off = False

    def autologging_is_disabled(self, library):
        assert library == "sklearn"
        return not self.on


@pytest.fixture
def mlflow(monkeypatch):
    played = _MLflow()
    played._AutologgingSessionManager = SimpleNamespace(active_session=lambda: played.session)
    monkeypatch.setitem(sys.modules, "mlflow", played)
    monkeypatch.setitem(sys.modules, "mlflow.utils.autologging_utils", played)
    monkeypatch.setitem(sys.modules, "mlflow.utils.autologging_utils.safety", played)
    fit = GaussianNB.fit

    def logged(self, *args, **kwargs):
        played.fits += played.on and not played.off
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(GaussianNB, "fit", logged)
    return played


def _stack(inner=None):
    return StackingClassifier([("bayes", inner or GaussianNB()), ("log", LogisticRegression())], cv=3, random_state=0)


def test_a_stack_is_one_run(mlflow):
    model = _stack().fit(X, Y)
    (run,) = mlflow.runs
    assert mlflow.fits == 0
    assert not mlflow.off  # put back
    assert run["tags"]["estimator_name"] == "StackingClassifier"
    assert run["params"]["cv"] == "3"
    assert run["metrics"]["bayes log_loss"] == pytest.approx(model.oof_.scores.loc["bayes", "log_loss"].mean())
    GaussianNB().fit(X, Y)
    assert mlflow.fits == 1


def test_a_run_of_the_user_s_is_used(mlflow):
    with mlflow.start_run() as run:
        _stack().fit(X, Y)
    assert mlflow.runs == [run]
    assert run["params"]["cv"] == "3"


def test_a_stack_in_a_stack_is_part_of_its_run(mlflow):
    _stack(_stack()).fit(X, Y)
    (run,) = mlflow.runs
    assert "StackingClassifier" in run["params"]["estimators"]  # not what the inner one would log
    assert mlflow.fits == 0


def test_a_search_logs_itself(mlflow):
    mlflow.session = "of a search, whose own fits MLflow leaves out"
    _stack().fit(X, Y)
    assert mlflow.runs == []


def test_who_did_not_ask_for_it_gets_no_run(mlflow):
    mlflow.on = False
    _stack().fit(X, Y)
    assert mlflow.runs == []


def test_logging_ends_no_fit(mlflow):
    mlflow.broken = True
    with pytest.warns(UserWarning, match="MLflow did not log the stack: ConnectionError: no server"):
        model = _stack().fit(X, Y)
    assert model.predict(X).shape == (60,)


def _cross_fitted():
    cross_fit([GaussianNB(), LogisticRegression()], X, Y, cv=3)


def _refitted():
    _stack().fit(X, Y).compact(refit=True, X=X, y=Y)


def _nested():
    nested_scores(_stack(), X, Y, cv=2)


@pytest.mark.parametrize(("fits", "runs"), [(_cross_fitted, 0), (_refitted, 1), (_nested, 0)])
def test_fits_of_learners_outside_a_stack_s_are_no_runs(mlflow, fits, runs):
    """Each was one."""
    fits()
    assert mlflow.fits == 0
    assert len(mlflow.runs) == runs  # of the stack's own fit
    assert not mlflow.off


def test_threads_share_the_switch(mlflow):
    with parallel_config("threading"):
        cross_fit([GaussianNB(var_smoothing=0.1 * i) for i in range(1, 9)], X, Y, cv=3, n_jobs=2)
    assert mlflow.fits == 0
    assert not mlflow.off


def test_who_turned_it_off_keeps_it_off(mlflow):
    mlflow._AUTOLOGGING_GLOBALLY_DISABLED = True
    with mlflow.disable_autologging():
        _cross_fitted()
        assert mlflow.off
    assert mlflow.fits == 0


class _Broken(GaussianNB):
    def fit(self, X, y):
        raise RuntimeError("no")


def test_a_failure_turns_it_back_on(mlflow):
    with pytest.raises(LearnerFailedError):
        cross_fit([_Broken()], X, Y, cv=3)
    assert not mlflow.off
    GaussianNB().fit(X, Y)
    assert mlflow.fits == 1
