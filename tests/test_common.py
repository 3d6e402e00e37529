"""scikit-learn's own contract checks, over StackingModel as it is used."""

import pytest
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from stackkit import ConvexClassifier, EnsembleSelectionRegressor, StackingModel
from stackkit._learners import defaults as _learners

OUT_OF_FOLD = "fit_transform returns out-of-fold predictions; transform asks models that saw the rows"
UNEQUAL = ("check_transformer_data_not_an_array", "check_transformer_general")
# A hundred rows that weigh two each are a hundred rows to the ridge of the default final estimator, not two hundred.
SCALED = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "the logarithmic pool scales weights to a mean of one",
)
# On the checks' three easy blobs some learners predict their own rows just as they predict others.
EQUAL = ()


def _trees():
    return [
        ("shallow", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("deep", DecisionTreeClassifier(max_depth=5, random_state=1)),
    ]


def _linear_and_bayes():
    return [("logistic", LogisticRegression(C=0.1, tol=1e-10)), ("bayes", GaussianNB())]


def _regressors():
    return [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, random_state=0))]


MODELS = [
    (StackingModel(_linear_and_bayes(), cv=3), EQUAL),
    (StackingModel(_linear_and_bayes(), cv=3, refit=True), UNEQUAL),
    (StackingModel(_linear_and_bayes(), ConvexClassifier(), cv=3), EQUAL),
    (StackingModel(_linear_and_bayes(), LogisticRegression(), cv=3, refit=True, passthrough=True), UNEQUAL),
    (StackingModel(_trees(), LogisticRegression(), cv=3), EQUAL),
    (StackingModel(_trees(), cv=3, refit=True), EQUAL),
    (StackingModel(_regressors(), cv=3), UNEQUAL),
    (StackingModel(_regressors(), cv=3, refit=True), UNEQUAL),
    (StackingModel(_regressors(), LinearRegression(), cv=3, passthrough=True), UNEQUAL),
    (StackingModel([LinearRegression(), Ridge(alpha=5)], EnsembleSelectionRegressor(), cv=3), UNEQUAL),
]
DEFAULTS = [
    StackingModel(),
    StackingModel(task="classification", cv=2),
    StackingModel(task="regression", cv=2, refit=True),
]


def _checks_of(model):
    return {check.func.__name__ for _, check in estimator_checks_generator(model, mark=None)}


def _expected_failures(model):
    names = next(names for known, names in MODELS if known is model)
    of_pool = is_classifier(model) and model.final_estimator is None
    return dict.fromkeys(names, OUT_OF_FOLD) | (SCALED if of_pool else {})


@parametrize_with_checks([model for model, _ in MODELS], expected_failed_checks=_expected_failures, xfail_strict=True)
def test_contract(estimator, check):
    check(estimator)


WEIGHTS = "k-NN takes no weights, and forests draw rows: with them scikit-learn's own estimators fail these too"


@pytest.mark.slow
@parametrize_with_checks(
    DEFAULTS,
    expected_failed_checks=lambda _: (
        dict.fromkeys(UNEQUAL, OUT_OF_FOLD)
        | dict.fromkeys(
            ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"), WEIGHTS
        )
    ),
    xfail_strict=True,
)
def test_contract_of_the_defaults(estimator, check, monkeypatch):
    # The checks fit some 200 times; what they check does not depend on the number of trees.
    monkeypatch.setitem(_learners.FOREST, "n_estimators", 5)
    monkeypatch.setitem(_learners.BOOSTING, "n_estimators", 5)
    check(estimator)


@pytest.mark.parametrize("model", [model for model, _ in MODELS] + DEFAULTS)
def test_the_contract_is_not_empty(model):
    """Tags decide which checks run: a wrong one would leave them out silently."""
    checks = _checks_of(model)
    assert len(checks) > 45
    assert {"check_estimators_dtypes", "check_fit_idempotent", "check_transformer_general"} <= checks
    assert {"check_sample_weights_shape", "check_estimators_pickle", "check_dict_unchanged"} <= checks
    if model in DEFAULTS[:1]:
        return
    expected = "check_classifiers_train" if is_classifier(model) else "check_regressors_train"
    assert expected in checks


@pytest.mark.parametrize("model", [model for model, _ in MODELS])
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_global_set_output_transform_polars,
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_n_features_in_after_fitting,
        estimator_checks.check_estimators_overwrite_params,
        estimator_checks.check_inplace_ensure_writeable,
    ],
    ids=lambda check: check.__name__,
)
def test_checks_that_check_estimator_leaves_out(model, check):
    check(type(model).__name__, clone(model))
