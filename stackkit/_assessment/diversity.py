"""How unlike the learners are: what a stack has to live on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from stackkit._assessment.marginal import target_of
from stackkit._assessment.scorers import answers_of, labels_of
from stackkit._oof import OutOfFold
from stackkit._utils import Summarised, Summary

ROUNDING = 1e-10  # what is smaller, of numbers of size 1, is no difference between predictions
COLUMNS = ["correlation", "error_correlation", "disagreement", "q_statistic", "double_fault"]


@dataclass(frozen=True, repr=False)
class Diversity(Summarised):
    """How alike learners predict, and how alike they err.

    Attributes
    ----------
    pairs : DataFrame
        A row for each two learners (MultiIndex), with these columns. Lower is more diverse, except for disagreement.

        - correlation: of their predictions; over all columns (classes, outputs), each centred. Predicted classes
          count as columns of zeros and ones, outputs in units of their target's standard deviation.
        - error_correlation: of their errors, prediction minus truth; among classes, of what is left of it when each
          true class's mean is taken away, so that learners that err independently have 0.
        - disagreement: the share of rows for which they name different classes.
        - q_statistic: Yule's Q of being right; 1 where they are right and wrong on the same rows, 0 where
          independent, -1 where never wrong together.
        - double_fault: the share of rows that both get wrong.

        The last three are NaN for numbers; the first two for two learners whose columns mean different things, such
        as probabilities and decision values of several classes, are of those that can be compared.
    learners : DataFrame
        Each learner's mean over its pairs, the least alike (by error_correlation) first.
    """

    pairs: pd.DataFrame
    learners: pd.DataFrame

    def _summary(self) -> Summary:
        return Summary(
            f"Diversity of {len(self.learners)} learners in {len(self.pairs)} pairs; lower is more diverse, except for "
            "disagreement",
            tables={"Each learner's mean over its pairs": self.learners, "Pairs": self.pairs},
        )


def diversity(oof: OutOfFold) -> Diversity:
    """Compare the learners of an out-of-fold table, two by two.

    Parameters
    ----------
    oof : OutOfFold
        The table, from ``cross_fit`` or ``model.oof_``. Rows without a prediction do not count; weights do not.

    Returns
    -------
    Diversity
        A table of pairs and one of learners.

    References
    ----------
    Kuncheva and Whitaker (2003), Measures of diversity in classifier ensembles and their relationship with the
    ensemble accuracy. Machine Learning 51, 181-207.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> from stackkit.evaluation import diversity
    >>> X, y = load_iris(return_X_y=True)
    >>> oof = cross_fit([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], X, y, cv=5)
    >>> round(float(diversity(oof).pairs.loc[("knn", "bayes"), "disagreement"]), 3)
    0.047
    """
    rows = np.flatnonzero(oof.covered)
    target = target_of(oof)
    truth = labels_of(target)[rows]
    tables = _tables(oof, rows)
    guesses = {
        name: answers_of(oof.train[rows, block.columns], block, oof.classes).given.get("predict")
        for name, block in oof.blocks.items()
    }
    right = {
        name: (guess == truth).reshape(len(rows), -1).all(axis=1)
        for name, guess in guesses.items()
        if guess is not None and oof.classes is not None
    }
    likeness, errors = _likeness(tables), _likeness_of_errors(oof, tables, rows)
    pairs = {
        (one, other): {"correlation": likeness.loc[one, other], "error_correlation": errors.loc[one, other]}
        | (_of_faults(guesses, right, one, other) if one in right and other in right else {})
        for one, other in combinations(oof.blocks, 2)
    }
    index = pd.MultiIndex.from_tuples(list(pairs), names=["learner", "other"]) if pairs else _no_pairs()
    frame = pd.DataFrame(list(pairs.values()), index=index, columns=COLUMNS, dtype=float)
    return Diversity(frame, _by_learner(frame, list(oof.blocks)))


def _no_pairs() -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([[], []], names=["learner", "other"])


def correlations(oof: OutOfFold) -> pd.DataFrame:
    """Of each learner's predictions with each other's, over all columns, each centred; NaN where there is none."""
    return _likeness(_tables(oof, np.flatnonzero(oof.covered)))


def _tables(oof: OutOfFold, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The learners' columns; class codes as votes, for codes are no numbers to correlate."""
    scale, tables = _scale(oof, rows), {}
    for name, block in oof.blocks.items():
        values = oof.train[rows, block.columns]
        tables[name] = _votes(values[:, 0].astype(int), block.n_classes) if block.kind == "label" else values / scale
    return tables


def _scale(oof: OutOfFold, rows: np.ndarray) -> np.ndarray | float:
    """What to divide outputs by, so that their units do not matter; one that never changes counts for nothing."""
    if oof.classes is not None or oof.y.ndim == 1:
        return 1.0
    y = oof.y[rows]
    spread = y.std(axis=0)
    return np.where(spread > ROUNDING * np.abs(y).max(axis=0), spread, np.inf)


def _votes(codes: np.ndarray, n_classes: int) -> np.ndarray:
    votes = np.eye(n_classes)[codes]
    return votes if n_classes > 2 else votes[:, 1:]


def _likeness(tables: dict[str, np.ndarray]) -> pd.DataFrame:
    return _correlated({name: _direction(table, _size(table)) for name, table in tables.items()})


def _likeness_of_errors(oof: OutOfFold, tables: dict[str, np.ndarray], rows: np.ndarray) -> pd.DataFrame:
    """Numbers: of how far off. Classes: of what is off in one's own way, not of what all miss for the row's class.

    Predictions of 0.7 for a row of the one class and 0.3 for one of the other err in opposite directions, for every
    learner: without the class's mean that would count as agreement.
    """
    y = oof.y[rows]
    if oof.classes is None:
        truth = y.reshape(len(y), -1) / _scale(oof, rows)
        return _correlated({name: _direction(table - truth, _size(table, truth)) for name, table in tables.items()})
    return _correlated({name: _direction(_own(table, y), _size(table)) for name, table in tables.items()})


def _own(table: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Without the mean of each true class."""
    own = table.copy()
    for column in range(table.shape[1]):
        truth = y if y.ndim == 1 else y[:, column]
        counts = np.bincount(truth)
        means = np.bincount(truth, weights=table[:, column]) / np.maximum(counts, 1)
        own[:, column] -= means[truth]
    return own


def _size(*tables: np.ndarray) -> float:
    return max(float(np.abs(table).max()) for table in tables)


def _direction(values: np.ndarray, size: float) -> np.ndarray:
    """All columns, each centred, as one vector of length 1: NaN if they are mere rounding of numbers of that size."""
    centred = (values - values.mean(axis=0)).ravel()
    length = np.linalg.norm(centred)
    flat = length <= ROUNDING * size * np.sqrt(len(centred))
    return np.full(len(centred), np.nan) if flat else centred / length


def _correlated(directions: dict[str, np.ndarray]) -> pd.DataFrame:
    """Inner products; NaN where the widths differ, such as a regressor's one column beside columns of classes."""
    values = np.full((len(directions), len(directions)), np.nan)
    for i, ours in enumerate(directions.values()):
        for j, theirs in enumerate(list(directions.values())[: i + 1]):
            if len(ours) == len(theirs):
                values[i, j] = values[j, i] = np.clip(ours @ theirs, -1, 1)
    return pd.DataFrame(values, index=list(directions), columns=list(directions))


def _of_faults(guesses: dict, right: dict[str, np.ndarray], one: str, other: str) -> dict[str, float]:
    differ = (guesses[one] != guesses[other]).reshape(len(right[one]), -1).any(axis=1)
    a, b = right[one], right[other]
    both, neither, first, second = ((a & b).sum(), (~a & ~b).sum(), (a & ~b).sum(), (~a & b).sum())
    agreeing, differing = both * neither, first * second
    q = (agreeing - differing) / (agreeing + differing) if agreeing + differing else np.nan
    return {"disagreement": differ.mean(), "q_statistic": q, "double_fault": neither / len(a)}


def _by_learner(pairs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    rows = {name: pairs[[name in pair for pair in pairs.index]].mean() for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("learner")
    return frame.sort_values("error_correlation", na_position="last", kind="stable")
