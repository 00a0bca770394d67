"""Every dialogue of tests/transcripts, played against the engine without a server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from preforkpop.pop3 import reply
from preforkpop.pop3.authorization import Action, Authorization, Login, Policy
from preforkpop.pop3.transaction import Transaction
from tests.support import transcript
from tests.unit.pop3.fake_maildrop import FakeMaildrop

FOLDER = Path(__file__).parents[2] / "transcripts"
FILES = sorted(FOLDER.glob("*.pop3"))
STAMP = b"<1896.697170952@dbc.mtview.ca.us>"


class Engine:
    """Authorization and Transaction put together as login and worker do it."""

    def __init__(self, script: transcript.Transcript) -> None:
        self.script = script
        self.maildrop = FakeMaildrop(script.messages)
        self.authorization = Authorization(
            Policy(
                apop="APOP" in script.mechanisms,
                mechanisms=script.mechanisms,
                tls_available=script.tls == "stls",
                clear_text_allowed=script.clear_text,
            ),
            tls=script.tls == "implicit",
            stamp=STAMP,
        )
        self.transaction: Transaction | None = None
        self.over = False
        self.action = Action.NONE
        self.output = self.authorization.greeting()

    def send(self, octets: bytes) -> None:
        if self.transaction is None:
            self._act(*self.authorization.receive(octets))
        else:
            self._transact(octets)

    def line(self) -> bytes:
        line, end, self.output = self.output.partition(b"\r\n")
        assert end, f"{self.script.name}: the server says nothing more"
        return line

    def start_tls(self) -> None:
        assert self.action is Action.STLS
        assert not self.output
        self.authorization.tls_started()

    def closed(self) -> bool:
        return self.over and not self.output

    def _act(self, output: bytes, action: Action) -> None:
        self.output += output
        self.action = action
        self.over = action is Action.CLOSE
        if action is not Action.LOGIN:
            return
        login = self.authorization.login
        assert login is not None
        if not self._right(login):
            refusal = reply.error("Wrong user name or password.", reply.ResponseCode.AUTH)
            self._act(*self.authorization.refused(refusal))
            return
        self.transaction = Transaction(
            self.maildrop,
            user=login.user,
            implementation="preforkpop",
            mechanisms=self.authorization.policy.accepted(tls=self.authorization.tls),
        )
        self.output += self.transaction.accepted()
        rest = self.authorization.rest()
        if rest:
            self._transact(rest)

    def _right(self, login: Login) -> bool:
        secret = self.script.password.encode()
        if login.mechanism == "APOP":
            digest = hashlib.md5(STAMP + secret, usedforsecurity=False).hexdigest()
            secret = digest.encode()
        return login.user == self.script.user.encode() and login.secret == secret

    def _transact(self, octets: bytes) -> None:
        assert self.transaction is not None
        self.output += b"".join(self.transaction.receive(octets))
        self.over = self.transaction.ending is not None


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_engine_keeps_to_the_transcript(path: Path) -> None:
    script = transcript.parse(path.name, path.read_text(encoding="ascii"))
    engine = Engine(script)
    transcript.play(script, engine)
    assert engine.output == b"", "the server said more than the transcript"
    assert engine.maildrop.left() == script.expected_left()


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 10


def test_a_line_that_differs_is_named() -> None:
    script = transcript.parse("x.pop3", "user: fred\n\nS: +OK ...\nC: CAPA\nS: -ERR\n")
    with pytest.raises(AssertionError, match=r"x\.pop3:5: expected '-ERR'"):
        transcript.play(script, Engine(script))


@pytest.mark.parametrize("text", ["colour: red\n", "\nQ: what\n", "tls: maybe\n", "\nX: later\n"])
def test_what_is_not_a_transcript_is_refused(text: str) -> None:
    with pytest.raises(transcript.TranscriptError, match=r"^x\.pop3:\d: "):
        transcript.parse("x.pop3", text)


def test_escapes_stand_for_octets() -> None:
    assert transcript.unescape(r"a\r\n\x00\\\{3*ab}\{base64:\x00a\x00b}") == (
        b"a\r\n\x00\\ababab" + b"AGEAYg=="
    )
