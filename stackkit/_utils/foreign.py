"""Learners of libraries that are not loaded for their sake, and what they do otherwise than all others."""

from __future__ import annotations

from typing import Any


def is_of(value: Any, library: str) -> bool:
    """Whether its class is of that library, or derives from one that is."""
    return any(cls.__module__.partition(".")[0] == library for cls in type(value).__mro__)


def parts_of(learner: Any) -> dict[str, Any]:
    """The learner, called "", and its parameters, with those of what is inside it."""
    return {"": learner} | (learner.get_params(deep=True) if hasattr(learner, "get_params") else {})


def under(owner: str, name: str) -> str:
    """A parameter of one of these parts, as ``set_params`` knows it."""
    return f"{owner}__{name}" if owner else name
