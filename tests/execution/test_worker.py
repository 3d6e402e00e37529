"""One task from its fit to its result, and the predictions of new rows."""

import pickle
import signal
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from spies import Batches, Fails, Gives, Interrupted, Slow, Stubborn, Together, job_of, native_threads, with_row_ids

from stackkit import StackingModel, Store, cross_fit
from stackkit._data.folds import Folds
from stackkit._execution.tasks import ALL_ROWS, make_tasks
from stackkit._execution.worker import failure_of, run_task
from stackkit._utils.threads import limit_threads

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2


def _noise(n=60):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.integers(0, 2, n)


def _run(learner, *, folds=(0,), threads=None, X=X, **options):
    job = job_of([("it", learner)], X, Y, **options)
    return [result for task in make_tasks([("it", learner)], folds, 0) for result in run_task(job, task, threads)]


# --- a task -------------------------------------------------------------------------------------------


def test_a_task_is_a_fit_and_its_predictions():
    new = RNG.normal(size=(5, 3))
    job = job_of([("it", GaussianNB())], X, Y, X_test=new)
    (result,) = _run(GaussianNB(), folds=[1], X_test=new)
    train, test = job.folds.pairs[1]
    by_hand = GaussianNB().fit(X[train], Y[train])
    np.testing.assert_array_equal(result.oof, by_hand.predict_proba(X[test])[:, 1:])
    np.testing.assert_array_equal(result.new, by_hand.predict_proba(new)[:, 1:])
    assert (result.name, result.fold, result.failure, result.problems) == ("it", 1, None, ())
    assert result.fit_seconds > 0
    assert result.predict_seconds > 0
    assert result.peak_bytes > 10**6


def test_a_fit_on_all_rows_predicts_none_of_them():
    (result,) = _run(GaussianNB(), folds=[ALL_ROWS])
    assert result.oof is None
    np.testing.assert_array_equal(result.member.estimator.theta_, GaussianNB().fit(X, Y).theta_)


def test_members_nobody_asked_for_are_left_out_but_what_they_saw_is_told():
    results = _run(GaussianNB(), folds=[0, ALL_ROWS], keep_members=False)
    assert results[0].member.estimator is None
    assert results[0].member.codes.tolist() == [0, 1]
    assert results[1].member.estimator is not None


def test_folds_trained_at_once_share_their_time():
    results = _run(Together(), folds=range(3))
    assert [result.fold for result in results] == [0, 1, 2]
    assert len({result.fit_seconds for result in results}) == 1


def test_a_task_never_raises():
    (result,) = _run(Fails(without_row=-1), X=with_row_ids(X))
    assert (result.failure.stage, result.failure.message) == ("fit", "RuntimeError: boom")
    assert "in fit" in result.failure.traceback
    assert isinstance(result.failure.cause, RuntimeError)
    (result,) = _run(Gives((0.7, 0.7)))
    assert result.failure.stage == "predict_proba"
    assert "do not sum to 1" in result.failure.message


def test_a_cause_that_does_not_pickle_is_told_in_words():
    error = RuntimeError("boom twice")
    error.part = Stubborn()  # where Dask was loaded, which mends the pickles of errors, UnpicklableError would pickle
    failure = failure_of("fit", error)
    assert failure.cause is None
    assert failure.message == "RuntimeError: boom twice"
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_whoever_works_elsewhere_holds_blas_himself():
    before = native_threads()
    with limit_threads(2, "blas"):
        (at_home,) = _run(Slow(0.0))
        assert at_home.member.estimator.threads_["blas"] == native_threads()["blas"] == 2
        (elsewhere,) = _run(Slow(0.0), home=0)
        assert elsewhere.member.estimator.threads_["blas"] == 1
    assert native_threads() == before


# --- interrupts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("instead", ["return", "raise"])
@pytest.mark.parametrize("on_error", ["raise", "drop"])
@pytest.mark.usefixtures("handler")
def test_ctrl_c_ends_a_fit_and_nothing_half_trained_is_kept(tmp_path, instead, on_error):
    log, store = tmp_path / "log", Store(tmp_path / "store")
    learners = [("bayes", GaussianNB()), ("interrupted", Interrupted(log, instead, at_fit=3))]
    model = StackingModel(learners, LogisticRegression(), cv=5, memory=store, on_error=on_error)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert not hasattr(model, "oof_")
    assert len(log.read_text().splitlines()) == 3
    assert store.info().n_models <= 5 + 2
    model.fit(X, Y)  # goes on where it was
    assert len(log.read_text().splitlines()) == 3 + 3
    plain = StackingModel([("bayes", GaussianNB()), ("interrupted", GaussianNB())], LogisticRegression(), cv=5)
    np.testing.assert_array_equal(model.predict_proba(X), plain.fit(X, Y).predict_proba(X))
    assert list(model.members_) == ["bayes", "interrupted"]


@pytest.mark.usefixtures("handler")
def test_ctrl_c_reaches_cross_fit_too(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        cross_fit([Interrupted(log)], X, Y)
    assert len(log.read_text().splitlines()) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- predictions --------------------------------------------------------------------------------------


def test_cut_test_rows_are_predicted_part_by_part():
    """As whoever predicts them apart would: a batch may round otherwise than its parts."""
    X, y = with_row_ids(np.zeros((9, 1))), np.arange(9) % 3
    job = job_of([("a", Batches())], X, y, cv=3)
    pairs, n_rows = job.folds.pairs, job.folds.n_rows
    for cuts, sizes in (((), [3]), ((1, 1, 1), [1, 2]), ((3, 3, 3), [3])):
        cut = replace(job, folds=Folds(pairs, n_rows, cuts=cuts))
        (result,) = run_task(cut, make_tasks([("a", Batches())], range(3), 0)[0], None)
        assert result.member.estimator.sizes_ == sizes
        assert result.oof.shape == (3, 3)
