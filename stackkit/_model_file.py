"""A fitted stack in a file, with how tables are to be read for it: MAGIC, a line of JSON, and a pickle."""

from __future__ import annotations

import hashlib
import json
import warnings
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cloudpickle
from sklearn.exceptions import InconsistentVersionWarning

from stackkit._problem import Schema
from stackkit._tables import TableError, why
from stackkit._versions import versions

MAGIC = b"stackkit model 1\n"


def write_model(path: Path, stack: Any, schema: Schema) -> None:
    # Those are of this run, and of this machine.
    pickled = cloudpickle.dumps(copy(stack).set_params(n_jobs=None, memory=None, verbose=False))
    header = {
        "schema": asdict(schema),
        "learners": list(stack.oof_.blocks),
        "rows": len(stack.oof_.train),
        "versions": versions(),
        "sha256": hashlib.sha256(pickled).hexdigest(),
    }
    path.write_bytes(MAGIC + json.dumps(header).encode("ascii") + b"\n" + pickled)


def read_model(path: Path) -> tuple[dict[str, Any], Schema, bytes]:
    """What is in it, and the pickle, which stays closed."""
    try:
        magic, _, rest = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise TableError(path, f"cannot be read ({why(error)})") from error
    if magic + b"\n" != MAGIC:
        raise TableError(path, "is no model file that this version of stackkit can read")
    line, _, pickled = rest.partition(b"\n")
    try:
        header = json.loads(line)
        whole = header["sha256"] == hashlib.sha256(pickled).hexdigest()
        schema = Schema(**header["schema"])
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise TableError(path, "is damaged, or cut short; write it again with stackkit fit --model")
    return header, schema, pickled


def unpickle(path: Path, pickled: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)  # said already, in one line
        try:
            return cloudpickle.loads(pickled)
        except Exception as error:
            cause = f"cannot be opened with these versions of the libraries ({type(error).__name__}: {error})"
            raise TableError(path, cause) from error
