"""A login process in a thread, with the test as its listener, auth and workers.

What the test sees is what the other processes would see: messages, descriptors, leases.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from OpenSSL import SSL

from preforkpop.auth.settings import Authentication
from preforkpop.auth.settings import Source as AuthSource
from preforkpop.config.settings import Settings
from preforkpop.ipc import channel, lease
from preforkpop.ipc.messages import Admitted, Attempt, Verdict
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.login.server import Server, Wiring
from preforkpop.login.settings import Login
from preforkpop.master.settings import Listener
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import pair, tune_connection
from tests.support.certificates import client_context

PATIENCE = 20.0  # seconds after which a test fails because nothing came

SETTINGS = Settings(
    listeners=(Listener(tls="stls"), Listener(tls="implicit"), Listener(tls="off")),
    login=Login(timeout=3600, maximum_failures=3),
    authentication=Authentication(
        mechanisms=("USER", "APOP", "PLAIN"),
        clear_text_password="always",
        failure_delay=0,
        sources=(AuthSource(type="passwd-file", path="/nowhere"),),
    ),
)
STLS, IMPLICIT, PLAIN = range(3)  # the listeners of SETTINGS


class Talk:
    """A client of the login process."""

    def __init__(self, sock: socket.socket, watched: int) -> None:
        sock.settimeout(PATIENCE)
        self.sock: socket.socket = sock
        self._lease = watched

    def send(self, octets: bytes) -> None:
        """Say something."""
        self.sock.sendall(octets)

    def line(self) -> bytes:
        """One line of what the server says; "" at its end."""
        line = b""
        while not line.endswith(b"\n"):
            octet = self.sock.recv(1)
            if not octet:
                break
            line += octet
        return line

    def read(self, size: int) -> bytes:
        """Exactly so many octets, or fewer at the end."""
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def rest(self) -> bytes:
        """Everything up to the server's end of file."""
        return b"".join(iter(lambda: self.sock.recv(65536), b""))

    def says(self, command: bytes) -> bytes:
        """The first line of the answer to a command."""
        self.send(command + b"\r\n")
        return self.line()

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        """Begin TLS on the connection."""
        context = context or client_context()
        self.sock = context.wrap_socket(
            self.sock, server_hostname="localhost", suppress_ragged_eofs=False
        )

    def lease_ends(self) -> bool:
        """Wait until nobody holds the session any more; False when somebody goes on to."""
        poller = select.poll()
        poller.register(self._lease, 0)
        return bool(poller.poll(PATIENCE * 1000))

    def lease_held(self) -> bool:
        """Whether somebody holds the session at this moment."""
        poller = select.poll()
        poller.register(self._lease, 0)
        return not poller.poll(0)

    def close(self) -> None:
        """Leave."""
        self.sock.close()
        if self._lease >= 0:
            os.close(self._lease)
            self._lease = -1


@dataclass
class Session:
    """An attempt as auth and then a worker have it."""

    attempt: Attempt
    stream: socket.socket
    lease: int

    def close(self) -> None:
        """The worker, or auth, ends."""
        self.stream.close()
        if self.lease >= 0:
            os.close(self.lease)
            self.lease = -1


_Kept = TypeVar("_Kept", Talk, Session)


class LoginProcess:
    """The login process and what surrounds it."""

    def __init__(
        self,
        settings: Settings = SETTINGS,
        context: SSL.Context | None = None,
        *,
        others: Callable[[], int] = lambda: 0,
    ) -> None:
        self.admitted, admitted = pair()
        attempts, self.attempts = pair()
        self.verdicts, verdicts = pair()
        lifeline, self.lifeline = os.pipe()
        lines, log = pair()
        self.lines = lines
        self.board = Scoreboard(2)
        self._theirs = (admitted, attempts, verdicts, log)
        self._lifeline = lifeline
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        tune_connection(self._listening)
        self._opened: list[Talk | Session] = []
        wiring = Wiring(
            admitted=admitted,
            attempts=attempts,
            verdicts=verdicts,
            lifeline=lifeline,
            number=7,
            host="pop.example.org",
            crowd=lambda: others() + self.board.clients(0, 1),
        )
        self.attempts.settimeout(PATIENCE)
        self.server = Server(
            wiring, settings, context, self.board.slot(0), Log(log, "login", Level.DEBUG)
        )
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    # as the listener

    def connect(self, listener: int = STLS, peer: str = "127.0.0.1", age: float = 0) -> Talk:
        """A client comes, accepted ``age`` seconds ago."""
        client = socket.create_connection(self._listening.getsockname())
        accepted, _address = self._listening.accept()
        watched, travelling = lease.grant()
        message = Admitted(listener, 4711, time.monotonic() - age, peer)
        channel.send(self.admitted, message.pack(), (accepted.fileno(), travelling))
        accepted.close()
        os.close(travelling)
        return self._keep(Talk(client, watched))

    def connect_tls(self, listener: int = IMPLICIT) -> Talk:
        """A client comes and speaks TLS."""
        talk = self.connect(listener)
        if listener != IMPLICIT:
            assert talk.line().startswith(b"+OK")
            assert talk.says(b"STLS").startswith(b"+OK")
        talk.start_tls()
        if listener == IMPLICIT:
            assert talk.line().startswith(b"+OK")
        return talk

    # as auth and the workers

    def session(self) -> Session:
        """Wait for an attempt."""
        got = channel.receive(self.attempts, 2)
        assert got is not None
        message, descriptors = got
        stream = socket.socket(fileno=descriptors[0])
        return self._keep(Session(Attempt.unpack(message), stream, descriptors[1]))

    def grant(self) -> Session:
        """Wait for an attempt and be its worker: a blocking stream with a bound."""
        session = self.session()
        session.stream.settimeout(PATIENCE)
        return session

    def refuse(self, session: Session, code: str = "AUTH", text: str = "Wrong") -> None:
        """Send a verdict, with the session, back to login."""
        attempt = session.attempt
        verdict = Verdict(attempt.client, code, text, attempt.user, attempt.rest)
        channel.send(self.verdicts, verdict.pack(), (session.stream.fileno(), session.lease))
        session.close()

    # its end

    def waiting(self, count: int) -> bool:
        """Whether so many clients come to be before login."""
        return self.until(lambda: self.board.clients(0, 1) == count)

    def until(self, condition: Callable[[], object]) -> bool:
        """Whether something comes to be so, in the other thread."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                return False
        return True

    def log(self) -> list[str]:
        """The lines that it has logged so far."""
        found = []
        while select.select([self.lines], [], [], 0)[0]:
            line = self.lines.recv(4096)
            if not line:
                break
            found.append(line.decode())
        return found

    def closes_listener(self) -> None:
        """The listener has gone: no more clients."""
        self.admitted.close()

    def stop(self) -> None:
        """The parent passes on that the server stops."""
        os.write(self.lifeline, b"s")

    def parent_dies(self) -> None:
        """The parent has gone."""
        os.close(self.lifeline)
        self.lifeline = -1

    def join(self) -> bool:
        """Whether the process has ended by itself."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def close(self) -> None:
        """End everything."""
        for one in self._opened:
            one.close()
        self.admitted.close()
        if self.lifeline >= 0:
            self.stop()
            self.parent_dies()
        ended = self.join()
        os.close(self._lifeline)
        for sock in (self.attempts, self.verdicts, self._listening, self.lines, *self._theirs):
            sock.close()
        assert ended, "the login process did not end"

    def _keep(self, one: _Kept) -> _Kept:
        self._opened.append(one)
        return one


@contextmanager
def login_process(
    settings: Settings = SETTINGS, context: SSL.Context | None = None, **options: object
) -> Iterator[LoginProcess]:
    """A login process for the length of a block."""
    process = LoginProcess(settings, context, **options)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.close()


def with_login(**changes: object) -> Settings:
    """SETTINGS with other values in section login."""
    return replace(SETTINGS, login=replace(SETTINGS.login, **changes))  # type: ignore[arg-type]


def with_authentication(**changes: object) -> Settings:
    """SETTINGS with other values in section authentication."""
    return replace(
        SETTINGS,
        authentication=replace(SETTINGS.authentication, **changes),  # type: ignore[arg-type]
    )
