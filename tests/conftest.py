"""Settings for all tests."""

import os

import platformdirs
import pytest

# OpenMP's idle threads spin by default: with a test process on each core they keep the others from
# working. To be set before anything loads OpenMP; worker processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def _data_folder(tmp_path_factory):
    """Where the user's data are, such as the store's key: never the real place."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        patch.setattr(platformdirs, "user_data_path", lambda name, **_: folder / name)
        yield
