"""Which labels are likely wrong, by predictions that did not see them.

Of classes by confident learning, of numbers by residuals beside those of rows that are predicted alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stackkit._assessment.marginal import target_of
from stackkit._oof import OutOfFold

NEARLY = 1e-6  # by which a probability may miss the mean of its class and still count as confident
SURELY = 1e-6  # in favour of the given label, where two classes are equally likely
TO_DEVIATION = 1.4826  # a normal variable's standard deviation by the median of its absolute values
FAR_OUT = 3.5  # such deviations: Iglewicz and Hoaglin's bound
LEAST_SHARE = 0.1  # of the spread of all residuals, below which that of some rows is chance
LEAST_NEAR, MOST_NEAR, SHARE_NEAR = 20, 500, 0.1  # rows that tell the spread beside a row


def label_doubts(oof: OutOfFold, learner: str) -> pd.DataFrame:
    """Of each covered row, by position: given, suggested, doubt, issue; as `label_issues` tells, which sorts them."""
    rows, block, target = np.flatnonzero(oof.covered), oof.blocks[learner], target_of(oof)
    if block.kind == "probability":
        p, y = oof.proba(learner).to_numpy()[rows], oof.y[rows]
        found = {
            "given": oof.classes[y],
            "suggested": oof.classes[p.argmax(axis=1)],
            "doubt": 1 - p[np.arange(len(y)), y],
            "issue": mislabelled(y, p),
        }
    elif target.task == "regression" and block.width == 1:
        predicted, y = oof.train[rows, block.columns][:, 0], oof.y[rows]
        doubt = np.abs(y - predicted) / spread_beside(predicted, y - predicted)
        found = {"given": y, "suggested": predicted, "doubt": doubt, "issue": doubt > FAR_OUT}
    else:
        raise ValueError(
            f"label_issues needs probabilities of classes, or one number per row; {learner!r} gives "
            f"{block.kind!r} columns by {block.method}. Use learners and a final estimator with predict_proba."
        )
    return pd.DataFrame(found, index=pd.Index(rows, name="position"))


# --- classes ----------------------------------------------------------------------------------------------


def mislabelled(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Rows whose label is likely wrong, by confident learning; ``y`` holds codes, ``p`` one column per class.

    For each pair of a given class and a likely true one as many rows are taken as the counts say, those first whose
    probability of the likely class is largest beside that of the given one ("prune by noise rate" in Northcutt et
    al. 2021). Rows that the model predicts as they are labelled stay out.
    """
    n_classes = p.shape[1]
    counts, found = confident_counts(y, p), np.zeros(len(y), dtype=bool)
    for given in range(n_classes):
        rows = np.flatnonzero(y == given)
        for likely in range(n_classes) if len(rows) > 1 else ():
            if likely != given and counts[given, likely] > 0:
                margin = p[rows, likely] - p[rows, given]
                found[rows[np.argsort(-margin, kind="stable")[: counts[given, likely]]]] = True
    favoured = p.copy()
    favoured[np.arange(len(y)), y] += SURELY
    return found & (favoured.argmax(axis=1) != y)


def confident_counts(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """How many rows of each given class (rows) are likely of each true one (columns); whole numbers.

    A row counts for the likeliest of the classes whose probability is at least the mean that this class has among the
    rows labelled so. The counts are scaled to the sizes of the given classes, and leave each class a row of its own.
    """
    n_classes = p.shape[1]
    sizes = np.bincount(y, minlength=n_classes)
    means = np.array([p[y == k, k].mean() if sizes[k] else np.inf for k in range(n_classes)])
    confident = p >= np.maximum(means, NEARLY) - NEARLY
    likely = np.where(confident.sum(axis=1) > 1, p.argmax(axis=1), confident.argmax(axis=1))
    some = confident.any(axis=1)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (y[some], likely[some]), 1)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    whole = np.array([rounded(row * size / row.sum()) for row, size in zip(counts, sizes, strict=True)])
    return _with_own_row(whole)


def rounded(values: np.ndarray) -> np.ndarray:
    """Whole numbers with the same sum: those give way that rounding has moved the most."""
    whole = np.round(values)
    left = int(round(values.sum()) - whole.sum())
    moved = np.argsort(values - whole)
    whole[moved[-left:] if left > 0 else moved[:-left]] += np.sign(left)
    return whole.astype(int)


def _with_own_row(counts: np.ndarray) -> np.ndarray:
    """No class may lose its last row: what its own count lacks is taken from the others, in equal parts."""
    own = counts.diagonal()
    lacking = np.maximum(1 - own, 0)
    n_others = np.maximum(np.count_nonzero(counts, axis=1) - 1, 1)
    less = np.maximum(counts - (lacking / n_others)[:, np.newaxis], 0).astype(int)
    np.fill_diagonal(less, np.maximum(own, 1))
    return less


# --- numbers ----------------------------------------------------------------------------------------------


def spread_beside(predicted: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """The standard deviation of the residuals of the rows that are predicted most alike, by their median.

    Large numbers are often predicted less well than small ones; a few wrong targets hardly move a median.
    """
    n_near = int(np.clip(SHARE_NEAR * len(residuals), LEAST_NEAR, MOST_NEAR)) + 1
    order = np.argsort(predicted, kind="stable")
    sizes = pd.Series(np.abs(residuals)[order])
    beside = np.empty(len(residuals))
    beside[order] = sizes.rolling(n_near, center=True, min_periods=1).median()
    least = max(LEAST_SHARE * float(sizes.median()), np.finfo(float).tiny)
    return TO_DEVIATION * np.maximum(beside, least)
