"""Tables as people have them go into the default learners, and new rows with surprises are predicted.

A warning that is not stackkit's own is an error here.
"""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from stackkit import (
    StackingClassifier,
    StackingModel,
    StackingRegressor,
    cross_fit,
    default_learners,
    load,
    save,
)
from stackkit.exceptions import MissingClassWarning, UnreadValuesWarning

N = 60
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.normal(size=N), "c": RNG.choice(["x", "y", "z"], N)})
Y = (FRAME["a"] + RNG.normal(size=N) > 0).to_numpy()
QUICK = ("logistic", "naive_bayes", "lda", "extra_trees", "xgboost", "hist_gradient_boosting", "ridge")
SMALLER = {"n_estimators": 5, "max_iter": 5}


@pytest.fixture(autouse=True)
def every_other_warning_is_an_error():
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UnreadValuesWarning)
        yield


def _quick(task, names=QUICK):
    learners = [(name, model) for name, model in default_learners(task, preset="best") if name in names]
    for name, model in learners:
        if name in ("extra_trees", "xgboost", "hist_gradient_boosting"):
            known = model.named_steps["learner"].get_params()
            model.set_params(**{f"learner__{key}": value for key, value in SMALLER.items() if key in known})
    return learners


def _model(task="classification", names=QUICK, **settings):
    return StackingModel(_quick(task, names), cv=2, random_state=0, **settings)


def _surprises(frame):
    """New rows with something else in the column q."""
    few = frame.iloc[:3]
    others = [None, "new", "1,5", np.inf, 1e300, True, pd.Timestamp("2033-01-01", tz="UTC"), pd.Timedelta("1h"), [1]]
    for value in others:
        yield few.assign(q=pd.Series([value] * 3, dtype=object, index=few.index))
    yield few.assign(q=7.25)
    yield few.assign(q=pd.Timestamp("2033-01-01"))
    yield few.iloc[:1]
    yield frame


def _objects(values):
    return pd.Series((values * N)[:N], dtype=object)


COLUMNS = {
    "nothing": lambda: np.nan,
    "one known number": lambda: np.where(np.arange(N) == 3, 1.0, np.nan),
    "one known text": lambda: pd.Series(["t"] + [None] * (N - 1), dtype=object),
    "one known date": lambda: pd.Series([pd.Timestamp("2020")] + [pd.NaT] * (N - 1)),
    "one large number": lambda: 1e18,
    "one text": lambda: "same",
    "one date": lambda: pd.Timestamp("2020"),
    "a number or nothing": lambda: np.where(np.arange(N) % 2, 5.0, np.nan),
    "booleans": lambda: _objects([True, False, None]),
    "nullable booleans": lambda: pd.array(_objects([True, None]), dtype="boolean"),
    "mixed": lambda: _objects([1, "a", None]),
    "numbers and texts": lambda: _objects([1, "2,000", 3.5]),
    "dates and numbers": lambda: _objects([1, pd.Timestamp("2020"), dt.date(2020, 1, 1)]),
    "decimals": lambda: _objects([Decimal("1.5"), None, Decimal("NaN"), Decimal("Infinity")]),
    "huge whole numbers": lambda: _objects([10**400, 10**30, 1]),
    "money": lambda: [f"${n * 1250:,}" for n in range(N)],
    "blanks among numbers": lambda: [str(n * 1.5) if n % 5 else " " for n in range(N)],
    "infinite": lambda: np.where(np.arange(N) % 7 == 0, np.inf, RNG.normal(size=N)),
    "all infinite": lambda: -np.inf,
    "beyond 32 bits": lambda: np.where(np.arange(N) % 2, 1e308, -1e308),
    "all sizes": lambda: 10.0 ** RNG.integers(-300, 300, N),
    "unused categories": lambda: pd.Categorical(_objects(["u", "v"]), categories=["w", "u", "v"]),
    "numeric categories": lambda: pd.Categorical(_objects([1, 2.5, None])),
    "intervals": lambda: pd.cut(RNG.normal(size=N), 4),
    "nullable text": lambda: pd.array(_objects(["u", None]), dtype="string"),
    "durations": lambda: pd.Series(pd.to_timedelta(RNG.integers(0, 99, N), unit="h")).where(np.arange(N) % 3 > 0),
    "periods": lambda: pd.Series(pd.period_range("2020-01", periods=N, freq="M")).where(np.arange(N) % 3 > 0),
    "time zones": lambda: _objects([pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2021", tz="Asia/Tokyo")]),
    "dates of centuries": lambda: pd.Series([dt.date(1 + 50 * n, 1, 1) for n in range(N)], dtype=object),
    "times": lambda: _objects([dt.time(3), dt.time(5), None]),
    "nullable numbers": lambda: pd.array(_objects([1.5, None]), dtype="Float64"),
    "bytes": lambda: RNG.integers(0, 255, N).astype(np.uint8),
    "sparse": lambda: pd.arrays.SparseArray(np.where(np.arange(N) % 3, np.nan, 1.0)),
    "lists": lambda: pd.Series([[1, 2]] * N),
    "empty texts": lambda: [""] * N,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_sort(name):
    frame = FRAME.assign(q=COLUMNS[name]())
    model = _model().fit(frame, Y)
    for new in _surprises(frame):
        assert np.isfinite(model.predict_proba(new)).all()


@pytest.mark.parametrize("name", ["nothing", "one large number", "infinite", "beyond 32 bits", "durations", "money"])
def test_columns_of_every_sort_for_numbers(name):
    frame = FRAME.assign(q=COLUMNS[name]())
    model = _model("regression").fit(frame, FRAME["a"])
    for new in _surprises(frame):
        assert np.isfinite(model.predict(new)).all()


# --- what is missing ------------------------------------------------------------------------------------

NAMES = ("logistic", "extra_trees")


def test_one_warning_names_what_is_empty_and_infinite():
    infinite = np.where(np.arange(N) < 2, np.inf, FRAME["a"])
    frame = FRAME.assign(e=np.nan, o=pd.Series([None] * N, dtype=object), q=infinite)
    with pytest.warns(UnreadValuesWarning) as caught:
        model = _model(names=NAMES).fit(frame, Y)
    (message,) = [str(warning.message) for warning in caught]
    assert message == (
        "Training rows: 2 value(s) of the column 'q' are infinite; no row has a value in columns 'e', 'o'. "
        "These count as missing."
    )
    assert caught[0].filename == __file__
    assert model.n_features_in_ == 5
    plain = _model(names=NAMES).fit(FRAME.assign(q=frame["q"].mask(np.isinf(frame["q"]))), Y)
    assert_array_equal(model.oof_.train, plain.oof_.train)


def test_infinite_numbers_of_new_rows_count_as_missing(tmp_path):
    model = _model(names=(*NAMES, "lda", "naive_bayes")).fit(FRAME, Y)
    new, missing = (FRAME.iloc[:4].assign(a=[value, 1.0, 2.0, value]) for value in (-np.inf, np.nan))
    for one in (model, model.compact(), load(save(model, tmp_path / "kept.stackkit"))):
        with pytest.warns(UnreadValuesWarning, match=r"^New rows: 2 value\(s\) of the column 'a' are infinite\. These"):
            found = one.predict_proba(new)
        assert_array_equal(found, model.predict_proba(missing))


def test_a_column_that_was_empty_is_not_told_of_again():
    frame = FRAME.assign(e=np.nan)
    model = _model(names=NAMES).fit(frame, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = model.predict_proba(frame)
        assert_array_equal(model.predict_proba(frame.assign(e=1.0)), expected)


def test_cross_fit_takes_the_same_tables():
    frame = FRAME.assign(e=np.nan, q=np.where(np.arange(N) < 2, np.inf, 1.0))
    with pytest.warns(UnreadValuesWarning) as caught:
        oof = cross_fit(_quick("classification", NAMES), frame, Y, X_test=frame.iloc[:9], cv=2, random_state=0)
    assert [str(warning.message)[:3] for warning in caught] == ["Tra", "New"]
    assert_array_equal(oof.train, _model(names=NAMES).fit(frame, Y).oof_.train)
    assert np.isfinite(oof.test).all()


@pytest.mark.parametrize("frame", [FRAME[["a"]].assign(e=np.nan), FRAME[["a"]].assign(e=np.inf)])
def test_learners_of_ones_own_get_what_they_got(frame):
    preparing, own = _quick("classification", NAMES)[0], _quick("classification", NAMES)[1][1]["learner"]
    for learners in ([own], [preparing, ("own", own)]):
        with pytest.raises(ValueError, match=r"X must hold (no infinity|a value)|must hold a value in some row"):
            StackingClassifier(learners).fit(frame, Y)


def test_numbers_that_are_written_as_text_are_read():
    numbers = FRAME["a"].mul(10_000).round(1)
    as_numbers, as_text = (FRAME.assign(a=column) for column in (numbers, numbers.map("${:,.1f}".format)))
    models = [_model(names=NAMES).fit(frame, Y) for frame in (as_numbers, as_text)]
    assert_allclose(models[1].predict_proba(as_text), models[0].predict_proba(as_numbers))
    new = as_text.assign(a=["$5", "n/a", "seven", *as_text["a"].iloc[3:]])
    with pytest.warns(UnreadValuesWarning, match=r"1 value\(s\) of the column 'a' are no numbers, such as 'seven'\."):
        found = models[1].predict_proba(new)
    assert_allclose(found, models[0].predict_proba(as_numbers.assign(a=[5.0, np.nan, np.nan, *numbers.iloc[3:]])))


# --- names, index, containers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [[3, 1], [("a", 1), ("b", 2)], ["a", 1], pd.date_range("2020", periods=2), ["", "[b]<"]]
)
def test_names_of_columns(names):
    plain = _model(names=NAMES).fit(FRAME, Y)
    named = FRAME.set_axis(names, axis=1)
    model = _model(names=NAMES).fit(named, Y)
    assert_array_equal(model.predict_proba(named), plain.predict_proba(FRAME))


def test_an_index_may_repeat_itself():
    dated = FRAME.assign(d=pd.date_range("2020", periods=N))
    same = dated.set_axis([0] * N, axis=0)
    model = _model(names=NAMES).fit(same, pd.Series(Y, index=same.index))
    assert_array_equal(model.predict_proba(same), _model(names=NAMES).fit(dated, Y).predict_proba(dated))


def test_frames_of_polars_and_arrays_of_objects_are_the_same():
    infinite = FRAME["a"].where(np.arange(N) > 2, np.inf)
    money = [f"{n * 1250:,} EUR" for n in range(N)]
    table = {"a": infinite.tolist(), "c": FRAME["c"].tolist(), "m": money, "e": [None] * N}
    frame = pd.DataFrame(table)
    expected = _model(names=NAMES).fit(frame, Y).predict_proba(frame)
    for other in (pl.DataFrame(table), frame.to_numpy(dtype=object)):
        assert_allclose(_model(names=NAMES).fit(other, Y).predict_proba(other), expected)


def test_frames_of_polars_with_columns_of_every_sort():
    sorts = {
        "null": pl.Series([None] * N),
        "category": pl.Series(_objects(["u", "v", None]).tolist(), dtype=pl.Categorical),
        "enum": pl.Series(_objects(["u", "v", None]).tolist(), dtype=pl.Enum(["u", "v", "w"])),
        "date": pl.Series(_objects([dt.date(2020, 1, 1), None]).tolist()),
        "duration": pl.Series(_objects([dt.timedelta(1), None]).tolist()),
        "time": pl.Series(_objects([dt.time(3), None]).tolist()),
        "decimal": pl.Series(_objects([Decimal("1.5"), None]).tolist()),
        "flag": pl.Series(_objects([True, None]).tolist()),
        "list": pl.Series([[1, 2]] * N),
        "struct": pl.Series([{"k": 1}] * N),
    }
    frame = pl.DataFrame({"a": FRAME["a"].tolist()} | sorts)
    model = _model().fit(frame, Y)
    assert np.isfinite(model.predict_proba(frame[:3])).all()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1.0] * N, "b": ["x"] * N}),
        pd.DataFrame({"id": [f"id{n}" for n in range(N)]}),
        pd.DataFrame({"a": [1.0] + [np.nan] * (N - 1), "b": [None] * (N - 1) + ["x"]}),
    ],
    ids=["constants", "identifier", "one value each"],
)
def test_tables_that_tell_nothing(frame):
    model = _model().fit(frame, Y)
    assert np.ptp(model.predict_proba(frame)[:, 1]) < 0.5
    assert np.isfinite(_model("regression").fit(frame, FRAME["a"]).predict(frame)).all()


# --- few rows, rare classes -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 12, 30])
def test_few_rows(n):
    few = FRAME.iloc[:n]
    model = StackingClassifier(_quick("classification")).fit(few, np.arange(n) % 2)
    assert np.isfinite(model.predict_proba(FRAME)).all()
    numbers = StackingRegressor(_quick("regression")).fit(few, few["a"])
    assert np.isfinite(numbers.predict(FRAME)).all()


@pytest.mark.parametrize(("rare", "n_folds"), [(["k"], 5), (["k", "l"], 5), (["k", "l", "l", "m"], 5)])
def test_classes_of_one_row_are_warned_of(rare, n_folds):
    y = np.array([*["a", "b"] * N][: N - len(rare)] + rare)
    with pytest.warns(MissingClassWarning, match=r"lacks 'k'"):
        model = StackingClassifier(_quick("classification")).fit(FRAME, y)
    assert len(model.oof_.folds) == n_folds
    assert np.isfinite(model.predict_proba(FRAME)).all()
    assert_allclose(model.predict_proba(FRAME).sum(axis=1), 1)


def test_twenty_classes_of_few_rows():
    y = np.array([f"k{n % 20}" for n in range(N)])
    model = StackingClassifier(_quick("classification")).fit(FRAME, y)
    assert len(model.oof_.folds) == 3  # as many rows as each class has
    assert model.predict_proba(FRAME).shape == (N, 20)


# --- the whole preset -----------------------------------------------------------------------------------


def _messy(rows):
    return FRAME.iloc[rows].assign(
        e=np.nan,
        q=np.where(np.arange(len(rows)) % 9 == 0, np.inf, 1.0),
        m=[f"{n * 1250:,} EUR" for n in rows],
        d=[dt.date(2020, 1, 1) + dt.timedelta(int(n)) for n in rows],
        b=_objects([True, None])[: len(rows)].to_numpy(),
        one=3,
    )


@pytest.mark.parametrize("model", [StackingClassifier(random_state=0), StackingRegressor(random_state=0)])
def test_the_default_model_takes_them_all_at_once(model):
    messy = _messy(np.arange(N))
    y = Y if isinstance(model, StackingClassifier) else FRAME["a"]
    model.fit(messy, y)
    for new in _surprises(messy):
        predicted = model.predict(new)
        assert predicted.shape == (len(new),)
