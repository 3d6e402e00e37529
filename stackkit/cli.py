"""The command `stackkit`: from tables to predictions, with honest scores on the way.

Run ``stackkit --help``. Results go to stdout, all else to stderr. Exit codes: 0; 1 where the work failed; 2 for
input that cannot be used; 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pandas as pd

SECTIONS = ("Columns", "Files", "Stack", "Folds", "Run", "Other")
OUTER = 5  # outer folds of --verdict

Say = Callable[[str], None]


# --- the form of options, errors and notes ------------------------------------------------------------


class _Option(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, *args: Any, section: str = "Other", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class _Command(click.Command):
    """Options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for section in SECTIONS:
            found = [option for option in options if getattr(option, "section", "Other") == section]
            if records := [record for option in found if (record := option.get_help_record(ctx))]:
                with formatter.section(section):
                    formatter.write_dl(records)


class _OneLine(click.Group):
    """Whatever goes wrong is one line on stderr."""

    command_class = _Command

    def main(self, *args: Any, **settings: Any) -> Any:
        given = args[0] if args else settings.get("args")
        command = shlex.join(["stackkit", *(sys.argv[1:] if given is None else given)])
        fixed = {"prog_name": "stackkit", "standalone_mode": False, "obj": command}
        try:
            code = super().main(*args, **settings | fixed)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except click.Abort:
            code = _fail("interrupted", 130)
        if settings.get("standalone_mode", True):
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        from stackkit.exceptions import LearnerFailedError, OtherVersionsError  # noqa: PLC0415  # `--help` is quick

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            code = _fail("interrupted", 130)
        except (LearnerFailedError, OtherVersionsError, MemoryError) as error:
            code = _fail(str(error) or "out of memory", 1)
        except (ValueError, TypeError) as error:
            code = _fail(str(error), 2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone
                raise
            place = f": {error.filename}" if error.filename else ""
            code = _fail(f"{error.strerror or error}{place}", 1)
        return ctx.exit(code)


def _fail(cause: str, code: int) -> int:
    click.echo(f"stackkit: error: {_on_one_line(cause)}", err=True)
    return code


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def _notes(*, quiet: bool) -> Iterator[Say]:
    """How the commands speak on stderr; warnings take the same way."""

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"stackkit: {_on_one_line(text)}", err=True)

    def show(message: Warning | str, *_args: Any, **_settings: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield say


# --- options ----------------------------------------------------------------------------------------

FILE = click.Path(path_type=Path)


def _option(section: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=_Option, section=section, **settings)


def _together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    if value is not None and not names:
        raise click.BadParameter("it names none; give one or more, with commas between them.")
    return names or None


_OF_DATA = _together(
    _option("Columns", "--target", required=True, metavar="COL", help="What is to be predicted."),
    _option("Columns", "--id", metavar="COL", help="Names the rows, in the output too; no feature."),
    _option("Columns", "--drop", multiple=True, metavar="COL", help="Leave a column out; may be repeated."),
    _option(
        "Columns",
        "--task",
        type=click.Choice(["classification", "regression"]),
        help="By default told from the target: text and few different numbers are classes.",
    ),
    _option("Folds", "--cv", type=click.IntRange(2), default=5, show_default=True, help="Number of folds."),
    _option(
        "Folds", "--repeats", type=click.IntRange(1), help="With other folds each time. Default: what --preset takes."
    ),
    _option("Folds", "--groups", metavar="COL", help="Rows of a group stay in one fold; no feature."),
    _option(
        "Folds",
        "--time-order",
        metavar="COL",
        help="Learn from the past, test on what follows; no feature.",
    ),
    _option("Folds", "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of folds and learners."),
    _option(
        "Stack",
        "--preset",
        type=click.Choice(["fast", "balanced", "best"]),
        default="fast",
        show_default=True,
        help="How many learners, how costly; best also repeats the folds three times.",
    ),
    _option(
        "Stack",
        "--learners",
        callback=_names,
        metavar="NAME,NAME",
        help="Instead of the preset's: some of logistic, knn, naive_bayes, random_forest, extra_trees, xgboost, "
        "bn_mlp, lda, xgboost_stopped, bn_mlp_wide, xgboost_deep, hist_gradient_boosting; for regression ridge, and "
        "neither logistic, naive_bayes nor lda.",
    ),
    _option(
        "Stack",
        "--final",
        metavar="NAME",
        help="What weighs the learners. Classification: log_pool (default), convex, ensemble_selection, logistic; "
        "regression: linear_pool (default), convex, ensemble_selection, ridge.",
    ),
    _option(
        "Stack",
        "--metric",
        metavar="NAME",
        help="A scorer of scikit-learn, such as roc_auc, f1 or r2, to rank by. Default: log loss; for regression RMSE.",
    ),
    _option(
        "Run", "--jobs", type=int, default=-1, metavar="N", help="Workers. Changes no result. Default: -1, all cores."
    ),
    _option("Run", "--memory", type=FILE, metavar="DIR", help="Keep what was computed; go on after a stop."),
    _option(
        "Run",
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Start no more fits after that; stack what is there.",
    ),
    _option("Run", "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."),
    _option("Run", "--quiet", is_flag=True, help="Say nothing on stderr but errors."),
)
_OF_FILES = _together(
    _option("Files", "--test", type=FILE, metavar="FILE", help="Rows to predict."),
    _option("Files", "--output", type=FILE, metavar="FILE", help="Predictions for --test: .csv, .csv.gz or .parquet."),
    _option("Files", "--probabilities", is_flag=True, help="Write a column a class instead of the class."),
    _option("Files", "--ignore-test-target", is_flag=True, help="Allow the target's column in --test."),
    _option(
        "Files",
        "--model",
        type=FILE,
        metavar="FILE",
        help="The model, for `stackkit predict`, and stackkit.load in Python.",
    ),
    _option("Files", "--report", type=FILE, metavar="FILE", help="One HTML page of what was learned."),
    _option(
        "Stack",
        "--verdict",
        is_flag=True,
        help=f"Say whether stacking helps, by nested cross-validation: {OUTER} times the fits on top.",
    ),
)


# --- commands ---------------------------------------------------------------------------------------


@click.group(cls=_OneLine, invoke_without_command=True)
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
    with _notes(quiet=options["quiet"]) as say:
        _fit(train, options, say)


@main.command(short_help="Does stacking help? Nested scores and a verdict.")
@click.argument("train", type=FILE)
@_option("Folds", "--outer", type=click.IntRange(2), default=OUTER, show_default=True, help="Number of outer folds.")
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
    with _notes(quiet=options["quiet"]) as say:
        _compare(train, outer, options, say)


@main.command(short_help="Predict new rows with a model file.")
@click.argument("model", type=FILE)
@click.argument("new", type=FILE)
@_option("Files", "--output", type=FILE, required=True, metavar="FILE", help="Predictions: .csv, .csv.gz or .parquet.")
@_option("Files", "--probabilities", is_flag=True, help="Write a column a class instead of the class.")
@_option("Run", "--jobs", type=int, metavar="N", default=-1, help="Threads. Default: -1, all cores.")
@_option("Run", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def predict(model: Path, new: Path, **options: Any) -> None:
    """Predict the rows of NEW with a MODEL that `stackkit fit --model` wrote.

    Nothing in a model file is run. Columns that the model does not know are
    ignored, the target too.

    \b
    Example:
      stackkit predict house.model new.csv --output prices.csv
    """  # noqa: D301 -- click's mark for lines that stay as they are
    with _notes(quiet=options["quiet"]) as say:
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
    from stackkit._model_file import read_stack  # noqa: PLC0415
    from stackkit._printed import as_line  # noqa: PLC0415
    from stackkit._store import Store, key_path, store_info  # noqa: PLC0415
    from stackkit._versions import versions  # noqa: PLC0415

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
    from stackkit._files import written_whole  # noqa: PLC0415
    from stackkit._model_file import write_stack  # noqa: PLC0415
    from stackkit._printed import as_json, board_as_text, records  # noqa: PLC0415
    from stackkit._problem import check_nested, make_metric, rescored  # noqa: PLC0415
    from stackkit._tables import write_table  # noqa: PLC0415

    _check_files(train, options)
    problem, new = _read(train, options, say)
    metric = make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    if options["verdict"]:
        check_nested(problem, options["cv"], OUTER)
        say(f"--verdict: all of that {OUTER} more times")
    stack.fit(problem.X, problem.y, groups=problem.groups)
    nested = _nested(stack, problem, options, OUTER) if options["verdict"] else None
    board = stack.leaderboard() if nested is None else stack.leaderboard(nested=nested)
    if metric:
        board = rescored(board, stack.oof_, problem, metric)
    with written_whole() as draft_for:
        if new:
            X, ids = new
            predicted = _predictions(stack, X, ids, problem.schema, options["probabilities"])
            write_table(predicted, draft_for(options["output"]))
        if options["model"]:
            write_stack(draft_for(options["model"]), stack, problem.schema)
        if options["report"]:
            from stackkit.report import write_report  # noqa: PLC0415

            command = click.get_current_context().obj
            write_report(stack, draft_for(options["report"]), X=problem.X, nested=nested, command=command)
    files = {name: str(options[name]) for name in ("output", "model", "report") if options[name]}
    if options["as_json"]:
        facts = {"leaderboard": records(board), "files": files} | ({"verdict": nested.verdict()} if nested else {})
        click.echo(as_json(_described(problem, len(stack.oof_.folds)) | facts))
        return
    click.echo(f"Scores of rows that a learner did not see, over {len(stack.oof_.folds)} folds:\n")
    click.echo(board_as_text(board))
    click.echo(
        f"\n{nested.verdict()}" if nested else "\nWhat the stack itself is worth: --verdict, or stackkit compare."
    )
    for name, path in files.items():
        click.echo(f"{name}: {path}{f', {len(new[0])} rows' if new and name == 'output' else ''}")


def _compare(train: Path, outer: int, options: dict[str, Any], say: Say) -> None:
    from stackkit._printed import as_json, number, records, table_as_text  # noqa: PLC0415
    from stackkit._problem import check_nested, make_metric  # noqa: PLC0415

    problem, _ = _read(train, options, say)
    make_metric(options["metric"], problem)
    stack = _make_stack(problem, options)
    check_nested(problem, options["cv"], outer)
    nested = _nested(stack, problem, options, outer)
    if options["as_json"]:
        facts = {"metric": nested.scoring, "table": records(nested.table), "differences": records(nested.differences)}
        click.echo(
            as_json(_described(problem, options["cv"]) | {"outer": outer} | facts | {"verdict": nested.verdict()})
        )
        return
    click.echo(f"{nested.scoring} on {outer} outer folds, higher is better, with the 95 % interval:\n")
    for table in (nested.table, nested.differences):
        click.echo(table_as_text(table.map(number)) + "\n")
    click.echo(nested.verdict())


def _predict(model: Path, new: Path, options: dict[str, Any], say: Say) -> None:
    from stackkit._files import written_whole  # noqa: PLC0415
    from stackkit._model_file import build_stack, read_stack  # noqa: PLC0415
    from stackkit._problem import read_new  # noqa: PLC0415
    from stackkit._saving import other_versions  # noqa: PLC0415
    from stackkit._tables import (  # noqa: PLC0415
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
    stack = build_stack(model, archive).set_params(n_jobs=options["jobs"])
    with written_whole() as draft_for:
        write_table(_predictions(stack, X, ids, schema, options["probabilities"]), draft_for(output))
    click.echo(f"output: {output}, {len(X)} rows")


def _read(train: Path, options: dict[str, Any], say: Say) -> tuple[Any, Any]:
    """The training rows, and those to predict with their IDs, or None."""
    from stackkit._problem import Columns, read_new, read_problem  # noqa: PLC0415
    from stackkit._tables import read_table  # noqa: PLC0415

    table = read_table(train, say)
    test = read_table(options["test"], say) if options.get("test") else None
    picked = {key: options[key] for key in ("target", "id", "groups", "time_order", "drop")}
    problem = read_problem(table, Columns(**picked), options["task"], say, other=test.names if test else ())
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
    from stackkit._problem import default_repeats, make_final, make_learners, make_splitter  # noqa: PLC0415
    from stackkit._stacking import StackingModel  # noqa: PLC0415

    seed = options["seed"]
    repeats = options["repeats"] or default_repeats(problem, options["preset"])
    return StackingModel(
        make_learners(options["learners"], problem),
        make_final(options["final"], problem),
        preset=options["preset"],
        task=problem.task,
        cv=make_splitter(problem, options["cv"], repeats=repeats, seed=seed, option="--cv"),
        n_jobs=options["jobs"],
        memory=options["memory"],
        on_error="drop",  # with a warning, and told in the leaderboard
        time_limit=options["time_limit"],
        random_state=seed,
        verbose=not options["quiet"],
    )


def _nested(stack: Any, problem: Any, options: dict[str, Any], outer: int) -> Any:
    from stackkit._problem import make_splitter  # noqa: PLC0415
    from stackkit.evaluation import nested_scores  # noqa: PLC0415

    target = problem.target
    return nested_scores(
        stack,
        problem.X,
        target.values,
        cv=make_splitter(problem, outer, repeats=1, seed=options["seed"], option="--outer"),
        scoring=options["metric"],
        groups=problem.groups,
    )


def _predictions(stack: Any, X: pd.DataFrame, ids: Any, schema: Any, probabilities: bool) -> pd.DataFrame:
    from stackkit._problem import in_order  # noqa: PLC0415

    columns = {} if ids is None else {schema.id: ids}
    if probabilities:
        by_class = dict(zip(stack.classes_.tolist(), stack.predict_proba(X).T, strict=True))
        return pd.DataFrame(columns | {label: by_class[label] for label in in_order(by_class)})
    return pd.DataFrame(columns | {schema.target: stack.predict(X)})


# --- checks of files --------------------------------------------------------------------------------


def _check_files(train: Path, options: dict[str, Any]) -> None:
    """Before anything is fitted."""
    from stackkit._tables import check_apart, check_suffix, check_writable  # noqa: PLC0415

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


if __name__ == "__main__":
    main()
