"""scikit-learn's own contract checks, over the networks as they are used."""

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor

BATCHES = "weights are not repeated rows where rows are drawn into mini-batches; so in MLPClassifier and MLPRegressor"
FAIL = {"check_sample_weight_equivalence_on_dense_data": BATCHES}
# Two epochs are enough for what does not ask how much a network has learned.
MLPS = [BNMLPClassifier(max_epochs=2), BNMLPRegressor(max_epochs=2)]
CNNS = [BNCNNClassifier(max_epochs=2), BNCNNRegressor(max_epochs=2)]
LEARNED = {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_regressors_train",
}
# Of the hundred epochs that a CNN takes with few rows these checks need fifteen.
CNN_EPOCHS = 15


def _trained_enough(estimator, name, epochs):
    return clone(estimator).set_params(max_epochs=epochs) if name in LEARNED else estimator


@parametrize_with_checks(MLPS, expected_failed_checks=lambda _: FAIL, xfail_strict=True)
def test_contract(estimator, check):
    check(_trained_enough(estimator, check.func.__name__, "auto"))


def _checks_of_a_cnn():
    """Those that take long, and from memory that may not be written to learn from a copy of it, run at night."""
    for item in estimator_checks_generator(CNNS[0], expected_failed_checks=FAIL, mark="xfail", xfail_strict=True):
        param = item if hasattr(item, "values") else pytest.param(*item)
        check, marks = param.values[1], list(param.marks)
        if check.func.__name__ == "check_classifiers_train" and check.keywords == {"readonly_memmap": True}:
            marks.append(pytest.mark.nightly)  # with float32 rows it learns from that memory itself
        options = "-".join(map(str, check.keywords.values()))
        yield pytest.param(check, marks=marks, id="-".join(filter(None, [check.func.__name__, options])))


@pytest.mark.slow
@pytest.mark.parametrize("check", list(_checks_of_a_cnn()))
def test_contract_of_cnns(check):
    check(_trained_enough(CNNS[0], check.func.__name__, CNN_EPOCHS))


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
    check("BNCNNRegressor", clone(_trained_enough(CNNS[1], check.__name__, CNN_EPOCHS)))
