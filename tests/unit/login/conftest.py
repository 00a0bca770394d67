"""A login process for each test, and TLS contexts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from preforkpop.tls import context
from tests.support import certificates
from tests.unit.login.process import LoginProcess, login_process


@pytest.fixture(scope="session")
def tls_context(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    """The server's context."""
    directory: Path = tmp_path_factory.mktemp("tls")
    return context.make([context.Pair(certificates.issue(str(directory), "localhost"))])


@pytest.fixture
def login(tls_context: SSL.Context) -> Iterator[LoginProcess]:
    """A login process with the usual settings."""
    with login_process(context=tls_context) as process:
        yield process
