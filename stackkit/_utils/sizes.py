"""Amounts of memory, from numbers or text."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:(?:([kmgt])(i)?)?b)?", re.IGNORECASE)


def check_bytes(name: str, owner: str, given: Any) -> int | None:
    """A number of bytes from a number or from text such as "500 MB" and "2 GiB"; None is no limit."""
    size = 0
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        size = int(given)
    elif isinstance(given, str) and (found := _SIZE.fullmatch(given.strip())):
        number, prefix, binary = found.groups(default="")
        size = int(Decimal(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if given is not None and size < 1:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a positive number of bytes, text such as '500 MB' or '2 GiB', "
            f"or None; got {given!r}. Use None for no limit."
        )
    return size or None
