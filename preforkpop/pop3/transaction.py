"""The TRANSACTION and UPDATE states without I/O (RFC 1939 sections 5 and 6).

Run by a worker, as the mailbox's own user (or as the account that owns all virtual mail).

A poll is a login, STAT, UIDL and QUIT, each in a packet of its own: a command without arguments
that arrives alone is found in one look-up of the whole packet.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple, Protocol

from preforkpop.pop3 import capability
from preforkpop.pop3.command import COMMANDS, MAXIMUM_BAD_COMMANDS, State, number, parse
from preforkpop.pop3.reply import error, ok, shown
from preforkpop.pop3.wire import MAXIMUM_LINE, OVERLONG, TERMINATION, LineBuffer, encode, top


class StoreError(Exception):
    """A maildrop that cannot be opened, read or updated.

    ``code`` is the response code for the client (RFC 2449 section 8, RFC 3206): "IN-USE",
    "SYS/TEMP" or "SYS/PERM"; ``text`` is said to the client; ``detail`` is the line for the
    administrator, which names the file and what to do.
    """

    def __init__(self, code: str, text: str, detail: str = "") -> None:
        super().__init__(f"[{code}] {text}" + (f" ({detail})" if detail else ""))
        self.code = code
        self.text = text
        self.detail = detail or text


class Maildrop(Protocol):
    """An open maildrop: messages 1 to ``count`` that do not change during the session."""

    count: int
    octets: int  # all messages as transmitted, with CRLF line ends, without dot-stuffing

    def size(self, number: int) -> int:
        """Octets of a message as transmitted (RFC 1939 section 11)."""

    def unique_id(self, number: int) -> bytes:
        """The unique-id of a message, 1 to 70 octets in 0x21-0x7E (RFC 1939 section 7)."""

    def scan_listings(self) -> bytes:
        """All scan listings, a line a message in order: ``b"1 120\\r\\n2 200\\r\\n"``."""

    def unique_id_listings(self) -> bytes:
        """All unique-id listings, a line a message in order: ``b"1 id\\r\\n2 id\\r\\n"``."""

    def chunks(self, number: int) -> Iterator[bytes]:
        """The stored octets of a message (LF line ends, no separator), in pieces of bounded size.

        Raises StoreError before the first wrong octet when the store was changed by others.
        """

    def update(self, deleted: frozenset[int]) -> None:
        """Remove the messages for good (RFC 1939 section 6); all of them or an error.

        Called at QUIT with the numbers of the deleted messages, also when there are none.
        """

    def close(self) -> None:
        """Give up the session lock and every descriptor; removes nothing. Safe to call twice."""


class Ending(Enum):
    """How a session ended."""

    QUIT = "quit"  # UPDATE is done
    UPDATE_FAILED = "update failed"  # QUIT was answered with -ERR
    BAD_COMMANDS = "bad commands"
    CUT = "cut"  # the store failed within a message: close without another octet
    NETWORK = "network"  # set by the caller: the client has gone
    TIMEOUT = "timeout"  # set by the caller: the client said nothing for too long


class Statistics(NamedTuple):
    """What a session did, for the log; octets are those of messages as transmitted."""

    deleted: int  # marked as deleted; removed when the session ended with Ending.QUIT
    deleted_octets: int
    left: int
    left_octets: int
    retrieved: int  # sent whole by RETR, each time counted
    retrieved_octets: int
    tops: int  # sent whole by TOP


_Replies = Iterable[bytes]
_Handler = Callable[["Transaction", tuple[bytes, ...]], _Replies]

_DONE: Final = (ok("Done."),)
_BYE: Final = (ok("POP3 server signing off."),)
_OVERLONG: Final = error(f"Line too long; at most {MAXIMUM_LINE} octets.")
_TOO_MANY: Final = error("Too many bad commands; closing the connection, nothing is deleted.")
_MESSAGE_FOLLOWS: Final = ok("Message follows")
_LISTING_FOLLOWS: Final = ok("Unique-id listing follows")
_NOT_REMOVED: Final = "Some deleted messages not removed"


class Transaction:
    """One client after login, with the maildrop it holds.

    ``receive`` answers; when ``ending`` is set the caller sends what it got and closes the
    connection (at Ending.CUT it must not send anything after what it got, so that the client sees
    a message without its end). ``failure`` is the last fault of the store, for the caller to log
    and clear. For titles: ``command`` and ``message``, the last command and the message it named.
    """

    __slots__ = (
        "_buffer",
        "_deleted",
        "_deleted_octets",
        "_implementation",
        "_maildrop",
        "_maximum_bad_commands",
        "_mechanisms",
        "_retrieved",
        "_retrieved_octets",
        "_tops",
        "_user",
        "bad_commands",
        "command",
        "ending",
        "failure",
        "message",
    )

    def __init__(
        self,
        maildrop: Maildrop,
        *,
        user: bytes,
        implementation: str,
        maximum_bad_commands: int = MAXIMUM_BAD_COMMANDS,
        mechanisms: tuple[str, ...] = ("USER", "PLAIN"),
    ) -> None:
        """``mechanisms``: what was accepted before login, as CAPA must go on listing it."""
        self._maildrop = maildrop
        self._user = user
        self._implementation = implementation
        self._maximum_bad_commands = maximum_bad_commands
        self._mechanisms = mechanisms
        self._buffer: LineBuffer | None = None  # only while a part of a line waits
        self._deleted: set[int] = set()
        self._deleted_octets = 0
        self._retrieved = 0
        self._retrieved_octets = 0
        self._tops = 0
        self.bad_commands = 0
        self.ending: Ending | None = None
        self.failure: StoreError | None = None
        self.command = b""
        self.message = 0

    def statistics(self) -> Statistics:
        """Give the counts so far."""
        return Statistics(
            deleted=len(self._deleted),
            deleted_octets=self._deleted_octets,
            left=self._left(),
            left_octets=self._left_octets(),
            retrieved=self._retrieved,
            retrieved_octets=self._retrieved_octets,
            tops=self._tops,
        )

    def accepted(self) -> bytes:
        """Give the answer to the login, sent when the maildrop is held, in Qpopper's words."""
        count = self._left()
        return ok(
            f"{shown(self._user, 128)} has {count} visible message{'' if count == 1 else 's'}"
            f" (0 hidden) in {self._left_octets()} octets."
        )

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take octets from the client and give buffers to send, long replies in several.

        The buffers of RETR and TOP are read from the store as they are taken; the iterator has to
        be used up before the next call, unless the session ends.
        """
        if self.ending is not None:
            return iter(())
        if self._buffer is not None:
            self._buffer.feed(data)
            return self._drain(self._buffer)
        handler = _WHOLE_PACKETS.get(data)
        if handler is not None:
            return iter(self._run(handler, ()))
        end = data.find(b"\n")
        if 0 <= end == len(data) - 1 and end < MAXIMUM_LINE:
            line = data[: end - 1] if data.endswith(b"\r\n") else data[:end]
            return iter(self._execute(line))
        self._buffer = LineBuffer(data)
        return self._drain(self._buffer)

    def _drain(self, buffer: LineBuffer) -> Iterator[bytes]:
        """Answer the complete lines in the buffer."""
        while self.ending is None:
            line = buffer.next_line()
            if line is None:
                break
            if line is OVERLONG:
                yield self._bad(_OVERLONG)
            else:
                yield from self._execute(line)
        if self.ending is not None or buffer.idle:
            self._buffer = None

    def _execute(self, line: bytes) -> _Replies:
        command = parse(line, State.TRANSACTION)
        if isinstance(command, bytes):
            return (self._bad(command),)
        return self._run(_HANDLERS[command.name], command.arguments)

    def _run(self, handler: _Handler, arguments: tuple[bytes, ...]) -> _Replies:
        self.message = 0
        try:
            return handler(self, arguments)
        except StoreError as fault:
            return (self._failed(fault),)

    def _failed(self, fault: StoreError) -> bytes:
        """Answer a fault of the store; the session goes on."""
        self.failure = fault
        return error(fault.text, fault.code)

    def _bad(self, reply: bytes) -> bytes:
        """Answer a malformed line, the one too many with the end of the session."""
        self.bad_commands += 1
        if self.bad_commands > self._maximum_bad_commands:
            self.ending = Ending.BAD_COMMANDS
            return _TOO_MANY
        return reply

    def _stat(self, _arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"STAT"
        return (b"+OK %d %d\r\n" % (self._left(), self._left_octets()),)

    def _list(self, arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"LIST"
        if arguments:
            message = self._message(arguments[0])
            if isinstance(message, bytes):
                return (message,)
            return (b"+OK %d %d\r\n" % (message, self._maildrop.size(message)),)
        status = ok(self._holding())
        return (self._listing(status, self._maildrop.scan_listings()),)

    def _uidl(self, arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"UIDL"
        if arguments:
            message = self._message(arguments[0])
            if isinstance(message, bytes):
                return (message,)
            return (b"+OK %d %b\r\n" % (message, self._maildrop.unique_id(message)),)
        return (self._listing(_LISTING_FOLLOWS, self._maildrop.unique_id_listings()),)

    def _retr(self, arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"RETR"
        message = self._message(arguments[0])
        if isinstance(message, bytes):
            return (message,)
        return self._retrieve(message, self._maildrop.size(message))

    def _top(self, arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"TOP"
        lines = number(arguments[1])
        if lines is None:
            return (self._bad(error(f'Not a number of lines: "{shown(arguments[1])}".')),)
        message = self._message(arguments[0])
        if isinstance(message, bytes):
            return (message,)
        return self._send_top(message, lines)

    def _dele(self, arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"DELE"
        message = self._message(arguments[0])
        if isinstance(message, bytes):
            return (message,)
        self._deleted_octets += self._maildrop.size(message)
        self._deleted.add(message)
        return (b"+OK Message %d has been deleted.\r\n" % message,)

    def _noop(self, _arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"NOOP"
        return _DONE

    def _rset(self, _arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"RSET"
        self._deleted.clear()
        self._deleted_octets = 0
        return (ok(f"Maildrop has {self._holding()}."),)

    def _capa(self, _arguments: tuple[bytes, ...]) -> _Replies:
        self.command = b"CAPA"
        return (capability.after_login(self._mechanisms, self._implementation),)

    def _quit(self, _arguments: tuple[bytes, ...]) -> _Replies:
        """Enter UPDATE; the answer says what has become of the deleted messages."""
        self.command = b"QUIT"
        try:
            self._maildrop.update(frozenset(self._deleted))
        except StoreError as fault:
            self.failure = fault
            self.ending = Ending.UPDATE_FAILED
            return (error(f"{_NOT_REMOVED}: {fault.text}", fault.code),)
        self.ending = Ending.QUIT
        return _BYE

    def _message(self, argument: bytes) -> int | bytes:
        """Give the number of a message that exists and is not deleted, or the -ERR line."""
        message = number(argument)
        if message is None:
            return self._bad(error(f'Not a message number: "{shown(argument)}".'))
        if not 0 < message <= self._maildrop.count:
            return error(f"Message {message} does not exist.")
        if message in self._deleted:
            return error(f"Message {message} has been deleted.")
        self.message = message
        return message

    def _left(self) -> int:
        return self._maildrop.count - len(self._deleted)

    def _left_octets(self) -> int:
        return self._maildrop.octets - self._deleted_octets

    def _holding(self) -> str:
        count = self._left()
        return f"{count} message{'' if count == 1 else 's'} ({self._left_octets()} octets)"

    def _listing(self, status: bytes, lines: bytes) -> bytes:
        """Make a listing of one line a message, without the deleted ones."""
        if self._deleted:
            kept = lines.split(b"\r\n")
            for message in self._deleted:
                kept[message - 1] = b""
            lines = b"\r\n".join(filter(None, kept)) + b"\r\n" if self._left() else b""
        return b"".join((status, lines, TERMINATION))

    def _retrieve(self, message: int, octets: int) -> Iterator[bytes]:
        if (yield from self._send(b"+OK %d octets\r\n" % octets, message, None)):
            self._retrieved += 1
            self._retrieved_octets += octets

    def _send_top(self, message: int, lines: int) -> Iterator[bytes]:
        if (yield from self._send(_MESSAGE_FOLLOWS, message, lines)):
            self._tops += 1

    def _send(self, status: bytes, message: int, lines: int | None) -> Generator[bytes, None, bool]:
        """Send a message, or its top, as it is read; True when it was sent whole.

        A store that fails before anything was sent gives -ERR; one that fails later ends the
        session without the termination, as no octet could tell the client that it has less than
        the message.
        """
        begun = False
        try:
            chunks = self._maildrop.chunks(message)
            for buffer in encode(chunks if lines is None else top(chunks, lines), status):
                begun = True
                yield buffer
        except StoreError as fault:
            if not begun:
                yield self._failed(fault)
                return False
            self.failure = fault
            self.ending = Ending.CUT
            return False
        return True


_HANDLERS: Final[dict[str, _Handler]] = {
    "STAT": Transaction._stat,
    "LIST": Transaction._list,
    "UIDL": Transaction._uidl,
    "RETR": Transaction._retr,
    "TOP": Transaction._top,
    "DELE": Transaction._dele,
    "NOOP": Transaction._noop,
    "RSET": Transaction._rset,
    "CAPA": Transaction._capa,
    "QUIT": Transaction._quit,
}

_WHOLE_PACKETS: Final = {
    keyword.name.encode("ascii") + b"\r\n": _HANDLERS[keyword.name]
    for keyword in COMMANDS
    if State.TRANSACTION in keyword.states and not keyword.minimum
}
