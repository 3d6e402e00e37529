"""scikit-learn's own contract checks, over the networks as they are used."""

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor

BATCHES = "weights are not repeated rows where rows are drawn into mini-batches; so in MLPClassifier and MLPRegressor"
FAIL = {"check_sample_weight_equivalence_on_dense_data": BATCHES}
MLPS = [BNMLPClassifier(), BNMLPRegressor()]
# Of the hundred epochs that a CNN takes with few rows these checks need fifteen.
CNNS = [BNCNNClassifier(max_epochs=15), BNCNNRegressor(max_epochs=15)]


@parametrize_with_checks(MLPS, expected_failed_checks=lambda _: FAIL, xfail_strict=True)
def test_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(CNNS[:1], expected_failed_checks=lambda _: FAIL, xfail_strict=True)
def test_contract_of_cnns(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_regressors_train,
        estimator_checks.check_regressors_int,
        estimator_checks.check_regressor_data_not_an_array,
        estimator_checks.check_regressors_no_decision_function,
        estimator_checks.check_supervised_y_2d,
        estimator_checks.check_supervised_y_no_nan,
        estimator_checks.check_estimators_dtypes,
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_methods_subset_invariance,
        estimator_checks.check_estimators_pickle,
    ],
    ids=lambda check: check.__name__,
)
def test_what_depends_on_the_target_of_cnns(check):
    """The rest of the contract is one code for both, and asked above."""
    check("BNCNNRegressor", clone(CNNS[1]))
