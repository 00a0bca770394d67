"""PROCESS inetd: serves the one connection that stands on standard input.

inetd, xinetd or a systemd socket is the listener here, and this process, root when it was started
as root, is auth and worker of the one session: it forks a login process, which alone talks to the
client until the login, without rights and in an empty root directory, and a logger; it answers what
the login process asks; and when the credentials were right it becomes the mailbox's user for good
and serves the session. As root it never reads from the client: its own copies of the socket are
closed once login has it. Like the listener it learns by a lease that the client has gone.

Standard error may be the client's socket too (inetd does that), so nothing is ever written to it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import replace

from preforkpop.auth.main import Auth
from preforkpop.auth.verify import Verifier
from preforkpop.config.settings import Settings
from preforkpop.ipc import channel, lease
from preforkpop.ipc.messages import Admitted
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.ipc.wiring import Wiring
from preforkpop.maildrop.open import prepare as prepare_store
from preforkpop.master import births, directories
from preforkpop.master.logs import Logs
from preforkpop.master.settings import Listener
from preforkpop.master.shutdown import Shutdown
from preforkpop.supervision.children import Child, Children
from preforkpop.system import privileges, process
from preforkpop.system.accounts import SetupError
from preforkpop.system.memory import keep_freed_memory
from preforkpop.system.sockets import is_socket, peer_text, tune_connection
from preforkpop.worker.main import Duty, Worker

LOGIN, AUTH, WORKER = range(3)  # slots of the scoreboard
IMPLICIT_PORT = 995


def run(settings: Settings, tls: str | None, version: str) -> int:
    """Serve the connection to its end.

    ``tls``: how TLS starts, as ``listeners.tls``; None for "implicit" on port 995 and "stls"
    elsewhere. Raises SetupError or OSError before anything was said to the client.
    """
    os.umask(0o077)
    if not is_socket(0):
        raise SetupError("standard input: is no socket, and inetd mode serves a connection")
    connection = socket.socket(fileno=os.dup(0))
    _forget_standard_descriptors()
    settings = _for_one_connection(settings, tls or _usual_tls(connection))
    identities = births.identities(settings)
    directories.prepare(settings, identities)
    process.forbid_core_dumps()
    keep_freed_memory()
    return Inetd(settings, identities, version).run(connection)


def _forget_standard_descriptors() -> None:
    """They are the client's too, and every process that is forked from here would have them."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)


def _usual_tls(connection: socket.socket) -> str:
    here = connection.getsockname()
    return "implicit" if isinstance(here, tuple) and here[1] == IMPLICIT_PORT else "stls"


def _for_one_connection(settings: Settings, tls: str) -> Settings:
    """The same settings for a server that is one connection."""
    if tls == "implicit" and not settings.tls.certificate:
        raise SetupError("tls.certificate: is needed for implicit TLS")
    target = settings.logging.target
    return replace(
        settings,
        listeners=(Listener(tls=tls),),
        login=replace(settings.login, processes=1),
        logging=replace(settings.logging, target="syslog" if target == "stderr" else target),
    )


class Inetd:
    """The stages of one connection."""

    def __init__(self, settings: Settings, identities: births.Identities, version: str) -> None:
        self._settings = settings
        self._identities = identities
        self._version = version
        self._logs = Logs(settings)
        self._log = self._logs.log.as_role("inetd")
        self._common = births.Common(
            log=self._logs.log,
            log_socket=self._logs.send,
            identities=identities,
            jail=directories.jail_path(settings.service.run_dir),
            host=socket.gethostname(),
            version=version,
        )
        self._board = Scoreboard(3)
        self._wiring = Wiring.make(1)
        self._children = Children(self._log.error)

    def run(self, connection: socket.socket) -> int:
        """Hand the connection to login, answer it, and serve the session if there is one."""
        process.title("inetd")
        now = time.monotonic()
        self._logs.start(self._common, self._children, now)
        self._children.bear("login", self._login, _ignore, now)
        try:
            auth = self._auth()  # login was forked before: it must not have the secrets
            watch = self._hand_over(connection, now)
            if self._answer(auth, watch):
                self._serve()
        finally:
            self._finish()
        return process.EXIT_OK

    def _login(self) -> int:
        return births.login(self._common, self._settings, self._wiring, self._board)

    def _auth(self) -> Auth:
        """Who answers login; SetupError."""
        verifier = Verifier(self._settings, key=os.urandom(32), report=self._log.warning)
        return Auth(
            self._wiring.attempts.receive,
            self._wiring.grants.send,
            {0: self._wiring.verdicts[0].send},
            verifier,
            self._board.slot(AUTH),
            self._log.as_role("auth"),
        )

    def _hand_over(self, connection: socket.socket, now: float) -> int:
        """Give login the connection and forget it; the end of its lease that is to be watched."""
        watch, travelling = lease.grant()
        peer, port = _peer(connection)
        message = Admitted(listener=0, port=port, accepted=now, peer=peer).pack()
        channel.send(self._wiring.admitted.send, message, (connection.fileno(), travelling))
        connection.close()
        os.close(travelling)
        self._wiring.attempts.send.close()
        self._wiring.verdicts[0].receive.close()
        return watch

    def _answer(self, auth: Auth, watch: int) -> bool:
        """Answer login until it has asked with the right credentials, or has no client left.

        Until then the way for further clients stays open, so that login waits for the verdict.
        """
        attempts = self._wiring.attempts.receive
        asked, granted = select.poll(), select.poll()
        asked.register(attempts, select.POLLIN)
        asked.register(watch, 0)  # the lease: a hang-up is always reported
        granted.register(self._wiring.grants.receive, select.POLLIN)
        while attempts.fileno() in dict(asked.poll()):
            if not auth.serve_one():
                return False
            if granted.poll(0):
                return True
        return False

    def _serve(self) -> None:
        """Be the worker of the one session."""
        settings = self._settings
        prepare_store(settings.maildrop.format)
        system = settings.service.users == "system"
        _, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        duty = Duty(
            jobs=self._wiring.grants.receive,
            wake=wake,
            stacks=self._logs.stacks_in,
            state_dir=settings.service.state_dir,
            maildrop=settings.maildrop,
            sessions=1,
            jitter=0,
            becomes_user=system,
            first_slot=WORKER,
            last_slot=WORKER + 1,
            minimum_spare=0,
            mechanisms=settings.authentication.mechanisms,
            statistics=settings.logging.statistics,
            version=self._version,
        )
        if not system:
            privileges.become(*self._identities.mail)
        Worker(duty, self._board, self._board.slot(WORKER), self._log.as_role("worker")).run()

    def _finish(self) -> None:
        """Let login send what is left, and the logger write it."""
        self._wiring.close()
        for child in self._children.of("login"):
            os.waitpid(child.pid, 0)  # it has bounds of its own for a client that takes nothing
        self._logs.close()
        Shutdown(self._children, lambda: None).last("logger")


def _ignore(_child: Child, _status: int, _now: float) -> None:
    """Whoever ends here ends with the connection."""


def _peer(connection: socket.socket) -> tuple[str, int]:
    """The client's address and port; "" and 0 for a socket that has none."""
    address = connection.getpeername()
    tuned = connection.family in (socket.AF_INET, socket.AF_INET6)
    if not tuned:
        return "", 0
    tune_connection(connection)
    return peer_text(address), int(address[1])
