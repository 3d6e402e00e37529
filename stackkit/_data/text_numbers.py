"""Numbers that are written as text: "1,234.50", "$12,300", "12 %", "10 EUR", "1.234,5".

All texts of a column are read in one way, or none is. A text that could be read in two ways, and codes such as
"007", stay text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

# pandas' own list, which has no public name; "" and blanks count too.
MISSING = frozenset(
    ",#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null".split(",")  # noqa: SIM905
)
# What else stands for a missing number, among texts that are numbers.
_NO_NUMBER = frozenset(text.lower() for text in MISSING) | set("? - -- . n.a. inf -inf +inf infinity -infinity".split())  # noqa: SIM905
_FEW = 20  # values that tell nearly always whether a column is one of numbers
MOST_DIGITS = 15  # longer whole numbers are codes: a float does not tell them apart
MOST_LETTERS = 40  # of a number
MOST_CODES = 20  # different whole numbers of a category
LEAST_TIMES = 3  # that each of these comes, on the average

_SPACES = " \u00a0\u2009\u202f"
_MARKS = {",": ",", ".": ".", " ": _SPACES, "'": "'\u2019"}
_GROUPED = {
    "": r"\d+",
    ",": r"\d+|[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}",  # in India also groups of two
    ".": r"\d+|[1-9]\d{0,2}(?:\.\d{3})+",
    " ": rf"\d+|[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+",
    "'": r"\d+|[1-9]\d{0,2}(?:['\u2019]\d{3})+",
}
_SIGN = r"[+\-\u2212]?"
_BEFORE = r"(?:[A-Z]{1,3})?[$€£¥₹]|[A-Z]{3}(?=\s)"
_AFTER = r"%|‰|[$€£¥₹]|°[CF]?|[^\W\d_]{1,6}[²³]?(?:/[^\W\d_]{1,6}[²³]?)?"
_EXPONENT = r"(?:[eE][+\-]?\d+)?"
_TEXT = re.compile(
    rf"\s*{_SIGN}({_BEFORE}|)\s*{_SIGN}(\.?\d(?:[\d.,'\u2019{_SPACES}]*\d)?[.,]?{_EXPONENT})\s*({_AFTER}|)\s*"
)
_CODE = re.compile(r"0\d+")
_WHOLE = re.compile(r"\d+")
_WAYS = ((",", "."), (" ", "."), ("'", "."), (".", ","), (" ", ","))  # between thousands, before decimals


@dataclass(frozen=True)
class NumberFormat:
    """How a column writes its numbers.

    ``before`` and ``after`` stand around each of them, such as "$" and "%"; ``thousands`` stands between groups of
    digits, and ``decimal`` before decimals.
    """

    before: str = ""
    thousands: str = ""
    decimal: str = "."
    after: str = ""

    def read(self, texts: Iterable[str]) -> np.ndarray:
        """The numbers, NaN for what is none. What stands before or after a number may be left out."""
        match, point = _pattern(self, whole=False).fullmatch, {ord(self.decimal): "."}
        table = {ord(mark): None for mark in _MARKS.get(self.thousands, "")} | point
        found = [match(text) if len(text) <= MOST_LETTERS else None for text in texts]
        return np.array([np.nan if each is None else _number(each, table) for each in found], dtype=float)

    def fits(self, text: str) -> bool:
        """Whether that is a number written so, with all that stands before and after it."""
        return len(text) <= MOST_LETTERS and _pattern(self, whole=True).fullmatch(text) is not None


def _number(found: re.Match[str], table: dict[int, Any]) -> float:
    outer, inner, digits = found.groups()
    value = float(digits.translate(table))
    return -value if (outer or inner) in ("-", "\u2212") else value


@cache
def _pattern(how: NumberFormat, *, whole: bool) -> re.Pattern[str]:
    """A number written so; unless ``whole``, without what stands before or after it, too."""
    point, optional = re.escape(how.decimal), "" if whole else "?"
    exponent = _EXPONENT if how.decimal == "." else ""
    digits = rf"(?:(?:{_GROUPED[how.thousands]})(?:{point}\d*)?|{point}\d+){exponent}"
    before, after = (f"(?:{re.escape(text)}){optional}" for text in (how.before, how.after))
    # One sign at most, before or after what stands before the number.
    return re.compile(rf"\s*({_SIGN}){before}\s*((?<![+\-\u2212])[+\-\u2212]|)({digits})\s*{after}\s*")


def stands_for_missing(text: str) -> bool:
    """Whether a text among numbers says that there is none."""
    return text.strip().lower() in _NO_NUMBER


def number_format(texts: Iterable[str], decimal: str | None = None) -> NumberFormat | None:
    """The one format in which all these texts are numbers; None where there is none, or nothing but missing values.

    ``decimal`` stands before decimals, where that is known: then "1.234" is a thousand if that is a comma.
    """
    given = list(texts)
    known = [text for text in given[:_FEW] if not stands_for_missing(text)] or [
        text for text in given if not stands_for_missing(text)
    ]
    around = {None if found is None else found.group(1, 3) for found in map(_parts, known[:_FEW])}
    if len(around) != 1 or (first := around.pop()) is None:
        return None
    for how in _formats(first[0], first[1], decimal):
        match = _pattern(how, whole=True).fullmatch
        found = [match(text) for text in given]
        if all(each or stands_for_missing(text) for each, text in zip(found, given, strict=True)):
            digits = [each[3] for each in found if each]
            if not _are_codes(digits) and (decimal is not None or _is_sure(how, digits)):
                return how
    return None


def _formats(before: str, after: str, decimal: str | None) -> list[NumberFormat]:
    ways = [(thousands, mark) for thousands, mark in _WAYS if decimal in (None, mark)]
    return [NumberFormat(before, thousands, mark, after) for thousands, mark in ways]


def nearest_format(texts: Iterable[str], decimal: str | None = None) -> NumberFormat | None:
    """The format in which most of these texts are numbers; None where none of them is."""
    given = list(texts)
    around = Counter(found.group(1, 3) for text in given if (found := _parts(text)))
    if not around:
        return None
    (before, after), _ = around.most_common(1)[0]
    return max(_formats(before, after, decimal), key=lambda how: sum(map(how.fits, given)))


def _parts(text: str) -> re.Match[str] | None:
    """What stands before a number, the number, and what stands after it."""
    return _TEXT.fullmatch(text) if len(text) <= MOST_LETTERS else None


def _are_codes(digits: list[str]) -> bool:
    """Some have a leading zero; or all are whole numbers, and some are too long for a number."""
    if any(map(_CODE.fullmatch, digits)):
        return True
    return all(map(_WHOLE.fullmatch, digits)) and any(len(text) > MOST_DIGITS for text in digits)


def _is_sure(how: NumberFormat, digits: list[str]) -> bool:
    """Points between thousands look like decimals: some number must have both marks, or two such points."""
    if how.thousands != "." or not any("." in text for text in digits):
        return True
    return any(text.count(".") > 1 or ("." in text and "," in text) for text in digits)


def format_of_column(column: pd.Series) -> NumberFormat | None:
    """The format of a column of texts, or of texts and numbers, all of which are numbers; None for any other.

    Few different whole numbers, each of which comes again and again, are categories: who made texts of them said so.
    """
    known = column.dropna()
    if any(_other(value) for value in known.iloc[:_FEW]) or not all(map(_is_text_or_number, known)):
        return None
    counts = known.value_counts(sort=False)
    texts = [value for value in counts.index if isinstance(value, str)]
    found = number_format(texts)
    if found is None or len(texts) == len(counts):
        return None if _are_categories(texts, len(known)) else found
    return None if found.before or found.after else found


def _other(value: Any) -> bool:
    """Whether it is clear that a column with this value is not one of numbers."""
    if isinstance(value, str):
        return not stands_for_missing(value) and _parts(value) is None
    return not _is_number(value)


def _is_text_or_number(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _are_categories(texts: list[str], n_rows: int) -> bool:
    few = len(texts) <= min(MOST_CODES, n_rows / LEAST_TIMES)
    return few and all(_WHOLE.fullmatch(text.strip()) or stands_for_missing(text) for text in texts)


def numbers_of(column: pd.Series, format_: NumberFormat) -> np.ndarray:
    """A column of any type as numbers; NaN for what is none."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        found: np.ndarray = column.to_numpy(dtype=float, na_value=np.nan)
        return found
    values = column.astype(object).to_numpy()
    numbers = np.full(len(values), np.nan)
    are_texts = np.fromiter((isinstance(value, str) for value in values), bool, len(values))
    numbers[are_texts] = format_.read(values[are_texts])
    numbers[~are_texts] = [_as_float(value) for value in values[~are_texts]]
    return numbers


def _as_float(value: Any) -> float:
    if not isinstance(value, int | float | np.number | np.bool_ | Decimal):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return float(np.finfo(float).max) * (1 if value > 0 else -1)
