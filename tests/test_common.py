"""scikit-learn's own contract checks, over StackingModel as it is used."""

from itertools import chain

import pytest
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

from stackkit import (
    ConvexClassifier,
    EnsembleSelectionRegressor,
    StackingClassifier,
    StackingModel,
    StackingRegressor,
)

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


# Each takes another path: fold means and a blend; refit, logistic regression and X besides; the same for numbers.
UNLIKE = [
    (StackingModel(_linear_and_bayes(), cv=3), EQUAL),
    (StackingModel(_linear_and_bayes(), LogisticRegression(), cv=3, refit=True, passthrough=True), UNEQUAL),
    (StackingModel(_regressors(), cv=3), UNEQUAL),
    (StackingModel(_regressors(), LinearRegression(), cv=3, passthrough=True), UNEQUAL),
]
# Other mixtures of these: only what depends on the mixture can differ.
VARIANTS = [
    (StackingModel(_linear_and_bayes(), cv=3, refit=True), UNEQUAL),
    (StackingModel(_linear_and_bayes(), ConvexClassifier(), cv=3), EQUAL),
    (StackingModel(_trees(), LogisticRegression(), cv=3), EQUAL),
    (StackingModel(_trees(), cv=3, refit=True), EQUAL),
    (StackingModel(_regressors(), cv=3, refit=True), UNEQUAL),
    (StackingModel([LinearRegression(), Ridge(alpha=5)], EnsembleSelectionRegressor(), cv=3), UNEQUAL),
    (StackingClassifier(_linear_and_bayes(), LogisticRegression()), EQUAL),
    (StackingRegressor(_regressors()), UNEQUAL),
]
MODELS = UNLIKE + VARIANTS
# What learners and blends do to rows, weights, classes and types; the rest of the checks ask how parameters are kept,
# how X and y are checked, and what is said of them, which is one code for all stacks.
SENSITIVE = {
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_dict_unchanged",
    "check_estimators_dtypes",
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_fit2d_1feature",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_regressors_int",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_supervised_y_2d",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
}
DEFAULTS = [
    StackingModel(cv=2),
    StackingModel(task="classification", cv=2),
    StackingModel(task="regression", cv=2, refit=True),
]


def _checks_of(model):
    return {check.func.__name__ for _, check in estimator_checks_generator(model, mark=None)}


def _expected_failures(model):
    names = next(names for known, names in MODELS if known is model)
    of_pool = is_classifier(model) and model.final_estimator is None
    return dict.fromkeys(names, OUT_OF_FOLD) | (SCALED if of_pool else {})


def _checks(models, expected_failures, only=None):
    """Models with their checks, as ``parametrize_with_checks`` gives them; ``only`` some checks."""
    found = chain.from_iterable(
        estimator_checks_generator(
            model, expected_failed_checks=expected_failures(model), mark="xfail", xfail_strict=True
        )
        for model in models
    )
    params = [item if hasattr(item, "values") else pytest.param(*item) for item in found]
    return pytest.mark.parametrize(
        ("estimator", "check"),
        [param for param in params if only is None or param.values[1].func.__name__ in only],
        ids=lambda item: item.func.__name__ if hasattr(item, "func") else repr(item),
    )


@_checks([model for model, _ in UNLIKE], _expected_failures)
def test_contract(estimator, check):
    check(estimator)


@_checks([model for model, _ in VARIANTS], _expected_failures, only=SENSITIVE)
def test_what_depends_on_learners_and_blends(estimator, check):
    check(estimator)


WEIGHTS = "k-NN takes no weights, and forests draw rows: with them scikit-learn's own estimators fail these too"


def _failures_of_defaults(_):
    weights = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(UNEQUAL, OUT_OF_FOLD) | dict.fromkeys(weights, WEIGHTS)


@pytest.mark.slow
@pytest.mark.usefixtures("small_learners")
@_checks(DEFAULTS, _failures_of_defaults, only=SENSITIVE)
def test_what_depends_on_the_defaults(estimator, check):
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


def test_every_check_that_is_picked_is_one():
    assert set().union(*(_checks_of(model) for model, _ in VARIANTS)) >= SENSITIVE


@pytest.mark.parametrize("model", [model for model, _ in UNLIKE])
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_global_set_output_transform_polars,
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


def test_names_of_columns_are_checked_but_for_their_order():
    """Columns in another order are taken by name, which scikit-learn's check asks to be refused: it gets no further.

    That other names are refused is tested with new rows.
    """
    model = clone(UNLIKE[0][0])
    with pytest.raises(AssertionError, match="predict did not raise"):
        estimator_checks.check_dataframe_column_names_consistency(type(model).__name__, model)
