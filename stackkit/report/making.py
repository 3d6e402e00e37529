"""How the out-of-fold table was made, and how unlike the learners in it are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stackkit import plots
from stackkit._assessment import diversity
from stackkit.report.figures import Picture
from stackkit.report.repeat import as_code
from stackkit.report.subject import Subject
from stackkit.report.tables import NOTHING, TableContext, range_of, table_of


def making(subject: Subject) -> dict[str, Any]:
    model, oof = subject.model, subject.oof
    times = oof.folds.n_tested
    rows = {
        name: {
            "learner's method": block.method,
            "columns of P": block.width,
            "members": len(model.members_[name]),
            "class": "given" if subject.caveat else _kind_of(model.members_[name]),
        }
        for name, block in oof.blocks.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return {
        "n_folds": len(oof.folds),
        "cv": as_code(model.cv) or type(model.cv).__name__,
        "n_train": range_of([len(train) for train, _ in oof.folds.pairs]),
        "n_test": range_of([len(test) for _, test in oof.folds.pairs]),
        "shape": oof.train.shape,
        "n_covered": int(oof.covered.sum()),
        "times": range_of(times[times > 0].tolist()),
        "final": type(model.final_estimator_).__name__,
        "refit": model.refit,
        "given": bool(subject.caveat),
        "learners": table_of(frame, "learner", text=["learner's method", "class"]),
    }


def _kind_of(members: list[Any]) -> str:
    if not members:
        return NOTHING
    steps = getattr(members[0], "steps", None)
    return " > ".join(type(step).__name__ for _, step in steps) if steps else type(members[0]).__name__


def diversities(subject: Subject) -> dict[str, TableContext]:
    found = diversity(subject.oof)
    pairs = found.pairs.reset_index()
    pairs.index = pd.Index(pairs["learner"])
    pairs = pairs.drop(columns="learner")
    learners = found.learners
    # What no pair of these learners has, such as disagreement among numbers.
    pairs, learners = (frame.dropna(axis=1, how="all") if len(frame) else frame for frame in (pairs, learners))
    for frame in (pairs, learners):
        frame.columns = pd.Index([str(name).replace("_", " ") for name in frame.columns])
    return {
        "learners": table_of(learners, "learner", caption="Each learner's mean over its pairs."),
        "pairs": table_of(pairs, "learner", text=["other"]),
    }


def learner_pictures(subject: Subject) -> list[Picture]:
    """Of the table of learners, and of networks among them."""
    model = subject.model
    together = "Learners that predict alike stand together; bright squares add little to each other."
    pictures: list[Picture] = []
    if len(subject.oof.blocks) > 1:
        draw_likeness = lambda ax: plots.CorrelationDisplay.from_estimator(model, ax=ax)  # noqa: E731
        pictures.append(("Correlation of out-of-fold predictions", together, 4.6, draw_likeness))
    curves = "A thin line is one fold model, a thick one their mean."
    draw_curves = lambda ax: plots.LearningCurvesDisplay.from_estimator(model, ax=ax)  # noqa: E731
    return [*pictures, ("Learning curves of the networks", curves, 4.2, draw_curves)]
