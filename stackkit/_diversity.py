"""How unlike the learners are: what a stack has to live on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from stackkit._oof import OutOfFold
from stackkit._scoring import answers_of, labels_of
from stackkit._second_level import target_of

COLUMNS = ["correlation", "error_correlation", "disagreement", "q_statistic", "double_fault"]


@dataclass(frozen=True)
class Diversity:
    """How alike learners predict, and how alike they err.

    Attributes
    ----------
    pairs : DataFrame
        A row for each two learners (MultiIndex), with these columns. Less is more diverse, but for disagreement.

        - correlation: of their predictions; over all classes' columns, each centred.
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
    tables = {name: _columns(oof, name, rows) for name in oof.blocks}
    guesses = {
        name: answers_of(oof.train[rows, block.columns], block, oof.classes).given.get("predict")
        for name, block in oof.blocks.items()
    }
    right = {
        name: (guess == truth).reshape(len(rows), -1).all(axis=1)
        for name, guess in guesses.items()
        if guess is not None and oof.classes is not None
    }
    likeness = _correlations(tables)
    errors = _correlations({name: _errors(oof, table, rows) for name, table in tables.items()})
    pairs = {
        (one, other): {"correlation": likeness[one, other], "error_correlation": errors[one, other]}
        | (_of_faults(guesses, right, one, other) if one in right and other in right else {})
        for one, other in combinations(oof.blocks, 2)
    }
    index = pd.MultiIndex.from_tuples(list(pairs), names=["learner", "other"]) if pairs else _no_pairs()
    frame = pd.DataFrame(list(pairs.values()), index=index, columns=COLUMNS, dtype=float)
    return Diversity(frame, _by_learner(frame, list(oof.blocks)))


def _no_pairs() -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([[], []], names=["learner", "other"])


def _columns(oof: OutOfFold, name: str, rows: np.ndarray) -> np.ndarray:
    """The learner's columns; class codes as votes, for codes are no numbers to correlate."""
    block, values = oof.blocks[name], oof.train[rows, oof.blocks[name].columns]
    return _votes(values[:, 0].astype(int), block.n_classes) if block.kind == "label" else values


def _votes(codes: np.ndarray, n_classes: int) -> np.ndarray:
    votes = np.eye(n_classes)[codes]
    return votes if n_classes > 2 else votes[:, 1:]


def _errors(oof: OutOfFold, table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Numbers: how far off. Classes: what is off in one's own way, not what all miss because of the row's class.

    Predictions of 0.7 for a row of the one class and 0.3 for one of the other err in opposite directions, for every
    learner: without the class's mean that would count as agreement.
    """
    y = oof.y[rows]
    if oof.classes is None:
        return table - y.reshape(len(y), -1)
    errors = table.copy()
    for column in range(table.shape[1]):
        truth = y if y.ndim == 1 else y[:, column]
        counts = np.bincount(truth)
        means = np.bincount(truth, weights=table[:, column]) / np.maximum(counts, 1)
        errors[:, column] -= means[truth]
    return errors


def _correlations(tables: dict[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Over all columns at once, each centred; NaN where the widths differ or a learner is constant."""
    centred = {name: table - table.mean(axis=0) for name, table in tables.items()}
    found = {}
    for one, other in combinations(centred, 2):
        a, b = centred[one], centred[other]
        size = np.sqrt((a**2).sum() * (b**2).sum())
        found[one, other] = float((a * b).sum() / size) if a.shape == b.shape and size > 0 else np.nan
    return found


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
