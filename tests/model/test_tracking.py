"""With MLflow's autologging on, a stack is one run, and its learners' fits are none. MLflow itself is played here."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from stackkit import StackingClassifier

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
        yield
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
