"""Stacks as ONNX graphs beside themselves in Python, and beside scikit-learn's stack through skl2onnx."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from _data import find
from _measure import in_turn, timed
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble import StackingClassifier as TheirClassifier
from sklearn.ensemble import StackingRegressor as TheirRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingClassifier, StackingRegressor, to_onnx

TABLES = ("arrests", "chile_vote", "credit", "computers", "corn")
TESTED = 1000
TRAINED = 2000
MANY = 10_000


class Deployed:
    """A graph in ONNX Runtime, on one thread, that takes rows as the model does."""

    def __init__(self, path):
        import onnxruntime  # noqa: PLC0415 - of the extra "onnx"

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.megabytes = path.stat().st_size / 1e6
        self._session = onnxruntime.InferenceSession(str(path), options)
        self._inputs = {given.name: given.type for given in self._session.get_inputs()}

    def feeds(self, X):
        if list(self._inputs) == ["X"]:
            return {"X": np.ascontiguousarray(X, dtype=np.float64)}
        return {
            name: np.where(X[name].isna(), "", X[name].astype(str)).astype(object)[:, np.newaxis]
            if kind == "tensor(string)"
            else X[name].to_numpy(np.float64, na_value=np.nan)[:, np.newaxis]
            for name, kind in self._inputs.items()
        }

    def __call__(self, feeds):
        return self._session.run(None, feeds)


def learners(task, trees):
    forests = (
        (RandomForestClassifier, ExtraTreesClassifier)
        if task == "classification"
        else (RandomForestRegressor, ExtraTreesRegressor)
    )
    linear = LogisticRegression(max_iter=1000) if task == "classification" else Ridge()
    return [("linear", make_pipeline(StandardScaler(), linear)), *((f.__name__, f(trees)) for f in forests)]


def through_skl2onnx(model, X, path):
    from skl2onnx import to_onnx as convert  # noqa: PLC0415
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415

    types = [("X", DoubleTensorType([None, X.shape[1]]))]
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    path.write_bytes(convert(model, initial_types=types, options=options).SerializeToString())
    return path


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


def agreement(model, graph, X):
    """Rows with the same label, and the greatest difference: of probabilities, or of values over their scale."""
    found, expected = graph(graph.feeds(X)), answers(model, X)
    if not hasattr(model, "classes_"):
        return None, np.abs(found[0].ravel() - expected).max() / np.abs(expected).max()
    return (found[0] == model.predict(X)).sum(), np.abs(found[1] - expected).max()


def measured(model, graph, X, rounds):
    rows = X.iloc[:1] if hasattr(X, "iloc") else X[:1]
    places = np.random.default_rng(0).integers(0, len(X), MANY)
    many = X.iloc[places].reset_index(drop=True) if hasattr(X, "iloc") else X[places]
    seconds = {}
    for some, n_rounds, unit in ((rows, rounds, "one row"), (many, max(1, rounds // 10), "10,000 rows")):
        ways = {"Python": (answers, model, some), "ONNX": (graph, graph.feeds(some))}
        for way, *arguments in ways.values():
            way(*arguments)
        found = pd.DataFrame(
            [{name: timed(*ways[name])[0] for name in in_turn(list(ways), turn)} for turn in range(n_rounds)]
        ).median()
        seconds |= {f"{unit}, {name}, ms": 1000 * value for name, value in found.items()}
    same, difference = agreement(model, graph, X)
    sizes = {"pickle, MB": len(pickle.dumps(model)) / 1e6, "ONNX, MB": graph.megabytes}
    return {"same labels": same, "difference": difference} | sizes | seconds


def of_table(name, task, target, *, rounds, quick):
    """A line for each stack: how far its graph agrees on rows held out, both sizes, and seconds of both."""
    table = pd.read_csv(find(f"tabular/{name}.csv.gz")).sample(frac=1, random_state=0).reset_index(drop=True)
    y = table.pop(target)
    numbers = table.select_dtypes("number")
    numbers = numbers.fillna(numbers.median()).to_numpy(np.float64)
    classes = task == "classification"
    ours, theirs = (StackingClassifier, TheirClassifier) if classes else (StackingRegressor, TheirRegressor)
    final, folds = (LogisticRegression(max_iter=1000), StratifiedKFold(5)) if classes else (Ridge(), KFold(5))
    same = learners(task, 10 if quick else 100)
    test, train = slice(TESTED), slice(TESTED, TESTED + (300 if quick else TRAINED))
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        for title, stack, train_rows, rows in (
            ("default, raw columns", ours(random_state=0), table.iloc[train], table.iloc[test]),
            ("forests", ours(same, final, cv=folds, random_state=0), numbers[train], numbers[test]),
            ("forests, scikit-learn", theirs(same, final, cv=folds), numbers[train], numbers[test]),
        ):
            stack.fit(train_rows, y[train])
            if isinstance(stack, theirs):
                model, graph = stack, Deployed(through_skl2onnx(stack, rows, path))
            else:
                model, graph = stack.compact(), Deployed(to_onnx(stack, path))
            yield {"table": name, "stack": title} | measured(model, graph, rows, rounds)
