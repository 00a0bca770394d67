"""The event loop of a login process: limits, times, ends, and faults of others."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from OpenSSL import SSL

from preforkpop.ipc import channel, lease
from preforkpop.ipc.messages import Admitted
from preforkpop.ipc.scoreboard import RETIRING
from preforkpop.login import attempts as attempts_module
from preforkpop.login import server as server_module
from preforkpop.login.connections import MAXIMUM_UNSENT, Connections
from preforkpop.system.sockets import pair
from tests.unit.login.process import (
    IMPLICIT,
    SETTINGS,
    LoginProcess,
    Talk,
    login_process,
    with_authentication,
    with_login,
)

SLOW = b"-ERR No login in time; closing the connection.\r\n"
CROWDED = b"-ERR [SYS/TEMP] Too many connections; closing the oldest.\r\n"
STOPPING = b"-ERR [SYS/TEMP] The server is stopping, try again later\r\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for clients whose time is over every few milliseconds."""
    monkeypatch.setattr(server_module, "SWEEP", 0.02)


def serves(login: LoginProcess) -> bool:
    """Whether a new client is answered."""
    talk = login.connect()
    return talk.line().startswith(b"+OK") and talk.says(b"USER fred").startswith(b"+OK")


def turns(login: LoginProcess, wait: Callable[[], object]) -> int:
    """How often the loop turns while something is waited for."""
    count = 0
    tick = login.server._tick

    def counted(now: float) -> None:
        nonlocal count
        count += 1
        tick(now)

    login.server._tick = counted  # type: ignore[method-assign]
    wait()
    return count


class TestTime:
    def test_who_has_not_logged_in_in_time_is_told_and_closed(self, quick: None) -> None:
        with login_process(with_login(timeout=0.2)) as login:
            talk = login.connect()
            talk.line()
            assert talk.rest() == SLOW
            assert talk.lease_ends()

    def test_it_counts_from_when_the_connection_was_accepted(self, quick: None) -> None:
        with login_process(with_login(timeout=100)) as login:
            talk = login.connect(age=101)
            talk.line()
            assert talk.rest() == SLOW
            young = login.connect(age=50)
            young.line()
            assert young.says(b"USER fred") == b"+OK Password required.\r\n"

    def test_commands_do_not_prolong_it(self, quick: None) -> None:
        with login_process(with_login(timeout=0.2)) as login:
            talk = login.connect()
            talk.line()
            heard = b""
            with contextlib.suppress(ConnectionError):  # it may close between two commands
                while not heard.endswith(SLOW):
                    heard += talk.says(b"AUTH") + talk.line() + talk.line()
                    assert len(heard) < 10_000_000
            assert talk.lease_ends()

    def test_a_refused_login_does_not_prolong_it(self, quick: None) -> None:
        with login_process(with_login(timeout=0.3, maximum_failures=100)) as login:
            talk = login.connect()
            talk.line()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            login.refuse(login.session())
            assert talk.line() == b"-ERR [AUTH] Wrong\r\n"
            assert talk.rest() == SLOW

    def test_a_handshake_that_is_never_completed_is_cut_off(
        self, quick: None, tls_context: SSL.Context
    ) -> None:
        with login_process(with_login(timeout=0.2), tls_context) as login:
            talk = login.connect(IMPLICIT)
            talk.send(b"\x16\x03\x01\x02\x00\x01")
            assert talk.rest() == b""
            assert talk.lease_ends()

    def test_an_auth_process_that_never_answers(
        self, quick: None, tls_context: SSL.Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempts_module, "VERDICT_TIMEOUT", 0.1)
        monkeypatch.setattr(attempts_module, "SLACK", 0.1)
        with login_process(SETTINGS, tls_context) as login:
            talk = login.connect_tls()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            session = login.session()
            assert talk.rest() == b"-ERR [SYS/TEMP] The server is busy, try again later\r\n"
            assert session.stream.recv(100) == b""  # a worker that comes now finds nobody
            login.refuse(session)  # too late, and no harm
            assert serves(login)

    def test_last_words_to_who_does_not_listen_are_given_up(
        self, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Connections.end, "__defaults__", (0.1,))
        with login_process(with_login(timeout=0.2)) as login:
            talk = deaf(login)
            assert talk.lease_ends()


def deaf(login: LoginProcess) -> Talk:
    """A client that asks and asks and takes no answer, until login reads no more of it."""
    talk = login.connect()
    talk.sock.settimeout(0.3)
    with pytest.raises((TimeoutError, ConnectionError)):
        while True:
            talk.send(b"CAPA\r\n" * 100)
    return talk


class TestSlowReaders:
    def test_who_takes_no_answers_is_not_read_and_holds_nobody_up(
        self, login: LoginProcess
    ) -> None:
        talk = deaf(login)
        assert serves(login)
        [client] = [one for one in login.server._connections.by_number.values() if one.outward]
        assert len(client.outward) <= MAXIMUM_UNSENT
        assert client.interest() == select.EPOLLOUT
        talk.sock.close()


class TestCrowd:
    def test_the_oldest_of_the_address_that_holds_most_goes_first(self) -> None:
        with login_process(with_login(maximum_connections=4)) as login:
            lone = login.connect(peer="192.0.2.1")
            many = [login.connect(peer="192.0.2.2") for _ in range(3)]
            for talk in (lone, *many):
                talk.line()
            new = login.connect(peer="192.0.2.3")
            assert new.line().startswith(b"+OK")
            assert many[0].rest() == CROWDED
            assert login.waiting(4)
            for talk in (lone, *many[1:], new):
                assert talk.says(b"USER fred").startswith(b"+OK")

    def test_a_flood_is_one_line_in_the_log(self) -> None:
        with login_process(with_login(maximum_connections=2)) as login:
            for _ in range(20):
                login.connect().line()
            assert len([one for one in login.log() if "maximum_connections" in one]) == 1

    def test_clients_of_other_login_processes_count(self) -> None:
        with login_process(with_login(maximum_connections=100), others=lambda: 99) as login:
            first = login.connect()
            first.line()
            second = login.connect()
            assert first.rest() == CROWDED
            assert second.line().startswith(b"+OK")

    def test_who_has_asked_auth_or_logged_in_is_no_longer_one_of_them(
        self, tls_context: SSL.Context
    ) -> None:
        with login_process(with_login(maximum_connections=1), tls_context) as login:
            talk = login.connect_tls()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            session = login.session()
            login.connect().line()
            login.connect().line()
            session.stream.sendall(b"+OK\r\n")
            assert talk.line() == b"+OK\r\n"

    def test_who_has_not_shaken_hands_is_told_nothing_in_the_clear(
        self, tls_context: SSL.Context
    ) -> None:
        with login_process(with_login(maximum_connections=1), tls_context) as login:
            silent = login.connect(IMPLICIT)
            begun = login.connect(IMPLICIT)
            assert silent.rest() == b""
            begun.send(b"\x16\x03\x01\x02\x00\x01")
            clients = login.server._connections.by_number
            assert login.until(lambda: any(one.tls for one in list(clients.values())))
            login.connect().line()
            assert begun.rest() == b""

    def test_a_client_whose_answer_is_held_back_can_go(self) -> None:
        settings = replace(
            with_authentication(failure_delay=60, maximum_delay=60),
            login=replace(SETTINGS.login, maximum_connections=1),
        )
        with login_process(settings) as login:
            talk = login.connect()
            talk.line()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            login.refuse(login.session())
            assert login.waiting(1)
            login.connect().line()
            assert talk.rest() == CROWDED


class TestStop:
    def test_who_waits_is_told(self, tls_context: SSL.Context) -> None:
        with login_process(SETTINGS, tls_context) as login:
            clear, tls, shaking = login.connect(), login.connect_tls(), login.connect(IMPLICIT)
            clear.line()
            login.stop()
            assert clear.rest() == STOPPING
            assert tls.rest() == STOPPING
            assert shaking.rest() == b""
            assert login.join()

    def test_who_was_accepted_and_not_yet_greeted_is_told(self) -> None:
        with login_process() as login:
            talks = [login.connect() for _ in range(10)]
            login.stop()
            assert all(talk.rest().endswith(STOPPING) for talk in talks)
            assert login.join()

    def test_sessions_go_on_to_their_ends(self, tls_context: SSL.Context) -> None:
        with login_process(SETTINGS, tls_context) as login:
            talk = login.connect_tls()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            session = login.session()
            login.stop()
            session.stream.sendall(b"+OK\r\n")
            assert talk.line() == b"+OK\r\n"
            session.stream.sendall(b"+OK bye\r\n")
            session.close()
            assert talk.rest() == b"+OK bye\r\n"
            assert login.join()

    def test_a_login_that_comes_back_refused_is_the_end(self, tls_context: SSL.Context) -> None:
        with login_process(SETTINGS, tls_context) as login:
            talk = login.connect_tls()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            session = login.session()
            waiting = login.connect()
            waiting.line()
            login.stop()
            assert waiting.rest() == STOPPING
            login.refuse(session)
            assert talk.rest() == b"-ERR [AUTH] Wrong\r\n"
            assert login.join()


class TestRetirement:
    def test_when_the_listener_has_gone_clients_are_served_to_their_ends(self) -> None:
        with login_process() as login:
            talk = login.connect()
            talk.line()
            login.closes_listener()
            assert talk.says(b"USER fred") == b"+OK Password required.\r\n"
            talk.send(b"QUIT\r\n")
            talk.rest()
            assert login.join()

    def test_when_the_parent_has_gone_no_more_are_taken(self) -> None:
        with login_process() as login:
            talk = login.connect()
            talk.line()
            login.parent_dies()
            assert login.until(lambda: login.board.state(0) == RETIRING)
            assert talk.says(b"QUIT").startswith(b"+OK")
            assert login.join()

    def test_a_stop_is_heard_after_the_listener_has_gone(self) -> None:
        with login_process() as login:
            talk = login.connect()
            talk.line()
            login.closes_listener()
            assert login.until(lambda: login.board.state(0) == RETIRING)
            login.stop()
            assert talk.rest() == STOPPING
            assert login.join()

    def test_a_client_whose_password_is_being_checked_can_come_back(self) -> None:
        with login_process() as login:
            talk = login.connect()
            talk.line()
            talk.says(b"USER fred")
            talk.send(b"PASS wrong\r\n")
            session = login.session()
            login.closes_listener()
            assert login.until(lambda: login.board.state(0) == RETIRING)
            login.refuse(session)
            assert talk.line() == b"-ERR [AUTH] Wrong\r\n"
            assert talk.says(b"USER fred") == b"+OK Password required.\r\n"
            login.stop()
            assert talk.rest() == STOPPING
            assert login.join()

    def test_nobody_comes_back_when_auth_has_gone_too(self) -> None:
        with login_process() as login:
            talk = login.connect()
            talk.line()
            talk.says(b"USER fred")
            talk.send(b"PASS right\r\n")
            login.session()
            login.closes_listener()
            login.verdicts.close()
            assert login.join()

    def test_a_process_without_clients_ends_at_once(self) -> None:
        with login_process() as login:
            login.closes_listener()
            assert login.join()

    def test_auth_may_go_first(self, login: LoginProcess) -> None:
        login.verdicts.close()
        assert serves(login)
        assert turns(login, lambda: select.select([], [], [], 0.2)) < 20


class TestFaultsOfOthers:
    """What a listener or a client does wrong costs one connection."""

    @pytest.mark.parametrize("message", [b"", b"x", bytes(10), bytes(11) + b"\xff\0" * 900])
    def test_octets_that_are_no_connection(self, login: LoginProcess, message: bytes) -> None:
        watched, travelling = lease.grant()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            channel.send(login.admitted, message, (theirs.fileno(), travelling))
        os.close(travelling)
        assert serves(login)
        os.close(watched)

    def test_a_listener_that_does_not_exist(self, login: LoginProcess) -> None:
        talk = login.connect(listener=99)
        assert talk.rest() == b""
        assert talk.lease_ends()
        assert serves(login)

    def test_a_wrong_number_of_descriptors(self, login: LoginProcess) -> None:
        channel.send(login.admitted, Admitted(0, 1, 0.0, "").pack(), (0,))
        assert serves(login)

    def test_a_descriptor_that_is_no_socket(self, login: LoginProcess) -> None:
        watched, travelling = lease.grant()
        accepted = Admitted(0, 1, time.monotonic(), "").pack()
        channel.send(login.admitted, accepted, (travelling, travelling))
        os.close(travelling)
        assert serves(login)
        os.close(watched)

    @pytest.mark.parametrize("peer", ["", "a client", "fe80::1%eth0"])
    def test_an_odd_address(self, login: LoginProcess, peer: str) -> None:
        assert login.connect(peer=peer).line().startswith(b"+OK")

    def test_a_client_that_had_gone_before_it_was_greeted(self, login: LoginProcess) -> None:
        for _ in range(5):
            client = socket.create_connection(login._listening.getsockname())
            accepted, _address = login._listening.accept()
            watched, travelling = lease.grant()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()  # a reset: the greeting cannot be sent
            message = Admitted(0, 1, time.monotonic(), "192.0.2.7").pack()
            channel.send(login.admitted, message, (accepted.fileno(), travelling))
            accepted.close()
            os.close(travelling)
            os.close(watched)
        assert serves(login)

    def test_tls_at_once_without_a_certificate(self) -> None:
        with login_process() as login:
            talk = login.connect(IMPLICIT)
            assert talk.rest() == b""
            assert serves(login)

    def test_a_fault_of_the_program_ends_the_client_that_met_it(self, login: LoginProcess) -> None:
        other = login.connect()
        other.line()
        unlucky = login.connect()
        unlucky.line()
        client = list(login.server._connections.by_number.values())[-1]
        client.machine = None  # type: ignore[assignment]
        unlucky.send(b"USER fred\r\n")
        assert unlucky.rest() == b""
        assert unlucky.lease_ends()
        assert other.says(b"USER fred").startswith(b"+OK")
        [line] = [one for one in login.log() if "fault" in one]
        assert "AttributeError" in line
        assert "fred" not in line


class TestNoSpinning:
    """A hang-up is level-triggered: whoever watches for nothing must not be told of it for ever."""

    def test_a_client_that_leaves_while_its_answer_is_held_back(self) -> None:
        with login_process(with_authentication(failure_delay=0.3)) as login:
            talk = login.connect()
            talk.line()
            talk.send(b"USER fred\r\nPASS secret\r\n")
            talk.line()
            session = login.session()
            talk.sock.close()
            login.refuse(session)
            assert turns(login, talk.lease_ends) < 20

    @pytest.mark.parametrize("reset", [False, True])
    def test_a_tls_client_that_leaves_while_auth_is_asked(
        self, login: LoginProcess, reset: bool
    ) -> None:
        talk = login.connect_tls()
        talk.send(b"USER fred\r\nPASS secret\r\n")
        talk.line()
        session = login.session()
        if reset:
            linger = b"\1\0\0\0\0\0\0\0"
            talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        talk.sock.close()
        assert turns(login, lambda: select.select([session.stream], [], [], 0.2)) < 20
        login.refuse(session)
        assert talk.lease_ends()

    def test_a_relayed_client_that_has_said_all(self, login: LoginProcess) -> None:
        talk = login.connect_tls()
        talk.send(b"USER fred\r\nPASS secret\r\n")
        talk.line()
        session = login.grant()
        session.stream.sendall(b"+OK\r\n")
        talk.line()
        talk.sock.close()
        assert session.stream.recv(10) == b""
        assert turns(login, lambda: select.select([], [], [], 0.2)) < 20


class TestStaleEvents:
    def test_an_event_of_a_descriptor_that_was_given_out_again(self, login: LoginProcess) -> None:
        """In one batch of events a client is closed, another gets its number, and then comes what
        was reported of the first: here for every phase, as a hang-up."""
        talks = [login.connect(), login.connect_tls()]
        talks[0].line()
        asked = login.connect_tls()
        asked.send(b"USER fred\r\nPASS secret\r\n")
        asked.line()
        session = login.grant()
        server = login.server
        done, told = pair()

        def stale(now: float) -> None:
            server._tick = tick  # type: ignore[method-assign]
            for client in list(server._connections.by_number.values()):
                for descriptor in (client.descriptor, client.relay and client.relay.fileno()):
                    if descriptor:
                        for events in (select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP, 0x1F):
                            server._attend(client, server._ready, descriptor, events)
            told.send(b".")
            tick(now)

        tick, server._tick = server._tick, stale  # type: ignore[method-assign]
        with done, told:
            talks[0].send(b"NOOP\r\n")
            assert done.recv(1) == b"."
        assert talks[0].line().startswith(b"-ERR")
        assert talks[1].says(b"USER fred").startswith(b"+OK")
        session.stream.sendall(b"+OK\r\n")
        assert asked.line() == b"+OK\r\n"
        asked.send(b"STAT\r\n")
        assert session.stream.recv(10) == b"STAT\r\n"


def test_the_scoreboard_shows_what_waits_and_what_was_passed_on(login: LoginProcess) -> None:
    talk = login.connect()
    talk.line()
    login.connect().line()
    assert login.board.read(0).clients == 2
    talk.send(b"USER fred\r\nPASS secret\r\n")
    talk.line()
    login.session()
    login.connect().line()  # login has done by then what it was at
    assert login.board.read(0).clients == 2
    assert login.board.read(0).sessions == 1
    assert login.board.read(0).pid == os.getpid()
