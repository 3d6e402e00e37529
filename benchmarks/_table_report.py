"""What `tables.py` prints: losses of many systems on many tables, as ratios.

A ratio of losses is taken on the same rows, that is for one table and seed. Its logarithms are averaged over the seeds
of a table first, then over tables, so that a table with more seeds counts no more than another.
"""

from itertools import combinations

import numpy as np
import pandas as pd

TIE = 0.005  # losses that differ by less than this share are a tie
BEST_LEARNER = "best-learner"


def with_best_learners(results):
    """A row more for each run of stackkit: the learner with the best out-of-fold score, without the others."""
    if "best_learner_loss" not in results:
        return results
    known = results[results["best_learner_loss"].notna()]
    names = known["system"].str.replace("stackkit", BEST_LEARNER, n=1, regex=False)
    rows = known[["table", "seed"]].assign(system=names, loss=known["best_learner_loss"])
    return pd.concat([results, rows], ignore_index=True)


def wide(results, column):
    """A row for each table and seed, a column for each system; NaN where it did not run, or refused."""
    values = results.dropna(subset="loss").set_index(["table", "seed", "system"])[column]
    return values.unstack("system")[values.index.unique("system")]  # noqa: PD010  # its other would average what is there twice


def wide_losses(results):
    return wide(results, "loss")


def ratio_by_table(values, system, other):
    """Of tables that both have; of losses, or of seconds."""
    logs = np.log(values[system] / values[other]).dropna()
    return np.exp(logs.groupby(level="table").mean())


def geometric_mean(values):
    return np.exp(np.log(values).mean())


def by_system(results, losses):
    """Each system beside the best on each table and seed, and what it costs."""
    over_best = np.log(losses.div(losses.min(axis=1), axis=0)).groupby(level="table").mean()
    ranks = losses.rank(axis=1).groupby(level="table").mean()
    runs = results.groupby("system")
    table = pd.DataFrame({"tables": over_best.notna().sum(), "loss / best": np.exp(over_best.mean())})
    table["mean rank"] = ranks.mean()
    table["refused"] = runs["error"].count()
    table["over budget"] = results["over_budget"].eq(True).groupby(results["system"]).sum()
    for title, column in (("fit s", "fit"), ("MiB", "memory")):
        table[f"{title}, median"], table[f"{title}, max"] = runs[column].median(), runs[column].max()
    table["1 row, ms"], table["10,000 rows, s"] = 1000 * runs["predict_one"].median(), runs["predict_10000"].median()
    return table.reindex(losses.columns)


def by_pair(losses):
    """Ratios of the first one's losses to the second one's: below 1 the first is better, and it wins."""
    found = {}
    for system, other in combinations(losses.columns, 2):
        ratios = ratio_by_table(losses, system, other)
        if ratios.empty:
            continue
        tied = np.abs(np.log(ratios)) <= np.log1p(TIE)
        found[f"{system} / {other}"] = {
            "tables": len(ratios),
            "ratio": geometric_mean(ratios),
            "wins": (~tied & (ratios < 1)).sum(),
            "ties": tied.sum(),
            "losses": (~tied & (ratios > 1)).sum(),
            "ahead": f"{(ratios < 1).mean():.0%}",
            "highest": f"{ratios.max():.3f} {ratios.idxmax()}",
            "lowest": f"{ratios.min():.3f} {ratios.idxmin()}",
        }
    return pd.DataFrame.from_dict(found, orient="index")


def by_table(losses, reference):
    """The reference's loss, the mean over its seeds, and the others' ratios to it."""
    found = pd.DataFrame({"its loss": losses[reference].groupby(level="table").mean()})
    for system in losses.columns.drop(reference):
        found[system] = ratio_by_table(losses, system, reference)
    return found.dropna(how="all").sort_index()


def markdown(frame, title):
    """A table that can be read as it is printed, and pasted."""
    rows = [[title, *map(str, frame.columns)]]
    rows += [[str(name), *map(_cell, values)] for name, *values in frame.astype(object).itertuples(name=None)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    padded = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def _cell(value):
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"
