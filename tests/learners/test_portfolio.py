"""Which learners there is time for: by a list, by costs that were measured, and by nothing that a machine decides."""

import warnings
from itertools import pairwise
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stackkit import StackingClassifier, StackingModel, StackingRegressor, default_learners
from stackkit._learners import catalogue, portfolio
from stackkit._learners.catalogue import OF_TASK, Cost, why_absent
from stackkit._learners.defaults import learners_named, portfolio_for
from stackkit._learners.portfolio import LEAST_SEATS, PRESETS, TableSize, choose, core_seconds, size_of
from stackkit.exceptions import MissingPackageWarning

TASKS = ("classification", "regression")
SIZES = [
    (100, 5, 2), (2_000, 20, 2), (20_000, 300, 2), (5_000, 60, 30), (500_000, 50, 2), (1_000, 2_000, 10),
    (60_000, 784, 10),
]  # fmt: skip


def chosen(task, size, preset, **others):
    budget = core_seconds(preset, None, 2)
    return choose(task, TableSize(*size), preset=preset, budget=budget, sparse_input=False, **others), budget


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", SIZES)
def test_no_preset_is_planned_to_take_longer_than_it_may(task, size):
    """But for two learners, the cheapest, where even few rows ask more."""
    for preset in PRESETS:
        found, budget = chosen(task, size, preset)
        assert len(found.seconds) >= LEAST_SEATS
        assert found.n_rows <= size[0]
        if found.n_rows > portfolio.LEAST_ROWS:  # fewer rows for learners that are worth more
            assert set(found.seconds) & set(list(OF_TASK[task])[: portfolio.MOST_SEATS["fast"]])
        if len(found.seconds) > LEAST_SEATS or found.n_rows < size[0]:
            assert sum(found.seconds.values()) <= budget or found.n_rows == portfolio.LEAST_ROWS


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", SIZES)
def test_however_many_trees_a_table_asks_for_they_end_in_time(task, size):
    for preset in PRESETS:
        found, budget = chosen(task, size, preset)
        of_rows = TableSize(found.n_rows, *size[1:])
        assert set(found.trees) == {name for name in found.seconds if OF_TASK[task][name].tree is not None}
        longest = dict(found.seconds)
        for name, trees in found.trees.items():
            seat = OF_TASK[task][name]
            longest[name] = trees * found.n_folds * of_rows.seconds(seat.tree, seat, found.n_folds)
        if sum(found.seconds.values()) <= budget:
            assert sum(longest.values()) <= budget / portfolio.USED + 1e-9


def test_boosting_with_few_trees_learns_faster():
    X = np.zeros((5_000, 30))
    (_, usual), (_, limited) = learners_named("regression", ["lightgbm"], X) + learners_named(
        "regression", ["lightgbm"], X, {"lightgbm": 100}
    )
    assert limited["learner"].n_estimators == 100 < usual["learner"].n_estimators
    assert limited["learner"].learning_rate == 0.2 > usual["learner"].learning_rate
    plenty = dict(learners_named("regression", ["lightgbm"], X, {"lightgbm": 10**6}))
    assert repr(plenty["lightgbm"]) == repr(usual)


def test_where_boosting_would_take_all_the_time_it_makes_do_with_less():
    size = (16_000, 10, 9)
    found, budget = chosen("classification", size, "fast")
    seat = OF_TASK["classification"]["lightgbm"]
    assert found.seconds["lightgbm"] < found.n_folds * TableSize(*size).seconds(seat.cost, seat, found.n_folds)
    assert len(found.seconds) >= LEAST_SEATS
    assert sum(found.seconds.values()) <= budget


def test_columns_of_categories_are_one_each_for_those_who_split_by_them():
    seats = OF_TASK["classification"]
    size = TableSize(1_000, 100, 2, 5)
    assert size.columns_for(seats["lightgbm"]) == 5
    assert size.columns_for(seats["xgboost"]) == 100


@pytest.mark.parametrize("task", TASKS)
def test_more_time_means_more_rows_and_more_of_the_list(task):
    size = TableSize(30_000, 30, 3)
    found = [
        choose(task, size, preset="best", budget=budget, sparse_input=False)
        for budget in (1.0, 10.0, 100.0, 1000.0, 9e9)
    ]
    assert list(found[-1].seconds) == [name for name in OF_TASK[task] if name in found[-1].seconds]
    for less, more in pairwise(found):
        assert less.n_rows <= more.n_rows
        assert sum(less.seconds.values()) <= sum(more.seconds.values())
    assert found[0].n_rows < 30_000 == found[-1].n_rows


def test_folds_of_the_user_are_of_all_rows():
    found, _ = chosen("regression", (500_000, 50, 2), "fast", all_rows=True)
    assert found.n_rows == 500_000
    assert len(found.seconds) == LEAST_SEATS


def test_cost_is_the_formula():
    cost = Cost(0.5, 0.2, columns=0.5, classes=1.0)
    assert cost.seconds(3_000, 40, 4) == pytest.approx((0.5 + 0.2 * 3 * 2) * 2)
    assert Cost(0.5, 0.2, rows=2.0).seconds(3_000, 40, 4) == pytest.approx(0.5 + 0.2 * 9)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_means_the_same_for_any_number_of_workers(preset):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 30)), rng.integers(0, 3, 20_000)
    plans = [StackingClassifier(preset=preset, n_jobs=n_jobs).plan(X, y) for n_jobs in (None, 1, 2, -1)]
    for plan in plans[1:]:
        pd.testing.assert_frame_equal(plan, plans[0])


def test_a_time_limit_alone_chooses():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 30)), rng.normal(size=20_000)
    seconds = [StackingRegressor(time_limit=limit).plan(X, y)["seconds"].sum() for limit in (2, 20, 200, 2000)]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]
    # Beside a preset it is what it was: the moment after which no task begins.
    ours, theirs = StackingRegressor(preset="fast", time_limit=5).plan(X, y), StackingRegressor().plan(X, y)
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_plan_tells_what_fit_does():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), rng.integers(0, 2, 90)
    model = StackingModel(task="classification", preset="balanced", random_state=0)
    plan = model.plan(X, y)
    assert plan["folds"].unique().tolist() == [8]
    assert plan["rows"].unique().tolist() == [round(90 * 7 / 8)]
    assert plan.attrs["seconds"] >= plan["seconds"].sum()
    assert (plan["memory"] > 0).all()
    assert not hasattr(model, "oof_")
    assert list(plan.index) == [name for name, _ in default_learners("classification", X, preset="balanced")]
    own = StackingModel(default_learners("classification", X)[:2], cv=3).plan(X, y)
    assert own["folds"].tolist() == [3, 3]
    assert own["seconds"].isna().all()


def test_rows_that_there_is_no_time_for_are_left_out_and_it_is_said(monkeypatch, capsys):
    monkeypatch.setattr(portfolio, "LEAST_ROWS", 60)
    monkeypatch.setitem(portfolio.SECONDS, "fast", 0.5)
    slow = Cost(0.0, 3.0)
    seats = {name: seat for name, seat in OF_TASK["classification"].items() if name in ("logistic", "naive_bayes")}
    seats = {name: catalogue.Seat(seat.make, seat.prepare, slow) for name, seat in seats.items()}
    monkeypatch.setitem(OF_TASK, "classification", seats)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    model = StackingClassifier(random_state=0, verbose=True).fit(X, y)
    used = model.oof_.covered.sum()
    assert 60 <= used < 200
    assert f"({200 - used} rows, drawn by chance, are left out for want of time)" in capsys.readouterr().err
    assert model.score(X, y) > 0.8
    np.testing.assert_array_equal(model.oof_.covered, StackingClassifier(random_state=0).fit(X, y).oof_.covered)


# --- sizes ----------------------------------------------------------------------------------------------


def test_columns_are_counted_as_learners_see_them():
    n = 400
    frame = pd.DataFrame(
        {
            "number": np.arange(n) / 7,
            "level": [f"l{number % 3}" for number in range(n)],
            "identifier": [f"i{number}" for number in range(n)],
            "text": [f"some words of {number}" for number in range(n)],
            "nothing": np.nan,
        }
    )
    assert size_of(frame, 5) == TableSize(n, 1 + 3 + 20 + 30, 5, 1 + 1 + 1 + 30)
    assert size_of(np.zeros((7, 3))) == TableSize(7, 3)
    assert size_of([[1.0, 2.0]] * 4) == TableSize(4, 2, n_coded=2)
    assert size_of(sparse.eye_array(50, format="csr")).n_columns == 1  # what is stored, not what is zero


# --- packages -------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    def without(package, error):
        why_absent.cache_clear()
        monkeypatch.setattr(catalogue, "find_spec", lambda name: None if (name, error) == (package, None) else name)
        if error is not None:
            monkeypatch.setattr(catalogue, "import_module", Mock(side_effect=error))

    yield without
    why_absent.cache_clear()


def test_a_library_of_the_system_that_lacks_is_named_and_lightgbm_left_out(without):
    without("lightgbm", OSError("libgomp.so.1: cannot open shared object file"))
    with pytest.warns(
        MissingPackageWarning, match=r"without those of LightGBM: .*libgomp\.so\.1.*apt-get install libgomp1"
    ):
        found = portfolio_for("classification", np.zeros((500, 4)))
    assert not [name for name in found.seconds if "lightgbm" in name]
    assert len(found.seconds) == 6


def test_catboost_sits_where_it_is_installed(without):
    without("catboost", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "catboost" not in portfolio_for("regression", np.zeros((500, 4)), preset="best").seconds
