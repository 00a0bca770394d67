"""What a client before login hears."""

from __future__ import annotations

import base64
import re
import socket
import ssl

import pytest
from OpenSSL import SSL

from tests.support.certificates import client_context
from tests.unit.login.process import (
    IMPLICIT,
    PATIENCE,
    PLAIN,
    STLS,
    LoginProcess,
    login_process,
    with_authentication,
)


class TestGreeting:
    def test_it_carries_an_apop_stamp_that_is_never_the_same(self, login: LoginProcess) -> None:
        lines = [login.connect().line() for _ in range(3)]
        pattern = rb"\+OK POP3 server ready <[!-;=?-~]+@pop\.example\.org>\r\n"
        assert all(re.fullmatch(pattern, line) for line in lines)
        assert len(set(lines)) == 3

    def test_there_is_no_stamp_without_apop(self) -> None:
        with login_process(with_authentication(mechanisms=("USER",))) as login:
            assert login.connect().line() == b"+OK POP3 server ready\r\n"


class TestCommands:
    def test_quit_is_answered_and_the_connection_closed(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        talk.send(b"QUIT\r\n")
        assert talk.rest() == b"+OK POP3 server signing off.\r\n"
        assert talk.lease_ends()

    def test_commands_that_arrive_in_pieces_and_together(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        talk.send(b"NOS")
        talk.send(b"UCH\r\nNOOP\r\nQU")
        talk.send(b"IT\r\n")
        assert talk.rest().count(b"\r\n") == 3

    def test_too_many_bad_commands_end_the_session(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        talk.send(b"NOSUCH\r\n" * 11)
        assert talk.rest().endswith(b"-ERR Too many bad commands; closing the connection.\r\n")

    def test_a_client_that_leaves_without_a_word_is_forgotten(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        assert login.waiting(1)
        talk.sock.close()
        assert talk.lease_ends()
        assert login.waiting(0)

    def test_a_client_that_has_said_all_still_gets_its_answers(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        talk.send(b"CAPA\r\nUSER fred\r\n")
        talk.sock.shutdown(1)
        assert talk.rest().endswith(b".\r\n+OK Password required.\r\n")


class TestStls:
    def test_commands_go_on_under_tls(self, login: LoginProcess) -> None:
        talk = login.connect_tls(STLS)
        assert talk.says(b"USER fred") == b"+OK Password required.\r\n"
        talk.send(b"CAPA\r\nQUIT\r\n")
        answer = talk.rest()
        assert b"SASL PLAIN\r\n" in answer
        assert b"STLS" not in answer

    def test_what_was_pipelined_behind_it_is_dropped(self, login: LoginProcess) -> None:
        talk = login.connect()
        talk.line()
        talk.send(b"USER mallory\r\nSTLS\r\nUSER mallory\r\nNOSUCH\r\n")
        assert talk.line() == b"+OK Password required.\r\n"
        assert talk.line() == b"+OK Begin TLS negotiation.\r\n"
        talk.start_tls()
        assert talk.says(b"PASS secret") == b"-ERR PASS is valid only immediately after USER.\r\n"

    def test_it_is_refused_where_it_is_off_and_where_tls_is_active(
        self, login: LoginProcess
    ) -> None:
        talk = login.connect(PLAIN)
        talk.line()
        assert talk.says(b"STLS") == b"-ERR TLS is not available here.\r\n"
        assert login.connect_tls(IMPLICIT).says(b"STLS") == b"-ERR TLS is active already.\r\n"

    def test_it_is_not_offered_without_a_certificate(self) -> None:
        with login_process() as login:
            talk = login.connect(STLS)
            talk.line()
            assert talk.says(b"STLS") == b"-ERR TLS is not available here.\r\n"


class TestTls:
    def test_the_greeting_comes_after_the_handshake(self, login: LoginProcess) -> None:
        talk = login.connect(IMPLICIT)
        talk.start_tls()
        assert talk.line().startswith(b"+OK POP3 server ready <")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_the_end_is_said_with_close_notify(
        self, login: LoginProcess, version: ssl.TLSVersion
    ) -> None:
        context = client_context()
        context.minimum_version = context.maximum_version = version
        talk = login.connect(IMPLICIT)
        talk.start_tls(context)
        talk.line()
        talk.send(b"QUIT\r\n")
        assert talk.rest() == b"+OK POP3 server signing off.\r\n"  # ragged ends are errors here
        assert talk.lease_ends()

    def test_a_client_that_says_good_bye_is_told_so(self, login: LoginProcess) -> None:
        talk = login.connect_tls()
        assert isinstance(talk.sock, ssl.SSLSocket)
        talk.sock = talk.sock.unwrap()
        assert talk.rest() == b""
        assert talk.lease_ends()

    @pytest.mark.parametrize(
        "garbage",
        [
            b"GET / HTTP/1.0\r\n\r\n",
            b"USER fred\r\nPASS secret\r\n",
            b"\x16\x03\x01\xff\xff" + bytes(5000),
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            bytes(range(256)) * 8,
        ],
    )
    def test_garbage_instead_of_a_handshake_ends_that_client_alone(
        self, login: LoginProcess, garbage: bytes
    ) -> None:
        good = login.connect_tls()
        bad = login.connect(IMPLICIT)
        bad.send(garbage)
        with_alert = bad.rest()
        assert with_alert == b"" or with_alert.startswith(b"\x15\x03")
        assert bad.lease_ends()
        assert good.says(b"USER fred") == b"+OK Password required.\r\n"

    def test_a_handshake_that_is_cut_off_ends_that_client_alone(self, login: LoginProcess) -> None:
        good = login.connect_tls()
        bad = login.connect(IMPLICIT)
        bad.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        bad.sock.shutdown(1)
        assert bad.rest() == b""
        assert bad.lease_ends()
        assert good.says(b"USER fred") == b"+OK Password required.\r\n"

    def test_garbage_after_the_handshake_ends_that_client_alone(self, login: LoginProcess) -> None:
        good = login.connect_tls()
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # its alerts can be seen from outside
        bad = login.connect(IMPLICIT)
        bad.start_tls(context)
        bad.line()
        bad.sock = socket.socket(fileno=bad.sock.detach())
        bad.sock.settimeout(PATIENCE)
        bad.send(b"\x17\x03\x03\x00\x40" + bytes(64))
        assert bad.rest()[:1] == b"\x15"  # an alert
        assert bad.lease_ends()
        assert good.says(b"USER fred") == b"+OK Password required.\r\n"

    def test_why_tls_failed_is_logged_without_the_clients_octets(self, login: LoginProcess) -> None:
        bad = login.connect(IMPLICIT)
        bad.send(b"GET /secret HTTP/1.0\r\n\r\n")
        assert bad.lease_ends()
        [line] = [line for line in login.log() if "TLS" in line]
        assert "TLS with 127.0.0.1 failed" in line
        assert "/secret" not in line

    def test_the_oldest_versions_are_refused(self, login: LoginProcess) -> None:
        context = client_context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        talk = login.connect(IMPLICIT)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk.start_tls(context)


def test_a_session_of_one_process_is_resumed(login: LoginProcess, tls_context: SSL.Context) -> None:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    first = login.connect(IMPLICIT)
    first.start_tls(context)
    first.line()
    assert isinstance(first.sock, ssl.SSLSocket)
    again = login.connect(IMPLICIT)
    again.sock = context.wrap_socket(
        again.sock, server_hostname="localhost", session=first.sock.session
    )
    assert again.sock.session_reused


def test_plain_arrives_with_its_parts(login: LoginProcess) -> None:
    talk = login.connect()
    talk.line()
    assert talk.says(b"AUTH PLAIN") == b"+ \r\n"
    talk.send(base64.b64encode(b"\0fred\0pass word") + b"\r\n")
    attempt = login.session().attempt
    assert (attempt.mechanism, attempt.user, attempt.secret) == ("PLAIN", b"fred", b"pass word")
