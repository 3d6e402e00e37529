"""What holds for any data and settings: hypothesis looks for a case where it does not."""

import pickle
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from spies import Fails, Gives, Scribbles, Together, Troubled, with_row_ids

from stackkit import StackingModel
from stackkit._store.store import Store
from stackkit.exceptions import LearnerFailedError

N_ROWS, N_FOLDS = 40, 4
RNG = np.random.default_rng(0)
X = with_row_ids(RNG.normal(size=(N_ROWS, 3)))
Y = (X[:, 1] + RNG.normal(size=N_ROWS) > 0).astype(int)
NEW = with_row_ids(RNG.normal(size=(15, 3)))
LEARNERS = [
    ("bayes", GaussianNB()),
    ("random", ExtraTreeClassifier(max_depth=3)),
    ("together", Together()),
    ("nearest", KNeighborsClassifier(3)),
    ("tree", DecisionTreeClassifier(max_depth=3)),
]


def stack(learners, final=None, **options):
    return StackingModel(
        learners, final or LogisticRegression(), **({"cv": KFold(N_FOLDS), "random_state": 0} | options)
    )


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(N_ROWS)), st.booleans())
def test_permuted_rows_permute_the_table_and_leave_predictions_alone(order, refit):
    pairs = list(KFold(N_FOLDS).split(X))
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in pairs]
    learners = [("bayes", GaussianNB()), ("together", Together())]
    straight = stack(learners, GaussianNB(), cv=pairs, refit=refit).fit(X, Y)
    permuted = stack(learners, GaussianNB(), cv=moved, refit=refit).fit(X[order], Y[order])
    assert_allclose(permuted.oof_.train, straight.oof_.train[order], rtol=1e-7, atol=1e-12)
    assert_allclose(permuted.predict_proba(NEW), straight.predict_proba(NEW), rtol=1e-6, atol=1e-10)


FAULTS = {
    "in all folds": Fails(without_row=-1),
    "in one fold": Fails(without_row=15),
    "in predicting": Gives((np.nan, 1)),
}


@pytest.mark.filterwarnings("ignore::stackkit.exceptions.LearnerDroppedWarning")
@settings(max_examples=30, deadline=None)
@given(st.permutations([*LEARNERS, *FAULTS.items()]), st.sets(st.sampled_from([*dict(LEARNERS), *FAULTS]), min_size=1))
def test_the_stack_with_dropped_learners_is_the_one_without_them(learners, chosen):
    chosen = [(name, learner) for name, learner in learners if name in chosen]
    good = [(name, learner) for name, learner in chosen if name not in FAULTS]
    if not good:
        with pytest.raises(LearnerFailedError, match="No learner is left"):
            stack(chosen, on_error="drop").fit(X, Y)
        return
    dropped, without = stack(chosen, on_error="drop").fit(X, Y), stack(good).fit(X, Y)
    assert_array_equal(dropped.oof_.train, without.oof_.train)
    assert_array_equal(dropped.predict_proba(NEW), without.predict_proba(NEW))
    assert dropped.oof_.columns == without.oof_.columns
    assert set(dropped.failures_["learner"]) == {name for name, _ in chosen} - set(dict(good))


def columns(model):
    """Bytes of the out-of-fold columns and of those for new rows, by name."""
    tables = model.oof_.train, np.asarray(model.transform(NEW))
    return {name: [table[:, place].tobytes() for table in tables] for place, name in enumerate(model.oof_.columns)}


@pytest.fixture(scope="module")
def reference():
    return columns(stack([*LEARNERS, ("troubled", Troubled("troubled"))]).fit(X, Y))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    names=st.permutations([*dict(LEARNERS), "troubled"]),
    n_jobs=st.sampled_from([1, 2]),
    backend=st.sampled_from(["loky", "threading"]),
    before=st.sampled_from(["nothing", "no store", "a fit of all", "a fit of some", "a fit that failed"]),
    store_models=st.booleans(),
)
def test_how_it_is_computed_makes_no_difference(reference, *, names, n_jobs, backend, before, store_models):
    with tempfile.TemporaryDirectory() as folder:
        cure = Path(folder, "cure")
        store = Store(Path(folder, "store"), store_models=store_models)
        troubled = Troubled("troubled", trouble="raise", without_row=20, cure=str(cure))
        by_name = dict(LEARNERS) | {"troubled": troubled}
        learners = [(name, by_name[name]) for name in names]
        options = {"n_jobs": n_jobs, "memory": None if before == "no store" else store}
        with joblib.parallel_config(backend=backend):
            if before == "a fit that failed":
                with pytest.raises(LearnerFailedError, match="boom"):
                    stack(learners, **options).fit(X, Y)
            cure.touch()
            if before.startswith("a fit of"):
                stack(learners if before.endswith("all") else learners[:2], **options).fit(X, Y)
            assert columns(stack(learners, **options).fit(X, Y)) == reference


def _as_objects(labels):
    return np.array(labels, dtype=object)


LABELS = {  # each in an order that is that of the codes
    "int": (np.array, [[3, 7], [3, 5, 7]]),
    "bool": (np.array, [[False, True]]),
    "str": (np.array, [["no", "yes"], ["a", "b", "c"]]),
    "object": (_as_objects, [["no", "yes"], ["a", "b", "c"]]),
    "series of str": (pd.Series, [["no", "yes"], ["a", "b", "c"]]),
    "category": (lambda labels: pd.Series(labels, dtype="category"), [["no", "yes"], ["a", "b", "c"]]),
}
KINDS_OF_LABELS = [(kind, labels) for kind, (_, sets) in LABELS.items() for labels in sets]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS_OF_LABELS), st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
def test_what_classes_are_called_makes_no_difference(case, seed, n_jobs):
    kind, labels = case
    codes = np.random.default_rng(seed).permutation(np.arange(N_ROWS) % len(labels))
    expected = stack(LEARNERS, cv=2).fit(X, codes)
    found = stack(LEARNERS, cv=2, n_jobs=n_jobs).fit(X, LABELS[kind][0]([labels[code] for code in codes]))
    assert_array_equal(found.oof_.train, expected.oof_.train)
    assert_array_equal(found.predict_proba(NEW), expected.predict_proba(NEW))
    assert found.classes_.tolist() == labels
    assert found.predict(NEW).tolist() == [labels[code] for code in expected.predict(NEW)]


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from([name for name, _ in LEARNERS]), min_size=1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, GaussianNB(), DecisionTreeClassifier(random_state=0)]),
    st.sampled_from([2, 3]),
)
def test_a_pickled_model_predicts_the_same(names, refit, passthrough, final, n_classes):
    learners = [(name, learner) for name, learner in LEARNERS if name in names]
    options = {"refit": refit, "passthrough": passthrough, "cv": KFold(N_FOLDS), "random_state": 0}
    model = StackingModel(learners, final, **options).fit(X, np.arange(N_ROWS) * 7 % 10 % n_classes)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_proba(NEW), model.predict_proba(NEW))
    assert_array_equal(copy.transform(NEW), model.transform(NEW))
    assert_array_equal(copy.oof_.train, model.oof_.train)


class Tears(Scribbles):
    """Changes its own parameters too, which scikit-learn forbids."""

    def __init__(self, notes=None):
        self.notes = notes

    def fit(self, X, y):
        self.notes.append(len(X))
        return super().fit(X, y)


@settings(max_examples=25, deadline=None)
@given(
    wrap=st.sampled_from([np.asarray, np.asfortranarray, pd.DataFrame, lambda table: table.astype(np.float32)]),
    n_jobs=st.sampled_from([1, 2]),
    keep=st.booleans(),
    refit=st.booleans(),
    passthrough=st.booleans(),
)
def test_fit_changes_nothing_that_the_user_owns(wrap, n_jobs, keep, refit, passthrough):
    rows, target = wrap(X.copy()), X[:, 1] + 1
    pairs = [(train.tolist(), test) for train, test in KFold(N_FOLDS).split(X)]
    learners = [("tears", Tears(notes=[])), ("scribbles", Scribbles()), ("linear", LinearRegression())]
    final = LinearRegression()
    everything = rows, target, pairs, learners, final
    before = pickle.dumps(everything)
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="threading"):
        model = StackingModel(
            learners,
            final,
            cv=pairs,
            n_jobs=n_jobs,
            memory=folder if keep else None,
            refit=refit,
            passthrough=passthrough,
        )
        for _ in range(2):
            model.fit(rows, target)
            model.predict(rows)
    assert pickle.dumps(everything) == before
