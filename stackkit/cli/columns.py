"""What columns hold: numbers, dates or text. All values of a training column have a say, and new rows follow it.

A kind is "text", "date" with its format, or "number" with how it is written where that is not the plain way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from stackkit._data import MISSING, NumberFormat, date_formats, dates_of, nearest_format, number_format
from stackkit._data import stands_for_missing as no_number
from stackkit._utils import some
from stackkit.cli.tables import Say, TableError, TextTable, called

_CODE = re.compile(r"\s*[+-]?0\d")
_DIGIT = re.compile(r"\d")
SAMPLE = 1000  # different values that tell whether most of a column are numbers
MOSTLY = 0.95  # of a column of numbers, where words among them count as missing
FEW_NUMBERS = 20  # as many different numbers may be categories beside others


@dataclass(frozen=True)
class Found:
    """What a training column holds. ``strays`` are texts among numbers; ``doubtful`` are dates of two meanings."""

    kind: str
    strays: tuple[str, ...] = ()
    doubtful: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind.startswith("number")


# --- texts --------------------------------------------------------------------------------------------


def blank(texts: pd.Series) -> np.ndarray:
    """Which of them are empty, or blanks only."""
    return (texts.str.strip() == "").to_numpy(dtype=bool)


def missing(texts: pd.Series) -> np.ndarray:
    """Which of them stand for a missing value."""
    return texts.str.strip().isin(MISSING).to_numpy(dtype=bool)


def missing_number(texts: pd.Series) -> np.ndarray:
    """Which of them stand for a missing number or date; "?" and "-" do so too."""
    return np.fromiter(map(no_number, texts), bool, len(texts))


def numbers_of(texts: pd.Series, kind: str = "number") -> np.ndarray:
    """NaN for what is no number. Python's own float() also takes 1_000; pandas does not."""
    how = kind.removeprefix("number").strip()
    if how:
        return NumberFormat(*json.loads(how)).read(texts)
    return pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float)


# --- training columns ---------------------------------------------------------------------------------


def kinds_of(table: TextTable, names: Sequence[str], rows: np.ndarray, say: Say) -> dict[str, Found]:
    """Of each of these columns; what a user may want to know of that is one note for all of them."""
    columns = {name: table.texts[name].iloc[rows] for name in names}
    known = table.kinds or {}
    decimal = table.options.decimal or _decimal_of(table, [columns[name] for name in names if name not in known])
    found = {name: Found(known[name]) if name in known else kind_of(texts, decimal) for name, texts in columns.items()}
    written = [_example(name, columns[name], each.kind) for name, each in found.items() if " " in each.kind]
    _tell(say, found, [text for text in written if text])
    return found


def kind_of(texts: pd.Series, decimal: str | None = None) -> Found:
    """What all values that are there allow; ``decimal`` is what stands before decimals, where that is known."""
    counts = texts.value_counts(sort=False)
    values = pd.Series(counts.index, dtype=object)
    numbers = numbers_of(values)
    there = ~np.isnan(numbers)
    there[~there] = ~missing_number(values[~there])
    values, numbers = values[there].reset_index(drop=True), numbers[there]
    if not np.isnan(numbers).any():
        return Found(_kind_of_plain(values, numbers, decimal))
    if np.isnan(numbers).all():
        formats = date_formats(pd.Series(values.str.strip().unique(), dtype=object))
        if formats:
            return Found(f"date {formats[0]}") if len(formats) == 1 else Found("text", doubtful=True)
    how = number_format(values, decimal)
    return Found(_kind(how)) if how else _mostly_numbers(values, counts[there].to_numpy(), decimal)


def _kind(how: NumberFormat) -> str:
    return f"number {json.dumps(astuple(how), ensure_ascii=False)}"


def _kind_of_plain(values: pd.Series, numbers: np.ndarray, decimal: str | None) -> str:
    """Codes such as 007 are text; and with decimal commas a point stands between thousands."""
    if (numbers == np.floor(numbers)).all() and any(map(_CODE.match, values)):
        return "text"
    with_point = decimal == "," and values.str.contains(".", regex=False).any()
    how = number_format(values, decimal) if with_point else None
    return _kind(how) if how else "number"


def _mostly_numbers(values: pd.Series, counts: np.ndarray, decimal: str | None) -> Found:
    """Text, but for a few words among many numbers; where at least half are numbers, the others are named."""
    how = nearest_format(values.iloc[:SAMPLE], decimal)
    if how is None:
        return Found("text")
    fits = values.map(how.fits).to_numpy(dtype=bool)
    are_many = fits.sum() > min(FEW_NUMBERS, counts.sum() / 3)
    strays = tuple(values[~fits])
    if not strays or not are_many or counts[fits].sum() < counts.sum() / 2:  # without strays they are codes
        return Found("text")
    others = kind_of(values[fits], decimal)
    if not others.is_number:  # codes
        return Found("text")
    words = not any(map(_DIGIT.search, strays))
    return Found(others.kind if words and counts[fits].sum() >= MOSTLY * counts.sum() else "text", strays)


def _decimal_of(table: TextTable, columns: Sequence[pd.Series]) -> str | None:
    """A comma if some column has decimal commas for certain: then the others have, too."""
    return "," if any(_has_commas(texts, table.delimiter == ";") for texts in columns) else None


def _has_commas(texts: pd.Series, semicolons: bool) -> bool:
    """Between ``semicolons``, where people write decimal commas, "1,234" is such a number if all have a comma."""
    if not texts.str.contains(",", regex=False).any():
        return False
    values = [text for text in texts.unique() if not no_number(text)]
    if number_format(values, ",") is None:
        return False
    return number_format(values, ".") is None or (semicolons and all(text.count(",") == 1 for text in values))


# --- what is said of them -----------------------------------------------------------------------------


def _example(name: str, texts: pd.Series, kind: str) -> str | None:
    """A text and its number, of a column whose numbers are not written the plain way."""
    if not kind.startswith("number"):
        return None
    values = texts[~np.isnan(numbers_of(texts, kind))]
    longest = str(values.iloc[values.str.len().to_numpy().argmax()]).strip()
    number = numbers_of(pd.Series([longest]), kind)[0]
    return f"{name!r} ({longest!r} is {number:.12g})"


def _tell(say: Say, found: dict[str, Found], written: list[str]) -> None:
    if written:
        say(f"numbers that are written as text are read as numbers: {some(written)}; if that is wrong, see --decimal")
    doubtful = [repr(name) for name, each in found.items() if each.doubtful]
    if doubtful:
        say(
            f"may be dates with the day or with the month first, and are read as text: {some(doubtful)}; write dates "
            "as 2024-12-31"
        )
    strays = [f"{name!r} ({_named(each)})" for name, each in found.items() if each.strays and each.is_number]
    if strays:
        say(f"words among numbers count as missing: {some(strays)}")
    texts = [f"{name!r} ({_named(each)})" for name, each in found.items() if each.strays and not each.is_number]
    if texts:
        say(
            f"read as text, since not all values are numbers that are written alike: {some(texts)}; if these "
            "stand for missing values, name them with --na"
        )


def _named(found: Found) -> str:
    return some(list(map(repr, found.strays)), 3)


# --- values -------------------------------------------------------------------------------------------


def values_of(table: TextTable, name: str, kind: str, rows: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """A column as numbers, dates or text, missing where it has none; and the texts that do not fit its kind."""
    texts = table.texts[name].iloc[rows]
    if kind == "text":
        return texts.mask(missing(texts), np.nan).reset_index(drop=True), texts.iloc[:0]
    if kind.startswith("number"):
        values = pd.Series(numbers_of(texts, kind), index=texts.index)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            cause = f"the column {name!r} holds {texts.iloc[infinite[0]]!r}, which is no finite number; leave it empty"
            raise table.error(cause, int(texts.index[infinite[0]]))
    else:
        values = dates_of(texts, kind.removeprefix("date "))
    strays = texts[values.isna().to_numpy() & ~missing_number(texts)]
    return values.reset_index(drop=True), strays


def new_values(table: TextTable, kinds: dict[str, str], say: Say) -> pd.DataFrame:
    """New rows, read as the training rows were. A column that is written in another way is an error.

    Words that no training row had among the numbers or dates of a column count as missing, which is said, unless most
    of a column are such.
    """
    rows, found = np.arange(len(table.texts)), {}
    odd: dict[str, pd.Series] = {}
    for name, kind in kinds.items():
        found[name], strays = values_of(table, name, kind, rows)
        if len(strays) and (any(map(_DIGIT.search, strays)) or len(strays) > found[name].notna().sum()):
            odd[name] = strays
        elif len(strays):
            say(
                f"{called(table.path)}: the column {name!r} has {len(strays)} value(s) that are no "
                f"{kind.partition(' ')[0]}, such as {strays.iloc[0]!r}; they count as missing"
            )
    if odd:
        raise _written_otherwise(table, odd, kinds)
    return pd.DataFrame(found)


def _written_otherwise(table: TextTable, odd: dict[str, pd.Series], kinds: dict[str, str]) -> TableError:
    told = [
        f"{name!r} has {len(strays)} value(s) that are no {kinds[name].partition(' ')[0]}, such as {strays.iloc[0]!r}"
        for name, strays in odd.items()
    ]
    first = min(int(strays.index[0]) for strays in odd.values())
    return table.error(
        f"not written as in the training file: {some(told, 3)}; write them as there, or name with --na what stands "
        "for a missing value",
        first,
    )
