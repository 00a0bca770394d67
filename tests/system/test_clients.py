"""Real clients fetch what real delivery agents wrote, octet by octet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support import delivery
from tests.support.fixtures import Servers
from tests.support.mailboxes import awkward, message, transmitted, varied
from tests.support.peers import IMPLICIT, PEERS, Order, Peer
from tests.support.server import Server

AGENTS = (delivery.procmail, delivery.maildrop)

CASES = [
    pytest.param(
        peer,
        tls,
        marks=pytest.mark.peer(*filter(None, (peer.program, "procmail", "maildrop"))),
        id=f"{peer.name}-{tls}",
    )
    for peer in PEERS
    for tls in peer.transports
]
KEEPERS = [
    pytest.param(peer, marks=pytest.mark.peer(peer.program, "procmail", "maildrop"), id=peer.name)
    for peer in PEERS
    if not peer.transmitted
]


@pytest.fixture(scope="module", params=["mbox", "maildir"])
def server(request: pytest.FixtureRequest, module_servers: Servers) -> Server:
    """A server with a user for each test."""
    users = [f"{peer.name}-{tls}" for peer in PEERS for tls in peer.transports]
    users += [f"{peer.name}-keeps" for peer in PEERS]
    return module_servers.start(users=users, mail_format=request.param)


def _deliver(server: Server, messages: list[bytes], user: str) -> None:
    """Have the agents take turns: one spool, two hands."""
    for number, octets in enumerate(messages):
        AGENTS[number % 2](server.site, octets, user)


def _stored(server: Server, peer: Peer, user: str) -> list[bytes]:
    """What the client should have of what is in the maildrop now."""
    stored = server.site.stored(user)
    if peer.transmitted:
        return [transmitted(one) for one in stored]
    return sorted(one if one.endswith(b"\n") else one + b"\n" for one in stored)


@pytest.mark.parametrize(("peer", "tls"), CASES)
def test_a_client_fetches_everything_as_it_was_delivered(
    server: Server, peer: Peer, tls: str
) -> None:
    site, user = server.site, f"{peer.name}-{tls}"
    messages = varied() + (awkward() if peer.faithful else [])
    _deliver(server, messages, user)
    expected = _stored(server, peer, user)
    assert len(expected) == len(messages)
    fetched = peer.fetch(Order(site, user, tls, site.client_directory(user)))
    assert (fetched if peer.transmitted else sorted(fetched)) == expected
    assert _stored(server, peer, user) == expected, "the maildrop was changed"


@pytest.mark.parametrize("peer", KEEPERS)
def test_nothing_is_fetched_twice_and_what_was_fetched_can_be_removed(
    server: Server, peer: Peer
) -> None:
    site, user = server.site, f"{peer.name}-keeps"
    order = Order(site, user, IMPLICIT, site.client_directory(user))
    _deliver(server, varied(), user)
    assert sorted(peer.fetch(order)) == _stored(server, peer, user)
    assert len(peer.fetch(order)) == len(varied()), "messages were fetched again"
    delivery.procmail(site, message("new"), user)
    assert sorted(peer.fetch(order)) == _stored(server, peer, user)
    server.wait_quiet()
    delivery.procmail(site, message("newer"), user)
    everything = _stored(server, peer, user)
    fetched = peer.fetch(replace(order, keep=False))
    assert set(fetched) == set(everything)
    assert site.stored(user) == []
