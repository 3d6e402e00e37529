"""What a fit of each default learner costs, and the formula for it that `stackkit/_learners/catalogue.py` holds.

Run it on an idle machine::

    STACKKIT_DATA=/path/to/data python benchmarks/costs.py --output costs.jsonl
    python benchmarks/costs.py --output costs.jsonl --report

Each learner is fitted to four fifths of each table of the first half of the suite (see tables.py), and predicts the
rest: CPU seconds of one core, preparation included. Lines are appended to the file, and what is there is not measured
again. The report fits ``(base + per_1000 * (rows / 1000)**c * (columns / 10)**a) * (classes / 2)**b`` to the
logarithms.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _data import find
from _measure import quiet
from _table_systems import read_table
from scipy.optimize import minimize
from sklearn.model_selection import train_test_split
from tables import half_of
from threadpoolctl import threadpool_limits

from stackkit._learners import known_names, learners_named
from stackkit._learners.catalogue import OF_TASK
from stackkit._learners.portfolio import size_of

COLUMN_POWERS, CLASS_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0, 1.25)
ROW_POWERS = {"knn": 2.0}  # it compares rows with rows; for all others 1


def measured(folder, table, name):
    """CPU seconds of one fit and its predictions."""
    data = read_table(folder / f"{table.name}.csv.gz", table.target)
    X, y = data.drop(columns=table.target), data[table.target].to_numpy()
    classes = table.task == "classification"
    codes = np.unique(y.astype(str), return_inverse=True)[1] if classes else y
    X, X_test, y, _ = train_test_split(X, codes, test_size=0.2, random_state=0, stratify=codes if classes else None)
    size = size_of(X, int(codes.max()) + 1 if classes else 2)
    columns = size.columns_for(OF_TASK[table.task][name])
    ((_, learner),) = learners_named(table.task, [name], X)
    start = time.process_time()
    with threadpool_limits(1):
        learner.fit(X, y).predict(X_test)
    seconds = time.process_time() - start
    return {
        "table": table.name,
        "task": table.task,
        "learner": name,
        "rows": size.n_rows,
        "columns": columns,
        "classes": size.n_classes,
        "seconds": round(seconds, 4),
    }


def fitted(runs, learner):
    """The constants of one learner, and how far off the formula is."""
    rows, columns, classes, seconds = (runs[name].to_numpy(float) for name in ("rows", "columns", "classes", "seconds"))
    best = None
    c = ROW_POWERS.get(learner, 1.0)
    for a, b in product(COLUMN_POWERS, CLASS_POWERS if classes.max() > 2 else (0.0,)):
        of_rows, of_classes = (rows / 1000) ** c * (columns / 10) ** a, (classes / 2) ** b

        def misfit(logs, of_rows=of_rows, of_classes=of_classes):
            base, per_1000 = np.exp(logs)
            return np.log(seconds) - np.log((base + per_1000 * of_rows) * of_classes)

        found = minimize(lambda logs, f=misfit: float((f(logs) ** 2).sum()), np.log([0.05, 0.05]), method="Nelder-Mead")
        if best is None or found.fun < best[0]:
            best = found.fun, a, b, np.exp(found.x), misfit(found.x)
    _, a, b, (base, per_1000), off = best
    return {
        "base": base,
        "per_1000": per_1000,
        "columns": a,
        "classes": b,
        "rows": c,
        "spread": np.exp(off.std()),
        "worst": np.exp(off.max()),
        "tables": len(runs),
    }


def report(runs):
    found = runs.groupby(["task", "learner"], sort=False).apply(lambda part: pd.Series(fitted(part, part.name[1])))
    print(found.round(4).to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("costs.jsonl"))
    parser.add_argument("--learners", nargs="+", help="of the catalogue; all by default")
    parser.add_argument("--tables", nargs="+", help="of the first half; all by default")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    options = parser.parse_args()
    quiet()
    sets = find("tabular/sets.csv")
    if sets is None:
        print("skipped: set STACKKIT_DATA to a folder with tabular/sets.csv")
        return
    tables = pd.read_csv(sets)
    halves = half_of(tables["name"])
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    runs = [json.loads(line) for line in lines]
    done = {(run["table"], run["learner"]) for run in runs}
    for table in tables.sort_values("rows").itertuples() if not options.report else ():
        if halves[table.name] != "first" or table.name not in (options.tables or halves):
            continue
        for name in known_names(table.task, np.empty((1, 1))):
            if (table.name, name) not in done and name in (options.learners or [name]):
                runs.append(measured(sets.parent, table, name))
                with options.output.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    report(pd.DataFrame(runs))


if __name__ == "__main__":
    main()
