"""Predictions that others made: rows matched, columns checked, blended as a stack's own would be."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from spies import Witness

from stackkit import OutOfFold, StackingClassifier, StackingModel, StackingRegressor, cross_fit, load, save
from stackkit.evaluation import nested_scores
from stackkit.exceptions import NotProbabilitiesWarning

IRIS = [("knn", KNeighborsClassifier(20)), ("bayes", GaussianNB())]
Y = np.array(["no", "yes"] * 10)


def _fold_of_each_row(oof):
    labels = np.empty(len(oof.y), dtype=object)
    for fold, (_, test) in enumerate(oof.folds.pairs):
        labels[test] = f"part {fold}"
    return labels


def _frames(table, oof, index, prefix=""):
    return {
        name: pd.DataFrame(table[:, b.columns], index, [prefix + str(label) for label in b.labels])
        for name, b in oof.blocks.items()
    }


def _p(n=20, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, n)


def test_the_blend_is_that_of_the_stack_whose_predictions_they_are(tmp_path):
    """In another order of rows and columns, with names, on the same folds: the same bits."""
    X, y = load_iris(return_X_y=True)
    y, ids = np.array(["a", "b", "c"])[y], pd.Index([f"row {i}" for i in range(150)])
    stack = StackingClassifier(IRIS, random_state=0).fit(X, y)
    mine, new = stack.oof_, stack.transform(X[:20])
    train = {
        name: f.sample(frac=1, random_state=1)[["p_c", "p_a", "p_b"]]
        for name, f in _frames(mine.train, mine, ids, "p_").items()
    }
    test = {name: f[::-1] if name == "bayes" else f for name, f in _frames(new, mine, ids[:20]).items()}
    folds = pd.Series(_fold_of_each_row(mine), ids).sample(frac=1, random_state=2)
    oof = OutOfFold.from_frames(train, pd.Series(y, ids), test, folds=folds)
    np.testing.assert_allclose(oof.train, mine.train, atol=1e-15)
    assert oof.index.equals(ids)
    model = StackingClassifier.from_oof(oof)
    np.testing.assert_allclose(model.predict_proba(oof.test_frame()), stack.predict_proba(X[:20]), atol=1e-12)
    own = stack.leaderboard(full=True).drop(columns=["fit_seconds", "predict_seconds"])
    board = model.leaderboard(full=True)
    pd.testing.assert_frame_equal(board.drop(columns=["fit_seconds", "predict_seconds"]), own)
    assert board["fit_seconds"].isna().all()  # what it took is not known
    assert board.attrs["legend"][-1] == oof.caveat
    assert not any("did not see" in line for line in board.attrs["legend"][:-1])
    save(model, tmp_path / "blend.model")
    again = load(tmp_path / "blend.model")
    np.testing.assert_array_equal(again.predict(oof.test_frame()), model.predict(oof.test_frame()))
    assert again.oof_.caveat == oof.caveat


def test_numbers():
    X, y = load_diabetes(return_X_y=True)
    stack = StackingRegressor([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))], random_state=0).fit(X, y)
    train = dict(zip(stack.oof_.blocks, stack.oof_.train.T, strict=True))
    oof = OutOfFold.from_frames(train, y, folds=list(stack.oof_.folds.pairs))
    model = StackingRegressor.from_oof(oof)
    np.testing.assert_array_equal(model.final_estimator_.weights_, stack.final_estimator_.weights_)
    nested = nested_scores(model, oof.to_frame(), y, cv=model.cv)
    assert nested.table.loc["stack", "score"] == pytest.approx(model.leaderboard().loc["stack", "rmse"])


def test_a_table_of_cross_fit_can_be_blended_too():
    X, y = load_iris(return_X_y=True)
    oof = cross_fit(IRIS, X, y, X_test=X[:5], random_state=0)
    model = StackingModel.from_oof(oof)
    stack = StackingModel(IRIS, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(oof.test_frame()), stack.predict_proba(X[:5]))
    assert not oof.caveat
    with pytest.raises(ValueError, match="tables of probabilities, or of one number per row; got 'label' columns"):
        StackingModel.from_oof(cross_fit(IRIS, X, y, stack_method="predict"))
    with pytest.raises(TypeError, match=r"must be an OutOfFold; got a dict"):
        StackingModel.from_oof({})
    with pytest.raises(TypeError, match=r"takes learners, folds and columns from the table; got \['cv'\]"):
        StackingModel.from_oof(oof, cv=5)


@pytest.mark.parametrize("folds", [None, np.arange(60) % 3])
def test_no_row_is_scored_by_a_blend_that_saw_it(folds):
    """The final estimator says 1 of rows that it was fitted to: of those that it is scored on it must say 0."""
    y = np.arange(60) % 2
    oof = OutOfFold.from_frames({"row": _p(60), "other": _p(60, 1)}, y, folds=folds)
    model = StackingModel.from_oof(oof, Witness())
    nested = nested_scores(model, oof.to_frame(), y, cv=model.cv, scoring="accuracy")
    assert nested.scores["stack"].tolist() == pytest.approx([np.mean(y[test] == 0) for _, test in oof.folds.pairs])
    assert (model.predict(oof.to_frame()) == 1).all()  # the witness does tell


def test_random_labels_give_no_skill():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    oof = OutOfFold.from_frames({f"m{k}": _p(400, k) for k in range(6)}, y)
    model = StackingModel.from_oof(oof)
    nested = nested_scores(model, oof.to_frame(), y, cv=model.cv)
    assert nested.table.loc["stack", "score"] > nested.constant - 0.01
    assert nested.outcome != "helps"


def test_where_folds_are_not_known_it_is_said():
    oof = OutOfFold.from_frames({"m": _p()}, Y)
    assert "a leak cannot be excluded" in oof.caveat
    assert oof.caveat in repr(oof).replace("\n", " ").replace("  ", " ") or "note" in repr(oof)
    assert len(oof.folds) == 5
    assert "taken on trust" in OutOfFold.from_frames({"m": _p()}, Y, folds=KFold(4)).caveat


def test_names_of_classes_that_begin_alike():
    y = pd.Series(np.tile([1, 10, 11], 10))
    values = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    frame = pd.DataFrame(values[:, [2, 0, 1]], columns=["class_11", "class_1", "class_10"])
    oof = OutOfFold.from_frames({"named": frame, "plain": values}, y)
    np.testing.assert_allclose(oof.train, np.hstack([values, values]), atol=1e-15)
    texts = OutOfFold.from_frames(
        {"plain": np.tile(np.eye(11)[2] * 0.9 + 0.1 / 11, (22, 1))}, [str(k % 11) for k in range(22)]
    )
    assert texts.to_frame()["plain_10"].iloc[0] > 0.9  # "10" is the third in sorted order


def test_rounded_probabilities_are_divided_by_their_sum():
    values = np.random.default_rng(0).dirichlet(np.ones(3), 30).round(2)
    oof = OutOfFold.from_frames({"m": values}, np.tile([0, 1, 2], 10))
    np.testing.assert_allclose(oof.train.sum(axis=1), 1, atol=1e-15)


def test_rows_that_no_fold_tests_need_no_prediction():
    p = _p()
    p[:5] = np.nan
    folds = [(np.arange(5, 12), np.arange(12, 20)), (np.arange(12, 20), np.arange(5, 12))]
    oof = OutOfFold.from_frames({"m": p}, Y, folds=folds)
    assert oof.covered.tolist() == [False] * 5 + [True] * 15
    assert StackingModel.from_oof(oof).leaderboard().loc["m", "log_loss"] > 0


def test_classes_in_place_of_probabilities_are_told_of():
    with pytest.warns(NotProbabilitiesWarning, match="'m' are nothing but 0 and 1"):
        OutOfFold.from_frames({"m": (Y == "yes").astype(float)}, Y)


def test_weights_follow_the_rows():
    ids = pd.Index(list("abcdefghijklmnopqrst"))
    weights = pd.Series(np.arange(20.0), ids)
    oof = OutOfFold.from_frames({"m": pd.Series(_p(), ids)}, pd.Series(Y, ids), sample_weight=weights[::-1])
    np.testing.assert_array_equal(oof.sample_weight, np.arange(20.0))
    StackingModel.from_oof(oof)


IDS = pd.Index(range(100, 120), name="id")
SERIES = pd.Series(_p(), IDS)


@pytest.mark.parametrize(
    ("train", "more", "error", "message"),
    [
        ([SERIES], {}, TypeError, "'train' parameter of from_frames must be a dict"),
        ({}, {}, TypeError, "got an empty one"),
        ({1: SERIES}, {}, ValueError, "must name learners by text; got 1"),
        ({"m": SERIES[1:]}, {}, ValueError, r"train\['m'\] must have the rows of y; it lacks 1, such as 100"),
        ({"m": SERIES.rename({100: 7})}, {}, ValueError, r"it lacks 1, such as 100"),
        ({"m": pd.concat([SERIES, SERIES[:1]])}, {}, ValueError, "must differ; got 100 twice"),
        ({"m": _p(19)}, {}, ValueError, "must have a row for each of the 20 of y; got 19"),
        ({"m": SERIES.astype(str) + "x"}, {}, ValueError, "must hold numbers"),
        ({"m": SERIES.where(SERIES > 0.2)}, {}, ValueError, "must have a finite prediction for each row"),
        ({"m": 100 * SERIES}, {}, ValueError, "from 0 to 1; got .* Divide by 100"),
        ({"m": SERIES - 3}, {}, ValueError, "Turn scores into probabilities"),
        ({"m": np.column_stack([_p(), _p()])}, {}, ValueError, "whose sum is 1 in each row; 20 of 20 rows are off"),
        ({"m": pd.DataFrame({"a": SERIES, "b": SERIES})}, {}, ValueError, "a column for each of the classes no, yes"),
        ({"m": SERIES}, {"test": {"n": SERIES}}, ValueError, r"it lacks \['m'\] and has \['n'\] in excess"),
        ({"m": SERIES}, {"test": SERIES}, TypeError, "'test' parameter of from_frames must be a dict"),
        ({"m": SERIES}, {"folds": np.zeros(20)}, ValueError, r"must name two folds or more; got \[0.0\]"),
        ({"m": SERIES}, {"folds": np.where(np.arange(20) < 3, np.nan, 1)}, ValueError, "some have none"),
        ({"m": SERIES}, {"folds": [0, 1]}, ValueError, "folds must have a row for each of the 20"),
    ],
)
def test_what_is_wrong_is_said(train, more, error, message):
    with pytest.raises(error, match=message):
        OutOfFold.from_frames(train, pd.Series(Y, IDS), **more)


def test_targets_without_labels_need_tables_in_one_order():
    with pytest.raises(ValueError, match=r"other row labels than train\['a'\], or another order"):
        OutOfFold.from_frames({"a": SERIES, "b": SERIES[::-1]}, Y)
    assert OutOfFold.from_frames({"a": SERIES, "b": SERIES}, Y).index.equals(IDS)
    with pytest.raises(ValueError, match="y must be one column for given predictions; got 2"):
        OutOfFold.from_frames({"a": _p()}, np.column_stack([_p(), _p()]))
    with pytest.raises(ValueError, match="must be one column of numbers"):
        OutOfFold.from_frames({"a": np.column_stack([_p(), _p()])}, _p(20, 3))
    with pytest.raises(ValueError, match="has no new rows; got test=None"):
        OutOfFold.from_frames({"a": _p()}, Y).test_frame()
