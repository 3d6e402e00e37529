"""Tables into files, and whether that will be possible, before the work."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path
from typing import Literal

import pandas as pd

from stackkit._utils import draft_of
from stackkit.cli.reading import packing_of
from stackkit.cli.tables import STDIN, TableError, cause_of
from stackkit.cli.typed_files import is_feather, is_parquet, polars_for

_SUFFIXES = "Use .csv, .csv.gz, .csv.bz2, .csv.xz, .parquet or .feather"


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """CSV, Parquet or Feather, by suffix."""
    if is_parquet(path) or is_feather(path):
        table = polars_for(path).DataFrame({name: frame[name].to_list() for name in frame})
        (table.write_parquet if is_parquet(path) else table.write_ipc)(path)
        return
    texts = chain(frame.columns, *(frame[name] for name in frame.select_dtypes(exclude="number")))
    # Python's csv quotes no "\r" where lines end in "\n", and would then read it as an end.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if any("\r" in text for text in texts) else csv.QUOTE_MINIMAL
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    frame.to_csv(path, index=False, lineterminator="\n", sep=delimiter, quoting=quoting)


def check_suffix(path: Path) -> None:
    if is_parquet(path) or is_feather(path):
        polars_for(path)
    elif packing_of(path) is None:
        raise TableError(path, f"the name does not tell what kind of table it is. {_SUFFIXES}.")


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
    files = {name: path for name, path in read.items() if path != STDIN}
    if len(files) + 1 < len(read):
        raise TableError(STDIN, f"is {' and '.join(set(read) - set(files))}; it can be one of these only")
    paths = files | written
    names = list(paths)
    for name, path in written.items():
        for other in names[: names.index(name)]:
            rival = paths[other]
            if path.resolve() == rival.resolve() or (path.exists() and rival.exists() and path.samefile(rival)):
                raise TableError(path, f"is both {other} and {name}; choose another name")
