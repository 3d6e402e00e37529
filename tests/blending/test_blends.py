import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import LinearConstraint, approx_fprime, check_grad, minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    root_mean_squared_error,
)
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_n_features_in_after_fitting,
    estimator_checks_generator,
    parametrize_with_checks,
)
from tables import classed, columns, learned, numeric

from stackkit._blending import ridge_pool
from stackkit._blending.convex import ConvexClassifier, ConvexRegressor
from stackkit._blending.pools import LinearPoolRegressor, LogPoolClassifier, _PoolLoss
from stackkit._blending.ridge_pool import RidgePoolRegressor
from stackkit._blending.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor
from stackkit.exceptions import NotProbabilitiesWarning

CLASSIFIERS = [LogPoolClassifier(), ConvexClassifier(), EnsembleSelectionClassifier()]
REGRESSORS = [RidgePoolRegressor(), LinearPoolRegressor(), ConvexRegressor(), EnsembleSelectionRegressor()]
BLENDS = CLASSIFIERS + REGRESSORS
POOLS = LogPoolClassifier | LinearPoolRegressor | RidgePoolRegressor
MEANS = [blend for blend in BLENDS if not isinstance(blend, POOLS)]

each = pytest.mark.parametrize("blend", BLENDS, ids=lambda blend: type(blend).__name__)
each_classifier = pytest.mark.parametrize("blend", CLASSIFIERS, ids=lambda blend: type(blend).__name__)
each_mean = pytest.mark.parametrize("blend", MEANS, ids=lambda blend: type(blend).__name__)
n_classes = pytest.mark.parametrize("k", [2, 4])
lenient = pytest.mark.filterwarnings("ignore::stackkit.exceptions.NotProbabilitiesWarning")


def data_for(blend, n=150, seed=0):
    if blend in REGRESSORS:
        return numeric(n, [0.4, 0.6, 0.8, 3.0], seed)
    return classed(n, 3, [1.5, 1.0, 0.5, 0.0], seed)


def fitted_values(blend, X):
    return blend.predict_proba(X) if hasattr(blend, "predict_proba") else blend.predict(X)


# ---------------------------------------------------------------- scikit-learn's contract


def _expected_failures(blend):
    check = "check_sample_weight_equivalence_on_dense_data"
    if isinstance(blend, LogPoolClassifier):
        # A hundred rows that weigh two each are a hundred rows to its ridge, not two hundred.
        return {check: "weights are scaled to a mean of one"}
    if isinstance(blend, RidgePoolRegressor):
        # At a given strength they are equal: `test_weights_are_repeated_rows`.
        return {check: "rows that are repeated lie in several of the folds that choose the strength"}
    return {}


@lenient
@parametrize_with_checks(BLENDS, expected_failed_checks=_expected_failures, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@each
def test_scikit_learn_checks_are_many(blend):
    assert len(list(estimator_checks_generator(blend))) > 50


@lenient
@pytest.mark.parametrize("check", [check_dataframe_column_names_consistency, check_n_features_in_after_fitting])
@each
def test_checks_that_check_estimator_leaves_out(blend, check):
    check(type(blend).__name__, blend)


@each
def test_pickle_and_clone(blend):
    X, y = data_for(blend)
    fitted = clone(blend).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(fitted_values(again, X), fitted_values(fitted, X))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


@each
def test_input_is_not_written_to(blend):
    X, y = data_for(blend)
    X[:, 0], X[:, 1:3] = 0.0, X[:, 1:3] / X[:, 1:3].sum(axis=1, keepdims=True)
    X = np.ascontiguousarray(X[:, :3])  # one learner: the layout that needs no copy
    before = X.copy()
    fitted_values(clone(blend).fit(X, y), X)
    np.testing.assert_array_equal(X, before)


# ---------------------------------------------------------------- rows, weights, labels


@each
def test_order_of_rows_does_not_matter(blend):
    X, y = data_for(blend)
    order = np.random.default_rng(1).permutation(len(y))
    weights = clone(blend).fit(X, y).weights_
    np.testing.assert_allclose(clone(blend).fit(X[order], y[order]).weights_, weights, atol=1e-9)


@each
@pytest.mark.parametrize("scale", ["sum to one", 1e-12, 100.0])
def test_only_what_weights_are_to_each_other_counts(blend, scale):
    """Where they summed to one, the pool's ridge outweighed the rows."""
    X, y = data_for(blend)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(y))
    weights *= len(y) / weights.sum()
    fitted = clone(blend).fit(X, y, sample_weight=weights)
    scaled = clone(blend).fit(X, y, sample_weight=weights * (1 / len(y) if scale == "sum to one" else scale))
    np.testing.assert_allclose(scaled.weights_, fitted.weights_, atol=1e-9)
    equal = clone(blend).fit(X, y, sample_weight=np.full(len(y), 0.3))
    np.testing.assert_allclose(equal.weights_, clone(blend).fit(X, y).weights_, atol=1e-9)


@each
def test_rows_without_weight_are_absent(blend):
    X, y = data_for(blend)
    weights = (np.arange(len(y)) % 3 > 0).astype(float)
    fitted, absent = clone(blend).fit(X, y, sample_weight=weights), clone(blend).fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(fitted.weights_, absent.weights_, atol=1e-9)


@each
def test_weights_are_repeated_rows(blend, monkeypatch):
    X, y = data_for(blend)
    if isinstance(blend, LogPoolClassifier):
        blend = clone(blend).set_params(ridge=0.0)  # which weighs less the more rows there are
    if isinstance(blend, RidgePoolRegressor):
        blend = clone(blend).set_params(strengths=0.01)  # else chosen by folds, where repeated rows lie in several
        monkeypatch.setattr(ridge_pool, "_CAUTION", 0.0)  # which is less the more rows there are
    times = np.random.default_rng(1).integers(0, 4, len(y))
    weighted = clone(blend).fit(X, y, sample_weight=times)
    repeated = clone(blend).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert np.abs(weighted.weights_ - clone(blend).fit(X, y).weights_).max() > 1e-3
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, atol=1e-9)
    np.testing.assert_allclose(fitted_values(weighted, X), fitted_values(repeated, X), atol=1e-9)


@each_classifier
@n_classes
def test_string_labels(blend, k):
    X, y = classed(120, k, [1.5, 1.0])
    names = np.array(["a", "b", "c", "d"])[y]
    named, coded = clone(blend).fit(X, names), clone(blend).fit(X, y)
    np.testing.assert_array_equal(named.weights_, coded.weights_)
    np.testing.assert_array_equal(named.predict(X), named.classes_[coded.predict(X)])
    assert list(named.classes_) == sorted(set(names))
    assert accuracy_score(names, named.predict(X)) > accuracy_score(names, np.full(len(y), "a")) + 0.2


@each_classifier
def test_two_classes_as_one_column_or_as_two(blend):
    table, y = learned(200, 2, [1.5, 1.0, 0.5])
    p = clone(blend).fit(columns(table), y).predict_proba(columns(table))
    swapped = clone(blend).fit(columns(table[:, :, ::-1]), 1 - y).predict_proba(columns(table[:, :, ::-1]))
    np.testing.assert_allclose(swapped[:, ::-1], p, atol=1e-9)


@each
def test_frames(blend):
    X, y = data_for(blend)
    frame = pd.DataFrame(X).add_prefix("p")
    fitted = clone(blend).fit(frame, pd.Series(y))
    np.testing.assert_array_equal(fitted.weights_, clone(blend).fit(X, y).weights_)
    assert list(fitted.feature_names_in_) == list(frame.columns)


@each
def test_float32_is_enough(blend):
    X, y = data_for(blend)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotProbabilitiesWarning)
        rounded = clone(blend).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(rounded.weights_, clone(blend).fit(X, y).weights_, atol=1e-4)


# ---------------------------------------------------------------- logarithmic pool


def pool_objective(table, y, ridge, clip):
    """Written anew, with loops, to compare with."""
    n_learners, n = table.shape[:2]

    def value(point):
        total = 0.0
        for i in range(n):
            logits = point[n_learners:].copy()
            for m in range(n_learners):
                logits += point[m] * np.log(np.maximum(table[m, i], clip))
            total -= log_softmax(logits)[y[i]]
        penalty = ((point[:n_learners] - 1 / n_learners) ** 2).sum() + 10 * (point[n_learners:] ** 2).sum()
        return (total + ridge * penalty) / n

    return value


@n_classes
def test_pool_loss_and_its_derivatives(k):
    table, y = learned(40, k, [1.5, 0.5, 0.0])
    rng = np.random.default_rng(0)
    loss = _PoolLoss(np.log(table), y, np.full(40, 1 / 40), 0.3 / 40, fit_bias=True)
    point = rng.normal(size=3 + k)
    assert loss.value(point) == pytest.approx(pool_objective(table, y, 0.3, 1e-12)(point))
    assert check_grad(loss.value, lambda x: loss.derivatives(x)[0], point) < 1e-6
    curvature = approx_fprime(point, lambda x: loss.derivatives(x)[0])
    np.testing.assert_allclose(loss.derivatives(point)[1], curvature, atol=1e-6)


def test_pool_hessian_is_the_same_in_one_batch_or_many(monkeypatch):
    table, y = learned(101, 3, [1.5, 0.5])
    loss = _PoolLoss(np.log(table), y, np.full(101, 1 / 101), 0.0, fit_bias=True)
    whole = loss.derivatives(loss.start())[1]
    monkeypatch.setattr("stackkit._blending.pools._CELLS", 50)
    np.testing.assert_allclose(loss.derivatives(loss.start())[1], whole, atol=1e-14)


@n_classes
@pytest.mark.parametrize("fit_bias", [True, False])
def test_pool_is_where_another_optimiser_ends(k, fit_bias):
    table, y = learned(60, k, [1.5, 1.0, -0.5])
    pool = LogPoolClassifier(fit_bias=fit_bias, clip=0.01, ridge=0.5).fit(columns(table), y)
    free = (None, None) if fit_bias else (0, 0)
    other = minimize(
        pool_objective(table, y, 0.5, 0.01),
        np.full(3 + k, 0.1),
        method="SLSQP",
        bounds=[(0, None)] * 3 + [free] * k,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(np.append(pool.weights_, pool.bias_), other.x, atol=1e-5)
    assert pool.weights_[2] == 0.0  # the learner that is wrong more often than not
    assert pool.bias_.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@n_classes
def test_pool_satisfies_the_optimality_conditions(k, ridge):
    table, y = learned(300, k, [1.5, 1.0, 0.5, 0.1, 0.0, -0.3])
    pool = LogPoolClassifier(ridge=ridge).fit(columns(table), y)
    loss = _PoolLoss(np.log(np.maximum(table, 1e-4)), y, np.full(300, 1 / 300), ridge / 300, fit_bias=True)
    gradient = loss.derivatives(np.append(pool.weights_, pool.bias_))[0]
    slope, used = gradient[:6], pool.weights_ > 0
    assert used.any()
    assert not used.all()
    assert np.abs(slope[used]).max() < 1e-10
    assert slope[~used].min() > 0
    assert np.abs(gradient[6:]).max() < 1e-10
    assert abs(pool.bias_.sum()) < 1e-12


def test_pool_recovers_the_temperature_of_a_timid_learner():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    y = (rng.random((20_000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    timid = softmax(logits / 2.5, axis=1)
    pool = LogPoolClassifier().fit(timid, y)
    np.testing.assert_allclose(pool.weights_, [2.5], rtol=0.03)
    np.testing.assert_allclose(pool.bias_, 0, atol=0.05)
    assert log_loss(y, pool.predict_proba(timid)) < log_loss(y, timid) - 0.1


def test_pool_learns_no_biases_by_heart_where_few_rows_of_many_classes_are_mistaken():
    excess = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 30, 2600)
        sure = [softmax(2 * rng.normal(size=(2600, 30)) + 7 * np.eye(30)[y], axis=1) for _ in range(2)]
        X, X_new, y, y_new = *np.split(np.hstack(sure), [600]), *np.split(y, [600])
        losses = [
            log_loss(y_new, LogPoolClassifier(fit_bias=fit_bias).fit(X, y).predict_proba(X_new))
            for fit_bias in (True, False)
        ]
        excess.append(np.log(losses[0] / losses[1]))
    assert np.exp(np.mean(excess)) < 1.1  # 1.4 where the ridge on the biases is a hundredth


def test_pool_bias_follows_a_shift_of_the_classes():
    X, y = classed(2000, 3, [2.0])
    kept = (y != 2) | (np.arange(2000) % 4 == 0)
    assert LogPoolClassifier().fit(X[kept], y[kept]).bias_.argmin() == 2
    np.testing.assert_array_equal(LogPoolClassifier(fit_bias=False).fit(X[kept], y[kept]).bias_, 0)


def test_pool_treats_copies_of_a_learner_alike():
    table, y = learned(200, 3, [1.5, 1.0])
    one = LogPoolClassifier().fit(columns(table), y)
    many = LogPoolClassifier().fit(columns(table[[0, 0, 0, 1]]), y)
    np.testing.assert_allclose(many.weights_[:3], many.weights_[0], atol=1e-10)
    assert many.weights_[:3].sum() == pytest.approx(one.weights_[0], abs=0.01)


def test_pool_without_ridge_does_not_mind_copies():
    table, y = learned(200, 3, [1.5, 1.0])
    one = LogPoolClassifier(ridge=0.0).fit(columns(table), y)
    many = LogPoolClassifier(ridge=0.0).fit(columns(table[[0, 0, 0, 1]]), y)
    assert many.weights_[:3].sum() == pytest.approx(one.weights_[0], abs=1e-8)


def test_pool_claims_no_skill_on_noise():
    scores = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, y = rng.beta(4, 4, size=(300, 3)), np.arange(300) % 2
        scores += list(cross_val_score(LogPoolClassifier(), X, y, scoring="roc_auc", cv=3))
    assert 0.47 < np.mean(scores) < 0.53


def test_pool_stays_finite_where_classes_are_separated():
    X = np.array([[1.0], [0.0]] * 20)
    proba = LogPoolClassifier().fit(X, [1, 0] * 20).predict_proba(X)
    assert np.isfinite(proba).all()
    assert proba[0, 1] > 0.999
    free = LogPoolClassifier(ridge=0.0).fit(X, [1, 0] * 20)
    assert np.isfinite(free.weights_).all()


def test_ridge_draws_pool_to_equal_weights():
    X, y = classed(200, 3, [1.5, 0.0])
    pool = LogPoolClassifier(ridge=1e9).fit(X, y)
    np.testing.assert_allclose(pool.weights_, 0.5, atol=1e-6)
    np.testing.assert_allclose(pool.bias_, 0, atol=1e-6)


def test_clip_limits_what_one_certain_error_costs():
    X, y = classed(300, 2, [2.0])
    X[0] = 1.0 - y[0]  # sure, and wrong
    harsh, mild = (LogPoolClassifier(clip=clip, fit_bias=False).fit(X, y).weights_ for clip in (1e-15, 1e-2))
    assert harsh < mild


@pytest.mark.parametrize("blend", [LogPoolClassifier(max_iter=1), ConvexClassifier(max_iter=1)])
def test_too_few_iterations_are_reported(blend):
    X, y = classed(200, 3, [3.0, 0.0])
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 iterations: raise max_iter or tol") as caught:
        blend.fit(X, y)
    assert caught[0].filename == __file__
    assert blend.n_iter_ == 1


@pytest.mark.parametrize("blend", [LogPoolClassifier(tol=0), ConvexClassifier(tol=0)])
def test_a_tolerance_of_zero_ends_too(blend):
    for seed in range(10):
        X, y = classed(300, 3, [1.0, 0.8, 0.5, 0.3, 0.9], seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            found = clone(blend).fit(X, y).weights_
        np.testing.assert_allclose(found, clone(blend).set_params(tol=1e-12).fit(X, y).weights_, atol=1e-9)


# ---------------------------------------------------------------- convex weights


def mixture_slope(table, y, weights):
    truth = table[:, np.arange(len(y)), y].T
    return -(truth / (truth @ weights)[:, None]).mean(axis=0)


def squares_slope(X, y, weights):
    return X.T @ (X @ weights - y) / len(y)


def assert_optimal_on_simplex(weights, slope, atol=1e-8):
    used = weights > 0
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    level = slope @ weights
    np.testing.assert_allclose(slope[used], level, atol=atol)
    assert slope.min() > level - atol


SIMPLEX = LinearConstraint(np.ones(3), 1, 1)


@n_classes
def test_convex_classifier_is_where_another_optimiser_ends(k):
    table, y = learned(200, k, [1.5, 1.3, 0.0])
    found = ConvexClassifier().fit(columns(table), y).weights_
    other = minimize(
        lambda w: log_loss(y, np.tensordot(w, table, 1) / w.sum()),
        np.full(3, 1 / 3),
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints=SIMPLEX,
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(found, other.x, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
@n_classes
def test_convex_classifier_satisfies_the_optimality_conditions(k, seed):
    table, y = learned(150, k, [1.5, 1.4, 1.0, 0.5, 0.1, -1.0], seed)
    weights = ConvexClassifier().fit(columns(table), y).weights_
    assert_optimal_on_simplex(weights, mixture_slope(table, y, weights))
    assert weights[-1] == 0.0


def test_convex_regressor_is_where_another_optimiser_ends():
    X, y = numeric(200, [0.3, 0.4, 3.0])
    other = minimize(
        lambda w: ((X @ w - y) ** 2).mean(),
        np.full(3, 1 / 3),
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints=SIMPLEX,
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(ConvexRegressor().fit(X, y).weights_, other.x, atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("seed", range(5))
def test_convex_regressor_satisfies_the_optimality_conditions(seed, offset):
    X, y = numeric(60, [0.2, 0.3, 0.3, 1.0, 3.0, 100.0], seed)
    X = np.column_stack([X, X[:, 0], X[:, 1] / 2 + X[:, 2] / 2, -X[:, 0]]) + offset
    weights = ConvexRegressor().fit(X, y + offset).weights_
    assert_optimal_on_simplex(weights, squares_slope(X - offset, y, weights))
    assert weights[6] == 0.0  # the copy


def test_convex_regressor_finds_the_weights_of_a_noiseless_mean():
    X = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(
        ConvexRegressor().fit(X, X @ [0.5, 0.0, 0.3, 0.2]).weights_, [0.5, 0.0, 0.3, 0.2], atol=1e-9
    )


def test_convex_regressor_does_not_mind_units_or_a_wild_learner():
    X, y = numeric(100, [0.3, 0.4, 1e16])
    weights = ConvexRegressor().fit(X, y).weights_
    np.testing.assert_allclose(ConvexRegressor().fit(X * 1e-8, y * 1e-8).weights_, weights, atol=1e-9)
    np.testing.assert_allclose(ConvexRegressor().fit(X[:, :2], y).weights_, weights[:2], atol=1e-3)


def test_convex_regressor_uses_a_learner_in_other_units():
    y = np.random.default_rng(0).normal(size=100)
    X = np.column_stack([y / 2 + 0.01 * np.sin(np.arange(100)), 1e13 * y])
    fitted = ConvexRegressor().fit(X, y)
    assert root_mean_squared_error(y, fitted.predict(X)) < 0.01  # 0.5 without the second


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("seed", range(5))
def test_linear_pool_is_scikit_learns_least_squares_without_negative_weights(seed, offset, weighted):
    X, y = numeric(60, [0.2, 0.3, 0.3, 1.0, 3.0, 100.0], seed)
    X = np.column_stack([X, X[:, 1] / 2 + X[:, 2] / 2 + 0.1 * y**2, -X[:, 0]]) + offset
    rows = np.random.default_rng(seed).integers(0, 4, 60) if weighted else None
    pool = LinearPoolRegressor().fit(X, y, sample_weight=rows)
    theirs = LinearRegression(positive=True).fit(X, y, sample_weight=rows)
    np.testing.assert_allclose(pool.weights_, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(pool.predict(X), theirs.predict(X), atol=1e-8)
    assert pool.weights_[-1] == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_linear_pool_gives_no_wild_weights_to_learners_that_are_opposites(seed):
    """Their sum is nothing but rounding, which weights of some millions would fit."""
    rng = np.random.default_rng(seed)
    X, y = numeric(60, [0.2, 0.3, 1.0], seed)
    X = np.column_stack([X, -X[:, 0]]) + 1000
    rows = rng.uniform(size=60)
    pool = LinearPoolRegressor().fit(X, y, sample_weight=rows)
    assert pool.weights_.max() < 1
    expected = LinearPoolRegressor().fit(X[:, :3], y, sample_weight=rows).predict(X[:, :3])
    np.testing.assert_allclose(pool.predict(X), expected, atol=1e-6)


def test_linear_pool_stretches_what_a_mean_cannot():
    y = np.random.default_rng(0).normal(size=50) + 7
    X = np.column_stack([7 + (y - 7) / 2, 7 + (y - 7) / 3])
    pool = LinearPoolRegressor().fit(X, y)
    np.testing.assert_allclose(pool.predict(X), y, atol=1e-9)
    assert root_mean_squared_error(y, ConvexRegressor().fit(X, y).predict(X)) > 0.4


@pytest.mark.parametrize("seed", range(5))
def test_linear_pool_is_no_worse_than_convex_weights(seed):
    X, y = numeric(80, [0.4, 0.5, 2.0], seed)
    ours, theirs = (blend.fit(X, y).predict(X) for blend in (LinearPoolRegressor(), ConvexRegressor()))
    assert root_mean_squared_error(y, ours) <= root_mean_squared_error(y, theirs) + 1e-12


@pytest.mark.parametrize("useless", ["constant", "against", "one row"])
def test_linear_pool_that_trusts_nobody_predicts_the_mean(useless):
    y = np.random.default_rng(0).normal(size=50) + 1e6
    X = {"constant": np.full((50, 2), 0.1), "against": np.column_stack([-y, -2 * y]), "one row": y[:, None]}[useless]
    y, X = (y[:1], X[:1]) if useless == "one row" else (y, X)
    pool = LinearPoolRegressor().fit(X, y)
    np.testing.assert_array_equal(pool.weights_, 0.0)
    assert pool.intercept_ == pytest.approx(y.mean())
    assert pool.predict(X + 5) == pytest.approx(np.full(len(y), y.mean()))


def test_linear_pool_does_not_mind_units():
    X, y = numeric(100, [0.3, 0.4, 1.0])
    units = np.array([1e16, 1, 1e-8])
    weights = LinearPoolRegressor().fit(X, y).weights_
    np.testing.assert_allclose(LinearPoolRegressor().fit(X * 1e-8, y * 1e-8).weights_, weights, atol=1e-9)
    np.testing.assert_allclose(LinearPoolRegressor().fit(X * units, y).weights_ * units, weights, atol=1e-9)


@pytest.mark.parametrize("blend", [ConvexClassifier(), ConvexRegressor(), LinearPoolRegressor()])
def test_a_copy_gets_no_weight(blend):
    X, y = classed(100, 2, [1.2, 1.0]) if blend.__class__ is ConvexClassifier else numeric(100, [0.3, 0.4])
    alone = clone(blend).fit(X, y).weights_
    copied = blend.fit(X[:, [0, 0, 1, 1, 0]], y).weights_
    np.testing.assert_allclose(copied, [alone[0], 0, alone[1], 0, 0], atol=1e-9)
    assert (copied[[1, 3, 4]] == 0.0).all()


@pytest.mark.parametrize("seed", [17, 380, 540, 648, 744, 844, 873, 1220, 1774, 2019])
def test_rounding_leaves_no_weight(seed):
    rng = np.random.default_rng(seed)  # in these tables a useless learner ends a rounding away from zero
    y, X = rng.integers(0, 3, 12), rng.integers(0, 4, (12, 5)).astype(float)
    X[:, 4] = X[:, :2].mean(axis=1)
    for weights in (
        ConvexRegressor().fit(X, y).weights_,
        LinearPoolRegressor().fit(X, y).weights_,
        ConvexClassifier().fit(X / 4, np.arange(12) % 2).weights_,
    ):
        assert ((weights == 0) | (weights > 1e-6)).all()


def test_a_learner_without_error_gets_all():
    X, y = numeric(30, [0.5, 0.5])
    np.testing.assert_array_equal(ConvexRegressor().fit(np.column_stack([X, y]), y).weights_, [0, 0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_convex_and_selected_blends_are_no_worse_than_the_best_learner(seed):
    table, y = learned(80, 3, [1.0, 0.8, 0.2], seed)
    best = min(log_loss(y, proba) for proba in table)
    for blend in (ConvexClassifier(), EnsembleSelectionClassifier()):
        assert log_loss(y, blend.fit(columns(table), y).predict_proba(columns(table))) <= best + 1e-12
    X, y = numeric(80, [0.4, 0.5, 2.0], seed)
    best = min(root_mean_squared_error(y, x) for x in X.T)
    for blend in (ConvexRegressor(), EnsembleSelectionRegressor()):
        assert root_mean_squared_error(y, blend.fit(X, y).predict(X)) <= best + 1e-12


@each_mean
def test_one_learner_has_all_the_weight(blend):
    X, y = data_for(blend)
    only = X[:, :3] if blend in CLASSIFIERS else X[:, :1]
    fitted = clone(blend).fit(only, y)
    np.testing.assert_array_equal(fitted.weights_, [1.0])
    np.testing.assert_allclose(fitted_values(fitted, only), only if blend in CLASSIFIERS else only[:, 0])


def test_convex_classifier_survives_zeros():
    X = np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 0.5], [1.0, 0.0, 0.5]])
    fitted = ConvexClassifier().fit(X, [1, 1, 0])  # one learner is right about nothing, the next about most
    np.testing.assert_allclose(fitted.weights_, [0, 1 / 3, 2 / 3], atol=1e-9)
    assert fitted.weights_[0] == 0.0


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("blend", "message"),
    [
        (
            LogPoolClassifier(clip=2),
            "'clip' parameter of LogPoolClassifier must be a number above 0 and below 0.5; got 2.",
        ),
        (LogPoolClassifier(clip=0), "'clip' parameter .* got 0."),
        (
            LogPoolClassifier(ridge=-1),
            "'ridge' parameter of LogPoolClassifier must be a number of at least 0; got -1.",
        ),
        (LogPoolClassifier(ridge=np.nan), "'ridge' parameter .* got nan."),
        (LogPoolClassifier(fit_bias="yes"), "'fit_bias' parameter .* must be True or False; got 'yes'."),
        (LogPoolClassifier(max_iter=0), "'max_iter' parameter .* must be an integer of at least 1; got 0."),
        (ConvexClassifier(max_iter=1.5), "'max_iter' parameter of ConvexClassifier must be .* got 1.5."),
        (
            ConvexClassifier(tol=True),
            "'tol' parameter of ConvexClassifier must be a number of at least 0; got True.",
        ),
        (
            EnsembleSelectionClassifier(-1),
            "'n_rounds' parameter .* must be an integer of at least 0; got -1.",
        ),
        (EnsembleSelectionClassifier(n_init=0), "'n_init' .* an integer of at least 1, or None; got 0."),
        (EnsembleSelectionRegressor(n_bags=0), "'n_bags' parameter of EnsembleSelectionRegressor .* got 0."),
        (EnsembleSelectionRegressor(bag_fraction=0), "'bag_fraction' .* a number above 0, 1 at most; got 0."),
        (
            EnsembleSelectionClassifier(scoring="log_loss"),
            r"'scoring' parameter .*_names\(\) \(did you mean 'neg_log_loss'\?\); got 'log_loss'.",
        ),
        (
            EnsembleSelectionRegressor(scoring=None),
            r"'scoring' parameter .* callable .*get_scorer_names\(\); got None.",
        ),
    ],
)
def test_parameters_are_checked_in_fit(blend, message):
    X, y = data_for(next(known for known in BLENDS if type(known) is type(blend)))
    with pytest.raises(ValueError, match=f"^The {message}$"):
        blend.fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(150), "sample_weight must have a value above zero; got only zeros"),
        (-np.ones(150), "sample_weight must not be negative; got .*-1.0"),
        (np.ones(3), r"sample_weight must have the shape \(150,\), one per row; got \(3,\)"),
        (np.full(150, np.nan), "Input sample_weight contains NaN"),
    ],
)
@each
def test_sample_weights_are_checked(blend, weights, message):
    with pytest.raises(ValueError, match=message):
        clone(blend).fit(*data_for(blend), sample_weight=weights)


@each_classifier
def test_one_class_is_refused(blend):
    X, y = classed(40, 2, [1.0])
    expected = f"{type(blend).__name__} needs rows of at least two classes, .* got one class: .*'b'"
    with pytest.raises(ValueError, match=expected):
        clone(blend).fit(X, np.full(40, "b"))
    with pytest.raises(ValueError, match=expected):
        clone(blend).fit(X, np.array(["a", "b"])[y], sample_weight=y)


@each_classifier
@pytest.mark.parametrize(
    ("shape", "change", "expected"),
    [
        (
            (60, 2),
            lambda X: X * 3 - 1,
            "one column per learner: probabilities of the second class; got values from",
        ),
        (
            (60, 3),
            lambda X: X * 3 - 1,
            "blocks of 3 columns per learner: .* got values from .* are clipped; rows of a",
        ),
        ((60, 3), lambda X: X / 2, "got rows of a block that sum to 0.5 to 0.5, which are rescaled"),
        (
            (60, 3),
            lambda X: X[:, :5],
            r"got 5 columns, each of which counts as a learner's 1 - P\(first class\)",
        ),
    ],
)
def test_what_is_not_probabilities_is_bent_with_one_warning(blend, shape, change, expected):
    X, y = classed(*shape, [1.5, 1.0])
    X = change(X)
    with pytest.warns(NotProbabilitiesWarning, match=f"{type(blend).__name__} expects .*{expected}") as caught:
        fitted = clone(blend).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(NotProbabilitiesWarning, match=expected) as caught:
        proba = fitted.predict_proba(X)
    assert len(caught) == 1
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_rows_of_zeros_count_as_knowing_nothing():
    X, y = classed(60, 3, [1.5, 1.0])
    X[:, 3:] = 0
    with pytest.warns(NotProbabilitiesWarning, match="sum to 0 to 1"):
        fitted = ConvexClassifier().fit(X, y)
    with pytest.warns(NotProbabilitiesWarning, match="sum to 0 to 0"):
        np.testing.assert_allclose(fitted.predict_proba(np.zeros((1, 6))), 1 / 3)


def test_columns_that_make_no_blocks_generalise_two_classes():
    X = np.array([[0.9], [0.6], [0.3], [0.0]])
    with pytest.warns(NotProbabilitiesWarning, match="1 columns"):
        fitted = ConvexClassifier().fit(X, [2, 1, 0, 0])
    with pytest.warns(NotProbabilitiesWarning, match="1 columns"):
        np.testing.assert_allclose(fitted.predict_proba([[0.6]]), [[0.4, 0.3, 0.3]])


@each_classifier
def test_probabilities_are_taken_without_a_warning(blend):
    X, y = classed(60, 3, [1.5, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(blend).fit(X, y).predict(X)
        clone(blend).fit(X.round(4), y).predict_proba(X.round(4))
