import platform

import numpy as np

from stackkit import _versions
from stackkit._versions import versions


def test_versions_are_those_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(_versions, "LIBRARIES", ("numpy", "no-such-library"))
    assert versions() == {"python": platform.python_version(), "numpy": np.__version__}
