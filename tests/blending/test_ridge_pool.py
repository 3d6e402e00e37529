import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold
from tables import numeric

from stackkit import ConvexRegressor, LinearPoolRegressor, RidgePoolRegressor, load, save

PATH = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


def within_limits(X, y, margin=1.0):
    width = margin * (y.max() - y.min())
    return np.clip(X, y.min() - width, y.max() + width)


def drawn_to(X, y, rows):
    """The weighted mean whose error varies least, with rows added that draw it to equal weights."""
    X, y = X - np.average(X, axis=0, weights=rows), y - np.average(y, weights=rows)
    n, n_learners = (rows > 0).sum(), X.shape[1]
    rows = rows / rows.sum()
    least = (rows @ (X - y[:, None]) ** 2).min()
    added = np.sqrt(10 * n_learners / n * least) * np.eye(n_learners)
    X, y = np.vstack([X, added]), np.append(y, np.zeros(n_learners))
    return ConvexRegressor().fit(X, y, sample_weight=np.append(rows, np.ones(n_learners))).weights_


def by_scikit_learn(X, y, strength, rows=None):
    """Ridge draws to zero, so it is given what the weighted mean leaves over: weights, and what predicts."""
    rows = np.ones(len(y)) if rows is None else rows
    weights = drawn_to(X, y, rows)
    variance = np.cov(y, aweights=rows, ddof=0)
    ridge = Ridge(strength * variance * rows.sum()).fit(X, y - X @ weights, sample_weight=rows)
    return weights + ridge.coef_, lambda new: new @ weights + ridge.predict(new)


# --- at one strength ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("strength", PATH)
def test_it_is_scikit_learns_ridge_of_what_the_weighted_mean_leaves_over(strength, offset, weighted):
    X, y = numeric(60, [0.2, 0.3, 0.3, 1.0, 3.0])
    X, y = 5 * X + offset, 5 * y + offset
    rows = np.random.default_rng(0).integers(0, 4, 60).astype(float) if weighted else None
    pool = RidgePoolRegressor(strength).fit(X, y, sample_weight=rows)
    X = within_limits(X, y if rows is None else y[rows > 0])
    weights, predict = by_scikit_learn(X, y, strength, rows)
    np.testing.assert_allclose(pool.weights_, weights, atol=1e-7)
    np.testing.assert_allclose(pool.predict(X), predict(X), atol=1e-6)
    assert pool.strength_ == strength


def test_weights_may_be_negative_and_need_not_sum_to_one():
    rng = np.random.default_rng(0)
    y, error = rng.normal(size=(2, 200))
    X = np.column_stack([y + error, y + 2 * error, y / 2])
    pool = RidgePoolRegressor(1e-6, margin=None).fit(X[:, :2], y)
    np.testing.assert_allclose(pool.weights_, [2, -1], atol=1e-4)
    np.testing.assert_allclose(RidgePoolRegressor(1e-9).fit(X[:, 2:], y).weights_, [2], atol=1e-6)


def test_a_strong_ridge_gives_a_weighted_mean_without_its_bias():
    X, y = numeric(60, [0.2, 0.3, 3.0])
    pool = RidgePoolRegressor(1e9, margin=None).fit(X + 7, y)
    weights = drawn_to(X, y, np.ones(60))
    np.testing.assert_allclose(pool.weights_, weights, atol=1e-6)
    np.testing.assert_allclose(pool.predict(X + 7), X @ weights + (y - X @ weights).mean(), atol=1e-5)
    assert pool.weights_.sum() == pytest.approx(1)
    assert pool.weights_[2] < 0.1 < pool.weights_[1] < pool.weights_[0]


def test_predictions_are_brought_within_the_limits_in_fit_and_after():
    X, y = numeric(100, [0.3, 0.4])
    wild = X.copy()
    wild[7, 0], wild[9, 1] = 1e9, -1e9
    found = RidgePoolRegressor(margin=0.5).fit(wild, y)
    low, high = found.limits_
    assert (low, high) == pytest.approx((y.min() - 0.5 * np.ptp(y), y.max() + 0.5 * np.ptp(y)))
    given = RidgePoolRegressor(margin=0.5).fit(np.clip(wild, low, high), y)
    np.testing.assert_array_equal(found.weights_, given.weights_)
    np.testing.assert_array_equal(found.predict(wild), given.predict(np.clip(wild, low, high)))
    assert RidgePoolRegressor(margin=None).fit(X, y).limits_ == (-np.inf, np.inf)


@pytest.mark.parametrize("strengths", [PATH, 1e-4, 1e-14])
def test_copies_share_the_weight(strengths):
    X, y = numeric(100, [0.3, 0.4, 0.8])
    X = X[:, [0, 1, 0, 2, 0]]
    pool = RidgePoolRegressor(strengths).fit(X, y)
    np.testing.assert_allclose(pool.weights_[[2, 4]], pool.weights_[0], atol=1e-9 if strengths != 1e-14 else 1e-4)
    assert pool.weights_[0] > 0.05
    assert np.abs(pool.weights_).max() < 1


def test_opposites_get_no_wild_weights():
    X, y = numeric(60, [0.2, 0.3, 1.0])
    pool = RidgePoolRegressor(1e-14).fit(np.column_stack([X, -X[:, 0]]) + 1000, y)
    assert np.abs(pool.weights_).max() < 2


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, 1e6 + 1e-9 * np.arange(80)], ids=["0", "0.1", "1e6", "rounding"])
def test_constant_columns_get_none_and_the_others_what_they_had(constant):
    X, y = numeric(80, [0.3, 0.4])
    pool = RidgePoolRegressor().fit(np.insert(X, 1, constant, axis=1), y + 7)
    alone = RidgePoolRegressor().fit(X, y + 7)
    assert pool.weights_[1] == 0.0
    np.testing.assert_allclose(pool.weights_[[0, 2]], alone.weights_, atol=1e-9)
    assert pool.intercept_ == pytest.approx(alone.intercept_)


@pytest.mark.parametrize("what", ["columns", "target", "one row"])
@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, 0.0])
def test_where_nothing_varies_the_mean_is_predicted(what, value):
    X, y = numeric(50, [0.3, 0.4])
    if what == "columns":
        X = np.full((50, 2), value)
    elif what == "target":
        y = np.full(50, value)
    else:
        X, y = X[:1], y[:1]
    pool = RidgePoolRegressor().fit(X, y)
    np.testing.assert_array_equal(pool.weights_, 0.0)
    np.testing.assert_allclose(pool.predict(X + 5), y.mean())


@pytest.mark.parametrize("unit", [1e-150, 1e-8, 1e8, 1e150])
@pytest.mark.parametrize("strengths", [PATH, 0.01])
def test_units_do_not_matter(strengths, unit):
    X, y = numeric(100, [0.3, 0.4, 1.0])
    pool, scaled = (RidgePoolRegressor(strengths).fit(X * by + by, y * by) for by in (1, unit))
    np.testing.assert_allclose(scaled.weights_, pool.weights_, rtol=1e-9)
    assert scaled.strength_ == pool.strength_
    assert scaled.intercept_ == pytest.approx(pool.intercept_ * unit)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("margin", [1.0, None])
@pytest.mark.parametrize("size", [1e-90, 1e6, 1e16, 1e200])
def test_a_wild_column_leaves_the_others_alone(size, margin):
    X, y = numeric(100, [0.3, 0.4])
    noise = np.random.default_rng(1).normal(size=100)
    pool = RidgePoolRegressor(0.01, margin=margin).fit(np.insert(X, 1, size * noise, axis=1), y)
    # Without limits at sizes at which the weight is as good as free, and that scikit-learn can compute with.
    other = np.insert(X, 1, (min(size, 1e4) if size > 1 else 0) * noise, axis=1)
    weights, _ = by_scikit_learn(within_limits(other, y) if margin else other, y, 0.01)
    tolerance = 1e-4 if margin is None or size < 1 else 0.02  # limits cut 1e4 and 1e200 alike, and 1e6 nearly so
    np.testing.assert_allclose(pool.weights_[[0, 2]], weights[[0, 2]], atol=tolerance)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-300, 1e6, 1e16, 1e200])
def test_a_wild_value_is_no_error(size):
    X, y = numeric(100, [0.3, 0.4, 0.5])
    X[:, 2] = 0
    X[3, 1:] = size
    pool = RidgePoolRegressor().fit(X, y)
    assert mean_squared_error(y, pool.predict(X)) < y.var()


# --- the choice -----------------------------------------------------------------------------------------


def by_hand(X, y, path, rows, n_folds=5):
    """Cross-fitted with scikit-learn's estimators; the folds are drawn from rows in the order of their sums."""
    X = within_limits(X, y)
    table = np.column_stack([X, y])
    order = np.argsort((table / np.abs(table).max(axis=0)).sum(axis=1))
    errors = {strength: np.zeros(len(y)) for strength in path}
    for places in KFold(n_folds, shuffle=True, random_state=0).split(order):
        training, test = (order[part] for part in places)
        for strength, error in errors.items():
            _, predict = by_scikit_learn(X[training], y[training], strength, rows[training])
            error[test] = (predict(X[test]) - y[test]) ** 2
    shares = rows / rows.sum()
    best = min(errors, key=lambda strength: shares @ errors[strength])
    good = []
    for strength, error in errors.items():
        surplus = error - errors[best]
        mean = shares @ surplus
        if mean <= 0.5 * np.sqrt((shares**2 * (surplus - mean) ** 2).sum()):
            good.append(strength)
    return max(good), best


@pytest.mark.parametrize("n_folds", [3, 5])
def test_the_strength_is_the_one_that_a_loop_chooses(n_folds):
    chosen = []
    for seed in range(12):
        X, y = numeric(60, [[0.2, 0.9, 3.0], [0.5, 0.5, 0.5, 0.6], [0.3, 0.6]][seed % 3], seed)
        rows = np.random.default_rng(seed).uniform(0.2, 3, 60) if seed % 2 else np.ones(60)
        expected, best = by_hand(X, y, PATH, rows, n_folds)
        pool = RidgePoolRegressor(PATH, n_folds=n_folds).fit(X, y, sample_weight=rows)
        assert pool.strength_ == expected
        assert pool.strength_ >= best
        given = RidgePoolRegressor(pool.strength_).fit(X, y, sample_weight=rows)
        np.testing.assert_array_equal(pool.weights_, given.weights_)
        chosen.append((expected, best))
    assert len({expected for expected, _ in chosen}) > 2
    assert any(expected > best for expected, best in chosen)


def test_rows_choose_weaker_ridges_where_they_support_it():
    def chosen(n, noises):
        return np.mean([np.log10(RidgePoolRegressor().fit(*numeric(n, noises, seed)).strength_) for seed in range(10)])

    unlike, alike = [0.1, 1.0, 3.0], [0.5, 0.5, 0.5]
    assert chosen(2000, unlike) < chosen(40, unlike) <= chosen(40, alike)


def test_order_of_strengths_does_not_matter_nor_their_type():
    X, y = numeric(100, [0.3, 0.6, 1.0])
    pool = RidgePoolRegressor(PATH).fit(X, y)
    for path in (PATH[::-1], list(PATH), np.array(PATH), (*PATH, *PATH)):
        other = RidgePoolRegressor(path).fit(X, y)
        np.testing.assert_array_equal(other.weights_, pool.weights_)
        assert type(other.strength_) is float
    assert RidgePoolRegressor((0.1,)).fit(X, y).strength_ == 0.1


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_rows_take_the_strongest(n):
    X, y = numeric(n, [0.01, 3.0])
    assert RidgePoolRegressor((0.01, 1.0)).fit(X, y).strength_ == 1.0
    assert RidgePoolRegressor(0.01).fit(X, y).strength_ == 0.01
    X, y = numeric(40, [0.01, 3.0])
    heavy = (np.arange(40) < n).astype(float)  # the others are as good as absent
    assert RidgePoolRegressor((0.01, 1.0)).fit(X, y, sample_weight=heavy).strength_ == 1.0


def test_from_ten_rows_on_they_choose():
    y, error = np.random.default_rng(0).normal(size=(2, 10))
    X = np.column_stack([y + error, y + 1.5 * error])  # no weighted mean is right, but 3 of the one less 2 of the other
    for n_folds in (5, 50):
        assert RidgePoolRegressor((0.01, 1.0), n_folds=n_folds).fit(X, y).strength_ == 0.01


def test_a_column_or_target_that_is_constant_in_a_fold_is_no_error():
    X, y = numeric(30, [0.3, 0.4])
    X[1:, 1] = 0.1
    pool = RidgePoolRegressor().fit(X, y)
    assert np.isfinite(pool.weights_).all()
    y = np.where(np.arange(30) == 0, 1.0, 0.1)
    assert np.isfinite(RidgePoolRegressor().fit(X, y).weights_).all()


# --- what it is for -------------------------------------------------------------------------------------


def out_of_sample(learners, n):
    """Squared errors of the two pools and of the plain mean of the learners, over 40 drawn tables."""
    errors = []
    for seed in range(40):
        X, y = learners(n + 1000, np.random.default_rng(seed))
        pools = [pool.fit(X[:n], y[:n]).predict(X[n:]) for pool in (RidgePoolRegressor(), LinearPoolRegressor())]
        errors.append([mean_squared_error(y[n:], found) for found in (*pools, X[n:].mean(axis=1))])
    return np.mean(errors, axis=0)


def alike(n, rng):
    y = rng.normal(size=n)
    return y[:, None] + 0.5 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 10)), y


def noise(n, rng):
    return 0.2 * rng.normal(size=(n, 10)), rng.normal(size=n)


def shared_error(n, rng):
    y, error = rng.normal(size=(2, n))
    return np.column_stack([y + k * error + 0.1 * rng.normal(size=n) for k in (1.0, 1.5, 2.0)]), y


def test_it_is_near_the_mean_of_learners_that_are_alike_and_no_worse_than_the_other_pool():
    ridge, linear, mean = out_of_sample(alike, 60)
    assert ridge < 0.98 * linear
    assert ridge < mean


def test_it_does_not_fit_noise():
    ridge, linear, mean = out_of_sample(noise, 100)
    assert ridge < linear + 0.01
    assert ridge < 1.02 * mean


def test_a_few_wild_rows_do_not_make_all_learners_count_alike():
    """Three of nine learners are good. On some rows all of them are far off, and these rows say nothing of weights."""
    worse = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        y = np.exp(0.45 * rng.normal(size=3500))
        sizes = np.array([0.08, 0.085, 0.09] + 6 * [0.2])
        X = y[:, None] * (1 + sizes * (0.6 * rng.normal(size=(3500, 1)) + 0.8 * rng.normal(size=(3500, 9))))
        X[:3] += y[:3, None] * (3 + rng.normal(size=(3, 9)))
        new, y_new, X, y = X[1500:], y[1500:], X[:1500], y[:1500]
        best = mean_squared_error(y_new, new[:, 0])
        worse.append(mean_squared_error(y_new, RidgePoolRegressor().fit(X, y).predict(new)) / best)
    assert np.mean(worse) < 0.95  # 1.07 where the ridge draws to equal weights


def test_it_takes_out_an_error_that_learners_share():
    ridge, linear, _ = out_of_sample(shared_error, 100)
    assert ridge < 0.2 * linear


# --- use ------------------------------------------------------------------------------------------------


def test_it_can_be_saved(tmp_path):
    X, y = numeric(100, [0.3, 0.6, 1.0])
    pool = RidgePoolRegressor((0.01, 1.0), n_folds=4).fit(X, y)
    save(pool, tmp_path / "pool.stackkit")
    again = load(tmp_path / "pool.stackkit")
    np.testing.assert_array_equal(again.predict(X), pool.predict(X))
    assert again.get_params() == pool.get_params()
    assert again.strength_ == pool.strength_


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strengths": 0}, "'strengths' .* of RidgePoolRegressor must be a number above 0, or a sequence .*; got 0"),
        ({"strengths": ()}, r"'strengths' .*; got \(\)"),
        ({"strengths": (0.1, -1.0)}, r"'strengths' .*; got \(0.1, -1.0\)"),
        ({"strengths": (0.1, np.nan)}, r"'strengths' .*; got \(0.1, nan\)"),
        ({"strengths": [True]}, r"'strengths' .*; got \[True\]"),
        ({"strengths": "auto"}, "'strengths' .*; got 'auto'"),
        ({"strengths": None}, "'strengths' .*; got None"),
        ({"strengths": np.ones((2, 2))}, "'strengths' .*; got array"),
        ({"n_folds": 1}, "'n_folds' .* of RidgePoolRegressor must be an integer of at least 2; got 1"),
        ({"n_folds": 2.5}, "'n_folds' .* got 2.5"),
        ({"margin": -0.1}, "'margin' .* of RidgePoolRegressor must be None or a number of at least 0; got -0.1"),
        ({"margin": "auto"}, "'margin' .* got 'auto'"),
    ],
)
def test_parameters_are_checked_in_fit(parameters, message):
    X, y = numeric(30, [0.3, 0.6])
    with pytest.raises(ValueError, match=f"(?s)^The {message}"):
        RidgePoolRegressor(**parameters).fit(X, y)
