"""Raw columns as inputs of an ONNX graph, through the default preparation."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV

from stackkit import StackingClassifier, StackingRegressor, default_learners, to_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is an optional package")
pytest.importorskip("skl2onnx", reason="skl2onnx is an optional package")

pytestmark = pytest.mark.filterwarnings("ignore::stackkit.exceptions.UnreadValuesWarning")  # of the infinite size
N = 240


def _table(n_rows, seed=0):
    """Numbers, categories (rare ones too), dates with hours, durations; of all some are missing."""
    random = np.random.default_rng(seed)
    day = pd.Timestamp("2019-01-01") + pd.to_timedelta(random.integers(0, 4 * 365 * 86_400, n_rows), unit="s")
    table = pd.DataFrame(
        {
            "size": random.lognormal(size=n_rows),
            "rooms": random.integers(1, 6, n_rows),
            "town": random.choice(["Ulm", "Bonn", "Köln", "rare", "rarer"], n_rows, p=[0.5, 0.3, 0.15, 0.04, 0.01]),
            "code": random.choice(np.array(["a", 7, 2.5], dtype=object), n_rows),
            "sold": day,
            "stood": pd.to_timedelta(random.integers(0, 10**6, n_rows), unit="s"),
        }
    )
    for place, name in enumerate(["size", "town", "sold", "stood"]):
        table.loc[random.choice(n_rows, n_rows // 20 + place, replace=False), name] = None
    return table


TABLE = _table(N)
PRICE = np.nan_to_num(TABLE["size"]) + TABLE["rooms"] + (TABLE["town"] == "Bonn") + (TABLE["sold"].dt.month > 6)
PRICE = (PRICE + 10).to_numpy(dtype=float)


def _new_rows():
    """Rows with levels that were never seen, values far away, and dates from another century."""
    table = _table(60, seed=1)
    table.loc[:4, "town"] = "Paris"
    table.loc[5:9, "size"] = [np.inf, -1e40, 1e9, -5.0, 0.0]
    table.loc[10:13, "sold"] = pd.to_datetime(
        ["1900-02-28 23:59", "2000-02-29 00:00", "2099-12-31 09:05", "1969-12-31 12:30"]
    )
    return table


def _inputs(session, table):
    """What the docstring says that each input takes."""
    found = {}
    for given in session.get_inputs():
        column = table[given.name]
        if given.type == "tensor(string)":
            values = np.where(column.isna(), "", column.astype(object).map(str)).astype(object)
        elif column.dtype.kind == "M":
            values = (column - pd.Timestamp(0)).dt.total_seconds().to_numpy(float)
        else:
            values = column.dt.total_seconds().to_numpy(float) if column.dtype.kind == "m" else column.to_numpy(float)
        found[given.name] = values.reshape(-1, 1)
    return found


def _run(model, path, table):
    session = onnxruntime.InferenceSession(str(to_onnx(model, path)), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, _inputs(session, table)), strict=True))


def _few(task, *names):
    learners = [(name, learner) for name, learner in default_learners(task, TABLE) if name in names]
    for _, learner in learners:
        short = {"n_estimators": 8, "max_epochs": 2, "n_components": 40}
        last = {f"learner__{name}": value for name, value in short.items() if hasattr(learner[-1], name)}
        learner.set_params(**last)
    return learners


@pytest.mark.parametrize("name", ["lightgbm", "ridge", "kernel", "extra_trees", "bn_mlp", "xgboost"])
def test_default_regressors(name, tmp_path):
    # A pool would hold what goes astray within its limits.
    model = StackingRegressor(_few("regression", name), Ridge(), cv=2, random_state=0).fit(TABLE, PRICE)
    table = _new_rows()
    found = _run(model, tmp_path / "prices.onnx", table)["value"][:, 0]
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-5)


def test_kernel_machines_of_a_compact_model(tmp_path):
    model = StackingRegressor(_few("regression", "kernel"), Ridge(), cv=2, random_state=0).fit(TABLE, PRICE)
    found = _run(model.compact(), tmp_path / "prices.onnx", _new_rows())["value"][:, 0]
    np.testing.assert_allclose(found, model.predict(_new_rows()), rtol=1e-5)


@pytest.mark.parametrize("final", [None, LogisticRegression()], ids=["pool", "logistic"])
def test_classes_by_splines_and_categories(final, tmp_path):
    model = StackingClassifier(_few("classification", "splines", "lightgbm"), final, cv=2, random_state=0)
    model.fit(TABLE, np.where(np.median(PRICE) < PRICE, "dear", "cheap"))
    table = _new_rows()
    found = _run(model, tmp_path / "dear.onnx", table)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(table), rtol=0, atol=1e-5)
    assert (found["label"] == model.predict(table)).all()


def test_splines_of_a_column_in_which_many_rows_have_the_ends(tmp_path):
    table = TABLE.assign(size=np.clip(np.random.default_rng(0).normal(size=N), -0.3, 0.3))
    model = StackingClassifier(_few("classification", "splines"), LogisticRegression(), cv=2, random_state=0)
    model.fit(table, np.where((table["size"] < 0.3) ^ (np.random.default_rng(1).random(N) < 0.1), "small", "big"))
    found = _run(model, tmp_path / "ends.onnx", table)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(table), rtol=0, atol=1e-9)


def test_a_final_estimator_that_prepares_the_raw_columns(tmp_path):
    model = StackingRegressor(_few("regression", "ridge"), cv=2, passthrough=True, random_state=0).fit(TABLE, PRICE)
    assert isinstance(model.final_estimator_[-1], RidgeCV)
    table = _new_rows()
    found = _run(model, tmp_path / "prices.onnx", table)["value"][:, 0]
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-5)


def test_free_text_is_named_with_its_column(tmp_path):
    table = TABLE.assign(note=[f"{word} said the {number}th" for number, word in enumerate(["he", "she"] * (N // 2))])
    model = StackingRegressor(_few("regression", "ridge"), cv=2, random_state=0).fit(table, PRICE)
    with pytest.raises(
        TypeError, match=r"learner 'ridge': its .* free text, in the columns \['note'\]. Leave them out"
    ):
        to_onnx(model, tmp_path / "no.onnx")
