"""The default learners' preparation taken apart, so that learners and folds share the work that is the same.

Each fold has a preparation of its own, and most of what these do to a row they all do alike: pick columns, turn them
into numbers or text. A preparation has the same steps in front of each learner of its kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from warnings import catch_warnings, simplefilter

import joblib
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from stackkit._data import is_pandas
from stackkit._learners import CodedPreparation, TablePreparation
from stackkit._members import FEW_ROWS, in_steps


@dataclass(frozen=True)
class ColumnSteps:
    """Some columns and what is done to them: each step with a key of the columns and of the steps so far."""

    columns: list[int]
    steps: list[tuple[str, Any]]

    def transform(self, X: Any, memo: dict[str, Any]) -> np.ndarray:
        found = self._after(len(self.steps), X, memo)
        return found.toarray() if sparse.issparse(found) else found

    def _after(self, n_steps: int, X: Any, memo: dict[str, Any]) -> Any:
        if n_steps == 0:
            return X.iloc[:, self.columns] if is_pandas(X) else X[:, self.columns]
        key, step = self.steps[n_steps - 1]
        if key not in memo:
            before = self._after(n_steps - 1, X, memo)
            if isinstance(step, Levels | Words):
                of_what = str(self.columns) if n_steps == 1 else self.steps[n_steps - 2][0]
                reading = f"{step.reads} of {of_what}"
                if reading not in memo:
                    memo[reading] = step.read(before)
                memo[key] = step.answer(memo[reading])
            else:
                memo[key] = step.transform(before)
        return memo[key]


@dataclass(frozen=True)
class SplitPreparation:
    """What a fitted preparation does, part by part; the results stand side by side.

    What is done already is in ``memo``, which serves all preparations of the same rows.
    """

    parts: list[ColumnSteps]
    shares_work: ClassVar[bool] = True

    def transform(self, X: Any, memo: dict[str, Any] | None = None) -> np.ndarray:
        memo = {} if memo is None else memo
        return np.hstack([part.transform(X, memo) for part in self.parts])


@dataclass(frozen=True)
class DifferentValues:
    """Columns of a table, each as the different values in it, and where among them that of each row is."""

    values: list[list[Any]]
    places: list[np.ndarray]


class Levels:
    """A fitted encoder of texts that looks them up, in a table of its own answers.

    The encoder itself sorts all rows in each call. Here texts are read once for all encoders of the same columns.
    """

    reads: ClassVar[str] = "different values"

    def __init__(self, encoder: OneHotEncoder | OrdinalEncoder) -> None:
        self.encoder = encoder
        self._unseen = "\0"
        known_levels = [known.tolist() for known in encoder.categories_]  # NumPy itself takes "\0" for ""
        while any(self._unseen in known for known in known_levels):
            self._unseen += "\0"
        levels = [[*known, self._unseen] for known in known_levels]
        base = np.array([[known[0] for known in levels]], dtype=object)
        self._base: np.ndarray = encoder.transform(base)[0]
        rows = np.repeat(base, sum(map(len, levels)), axis=0)
        places = np.repeat(np.arange(len(levels)), [len(known) for known in levels])
        rows[np.arange(len(rows)), places] = [level for known in levels for level in known]
        # What a level in a column adds to the answer for the base, of few kinds: rare levels have one column.
        self._added, kinds = np.unique(encoder.transform(rows) - self._base, axis=0, return_inverse=True)
        parts = np.split(kinds.ravel(), np.cumsum([len(known) for known in levels])[:-1])
        self._kinds: list[dict[str, int]] = [
            dict(zip(known, part.tolist(), strict=True)) for known, part in zip(levels, parts, strict=True)
        ]

    def transform(self, X: np.ndarray) -> np.ndarray:
        return self.answer(self.read(X))

    def read(self, X: np.ndarray) -> np.ndarray | DifferentValues:
        """Many rows by their different values; few as they are."""
        if len(X) <= FEW_ROWS:
            return X
        found = [pd.factorize(column, use_na_sentinel=False) for column in X.T]
        return DifferentValues([values.tolist() for _, values in found], [places for places, _ in found])

    def answer(self, rows: np.ndarray | DifferentValues) -> np.ndarray:
        """What the encoder makes of rows that were read."""
        if isinstance(rows, DifferentValues):
            return self._by_value(rows)
        kinds = [
            [kinds.get(level, kinds[self._unseen]) for level, kinds in zip(row, self._kinds, strict=True)]
            for row in rows.tolist()
        ]
        added: np.ndarray = self._added[np.array(kinds)].sum(axis=1)
        return self._base + added

    def _by_value(self, rows: DifferentValues) -> np.ndarray:
        answer: np.ndarray = np.repeat(self._base[np.newaxis], len(rows.places[0]), axis=0)
        for values, places, kinds in zip(rows.values, rows.places, self._kinds, strict=True):
            added = self._added[[kinds.get(value, kinds[self._unseen]) for value in values]]
            changed = np.flatnonzero((added != 0).any(axis=0))
            answer[:, changed] += added[:, changed][places]
        return answer


@dataclass(frozen=True)
class WordsOfRows:
    """Different words of some texts; ``places`` and ``rows`` say which of them stands where."""

    words: list[str]
    places: np.ndarray
    rows: np.ndarray
    n_rows: int


@dataclass(frozen=True)
class Words:
    """A fitted counter of words that tells which of its words each text has.

    All counters of the same settings, whose hash is ``reads``, take the texts apart alike, which is most of their work.
    """

    counter: CountVectorizer
    reads: str

    def read(self, texts: Sequence[str]) -> WordsOfRows:
        """Take the texts apart."""
        split = self.counter.build_analyzer()
        found = [split(text) for text in texts]
        places, words = pd.factorize(np.array([word for some in found for word in some], dtype=object))
        rows = np.repeat(np.arange(len(found)), [len(some) for some in found])
        return WordsOfRows(words.tolist(), places, rows, len(found))

    def answer(self, texts: WordsOfRows) -> np.ndarray:
        """One where a text has a word, (n, words)."""
        known = self.counter.vocabulary_
        column = np.array([known.get(word, -1) for word in texts.words], dtype=int)[texts.places]
        answer = np.zeros((texts.n_rows, len(known)), dtype=self.counter.dtype)
        answer[texts.rows[column >= 0], column[column >= 0]] = 1
        return answer


class TakesApart:
    """Takes preparations apart; encoders that are the same become one."""

    def __init__(self) -> None:
        self._encoders: dict[str, Levels] = {}

    def __call__(self, step: Any) -> Any:
        """The preparation in parts; any other step as it is, and one whose settings were changed."""
        if (
            type(step) not in (TablePreparation, CodedPreparation)
            or step.transformer_weights
            or step.remainder != "drop"
        ):
            return step
        names = getattr(step, "feature_names_in_", None)
        nothing = np.full((1, step.n_features_in_), np.nan)
        row = nothing if names is None else pd.DataFrame(nothing, columns=names)
        try:
            with catch_warnings():
                simplefilter("error")
                parts = SplitPreparation([self._part(*found) for found in step.transformers_ if len(found[2])])
                found, expected = parts.transform(row), step.transform(row)
        except Exception:  # noqa: BLE001 - whatever stands there now may fail in any way in parts
            return step
        alike = type(found) is type(expected) and found.dtype == expected.dtype and found.shape == expected.shape
        return parts if alike and np.array_equal(found, expected, equal_nan=True) else step

    def _part(self, _: str, pipeline: Any, columns: Sequence[int]) -> ColumnSteps:
        before, last = in_steps(pipeline)
        steps = (*before, last)
        if any(getattr(step, "copy", True) is False for step in steps):
            raise ValueError("What a step works on in place cannot be shared.")
        keys = [joblib.hash((list(columns), steps[: n + 1])) for n in range(len(steps))]
        return ColumnSteps(
            list(columns), [(key, self._quick(key, step)) for key, step in zip(keys, steps, strict=True)]
        )

    def _quick(self, key: str, step: Any) -> Any:
        if type(step) is CountVectorizer and step.binary:
            return Words(step, joblib.hash(step.get_params()))
        # With other settings they complain of unknown levels.
        dense = type(step) is OneHotEncoder and step.drop is None and not step.sparse_output
        one_hot = dense and step.handle_unknown == "infrequent_if_exist"
        codes = type(step) is OrdinalEncoder and step.handle_unknown == "use_encoded_value"
        if not (one_hot or codes):
            return step
        if key not in self._encoders:
            self._encoders[key] = Levels(step)
        return self._encoders[key]
