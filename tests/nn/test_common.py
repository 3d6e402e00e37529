"""scikit-learn's own contract checks, over the networks as they are used."""

import pytest
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
@parametrize_with_checks(CNNS, expected_failed_checks=lambda _: FAIL, xfail_strict=True)
def test_contract_of_cnns(estimator, check):
    check(estimator)
