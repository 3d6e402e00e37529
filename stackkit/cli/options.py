"""The options of the commands, under the headings of their help."""

from __future__ import annotations

import click

from stackkit.cli.form import FILE, option, together

OUTER = 5  # outer folds of --verdict


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    if value is not None and not names:
        raise click.BadParameter("it names none; give one or more, with commas between them.")
    return names or None


def _texts(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text.strip() for value in values for text in value.split(","))


def _separator(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from stackkit.cli.reading import SEPARATORS  # noqa: PLC0415  # `--help` is quick

    mark = SEPARATORS.get(value or "", value)
    if mark is not None and len(mark) != 1:
        raise click.BadParameter(f"{value!r} is not one character; use one, or {', '.join(sorted(SEPARATORS))}.")
    return mark


def _scorer(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from stackkit.cli.metrics import scorer_name  # noqa: PLC0415  # `--help` is quick

    return None if value is None else scorer_name(value)


ENCODING = option(
    "Files", "--encoding", metavar="NAME", help="Encoding of text files, such as latin-1 or utf-16. Default: detected."
)
SEP = option(
    "Files",
    "--sep",
    callback=_separator,
    metavar="CHAR",
    help="Delimiter between columns, such as ';' or tab. Default: detected from the first lines.",
)
DECIMAL = option(
    "Files",
    "--decimal",
    type=click.Choice([".", ","]),
    help="Decimal sign. Default: detected for each column; where both would do, from the other columns.",
)
NA = option(
    "Files",
    "--na",
    multiple=True,
    callback=_texts,
    metavar="TEXT,TEXT",
    help="Texts that count as missing, in addition to NA, NULL, nan and the like; may be repeated.",
)
_OF_READING = together(ENCODING, SEP, DECIMAL, NA)
PROBABILITIES = option(
    "Files",
    "--probabilities",
    is_flag=False,
    flag_value="all",
    metavar="[positive|CLASS]",
    help="Write one column of probabilities per class instead of the class; with 'positive', or the name of a class, "
    "only the probability of that class. Of two classes the positive one is the last by name or number, such as 1.",
)
TARGET = option("Columns", "--target", required=True, metavar="COL", help="Column to predict.")
ID = option("Columns", "--id", metavar="COL", help="Names the rows, also in the output; not a feature.")
DROP = option("Columns", "--drop", multiple=True, metavar="COL", help="Leave a column out; may be repeated.")
TASK = option(
    "Columns",
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Default: follows from the target; text and few different numbers are classes.",
)
FINAL = option(
    "Stack",
    "--final",
    metavar="NAME",
    help="Meta-learner. Classification: log_pool (default), convex, ensemble_selection, logistic; "
    "regression: ridge_pool (default), linear_pool, convex, ensemble_selection, ridge.",
)
METRIC = option(
    "Stack",
    "--metric",
    callback=_scorer,
    metavar="NAME",
    help="Metric to rank by: log_loss, roc_auc, f1, rmse, mae, r2 or another scorer of scikit-learn. Default: "
    "log_loss; for regression rmse.",
)
JSON = option("Run", "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
QUIET = option("Run", "--quiet", is_flag=True, help="Print nothing but errors to stderr.")
OUTPUT = option("Files", "--output", type=FILE, metavar="FILE", help="Predictions for --test: .csv, .csv.gz, .parquet.")
REPORT = option("Files", "--report", type=FILE, metavar="FILE", help="Write a report, one HTML page.")
OF_DATA = together(
    _OF_READING,
    TARGET,
    ID,
    DROP,
    TASK,
    option("Folds", "--cv", type=click.IntRange(2), default=5, show_default=True, help="Number of folds."),
    option(
        "Folds",
        "--repeats",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="How often to repeat the folds, with other ones each time.",
    ),
    option(
        "Folds", "--groups", metavar="COL", help="Column of groups: rows of a group stay in one fold; not a feature."
    ),
    option(
        "Folds",
        "--time-order",
        metavar="COL",
        help="Column of times: train on the past, test on what follows; equal times stay together; not a feature.",
    ),
    option(
        "Folds",
        "--gap",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        metavar="N",
        help="With --time-order: leave out the N times, such as days, right before each test part.",
    ),
    option("Folds", "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of folds and learners."),
    option(
        "Stack",
        "--preset",
        type=click.Choice(["fast", "balanced", "best"]),
        help="Learners for about 10, 60 or 600 seconds on two cores. Default: fast; with --time-limit, those for that "
        "time.",
    ),
    option(
        "Stack",
        "--learners",
        callback=_names,
        metavar="NAME,NAME",
        help="Learners in place of the preset's, out of bn_mlp, splines, lightgbm, kernel, extra_trees, xgboost, "
        "random_forest, lightgbm_slow, lightgbm_extra, lightgbm_small, hist_gradient_boosting, bn_mlp_wide, knn, "
        "catboost; for classification also logistic, lda, naive_bayes, for regression ridge, lightgbm_linear.",
    ),
    FINAL,
    METRIC,
    option(
        "Run",
        "--jobs",
        type=int,
        default=-1,
        metavar="N",
        help="Number of workers; the result is the same. Default: -1, all cores.",
    ),
    option(
        "Run",
        "--memory",
        type=FILE,
        metavar="DIR",
        help="Folder that keeps what was computed: after a stop, the same command resumes.",
    ),
    option(
        "Run",
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Choose learners for this time, unless --preset or --learners is given; after it no fit starts, and what "
        "is there is stacked.",
    ),
    JSON,
    QUIET,
)
OF_FILES = together(
    option("Files", "--test", type=FILE, metavar="FILE", help="Rows to predict."),
    OUTPUT,
    PROBABILITIES,
    option("Files", "--ignore-test-target", is_flag=True, help="Allow the target's column in --test."),
    option(
        "Files",
        "--model",
        type=FILE,
        metavar="FILE",
        help="Save the model, for `stackkit predict` and for stackkit.load in Python.",
    ),
    REPORT,
    option(
        "Stack",
        "--verdict",
        is_flag=True,
        help=f"Tell at the end whether stacking helps, by nested cross-validation: {OUTER} times the fits in addition.",
    ),
)
OF_GIVEN = together(
    _OF_READING,
    TARGET,
    ID,
    option(
        "Columns",
        "--folds",
        metavar="COL",
        help="Column with the fold of each row, on which the predictions were made.",
    ),
    DROP,
    TASK,
    option(
        "Files",
        "--train",
        type=FILE,
        metavar="FILE",
        help="File with the target, if it is not in the files of predictions.",
    ),
    option(
        "Files",
        "--test",
        type=FILE,
        multiple=True,
        metavar="FILE...",
        help="Predictions of new rows, one file for each OOF file, with a like name: all words up to the next option.",
    ),
    OUTPUT,
    PROBABILITIES,
    REPORT,
    FINAL,
    METRIC,
    JSON,
    QUIET,
)
