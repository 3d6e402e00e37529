import platform

import numpy as np

from stackkit._utils import library_versions
from stackkit._utils.library_versions import versions


def test_versions_are_those_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(library_versions, "LIBRARIES", ("numpy", "no-such-library"))
    assert versions() == {"python": platform.python_version(), "numpy": np.__version__}
