"""Columns of categories: what is learned of them, from which rows, and that it is the same alone and packed."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from stackkit import StackingModel, load, save
from stackkit._data import Target
from stackkit._learners.preparation import network_preprocessing
from stackkit._members import fit_members_at_once
from stackkit.nn import BNMLPClassifier, BNMLPRegressor
from stackkit.nn._categories import Categories, learn_categories
from stackkit.nn._levels import LEAST_ROWS, MOST_INDICATORS, learn_levels

RNG = np.random.default_rng(0)
N = 120
TOWNS = np.array([f"town {i}" for i in range(14)])
TOWN = RNG.integers(0, len(TOWNS), N)
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(size=N),
        "town": TOWNS[TOWN],
        "kind": RNG.choice(["x", "y", None], N),
        "month": RNG.integers(1, 13, N),
    }
)
NAMES = ["town", "kind", "month"]
VALUES = (TOWN % 3) + FRAME["size"].to_numpy() + 0.1 * RNG.normal(size=N)
CLASSES = (VALUES > 1).astype(int)
SHORT = {"hidden_layer_sizes": (6,), "max_epochs": 3, "random_state": 0, "dtype": "float64"}
FOLDS = [train for train, _ in KFold(3, shuffle=True, random_state=0).split(FRAME)]
FOLDS.append(np.arange(17))  # where all months are indicators, and the table of towns is small


def classifier(**params):
    return BNMLPClassifier(**SHORT | {"categorical_features": NAMES, "n_members": 2, "early_stopping": False} | params)


def regressor(**params):
    return BNMLPRegressor(**SHORT | {"categorical_features": NAMES, "n_members": 2, "early_stopping": False} | params)


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


# --- which columns, and which levels ------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        [1, 2, 3],
        np.array([3, 1, 2]),
        [False, True, True, True],
        np.array([False, True, True, True]),
        ("month", "town", "kind"),
        "from_dtype",
    ],
    ids=["places", "array", "mask", "array mask", "names", "dtype"],
)
def test_the_ways_to_name_columns_are_one(wanted):
    table = FRAME.astype(dict.fromkeys(NAMES, "category")) if isinstance(wanted, str) else FRAME
    found = learn_categories("Net", wanted, table)
    assert found == learn_categories("Net", NAMES, FRAME)
    assert found.columns == [1, 2, 3]
    assert found.levels == [sorted(TOWNS), ["x", "y"], [float(month) for month in range(1, 13)]]
    pd.testing.assert_frame_equal(found.coded(table), found.coded(FRAME))


def test_arrays_lists_and_frames_of_others_have_the_same_categories():
    polars = pytest.importorskip("polars", reason="polars is an optional package")
    columns = {name: [None if pd.isna(value) else value for value in FRAME[name]] for name in FRAME}
    known = learn_categories("Net", [1, 2, 3], FRAME)
    coded = known.coded(FRAME).to_numpy(dtype=float)
    for table in (FRAME.to_numpy(), FRAME.to_numpy().tolist(), polars.DataFrame(columns)):
        assert learn_categories("Net", [1, 2, 3], table) == known
        np.testing.assert_array_equal(known.coded(table).to_numpy(dtype=float), coded)
    by_dtype = polars.DataFrame(columns).with_columns(polars.col("town").cast(polars.Categorical))
    assert learn_categories("Net", "from_dtype", by_dtype).columns == [1]


def test_where_nothing_is_named_there_are_none():
    for wanted in (None, [], "from_dtype", [False] * 4):
        assert learn_categories("Net", wanted, FRAME) is None
    assert learn_categories("Net", "from_dtype", FRAME.to_numpy()) is None


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        (
            "town",
            r"must be a list of columns, a mask, 'from_dtype' or None; got 'town'. For one column, pass \['town'\]",
        ),
        (3, r"must be a list of columns, a mask, 'from_dtype' or None; got 3"),
        ([True, False], "must have a value for each of the 4 columns of X where it is a mask; got 2"),
        (["city"], r"'categorical_features' parameter must name columns of X, \['size', .*; got 'city'"),
        ([4], "must name columns of X, .*; got 4"),
    ],
)
def test_columns_that_are_not_there_are_refused(wanted, match):
    with pytest.raises(ValueError, match=match):
        regressor(categorical_features=wanted).fit(FRAME, VALUES)


def test_values_that_are_no_levels_are_refused():
    model = regressor().fit(FRAME, VALUES)
    lists = FRAME.assign(town=[["a", "list"]] * N)
    for ask in (lambda: regressor().fit(lists, VALUES), lambda: model.predict(lists)):
        with pytest.raises(TypeError, match=r"'categorical_features' names, each .* a string or a number; unhashable"):
            ask()


def test_numbers_are_the_same_levels_whatever_their_type_and_new_values_are_unknown():
    known = Categories([0], [[1.0, 2.0, "1", "a"]], [[2, 3, 4, 5]])
    for values in ([1, 2], [1.0, 2.0], [True, 2], pd.array([1, 2], "Int64"), np.array([1, 2], np.float32)):
        assert known.coded(pd.DataFrame({"c": values}))["c"].tolist() == [2, 3]
    mixed = pd.DataFrame({"c": pd.Series([None, np.nan, pd.NA, "b", 7, "a", "1", 1], dtype=object)})
    assert known.coded(mixed)["c"].tolist() == [1, 1, 1, 0, 0, 5, 4, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_of_floats_have_the_codes_of_frames(dtype):
    rng = np.random.default_rng(0)
    known = Categories([0, 2, 3, 9], [[0.5, 1.0, 7.0, "1"], ["a"], [], [1.0]], [[4, 2, 9, 3], [2], [], [2]])
    X = rng.choice([-np.inf, -1, 0.5, 1, 2, 7, 9, np.inf, np.nan], size=(200, 4)).astype(dtype)
    given = X.copy()
    found = known.coded(X)
    np.testing.assert_array_equal(found, known.coded(pd.DataFrame(X)).to_numpy(dtype))
    assert found.dtype == dtype
    np.testing.assert_array_equal(X, given)


def test_few_levels_have_indicators_many_a_table_and_rare_ones_share_an_entry():
    many = np.repeat(np.arange(2, 12), LEAST_ROWS)  # codes of ten levels
    few = np.r_[[2, 3], np.full(8, 4), np.ones(20, int)]  # two are rare, and some are missing
    hot, tables = learn_levels(np.column_stack([np.zeros(30), many, few]), [1, 2], 14)
    assert tables.column.tolist() == [1]
    assert tables.entry.tolist() == [[0, 0, *range(1, 11), 0, 0]]
    assert hot.column.tolist() == [2]
    assert hot.entry.tolist() == [[3, 1, 3, 3, 2, *[3] * 9]]  # unknown codes are like rare ones
    assert (hot.n_entries, tables.n_entries) == (3, 10)
    both, _ = learn_levels(np.column_stack([few, few]), [0, 1], 14)
    assert both.entry.tolist() == [hot.entry[0].tolist(), (hot.entry[0] + 3).tolist()]
    assert len(tables.entry) == 1 < MOST_INDICATORS


# --- a network --------------------------------------------------------------------------------------


def test_a_network_learns_what_levels_tell():
    n = 600
    town = RNG.integers(0, 30, n)
    worth = RNG.permutation(30) / 5
    table = pd.DataFrame({"town": [f"t{i}" for i in town], "noise": RNG.normal(size=n)})
    model = BNMLPRegressor(categorical_features=["town"], random_state=0, n_members=2).fit(
        table[:400], worth[town[:400]]
    )
    assert model.score(table[400:], worth[town[400:]]) > 0.9


@pytest.mark.parametrize("make", [classifier, regressor])
def test_values_that_training_rows_lack_are_taken(make):
    y = CLASSES if make is classifier else VALUES
    model = make().fit(FRAME, y)
    new = FRAME[:4].assign(
        town=["town 1", "elsewhere", None, "nowhere"], kind=[None, "x", "z", "z"], month=[1, 99, 2, 7]
    )
    found = answers(model, new)
    assert np.isfinite(found).all()
    alike = new.assign(town=["town 1", "a", "b", "c"], kind=[None, "x", "q", "q"], month=[1.0, -3, 2, 7])
    np.testing.assert_array_equal(answers(model, alike), found)  # no town is missing in the training rows


def test_missing_values_are_a_level():
    told = np.where(RNG.random(N) < 0.5, None, "known").astype(object)
    table = pd.DataFrame({"c": told, "x": np.zeros(N)})
    y = pd.isna(told) * 1.0
    model = regressor(categorical_features=["c"], max_epochs=30, dropout=0.0).fit(table, y)
    assert model.score(table, y) > 0.8  # 0 is all that the other column gives


def test_categories_alone_and_beside_columns_with_gaps():
    y = VALUES
    for columns in (NAMES, ["town"]):
        model = regressor(categorical_features=columns).fit(FRAME[columns], y)
        assert np.isfinite(model.predict(FRAME[columns])).all()
    gaps = FRAME.assign(size=FRAME["size"].mask(RNG.random(N) < 0.3))
    with pytest.raises(ValueError, match="contains NaN"):
        regressor().fit(gaps, y)
    model = regressor(missing="indicator").fit(gaps, y)
    assert model.net_.module_.encoder.encoding().column.tolist().count(4) == 1  # gaps of the first of four columns
    for settings in ({"scaling": None, "num_embedding": None}, {"num_embedding": "pbld"}, {"input_batch_norm": True}):
        assert np.isfinite(regressor(**settings).fit(FRAME, y).predict(FRAME)).all()


def test_a_module_of_the_users_own_gets_none():
    with pytest.raises(ValueError, match=r"takes categorical_features into its own network alone; .* module=None"):
        regressor(module=torch.nn.Linear).fit(FRAME, VALUES)


def test_training_goes_on_with_the_levels_that_it_began_with():
    model = regressor(warm_start=True).fit(FRAME[:80], VALUES[:80])
    known, rows = model.categories_in_, len(model.net_.module_.members[0].tables.weight)
    model.partial_fit(FRAME.assign(town="elsewhere"), VALUES).fit(FRAME, VALUES)
    assert model.categories_in_ is known
    assert len(model.net_.module_.members[0].tables.weight) == rows
    assert not model.net_.module_.members[0].tables.weight[0].any()


def test_another_fit_forgets_the_categories():
    model = regressor().fit(FRAME, VALUES)
    model.set_params(categorical_features=None).fit(FRAME[["size", "month"]], VALUES)
    assert model.categories_in_ is None
    assert model.predict(FRAME[["size", "month"]]).shape == (N,)


# --- from which rows ----------------------------------------------------------------------------------


def test_levels_that_only_rows_to_stop_by_have_are_as_good_as_unknown():
    table = pd.DataFrame({"row": [f"row {i // 3}" for i in range(N)], "x": RNG.normal(size=N)})
    settings = {"early_stopping": True, "n_members": 3, "validation_fraction": 0.5, "max_epochs": 4}
    model = regressor(categorical_features=["row"], **settings).fit(table, VALUES)
    empty = [~member.tables.weight.any(dim=1) for member in model.net_.module_.members]
    assert all(own[0] for own in empty)
    assert all(1 < own.sum() < 20 for own in empty)  # of forty levels, each of three rows, an eighth is set aside whole
    assert len({tuple(own.tolist()) for own in empty}) == 3


def test_a_fold_knows_the_levels_of_its_own_rows_alone():
    for model, rows in zip(regressor().fit_folds(FRAME, VALUES, FOLDS), FOLDS, strict=True):
        for name, levels in zip(NAMES, model.categories_in_.levels, strict=True):
            assert levels == sorted(FRAME[name][rows].dropna().unique().tolist())


def test_targets_of_rows_held_out_move_nothing():
    folds = FOLDS[:3]
    moved = VALUES.copy()
    held = np.setdiff1d(np.arange(N), folds[0])
    moved[held] = 1e3
    with_it, without = (regressor().fit_folds(FRAME, y, folds)[0].predict(FRAME) for y in (moved, VALUES))
    np.testing.assert_allclose(with_it, without, atol=1e-9)


def test_random_labels_of_levels_that_tell_rows_apart_cannot_be_predicted():
    labels = np.random.default_rng(1).integers(0, 2, N)
    table = pd.DataFrame({"row": [f"row {i // 3}" for i in range(N)], "x": RNG.normal(size=N)})
    model = StackingModel([("net", classifier(categorical_features=["row"], max_epochs=40))], cv=KFold(3, shuffle=True))
    oof = model.set_params(random_state=0).fit(table, labels).oof_.train
    assert log_loss(labels, oof[:, 0]) > 0.68  # nothing is gained on 0.693


# --- packed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"n_members": 3},
        {"early_stopping": True, "max_epochs": 12, "n_iter_no_change": 2, "lr": 0.1, "n_members": 3},
        {"dropout": 0.3, "missing": "indicator"},
        {"optimizer": "muon", "weight_decay": 0.5, "clip_norm": 0.1},
        {"num_embedding": "pbld", "optimizer": "sgd"},
        {"hidden_layer_sizes": (), "scaling": "standard"},
        {"snapshots": 2, "max_epochs": 4, "optimizer": torch.optim.RMSprop},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_fold_learns_beside_others_as_it_does_alone(make, params):
    y = CLASSES if make is classifier else VALUES
    fitted = make(**params).fit_folds(FRAME, y, FOLDS)
    assert len({model.net_.module_.encoder.encoding().shape for model in fitted}) > 1
    for model, rows in zip(fitted, FOLDS, strict=True):
        alone = make(**params).set_params(random_state=model.random_state).fit(FRAME.iloc[rows], y[rows])
        np.testing.assert_allclose(answers(model, FRAME), answers(alone, FRAME), atol=1e-9)
        np.testing.assert_allclose(model.loss_curve_, alone.loss_curve_, rtol=1e-9)
        assert model.categories_in_.levels == alone.categories_in_.levels
    fitted.reverse()  # what the first one knows is not enough for the others
    joint = type(fitted[0]).pack_folds(fitted)
    if params.get("num_embedding") == "pbld":
        assert joint is None
        return
    method = "predict_proba" if make is classifier else "predict"
    new = FRAME.assign(town=FRAME["town"].mask(TOWN == 3, "elsewhere"))
    for found, model in zip(getattr(joint, method)([new] * len(fitted)), fitted, strict=True):
        np.testing.assert_allclose(found, answers(model, new), atol=1e-11)


def test_folds_may_lack_the_last_columns():
    rows, few, many = FRAME[["size", "town", "month"]].to_numpy(), FOLDS[3], FOLDS[0]
    both = np.vstack([rows[many], np.where([True, True, False], rows[few], 0)])  # what fills up says nothing
    folds = [np.arange(len(many)), np.arange(len(many), len(both))]
    model = regressor(categorical_features=[1, 2])
    fitted = model.fit_folds(both, np.r_[VALUES[many], VALUES[few]], folds, n_features=[3, 2])
    for found, own, columns in zip(fitted, (many, few), ([1, 2], [1]), strict=True):
        alone = regressor(categorical_features=columns, random_state=found.random_state)
        width = 1 + len(columns)
        alone.fit(rows[own][:, :width], VALUES[own])
        np.testing.assert_allclose(found.predict(rows[:, :width]), alone.predict(rows[:, :width]), atol=1e-9)
        assert found.categories_in_.levels == alone.categories_in_.levels


def test_folds_behind_a_preparation_learn_as_they_do_alone():
    gap, lonely = (np.arange(N) == np.setdiff1d(np.arange(N), FOLDS[k])[0] for k in (3, 0))
    # Seventeen rows of the text in "month" are numbers, all of them are not.
    month = FRAME["month"].astype(str).where(np.arange(N) < 100, "none")
    table = FRAME.assign(size=FRAME["size"].mask(gap), month=month, town=FRAME["town"].mask(lonely, "a"))
    learner = make_pipeline(network_preprocessing(), regressor(categorical_features="from_dtype"))
    members = fit_members_at_once(learner, table, Target(VALUES, None, "regression"), FOLDS, {})
    widths = {member.estimator[-1].n_features_in_ for member in members}
    assert len(widths) == 2  # a fold without a gap has no column that tells of gaps
    for member, rows in zip(members, FOLDS, strict=True):
        net = member.estimator[-1]
        alone = clone(learner).set_params(bnmlpregressor__random_state=net.random_state)
        alone.fit(table.iloc[rows], VALUES[rows])
        np.testing.assert_allclose(member.estimator.predict(table), alone.predict(table), atol=1e-9)
        assert net.categories_in_ == alone[-1].categories_in_
        levels = [table[name].iloc[rows].nunique(dropna=False) for name in NAMES]
        assert [len(own) for own in net.categories_in_.levels] == levels[: 2 if rows is FOLDS[3] else 3]


# --- kept ---------------------------------------------------------------------------------------------


def test_networks_and_packs_come_back_from_a_file(tmp_path):
    model = classifier().fit(FRAME, CLASSES)
    again = load(save(model, tmp_path / "net.model"))
    assert again.predict_proba(FRAME).tobytes() == model.predict_proba(FRAME).tobytes()
    assert again.categories_in_ == model.categories_in_
    stack = StackingModel([("net", regressor())], cv=2, task="regression", random_state=0).fit(FRAME, VALUES).compact()
    again = load(save(stack, tmp_path / "stack.model"))
    assert again.predict(FRAME).tobytes() == stack.predict(FRAME).tobytes()


def test_a_stack_takes_text_as_it_is():
    model = StackingModel([("net", regressor())], cv=3, task="regression", random_state=0).fit(FRAME, VALUES)
    np.testing.assert_allclose(model.compact().predict(FRAME), model.predict(FRAME), atol=1e-5)
    with pytest.raises(ValueError, match=re.escape("could not convert string to float")):
        regressor(categorical_features=["kind", "month"]).fit(FRAME, VALUES)
