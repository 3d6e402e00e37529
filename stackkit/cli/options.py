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
    "Files", "--encoding", metavar="NAME", help="Of text files, such as latin-1 or utf-16. Default: told by the file."
)
SEP = option(
    "Files",
    "--sep",
    callback=_separator,
    metavar="CHAR",
    help="Between columns, such as ';' or tab. Default: told by the first lines.",
)
DECIMAL = option(
    "Files",
    "--decimal",
    type=click.Choice([".", ","]),
    help="Before decimals. Default: told by each column, and by the others where it may be either.",
)
NA = option(
    "Files",
    "--na",
    multiple=True,
    callback=_texts,
    metavar="TEXT,TEXT",
    help="Count as missing, besides NA, NULL, nan and the like; may be repeated.",
)
_OF_READING = together(ENCODING, SEP, DECIMAL, NA)
PROBABILITIES = option(
    "Files",
    "--probabilities",
    is_flag=False,
    flag_value="all",
    metavar="[positive|CLASS]",
    help="Write one column of probabilities per class instead of the class; with 'positive', or the name of a class, "
    "one column of its probability. Of two classes the positive one is the last by name or number, such as 1 or yes.",
)
TARGET = option("Columns", "--target", required=True, metavar="COL", help="What is to be predicted.")
ID = option("Columns", "--id", metavar="COL", help="Names the rows, in the output too; no feature.")
DROP = option("Columns", "--drop", multiple=True, metavar="COL", help="Leave a column out; may be repeated.")
TASK = option(
    "Columns",
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="By default told from the target: text and few different numbers are classes.",
)
FINAL = option(
    "Stack",
    "--final",
    metavar="NAME",
    help="What weighs the learners. Classification: log_pool (default), convex, ensemble_selection, logistic; "
    "regression: ridge_pool (default), linear_pool, convex, ensemble_selection, ridge.",
)
METRIC = option(
    "Stack",
    "--metric",
    callback=_scorer,
    metavar="NAME",
    help="To rank by: log_loss, roc_auc, f1, rmse, mae, r2 or another scorer of scikit-learn. Default: log_loss; "
    "for regression rmse.",
)
JSON = option("Run", "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
QUIET = option("Run", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
OUTPUT = option("Files", "--output", type=FILE, metavar="FILE", help="Predictions for --test: .csv, .csv.gz, .parquet.")
REPORT = option("Files", "--report", type=FILE, metavar="FILE", help="One HTML page of what was learned.")
OF_DATA = together(
    _OF_READING,
    TARGET,
    ID,
    DROP,
    TASK,
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
        help="How many learners, how costly: for some 10, 60 or 600 seconds on two cores. Default: fast, or with "
        "--time-limit those for that time.",
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
    FINAL,
    METRIC,
    option(
        "Run", "--jobs", type=int, default=-1, metavar="N", help="Workers. Changes no result. Default: -1, all cores."
    ),
    option(
        "Run",
        "--memory",
        type=FILE,
        metavar="DIR",
        help="Keep what was computed: after a stop the same command goes on.",
    ),
    option(
        "Run",
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Choose learners for so much time, unless --preset or --learners does; start no fits after it, and stack "
        "what is there.",
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
        help="The model, for `stackkit predict`, and stackkit.load in Python.",
    ),
    REPORT,
    option(
        "Stack",
        "--verdict",
        is_flag=True,
        help=f"Say at the end whether stacking helps, by nested cross-validation: {OUTER} times the fits on top.",
    ),
)
OF_GIVEN = together(
    _OF_READING,
    TARGET,
    ID,
    option("Columns", "--folds", metavar="COL", help="The fold of each row, on which the predictions were made."),
    DROP,
    TASK,
    option("Files", "--train", type=FILE, metavar="FILE", help="Where the target is, if not beside the predictions."),
    option(
        "Files",
        "--test",
        type=FILE,
        multiple=True,
        metavar="FILE...",
        help="Predictions of new rows, a file for each of the others, of like names: all words up to the next option.",
    ),
    OUTPUT,
    PROBABILITIES,
    REPORT,
    FINAL,
    METRIC,
    JSON,
    QUIET,
)
