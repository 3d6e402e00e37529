"""What are the networks worth, alone and in a stack, beside RealMLP, TabM and boosting?

    python benchmarks/networks.py --output networks.jsonl --seeds 0 1 2
    python benchmarks/networks.py --output networks.jsonl --systems bn_mlp realmlp realmlp-small tabm \
        --python realmlp=/path/to/venv/bin/python --python tabm=/path/to/venv/bin/python
    python benchmarks/networks.py --output networks.jsonl --report --figure networks.png
    python benchmarks/networks.py --quick           # 150 rows of three tables: does it run? The figures mean nothing

Tables, halves, splits, environments and the file of results are those of `tables.py`; so are all other systems.
**The second half is for the end: nothing is chosen by its results.**

Systems: bn_mlp (stackkit's default network) and bn_mlp-before (with its defaults before it encoded columns and stopped
by itself); realmlp, realmlp-small and tabm (RealMLP-TD, RealMLP-TD-S and TabM of pytabkit, in an environment of its
own); catboost5, lightgbm5 and xgboost5 (their defaults). All these are the mean of five fold models.
stackkit-nonets:PRESET and stackkit-oldnets:PRESET are the stack of stackkit:PRESET without networks, and with those
that it had before. `_network_systems.py` shows how each one is written.
"""

import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _table_report import by_system, by_table, geometric_mean, markdown, ratio_by_table, wide, wide_losses
from matplotlib.figure import Figure
from tables import COLUMNS, chosen_tables, parsed_by, parser_of, read_lines, run_all

DEFAULT = [
    *("bn_mlp", "bn_mlp-before", "catboost5", "lightgbm5", "xgboost5"),
    *("stackkit:balanced", "stackkit-nonets:balanced", "stackkit-oldnets:balanced"),
]
# Which losses over which, and what their ratio should not be above.
PAIRS = {
    ("bn_mlp", "bn_mlp-before"): 0.90,
    ("bn_mlp", "realmlp"): 1.0,
    ("bn_mlp", "catboost5"): 1.0,
    ("bn_mlp", "realmlp-small"): None,
    ("bn_mlp", "tabm"): None,
    ("bn_mlp", "lightgbm5"): None,
    ("bn_mlp", "xgboost5"): None,
    ("stackkit:balanced", "stackkit-nonets:balanced"): 0.985,
    ("stackkit:balanced", "stackkit-oldnets:balanced"): 0.99,
}
WORSE = 1.05  # a table on which a ratio is above this is counted
NAMES = {
    "bn_mlp": "BNMLP",
    "bn_mlp-before": "BNMLP, before",
    "realmlp": "RealMLP-TD",
    "realmlp-small": "RealMLP-TD-S",
    "tabm": "TabM",
    "catboost5": "CatBoost",
    "lightgbm5": "LightGBM",
    "xgboost5": "XGBoost",
}
OURS, OTHERS = "#D55E00", "#0072B2"


def comparisons(results):
    """A row for each pair that has run: on the tables, and splits, that both have."""
    losses, seconds = wide_losses(results), wide(results, "fit")
    found = {}
    for (system, other), aim in PAIRS.items():
        if system not in losses or other not in losses:
            continue
        ratios = ratio_by_table(losses, system, other)
        if ratios.empty:
            continue
        both = losses[[system, other]].notna().all(axis=1)
        found[f"{system} / {other}"] = {
            "tables": len(ratios),
            "splits": both.sum(),
            "ratio": geometric_mean(ratios),
            "aim": aim,
            "ahead": f"{(ratios < 1).sum()} of {len(ratios)}",
            "highest": f"{ratios.max():.3f} {ratios.idxmax()}",
            f"above {WORSE}": (ratios > WORSE).sum(),
            "seconds": geometric_mean(ratio_by_table(seconds, system, other)),
        }
    return pd.DataFrame.from_dict(found, orient="index")


def report(results, systems):
    """All that is printed."""
    for line in results[results["error"].notna()].itertuples():
        print(f"refused: {line.table}, seed {line.seed}, {line.system}: {line.error}")
    losses = wide_losses(results)
    if losses.empty:
        print("\nNo losses.")
        return
    losses = losses[sorted(losses, key=lambda name: systems.index(name) if name in systems else len(systems))]
    print(f"\n{losses.index.get_level_values('table').nunique()} tables, {len(losses)} splits\n")
    print(markdown(by_system(results, losses), "system"))
    pairs = comparisons(results)
    if len(pairs):
        print("\n" + markdown(pairs, "ratio of losses"))
    if "bn_mlp" in losses:
        print("\n" + markdown(by_table(losses, "bn_mlp"), "ratio to bn_mlp"))


# --- the figure ---------------------------------------------------------------------------------------


def costs_and_losses(results):
    """Seconds, and the loss over that of the best: geometric means over the tables of those who stand alone.

    Only splits that all of them have, for the best of few is no measure for the others.
    """
    losses = wide_losses(results[results["system"].isin(NAMES)]).dropna()
    seconds = wide(results, "fit").loc[losses.index, losses.columns]

    def mean(values):
        return np.exp(np.log(values).groupby(level="table").mean().mean())

    over_best = losses.div(losses.min(axis=1), axis=0)
    return pd.DataFrame({"seconds": mean(seconds), "loss": mean(over_best)}), losses.index


def draw(means, splits):
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, mean) in enumerate(means.sort_values("seconds").iterrows()):
        colour = OURS if name.startswith("bn_mlp") else OTHERS
        axes.scatter(mean["seconds"], mean["loss"], s=46, color="white" if "before" in name else colour, ec=colour)
        side = 1 if place % 2 else -1  # above and below in turn: neighbours have room
        centred = {"ha": "center", "va": "center", "color": colour}
        axes.annotate(NAMES[name], mean, xytext=(0, 12 * side), textcoords="offset points", **centred)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.1, y=0.12)
    axes.set_xlabel("seconds to fit, geometric mean over the tables")
    axes.set_ylabel("loss / loss of the best, geometric mean")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E3E3")
    axes.set_axisbelow(True)
    tables = splits.get_level_values("table").nunique()
    axes.set_title(f"Five fold models each, on {tables} tables and {len(splits)} splits", loc="left")
    return figure


def save_figure(results, path):
    means, splits = costs_and_losses(results)
    if means.empty or not len(splits):
        print("\nNo figure: there is no split on which all systems that stand alone have a loss.")
        return
    draw(means, splits).savefig(path, dpi=150)
    print(f"\n{path}: of {', '.join(means.index)} on {len(splits)} splits that all of them have")


# --- what is asked for --------------------------------------------------------------------------------


def chosen_results(options, names):
    """Lines of these tables, and of the systems and seeds asked for."""
    results = pd.DataFrame(list(read_lines(options.output).values()))
    results = results.reindex(columns=[*results.columns, *(name for name in COLUMNS if name not in results)])
    chosen = results["table"].isin(names)
    for column, asked in (("system", options.systems), ("seed", options.seeds)):
        if asked:
            chosen &= results[column].isin(asked)
    return results[chosen]


def parsed():
    parser = parser_of(__doc__, DEFAULT)
    parser.add_argument("--figure", type=Path, help="file to draw loss against seconds into, such as networks.png")
    return parsed_by(parser)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and the run that goes on is ended, too
    options = parsed()
    found = chosen_tables(options)
    if found is None:
        return
    tables, halves = found
    with tempfile.TemporaryDirectory() as folder:
        options.output = options.output or Path(folder, "quick.jsonl")
        if not options.report:
            run_all(tables, options.systems or DEFAULT, options.seeds or [0], options)
        results = chosen_results(options, list(halves))
    report(results, options.systems or DEFAULT)
    if options.figure:
        save_figure(results, options.figure)


if __name__ == "__main__":
    main()
