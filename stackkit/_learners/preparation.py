"""Preprocessing that lets a raw data frame go into any learner.

One definition serves frames and arrays. Which columns are numbers, dates, categories or free text is
asked at ``fit``, of the rows of that fit alone: inside a fold nothing is learned from the rows that
the fold will predict.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)

from stackkit._data import format_of_column
from stackkit._learners.calendar import CalendarColumns, format_of_dates
from stackkit._learners.earlier import EARLIER
from stackkit._learners.frames import as_frame
from stackkit._learners.number_columns import NumberColumns, bounded

MAX_CATEGORIES = 20  # columns that one categorical column may become
MAX_CODES = 255  # categories that one column may keep where they need no columns of their own
MAX_WORDS = 30  # columns that all free text together may become
MIN_FREQUENCY = 3  # training rows that a level or a word needs to have a column of its own
OFTEN = 5  # rows per value from which on texts are categories
MOST_DEVIATIONS = 1e6  # of a scaled number: training rows have at most as many as the root of their number
SAMPLE_ROWS = 1000  # rows that are read to tell free text from categories

# Stands in every document, so that the vocabulary is never empty: CountVectorizer refuses that.
EVERYWHERE = "anytext"

NUMBERS = {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}
MIXED = {"string", "mixed", "mixed-integer"}  # which may be numbers that are written as text
DATES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "period"}

_str = np.frompyfunc(str, 1, 1)


def _is_free_text(column: pd.Series) -> bool:
    known = column.dropna()
    texts = known.iloc[:: len(known) // SAMPLE_ROWS + 1]
    # Names of towns have blanks, too; but what comes again and again is a category.
    differ = texts.nunique() > max(MAX_CATEGORIES, len(texts) / OFTEN)
    return differ and texts.str.contains(r"\S\s+\S").mean() > 0.5


def column_kind(column: pd.Series) -> str:
    """number, date, category, text, or empty: without a value."""
    if column.isna().all():
        return "empty"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found in NUMBERS or (found in MIXED and format_of_column(column) is not None):
        return "number"
    if found in DATES or (found == "string" and format_of_dates(column) is not None):
        return "date"
    return "text" if found == "string" and _is_free_text(column) else "category"


def _kinds(X: Any) -> list[str]:
    frame = as_frame(X)
    kinds = [column_kind(column) for _, column in frame.items()]
    # Columns without a value are left out; of nothing else, one becomes a constant, for learners need a column.
    return ["category", *kinds[1:]] if set(kinds) == {"empty"} else kinds


# Of the table that a preparation is being fitted to: it is asked for each kind.
_KINDS_OF_THIS_FIT: ContextVar[list[str] | None] = ContextVar("kinds", default=None)


def _of_kind(kind: str, X: Any) -> list[int]:
    # Positions serve arrays too; where columns have names, the ColumnTransformer goes on by name.
    kinds = _KINDS_OF_THIS_FIT.get() or _kinds(X)
    return [i for i, found in enumerate(kinds) if found == kind]


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


def _to_text(X: Any) -> np.ndarray:
    # One spelling for None, NaN and NA, and no mixed types: the encoder cannot sort 1 and "a".
    values = as_frame(X).astype(object).to_numpy()
    return np.where(pd.isna(values), "", _str(values))


def _to_documents(X: Any) -> list[str]:
    return [" ".join((EVERYWHERE, *row)) for row in _to_text(X)]


def _same_names(transformer: FunctionTransformer, names: Any) -> Any:
    """Names of columns that stay what they are: with a callable, where "one-to-one" gives None for names unknown.

    scikit-learn's HTML diagram asks for the names before there are any, and takes an error for an answer, but not None.
    """
    if names is None:
        raise NotFittedError(f"This {type(transformer).__name__} is not fitted yet, and knows no names of columns.")
    return names


def _within_bounds(scaled: np.ndarray) -> np.ndarray:
    # New rows alone may be so far off, and then overflow what is computed of them.
    return bounded(scaled, MOST_DEVIATIONS)


# What fitted default learners hold by name: a saved model may ask for these functions, and for no others here.
FUNCTIONS = (
    as_frame,
    _number_columns,
    _date_columns,
    _category_columns,
    _text_columns,
    _as_csr,
    _to_text,
    _to_documents,
    _within_bounds,
    _same_names,
    *EARLIER,
)


def _function(func: Callable[..., Any]) -> FunctionTransformer:
    # Arrays between the steps, also under scikit-learn's global `transform_output="pandas"`.
    return FunctionTransformer(func, feature_names_out=_same_names).set_output(transform="default")


class TablePreparation(ColumnTransformer):
    """The preprocessing of this file, known by its class to `_model.shared_preparation` and to model files.

    It makes dense arrays out of columns that are picked at ``fit``.
    """

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """As scikit-learn's, with one look at what kind each column is of."""
        token = _KINDS_OF_THIS_FIT.set(_kinds(X))
        try:
            return super().fit_transform(X, y, **params)
        finally:
            _KINDS_OF_THIS_FIT.reset(token)

    @property
    def _sk_visual_block_(self) -> Any:
        # One box in scikit-learn's diagram: each learner has a preparation, and a stack of them was 5,000 pixels wide.
        raise AttributeError


class CodedPreparation(TablePreparation):
    """The same with one column per category, for learners that split by categories.

    ``transform`` gives codes. ``fit_transform``, which a pipeline calls in its ``fit``, gives a frame, whose dtypes
    tell the learner which columns these are.
    """

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> pd.DataFrame:
        table = pd.DataFrame(super().fit_transform(X, y, **params))
        codes = range(table.shape[1])[self.output_indices_["categories"]]
        return table.astype(dict.fromkeys(codes, "category"))


def prepares_tables(learner: Any) -> bool:
    """Whether it begins with a preparation of raw tables, as the default learners do."""
    return isinstance(learner, Pipeline) and isinstance(learner.steps[0][1], TablePreparation)


def _columns(first: type[TablePreparation], levels: Any, number_steps: list[Any], *, waves: bool) -> TablePreparation:
    words = CountVectorizer(binary=True, max_features=MAX_WORDS, min_df=MIN_FREQUENCY)
    dates = [_function(as_frame), CalendarColumns(waves=waves)]
    columns = first(
        [
            ("numbers", make_pipeline(NumberColumns(), *number_steps), _number_columns),
            ("dates", make_pipeline(*dates, *clone(number_steps)), _date_columns),
            ("categories", make_pipeline(_function(_to_text), levels), _category_columns),
        ],
        sparse_threshold=0,
    ).set_output(transform="default")
    # Only now: a vectorizer has no set_output, and the call above would trip over it.
    columns.transformers.append(("text", make_pipeline(_function(_to_documents), words), _text_columns))
    return columns


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(
        # A level that the training rows do not have counts as a rare one; ordinal codes cannot say that.
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        min_frequency=MIN_FREQUENCY,
        sparse_output=False,
    )


def _imputed_and_scaled() -> list[Any]:
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return [imputer, StandardScaler(), _function(_within_bounds)]


def scaled_preprocessing() -> TablePreparation:
    """For learners that measure distances or slopes: no missing values, one scale, dense."""
    return _columns(TablePreparation, _one_hot(), _imputed_and_scaled(), waves=True)


def spline_preprocessing() -> TablePreparation:
    """For linear models that bend: each number becomes pieces of a curve, which is level where no training row was."""
    curve = SplineTransformer(n_knots=5, degree=2, knots="quantile", extrapolation="constant")
    return _columns(TablePreparation, _one_hot(), [*_imputed_and_scaled(), curve, StandardScaler()], waves=True)


def tree_preprocessing() -> TablePreparation:
    """For trees: numbers stay as they are, missing ones too."""
    return _columns(TablePreparation, _one_hot(), [], waves=False)


def coded_preprocessing() -> CodedPreparation:
    """For boosting that splits by categories: a code per category, and none for one that is new."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_CODES, min_frequency=2
    )
    return _columns(CodedPreparation, codes, [], waves=False)


def network_preprocessing() -> CodedPreparation:
    """For networks that learn what their categories mean: codes of all levels, and numbers as for slopes."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = _columns(CodedPreparation, codes, _imputed_and_scaled(), waves=True)
    # Before the numbers: how many columns these become may differ between folds, which are trained as one table.
    columns.transformers.sort(key=lambda named: named[0] != "categories")
    return columns


def sparse_preprocessing() -> Pipeline:
    """For sparse matrices: scaled without centring, so that zeros stay zeros."""
    return make_pipeline(_function(_as_csr), MaxAbsScaler()).set_output(transform="default")
