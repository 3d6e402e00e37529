"""The promises of all displays, and of the package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from pictures import NASTY, OF_TABLES, everything

import stackkit
from stackkit import plots
from stackkit.plots import (
    CorrelationDisplay,
    HardestRowsDisplay,
    LeaderboardDisplay,
    ReliabilityDisplay,
    WeightsDisplay,
)


@pytest.mark.parametrize("display", OF_TABLES)
def test_data_keep_the_whole_name(nasty, display):
    shown = display.from_oof(nasty)
    kept = {
        CorrelationDisplay: lambda d: d.correlations.index,
        HardestRowsDisplay: lambda d: d.losses.columns,
        LeaderboardDisplay: lambda d: d.scores.index,
        ReliabilityDisplay: lambda d: d.learners,
        WeightsDisplay: lambda d: d.weights.index,
    }[display](shown)
    assert set(kept) == set(NASTY)


def test_drawn_again_elsewhere(binary, nets):
    for display in everything(binary, nets, lambda: Figure().subplots()):
        other = Figure().subplots()
        assert display.plot(other) is display
        assert display.ax_ is other
        assert other.has_data()


def test_all_names_are_sorted_and_documented():
    assert plots.__all__ == sorted(plots.__all__)
    for name in plots.__all__:
        assert "Examples\n" in getattr(plots, name).__doc__


def test_import_loads_neither_matplotlib_nor_torch():
    code = "import sys, stackkit.plots; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(stackkit.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    assert "stackkit.plots" in loaded
    assert not {"matplotlib", "torch", "skorch", "xgboost", "polars"} & set(loaded)
