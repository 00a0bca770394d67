"""Logins on their way to auth, and those that come back refused."""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import replace

import pytest

from preforkpop.ipc import channel
from preforkpop.ipc.messages import Verdict
from tests.unit.login.process import (
    PLAIN,
    LoginProcess,
    Session,
    Talk,
    login_process,
    with_authentication,
)

WRONG = b"-ERR [AUTH] Wrong\r\n"


def logged_in(login: LoginProcess, *behind: bytes, tls: bool = False) -> tuple[Talk, Session]:
    """A client that has sent its password, and some octets behind it."""
    talk = login.connect_tls() if tls else login.connect()
    if not tls:
        talk.line()
    talk.send(b"USER fred\r\nPASS secret\r\n" + b"".join(behind))
    assert talk.line() == b"+OK Password required.\r\n"
    return talk, login.session()


class TestClearText:
    def test_the_attempt_says_all_that_is_known(self, login: LoginProcess) -> None:
        before = time.monotonic()
        talk = login.connect(PLAIN, peer="192.0.2.7")
        stamp = talk.line().split()[-1]
        talk.send(b"USER fred\r\nPASS  a b\0c \r\n")
        session = login.session()
        attempt, client = session.attempt, session.attempt.client
        assert (attempt.mechanism, attempt.user, attempt.secret) == ("USER", b"fred", b" a b\0c ")
        assert (attempt.slot, attempt.authzid, attempt.rest) == (7, b"", b"")
        assert before + 30 <= attempt.deadline <= time.monotonic() + 30
        assert (client.listener, client.port, client.peer) == (PLAIN, 4711, "192.0.2.7")
        assert (client.tls, client.failures, client.bad_commands) == (False, 0, 0)
        assert client.stamp == stamp
        assert before <= client.accepted <= time.monotonic()

    def test_the_stream_is_the_clients_own_socket_in_blocking_mode(
        self, login: LoginProcess
    ) -> None:
        talk, session = logged_in(login)
        assert os.get_blocking(session.stream.fileno())
        session.stream.sendall(b"+OK fred has 0 messages\r\n")
        assert talk.line() == b"+OK fred has 0 messages\r\n"
        talk.send(b"STAT\r\n")
        assert session.stream.recv(100) == b"STAT\r\n"

    def test_login_holds_nothing_of_the_session_any_more(self, login: LoginProcess) -> None:
        talk, session = logged_in(login)
        assert login.waiting(0)
        assert talk.lease_held()
        session.close()
        assert talk.lease_ends()
        assert talk.rest() == b""

    def test_what_was_pipelined_behind_the_login_goes_with_it(self, login: LoginProcess) -> None:
        _talk, session = logged_in(login, b"STAT\r\nLIST\r\nRE")
        assert session.attempt.rest == b"STAT\r\nLIST\r\nRE"

    def test_a_refused_client_comes_back_and_may_try_again(self, login: LoginProcess) -> None:
        talk, session = logged_in(login)
        login.refuse(session)
        assert talk.line() == WRONG
        talk.send(b"USER barney\r\nPASS rubble\r\n")
        assert talk.line() == b"+OK Password required.\r\n"
        attempt = login.session().attempt
        assert (attempt.user, attempt.client.failures) == (b"barney", 1)

    def test_what_was_pipelined_behind_a_refused_login_is_answered(
        self, login: LoginProcess
    ) -> None:
        talk, session = logged_in(login, b"NOSUCH\r\nUSER barney\r\nPASS rubble\r\nSTAT\r\n")
        login.refuse(session)
        assert talk.line() == WRONG
        assert talk.line().startswith(b"-ERR Unknown command")
        assert talk.line() == b"+OK Password required.\r\n"
        again = login.session().attempt
        assert (again.user, again.rest, again.client.bad_commands) == (b"barney", b"STAT\r\n", 1)

    def test_a_client_that_left_meanwhile_is_forgotten_when_it_comes_back(
        self, login: LoginProcess
    ) -> None:
        talk, session = logged_in(login)
        talk.sock.close()
        login.refuse(session)
        assert talk.lease_ends()
        assert login.waiting(0)

    def test_the_apop_stamp_stays_that_of_the_greeting(self, login: LoginProcess) -> None:
        talk = login.connect()
        stamp = talk.line().split()[-1]
        for _ in range(2):
            talk.send(b"APOP fred c4c9334bac560ecc979e58001b3e22fb\r\n")
            session = login.session()
            assert session.attempt.client.stamp == stamp
            login.refuse(session)
            assert talk.line() == WRONG


class TestTls:
    def test_the_stream_is_a_socket_pair(self, login: LoginProcess) -> None:
        _talk, session = logged_in(login, tls=True)
        assert session.attempt.client.tls
        assert session.stream.family == socket.AF_UNIX

    def test_a_refused_client_may_try_again(self, login: LoginProcess) -> None:
        talk, session = logged_in(login, tls=True)
        assert login.waiting(0)
        login.refuse(session)
        assert talk.line() == WRONG
        assert login.waiting(1)
        talk.send(b"USER barney\r\nPASS rubble\r\n")
        talk.line()
        attempt = login.session().attempt
        assert (attempt.user, attempt.client.failures) == (b"barney", 1)

    def test_what_was_pipelined_behind_a_refused_login_is_answered_in_order(
        self, login: LoginProcess
    ) -> None:
        talk, session = logged_in(login, b"NOSUCH\r\n", tls=True)
        talk.send(b"QUIT\r\n")  # in a record of its own, which nobody reads before the verdict
        login.refuse(session)
        assert talk.line() == WRONG
        assert talk.line().startswith(b"-ERR Unknown command")
        assert talk.rest() == b"+OK POP3 server signing off.\r\n"

    def test_nothing_is_read_while_the_verdict_is_awaited(self, login: LoginProcess) -> None:
        talk, session = logged_in(login, tls=True)
        talk.sock.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                sent += talk.sock.send(bytes(16384))
        assert sent < 16_000_000  # what the kernel's buffers hold
        assert not select.select([session.stream], [], [], 0)[0]

    def test_the_session_counts_until_its_worker_has_gone(self, login: LoginProcess) -> None:
        talk, session = logged_in(login, tls=True)
        session.stream.sendall(b"+OK\r\n")
        assert talk.line() == b"+OK\r\n"
        assert talk.lease_held()
        session.close()
        assert talk.lease_ends()

    def test_auth_that_dies_with_the_session_is_told_to_the_client(
        self, login: LoginProcess
    ) -> None:
        talk, session = logged_in(login, tls=True)
        session.close()
        assert (
            talk.rest() == b"-ERR [SYS/TEMP] The session could not be started, try again later\r\n"
        )


class TestRefusals:
    @pytest.mark.parametrize("tls", [False, True])
    def test_the_last_failure_ends_the_connection(self, login: LoginProcess, tls: bool) -> None:
        talk, session = logged_in(login, tls=tls)
        for _ in range(2):
            login.refuse(session)
            assert talk.line() == WRONG
            talk.send(b"USER fred\r\nPASS again\r\n")
            talk.line()
            session = login.session()
        login.refuse(session)
        assert talk.rest() == WRONG
        assert talk.lease_ends()
        assert any("3 failed logins from 127.0.0.1" in line for line in login.log())

    @pytest.mark.parametrize("tls", [False, True])
    def test_the_servers_own_fault_does_not_count(self, login: LoginProcess, tls: bool) -> None:
        talk, session = logged_in(login, tls=tls)
        for _ in range(5):
            login.refuse(session, "SYS/TEMP", "Later")
            assert talk.line() == b"-ERR [SYS/TEMP] Later\r\n"
            talk.send(b"USER fred\r\nPASS again\r\n")
            talk.line()
            session = login.session()
        assert session.attempt.client.failures == 0

    @pytest.mark.parametrize("tls", [False, True])
    def test_the_answer_is_held_back(self, tls_context: object, tls: bool) -> None:
        settings = with_authentication(failure_delay=0.2, maximum_delay=0.4)
        with login_process(settings, tls_context) as login:  # type: ignore[arg-type]
            talk, session = logged_in(login, tls=tls)
            begun = time.monotonic()
            login.refuse(session)
            assert talk.line() == WRONG
            assert time.monotonic() - begun >= 0.2
            begun = time.monotonic()
            talk.send(b"USER fred\r\nPASS again\r\n")
            talk.line()
            login.refuse(login.session())
            assert talk.line() == WRONG
            assert time.monotonic() - begun >= 0.4

    def test_others_are_served_while_an_answer_is_held_back(self) -> None:
        with login_process(with_authentication(failure_delay=60, maximum_delay=60)) as login:
            _talk, session = logged_in(login)
            login.refuse(session)
            other = login.connect()
            other.line()
            assert other.says(b"USER barney") == b"+OK Password required.\r\n"


class TestFullQueue:
    @pytest.mark.parametrize("tls", [False, True])
    def test_the_client_hears_that_the_server_is_busy(self, login: LoginProcess, tls: bool) -> None:
        talk = login.connect_tls() if tls else login.connect()
        if not tls:
            talk.line()
        filler = b"x" * 30000
        sender = login.server._attempts._attempts
        with pytest.raises(BlockingIOError):
            while True:
                channel.send(sender, filler, wait=False)
        talk.send(b"USER fred\r\nPASS secret\r\n")
        assert talk.line() == b"+OK Password required.\r\n"
        assert talk.rest() == b"-ERR [SYS/TEMP] The server is busy, try again later\r\n"
        assert talk.lease_ends()
        assert any("authentication.processes" in line for line in login.log())


class TestBadVerdicts:
    """Auth is trusted, but a fault in it must not take a login process with it."""

    def still_serves(self, login: LoginProcess) -> bool:
        talk = login.connect()
        talk.line()
        return talk.says(b"USER fred") == b"+OK Password required.\r\n"

    def test_a_listener_that_does_not_exist(self, login: LoginProcess) -> None:
        talk, session = logged_in(login)
        attempt = session.attempt
        client = replace(attempt.client, listener=200)
        verdict = Verdict(client, "AUTH", "Wrong", b"fred", b"")
        channel.send(login.verdicts, verdict.pack(), (session.stream.fileno(), session.lease))
        session.close()
        assert talk.rest() == b""
        assert talk.lease_ends()
        assert self.still_serves(login)

    def test_octets_that_are_no_verdict(self, login: LoginProcess) -> None:
        talk, session = logged_in(login)
        channel.send(login.verdicts, b"what", (session.stream.fileno(), session.lease))
        session.close()
        assert talk.lease_ends()
        assert self.still_serves(login)

    def test_a_verdict_without_its_descriptors(self, login: LoginProcess) -> None:
        _talk, session = logged_in(login)
        channel.send(login.verdicts, b"what", (session.lease,))
        assert self.still_serves(login)
        assert any("1 descriptors instead of 2" in line for line in login.log())

    def test_a_verdict_on_nobody(self, login: LoginProcess) -> None:
        _talk, session = logged_in(login, tls=True)
        client = replace(session.attempt.client, number=1)
        verdict = Verdict(client, "AUTH", "Wrong", b"fred", b"")
        channel.send(login.verdicts, verdict.pack(), (session.stream.fileno(), session.lease))
        assert self.still_serves(login)

    def test_a_descriptor_that_is_no_socket(self, login: LoginProcess) -> None:
        _talk, session = logged_in(login)
        verdict = Verdict(session.attempt.client, "AUTH", "Wrong", b"fred", b"")
        channel.send(login.verdicts, verdict.pack(), (session.lease, session.lease))
        assert self.still_serves(login)


def test_a_login_of_the_greatest_length_arrives_whole(login: LoginProcess) -> None:
    talk = login.connect_tls()
    user = b"USER " + b"u" * 505 + b"\r\n"
    password = b"PASS " + b"p" * 505 + b"\r\n"
    talk.send(user + password + b"N" * (16384 - len(user + password)))
    attempt = login.session().attempt
    assert (len(attempt.user), len(attempt.secret)) == (505, 505)
    assert len(attempt.rest) == 16384 - len(user + password)


def test_who_has_not_taken_its_answers_does_not_leave_for_auth(login: LoginProcess) -> None:
    """The answers would be lost, as nobody else has them."""
    talk = login.connect()
    talk.line()
    [client] = login.server._connections.by_number.values()
    client.machine.receive(b"USER fred\r\nPASS secret\r\n")
    client.outward = b"+OK Password required.\r\n"
    with pytest.raises(ConnectionAbortedError):
        login.server._attempts.ask(client)
    client.outward = b""
    client.machine.login = None
    assert talk.says(b"NOOP").startswith(b"-ERR")
