"""Servers, for the tests of the whole server."""

from __future__ import annotations

from tests.support.fixtures import (  # noqa: F401
    module_servers,
    pytest_runtest_makereport,
    servers,
)
