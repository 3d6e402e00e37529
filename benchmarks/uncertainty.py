"""Do intervals and sets hold as often as they say, and how large are they beside split-conformal ones?

    python benchmarks/uncertainty.py --output sure.jsonl                # the first half of $STACKKIT_DATA/tabular/
    python benchmarks/uncertainty.py --output sure.jsonl --thresholds   # and what TunedThresholdClassifierCV gives
    python benchmarks/uncertainty.py --output sure.jsonl --only rules --seeds 0 1 2 3 4   # when is a threshold kept?
    python benchmarks/uncertainty.py --output sure.jsonl --report

A quarter of the rows is held out by the seed. Two systems learn from the others, with as many fits each:

    stackkit   the stack on all of them, and `stackkit.uncertainty.conformal` (CV+; LAC and APS)
    split      the stack on four fifths of them, and MAPIE's split-conformal prediction with the last fifth (absolute
               errors; LAC and randomised APS)

With --thresholds, two classes of which one has less than 30 % of the rows: F1 and costs (a miss costs 10, a false
alarm 1) of the usual threshold, of `tune_threshold`, and of scikit-learn's TunedThresholdClassifierCV on five folds.
With --only rules, on the same tables: F1 and costs if the best threshold of the training rows is never taken, always,
at any cross-fitted gain, or at one above its standard error.

A run is one line of the output; what is there is not run again. MAPIE is needed for "split" alone: without it, that
system is left out.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
from _data import find
from _table_systems import read_table, split_rows
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import f1_score, log_loss, make_scorer
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split
from tables import HALVES, half_of

from stackkit import StackingClassifier, StackingRegressor, default_learners
from stackkit.uncertainty import conformal, scale_temperature, spread, tune_threshold

LEVELS = [0.5, 0.9]
PUT_ASIDE = 0.2
RARE = 0.3  # share of the smaller class, below which thresholds are of interest
SYSTEMS = ("stackkit", "split", "thresholds", "rules")
QUICK = ("logistic", "ridge", "naive_bayes", "splines")  # learners
COSTS = np.array([[0.0, 1.0], [10.0, 0.0]])


class Known(BaseEstimator):
    """Answers by the number of a row: so MAPIE gets the stack's answers, and need not understand its tables."""

    def __init__(self, answers=None):
        self.answers = answers

    def fit(self, X, y=None):
        return self

    @property
    def n_features_in_(self):  # by which MAPIE knows that it is fitted
        return 1


class KnownNumbers(RegressorMixin, Known):
    def predict(self, X):
        return self.answers[np.asarray(X)[:, 0].astype(int)]


class KnownClasses(ClassifierMixin, Known):
    @property
    def classes_(self):
        return np.arange(self.answers.shape[1])

    def predict_proba(self, X):
        return self.answers[np.asarray(X)[:, 0].astype(int)]

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


# --- the two systems ----------------------------------------------------------------------------------


def make_stack(n_classes, options, seed):
    kind = StackingRegressor if n_classes is None else StackingClassifier
    if options.preset != "quick":
        return kind(preset=options.preset, n_jobs=options.n_jobs, random_state=seed)
    learners = default_learners("regression" if n_classes is None else "classification", preset="best")
    learners = [(name, learner) for name, learner in learners if name in QUICK]
    return kind(learners, n_jobs=options.n_jobs, random_state=seed)


def by_stackkit(rows, n_classes, options, seed):
    """Intervals or sets by method and level; and what the stack itself tells."""
    stack = make_stack(n_classes, options, seed).fit(rows.X, rows.y)
    if n_classes is None:
        sure = conformal(stack)
        found = {"plus": [sure.predict_interval(rows.X_test, level) for level in LEVELS]}
    else:
        made = {method: conformal(stack, method=method) for method in ("lac", *["aps"] * (n_classes > 2))}
        found = {name: [sure.predict_set(rows.X_test, level) for level in LEVELS] for name, sure in made.items()}
    return found, stack


def by_split(rows, n_classes, options, seed):
    """MAPIE's, of the stack fitted to four fifths."""
    from mapie.classification import SplitConformalClassifier  # noqa: PLC0415 - may be absent
    from mapie.regression import SplitConformalRegressor  # noqa: PLC0415

    strata = None if n_classes is None else rows.y
    X, X_aside, y, y_aside = train_test_split(rows.X, rows.y, test_size=PUT_ASIDE, random_state=seed, stratify=strata)
    stack = make_stack(n_classes, options, seed).fit(X.reset_index(drop=True), y)
    ask = stack.predict if n_classes is None else stack.predict_proba
    answers = np.concatenate([ask(X_aside), ask(rows.X_test)])
    aside = np.arange(len(X_aside))[:, np.newaxis]
    new = np.arange(len(X_aside), len(answers))[:, np.newaxis]
    if n_classes is None:
        mapie = SplitConformalRegressor(KnownNumbers(answers), confidence_level=LEVELS, prefit=True)
        _, found = mapie.conformalize(aside, y_aside).predict_interval(new)
        return {"plus": list(np.moveaxis(found, 2, 0))}, stack
    found, randomised = {}, {"include_last_label": "randomized"}
    # Of two classes MAPIE takes only LAC.
    for method, params in (("lac", {}), *[("aps", randomised)] * (n_classes > 2)):
        mapie = SplitConformalClassifier(
            KnownClasses(answers), confidence_level=LEVELS, conformity_score=method, prefit=True, random_state=seed
        )
        mapie.conformalize(aside, y_aside)
        found[method] = list(np.moveaxis(mapie.predict_set(new, conformity_score_params=params)[1], 2, 0))
    return found, stack


def measured(found, y):
    """Coverage and size, by method and level: sizes of intervals in standard deviations of y."""
    sizes = {}
    for (name, of_levels), (place, level) in product(found.items(), enumerate(LEVELS)):
        given = of_levels[place]
        if given.dtype == bool:
            inside, size = given[np.arange(len(y)), y], given.sum(axis=1)
        else:
            inside = (given[:, 0] <= y) & (y <= given[:, 1])
            size = (given[:, 1] - given[:, 0]) / y.std()
        sizes[f"{name} {level}"] = {"coverage": float(inside.mean()), "size": float(size.mean())}
    return sizes


def doubt_and_temperature(stack, rows, n_classes):
    """How well the spread of the fold models ranks the errors of new rows; log-loss before and after scaling."""
    doubt = spread(stack, rows.X_test)
    if n_classes is None:
        return {"doubt": float(spearmanr(doubt, np.abs(rows.y_test - stack.predict(rows.X_test)))[0])}
    scaled = scale_temperature(stack)
    before, after = (model.predict_proba(rows.X_test) for model in (stack, scaled))
    wrong = 1 - before[np.arange(len(doubt)), rows.y_test]
    return {
        "doubt": float(spearmanr(doubt, wrong)[0]),
        "temperature": scaled.temperature_,
        "log_loss": [float(log_loss(rows.y_test, given, labels=np.arange(n_classes))) for given in (before, after)],
    }


# --- thresholds ---------------------------------------------------------------------------------------


def by_rules(rows, options, seed):
    """F1 and costs on the rows held out, by when the threshold that is best on the training rows is taken."""
    rare, costs, judges = tasks_of(rows)
    stack = make_stack(2, options, seed).fit(rows.X, rows.y)
    return {"rules": rules_of(tuned(stack, rare, costs), stack, rows, costs, judges)}


def tasks_of(rows):
    rare = int(rows.y.mean() < 0.5)
    costs = COSTS if rare else COSTS[::-1, ::-1]
    judges = {
        "f1": lambda predicted: float(f1_score(rows.y_test, predicted, pos_label=rare)),
        "cost": lambda predicted: float(costs[rows.y_test, predicted].mean()),
    }
    return rare, costs, judges


def tuned(stack, rare, costs):
    return {
        "f1": tune_threshold(stack, "f1", pos_label=rare),
        "cost": tune_threshold(stack, costs=costs, pos_label=rare),
    }


def rules_of(ours, stack, rows, costs, judges):
    shares, found = stack.predict_proba(rows.X_test), {}
    for name, made in ours.items():
        positive = made.pos_label
        alarm, miss = costs[1 - positive, positive], costs[positive, 1 - positive]
        usual = 0.5 if name == "f1" else alarm / (alarm + miss)
        best = np.flatnonzero(made.curve_["score"] >= made.curve_["score"].max() - 1e-12)
        best = made.curve_["threshold"].iloc[best[len(best) // 2]]  # the middle one of the best

        def told(threshold, name=name, positive=positive):
            return judges[name](np.where(shares[:, positive] >= threshold, positive, 1 - positive))

        taken = {
            "never": False,
            "always": True,
            "any gain": made.gain_ > 0,
            "a standard error": made.gain_ > made.gain_se_,
        }
        found[name] = {rule: told(best if takes else usual) for rule, takes in taken.items()}
    return found


def thresholds(rows, options, seed):
    """F1 and costs on the rows held out, with seconds beyond the fit of the stack."""
    rare, costs, judges = tasks_of(rows)
    start = perf_counter()
    stack = make_stack(2, options, seed).fit(rows.X, rows.y)
    line = {"fit": perf_counter() - start}
    start = perf_counter()
    ours = tuned(stack, rare, costs)
    line["ours_seconds"] = perf_counter() - start
    line["rules"] = rules_of(ours, stack, rows, costs, judges)
    scorers = {
        "f1": make_scorer(f1_score, pos_label=rare),
        "cost": make_scorer(lambda y, predicted: costs[y, predicted].mean(), greater_is_better=False),
    }
    start = perf_counter()
    theirs = {
        name: TunedThresholdClassifierCV(make_stack(2, options, seed), scoring=scorer).fit(rows.X, rows.y)
        for name, scorer in scorers.items()
    }
    line["theirs_seconds"] = perf_counter() - start
    for name, judge in judges.items():
        models = {"usual": stack, "ours": ours[name], "theirs": theirs[name]}
        line[name] = {who: judge(model.predict(rows.X_test)) for who, model in models.items()}
    return line


# --- running ------------------------------------------------------------------------------------------


def one_run(system, table, seed, options):
    job = SimpleNamespace(task=table["task"], target=table["target"], rows=options.rows, seed=seed)
    X, X_test, y, y_test, n_classes = split_rows(read_table(table["path"], table["target"]), job)
    rows = SimpleNamespace(X=X, X_test=X_test, y=y, y_test=y_test)
    if system in ("thresholds", "rules"):
        if n_classes != 2 or min(y.mean(), 1 - y.mean()) >= RARE:
            return {"skipped": "not two classes of which one is rare"}
        return (thresholds if system == "thresholds" else by_rules)(rows, options, seed)
    start = perf_counter()
    found, stack = (by_stackkit if system == "stackkit" else by_split)(rows, n_classes, options, seed)
    line = {"seconds": perf_counter() - start, "rows": len(y), "sizes": measured(found, y_test)}
    return line | (doubt_and_temperature(stack, rows, n_classes) if system == "stackkit" else {})


def run_all(tables, options):
    done = {(line["table"], line["seed"], line["system"]) for line in read_lines(options.output)}
    systems = options.only or ["stackkit", "split"] + ["thresholds"] * options.thresholds
    if "split" in systems and find_spec("mapie") is None:
        systems.remove("split")
        print("MAPIE is not installed: split-conformal prediction is left out")
    for seed, table, system in product(options.seeds, tables, systems):
        if (table["name"], seed, system) in done:
            continue
        line = {"table": table["name"], "seed": seed, "system": system, "task": table["task"]}
        line |= one_run(system, table, seed, options)
        with options.output.open("a", encoding="utf8") as file:
            file.write(json.dumps(line) + "\n")
        told = line.get("sizes") or {key: line[key] for key in ("f1", "cost", "rules", "skipped") if key in line}
        print(f"{table['name']}, seed {seed}, {system}: {told}", flush=True)


def read_lines(path):
    return [json.loads(text) for text in path.read_text(encoding="utf8").splitlines()] if path.exists() else []


# --- report -------------------------------------------------------------------------------------------


def report(lines):
    sizes = pd.DataFrame(
        {"table": line["table"], "seed": line["seed"], "system": line["system"], "what": what} | found
        for line in lines
        for what, found in line.get("sizes", {}).items()
    )
    if len(sizes):
        print("\nCoverage (mean and standard deviation over runs) and size, as a ratio to split-conformal:")
        print(by_level(sizes).round(3).to_string())
    doubts = [line["doubt"] for line in lines if "doubt" in line]
    if doubts:
        print(f"\nRank correlation of the fold models' spread with the error: median {np.median(doubts):.2f}, ", end="")
        print(f"from {min(doubts):.2f} to {max(doubts):.2f} in {len(doubts)} runs")
    scaled = [line for line in lines if "temperature" in line]
    kept = [line["log_loss"][1] / line["log_loss"][0] for line in scaled if line["temperature"] != 1]
    if scaled:
        print(f"Temperature: kept in {len(kept)} of {len(scaled)} runs", end="")
        print(f"; ratio of the log-loss with it: {np.exp(np.mean(np.log(kept))):.3f}" if kept else "")
    compared = [line for line in lines if "f1" in line]
    if compared:
        print(f"\nThresholds, {len(compared)} runs: mean F1, and costs over the usual one's (geometric mean):")
        print(means([line["f1"] for line in compared], [line["cost"] for line in compared], "usual"))
        ours, theirs = (
            np.median([line[f"{who}_seconds"] / line["fit"] for line in compared]) for who in ("ours", "theirs")
        )
        print(f"seconds beyond the fit, in fits of the stack (median): ours {ours:.2f}, theirs {theirs:.1f}")
    ruled = [line["rules"] for line in lines if "rules" in line]
    if ruled:
        print(
            f"\nWhen a threshold is taken, {len(ruled)} runs: mean F1, and costs over those of never (geometric mean):"
        )
        print(means([found["f1"] for found in ruled], [found["cost"] for found in ruled], "never"))
        for name in ("f1", "cost"):
            gains = pd.DataFrame([found[name] for found in ruled])
            gains = (gains["any gain"] - gains["a standard error"])[lambda gain: gain != 0]
            print(f"{name}, any gain less a standard error, where they differ: {gains.round(4).tolist()}")


def means(f1, costs, beside):
    costs = pd.DataFrame(costs)
    ratios = np.exp(np.log(costs.div(costs[beside], axis=0)).mean())
    return pd.DataFrame({"f1": pd.DataFrame(f1).mean(), "costs": ratios}).round(4)


def by_level(sizes):
    wide = sizes.pivot_table(index=["table", "seed", "what"], columns="system", values=["coverage", "size"])
    table = {}
    for what, here in wide.groupby(level="what"):
        row = {}
        for system in here["coverage"]:
            covered = here["coverage", system].dropna()
            row |= {system: covered.mean(), f"{system} sd": covered.std(), "runs": len(covered)}
        if "split" in here["size"]:
            ratio = here["size", "stackkit"] / here["size", "split"]
            row["size, ratio"] = np.exp(np.log(ratio).mean())
        table[what] = row
    return pd.DataFrame(table).T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="file of results, one JSON line a run, appended")
    parser.add_argument("--tables", nargs="+", help="names; default: all of the half")
    parser.add_argument("--half", choices=(*HALVES, "both"), default="first", help="default: %(default)s")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the splits; default: 0")
    parser.add_argument("--preset", default="fast", help="of the stack, or quick: few learners; default: %(default)s")
    parser.add_argument("--rows", type=int, help="at most so many rows of each table")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--thresholds", action="store_true", help="tune thresholds, too")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, help="these systems alone")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    path = find("tabular/sets.csv")
    if path is None:
        return
    sets = pd.read_csv(path)
    halves = half_of(sets["name"])
    if unknown := sorted(set(options.tables or ()) - set(halves)):
        sys.exit(f"--tables must name some of {', '.join(halves)}; got {', '.join(unknown)}")
    wanted = options.tables or [name for name, half in halves.items() if options.half in (half, "both")]
    chosen = sets.set_index("name", drop=False).loc[wanted].to_dict("records")
    tables = [row | {"path": str(path.with_name(f"{row['name']}.csv.gz"))} for row in chosen]
    if not options.report:
        run_all(tables, options)
    report([line for line in read_lines(options.output) if line["table"] in wanted])


if __name__ == "__main__":
    main()
