"""PROCESS logger: the one process that writes the log.

Runs as the login user, without privileges. Other processes are chrooted or run as mailbox users and
could not reopen /dev/log or a file: their lines come over one socket pair, a packet a line. Python
stacks of stuck workers come over a pipe, as text. The logger ends when no process is left that
could say anything, so the last words of a shutdown are written too.
"""

from __future__ import annotations

import os
import select
import socket

from preforkpop.logger.sinks import Sink
from preforkpop.system import process

LINE = 4096  # octets; more than any process sends


def run(lines: socket.socket, stacks: int, sink: Sink) -> int:
    """Write what comes until every sender has gone."""
    poller = select.poll()
    poller.register(lines.fileno(), select.POLLIN)
    poller.register(stacks, select.POLLIN)
    while True:
        for descriptor, _events in poller.poll():
            if descriptor != stacks:
                if not _take_lines(lines, sink):
                    return process.EXIT_OK
            elif not _take_stack(stacks, sink):
                poller.unregister(stacks)


def _take_lines(lines: socket.socket, sink: Sink) -> bool:
    """Write the lines that wait; False when no sender is left."""
    while True:
        try:
            packet = lines.recv(LINE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        if not packet:
            return False
        level, pid, role, text = parse(packet)
        sink.write(level, pid, role, text)


def parse(packet: bytes) -> tuple[int, int, str, str]:
    """Severity, pid, role and text of a packet; what is malformed is shown as it is."""
    parts = packet.decode("utf-8", "backslashreplace").split(" ", 3)
    if len(parts) == 4 and parts[0].isdigit() and parts[1].isdigit():
        text = parts[3].replace("\n", " ").replace("\r", " ")
        return int(parts[0]), int(parts[1]), parts[2], text
    return 4, 0, "?", repr(packet)


def _take_stack(stacks: int, sink: Sink) -> bool:
    text = os.read(stacks, 65536)
    for line in text.decode("utf-8", "backslashreplace").splitlines():
        if line.strip():
            sink.write(4, 0, "worker", "stack: " + line)
    return bool(text)
