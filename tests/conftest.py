"""Shared by all tests."""

import os

# One thread per test process: the networks of the tests are too small for more, and pytest-xdist's workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
