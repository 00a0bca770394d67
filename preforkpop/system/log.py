"""Log lines from any process to the one that writes the log.

Every process holds the sending end of one socket pair; the logger process holds the other. A line
is one packet: "SEVERITY PID ROLE TEXT". It never blocks a session: when the logger cannot keep up,
the line is counted, and the count is told with the next one that gets through. Whatever a client
sent is escaped here.
"""

from __future__ import annotations

import enum
import os
import socket
import sys

_NO_WAIT = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)  # IntFlag arithmetic costs 1 µs a time
MAXIMUM_LINE = 2000  # octets of one line; the rest is cut
RARELY = 60.0  # seconds between two lines that would otherwise come for every connection


class Level(enum.IntEnum):
    """Severities with their syslog numbers (RFC 5424 section 6.2.1)."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


_ESCAPES = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}
_ESCAPES[ord("\\")] = "\\\\"


def escape(text: str | bytes, limit: int = 128) -> str:
    """Text from outside, harmless in a log line: one line, printable, of bounded length."""
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("utf-8", "backslashreplace")
    shown = text[:limit].translate(_ESCAPES)
    return shown + "..." if len(text) > limit else shown


class Log:
    """Where a process sends its lines; ``role`` names it in each."""

    __slots__ = ("_lost", "_sock", "_told", "level", "role")

    def __init__(self, sock: socket.socket | None, role: str, level: Level = Level.INFO) -> None:
        self._sock = sock
        self.level = level
        self._lost = 0
        self._told: dict[str, tuple[float, int]] = {}
        self.role = role

    def as_role(self, role: str) -> Log:
        """The same way to the log under another name."""
        return Log(self._sock, role, self.level)

    def write(self, level: Level, text: str) -> None:
        """Send a line that contains nothing unescaped from outside."""
        if level > self.level:
            return
        line = text.encode("utf-8", "backslashreplace")[:MAXIMUM_LINE]
        if self._sock is None:
            sys.stderr.write(f"preforkpop: {self.role}: {text}\n")
            return
        try:
            if self._lost:
                self._send(
                    Level.WARNING, b"%d log lines were lost: the log is too slow" % self._lost
                )
                self._lost = 0
            self._send(level, line)
        except OSError:
            self._lost += 1

    def _send(self, level: Level, line: bytes) -> None:
        assert self._sock is not None
        head = b"%d %d %s " % (level, os.getpid(), self.role.encode())
        self._sock.send(head + line, _NO_WAIT)

    def rarely(self, level: Level, text: str, now: float) -> None:
        """Send a line that would come for every connection: once in ``RARELY`` seconds, with how
        often it was kept back. Only for texts of which there are few, because each is remembered.
        """
        told, more = self._told.get(text, (-RARELY, 0))
        if now - told < RARELY:
            self._told[text] = (told, more + 1)
            return
        self._told[text] = (now, 0)
        self.write(level, f"{text} ({more} times more since the last such line)" if more else text)

    def error(self, text: str) -> None:
        """Something is broken and somebody has to act."""
        self.write(Level.ERROR, text)

    def warning(self, text: str) -> None:
        """Something is wrong; the line names what would cure it."""
        self.write(Level.WARNING, text)

    def notice(self, text: str) -> None:
        """Normal and significant: refusals, statistics, restarts."""
        self.write(Level.NOTICE, text)

    def info(self, text: str) -> None:
        """Normal."""
        self.write(Level.INFO, text)

    def debug(self, text: str) -> None:
        """For who looks for a fault."""
        self.write(Level.DEBUG, text)
