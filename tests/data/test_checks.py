import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from spies import Fails

from stackkit import StackingModel, cross_fit
from stackkit._data.estimators import check_learners, check_methods, infer_task, with_names
from stackkit._data.rows import check_rows, take_rows
from stackkit._data.target import check_target, check_weights, task_of_target
from stackkit._learners.adapted import with_adapted_nets
from stackkit._utils.wording import choice
from stackkit.exceptions import LearnerFailedError

N = 30
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.arange(N) % 2
TREE, BAYES = DecisionTreeClassifier(max_depth=2), GaussianNB()
LEARNERS = [("tree", TREE), ("bayes", BAYES)]


def fit_model(estimators, X, y, **options):
    return StackingModel(estimators, **options).fit(X, y)


both_doors = pytest.mark.parametrize("door", [fit_model, cross_fit], ids=["StackingModel", "cross_fit"])
frames = pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])


class NoFit:
    def predict(self, X):
        return X[:, 0]


class NoPredict(BaseEstimator):
    def fit(self, X, y):
        return self


class NoKind(NoPredict):
    """Neither a classifier nor a regressor."""

    def predict(self, X):
        return X[:, 0]


class NoEstimator:
    """It cannot be cloned."""

    fit, predict = NoKind.fit, NoKind.predict


# ---------------------------------------------------------------- learners


@both_doors
@pytest.mark.parametrize(
    ("estimators", "error", "match"),
    [
        ([], ValueError, r"'estimators' must be a non-empty list .* got \[\]\. Pass at least one"),
        ("drop", ValueError, r"'estimators' must be a non-empty list .* got 'drop'"),
        ({"tree": TREE}, TypeError, r"got a dict of \['tree'\]\. Pass list\(estimators\.items\(\)\)\."),
        (TREE, ValueError, r"'estimators' must be a non-empty list .* got DecisionTreeClassifier"),
        (
            [("tree", "drop"), ("bayes", "drop")],
            ValueError,
            r"'estimators' parameter must leave at least one learner; got only 'drop'\. Put an estimator",
        ),
        (["drop"], ValueError, "must leave at least one learner; got only 'drop'"),
        (
            [("a", TREE), ("b", BAYES), ("a", BAYES)],
            ValueError,
            r"names in 'estimators' must be unique; got 'a' more than once\. Rename one",
        ),
        ([("a", "drop"), ("a", BAYES)], ValueError, "must be unique; got 'a' more than once"),
        (
            [("my__tree", TREE)],
            ValueError,
            r"names in 'estimators' must not contain '__', .* got 'my__tree'\. Use a single underscore",
        ),
        ([("", TREE)], ValueError, r"names in 'estimators' must be non-empty strings; got ''\. Rename it"),
        ([(0, TREE)], ValueError, r"names in 'estimators' must be non-empty strings; got 0\. Rename it"),
        (
            [("tree", TREE), BAYES],
            ValueError,
            (
                r"'estimators' parameter must be a list of \(name, estimator\) pairs, or a list of estimators, "
                r"not a mixture; got the item GaussianNB\(\)\. Give each estimator a name, or none"
            ),
        ),
        ([("tree", TREE, 1)], ValueError, r"not a mixture; got the item \('tree', .*, 1\)"),
        (
            [("bayes", BAYES), ("it", NoFit())],
            TypeError,
            (
                r"learner 'it' must have a fit method and one of predict_proba, decision_function and predict; got "
                r".*NoFit object.*\. Use an estimator, or leave it out"
            ),
        ),
        ([("it", NoPredict())], TypeError, r"learner 'it' must have a fit method.*; got NoPredict\(\)"),
        ([("it", NoEstimator())], TypeError, "learner 'it' "),
        ([("it", None)], TypeError, "learner 'it' must have a fit method.*; got None"),
        (
            [("it", DecisionTreeClassifier)],
            TypeError,
            (
                "learner 'it' must be an estimator; got the class DecisionTreeClassifier. Make an instance of it: "
                r"DecisionTreeClassifier\(\)"
            ),
        ),
    ],
)
def test_bad_learners(door, estimators, error, match):
    with pytest.raises(error, match=match):
        door(estimators, X, Y)


def test_raw_nets_get_an_adapter():
    from nets import Layers
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(Layers)
    pipeline, frozen = Pipeline([("scale", StandardScaler()), ("net", net)]), FrozenEstimator(net)
    given = [("net", net), ("pipeline", pipeline), ("frozen", frozen), ("tree", TREE)]
    learners = dict(with_adapted_nets(check_learners(given)))
    assert learners["net"].net is learners["pipeline"].named_steps["net"].net is net
    assert learners["pipeline"].named_steps["scale"] is pipeline.named_steps["scale"]
    assert pipeline.named_steps["net"] is net
    assert learners["frozen"] is frozen
    assert learners["tree"] is TREE
    assert dict(with_adapted_nets(check_learners(list(learners.items())))) == learners


def test_the_adapter_loads_only_for_a_net(monkeypatch):
    monkeypatch.setattr("stackkit._learners.adapted.import_module", None)
    assert with_adapted_nets(LEARNERS) == tuple(LEARNERS)
    monkeypatch.delitem(sys.modules, "skorch", raising=False)
    assert with_adapted_nets(LEARNERS) == tuple(LEARNERS)


@pytest.mark.parametrize("name", [*StackingModel().get_params(deep=False), "splitter"])
def test_names_equal_to_a_parameter_of_the_model(name):
    with pytest.raises(ValueError, match=f"must differ from .*; got {name!r}. Choose another name"):
        StackingModel([(name, TREE)]).fit(X, Y)
    assert cross_fit([(name, TREE)], X, Y).columns == [name]  # cross_fit has no nested parameters


def test_learners_are_handed_on_as_they_are_without_the_dropped_ones():
    learners = check_learners([["tree", TREE], ("gone", "drop"), ("bayes", BAYES)])
    assert [name for name, _ in learners] == ["tree", "bayes"]
    assert learners[0][1] is TREE
    assert learners[1][1] is BAYES


@given(st.lists(st.sampled_from([TREE, BAYES, Ridge(), "drop"]), min_size=1, max_size=6))
def test_names_from_classes_are_unique_and_keep_the_order(items):
    named = with_names(items)
    names = [name for name, _ in named]
    assert [item for _, item in named] == items
    assert len(set(names)) == len(names)
    for name, item in named:
        base = "drop" if item == "drop" else type(item).__name__.lower()
        assert re.fullmatch(rf"{base}(-\d+)?", name)
        assert (name == base) == (items.count(item) == 1)


def test_repeated_classes_are_numbered_from_one():
    names = [name for name, _ in with_names([TREE, BAYES, TREE])]
    assert names == ["decisiontreeclassifier-1", "gaussiannb", "decisiontreeclassifier-2"]


# ---------------------------------------------------------------- stack_method


@both_doors
@pytest.mark.parametrize(
    ("stack_method", "match"),
    [
        (
            "predict_prob",
            (
                r"'stack_method' parameter of .* must be one of 'auto', 'predict_proba', 'decision_function', 'predict'"
                r".*; got 'predict_prob'\. Did you mean 'predict_proba'\?"
            ),
        ),
        ("decision", r"got 'decision'\. Did you mean 'decision_function'\?"),
        ("zzz", r"got 'zzz'\.$"),
        (None, r"'stack_method' parameter .* got None\.$"),
        ({"tree": "predct"}, r"got 'predct'\. Did you mean 'predict'\?"),
        (
            {"tre": "predict"},
            (
                r"'stack_method' parameter must map names of learners to methods; got 'tre', which is not one of "
                r"\['tree', 'bayes'\]\. Correct the name"
            ),
        ),
        ({0: "predict", "tre": "predict"}, "must map names of learners to methods; got"),
        (
            {"bayes": "decision_function"},
            (
                r"learner 'bayes' \(GaussianNB\) does not implement the method decision_function that "
                r"'stack_method' asks for; it offers \['predict_proba', 'predict'\]\. Choose one of them"
            ),
        ),
    ],
)
def test_bad_stack_method(door, stack_method, match):
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, X, Y, stack_method=stack_method)


def test_auto_takes_the_first_method_that_a_learner_has():
    learners = [("tree", TREE), ("svc", LinearSVC()), ("ridge", Ridge())]
    assert check_methods(learners, "auto", "classification") == (
        "predict_proba",
        "decision_function",
        "predict",
    )
    assert check_methods(learners, "predict", "classification") == ("predict",) * 3
    assert check_methods(learners, {"tree": "predict"}, "classification") == (
        "predict",
        "decision_function",
        "predict",
    )


def test_numbers_are_predicted_by_predict_whatever_is_asked_for():
    assert check_methods([("ridge", Ridge())], "predict_proba", "regression") == ("predict",)
    with pytest.raises(ValueError, match="Did you mean 'predict_proba'"):
        check_methods([("ridge", Ridge())], "predict_prob", "regression")


@both_doors
def test_stack_method_may_name_a_learner_that_is_dropped(door):
    # As a grid search does that tries the stack without it.
    door([*LEARNERS, ("gone", "drop")], X, Y, stack_method={"tree": "predict", "gone": "predict"})


@given(st.sampled_from(["threading", "loky", "multiprocessing"]), st.integers(0, 20))
def test_a_choice_lists_what_is_allowed_and_guesses_at_a_slip(word, place):
    allowed = ["threading", "loky", "multiprocessing", None]
    slip = word[: place % len(word)] + word[place % len(word) + 1 :]  # a letter too few
    text = str(choice("backend", "run", allowed, slip))
    assert all(repr(option) in text for option in allowed)
    assert text.endswith(f"got {slip!r}. Did you mean {word!r}?")
    assert str(choice("backend", "run", allowed, 17)).endswith("got 17.")


# ---------------------------------------------------------------- rows


def with_column(values):
    return np.column_stack([X, values])


@both_doors
@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (X[:1], "1 sample.* minimum of 2 is required"),
        (X[:, 0], "Expected 2D array, got 1D array"),
        (X[:, :0], r"0 feature\(s\)"),
        (with_column(np.full(N, np.inf)), "Input X contains infinity"),
        (with_column(np.where(Y, -np.inf, 0)).astype(object), "Input X contains infinity"),
        (sparse.csr_matrix(with_column(np.full(N, np.inf))), "Input X contains infinity"),
        (
            with_column(np.full(N, np.nan)),
            r"Each column of X must hold a value in some row; got NaN in all 30 rows of \[3\]\. Drop what is empty",
        ),
        (with_column(np.full(N, None)), r"got NaN in all 30 rows of \[3\]"),
    ],
)
def test_bad_arrays(door, rows, match):
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, rows, Y[: rows.shape[0]])


@both_doors
@frames
@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (
            {"a": [1.0], "b": [2.0]},
            r"X must have at least 2 row\(s\) and 1 column; got a data frame of shape \(1, 2\).*Check how",
        ),
        ({}, r"at least 2 row\(s\) and 1 column; got a data frame of shape \(0, 0\)"),
        (
            {"a": X[:, 0], "b": np.where(Y, np.inf, 0.0)},
            "X must hold no infinity; got one in the column 'b'. Replace it with a number or a missing value",
        ),
        ({"a": X[:, 0], "b": np.where(Y, -np.inf, 0.0)}, "got one in the column 'b'"),
        (
            {"a": X[:, 0], "b": np.full(N, np.nan)},
            r"Each column of X must hold a value in some row; got NaN in all 30 rows of \['b'\]\. Drop what",
        ),
        ({"a": [None] * N, "b": X[:, 0], "c": [None] * N}, r"in all 30 rows of \['a', 'c'\]"),
    ],
)
def test_bad_frames(door, frame, columns, match):
    X = frame(columns)
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, X, Y[: X.shape[0]])


@both_doors
def test_duplicate_column_names(door):
    match = r"column names of X must be unique; got \['a'\] more than once\. Rename or drop the duplicates"
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, pd.DataFrame(X, columns=["a", "b", "a"]), Y)


@both_doors
@pytest.mark.parametrize(
    "rows", [pd.Series(X[:, 0]), pl.Series(X[:, 0]), pl.LazyFrame({"a": X[:, 0]})], ids=["pandas", "polars", "lazy"]
)
def test_what_is_neither_an_array_nor_a_frame_is_refused_in_words(door, rows):
    with pytest.raises((TypeError, ValueError), match=r"\bX\b|2D"):
        door(LEARNERS, rows, Y)


@frames
def test_the_rows_to_predict_may_have_empty_columns_but_no_infinity(frame):
    empty, endless = frame({"a": [np.nan], "b": [1.0]}), frame({"a": [np.inf], "b": [1.0]})
    assert check_rows(empty, training=False) is empty
    with pytest.raises(ValueError, match="no infinity; got one in the column 'a'"):
        check_rows(endless, training=False)
    with pytest.raises(ValueError, match=r"at least 1 row\(s\)"):
        check_rows(empty[:0], training=False)


@frames
def test_frames_stay_what_they_are(frame):
    mixed = frame({"number": [1.5, None, 2.0], "text": ["a", None, "b"], "flag": [True, False, True]})
    assert check_rows(mixed, training=True) is mixed


def test_nullable_and_sparse_columns_are_read():
    good = pd.DataFrame({"a": pd.array([1.0, None], dtype="Float64"), "b": pd.array([None, 1], dtype="Int64")})
    assert check_rows(good, training=True) is good
    for kind in ("Float64", pd.SparseDtype(float, 0.0)):
        with pytest.raises(ValueError, match="infinity; got one in the column 'a'"):
            check_rows(pd.DataFrame({"a": pd.array([1.0, np.inf], dtype=kind)}), training=True)


def test_arrays_keep_their_values_and_their_gaps():
    gaps = np.where(X > 1, np.nan, X)
    np.testing.assert_array_equal(check_rows(gaps, training=True), gaps)
    np.testing.assert_array_equal(check_rows(gaps.tolist(), training=True), gaps)
    numbers = check_rows(gaps.astype(object), training=True)
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, gaps)
    images = np.ones((4, 2, 2), dtype=np.uint8)
    assert check_rows(images, training=True).dtype == np.uint8


@pytest.mark.parametrize("kind", [sparse.csc_matrix, sparse.coo_array, sparse.csr_matrix])
def test_sparse_rows_become_csr(kind):
    rows = check_rows(kind(X), training=True)
    assert rows.format == "csr"
    np.testing.assert_array_equal(rows.toarray(), X)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([["a", "x"], ["b", "y"]]),
        np.array([["a", 1], [None, 2.5]], dtype=object),
        [["a", "x"], ["b", "y"]],
        [["a", 1], ["b", 2]],
    ],
    ids=["text", "mixed", "list of text", "mixed list"],
)
def test_text_stays_text_for_the_learners_encoders(rows):
    kept = check_rows(rows, training=True)
    assert [[str(cell) for cell in row] for row in kept] == [[str(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix, sparse.csr_array, pd.DataFrame, pl.DataFrame])
def test_rows_are_taken_by_position(wrap):
    table = wrap(X)
    if hasattr(table, "iloc"):
        table.index = np.arange(N)[::-1]
    rows = np.array([5, 0, 29])
    taken = take_rows(table, rows)
    np.testing.assert_array_equal(taken.toarray() if sparse.issparse(taken) else np.asarray(taken), X[rows])


@both_doors
def test_sparse_rows_and_a_learner_that_cannot(door):
    learners = [("bayes", DummyClassifier()), ("boosting", HistGradientBoostingClassifier())]
    with pytest.raises(LearnerFailedError, match=r"learner 'boosting' \(HistGrad.*[Ss]parse.*on_error='drop'"):
        door(learners, sparse.csr_matrix(X), Y)


@frames
def test_columns_changed_between_fit_and_predict(frame):
    table = {"a": X[:, 0], "b": X[:, 1]}
    model = StackingModel(LEARNERS).fit(frame(table), Y)
    for method in (model.predict, model.predict_proba, model.transform):
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- z\n.*now missing:\n- a\n"):
            method(frame({"z": X[:, 0], "b": X[:, 1]}))
        with pytest.raises(ValueError, match="now missing:\n- b"):
            method(frame({"a": X[:, 0]}))
        np.testing.assert_array_equal(method(frame({"b": X[:, 1], "a": X[:, 0]})), method(frame(table)))
    with pytest.raises(ValueError, match="X has 3 features, but StackingModel is expecting 2"):
        StackingModel(LEARNERS).fit(X[:, :2], Y).predict(X)


@both_doors
@pytest.mark.parametrize("length", [N - 1, N + 1, 0])
@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_lengths_of_x_and_y(door, kind, length):
    match = f"X and y must have the same number of rows; got 30 and {length}. Check how they were split"
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, X, kind([0, 1] * N)[:length])


# ---------------------------------------------------------------- target


@both_doors
@pytest.mark.parametrize("estimators", [LEARNERS, [Ridge()]], ids=["classes", "numbers"])
def test_no_target(door, estimators):
    with pytest.raises(ValueError, match=r"y must be given: .* the target y is None"):
        door(estimators, X, None)


def test_no_target_and_nobody_to_tell_the_task():
    with pytest.raises(ValueError, match="the target y is None"):
        StackingModel().fit(X, None)


@both_doors
@pytest.mark.parametrize("y", [3, "text"])
def test_a_target_that_is_no_column(door, y):
    with pytest.raises((TypeError, ValueError), match=r"\by\b"):
        door(LEARNERS, X, y)


@both_doors
@pytest.mark.parametrize("y", [np.zeros(N), ["only"] * N, pd.Series(["only"] * N)])
def test_one_class(door, y):
    with pytest.raises(ValueError, match=r"y must have at least two classes; got one class only, .*(0|only)"):
        door(LEARNERS, X, y)


@both_doors
@pytest.mark.parametrize(
    "y",
    [
        np.where(Y, np.nan, 1.0),
        np.where(Y, None, "a"),
        np.array(["a", np.nan, "b"] * 10, dtype=object),
        pd.Series(["a", None, "b"] * 10, dtype="string"),
        pd.Series(["a", None, "b"] * 10, dtype="category"),
        pd.Series([0, None, 1] * 10, dtype="Int64"),
        pl.Series(["a", None, "b"] * 10),
    ],
    ids=["float", "None", "object", "string", "category", "Int64", "polars"],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_missing_classes_in_y(door, y):
    with pytest.raises(ValueError, match=r"Input y contains NaN"):
        door(LEARNERS, X, y)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([True, False] * 15, dtype=object), [False, True]),
        (pd.Series([True, False] * 15, dtype="boolean"), [False, True]),
        (pd.Series([2, 1] * 15, dtype=object), [1, 2]),
        (pd.Series([2, 1] * 15, dtype="Int64"), [1, 2]),
        (np.array([2, 1.0] * 15, dtype=object), [1, 2]),
        (np.array([2.0, 1.0] * 15), [1, 2]),
        (pd.Series(pd.Categorical(["b", "a"] * 15, categories=["c", "b", "a"])), ["a", "b"]),
        (pd.Series(["b", "a"] * 15, dtype="string"), ["a", "b"]),
    ],
)
@both_doors
def test_classes_of_any_type(door, y, classes):
    found = door(LEARNERS, X, y)
    assert (found.classes_ if hasattr(found, "classes_") else found.classes).tolist() == classes


def test_numbers_as_objects_are_numbers():
    y = np.array([10**30, *X[1:, 0]], dtype=object)
    np.testing.assert_array_equal(check_target(y, "regression", N).values, y.astype(float))


@pytest.mark.parametrize("y", [["a", 1] * 15, [True, "a"] * 15, [1.5, "a"] * 15])
@both_doors
def test_classes_of_several_types(door, y):
    types = ", ".join(sorted({type(value).__name__ for value in y}))
    match = rf"y must hold values of one type; got {types}\. Convert it, such as with astype\(str\)"
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, X, pd.Series(y, dtype=object))


@both_doors
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_and_infinite_numbers_in_y(door, bad):
    with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
        door([Ridge()], X, np.where(Y, bad, 1.0))


@both_doors
@pytest.mark.parametrize(
    ("y", "match"),
    [
        (X[:, 0], "Unknown label type: continuous.*classifier"),
        (X[:, :2], "Unknown label type: continuous-multioutput"),
        (
            np.column_stack([np.arange(N) % 3] * 2),
            "y must hold one class per row, or a 0/1 indicator of labels; got several multi-class columns. Fit one",
        ),
    ],
)
def test_targets_that_are_not_classes(door, y, match):
    with pytest.raises(ValueError, match=match):
        door(LEARNERS, X, y)


@both_doors
def test_text_is_not_a_number(door):
    with pytest.raises(ValueError, match="numeric"):
        door([Ridge()], X, ["a", "b"] * 15)


@both_doors
def test_fewer_members_of_a_class_than_folds(door):
    with pytest.warns(UserWarning, match="least populated class in y has only 3 members.*n_splits=5"):
        door([("tree", TREE)], X, np.arange(N) < 3, cv=5)


@pytest.mark.parametrize("wrap", [list, np.array, pd.Series, pd.Categorical, pl.Series])
@pytest.mark.parametrize("labels", [["no", "yes"], ["b", "c", "a"], [3, 1, 2], [2.0, 0.0]])
def test_classes_are_sorted_and_coded_from_zero(wrap, labels):
    y = labels * 5
    target = check_target(wrap(y), "classification", len(y))
    assert target.classes.tolist() == sorted(labels)
    assert target.classes[target.values].tolist() == y
    assert target.values.dtype == np.int64
    assert (target.n_classes, target.n_outputs, target.multilabel) == (len(labels), 1, False)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=3), min_size=2, max_size=12))
def test_any_text_can_be_a_class(y):
    assume(len(set(y)) > 1)
    y = np.array(y, dtype=object)  # a NumPy string would lose trailing zero characters
    target = check_target(y, "classification", len(y))
    assert target.classes[target.values].tolist() == y.tolist()
    assert list(target.classes) == sorted(set(y))


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix, pd.DataFrame, lambda y: y.astype(bool)])
def test_label_indicators(wrap):
    indicator = np.column_stack([Y, 1 - Y, np.zeros(N, dtype=int)])
    target = check_target(wrap(indicator), "classification", N)
    np.testing.assert_array_equal(target.values, indicator)
    assert [classes.tolist() for classes in target.classes] == [[0, 1], [0, 1], [0]]
    assert (target.n_classes, target.n_outputs, target.multilabel) == (0, 3, True)


@pytest.mark.parametrize("y", [X[:, 0], X[:, :2], Y, X[:, 0].astype(np.float32).tolist()])
def test_numbers_are_floats_of_the_same_shape(y):
    target = check_target(y, "regression", N)
    assert target.values.dtype == np.float64
    np.testing.assert_array_equal(target.values, y)
    assert (target.classes, target.n_classes, target.multilabel) == (None, 0, False)
    assert target.n_outputs == (np.shape(y)[1] if np.ndim(y) == 2 else 1)


@both_doors
@pytest.mark.parametrize(("estimators", "y"), [(LEARNERS, Y), ([("ridge", Ridge())], X[:, 0])])
def test_a_column_of_y_is_flattened_with_scikit_learns_warning(door, estimators, y):
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        door(estimators, X, y[:, np.newaxis])
    with pytest.warns(DataConversionWarning):
        target = check_target(y[:, np.newaxis], "classification" if estimators is LEARNERS else "regression", N)
    np.testing.assert_array_equal(target.values, y)


# ---------------------------------------------------------------- task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b", "c"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 1], "classification"),
        ([-1.0, 7.0], "classification"),
        ([0.5, 1.0, 2.0], "regression"),
        (np.arange(20), "classification"),
        (np.arange(21), "regression"),
        (np.arange(21.0), "regression"),
        (np.arange(1000) % 50, "classification"),  # up to a twentieth of the rows
        (np.arange(1000) % 51, "regression"),
        ([f"{i}" for i in range(100)], "classification"),
        (pd.Categorical([f"{i}" for i in range(100)]), "classification"),
        (np.eye(3, dtype=int), "classification"),
        (X, "regression"),
        (pd.Series([1, 2, 3]), "classification"),
    ],
)
def test_the_type_of_y_tells_the_task_where_no_learner_does(y, task):
    assert task_of_target(y) == task
    assert infer_task([("any", NoKind())], y) == task
    assert infer_task([("any", NoKind()), ("tree", TREE)], y) == "classification"
    assert infer_task([("any", NoKind()), ("ridge", Ridge())], y) == "regression"
    assert infer_task([("ridge", Ridge()), ("tree", TREE)], y) == "classification"


# ---------------------------------------------------------------- weights


def test_weights_are_floats_one_a_row():
    assert check_weights(None, 3) is None
    assert check_weights(2, 3).tolist() == [2.0, 2.0, 2.0]
    for given_weights in ([1, 2, 3], np.array([1, 2, 3], dtype=np.float32), pd.Series([1, 2, 3])):
        weights = check_weights(given_weights, 3)
        assert weights.dtype == np.float64
        assert weights.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(N - 1), "X and sample_weight must have the same number of rows; got 30 and 29. Check how"),
        (np.ones((N, 2)), r"Sample weights must be 1D array or scalar; got an array of shape \(30, 2\)"),
        (np.full(N, np.nan), "Input sample_weight contains NaN"),
        (np.full(N, np.inf), "Input sample_weight contains infinity"),
    ],
)
def test_bad_weights(weights, match):
    with pytest.raises(ValueError, match=match):
        cross_fit(LEARNERS, X, Y, sample_weight=weights)
    with pytest.raises(ValueError, match=match):
        StackingModel(LEARNERS).fit(X, Y, sample_weight=weights)


@pytest.mark.parametrize("fit", [cross_fit, lambda learners, X, y, **given: StackingModel(learners).fit(X, y, **given)])
def test_weights_that_are_all_zero_are_refused_before_anything_is_fitted(fit):
    with pytest.raises(ValueError, match=r"sample_weight must not be zero for all rows; .*Got 40 zeros: leave it out"):
        fit([Fails()], np.zeros((40, 1)), np.arange(40) % 2, sample_weight=np.zeros(40))
