"""scikit-learn's own contract checks, over the networks as they are used."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor

BATCHES = "weights are not repeated rows where rows are drawn into mini-batches; so in MLPClassifier and MLPRegressor"
FAIL = {"check_sample_weight_equivalence_on_dense_data": BATCHES}
# Of the hundred epochs that a CNN takes with few rows these checks need fifteen.
CNNS = [BNCNNClassifier(max_epochs=15), BNCNNRegressor(max_epochs=15)]
ESTIMATORS = [BNMLPClassifier(), BNMLPRegressor(), *CNNS]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: FAIL, xfail_strict=True)
def test_contract(estimator, check):
    check(estimator)
