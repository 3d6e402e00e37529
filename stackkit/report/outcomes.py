"""Where the stack is right and where it is wrong: classes, curves, residuals, the hardest rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from sklearn.metrics import (
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from stackkit import plots
from stackkit.report.figures import BLUE, Picture
from stackkit.report.subject import MOST_CLASSES, Subject
from stackkit.report.tables import TableContext, figure, share, shortened, table_of

FEW = 5  # classes, whose names stand above their columns as they are read
MOST_PAIRS = 10  # of classes that are taken for each other
MOST_POINTS = 1500  # of a cloud
MOST_ROWS = 20_000  # of a curve


def outcomes(subject: Subject) -> dict[str, Any]:
    """Tables by the kind of target; sentences."""
    if subject.oof.classes is None:
        return {"tables": [], "sentences": _of_errors(subject)}
    if subject.target.multilabel:
        return {"tables": [], "sentences": []}
    answers, rows = next(iter(subject.answers.values()))
    if "predict" not in answers.given:
        return {"tables": [], "sentences": []}
    truth, guess = subject.truth(rows), answers.given["predict"]
    return {"tables": [*_confusions(subject, truth, guess), _by_class(subject, truth, answers)], "sentences": []}


def whose(subject: Subject) -> str:
    return "the stack" if subject.stack is not None else subject.best


# --- classes ----------------------------------------------------------------------------------------------


def _confusions(subject: Subject, truth: np.ndarray, guess: np.ndarray) -> list[TableContext]:
    classes = subject.oof.classes
    counts = confusion_matrix(truth, guess, labels=classes)
    found = []
    if len(classes) <= MOST_CLASSES:
        names = [shortened(label, 24) for label in classes]
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        cells = [[_shaded(n, part) for n, part in zip(*row, strict=True)] for row in zip(counts, shares, strict=True)]
        frame = pd.DataFrame(cells, index=names, columns=names)
        caption = (
            f"Confusion matrix: rows are true classes, columns what {whose(subject)} predicts out of fold. The "
            "stronger the colour, the larger the share of the row."
        )
        found.append(
            table_of(frame, "true \\ predicted", caption=caption)
            | {"kind": "matrix many" if len(classes) > FEW else "matrix"}
        )
    if len(classes) > 2:
        found += _pairs(classes, counts)
    return found


def _shaded(count: int, part: float) -> Any:
    return Markup('<span class="shade" style="--share: {:.3f}">{:,}</span>').format(part, int(count))


def _pairs(classes: np.ndarray, counts: np.ndarray) -> list[TableContext]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    rows = [
        (str(classes[true]), {"predicted": str(classes[guess]), "rows": int(n), "share of the class": share(n / total)})
        for true, guess in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if (n := wrong[true, guess]) and (total := counts[true].sum())
    ]
    if not rows:
        return []
    frame = pd.DataFrame([row for _, row in rows], index=[name for name, _ in rows])
    return [table_of(frame, "true class", text=["predicted"], caption="What is most often taken for something else.")]


def _by_class(subject: Subject, truth: np.ndarray, answers: Any) -> TableContext:
    classes = subject.oof.classes
    scores = precision_recall_fscore_support(truth, answers.given["predict"], labels=classes, zero_division=0)
    frame = pd.DataFrame(dict(zip(("precision", "recall", "F1"), scores[:3], strict=True)))
    frame.insert(0, "rows", scores[3].astype(int))
    given = answers.given.get("predict_proba")
    if given is not None:
        is_class = [truth == label for label in classes]
        known = [0 < here.sum() < len(here) for here in is_class]
        columns = {"ROC AUC": roc_auc_score, "average precision": average_precision_score}
        for name, metric in columns.items():
            values = [metric(is_class[k], given[:, k]) if known[k] else np.nan for k in range(len(classes))]
            frame[name] = np.array(values, dtype=float)
    frame.index = pd.Index([str(label) for label in classes])
    caption = f"Scores of {whose(subject)} for each class, out of fold."
    if len(classes) > MOST_CLASSES:
        frame, caption = frame.nlargest(MOST_CLASSES, "rows"), f"{caption} The {MOST_CLASSES} largest classes."
    return table_of(frame, "class", caption=caption)


# --- numbers ----------------------------------------------------------------------------------------------


def _of_errors(subject: Subject) -> list[str]:
    if subject.oof.y.ndim > 1:
        return []
    (answers, rows), *_ = subject.answers.values()
    errors = np.abs(subject.truth(rows) - answers.given["predict"])
    half, most = np.quantile(errors, [0.5, 0.9])
    told = (
        f"Out of fold, {whose(subject)} is off by {figure(half)} or less in half of the rows, by {figure(most)} or "
        f"less in nine of ten, and by {figure(errors.max())} at most."
    )
    return [told]


# --- pictures ---------------------------------------------------------------------------------------------


def outcome_pictures(subject: Subject) -> list[Picture]:
    hardest = "The training rows with the largest loss out of fold: look at these for wrong labels and missing columns."
    last: list[Picture] = [
        ("Hardest rows", hardest, 6.2, lambda ax: plots.HardestRowsDisplay.from_estimator(subject.model, ax=ax))
    ]
    if subject.oof.classes is None:
        return (_of_numbers(subject) if subject.oof.y.ndim == 1 else []) + last
    if subject.target.multilabel:
        return last
    return _of_classes(subject) + last


def _of_classes(subject: Subject) -> list[Picture]:
    reliability = (
        "Where a learner says 70 %, it should be right in 70 % of the rows. Each point is a tenth of the rows."
    )

    def draw_reliability(ax: Any) -> None:
        # Of bins of the same width some would hold a row or two.
        plots.ReliabilityDisplay.from_estimator(subject.model, strategy="quantile", ax=ax)

    shown: list[Picture] = [("Reliability", reliability, 4.6, draw_reliability)]
    if not _scored(subject):
        return shown
    how = (
        "" if subject.target.n_classes == 2 else " Each class against all others, all of them together (micro average)."
    )
    roc = f"The share of the positive rows that are found, against that of the others that are taken for them.{how}"
    pr = f"How many of those that are found are right, against how many are found.{how}"
    curves: list[Picture] = [
        ("ROC curve", roc, 4.4, lambda ax: _draw_curves(subject, RocCurveDisplay, ax)),
        ("Precision and recall", pr, 4.4, lambda ax: _draw_curves(subject, PrecisionRecallDisplay, ax)),
    ]
    return curves + shown


def _scored(subject: Subject) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whether an event came and how probable it was: the second of two classes, or each class in turn."""
    found = {}
    for name, (answers, rows) in subject.answers.items():
        given = answers.given.get("predict_proba")
        if given is None:
            continue
        some = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS])
        is_class = subject.truth(rows)[some][:, np.newaxis] == subject.oof.classes
        two = subject.target.n_classes == 2
        found[name] = (is_class[:, 1], given[some, 1]) if two else (is_class.ravel(), given[some].ravel())
    return found


def _draw_curves(subject: Subject, display: Any, ax: Any) -> None:
    styles = [plots.STACK_STYLE, plots.STYLES[0]] if subject.stack is not None else [plots.STYLES[0]]
    shown = _scored(subject)
    for (events, given), (colour, _, dashes) in zip(shown.values(), styles, strict=False):
        first = not ax.lines  # which stands in front
        style = {"color": colour, "linestyle": dashes, "linewidth": 1.8, "zorder": 3 if first else 2}
        # scikit-learn renames the way in which the style is given.
        before = len(ax.lines)
        display.from_predictions(events, given, drop_intermediate=True, ax=ax)
        for line in ax.lines[before:]:
            line.set(**style)
    labels = [
        f"{name}: {line.get_label().rpartition('(')[2].rstrip(')')}" for name, line in zip(shown, ax.lines, strict=True)
    ]
    if display is RocCurveDisplay:
        ax.plot([0, 1], [0, 1], color=plots.GREY, linestyle=":", linewidth=1)
    if ax.get_legend():
        ax.get_legend().remove()
    plots.legend_above(ax, ax.lines[: len(labels)], labels)
    event = f" of {plots.as_drawn(subject.oof.classes[1])}" if subject.target.n_classes == 2 else ""
    of_roc = ("false positive rate", "true positive rate" + event)
    ax.set_xlabel(of_roc[0] if display is RocCurveDisplay else "recall" + event)
    ax.set_ylabel(of_roc[1] if display is RocCurveDisplay else "precision")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    plots.finish(ax, grid="both")


def _of_numbers(subject: Subject) -> list[Picture]:
    (answers, rows), *_ = subject.answers.values()
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_POINTS])
    truth, guess = subject.truth(rows)[some], answers.given["predict"][some]
    cut = f" {MOST_POINTS:,} rows, drawn by chance." if len(some) < len(rows) else ""

    def draw(kind: str, ax: Any) -> None:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as plots, which loads it when it draws

        points = {"color": BLUE, "alpha": 0.45, "s": 12, "linewidths": 0}
        line = {"color": plots.INK, "linewidth": 1}
        shown = {"scatter_kwargs": points, "line_kwargs": line, "ax": ax, "subsample": None}
        PredictionErrorDisplay.from_predictions(truth, guess, kind=kind, **shown)
        for axis in (ax.xaxis, ax.yaxis):  # scikit-learn's are odd numbers
            axis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel(f"predicted, out of fold, by {plots.as_drawn(whose(subject))}")
        ax.set_ylabel("true" if kind == "actual_vs_predicted" else "true minus predicted")
        plots.finish(ax, grid="both")

    return [
        (
            "Predicted and true",
            f"On the line all would be right.{cut}",
            4.8,
            lambda ax: draw("actual_vs_predicted", ax),
        ),
        (
            "Residuals",
            f"What is left, by the prediction; a pattern here is something missed.{cut}",
            4.4,
            lambda ax: draw("residual_vs_predicted", ax),
        ),
    ]
