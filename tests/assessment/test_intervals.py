"""The corrected resampled t-test against the formula, and against simulated cross-validation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, ShuffleSplit

from stackkit._assessment.intervals import Interval, corrected_interval
from stackkit._data.folds import make_folds


def _folds(splitter, n_rows=60):
    return make_folds(splitter, np.zeros((n_rows, 1)), None, seed=0)


@pytest.mark.parametrize(
    ("splitter", "ratio"),
    [
        (KFold(5), 1 / 4),
        (KFold(10), 1 / 9),
        (RepeatedKFold(n_splits=3, n_repeats=4, random_state=0), 1 / 2),
        (ShuffleSplit(7, test_size=0.3, train_size=0.6, random_state=0), 18 / 36),
        (LeaveOneOut(), 1 / 59),
    ],
)
def test_equals_the_formula_of_nadeau_and_bengio(splitter, ratio):
    folds = _folds(splitter)
    n = len(folds)
    values = np.random.default_rng(0).normal(0.1, 0.2, n)
    found = corrected_interval(values, folds)
    variance = ((values - values.mean()) ** 2).sum() / (n - 1)
    se = np.sqrt((1 / n + ratio) * variance)
    assert found.mean == pytest.approx(values.mean())
    assert found.se == pytest.approx(se)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, n - 1, values.mean(), se))
    assert found.p_value == pytest.approx(2 * stats.t.cdf(-abs(values.mean() / se), n - 1))


def test_without_overlap_it_would_be_the_usual_t_test():
    """The correction alone tells them apart: it is wider by the factor that the authors give."""
    values = np.random.default_rng(1).normal(size=5)
    usual = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = corrected_interval(values, _folds(KFold(5)))
    assert (found.high - found.low) / (usual.high - usual.low) == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))


def test_p_value_and_interval_agree_about_zero():
    rng = np.random.default_rng(2)
    folds = _folds(KFold(5))
    found = [corrected_interval(rng.normal(0.5, 0.5, 5), folds) for _ in range(200)]
    excluded = [interval.low > 0 or interval.high < 0 for interval in found]
    assert excluded == [interval.p_value < 0.05 for interval in found]
    assert 0 < sum(excluded) < 200


def test_the_sign_turns_round():
    values, folds = np.array([0.1, 0.3, -0.1]), _folds(KFold(3))
    ahead, behind = corrected_interval(values, folds), corrected_interval(-values, folds)
    assert behind == pytest.approx((-ahead.mean, ahead.se, -ahead.high, -ahead.low, ahead.p_value))


def test_one_fold_tells_nothing_but_the_mean():
    found = corrected_interval(np.array([0.7]), _folds(ShuffleSplit(1, random_state=0)))
    assert found.mean == 0.7
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize("missing", [1, 3])
def test_a_missing_value_tells_nothing(missing):
    values = np.array([0.1, 0.2, 0.3])
    values[:missing] = np.nan
    assert np.isnan(corrected_interval(values, _folds(KFold(3)))).all()


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (0.25, 0.0), (-0.5, 0.0)])
def test_without_any_spread_the_interval_is_a_point(value, p_value):
    found = corrected_interval(np.full(4, value), _folds(KFold(4)))
    assert found == Interval(value, 0.0, value, value, p_value)


def test_whole_numbers_are_numbers():
    assert corrected_interval(np.array([1, 2, 4]), _folds(KFold(3))).mean == pytest.approx(7 / 3)


def test_it_covers_the_truth_where_folds_share_their_rows():
    """Repeated random splits of noise, where the usual t-test is far too sure: the case of the paper."""
    rng = np.random.default_rng(0)
    covered = usual = 0
    for repeat in range(300):
        losses = rng.normal(size=100)  # of each row, from a distribution with the mean 0
        folds = _folds(ShuffleSplit(15, test_size=0.1, random_state=repeat), 100)
        values = np.array([losses[test].mean() for _, test in folds.pairs])
        found = corrected_interval(values, folds)
        covered += found.low <= 0 <= found.high
        usual += stats.ttest_1samp(values, 0).pvalue >= 0.05
    assert 0.92 * 300 <= covered <= 0.99 * 300
    assert usual < 0.9 * 300
