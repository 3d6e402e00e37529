"""Columns of a table as plain learners need them: dates as numbers, text as strings or categories.

Nothing but pandas, NumPy and scikit-learn is imported: this runs wherever a system does.
"""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import make_column_selector

IS_TEXT = make_column_selector(dtype_exclude=["number", "bool", "datetime"])


class DateParts(TransformerMixin, BaseEstimator):
    """Each date as the days since 1970, year, month, day, weekday and hour; other columns as they are."""

    def fit(self, X, y=None):
        self.dates_ = list(X.select_dtypes("datetime"))
        return self

    def transform(self, X):
        parts = {}
        for name in self.dates_:
            date = X[name].dt
            parts[f"{name} days"] = (X[name] - pd.Timestamp(0)).dt.total_seconds() / 86400
            for part in ("year", "month", "day", "day_of_week", "hour"):
                parts[f"{name} {part}"] = getattr(date, part).astype(float)
        return pd.concat([X.drop(columns=self.dates_), pd.DataFrame(parts, index=X.index)], axis=1)


class Texts(TransformerMixin, BaseEstimator):
    """Columns of text, or of mixed values, as plain strings, a missing one as "missing"."""

    def fit(self, X, y=None):
        self.texts_ = IS_TEXT(X)
        return self

    def transform(self, X):
        plain = {name: X[name].astype(object).where(X[name].notna(), "missing").map(str) for name in self.texts_}
        return X.assign(**{name: column.astype(object) for name, column in plain.items()})


class Categories(Texts):
    """Columns of text as pandas' categories, those of the training rows: others are missing."""

    def fit(self, X, y=None):
        super().fit(X)
        self.levels_ = {name: X[name].dropna().map(str).unique() for name in self.texts_}
        return self

    def transform(self, X):
        texts = super().transform(X)
        known = {name: texts[name].where(texts[name].isin(levels)) for name, levels in self.levels_.items()}
        return texts.assign(**{name: pd.Categorical(known[name], self.levels_[name]) for name in known})


class Medians(TransformerMixin, BaseEstimator):
    """All columns but those of text as floats, a missing one as the median of the training rows, or 0 without any."""

    def fit(self, X, y=None):
        self.numbers_ = list(X.columns.drop(IS_TEXT(X)))
        self.medians_ = X[self.numbers_].astype(float).median().fillna(0.0)
        return self

    def transform(self, X):
        return X.assign(**X[self.numbers_].astype(float).fillna(self.medians_))


class AnyClasses(ClassifierMixin, BaseEstimator):
    """XGBoost wants the classes 0 to k - 1, and a fold of a rare class may lack one."""

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, X, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.classifier_ = clone(self.classifier).fit(X, codes)
        return self

    def predict_proba(self, X):
        return self.classifier_.predict_proba(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
