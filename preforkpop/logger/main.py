"""PROCESS logger: the one process that writes the log.

Runs as the login user, without privileges. Other processes are chrooted or run as mailbox users and
could not reopen /dev/log or a file: their lines come over one socket pair, a packet a line. Python
stacks of stuck workers come over a pipe, as text. The logger ends when no process is left that
could say anything, so the last words of a shutdown are written too.

A log file is opened by the master, which alone may. When it is to be opened anew the master starts
another logger with it and tells this one to end (SIGTERM): both take lines from the same queue, and
what this one has taken it writes.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Final

from preforkpop.ipc import channel
from preforkpop.logger.sinks import Sink
from preforkpop.system import process
from preforkpop.system.log import Level
from preforkpop.system.signals import SignalPipe

LINE: Final = 4096
"""Octets; more than any process sends."""

BATCH: Final = 256
"""Lines that are taken before anything else is looked at."""

_NO_WAIT: Final = int(socket.MSG_DONTWAIT)
_CONTROLS: Final = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}


def run(lines: socket.socket, stacks: int, sink: Sink) -> int:
    """Write what comes until every sender has gone, or the master says that another does it."""
    signals = SignalPipe((signal.SIGTERM,))
    poller = select.poll()
    for descriptor in (lines.fileno(), stacks, signals.fileno()):
        poller.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _events in poller.poll()]
        if stacks in ready and not _take_stack(stacks, sink):
            poller.unregister(stacks)
        if lines.fileno() in ready and not _take_lines(lines, sink):
            return process.EXIT_OK
        if signals.fileno() in ready:
            return process.EXIT_OK


def _take_lines(lines: socket.socket, sink: Sink) -> bool:
    """Write the lines that wait; False when no sender is left."""
    for _ in range(BATCH):
        try:
            packet = lines.recv(LINE, _NO_WAIT)
        except BlockingIOError:
            break
        if packet:
            sink.write(*parse(packet))
        elif channel.ended(lines):
            sink.flush()
            return False
    sink.flush()
    return True


def parse(packet: bytes) -> tuple[Level, int, str, str]:
    """Severity, pid, role and text of a packet; what is malformed is shown as it is.

    Senders escape what comes from a client. Some of them talk to clients, so here it is made sure
    once more that a packet is one line.
    """
    parts = packet.decode("utf-8", "backslashreplace").translate(_CONTROLS).split(" ", 3)
    if len(parts) == 4 and _is_number(parts[0]) and _is_number(parts[1]):
        severity = min(max(int(parts[0]), Level.ERROR), Level.DEBUG)
        return Level(severity), int(parts[1]), parts[2], parts[3]
    return Level.WARNING, 0, "?", " ".join(parts)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def _take_stack(stacks: int, sink: Sink) -> bool:
    """Write what a stuck worker said of itself; False when no worker is left that could."""
    text = os.read(stacks, 65536)
    for line in text.decode("utf-8", "backslashreplace").splitlines():
        if line.strip():
            sink.write(Level.WARNING, 0, "worker", "stack: " + line.translate(_CONTROLS))
    sink.flush()
    return bool(text)
