"""How a server ends: gracefully, at once, by command; what clients and their mail see of it."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered
from tests.support.server import Server
from tests.support.waiting import wait_until

STOPPING = b"-ERR [SYS/TEMP] The server is stopping"


@pytest.fixture
def server(servers: Servers) -> Server:
    """A server with some mail."""
    server = servers.start()
    server.site.put(numbered(3))
    return server


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("tls", ["off", "stls", "implicit"])
def test_sigterm_lets_a_session_finish_and_takes_no_new_ones(server: Server, tls: str) -> None:
    site = server.site
    with server.session(tls=tls) as client:
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: _refused(site.port) and _refused(site.tls_port), "no more connections")
        assert len(client.retrieve(1)) > 100
        client.ok("DELE 2")
        assert server.process.poll() is None
        client.quit()
    server.ended()
    assert len(site.stored()) == 2


@pytest.mark.parametrize("tls", ["off", "stls", "implicit"])
def test_sigterm_sends_away_who_has_not_logged_in(server: Server, tls: str) -> None:
    with server.session() as session, server.client(tls=tls) as waiting:
        waiting.ok("USER fred")
        server.send_signal(signal.SIGTERM)
        assert waiting.line().startswith(STOPPING)
        assert waiting.closed()
        session.quit()
    server.ended()


def test_sigterm_ends_sessions_when_their_time_is_over(servers: Servers) -> None:
    server = servers.start(users=["fred", "jane"], settings={"service": {"shutdown_grace": 0.5}})
    server.site.put(numbered(3))
    with server.session() as client, server.session("jane", tls="implicit") as second:
        client.ok("DELE 1")
        server.send_signal(signal.SIGTERM)
        assert client.closed()
        assert second.closed()
    server.ended()
    assert len(server.site.stored()) == 3
    assert server.log.find("session of fred from .* ended: the worker was told to end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_sigint_ends_everything_at_once_and_removes_nothing(
    server: Server, number: signal.Signals
) -> None:
    with server.session() as client, server.client() as waiting:
        client.ok("DELE 1")
        server.send_signal(number)
        assert client.closed()
        assert waiting.rest() in (b"", STOPPING + b", try again later\r\n")
    server.ended()
    assert len(server.site.stored()) == 3


def test_sigint_after_sigterm_shortens_the_grace(server: Server) -> None:
    with server.session() as client:
        server.send_signal(signal.SIGTERM)
        server.log.wait("stopping, sessions have 30 s")
        assert client.ok("NOOP")
        server.send_signal(signal.SIGINT)
        assert client.closed()
    server.ended()


def test_the_command_stop_waits_for_the_end(server: Server) -> None:
    with server.client():
        done = server.site.run("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.process.poll() == 0
    server.ended()


def test_the_command_stop_now_does_not_wait_for_clients(server: Server) -> None:
    with server.session() as client:
        assert server.site.run("stop", "--now").returncode == 0
        assert client.closed()
    server.ended()


def test_a_stop_without_clients_needs_no_patience(server: Server) -> None:
    server.send_signal(signal.SIGTERM)
    server.ended(seconds=10)


def test_commands_that_came_with_quit_are_carried_out_before_the_end(server: Server) -> None:
    with server.session() as client:
        server.send_signal(signal.SIGTERM)
        server.log.wait("stopping")
        client.send(b"DELE 1\r\nDELE 2\r\nQUIT\r\n")
        assert [client.line()[:3] for _ in range(3)] == [b"+OK"] * 3
    server.ended()
    assert len(server.site.stored()) == 1
