"""The logger as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.logger.main import LINE, parse, run
from preforkpop.logger.sinks import StreamSink
from preforkpop.system import process
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import pair


class Logger:
    """A logger in a child, which writes to a file."""

    def __init__(self, path: Path) -> None:
        self.sender, self.lines = pair()
        self.stacks, self.stacks_in = os.pipe()
        self.pids: list[int] = []
        self._path = path
        self._path.touch()
        self._ended = False
        self.start()

    def start(self) -> None:
        """Start one, beside others."""

        def serve() -> int:
            self.sender.close()
            os.close(self.stacks_in)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            return run(self.lines, self.stacks, StreamSink(descriptor))

        self.pids.append(process.fork(serve))

    def written(self) -> list[str]:
        """All lines, without their time, when all loggers have ended; their statuses were 0."""
        assert self.end() == [0] * len(self.pids)
        return [line.split(" ", 1)[1] for line in self._path.read_text().splitlines()]

    def wait_for(self, text: str) -> None:
        """Wait until a line with this text is written."""
        while text not in self._path.read_text():
            pass

    def end(self) -> list[int]:
        """No more lines come; how the loggers ended."""
        if self._ended:
            return []
        self._ended = True
        self.sender.close()
        os.close(self.stacks_in)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
        self.lines.close()
        os.close(self.stacks)
        return statuses


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Logger]:
    made = Logger(tmp_path / "log")
    yield made
    made.end()


def test_lines_of_any_process_are_written_in_their_order(logger: Logger) -> None:
    log = Log(logger.sender, "login")
    for number in range(1000):
        while not sent(log, f"line {number}"):
            pass
    log.as_role("master").error("bad")
    expected = [f"info login[{os.getpid()}]: line {number}" for number in range(1000)]
    assert logger.written() == [*expected, f"error master[{os.getpid()}]: bad"]


def sent(log: Log, text: str) -> bool:
    """Send a line; False when the queue was full."""
    log.info(text)
    lost, log._lost = log._lost, 0
    return not lost


def test_the_last_words_are_written(logger: Logger) -> None:
    Log(logger.sender, "master").notice("stopped")
    assert logger.written() == [f"notice master[{os.getpid()}]: stopped"]


def test_stacks_of_stuck_workers_are_written_line_by_line(logger: Logger) -> None:
    os.write(logger.stacks_in, b"Current thread 0x1 (most recent call first):\n  File x\n\n")
    assert logger.written() == [
        "warning worker[0]: stack: Current thread 0x1 (most recent call first):",
        "warning worker[0]: stack:   File x",
    ]


def test_lines_go_on_when_no_worker_is_left(logger: Logger) -> None:
    os.close(logger.stacks_in)
    logger.stacks_in = os.dup(1)
    Log(logger.sender, "master").notice("stopped")
    assert logger.written() == [f"notice master[{os.getpid()}]: stopped"]


def test_a_sender_gone_mad_neither_ends_it_nor_forges_lines(logger: Logger) -> None:
    for packet in (
        b"",
        b"hello",
        b"3 1 login one\n2026-01-01 error master[1]: two",
        b"\xb2 \xb9 login x",
        "² ¹ login x".encode(),
        b"9" * LINE,
        b"x" * (LINE + 1000),
        b"\0\x1b[2J\xff",
        b"4711 1 login loud",
        b"-1 1 login x",
    ):
        logger.sender.send(packet)
    socket.send_fds(logger.sender, [b"6 1 login with descriptors"], [0, 1, 2])
    logger.wait_for("with descriptors")
    lines = logger.written()
    assert lines[0] == "warning ?[0]: hello"
    assert lines[1] == "error login[1]: one\\x0a2026-01-01 error master[1]: two"
    assert "debug login[1]: loud" in lines
    assert lines[-1] == "info login[1]: with descriptors"
    assert len(lines) == 10


def test_it_ends_at_sigterm_and_another_goes_on(logger: Logger) -> None:
    log = Log(logger.sender, "login")
    for number in range(2000):
        while not sent(log, f"line {number}"):
            pass
        if number == 500:
            logger.start()
        if number == 1000:
            os.kill(logger.pids[0], signal.SIGTERM)
    lines = logger.written()
    assert sorted(lines) == sorted(f"info login[{os.getpid()}]: line {n}" for n in range(2000))


@given(st.binary(max_size=LINE))
def test_any_packet_is_one_printable_line(packet: bytes) -> None:
    level, pid, role, text = parse(packet)
    assert level in Level
    assert pid >= 0
    assert re.search(r"[\x00-\x1f\x7f-\x9f]", role + text) is None
