"""A preparation in parts gives what the whole gives, bit for bit, and does nothing twice."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from stackkit._learners.preparation import MAX_CATEGORIES, coded_preprocessing, scaled_preprocessing, tree_preprocessing
from stackkit._members.fast_predict import FEW_ROWS
from stackkit._model.shared_preparation import Levels, SplitPreparation, TakesApart, Words

RNG = np.random.default_rng(0)
N = 200
FRAME = pd.DataFrame(
    {
        "number": RNG.normal(size=N),
        "holes": np.where(RNG.random(N) < 0.3, np.nan, RNG.integers(0, 9, N)),
        "level": RNG.choice(["a", "b", "c", None], N),
        "many": [f"v{i}" for i in RNG.geometric(0.05, N)],
        "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 900, N), unit="D"),
        "text": [" ".join(RNG.choice(["red", "green", "blue", "grey"], 3)) + f" {i}" for i in range(N)],
    }
)
NEW = FRAME.iloc[:30].assign(level="unheard of", many="v1", text="pink and green", holes=np.nan)
PREPARATIONS = [scaled_preprocessing, tree_preprocessing]


def _as_polars(frame):
    return pl.DataFrame({name: frame[name].to_list() for name in frame}, strict=False)


def _as_array(frame):
    return frame[["number", "holes"]].to_numpy()


def _as_objects(frame):
    return frame[["number", "level", "many"]].to_numpy(dtype=object)


@pytest.mark.parametrize("make", PREPARATIONS)
@pytest.mark.parametrize("table", [lambda frame: frame, _as_polars, _as_array, _as_objects])
def test_parts_give_what_the_whole_gives(make, table):
    whole = make().fit(table(FRAME))
    parts = TakesApart()(whole)
    assert isinstance(parts, SplitPreparation)
    for frame in (FRAME, FRAME.iloc[:FEW_ROWS], FRAME.iloc[7:8], NEW, NEW.iloc[:1]):
        expected, found = whole.transform(table(frame)), parts.transform(table(frame))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_text_alone():
    whole = scaled_preprocessing().fit(FRAME[["text"]])
    expected, found = (each.transform(FRAME[["text"]]) for each in (whole, TakesApart()(whole)))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype == np.int64


def test_nothing_is_done_twice(monkeypatch):
    calls = []
    for kind in (OneHotEncoder, StandardScaler):
        transform = kind.transform
        monkeypatch.setattr(
            kind, "transform", lambda self, *a, f=transform, **k: calls.append(type(self)) or f(self, *a, **k)
        )
    texts = []
    monkeypatch.setattr(
        "stackkit._learners.preparation._str", lambda values: texts.append(1) or np.frompyfunc(str, 1, 1)(values)
    )
    readings = []
    for kind in (Levels, Words):
        read = kind.read
        monkeypatch.setattr(kind, "read", lambda self, X, f=read: readings.append(type(self)) or f(self, X))
    take_apart = TakesApart()
    makes = [*PREPARATIONS, coded_preprocessing]
    parts = [take_apart(make().fit(rows)) for make in makes for rows in (FRAME[::2], FRAME[1::2])]
    calls.clear()
    texts.clear()
    readings.clear()
    memo = {}
    for each in parts:
        each.transform(FRAME, memo)
    # Two folds: encoders need not be asked, scalers are in one kind, for numbers and for dates.
    assert [calls.count(kind) for kind in (OneHotEncoder, StandardScaler)] == [0, 4]
    assert len(texts) == 2  # categories and free text, once each for all folds
    assert readings == [Levels, Words]  # once for all folds and kinds


def test_other_rows_are_not_taken_for_the_same():
    parts = TakesApart()(scaled_preprocessing().fit(FRAME))
    assert (parts.transform(FRAME[:5]) != parts.transform(FRAME[5:10])).any()


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "drop"},
        {"remainder": "passthrough"},
        {"transformer_weights": {"numbers": 2.0}},
        {"numbers__standardscaler__copy": False},
        {"numbers": "passthrough"},
    ],
    ids=str,
)
def test_changed_preparations_stay_right(changed):
    columns = ["number", "level", "text"]
    whole = scaled_preprocessing().set_params(**changed).fit(FRAME[columns])
    parts = TakesApart()(whole)
    assert parts is whole or "copy" not in str(changed)
    for rows in (FRAME[columns], NEW[columns]):
        np.testing.assert_array_equal(parts.transform(rows), whole.transform(rows))


def test_frames_stay_frames():
    columns = ["number", "level"]
    whole = tree_preprocessing().set_params(text="drop").set_output(transform="pandas").fit(FRAME[columns])
    assert TakesApart()(whole) is whole


def test_other_transformers_stay_whole():
    other = ColumnTransformer([("scale", StandardScaler(), ["number"])]).fit(FRAME)
    assert TakesApart()(other) is other


# --- levels by looking up --------- --------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"handle_unknown": "infrequent_if_exist", "max_categories": MAX_CATEGORIES, "min_frequency": 3},
        {"handle_unknown": "infrequent_if_exist", "max_categories": 2},
        {"handle_unknown": "infrequent_if_exist"},
    ],
)
@pytest.mark.parametrize("null", [False, True])
def test_levels_are_looked_up(options, null, monkeypatch):
    texts = FRAME[["level", "many"]].fillna("\0" if null else "").to_numpy(dtype=object)
    encoder = OneHotEncoder(sparse_output=False, **options).fit(texts)
    levels = Levels(encoder)
    assert ("\0" in texts.ravel().tolist()) == null
    new = np.array([["unheard of", "v1"], ["a", "of"], ["", "v3"], ["\0", "\0"]], dtype=object)
    rows = np.vstack([texts, new])
    expected = encoder.transform(rows)
    monkeypatch.setattr(encoder, "transform", None)  # it is not needed
    for start, step in [(0, len(rows)), *((start, FEW_ROWS) for start in range(0, len(rows), FEW_ROWS))]:
        few = slice(start, start + step)
        found = levels.transform(rows[few])
        np.testing.assert_array_equal(found, expected[few])
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("options", [{"handle_unknown": "error"}, {"drop": "first"}, {"sparse_output": True}], ids=str)
def test_encoders_of_other_settings_stay(options):
    whole = tree_preprocessing().set_params(**{f"categories__onehotencoder__{key}": v for key, v in options.items()})
    columns = ["number", "level"]
    parts = TakesApart()(whole.fit(FRAME[columns]))
    assert not any(isinstance(step, Levels) for part in parts.parts for _, step in part.steps)
    np.testing.assert_array_equal(parts.transform(FRAME[:9][columns]), whole.transform(FRAME[:9][columns]))


@pytest.mark.parametrize("options", [{}, {"max_categories": 3}, {"min_frequency": 3}], ids=str)
def test_codes_are_looked_up(options, monkeypatch):
    texts = FRAME[["level", "many"]].fillna("").to_numpy(dtype=object)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, **options).fit(texts)
    levels = Levels(encoder)
    new = np.array([["unheard of", "v1"], ["a", "of"], ["", "v3"], ["\0", "\0"]], dtype=object)
    rows = np.vstack([texts[:130], new])
    expected = encoder.transform(rows)
    assert np.isnan(expected).any()
    monkeypatch.setattr(encoder, "transform", None)
    for some in (slice(None), slice(FEW_ROWS), slice(FEW_ROWS, None)):
        found = levels.transform(rows[some])
        np.testing.assert_array_equal(found, expected[some])
        assert found.dtype == expected.dtype


def test_codes_of_default_preparations_are_looked_up():
    columns = ["number", "level"]
    whole = coded_preprocessing().fit(FRAME[columns])
    parts = TakesApart()(whole)
    assert any(isinstance(step, Levels) for part in parts.parts for _, step in part.steps)
    for rows in (FRAME[:9][columns], NEW[columns]):
        np.testing.assert_array_equal(parts.transform(rows), whole.transform(rows))


# --- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"max_features": 3}, {"ngram_range": (1, 2)}, {"analyzer": "char"}, {"vocabulary": ["red", "none"]}],
    ids=str,
)
def test_words_are_counted_once(options):
    texts = [*FRAME["text"], "", "red red", "nothing of that", "\0 red"]
    counters = [CountVectorizer(binary=True, **options).fit(some) for some in (texts[::2], texts[1::2])]
    words = [Words(counter, "") for counter in counters]
    read = words[0].read(texts)
    for counter, each in zip(counters, words, strict=True):
        expected = counter.transform(texts).toarray()
        np.testing.assert_array_equal(each.answer(read), expected)
        assert each.answer(read).dtype == expected.dtype
        np.testing.assert_array_equal(each.answer(each.read([""])), counter.transform([""]).toarray())


@pytest.mark.parametrize("options", [{"binary": False}, {"lowercase": False}], ids=str)
def test_words_of_other_settings(options):
    rows = FRAME[["text"]].assign(text=FRAME["text"] + " Pink")
    whole = scaled_preprocessing()
    whole.transformers[-1][1][-1].set_params(**options)
    take_apart, memo = TakesApart(), {}
    for each in (whole.fit(rows), scaled_preprocessing().fit(rows)):
        np.testing.assert_array_equal(take_apart(each).transform(rows, memo), each.transform(rows))
