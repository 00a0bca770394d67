"""The plugins of all tests: ``pytester`` is for the tests of the other one."""

from __future__ import annotations

pytest_plugins = ["tests.support.skips", "pytester"]
