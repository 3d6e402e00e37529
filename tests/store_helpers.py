"""What the tests of files under a seal and of the store have in common: names, keys, other processes."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

KEY = "a secret that both sides know"
TABLE, MODEL, NEW = "ab12-0.table", "ab12-0.model", "ab12-0.new-77"
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals are POSIX's")

# What another process begins with.
PRELUDE = f"""
import os, pathlib, sys, time
from stackkit._store import store as store
def ready():
    print("ready", flush=True)
def store_files(**settings):
    return store.open_store(store.Store(sys.argv[1], key={KEY!r}, **settings))
"""


@contextmanager
def other_process(code, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_ready(process):
    return process.stdout.readline() == "ready\n"


def path_of(folder, name):
    return folder / "stackkit-1" / name[:2] / name


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def some_table(store_files, name=TABLE):
    store_files.write_arrays(name, {"oof": np.arange(6.0).reshape(3, 2)}, {"seconds": 1.5})


def used(folder, name, seconds_ago):
    at = time.time() - seconds_ago
    os.utime(path_of(folder, name), (at, at))
