"""A fitted stack in a file, as `stackkit.save` writes it, with how tables are to be read for it."""

from __future__ import annotations

from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stackkit._persistence import Archive, built, read_archive, write_model
from stackkit.cli.printing import board_facts, plain_values
from stackkit.cli.problem import Schema
from stackkit.cli.tables import TableError, cause_of
from stackkit.exceptions import ModelFileError


def write_stack(path: Path, stack: Any, schema: Schema) -> None:
    # Those are of this run, and of this machine.
    plain = copy(stack).set_params(n_jobs=None, memory=None, verbose=False)
    board = board_facts(stack.leaderboard(full=True, marginal=False))
    facts = {"schema": asdict(schema), "learners": list(stack.oof_.blocks), "rows": len(stack.oof_.train)}
    write_model(plain, path, plain_values(facts | {"folds": len(stack.oof_.folds)} | board))


def read_stack(path: Path) -> tuple[Archive, Schema]:
    """What is in it, with nothing built yet."""
    try:
        archive = read_archive(path)
        return archive, Schema(**archive.facts["schema"])
    except OSError as error:
        raise TableError(path, f"cannot be read ({cause_of(error)})") from error
    except ModelFileError as error:
        raise TableError(path, error.cause) from error
    except (KeyError, TypeError) as error:
        cause = "was not written by stackkit fit --model, and does not say how tables are to be read"
        raise TableError(path, cause) from error


def build_stack(path: Path, archive: Archive) -> Any:
    try:
        return built(path, archive)
    except ModelFileError as error:
        raise TableError(path, error.cause) from error
