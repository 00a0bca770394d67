"""Where log lines go: standard error, a file, or syslog.

Run by the logger, without privileges; a file was opened by the master.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Protocol

LEVELS = {3: "error", 4: "warning", 5: "notice", 6: "info", 7: "debug"}
FACILITIES = {"mail": 2, "daemon": 3, "auth": 4, "authpriv": 10, "user": 1} | {
    f"local{number}": 16 + number for number in range(8)
}


class Sink(Protocol):
    """Takes one line at a time."""

    def write(self, level: int, pid: int, role: str, text: str) -> None:
        """Write one line; never raises: a log that is full must not end the server."""


class StreamSink:
    """Lines to a descriptor: time, level, role and pid, text."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, level: int, pid: int, role: str, text: str) -> None:
        """One line, one write, so that lines of several writers do not mix."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        line = f"{stamp} {LEVELS.get(level, 'info')} {role}[{pid}]: {text}\n"
        try:
            os.write(self._descriptor, line.encode("utf-8", "backslashreplace"))
        except OSError:
            return


class SyslogSink:
    """Lines to the local syslog by /dev/log (RFC 3164's form), connected anew when it restarts."""

    def __init__(self, facility: str, path: str = "/dev/log") -> None:
        self._facility = FACILITIES[facility]
        self._path = path
        self._sock: socket.socket | None = None

    def write(self, level: int, pid: int, role: str, text: str) -> None:
        """One datagram; a second try after the syslog daemon was restarted."""
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"<{self._facility * 8 + level}>{stamp} preforkpop[{pid}]: {text}"
        octets = line.encode("utf-8", "backslashreplace")
        for _attempt in range(2):
            try:
                self._connected().send(octets)
            except OSError:
                self._forget()
            else:
                return
        sys.stderr.write(f"preforkpop: {role}: {text}\n")

    def _connected(self) -> socket.socket:
        if self._sock is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                raise
            self._sock = sock
        return self._sock

    def _forget(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
