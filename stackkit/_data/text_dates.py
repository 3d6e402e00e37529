"""Dates written as text: which format a column has, and its dates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

_ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?)?)?")
_SLASHED = re.compile(r"\d{1,4}([/.-])\d{1,2}\1\d{1,4}( \d\d:\d\d(:\d\d)?)?")
_NAMED = re.compile(r"\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}|[A-Za-z]{3,9} \d{1,2}, ?\d{4}")
_NAMED_FORMATS = ("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%d-%B-%Y", "%b %d, %Y", "%B %d, %Y")


def date_formats(texts: pd.Series) -> list[str]:
    """All formats that fit every text: several, where the day or the month may stand first. The first text tells
    which ones to try.
    """
    first = texts.iloc[0]
    if _ISO.fullmatch(first):
        return ["ISO8601"] if all(map(_ISO.fullmatch, texts)) and _fits(texts, "ISO8601") else []
    formats: Sequence[str] = _NAMED_FORMATS if _NAMED.fullmatch(first) else ()
    if found := _SLASHED.fullmatch(first):
        mark, time = found[1], "" if not found[2] else " %H:%M:%S" if found[3] else " %H:%M"
        formats = [mark.join(order) + time for order in (("%d", "%m", "%Y"), ("%m", "%d", "%Y"), ("%Y", "%m", "%d"))]
    fitting = [format_ for format_ in formats if _fits(texts, format_)]
    # "May" is short and long: two names of one format, and no doubt.
    return fitting[:1] if formats is _NAMED_FORMATS else fitting


def _fits(texts: pd.Series, format_: str) -> bool:
    return bool(dates_of(texts, format_).notna().all())


def dates_of(texts: pd.Series, format_: str) -> pd.Series:
    """Dates without a time zone, all as of UTC; NaT for what is none."""
    stripped = texts.str.strip()
    if format_ == "ISO8601":
        stripped = stripped.where(stripped.map(_ISO.fullmatch, na_action="ignore").notna())
    return pd.to_datetime(stripped, format=format_, errors="coerce", utc=True).dt.tz_localize(None)
