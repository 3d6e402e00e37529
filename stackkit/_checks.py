"""User input, checked once at the door: named learners, rows, the target."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d

TaskName = Literal["classification", "regression"]
TASKS: tuple[TaskName, ...] = ("classification", "regression")
MOST_CLASSES = 20  # more different numbers than this are a quantity, where nobody says otherwise
STACK_METHODS = ("predict_proba", "decision_function", "predict")


Learners = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Target:
    """What is to be predicted: class codes, a label indicator, or numbers.

    ``classes`` holds the labels behind the codes 0..k-1; for a multilabel indicator it holds one
    such array a label; for numbers it is None.
    """

    values: np.ndarray
    classes: Any
    task: TaskName

    @property
    def multilabel(self) -> bool:
        return isinstance(self.classes, list)

    @property
    def n_classes(self) -> int:
        """Classes of a single-label target; 0 for every other kind."""
        return 0 if self.classes is None or self.multilabel else len(self.classes)

    @property
    def n_outputs(self) -> int:
        return 1 if self.values.ndim == 1 else self.values.shape[1]


def choice(name: str, owner: str, allowed: Sequence[Any], got: Any) -> ValueError:
    """One sentence for every parameter that takes one of a few values, with a guess at the slip."""
    guess = get_close_matches(str(got), [str(option) for option in allowed], n=1)
    hint = f" Did you mean {guess[0]!r}?" if guess else ""
    options = ", ".join(repr(option) for option in allowed)
    return ValueError(f"The {name!r} parameter of {owner} must be one of {options}; got {got!r}.{hint}")


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:(?:([kmgt])(i)?)?b)?", re.IGNORECASE)


def check_bytes(name: str, owner: str, given: Any) -> int | None:
    """A number of bytes from a number or from text such as "500 MB" and "2 GiB"; None is no limit."""
    size = 0
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        size = int(given)
    elif isinstance(given, str) and (found := _SIZE.fullmatch(given.strip())):
        number, prefix, binary = found.groups(default="")
        size = int(Decimal(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if given is not None and size < 1:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a positive number of bytes, text such as '500 MB' or '2 GiB', "
            f"or None; got {given!r}. Use None for no limit."
        )
    return size or None


# --- learners ---------------------------------------------------------------------------------------


def with_names(estimators: Any) -> list[tuple[str, Any]]:
    """Give every estimator a name: the user's, else its class in lower case, numbered if it recurs."""
    items = list(estimators)
    if not any(isinstance(item, tuple | list) for item in items):
        bases = ["drop" if item == "drop" else type(item).__name__.lower() for item in items]
        total, seen = Counter(bases), Counter[str]()
        names = []
        for base in bases:
            seen[base] += 1
            names.append(f"{base}-{seen[base]}" if total[base] > 1 else base)
        return list(zip(names, items, strict=True))
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(
                "The 'estimators' parameter must be a list of (name, estimator) pairs, or a list of "
                f"estimators, not a mixture; got the item {item!r}. Give each estimator a name, or none."
            )
    return [(item[0], item[1]) for item in items]


def check_learners(estimators: Any, *, reserved: Sequence[str] = ()) -> Learners:
    """Named learners that can be fitted and can predict, without those that the user dropped."""
    if isinstance(estimators, str) or not isinstance(estimators, Sequence) or len(estimators) == 0:
        raise ValueError(
            "The 'estimators' parameter must be a non-empty list of (name, estimator) pairs, or of "
            f"estimators; got {estimators!r}. Pass at least one learner, such as "
            "[('forest', RandomForestClassifier())]."
        )
    named = with_names(estimators)
    _check_names([name for name, _ in named], reserved)
    learners = tuple((name, learner) for name, learner in named if not _is_drop(learner))
    if not learners:
        raise ValueError(
            "The 'estimators' parameter must leave at least one learner; got only 'drop'. "
            "Put an estimator in place of one of them."
        )
    for name, learner in learners:
        _check_learner(name, learner)
    return tuple((name, _with_adapted_nets(learner)) for name, learner in learners)


def _with_adapted_nets(learner: Any) -> Any:
    """Raw skorch nets, here or inside, get an adapter; it and torch load only where there is such a net."""
    skorch = sys.modules.get("skorch")
    if skorch is None or not hasattr(learner, "get_params"):
        return learner
    parts = (learner, *learner.get_params(deep=True).values())
    if not any(isinstance(part, skorch.NeuralNet) for part in parts):
        return learner
    return import_module("stackkit.nn._raw").adapted(learner)


def _is_drop(learner: Any) -> bool:
    return isinstance(learner, str) and learner == "drop"


def _check_names(names: list[Any], reserved: Sequence[str]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"The names in 'estimators' must be non-empty strings; got {name!r}. Rename it.")
        if "__" in name:
            raise ValueError(
                f"The names in 'estimators' must not contain '__', which marks nested parameters; got {name!r}. "
                "Use a single underscore."
            )
        if name in reserved:
            raise ValueError(
                f"The names in 'estimators' must differ from {', '.join(reserved)}, which mean "
                f"something else; got {name!r}. Choose another name."
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"The names in 'estimators' must be unique; got {twice[0]!r} more than once. Rename one of them."
        )


def _check_learner(name: str, learner: Any) -> None:
    if isinstance(learner, type):
        raise TypeError(
            f"The learner {name!r} must be an estimator; got the class {learner.__name__}. "
            f"Make an instance of it: {learner.__name__}()."
        )
    if not hasattr(learner, "fit") or not any(hasattr(learner, method) for method in STACK_METHODS):
        raise TypeError(
            f"The learner {name!r} must have a fit method and one of predict_proba, decision_function and "
            f"predict; got {learner!r}. Use an estimator, or leave it out with 'drop'."
        )
    if not hasattr(learner, "__sklearn_tags__"):
        raise TypeError(
            f"The learner {name!r} must be a scikit-learn estimator; got {learner!r}. "
            f"Derive {type(learner).__name__} from sklearn.base.BaseEstimator."
        )


def infer_task(learners: Learners, y: Any) -> TaskName:
    """Classification if any learner is a classifier; where no learner tells, the type of y."""
    if any(is_classifier(learner) for _, learner in learners):
        return "classification"
    if any(is_regressor(learner) for _, learner in learners):
        return "regression"
    return task_of_target(y)


def task_of_target(y: Any) -> TaskName:
    """Where nobody tells: text and few different numbers are classes, many different ones a quantity.

    Whole numbers stand for both; the bounds are those under which people name classes by numbers.
    """
    values = _as_target(y)
    kind = type_of_target(values, input_name="y")
    if kind.startswith("continuous"):
        return "regression"
    if kind != "multiclass" or values.dtype.kind not in "iuf":
        return "classification"
    n_distinct = len(np.unique(values))
    return "regression" if n_distinct > max(MOST_CLASSES, 0.05 * len(values)) else "classification"


def check_methods(
    learners: Learners, stack_method: Any, task: TaskName, *, also_known: Sequence[str] = ()
) -> tuple[str, ...]:
    """The method by which each learner fills its columns; ``also_known`` are those that were dropped."""
    wanted = stack_method if isinstance(stack_method, dict) else {}
    known = list(dict.fromkeys([*(name for name, _ in learners), *also_known]))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(
            f"The 'stack_method' parameter must map names of learners to methods; got {unknown[0]!r}, which is "
            f"not one of {known}. Correct the name."
        )
    default = "auto" if isinstance(stack_method, dict) else stack_method
    return tuple(_method_of(name, learner, wanted.get(name, default), task) for name, learner in learners)


def _method_of(name: str, learner: Any, wanted: Any, task: TaskName) -> str:
    if wanted not in ("auto", *STACK_METHODS):
        raise choice("stack_method", "a stack (or each value of its dict)", ("auto", *STACK_METHODS), wanted)
    if task == "regression" or is_regressor(learner):
        return "predict"
    if wanted == "auto":
        return next(method for method in STACK_METHODS if hasattr(learner, method))
    if not hasattr(learner, wanted):
        offers = [method for method in STACK_METHODS if hasattr(learner, method)]
        raise ValueError(
            f"The learner {name!r} ({type(learner).__name__}) does not implement the method {wanted!r} that "
            f"'stack_method' asks for; it offers {offers}. Choose one of them, or 'auto'."
        )
    return str(wanted)


# --- rows -------------------------------------------------------------------------------------------


def is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc")


def is_polars(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "polars"


def take_rows(X: Any, rows: Any) -> Any:
    """Rows of an array, a sparse matrix or a data frame, by position."""
    return X.iloc[rows] if is_pandas(X) else X[rows]


def check_rows(X: Any, *, training: bool) -> Any:
    """X as it may be cut into folds: a data frame as it is, else an array or CSR matrix.

    Missing values are the learners' business; infinite ones nobody can use.
    """
    least = 2 if training else 1
    if is_pandas(X) or is_polars(X):
        _check_frame(X, least)
        columns: Iterator[tuple[Any, np.ndarray]] = _missing_in_frame(X)
    else:
        X = _check_array(X, least)
        columns = _missing_in_array(X)
    if training:
        _check_no_empty_column(columns, X.shape[0])
    return X


def _check_array(X: Any, least: int) -> Any:
    """Objects become numbers where all of them are; text stays text, for the learners' encoders."""
    options: dict[str, Any] = {
        "accept_sparse": "csr",
        "allow_nd": True,
        "ensure_all_finite": "allow-nan",
        "ensure_min_samples": least,
        "input_name": "X",
    }
    of_numbers = getattr(getattr(X, "dtype", None), "kind", "O") != "O"
    try:
        return check_array(X, dtype=None if of_numbers else "numeric", **options)
    except ValueError as error:
        if "could not convert" not in str(error) and "bytes/strings" not in str(error):
            raise
    return check_array(X, dtype=object, **(options | {"ensure_all_finite": False}))


def _check_frame(X: Any, least: int) -> None:
    if len(getattr(X, "shape", ())) != 2:
        raise ValueError(
            f"X must be a table of rows and columns; got a {type(X).__name__}. Pass a DataFrame, such as one made "
            "with to_frame() or collect()."
        )
    n_rows, n_columns = X.shape
    if n_rows < least or n_columns == 0:
        raise ValueError(
            f"X must have at least {least} row(s) and 1 column; got a data frame of shape {X.shape} "
            f"({n_rows} sample(s), {n_columns} feature(s)). Check how it was read."
        )
    twice = [str(name) for name, count in Counter(X.columns).items() if count > 1]
    if twice:
        raise ValueError(
            f"The column names of X must be unique; got {twice} more than once. Rename or drop the duplicates."
        )
    for name in X.columns:
        values = _floats(X[name])
        if values is not None and np.isinf(values).any():
            raise ValueError(
                f"X must hold no infinity; got one in the column {name!r}. Replace it with a number or a missing value."
            )


def _floats(column: Any) -> np.ndarray | None:
    if is_polars(column):
        return column.to_numpy() if column.dtype.is_float() else None
    if not pd.api.types.is_float_dtype(column.dtype):
        return None
    return column.to_numpy(dtype=float, na_value=np.nan)


def _missing_in_frame(X: Any) -> Iterator[tuple[Any, np.ndarray]]:
    for name in X.columns:
        column = X[name]
        if is_pandas(X):
            missing = column.isna()
        else:
            missing = column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()
        yield name, missing.to_numpy()


def _missing_in_array(X: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """Only columns whose first value is missing can be empty: looking at the others costs time."""
    if sparse.issparse(X) or X.ndim != 2 or X.dtype.kind not in "fO":
        return
    for column in np.flatnonzero(pd.isna(X[0])):
        yield int(column), pd.isna(X[:, column])


def _check_no_empty_column(columns: Iterator[tuple[Any, np.ndarray]], n_rows: int) -> None:
    empty = [name for name, missing in columns if missing.all()]
    if empty:
        raise ValueError(
            f"Each column of X must hold a value in some row; got NaN in all {n_rows} rows of {empty}. "
            "Drop what is empty."
        )


def check_like(X: Any, X_test: Any) -> Any:
    """New rows with the columns of the training rows, or an error that shows the difference."""
    new = check_rows(X_test, training=False)
    ours, theirs = (list(rows.columns) if hasattr(rows, "columns") else rows.shape[1:] for rows in (X, new))
    if ours != theirs:
        missing, added = (
            ([name for name in ours if name not in theirs], [name for name in theirs if name not in ours])
            if isinstance(ours, list) and isinstance(theirs, list)
            else (ours, theirs)
        )
        raise ValueError(
            "X_test must have the columns of X, in the same order and kind of container; got "
            f"{added} where X has {missing}. Select them: X_test[X.columns]."
        )
    return new


def check_length(name: str, values: Any, n_rows: int) -> None:
    length = values.shape[0] if hasattr(values, "shape") else len(values)
    if length != n_rows:
        raise ValueError(
            f"X and {name} must have the same number of rows; got {n_rows} and {length}. Check how they were split."
        )


# --- target -----------------------------------------------------------------------------------------


def check_target(y: Any, task: TaskName, n_rows: int) -> Target:
    y = _as_target(y)
    check_length("y", y, n_rows)
    return _check_numbers(y) if task == "regression" else _check_classes(y)


def _as_target(y: Any) -> Any:
    """Something with rows, none of them missing: what scikit-learn's checks of targets take for granted."""
    if y is None:
        raise ValueError("y must be given: a stack requires y to be passed, but the target y is None.")
    y = y.toarray() if sparse.issparse(y) else y
    y = y if hasattr(y, "shape") else np.asarray(y)
    if not y.shape:
        raise ValueError(f"y must hold one target a row; got the single value {y.tolist()!r}. Pass a list or an array.")
    if pd.isna(np.asarray(y)).any():
        raise ValueError("Input y contains NaN. Drop the rows without a target.")
    return y


def _check_numbers(y: Any) -> Target:
    values = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    return Target(values.astype(np.float64, copy=False), None, "regression")


def _check_classes(y: Any) -> Target:
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        indicator = check_array(y, dtype=None, input_name="y").astype(np.int64)
        return Target(indicator, [np.unique(column) for column in indicator.T], "classification")
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y must hold one class a row, or a 0/1 indicator of labels; got several multi-class columns. "
            "Fit one stack a column."
        )
    labels = column_or_1d(y, warn=True)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least two classes; got one class only, {classes.tolist()[0]!r}. Check how the rows were "
            "chosen."
        )
    return Target(codes.astype(np.int64), classes, "classification")


def check_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Weights as floats, one a row; a single number is the same weight for all."""
    if sample_weight is None:
        return None
    if np.isscalar(sample_weight):
        return np.full(n_rows, float(sample_weight))  # type: ignore[arg-type]
    weights: np.ndarray = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar; got an array of shape {weights.shape}.")
    check_length("sample_weight", weights, n_rows)
    return weights
