"""Scorers asked about predictions that are there already: the same numbers as when asked about an estimator."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import get_scorer, get_scorer_names, log_loss, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from stackkit import cross_fit
from stackkit._assessment.scorers import Answers, answers_of, labels_of, make_scoring
from stackkit._data.target import check_target
from stackkit._members.blocks import Block

BINARY = make_classification(90, 5, random_state=0)
THREE = make_classification(120, 6, n_informative=4, n_classes=3, random_state=1)
NUMBERS = make_regression(90, 4, noise=20, random_state=0)
LABELS = make_multilabel_classification(90, 5, n_classes=3, random_state=0)


def _answers(learner, X, y, **options):
    """What a learner's columns say of the second half of the rows, and the learner itself, fitted on the first."""
    first, second = np.array_split(np.arange(len(X)), 2)
    oof = cross_fit([("it", learner)], X, y, cv=[(first, second)], **options)
    fitted = clone(learner).fit(X[first], y[first])
    return answers_of(oof.train[second], oof.blocks["it"], oof.classes), fitted, X[second], y[second]


@pytest.mark.parametrize(
    ("learner", "data", "scoring"),
    [
        *(
            (GaussianNB(), BINARY, name)
            for name in ("accuracy", "roc_auc", "f1", "average_precision", "neg_brier_score")
        ),
        *((RidgeClassifier(), BINARY, name) for name in ("accuracy", "roc_auc", "matthews_corrcoef")),
        *(
            (GaussianNB(), THREE, name)
            for name in ("accuracy", "roc_auc_ovo", "f1_macro", "neg_log_loss", "top_k_accuracy")
        ),
        *((LinearSVC(), THREE, name) for name in ("accuracy", "balanced_accuracy", "f1_weighted")),
        *(
            (LinearRegression(), NUMBERS, name)
            for name in ("r2", "neg_max_error", "neg_mean_absolute_error", "explained_variance")
        ),
        *((KNeighborsClassifier(), LABELS, name) for name in ("accuracy", "f1_samples", "jaccard_macro")),
    ],
)
def test_scorers_say_what_they_say_of_the_learner_itself(learner, data, scoring):
    answers, fitted, X, y = _answers(learner, *data)
    assert get_scorer(scoring)(answers, X, y) == pytest.approx(get_scorer(scoring)(fitted, X, y), rel=1e-12)


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (-1, 1), (1.0, 3.0)])
def test_predictions_are_in_the_users_words(labels):
    X, codes = BINARY
    y = np.array(labels)[codes]
    for learner, method in (
        (GaussianNB(), "predict_proba"),
        (RidgeClassifier(), "decision_function"),
        (GaussianNB(), "predict"),
    ):
        answers, fitted, rows, _ = _answers(learner, X, y, stack_method=method)
        np.testing.assert_array_equal(answers.predict(rows), fitted.predict(rows))
        np.testing.assert_array_equal(answers.classes_, fitted.classes_)


def test_only_what_is_given_is_there():
    for learner, method, others in (
        (GaussianNB(), "predict_proba", ["decision_function"]),
        (RidgeClassifier(), "decision_function", ["predict_proba"]),
        (GaussianNB(), "predict", ["predict_proba", "decision_function"]),
    ):
        answers, *_ = _answers(learner, *BINARY, stack_method=method)
        assert hasattr(answers, method)
        assert hasattr(answers, "predict")
        for other in others:
            assert not hasattr(answers, other)
            with pytest.raises(AttributeError, match=f"have no {other}"):
                getattr(answers, other)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_several_labels_a_row(method):
    answers, fitted, rows, _ = _answers(RandomForestClassifier(5, random_state=0), *LABELS, stack_method=method)
    np.testing.assert_array_equal(answers.predict(rows), fitted.predict(rows))
    if method == "predict_proba":
        np.testing.assert_array_equal(
            answers.predict_proba(rows), np.column_stack([p[:, 1] for p in fitted.predict_proba(rows)])
        )


def test_decision_values_of_labels_are_cut_at_zero():
    block = Block(slice(0, 2), (0, 1), "decision_function", "indicator", 0)
    values = np.array([[0.2, -0.2], [-3.0, 0.6]])
    np.testing.assert_array_equal(answers_of(values, block, [np.arange(2)] * 2).predict(None), [[1, 0], [0, 1]])


def test_a_regressor_says_nothing_about_classes():
    answers = answers_of(np.zeros((3, 1)), Block(slice(0, 1), (None,), "predict", "value", 2), np.arange(2))
    assert not any(hasattr(answers, name) for name in ("predict", "predict_proba", "decision_function"))


def test_answers_are_classifiers_or_regressors():
    classifier, regressor = Answers(np.arange(2), {}), Answers(None, {})
    assert is_classifier(classifier)
    assert not is_regressor(classifier)
    assert is_regressor(regressor)
    assert not is_classifier(regressor)
    assert not hasattr(regressor, "classes_")


# --- which scorer ---------------------------------------------------------------------------------------

ALL = ["predict", "predict_proba", "decision_function"]


def _target(y, task="classification"):
    return check_target(y, task, len(y))


def _scoring(scoring, data=BINARY, methods=ALL, task="classification", weights=None):
    return make_scoring(scoring, methods, data[0], _target(data[1], task), weights)


@pytest.mark.parametrize(
    ("data", "methods", "task", "name"),
    [
        (BINARY, ALL, "classification", "neg_log_loss"),
        (THREE, ["predict", "predict_proba"], "classification", "neg_log_loss"),
        (BINARY, ["predict", "decision_function"], "classification", "accuracy"),
        (LABELS, ALL, "classification", "accuracy"),
        (NUMBERS, ["predict"], "regression", "neg_root_mean_squared_error"),
    ],
)
def test_the_default(data, methods, task, name):
    assert _scoring(None, data, methods, task).name == name


@pytest.mark.parametrize("data", [BINARY, THREE])
def test_log_loss_is_that_of_the_scorer_and_bears_a_missing_class(data):
    X, y = data
    fitted = LogisticRegression(max_iter=1000).fit(X, y)
    ours = _scoring("neg_log_loss", data)
    answers = Answers(fitted.classes_, {"predict_proba": fitted.predict_proba(X)})
    assert -ours(answers, X, y, None) == get_scorer("neg_log_loss")(fitted, X, y)
    rows = y == 0
    lone = Answers(fitted.classes_, {"predict_proba": fitted.predict_proba(X[rows])})
    expected = log_loss(y[rows], fitted.predict_proba(X[rows]), labels=fitted.classes_)
    assert ours(lone, X[rows], y[rows], None) == pytest.approx(expected)
    weights = np.linspace(0.1, 3, len(y))
    expected = log_loss(y, fitted.predict_proba(X), sample_weight=weights)
    assert ours(answers, X, y, weights) == pytest.approx(expected)


def test_log_loss_of_two_labels_a_row_is_that_of_the_scorer():
    X, y = LABELS
    y = y[:, :2]
    p = np.column_stack([label[:, 1] for label in KNeighborsClassifier().fit(X, y).predict_proba(X)])
    answers = Answers([np.arange(2)] * 2, {"predict_proba": p})
    ours = _scoring("neg_log_loss", (X, y), ["predict", "predict_proba"])
    with np.errstate(all="ignore"):
        assert ours(answers, X, y, None) == pytest.approx(log_loss(y, p))


def test_scorers_by_name_take_weights_and_functions_do_not():
    X, y = BINARY
    weights = np.where(y == 1, 3.0, 1.0)
    answers = Answers(np.arange(2), {"predict": np.ones_like(y)})

    def share_right(estimator, rows, truth):
        return np.mean(estimator.predict(rows) == truth)

    assert _scoring("accuracy", weights=weights)(answers, X, y, weights) == np.average(y, weights=weights)
    assert _scoring(share_right, weights=weights)(answers, X, y, weights) == np.mean(y)


def test_names_of_functions_and_scorers():
    def my_score(*_arguments):
        return 1.0

    assert _scoring(my_score).name == "my_score"
    assert _scoring(make_scorer(log_loss, response_method="predict_proba")).name.startswith("make_scorer(log_loss")
    assert _scoring("f1").name == "f1"


@pytest.mark.filterwarnings("ignore")  # clustering scores and others wonder about such a target
@pytest.mark.parametrize("name", get_scorer_names())
def test_losses_are_positive_numbers_without_neg_in_their_name(name):
    """Every scorer that takes numbers or classes."""
    y = np.array([0, 1] * 20)
    right, wrong = (np.where(np.arange(40) < n_wrong, 1 - y, y) for n_wrong in (2, 15))
    of_classes = {
        label: Answers(np.arange(2), {"predict": guess, "predict_proba": np.column_stack([1 - p, p])})
        for label, guess in (("right", right), ("wrong", wrong))
        for p in [0.1 + 0.8 * guess]
    }
    of_numbers = {
        label: Answers(None, {"predict": guess + 0.1}) for label, guess in (("right", right), ("wrong", wrong))
    }
    for answers, task in ((of_classes, "classification"), (of_numbers, "regression")):
        try:
            scoring = _scoring(name, (y[:, None], y), list(answers["right"].given), task)
        except ValueError:
            continue
        assert not scoring.metric.startswith("neg_")
        better, worse = (scoring(answers[label], None, y, None) for label in ("right", "wrong"))
        assert scoring.sign * (better - worse) >= 0
        assert scoring.greater_is_better or min(better, worse) >= 0
        assert scoring.bounds[0] <= better <= scoring.bounds[1]


def test_what_scores_are_called():
    for name, metric in (("neg_log_loss", "log_loss"), ("neg_brier_score", "brier_score"), ("f1", "f1")):
        assert (_scoring(name).name, _scoring(name).metric) == (name, metric)
    assert _scoring("neg_root_mean_squared_error", NUMBERS, ["predict"], "regression").metric == "rmse"


def test_a_scorer_of_the_wrong_kind_is_refused():
    for scoring, data, methods, task in (
        ("r2", (THREE[0], np.array(["a", "b", "c"])[THREE[1]]), ALL, "classification"),
        ("roc_auc", THREE, ALL, "classification"),
        ("neg_log_loss", BINARY, ["predict"], "classification"),
        ("accuracy", NUMBERS, ["predict"], "regression"),
        ("neg_mean_squared_log_error", NUMBERS, ["predict"], "regression"),
    ):
        message = f"'scoring' parameter of nested_scores .* suits the target and a stack with {', '.join(methods)}; got"
        with pytest.raises(ValueError, match=f"{message} '{scoring}', which says: .* Choose another"):
            _scoring(scoring, data, methods, task)


@pytest.mark.parametrize("scoring", ["acuracy", 3, ["accuracy", "f1"], {"a": "f1"}])
def test_what_is_no_scorer_is_refused(scoring):
    with pytest.raises(ValueError, match="'scoring' parameter of nested_scores must be one of"):
        _scoring(scoring)


def test_labels_are_those_of_the_user():
    words = np.array(["b", "a", "b"])
    np.testing.assert_array_equal(labels_of(_target(words)), words)
    np.testing.assert_array_equal(labels_of(_target(LABELS[1])), LABELS[1])
    np.testing.assert_array_equal(labels_of(_target(NUMBERS[1], "regression")), NUMBERS[1])


def test_bounds_hold_for_every_scorer_of_that_name():
    X, y = BINARY
    for name in ("accuracy", "roc_auc", "f1_macro", "neg_log_loss", "matthews_corrcoef", "balanced_accuracy", "recall"):
        scoring = _scoring(name)
        low, high = scoring.bounds
        for learner in (GaussianNB(), LogisticRegression()):
            right, wrong = learner.fit(X, y), clone(learner).fit(X, 1 - y)
            scores = [scoring.sign * get_scorer(name)(fitted, X, y) for fitted in (right, wrong)]
            assert all(low <= score <= high for score in scores)
    assert _scoring("accuracy").bounds == (0, 1)
    assert _scoring("neg_mean_squared_error", NUMBERS, ["predict"], "regression").bounds == (0, np.inf)
    assert _scoring("r2", NUMBERS, ["predict"], "regression").bounds == (-np.inf, 1)


def test_a_function_has_no_bounds_whatever_its_name():
    def accuracy(*_arguments):
        return 92.0

    assert _scoring(accuracy).bounds == (-np.inf, np.inf)
