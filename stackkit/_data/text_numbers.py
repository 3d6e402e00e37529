"""Numbers that are written as text: "1,234.50", "$12,300", "12 %", "10 EUR", "1.234,5".

All texts of a column are read in one way, or none is. A text that could be read in two ways, and codes such as
"007", stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

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
_GROUPED = {
    "": r"\d+",
    ",": r"\d+|[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}",  # in India also groups of two
    ".": r"\d+|[1-9]\d{0,2}(?:\.\d{3})+",
    " ": rf"\d+|[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+",
    "'": r"\d+|[1-9]\d{0,2}(?:['\u2019]\d{3})+",
}
_BEFORE = r"(?:[A-Z]{1,3})?[$€£¥₹]|[A-Z]{3}(?=\s)"
_AFTER = r"%|‰|[$€£¥₹]|°[CF]?|[^\W\d_]{1,6}[²³]?(?:/[^\W\d_]{1,6}[²³]?)?"
_TEXT = re.compile(
    rf"(?P<sign>[+\-\u2212]?)(?P<before>{_BEFORE}|)\s*(?P<inner>[+\-\u2212]?)"
    rf"(?P<digits>\.?\d(?:[\d.,'\u2019{_SPACES}]*\d)?[.,]?(?:[eE][+\-]?\d+)?)\s*(?P<after>{_AFTER}|)"
)
_CODE = re.compile(r"0\d+")
_WHOLE = re.compile(r"\d+")


class _Parts(NamedTuple):
    negative: bool
    before: str
    digits: str
    after: str


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
        numbers = [self._number(text) for text in texts]
        return np.array(numbers, dtype=float)

    def _number(self, text: str) -> float:
        parts = _parts(text)
        if parts is None or parts.before not in ("", self.before) or parts.after not in ("", self.after):
            return np.nan
        if not _pattern(self.thousands, self.decimal).fullmatch(parts.digits):
            return np.nan
        digits = parts.digits
        if self.thousands:
            digits = re.sub(rf"[{_SPACES}]" if self.thousands == " " else f"[{self.thousands}\u2019]", "", digits)
        value = float(digits.replace(self.decimal, "."))
        return -value if parts.negative else value


_WAYS = ((",", "."), (" ", "."), ("'", "."), (".", ","), (" ", ","))  # between thousands, before decimals


def stands_for_missing(text: str) -> bool:
    """Whether a text among numbers says that there is none."""
    return text.strip().lower() in _NO_NUMBER


def number_format(texts: Iterable[str]) -> NumberFormat | None:
    """The one format in which all these texts are numbers; None where there is none, or nothing but missing values."""
    known = [text for text in texts if not stands_for_missing(text)]
    if not known or any(_parts(text) is None for text in known[:_FEW]):
        return None
    found = [_parts(text) for text in known]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found) or len({(part.before, part.after) for part in parts}) > 1:
        return None
    digits = [part.digits for part in parts]
    if _are_codes(digits):
        return None
    fitting = (way for way in _WAYS if all(map(_pattern(*way).fullmatch, digits)))
    way = next((way for way in fitting if _is_sure(*way, digits)), None)
    return None if way is None else NumberFormat(parts[0].before, *way, parts[0].after)


def _parts(text: str) -> _Parts | None:
    text = text.strip()
    found = _TEXT.fullmatch(text) if len(text) <= MOST_LETTERS else None
    if found is None or (found["sign"] and found["inner"]):
        return None
    negative = (found["sign"] or found["inner"]) in ("-", "\u2212")
    return _Parts(negative, found["before"].strip(), found["digits"], found["after"])


@cache
def _pattern(thousands: str, decimal: str) -> re.Pattern[str]:
    point = re.escape(decimal)
    exponent = r"(?:[eE][+\-]?\d+)?" if decimal == "." else ""
    return re.compile(rf"(?:(?:{_GROUPED[thousands]})(?:{point}\d*)?|{point}\d+){exponent}")


def _are_codes(digits: list[str]) -> bool:
    """Whole numbers with a leading zero, or too long for a number."""
    if not all(map(_WHOLE.fullmatch, digits)):
        return False
    return any(_CODE.fullmatch(text) or len(text) > MOST_DIGITS for text in digits)


def _is_sure(thousands: str, decimal: str, digits: list[str]) -> bool:
    """Points between thousands look like decimals: some number must have both marks, or two such points."""
    if decimal == "." or thousands != "." or not any("." in text for text in digits):
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
    codes, texts = pd.factorize(values[are_texts])
    numbers[are_texts] = format_.read(texts)[codes]
    numbers[~are_texts] = [_as_float(value) for value in values[~are_texts]]
    return numbers


def _as_float(value: Any) -> float:
    if not isinstance(value, int | float | np.number | np.bool | Decimal):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return float(np.finfo(float).max) * (1 if value > 0 else -1)
