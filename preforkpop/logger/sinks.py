"""Where log lines go: standard error, a file, or syslog.

Run by the logger, without privileges; a file was opened by the master.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import Final, Protocol

from preforkpop.logger.settings import Logging
from preforkpop.system.log import Level

SYSLOG: Final = -1
"""What stands for syslog where the descriptor of a file would stand."""

FACILITIES: Final = {"mail": 2, "daemon": 3, "auth": 4, "authpriv": 10, "user": 1} | {
    f"local{number}": 16 + number for number in range(8)
}
"""RFC 5424 section 6.2.1."""

PATIENCE: Final = 1.0
"""Seconds for a syslog daemon that takes nothing. Nobody waits for it but the logger."""

_NAMES: Final = {level: level.name.lower() for level in Level}


class Sink(Protocol):
    """Takes lines; never raises, because a log that is full must not end the server."""

    def write(self, level: Level, pid: int, role: str, text: str) -> None:
        """Take one line."""

    def flush(self) -> None:
        """No more lines wait: everything is to be written now."""


def make(settings: Logging, target: int) -> Sink:
    """The sink for the descriptor of a file, or for SYSLOG."""
    if target == SYSLOG:
        return SyslogSink(settings.facility)
    return StreamSink(target, json_lines=settings.format == "json")


class StreamSink:
    """Lines to a descriptor: time, level, role and pid, text; or one JSON object a line."""

    def __init__(self, descriptor: int, *, json_lines: bool = False) -> None:
        self._descriptor = descriptor
        self._format = _json if json_lines else _text
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""

    def write(self, level: Level, pid: int, role: str, text: str) -> None:
        """Take one line; its time is now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))
        self._lines.append(self._format(self._stamp, _NAMES[level], role, pid, text))

    def flush(self) -> None:
        """Write whole lines at once, so that those of several writers do not mix."""
        octets = "".join(self._lines).encode("utf-8", "backslashreplace")
        self._lines.clear()
        with contextlib.suppress(OSError):
            while octets:
                octets = octets[os.write(self._descriptor, octets) :]


def _text(stamp: str, level: str, role: str, pid: int, text: str) -> str:
    return f"{stamp} {level} {role}[{pid}]: {text}\n"


def _json(stamp: str, level: str, role: str, pid: int, text: str) -> str:
    line = {"time": stamp, "level": level, "role": role, "pid": pid, "text": text}
    return json.dumps(line) + "\n"


class SyslogSink:
    """Lines to the local syslog by /dev/log (RFC 3164's form), connected anew when it restarts.

    Lines that cannot be handed over go to standard error.
    """

    def __init__(self, facility: str, path: str = "/dev/log") -> None:
        self._facility = FACILITIES[facility]
        self._path = path
        self._sock: socket.socket | None = None
        self._fallback = StreamSink(2)

    def write(self, level: Level, pid: int, role: str, text: str) -> None:
        """Send one datagram; a second try when the syslog daemon was restarted."""
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"<{self._facility * 8 + level}>{stamp} preforkpop[{pid}]: {text}"
        octets = line.encode("utf-8", "backslashreplace")
        for _attempt in range(2):
            try:
                self._connected().send(octets)
            except OSError:
                self.close()
            else:
                return
        self._fallback.write(level, pid, role, text)

    def flush(self) -> None:
        """Datagrams have gone already."""
        self._fallback.flush()

    def close(self) -> None:
        """Forget the connection."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connected(self) -> socket.socket:
        if self._sock is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.settimeout(PATIENCE)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                raise
            self._sock = sock
        return self._sock
