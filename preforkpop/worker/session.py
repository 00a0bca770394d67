"""One POP3 session after the login: TRANSACTION and UPDATE on a blocking stream.

Run by a worker that already is the mailbox's user. The stream is the client's socket or, for TLS,
the socket pair that login relays; nothing here knows the difference. Replies to commands that
arrived together leave in one write.
"""

from __future__ import annotations

import enum
import socket
import time
from collections.abc import Iterable

from preforkpop.ipc.messages import Grant
from preforkpop.ipc.scoreboard import Slot
from preforkpop.maildrop.base import MaildropError, OpenMaildrop, Place
from preforkpop.maildrop.open import open_maildrop
from preforkpop.pop3 import reply
from preforkpop.pop3.transaction import Ending, Transaction
from preforkpop.system import process
from preforkpop.system.log import Level, Log, escape
from preforkpop.system.sockets import set_timeouts
from preforkpop.worker.settings import Maildrop as MaildropSettings

READ = 65536  # octets taken from the client at once
WRITE = 262144  # octets gathered before they are sent


class End(enum.Enum):
    """How a session ended, for the log."""

    QUIT = "quit"
    CLOSED = "the client closed the connection"
    TIMEOUT = "the client was silent for too long"
    STALLED = "the client did not take what was sent"
    BAD_COMMANDS = "too many bad commands"
    UPDATE_FAILED = "the update failed"
    MAILDROP = "the maildrop could not be opened"
    CUT = "the maildrop changed while a message was being sent"
    LATE = "no worker was free in time"
    STOPPED = "the server is stopping"


ENDS = {
    Ending.QUIT: End.QUIT,
    Ending.BAD_COMMANDS: End.BAD_COMMANDS,
    Ending.UPDATE_FAILED: End.UPDATE_FAILED,
    Ending.CUT: End.CUT,
}


class StoppedError(Exception):
    """A signal asks this worker to end while it waits for its client."""


class Session:
    """One client, one maildrop."""

    def __init__(
        self,
        stream: socket.socket,
        grant: Grant,
        settings: MaildropSettings,
        slot: Slot,
        log: Log,
        *,
        statistics: bool,
        version: str,
    ) -> None:
        self._stream = stream
        self._grant = grant
        self._settings = settings
        self._slot = slot
        self._log = log
        self._statistics = statistics
        self._version = version
        self._title = f"worker, {escape(grant.user)} from {grant.peer or 'standard input'}"
        self.waiting = False  # for the client: a signal may interrupt
        self.stopping = False

    def run(self, state: str) -> End:
        """Serve the session to its end; ``state`` is the user's own directory."""
        process.title(self._title)
        set_timeouts(self._stream, self._settings.timeout, self._settings.timeout)
        try:
            maildrop = self._open(state)
        except MaildropError as error:
            self._report(error)
            self._send_last(reply.error(error.text, error.code))
            return End.MAILDROP
        try:
            return self._serve(maildrop)
        finally:
            maildrop.close()

    def refuse(self, text: str, code: str) -> None:
        """Say why there will be no session."""
        self._send_last(reply.error(text, code))

    def _open(self, state: str) -> OpenMaildrop:
        grant, settings = self._grant, self._settings
        place = Place(
            format=settings.format,
            path=grant.path,
            state=state,
            owner=grant.uid,
            peer=grant.peer,
            locks=settings.locks,
            lock_timeout=settings.lock_timeout,
            mail_lock_check=settings.mail_lock_check,
            uidl=settings.uidl,
        )
        return open_maildrop(place)

    def _report(self, error: MaildropError) -> None:
        level = Level.NOTICE if error.code == "IN-USE" else Level.ERROR
        self._log.write(
            level, f"{escape(self._grant.user)}: [{error.code}] {escape(error.detail, 512)}"
        )

    def _serve(self, maildrop: OpenMaildrop) -> End:
        grant = self._grant
        transaction = Transaction(
            maildrop, user=grant.user.encode(), implementation=f"preforkpop-{self._version}"
        )
        greeting = reply.ok(
            f"{grant.user} has {maildrop.count} visible message{'s' * (maildrop.count != 1)}"
            f" (0 hidden) in {maildrop.octets} octets."
        )
        end = self._converse(transaction, greeting)
        self._notes(maildrop)
        if self._statistics:
            self._log.notice(self._statistics_line(transaction))
        if end not in (End.QUIT, End.CLOSED):
            self._log.notice(
                f"session of {escape(grant.user)} from {grant.peer} ended: {end.value}"
            )
        return end

    def _converse(self, transaction: Transaction, greeting: bytes) -> End:
        try:
            self._answer(transaction, (greeting,))
            data = self._grant.rest
            while True:
                if data:
                    self._answer(transaction, transaction.receive(data))
                    if transaction.ending is not None:
                        return ENDS[transaction.ending]
                if self.stopping:
                    return End.STOPPED
                data = self._receive()
                if not data:
                    return End.CLOSED
                self._slot.working(transaction.command, transaction.message, time.monotonic())
        except StoppedError:
            return End.STOPPED
        except BlockingIOError:
            return End.TIMEOUT if self.waiting else End.STALLED
        except OSError:
            return End.CLOSED

    def _receive(self) -> bytes:
        self._slot.waiting()
        self.waiting = True
        data = self._stream.recv(READ)
        self.waiting = False
        return data

    def _answer(self, transaction: Transaction, chunks: Iterable[bytes]) -> None:
        """Send replies, gathered into as few writes as their size allows."""
        gathered: list[bytes] = []
        size = 0
        for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size >= WRITE:
                self._write(transaction, gathered)
                gathered, size = [], 0
        if gathered:
            self._write(transaction, gathered)

    def _write(self, transaction: Transaction, gathered: list[bytes]) -> None:
        self._slot.working(transaction.command, transaction.message, time.monotonic())
        self._stream.sendall(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def _send_last(self, octets: bytes) -> None:
        try:
            self._stream.sendall(octets)
        except OSError:
            return

    def _notes(self, maildrop: OpenMaildrop) -> None:
        for note in maildrop.notes:
            self._log.warning(f"{escape(self._grant.user)}: {escape(note, 512)}")

    def _statistics_line(self, transaction: Transaction) -> str:
        """Qpopper's line: messages and octets deleted, messages and octets left, client twice."""
        done, grant = transaction.statistics(), self._grant
        peer = grant.peer or "-"
        return (
            f"Stats: {escape(grant.user)} {done.deleted} {done.deleted_octets}"
            f" {done.left} {done.left_octets} {peer} {peer}"
        )
