"""Where log lines go."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from preforkpop.logger import sinks
from preforkpop.logger.settings import Logging
from preforkpop.logger.sinks import SYSLOG, StreamSink, SyslogSink
from preforkpop.system.log import Level

LINE = (Level.NOTICE, 4711, "login", "3 failed logins from 192.0.2.7")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A log file and its descriptor."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield descriptor, path
    os.close(descriptor)


class TestStream:
    def test_a_line_of_text(self, file: tuple[int, Path]) -> None:
        sink = StreamSink(file[0])
        sink.write(*LINE)
        sink.flush()
        expected = (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} notice login\[4711\]:"
            r" 3 failed logins from 192\.0\.2\.7\n"
        )
        assert re.fullmatch(expected, file[1].read_text())

    def test_a_line_of_json(self, file: tuple[int, Path]) -> None:
        sink = StreamSink(file[0], json_lines=True)
        sink.write(Level.ERROR, 1, "master", 'a "quoted" \\ täxt')
        sink.write(*LINE)
        sink.flush()
        first, second = map(json.loads, file[1].read_text().splitlines())
        assert first.pop("time")
        assert first == {"level": "error", "role": "master", "pid": 1, "text": 'a "quoted" \\ täxt'}
        assert second["text"] == LINE[3]

    def test_nothing_is_written_for_nothing(self, file: tuple[int, Path]) -> None:
        StreamSink(file[0]).flush()
        assert file[1].read_bytes() == b""

    def test_a_disk_that_is_full_is_no_error(self) -> None:
        descriptor = os.open("/dev/full", os.O_WRONLY)
        sink = StreamSink(descriptor)
        for _ in range(2):
            sink.write(*LINE)
            sink.flush()
        os.close(descriptor)

    def test_nor_is_a_reader_that_has_gone(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        sink = StreamSink(writer)
        sink.write(*LINE)
        sink.flush()
        os.close(writer)


class Daemon:
    """A syslog daemon that can be restarted."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.setblocking(False)

    def stop(self) -> None:
        self.sock.close()
        Path(self.path).unlink()

    def line(self) -> str:
        return self.sock.recv(65536).decode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(str(tmp_path / "log"))
    yield made
    made.sock.close()


class TestSyslog:
    def test_a_line_in_the_form_of_rfc_3164(self, daemon: Daemon) -> None:
        sink = SyslogSink("mail", daemon.path)
        sink.write(*LINE)
        expected = (
            r"<21>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d preforkpop\[4711\]:"
            r" 3 failed logins from 192\.0\.2\.7"
        )
        assert re.fullmatch(expected, daemon.line())
        sink.close()

    @pytest.mark.parametrize(
        ("facility", "level", "priority"),
        [("mail", Level.ERROR, 19), ("local7", Level.DEBUG, 191), ("user", Level.WARNING, 12)],
    )
    def test_priorities(self, daemon: Daemon, facility: str, level: Level, priority: int) -> None:
        sink = SyslogSink(facility, daemon.path)
        sink.write(level, 1, "master", "x")
        assert daemon.line().startswith(f"<{priority}>")
        sink.close()

    def test_a_daemon_that_was_restarted_gets_the_next_line(self, daemon: Daemon) -> None:
        sink = SyslogSink("mail", daemon.path)
        sink.write(*LINE)
        daemon.stop()
        daemon.start()
        sink.write(*LINE)
        assert daemon.line().endswith(LINE[3])
        sink.close()

    def test_without_a_daemon_lines_go_to_standard_error(
        self, daemon: Daemon, capfd: pytest.CaptureFixture[str]
    ) -> None:
        sink = SyslogSink("mail", daemon.path)
        daemon.stop()
        sink.write(*LINE)
        sink.flush()
        assert capfd.readouterr().err.endswith(f"notice login[4711]: {LINE[3]}\n")
        daemon.start()
        sink.write(*LINE)
        assert daemon.line().endswith(LINE[3])
        sink.close()

    def test_a_daemon_that_takes_nothing_is_not_waited_for_for_ever(
        self,
        daemon: Daemon,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(sinks, "PATIENCE", 0.01)
        sink = SyslogSink("mail", daemon.path)
        for number in range(600):  # the kernel queues about ten
            sink.write(Level.INFO, 1, "login", f"line {number}")
            sink.flush()
            if capfd.readouterr().err:
                break
        else:
            pytest.fail("the queue was never full")
        sink.close()


def test_the_sink_that_is_configured(file: tuple[int, Path]) -> None:
    assert isinstance(sinks.make(Logging(), SYSLOG), SyslogSink)
    sink = sinks.make(Logging(format="json"), file[0])
    sink.write(*LINE)
    sink.flush()
    assert json.loads(file[1].read_text())["level"] == "notice"
