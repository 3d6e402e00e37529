"""Settings for all tests."""

import os

# OpenMP's idle threads spin by default: with a test process on each core they keep the others from
# working. To be set before anything loads OpenMP; worker processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
