"""Errors that name the parameter, what is allowed and what was given."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


def choice(name: str, owner: str, allowed: Sequence[Any], got: Any) -> ValueError:
    """One sentence for every parameter that takes one of a few values, with a guess at the slip."""
    guess = get_close_matches(str(got), [str(option) for option in allowed], n=1)
    hint = f" Did you mean {guess[0]!r}?" if guess else ""
    options = ", ".join(repr(option) for option in allowed)
    return ValueError(f"The {name!r} parameter of {owner} must be one of {options}; got {got!r}.{hint}")
