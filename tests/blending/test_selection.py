"""Ensemble selection against a loop by hand, over scorers of every kind."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import (
    accuracy_score,
    get_scorer,
    hinge_loss,
    log_loss,
    make_scorer,
    max_error,
)
from tables import classed, columns, learned, numeric

from stackkit._blending.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor

n_classes = pytest.mark.parametrize("k", [2, 4])


def select_by_hand(score, table, n_rounds):
    picks, seen = [], []
    for _ in range(1 + n_rounds):
        trials = [score(np.mean([table[m] for m in [*picks, new]], axis=0)) for new in range(len(table))]
        picks = [*picks, int(np.argmax(np.round(trials, 10)))]
        seen.append(max(trials))
    best = picks[: 1 + int(np.argmax(np.round(seen, 10)))]
    return np.bincount(best, minlength=len(table)) / len(best)


@pytest.mark.parametrize("seed", range(3))
@n_classes
@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_selection_is_the_loop_by_hand(scoring, k, seed):
    table, y = learned(60, k, [1.2, 1.1, 0.8, 0.0], seed)
    judge = {
        "neg_log_loss": lambda p: -log_loss(y, p),
        "accuracy": lambda p: accuracy_score(y, p.argmax(axis=1)),
    }[scoring]
    found = EnsembleSelectionClassifier(10, scoring=scoring, n_init=1).fit(columns(table), y)
    np.testing.assert_allclose(found.weights_, select_by_hand(judge, table, 10))


@pytest.mark.parametrize("scoring", ["neg_root_mean_squared_error", "neg_median_absolute_error"])
def test_selection_of_regressors_is_the_loop_by_hand(scoring):
    X, y = numeric(60, [0.4, 0.5, 0.6, 3.0])
    metric = get_scorer(scoring)._score_func
    found = EnsembleSelectionRegressor(10, scoring=scoring, n_init=1).fit(X, y)
    np.testing.assert_allclose(found.weights_, select_by_hand(lambda p: -metric(y, p), X.T, 10))


def test_lean_log_loss_is_the_scorer():
    X, y = classed(150, 3, [1.2, 1.1, 0.8, 0.0])
    times = np.arange(150) % 3 + 0.5
    for weights in (None, times):
        lean = EnsembleSelectionClassifier().fit(X, y, weights)
        slow = EnsembleSelectionClassifier(scoring=get_scorer("neg_log_loss")).fit(X, y, weights)
        np.testing.assert_array_equal(lean.weights_, slow.weights_)


def test_selection_starts_with_as_many_as_score_best_together():
    table, y = learned(200, 3, [1.0, 0.0, 1.1, 1.2])
    start = EnsembleSelectionClassifier(0).fit(columns(table), y)
    np.testing.assert_allclose(start.weights_, [1 / 3, 0, 1 / 3, 1 / 3])
    two = EnsembleSelectionClassifier(0, n_init=2).fit(columns(table), y)
    np.testing.assert_allclose(two.weights_, [0, 0, 0.5, 0.5])
    every = EnsembleSelectionClassifier(0, n_init=9).fit(columns(table), y)
    np.testing.assert_allclose(every.weights_, 0.25)


def test_of_equal_learners_the_first_is_selected():
    X, y = numeric(50, [0.4])
    noise = 1e-14 * np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_array_equal(EnsembleSelectionRegressor().fit(X + noise, y).weights_, [1, 0, 0, 0])
    tiny = EnsembleSelectionRegressor().fit((numeric(50, [3.0, 0.4])[0]) * 1e-12, y * 1e-12)
    assert tiny.weights_[1] > tiny.weights_[0]  # the tie is relative: small units are not all equal


def test_bags_leave_learners_out_and_counts_add_up():
    X, y = classed(200, 2, [1.5] + [0.0] * 9)
    single = EnsembleSelectionClassifier(0, n_init=1)
    bagged = clone(single).set_params(n_bags=20, random_state=0).fit(X, y)
    np.testing.assert_allclose(bagged.weights_ * 20, np.round(bagged.weights_ * 20), atol=1e-12)
    assert 0.2 < bagged.weights_[0] < 0.8  # in half of the bags, and the best of each
    assert single.fit(X, y).weights_[0] == 1.0
    again = clone(bagged).fit(X, y)
    np.testing.assert_array_equal(again.weights_, bagged.weights_)
    other = clone(bagged).set_params(random_state=1).fit(X, y)
    assert (other.weights_ != bagged.weights_).any()
    whole = clone(bagged).set_params(bag_fraction=1.0).fit(X, y)
    assert whole.weights_[0] == 1.0


@pytest.mark.parametrize(
    "scoring",
    [
        "roc_auc",
        "average_precision",
        "f1",
        make_scorer(hinge_loss, greater_is_better=False, response_method="decision_function"),
    ],
)
def test_scorers_of_labels_probabilities_and_decisions(scoring):
    X, y = classed(100, 2, [1.5, 1.4, -2.0])
    weights = EnsembleSelectionClassifier(3, scoring=scoring).fit(X, y).weights_
    assert weights[2] == 0.0


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "top_k_accuracy", "f1_macro", "matthews_corrcoef"])
def test_scorers_of_several_classes_with_string_labels(scoring):
    X, y = classed(100, 3, [1.2, 1.0, 0.0])
    names = np.array(["a", "b", "c"])[y]
    assert EnsembleSelectionClassifier(3, scoring=scoring).fit(X, names).weights_.sum() == pytest.approx(1)


def test_scorer_without_weights_is_fine_without_weights():
    X, y = numeric(50, [0.4, 0.5])
    selection = EnsembleSelectionRegressor(3, scoring=make_scorer(max_error, greater_is_better=False))
    assert selection.fit(X, y).weights_.sum() == pytest.approx(1)
    with pytest.raises(TypeError, match="sample_weight"):
        selection.fit(X, y, sample_weight=np.arange(50))


def test_scorer_that_returns_nan():
    X, y = numeric(50, [0.4, 0.5])
    with pytest.raises(ValueError, match=r"The scorer <.*> of EnsembleSelectionRegressor returned nan: choose"):
        EnsembleSelectionRegressor(scoring=lambda *_: np.nan).fit(X, y)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_brier_score"])
def test_selection_hands_weights_to_the_scorer(scoring):
    X, y = classed(150, 2, [1.5, 1.0, 0.5, 0.0])
    times = np.random.default_rng(1).integers(0, 4, len(y))
    weighted = EnsembleSelectionClassifier(scoring=scoring).fit(X, y, sample_weight=times)
    repeated = EnsembleSelectionClassifier(scoring=scoring).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    plain = EnsembleSelectionClassifier(scoring=scoring).fit(X, y)
    np.testing.assert_array_equal(weighted.weights_, repeated.weights_)
    assert (weighted.weights_ != plain.weights_).any()
