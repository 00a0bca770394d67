"""Log lines on their way."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.system.log import MAXIMUM_LINE, RARELY, Level, Log, escape
from preforkpop.system.sockets import pair


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    sender, receiver = pair()
    receiver.setblocking(False)
    with sender, receiver:
        yield sender, receiver


def received(receiver: socket.socket) -> list[str]:
    """The lines that came, without severity and pid."""
    lines = []
    while True:
        try:
            packet = receiver.recv(65536)
        except BlockingIOError:
            return lines
        _severity, pid, rest = packet.decode().split(" ", 2)
        assert int(pid) == os.getpid()
        lines.append(rest)


class TestEscape:
    @given(st.one_of(st.text(), st.binary()))
    def test_it_is_one_bounded_printable_line(self, text: str | bytes) -> None:
        shown = escape(text)
        assert re.search(r"[\x00-\x1f\x7f-\x9f]", shown) is None
        assert len(shown) <= 128 * 4 + 3

    @given(st.text(max_size=128), st.text(max_size=128))
    def test_different_names_stay_different(self, one: str, other: str) -> None:
        assert (escape(one) == escape(other)) == (one == other)

    def test_names_of_any_script_can_be_read(self) -> None:
        assert escape("Müller".encode()) == "Müller"
        assert escape(b"a\nb\\\xff\x1b[2J") == "a\\x0ab\\\\\\\\xff\\x1b[2J"

    def test_what_is_too_long_is_cut_and_it_shows(self) -> None:
        assert escape("x" * 128) == "x" * 128
        assert escape(b"x" * 10**6, 10) == "x" * 10 + "..."


class TestLines:
    def test_severity_pid_role_and_text(self, ends: tuple[socket.socket, socket.socket]) -> None:
        log = Log(ends[0], "login", Level.DEBUG)
        log.error("one")
        assert ends[1].recv(100) == b"3 %d login one" % os.getpid()
        for number, write in ((4, log.warning), (5, log.notice), (6, log.info), (7, log.debug)):
            write("täxt")
            assert ends[1].recv(100) == f"{number} {os.getpid()} login täxt".encode()

    def test_what_is_less_severe_than_asked_for_is_not_sent(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        log = Log(ends[0], "login", Level.WARNING).as_role("auth")
        log.notice("no")
        log.warning("yes")
        assert received(ends[1]) == ["auth yes"]

    def test_a_long_line_is_cut(self, ends: tuple[socket.socket, socket.socket]) -> None:
        Log(ends[0], "login").error("ä" * MAXIMUM_LINE)
        packet = ends[1].recv(65536)
        assert packet.count("ä".encode()) == MAXIMUM_LINE // 2

    def test_lines_that_found_no_room_are_counted(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        log = Log(ends[0], "login")
        for _ in range(5000):
            log.info("x" * 1000)  # never waits
        got = len(received(ends[1]))
        log.info("after")
        assert received(ends[1]) == [
            f"login {5000 - got} log lines were lost: the log is too slow",
            "login after",
        ]

    def test_a_logger_that_has_gone_ends_nobody(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        ends[1].close()
        log = Log(ends[0], "login")
        log.info("one")
        log.info("two")

    def test_without_a_logger_lines_go_to_standard_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Log(None, "inetd").error("bad")
        assert capsys.readouterr().err == "preforkpop: inetd: bad\n"


class TestRarely:
    def test_the_first_is_told_and_the_others_are_counted(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        log = Log(ends[0], "login")
        for second in range(int(RARELY)):
            log.rarely(Level.WARNING, "full", float(second))
            log.rarely(Level.WARNING, "other", float(second))
        assert received(ends[1]) == ["login full", "login other"]
        log.rarely(Level.WARNING, "full", RARELY)
        assert received(ends[1]) == ["login full (59 times more since the last such line)"]
        log.rarely(Level.WARNING, "full", RARELY * 2)
        assert received(ends[1]) == ["login full"]

    def test_it_is_told_at_once_on_a_machine_that_has_just_started(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        Log(ends[0], "login").rarely(Level.WARNING, "full", 0.0)
        assert received(ends[1]) == ["login full"]
