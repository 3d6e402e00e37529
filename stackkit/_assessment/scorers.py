"""scikit-learn's scorers, asked about predictions that are there already."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer, get_scorer_names, log_loss
from sklearn.utils import ClassifierTags, RegressorTags

from stackkit._data import Target
from stackkit._members import Block
from stackkit._utils import did_you_mean


class Answers(BaseEstimator):
    """An estimator that gives the same predictions whatever it is asked about.

    ``given`` maps the methods that it has to what they give.
    """

    def __init__(self, classes: Any, given: dict[str, np.ndarray]) -> None:
        self.classes = classes
        self.given = given
        if classes is not None:
            self.classes_ = classes

    def __getattr__(self, name: str) -> Callable[[Any], np.ndarray]:
        given = self.__dict__.get("given", {})
        if name not in given:
            raise AttributeError(f"These predictions have no {name}.")

        def answer(_X: Any) -> np.ndarray:
            return given[name]

        answer.__name__ = name  # scorers ask for it
        return answer

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.classes is None else "classifier"
        tags.regressor_tags = RegressorTags() if self.classes is None else None
        tags.classifier_tags = None if self.classes is None else ClassifierTags()
        return tags


def answers_of(values: np.ndarray, block: Block, classes: Any) -> Answers:
    """What a learner's columns of the table say, in the words of a scikit-learn estimator."""
    if block.kind == "probability":
        full = _as_scorers_take_them(values, block)
        guess = values.argmax(axis=1) if block.n_classes > 2 else (values[:, 0] > 0.5).astype(int)
        given = {"predict_proba": full, "predict": classes[guess]}
    elif block.kind == "score":
        guess = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0).astype(int)
        given = {"decision_function": values if values.shape[1] > 1 else values[:, 0], "predict": classes[guess]}
    elif block.kind == "label":
        given = {"predict": classes[values[:, 0].astype(int)]}
    elif block.kind == "indicator":
        middle = 0.0 if block.method == "decision_function" else 0.5
        given = {block.method: values, "predict": (values > middle).astype(int)}
    elif classes is None:
        given = {"predict": values[:, 0] if values.shape[1] == 1 else values}
    else:  # a regressor among the learners of a classification: its numbers name no class
        given = {}
    return Answers(classes, given)


def _as_scorers_take_them(values: np.ndarray, block: Block) -> np.ndarray:
    """One column per class. Sums a little off one, as of 32-bit floats, are good enough for us, not for scorers."""
    values = np.clip(values, 0, 1)
    if block.n_classes == 2:
        return np.column_stack([1 - values, values])
    total = values.sum(axis=1, keepdims=True)
    return np.where(np.abs(total - 1) > 1e-9, values / total, values)


@dataclass(frozen=True)
class Scoring:
    """A scorer, and what its scores are called and mean.

    ``name`` is scikit-learn's. scikit-learn gives losses a minus, so that higher is always better; here a loss is a
    positive number called ``metric``, and ``greater_is_better`` says which way is better. ``bounds`` are where scores
    end, since an interval by Student's t does not know.
    """

    name: str
    metric: str
    scorer: Callable[..., float]
    takes_weights: bool = True
    bounds: tuple[float, float] = (-np.inf, np.inf)
    greater_is_better: bool = True

    @property
    def sign(self) -> int:
        """By which a gain in the metric is multiplied, so that it is positive."""
        return 1 if self.greater_is_better else -1

    @property
    def perfect(self) -> float:
        """The best score that there can be; infinite where there is no end, or nobody knows."""
        return self.bounds[1] if self.greater_is_better else self.bounds[0]

    def __call__(self, answers: Answers, X: Any, y: Any, weights: np.ndarray | None) -> float:
        """The metric, in its own sign."""
        params = {} if weights is None or not self.takes_weights else {"sample_weight": weights}
        return self.sign * float(self.scorer(answers, X, y, **params))


# What scikit-learn's names are in our tables; other losses only lose their "neg_".
OWN_NAMES = {"neg_log_loss": "log_loss", "neg_root_mean_squared_error": "rmse"}


def _by_name(name: str, scorer: Callable[..., float]) -> Scoring:
    loss = name.startswith("neg_")
    metric = OWN_NAMES.get(name, name.removeprefix("neg_"))
    return Scoring(name, metric, scorer, bounds=_bounds(name), greater_is_better=not loss)


def _bounds(scoring: str) -> tuple[float, float]:
    shares = (
        "accuracy",
        "balanced_accuracy",
        "average_precision",
        "f1",
        "jaccard",
        "precision",
        "recall",
        "roc_auc",
        "top_k",
    )
    if scoring.startswith("neg_"):
        return 0.0, np.inf
    if scoring.startswith(shares):
        return 0.0, 1.0
    return -np.inf, 1.0 if scoring in ("r2", "explained_variance", "matthews_corrcoef") else np.inf


def make_scoring(
    scoring: Any,
    methods: list[str],
    X: Any,
    target: Target,
    weights: np.ndarray | None,
    *,
    owner: str = "nested_scores",
) -> Scoring:
    """The user's scorer, tried out on a guess that ignores X: what cannot work is said before anything is fitted.

    ``methods`` are those that the stack will have; ``owner`` is the function that errors name.
    """
    chosen = _named(_default(methods, target) if scoring is None else scoring, target, owner)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a guess has no precision and the like
            chosen(_guess(methods, target), X, labels_of(target), weights)
    except Exception as error:
        raise ValueError(
            f"The 'scoring' parameter of {owner} must be a scorer of scikit-learn (its name or a callable) that "
            f"suits the target and a stack with {', '.join(methods)}; got {scoring!r}, which says: {error} Choose "
            "another, such as 'accuracy', 'neg_log_loss' or 'r2'."
        ) from error
    return chosen


def labels_of(target: Target) -> np.ndarray:
    """The target in the user's words."""
    return target.classes[target.values] if target.n_classes else target.values


def _default(methods: list[str], target: Target) -> str:
    if target.task == "regression":
        return "neg_root_mean_squared_error"
    return "neg_log_loss" if "predict_proba" in methods and not target.multilabel else "accuracy"


def _named(scoring: Any, target: Target, owner: str) -> Scoring:
    if callable(scoring):
        name = getattr(scoring, "__name__", None) or repr(scoring)
        return Scoring(name, name, scorer=scoring, takes_weights=False)
    if scoring == "neg_log_loss" and not target.multilabel:
        return _by_name(scoring, _neg_log_loss)
    if not isinstance(scoring, str) or scoring not in get_scorer_names():
        hint = did_you_mean(scoring, get_scorer_names()) or " One at a time: with memory, no learner is fitted again."
        raise ValueError(
            f"The 'scoring' parameter of {owner} must be one of sklearn.metrics.get_scorer_names() or a callable; "
            f"got {scoring!r}.{hint}"
        )
    scorer = get_scorer(scoring)
    if get_config()["enable_metadata_routing"]:
        scorer = scorer.set_score_request(sample_weight=True)
    return _by_name(scoring, scorer)


def _neg_log_loss(answers: Answers, _X: Any, y: Any, sample_weight: np.ndarray | None = None) -> float:
    """scikit-learn's scorer raises where the test rows lack a class."""
    given = answers.predict_proba(_X)
    table = given[:, 1] if given.shape[1] == 2 else given  # as its scorer does: 1 - p rounds
    return -float(log_loss(y, np.clip(table, 0, 1), labels=answers.classes_, sample_weight=sample_weight))


def _guess(methods: list[str], target: Target) -> Answers:
    everyone = np.arange(len(target.values))
    return constant_answers(methods, target, everyone, len(everyone))


def constant_answers(methods: list[str], target: Target, train: np.ndarray, n_rows: int) -> Answers:
    """The same for each of some rows: the classes' shares among the training rows, or the mean of their numbers."""
    values = target.values[train]
    if target.n_classes:
        table = np.tile(np.bincount(values, minlength=target.n_classes) / len(values), (n_rows, 1))
        scores = np.zeros(n_rows) if target.n_classes == 2 else table
        given = {"predict": target.classes[table.argmax(axis=1)], "predict_proba": table, "decision_function": scores}
    else:
        table = np.tile(values.mean(axis=0), (n_rows, 1))
        guess = (table > 0.5).astype(int) if target.multilabel else table.reshape(n_rows, *values.shape[1:])
        given = {"predict": guess, "predict_proba": table, "decision_function": table - 0.5}
    return Answers(target.classes, {method: given[method] for method in methods})
