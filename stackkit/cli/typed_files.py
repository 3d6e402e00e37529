"""Tables from files that know the types of their values: Parquet, Feather, Excel."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import pandas as pd

from stackkit.cli.tables import ReadOptions, Say, TableError, TextTable, called, cause_of, with_names

PARQUET = (".parquet", ".pq")
FEATHER = (".feather", ".arrow", ".ipc")
EXCEL = (".xlsx", ".xlsm")
_OLD_EXCEL = (".xls", ".xlsb", ".ods")
MOST_WHOLE = 1e15  # larger floats are not written as whole numbers


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in PARQUET


def is_feather(path: Path) -> bool:
    return path.suffix.lower() in FEATHER


def is_typed(path: Path) -> bool:
    return path.suffix.lower() in (*PARQUET, *FEATHER, *EXCEL, *_OLD_EXCEL)


def polars_for(path: Path) -> Any:
    try:
        import polars as pl  # noqa: PLC0415  # optional
    except ImportError:
        raise TableError(path, "Parquet and Feather files need polars; run: pip install 'stackkit[parquet]'") from None
    return pl


def read_typed(path: Path, say: Say, options: ReadOptions) -> TextTable:
    suffix = path.suffix.lower()
    if suffix in _OLD_EXCEL:
        raise TableError(path, f"{suffix} files cannot be read; save it as .xlsx or .csv")
    if suffix in EXCEL:
        return _read_excel(path, say, options)
    pl = polars_for(path)
    read = pl.read_parquet if is_parquet(path) else pl.read_ipc
    try:
        frame = read(path.open("rb"))
    except pl.exceptions.PolarsError as error:
        what = "Parquet" if is_parquet(path) else "Feather"
        raise TableError(path, f"is no {what} file that can be read ({cause_of(error)})") from None
    if not frame.height:
        raise TableError(path, "holds the names of columns and no rows")
    found = [_texts_of(path, column, pl) for column in frame.get_columns()]
    rows = pd.DataFrame({place: texts for place, (texts, _) in enumerate(found)}, dtype=object)
    texts, _ = with_names(path, frame.columns, rows, say)  # which differ in such files
    kinds = dict(zip(frame.columns, (kind for _, kind in found), strict=True))
    return TextTable(path, texts, kinds={str(name): kinds.get(str(name), "text") for name in texts}, options=options)


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


# --- Excel ----------------------------------------------------------------------------------------------


def _read_excel(path: Path, say: Say, options: ReadOptions) -> TextTable:
    """The first sheet. Its cells become text: many a column of numbers has a few cells of text."""
    try:
        from openpyxl import load_workbook  # noqa: PLC0415  # optional
        from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415
    except ImportError:
        raise TableError(path, "Excel files need openpyxl; run: pip install 'stackkit[excel]'") from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise TableError(path, f"is no Excel file that can be read ({cause_of(error)})") from None
    try:
        sheet, n_sheets = book.worksheets[0], len(book.worksheets)
        if n_sheets > 1:
            say(f"{called(path)}: has {n_sheets} sheets, of which the first is read, {sheet.title!r}")
        sheet.reset_dimensions()  # which some programs write wrongly
        cells = [[_text_of(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    finally:
        book.close()
    filled = [(number, row) for number, row in enumerate(cells, 1) if any(map(str.strip, row))]
    if not filled:
        raise TableError(path, "is empty")
    width = max(len(row) for _, row in filled)
    (_, names), *rows = [(number, row + [""] * (width - len(row))) for number, row in filled]
    if not rows:
        raise TableError(path, "holds the names of columns and no rows")
    texts, repeated = with_names(path, names, pd.DataFrame([row for _, row in rows], dtype=object), say)
    numbers = tuple(number for number, _ in rows)
    return TextTable(path, texts, numbers, unit="row", repeated=repeated, options=options)


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST_WHOLE:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
