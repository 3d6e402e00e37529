"""Default learners, and the preprocessing that lets a raw data frame go into them.

One definition serves frames and arrays. Which columns are numbers, dates, categories or free text is
asked at ``fit``, of the rows of that fit alone: inside a fold nothing is learned from the rows that
the fold will predict.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, OneHotEncoder, StandardScaler
from sklearn.utils import check_array

MAX_CATEGORIES = 20  # columns that one categorical column may become
MAX_WORDS = 30  # columns that all free text together may become
MIN_FREQUENCY = 3  # training rows that a level or a word needs to have a column of its own
SAMPLE_ROWS = 1000  # rows that are read to tell free text from categories

# Stands in every document, so that the vocabulary is never empty: CountVectorizer refuses that.
EVERYWHERE = "anytext"

# scikit-learn's leaves of one row give probabilities of exactly 0, which cost an unbounded log-loss.
FOREST = {"n_estimators": 200, "min_samples_leaf": 2}
BOOSTING = {
    "n_estimators": 200,
    "learning_rate": 0.05,
    "max_depth": 4,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "tree_method": "hist",
}

NUMBERS = {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}
DATES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "period"}

_str = np.frompyfunc(str, 1, 1)


def as_frame(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "get_columns"):  # polars; its own to_pandas() needs pyarrow
        return pd.DataFrame({column.name: column.to_numpy() for column in X.get_columns()})
    return pd.DataFrame(X.toarray() if sparse.issparse(X) else X)


def _is_free_text(column: pd.Series) -> bool:
    known = column.dropna()
    texts = known.iloc[:: len(known) // SAMPLE_ROWS + 1]
    return texts.nunique() > MAX_CATEGORIES and texts.str.contains(r"\S\s+\S").mean() > 0.5


def column_kind(column: pd.Series) -> str:
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found in NUMBERS:
        return "number"
    if found in DATES and column.notna().any():  # no date at all: StandardScaler would warn
        return "date"
    return "text" if found == "string" and _is_free_text(column) else "category"


def _of_kind(kind: str, X: Any) -> list[int]:
    # Positions serve arrays too; where columns have names, the ColumnTransformer goes on by name.
    frame = as_frame(X)
    return [i for i in range(frame.shape[1]) if column_kind(frame.iloc[:, i]) == kind]


# Functions of the module, not lambdas or partials: a fold model is pickled on its way between processes.


def _number_columns(X: Any) -> list[int]:
    return _of_kind("number", X)


def _date_columns(X: Any) -> list[int]:
    return _of_kind("date", X)


def _category_columns(X: Any) -> list[int]:
    return _of_kind("category", X)


def _text_columns(X: Any) -> list[int]:
    return _of_kind("text", X)


def _as_csr(X: Any) -> Any:
    """Any table as the one sparse format that every learner takes, in old versions too."""
    return sparse.csr_matrix(X)


def _to_numbers(X: Any) -> np.ndarray:
    frame = as_frame(X)
    # A column of numbers may come as text or objects in the rows to predict: what is no number is missing.
    if not all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes):
        frame = frame.apply(pd.to_numeric, errors="coerce")
    numbers = frame.to_numpy(dtype=float, na_value=np.nan)
    return check_array(numbers, ensure_all_finite="allow-nan", input_name="X")


def _days(column: pd.Series) -> pd.Series:
    if pd.api.types.infer_dtype(column, skipna=True).startswith("timedelta"):
        return pd.to_timedelta(column, errors="coerce").dt.total_seconds() / 86400
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.start_time
    since = pd.to_datetime(column, errors="coerce", utc=True) - pd.Timestamp(0, tz="UTC")
    return since.dt.total_seconds() / 86400


def _to_days(X: Any) -> np.ndarray:
    return as_frame(X).apply(_days).to_numpy(dtype=float, na_value=np.nan)


def _to_text(X: Any) -> np.ndarray:
    # One spelling for None, NaN and NA, and no mixed types: the encoder cannot sort 1 and "a".
    values = as_frame(X).astype(object).to_numpy()
    return np.where(pd.isna(values), "", _str(values))


def _to_documents(X: Any) -> list[str]:
    return [" ".join((EVERYWHERE, *row)) for row in _to_text(X)]


# What fitted default learners hold by name: a saved model may ask for these functions, and for no others here.
FUNCTIONS = (
    _number_columns,
    _date_columns,
    _category_columns,
    _text_columns,
    _as_csr,
    _to_numbers,
    _to_days,
    _to_text,
    _to_documents,
)


def _function(func: Callable[..., Any]) -> FunctionTransformer:
    # Arrays between the steps, also under scikit-learn's global `transform_output="pandas"`.
    return FunctionTransformer(func, feature_names_out="one-to-one").set_output(transform="default")


def _preprocessing(number_steps: Callable[[], list[Any]]) -> ColumnTransformer:
    levels = OneHotEncoder(
        # A level that the training rows do not have counts as a rare one; ordinal codes cannot say that.
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        min_frequency=MIN_FREQUENCY,
        sparse_output=False,
    )
    words = CountVectorizer(binary=True, max_features=MAX_WORDS, min_df=MIN_FREQUENCY)
    # Centred, because 32-bit floats (inside trees) do not tell the minutes of a day near 20,000 apart.
    dates = make_pipeline(_function(_to_days), StandardScaler(), *number_steps())
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(_function(_to_numbers), *number_steps()), _number_columns),
            ("dates", dates, _date_columns),
            ("categories", make_pipeline(_function(_to_text), levels), _category_columns),
        ],
        sparse_threshold=0,
    ).set_output(transform="default")
    # Only now: a vectorizer has no set_output, and the call above would trip over it.
    columns.transformers.append(("text", make_pipeline(_function(_to_documents), words), _text_columns))
    return columns


def _imputed_and_scaled() -> list[Any]:
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return [imputer, StandardScaler()]


def scaled_preprocessing() -> ColumnTransformer:
    """For learners that measure distances or slopes: no missing values, one scale, dense."""
    return _preprocessing(_imputed_and_scaled)


def tree_preprocessing() -> ColumnTransformer:
    """For trees: numbers stay as they are, missing ones too."""
    return _preprocessing(list)


def sparse_preprocessing() -> Pipeline:
    """For sparse matrices: scaled without centring, so that zeros stay zeros."""
    return make_pipeline(_function(_as_csr), MaxAbsScaler()).set_output(transform="default")


def _neighbors(X: Any) -> dict[str, Any]:
    # With 15, an eighth of the Titanic's rows get a probability of exactly 0 or 1; with 30, one in fifty.
    # A quarter of the rows is what the training part of two nested 2-fold splits still holds.
    most = 30 if X is None else np.shape(X)[0] // 4
    return {"n_neighbors": max(1, min(30, most)), "weights": "distance"}


def _networks() -> ModuleType:
    return import_module("stackkit.nn")  # loads torch, which `import stackkit` must not pay


def _classifiers(X: Any) -> dict[str, Any]:
    from xgboost import XGBClassifier  # noqa: PLC0415  # a slow import that `import stackkit` must not pay

    return {
        "logistic": LogisticRegression(max_iter=1000),
        "knn": KNeighborsClassifier(**_neighbors(X)),
        # Columns made from one text or category are far from independent; without this much smoothing
        # the product over them is certain of everything.
        "naive_bayes": GaussianNB(var_smoothing=1.0),
        "random_forest": RandomForestClassifier(**FOREST),
        "extra_trees": ExtraTreesClassifier(**FOREST),
        "xgboost": XGBClassifier(**BOOSTING),
        "bn_mlp": _networks().BNMLPClassifier(),
    }


def _regressors(X: Any) -> dict[str, Any]:
    from xgboost import XGBRegressor  # noqa: PLC0415  # a slow import that `import stackkit` must not pay

    return {
        # The leave-one-out formula of RidgeCV needs a dense decomposition of X.
        "ridge": Ridge() if sparse.issparse(X) else RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)),
        "knn": KNeighborsRegressor(**_neighbors(X)),
        "random_forest": RandomForestRegressor(max_features=0.5, **FOREST),
        "extra_trees": ExtraTreesRegressor(max_features=0.5, **FOREST),
        "xgboost": XGBRegressor(**BOOSTING),
        "bn_mlp": _networks().BNMLPRegressor(),
    }


def _preparation(name: str, X: Any) -> ColumnTransformer | Pipeline:
    if sparse.issparse(X):
        return sparse_preprocessing()
    if name in {"random_forest", "extra_trees", "xgboost"}:
        return tree_preprocessing()
    return scaled_preprocessing()


def default_learners(task: str, X: Any = None) -> list[tuple[str, Any]]:
    """Make a varied set of learners that take a raw table.

    Each one is an unfitted pipeline of two steps, ``"prepare"`` and ``"learner"``. The preparation
    finds out at ``fit``, from the training rows alone, which columns are numbers, dates, categories
    or free text, and encodes them for its learner: a frame with names, missing values, dates and
    categories goes in as it is, and so does an array. However many different values a column has,
    it becomes a bounded number of columns.

    Parameters
    ----------
    task : {"classification", "regression"}
        What the learners are for.
    X : table, default=None
        The training data, where they are known already. For a scipy sparse matrix, the learners are
        prepared for sparse input: scaled and not centred, missing values not filled in, and without
        naive Bayes and the network, which need a dense matrix. With few rows, k-NN asks fewer neighbours. Nothing
        is learned from ``X`` here. None gives the learners for data frames and dense arrays.

    Returns
    -------
    learners : list of (str, Pipeline)
        ``"logistic"``, ``"knn"``, ``"naive_bayes"``, ``"random_forest"``, ``"extra_trees"``,
        ``"xgboost"`` and ``"bn_mlp"`` for classification; ``"ridge"``, ``"knn"``, ``"random_forest"``,
        ``"extra_trees"``, ``"xgboost"`` and ``"bn_mlp"`` for regression. Parameters are set as in every pipeline:
        ``set_params(learner__C=0.1)``; weights go in as ``learner__sample_weight``.

    Raises
    ------
    ValueError
        If ``task`` is neither of the two.

    Examples
    --------
    >>> import pandas as pd
    >>> from stackkit import default_learners
    >>> ships = pd.DataFrame({
    ...     "rig": ["sloop", "brig", None, "sloop", "brig", "sloop"],
    ...     "built": pd.to_datetime(["1801", None, "1833", "1840", "1812", "1825"], format="%Y"),
    ...     "length": [11.5, 24.0, 30.1, None, 26.3, 12.2],
    ... })
    >>> learners = dict(default_learners("regression", ships))
    >>> list(learners)
    ['ridge', 'knn', 'random_forest', 'extra_trees', 'xgboost', 'bn_mlp']
    >>> crew = learners["ridge"].fit(ships, [6, 14, 16, 5, 15, 7]).predict(ships)
    >>> crew.shape
    (6,)
    """
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    learners = _classifiers(X) if task == "classification" else _regressors(X)
    if sparse.issparse(X):
        for dense in ("naive_bayes", "bn_mlp"):
            learners.pop(dense, None)
    return [
        (name, Pipeline([("prepare", _preparation(name, X)), ("learner", learner)]))
        for name, learner in learners.items()
    ]
