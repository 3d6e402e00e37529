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

from stackkit.cli.form import FILE, ManyFiles, OneLine, Say, cause_of, noted, option, resumable, speaking
from stackkit.cli.options import ENCODING, NA, OF_DATA, OF_FILES, OF_GIVEN, OUTER, PROBABILITIES, SEP

# --- commands ---------------------------------------------------------------------------------------


@click.group(cls=OneLine, invoke_without_command=True)
@click.version_option(metadata.version("stackkit"), prog_name="stackkit")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Stack many learners on a table without leaks: from a file to predictions.

    \b
    stackkit fit train.csv --target Survived --id PassengerId \\
        --test test.csv --output submission.csv
    stackkit compare train.csv --target Survived --id PassengerId
    stackkit fit train.csv --target price --model house.model
    stackkit predict house.model new.csv --output prices.csv
    stackkit blend oof_*.csv --target Survived --id PassengerId
    """  # noqa: D301 -- click's mark for lines that stay as they are
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command(short_help="Fit a stack, print its learners' scores, predict.")
@click.argument("train", type=FILE)
@OF_FILES
@OF_DATA
def fit(train: Path, **options: Any) -> None:
    """Fit a stack on TRAIN, print its learners' scores, predict new rows.

    TRAIN is a table with a header: .csv (also .gz, .bz2, .xz), .parquet,
    .feather or .xlsx; - reads CSV from standard input. Numbers such as
    "$12,300", "45.3%" or "1.234,5" are read where a whole column is written
    so. Codes with leading zeros, such as 007, are text; so are dates that may
    have the day or the month first. Classes and IDs are written back as they
    are spelled. Scores are out of fold: of rows that a learner did not see.

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
@OF_DATA
def compare(train: Path, outer: int, **options: Any) -> None:
    """Does stacking help on TRAIN? Nested cross-validation and a verdict.

    The stack, its best learner, the plain mean and each learner are scored on
    outer folds that no model saw. This takes --outer times as long as fit.

    \b
    Example:
      stackkit compare train.csv --target Survived --id PassengerId
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _compare(train, outer, options, say)


@main.command(short_help="Predict new rows with a model file.")
@click.argument("model", type=FILE)
@click.argument("new", type=FILE)
@option("Files", "--output", type=FILE, required=True, metavar="FILE", help="Predictions: .csv, .csv.gz, .parquet.")
@PROBABILITIES
@ENCODING
@SEP
@NA
@option("Run", "--jobs", type=int, metavar="N", default=-1, help="Number of threads. Default: -1, all cores.")
@option("Run", "--quiet", is_flag=True, help="Print nothing but errors to stderr.")
def predict(model: Path, new: Path, **options: Any) -> None:
    """Predict the rows of NEW with a MODEL that `stackkit fit --model` wrote.

    No code in a model file is run. Columns that the model does not know are
    ignored, also the target. NEW may be - for standard input.

    \b
    Example:
      stackkit predict house.model new.csv --output prices.csv
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _predict(model, new, options, say)


@main.command(cls=ManyFiles, short_help="Blend predictions that others made.")
@click.argument("oof", type=FILE, nargs=-1, required=True, metavar="OOF...")
@OF_GIVEN
def blend(oof: tuple[Path, ...], **options: Any) -> None:
    """Blend predictions that others made, one file per learner.

    No model is needed. OOF... are files of out-of-fold predictions of the
    training rows: the ID, the predictions, and the target, unless --train has
    it. Predictions of classes are one column, the probability of the last
    class, or one column per class. Files of --test hold predictions of new
    rows. The names tell which files belong together: oof_xgb.csv and
    test_xgb.csv are both of xgb. Rows are matched by --id, without it by
    their place.

    Nothing in such files shows that a row was predicted by a model that did
    not see it. With --folds the blend learns on the folds of the predictions.

    \b
    Example:
      stackkit blend oof_*.csv --target Survived --id PassengerId \\
          --test test_*.csv --output submission.csv
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with speaking(quiet=options["quiet"]) as say:
        _blend(oof, options, say)


@main.command(short_help="Versions; what a store or a model file holds.")
@click.argument("path", type=FILE, required=False)
@option("Run", "--json", "as_json", is_flag=True, help="Print one JSON document instead of a page.")
def info(path: Path | None, as_json: bool) -> None:
    """Show versions and where the store's key is, or what PATH holds.

    PATH is the folder of --memory, or a file of --model: what it predicts,
    from which columns, and its scores.

    \b
    Examples:
      stackkit info
      stackkit info cache/
      stackkit info house.model
    """  # noqa: D301 -- click's mark for lines that stay as they are
    from stackkit.cli.info import about  # noqa: PLC0415

    click.echo(about(path, in_json=as_json))


# --- the work ---------------------------------------------------------------------------------------
# Imports stand inside: `stackkit --help` is not to wait for what only the work needs.


def _fit(train: Path, options: dict[str, Any], say: Say) -> None:
    from stackkit.cli.metrics import make_metric  # noqa: PLC0415
    from stackkit.cli.printing import as_json, board_facts, scores_as_text  # noqa: PLC0415
    from stackkit.cli.problem_folds import VERDICT, check_folds  # noqa: PLC0415

    _check_files({"TRAIN": train} | ({"--test": options["test"]} if options["test"] else {}), options)
    problem, new = _read(train, options, say)
    metric = make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    check_folds(problem, stack, options["cv"])
    outer = _outer_splitter(problem, stack, OUTER, VERDICT, options) if options["verdict"] else None
    if outer:
        say(f"--verdict: all of that {OUTER} more times")
    with resumable(options["memory"]):
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
            _tell_verdict(stack, problem, new, outer, metric=metric, facts=facts, options=options)


def _write(stack: Any, problem: Any, new: Any, options: dict[str, Any], nested: Any = None) -> dict[str, str]:
    """All files that were asked for, or none of them; what each is called."""
    from stackkit._utils import written_whole  # noqa: PLC0415
    from stackkit.cli.model_file import write_stack  # noqa: PLC0415
    from stackkit.cli.writing import write_table  # noqa: PLC0415

    with written_whole() as draft_for:
        if new:
            X, ids = new
            predicted = _predictions(stack, X, ids, problem.schema, options["probabilities"])
            write_table(predicted, draft_for(options["output"]))
        if options.get("model"):
            write_stack(draft_for(options["model"]), stack, problem.schema)
        if options["report"]:
            _write_report(stack, problem, new, draft_for(options["report"]), nested)
    return {name: str(options[name]) for name in ("output", "model", "report") if options.get(name)}


def _write_report(stack: Any, problem: Any, new: Any, path: Path, nested: Any = None) -> None:
    from stackkit.report import write_report  # noqa: PLC0415

    told = {"target_name": problem.schema.target, "source": problem.table.path.name, "nested": nested}
    told |= {"X": problem.X, "X_test": new[0] if new else None, "command": click.get_current_context().obj}
    write_report(stack, path, **told)


def _board(stack: Any, problem: Any, metric: Any, nested: Any = None) -> pd.DataFrame:
    from stackkit.cli.metrics import rescored  # noqa: PLC0415

    board: pd.DataFrame = stack.leaderboard(nested=nested, full=True)
    return rescored(board, stack, problem, metric) if metric else board


def _tell_verdict(
    stack: Any, problem: Any, new: Any, outer: Any, *, metric: Any, facts: dict[str, Any], options: dict[str, Any]
) -> None:
    """After all else, since it takes by far the longest: whatever ends it, the fit and its results stay."""
    from stackkit.cli.printing import as_json, board_facts, nested_as_text, nested_facts  # noqa: PLC0415

    try:
        unfinished = "the fit is finished and its scores are printed, only the verdict is missing"
        with resumable(options["memory"]), noted(unfinished):
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
            _write_report(stack, problem, new, options["report"], nested)


def _compare(train: Path, outer: int, options: dict[str, Any], say: Say) -> None:
    from stackkit.cli.metrics import make_metric  # noqa: PLC0415
    from stackkit.cli.printing import as_json, nested_as_text, nested_facts, records  # noqa: PLC0415
    from stackkit.cli.problem_folds import OUTER as OPTION  # noqa: PLC0415

    problem, _ = _read(train, options, say)
    make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    splitter = _outer_splitter(problem, stack, outer, OPTION, options)
    with resumable(options["memory"]):
        nested = _nested(stack, problem, splitter, options)
    if not options["as_json"]:
        click.echo(nested_as_text(nested))
        return
    told = {"table": records(nested.table), "differences": records(nested.differences)} | nested_facts(nested)
    click.echo(as_json(_described(problem, options["cv"]) | {"outer": outer} | told))


def _blend(oof: tuple[Path, ...], options: dict[str, Any], say: Say) -> None:
    from stackkit._model import StackingModel  # noqa: PLC0415
    from stackkit.cli.blends import all_blends, blend_as_text, blend_facts, nested_blend  # noqa: PLC0415
    from stackkit.cli.metrics import make_metric  # noqa: PLC0415
    from stackkit.cli.printing import as_json  # noqa: PLC0415
    from stackkit.cli.problem import make_final  # noqa: PLC0415

    given = _read_given(oof, options, say)
    problem, new = given.problem, given.new
    metric = make_metric(options["metric"], problem)
    final = make_final(options["final"], problem)
    stack = StackingModel.from_oof(given.oof, final, random_state=0)
    nested = nested_blend(given.oof, final, problem, options["metric"])
    files = _write(stack, problem, new, options, nested)
    with noted(f"written: {', '.join(files.values())}") if files else nullcontext():
        found = _board(stack, problem, metric), all_blends(given.oof, problem.task), given.oof, nested
        if options["as_json"]:
            click.echo(as_json(_described(problem, len(given.oof.folds)) | blend_facts(*found) | {"files": files}))
            return
        click.echo(blend_as_text(*found))
        for name, path in files.items():
            click.echo(f"{name}: {path}{f', {len(new[0])} rows' if name == 'output' else ''}")


def _read_given(oof: tuple[Path, ...], options: dict[str, Any], say: Say) -> Any:
    from stackkit.cli.given import GivenRoles, check_pairs, learner_names, read_given  # noqa: PLC0415
    from stackkit.cli.reading import read_table  # noqa: PLC0415

    ours, new, train = learner_names(oof), learner_names(options["test"]), options["train"]
    read = {f"OOF {path}": path for path in oof} | {f"--test {path}": path for path in options["test"]}
    _check_files(read | ({"--train": train} if train else {}), options)
    if new:
        check_pairs(ours, new)
    how = _read_options(options)
    tables, others = ({name: read_table(path, say, how) for name, path in paths.items()} for paths in (ours, new))
    roles = GivenRoles(options["target"], options["id"], options["folds"], options["drop"])
    truth = read_table(train, say, how) if train else None
    given = read_given(tables, others, truth, roles, task=options["task"], say=say)
    options["probabilities"] = _probabilities(given.problem.schema, options["probabilities"], say)
    return given


def _predict(model: Path, new: Path, options: dict[str, Any], say: Say) -> None:
    from stackkit._persistence import other_versions  # noqa: PLC0415
    from stackkit._utils import written_whole  # noqa: PLC0415
    from stackkit.cli.model_file import build_stack, read_stack  # noqa: PLC0415
    from stackkit.cli.problem import read_new  # noqa: PLC0415
    from stackkit.cli.reading import read_table  # noqa: PLC0415
    from stackkit.cli.writing import check_apart, check_suffix, check_writable, write_table  # noqa: PLC0415

    output = options["output"]
    check_suffix(output)
    check_apart({"MODEL": model, "NEW": new}, {"--output": output})
    archive, schema = read_stack(model)
    X, ids = read_new(read_table(new, say, _read_options(options)), schema, say, strict=False)
    wanted = _probabilities(schema, options["probabilities"], say)
    check_writable(output)
    if changed := other_versions(archive):
        say(f"{model} was written with other versions of {', '.join(changed)}; predictions may differ")
    stack = build_stack(model, archive).set_params(n_jobs=options["jobs"], verbose=not options["quiet"])
    with written_whole() as draft_for:
        write_table(_predictions(stack, X, ids, schema, wanted), draft_for(output))
    click.echo(f"output: {output}, {len(X)} rows")


def _read(train: Path, options: dict[str, Any], say: Say) -> tuple[Any, Any]:
    """The training rows, and those to predict with their IDs, or None."""
    from stackkit.cli.problem import ColumnRoles, read_new, read_problem  # noqa: PLC0415
    from stackkit.cli.reading import read_table  # noqa: PLC0415

    how = _read_options(options)
    table = read_table(train, say, how)
    test = read_table(options["test"], say, how) if options.get("test") else None
    picked = {key: options[key] for key in ("target", "id", "groups", "time_order", "drop")}
    problem = read_problem(table, ColumnRoles(**picked), options["task"], say, other=test.names if test else ())
    if "probabilities" in options:
        options["probabilities"] = _probabilities(problem.schema, options["probabilities"], say)
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


def _predictions(stack: Any, X: pd.DataFrame, ids: Any, schema: Any, probabilities: list[str] | str | None) -> Any:
    """With the IDs: the predictions, probabilities of some classes, or of one under the target's name."""
    columns = {} if ids is None else {schema.id: ids}
    if probabilities is None:
        return pd.DataFrame(columns | {schema.target: stack.predict(X)})
    by_class = dict(zip(stack.classes_.tolist(), stack.predict_proba(X).T, strict=True))
    if isinstance(probabilities, str):
        return pd.DataFrame(columns | {schema.target: by_class[probabilities]})
    return pd.DataFrame(columns | {label: by_class[label] for label in probabilities})


def _read_options(options: dict[str, Any]) -> Any:
    from stackkit.cli.tables import ReadOptions  # noqa: PLC0415

    return ReadOptions(options["encoding"], options["sep"], options.get("decimal"), options["na"])


# --- checks of files --------------------------------------------------------------------------------


def _check_files(read: dict[str, Path], options: dict[str, Any]) -> None:
    """Before anything is fitted; ``read`` are files by what they are called in errors."""
    from stackkit.cli.writing import check_apart, check_suffix, check_writable  # noqa: PLC0415

    if bool(options["test"]) != bool(options["output"]):
        raise click.UsageError("--test and --output go together; give both, or neither.")
    if options["probabilities"] and not options["output"]:
        raise click.UsageError("--probabilities needs --test and --output.")
    written = {f"--{name}": options[name] for name in ("output", "model", "report") if options.get(name)}
    if options["output"]:
        check_suffix(options["output"])
    check_apart(read, written)
    for path in written.values():
        check_writable(path)


def _probabilities(schema: Any, wanted: str | None, say: Say) -> list[str] | str | None:
    """The classes whose probabilities are to be written; a text for one of them alone."""
    from stackkit.cli.problem import in_order  # noqa: PLC0415
    from stackkit.cli.tables import guess_or_options  # noqa: PLC0415

    if wanted is None:
        return None
    if schema.classes is None:
        raise click.UsageError(f"--probabilities needs classes, and {schema.target!r} is a number.")
    classes = in_order(schema.classes)
    if wanted == "all":
        if schema.id in classes:
            raise click.UsageError(
                f"--probabilities: a class has the name of the ID column, {schema.id!r}; rename that."
            )
        return classes
    if wanted == "positive":
        if len(classes) > 2:
            raise click.UsageError(
                f"--probabilities positive needs two classes, and {schema.target!r} has {len(classes)}; name one of "
                "them, or leave 'positive' out."
            )
        wanted = classes[-1]
    if wanted not in classes:
        raise click.UsageError(f"--probabilities: no class {wanted!r}; {guess_or_options(wanted, classes)}")
    say(f"the predictions are probabilities of {wanted!r}")
    return wanted


def _described(problem: Any, folds: int) -> dict[str, Any]:
    schema = problem.schema
    facts = {"task": schema.task, "target": schema.target, "classes": schema.classes}
    return facts | {"rows": len(problem.y), "features": list(schema.kinds), "folds": folds}
