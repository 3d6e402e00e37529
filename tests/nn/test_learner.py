"""What all nets share: weights, stopping, going on, seeds, folds trained together, and their place in a stack."""

import copy
import pickle
import random
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Drops
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    RepeatedKFold,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, Freezer
from skorch.exceptions import DeviceWarning
from spies import with_row_ids
from torch.nn import functional

from stackkit import StackingModel, cross_fit
from stackkit._learners.preparation import scaled_preprocessing
from stackkit.datasets import load_titanic
from stackkit.exceptions import LearnerFailedError, MissingClassWarning
from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor, ConvBlock
from stackkit.nn._batches import batch_sizes
from stackkit.nn._network_state import NetworkState
from stackkit.nn._packed_engine import is_exact_here
from stackkit.nn._setup import make_network_states
from stackkit.nn.batchnorm import population_statistics

RNG = np.random.default_rng(0)
N = 60
ALL = np.arange(N)
X = RNG.normal(size=(N, 4))
NEW = RNG.normal(size=(25, 4))
VALUES = 2 * X[:, 0] - X[:, 1] + 0.3 * RNG.normal(size=N)
Y = (VALUES > 0).astype(int)
Y3 = np.digitize(VALUES, [-1, 1])
WEIGHTS = RNG.uniform(0.2, 3, size=N)
GROUPS = ALL // 4
IMAGES = RNG.normal(size=(N, 6, 6))

SHORT = {"n_members": 1, "max_epochs": 3, "batch_size": 16, "lr": 0.02, "schedule": "cosine", "random_state": 0}
EXACT = SHORT | {"dtype": "float64"}
ONE_BATCH = EXACT | {"batch_size": N, "schedule": "constant"}
# Of tables: nothing is set aside, dropped or encoded, as far as a test does not ask for it.
PLAIN = {"scaling": None, "num_embedding": None, "dropout": 0.0, "beta_2": 0.999, "early_stopping": False}
SMALL = {"preset": None, "blocks": [ConvBlock(3, stride=2)], "precision": "float32"}


def classifier(**params):
    return BNMLPClassifier(**(EXACT | PLAIN | {"hidden_layer_sizes": (8,)} | params))


def regressor(**params):
    return BNMLPRegressor(**(EXACT | PLAIN | {"hidden_layer_sizes": (8,)} | params))


def image_classifier(**params):
    return BNCNNClassifier(**(EXACT | SMALL | {"optimizer": "adam"} | params))


def image_regressor(**params):
    return BNCNNRegressor(**(EXACT | SMALL | {"optimizer": "adam"} | params))


KINDS = pytest.mark.parametrize(
    ("make", "rows", "y"),
    [
        (classifier, X, Y3),
        (regressor, X, VALUES),
        (image_classifier, IMAGES, Y3),
        (image_regressor, IMAGES, VALUES),
    ],
    ids=["mlp-classes", "mlp-values", "cnn-classes", "cnn-values"],
)


def answers(estimator, rows):
    return estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else estimator.predict(rows)


def parameters(estimator):
    return [p.detach().clone() for p in estimator.net_.module_.parameters()]


def members(estimator):
    return estimator.net_.module_.eval().members


@pytest.fixture
def states_made(monkeypatch):
    """The network_states of every estimator that is trained, in their order."""
    every = []

    def spy(*args, **kwargs):
        every.append(make_network_states(*args, **kwargs))
        return every[-1]

    monkeypatch.setattr("stackkit.nn._learner.make_network_states", spy)
    return every


def rows_of(network_state):
    return set(network_state.train.tolist()), set() if network_state.valid is None else set(
        network_state.valid.tolist()
    )


# --- weights ---------------------------------------------------------------------------------------------


def _weighted_loss(output, y, weights):
    if y.dtype == int:
        losses = functional.cross_entropy(output, torch.from_numpy(y), reduction="none")
    else:
        columns = y.reshape(len(y), -1)
        target = torch.from_numpy((columns - columns.mean(axis=0)) / columns.std(axis=0))
        losses = ((output - target) ** 2).mean(dim=1)
    weights = torch.from_numpy(weights)
    return (weights * losses).sum() / weights.sum()


@pytest.mark.parametrize(("optimizer", "pace"), [(torch.optim.SGD, 1.0), ("sgd", 1.9)])  # Nesterov: 1 + momentum
@pytest.mark.parametrize(
    ("make", "y", "class_weight"),
    [
        (classifier, Y3, None),
        (classifier, Y3, {0: 2.0, 1: 0.1, 2: 1.0}),
        (regressor, VALUES, None),
        (regressor, np.column_stack([VALUES, 100 * X[:, 3]]), None),
    ],
    ids=["classes", "class weights", "values", "several"],
)
def test_one_step_goes_down_the_weighted_loss(optimizer, pace, make, y, class_weight):
    params = ONE_BATCH | {"optimizer": optimizer, "max_epochs": 1}
    if class_weight:
        params |= {"class_weight": class_weight}
    start = members(make(**params | {"lr": 0.0}).fit(X, y, sample_weight=WEIGHTS))[0].train()
    start.zero_grad()
    total = WEIGHTS * np.array([class_weight[c] for c in y]) if class_weight else WEIGHTS
    _weighted_loss(start(torch.from_numpy(X)), y, total).backward()
    found = members(make(**params | {"lr": 0.1}).fit(X, y, sample_weight=WEIGHTS))[0]
    for (name, before), after in zip(start.named_parameters(), found.parameters(), strict=True):
        rate = 0.06 if name == "front_scale.weight" else 0.1
        np.testing.assert_allclose(after.detach(), (before - rate * pace * before.grad).detach(), atol=1e-12)


@KINDS
def test_the_size_of_all_weights_is_without_effect(make, rows, y):
    once = make().fit(rows, y, sample_weight=WEIGHTS)
    more = make().fit(rows, y, sample_weight=37.0 * WEIGHTS)
    np.testing.assert_allclose(answers(more, rows), answers(once, rows), atol=1e-10)
    none = make().fit(rows, y)
    same = make().fit(rows, y, sample_weight=np.full(N, 0.3))
    np.testing.assert_allclose(answers(same, rows), answers(none, rows), atol=1e-10)
    one_number = make().fit(rows, y, sample_weight=2.0)
    np.testing.assert_allclose(answers(one_number, rows), answers(none, rows), atol=1e-10)


@KINDS
def test_weights_pull_predictions_to_the_heavy_rows(make, rows, y):
    heavy = y == 2 if y.dtype == int else y > 1
    flat, pulled = (
        answers(make(max_epochs=10).fit(rows, y, sample_weight=w), rows) for w in (None, np.where(heavy, 30.0, 1.0))
    )
    column = (slice(None), 2) if y.dtype == int else slice(None)
    assert pulled[column].mean() > flat[column].mean() + 0.05


@KINDS
def test_rows_without_weight_are_not_learned_from(make, rows, y, states_made):
    weights = np.where(ALL % 3, WEIGHTS, 0.0)
    make(early_stopping=True, validation_fraction=0.3).fit(rows, y, sample_weight=weights)
    train, valid = rows_of(states_made[0][0])
    assert train | valid == set(np.flatnonzero(weights).tolist())


@pytest.mark.parametrize("params", [{"optimizer": "sgd"}, {"optimizer": "adam"}, {"early_stopping": True}], ids=str)
@KINDS
def test_a_row_without_weight_might_as_well_be_absent(make, rows, y, params):
    weights = np.where(ALL % 3, WEIGHTS, 0.0)
    left = weights > 0
    full = make(**params).fit(rows, y, sample_weight=weights)
    cut = make(**params).fit(rows[left], y[left], sample_weight=weights[left])
    np.testing.assert_allclose(answers(full, rows), answers(cut, rows), atol=1e-10)
    np.testing.assert_allclose(full.loss_curve_, cut.loss_curve_, rtol=1e-10)


def test_a_row_without_weight_does_not_count_for_its_class():
    left = (Y == 1) | (ALL % 2 == 0)
    full = classifier(class_weight="balanced").fit(X, Y, sample_weight=left.astype(float))
    cut = classifier(class_weight="balanced").fit(X[left], Y[left])
    np.testing.assert_allclose(full.predict_proba(X), cut.predict_proba(X), atol=1e-10)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 1.0, 2: 0.5}])
def test_class_weights_are_weights_of_rows(class_weight):
    count = np.bincount(Y3)
    shares = N / (3 * count) if class_weight == "balanced" else np.array(list(class_weight.values()))
    by_class = classifier(class_weight=class_weight).fit(X, Y3)
    by_row = classifier().fit(X, Y3, sample_weight=shares[Y3])
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-10)
    assert np.abs(by_class.predict_proba(X) - classifier().fit(X, Y3).predict_proba(X)).max() > 1e-3


def test_class_weights_go_by_the_users_labels():
    labels = np.array(["no", "yes"])[Y]
    by_label = classifier(class_weight={"yes": 4.0, "no": 1.0}).fit(X, labels)
    by_code = classifier(class_weight={0: 1.0, 1: 4.0}).fit(X, Y)
    np.testing.assert_array_equal(by_label.predict_proba(X), by_code.predict_proba(X))


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.where(ALL == 3, -1.0, 1.0), "must not be negative here"),
        (np.zeros(N), r"zero for all rows; at least one must count"),
        (np.where(ALL == 3, np.nan, 1.0), "sample_weight contains NaN"),
        (np.ones(N - 1), f"X and sample_weight must have the same number of rows; got {N} and {N - 1}"),
        (np.ones((N, 1)), "must be 1D array or scalar"),
        ((ALL == 3).astype(float), "at least 2 rows to learn from; got n_samples = 1"),
    ],
)
@KINDS
def test_unusable_weights(make, rows, y, weights, match):
    with pytest.raises(ValueError, match=match):
        make().fit(rows, y, sample_weight=weights)


def test_groups_must_be_one_a_row():
    with pytest.raises(ValueError, match=f"X and groups must have the same number of rows; got {N} and 3"):
        classifier(early_stopping=True).fit(X, Y, groups=[1, 2, 3])


# --- targets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("scale", "shift"), [(1e6, 1e9), (1e-6, 0.0), (-3.0, 10.0), (1e30, 0.0)])
@pytest.mark.parametrize("make", [regressor, image_regressor])
def test_values_on_another_scale_are_predicted_on_it(make, dtype, scale, shift):
    rows = (X if make is regressor else IMAGES).astype(dtype)
    tolerance = 1e-4 if dtype == "float32" else 1e-9
    found = make(dtype=dtype).fit(rows, scale * VALUES + shift).predict(rows)
    expected = make(dtype=dtype).fit(rows, np.sign(scale) * VALUES).predict(rows)
    np.testing.assert_allclose((found - shift) / abs(scale), expected, atol=tolerance * VALUES.std())


@pytest.mark.parametrize("input_dtype", ["float32", "float64"])
def test_values_far_from_zero_keep_their_differences(input_dtype):
    rows = X.astype(input_dtype)
    near, far = (regressor(dtype="float32").fit(rows, VALUES + shift).predict(rows) - shift for shift in (0, 1e9))
    np.testing.assert_allclose(far, near, atol=1e-4)


def test_values_beyond_float32_are_predicted_or_refused():
    try:
        model = regressor(dtype="float32").fit(X, 1e40 * VALUES)
    except ValueError as error:
        assert "float64" in str(error)  # noqa: PT017
        return
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_of_several_values_has_its_own_scale(dtype):
    several = np.column_stack([VALUES, 1e5 * X[:, 1] + 1e6, 1e-3 * X[:, 2]])
    model = regressor(dtype=dtype, max_epochs=60).fit(X, several)
    found = model.predict(X)
    assert found.shape == several.shape
    assert [np.corrcoef(a, b)[0, 1] > 0.9 for a, b in zip(found.T, several.T, strict=True)] == [True] * 3
    other_units = regressor(dtype=dtype, max_epochs=60).fit(X, several * [1.0, 1e-5, 1e3]).predict(X)
    np.testing.assert_allclose(found * [1.0, 1e-5, 1e3], other_units, atol=2e-2 if dtype == "float32" else 1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e5, 1e9])
@pytest.mark.parametrize("make", [regressor, image_regressor])
def test_a_constant_is_predicted_as_such(make, value):
    rows = X if make is regressor else IMAGES
    found = make().fit(rows, np.full(N, value)).predict(rows)
    np.testing.assert_allclose(found, value, rtol=1e-6, atol=3)  # of a unit of one, where nothing varies
    beside = make().fit(rows, np.column_stack([np.full(N, value), VALUES]))
    assert np.isfinite(beside.predict(rows)).all()


def test_predictions_have_the_shape_of_y():
    assert regressor().fit(X, VALUES).predict(X).shape == (N,)
    assert regressor().fit(X, VALUES[:, None]).predict(X).shape == (N, 1)
    assert regressor().fit(X, np.column_stack([VALUES] * 3)).predict(X).shape == (N, 3)


# --- rows to stop by -------------------------------------------------------------------------------------

STOPS = {"early_stopping": True, "validation_fraction": 0.3}


@KINDS
def test_rows_to_stop_by_come_from_the_training_rows_and_are_not_learned_from(make, rows, y, states_made):
    make(**STOPS, n_members=3).fit(rows, y)
    for network_state in states_made[0]:
        train, valid = rows_of(network_state)
        assert not train & valid
        assert train | valid == set(range(N))
        assert len(valid) == 18


@KINDS
def test_members_stop_by_other_rows_each_and_together_learn_from_all(make, rows, y, states_made):
    make(**STOPS, n_members=5).fit(rows, y)
    parts = [rows_of(network_state) for network_state in states_made[0]]
    assert len({frozenset(valid) for _, valid in parts}) == 5
    assert set().union(*(train for train, _ in parts)) == set(range(N))


def test_a_column_that_changes_only_in_rows_to_stop_by_is_not_seen(states_made):
    """By that member; the others, which learn from the row that differs, may see it."""
    table = X.copy()
    table[:, 1] = 0.0
    table[7, 1] = 1.0
    for params in ({}, {"scaling": "robust-clip"}):
        states_made.clear()
        classifier(**STOPS, n_members=5, **params).fit(table, Y)
        hidden = [state.unseen is not None and bool(state.unseen[1]) for state in states_made[0]]
        assert hidden == [7 in rows_of(state)[1] for state in states_made[0]]
        assert len(set(hidden)) == 2


GAPS = np.where(np.random.default_rng(5).random(X.shape) < 0.2, np.nan, X)
TELLS = {"missing": "indicator", "scaling": "robust-clip", "num_embedding": "ple"}


@pytest.mark.parametrize("make", [classifier, regressor])
def test_missing_values_are_taken_where_they_are_allowed(make):
    y = Y if make is classifier else VALUES
    with pytest.raises(ValueError, match="contains NaN"):
        make().fit(GAPS, y)
    with pytest.raises(ValueError, match="with scaling=None there is none"):
        make(missing="indicator").fit(GAPS, y)
    with pytest.raises(ValueError, match="contains infinity"):
        make(**TELLS).fit(np.where(np.isnan(GAPS), np.inf, X), y)
    model = make(**TELLS, max_epochs=40).fit(GAPS, y)
    assert np.isfinite(answers(model, GAPS)).all()
    assert np.isfinite(answers(model, np.full((2, 4), np.nan))).all()
    assert model.score(GAPS, y) > 0.5
    never = make(**TELLS).fit(X, y)  # new rows may lack what no training row lacked
    assert np.isfinite(answers(never, GAPS)).all()


@pytest.mark.parametrize("params", [{}, {"early_stopping": True, "n_members": 3}], ids=str)
def test_folds_with_missing_values_are_trained_together_as_alone(params):
    estimator = classifier(**TELLS, **params)
    for model, rows in zip(estimator.fit_folds(GAPS, Y3, FOLDS["ragged"]), FOLDS["ragged"], strict=True):
        alone = clone(estimator).set_params(random_state=model.random_state).fit(GAPS[rows], Y3[rows])
        np.testing.assert_allclose(answers(model, GAPS), answers(alone, GAPS), atol=1e-9)


def test_what_is_missing_tells_of_the_target():
    lacks = np.random.default_rng(1).random(200) < 0.5
    rows = np.random.default_rng(2).normal(size=(200, 2))
    rows[lacks, 0] = np.nan
    model = classifier(**TELLS, max_epochs=30).fit(rows, lacks.astype(int))
    assert model.score(rows, lacks.astype(int)) == 1.0


def test_values_of_later_rows_widen_what_is_predicted():
    model = regressor(lr=0.1).partial_fit(X, VALUES)
    for _ in range(30):
        model.partial_fit(X, VALUES + 100)
    found = model.predict(X)
    assert VALUES.max() + 10 < found.max() <= VALUES.max() + 100
    assert found.min() >= VALUES.min()


def test_in_a_fold_they_come_from_the_folds_own_rows(states_made):
    folds = [train for train, _ in KFold(3, shuffle=True, random_state=0).split(X)]
    classifier(**STOPS).fit_folds(X, Y, folds)
    for rows, (network_state,) in zip(folds, states_made, strict=True):
        train, valid = rows_of(network_state)
        assert not train & valid
        assert train | valid == set(rows.tolist())


def test_classes_keep_their_shares_among_them(states_made):
    rare = np.where(ALL % 10 == 0, 1, 0)
    for seed in range(5):
        classifier(early_stopping=True, validation_fraction=0.5, random_state=seed).fit(X, rare)
    assert [rare[network_state.valid].sum() for (network_state,) in states_made] == [3] * 5


@KINDS
@pytest.mark.parametrize("name", [int, str])
def test_groups_are_never_on_both_sides(make, rows, y, states_made, name):
    groups = [name(group) for group in GROUPS]
    make(**STOPS).fit(rows, y, groups=groups)
    train, valid = rows_of(states_made[0][0])
    assert not {groups[i] for i in train} & {groups[i] for i in valid}
    assert len(valid) == 20  # 5 of 15 groups


def test_groups_stay_together_in_every_fold(states_made):
    folds = [train for train, _ in KFold(4, shuffle=True, random_state=0).split(X)]
    regressor(**STOPS).fit_folds(X, VALUES, folds, groups=GROUPS)
    for (network_state,), rows in zip(states_made, folds, strict=True):
        train, valid = rows_of(network_state)
        assert train | valid == set(rows.tolist())
        assert not set(GROUPS[list(train)]) & set(GROUPS[list(valid)])


@pytest.mark.parametrize(
    ("n_rows", "params", "groups"),
    [
        (2, {"validation_fraction": 0.9}, [1, 1]),
        (20, {"validation_fraction": 1.5}, None),
        (20, {"validation_fraction": 20}, None),
        (20, {}, np.ones(20)),
    ],
)
def test_impossible_splits_are_refused(n_rows, params, groups):
    match = rf"early_stopping cannot set aside validation_fraction=.* of {n_rows} rows: .*set early_stopping=False"
    with pytest.raises(ValueError, match=match):
        classifier(early_stopping=True, **params).fit(X[:n_rows], np.arange(n_rows) % 3, groups=groups)


def test_nothing_is_left_to_learn_from():
    with pytest.raises(ValueError, match="at least 2 rows to learn from; got n_samples = 1"):
        regressor(early_stopping=True, validation_fraction=1).fit(X[:2], VALUES[:2])


@pytest.mark.parametrize(
    ("make", "rows"), [(classifier, X), (regressor, X), (image_classifier, IMAGES)], ids=["classes", "values", "images"]
)
def test_training_stops_when_the_loss_no_longer_falls_and_the_best_state_is_kept(make, rows, states_made):
    """Without Batch Normalization the network's loss in training is its loss in prediction."""
    y = VALUES if make is regressor else RNG.integers(0, 2, N)
    model = make(
        **STOPS, batch_norm=False, max_epochs=300, lr=0.1, schedule="constant", n_iter_no_change=4, tol=0.0
    ).fit(rows, y)
    losses = np.array(model.history_[:, "valid_loss"])
    assert len(losses) == losses.argmin() + 1 + 4 < 300
    valid = states_made[0][0].valid.numpy()
    if make is regressor:
        model.net_.module_.output_range = None  # the loss is of values before they are held within the known ones
        by_hand = mean_squared_error(y[valid], model.predict(rows[valid])) / y.var()
    else:
        by_hand = log_loss(y[valid], model.predict_proba(rows[valid]))
    assert by_hand == pytest.approx(losses.min(), rel=1e-9)


def test_small_gains_do_not_count():
    params = STOPS | {"batch_norm": False, "max_epochs": 20, "n_iter_no_change": 3, "lr": 0.01}
    content, demanding = (classifier(**params, tol=tol).fit(X, Y) for tol in (0.0, 10.0))
    assert len(demanding.history_) == 1 + 3
    assert len(content.history_) == 20


def test_members_stop_each_for_itself():
    params = STOPS | {"max_epochs": 60, "lr": 0.1, "schedule": "constant", "n_iter_no_change": 3, "tol": 0.0}
    noise = RNG.integers(0, 2, N)
    model = classifier(**params, n_members=4).fit(X, noise)
    assert len(members(model)) == 4
    assert len(model.loss_curve_) < 60
    assert np.isfinite(model.predict_proba(X)).all()


# --- the course of the rate --------------------------------------------------------------------------------


class TellsItsRate(torch.optim.SGD):
    rates = ()

    def step(self, closure=None):
        TellsItsRate.rates.append(self.param_groups[-1]["lr"])  # not that of factors of inputs, which come first
        return super().step(closure)


@pytest.mark.parametrize("make", [classifier, image_classifier])
@pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine", "restarts"])
def test_schedules(make, schedule, monkeypatch):
    monkeypatch.setattr(TellsItsRate, "rates", [])
    params = {"snapshots": 3, "schedule": "constant"} if schedule == "restarts" else {"schedule": schedule}
    make(**params, max_epochs=12, batch_size=30, lr=0.5, optimizer=TellsItsRate).fit(
        X if make is classifier else IMAGES, Y
    )
    rates = np.array(TellsItsRate.rates)
    assert len(rates) == 24  # two batches an epoch
    assert rates.min() > 0
    steps = np.diff(rates)
    if schedule == "constant":
        assert set(rates) == {0.5}
    elif schedule == "one-cycle":
        top = rates.argmax()
        assert 0 < top < 12
        assert rates.max() == pytest.approx(0.5, rel=0.05)
        assert (steps[:top] > 0).all()
        assert (steps[top:] < 0).all()
        assert rates[-1] < 0.02
    else:
        cycles = 3 if schedule == "restarts" else 1
        starts = np.flatnonzero(np.r_[True, steps > 0])
        np.testing.assert_array_equal(starts, np.arange(cycles) * 24 // cycles)
        np.testing.assert_allclose(rates[starts], 0.5)
        assert rates[23] < 0.04


@pytest.mark.parametrize("make", [classifier, image_classifier])
@pytest.mark.parametrize("schedule", ["flat-cosine", "coslog4"])
def test_schedules_run_over_max_epochs_also_where_training_stops_before(make, schedule, monkeypatch):
    monkeypatch.setattr(TellsItsRate, "rates", [])
    params = STOPS | {"max_epochs": 5, "n_iter_no_change": 2, "tol": 100.0, "batch_size": 14}
    rows = X if make is classifier else IMAGES
    model = make(schedule=schedule, lr=0.5, optimizer=TellsItsRate, **params).fit(rows, Y)
    assert len(model.history_) == 3
    done = np.arange(9) / 15  # three batches an epoch
    if schedule == "flat-cosine":
        expected = np.where(done < 0.5, 1, (1 + np.cos(np.pi * (2 * done - 1))) / 2)
    else:
        expected = (1 - np.cos(2 * np.pi * np.log2(1 + 15 * done))) / 2
    np.testing.assert_allclose(TellsItsRate.rates, 0.5 * expected, atol=1e-12)


# --- the statistics that Batch Normalization predicts with ----------------------------------------------------


@pytest.mark.parametrize("batch_size", [60, 30, 20])
@pytest.mark.parametrize("optimizer", ["adam", torch.optim.SGD], ids=["packed", "alone"])
def test_population_statistics_are_those_of_the_papers_algorithm(batch_size, optimizer, monkeypatch):
    orders = []
    draw = NetworkState.shuffled

    def spy(self):
        orders.append(draw(self).numpy())
        return torch.from_numpy(orders[-1])

    monkeypatch.setattr(NetworkState, "shuffled", spy)
    model = classifier(batch_size=batch_size, optimizer=optimizer, input_batch_norm=True).fit(X, Y)
    (member,) = members(model)
    last = X[orders[-1]]  # drawn once more after training
    batches = np.split(last, np.cumsum(batch_sizes(N, batch_size))[:-1])
    assert len(orders) == 3 + 1
    assert {len(batch) for batch in batches} == {batch_size}
    mean, var = population_statistics(batches)
    np.testing.assert_allclose(member.input_norm.running_mean, mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(member.input_norm.running_var, var, rtol=1e-10)
    gamma, beta, eps = (
        member.input_norm.weight.detach().numpy(),
        member.input_norm.bias.detach().numpy(),
        member.input_norm.eps,
    )
    weight = (member.linears[0].weight * member.front_scale.weight).detach().numpy()
    hidden = [
        (gamma * (batch - batch.mean(axis=0)) / np.sqrt(batch.var(axis=0) + eps) + beta) @ weight.T for batch in batches
    ]
    mean, var = population_statistics(hidden)
    np.testing.assert_allclose(member.norms[0].running_mean, mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(member.norms[0].running_var, var, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.SGD], ids=["packed", "alone"])
def test_running_averages_lag_behind(optimizer):
    model = classifier(batch_stats="running", batch_size=N, lr=0.0, max_epochs=2, optimizer=optimizer).fit(X, Y)
    (member,) = members(model)
    hidden = X @ member.linears[0].weight.detach().numpy().T
    np.testing.assert_allclose(member.norms[0].running_mean, (1 - 0.9**2) * hidden.mean(axis=0), rtol=1e-9)
    expected = 0.9**2 + (1 - 0.9**2) * hidden.var(axis=0, ddof=1)
    np.testing.assert_allclose(member.norms[0].running_var, expected, rtol=1e-9)


@KINDS
def test_the_two_kinds_of_statistics_predict_differently(make, rows, y):
    population, running = (make(batch_stats=kind).fit(rows, y) for kind in ("population", "running"))
    for a, b in zip(parameters(population), parameters(running), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert np.abs(answers(population, rows) - answers(running, rows)).max() > 1e-3


# --- members ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{"n_members": 3}, {"snapshots": 3}, {"n_members": 2, "snapshots": 3}], ids=str)
@KINDS
def test_predictions_are_the_mean_over_the_members(make, rows, y, params):
    model = make(**params, max_epochs=6).fit(rows, y)
    assert len(members(model)) == params.get("n_members", 1) * params.get("snapshots", 1)
    inputs = model.net_.module_.scaled(torch.from_numpy(rows if rows.ndim == 2 else rows[:, None]))
    with torch.inference_mode():
        outputs = [member(inputs).numpy() for member in members(model)]
    if y.dtype == int:
        expected = np.mean([softmax(output, axis=1) for output in outputs], axis=0)
    else:
        expected = np.mean(outputs, axis=0)[:, 0] * VALUES.std() + VALUES.mean()
    np.testing.assert_allclose(answers(model, rows), expected, atol=1e-9)
    for i, output in enumerate(outputs):
        assert all(np.abs(output - other).max() > 1e-4 for other in outputs[:i])


def test_a_snapshot_is_the_end_of_its_cycle():
    model = classifier(snapshots=2, max_epochs=6).fit(X, Y)
    shorter = classifier(schedule="cosine", max_epochs=3).fit(X, Y)
    for a, b in zip(members(model)[0].parameters(), members(shorter)[0].parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), atol=1e-12)


# --- going on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.RMSprop])
@KINDS
def test_two_fits_are_one_of_both_lengths(make, rows, y, optimizer):
    """In one batch, where the order of the rows is without effect: the optimizer's moments are kept."""
    params = ONE_BATCH | {"optimizer": optimizer}
    whole = make(**params | {"max_epochs": 5}).fit(rows, y)
    halves = make(**params | {"max_epochs": 2, "warm_start": True}).fit(rows, y)
    first = list(halves.loss_curve_)
    halves.set_params(max_epochs=3).fit(rows, y)
    np.testing.assert_allclose(answers(halves, rows), answers(whole, rows), atol=1e-9)
    np.testing.assert_allclose(halves.loss_curve_, whole.loss_curve_, rtol=1e-9)
    assert halves.loss_curve_[:2] == first
    assert len(halves.net_.optimizer_.state) == len(list(halves.net_.module_.parameters()))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.RMSprop])
@KINDS
def test_each_partial_fit_is_an_epoch(make, rows, y, optimizer):
    params = ONE_BATCH | {"optimizer": optimizer}
    whole = make(**params | {"max_epochs": 4}).fit(rows, y)
    # Neither the number of epochs nor the schedule counts.
    steps = make(**params | {"max_epochs": 99, "schedule": "cosine"})
    for i in range(4):
        assert steps.partial_fit(rows, y) is steps
        assert len(steps.loss_curve_) == i + 1
    np.testing.assert_allclose(answers(steps, rows), answers(whole, rows), atol=1e-9)


def test_partial_fit_keeps_to_the_rate(monkeypatch):
    monkeypatch.setattr(TellsItsRate, "rates", [])
    model = classifier(schedule="one-cycle", max_epochs=7, batch_size=20, lr=0.5, optimizer=TellsItsRate)
    model.partial_fit(X, Y).partial_fit(X, Y)
    assert TellsItsRate.rates == [0.5] * 6


@pytest.mark.parametrize("door", ["fit", "partial_fit"])
@pytest.mark.parametrize(("make", "rows"), [(classifier, X), (image_classifier, IMAGES)], ids=["mlp", "cnn"])
def test_muon_goes_on_too(make, rows, door):
    params = ONE_BATCH | {"optimizer": "muon"}
    whole = make(**params | {"max_epochs": 4}).fit(rows, Y)
    steps = make(**params | {"max_epochs": 1, "warm_start": True})
    for _ in range(4):
        getattr(steps, door)(rows, Y)
    assert len(steps.net_.optimizer_.state) <= len(list(steps.net_.module_.parameters()))
    np.testing.assert_allclose(steps.predict_proba(rows), whole.predict_proba(rows), atol=1e-9)


@KINDS
def test_a_warm_start_begins_where_the_last_fit_ended(make, rows, y):
    model = make(warm_start=True).fit(rows, y)
    before = parameters(model)
    model.set_params(lr=0.0).fit(rows, y)
    for a, b in zip(before, parameters(model), strict=True):
        assert torch.equal(a, b)


@KINDS
def test_a_cold_start_forgets(make, rows, y):
    model = make().fit(rows, y).fit(rows, y)
    assert len(model.loss_curve_) == 3
    np.testing.assert_array_equal(answers(model, rows), answers(make().fit(rows, y), rows))
    assert not model.net_.optimizer_.state


def test_a_warm_start_keeps_the_members_that_there_are():
    model = classifier(warm_start=True, n_members=3).fit(X, Y)
    model.set_params(n_members=1).fit(X, Y)
    assert len(members(model)) == 3


@pytest.mark.parametrize("door", ["fit", "partial_fit"])
def test_going_on_shuffles_anew(door, monkeypatch):
    orders = []
    draw = NetworkState.shuffled
    monkeypatch.setattr(NetworkState, "shuffled", lambda self: orders.append(draw(self)) or orders[-1])
    model = classifier(warm_start=True, max_epochs=1, batch_stats="running")
    for _ in range(3):
        getattr(model, door)(X, Y)
    assert len({tuple(order.tolist()) for order in orders}) == len(orders) == 3


@pytest.mark.parametrize("make", [classifier, image_classifier])
def test_all_classes_are_named_in_the_first_call(make):
    rows = X if make is classifier else IMAGES
    labels = np.array(["a", "b", "c"])[Y3]
    some = labels != "b"
    model = make().partial_fit(rows[some], labels[some], classes=["c", "b", "a"])
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.predict_proba(rows).shape == (N, 3)
    for _ in range(40):
        model.partial_fit(rows, labels)
    assert model.score(rows, labels) > 0.8


def test_classes_of_the_first_rows_are_enough_where_they_have_them_all():
    assert classifier().partial_fit(X, Y3).partial_fit(X[:5], Y3[:5]).classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("door", ["partial_fit", "fit"])
def test_labels_that_come_later_are_refused(door):
    model = classifier(warm_start=True).partial_fit(X, Y)
    before = parameters(model)
    match = (
        r"y has the classes \[2\], which the network does not know: it has \[0, 1\]\. Name all of them in the first "
        r"call of partial_fit: classes=\.\.\."
    )
    with pytest.raises(ValueError, match=match):
        getattr(model, door)(X, Y3)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(model), strict=True))
    with pytest.raises(ValueError, match=r"y has the classes \[0\]"):
        classifier().partial_fit(X, Y, classes=[1, 2])


def test_other_columns_that_come_later_are_refused():
    for door in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="X has 3 features, but BNMLPClassifier is expecting 4"):
            getattr(classifier(warm_start=True).fit(X, Y), door)(X[:, :3], Y)


@pytest.mark.parametrize("first", [1, 2])
def test_other_numbers_of_outputs_that_come_later_are_refused(first):
    targets = {1: VALUES, 2: X[:, :2]}
    model = regressor(warm_start=True).fit(X, targets[first])
    with pytest.raises(ValueError, match="y"):
        model.fit(X, targets[3 - first])


def test_values_stay_on_the_scale_of_the_first_call():
    params = ONE_BATCH | {"max_epochs": 2}
    model = regressor(**params).fit(X, VALUES)
    before = model.net_.module_.output_affine.clone()
    np.testing.assert_allclose(before[:, 0], [VALUES.mean(), VALUES.std()], rtol=1e-12)
    for _ in range(150):
        model.partial_fit(X, 5 * VALUES + 3)
    assert torch.equal(model.net_.module_.output_affine, before)
    assert np.corrcoef(model.predict(X), VALUES)[0, 1] > 0.9
    assert model.score(X, 5 * VALUES + 3) > 0.8


def test_partial_fit_goes_on_after_fit_and_after_snapshots():
    model = classifier(snapshots=2, max_epochs=4).fit(X, Y).partial_fit(X, Y)
    assert len(model.loss_curve_) == 5
    assert len(members(model)) == 2


def test_partial_fit_heeds_weights():
    left = ALL % 2 == 0
    a, b = (classifier(optimizer="sgd", lr=0.1) for _ in range(2))
    for _ in range(3):
        a.partial_fit(X, Y, sample_weight=np.where(Y == 1, 9.0, 1.0))
        b.partial_fit(X, Y)
    assert a.predict_proba(X)[left, 1].mean() > b.predict_proba(X)[left, 1].mean() + 0.05


# --- features that never change ------------------------------------------------------------------------------


def with_feature(values, rows=X):
    return np.column_stack([rows, np.broadcast_to(values, len(rows))])


def assert_no_say(model, before=None):
    """The last feature is without effect on new rows; ``before``: and has been in the training of another model."""
    expected = answers(model, with_feature(0.0, NEW))
    for values in (1.0, 1e3 * NEW[:, 0]):
        np.testing.assert_array_equal(answers(model, with_feature(values, NEW)), expected)
    if before is not None:
        np.testing.assert_array_equal(answers(before, with_feature(0.0, NEW)), expected)


MLPS = pytest.mark.parametrize(("make", "y"), [(classifier, Y3), (regressor, VALUES)], ids=["classes", "values"])
INSIDE = pytest.mark.parametrize("params", [{}, {"batch_norm": False}, {"input_batch_norm": True}], ids=str)


@INSIDE
@MLPS
def test_what_a_feature_does_in_rows_to_stop_by_has_no_say(make, y, params, states_made):
    params = params | STOPS | {"dtype": "float32", "max_epochs": 20, "n_iter_no_change": 2, "lr": 0.1}
    plain = make(**params).fit(with_feature(1.0), y)
    values = np.ones(N)
    values[states_made[0][0].valid] = RNG.normal(size=18)
    model = make(**params).fit(with_feature(values), y)
    assert model.loss_curve_ == plain.loss_curve_
    assert_no_say(model, plain)


@INSIDE
@MLPS
def test_what_a_feature_does_in_rows_without_weight_has_no_say(make, y, params):
    weights = np.where(ALL % 5 == 0, 0.0, WEIGHTS)
    plain, model = (
        make(**params, dtype="float32").fit(with_feature(values), y, sample_weight=weights)
        for values in (1.0, np.where(weights == 0, X[:, 0], 1.0))
    )
    assert_no_say(model, plain)


@INSIDE
@MLPS
@pytest.mark.parametrize("door", ["fit", "partial_fit"])
def test_a_feature_that_has_never_changed_has_no_say_until_it_does(make, y, params, door):
    # The others tell y already: with a factor of its own, the feature could be turned down again.
    params = params | {"warm_start": True, "dtype": "float32", "front_scale": False}
    plain, model = make(**params), make(**params)
    for _ in range(4):
        getattr(plain, door)(with_feature(0.0), y)
        getattr(model, door)(with_feature(0.1), y)
        assert_no_say(model, plain)
    for _ in range(10):
        getattr(model, door)(with_feature(y), y)
    assert np.abs(answers(model, with_feature(1.0, NEW)) - answers(model, with_feature(0.0, NEW))).max() > 0.1
    # From then on it is seen also where it does not change for a while: what is trained is what predicts.
    getattr(model.set_params(lr=0.0, batch_size=N), door)(with_feature(1.0), y)
    predicted = answers(model, with_feature(1.0))
    loss = log_loss(y, predicted) if make is classifier else mean_squared_error(y, predicted) / y.var()
    assert loss == pytest.approx(model.loss_curve_[-1], rel=0.2)


@INSIDE
@MLPS
@pytest.mark.parametrize("more", [{}, STOPS, {"optimizer": "muon"}], ids=["", "stops", "alone"])
def test_features_that_never_change_in_one_fold_have_a_say_in_the_others(make, y, params, more):
    """A feature a fold, as an encoder makes them: one in all of its rows, other values elsewhere."""
    folds = [ALL[:41], ALL[19:], ALL[10:50], ALL]
    rows = X.copy()
    for feature, own in enumerate(folds[:3]):
        rows[own, feature] = 1.0
    constant = [{j for j in range(4) if len(set(rows[own, j])) == 1} for own in folds]
    assert constant == [{0}, {1}, {2}, set()]
    estimator = make(**params, **more, n_members=2, max_epochs=8, n_iter_no_change=2)
    for model, still in zip(assert_alone_gives_the_same(estimator, y, folds, rows=rows), constant, strict=True):
        for feature in range(4):
            moved = NEW.copy()
            moved[:, feature] += 3
            same = np.array_equal(answers(model, moved), answers(model, NEW))
            assert same == (feature in still)


# --- skorch's net ------------------------------------------------------------------------------------------


@KINDS
def test_the_net_answers_as_the_estimator_does(make, rows, y):
    model = make(dtype="float32", n_members=2).fit(rows, y)
    inputs = (rows if rows.ndim == 2 else rows[:, None]).astype(np.float32)
    expected = answers(model, rows.astype(np.float32))
    for rows_of_net in (inputs, torch.from_numpy(inputs)):
        found = model.net_.predict_proba(rows_of_net) if y.dtype == int else model.net_.predict(rows_of_net)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    if y.dtype == int:
        np.testing.assert_array_equal(model.net_.predict(inputs), model.predict(rows))


def test_the_history_has_a_row_an_epoch():
    model = classifier(max_epochs=4).fit(X, Y)
    assert len(model.history_) == 4
    assert model.history_ is model.net_.history
    assert model.loss_curve_ == model.history_[:, "train_loss"]
    assert min(model.history_[:, "dur"]) > 0
    assert "valid_loss" not in model.history_[0]
    assert "valid_loss" in classifier(**STOPS).fit(X, Y).history_[0]


def test_the_loss_curve_is_the_loss_of_the_members():
    """With a rate of nothing the loss of an epoch can be told from the weights."""
    model = classifier(lr=0.0, max_epochs=2, n_members=2, batch_norm=False).fit(X, Y)
    with torch.inference_mode():
        outputs = [softmax(member(torch.from_numpy(X)).numpy(), axis=1) for member in members(model)]
    assert model.loss_curve_ == pytest.approx([np.mean([log_loss(Y, output) for output in outputs])] * 2)


def test_the_net_tells_of_its_training_only_if_asked(capsys):
    classifier().fit(X, Y)
    assert capsys.readouterr().out == ""
    classifier(verbose=1, **STOPS).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [name for name in ("epoch", "train_loss", "valid_loss", "dur") if name in lines[0]] == lines[0].split()
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]


class CountsEpochs(Callback):
    def initialize(self):
        self.calls = []

    def on_train_begin(self, net, **kwargs):
        self.calls.append("begin")

    def on_epoch_end(self, net, **kwargs):
        self.calls.append(len(net.history))

    def on_train_end(self, net, **kwargs):
        self.calls.append("end")


def test_callbacks_are_called_and_can_be_reached():
    model = classifier(callbacks=[("counts", CountsEpochs())]).fit(X, Y)
    assert dict(model.net_.callbacks_)["counts"].calls == ["begin", 1, 2, 3, "end"]


def test_every_fold_has_callbacks_of_its_own():
    fitted = classifier(callbacks=[("counts", CountsEpochs())]).fit_folds(X, Y, [ALL[:40], ALL[20:]])
    own = [dict(model.net_.callbacks_)["counts"] for model in fitted]
    assert own[0] is not own[1]
    assert [counts.calls for counts in own] == [["begin", 1, 2, 3, "end"]] * 2


@pytest.mark.parametrize("make", [classifier, image_classifier])
def test_callbacks_score_the_network_as_it_is_then(make):
    rows = X if make is classifier else IMAGES
    score = EpochScoring("neg_log_loss", on_train=True, lower_is_better=False, name="score")
    scores, params = [], {"batch_norm": False, "schedule": "constant", "max_epochs": 3}
    for epochs in (1, 2, 3):
        model = make(**params | {"max_epochs": epochs}).fit(rows, Y)
        scores.append(-log_loss(Y, model.predict_proba(rows)))
    found = make(**params, callbacks=[score]).fit(rows, Y).history_[:, "score"]
    np.testing.assert_allclose(found, scores, rtol=1e-9)


def test_callbacks_score_values_on_the_scale_of_the_user():
    score = EpochScoring("neg_mean_squared_error", on_train=True, lower_is_better=False, name="score")
    y = 1e3 * VALUES + 500
    model = regressor(batch_norm=False, callbacks=[score]).fit(X, y)
    assert -model.history_[-1]["score"] == pytest.approx(mean_squared_error(y, model.predict(X)))


def test_a_callback_can_end_the_training_of_its_fold_alone():
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=100.0, threshold_mode="abs", sink=lambda _: None)
    fitted = classifier(max_epochs=9, callbacks=[stop]).fit_folds(X, Y, [ALL[:40], ALL[20:]])
    assert [len(model.history_) for model in fitted] == [3, 3]
    one_ends = EarlyStopping(monitor="train_loss", patience=1, threshold=0, lower_is_better=False, sink=lambda _: None)
    noise = np.where(ALL < 30, Y, RNG.integers(0, 2, N))
    model = classifier(max_epochs=9, callbacks=[one_ends], lr=0.05).fit(X, noise)
    assert len(model.history_) < 9
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("make", [classifier, regressor])
def test_frozen_weights_stay(make):
    y = Y if make is classifier else VALUES
    first = members(make(lr=0.0).fit(X, y))[0].linears[0].weight.detach()
    found = members(make(callbacks=[Freezer("members.*.linears.*")]).fit(X, y))[0].linears[0].weight.detach()
    assert torch.equal(found, first)


# --- copies ------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_copy_from_a_file_answers_with_the_same_bits(make, rows, y, dtype, tmp_path):
    model = make(dtype=dtype, n_members=2).fit(rows, y)
    joblib.dump(model, tmp_path / "model")
    for copied in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model"), copy.deepcopy(model)):
        np.testing.assert_array_equal(answers(copied, rows), answers(model, rows))
        assert copied.loss_curve_ == model.loss_curve_


@KINDS
def test_a_copy_goes_on_as_the_model_would(make, rows, y):
    model = make(warm_start=True).fit(rows, y)
    copied = pickle.loads(pickle.dumps(model)).fit(rows, y)
    np.testing.assert_array_equal(answers(copied, rows), answers(model.fit(rows, y), rows))


def test_fold_models_can_be_copied_too():
    fitted = classifier(n_members=2).fit_folds(X, Y, [ALL[:40], ALL[20:]])
    for model in fitted:
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device must be one that is not there")
@KINDS
def test_a_model_from_a_machine_with_a_gpu_predicts_without_one(make, rows, y):
    model = make().fit(rows, y)
    expected = answers(model, rows)
    model.net_.device = "cuda"
    stored = pickle.dumps(model)
    with pytest.warns(DeviceWarning):
        copied = pickle.loads(stored)
    np.testing.assert_array_equal(answers(copied, rows), expected)


@KINDS
def test_a_clone_has_the_parameters_and_nothing_learned(make, rows, y):
    model = make(n_threads=2, verbose=0).fit(rows, y)
    twin = clone(model)
    assert twin.get_params().keys() == model.get_params().keys()
    assert not hasattr(twin, "net_")
    np.testing.assert_array_equal(answers(twin.fit(rows, y), rows), answers(model, rows))


def test_parameters_set_later_do_not_change_what_was_learned():
    model = classifier().fit(X, Y)
    before = model.predict_proba(X)
    model.set_params(hidden_layer_sizes=(3,), dtype="float32", n_members=4, activation="tanh")
    np.testing.assert_array_equal(model.predict_proba(X), before)


# --- seeds -------------------------------------------------------------------------------------------------

SEEDED = [
    (classifier, X, {"dropout": 0.3, "n_members": 2}),
    (regressor, X, {"dropout": 0.3, "n_members": 2}),
    (
        image_classifier,
        IMAGES,
        {"augment": "elastic", "cutout": 2, "dropout": 0.2, "optimizer": "muon", "ema_decay": 0.8},
    ),
    (classifier, X, {"module": Drops}),
    (image_regressor, IMAGES, {"module": Drops}),
    (classifier, X, STOPS),
]
SEEDS = pytest.mark.parametrize(
    ("make", "rows", "params"),
    SEEDED,
    ids=["mlp-classes", "mlp-values", "cnn", "module-classes", "module-images", "stops"],
)


def _result(make, rows, params, dtype="float32", seed=3):
    y = VALUES if make in (regressor, image_regressor) else Y
    return answers(make(**{"dtype": dtype, "random_state": seed} | params).fit(rows, y), rows)


@SEEDS
def test_a_seed_gives_the_same_bits_and_another_seed_others(make, rows, params):
    _result(make, rows, params)  # the first fit of a process draws for a trial of its own
    first = _result(make, rows, params)
    np.testing.assert_array_equal(_result(make, rows, params), first)
    assert np.abs(_result(make, rows, params, seed=4) - first).max() > 1e-4


def test_the_first_fit_of_a_process_is_like_the_others():
    is_exact_here.cache_clear()
    first = _result(classifier, X, {"module": Drops})
    np.testing.assert_array_equal(_result(classifier, X, {"module": Drops}), first)


@SEEDS
def test_threads_at_once_give_the_same_bits(make, rows, params):
    _result(make, rows, params)
    expected = _result(make, rows, params)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(_result)(make, rows, params) for _ in range(4))
    for result in found:
        np.testing.assert_array_equal(result, expected)


def test_threads_predict_at_once():
    model = classifier(dtype="float32", n_members=3).fit(X, Y)
    expected = model.predict_proba(X)
    with joblib.parallel_config(backend="threading", n_jobs=4):
        found = joblib.Parallel()(joblib.delayed(model.predict_proba)(X) for _ in range(20))
    for result in found:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.slow
def test_worker_processes_and_threads_give_the_same_bits():
    flat = IMAGES.reshape(N, -1).astype(np.float32)
    params = SHORT | {"random_state": None}
    learners = [
        ("mlp", BNMLPClassifier(**params | {"n_members": 2, "dropout": 0.2})),
        ("pipeline", make_pipeline(StandardScaler(), BNMLPClassifier(**params))),
        ("cnn", BNCNNClassifier(**params | {"augment": "affine", "cutout": 2, "ema_decay": 0.8})),
    ]

    def bits(**options):
        oof = cross_fit(learners, flat, Y, cv=3, X_test=flat[:9], random_state=1, **options)
        return oof.train.tobytes() + oof.test.tobytes()

    expected = bits(n_jobs=1)
    assert bits(n_jobs=2) == expected
    with joblib.parallel_config(backend="threading"):
        assert bits(n_jobs=2) == expected


@KINDS
def test_open_seeds_differ_from_fit_to_fit(make, rows, y):
    a, b = (answers(make(random_state=None).fit(rows, y), rows) for _ in range(2))
    assert np.abs(a - b).max() > 1e-4


def test_a_generator_as_the_seed_is_drawn_from():
    generator = np.random.RandomState(0)
    a, b = (classifier(random_state=generator).fit(X, Y).predict_proba(X) for _ in range(2))
    assert np.abs(a - b).max() > 1e-4
    again = classifier(random_state=np.random.RandomState(0)).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(again, a)


def test_folds_have_seeds_of_their_own():
    fitted = classifier().fit_folds(X, Y, [ALL] * 4)
    assert len({model.random_state for model in fitted}) == 4
    found = [model.predict_proba(X) for model in fitted]
    assert all(np.abs(found[0] - other).max() > 1e-4 for other in found[1:])
    for model, twin in zip(fitted, classifier().fit_folds(X, Y, [ALL] * 4), strict=True):
        np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))


def test_every_member_of_every_fold_has_an_order_and_a_noise_of_its_own(states_made):
    classifier(n_members=3).fit_folds(X, Y, [ALL[:40], ALL[20:]])
    classifier(n_members=3, random_state=1).fit(X, Y)
    network_states = [network_state for network_states in states_made for network_state in network_states]
    seeds = {
        generator.initial_seed()
        for network_state in network_states
        for generator in (network_state.order, network_state.noise)
    }
    assert len(seeds) == 2 * len(network_states) == 18


def _global_states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  # whether it is left alone
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest), random.getstate()


@SEEDS
def test_global_generators_are_left_alone(make, rows, params):
    before = _global_states()
    y = VALUES if make in (regressor, image_regressor) else Y
    model = make(**params).fit(rows, y)
    assert _global_states() == before
    answers(model, rows)
    model.partial_fit(rows, y)
    if hasattr(model, "fit_folds"):
        model.fit_folds(rows, y, [ALL[:40], ALL[20:]])
    assert _global_states() == before


@SEEDS
def test_the_state_of_the_global_generator_is_without_effect(make, rows, params):
    found = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _result(make, rows, params)
            found.append(_result(make, rows, params))
    np.testing.assert_array_equal(*found)


@KINDS
def test_the_number_of_threads_is_put_back(make, rows, y):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        answers(make(n_threads=1).fit(rows, y), rows)
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="diverged"):
            make(n_threads=1, lr=1e30, optimizer="sgd", batch_norm=False).fit(rows, y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- folds trained together --------------------------------------------------------------------------------


def assert_alone_gives_the_same(estimator, y, folds, *, rows=X, weights=None, groups=None):
    """Each fold model against the same learner fitted on the fold's rows alone."""
    fitted = estimator.fit_folds(rows, y, folds, sample_weight=weights, groups=groups)
    assert len(fitted) == len(folds)
    for model, own in zip(fitted, folds, strict=True):
        alone = clone(estimator).set_params(random_state=model.random_state)
        alone.fit(
            rows[own],
            y[own],
            sample_weight=None if weights is None else weights[own],
            groups=None if groups is None else groups[own],
        )
        np.testing.assert_allclose(answers(model, NEW), answers(alone, NEW), atol=1e-9)
        np.testing.assert_allclose(model.loss_curve_, alone.loss_curve_, rtol=1e-9)
        assert type(model) is type(estimator)
        assert model.n_features_in_ == alone.n_features_in_
        if hasattr(alone, "classes_"):
            np.testing.assert_array_equal(model.classes_, alone.classes_)
    assert not hasattr(estimator, "net_")
    return fitted


def trains(splitter, **options):
    return [train for train, _ in splitter.split(X, Y3, **options)]


FOLDS = {
    "even": trains(KFold(4)),
    "ragged": trains(KFold(7, shuffle=True, random_state=0)),
    "repeated": trains(RepeatedKFold(n_splits=3, n_repeats=3, random_state=0)),
    "unequal": trains(LeaveOneGroupOut(), groups=np.repeat([0, 1, 2], [2, 13, 45])),
    "overlapping": [ALL, ALL[:9], ALL[30:], ALL[::7], ALL],
    "unsorted": [RNG.permutation(N)[:41], RNG.permutation(N)[:17]],
    "twice the same rows": [np.r_[ALL[:20], ALL[:20]], ALL[5:]],
    "one": [ALL[10:]],
}


@pytest.mark.parametrize("folds", FOLDS.values(), ids=FOLDS)
@pytest.mark.parametrize(
    ("make", "y"),
    [
        (classifier, Y3),
        (classifier, np.array(["no", "yes"])[Y]),
        (regressor, VALUES),
        (regressor, np.column_stack([VALUES, 1e4 * X[:, 1]])),
    ],
    ids=["codes", "labels", "values", "several"],
)
def test_a_fold_learns_beside_others_as_it_does_alone(make, y, folds):
    estimator = make(n_members=2)
    if y.ndim == 2:
        y = y / y.std(axis=0)
    assert_alone_gives_the_same(estimator, y, folds)


@pytest.mark.parametrize(
    "params",
    [
        {"dropout": 0.4},
        {"input_batch_norm": True},
        {"batch_norm": False},
        {"batch_stats": "running"},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (5, 4, 3), "activation": "tanh"},
        {"activation": "sigmoid", "optimizer": "sgd"},
        {"activation": "selu"},
        {"activation": "silu"},
        {"activation": "mish", "dropout": 0.4},
        {"optimizer": "muon"},
        {"optimizer": "muon", "hidden_layer_sizes": (6, 7), "weight_decay": 0.5, "clip_norm": 0.1},
        {"optimizer": torch.optim.RMSprop},
        {"weight_decay": 0.5},
        {"schedule": "one-cycle"},
        {"regularization_schedule": "flat-cosine", "weight_decay": 0.5, "dropout": 0.4},
        {"clip_norm": 0.1, "schedule": "coslog4"},
        {"snapshots": 2, "max_epochs": 4},
        {"batch_size": "auto"},
        {"class_weight": "balanced"},
        {"early_stopping": True, "max_epochs": 12, "n_iter_no_change": 2, "lr": 0.1},
        {"scaling": "robust-clip", "num_embedding": "ple"},
        {"scaling": "robust-clip", "num_embedding": "pbld", "n_members": 2},
        {"scaling": "standard", "early_stopping": True, "n_members": 3, "beta_2": 0.95},
        pytest.param({"callbacks": [CountsEpochs()]}, id="callbacks"),
    ],
    ids=str,
)
def test_whatever_the_parameters(params):
    assert_alone_gives_the_same(classifier(**params), Y3, FOLDS["ragged"])
    if "class_weight" not in params:
        assert_alone_gives_the_same(regressor(**params), VALUES, FOLDS["unequal"])


@pytest.mark.parametrize("params", [{}, {"class_weight": "balanced"}, STOPS], ids=str)
def test_weights_are_those_of_the_folds_rows(params):
    assert_alone_gives_the_same(classifier(**params), Y3, FOLDS["ragged"], weights=WEIGHTS)
    if "class_weight" not in params:
        assert_alone_gives_the_same(regressor(**params), VALUES, FOLDS["ragged"], weights=WEIGHTS)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_groups_to_stop_by_are_those_of_the_folds_rows(make):
    y = Y3 if make is classifier else VALUES
    estimator = make(**STOPS, max_epochs=12, n_iter_no_change=2, lr=0.1)
    fitted = assert_alone_gives_the_same(estimator, y, FOLDS["ragged"], groups=GROUPS, weights=WEIGHTS)
    assert len({len(model.history_) for model in fitted}) > 1


@pytest.mark.parametrize("params", [{}, {"class_weight": "balanced"}, STOPS], ids=str)
def test_a_fold_knows_the_classes_of_its_own_rows_alone(params):
    labels = np.array(["a", "b", "c"])[Y3]
    folds = [ALL, ALL[labels != "a"], ALL[labels != "b"], ALL[labels == "c"], ALL[::2]]
    fitted = assert_alone_gives_the_same(classifier(**params), labels, folds)
    assert ["".join(model.classes_) for model in fitted] == ["abc", "bc", "ac", "c", "abc"]
    assert fitted[1].predict_proba(X).shape == (N, 2)
    assert set(fitted[1].predict(X)) <= {"b", "c"}


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(8, N), min_size=1, max_size=6),
    st.sampled_from([4, 16, 64]),
    st.integers(1, 3),
    st.integers(0, 2**31 - 1),
)
def test_any_folds_at_all(lengths, batch_size, n_members, seed):
    rng = np.random.default_rng(seed)
    folds = [rng.permutation(N)[:length] for length in lengths]
    estimator = classifier(batch_size=batch_size, n_members=n_members, max_epochs=2, random_state=seed)
    assert_alone_gives_the_same(estimator, rng.integers(0, 3, N), folds)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"input_batch_norm": True, "weight_decay": 0.3},
        {"optimizer": "muon"},
        {"early_stopping": True},
        {"scaling": "robust-clip", "num_embedding": "ple", "early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("still", [None, 1], ids=["", "still"])
def test_folds_may_have_columns_of_their_own(make, params, still):
    """As encoders leave them: behind a fold's own columns there are zeros; one of them may never change."""
    y = Y if make is classifier else VALUES
    parts, widths = [ALL[:30], ALL[20:], ALL[::2]], [2, 4, 3]
    ends = np.cumsum([len(part) for part in parts])
    folds = np.split(np.arange(ends[-1]), ends[:-1])
    table = np.vstack([np.where(np.arange(4) < width, X[part], 0) for part, width in zip(parts, widths, strict=True)])
    if still is not None:
        table[folds[0], still] = 1.0
    fitted = make(**params).fit_folds(table, y[np.concatenate(parts)], folds, n_features=widths)
    for model, own, part, width in zip(fitted, folds, parts, widths, strict=True):
        alone = make(**params, random_state=model.random_state).fit(table[own, :width], y[part])
        np.testing.assert_allclose(answers(model, NEW[:, :width]), answers(alone, NEW[:, :width]), atol=1e-9)
        assert model.n_features_in_ == width
        with pytest.raises(ValueError, match=f"expecting {width}"):
            answers(model, np.ones((2, 5)))


def test_names_of_columns_are_kept_by_every_fold_model():
    frame = pd.DataFrame(X, columns=list("abcd"))
    for model in classifier().fit_folds(frame, Y, FOLDS["even"]):
        assert model.feature_names_in_.tolist() == list("abcd")
        model.predict_proba(frame)  # without a warning


def test_the_users_own_is_not_written_to():
    rows, y, weights = X.copy(), Y.copy(), WEIGHTS.copy()
    folds = [fold.copy() for fold in FOLDS["ragged"]]
    estimator = classifier(input_batch_norm=True, class_weight="balanced")
    before = estimator.get_params()
    estimator.fit_folds(rows, y, folds, sample_weight=weights)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weights, WEIGHTS)
    assert estimator.get_params() == before
    for mine, given_ in zip(folds, FOLDS["ragged"], strict=True):
        np.testing.assert_array_equal(mine, given_)


@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("params", [{}, STOPS], ids=["", "stops"])
def test_a_fold_learns_nothing_of_the_rows_held_out(make, params):
    y = Y3 if make is classifier else VALUES
    estimator = make(**params, n_members=2)
    rng = np.random.default_rng(1)
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    folds = [train for train, _ in splits]
    first = estimator.fit_folds(X, y, folds, sample_weight=WEIGHTS)
    for i, (_, test) in enumerate(splits):
        rows, targets, weights = X.copy(), y.copy(), WEIGHTS.copy()
        rows[test] = 10 * rng.normal(size=rows[test].shape)
        targets[test] = rng.permutation(3)[y[test]] if make is classifier else 1e6 * rng.normal(size=len(test))
        weights[test] = 100 * rng.random(len(test))
        again = estimator.fit_folds(rows, targets, folds, sample_weight=weights)
        np.testing.assert_allclose(answers(again[i], NEW), answers(first[i], NEW), atol=1e-9)
        other = (i + 1) % 3
        assert np.abs(answers(again[other], NEW) - answers(first[other], NEW)).max() > 1e-3


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3, 1e6])
def test_the_scale_of_values_is_that_of_the_folds_own_rows(size):
    folds = [ALL[20:], ALL[:40]]
    first = regressor().fit_folds(X, VALUES, folds)[0].predict(NEW)
    changed = np.where(ALL < 20, size, VALUES)
    np.testing.assert_allclose(regressor().fit_folds(X, changed, folds)[0].predict(NEW), first, atol=1e-9)


def test_an_extreme_value_held_out_changes_nothing_in_float32():
    folds = [ALL[20:], ALL[:40]]
    estimator = regressor(dtype="float32", max_epochs=20)
    first = estimator.fit_folds(X, VALUES, folds)[0].predict(NEW)
    changed = np.where(ALL == 3, 1e9, VALUES)
    np.testing.assert_allclose(estimator.fit_folds(X, changed, folds)[0].predict(NEW), first, atol=0.1)


# --- in stacks ---------------------------------------------------------------------------------------------

FAST = {"n_members": 1, "max_epochs": 1, "lr": 0.01, "schedule": "constant"}
PASS = FunctionTransformer()


@pytest.fixture(scope="module")
def titanic():
    return load_titanic(return_X_y=True)


FOLD_COUNTS = (2, 3, 5, 10, 20)


@pytest.mark.parametrize("n_folds", FOLD_COUNTS)
def test_numbers_of_folds_on_the_titanic(titanic, n_folds):
    """Batches of the default size never leave a rest that Batch Normalization cannot take."""
    data, survived = titanic
    numbers = data[["pclass", "sibsp", "parch"]]
    learners = [
        ("alone", BNMLPClassifier(**FAST)),
        ("scaled", make_pipeline(StandardScaler(), BNMLPClassifier(**FAST))),
    ]
    oof = cross_fit(learners, numbers, survived, cv=n_folds, random_state=0)
    assert oof.covered.all()
    assert ((oof.train > 0) & (oof.train < 1)).all()


@pytest.mark.slow
def test_numbers_of_folds_on_the_raw_titanic(titanic):
    data, survived = titanic
    some = data[["sex", "age", "embarked"]]
    learner = make_pipeline(scaled_preprocessing(), BNMLPClassifier(**FAST))
    for n_folds in FOLD_COUNTS:
        oof = cross_fit([("net", learner)], some, survived, cv=n_folds, random_state=0)
        assert ((oof.train > 0) & (oof.train < 1)).all()


@pytest.mark.parametrize("n_folds", [2, 3, 5, 7, 10, 20])
def test_twenty_rows(titanic, n_folds):
    data, survived = titanic
    rows = np.random.default_rng(0).permutation(len(data))[:20]
    net = BNMLPClassifier(**FAST)
    for learner, columns in [
        (net, ["pclass", "sibsp", "parch"]),
        (make_pipeline(StandardScaler(), net), ["pclass", "sibsp", "parch"]),
        (make_pipeline(scaled_preprocessing(), net), list(data)),
    ]:
        oof = cross_fit([("net", learner)], data[columns].iloc[rows], survived.iloc[rows], cv=KFold(n_folds))
        assert np.isfinite(oof.train).all()


def test_a_stack_of_nets_learns(titanic):
    data, survived = titanic
    params = SHORT | {"max_epochs": 8, "random_state": None}
    nets = [
        ("relu", make_pipeline(scaled_preprocessing(), BNMLPClassifier(**params))),
        ("tanh", make_pipeline(scaled_preprocessing(), BNMLPClassifier(activation="tanh", **params))),
    ]
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    model = StackingModel(nets, cv=cv, random_state=0).fit(data, survived)
    assert roc_auc_score(survived, model.oof_.train.mean(axis=1)) > 0.8
    assert model.score(data, survived) > 0.75


def test_regressors_in_a_stack():
    several = np.column_stack([VALUES, 1e5 * X[:, 1]])
    oof = cross_fit([("net", BNMLPRegressor(**SHORT | {"max_epochs": 20}))], X, several, cv=4)
    assert [np.corrcoef(a, b)[0, 1] > 0.8 for a, b in zip(oof.train.T, several.T, strict=True)] == [True, True]
    model = StackingModel([("net", BNMLPRegressor(**SHORT)), ("mean", DummyRegressor())], cv=3).fit(X, VALUES)
    assert model.predict(X).shape == (N,)


def test_images_in_a_stack():
    lit = np.where((Y == 1)[:, None, None], IMAGES + 1.5, IMAGES)
    oof = cross_fit([("cnn", BNCNNClassifier(**SHORT | {"max_epochs": 5}))], lit, Y, cv=3, random_state=0)
    assert roc_auc_score(Y, oof.train[:, 0]) > 0.9


def test_a_class_that_a_fold_lacks():
    y = np.where(ALL == 3, "rare", np.array(["a", "b"])[Y])
    net, pipeline = classifier(), make_pipeline(StandardScaler(), classifier())
    with pytest.warns(MissingClassWarning, match=r"fold 0 of \d+ lacks 'rare'"):
        oof = cross_fit([("net", net), ("pipeline", pipeline)], X, y, cv=KFold(5))
    test = oof.folds.pairs[0][1]
    names = [oof.columns.index(f"{name}_rare") for name in ("net", "pipeline")]
    assert (oof.train[np.ix_(test, names)] == 0).all()
    np.testing.assert_allclose(oof.train[:, :3].sum(axis=1), 1)


class Remembers(TransformerMixin, BaseEstimator):
    """The row numbers that it was fitted on."""

    def fit(self, X, y=None):
        self.seen_ = set(X[:, 0].astype(int).tolist())
        return self

    def transform(self, X):
        return X


def test_preprocessing_sees_the_training_rows_of_its_fold_alone():
    learner = Pipeline([("remembers", Remembers()), ("scale", StandardScaler()), ("net", classifier())])
    rows = with_row_ids(X)
    oof = cross_fit([("net", learner)], rows, Y, cv=KFold(4, shuffle=True, random_state=0))
    for (train, _), member in zip(oof.folds.pairs, oof.members["net"], strict=True):
        assert member[0].seen_ == set(train.tolist())
        np.testing.assert_allclose(member[1].mean_, rows[train].mean(axis=0))
        alone = clone(learner[1:]).set_params(net__random_state=member[-1].random_state).fit(rows[train], Y[train])
        np.testing.assert_allclose(member.predict_proba(rows), alone.predict_proba(rows), atol=1e-9)


WRAPS = pytest.mark.parametrize(
    "wrap",
    [lambda net: net, lambda net: make_pipeline(PASS, net)],
    ids=["alone", "pipeline"],
)


@WRAPS
@pytest.mark.parametrize("params", [{}, STOPS], ids=["", "stops"])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_no_row_of_a_test_fold_reaches_a_network(wrap, params, make, states_made):
    rows = with_row_ids(X)
    y = Y if make is classifier else VALUES
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    oof = cross_fit([("net", wrap(make(**params, n_members=2)))], rows, y, cv=cv, sample_weight=WEIGHTS)
    assert len(states_made) == 6
    for network_states, (train, _) in zip(states_made, oof.folds.pairs, strict=True):
        for network_state in network_states:
            own = (
                network_state.train
                if network_state.valid is None
                else torch.cat([network_state.train, network_state.valid])
            )
            assert sorted(network_state.table.inputs[own, 0].int().tolist()) == sorted(train.tolist())


@pytest.mark.parametrize("params", [{}, STOPS], ids=["", "stops"])
@pytest.mark.parametrize("make", [image_classifier, image_regressor])
def test_no_image_of_a_test_fold_reaches_a_network(params, make, states_made):
    images = np.random.default_rng(0).integers(0, 256, (N, 6, 6)).astype(np.uint8)
    images[:, 0, 0] = ALL
    y = Y if make is image_classifier else VALUES
    oof = cross_fit([("net", make(**params))], images, y, cv=KFold(3, shuffle=True, random_state=0))
    for (network_state,), (train, _) in zip(states_made, oof.folds.pairs, strict=True):
        own = (
            network_state.train
            if network_state.valid is None
            else torch.cat([network_state.train, network_state.valid])
        )
        assert sorted(network_state.table.inputs[own, 0, 0, 0].tolist()) == sorted(train.tolist())


def test_the_scale_of_pixels_is_that_of_the_training_images():
    model = image_classifier().fit(IMAGES[:30] * 7 + 3, Y[:30])
    mean, scale = model.net_.module_.input_affine
    np.testing.assert_allclose([mean[0], scale[0]], [(IMAGES[:30] * 7 + 3).mean(), IMAGES[:30].std() * 7], rtol=1e-9)


NOISE_ROWS = 300
LONG = {"n_members": 1, "max_epochs": 40, "batch_size": 32, "lr": 0.02, "schedule": "cosine"}


@pytest.mark.parametrize(
    "learner",
    [
        BNMLPClassifier(**LONG, early_stopping=False),
        make_pipeline(StandardScaler(), BNMLPClassifier(**LONG, early_stopping=False)),
        BNMLPClassifier(**LONG, validation_fraction=2, n_iter_no_change=40),  # two rows do not tell when to stop
        BNMLPClassifier(**LONG | {"max_epochs": 60}, module=Drops),
        BNCNNClassifier(**LONG | {"optimizer": "adam", "preset": None, "blocks": [ConvBlock(16)]}),
    ],
    ids=["alone", "pipeline", "stops", "module", "cnn"],
)
def test_a_net_that_learns_noise_by_heart_predicts_none_of_it(learner):
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(NOISE_ROWS, 16)), rng.integers(0, 2, NOISE_ROWS)
    oof = cross_fit([("net", learner)], noise, labels, cv=StratifiedKFold(3), random_state=0)
    assert 0.4 <= roc_auc_score(labels, oof.train[:, 0]) <= 0.6
    train = oof.folds.pairs[0][0]
    by_heart = roc_auc_score(labels[train], oof.members["net"][0].predict_proba(noise[train])[:, 1])
    assert by_heart > 0.75  # there was something to leak


@WRAPS
def test_values_held_out_do_not_move_a_stack(wrap):
    cv = KFold(3)
    first = cross_fit([("net", wrap(regressor()))], X, VALUES, cv=cv)
    for i, (_, test) in enumerate(first.folds.pairs):
        changed = VALUES.copy()
        changed[test] = 1e6
        again = cross_fit([("net", wrap(regressor()))], X, changed, cv=cv)
        np.testing.assert_allclose(again.train[test], first.train[test], atol=1e-9)
        assert np.abs(np.delete(again.train - first.train, test, axis=0)).max() > 1, i


def test_weights_reach_the_nets_of_a_stack():
    heavy = np.where(Y == 1, 30.0, 1.0)
    for wrap in (lambda net: net, lambda net: make_pipeline(PASS, net)):
        flat, pulled = (
            cross_fit([("net", wrap(classifier(max_epochs=8)))], X, Y, cv=3, sample_weight=w).train
            for w in (None, heavy)
        )
        assert pulled.mean() > flat.mean() + 0.05


def test_encoders_may_give_each_fold_other_columns():
    towns = np.array(["bath", "cork", "dover", "york"])[np.r_[0, np.arange(1, N) % 3 + 1]]
    frame = pd.DataFrame({"town": towns, "size": X[:, 0]})
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    learner = make_pipeline(levels, classifier())
    oof = cross_fit([("net", learner)], frame[["town"]], Y, cv=KFold(3), random_state=0)
    assert [member[-1].n_features_in_ for member in oof.members["net"]] == [3, 4, 4]
    for (train, test), member in zip(oof.folds.pairs, oof.members["net"], strict=True):
        alone = clone(learner).set_params(bnmlpclassifier__random_state=member[-1].random_state)
        alone.fit(frame[["town"]].iloc[train], Y[train])
        expected = alone.predict_proba(frame[["town"]].iloc[test])[:, 1]
        np.testing.assert_allclose(oof.train[test, 0], expected, atol=1e-9)


def test_frames_between_the_steps_keep_their_names():
    frame = pd.DataFrame(X, columns=list("abcd"))
    learner = make_pipeline(StandardScaler().set_output(transform="pandas"), classifier())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oof = cross_fit([("net", learner)], frame, Y, cv=3)
    assert oof.members["net"][0][-1].feature_names_in_.tolist() == list("abcd")


def test_sparse_matrices_between_the_steps_are_refused_in_words():
    towns = np.array([["bath"], ["cork"]])[ALL % 2]
    with pytest.raises(LearnerFailedError, match=r"[Ss]parse"):
        cross_fit([("net", make_pipeline(OneHotEncoder(), classifier()))], towns, Y, cv=3)


def test_groups_are_routed_to_the_nets(states_made):
    net = classifier(**STOPS)
    with sklearn.config_context(enable_metadata_routing=True):
        net.set_fit_request(groups=True)
        StackingModel([("net", net)], cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    for (network_state,) in states_made:
        train, valid = rows_of(network_state)
        assert valid
        assert not set(GROUPS[list(train)]) & set(GROUPS[list(valid)])


def test_groups_of_a_stack_stay_together_among_the_rows_to_stop_by(states_made):
    cross_fit([("net", classifier(**STOPS))], X, Y, cv=GroupKFold(3), groups=GROUPS)
    for (network_state,) in states_made:
        train, valid = rows_of(network_state)
        assert not set(GROUPS[list(train)]) & set(GROUPS[list(valid)])
