"""Which versions a result was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "stackkit",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "joblib",
    "torch",
    "skorch",
    "skops",
    "lightgbm",
    "xgboost-cpu",
    "xgboost",
)


def versions() -> dict[str, str]:
    """Python's and those of the libraries that are installed, without loading them."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
