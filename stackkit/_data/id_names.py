"""Names that columns of identifiers have."""

from __future__ import annotations

import re

_LIKE_AN_ID = re.compile(r"(.*[\W_])?(id|uuid|guid|index|Unnamed: \d+)|.*[a-z0-9](Id|ID)|ID", re.DOTALL)


def is_named_like_an_id(name: str) -> bool:
    """Such as "id", "row_index", "PassengerId"."""
    return _LIKE_AN_ID.fullmatch(name) is not None
