"""Whole sessions with each way of running the server, each format, each transport."""

from __future__ import annotations

import pytest

from tests.support import mailboxes
from tests.support.fixtures import Servers
from tests.support.mailboxes import transmitted
from tests.support.server import Server
from tests.support.site import Deployment

TRANSPORTS = ("off", "stls", "implicit")
AS_ROOT = [
    pytest.param(Deployment.VIRTUAL, marks=pytest.mark.root),
    pytest.param(Deployment.SYSTEM, marks=pytest.mark.root),
    pytest.param(Deployment.ORDINARY),
]


@pytest.fixture(scope="module", params=AS_ROOT, ids=lambda one: one.value)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """How the server is run."""
    found: Deployment = request.param
    return found


@pytest.fixture(scope="module", params=["mbox", "maildir"])
def server(
    request: pytest.FixtureRequest, deployment: Deployment, module_servers: Servers
) -> Server:
    """A server with a user for each transport."""
    return module_servers.start(deployment=deployment, users=TRANSPORTS, mail_format=request.param)


@pytest.mark.parametrize("tls", TRANSPORTS)
def test_every_octet_is_served_and_what_is_deleted_goes(server: Server, tls: str) -> None:
    site = server.site
    site.put([*mailboxes.varied(), *mailboxes.awkward()], tls)
    stored = site.stored(tls)
    with server.session(tls, tls=tls) as client:
        sizes = [int(line.split()[1]) for line in client.listing("LIST")]
        uids = client.uidl()
        for number, octets in enumerate(stored, 1):
            assert client.retrieve(number) == transmitted(octets)
            assert sizes[number - 1] == len(transmitted(octets))
        assert client.ok("STAT").split()[1:3] == [
            str(len(stored)).encode(),
            str(sum(sizes)).encode(),
        ]
        for number in (1, 5, len(stored)):
            client.ok(f"DELE {number}")
        assert site.stored(tls) == stored, "something was removed before QUIT"
        client.quit()
    kept = [number for number in range(1, len(stored) + 1) if number not in (1, 5, len(stored))]
    assert site.stored(tls) == [stored[number - 1] for number in kept]
    with server.session(tls, tls=tls) as client:
        assert list(client.uidl().values()) == [uids[number] for number in kept]
        client.quit()
