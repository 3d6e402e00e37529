"""The command `stackkit`: from tables to predictions, with honest scores on the way.

Run ``stackkit --help``. Results go to stdout, all else to stderr. Exit codes: 0; 1 where the work failed; 2 for
input that cannot be used; 130 after Ctrl-C.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pandas as pd

from stackkit.cli.form import FILE, OneLine, Say, cause_of, noted, option, speaking, together

OUTER = 5  # outer folds of --verdict


# --- options ----------------------------------------------------------------------------------------


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    if value is not None and not names:
        raise click.BadParameter("it names none; give one or more, with commas between them.")
    return names or None


_OF_DATA = together(
    option("Columns", "--target", required=True, metavar="COL", help="What is to be predicted."),
    option("Columns", "--id", metavar="COL", help="Names the rows, in the output too; no feature."),
    option("Columns", "--drop", multiple=True, metavar="COL", help="Leave a column out; may be repeated."),
    option(
        "Columns",
        "--task",
        type=click.Choice(["classification", "regression"]),
        help="By default told from the target: text and few different numbers are classes.",
    ),
    option("Folds", "--cv", type=click.IntRange(2), default=5, show_default=True, help="Number of folds."),
    option(
        "Folds", "--repeats", type=click.IntRange(1), default=1, show_default=True, help="With other folds each time."
    ),
    option("Folds", "--groups", metavar="COL", help="Rows of a group stay in one fold; no feature."),
    option(
        "Folds",
        "--time-order",
        metavar="COL",
        help="Learn from the past, test on what follows; rows of one time stay together; no feature.",
    ),
    option(
        "Folds",
        "--gap",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        metavar="N",
        help="With --time-order: learn nothing from the N times, such as days, right before those of a test part.",
    ),
    option("Folds", "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of folds and learners."),
    option(
        "Stack",
        "--preset",
        type=click.Choice(["fast", "balanced", "best"]),
        default="fast",
        show_default=True,
        help="How many learners, how costly: for some 10, 60 or 600 seconds on two cores.",
    ),
    option(
        "Stack",
        "--learners",
        callback=_names,
        metavar="NAME,NAME",
        help="Instead of the preset's: some of bn_mlp, splines, lightgbm, kernel, extra_trees, xgboost, random_forest, "
        "lightgbm_slow, lightgbm_extra, lightgbm_small, hist_gradient_boosting, bn_mlp_wide, knn, catboost; for "
        "classification also logistic, lda, naive_bayes, for regression ridge, lightgbm_linear.",
    ),
    option(
        "Stack",
        "--final",
        metavar="NAME",
        help="What weighs the learners. Classification: log_pool (default), convex, ensemble_selection, logistic; "
        "regression: ridge_pool (default), linear_pool, convex, ensemble_selection, ridge.",
    ),
    option(
        "Stack",
        "--metric",
        metavar="NAME",
        help="A scorer of scikit-learn, such as roc_auc, f1 or r2, to rank by. Default: log loss; for regression RMSE.",
    ),
    option(
        "Run", "--jobs", type=int, default=-1, metavar="N", help="Workers. Changes no result. Default: -1, all cores."
    ),
    option("Run", "--memory", type=FILE, metavar="DIR", help="Keep what was computed; go on after a stop."),
    option(
        "Run",
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Start no more fits after that; stack what is there.",
    ),
    option("Run", "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."),
    option("Run", "--quiet", is_flag=True, help="Say nothing on stderr but errors."),
)
_OF_FILES = together(
    option("Files", "--test", type=FILE, metavar="FILE", help="Rows to predict."),
    option("Files", "--output", type=FILE, metavar="FILE", help="Predictions for --test: .csv, .csv.gz or .parquet."),
    option("Files", "--probabilities", is_flag=True, help="Write a column a class instead of the class."),
    option("Files", "--ignore-test-target", is_flag=True, help="Allow the target's column in --test."),
    option(
        "Files",
        "--model",
        type=FILE,
        metavar="FILE",
        help="The model, for `stackkit predict`, and stackkit.load in Python.",
    ),
    option("Files", "--report", type=FILE, metavar="FILE", help="One HTML page of what was learned."),
    option(
        "Stack",
        "--verdict",
        is_flag=True,
        help=f"Say at the end whether stacking helps, by nested cross-validation: {OUTER} times the fits on top.",
    ),
)


# --- commands ---------------------------------------------------------------------------------------


@click.group(cls=OneLine, invoke_without_command=True)
@click.version_option(metadata.version("stackkit"), prog_name="stackkit")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Stack many learners on a table: leak-free, from a file to predictions.

    \b
    stackkit fit train.csv --target Survived --id PassengerId \\
        --test test.csv --output submission.csv
    stackkit compare train.csv --target Survived --id PassengerId
    stackkit fit train.csv --target price --model house.model
    stackkit predict house.model new.csv --output prices.csv
    """  # noqa: D301 -- click's mark for lines that stay as they are
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command(short_help="Fit a stack, print its learners' scores, predict.")
@click.argument("train", type=FILE)
@_OF_FILES
@_OF_DATA
def fit(train: Path, **options: Any) -> None:
    """Fit a stack on TRAIN, print its learners' scores, predict new rows.

    TRAIN is a table with a header: .csv (also .gz, .bz2, .xz) or .parquet.
    Codes with leading zeros, such as 007, are text; so are dates that may
    have the day or the month first. Classes and IDs are written back as they
    are spelled. Scores are of rows that a learner did not see.

    \b
    Examples:
      stackkit fit train.csv --target Survived --id PassengerId \\
          --test test.csv --output submission.csv
      stackkit fit train.csv --target price --learners ridge,xgboost \\
          --model house.model --report report.html
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _fit(train, options, say)


@main.command(short_help="Does stacking help? Nested scores and a verdict.")
@click.argument("train", type=FILE)
@option("Folds", "--outer", type=click.IntRange(2), default=OUTER, show_default=True, help="Number of outer folds.")
@_OF_DATA
def compare(train: Path, outer: int, **options: Any) -> None:
    """Does stacking help on TRAIN? Nested cross-validation and a verdict.

    The stack, its best learner, their plain mean and each learner are scored
    on rows that nothing was learned from. This takes --outer times as long as
    fit.

    \b
    Example:
      stackkit compare train.csv --target Survived --id PassengerId
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _compare(train, outer, options, say)


@main.command(short_help="Predict new rows with a model file.")
@click.argument("model", type=FILE)
@click.argument("new", type=FILE)
@option("Files", "--output", type=FILE, required=True, metavar="FILE", help="Predictions: .csv, .csv.gz or .parquet.")
@option("Files", "--probabilities", is_flag=True, help="Write a column a class instead of the class.")
@option("Run", "--jobs", type=int, metavar="N", default=-1, help="Threads. Default: -1, all cores.")
@option("Run", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def predict(model: Path, new: Path, **options: Any) -> None:
    """Predict the rows of NEW with a MODEL that `stackkit fit --model` wrote.

    Nothing in a model file is run. Columns that the model does not know are
    ignored, the target too.

    \b
    Example:
      stackkit predict house.model new.csv --output prices.csv
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _predict(model, new, options, say)


@main.command(short_help="Versions; what a store or a model file holds.")
@click.argument("path", type=FILE, required=False)
def info(path: Path | None) -> None:
    """Show versions and where the store's key is, or what PATH holds.

    PATH is the folder of --memory, or a file of --model.

    \b
    Examples:
      stackkit info
      stackkit info cache/
      stackkit info house.model
    """  # noqa: D301 -- click's mark for lines that stay as they are
    from stackkit._store import Store, key_path, store_info  # noqa: PLC0415
    from stackkit._utils import versions  # noqa: PLC0415
    from stackkit.cli.model_file import read_stack  # noqa: PLC0415
    from stackkit.cli.printing import as_line  # noqa: PLC0415

    if path is None:
        key = key_path(Store("."))
        click.echo("\n".join(f"{name} {version}" for name, version in versions().items()))
        click.echo(f"store's key: {key}{'' if key.exists() else ' (made when a store is first used)'}")
    elif path.is_dir():
        click.echo(store_info(path))
    else:
        archive, _ = read_stack(path)
        click.echo("\n".join(f"{key}: {as_line(value)}" for key, value in archive.facts.items()))


# --- the work ---------------------------------------------------------------------------------------
# Imports stand inside: `stackkit --help` is not to wait for what only the work needs.


def _fit(train: Path, options: dict[str, Any], say: Say) -> None:
    from stackkit.cli.printing import as_json, board_facts, scores_as_text  # noqa: PLC0415
    from stackkit.cli.problem import make_metric  # noqa: PLC0415
    from stackkit.cli.problem_folds import VERDICT, check_folds  # noqa: PLC0415

    _check_files(train, options)
    problem, new = _read(train, options, say)
    metric = make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    check_folds(problem, stack, options["cv"])
    outer = _outer_splitter(problem, stack, OUTER, VERDICT, options) if options["verdict"] else None
    if outer:
        say(f"--verdict: all of that {OUTER} more times")
    stack.fit(problem.X, problem.y, groups=problem.together)
    files = _write(stack, problem, new, options)
    with noted(f"written: {', '.join(files.values())}") if files else nullcontext():
        board = _board(stack, problem, metric)
        facts = _described(problem, len(stack.oof_.folds)) | board_facts(board) | {"files": files}
        if not options["as_json"]:
            click.echo(scores_as_text(board, len(stack.oof_.folds), verdict=bool(outer)))
            for name, path in files.items():
                click.echo(f"{name}: {path}{f', {len(new[0])} rows' if name == 'output' else ''}")
        elif not outer:
            click.echo(as_json(facts))
        if outer:
            _tell_verdict(stack, problem, outer, metric=metric, facts=facts, options=options)


def _write(stack: Any, problem: Any, new: Any, options: dict[str, Any]) -> dict[str, str]:
    """All files that were asked for, or none of them; what each is called."""
    from stackkit._utils import written_whole  # noqa: PLC0415
    from stackkit.cli.model_file import write_stack  # noqa: PLC0415
    from stackkit.cli.tables import write_table  # noqa: PLC0415

    with written_whole() as draft_for:
        if new:
            X, ids = new
            predicted = _predictions(stack, X, ids, problem.schema, options["probabilities"])
            write_table(predicted, draft_for(options["output"]))
        if options["model"]:
            write_stack(draft_for(options["model"]), stack, problem.schema)
        if options["report"]:
            _write_report(stack, problem, draft_for(options["report"]))
    return {name: str(options[name]) for name in ("output", "model", "report") if options[name]}


def _write_report(stack: Any, problem: Any, path: Path, nested: Any = None) -> None:
    from stackkit.report import write_report  # noqa: PLC0415

    write_report(stack, path, X=problem.X, nested=nested, command=click.get_current_context().obj)


def _board(stack: Any, problem: Any, metric: Any, nested: Any = None) -> pd.DataFrame:
    from stackkit.cli.problem import rescored  # noqa: PLC0415

    board: pd.DataFrame = stack.leaderboard(nested=nested, full=True)
    return rescored(board, stack, problem, metric) if metric else board


def _tell_verdict(
    stack: Any, problem: Any, outer: Any, *, metric: Any, facts: dict[str, Any], options: dict[str, Any]
) -> None:
    """After all else, since it takes by far the longest: whatever ends it, the fit and its results stay."""
    from stackkit.cli.printing import as_json, board_facts, nested_as_text, nested_facts  # noqa: PLC0415

    try:
        with noted("the fit is finished and its scores are printed, only the verdict is missing"):
            nested = _nested(stack, problem, outer, options)
            if options["as_json"]:
                board = board_facts(_board(stack, problem, metric, nested))
                shown = as_json(facts | board | nested_facts(nested))
            else:
                shown = f"\n{nested_as_text(nested)}"
    except (Exception, KeyboardInterrupt) as error:
        if options["as_json"]:
            cause, _ = cause_of(error) or (repr(error), None)
            click.echo(as_json(facts | {"verdict": None, "verdict_error": cause}))
        raise
    click.echo(shown)
    if options["report"]:
        with noted("the verdict is printed, and the report stays without it"):
            _write_report(stack, problem, options["report"], nested)


def _compare(train: Path, outer: int, options: dict[str, Any], say: Say) -> None:
    from stackkit.cli.printing import as_json, nested_as_text, nested_facts, records  # noqa: PLC0415
    from stackkit.cli.problem import make_metric  # noqa: PLC0415
    from stackkit.cli.problem_folds import OUTER as OPTION  # noqa: PLC0415

    problem, _ = _read(train, options, say)
    make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    nested = _nested(stack, problem, _outer_splitter(problem, stack, outer, OPTION, options), options)
    if not options["as_json"]:
        click.echo(nested_as_text(nested))
        return
    told = {"table": records(nested.table), "differences": records(nested.differences)} | nested_facts(nested)
    click.echo(as_json(_described(problem, options["cv"]) | {"outer": outer} | told))


def _predict(model: Path, new: Path, options: dict[str, Any], say: Say) -> None:
    from stackkit._persistence import other_versions  # noqa: PLC0415
    from stackkit._utils import written_whole  # noqa: PLC0415
    from stackkit.cli.model_file import build_stack, read_stack  # noqa: PLC0415
    from stackkit.cli.problem import read_new  # noqa: PLC0415
    from stackkit.cli.tables import (  # noqa: PLC0415
        check_apart,
        check_suffix,
        check_writable,
        read_table,
        write_table,
    )

    output = options["output"]
    check_suffix(output)
    check_apart({"MODEL": model, "NEW": new}, {"--output": output})
    archive, schema = read_stack(model)
    X, ids = read_new(read_table(new, say), schema, say, strict=False)
    _check_probabilities(schema, wanted=options["probabilities"])
    check_writable(output)
    if changed := other_versions(archive):
        say(f"{model} was written with other versions of {', '.join(changed)}; predictions may differ")
    stack = build_stack(model, archive).set_params(n_jobs=options["jobs"], verbose=not options["quiet"])
    with written_whole() as draft_for:
        write_table(_predictions(stack, X, ids, schema, options["probabilities"]), draft_for(output))
    click.echo(f"output: {output}, {len(X)} rows")


def _read(train: Path, options: dict[str, Any], say: Say) -> tuple[Any, Any]:
    """The training rows, and those to predict with their IDs, or None."""
    from stackkit.cli.problem import ColumnRoles, read_new, read_problem  # noqa: PLC0415
    from stackkit.cli.tables import read_table  # noqa: PLC0415

    table = read_table(train, say)
    test = read_table(options["test"], say) if options.get("test") else None
    picked = {key: options[key] for key in ("target", "id", "groups", "time_order", "drop")}
    problem = read_problem(table, ColumnRoles(**picked), options["task"], say, other=test.names if test else ())
    _check_probabilities(problem.schema, wanted=options.get("probabilities", False))
    if test is None:
        return problem, None
    if problem.schema.target in test.names and not options["ignore_test_target"]:
        raise test.error(
            f"has the target {problem.schema.target!r}, which rows to predict do not have; is it the right file? "
            "If so, add --ignore-test-target"
        )
    return problem, read_new(test, problem.schema, say, strict=True)


def _make_stack(problem: Any, options: dict[str, Any]) -> Any:
    from stackkit._model import StackingModel  # noqa: PLC0415
    from stackkit.cli.problem import make_final, make_learners  # noqa: PLC0415
    from stackkit.cli.problem_folds import CV, make_splitter  # noqa: PLC0415

    seed = options["seed"]
    return StackingModel(
        make_learners(options["learners"], problem),
        make_final(options["final"], problem),
        preset=options["preset"],
        task=problem.task,
        cv=make_splitter(problem, options["cv"], repeats=options["repeats"], seed=seed, option=CV, gap=options["gap"]),
        n_jobs=options["jobs"],
        memory=options["memory"],
        on_error="drop",  # with a warning, and told in the leaderboard
        time_limit=options["time_limit"],
        random_state=seed,
        verbose=not options["quiet"],
    )


def _outer_splitter(problem: Any, stack: Any, n_folds: int, option: str, options: dict[str, Any]) -> Any:
    """Of nested scores, whose folds can all be made."""
    from stackkit.cli.problem_folds import check_nested, make_splitter  # noqa: PLC0415

    outer = make_splitter(problem, n_folds, repeats=1, seed=options["seed"], option=option, gap=options["gap"])
    check_nested(problem, stack, outer, options["cv"], option=option)
    return outer


def _nested(stack: Any, problem: Any, outer: Any, options: dict[str, Any]) -> Any:
    from stackkit.evaluation import nested_scores  # noqa: PLC0415

    y = problem.target.values
    return nested_scores(stack, problem.X, y, cv=outer, scoring=options["metric"], groups=problem.together)


def _predictions(stack: Any, X: pd.DataFrame, ids: Any, schema: Any, probabilities: bool) -> pd.DataFrame:
    from stackkit.cli.problem import in_order  # noqa: PLC0415

    columns = {} if ids is None else {schema.id: ids}
    if probabilities:
        by_class = dict(zip(stack.classes_.tolist(), stack.predict_proba(X).T, strict=True))
        return pd.DataFrame(columns | {label: by_class[label] for label in in_order(by_class)})
    return pd.DataFrame(columns | {schema.target: stack.predict(X)})


# --- checks of files --------------------------------------------------------------------------------


def _check_files(train: Path, options: dict[str, Any]) -> None:
    """Before anything is fitted."""
    from stackkit.cli.tables import check_apart, check_suffix, check_writable  # noqa: PLC0415

    if bool(options["test"]) != bool(options["output"]):
        raise click.UsageError("--test and --output go together; give both, or neither.")
    if options["probabilities"] and not options["output"]:
        raise click.UsageError("--probabilities needs --test and --output.")
    written = {f"--{name}": options[name] for name in ("output", "model", "report") if options[name]}
    if options["output"]:
        check_suffix(options["output"])
    check_apart({"TRAIN": train} | ({"--test": options["test"]} if options["test"] else {}), written)
    for path in written.values():
        check_writable(path)


def _check_probabilities(schema: Any, *, wanted: bool) -> None:
    if wanted and schema.classes is None:
        raise click.UsageError(f"--probabilities needs classes, and {schema.target!r} is a number.")
    if wanted and schema.id in schema.classes:
        raise click.UsageError(f"--probabilities: a class has the name of the ID column, {schema.id!r}; rename that.")


def _described(problem: Any, folds: int) -> dict[str, Any]:
    schema = problem.schema
    facts = {"task": schema.task, "target": schema.target, "classes": schema.classes}
    return facts | {"rows": len(problem.y), "features": list(schema.kinds), "folds": folds}
