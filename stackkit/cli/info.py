"""What `stackkit info` shows: versions, what a store holds, and a page about a model file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from stackkit._persistence import other_versions
from stackkit._store import Store, key_path, store_info
from stackkit._utils import some, versions
from stackkit.cli.model_file import read_stack
from stackkit.cli.printing import WIDTH, as_json, board_as_text

MOST_NAMED = 12  # columns on the page
INDENT = 12  # of what stands beside a heading


def about(path: Path | None, *, in_json: bool) -> str:
    """Of nothing in particular: versions and the key; of a folder: the store in it; of a file: the model."""
    if path is None:
        return _of_here(in_json=in_json)
    if path.is_dir():
        return _of_store(path, in_json=in_json)
    archive, _ = read_stack(path)
    return as_json(archive.facts) if in_json else _page(path, archive)


def _of_here(*, in_json: bool) -> str:
    key = key_path(Store("."))
    if in_json:
        return as_json({"versions": versions(), "key": str(key), "key_exists": key.exists()})
    lines = [f"{name} {version}" for name, version in versions().items()]
    return "\n".join([*lines, f"store's key: {key}{'' if key.exists() else ' (made when a store is first used)'}"])


def _of_store(path: Path, *, in_json: bool) -> str:
    found = store_info(path)
    if not in_json:
        return str(found)
    names = ("n_entries", "n_tables", "n_models", "size", "size_limit")
    return as_json({"folder": str(found.folder)} | {name: getattr(found, name) for name in names})


def _page(path: Path, archive: Any) -> str:
    facts, schema = archive.facts, archive.facts["schema"]
    kinds = Counter(kind.partition(" ")[0] for kind in schema["kinds"].values())
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
    folds = f" in {facts['folds']} folds" if "folds" in facts else ""
    told = {
        "predicts": f"{schema['target']} ({_what(schema)})",
        "trained on": f"{facts['rows']:,} rows{folds}",
        "columns": f"{len(schema['kinds'])} ({counts}): {some(list(schema['kinds']), MOST_NAMED)}",
        "ID": schema["id"],
        "learners": ", ".join(facts["learners"]),
        "written by": ", ".join(f"{name} {version}" for name, version in list(facts.get("versions", {}).items())[:3]),
        "not as here": ", ".join(other_versions(archive)),
    }
    parts = ["\n".join([str(path), *(line for item in told.items() if item[1] for line in _entry(*item))])]
    if "leaderboard" in facts:
        parts += ["Out-of-fold scores, with 95 % intervals:", board_as_text(_board(facts)), _ways(facts["better"])]
    return "\n\n".join([*parts, f"To predict: stackkit predict {path} new.csv --output predictions.csv"])


def _what(schema: dict[str, Any]) -> str:
    if schema["classes"] is None:
        return "a number"
    return f"{len(schema['classes'])} classes: {some(schema['classes'], MOST_NAMED)}"


def _entry(heading: str, text: str) -> list[str]:
    lines = wrap(text, WIDTH - INDENT, break_on_hyphens=False)
    return [f"{heading if place == 0 else '':{INDENT}}{line}" for place, line in enumerate(lines)]


def _board(facts: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(facts["leaderboard"]).set_index("learner")


def _ways(better: dict[str, str]) -> str:
    return "; ".join(f"{metric}: {way} is better" for metric, way in better.items())
