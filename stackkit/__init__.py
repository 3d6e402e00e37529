"""Stacked generalisation behind scikit-learn's contract: out-of-fold, leak-free, fast."""

from importlib import import_module
from types import ModuleType

from stackkit._blending import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
)
from stackkit._learners import default_learners
from stackkit._model import CompactModel, StackingClassifier, StackingModel, StackingRegressor
from stackkit._oof import OutOfFold, cross_fit
from stackkit._persistence import load, save, skops_trusted_types, to_onnx
from stackkit._store import Store, store_clear, store_info

__all__ = [
    "CompactModel",
    "ConvexClassifier",
    "ConvexRegressor",
    "EnsembleSelectionClassifier",
    "EnsembleSelectionRegressor",
    "LinearPoolRegressor",
    "LogPoolClassifier",
    "OutOfFold",
    "RidgePoolRegressor",
    "StackingClassifier",
    "StackingModel",
    "StackingRegressor",
    "Store",
    "cross_fit",
    "default_learners",
    "load",
    "save",
    "skops_trusted_types",
    "store_clear",
    "store_info",
    "to_onnx",
]


def __getattr__(name: str) -> ModuleType:
    if name == "nn":  # loads torch, which takes longer than all the rest
        return import_module("stackkit.nn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "nn"])
