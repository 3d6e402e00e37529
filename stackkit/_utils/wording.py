"""What is said: errors that name the parameter, what is allowed and what was given; lists of a few items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


def choice(name: str, owner: str, allowed: Sequence[Any], got: Any) -> ValueError:
    """One sentence for every parameter that takes one of a few values, with a guess at the slip."""
    options = ", ".join(repr(option) for option in allowed)
    hint = did_you_mean(got, allowed)
    return ValueError(f"The {name!r} parameter of {owner} must be one of {options}; got {got!r}.{hint}")


def closest(got: Any, options: Iterable[Any]) -> Any:
    """The option that is spelled most like it, whatever the case of letters; None where none is near."""
    spelled = {str(option).casefold(): option for option in options}
    found = get_close_matches(str(got).casefold(), spelled, n=1)
    return spelled[found[0]] if found else None


def did_you_mean(got: Any, options: Iterable[Any]) -> str:
    """A sentence to go on with, or nothing."""
    guess = closest(got, options)
    return "" if guess is None else f" Did you mean {guess!r}?"


def some(items: Sequence[str], most: int = 5) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def why(error: BaseException) -> str:
    """What an error says, without its number and its file, which the sentence around it names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
