"""Settings for all tests."""

import os
import signal
import sys
from functools import partial

import platformdirs
import pytest

# OpenMP's idle threads spin by default: with a test process on each core they keep the others from
# working. To be set before anything loads OpenMP; worker processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What a shell runs in the background ignores Ctrl-C, and so does all that it starts: fits that a test interrupts would
# go on to their end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _data_folder(tmp_path_factory):
    """Where the user's data are, such as the store's key: never the real place."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        patch.setattr(platformdirs, "user_data_path", lambda name, **_: folder / name)
        yield


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A module that leaves a marker when it is imported, one when its code is run; it is on the path."""
    (tmp_path / "modules").mkdir()
    marker = tmp_path / "marker"
    (tmp_path / "modules" / "planted_evil.py").write_text(
        f"from pathlib import Path\nmarker = Path({str(marker)!r})\nmarker.write_text('imported')\n"
        "def run(*args, **kwargs):\n    marker.write_text('run')\n    return args\n"
        "class Thing:\n    def __init__(self, *args):\n        run()\n"
        "class Hooked:\n    def __setstate__(self, state):\n        run()\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield marker
    sys.modules.pop("planted_evil", None)


@pytest.fixture
def handler():
    """Ctrl-C as Python has it, whatever runs these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_learners(monkeypatch):
    """Default learners of few trees and epochs: for what does not depend on how much they have learned."""
    from stackkit import nn
    from stackkit._learners import catalogue

    boosting = (catalogue.XGBOOST, catalogue.LIGHT, catalogue.LIGHT_SLOW, catalogue.LIGHT_EXTRA)
    boosting += (catalogue.LIGHT_SMALL, catalogue.LIGHT_LINEAR, catalogue.CAT)
    for settings in (catalogue.FOREST, *boosting):
        monkeypatch.setitem(settings, "n_estimators", 5)
    monkeypatch.setitem(catalogue.BINNED, "max_iter", 5)
    # scikit-learn's checks ask for a good fit of a hundred rows; the default has 40 epochs.
    for task in ("Classifier", "Regressor"):
        made = getattr(nn, f"BNMLP{task}")
        monkeypatch.setattr(nn, f"BNMLP{task}", partial(made, max_epochs=8))


@pytest.fixture
def empty_pictures(monkeypatch):
    """Pictures are drawn, and written as nothing: to write them takes most of a report's time."""
    empty = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _figure, file, **_how: file.write(empty))
