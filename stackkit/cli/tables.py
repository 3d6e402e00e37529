"""A file's table as text, and how its columns are called. What a field holds is found out later, in `columns.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from stackkit._utils import closest, some, why

Say = Callable[[str], None]

STDIN = Path("-")
UNNAMED = "Unnamed: "  # as pandas calls columns without a name
INDEX = (f"{UNNAMED}0", "__index_level_0__")  # what pandas calls an index that was written to a file


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of how files are written; None and () leave it to the file.

    ``na`` are texts that stand for missing values.
    """

    encoding: str | None = None
    sep: str | None = None
    decimal: str | None = None
    na: tuple[str, ...] = ()


class TableError(ValueError):
    """A file cannot be used: which one, in which line, and why."""

    def __init__(self, path: Path, cause: str, line: int | None = None, unit: str = "line") -> None:
        super().__init__(f"{called(path)}{'' if line is None else f', {unit} {line}'}: {cause}")


@dataclass(frozen=True)
class TextTable:
    """A file's columns as text, "" where a field is empty.

    ``lines`` holds the line on which each row begins, or in Excel the row, as ``unit`` says; ``kinds`` what a Parquet
    file says of its columns. Each is empty for the other kinds of file. ``repeated`` are names that several columns
    have: the second one is called "name.1". ``delimiter`` stands between fields, where there is one.
    """

    path: Path
    texts: pd.DataFrame
    lines: tuple[int, ...] = ()
    kinds: dict[str, str] | None = None
    unit: str = "line"
    delimiter: str = ""
    repeated: tuple[str, ...] = ()
    options: ReadOptions = ReadOptions()

    @property
    def names(self) -> list[str]:
        return list(self.texts.columns)

    def error(self, cause: str, row: int | None = None) -> TableError:
        if row is None or not self.lines:
            return TableError(self.path, cause if row is None else f"row {row + 1}: {cause}")
        return TableError(self.path, cause, self.lines[row], self.unit)

    def header_error(self, cause: str) -> TableError:
        return TableError(self.path, cause, 1 if self.lines else None, self.unit)

    def without(self, na: Sequence[str], but: Sequence[str | None]) -> TextTable:
        """With nothing where a text stands for a missing value, in all columns ``but`` those; -999.0 is -999."""
        if not na:
            return self
        numbers = pd.to_numeric(pd.Series(na, dtype=object), errors="coerce").dropna()
        gone = self.texts.apply(lambda column: column.str.strip().isin(na))
        if len(numbers):
            gone |= self.texts.apply(pd.to_numeric, errors="coerce").isin(numbers.tolist())
        gone[[name for name in but if name]] = False
        return replace(self, texts=self.texts.mask(gone, ""))


def called(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def guess_or_options(name: str, options: Sequence[str]) -> str:
    """A hint at the slip, or what there is to choose from."""
    guess = closest(name, options)
    if guess is not None:
        return f"did you mean {guess!r}?"
    return f"there are {some(list(map(repr, options)), 12)}"


def cause_of(error: BaseException) -> str:
    """In the middle of a sentence."""
    text = why(error)
    return text[0].lower() + text[1:]


# --- names --------------------------------------------------------------------------------------------


def with_names(path: Path, names: Sequence[str], rows: pd.DataFrame, say: Say) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Columns with names that differ, and the names that several of them had; what was changed is said.

    Columns with neither a name nor a value are left out: spreadsheets write such. Other columns without a name are
    counted, and not numbered by their place as in pandas: without its target, a test file has others.
    """
    rows = rows.set_axis(range(len(names)), axis=1)
    unnamed = [place for place, name in enumerate(names) if not name.strip()]
    void = [place for place in unnamed if (rows[place].str.strip() == "").all()]
    if void:
        say(f"{called(path)}: left out, without a name or a value: {_places(void)}")
    kept = [place for place in range(len(names)) if place not in void]
    counted = [place for place in unnamed if place not in (0, *void)]
    new = {0: f"{UNNAMED}0"} | {place: f"{UNNAMED}{number}" for number, place in enumerate(counted, 1)}
    given = [new[place] if place in unnamed else names[place] for place in kept]
    if counted:  # of the first column it will be told whether it is an index
        say(f"{called(path)}: without a name: {_places(counted)}; called {some([repr(new[i]) for i in counted])}")
    repeated = tuple(name for name, count in Counter(given).items() if count > 1)
    distinct = _distinct(given)
    if repeated:
        second = [new for new, old in zip(distinct, given, strict=True) if new != old]
        say(
            f"{called(path)}: several columns have the name {some(list(map(repr, repeated)))}; from the second one on "
            f"they are called {some(list(map(repr, second)))}"
        )
    return rows[kept].set_axis(distinct, axis=1), repeated


def _places(places: Sequence[int]) -> str:
    return f"column{'s' if len(places) > 1 else ''} {some([str(place + 1) for place in places])}"


def _distinct(names: Sequence[str]) -> list[str]:
    """As pandas makes them: x, x.1, x.2."""
    taken, found, counts = set(names), [], Counter[str]()
    for name in names:
        new = name
        while counts[name] and (new == name or new in taken):
            new = f"{name}.{counts[name]}"
            counts[name] += new in taken
        counts[name] += 1
        taken.add(new)
        found.append(new)
    return found
