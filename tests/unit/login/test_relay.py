"""The relay of TLS sessions: every octet, in order, and an end for everybody."""

from __future__ import annotations

import os
import random
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from OpenSSL import SSL

from preforkpop.login import server as server_module
from preforkpop.worker.settings import Maildrop
from tests.support.certificates import client_context
from tests.unit.login.process import (
    IMPLICIT,
    PATIENCE,
    SETTINGS,
    LoginProcess,
    Session,
    Talk,
    login_process,
)

GREETING = b"+OK fred has 3 messages\r\n"


@dataclass
class Relayed:
    """A session that a worker has greeted."""

    talk: Talk
    session: Session

    @property
    def worker(self) -> socket.socket:
        """The worker's end."""
        return self.session.stream


def relayed(login: LoginProcess, context: ssl.SSLContext | None = None) -> Relayed:
    talk = login.connect(IMPLICIT)
    talk.start_tls(context)
    talk.line()
    talk.send(b"USER fred\r\nPASS secret\r\n")
    talk.line()
    session = login.grant()
    session.stream.sendall(GREETING)
    assert talk.line() == GREETING
    return Relayed(talk, session)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def relay(login: LoginProcess, request: pytest.FixtureRequest) -> Relayed:
    """A session for each version of TLS."""
    context = client_context()
    context.minimum_version = context.maximum_version = request.param
    return relayed(login, context)


@pytest.fixture
def send_all() -> Iterator[object]:
    """Send in the background."""
    threads: list[threading.Thread] = []

    def start(sock: socket.socket, octets: bytes, *, end: bool = False) -> None:
        def run() -> None:
            sock.sendall(octets)
            if end:
                sock.shutdown(socket.SHUT_WR)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(65536, size - len(data)))
        if not more:
            break
        data += more
    return bytes(data)


class TestOctets:
    def test_commands_and_answers(self, relay: Relayed) -> None:
        for number in range(20):
            relay.talk.send(b"NOOP %d\r\n" % number)
            assert relay.worker.recv(100) == b"NOOP %d\r\n" % number
            relay.worker.sendall(b"+OK %d\r\n" % number)
            assert relay.talk.line() == b"+OK %d\r\n" % number

    def test_a_big_mail_arrives_whole(self, relay: Relayed, send_all: object) -> None:
        mail = random.Random(1).randbytes(20_000_000)
        send_all(relay.worker, mail)  # type: ignore[operator]
        assert receive(relay.talk.sock, len(mail)) == mail

    def test_what_a_client_sends_arrives_whole(self, relay: Relayed, send_all: object) -> None:
        octets = random.Random(2).randbytes(5_000_000)
        send_all(relay.talk.sock, octets)  # type: ignore[operator]
        assert receive(relay.worker, len(octets)) == octets

    def test_both_directions_at_once(self, relay: Relayed, send_all: object) -> None:
        down, up = random.Random(3).randbytes(3_000_000), random.Random(4).randbytes(3_000_000)
        send_all(relay.worker, down)  # type: ignore[operator]
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(receive(relay.worker, len(up))))
        reader.start()
        sent = received = 0
        parts = []
        relay.talk.sock.setblocking(False)  # one thread, because an SSLSocket is for one
        while sent < len(up) or received < len(down):
            wait_to_write = []
            try:
                if sent < len(up):
                    sent += relay.talk.sock.send(up[sent : sent + 65536])
                    wait_to_write = [relay.talk.sock]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                wait_to_write = [relay.talk.sock]
            try:
                parts.append(relay.talk.sock.recv(65536))
                received += len(parts[-1])
                continue
            except ssl.SSLWantReadError:
                pass
            select.select([relay.talk.sock], wait_to_write, [], 20)
        reader.join()
        assert b"".join(parts) == down
        assert got == [up]


class TestTransition:
    def test_octets_behind_the_password_come_in_order(self, login: LoginProcess) -> None:
        talk = login.connect_tls()
        talk.send(b"USER fred\r\nPASS secret\r\nSTAT\r\nRE")  # these two travel with the attempt
        talk.line()
        session = login.grant()
        talk.send(b"TR 1\r\n")  # these wait in login
        talk.send(b"QUIT\r\n")
        assert session.attempt.rest == b"STAT\r\nRE"
        assert not select.select([session.stream], [], [], 0)[0]
        session.stream.sendall(GREETING)
        assert talk.line() == GREETING
        assert receive(session.stream, 12) == b"TR 1\r\nQUIT\r\n"

    def test_two_records_in_one_packet(self, login: LoginProcess, tls_context: SSL.Context) -> None:
        """The second record is in OpenSSL already when the login leaves for auth."""
        talk = login.connect(IMPLICIT)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        stream = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                stream.do_handshake()
                break
            except ssl.SSLWantReadError:
                talk.send(outgoing.read())
                incoming.write(talk.sock.recv(65536))
        stream.write(b"USER fred\r\nPASS secret\r\n")
        stream.write(b"STAT\r\n")
        stream.write(b"LIST\r\n")
        talk.send(outgoing.read())
        session = login.grant()
        session.stream.sendall(GREETING)
        assert session.attempt.rest + receive(session.stream, 12) == b"STAT\r\nLIST\r\n"

    def test_a_worker_that_refuses_the_session(self, login: LoginProcess) -> None:
        talk = login.connect_tls()
        talk.send(b"USER fred\r\nPASS secret\r\nSTAT\r\n")
        talk.line()
        session = login.grant()
        session.stream.sendall(b"-ERR [IN-USE] locked\r\n")
        session.close()
        assert talk.rest() == b"-ERR [IN-USE] locked\r\n"
        assert talk.lease_ends()


class TestEnds:
    def test_the_workers_end_is_the_end_when_all_is_sent(self, relay: Relayed) -> None:
        relay.worker.sendall(b"+OK bye\r\n")
        relay.session.close()
        assert relay.talk.rest() == b"+OK bye\r\n"  # with close_notify: ragged ends are errors
        assert relay.talk.lease_ends()

    def test_a_worker_that_leaves_octets_unread(self, relay: Relayed) -> None:
        relay.talk.send(b"QUIT\r\nNOOP\r\n")
        assert relay.worker.recv(6) == b"QUIT\r\n"
        relay.worker.sendall(b"+OK bye\r\n")
        relay.session.close()  # with unread octets: the other end sees a reset
        assert relay.talk.rest() == b"+OK bye\r\n"

    def test_a_client_that_has_sent_all_gets_all(self, relay: Relayed) -> None:
        relay.talk.send(b"RETR 1\r\nQUIT\r\n")
        relay.talk.sock.shutdown(socket.SHUT_WR)  # of the connection, below TLS
        assert receive(relay.worker, 100) == b"RETR 1\r\nQUIT\r\n"  # and its end
        relay.worker.sendall(b"x" * 300_000)
        relay.session.close()
        got = socket.socket(fileno=relay.talk.sock.detach())
        got.settimeout(PATIENCE)
        with got:
            size = len(b"".join(iter(lambda: got.recv(65536), b"")))
        assert size > 300_000  # records, as Python's TLS ended with the connection's direction

    def test_a_client_that_says_good_bye_gets_its_answers(self, relay: Relayed) -> None:
        assert isinstance(relay.talk.sock, ssl.SSLSocket)
        relay.talk.send(b"QUIT\r\n")
        relay.talk.sock.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            relay.talk.sock.unwrap()  # close_notify is sent; that of the server has not come
        assert receive(relay.worker, 100) == b"QUIT\r\n"
        relay.session.close()
        assert relay.talk.lease_ends()

    def test_a_client_that_vanishes_is_an_end_of_file_for_the_worker(self, relay: Relayed) -> None:
        relay.talk.sock.close()
        assert relay.worker.recv(100) == b""

    def test_a_client_that_resets_ends_a_worker_that_writes(self, relay: Relayed) -> None:
        linger = b"\1\0\0\0\0\0\0\0"
        relay.talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        relay.talk.sock.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                relay.worker.sendall(bytes(65536))

    def test_broken_records_end_that_session_alone(
        self, login: LoginProcess, relay: Relayed
    ) -> None:
        good = relayed(login)
        raw = socket.socket(fileno=relay.talk.sock.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
            assert relay.worker.recv(100) == b""
        good.worker.sendall(b"+OK\r\n")
        assert good.talk.line() == b"+OK\r\n"


class TestSlowReaders:
    def test_a_client_that_takes_nothing_blocks_its_worker(self, relay: Relayed) -> None:
        relay.worker.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += relay.worker.send(bytes(65536))
        assert sent < 32_000_000  # the kernel's buffers and one piece
        relay.worker.settimeout(20)
        threading.Thread(target=relay.session.close).start()
        received = relay.talk.rest()
        assert len(received) == sent
        assert relay.talk.lease_ends()

    def test_a_worker_that_reads_nothing_blocks_its_client(self, relay: Relayed) -> None:
        relay.talk.sock.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += relay.talk.sock.send(bytes(16384))
        assert sent < 32_000_000
        assert len(receive(relay.worker, sent)) == sent

    def test_commands_still_arrive_while_answers_wait(self, relay: Relayed) -> None:
        relay.worker.setblocking(False)
        poller = select.poll()
        poller.register(relay.worker, select.POLLOUT)
        while poller.poll(500):
            relay.worker.send(bytes(65536))
        relay.talk.send(b"NOOP\r\n")
        relay.worker.setblocking(True)
        assert relay.worker.recv(100) == b"NOOP\r\n"

    def test_one_that_takes_nothing_for_too_long_is_ended(
        self, tls_context: SSL.Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_module, "SWEEP", 0.05)
        settings = replace(SETTINGS, maildrop=replace(Maildrop(), timeout=0.2))
        with login_process(settings, tls_context) as login:
            relay = relayed(login)
            with pytest.raises(ConnectionError):
                while True:
                    relay.worker.sendall(bytes(65536))

    def test_a_session_that_waits_for_its_client_is_left_alone(
        self, tls_context: SSL.Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """How long a client may think is the worker's to say."""
        monkeypatch.setattr(server_module, "SWEEP", 0.01)
        settings = replace(
            SETTINGS,
            maildrop=replace(Maildrop(), timeout=0.01),
            login=replace(SETTINGS.login, timeout=0.3),
        )
        with login_process(settings, tls_context) as login:
            relay = relayed(login)
            slow = login.connect()
            assert slow.rest().endswith(b"-ERR No login in time; closing the connection.\r\n")
            relay.worker.sendall(b"+OK\r\n")
            assert relay.talk.line() == b"+OK\r\n"


def test_nothing_is_left_open(login: LoginProcess) -> None:
    def descriptors() -> int:
        with_answer = login.connect()  # login has done by then what it was at
        with_answer.line()
        count = len(os.listdir("/proc/self/fd"))
        with_answer.sock.close()
        assert with_answer.lease_ends()
        with_answer.close()
        return count

    before = descriptors()
    for _ in range(5):
        one = relayed(login)
        one.session.close()
        assert one.talk.rest() == b""
        one.talk.close()
    assert descriptors() == before
