"""One run of one system on one table, in a process of its own and in any environment: `tables.py` starts it.

    python benchmarks/_table_systems.py JOB.json RESULT.json

Only NumPy, pandas, scikit-learn and the system itself are imported, so that this runs where stackkit is not installed.
Every system gets the same rows: columns of ISO dates as dates (`read_table`), classes as codes 0, 1, ... in the order
of the sorted labels of the whole table. Its peers are written as a good user of scikit-learn would write them.
"""

import json
import platform
import re
import subprocess
import sys
import time
import traceback
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from _network_systems import NETWORK_SYSTEMS
from _table_columns import IS_TEXT, AnyClasses, Categories, DateParts, Texts
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

METRICS = {"classification": "log_loss", "regression": "rmse"}
SMALLEST = 1e-15  # no probability counts as less
MANY = 10_000  # rows of the second timing of predictions
CALLS, PATIENCE = 9, 5.0  # of the timings of one row: how many, and the seconds after which no other is begun
LIBRARIES = (
    "numpy",
    "pandas",
    "sklearn",
    "stackkit",
    "torch",
    "xgboost",
    "lightgbm",
    "catboost",
    "pytabkit",
    "autogluon.tabular",
)

# As the command line of stackkit has it: year and month at least, at most a time with its zone.
ISO_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?)?)?")


# --- rows ---------------------------------------------------------------------------------------------


def read_table(path, target):
    """As `pd.read_csv` reads it, but columns of text whose values are all ISO dates become dates, as of UTC."""
    table = pd.read_csv(path)
    for name in IS_TEXT(table.drop(columns=target)):
        known = table[name].dropna()
        if len(known) and all(isinstance(text, str) and ISO_DATE.fullmatch(text) for text in known):
            dates = pd.to_datetime(table[name], format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
            if dates.notna().sum() == len(known):
                table[name] = dates
    return table


def split_rows(table, job):
    """Three quarters to fit and a quarter to test: frames, and codes or numbers. And how many classes there are."""
    classes = job.task == "classification"
    if job.rows is not None and job.rows < len(table):
        table = table.sample(job.rows, random_state=job.seed)
    strata = table[job.target] if classes else None
    train, test = train_test_split(table, test_size=0.25, random_state=job.seed, stratify=strata)
    X, X_test = (part.drop(columns=job.target).reset_index(drop=True) for part in (train, test))
    if not classes:
        return X, X_test, train[job.target].to_numpy(float), test[job.target].to_numpy(float), None
    labels = np.unique(table[job.target])
    y, y_test = (np.searchsorted(labels, part[job.target]) for part in (train, test))
    return X, X_test, y, y_test, len(labels)


def loss_of(y, predicted, known, n_classes):
    """RMSE, or log-loss; `known` are the classes of the columns of probabilities, any other one has 0."""
    if n_classes is None:
        return root_mean_squared_error(y, predicted)
    probabilities = np.zeros((len(y), n_classes))
    probabilities[:, np.asarray(known, dtype=int)] = predicted
    probabilities = probabilities.clip(SMALLEST, 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(y)), y]).mean()


# --- the systems: each one fits, and returns what has `predict`, or `predict_proba` and `classes_` ----


def inner_split(y, job):
    """Rows to fit and a fifth to stop by; the only row of a class is among the first."""
    rows, alone = np.arange(len(y)), np.zeros(len(y), dtype=bool)
    if job.task == "classification":
        alone = np.bincount(y)[y] < 2
    strata = y[~alone] if job.task == "classification" else None
    fit, stop = train_test_split(rows[~alone], test_size=0.2, random_state=job.seed, stratify=strata)
    return np.concatenate([fit, rows[alone]]), stop


def fit_stackkit(X, y, job, preset="balanced"):
    from stackkit import StackingModel  # noqa: PLC0415

    return StackingModel(preset=preset, task=job.task, n_jobs=job.n_jobs, random_state=job.seed).fit(X, y)


def fit_sklearn(X, y, job):
    """A stack of six plain learners on five folds, behind one preparation."""
    from xgboost import XGBClassifier, XGBRegressor  # noqa: PLC0415

    classes = job.task == "classification"
    forest = {"n_estimators": 300, "random_state": job.seed}
    boosting = {"n_estimators": 300, "learning_rate": 0.05, "max_depth": 5, "random_state": job.seed, "n_jobs": 1}
    learners = [
        ("linear", LogisticRegression(max_iter=1000) if classes else RidgeCV(np.logspace(-2, 3, 6))),
        ("knn", KNeighborsClassifier(15) if classes else KNeighborsRegressor(15)),
        ("forest", RandomForestClassifier(**forest) if classes else RandomForestRegressor(**forest)),
        ("extra", ExtraTreesClassifier(**forest) if classes else ExtraTreesRegressor(**forest)),
        ("hist", (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(random_state=job.seed)),
        ("xgboost", AnyClasses(XGBClassifier(**boosting)) if classes else XGBRegressor(**boosting)),
    ]
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", min_frequency=10, sparse_output=False)
    columns = make_column_transformer((levels, IS_TEXT), remainder=numbers)
    stack = (StackingClassifier if classes else StackingRegressor)(learners, cv=5, n_jobs=job.n_jobs)
    return make_pipeline(DateParts(), Texts(), columns, stack).fit(X, y)


def fit_lightgbm(X, y, job):
    """Categories as they are; as many trees as the rows set aside ask for."""
    import lightgbm  # noqa: PLC0415

    kind = lightgbm.LGBMClassifier if job.task == "classification" else lightgbm.LGBMRegressor
    sampling = {"subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.8}
    general = {"n_jobs": job.n_jobs, "random_state": job.seed, "verbose": -1}
    model = kind(n_estimators=2000, learning_rate=0.05, **sampling, **general)
    fit, stop = inner_split(y, job)
    prepare = make_pipeline(DateParts(), Categories())
    rows, rest = prepare.fit_transform(X.iloc[fit]), prepare.transform(X.iloc[stop])
    stopping = lightgbm.early_stopping(50, verbose=False)
    model.fit(rows, y[fit], eval_set=[(rest, y[stop])], callbacks=[stopping])
    return make_pipeline(prepare, model)


def fit_catboost(X, y, job):
    """Its defaults, categories as they are; as many trees as the rows set aside ask for."""
    import catboost  # noqa: PLC0415

    kind = catboost.CatBoostClassifier if job.task == "classification" else catboost.CatBoostRegressor
    general = {"thread_count": job.n_jobs, "random_seed": job.seed, "verbose": 0, "allow_writing_files": False}
    fit, stop = inner_split(y, job)
    prepare = make_pipeline(DateParts(), Texts())
    rows, rest = prepare.fit_transform(X.iloc[fit]), prepare.transform(X.iloc[stop])
    model = kind(iterations=2000, early_stopping_rounds=50, cat_features=IS_TEXT(X), **general)
    model.fit(rows, y[fit], eval_set=(rest, y[stop]))
    return make_pipeline(prepare, model)


def fit_autogluon(X, y, job, seconds=None, *, presets="best_quality"):
    from autogluon.tabular import TabularPredictor  # noqa: PLC0415

    target = "the target"
    metric = "log_loss" if job.task == "classification" else "root_mean_squared_error"
    kind = job.task if job.task == "regression" else "binary" if len(np.unique(y)) == 2 else "multiclass"
    predictor = TabularPredictor(target, problem_type=kind, eval_metric=metric, path=job.folder, verbosity=2)
    limit = None if seconds is None else float(seconds)
    rows = X.assign(**{target: y})
    predictor.fit(rows, presets=presets, time_limit=limit, num_cpus=job.n_jobs, num_gpus=0)
    return SimpleNamespace(
        predictor=predictor,
        predict=lambda X: predictor.predict(X).to_numpy(),
        predict_proba=lambda X: predictor.predict_proba(X, as_multiclass=True).to_numpy(),
        classes_=predictor.class_labels,
    )


def fit_autogluon_medium(X, y, job, seconds=None):
    return fit_autogluon(X, y, job, seconds, presets="medium_quality")


# How each one is fitted, and what has to be installed for it besides scikit-learn.
SYSTEMS = {
    "stackkit": (fit_stackkit, "stackkit"),
    "sklearn": (fit_sklearn, "xgboost"),
    "lightgbm": (fit_lightgbm, "lightgbm"),
    "catboost": (fit_catboost, "catboost"),
    "autogluon": (fit_autogluon, "autogluon.tabular"),
    "autogluon-medium": (fit_autogluon_medium, "autogluon.tabular"),
    **NETWORK_SYSTEMS,
}


# --- one run ------------------------------------------------------------------------------------------


def facts_of(model, name, X_test, y_test, n_classes):
    """What only this kind of model can tell of itself."""
    if name.startswith("autogluon"):
        return {"models": len(model.predictor.model_names()), "best": model.predictor.model_best}
    if not name.startswith("stackkit"):
        return {}
    board = model.leaderboard(marginal=False).iloc[1:]  # below the stack
    weights = board["weight"] if "weight" in board else pd.Series(np.nan, board.index)
    columns = model.transform(X_test)[:, model.oof_.blocks[board.index[0]].columns]
    if n_classes is None:
        columns = columns[:, 0]
    elif columns.shape[1] == 1:
        columns = np.hstack([1 - columns, columns])
    return {
        "learners": {name: None if np.isnan(weight) else round(weight, 4) for name, weight in weights.items()},
        "best_learner": board.index[0],
        "best_learner_loss": float(loss_of(y_test, columns, model.classes_ if n_classes else None, n_classes)),
    }


def versions():
    """Of what was imported; of stackkit also the commit, where it comes from a checkout."""
    loaded = {name: sys.modules[name] for name in LIBRARIES if name in sys.modules}
    found = {name: getattr(module, "__version__", None) or version(name) for name, module in loaded.items()}
    if "stackkit" in found:
        folder = Path(sys.modules["stackkit"].__file__).parent
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
        found["stackkit"] += f" ({commit})" if commit else ""
    return {"python": platform.python_version(), **found}


def seconds_of_one(predict, X):
    """The median over calls with one row each, after one that does not count."""
    seconds, begun = [], time.perf_counter()
    for call in range(CALLS + 1):
        row = X.iloc[[call % len(X)]]
        start = time.perf_counter()
        predict(row)
        seconds.append(time.perf_counter() - start)
        if len(seconds) > 1 and time.perf_counter() - begun > PATIENCE:
            break
    return float(np.median(seconds[1:]))


def run(job):
    name, *argument = job.system.split(":")
    fit, module = SYSTEMS[name]
    start = time.perf_counter()
    import_module(module)
    imported = time.perf_counter() - start

    table = read_table(job.path, job.target)
    X, X_test, y, y_test, n_classes = split_rows(table, job)
    start = time.perf_counter()
    model = fit(X, y, job, *argument)
    fitted = time.perf_counter() - start

    predict = model.predict if n_classes is None else model.predict_proba
    loss = loss_of(y_test, predict(X_test), getattr(model, "classes_", None), n_classes)
    if not np.isfinite(loss):
        raise ValueError(f"the loss is {loss}: predictions are not finite")
    many = X_test.iloc[np.resize(np.arange(len(X_test)), MANY)].reset_index(drop=True)
    one_row = seconds_of_one(predict, X_test)
    start = time.perf_counter()
    predict(many)
    return {
        "loss": float(loss),
        "import": round(imported, 2),
        "fit": round(fitted, 2),
        "predict_one": round(one_row, 5),
        "predict_10000": round(time.perf_counter() - start, 3),
        "rows": len(table),
        "columns": X.shape[1],
        "classes": n_classes,
        "versions": versions(),
        **facts_of(model, name, X_test, y_test, n_classes),
    }


def main():
    warnings.simplefilter("ignore")
    given, answer = map(Path, sys.argv[1:])
    job = SimpleNamespace(**json.loads(given.read_text()))
    try:
        result = run(job)
    except ModuleNotFoundError as error:  # of the environment, not of the table
        result = {"missing": error.name}
    except Exception as error:  # noqa: BLE001  # whatever it is, the system refused this table
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"[:500]}
    answer.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
