"""How good are systems for tables, untuned? Any of them on the public tables of $STACKKIT_DATA/tabular/.

    python benchmarks/tables.py --output runs.jsonl --systems stackkit:fast stackkit:balanced sklearn
    python benchmarks/tables.py --output runs.jsonl --systems autogluon:60 --python autogluon=/path/to/venv/bin/python
    python benchmarks/tables.py --output runs.jsonl --report --against stackkit:balanced
    python benchmarks/tables.py --quick             # 150 rows of three tables: does it run? The figures mean nothing

The tables are in two halves: of the sorted names the first, third, ... and the second, fourth, ... Choose by the first
half alone, which is the default. **The second half is for the end: nothing is chosen by its results**, or they would
no longer tell what new tables will bring.

Systems: stackkit:PRESET; best-learner:PRESET (the one with the best out-of-fold score, of the run of stackkit:PRESET);
sklearn (its stacker of six plain learners); lightgbm; catboost; autogluon:SECONDS and autogluon-medium:SECONDS
(presets best_quality and medium_quality; without SECONDS no limit); and those of `networks.py`. `_table_systems.py` and
`_network_systems.py` show how each one is written.

A quarter of the rows is held out by the seed. Losses are log-loss (probabilities below 1e-15 count as that) or RMSE.
Each run is a fresh process; the systems take turns within a table, in an order that moves on by one each time. A run is
one line of the output; what is there is not run again, and what failed only with --again-failed.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from itertools import product
from pathlib import Path

import pandas as pd
import psutil
from _data import find
from _measure import PeakMemory, in_turn
from _table_report import BEST_LEARNER, by_pair, by_system, by_table, markdown, wide_losses, with_best_learners
from _table_systems import METRICS, SYSTEMS

HALVES = ("first", "second")
SCRIPTS = ("_table_systems.py", "_network_systems.py", "_table_columns.py")  # the first one imports the others
DEFAULT = ["stackkit:fast", "stackkit:balanced", "sklearn"]
BUDGETS = {"fast": 10.0, "balanced": 60.0, "best": 600.0}  # seconds that a preset is meant for, on two cores
OVER = 1.3  # times its budget
QUICK_ROWS, QUICK_TABLES = 150, 3
# What the report asks for, and a file of results may lack.
COLUMNS = ["table", "seed", "system", "loss", "error", "over_budget", "fit", "memory", "predict_one", "predict_10000"]


def half_of(names):
    """Every other name, sorted: which half each one is in."""
    return {name: HALVES[place % 2] for place, name in enumerate(sorted(names))}


# --- running ------------------------------------------------------------------------------------------


def one_run(system, table, seed, options):
    """The line of one run."""
    python = interpreter_of(system, options.python)
    line = {"table": table["name"], "seed": seed, "system": system, "task": table["task"]}
    line["metric"] = METRICS[table["task"]]
    job = {**line, "path": table["path"], "target": table["target"], "n_jobs": options.n_jobs}
    job["rows"] = QUICK_ROWS if options.quick else None
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        result = in_own_process(job | {"folder": str(Path(folder, "models"))}, python, folder, options.timeout)
    if "missing" in result:
        where = f"--python {system.partition(':')[0]}=PATH"
        sys.exit(
            f"{system} needs {result['missing']}, which {python} has not: install it, or name another with {where}"
        )
    line |= result | {"memory": round(memory.mebibytes), "n_jobs": options.n_jobs}
    budget = budget_of(system)
    if budget and "fit" in line:
        line |= {"budget": budget, "over_budget": line["fit"] > OVER * budget}
    return line | {"date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z}"}


def in_own_process(job, python, folder, timeout):
    """What the run tells, or an error. Its output goes to a file: workers that stay may hold a pipe open.

    The scripts are run as copies that stand alone: beside this file, whoever asks for PyTables would import this file.
    """
    given, answer, log = (Path(folder, name) for name in ("job.json", "result.json", "log.txt"))
    given.write_text(json.dumps(job))
    script, *_ = (shutil.copy(Path(__file__).with_name(name), folder) for name in SCRIPTS)
    command = [python, script, str(given), str(answer)]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return {"error": f"not done after {timeout:g} seconds"}
        finally:
            if process.poll() is None:
                end(process.pid)
                process.wait()
    if answer.exists():
        return json.loads(answer.read_text())
    said = [text for text in log.read_text(errors="replace").splitlines() if text.strip()]
    return {"error": f"ended with code {process.returncode}: {said[-1] if said else 'no output'}"[:500]}


def end(number):
    """A process with its children."""
    process = psutil.Process(number)
    for each in [*process.children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def interpreter_of(system, given):
    """Of the longest name given that the system's begins with: autogluon's is also that of autogluon-medium:60."""
    names = [name for name in given if system.startswith(name)]
    return given[max(names, key=len)] if names else sys.executable


def budget_of(system):
    argument = system.partition(":")[2]
    return BUDGETS.get(argument) or (float(argument) if argument else None)


def run_all(tables, systems, seeds, options):
    """What is not there yet, a line at a time. The best learner is told by the run of its stack."""
    print(f"Python {platform.python_version()}; {os.cpu_count()} cores, n_jobs={options.n_jobs}", flush=True)
    systems = list(dict.fromkeys(name.replace(BEST_LEARNER, "stackkit") for name in systems))
    lines = read_lines(options.output)
    failed = {key for key, line in lines.items() if "error" in line}
    done = set(lines) - (failed if options.again_failed else set())
    for turn, (seed, table) in enumerate(product(seeds, tables)):
        for system in in_turn(systems, turn):
            if (table["name"], seed, system) in done:
                continue
            line = one_run(system, table, seed, options)
            with options.output.open("a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")
            told = f"refused: {line['error']}" if "error" in line else f"{line['metric']} {line['loss']:.5g}"
            seconds = f", fit {line['fit']:.1f} s" if "fit" in line else ""
            print(f"{table['name']}, seed {seed}, {system}: {told}{seconds}, {line['memory']} MiB", flush=True)


# --- results ------------------------------------------------------------------------------------------


def read_lines(path):
    """By table, seed and system; of two lines the later one counts. A line without system is of the file's only one."""
    if not path.exists():
        return {}
    lines = [json.loads(text) for text in path.read_text(encoding="utf8").splitlines()]
    systems = {line["system"] for line in lines if "system" in line}
    only = systems.pop() if len(systems) == 1 else path.stem
    return {(line["table"], line["seed"], line.get("system", only)): {"system": only} | line for line in lines}


def joined_results(options):
    """All lines as a frame; a system of another file that has the name of one here gets the file's, too."""
    own = with_best_learners(pd.DataFrame(list(read_lines(options.output).values())))
    if options.systems and not own.empty:
        own = own[own["system"].isin(options.systems)]
    frames = [own]
    for path in options.with_:
        other = with_best_learners(pd.DataFrame(list(read_lines(path).values())))
        taken = {system for frame in frames if not frame.empty for system in frame["system"]}
        other["system"] = [f"{name} ({path.stem})" if name in taken else name for name in other["system"]]
        frames.append(other)
    results = pd.concat(frames, ignore_index=True)
    return results.reindex(columns=[*results.columns, *(name for name in COLUMNS if name not in results)])


def report(results, halves, options):
    """One summary for each half asked for, and for both."""
    parts = {half: [name for name, its in halves.items() if its == half] for half in HALVES}
    parts = {"both halves": list(halves)} | parts if options.half == "both" else {options.half: parts[options.half]}
    for part, names in parts.items():
        chosen = results[results["table"].isin(names)]
        losses = wide_losses(chosen) if len(chosen) else chosen
        for line in chosen[chosen["error"].notna()].itertuples():
            print(f"\nrefused: {line.table}, seed {line.seed}, {line.system}: {line.error}")
        if losses.empty:
            print(f"\nNo losses on {part if 'halves' in part else f'the {part} half'}.")
            continue
        order = [system for system in options.systems or () if system in losses]
        losses = losses[[*order, *losses.columns.drop(order)]]
        runs = f"{losses.index.get_level_values('table').nunique()} tables, {len(losses)} splits"
        print(f"\n## {part.capitalize()}{'' if 'halves' in part else ' half'}: {runs}\n")
        print(markdown(by_system(chosen, losses), "system"))
        pairs = by_pair(losses)
        if len(pairs):
            print("\n" + markdown(pairs, "ratio of losses"))
        if options.against and options.against not in losses:
            print(f"\nNo losses of --against {options.against} here; there are {', '.join(losses)}.")
        elif options.against:
            print("\n" + markdown(by_table(losses, options.against), f"ratio to {options.against}"))


# --- what is asked for --------------------------------------------------------------------------------


def chosen_tables(options):
    """Their descriptions, and the half of each; None where there are none."""
    path = find("tabular/sets.csv")
    if path is None:
        return None
    sets = pd.read_csv(path)
    halves = half_of(sets["name"])
    if unknown := sorted(set(options.tables or ()) - set(halves)):
        sys.exit(f"--tables must name some of {', '.join(halves)}; got {', '.join(unknown)}")
    asked = options.tables or list(halves)
    inside = [name for name in asked if options.half in (halves[name], "both")]
    if options.tables and len(inside) < len(asked):
        others = ", ".join(name for name in asked if name not in inside)
        sys.exit(
            f"not of the half that --half asks for ({options.half}): {others}. Ask for the other one, or for both."
        )
    if options.quick and not options.tables:
        inside = sets.set_index("name").loc[inside, "rows"].nsmallest(QUICK_TABLES).index
    described = sets.set_index("name", drop=False).loc[list(inside)].to_dict("records")
    tables = [row | {"path": str(path.with_name(f"{row['name']}.csv.gz"))} for row in described]
    return tables, {name: halves[name] for name in inside}


def check_systems(systems):
    for system in systems:
        name, colon, argument = system.partition(":")
        if takes_preset(name):
            right = name in (BEST_LEARNER, *SYSTEMS) and argument in BUDGETS
        elif name.startswith("autogluon"):
            right = name in SYSTEMS and (not colon or argument.isdecimal())
        else:
            right = name in SYSTEMS and not colon
        if not right:
            known = [spelling for name in (BEST_LEARNER, *SYSTEMS) for spelling in spellings(name)]
            sys.exit(f"--systems must be some of {', '.join(known)}; got {system}")


def takes_preset(name):
    return name == BEST_LEARNER or name.startswith("stackkit")


def spellings(name):
    if takes_preset(name):
        return [f"{name}:{preset}" for preset in BUDGETS]
    return [f"{name}:SECONDS" if name.startswith("autogluon") else name]


def named_path(text):
    name, found, path = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"must be SYSTEM=PATH, got {text!r}")
    return name, path


def parser_of(description, default):
    """What is asked of every script that runs these systems."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="file of results, one JSON line a run, appended")
    parser.add_argument("--systems", nargs="+", help=f"default: {' '.join(default)}; of a report: all")
    parser.add_argument("--tables", nargs="+", help="names; default: all of the half")
    parser.add_argument("--half", choices=(*HALVES, "both"), default="first", help="default: %(default)s")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the splits; default: 0; of a report: all")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    python = {"type": named_path, "action": "append", "default": [], "metavar": "SYSTEM=PATH"}
    parser.add_argument("--python", **python, help="interpreter for systems whose name begins so; may be repeated")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds a run; default: %(default)s")
    parser.add_argument("--again-failed", action="store_true", help="run again what was refused")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--quick", action="store_true", help="few rows: does it run? The figures mean nothing")
    return parser


def parsed_by(parser):
    options = parser.parse_args()
    if options.quick == (options.output is not None):
        parser.error("give --output FILE, or --quick, whose results are not kept")
    options.python = dict(options.python)
    if options.systems:
        options.systems = [f"{name}:balanced" if name == BEST_LEARNER else name for name in options.systems]
        check_systems(options.systems)
    return options


def parsed():
    parser = parser_of(__doc__, DEFAULT)
    parser.add_argument("--against", help="system to whose losses the others' are given, table by table")
    parser.add_argument("--with", dest="with_", nargs="+", type=Path, default=[], help="other results, for the report")
    options = parsed_by(parser)
    if absent := [str(path) for path in options.with_ if not path.is_file()]:
        parser.error(f"--with must name files of results; there is no {', '.join(absent)}")
    return options


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
        results = joined_results(options)
    if options.seeds:
        results = results[results["seed"].isin(options.seeds)]
    report(results, halves, options)


if __name__ == "__main__":
    main()
