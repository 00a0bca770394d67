"""The AUTHORIZATION state."""

from __future__ import annotations

import base64
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3 import reply
from preforkpop.pop3.authorization import Action, Authorization, Login, Policy
from preforkpop.pop3.command import COMMANDS, State
from tests.unit.pop3.test_reply import is_status_line

STAMP = b"<1896.697170952@dbc.mtview.ca.us>"
OPEN = Policy(apop=True, tls_available=True, clear_text_allowed=True)
REFUSAL = reply.error("Wrong user name or password.", reply.ResponseCode.AUTH)
PLAIN = base64.b64encode(b"\0fred\0secret")


def client(policy: Policy = OPEN, *, tls: bool = False, pending: bytes = b"") -> Authorization:
    return Authorization(policy, tls=tls, stamp=STAMP, pending=pending)


def attempt(octets: bytes, policy: Policy = OPEN, *, tls: bool = False) -> Login | None:
    authorization = client(policy, tls=tls)
    _, action = authorization.receive(octets)
    assert (action is Action.LOGIN) == (authorization.login is not None)
    return authorization.login


class TestGreeting:
    def test_the_stamp_is_in_it_with_apop_only(self) -> None:
        assert client().greeting() == b"+OK POP3 server ready " + STAMP + b"\r\n"
        assert client(Policy()).greeting() == b"+OK POP3 server ready\r\n"

    def test_a_site_says_its_own_words_in_one_line(self) -> None:
        policy = Policy(greeting="Grüezi\r\n+OK")
        assert client(policy).greeting() == b"+OK Gr\\xfcezi\\x0d\\x0a+OK\r\n"


class TestLogin:
    def test_user_and_pass(self) -> None:
        login = attempt(b"USER fred\r\nPASS  a b \r\n")
        assert login == Login("USER", b"fred", b"", b" a b ")

    def test_a_password_holds_any_octet_but_lf(self) -> None:
        login = attempt(b"USER fred\r\nPASS a\0b\rc\xff\r\r\n")
        assert login == Login("USER", b"fred", b"", b"a\0b\rc\xff\r")

    def test_plain_with_initial_response(self) -> None:
        login = attempt(b"AUTH PLAIN " + PLAIN + b"\r\n")
        assert login == Login("PLAIN", b"fred", b"", b"secret")

    def test_plain_for_another_identity(self) -> None:
        response = base64.b64encode(b"sales\0fred\0secret")
        assert attempt(b"AUTH PLAIN\r\n" + response + b"\r\n") == (
            Login("PLAIN", b"fred", b"sales", b"secret")
        )

    def test_apop_by_the_example_of_rfc_1939(self) -> None:
        digest = b"c4c9334bac560ecc979e58001b3e22fb"
        assert attempt(b"APOP mrose " + digest + b"\r\n") == Login("APOP", b"mrose", b"", digest)

    def test_no_secret_is_shown(self) -> None:
        assert "secret" not in repr(attempt(b"USER fred\r\nPASS secret\r\n")).replace("secret=", "")

    def test_everything_before_the_login_is_answered_and_nothing_behind_it(self) -> None:
        authorization = client()
        answer, action = authorization.receive(b"NOSUCH\r\nUSER fred\r\nPASS x\r\nSTAT\r\nQUIT\r\n")
        assert action is Action.LOGIN
        assert answer.count(b"\r\n") == 2
        assert authorization.rest() == b"STAT\r\nQUIT\r\n"
        assert authorization.rest() == b""

    def test_what_comes_while_the_verdict_is_awaited_is_kept_for_the_worker(self) -> None:
        authorization = client()
        authorization.receive(b"USER fred\r\nPASS x\r\nST")
        assert authorization.receive(b"AT\r\n") == (b"", Action.NONE)
        assert authorization.receive(b"QUIT\r\n") == (b"", Action.NONE)
        assert authorization.rest() == b"STAT\r\nQUIT\r\n"


class TestRefused:
    def test_the_verdict_is_answered_and_the_session_goes_on(self) -> None:
        authorization = client()
        authorization.receive(b"USER fred\r\nPASS x\r\nPASS y\r\nQUIT\r\nCAPA\r\n")
        answer, action = authorization.refused(REFUSAL)
        assert answer.split(b"\r\n") == [
            REFUSAL.removesuffix(b"\r\n"),
            b"-ERR PASS is valid only immediately after USER.",
            b"+OK POP3 server signing off.",
            b"",
        ]
        assert action is Action.CLOSE
        assert authorization.login is None
        assert authorization.failures == 1

    def test_a_second_login_may_be_pipelined_behind_the_first(self) -> None:
        authorization = client()
        authorization.receive(b"USER a\r\nPASS x\r\nUSER b\r\nPASS y\r\nSTAT\r\n")
        answer, action = authorization.refused(REFUSAL)
        assert (answer, action) == (REFUSAL + b"+OK Password required.\r\n", Action.LOGIN)
        assert authorization.login == Login("USER", b"b", b"", b"y")
        assert authorization.rest() == b"STAT\r\n"

    def test_a_fault_of_the_server_is_not_counted(self) -> None:
        authorization = client()
        authorization.receive(b"USER a\r\nPASS x\r\n")
        authorization.refused(reply.error("later", "SYS/TEMP"), counted=False)
        assert authorization.failures == 0

    def test_what_was_handed_on_can_be_taken_back(self) -> None:
        authorization = client()
        authorization.receive(b"USER a\r\nPASS x\r\nCA")
        rest = authorization.rest()
        authorization.receive(b"PX\r\n")
        authorization.restore(rest)
        answer, _ = authorization.refused(REFUSAL)
        assert answer == REFUSAL + b'-ERR Unknown command: "capx".\r\n'

    def test_a_state_can_be_made_again_in_another_process(self) -> None:
        authorization = Authorization(
            OPEN, tls=False, stamp=STAMP, failures=2, bad_commands=10, pending=b"QUI"
        )
        assert authorization.receive(b"X\r\n")[1] is Action.CLOSE
        assert authorization.failures == 2

    def test_pending_octets_are_answered_without_others(self) -> None:
        assert client(pending=b"QUIT\r\n").receive(b"")[1] is Action.CLOSE


class TestStls:
    def test_nothing_from_before_the_handshake_survives(self) -> None:
        authorization = client()
        answer, action = authorization.receive(b"USER fred\r\nSTLS\r\nPASS injected\r\nCAP")
        assert (answer.count(b"\r\n"), action) == (2, Action.STLS)
        authorization.tls_started()
        assert authorization.receive(b"A\r\n")[0] == b'-ERR Unknown command: "a".\r\n'
        assert authorization.receive(b"PASS secret\r\n")[1] is Action.NONE
        assert authorization.login is None
        assert authorization.tls

    def test_an_exchange_does_not_survive_it(self) -> None:
        authorization = client()
        authorization.receive(b"AUTH PLAIN\r\n")
        authorization.tls_started()
        assert authorization.receive(PLAIN + b"\r\n")[0].startswith(b"-ERR Unknown command")

    def test_it_is_refused_under_tls_and_when_there_is_none(self) -> None:
        assert client(tls=True).receive(b"STLS\r\n") == (
            b"-ERR TLS is active already.\r\n",
            Action.NONE,
        )
        assert client(Policy()).receive(b"STLS\r\n")[0].startswith(b"-ERR ")

    @pytest.mark.parametrize("line", [b"USER fred", b"AUTH PLAIN", b"AUTH PLAIN " + PLAIN])
    def test_passwords_are_welcome_only_after_it(self, line: bytes) -> None:
        authorization = client(Policy(tls_available=True))
        answer, action = authorization.receive(line + b"\r\n")
        assert (answer[:11], action) == (b"-ERR [AUTH]", Action.NONE)
        authorization.receive(b"STLS\r\n")
        authorization.tls_started()
        answer, action = authorization.receive(line + b"\r\n")
        assert answer.startswith(b"+") or action is Action.LOGIN

    def test_apop_needs_no_tls(self) -> None:
        assert attempt(b"APOP fred " + b"0" * 32 + b"\r\n", Policy(apop=True)) is not None


class TestExchange:
    def test_an_empty_challenge_asks_for_the_message(self) -> None:
        assert client().receive(b"AUTH PLAIN\r\n") == (b"+ \r\n", Action.NONE)

    @pytest.mark.parametrize("line", [b"*", b"QUIT", b"", b"=", b"!!!!", b"AA==", b"x" * 12287])
    def test_whatever_ends_it_ends_it_with_one_error(self, line: bytes) -> None:
        authorization = client()
        authorization.receive(b"AUTH PLAIN\r\n")
        answer, action = authorization.receive(line + b"\r\n")
        assert answer.startswith(b"-ERR ")
        assert is_status_line(answer)
        assert action is Action.NONE
        assert authorization.receive(b"QUIT\r\n")[1] is Action.CLOSE

    def test_its_lines_may_be_long(self) -> None:
        message = b"\0fred\0" + b"x" * 9207
        line = base64.b64encode(message) + b"\r\n"
        assert len(line) == 12286  # base64 comes in fours
        login = attempt(b"AUTH PLAIN\r\n" + line)
        assert login is not None
        assert login.secret == message[6:]

    def test_a_command_line_may_not(self) -> None:
        line = b"AUTH PLAIN " + base64.b64encode(b"\0fred\0" + b"x" * 400) + b"\r\n"
        assert client().receive(line)[0].startswith(b"-ERR Line too long")


class TestBadCommands:
    def test_the_one_too_many_closes_the_session(self) -> None:
        authorization = client(Policy(maximum_bad_commands=2))
        assert authorization.receive(b"A\r\n\r\nCAPA\r\n")[1] is Action.NONE
        answer, action = authorization.receive(b"C\r\nUSER fred\r\nD\r\n")
        assert answer == b"-ERR Too many bad commands; closing the connection.\r\n"
        assert action is Action.CLOSE

    def test_an_endless_line_counts_once(self) -> None:
        authorization = client()
        answers = b"".join(authorization.receive(b"x" * 4096)[0] for _ in range(100))
        assert answers == b"-ERR Line too long; at most 512 octets.\r\n"
        assert authorization.bad_commands == 1
        assert authorization.receive(b"\r\nQUIT\r\n")[1] is Action.CLOSE

    def test_a_refused_login_is_not_one(self) -> None:
        authorization = client(Policy(maximum_bad_commands=0))
        assert authorization.receive(b"USER fred\r\n")[1] is Action.NONE
        assert authorization.bad_commands == 0


def test_a_waiting_client_is_small() -> None:
    authorization = client()
    assert sys.getsizeof(authorization) < 160
    assert not hasattr(authorization, "__dict__")


@pytest.mark.parametrize(
    "name", [keyword.name for keyword in COMMANDS if State.AUTHORIZATION in keyword.states]
)
def test_every_command_of_the_table_is_answered(name: str) -> None:
    digest = "0" * 32
    arguments = {"USER": " a", "PASS": " b", "APOP": f" a {digest}"}.get(name, "")
    answer, action = client().receive(f"{name}{arguments}\r\n".encode())
    assert answer.startswith((b"+OK", b"-ERR")) or action is Action.LOGIN


vocabulary = st.sampled_from(
    [
        b"USER fred\r\n",
        b"USER\r\n",
        b"PASS secret\r\n",
        b"APOP fred " + b"0" * 32 + b"\r\n",
        b"AUTH\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH PLAIN " + PLAIN + b"\n",
        PLAIN + b"\r\n",
        b"*\r\n",
        b"CAPA\r\n",
        b"STLS\r\n",
        b"QUIT\r\n",
        b"STAT\r\n",
        b"\r\n",
        b"\0\r",
        b"x" * 600,
    ]
)
inputs = st.lists(vocabulary | st.binary(max_size=30), max_size=20).map(b"".join)


def converse(pieces: list[bytes], policy: Policy) -> tuple[bytes, list[Login], Authorization]:
    """All that is said to a client whose logins are refused and whose handshakes never end."""
    authorization = client(policy)
    said = b""
    logins = []
    for piece in pieces:
        answer, action = authorization.receive(piece)
        said += answer
        while action is Action.LOGIN:
            assert authorization.login is not None
            logins.append(authorization.login)
            answer, action = authorization.refused(REFUSAL)
            said += answer
        if action is not Action.NONE:
            break
    return said, logins, authorization


@given(inputs, st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_chunking_makes_no_difference(octets: bytes, at: list[int], allowed: bool) -> None:
    policy = Policy(apop=True, tls_available=True, clear_text_allowed=allowed)
    ends = sorted(min(place, len(octets)) for place in at)
    pieces = [octets[a:b] for a, b in zip([0, *ends], [*ends, len(octets)], strict=True)]
    said, logins, authorization = converse(pieces, policy)
    whole = converse([octets], policy)
    assert (said, logins, authorization.bad_commands) == (*whole[:2], whole[2].bad_commands)


@given(inputs)
def test_any_input_gives_replies_of_whole_lines(octets: bytes) -> None:
    said, _, _ = converse([octets], OPEN)
    lines = said.split(b"\r\n")
    assert lines.pop() == b""
    for line in lines:
        assert len(line) <= 510
        assert line.decode("ascii").isprintable()
