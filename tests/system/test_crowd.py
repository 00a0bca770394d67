"""Clients that mean no good, or nothing: silent, slow, flooding, without a handshake."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from tests.support.certificates import client_context
from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import message, numbered
from tests.support.server import Server
from tests.support.waiting import wait_until

SILENT = 1000
KILOBYTE = 1024
TRANSPORTS = ("off", "stls", "implicit")


@pytest.fixture(scope="module")
def many_descriptors() -> Iterator[None]:
    """Room for the crowd in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def _crowd(ports: list[int]) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for port in ports]


def _is_served(server: Server) -> None:
    """Whether everybody else can log in, fetch and leave."""
    for tls in TRANSPORTS:
        with server.session(tls=tls) as client:
            assert client.ok("STAT").split()[1] == b"3"
            assert len(client.retrieve(2)) > 200
            client.quit()


def _descriptors(server: Server) -> int:
    """Open files of the listener and the login processes."""
    return sum(
        len(process.links()) for role in ("listener", "login") for process in server.processes(role)
    )


def _memory(server: Server) -> int:
    return sum(process.resident() for process in server.processes("login"))


@pytest.mark.root  # /proc shows nobody else what such processes have open
def test_a_thousand_silent_connections_cost_others_nothing(
    servers: Servers, many_descriptors: None
) -> None:
    server = servers.start()
    site = server.site
    site.put(numbered(3))
    _is_served(server)
    processes = len(server.processes("login"))
    before, memory = _descriptors(server), _memory(server)
    with _crowd([site.port, site.tls_port] * (SILENT // 2)):
        wait_until(
            lambda: server.status()["login"]["connections"] == SILENT, "all of them are there"
        )
        for _ in range(20):
            _is_served(server)
        assert len(server.processes("login")) == processes
        assert _memory(server) - memory < SILENT * 20 * KILOBYTE
    server.wait_quiet()
    wait_until(lambda: _descriptors(server) <= before, "their descriptors are closed")
    _is_served(server)


def test_who_does_not_log_in_in_time_is_told_so(servers: Servers) -> None:
    server = servers.start(settings={"login": {"timeout": 1}})
    server.site.put(numbered(3))
    with (
        server.client() as silent,
        server.client() as named,
        server.client(tls="implicit") as encrypted,
        server.session() as session,
        Client(server.site.tls_port) as no_handshake,
    ):
        named.ok("USER fred")
        for client in (silent, named, encrypted):
            assert client.line().startswith(b"-ERR")
            assert client.closed()
        assert no_handshake.closed()
        assert session.ok("STAT").split()[1] == b"3"
        session.quit()


def test_when_all_places_are_taken_the_one_who_has_most_gives_up_the_oldest(
    servers: Servers,
) -> None:
    server = servers.start(settings={"login": {"maximum_connections": 20, "processes": 1}})
    server.site.put(numbered(3))
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(server.client(source="127.0.0.2")) for _ in range(20)]
        with server.session() as other:
            assert other.ok("STAT").split()[1] == b"3"
            other.quit()
        assert greedy[0].line().startswith(b"-ERR [SYS/TEMP]")
        assert greedy[0].closed()
        assert greedy[1].ok("CAPA")


def _half_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


GARBAGE: dict[str, Callable[[], bytes]] = {
    "pop3": lambda: b"USER fred\r\nPASS secret\r\nQUIT\r\n",
    "http": lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": lambda: bytes(100_000),
    "ones": lambda: b"\xff" * 100_000,
    "alert": lambda: b"\x15\x03\x03\x00\x02\x02\x28",
    "ssl2": lambda: b"\x80\x2e\x01\x00\x02" + bytes(44),
    "large record": lambda: b"\x16\x03\x01\xff\xff" + bytes(70_000),
    "hello twice": lambda: _half_hello() * 2,
    "hello and nonsense": lambda: _half_hello() + b"\x17\x03\x03\x00\x20" + bytes(32),
}


@pytest.fixture(scope="module")
def server(module_servers: Servers) -> Server:
    """A server with mail."""
    server = module_servers.start(users=["fred", "slow"])
    server.site.put(numbered(3))
    return server


@pytest.mark.parametrize("start", ["implicit", "stls"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_instead_of_a_handshake_ends_that_client_alone(
    server: Server, kind: str, start: str
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            if start == "implicit":
                client = stack.enter_context(Client(server.site.tls_port))
            else:
                client = stack.enter_context(server.client())
                client.ok("STLS")
            with contextlib.suppress(ConnectionError):
                client.send(GARBAGE[kind]())
                assert b"+OK" not in client.rest()
        _is_served(server)
    server.wait_quiet()


def test_unfinished_handshakes_are_in_nobodys_way(server: Server) -> None:
    hello = _half_hello()
    with contextlib.ExitStack() as stack:
        for size in (0, 1, 5, len(hello) // 2, len(hello) - 1, len(hello)) * 20:
            client = stack.enter_context(Client(server.site.tls_port))
            client.send(hello[:size])
        _is_served(server)
    server.wait_quiet()


def test_commands_that_come_octet_by_octet_are_understood(server: Server) -> None:
    with server.client() as client:
        for octet in b"USER fred\r\nPASS secret\r\nSTAT\r\nQUIT\r\n":
            client.send(bytes((octet,)))
        answers = client.rest().split(b"\r\n")
    assert [answer[:3] for answer in answers] == [b"+OK"] * 4 + [b""]


@pytest.mark.root  # to read how much memory the processes have
@pytest.mark.parametrize("after_login", [False, True], ids=["before-login", "after-login"])
def test_a_line_without_end_takes_no_memory(server: Server, after_login: bool) -> None:
    with server.session() if after_login else server.client() as client:
        process = server.process_of("fred") if after_login else None
        before = process.resident() if process else _memory(server)
        for _ in range(200):
            client.send(b"x" * 100_000)
        client.send(b"\r\n")
        assert client.line().startswith(b"-ERR")
        grown = (process.resident() if process else _memory(server)) - before
        assert grown < 2 * KILOBYTE * KILOBYTE
        client.quit()


@pytest.mark.root  # to read how much memory the processes have
@pytest.mark.parametrize("tls", TRANSPORTS)
def test_who_does_not_read_what_was_asked_for_takes_no_memory(server: Server, tls: str) -> None:
    server.site.clear("slow")
    server.site.put([message("large", b"0123456789abcde\n" * 65536)], "slow")
    with server.session("slow", tls=tls) as client:
        before = _memory(server)
        client.send(b"RETR 1\r\n" * 50)
        _is_served(server)
        worker = server.process_of("slow")
        assert worker.resident() < 64 * KILOBYTE * KILOBYTE
        assert _memory(server) - before < 4 * KILOBYTE * KILOBYTE
        for _ in range(50):
            assert client.line().startswith(b"+OK")
            assert len(client.lines()) > 65536
        client.quit()
    server.wait_quiet()


def test_a_client_that_vanishes_within_a_message_ends_its_session(server: Server) -> None:
    server.site.clear("slow")
    server.site.put([message("large", b"0123456789abcde\n" * 65536)], "slow")
    for tls in TRANSPORTS:
        with server.session("slow", tls=tls) as client:
            client.send(b"RETR 1\r\n" * 20)
            client.line()
        wait_until(lambda: not server.who(), "the end of the session")
    assert len(server.site.stored("slow")) == 1


@pytest.mark.parametrize("limit", ["instances", "per_source"])
def test_admission_limits_hold_and_end_with_the_sessions(servers: Servers, limit: str) -> None:
    server = servers.start(users=["a", "b", "c"], settings={"admission": {limit: 3}})

    def refused(source: str = "") -> bool:
        with Client(server.site.port, source=source) as client:
            return client.line().startswith(b"-ERR [SYS/TEMP] Too many")

    for _ in range(2):
        wait_until(lambda: not refused(), "a free place")
        with server.session("a"), server.session("b", tls="implicit"), server.client():
            assert refused()
            assert refused("127.0.0.2") is (limit == "instances")
    assert len(server.log.find(f"admission.{limit} is reached")) == 1
