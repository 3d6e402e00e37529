"""Raw skorch nets among the learners get an adapter to scikit-learn's contract."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from stackkit._data import Learners


def with_adapted_nets(learners: Learners) -> Learners:
    return tuple((name, _adapted(learner)) for name, learner in learners)


def _adapted(learner: Any) -> Any:
    """Raw skorch nets, here or inside, get an adapter; it and torch load only where there is such a net."""
    skorch = sys.modules.get("skorch")
    if skorch is None or not hasattr(learner, "get_params"):
        return learner
    parts = (learner, *learner.get_params(deep=True).values())
    if not any(isinstance(part, skorch.NeuralNet) for part in parts):
        return learner
    return import_module("stackkit.nn._skorch_adapter").adapted(learner)
