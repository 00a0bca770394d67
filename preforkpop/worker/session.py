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
from itertools import chain

from preforkpop.ipc.messages import Grant
from preforkpop.ipc.scoreboard import Slot
from preforkpop.maildrop.base import MaildropError, OpenMaildrop, Place
from preforkpop.maildrop.open import open_maildrop
from preforkpop.pop3 import reply
from preforkpop.pop3.transaction import Ending, Transaction
from preforkpop.pop3.wire import JOINED
from preforkpop.system import process
from preforkpop.system.log import Level, Log, escape
from preforkpop.system.sockets import set_timeouts
from preforkpop.worker.settings import Maildrop as MaildropSettings

READ = 65536  # octets taken from the client at once
PIECES = 1024  # sendmsg(2) takes no more (IOV_MAX); so many of them are small
WRITE = 262144  # octets gathered before they are sent
LINGER = 2.0  # seconds for a client that is sent away to read why
LINGER_READS = 16  # so many times READ octets of it are thrown away meanwhile


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
    STOPPED = "the worker was told to end"


ENDS = {
    Ending.QUIT: End.QUIT,
    Ending.BAD_COMMANDS: End.BAD_COMMANDS,
    Ending.UPDATE_FAILED: End.UPDATE_FAILED,
    Ending.CUT: End.CUT,
}


class StoppedError(Exception):
    """A signal asks this worker to end while it waits for its client."""


class _GoneError(Exception):
    """Nothing more can be read from or sent to the client; says how the session ended."""

    def __init__(self, end: End) -> None:
        super().__init__(end.value)
        self.end = end


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
        mechanisms: tuple[str, ...],
        statistics: bool,
        version: str,
    ) -> None:
        """``mechanisms``: what was accepted before login, as CAPA goes on listing it."""
        self._stream = stream
        self._grant = grant
        self._settings = settings
        self._slot = slot
        self._log = log
        self._mechanisms = mechanisms
        self._statistics = statistics
        self._implementation = f"preforkpop-{version}"
        self._user = escape(grant.user)
        self._title = f"worker, {self._user} from {grant.peer or 'standard input'}"
        self._message_shown = False
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
            self.refuse(error.text, error.code)
            return End.MAILDROP
        try:
            return self._serve(maildrop)
        finally:
            maildrop.close()

    def refuse(self, text: str, code: str) -> None:
        """Say why there is no session, and let the client read it.

        Closing a socket with unread octets in it resets the connection, and the client, which may
        have sent commands ahead, would never see the reason.
        """
        try:
            self._stream.sendall(reply.error(text, code))
            self._stream.shutdown(socket.SHUT_WR)
            set_timeouts(self._stream, LINGER, LINGER)
            for _ in range(LINGER_READS):
                if not self._stream.recv(READ):
                    return
        except OSError:
            return

    def _open(self, state: str) -> OpenMaildrop:
        grant, settings, slot = self._grant, self._settings, self._slot
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
            progress=lambda: slot.progress(time.monotonic()),
        )
        try:
            return open_maildrop(place)
        except OSError as error:
            raise _unavailable(error) from error

    def _report(self, error: MaildropError) -> None:
        level = Level.NOTICE if error.code == "IN-USE" else Level.ERROR
        self._log.write(level, f"{self._user}: [{error.code}] {escape(error.detail, 512)}")

    def _serve(self, maildrop: OpenMaildrop) -> End:
        transaction = Transaction(
            maildrop,
            user=self._grant.user.encode(),
            implementation=self._implementation,
            mechanisms=self._mechanisms,
        )
        try:
            end = self._converse(transaction)
        except StoppedError:
            end = End.STOPPED
        except _GoneError as gone:
            end = gone.end
        except OSError as error:  # of the store; those of the stream are told apart above
            self._report(_unavailable(error))
            end = End.CUT
        self._tell_failure(transaction)
        for note in maildrop.notes:
            self._log.warning(f"{self._user}: {escape(note, 512)}")
        if self._statistics:
            self._log.notice(self._statistics_line(transaction, removed=end is End.QUIT))
        if end is not End.QUIT:
            level = Level.INFO if end is End.CLOSED else Level.NOTICE
            self._log.write(
                level, f"session of {self._user} from {self._grant.peer} ended: {end.value}"
            )
        return end

    def _converse(self, transaction: Transaction) -> End:
        rest = self._grant.rest
        replies = transaction.receive(rest) if rest else ()
        self._answer(transaction, chain((transaction.accepted(),), replies))
        while transaction.ending is None:
            if transaction.failure is not None:
                self._tell_failure(transaction)
            if self.stopping:
                return End.STOPPED
            data = self._receive()
            if not data:
                return End.CLOSED
            self._answer(transaction, transaction.receive(data))
        return ENDS[transaction.ending]

    def _tell_failure(self, transaction: Transaction) -> None:
        """Log a fault of the store that the client was told of."""
        failure, transaction.failure = transaction.failure, None
        if failure is not None:
            self._log.error(f"{self._user}: [{failure.code}] {escape(failure.detail, 512)}")

    def _receive(self) -> bytes:
        self._slot.waiting()
        self.waiting = True
        try:
            data = self._stream.recv(READ)
        except BlockingIOError:
            raise _GoneError(End.TIMEOUT) from None
        except OSError:
            raise _GoneError(End.CLOSED) from None
        self.waiting = False
        self._slot.working(b"", 0, time.monotonic())
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
        command, message = transaction.command, transaction.message
        self._slot.working(command, message, time.monotonic())
        self._show(command, message)
        try:
            self._send(gathered)
        except BlockingIOError:
            raise _GoneError(End.STALLED) from None
        except OSError:
            raise _GoneError(End.CLOSED) from None

    def _show(self, command: bytes, message: int) -> None:
        """Name the message that is being worked on in the title; other commands are over at once,
        and what a title costs is a tenth of what they cost."""
        if message:
            process.title(f"{self._title} [{command.decode()} {message}]")
        elif self._message_shown:
            process.title(self._title)
        self._message_shown = bool(message)

    def _send(self, gathered: list[bytes]) -> None:
        """Send all of it in one system call, if the client's side has room."""
        size = sum(map(len, gathered))
        if len(gathered) == 1 or size <= JOINED or len(gathered) > PIECES:
            self._stream.sendall(b"".join(gathered))
            return
        sent = self._stream.sendmsg(gathered)
        if sent < size:
            for piece in gathered:
                if sent < len(piece):
                    self._stream.sendall(memoryview(piece)[sent:])
                sent = max(0, sent - len(piece))

    def _statistics_line(self, transaction: Transaction, *, removed: bool) -> str:
        """Qpopper's line: messages and octets deleted, messages and octets left, client twice.

        What was only marked as deleted is left.
        """
        done = transaction.statistics()
        if not removed:
            done = done._replace(
                deleted=0,
                deleted_octets=0,
                left=done.left + done.deleted,
                left_octets=done.left_octets + done.deleted_octets,
            )
        peer = self._grant.peer or "-"
        return (
            f"Stats: {self._user} {done.deleted} {done.deleted_octets}"
            f" {done.left} {done.left_octets} {peer} {peer}"
        )


def _unavailable(error: OSError) -> MaildropError:
    """A fault of the machine that no store expected."""
    where = f"{error.filename}: " if error.filename else ""
    return MaildropError(
        "SYS/TEMP",
        "Your mail is not available at the moment, try again later",
        f"{where}{error.strerror or error}",
    )
