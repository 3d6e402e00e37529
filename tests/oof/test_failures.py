"""Learners that failed: which error, which warning, which row."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel
from stackkit._data.folds import Folds
from stackkit._execution import limits as _limits
from stackkit._execution import scheduler as _schedule
from stackkit._execution.tasks import ALL_ROWS, OUT_OF_TIME, Failure, Result
from stackkit._execution.worker import run_task
from stackkit._oof.failures import FAILURE_COLUMNS, handle_failures, is_late, warn_of_fold_models
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError

FOLDS = Folds(tuple((np.arange(20 + k), np.arange(20 + k, 30)) for k in range(3)), 30)
LEARNERS = {"z": GaussianNB(), "a": DecisionTreeClassifier(), "m": GaussianNB()}
CAUSE = RuntimeError("boom")


def _failed(name, fold, stage="fit", message="RuntimeError: boom"):
    return Result(name, fold, failure=Failure(stage, message, "Traceback ...", CAUSE))


def _late(name, fold):
    return _failed(name, fold, OUT_OF_TIME, "not started within time_limit=3 seconds.")


def _good(name, fold=0):
    return Result(name, fold)


def _handle(results, on_error):
    return handle_failures(results, LEARNERS, FOLDS, on_error)


def test_without_failures_the_table_is_empty_but_has_its_columns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = _handle([_good("z"), _good("a")], "raise")
    assert len(frame) == 0
    assert list(frame) == FAILURE_COLUMNS == ["learner", "fold", "stage", "error", "traceback"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_by_learner_and_fold_is_raised_whatever_came_first(order):
    results = [_failed("a", 0), _failed("z", 2, message="second"), _failed("z", 1, message="first"), _good("m")]
    expected = re.escape("The learner 'z' (GaussianNB) failed in fold 1 of 3 (21 training rows, 9 test rows), in fit: ")
    with pytest.raises(LearnerFailedError, match=f"{expected}first.*Fix it, .*on_error='drop'") as caught:
        _handle(results[::order], "raise")
    assert caught.value.__cause__ is CAUSE


def test_a_refit_s_failure_says_so():
    with pytest.raises(LearnerFailedError, match=r"'a' \(DecisionTreeClassifier\) failed when refitted on all 30 rows"):
        _handle([_good("z"), _failed("a", ALL_ROWS)], "raise")


def test_drop_warns_of_each_and_gives_a_row_for_each():
    results = [_failed("a", 1, "predict_proba", "ValueError: bad"), _good("m"), _failed("z", 2)]
    with pytest.warns(LearnerDroppedWarning) as caught:
        frame = _handle(results, "drop")
    assert len(caught) == 2
    assert re.search(r"'z'.*in fold 2 of 3.*in fit: RuntimeError: boom It leaves the stack", str(caught[0].message))
    assert re.search(r"'a'.*in fold 1 of 3.*in predict_proba: ValueError: bad", str(caught[1].message))
    expected = [
        ["z", 2, "fit", "RuntimeError: boom", "Traceback ..."],
        ["a", 1, "predict_proba", "ValueError: bad", "Traceback ..."],
    ]
    assert frame.to_numpy().tolist() == expected


@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_late_learners_are_dropped_in_either_mode(on_error):
    with pytest.warns(LearnerDroppedWarning, match=r"\['z', 'a'\] were not fitted on all folds within time_limit") as w:
        frame = _handle([_late("a", 2), _late("z", 1), _late("z", 2), _good("m"), _good("z")], on_error)
    assert len(w) == 1
    assert frame[["learner", "fold", "stage"]].to_numpy().tolist() == [
        ["z", 1, OUT_OF_TIME],
        ["z", 2, OUT_OF_TIME],
        ["a", 2, OUT_OF_TIME],
    ]


def test_an_error_is_raised_though_others_are_late_before_it():
    with pytest.raises(LearnerFailedError, match=r"'m' \(GaussianNB\) failed in fold 2"):
        _handle([_late("z", 1), _failed("m", 2), _good("a")], "raise")


@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_when_none_is_whole_for_want_of_time_all_are_named(on_error):
    results = [_good("z"), *[_late(name, 2) for name in "zam"]]
    with pytest.raises(LearnerFailedError, match=r"No learner is left.*'z'.*time_limit=3.*'a'.*'m'") as caught:
        _handle(results, on_error)
    assert caught.value.__cause__ is None


def test_when_all_failed_all_are_named():
    with pytest.raises(LearnerFailedError, match=r"No learner is left, all failed\. .*'z'.*'a'.*'m'"):
        _handle([_failed("a", 0), _late("m", 0), _failed("z", 0)], "drop")


def test_is_late_means_for_want_of_time_alone():
    assert is_late(_late("a", 0))
    assert not is_late(_failed("a", 0))
    assert not is_late(_good("a"))


def test_a_late_refit_leaves_the_fold_models_which_is_said():
    with pytest.warns(LearnerDroppedWarning, match="when refitted on all 30 rows.*Its fold models predict new") as w:
        warn_of_fold_models([_good("z", ALL_ROWS), _late("a", ALL_ROWS)], LEARNERS, FOLDS)
    assert len(w) == 1


# --- through a fit ------------------------------------------------------------------------------------


class OneSecondEach:
    """A worker and a clock: each task takes a second by it, and so the results say."""

    capacity = threads = 1

    def __init__(self):
        self.now = 0.0
        self._done = []

    def monotonic(self):
        return self.now

    def backend_for(self, job):
        self._job = job
        return self

    def start(self, task):
        self.now += 1
        results = run_task(self._job, task, None)
        self._done.append((task, [replace(result, fit_seconds=1.0, predict_seconds=0.0) for result in results]))

    def wait(self, _timeout):
        done, self._done = self._done, []
        return done

    def close(self, *, now):
        pass


@pytest.fixture
def worker(monkeypatch):
    worker = OneSecondEach()
    monkeypatch.setattr(_schedule, "time", worker)
    monkeypatch.setattr(_limits, "time", worker)
    monkeypatch.setattr(_schedule, "_choose_backend", lambda job, _client, _n_jobs, _limits: worker.backend_for(job))
    return worker


X, Y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2


@pytest.mark.parametrize("on_error", ["raise", "drop"])
@pytest.mark.usefixtures("worker")
def test_of_a_late_learner_that_left_nothing_more_is_said(on_error):
    """It lacks folds and its refit too; that its fold models predict instead would be wrong."""
    learners = [("whole", GaussianNB()), ("late", DecisionTreeClassifier())]
    model = StackingModel(learners, LogisticRegression(), cv=3, refit=True, time_limit=5, on_error=on_error)
    with pytest.warns(LearnerDroppedWarning, match=r"\['late'\] were not fitted on all folds") as caught:
        model.fit(X, Y)
    assert [len(members) for members in model.members_.values()] == [1]
    assert list(model.members_) == ["whole"]
    assert set(model.failures_["learner"]) == {"late"}
    assert len(caught) == 1


@pytest.mark.parametrize("final", [LogisticRegression(), None])
def test_a_learner_whose_refit_alone_is_late_predicts_with_its_fold_models(worker, final):
    model = StackingModel([("bayes", GaussianNB())], final, cv=3, refit=True)
    with pytest.warns(LearnerDroppedWarning, match="'bayes'.* when refitted on all 30 rows.* fold models predict"):
        model.set_params(time_limit=3).fit(X, Y)
    assert worker.now == 3
    assert len(model.members_["bayes"]) == 3
    assert len(model.failures_) == 0
    expected = StackingModel([("bayes", GaussianNB())], final, cv=3)
    np.testing.assert_array_equal(model.predict_proba(X), expected.fit(X, Y).predict_proba(X))
