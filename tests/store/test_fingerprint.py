import copy
import datetime as dt
import enum
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special
from prints import Takes, all_differ, of_part, same
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from stackkit import default_learners
from stackkit._store.fingerprint import NotStorableError, fingerprint, learner_fingerprint

X = np.random.default_rng(0).normal(size=(12, 3))


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Holder:
    """An object without parameters."""

    def __init__(self, content):
        self.content = content


# --- plain values -----------------------------------------------------------------------------------


def test_values_of_other_types_differ():
    values = [
        1,
        True,
        1.0,
        "1",
        b"1",
        bytearray(b"1"),
        1j,
        None,
        ...,
        np.int64(1),
        np.int32(1),
        np.float64(1),
        [1],
        {1},
    ]
    assert all_differ([*values, {1: 1}, {1: None}, np.array(1), np.array([1]), 2**70, 0.0, -0.0, float("inf")])
    assert same(float("nan"), np.nan, of=fingerprint)


def test_fingerprint_is_32_hexadecimal_digits():
    assert len(bytes.fromhex(fingerprint())) == 16


def test_parts_do_not_run_together():
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")
    nested = [["a", "b"], [["a"], "b"], [["a", "b"]], ["a", ["b"]], [[], "a", "b"], ["a", "b", []]]
    assert all_differ(nested)
    assert all_differ([{"a": "b"}, {"b": "a"}, ["a", "b"], {"a": ["b"]}])
    assert fingerprint("a", "str b") != fingerprint("astr ", "b")  # text that looks like what stands before a text


def test_order_matters_where_there_is_one():
    assert fingerprint({"a", "b", 3, None}) == fingerprint({None, 3, "b", "a"})
    assert all_differ([["a", "b"], ["b", "a"], {"a": 1, "b": 2}, {"b": 2, "a": 1}])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (slice(1, 2), slice(1, 3)),
        (range(3), range(4)),
        (dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (Path("a"), Path("b")),
        (Color.RED, Color.BLUE),
        (np.dtype("f4"), np.dtype("f8")),
        (np.float32, np.float64),
        (np.exp2, scipy.special.exp2),  # two functions of one name
        (len, max),
        ("a".upper, "b".upper),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (np.random.RandomState(0), np.random.RandomState(1)),
        (functools.partial(np.clip, a_min=0), functools.partial(np.clip, a_min=1)),
        (Holder([1]), Holder([2])),
        (Holder(Holder({1, 2})), Holder(Holder({1, 3}))),
        (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
        (pd.Timestamp("2020"), pd.Timestamp("2021")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects(one, other):
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
    assert all_differ([one, other])
    assert all_differ([one, other], of_part)


def test_global_random_state_is_always_the_same():
    before = fingerprint(stats.norm(0, 1))
    np.random.random()  # noqa: NPY002
    assert fingerprint(stats.norm(0, 1)) == before


def test_circles_end():
    circle = [1]
    circle.append(circle)
    longer = [1, [1]]
    longer[1].append(longer)
    assert all_differ([circle, longer, [1, [1]]])
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(NotStorableError, match="nested too deeply"):
        fingerprint(deep)


# --- learners ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_default_learners_and_their_clones(task):
    learners = [learner for _, learner in default_learners(task)]
    prints = [learner_fingerprint(learner) for learner in learners]
    assert len(set(prints)) == len(learners)
    assert [learner_fingerprint(clone(learner)) for learner in learners] == prints
    assert [learner_fingerprint(copy.deepcopy(learner)) for learner in learners] == prints


def pipeline(**params):
    columns = ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("rest", "passthrough", slice(2, 3))])
    steps = [("prepare", columns), ("learner", GridSearchCV(LogisticRegression(), {"C": [1, 2]}))]
    return Pipeline(steps).set_params(**params)


def test_every_parameter_matters():
    others = [
        pipeline(learner__estimator__C=2.0),
        pipeline(learner__estimator__C=1),
        pipeline(learner__estimator__class_weight={0: 1, 1: 2}),
        pipeline(learner__estimator=GaussianNB()),
        pipeline(learner__param_grid={"C": [1, 3]}),
        pipeline(prepare__scale__with_mean=False),
        pipeline(prepare__rest="drop"),
        pipeline(prepare__transformers=[]),
        pipeline(prepare=None),
        pipeline(prepare="passthrough"),
        pipeline(steps=[("prepared", pipeline()["prepare"]), ("learner", pipeline()["learner"])]),
        pipeline(steps=[*pipeline().steps[:1], ("more", PCA()), pipeline().steps[1]]),
        pipeline().set_output(transform="pandas"),
    ]
    assert all_differ([pipeline(), *others], learner_fingerprint)
    for learner in [pipeline(), *others]:
        assert learner_fingerprint(learner) == learner_fingerprint(clone(learner))


def test_fit_leaves_no_trace():
    learner = make_pipeline(StandardScaler(), Ridge())
    assert learner_fingerprint(learner) == learner_fingerprint(clone(learner).fit(X, X[:, 0]))
    assert of_part([Ridge()]) == of_part([Ridge().fit(X, X[:, 0])])


def test_metadata_requests_matter():
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        asks = Ridge().set_fit_request(sample_weight=True)
        assert all_differ([Ridge(), asks, Ridge().set_fit_request(sample_weight=False)], learner_fingerprint)
        assert same(asks, clone(asks), of=learner_fingerprint)


def test_frozen_estimators_are_what_they_were_fitted_on():
    one, other = (FrozenEstimator(Ridge().fit(X[rows], X[rows, 0])) for rows in (slice(8), slice(4, 12)))
    assert all_differ([one, other], learner_fingerprint)
    assert all_differ(
        [make_pipeline(StandardScaler(), one), make_pipeline(StandardScaler(), other)], learner_fingerprint
    )
    assert same(one, clone(one), copy.deepcopy(one), of=learner_fingerprint)


def test_methods_and_objects_keep_what_their_owner_was_fitted_on():  # clone copies them deeply
    fitted = [PCA(2).fit(X[rows]) for rows in (slice(8), slice(4, 12))]
    assert all_differ([owner.transform for owner in fitted], of_part)
    assert all_differ([functools.partial(owner.transform) for owner in fitted], of_part)
    assert all_differ([Holder(owner) for owner in fitted], of_part)
    assert all_differ([lambda X, owner=owner: owner.transform(X) for owner in fitted], of_part)
    assert all_differ([Takes(1).apply, Takes(2).apply], of_part)


def test_networks_as_parameters():
    import torch

    from stackkit.nn import BNMLPClassifier

    torch.manual_seed(0)
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert all_differ([first, second, torch.nn.Linear, torch.nn.Sequential, torch.relu, torch.tanh], of_part)
    assert same(first, copy.deepcopy(first), of=of_part)
    assert all_differ([BNMLPClassifier(), BNMLPClassifier(optimizer=torch.optim.Adam)], learner_fingerprint)


def test_distributions_of_a_search():
    searches = [RandomizedSearchCV(Ridge(), {"alpha": stats.loguniform(1, most)}) for most in (2, 3, 2)]
    assert all_differ(searches[:2], learner_fingerprint)
    assert same(searches[0], searches[2], clone(searches[0]), of=learner_fingerprint)
    np.random.random()  # noqa: NPY002
    assert same(searches[0], clone(searches[0]), of=learner_fingerprint)
    seeds = [{"random_state": [part]} for part in map(np.random.RandomState, (1, 2))]
    seeds += [{"random_state": [Holder(choices["random_state"])]} for choices in seeds]
    assert all_differ([RandomizedSearchCV(PCA(), choices) for choices in seeds], learner_fingerprint)


# --- what cannot be stored --------------------------------------------------------------------------


def test_parameter_without_identity_is_named():
    def reader(lock):
        return lambda X: (X, lock)

    steps = [("step", FunctionTransformer(reader(threading.Lock()))), ("learner", Ridge())]
    with pytest.raises(NotStorableError, match=r"lock in the parameter 'step__func' has no identity.*cannot pickle"):
        learner_fingerprint(Pipeline(steps))
    with pytest.raises(NotStorableError, match="generator in the parameter 'part' has no identity"):
        of_part(i for i in range(3))
    with pytest.raises(NotStorableError, match=r"ufunc .*no module has it under its name"):
        of_part(np.frompyfunc(lambda x: x + 1, 1, 1))


def test_learner_without_readable_parameters():
    class Forgets(BaseEstimator):
        def __init__(self, depth=1):
            pass

    with pytest.raises(NotStorableError, match=r"its get_params\(\) fails"):
        learner_fingerprint(Forgets())


# --- other processes --------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from stackkit import StackingModel
from stackkit._store.fingerprint import data_fingerprint, fingerprint, learner_fingerprint

class Thing: pass

def f(X):
    return X if X in {"a", "b", "c"} else Thing

thing = Thing()
thing.content = {"x", "y", "z", None, 1, f, stats.norm(0, 1)}
table = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["q", "r"])})
print(fingerprint({"a", "b", "c"}, frozenset("xyz"), thing), data_fingerprint(table))
print(learner_fingerprint(make_pipeline(FunctionTransformer(f), RandomForestClassifier())))
print(learner_fingerprint(StackingModel([("forest", RandomForestClassifier())])))
"""


def test_another_process_with_another_hash_seed_agrees():
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert len(done.stdout.split()) == 4
        found.add(done.stdout)
    assert len(found) == 1
