"""What 20 stacks predict, to the last bit: recorded before the code moves, compared when it has moved.

``python tests/recorded/record.py`` compares; with ``--write`` it records anew, which is right only where a change of
results is meant. Bits depend on the processor and on the versions of the libraries: both are recorded, too.
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_multilabel_classification
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, RepeatedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    StackingModel,
    default_learners,
    load,
    save,
)
from stackkit.datasets import load_titanic
from stackkit.nn import BNCNNClassifier, BNMLPClassifier, BNMLPRegressor

HERE = Path(__file__).parent
KEPT_IN_FILE = ("logistic", "random_forest", "xgboost", "bn_mlp", "lightgbm", "kernel")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "lightgbm", "xgboost-cpu")

BINARY = make_classification(160, 6, n_informative=4, flip_y=0.1, random_state=0)
IRIS = load_iris(return_X_y=True)
NUMBERS = tuple(part[:150] for part in load_diabetes(return_X_y=True))
LABELS = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2, 160)
GROUPS = np.arange(160) // 8
IMAGES = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8), np.arange(60) % 2


def _titanic() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_titanic(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:200]
    return X.iloc[rows], y.iloc[rows]


def _few_columns() -> tuple[pd.DataFrame, pd.Series]:
    X, y = _titanic()
    return X[["age", "fare", "sex"]][:80], y[:80]


def _two() -> list[tuple[str, object]]:
    return [("logistic", make_pipeline(StandardScaler(), LogisticRegression())), ("bayes", GaussianNB())]


def _three() -> list[tuple[str, object]]:
    return [*_two(), ("forest", RandomForestClassifier(10)), ("knn", KNeighborsClassifier())]


def _regressors() -> list[tuple[str, object]]:
    return [("ridge", Ridge()), ("knn", KNeighborsRegressor()), ("trees", ExtraTreesRegressor(10))]


def _upper() -> StackingModel:
    return StackingModel([("tree", DecisionTreeClassifier(max_depth=3)), ("bayes", GaussianNB())], ConvexClassifier())


def _net() -> object:
    return make_pipeline(StandardScaler(), BNMLPClassifier((8,), max_epochs=4, n_members=2))


STACKS = {
    "binary": (lambda: StackingModel(_three()), BINARY, {}),
    "binary, weights": (lambda: StackingModel(_two()), BINARY, {"sample_weight": WEIGHTS}),
    "binary, groups": (lambda: StackingModel(_two(), cv=GroupKFold(4)), BINARY, {"groups": GROUPS}),
    "binary, refit": (lambda: StackingModel(_three(), refit=True), BINARY, {}),
    "binary, in time": (lambda: StackingModel(_two(), cv=TimeSeriesSplit(4)), BINARY, {}),
    "classes": (lambda: StackingModel(_three()), IRIS, {}),
    "classes, convex": (lambda: StackingModel(_three(), ConvexClassifier(), refit=True), IRIS, {}),
    "classes, selection": (lambda: StackingModel(_three(), EnsembleSelectionClassifier()), IRIS, {}),
    "classes, scores": (lambda: StackingModel([("svc", LinearSVC()), ("bayes", GaussianNB())]), IRIS, {}),
    "classes, passthrough": (
        lambda: StackingModel(_two(), make_pipeline(StandardScaler(), LogisticRegression()), passthrough=[0, 2]),
        IRIS,
        {},
    ),
    "two levels": (lambda: StackingModel(_three(), _upper()), BINARY, {}),
    "two levels, auto": (lambda: StackingModel(_three(), _upper(), levels="auto"), BINARY, {}),
    "numbers": (lambda: StackingModel(_regressors()), NUMBERS, {}),
    "numbers, repeats": (
        lambda: StackingModel(
            _regressors(), ConvexRegressor(), cv=RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), refit=True
        ),
        NUMBERS,
        {},
    ),
    "numbers, passthrough": (
        lambda: StackingModel([("tree", DecisionTreeRegressor(max_depth=3))], LinearRegression(), passthrough=True),
        NUMBERS,
        {},
    ),
    "labels": (lambda: StackingModel([("knn", KNeighborsClassifier()), ("rf", RandomForestClassifier(5))]), LABELS, {}),
    "nets": (lambda: StackingModel([("net", _net()), ("bayes", GaussianNB())]), BINARY, {}),
    "nets, numbers": (
        lambda: StackingModel([("net", BNMLPRegressor((8,), max_epochs=4)), ("ridge", Ridge())], refit=True),
        NUMBERS,
        {},
    ),
    "images": (lambda: StackingModel([("cnn", BNCNNClassifier(max_epochs=1))], cv=2), IMAGES, {}),
    "preset fast": (lambda: StackingModel(preset="fast", cv=3), _titanic(), {}),
}


def predictions(name: str) -> np.ndarray:
    """Of the first twenty rows, by the model that was fitted to all, beside the first rows of its table P."""
    make, (X, y), params = STACKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
        cv = 5 if model.cv is None else model.cv  # what None meant when these were recorded
        model = model.set_params(random_state=0, cv=cv).fit(X, y, **params)
    few = X[:20]
    given = model.predict_proba(few) if hasattr(model, "predict_proba") else model.predict(few)
    return np.column_stack([np.asarray(given, dtype=float).reshape(20, -1), model.oof_.train[-20:]])


def described(values: np.ndarray) -> dict[str, object]:
    return {"first": [float(value).hex() for value in values[0]], "digest": blake2b(values.tobytes()).hexdigest()[:32]}


def surroundings() -> dict[str, str]:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"processor": name} | {library: version(library) for library in LIBRARIES}


def saved_model() -> tuple[StackingModel, pd.DataFrame]:
    """A model whose file is kept: prepared frames, trees, boosting and networks, and a level above; its rows."""
    X, y = _few_columns()
    learners = [
        (name, _smaller(learner))
        for name, learner in default_learners("classification", X, preset="best")
        if name in KEPT_IN_FILE
    ]
    return StackingModel(learners, _upper(), cv=2, random_state=0).fit(X, y), X


def _smaller(learner: object) -> object:
    sizes = {"n_estimators": 3, "max_epochs": 1, "n_members": 1, "hidden_layer_sizes": (4,), "max_depth": 3}
    params = learner.get_params()
    return learner.set_params(**{key: sizes[name] for key in params if (name := key.rpartition("__")[2]) in sizes})


def main(arguments: list[str]) -> int:
    path = HERE / "predictions.json"
    found = {name: described(predictions(name)) for name in STACKS}
    if "--write" in arguments:
        model, rows = saved_model()
        save(model, HERE / "stack.model")
        np.save(HERE / "stack.npy", model.predict_proba(rows))
        path.write_text(json.dumps({"surroundings": surroundings(), "stacks": found}, indent=1) + "\n")
        return 0
    known = json.loads(path.read_text())
    differ = [name for name in STACKS if found[name] != known["stacks"].get(name)]
    print("surroundings:", "the same" if surroundings() == known["surroundings"] else "others")
    given, saved = load(HERE / "stack.model").predict_proba(_few_columns()[0]), np.load(HERE / "stack.npy")
    if not np.allclose(given, saved, rtol=1e-6):
        differ.append("the model file")
    print("different:", ", ".join(differ) or "none")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
