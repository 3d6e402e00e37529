"""Memory of this process: what it has, and had at most."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from stackkit._execution import memory as _memory
from stackkit._execution.memory import forget_peak, peak_memory, used_memory

MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")


def _eat(n_bytes):
    """Memory that is really there, and is given back to the system."""
    food = np.ones(n_bytes, dtype=np.uint8)
    return int(food[:: 10**6].sum())


def test_used_memory_grows_with_what_is_held():
    before = used_memory()
    food = np.ones(300 * MB, dtype=np.uint8)
    assert used_memory() - before > 250 * MB
    del food
    assert used_memory() - before < 100 * MB


def test_the_peak_is_at_least_what_is_used():
    assert peak_memory() >= 0.9 * used_memory()


def test_the_peak_sees_what_was_given_back():
    forget_peak()
    before = used_memory()
    _eat(300 * MB)
    assert used_memory() - before < 100 * MB
    assert peak_memory() - before > 250 * MB


@linux
def test_a_peak_is_forgotten():
    _eat(300 * MB)
    high = peak_memory()
    forget_peak()
    assert high - peak_memory() > 200 * MB


@pytest.mark.skipif(sys.platform == "win32", reason="resource is not there on Windows")
def test_where_the_system_tells_no_peak_the_life_long_one_counts(monkeypatch):
    def fails(*_, **__):
        raise FileNotFoundError

    _eat(300 * MB)
    expected = peak_memory()
    monkeypatch.setattr(Path, "read_text", fails)
    monkeypatch.setattr(Path, "write_text", fails)
    forget_peak()  # does nothing, and says nothing
    assert peak_memory() >= 0.95 * expected


@pytest.mark.parametrize("status", ["", "VmHWM:", "VmHWM: much kB", "Name: python"])
def test_a_status_of_another_kind_is_no_error(monkeypatch, status):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: status)
    monkeypatch.setattr(_memory, "_lifelong_peak", lambda: 77)
    assert peak_memory() == 77


@linux
def test_it_is_this_process_that_is_measured():
    """A child that eats says it of itself; its parent's peak stays."""
    forget_peak()
    code = (
        "import numpy as np; from stackkit._execution.memory import *; forget_peak(); a = used_memory();"
        "np.ones(300_000_000, dtype=np.uint8).sum(); print(peak_memory() - a)"
    )
    before = peak_memory()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 250 * MB
    assert peak_memory() - before < 100 * MB
    assert psutil.Process().memory_info().rss == pytest.approx(used_memory(), abs=50 * MB)
