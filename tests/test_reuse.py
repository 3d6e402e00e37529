"""Nothing is done twice: how many fits a stack with a store makes, and that its results are the same bits."""

import os
import re
import warnings
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from projects import project_in
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import Counted, CountedDraws, CountedNumbers, CountedTogether, Holds, HoldsStubborn, Stubborn

from stackkit import LogPoolClassifier, StackingModel, Store, cross_fit
from stackkit.exceptions import LearnerDroppedWarning, StoreWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
NEW = RNG.normal(size=(7, 3))
K = 4


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


class Log:
    """What was fitted since the last look."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def __fspath__(self):
        return str(self.path)

    def fits(self):
        lines = self.path.read_text().splitlines()
        self.path.write_text("")
        return dict(Counter(lines))


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "log")


def _learners(log):
    """Three that differ, one of them random, one that trains all folds at once."""
    path = str(log.path)
    return [
        ("plain", Counted(path, "plain")),
        ("draws", CountedDraws(path, "draws")),
        ("batch", CountedTogether(path, "batch")),
    ]


COLD = {"plain": K, "draws": K, "batch together": 1}


def _stack(log, store, final=None, **options):
    options = {"cv": K, "random_state": 0, "memory": store} | options
    return StackingModel(_learners(log), final, **options)


def _bits(model):
    return model.oof_.train.tobytes() + model.predict_proba(NEW).tobytes()


# --- the same stack again -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_second_time_nothing_is_fitted_and_the_bits_are_the_same(log, store, n_jobs):
    plain = _bits(_stack(log, None).fit(X, Y))
    assert log.fits() == COLD
    assert _bits(_stack(log, store, n_jobs=n_jobs).fit(X, Y)) == plain
    assert log.fits() == COLD
    for again in (1, 2):
        assert _bits(_stack(log, store, n_jobs=again).fit(X, Y)) == plain
    assert log.fits() == {}


def test_threads_share_the_store_with_processes(log, store):
    plain = _bits(_stack(log, None).fit(X, Y))
    log.fits()
    with joblib.parallel_config(backend="threading"):
        assert _bits(_stack(log, store, n_jobs=2).fit(X, Y)) == plain
    assert log.fits() == COLD
    assert _bits(_stack(log, store, n_jobs=2).fit(X, Y)) == plain
    assert log.fits() == {}


def test_scores_and_times_are_those_of_the_first_fit(log, store):
    first, second = (_stack(log, store).fit(X, Y) for _ in range(2))
    pd.testing.assert_frame_equal(first.oof_.scores, second.oof_.scores)
    pd.testing.assert_frame_equal(first.leaderboard(), second.leaderboard())


def test_cross_fit_and_a_stack_share(log, store):
    cross_fit(_learners(log), X, Y, cv=K, random_state=0, memory=store)
    assert log.fits() == COLD
    _stack(log, store).fit(X, Y)
    assert log.fits() == {}


def test_other_data_are_fitted_and_the_first_are_still_there(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    other = X.copy()
    other[0, 0] += 1e-9
    _stack(log, store).fit(other, Y)
    assert log.fits() == COLD
    _stack(log, store).fit(X, 1 - Y)
    assert log.fits() == COLD
    _stack(log, store).fit(X, Y)
    assert log.fits() == {}


def test_without_a_seed_a_store_means_zero(log, store):
    zero = _bits(_stack(log, None, random_state=0).fit(X, Y))
    log.fits()
    for fits in (COLD, {}):
        assert _bits(_stack(log, store, random_state=None).fit(X, Y)) == zero
        assert log.fits() == fits


def test_another_seed_is_another_fit_of_what_is_random(log, store):
    one = _bits(_stack(log, store, random_state=0).fit(X, Y))
    log.fits()
    other = _bits(_stack(log, store, random_state=1).fit(X, Y))
    assert log.fits() == {"draws": K}
    assert one != other


def test_a_splitter_that_shuffles_is_seeded_too(log, store):
    cv = StratifiedKFold(K, shuffle=True)
    one = _bits(_stack(log, store, cv=cv, random_state=None).fit(X, Y))
    log.fits()
    assert _bits(_stack(log, store, cv=cv, random_state=None).fit(X, Y)) == one
    assert log.fits() == {}


# --- a stack that was changed -------------------------------------------------------------------------


def test_a_learner_more_costs_its_own_fits(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    more = ("more", Counted(str(log.path), "more"))
    model = StackingModel([more, *_learners(log)], cv=K, random_state=0, memory=store).fit(X, Y)
    assert log.fits() == {"more": K}
    plain = StackingModel([more, *_learners(log)], cv=K, random_state=0).fit(X, Y)
    assert _bits(model) == _bits(plain)


def test_a_learner_less_costs_nothing(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    model = _stack(log, store).set_params(draws="drop").fit(X, Y)
    assert log.fits() == {}
    assert list(model.members_) == ["plain", "batch"]


def test_learners_may_change_places_and_what_is_not_random_its_name(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    turned = _stack(log, store).set_params(estimators=_learners(log)[::-1]).fit(X, Y)
    assert log.fits() == {}
    renamed = [("renamed", learner) if name == "plain" else (name, learner) for name, learner in _learners(log)]
    StackingModel(renamed, cv=K, random_state=0, memory=store).fit(X, Y)
    assert log.fits() == {}
    assert turned.oof_.columns == ["batch", "draws", "plain"]


def test_a_parameter_of_one_learner_costs_its_fits_alone(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    _stack(log, store).set_params(plain__scale=2.0).fit(X, Y)
    assert log.fits() == {"plain": K}
    _stack(log, store).set_params(batch__scale=2.0).fit(X, Y)
    assert log.fits() == {"batch together": 1}
    _stack(log, store).fit(X, Y)
    assert log.fits() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"final_estimator": LogPoolClassifier()},
        {"final_estimator": LogisticRegression(C=3)},
        {"final_estimator": LogisticRegression(), "passthrough": True},
        {"final_estimator": LogisticRegression(), "passthrough": [0]},
        {"verbose": True},
        {"n_jobs": 2},
        {"on_error": "drop"},
        {"time_limit": 1000},
        {"task_timeout": 1000},
        {"max_memory": "100 GB", "n_jobs": 2},
    ],
    ids=str,
)
def test_what_does_not_concern_the_learners_costs_nothing(log, store, change):
    _stack(log, store, LogisticRegression()).fit(X, Y)
    log.fits()
    model = _stack(log, store, LogisticRegression()).set_params(**change).fit(X, Y)
    assert log.fits() == {}
    change = {name: value for name, value in change.items() if name in ("final_estimator", "passthrough")}
    assert _bits(model) == _bits(_stack(log, None, LogisticRegression()).set_params(**change).fit(X, Y))


@pytest.mark.parametrize("final", [None, LogisticRegression()])
def test_refit_costs_a_fit_each_and_going_back_nothing(log, store, final):
    before = _bits(_stack(log, store, final).fit(X, Y))
    log.fits()
    refitted = _stack(log, store, final, refit=True).fit(X, Y)
    once_more = log.fits()
    useful = {"plain", "draws", "batch"}
    if final is None:  # what a blend gives no weight is not refitted
        weights = dict(zip(refitted.members_, refitted.final_estimator_.weights_, strict=True))
        useful = {name for name in weights if weights[name]}
    assert once_more == dict.fromkeys(useful, 1)
    assert _bits(refitted) == _bits(_stack(log, None, final, refit=True).fit(X, Y))
    log.fits()
    again = _stack(log, store, final, refit=True).fit(X, Y)
    assert log.fits() == {}
    assert _bits(again) == _bits(refitted)
    assert _bits(_stack(log, store, final).fit(X, Y)) == before
    assert log.fits() == {}


def test_after_a_refit_the_fold_models_need_no_fit_where_they_were_kept(log, store):
    """With refit and no blend the fold models are thrown away: only their tables are in the store."""
    _stack(log, store, LogisticRegression(), refit=True).fit(X, Y)
    log.fits()
    model = _stack(log, store, LogisticRegression()).fit(X, Y)
    assert log.fits() == COLD  # their models are needed now
    assert _bits(model) == _bits(_stack(log, None, LogisticRegression()).fit(X, Y))


def test_folds_that_stay_are_not_fitted_again(log, store):
    pairs = list(KFold(4).split(X))
    learners = [("plain", Counted(str(log.path), "plain"))]
    cross_fit(learners, X, Y, cv=pairs[:3], memory=store)
    assert log.fits() == {"plain": 3}
    cross_fit(learners, X, Y, cv=pairs, memory=store)
    assert log.fits() == {"plain": 1}


def test_weights_are_part_of_it(log, store):
    weights = RNG.uniform(size=60)
    learners = [("plain", Counted(str(log.path), "plain"))]
    for fits, given in (({"plain": K}, None), ({"plain": K}, weights), ({}, weights), ({}, None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = cross_fit(learners, X, Y, cv=K, sample_weight=given, memory=store)
            assert log.fits() == fits
            expected = cross_fit(learners, X, Y, cv=K, sample_weight=given)
        np.testing.assert_array_equal(found.train, expected.train)
        log.fits()


# --- searches and outer folds -------------------------------------------------------------------------


def test_candidates_of_a_search_share_their_base_fits(log, store):
    grid = {"final_estimator__C": [0.1, 1.0, 10.0], "passthrough": [False, True]}
    search = GridSearchCV(_stack(log, store, LogisticRegression()), grid, cv=3)
    search.fit(X, Y)
    # Three outer folds and the refit on all rows, however many candidates there are.
    assert log.fits() == {"plain": 4 * K, "draws": 4 * K, "batch together": 4}
    again = clone(search).fit(X, Y)
    assert log.fits() == {}
    np.testing.assert_array_equal(again.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])
    without = GridSearchCV(_stack(log, None, LogisticRegression()), grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(without.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])
    assert without.predict_proba(NEW).tobytes() == search.predict_proba(NEW).tobytes()


def test_candidates_that_run_side_by_side_share_too(log, store):
    grid = {"final_estimator__C": [0.1, 1.0, 10.0]}
    search = GridSearchCV(_stack(log, store, LogisticRegression()), grid, cv=2, n_jobs=2, refit=False)
    search.fit(X, Y)
    assert log.fits() == {"plain": 2 * K, "draws": 2 * K, "batch together": 2}


def test_an_outer_cross_validation_run_twice_costs_nothing(log, store):
    first = cross_validate(_stack(log, store), X, Y, cv=3, scoring="neg_log_loss")
    assert log.fits() == {"plain": 3 * K, "draws": 3 * K, "batch together": 3}
    second = cross_validate(_stack(log, store), X, Y, cv=3, scoring="neg_log_loss")
    assert log.fits() == {}
    np.testing.assert_array_equal(first["test_score"], second["test_score"])


# --- learners of all kinds ----------------------------------------------------------------------------


def test_a_stack_as_a_learner_of_a_stack(log, store):
    inner = StackingModel([("plain", Counted(str(log.path), "inner"))], LogisticRegression(), cv=2)
    outer = StackingModel([("inner", inner), ("bayes", GaussianNB())], cv=3, random_state=0)
    plain = _bits(clone(outer).fit(X, Y))
    assert log.fits() == {"inner": 6}
    for fits in ({"inner": 6}, {}):
        assert _bits(clone(outer).set_params(memory=store).fit(X, Y)) == plain
        assert log.fits() == fits
    # With a store of its own the inner one shares its fits with any other stack.
    both = clone(outer).set_params(memory=store, inner__memory=store)
    assert _bits(both.fit(X, Y)) == plain
    log.fits()
    assert _bits(clone(both).set_params(inner__final_estimator=LogisticRegression(C=2)).fit(X, Y)) != plain
    assert log.fits() == {}


@pytest.mark.slow
def test_networks_that_train_all_folds_at_once(store):
    from stackkit.nn import BNMLPClassifier

    def stack(memory=None, **options):
        net = make_pipeline(StandardScaler(), BNMLPClassifier(hidden_layer_sizes=(4,), n_members=1, max_epochs=2))
        return StackingModel([("net", net), ("bayes", GaussianNB())], cv=3, random_state=0, memory=memory, **options)

    plain = _bits(stack().fit(X, Y))
    for n_jobs in (2, 1):
        assert _bits(stack(store, n_jobs=n_jobs).fit(X, Y)) == plain
    assert Store(store).info().n_entries == 4  # the net's folds are one entry


def test_regression_too(log, store):
    learners = [("numbers", CountedNumbers(str(log.path)))]
    found = [cross_fit(learners, X, X[:, 1], X_test=NEW, cv=K, memory=store) for _ in range(2)]
    assert log.fits() == {"fit": K}
    assert found[0].train.tobytes() == found[1].train.tobytes()
    assert found[0].test.tobytes() == found[1].test.tobytes()


def test_labels_of_any_kind_come_back(log, store):
    labels = np.array(["no", "yes"])[Y]
    first, second = (_stack(log, store).fit(X, labels) for _ in range(2))
    assert log.fits() == COLD
    np.testing.assert_array_equal(first.predict(NEW), second.predict(NEW))
    assert set(second.predict(NEW)) <= {"no", "yes"}


def test_a_frame_built_anew_with_other_blocks_is_the_same(log, store):
    class Numbers(Counted):
        """Takes frames."""

    names = list("abc")
    learners = [("plain", Numbers(str(log.path), "plain"))]
    frame = pd.DataFrame(X, columns=names)
    cross_fit(learners, frame, Y, cv=K, memory=store)
    assert log.fits() == {"plain": K}
    for same in (
        pd.DataFrame({name: X[:, k].copy() for k, name in enumerate(names)}),
        pd.concat([frame[["a", "b"]], frame[["c"]]], axis=1),
        frame.copy(),
        pd.DataFrame(np.asfortranarray(X), columns=names),
    ):
        cross_fit(learners, same, Y, cv=K, memory=store)
    assert log.fits() == {}
    cross_fit(learners, frame.rename(columns={"c": "d"}), Y, cv=K, memory=store)
    assert log.fits() == {"plain": K}


def test_a_mended_class_is_fitted_again(log, store):
    """Two classes of one name whose code differs are two learners."""

    def defined(factor):
        class Mine(Counted):
            def predict_proba(self, X):
                p = super().predict_proba(X) ** factor
                return p / p.sum(axis=1, keepdims=True)

        return Mine(str(log.path), "mine")

    one, other = (cross_fit([("mine", defined(factor))], X, Y, cv=K, memory=store) for factor in (1, 2))
    assert log.fits() == {"mine": 2 * K}
    assert not np.array_equal(one.train, other.train)
    cross_fit([("mine", defined(1))], X, Y, cv=K, memory=store)
    assert log.fits() == {}


MINE = """
from sklearn.naive_bayes import GaussianNB
{}
class Mine(GaussianNB):
    def predict_proba(self, X):
        {}
        return f(super().predict_proba(X))
"""
POWER = "def f(p): return p ** {0} / (p ** {0}).sum(axis=1, keepdims=True)"


@pytest.mark.parametrize(
    ("above", "inside"),
    [
        ("", "from helper import f"),
        ("", "import pkg.near; f = pkg.near.far.f"),
        ("import chain", "f = chain.pkg.near.far.f"),
        ("import chain", "f = vars(chain.pkg.near)['f' + 'ar'].f"),
        ("from importlib import import_module", "f = import_module('helper').f"),
        ("", "import library; f = library.f"),
    ],
)
def test_an_edited_helper_is_no_old_result(store, tmp_path, monkeypatch, above, inside):
    with project_in(tmp_path / "project", monkeypatch) as project:

        def fitted(n, memory=None):
            power = POWER.format(n)
            project.write(mine=MINE.format(above, inside), pkg____init__="", pkg__near="from pkg import far")
            project.write(helper=power, pkg__far=power, chain="import pkg.near")
            project.install("library", f"{n}.0", source=power)
            return cross_fit([("mine", project.load("mine").Mine())], X, Y, cv=K, memory=memory).train.tobytes()

        first, second = fitted(1), fitted(2)
        assert first != second
        for n, expected in ((1, first), (2, second), (1, first), (2, second)):
            assert fitted(n, store) == expected
        assert Store(store).info().n_entries == 2 * K


@pytest.mark.slow
def test_waiting_workers_do_not_compute_with_code_that_was_edited(store, tmp_path, monkeypatch):
    """They stay for the next fit, with the modules that they have loaded."""
    with project_in(tmp_path / "project", monkeypatch) as project:

        def fitted(n, n_jobs):
            project.write(mine=MINE.format("import helper", "f = helper.f"), helper=POWER.format(n))
            learners = [("mine", project.load("mine").Mine())]
            # With a store: that its keys have changed must not hide that the workers are those of before.
            memory = store if n_jobs > 1 else None
            return cross_fit(learners, X, Y, cv=K, n_jobs=n_jobs, memory=memory).train.tobytes()

        alone = [fitted(n, 1) for n in (1, 2, 1)]
        assert [fitted(n, 2) for n in (1, 2, 1)] == alone


@pytest.mark.slow
def test_waiting_workers_do_not_compute_with_code_that_was_edited_while_they_were_busy(tmp_path, monkeypatch):
    helper = tmp_path / "project" / "helper.py"

    class Edits(GaussianNB):
        def fit(self, X, y):
            helper.write_text(POWER.format("2.0"))  # of another length: Python tells a stale .pyc by it and by seconds
            return super().fit(X, y)

    with project_in(tmp_path / "project", monkeypatch) as project:

        def fitted(n_jobs, *others):
            learners = [("mine", project.load("mine").Mine()), *others]
            return cross_fit(learners, X, Y, cv=K, n_jobs=n_jobs).train.tobytes()

        project.write(mine=MINE.format("import helper", "f = helper.f"), helper=POWER.format(1))
        first = fitted(2)
        fitted(2, ("edits", Edits()))
        second = fitted(2)
        assert second == fitted(1) != first


@pytest.mark.slow
def test_waiting_workers_do_not_take_a_module_for_another_of_its_name(tmp_path, monkeypatch):
    def fitted(n, n_jobs):
        with project_in(tmp_path / f"{n}-{n_jobs}", monkeypatch) as project:
            project.write(mine=MINE.format("import helper", "f = helper.f"), helper=POWER.format(n))
            learners = [("mine", project.load("mine").Mine())]
            return cross_fit(learners, X, Y, cv=K, n_jobs=n_jobs).train.tobytes()

    assert [fitted(n, 2) for n in (1, 2)] == [fitted(n, 1) for n in (1, 2)]


def test_what_scikit_learn_is_set_to_is_no_old_result(store):
    class Looks(GaussianNB):
        """Takes the first column of a frame alone."""

        def fit(self, X, y):
            return super().fit(self._seen(X), y)

        def predict_proba(self, X):
            return super().predict_proba(self._seen(X))

        @staticmethod
        def _seen(X):
            return X.iloc[:, :1].to_numpy() if hasattr(X, "iloc") else X

    def fitted(output, memory=None):
        with config_context(transform_output=output):
            learner = make_pipeline(StandardScaler(), Looks())
            return cross_fit([("looks", learner)], X, Y, cv=K, memory=memory).train.tobytes()

    outputs = ("default", "pandas", "default", "pandas")
    assert fitted("default") != fitted("pandas")
    assert [fitted(output, store) for output in outputs] == [fitted(output) for output in outputs]
    assert Store(store).info().n_entries == 2 * K


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_failed_is_tried_again_and_what_did_not_is_kept(log, store, n_jobs, tmp_path):
    flag = tmp_path / "mended"

    class Fails(GaussianNB):
        def fit(self, X, y):
            if not Path(flag).exists():
                raise RuntimeError("boom")
            return super().fit(X, y)

    learners = [*_learners(log), ("fails", Fails())]
    options = {"cv": K, "random_state": 0, "memory": store, "n_jobs": n_jobs, "on_error": "drop"}
    with pytest.warns(LearnerDroppedWarning, match="boom"):
        cross_fit(learners, X, Y, **options)
    assert log.fits() == COLD
    flag.touch()
    assert cross_fit(learners, X, Y, **options).columns[-1] == "fails"
    assert log.fits() == {}


# --- the parameter ------------------------------------------------------------------------------------


def test_memory_may_be_text_a_path_or_a_store(log, store, monkeypatch):
    monkeypatch.chdir(store.parent)
    for memory in (str(store), store, Store(store), Store(str(store)), "store", Store(Path("store"))):
        _stack(log, memory).fit(X, Y)
    assert log.fits() == COLD


def test_clones_and_pickles_keep_the_memory(log, store):
    for memory in (str(store), store, Store(store, size_limit="1 GB")):
        model = _stack(log, memory)
        assert clone(model).get_params()["memory"] == memory
        clone(model).fit(X, Y)
    assert log.fits() == COLD


@pytest.mark.parametrize("memory", [5, True, joblib.Memory, ["store"], b"store"])
def test_another_kind_of_memory_is_refused_and_the_cure_is_told(log, memory, tmp_path):
    cure = "memory='a/"
    if memory is joblib.Memory:
        memory, cure = memory(tmp_path, verbose=0), f"memory='{tmp_path}"
    with pytest.raises(
        TypeError, match=f"The 'memory' parameter must be a folder, a Store or None; .*{re.escape(cure)}"
    ):
        _stack(log, memory).fit(X, Y)
    assert log.fits() == {}


@pytest.mark.parametrize("memory", ["", Store("a", size_limit="much"), Store("a", key="short")])
def test_settings_of_the_store_are_looked_at_before_anything_is_fitted(log, memory):
    with pytest.raises(ValueError, match="parameter of a Store must"):
        _stack(log, memory).fit(X, Y)
    assert log.fits() == {}


def _fit_with_one_warning(model, match):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y)
    found = [str(w.message) for w in caught if issubclass(w.category, StoreWarning)]
    assert len(found) == 1
    assert re.search(match, found[0])
    return model


def test_a_bad_key_file_is_one_warning_and_the_fit_works(log, store, tmp_path):
    key_file = tmp_path / "my.key"
    key_file.write_text("no key")
    key_file.chmod(0o600)
    model = _fit_with_one_warning(_stack(log, Store(store, key_file=key_file)), "The store is not used: .*is damaged")
    assert log.fits() == COLD
    assert _bits(model) == _bits(_stack(log, None).fit(X, Y))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_folder_that_cannot_be_written_to_is_one_warning_and_the_fit_works(log, tmp_path, n_jobs):
    """A file stands where a folder would have to be made: as good as read-only, even for root."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "stackkit-1").touch()
    model = _stack(log, tmp_path / "store", n_jobs=n_jobs)
    _fit_with_one_warning(model, "could not be written.* So it went 12 times")
    assert log.fits() == COLD
    assert _bits(model) == _bits(_stack(log, None).fit(X, Y))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read(log, store):
    _stack(log, store).fit(X, Y)
    log.fits()
    for folder in [*(path for path in store.rglob("*") if path.is_dir()), store]:
        folder.chmod(0o500)
    _stack(log, store).fit(X, Y)
    assert log.fits() == {}


def test_a_key_of_somebody_else_s_reads_nothing_and_says_so_once(log, store):
    one, other = (Store(store, key=f"a secret of number {k}") for k in "12")
    before = _bits(_stack(log, one).fit(X, Y))
    log.fits()
    model = _fit_with_one_warning(_stack(log, other), "damaged, or was not written with this store's key")
    assert log.fits() == COLD
    assert _bits(model) == before


def test_a_learner_that_cannot_be_pickled_is_one_warning_and_the_others_are_kept(log, store):
    learners = [*_learners(log), ("holds", Holds())]
    model = StackingModel(learners, cv=K, random_state=0, memory=store)
    _fit_with_one_warning(model, "The fitted learner 'holds' cannot be pickled")
    log.fits()
    _fit_with_one_warning(model, "The fitted learner 'holds' cannot be pickled")
    assert log.fits() == {}


def test_a_learner_without_identity_is_one_warning_and_the_others_are_kept(log, store):
    learners = [*_learners(log), ("holds", HoldsStubborn(Stubborn()))]
    model = StackingModel(learners, cv=K, random_state=0, memory=store)
    for fits in (COLD, {}):
        _fit_with_one_warning(model, "The learner 'holds' has no fingerprint.*'part'")
        assert log.fits() == fits


def test_a_store_that_is_too_small_forgets_but_does_no_harm(log, store):
    plain = _bits(_stack(log, None).fit(X, Y))
    for _ in range(2):
        assert _bits(_stack(log, Store(store, size_limit=3000)).fit(X, Y)) == plain
    assert Store(store).info().size <= 3000


def test_the_store_belongs_to_its_owner_alone(log, store):
    _stack(log, store).fit(X, Y)
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in [store, *store.rglob("*")]} == {0}
