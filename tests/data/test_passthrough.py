import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMClassifier
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from stackkit import StackingModel
from stackkit._data.passthrough import beside, check_names_differ, picked_columns, safe_names
from stackkit.uncertainty import tune_threshold

N = 24
X = np.random.default_rng(0).normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(int)
NAMES = ["b", "a", "c"]  # not in order
LEARNERS = [("tree", DecisionTreeClassifier(max_depth=2)), ("stump", DecisionTreeClassifier(max_depth=1))]


def pandas(X):
    return pd.DataFrame(X, columns=NAMES, index=np.arange(len(X)) // 2)  # labels that recur


def numbered(X):
    return pd.DataFrame(X, columns=[7, 5, 9])


def polars(X):
    return pl.DataFrame(X, schema=NAMES)


WRAPS = {
    "array": np.asarray,
    "float32": lambda X: X.astype(np.float32),
    "csr": sparse.csr_array,
    "coo": sparse.coo_matrix,
    "pandas": pandas,
    "numbered": numbered,
    "polars": polars,
}


def dense(table):
    return table.toarray() if sparse.issparse(table) else np.asarray(table)


def model_with(passthrough, learners=LEARNERS, final=None, cv=2):
    return StackingModel(learners, final or LogisticRegression(), passthrough=passthrough, cv=cv)


# ---------------------------------------------------------------- what the final estimator sees


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        *((kind, columns) for kind in ("array", "pandas", "csr") for columns in (True, [0, 2], [2, 0], [])),
        *((kind, columns) for kind in ("float32", "coo", "numbered", "polars") for columns in (True, [2, 0])),
    ],
)
def test_raw_columns_stand_beside_the_learners_columns(kind, columns):
    rows, new = WRAPS[kind](X), WRAPS[kind](X[:5] * 2)
    positions = list(range(3)) if columns is True else columns
    wanted = columns
    if hasattr(rows, "columns") and columns is not True:
        wanted = [list(rows.columns)[i] for i in positions]
    model, plain = model_with(wanted), model_with(False)
    P, p = plain.fit_transform(rows, Y), plain.transform(new)
    np.testing.assert_array_equal(dense(model.fit_transform(rows, Y)), np.hstack([P, dense(rows)[:, positions]]))
    table = model.transform(new)
    np.testing.assert_array_equal(dense(table), np.hstack([p, dense(new)[:, positions]]))
    by_hand = LogisticRegression().fit(np.hstack([P, dense(rows)[:, positions]]), Y)
    np.testing.assert_allclose(
        model.predict_proba(new), by_hand.predict_proba(dense(table)), rtol=1e-5 if kind == "float32" else 1e-6
    )
    assert len(model.get_feature_names_out()) == table.shape[1]


@pytest.mark.parametrize("kind", ["csr", "coo"])
def test_sparse_rows_give_a_sparse_table(kind):
    table = model_with([0, 1]).fit(WRAPS[kind](X), Y).transform(WRAPS[kind](X))
    assert table.format == "csr"


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_a_frame_gives_an_array_of_numbers_but_stays_a_frame_where_it_is_needed(frame):
    gaps = MIXED["count"] if frame is pd.DataFrame else list(MIXED["count"].to_numpy(na_value=None))
    rows = frame({"number": X[:, 0], "gaps": gaps, "count": np.arange(N), "text": MIXED["text"]})
    learners = [("bayes", numeric_part("number"))]
    numbers = model_with(["count", "number"], learners, Watches()).fit_transform(rows, Y)
    assert isinstance(numbers, np.ndarray)
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers[:, 1:], np.column_stack([np.arange(N), X[:, 0]]))
    holes = model_with(["gaps"], learners, Watches()).fit_transform(rows, Y)[:, 1]
    np.testing.assert_array_equal(holes, [1, np.nan, 3, 4] * (N // 4))
    model = model_with(["text", "count"], learners, Watches())
    for table in (model.fit_transform(rows, Y), model.transform(rows)):
        assert type(table) is frame
        assert list(table.columns) == ["bayes", "text", "count"]


class Watches(ClassifierMixin, BaseEstimator):
    """A final estimator that keeps what it was given."""

    def fit(self, X, y):
        self.classes_, self.fitted_on_ = np.unique(y), X
        return self

    def predict(self, X):
        self.asked_ = X
        return np.zeros(len(X), dtype=int)


MIXED = {
    "text": ["x", None, "y", "z"] * (N // 4),
    "kind": pd.Categorical(["u", "v"] * (N // 2)),
    "flag": [True, False] * (N // 2),
    "count": pd.array([1, None, 3, 4] * (N // 4), dtype="Int64"),
    "day": pd.date_range("2020-01-01", periods=N),
    "number": X[:, 0],
}


def numeric_part(name):
    return make_pipeline(make_column_transformer(("passthrough", [name])), GaussianNB())


def test_columns_of_a_mixed_frame_keep_their_types_and_the_index():
    frame = pd.DataFrame(MIXED, index=pd.Index([f"row {i // 2}" for i in range(N)]))
    learners = [("bayes", numeric_part("number"))]
    picked = ["day", "text", "count", "kind"]
    model = model_with(picked, learners, Watches()).fit(frame, Y)
    model.predict(frame[:5])
    for seen, rows in ((model.final_estimator_.fitted_on_, frame), (model.final_estimator_.asked_, frame[:5])):
        pd.testing.assert_frame_equal(seen[picked], rows[picked])
        assert list(seen.columns) == ["bayes", *picked]
    assert model.get_feature_names_out().tolist() == ["bayes", *picked]


def test_columns_of_a_mixed_polars_frame_keep_their_types():
    frame = pl.DataFrame(
        {
            "text": MIXED["text"],
            "kind": pl.Series(["u", "v"] * (N // 2), dtype=pl.Categorical),
            "number": X[:, 0],
            "count": [1, None, 3, 4] * (N // 4),
        }
    )
    picked = ["count", "text", "kind"]
    model = model_with(picked, [("bayes", numeric_part("number"))], Watches()).fit(frame, Y)
    model.predict(frame[:5])
    assert model.final_estimator_.fitted_on_[picked].equals(frame[picked])
    assert model.final_estimator_.asked_[picked].equals(frame[:5][picked])
    assert model.final_estimator_.asked_.schema == {"bayes": pl.Float64} | {name: frame.schema[name] for name in picked}


@pytest.mark.parametrize("wrap", [pandas, polars])
def test_the_final_estimator_of_a_frame_sees_names_without_passthrough_too(wrap):
    seen = model_with(False, final=Watches()).fit(wrap(X), Y).final_estimator_.fitted_on_
    assert list(seen.columns) == ["tree", "stump"]
    assert type(seen) is type(wrap(X))


def test_rows_that_no_fold_tests_keep_their_raw_columns():
    cv = [(np.arange(10), np.arange(10, 20))]
    model = model_with(["a"], final=Watches(), cv=cv)
    P = model.fit_transform(pandas(X), Y)
    np.testing.assert_array_equal(P[:, 2], X[:, 1])
    assert np.isnan(P[:, 0]).tolist() == [not 10 <= i < 20 for i in range(N)]
    np.testing.assert_array_equal(model.final_estimator_.fitted_on_["a"], X[10:20, 1])


# ---------------------------------------------------------------- by name and by number


def test_columns_are_named_or_numbered():
    assert picked_columns(False, X) == []
    assert picked_columns(True, X) == [0, 1, 2]
    assert picked_columns(["c", "b"], pandas(X)) == [2, 0]
    assert picked_columns((2, "b"), polars(X)) == [2, 0]
    assert picked_columns(np.array([1, 0]), sparse.csr_array(X)) == [1, 0]
    assert picked_columns(pd.Index(["a"]), pandas(X)) == [1]
    assert picked_columns(False, np.zeros((3, 2, 2))) == []


def test_a_name_comes_before_a_number():
    assert picked_columns([2], pd.DataFrame(X, columns=[2, 1, 0])) == [0]
    assert picked_columns([2], numbered(X)) == [2]
    assert picked_columns([9, 7], numbered(X)) == [2, 0]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize(
    ("names", "column"), [(NAMES, "c"), ([7, 5, 9], 9), ([2, 1, 0], 0)], ids=["text", "numbers", "positions"]
)
def test_columns_stay_those_that_fit_picked(names, column):
    """Rows may come as an array after ``fit`` with a frame, as everywhere in scikit-learn."""
    frame = pd.DataFrame(X, columns=names)
    model = model_with([column]).fit(frame, Y)
    np.testing.assert_array_equal(np.asarray(model.transform(frame))[:, -1], X[:, 2])
    np.testing.assert_array_equal(np.asarray(model.transform(X))[:, -1], X[:, 2])
    np.testing.assert_array_equal(model.predict(X), model.predict(frame))


@pytest.mark.parametrize("names", [[7, 5, 9], [2, 1, 0]])
def test_names_of_columns_that_are_numbers(names):
    frame = pd.DataFrame(X, columns=names)
    model = model_with([names[2]]).set_output(transform="pandas").fit(frame, Y)
    table = model.transform(frame)
    assert model.get_feature_names_out().tolist() == ["tree", "stump", "x2"] == list(table.columns)
    np.testing.assert_array_equal(table["x2"], X[:, 2])


@pytest.mark.parametrize("columns", [True, ["c", "a"], [2, 1]])
@pytest.mark.parametrize("wrap", [pandas, polars])
def test_names_of_the_columns_that_come_out(wrap, columns):
    model = model_with(columns).set_output(transform=wrap.__name__).fit(wrap(X), Y)
    picked = NAMES if columns is True else ["c", "a"]
    assert model.get_feature_names_out().tolist() == ["tree", "stump", *picked]
    table = model.transform(wrap(X))
    assert list(table.columns) == ["tree", "stump", *picked]
    for name in picked:
        np.testing.assert_array_equal(table[name], X[:, NAMES.index(name)])


def test_names_of_array_columns_that_come_out():
    model = model_with([2, 0]).set_output(transform="pandas").fit(X, Y)
    assert list(model.transform(X).columns) == ["tree", "stump", "x2", "x0"]
    assert model.get_feature_names_out(NAMES).tolist() == ["tree", "stump", "c", "b"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array, pandas, polars])
@pytest.mark.parametrize(
    ("passthrough", "match"),
    [
        (
            "a",
            r"'passthrough' parameter must be True, False or a list of columns; got 'a'\. For one column, pass \['a'\]",
        ),
        (1, r"must be True, False or a list of columns; got 1\. For one column, pass \[1\]"),
        (None, "must be True, False or a list of columns; got None"),
        ([0, "z"], r"'passthrough' parameter must name columns of X, .*; got 'z'\. Correct it"),
        ([3], r"must name columns of X, .*; got 3\. Correct it"),
        ([-1], "must name columns of X, .*; got -1"),
        ([1.0], "must name columns of X, .*; got 1.0"),
        ([[0, 1]], r"must name columns of X, .*; got \[0, 1\]"),
    ],
)
def test_bad_columns(wrap, passthrough, match):
    with pytest.raises(ValueError, match=match):
        model_with(passthrough).fit(wrap(X), Y)


class NeverFitted(DummyClassifier):
    def fit(self, X, y):
        raise AssertionError


@pytest.mark.parametrize("passthrough", ["a", ["z"], ["it"]])
def test_bad_columns_are_told_before_the_learners_are_fitted(passthrough):
    frame = pd.DataFrame(X, columns=["a", "b", "it"])
    with pytest.raises(ValueError, match=r"'passthrough' (parameter )?must"):
        model_with(passthrough, [("it", NeverFitted())]).fit(frame, Y)


def test_the_columns_there_are_told():
    with pytest.raises(ValueError, match=r"columns of X, \['b', 'a', 'c'\]; got 'z'"):
        model_with(["z"]).fit(pandas(X), Y)
    with pytest.raises(ValueError, match="columns of X, 0 to 2; got 'z'"):
        model_with(["z"]).fit(X, Y)


@pytest.mark.parametrize("mask", [[True, False, True], np.array([True, False, True])], ids=["list", "array"])
def test_a_mask_is_not_taken_for_numbers(mask):
    """Else True would be column 1 and False column 0."""
    with pytest.raises(ValueError, match=r"'passthrough' parameter must .*got .*(True|False)"):
        model_with(mask).fit(X, Y)


@pytest.mark.parametrize(
    ("wrap", "columns"), [(np.asarray, [1, 1]), (pandas, ["a", "a"]), (pandas, ["a", 1]), (polars, ["a", "a"])]
)
def test_a_column_named_twice(wrap, columns):
    with pytest.raises(ValueError, match=r"'passthrough' parameter must .*'?(a|1)'?"):
        model_with(columns).fit(wrap(X), Y)


@pytest.mark.parametrize("passthrough", [True, [0]])
def test_images_have_no_columns(passthrough):
    images = X[:, :2].reshape(N, 2, 1)
    match = r"'passthrough' parameter must be False for rows of shape \(2, 1\); got .*\. Only columns of a table"
    with pytest.raises(ValueError, match=match):
        model_with(passthrough, [DummyClassifier()]).fit(images, Y)


@pytest.mark.parametrize("wrap", [pandas, polars])
def test_a_learner_and_a_column_of_one_name(wrap):
    learners = [("a", DecisionTreeClassifier()), ("c", LogisticRegression())]
    match = r"learners' columns and those of 'passthrough' must have different names; both have \['a', 'c'\]\. Rename"
    with pytest.raises(ValueError, match=match):
        model_with(True, learners).fit(wrap(X), Y)
    with pytest.raises(ValueError, match=r"both have \['c'\]"):
        model_with(["c", "b"], learners).fit(wrap(X), Y)
    model_with(["b"], learners).fit(wrap(X), Y)  # what is not passed through is in nobody's way


def test_a_column_of_several_classes_may_collide_too():
    frame = pd.DataFrame(X, columns=["tree_1", "b", "c"])
    with pytest.raises(ValueError, match=r"both have \['tree_1'\]"):
        model_with(True).fit(frame, np.arange(N) % 3)
    check_names_differ(["7"], X, [0])  # an array has no names
    with pytest.raises(ValueError, match=r"both have \['7'\]"):
        check_names_differ(["7"], numbered(X), [0])


def test_nothing_is_written_to():
    for wrap in (np.array, pandas, polars, sparse.csr_array):
        rows, table = wrap(X), np.ones((N, 1))
        result = beside(table, ["one"], rows, [0])
        if isinstance(result, np.ndarray):
            result[:] = 7.0
        elif isinstance(result, pd.DataFrame):
            result.iloc[:] = 7.0
        elif isinstance(result, pl.DataFrame):
            result[0, 1] = 7.0
        else:
            result.data[:] = 7.0
        np.testing.assert_array_equal(dense(rows), X)
        np.testing.assert_array_equal(table, 1.0)


# --- names that other libraries refuse ------------------------------------------------------------------


def test_names_become_safe_and_stay_apart():
    names = ["forest_<18", "forest_[18", "forest__18", 'a"b', "{c:d,e}", "plain name"]
    assert safe_names(names) == ["forest__18_", "forest__18__", "forest__18", "a_b", "_c_d_e_", "plain name"]
    assert safe_names(["a<", "b"], ["a_"]) == ["a__", "b"]


BOOSTERS = {
    "xgboost": XGBClassifier(n_estimators=2),
    "lightgbm": LGBMClassifier(n_estimators=2, verbose=-1),
    "stack": StackingModel([XGBClassifier(n_estimators=2)], LogisticRegression(), cv=2),
}


@pytest.mark.parametrize("passthrough", [False, ["a"]])
@pytest.mark.parametrize("final", BOOSTERS.values(), ids=list(BOOSTERS))
def test_boosters_as_final_estimators_take_any_label_and_any_name_of_a_learner(final, passthrough):
    labels = np.array(["<18", "[18, 65)", '{"more": 65}'])[np.arange(N) % 3]
    learners = [("tree[2]", DecisionTreeClassifier(max_depth=2)), ('a "tree"', DecisionTreeClassifier(max_depth=1))]
    model = StackingModel(learners, final, passthrough=passthrough, cv=2).fit(pandas(X), labels)
    assert set(model.predict(pandas(X))) <= set(labels)
    assert set(model.leaderboard().index) >= {"stack", "tree[2]", 'a "tree"'}
    assert model.oof_.columns[0] == "tree[2]_<18"
    assert model.get_feature_names_out()[0] == "tree[2]_<18"


WILD = ["a[", "a_", "<b"]  # of X's columns


@pytest.mark.parametrize("final", BOOSTERS.values(), ids=list(BOOSTERS))
def test_boosters_as_final_estimators_take_any_name_of_a_column_passed_through(final):
    """XGBoost said: feature_names must be string, and may not contain [, ] or <."""
    rows = pandas(X).set_axis(WILD, axis=1)
    model, plain = model_with(True, final=final), model_with(True, final=final)
    model.fit(rows, Y)
    expected = plain.fit(pandas(X), Y).predict_proba(pandas(X))
    np.testing.assert_array_equal(model.predict_proba(rows), expected)
    np.testing.assert_array_equal(model.compact().predict_proba(rows), expected)
    assert model.feature_names_in_.tolist() == WILD
    assert model.get_feature_names_out().tolist() == ["tree", "stump", *WILD]
    assert list(rows.columns) == WILD
    assert tune_threshold(model, "f1", X=rows).predict(rows).shape == (N,)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_only_those_names_change_that_would_be_refused(kind):
    columns = ["a[", 'b"', "c<", "tree"]
    frame, table = kind(dict.fromkeys(columns, [0.0, 1.0])), np.ones((2, 1))

    def names(final):
        return list(beside(table, ["stump"], frame, [0, 1, 2], final).columns)

    assert names(XGBClassifier()) == ["stump", "a_", 'b"', "c_"]
    assert names(LGBMClassifier()) == ["stump", "a_", "b_", "c<"]
    assert names(CalibratedClassifierCV(XGBClassifier())) == ["stump", "a_", 'b"', "c_"]
    assert names(LogisticRegression()) == names(None) == ["stump", *columns[:3]]
    by_name = make_column_transformer(("drop", ["a["]), remainder="passthrough")
    assert names(make_pipeline(by_name, XGBClassifier())) == ["stump", *columns[:3]]
