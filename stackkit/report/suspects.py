"""What to look at in the training rows before the scores are believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from stackkit._data import is_named_like_an_id
from stackkit._learners import column_kind
from stackkit._utils import some
from stackkit.report.columns import as_numbers, n_different
from stackkit.report.subject import Subject
from stackkit.report.tables import share

LEAST_ROWS = 30  # to say that a column is an identifier, or tells the target
MOST_LOOKED_AT = 20_000  # rows
MOST_ROWS = 1000  # that are looked at for a column that tells the target
TELLS_ALL = 0.98  # share of the target's variance, or of the errors of a guess, that one column explains
MOST_OF_ALL = 0.995  # share of the rows with one value
MANY_MISSING = 0.5
LEAST_KNOWN = 0.9  # share of the values of a column that rises with the target
MOST_GROUPS = 0.5  # of so many different values per row
RARE = 0.05  # share of a class
MOST_NAMED = 8

Warning_ = tuple[str, str]  # title, sentence


def warnings_of(subject: Subject) -> list[Warning_]:
    found = [("Taken on trust", subject.caveat)] if subject.caveat else []
    found += _imbalance(subject)
    if subject.frame is None or subject.caveat:  # columns that are predictions tell the target, and shall
        return found
    y = subject.oof.y
    some = np.sort(np.random.default_rng(0).permutation(len(y))[:MOST_LOOKED_AT])
    frame = subject.frame.iloc[some]
    kinds = {name: column_kind(column) for name, column in frame.items()}
    found += _told(
        "Leakage suspects",
        _tell_the_target(subject.frame, kinds, subject) if y.ndim == 1 and len(y) >= LEAST_ROWS else [],
        "alone almost tells the target: is it known when a new row is to be predicted? If not, leave it out",
    )
    found += _told(
        "Like identifiers",
        [name for name in frame if _is_identifier(frame[name], kinds[name], name)],
        "has another value in (nearly) each row, as a number or name of the row has: leave it out, if it is one",
    )
    found += _told(
        "Constant",
        [name for name in frame if _is_constant(frame[name])],
        "has one value, or none, in (nearly) all rows",
    )
    missing = [f"{name} ({share(gone)})" for name in frame if MANY_MISSING < (gone := frame[name].isna().mean()) < 1]
    found += _told("Mostly missing", missing, "is empty in more than half of the rows")
    found += _told("The same", _twins(frame), "says the same as another column")
    return found


def _told(title: str, names: list[Any], sentence: str) -> list[Warning_]:
    if not names:
        return []
    each = ": each" if len(names) > 1 else ""
    return [(title, f"{some(list(map(str, names)), MOST_NAMED)}{each} {sentence}.")]


def _imbalance(subject: Subject) -> list[Warning_]:
    oof = subject.oof
    if not isinstance(oof.classes, np.ndarray):
        return []
    shares = np.bincount(oof.y, minlength=len(oof.classes)) / len(oof.y)
    least = RARE if len(shares) == 2 else RARE * 2 / len(shares)
    rare = [
        f"{oof.classes[k]} ({share(shares[k])}, {round(shares[k] * len(oof.y)):,} rows)"
        for k in np.flatnonzero(shares < least)
    ]
    return _told("Rare classes", rare, "is rare: accuracy says little then; look at recall, precision and ROC AUC")


def _is_identifier(column: pd.Series, kind: str, name: Any) -> bool:
    known = column.dropna()
    if len(known) < LEAST_ROWS or n_different(known) < 0.99 * len(known):
        return False
    if kind == "number":
        values = as_numbers(known, kind)
        whole = bool((values % 1 == 0).all())
        in_order = bool((np.diff(values) > 0).all() or (np.diff(values) < 0).all())
        return whole and (is_named_like_an_id(str(name)) or in_order)
    # Sentences differ from row to row, too, and have words in them.
    return kind in ("category", "text") and bool(known.astype(str).str.count(r"\s").median() == 0)


def _is_constant(column: pd.Series) -> bool:
    counts = column.astype(str).where(column.notna(), "").value_counts()
    return bool(counts.iloc[0] >= MOST_OF_ALL * len(column))


def _twins(frame: pd.DataFrame) -> list[str]:
    """Columns that sort the rows into the same groups as an earlier one, or hold the same values."""
    found: dict[bytes, Any] = {}
    twins = []
    for name, column in frame.items():
        if _is_constant(column):
            continue
        texts = column.astype(str).where(column.notna(), "")
        codes = pd.factorize(texts)[0]
        # Where hardly any value comes twice, there are no groups, and any two columns would have the same.
        grouped = codes.max() < MOST_GROUPS * len(codes)
        key = codes.tobytes() if grouped else pd.util.hash_pandas_object(texts, index=False).to_numpy().tobytes()
        first = found.setdefault(key, name)
        if first is not name:
            twins.append(f"{name} (as {first})")
    return twins


# --- leakage ----------------------------------------------------------------------------------------------


def _tell_the_target(frame: pd.DataFrame, kinds: dict[Any, str], subject: Subject) -> list[str]:
    """Columns from which a single tree, cross-validated, knows nearly all of the target."""
    y, classes = subject.oof.y, isinstance(subject.oof.classes, np.ndarray)
    rows = np.sort(np.random.default_rng(0).permutation(len(y))[:MOST_ROWS])
    truth = y[rows]
    codes, counts = np.unique(truth, return_counts=True)
    if classes:
        kept = np.isin(truth, codes[counts >= 3])
        rows, truth = rows[kept], truth[kept]
    if len(np.unique(truth)) < 2:
        return []
    tree: Any = DecisionTreeClassifier(max_depth=8) if classes else DecisionTreeRegressor(min_samples_leaf=2)
    tree.set_params(random_state=0)
    folds = (StratifiedKFold if classes else KFold)(3, shuffle=True, random_state=0)
    found = []
    for name, column in frame.items():
        values = _as_one_number(column.iloc[rows], kinds[name])
        if values is None:
            continue
        guess = cross_val_predict(tree, values[:, np.newaxis], truth, cv=folds)
        known = _explained(truth, guess, classes=classes)
        if not classes and kinds[name] in ("number", "date"):
            known = max(known, _in_step(values, truth))
        if known >= TELLS_ALL:
            found.append(f"{name} ({share(known)} of {'the errors of a guess' if classes else 'the variance'})")
    return found


def _in_step(values: np.ndarray, truth: np.ndarray) -> float:
    """Share of the variance of the target's ranks: of few rows, a tree knows no number exactly."""
    there = np.isfinite(values)
    if there.mean() < LEAST_KNOWN or len(np.unique(values[there])) < 2:
        return 0.0
    return float(spearmanr(values[there], truth[there]).statistic ** 2)


def _as_one_number(column: pd.Series, kind: str) -> np.ndarray | None:
    if kind == "empty":
        return None
    values = as_numbers(column, kind) if kind in ("number", "date") else _codes(column)
    return np.where(np.isfinite(values), np.clip(values, -1e30, 1e30), np.nan)


def _codes(column: pd.Series) -> np.ndarray:
    codes = pd.factorize(column.astype(str).where(column.notna(), None))[0]
    return np.where(codes < 0, np.nan, codes)


def _explained(truth: np.ndarray, guess: np.ndarray, *, classes: bool) -> float:
    if classes:
        usual = np.bincount(truth).max() / len(truth)
        return float(1 - np.mean(truth != guess) / (1 - usual))
    return float(1 - np.mean((truth - guess) ** 2) / np.var(truth))
