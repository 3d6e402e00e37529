"""One self-contained HTML page about a fitted stack: nothing in it comes from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from sklearn.utils.validation import check_is_fitted

from stackkit._utils import written_whole
from stackkit.report.columns import data
from stackkit.report.figures import Gallery
from stackkit.report.importance import importance
from stackkit.report.making import diversities, learner_pictures, making
from stackkit.report.new_rows import new_pictures, new_rows
from stackkit.report.outcomes import outcome_pictures, outcomes
from stackkit.report.repeat import repeat
from stackkit.report.scores import board_pictures, cost, headline, leaderboard, verdict
from stackkit.report.subject import Subject
from stackkit.report.suspects import warnings_of


def write_report(
    model: Any,
    path: str | Path,
    *,
    X: Any = None,
    X_test: Any = None,
    nested: Any = None,
    target_name: str | None = None,
    source: str | None = None,
    command: str | None = None,
) -> Path:
    """Write the page about a fitted StackingModel; see :meth:`stackkit.StackingModel.report`.

    ``command`` is the line that repeats it, where there is one.
    """
    check_is_fitted(model)
    page = render(Subject(model, X, X_test, nested, target_name, source, command))
    with written_whole() as draft_for:
        draft_for(Path(path)).write_text(page, encoding="utf8")
    return Path(path)


def render(subject: Subject) -> str:
    gallery, script = Gallery(), _part("page.js")
    found = importance(subject)
    context = {
        "title": _title(subject),
        "subtitle": _subtitle(subject),
        "style": Markup(_part("page.css")),  # noqa: S704 - of the package
        "script": Markup(script),  # noqa: S704 - of the package
        # Nothing but this script runs, and nothing is fetched, whatever the names in the data look like.
        "policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'",
        "headline": headline(subject),
        "verdict": verdict(subject.nested),
        "warnings": warnings_of(subject),
        "board": leaderboard(subject),
        "board_pictures": gallery.show(board_pictures(subject)),
        "importance": found,
        "importance_pictures": gallery.show(found["pictures"]),
        "outcomes": outcomes(subject),
        "outcome_pictures": gallery.show(outcome_pictures(subject)),
        "data": data(subject),
        "new_rows": new_rows(subject),
        "new_pictures": gallery.show(new_pictures(subject)),
        "making": making(subject),
        "cost": cost(subject),
        "diversity": diversities(subject),
        "learner_pictures": gallery.show(learner_pictures(subject)),
        "failures": subject.model.failures_.to_dict(orient="records"),
        "repeat": repeat(subject),
        "left_out": gallery.left_out,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html.j2")).render(context)


def _part(name: str) -> str:
    return files("stackkit.report").joinpath(name).read_text(encoding="utf8")


def _title(subject: Subject) -> str:
    about = " in ".join(filter(None, [subject.target_name, subject.source])) or _learners(subject)
    return f"{about}: {len(subject.oof.y):,} rows"


def _subtitle(subject: Subject) -> str:
    return (
        f"{_learners(subject)}. {subject.target.task.capitalize()} from {subject.model.n_features_in_:,} columns. "
        f"Written by stackkit {version('stackkit')}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."
    )


def _learners(subject: Subject) -> str:
    n = len(subject.oof.blocks)
    return f"A stack of {n} learner{'s' * (n != 1)}"
