"""Tables from files, read strictly: what is wrong is said with its line, and nothing is guessed in silence.

Every field is text at first. What a column holds is found out from the training file alone; other files get the
same kinds.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import pandas as pd

from stackkit._data import MISSING, date_formats, dates_of
from stackkit._utils import closest, draft_of, why

Say = Callable[[str], None]

_PACKED: dict[str, Callable[..., Any]] = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TEXTS = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_SUFFIXES = "Use .csv, .csv.gz, .csv.bz2, .csv.xz or .parquet"
_DELIMITERS = {";": "semicolons", "\t": "tabs"}
_QUOTES = {
    "unexpected end of data": "a quote is opened in this row and never closed",
    "field larger than field limit": "a field has more than 131,072 characters; is a quote left open?",
    "expected after": "text follows a closing quote; a quote inside a quoted field has to be doubled",
}

_CODE = re.compile(r"\s*[+-]?0\d")


class TableError(ValueError):
    """A file cannot be used: which one, in which line, and why."""

    def __init__(self, path: Path, cause: str, line: int | None = None) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {cause}")


@dataclass(frozen=True)
class TextTable:
    """A file's columns as text, "" where a field is empty.

    ``lines`` holds the line on which each row begins; ``kinds`` what a Parquet file says of its columns. Each is
    empty for the other kind of file.
    """

    path: Path
    texts: pd.DataFrame
    lines: tuple[int, ...] = ()
    kinds: dict[str, str] | None = None

    @property
    def names(self) -> list[str]:
        return list(self.texts.columns)

    def error(self, cause: str, row: int | None = None) -> TableError:
        if row is None or not self.lines:
            return TableError(self.path, cause if row is None else f"row {row + 1}: {cause}")
        return TableError(self.path, cause, self.lines[row])


def guess_or_options(name: str, options: Sequence[str]) -> str:
    """A hint at the slip, or what there is to choose from."""
    guess = closest(name, options)
    if guess is not None:
        return f"did you mean {guess!r}?"
    more = "" if len(options) <= 12 else f" and {len(options) - 12} more"
    return f"there are {', '.join(map(repr, options[:12]))}{more}"


def cause_of(error: BaseException) -> str:
    """In the middle of a sentence."""
    text = why(error)
    return text[0].lower() + text[1:]


# --- reading ----------------------------------------------------------------------------------------


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in _PARQUET


def _opener(path: Path) -> Callable[..., Any]:
    """How the file is opened as text; by suffix, which is checked here."""
    packed = path.suffix.lower() if path.suffix.lower() in _PACKED else ""
    if Path(path.name.lower().removesuffix(packed)).suffix not in _TEXTS:
        raise TableError(path, f"the name does not tell what kind of table it is. {_SUFFIXES}.")
    return _PACKED[packed]


def check_suffix(path: Path) -> None:
    if is_parquet(path):
        _polars(path)
    else:
        _opener(path)


def read_table(path: Path, say: Say) -> TextTable:
    """All of a CSV or Parquet file, checked row by row."""
    if path.is_dir():
        raise TableError(path, "is a folder; name a file")
    try:
        return _read_parquet(path) if is_parquet(path) else _read_csv(path, say)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise TableError(path, f"is damaged ({cause_of(error)})") from error
    except OSError as error:
        raise TableError(path, f"cannot be read ({cause_of(error)})") from error


def _read_csv(path: Path, say: Say) -> TextTable:
    opener = _opener(path)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            return _parse(path, file, say)
    except UnicodeDecodeError:
        raise TableError(path, "is not UTF-8; save it as UTF-8", _first_undecodable(path, opener)) from None


def _first_undecodable(path: Path, opener: Callable[..., Any]) -> int | None:
    with opener(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


def _without_nul(path: Path, file: TextIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if "\0" in line:
            raise TableError(path, "holds a NUL byte; the file is damaged, or no text", number)
        yield line


def _parse(path: Path, file: TextIO, say: Say) -> TextTable:
    lines = _without_nul(path, file)
    first = next(lines, "")
    if not first.strip():
        if any(map(str.strip, lines)):
            raise TableError(path, "the first line is empty, and should name the columns", 1)
        raise TableError(path, "is empty")
    delimiter = _delimiter(path, first, say)
    records = _records(path, csv.reader(chain([first], lines), delimiter=delimiter, strict=True))
    _, names = next(records)
    _check_names(path, names, 1)
    rows, numbers = [], []
    for number, row in _without_empty(path, records):
        _check_row(path, row, names, number)
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise TableError(path, "holds the names of columns and no rows")
    return TextTable(path, pd.DataFrame(rows, columns=names, dtype=object), tuple(numbers))


def _delimiter(path: Path, header: str, say: Say) -> str:
    names = next(csv.reader([header]))
    for delimiter, words in _DELIMITERS.items():
        if len(names) == 1 and delimiter in header:
            say(f"{path}: columns are separated by {words}")
            return delimiter
    return ","


def _records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins on."""
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cause = next((cause for part, cause in _QUOTES.items() if part in str(error)), str(error))
            raise TableError(path, cause, start) from None
        yield start, row


def _without_empty(path: Path, records: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Empty lines are fine at the end, and nowhere else."""
    empty = None
    for number, row in records:
        if not row or (len(row) == 1 and row[0].isspace()):
            empty = empty or number
        elif empty:
            raise TableError(path, "an empty line between rows; delete it", empty)
        else:
            yield number, row


def _check_names(path: Path, names: list[str], line: int | None) -> None:
    blank = [number for number, name in enumerate(names, 1) if not name.strip()]
    if blank:
        cause = f"column {blank[0]} has no name; give it one, or leave it out (pandas: index=False)"
        raise TableError(path, cause, line)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TableError(path, f"two columns have the name {twice[0]!r}; rename one of them", line)


def _check_row(path: Path, row: list[str], names: list[str], line: int) -> None:
    if len(row) != len(names):
        cause = f"{len(row)} field(s) where the header has {len(names)}; a field with a delimiter in it needs quotes"
        raise TableError(path, cause, line)
    if len(row) > 1 and not any(map(str.strip, row)):
        raise TableError(path, "a row of nothing but blanks; delete it", line)


def _polars(path: Path) -> Any:
    try:
        import polars as pl  # noqa: PLC0415  # optional
    except ImportError:
        raise TableError(path, "Parquet files need polars; run: pip install 'stackkit[parquet]'") from None
    return pl


def _read_parquet(path: Path) -> TextTable:
    pl = _polars(path)
    try:
        frame = pl.read_parquet(path.open("rb"))
    except pl.exceptions.PolarsError as error:
        raise TableError(path, f"is no Parquet file that can be read ({cause_of(error)})") from None
    _check_names(path, frame.columns, None)
    if not frame.height:
        raise TableError(path, "holds the names of columns and no rows")
    texts, kinds = {}, {}
    for column in frame.get_columns():
        texts[column.name], kinds[column.name] = _texts_of(path, column, pl)
    return TextTable(path, pd.DataFrame(texts), kinds=kinds)


def _texts_of(path: Path, column: Any, pl: Any) -> tuple[pd.Series, str]:
    """Text that gives back the same number or date; column by column, since polars' own way needs pyarrow."""
    dtype, kind = column.dtype, "text"
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise TableError(path, f"the column {column.name!r} holds {dtype}, which no learner takes; leave it out there")
    if dtype.is_numeric():
        kind = "number"
    elif dtype in (pl.Date, pl.Datetime):
        kind = "date ISO8601"
    texts = column.cast(pl.String).fill_null("").to_list()
    return pd.Series(texts, dtype=object), kind


# --- what columns hold ------------------------------------------------------------------------------


def blank(texts: pd.Series) -> np.ndarray:
    """Which of them are empty, or blanks only."""
    return (texts.str.strip() == "").to_numpy(dtype=bool)


def missing(texts: pd.Series) -> np.ndarray:
    """Which of them stand for a missing value."""
    return texts.str.strip().isin(MISSING).to_numpy(dtype=bool)


def numbers_of(texts: pd.Series) -> np.ndarray:
    """NaN for what is no number. Python's own float() also takes 1_000; pandas does not."""
    return pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float)


def kind_of(name: str, texts: pd.Series, say: Say) -> str:
    """number, text, or date and its format: what all values that are there allow."""
    numbers = numbers_of(texts)
    rest = texts[np.isnan(numbers)]
    if len(rest) == 0 or missing(rest).all():
        whole = (numbers % 1 == 0) | np.isnan(numbers)
        return "text" if whole.all() and any(map(_CODE.match, texts.unique())) else "number"
    if len(rest) < len(texts) and not missing(texts[~np.isnan(numbers)]).all():
        return "text"  # numbers among other things: no dates
    formats = date_formats(pd.Series(rest[~missing(rest)].str.strip().unique(), dtype=object))
    if len(formats) > 1:
        say(
            f"the column {name!r} may be dates with the day or with the month first, and is read as text; "
            "write dates as 2024-12-31"
        )
    return f"date {formats[0]}" if len(formats) == 1 else "text"


def as_kind(table: TextTable, name: str, kind: str, rows: Any, say: Say) -> pd.Series:
    """A feature as numbers, dates or text. What does not fit its kind is missing, which is said."""
    texts = table.texts[name].iloc[rows]
    if kind == "text":
        return texts.mask(missing(texts), np.nan).reset_index(drop=True)
    if kind == "number":
        values = pd.Series(numbers_of(texts), index=texts.index)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            cause = f"the column {name!r} holds {texts.iloc[infinite[0]]!r}, which is no finite number; leave it empty"
            raise table.error(cause, int(texts.index[infinite[0]]))
    else:
        values = dates_of(texts, kind.removeprefix("date "))
    strays = texts[values.isna().to_numpy()]
    strays = strays[~missing(strays)]
    if len(strays):
        say(
            f"{table.path}: the column {name!r} has {len(strays)} value(s) that are no "
            f"{kind.partition(' ')[0]}, such as {strays.iloc[0]!r}; they count as missing"
        )
    return values.reset_index(drop=True)


# --- writing ----------------------------------------------------------------------------------------


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """CSV or Parquet, by suffix."""
    if is_parquet(path):
        pl = _polars(path)
        pl.DataFrame({name: frame[name].to_list() for name in frame}).write_parquet(path)
        return
    texts = chain(frame.columns, *(frame[name] for name in frame.select_dtypes(exclude="number")))
    # Python's csv quotes no "\r" where lines end in "\n", and would then read it as an end.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if any("\r" in text for text in texts) else csv.QUOTE_MINIMAL
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    frame.to_csv(path, index=False, lineterminator="\n", sep=delimiter, quoting=quoting)


def check_writable(path: Path) -> None:
    """Find out before the work, not after it."""
    if path.is_dir():
        raise TableError(path, "cannot be written: it is a folder; name a file")
    draft = draft_of(path.resolve())
    try:
        draft.touch(exist_ok=False)
    except OSError as error:
        raise TableError(path, f"cannot be written ({cause_of(error)})") from error
    draft.unlink()


def check_apart(read: dict[str, Path], written: dict[str, Path]) -> None:
    """No file that is written may be one that is read, or another that is written."""
    paths = read | written
    names = list(paths)
    for name, path in written.items():
        for other in names[: names.index(name)]:
            rival = paths[other]
            if path.resolve() == rival.resolve() or (path.exists() and rival.exists() and path.samefile(rival)):
                raise TableError(path, f"is both {other} and {name}; choose another name")
