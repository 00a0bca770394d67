"""Servers for tests: what a conftest.py imports.

``servers`` makes sites and starts servers for one test, ``module_servers`` for the tests of a
module; what they started is stopped and looked at in the end. The logs of servers that run are
shown with a test that fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest

from tests.support import toml
from tests.support.server import Server
from tests.support.site import USUAL, Deployment, Site

_running: list[Server] = []


class Servers:
    """Makes sites and servers, and takes them down."""

    def __init__(self) -> None:
        self._sites: list[Site] = []
        self._servers: list[Server] = []

    def site(
        self,
        deployment: Deployment = USUAL,
        users: Iterable[str] = ("fred",),
        *,
        mail_format: str = "mbox",
        password: str = "secret",
        settings: toml.Settings | None = None,
    ) -> Site:
        """A place for a server."""
        site = Site(
            deployment, users, mail_format=mail_format, password=password, settings=settings
        )
        self._sites.append(site)
        return site

    def start(self, site: Site | None = None, **options: Any) -> Server:
        """A server that serves; ``options`` are those of ``site``, which is made if there is none.

        The usual options: ``deployment``, ``users``, ``mail_format``, ``settings``.
        """
        server = Server(site or self.site(**options))
        self._servers.append(server)
        _running.append(server)
        return server

    def forget(self, server: Server) -> None:
        """The test has seen to this server's end itself."""
        self._servers.remove(server)
        _running.remove(server)

    def finish(self) -> None:
        """Stop what runs, look at what is left, remove everything."""
        with contextlib.ExitStack() as stack:
            for site in self._sites:
                stack.callback(site.remove)
            for server in self._servers:
                stack.callback(_running.remove, server)
                stack.callback(server.stop)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Servers for one test."""
    made = Servers()
    yield made
    made.finish()


@pytest.fixture(scope="module")
def module_servers() -> Iterator[Servers]:
    """Servers for the tests of a module."""
    made = Servers()
    yield made
    made.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the servers with a test that failed."""
    report = yield
    if report.failed:
        for server in _running:
            name = f"log of the server at {server.site.directory}"
            report.sections.append((name, "\n".join(server.log.since()[-200:])))
    return report
