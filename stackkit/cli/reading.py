"""Tables from files and standard input: which kind of file, which encoding, what stands between columns.

Of text files every field is kept as it is spelled, and each row knows the line on which it begins.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from stackkit.cli.tables import STDIN, ReadOptions, Say, TableError, TextTable, called, cause_of, with_names
from stackkit.cli.typed_files import is_typed, read_typed

PACKED: dict[str, Callable[..., Any]] = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TEXTS = (".csv", ".tsv", ".txt")
SUFFIXES = "Use .csv, .csv.gz, .csv.bz2, .csv.xz, .parquet, .feather or .xlsx"
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t", "pipe": "|", "space": " "}  # in words
_WORDS = {";": "semicolons", "\t": "tabs", "|": "'|'"}
_DELIMITERS = (",", *_WORDS)
_SAMPLE = 30  # lines that tell what stands between columns
_EXCELS_HINT = re.compile(r'"?sep=(.)"?\s*')  # in a first line that Excel heeds
_NOT_ASCII = re.compile(r'[^\s,;|"]*[^\x00-\x7f][^\s,;|"]*')  # words
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, which begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = {
    b"PK\x03\x04": "is a zip archive; is it an Excel file? Then name it .xlsx, else unpack it",
    b"\xd0\xcf\x11\xe0": "is an old Excel file; save it as .xlsx or .csv",
    b"\x1f\x8b": "is packed; name it .csv.gz",
    b"PAR1": "is a Parquet file; name it .parquet",
}
_QUOTES = {
    "unexpected end of data": "a quote is opened in this row and never closed",
    "field larger than field limit": "a field has more than 131,072 characters; is a quote left open?",
    "expected after": "text follows a closing quote; a quote inside a quoted field has to be doubled",
}
Record = tuple[int, list[str]]


def read_table(path: Path, say: Say, options: ReadOptions = ReadOptions()) -> TextTable:  # noqa: B008 - it is frozen
    """All of a file, checked row by row."""
    if path.is_dir():
        raise TableError(path, "is a folder; name a file")
    try:
        if is_typed(path):
            return read_typed(path, say, options)
        return _read_text(path, say, options)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise TableError(path, f"is damaged ({cause_of(error)})") from error
    except OSError as error:
        raise TableError(path, f"cannot be read ({cause_of(error)})") from error


def packing_of(path: Path) -> str | None:
    """The suffix of how a text file is packed, "" where it is not; None where the name is not that of a text file."""
    packed = path.suffix.lower() if path.suffix.lower() in PACKED else ""
    return packed if Path(path.name.lower().removesuffix(packed)).suffix in TEXTS else None


def _bytes_of(path: Path) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    packed = packing_of(path)
    if packed is None:
        raise TableError(path, f"the name does not tell what kind of table it is. {SUFFIXES}.")
    with PACKED[packed](path, "rb") as file:
        data: bytes = file.read()
    return data


# --- encodings ----------------------------------------------------------------------------------------


def _decoded(path: Path, data: bytes, encoding: str | None, say: Say) -> str:
    cause = next((cause for magic, cause in _NO_TEXT.items() if data.startswith(magic)), None)
    if cause:
        raise TableError(path, cause)
    if encoding is not None:
        return _decoded_as(path, data, encoding)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _utf_16_without_mark(data)
    if marked:
        if marked != "utf-8-sig":
            say(f"{called(path)}: is read as {marked[:6].upper()}")
        return _decoded_as(path, data, marked)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _western(path, data, error, say)


def _decoded_as(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise ValueError(
            f"--encoding: there is no encoding {encoding!r}; use utf-8, utf-16, latin-1, cp1252 or another of Python's"
        ) from None
    except UnicodeError as error:
        start = getattr(error, "start", len(data))
        raise TableError(path, f"is not {encoding}; name another --encoding", _line_of(data, start)) from None


def _utf_16_without_mark(data: bytes) -> str | None:
    """Every other byte of a Western text is zero."""
    sample = data[:4000]
    zeros = [sample[first::2].count(0) for first in (0, 1)]
    most = 0.4 * len(sample)
    return "utf-16-be" if zeros[0] > most > zeros[1] else "utf-16-le" if zeros[1] > most > zeros[0] else None


def _western(path: Path, data: bytes, error: UnicodeDecodeError, say: Say) -> str:
    """Latin-1 as Windows has it; but no bytes that are broken in the midst of UTF-8."""
    line = _line_of(data, error.start)
    replaced = data.decode("utf-8", errors="replace")
    broken = replaced.count("\ufffd")
    whole = len(replaced) - len(replaced.encode("ascii", "ignore")) - broken
    if whole >= broken:
        raise TableError(path, "is UTF-8 with broken bytes; save it again as UTF-8, or name its --encoding", line)
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    words = dict.fromkeys(found[0] for found in islice(_NOT_ASCII.finditer(text), _SAMPLE))
    say(
        f"{called(path)}: is not UTF-8 in line {line}, and is read as Latin-1, with texts such as "
        f"{', '.join(map(repr, list(words)[:3]))}; if that is wrong, name its --encoding"
    )
    return text


def _line_of(data: bytes, place: int) -> int:
    return len(re.findall(rb"\r\n|\n|\r", data[:place])) + 1


# --- text ---------------------------------------------------------------------------------------------


def _read_text(path: Path, say: Say, options: ReadOptions) -> TextTable:
    text = _decoded(path, _bytes_of(path), options.encoding, say)
    lines = _without_nul(path, io.StringIO(text, newline=""))
    skipped = 0
    head = next(lines, "")
    while head and not head.strip():
        head, skipped = next(lines, ""), skipped + 1
    if not head:
        raise TableError(path, "is empty")
    hint = _EXCELS_HINT.fullmatch(head)
    if hint:
        head, skipped = next(lines, ""), skipped + 1
    sample = [head, *islice(lines, _SAMPLE - 1)]
    delimiter = options.sep or (hint[1] if hint else _delimiter(path, sample, say))
    records = _records(path, csv.reader(chain(sample, lines), delimiter=delimiter, strict=True), skipped)
    _, names = next(records)
    numbers, rows = [], []
    for number, row in _with_values(path, records, say):
        if len(row) != len(names):
            cause = (
                f"{len(row)} field(s) where the header has {len(names)}; a field with a delimiter in it needs quotes"
            )
            raise TableError(path, cause, number)
        numbers.append(number)
        rows.append(row)
    if not rows:
        raise TableError(path, "holds the names of columns and no rows")
    texts, repeated = with_names(path, names, pd.DataFrame(rows, dtype=object), say)
    return TextTable(path, texts, tuple(numbers), delimiter=delimiter, repeated=repeated, options=options)


def _without_nul(path: Path, file: io.StringIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if "\0" in line:
            raise TableError(path, "holds a NUL byte; the file is damaged, or no text", number)
        yield line


def _delimiter(path: Path, sample: Sequence[str], say: Say) -> str:
    """What splits the first lines into equally many columns; if nothing does, what splits the names."""
    whole = len(sample) < _SAMPLE
    found, of_names = None, None
    for mark in _DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(sample, delimiter=mark) if any(map(str.strip, row))]
        except csv.Error:  # which will be told with its line
            continue
        if counts and counts[0] > 1:
            of_names = of_names or mark
            alike = len(set(counts if whole or len(counts) < 3 else counts[:-1])) == 1  # the last one may go on below
            found = found or (mark if alike else None)
    mark = found or of_names or ","
    if mark in _WORDS:
        say(f"{called(path)}: columns are separated by {_WORDS[mark]}")
    return mark


def _records(path: Path, reader: Any, skipped: int) -> Iterator[Record]:
    """Each record with the line that it begins on."""
    while True:
        start = skipped + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cause = next((cause for part, cause in _QUOTES.items() if part in str(error)), str(error))
            raise TableError(path, cause, start) from None
        yield start, row


def _with_values(path: Path, records: Iterator[Record], say: Say) -> Iterator[Record]:
    """Without empty lines, and without rows of nothing but delimiters, as spreadsheets write them, which is said."""
    void = []
    for number, row in records:
        if len(row) > 1 and not any(map(str.strip, row)):
            void.append(number)
        elif row and not (len(row) == 1 and row[0].isspace()):
            yield number, row
    if void:
        say(f"{called(path)}: {len(void)} row(s) of nothing but blanks are left out, the first in line {void[0]}")
