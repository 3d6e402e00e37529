"""Tables and tensors of other libraries, as X and as y."""

import os
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingClassifier, StackingModel, StackingRegressor, cross_fit, default_learners
from stackkit._learners.number_columns import NumberColumns
from stackkit.evaluation import nested_scores
from stackkit.uncertainty import tune_threshold

RNG = np.random.default_rng(0)
N = 90
FRAME = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.normal(size=N), "c": np.arange(N) % 4})
Y = (FRAME["a"] + RNG.normal(size=N) > 0).to_numpy().astype(int)
LEARNERS = [("tree", DecisionTreeClassifier(max_depth=2, random_state=0)), ("bayes", GaussianNB())]


def test_tables_of_arrow_are_frames():
    """One of numbers lost its names, one of numbers and text ended with a bare DTypePromotionError."""
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    model = StackingModel(LEARNERS).fit(table, pa.array(Y))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    expected = StackingModel(LEARNERS).fit(FRAME, Y)
    np.testing.assert_array_equal(model.predict_proba(table), expected.predict_proba(FRAME))
    assert model.score(table, pa.chunked_array([Y])) == expected.score(FRAME, Y)
    mixed = pa.table({"a": FRAME["a"].to_numpy(), "town": ["Ulm", "Bonn", None] * 30})
    default = StackingClassifier(default_learners("classification")[:1], cv=2).fit(mixed, Y)
    assert default.predict(mixed).shape == (N,)
    oof = cross_fit(LEARNERS, table, pa.array(Y), X_test=table, cv=3)
    np.testing.assert_array_equal(oof.test, cross_fit(LEARNERS, FRAME, Y, X_test=FRAME, cv=3).test)


def test_decimals_of_arrow_with_missing_ones_beside_text():
    """pandas' own to_numeric fails of them: no column of numbers is converted once more."""
    pa = pytest.importorskip("pyarrow")
    decimals = pd.Series([None, Decimal("1.5")] * 30, dtype=pd.ArrowDtype(pa.decimal128(8, 2)))
    frame = pd.DataFrame({"price": decimals, "text": ["7", "1,5"] * 30})
    numbers = NumberColumns().fit(frame).transform(frame)
    np.testing.assert_array_equal(numbers[:2, 0], [np.nan, 1.5])


class _Modin:
    """What stackkit asks of a frame, or a column, of modin, which needs an older pandas."""

    def __init__(self, values):
        self.modin = SimpleNamespace(to_pandas=lambda: values)


_Modin.__module__ = "modin.pandas.dataframe"


@pytest.mark.parametrize("passthrough", [True, ["c", "a"]])
def test_columns_of_modin_are_passed_through(passthrough):
    """Tried with modin 0.37 on dask and pandas 2.3, too."""
    model = StackingModel(LEARNERS, LogisticRegression(), passthrough=passthrough)
    expected = clone(model).fit(FRAME, Y)
    model.fit(_Modin(FRAME), _Modin(pd.Series(Y)))
    np.testing.assert_array_equal(model.predict_proba(_Modin(FRAME)), expected.predict_proba(FRAME))
    np.testing.assert_array_equal(model.transform(_Modin(FRAME)), expected.transform(FRAME))
    refitted = model.compact(refit=True, X=_Modin(FRAME), y=_Modin(pd.Series(Y)))
    np.testing.assert_array_equal(refitted.predict(_Modin(FRAME)).shape, (N,))
    tuned = tune_threshold(model, "f1", X=_Modin(FRAME))
    assert tuned.threshold_ == tune_threshold(expected, "f1", X=FRAME).threshold_


def test_frames_of_modin_are_pandas_frames():
    model = StackingModel(LEARNERS, LogisticRegression(), passthrough=["a"], cv=2)
    model.fit(_Modin(FRAME), _Modin(pd.Series(Y)))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(_Modin(FRAME)), model.predict(FRAME))


def test_what_may_not_fit_into_memory_is_told_at_once():
    dask = pytest.importorskip("dask.array")
    rows = dask.from_array(FRAME.to_numpy())
    model = StackingModel(LEARNERS).fit(FRAME, Y)
    for call in (lambda: StackingModel(LEARNERS).fit(rows, Y), lambda: cross_fit(LEARNERS, rows, Y)):
        with pytest.raises(TypeError, match=r"X and y must be in memory; got a Array of dask. Call its compute\(\)"):
            call()
    with pytest.raises(TypeError, match="must be in memory"):
        StackingModel(LEARNERS).fit(FRAME, dask.from_array(Y))
    with pytest.raises(TypeError, match="must be in memory"):
        model.predict(rows)


def test_frames_of_dask_are_told_too():
    dask = pytest.importorskip("dask.dataframe")
    with pytest.raises(TypeError, match="must be in memory; got a DataFrame of dask"):
        StackingModel(LEARNERS).fit(dask.from_pandas(FRAME, npartitions=2), Y)


def test_tensors_are_arrays():
    X, y = torch.tensor(FRAME.to_numpy()), torch.tensor(Y)
    model = StackingModel(LEARNERS).fit(X, y, sample_weight=torch.ones(N))
    expected = StackingModel(LEARNERS).fit(FRAME.to_numpy(), Y, sample_weight=np.ones(N))
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(FRAME.to_numpy()))
    assert model.score(X, y) == expected.score(FRAME.to_numpy(), Y)
    by_tensor, by_array = (nested_scores(expected, *rows, cv=3).table for rows in ((X, y), (FRAME.to_numpy(), Y)))
    pd.testing.assert_frame_equal(by_tensor, by_array)


@pytest.mark.slow
def test_tensors_under_scikit_learns_array_api():
    """It ended with: torch.dtype has no attribute 'kind'."""
    pytest.importorskip("array_api_compat")
    code = """
import numpy as np, torch
from sklearn import config_context
from sklearn.linear_model import LogisticRegression, Ridge
from stackkit import StackingModel, cross_fit
X = np.random.default_rng(0).normal(size=(60, 3))
for learner, y in ((LogisticRegression(), (X[:, 0] > 0).astype(int)), (Ridge(), X[:, 0])):
    plain = StackingModel([learner]).fit(X, y)
    with config_context(array_api_dispatch=True):
        rows, target = torch.tensor(X), torch.tensor(y)
        model = StackingModel([learner]).fit(rows, target, sample_weight=torch.ones(60))
        assert np.allclose(model.predict(rows), plain.predict(X)), learner
        assert abs(model.score(rows, target) - plain.score(X, y)) < 1e-9
        assert cross_fit([learner], rows, target).train.shape == (60, 1)
"""
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}  # which scipy reads when it is imported
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_16_bits_pass(classes):
    """They were off by 0.004 in their sum, and the learner had failed."""
    rows = (3 * FRAME.to_numpy()).astype(np.float16)
    y = np.arange(N) % 3 % classes
    oof = cross_fit([GaussianNB()], rows, y, cv=3)
    fold = oof.folds.pairs[0][1]
    raw = oof.members["gaussiannb"][0].predict_proba(rows[fold])
    assert raw.dtype == np.float16
    assert np.abs(raw.astype(float).sum(axis=1) - 1).max() > 1e-3
    expected = raw.astype(float) / raw.astype(float).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(oof.train[fold], expected[:, 1:] if classes == 2 else expected)


@pytest.mark.parametrize("final", [None, LogisticRegression()])
def test_rows_without_names_are_told_of_once(final, recwarn):
    """Each of ten fold models said so, too, and the final estimator."""
    model = StackingModel(LEARNERS, final, passthrough=final is not None).fit(FRAME, Y)
    for asked in (model, model.compact()):
        for method in ("predict", "predict_proba"):
            recwarn.clear()
            found = getattr(asked, method)(FRAME.to_numpy())
            told = [str(warning.message) for warning in recwarn]
            assert len(told) == 1, told
            assert told[0].startswith("X does not have valid feature names")
            np.testing.assert_array_equal(found, getattr(asked, method)(FRAME))


def test_their_columns_are_told_of_once_by_a_regressor(recwarn):
    model = StackingRegressor([("ridge", Ridge())]).fit(FRAME, FRAME["a"])
    recwarn.clear()
    np.testing.assert_array_equal(model.transform(FRAME.to_numpy()), model.transform(FRAME))
    assert len(recwarn) == 1
