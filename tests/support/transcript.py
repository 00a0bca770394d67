r"""Dialogues as data: how tests/transcripts/*.pop3 are read and played.

A transcript is a whole session, from the greeting to the close, so that it can be played against
the protocol engine and against a running server alike. It is a header, an empty line, and steps.
Lines that begin with ``#`` are comments; the first ones say what the dialogue shows.

Header, ``key: value`` a line, all optional:

    user: fred                   the account, and its password
    password: secret
    mechanisms: USER APOP PLAIN  what the server offers; APOP also puts a stamp into the greeting
    tls: off                     off, stls, implicit
    clear-text: yes              no: passwords are refused without TLS
    message: Subject: a\n\nb\n   stored octets (lines end \n); one key for each message
    left: 1 3                    the messages that are there after the session; without: all

Steps:

    C: USER fred                 the client sends this and CRLF; C: lines that follow each other
                                 are one packet
    C+ STA                       the same without CRLF
    S: +OK ...                   the server sends exactly this line and CRLF; ``...`` is any text
    X: tls                       both begin the TLS handshake
    X: closed                    the server has nothing more to say and closes the connection

Escapes in messages and steps: ``\n \r \t \\ \xNN``, ``\{600*x}`` (x 600 times), ``\{base64:TEXT}``
(TEXT may hold the other escapes) and ``\{apop}`` (the digest for this greeting and password).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Protocol


class TranscriptError(Exception):
    """A transcript that cannot be read; names the file and the line."""


@dataclass(frozen=True, slots=True)
class Send:
    """The client sends a packet; ``text`` still holds its escapes."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Expect:
    """The server sends one line."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Both sides begin the TLS handshake."""

    line: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The server closes the connection."""

    line: int


Step = Send | Expect | StartTls | Closed


@dataclass(slots=True)
class Transcript:
    """One dialogue and what it needs of the server."""

    name: str
    user: str = "fred"
    password: str = "secret"
    mechanisms: tuple[str, ...] = ("USER", "APOP", "PLAIN")
    tls: str = "off"
    clear_text: bool = True
    messages: list[bytes] = field(default_factory=list)
    left: list[int] | None = None
    steps: list[Step] = field(default_factory=list)

    def expected_left(self) -> list[int]:
        """Give the numbers of the messages that are there after the session."""
        return list(range(1, len(self.messages) + 1)) if self.left is None else self.left


class Peer(Protocol):
    """A server to play against."""

    def send(self, octets: bytes) -> None:
        """Send one packet."""

    def line(self) -> bytes:
        """Receive one line without its CRLF; fail when there is none."""

    def start_tls(self) -> None:
        """Do the client's side of the TLS handshake."""

    def closed(self) -> bool:
        """Tell whether the server has closed and nothing is left to read."""


def parse(name: str, text: str) -> Transcript:
    """Read a transcript."""
    transcript = Transcript(name)
    in_header = True
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        if not line:
            in_header = False
            continue
        try:
            if in_header:
                _header(transcript, line)
            else:
                _step(transcript, number, line)
        except (ValueError, KeyError) as fault:
            raise TranscriptError(f"{name}:{number}: {line!r}: {fault}") from fault
    return transcript


def _header(transcript: Transcript, line: str) -> None:
    key, colon, value = line.partition(":")
    if not colon:
        raise ValueError("not a header line")
    value = value.removeprefix(" ")
    match key:
        case "user":
            transcript.user = value
        case "password":
            transcript.password = value
        case "mechanisms":
            transcript.mechanisms = tuple(value.split())
        case "tls":
            transcript.tls = {"off": "off", "stls": "stls", "implicit": "implicit"}[value]
        case "clear-text":
            transcript.clear_text = {"yes": True, "no": False}[value]
        case "message":
            transcript.messages.append(unescape(value))
        case "left":
            transcript.left = [int(number) for number in value.split()]
        case _:
            raise ValueError("unknown key")


def _step(transcript: Transcript, number: int, line: str) -> None:
    mark, text = line[:2], line[2:].removeprefix(" ")
    steps = transcript.steps
    if mark in ("C:", "C+"):
        text += r"\r\n" if mark == "C:" else ""
        if steps and isinstance(steps[-1], Send):
            steps[-1] = Send(steps[-1].line, steps[-1].text + text)
        else:
            steps.append(Send(number, text))
    elif mark == "S:":
        steps.append(Expect(number, text))
    elif mark == "X:":
        events: dict[str, Step] = {"tls": StartTls(number), "closed": Closed(number)}
        steps.append(events[text])
    else:
        raise ValueError("not a step")


_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[nrt\\])|x(?P<octet>[0-9a-f]{2})|\{(?P<count>\d+)\*(?P<text>[^}]+)\}"
    r"|\{base64:(?P<base64>[^}]*)\}|(?P<apop>\{apop\}))"
)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def unescape(text: str, apop: bytes = b"") -> bytes:
    """Give the octets that a text with escapes stands for."""

    def replace(match: re.Match[str]) -> str:
        if match["plain"]:
            return _PLAIN[match["plain"]]
        if match["octet"]:
            return chr(int(match["octet"], 16))
        if match["count"]:
            return unescape(match["text"]).decode("latin-1") * int(match["count"])
        if match["base64"] is not None:
            return base64.b64encode(unescape(match["base64"])).decode("ascii")
        return apop.decode("ascii")

    return _ESCAPE.sub(replace, text).encode("latin-1")


def matches(pattern: str, line: bytes) -> bool:
    """Tell whether a line is what an ``S:`` step says."""
    parts = [re.escape(unescape(part)) for part in pattern.split("...")]
    return re.fullmatch(b".*".join(parts), line, re.DOTALL) is not None


def play(transcript: Transcript, peer: Peer) -> None:
    """Play a dialogue; an AssertionError names the line that the server did not keep to."""
    apop = b""
    for step in transcript.steps:
        where = f"{transcript.name}:{step.line}"
        match step:
            case Send(text=text):
                peer.send(unescape(text, apop))
            case Expect(text=text):
                line = peer.line()
                assert matches(text, line), f"{where}: expected {text!r}, got {line!r}"
                stamp = re.search(rb"<[^<>]+@[^<>]+>$", line)
                if not apop and stamp:
                    secret = stamp[0] + transcript.password.encode()
                    apop = hashlib.md5(secret, usedforsecurity=False).hexdigest().encode()
            case StartTls():
                peer.start_tls()
            case Closed():
                assert peer.closed(), f"{where}: the connection is still open"
