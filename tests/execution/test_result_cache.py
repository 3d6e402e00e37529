"""What names a task's results, and that they come back as they were."""

import math
import shutil
import sys
from collections import Counter
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from projects import project_in
from sklearn import config_context
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import (
    Counted,
    CountedDraws,
    CountedTogether,
    Holds,
    HoldsStubborn,
    Noisy,
    Stubborn,
    Together,
    job_of,
)

import stackkit
from stackkit import ConvexClassifier, StackingModel, Store, cross_fit
from stackkit._execution.result_cache import is_kept, read_members, read_results, with_keys, write_results
from stackkit._execution.tasks import ALL_ROWS, Failure, Result, make_tasks
from stackkit._execution.worker import run_task
from stackkit._members.fitting import Member
from stackkit._store import origin as _origin
from stackkit._store.files import StoreProblem
from stackkit._store.imports import OurCode
from stackkit._store.store import open_store
from stackkit.exceptions import StoreWarning

KEY = "a secret that both sides know"
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2
BAYES = ("bayes", GaussianNB())


@pytest.fixture
def store_files(tmp_path):
    return open_store(Store(tmp_path / "store", key=KEY))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


def _fits(log):
    lines = log.read_text().splitlines()
    log.write_text("")
    return dict(Counter(lines))


def _keys(learners, X=X, y=Y, *, entropy=0, folds=range(3), **options):
    job = job_of(learners, X, y, **options)
    tasks, problems = with_keys(job, make_tasks(learners, folds, entropy))
    assert problems == []
    return {(task.name, *task.folds): task.key for task in tasks}


# --- names --------------------------------------------------------------------------------------------


def _elsewhere(array):
    changed = array.copy()
    changed[-1] = changed[-1] + 1
    return changed


def _keys_under(**settings):
    with config_context(**settings):
        return _keys([BAYES])


CHANGES = {
    "the learner's parameter": lambda: _keys([("bayes", GaussianNB(var_smoothing=1e-8))]),
    "the learner's class": lambda: _keys([("bayes", type("GaussianNB", (GaussianNB,), {})())]),
    "a parameter further down": lambda: _keys([("bayes", make_pipeline(StandardScaler(), GaussianNB()))]),
    "a value of X": lambda: _keys([BAYES], X=np.nextafter(X, 9)),
    "the sign of a zero": lambda: _keys([BAYES], X=X * -1.0),
    "the type of X": lambda: _keys([BAYES], X=X.astype(np.float32)),
    "what X is": lambda: _keys([BAYES], X=pd.DataFrame(X)),
    "a name of a column": lambda: _keys([BAYES], X=pd.DataFrame(X, columns=list("abd"))),
    "a value of y": lambda: _keys([BAYES], y=np.r_[1 - Y[0], Y[1:]]),
    "what the classes are called": lambda: _keys([BAYES], y=Y + 1),
    "one class more": lambda: _keys([BAYES], y=np.arange(60) % 3),
    "weights": lambda: _keys([BAYES], fit_params={"bayes": {"sample_weight": np.ones(60)}}),
    "other weights": lambda: _keys([BAYES], fit_params={"bayes": {"sample_weight": _elsewhere(np.ones(60))}}),
    "metadata of another name": lambda: _keys([BAYES], fit_params={"bayes": {"other": np.ones(60)}}),
    "the method": lambda: _keys([BAYES], method="predict"),
    "the folds": lambda: _keys([BAYES], cv=4),
    "a setting of scikit-learn": lambda: _keys_under(transform_output="pandas"),
    "another setting": lambda: _keys_under(assume_finite=True),
    "a number among the settings": lambda: _keys_under(working_memory=64),
}


def test_all_that_decides_a_result_is_in_its_name():
    reference = _keys([BAYES])
    named = _keys([BAYES], X=pd.DataFrame(X, columns=list("abc")))
    found = [*reference.values(), *named.values()]
    for what, change in CHANGES.items():
        keys = list(change().values())
        assert not set(keys) & set(found), what
        found += keys
    assert len(set(found)) == len(found)


def test_what_scikit_learn_prints_decides_nothing():
    assert _keys_under(display="text", print_changed_only=False) == _keys([BAYES])


@pytest.mark.parametrize("library", ["numpy", "scipy", "sklearn", "joblib", "pandas"])
def test_versions_count_whatever_the_learner(library, monkeypatch):
    before = _keys([BAYES])
    monkeypatch.setattr(sys.modules[library], "__version__", "0.0")
    assert set(_keys([BAYES]).values()).isdisjoint(before.values())


def test_the_version_of_python_counts(monkeypatch):
    before = _keys([BAYES])
    monkeypatch.setattr(_origin.platform, "python_version", lambda: "3.99.0")
    assert set(_keys([BAYES]).values()).isdisjoint(before.values())


@pytest.mark.parametrize("library", ["matplotlib", "click", "rich", "torch", "skorch", "xgboost-cpu", "cloudpickle"])
def test_versions_of_what_computes_nothing_do_not_count(library, tmp_path, monkeypatch):
    learners = [
        BAYES,
        ("blend", ConvexClassifier()),
        ("forest", make_pipeline(StandardScaler(), ExtraTreesClassifier())),
    ]
    with project_in(tmp_path / "project", monkeypatch) as project:
        before = _keys(learners)
        project.install(library, "999", source=None)
        assert metadata.version(library) == "999"
        assert _keys(learners) == before


@pytest.mark.parametrize(
    ("file", "new", "counts"),
    [
        ("_members/fitting.py", "_edited = 1\n", True),
        ("_members/predicting.py", '"""Edited."""\n# Edited.\n', False),
        ("nn/_packed_engine.py", "_edited = 1\n", False),
        ("report/report.py", "_edited = 1\n", False),
        ("plots/_drawing.py", "_edited = 1\n", False),
    ],
)
def test_the_code_that_fits_counts_whatever_the_learner(file, new, counts, tmp_path, monkeypatch):
    folder = shutil.copytree(Path(stackkit.__file__).parent, tmp_path / "copy")
    monkeypatch.setattr(_origin, "OUR_CODE", OurCode(folder))
    before = _keys([BAYES])
    with (folder / file).open("a", encoding="utf8") as source:
        source.write(new)
    assert _keys([BAYES]) == before  # the sources are those of the import
    monkeypatch.setattr(_origin, "OUR_CODE", OurCode(folder))
    assert (_keys([BAYES]) != before) is counts


def test_the_method_counts_where_the_columns_are_of_one_kind():
    labels = np.column_stack([Y, 1 - Y])
    learners = [("knn", KNeighborsClassifier())]
    keys = [_keys(learners, y=labels, method=method)["knn", 0] for method in ("predict", "predict_proba")]
    assert len(set(keys)) == 2


def test_folds_have_names_of_their_own_and_a_fit_on_all_rows_too():
    keys = _keys([BAYES], folds=[0, 1, 2, ALL_ROWS])
    assert len(set(keys.values())) == 4


def test_rows_name_a_fold_not_its_number():
    pairs = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    straight, turned = _keys([BAYES], cv=pairs, folds=range(2)), _keys([BAYES], cv=pairs[::-1], folds=range(2))
    assert straight["bayes", 0] == turned["bayes", 1]
    assert straight["bayes", 1] == turned["bayes", 0]
    fewer = _keys([BAYES], cv=[(np.arange(20, 59), np.arange(20)), pairs[1]], folds=range(2))
    assert fewer["bayes", 1] == straight["bayes", 1]
    assert fewer["bayes", 0] != straight["bayes", 0]


def test_the_seed_is_in_the_name_of_what_is_random_and_of_nothing_else():
    one, other = (_keys([("noisy", Noisy()), BAYES], entropy=entropy) for entropy in (1, 2))
    for fold in range(3):
        assert one["noisy", fold] != other["noisy", fold]
        assert one["bayes", fold] == other["bayes", fold]
    given_one, given_other = (_keys([("noisy", Noisy(random_state=5))], entropy=entropy) for entropy in (1, 2))
    assert given_one == given_other
    assert len(set(one.values()) | set(given_one.values())) == 9


def test_the_company_of_other_learners_and_the_place_in_the_list_decide_nothing():
    alone = _keys([BAYES])
    among = _keys([("first", Noisy()), ("second", Together()), BAYES, ("last", LogisticRegression())])
    renamed = _keys([("other", GaussianNB())])
    for fold in range(3):
        assert among["bayes", fold] == renamed["other", fold] == alone["bayes", fold]


def test_how_a_table_lies_in_memory_decides_nothing():
    names = list("abc")
    whole = pd.DataFrame(X, columns=names)
    by_column = pd.DataFrame({name: X[:, k].copy() for k, name in enumerate(names)})
    reference = _keys([BAYES], X=whole)
    assert _keys([BAYES], X=by_column) == reference
    assert _keys([BAYES], X=pd.concat([whole[["a"]], whole[["b", "c"]]], axis=1)) == reference
    assert _keys([BAYES], X=np.asfortranarray(X)) == _keys([BAYES], X=np.repeat(X, 2, axis=0)[::2]) == _keys([BAYES])


def test_folds_trained_at_once_are_named_together():
    keys = _keys([("together", Together(random_state=0))])
    assert list(keys) == [("together", 0, 1, 2)]
    fewer = _keys([("together", Together(random_state=0))], folds=range(2))
    assert keys["together", 0, 1, 2] != fewer["together", 0, 1]


def test_what_costs_nothing_to_fit_has_no_name():
    frozen = FrozenEstimator(GaussianNB().fit(X, Y))
    assert set(_keys([("frozen", frozen)]).values()) == {None}
    assert set(_keys([("pipe", make_pipeline(StandardScaler(), frozen))]).values()) == {None}


def test_what_has_no_identity_is_told_and_has_no_name():
    learners = [("holds", HoldsStubborn(Stubborn())), BAYES]
    job = job_of(learners, X, Y)
    tasks, problems = with_keys(job, make_tasks(learners, range(3), 0))
    assert [task.key is None for task in tasks] == [True, False] * 3
    assert len(problems) == 1
    assert "The learner 'holds' has no fingerprint" in problems[0]
    assert "'part'" in problems[0]


def test_data_without_identity_are_told_and_nothing_is_kept(tmp_path):
    frame = pd.DataFrame(X).assign(odd=[Stubborn()] * 60)

    class FirstColumn(GaussianNB):
        def fit(self, X, y):
            return super().fit(X[[0]], y)

        def predict_proba(self, X):
            return super().predict_proba(X[[0]])

    frame.columns = frame.columns.map(lambda name: 0 if name == 0 else str(name))
    with pytest.warns(StoreWarning, match="The data have no fingerprint: .*Stubborn") as caught:
        found = cross_fit([FirstColumn()], frame, Y, memory=tmp_path / "store")
    assert len(caught) == 1
    np.testing.assert_array_equal(found.train, cross_fit([FirstColumn()], frame, Y).train)


def test_new_rows_without_identity_are_no_error_either(tmp_path):
    frame = pd.DataFrame(X, columns=list("abc")).assign(odd="text")
    new = frame.assign(odd=[Stubborn()] * 60)

    class FirstColumn(GaussianNB):
        def fit(self, X, y):
            return super().fit(X[["a"]], y)

        def predict_proba(self, X):
            return super().predict_proba(X[["a"]])

    expected = cross_fit([FirstColumn()], frame, Y, X_test=new)
    with pytest.warns(StoreWarning, match="Stubborn"):
        found = cross_fit([FirstColumn()], frame, Y, X_test=new, memory=tmp_path / "store")
    np.testing.assert_array_equal(found.test, expected.test)


# --- keeping and reading ------------------------------------------------------------------------------


def _tasks(store_files, learners, *, folds=range(3), **options):
    job = job_of(learners, X, Y, store=store_files, test_print="77", **options)
    return job, with_keys(job, make_tasks(learners, folds, 0))[0]


NUMBERS = arrays(st.sampled_from([np.float64, np.float32]), array_shapes(min_dims=1, max_dims=3, min_side=0))
CODES = arrays(np.int64, st.tuples(st.integers(0, 4)))
SECONDS = st.floats(allow_nan=True)


def _same_bits(one, other):
    if one is None or other is None:
        return one is other
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@settings(max_examples=60, deadline=None)
@given(st.tuples(NUMBERS, st.none() | NUMBERS, CODES), st.tuples(SECONDS, SECONDS), st.booleans(), st.booleans())
def test_what_is_kept_comes_back_bit_for_bit(tmp_path_factory, given_arrays, times, keeps, models):
    oof, new, codes = given_arrays
    store_files = open_store(Store(tmp_path_factory.getbasetemp() / "kept", key=KEY, store_models=models))
    job, (task,) = _tasks(store_files, [BAYES], folds=[1], keep_members=keeps, X_test=None if new is None else X)
    estimator = {"weights": oof} if keeps else None
    kept = write_results(
        store_files, job, task, Result("bayes", 1, Member(estimator, codes, codes), oof, new, *times, peak_bytes=5)
    )
    assert kept.problems == ()
    assert kept.in_store is (models and keeps)
    assert is_kept(store_files, job, task)
    (found,) = read_results(store_files, job, task)
    assert _same_bits(found.oof, oof)
    assert _same_bits(found.new, new)
    assert _same_bits(found.member.labels, codes)
    assert _same_bits(found.member.codes, codes)
    for one, other in zip(times, (found.fit_seconds, found.predict_seconds), strict=True):
        assert one == other or (math.isnan(one) and math.isnan(other))
    assert (found.name, found.fold, found.failure) == ("bayes", 1, None)
    if models and keeps:
        assert _same_bits(found.member.estimator["weights"], oof)
    else:
        assert found.member.estimator is None


def test_a_refitted_model_comes_back_without_predictions(store_files):
    job, (task,) = _tasks(store_files, [BAYES], folds=[ALL_ROWS], keep_members=False)
    (first,) = run_task(job, task, None)
    (found,) = read_results(store_files, job, task)
    assert found.oof is None
    np.testing.assert_array_equal(found.member.estimator.theta_, first.member.estimator.theta_)


def test_without_its_model_a_refit_is_not_kept(tmp_path):
    """The model is all that it gives."""
    store_files = open_store(Store(tmp_path / "store", key=KEY, store_models=False))
    job, (task,) = _tasks(store_files, [BAYES], folds=[ALL_ROWS])
    run_task(job, task, None)
    assert not is_kept(store_files, job, task)


def test_each_fold_of_a_batch_comes_back_as_its_own(store_files):
    job, (task,) = _tasks(store_files, [("together", Together())], X_test=X[:5])
    results = run_task(job, task, None)
    assert is_kept(store_files, job, task)
    found = read_results(store_files, job, task)
    assert [result.fold for result in found] == [0, 1, 2]
    for one, other in zip(results, found, strict=True):
        np.testing.assert_array_equal(one.oof, other.oof)
        np.testing.assert_array_equal(one.new, other.new)
        np.testing.assert_array_equal(one.member.estimator.means_, other.member.estimator.means_)


@pytest.mark.parametrize("suffix", ["table", "model", "new-*"])
def test_a_missing_part_means_that_nothing_is_there(store_files, suffix):
    job, (task,) = _tasks(store_files, [BAYES], folds=[0], X_test=X[:5])
    run_task(job, task, None)
    assert is_kept(store_files, job, task)
    for path in store_files.folder.rglob(f"*.{suffix}"):
        path.unlink()
    assert not is_kept(store_files, job, task)
    assert read_results(store_files, job, task) is None


def test_failures_are_not_kept(store_files):
    job, (task,) = _tasks(store_files, [BAYES], folds=[0])
    failed = Result("bayes", 0, failure=Failure("fit", "boom"))
    assert write_results(store_files, job, task, failed) is failed
    assert not list(store_files.folder.rglob("*.*"))


def test_a_learner_without_name_is_not_kept(store_files):
    learners = [("frozen", FrozenEstimator(GaussianNB().fit(X, Y)))]
    job, (task,) = _tasks(store_files, learners, folds=[0])
    (result,) = run_task(job, task, None)
    assert result.failure is None
    assert not is_kept(store_files, job, task)
    assert not list(store_files.folder.rglob("*.*"))


def test_what_cannot_be_pickled_is_noted_and_good_all_the_same(store_files):
    job, (task,) = _tasks(store_files, [("holds", Holds())], folds=[0])
    (result,) = run_task(job, task, None)
    assert result.failure is None
    assert result.member.estimator.lock_
    assert not result.in_store
    assert len(result.problems) == 1
    assert "The fitted learner 'holds' cannot be pickled" in result.problems[0]
    assert not is_kept(store_files, job, task)


def test_a_model_that_cannot_be_unpickled_is_a_problem_and_fitted_again(store_files, log):
    job, (task,) = _tasks(store_files, [("counted", Counted(log))], folds=[0])
    (first,) = run_task(job, task, None)
    (path,) = store_files.folder.rglob("*.model")
    store_files.write(path.name, b"no pickle")  # under a good seal
    with pytest.raises(StoreProblem, match="cannot be unpickled"):
        read_results(store_files, job, task)
    members, problems = read_members(store_files, task)
    assert members is None
    assert len(problems) == 1
    _fits(log)
    (again,) = run_task(job, task, None)
    assert _fits(log) == {"fit": 1}
    assert "cannot be unpickled" in again.problems[0]
    np.testing.assert_array_equal(again.oof, first.oof)
    assert read_results(store_files, job, task) is not None


# --- models without tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Counted, CountedDraws, CountedTogether])
def test_a_model_alone_predicts_again_without_being_fitted(store_files, log, kind):
    job, tasks = _tasks(store_files, [("counted", kind(log))], X_test=X[:9])
    before = [result for task in tasks for result in run_task(job, task, None)]
    assert _fits(log)
    for path in [*store_files.folder.rglob("*.table"), *store_files.folder.rglob("*.new-*")]:
        path.unlink()
    after = [result for task in tasks for result in run_task(job, task, None)]
    assert _fits(log) == {}
    for one, other in zip(before, after, strict=True):
        assert one.oof.tobytes() == other.oof.tobytes()
        assert one.new.tobytes() == other.new.tobytes()
        assert one.fit_seconds == other.fit_seconds  # what it took when it was fitted
    assert all(is_kept(store_files, job, task) for task in tasks)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_new_rows_asked_for_later_cost_no_fit(tmp_path, log, n_jobs):
    learners = [("counted", Counted(log)), ("together", CountedTogether(log))]
    options = {"cv": 4, "n_jobs": n_jobs, "memory": tmp_path / "store"}
    first = cross_fit(learners, X, Y, **options)
    assert _fits(log) == {"fit": 4, "fit together": 1}
    second = cross_fit(learners, X, Y, X_test=X[:7] + 1, **options)
    third = cross_fit(learners, X, Y, X_test=X[:8] - 1, **options)
    assert _fits(log) == {}
    assert first.train.tobytes() == second.train.tobytes() == third.train.tobytes()
    for found, new in ((second, X[:7] + 1), (third, X[:8] - 1)):
        expected = cross_fit(learners, X, Y, X_test=new, cv=4)
        assert found.test.tobytes() == expected.test.tobytes()


# --- tables without models ----------------------------------------------------------------------------


def test_a_store_without_models_gives_a_table_without_members(tmp_path, log):
    memory = Store(tmp_path / "store", store_models=False)
    learners = [("counted", Counted(log)), ("together", CountedTogether(log))]
    plain = cross_fit(learners, X, Y, X_test=X[:5], cv=4)
    _fits(log)
    for fits in ({"fit": 4, "fit together": 1}, {}):
        found = cross_fit(learners, X, Y, X_test=X[:5], cv=4, memory=memory)
        assert _fits(log) == fits
        assert found.members == {"counted": [], "together": []}
        assert found.train.tobytes() == plain.train.tobytes()
        assert found.test.tobytes() == plain.test.tobytes()
    assert memory.info().n_models == 0
    assert memory.info().n_tables == 16


@pytest.mark.parametrize("final", [None, LogisticRegression()])
@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_stack_whose_store_has_no_models_predicts_the_same(tmp_path, log, final, refit, n_jobs):
    memory = Store(tmp_path / "store", store_models=False)
    learners = [("draws", CountedDraws(log)), ("together", CountedTogether(log))]
    options = {"cv": 4, "refit": refit, "random_state": 0, "n_jobs": n_jobs}
    plain = StackingModel(learners, final, **options).fit(X, Y)
    expected = plain.predict_proba(X).tobytes()
    for _ in range(3):
        model = StackingModel(learners, final, memory=memory, **options).fit(X, Y)
        assert model.predict_proba(X).tobytes() == expected
        assert model.oof_.train.tobytes() == plain.oof_.train.tobytes()
        assert {k: len(v) for k, v in model.members_.items()} == {k: len(v) for k, v in plain.members_.items()}
        assert all(member is not None for members in model.members_.values() for member in members)
    assert memory.info().n_models == 0


def test_a_stack_fits_again_only_what_predicts(tmp_path, log):
    memory = Store(tmp_path / "store", store_models=False)
    model = StackingModel([("counted", Counted(log))], LogisticRegression(), cv=4, memory=memory)
    model.fit(X, Y)
    assert _fits(log) == {"fit": 4}
    model.fit(X, Y)
    assert _fits(log) == {"fit": 4}  # the table was kept, the models were not
    model.set_params(memory=replace(memory, store_models=True)).fit(X, Y)
    assert _fits(log) == {"fit": 4}
    model.fit(X, Y)
    assert _fits(log) == {}
